"""The batches duty on a real store: counted exactly, whatever is killed between its steps."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from batch_world import BatchWorld, answer, batch_world, failure, line

from scheduler import batch_output
from scheduler.batch_lines import Limits, Maker
from shared.batch_answers import outcome_line
from shared.batch_lines import Line
from shared.core.batch import BatchStatus, Pace, job_id
from shared.core.sharing import ShareMode, Wish
from shared.errors import Refused, StoreError
from shared.queue.types import NewJob, Report, Verdict
from shared.store.batches import Change
from shared.store.leader import StaleFence


@pytest.fixture
async def world(valkey: Any) -> AsyncIterator[BatchWorld]:
    async with batch_world(valkey.url) as made:
        yield made


async def test_a_batch_goes_through_its_states_to_exact_counts_and_files(world: BatchWorld) -> None:
    lines = [line(f"c{n}") for n in range(450)]
    batch_id = await world.create(lines, metadata={"k": "v"})
    assert (await world.get(batch_id)).status is BatchStatus.VALIDATING
    await world.turn()
    begun = await world.get(batch_id)
    assert (begun.status, begun.total) == (BatchStatus.IN_PROGRESS, 450)

    def some_fail(claim: Any) -> Any:
        return failure(claim) if orjson.loads(claim.doc)["custom_id"] == "c7" else answer(claim)

    batch = await world.settle(batch_id, some_fail)
    assert batch.status is BatchStatus.COMPLETED
    assert (batch.total, batch.completed, batch.failed) == (450, 449, 1)
    assert (batch.usage.input_tokens, batch.usage.cached_tokens) == (449 * 3, 449)
    assert {"in_progress", "finalizing", "completed"} == batch.moments.keys()
    assert batch.answered_by == {"alpha/sim": 449}
    good, bad = await world.read(batch.output_file_id), await world.read(batch.error_file_id)
    assert {one["custom_id"] for one in good} == {f"c{n}" for n in range(450)} - {"c7"}
    assert len(good) == 449
    one = next(each for each in good if each["custom_id"] == "c0")
    assert one["response"] == {
        "status_code": 200,
        "request_id": job_id(batch_id, 1),
        "body": {"said": "say c0"},
    }
    assert one["error"] is None
    assert one["id"].startswith("batch_req_")
    (failed,) = bad
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("c7", 400)
    assert failed["response"]["body"]["error"]["code"] == "bad"
    output = await world.files.get(batch.output_file_id or "", "t1")
    assert output is not None
    assert output.purpose == "batch_output"


async def test_its_parts_are_removed_when_it_has_ended(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    batch = await world.settle(batch_id)
    await world.turn(2)
    assert not await world.store.parts(batch_id)
    assert not await world.store.to_sweep(9)
    assert not await world.store.live()
    assert len(await world.read(batch.output_file_id)) == 1


@pytest.mark.parametrize(("wish", "calls"), [(Wish(), 2), (Wish(ShareMode.NEVER), 5)])
async def test_equal_lines_are_one_call_unless_the_batch_says_otherwise(
    world: BatchWorld, wish: Wish, calls: int
) -> None:
    asked = {"model": "sim", "temperature": 0, "messages": [{"role": "user", "content": "say"}]}
    lines = [line(f"c{n}", body=asked) for n in range(4)]
    batch_id = await world.create([*lines, line("other")], sharing=wish)
    await world.turn(2)
    assert len(await world.work()) == calls
    batch = await world.settle(batch_id)
    assert (batch.completed, batch.failed, batch.sharing) == (5, 0, wish)
    answers = await world.read(batch.output_file_id)
    assert {one["custom_id"] for one in answers} == {*(f"c{n}" for n in range(4)), "other"}


async def test_a_line_too_long_loses_its_oldest_turns_where_it_says_so(world: BatchWorld) -> None:
    roles = ("user", "assistant", "user", "assistant", "user")
    said = [{"role": role, "content": f"{n} " + "word " * 2000} for n, role in enumerate(roles)]
    body = {"model": "sim", "input": said, "max_output_tokens": 100}
    path = "/v1/responses"
    lines = [
        line("auto", url=path, body=body | {"truncation": "auto"}),
        line("as it is", url=path, body=body),
    ]
    batch_id = await world.create(lines, endpoint=path)
    await world.turn(2)
    await world.work()
    batch = await world.settle(batch_id)
    assert (batch.completed, batch.failed) == (1, 1)
    (answered,) = await world.read(batch.output_file_id)
    assert answered["response"]["body"]["headrace"] == {"dropped_messages": 2}
    (refused,) = await world.read(batch.error_file_id)
    assert refused["custom_id"] == "as it is"


@pytest.mark.parametrize(
    ("names", "model"),
    [(["sim", "sim"], "sim"), (["sim", "alpha/sim", "sim"], None)],
)
async def test_the_model_of_a_batch_is_what_all_its_lines_name(
    world: BatchWorld, names: list[str], model: str | None
) -> None:
    says = [{"role": "user", "content": "say"}]
    bodies = [{"model": name, "messages": says} for name in names]
    batch_id = await world.create([line(f"c{n}", body=one) for n, one in enumerate(bodies)])
    assert (await world.get(batch_id)).model is None  # nobody has looked yet
    await world.turn()
    assert (await world.get(batch_id)).model == model


BAD_FILES = [
    ([b"{nope"], "invalid_json_line", 1, None),
    ([line("a"), b"[1]"], "invalid_json_line", 2, None),
    ([line("a"), line("b"), line("a")], "duplicate_custom_id", 3, "custom_id"),
    ([line("a", url="/v1/embeddings")], "invalid_url", 1, "url"),
    ([line("a", method="GET")], "invalid_method", 1, "method"),
    ([line("a", custom_id=7)], "invalid_custom_id", 1, "custom_id"),
    ([line("a", body=[])], "invalid_body", 1, "body"),
    ([{"custom_id": "a"}], "missing_required_parameter", 1, "method"),
    ([line("a", body={"messages": []})], "missing_required_parameter", 1, "body.model"),
    ([line("a", body={"model": "nope"})], "model_not_found", 1, "body.model"),
    ([line("a", body={"model": "ears"})], "model_not_suitable", 1, "body.model"),
    ([line("a", body={"model": "sim", "stream": True})], "invalid_value", 1, "body.stream"),
    ([b"\x1f\x8b\x08\x00", b"\x00"], "invalid_file_format", None, "input_file_id"),
    ([b"\x7fELF\x02\x01\x00", line("a")], "invalid_file_format", None, "input_file_id"),
    ([line("a"), b"\x00\xff"], "invalid_json_line", 2, None),
    ([], "empty_file", None, "input_file_id"),
    ([b"", b"  "], "empty_file", None, "input_file_id"),
    ([line(f"c{n}") for n in range(6)], "too_many_requests_in_file", None, "input_file_id"),
    ([b'{"a":"' + b"x" * (17 << 20) + b'"}'], "line_too_long", 1, None),
]


@pytest.mark.parametrize(("lines", "code", "number", "param"), BAD_FILES)
async def test_a_bad_file_fails_with_the_line_named_and_nothing_is_run(
    world: BatchWorld, lines: Any, code: str, number: int | None, param: str | None
) -> None:
    world.limits = Limits(max_lines=5)
    await world.lead()
    batch_id = await world.create(lines)
    await world.turn()
    batch = await world.get(batch_id)
    assert batch.status is BatchStatus.FAILED
    first = batch.errors[0]
    assert (first["code"], first["line"], first["param"]) == (code, number, param)
    assert first["message"]
    assert not await world.work()
    assert not await world.store.live()


async def test_a_foreign_file_is_told_once_and_not_line_by_line(world: BatchWorld) -> None:
    batch_id = await world.create([b"PK\x03\x04", *([b"\x00"] * 50)])
    await world.turn()
    (error,) = (await world.get(batch_id)).errors
    assert error["message"].startswith("The input file is a ZIP archive")


async def test_a_byte_order_mark_is_no_fault(world: BatchWorld) -> None:
    batch = await world.settle(
        await world.create([b"\xef\xbb\xbf" + orjson.dumps(line("a")), line("b")])
    )
    assert (batch.status, batch.completed) == (BatchStatus.COMPLETED, 2)


async def test_recordings_become_parents_on_the_lane_of_transcriptions(world: BatchWorld) -> None:
    url = "/v1/audio/transcriptions"
    lines = [
        line(f"a{n}", url=url, body={"model": "ears", "url": f"https://example.com/{n}.mp3"})
        for n in range(3)
    ]
    lines.append(line("bad", url=url, body={"model": "ears"}))
    batch_id = await world.create(lines, endpoint=url)
    await world.turn(2)
    claims = await world.world.claim(want=9, providers=("own",))
    assert {claim.lane for claim in claims} == {"own/transcriptions@shared"}
    heard = orjson.dumps({"text": "said", "duration": 1.0, "language": "en"})
    for claim in claims:
        assert await world.world.finish(claim, Report(Verdict.COMPLETE, result=heard))
    batch = await world.settle(batch_id)
    assert (batch.completed, batch.failed, batch.answered_by) == (3, 1, {})
    good, (bad,) = await world.read(batch.output_file_id), await world.read(batch.error_file_id)
    assert {one["response"]["body"]["text"] for one in good} == {"said"}
    assert bad["response"]["body"]["error"]["param"] == "file_id"


async def test_lines_are_written_beside_the_loop_that_renews_the_lease(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subtitles of fifty long talks take longer than it holds: every leader would lose it there."""
    threads = set()

    def noted(ended: Any, endpoint: Any) -> tuple[bool, bytes]:
        threads.add(threading.current_thread())
        return outcome_line(ended, endpoint)

    monkeypatch.setattr(batch_output, "outcome_line", noted)
    batch = await world.settle(await world.create([line("a"), line("b")]))
    assert batch.completed == 2
    assert threads
    assert threading.current_thread() not in threads


