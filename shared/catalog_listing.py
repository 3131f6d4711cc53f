"""What providers' own models endpoints say: their answers as `Listed` values. Pure.

Formats: OpenAI's list (`data`), an array (Together) or `models` (Gemini, Cohere, Ollama), with what
hosts add of sizes, prices and abilities. Sources (not asked live): ai.google.dev/api/models,
docs.cohere.com/reference/list-models, platform.claude.com/docs/en/api/models-list,
openrouter.ai/docs/api-reference/list-available-models, console.groq.com/docs/api-reference#models,
docs.mistral.ai/api (models), docs.vllm.ai (max_model_len).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from shared.catalog_types import MOST_SIZE

MAX_MODELS = 5_000
_MAX_ID = 200
_CONTEXT = (
    "context_window",
    "context_length",
    "max_context_length",
    "max_model_len",
    "inputTokenLimit",
    "max_input_tokens",
)
_OUTPUT = ("max_completion_tokens", "max_output_tokens", "outputTokenLimit")
_INNER = ("top_provider", "metadata", "meta")
_PER_TOKEN = 1e6
_TYPES = {
    "chat": "chat",
    "language": "chat",
    "embedding": "embedding",
    "transcribe": "transcription",
    "transcription": "transcription",
    **dict.fromkeys(("audio", "code", "image", "moderation", "rerank", "video"), "other"),
}
_EMBEDDING = re.compile(r"embed|\be5-|\bbge-", re.IGNORECASE)
_TRANSCRIPTION = re.compile(r"whisper|transcri|-asr\b", re.IGNORECASE)
_OTHER = re.compile(
    r"tts|speech|audio|voice|image|dall-e|sora|video|veo-|imagen|lyria|flux|diffusion-xl|rerank"
    r"|moderation|guard|\bocr|realtime|-live\b|davinci|babbage|computer-use|robotics|\baqa\b",
    re.IGNORECASE,
)


class Unreadable(ValueError):  # noqa: N818 - what it is, in our vocabulary
    """An answer that is no list of models; the message says what it is."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One model as its provider lists it; None is not told.

    `kind` is `chat`, `embedding`, `transcription`, or `other`: none of these. Prices are US dollars
    per one million tokens.
    """

    id: str
    kind: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    input_usd: float | None = None
    output_usd: float | None = None
    cached_usd: float | None = None
    capabilities: frozenset[str] | None = None
    aliases: tuple[str, ...] = ()
    ends: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its models, and what to ask for the next page with; "" where it is the last."""

    models: tuple[Listed, ...]
    after: str = ""


def url_of(type_: str, base_url: str, path: str, after: str = "") -> str:
    """Where a provider lists its models, from the page that `after` names."""
    base, (path, _, said) = base_url.rstrip("/"), path.partition("?")
    match type_:
        case "gemini":
            query = {"pageSize": "1000"} | ({"pageToken": after} if after else {})
        case "anthropic":
            query = {"limit": "1000"} | ({"after_id": after} if after else {})
        case "cohere":
            base = base.removesuffix("/v2") + "/v1" if base.endswith("/v2") else base
            query = {"page_size": "1000"} | ({"page_token": after} if after else {})
        case _:
            query = {}
    asked = urlencode({**dict(parse_qsl(said)), **query})
    return f"{base}{path}?{asked}" if asked else base + path


def read(type_: str, body: bytes) -> Page:
    """The models in an answer, one each; Unreadable where it is none of the known formats."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Unreadable("the answer is not JSON") from exc
    after = ""
    rows = value
    if isinstance(value, dict):
        rows = next((value[key] for key in ("data", "models") if key in value), None)
        if type_ == "anthropic":
            after = _text(value.get("last_id")) if value.get("has_more") else ""
        else:
            after = _text(value.get("nextPageToken") or value.get("next_page_token"))
    if not isinstance(rows, list):
        raise Unreadable("the answer holds no list of models")
    found = (_listed(row) for row in rows[:MAX_MODELS] if isinstance(row, dict))
    return Page(tuple({one.id: one for one in found if one is not None}.values()), after)


def kind_of(model: str) -> str:
    """What a model of this name is for, where nothing else tells."""
    if _EMBEDDING.search(model):
        return "embedding"
    if _TRANSCRIPTION.search(model):
        return "transcription"
    return "other" if _OTHER.search(model) else "chat"


def _listed(row: Mapping[str, Any]) -> Listed | None:
    name = _text(row.get("id") or row.get("name")).removeprefix("models/")
    if not name or len(name) > _MAX_ID or row.get("active") is False:
        return None
    inner = [row, *(row[key] for key in _INNER if isinstance(row.get(key), dict))]
    able = _abilities(row)
    prices = _prices(row)
    return Listed(
        id=name,
        kind=_kind(row),
        context_window=_size(inner, _CONTEXT),
        max_output_tokens=_size(inner, (*_OUTPUT, "max_tokens")),
        input_usd=prices[0],
        output_usd=prices[1],
        cached_usd=prices[2],
        capabilities=able,
        aliases=tuple(a for a in _texts(row.get("aliases")) if a != name),
        ends=_day(row.get("shutdown_date") or row.get("deprecation")),
    )


def _kind(row: Mapping[str, Any]) -> str | None:
    """By what the provider calls it; None where it does not say."""
    readers = (_kind_by_methods, _kind_by_chat, _kind_by_modalities, _kind_by_type)
    return next((kind for reader in readers if (kind := reader(row))), None)


def _kind_by_methods(row: Mapping[str, Any]) -> str | None:
    """Gemini's methods, Cohere's endpoints."""
    words = {*_texts(row.get("supportedGenerationMethods")), *_texts(row.get("endpoints"))}
    if words & {"generateContent", "chat"}:
        # Gemini's generateContent also draws and speaks: only the name tells those apart.
        return kind_of(_text(row.get("name")))
    if words & {"embedContent", "batchEmbedContents", "embed"}:
        return "embedding"
    return ("transcription" if "transcribe" in words else "other") if words else None


def _kind_by_chat(row: Mapping[str, Any]) -> str | None:
    """Mistral's capabilities."""
    able = row.get("capabilities")
    if not isinstance(able, dict) or "completion_chat" not in able:
        return None
    guess = kind_of(_text(row.get("id")))
    return "chat" if able["completion_chat"] else guess if guess != "chat" else "other"


