"""The adapter for Anthropic's Messages API."""

import functools
from collections.abc import Mapping

from shared.core.model import Kind
from shared.core.outcome import Failed, Outcome
from shared.credentials import Secret
from workers.providers import anthropic_replies, anthropic_requests
from workers.providers.base import Call, HttpReply, HttpRequest, StreamReader
from workers.providers.classify import inside, refusal
from workers.providers.errors import read_error
from workers.providers.openai_compatible import post, read
from workers.providers.streaming import ChatReader


class Anthropic:
    """See `base.Adapter`. Holds nothing: one serves all calls."""

    def build(self, call: Call, credential: Secret | None) -> HttpRequest:
        """The request to send; KeyError for embeddings, which they do not have."""
        if call.kind is not Kind.CHAT:
            raise KeyError(call.kind)
        body, dropped = anthropic_requests.body_of(call)
        return post(call, credential, call.quirks.chat_path, body, dropped)

    def parse(self, call: Call, reply: HttpReply) -> Outcome:
        """What a whole answer with a 2xx status came to."""
        return read(call, reply, anthropic_replies.completion)

    def parse_stream(self, call: Call, status: int, headers: Mapping[str, str]) -> StreamReader:
        """A reader for one stream that began with a 2xx status."""
        refuse = functools.partial(inside, call, status, headers)
        return ChatReader(call, refuse, anthropic_replies.Events())

    def classify(
        self, call: Call, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> Failed:
        """What an answer that is not 2xx means."""
        return refusal(call, status, headers, read_error(body), now_ms)
