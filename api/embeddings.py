"""`POST /v1/embeddings`: held, or answered with a job."""

from api import hold, options
from api.body import parse
from api.call import Call
from api.jobs import respond_async
from api.wiring import Service
from shared.submission import embedding as submission
from shared.wire.openai import embeddings_request


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
