"""One step of a transcription: cut, hear what parts came to, hand out, join, report."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson
import structlog

from shared.core import audio_work
from shared.core.audio_work import Stage, Unheard, Work
from shared.core.model import Status
from shared.core.outcome import FailureKind
from shared.core.sharing import Policy
from shared.errors import Refused, StoreError
from shared.queue.hand import Hand
from shared.queue.types import NewJob, Report, Verdict
from shared.routing import CatalogRouter
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from shared.store.types import JobRecord
from shared.transcriptions import result
from workers.transcribing.children import Family
from workers.transcribing.recording import Recordings
from workers.transcribing.streaming import Told, tell

log = structlog.get_logger(__name__)

QUEUE: Final = "transcriptions"
MOST_OUT: Final = 500  # parts of one recording at once
MOST_STORE_TRIES: Final = 8
STORE_REST_MS: Final = 1_000  # doubled each time
REST_MS: Final = 30_000  # where nothing can serve a part now
LOOK_MS: Final = 10_000  # where a part is lost, to see whether somebody still hears others
PATIENCE: Final = 120  # such rests, before the job fails
PASSING: Final = 500  # refusals from here on may pass
BAD_GATEWAY: Final = 502
TROUBLE: Final = frozenset(
    kind.value
    for kind in (
        *(FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED, FailureKind.OVERLOADED),
        *(FailureKind.TIMEOUT, FailureKind.UNREACHABLE),
    )
)
"""Outcomes of attempts that say nothing of what was asked."""
PARTLY: Final = "What was heard is in the job with ?partial=true; a replay hears only the rest"


@dataclass(frozen=True, slots=True)
class Tools:
    """A worker's own, shared by all steps.

    `router` is the newest, `cap_microusd` that of a day, `sharing` what the settings say of it.
    """

    jobs: Jobs
    lanes: Lanes
    recordings: Recordings
    router: Callable[[], CatalogRouter]
    cap_microusd: int | None = None
    sharing: Policy = Policy()  # noqa: RUF009 - it is frozen


@dataclass(slots=True)
class Draft:
    """What one step makes of where the work stands, which was `stored` before.

    `blocked`: why a part cannot be sent now.
    """

    hand: Hand
    family: Family
    work: Work
    ended: int
    stored: Work | None = None
    told: Told = Told()  # noqa: RUF009 - it is frozen
    children: list[NewJob] = field(default_factory=list)
    blocked: Refused | None = None


class Transcriptions:
    """The actor of the lane `own/transcriptions@shared`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def step(self, hand: Hand) -> Report:
        """Takes one step of the claimed transcription."""
        try:
            return await self._step(hand)
        except Refused as refused:
            return _failed(_error(refused.message, refused.code, refused.status, refused.param))
        except StoreError as problem:  # its state is as it was: the step is taken again
            tries = hand.claim.attempts
            log.warning("step_put_off", job_id=hand.claim.job_id, error=str(problem)[:200])
            if tries >= MOST_STORE_TRIES:
                return _failed(_error(problem.advice, problem.code, 503, None))
            return Report(Verdict.RETRY, delay_ms=STORE_REST_MS << tries, reason="store")

    async def _step(self, hand: Hand) -> Report:
        tools, claim = self._tools, hand.claim
        kin = await tools.jobs.family(claim.job_id)
        state = kin.state or {}
        again = bool(state.get("failing"))
        if again and state["failing"] == claim.fence - 1:
            return _failed(state["error"])
        family = await self._family(hand)
        if not state:
            work = await self._cut(hand, family)
            draft = Draft(hand, family, work, kin.ended)
        else:
            stored = audio_work.of_json(state["work"])
            work = audio_work.revived(stored) if again else stored
            told = Told.of_json(state.get("told"))
            draft = Draft(hand, family, work, kin.ended, stored, told)
            if (error := await self._hear(draft)) is not None:
                return _failing(draft, error)
            await self._ensure_sound(draft)
        if family.streamed:
            draft.told = await tell(hand, tools.jobs, draft.work, draft.told)
        if draft.work.whole and (report := await self._joined(draft)) is not None:
            return report
        return self._handed_out(draft)

    async def _family(self, hand: Hand) -> Family:
        claim = hand.claim
        (me,) = await self._tools.jobs.many([claim.job_id])
        return Family(
            claim=claim,
            doc=orjson.loads(claim.doc),
            router=self._tools.router(),
            lanes=await self._tools.lanes.lane_states(),
            now_ms=hand.now_ms(),
            spent_microusd=0 if me is None else me.cost_microusd,
            cap_microusd=self._tools.cap_microusd,
            sharing=self._tools.sharing,
        )

    async def _cut(self, hand: Hand, family: Family) -> Work:
        async def tell(phase: str) -> None:
            children = {"total": 0, "ended": 0, "completed": 0, "audio_seconds": 0}
            step = {"phase": phase}
            await hand.emit("job.progress", orjson.dumps({"children": children, "step": step}))

        claim, mark = hand.claim, str(hand.claim.fence)
        most_ms = family.most_ms()
        return await self._tools.recordings.cut_up(
            family.request,
            claim.tenant,
            claim.job_id,
            mark,
            most_ms=most_ms,
            tell=tell,
            voices=family.diarized,
        )

    async def _hear(self, draft: Draft) -> dict[str, Any] | None:
        """Takes in which children have ended; the error of the job, if a part is lost for good."""
        out = draft.work.of(Stage.OUT)
        ids = [piece.child or "" for piece in out.values()]
        ended: dict[str, Unheard | None] = {}
        records = await self._tools.jobs.many(ids)
        for at, record in zip(out, records, strict=True):
            if record is None:  # its result was kept long enough, and nobody came for it
                draft.work = audio_work.again(draft.work, at)
            elif record.status.final:
                ended[record.id] = _unheard(record)
        draft.work, failed = audio_work.taken(draft.work, ended)
        for at, unheard in failed.items():
            piece = draft.work.pieces[at]
            elsewhere = draft.family.elsewhere(piece)
            log.info("part_failed", job_id=draft.hand.claim.job_id, part=at, code=unheard.code)
            if audio_work.hopeless(piece, unheard, elsewhere=elsewhere):
                draft.work = audio_work.lost(draft.work, at, unheard)
        busy = any(one is not None and one.status is Status.IN_PROGRESS for one in records)
        return _lost(draft.work) if audio_work.given_up(draft.work, busy=busy) else None

    async def _ensure_sound(self, draft: Draft) -> None:
        """Cuts the recording anew where a part that is to be sent is no longer kept."""
        for piece in draft.work.of(Stage.TO_DO).values():
            if piece.name is None or not await self._tools.recordings.there(piece.name):
                new = await self._cut(draft.hand, draft.family)
                draft.work = audio_work.kept(new, draft.work)
                return

    async def _joined(self, draft: Draft) -> Report | None:
        """The result; None where some of it is no longer kept and must be heard anew."""
        heard = draft.work.of(Stage.HEARD)
        records = await self._tools.jobs.many([piece.child or "" for piece in heard.values()])
        results: dict[int, bytes] = {}
        for at, record in zip(heard, records, strict=True):
            if record is None or record.result is None:
                draft.work = audio_work.again(draft.work, at)
            else:
                results[at] = record.result
        if not draft.work.whole:
            await self._ensure_sound(draft)
            return None
        body = await asyncio.to_thread(result, draft.work, results, draft.family.request)
        await self._tools.recordings.drop(draft.work)
        return Report(Verdict.COMPLETE, result=body, reason="transcribed")

    def _handed_out(self, draft: Draft) -> Report:
        """Children for what is to be done, and the rest until some have ended."""
        job_id = draft.hand.claim.job_id
        for at, piece in draft.work.of(Stage.TO_DO).items():
            if len(draft.work.of(Stage.OUT)) >= MOST_OUT:
                break
            child_id = f"{job_id}-{draft.work.made}"
            try:
                job = draft.family.child(child_id, piece, at)
            except Refused as refused:
                if refused.status < PASSING:
                    raise
                draft.blocked = refused
                break
            draft.children.append(job)
            draft.work = audio_work.out(draft.work, at, child_id)
        return _waiting(draft)


