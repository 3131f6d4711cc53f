"""What is learned of limits: from headers and the figures of a 429, pure.

Told and found:
- A lower limit is adopted at once; a higher one when it was told `TIMES` in a row.
- A header that a 429 disproved (`doubt`) is not evidence until it says something else.
- A limit that names its span speaks about the window of that dimension and span, and opens one
  where there is none. One that names none speaks about the shortest window that its reset allows,
  and opens one only where none of its dimension is known.
- The span of a window opened so is found from resets: a full sliding or fixed window is never
  further from empty than its span, so the longest reset seen is the least it can be; a bucket
  shows used * span / limit, so that is the most. The two meet when the window is used up; until
  then the window is `loose`, and afterwards its span only grows.
"""

import re
from dataclasses import dataclass, replace

from shared.core.model import Dimension, Window
from shared.core.outcome import MOST_SPAN_MS, Learned, believable
from shared.core.ratelimits import window_name

TIMES = 3
AGREE = 1.05
SHRINK = 0.8
_DIMENSIONS = frozenset(each.value for each in Dimension)
_SAME_SPAN = 0.04  # a month of 30 days is one of 31
_SLACK = 0.03
_TELLING = 3
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
_AT_ONCE = re.compile(r"concurren|in parallel|simultaneous", re.IGNORECASE)
_FIGURE = re.compile(r"\b(?:limit|max(?:imum)?)(?: is| of)?:? ?(\d{1,6})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Known:
    """A window as it is believed in. `declared` is its limit by the catalog; None: it was opened.

    `loose`: its span is not certain. `doubt`: a limit that headers tell and a 429 disproved.
    `guess`: estimated from refusals that named no figure (`estimate`). `key` names its ledger.
    """

    window: Window
    declared: int | None = None
    key: str = ""
    loose: bool = False
    doubt: int | None = None
    guess: bool = False

    @property
    def ceiling(self) -> int | None:
        """How far it may rise again by probing; None: nobody has told."""
        if self.guess and self.declared is None:
            return None
        return max((n for n in (self.declared, self.doubt) if n is not None), default=0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was told and not (yet) adopted.

    `higher`: limits above the one believed in: (window, limit, times in a row). `spans`: by
    dimension the least and the most that an unnamed span can be, in ms.
    """

    higher: tuple[tuple[str, int, int], ...] = ()
    spans: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Lesson:
    """What to believe now; `windows` are equal to the old ones where nothing was learned."""

    windows: tuple[Known, ...]
    evidence: Evidence


def learn(windows: tuple[Known, ...], told: tuple[Learned, ...], evidence: Evidence) -> Lesson:
    """What follows from one answer's announcements, in their order."""
    lesson = Lesson(windows, evidence)
    for each in told:
        if each.limit <= 0 or not believable(each.span_ms, each.limit):
            continue
        if each.dimension in _DIMENSIONS:
            lesson = _heed(lesson, each)
    return replace(lesson, windows=_once(lesson.windows))


def _once(windows: tuple[Known, ...]) -> tuple[Known, ...]:
    """Without opened windows that count the same as another: both would count in one ledger."""
    kept: list[Known] = []
    for known in windows:
        same = (known.window.dimension, known.window.span_ms)
        twin = any((k.window.dimension, k.window.span_ms) == same for k in kept)
        if not twin or known.declared is not None:
            kept.append(known)
    return tuple(kept)


def concurrency_told(message: str) -> int | None:
    """The number of calls at once that a refusal names; 0 where it names only that; else None."""
    if not _AT_ONCE.search(message):
        return None
    figure = _FIGURE.search(message)
    return int(figure[1]) if figure else 0


def tidy_span_ms(span_ms: float) -> int:
    """A measured span as a provider would write it: whole seconds, minutes, hours; 30 to 60 s: 60.

    Up to 3 % beside such a value counts as that value; anything else is rounded up.
    """
    if span_ms <= 2_000:  # noqa: PLR2004 - too short for whole seconds
        return max(1, -int(-span_ms // 10) * 10)
    if 30_000 * (1 + _SLACK) < span_ms <= _MINUTE_MS * (1 + _SLACK):
        return _MINUTE_MS
    unit = 1_000 if span_ms <= _MINUTE_MS else _MINUTE_MS if span_ms <= _HOUR_MS else _HOUR_MS
    near = round(span_ms / unit) * unit
    if near and abs(near - span_ms) <= _SLACK * span_ms:
        return near
    return -int(-span_ms // unit) * unit


def _heed(lesson: Lesson, told: Learned) -> Lesson:
    place = _about(lesson.windows, told)
    if told.span_ms == 0:
        lesson = Lesson(lesson.windows, _bounded(lesson.evidence, told))
    if place is None:
        known = any(k.window.dimension == told.dimension for k in lesson.windows)
        return lesson if told.span_ms == 0 and known else _opened(lesson, told)
    if told.span_ms == 0 and lesson.windows[place].declared is None:
        lesson = _respanned(lesson, place, told)
    return _limited(lesson, place, told)


def _about(windows: tuple[Known, ...], told: Learned) -> int | None:
    """Which window an announcement speaks about."""
    mine = [i for i, k in enumerate(windows) if k.window.dimension == told.dimension]
    if told.span_ms:
        for i in mine:
            span_ms = windows[i].window.span_ms
            loose = windows[i].loose or windows[i].guess
            if not loose and abs(span_ms - told.span_ms) <= _SAME_SPAN * told.span_ms:
                return i
        return None
    least_ms = (told.reset_ms or 0) * 0.9
    fits = [i for i in mine if windows[i].declared is None or windows[i].window.span_ms >= least_ms]
    same = [i for i in fits if told.limit == windows[i].window.limit]
    return min(same or fits, key=lambda i: windows[i].window.span_ms, default=None)


def _limited(lesson: Lesson, place: int, told: Learned) -> Lesson:
    known = lesson.windows[place]
    name, limit = known.window.name, known.window.limit
    times = next(
        (n for w, told_limit, n in lesson.evidence.higher if (w, told_limit) == (name, told.limit)),
        0,
    )
    others = tuple(row for row in lesson.evidence.higher if row[0] != name)
    forgotten = replace(lesson.evidence, higher=others)
    if told.limit == limit:
        return Lesson(lesson.windows, forgotten)
    if told.limit < limit:
        doubt = limit if told.source == "429" else None
        return Lesson(_set(lesson.windows, place, told, doubt), forgotten)
    if told.source == "header" and told.limit == known.doubt:
        return lesson
    if times + 1 >= TIMES:
        return Lesson(_set(lesson.windows, place, told, None), forgotten)
    counted = replace(lesson.evidence, higher=(*others, (name, told.limit, times + 1)))
    return Lesson(lesson.windows, counted)


def _set(
    windows: tuple[Known, ...], place: int, told: Learned, doubt: int | None
) -> tuple[Known, ...]:
    known = windows[place]
    source = "catalog" if told.limit == known.declared else told.source
    window = replace(known.window, limit=told.limit, source=source)
    changed = replace(known, window=window, doubt=doubt, guess=False)
    return (*windows[:place], changed, *windows[place + 1 :])


def _opened(lesson: Lesson, told: Learned) -> Lesson:
    """A new window; what was only guessed of this dimension goes."""
    dimension = Dimension(told.dimension)
    loose = told.span_ms == 0
    span_ms = told.span_ms
    if loose:
        least, most = _bounds(lesson.evidence, told.dimension)
        if least == 0:
            return lesson  # neither a span nor a reset: nothing to hold on to
        span_ms = tidy_span_ms(max(least, most or _first_guess_ms(told)))
    window = Window(
        window_name(told.dimension, span_ms), dimension, told.limit, span_ms, source=told.source
    )
    kept = tuple(
        k for k in lesson.windows if k.window.dimension != dimension or not (k.loose or k.guess)
    )
    return Lesson((*kept, Known(window, loose=loose)), lesson.evidence)


def _respanned(lesson: Lesson, place: int, told: Learned) -> Lesson:
    """Brings a window that was opened by an unnamed header nearer to its real span."""
    known = lesson.windows[place]
    if known.guess or (known.window.source == "429" and not known.loose):
        return lesson
    least, most = _bounds(lesson.evidence, told.dimension)
    if least == 0:
        return lesson  # no reset was heard yet: a process that has just begun knows no better
    settled = not known.loose or told.remaining == 0 or 0 < most <= least * AGREE
    now_ms = known.window.span_ms
    wanted = tidy_span_ms(least if settled else max(least, most))
    grows = tidy_span_ms(least) > now_ms
    telling = known.loose and (settled or most > 0)
    shrinks = telling and (wanted < now_ms * SHRINK or (settled and wanted < now_ms))
    if grows:
        span_ms = tidy_span_ms(least)
    elif shrinks:
        span_ms = wanted
    else:
        span_ms = now_ms
    if span_ms == now_ms and settled == (not known.loose):
        return lesson
    name = window_name(told.dimension, span_ms)
    window = replace(known.window, name=name, span_ms=span_ms)
    key = known.key if span_ms == now_ms else ""
    changed = replace(known, window=window, loose=not settled, key=key)
    return replace(lesson, windows=(*lesson.windows[:place], changed, *lesson.windows[place + 1 :]))


def _bounds(evidence: Evidence, dimension: str) -> tuple[int, int]:
    return next((row[1:] for row in evidence.spans if row[0] == dimension), (0, 0))


def _bounded(evidence: Evidence, told: Learned) -> Evidence:
    """The least and the most that the span can be, with one more reset seen."""
    if not told.reset_ms:
        return evidence
    least, most = _bounds(evidence, told.dimension)
    most_now = told.reset_ms
    if told.remaining is None or told.remaining > 0:
        used = _used(told)
        # what is missing of a bucket is rounded up, so little that is used says nothing
        most_now = round(told.reset_ms * told.limit / (used - 1)) if used >= _TELLING else most
    most_now = min(most_now, MOST_SPAN_MS)
    reset_ms = min(told.reset_ms, MOST_SPAN_MS)
    row = (told.dimension, max(least, reset_ms), min(most or most_now, most_now))
    others = tuple(each for each in evidence.spans if each[0] != told.dimension)
    return replace(evidence, spans=(*others, row))


def _used(told: Learned) -> int:
    return 1 if told.remaining is None else told.limit - told.remaining


def _first_guess_ms(told: Learned) -> int:
    """A span to begin with where too little is used to tell: as if half of that were missing."""
    return min((told.reset_ms or 0) * told.limit * 2 // max(1, _used(told)), MOST_SPAN_MS)
