"""The catalog: which deployments there are and what each can do, as one frozen snapshot.

`read_config` reads the user's file, `build` lays it over catalog.yaml and gives a `Catalog`,
`Catalog.served` keeps what there are credentials for. One attempt reads one snapshot; a changed
file makes a new snapshot with another `version`.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import orjson
from pydantic import ValidationError

from shared import catalog_kept, catalog_yaml
from shared.catalog_merge import merged
from shared.catalog_schema import Config, ModelDoc, ProviderDoc
from shared.catalog_values import NAMED, address, audio, capabilities, kinds, plans, price
from shared.core.model import CredentialRef, Deployment, Kind, TokenCount, WindowKind
from shared.errors import ConfigError
from shared.nearest import nearest, problems
from shared.quirks import Quirks, quirks_of

CATEGORIES = ("small", "large", "reasoning")
VIRTUAL = ("auto", *(f"auto:{category}" for category in CATEGORIES), "auto:cheap", "auto:fast")


@dataclass(frozen=True, slots=True)
class Provider:
    """What is true of all of a provider's deployments.

    `scope` says who shares one set of windows: `key`, or `organisation` (all keys of one account).
    `env` are the environment names that may hold keys; `plans` the plan names with known limits;
    `default_plan` is what a key without a plan is on. `no_auth` providers need no credential.
    `window_kinds` says how a window of a name is counted: (name, kind, anchor); others slide.
    `needs` are variables its address is made of that are not set: without them it is not served.
    `guarded`: it was added through the API and may not be at a private address.
    """

    name: str
    type: str
    base_url: str
    quirks: Quirks = Quirks()  # noqa: RUF009 - it is frozen
    title: str = ""
    env: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    default_plan: str = "paid"
    scope: str = "key"
    no_auth: bool = False
    window_kinds: tuple[tuple[str, WindowKind, str], ...] = ()
    needs: tuple[str, ...] = ()
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """A frozen snapshot. `version` changes with any content; it is a hash, without secrets.

    `by_name` knows ids, aliases, families and model ids; `resolve` knows the virtual names too.
    """

    deployments: tuple[Deployment, ...]
    providers: tuple[Provider, ...]
    version: str
    by_id: Mapping[str, Deployment]
    by_provider: Mapping[str, tuple[Deployment, ...]]
    by_name: Mapping[str, tuple[Deployment, ...]]
    aliases: Mapping[str, str]
    model_drops: Mapping[str, frozenset[str]]

    def quirks(self, provider: str, model: str | None = None) -> Quirks:
        """The wire differences of `provider` (and of its `model`); OpenAI's own if unknown."""
        found = self.provider(provider)
        quirks = found.quirks if found else Quirks()
        drops = self.model_drops.get(f"{provider}/{model}") if model else None
        return replace(quirks, drop=quirks.drop | drops) if drops else quirks

    def provider(self, name: str) -> Provider | None:
        """The facts of one provider."""
        return next((provider for provider in self.providers if provider.name == name), None)

    def resolve(self, name: str) -> tuple[Deployment, ...]:
        """The deployments a model name may mean, in catalog order; empty if it is unknown.

        Exact id, alias, family, model id, or virtual: `auto`, `auto:small|large|reasoning` (by
        category), `auto:cheap|fast` (any; selection orders them).
        """
        if name not in VIRTUAL:
            return self.by_name.get(name, ())
        category = name.partition(":")[2]
        if category not in CATEGORIES:
            return self.deployments
        return tuple(item for item in self.deployments if item.category == category)

    def nearest(self, name: str) -> str | None:
        """The known model name most like `name`, for the message that refuses it."""
        return nearest(name, (*self.by_name, *VIRTUAL))

    def served(self, credentials: Iterable[CredentialRef]) -> "Catalog":
        """The part of this catalog there is a credential for, or that needs none."""
        held = {ref.provider for ref in credentials}
        kept = tuple(p for p in self.providers if not p.needs and (p.no_auth or p.name in held))
        names = {provider.name for provider in kept}
        deployments = tuple(item for item in self.deployments if item.provider in names)
        return _snapshot(deployments, kept, self.aliases, self.model_drops)


