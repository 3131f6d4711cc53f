"""Gemini's native API: no headers about limits, keys in a header of their own, days in Pacific."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from simulator import replies
from simulator.config import Model, SimulatedProvider
from simulator.dialects import Headers
from simulator.ledger import Account, Refusal
from simulator.personalities import gemini_audio, gemini_requests
from simulator.personalities.base import (
    Answer,
    Asked,
    Call,
    Personality,
    RequestHeaders,
    Route,
    Stream,
    Turn,
    query_of,
)
from simulator.personalities.gemini_errors import ROWS, refusal_row
from simulator.personalities.rows import Row
from simulator.replies import Reply
from simulator.requests import ChatCall, EmbeddingCall
from simulator.transcripts import TranscriptionCall

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_METHODS: Mapping[str, tuple[str, str]] = {
    "generateContent": ("chat", ""),
    "streamGenerateContent": ("chat", "stream"),
    "countTokens": ("count", ""),
    "embedContent": ("embedding", ""),
    "batchEmbedContents": ("embedding", "batch"),
}


class Gemini(Personality):
    """As wire-facts.md 3 and wire-chat.md 1 tell."""

    prefix = "v1beta"
    max_body_bytes = 20 * 1024 * 1024
    rows: Mapping[str, Row] = ROWS

    def route(self, method: str, path: str) -> Route | None:
        """See `Personality`."""
        if not path.startswith("v1beta/models"):
            return None
        rest = path.removeprefix("v1beta/models").removeprefix("/")
        name, _, verb = rest.partition(":")
        if method == "POST" and verb in _METHODS:
            kind, variant = _METHODS[verb]
            return Route(kind, name, variant)  # type: ignore[arg-type]
        if method == "GET" and not verb:
            return Route("model", name) if name else Route("models")
        return None

    def shown_key(self, headers: RequestHeaders, query: bytes) -> str | None:
        """See `Personality`."""
        for name, value in headers:
            if name == b"x-goog-api-key":
                return value.decode("latin-1")
        return query_of(query).get("key")

    def parse(self, asked: Asked) -> Call:
        """See `Personality`."""
        route, given = asked.route, asked.given
        if route.kind == "embedding":
            return gemini_requests.parse_embed(route.model, given, batch=route.variant == "batch")
        if route.kind == "count":
            given = given.get("generateContentRequest") or given
        if route.kind == "chat" and (spoken := gemini_audio.parse_audio(route.model, given)):
            return spoken
        stream = route.variant == "stream"
        call = gemini_requests.parse(route.model, given, stream=stream)
        return replace(call, as_array=stream and query_of(asked.query).get("alt") != "sse")

    def whole(self, turn: Turn) -> bytes:
        """See `Personality`."""
        call, reply, number = turn.call, turn.reply, turn.number
        parts = [_function_part(reply, number)] if reply.tool_name else [{"text": reply.text}]
        return orjson.dumps(_chunk(call, reply, number, parts, last=True))

    def stream(self, turn: Turn) -> Stream:
        """See `Personality`. There is no mark at the end: the connection closes."""
        call, reply, number = turn.call, turn.reply, turn.number
        if reply.finish_reason == "content_filter":
            chunks = [_chunk(call, reply, number, [], last=True)] * 2
        elif reply.tool_name:
            chunks = [_chunk(call, reply, number, [_function_part(reply, number)], last=False)]
        else:
            chunks = [
                _chunk(call, reply, number, [{"text": part}], last=False)
                for part in replies.words(reply)
            ]
        last = _chunk(call, reply, number, [{"text": ""}], last=True)
        shown = [orjson.dumps(chunk) for chunk in (*chunks, last)]
        if call.as_array:
            frames = [b"[" + shown[0], *(b",\r\n" + each for each in shown[1:-1])]
            return Stream([*frames, b",\r\n" + shown[-1] + b"]"], opening=0, end=b"[]", json=True)
        return Stream([b"data: " + each + b"\r\n\r\n" for each in shown], opening=0)

    def embeddings(self, call: EmbeddingCall, model: Model) -> bytes:
        """See `Personality`."""
        size = call.dimensions or model.dimensions
        vectors = [{"values": replies.embedding_of(text, size).tolist()} for text in call.inputs]
        return orjson.dumps({"embeddings": vectors, "embedding": vectors[0]})

    def transcript(self, call: TranscriptionCall, model: Model, number: int) -> bytes:
        """See `Personality`."""
        return gemini_audio.transcript(call, model, number)

    def counted(self, call: Call) -> bytes:
        """See `Personality`."""
        details = [{"modality": "TEXT", "tokenCount": call.prompt_tokens}]
        return orjson.dumps({"totalTokens": call.prompt_tokens, "promptTokensDetails": details})

    def models(self, spec: SimulatedProvider) -> bytes:
        """See `Personality`."""
        return orjson.dumps({"models": [_card(model) for model in spec.models]})

    def model(self, spec: SimulatedProvider, model: Model) -> bytes:  # noqa: ARG002
        """See `Personality`."""
        return orjson.dumps(_card(model))

    def emptied(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        return {n: value for n, value in body.items() if not n.startswith(("cand", "embed"))}

    def silenced(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        for candidate in body.get("candidates", []):
            candidate.pop("content", None)
        return body

    def limit_headers(self, account: Account, now_us: int) -> Headers:  # noqa: ARG002
        """See `Personality`. There are none."""
        return []

    def requests_of(self, call: Call) -> int:
        """See `Personality`. Every text of a batch is one."""
        return len(call.inputs) if isinstance(call, EmbeddingCall) else 1

    def own_headers(self, account: Account | None, number: int) -> Headers:  # noqa: ARG002
        """See `Personality`."""
        return [(b"x-gemini-service-tier", b"standard")]

    def retry_headers(self, wait_us: int | None) -> Headers:  # noqa: ARG002
        """See `Personality`. A wait stands in the details only."""
        return []

    def over_limit(self, account: Account, refusal: Refusal) -> Answer:
        """See `Personality`."""
        row = refusal_row(refusal, account.model.id, account.key.plan)
        return row.status, self.body(row), []

    def body(self, row: Row) -> bytes:
        """See `Personality`."""
        error = {"code": row.status, "message": row.message, "status": row.type}
        return orjson.dumps({"error": error | dict(row.more)})

    def stream_error(self, body: bytes) -> bytes:
        """See `Personality`."""
        return b"data: " + body + b"\r\n\r\n"


def _chunk(
    call: ChatCall, reply: Reply, number: int, parts: list[dict[str, Any]], *, last: bool
) -> dict[str, Any]:
    """One response; a blocked prompt has no candidate at all."""
    usage = {
        "promptTokenCount": call.prompt_tokens,
        "candidatesTokenCount": reply.tokens,
        "totalTokenCount": call.prompt_tokens + reply.tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": call.prompt_tokens}],
    }
    shown: dict[str, Any] = {
        "usageMetadata": usage,
        "modelVersion": call.model,
        "responseId": f"sim{number}",
    }
    if reply.finish_reason == "content_filter":
        return shown | {"promptFeedback": {"blockReason": "SAFETY"}}
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    if last:
        candidate["finishReason"] = _FINISH[reply.finish_reason]
    return shown | {"candidates": [candidate]}


def _function_part(reply: Reply, number: int) -> dict[str, Any]:
    call = {
        "id": f"sim{number}",
        "name": reply.tool_name,
        "args": orjson.loads(reply.text) if reply.finish_reason != "length" else {},
    }
    signed = gemini_requests.SIGNATURE + str(number).encode()
    return {"functionCall": call, "thoughtSignature": base64.b64encode(signed).decode()}


def _card(model: Model) -> dict[str, Any]:
    kinds = {
        "chat": ["generateContent", "countTokens"],
        "embedding": ["embedContent"],
        "transcription": ["generateContent"],
    }
    return {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.id,
        "inputTokenLimit": model.context_window,
        "outputTokenLimit": model.max_output_tokens,
        "supportedGenerationMethods": [each for kind in model.kinds for each in kinds[kind]],
    }
