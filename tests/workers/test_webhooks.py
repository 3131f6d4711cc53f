"""One try to tell a webhook: what is sent where, and what is reported."""

from types import SimpleNamespace

import orjson
import pytest
from hook_receiver import receiving
from openai import OpenAI

from shared.credentials import Secret
from shared.queue.broker import holding
from shared.queue.types import Verdict
from shared.store.hooks import Endpoint, SigningSecret
from shared.vault import Vault
from shared.wire.webhooks import new_secret
from workers.transport import Transport
from workers.webhooks import Teller

NOW_MS = 1_790_000_000_000
VAULT = Vault(Secret("a master key of thirty-two letters"))
EVENT = {"id": "evt_1", "type": "job.completed", "created_at": 1, "data": {"id": "job_1"}}
SECRET = new_secret()


class Table:
    """Endpoints in memory."""

    def __init__(self, *rows: Endpoint) -> None:
        self.rows = {row.id: row for row in rows}
        self.meanwhile = None

    async def get(self, tenant, endpoint):
        assert tenant == "t1"
        return self.rows.get(endpoint)

    async def put(self, was, now):
        if self.meanwhile is not None:
            self.rows[now.id], self.meanwhile = self.meanwhile, None
        if self.rows.get(now.id) != was:
            return "changed"
        self.rows[now.id] = now
        return "done"


def endpoint(url, **more):
    sealed = (SigningSecret(VAULT.seal(Secret(SECRET), "wh_1")),)
    return Endpoint("wh_1", "t1", url, "n", ("job.completed",), sealed, 1, 1, **more)


async def tell(table, *, attempts=0, vault=VAULT, allow_private=True, timeout_ms=5_000, **more):
    transport = Transport()
    teller = Teller(table, transport, vault, allow_private=allow_private, timeout_ms=timeout_ms)
    holding.set(SimpleNamespace(now_ms=lambda: NOW_MS, claim=SimpleNamespace(attempts=attempts)))
    told = {"tenant": "t1", "endpoint": "wh_1", "own": None, "event": EVENT}
    try:
        return await teller.deliver(**(told | more))
    finally:
        await transport.aclose()


