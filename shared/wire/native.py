"""The body of `POST /v1/jobs`: our own shape, in which an unknown field is refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.core.analysis import TYPES
from shared.core.model import Kind
from shared.core.sharing import MAX_CACHE_S
from shared.wire.openai import Metadata, chat_request, embeddings_request, refused_from
from shared.wire.summaries import summary_request
from shared.wire.transcriptions import transcription_request
from shared.wire.webhooks import JobWebhook, Webhook

Seconds = Annotated[float, Field(gt=0, le=366 * 86_400, allow_inf_nan=False)]


class JobRequest(BaseModel):
    """What a job is asked to be. `_s` are seconds, `_usd` US dollars; None leaves it to settings.

    `deadline_s` runs from acceptance to the end, `max_wait_s` from acceptance to the first start.
    `mode` is what selection prefers, `request_type` the kind of work where it is not to be guessed,
    `session` names the conversation, which stays with its deployment while there is room.
    `on_uncertain` is what happens to a call that may have been made when its worker died,
    `on_break` to a stream that breaks after its first token. `share`: whether its equals may have
    its answer, `cache_s` how old an answer it takes and how long its own is kept (0: neither).
    `hedge`: whether a slow call of it may be made once more elsewhere (None: if it is interactive);
    a summary's calls have its wish. `unsupported`: whether a parameter that a deployment does not
    take is left out and told in `attempts[].dropped` (None: drop), or the job goes elsewhere.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, protected_namespaces=()
    )

    kind: Literal["chat", "embedding", "transcription", "summary"]
    request: dict[str, Any]
    stream: bool = False
    priority: Literal["interactive", "normal", "bulk"] | None = None
    deadline_s: Seconds | None = None
    max_wait_s: Seconds | None = None
    webhook: Webhook | None = None
    metadata: Metadata | None = None
    paid: Literal["never", "deadline", "always"] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = None
    max_cost_usd: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    mode: Literal["cheap", "balanced", "powerful", "fastest"] | None = None
    request_type: Literal[TYPES] | None = None  # type: ignore[valid-type]
    session: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    on_uncertain: Literal["retry", "fail"] = "retry"
    on_break: Literal["fail", "restart", "continue"] = "fail"
    hedge: Literal["never", "auto"] | None = None
    unsupported: Literal["drop", "refuse"] | None = None
    share: Literal["auto", "always", "never"] | None = None
    cache_s: Annotated[float, Field(ge=0, le=MAX_CACHE_S, allow_inf_nan=False)] | None = None

    @property
    def own_webhook(self) -> JobWebhook | None:
        """Where the job's end is told."""
        return JobWebhook(url=self.webhook) if isinstance(self.webhook, str) else self.webhook


def job_request(body: object) -> JobRequest:
    """The job a body asks for, its `request` checked as its kind says.

    Refused (400) names the field, an unknown one with the nearest known name.
    """
    try:
        job = JobRequest.model_validate(body)
    except ValidationError as exc:
        raise refused_from(exc, model=JobRequest) from None  # it quotes the caller
    match Kind(job.kind):
        case Kind.CHAT:
            chat_request(job.request, "request")
        case Kind.EMBEDDING:
            embeddings_request(job.request, "request")
        case Kind.TRANSCRIPTION:
            transcription_request(job.request, "request")
        case Kind.SUMMARY:
            summary_request(job.request, "request")
    return job
