"""Moves queued jobs between lanes: on events, and now and then while there is a backlog."""

import asyncio

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore
from shared.core.backlog import Move
from shared.core.rebalance import plan

log = structlog.get_logger(__name__)

DEBOUNCE_S = 0.06
SAFETY_S = 7.0
MOVE_BATCH = 500
MOVES_A_PASS = 10_000


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

    async def turn(self) -> None:
        """Waits for a reason, lets others join it, plans, moves."""
        rung = await self._bell.wait(self._safety_s if self._backlog else None)
        if rung:
            await asyncio.sleep(self._debounce_s)
            await self._bell.wait(0)
        try:
            self._backlog = await self._store.queued() > 0
            if self._backlog:
                await self.once()
        except BaseException:
            self._bell.ring()  # whatever was announced is not done yet
            raise

    async def once(self) -> int:
        """Plans on a fresh snapshot and carries the plan out; returns the jobs moved."""
        snapshot = await self._store.snapshot()
        moves = await asyncio.to_thread(plan, snapshot) if snapshot.queued else ()
        moved = 0
        for move in moves:
            if moved >= MOVES_A_PASS:
                self._bell.ring()
                break
            moved += await self._carry_out(move, MOVES_A_PASS - moved)
        if moves:
            log.info("rebalanced", moves=len(moves), jobs=moved)
        return moved

    async def _carry_out(self, move: Move, most: int) -> int:
        moved, wanted = 0, min(move.count, most)
        while moved < wanted:
            batch = min(MOVE_BATCH, wanted - moved)
            part = Move(
                move.source, move.target, batch, move.priority, move.signature, move.reason,
                move.deadline_ms,
            )  # fmt: skip
            done = await self._store.move(part, self._fence)
            moved += done
            if done < batch:
                break
        return moved
