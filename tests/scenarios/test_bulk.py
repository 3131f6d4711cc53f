"""Folders of recordings and documents, through the command line, on the whole system."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from whole import Whole, until, whole_system

from bench.stack import KEY
from cli import address
from simulator.speech import Talk, talk_of, write

HEARS = {"id": "hears", "kinds": ["transcription"]}
CHATS = {"id": "chats", "context_window": 8_192, "max_output_tokens": 1_024}


def two_providers(mapping: dict[str, Any]) -> None:
    """Both hear and chat, neither very fast."""
    mapping["providers"] = {
        name: {
            "dialect": dialect,
            "models": [HEARS, CHATS],
            "latency": {"median_ms": 100, "sigma": 0.1},
            "output": {"median_tokens": 24, "tokens_per_s": 2_000},
        }
        for name, dialect in (("alpha", "groq"), ("beta", "openai"))
    }


@pytest.fixture(scope="module")
def system() -> Iterator[Whole]:
    with whole_system("unlimited", change=two_providers) as whole:
        yield whole


def command(*words: str) -> list[str]:
    return [*address.headrace_command(), *words]


def started(system: Whole, folder: Path, *words: str) -> "subprocess.Popen[str]":
    env = os.environ | {
        "HEADRACE_URL": system.url,
        "HEADRACE_API_KEY": KEY,
        "HEADRACE_DATA_DIR": str(folder / ".headrace"),
    }
    return subprocess.Popen(
        command(*words), cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def ran(system: Whole, folder: Path, *words: str) -> tuple[int, str, str]:
    process = started(system, folder, *words)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def talks(folder: Path, *seeds: int, seconds: float = 20, suffix: str = ".flac") -> dict[str, Talk]:
    (folder / "talks").mkdir()
    found = {f"{seed}": talk_of(seed, seconds) for seed in seeds}
    for name, talk in found.items():
        write(talk, folder / "talks" / f"{name}{suffix}")
    return found


def test_a_folder_of_recordings_becomes_what_was_said_in_it(system: Whole, tmp_path: Path) -> None:
    truth = talks(tmp_path, 1, 2, 3)
    (tmp_path / "talks" / "broken.mp3").write_bytes(b"this is no sound at all" * 50)
    code, out, err = ran(
        system, tmp_path, "transcribe", "talks", "-f", "txt", "-f", "srt", "--json"
    )
    assert code == 1, err
    rows = {row["input"]: row for row in map(json.loads, out.splitlines())}
    assert rows["talks/broken.mp3"]["status"] == "failed"
    assert "broken.mp3" in err
    for name, talk in truth.items():
        assert (tmp_path / "talks" / f"{name}.txt").read_text().strip() == talk.text
        assert "-->" in (tmp_path / "talks" / f"{name}.srt").read_text()
        assert rows[f"talks/{name}.flac"]["usage"]["audio_seconds"] >= 20
    with system.http() as http:
        assert http.get("/v1/files").json()["data"] == []


def test_a_run_that_is_killed_with_a_worker_goes_on_and_hands_nothing_in_twice(
    system: Whole, tmp_path: Path
) -> None:
    truth = talks(tmp_path, *range(20, 28))
    first = started(system, tmp_path, "transcribe", "talks")
    written = lambda: list((tmp_path / "talks").glob("*.txt"))  # noqa: E731 - one word for it
    until(written)
    first.kill()
    first.communicate()
    system.kill("workers")
    code, _, err = ran(system, tmp_path, "transcribe", "talks")
    assert code == 0, err
    for name, talk in truth.items():
        assert (tmp_path / "talks" / f"{name}.txt").read_text().strip() == talk.text
    sources = [f"talks/{name}.flac" for name in truth]
    with system.http() as http:
        found = http.get("/v1/jobs", params={"kind": "transcription", "limit": 100}).json()["data"]
    handed_in = [job["metadata"]["source"] for job in found if job["metadata"]]
    assert sorted(one for one in handed_in if one in sources) == sorted(sources)


def test_the_sdk_transcribes_in_every_format(system: Whole, tmp_path: Path) -> None:
    talk = talks(tmp_path, 7, suffix=".mp3")["7"]
    with system.sdk(max_retries=0) as sdk, (tmp_path / "talks" / "7.mp3").open("rb") as file:
        ask = sdk.audio.transcriptions.create
        assert ask(model="hears", file=file).text == talk.text
        file.seek(0)
        verbose = ask(
            model="auto", file=file, response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )  # fmt: skip
        file.seek(0)
        srt = ask(model="alpha/hears", file=file, response_format="srt")
    assert verbose.words is not None
    assert len(verbose.words) == len(talk.words)
    assert abs(verbose.words[-1].end - talk.words[-1].end_s) < 1
    assert re.match(r"1\n00:00:0\d,\d{3} --> ", srt)


def test_a_folder_of_documents_is_summarised_and_together_too(
    system: Whole, tmp_path: Path
) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "one.md").write_text("# Mills\n\n" + "Water turns the wheel. " * 400)
    (tmp_path / "papers" / "two.html").write_text(
        "<html><body><p>Grain is ground.</p></body></html>"
    )
    code, out, err = ran(system, tmp_path, "summarize", "papers", "--combined", "--length", "short")
    assert code == 0, err
    names = sorted(path.name for path in map(Path, out.split()))
    assert names == ["combined.summary.md", "one.summary.md", "two.summary.md"]
    assert all((tmp_path / "papers" / name).read_text().strip() for name in names)
    code, _, err = ran(system, tmp_path, "summarize", "papers", "--combined", "--length", "short")
    assert (code, "2 skipped" in err) == (0, True)


def test_usage_counts_the_audio(system: Whole, tmp_path: Path) -> None:
    talks(tmp_path, 9)
    assert ran(system, tmp_path, "transcribe", "talks")[0] == 0
    code, out, err = ran(system, tmp_path, "usage", "--json", "--days", "1")
    assert code == 0, err
    assert json.loads(out)["today"]["total"]["audio_seconds"] >= 20
