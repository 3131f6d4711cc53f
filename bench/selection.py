"""How long a selection takes over 500 deployments of 30 providers."""

import random
import time
from typing import Any

from bench.figures import Options, Result, judged, spread
from shared.core.backlog import LaneReading
from shared.core.features import Features
from shared.core.index import Index
from shared.core.model import (
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    Paid,
    Price,
    Priority,
    Window,
    lane_id,
)
from shared.core.selection import Selection, loads_of, select
from shared.store.types import LaneState

PROVIDERS = 30
DEPLOYMENTS = 500
P99_MS = 1.0
MODELS = ("auto", "auto:small", "auto:large", "auto:fast", "family-1", "family-7", "p3/model-93")
WINDOWS = (
    Window("rpm", Dimension.REQUESTS, 60, 60_000),
    Window("tpm", Dimension.TOKENS, 60_000, 60_000),
)


def run(options: Options) -> Result:
    """Selects for requests of all sizes and names, with every lane's state known."""
    draw = random.Random(1)
    rounds = options.size(20_000, 300)
    deployments = [_deployment(n, draw) for n in range(DEPLOYMENTS)]
    index = Index(deployments, [CredentialRef(f"c{n}", f"p{n}") for n in range(PROVIDERS)])
    loads = loads_of([_reading(one, draw) for one in deployments])
    kept, samples = 0, []
    for n in range(rounds):
        features = _features(draw)
        began = time.perf_counter()
        chosen = select(index, features, loads, 1_800_000_000_000, n)
        samples.append((time.perf_counter() - began) * 1000)
        kept += isinstance(chosen, Selection)
    figures: dict[str, Any] = {
        "deployments": DEPLOYMENTS,
        "providers": PROVIDERS,
        "selections": rounds,
        "with_a_lane": kept,
        "ms": spread(samples, 4),
    }
    line = f"a selection     p50 {figures['ms']['p50']:.3f} ms, p99 {figures['ms']['p99']:.3f} ms"
    return judged("select", figures, [line], ("p99 (ms)", figures["ms"]["p99"], "<=", P99_MS))


def _deployment(number: int, draw: random.Random) -> Deployment:
    provider = f"p{number % PROVIDERS}"
    free = draw.random() < 0.5  # noqa: PLR2004 - half of them
    return Deployment(
        id=f"{provider}/model-{number}",
        provider=provider,
        model=f"model-{number}",
        type="openai-compatible",
        base_url=f"http://{provider}.invalid/v1",
        kinds=frozenset({Kind.CHAT}),
        family=f"family-{number % 20}",
        category=draw.choice(("small", "large", "reasoning")),
        context_tokens=draw.choice((8_192, 32_768, 131_072)),
        max_output_tokens=4_096,
        capabilities=draw.choice((None, frozenset({"chat", "stream", "tools", "json_schema"}))),
        price=Price(0, 0) if free else Price(draw.randrange(10**6), draw.randrange(10**7)),
        plans=(("free", Limits(windows=WINDOWS)),),
    )


def _reading(deployment: Deployment, draw: random.Random) -> LaneReading:
    backlog = (draw.randrange(3), draw.randrange(50), draw.randrange(500))
    return LaneState(
        lane=lane_id(deployment.id, "shared"),
        backlog=backlog,
        running=draw.randrange(5),
        open_ms=draw.choice((0, 1_800_000_030_000)),
        rate_per_s=1.0,
        free_requests=draw.randrange(60),
        dead=draw.random() < 0.02,  # noqa: PLR2004 - a few
        reason="",
        last_interactive_ms=0,
    )


def _features(draw: random.Random) -> Features:
    return Features(
        kind=Kind.CHAT,
        model=draw.choice(MODELS),
        input_tokens=draw.choice((50, 500, 5_000, 20_000)),
        output_tokens=draw.choice((50, 500)),
        max_output_tokens=draw.choice((None, 256)),
        capabilities=draw.choice((frozenset(), frozenset({"tools"}))),
        paid=draw.choice(tuple(Paid)),
        deadline_ms=draw.choice((None, 60_000, 600_000)),
        priority=draw.choice(tuple(Priority)),
    )