def _kind_by_modalities(row: Mapping[str, Any]) -> str | None:
    """OpenRouter's architecture."""
    shape = row.get("architecture")
    made = set(_texts(shape.get("output_modalities"))) if isinstance(shape, dict) else set()
    if not made:
        return None
    return "chat" if made == {"text"} else "embedding" if made == {"embeddings"} else "other"


def _kind_by_type(row: Mapping[str, Any]) -> str | None:
    """Together's types; OpenAI-like lists say `model` of everything."""
    return _TYPES.get(_text(row.get("type")))


def _abilities(row: Mapping[str, Any]) -> frozenset[str] | None:
    """What OpenRouter and Mistral say a chat model can do; None where nothing is said."""
    able, found = row.get("capabilities"), {"chat", "stream"}
    if isinstance(able, dict) and able.get("completion_chat"):
        found |= {"json_object", "json_schema"}
        found |= {"tools", "parallel_tools"} if able.get("function_calling") else set()
        found |= {"vision"} if able.get("vision") else set()
        found |= {"reasoning"} if able.get("reasoning") else set()
        return frozenset(found)
    takes, shape = set(_texts(row.get("supported_parameters"))), row.get("architecture")
    if not takes or not isinstance(shape, dict):
        return None
    sees = set(_texts(shape.get("input_modalities")))
    for capability, told in (
        ("tools", "tools" in takes),
        ("parallel_tools", "parallel_tool_calls" in takes),
        ("json_object", "response_format" in takes),
        ("json_schema", "structured_outputs" in takes),
        ("reasoning", "reasoning" in takes),
        ("vision", "image" in sees),
        ("audio_input", "audio" in sees),
        ("video_input", "video" in sees),
        ("pdf_input", "file" in sees),
    ):
        found |= {capability} if told else set()
    return frozenset(found)


def _prices(row: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Input, output and cached input: texts are dollars a token, numbers dollars a million.

    Hosts that write numbers write 0 for "not by the token" too, which is not free.
    """
    inner = row.get("metadata")
    told = row.get("pricing") or (inner.get("pricing") if isinstance(inner, dict) else None)
    if not isinstance(told, dict):
        return None, None, None
    names = (
        ("prompt", "input", "input_tokens"),
        ("completion", "output", "output_tokens"),
        ("input_cache_read", "cached_input", "cache_read_tokens"),
    )
    each = [next((told[n] for n in group if n in told), None) for group in names]
    found = [_usd(value) for value in each]
    numbers_of_nothing = not isinstance(each[0], str) and found[:2] == [0, 0]
    if found[0] is None or found[1] is None or numbers_of_nothing:
        return None, None, None
    return found[0], found[1], found[2]


def _usd(value: object) -> float | None:
    try:
        if isinstance(value, str):
            usd = round(float(value) * _PER_TOKEN, 6)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            usd = float(value)
        else:
            return None
    except ValueError:
        return None
    return usd if 0 <= usd <= 1e6 else None  # noqa: PLR2004 - the schema's bound; -1 is "varies"


def _size(places: Iterable[Mapping[str, Any]], names: Iterable[str]) -> int | None:
    """The first of the names that holds a count, in the outermost place that has one."""
    for place in places:
        for name in names:
            value = place.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_SIZE:
                return value
    return None


def _day(value: object) -> str | None:
    found = re.match(r"\d{4}-\d{2}-\d{2}", value) if isinstance(value, str) else None
    return found[0] if found else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
