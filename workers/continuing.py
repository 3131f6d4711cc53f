"""Goes on with an answer whose stream broke: from the text so far, on whoever serves the job next.

Pure. The text so far goes along as the beginning of the assistant's turn where a deployment takes
one (`Quirks.prefill`), else with an instruction to go on. What comes back is joined to what was
told: one stream, one answer, one usage.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import orjson

from shared.core.model import Deployment, Usage
from shared.core.outcome import Succeeded
from workers.assemble import Assembler
from workers.providers import normalise
from workers.providers.base import Call
from workers.providers.openai_compatible import OUTPUT_LIMITS

GO_ON = (
    "Your answer above was cut off. Go on with it exactly where it stops, in the middle of a word"
    " if need be: begin with the very next character. Repeat nothing, announce nothing, add no"
    " remark."
)
_LEAST_ECHO_CHARS = 12  # so much said again from the start is no accident
_ROUNDING_TOKENS = 8  # pieces counted one by one come to a little more than the whole
_CONTINUABLE = frozenset({"role", "content", "reasoning_content", "reasoning", "refusal"})
_FREE_TEXT = (None, "text")


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller has of an answer: its `text`, all that was `spoken` (reasoning too), its end.

    `obstacle` says why it cannot be gone on with; "" where it can.
    """

    chunks: tuple[bytes, ...] = ()
    id: str | None = None
    created: int | None = None
    text: str = ""
    spoken: str = ""
    finish_reason: str | None = None
    obstacle: str = ""


NOTHING = Told()


def told_of(chunks: Sequence[bytes], request: Mapping[str, Any]) -> Told:
    """What these chunks (as told, in order) come to, for an answer to `request`."""
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(orjson.loads(chunk))
    whole = assembler.completion({})
    choices = whole["choices"]
    message = choices[0]["message"] if choices else {}
    return Told(
        chunks=tuple(chunks),
        id=whole.get("id"),
        created=whole.get("created"),
        text=message.get("content") or "",
        spoken=assembler.texts(),
        finish_reason=choices[0]["finish_reason"] if choices else None,
        obstacle=_obstacle(message, request),
    )


def _obstacle(message: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    if (request.get("n") or 1) > 1:
        return "it has several choices"
    form = request.get("response_format")
    if isinstance(form, Mapping) and form.get("type") not in _FREE_TEXT:
        return "its JSON must come from one model"
    if message.get("tool_calls"):
        return "a tool call had begun"
    if message.get("refusal") or not _CONTINUABLE.issuperset(message):
        return "it is more than text"
    return ""


def takes_prefill(call: Call) -> bool:
    """Whether the deployment goes on with an assistant's turn that stands last.

    Models that think first refuse it, or think about it anew.
    """
    deployment: Deployment = call.deployment
    thinks = "reasoning" in (deployment.capabilities or ()) or call.request.get("reasoning_effort")
    return not thinks and any(fnmatchcase(deployment.model, like) for like in call.quirks.prefill)


def resumed(call: Call, told: Told) -> Call:
    """The call that asks for the rest; as it was where nothing of the answer itself was told."""
    if not told.text.strip():
        return call
    used = call.count(told.text)
    messages: list[Any] = [*call.request["messages"]]
    if takes_prefill(call):
        messages.append({"role": "assistant", "content": told.text.rstrip()})
    else:
        messages.append({"role": "assistant", "content": told.text})
        messages.append({"role": "user", "content": GO_ON})
    request = {**call.request, "messages": messages}
    for name in OUTPUT_LIMITS:
        if isinstance(request.get(name), int):
            request[name] = max(1, request[name] - used)
    return replace(call, request=request, input_tokens=call.input_tokens + used)


def spent(
    history: Sequence[Mapping[str, Any]], told: Told, input_tokens: int, count: Callable[[str], int]
) -> Usage:
    """What the attempts before this one used: as recorded, an estimate where one left no record."""
    total = Usage(estimated=True)
    for each in history:
        usage = each.get("usage") or {}
        total = plus(total, Usage(usage.get("input_tokens", 0), usage.get("output_tokens", 0)))
    unrecorded = count(told.spoken) - total.output_tokens if told.spoken else 0
    if unrecorded > _ROUNDING_TOKENS:
        total = plus(total, Usage(input_tokens, unrecorded))
    return total


def plus(a: Usage, b: Usage) -> Usage:
    """Two usages as one; estimated where either is."""
    return Usage(
        a.input_tokens + b.input_tokens,
        a.output_tokens + b.output_tokens,
        a.cached_tokens + b.cached_tokens,
        a.reasoning_tokens + b.reasoning_tokens,
        a.audio_seconds + b.audio_seconds,
        a.estimated or b.estimated,
    )


class Seam:
    """Joins a continuation to what was told: one id, no second beginning, nothing said twice.

    `before` is what earlier attempts used. Some hosts send the beginning they were given back, and
    some models say it all again: that is left out.
    """

    def __init__(self, told: Told, before: Usage, *, prefilled: bool) -> None:
        self._told = told
        self._before = before
        self._known = told.text.rstrip() if prefilled else told.text
        self._trimmed = prefilled and self._known != told.text
        self._held: str | None = "" if told.text else None
        self._assembler = Assembler()
        for chunk in told.chunks:
            self._assembler.add(orjson.loads(chunk))

    def join(self, chunk: bytes) -> bytes | None:
        """The chunk as the caller gets it; None where it says nothing new."""
        value = orjson.loads(chunk)
        for name, known in (("id", self._told.id), ("created", self._told.created)):
            if known is not None:
                value[name] = known
        if not value["choices"] and value.get("usage"):
            value["usage"] = self._total(normalise.usage_of(value["usage"]))[1]
            return orjson.dumps(value)
        said = [self._choice(choice) for choice in value["choices"]]
        if not any(said):
            return None
        self._assembler.add(value)
        return orjson.dumps(value)

    def whole(self, outcome: Succeeded) -> Succeeded:
        """The whole answer; `total` is what it used over all attempts."""
        total, shape = self._total(outcome.usage)
        body = orjson.dumps(self._assembler.completion(shape))
        return replace(outcome, body=body, total=total)

    def _total(self, usage: Usage) -> tuple[Usage, dict[str, Any]]:
        total = plus(self._before, usage)
        return total, normalise.usage_shape(total, None)

    def _choice(self, choice: dict[str, Any]) -> bool:
        delta, ends = choice["delta"], bool(choice.get("finish_reason"))
        delta.pop("role", None)
        text = delta.pop("content", None)
        fresh = self._fresh(text or "", ends=ends)
        if fresh:
            delta["content"] = fresh
        return ends or any(value not in (None, "", []) for value in delta.values())

    def _fresh(self, text: str, *, ends: bool) -> str:
        """What of it was not told; held back while it may be the beginning said again."""
        if self._held is None:
            return text
        said = self._held + text
        echo = len(self._known) >= _LEAST_ECHO_CHARS
        blank = self._trimmed and not said.strip()
        if not ends and (not said or blank or (echo and self._known.startswith(said))):
            self._held = said
            return ""
        self._held = None
        if echo and said.startswith(self._known):
            said = said[len(self._known) :]
        return said.lstrip() if self._trimmed else said
