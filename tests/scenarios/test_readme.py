"""What README.md shows can be typed as it stands and does what it says."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from whole import Whole, until, whole_system

from bench.stack import KEY
from cli import address
from cli.main import VERBS
from simulator.speech import talk_of, write

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
SERVES = ("up", "simulate")  # the running system stands for these


def lines(language: str) -> list[str]:
    """The logical lines of all blocks of one language, comments cut."""
    text = "".join(block for name, block in BLOCKS if name == language)
    joined = re.sub(r"\\\n\s*", " ", text)
    return [cut for line in joined.splitlines() if (cut := re.sub(r"\s+# .*", "", line).strip())]


@pytest.fixture(scope="module")
def system() -> Iterator[Whole]:
    with whole_system("free_tiers") as whole:
        yield whole


def typed(line: str, system: Whole, folder: Path) -> "subprocess.CompletedProcess[str]":
    """One line in a shell, in a folder that has what the README speaks of."""
    (folder / "prompts.txt").write_text("Say one.\nSay two.\n", encoding="utf-8")
    asked = {"model": "auto", "messages": [{"role": "user", "content": "Say hello"}]}
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": asked}
    (folder / "requests.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (folder / "papers").mkdir(exist_ok=True)
    (folder / "papers" / "one.md").write_text("# One\n\nWater turns the wheel.\n", encoding="utf-8")
    (folder / "talks").mkdir(exist_ok=True)
    write(talk_of(1, 20), folder / "talks" / "one.flac")
    old = {"version": "2.0.0", "providers": [{"type": "groq-free", "apiKey": "gsk-nobodys"}]}
    (folder / "app_settings.json").write_text(json.dumps(old), encoding="utf-8")
    (folder / "FILE").write_text("providers: {}\n", encoding="utf-8")
    with system.http() as http:
        request = {"model": "auto", "messages": [{"role": "user", "content": "Say hello"}]}
        job = http.post("/v1/jobs", json={"kind": "chat", "request": request}).json()["id"]
    headrace = shlex.join(address.headrace_command())
    for old, new in (
        ("http://127.0.0.1:8080", system.url),
        (".venv/bin/headrace", headrace),
        ("JOB_ID", job),
        ("hr_…", KEY),
    ):
        line = line.replace(old, new)
    env = os.environ | {
        "HEADRACE_URL": system.url,
        "HEADRACE_API_KEY": KEY,
        "HEADRACE_DATA_DIR": str(folder / ".headrace"),
    }
    return subprocess.run(
        ["bash", "-c", line],
        check=False, cwd=folder, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


SHOWN = [line for line in lines("sh") if not line.startswith(("make", "export"))]
TYPED = [line for line in SHOWN if not re.match(rf"\S+headrace ({'|'.join(SERVES)})\b", line)]


@pytest.mark.parametrize("line", TYPED)
def test_a_line_of_the_readme_works_as_it_stands(line: str, system: Whole, tmp_path: Path) -> None:
    done = typed(line, system, tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert said.strip()
    assert '"error": {' not in said
    assert '"error":{' not in said


def test_the_readmes_python_works_as_it_stands(system: Whole, capsys) -> None:
    (source,) = [block for name, block in BLOCKS if name == "python"]
    source = source.replace("http://127.0.0.1:8080", system.url).replace("hr_…", KEY)
    exec(compile(source, "README.md", "exec"), {})  # noqa: S102 - our own README
    assert capsys.readouterr().out.startswith("sim-")


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    (text,) = [block for name, block in BLOCKS if name == "yaml"]
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    assert yaml.safe_load(text)["providers"]
    check = [*address.headrace_command(), "catalog", "check", str(file)]
    subprocess.run(check, check=True, env=os.environ | {"ALPHA_KEY": "sk-x"}, timeout=60)


def test_every_target_and_verb_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets, path
        assert set(re.findall(r"[`/]headrace ([a-z]+)\b", text)) <= set(VERBS), path


def test_the_system_answers_the_readmes_questions(system: Whole) -> None:
    """`openapi.json` describes what is there, `/v1/queues` names the lanes."""
    with system.http() as http:
        assert http.get("/openapi.json").json()["paths"]
        assert until(lambda: http.get("/v1/queues").json()["data"])
