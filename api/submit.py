"""`POST /v1/jobs`, and what answers with a job wherever it was asked for."""

from dataclasses import replace
from typing import Any, Final

from api import chat, embeddings, options
from api.admit import Submission
from api.body import parse
from api.call import Call
from api.jobs import respond_async
from api.options import PAID, PRIORITIES
from api.wiring import Service
from shared.core.model import Kind
from shared.errors import Refused
from shared.wire.native import JobRequest, job_request

_OF_REQUEST: Final = frozenset({"model", "messages", "input", "max_tokens"})
_WISHES: Final = frozenset({"priority", "deadline_s", "paid"})
_POLICY: Final = frozenset({"max_attempts", "max_cost_usd", "on_uncertain", "on_break"})


async def create(service: Service, call: Call) -> None:
    """Accepts a job: 202, or 200 where the idempotency key names one that has ended."""
    service.admit()
    raw = await call.body(service.bounds.max_body_bytes)
    wishes = options.read(call)
    key = options.idempotency_key(call)
    body = parse(raw)
    asked = job_request(body)
    if not _WISHES.isdisjoint(asked.model_fields_set):
        wishes = replace(
            wishes,
            priority=PRIORITIES[asked.priority] if asked.priority else wishes.priority,
            deadline_s=asked.deadline_s or wishes.deadline_s,
            paid=PAID[asked.paid] if asked.paid else wishes.paid,
        )
    try:
        await respond_async(service, call, _submission(asked, raw), wishes, key)
    except Refused as refused:
        if refused.param in _OF_REQUEST:
            refused.param = f"request.{refused.param}"
        raise


def _submission(asked: JobRequest, raw: bytes) -> Submission:
    if asked.webhook is not None:
        raise Refused(
            "webhook: webhooks are not delivered yet; follow GET /v1/jobs/{id}/events",
            param="webhook",
            code="not_supported",
        )
    if asked.on_break == "continue":
        raise Refused(
            "on_break: continuing on another provider is not offered yet; send fail or restart",
            param="on_break",
            code="not_supported",
        )
    more: dict[str, Any] = {
        "max_wait_s": asked.max_wait_s,
        "max_cost_usd": asked.max_cost_usd,
        "extra": _extra(asked),
    }
    match Kind(asked.kind):
        case Kind.CHAT:
            streamed = asked.stream or bool(asked.request.get("stream"))
            return chat.submission(asked.request, raw, stream=streamed, **more)
        case Kind.EMBEDDING:
            return embeddings.submission(asked.request, raw, **more)
        case _:
            raise Refused(
                f"kind: {asked.kind} jobs are not served yet; send chat or embedding",
                param="kind",
                code="not_supported",
            )


def _extra(asked: JobRequest) -> dict[str, Any]:
    """What of a job's wishes is stored: only what was said."""
    extra: dict[str, Any] = {}
    if asked.metadata is not None:
        extra["metadata"] = asked.metadata
    if said := asked.model_fields_set & _POLICY:
        extra["policy"] = {name: getattr(asked, name) for name in sorted(said)}
    return extra
