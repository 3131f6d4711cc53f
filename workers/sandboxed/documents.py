"""A document of any kind we read, as text."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared.errors import Refused
from workers.sandboxed.kinds import kind_of_bytes, kind_of_text
from workers.sandboxed.parsed import Parsed, TextBound

_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ud800-\udfff]")
_GAPS: Final = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")
MOST_TITLE_CHARS: Final = 300


def read(request: Mapping[str, Any], files: Mapping[str, Path], _out: Path) -> dict[str, Any]:
    """`{type, text, title, pages, warning}` of the file `document`.

    `request` may say its `name`, `content_type` and `charset`; what it holds counts for more.
    Refused: it is no document we read, is encrypted, damaged or too large, or holds no text.
    """
    found = _parsed(
        files["document"],
        str(request.get("name") or ""),
        str(request.get("content_type") or "").lower(),
        request.get("charset"),
    )
    text = _tidy(found.text)
    if not text:
        raise Refused("it holds no text", code="no_text")
    title = " ".join((found.title or "").split())[:MOST_TITLE_CHARS]
    return {
        "type": found.type,
        "text": text,
        "title": _tidy(title) or None,
        "pages": found.pages,
        "warning": found.warning,
    }


def _parsed(path: Path, name: str, content_type: str, charset: str | None) -> Parsed:
    """The parsers are imported where they are needed: each takes longer to load than to run."""
    # ruff: noqa: PLC0415 - for that reason
    data = path.read_bytes()
    match kind_of_bytes(data):
        case "pdf":
            from workers.sandboxed import pdf

            return pdf.parsed(path)
        case "docx":
            from workers.sandboxed import word

            return word.parsed(data)
    from workers.sandboxed import plain

    text = plain.decoded(data, charset or _declared(data))
    kind = kind_of_text(text, name, content_type)
    if kind == "html":
        from workers.sandboxed import web

        return web.parsed(text)
    bound = TextBound()
    bound.add(text)
    return Parsed(kind, bound.joined(""))


_CHARSET: Final = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)=[\"']?([\w.:-]{1,40})"
)


def _declared(data: bytes) -> str | None:
    """The charset that a page declares in its first lines."""
    found = _CHARSET.search(data[:2_048])
    return found.group(1).decode("ascii") if found else None


def _tidy(text: str) -> str:
    """Line feeds only, no control characters, no more than one empty line at a time."""
    text = _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _GAPS.sub("\n\n", text).strip()
