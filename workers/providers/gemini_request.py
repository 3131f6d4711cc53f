"""Chat and embedding requests as Gemini's. Pure; the caller's own are not changed.

`maxOutputTokens` counts thinking too, as `max_completion_tokens` does at OpenAI: what the caller
allows is the most that is spent, and nothing is added for thinking.
Sources: shared/facts/wire-chat.md 1.2 and 1.5; google-genai 3.6 for embeddings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.core.outcome import Failed, FailureKind
from workers.providers import gemini_contents, gemini_tools, parameters
from workers.providers.base import Call
from workers.providers.gemini_models import Facts, facts_of

MAX_INPUTS = 100  # "at most 100 requests can be in one batch"
_MAX_STOPS = 5
_SEEDS = 1 << 31  # an int32 there, an int64 at OpenAI
_EMBEDDING_TAKES = frozenset({"input", "dimensions", "encoding_format", "task_type", "title"})
_SAME = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}


@dataclass(frozen=True, slots=True)
class Made:
    """A body, and what of the caller's request is not in it."""

    body: dict[str, Any]
    dropped: tuple[str, ...]


def chat(call: Call) -> Made:
    """The body of generateContent and streamGenerateContent."""
    facts = facts_of(call.deployment.model)
    fitted = parameters.fit(call.request, call.quirks)
    asked = fitted.body
    talk = gemini_contents.talk(asked.get("messages"), facts)
    tools, lost_tools = gemini_tools.declared(asked.get("tools"))
    lost = {*fitted.dropped, *talk.dropped, *lost_tools}
    body: dict[str, Any] = {"contents": talk.contents}
    if talk.system:
        body["systemInstruction"] = {"parts": talk.system}
    if tools:
        body["tools"] = tools
        choice = gemini_tools.chosen(asked.get("tool_choice"))
        if choice:
            body["toolConfig"] = choice
    config = _config(asked, call, facts, bool(tools), lost)
    if config:
        body["generationConfig"] = config
    if asked.get("safety_settings"):
        body["safetySettings"] = asked["safety_settings"]
    if asked.get("service_tier"):
        body["serviceTier"] = asked["service_tier"]
    return Made(body, tuple(sorted(lost)))


def _config(
    asked: Mapping[str, Any], call: Call, facts: Facts, tools: bool, lost: set[str]
) -> dict[str, Any]:
    config = {there: asked[here] for here, there in _SAME.items() if here in asked}
    limit = asked.get("max_completion_tokens", asked.get("max_tokens"))
    if limit is not None:
        config["maxOutputTokens"] = _bounded(limit, call.deployment.max_output_tokens)
    if asked.get("n", 1) != 1:
        config["candidateCount"] = asked["n"]
    if isinstance(asked.get("seed"), int):
        config["seed"] = asked["seed"] % _SEEDS
    stops = _stops(asked.get("stop"))
    if stops:
        config["stopSequences"] = stops[:_MAX_STOPS]
    if len(stops) > _MAX_STOPS:
        lost.add("stop")
    if asked.get("logprobs"):
        config["responseLogprobs"] = True
        if asked.get("top_logprobs"):
            config["logprobs"] = asked["top_logprobs"]
    shape = _shape(asked.get("response_format"))
    if shape and tools and not facts.json_with_tools:
        lost.add("response_format")
    else:
        config |= shape
    thinking = _thinking(asked, facts, lost)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _bounded(asked: Any, most: int | None) -> Any:
    """A model refuses a limit above its own, and cannot give more anyway."""
    return most if most is not None and isinstance(asked, int) and asked > most else asked


def _stops(stop: Any) -> list[str]:
    listed = stop if isinstance(stop, list) else [stop]
    return [each for each in listed if isinstance(each, str) and each]


def _shape(wanted: Any) -> dict[str, Any]:
    """What `response_format` asks for; text asks for nothing."""
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind not in ("json_object", "json_schema"):
        return {}
    shape: dict[str, Any] = {"responseMimeType": "application/json"}
    described = wanted.get("json_schema")
    if kind == "json_schema" and isinstance(described, Mapping) and described.get("schema"):
        shape["responseJsonSchema"] = described["schema"]
    return shape


def _thinking(asked: Mapping[str, Any], facts: Facts, lost: set[str]) -> dict[str, Any]:
    thinking: dict[str, Any] = {}
    effort = asked.get("reasoning_effort")
    if effort is not None:
        found, short = facts.thinking(effort)
        thinking |= found or {}
        if short:
            lost.add(f"reasoning_effort={effort}" if found else "reasoning_effort")
    if asked.get("include_reasoning"):
        thinking["includeThoughts"] = True
    return thinking


def embeddings(call: Call) -> Made | Failed:
    """The body of embedContent for a text, of batchEmbedContents for a list; or what is wrong."""
    takes = replace(call.quirks, takes=_EMBEDDING_TAKES, values=())
    fitted = parameters.fit(call.request, takes)
    given = fitted.body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        return _refused("Gemini embeds texts, not token ids; send input as text")
    if len(texts) > MAX_INPUTS:
        return _refused(f"Gemini embeds {MAX_INPUTS} texts at once, not {len(texts)}; send fewer")
    options = {
        there: fitted.body[here]
        for here, there in (
            ("task_type", "taskType"),
            ("title", "title"),
            ("dimensions", "outputDimensionality"),
        )
        if here in fitted.body
    }
    requests = [
        {
            "model": f"models/{call.deployment.model}",
            "content": {"parts": [{"text": text}]},
            **options,
        }
        for text in texts
    ]
    one = isinstance(call.request.get("input"), str)
    return Made(requests[0] if one else {"requests": requests}, fitted.dropped)


def _refused(message: str) -> Failed:
    return Failed(FailureKind.UNSUITED, f"input: {message}", param="input", sent=False)
