"""Requests of a caller, for the contracts of every wire of chats."""

from hypothesis import strategies as st

PNG = "data:image/png;base64,iVBORw0KGgo="
LONG_ID = "call:" + "x" * 80
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
TALK = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "name": "ada", "content": "Look a up."},
    {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": None,
        "reasoning_content": "Hm",
        "annotations": [],
        "tool_calls": [
            {
                "id": LONG_ID,
                "type": "function",
                "function": {"name": "look", "arguments": '{"q":"a"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": LONG_ID, "content": "42"},
    {"role": "user", "content": "And?"},
    {"role": "user", "content": [{"type": "text", "text": "Say it."}]},
]
EVERYTHING = {
    "model": "auto",
    "messages": TALK,
    "tools": [
        {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": False}},
        {"type": "function", "function": {"name": "stop", "description": "Ends it."}},
    ],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": SCHEMA, "strict": True},
    },
    "max_completion_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "stop": ["END"],
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 2},
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "user": "u1",
    "store": True,
    "metadata": {"a": "b"},
    "service_tier": "flex",
    "reasoning_effort": "low",
    "verbosity": "low",
    "prompt_cache_key": "k",
    "safety_identifier": "s",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("role", "content", "tool_calls", "id", "function", "type", "name"),
                    *(
                        "reasoning",
                        "reasoning_details",
                        "index",
                        "text",
                        "image_url",
                        "url",
                        "file",
                        "data",
                    ),
                    *("json_schema", "schema", "properties", "anyOf", "items", "message", "usage"),
                    *("thinking", "arguments", "parameters", "stop_reason", "finish_reason"),
                ]
            ),
            inner
            | st.sampled_from(["user", "assistant", "tool", "developer", "text", "json_schema"])
            | st.sampled_from(["tool_use", "thinking", "function", "image_url", "high"]),
            max_size=4,
        )
    ),
    max_leaves=15,
)
