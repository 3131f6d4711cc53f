import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest

from shared import objects
from shared.errors import ConfigError, ObjectStoreError, Refused, StoreError
from shared.objects import NoSuchObject
from shared.settings import Settings


async def parts(*given):
    for one in given:
        if isinstance(one, Exception):
            raise one
        yield one


async def read(bucket, name, *where):
    return b"".join([part async for part in bucket.get(name, *where)])


@pytest.fixture(params=["folder", "memory"])
def bucket(request, tmp_path):
    return objects.memory() if request.param == "memory" else objects.folder(tmp_path / "o")


async def test_what_was_written_is_read_whole_or_in_part(bucket):
    await bucket.put("files/a", parts(b"0123", b"", b"456789"))
    assert await read(bucket, "files/a") == b"0123456789"
    assert await read(bucket, "files/a", 4) == b"456789"
    assert await read(bucket, "files/a", 4, 6) == b"45"
    assert await read(bucket, "files/a", 6, 6) == b""
    await bucket.put("files/a", parts(b"new"))
    assert await read(bucket, "files/a") == b"new"


async def test_an_empty_object_is_one(bucket):
    await bucket.put("files/a", parts())
    assert await read(bucket, "files/a") == b""


async def test_nothing_is_written_where_its_source_breaks(bucket):
    with pytest.raises(Refused):
        await bucket.put("files/a", parts(b"x" * 9_000_000, Refused("no")))
    with pytest.raises(NoSuchObject):
        await read(bucket, "files/a")


async def test_what_is_not_there_is_told_and_may_be_removed_again(bucket):
    with pytest.raises(NoSuchObject):
        await read(bucket, "files/none")
    await bucket.put("files/a", parts(b"x"))
    await bucket.delete("files/a")
    await bucket.delete("files/a")
    with pytest.raises(NoSuchObject):
        await read(bucket, "files/a")


async def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path):
    bucket = objects.folder(tmp_path / "o")
    (tmp_path / "o" / "files").write_text("in the way")
    with pytest.raises(StoreError):
        await bucket.put("files/a", parts(b"x"))


async def test_of_a_write_that_is_cancelled_nothing_stays(tmp_path):
    bucket = objects.folder(tmp_path / "o")
    begun = asyncio.Event()

    async def endless():
        yield b"x" * objects.CHUNK_BYTES
        begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(bucket.put("files/a", endless()))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert list((tmp_path / "o" / "files").iterdir()) == []


@pytest.mark.parametrize("name", ["../a", "files/../../a", "/a", "files//a", ""])
async def test_a_name_never_leaves_the_folder(tmp_path, name):
    bucket = objects.folder(tmp_path / "o")
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(StoreError):
        await read(bucket, name)
    with pytest.raises(StoreError):
        await bucket.put(name, parts(b"x"))
    with pytest.raises(StoreError):
        await bucket.delete(name)
    assert (tmp_path / "a").read_bytes() == b"mine"


def test_files_in_a_folder_do_without_obstore(tmp_path):
    done = (
        "import asyncio, sys; from pathlib import Path; from shared import objects\n"
        "async def parts(): yield b'x'\n"
        "asyncio.run(objects.folder(Path(sys.argv[1])).put('files/a', parts()))\n"
        "assert 'obstore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", done, str(tmp_path / "o")], check=True)


async def test_they_are_kept_in_the_data_directory_or_where_the_settings_say(tmp_path):
    await objects.of_settings(Settings(data_dir=tmp_path)).put("files/a", parts(b"x"))
    assert (tmp_path / "objects" / "files" / "a").read_bytes() == b"x"
    url = f"file://{tmp_path}/elsewhere"
    await objects.of_settings(Settings(objects_url=url)).put("files/a", parts(b"y"))
    assert (tmp_path / "elsewhere" / "files" / "a").read_bytes() == b"y"


@pytest.mark.parametrize("url", ["nonsense", "gopher://x/y"])
def test_an_address_of_nothing_is_named(url):
    with pytest.raises(ConfigError, match="HEADRACE_OBJECTS_URL"):
        objects.of_settings(Settings(objects_url=url))


@pytest.mark.parametrize("url", ["s3://bucket/path", "gs://bucket", "az://account/container"])
def test_buckets_go_by_their_address(monkeypatch, url):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert objects.of_settings(Settings(objects_url=url))


async def test_a_bucket_that_does_not_answer_is_told_in_one_line(monkeypatch):
    for name, value in {
        "ENDPOINT": "http://127.0.0.1:9", "ALLOW_HTTP": "true", "REGION": "x",
        "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = objects.of_settings(Settings(objects_url="s3://b/p"), timedelta(milliseconds=1))
    with pytest.raises(ObjectStoreError, match=r"writing a file: .*127\.0\.0\.1:9") as told:
        await bucket.put("files/a", parts(b"x"))
    assert "\n" not in str(told.value)
