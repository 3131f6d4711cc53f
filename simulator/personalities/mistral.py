"""Mistral: windows under the names of their spans, tool calls whole, and strict about order."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson

from simulator import replies, transcripts
from simulator.config import Model, SimulatedProvider
from simulator.dialects import Headers, limit_headers
from simulator.forms import Form
from simulator.ledger import Account, Refusal
from simulator.personalities.base import Answer, Asked, Call, Stream, Turn
from simulator.personalities.openai_like import OpenAILike
from simulator.personalities.rows import Row
from simulator.replies import DONE, Reply
from simulator.requests import BadRequestError, ChatCall, EmbeddingCall, names
from simulator.transcripts import TranscriptionCall

_TOOL_ID = re.compile(r"[A-Za-z0-9]{9}")
_CHAT_FIELDS = names(
    "model messages temperature top_p top_k max_tokens min_tokens stream stream_options stop "
    "random_seed metadata response_format tools tool_choice presence_penalty "
    "frequency_penalty repetition_penalty n prediction parallel_tool_calls prompt_mode "
    "reasoning_effort guardrails prompt_cache_key service_tier safe_prompt prompt_logprobs "
    "logprobs top_logprobs top_prompt_logprobs"
)
_AUDIO_FIELDS = names(
    "model file file_url file_id language temperature stream diarize context_bias "
    "speaker_references timestamp_granularities"
)


def _error(status: int, message: str, kind: str, code: str | None = None) -> Row:
    return Row(status, message, kind, code)


class Mistral(OpenAILike):
    """As wire-facts.md 5 and wire-chat.md 3 tell."""

    translates = False
    dialect = "mistral"
    has_filter = False
    rows: Mapping[str, Row] = {
        "model_gone": _error(400, "Invalid model: {model}", "invalid_model", "1500"),
        "too_long": _error(
            400,
            "Prompt contains {prompt} tokens and 0 draft tokens, too large for model with {limit} "
            "maximum context length",
            "invalid_request_message_order",
            "3051",
        ),
        "role_order": _error(
            400,
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
            "assistant",
            "invalid_request_message_order",
            "3230",
        ),
        "unauthorized": Row(401, "Unauthorized", raw={"detail": "Unauthorized"}),
        "unauthorized_message": Row(
            401, "Unauthorized", raw={"message": "Unauthorized", "request_id": "req_sim"}
        ),
        "payment": Row(
            402, "", raw={"message": "Payment required: your spending limit is reached."}
        ),
        "forbidden": _error(
            403, "The model {model} is not available on your tier.", "forbidden", "1600"
        ),
        "no_route": Row(404, "Not Found", raw={"detail": "Not Found"}),
        "too_large": Row(413, "", raw={"message": "Request entity too large"}),
        "invalid": Row(
            422,
            "",
            raw={
                "object": "error",
                "message": {
                    "detail": [{"type": "value_error", "loc": ["body"], "msg": "{message}"}]
                },
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
        ),
        "unprocessable": Row(
            422,
            "",
            raw={"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "{message}"}]},
        ),
        "rate_limited": _error(429, "Rate limit exceeded", "rate_limited", "1300"),
        "requests_rate": Row(429, "", raw={"message": "Requests rate limit exceeded"}),
        "capacity": _error(
            429,
            "Service tier capacity exceeded for this model.",
            "service_tier_capacity_exceeded",
            "3505",
        ),
        "server_error": _error(500, "Internal server error", "internal_server_error", "1000"),
        "bad_gateway": Row(502, "", raw={"message": "Bad gateway"}),
        "overloaded": _error(503, "Service unavailable.", "unreachable_backend", "1100"),
        "timeout": Row(504, "", raw={"message": "The upstream server is timing out"}),
    }

    def parse(self, asked: Asked) -> Call:
        """See `Personality`."""
        given = asked.given
        if asked.route.kind == "transcription":
            return _transcription(asked.form)
        if asked.route.kind != "chat":
            return super().parse(asked)
        for name in given:
            if name not in _CHAT_FIELDS:
                raise BadRequestError(f"Extra inputs are not permitted: {name}", name)
        messages = given.get("messages")
        if isinstance(messages, list):
            _check_order([m for m in messages if isinstance(m, Mapping)])
            given = given | {"messages": [_plain(message) for message in messages]}
        if given.get("tool_choice") == "any":
            given = given | {"tool_choice": "required"}
        if given.get("stream_options") is not None and not given.get("stream"):
            given = {name: value for name, value in given.items() if name != "stream_options"}
        return super().parse(replace(asked, given=given))

    def whole(self, turn: Turn) -> bytes:
        """See `Personality`."""
        body = orjson.loads(super().whole(turn))
        message = body["choices"][0]["message"]
        del message["refusal"], body["system_fingerprint"]
        for tool_call in message.get("tool_calls") or ():
            tool_call["id"] = _tool_id(turn.number)
        body["usage"] = _usage(turn.call, turn.reply)
        return orjson.dumps(body | {"id": f"{turn.number:032x}"})

    def stream(self, turn: Turn) -> Stream:
        """See `Personality`. A tool call comes whole; the usage is on the last chunk."""
        call, reply, number = turn.call, turn.reply, turn.number
        base = {
            "id": f"{number:032x}",
            "object": "chat.completion.chunk",
            "created": turn.created_s,
            "model": call.model,
        }

        def frame(delta: Mapping[str, Any], reason: str | None = None, **more: Any) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return b"data: " + orjson.dumps(base | {"choices": [choice]} | more) + b"\n\n"

        frames = [frame({"role": "assistant", "content": ""})]
        if reply.tool_name is not None:
            called = replies.tool_call(reply.tool_name, reply.text, _tool_id(number))
            frames.append(frame({"content": "", "tool_calls": [called | {"index": 0}]}))
        else:
            frames += [frame({"content": part}) for part in replies.words(reply)]
        frames.append(frame({"content": ""}, reply.finish_reason, usage=_usage(call, reply)))
        return Stream([*frames, DONE], closing=2, end=DONE)

    def embeddings(self, call: EmbeddingCall, model: Model) -> bytes:
        """See `Personality`."""
        body = orjson.loads(super().embeddings(call, model))
        return orjson.dumps({"id": "sim-embed", **body})

    def transcript(self, call: TranscriptionCall, model: Model, number: int) -> bytes:  # noqa: ARG002
        """See `Personality`. Always JSON; of words asked for, each is a segment."""
        heard = call.heard
        body: dict[str, Any] = {
            "model": call.model,
            "text": heard.text,
            "language": call.language,
            "usage": {
                "prompt_audio_seconds": math.ceil(heard.seconds),
                "prompt_tokens": 4,
                "completion_tokens": len(heard.words),
                "total_tokens": 4 + len(heard.words),
            },
        }
        if call.response_format == "diarized_json":
            named = transcripts.labelled(call, [f"speaker_{n}" for n in range(1, 5)])
            body["segments"] = [
                _segment(each.text, each.start_s, each.end_s) | {"speaker_id": speaker}
                for speaker, each in named
            ]
        elif call.words:
            body["segments"] = [_segment(w.word, w.start_s, w.end_s) for w in heard.words]
        elif call.segments:
            found = transcripts.segments_of(heard)
            body["segments"] = [_segment(each.text, each.start_s, each.end_s) for each in found]
        return orjson.dumps(body)

    def limit_headers(self, account: Account, now_us: int) -> Headers:
        """See `Personality`."""
        found = limit_headers(self.dialect, account, now_us)
        cost = (b"x-ratelimit-tokens-query-cost", b"0")
        return [*found, cost] if any(b"-tokens-" in name for name, _ in found) else found

    def over_limit(self, account: Account, refusal: Refusal) -> Answer:  # noqa: ARG002
        """See `Personality`. It tells no wait and no figures: the headers' windows do."""
        return self.trouble("rate_limited")

    def model_card(self, spec: SimulatedProvider, model: Model) -> dict[str, Any]:  # noqa: ARG002
        """See `OpenAILike`."""
        chats = "chat" in model.kinds
        return {
            "id": model.id,
            "object": "model",
            "created": 1_700_000_000,
            "owned_by": "mistralai",
            "name": model.id,
            "max_context_length": model.context_window,
            "aliases": [],
            "type": "base",
            "capabilities": {
                "completion_chat": chats,
                "function_calling": chats,
                "completion_fim": False,
                "fine_tuning": False,
                "vision": chats,
            },
        }


