"""May this lane serve a request of this size, now: the checks that no view could make beforehand.

Context: `input x token_factor x (1 + margin) + output <= context`, where output is the asked
maximum or, without one, the expected output; the margin covers our estimate of the input.
Never fits: what the provider counts of it is more than a whole window of every plan we hold.
Unknown facts filter nothing; an unknown price is never within a cost cap.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.core.candidates import Candidate, Most, Skip
from shared.core.features import Features
from shared.core.index import View
from shared.core.ranking import Tier, even

TOKENS_PER_PRICE = 1_000_000
HOUR_S = 3_600
ASKED = 2  # of `Candidate.counts`: the most that was asked for


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a lane is, worked out once a reading. `queue_ms` is by class, beyond `open_ms`.

    `first_ms` and `each_us` are how long its answers take to begin and, a token, to go on; what
    others take where it was not measured.
    """

    open_ms: int
    queue_ms: tuple[int, int, int]
    dead: bool
    first_ms: int = 0
    each_us: int = 0

    def answer_ms(self, output_tokens: int) -> int:
        """How long such an answer takes from its start."""
        return self.first_ms + output_tokens * self.each_us // 1_000


IDLE = Load(0, (0, 0, 0), False)

# A lane that is kept, and the ms until it may start the job.
Kept = tuple[Candidate, int]


def fault_of(candidate: Candidate, features: Features, load: Load, margin: float) -> Skip | None:
    """The first check this lane fails; None where it may serve the request."""
    asked = features.max_output_tokens or 0
    if asked > candidate.max_output_tokens:
        return Skip.MAX_OUTPUT
    output = asked or features.output_tokens
    weighed = features.input_tokens * candidate.token_factor
    if weighed * (1.0 + margin) + output > candidate.context_tokens:
        return Skip.CONTEXT
    audio = 0
    if features.audio_seconds:
        long = features.audio_seconds > candidate.audio_seconds
        if long or features.audio_bytes > candidate.audio_bytes:
            return Skip.AUDIO_SIZE
        audio = candidate.deployment.audio.counted_s(features.audio_seconds)
    if not _fits_some(candidate, features, audio):
        return Skip.NEVER_FITS
    cap = features.cost_cap_microusd
    if cap is not None and not 0 <= cost_of(candidate, features) <= cap:
        return Skip.COST_CAP
    return Skip.DEAD if load.dead else None


def _fits_some(candidate: Candidate, features: Features, audio_seconds: int) -> bool:
    """Whether a whole window of some plan holds what the provider counts of it."""
    into = _input_tokens(candidate, features)
    out = _output_tokens(candidate, features)
    counted = into + (out if candidate.counts else 0)
    calls = _requests(candidate, features)
    for tokens, audio, input_tokens, output_tokens, requests in candidate.windows:
        if (
            counted <= tokens
            and audio_seconds <= audio
            and into <= input_tokens
            and out <= output_tokens
            and calls <= requests
        ):
            return True
    return False


def _requests(candidate: Candidate, features: Features) -> int:
    """As how many requests the provider counts the call."""
    return features.inputs if candidate.deployment.each_input else 1


def _output_tokens(candidate: Candidate, features: Features) -> int:
    """The output that its windows of output count: the most asked, or what is expected."""
    expected = features.output_tokens
    return (features.max_output_tokens or expected) if candidate.counts == ASKED else expected


def counted_tokens(candidate: Candidate, features: Features) -> float:
    """What this provider's token windows count when the request arrives."""
    output = _output_tokens(candidate, features) if candidate.counts else 0
    return _input_tokens(candidate, features) + output


def _input_tokens(candidate: Candidate, features: Features) -> float:
    tokens = features.input_tokens * candidate.token_factor
    if features.audio_seconds:
        tokens += features.audio_seconds * candidate.deployment.audio.tokens_per_s
    return tokens


