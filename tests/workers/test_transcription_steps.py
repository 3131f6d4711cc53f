"""Steps of a transcription, on a store of this process: what is kept and what is redone."""
# ruff: noqa: ARG002 - stand-ins have the arguments of what they stand for

from dataclasses import dataclass, field, replace

import orjson
import pytest

from shared import objects
from shared.core.audio_work import MOST_TRIES, Piece, Stage, Work, of_json
from shared.core.cutting import Span
from shared.core.model import Kind, Need, Priority, Status
from shared.errors import Refused, StoreError
from shared.queue.types import Claim, Verdict
from shared.routing import Route
from shared.store.types import Family, JobRecord
from workers.transcribing.step import (
    LOOK_MS,
    MOST_STORE_TRIES,
    PATIENCE,
    Tools,
    Transcriptions,
)

LANE = "own/transcriptions@shared"
REQUEST = {"model": "m", "file_id": "file-1", "prompt": "names", "language": "en"}
PARTS = 3
MINUTE_MS = 60_000


def recording():
    spans = [Span(n * MINUTE_MS, (n + 1) * MINUTE_MS, n * MINUTE_MS, (n + 1) * MINUTE_MS)
             for n in range(PARTS)]  # fmt: skip
    pieces = [
        Piece(span, Stage.TO_DO, name=f"files/p{n}", size=9, digest=f"d{n}")
        for n, span in enumerate(spans)
    ]
    return Work(PARTS * MINUTE_MS, "digest", tuple(pieces))


@dataclass
class Recordings:
    """Cuts one recording; `gone` are parts that are no longer kept."""

    work: Work = field(default_factory=recording)
    gone: set[str] = field(default_factory=set)
    cuts: int = 0
    dropped: bool = False
    problem: Exception | None = None

    async def cut_up(self, request, tenant, job, mark, *, most_ms, tell, voices=False):
        if self.problem:
            raise self.problem
        self.cuts += 1
        await tell("cutting")
        again = [replace(one, name=f"{one.name}-{mark}") for one in self.work.pieces]
        return replace(self.work, pieces=tuple(again))

    async def there(self, name):
        return name not in self.gone

    async def drop(self, work):
        self.dropped = True


@dataclass
class Router:
    """Two deployments, or none now."""

    lanes: tuple[str, ...] = ("a/m@shared", "b/m@shared")
    refusal: Refused | None = None

    def route(self, features, tenant, lanes, now_ms):
        if self.refusal:
            raise self.refusal
        assert (features.kind, features.allowed_models) == (Kind.TRANSCRIPTION, frozenset({"m"}))
        return Route(self.lanes[0], self.lanes, (), ())

    def lengths_ms(self, features, tenant):
        return (MINUTE_MS, MINUTE_MS)


@dataclass
class Store:
    """What the jobs, lanes and the hand of a step are."""

    state: object = None
    ended: int = 0
    records: dict[str, JobRecord] = field(default_factory=dict)
    told: list[dict] = field(default_factory=list)
    claim: Claim | None = None

    async def family(self, job_id):
        return Family(self.state, tuple(self.records), self.ended)

    async def many(self, ids):
        return [self.records.get(one) for one in ids]

    async def lane_states(self):
        return {}

    async def emit(self, kind, data):
        self.told.append(orjson.loads(data))

    def now_ms(self):
        return 1_000


@dataclass
class World:
    store: Store = field(default_factory=Store)
    recordings: Recordings = field(default_factory=Recordings)
    router: Router = field(default_factory=Router)
    fence: int = 0
    children: list = field(default_factory=list)
    doc: dict = field(default_factory=dict)
    request: dict = field(default_factory=lambda: REQUEST)

    async def step(self, **claim):
        """Takes a step and applies what it reports."""
        self.fence += 1
        doc = self.doc | {
            "request": self.request, "model": "m", "paid": "never",
            "family": {"allowed_models": ["m"], "weight": 3, "mode": None},
            "policy": {"max_attempts": 2},
        }  # fmt: skip
        told = Claim(
            job_id="job_1", fence=self.fence, lane=LANE, credential="", tenant="t",
            kind=Kind.TRANSCRIPTION, priority=Priority.BULK, need=Need(), created_ms=0,
            claimed_ms=0, deadline_ms=91_000, attempts=0, requeues=0, lost_leases=0,
            candidates=(LANE,), paid_lanes=(), doc=orjson.dumps(doc),
        )  # fmt: skip
        self.store.claim = replace(told, **claim)
        tools = Tools(self.store, self.store, self.recordings, lambda: self.router)
        report = await Transcriptions(tools).step(self.store)
        if report.verdict is Verdict.WAIT:
            self.store.state = orjson.loads(report.state)
            self.children += report.outbox
            self.store.records |= {one.id: living(one) for one in report.outbox}
        return report

    @property
    def work(self):
        return of_json(self.store.state["work"])

    def begin(self, child):
        self.store.records[child.id] = replace(living(child), status=Status.IN_PROGRESS)

    def end(
        self, child, status=Status.COMPLETED, *, text="", error=None, tried=(), outcome="unsuited"
    ):
        result = {"text": text, "duration": 60.0, "language": "en"}
        body = orjson.dumps(result) if status is Status.COMPLETED else None
        attempts = tuple({"deployment": one, "outcome": outcome} for one in tried)
        self.store.ended += 1
        self.store.records[child.id] = replace(
            living(child), status=status, result=body, error=error, attempts=attempts
        )


