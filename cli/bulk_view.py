"""What a person or a script sees of bulk work: bars and remarks on stderr, results on stdout."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from cli import show, typed
from cli.bulk import Outcome
from cli.countdown import Countdown, Far
from cli.telling import Standing, Teller

ORDER: Final = ("completed", "skipped", "failed", "expired", "cancelled", "refused")
SHOWN_PLACES: Final = 3
LEAST_S: Final = 0.1  # nothing that is not done takes no time
MANY: Final = 100  # of which tenths tell nothing
BEGINNING: Final = ("reading", "cutting")  # nothing of it can be counted yet


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is told. `measure` says what ended work amounted to: ("minutes of audio", 12.5).

    `warnings` are what a person should know of a result that is there.
    """

    measure: Callable[[dict[str, Any]], tuple[str, float]]
    warnings: Callable[[dict[str, Any]], Sequence[str]] = lambda _job: ()
    as_json: bool = False
    quiet: bool = False


class BulkView:
    """All works of one run."""

    def __init__(self, total: int, manner: Manner) -> None:
        self._total, self._manner = total, manner
        self._out, self._err = show.out(), show.err()
        self._live: dict[int, Outcome] = {}
        self._parts: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._unit, self._amount, self._cost = "", 0.0, 0.0
        self._began = time.monotonic()
        self._far: dict[int, Far] = {}
        self._countdown = Countdown(self._began)
        self._teller = Teller(self._tell, as_json=manner.as_json)
        self._bar: Progress | None = None
        if self._err.is_terminal and not manner.quiet:
            self._bar = Progress(
                SpinnerColumn(), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.description}"),
                console=self._err, transient=True, redirect_stdout=sys.stdout.isatty(),
            )  # fmt: skip

    @contextmanager
    def progress(self) -> Iterator[None]:
        """While it is open, progress is shown."""
        if self._bar is None:
            yield
            return
        with self._bar as bar:
            bar.add_task("beginning", total=self._total)
            yield

    def remark(self, text: str | None) -> None:
        """Something worth knowing, where there is something."""
        if text and self._events:
            self._teller.event("remark", text=text)
        elif text:
            self._tell(text)

    def connection(self, text: str) -> None:
        """The server does not answer, or does again."""
        if self._events:
            self._teller.event("connection", text=text)
        else:
            self._tell(text)

    @property
    def _events(self) -> bool:
        """Whether a script reads what is told beside the results."""
        return self._manner.as_json and self._bar is None

    def _tell(self, line: str) -> None:
        if not self._manner.quiet:
            self._err.print(line, soft_wrap=True)

    def changed(self, outcome: Outcome) -> None:
        """A work stands differently."""
        key = id(outcome.work)
        self._live[key] = outcome
        self._far[key] = self._far.get(key, Far()).seen(outcome.job)
        self._refresh()

    def ended(self, outcome: Outcome) -> None:
        """A work is done, or will not be."""
        key = id(outcome.work)
        self._live.pop(key, None)
        ended = self._far.get(key, Far()).ended()
        self._far[key] = (
            replace(ended, before=ended.total) if outcome.status == "skipped" else ended
        )
        self._counts[outcome.status] += 1
        self._ends.update(ends(outcome))
        if outcome.job:
            self._unit, amount = self._manner.measure(outcome.job)
            self._amount += amount
            self._cost += float(outcome.job.get("cost") or 0.0)
        self._say(outcome)
        self._refresh()

    def _say(self, outcome: Outcome) -> None:
        if self._manner.as_json:
            told = row(outcome) | {"warnings": list(self._manner.warnings(outcome.job))}
            self._out.out(orjson.dumps(told).decode())
        else:
            for path in outcome.written if outcome.status != "skipped" else ():
                self._out.out(str(path))
            for warning in self._manner.warnings(outcome.job):
                self._tell(f"warning: {outcome.work.label}: {warning}")
        if self._events and not outcome.good:
            self._teller.event("failed", input=outcome.work.label, error=row(outcome)["error"])
        elif not outcome.good:
            why = f": {outcome.why}" if outcome.why else ""
            some = " of" if outcome.written and len(outcome.work.sources) > 1 else ":"
            self._err.print(f"{outcome.status}{some} {outcome.work.label}{why}", soft_wrap=True)

    def _refresh(self) -> None:
        if self._bar is not None and not self._bar.task_ids:
            return
        parts = self._documents()
        done, waits, left_s = self._counts.total(), self._waits(), self._left_s()
        left = ""
        if left_s is not None and done < self._total:
            left = f"{show.span(max(left_s, LEAST_S))} left"
        words = [self._states(), self._measured(), self._places(), waits, left]
        text = "  ".join(filter(None, words))
        if self._bar is not None:
            if parts is not None:
                text = f"documents  {text}"
            done, total = parts or (done, self._total)
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=text)
            return
        facts: dict[str, Any] = {
            "running_on": dict(self._parts),
            "left_s": left_s,
            "counts": dict(self._counts),
        }
        if parts is not None:
            facts["documents"] = dict(zip(("done", "total"), parts, strict=True))
        standing = Standing(
            done, self._total, text, waits=waits or None, facts=facts, documents=parts
        )
        self._teller.stands(standing)

    def _states(self) -> str:
        states = Counter(one.status for one in self._live.values())
        words = (("uploading", "uploading"), ("in_progress", "running"), ("queued", "queued"))
        told = ", ".join(f"{states[name]} {word}" for name, word in words if states[name])
        begin = Counter(phase for one in self._live.values() if (phase := beginning(one.job)))
        phases = ", ".join(f"{begin[phase]} {phase}" for phase in BEGINNING if begin[phase])
        return f"{told} ({phases})" if phases else told

    def _measured(self) -> str:
        amount = self._amount
        for one in self._live.values():
            self._unit, part = self._manner.measure(one.job)
            amount += part
        return f"{amount:,.{0 if amount > MANY else 1}f} {self._unit}" if amount else ""

    @property
    def shows_places(self) -> bool:
        """Whether anybody is told where work runs."""
        return not self._manner.quiet

    def running(self) -> list[str]:
        """The jobs that run, for who looks where."""
        return [str(one.job["id"]) for one in self._live.values() if one.status == "in_progress"]

    def runs(self, places: Counter[str]) -> None:
        """Where the parts of some of them run."""
        self._parts = places
        self._refresh()

    def _places(self) -> str:
        places = self._parts
        return "on " + ", ".join(n for n, _ in places.most_common(SHOWN_PLACES)) if places else ""

    def _waits(self) -> str:
        waits = Counter(
            reason for one in self._live.values() if (reason := waits_for(one.job)) is not None
        )
        return f"waits: {waits.most_common(1)[0][0]}" if waits else ""

    def _documents(self) -> tuple[int, int] | None:
        """How many documents are done of how many, where a work is one of several."""
        far = self._far.values()
        if all(one.total == 1 for one in far):
            return None
        total = sum(one.total for one in far) + self._total - len(far)
        return sum(one.done for one in far), total

    def _left_s(self) -> float | None:
        """How long it takes at the pace so far, else as the jobs themselves expect."""
        now_s, far = time.monotonic(), self._far.values()
        left = sum(one.total - one.done + one.last for one in far) + self._total - len(far)
        self._countdown = self._countdown.seen(sum(one.done - one.before for one in far), now_s)
        left_s = self._countdown.left_s(left, now_s)
        if left_s is not None:
            return round(left_s, 1)
        etas = [
            eta
            for one in self._live.values()
            if (eta := show.eta_s((one.job.get("waiting") or {}).get("eta"))) is not None
        ]
        return round(max(etas), 1) if etas else None

    def summary(self) -> None:
        """How it went, in one line."""
        if self._events and not self._manner.quiet:
            took_s = round(time.monotonic() - self._began, 1)
            counts, cost = dict(self._ends), round(self._cost, 6)
            amount = {"amount": round(self._amount, 1), "unit": self._unit or None}
            self._teller.event("ended", counts=counts, took_s=took_s, cost_usd=cost, **amount)
            return
        words = [f"{self._ends.total()} in {show.span(time.monotonic() - self._began)}"]
        words += [show.tally(self._ends, ORDER), self._measured(), f"US$ {self._cost:.4f}"]
        self.remark(": ".join((words[0], ", ".join(filter(None, words[1:])))))

    def interrupted(self, *, reached: bool) -> None:
        """What was handed in goes on without us, where anything was.

        `reached`: somebody answers, so that what was just being handed in may be there.
        """
        goes_on = any(one.handed_in or (reached and one.asked) for one in self._live.values())
        kept = "goes on" if reached else "is kept, and goes on where the server is"
        rest = f"what was handed in {kept}" if goes_on else "nothing of the rest was handed in"
        command = typed.again(sys.argv[1:])
        done = self._counts.total()
        if self._events:
            facts = {"done": done, "total": self._total, "goes_on": goes_on, "resume": command}
            self._teller.event("interrupted", **facts)
            return
        told = f"interrupted after {done} of {self._total}; {rest}; resume with: {command}"
        self._err.print(told, soft_wrap=True)


