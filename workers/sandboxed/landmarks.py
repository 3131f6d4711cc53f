"""The main part of a page of any length, by its landmarks: two walks, each linear in the page.

What a page calls its main part or an article is taken where that holds enough of its text; else
all but what it calls navigation, header, footer and the like, and lists that are little but links.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree, html

UNSHOWN: Final = frozenset(("script", "style", "noscript", "template", "head", "svg"))
HEADINGS: Final = {f"h{level}": "#" * level for level in range(1, 7)}
PARAGRAPHS: Final = frozenset(HEADINGS) | frozenset(
    ("p", "div", "section", "article", "main", "pre", "blockquote", "table", "ul", "ol", "dl", "hr")
)
LINES: Final = frozenset(("li", "tr", "br", "dt", "dd", "figcaption", "address", "caption"))
ASIDE: Final = frozenset(("nav", "aside", "form", "menu", "dialog"))
ASIDE_ROLES: Final = frozenset(("navigation", "complementary", "search", "menu", "dialog"))
EDGES: Final = frozenset(("header", "footer"))
EDGE_ROLES: Final = frozenset(("banner", "contentinfo"))
LISTS: Final = frozenset(("ul", "ol", "table", "div", "section", "p"))
ENOUGH: Final = 0.25  # of what the page shows: less is a teaser, or a landmark in a wrong place
LINKED: Final = 0.7  # of a list's text in links makes it a menu
LEAST_LINKS: Final = 5


@dataclass(slots=True)
class Open:
    """An element that has begun: how much text it holds so far, how much of it in links."""

    node: html.HtmlElement
    chars: int = 0
    linked: int = 0
    links: int = 0


@dataclass(slots=True)
class Sizes:
    """How much text a page shows, and its landmarks; `menus` are lists that are all links."""

    whole: int = 0
    main: int = 0
    article: int = 0
    menus: set[html.HtmlElement] = field(default_factory=set)


def main_part(tree: html.HtmlElement) -> tuple[str, str]:
    """The text of the main part with headings as Markdown has them, and what was taken for it."""
    sizes = _sized(tree)
    if sizes.main >= sizes.whole * ENOUGH:
        return _text(tree, _is_main, _beside), "its main part"
    if sizes.article >= sizes.whole * ENOUGH:
        return _text(tree, _is_article, _beside), "its articles"

    def left_out(node: html.HtmlElement) -> bool:
        return _beside(node) or _at_edge(node) or node in sizes.menus

    return _text(tree, None, left_out), "all but its navigation, header and footer"


def _is_main(node: html.HtmlElement) -> bool:
    return bool(node.tag == "main" or node.get("role") == "main")


def _is_article(node: html.HtmlElement) -> bool:
    return bool(node.tag == "article" or node.get("role") == "article")


def _beside(node: html.HtmlElement) -> bool:
    return node.tag in ASIDE or node.get("role") in ASIDE_ROLES


def _at_edge(node: html.HtmlElement) -> bool:
    return node.tag in EDGES or node.get("role") in EDGE_ROLES


def _sized(tree: html.HtmlElement) -> Sizes:
    sizes, stack = Sizes(), [Open(tree)]
    depth = {"main": 0, "article": 0, "a": 0}
    for starts, node, text in _shown(tree):
        length = len(text.strip())
        if not starts:  # text after an element is its parent's
            _close(stack, sizes, depth)
        else:
            stack.append(Open(node))
            depth["main"] += _is_main(node)
            depth["article"] += _is_article(node)
            depth["a"] += node.tag == "a"
            stack[-1].links += node.tag == "a"
        stack[-1].chars += length
        stack[-1].linked += length if depth["a"] else 0
        sizes.whole += length
        sizes.main += length if depth["main"] else 0
        sizes.article += length if depth["article"] else 0
    return sizes


def _close(stack: list[Open], sizes: Sizes, depth: dict[str, int]) -> None:
    ended = stack.pop()
    node, parent = ended.node, stack[-1]
    depth["main"] -= _is_main(node)
    depth["article"] -= _is_article(node)
    depth["a"] -= node.tag == "a"
    parent.chars += ended.chars
    parent.linked += ended.linked
    parent.links += ended.links
    many = ended.links >= LEAST_LINKS and ended.linked >= ended.chars * LINKED
    if many and node.tag in LISTS:
        sizes.menus.add(node)


def _shown(tree: html.HtmlElement) -> Iterator[tuple[bool, html.HtmlElement, str]]:
    """Elements that are shown as they begin and end, each with the text that follows that point.

    Not recursive: pages nest deeply.
    """
    hidden = 0
    for event, node in etree.iterwalk(tree, events=("start", "end", "comment", "pi")):
        if not isinstance(node.tag, str):
            if not hidden:
                yield True, node, ""
                yield False, node, node.tail or ""
        elif node.tag in UNSHOWN:
            hidden += 1 if event == "start" else -1
            if event == "end" and not hidden:
                yield True, node, ""
                yield False, node, node.tail or ""
        elif not hidden:
            starts = event == "start"
            yield starts, node, (node.text if starts else node.tail) or ""


def _text(
    tree: html.HtmlElement,
    inside: Callable[[html.HtmlElement], bool] | None,
    left_out: Callable[[html.HtmlElement], bool],
) -> str:
    """What stands inside of such elements (None: anywhere) and in none that is left out."""
    parts: list[str] = []
    within, without = 0 if inside else 1, 0
    for starts, node, text in _shown(tree):
        step = 1 if starts else -1
        shows = within > 0 and without == 0
        if shows:
            parts.append(_break(node, starts=starts))
        within += step if inside and inside(node) else 0
        without += step if left_out(node) else 0
        if within > 0 and without == 0:
            if not shows:
                parts.append("\n\n")
            parts.append(text.replace("\r", " ").replace("\n", " "))
    return _squeezed(" ".join(line.split()) for line in lines_of("".join(parts)))


def lines_of(text: str) -> Iterator[str]:
    r"""The lines of a text: `\v` ends one too, but not where another begins after it anyway."""
    *begun, last = text.split("\n")
    for line in begun:
        yield from line.rstrip(" \t\v").split("\v")
    yield from last.split("\v")


def _break(node: html.HtmlElement, *, starts: bool) -> str:
    if node.tag in HEADINGS:
        return f"\n\n{HEADINGS[node.tag]} " if starts else "\n\n"
    if node.tag in PARAGRAPHS:
        return "\n\n"
    if node.tag in LINES:
        return "\v" if not starts else "\n- " if node.tag == "li" else "\n"
    return ""


def _squeezed(lines: Iterator[str]) -> str:
    """One empty line at most, none at the ends, no item or heading that says nothing."""
    kept: list[str] = []
    for line in lines:
        empty = not line.strip("-# ")
        if not empty:
            kept.append(line)
        elif kept and kept[-1]:
            kept.append("")
    return "\n".join(kept).strip()