def living(child):
    return JobRecord(
        id=child.id, tenant="t", kind=Kind.TRANSCRIPTION, status=Status.QUEUED,
        priority=Priority.BULK, created_ms=0, started_ms=0, completed_ms=0, deadline_ms=None,
        lane=child.lane, due_ms=None, attempts=(), requeues=0, uncertain_repeats=0, doc={},
        result=None, error=None, usage=None, cost_microusd=0, events=0,
    )  # fmt: skip


@pytest.fixture
def world():
    return World()


async def test_the_first_step_cuts_and_hands_out_every_part(world):
    report = await world.step()
    assert (report.verdict, report.awaits, len(report.outbox)) == (Verdict.WAIT, 2, PARTS)
    assert world.store.told[-1]["step"] == {"phase": "cutting"}
    child = report.outbox[1]
    assert (child.parent, child.tenant, child.weight) == ("job_1", "t", 3)
    assert (child.lane, child.candidates) == ("a/m@shared", ("a/m@shared", "b/m@shared"))
    assert (child.need, child.deadline_ms) == (Need(audio_seconds=60), 90_000)
    doc = orjson.loads(child.doc)
    assert doc["policy"] == {"max_attempts": 2}
    assert doc["request"] == {
        "object": "files/p1-1", "filename": "part-001.flac", "content_type": "audio/flac",
        "seconds": 60.0, "digest": "d1", "model": "m", "response_format": "verbose_json",
        "timestamp_granularities": ["segment", "word"], "language": "en", "prompt": "names",
    }  # fmt: skip
    assert report.progress["parts"] == {"total": PARTS, "completed": 0, "failed": 0}


async def test_steps_hear_and_wait_and_the_last_one_joins_and_removes_the_parts(world):
    await world.step()
    one, two, three = world.children
    world.end(one, text="first.")
    world.end(two, text="second.")
    report = await world.step()
    assert (report.verdict, report.outbox, report.awaits) == (Verdict.WAIT, [], 3)
    assert report.progress["seconds"] == {"total": 180.0, "completed": 120.0}
    world.end(three, text="third.")
    report = await world.step()
    assert report.verdict is Verdict.COMPLETE
    result = orjson.loads(report.result)
    assert (result["text"], result["duration"], result["language"]) == (
        "first. second. third.", 180.0, "english",
    )  # fmt: skip
    assert [one["start"] for one in result["segments"]] == [0, 60, 120]
    assert (world.recordings.cuts, world.recordings.dropped) == (1, True)


def deltas(world):
    return [(one["offset"], one["delta"]) for one in world.store.told if "delta" in one]


async def test_a_streamed_one_tells_each_part_as_soon_as_all_before_it_are_heard(world):
    world.doc = {"stream": True}
    assert (await world.step()).awaits == 1
    one, two, three = world.children
    world.end(two, text="second.")
    assert (await world.step()).awaits == 2
    assert deltas(world) == []
    world.end(one, text=" first. ")
    await world.step()
    assert deltas(world) == [(0, "first."), (6, " second.")]
    world.end(three, text="third.")
    report = await world.step()
    assert deltas(world)[2:] == [(14, " third.")]
    text = "".join(delta for _, delta in deltas(world))
    assert orjson.loads(report.result)["text"] == text == "first. second. third."


async def test_a_step_that_is_taken_again_tells_the_same_at_the_same_place(world):
    world.doc = {"stream": True}
    await world.step()
    world.end(world.children[0], text="first.")
    before = world.store.state
    await world.step()
    world.store.state = before
    await world.step()
    assert deltas(world) == [(0, "first."), (0, "first.")]


