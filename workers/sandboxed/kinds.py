"""What a file is, by what it holds; its name and declared type only where that leaves it open."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Final

from shared.errors import Refused

HEAD_BYTES: Final = 4_096
_ZIP: Final = b"PK\x03\x04"
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC: Final = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"RIFF", "a sound, film or image file"),
    (b"ID3", "an MP3 sound file"),
    (b"fLaC", "a FLAC sound file"),
    (b"OggS", "an Ogg sound or film file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM film"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"SQLite format 3", "a database"),
)
_ZIPPED: Final = (
    ("xl/", "an Excel workbook (.xlsx)"),
    ("ppt/", "a PowerPoint presentation (.pptx)"),
    ("META-INF/container.xml", "an e-book (.epub)"),
    ("content.xml", "an OpenDocument file"),
)
_HTML_STARTS: Final = ("<!doctype html", "<html", "<head", "<body")
_TAGS: Final = ("<p", "<div", "<h1", "<body", "<table", "<span", "<br", "<a ")
READ: Final = "only text, Markdown, HTML, PDF and DOCX are read"


def kind_of_bytes(data: bytes) -> str | None:
    """`pdf` or `docx`, or None where it may be text. Refused: it is something else, and what."""
    head = data[:HEAD_BYTES]
    if _is_pdf(head):
        return "pdf"
    if head.startswith(_ZIP):
        return _zipped(data)
    if head.startswith(_OLE):
        raise not_read(_of_ole(data))
    if head.startswith(b"{\\rtf"):
        raise not_read("a rich text file (.rtf), to be saved as .docx first")
    if head[4:8] == b"ftyp":
        raise not_read("a sound or film file")
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise not_read(what)
    return None


def may_be_text(head: bytes) -> bool:
    """Whether what begins so is read as text, Markdown or HTML, if it is read at all."""
    return not (_is_pdf(head) or head.startswith(_ZIP))


def _is_pdf(head: bytes) -> bool:
    return b"%PDF-" in head[:1_024]


def kind_of_text(text: str, name: str, content_type: str) -> str:
    """`html`, `markdown` or `text`."""
    start = text[:HEAD_BYTES].lstrip("\ufeff \t\r\n").lower()
    if start.startswith(_HTML_STARTS) or ("<html" in start and start.startswith(("<?xml", "<!--"))):
        return "html"
    suffix = Path(name).suffix.lower()
    declared = content_type in ("text/html", "application/xhtml+xml")
    if (declared or suffix in (".html", ".htm", ".xhtml")) and any(tag in start for tag in _TAGS):
        return "html"
    if content_type == "text/markdown" or suffix in (".md", ".markdown", ".mdown"):
        return "markdown"
    return "text"


def not_read(what: str) -> Refused:
    """The refusal of a file that is no document of ours."""
    return Refused(f"it is {what}; {READ}", code="unsupported_document")


def _zipped(data: bytes) -> str:
    try:
        with zipfile.ZipFile(BytesIO(data)) as packed:
            names = packed.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as problem:
        raise Refused(f"it is a damaged zip file: {problem}", code="unreadable") from problem
    if "word/document.xml" in names:
        return "docx"
    for start, what in _ZIPPED:
        if any(name.startswith(start) for name in names):
            raise not_read(what)
    raise not_read("a zip archive")


def _of_ole(data: bytes) -> str:
    """What is in the container that Office used before 2007, and uses for what it encrypts."""
    if _utf16("EncryptedPackage") in data:
        return "an Office document with a password"
    if _utf16("WordDocument") in data:
        return "an old Word document (.doc), to be saved as .docx first"
    if _utf16("Workbook") in data:
        return "an old Excel workbook (.xls)"
    return "an old Office file"


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le")
