"""From old settings to what Headrace is to be given: pure, and told before anything is done."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from cli.old_settings import COMPATIBLE, Entry, Old
from shared.nearest import unknown

FREE_SUFFIX: Final = "-free"
PLAIN_PRIORITY: Final = 100
MOST_PRIORITY: Final = 1_000
MOST_TPM: Final = 10**12
KINDS: Final = {
    "chat": "chat",
    "embeddings": "embedding",
    "embedding": "embedding",
    "transcription": "transcription",
    "voice": "transcription",
    "stt": "transcription",
}
PATHS: Final = ("/chat/completions", "/completions", "/embeddings", "/audio/transcriptions")
UNPRICED: Final = (
    "its price is unknown, so it counts as paid: where it costs nothing, say so by"
    " `price_usd_per_1m` of its models (PATCH /v1/providers/{name})"
)


@dataclass(frozen=True, slots=True)
class Known:
    """A provider that the running Headrace knows; `models` counts those it may be asked for."""

    id: str
    base_url: str
    models: int


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one entry: a credential, and before it a provider where it needs one."""

    place: str
    credential: Mapping[str, Any] = field(repr=False)
    provider: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order; `refused` are entries that cannot be brought over: where, and why."""

    steps: tuple[Step, ...]
    refused: tuple[tuple[str, str], ...] = ()


class _CannotError(Exception):
    """An entry cannot be brought over; the message says what to do."""


def plan(old: Old, known: Sequence[Known], tenant: str | None = None) -> Plan:
    """What to do so that Headrace has what the old settings say."""
    steps, refused = [], []
    made: dict[str, str] = {}  # providers of one's own, by address
    for entry in old.entries:
        try:
            steps.append(_step(entry, old.entries, known, made, tenant))
        except _CannotError as why:
            refused.append((entry.place, str(why)))
    return Plan(tuple(steps), tuple(refused))


def _step(
    entry: Entry,
    entries: Sequence[Entry],
    known: Sequence[Known],
    made: dict[str, str],
    tenant: str | None,
) -> Step:
    _check(entry)
    if not entry.type:
        raise _CannotError("it says no type: groq, openai, gemini … is meant")
    if not entry.key:
        raise _CannotError("it has no key; add it by `headrace providers add`")
    name = _known(entry, known)
    if name is not None:
        return Step(entry.place, _credential(entry, name, tenant), remarks=_of_known(entry, name))
    address = base_url(entry.endpoint)
    if address in made:
        return Step(entry.place, _credential(entry, made[address], tenant))
    alike = [one for one in entries if one.key and base_url(one.endpoint) == address]
    body = _provider(entry, address, alike, {one.id for one in known} | set(made.values()))
    made[address] = body["id"]
    remarks = (UNPRICED.format(name=body["id"]), *_odd(entry))
    return Step(entry.place, _credential(entry, body["id"], tenant), body, remarks)


def _check(entry: Entry) -> None:
    """_CannotError for what no request can hold; where it stands, never what it is."""
    texts = {name: getattr(entry, name) for name in ("type", "key", "endpoint", "name", "model")}
    texts |= {f"allowed model {at}": name for at, name in enumerate(entry.allowed, 1)}
    texts |= {f"capability {at}": name for at, name in enumerate(entry.capabilities, 1)}
    for name, text in texts.items():
        if re.search("[\ud800-\udfff]", text):
            raise _CannotError(f"its {name} holds half a character (a lone surrogate)")
    if not 0 <= entry.tpm <= MOST_TPM:
        raise _CannotError(f"its limit of tokens a minute is none: {MOST_TPM} is the most")


def base_url(endpoint: str) -> str:
    """The part of an address that all calls share, without what may be a key in its query."""
    found = re.split(r"[?#]", endpoint, maxsplit=1)[0].rstrip("/")
    for path in PATHS:
        found = found.removesuffix(path)
    return found.rstrip("/")


def _known(entry: Entry, known: Sequence[Known]) -> str | None:
    """The provider that Headrace knows already; None where it is one's own."""
    address = base_url(entry.endpoint)
    if address:
        for one in known:
            if one.models and address in (one.base_url, one.base_url.rstrip("/")):
                return one.id
        host = _host(address)
        for one in known:
            if one.models and _host(one.base_url) == host and not _on_this_machine(host):
                return one.id
    kind = entry.type.lower().removesuffix(FREE_SUFFIX)
    by_id = {one.id: one for one in known}
    if kind in by_id and not address:
        return kind
    if kind == COMPATIBLE or address:
        return None
    raise _CannotError(f"type: {unknown(kind, {*by_id, COMPATIBLE}, 'provider')}")


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _on_this_machine(host: str | None) -> bool:
    """Several servers share such a host: only the whole address tells which is meant."""
    return host is None or host == "localhost" or host.startswith("127.")


def _provider(
    entry: Entry, address: str, alike: Sequence[Entry], taken: set[str]
) -> dict[str, Any]:
    """A provider of one's own, with the models of all entries of its address."""
    if not address:
        raise _CannotError("it has no endpoint: without one nobody can be called")
    if not _host(address) or "@" in address or not address.startswith(("http://", "https://")):
        raise _CannotError("its endpoint is no address: https://host/v1 is meant")
    names = dict.fromkeys(name for one in alike for name in (one.model, *one.allowed) if name)
    if not names:
        raise _CannotError(
            f"it names no model: `headrace providers add {_named(entry, address, taken)}"
            f" --base-url {address} --model MODEL` adds it with one"
        )
    most = max((one.tpm for one in alike), default=0)
    limits = {"limits": {"paid": {"tpm": most}}} if most else {}
    kinds = sorted({KINDS[one] for one in entry.capabilities if one in KINDS})
    said = {"kinds": kinds} if kinds else {}
    models = [{"id": name, **limits, **said} for name in names]
    title = {"title": entry.name[:64]} if entry.name else {}
    return {"id": _named(entry, address, taken), "base_url": address, "models": models, **title}


def _named(entry: Entry, address: str, taken: set[str]) -> str:
    """A name that nobody has: by what it was called, else by its host."""
    told = entry.name or urlsplit(address).netloc
    plain = re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-")[:50] or "own"
    return next(
        name for name in (plain, *(f"{plain}-{n}" for n in range(2, 999))) if name not in taken
    )


def _credential(entry: Entry, provider: str, tenant: str | None) -> dict[str, Any]:
    allowed = entry.allowed or ((entry.model,) if entry.model else ())
    said = {
        "provider": provider,
        "key": entry.key,
        "plan": "free" if entry.type.lower().endswith(FREE_SUFFIX) else None,
        "tenant": tenant,
        "enabled": None if entry.enabled else False,
        "allowed_models": list(dict.fromkeys(allowed)) or None,
        "priority": _priority(entry.priority) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _priority(old: int | None) -> int:
    """1 came first there; here the larger number does, and 0 is plain."""
    return 0 if old is None else max(-MOST_PRIORITY, min(MOST_PRIORITY, PLAIN_PRIORITY - old))


def _of_known(entry: Entry, name: str) -> tuple[str, ...]:
    """What of an entry has no place where the provider is known already."""
    remarks = []
    if entry.tpm:
        remarks.append(f"its limit of {entry.tpm} tokens a minute: the limits of {name} are known")
    if entry.capabilities:
        remarks.append(f"its capabilities: what models of {name} can do is known")
    return tuple(remarks)


def _odd(entry: Entry) -> tuple[str, ...]:
    found = [one for one in entry.capabilities if one not in KINDS]
    return (f"its capabilities {', '.join(found)}: Headrace has none such",) if found else ()
