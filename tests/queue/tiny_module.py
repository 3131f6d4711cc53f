"""What `dramatiq tests.queue.tiny_module` boots: one actor on an EventBroker."""

import os

import dramatiq

from shared.queue.broker import EngineMiddleware, EventBroker
from shared.queue.engine import EngineSettings

broker = EventBroker(os.environ["TINY_STORE"])
broker.add_middleware(EngineMiddleware([], EngineSettings(beat_ms=200)))
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="tiny")
def child(number: int) -> None:
    """Says that it ran."""


@dramatiq.actor(queue_name="tiny")
def parent(number: int) -> None:
    """Enqueues a child with its own finish."""
    child.send(number)
