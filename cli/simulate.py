"""`headrace simulate`: rate-limited fake providers, and the configuration that uses them."""

import io
import shlex
import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import yaml

import simulator
from cli import typed
from cli.home import write_private
from shared.errors import ConfigError
from simulator.main import run
from simulator.presets import PRESETS
from simulator.server import address_of

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def simulate(
    *,
    preset: Annotated[str, typer.Option(help=", ".join(PRESETS))] = "free_tiers",
    config: Annotated[Path | None, typer.Option(help="a simulator's YAML file instead")] = None,
    speed: Annotated[float | None, typer.Option(help="10: a minute lasts 6 s")] = None,
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="the port to listen on")] = 9200,
    write: Annotated[
        Path | None, typer.Option(help="write Headrace's configuration for them to this file")
    ] = None,
) -> None:
    """Run rate-limited fake providers until Ctrl-C. No key and no network are needed.

    Then, elsewhere: `headrace up --config FILE` with the file that --write has written.
    """
    if speed is not None and not speed > 0:
        raise ConfigError(f"--speed is {speed}; it must be above 0")
    try:
        found = simulator.load_file(config) if config else simulator.preset(preset)
        found = found if speed is None else replace(found, speed=speed)
        for each in range(port, port + _ports(found)):  # before anything is said
            with socket.create_server((host, each), family=_family(host)):
                pass
        text = headrace_yaml(found, host, port)
        if write is not None:
            write_private(write, text)
            at = shlex.quote(str(write))
            print(f"wrote {write}; use it with: {typed.name()} up --config {at}", flush=True)
        else:
            print(f"# headrace up --config FILE, with this in FILE:\n{text}", flush=True)
        run(found, host, port)
    except simulator.ConfigError as exc:
        raise ConfigError(str(exc)) from exc
    except OSError as exc:
        raise ConfigError(f"the simulator cannot run on {host}:{port}: {exc}") from exc


def headrace_yaml(config: simulator.SimulatorConfig, host: str, port: int) -> str:
    """Headrace's configuration for these providers, as YAML."""
    address = address_of(config, host, [port + i for i in range(_ports(config))])
    text = io.StringIO()
    yaml.safe_dump(simulator.headrace_config(config, address), text, sort_keys=False, width=100)
    return text.getvalue()


def _ports(config: simulator.SimulatorConfig) -> int:
    return 1 + (len(config.providers) if config.own_ports else 0)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
