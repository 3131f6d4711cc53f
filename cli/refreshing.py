"""Asking providers for their lists of models, and writing the file that comes of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.home import write_private
from shared import catalog, catalog_listing, credentials
from shared.catalog import Provider
from shared.catalog_listing import Listed, Unreadable
from shared.catalog_schema import Config, ProviderDoc
from shared.credentials import Secret
from shared.errors import ConfigError
from shared.nearest import unknown
from workers.failures import TransportFailure
from workers.providers.base import HttpRequest
from workers.transport import Timeouts, Transport

AT_ONCE = 8
MAX_PAGES = 20
MAX_REPLY_BYTES = 16 << 20
TIMEOUTS = Timeouts(total_ms=60_000, connect_ms=10_000, first_byte_ms=30_000, idle_ms=15_000)
OK = 200
HEADER = """\
# Written by `headrace catalog refresh`: what providers list beyond catalog.yaml, which it is laid
# over. Your own configuration is laid over both. Delete the file, or a part of it, to forget it.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A provider to ask, with a key of its own; "" where it needs none."""

    provider: Provider
    secret: Secret


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider lists, or the problem in words."""

    name: str
    models: tuple[Listed, ...] = ()
    problem: str | None = None


def asked_of(
    facts: Config, config: Config, env: Mapping[str, str], only: str | None
) -> tuple[Asked, ...]:
    """The providers of the catalog that list models and that there is a key for.

    ConfigError where the one named by `only` is unknown, has no key or lists nothing.
    """
    if only is not None:
        if only not in facts.providers:
            raise ConfigError(f"--provider: {unknown(only, facts.providers, 'provider')}")
        own = config.providers.get(only) or ProviderDoc()
        config = config.model_copy(update={"providers": {**config.providers, only: own}})
    built = catalog.build(config, facts, env)
    held = credentials.load(env, built, config)
    found: list[Asked] = []
    for provider in built.providers:
        if provider.name not in facts.providers or only not in (None, provider.name):
            continue
        refs = held.of(provider.name)
        problem = _unaskable(provider, bool(refs))
        if problem is None:
            found.append(Asked(provider, held.secret(refs[0].id)))
        elif only is not None:
            raise ConfigError(f"{only}: {problem}")
    return tuple(found)


def _unaskable(provider: Provider, has_key: bool) -> str | None:
    if not provider.quirks.models_path:
        return "has no list of models that we can read"
    if not has_key:
        return f"has no key; set {provider.env[0]}" if provider.env else "has no key"
    return f"set {provider.needs[0]}, its address is made of it" if provider.needs else None


async def ask(asked: tuple[Asked, ...]) -> tuple[Answer, ...]:
    """Every answer, in the order asked; a provider that does not tell is a problem, not an end."""
    gate = asyncio.Semaphore(AT_ONCE)
    transport = Transport(max_reply_bytes=MAX_REPLY_BYTES)

    async def one(each: Asked) -> Answer:
        async with gate:
            name = each.provider.name
            try:
                return Answer(name, await _models(transport, each))
            except (Unreadable, TransportFailure) as exc:
                return Answer(name, problem=str(exc))

    try:
        return tuple(await asyncio.gather(*map(one, asked)))
    finally:
        await transport.aclose()


async def _models(transport: Transport, asked: Asked) -> tuple[Listed, ...]:
    provider, quirks = asked.provider, asked.provider.quirks
    headers = {"accept": "application/json", **dict(quirks.extra_headers)}
    if asked.secret and quirks.auth_header:
        headers[quirks.auth_header] = quirks.auth_format.format(key=asked.secret.reveal())
    found: dict[str, Listed] = {}
    after = ""
    for _ in range(MAX_PAGES):
        path = quirks.models_path
        url = catalog_listing.url_of(provider.type, provider.base_url, path, after)
        async with transport.open(HttpRequest("GET", url, headers), TIMEOUTS) as exchange:
            body = await exchange.read()
        if exchange.status != OK:
            raise Unreadable(_refused(exchange.status))
        page = catalog_listing.read(provider.type, body)
        found |= {model.id: model for model in page.models}
        if not page.after or page.after == after or len(found) >= catalog_listing.MAX_MODELS:
            return tuple(found.values())
        after = page.after
    return tuple(found.values())


def _refused(status: int) -> str:
    hint = {400: ": is the key right?", 401: ": is the key right?", 403: ": may this key list?"}
    return f"its list of models answered {status}{hint.get(status, '')}"


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces the file in one step. ConfigError if it cannot be written."""
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, HEADER + text)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written ({exc.strerror}); choose another") from exc
