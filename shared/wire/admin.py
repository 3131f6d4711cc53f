"""The bodies of the administration routes. Unknown fields are refused with the nearest known one.

What a field holds is never repeated in a message: it may be a secret.
"""

from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from shared.catalog_schema import Doc, LimitsDoc, ModelDoc, QuirksDoc, WindowKindsDoc
from shared.catalog_types import Counts, Name
from shared.errors import Refused
from shared.wire.openai import refused_from


def _an_address(value: str) -> str:
    """What the pattern lets through may still be none: `[::::]`, port 99999."""
    try:
        port = urlsplit(value).port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("is no address: https://host[:port]/v1 is meant")
    return value


Label = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[ -~]*[!-~]$")]
UpstreamKey = Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[!-~]+$")]
BaseUrl = Annotated[
    str,
    StringConstraints(
        min_length=8,
        max_length=512,
        pattern=r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/%-]*)?$",
    ),
    AfterValidator(_an_address),
]
Allowed = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=256)]],
    Field(min_length=1, max_length=1000),
]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
Weight = Annotated[int, Field(ge=1, le=1000)]
Role = Literal["admin", "user"]
Body = TypeVar("Body", bound=Doc)


def _not_reserved(value: str) -> str:
    if value in RESERVED:
        raise ValueError(f"{value!r} is a name of our own: choose another")
    return value


RESERVED = frozenset({"shared", "system"})
"""The pool that all tenants share, and the tenant of our own tasks."""
Tenant = Annotated[Name, AfterValidator(_not_reserved)]


class NewCredential(Doc):
    """`POST /v1/credentials`."""

    provider: Name
    key: UpstreamKey = Field(repr=False)
    name: Label | None = None
    plan: Name | None = None
    tenant: Tenant | None = None
    organisation: Name | None = None
    enabled: bool = True
    allowed_models: Allowed | None = None
    priority: Priority = 0


class CredentialChange(Doc):
    """`PATCH /v1/credentials/{id}`: what is said changes; `key` rotates the secret."""

    key: UpstreamKey | None = Field(default=None, repr=False)
    name: Label | None = None
    plan: Name | None = None
    organisation: Name | None = None
    enabled: bool | None = None
    allowed_models: Allowed | None = None
    priority: Priority | None = None


OF_CONFIGURED = frozenset({"enabled", "allowed_models", "priority"})
"""What may be changed of a credential of the environment or the configuration."""


class ProviderChange(Doc):
    """`PATCH /v1/providers/{id}`: what is said replaces what stood there; null: the default."""

    title: Label | None = None
    base_url: BaseUrl | None = None
    models: Annotated[list[ModelDoc], Field(min_length=1, max_length=500)] | None = None
    quirks: QuirksDoc | None = None
    limits: Annotated[dict[Name, LimitsDoc], Field(max_length=20)] | None = None
    window_kinds: WindowKindsDoc | None = None
    default_plan: Name | None = None
    scope: Literal["key", "organisation"] | None = None
    counts: Counts | None = None
    no_auth: bool | None = None


class NewProvider(ProviderChange):
    """`POST /v1/providers`: an OpenAI-compatible one, with `key` its first credential too."""

    id: Name
    base_url: BaseUrl
    models: Annotated[list[ModelDoc], Field(min_length=1, max_length=500)]
    key: UpstreamKey | None = Field(default=None, repr=False)


class NewKey(Doc):
    """`POST /v1/keys`. Without `tenant` the key's name is its tenant: keys share nothing."""

    name: Tenant
    role: Role = "user"
    tenant: Tenant | None = None
    weight: Weight = 1
    allowed_models: Allowed | None = None


class KeyChange(Doc):
    """`PATCH /v1/keys/{id}`: what is said changes."""

    role: Role | None = None
    weight: Weight | None = None
    allowed_models: Allowed | None = None


def read(kind: type[Body], body: dict[str, Any]) -> Body:
    """The body as `kind`. Refused (400) names the field."""
    try:
        return kind.model_validate(_whole(body))
    except ValidationError as exc:
        raise refused_from(exc, model=kind) from None  # it quotes the caller


def _whole(value: Any) -> Any:
    """`value` with 1.0 as 1: to JSON they are the same number, to a strict model they are not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def refuse_null(change: Doc, *names: str) -> None:
    """Refused (400) for a field that may be left out and may not be null."""
    for name in names:
        if name in change.model_fields_set and getattr(change, name) is None:
            raise Refused(f"{name}: should not be null", param=name, code="invalid_value")


def said(change: Doc) -> dict[str, Any]:
    """What a change says, as JSON values; what it leaves out stays as it is."""
    return change.model_dump(exclude_unset=True)
