"""Work of our own as jobs: a worker of any pool runs the actor and its result is the job's."""

import time
import uuid
from typing import Any

import orjson

from shared.core.model import Kind, Need, Priority
from shared.queue.types import NewJob

QUEUE = "tasks"
LANE = f"own/{QUEUE}@shared"
TENANT = "system"
CHECK_CREDENTIAL = "check_credential"  # {credential: id}; the result: see workers/pool.py


def task(
    actor: str,
    arguments: dict[str, Any],
    *,
    job_id: str | None = None,
    deadline_ms: int | None = None,
    priority: Priority = Priority.INTERACTIVE,
    watcher: str | None = None,
) -> NewJob:
    """A job that calls `actor` with keyword `arguments` (JSON values); idempotent by `job_id`.

    The document is a dramatiq message, as `EventBroker.enqueue` writes it.
    """
    job_id = job_id or f"job_{uuid.uuid4().hex[:24]}"
    message = {
        "queue_name": QUEUE,
        "actor_name": actor,
        "args": [],
        "kwargs": arguments,
        "options": {},
        "message_id": job_id,
        "message_timestamp": int(time.time() * 1000),
    }
    return NewJob(
        id=job_id,
        tenant=TENANT,
        kind=Kind.TASK,
        priority=priority,
        lane=LANE,
        candidates=(LANE,),
        need=Need(),
        doc=orjson.dumps(message),
        deadline_ms=deadline_ms,
        watcher=watcher,
    )
