"""One request on its way through a handler: what came in, who calls, and how to answer."""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope, Send

from api import body as bodies
from shared.credentials import ApiKey
from shared.errors import Refused

JSON: Final = (b"content-type", b"application/json")
Header = tuple[bytes, bytes]


class Call:
    """A request and its answer. `key` is set once the caller is known; public routes have none."""

    __slots__ = ("_key", "headers", "receive", "scope", "send", "started", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.status = 0
        self.started = False
        self._key: ApiKey | None = None

    @property
    def key(self) -> ApiKey:
        """Who calls. RuntimeError on a public route."""
        if self._key is None:
            raise RuntimeError("this route does not authenticate")
        return self._key

    @key.setter
    def key(self, key: ApiKey) -> None:
        self._key = key

    @property
    def path(self) -> str:
        """The path asked for."""
        path: str = self.scope["path"]
        return path

    def param(self, name: str) -> str:
        """A part of the path."""
        value: str = self.scope["path_params"][name]
        return value

    def header(self, name: bytes) -> str | None:
        """A header's text, or None. Refused: it holds bytes that are no text."""
        value = self.headers.get(name)
        if value is None:
            return None
        try:
            return value.decode("ascii").strip()
        except UnicodeDecodeError:
            shown = name.decode()
            raise Refused(f"the header {shown} must be ASCII", param=shown) from None

    def query(self, known: Iterable[str]) -> dict[str, str]:
        """The query's parameters. Refused: an unknown or repeated one, or bad text, by name.

        A list (`name[]`, as the SDKs send them) may be repeated: the last one is given.
        """
        raw: bytes = self.scope["query_string"]
        if not raw:
            return {}
        try:
            pairs = parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
            )
        except (UnicodeDecodeError, ValueError):
            raise Refused("the query string is not valid", param="query") from None
        names, found = tuple(known), dict[str, str]()
        for name, value in pairs:
            if name not in names:
                allowed = ", ".join(names) or "none"
                raise Refused(f"unknown query parameter; known here: {allowed}", param=name[:64])
            if name in found and not name.endswith("[]"):
                raise Refused(f"{name} is given twice", param=name)
            found[name] = value
        return found

    async def body(self, limit: int) -> bytes:
        """The whole body, bounded. Refused: 408, 413, 415. ClientGone."""
        return await bodies.read(self.receive, self.headers, limit)

    async def start(self, status: int, headers: list[Header]) -> None:
        """Sends the status line and headers."""
        self.started = True
        self.status = status
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def reply(
        self, status: int, body: bytes, headers: Iterable[Header] = (), *, kind: Header = JSON
    ) -> None:
        """Sends a whole answer."""
        await self.start(status, [kind, (b"content-length", b"%d" % len(body)), *headers])
        await self.send({"type": "http.response.body", "body": body})

    async def json(self, status: int, value: Any, headers: Iterable[Header] = ()) -> None:
        """Sends `value` as JSON."""
        await self.reply(status, orjson.dumps(value), headers)

    async def chunk(self, body: bytes) -> None:
        """Sends a part of a stream."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Sends the last part of a stream."""
        await self.send({"type": "http.response.body", "body": body})
