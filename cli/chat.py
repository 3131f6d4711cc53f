"""`headrace chat`: talk to a model, streamed; without a text on a terminal, a conversation."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import orjson
import typer

from cli import codes, show
from cli.client import HELD_S, Api, find
from cli.plain import write
from cli.reading import delta, payload
from shared.errors import ConfigError, GatewayError, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None)
DONE = "[DONE]"


@app.command()
def chat(
    words: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="what to say")] = None,
    *,
    model: Annotated[str, typer.Option(help="exact, family, or auto[:small…]")] = "auto",
    system: Annotated[str | None, typer.Option(help="what the model is told first")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="of each answer")] = None,
    url: Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")] = None,
) -> None:
    """Talk to a model; its answer is printed as it comes.

    Without TEXT: a conversation on a terminal (end it with Ctrl-D), else stdin is the text.
    """
    text = " ".join(words or [])
    if not text and not sys.stdin.isatty():
        text = sys.stdin.read().strip()
        if not text:
            raise ConfigError("nothing to say: give a text, or pipe one in")
    talk = Talk(model, max_tokens, system)
    if not text:
        raise typer.Exit(_converse(talk, url))
    raise typer.Exit(asyncio.run(_say_once(talk, text, url)))


class Talk:
    """A conversation: what has been said so far."""

    def __init__(self, model: str, max_tokens: int | None, system: str | None) -> None:
        self._request: dict[str, Any] = {"model": model, "stream": True}
        if max_tokens is not None:
            self._request["max_tokens"] = max_tokens
        self.messages = [{"role": "system", "content": system}] if system else []
        self.deployment: str | None = None

    async def say(self, api: Api, text: str) -> None:
        """Says `text` and prints the answer as it comes. Refused: what went wrong, in words.

        A turn that fails leaves the conversation as it was before it.
        """
        said = [*self.messages, {"role": "user", "content": text}]
        body = orjson.dumps({**self._request, "messages": said})
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        answer = ""
        async with api.stream(
            "POST", "/v1/chat/completions", content=body, headers=headers, quiet_s=HELD_S
        ) as (found, events):
            self.deployment = found.get("x-headrace-deployment")
            async for event in events:
                if event.data == DONE:
                    break
                chunk = payload(event)
                if error := chunk.get("error"):
                    sys.stdout.write("\n" if answer else "")
                    raise Refused(str(error.get("message") or error), status=502)
                answer += (part := delta(chunk))
                write(part)
                sys.stdout.flush()
        sys.stdout.write("\n")
        self.messages = [*said, {"role": "assistant", "content": answer}]


async def _say_once(talk: Talk, text: str, url: str | None) -> int:
    async with Api(find(url)) as api:
        try:
            await talk.say(api, text)
        except Refused as exc:
            if exc.status < 500:  # noqa: PLR2004 - ours to correct
                raise
            show.err().print(f"failed: {exc}")
            return codes.FAILED
    if talk.deployment and sys.stderr.isatty():
        show.err().print(f"({talk.deployment})")
    return codes.OK


def _converse(talk: Talk, url: str | None) -> int:
    err = show.err()
    with asyncio.Runner() as runner:
        api = Api(find(url))
        runner.run(api.get("/v1/models"))  # a wrong address or key shows before the first turn
        err.print("Ctrl-D ends the conversation, Ctrl-C an answer.", style="dim")
        try:
            while True:
                if text := input("> ").strip():
                    _turn(runner, talk.say(api, text))
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
        runner.run(api.close())
    return codes.OK


def _turn(runner: asyncio.Runner, saying: Coroutine[Any, Any, None]) -> None:
    try:
        runner.run(saying)
    except GatewayError as exc:
        show.err().print(f"{exc}", style="red")
    except KeyboardInterrupt:
        sys.stdout.write("\n")
