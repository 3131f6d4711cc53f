"""`POST /v1/chat/completions`: held, streamed, or answered with a job."""

from api import hold, options, stream
from api.body import parse
from api.call import Call
from api.jobs import respond_async
from api.wiring import Service
from shared.submission import chat as submission
from shared.wire.openai import chat_request


async def create(service: Service, call: Call) -> None:
    """Answers as OpenAI does."""
    service.admit()
    raw = await call.body(service.bounds.max_body_bytes)
    wishes = options.read(call)
    key = options.idempotency_key(call)
    extra = {"policy": {"on_break": wishes.on_break}} if wishes.on_break else {}
    asked = submission(chat_request(parse(raw)), raw, extra=extra)
    if wishes.asynchronous:
        await respond_async(service, call, asked, wishes, key)
    elif asked.stream:
        await stream.answer(service, call, asked, wishes, key)
    else:
        await hold.answer(service, call, asked, wishes, key)
