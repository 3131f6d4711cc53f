"""Tries dead credentials again: a worker lists the provider's models with them, now and then."""

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore
from shared.core.probing import plan

log = structlog.get_logger(__name__)


class Probes:
    """One look a turn. Where no credential is dead it waits for an event and for nothing else."""

    def __init__(self, store: SchedulerStore, bell: Bell, first_ms: int) -> None:
        self._store = store
        self._bell = bell
        self._first_ms = first_ms

    async def turn(self) -> None:
        """Asks for the probes that are due, then sleeps until the next one is."""
        next_ms: int | None = None
        probed = set[str]()  # one probe tells of all lanes of a credential
        for dead in await self._store.dead():
            now_ms = await self._store.now_ms()
            what = plan(dead.tries, dead.at_ms, now_ms, self._first_ms)
            if what.note:
                await self._store.note_probe(dead.name, what.tries, now_ms)
            if what.probe and dead.credential not in probed:
                probed.add(dead.credential)
                await self._store.probe(dead.credential, what.tries)
                log.info("credential_probed", credential=dead.credential, tries=what.tries)
            next_ms = what.due_ms if next_ms is None else min(next_ms, what.due_ms)
        pause_s = None
        if next_ms is not None:
            pause_s = max(0.01, (next_ms - await self._store.now_ms()) / 1_000)
        await self._bell.wait(pause_s)
