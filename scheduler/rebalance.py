"""Moves queued jobs between lanes: on events, when a plan says so, and now and then.

A plan names the moment when paying must begin at the latest: the duty sleeps no longer than that.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from math import inf

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore
from shared.core.backlog import Move, Snapshot
from shared.core.rebalance import Plan, plan

log = structlog.get_logger(__name__)

DEBOUNCE_S = 0.06
SAFETY_S = 7.0
MOVE_BATCH = 500
MOVES_A_CALL = 64
MOVES_A_PASS = 10_000
LEAST_LOOK_S = 0.05
WEIGHT = 0.2
PASSES = 8
PAYMENTS_TOLD = 50


class Rebalance:
    """One pass a turn. Idle (nothing queued) it waits for an event and for nothing else."""

    def __init__(
        self,
        store: SchedulerStore,
        bell: Bell,
        fence: int,
        *,
        debounce_s: float = DEBOUNCE_S,
        safety_s: float = SAFETY_S,
    ) -> None:
        self._store = store
        self._bell = bell
        self._fence = fence
        self._debounce_s = debounce_s
        self._safety_s = safety_s
        self._backlog = True
        self._pass_s = 0.0
        self._look_at = inf

    async def turn(self) -> None:
        """Waits for a reason, lets others join it, plans, moves."""
        rung = await self._bell.wait(self._sleep_s())
        if rung:  # others may join, but for no longer than a plan waits
            await asyncio.sleep(min(self._debounce_s, self._until_look_s()))
            await self._bell.wait(0)
        try:
            self._backlog = await self._store.queued() > 0
            if self._backlog:
                await self.once()
        except BaseException:
            self._bell.ring()  # whatever was announced is not done yet
            raise

    def _sleep_s(self) -> float | None:
        """Until the next look; None: until it is rung."""
        return min(self._safety_s, self._until_look_s()) if self._backlog else None

    def _until_look_s(self) -> float:
        until_s = self._look_at - asyncio.get_running_loop().time()
        return max(until_s, self._least_s)

    @property
    def _least_s(self) -> float:
        """The least time between two looks: half of all time at the most goes into looking."""
        return max(LEAST_LOOK_S, self._pass_s)

    @property
    def _lead_ms(self) -> int:
        """From a look until the moves of the one after it are made, if that one comes at once.

        Passes tell how busy the machine is, and so how long calls of ours may be held up.
        """
        return round(1_000 * (self._least_s + PASSES * self._pass_s))

    async def once(self) -> int:
        """Plans on a fresh snapshot and carries the plan out; returns the jobs moved."""
        clock = asyncio.get_running_loop().time
        began = clock()
        snapshot = replace(await self._store.snapshot(), lead_ms=self._lead_ms)
        read = clock()
        found = await asyncio.to_thread(plan, snapshot)
        planned = clock()
        moved = await self.carry_out(found.moves)
        if moved:  # most plans find nothing left to move: they are no news
            log.info("rebalanced", moves=len(found.moves), jobs=moved)
        ended = clock()
        _tell(snapshot, found, read - began, planned - read, ended - planned)
        self._pass_s += WEIGHT * (ended - began - self._pass_s)
        await self._sleep_until(began, snapshot.now_ms, found)
        return moved

    async def _sleep_until(self, began: float, now_ms: int, found: Plan) -> None:
        """Arms the next look and lets the store know, so that who must not wait for it rings."""
        look_ms = now_ms + round(1_000 * self._safety_s)
        self._look_at = inf
        if found.look_ms is not None:
            look_ms = min(look_ms, found.look_ms)
            self._look_at = began + (found.look_ms - now_ms) / 1_000
        await self._store.look(look_ms, found.notice_ms or self._lead_ms)

    async def carry_out(self, moves: Iterable[Move]) -> int:
        """All of them, in order, as many in a call as it may move jobs; returns the jobs moved."""
        left, moved = deque(moves), 0
        while left and moved < MOVES_A_PASS:
            batch, rest = batch_of(left)
            done = await self._store.move(batch, self._fence)
            moved += sum(done)
            if rest is not None and done[-1] == batch[-1].count:  # else no more of it is there
                left.appendleft(rest)
        if left:
            self._bell.ring()
        return moved


def batch_of(left: deque[Move]) -> tuple[list[Move], Move | None]:
    """Takes moves off `left` for one call, and what of the last of them is for the next."""
    batch, room = list[Move](), MOVE_BATCH
    while left and room and len(batch) < MOVES_A_CALL:
        move = left.popleft()
        part = replace(move, count=min(move.count, room))
        batch.append(part)
        room -= part.count
        if part.count < move.count:
            return batch, replace(move, count=move.count - part.count)
    return batch, None


def _tell(snapshot: Snapshot, found: Plan, read_s: float, plan_s: float, carry_s: float) -> None:
    """Says what a pass took and, of each payment, what free lanes would have started in time."""
    log.debug(
        "planned",
        at_ms=snapshot.now_ms,
        lead_ms=snapshot.lead_ms,
        look_ms=found.look_ms,
        queued=snapshot.queued,
        moves=len(found.moves),
        read_ms=round(1_000 * read_s),
        plan_ms=round(1_000 * plan_s),
        carry_ms=round(1_000 * carry_s),
    )
    for one in found.payments[:PAYMENTS_TOLD]:
        log.info(
            "pays",
            at_ms=snapshot.now_ms,
            source=one.source,
            target=one.target,
            jobs=one.jobs,
            deadline_ms=one.deadline_ms,
            free={each.lane: [each.starts, each.taken] for each in one.free},
        )
