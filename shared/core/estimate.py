"""What a refusal that names no figure says of a limit: estimated from what we know we sent, pure.

Three observations carry it. When a provider refuses, its window is full; when it says how long to
wait, its window will then have room for one; and what was admitted since the last refusal's wait
ended fits into one window. Where nothing is admitted for longer than a window's span, that window
is not why, and a declared limit is again what it was: this is judged by what the store knows to be
answered, so it holds however many workers died with their answers untold. An estimate may be wrong,
so it is raised again by probing: after `QUIET_CALLS` calls without a refusal, twice as many after
each probe that was refused, by little at first: what probing costs stays under 1 % of the calls,
and falls every time.
"""

from dataclasses import dataclass, replace

from shared.core.learn import Known, tidy_span_ms
from shared.core.model import Dimension, Window, WindowKind
from shared.core.ratelimits import window_name

QUIET_CALLS = 200
MOST_DOUBLINGS = 6
BUSY = 0.7
UNKNOWN_SPAN_MS = 60_000
LEAST_SPAN_MS = 1_000
CHAIN_MS = 2_000
CHAIN_LEAST_MS = 250
_FEW = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """A refusal without figures. `sent` is our log of calls, oldest first: (ms, calls).

    `since_ms` is when the last refusal's wait ended, `running` what is in flight, `free` what our
    ledger of the window had left. `chain_ms` is when refusals began to follow each other (0: this
    is the first), and `refusals` how many of `sent` were refused since. `shut_ms` is the first
    refusal after which nothing was answered (0: this may be it).
    """

    now_ms: int
    retry_ms: int | None
    sent: tuple[tuple[int, int], ...] = ()
    since_ms: int = 0
    running: int = 0
    free: int = 0
    chain_ms: int = 0
    refusals: int = 0
    shut_ms: int = 0


@dataclass(frozen=True, slots=True)
class Trail:
    """What the fleet remembers of a credential's refusals.

    `at_ms` the last one that was no echo, `since_ms` when its wait ended, `quiet` calls without
    one since, `fails` probes refused, `probed` whether a probe is out, `step_pc` the next raise.
    `chain_ms` is the first of refusals that followed each other closely, `refusals` their number.
    `shut_ms` is the first of refusals between which nothing was answered, however far apart.
    """

    at_ms: int = 0
    since_ms: int = 0
    quiet: int = 0
    fails: int = 0
    probed: bool = False
    step_pc: int = 2
    chain_ms: int = 0
    refusals: int = 0
    shut_ms: int = 0

    def chained(self, now_ms: int) -> bool:
        """Whether a refusal now follows the last one closely."""
        return 0 <= now_ms - self.since_ms <= CHAIN_MS and self.chain_ms > 0

    def shut(self, admitted_ms: int) -> int:
        """Since when nothing was answered; 0: unknown. `admitted_ms` is the newest call that was.

        What is still out, or was lost with its worker, is not known to be admitted.
        """
        return self.shut_ms if admitted_ms <= self.shut_ms else 0


def refused(
    trail: Trail, now_ms: int, retry_ms: int | None, sent_ms: int, admitted_ms: int = 0
) -> Trail:
    """The trail after a refusal; one sent before the last was known is its echo."""
    if sent_ms <= trail.at_ms:
        later = sent_ms > trail.chain_ms
        return replace(trail, refusals=trail.refusals + later)
    chained = trail.chained(now_ms)
    return Trail(
        at_ms=now_ms,
        since_ms=now_ms + (retry_ms or 0),
        fails=min(trail.fails + trail.probed, MOST_DOUBLINGS),
        chain_ms=trail.chain_ms if chained else now_ms,
        refusals=trail.refusals + 1 if chained else 0,
        shut_ms=trail.shut(admitted_ms) or now_ms,
    )


def opened(trouble: Trouble) -> Known | None:
    """A first window from a refusal where none is known; None where it looks like concurrency."""
    burst = [(at, n) for at, n in trouble.sent if at >= trouble.since_ms]
    calls = sum(n for _, n in burst) - 1  # this one was not admitted
    if trouble.retry_ms is None:
        if calls <= 2 * trouble.running:
            return None
        return _guess(calls, UNKNOWN_SPAN_MS)
    first = burst[0][0] if burst else trouble.now_ms
    span_ms = trouble.now_ms - first + trouble.retry_ms
    return _guess(max(1, calls), max(1, span_ms))


