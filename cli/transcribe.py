"""`headrace transcribe PATH…`: sound and film in, text and subtitles beside it."""

from collections.abc import Mapping
from itertools import groupby
from typing import Annotated, Any, Final

import typer

from cli import bulk_run
from cli.bulk import AT_ONCE, Reference, Task
from cli.bulk_view import Manner
from cli.inputs import Kinds, find
from cli.results import Work, single
from shared.errors import ConfigError
from shared.wire.transcripts import rendered, turns

app = typer.Typer(add_completion=False, rich_markup_mode=None)

KINDS: Final = Kinds(
    "audio or video",
    frozenset(
        f".{name}"
        for name in (
            *("aac", "ac3", "aif", "aiff", "amr", "caf", "flac", "m4a", "m4b", "mka", "mp2", "mp3"),
            *("mpga", "oga", "ogg", "opus", "wav", "wma"),
            *("3gp", "avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "ogv", "webm", "wmv"),
        )
    ),
)
ENDINGS: Final = {
    "txt": ".txt",
    "srt": ".srt",
    "vtt": ".vtt",
    "json": ".json",
    "verbose_json": ".verbose.json",
    "diarized_json": ".diarized.json",
}
FORMS: Final = {"txt": "text"} | {name: name for name in ENDINGS if name != "txt"}


@app.command()
def transcribe(  # noqa: PLR0913 - a command's options are its parameters
    paths: bulk_run.Paths,
    *,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            help="txt (unless told), srt, vtt, json, verbose_json, diarized_json; several: repeat",
        ),
    ] = None,
    model: bulk_run.Model = "auto",
    language: Annotated[str | None, typer.Option(help="of what is said: en, de …")] = None,
    prompt: Annotated[str | None, typer.Option(help="names and words to expect")] = None,
    words: Annotated[
        bool, typer.Option("--words", help="the time of each word, in verbose_json")
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
    """Transcribe audio and video: files, folders with all below, globs, addresses.

    talk.mp3 becomes talk.txt beside it, or below --out. What is there is never replaced without
    --force; what is done already is left out, so that the same command goes on after an interrupt.
    With --format diarized_json who speaks is told, in a .txt too, before each turn.

    Exit code 0: all is there; 1: some is not; 2: wrong usage; 3: no Headrace; 130: interrupted.
    """
    wanted = tuple(dict.fromkeys(formats or ("verbose_json",) if words else formats or ("txt",)))
    for each in wanted:
        bulk_run.one_of("--format", each, tuple(ENDINGS))
    if words and "verbose_json" not in wanted:
        raise ConfigError("--words are told in verbose_json: add --format verbose_json")
    speakers = "diarized_json" in wanted
    if speakers and "verbose_json" in wanted:
        raise ConfigError("--format: diarized_json and verbose_json are two calls: run it for each")
    found = find(paths, KINDS)
    works = single(found.inputs, out, [(FORMS[each], ENDINGS[each]) for each in wanted], KINDS)
    options = _options(model, language, prompt, words=words)
    shapes = ("json", "verbose_json") if wanted == ("txt",) else ("verbose_json",)
    if speakers:
        shapes = ("diarized_json",)
    task = Task(
        verb="transcribe",
        kind="transcription",
        options=options | ({"speakers": True} if speakers else {}),
        wishes=bulk_run.wishes(priority, deadline, paid, webhook),
        request=_request({**options, "response_format": shapes[0]}),
        render=lambda form, result: render(form, result, words=words, speakers=speakers),
        force=force,
        shapes=shapes,
    )
    manner = Manner(minutes, as_json=as_json, quiet=quiet)
    raise typer.Exit(
        bulk_run.run(works, task, bulk_run.Call(manner, url, at_once, found.remark(KINDS)))
    )


def _options(
    model: str, language: str | None, prompt: str | None, *, words: bool
) -> dict[str, Any]:
    """What of the request is said, for every file the same."""
    asked: dict[str, Any] = {"model": model, "language": language, "prompt": prompt}
    if words:
        asked["timestamp_granularities"] = ["segment", "word"]
    return {name: value for name, value in asked.items() if value is not None}


def _request(options: Mapping[str, Any]) -> Any:
    def request(_work: Work, references: tuple[Reference, ...]) -> dict[str, Any]:
        return {**references[0], **options}

    return request


def render(form: str, result: Mapping[str, Any], *, words: bool, speakers: bool) -> bytes:
    """One form of a result; with `speakers` a text has a line a turn, after whose it is."""
    if form != "text" or not speakers:
        return rendered(result, form, words=words).body
    spoken = groupby(turns(result), lambda one: str(one["speaker"]))
    lines = (f"{whose}: {' '.join(one['text'] for one in said)}\n" for whose, said in spoken)
    return "".join(lines).encode()


def minutes(job: dict[str, Any]) -> tuple[str, float]:
    """How much audio of a job is done."""
    seconds = (job.get("usage") or {}).get("audio_seconds")
    if not seconds:
        seconds = ((job.get("progress") or {}).get("children") or {}).get("audio_seconds")
    return "minutes of audio", float(seconds or 0.0) / 60