async def test_a_part_that_shares_sound_is_told_when_the_next_is_heard(world):
    whole = recording()
    spans = [(0, 61_000, 0, 60_000), (59_000, 121_000, 60_000, 120_000),
             (119_000, 180_000, 120_000, 180_000)]  # fmt: skip
    pieces = [replace(one, span=Span(*span)) for one, span in zip(whole.pieces, spans, strict=True)]
    world.recordings.work = replace(whole, pieces=tuple(pieces))
    world.doc = {"stream": True}
    await world.step()
    one, two, three = world.children
    world.end(one, text="and so it was the best of times")
    await world.step()
    assert deltas(world) == []
    world.end(two, text="the best of times it was the worst of")
    await world.step()
    assert "".join(delta for _, delta in deltas(world)) == "and so it was the best of times"
    world.end(three, text="the worst of times")
    report = await world.step()
    text = "".join(delta for _, delta in deltas(world))
    assert orjson.loads(report.result)["text"] == text
    assert text == "and so it was the best of times it was the worst of times"


async def test_a_part_in_which_nothing_is_heard_holds_no_stream_up(world):
    whole = recording()
    silent = replace(whole.pieces[1], stage=Stage.SILENT, name=None)
    world.recordings.work = replace(whole, pieces=(whole.pieces[0], silent, whole.pieces[2]))
    world.doc = {"stream": True}
    await world.step()
    for child, text in zip(world.children, ("one", "three"), strict=True):
        world.end(child, text=text)
        await world.step()
    assert deltas(world) == [(0, "one"), (3, " three")]


async def test_who_is_not_streamed_to_is_told_nothing_and_kept_nothing_of_it(world):
    await world.step()
    world.end(world.children[0], text="first.")
    await world.step()
    assert deltas(world) == []
    assert world.store.state["told"] is None


async def test_a_translation_is_in_english_whatever_was_heard(world):
    world.request = {"model": "m", "file_id": "file-1", "task": "translate"}
    report = await world.step()
    request = orjson.loads(report.outbox[0].doc)["request"]
    assert (request["task"], "timestamp_granularities" in request) == ("translate", False)
    for child in world.children:
        world.end(child, text="x")
    result = orjson.loads((await world.step()).result)
    assert (result["task"], result["language"]) == ("translate", "english")


async def test_a_result_that_is_no_longer_kept_is_heard_anew_and_only_that(world):
    await world.step()
    for child in world.children:
        world.end(child, text="x")
    del world.store.records[world.children[1].id]
    report = await world.step()
    assert report.verdict is Verdict.WAIT
    (child,) = report.outbox
    assert (child.id, world.work.pieces[1].stage) == ("job_1-3", Stage.OUT)
    assert [one.stage for one in world.work.pieces].count(Stage.HEARD) == 2


async def test_a_part_that_failed_goes_elsewhere_and_then_the_job_fails_and_can_go_on(world):
    await world.step()
    first, *rest = world.children
    for child in rest:
        world.end(child, text="x")
    bad = {"message": "no", "code": "bad", "status": 400}
    world.end(first, Status.FAILED, error=bad, tried=["a/m"])
    (again,) = (await world.step()).outbox
    assert again.candidates == ("b/m@shared",)
    world.end(again, Status.FAILED, error=bad, tried=["b/m"])
    assert (await world.step()).verdict is Verdict.WAIT
    report = await world.step()
    assert report.verdict is Verdict.FAIL
    assert report.error["message"] == (
        "the part from 0:00:00 to 0:01:00 could not be transcribed: no. What was heard is in the"
        " job with ?partial=true; a replay hears only the rest"
    )
    assert (report.error["code"], report.error["status"]) == ("bad", 400)
    (replayed,) = (await world.step()).outbox  # another claim: it was replayed
    assert replayed.candidates == ("a/m@shared", "b/m@shared")


BAD = {"message": "no", "code": "bad", "status": 400}


async def lose(world, child):
    """A part is refused by all there is."""
    world.router.lanes = ("a/m@shared",)
    world.end(child, Status.FAILED, error=BAD, tried=["a/m"])
    return await world.step()


async def test_a_part_that_is_lost_does_not_keep_the_others_from_being_heard(world):
    await world.step()
    first, two, three = world.children
    world.begin(two)
    report = await lose(world, first)
    assert (report.verdict, report.outbox, report.awaits) == (Verdict.WAIT, [], 1)
    assert report.progress["parts"] == {"total": PARTS, "completed": 0, "failed": 1}
    report = await world.step()
    assert (report.verdict, report.delay_ms) == (Verdict.REQUEUE, LOOK_MS)
    world.end(two, text="x")
    world.begin(three)
    assert (await world.step()).verdict is Verdict.WAIT
    world.end(three, text="y")
    assert (await world.step()).reason == "failing"
    assert (await world.step()).verdict is Verdict.FAIL
    (again,) = (await world.step()).outbox
    assert orjson.loads(again.doc)["request"]["object"] == "files/p0-1"


