"""The catalog: which deployments there are and what each can do, as one frozen snapshot.

`read_config` reads the user's file, `build` lays it over catalog.yaml and gives a `Catalog`,
`Catalog.served` keeps what there are credentials for. One attempt reads one snapshot; a changed
file makes a new snapshot with another `version`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.core.model import CredentialRef, Deployment


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a provider's OpenAI-compatible wire differs from OpenAI's: data for the adapter.

    `drop` and `rename` speak of top-level fields of a chat request: first dropped, then renamed
    (`seed` → `random_seed`). `max_tokens_field` is the one name this provider takes for the output
    limit. `stream_usage` says whether `stream_options: {include_usage: true}` may be sent.
    `auth_format` holds `{key}`; an empty `auth_header` means no authentication. `rate_dialect`
    names how rate-limit headers are read: groq openai mistral anthropic cerebras generic none.
    Paths begin with a slash and follow the base URL; an empty path means: not offered.
    """

    max_tokens_field: str = "max_tokens"
    drop: frozenset[str] = frozenset()
    rename: tuple[tuple[str, str], ...] = ()
    stream_usage: bool = True
    auth_header: str = "Authorization"
    auth_format: str = "Bearer {key}"
    extra_headers: tuple[tuple[str, str], ...] = ()
    rate_dialect: str = "generic"
    chat_path: str = "/chat/completions"
    embeddings_path: str = "/embeddings"
    models_path: str = "/models"


@dataclass(frozen=True, slots=True)
class Provider:
    """What is true of all of a provider's deployments.

    `scope` says who shares one set of windows: `key`, or `organisation` (all keys of one account).
    `env` are the environment names that may hold keys; `plans` the plan names with known limits;
    `default_plan` is what a key without a plan is on. `no_auth` providers need no credential.
    """

    name: str
    type: str
    base_url: str
    quirks: Quirks = Quirks()
    title: str = ""
    env: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    default_plan: str = "paid"
    scope: str = "key"
    no_auth: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """A frozen snapshot. `version` changes with any content; it is a hash, without secrets."""

    deployments: tuple[Deployment, ...]
    providers: tuple[Provider, ...]
    version: str
    by_id: Mapping[str, Deployment]
    by_provider: Mapping[str, tuple[Deployment, ...]]
    by_name: Mapping[str, tuple[Deployment, ...]]

    def quirks(self, provider: str) -> Quirks:
        """The wire differences of `provider`; OpenAI's own wire where none are known."""
        raise NotImplementedError

    def provider(self, name: str) -> Provider | None:
        """The facts of one provider."""
        raise NotImplementedError

    def resolve(self, name: str) -> tuple[Deployment, ...]:
        """The deployments a model name may mean, in catalog order; empty if it is unknown.

        Exact id, alias, family, model id, or virtual: `auto`, `auto:small|large|reasoning` (by
        category), `auto:cheap|fast` (any; selection orders them).
        """
        raise NotImplementedError

    def served(self, credentials: Iterable[CredentialRef]) -> "Catalog":
        """The part of this catalog there is a credential for, or that needs none."""
        raise NotImplementedError


def check(path: Path) -> list[str]:
    """The problems of a configuration file, one line each; empty if it is right."""
    raise NotImplementedError