async def test_a_delivery_is_signed_and_reported():
    with receiving() as there:
        report = await tell(Table(endpoint(there.url)))
    assert report.verdict is Verdict.COMPLETE
    assert report.attempt["outcome"] == "delivered"
    assert report.attempt["http_status"] == 204
    ((path, headers, body),) = there.got
    assert path == "/hook"
    assert headers["webhook-timestamp"] == str(NOW_MS // 1000)
    far = 10**12  # the clock of this test stands still
    OpenAI(api_key="x").webhooks.verify_signature(body, headers, secret=SECRET, tolerance=far)
    assert orjson.loads(body)["object"] == "event"


async def test_a_jobs_own_secret_and_address_go_before_the_endpoints():
    own = new_secret()
    with receiving() as there:
        wish = {"url": f"{there.url}?job=1", "secrets": [VAULT.seal(Secret(own), "wh_1")]}
        report = await tell(Table(endpoint("http://127.0.0.1:1/")), own=wish)
    assert report.verdict is Verdict.COMPLETE
    ((path, headers, body),) = there.got
    assert path == "/hook?job=1"
    sdk = OpenAI(api_key="x")
    sdk.webhooks.verify_signature(body, headers, secret=own, tolerance=10**12)


async def test_a_redirect_is_a_failure_and_not_followed():
    with receiving(0, 307) as there, receiving() as elsewhere:
        there.headers["location"] = elsewhere.url
        report = await tell(Table(endpoint(there.url)))
    assert (report.verdict, elsewhere.got) == (Verdict.RETRY, [])
    assert "redirects are not followed" in report.attempt["message"]


async def test_retry_after_is_heeded():
    with receiving(0, 429) as there:
        there.headers["retry-after"] = "3600"
        report = await tell(Table(endpoint(there.url)))
    assert (report.verdict, report.delay_ms) == (Verdict.RETRY, 3_600_000)


async def test_the_last_try_gives_up_and_says_why():
    with receiving(0, 500) as there:
        report = await tell(Table(endpoint(there.url)), attempts=9)
    assert report.verdict is Verdict.FAIL
    assert report.error["message"] == "the receiver answered 500"


async def test_a_receiver_that_is_not_there_is_tried_again():
    with receiving() as there:
        url = there.url
    report = await tell(Table(endpoint(url)))
    assert (report.verdict, report.attempt["http_status"]) == (Verdict.RETRY, None)


async def test_a_receiver_that_says_nothing_is_tried_again():
    with receiving(held=True) as there:
        report = await tell(Table(endpoint(there.url)), timeout_ms=200)
    assert (report.verdict, report.attempt["message"]) == (Verdict.RETRY, "no answer in time")


async def test_a_410_disables_the_endpoint_and_nothing_more_is_sent():
    with receiving(0, 410) as there:
        table = Table(endpoint(there.url))
        report = await tell(table)
        assert report.verdict is Verdict.FAIL
        assert table.rows["wh_1"].disabled == "the receiver answered 410"
        again = await tell(table)
        wish = {"url": there.url, "secrets": [VAULT.seal(Secret(SECRET), "wh_1")]}
        own = await tell(table, own=wish)
    assert len(there.got) == 1
    for later in (again, own):
        assert later.verdict is Verdict.FAIL
        assert "disabled" in later.error["message"]


async def test_a_410_disables_an_address_that_nobody_registered():
    with receiving(0, 410) as there:
        table = Table()
        wish = {"url": there.url, "secrets": [VAULT.seal(Secret(SECRET), "wh_1")]}
        await tell(table, own=wish)
        assert table.rows["wh_1"].disabled
        await tell(table, own=wish)
    assert len(there.got) == 1


async def test_a_change_made_meanwhile_is_kept_when_a_410_disables():
    with receiving(0, 410) as there:
        table = Table(endpoint(there.url))
        table.meanwhile = endpoint(f"{there.url}/moved")
        await tell(table)
    assert table.rows["wh_1"].url == f"{there.url}/moved"
    assert table.rows["wh_1"].disabled


async def test_an_endpoint_that_was_deleted_is_not_told():
    report = await tell(Table())
    assert (report.verdict, report.error["message"]) == (Verdict.FAIL, "the endpoint was deleted")


@pytest.mark.parametrize("vault", [None, Vault(Secret("another master key of 32 letters!!"))])
async def test_without_the_master_key_it_waits_for_one(vault):
    with receiving() as there:
        report = await tell(Table(endpoint(there.url)), vault=vault)
    assert (report.verdict, there.got) == (Verdict.RETRY, [])
    assert "HEADRACE_SECRET_KEY" in report.attempt["message"]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://127.0.0.1:{port}/hook", "not https"),
        ("https://127.0.0.1:{port}/hook", "private address"),
        ("https://127.1:{port}/hook", "private address"),
        ("https://[::ffff:7f00:1]:{port}/hook", "private address"),
        ("https://localhost:{port}/hook", "private address"),
    ],
)
async def test_a_private_address_is_never_called(url, word):
    with receiving() as there:
        report = await tell(Table(endpoint(url.format(port=there.port))), allow_private=False)
    assert there.got == []
    assert report.verdict is not Verdict.COMPLETE
    assert word in report.attempt["message"]


async def test_a_trial_is_made_once_whatever_comes_back():
    with receiving(0, 500) as there:
        report = await tell(Table(endpoint(there.url)), trial=True)
    assert report.verdict is Verdict.COMPLETE
    assert orjson.loads(report.result) == {"status_code": 500}
    report = await tell(Table(endpoint(there.url)), trial=True)
    assert report.verdict is Verdict.FAIL
