"""What a batch may ask for: how a line's body becomes a job, and what of it the output shows.

Another endpoint for batches is a line of `ENDPOINTS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.core.model import Kind
from shared.errors import Refused
from shared.submission import (
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    TRANSCRIPTIONS,
    Submission,
    chat,
    embedding,
    response,
    transcription,
)
from shared.wire.openai import chat_request, embeddings_request
from shared.wire.responding import heading, whole
from shared.wire.responses import renamed, responses_request
from shared.wire.transcriptions import transcription_request
from shared.wire.transcripts import shown

_ALONE: Final = {
    "background": "a batch's lines are of the background as they are: leave it out",
    "previous_response_id": (
        "a line of a batch stands by itself: send the earlier turns in its input"
    ),
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A line's job that was answered: what was accepted, when, and its result."""

    job_id: str
    result: bytes
    doc: Mapping[str, Any]
    created_ms: int
    ended_ms: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a batch may ask for: its kind of job, and how a line's body becomes one.

    `read` raises Refused where the body is wrong, naming the field. `body` makes what the endpoint
    itself would have answered; None: a job's result is that.
    """

    kind: Kind
    read: Callable[[object], Submission]
    body: Callable[[Answered], Any] | None = None


def _response(body: object) -> Submission:
    request = responses_request(body)
    for name, why in _ALONE.items():
        if request.get(name):
            raise Refused(f"{name}: {why}", param=name, code="not_supported")
    try:
        return response(request, (), b"")
    except Refused as problem:
        raise renamed(problem) from None


def _responded(answered: Answered) -> Any:
    head = heading(answered.job_id, answered.created_ms, answered.doc)
    return whole(head, orjson.loads(answered.result), answered.ended_ms // 1000)


def _transcription(body: object) -> Submission:
    return transcription(transcription_request(body), b"")


def _transcribed(answered: Answered) -> Any:
    return orjson.Fragment(shown(answered.result, answered.doc["request"]))


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    CHAT: Endpoint(Kind.CHAT, lambda body: chat(chat_request(body), b"")),
    EMBEDDINGS: Endpoint(Kind.EMBEDDING, lambda body: embedding(embeddings_request(body), b"")),
    RESPONSES: Endpoint(Kind.CHAT, _response, _responded),
    TRANSCRIPTIONS: Endpoint(Kind.TRANSCRIPTION, _transcription, _transcribed),
}
