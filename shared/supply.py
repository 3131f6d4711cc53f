"""What attempts draw on: one frozen snapshot of catalog and credentials, and how it changes.

`assemble` (pure) lays what the store administers over the environment and the configuration. A
`Live` holds the newest snapshot of one process and makes another when the store tells of a change;
who works reads `current` once and keeps what it read.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import structlog
from pydantic import ValidationError

from shared import catalog as catalogs
from shared import credentials as configured
from shared import vault as vaults
from shared.catalog import Catalog, Provider
from shared.catalog_schema import Config, ProviderDoc
from shared.core.candidates import FREE_PLANS
from shared.core.model import CredentialRef
from shared.core.organisations import Member, Told, owners, told_of
from shared.credentials import ApiKey, ApiKeys, Credentials, Secret
from shared.errors import ConfigError, StoreError
from shared.settings import Settings
from shared.store.tables import Row, Rows, Tables
from shared.vault import Unreadable, Vault

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S: Final = 0.1
MOST_BACKOFF_S: Final = 5.0
CANCEL_AGAIN_S: Final = 0.5
NO_KEYS: Final = ApiKeys(MappingProxyType({}))
NO_ROWS: Final = Rows()


@dataclass(frozen=True, slots=True)
class Base:
    """What a process is given at its start and never changes.

    `ours` None: our own catalog.yaml, with the files `refreshed` and `engines` over it, read when
    it is needed. `first` is its supply without any row, where that has been assembled already.
    """

    config: Config
    env: Mapping[str, str] = field(repr=False)
    ours: Config | None = None
    refreshed: Path | None = None
    engines: Path | None = None
    vault: Vault | None = None
    allow_private: bool = False
    first: "Supply | None" = field(default=None, repr=False)

    @classmethod
    def of_settings(cls, settings: Settings, env: Mapping[str, str]) -> Self:
        """What a process of ours starts with. ConfigError for what is set wrong."""
        return cls(
            catalogs.read_config(settings.config),
            dict(env),
            refreshed=settings.refreshed,
            engines=settings.engines,
            vault=vaults.of_settings(settings),
            allow_private=settings.allow_private_providers,
        )


@dataclass(frozen=True, slots=True)
class Held:
    """One credential as administration sees it, in use or not.

    `source` is `api`, `configuration`, `environment` or `none` (no key needed). `plan_source` is
    `declared`, `detected` or `default`. `problem` says why it is not in use, "" where it is.
    `told` is the organisation that its provider's answers name.
    """

    ref: CredentialRef
    source: str
    tail: str = ""
    name: str = ""
    enabled: bool = True
    plan_source: str = "default"
    problem: str = ""
    created_ms: int | None = None
    updated_ms: int | None = None
    told: Told | None = None

    @property
    def organisation(self) -> str | None:
        """Whose account it belongs to: as stated, else as its provider told."""
        return self.ref.organisation or (self.told.name if self.told else None)

    @property
    def organisation_source(self) -> str | None:
        """Who says so: `declared`, `header` or `429`."""
        if self.ref.organisation:
            return "declared"
        return self.told.source if self.told else None


@dataclass(frozen=True, slots=True)
class Supply:
    """One snapshot. `whole` is every provider known, `catalog` what there is a credential for."""

    whole: Catalog
    catalog: Catalog
    credentials: Credentials
    held: tuple[Held, ...] = ()
    keys: ApiKeys = NO_KEYS
    rows: Rows = NO_ROWS
    all_secrets: Mapping[str, Secret] = field(default_factory=dict)

    def secret(self, credential_id: str) -> Secret | None:
        """The secret of a credential; None where this process has none."""
        return self.credentials.secrets.get(credential_id)

    def stored_secret(self, credential_id: str) -> Secret | None:
        """The secret of a credential that may be disabled: for a test of it."""
        return self.all_secrets.get(credential_id)

    def ref(self, credential_id: str) -> CredentialRef | None:
        """A credential in use."""
        return next((ref for ref in self.credentials if ref.id == credential_id), None)

    def free(self, credential_id: str) -> bool:
        """Whether a credential is on a plan that costs nothing."""
        mine = self.ref(credential_id)
        return mine is not None and mine.plan in FREE_PLANS

    def siblings(self, credential_id: str) -> tuple[str, ...]:
        """The other credentials that share its lanes."""
        mine = self.ref(credential_id)
        if mine is None:
            return ()
        shared = [ref for ref in self.credentials.of(mine.provider) if ref.pool == mine.pool]
        return tuple(ref.id for ref in shared if ref.id != credential_id)

    def prints(self) -> dict[str, str]:
        """What tells each credential's key and where it is sent from another, by id.

        It is a digest's first digits.
        """
        urls = {provider.name: provider.base_url for provider in self.catalog.providers}
        secrets = self.credentials.secrets
        told = {
            ref.id: f"{ref.id}:{secrets[ref.id].reveal()}:{urls.get(ref.provider)}"
            for ref in self.credentials
        }
        return {id_: configured.digest(text)[:16] for id_, text in told.items()}

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the providers served."""
        return tuple(sorted(provider.name for provider in self.catalog.providers))


