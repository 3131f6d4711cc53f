"""The text of a web page: its main content, or all of it where none is found."""

import re
from typing import Final

import trafilatura
from lxml import etree, html
from trafilatura.settings import use_config

from workers.sandboxed.landmarks import UNSHOWN, main_part
from workers.sandboxed.parsed import Parsed, TextBound

BLOCKS: Final = frozenset(
    {"p", "div", "section", "article", "main", "header", "footer", "nav", "aside", "pre", "br"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "li", "ul", "ol", "tr", "table", "blockquote", "hr"}
    | {"dt", "dd", "figure", "figcaption", "address", "form"}
)
LEAST_SHARE: Final = 0.05  # of all the text: less is a mistake of the extraction, not the content
MOST_SEARCHED_CHARS: Final = 1_000_000  # by trafilatura, whose search is slow: 15 s
MOST_TAGS: Final = 2_000_000  # in which landmarks are looked for: 8 s
MOST_ATTRIBUTES: Final = 2_000  # of one tag: libxml2 compares each with all before it
_TAG: Final = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)[^<>]*")
_SPACES: Final = re.compile(r"[ \t\r\f\v\u00a0]+")
_LINES: Final = re.compile(r"\s*\n\s*")


def parsed(page: str) -> Parsed:
    """The page's main content as Markdown, by trafilatura; else all the text it shows.

    What is too long for that is searched by its landmarks, and `warning` says what was taken.
    """
    page = trimmed(page)
    tree = _tree(page)
    if tree is None:
        return Parsed("html", "")
    title = " ".join((tree.findtext(".//title") or "").split())
    whole = _all_text(tree)
    long = len(page) > MOST_SEARCHED_CHARS
    main, taken = _by_landmarks(page, tree) if long else (_main(page), "")
    if len(main) < len(whole) * LEAST_SHARE:
        main, taken = whole, "all it shows, navigation included"
    text = TextBound()
    text.add(main)
    warning = f"the page has {len(page)} characters: {taken} was read" if long else None
    return Parsed("html", text.joined(""), title or None, warning=warning)


def _by_landmarks(page: str, tree: html.HtmlElement) -> tuple[str, str]:
    return main_part(tree) if page.count("<") <= MOST_TAGS else ("", "")


def trimmed(page: str) -> str:
    """The page without the attributes of a tag that has absurdly many; none of them is text.

    A tag that hides them from this look comes to the bound on CPU time.
    """
    return _TAG.sub(_without_many, page)


def _without_many(tag: re.Match[str]) -> str:
    whole = tag.group()
    if len(whole) <= 2 * MOST_ATTRIBUTES:  # too short for so many
        return whole
    many = max(whole.count("="), len(whole.split())) > MOST_ATTRIBUTES
    return f"<{tag.group(1)}" if many else whole


def _tree(page: str) -> html.HtmlElement | None:
    try:
        # bytes, as lxml refuses a str that declares its encoding
        parser = html.HTMLParser(encoding="utf-8")
        return html.document_fromstring(page.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, ValueError):
        return None


def _main(page: str) -> str:
    config = use_config()
    config.set("DEFAULT", "EXTRACTION_TIMEOUT", "0")  # our own bound is on CPU time
    try:
        found = trafilatura.extract(
            page, output_format="markdown", include_comments=False, config=config
        )
    except (RecursionError, ValueError, etree.LxmlError):
        return ""
    return found or ""


def _all_text(tree: html.HtmlElement) -> str:
    """What a reader sees, with line breaks where blocks end. Not recursive: pages nest deeply."""
    parts: list[str] = []
    hidden = 0
    for event, node in etree.iterwalk(tree, events=("start", "end", "comment", "pi")):
        named = isinstance(node.tag, str)
        if named and node.tag in UNSHOWN:
            hidden += 1 if event == "start" else -1
        if event == "start":
            if named and node.tag in BLOCKS:
                parts.append("\n")
            if not hidden:
                parts.append(_SPACES.sub(" ", (node.text or "").replace("\n", " ")))
            continue
        if named and node.tag in BLOCKS:
            parts.append("\n")
        if not hidden:
            parts.append(_SPACES.sub(" ", (node.tail or "").replace("\n", " ")))
    return _LINES.sub("\n", "".join(parts)).strip()
