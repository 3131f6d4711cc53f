"""Calls of Gemini for its contracts, and the checks of what they are made into."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import wire_answers
from google import genai
from google.genai import types
from raw_server import RawServer
from worker_claims import deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.core.outcome import Outcome
from shared.quirks import Quirks
from workers.providers.base import Call, HttpReply
from workers.providers.gemini import Gemini

ADAPTER = Gemini()
MODEL, OLD = "gemini-3.8-flash", "gemini-2.5-flash"
QUIRKS = build(Config()).quirks("gemini")
SCHEMA = {
    "type": "object",
    "properties": {"q": {"$ref": "#/$defs/Q"}},
    "$defs": {"Q": {"type": "string", "const": "a"}},
    "additionalProperties": False,
}
LOOK = {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}
STOP = {"type": "function", "function": {"name": "stop", "parameters": {"type": "object"}}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def tool_call(id_: str, name: str = "look", arguments: str = '{"q":"a"}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


ASK = {"role": "user", "content": "Look a and b up."}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look a and b up."},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://x.org/b.webp?w=5"}},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ=="}},
        ],
    },
    {
        "role": "assistant",
        "content": "Wait.",
        "reasoning_content": "Hm",
        "tool_calls": [tool_call("x1"), tool_call("x2", "stop", "")],
    },
    {"role": "tool", "tool_call_id": "x2", "content": "done"},
    {"role": "tool", "tool_call_id": "x1", "content": '{"found":[42]}'},
    {"role": "user", "content": "And?"},
    {"role": "user", "content": "Say it."},
]
EVERYTHING = {
    "model": "auto",
    "messages": TALK,
    "tools": [LOOK, STOP],
    "tool_choice": "required",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    "max_completion_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "seed": 7,
    "stop": "END",
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "reasoning_effort": "low",
    "service_tier": "flex",
    "include_reasoning": True,
    "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}],
}


def call(
    model: str = MODEL, *, stream: bool = False, quirks: Quirks = QUIRKS, **request: Any
) -> Call:
    where = deployment("http://x/v1beta/", "gemini", type="gemini", model=model)
    asked = request or EVERYTHING
    kind = Kind.EMBEDDING if "input" in asked else Kind.CHAT
    return Call(kind, asked, where, quirks, stream, 12, job_id="job_1", created_s=5)


def body_of(model: str = MODEL, **request: Any) -> dict[str, Any]:
    body = orjson.loads(ADAPTER.build(call(model, **request), None).body)
    assert isinstance(body, dict)
    valid(body)
    return body


def contents_of(*messages: dict[str, Any], model: str = MODEL) -> list[dict[str, Any]]:
    found = body_of(model, messages=list(messages))["contents"]
    assert isinstance(found, list)
    return found


def valid(body: dict[str, Any]) -> None:
    """Every part of the body is one of google-genai's own types, which forbid what they lack."""
    whole = {
        "contents": types.Content,
        "systemInstruction": types.Content,
        "tools": types.Tool,
        "toolConfig": types.ToolConfig,
        "generationConfig": types.GenerationConfig,
        "safetySettings": types.SafetySetting,
    }
    rest = dict(body)
    assert rest.pop("serviceTier", "flex") in {each.value for each in types.ServiceTier}
    for name, value in rest.items():
        for each in value if isinstance(value, list) else [value]:
            whole[name].model_validate_json(orjson.dumps(each))


async def asked_by_the_sdk(server: RawServer, ask: Callable[[genai.Client], Any]) -> None:
    options = types.HttpOptions(base_url=server.url, api_version="v1beta")

    def run() -> None:
        with genai.Client(api_key="k1", http_options=options) as sdk:
            ask(sdk)

    await asyncio.to_thread(run)


def read(asked: Call, pieces: Iterable[bytes]) -> tuple[list[dict[str, Any]], Outcome]:
    return wire_answers.read(ADAPTER.parse_stream(asked, 200, {}), pieces)


def parsed(value: Any, asked: Call | None = None, status: int = 200) -> Outcome:
    reply = HttpReply(status, {}, orjson.dumps(value))
    return ADAPTER.parse(asked or call(messages=[ASK]), reply)
