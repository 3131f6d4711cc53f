"""The local engines as `headrace up` runs them: ports and a key for each start, and their catalog.

They are providers like any other, `local` and `local-speech`, laid between our catalog and the
user's configuration by a file (HEADRACE_ENGINES) that every part reads. They are of last resort:
behind `auto` they serve only what nothing else could, so that no work is done badly because a good
provider rests; named, they serve always.
"""

import contextlib
import os
import secrets
import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cli import address
from cli.engines import chat, found, whisper
from cli.engines.found import CHAT, SPEECH, Kind
from cli.home import Home, write_private
from cli.served import Supply
from shared.credentials import Secret
from shared.errors import ConfigError

KEY = "HEADRACE_ENGINE_KEY"
PROVIDERS = {CHAT.name: "local", SPEECH.name: "local-speech"}
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Local:
    """The engines of one start: their ports, the key they ask for, the file that tells of them."""

    ports: Mapping[str, int] = field(default_factory=dict)
    key: Secret = field(default_factory=lambda: Secret(secrets.token_urlsafe(32)))
    file: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What `up` calls them."""
        return tuple(f"engine-{kind}" for kind in self.ports)

    def argv(self, kind: str) -> list[str]:
        """The command that serves one."""
        return [*address.headrace_command(), "engine", kind, "--port", str(self.ports[kind])]

    def env(self) -> dict[str, str]:
        """What every part needs in its environment to reach them."""
        if self.file is None:
            return {}
        return {KEY: self.key.reveal(), "HEADRACE_ENGINES": str(self.file)}

    def silent(self) -> tuple[str, ...]:
        """Those that do not answer now."""
        urls = {kind: f"http://{LOOPBACK}:{port}" for kind, port in self.ports.items()}
        return tuple(k for k, url in urls.items() if address.ask(url, "/health") != address.OK)


def wanted(asked: bool | None, supply: Supply, named: Collection[str]) -> tuple[Kind, ...]:
    """Which engines to run: those installed, if asked for, or where nothing else can serve.

    `asked` None leaves it to us; `named` are the providers of the configuration. ConfigError where
    they are asked for and cannot be had.
    """
    if asked is False or (asked is None and supply.served):
        return ()
    kinds = found.installed()
    taken = sorted(set(PROVIDERS.values()).intersection(named))
    if asked and not kinds:
        raise ConfigError(f"--local: no local engine is installed here: {found.INSTALL}")
    if asked and taken:
        raise ConfigError(
            f"--local: the configuration has a provider {taken[0]!r} of its own: rename that one"
        )
    return () if taken else kinds


def told(kinds: Collection[Kind], asked: bool | None, supply: Supply) -> str:
    """What the user is told of them, in one line; "" where there is nothing to say."""
    if kinds:
        why = "" if asked else "no provider key found: "
        models = " and ".join(kind.title for kind in kinds)
        key = next(iter(supply.missing.values()), "GROQ_API_KEY")
        small = f"they are small: add {key}=… for real work"
        rest = ", ".join(kind.title for kind in found.KINDS.values() if kind not in kinds)
        more = f" ({rest} is not installed: {found.INSTALL})" if rest else ""
        return f"{why}serving {models} on this machine{more}; {small}"
    if supply.served or asked is False:
        return ""
    return f"{found.INSTALL} installs two small models that need no key; then start it again"


@contextlib.contextmanager
def prepared(kinds: Collection[Kind], home: Home) -> Iterator[Local]:
    """Ports that stay ours until the end, a fresh key, and the file that tells of both."""
    home.engines_file.unlink(missing_ok=True)
    if not kinds:
        yield Local()
        return
    with contextlib.ExitStack() as held:
        ports = {kind.name: held.enter_context(_held_port()) for kind in kinds}
        text = yaml.safe_dump({"providers": providers(ports)}, sort_keys=False)
        write_private(home.engines_file, text)
        held.callback(home.engines_file.unlink, missing_ok=True)
        yield Local(ports, file=home.engines_file)


@contextlib.contextmanager
def _held_port() -> Iterator[int]:
    """A free loopback port that nobody is given by chance while its server starts, or starts anew.

    It is bound here and never listened on, which lets a server of ours bind it too.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((LOOPBACK, 0))
        yield int(holder.getsockname()[1])


def providers(ports: Mapping[str, int]) -> dict[str, Any]:
    """The catalog of the engines at these ports."""
    docs = {CHAT.name: _chat, SPEECH.name: _speech}
    return {PROVIDERS[kind]: docs[kind](port) for kind, port in ports.items()}


def _chat(port: int) -> dict[str, Any]:
    model = {
        "id": CHAT.model,
        "family": "smollm2",
        "category": "small",
        "context_window": chat.CONTEXT_TOKENS,
        "max_output_tokens": chat.OUTPUT_TOKENS,
        "capabilities": ["chat", "stream", "json_object", "json_schema"],
        "limits": {"free": {"concurrency": chat.PARALLEL}},
        "price_usd_per_1m": {"input": 0, "output": 0},
    }
    quirks = {
        "embeddings_path": "",
        "transcription_path": "",
        "rate_dialect": "none",
        # After a stream it ends the connection without saying so, and a call that meets it so
        # cannot know whether it was heard.
        "extra_headers": {"Connection": "close"},
    }
    return _provider("this machine's chat engine", port, quirks, model)


def _speech(port: int) -> dict[str, Any]:
    model = {
        "id": SPEECH.model,
        "family": SPEECH.model,
        "capabilities": ["transcription"],
        "timestamps": "word",
        "max_audio_seconds": whisper.MOST_SECONDS,
        "max_audio_bytes": whisper.MOST_BYTES,
        "limits": {"free": {"concurrency": whisper.PARALLEL}},
        "price_usd_per_audio_hour": 0,
    }
    quirks = {"chat_path": "", "embeddings_path": "", "rate_dialect": "none"}
    return _provider("this machine's speech engine", port, quirks, model)


def _provider(
    title: str, port: int, quirks: Mapping[str, Any], model: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "type": "openai-compatible",
        "title": title,
        "base_url": f"http://{LOOPBACK}:{port}/v1",
        "env": [KEY],
        "no_auth": True,  # for whoever reads this file: the parts are given the key
        "last_resort": True,
        "default_plan": "free",
        "quirks": dict(quirks),
        "models": [dict(model)],
    }


def key_of_environment() -> Secret | None:
    """The key that `up` gave this engine."""
    value = os.environ.get(KEY, "")
    return Secret(value) if value else None
