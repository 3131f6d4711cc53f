"""The order among lanes that all could serve a request.

Free before paid, then expected start (in doubling steps, so that small differences decide
nothing), category, listed price (three parts input to one of output), priority; equals take turns.
A mode or a virtual name puts price or category before start. Under `paid: always` start comes
before free. The fastest mode counts as start when the answer should end, in even steps.

All but the start is known beforehand: a view holds its candidates in `Tier`s of equals, best first,
and the start adds to a tier's `prefix`. Health counts as start: a failure of late costs a retry.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from shared.core.candidates import Candidate, Most
from shared.core.features import Features
from shared.core.model import Audio, Kind, Paid

VIRTUAL = "auto"
STEP_MS = 250
FAST_STEP_MS = 50
NAMED_STEP_MS = 16_000
INPUT_PARTS = 3
UNKNOWN_PRICE = 1 << 60
START_BITS = 8
EVEN_STEPS = 128

SMALL = ("small", "large", "reasoning")
LARGE = ("large", "reasoning", "small")
REASONING = ("reasoning", "large", "small")
DEDICATED = ("",)
"""To hear: what does nothing else is in no category, and comes before what also chats."""

CATEGORIES_BY_TYPE = {
    "planning": REASONING,
    "reasoning": REASONING,
    "complex": REASONING,
    "chat": LARGE,
    "creative": LARGE,
    "tool-heavy": LARGE,
    "summarization": SMALL,
    "simple": SMALL,
}


class First(Enum):
    """What decides before all else, within free and within paid."""

    START = "start"
    PRICE = "price"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class Rule:
    """How to order. `step_ms` is the least difference in expected start that matters.

    `fast`: what is compared is the end of the answer, as measured, in even steps.
    """

    categories: tuple[str, ...]
    first: First = First.START
    step_ms: int = STEP_MS
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Tier:
    """Equals but for their start. Of two candidates the lower `prefix + start * weight` is first.

    What `toughest` passes, all members pass: it has the smallest of each limit and every dearest
    price, so one look at it spares a look at each. Members of the same number in `sizes` are alike
    in all that the size checks look at, but for the price: one look at one of them will do.
    """

    prefix: int
    members: tuple[Candidate, ...]
    sizes: tuple[int, ...]
    toughest: Candidate


BY_MODE = {
    "cheap": (First.PRICE, STEP_MS),
    "balanced": (First.START, STEP_MS),
    "powerful": (First.CATEGORY, STEP_MS),
    "fastest": (First.START, FAST_STEP_MS),
}
BY_NAME = {
    "auto:small": Rule(SMALL, step_ms=NAMED_STEP_MS),
    "auto:large": Rule(LARGE, step_ms=NAMED_STEP_MS),
    "auto:reasoning": Rule(REASONING, step_ms=NAMED_STEP_MS),
    "auto:cheap": Rule(SMALL, First.PRICE),
    "auto:fast": Rule(SMALL, step_ms=FAST_STEP_MS, fast=True),
}
VIRTUAL_NAMES = (VIRTUAL, *BY_NAME)


def rule_for(features: Features) -> Rule:
    """The rule of a virtual name, or of the mode and the request's type."""
    named, hears = BY_NAME.get(features.model), features.kind is Kind.TRANSCRIPTION
    if named is not None:
        return replace(named, categories=DEDICATED) if hears else named
    default = SMALL if features.kind is Kind.SUMMARY else LARGE
    categories: tuple[str, ...] = CATEGORIES_BY_TYPE.get(features.request_type or "", default)
    if features.mode == "powerful":
        categories = REASONING
    if hears:
        categories = DEDICATED
    first, step_ms = BY_MODE.get(features.mode or "balanced", BY_MODE["balanced"])
    return Rule(categories, first, step_ms, fast=features.mode == "fastest")


