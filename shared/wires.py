"""How the wires of known hosts differ from OpenAI's: `Quirks` by name, as `quirks` would say it.

A provider of such a name has them by itself; another says `quirks: {like: groq}`. `NATIVE` are the
wires of types that are not OpenAI's at all: every provider of such a type has them. What its own
`quirks` say wins. `takes` lists what a host that refuses unknown fields has in its official SDK
(groq 1.7, mistralai 3.7), less what its documentation refuses; it speaks of callers' names, so
that `seed` stands there where it is renamed.
Sources: shared/facts/wire-chat.md 3, 4, 6, wire-facts.md, catalog-facts.yaml; otherwise noted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_USUAL = ["low", "medium", "high"]
_STRONG = [*_USUAL, "xhigh", "max"]
_OPENAI: Mapping[str, Any] = {
    "max_tokens_field": "max_completion_tokens",
    "rate_dialect": "openai",
    "roles": {},
    "tool_ids": "max40",
    # wire-chat.md 7.1: over half a minute it must be told how to cut
    "audio_adds": {"*diarize*": {"chunking_strategy": "auto"}},
    "audio_speakers": {"response_format": "diarized_json", "chunking_strategy": "auto"},
    # catalog-facts.yaml, litellm 2026-11-12
    "efforts": {
        "gpt-4*": [],
        "gpt-audio*": [],
        "gpt-6.1-sol*": _STRONG,
        "gpt-6-astra*": _STRONG,
        "gpt-6-rosalind*": _STRONG,
        "gpt-6*": ["none", *_STRONG],
        "gpt-5.1*": ["none", *_USUAL],
        "gpt-5.[2-9]*": ["none", *_USUAL, "xhigh"],
        "gpt-5*": ["minimal", *_USUAL],
        "o[134]*": _USUAL,
    },
}
_AZURE: Mapping[str, Any] = {**_OPENAI, "auth_header": "api-key", "auth_format": "{key}"}
_AZURE_VERSION = "api-version=2024-10-21"


def _names(text: str) -> list[str]:
    return text.split()


_EVERYWHERE = _names(
    "frequency_penalty max_completion_tokens max_tokens messages model parallel_tool_calls "
    "presence_penalty reasoning_effort response_format seed stop stream stream_options temperature "
    "tool_choice tools top_p"
)

WIRES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "openai": _OPENAI,
        # base_url: https://{resource}.openai.azure.com/openai/v1
        "azure-openai": _AZURE,
        # base_url: https://{resource}.openai.azure.com/openai; models are named by deployment
        "azure-deployments": {
            **_AZURE,
            "chat_path": f"/deployments/{{model}}/chat/completions?{_AZURE_VERSION}",
            "embeddings_path": f"/deployments/{{model}}/embeddings?{_AZURE_VERSION}",
            "models_path": f"/models?{_AZURE_VERSION}",
        },
        "groq": {
            "max_tokens_field": "max_completion_tokens",
            "rate_dialect": "groq",
            "stream_usage": False,  # x_groq.usage always comes, and the SDK knows no stream_options
            "takes": [
                *_EVERYWHERE,
                *_names("citation_options compound_custom disable_tool_validation documents"),
                *_names("exclude_domains function_call functions include_domains metadata user"),
                *_names("include_reasoning reasoning_format search_settings service_tier store"),
            ],
            "message_takes": {
                "system": ["content"],
                "user": ["content"],
                "assistant": ["content", "tool_calls", "function_call", "reasoning"],
                "tool": ["content", "tool_call_id"],
            },
            "values": {
                "service_tier": {"default": "on_demand", "priority": "performance", "scale": ""},
                "reasoning_effort": {"minimal": "low", "xhigh": "high", "max": "high"},
                "tool_choice": {"any": "required"},
            },
            # wire-chat.md 4; Qwen's other one is "default", which is to say nothing
            "efforts": {"*gpt-oss*": _USUAL, "qwen/*": ["none"], "allam*": []},
        },
        "mistral": {
            "rate_dialect": "mistral",
            "stream_usage": False,
            "takes": [
                *_EVERYWHERE,
                *_names("guardrails logprobs metadata min_tokens n prediction prompt_cache_key"),
                *_names("prompt_logprobs prompt_mode random_seed repetition_penalty safe_prompt"),
                *_names("service_tier top_k top_logprobs top_prompt_logprobs"),
            ],
            "rename": {"seed": "random_seed"},
            "message_takes": {
                "system": ["content"],
                "user": ["content"],
                "assistant": ["content", "tool_calls", "prefix"],
                "tool": ["content", "tool_call_id", "name"],
            },
            "values": {
                "tool_choice": {"required": "any"},
                "service_tier": {
                    "default": "standard_only",
                    "flex": "",
                    "priority": "",
                    "scale": "",
                },
            },
            "tool_ids": "alnum9",
            "parts": "mistral",
            "strict_order": True,
            # docs.mistral.ai, `prefix`: the answer comes back with the beginning it was given
            "prefill": ["*"],
            # mistralai 3.7: always JSON, and neither a prompt nor a format
            "audio_takes": _names("language temperature timestamp_granularities"),
            "translation_path": "",
            "efforts": {
                "mistral-large-4*": ["none", *_USUAL],
                "mistral-medium-3*": ["none", "high"],
                "mistral-small-26*": ["none", "high"],
                "zai-glm*": ["low", "high", "max"],
            },
            "audio_grains": "timestamp_granularities",
            "audio_speakers": {"diarize": "true", "timestamp_granularities": "segment"},
            "times_or_language": True,
        },
        # its list of models is public; GET /key tells of the key
        "openrouter": {
            "reasoning_back": "always",
            "reasoning_field": "reasoning",
            "check_path": "/key",
        },
        # api-docs.deepseek.com/guides/thinking_mode (2026-11): reasoning of turns with tool calls
        # must come back, other reasoning is not looked at
        "deepseek": {"reasoning_back": "tools", "rate_dialect": "none"},
        # inference-docs.cerebras.ai/resources/openai, read 2026-11
        "cerebras": {
            "max_tokens_field": "max_completion_tokens",
            "rate_dialect": "cerebras",
            "drop": ["frequency_penalty", "logit_bias", "presence_penalty", "service_tier"],
        },
        # It refuses fields it does not know (400, 422), and some models hang on stream_options:
        # reports to NVIDIA/garak (748), earendil-works/pi (1528), HKUDS/DeepTutor (420), 2024-2026
        "nvidia": {
            "rate_dialect": "none",
            "stream_usage": False,
            "takes": [
                *_EVERYWHERE,
                *_names("chat_template_kwargs logprobs n nvext top_k top_logprobs"),
            ],
        },
        # docs.ollama.com/api/openai-compatibility: what it does not list it silently ignores
        "ollama": {
            "drop": _names("logit_bias metadata n parallel_tool_calls service_tier store user"),
            "rate_dialect": "none",
        },
        "vllm": {"reasoning_back": "always", "rate_dialect": "none"},
        # tools/server: an assistant's last message is gone on with, unless --no-prefill-assistant
        "llamacpp": {"reasoning_back": "always", "rate_dialect": "none", "prefill": ["*"]},
    }
)

_CLAUDE = ["none", "low", "medium", "high"]
NATIVE: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # base_url: https://api.anthropic.com/v1; anthropic 2.13 has these fields
        "anthropic": {
            "auth_header": "x-api-key",
            "auth_format": "{key}",
            "extra_headers": {"anthropic-version": "2023-06-01"},
            "chat_path": "/messages",
            "embeddings_path": "",
            "transcription_path": "",
            "rate_dialect": "anthropic",
            "takes": _names(
                "max_completion_tokens max_tokens parallel_tool_calls reasoning_effort "
                "response_format safety_identifier service_tier stop temperature tool_choice tools "
                "top_p user cache_control inference_geo output_config speed thinking top_k"
            ),
            "message_takes": {
                "system": ["content"],
                "user": ["content"],
                "assistant": ["content", "tool_calls", "refusal", "reasoning_details"],
                "tool": ["content", "tool_call_id", "is_error"],
            },
            "values": {
                "service_tier": {
                    "default": "standard_only",
                    "priority": "auto",
                    "flex": "",
                    "scale": "",
                },
            },
            "tool_ids": "word64",
            "reasoning_back": "always",
            # wire-chat.md 4: models after 4.5 refuse an assistant's text at the very end
            "prefill": [
                "*claude-3*",
                "*claude-*-4-[0-5]",
                "*claude-*-4-[0-5]-*",
                "*claude-*-4-20*",
            ],
            # platform.claude.com/docs/en/build-with-claude/extended-thinking and adaptive-thinking
            # (2026-11): up to 4.5 by budget only, from 4.7 on by effort only; xhigh from 4.7 on
            "efforts": {
                "*claude-3*": [],
                "*claude-*-4-[0-5]": [],
                "*claude-*-4-[0-5]-*": [],
                "*claude-*-4-20*": [],
                "*claude-*-4-6*": [*_CLAUDE, "max"],
                "*": [*_CLAUDE, "xhigh", "max"],
            },
        },
        # base_url: https://api.cohere.com/v2; cohere 7.3 has these fields
        "cohere": {
            "chat_path": "/chat",
            "embeddings_path": "/embed",
            "drop": ["user"],  # of embeddings, whose fields `takes` does not speak of
            "takes": _names(
                "frequency_penalty max_completion_tokens max_tokens presence_penalty "
                "reasoning_effort response_format seed stop temperature tool_choice tools top_p "
                "citation_options documents priority safety_mode strict_tools thinking top_k"
            ),
            "message_takes": {
                "system": ["content"],
                "user": ["content"],
                "assistant": [
                    *_names("citations content reasoning_content refusal tool_calls tool_plan")
                ],
                "tool": ["content", "tool_call_id"],
            },
            "reasoning_back": "tools",
            "audio_takes": _names("language temperature"),
            "translation_path": "",
        },
        "gemini": {
            "auth_header": "x-goog-api-key",
            "auth_format": "{key}",
            "rate_dialect": "none",
            "chat_path": "/models/{model}:generateContent",
            "embeddings_path": "/models/{model}:batchEmbedContents",
            "transcription_path": "/models/{model}:generateContent",
            "models_path": "/models?pageSize=1000",
            "takes": _names(
                "frequency_penalty include_reasoning logprobs max_completion_tokens max_tokens "
                "messages model n presence_penalty reasoning_effort response_format "
                "safety_settings seed service_tier stop stream stream_options temperature "
                "tool_choice tools top_k top_logprobs top_p"
            ),
            "values": {"service_tier": {"auto": "", "default": "standard", "scale": ""}},
            "audio_takes": _names("language prompt temperature timestamp_granularities"),
        },
        # base_url: https://api.deepgram.com/v1
        "deepgram": {
            "auth_format": "Token {key}",
            "rate_dialect": "none",
            "chat_path": "",
            "embeddings_path": "",
            "models_path": "",
            "transcription_path": "/listen",
            "audio_takes": _names("language timestamp_granularities"),
            "audio_speakers": {"diarize": "true"},
        },
        # base_url: https://api.assemblyai.com/v2
        "assemblyai": {
            "auth_header": "authorization",
            "auth_format": "{key}",
            "rate_dialect": "none",
            "chat_path": "",
            "embeddings_path": "",
            "models_path": "",
            # /upload, /transcript and then polling: three calls, which no attempt of ours makes
            "transcription_path": "",
        },
    }
)
"""The wires that are not OpenAI's, by type of provider: how our own adapters speak to them."""