async def test_every_bad_line_is_named_up_to_a_bound(world: BatchWorld) -> None:
    batch_id = await world.create([b"x"] * 3 + [line("a")] + [b"y"] * 200)
    await world.turn()
    errors = (await world.get(batch_id)).errors
    assert [one["line"] for one in errors][:4] == [1, 2, 3, 5]
    assert len(errors) == 100


async def test_a_body_that_is_wrong_fails_its_own_line_only(world: BatchWorld) -> None:
    wrong = line("w", body=line("w")["body"] | {"temperature": 9})
    batch = await world.settle(await world.create([line("a"), wrong, b"", line("b")]))
    assert (batch.status, batch.total) == (BatchStatus.COMPLETED, 3)
    assert (batch.completed, batch.failed) == (2, 1)
    (bad,) = await world.read(batch.error_file_id)
    assert bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["param"] == "temperature"


async def test_a_batch_whose_every_line_failed_is_completed_without_an_output_file(
    world: BatchWorld,
) -> None:
    batch = await world.settle(await world.create([line("a"), line("b")]), failure)
    assert batch.status is BatchStatus.COMPLETED
    assert batch.output_file_id is None
    assert len(await world.read(batch.error_file_id)) == 2


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("times", range(1, 16))
async def test_whoever_leads_next_goes_on_where_a_killed_leader_stopped(
    valkey: Any, times: int
) -> None:
    """The leader dies at its n-th change of the batch: before it, or with its reply on the way."""
    async with batch_world(valkey.url, pace=Pace(outstanding=400, collect=150)) as world:
        batch_id = await world.create([line(f"c{n}") for n in range(450)])
        world.store._change = dies_at(world.store._change, times)
        try:
            batch = await world.settle(batch_id)
        except Killed:
            await world.work(most=100)
            await world.lead()
            batch = await world.settle(batch_id)
        assert (batch.total, batch.completed, batch.failed) == (450, 450, 0)
        good = await world.read(batch.output_file_id)
        assert sorted(one["custom_id"] for one in good) == sorted(f"c{n}" for n in range(450))
        assert await world.world.client.zcard("{hr}:ix:t1:completed") == 450


