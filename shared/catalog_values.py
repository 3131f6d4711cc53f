"""From the catalog's documents to the core's values: windows, prices, kinds."""

from shared.catalog_schema import LimitsDoc, ModelDoc, PriceDoc, ProviderDoc
from shared.catalog_yaml import span_ms
from shared.core.model import Dimension, Kind, Price, Window, WindowKind

_DAY_MS = 86_400_000
NAMED = {
    # limit in the file: window name, what it counts, its span in ms
    "rpm": ("rpm", Dimension.REQUESTS, 60_000),
    "rpd": ("rpd", Dimension.REQUESTS, _DAY_MS),
    "tpm": ("tpm", Dimension.TOKENS, 60_000),
    "tpd": ("tpd", Dimension.TOKENS, _DAY_MS),
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
        dimension = next(d for d in Dimension if getattr(item, d.value) is not None)
        name, limit = f"{dimension.value}/{item.per}", getattr(item, dimension.value)
        span, kind = span_ms(item.per), WindowKind(item.kind)
        found.append(Window(name, dimension, limit, span, kind, item.anchor, source))
    return tuple(found)


def price(doc: PriceDoc | None) -> Price:
    """Dollars as micro-dollars; unknown stays unknown."""
    if doc is None:
        return Price()
    return Price(
        *(None if usd is None else round(usd * 1e6) for usd in (doc.input, doc.output, doc.cached))
    )
