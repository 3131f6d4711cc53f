"""Two providers with limits that are declared and never reached, to load the rest of the system.

With no limit declared, calls at once would have to grow by evidence first.
"""

from simulator import SimulatorConfig, load_config

WIDE = {
    "providers": {
        name: {
            "models": ["sim-small"],
            "limits": [{"requests": 10_000_000, "per": "1m", "kind": "bucket"}],
        }
        for name in ("alpha", "beta")
    }
}


def wide() -> SimulatorConfig:
    """The simulator's configuration."""
    return load_config(WIDE)
