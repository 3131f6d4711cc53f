"""A checked request on its way to becoming a job, by whichever route, or in a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from shared.catalog_types import CAPABILITIES
from shared.core.analysis import request_type
from shared.core.features import Features
from shared.core.model import Kind, Need
from shared.core.sharing import Wish
from shared.needs import (
    chat_capabilities,
    chat_need,
    chat_shape,
    conversation,
    embedding_need,
    max_output,
    transcription_capabilities,
)
from shared.routing import Route
from shared.store.types import LaneState
from shared.wire.openai import chat_request
from shared.wire.responses import chat_of, echo
from shared.wire.summaries import SummaryRequest, stored
from shared.wire.webhooks import JobWebhook

CHAT: Final = "/v1/chat/completions"
EMBEDDINGS: Final = "/v1/embeddings"
RESPONSES: Final = "/v1/responses"
TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
SUMMARIES: Final = "summaries"
PARENT_LANES: Final[Mapping[Kind, str]] = {
    Kind.TRANSCRIPTION: "own/transcriptions@shared",
    Kind.SUMMARY: f"own/{SUMMARIES}@shared",
}
"""Where a caller's job is run in steps, which make children for the lanes of providers."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked request, whichever route it came by. `endpoint` is its wire: the OpenAI path.

    `max_output_tokens` is what the caller named for one choice. `conversation` is what tells it
    from others, and whether this is a later turn. `job_id` is given where something must know the
    job before it is accepted. `extra` are the job's further wishes, stored as they are. `content`
    is the digest of the bytes that the request names, where they are known.
    """

    kind: Kind
    endpoint: str
    model: str
    request: dict[str, Any]
    need: Need
    raw: bytes
    stream: bool = False
    include_usage: bool = False
    capabilities: frozenset[str] = frozenset()
    max_output_tokens: int | None = None
    max_wait_s: float | None = None
    request_type: str | None = None
    conversation: tuple[str, bool] | None = None
    webhook: JobWebhook | None = None
    told_as: str | None = None
    job_id: str | None = None
    content: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a request goes, and all that this was decided by."""

    features: Features
    need: Need
    route: Route
    conversation: bytes | None = None


class Routes(Protocol):
    """What chooses lanes; `shared.routing.CatalogRouter` is one."""

    def route(
        self, features: Features, tenant: str, lanes: Mapping[str, LaneState], now_ms: int
    ) -> Route:
        """Chooses lanes; Refused where nothing can ever serve the request, naming the field."""
        ...

    def expected_output(
        self, model: str, asked_tokens: int | None, lanes: Mapping[str, LaneState]
    ) -> int:
        """The output tokens that a call of that name should need."""
        ...


def chat(request: dict[str, Any], raw: bytes, **more: Any) -> Submission:
    """A checked chat as a submission; `more` overrides what the request itself does not say."""
    streamed = bool(request.get("stream"))
    wanted = (request.get("stream_options") or {}).get("include_usage")
    need = chat_need(request)
    return Submission(
        kind=Kind.CHAT,
        endpoint=CHAT,
        model=request["model"],
        request=request,
        need=need,
        raw=raw,
        include_usage=bool(wanted),
        capabilities=chat_capabilities(request, CAPABILITIES),
        max_output_tokens=max_output(request),
        request_type=request_type(chat_shape(request, need)),
        conversation=conversation(request),
        **{"stream": streamed, **more},
    )


def response(
    request: dict[str, Any], before: Sequence[dict[str, Any]], raw: bytes, **more: Any
) -> Submission:
    """A checked Responses request as the chat it asks for; `before` are earlier turns' messages.

    Refused, in the words of a chat: what a chat may not be asked.
    """
    asked = chat_of(request, before)
    asked["stream"] = bool(request.get("stream"))
    made = chat(chat_request(asked), raw)
    extra: dict[str, Any] = {
        "response": echo(request) | {"model": request["model"]},
        "turns_from": 1 if request.get("instructions") else 0,
    } | more
    if request.get("metadata"):
        extra["metadata"] = request["metadata"]
    told_as = "response" if request.get("background") else None
    return replace(made, endpoint=RESPONSES, told_as=told_as, extra=extra)


def embedding(request: dict[str, Any], raw: bytes, **more: Any) -> Submission:
    """A checked embeddings request as a submission."""
    return Submission(
        kind=Kind.EMBEDDING,
        endpoint=EMBEDDINGS,
        model=request["model"],
        request=request,
        need=embedding_need(request),
        raw=raw,
        **more,
    )


def transcription(request: dict[str, Any], raw: bytes, **more: Any) -> Submission:
    """A checked transcription as a submission: a parent, whose parts are calls of providers."""
    file_id = request.get("file_id")  # a file never changes
    return Submission(
        kind=Kind.TRANSCRIPTION,
        endpoint=TRANSCRIPTIONS,
        model=request["model"],
        request=request,
        need=Need(),
        raw=raw,
        capabilities=transcription_capabilities(request),
        **{"content": None if file_id is None else f"file {file_id}", **more},
    )


def summary(request: SummaryRequest, raw: bytes, **more: Any) -> Submission:
    """A checked summary as a submission: a parent, whose children are chats."""
    return Submission(
        kind=Kind.SUMMARY,
        endpoint=SUMMARIES,
        model=request.model,
        request=stored(request),
        need=Need(),
        raw=raw,
        request_type="summarization",
        **more,
    )


def routed(
    router: Routes,
    features: Features,
    need: Need,
    tenant: str,
    lanes: Mapping[str, LaneState],
    now_ms: int,
) -> Choice:
    """The lanes for a request, its output as was learned of the model. Refused: none ever serve.

    A parent goes to a lane of ours, whatever lanes its children may go to.
    """
    if features.kind is Kind.CHAT:
        limit = None if features.max_output_tokens is None else need.max_output_tokens
        expected = router.expected_output(features.model, limit, lanes)
        most = expected if limit is None else limit
        need = replace(need, output_tokens=expected, max_output_tokens=most)
    features = replace(features, output_tokens=need.output_tokens)
    route = router.route(features, tenant, lanes, now_ms)
    parent = PARENT_LANES.get(features.kind)
    if parent is not None:
        route = replace(
            route, first=parent, lanes=(parent,), paid_lanes=(), waiting=None, eta_ms=None
        )
    return Choice(features, need, route)


def family(features: Features, weight: int, wish: Wish | None = None) -> dict[str, Any]:
    """What a parent's document says of its children, beside what it says of itself."""
    allowed = features.allowed_models
    found: dict[str, Any] = {
        "weight": weight,
        "allowed_models": None if allowed is None else sorted(allowed),
        "mode": features.mode,
    }
    if wish is not None and wish.share is not None:
        found["share"] = wish.share.value
    if wish is not None and wish.cache_s is not None:
        found["cache_s"] = wish.cache_s
    return found


def document(
    asked: Submission, choice: Choice, weight: int = 1, wish: Wish | None = None
) -> dict[str, Any]:
    """What is stored of the request and never changes: the worker's input and the view's.

    A parent's says too what its children have of the caller's key (of `weight`) and wishes; `wish`
    is what they may share.
    """
    features = choice.features
    doc: dict[str, Any] = {
        "endpoint": asked.endpoint,
        "model": asked.model,
        "stream": asked.stream,
        "paid": features.paid.value,
        "type": features.request_type,
        "request": asked.request,
        "route": [(c.deployment, c.kept, c.reason) for c in choice.route.considered],
    }
    if asked.kind in PARENT_LANES:
        doc["family"] = family(features, weight, wish)
    return doc | asked.extra
