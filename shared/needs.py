"""What is seen of a checked request: capabilities, tokens, its kind of work, its conversation."""

import math
from collections.abc import Mapping
from typing import Any, Final

from shared import tokens
from shared.catalog_types import (
    DIARIZATION,
    KNOWN_SPEAKERS,
    LANGUAGE_DETECTION,
    TIMESTAMPS,
    TRANSLATION,
    WORD_TIMESTAMPS,
)
from shared.core.analysis import EDGE_CHARS, Shape, edges
from shared.core.model import Need
from shared.core.pace import EXPECTED_OUTPUT_TOKENS

CONVERSATION_CHARS: Final = 4_096
OPENING: Final = 4  # the user, and so many messages less one
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
    """The tokens an embedding uses: input only; and how many texts it holds."""
    given = request["input"]
    many = isinstance(given, list) and not isinstance(given[0], int)  # else one, as text or tokens
    inputs = len(given) if many else 1
    return Need(input_tokens=tokens.count_embedding(given), inputs=inputs)


def transcription_need(seconds: float) -> Need:
    """What a part of audio uses: a call and its seconds, of which a part of one counts whole."""
    return Need(audio_seconds=math.ceil(seconds))


def transcription_capabilities(request: Mapping[str, Any]) -> frozenset[str]:
    """What a transcription needs beside: times, speakers, English, and to tell the language.

    Subtitles and `verbose_json` need times of segments, if nothing finer is named.
    """
    form = request.get("response_format")
    grains = request.get("timestamp_granularities") or ()
    times = form in ("srt", "vtt") or (form == "verbose_json" and not grains)
    wanted = {TIMESTAMPS: times or "segment" in grains, WORD_TIMESTAMPS: "word" in grains}
    wanted[TRANSLATION] = request.get("task") == "translate"
    wanted[LANGUAGE_DETECTION] = not (request.get("language") or wanted[TRANSLATION])
    wanted[DIARIZATION] = form == "diarized_json"
    wanted[KNOWN_SPEAKERS] = bool(request.get("known_speaker_names"))
    return frozenset(name for name, needed in wanted.items() if needed)


def chat_shape(request: Mapping[str, Any], need: Need) -> Shape:
    """What a chat's kind of work is told by."""
    messages = request["messages"]
    users = [one for one in messages if one["role"] == "user"]
    first = messages[0]
    system = _text(first) if first["role"] in ("system", "developer") else ""
    last = edges(_text(users[-1])) if users else ""
    parts = [part for one in messages for part in _parts(one)]
    return Shape(
        words=f"{system[:EDGE_CHARS]}\n{last}",
        input_tokens=need.input_tokens,
        max_output_tokens=max_output(request),
        turns=len(users),
        tools=len(request.get("tools") or ()),
        tool_results=sum(one["role"] in ("tool", "function") for one in messages),
        images=sum(part["type"] in _BY_PART for part in parts),
        effort=request.get("reasoning_effort"),
    )


def conversation(request: Mapping[str, Any]) -> tuple[str, bool]:
    """What tells a chat's conversation from others, and whether this is a later turn of it.

    A key for the prompt cache that the caller gave; else the user and the first messages, up to the
    first of the user's: they stay the same while a conversation grows.
    """
    key = request.get("prompt_cache_key")
    if isinstance(key, str) and key:
        return f"key {key}", True
    opening, answered = [f"user {request.get('user') or ''}"], False
    for message in request["messages"]:
        answered = answered or message["role"] == "assistant"
        if answered or len(opening) == OPENING:
            continue
        opening.append(f"{message['role']} {_text(message)[:CONVERSATION_CHARS]}")
    return "\n".join(opening), answered


def _parts(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in _parts(message))
