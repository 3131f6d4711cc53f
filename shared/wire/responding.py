"""A chat's answer as OpenAI's Response object, whole or as its stream of events.

Both come from one state machine, so that what was streamed is what is kept. Ids and sequence
numbers follow from the job and its events alone: a replay says the same again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Json = dict[str, Any]
ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_KINDS: Final = {"content": ("output_text", "text"), "refusal": ("refusal", "refusal")}


def response_id(job_id: str) -> str:
    """The id of the response that a job is."""
    return "resp_" + job_id.partition("_")[2]


def heading(job_id: str, created_ms: int, doc: Mapping[str, Any]) -> Json:
    """What never changes of a response, from the document of its job."""
    return {"id": response_id(job_id), "created_at": created_ms // 1000, **doc["response"]}


def usage_of(usage: Mapping[str, Any] | None) -> Json | None:
    """A chat's usage in the words of a response."""
    if not usage:
        return None
    put, out = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": put,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": int(usage.get("total_tokens") or put + out),
    }


@dataclass(slots=True)
class _Message:
    """A message item as it grows; `parts` by kind of text."""

    id: str
    index: int
    parts: list[Json] = field(default_factory=list)
    closed: bool = False

    def item(self, status: str) -> Json:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [dict(part) for part in self.parts],
        }


@dataclass(slots=True)
class _Call:
    """A function call as it grows."""

    id: str
    index: int
    call_id: str
    name: str
    arguments: str = ""

    def item(self, status: str) -> Json:
        return {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
        }


