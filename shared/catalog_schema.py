"""The shape of catalog.yaml and of the file `--config` names: one shape for both.

Each file is validated by itself, so that an error names the place in the file one has open;
what must be there only after laying one over the other is checked in `catalog.build`.
"""

import re
from collections.abc import Hashable, Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from shared.catalog_types import (
    AUDIO_FIELDS,
    DIALECTS,
    VARIABLE,
    Amount,
    Capability,
    Counts,
    Day,
    Effort,
    EnvName,
    KindName,
    ModelId,
    Name,
    Names,
    Preference,
    Size,
    Span,
    Usd,
    WindowKindName,
)
from shared.nearest import unknown
from shared.wires import WIRES


class Doc(BaseModel):
    """What all parts of the file share: no unknown keys, no `"60"` where 60 is meant."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


COUNTED = ("requests", "tokens", "input_tokens", "output_tokens", "audio_seconds")


class WindowDoc(Doc):
    """One window of any span: `{requests: 60, per: 6s, kind: bucket}`."""

    requests: Amount | None = None
    tokens: Amount | None = None
    input_tokens: Amount | None = None
    output_tokens: Amount | None = None
    audio_seconds: Amount | None = None
    per: Span
    kind: WindowKindName = "sliding"
    anchor: str = "epoch"

    @model_validator(mode="after")
    def _counts_one_thing(self) -> "WindowDoc":
        if sum(getattr(self, name) is not None for name in COUNTED) != 1:
            raise ValueError(f"give exactly one of {', '.join(COUNTED)}")
        return self

    @property
    def counts(self) -> str:
        """The name of what it counts."""
        return next(name for name in COUNTED if getattr(self, name) is not None)


class LimitsDoc(Doc):
    """The limits of one plan. `tokens_per_month` is kept as tokens in any 31 days.

    `itpm` and `otpm` are of providers that count input (without what a cache answered) and output
    apart.
    `as_of` and `doubt` where these figures are older or less sure than the rest.
    """

    rpm: Amount | None = None
    rpd: Amount | None = None
    tpm: Amount | None = None
    tpd: Amount | None = None
    itpm: Amount | None = None
    otpm: Amount | None = None
    tokens_per_month: Amount | None = None
    ash: Amount | None = None
    asd: Amount | None = None
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    windows: list[WindowDoc] = []
    as_of: Day | None = None
    doubt: str | None = None


class KindDoc(Doc):
    """How one of the named limits is counted by this provider."""

    kind: WindowKindName
    anchor: str = "epoch"


class WindowKindsDoc(Doc):
    """Per named limit; what is not named is sliding."""

    rpm: KindDoc | None = None
    rpd: KindDoc | None = None
    tpm: KindDoc | None = None
    tpd: KindDoc | None = None
    itpm: KindDoc | None = None
    otpm: KindDoc | None = None
    tokens_per_month: KindDoc | None = None
    ash: KindDoc | None = None
    asd: KindDoc | None = None


class PriceDoc(Doc):
    """US dollars per one million tokens; absent or null is unknown, never free."""

    input: Usd | None = None
    output: Usd | None = None
    cached: Usd | None = None


class QuirksDoc(Doc):
    """See `quirks.Quirks`. `like` names a wire of `shared/wires.py`; what is said here wins."""

    like: str | None = None
    max_tokens_field: Name = "max_tokens"
    drop: list[str] = []
    rename: dict[str, str] = {}
    stream_usage: bool = True
    auth_header: str = "Authorization"
    auth_format: str = "Bearer {key}"
    extra_headers: dict[str, str] = {}
    rate_dialect: Literal[DIALECTS] = "generic"  # type: ignore[valid-type]
    chat_path: str = "/chat/completions"
    embeddings_path: str = "/embeddings"
    models_path: str = "/models"
    transcription_path: str = "/audio/transcriptions"
    translation_path: str = "/audio/translations"
    check_path: str = ""
    takes: list[str] = []
    message_takes: dict[str, list[str]] = {}
    values: dict[str, dict[str, str]] = {}
    roles: dict[str, str] = {"developer": "system"}
    tool_ids: Literal["any", "alnum9", "max40", "word64"] = "any"
    parts: Literal["openai", "mistral"] = "openai"
    strict_order: bool = False
    reasoning_back: Literal["never", "tools", "always"] = "never"
    reasoning_field: Literal["reasoning", "reasoning_content"] = "reasoning_content"
    efforts: dict[str, list[Effort]] = {}
    prefill: list[str] = []
    audio_takes: list[str] = list(AUDIO_FIELDS)
    audio_grains: str = "timestamp_granularities[]"
    audio_adds: dict[str, dict[str, str]] = {}
    audio_speakers: dict[str, str] = {"response_format": "diarized_json"}
    times_or_language: bool = False

    @field_validator("audio_takes")
    @classmethod
    def _audio_takes(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in AUDIO_FIELDS:
                raise ValueError(unknown(name, AUDIO_FIELDS, "field"))
        return value

    @field_validator("like")
    @classmethod
    def _like(cls, value: str | None) -> str | None:
        if value is not None and value not in WIRES:
            raise ValueError(unknown(value, WIRES, "wire"))
        return value

    @field_validator(
        "chat_path",
        "embeddings_path",
        "models_path",
        "transcription_path",
        "translation_path",
        "check_path",
    )
    @classmethod
    def _path(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError(f"should begin with a slash: /{value}")
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ValueError("should be a path, with everything but ASCII letters %-encoded")
        return value

    @field_validator("auth_format")
    @classmethod
    def _format(cls, value: str) -> str:
        if "{key}" not in value:
            raise ValueError("should hold {key}, as in 'Bearer {key}'")
        return value


class ModelDoc(Doc):
    """One model of a provider. Absent values are unknown.

    Of those that transcribe: the largest and longest audio of one call, how much of it a short one
    counts as, what a second of it counts in token windows, the finest times it tells, whether it
    tells speakers (`labels`) and knows those of samples (`known`), whether it translates to
    English, and whether it must be told the language.
    `pool` names one of its provider's pools, whose windows it shares. `ends` is the day from which
    the provider will not serve it.
    """

    id: ModelId
    category: Literal["small", "large", "reasoning"] | None = None
    context_window: Size | None = None
    max_output_tokens: Size | None = None
    limits: dict[Name, LimitsDoc] = {}
    price_usd_per_1m: PriceDoc | None = None
    price_usd_per_audio_hour: Usd | None = None
    price_usd_per_audio_minute: Usd | None = None
    max_audio_bytes: Size | None = None
    max_audio_seconds: Size | None = None
    min_billed_seconds: Annotated[int, Field(ge=0, le=3_600)] | None = None
    audio_tokens_per_second: Annotated[float, Field(ge=0, le=10_000)] | None = None
    timestamps: Literal["none", "segment", "word"] | None = None
    speakers: Literal["none", "labels", "known"] | None = None
    translates: bool | None = None
    language_required: bool | None = None
    pool: Name | None = None
    capabilities: list[Capability] | None = None
    family: ModelId | None = None
    aliases: Names = []
    kinds: Annotated[list[KindName], Field(min_length=1)] | None = None
    counts: Counts | None = None
    token_factor: Annotated[float, Field(gt=0, le=10)] | None = None
    status: Literal[
        "active", "preview", "deprecated", "closed-to-new-keys", "uncertain", "retired"
    ] = "active"
    priority: Preference = 0
    drop: list[str] = []
    ends: Day | None = None
    as_of: Day | None = None
    source: str | None = None
    doubt: str | None = None

    @model_validator(mode="after")
    def _one_audio_price(self) -> "ModelDoc":
        if None not in (self.price_usd_per_audio_hour, self.price_usd_per_audio_minute):
            raise ValueError("give price_usd_per_audio_hour or price_usd_per_audio_minute")
        return self


class CredentialDoc(Doc):
    """An upstream key: in the file (`key`), or named by an environment variable (`key_env`)."""

    id: Name | None = None
    key: Annotated[str, StringConstraints(min_length=1)] | None = Field(default=None, repr=False)
    key_env: EnvName | None = None
    plan: Name | None = None
    tenant: Name | None = None
    organisation: Name | None = None

    @model_validator(mode="after")
    def _one_key(self) -> "CredentialDoc":
        if (self.key is None) == (self.key_env is None):
            raise ValueError("give exactly one of key, key_env")
        return self


class ProviderDoc(Doc):
    """A provider, or what is laid over one of the catalog. `credentials: none` needs no key.

    `limits` are shared by all its models, `pools` (limits by plan, by a name) by those in the pool.
    `scope` says who has one set of them: a key, or all keys of an organisation. `left_out` are
    patterns (`*`, `?`) of models it lists that no call of ours can reach: `catalog refresh` adds
    none of them. `embedding_requests` says what of an embedding counts as a request: the call, or
    every text (`input`) in it. `last_resort`: `auto` means it only where nothing else could serve.
    """

    type: str | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+[^\s]*$")] | None = None
    status: Literal["active", "uncertain", "retired"] = "active"
    title: str | None = None
    env: list[EnvName] = []
    credentials: list[CredentialDoc] | None = None
    no_auth: bool = False
    models: list[ModelDoc] | None = None
    left_out: list[str] = []
    limits: dict[Name, LimitsDoc] = {}
    pools: dict[Name, dict[Name, LimitsDoc]] = {}
    window_kinds: WindowKindsDoc = WindowKindsDoc()
    default_plan: Name | None = None
    scope: Literal["key", "organisation"] = "key"
    counts: Counts | None = None
    embedding_requests: Literal["call", "input"] | None = None
    token_factor: Annotated[float, Field(gt=0, le=10)] | None = None
    quirks: QuirksDoc = QuirksDoc()
    as_of: Day | None = None
    source: str | None = None
    docs: str | None = None
    doubt: str | None = None
    priority: Preference = 0
    last_resort: bool = False

    @model_validator(mode="before")
    @classmethod
    def _none_is_no_auth(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("credentials") == "none":
            return {**value, "credentials": [], "no_auth": True}
        return value

    @field_validator("base_url")
    @classmethod
    def _variables(cls, value: str | None) -> str | None:
        if value is not None and re.search(r"[${}]", VARIABLE.sub("", value)):
            raise ValueError("a variable of the environment is written ${NAME}")
        return value

    @field_validator("models")
    @classmethod
    def _models_once(cls, value: list[ModelDoc] | None) -> list[ModelDoc] | None:
        _refuse_twice((model.id for model in value or []), "model id")
        return value

    @field_validator("credentials")
    @classmethod
    def _credentials_once(cls, value: list[CredentialDoc] | None) -> list[CredentialDoc] | None:
        _refuse_twice((item.id for item in value or [] if item.id), "credential id")
        _refuse_twice((item.key for item in value or [] if item.key), None)
        return value

    @field_validator("limits")
    @classmethod
    def _no_shared_concurrency(cls, value: dict[str, LimitsDoc]) -> dict[str, LimitsDoc]:
        return _without_concurrency(value)

    @field_validator("pools")
    @classmethod
    def _no_pooled_concurrency(
        cls, value: dict[str, dict[str, LimitsDoc]]
    ) -> dict[str, dict[str, LimitsDoc]]:
        for name, plans in value.items():
            _without_concurrency(plans, f"{name}.")
        return value


class ApiKeyDoc(Doc):
    """A caller's key. Without `tenant` the key's name is its tenant: keys share nothing."""

    name: Name
    key: Annotated[str, StringConstraints(min_length=16, max_length=512)] | None = Field(
        default=None, repr=False
    )
    key_env: EnvName | None = None
    role: Literal["admin", "user"] = "user"
    tenant: Name | None = None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    allowed_models: list[str] | None = None

    @model_validator(mode="after")
    def _one_key(self) -> "ApiKeyDoc":
        if (self.key is None) == (self.key_env is None):
            raise ValueError("give exactly one of key, key_env")
        return self


class Config(Doc):
    """A whole file."""

    providers: dict[Name, ProviderDoc] = {}
    api_keys: list[ApiKeyDoc] = []

    @field_validator("api_keys")
    @classmethod
    def _keys_once(cls, value: list[ApiKeyDoc]) -> list[ApiKeyDoc]:
        _refuse_twice((item.name for item in value), "name")
        _refuse_twice((item.key for item in value if item.key), None)
        return value


def _without_concurrency(plans: dict[str, LimitsDoc], path: str = "") -> dict[str, LimitsDoc]:
    """ValueError for a concurrency that several models would share: the lanes know none."""
    for plan, limits in plans.items():
        if limits.concurrency is not None:
            raise ValueError(f"{path}{plan}.concurrency: is a limit of a model; put it there")
    return plans


def _refuse_twice(values: Iterable[Hashable], noun: str | None) -> None:
    """ValueError for a value given twice; without a noun the value is secret and not named."""
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            raise ValueError(
                f"the {noun} {value!r} stands here twice; keep one"
                if noun
                else "two entries hold the same key; keep one"
            )
        seen.add(value)
