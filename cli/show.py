"""How jobs are shown to a person: one line, a table, or a page."""

import datetime as dt
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from cli.plain import plain
from cli.prompts import short

COLOURS = {
    "completed": "green",
    "failed": "red",
    "refused": "red",
    "expired": "red",
    "cancelled": "yellow",
    "in_progress": "cyan",
}
MINUTE_S = 60
HOUR_S = 3600
WIDE_COLUMNS = 240
FLOAT_BYTES = 4
TOLD = frozenset(
    {"n", "deployment", "outcome", "started_at", "credential", "sent", "cost_microusd"}
    | {"sent_after_s", "first_delta_after_s", "ended_after_s"}
)
"""What of an attempt a person is told in other words, or need not be told."""


class Plain(Console):
    """A console that text of others cannot command. `exact`: for scripts it stays as it is."""

    def __init__(self, *, exact: bool = False, **more: Any) -> None:
        super().__init__(highlight=False, markup=False, **more)
        self._exact = exact and not self.is_terminal

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is printed, a table's cells included."""
        found = super().render(renderable, options)
        if self._exact:
            return found
        return (each if each.control else Segment(plain(each.text), each.style) for each in found)

    def out(self, *objects: Any, **more: Any) -> None:
        """Text as it is, without a width."""
        super().out(*(each if self._exact else plain(str(each)) for each in objects), **more)


def out() -> Console:
    """What was asked for, on stdout; never wraps what a script may read."""
    terminal = sys.stdout.isatty()
    return Plain(exact=True, soft_wrap=True, width=None if terminal else WIDE_COLUMNS)


def err() -> Console:
    """Progress and remarks, on stderr."""
    return Plain(stderr=True)


def span(seconds: float | None) -> str:
    """A span of time for people: `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds is None:
        return "?"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < HOUR_S:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def moment(value: Any) -> str:
    """A moment of the API (epoch seconds, or a text) for people, in local time."""
    if not isinstance(value, int | float):
        return "-" if value is None else str(value)
    return dt.datetime.fromtimestamp(value, tz=dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def deployment(job: Mapping[str, Any]) -> str | None:
    """Where a job runs, ran last, or is going to."""
    attempts = job.get("attempts") or []
    if attempts and isinstance(attempts[-1], dict) and attempts[-1].get("deployment"):
        return str(attempts[-1]["deployment"])
    route = job.get("route") or {}
    chosen = route.get("chosen") if isinstance(route, dict) else None
    return str(chosen) if chosen else None


def answer(job: Mapping[str, Any]) -> str:
    """The text of a job's result; "" if it has none."""
    result = job.get("result")
    if not isinstance(result, dict):
        return ""
    choices = result.get("choices") or []
    if choices and isinstance(choices[0], dict):
        message = choices[0].get("message") or {}
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
        return str(content or message.get("refusal") or "")
    vectors = result.get("data") or []
    if vectors and isinstance(vectors[0], dict) and "embedding" in vectors[0]:
        return f"{len(vectors)} vector(s) of {_numbers(vectors[0]['embedding'])} numbers"
    return str(result.get("text") or "")


