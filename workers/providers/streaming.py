"""Reads one stream of chat completion chunks: checks, normalises, passes on, assembles.

Chunks are held back until one says something, so that a stream which breaks before its first token
fails over unseen. A stream is complete when it said `[DONE]` or ended every choice it was asked
for; anything else was cut, however it ended.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import orjson

from shared.core.outcome import Failed, FailureKind, Outcome, Succeeded
from workers.assemble import Assembler
from workers.providers import normalise, parameters, sse
from workers.providers.base import Call
from workers.providers.errors import UpstreamError, error_of

_DONE = b"[DONE]"
Refuse = Callable[[UpstreamError], Failed]


class Translator(Protocol):
    """One provider's own events to OpenAI's chunks; the state of one stream."""

    @property
    def ended(self) -> bool:
        """Whether the event that ends a stream was seen."""
        ...

    def chunks(self, event: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """What an event says, in order; an error as `{"error": …}`. Raises `Malformed`."""
        ...


class CallPieces:
    """Which call each piece of a stream belongs to, where its host is not clear about it.

    Some hosts leave `index` out, some give every whole call index 0: a piece that names a function
    again under another id, or names one without an index, begins a new call. Some give every piece
    another id: the first one counts.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._ids: dict[tuple[int, int], str] = {}
        self._now: dict[tuple[int, int | None], int] = {}

    def number(self, choices: Sequence[dict[str, Any]]) -> bool:
        """Gives every piece its index, and a call without an id one; whether it changed any."""
        changed = False
        for choice in choices:
            for piece in choice["delta"].get("tool_calls") or ():
                before = (piece.get("index"), piece.get("id"))
                self._place(choice["index"], piece)
                changed |= before != (piece["index"], piece.get("id"))
        return changed

    def _place(self, choice: int, piece: dict[str, Any]) -> None:
        said = piece["index"] if isinstance(piece.get("index"), int) else None
        at = self._now.get((choice, said))
        if at is None or self._another(choice, at, piece):
            taken = [index for where, index in self._ids if where == choice]
            at = said if said is not None and said not in taken else max(taken, default=-1) + 1
            self._ids[choice, at] = piece.get("id") or normalise.new_call_id(self._seed, at)
            self._now[choice, said] = at
            piece["id"] = self._ids[choice, at]
        elif piece.get("id"):
            piece["id"] = self._ids[choice, at]
        piece["index"] = at

    def _another(self, choice: int, at: int, piece: dict[str, Any]) -> bool:
        if not (piece.get("function") or {}).get("name"):
            return False
        id_ = piece.get("id")
        return bool(
            id_ != self._ids[choice, at] if id_ else not isinstance(piece.get("index"), int)
        )


class ChatReader:
    """The state of one stream. See `base.StreamReader`.

    With a translator the events may be of any dialect; all else is the same for all.
    """

    def __init__(self, call: Call, refuse: Refuse, translator: Translator | None = None) -> None:
        self._call = call
        self._refuse = refuse
        self._translator = translator
        self._events = sse.EventParser()
        self._assembler = Assembler()
        self._calls = CallPieces(call.job_id)
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
        asked = parameters.answers(self._call.request, self._call.quirks)
        wanted = 1 if self._ended else asked
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
                self._event(payload, out)
            except normalise.Malformed as exc:
                self._failed = _malformed(str(exc))
            except orjson.JSONDecodeError:
                self._failed = _malformed("the stream holds broken JSON")
        return out

    def _event(self, payload: bytes, out: list[bytes]) -> None:
        event = orjson.loads(payload)
        raw: bytes | None = payload
        if isinstance(event, list) and len(event) == 1:
            event, raw = event[0], None
        if not isinstance(event, dict):
            raise normalise.Malformed("a chunk is no object")
        if self._translator is None:
            self._chunk(event, raw, out)
            return
        for chunk in self._translator.chunks(event):
            if self._failed is None:
                self._chunk(chunk, None, out)
        self._ended = self._translator.ended

    def _chunk(self, chunk: dict[str, Any], payload: bytes | None, out: list[bytes]) -> None:
        """Takes a chunk; `payload` is what it was read from, passed on where it is right."""
        error = normalise.error_in(chunk)
        if error or "choices" not in chunk:
            if error or "message" in chunk or "detail" in chunk:
                self._failed = self._refuse(error_of({"error": error} if error else chunk))
            return
        usage = normalise.read_usage(chunk)
        if usage is not None:
            self._usage = usage
        call = self._call
        changed = normalise.choices(chunk, "delta") or payload is None or b"\n" in payload
        if not chunk["choices"]:
            return
        changed |= self._calls.number(chunk["choices"])
        model = call.deployment.model
        changed |= normalise.top(chunk, "chat.completion.chunk", call.job_id, call.created_s, model)
        if chunk.get("usage") is not None:
            del chunk["usage"]
            changed = True
        if self._top is None:
            self._top = {k: chunk[k] for k in ("id", "object", "created", "model")}
        said = self._assembler.add(chunk)
        self._held.append(orjson.dumps(chunk) if changed or payload is None else payload)
        if said or self.started:
            self.started = True
            out += self._held
            self._held = []


def _asks_usage(call: Call) -> bool:
    options = call.request.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _malformed(message: str) -> Failed:
    return Failed(FailureKind.MALFORMED_REPLY, message, status=200, uncertain=True)
