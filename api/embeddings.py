"""`POST /v1/embeddings`: held, or answered with a job."""

from typing import Any, Final

from api import hold, options
from api.admit import Submission
from api.body import parse
from api.call import Call
from api.features import embedding_need
from api.jobs import respond_async
from api.wiring import Service
from shared.core.model import Kind
from shared.wire.openai import embeddings_request

ENDPOINT: Final = "/v1/embeddings"


def submission(request: dict[str, Any], raw: bytes, **more: Any) -> Submission:
    """A checked embeddings request as a submission."""
    return Submission(
        kind=Kind.EMBEDDING,
        endpoint=ENDPOINT,
        model=request["model"],
        request=request,
        need=embedding_need(request),
        raw=raw,
        **more,
    )


async def create(service: Service, call: Call) -> None:
    """Answers as OpenAI does."""
    service.admit()
    raw = await call.body(service.bounds.max_body_bytes)
    wishes = options.read(call)
    key = options.idempotency_key(call)
    asked = submission(embeddings_request(parse(raw)), raw)
    if wishes.asynchronous:
        await respond_async(service, call, asked, wishes, key)
    else:
        await hold.answer(service, call, asked, wishes, key)
