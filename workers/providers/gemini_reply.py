"""Gemini's answers, whole or in pieces, as OpenAI's chunks.

A whole answer is a stream of one piece. Sources: shared/facts/wire-chat.md 1.3, 1.4 and 1.5.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from workers.providers import normalise, parameters, signatures
from workers.providers.base import Call
from workers.providers.gemini_tools import callers_names

_KNOWN = frozenset({"candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId"})
_LENGTH = frozenset({"MAX_TOKENS", "CONTINUATION"})
_FILTERED = frozenset(
    {
        *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"),
        *("ESCALATION", "PUP_LIMITED_DISABLED", "MODEL_ARMOR", "IMAGE_SAFETY"),
        *("IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE"),
    }
)
# The model lost its way: no answer where nothing was said before, and often one at the next try.
_BROKEN = frozenset(
    {
        *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
        *("MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"),
    }
)
_UNSPECIFIED = frozenset({None, "", "FINISH_REASON_UNSPECIFIED"})


class Candidate:
    """What one candidate has said so far; its thoughts are no answer."""

    __slots__ = ("calls", "said", "signature")

    def __init__(self) -> None:
        self.calls = 0
        self.said = False
        self.signature: str | None = None


class Translator:
    """Takes Gemini's pieces in order. `whole`: the one piece ends, whether it says so or not."""

    def __init__(self, call: Call, *, whole: bool = False) -> None:
        self._call = call
        self._whole = whole
        self._names = callers_names(call.request)
        self._candidates: dict[int, Candidate] = {}

    @property
    def ended(self) -> bool:
        """Gemini has no event that ends a stream."""
        return False

    def chunks(self, event: Any) -> list[Any]:
        """An event's one chunk."""
        return [self.chunk(event)]

    def chunk(self, value: Any) -> Any:
        """OpenAI's chunk for a piece; what is no piece of an answer, as it is. Raises Malformed."""
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, Mapping) or "error" in value or not _KNOWN & value.keys():
            return value
        chunk: dict[str, Any] = {"choices": self._choices(value)}
        for name, there in (("id", "responseId"), ("model", "modelVersion")):
            if isinstance(value.get(there), str):
                chunk[name] = value[there]
        usage = usage_of(value.get("usageMetadata"))
        if usage is not None:
            chunk["usage"] = usage
        return chunk

    def _choices(self, value: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = value.get("candidates") or []
        if not isinstance(found, list):
            raise normalise.Malformed("the candidates are no list")
        blocked = _get(value.get("promptFeedback"), "blockReason")
        if blocked and not found:
            return self._blocked(blocked, _get(value.get("promptFeedback"), "blockReasonMessage"))
        return [self._choice(at, each) for at, each in enumerate(found)]

    def _blocked(self, reason: Any, message: Any) -> list[dict[str, Any]]:
        """A prompt that was not let through: every answer asked for ends unsaid."""
        text = message if isinstance(message, str) and message else f"the prompt is {reason}"
        asked = parameters.answers(self._call.request, self._call.quirks)
        delta = {"role": "assistant", "refusal": f"Gemini blocked the prompt: {text}"}
        return [
            {"index": index, "delta": dict(delta), "finish_reason": "content_filter"}
            for index in range(asked)
        ]

    def _choice(self, position: int, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise normalise.Malformed("a candidate is no object")
        index = value["index"] if isinstance(value.get("index"), int) else position
        first = index not in self._candidates
        candidate = self._candidates.setdefault(index, Candidate())
        delta: dict[str, Any] = {"role": "assistant"} if first else {}
        self._say(candidate, value.get("content"), delta)
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": None}
        logprobs = _logprobs(value.get("logprobsResult"))
        if logprobs is not None:
            choice["logprobs"] = logprobs
        reason = value.get("finishReason")
        if reason not in _UNSPECIFIED or self._whole:
            self._finish(candidate, str(reason or "STOP"), value.get("finishMessage"), choice)
        return choice

    def _say(self, candidate: Candidate, content: Any, delta: dict[str, Any]) -> None:
        parts = content.get("parts") if isinstance(content, Mapping) else content
        if parts is not None and not isinstance(parts, list):
            raise normalise.Malformed("a candidate's content has no parts")
        texts: dict[str, list[str]] = {}
        for part in parts or ():
            if not isinstance(part, Mapping):
                raise normalise.Malformed("a part is no object")
            signature = part.get("thoughtSignature")
            signature = signature if isinstance(signature, str) else None
            if "functionCall" in part:
                called = self._called(candidate, part["functionCall"], signature)
                delta.setdefault("tool_calls", []).append(called)
                continue
            candidate.signature = signature or candidate.signature
            text = part.get("text")
            if isinstance(text, str) and text:
                name = "reasoning_content" if part.get("thought") is True else "content"
                texts.setdefault(name, []).append(text)
        delta |= {name: "".join(pieces) for name, pieces in texts.items()}
        candidate.said |= "content" in texts or candidate.calls > 0

    def _called(self, candidate: Candidate, value: Any, signature: str | None) -> dict[str, Any]:
        """A whole call: Gemini sends its arguments in one piece unless asked for less."""
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise normalise.Malformed("a function call names no function")
        args = value.get("args")
        if value.get("willContinue") or value.get("partialArgs"):
            raise normalise.Malformed("a function call came in pieces")
        if args is not None and not isinstance(args, Mapping):
            raise normalise.Malformed("a function call's arguments are no object")
        at, candidate.calls = candidate.calls, candidate.calls + 1
        id_ = value["id"] if isinstance(value.get("id"), str) and value["id"] else ""
        id_ = id_ or normalise.new_call_id(self._call.job_id, at)
        if signature:
            id_ = signatures.signed(id_, signature, self._call.deployment.model)
        name = self._names.get(value["name"], value["name"])
        text = orjson.dumps(args or {}).decode()
        return {
            "index": at,
            "id": id_,
            "type": "function",
            "function": {"name": name, "arguments": text},
        }

    def _finish(
        self, candidate: Candidate, reason: str, message: Any, choice: dict[str, Any]
    ) -> None:
        if reason in _BROKEN and not candidate.said:
            raise normalise.Malformed(f"the provider ended with finishReason {reason}")
        choice["finish_reason"] = "tool_calls" if candidate.calls else "stop"
        if reason in _LENGTH:
            choice["finish_reason"] = "length"
        elif reason in _FILTERED:
            choice["finish_reason"] = "content_filter"
            if not candidate.said:
                text = message if isinstance(message, str) and message else reason
                choice["delta"]["refusal"] = f"Gemini stopped this answer: {text}"
        if candidate.signature and candidate.said:
            model = self._call.deployment.model
            google = {"thought_signature": candidate.signature, "model": model}
            choice["delta"]["extra_content"] = {"google": google}


def usage_of(value: Any) -> dict[str, Any] | None:
    """`usageMetadata` as OpenAI's usage: thoughts are output, and what tools read is input."""
    prompt = _count(value, "promptTokenCount")
    if prompt is None:
        return None
    prompt += _count(value, "toolUsePromptTokenCount") or 0
    thoughts = _count(value, "thoughtsTokenCount") or 0
    said = _count(value, "candidatesTokenCount")
    total = _count(value, "totalTokenCount")
    if said is None and total is not None:
        output = max(thoughts, total - prompt)
    else:
        output = thoughts + (said or 0)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output if total is None else total,
    }
    cached = _count(value, "cachedContentTokenCount")
    if cached:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if thoughts:
        usage["completion_tokens_details"] = {"reasoning_tokens": thoughts}
    return usage


def _logprobs(value: Any) -> dict[str, Any] | None:
    chosen = _get(value, "chosenCandidates")
    if not isinstance(chosen, list):
        return None
    top = _get(value, "topCandidates")
    tops = [_get(each, "candidates") for each in top] if isinstance(top, list) else []
    content = []
    for at, each in enumerate(chosen):
        others = tops[at] if at < len(tops) and isinstance(tops[at], list) else []
        content.append({**_token(each), "top_logprobs": [_token(other) for other in others]})
    return {"content": content, "refusal": None}


def _token(value: Any) -> dict[str, Any]:
    token = _get(value, "token")
    token = token if isinstance(token, str) else ""
    logprob = _get(value, "logProbability")
    known = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return {
        "token": token,
        "logprob": logprob if known else 0.0,  # proto's JSON leaves out a zero
        "bytes": list(token.encode("utf-8", "surrogatepass")),
    }


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _count(value: Any, name: str) -> int | None:
    found = _get(value, name)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None