def _guess(limit: int, span_ms: int) -> Known:
    if span_ms < LEAST_SPAN_MS:
        times = -(-LEAST_SPAN_MS // span_ms)
        limit, span_ms = limit * times, span_ms * times
    span_ms = tidy_span_ms(span_ms)
    name = window_name("requests", span_ms)
    return Known(
        Window(name, Dimension.REQUESTS, limit, span_ms, source="429"), loose=True, guess=True
    )


def lowered(known: Known, trouble: Trouble) -> Known:
    """The window after a refusal though our ledger had room; never below half where declared."""
    window = known.window
    if known.declared is not None and _not_it(window, trouble):
        return _restored(known)
    longer = _longer(known, trouble)
    if longer is not None:
        return longer
    if trouble.free <= 0 and not trouble.chain_ms:
        limit = window.limit - 1 if known.guess else window.limit
    else:
        least = -(-window.limit // 2) if known.declared is not None else max(1, window.limit // 4)
        limit = min(max(_fitting(known, trouble), least), window.limit - max(1, window.limit // 20))
    if limit == window.limit:
        return known
    lower = replace(window, limit=max(1, limit), source="429")
    return replace(known, window=lower, guess=True, doubt=known.doubt or window.limit)


def _not_it(window: Window, trouble: Trouble) -> bool:
    """Whether a whole span went by in refusals: then the window is empty, and cannot be why."""
    return 0 < trouble.shut_ms < trouble.now_ms - window.span_ms


def _restored(known: Known) -> Known:
    """As it was before refusals lowered it."""
    limit = known.doubt or known.declared or 0
    if not known.guess or limit <= known.window.limit:
        return known
    full = limit == known.declared
    window = replace(known.window, limit=limit, source="catalog" if full else known.window.source)
    return replace(known, window=window, guess=not full, doubt=None if full else known.doubt)


def _longer(known: Known, trouble: Trouble) -> Known | None:
    """A guessed window whose full measure was sent in more than its span is a longer one."""
    burst = [(at, n) for at, n in trouble.sent if at >= trouble.since_ms]
    if known.declared is not None or trouble.retry_ms is None or not burst or not trouble.since_ms:
        return None
    calls = sum(n for _, n in burst) - 1
    span_ms = trouble.now_ms - burst[0][0] + trouble.retry_ms
    near = 0.9 * known.window.limit <= calls <= 1.1 * known.window.limit + 1
    return _guess(calls, span_ms) if near and span_ms > 1.05 * known.window.span_ms else None


def _fitting(known: Known, trouble: Trouble) -> int:
    """What the window holds: what will still be in it when there is room for one more."""
    window, wait_ms = known.window, trouble.retry_ms
    if wait_ms is None:
        return window.limit // 2
    if window.kind is WindowKind.BUCKET:
        return window.span_ms // max(1, wait_ms)
    if window.kind is WindowKind.FIXED:
        return window.limit - trouble.free
    if trouble.chain_ms and trouble.now_ms - trouble.chain_ms >= CHAIN_LEAST_MS:
        # full then and full now: what was admitted in between is what it refills
        calls = sum(n for at, n in trouble.sent if at > trouble.chain_ms) - trouble.refusals
        span_ms = trouble.now_ms - trouble.chain_ms + wait_ms
        return max(1, calls * window.span_ms // span_ms)
    from_ms = max(trouble.since_ms, trouble.now_ms + wait_ms - window.span_ms)
    calls = sum(n for at, n in trouble.sent if at >= from_ms) - 1
    span_ms = trouble.now_ms - from_ms + wait_ms
    if calls < _FEW and span_ms < window.span_ms:
        return window.limit * 3 // 4
    return max(1, round(calls * window.span_ms / max(span_ms, 1)))


def echoed(known: Known) -> Known:
    """One more refusal of the burst that a guess was made from: it counted a call too many."""
    if not known.guess or known.declared is not None:
        return known
    return replace(known, window=replace(known.window, limit=max(1, known.window.limit - 1)))


def probe(known: Known, trail: Trail, used: int) -> tuple[Known, Trail] | None:
    """A raise after enough calls without a refusal, while the window is in use; None: not yet."""
    window, ceiling = known.window, known.ceiling
    enough = trail.quiet >= QUIET_CALLS << min(trail.fails, MOST_DOUBLINGS)
    if (
        not enough
        or used < BUSY * window.limit
        or (ceiling is not None and window.limit >= ceiling)
    ):
        return None
    limit = window.limit + max(1, window.limit * trail.step_pc // 100)
    if ceiling is not None and limit >= ceiling:
        limit = ceiling
    full = known.declared is not None and limit >= known.declared
    source = "catalog" if full else window.source
    raised = replace(known, window=replace(window, limit=limit, source=source))
    if full:
        raised = replace(raised, doubt=None, guess=False)
    step_pc = min(100, trail.step_pc * 2)
    return raised, replace(trail, quiet=0, probed=True, step_pc=step_pc)
