"""Quota windows: what a call takes of them, and whether, when and how much fits.

`earliest`, `free`, `take`, `settle`, `restamp`, `slack` and `observe` are the rules that
shared/queue/lua/quota.lua runs in the store, as pure functions of a `Rule` and a `Ledger`.
`window_spec` is the form in which a window is handed to the script.

Moments are epoch ms by the store's clock, amounts integers, spans ms.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, assert_never
from zoneinfo import ZoneInfo

from shared.core.ledger import MOST, Fixed, Ledger, Rule, Sliding
from shared.core.ledger_bucket import Bucket
from shared.core.ledger_timed import FirstUse
from shared.core.model import Audio, Dimension, Need, Price, TokenCount, Window, WindowKind

L = TypeVar("L", bound=Ledger)

NEVER = -1
GUARD_FLOOR_MS = 10
GUARD_USUAL_MS = 50
GUARD_CAP_MS = 2000
DAY_MS = 86_400_000
PRICED_TOKENS = 1_000_000
HOUR_S = 3_600
PLAIN_AUDIO = Audio()
TOKEN_DIMENSIONS = (Dimension.TOKENS, Dimension.INPUT_TOKENS, Dimension.OUTPUT_TOKENS)
_SPOKEN = (Dimension.TOKENS, Dimension.INPUT_TOKENS, Dimension.MICROUSD)


def fresh(rule: Rule) -> Sliding | Fixed | FirstUse | Bucket:
    """The ledger of a window of which nothing was used."""
    match rule.kind:
        case WindowKind.SLIDING:
            return Sliding()
        case WindowKind.FIXED:
            return FirstUse() if rule.anchor_ms is None else Fixed()
        case WindowKind.BUCKET:
            return Bucket()
        case _:
            assert_never(rule.kind)


def earliest(rule: Rule, ledger: Ledger, now_ms: int, amount: int, keep: int = 0) -> int:
    """The first moment from now on when `amount` fits and leaves `keep` free; NEVER: too much.

    `keep` is cut to what the limit leaves beside the amount.
    """
    if amount <= 0:
        return now_ms
    if amount > rule.limit:
        return NEVER
    need = amount + min(keep, rule.limit - amount)
    return ledger.at(rule, now_ms).earliest(rule, now_ms, need)


def free(rule: Rule, ledger: Ledger, now_ms: int) -> int:
    """Units that may be taken now, never below 0."""
    return max(0, ledger.at(rule, now_ms).free(rule, now_ms))


def take(rule: Rule, ledger: L, now_ms: int, amount: int) -> L:
    """Reserves now, whether it fits or not."""
    ledger, amount = ledger.at(rule, now_ms), _within(amount)
    return ledger.add(rule, now_ms, now_ms, amount) if amount > 0 else ledger


def _within(units: int) -> int:
    return max(0, min(units, MOST))


def settle(rule: Rule, ledger: L, now_ms: int, taken_ms: int, reserved: int, actual: int) -> L:
    """Corrects what was reserved; `actual` 0 gives it back. Nothing where it has run out."""
    ledger, reserved, actual = ledger.at(rule, now_ms), _within(reserved), _within(actual)
    if actual == reserved:
        return ledger
    return ledger.settle(rule, now_ms, taken_ms, actual - reserved, actual)


def restamp(rule: Rule, ledger: L, now_ms: int, taken_ms: int, sent_ms: int, amount: int) -> L:
    """A reservation counts from the moment its request was written to the socket."""
    ledger, sent_ms, amount = ledger.at(rule, now_ms), min(sent_ms, now_ms), _within(amount)
    if amount <= 0 or sent_ms <= taken_ms:
        return ledger
    return ledger.restamp(rule, now_ms, taken_ms, sent_ms, amount)


def slack(rule: Rule, ledger: Ledger, now_ms: int, at_ms: int, amount: int, keep: int = 0) -> int:
    """Units a later job may take now so that the head's `amount` still fits at `at_ms`.

    EASY backfilling: Lifka, "The ANL/IBM SP scheduling system", 1995. UNLIMITED: any amount.
    """
    need = amount + max(0, min(keep, rule.limit - amount))
    return max(0, ledger.at(rule, now_ms).slack(rule, now_ms, max(at_ms, now_ms), need))


def observe(rule: Rule, ledger: L, now_ms: int, used: int) -> L:
    """Counts at least `used` units now (a header told); never lowers."""
    ledger = ledger.at(rule, now_ms)
    more = _within(used) - ledger.used(rule, now_ms)
    return ledger.add(rule, now_ms, now_ms, more) if more > 0 else ledger


def view(rule: Rule, ledger: Ledger, now_ms: int) -> tuple[int, int, int]:
    """Units used, units free, and when all is free again (now where it is)."""
    ledger = ledger.at(rule, now_ms)
    used = ledger.used(rule, now_ms)
    reset_ms = ledger.reset_ms(rule, now_ms) if used > 0 else now_ms
    return used, free(rule, ledger, now_ms), reset_ms


def amount(
    need: Need,
    dimension: Dimension,
    token_count: TokenCount,
    token_factor: float,
    price: Price | None = None,
    audio: Audio = PLAIN_AUDIO,
    *,
    each_input: bool = False,
) -> int:
    """Units that a call takes in a window: its tokens as the provider counts them, rounded up.

    Of money the most it may cost at `price`; an unknown price takes nothing. What hears is priced
    by the hour where it has such a price. `each_input`: every text of an embedding is a request.
    """
    spoken = need.audio_seconds * audio.tokens_per_s
    match dimension:
        case Dimension.REQUESTS:
            return need.inputs if each_input else 1
        case Dimension.AUDIO_SECONDS:
            return audio.counted_s(need.audio_seconds)
        case Dimension.TOKENS | Dimension.INPUT_TOKENS | Dimension.OUTPUT_TOKENS:
            into, out = _tokens(need, dimension, token_count)
            heard_tokens = 0 if dimension is Dimension.OUTPUT_TOKENS else spoken
            return math.ceil((into + out) * token_factor + heard_tokens - 1e-6)
        case Dimension.MICROUSD:
            hour = price.audio_microusd_per_hour if price else None
            if need.audio_seconds > 0 and hour is not None:
                return math.ceil(audio.counted_s(need.audio_seconds) * hour / HOUR_S - 1e-6)
            into, out = _prices(price)
            spent = need.input_tokens * into + need.max_output_tokens * out
            total = spent * token_factor + spoken * into
            return math.ceil(total / PRICED_TOKENS - 1e-6)
        case _:
            assert_never(dimension)


def _tokens(need: Need, dimension: Dimension, token_count: TokenCount) -> tuple[int, int]:
    """The input and the output that a window of this dimension counts.

    One of output holds the most that was asked for where the provider counts that when a request
    arrives, else what is expected.
    """
    most = token_count is TokenCount.INPUT_MAX_OUTPUT
    said = need.max_output_tokens if most else need.output_tokens
    if dimension is Dimension.OUTPUT_TOKENS:
        return 0, said
    apart = dimension is Dimension.INPUT_TOKENS or token_count is TokenCount.INPUT
    return need.input_tokens, 0 if apart else said


def _prices(price: Price | None) -> tuple[int, int]:
    known = price or Price()
    return known.input_microusd_per_1m or 0, known.output_microusd_per_1m or 0


def guard_ms(window: Window) -> int:
    """The lateness a window tolerates between our count of a call and the provider's, in ms.

    Lateness does not grow with the span: 50 ms, where that is at most 2 % of the span; 0.5 % of
    long spans, up to 2 s, where it costs nothing; never under 10 ms, but for spans under 40 ms.
    """
    usual = max(GUARD_USUAL_MS, window.span_ms // 200)
    most = max(GUARD_FLOOR_MS, window.span_ms // 50)
    return min(usual, most, GUARD_CAP_MS, window.span_ms // 4)


def _local_window(zone: str, span_ms: int, now_ms: int) -> tuple[int, int]:
    """Start and end of the zone's window that holds a moment; days have 23 to 25 hours."""
    tz = ZoneInfo(zone)
    offset = datetime.fromtimestamp(now_ms / 1000, tz).utcoffset() or timedelta()
    offset_ms = offset // timedelta(milliseconds=1)
    start = (now_ms + offset_ms) // span_ms * span_ms
    if span_ms < DAY_MS:
        return start - offset_ms, start - offset_ms + span_ms
    edges = []
    for wall_ms in (start, start + span_ms):
        wall = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=wall_ms)
        edges.append(round(wall.replace(tzinfo=tz).timestamp() * 1000))
    return edges[0], edges[1]