def assemble(base: Base, rows: Rows) -> Supply:
    """The supply of a process with these rows; a row that cannot be used is told and left out."""
    whole = _catalog(base, rows.providers)
    found = configured.load(base.env, whole, base.config)
    secrets = dict(found.secrets)
    held = [_configured(ref, found, rows) for ref in found]
    for id_, row in rows.credentials.items():
        if "sealed" not in row:
            continue
        one, secret = _stored(id_, row, whole.provider(row["provider"]), rows.plans, base.vault)
        held.append(one)
        if secret is not None:
            secrets[id_] = secret
    held = _of_organisations(held, whole, rows)
    refs = tuple(one.ref for one in held if one.enabled and not one.problem)
    refs = _without_needless(refs, found)
    return Supply(
        whole=whole,
        catalog=whole.served(refs),
        credentials=Credentials(
            refs, MappingProxyType({ref.id: secrets[ref.id] for ref in refs}), found.sources
        ),
        held=tuple(held),
        keys=ApiKeys.of(_api_key(row) for row in rows.apikeys.values()),
        rows=rows,
        all_secrets=MappingProxyType(secrets),
    )


def _catalog(base: Base, stored: Mapping[str, Row]) -> Catalog:
    """The configuration's catalog with the store's providers; names of the former win."""
    own = catalogs.facts(base.refreshed, base.engines) if base.ours is None else base.ours
    taken = {*own.providers, *base.config.providers}
    docs: dict[str, ProviderDoc] = {}
    for name, row in stored.items():
        if name in taken:
            log.warning("provider_shadowed", provider=name)
            continue
        try:
            docs[name] = ProviderDoc.model_validate(row["doc"])
        except ValidationError as problem:
            log.warning("provider_unreadable", provider=name, error=str(problem)[:200])
    config = base.config.model_copy(update={"providers": {**base.config.providers, **docs}})
    try:
        built = catalogs.build(config, own, base.env)
    except ConfigError as problem:  # an older version may have taken what this one refuses
        log.warning("providers_unusable", error=str(problem)[:400])
        return catalogs.build(base.config, own, base.env)
    if base.allow_private or not docs:
        return built
    return replace(
        built,
        providers=tuple(
            replace(one, guarded=True) if one.name in docs else one for one in built.providers
        ),
    )


def _configured(ref: CredentialRef, found: Credentials, rows: Rows) -> Held:
    """A credential of the environment or the configuration, with what was said of it since."""
    row = rows.credentials.get(ref.id) or {}
    detected = None if ref.plan_declared else rows.plans.get(ref.id)
    return Held(
        ref=_told(replace(ref, plan=detected or ref.plan), row),
        source=found.sources.get(ref.id, "configuration"),
        tail=configured.tail(found.secrets[ref.id]),
        enabled=row.get("enabled", True),
        plan_source="declared" if ref.plan_declared else "detected" if detected else "default",
        updated_ms=row.get("updated_ms"),
    )


