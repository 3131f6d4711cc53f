"""The text of a DOCX, tables included, by python-docx."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

import docx
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph

from shared.errors import Refused
from workers.sandboxed.parsed import Parsed, TextBound

MOST_UNPACKED_BYTES: Final = 256 * 1024 * 1024
MOST_XML_BYTES: Final = 64 * 1024 * 1024
MOST_ENTRIES: Final = 10_000
MOST_TABLES_DEEP: Final = 8


def parsed(data: bytes) -> Parsed:
    """Headings as Markdown's, rows of tables with bars. Refused: a bomb, damaged, empty."""
    _refuse_bomb(data)
    try:
        document = docx.Document(BytesIO(data))
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile) as problem:
        raise Refused(f"the DOCX cannot be read: {problem}", code="unreadable") from problem
    text = TextBound()
    for block in document.iter_inner_content():
        for part in _block(block, 1):
            text.add(part)
    title = (document.core_properties.title or "").strip()
    return Parsed("docx", text.joined("\n\n"), title or None)


def _refuse_bomb(data: bytes) -> None:
    """By the sizes that the archive declares; more than these is never unpacked of an entry."""
    with zipfile.ZipFile(BytesIO(data)) as packed:
        entries = packed.infolist()
    whole = sum(entry.file_size for entry in entries)
    xml = max((each.file_size for each in entries if each.filename.endswith(".xml")), default=0)
    if whole > MOST_UNPACKED_BYTES or xml > MOST_XML_BYTES or len(entries) > MOST_ENTRIES:
        raise Refused(
            f"the DOCX unpacks to {whole} bytes in {len(entries)} parts, which is more than is"
            " read of one document",
            code="too_large",
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise Refused("the DOCX is encrypted: remove its password first", code="encrypted")


def _block(block: Any, depth: int) -> Iterator[str]:
    if isinstance(block, Paragraph):
        if text := _paragraph(block):
            yield text
    elif isinstance(block, Table) and depth <= MOST_TABLES_DEEP:
        rows = [_row(row.cells, depth) for row in block.rows]
        if text := "\n".join(row for row in rows if row):
            yield text


def _paragraph(paragraph: Paragraph) -> str:
    text = paragraph.text.strip()
    style = paragraph.style.name if paragraph.style is not None else None
    if not text or not style:
        return text
    if style == "Title":
        return f"# {text}"
    kind, _, level = style.partition(" ")
    if kind == "Heading" and level.isdecimal():
        return f"{'#' * min(6, int(level))} {text}"
    return f"- {text}" if style.startswith("List") else text


def _row(cells: tuple[_Cell, ...], depth: int) -> str:
    """A row's cells; one that is merged over columns comes once."""
    texts, last = [], None
    for cell in cells:
        if cell._tc is last:  # noqa: SLF001 - the only sign of a merged cell
            continue
        last = cell._tc  # noqa: SLF001
        parts = [part for block in cell.iter_inner_content() for part in _block(block, depth + 1)]
        texts.append(" ".join(" ".join(parts).split()))
    return " | ".join(texts) if any(texts) else ""
