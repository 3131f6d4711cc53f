"""Standard Webhooks 1.0 with OpenAI's event object: what is sent, and the bodies that ask for it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeVar, get_args
from urllib.parse import urlsplit

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)

from shared.wire.openai import json_type, refused_from

PREFIX: Final = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
LEAST_CHARS: Final = 16
MOST_SECRETS: Final = 4
JOB_EVENTS: Final = ("job.completed", "job.failed", "job.cancelled", "job.expired")
_PORTS: Final = range(1, 65_536)


def new_secret() -> str:
    """A fresh signing secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The HMAC key a secret stands for; as the openai SDK reads it. ValueError for bad base64."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as exc:
        raise ValueError("should be whsec_ and base64") from exc


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """`v1,` and the base64 HMAC-SHA256 of id, timestamp and body."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()


def headers(
    message_id: str, timestamp_s: int, body: bytes, signing: Sequence[str]
) -> dict[str, str]:
    """What goes with `body`: one signature for each secret that is valid now."""
    signatures = " ".join(signature(secret, message_id, timestamp_s, body) for secret in signing)
    return {
        "content-type": "application/json",
        "user-agent": "headrace-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signatures,
    }


def event_body(event: dict[str, Any]) -> bytes:
    """OpenAI's event object: `event` holds id, type, created_at and data."""
    return orjson.dumps(
        {
            "id": event["id"],
            "object": "event",
            "created_at": event["created_at"],
            "type": event["type"],
            "data": event["data"],
        }
    )


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a valid address") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("should be an https address, such as https://example.com/hook")
    if not value.isascii() or any(not "!" <= char <= "~" for char in value):
        raise ValueError("should be ASCII, with everything else percent-encoded")
    if port is not None and port not in _PORTS:
        raise ValueError("names a port that is none")
    if parts.username is not None or parts.password is not None:
        raise ValueError("should hold no user and password: the signature proves who sends")
    if parts.fragment:
        raise ValueError("should have no fragment (#…): it is never sent")
    return value


def _secret(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("should be ASCII without line breaks")
    size = len(key_of(value))
    if value.startswith(PREFIX) and not LEAST_BYTES <= size <= MOST_BYTES:
        raise ValueError(f"should be whsec_ and the base64 of {LEAST_BYTES} to {MOST_BYTES} bytes")
    if size < LEAST_CHARS:
        raise ValueError(f"should have at least {LEAST_CHARS} characters")
    return value


Url = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_url)]
SigningSecret = Annotated[str, StringConstraints(max_length=256), AfterValidator(_secret)]
SigningSecrets = Annotated[
    Annotated[SigningSecret, Tag("#text")]
    | Annotated[list[SigningSecret], Field(min_length=1, max_length=MOST_SECRETS), Tag("#list")],
    Discriminator(
        json_type,
        custom_error_type="secret_type",
        custom_error_message="should be a string or a list of strings",
    ),
]
JobEvent = Literal["job.completed", "job.failed", "job.cancelled", "job.expired"]
EventType = Literal[
    "job.completed", "job.failed", "job.cancelled", "job.expired",
    "batch.completed", "batch.failed", "batch.expired", "batch.cancelled",
    "response.completed", "response.failed", "response.cancelled", "response.incomplete",
]  # fmt: skip


EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)

Shape = TypeVar("Shape", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class JobWebhook(_Body):
    """Where a job's end is told. Several secrets all sign: for the time of a change."""

    url: Url
    secret: SigningSecrets | None = Field(default=None, repr=False)
    events: Annotated[list[JobEvent], Field(min_length=1, max_length=4)] | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The job's own secrets; none where those of the endpoint sign."""
        if self.secret is None:
            return ()
        return (self.secret,) if isinstance(self.secret, str) else tuple(self.secret)

    @property
    def types(self) -> tuple[str, ...]:
        """The events that are told; all unless said otherwise."""
        return JOB_EVENTS if self.events is None else tuple(dict.fromkeys(self.events))


Webhook = Annotated[
    Annotated[Url, Tag("#text")] | Annotated[JobWebhook, Tag("#object")],
    Discriminator(
        json_type,
        custom_error_type="webhook_type",
        custom_error_message="should be an address or an object with url, secret and events",
    ),
]
"""A job's `webhook`: an address alone, or with its secrets and events."""


class NewEndpoint(_Body):
    """OpenAI's `webhooks.create`, with a secret of one's own if wanted."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    url: Url
    event_types: Annotated[list[EventType], Field(max_length=64)]
    secret: SigningSecret | None = Field(default=None, repr=False)


class EndpointChange(_Body):
    """OpenAI's `webhooks.update`; `disabled` false takes one back that was disabled."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    url: Url | None = None
    event_types: Annotated[list[EventType], Field(max_length=64)] | None = None
    disabled: bool | None = None


class Rotation(_Body):
    """OpenAI's `webhooks.rotate_secret`, with a secret of one's own if wanted."""

    keep_old_secret_active_for_24_hours: bool = False
    secret: SigningSecret | None = Field(default=None, repr=False)


class Trial(_Body):
    """OpenAI's `webhooks.test`."""

    event_type: EventType


def read(shape: type[Shape], body: object) -> Shape:
    """`body` in that shape. Refused (400) names the field."""
    try:
        return shape.model_validate(body)
    except ValidationError as exc:
        raise refused_from(exc, model=shape) from None  # it quotes the caller