def catalog_path() -> Path:
    """Where our own catalog.yaml lies: in a checkout at its root, installed beside this file."""
    here = Path(__file__).resolve().parent
    packaged, checkout = here / "catalog.yaml", here.parent / "catalog.yaml"
    return packaged if packaged.exists() else checkout


def read_config(path: Path | None) -> Config:
    """The configuration in the file `path`; an empty one for None. ConfigError names the place."""
    if path is None:
        return Config()
    data = catalog_kept.read(path) if path == catalog_path() else catalog_yaml.read(path)
    try:
        return Config.model_validate(data)
    except ValidationError as exc:
        found = "\n".join(f"{path}: {problem}" for problem in problems(exc, Config))
        raise ConfigError(found) from exc


def build(
    config: Config, base: Config | None = None, env: Mapping[str, str] | None = None
) -> Catalog:
    """The catalog with `config` laid over it (`base` None: our own catalog.yaml).

    Without retired models and providers, servers of one's own that nobody has named (Ollama), and
    what no call of ours can reach: models that only transcribe, in a way that we do not speak.
    `env` (None: the process's) fills in what an address takes from it. ConfigError names the
    provider that lacks a type or address or is retired, an alias or name used twice.
    """
    docs = merged(read_config(catalog_path()) if base is None else base, config)
    env = os.environ if env is None else env
    providers: list[Provider] = []
    deployments: list[Deployment] = []
    aliases: dict[str, str] = {}
    drops: dict[str, frozenset[str]] = {}
    for name, doc in docs.items():
        idle = doc.no_auth and not doc.models and name not in config.providers
        if idle or doc.status == "retired":
            continue
        provider = _provider(name, doc, env)
        if not _reachable(doc, provider) and name not in config.providers:
            continue
        providers.append(provider)
        for model in doc.models or []:
            if model.status == "retired" or not _offered(provider, model):
                continue
            deployment = _deployment(provider, doc, model, config.providers.get(name))
            deployments.append(deployment)
            aliases |= dict.fromkeys(model.aliases, deployment.id)
            aliases |= {f"{name}/{alias}": deployment.id for alias in model.aliases}
            if model.drop:
                drops[deployment.id] = frozenset(model.drop)
    return _snapshot(_families(deployments), tuple(providers), aliases, drops)


def facts(refreshed: Path | None, engines: Path | None = None) -> Config:
    """Our own catalog.yaml with the file of `headrace catalog refresh` and the local engines over.

    A file of the former that is not there says nothing. ConfigError names what is wrong with one.
    """
    ours = read_config(catalog_path())
    if refreshed is not None and refreshed.exists():
        ours = Config(providers=merged(ours, read_config(refreshed)))
    if engines is not None:
        ours = Config(providers=merged(ours, read_config(engines)))
    return ours


def load(
    path: Path | None, refreshed: Path | None = None, engines: Path | None = None
) -> tuple[Catalog, Config]:
    """The catalog with the file `path` laid over what is known, and that file's configuration."""
    config = read_config(path)
    return build(config, facts(refreshed, engines)), config


def check(path: Path | None, refreshed: Path | None = None) -> list[str]:
    """The problems of a configuration file (None: the catalog), a line each; [] if it is right."""
    try:
        load(path, refreshed)
    except ConfigError as exc:
        return str(exc).splitlines()
    return []


