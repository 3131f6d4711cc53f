"""Anthropic's messages: blocks, named events, resets as points in time, 529 when it is full."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from simulator import replies
from simulator.config import Model, SimulatedProvider
from simulator.dialects import Headers, organisation_of, remaining
from simulator.durations import ceil_seconds, short_span, span_name
from simulator.ledger import Account, Meter, Refusal
from simulator.personalities import anthropic_requests
from simulator.personalities.base import Answer, Asked, Call, Personality, Route, Stream, Turn
from simulator.personalities.rows import Row
from simulator.replies import Reply
from simulator.requests import BadRequestError, ChatCall

_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_INVALID, _LIMIT = "invalid_request_error", "rate_limit_error"
_WHAT = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
}


def _spend(code: str, message: str) -> Row:
    return Row(429, message, _LIMIT, more={"details": {"error_code": code}})


class Anthropic(Personality):
    """As wire-facts.md 4 and wire-chat.md 5 tell."""

    max_body_bytes = 32 * 1024 * 1024
    rows: Mapping[str, Row] = {
        "invalid": Row(400, "{message}", _INVALID),
        "too_long": Row(400, "prompt is too long: {requested} tokens > {limit} maximum", _INVALID),
        "low_credit": Row(
            400,
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
            "Billing to upgrade or purchase credits.",
            _INVALID,
        ),
        "usage_limit": Row(
            400,
            "You have reached your specified API usage limits. You will regain access on "
            "2030-01-01 at 00:00 UTC.",
            _INVALID,
        ),
        "unauthorized": Row(401, "invalid x-api-key", "authentication_error"),
        "billing": Row(402, "There is an issue with your billing.", "billing_error"),
        "forbidden": Row(403, "Your API key may not use {model}.", "permission_error"),
        "model_gone": Row(404, "model: {model}", "not_found_error"),
        "no_route": Row(404, "Not Found", "not_found_error"),
        "conflict": Row(409, "The resource was changed meanwhile.", "conflict_error"),
        "too_large": Row(413, "Request exceeds the maximum size", "request_too_large"),
        "rate_limited": Row(
            429,
            "This request would exceed your organization's rate limit of 50 requests per minute.",
            _LIMIT,
            retry=True,
        ),
        "enforced_spend_limit": _spend(
            "enforced_spend_limit_reached", "Your organization's spend limit is reached."
        ),
        "contract_spend_limit": _spend(
            "contract_spend_limit_reached", "Your contract's spend limit is reached."
        ),
        "ramp_limit": Row(
            429,
            "Your usage rose too sharply. Please increase it gradually.",
            _LIMIT,
            more={"details": {"error_code": "ramp_limit_exceeded"}},
            retry=True,
        ),
        "server_error": Row(500, "Internal server error", "api_error"),
        "timeout": Row(504, "Request timed out", "timeout_error"),
        "overloaded": Row(529, "Overloaded", "overloaded_error"),
    }

    def route(self, method: str, path: str) -> Route | None:
        """See `Personality`."""
        match method, path:
            case "POST", "v1/messages":
                return Route("chat")
            case "POST", "v1/messages/count_tokens":
                return Route("count")
            case "GET", "v1/models":
                return Route("models")
            case "GET", _ if path.startswith("v1/models/"):
                return Route("model", path.removeprefix("v1/models/"))
            case _:
                return None

    def parse(self, asked: Asked) -> Call:
        """See `Personality`."""
        if not any(name == b"anthropic-version" for name, _ in asked.headers):
            raise BadRequestError("anthropic-version: header is required")
        return anthropic_requests.parse(asked.given, counting=asked.route.kind == "count")

    def whole(self, turn: Turn) -> bytes:
        """See `Personality`."""
        call, reply, number = turn.call, turn.reply, turn.number
        content: list[dict[str, Any]] = []
        if reply.tool_name is not None:
            block = _tool_block(reply.tool_name, number)
            content = [block | {"input": _arguments(reply)}]
        elif reply.finish_reason != "content_filter":
            content = [{"type": "text", "text": reply.text}]
        message = _message(call, number, reply.tokens)
        reason = _STOP[reply.finish_reason]
        return orjson.dumps(message | {"content": content, "stop_reason": reason})

    def stream(self, turn: Turn) -> Stream:
        """See `Personality`."""
        call, reply, number = turn.call, turn.reply, turn.number
        start = _event("message_start", message=_message(call, number, 1))
        if reply.tool_name is not None:
            block = _tool_block(reply.tool_name, number)
            deltas = [
                {"type": "input_json_delta", "partial_json": part}
                for part in ("", *replies.cut(reply.text))
            ]
        else:
            block = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": part} for part in replies.words(reply)]
        delta = {"stop_reason": _STOP[reply.finish_reason], "stop_sequence": None}
        closing = [
            _event("content_block_stop", index=0),
            _event("message_delta", delta=delta, usage={"output_tokens": reply.tokens}),
            _event("message_stop"),
        ]
        opened = _event("content_block_start", index=0, content_block=block) + _event("ping")
        parts = [_event("content_block_delta", index=0, delta=each) for each in deltas]
        return Stream([start, opened, *parts, *closing], opening=2, closing=3, end=closing[-1])

    def counted(self, call: Call) -> bytes:
        """See `Personality`."""
        return orjson.dumps({"input_tokens": call.prompt_tokens})

    def models(self, spec: SimulatedProvider) -> bytes:
        """See `Personality`."""
        cards = [_card(model) for model in spec.models]
        ends = {"first_id": cards[0]["id"], "last_id": cards[-1]["id"]} if cards else {}
        return orjson.dumps({"data": cards, "has_more": False} | ends)

    def model(self, spec: SimulatedProvider, model: Model) -> bytes:  # noqa: ARG002
        """See `Personality`."""
        return orjson.dumps(_card(model))

    def emptied(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        return {**body, "content": []}

    def silenced(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        return {**body, "content": [{"type": "text", "text": ""}]}

    def limit_headers(self, account: Account, now_us: int) -> Headers:
        """See `Personality`. Tokens tell the tightest of all token windows."""
        if not account.provider.announce.headers:
            return []
        headers: Headers = []
        by_noun = {
            noun: [m for m in account.meters if m.spec.dimension == dimension]
            for noun, dimension in (
                ("requests", "requests"),
                ("input-tokens", "input_tokens"),
                ("output-tokens", "output_tokens"),
            )
        }
        by_noun["tokens"] = [m for m in account.meters if m.spec.dimension != "requests"]
        for noun, meters in by_noun.items():
            if meters:
                tightest = min(meters, key=lambda meter: remaining(meter, now_us))
                headers += _told(noun, tightest, now_us)
        return headers

    def own_headers(self, account: Account | None, number: int) -> Headers:
        """See `Personality`."""
        organisation = organisation_of(account).encode()
        return [
            (b"request-id", b"req_sim%d" % number),
            (b"anthropic-organization-id", organisation),
        ]

    def over_limit(self, account: Account, refusal: Refusal) -> Answer:
        """See `Personality`."""
        wait_us = refusal.wait_us if account.provider.announce.retry_after else None
        if refusal.dimension == "concurrency" or not account.provider.announce.body:
            message = "Number of concurrent connections has exceeded your rate limit."
            return self.trouble("rate_limited", message=message, wait_us=wait_us)
        per = span_name(refusal.span_us) or short_span(refusal.span_us)
        message = (
            "This request would exceed your organization's rate limit of "
            f"{refusal.limit:,} {_WHAT.get(refusal.dimension, 'tokens')} per {per} "
            f"(org: {organisation_of(account)}, model: {account.model.id})."
        )
        return self.trouble("rate_limited", message=message, wait_us=wait_us)

    def body(self, row: Row) -> bytes:
        """See `Personality`."""
        error = {"type": row.type, "message": row.message} | dict(row.more)
        return orjson.dumps({"type": "error", "error": error, "request_id": "req_sim"})

    def stream_error(self, body: bytes) -> bytes:
        """See `Personality`."""
        return b"event: error\ndata: " + body + b"\n\n"


def _told(noun: str, meter: Meter, now_us: int) -> Headers:
    left = remaining(meter, now_us)
    left = left if noun == "requests" else round(left, -3)
    at_s = ceil_seconds(now_us + meter.window.full_us(now_us))
    reset = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    prefix = f"anthropic-ratelimit-{noun}-".encode()
    return [
        (prefix + b"limit", b"%d" % meter.announced_limit),
        (prefix + b"remaining", b"%d" % left),
        (prefix + b"reset", reset.encode()),
    ]


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name} | fields))


def _message(call: ChatCall, number: int, output_tokens: int) -> dict[str, Any]:
    return {
        "id": f"msg_sim{number}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": call.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    }


def _tool_block(name: str, number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_sim{number}", "name": name, "input": {}}


def _arguments(reply: Reply) -> Any:
    return orjson.loads(reply.text) if reply.finish_reason != "length" else {}


def _card(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": "2026-01-01T00:00:00Z",
    }
