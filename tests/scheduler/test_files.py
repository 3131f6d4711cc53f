"""Files whose time is over, on a real store."""

import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_world import BatchWorld, batch_world, line

from scheduler.bell import Bell
from scheduler.files import DAY_S, ExpiredFiles, HalfFiles
from shared import objects
from shared.errors import Refused
from shared.objects import NoSuchObject
from shared.queue.types import Report, Verdict
from shared.store.files import File, object_name


@pytest.fixture
async def world(valkey: Any) -> AsyncIterator[BatchWorld]:
    async with batch_world(valkey.url) as made:
        yield made


async def expire(world: BatchWorld, file_id: str) -> None:
    file = await world.files.get(file_id, None)
    assert file is not None
    past = await world.files.now_ms() - 1
    await world.files.put(
        File(file.id, file.tenant, file.purpose, file.filename, file.size, file.created_ms, past)
    )


async def turn(world: BatchWorld) -> None:
    bell = Bell()
    bell.ring()
    await ExpiredFiles(world.files, world.store, world.world.jobs, world.objects, bell).turn()


async def test_an_expired_file_is_removed_with_its_bytes(world: BatchWorld) -> None:
    gone, kept = await world.upload(b"x"), await world.upload(b"y")
    await expire(world, gone)
    assert await world.files.get(gone, "t1") is None
    await turn(world)
    with pytest.raises(NoSuchObject):
        await world.read(gone)
    assert not await world.world.client.exists(f"{{hr}}:file:{gone}")
    page = await world.files.list("t1", purpose=None, after=None, limit=9, ascending=True)
    assert [file.id for file in page.files] == [kept]
    assert not await world.files.due(9)


async def test_an_expired_file_that_a_batch_reads_stays_until_it_is_done(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    batch = await world.get(batch_id)
    await expire(world, batch.input_file_id)
    await turn(world)
    assert (await world.settle(batch_id)).completed == 1
    await expire_again(world, batch.input_file_id)
    await turn(world)
    assert not await world.world.client.exists(f"{{hr}}:file:{batch.input_file_id}")


async def expire_again(world: BatchWorld, file_id: str) -> None:
    await world.files.postpone(file_id, await world.files.now_ms() - 1)


async def test_what_came_with_a_job_stays_while_the_job_may_run(world: BatchWorld) -> None:
    (accepted,) = await world.world.accept(world.world.job())
    job = accepted.job_id
    file_id = await world.upload(b"x")
    file = await world.files.get(file_id, "t1")
    assert file is not None
    await world.files.forget(file)
    now = await world.files.now_ms()
    await world.files.put(replace(file, id="upload-1", expires_ms=now + 60_000, job=job))
    page = await world.files.list("t1", purpose=None, after=None, limit=9, ascending=True)
    assert page.files == ()
    await expire_again(world, "upload-1")
    await turn(world)
    assert await world.world.client.exists("{hr}:file:upload-1")
    await world.world.configure()
    (claim,) = await world.world.claim()
    await world.world.finish(claim, Report(Verdict.FAIL, error={"message": "no"}))
    await expire_again(world, "upload-1")
    await turn(world)
    assert await world.world.client.exists("{hr}:file:upload-1")  # it may be replayed
    await world.world.jobs.replay(job, None)
    await world.world.jobs.cancel(job, None)
    await expire_again(world, "upload-1")
    await turn(world)
    assert not await world.world.client.exists("{hr}:file:upload-1")


async def test_files_are_listed_by_tenant_purpose_and_page(world: BatchWorld) -> None:
    ids = [await world.upload(b"x") for _ in range(3)]
    await world.upload(b"x", tenant="t2")
    now = await world.files.now_ms()
    await world.files.put(File("file-other", "t1", "vision", "v", 1, now + 9))

    async def listed(**more: Any) -> tuple[list[str], bool]:
        asked = {"purpose": "batch", "after": None, "limit": 2, "ascending": True} | more
        page = await world.files.list("t1", **asked)
        return [file.id for file in page.files], page.more

    assert await listed() == (ids[:2], True)
    assert await listed(after=ids[1]) == (ids[2:], False)
    assert await listed(ascending=False, limit=9) == (ids[::-1], False)
    assert await listed(purpose=None, limit=9) == ([*ids, "file-other"], False)
    with pytest.raises(Refused):
        await listed(after="file-none")
    assert await world.files.get(ids[0], "t2") is None


async def test_a_file_that_was_removed_is_not_known(world: BatchWorld) -> None:
    file_id = await world.upload(b"x")
    file = await world.files.get(file_id, "t1")
    assert file is not None
    assert await world.store.using(file_id) is None
    await world.files.forget(file)
    assert await world.files.get(file_id, "t1") is None
    assert object_name(file_id) == f"files/{file_id}"


async def test_half_files_are_removed_only_when_nobody_has_written_to_them_for_a_day(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    old, new = folder / f".a.{'0' * 16}", folder / f".a.{'1' * 16}"
    for each, age_s in ((old, DAY_S * 1.5), (new, DAY_S / 2)):
        each.write_bytes(b"half")
        os.utime(each, (0, time.time() - age_s))
    bell = Bell()
    bell.ring()
    await HalfFiles(objects.folder(tmp_path), bell).turn()
    assert list(folder.iterdir()) == [new]
