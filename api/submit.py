"""`POST /v1/jobs`, and what answers with a job wherever it was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from api import options, summaries
from api.body import parse
from api.call import Call
from api.jobs import respond_async
from api.options import PAID, PRIORITIES, Options
from api.sources import check_sources
from api.wiring import Service
from shared import submission
from shared.core.model import Kind
from shared.core.sharing import ShareMode, Wish
from shared.errors import Refused
from shared.submission import Submission
from shared.wire.native import JobRequest, job_request
from shared.wire.summaries import summary_request

_OF_REQUEST: Final = frozenset({"model", "messages", "input", "max_tokens"})
_WISHES: Final = frozenset(
    {"priority", "deadline_s", "paid", "mode", "request_type", "session", "max_cost_usd"}
    | {"share", "cache_s", "hedge", "unsupported"}
)
_POLICY: Final = frozenset({"max_attempts", "max_cost_usd", "on_uncertain", "on_break"})


async def create(service: Service, call: Call) -> None:
    """Accepts a job: 202, or 200 where the idempotency key names one that has ended."""
    service.admit()
    asked, wishes, key = await read(service, call)
    if asked.kind is Kind.TRANSCRIPTION:
        content = await check_sources(service, call.key.tenant, asked.request, "request.")
        asked = replace(asked, content=content or asked.content)
    with named_in_request():
        if asked.kind is Kind.SUMMARY:
            asked = await summaries.prepared(service, call, asked)
        try:
            await respond_async(service, call, asked, wishes, key)
        except Refused:
            await summaries.not_needed(service, asked)
            raise


async def read(service: Service, call: Call) -> tuple[Submission, Options, str | None]:
    """What a job's body and headers ask for, checked, and its Idempotency-Key."""
    raw = await call.body(service.bounds.max_body_bytes)
    wishes = options.read(call)
    key = options.idempotency_key(call)
    asked = job_request(parse(raw))
    if not _WISHES.isdisjoint(asked.model_fields_set):
        wishes = replace(
            wishes,
            priority=PRIORITIES[asked.priority] if asked.priority else wishes.priority,
            deadline_s=asked.deadline_s or wishes.deadline_s,
            paid=PAID[asked.paid] if asked.paid else wishes.paid,
            mode=asked.mode or wishes.mode,
            request_type=asked.request_type or wishes.request_type,
            session=asked.session or wishes.session,
            max_cost_usd=asked.max_cost_usd or wishes.max_cost_usd,
            hedge=(asked.hedge, "hedge") if asked.hedge else wishes.hedge,
            unsupported=asked.unsupported or wishes.unsupported,
            sharing=Wish(
                ShareMode(asked.share) if asked.share else wishes.sharing.share,
                wishes.sharing.cache_s if asked.cache_s is None else asked.cache_s,
            ),
        )
    if asked.kind == "summary" and wishes.unsupported == "refuse":
        raise Refused(
            "unsupported: the calls of a summary are ours, and say what they need; leave it out",
            param="unsupported",
        )
    with named_in_request():
        return _submission(asked, raw), wishes, key


@contextmanager
def named_in_request() -> Iterator[None]:
    """What is refused of the request inside a job is named where it stands."""
    try:
        yield
    except Refused as refused:
        if refused.param in _OF_REQUEST:
            refused.param = f"request.{refused.param}"
        raise


def _submission(asked: JobRequest, raw: bytes) -> Submission:
    more: dict[str, Any] = {
        "max_wait_s": asked.max_wait_s,
        "webhook": asked.own_webhook,
        "extra": _extra(asked),
    }
    match Kind(asked.kind):
        case Kind.CHAT:
            streamed = asked.stream or bool(asked.request.get("stream"))
            return submission.chat(asked.request, raw, stream=streamed, **more)
        case Kind.EMBEDDING:
            return submission.embedding(asked.request, raw, **more)
        case Kind.TRANSCRIPTION:
            return submission.transcription(asked.request, raw, stream=asked.stream, **more)
        case Kind.SUMMARY:
            return submission.summary(summary_request(asked.request, "request"), raw, **more)
        case Kind.TASK:
            raise AssertionError("no caller's kind")


def _extra(asked: JobRequest) -> dict[str, Any]:
    """What of a job's wishes is stored: only what was said."""
    extra: dict[str, Any] = {}
    if asked.metadata is not None:
        extra["metadata"] = asked.metadata
    if said := asked.model_fields_set & _POLICY:
        extra["policy"] = {name: getattr(asked, name) for name in sorted(said)}
    return extra
