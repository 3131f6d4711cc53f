"""The text of a PDF, by pdfium."""

from pathlib import Path
from typing import Final

import pypdfium2

from shared.errors import Refused
from workers.sandboxed.parsed import Parsed, TextBound

MOST_PAGES: Final = 10_000


def parsed(path: Path) -> Parsed:
    """Its text page by page. Refused: encrypted, damaged, without text, too large."""
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as problem:
        raise _refused(str(problem)) from problem
    pages = len(document)
    if pages > MOST_PAGES:
        raise Refused(f"the PDF has {pages} pages; {MOST_PAGES} are read at most", code="too_large")
    text = TextBound()
    for number in range(pages):
        text.add(_page(document, number))
    joined = text.joined("\n\n")
    if len("".join(joined.split())) < pages:
        raise Refused(
            f"the PDF has no text: its pages ({pages}) seem to be scanned; recognise the text (OCR)"
            " first",
            code="no_text",
        )
    title = document.get_metadata_value("Title").strip()
    return Parsed("pdf", joined, title or None, pages)


def _page(document: pypdfium2.PdfDocument, number: int) -> str:
    """A page's text; empty where that page is damaged."""
    try:
        page = document[number]
        text: str = page.get_textpage().get_text_bounded()
        page.close()
    except pypdfium2.PdfiumError:
        return ""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # pdfium's mark for a hyphen that only the end of a line put there
    return text.replace("\ufffe\n", "").replace("\x02\n", "").replace("\x02", "")


def _refused(problem: str) -> Refused:
    if "password" in problem.lower() or "security" in problem.lower():
        return Refused("the PDF is encrypted: remove its password first", code="encrypted")
    return Refused(f"the PDF cannot be read: {problem}", code="unreadable")
