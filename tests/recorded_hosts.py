"""Answers of OpenAI-compatible hosts in their own formats: shared/facts/wire-chat.md 3, 4 and 6."""

from dataclasses import dataclass, field
from typing import Any

from recorded_streams import BASE, CALL, USAGE, Stream, chunk, sse, text

TOP = {"id": "cmpl-7", "object": "chat.completion", "created": 5, "model": "m1-2026"}


@dataclass(frozen=True)
class Reply:
    """A recorded answer and the message it must become. `usage` is (input, output, cached)."""

    name: str
    wire: str
    body: dict[str, Any]
    message: dict[str, Any]
    finish_reason: str = "stop"
    usage: tuple[int, int, int] = (9, 3, 0)
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A recorded stream of a host."""

    wire: str
    stream: Stream


def answer(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
        **more.pop("choice", {}),
    }
    return {**TOP, "choices": [choice], "usage": USAGE, **more}


def thinking(*texts: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": each} for each in texts]}


FILTERS = {"hate": {"filtered": False, "severity": "safe"}}
REPLIES = [
    Reply("plain", "openai", answer({"content": "Hi", "refusal": None}), {"content": "Hi"}),
    Reply(
        "reasoning, own tier, times in usage",
        "groq",
        answer(
            {"content": "Hi", "reasoning": "Hm"},
            service_tier="on_demand",
            usage={**USAGE, "queue_time": 0.01, "prompt_tokens_details": {"cached_tokens": 4}},
            x_groq={"id": "req_1", "usage": {"dram_cached_tokens": 0}},
        ),
        {"content": "Hi", "reasoning_content": "Hm"},
        usage=(9, 3, 4),
        kept={"service_tier": "default"},
    ),
    Reply(
        "parts with thinking",
        "mistral",
        answer({"content": [thinking("H", "m"), {"type": "text", "text": "Hi"}]}),
        {"content": "Hi", "reasoning_content": "Hm"},
    ),
    Reply(
        "a call with an object for arguments and no id",
        "mistral",
        answer(
            {
                "content": "",
                "tool_calls": [
                    {"id": "null", "function": {"name": "look", "arguments": {"q": "a"}}}
                ],
            },
            "tool_calls",
        ),
        {"content": "", "tool_calls": [{**CALL, "id": "call_1_0"}]},
        "tool_calls",
    ),
    Reply(
        "model_length",
        "mistral",
        answer({"content": "Hi"}, "model_length", service_tier="standard_only"),
        {"content": "Hi"},
        "length",
    ),
    Reply(
        "reasoning with details, provider and cost",
        "openrouter",
        answer(
            {
                "content": "Hi",
                "refusal": None,
                "reasoning": "Hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}],
            },
            provider="Acme",
            usage={**USAGE, "cost": 0.00014},
            choice={"native_finish_reason": "STOP", "logprobs": None},
        ),
        {
            "content": "Hi",
            "reasoning_content": "Hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}],
        },
        kept={"provider": "Acme", "usage": {**USAGE, "cost": 0.00014}},
    ),
    Reply(
        "filter results",
        "azure-openai",
        answer(
            {"content": "Hi"},
            prompt_filter_results=[{"prompt_index": 0, "content_filter_results": FILTERS}],
            choice={"content_filter_results": FILTERS},
        ),
        {"content": "Hi"},
    ),
    Reply(
        "filtered, without content",
        "azure-openai",
        answer({}, "content_filter"),
        {"content": None},
        "content_filter",
    ),
    Reply(
        "cache hits of its own",
        "deepseek",
        answer(
            {"content": "Hi", "reasoning_content": "Hm"},
            usage={**USAGE, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 1},
        ),
        {"content": "Hi", "reasoning_content": "Hm"},
        usage=(9, 3, 8),
    ),
    Reply(
        "nulls and empty lists",
        "vllm",
        answer(
            {
                "content": "Hi",
                "reasoning": None,
                "tool_calls": [],
                "function_call": None,
                "audio": None,
                "annotations": None,
            },
            prompt_logprobs=None,
            kv_transfer_params=None,
            choice={"stop_reason": None, "logprobs": None},
        ),
        {"content": "Hi"},
    ),
    Reply(
        "timings", "llamacpp", answer({"content": "Hi"}, timings={"prompt_n": 9}), {"content": "Hi"}
    ),
    Reply(
        "thinking",
        "ollama",
        answer({"content": "Hi", "reasoning": "Hm"}, system_fingerprint="fp_ollama"),
        {"content": "Hi", "reasoning_content": "Hm"},
    ),
    Reply(
        "end of sequence, cached tokens at the top",
        "together",
        answer({"content": "Hi", "tool_calls": []}, "eos", usage={**USAGE, "cached_tokens": 2}),
        {"content": "Hi"},
        usage=(9, 3, 2),
    ),
    Reply(
        "reasoning counted beside the output",
        "xai",
        answer(
            {"content": "Hi", "reasoning_content": "Hm", "refusal": None},
            usage={
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
        ),
        {"content": "Hi", "reasoning_content": "Hm"},
        usage=(9, 8, 0),
    ),
    Reply(
        "no id, object or time",
        "nvidia",
        {"choices": [{"message": {"content": "Hi"}}], "usage": USAGE},
        {"content": "Hi"},
    ),
    Reply("a number", "cloudflare", answer({"content": 7}), {"content": "7"}),
    Reply(
        "time info, a float for a time",
        "cerebras",
        answer({"content": "Hi", "reasoning": "Hm"}, created=5.5, time_info={"total_time": 0.1}),
        {"content": "Hi", "reasoning_content": "Hm"},
    ),
]


def calls(*values: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(values)}


def whole(id_: str | None, arguments: Any, name: str = "look", **more: Any) -> dict[str, Any]:
    named = {} if id_ is None else {"id": id_}
    return {**named, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


TWO = {
    "role": "assistant",
    "content": None,
    "refusal": None,
    "tool_calls": [CALL, {**whole("call_2", '{"q":"b"}')}],
}
CALLED = chunk({}, "tool_calls", usage=USAGE)
STREAMS = [
    Recorded(
        "groq",
        Stream(
            "groq: reasoning, usage in x_groq alone, asked for two",
            sse(
                chunk({"role": "assistant", "content": ""}, x_groq={"id": "req_1"}),
                chunk({"reasoning": "Hm"}, service_tier="on_demand"),
                chunk({"content": "Hi"}),
                chunk({}, "stop", x_groq={"id": "req_1", "usage": {**USAGE, "queue_time": 0.1}}),
                done=False,
            ),
            text("Hi", reasoning_content="Hm"),
            request={"n": 2},
        ),
    ),
    Recorded(
        "mistral",
        Stream(
            "mistral: thinking parts, then text",
            sse(
                chunk({"role": "assistant", "content": ""}),
                chunk({"content": [thinking("H")]}),
                chunk({"content": [thinking("m")]}),
                chunk({"content": [{"type": "text", "text": "H"}]}),
                chunk({"content": "i"}, "stop", usage={**USAGE, "prompt_audio_seconds": None}),
            ),
            text("Hi", reasoning_content="Hm"),
        ),
    ),
    Recorded(
        "mistral",
        Stream(
            "mistral: whole calls with objects",
            sse(
                chunk(calls(whole("call_1", {"q": "a"}, index=0)), None),
                chunk(calls(whole("call_2", {"q": "b"}, index=1)), "tool_calls", usage=USAGE),
            ),
            TWO,
            "tool_calls",
        ),
    ),
    Recorded(
        "ollama",
        Stream(
            "ollama: every whole call at index 0",
            sse(
                chunk(calls(whole("call_1", '{"q":"a"}', index=0))),
                chunk(calls(whole("call_2", '{"q":"b"}', index=0))),
                CALLED,
            ),
            TWO,
            "tool_calls",
        ),
    ),
    Recorded(
        "llamacpp",
        Stream(
            "calls without index or id",
            sse(
                chunk(calls(whole(None, '{"q":"a"}'))),
                chunk(calls(whole(None, '{"q":"b"}'))),
                CALLED,
            ),
            {
                **TWO,
                "tool_calls": [
                    {**CALL, "id": "call_1_0"},
                    {**whole("call_1_1", '{"q":"b"}')},
                ],
            },
            "tool_calls",
        ),
    ),
    Recorded(
        "vllm",
        Stream(
            "vllm: another id with every piece of one call",
            sse(
                chunk({"role": "assistant", "content": None, "reasoning_content": None}),
                chunk(calls(whole("call_1", "", index=0))),
                chunk(calls({"index": 0, "id": "t-2", "function": {"arguments": '{"q":'}})),
                chunk(calls({"index": 0, "id": "t-3", "function": {"arguments": '"a"}'}})),
                CALLED,
            ),
            {**TWO, "tool_calls": [CALL]},
            "tool_calls",
        ),
    ),
    Recorded(
        "openrouter",
        Stream(
            "openrouter: comments, reasoning with details, cost",
            b": OPENROUTER PROCESSING\n\n"
            + sse(
                chunk(
                    {
                        "role": "assistant",
                        "content": "",
                        "reasoning": "H",
                        "reasoning_details": [{"type": "reasoning.text", "text": "H"}],
                    },
                    provider="Acme",
                ),
                done=False,
            )
            + b": OPENROUTER PROCESSING\n\n"
            + sse(
                chunk(
                    {
                        "reasoning": "m",
                        "reasoning_details": [{"type": "reasoning.text", "text": "m"}],
                    }
                ),
                chunk({"content": "Hi"}),
                chunk({"content": ""}, "stop", usage={**USAGE, "cost": 0.00014}),
            ),
            text(
                "Hi",
                reasoning_content="Hm",
                reasoning_details=[
                    {"type": "reasoning.text", "text": "H"},
                    {"type": "reasoning.text", "text": "m"},
                ],
            ),
        ),
    ),
    Recorded(
        "azure-openai",
        Stream(
            "azure: prompt filter results first, late filter results without a delta",
            sse(
                {
                    "choices": [],
                    "created": 0,
                    "id": "",
                    "model": "",
                    "object": "",
                    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
                },
                chunk({"role": "assistant", "content": "", "refusal": None}),
                chunk({"content": "Hi"}),
                {
                    **BASE,
                    "choices": [
                        {"index": 0, "finish_reason": None, "content_filter_results": FILTERS}
                    ],
                },
                chunk({}, "stop"),
                chunk(None, usage=USAGE),
            ),
            text("Hi"),
        ),
    ),
    Recorded(
        "deepseek",
        Stream(
            "deepseek: kept alive by blank lines and comments",
            b"\n\n: keep-alive\n\n"
            + sse(
                chunk({"role": "assistant", "content": None, "reasoning_content": "Hm"})
            ).removesuffix(b"data: [DONE]\n\n")
            + b"\n: keep-alive\n\n"
            + sse(
                chunk({"content": "Hi", "reasoning_content": None}),
                chunk({"content": ""}, "stop", usage={**USAGE, "prompt_cache_hit_tokens": 8}),
            ),
            text("Hi", reasoning_content="Hm"),
        ),
    ),
]

PROVIDER_ERROR = {
    "code": 502,
    "message": "Provider returned error",
    "metadata": {"provider_name": "Acme"},
}
BROKEN_CHOICE = answer({"content": ""}, "error", choice={"error": PROVIDER_ERROR})
