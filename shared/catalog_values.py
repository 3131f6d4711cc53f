"""From the catalog's documents to the core's values: windows, prices, kinds."""

import re
from collections.abc import Mapping
from dataclasses import replace

from shared.catalog_schema import LimitsDoc, ModelDoc, ProviderDoc
from shared.catalog_types import (
    DIARIZATION,
    KNOWN_SPEAKERS,
    LANGUAGE_DETECTION,
    TIMESTAMPS,
    TRANSLATION,
    VARIABLE,
    WORD_TIMESTAMPS,
)
from shared.catalog_yaml import span_ms
from shared.core.model import Audio, Dimension, Kind, Limits, Price, Window, WindowKind
from shared.errors import ConfigError

_DAY_MS = 86_400_000
_HOST_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,127}")
NAMED = {
    # limit in the file: window name, what it counts, its span in ms
    "rpm": ("rpm", Dimension.REQUESTS, 60_000),
    "rpd": ("rpd", Dimension.REQUESTS, _DAY_MS),
    "tpm": ("tpm", Dimension.TOKENS, 60_000),
    "tpd": ("tpd", Dimension.TOKENS, _DAY_MS),
    "itpm": ("itpm", Dimension.INPUT_TOKENS, 60_000),
    "otpm": ("otpm", Dimension.OUTPUT_TOKENS, 60_000),
    # Calendar months are no span: at most this in any 31 days is never more than a month's.
    "tokens_per_month": ("tpmonth", Dimension.TOKENS, 31 * _DAY_MS),
    "ash": ("ash", Dimension.AUDIO_SECONDS, 3_600_000),
    "asd": ("asd", Dimension.AUDIO_SECONDS, _DAY_MS),
}


def kinds(model: ModelDoc, capabilities: frozenset[str] | None) -> frozenset[Kind]:
    """What a model serves: as said, as its capabilities say, or anything where both are unknown."""
    if model.kinds is not None:
        return frozenset(map(Kind, model.kinds))
    if capabilities is None:
        return frozenset(Kind)
    found = {Kind(name) for name in ("embedding", "transcription") if name in capabilities}
    chats = "chat" in capabilities or not found
    return frozenset({Kind.CHAT, Kind.SUMMARY} | found if chats else found)


def windows(
    limits: LimitsDoc | None, provider: ProviderDoc, told: LimitsDoc | None
) -> tuple[Window, ...]:
    """The windows of one plan; what the user's file `told` says it is the source of."""
    if limits is None:
        return ()
    own = told.model_fields_set if told else frozenset()
    found: list[Window] = []
    for field, (name, dimension, span) in NAMED.items():
        limit = getattr(limits, field)
        if limit is not None:
            how = getattr(provider.window_kinds, field)
            kind = WindowKind(how.kind) if how else WindowKind.SLIDING
            anchor = how.anchor if how else "epoch"
            source = "config" if field in own else "catalog"
            found.append(Window(name, dimension, limit, span, kind, anchor, source))
    source = "config" if "windows" in own else "catalog"
    for item in limits.windows:
        dimension = Dimension(item.counts)
        name, limit = f"{dimension.value}/{item.per}", getattr(item, dimension.value)
        span, kind = span_ms(item.per), WindowKind(item.kind)
        found.append(Window(name, dimension, limit, span, kind, item.anchor, source))
    return tuple(found)


def plans(
    doc: ProviderDoc, model: ModelDoc, over: ProviderDoc | None
) -> tuple[tuple[str, Limits], ...]:
    """Every plan anything is known of: the model's own windows, and those it shares.

    `over` is what the user's file says of the provider. A pool's windows are named after it, so
    that the models in it share them and nobody else.
    """
    named = next((m for m in (over.models if over else None) or [] if m.id == model.id), None)
    told = named.limits if named else {}
    pool = doc.pools.get(model.pool, {}) if model.pool else {}
    told_pool = over.pools.get(model.pool or "", {}) if over else {}
    return tuple(
        (
            plan,
            Limits(
                windows=windows(model.limits.get(plan), doc, told.get(plan)),
                concurrency=model.limits[plan].concurrency if plan in model.limits else None,
                shared=(
                    *windows(doc.limits.get(plan), doc, over.limits.get(plan) if over else None),
                    *(
                        replace(window, name=f"{model.pool}/{window.name}")
                        for window in windows(pool.get(plan), doc, told_pool.get(plan))
                    ),
                ),
            ),
        )
        for plan in {**doc.limits, **pool, **model.limits}
    )


def capabilities(model: ModelDoc) -> frozenset[str] | None:
    """What a model can do; None: not known. What is not said of a transcription it can do.

    But tell speakers, or in English what is said in another language: few can. Who keeps to a
    schema can write JSON of any shape.
    """
    if model.capabilities is None:
        return None
    found = frozenset(model.capabilities)
    found |= {"json_object"} if "json_schema" in found else set()
    if "transcription" not in {*found, *(model.kinds or ())}:
        return found
    times = {"none": set[str](), "segment": {TIMESTAMPS}}
    found |= times.get(model.timestamps or "", {TIMESTAMPS, WORD_TIMESTAMPS})
    speakers = {"labels": {DIARIZATION}, "known": {DIARIZATION, KNOWN_SPEAKERS}}
    found |= speakers.get(model.speakers or "", set())
    found |= {TRANSLATION} if model.translates else set()
    return found if model.language_required else found | {LANGUAGE_DETECTION}


def audio(model: ModelDoc) -> Audio:
    """What it takes of audio, and how it counts it."""
    return Audio(
        max_bytes=model.max_audio_bytes,
        max_seconds=model.max_audio_seconds,
        least_seconds=model.min_billed_seconds or 0,
        tokens_per_s=model.audio_tokens_per_second or 0.0,
    )


def price(model: ModelDoc) -> Price:
    """Dollars as micro-dollars; unknown stays unknown."""
    tokens, hour = model.price_usd_per_1m, model.price_usd_per_audio_hour
    if hour is None and model.price_usd_per_audio_minute is not None:
        hour = model.price_usd_per_audio_minute * 60
    usd = (tokens.input, tokens.output, tokens.cached) if tokens else (None, None, None)
    return Price(*(None if each is None else round(each * 1e6) for each in (*usd, hour)))


def address(name: str, base_url: str, env: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The address with its variables filled in, and the names of those that are not set.

    ConfigError for a value that would make another address of it.
    """
    missing: list[str] = []
    for variable in dict.fromkeys(VARIABLE.findall(base_url)):
        value = env.get(variable, "").strip()
        if not value:
            missing.append(variable)
        elif not _HOST_PART.fullmatch(value):
            raise ConfigError(
                f"{variable}: should be a name of letters, digits, dots and dashes: it becomes"
                f" part of the address of {name}"
            )
        else:
            base_url = base_url.replace(f"${{{variable}}}", value)
    return base_url.rstrip("/"), tuple(missing)
