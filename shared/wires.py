"""How the wires of known hosts differ from OpenAI's: `Quirks` by name, as `quirks` would say it.

A provider of such a name has them by itself; another says `quirks: {like: groq}`. What its own
`quirks` say wins. `takes` lists what a host that refuses unknown fields has in its official SDK
(groq 1.7, mistralai 3.7), less what its documentation refuses; it speaks of callers' names, so
that `seed` stands there where it is renamed.
Sources: shared/facts/wire-chat.md 3, 4, 6, wire-facts.md, catalog-facts.yaml; otherwise noted.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_OPENAI: Mapping[str, Any] = {
    "max_tokens_field": "max_completion_tokens",
    "rate_dialect": "openai",
    "roles": {},
    "tool_ids": "max40",
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
        "llamacpp": {"reasoning_back": "always", "rate_dialect": "none"},
    }
)
