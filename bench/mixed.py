"""Mixed chats: plain, streamed, with tools, with a JSON schema, long; and whose answer it is."""

from dataclasses import dataclass
from typing import Any

import orjson

from bench.client import Answer
from simulator.answers import digest

MODEL = "sim-small"
TURNS = (
    "plain",
    "streamed",
    "tools",
    "json",
    "plain",
    "streamed",
    "tools",
    "json",
    "plain",
    "long",
)
"""The kinds in turn: of ten chats three are plain, two of each other kind, one is long."""
LONG_WORDS = 1_200
_FIELDS = {"type": "object", "properties": {"wheel": {"type": "string"}}, "required": ["wheel"]}
_TOOL = {"name": "turn_wheel", "description": "Turns a wheel.", "parameters": _FIELDS}
_SCHEMA = {"name": "wheel", "strict": True, "schema": {**_FIELDS, "additionalProperties": False}}
_OK = 200


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat of a run: what is asked, and by what its answer is known."""

    kind: str
    question: str

    @property
    def stream(self) -> bool:
        """Whether its answer comes in pieces."""
        return self.kind == "streamed"

    def request(self) -> dict[str, Any]:
        """The request, in OpenAI's shape."""
        said = self.question
        if self.kind == "tools":
            said = f"{said} Call turn_wheel."
        asked: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": said}],
            "max_tokens": 128,
        }
        match self.kind:
            case "streamed":
                asked |= {"stream": True, "stream_options": {"include_usage": True}}
            case "tools":
                asked["tools"] = [{"type": "function", "function": _TOOL}]
            case "json":
                asked["response_format"] = {"type": "json_schema", "json_schema": _SCHEMA}
            case "long":
                asked["messages"] = [{"role": "system", "content": "mill " * LONG_WORDS}]
                asked["messages"] += [{"role": "user", "content": said}]
        return asked

    def belongs(self, body: bytes) -> bool:
        """Whether these bytes carry a whole answer to this very question."""
        said = self.request()["messages"][-1]["content"]
        whole = b"data: [DONE]" in body if self.stream else orjson.loads(body).get("choices")
        return f"sim-{digest(said)}".encode() in body and bool(whole)

    def status(self, answer: Answer) -> int:
        """The status; 0 for a 200 that is another's answer or none."""
        return 0 if answer.status == _OK and not self.belongs(answer.body) else answer.status


def chat(run: str, index: int) -> Chat:
    """The chat of that number; its text holds an id that the simulator counts."""
    return Chat(TURNS[index % len(TURNS)], f"[[id:{run}-{index}]] What turns the wheel?")
