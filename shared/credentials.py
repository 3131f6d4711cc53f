"""Secrets: upstream keys from the environment and the configuration, and callers' API keys.

An API key is a long random string, so its SHA-256 is as hard to turn back as the key is to guess:
a slow password hash would protect nothing more and would let anyone spend our CPU. It is looked
up by that digest: what a caller can vary, and so time, is the digest of a guess, which says
nothing of the digests we hold; the last comparison is constant-time all the same.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from shared.catalog import Catalog, Provider
from shared.catalog_schema import ApiKeyDoc, Config, CredentialDoc
from shared.core.model import CredentialRef
from shared.errors import ConfigError
from shared.nearest import problems, unknown

MASK = "***"
API_KEY_PREFIX = "hr_"
MOST_NUMBERED = 99
TAIL_CHARS = 4
_LEAST_SHOWN = 12
_MIN_KEY_CHARS = 16


class Secret:
    """A string that shows itself only to `reveal()`.

    str, repr, format, JSON and pydantic's dumps give `***`; a pickle holds the mask and not the
    secret, so a secret cannot be sent to another process by mistake.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: for the transport's headers and nothing else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        return (Secret, (MASK,))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validated, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def _validated(cls, value: Any) -> "Secret":
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return cls(value)
        raise ValueError("should be a string")


@dataclass(frozen=True, slots=True)
class Credentials:
    """All upstream credentials: `refs` without secrets, `secret(id)` for the transport.

    `sources` says where each came from: `configuration`, `environment`, `none` (needs no key).
    """

    refs: tuple[CredentialRef, ...]
    secrets: Mapping[str, Secret]
    sources: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[CredentialRef]:
        return iter(self.refs)

    def of(self, provider: str) -> tuple[CredentialRef, ...]:
        """The credentials of one provider."""
        return tuple(ref for ref in self.refs if ref.provider == provider)

    def secret(self, credential_id: str) -> Secret:
        """The secret of one credential (empty for a provider without keys); KeyError if none."""
        return self.secrets[credential_id]


def load(env: Mapping[str, str], catalog: Catalog, config: Config) -> Credentials:
    """The upstream keys of the environment and of the configuration.

    A provider's environment names may each hold several keys, comma-separated, and be numbered
    (GROQ_API_KEY_1 to _99, gaps allowed): `groq-1`, `groq-2` and so on. The configuration's keys
    come first and keep their ids; an id that two providers use becomes `provider:id` for both. The
    same key twice is one credential. Raises ConfigError for a `key_env` that is not set, a plan
    nobody knows, a key no header can carry.
    """
    found: list[tuple[CredentialRef, Secret, str]] = []
    for provider in catalog.providers:
        doc = config.providers.get(provider.name)
        listed = (doc.credentials or []) if doc else []
        keys = _configured(provider, listed, env)
        found += [(ref, key, "configuration") for ref, key in keys]
        more = _from_env(provider, env, keys)
        found += [(ref, key, "environment") for ref, key in more]
        if not keys and not more and provider.no_auth:
            ref = CredentialRef(f"{provider.name}-1", provider.name, provider.default_plan)
            found.append((ref, Secret(""), "none"))
    ids = [ref.id for ref, *_ in found]
    shared = {id_ for id_ in ids if ids.count(id_) > 1}
    named = [(_qualified(ref) if ref.id in shared else ref, key, via) for ref, key, via in found]
    return Credentials(
        refs=tuple(ref for ref, *_ in named),
        secrets=MappingProxyType({ref.id: key for ref, key, _ in named}),
        sources=MappingProxyType({ref.id: source for ref, _, source in named}),
    )


def _qualified(ref: CredentialRef) -> CredentialRef:
    return replace(ref, id=f"{ref.provider}:{ref.id}")


def _configured(
    provider: Provider, docs: Iterable[CredentialDoc], env: Mapping[str, str]
) -> list[tuple[CredentialRef, Secret]]:
    """The keys the configuration lists for one provider."""
    found: list[tuple[CredentialRef, Secret]] = []
    for index, doc in enumerate(docs):
        path = f"providers.{provider.name}.credentials[{index}]"
        keys = [doc.key] if doc.key is not None else _split(_required(doc.key_env, env, path))
        plan = _plan(provider, doc.plan, path)
        base = doc.id or f"{provider.name}-{index + 1}"
        for number, key in enumerate(keys, start=1):
            id_ = base if number == 1 else f"{base}-{number}"
            ref = CredentialRef(
                id_, provider.name, plan, doc.tenant, doc.organisation, doc.plan is not None
            )
            found.append((ref, sendable(key, path)))
    return found


