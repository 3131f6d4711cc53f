"""Claims, catalogs and contexts for tests of attempts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.catalog import Catalog, Provider
from shared.core.model import Deployment, Kind, Need, Price, Priority
from shared.credentials import Secret
from shared.queue.types import Claim
from shared.quirks import Quirks
from workers.attempt import AttemptContext
from workers.transport import Timeouts, Transport

KEY = "sk-test-0123456789"
CHAT = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}


def deployment(base_url: str, provider: str = "alpha", **changes: Any) -> Deployment:
    model = changes.pop("model", "m1")
    return Deployment(
        id=f"{provider}/{model}",
        provider=provider,
        model=model,
        type=changes.pop("type", "openai-compatible"),
        base_url=base_url,
        kinds=frozenset(Kind),
        price=Price(100_000, 400_000),
        **changes,
    )


def catalog(*deployments: Deployment, quirks: Mapping[str, Quirks] | None = None) -> Catalog:
    known = quirks or {}
    providers = {
        each.provider: Provider(
            each.provider, each.type, each.base_url, known.get(each.provider, Quirks())
        )
        for each in deployments
    }
    return Catalog(
        deployments=deployments,
        providers=tuple(providers.values()),
        version="test",
        by_id={each.id: each for each in deployments},
        by_provider=dict.fromkeys(providers, deployments),
        by_name={},
        aliases={},
        model_drops={},
    )


def claim(
    lane: str = "alpha/m1@shared",
    request: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Claim:
    kind = changes.pop("kind", Kind.CHAT)
    doc = {
        "request": dict(request or CHAT),
        "endpoint": str(kind),
        "stream": changes.pop("stream", False),
        "policy": dict(policy or {}),
        "model": "auto",
        "tenant": "default",
    }
    values: dict[str, Any] = {
        "job_id": "job_1",
        "fence": 1,
        "lane": lane,
        "credential": "a1",
        "tenant": "default",
        "kind": kind,
        "priority": Priority.NORMAL,
        "need": Need(input_tokens=12, max_output_tokens=100),
        "created_ms": 1_000,
        "claimed_ms": 2_000,
        "deadline_ms": None,
        "attempts": 0,
        "requeues": 0,
        "lost_leases": 0,
        "candidates": (lane,),
        "paid_lanes": (),
        "doc": orjson.dumps(doc),
    }
    return Claim(**(values | changes))


@dataclass
class Told:
    """What an attempt told its hooks."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    sent: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    async def emit(self, kind: str, data: bytes) -> None:
        self.events.append((kind, orjson.loads(data)))

    def note_sent(self) -> None:
        self.sent += 1

    async def read_history(self) -> list[dict[str, Any]]:
        return self.history

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or ""
            for _, chunk in self.events
            for choice in chunk["choices"]
        )


def context(
    transport: Transport, known: Catalog, told: Told | None = None, **changes: Any
) -> AttemptContext:
    told = told or Told()
    values: dict[str, Any] = {
        "catalog": known,
        "transport": transport,
        "secret": {"a1": Secret(KEY)}.get,
        "emit": told.emit,
        "now_ms": lambda: 1_000_000,
        "draw": lambda: 0.5,
        "sent": told.note_sent,
        "history": told.read_history,
        "timeouts": Timeouts(total_ms=5_000, connect_ms=1_000, first_byte_ms=3_000, idle_ms=1_000),
    }
    return AttemptContext(**(values | changes))
