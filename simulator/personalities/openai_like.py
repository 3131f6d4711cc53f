"""What all providers that speak OpenAI's chat and embeddings have in common."""

from collections.abc import Mapping
from typing import Any

import orjson

from simulator import replies, transcripts
from simulator.config import Dialect, Model, SimulatedProvider
from simulator.dialects import Headers, error_body, limit_headers, refusal_answer, retry_headers
from simulator.ledger import Account, Refusal
from simulator.personalities.base import (
    Answer,
    Asked,
    Call,
    Personality,
    Route,
    RouteKind,
    Stream,
    Turn,
)
from simulator.personalities.rows import Row
from simulator.replies import DONE
from simulator.requests import EmbeddingCall, parse_chat, parse_embedding
from simulator.transcripts import TranscriptionCall

_INVALID = "invalid_request_error"
MODEL_GONE = Row(
    404,
    "The model `{model}` does not exist or you do not have access to it.",
    _INVALID,
    "model_not_found",
)


class OpenAILike(Personality):
    """Speaks OpenAI's wire; `dialect` words its limits and the shape of its errors."""

    dialect: Dialect
    embeds: bool = True
    transcribes: bool = True
    translates: bool = True

    def route(self, method: str, path: str) -> Route | None:
        """See `Personality`."""
        if not path.startswith(self.prefix + "/"):
            return None
        rest = path[len(self.prefix) + 1 :]
        if method == "POST":
            kind = self._kind_of(rest)
            variant = "translate" if rest == "audio/translations" else ""
            return Route(kind, variant=variant) if kind else None
        if (method, rest) == ("GET", "models"):
            return Route("models")
        if method == "GET" and rest.startswith("models/"):
            return Route("model", rest.removeprefix("models/"))
        return None

    def _kind_of(self, rest: str) -> RouteKind | None:
        match rest:
            case "chat/completions":
                return "chat"
            case "embeddings" if self.embeds:
                return "embedding"
            case "audio/transcriptions" if self.transcribes:
                return "transcription"
            case "audio/translations" if self.translates:
                return "transcription"
            case _:
                return None

    def parse(self, asked: Asked) -> Call:
        """See `Personality`."""
        if asked.route.kind == "chat":
            return parse_chat(asked.given)
        if asked.route.kind == "transcription":
            return transcripts.parse_transcription(asked.form, task=asked.route.variant)
        return parse_embedding(asked.given)

    def whole(self, turn: Turn) -> bytes:
        """See `Personality`."""
        return replies.chat_body(turn.call, turn.reply, turn.number, turn.created_s)

    def stream(self, turn: Turn) -> Stream:
        """See `Personality`."""
        frames = replies.stream_frames(turn.call, turn.reply, turn.number, turn.created_s)
        return Stream(frames, closing=3 if turn.call.include_usage else 2, end=DONE)

    def embeddings(self, call: EmbeddingCall, model: Model) -> bytes:
        """See `Personality`."""
        return replies.embedding_body(call, model)

    def transcript(self, call: TranscriptionCall, model: Model, number: int) -> bytes:  # noqa: ARG002
        """See `Personality`."""
        return transcripts.written(call, model)

    def models(self, spec: SimulatedProvider) -> bytes:
        """See `Personality`."""
        data = [self.model_card(spec, model) for model in spec.models]
        return orjson.dumps({"object": "list", "data": data})

    def model(self, spec: SimulatedProvider, model: Model) -> bytes:
        """See `Personality`."""
        return orjson.dumps(self.model_card(spec, model))

    def model_card(self, spec: SimulatedProvider, model: Model) -> dict[str, Any]:
        """What the list says of one model."""
        return {
            "id": model.id,
            "object": "model",
            "created": 1_700_000_000,
            "owned_by": spec.name,
            "context_window": model.context_window,
            "max_completion_tokens": model.max_output_tokens,
        }

    def emptied(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        if "text" in body:
            return {}
        return {**body, ("choices" if "choices" in body else "data"): []}

    def silenced(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        for choice in body.get("choices", []):
            choice["message"] = {"role": "assistant", "content": ""}
        return body | {"text": "", "segments": [], "words": []} if "text" in body else body

    def limit_headers(self, account: Account, now_us: int) -> Headers:
        """See `Personality`."""
        return limit_headers(self.dialect, account, now_us)

    def retry_headers(self, wait_us: int | None) -> Headers:
        """See `Personality`."""
        return retry_headers(self.dialect, wait_us)

    def over_limit(self, account: Account, refusal: Refusal) -> Answer:
        """See `Personality`."""
        return refusal_answer(self.dialect, account, refusal)

    def body(self, row: Row) -> bytes:
        """See `Personality`."""
        told = error_body(self.dialect, row.status, row.message, row.type, row.code, row.param)
        if not row.more:
            return told
        value = orjson.loads(told)
        value.get("error", value).update(row.more)
        return orjson.dumps(value)


class Plain(OpenAILike):
    """No provider in particular: OpenAI's wire, with the limits and errors of a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    rows: Mapping[str, Row] = {
        "unauthorized": Row(
            401,
            "Incorrect API key provided: no such key, or it was revoked.",
            _INVALID,
            "invalid_api_key",
        ),
        "invalid": Row(400, "{message}", _INVALID),
        "too_long": Row(400, "{message}", _INVALID, "context_length_exceeded"),
        "too_large": Row(413, "The request's body is too large.", _INVALID),
        "audio_too_large": Row(413, "{message}", _INVALID),
        "model_gone": MODEL_GONE,
        "model_decommissioned": Row(
            400,
            "The model `{model}` has been retired or does not exist.",
            _INVALID,
            "model_decommissioned",
        ),
        "rate_limited": Row(
            429,
            "Rate limit reached. Please slow down.",
            "requests",
            "rate_limit_exceeded",
            retry=True,
        ),
        "server_error": Row(
            500,
            "The server had an error while processing your request.",
            "server_error",
            "server_error",
            retry=True,
        ),
        "overloaded": Row(
            503,
            "The server had an error while processing your request.",
            "server_error",
            "server_error",
            retry=True,
        ),
        "no_route": Row(404, "Invalid URL", _INVALID),
    }

    def row_of_status(self, status: int) -> str:  # noqa: ARG002 - it words them all alike
        """See `Personality`."""
        return "server_error"
