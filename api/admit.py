"""The one way in: a validated request becomes a job, routed, written and durable."""

import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from api import conversations, hedging, hooks
from api.call import Call
from api.errors import overfull
from api.options import Options
from api.wiring import Service
from shared.core.features import Features
from shared.core.model import Kind, Need, Priority
from shared.credentials import ApiKey
from shared.errors import Refused
from shared.likeness import sharing
from shared.queue.types import Acceptance, Accepted, NewJob
from shared.routing import Route
from shared.submission import Choice, Submission, document, routed


@dataclass(frozen=True, slots=True)
class Sized:
    """What is known of a request before the lanes are looked at. `conversation` names its own."""

    features: Features
    need: Need
    conversation: bytes | None


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
        return self.accepted.made


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
    choice = await choose(service, call, sized(service, call, asked, options, held=held))
    key, features, route = call.key, choice.features, choice.route
    body = hashlib.sha256(call.path.encode() + b"\n" + asked.raw).hexdigest()[:32]
    doc = document(asked, choice, key.weight, options.sharing)
    policy = hedging.wished(service.bounds, asked, options, features.priority)
    if options.unsupported is not None:
        policy = {**(policy or {}), "unsupported": options.unsupported}
    if policy:
        doc["policy"] = policy
    hook = None
    if asked.webhook is not None:
        hook, doc["webhook"] = await hooks.own(service, key.tenant, asked.webhook)
    if choice.conversation is not None:
        service.conversations.keep(choice.conversation, route.first)
    job = NewJob(
        id=asked.job_id or new_id(),
        tenant=key.tenant,
        kind=asked.kind,
        priority=features.priority,
        lane=route.first,
        candidates=route.lanes,
        paid_lanes=route.paid_lanes,
        need=choice.need,
        doc=orjson.dumps(doc),
        weight=key.weight,
        deadline_ms=features.deadline_ms,
        max_wait_ms=None if asked.max_wait_s is None else max(1, round(asked.max_wait_s * 1000)),
        idempotency=None if idempotency_key is None else (_digest(idempotency_key), body),
        live=_digest(f"{key.digest}:{body}") if held else None,
        join_live=held and options.retry,
        watcher=service.inbox.id if held else None,
        follow=asked.stream,
        hook=hook,
        told_as=asked.told_as,
        sharing=sharing(
            service.bounds.sharing,
            replace(options.sharing, whole=options.unsupported == "refuse"),
            asked.endpoint,
            asked.request,
            key.tenant,
            features,
            # the text that a transcription streams is the text of its result
            stream=asked.stream and asked.kind is not Kind.TRANSCRIPTION,
            content=asked.content,
        ),
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
        case Acceptance.SHARED | Acceptance.CACHED:
            service.metrics.accepted(made.job.kind.value)
            service.metrics.spared(accepted.how.value)
        case Acceptance.REPEATED | Acceptance.JOINED:
            pass
    return Admission(made, accepted, service.clock.now_ms())


def sized(
    service: Service, call: Call, asked: Submission, options: Options, *, held: bool
) -> Sized:
    """What selection needs to know of the request, but for what only the lanes can tell."""
    key, bounds = call.key, service.bounds
    priority = options.priority
    if priority is None:
        priority = Priority.INTERACTIVE if held else Priority.NORMAL
    conversation, sticky = _conversation(service, key, asked, options, priority)
    features = Features(
        kind=asked.kind,
        model=asked.model,
        input_tokens=asked.need.input_tokens,
        max_output_tokens=asked.max_output_tokens,
        inputs=asked.need.inputs,
        capabilities=asked.capabilities,
        allowed_models=key.allowed_models,
        paid=bounds.paid_within(options.paid),
        cost_cap_microusd=bounds.cost_cap_microusd(options.max_cost_usd),
        deadline_ms=bounds.deadline_ms(_pace(asked.kind, priority), options.deadline_s),
        priority=priority,
        mode=options.mode,
        request_type=options.request_type or asked.request_type,
        sticky=sticky,
    )
    return Sized(features, asked.need, conversation)


def _pace(kind: Kind, priority: Priority) -> Priority:
    """Whose deadline holds where none is given: hours of audio take long, whoever waits."""
    return max(priority, Priority.NORMAL) if kind is Kind.TRANSCRIPTION else priority


async def choose(service: Service, call: Call, asked: Sized) -> Choice:
    """The lanes for it. Refused where nothing can ever serve it. StoreError."""
    lanes = await service.lanes.lane_states()
    now_ms = service.clock.now_ms()
    found = routed(service.router, asked.features, asked.need, call.key.tenant, lanes, now_ms)
    return replace(found, conversation=asked.conversation)


def _conversation(
    service: Service, key: ApiKey, asked: Submission, options: Options, priority: Priority
) -> tuple[bytes | None, str | None]:
    """The name of the request's conversation, and its lane; bulk work has none."""
    if priority is Priority.BULK or asked.kind is not Kind.CHAT:
        return None, None
    text, later = asked.conversation or ("", False)
    if options.session is not None:
        text, later = f"session {options.session}", True
    name = conversations.digest(key.tenant, asked.model, text)
    return name, service.conversations.lane(name) if later else None


def new_id() -> str:
    """A job id: 96 random bits, so nobody guesses another's."""
    return "job_" + os.urandom(12).hex()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
