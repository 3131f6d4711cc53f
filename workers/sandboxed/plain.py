"""Text from bytes, by a byte order mark, as UTF-8, as declared, or in the likeliest charset."""

import codecs
from typing import Final

from charset_normalizer import from_bytes

from shared.errors import Refused
from workers.sandboxed.kinds import not_read

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
GUESSED_BYTES: Final = 256 * 1024
GUESSABLE_BYTES: Final = 64  # fewer say nothing of their charset
_LIKELY: Final = (
    *("cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1252"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
)
_WESTERN: Final = frozenset(
    "äöüÄÖÜßéèêëàâáåçîïíìôóòûùúñøæœÉÈÀÇÅØÆ«»„“”…€°§·\xa0¿¡".encode("cp1252") + b"\x91\x92\x96\x97"
)
_MOST_ACCENTED: Final = 0.2  # of the letters of a Western text
_LEAST_KNOWN: Final = 0.95
_CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")
_MOST_CONTROLS: Final = 0.01


def decoded(data: bytes, charset: str | None = None) -> str:
    """The text. Refused: these bytes are none."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if (found := _wide(data)) is not None:
        return found
    if _binary(data):
        raise not_read("a binary file")
    for name in ("utf-8", charset or "utf-8"):
        if (text := _as(data, name)) is not None:
            return text
    head = data[:GUESSED_BYTES]
    if len(data) < GUESSABLE_BYTES or _western(head):
        return data.decode("cp1252", "replace")
    guess = from_bytes(head, cp_isolation=list(_LIKELY)).best()
    if guess is None:
        raise Refused("its charset cannot be told: save it as UTF-8", code="unreadable")
    return data.decode(guess.encoding, "replace")


def _as(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _western(head: bytes) -> bool:
    """Whether it looks like a language of Western Europe: few accents, and all of them usual."""
    high = [byte for byte in head if byte >= 0x80]  # noqa: PLR2004 - beyond ASCII
    known = sum(byte in _WESTERN for byte in high)
    return len(high) < len(head) * _MOST_ACCENTED and known >= len(high) * _LEAST_KNOWN


def _wide(data: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of a Western text is NUL."""
    head = data[:GUESSED_BYTES]
    half = len(head) // 2
    for name, zeros, others in (
        ("utf-16-le", head[1::2], head[0::2]),
        ("utf-16-be", head[0::2], head[1::2]),
    ):
        if half and zeros.count(0) > half * 0.7 and others.count(0) < half * 0.05:
            return _as(data[: len(data) // 2 * 2], name)
    return None


def _binary(data: bytes) -> bool:
    head = data[:GUESSED_BYTES]
    if b"\0" in head:
        return True
    return sum(head.count(byte) for byte in _CONTROLS) > len(head) * _MOST_CONTROLS
