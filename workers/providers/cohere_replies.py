"""Cohere's v2 answers and stream events, brought near to OpenAI's shape. Pure.

A plan beside calls is the message's content: `cohere_requests` sends it back as the plan. Citations
are kept as they are, numbered so that the official SDK's stream helper can put them together.
Sources: shared/facts/wire-chat.md section 2, the types of cohere 7.3.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from workers.providers.chunks import Chunks
from workers.providers.normalise import Malformed

_FAILED = frozenset({"ERROR", "TIMEOUT"})


def completion(value: dict[str, Any]) -> dict[str, Any]:
    """A whole answer as a completion; an error as it is."""
    said = value.get("message")
    if not isinstance(said, dict):
        return value
    reason = value.get("finish_reason")
    if not isinstance(reason, str):
        raise Malformed("the answer did not end")
    parts = said.get("content")
    plan = said.get("tool_plan")
    texts = [plan if isinstance(plan, str) else "", _joined(parts, "text")]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if thoughts := _joined(parts, "thinking"):
        message["reasoning_content"] = thoughts
    if said.get("tool_calls"):
        message["tool_calls"] = said["tool_calls"]
    if isinstance(said.get("citations"), list):
        message["citations"] = [_numbered(at, each) for at, each in enumerate(said["citations"])]
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {**_id(value), "choices": [choice], "usage": usage(value.get("usage"))}


def embeddings(value: dict[str, Any]) -> dict[str, Any]:
    """Whole embeddings as OpenAI's list; an error as it is."""
    made = value.get("embeddings")
    if made is None:
        return value
    vectors = made if isinstance(made, list) else None
    if isinstance(made, dict):
        vectors = made.get("float") or made.get("base64")
    if not isinstance(vectors, list):
        raise Malformed("the answer holds no embeddings")
    meta = value.get("meta")
    units = meta.get("billed_units") if isinstance(meta, dict) else None
    tokens = _count(units, "input_tokens", "image_tokens")
    data = [{"object": "embedding", "index": at, "embedding": v} for at, v in enumerate(vectors)]
    counted = {} if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "usage": counted or None}


def usage(reported: Any) -> dict[str, Any] | None:
    """OpenAI's usage: the tokens of the model, not the fewer that are billed."""
    if not isinstance(reported, dict):
        return None
    counted = reported.get("tokens") or reported.get("billed_units")
    prompt = _count(counted, "input_tokens")
    if prompt is None:
        return None
    output = _count(counted, "output_tokens") or 0
    cached = _count(reported, "cached_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _count(place: Any, *names: str) -> int | None:
    """The sum of what stands under `names`; they write counts as floats."""
    found = [place.get(name) for name in names] if isinstance(place, dict) else []
    counts = [
        int(each)
        for each in found
        if isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each < 1e15  # noqa: PLR2004 - no count is larger
    ]
    return sum(counts) if counts else None


def _id(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": value["id"]} if isinstance(value.get("id"), str) else {}


def _joined(parts: Any, kind: str) -> str:
    if isinstance(parts, str):
        return parts if kind == "text" else ""
    found = [part.get(kind) for part in parts or () if isinstance(part, dict)]
    return "".join(text for text in found if isinstance(text, str))


def _numbered(place: int, citation: Any) -> Any:
    return {**citation, "index": place} if isinstance(citation, dict) else citation


class Events:
    """See `streaming.Translator`."""

    def __init__(self) -> None:
        self.ended = False
        self._chunks = Chunks()
        self._citations = 0

    def chunks(self, event: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """What an event says."""
        kind = event.get("type")
        if event.get("error") or isinstance(event.get("message"), str):
            return [{"error": event.get("error") or event}]
        takers = {
            "message-start": self._start,
            "content-start": self._content,
            "content-delta": self._content,
            "tool-plan-delta": self._plan,
            "tool-call-start": self._call,
            "tool-call-delta": self._piece,
            "tool-call-end": self._stop,
            "citation-start": self._cite,
            "message-end": self._end,
        }
        take = takers.get(kind) if isinstance(kind, str) else None
        return take(event) if take else ()

    def _start(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        self._chunks.top = _id(event)
        return [self._chunks.delta(role="assistant", content="")]

    def _content(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return self._words(_object(_said(event), "content"))

    def _plan(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return self._words({"text": _said(event).get("tool_plan")})

    def _words(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        names = {"text": "content", "thinking": "reasoning_content"}
        return [
            self._chunks.delta(**{ours: content[theirs]})
            for theirs, ours in names.items()
            if isinstance(content.get(theirs), str) and content[theirs]
        ]

    def _call(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        call = _object(_said(event), "tool_calls")
        place, function = _place(event), _object(call, "function")
        begun = self._chunks.begin(place, call.get("id"), function.get("name"))
        return [begun, *self._arguments(place, function)]

    def _piece(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        call = _object(_said(event), "tool_calls")
        return self._arguments(_place(event), _object(call, "function"))

    def _stop(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return self._chunks.end(_place(event))

    def _cite(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        cited = _numbered(self._citations, _object(_said(event), "citations"))
        self._citations += 1
        return [self._chunks.delta(citations=[cited])]

    def _arguments(self, place: int, function: Mapping[str, Any]) -> list[dict[str, Any]]:
        text = function.get("arguments")
        if not isinstance(text, str) or not text:
            return []
        try:
            return [self._chunks.piece(place, text)]
        except KeyError as exc:
            raise Malformed("a call goes on that never began, or has ended") from exc

    def _end(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        self.ended = True
        delta = _object(event, "delta")
        reason, error = delta.get("finish_reason"), delta.get("error")
        if error or (isinstance(reason, str) and reason in _FAILED):
            kind = str(reason or "error").lower()
            message = error if isinstance(error, str) else f"the provider ended with {kind}"
            return [{"error": {"message": message, "type": kind}}]
        last = self._chunks.delta(reason if isinstance(reason, str) else None)
        return [*self._chunks.end_all(), {**last, "usage": usage(delta.get("usage"))}]


def _object(place: Any, name: str) -> dict[str, Any]:
    """What stands under `name`; an empty one where nothing does: no event says all."""
    value = place.get(name) if isinstance(place, dict) else None
    return value if isinstance(value, dict) else {}


def _said(event: Mapping[str, Any]) -> dict[str, Any]:
    return _object(_object(event, "delta"), "message")


def _place(event: Mapping[str, Any]) -> int:
    place = event.get("index")
    if not isinstance(place, int):
        raise Malformed(f"a {event.get('type')} has no index")
    return place
