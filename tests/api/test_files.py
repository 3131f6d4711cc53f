"""`/v1/files`: uploads are streamed, checked, and each tenant's own."""

import asyncio
import re

import pytest
from api_fakes import ADMIN, ALICE, BOB, FakeStore, application, client_for
from bulk_fakes import everything

from api import multipart
from shared.errors import ObjectStoreError
from shared.store.files import object_name

LINES = b'{"custom_id": "a"}\n' * 3
PLAIN = "multipart/form-data; boundary=b"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    body = b""
    for name, filename, value in parts:
        kind = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
        body += f"--b\r\nContent-Disposition: {kind}\r\n\r\n".encode() + value + b"\r\n"
    return body + b"--b--\r\n"


def upload(purpose="batch", content=LINES, name="in.jsonl", **fields):
    extra = tuple((key, None, value.encode()) for key, value in fields.items())
    return form(("purpose", None, purpose.encode()), *extra, ("file", name, content))


async def post(client, body, kind=PLAIN):
    return await client.post("/v1/files", content=body, headers={"Content-Type": kind})


async def test_a_file_is_kept_and_given_back_as_it_was(client):
    made = await post(client, upload())
    assert made.status_code == 200, made.text
    file = made.json()
    assert re.fullmatch(r"file-[0-9a-f]{24}", file["id"])
    assert (file["bytes"], file["filename"], file["purpose"]) == (len(LINES), "in.jsonl", "batch")
    assert file["expires_at"] - file["created_at"] == 30 * 86_400
    assert (await client.get(f"/v1/files/{file['id']}")).json() == file
    content = await client.get(f"/v1/files/{file['id']}/content")
    assert content.content == LINES
    assert content.headers["content-length"] == str(len(LINES))
    head = await client.head(f"/v1/files/{file['id']}/content")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(LINES)))


async def test_the_fields_may_come_after_the_file(client):
    body = form(("file", "a.txt", b"x"), ("purpose", None, b"user_data"))
    made = (await post(client, body)).json()
    assert (made["purpose"], made["expires_at"]) == ("user_data", None)


async def test_it_expires_when_it_was_said_to(client, store):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = (await post(client, upload(**fields))).json()
    assert made["expires_at"] - made["created_at"] == 3600
    store.clock.advance(3_600_001)
    assert (await client.get(f"/v1/files/{made['id']}")).status_code == 404
    assert (await client.get(f"/v1/files/{made['id']}/content")).status_code == 404


async def test_fields_that_newer_clients_send_are_passed_over(client):
    more = (("x", None, b"1"), ("x", None, b"2"), ("", None, b"3"), ("y", "y.txt", b"4" * 9_000))
    made = await post(client, form(*more, ("purpose", None, b"batch"), ("file", "a", b"x")))
    assert (made.status_code, made.json()["bytes"]) == (200, 1)


async def test_a_form_that_holds_much_beside_its_file_is_refused(client, store):
    body = form(("x", None, b"x" * 300_000), ("purpose", None, b"batch"), ("file", "a", b"x"))
    assert (await post(client, body)).status_code == 413
    assert await everything(store) == []


async def test_a_name_is_only_a_name(client):
    body = form(("purpose", None, b"batch"), ("file", "..\\..//etc/pass\twd", b"x"))
    assert (await post(client, body)).json()["filename"] == "passwd"


BAD = [
    (form(("file", "a", b"x")), "purpose"),
    (form(("purpose", None, b"batch")), "file"),
    (upload("batch_output"), "purpose"),
    (upload("nothing"), "purpose"),
    (upload(**{"expires_after[anchor]": "now"}), "expires_after[anchor]"),
    (upload(**{"expires_after[anchor]": "created_at"}), "expires_after[seconds]"),
    (
        upload(**{"expires_after[anchor]": "created_at", "expires_after[seconds]": "9"}),
        "expires_after[seconds]",
    ),
    (form(("purpose", None, b"batch"), ("file", "a", b"x"), ("file", "b", b"y")), "file"),
    (form(("purpose", None, b"batch"), ("purpose", None, b"batch")), "purpose"),
    (form(("purpose", None, b"x" * 5000)), "purpose"),
    (upload()[:-20], "file"),
    (b"nothing like it", None),
    (form(("file", "a", b"x" * 100), ("purpose", None, b"nothing")), "purpose"),
]


@pytest.mark.parametrize(("body", "param"), BAD)
async def test_a_bad_form_is_named_and_nothing_is_kept(client, store, body, param):
    answer = await post(client, body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert not store.bulk.files.rows
    assert await everything(store) == []


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain"])
async def test_what_is_no_form_is_refused(client, kind):
    answer = await post(client, upload(), kind)
    assert (answer.status_code, answer.json()["error"]["param"]) == (415, "Content-Type")


@pytest.mark.parametrize("first", ["purpose", "file"])
async def test_a_file_over_the_bound_is_refused_and_not_kept(store, first):
    app, _ = application(store, max_file_bytes=5_000, max_batch_bytes=1_000, max_audio_bytes=1_000)
    parts = [("purpose", None, b"batch"), ("file", "a", b"x" * 1_001)]
    body = form(*(parts if first == "purpose" else parts[::-1]))
    async with client_for(app) as client:
        answer = await post(client, body)
        fits = await post(client, upload("user_data", b"x" * 5_000))
        over = await post(client, upload("user_data", b"x" * 5_001))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    assert (fits.status_code, over.status_code) == (200, 413)
    assert await everything(store) == [object_name(fits.json()["id"])]


async def test_an_upload_is_passed_on_as_it_comes_and_a_dropped_one_leaves_nothing(store):
    app, _ = application(store, max_file_bytes=100_000_000)
    head = upload("user_data", b"#").partition(b"#")[0]
    sent = 0

    async def receive():
        nonlocal sent
        sent += 1
        await asyncio.sleep(0)
        if sent == 1:
            return {"type": "http.request", "body": head, "more_body": True}
        if sent < 40:
            return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}
        return {"type": "http.disconnect"}

    async def send(_message):
        raise AssertionError("nobody is there")

    await app(uploading(), receive, send)
    assert sent == 40
    assert await everything(store) == []
    assert not store.bulk.files.rows


