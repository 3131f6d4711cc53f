"""Which lanes may serve a request, in what order, and why.

`index` knows what a name offers to whom, `eligibility` whether a request of this size fits now,
`ranking` the order. Where the context margin alone would leave nothing, it is dropped: the
estimate may be right, and the provider will say.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import median_low

from shared.core.backlog import LaneReading
from shared.core.candidates import Candidate, Considered, Skip
from shared.core.eligibility import (
    IDLE,
    Kept,
    Load,
    cost_of,
    hard_filter,
    kept_reason,
    skip_reason,
)
from shared.core.eta import P95_SERVICE, P99_SERVICE
from shared.core.features import Features
from shared.core.index import CHECKS, MAX_SHOWN, Index, View
from shared.core.model import Paid
from shared.core.pace import Pace
from shared.core.tank import as_tank

MARGIN = 0.2
MAX_LANES = 16
MAX_PAID_LANES = 8
UNKNOWN_SERVICE_MS = 1_000
FAR_S = 1e9
DEADLINE_HEADROOM = 1.2
SEEN_WITHIN_MS = 2_000  # a job is queued, the scheduler has moved it, a busy worker begins
STICKY_MS = 250

Skipped = dict[Skip, list[Candidate]]


@dataclass(frozen=True, slots=True)
class Selection:
    """The lanes that may run the job, best first; `paid_lanes` are apart from them and cost extra.

    `first` is where it is queued: one of `paid_lanes` only where free quota cannot end it by its
    deadline, that lane can, and nobody would have the time to move it there later. `considered`
    shows every kept lane and up to 20 others; `skipped` counts by reason. `listed` and
    `listed_paid` are what a job keeps of it: see `_listed`.
    """

    lanes: tuple[str, ...]
    paid_lanes: tuple[str, ...]
    first: str
    considered: tuple[Considered, ...]
    skipped: tuple[tuple[str, int], ...]
    listed: tuple[str, ...] = ()
    listed_paid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnknownModel:
    """Nothing is so named; `nearest` are names that are."""

    model: str
    nearest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impossible:
    """No deployment of that name can serve it. `cause` is the check the best of them failed."""

    model: str
    cause: Skip
    considered: tuple[Considered, ...]
    skipped: tuple[tuple[str, int], ...]


def loads_of(readings: Iterable[LaneReading]) -> dict[str, Load]:
    """The loads of all lanes, for `select`; made once a reading, not once a job."""
    listed = tuple(readings)
    known = [_speed(one.pace) for one in listed if one.pace is not None]
    measured = [one for one in known if one is not None]
    usual = tuple(map(median_low, zip(*measured, strict=True))) or (0, 0)
    loads = {}
    for one in listed:
        first_ms, each_us = (_speed(one.pace) if one.pace else None) or usual
        loads[one.lane] = Load(one.open_ms, _queues(one), one.dead, first_ms, each_us)
    return loads


def _speed(pace: Pace) -> tuple[int, int] | None:
    """How long answers take to begin (ms) and to go on (microseconds a token); None: not known."""
    if pace.each_us is None:
        return None if pace.total_ms is None else (round(pace.total_ms), 0)
    return round(pace.first_ms or 0), round(pace.each_us)


def _queues(reading: LaneReading) -> tuple[int, int, int]:
    unknown = max(reading.running, 1) * 1_000 / UNKNOWN_SERVICE_MS
    tank = as_tank(reading, reading.open_ms, unknown)
    interactive, normal, bulk = reading.backlog
    unlimited = reading.free_requests is None

    def wait(ahead: int) -> int:
        jobs = 0 if unlimited and ahead == 0 else ahead + 1
        return int(min(tank.finish_s(jobs), FAR_S) * 1_000)

    return wait(interactive), wait(interactive + normal), wait(interactive + normal + bulk)


def select(
    index: Index,
    features: Features,
    loads: Mapping[str, Load],
    now_ms: int,
    draw: int = 0,
    margin: float = MARGIN,
) -> Selection | UnknownModel | Impossible:
    """The lanes for a request, or why there are none. `draw` is any number: equals take turns.

    `margin` is added to the input estimate where it is held against a context window.
    """
    view = index.view(features)
    if view is None:
        return UnknownModel(features.model, index.nearest(features.model))
    kept, skipped = hard_filter(view, features, loads, now_ms, margin, draw)
    if not kept and Skip.CONTEXT in skipped:
        kept, skipped = hard_filter(view, features, loads, now_ms, 0.0, draw)
    plain, paid = _by_policy(kept, skipped, features)
    if not plain:
        return _impossible(features, view, skipped)
    if features.sticky is not None:
        plain = _stuck(plain, features.sticky)
    return _selection(features, view, plain, paid, skipped, loads)


def _stuck(plain: list[Kept], lane: str) -> list[Kept]:
    """The conversation's lane first, while it starts as good as at once and costs nothing more."""
    for entry in plain:
        one, start_ms = entry
        if one.lane == lane and start_ms <= STICKY_MS and (one.free or not plain[0][0].free):
            return [entry, *(other for other in plain if other is not entry)]
    return plain


