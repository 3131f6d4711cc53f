"""Seven providers with the limits of free tiers, two keys each, and one that costs.

Figures are those of wire-facts.md and catalog-facts.yaml where they have any, else of their kind.
At `speed` 60 a minute lasts a second and a day 24 minutes.
"""

from collections.abc import Mapping
from typing import Any

_PACE = {"median_tokens": 48, "sigma": 0.5, "tokens_per_s": 300}
_PACIFIC = "America/Los_Angeles"


def _provider(
    personality: str,
    limits: list[Mapping[str, Any]],
    *,
    models: list[Mapping[str, Any]] | None = None,
    seed: int = 1,
    **more: Any,
) -> dict[str, Any]:
    model = {"id": "sim-small", "context_window": 131_072, "max_output_tokens": 4_096}
    return {
        "personality": personality,
        "keys": _keys(personality),
        "models": models or [model],
        "limits": limits,
        "latency": {"median_ms": 300, "sigma": 0.3, "seed": seed},
        "output": _PACE,
        **more,
    }


def _keys(personality: str, *, plan: str = "free") -> list[Mapping[str, Any]]:
    """Two keys of two accounts: where limits are an organisation's, each has its own."""
    return [
        {
            "id": f"{personality}-{number}",
            "key": f"sk-sim-{personality}-{number}",
            "organisation": f"org_{personality}_{number}",
            "plan": plan,
        }
        for number in (1, 2)
    ]


_PAID_MODEL = {
    "id": "sim-small",
    "context_window": 131_072,
    "max_output_tokens": 4_096,
    "price_input_usd_per_1m": 0.15,
    "price_output_usd_per_1m": 0.6,
}

SEVEN: Mapping[str, Any] = {
    "speed": 60,
    "providers": {
        "sim-groq": _provider(
            "groq",
            [
                {"requests": 30, "per": "1m", "kind": "bucket"},
                {"requests": 1_000, "per": "1d", "kind": "bucket"},
                {"tokens": 8_000, "per": "1m", "kind": "bucket"},
                {"tokens": 200_000, "per": "1d"},
            ],
        ),
        "sim-gemini": _provider(
            "gemini",
            [
                {"requests": 15, "per": "1m"},
                {"requests": 500, "per": "1d", "kind": "fixed", "anchor": _PACIFIC},
                {"tokens": 250_000, "per": "1m"},
            ],
            counts="input",
            seed=2,
        ),
        "sim-mistral": _provider(
            "mistral",
            [
                {"requests": 60, "per": "1m", "scope": "key"},
                {"tokens": 50_000, "per": "1m"},
                {"tokens": 4_000_000, "per": "30d", "scope": "key"},
            ],
            seed=3,
        ),
        "sim-cohere": _provider(
            "cohere",
            [
                {"requests": 20, "per": "1m"},
                {"tokens": 100_000, "per": "1m"},
                {"requests": 1_000, "per": "30d", "scope": "key"},
            ],
            seed=4,
        ),
        "sim-openrouter": _provider(
            "openrouter",
            [
                {"requests": 20, "per": "1m", "scope": "key"},
                {"requests": 1_000, "per": "1d", "kind": "fixed", "scope": "key"},
            ],
            seed=5,
        ),
        "sim-anthropic": _provider(
            "anthropic",
            [
                {"requests": 50, "per": "1m", "kind": "bucket"},
                {"requests": 1_000, "per": "1d"},
                {"input_tokens": 30_000, "per": "1m", "kind": "bucket"},
                {"output_tokens": 8_000, "per": "1m", "kind": "bucket"},
            ],
            seed=6,
        ),
        "sim-openai": _provider(
            "openai",
            [
                {"requests": 3, "per": "1m"},
                {"requests": 200, "per": "1d"},
                {"tokens": 40_000, "per": "1m"},
            ],
            seed=7,
        ),
        "sim-paid": _provider(
            "openai",
            [{"requests": 10_000, "per": "1m"}, {"tokens": 10_000_000, "per": "1m"}],
            models=[_PAID_MODEL],
            seed=8,
        )
        | {"keys": [{"id": "paid-1", "key": "sk-sim-paid-1", "plan": "paid"}]},
    },
}
