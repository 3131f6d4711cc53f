"""What the documents name is there."""

import re
from pathlib import Path

import pytest
import typer

from cli.main import app
from shared.settings import Settings

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


RUNBOOK = (ROOT / "docs/RUNBOOK.md").read_text(encoding="utf-8")


def test_every_command_setting_and_place_that_the_runbook_names_is_there():
    root = typer.main.get_command(app)
    context = typer.Context(root)
    commands = re.findall(r"^(?:\w+=\S+ )?headrace (\w+) ?(\w+)?", RUNBOOK, re.MULTILINE)
    commands += re.findall(r"`headrace (\w+) ?(\w+)?", RUNBOOK)
    assert len(commands) > 10
    for verb, sub in commands:
        command = root.get_command(context, verb)
        assert command is not None, verb
        below = getattr(command, "commands", {})
        assert not below or sub in below, (verb, sub)
    settings = {f"HEADRACE_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"HEADRACE_\w+", RUNBOOK)) <= settings
    titles = {
        title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", RUNBOOK, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK)) <= titles
