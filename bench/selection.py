"""How long a selection takes over 500 deployments of 30 providers.

Judged by its own processor time: it never waits, and what other programs take is not its doing.
"""

import random
import time
from typing import Any

from bench.figures import Options, Result, judged, spread
from shared.core.analysis import TYPES
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
from shared.core.pace import Pace
from shared.core.ranking import BY_MODE, rule_for
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
    kept, samples = 0, dict[bool, list[float]]({True: [], False: []})
    wall: list[float] = []
    seen = set[tuple[object, ...]]()
    for n in range(rounds):
        features = _features(draw)
        alike = (features.model, features.capabilities, features.paid, rule_for(features))
        began, began_cpu = time.perf_counter(), time.thread_time_ns()
        chosen = select(index, features, loads, 1_800_000_000_000, n)
        samples[alike in seen].append((time.thread_time_ns() - began_cpu) / 1e6)
        wall.append((time.perf_counter() - began) * 1000)
        seen.add(alike)
        kept += isinstance(chosen, Selection)
    figures: dict[str, Any] = {
        "deployments": DEPLOYMENTS,
        "providers": PROVIDERS,
        "selections": rounds,
        "with_a_lane": kept,
        "cpu_ms": spread(samples[True], 4),
        "first_of_its_kind_cpu_ms": spread(samples[False], 4),
        "wall_ms": spread(wall, 4),
    }
    lines = [
        "a selection     p50 {p50:.3f} ms, p99 {p99:.3f} ms of CPU".format(**figures["cpu_ms"]),
        "first of a kind p50 {p50:.2f} ms, most {max:.2f} ms: its table is made then".format(
            **figures["first_of_its_kind_cpu_ms"]
        ),
    ]
    return judged("select", figures, lines, ("p99 (ms)", figures["cpu_ms"]["p99"], "<=", P99_MS))


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
        pace=Pace(
            50,
            first_ms=draw.uniform(50, 2_000),
            each_us=draw.uniform(500, 50_000),
            total_ms=1_000.0,
            output_tokens=draw.uniform(10, 500),
        ),
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
        mode=draw.choice((None, None, *BY_MODE)),
        request_type=draw.choice(TYPES),
        sticky=draw.choice((None, lane_id("p3/model-93", "shared"))),
    )
