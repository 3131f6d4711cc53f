"""`headrace catalog check`."""

from pathlib import Path
from typing import Annotated

import typer

from shared import catalog
from shared.errors import ConfigError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)


@app.callback()
def main() -> None:
    """Look at the catalog of providers and models."""


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(envvar="HEADRACE_CONFIG", help="a configuration file")
    ] = None,
) -> None:
    """Check a configuration file; each problem is a line, and the exit code is 2."""
    if file is None:
        raise ConfigError("name a file, or set HEADRACE_CONFIG")
    problems = catalog.check(file)
    if problems:
        raise ConfigError(f"{file} has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    print(f"{file} is right")
