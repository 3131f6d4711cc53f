"""One step of a summary: hear, go on, read, hand out, report."""

from dataclasses import replace
from typing import Final

import orjson
import structlog

from shared.core import summary_results as results
from shared.core.summary_work import (
    COMBINED,
    Stage,
    State,
    all_over,
    begin,
    documents,
    fresh,
    of_json,
    pause,
    progress,
    revived,
    to_json,
)
from shared.errors import StoreError
from shared.queue.hand import Hand
from shared.queue.types import Claim, Report, Verdict
from shared.summaries import entries
from workers.summaries.calls import Calls, Family
from workers.summaries.cutting import advance, read
from workers.summaries.draft import MOST_OUT, Draft
from workers.summaries.handing import hand_out
from workers.summaries.hearing import hear
from workers.summaries.tools import Asked, Tools, asked_of

log = structlog.get_logger(__name__)

REST_MS: Final = 30_000  # where no provider can be asked now
STORE_REST_MS: Final = 5_000
STORE_PATIENCE: Final = 720  # such rests, an hour
PATIENCE: Final = 120  # such rests, an hour, before what is left fails


class Summaries:
    """The actor of the lane `own/summaries@shared`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def step(self, hand: Hand) -> Report:
        """Takes one step of the claimed summary."""
        try:
            return await self._step(hand.claim, hand.now_ms())
        except StoreError as problem:  # its state is as it was: the step is taken again
            log.warning("step_put_off", job_id=hand.claim.job_id, error=str(problem)[:200])
            if hand.claim.requeues >= STORE_PATIENCE:
                error = {"message": problem.advice, "type": "server_error", "code": problem.code}
                return Report(Verdict.FAIL, error=error, reason="store")
            return Report(Verdict.REQUEUE, delay_ms=STORE_REST_MS, reason="store", reached=False)

    async def _step(self, claim: Claim, now_ms: int) -> Report:
        asked, tools = asked_of(claim), self._tools
        family = await tools.jobs.family(claim.job_id)
        before = begin(len(asked.documents)) if family.state is None else of_json(family.state)
        if before.failing and before.failing == claim.fence - 1:
            told = await entries(tools.kept, claim.job_id, asked.doc, before)
            return Report(Verdict.FAIL, error=results.nothing_done(told), reason="no_document")
        if before.failing:
            before = revived(before)
        await tools.kept.done_with(claim.job_id, before.stale)
        draft = Draft(tools, claim, asked, await self._calls(claim, asked, now_ms), fresh(before))
        for act in (hear, advance, read, hand_out):
            await act(draft)
        if draft.dropped:
            await tools.jobs.cancel_all(draft.dropped, claim.tenant, "not_needed")
        if finished(draft):
            return await self._end(draft)
        return _go_on(draft, fresh(before), family.ended)

    async def _calls(self, claim: Claim, asked: Asked, now_ms: int) -> Calls:
        (me,) = await self._tools.jobs.many([claim.job_id])
        spent = me.cost_microusd if me is not None else 0
        lanes = await self._tools.lanes.lane_states()
        tools = self._tools
        family = Family(claim, asked.doc, spent, tools.cost_cap_microusd, tools.sharing)
        return Calls(family, self._tools.router(), lanes, now_ms)

    async def _end(self, draft: Draft) -> Report:
        """Completes; or says with a step of its own that it fails, so that a replay can tell."""
        state, claim, kept = draft.state, draft.claim, self._tools.kept
        if not any(work.stage is Stage.DONE for work in documents(state)):
            return _waiting(draft, replace(state, failing=claim.fence), 0)
        told = await entries(kept, claim.job_id, draft.asked.doc, state)
        combined = None
        if state.works[-1].index == COMBINED:
            combined = told.pop()
        (me,) = await self._tools.jobs.many([claim.job_id])
        usage = None if me is None else me.usage
        model = draft.asked.request.model
        made = results.result(model, state.models, told, combined, usage)
        await kept.done_with(claim.job_id, [*state.stale, *(w.answer for w in state.works)])
        await kept.done_with(*draft.asked.home)  # what is completed is not replayed
        return Report(Verdict.COMPLETE, result=orjson.dumps(made), reason="summarised")


def finished(draft: Draft) -> bool:
    """Whether all documents have ended, and the summary over all where it is wanted."""
    state = draft.state
    if not all_over(state):
        return False
    wanted = draft.asked.request.combined
    possible = any(work.stage is Stage.DONE for work in documents(state))
    return not (wanted and possible) or (
        state.works[-1].index == COMBINED and state.works[-1].stage.over
    )


def _go_on(draft: Draft, before: State, ended: int) -> Report:
    """When the next step is to be taken, and what is kept until then."""
    state, out = draft.state, len(draft.state.calls)
    more = _fresh(state) and state.busy < MOST_OUT
    if draft.blocked is None:
        if out == 0 and state == before:  # no step would change anything
            _give_up(draft, "it cannot be gone on with", "internal_error")
        return _waiting(draft, draft.state, ended if more or not out else ended + pause(out))
    if out:
        return _waiting(draft, state, ended + pause(out))
    if draft.claim.requeues >= PATIENCE:
        _give_up(draft, draft.blocked.message, draft.blocked.code or "no_capacity")
    elif state == before:
        reason = draft.blocked.code or "no_capacity"
        return Report(Verdict.REQUEUE, delay_ms=REST_MS, reason=reason, reached=False)
    return _waiting(draft, draft.state, ended)


def _give_up(draft: Draft, message: str, code: str) -> None:
    for work in draft.state.works:
        if not work.stage.over:
            draft.fail(work, message, code)


def _waiting(draft: Draft, state: State, awaits: int) -> Report:
    told = progress(state, len(draft.asked.documents), reading=_fresh(state))
    return Report(
        Verdict.WAIT,
        outbox=tuple(draft.jobs),
        state=orjson.dumps(to_json(state)),
        awaits=awaits,
        progress=told,
        reason="step",
    )


def _fresh(state: State) -> bool:
    return any(work.stage is Stage.FRESH for work in state.works)