def dies_at(call: Any, times: int, how: BaseException | None = None) -> Any:
    """The same call, but the process is gone at its n-th time, with the call made or not."""
    end = how or Killed()
    made = 0

    async def dying(*given: Any, **named: Any) -> Any:
        nonlocal made
        made += 1
        mine = made == times
        if mine and times % 2:
            raise end
        reply = await call(*given, **named)
        if mine:
            raise end
        return reply

    return dying


@pytest.mark.parametrize(("what", "times"), [
    ("accept", 1), ("accept", 2), ("accept", 150), ("accept", 311),
    ("put", 1), ("put", 2), ("put", 3), ("put", 4), ("delete", 1), ("delete", 2),
])  # fmt: skip
async def test_a_leader_may_die_between_the_lines_and_between_its_files(
    world: BatchWorld, what: str, times: int
) -> None:
    world.pace = Pace(outstanding=400, collect=150)
    await world.lead()
    lines = [line(f"c{n}") for n in range(320)]
    lines[5] = line("c5", body=line("c5")["body"] | {"n": 0})
    batch_id = await world.create(lines)
    place: Any = world.world.jobs if what == "accept" else world.objects
    real = getattr(place, what)
    setattr(place, what, dies_at(real, times))
    try:
        await world.settle(batch_id)
        await world.turn(3)
        raise AssertionError("it did not die")
    except (Killed, BaseExceptionGroup):
        setattr(place, what, real)
        await world.work(most=40)
        await world.lead()
    batch = await world.settle(batch_id)
    await world.turn(3)
    assert (batch.total, batch.completed, batch.failed) == (320, 319, 1)
    good, bad = await world.read(batch.output_file_id), await world.read(batch.error_file_id)
    assert sorted(one["custom_id"] for one in good + bad) == sorted(f"c{n}" for n in range(320))
    assert [one["custom_id"] for one in bad] == ["c5"]
    assert not await world.store.to_sweep(9)