def _stored(
    id_: str,
    row: Row,
    provider: Provider | None,
    plans: Mapping[str, str],
    vault: Vault | None,
) -> tuple[Held, Secret | None]:
    """A credential of the store and its secret, or why it cannot be used."""
    declared, detected = row.get("plan"), plans.get(id_)
    default = provider.default_plan if provider else "free"
    ref = CredentialRef(
        id_,
        row["provider"],
        declared or detected or default,
        row.get("tenant"),
        row.get("organisation"),
        declared is not None,
    )
    secret, problem = None, "" if provider else f"there is no provider {row['provider']}"
    try:
        secret = vault.unseal(row["sealed"], id_) if vault else None
        problem = problem or ("" if vault else "HEADRACE_SECRET_KEY is not set here")
    except Unreadable as exc:
        problem = str(exc)
    if problem:
        log.warning("credential_unusable", credential=id_, reason=problem)
    shown = Held(
        ref=_told(ref, row),
        source="api",
        tail=row.get("tail", ""),
        name=row.get("name") or "",
        enabled=row.get("enabled", True),
        plan_source="declared" if declared else "detected" if detected else "default",
        problem=problem,
        created_ms=row.get("created_ms"),
        updated_ms=row.get("updated_ms"),
    )
    return shown, secret


def _of_organisations(held: Iterable[Held], whole: Catalog, rows: Rows) -> list[Held]:
    """With what was told of their accounts: keys of one account share its limits, if it has any.

    That is so where the provider counts by organisation. A key that is not in use shares nothing.
    """
    known = [replace(one, told=told_of(rows.organisations.get(one.ref.id, ""))) for one in held]
    members: dict[str, list[Member]] = {}
    for one in known:
        provider = whole.provider(one.ref.provider)
        if provider and provider.scope == "organisation" and one.enabled and not one.problem:
            stated = one.ref.owner if one.ref.organisation else None
            member = Member(one.ref.id, stated, one.told.name if one.told else None)
            members.setdefault(provider.name, []).append(member)
    shares = {id_: owner for each in members.values() for id_, owner in owners(each).items()}
    return [replace(one, ref=replace(one.ref, shares=shares.get(one.ref.id))) for one in known]


def _told(ref: CredentialRef, row: Row) -> CredentialRef:
    allowed = row.get("allowed_models")
    return replace(
        ref,
        allowed_models=None if allowed is None else frozenset(allowed),
        priority=row.get("priority", 0),
    )


def _without_needless(
    refs: Iterable[CredentialRef], found: Credentials
) -> tuple[CredentialRef, ...]:
    """Without the empty credential of a provider that needs none but was given one."""
    refs = tuple(refs)
    keyed = {ref.provider for ref in refs if found.sources.get(ref.id) != "none"}
    return tuple(
        ref for ref in refs if found.sources.get(ref.id) != "none" or ref.provider not in keyed
    )


def _api_key(row: Row) -> ApiKey:
    allowed = row.get("allowed_models")
    return ApiKey(
        name=row["name"],
        digest=row["digest"],
        role=row["role"],
        tenant=row["tenant"],
        weight=row["weight"],
        allowed_models=None if allowed is None else frozenset(allowed),
    )


class Live:
    """The newest supply of one process."""

    def __init__(self, base: Base, tables: Tables, listener: Tables | None = None) -> None:
        self.base = base
        self.tables = tables
        self.current = base.first or assemble(base, NO_ROWS)
        self._listener = listener or tables
        self._hear: list[Callable[[Supply], None]] = []
        self._lock = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follows the store's changes from now on."""
        self._following = asyncio.create_task(self.follow())

    async def close(self) -> None:
        """Follows them no longer. Cancels again where the store's client swallowed a cancel."""
        task, self._following = self._following, None
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=CANCEL_AGAIN_S)

    def on_change(self, hear: Callable[[Supply], None]) -> None:
        """`hear` is called with each new supply, on the loop."""
        self._hear.append(hear)

    async def reload(self) -> Supply:
        """Reads the store and makes a new supply where anything has changed. StoreError."""
        async with self._lock:
            rows = await self.tables.rows()
            if rows != self.current.rows:
                # some tens of ms for hundreds of models: calls go on meanwhile
                self.current = await asyncio.to_thread(assemble, self.base, rows)
                for hear in self._hear:
                    hear(self.current)
        return self.current

    async def follow(self) -> None:
        """Reloads on every change, for ever; a lost connection is opened again and read over."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                async for _ in self._listener.changes():
                    await self.reload()
                    backoff_s = FIRST_BACKOFF_S
            except StoreError as problem:
                log.warning("changes_lost", error=str(problem)[:200])
            except Exception:  # whatever is wrong with one change, the next one is heard of
                log.exception("change_not_taken")
            await asyncio.sleep(backoff_s * (0.5 + random.random() / 2))
            backoff_s = min(backoff_s * 2, MOST_BACKOFF_S)