def _numbers(vector: Any) -> int:
    """How many a vector has, as a list or as OpenAI's base64 of four bytes each."""
    if isinstance(vector, str):
        return (len(vector) * 3 // 4 - vector.count("=")) // FLOAT_BYTES
    return len(vector)


def error(job: Mapping[str, Any]) -> str:
    """Why a job failed; "" if it did not."""
    found = job.get("error")
    if isinstance(found, dict):
        return str(found.get("message") or found.get("code") or found)
    return str(found or "")


def waiting(job: Mapping[str, Any]) -> str:
    """Why a queued job waits, and for how long: one line; "" if it does not."""
    found = job.get("waiting")
    if not isinstance(found, dict):
        return ""
    words = []
    if found.get("reason") or found.get("position") is not None:
        words.append(str(found.get("reason") or "behind others"))
    if found.get("window"):
        words.append(f"window {found['window']}")
    if found.get("position") is not None:
        words.append(f"{found['position']} before it")
    if found.get("until"):
        words.append(f"until {moment(found['until'])}")
    if (eta := eta_s(found.get("eta"))) is not None:
        words.append(f"ends in about {span(eta)}")
    return ", ".join(words)


def eta_s(eta: Any) -> float | None:
    """The seconds until a job's likely end, from what the API says about it."""
    if isinstance(eta, dict):
        eta = next((eta[name] for name in ("p50_s", "p50", "p95_s", "p95") if name in eta), None)
    if not isinstance(eta, int | float):
        return None
    now = time.time()
    return max(0.0, eta - now) if eta > now / 2 else float(eta)


def table(jobs: Iterable[Mapping[str, Any]]) -> Table:
    """Jobs as rows."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    jobs = list(jobs)
    least = {"id": max((len(str(job.get("id"))) for job in jobs), default=0), "status": 11}
    for name in ("id", "status", "kind", "created", "tries", "where", "what"):
        found.add_column(name, overflow="ellipsis", no_wrap=True, min_width=least.get(name))
    for job in jobs:
        status = str(job.get("status", "?"))
        what = error(job) or waiting(job) or short(answer(job), 40)
        found.add_row(
            str(job.get("id")),
            Text(status, style=COLOURS.get(status, "")),
            str(job.get("kind", "")),
            moment(job.get("created_at")),
            str(len(job.get("attempts") or [])),
            deployment(job) or "-",
            short(what, 60),
        )
    return found


def page(job: Mapping[str, Any]) -> list[str]:
    """Everything about one job, a line each."""
    route = job.get("route") or {}
    lines = [
        f"{job.get('id')}  {job.get('status')}  {job.get('kind', '')}".rstrip(),
        f"created    {moment(job.get('created_at'))}",
        f"started    {moment(job.get('started_at'))}",
        f"completed  {moment(job.get('completed_at'))}",
    ]
    if text := waiting(job):
        lines.append(f"waits      {text}")
    if text := progress(job.get("progress") or {}):
        lines.append(f"progress   {text}")
    lines.append(f"route      {route.get('chosen') or deployment(job) or '-'}")
    lines += [_candidate(each) for each in route.get("candidates") or []]
    lines += [_attempt(n, each) for n, each in enumerate(job.get("attempts") or [], 1)]
    if usage := job.get("usage"):
        shown = (f"{name} {value}" for name, value in usage.items() if isinstance(value, int))
        lines.append("usage      " + ", ".join(shown))
    if job.get("cost") is not None:
        lines.append(f"cost       US$ {job['cost']:.6f}")
    if text := error(job):
        lines.append(f"error      {text}")
    if text := answer(job):
        lines += ["", text]
    return lines


def progress(found: Mapping[str, Any]) -> str:
    """How far a job of several parts is, as `job.progress` says it; "" where nothing is told."""
    step, parts = found.get("step") or {}, found.get("children") or {}
    words = [str(step.get("phase") or "")]
    words += [
        f"{step[unit]['completed']:,.0f} of {total:,.0f} {unit}"
        for unit in ("documents", "seconds")
        if (total := (step.get(unit) or {}).get("total"))
    ]
    if total := parts.get("total"):
        unheard = parts["ended"] - parts["completed"]
        words.append(f"{parts['ended']} of {total} parts ended")
        words.append(f"{unheard} of them without a result" if unheard else "")
    return ", ".join(filter(None, words))


def _candidate(candidate: Mapping[str, Any]) -> str:
    kept = "kept   " if candidate.get("kept") else "skipped"
    reason = f"  {candidate['reason']}" if candidate.get("reason") else ""
    return f"           {kept} {candidate.get('deployment')}{reason}"


def _attempt(number: int, attempt: Mapping[str, Any]) -> str:
    words = [moment(attempt["started_at"])] if attempt.get("started_at") else []
    if (ended_s := attempt.get("ended_after_s")) is not None:
        words.append(f"took {span(ended_s)}")
    if attempt.get("credential"):
        words.append(f"credential {attempt['credential']}")
    if attempt.get("sent") is False:
        words.append("not sent")
    if attempt.get("cost_microusd"):
        words.append(f"US$ {attempt['cost_microusd'] / 1e6:.6f}")
    words += [
        f"{name.replace('_', ' ')} {value}"
        for name, value in attempt.items()
        if name not in TOLD and isinstance(value, str | int | float)
    ]
    return (
        f"attempt {number}  {attempt.get('deployment', '?')}"
        f"  {attempt.get('outcome', '')}  {', '.join(words)}".rstrip()
    )


def tally(counts: Mapping[str, int], order: Sequence[str]) -> str:
    """Counts in words, in this order, zeros left out: `3 completed, 1 failed`."""
    return ", ".join(f"{counts[name]} {name}" for name in order if counts.get(name)) or "none"