@pytest.mark.parametrize("times", range(1, 13))
async def test_a_reply_of_the_store_that_is_lost_changes_nothing_twice(
    world: BatchWorld, times: int
) -> None:
    world.pace = Pace(outstanding=400, collect=150)
    await world.lead()
    batch_id = await world.create([line(f"c{n}") for n in range(420)])
    lost = StoreError("changing a batch: the connection broke")
    world.store._change = dies_at(world.store._change, times, lost)
    batch = await world.settle(batch_id)
    assert (batch.total, batch.completed, batch.collected) == (420, 420, 420)
    good = await world.read(batch.output_file_id)
    assert sorted(one["custom_id"] for one in good) == sorted(f"c{n}" for n in range(420))


async def test_a_line_that_became_a_job_is_not_refused_by_who_leads_next(
    world: BatchWorld,
) -> None:
    """The first leader dies between a line's job and the end of its chunk; then the model goes."""
    batch_id = await world.create([line(f"c{n}") for n in range(10)])
    await world.turn()
    real = world.store._change

    async def dying(asked: Any) -> Any:
        if asked["drop"]:  # every line was handed in, and this was to say so
            raise Killed
        return await real(asked)

    world.store._change = dying
    with pytest.raises(Killed):
        await world.turn(2)
    world.store._change = real
    jobs = await world.world.client.zcard("{hr}:ix:t1:live")

    class Gone(Away):
        def route(self, *_given: Any) -> Any:
            raise Refused("it is gone", status=404, param="model", code="model_not_found")

    world.router = Gone(world.router)
    await world.lead()
    batch = await world.settle(batch_id)
    assert (batch.completed, batch.failed) == (jobs, 10 - jobs) == (10, 0)


