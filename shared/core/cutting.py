"""Where a long recording is cut: in silences, into parts that any of its models takes.

Sound is looked at as one level a frame: dB above digital silence (`SILENT` is that, `FULL` full
scale), so that a day of it fits in a few megabytes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

SILENT: Final = 0
FULL: Final = 120  # dBFS is the level less this
INAUDIBLE: Final = 45  # -75 dBFS: a recording that is never louder says nothing
FLOOR_SHARE: Final = 0.10  # of the frames are taken to be no speech
SPEECH_SHARE: Final = 0.90
STEADY_DB: Final = 6  # floor and speech nearer than this: there are no pauses to tell by a floor
BELOW_SPEECH_DB: Final = 30  # this far below what is loud is silence whatever the floor
OF_RANGE: Final = 0.3  # between floor and speech, where silence ends
MOST_WEIGHED_MS: Final = 2_000  # a longer silence is no better to cut in
WORTH: Final = 20  # ms from the best place that a ms of silence outweighs
SLACK_SHARE: Final = 0.25  # of a part, how far from the best place a silence is looked for


@dataclass(frozen=True, slots=True)
class Silence:
    """A span without speech, ms from the beginning."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Rules:
    """No part is longer than `most_ms`; where a cut is not in silence, parts share `overlap_ms`.

    `always`: they share it at every cut.
    """

    most_ms: int
    overlap_ms: int = 2_000
    always: bool = False

    def __post_init__(self) -> None:
        if self.overlap_ms < 0 or self.most_ms <= 2 * self.overlap_ms:
            raise ValueError("a part must be longer than two overlaps")


@dataclass(frozen=True, slots=True)
class Span:
    """One part, ms from the beginning of the recording.

    It is heard from `start_ms` to `end_ms` and answers for `from_ms` to `to_ms`: less, where it
    shares sound with its neighbours.
    """

    start_ms: int
    end_ms: int
    from_ms: int
    to_ms: int


def longest_ms(taken_ms: Iterable[int], target_ms: int, least_ms: int) -> int:
    """How long parts are made: the target, or less, so that whoever takes `least_ms` takes any.

    `taken_ms` is the longest that each model takes. Where none takes `least_ms`, the one that takes
    the most decides.
    """
    taken = tuple(taken_ms)
    fitting = [most for most in taken if most >= least_ms]
    return min((target_ms, *fitting)) if fitting else min(target_ms, max(taken, default=target_ms))


def whole_ms(taken_ms: Iterable[int], most_ms: int) -> int:
    """How long parts are made where a recording should stay whole: what the most able one takes."""
    return min(most_ms, max(taken_ms, default=most_ms))


def silent_below(levels: bytes) -> int:
    """The level under which a frame is silence, from how the recording's levels are spread."""
    if not levels:
        return SILENT
    floor, speech = _percentile(levels, FLOOR_SHARE), _percentile(levels, SPEECH_SHARE)
    spread = speech - floor
    by_speech = speech - BELOW_SPEECH_DB
    if spread < STEADY_DB:
        return max(SILENT, by_speech)
    return max(round(floor + OF_RANGE * spread), by_speech)


def _percentile(levels: bytes, share: float) -> int:
    wanted = share * len(levels)
    sums = accumulate(levels.count(level) for level in range(FULL + 1))
    return next((level for level, total in enumerate(sums) if total >= wanted), FULL)


def silences(levels: bytes, frame_ms: int, least_ms: int = 240) -> tuple[Silence, ...]:
    """Every span of at least `least_ms` in which each frame is silent."""
    below, least = silent_below(levels), max(1, -(-least_ms // frame_ms))
    marks = levels.translate(bytes(1 if level < below else 0 for level in range(256)))
    found, at, run = [], 0, bytes([1]) * least
    while (start := marks.find(run, at)) >= 0:
        end = marks.find(0, start + least)
        at = len(marks) if end < 0 else end
        found.append(Silence(start * frame_ms, at * frame_ms))
    return tuple(found)


def inaudible(levels: bytes) -> bool:
    """Whether nothing can be heard in any of the frames."""
    return max(levels, default=SILENT) < INAUDIBLE


def spans(duration_ms: int, quiet: Sequence[Silence], rules: Rules) -> tuple[Span, ...]:
    """The parts of a recording, in order, about as long as each other.

    Together they answer for all of it, each ms once. `quiet` is in order. No sound: no part.
    """
    half_ms = rules.overlap_ms // 2
    found: list[Span] = []
    from_ms, lead_ms = 0, 0
    while from_ms < duration_ms:
        cut_ms, in_silence = _cut(from_ms, duration_ms, quiet, rules, lead_ms)
        tail_ms = 0 if in_silence and not rules.always else half_ms
        end_ms = min(duration_ms, cut_ms + tail_ms)
        found.append(Span(from_ms - lead_ms, end_ms, from_ms, cut_ms))
        from_ms, lead_ms = cut_ms, tail_ms
    return tuple(found)


def _cut(
    from_ms: int, duration_ms: int, quiet: Sequence[Silence], rules: Rules, lead_ms: int
) -> tuple[int, bool]:
    """Where the part that answers from `from_ms` on ends; True: in silence, or at the end."""
    rest_ms = duration_ms - from_ms
    if rest_ms + lead_ms <= rules.most_ms:
        return duration_ms, True
    room_ms = rules.most_ms - rules.overlap_ms
    best_ms = from_ms + rest_ms // -(-rest_ms // room_ms)
    slack_ms = round((best_ms - from_ms) * SLACK_SHARE)
    most_ms = min(from_ms + room_ms, best_ms + slack_ms)
    found = _quietest(quiet, best_ms - slack_ms, best_ms, most_ms)
    return (best_ms, False) if found is None else (found, True)


def _quietest(quiet: Sequence[Silence], least_ms: int, best_ms: int, most_ms: int) -> int | None:
    """The best place to cut in a silence that has its middle within bounds; None: there is none."""
    first = bisect_left(quiet, least_ms, key=_middle)
    last = bisect_right(quiet, most_ms, key=_middle)
    if first == last:
        return None

    def worth(one: Silence) -> tuple[int, int]:
        length_ms = min(one.end_ms - one.start_ms, MOST_WEIGHED_MS)
        return length_ms * WORTH - abs(_middle(one) - best_ms), -one.start_ms

    return _middle(max(quiet[first:last], key=worth))


def _middle(one: Silence) -> int:
    return (one.start_ms + one.end_ms) // 2
