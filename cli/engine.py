"""`headrace engine chat|speech`: one local engine, as `headrace up --local` runs it."""

from typing import Annotated

import typer

from cli.engines import found, limits, local
from shared.credentials import new_api_key
from shared.errors import ConfigError
from shared.nearest import unknown

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def engine(
    kind: Annotated[str, typer.Argument(help="chat or speech")],
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 0,
) -> None:
    """Serve one small model on this machine's loopback, as OpenAI does, until Ctrl-C.

    Callers need the key in HEADRACE_ENGINE_KEY; without one, a key is made and printed.
    """
    if kind not in found.KINDS:
        raise ConfigError(unknown(kind, found.KINDS, "engine"))
    found.KINDS[kind].file()
    key = local.key_of_environment()
    if key is None:
        key = new_api_key()
        print(f"API key: {key.reveal()}", flush=True)
    limits.stand_back()
    if kind == found.CHAT.name:
        from cli.engines import chat  # noqa: PLC0415 - each process loads its own engine only

        chat.serve(port, key.reveal())
    else:
        from cli.engines import speech  # noqa: PLC0415

        speech.serve(port, key.reveal())