async def test_a_change_of_what_has_changed_meanwhile_changes_nothing(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    await world.turn()
    for change in (
        Change(from_=(BatchStatus.VALIDATING,), set={"total": 9}),
        Change(from_=(BatchStatus.IN_PROGRESS,), expect={"offset": "7"}, set={"total": 9}),
        Change(from_=(BatchStatus.IN_PROGRESS,), expect={"total": ""}, incr={"total": 9}),
    ):
        assert not await world.store.change(batch_id, change, world.fence)
    with pytest.raises(StaleFence):
        await world.store.change(batch_id, Change(from_=tuple(BatchStatus)), world.fence - 1)
    assert (await world.get(batch_id)).total == 1


async def test_a_leader_that_was_replaced_changes_nothing(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    old = world.duty
    await world.lead()
    with pytest.raises(StaleFence):
        await old.turn()
    assert (await world.get(batch_id)).status is BatchStatus.VALIDATING


async def test_lines_are_handed_in_in_bounded_chunks(valkey: Any) -> None:
    async with batch_world(valkey.url, pace=Pace(outstanding=400, collect=500)) as world:
        batch_id = await world.create([line(f"c{n}") for n in range(1500)])
        await world.turn(12)
        batch = await world.get(batch_id)
        assert batch.outstanding == 400
        await world.work(most=150)
        await world.turn(1)
        assert (await world.get(batch_id)).outstanding == 250
        await world.work(most=100)
        await world.turn(1)
        assert (await world.get(batch_id)).outstanding == 350


async def test_cancelling_keeps_what_is_done_and_tells_of_what_is_not(valkey: Any) -> None:
    async with batch_world(valkey.url, pace=Pace(outstanding=200, collect=500)) as world:
        batch_id = await world.create([line(f"c{n}") for n in range(500)])
        await world.turn(2)
        await world.work(most=50)
        running = await world.world.claim(want=5, providers=("alpha",))
        asked = await world.store.cancel(batch_id, "t1")
        assert asked is not None
        assert asked.status is BatchStatus.CANCELLING
        batch = await world.settle(batch_id)
        assert not await world.world.finish(running[0], answer(running[0]))
        assert batch.status is BatchStatus.CANCELLED
        assert (batch.total, batch.completed, batch.failed) == (500, 50, 0)
        good, bad = await world.read(batch.output_file_id), await world.read(batch.error_file_id)
        assert (len(good), len(bad)) == (50, 450)
        assert {one["error"]["code"] for one in bad} == {"batch_cancelled"}
        assert len({one["custom_id"] for one in good + bad}) == 500
        again = await world.store.cancel(batch_id, "t1")
        assert again is not None
        assert again.status is BatchStatus.CANCELLED


async def test_a_batch_can_be_cancelled_before_it_was_looked_at(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    await world.store.cancel(batch_id, "t1")
    batch = await world.settle(batch_id)
    assert (batch.status, batch.total, batch.error_file_id) == (BatchStatus.CANCELLED, 0, None)


async def test_a_completed_batch_cannot_be_cancelled(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    await world.settle(batch_id)
    with pytest.raises(Refused) as refused:
        await world.store.cancel(batch_id, "t1")
    assert refused.value.status == 409


async def test_a_batch_whose_window_is_over_expires_and_keeps_what_is_done(valkey: Any) -> None:
    async with batch_world(valkey.url, pace=Pace(outstanding=200, collect=500)) as world:
        batch_id = await world.create([line(f"c{n}") for n in range(300)], window="1h")
        await world.turn(2)
        await world.work(most=20)
        now = await world.files.now_ms()
        await world.world.client.hset(f"{{hr}}:batch:{batch_id}", "expires", now - 1)
        live = await world.world.client.zrange("{hr}:ix:t1:live", 0, -1)
        assert len(live) == 180
        for job in live:  # the deadlines of its lines, which are the batch's
            await world.world.client.hset(b"{hr}:job:" + job, "deadline", now - 1)
            await world.world.client.zadd("{hr}:limits", {job: now - 1})
        await world.world.run("expire", most=500)
        batch = await world.settle(batch_id)
        assert batch.status is BatchStatus.EXPIRED
        assert "finalizing" in batch.moments
        assert (batch.completed, batch.failed) == (20, 0)
        good, bad = await world.read(batch.output_file_id), await world.read(batch.error_file_id)
        assert (len(good), len(bad)) == (20, 280)
        assert {one["error"]["code"] for one in bad} == {"batch_expired"}


async def test_a_line_that_its_owner_cancels_is_a_failed_line(world: BatchWorld) -> None:
    batch_id = await world.create([line("a"), line("b")])
    await world.turn(2)
    await world.world.jobs.cancel(job_id(batch_id, 1), "t1")
    batch = await world.settle(batch_id)
    assert (batch.status, batch.completed, batch.failed) == (BatchStatus.COMPLETED, 1, 1)
    (bad,) = await world.read(batch.error_file_id)
    assert bad["error"]["code"] == "request_cancelled"
    with pytest.raises(Refused, match="line of a batch"):
        await world.world.jobs.replay(job_id(batch_id, 1), "t1")


class Away:
    """A router that has nothing to offer for a while."""

    def __init__(self, real: Any) -> None:
        self.real, self.away = real, True

    def route(self, *given: Any) -> Any:
        if self.away:
            raise Refused("set aside", status=503, param="model", code="no_capacity")
        return self.real.route(*given)

    def expected_output(self, *given: Any) -> int:
        return int(self.real.expected_output(*given))


async def test_lines_wait_for_a_deployment_that_is_away(world: BatchWorld) -> None:
    world.router = away = Away(world.router)
    batch_id = await world.create([line("a")])
    await world.turn(3)
    batch = await world.get(batch_id)
    assert (batch.status, batch.fed, batch.ended) == (BatchStatus.IN_PROGRESS, 1, 0)
    away.away = False
    assert (await world.settle(batch_id)).completed == 1


async def test_cancelling_does_not_wait_for_a_deployment_that_is_away(world: BatchWorld) -> None:
    world.router = Away(world.router)
    batch_id = await world.create([line("a")])
    await world.turn(3)
    await world.store.cancel(batch_id, "t1")
    batch = await world.settle(batch_id)
    assert (batch.status, batch.completed, batch.failed) == (BatchStatus.CANCELLED, 0, 0)
    (bad,) = await world.read(batch.error_file_id)
    assert bad["error"]["code"] == "batch_cancelled"


async def test_a_full_queue_is_waited_out(world: BatchWorld) -> None:
    await world.world.configure({}, max_alive=1)
    batch_id = await world.create([line("a"), line("b"), line("c")])
    await world.turn(3)
    assert (await world.get(batch_id)).chunk is not None
    await world.world.configure({}, max_alive=1000)
    assert (await world.settle(batch_id)).completed == 3


async def test_trouble_with_one_batchs_file_does_not_stop_the_others(world: BatchWorld) -> None:
    bad = await world.create([line("a")])
    good = await world.create([line("a")])
    await world.turn()
    input_id = (await world.get(bad)).input_file_id
    await world.objects.delete(f"files/{input_id}")
    assert (await world.settle(good)).completed == 1
    assert (await world.get(bad)).status is BatchStatus.IN_PROGRESS


async def test_a_file_that_is_gone_fails_the_batch(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    await world.objects.delete(f"files/{(await world.get(batch_id)).input_file_id}")
    await world.turn()
    batch = await world.get(batch_id)
    assert (batch.status, batch.errors[0]["code"]) == (BatchStatus.FAILED, "file_not_found")


async def test_objects_that_cannot_be_written_are_tried_again(world: BatchWorld) -> None:
    batch_id = await world.create([line("a")])
    real = world.objects.put
    tries = 0

    async def put(name: str, parts: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise StoreError("writing a file: the disk is full")
        await real(name, parts)

    world.objects.put = put
    assert (await world.settle(batch_id)).completed == 1
    assert tries > 3


async def test_an_idempotency_key_names_one_batch(world: BatchWorld) -> None:
    first = await world.create([line("a")], idempotency=("k", "b"))
    assert await world.create([line("a")], idempotency=("k", "b")) == first
    with pytest.raises(Refused) as refused:
        await world.create([line("a")], idempotency=("k", "other"))
    assert refused.value.status == 409


async def test_a_line_that_nests_too_deeply_fails_its_batch_by_its_number(
    world: BatchWorld,
) -> None:
    deep = orjson.dumps(line("b")).replace(b'"sim"', b'"sim","x":' + b"[" * 300 + b"]" * 300)
    batch = await world.settle(await world.create([line("a"), deep]))
    assert batch.status is BatchStatus.FAILED
    assert [(one["line"], one["param"]) for one in batch.errors] == [(2, "body")]


async def test_a_line_that_no_job_can_be_made_of_does_not_stop_the_others(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Maker, asked: Line) -> NewJob:
        if asked.custom_id == "b":
            raise TypeError("Recursion limit reached")
        return made(self, asked)

    made = Maker._job
    monkeypatch.setattr(Maker, "_job", broken)
    batch = await world.settle(await world.create([line("a"), line("b"), line("c")]))
    assert (batch.status, batch.completed, batch.failed) == (BatchStatus.COMPLETED, 2, 1)
    (bad,) = await world.read(batch.error_file_id)
    assert bad["custom_id"] == "b"
    assert "internal_error" in str(bad)
