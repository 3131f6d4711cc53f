"""Content parts, as far as native wires read them alike. Pure."""

import re
from collections.abc import Iterator
from typing import Any

_DATA = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,", re.IGNORECASE)
_MIMES = {"image/jpg": "image/jpeg"}


def data_uri(url: str) -> tuple[str, str] | None:
    """The MIME type and the base64 data of a data URI; None for another address."""
    found = _DATA.match(url[:512])
    if found is None:
        return None
    mime = found[1].strip().lower()
    return _MIMES.get(mime, mime), url[found.end() :]


def listed(content: Any) -> Iterator[dict[str, Any]]:
    """The parts of a content that may be text; what is no part is left out."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif isinstance(content, list):
        yield from (part for part in content if isinstance(part, dict))


def said(part: dict[str, Any]) -> str | None:
    """What a part of words says, a refusal too; None for a part of another kind."""
    for name in ("text", "refusal"):
        if part.get("type") == name and isinstance(part.get(name), str):
            return str(part[name])
    return None


def text_of(content: Any, between: str = "\n\n") -> str:
    """All words of a content."""
    return between.join(text for text in map(said, listed(content)) if text)


def image_url(part: dict[str, Any]) -> str | None:
    """The address of an image part."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return url if part.get("type") == "image_url" and isinstance(url, str) and url else None


def lost(part: dict[str, Any]) -> str:
    """What to tell of a part that is not taken."""
    return f"messages[].content[].type={part.get('type')}"
