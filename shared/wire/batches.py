"""The body of `POST /v1/batches`: OpenAI's, with more windows."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.types import StringConstraints

from shared.wire.openai import Metadata, refused_from

_CONFIG = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class ExpiresAfter(BaseModel):
    """How long the output files are kept, from their creation."""

    model_config = _CONFIG
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3_600, le=30 * 86_400)]


class BatchRequest(BaseModel):
    """What a batch is asked to be."""

    model_config = _CONFIG
    input_file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    completion_window: Literal["24h", "1h", "7d"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


def batch_request(body: Any) -> BatchRequest:
    """The batch a body asks for. Refused (400) names the field."""
    try:
        return BatchRequest.model_validate(body)
    except ValidationError as exc:
        raise refused_from(exc, model=BatchRequest) from None  # it quotes the caller
