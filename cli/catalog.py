"""`headrace catalog check|refresh`: what we know of providers, and whether it is still so."""

import asyncio
import datetime as dt
import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from cli import codes, processes, refreshing, show
from shared import catalog, catalog_refresh
from shared.catalog_doubts import doubts
from shared.core.model import Kind
from shared.errors import ConfigError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
IDLE = "retired, reached in no way of ours, or without a model until you name one"
SHOWN_KINDS = (Kind.CHAT, Kind.EMBEDDING, Kind.TRANSCRIPTION)


@app.callback()
def main() -> None:
    """Look at the catalog of providers and models."""


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(envvar="HEADRACE_CONFIG", help="a configuration file; else the catalog"),
    ] = None,
    *,
    strict: Annotated[bool, typer.Option(help="exit code 1 where there are warnings")] = False,
) -> None:
    """Check a configuration file, or the catalog itself.

    Each problem is a line, and the exit code is 2. What is older than 90 days, doubtful or about to
    end is a warning.
    """
    refreshed = processes.load().refreshed
    problems = catalog.check(file, refreshed)
    what = file or "the catalog"
    if problems:
        raise ConfigError(f"{what} has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    built, own = catalog.load(file, refreshed)
    said = catalog.facts(refreshed) if file is None else own
    console = show.out()
    console.print(f"{what} is right: {_summary(built, said.providers)}")
    if idle := sorted(set(said.providers) - {provider.name for provider in built.providers}):
        console.print(f"known beside, and not served: {', '.join(idle)} ({IDLE})")
    found = doubts(said.providers, _today())
    for line in found:
        console.print(f"warning: {line}")
    raise typer.Exit(codes.FAILED if strict and found else codes.OK)


@app.command()
def refresh(
    *,
    provider: Annotated[
        str | None, typer.Option(help="this one only; else all there is a key for")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="write without asking")] = False,
    file: Annotated[
        Path | None, typer.Option(help="what to write; else HEADRACE_CATALOG or the data directory")
    ] = None,
    config: processes.Config = None,
) -> None:
    """Ask the providers which models they serve, show what changes, and write it to a file.

    The file lies between our catalog and your configuration. Exit code 1: a provider did not tell.
    """
    settings = processes.load(config=config)
    target = file or settings.refreshed
    before = catalog.read_config(target if target.exists() else None)
    known = catalog.facts(target)
    own = catalog.read_config(settings.config)
    asked = refreshing.asked_of(known, own, os.environ, provider)
    if not asked:
        raise ConfigError("no provider has a key: set one, as in GROQ_API_KEY=…")
    console = show.out()
    answers = asyncio.run(refreshing.ask(asked))
    diffs = [
        catalog_refresh.diff(each.name, known.providers[each.name], each.models, str(_today()))
        for each in answers
        if each.problem is None
    ]
    for each in answers:
        if each.problem is not None:
            show.err().print(f"{each.name}: {each.problem}")
    for found in diffs:
        for line in catalog_refresh.lines(found):
            console.print(line)
    changes = sum(len(found.changes) for found in diffs)
    if changes and (yes or typer.confirm(f"Write {changes} change(s) to {target}?")):
        refreshing.write(target, catalog_refresh.overlay(before, diffs))
        console.print(f"{target} is written; it is used from the next start on")
    elif changes:
        console.print("nothing is written")
    failed = any(each.problem is not None for each in answers)
    raise typer.Exit(codes.FAILED if failed else codes.OK)


def _summary(built: catalog.Catalog, named: Collection[str]) -> str:
    """How many providers and models of each kind there are, of those that are named."""
    models = [each for each in built.deployments if each.provider in named]
    kinds = Counter(kind for each in models for kind in SHOWN_KINDS if kind in each.kinds)
    told = ", ".join(f"{kinds[kind]} {kind.value}" for kind in SHOWN_KINDS if kinds[kind])
    count = sum(provider.name in named for provider in built.providers)
    return f"{count} provider(s), {len(models)} model(s)" + (f" ({told})" if told else "")


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
