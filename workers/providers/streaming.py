"""Reads one stream of chat completion chunks: checks, normalises, passes on, assembles.

Chunks are held back until one says something, so that a stream which breaks before its first token
fails over unseen. A stream is complete when it said `[DONE]` or ended every choice it was asked
for; anything else was cut, however it ended.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from shared.core.outcome import Failed, FailureKind, Outcome, Succeeded
from workers.assemble import Assembler
from workers.providers import normalise, sse
from workers.providers.base import Call
from workers.providers.errors import UpstreamError, error_of

_DONE = b"[DONE]"
Refuse = Callable[[UpstreamError], Failed]


class ChatReader:
    """The state of one stream. See `base.StreamReader`."""

    def __init__(self, call: Call, refuse: Refuse) -> None:
        self._call = call
        self._refuse = refuse
        self._events = sse.EventParser()
        self._assembler = Assembler()
        self._held: list[bytes] = []
        self._usage: dict[str, Any] | None = None
        self._failed: Failed | None = None
        self._ended = False
        self._top: dict[str, Any] | None = None
        self.started = False

    @property
    def done(self) -> bool:
        """Whether the rest of the stream no longer matters."""
        return self._ended or self._failed is not None

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The chunks that `data` completes, in order."""
        try:
            payloads = self._events.feed(data)
        except sse.TooLong as exc:
            self._failed = _malformed(str(exc))
            return ()
        return self._take(payloads)

    def finish(self) -> tuple[Sequence[bytes], Outcome]:
        """The last chunks, and what the stream came to."""
        chunks = [] if self.done else list(self._take(self._events.close()))
        if self._failed is not None:
            return chunks, self._failed
        reasons = self._assembler.finish_reasons
        wanted = 1 if self._ended else _wanted(self._call)
        if len(reasons) < wanted or None in reasons:
            return chunks, _malformed("the stream ended before the answer did")
        if not self.started and not {"length", "content_filter"} & set(reasons):
            return chunks, _malformed("the answer is empty")
        chunks += self._held
        self._held, self.started = [], True
        return self._complete(chunks)

    def _complete(self, chunks: list[bytes]) -> tuple[Sequence[bytes], Outcome]:
        call = self._call
        if self._usage is not None:
            usage = normalise.usage_of(self._usage)
        else:
            text = self._assembler.texts()
            usage = normalise.estimate(call.input_tokens, text, call.count)
        shape = normalise.usage_shape(usage, self._usage)
        if _asks_usage(call) and self._top is not None:
            chunks.append(orjson.dumps({**self._top, "choices": [], "usage": shape}))
        return chunks, Succeeded(orjson.dumps(self._assembler.completion(shape)), usage)

    def _take(self, payloads: list[bytes]) -> Sequence[bytes]:
        out: list[bytes] = []
        for payload in payloads:
            if self.done:
                break
            if payload.strip() == _DONE:
                self._ended = True
                break
            try:
                self._chunk(payload, out)
            except normalise.Malformed as exc:
                self._failed = _malformed(str(exc))
            except orjson.JSONDecodeError:
                self._failed = _malformed("the stream holds broken JSON")
        return out

    def _chunk(self, payload: bytes, out: list[bytes]) -> None:
        chunk = orjson.loads(payload)
        if not isinstance(chunk, dict):
            raise normalise.Malformed("a chunk is no object")
        error = chunk.get("error") or _groq_error(chunk)
        if error or "choices" not in chunk:
            if error or "message" in chunk or "detail" in chunk:
                self._failed = self._refuse(error_of({"error": error} if error else chunk))
            return
        usage = normalise.read_usage(chunk)
        if usage is not None:
            self._usage = usage
        call = self._call
        changed = normalise.choices(chunk, "delta") or b"\n" in payload
        if not chunk["choices"]:
            return
        model = call.deployment.model
        changed |= normalise.top(chunk, "chat.completion.chunk", call.job_id, call.created_s, model)
        if chunk.get("usage") is not None:
            del chunk["usage"]
            changed = True
        if self._top is None:
            self._top = {k: chunk[k] for k in ("id", "object", "created", "model")}
        said = self._assembler.add(chunk)
        self._held.append(orjson.dumps(chunk) if changed else payload)
        if said or self.started:
            self.started = True
            out += self._held
            self._held = []


def _wanted(call: Call) -> int:
    n = call.request.get("n")
    return n if isinstance(n, int) and n > 0 else 1


def _asks_usage(call: Call) -> bool:
    options = call.request.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _groq_error(chunk: dict[str, Any]) -> Any:
    extra = chunk.get("x_groq")
    return extra.get("error") if isinstance(extra, dict) else None


def _malformed(message: str) -> Failed:
    return Failed(FailureKind.MALFORMED_REPLY, message, status=200, uncertain=True)
