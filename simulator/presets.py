"""Ready-made sets of providers, as the same mappings a YAML file would hold."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from simulator.config import SimulatorConfig
from simulator.loading import load_config
from simulator.reading import ConfigError
from simulator.seven import SEVEN

_CHAT = {"id": "sim-small", "context_window": 131_072, "max_output_tokens": 4_096}
_HEARS = {"id": "sim-whisper", "kinds": ["transcription"]}
_PACE = {"median_tokens": 48, "sigma": 0.5, "tokens_per_s": 300}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Three free tiers with the shapes of real ones: day and minute, minute, and second windows.
    "free_tiers": {
        "providers": {
            "alpha": {
                "dialect": "groq",
                "keys": [{"id": "alpha-1", "key": "sk-sim-alpha-1", "organisation": "org_alpha"}],
                "models": [_CHAT, _HEARS],
                "limits": [
                    {"requests": 30, "per": "1m", "kind": "bucket"},
                    {"requests": 1_000, "per": "1d", "kind": "bucket"},
                    {"tokens": 8_000, "per": "1m", "kind": "bucket"},
                    {"tokens": 200_000, "per": "1d"},
                ],
                "latency": {"median_ms": 250, "sigma": 0.3, "seed": 1},
                "output": _PACE,
            },
            "beta": {
                "dialect": "openai",
                "models": [_CHAT, {"id": "sim-embed", "kinds": ["embedding"]}, _HEARS],
                "limits": [
                    {"requests": 15, "per": "1m", "kind": "fixed"},
                    {"requests": 1_500, "per": "1d", "kind": "fixed"},
                    {"tokens": 1_000_000, "per": "1m", "kind": "fixed"},
                ],
                "latency": {"median_ms": 600, "sigma": 0.4, "seed": 2},
                "output": _PACE,
            },
            "gamma": {
                "dialect": "mistral",
                "models": [_CHAT, {"id": "sim-large", "category": "large"}],
                "limits": [
                    {"requests": 1, "per": "1s", "scope": "key"},
                    {"tokens": 500_000, "per": "1m"},
                    {"concurrency": 4, "scope": "key"},
                ],
                "latency": {"median_ms": 400, "sigma": 0.4, "seed": 3},
                "output": _PACE,
            },
        }
    },
    # Three window kinds side by side, and nothing else in the way.
    "makespan": {
        "speed": 10,
        "providers": {
            name: {
                "models": [_CHAT],
                "limits": [{"requests": limit, "per": "1m", "kind": kind}],
                "output": {"median_tokens": 16},
                "latency": {"median_ms": 500},
            }
            for name, limit, kind in (
                ("alpha", 60, "sliding"),
                ("beta", 120, "fixed"),
                ("gamma", 300, "bucket"),
            )
        },
    },
    # Whisper three times over, each with its own seconds of audio an hour; speed 60: in a minute.
    "whispers": {
        "speed": 60,
        "providers": {
            f"sim-{name}": {
                "personality": name,
                "models": [
                    {
                        "id": "sim-whisper",
                        "kinds": ["transcription"],
                        "max_audio_seconds": longest,
                        "min_billed_seconds": 10 if name == "groq" else 0,
                    }
                ],
                "limits": [
                    {"audio_seconds": hour, "per": "1h", "kind": "bucket"},
                    {"requests": 1_200, "per": "1h", "kind": "bucket"},
                ],
                "latency": {"median_ms": 300, "sigma": 0.3, "seed": seed},
                "output": {"audio_x": 150},
            }
            for seed, (name, hour, longest) in enumerate(
                (("groq", 7_200, 600), ("openai", 14_400, 900), ("mistral", 3_600, 1_800)), 1
            )
        },
    },
    # Every personality at once: seven free tiers with caps of the day or month, and a paid one.
    "seven": SEVEN,
    # No limits and no delay: what the rest of the system can do.
    "unlimited": {
        "providers": {
            name: {"models": [_CHAT, {"id": "sim-embed", "kinds": ["embedding"]}]}
            for name in ("alpha", "beta")
        }
    },
}


def preset_mapping(name: str) -> dict[str, Any]:
    """A preset as a mapping of one's own; raises `ConfigError` for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return deepcopy(dict(PRESETS[name]))


def preset(name: str, **changes: Any) -> SimulatorConfig:
    """A preset read; `changes` replace its top-level keys, such as `speed` or `own_ports`."""
    return load_config(preset_mapping(name) | changes)
