"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
NAMED = re.compile(r"`([\w./]+/(?:[\w.]+\.(?:py|lua|yaml|md))?)`")
OF_OTHERS = {"shared/facts/wire-facts.md"}  # notes that are cited, and no part of this


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_and_every_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    files = set(NAMED.findall(text)) - OF_OTHERS
    gone = [
        name
        for name in files
        if not any((root / name.strip("/")).exists() for root in (ROOT, *SHORT))
        and not name.startswith("/")
    ]
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    gone += [to for to in links if "://" not in to and not (page.parent / to).exists()]
    assert not sorted(gone)


SHORT = (ROOT / "shared", ROOT / "shared/core", ROOT / "workers")
"""Pages name `core/rooms.py`, `wire/responses.py` and `queue/lua/…` of the house they speak of."""
