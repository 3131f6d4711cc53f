"""Secrets: upstream keys from the environment and the configuration, and callers' API keys.

An API key is at least 32 characters of randomness, so its SHA-256 is as hard to reverse as the
key is to guess: a slow password hash would add nothing but a way to exhaust our CPU.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.core.model import CredentialRef


class Secret:
    """A string that shows itself only to `reveal()`: str, repr, format, pickle and JSON mask it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: for the transport's headers and nothing else."""
        return self._value


@dataclass(frozen=True, slots=True)
class Credentials:
    """All upstream credentials: `refs` without secrets, `secret(id)` for the transport."""

    refs: tuple[CredentialRef, ...]
    secrets: Mapping[str, Secret]

    def __iter__(self) -> Iterator[CredentialRef]:
        return iter(self.refs)

    def of(self, provider: str) -> tuple[CredentialRef, ...]:
        """The credentials of one provider."""
        return tuple(ref for ref in self.refs if ref.provider == provider)

    def secret(self, credential_id: str) -> Secret:
        """The secret of one credential; KeyError if there is none."""
        return self.secrets[credential_id]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller's key without the key: who it is and what it may do.

    `role` is admin or user. `weight` is the tenant's share between tenants. `allowed_models`
    None allows all.
    """

    name: str
    digest: str
    role: str = "user"
    tenant: str = "default"
    weight: int = 1
    allowed_models: frozenset[str] | None = None


def digest(key: str) -> str:
    """The SHA-256 of an API key, as 64 hexadecimal digits: what is stored and looked up."""
    return hashlib.sha256(key.encode()).hexdigest()
