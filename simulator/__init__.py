"""Rate-limited fake providers that speak the real wire formats. Imports nothing of ours."""

from simulator.answers import expected_answer
from simulator.app import Simulator
from simulator.config import (
    Announce,
    Key,
    Latency,
    LimitSpec,
    Model,
    Output,
    SimulatedProvider,
    SimulatorConfig,
)
from simulator.headrace import headrace_config
from simulator.loading import ConfigError, load_config, load_file
from simulator.presets import preset
from simulator.server import Address, running, serve

__all__ = [
    "Address",
    "Announce",
    "ConfigError",
    "Key",
    "Latency",
    "LimitSpec",
    "Model",
    "Output",
    "SimulatedProvider",
    "Simulator",
    "SimulatorConfig",
    "expected_answer",
    "headrace_config",
    "load_config",
    "load_file",
    "preset",
    "running",
    "serve",
]
