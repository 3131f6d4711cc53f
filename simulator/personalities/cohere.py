"""Cohere's v2 API: typed stream events, trial headers, and waits that nobody tells."""

from collections.abc import Mapping
from typing import Any

import orjson

from simulator import replies
from simulator.config import Model, SimulatedProvider
from simulator.dialects import Headers, remaining
from simulator.durations import short_span, span_name
from simulator.ledger import Account, Refusal
from simulator.personalities import cohere_requests
from simulator.personalities.base import Answer, Asked, Call, Personality, Route, Stream, Turn
from simulator.personalities.rows import Row
from simulator.replies import Reply
from simulator.requests import ChatCall, EmbeddingCall

_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
_TRIAL = "You are using a Trial key, which is limited to {limit} API calls / {per}. {advice}"
_ADVICE = (
    "You can continue to use the Trial key for free or upgrade to a Production key with higher "
    "rate limits at 'https://dashboard.cohere.com/api-keys'."
)


def _trial(limit: int, per: str) -> str:
    return _TRIAL.format(limit=limit, per=per, advice=_ADVICE)


class Cohere(Personality):
    """As wire-facts.md 6 and wire-chat.md 2 tell."""

    prefix = "v2"
    filter_row = "blocklisted"
    rows: Mapping[str, Row] = {
        "invalid": Row(400, "invalid request: {message}"),
        "too_long": Row(
            400,
            "too many tokens: total number of tokens (prompt and prediction) cannot exceed "
            "{limit} - received {requested}. Try using a shorter prompt.",
        ),
        "size_limit": Row(400, "size limit exceeded"),
        "unauthorized": Row(401, "invalid api token"),
        "no_key": Row(401, "no api key supplied"),
        "billing_limit": Row(402, "Your organization has reached its billing limit."),
        "payment_failed": Row(402, "Your last payment failed."),
        "forbidden": Row(403, "This key may not be used here."),
        "model_gone": Row(
            404,
            "model '{model}' not found, make sure the correct model ID was used and that you have "
            "access to the model.",
        ),
        "no_route": Row(404, "page not found"),
        "too_large": Row(413, "request body too large"),
        "unprocessable": Row(422, "the request could not be processed"),
        "rate_limited": Row(429, _trial(20, "minute")),
        "per_month": Row(429, _trial(1_000, "month")),
        "tokens_per_minute": Row(
            429, "trial token rate limit exceeded, limit is 100000 tokens per minute"
        ),
        "slow_down": Row(429, "Please wait and try again later"),
        "blocklisted": Row(498, "the request or the answer holds a token on your deny list"),
        "cancelled": Row(499, "request cancelled"),
        "server_error": Row(500, "internal server error, this has been reported to our developers"),
        "not_implemented": Row(501, "this endpoint is not implemented for model '{model}'"),
        "overloaded": Row(503, "service unavailable"),
        "timeout": Row(504, "request timed out"),
    }

    def route(self, method: str, path: str) -> Route | None:
        """See `Personality`. Models are listed by version 1 only."""
        match method, path:
            case "POST", "v2/chat":
                return Route("chat")
            case "POST", "v2/embed":
                return Route("embedding")
            case "GET", "v1/models":
                return Route("models")
            case "POST", "v1/check-api-key":
                return Route("status")
            case "GET", _ if path.startswith("v1/models/"):
                return Route("model", path.removeprefix("v1/models/"))
            case _:
                return None

    def parse(self, asked: Asked) -> Call:
        """See `Personality`."""
        if asked.route.kind == "chat":
            return cohere_requests.parse(asked.given)
        return cohere_requests.parse_embed(asked.given)

    def whole(self, turn: Turn) -> bytes:
        """See `Personality`."""
        call, reply, number = turn.call, turn.reply, turn.number
        message: dict[str, Any] = {"role": "assistant"}
        if reply.tool_name is not None:
            message["tool_plan"] = f"I will use {reply.tool_name}."
            message["tool_calls"] = [_tool_call(reply.tool_name, reply.text, number)]
        else:
            message["content"] = [{"type": "text", "text": reply.text}]
        return orjson.dumps(
            {
                "id": _id(number),
                "finish_reason": _FINISH[reply.finish_reason],
                "message": message,
                "usage": _usage(call, reply),
            }
        )

    def stream(self, turn: Turn) -> Stream:
        """See `Personality`."""
        call, reply, number = turn.call, turn.reply, turn.number
        message = {
            "role": "assistant",
            "content": [],
            "tool_plan": "",
            "tool_calls": [],
            "citations": [],
        }
        start = _event("message-start", id=_id(number), delta={"message": message})
        finish = {"finish_reason": _FINISH[reply.finish_reason], "usage": _usage(call, reply)}
        end = _event("message-end", delta=finish)
        if reply.tool_name is not None:
            return Stream([start, *_tool_events(reply.tool_name, reply.text, number), end])
        content = {"type": "text", "text": ""}
        opened = _event("content-start", index=0, delta={"message": {"content": content}})
        closed = _event("content-end", index=0)
        parts = [
            _event("content-delta", index=0, delta={"message": {"content": {"text": part}}})
            for part in replies.words(reply)
        ]
        return Stream([start, opened, *parts, closed, end], opening=2, closing=2)

    def embeddings(self, call: EmbeddingCall, model: Model) -> bytes:
        """See `Personality`."""
        size = call.dimensions or model.dimensions
        vectors = [replies.embedding_of(text, size).tolist() for text in call.inputs]
        return orjson.dumps(
            {
                "id": "sim-embed",
                "embeddings": {"float": vectors},
                "texts": call.inputs,
                "meta": {
                    "api_version": {"version": "2"},
                    "billed_units": {"input_tokens": call.prompt_tokens},
                },
                "response_type": "embeddings_by_type",
            }
        )

    def models(self, spec: SimulatedProvider) -> bytes:
        """See `Personality`."""
        return orjson.dumps({"models": [_card(model) for model in spec.models]})

    def model(self, spec: SimulatedProvider, model: Model) -> bytes:  # noqa: ARG002
        """See `Personality`."""
        return orjson.dumps(_card(model))

    def key_status(self, account: Account | None, now_us: int) -> Answer:  # noqa: ARG002
        """See `Personality`."""
        return 200, orjson.dumps({"valid": account is not None}), []

    def emptied(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        return {name: value for name, value in body.items() if name not in ("message", "texts")}

    def silenced(self, body: dict[str, Any]) -> dict[str, Any]:
        """See `Personality`."""
        return {**body, "message": {"role": "assistant"}}

    def limit_headers(self, account: Account, now_us: int) -> Headers:
        """See `Personality`. Only trial keys are told, and never what is left of the month."""
        if account.key.plan != "free" or not account.provider.announce.headers:
            return []
        headers: Headers = []
        for meter in account.meters:
            if meter.spec.dimension != "requests":
                continue
            limit = b"%d" % meter.announced_limit
            match span_name(meter.spec.span_us):
                case "minute":
                    left = b"%d" % remaining(meter, now_us)
                    headers.append((b"x-trial-endpoint-call-limit", limit))
                    headers.append((b"x-trial-endpoint-call-remaining", left))
                case "month":
                    headers.append((b"x-endpoint-monthly-call-limit", limit))
                case _:
                    pass
        return headers

    def refusal_headers(self, account: Account, now_us: int) -> Headers:  # noqa: ARG002
        """See `Personality`. A 429 is silent."""
        return []

    def own_headers(self, account: Account | None, number: int) -> Headers:  # noqa: ARG002
        """See `Personality`."""
        return [(b"x-debug-trace-id", b"sim%d" % number)]

    def over_limit(self, account: Account, refusal: Refusal) -> Answer:
        """See `Personality`."""
        per = span_name(refusal.span_us) or (short_span(refusal.span_us) if refusal.span_us else "")
        if refusal.dimension == "concurrency" or not account.provider.announce.body:
            return self.trouble("slow_down")
        if refusal.dimension == "requests":
            return self.trouble("rate_limited", message=_trial(refusal.limit, per))
        message = f"trial token rate limit exceeded, limit is {refusal.limit} tokens per {per}"
        return self.trouble("tokens_per_minute", message=message)

    def body(self, row: Row) -> bytes:
        """See `Personality`."""
        return orjson.dumps({"id": "sim-error", "message": row.message})

    def stream_error(self, body: bytes) -> bytes:
        """See `Personality`. A stream ends with the error as its reason."""
        delta = {"finish_reason": "ERROR", "error": orjson.loads(body)["message"]}
        return _event("message-end", delta=delta)


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name} | fields))


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _tool_call(name: str, arguments: str, number: int) -> dict[str, Any]:
    return replies.tool_call(name, arguments, f"{name}_sim{number}")


