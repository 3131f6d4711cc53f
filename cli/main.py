"""The `headrace` command: which verbs there are, and how trouble is told.

A verb's module is imported when it is used, so that `headrace --help` stays quick: `VERBS` is all
that the help page needs.

Exit codes: 0 done, 1 done but something failed, 2 wrong usage or configuration, 3 Headrace cannot
be reached, 130 interrupted.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from cli import codes
from cli.loading import uncollected, without
from cli.plain import plain
from shared.errors import GatewayError

VERBS: Mapping[str, tuple[str, str]] = {
    "up": ("cli.up", "serve everything on this machine, its store included"),
    "api": ("cli.processes", "run one API process"),
    "workers": ("cli.processes", "run one worker process"),
    "scheduler": ("cli.processes", "run one scheduler process"),
    "submit": ("cli.submit", "hand in one text or many, and follow them"),
    "chat": ("cli.chat", "talk to a model; without a text, a conversation"),
    "batch": ("cli.batch", "run a file of requests as one batch, and write its results"),
    "summarize": ("cli.summarize", "summarise documents, one by one or together"),
    "transcribe": ("cli.transcribe", "turn audio and video into text and subtitles"),
    "jobs": ("cli.jobs", "list, show, watch, cancel and replay jobs"),
    "providers": ("cli.providers", "list, test, add and remove providers and their keys"),
    "import": ("cli.importing", "bring providers and keys over from the Lambda LLM Proxy"),
    "keys": ("cli.callers", "list, create, rotate and revoke API keys"),
    "engine": ("cli.engine", "serve one small model on this machine, without a key"),
    "usage": ("cli.usage", "show calls, tokens, audio, cost and what was free"),
    "catalog": ("cli.catalog", "check what is known of providers, or ask them anew"),
    "doctor": ("cli.doctor", "look for what is wrong and say what to do"),
    "simulate": ("cli.simulate", "run rate-limited fake providers"),
}


UNUSED: Mapping[str, tuple[str, ...]] = {"up": ("rich",)}
"""What a verb's libraries load where it is installed, and the verb does not use."""
PROCESSES = frozenset({"api", "workers", "scheduler"})  # their log is where a fault belongs


class LazyVerbs(TyperGroup):
    """A group whose verbs are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all verbs, in the order they are shown."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb itself; None where there is none of this name."""
        del ctx
        if cmd_name not in VERBS:
            return None
        with uncollected(), without(*UNUSED.get(cmd_name, ())):
            module = importlib.import_module(VERBS[cmd_name][0])
        app = getattr(module, f"{cmd_name}_app", None) or module.app
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of verbs on the help page, without importing any of them."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the base class does, with the names known for its suggestions."""
        self.commands = cast("Any", dict.fromkeys(VERBS))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=LazyVerbs,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 20 ms

    try:
        print(f"headrace {version('headrace')}")
    except PackageNotFoundError:
        print("headrace (not installed)")
    raise typer.Exit


@app.callback()
def headrace(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """A durable, quota-aware queue for LLM work over many providers.

    Begin with `headrace up`; then `headrace submit "Hello"`. Trouble? `headrace doctor`.
    """
    del version


def main() -> None:
    """Runs the command; an error of ours becomes one line on stderr and exit code 2 or 3."""
    try:
        app(prog_name="headrace")
    except GatewayError as exc:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        print(plain(f"headrace: {exc}"), file=sys.stderr)
        sys.exit(codes.of(exc))
    except KeyboardInterrupt:
        sys.exit(codes.INTERRUPTED)
    except Exception as exc:
        if os.environ.get("HEADRACE_DEBUG") or set(sys.argv[1:2]) & PROCESSES:
            raise
        hint = "this is a fault of ours; HEADRACE_DEBUG=1 shows where"
        print(plain(f"headrace: {type(exc).__name__}: {exc} ({hint})"), file=sys.stderr)
        sys.exit(codes.FAILED)


if __name__ == "__main__":
    main()