def _by_policy(
    kept: list[Kept], skipped: Skipped, features: Features
) -> tuple[list[Kept], list[Kept]]:
    """Free lanes, and paid ones for the deadline's sake: no deadline, no paid ones.

    Under `paid: always` there is no difference.

    Where the name means nothing free at all, the paid ones are simply its lanes: there is no free
    quota to wait for. A free lane that is set aside for now still is one to wait for.
    """
    if features.paid is Paid.ALWAYS:
        return kept, []
    free = [entry for entry in kept if entry[0].free]
    paid = [entry for entry in kept if not entry[0].free]
    if features.deadline_ms is not None:
        return (free, paid) if free else (paid, [])
    resting = any(one.free for one in skipped.get(Skip.DEAD, ()))
    if not free and not resting:
        return paid, []
    if paid:
        skipped[Skip.PAID] = [one for one, _ in paid]
    return free, []


def _selection(
    features: Features,
    view: View,
    plain: list[Kept],
    paid: list[Kept],
    skipped: Skipped,
    loads: Mapping[str, Load],
) -> Selection:
    first = _first(plain, paid, features, loads)
    listed, best = _listed(view, plain, first.lane, MAX_LANES)
    listed_paid, best_paid = _listed(view, paid, first.lane, MAX_PAID_LANES)
    lower = len(plain) + len(paid) - len(best) - len(best_paid)
    shown = tuple(
        Considered(
            one.deployment.id,
            one.lane,
            True,
            _reason(view, features, one, start_ms, loads.get(one.lane, IDLE)),
        )
        for one, start_ms in (*best, *best_paid)
    )
    rest, counts = _explain(features, view, skipped, lower)
    return Selection(
        lanes=tuple(one.lane for one, _ in best),
        paid_lanes=tuple(one.lane for one, _ in best_paid),
        first=first.lane,
        considered=shown + rest,
        skipped=counts,
        listed=listed,
        listed_paid=listed_paid,
    )


def _listed(
    view: View, kept: list[Kept], first: str, most: int
) -> tuple[tuple[str, ...], list[Kept]]:
    """The lanes in the order that they have when all are idle, so that few lists serve all jobs.

    Jobs are told apart in queues by their lists, and lists are kept: the order of a moment would
    make one of almost every job. Of too many lanes it is half of them the best, and half those
    about the first. Where what was measured is the order that was asked for, it is kept. With them
    come their entries, in the order of the moment.
    """
    if view.fast or len(kept) <= 1:
        best = kept[:most]
        return tuple(one.lane for one, _ in best), best
    place = {entry[0].lane: at for at, entry in enumerate(kept)}
    there = (lane for lane in view.lanes if lane in place)
    lanes = tuple(islice(there, most))
    if first in place and first not in lanes:
        others, half = (*lanes, *there), most // 2
        at = others.index(first)
        start = min(at - at % half, len(others) - half)
        lanes = (*others[:half], *others[start : start + half])
    return lanes, [kept[at] for at in sorted(place[lane] for lane in lanes)]


def _first(
    plain: list[Kept], paid: list[Kept], features: Features, loads: Mapping[str, Load]
) -> Candidate:
    """Where it is queued: in a free lane, from which the scheduler moves it at its last moment.

    In a paid one where free lanes are too late, that one is not, and the last moment is now.
    """
    deadline_ms = features.deadline_ms
    if deadline_ms is None or not paid:
        return plain[0][0]

    def end_ms(kept: Kept, service: float) -> float:
        one, start_ms = kept
        answer_ms = loads.get(one.lane, IDLE).answer_ms(features.output_tokens)
        return start_ms * DEADLINE_HEADROOM + service * answer_ms

    if all(end_ms(one, P95_SERVICE) > deadline_ms for one in plain):
        for one in paid:
            in_time = end_ms(one, 1.0) <= deadline_ms
            if in_time and end_ms(one, P99_SERVICE) + SEEN_WITHIN_MS >= deadline_ms:
                return one[0]
            if in_time:
                break
    return plain[0][0]


def _reason(view: View, features: Features, one: Candidate, start_ms: int, load: Load) -> str:
    said = kept_reason(one, cost_of(one, features), start_ms)
    if view.fast:
        said += f", answers in about {load.answer_ms(features.output_tokens)} ms"
    return f"{said}, the conversation's own" if one.lane == features.sticky else said


def _impossible(features: Features, view: View, skipped: Skipped) -> Impossible:
    cause = max((*skipped, *view.skipped), key=CHECKS.__getitem__, default=Skip.NO_CREDENTIAL)
    considered, counts = _explain(features, view, skipped, 0)
    return Impossible(features.model, cause, considered, counts)


def _explain(
    features: Features, view: View, skipped: Skipped, ranked_lower: int
) -> tuple[tuple[Considered, ...], tuple[tuple[str, int], ...]]:
    """Up to 20 of those left out, the nearest misses first, and the count of all by reason."""
    if not skipped and not ranked_lower and not view.skipped:
        return (), ()
    counts = Counter(view.skipped)
    counts.update({skip: len(members) for skip, members in skipped.items()})
    if ranked_lower:
        counts[Skip.RANKED_LOWER] = ranked_lower
    shown: list[Considered] = []
    for skip in sorted(skipped, key=CHECKS.__getitem__, reverse=True):
        shown += [
            Considered(one.deployment.id, one.lane, False, skip_reason(skip, one, features))
            for one in skipped[skip][: MAX_SHOWN - len(shown)]
        ]
    shown += view.considered[: MAX_SHOWN - len(shown)]
    return tuple(shown), tuple((skip.value, counts[skip]) for skip in Skip if counts[skip])