def _provider(name: str, doc: ProviderDoc, env: Mapping[str, str]) -> Provider:
    every = [doc.limits, *doc.pools.values(), *(model.limits for model in doc.models or [])]
    named = list(dict.fromkeys(plan for limits in every for plan in limits))
    base_url, needs = address(name, doc.base_url or "", env)
    return Provider(
        name=name,
        type=doc.type or "",
        base_url=base_url,
        quirks=quirks_of(name, doc),
        title=doc.title or name,
        env=tuple(doc.env),
        plans=tuple(named),
        default_plan=doc.default_plan or _default_plan(named, no_auth=doc.no_auth),
        scope=doc.scope,
        no_auth=doc.no_auth,
        window_kinds=tuple(
            (NAMED[limit][0], WindowKind(kind.kind), kind.anchor)
            for limit, kind in doc.window_kinds
            if kind is not None
        ),
        needs=needs,
    )


def _default_plan(plans: Collection[str], *, no_auth: bool) -> str:
    """Free where there is a free plan; else the first known one; else paid."""
    if "free" in plans or no_auth:
        return "free"
    return next(iter(plans), "paid")


def _deployment(
    provider: Provider, doc: ProviderDoc, model: ModelDoc, over: ProviderDoc | None
) -> Deployment:
    able = capabilities(model)
    return Deployment(
        id=f"{provider.name}/{model.id}",
        provider=provider.name,
        model=model.id,
        type=provider.type,
        base_url=provider.base_url,
        kinds=_offered(provider, model),
        family=model.family or "",
        category=model.category,
        context_tokens=model.context_window,
        max_output_tokens=model.max_output_tokens,
        capabilities=able,
        price=price(model),
        token_count=TokenCount(model.counts or doc.counts or TokenCount.INPUT_MAX_OUTPUT),
        token_factor=model.token_factor or doc.token_factor or 1.0,
        each_input=doc.embedding_requests == "input",
        status=model.status,
        priority=doc.priority + model.priority,
        last_resort=doc.last_resort,
        plans=plans(doc, model, over),
        audio=audio(model),
    )


def _offered(provider: Provider, model: ModelDoc) -> frozenset[Kind]:
    """What a model serves, of what we can ask its provider for."""
    served = kinds(model, capabilities(model))
    return served if provider.quirks.transcription_path else served - {Kind.TRANSCRIPTION}


def _reachable(doc: ProviderDoc, provider: Provider) -> bool:
    models = [model for model in doc.models or () if model.status != "retired"]
    return not models or any(_offered(provider, model) for model in models)


def _families(deployments: Iterable[Deployment]) -> tuple[Deployment, ...]:
    """Every deployment in a family: its own, that of a model with the same id, or its model id."""
    listed = tuple(deployments)
    by_model = {item.model: item.family for item in listed if item.family}
    return tuple(
        item if item.family else replace(item, family=by_model.get(item.model, item.model))
        for item in listed
    )


def _snapshot(
    deployments: tuple[Deployment, ...],
    providers: tuple[Provider, ...],
    aliases: Mapping[str, str],
    drops: Mapping[str, frozenset[str]],
) -> Catalog:
    by_id = {item.id: item for item in deployments}
    by_provider = {
        provider.name: tuple(d for d in deployments if d.provider == provider.name)
        for provider in providers
    }
    names: dict[str, tuple[Deployment, ...]] = {}
    for item in deployments:
        for name in {item.family, item.model}:
            names[name] = (*names.get(name, ()), item)
    held = {alias: id_ for alias, id_ in aliases.items() if id_ in by_id}
    names |= {alias: (by_id[id_],) for alias, id_ in held.items() if alias not in names}
    names |= {id_: (item,) for id_, item in by_id.items()}
    return Catalog(
        deployments=deployments,
        providers=providers,
        version=_version(deployments, providers, held, drops),
        by_id=MappingProxyType(by_id),
        by_provider=MappingProxyType(by_provider),
        by_name=MappingProxyType(names),
        aliases=MappingProxyType(held),
        model_drops=MappingProxyType(dict(drops)),
    )


def _version(*content: object) -> str:
    """The first 16 hexadecimal digits of a hash over the content, the same in every process."""

    def plain(value: object) -> object:
        return sorted(value) if isinstance(value, frozenset) else str(value)

    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return hashlib.sha256(orjson.dumps(content, default=plain, option=options)).hexdigest()[:16]
