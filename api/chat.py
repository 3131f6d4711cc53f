"""`POST /v1/chat/completions`: held, streamed, or answered with a job."""

from typing import Any, Final

from api import hold, options, stream
from api.admit import Submission
from api.body import parse
from api.call import Call
from api.features import chat_capabilities, chat_need, chat_shape, conversation, max_output
from api.jobs import respond_async
from api.wiring import Service
from shared.catalog_types import CAPABILITIES
from shared.core.analysis import request_type
from shared.core.model import Kind
from shared.wire.openai import chat_request

ENDPOINT: Final = "/v1/chat/completions"


def submission(request: dict[str, Any], raw: bytes, **more: Any) -> Submission:
    """A checked chat as a submission; `more` overrides what the request itself does not say."""
    streamed = bool(request.get("stream"))
    wanted = (request.get("stream_options") or {}).get("include_usage")
    need = chat_need(request)
    return Submission(
        kind=Kind.CHAT,
        endpoint=ENDPOINT,
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
