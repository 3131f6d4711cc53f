"""Progress where no terminal shows it: lines for a log, or events as JSON lines, on stderr.

One at the beginning, at each tenth, where its state changes, when it begins to wait for something
else, and every 30 s. What else is told, and the end, is told by whoever uses this.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

EVERY_S: Final = 30.0
WAITS_S: Final = 10.0  # between two lines that differ by what is waited for only
_UNTIL: Final = re.compile(r",? until [0-9: -]+")
TENTHS: Final = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """How work stands. `words` say it to a person, `facts` to a script; `waits` for what.

    `documents`: how many are done of how many, where that says more than `done` and `total`.
    """

    done: int
    total: int
    words: str
    state: str = ""
    waits: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    documents: tuple[int, int] | None = None

    @property
    def tenth(self) -> int:
        """How many tenths are done."""
        done, total = self.documents or (self.done, self.total)
        return done * TENTHS // total if total else 0

    @property
    def line(self) -> str:
        """It for a person: of documents, where a work holds several."""
        of = "{} of {} documents" if self.documents else "{} of {}"
        done_of = of.format(*(self.documents or (self.done, self.total)))
        return f"{done_of}: {self.words}".removesuffix(": ")

    @property
    def waits_for(self) -> str:
        """What it waits for, whenever that comes: the moment changes all the time."""
        return _UNTIL.sub("", self.waits or "")


class Teller:
    """Says how work stands when there is something new to say."""

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        as_json: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._json, self._clock = say, as_json, clock
        self._told: Standing | None = None
        self._told_s = 0.0

    def stands(self, now: Standing) -> None:
        """Says it, if it is time."""
        why = self._why(now)
        if why is None:
            return
        self._told, self._told_s = now, self._clock()
        if self._json:
            facts = {"done": now.done, "total": now.total, "state": now.state or None}
            self.event("progress", why=why, **facts, waits_for=now.waits, **now.facts)
        else:
            self._say(now.line)

    def event(self, event: str, **facts: Any) -> None:
        """One event as a JSON line."""
        self._say(orjson.dumps({"event": event, **facts}).decode())

    def _why(self, now: Standing) -> str | None:
        """What is new: `begins`, `state`, `tenth`, `waits`, `time`; None where nothing is."""
        told, quiet_s = self._told, self._clock() - self._told_s
        if told is None:
            return "begins"
        if now.state != told.state:
            return "state"
        if now.tenth != told.tenth:
            return "tenth"
        if now.waits_for not in ("", told.waits_for) and quiet_s >= WAITS_S:
            return "waits"
        return "time" if quiet_s >= EVERY_S else None