class Responding:
    """One response on its way. `head` is what never changes: id, created_at, model and the echo."""

    def __init__(self, head: Mapping[str, Any]) -> None:
        self._head = dict(head)
        self._suffix = str(head["id"]).partition("_")[2]
        self._items: list[_Message | _Call] = []
        self._message: _Message | None = None
        self._calls: dict[int, _Call] = {}
        self._finish: str | None = None
        self._started = False
        self._next = 0

    @property
    def said(self) -> bool:
        """Whether any output has come."""
        return bool(self._items)

    def created(self) -> Iterator[Json]:
        """Accepted."""
        background = bool(self._head.get("background"))
        status: ResponseStatus = "queued" if background else "in_progress"
        yield self._event("response.created", response=self.response(status))
        if background:
            yield self._event("response.queued", response=self.response("queued"))

    def started(self) -> Iterator[Json]:
        """A provider works on it; said once."""
        if not self._started:
            self._started = True
            yield self._event("response.in_progress", response=self.response("in_progress"))

    def feed(self, chunk: Mapping[str, Any]) -> Iterator[Json]:
        """The events of a chat chunk; a whole completion's message may stand for a delta."""
        for choice in (chunk.get("choices") or ())[:1]:
            delta = choice.get("delta") or choice.get("message") or {}
            self._finish = choice.get("finish_reason") or self._finish
            for name, (kind, key) in _KINDS.items():
                if delta.get(name):
                    yield from self._text(kind, key, str(delta[name]))
            for place, call in enumerate(delta.get("tool_calls") or ()):
                yield from self._call(int(call.get("index", place)), call)

    def finish(
        self, completion: Mapping[str, Any] | None, error: Mapping[str, Any] | None, at_s: int
    ) -> Iterator[Json]:
        """The end: what is still owed of a completion, and the last event."""
        yield from self.started()
        if completion is not None:
            if not self._items:
                yield from self.feed(completion)
            for choice in (completion.get("choices") or ())[:1]:
                self._finish = choice.get("finish_reason") or self._finish
        status = self.status(failed=completion is None)
        for item in self._items:
            yield from self._close(item, "completed" if status == "completed" else "incomplete")
        usage = usage_of((completion or {}).get("usage"))
        whole = self.response(status, usage=usage, error=error, at_s=at_s)
        yield self._event(f"response.{status}", response=whole)

    def error(self, message: str, code: str | None, param: str | None) -> Json:
        """Trouble with the stream itself: the response may go on."""
        return self._event("error", message=message, code=code, param=param)

    def status(self, *, failed: bool) -> ResponseStatus:
        """How it ended."""
        if failed:
            return "failed"
        return "incomplete" if self._finish in _INCOMPLETE else "completed"

    def response(
        self,
        status: ResponseStatus,
        *,
        usage: Json | None = None,
        error: Mapping[str, Any] | None = None,
        at_s: int | None = None,
    ) -> Json:
        """The Response object as it stands."""
        over = status in ("completed", "incomplete", "failed", "cancelled")
        ended = "completed" if status == "completed" else "incomplete"
        reason = _INCOMPLETE.get(self._finish or "") if status == "incomplete" else None
        return {
            **self._head,
            "object": "response",
            "status": status,
            "completed_at": at_s if status == "completed" else None,
            "error": _error(error) if status == "failed" else None,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": [item.item(ended) for item in self._items] if over else [],
            "usage": usage,
        }

    # -- items

    def _text(self, kind: str, key: str, text: str) -> Iterator[Json]:
        message = self._message
        if message is None or message.closed:
            count = sum(isinstance(item, _Message) for item in self._items)
            message = _Message(f"msg_{self._suffix}_{count}", len(self._items))
            self._message = message
            self._items.append(message)
            yield self._event(
                "response.output_item.added", output_index=message.index,
                item=message.item("in_progress"),
            )  # fmt: skip
        if not message.parts or message.parts[-1]["type"] != kind:
            if message.parts:
                yield from self._close_part(message)
            blank: Json = {"type": kind, key: ""}
            if kind == "output_text":
                blank |= {"annotations": [], "logprobs": []}
            message.parts.append(blank)
            yield self._of_part("response.content_part.added", message, part=dict(blank))
        message.parts[-1][key] += text
        more: Json = {"logprobs": []} if kind == "output_text" else {}
        yield self._of_part(f"response.{kind}.delta", message, delta=text, **more)

    def _call(self, place: int, piece: Mapping[str, Any]) -> Iterator[Json]:
        function = piece.get("function") or {}
        call = self._calls.get(place)
        if call is None:
            if self._message is not None:
                yield from self._close(self._message, "completed")
            id_ = f"fc_{self._suffix}_{len(self._calls)}"
            call_id = str(piece.get("id") or f"call_{self._suffix}_{len(self._calls)}")
            call = _Call(id_, len(self._items), call_id, str(function.get("name") or ""))
            self._calls[place] = call
            self._items.append(call)
            yield self._event(
                "response.output_item.added", output_index=call.index,
                item=call.item("in_progress"),
            )  # fmt: skip
        text = function.get("arguments")
        if text:
            call.arguments += text
            yield self._event(
                "response.function_call_arguments.delta", item_id=call.id,
                output_index=call.index, delta=text,
            )  # fmt: skip

    def _close_part(self, message: _Message) -> Iterator[Json]:
        part = message.parts[-1]
        if part["type"] == "output_text":
            yield self._of_part(
                "response.output_text.done", message, text=part["text"], logprobs=[]
            )
        else:
            yield self._of_part("response.refusal.done", message, refusal=part["refusal"])
        yield self._of_part("response.content_part.done", message, part=dict(part))

    def _close(self, item: _Message | _Call, status: str) -> Iterator[Json]:
        if isinstance(item, _Call):
            yield self._event(
                "response.function_call_arguments.done", item_id=item.id,
                output_index=item.index, name=item.name, arguments=item.arguments,
            )  # fmt: skip
        elif item.closed:
            return
        else:
            item.closed = True
            yield from self._close_part(item)
        yield self._event(
            "response.output_item.done", output_index=item.index, item=item.item(status)
        )

    def _of_part(self, kind: str, message: _Message, **fields: Any) -> Json:
        place = len(message.parts) - 1
        return self._event(
            kind, item_id=message.id, output_index=message.index, content_index=place, **fields
        )

    def _event(self, kind: str, **fields: Any) -> Json:
        number, self._next = self._next, self._next + 1
        return {"type": kind, "sequence_number": number, **fields}


def _error(error: Mapping[str, Any] | None) -> Json:
    told = error or {}
    return {"code": "server_error", "message": str(told.get("message") or "the job failed")}


def whole(head: Mapping[str, Any], completion: Mapping[str, Any], at_s: int) -> Json:
    """The Response object of a finished chat."""
    made = Responding(head)
    *_, last = made.finish(completion, None, at_s)
    response: Json = last["response"]
    return response


def answered(completion: Mapping[str, Any]) -> Json | None:
    """The assistant's turn of a completion, as the next turn's chat repeats it; None if empty."""
    for choice in (completion.get("choices") or ())[:1]:
        message = choice.get("message") or {}
        turn = {"role": "assistant", "content": message.get("content") or message.get("refusal")}
        if message.get("tool_calls"):
            turn["tool_calls"] = message["tool_calls"]
        return turn if turn["content"] or "tool_calls" in turn else None
    return None
