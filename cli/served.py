"""Which providers this configuration serves, for `up`'s greeting and for `doctor`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared import catalog, credentials

HINTED = 4


@dataclass(frozen=True, slots=True)
class Served:
    """One provider: how many of our keys it has, and how many models they open."""

    name: str
    keys: int
    models: int
    no_auth: bool

    def __str__(self) -> str:
        keys = "no key needed" if self.no_auth else _count(self.keys, "key")
        return f"{self.name} ({keys}, {_count(self.models, 'model')})"


@dataclass(frozen=True, slots=True)
class Supply:
    """All providers served, and the environment names that would add others."""

    served: tuple[Served, ...]
    missing: Mapping[str, str]

    def hint(self) -> str:
        """How to add a provider, in one line."""
        names = ", ".join(list(self.missing.values())[:HINTED])
        return f"set a provider's key ({names} …) or name a file with --config"


def look(config: Path | None, refreshed: Path | None = None, engines: Path | None = None) -> Supply:
    """What the catalog, the configuration and the environment give. ConfigError if they are wrong.

    Needs no network: whether a key is valid shows when it is used.
    """
    found, own = catalog.load(config, refreshed, engines)
    keys = credentials.load(os.environ, found, own)
    open_ = found.served(keys)
    served = tuple(
        Served(p.name, len(keys.of(p.name)), len(open_.by_provider.get(p.name, ())), p.no_auth)
        for p in open_.providers
        if open_.by_provider.get(p.name)
    )
    names = {each.name for each in served}
    missing = {
        p.name: p.needs[0] if p.needs and keys.of(p.name) else p.env[0]
        for p in found.providers
        if p.env and p.name not in names and not p.no_auth
    }
    return Supply(served, missing)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