def _transcription(form: Form) -> TranscriptionCall:
    """Mistral's own form: no prompt and no format, and its times exclude a language."""
    for name in form.fields:
        if name not in _AUDIO_FIELDS:
            raise BadRequestError(f"Extra inputs are not permitted: {name}", name)
    grains = form.fields.get("timestamp_granularities", [])
    if any(grain not in ("word", "segment") for grain in grains):
        raise BadRequestError("Input should be 'segment' or 'word'", "timestamp_granularities")
    if grains and form.first("language"):
        raise BadRequestError(
            "timestamp_granularities and language cannot be given together", "language"
        )
    kept = ("model", "language")
    plain = {name: values for name, values in form.fields.items() if name in kept}
    call = transcripts.parse_transcription(Form(plain, form.files))
    transcripts.check_temperature(form)
    if form.first("diarize") == "true":
        if grains != ["segment"]:
            raise BadRequestError("diarize needs timestamp_granularities segment", "diarize")
        return replace(call, response_format="diarized_json", cut=True)
    return replace(call, words="word" in grains, segments="segment" in grains)


def _segment(text: str, start_s: float, end_s: float) -> dict[str, Any]:
    return {"text": text, "start": start_s, "end": end_s, "type": "transcription_segment"}


def _check_order(messages: Sequence[Mapping[str, Any]]) -> None:
    """The last one is the user's or a tool's; ids of tool calls have nine letters or digits."""
    last = messages[-1] if messages else {}
    if last.get("role") not in ("user", "tool") and not last.get("prefix"):
        raise BadRequestError(
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
            f"{last.get('role')}",
            "messages",
        )
    for before, message in pairwise(messages):
        if before.get("role") == "tool" and message.get("role") not in ("tool", "assistant"):
            raise BadRequestError(
                f"Unexpected role '{message.get('role')}' after role 'tool'", "messages"
            )
    for message in messages:
        calls = message.get("tool_calls") or ()
        for name in [message.get("tool_call_id"), *(each.get("id") for each in calls)]:
            if name is not None and not _TOOL_ID.fullmatch(str(name)):
                raise BadRequestError(
                    f"Tool call id was {name} but must be a-z, A-Z, 0-9, with a length of 9.",
                    "messages",
                )


def _plain(message: Any) -> Any:
    """The message without what only Mistral knows: thinking, and pictures as bare addresses."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return message
    kept = [part for part in content if part.get("type") not in ("thinking", "reference")]
    return message | {"content": kept}


def _tool_id(number: int) -> str:
    return f"sim{number:06x}"[-9:]


def _usage(call: ChatCall, reply: Reply) -> dict[str, int]:
    return {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": call.prompt_tokens + reply.tokens,
    }
