"""Callers' keys as the files say now: a key made or taken away counts within two seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from shared.clock import Clock
from shared.credentials import ApiKey, ApiKeys
from shared.errors import ConfigError

log = structlog.get_logger(__name__)

LOOK_MS: Final = 2_000


class FileKeys:
    """The keys `load` gives, loaded again when `path` has changed."""

    def __init__(self, load: Callable[[], ApiKeys], path: Path | None, clock: Clock) -> None:
        self._load = load
        self._path = path
        self._clock = clock
        self._keys = load()
        self._seen = self._stamp()
        self._next_look_ms = clock.monotonic_ms() + LOOK_MS

    def find(self, key: str) -> ApiKey | None:
        """Who a key belongs to; None if nobody."""
        if self._path is not None and self._clock.monotonic_ms() >= self._next_look_ms:
            self._look()
        return self._keys.find(key)

    def all(self) -> tuple[ApiKey, ...]:
        """All of them."""
        return self._keys.all()

    def _look(self) -> None:
        self._next_look_ms = self._clock.monotonic_ms() + LOOK_MS
        stamp = self._stamp()
        if stamp == self._seen:
            return
        try:
            self._keys = self._load()
        except ConfigError as problem:  # a bad file takes nobody's key away
            log.warning("api_keys_unreadable", error=str(problem))
        else:
            self._seen = stamp
            log.info("api_keys_loaded", keys=len(self._keys))

    def _stamp(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino
