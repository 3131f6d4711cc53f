"""Laying the user's configuration over the catalog, provider by provider."""

from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from shared.catalog_schema import Config, LimitsDoc, ProviderDoc
from shared.errors import ConfigError
from shared.nearest import problems, unknown
from shared.wires import NATIVE, WIRES

OPENAI_COMPATIBLE = "openai-compatible"
ANCHORS = ("epoch", "first_use")
_OF_THE_WIRE = frozenset(
    {"type", "base_url", "window_kinds", "scope", "counts", "token_factor", "quirks", "docs"}
    | {"embedding_requests"}
)
_OF_THE_MODELS = frozenset({"models", "limits", "pools"})


def merged(base: Config, over: Config) -> dict[str, ProviderDoc]:
    """Every provider of both, `over` laid over `base`: what it does not say stays.

    Models merge by id and limits by name; other lists are replaced. A provider of a new name whose
    `type` names one of the base has that one's wire, and its models unless it lists its own; a
    `type` that names a wire of `shared/wires.py` is OpenAI's with what differs there.
    ConfigError names what is missing or does not fit.
    """
    names = [*base.providers, *(name for name in over.providers if name not in base.providers)]
    docs: dict[str, ProviderDoc] = {}
    for name in names:
        path = f"providers.{name}"
        own = over.providers.get(name)
        if own is None:  # as most are: a document is frozen, so it can be the very same
            docs[name] = base.providers[name]
            _complete(path, docs[name])
            continue
        plain = _plain(own)
        start = _start(name, plain, base)
        plain.pop("type", None)
        try:
            doc = ProviderDoc.model_validate(_laid(start, plain))
        except ValidationError as exc:
            found = "\n".join(f"{path}.{problem}" for problem in problems(exc, ProviderDoc))
            raise ConfigError(found) from exc
        _complete(path, doc)
        if doc.status == "retired" and "status" not in plain:
            said = "is retired; say `status: active` if you know better"
            raise ConfigError(f"{path}: {said}")
        docs[name] = doc
    return docs


def _start(name: str, own: Mapping[str, Any], base: Config) -> dict[str, Any]:
    """What a provider starts from: itself in the base, the one its type names, or nothing."""
    type_ = own.get("type")
    known = {OPENAI_COMPATIBLE, *NATIVE, *WIRES, *base.providers}
    if type_ is not None and type_ not in known:
        raise ConfigError(f"providers.{name}.type: {unknown(type_, known, 'type')}")
    if name in base.providers and type_ in (None, name, base.providers[name].type):
        return _plain(base.providers[name])
    if name in base.providers and type_ == OPENAI_COMPATIBLE:
        # Its models by another wire than its own: what is said of that one holds no longer.
        start = _plain(base.providers[name])
        return {key: value for key, value in start.items() if key != "quirks"} | {"type": type_}
    if type_ in base.providers:
        template = _plain(base.providers[type_])
        wanted = _OF_THE_WIRE if own.get("models") is not None else _OF_THE_WIRE | _OF_THE_MODELS
        return {key: value for key, value in template.items() if key in wanted}
    if type_ in WIRES and type_ not in NATIVE:
        return {"type": OPENAI_COMPATIBLE, "quirks": {"like": type_}}
    return {} if type_ is None else {"type": type_}


def _plain(doc: ProviderDoc) -> dict[str, Any]:
    """What a document says, without what it leaves to defaults."""
    return doc.model_dump(exclude_unset=True)


def _laid(start: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `start`, mapping by mapping; models by their ids."""
    result = dict(start)
    for key, value in over.items():
        below = result.get(key)
        if key == "models" and below and value is not None:
            result[key] = _models(below, value)
        elif isinstance(value, dict) and isinstance(below, dict):
            result[key] = _laid(below, value)
        else:
            result[key] = value
    return result


def _models(
    below: Iterable[dict[str, Any]], over: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    models = {model["id"]: model for model in below}
    for model in over:
        models[model["id"]] = _laid(models.get(model["id"], {}), model)
    return list(models.values())


def _complete(path: str, doc: ProviderDoc) -> None:
    """ConfigError for what a provider must have in the end."""
    if doc.type is None:
        raise ConfigError(f"{path}.type: is required; for most servers: openai-compatible")
    if doc.base_url is None:
        raise ConfigError(f"{path}.base_url: is required, as in http://127.0.0.1:8000/v1")
    if doc.type not in {OPENAI_COMPATIBLE, *NATIVE}:
        message = unknown(doc.type, {OPENAI_COMPATIBLE, *NATIVE}, "type")
        raise ConfigError(f"{path}.type: {message}")
    for name, how in doc.window_kinds:
        if how is not None:
            _anchor(f"{path}.window_kinds.{name}", how.anchor)
    for index, model in enumerate(doc.models or []):
        if model.pool is not None and model.pool not in doc.pools:
            message = unknown(model.pool, doc.pools, "pool")
            raise ConfigError(f"{path}.models[{index}].pool: {message}")
    for place, plans in _limits(path, doc):
        for plan, limits in plans.items():
            _windows(f"{place}.{plan}", limits)


def _limits(path: str, doc: ProviderDoc) -> Iterable[tuple[str, Mapping[str, LimitsDoc]]]:
    """Every place of a provider where limits by plan stand."""
    yield f"{path}.limits", doc.limits
    for name, plans in doc.pools.items():
        yield f"{path}.pools.{name}", plans
    for index, model in enumerate(doc.models or []):
        yield f"{path}.models[{index}].limits", model.limits


def _windows(path: str, limits: LimitsDoc) -> None:
    """Two windows of one name would be counted as one."""
    seen: set[tuple[str, str]] = set()
    for index, window in enumerate(limits.windows):
        _anchor(f"{path}.windows[{index}]", window.anchor)
        same = (window.per, window.counts)
        if same in seen:
            raise ConfigError(f"{path}.windows[{index}]: the same span stands here twice; keep one")
        seen.add(same)


def _anchor(path: str, anchor: str) -> None:
    if anchor in ANCHORS:
        return
    try:
        ZoneInfo(anchor)
    except (ValueError, OSError, KeyError) as exc:
        raise ConfigError(
            f"{path}.anchor: {anchor!r} is neither epoch, first_use nor a time zone "
            "such as America/Los_Angeles"
        ) from exc
