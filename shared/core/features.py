"""What selection needs to know of a request: the one value every check and order reads."""

from dataclasses import dataclass

from shared.core.model import Kind, Paid, Priority


@dataclass(frozen=True, slots=True)
class Features:
    """What selection needs to know of a request. Tokens are o200k tokens, input an estimate.

    `max_output_tokens` None: the caller named none, `output_tokens` are expected. `own_pool` is the
    tenant's own keys' pool, `shared_pool` whether it may use the shared ones. `deadline_ms` is a
    span from now. `mode` is cheap, balanced, powerful or fastest. `allowed_models` None allows all;
    else ids, model ids, families or `provider/*`. `inputs` are the texts of an embedding. `sticky`
    is the lane of the same conversation before: it goes there again while there is room.
    """

    kind: Kind
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    max_output_tokens: int | None = None
    inputs: int = 1
    audio_seconds: int = 0
    audio_bytes: int = 0
    capabilities: frozenset[str] = frozenset()
    own_pool: str | None = None
    shared_pool: bool = True
    allowed_models: frozenset[str] | None = None
    paid: Paid = Paid.DEADLINE
    cost_cap_microusd: int | None = None
    deadline_ms: int | None = None
    priority: Priority = Priority.NORMAL
    mode: str | None = None
    request_type: str | None = None
    sticky: str | None = None
