"""Multipart forms as they arrive: fields by name, and one file."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from simulator.requests import BadRequestError


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form."""

    field: str
    filename: str
    content_type: str
    data: bytes


@dataclass(slots=True)
class Form:
    """All fields, each with its values in order, and all files."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        """The first value of a field."""
        return next(iter(self.fields.get(name, ())), None)


class _Parts:
    """Collects the parts that the parser calls out."""

    def __init__(self) -> None:
        self.form = Form()
        self.ended = False
        self._name, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._named(data[start:end]),
            "on_header_value": lambda data, start, end: self._valued(data[start:end]),
            "on_header_end": self._header,
            "on_end": self._over,
        }

    def _begin(self) -> None:
        self._headers, self._data = {}, bytearray()

    def _named(self, data: bytes) -> None:
        self._name += data

    def _valued(self, data: bytes) -> None:
        self._value += data

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _over(self) -> None:
        self.ended = True

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            kind = self._headers.get(b"content-type", b"application/octet-stream")
            filename = options[b"filename"].decode("utf-8", "replace")
            upload = Upload(name, filename, kind.decode("latin-1"), bytes(self._data))
            self.form.files.append(upload)
        else:
            self.form.fields.setdefault(name, []).append(self._data.decode("utf-8", "replace"))


def parse_form(content_type: str, body: bytes) -> Form:
    """Read a whole multipart body; raises `BadRequestError` where it is none."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequestError("Content-Type must be multipart/form-data with a boundary.")
    parts = _Parts()
    parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as exc:
        raise BadRequestError(f"Could not parse multipart form: {exc}") from exc
    if not parts.ended:
        raise BadRequestError("Could not parse multipart form: it does not end.")
    return parts.form
