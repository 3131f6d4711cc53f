"""What a simulated provider is: plain frozen values, spans in microseconds of simulated time.

`Simulator` divides every span by `speed` when it starts; nothing here is scaled yet.
"""

from dataclasses import dataclass, field
from typing import Literal

from simulator.windows import Kind

Dimension = Literal[
    "requests", "tokens", "input_tokens", "output_tokens", "audio_seconds", "concurrency"
]
Dialect = Literal["openai", "groq", "mistral", "anthropic-like", "cerebras", "none"]
PersonalityName = Literal[
    "openai", "groq", "gemini", "cohere", "mistral", "anthropic", "openrouter"
]
Counts = Literal["input", "input+output", "input+max_output"]
Scope = Literal["model", "key"]
ModelKind = Literal["chat", "embedding", "transcription"]
Speakers = Literal["none", "labels", "known"]


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """An amount per span, or a number of calls at once (`concurrency`, span 0).

    `scope` says whether each model of a key has its own, or all models of a key share it.
    `anchor` places the edges of fixed windows: `epoch`, `first_use`, or a time zone.
    """

    dimension: Dimension
    limit: int
    span_us: int = 0
    kind: Kind = "sliding"
    anchor: str = "epoch"
    scope: Scope = "model"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds to the first token: fixed where `sigma` is 0, else lognormal around it."""

    median_ms: float = 0.0
    sigma: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """How long answers are and how fast they come.

    The length follows from the question alone: `median_tokens`, spread by `sigma`, at most
    what the request and the model allow. `tokens_per_s` None means all at once. Sound is heard at
    `audio_x` times the speed it was spoken with; None is at once.
    """

    median_tokens: int = 32
    sigma: float = 0.0
    tokens_per_s: float | None = None
    audio_x: float | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """What the provider tells about its limits: headers, Retry-After, figures in 429 bodies."""

    headers: bool = True
    retry_after: bool = True
    body: bool = True


@dataclass(frozen=True, slots=True)
class Model:
    """One model; its `limits` come on top of the provider's.

    Of those that transcribe: without `timestamps` it answers `json` and `text` only; a shorter
    sound counts as `min_billed_seconds`; with `speakers` it tells who speaks, and
    one that `translates` shouts: its English is what is said in capital letters.
    """

    id: str
    kinds: tuple[ModelKind, ...] = ("chat",)
    context_window: int = 131_072
    max_output_tokens: int = 4_096
    limits: tuple[LimitSpec, ...] = ()
    category: str = "small"
    dimensions: int = 256
    price_input_usd_per_1m: float = 0.0
    price_output_usd_per_1m: float = 0.0
    price_usd_per_hour: float = 0.0
    max_audio_bytes: int = 25 * 1024 * 1024
    max_audio_seconds: int | None = None
    min_billed_seconds: int = 0
    timestamps: bool = True
    speakers: Speakers = "none"
    translates: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """An upstream key. Keys of one `organisation` share one ledger."""

    id: str
    key: str
    organisation: str | None = None
    plan: str = "free"


@dataclass(frozen=True, slots=True)
class SimulatedProvider:
    """One provider.

    `counts` says which tokens the token windows count. `count_rejected`: refused requests
    spend request windows too. With a `personality` it speaks that provider's own wire; else it
    speaks OpenAI's and words limits and errors in a `dialect`.
    """

    name: str
    models: tuple[Model, ...]
    keys: tuple[Key, ...]
    limits: tuple[LimitSpec, ...] = ()
    counts: Counts = "input+output"
    latency: Latency = field(default_factory=Latency)
    output: Output = field(default_factory=Output)
    dialect: Dialect = "openai"
    announce: Announce = field(default_factory=Announce)
    count_rejected: bool = False
    personality: PersonalityName | None = None


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """All providers of one simulator.

    `speed` 10 makes a simulated minute last 6 s. `own_ports` gives each provider a port of its
    own beside the common one. `remember_ids` bounds the per-id counts: the oldest go first.
    """

    providers: tuple[SimulatedProvider, ...]
    speed: float = 1.0
    own_ports: bool = False
    remember_ids: int = 200_000
