"""What a checked request needs of a deployment: capabilities and tokens."""

from collections.abc import Mapping
from typing import Any, Final

from shared import tokens
from shared.core.model import Need

EXPECTED_OUTPUT_TOKENS: Final = 512  # where the caller names no limit
_BY_PART: Final = {"image_url": "vision", "input_audio": "audio_input", "file": "pdf_input"}


def chat_capabilities(request: Mapping[str, Any], known: frozenset[str]) -> frozenset[str]:
    """The capabilities a chat needs, of those the catalog has words for."""
    needed: set[str] = set()
    if request.get("stream"):
        needed.add("stream")
    if request.get("tools"):
        needed.add("tools")
    shape = request.get("response_format")
    if shape and shape.get("type") in ("json_schema", "json_object"):
        needed.add(shape["type"])
    for message in request["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            needed.update(_BY_PART.get(part["type"], "") for part in content)
    return known.intersection(needed) if needed else frozenset()


def max_output(request: Mapping[str, Any]) -> int | None:
    """The output limit the caller named, for each choice; None where none."""
    asked = request.get("max_completion_tokens") or request.get("max_tokens")
    return None if asked is None else int(asked)


def chat_need(request: Mapping[str, Any]) -> Need:
    """The tokens a chat is expected to use, over all choices asked for."""
    asked, choices = max_output(request), int(request.get("n") or 1)
    expected = EXPECTED_OUTPUT_TOKENS if asked is None else min(EXPECTED_OUTPUT_TOKENS, asked)
    return Need(
        input_tokens=tokens.count_chat(request),
        output_tokens=expected * choices,
        max_output_tokens=(expected if asked is None else asked) * choices,
    )


def embedding_need(request: Mapping[str, Any]) -> Need:
    """The tokens an embedding uses: input only."""
    return Need(input_tokens=tokens.count_embedding(request["input"]))