def _waiting(draft: Draft) -> Report:
    work, out = draft.work, draft.work.of(Stage.OUT)
    if draft.blocked is not None and not out and work == draft.stored:
        if draft.hand.claim.requeues >= PATIENCE:
            raise draft.blocked
        return Report(Verdict.REQUEUE, delay_ms=REST_MS, reason="no_capacity", reached=False)
    if work.of(Stage.LOST) and work == draft.stored:  # a child that goes back wakes nobody
        return Report(Verdict.REQUEUE, delay_ms=LOOK_MS, reason="part_lost", reached=False)
    return Report(
        Verdict.WAIT,
        outbox=draft.children,
        state=_state(draft),
        awaits=_awaited(draft) if out else draft.ended,
        progress=audio_work.progress(work),
        reason="parts_out",
    )


def _failing(draft: Draft, error: dict[str, Any]) -> Report:
    """What was heard is kept first, and the next step fails: a replay goes on from there."""
    return Report(
        Verdict.WAIT,
        state=_state(draft, failing=draft.hand.claim.fence, error=error),
        awaits=draft.ended,
        progress=audio_work.progress(draft.work),
        reason="failing",
    )


def _awaited(draft: Draft) -> int:
    """How many children must have ended: who is told part by part is told of the next.

    Where a part is lost it is looked at once more: somebody must be busy with the others.
    """
    if draft.work.of(Stage.LOST):
        return draft.ended
    return draft.ended + 1 if draft.family.streamed else audio_work.awaited(draft.work, draft.ended)