def ends(outcome: Outcome) -> Counter[str]:
    """How each input of a work ended: of one that failed, those whose results are there did not."""
    inputs = max(1, len(outcome.work.sources))
    if outcome.status != "failed" or inputs == 1:
        return Counter({outcome.status: inputs})
    own = outcome.work.targets[:inputs]
    done = sum(target.path in outcome.written for target in own)
    return +Counter(completed=done, failed=inputs - done)


def row(outcome: Outcome) -> dict[str, Any]:
    """A work for scripts."""
    job = outcome.job
    return {
        "input": outcome.work.label,
        "status": outcome.status,
        "outputs": [str(path) for path in outcome.written],
        "error": None if outcome.good else outcome.why or outcome.status,
        "job": job.get("id"),
        "deployment": show.deployment(job) if job else None,
        "usage": job.get("usage"),
        "cost_usd": job.get("cost"),
    }


def beginning(job: dict[str, Any]) -> str | None:
    """What a job does before anything of it can be counted; None where something can."""
    phase = ((job.get("progress") or {}).get("step") or {}).get("phase")
    return phase if job.get("status") == "in_progress" and phase in BEGINNING else None


def waits_for(job: dict[str, Any]) -> str | None:
    """What a queued job waits for, in a few words; None where it does not."""
    found = job.get("waiting")
    if not isinstance(found, dict) or not found.get("reason"):
        return None
    words = [str(found["reason"])]
    if found.get("window"):
        words.append(f"window {found['window']}")
    if found.get("until"):
        words.append(f"until {show.moment(found['until'])}")
    return ", ".join(words)
