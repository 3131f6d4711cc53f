"""Gemini's embeddings as OpenAI's list. Source: google-genai 3.6's EmbedContentResponse."""

import base64
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from shared.core.model import Usage
from shared.core.outcome import Succeeded
from workers.providers import normalise
from workers.providers.base import Call
from workers.providers.gemini_reply import usage_of

_MOST = 3.4028235e38  # of a 32-bit float


def embeddings(call: Call, value: Mapping[str, Any]) -> Succeeded:
    """The vectors of a whole answer, in the order of the inputs. Raises Malformed."""
    given = call.request.get("input")
    several = "embeddings" in value and (isinstance(given, list) or "embedding" not in value)
    found = value["embeddings"] if several else [value.get("embedding")]
    inputs = len(given) if isinstance(given, list) else 1
    if not isinstance(found, list) or len(found) != inputs:
        count = len(found) if isinstance(found, list) else 0
        raise normalise.Malformed(f"{inputs} inputs, {count} embeddings")
    packed = call.request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _vector(each, packed=packed)}
        for at, each in enumerate(found)
    ]
    reported = normalise.read_usage({"usage": usage_of(value.get("usageMetadata"))})
    tokens = call.input_tokens if reported is None else reported["prompt_tokens"]
    usage = Usage(input_tokens=tokens, output_tokens=0, estimated=reported is None)
    shape: dict[str, Any] = {"prompt_tokens": tokens, "total_tokens": tokens}
    if usage.estimated:
        shape["estimated"] = True
    body = {"object": "list", "data": data, "model": call.deployment.model, "usage": shape}
    return Succeeded(orjson.dumps(body), usage)


def _vector(embedding: Any, *, packed: bool) -> list[float] | str:
    """The numbers, or little-endian 32-bit floats in base64 as OpenAI's SDK asks for them."""
    values = embedding.get("values") if isinstance(embedding, Mapping) else None
    if not isinstance(values, list) or not values:
        raise normalise.Malformed("an embedding is missing")
    if not all(type(each) in (int, float) and abs(each) <= _MOST for each in values):
        raise normalise.Malformed("an embedding is no list of numbers")
    if not packed:
        return values
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