def _state(draft: Draft, **more: Any) -> bytes:
    told = asdict(draft.told) if draft.family.streamed else None
    return orjson.dumps({"work": audio_work.to_json(draft.work), "told": told, **more})


def _lost(work: Work) -> dict[str, Any]:
    """The error of a job of which parts are lost: it names the first by its times."""
    gone = list(work.of(Stage.LOST).values())
    first = gone[0].unheard
    assert first is not None  # noqa: S101 - a lost one has it
    part = audio_work.span_named(gone[0].span)
    more = f", nor could {len(gone) - 1} more" if len(gone) > 1 else ""
    message = f"{part} could not be transcribed{more}: {first.message}"
    if work.of(Stage.HEARD):
        message += f". {PARTLY}"
    return _error(message, first.code, first.status, None)


def _unheard(record: JobRecord) -> Unheard | None:
    """None where a child has a result."""
    if record.status is Status.COMPLETED:
        return None
    error = record.error or {}
    said = error.get("status")
    return Unheard(
        message=str(error.get("message") or f"its job was {record.status.value}"),
        code=str(error.get("code") or f"part_{record.status.value}"),
        status=said if isinstance(said, int) else BAD_GATEWAY,
        tried=frozenset(str(one["deployment"]) for one in record.attempts if one.get("deployment")),
        troubled=_troubled(record.attempts),
    )


def _troubled(attempts: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The deployments of which no attempt was refused for what it asked."""
    outcomes = {str(one["deployment"]): set[str]() for one in attempts if one.get("deployment")}
    for one in attempts:
        if one.get("deployment"):
            outcomes[str(one["deployment"])].add(str(one.get("outcome")))
    return frozenset(name for name, seen in outcomes.items() if seen <= TROUBLE)


def _error(message: str, code: str | None, status: int, param: str | None) -> dict[str, Any]:
    kind = "invalid_request_error" if status < PASSING else "upstream_error"
    code = code or "transcription_failed"
    return {"message": message, "type": kind, "param": param, "code": code, "status": status}


def _failed(error: dict[str, Any]) -> Report:
    return Report(Verdict.FAIL, error=error, reason=str(error["code"]))
