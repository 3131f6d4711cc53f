"""`headrace api|workers|scheduler`: one process of one kind, for production or under `up`."""

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from cli.loading import uncollected
from shared import settings
from shared.errors import ConfigError

NEEDLESS = ("opentelemetry", "rich", "watchfiles")
"""What structlog, redis-py and uvicorn load where it is installed, and no server of ours uses."""

Config = Annotated[Path | None, typer.Option(help="a YAML file laid over the catalog")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error")]

api_app = typer.Typer(add_completion=False, rich_markup_mode=None)
workers_app = typer.Typer(add_completion=False, rich_markup_mode=None)
scheduler_app = typer.Typer(add_completion=False, rich_markup_mode=None)


@api_app.command()
def api(
    *,
    host: Annotated[str | None, typer.Option(help="the address to listen on")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one")] = None,
    config: Config = None,
    log_level: LogLevel = None,
) -> None:
    """Run one API process. Its store is at REDIS_URL."""
    found = load(host=host, port=port, config=config, log_level=log_level)
    begin("api", "api.main", found, counting=True)


@workers_app.command()
def workers(
    *,
    providers: Annotated[
        str | None, typer.Option(help="the providers it works for, comma-separated; else all")
    ] = None,
    config: Config = None,
    log_level: LogLevel = None,
) -> None:
    """Run one worker process. Its store is at REDIS_URL."""
    found = load(config=config, log_level=log_level)
    names = tuple(part.strip() for part in (providers or "").split(",") if part.strip())
    if providers is not None and not names:
        raise ConfigError("--providers names none: give their names, as in --providers groq,gemini")
    begin("workers", "workers.pool", found, counting=True, providers=names or None)


@scheduler_app.command()
def scheduler(*, config: Config = None, log_level: LogLevel = None) -> None:
    """Run one scheduler process. Several are safe: one leads. Its store is at REDIS_URL."""
    found = load(config=config, log_level=log_level)
    begin("scheduler", "scheduler.main", found)


def load(**given: Any) -> settings.Settings:
    """The settings of this process; what the command line says wins over the environment."""
    return settings.load(**given)


def begin(
    process: str, module: str, found: settings.Settings, *, counting: bool = False, **more: Any
) -> None:
    """Runs a process kind in this process, small from its start: see `shared.starting`."""
    for name in NEEDLESS:
        sys.modules.setdefault(name, cast("Any", None))  # an import fails as if it were not there
    with uncollected():
        base = importlib.import_module("shared.starting").begun(found, process, counting=counting)
        run = importlib.import_module(module).run
    run(found, base, **more)
