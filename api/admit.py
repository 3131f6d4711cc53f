"""The one way in: a validated request becomes a job, routed, written and durable."""

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import orjson

from api.call import Call
from api.errors import overfull
from api.options import Options
from api.ports import Route
from api.wiring import Service
from shared.core.features import Features
from shared.core.model import Kind, Need, Paid, Priority
from shared.credentials import ApiKey
from shared.errors import Refused
from shared.queue.types import Acceptance, Accepted, NewJob


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked request, whichever route it came by. `endpoint` is its wire: the OpenAI path.

    `max_output_tokens` is what the caller named for one choice. `extra` are the job's further
    wishes, stored as they are.
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
    max_cost_usd: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """A job ready to be accepted, with what its view needs."""

    job: NewJob
    doc: dict[str, Any]
    route: Route


@dataclass(frozen=True, slots=True)
class Admission:
    """A draft and what became of it."""

    draft: Draft
    accepted: Accepted
    now_ms: int = field(default=0)

    @property
    def created(self) -> bool:
        """True where this very request made the job."""
        return self.accepted.how is Acceptance.NEW


async def draft(
    service: Service,
    call: Call,
    asked: Submission,
    options: Options,
    *,
    held: bool,
    idempotency_key: str | None,
) -> Draft:
    """Routes the request and makes its job. Refused where nothing can ever serve it."""
    key = call.key
    priority = options.priority
    if priority is None:
        priority = Priority.INTERACTIVE if held else Priority.NORMAL
    deadline_ms = service.bounds.deadline_ms(priority, options.deadline_s)
    paid = options.paid or service.bounds.paid
    features = _features(asked, key, paid, priority, deadline_ms)
    lanes = await service.lanes.lane_states()
    route = service.router.route(features, key.tenant, lanes, service.clock.now_ms())
    body = hashlib.sha256(call.path.encode() + b"\n" + asked.raw).hexdigest()[:32]
    doc = document(asked, route, paid)
    job = NewJob(
        id=new_id(),
        tenant=key.tenant,
        kind=asked.kind,
        priority=priority,
        lane=route.first,
        candidates=route.lanes,
        paid_lanes=route.paid_lanes,
        need=asked.need,
        doc=orjson.dumps(doc),
        weight=key.weight,
        deadline_ms=deadline_ms,
        max_wait_ms=None if asked.max_wait_s is None else max(1, round(asked.max_wait_s * 1000)),
        idempotency=None if idempotency_key is None else (_digest(idempotency_key), body),
        live=_digest(f"{key.digest}:{body}") if held else None,
        join_live=held and options.retry,
        watcher=service.inbox.id if held else None,
        follow=asked.stream,
    )
    return Draft(job, doc, route)


async def accept(service: Service, made: Draft) -> Admission:
    """Writes the job: durable when this returns. Refused: 409, 503. StoreError."""
    accepted = await service.jobs.accept(made.job)
    match accepted.how:
        case Acceptance.CONFLICT:
            raise Refused(
                "this Idempotency-Key was used for another request within the last 24 h; use a new"
                " key for a new request",
                status=409,
                param="Idempotency-Key",
                code="idempotency_key_reused",
            )
        case Acceptance.FULL:
            raise overfull("the queue is full; nothing was accepted, try again")
        case Acceptance.NEW:
            service.metrics.accepted(made.job.kind.value)
        case Acceptance.REPEATED | Acceptance.JOINED:
            pass
    return Admission(made, accepted, service.clock.now_ms())


def document(asked: Submission, route: Route, paid: Paid) -> dict[str, Any]:
    """What is stored of the request and never changes: the worker's input and the view's."""
    doc: dict[str, Any] = {
        "endpoint": asked.endpoint,
        "model": asked.model,
        "stream": asked.stream,
        "paid": paid.value,
        "request": asked.request,
        "route": [(c.deployment, c.kept, c.reason) for c in route.considered],
    }
    return doc | asked.extra


def _features(
    asked: Submission, key: ApiKey, paid: Paid, priority: Priority, deadline_ms: int | None
) -> Features:
    return Features(
        kind=asked.kind,
        model=asked.model,
        input_tokens=asked.need.input_tokens,
        output_tokens=asked.need.output_tokens,
        max_output_tokens=asked.max_output_tokens,
        capabilities=asked.capabilities,
        allowed_models=key.allowed_models,
        paid=paid,
        cost_cap_microusd=None if asked.max_cost_usd is None else round(asked.max_cost_usd * 1e6),
        deadline_ms=deadline_ms,
        priority=priority,
    )


def new_id() -> str:
    """A job id: 96 random bits, so nobody guesses another's."""
    return "job_" + os.urandom(12).hex()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
