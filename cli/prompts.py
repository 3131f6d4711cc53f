"""What to hand in: texts, lines of a file, or JSON lines, each as the body of `POST /v1/jobs`."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from shared.errors import ConfigError

LABEL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Ask:
    """One job to hand in. `label` is what a person recognises it by."""

    label: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What is the same for all jobs of one call; None leaves it to Headrace."""

    kind: str = "chat"
    model: str = "auto"
    priority: str | None = None
    deadline_s: int | None = None
    max_tokens: int | None = None
    stream: bool = False
    webhook: str | None = None
    share: str | None = None
    cache_s: int | None = None
    hedge: str | None = None


def asks(texts: Iterable[str], file: Path | None, options: Options) -> list[Ask]:
    """The jobs for `texts`, then those of `file` (`-` is stdin). ConfigError names a bad line."""
    found = [_of_text(text, options) for text in texts]
    if file is not None:
        found.extend(_of_file(file, options))
    if not found:
        raise ConfigError("nothing to hand in: give a text, or --file with one prompt a line")
    return found


def _of_file(file: Path, options: Options) -> Iterator[Ask]:
    name = "stdin" if str(file) == "-" else str(file)
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{name} cannot be read: {exc}") from exc
    lines = [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    json_lines = file.suffix == ".jsonl" or all(line.startswith("{") for _, line in lines)
    for number, line in lines:
        if json_lines:
            yield _of_json(line, f"{name}, line {number}", options)
        else:
            yield _of_text(line, options)


def _of_text(text: str, options: Options) -> Ask:
    if options.kind == "embedding":
        return _ask(text, {"input": text}, options)
    message = {"role": "user", "content": text}
    return _ask(text, {"messages": [message]}, options)


def _of_json(line: str, where: str, options: Options) -> Ask:
    """A string, `{"prompt": …}`, a request (`messages` or `input`), or a whole job (`request`)."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise ConfigError(f"{where}: not JSON: {exc}") from exc
    if isinstance(value, str):
        return _of_text(value, options)
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a text or an object")
    if isinstance(value.get("request"), dict):
        body = {**_common(options), **value}
        asked = value["request"]
        body["request"] = {**_defaults(str(body["kind"]), asked, options), **asked}
        return Ask(_label(body["request"]), body)
    if "messages" in value or "input" in value:
        kind = "chat" if "messages" in value else "embedding"
        request = {**_defaults(kind, value, options), **value}
        return Ask(_label(value), {**_common(options), "kind": kind, "request": request})
    if isinstance(value.get("prompt"), str):
        return _of_text(value["prompt"], options)
    hint = "; a file of a batch is run by `headrace batch FILE`" if "custom_id" in value else ""
    raise ConfigError(f"{where}: expected one of prompt, messages, input or request{hint}")


def _ask(text: str, asked: Mapping[str, Any], options: Options) -> Ask:
    request = {**_defaults(options.kind, asked, options), **asked}
    return Ask(short(text), {**_common(options), "request": request})


def _defaults(kind: str, asked: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """What the command line says of every request; what a request says itself wins."""
    found: dict[str, Any] = {"model": options.model}
    if kind == "chat" and not {"max_tokens", "max_completion_tokens"} & asked.keys():
        found |= {} if options.max_tokens is None else {"max_tokens": options.max_tokens}
    return found


def _common(options: Options) -> dict[str, Any]:
    body: dict[str, Any] = {"kind": options.kind}
    if options.priority is not None:
        body["priority"] = options.priority
    if options.deadline_s is not None:
        body["deadline_s"] = options.deadline_s
    if options.share is not None:
        body["share"] = options.share
    if options.cache_s is not None:
        body["cache_s"] = options.cache_s
    if options.hedge is not None:
        body["hedge"] = options.hedge
    if options.stream:
        body["stream"] = True
    if options.webhook is not None:
        body["webhook"] = options.webhook
    return body


def _label(request: Mapping[str, Any]) -> str:
    messages = request.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        return short(str(messages[-1].get("content", "")))
    return short(str(request.get("input", "")))


def short(text: str, most: int = LABEL_CHARS) -> str:
    """The text on one line, cut to `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
