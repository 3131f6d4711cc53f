"""`python -m simulator`: serve simulated providers from a file or a preset."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simulator.config import SimulatorConfig
from simulator.loading import load_file
from simulator.presets import PRESETS, preset
from simulator.reading import ConfigError
from simulator.server import Address, address_of, listen, serve_on


def run(config: SimulatorConfig, host: str = "127.0.0.1", port: int = 9200) -> None:
    """Print where the providers are and serve them until SIGINT or SIGTERM.

    Raises:
        OSError: the port is taken.
    """
    sockets = listen(config, host, port)
    address = address_of(config, host, [each.getsockname()[1] for each in sockets])
    sys.stdout.write("\n".join(greeting(config, address)) + "\n")
    sys.stdout.flush()
    serve_on(config, sockets)


def greeting(config: SimulatorConfig, address: Address) -> list[str]:
    """One line with the address, then one a provider with its base URL and a key."""
    width = max(len(provider.name) for provider in config.providers)
    return [
        f"simulator on {address.url} (speed {config.speed:g}, admin {address.admin_url}/)",
        *(
            f"  {provider.name:<{width}}  {address.base_urls[provider.name]}"
            f"  key {provider.keys[0].key}  model {provider.models[0].id}"
            for provider in config.providers
        ),
    ]


def _speed(text: str) -> float:
    speed = float(text)
    if not speed > 0:
        raise ValueError(text)
    return speed


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments and serve; returns an exit code."""
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", type=Path, help="a YAML file")
    source.add_argument("--preset", choices=sorted(PRESETS), default="free_tiers")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--speed", type=_speed, help="10: a simulated minute lasts 6 seconds")
    parser.add_argument("--own-ports", action="store_true", help="a port a provider")
    given = parser.parse_args(argv)
    try:
        config = load_file(given.config) if given.config else preset(given.preset)
        config = replace(
            config,
            speed=config.speed if given.speed is None else given.speed,
            own_ports=given.own_ports or config.own_ports,
        )
        run(config, given.host, given.port)
    except (ConfigError, OSError) as exc:
        sys.stderr.write(f"simulator: {exc}\n")
        return 2
    return 0