def anchor_offset_ms(anchor: str, span_ms: int, now_ms: int) -> int | None:
    """How far window starts are shifted from multiples of the span; None from first use.

    For a zone it holds from the end of the window that `now_ms` is in until the zone's clocks are
    next changed; the window itself may begin elsewhere (`window_spec`: b, e).
    """
    if anchor == "first_use":
        return None
    if anchor == "epoch":
        return 0
    return _local_window(anchor, span_ms, now_ms)[1] % span_ms


def window_rule(window: Window, now_ms: int, *, guard: int | None = None) -> Rule:
    """What the window admits. `guard` (ms) overrides the default.

    A zone's rule is good for the day it was made in and the next: make it anew every day.
    """
    anchor = window.anchor if window.kind is WindowKind.FIXED else "epoch"
    zoned = anchor not in ("epoch", "first_use")
    return Rule(
        kind=window.kind,
        limit=window.limit,
        span_ms=window.span_ms,
        guard_ms=guard_ms(window) if guard is None else min(guard, window.span_ms // 4),
        anchor_ms=anchor_offset_ms(anchor, window.span_ms, now_ms),
        current=_local_window(anchor, window.span_ms, now_ms) if zoned else None,
    )


def window_key(owner: str, deployment: str | None, window: Window) -> str:
    """Names a ledger: a window that counts differently (kind, span, anchor) gets another one.

    The limit is not part of it: a changed limit takes effect on what is already counted.
    """
    how = (window.dimension.value, window.kind.value, str(window.span_ms))
    anchor = (window.anchor,) if window.kind is WindowKind.FIXED else ()
    return "|".join((owner, deployment or "*", window.name, *how, *anchor))


def window_spec(
    window: Window,
    owner: str,
    deployment: str | None,
    now_ms: int,
    token_count: TokenCount,
    token_factor: float,
    *,
    guard: int | None = None,
) -> dict[str, Any]:
    """The window as quota.lua reads it. `owner` is who is counted: a credential or organisation."""
    rule = window_rule(window, now_ms, guard=guard)
    spec: dict[str, Any] = {
        "k": window_key(owner, deployment, window),
        "n": window.name,
        "d": window.dimension.value,
        "l": rule.limit,
        "s": rule.span_ms,
        "t": rule.kind.value,
        "g": rule.guard_ms,
    }
    if rule.kind is WindowKind.FIXED:
        spec["a"] = "first_use" if rule.anchor_ms is None else rule.anchor_ms
        if rule.current:
            spec["b"], spec["e"] = rule.current
    if window.dimension in TOKEN_DIMENSIONS:
        spec["c"], spec["f"] = token_count.value, token_factor
    return spec


def priced(spec: Mapping[str, Any], price: Price, token_factor: float) -> dict[str, Any]:
    """The spec of a window that counts money, for a deployment of this price."""
    into, out = _prices(price)
    found = {**spec, "f": token_factor, "pi": into, "po": out}
    hour = price.audio_microusd_per_hour
    return found if hour is None else found | {"pa": hour}


def heard(spec: Mapping[str, Any], audio: Audio) -> dict[str, Any]:
    """The spec of a window, for a deployment that counts audio so."""
    found = dict(spec)
    if audio.least_seconds and spec["d"] in (Dimension.AUDIO_SECONDS, Dimension.MICROUSD):
        found["m"] = audio.least_seconds
    if audio.tokens_per_s and spec["d"] in _SPOKEN:
        found["at"] = audio.tokens_per_s
    return found


def of_inputs(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a window, for a deployment that counts every text of an embedding."""
    requests = spec["d"] == Dimension.REQUESTS
    return {**spec, "x": True} if requests else dict(spec)
