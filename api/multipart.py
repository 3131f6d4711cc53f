"""An upload in `multipart/form-data`: small fields kept, the one file passed on as it comes."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.body import DISCARD_BYTES, ClientGone
from shared.errors import Refused

QUIET_S: Final = 60.0  # of waiting, for each so much that came
LEAST_BYTES: Final = 30 * 1024
FIELD_BYTES: Final = 4_096
NAME_CHARS: Final = 255
FRAME_BYTES: Final = 256 * 1024  # of a body, around its file
MOST_LARGE: Final = 4  # values of one larger field


class Upload:
    """One upload. `parts` is read once; after it, `fields`, `filename` and `size` are complete.

    Of the fields only `known` ones are kept; newer SDKs may send others. One whose name ends with
    `[]` may be given several times: `lists` has its values. `larger` are those that may hold more
    than `field_bytes`, and how much.

    `check` is called when the file begins, with the fields before it, and returns the most bytes it
    may have; what it raises ends the upload.
    """

    def __init__(
        self,
        receive: Any,
        headers: dict[bytes, bytes],
        known: Collection[str],
        check: Callable[[dict[str, str]], int],
        *,
        field_bytes: int = FIELD_BYTES,
        larger: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._receive = receive
        self._known = frozenset(known)
        self._check = check
        self._limit: int | None = None
        self._more = True
        self._came, self._waited_s = 0, 0.0
        self._field_bytes = field_bytes
        self._larger = larger
        self._frame_bytes = FRAME_BYTES + MOST_LARGE * sum(larger.values())
        self._head: dict[str, bytes] = {}
        self._header = (bytearray(), bytearray())
        self._field: tuple[str, bytearray] | None = None
        self._in_file = False
        self._out: list[bytes] = []
        self._ended = False
        self.fields: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self.filename: str | None = None
        self.size = 0
        self.digest = hashlib.sha256()  # of the file's bytes so far
        self._parser = self._made(_boundary(headers))

    async def parts(self) -> AsyncIterator[bytes]:
        """The file's bytes. Refused: 400, 408, 413. ClientGone."""
        frame = 0
        while True:
            message = await self._next()
            data: bytes = message.get("body", b"")
            self._feed(data)
            out, self._out = self._out, []
            passed = sum(map(len, out))
            self.size += passed
            frame += len(data) - passed
            if self._limit is not None and self.size > self._limit:
                await self._drop(f"the file is larger than {self._limit} bytes")
            if frame > self._frame_bytes:
                await self._drop("the form holds too much beside its file")
            for part in out:
                self.digest.update(part)
                yield part
            if not message.get("more_body"):
                break
        if not self._ended:
            raise Refused("the form is not complete: its last boundary is missing", param="file")

    async def _next(self) -> Any:
        """What came next. A byte a minute holds a connection no longer than silence does."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, QUIET_S - self._waited_s)):
                message = await self._receive()
        except TimeoutError:
            why = f"less than {LEAST_BYTES // 1024} KiB came in {QUIET_S:.0f} s"
            raise Refused(why, status=408) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._waited_s += time.monotonic() - began_s
        self._came += len(message.get("body", b""))
        if self._came >= LEAST_BYTES:
            self._came, self._waited_s = 0, 0.0
        self._more = bool(message.get("more_body"))
        return message

    async def drain(self) -> None:
        """Reads what is on its way of a refused form, bounded: a reset would lose the answer."""
        dropped = 0
        while self._more and dropped < DISCARD_BYTES:
            dropped += len((await self._next()).get("body", b""))

    async def _drop(self, why: str) -> None:
        await self.drain()
        raise Refused(why, status=413, param="file", code="file_too_large")

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except MultipartParseError as problem:
            raise Refused(f"the form cannot be read: {problem}", code="invalid_form") from None

    def _made(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(boundary, self._callbacks())
        except FormParserError as problem:
            raise Refused(
                f"Content-Type: the form cannot be read: {problem}",
                param="Content-Type",
                code="invalid_form",
            ) from None

    # -- what the parser tells

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._head = {}

    def _add(self, which: int, data: bytes) -> None:
        self._header[which].extend(data)

    def _header_end(self) -> None:
        name, value = self._header
        self._head[bytes(name).decode("latin-1").lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._head.get("content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name != "file":
            self._field = (name, bytearray()) if name in self._known else None
            return
        if self.filename is not None:
            raise Refused("file: only one file is taken at a time", param="file")
        given = options.get(b"filename", b"").decode("utf-8", "replace")
        self.filename = _plain(given) or "upload"
        self._limit = self._check(self.fields)
        self._in_file = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._out.append(data[start:end])
        elif self._field is not None:
            name, value = self._field
            value.extend(data[start:end])
            most = self._larger.get(name, self._field_bytes)
            if len(value) > most:
                shown = name.removesuffix("[]")
                raise Refused(f"{shown} is longer than {most} bytes", param=shown)

    def _part_end(self) -> None:
        if self._field is not None:
            self._keep(self._field[0], self._field[1].decode("utf-8", "replace"))
        self._in_file, self._field = False, None

    def _keep(self, name: str, value: str) -> None:
        if name.endswith("[]"):
            self.lists.setdefault(name.removesuffix("[]"), []).append(value)
        elif name in self.fields:
            raise Refused(f"{name} is given twice", param=name)
        else:
            self.fields[name] = value

    def _end(self) -> None:
        self._ended = True


def _boundary(headers: dict[bytes, bytes]) -> bytes:
    kind, options = parse_options_header(headers.get(b"content-type", b""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused(
            "send the file as multipart/form-data, in the field file",
            status=415,
            param="Content-Type",
        )
    return boundary


def _plain(filename: str) -> str:
    """A name without folders and without what no header or terminal should carry."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:NAME_CHARS]
