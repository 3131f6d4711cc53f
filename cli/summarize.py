"""`headrace summarize PATH…`: documents in, a summary beside each, one over all if asked."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from cli import bulk_run
from cli.bulk import AT_ONCE, Reference, Task
from cli.bulk_view import Manner
from cli.inputs import Input, Kinds, find, told
from cli.results import Target, Work, distinct, single
from shared.errors import ConfigError, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MOST_DOCUMENTS: Final = 200  # of one job
COMBINED: Final = "combined"
STYLES: Final = ("paragraph", "bullets", "executive", "abstract", "key_points", "tldr")
LENGTHS: Final = ("short", "medium", "long")
ENDINGS: Final = (".summary.md", ".summary.json")
PAGES: Final = (".htm", ".html", ".xhtml")
KINDS: Final = Kinds(
    "documents",
    frozenset(
        f".{name}"
        for name in (
            *("adoc", "docx", "htm", "html", "markdown", "md", "mdx", "org", "pdf", "rst", "tex"),
            *("text", "txt", "xhtml"),
        )
    ),
    ours=ENDINGS,
)


@app.command()
def summarize(  # noqa: PLR0913 - a command's options are its parameters
    paths: bulk_run.Paths,
    *,
    model: bulk_run.Model = "auto",
    style: Annotated[str | None, typer.Option(help=", ".join(STYLES))] = None,
    length: Annotated[str | None, typer.Option(help="short, medium, long, or words")] = None,
    language: Annotated[str | None, typer.Option(help="to write in; else the document's")] = None,
    focus: Annotated[str | None, typer.Option(help="what to look for")] = None,
    instructions: Annotated[str | None, typer.Option(help="further wishes, in your words")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="a JSON schema: each summary is JSON of it")
    ] = None,
    combined: Annotated[
        bool, typer.Option("--combined", help="one summary over all as well")
    ] = False,
    out: bulk_run.Out = None,
    force: bulk_run.Force = False,
    priority: bulk_run.Priority = "bulk",
    deadline: bulk_run.Deadline = None,
    paid: bulk_run.Paid = None,
    webhook: bulk_run.Webhook = None,
    at_once: bulk_run.AtOnce = AT_ONCE,
    as_json: bulk_run.Json = False,
    quiet: bulk_run.Quiet = False,
    url: bulk_run.Url = None,
) -> None:
    """Summarise documents: files, folders with all below, globs, addresses.

    Text, Markdown, HTML, PDF and DOCX of any length. paper.pdf becomes paper.summary.md beside it,
    or below --out; with --schema, paper.summary.json. What is there is never replaced without
    --force; what is done already is left out, so that the same command goes on after an interrupt.

    Exit code 0: all is there; 1: some is not; 2: wrong usage; 3: no Headrace; 130: interrupted.
    """
    said = {"style": style, "language": language, "focus": focus, "instructions": instructions}
    options: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    options |= {"model": model, **_length(length), **_schema(schema)}
    if style is not None:
        bulk_run.one_of("--style", style, STYLES)
    found = find(paths, KINDS)
    ending = ENDINGS[0] if schema is None else ENDINGS[1]
    works = single(found.inputs, out, [("document", ending)], KINDS)
    if combined:
        works, options = _together(works, out, ending), {**options, "combined": True}
    task = Task(
        verb="summarize",
        kind="summary",
        options=options,
        wishes=bulk_run.wishes(priority, deadline, paid, webhook),
        request=_request(options),
        render=render,
        force=force,
    )
    manner = Manner(tokens, warnings, as_json=as_json, quiet=quiet)
    raise typer.Exit(
        bulk_run.run(works, task, bulk_run.Call(manner, url, at_once, found.remark(KINDS)))
    )


def _length(length: str | None) -> dict[str, Any]:
    if length is None:
        return {}
    if length.isdigit():
        return {"length": int(length)}
    return {"length": bulk_run.one_of("--length", length, (*LENGTHS, "a number of words"))}


def _schema(file: Path | None) -> dict[str, Any]:
    """The schema of a file. ConfigError where it holds none."""
    if file is None:
        return {}
    try:
        schema = orjson.loads(file.read_bytes())
    except OSError as exc:
        raise ConfigError(f"--schema: {file} cannot be read: {exc.strerror or exc}") from exc
    except orjson.JSONDecodeError as exc:
        raise ConfigError(f"--schema: {file} cannot be read: it is no JSON ({exc})") from exc
    if not isinstance(schema, dict):
        raise ConfigError(f"--schema: {file} must hold a JSON object")
    return {"json_schema": schema}


def _together(works: Sequence[Work], out: Path | None, ending: str) -> list[Work]:
    """All documents as one work that writes each summary and the one over all.

    Those that are empty, or cannot be opened or noted, are works of their own: each fails alone.
    """
    alone = [work for work in works if not _readable(work.sources[0])]
    works = [work for work in works if work not in alone]
    if not works:
        return alone
    if len(works) > MOST_DOCUMENTS:
        raise ConfigError(
            f"--combined takes {MOST_DOCUMENTS} documents at most, these are {len(works)}"
        )
    sources = tuple(one for work in works for one in work.sources)
    targets = [Target(work.targets[0].path, str(i)) for i, work in enumerate(works)]
    targets.append(Target((out or _common(sources)) / f"{COMBINED}{ending}", COMBINED))
    whole = Work(f"{len(sources)} documents", sources, tuple(targets))
    distinct([whole, *alone])
    return [whole, *alone]


def _readable(one: Input) -> bool:
    """Whether there is something to hand in, as far as can be seen from here."""
    if told(str(one.path)) != str(one.path):
        return False
    try:
        return one.path is None or (one.path.stat().st_size > 0 and os.access(one.path, os.R_OK))
    except OSError:
        return False


def _common(sources: Sequence[Input]) -> Path:
    """The deepest folder that all inputs are in, told as they are: from here where they are."""
    found, here = Path(os.path.commonpath([one.folder.absolute() for one in sources])), Path.cwd()
    inside = found.is_relative_to(here) and not any(one.folder.is_absolute() for one in sources)
    return found.relative_to(here) if inside else found


def _request(options: Mapping[str, Any]) -> Any:
    def request(work: Work, references: tuple[Reference, ...]) -> dict[str, Any]:
        titled = zip(work.sources, references, strict=True)
        return {**options, "documents": [{**ref, **_title(one)} for one, ref in titled]}

    return request


def _title(one: Input) -> dict[str, str]:
    """What it is called by: its file's name; a page has a title of its own."""
    page = one.url is not None or one.relative.suffix.lower() in PAGES
    return {} if page else {"title": one.relative.name[:300]}


def render(form: str, result: Mapping[str, Any]) -> bytes:
    """A document's summary (by its place, or the only one), or the one over all. Refused: none."""
    if form == COMBINED:
        found = result.get(COMBINED) or {}
    else:
        found = result["documents"][int(form) if form.isdigit() else 0]
    if found.get("json") is not None:
        return orjson.dumps(found["json"], option=orjson.OPT_INDENT_2) + b"\n"
    if found.get("summary") is None:
        why = (found.get("error") or {}).get("message") or "it has no summary"
        raise Refused(str(found.get("title") or form) + f": {why}")
    return str(found["summary"]).strip().encode() + b"\n"


def warnings(job: dict[str, Any]) -> list[str]:
    """What was left out of each document that was read, after its name where there are several."""
    documents = (job.get("result") or {}).get("documents") or []
    named = len(documents) > 1
    return [
        f"{one.get('title')}: {warning}" if named else str(warning)
        for one in documents
        for warning in one.get("warnings") or ()
    ]


def tokens(job: dict[str, Any]) -> tuple[str, float]:
    """What a job has used."""
    return "tokens", float((job.get("usage") or {}).get("total_tokens") or 0)