def _from_env(
    provider: Provider, env: Mapping[str, str], taken: list[tuple[CredentialRef, Secret]]
) -> list[tuple[CredentialRef, Secret]]:
    """The keys under a provider's usual names that the configuration did not name already."""
    held = {key for _, key in taken}
    ids = {ref.id for ref, _ in taken}
    found: list[tuple[CredentialRef, Secret]] = []
    number = 0
    for name in chain.from_iterable(_numbered(usual, env) for usual in provider.env):
        for value in _split(env.get(name, "")):
            key = sendable(value, name)
            if key in held:
                continue
            held.add(key)
            number += 1
            while f"{provider.name}-{number}" in ids:
                number += 1
            ref = CredentialRef(f"{provider.name}-{number}", provider.name, provider.default_plan)
            found.append((ref, key))
    return found


def _numbered(name: str, env: Mapping[str, str]) -> list[str]:
    """The name itself, then NAME_1 to NAME_99 as far as they are set."""
    return [name, *(each for n in range(1, MOST_NUMBERED + 1) if (each := f"{name}_{n}") in env)]


def _split(value: str) -> list[str]:
    return [part for part in (item.strip() for item in value.split(",")) if part]


def _required(name: str | None, env: Mapping[str, str], path: str) -> str:
    value = env.get(name or "", "").strip()
    if not value:
        raise ConfigError(
            f"{path}.key_env: {name} is not set in the environment; set it, or take the entry out"
        )
    return value


def sendable(key: str, path: str) -> Secret:
    """A key a header can carry; the message never shows it."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{path}: the key holds a space, control or non-ASCII character")
    return Secret(key)


def tail(secret: Secret) -> str:
    """The last four characters of a key, as it may be shown; "" of one too short for that."""
    plain = secret.reveal()
    return plain[-TAIL_CHARS:] if len(plain) >= _LEAST_SHOWN else ""


def _plan(provider: Provider, plan: str | None, path: str) -> str:
    return provider.default_plan if plan is None else known_plan(provider, plan, f"{path}.plan")


def known_plan(provider: Provider, plan: str, path: str) -> str:
    """`plan`, where the provider may have such a one. ConfigError names the nearest."""
    known = {*provider.plans, "free", "paid"}
    if provider.plans and plan not in known:
        raise ConfigError(f"{path}: {unknown(plan, known, 'plan')}")
    return plan


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller's key without the key: who it is and what it may do.

    `role` is admin or user. `weight` (1 to 1000) is the tenant's share between tenants.
    `allowed_models` None allows all.
    """

    name: str
    digest: str
    role: str = "user"
    tenant: str = "default"
    weight: int = 1
    allowed_models: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """All callers' keys, by digest."""

    by_digest: Mapping[str, ApiKey]

    @classmethod
    def of(cls, keys: Iterable[ApiKey]) -> "ApiKeys":
        """A snapshot of `keys`."""
        return cls(MappingProxyType({key.digest: key for key in keys}))

    @classmethod
    def from_config(
        cls, config: Config, env: Mapping[str, str] | None = None, file: Path | None = None
    ) -> "ApiKeys":
        """The keys of the configuration and those of `file` (see `from_file`).

        ConfigError if a `key_env` is not set or its key is short.
        """
        keys = [_api_key(doc, env or {}, f"api_keys[{i}]") for i, doc in enumerate(config.api_keys)]
        return cls.of([*(cls.from_file(file) if file else ()), *keys])

    @classmethod
    def from_file(cls, path: Path) -> "ApiKeys":
        """The keys of a JSON file, `[{name, digest, role?, tenant?, weight?}, …]`; none if absent.

        ConfigError if it is something else.
        """
        try:
            return cls.of(_KEYS_FILE.validate_json(path.read_bytes()))
        except FileNotFoundError:
            return cls.of(())
        except OSError as exc:
            raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
        except ValidationError as exc:
            raise ConfigError(f"{path}: {problems(exc)[0]}; it is made by `headrace up`") from exc

    def find(self, key: str) -> ApiKey | None:
        """Whose key this is, or None."""
        sought = digest(key)
        found = self.by_digest.get(sought)
        return found if found and hmac.compare_digest(found.digest, sought) else None

    def all(self) -> tuple[ApiKey, ...]:
        """All of them."""
        return tuple(self)

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self.by_digest.values())

    def __len__(self) -> int:
        return len(self.by_digest)


_KEYS_FILE = TypeAdapter(list[ApiKey])


def _api_key(doc: ApiKeyDoc, env: Mapping[str, str], path: str) -> ApiKey:
    key = doc.key if doc.key is not None else _required(doc.key_env, env, path)
    if len(key) < _MIN_KEY_CHARS:
        raise ConfigError(f"{path}: an API key has at least {_MIN_KEY_CHARS} characters")
    return ApiKey(
        name=doc.name,
        digest=digest(key),
        role=doc.role,
        tenant=doc.tenant or doc.name,
        weight=doc.weight,
        allowed_models=None if doc.allowed_models is None else frozenset(doc.allowed_models),
    )


def new_api_key() -> Secret:
    """A fresh API key of 256 random bits: shown once, then only its digest is kept."""
    return Secret(API_KEY_PREFIX + secrets.token_urlsafe(32))


def digest(key: str) -> str:
    """The SHA-256 of an API key, as 64 hexadecimal digits: what is stored and looked up."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
