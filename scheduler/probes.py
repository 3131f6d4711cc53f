"""Tries again what was set aside: dead credentials, and models that were gone.

A worker lists the provider's models with a dead credential. A model that was gone is open again
after a while: nothing costs less than the job that wants it, which moves on where it still is gone.
"""

from collections.abc import Awaitable, Callable

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore
from shared.core.probing import plan

log = structlog.get_logger(__name__)

GONE_TIMES = 60
"""So much longer a model rests than a key: an hour where a key has a minute."""


class Probes:
    """One look a turn. Where nothing is set aside it waits for an event and for nothing else."""

    def __init__(self, store: SchedulerStore, bell: Bell, first_ms: int) -> None:
        self._store = store
        self._bell = bell
        self._first_ms = first_ms

    async def turn(self) -> None:
        """Asks for the probes that are due, then sleeps until the next one is."""
        due = []
        for dead in await self._store.dead():
            name = dead.credential
            due.append(await self._look(name, dead.tries, dead.at_ms, self._first_ms, self._probe))
        for gone in await self._store.gone():
            first_ms = GONE_TIMES * self._first_ms
            due.append(await self._look(gone.name, gone.tries, gone.at_ms, first_ms, self._reopen))
        pause_s = None
        if due:
            pause_s = max(0.01, (min(due) - await self._store.now_ms()) / 1_000)
        await self._bell.wait(pause_s)

    async def _look(
        self,
        name: str,
        tries: int,
        at_ms: int | None,
        first_ms: int,
        again: Callable[[str, int], Awaitable[None]],
    ) -> int:
        """Does what is to be done about one of them now; returns when to look again."""
        now_ms = await self._store.now_ms()
        what = plan(tries, at_ms, now_ms, first_ms)
        if what.note:
            await self._store.note_probe(name, what.tries, now_ms)
        if what.probe:
            await again(name, what.tries)
        return what.due_ms

    async def _probe(self, credential: str, tries: int) -> None:
        await self._store.probe(credential, tries)
        log.info("credential_probed", credential=credential, tries=tries)

    async def _reopen(self, name: str, tries: int) -> None:
        await self._store.reopen(name)
        log.info("model_reopened", lane=name.rpartition("|")[0], tries=tries)