def cost_of(candidate: Candidate, features: Features) -> int:
    """The most it may cost, in microusd, rounded up; 0 on a free lane, -1 at an unknown price."""
    if candidate.free:
        return 0
    if features.audio_seconds and candidate.hour_price >= 0:
        seconds = candidate.deployment.audio.counted_s(features.audio_seconds)
        return int(-(-seconds * candidate.hour_price // HOUR_S))
    if candidate.input_price < 0 or candidate.output_price < 0:
        return -1
    output = features.max_output_tokens or features.output_tokens
    spent = _input_tokens(candidate, features) * candidate.input_price
    return int(-(-(spent + output * candidate.output_price) // TOKENS_PER_PRICE))


def hard_filter(
    view: View,
    features: Features,
    loads: Mapping[str, Load],
    now_ms: int,
    margin: float,
    draw: int,
) -> tuple[list[Kept], dict[Skip, list[Candidate]]]:
    """The lanes that pass, best first, and the others by their first fault.

    What passes every check of a whole tier is not checked one by one; else one of each size is.
    """
    level, step_ms, weight = features.priority, view.step_ms, view.weight
    fast, output = view.fast, features.output_tokens
    ordered: dict[int, list[Kept]] = {}
    skipped: dict[Skip, list[Candidate]] = {}
    for tier in view.tiers:
        members, prefix = tier.members, tier.prefix
        faults, turn = _faults(tier, features, margin), draw % len(members)
        if turn:
            members, faults = members[turn:] + members[:turn], faults[turn:] + faults[:turn]
        for at, one in enumerate(members):
            load = loads.get(one.lane, IDLE)
            fault = faults[at] if faults else None
            if fault is not None or load.dead:
                skipped.setdefault(fault or Skip.DEAD, []).append(one)
                continue
            start_ms, parked_ms = load.queue_ms[level], load.open_ms - now_ms
            if parked_ms > 0:
                start_ms += parked_ms
            if fast:
                end_ms = start_ms + load.first_ms + output * load.each_us // 1_000
                key = prefix + even(end_ms // step_ms) * weight
            else:
                key = prefix + (start_ms // step_ms).bit_length() * weight
            if key in ordered:
                ordered[key].append((one, start_ms))
            else:
                ordered[key] = [(one, start_ms)]
    return [entry for key in sorted(ordered) for entry in ordered[key]], skipped


def _faults(tier: Tier, features: Features, margin: float) -> tuple[Skip | None, ...]:
    """The first check of size or cost that each member fails; empty where all pass all."""
    if fault_of(tier.toughest, features, IDLE, margin) is None:
        return ()
    if features.cost_cap_microusd is not None:  # the price matters too
        return tuple(fault_of(one, features, IDLE, margin) for one in tier.members)
    found: dict[int, Skip | None] = {}
    for size, one in zip(tier.sizes, tier.members, strict=True):
        if size not in found:
            found[size] = fault_of(one, features, IDLE, margin)
    return tuple(found[size] for size in tier.sizes)


def kept_reason(candidate: Candidate, cost_microusd: int, start_ms: int) -> str:
    """In words: what it costs, when it may start."""
    price = "free" if candidate.free else f"up to {cost_microusd} microusd"
    if cost_microusd < 0:
        price = "price unknown"
    starts = f"in {start_ms} ms" if start_ms < 1_000 else f"in {start_ms / 1_000:.1f} s"  # noqa: PLR2004 - a second
    return f"{price}, starts {starts if start_ms else 'now'}"


def skip_reason(skip: Skip, candidate: Candidate, features: Features) -> str:
    """In words, after the check's name: what was needed and what there is."""
    output = features.max_output_tokens or features.output_tokens
    match skip:
        case Skip.MAX_OUTPUT:
            return f"{skip.value}: {output} > {candidate.max_output_tokens}"
        case Skip.CONTEXT:
            need = int(features.input_tokens * candidate.token_factor) + output
            return f"{skip.value}: needs about {need} tokens, has {candidate.context_tokens}"
        case Skip.AUDIO_SIZE:
            return _too_much_audio(candidate, features)
        case Skip.NEVER_FITS:
            return _never_fits(candidate, features)
        case Skip.PAID:
            return f"{skip.value}: without a deadline it waits for free quota"
        case _:
            return skip.value


def _too_much_audio(candidate: Candidate, features: Features) -> str:
    name = Skip.AUDIO_SIZE.value
    if features.audio_seconds > candidate.audio_seconds:
        return f"{name}: {features.audio_seconds} s, takes at most {candidate.audio_seconds} s"
    return f"{name}: {features.audio_bytes} bytes, takes at most {candidate.audio_bytes}"


def _never_fits(candidate: Candidate, features: Features) -> str:
    name = Skip.NEVER_FITS.value
    most = Most(*map(max, zip(*candidate.windows, strict=True)))
    if features.audio_seconds > most.audio_seconds:
        longest = most.audio_seconds
        return f"{name}: {features.audio_seconds} s of audio, a whole window has {longest}"
    for need, window, what in (
        (_input_tokens(candidate, features), most.input_tokens, "input tokens"),
        (_output_tokens(candidate, features), most.output_tokens, "output tokens"),
        (_requests(candidate, features), most.requests, "requests (each input is one)"),
    ):
        if need > window:
            return f"{name}: needs {int(need)} {what}, a whole window has {window}"
    need = int(counted_tokens(candidate, features))
    return f"{name}: needs {need} tokens, a whole window has {most.tokens}"
