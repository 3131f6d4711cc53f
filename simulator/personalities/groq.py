"""Groq: requests of the day and tokens of the minute in headers, the rest in a 429's text."""

from collections.abc import Mapping
from typing import Any

import orjson

from simulator import replies, transcripts
from simulator.config import Model
from simulator.personalities.base import Asked, Call, Stream, Turn
from simulator.personalities.openai_like import MODEL_GONE, OpenAILike
from simulator.personalities.rows import Row
from simulator.replies import DONE
from simulator.requests import BadRequestError, ChatCall
from simulator.transcripts import TranscriptionCall

_INVALID = "invalid_request_error"
_LIMIT = "rate_limit_exceeded"
_REFUSED = ("logprobs", "top_logprobs", "logit_bias")
_MAX_TOOLS = 128
_FORMATS = ("json", "text", "verbose_json")
_REACHED = (
    "Rate limit reached for model `{model}` in organization `{org}` service tier `on_demand` on "
    "{what}: Limit {limit}, Used {limit}, Requested {requested}. Please try again in {wait}. "
    "Need more tokens? Upgrade to Dev Tier today."
)


def _reached(what: str, kind: str) -> Row:
    return Row(429, _REACHED.replace("{what}", what), kind, _LIMIT, retry=True)


class Groq(OpenAILike):
    """As wire-facts.md 1 and wire-chat.md 4 tell."""

    prefix = "openai/v1"
    dialect = "groq"
    embeds = False
    has_filter = False
    rows: Mapping[str, Row] = {
        "invalid": Row(400, "{message}", _INVALID),
        "too_long": Row(
            400,
            "Please reduce the length of the messages or completion: {requested} tokens, at most "
            "{limit}.",
            _INVALID,
            "context_length_exceeded",
            "messages",
        ),
        "tool_use_failed": Row(
            400,
            "Failed to call a function. Please adjust your prompt.",
            _INVALID,
            "tool_use_failed",
            more={"failed_generation": "<function=grind>"},
        ),
        "json_validate_failed": Row(
            400,
            "Failed to generate JSON. Please adjust your prompt.",
            _INVALID,
            "json_validate_failed",
            more={"failed_generation": '{"answer": '.replace("{", "{{")},
        ),
        "model_decommissioned": Row(
            400,
            "The model `{model}` has been decommissioned and is no longer supported.",
            _INVALID,
            "model_decommissioned",
        ),
        "organization_restricted": Row(
            400, "Organization has been restricted.", _INVALID, "organization_restricted"
        ),
        "unauthorized": Row(401, "Invalid API Key", _INVALID, "invalid_api_key"),
        "model_blocked_org": Row(
            403,
            "The model `{model}` is blocked at the organization level.",
            "permissions_error",
            "model_permission_blocked_org",
        ),
        "model_blocked_project": Row(
            403,
            "The model `{model}` is blocked at the project level.",
            "permissions_error",
            "model_permission_blocked_project",
        ),
        "model_gone": MODEL_GONE,
        "no_route": Row(404, "Unknown request URL", _INVALID, "unknown_url"),
        "request_too_large": Row(
            413,
            "Request too large for model `{model}` in organization `{org}` service tier "
            "`on_demand` on tokens per minute (TPM): Limit {limit}, Requested {requested}, please "
            "reduce your message size and try again.",
            "tokens",
            _LIMIT,
        ),
        "too_large": Row(413, "Request Entity Too Large", _INVALID, "request_too_large"),
        "audio_too_large": Row(413, "Request Entity Too Large", _INVALID, "request_too_large"),
        "unprocessable": Row(422, "The request could not be processed.", _INVALID),
        "dependency_failed": Row(424, "A remote tool failed.", _INVALID),
        "rate_limited": _reached("requests per minute (RPM)", "requests"),
        "tokens_per_minute": _reached("tokens per minute (TPM)", "tokens"),
        "requests_per_day": _reached("requests per day (RPD)", "requests"),
        "tokens_per_day": _reached("tokens per day (TPD)", "tokens"),
        "audio_seconds_per_hour": _reached("seconds of audio per hour (ASH)", "requests"),
        "audio_seconds_per_day": _reached("seconds of audio per day (ASD)", "requests"),
        "flex_capacity": Row(
            498, "Flex tier capacity exceeded, please try again.", "capacity", "capacity_exceeded"
        ),
        "cancelled": Row(499, "The request was cancelled.", _INVALID),
        "server_error": Row(500, "Internal Server Error", "internal_server_error"),
        "bad_gateway": Row(502, "Bad Gateway", "internal_server_error"),
        "overloaded": Row(
            503,
            "`{model}` is currently over capacity. Please try again and back off.",
            "internal_server_error",
        ),
        "timeout": Row(504, "Gateway Timeout", "internal_server_error"),
    }

    def parse(self, asked: Asked) -> Call:
        """See `Personality`."""
        given = asked.given
        if asked.route.kind == "transcription":
            return transcripts.parse_transcription(asked.form, _FORMATS, asked.route.variant)
        for name in _REFUSED:
            if given.get(name) not in (None, False):
                raise BadRequestError(f"property '{name}' is unsupported", name)
        for i, message in enumerate(given.get("messages") or ()):
            if isinstance(message, Mapping) and message.get("name") and message["role"] != "tool":
                where = f"messages[{i}].name"
                raise BadRequestError(f"property '{where}' is unsupported", where)
        if len(given.get("tools") or ()) > _MAX_TOOLS:
            raise BadRequestError(f"at most {_MAX_TOOLS} tools", "tools")
        if "include_reasoning" in given and "reasoning_format" in given:
            raise BadRequestError(
                "cannot specify both reasoning_format and include_reasoning", "reasoning_format"
            )
        call = super().parse(asked)
        structured = isinstance(call, ChatCall) and (call.wants_json or given.get("tools"))
        if structured and given.get("reasoning_format") == "raw":
            raise BadRequestError(
                "reasoning_format raw is refused with JSON mode or tools", "reasoning_format"
            )
        return call

    def whole(self, turn: Turn) -> bytes:
        """See `Personality`."""
        body = orjson.loads(super().whole(turn))
        body["usage"] = _usage(turn)
        body["choices"][0]["message"].pop("refusal")
        return orjson.dumps(body | {"x_groq": {"id": f"req_sim{turn.number}"}})

    def transcript(self, call: TranscriptionCall, model: Model, number: int) -> bytes:
        """See `Personality`."""
        if call.response_format == "text":
            return transcripts.written(call, model)
        told = transcripts.verbose(call) if call.response_format == "verbose_json" else {}
        return orjson.dumps(
            {"text": call.heard.text} | told | {"x_groq": {"id": f"req_sim{number}"}}
        )

    def stream(self, turn: Turn) -> Stream:
        """See `Personality`. The usage is on the last chunk, asked for or not."""
        frames = replies.stream_frames(turn.call, turn.reply, turn.number, turn.created_s)
        x_groq: dict[str, Any] = {"id": f"req_sim{turn.number}"}
        last = -3 if turn.call.include_usage else -2
        frames[0] = _with(frames[0], {"x_groq": x_groq})
        frames[last] = _with(frames[last], {"x_groq": x_groq | {"usage": _usage(turn)}})
        return Stream(frames, closing=-last, end=DONE)


def _usage(turn: Turn) -> dict[str, Any]:
    call, reply = turn.call, turn.reply
    return {
        "queue_time": 0.01,
        "prompt_tokens": call.prompt_tokens,
        "prompt_time": 0.002,
        "completion_tokens": reply.tokens,
        "completion_time": 0.02,
        "total_tokens": call.prompt_tokens + reply.tokens,
        "total_time": 0.022,
    }


def _with(frame: bytes, more: Mapping[str, Any]) -> bytes:
    """The same chunk with more fields."""
    chunk = orjson.loads(frame.removeprefix(b"data: "))
    return b"data: " + orjson.dumps(chunk | more) + b"\n\n"
