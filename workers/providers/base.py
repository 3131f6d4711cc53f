"""What an adapter is: pure functions between our job and a provider's wire.

An adapter builds the HTTP request, reads the whole answer or a stream of it, and says what a
refusal means. It never calls out, logs or keeps state between calls; a `StreamReader` is the state
of one stream.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.core.model import Deployment, Kind
from shared.core.outcome import Failed, Outcome
from shared.credentials import Secret
from shared.quirks import Quirks

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to send as it is. `headers` may hold a secret: it is never shown or logged.

    `dropped` names the caller's parameters that this provider does not take (`parameters.Fitted`).
    `guarded` ones are not sent to a private address.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    dropped: tuple[str, ...] = ()
    guarded: bool = False

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.url}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole answer, decoded. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Sound:
    """A part of audio, as it is sent; `seconds` is how long it is."""

    data: bytes
    filename: str
    content_type: str
    seconds: float

    def __repr__(self) -> str:
        return f"Sound({self.filename}, {len(self.data)} bytes, {self.seconds:g} s)"


@dataclass(frozen=True, slots=True)
class Call:
    """One upstream call: what is asked, of whom, and how its wire differs from OpenAI's.

    `request` is the caller's OpenAI body. `count` estimates tokens where a provider reports none;
    `input_tokens` is the estimate the job was accepted with. `job_id` and `created_s` fill in where
    a provider's answer has no id or time. `sound` is what is to be transcribed.
    """

    kind: Kind
    request: Mapping[str, Any]
    deployment: Deployment
    quirks: Quirks
    stream: bool = False
    input_tokens: int = 0
    count: CountTokens = len
    job_id: str = ""
    created_s: int = 0
    sound: Sound | None = None


class StreamReader(Protocol):
    """Turns a stream's bytes into the caller's chunks, and at its end into an outcome."""

    @property
    def started(self) -> bool:
        """Whether a chunk has been given out: from here on a failure is seen by the caller."""
        ...

    @property
    def done(self) -> bool:
        """Whether the rest of the stream no longer matters (end marker or failure seen)."""
        ...

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The chunks (JSON) that `data` completes, in order."""
        ...

    def finish(self) -> tuple[Sequence[bytes], Outcome]:
        """Call once, at the end of the bytes: the last chunks, and what the stream came to."""
        ...


class Adapter(Protocol):
    """One provider dialect."""

    def build(self, call: Call, credential: Secret | None) -> HttpRequest | Failed:
        """The request to send, or why this one cannot be put to this provider at all.

        KeyError where the deployment does not offer this kind.
        """
        ...

    def parse(self, call: Call, reply: HttpReply) -> Outcome:
        """What a whole answer with a 2xx status came to."""
        ...

    def parse_stream(self, call: Call, status: int, headers: Mapping[str, str]) -> StreamReader:
        """A reader for one stream that began with a 2xx status."""
        ...

    def classify(
        self, call: Call, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> Failed:
        """What an answer that is not 2xx means. Never raises, whatever the bytes."""
        ...
