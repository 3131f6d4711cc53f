"""The adapter for every host that speaks OpenAI's chat completions and embeddings."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared.core.model import Kind, Usage
from shared.core.outcome import Failed, Outcome, Succeeded
from shared.credentials import Secret
from workers.providers import (
    messages,
    normalise,
    parameters,
    thinking,
    transcription,
    transcripts,
)
from workers.providers.base import Call, HttpReply, HttpRequest, StreamReader
from workers.providers.classify import inside, malformed, read_object, refusal
from workers.providers.errors import error_of, read_error
from workers.providers.requests import sent
from workers.providers.streaming import ChatReader

OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")

Translate = Callable[[dict[str, Any]], dict[str, Any]]


class OpenAICompatible:
    """See `base.Adapter`. Holds nothing: one serves all calls."""

    def build(self, call: Call, credential: Secret | None) -> HttpRequest:
        """The request to send; KeyError where the deployment does not offer this kind."""
        if call.kind is Kind.TRANSCRIPTION:
            return transcription.build(call, credential)
        quirks = call.quirks
        embedding = call.kind is Kind.EMBEDDING
        path = quirks.embeddings_path if embedding else quirks.chat_path
        if not path:
            raise KeyError(call.kind)
        body, dropped = _embedding_body(call) if embedding else _chat_body(call)
        return post(call, credential, path, body, dropped)

    def parse(self, call: Call, reply: HttpReply) -> Outcome:
        """What a whole answer with a 2xx status came to."""
        if call.kind is Kind.TRANSCRIPTION:
            return transcripts.read(call, reply, transcription.heard)
        return read(call, reply)

    def parse_stream(self, call: Call, status: int, headers: Mapping[str, str]) -> StreamReader:
        """A reader for one stream that began with a 2xx status."""
        return ChatReader(call, functools.partial(inside, call, status, headers))

    def classify(
        self, call: Call, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> Failed:
        """What an answer that is not 2xx means."""
        return transcripts.unsuited(call, refusal(call, status, headers, read_error(body), now_ms))


def post(
    call: Call,
    credential: Secret | None,
    path: str,
    body: Mapping[str, Any],
    dropped: tuple[str, ...] = (),
) -> HttpRequest:
    """The request around a JSON body, for this adapter and for those of native wires."""
    return sent(call, credential, path, "application/json", orjson.dumps(body), dropped)


def read(call: Call, reply: HttpReply, translate: Translate | None = None) -> Outcome:
    """What a whole answer came to. `translate` brings a native one near to OpenAI's shape.

    It leaves errors as they are, and raises `Malformed` for what is no answer.
    """
    value = read_object(reply)
    if isinstance(value, Failed):
        return value
    raw = None if reply.body.lstrip().startswith(b"[") else reply.body  # alone in a list: made anew
    try:
        if translate is not None:
            value, raw = translate(value), None
        error = normalise.error_in(value)
        if error or not ("choices" in value or "data" in value):
            said = error_of({"error": error} if error else value)
            return inside(call, reply.status, reply.headers, said)
        if call.kind is Kind.EMBEDDING:
            return _embeddings(call, value, raw)
        return _completion(call, value, raw)
    except normalise.Malformed as exc:
        return malformed(str(exc), reply.status)


def _chat_body(call: Call) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The caller's request as this host takes it, and what it does not take."""
    quirks = call.quirks
    fitted = parameters.fit(call.request, quirks)
    body = fitted.body
    fitting, lost = messages.fit(body.get("messages"), quirks)
    if fitting is not None:
        body["messages"] = fitting
    if "tools" in body:
        body["tools"] = messages.tools(body["tools"], quirks)
    limits = [body.pop(name) for name in OUTPUT_LIMITS if name in body]
    if limits:
        body[quirks.max_tokens_field] = bounded(limits[0], call.deployment.max_output_tokens)
    for old, new in quirks.rename:
        if old in body:
            body[new] = body.pop(old)
    lost |= _effort(body, call)
    body["model"] = call.deployment.model
    body.pop("stream_options", None)
    body.pop("stream", None)
    if call.stream:
        body["stream"] = True
        if quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    return body, tuple(sorted({*fitted.dropped, *lost}))


