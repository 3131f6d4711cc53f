"""OpenRouter: numeric error codes with metadata, comments in streams, limits only in bodies."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from simulator import replies
from simulator.config import Model, SimulatedProvider
from simulator.dialects import Headers
from simulator.durations import SECOND_US, ceil_seconds, short_span, span_name
from simulator.ledger import Account, Refusal
from simulator.personalities.base import Answer, Route, Stream, Turn
from simulator.personalities.openai_like import OpenAILike
from simulator.personalities.rows import Row
from simulator.replies import DONE

_COMMENT = b": OPENROUTER PROCESSING\n\n"
_FREE_SOURCES = {"day": "openrouter_free_tier_daily", "min": "openrouter_free_tier_minute"}


def _budget(source: str, message: str) -> Row:
    more = {
        "limit_source": source,
        "scope": "key",
        "limit_usd": 10,
        "spend_usd": 10.02,
        "resets_at": "2030-01-01T00:00:00.000Z",
    }
    return Row(403, message, more=more)


def _credits(source: str, message: str, *, retry: bool = False) -> Row:
    return Row(402, message, more={"limit_source": source}, retry=retry)


class OpenRouter(OpenAILike):
    """As wire-facts.md 7 and wire-chat.md 6 tell."""

    prefix = "api/v1"
    transcribes = False
    translates = False
    dialect = "none"
    filter_row = "moderation"
    rows: Mapping[str, Row] = {
        "invalid": Row(400, "{message}"),
        "too_long": Row(
            400,
            "This endpoint's maximum context length is {limit} tokens. However, you requested "
            "about {requested} tokens ({prompt} of text input, {wanted} in the output). Please "
            "reduce the length of either one.",
        ),
        "unauthorized": Row(401, "User not found."),
        "credits": _credits("openrouter_credits", "Insufficient credits. Add more and retry."),
        "in_flight_budget": _credits(
            "openrouter_in_flight_budget", "Too much is in flight for your budget.", retry=True
        ),
        "weight_exceeds_budget": _credits(
            "weight_exceeds_budget",
            "This request requires more credits, or fewer max_tokens. You requested up to "
            "{requested} tokens, but can only afford {limit}.",
        ),
        "guardrail_budget": _budget("openrouter_guardrail_budget", "Guardrail budget exceeded."),
        "workspace_budget": _budget("openrouter_workspace_budget", "Workspace budget exceeded."),
        "key_limit": _budget("openrouter_key_limit", "Key limit exceeded (daily limit)."),
        "moderation": Row(
            403,
            "{model} requires moderation. Your input was flagged.",
            more={
                "reasons": ["violence"],
                "flagged_input": "…",
                "provider_name": "Sim",
                "model_slug": "{model}",
            },
        ),
        "model_gone": Row(404, "No endpoints found for {model}."),
        "privacy": Row(404, "No endpoints found matching your data policy (Free model training)."),
        "no_route": Row(404, "Not Found"),
        "timeout": Row(408, "Request timed out."),
        "too_large": Row(413, "Payload too large."),
        "unprocessable": Row(422, "Unprocessable."),
        "rate_limited": Row(
            429,
            "Provider returned error",
            more={
                "raw": "{model} is temporarily rate-limited upstream. Please retry shortly.",
                "provider_name": "Sim",
                "is_byok": False,
                "retry_after_seconds": "{wait_s}",
                "headers": {"Retry-After": "{wait_s}"},
            },
            retry=True,
        ),
        "per_day": Row(
            429,
            "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model "
            "requests per day",
            more={
                "headers": {
                    "X-RateLimit-Limit": "50",
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": "{reset_ms}",
                },
                "limit_source": "openrouter_free_tier_daily",
            },
        ),
        "per_day_high_balance": Row(
            429,
            "Rate limit exceeded: free-models-per-day-high-balance. ",
            more={
                "headers": {
                    "X-RateLimit-Limit": "1000",
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": "{reset_ms}",
                },
                "limit_source": "openrouter_free_tier_daily",
            },
        ),
        "server_error": Row(500, "Internal Server Error"),
        "bad_gateway": Row(502, "Provider returned error", more={"provider_name": "Sim"}),
        "overloaded": Row(503, "There is no available model provider that meets your routing."),
        "cloudflare_timeout": Row(524, "A timeout occurred."),
        "upstream_overloaded": Row(529, "Provider is overloaded.", more={"provider_name": "Sim"}),
    }

    def route(self, method: str, path: str) -> Route | None:
        """See `Personality`."""
        if (method, path) == ("GET", f"{self.prefix}/key"):
            return Route("status")
        return super().route(method, path)

    def whole(self, turn: Turn) -> bytes:
        """See `Personality`."""
        body = orjson.loads(super().whole(turn))
        choice = body["choices"][0]
        choice["native_finish_reason"] = choice["finish_reason"]
        choice["message"]["reasoning"] = None
        body["usage"]["cost"] = _cost_usd(turn)
        return orjson.dumps(body | {"id": _id(turn), "provider": "Sim"})

    def stream(self, turn: Turn) -> Stream:
        """See `Personality`. A comment comes first, which is no event; usage always comes."""
        call = replace(turn.call, include_usage=True)
        chunks = replies.stream_frames(call, turn.reply, turn.number, turn.created_s)
        shown = []
        for frame in chunks[:-1]:
            chunk = orjson.loads(frame.removeprefix(b"data: "))
            chunk |= {"id": _id(turn), "provider": "Sim"}
            for choice in chunk["choices"]:
                choice["native_finish_reason"] = choice["finish_reason"]
            if chunk.get("usage"):
                chunk["usage"]["cost"] = _cost_usd(turn)
            shown.append(b"data: " + orjson.dumps(chunk) + b"\n\n")
        return Stream([_COMMENT + shown[0], *shown[1:], DONE], closing=3, end=DONE)

    def own_headers(self, account: Account | None, number: int) -> Headers:  # noqa: ARG002
        """See `Personality`."""
        return [(b"x-generation-id", b"gen-sim%d" % number)]

    def retry_headers(self, wait_us: int | None) -> Headers:
        """See `Personality`."""
        return [] if wait_us is None else [(b"retry-after", b"%d" % ceil_seconds(wait_us))]

    def over_limit(self, account: Account, refusal: Refusal) -> Answer:
        """See `Personality`. Free models have limits of the account, others none but upstream's."""
        if refusal.dimension != "requests" or refusal.wait_us is None:
            return self.trouble("rate_limited", model=account.model.id)
        name = span_name(refusal.span_us)
        per = {"minute": "min", None: short_span(refusal.span_us)}.get(name, name)
        metadata: dict[str, Any] = {
            "headers": {
                "X-RateLimit-Limit": str(refusal.limit),
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(-(-(refusal.at_us + refusal.wait_us) // 1_000)),
            },
        }
        if per in _FREE_SOURCES:
            metadata["limit_source"] = _FREE_SOURCES[str(per)]
        row = Row(429, f"Rate limit exceeded: free-models-per-{per}. ", more=metadata)
        return row.status, self.body(row), []

    def body(self, row: Row) -> bytes:
        """See `Personality`."""
        error: dict[str, Any] = {"code": row.status, "message": row.message}
        if row.more:
            metadata = dict(row.more)
            if "retry_after_seconds" in metadata:
                metadata["retry_after_seconds"] = int(metadata["retry_after_seconds"])
            error["metadata"] = metadata
        return orjson.dumps({"error": error, "user_id": "user_sim"})

    def stream_error(self, body: bytes) -> bytes:
        """See `Personality`. The error stands beside a choice that ended with it."""
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        chunk = {"id": "gen-sim", "object": "chat.completion.chunk", "choices": [choice]}
        error = orjson.loads(body)["error"]
        return b"data: " + orjson.dumps(chunk | {"error": error}) + b"\n\n"

    def models(self, spec: SimulatedProvider) -> bytes:
        """See `Personality`."""
        return orjson.dumps({"data": [self.model_card(spec, model) for model in spec.models]})

    def model_card(self, spec: SimulatedProvider, model: Model) -> dict[str, Any]:  # noqa: ARG002
        """See `OpenAILike`. Prices are texts, in dollars a token."""
        return {
            "id": model.id,
            "name": model.id,
            "created": 1_700_000_000,
            "context_length": model.context_window,
            "architecture": {"modality": "text+image->text"},
            "pricing": {
                "prompt": f"{model.price_input_usd_per_1m / 1e6:.10f}",
                "completion": f"{model.price_output_usd_per_1m / 1e6:.10f}",
            },
            "top_provider": {
                "context_length": model.context_window,
                "max_completion_tokens": model.max_output_tokens,
                "is_moderated": False,
            },
            "supported_parameters": ["max_tokens", "response_format", "tools", "tool_choice"],
        }

    def key_status(self, account: Account | None, now_us: int) -> Answer:
        """See `Personality`."""
        if account is None:
            return self.trouble("unauthorized")
        daily = next(
            (
                meter
                for meter in account.meters
                if meter.spec.dimension == "requests" and meter.spec.span_us >= 86_400 * SECOND_US
            ),
            None,
        )
        data: dict[str, Any] = {
            "label": account.key.id,
            "limit": None,
            "limit_remaining": None,
            "usage": 0,
            "is_free_tier": account.key.plan == "free",
        }
        if daily is not None:
            used = daily.window.used(now_us)
            data["free_model_daily_requests"] = {
                "used": used,
                "limit": daily.announced_limit,
                "remaining": max(0, daily.announced_limit - used),
            }
        return 200, orjson.dumps({"data": data}), []


def _id(turn: Turn) -> str:
    return f"gen-{turn.created_s}-{turn.number}"


def _cost_usd(turn: Turn) -> float:
    spent = turn.call.prompt_tokens * turn.model.price_input_usd_per_1m
    return (spent + turn.reply.tokens * turn.model.price_output_usd_per_1m) / 1e6