def tiers(candidates: Iterable[Candidate], rule: Rule, paid: Paid) -> tuple[Tier, ...]:
    """The candidates in tiers of equals, best first where all may start at once."""
    places = {category: place for place, category in enumerate(rule.categories)}

    def static_order(one: Candidate) -> tuple[int, int, int, int]:
        place = places.get(one.category, len(places))
        extra, price = (0, 0) if one.free else (1, listed_price(one))
        within = (price, place) if rule.first is First.PRICE else (place, price)
        return (extra, *within, -one.priority)

    found: dict[tuple[int, int, int, int], list[Candidate]] = {}
    for one in candidates:
        found.setdefault(static_order(one), []).append(one)
    return tuple(
        Tier(
            _prefix(order, rule, paid),
            tuple(found[order]),
            sizes(found[order]),
            toughest(found[order]),
        )
        for order in sorted(found)
    )


def sizes(members: Sequence[Candidate]) -> tuple[int, ...]:
    """A number for each member, the same for those alike in all limits of size."""
    known: dict[tuple[object, ...], int] = {}
    limits = (
        (
            *(one.context_tokens, one.max_output_tokens, one.token_factor, one.counts),
            *(one.windows, one.audio_bytes, one.audio_seconds, one.deployment.audio),
            one.deployment.each_input,
        )
        for one in members
    )
    return tuple(known.setdefault(each, len(known)) for each in limits)


def toughest(members: Sequence[Candidate]) -> Candidate:
    """A lane as narrow and dear as any of these in every respect."""
    by_hour = [one.hour_price for one in members if one.hour_price >= 0]
    priced = all(one.free or listed_price(one) < UNKNOWN_PRICE for one in members)
    priced = priced and len(by_hour) in (0, len(members))
    alike = len({one.counts for one in members}) == 1
    window = Most(*map(min, zip(*(one.windows[0] for one in members), strict=True)))
    if not alike:
        window = window._replace(tokens=-1, output_tokens=-1)
    return replace(
        members[0],
        context_tokens=min(one.context_tokens for one in members),
        max_output_tokens=min(one.max_output_tokens for one in members),
        token_factor=max(one.token_factor for one in members),
        windows=(window,),
        input_price=max(one.input_price for one in members) if priced else -1,
        output_price=max(one.output_price for one in members) if priced else -1,
        hour_price=max(by_hour) if len(by_hour) == len(members) else -1,
        audio_bytes=min(one.audio_bytes for one in members),
        audio_seconds=min(one.audio_seconds for one in members),
        deployment=replace(
            members[0].deployment,
            audio=_toughest_audio(members),
            each_input=any(one.deployment.each_input for one in members),
        ),
        free=all(one.free for one in members),
    )


def _toughest_audio(members: Sequence[Candidate]) -> Audio:
    known = [one.deployment.audio for one in members]
    return Audio(
        least_seconds=max(one.least_seconds for one in known),
        tokens_per_s=max(one.tokens_per_s for one in known),
    )


def listed_price(candidate: Candidate) -> int:
    """What orders paid lanes; unknown counts as dearest."""
    if candidate.hour_price >= 0:  # only what hears has one, and is compared with its like
        return candidate.hour_price
    if candidate.input_price < 0 or candidate.output_price < 0:
        return UNKNOWN_PRICE
    return INPUT_PARTS * candidate.input_price + candidate.output_price


def weight(rule: Rule, paid: Paid) -> int:
    """How much a step of start weighs against a tier's prefix."""
    return 2 if _free_second(rule, paid) else 1


def even(steps: int) -> int:
    """Steps of time as a rank below 2**START_BITS: each counts up to 128; then they double."""
    return steps if steps < EVEN_STEPS else EVEN_STEPS + (steps // EVEN_STEPS).bit_length()


def _free_second(rule: Rule, paid: Paid) -> bool:
    return paid is Paid.ALWAYS and rule.first is First.START


def _prefix(order: tuple[int, int, int, int], rule: Rule, paid: Paid) -> int:
    extra, leading = order[0], order[1]
    if rule.first is First.START:
        return extra if _free_second(rule, paid) else extra << START_BITS
    return (extra << 62 | leading) << START_BITS
