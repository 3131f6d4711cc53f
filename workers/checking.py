"""Is a key any good: the cheapest real call, which lists the provider's models.

A list that also comes without the key says nothing about the key: the result is then `unproven`,
never `valid`. Prices and quotas of models are not touched by listing them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from shared.catalog import Provider
from shared.core.model import Deployment, Kind, lane_deployment
from shared.core.outcome import Failed, FailureKind
from shared.credentials import Secret
from shared.store.tables import Rest
from workers.failures import TransportFailure
from workers.providers.base import Call, HttpRequest
from workers.providers.registry import adapter_for
from workers.providers.requests import ACCEPT_ENCODING, USER_AGENT
from workers.reporting import redact
from workers.transport import Timeouts, Transport

TIMEOUTS: Final = Timeouts(total_ms=15_000, connect_ms=5_000, first_byte_ms=10_000, idle_ms=10_000)
MOST_MODELS: Final = 2_000
_OK: Final = range(200, 300)
_LIMITED: Final = frozenset({FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED})


@dataclass(frozen=True, slots=True)
class Check:
    """What a test found. `valid` None: it cannot be told.

    `status` is one of `valid invalid limited unproven unreachable unexpected not_offered`.
    """

    valid: bool | None
    status: str
    message: str = ""
    http_status: int | None = None
    models: tuple[str, ...] = ()
    latency_ms: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: int


async def check(provider: Provider, secret: Secret | None, transport: Transport) -> Check:
    """Tests a key of `provider`; raises nothing expected."""
    path = provider.quirks.check_path or provider.quirks.models_path
    if not path:
        return Check(None, "not_offered", "this provider offers no call that costs nothing")
    try:
        answer = await _get(provider, path, secret, transport)
        found = _judged(provider, answer, secret)
        if not found.valid:
            return found
        if provider.quirks.check_path:
            facts = _object(answer.body).get("data")
            listed = await _get(provider, provider.quirks.models_path, secret, transport)
            return _with(found, models_of(listed.body), facts if isinstance(facts, dict) else {})
        if secret and await _is_public(provider, path, transport):
            message = "the list of models is public here: it does not tell whether the key is good"
            found = Check(None, "unproven", message, found.http_status, (), found.latency_ms)
        return _with(found, models_of(answer.body), {})
    except TransportFailure as exc:
        return Check(None, "unreachable", redact(exc.message, secret.reveal() if secret else None))


def _with(found: Check, models: tuple[str, ...], facts: Mapping[str, Any]) -> Check:
    return Check(
        found.valid, found.status, found.message, found.http_status, models, found.latency_ms, facts
    )


async def _is_public(provider: Provider, path: str, transport: Transport) -> bool:
    try:
        return (await _get(provider, path, None, transport)).status in _OK
    except TransportFailure:
        return False


async def _get(
    provider: Provider, path: str, secret: Secret | None, transport: Transport
) -> _Answer:
    quirks = provider.quirks
    headers = {
        "accept": "application/json",
        "accept-encoding": ACCEPT_ENCODING,
        "user-agent": USER_AGENT,
        **dict(quirks.extra_headers),
    }
    if secret and quirks.auth_header:
        headers[quirks.auth_header] = quirks.auth_format.format(key=secret.reveal())
    url = provider.base_url + path
    request = HttpRequest("GET", url, headers, guarded=provider.guarded)
    began = time.monotonic()
    async with transport.open(request, TIMEOUTS) as exchange:
        body = await exchange.read()
        ms = round((time.monotonic() - began) * 1000)
        return _Answer(exchange.status, exchange.headers, body, ms)


def _judged(provider: Provider, answer: _Answer, secret: Secret | None) -> Check:
    if answer.status in _OK:
        return Check(True, "valid", "", answer.status, (), answer.ms)
    failed = _classified(provider, answer)
    message = redact(failed.message, secret.reveal() if secret else None)
    if failed.kind is FailureKind.UNAUTHORIZED:
        return Check(False, "invalid", message, answer.status, (), answer.ms)
    if failed.kind in _LIMITED:  # who limits a key knows it
        return Check(True, "limited", message, answer.status, (), answer.ms)
    return Check(None, "unexpected", message, answer.status, (), answer.ms)


def _classified(provider: Provider, answer: _Answer) -> Failed:
    """The refusal in our words, by the provider's own adapter: a bad key may be a 400."""
    nobody = Deployment("", provider.name, "", provider.type, provider.base_url, frozenset())
    call = Call(Kind.CHAT, {}, nobody, provider.quirks)
    adapter = adapter_for(provider.type)
    now_ms = time.time_ns() // 1_000_000
    return adapter.classify(call, answer.status, answer.headers, answer.body, now_ms)


def models_of(body: bytes) -> tuple[str, ...]:
    """The names in a list of models, as OpenAI, Gemini, Cohere, Ollama and Together shape it."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    if isinstance(value, dict):
        value = value.get("data") or value.get("models") or ()
    if not isinstance(value, list | tuple):
        return ()
    names = (each.get("id") or each.get("name") for each in value if isinstance(each, dict))
    found = [name.removeprefix("models/")[:256] for name in names if isinstance(name, str) and name]
    return tuple(dict.fromkeys(found))[:MOST_MODELS]


def listed_again(
    credential: str, rests: Mapping[str, Rest], models: Sequence[str]
) -> tuple[str, ...]:
    """The lanes a credential was set aside on, the model being gone, that `models` names again."""
    ours = [
        scope.removeprefix("l:").rpartition("|")
        for scope, rest in rests.items()
        if scope.startswith("l:") and rest.dead and rest.reason == FailureKind.MODEL_GONE
    ]
    named = {each.removesuffix(":latest") for each in models} | set(models)  # Ollama's tags
    return tuple(
        lane
        for lane, _, whose in ours
        if whose == credential and lane_deployment(lane).partition("/")[2] in named
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
