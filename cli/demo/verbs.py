"""Part 2: what a person would type: `transcribe` on real speech, `summarize` on a real folder.

Both are run as commands; what is told of them is read from the files that they wrote.
"""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli import address, show
from cli.client import Place
from cli.demo import speech
from cli.demo.pace import LOOK_EVERY_S, Pace
from cli.tied import tie
from shared.errors import GatewayError

FOLDER = Path(__file__).parents[2] / "docs" / "adr"
SHOWN = 240

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended: its exit code, what it complained of, how long it took."""

    code: int
    err: str
    took_s: float


def run(place: Place, say: Say) -> list[str]:
    """Runs both; returns the reasons why it did not go well."""
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as name:
        out = Path(name)
        return [*_hear(place, out, say), *_read(place, out, say)]


def _hear(place: Place, out: Path, say: Say) -> list[str]:
    files = speech.recordings()
    say(f"  $ headrace transcribe {' '.join(files)}")
    ran = _headrace(place, out, ["transcribe", *map(str, files.values())], say)
    heard = {name: _text((out / name).with_suffix(".txt")) for name in files}
    say(f"  heard           {sum(map(bool, heard.values()))} of {len(files)} recordings in"
        f" {show.span(ran.took_s)}")  # fmt: skip
    for name, text in heard.items():
        say(f"    {name}: {text[:SHOWN]}")
    reasons = _failed("transcribe", ran)
    wrong = speech.word_error_rate(heard[speech.PASSAGE], speech.WORDS)
    say(f"  words wrong     {wrong:.1%} of the {len(speech.words(speech.WORDS))} of Dickens'"
        f" passage ({speech.MOST_WRONG:.0%} at most)")  # fmt: skip
    if wrong > speech.MOST_WRONG:
        reasons.append(f"{wrong:.1%} of the passage's words were heard wrongly")
    return reasons


def _read(place: Place, out: Path, say: Say) -> list[str]:
    files = sorted(FOLDER.glob("*.md"))
    if not files:
        raise GatewayError(f"there is nothing to summarise at {FOLDER}")
    say(f"\n  $ headrace summarize docs/{FOLDER.name} --combined --length 40")
    words = ["summarize", str(FOLDER), "--combined", "--length", "40"]
    ran = _headrace(place, out, words, say)
    written = sorted(out.rglob("*.summary.md"))
    say(f"  summaries       {len(written)} of {len(files) + 1}: of each document and over all, in"
        f" {show.span(ran.took_s)}. A model of 135M")  # fmt: skip
    say("                  parameters invents things; its words are no facts:")
    for path in written:
        say(f"    {path.name.removesuffix('.summary.md')}: {_text(path)[:SHOWN]}")
    reasons = _failed("summarize", ran)
    if len(written) != len(files) + 1 or not all(map(_text, written)):
        reasons.append(f"{len(written)} of {len(files) + 1} summaries were written")
    return reasons


def _headrace(place: Place, out: Path, words: Sequence[str], say: Say) -> Ran:
    """A command against the demo's own Headrace; what it says is said. GatewayError: too long."""
    env = {**os.environ, "HEADRACE_URL": place.url, "HEADRACE_DATA_DIR": str(out / "notes")}
    env["HEADRACE_API_KEY"] = place.key or ""
    began, said = time.monotonic(), list[str]()
    process = subprocess.Popen(  # noqa: S603 - our own words, no shell
        tie([*address.headrace_command(), *words, "--out", str(out)]),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    listening = threading.Thread(target=_listen, args=(process, said, say), daemon=True)
    listening.start()
    watched = Pace()
    watched.moved = _moved(place)
    try:
        while process.poll() is None:
            listening.join(LOOK_EVERY_S)
            watched.look()
    except GatewayError as exc:
        raise type(exc)(f"headrace {words[0]}: {exc}") from exc
    finally:
        process.kill()
        process.wait()
    listening.join()
    return Ran(process.returncode, "\n".join(said), time.monotonic() - began)


def _listen(process: subprocess.Popen[str], said: list[str], say: Say) -> None:
    """Says what the command says of its work, as it comes."""
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    with process.stderr as stream:
        for line in stream:
            said.append(line.rstrip())
            say(f"    {line.rstrip()}")


def _moved(place: Place) -> Callable[[], object]:
    """Tells how far the newest jobs are; what it told last where nobody answers."""
    last: object = None

    def moved() -> object:
        nonlocal last
        found = address.read(place.url, "/v1/jobs?limit=20", place.key)
        if found is not None:
            jobs = found.get("data") or ()
            last = [(job.get("id"), job.get("status"), job.get("progress")) for job in jobs]
        return last

    return moved


def _failed(verb: str, ran: Ran) -> list[str]:
    if ran.code == 0:
        return []
    last = (ran.err.strip().splitlines() or ["it did not say why"])[-1]
    return [f"headrace {verb} ended with {ran.code}: {last}"]


def _text(path: Path) -> str:
    """A file's text on one line; "" where there is none."""
    try:
        return " ".join(path.read_text(encoding="utf-8").split())
    except OSError:
        return ""
