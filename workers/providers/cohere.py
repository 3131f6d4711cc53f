"""The adapter for Cohere's v2 API: chat and embeddings."""

import functools
from collections.abc import Mapping

from shared.core.model import Kind
from shared.core.outcome import Failed, Outcome
from shared.credentials import Secret
from workers.providers import cohere_replies, cohere_requests, transcription, transcripts
from workers.providers.base import Call, HttpReply, HttpRequest, StreamReader
from workers.providers.classify import inside, refusal
from workers.providers.errors import read_error
from workers.providers.openai_compatible import post, read
from workers.providers.streaming import ChatReader


class Cohere:
    """See `base.Adapter`. Holds nothing: one serves all calls."""

    def build(self, call: Call, credential: Secret | None) -> HttpRequest | Failed:
        """The request to send, or why these inputs cannot be embedded here."""
        if call.kind is Kind.TRANSCRIPTION:
            return transcription.build(call, credential)
        if call.kind is not Kind.EMBEDDING:
            body, dropped = cohere_requests.chat_body(call)
            return post(call, credential, call.quirks.chat_path, body, dropped)
        made = cohere_requests.embedding_body(call)
        if isinstance(made, Failed):
            return made
        return post(call, credential, call.quirks.embeddings_path, *made)

    def parse(self, call: Call, reply: HttpReply) -> Outcome:
        """What a whole answer with a 2xx status came to."""
        if call.kind is Kind.TRANSCRIPTION:
            return transcripts.read(call, reply, transcription.heard)
        embedding = call.kind is Kind.EMBEDDING
        return read(
            call, reply, cohere_replies.embeddings if embedding else cohere_replies.completion
        )

    def parse_stream(self, call: Call, status: int, headers: Mapping[str, str]) -> StreamReader:
        """A reader for one stream that began with a 2xx status."""
        refuse = functools.partial(inside, call, status, headers)
        return ChatReader(call, refuse, cohere_replies.Events())

    def classify(
        self, call: Call, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> Failed:
        """What an answer that is not 2xx means."""
        return transcripts.unsuited(call, refusal(call, status, headers, read_error(body), now_ms))
