"""Recordings on their way: who waits for an address holds up nobody who has what is to be cut."""
# ruff: noqa: ARG002 - stand-ins have the arguments of what they stand for

import asyncio
from collections import Counter

import pytest

from shared import objects
from shared.errors import Refused
from shared.store.files import object_name
from workers.fetching import Fetched
from workers.transcribing import recording
from workers.transcribing.recording import Recordings

FOUND = {"duration_ms": 0, "digest": "d", "parts": []}


class Slow:
    """Addresses that send nothing until they are released."""

    def __init__(self):
        self.asked = Counter()
        self.release = asyncio.Event()
        self.all_asked = asyncio.Event()
        self.wanted = 0

    async def fetch(self, url, to):
        self.asked[url] += 1
        if self.asked.total() == self.wanted:
            self.all_asked.set()
        await self.release.wait()
        return Fetched(url, "a.wav", "audio/wav", None, 0)


class NoFiles:
    async def get(self, _file_id, _tenant):
        return None


class Cutter:
    async def run(self, entry, request, **given):
        return FOUND


@pytest.fixture
async def world():
    bucket = objects.memory()

    async def parts():
        yield b"sound"

    await bucket.put(object_name("file-1"), parts())
    slow = Slow()
    return slow, Recordings(NoFiles(), bucket, slow, Cutter(), 60.0)


async def quiet(_text):
    pass


def begin(recordings, tenant, url=None):
    where = {"url": url} if url else {"object": object_name("file-1")}
    cut = recordings.cut_up(where, tenant, "job", "m", most_ms=1_000, tell=quiet)
    return asyncio.create_task(cut)


async def test_slow_addresses_hold_up_no_upload_and_no_other_tenants_address(world):
    slow, recordings = world
    slow.wanted = recording.FETCHES_OF_ONE + 1
    waiting = [begin(recordings, "t1", "http://a") for _ in range(recording.FETCHES_OF_ONE + 2)]
    assert (await begin(recordings, "t1")).digest == "d"
    waiting.append(begin(recordings, "t2", "http://b"))
    await slow.all_asked.wait()
    assert slow.asked == {"http://a": recording.FETCHES_OF_ONE, "http://b": 1}
    slow.release.set()
    assert {work.digest for work in await asyncio.gather(*waiting)} == {"d"}


async def test_a_place_is_given_back_however_a_recording_ends(world):
    slow, recordings = world
    slow.release.set()

    async def broken(*_args, **_given):
        raise Refused("no")

    recordings._sandbox.run = broken
    for _ in range(recording.FETCHES + 1):
        with pytest.raises(Refused):
            await begin(recordings, "t1", "http://a")
    del recordings._sandbox.run
    assert (await begin(recordings, "t1", "http://a")).digest == "d"


async def test_anothers_file_is_told_in_the_words_of_the_api(world):
    _, recordings = world
    request = {"file_id": "file-of-another"}
    with pytest.raises(Refused) as caught:
        await recordings.cut_up(request, "t1", "job", "m", most_ms=1_000, tell=quiet)
    refused = caught.value
    assert (refused.status, refused.param, refused.code) == (404, "file_id", "file_not_found")
    assert refused.message == "file_id: No such File object: file-of-another"