def _effort(body: dict[str, Any], call: Call) -> frozenset[str]:
    """The nearest effort this model takes; what is lost where it takes none, or must think."""
    known = thinking.levels(call.quirks, call.deployment.model)
    asked = body.get("reasoning_effort")
    if known is None or asked not in thinking.EFFORTS or asked in known:
        return frozenset()
    meant = thinking.nearest(asked, known)
    if meant is not None:
        body["reasoning_effort"] = meant
        return frozenset({"reasoning_effort=none"} if asked == "none" else ())
    del body["reasoning_effort"]
    return frozenset({"reasoning_effort"} if asked != "none" else ())


def bounded(asked: Any, most: int | None) -> Any:
    """A model refuses a limit above its own, and cannot give more anyway."""
    return most if most is not None and isinstance(asked, int) and asked > most else asked


def _embedding_body(call: Call) -> tuple[dict[str, Any], tuple[str, ...]]:
    fitted = parameters.fit(call.request, call.quirks, chat=False)
    return {**fitted.body, "model": call.deployment.model}, fitted.dropped


def _completion(call: Call, value: dict[str, Any], raw: bytes | None) -> Outcome:
    changed = normalise.top(
        value, "chat.completion", call.job_id, call.created_s, call.deployment.model
    )
    changed |= normalise.choices(value, "message", call.job_id)
    if not value["choices"] or not normalise.speaks(value):
        return malformed("the answer is empty", 200)
    return _counted(call, value, raw, changed, functools.partial(_spoken, value))


def _spoken(value: Mapping[str, Any]) -> str:
    texts: list[str] = []
    for choice in value["choices"]:
        message = choice["message"]
        texts += [text for text in map(message.get, ("content", "reasoning_content")) if text]
        calls = message.get("tool_calls") or ()
        texts += [each["function"]["arguments"] for each in calls]
    return "\n".join(texts)


def _embeddings(call: Call, value: dict[str, Any], raw: bytes | None) -> Outcome:
    data = value.get("data")
    if not isinstance(data, list) or not data:
        return malformed("the answer holds no embeddings", 200)
    changed = value.get("object") != "list"
    value["object"] = "list"
    for position, each in enumerate(data):
        if not isinstance(each, dict) or not each.get("embedding"):
            return malformed("an embedding is missing", 200)
        if each.get("object") != "embedding" or not isinstance(each.get("index"), int):
            each.setdefault("index", position)
            each["object"] = "embedding"
            changed = True
    asked = call.request.get("input")
    if isinstance(asked, list) and asked and isinstance(asked[0], str | list):  # noqa: SIM102
        if len(data) != len(asked):
            return malformed(f"{len(asked)} inputs, {len(data)} embeddings", 200)
    if not value.get("model"):
        value["model"] = call.deployment.model
        changed = True
    return _counted(call, value, raw, changed, lambda: "")


def _counted(
    call: Call,
    value: dict[str, Any],
    raw: bytes | None,
    changed: bool,
    text: Callable[[], str],
) -> Succeeded:
    """With its usage: the host's, with gaps filled, or an estimate that says so."""
    reported = normalise.read_usage(value)
    usage: Usage
    if reported is None:
        usage = normalise.estimate(call.input_tokens, text(), call.count)
    else:
        usage = normalise.usage_of(reported)
    shape = normalise.usage_shape(usage, reported)
    if call.kind is Kind.EMBEDDING:
        del shape["completion_tokens"]
    if shape != value.get("usage"):
        value["usage"] = shape
        changed = True
    return Succeeded(orjson.dumps(value) if changed or raw is None else raw, usage)