def uploading():
    """A request whose body comes as the test says."""
    headers = [(b"authorization", f"Bearer {ALICE}".encode()), (b"content-type", PLAIN.encode())]
    return {
        "type": "http", "method": "POST", "path": "/v1/files", "headers": headers,
        "query_string": b"", "root_path": "",
    }  # fmt: skip


async def test_an_upload_that_brings_next_to_nothing_is_given_up(store, monkeypatch):
    monkeypatch.setattr(multipart, "QUIET_S", 0.05)
    app, _ = application(store)
    bodies = [upload("user_data", b"#").partition(b"#")[0]]
    sent = []

    async def receive():
        await asyncio.sleep(0.001)
        body = bodies.pop() if bodies else b"x"
        return {"type": "http.request", "body": body, "more_body": True}

    async def send(message):
        sent.append(message)

    await app(uploading(), receive, send)
    assert sent[0]["status"] == 408
    assert b"less than 30 KiB came" in sent[1]["body"]
    assert await everything(store) == []


async def test_a_file_is_its_tenants_alone(client, store):
    app, _ = application(store)
    made = (await post(client, upload())).json()["id"]
    async with client_for(app, BOB) as bob, client_for(app, ADMIN) as admin:
        for path in (f"/v1/files/{made}", f"/v1/files/{made}/content"):
            assert (await bob.get(path)).status_code == 404
        assert (await bob.delete(f"/v1/files/{made}")).status_code == 404
        assert (await bob.get("/v1/files")).json()["data"] == []
        assert (await bob.get("/v1/files", params={"after": made})).status_code == 404
        assert (await admin.get(f"/v1/files/{made}")).status_code == 200
    assert (await client.get("/v1/files")).json()["first_id"] == made


async def test_files_are_listed_by_page_purpose_and_order(client):
    ids = [(await post(client, upload())).json()["id"] for _ in range(3)]
    other = (await post(client, upload("vision"))).json()["id"]
    page = (await client.get("/v1/files?limit=2")).json()
    assert ([f["id"] for f in page["data"]], page["has_more"]) == ([other, ids[2]], True)
    rest = (await client.get(f"/v1/files?limit=2&after={page['last_id']}")).json()
    assert ([f["id"] for f in rest["data"]], rest["has_more"]) == ([ids[1], ids[0]], False)
    found = (await client.get("/v1/files?purpose=batch&order=asc")).json()["data"]
    assert [f["id"] for f in found] == ids
    for bad in ("purpose=x", "limit=0", "limit=10001", "order=up", "what=1"):
        answer = await client.get(f"/v1/files?{bad}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, bad.split("=")[0])


async def test_a_deleted_file_is_gone(client, store):
    made = (await post(client, upload())).json()["id"]
    answer = await client.delete(f"/v1/files/{made}")
    assert answer.json() == {"id": made, "object": "file", "deleted": True}
    assert (await client.get(f"/v1/files/{made}")).status_code == 404
    assert (await client.delete(f"/v1/files/{made}")).status_code == 404
    assert await everything(store) == []


@pytest.mark.parametrize("given", ["nothing", "file-" + "0" * 24, "file-../../x"])
async def test_an_id_that_is_none_is_a_404(client, given):
    answer = await client.get(f"/v1/files/{given}")
    assert answer.status_code == 404


async def test_other_stores_lose_nothing_when_the_last_step_fails(store: FakeStore, client):
    async def put(_file):
        raise RuntimeError("the store is gone")

    store.bulk.files.put = put
    assert (await post(client, upload())).status_code == 500
    assert await everything(store) == []


async def test_a_bucket_that_fails_is_not_called_the_job_store(client, store, monkeypatch):
    file = (await post(client, upload())).json()

    async def refused(*_args):
        raise ObjectStoreError("writing a file: s3://private/bucket said 403")

    async def unread(*_args):
        await refused()
        yield b""

    monkeypatch.setattr(store.bulk.objects, "put", refused)
    monkeypatch.setattr(store.bulk.objects, "get", unread)
    monkeypatch.setattr(store.bulk.objects, "delete", refused)
    one = f"/v1/files/{file['id']}"
    written = await post(client, upload())
    for answer in (written, await client.get(f"{one}/content"), await client.delete(one)):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "object_store_unavailable")
        assert "HEADRACE_OBJECTS_URL" in error["message"]
        assert "private" not in error["message"]
        assert answer.headers["retry-after"] == "1"
