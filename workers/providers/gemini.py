"""The adapter for Gemini's own API: generateContent, its stream, and embeddings.

Google sends no rate-limit headers and no `[DONE]`; a stream ends with its candidates.
Sources: shared/facts/wire-chat.md 1, wire-facts.md 3.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind, Outcome, Succeeded
from shared.credentials import Secret
from workers.assemble import Assembler
from workers.providers import gemini_audio, gemini_request, normalise, transcripts
from workers.providers.base import Call, HttpReply, HttpRequest, StreamReader
from workers.providers.classify import inside, malformed, read_object, refusal
from workers.providers.errors import error_of, read_error
from workers.providers.gemini_embeddings import embeddings
from workers.providers.gemini_reply import Translator
from workers.providers.openai_compatible import post
from workers.providers.streaming import ChatReader

_SPENT = re.compile(r"spend(?:ing)? (?:cap|limit)", re.IGNORECASE)
_SPENT_MS = 600_000


class Gemini:
    """See `base.Adapter`. Holds nothing: one serves all calls."""

    def build(self, call: Call, credential: Secret | None) -> HttpRequest | Failed:
        """The request to send, or why it cannot be; KeyError where this kind is not offered."""
        quirks = call.quirks
        if call.kind is Kind.TRANSCRIPTION:
            return gemini_audio.build(call, credential)
        embedding = call.kind is Kind.EMBEDDING
        path = quirks.embeddings_path if embedding else quirks.chat_path
        if not path:
            raise KeyError(call.kind)
        made = gemini_request.embeddings(call) if embedding else gemini_request.chat(call)
        if isinstance(made, Failed):
            return made
        if embedding and "requests" not in made.body:
            path = path.replace(":batchEmbedContents", ":embedContent")
        elif call.stream:
            path = path.replace(":generateContent", ":streamGenerateContent")
            path += "&alt=sse" if "?" in path else "?alt=sse"
        return post(call, credential, path, made.body, made.dropped)

    def parse(self, call: Call, reply: HttpReply) -> Outcome:
        """What a whole answer with a 2xx status came to."""
        if call.kind is Kind.TRANSCRIPTION:
            return transcripts.read(call, reply, gemini_audio.heard)
        value = read_object(reply)
        if isinstance(value, Failed):
            return value
        try:
            if call.kind is Kind.EMBEDDING and value.keys() & {"embedding", "embeddings"}:
                return embeddings(call, value)
            chunk = Translator(call, whole=True).chunk(value)
            if call.kind is Kind.CHAT and "choices" in chunk and "error" not in chunk:
                return _completion(call, chunk)
        except normalise.Malformed as exc:
            return malformed(str(exc), reply.status)
        return inside(call, reply.status, reply.headers, error_of(value))

    def parse_stream(self, call: Call, status: int, headers: Mapping[str, str]) -> StreamReader:
        """A reader for one stream that began with a 2xx status."""
        refuse = functools.partial(inside, call, status, headers)
        return ChatReader(call, refuse, Translator(call))

    def classify(
        self, call: Call, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> Failed:
        """What an answer that is not 2xx means."""
        failed = refusal(call, status, headers, read_error(body), now_ms)
        if failed.kind is FailureKind.RATE_LIMITED and _SPENT.search(failed.message):
            # A cap on what is spent in any ten minutes, whatever retryDelay says (facts 3).
            wait_ms = max(_SPENT_MS, failed.retry_after_ms or 0)
            return replace(failed, scope="credential", retry_after_ms=wait_ms)
        return transcripts.unsuited(call, failed)


def _completion(call: Call, chunk: dict[str, Any]) -> Outcome:
    normalise.top(
        chunk, "chat.completion.chunk", call.job_id, call.created_s, call.deployment.model
    )
    assembler = Assembler()
    assembler.add(chunk)
    reported = normalise.read_usage(chunk)
    if reported is None:
        usage = normalise.estimate(call.input_tokens, assembler.texts(), call.count)
    else:
        usage = normalise.usage_of(reported)
    completion = assembler.completion(normalise.usage_shape(usage, reported))
    if not completion["choices"] or not normalise.speaks(completion):
        return malformed("the answer is empty", 200)
    return Succeeded(orjson.dumps(completion), usage)