async def test_nobody_waits_for_parts_that_nobody_hears_where_one_is_lost(world):
    await world.step()
    first, two, _ = world.children
    world.begin(two)
    await lose(world, first)
    world.store.records[two.id] = living(two)  # it goes back to its lane, and that rests
    assert (await world.step()).reason == "failing"
    assert (await world.step()).verdict is Verdict.FAIL
    assert len((await world.step()).outbox) == 1


async def test_where_everything_is_refused_it_is_given_up_and_says_how_much(world):
    await world.step()
    one, two, three = world.children
    for child in (one, two, three):
        world.begin(three)
        report = await lose(world, child)
    assert report.reason == "failing"
    report = await world.step()
    assert report.error["message"] == (
        "the part from 0:00:00 to 0:01:00 could not be transcribed, nor could 2 more: no"
    )


@pytest.mark.parametrize("outcome", ["overloaded", "unreachable"])
async def test_a_part_may_go_back_to_who_was_in_trouble_where_the_last_one_is_away(world, outcome):
    await world.step()
    busy = {"message": "no", "code": "all_attempts_failed", "status": 502}
    world.end(world.children[0], Status.FAILED, error=busy, tried=["a/m"], outcome=outcome)
    (again,) = (await world.step()).outbox
    assert (again.lane, again.delay_ms) == ("b/m@shared", 0)  # who was not tried comes first
    assert again.candidates == ("b/m@shared", "a/m@shared")


async def test_trouble_of_providers_is_tried_again_later_but_not_for_ever(world):
    await world.step()
    delays = []
    for _ in range(MOST_TRIES - 1):
        busy = {"message": "no", "code": "all_attempts_failed", "status": 502}
        world.end(world.children[-1], Status.FAILED, error=busy, tried=["a/m", "b/m"])
        (again,) = (await world.step()).outbox
        delays.append(again.delay_ms)
    assert delays == [4_000, 8_000]
    world.end(world.children[-1], Status.FAILED, error=busy, tried=["a/m", "b/m"])
    await world.step()
    assert (await world.step()).verdict is Verdict.FAIL


async def test_sound_that_is_gone_is_cut_anew_and_what_was_heard_stays(world):
    await world.step()
    one, two, three = world.children
    world.end(one, text="x")
    world.end(two, Status.CANCELLED)
    world.end(three, text="y")
    world.recordings.gone = {"files/p1-1"}
    (again,) = (await world.step()).outbox
    assert orjson.loads(again.doc)["request"]["object"] == "files/p1-2"
    assert world.recordings.cuts == 2
    assert [one.stage for one in world.work.pieces].count(Stage.HEARD) == 2


async def test_where_nothing_can_serve_now_the_work_is_kept_and_looked_at_again(world):
    world.router.refusal = Refused("none now", status=503, code="no_capacity")
    report = await world.step()
    assert (report.verdict, report.outbox, report.awaits) == (Verdict.WAIT, [], 0)
    report = await world.step()
    assert (report.verdict, report.delay_ms) == (Verdict.REQUEUE, 30_000)
    assert world.recordings.cuts == 1
    report = await world.step(requeues=PATIENCE)
    assert (report.verdict, report.error["code"]) == (Verdict.FAIL, "no_capacity")
    world.router.refusal = None
    assert len((await world.step()).outbox) == PARTS


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (StoreError("away"), "store_unavailable"),
        (objects.NoSuchObject("away"), "object_store_unavailable"),
    ],
)
async def test_a_store_that_does_not_answer_is_asked_again_but_not_for_ever(world, problem, code):
    world.recordings.problem = problem
    report = await world.step(attempts=2)
    assert (report.verdict, report.delay_ms) == (Verdict.RETRY, 4_000)
    report = await world.step(attempts=MOST_STORE_TRIES)
    assert (report.verdict, report.error["code"]) == (Verdict.FAIL, code)


async def test_what_is_wrong_with_a_recording_is_the_error_of_the_job(world):
    world.recordings.problem = Refused("a.mp3: it is text", status=422, param="file", code="x")
    report = await world.step()
    assert report.verdict is Verdict.FAIL
    assert report.error == {
        "message": "a.mp3: it is text", "type": "invalid_request_error", "param": "file",
        "code": "x", "status": 422,
    }  # fmt: skip


async def test_a_recording_in_which_nothing_is_heard_needs_no_child(world):
    silent = tuple(replace(one, stage=Stage.SILENT, name=None) for one in recording().pieces)
    world.recordings.work = replace(recording(), pieces=silent)
    report = await world.step()
    assert report.verdict is Verdict.COMPLETE
    assert orjson.loads(report.result)["text"] == ""
