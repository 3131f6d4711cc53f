"""`/v1/batches` as OpenAI's. What they are made of is done by the scheduler."""

import hashlib
import os
import re
from typing import Any, Final

from api import options
from api.auth import scope_of
from api.body import parse
from api.call import Call
from api.errors import not_found
from api.files import FILE_ID, cursor, listed, page_size
from api.hooks import deliveries_of
from api.views import seconds
from api.webhooks import tell_again
from api.wiring import Service
from shared.batch_endpoints import ENDPOINTS
from shared.core.batch import Batch, BatchStatus
from shared.core.model import Priority
from shared.errors import Refused
from shared.store.batches import NewBatch
from shared.wire.batches import BatchRequest, batch_request

BATCH_ID: Final = re.compile(r"batch_[A-Za-z0-9]{1,60}")
DEFAULT_PAGE: Final = 20
MOST: Final = 100
MOMENTS: Final = tuple(status for status in BatchStatus if status is not BatchStatus.VALIDATING)


def batch_view(batch: Batch) -> dict[str, Any]:
    """OpenAI's batch object; what OpenAI has no field for is under `headrace`."""
    errors = [dict(error) for error in batch.errors]
    usage = batch.usage
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.window,
        "status": batch.status.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_ms // 1000,
        "expires_at": batch.expires_ms // 1000,
        **{f"{one.value}_at": seconds(batch.moments.get(one.value)) for one in MOMENTS},
        "request_counts": {
            "total": batch.total,
            "completed": batch.completed,
            "failed": batch.failed,
        },
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
        "metadata": batch.metadata,
        "headrace": {"outstanding": batch.outstanding, "answered_by": batch.answered_by},
    }


async def create(service: Service, call: Call) -> None:
    """Takes a batch; its file is looked at afterwards, and the batch says what is wrong with it."""
    service.admit()
    raw = await call.body(service.bounds.max_body_bytes)
    wishes = options.read(call)
    key = options.idempotency_key(call)
    asked = batch_request(parse(raw))
    _heeded(wishes)
    await _check(service, call, asked)
    lives = asked.output_expires_after
    new = NewBatch(
        id=f"batch_{os.urandom(12).hex()}",
        tenant=call.key.tenant,
        endpoint=asked.endpoint,
        input_file_id=asked.input_file_id,
        window=asked.completion_window,
        metadata=asked.metadata,
        output_expires_s=None if lives is None else lives.seconds,
        paid=service.bounds.paid_within(wishes.paid).value,
        sharing=wishes.sharing,
        weight=call.key.weight,
        allowed_models=_allowed(call),
        idempotency=None if key is None else (_digest(key.encode()), _digest(raw)),
    )
    await call.json(200, batch_view(await service.bulk.batches.create(new)))


def _heeded(wishes: options.Options) -> None:
    """Refused: a wish that no line of a batch would be granted; it is not dropped in silence."""
    bulk = (None, Priority.BULK)
    for name, said, why in (
        ("priority", wishes.priority not in bulk, "lines run as bulk: hand in jobs for the rest"),
        ("deadline-s", wishes.deadline_s is not None, "completion_window says until when"),
        ("max-cost-usd", wishes.max_cost_usd is not None, "x-headrace-paid: never spends nothing"),
        ("mode", wishes.mode is not None, "say it with the model: auto:fast, auto:cheap"),
        ("hedge", (wishes.hedge or "?")[0] == "auto", "bulk work is never made twice"),
        ("unsupported", wishes.unsupported == "refuse", "hand in jobs for that"),
        ("type", wishes.request_type is not None, "each line's own is found by its content"),
    ):
        if said:
            header = f"x-headrace-{name}"
            raise Refused(f"{header} is not heeded by batches: {why}", param=header)


async def _check(service: Service, call: Call, asked: BatchRequest) -> None:
    """What can be told at once. Refused names the field."""
    if asked.endpoint not in ENDPOINTS:
        raise Refused(
            f"endpoint: batches are served for {', '.join(ENDPOINTS)}",
            param="endpoint",
            code="invalid_value",
        )
    file = None
    if FILE_ID.fullmatch(asked.input_file_id):
        file = await service.bulk.files.get(asked.input_file_id, call.key.tenant)
    if file is None:
        raise Refused(
            f"input_file_id: No such File object: {asked.input_file_id}",
            status=404,
            param="input_file_id",
            code="file_not_found",
        )
    if file.purpose != "batch":
        raise Refused(
            f"input_file_id: the file's purpose is {file.purpose}; upload it with purpose batch",
            param="input_file_id",
            code="invalid_purpose",
        )


def _allowed(call: Call) -> tuple[str, ...] | None:
    allowed = call.key.allowed_models
    return None if allowed is None else tuple(sorted(allowed))


def _batch_id(call: Call) -> str:
    given = call.param("id")
    if not BATCH_ID.fullmatch(given):
        raise no_such_batch(given)
    return given


def no_such_batch(given: str) -> Refused:
    """The 404 for a batch that is not there, or not this caller's: the same for both."""
    return not_found(f"No batch found with id '{given[:64]}'.", param="id", code="batch_not_found")


async def get(service: Service, call: Call) -> None:
    """The batch as it stands."""
    given = _batch_id(call)
    call.query(())
    await call.json(200, await _shown(service, await _found(service, call, given)))


async def _found(service: Service, call: Call, given: str) -> Batch:
    batch = await service.bulk.batches.get(given, scope_of(call.key))
    if batch is None:
        raise no_such_batch(given)
    return batch


async def _shown(service: Service, batch: Batch) -> dict[str, Any]:
    """With who was told of its end, once it has ended."""
    view = batch_view(batch)
    if batch.status.final:
        view["headrace"] |= {"deliveries": await deliveries_of(service, batch.id)}
    return view


async def redeliver(service: Service, call: Call) -> None:
    """Tells its end once more to everyone who was told, under the same event ids."""
    service.admit()
    batch = await _found(service, call, _batch_id(call))
    await tell_again(service, batch.tenant, batch.id)
    await call.json(202, await _shown(service, batch))


async def cancel(service: Service, call: Call) -> None:
    """Begins to cancel it; what is done by then is kept. Refused (409) where it has ended."""
    given = _batch_id(call)
    batch = await service.bulk.batches.cancel(given, scope_of(call.key))
    if batch is None:
        raise no_such_batch(given)
    await call.json(200, batch_view(batch))


async def index(service: Service, call: Call) -> None:
    """A page of the caller's batches, newest first."""
    asked = call.query(("after", "limit"))
    limit = page_size(asked.get("limit"), DEFAULT_PAGE, MOST)
    after = cursor(asked.get("after"), BATCH_ID)
    page = await service.bulk.batches.list(call.key.tenant, after=after, limit=limit)
    await call.json(200, listed([batch_view(batch) for batch in page.batches], more=page.more))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]