def _tool_events(name: str, arguments: str, number: int) -> list[bytes]:
    def called(value: Mapping[str, Any]) -> dict[str, Any]:
        return {"message": {"tool_calls": value}}

    plan = {"message": {"tool_plan": f"I will use {name}."}}
    opened = called(_tool_call(name, "", number))
    return [
        _event("tool-plan-delta", delta=plan),
        _event("tool-call-start", index=0, delta=opened),
        *(
            _event("tool-call-delta", index=0, delta=called({"function": {"arguments": part}}))
            for part in replies.cut(arguments)
        ),
        _event("tool-call-end", index=0),
    ]


def _usage(call: ChatCall, reply: Reply) -> dict[str, Any]:
    """Real counts, and the billed ones, which leave out what is not the caller's own text."""
    return {
        "billed_units": {
            "input_tokens": max(1, call.prompt_tokens - 4),
            "output_tokens": reply.tokens,
        },
        "tokens": {"input_tokens": call.prompt_tokens, "output_tokens": reply.tokens},
        "cached_tokens": 0,
    }


def _card(model: Model) -> dict[str, Any]:
    kinds = {"chat": "chat", "embedding": "embed"}
    return {
        "name": model.id,
        "endpoints": [kinds[kind] for kind in model.kinds],
        "finetuned": False,
        "context_length": model.context_window,
        "features": ["json_mode", "tools"],
    }
