"""Settings from the environment: `HEADRACE_*` and `REDIS_URL`. Units are in the names."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.core.sharing import Policy, ShareMode
from shared.credentials import Secret
from shared.errors import ConfigError
from shared.nearest import Problem, problems, unknown

PREFIX = "HEADRACE_"
CLIENT_VARIABLES = frozenset(
    {"HEADRACE_URL", "HEADRACE_API_KEY", "HEADRACE_DEBUG", "HEADRACE_ENGINE_KEY"}
)
"""The command line's own and the local engines' key: no settings, and not unknown either."""
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

Seconds = Annotated[float, Field(ge=0, le=366 * 86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _data_dir() -> Path:
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".local/share") / "headrace"


class Settings(BaseSettings):
    """Every setting: the variable's name is the field's in capitals, after `HEADRACE_`.

    `_s` are seconds (fractions allowed), `_bytes` bytes, `_usd` US dollars, shares 0 to 1.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    # Where things are
    redis_url: str | None = Field(
        default=None,
        repr=False,
        validation_alias=AliasChoices("redis_url", "REDIS_URL", "HEADRACE_REDIS_URL"),
        description="the store; None: `headrace up` runs an embedded Valkey",
    )
    data_dir: Path = Field(
        default_factory=_data_dir, description="the embedded store's files, and results"
    )
    config: Path | None = Field(default=None, description="a YAML file laid over catalog.yaml")
    catalog: Path | None = Field(
        default=None,
        description="what `headrace catalog refresh` wrote, between catalog.yaml and config;"
        " None: the data directory's `catalog.yaml`",
    )
    local: bool | None = Field(
        default=None,
        description="`headrace up` runs this machine's own small models; None: where no provider"
        " has a key",
    )
    engines: Path | None = Field(
        default=None,
        description="what `headrace up` tells its parts of those, beneath config; it sets this"
        " itself",
    )
    api_keys_file: Path | None = Field(
        default=None, description="callers' keys beside the configuration's: JSON, digests only"
    )
    objects_url: str | None = Field(
        default=None,
        repr=False,
        description="where files are kept: s3://, gs://, az:// or file:// address, credentials from"
        " the environment as usual there; None: the data directory's `objects`",
    )
    secret_key: Secret | None = Field(
        default=None,
        repr=False,
        description="seals credentials in the store; None: the data directory's `secret-key`",
    )
    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="0 takes a free one")

    # How much at once
    workers: int = Field(default=1, ge=1, le=256, description="worker processes of `up`")
    max_inflight: int = Field(default=1000, ge=1, le=10_000, description="attempts a process")
    max_audio_inflight_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1024**2,
        le=64 * 1024**3,
        description="audio in a worker process that is being sent; more waits",
    )
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, le=1024**3, description="one request"
    )
    max_file_bytes: int = Field(
        default=512 * 1024 * 1024, ge=1024, le=8 * 1024**3, description="one upload to /v1/files"
    )
    max_audio_bytes: int = Field(
        default=2 * 1024**3, ge=1024, le=64 * 1024**3, description="one upload to transcribe"
    )
    max_audio_s: Annotated[float, Field(ge=1, le=7 * 86_400)] = Field(
        default=86_400, description="one recording to transcribe"
    )
    max_batch_bytes: int = Field(
        default=200 * 1024 * 1024, ge=1024, le=8 * 1024**3, description="the input of one batch"
    )
    max_batch_lines: Count = Field(default=50_000, description="requests in one batch")
    max_document_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, le=1024**3, description="read of one document"
    )
    inline_body_bytes: int = Field(
        default=64 * 1024, ge=1024, le=1024**2, description="larger bodies go to files"
    )
    max_queued: Count = Field(default=2_000_000, description="jobs; beyond: 503")

    # How long a caller waits, and what is kept
    hold_s: Seconds = Field(default=540, description="a held request, before its 504")
    keepalive_s: Seconds = Field(default=10, description="between comments on a quiet stream")
    retention_s: Seconds = Field(default=3 * 86_400, description="an ended job and its result")
    events_retention_s: Seconds = Field(default=3_600, description="events, after the end")
    usage_retention_s: Seconds = Field(
        default=92 * 86_400, description="what was used by day: see GET /v1/usage"
    )
    idempotency_s: Seconds = Field(default=86_400, description="an Idempotency-Key is known")

    # Leases
    heartbeat_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=1.0, description="a worker says it lives"
    )
    dead_after_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=5.0, description="without a heartbeat its jobs go back"
    )
    hung_after_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        default=30.0, description="a worker's process lives but its loop does nothing: the same"
    )

    # Deadlines: from acceptance to the end
    deadline_interactive_s: Seconds | None = Field(
        default=600, description="of held requests, and jobs of that priority"
    )
    deadline_normal_s: Seconds | None = Field(default=86_400, description="of other jobs")
    deadline_bulk_s: Seconds | None = Field(default=None, description="of bulk work")

    # Attempts
    attempt_timeout_s: Seconds = Field(default=300, description="one upstream call")
    connect_timeout_s: Seconds = Field(default=10, description="until connected")
    max_response_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, le=1024**3, description="a provider's answer"
    )
    max_attempts: int = Field(
        default=3, ge=1, le=100, description="calls of one job that count; it may ask for others"
    )
    breaker_failures: Count = Field(default=5, description="in a row open the breaker")
    breaker_open_s: Seconds = Field(default=60, description="until it lets one probe through")
    hedge_share: Share = Field(
        default=0.0, description="of interactive calls may be made twice where the first is slow"
    )
    hedge_after_s: Seconds | None = Field(
        default=None, description="without a word; None: the p95 of that deployment"
    )
    allow_private_providers: bool = Field(
        default=False,
        description="providers added through the API may be at private addresses; those of a"
        " configuration file always may",
    )
    probe_s: Annotated[float, Field(ge=0.1, le=86_400)] = Field(
        default=60, description="until a dead key is tried again; doubled each time, up to 6 h"
    )
    unserved_s: Seconds = Field(
        default=10, description="a queued job whose last lane was taken away fails after it"
    )
    allow_private_webhooks: bool = Field(
        default=False,
        description="webhooks may go to private addresses and over plain http: for a receiver on"
        " the same machine or network",
    )
    allow_private_urls: bool = Field(
        default=False,
        description="documents and recordings may be fetched from private addresses",
    )
    fetch_timeout_s: Annotated[float, Field(ge=0.1, le=86_400)] = Field(
        default=300, description="until an address has given all of a document or recording"
    )
    webhook_timeout_s: Annotated[float, Field(ge=0.1, le=30)] = Field(
        default=20, description="one try to tell a webhook"
    )

    # Quotas and shares
    bulk_reserve: Share = Field(
        default=0.10, description="of a window, left for interactive work that comes"
    )
    interactive_recent_s: Seconds = Field(
        default=600, description="interactive work so long ago still counts as coming"
    )
    context_margin: Share = Field(
        default=0.2, description="added to our count of the input, for what it is off"
    )

    # Money
    paid: Literal["never", "deadline", "always"] = Field(
        default="deadline", description="when a job that does not say may cost something"
    )
    paid_daily_cap_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="per UTC day, over all tenants; None: no cap"
    )

    # What equal requests of one tenant share
    share: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="one upstream call for equal requests; auto: where equal answers are expected",
    )
    cache_s: Seconds = Field(
        default=0, description="an answer is given to equal requests for so long; 0: never"
    )
    cache_entries: Count = Field(default=100_000, description="answers that are known so")

    # The embedded store and the logs
    appendfsync: Literal["always", "everysec"] = Field(
        default="always",
        description="when the embedded store syncs to disk; everysec: the last seconds of accepted"
        " work may be lost with the machine",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="what is less is not told: debug, info, warning or error"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, or console for people; auto: as stdout is a terminal"
    )

    @field_validator("redis_url")
    @classmethod
    def _store_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_REDIS_SCHEMES):
            raise ValueError("should begin with redis://, rediss:// or unix://")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("data_dir", "config", "catalog", "engines", "api_keys_file")
    @classmethod
    def _expanded(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value else value

    @property
    def paid_cap_microusd(self) -> int | None:
        """What all paid calls of a day may cost; None is no bound."""
        cap_usd = self.paid_daily_cap_usd
        return None if cap_usd is None else round(cap_usd * 1e6)

    @property
    def sharing(self) -> Policy:
        """What equal requests share where they do not say."""
        kept_ms = int(self.retention_s * 1_000)
        return Policy(ShareMode(self.share), int(self.cache_s * 1_000), kept_ms)

    @property
    def refreshed(self) -> Path:
        """The file of `headrace catalog refresh`, whether it is there or not."""
        return self.catalog or self.data_dir / "catalog.yaml"

    @model_validator(mode="after")
    def _dead_is_later(self) -> Self:
        if self.dead_after_s < 2 * self.heartbeat_s:
            raise ValueError("HEADRACE_DEAD_AFTER_S must be at least twice HEADRACE_HEARTBEAT_S")
        return self


def variables() -> frozenset[str]:
    """The names of all variables we read, REDIS_URL included."""
    return frozenset(PREFIX + name.upper() for name in Settings.model_fields) | {"REDIS_URL"}


def load(**given: Any) -> Settings:
    """The settings of this process; `given` (from the command line; None is not given) win.

    ConfigError names the variable and says what to do, for unknown ones with the nearest name.
    """
    known = variables()
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known | CLIENT_VARIABLES:
            raise ConfigError(unknown(name, known, "variable"))
    values = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as exc:
        raise ConfigError("\n".join(map(_named, problems(exc, Settings)))) from exc


def _named(problem: Problem) -> str:
    path = problem.path
    name = "REDIS_URL" if path.upper().endswith("REDIS_URL") else PREFIX + path.upper()
    return f"{name}: {problem.message}" if path else problem.message
