"""`headrace usage`: what was used and what it cost, today and over the last days."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
import typer
from rich.table import Table

from cli import show
from cli.client import Api, find

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MOST_DAYS: Final = 92
USED: Final = ("calls", "input_tokens", "output_tokens", "audio_seconds", "cost_usd", "saved_usd")
"""A group with none of these only did what calls nobody: Headrace's own part of a summary, say."""
COUNTED: Final = ("calls", "input", "output", "audio", "cost US$", "free", "saved US$")


@app.command()
def usage(
    *,
    days: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="so many, today included")] = 7,
    by: Annotated[str, typer.Option(help="provider, model, tenant or day; commas between")] = (
        "provider"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="as GET /v1/usage says it")] = False,
    url: Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")] = None,
) -> None:
    """Show calls, tokens, audio, cost and the share that was free: today, and in all days."""
    today, whole = asyncio.run(_ask(days, by, url))
    if as_json:
        show.out().out(orjson.dumps({"today": today, f"days_{days}": whole}).decode())
        return
    for title, found in (("today", today), (f"{days} days", whole)):
        show.out().print(table(title, found))
    paid = whole["paid"]
    cap = "no cap" if paid["cap_usd"] is None else f"of {paid['cap_usd']:.2f}"
    show.out().out(f"paid today, all tenants: US$ {paid['spent_today_usd']:.4f} ({cap})")


async def _ask(days: int, by: str, url: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    async with Api(find(url)) as api:
        today = await api.get("/v1/usage", days=1, group_by=by)
        return today, await api.get("/v1/usage", days=days, group_by=by)


def table(title: str, found: Mapping[str, Any]) -> Table:
    """A row for each group, and their sum."""
    groups: list[str] = found["group_by"]
    made = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for name in groups:
        made.add_column(name, overflow="fold")
    for name in COUNTED:
        made.add_column(name, justify="right", no_wrap=True)
    for row in (one for one in found["data"] if any(one[name] for name in USED)):
        made.add_row(*(str(row[name]) for name in groups), *_counts(row))
    blank = ("",) * (len(groups) - 1)
    made.add_row("all", *blank, *_counts(found["total"]), style="bold")
    return made


def _counts(row: Mapping[str, Any]) -> tuple[str, ...]:
    share = row["free_share"]
    return (
        f"{row['calls']:,}",
        f"{row['input_tokens']:,}",
        f"{row['output_tokens']:,}",
        show.span(row["audio_seconds"]) if row["audio_seconds"] else "-",
        f"{row['cost_usd']:.4f}",
        "-" if share is None else f"{share:.0%}",
        f"{row['saved_usd']:.4f}",
    )
