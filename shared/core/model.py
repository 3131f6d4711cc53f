"""The nouns of the core: frozen values that every rule takes and gives.

Units are in the names: `_ms` milliseconds (epoch ms where it is a moment, by the store's clock),
`_tokens` tokens, `_microusd` millionths of a US dollar.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Status(StrEnum):
    """What a caller sees of a job, everywhere."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """True where a job never changes again."""
        return self not in (Status.QUEUED, Status.IN_PROGRESS)


class Kind(StrEnum):
    """What a job asks for."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    TRANSCRIPTION = "transcription"
    SUMMARY = "summary"
    TASK = "task"  # work of our own: callbacks and the like, on lanes `own/…`


class Priority(IntEnum):
    """Strict between classes, but for bulk's share (`fairness.SHARE_EVERY`)."""

    INTERACTIVE = 0
    NORMAL = 1
    BULK = 2


class WindowKind(StrEnum):
    """How a provider counts: see `quota`."""

    SLIDING = "sliding"
    FIXED = "fixed"
    BUCKET = "bucket"


class Dimension(StrEnum):
    """What a window counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"  # input and output together, as `TokenCount` says
    INPUT_TOKENS = "input_tokens"  # of which no cache has answered any
    OUTPUT_TOKENS = "output_tokens"
    AUDIO_SECONDS = "audio_seconds"
    MICROUSD = "microusd"  # our own caps on what is paid; no provider tells of it


class TokenCount(StrEnum):
    """Which tokens a provider counts against its token windows when a request arrives."""

    INPUT = "input"
    INPUT_OUTPUT = "input+output"
    INPUT_MAX_OUTPUT = "input+max_output"


class Paid(StrEnum):
    """When a job may spend money."""

    NEVER = "never"
    DEADLINE = "deadline"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` units of `dimension` per `span_ms`, counted as `kind` says.

    `anchor` matters to fixed windows only: `epoch` (whole multiples of the span since 1970, UTC:
    the wall minute), `first_use` (starts with the first request after the last one ended), or a
    zone name such as `America/Los_Angeles` (days start at that zone's midnight).
    `source` says who told us: `catalog`, `config`, `header`, `429`.
    """

    name: str
    dimension: Dimension
    limit: int
    span_ms: int
    kind: WindowKind = WindowKind.SLIDING
    anchor: str = "epoch"
    source: str = "catalog"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one credential may use of one deployment (or, `shared`, of all of a provider's)."""

    windows: tuple[Window, ...] = ()
    concurrency: int | None = None
    shared: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Price:
    """In millionths of a US dollar per one million tokens; None is unknown, never free.

    Audio is per hour of it: how a transcription is billed where no tokens are told.
    """

    input_microusd_per_1m: int | None = None
    output_microusd_per_1m: int | None = None
    cached_microusd_per_1m: int | None = None
    audio_microusd_per_hour: int | None = None

    @property
    def free(self) -> bool:
        """True only where every price that counts is known to be zero."""
        tokens = (self.input_microusd_per_1m, self.output_microusd_per_1m)
        if self.audio_microusd_per_hour is None:
            return tokens == (0, 0)
        return self.audio_microusd_per_hour == 0 and tokens in ((0, 0), (None, None))


@dataclass(frozen=True, slots=True)
class Audio:
    """What a deployment takes of audio in one call, and how it counts it; None is unknown.

    A call of less than `least_seconds` counts, and costs, as one of so many. A second is
    `tokens_per_s` tokens where they are counted.
    """

    max_bytes: int | None = None
    max_seconds: int | None = None
    least_seconds: int = 0
    tokens_per_s: float = 0.0

    def counted_s(self, seconds: int) -> int:
        """The seconds that a call of so many counts as; none stay none."""
        return max(seconds, self.least_seconds) if seconds > 0 else 0


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model of one provider at one base URL. `id` is `provider/model`.

    `capabilities` None means not known: nothing is filtered by them. `token_factor` turns o200k
    tokens into this provider's (1.4 for Gemini's JSON digits). `plans` maps a plan name to limits.
    `each_input`: every text of an embedding counts as a request.
    One of `last_resort` is meant by `auto` and its kin only where nothing else could serve.
    """

    id: str
    provider: str
    model: str
    type: str
    base_url: str
    kinds: frozenset[Kind]
    family: str = ""
    category: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] | None = None
    price: Price = Price()
    token_count: TokenCount = TokenCount.INPUT_MAX_OUTPUT
    token_factor: float = 1.0
    each_input: bool = False
    status: str = "active"
    priority: int = 0
    last_resort: bool = False
    plans: tuple[tuple[str, Limits], ...] = ()
    audio: Audio = Audio()

    def limits(self, plan: str) -> Limits | None:
        """The limits of `plan`; None where nothing is known (to be learned)."""
        return dict(self.plans).get(plan)


@dataclass(frozen=True, slots=True)
class CredentialRef:
    """An upstream key without its secret. `tenant` None is shared by all tenants.

    `plan_declared` is False where the plan is assumed or was detected. `allowed_models` (None: all)
    are deployment ids, model ids, families, or `provider/*`. Of the keys of one lane those with a
    higher `priority` are used first. `shares` is whose limits it shares by what was learned: see
    `organisations.owners`.
    """

    id: str
    provider: str
    plan: str = "free"
    tenant: str | None = None
    organisation: str | None = None
    plan_declared: bool = False
    allowed_models: frozenset[str] | None = None
    priority: int = 0
    shares: str | None = None

    @property
    def owner(self) -> str:
        """Whose windows its calls are counted in: its organisation's, or its own.

        The same name at two providers is two organisations.
        """
        if self.organisation:
            return f"{self.provider}:{self.organisation}"
        return self.shares or self.id

    def serves(self, deployment: Deployment) -> bool:
        """Whether it may be used for this deployment of its provider."""
        if self.provider != deployment.provider:
            return False
        names = (deployment.id, deployment.model, deployment.family, f"{deployment.provider}/*")
        return self.allowed_models is None or not self.allowed_models.isdisjoint(names)

    @property
    def pool(self) -> str:
        """Whose jobs may use it: a lane is (deployment, pool)."""
        return self.tenant or "shared"


@dataclass(frozen=True, slots=True)
class Need:
    """What one attempt is expected to use. Tokens are o200k tokens, before a provider's factor.

    `inputs` are the texts of an embedding: some providers count each of them as a request.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    max_output_tokens: int = 0
    audio_seconds: int = 0
    inputs: int = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt did use, as the provider said, or `estimated` by us."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_seconds: int = 0
    estimated: bool = False


def lane_id(deployment: str, pool: str) -> str:
    """The queue of one deployment for one credential pool: `groq/llama@shared`."""
    return f"{deployment}@{pool}"


def lane_deployment(lane: str) -> str:
    """The deployment part of a lane id."""
    return lane.rpartition("@")[0]


def lane_provider(lane: str) -> str:
    """The provider part of a lane id: its worker pool."""
    return lane.partition("/")[0]
