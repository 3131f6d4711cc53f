"""What a personality is: how one provider words requests, answers, limits and errors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs

import orjson

from simulator.config import Model, SimulatedProvider
from simulator.dialects import Headers
from simulator.durations import ceil_seconds
from simulator.exchange import MAX_BODY_BYTES
from simulator.forms import Form
from simulator.ledger import Account, Refusal
from simulator.personalities.rows import Row, facts_of, filled
from simulator.replies import Reply
from simulator.requests import BadRequestError, ChatCall, EmbeddingCall
from simulator.transcripts import TranscriptionCall

Answer = tuple[int, bytes, Headers]
RouteKind = Literal["chat", "embedding", "transcription", "count", "models", "model", "status"]
Call = ChatCall | EmbeddingCall | TranscriptionCall
RequestHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. `model` is the one its path names, `variant` the way of asking."""

    kind: RouteKind
    model: str = ""
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its route, its JSON or its form, its headers and its query."""

    route: Route
    given: dict[str, Any]
    headers: RequestHeaders
    query: bytes
    form: Form = field(default_factory=Form)


@dataclass(frozen=True, slots=True)
class Turn:
    """A chat and what the model says to it; `number` counts the provider's answers."""

    call: ChatCall
    reply: Reply
    model: Model
    number: int
    created_s: int


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer cut for a stream.

    The first `opening` frames come before any word, the last `closing` after all of them; `end` is
    what closes a stream that has nothing to say. The middle holds at least one frame. `json` says
    that the frames are one JSON text in pieces, and no events.
    """

    frames: list[bytes]
    opening: int = 1
    closing: int = 1
    end: bytes = b""
    json: bool = False


class Personality(ABC):
    """One provider's wire. It holds no state: every method is a function of its arguments."""

    prefix: ClassVar[str] = "v1"
    """Where its calls lie below the provider's name; with it a base URL ends."""
    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES
    filter_row: ClassVar[str | None] = None
    """The error a filter answers with, where it does not answer 200 with a mark."""
    has_filter: ClassVar[bool] = True
    rows: Mapping[str, Row]

    @abstractmethod
    def route(self, method: str, path: str) -> Route | None:
        """What a path below the provider's name asks for; None where there is nothing."""

    def shown_key(self, headers: RequestHeaders, query: bytes) -> str | None:  # noqa: ARG002
        """The key a request shows."""
        for name, value in headers:
            if name == b"authorization":
                return value.decode("latin-1").removeprefix("Bearer ").strip()
            if name in (b"x-api-key", b"api-key"):
                return value.decode("latin-1")
        return None

    @abstractmethod
    def parse(self, asked: Asked) -> Call:
        """Check a request; raises `BadRequestError`."""

    @abstractmethod
    def whole(self, turn: Turn) -> bytes:
        """The body of a chat that is not streamed."""

    @abstractmethod
    def stream(self, turn: Turn) -> Stream:
        """The frames of a chat that is streamed."""

    def embeddings(self, call: EmbeddingCall, model: Model) -> bytes:
        """The body of an embeddings answer; not asked for where no route leads to it."""
        raise NotImplementedError

    def transcript(self, call: TranscriptionCall, model: Model, number: int) -> bytes:
        """The body of a transcription; not asked for where no route leads to it."""
        raise NotImplementedError

    def counted(self, call: Call) -> bytes:
        """The answer to a request to count tokens; not asked for where no route leads to it."""
        raise NotImplementedError

    @abstractmethod
    def models(self, spec: SimulatedProvider) -> bytes:
        """The list of models."""

    @abstractmethod
    def model(self, spec: SimulatedProvider, model: Model) -> bytes:
        """One model."""

    def key_status(self, account: Account | None, now_us: int) -> Answer:  # noqa: ARG002
        """What the provider tells of a key; None is a key it does not know."""
        return self.trouble("no_route")

    @abstractmethod
    def emptied(self, body: dict[str, Any]) -> dict[str, Any]:
        """The same answer without a choice."""

    @abstractmethod
    def silenced(self, body: dict[str, Any]) -> dict[str, Any]:
        """The same answer with a choice that says nothing."""

    @abstractmethod
    def limit_headers(self, account: Account, now_us: int) -> Headers:
        """The headers every answer of this account carries about its limits."""

    def refusal_headers(self, account: Account, now_us: int) -> Headers:
        """The same on what is refused."""
        return self.limit_headers(account, now_us)

    def requests_of(self, call: Call) -> int:  # noqa: ARG002
        """As how many requests its windows count a call."""
        return 1

    def own_headers(self, account: Account | None, number: int) -> Headers:  # noqa: ARG002
        """Other headers a provider puts on what it answers; None is a stranger."""
        return [(b"x-request-id", b"req_sim%d" % number)]

    def retry_headers(self, wait_us: int | None) -> Headers:
        """How a wait is told in headers; nothing where it is unknown."""
        return [] if wait_us is None else [(b"retry-after", b"%d" % ceil_seconds(wait_us))]

    @abstractmethod
    def over_limit(self, account: Account, refusal: Refusal) -> Answer:
        """A window or a gate did not admit the call."""

    @abstractmethod
    def body(self, row: Row) -> bytes:
        """An error in the provider's own shape."""

    def stream_error(self, body: bytes) -> bytes:
        """The frame of an error that comes in a stream."""
        return b"data: " + body + b"\n\n"

    def trouble(
        self,
        name: str,
        *,
        status: int | None = None,
        message: str | None = None,
        code: str | None = None,
        wait_us: int | None = None,
        **facts: Any,
    ) -> Answer:
        """The error of this name, with what is given instead of its own status, text, code."""
        row = filled(self.rows[name], facts_of(wait_us, facts))
        row = replace(
            row,
            status=status or row.status,
            message=message or row.message,
            code=code or row.code,
        )
        body = self.body(row) if row.raw is None else orjson.dumps(row.raw)
        return row.status, body, self.retry_headers(wait_us) if row.retry else []

    def refused(self, bad: BadRequestError) -> Answer:
        """A request that is wrong, too long, or names a model that is not there."""
        name = {
            "model_not_found": "model_gone",
            "context_length_exceeded": "too_long",
            "audio_too_large": "audio_too_large" if "audio_too_large" in self.rows else "too_large",
        }
        row = self.rows[name.get(bad.code or "", "invalid")]
        told = filled(row, facts_of(None, {"message": bad.message, **bad.facts}))
        code = told.code or (bad.code if bad.code != "audio_too_large" else None)
        told = replace(told, param=bad.param, code=code)
        return told.status, self.body(told) if told.raw is None else orjson.dumps(told.raw), []

    def row_of_status(self, status: int) -> str:
        """The name of the error that a bare status stands for."""
        for name in ("overloaded", "server_error", "rate_limited", "unauthorized", "model_gone"):
            if self.rows[name].status == status:
                return name
        same = (name for name, row in self.rows.items() if row.status == status)
        return next(same, "server_error")


def query_of(query: bytes) -> dict[str, str]:
    """The first value of each name in a query."""
    return {name: values[0] for name, values in parse_qs(query.decode("latin-1")).items()}
