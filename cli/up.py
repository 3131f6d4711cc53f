"""`headrace up`: everything on one machine, each part a process of its own, all kept running."""

import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from cli import address, codes, greeting, output, processes, served
from cli.engines import local as engines
from cli.home import Home, write_private
from cli.keys import make_keys
from cli.supervise import Program, Supervisor, describe
from cli.tied import tie
from shared import catalog, vault
from shared.credentials import Secret
from shared.errors import ConfigError
from shared.settings import Settings
from shared.store import server, server_look, server_place

app = typer.Typer(add_completion=False, rich_markup_mode=None)
READY_S = 60.0
STORE_READY_S = 300.0  # an append-only file of gigabytes takes its time to load
STOP_API_S = 15.0
STOP_WORKERS_S = 30.0
STOP_ENGINE_S = 3.0
CONFIG_EXIT = codes.USAGE


@app.command()
def up(  # noqa: PLR0913 - an option each
    *,
    host: Annotated[str | None, typer.Option(help="the address to listen on")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="where everything is kept")] = None,
    config: processes.Config = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="worker processes")] = None,
    log_level: processes.LogLevel = None,
    local: Annotated[
        bool | None,
        typer.Option(
            "--local/--no-local",
            help="this machine's own small models; without either: where no provider has a key",
        ),
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="make another admin API key")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no logs of the parts")] = False,
) -> None:
    """Serve everything on this machine: an embedded store, the API, workers and the scheduler.

    With REDIS_URL set, that store is used instead of an embedded one. Where no provider has a key,
    small models on this machine answer, if they are installed. Ctrl-C stops it in order: what runs
    is finished or goes back to the queue, and nothing is lost.
    """
    settings = processes.load(
        host=host,
        port=port,
        data_dir=data_dir,
        config=config,
        workers=workers,
        log_level=log_level,
        local=local,
    )
    home = Home(settings.data_dir.absolute())
    home.prepare()
    with home.held():
        supply = served.look(settings.config, settings.refreshed)
        settings = settings.model_copy(
            update={"port": address.claimable(settings.host, settings.port)}
        )
        if settings.secret_key is None:
            vault.make_key_file(home.path)
        admin = None if settings.api_keys_file else make_keys(home, anew=new_key)
        named = catalog.read_config(settings.config).providers
        kinds = engines.wanted(settings.local, supply, named)
        hint = engines.told(kinds, settings.local, supply)
        out = output.standard(quiet=quiet)
        try:
            with engines.prepared(kinds, home) as own:
                if own.file is not None:
                    supply = served.look(settings.config, settings.refreshed, own.file)
                code = Serving(settings, home, out, own).run(supply, admin, hint)
        finally:
            out.close()
    raise typer.Exit(code)


def stopping(running: int) -> str:
    """What is said once it is to stop, while `running` calls run."""
    calls = {0: "", 1: "1 call is running, "}.get(running, f"{running} calls are running, ")
    return f"headrace: stopping: {calls}Ctrl-C again to stop at once"


class Serving:
    """One run of `up`, with the local engines `own`."""

    def __init__(
        self, settings: Settings, home: Home, out: output.Output, own: engines.Local
    ) -> None:
        self._settings, self._home, self._out, self._own = settings, home, out, own
        self._base_url = address.base_url(settings.host, settings.port)
        self._redis_url = settings.redis_url or server_place.url_of(home.store_dir)
        workers = ["workers", *(f"workers-{n}" for n in range(2, settings.workers + 1))]
        self._stop_order = ("api", *workers, "scheduler", *own.names, "valkey")
        self._workers = workers
        self._ready = False
        self._engine_ends: Counter[str] = Counter()
        self._failure: str | None = None
        self._boss = Supervisor(out, self._stop_order, self._on_exit, self._on_asked)

    def run(self, supply: served.Supply, admin: Secret | None, hint: str = "") -> int:
        """Serves until it is told to stop; returns the exit code. `hint`: of the local engines."""
        with self._boss:
            if self._start(supply):
                self._ready = True
                write_private(self._home.address_file, self._base_url + "\n")
                text = greeting.text(self._base_url, self._home, supply, admin, self._store(), hint)
                self._out.note(text)
            elif not self._boss.stopping:
                self._failure = self._not_ready()
                self._boss.stop()
            self._boss.run()
        if self._failure is not None:
            raise ConfigError(self._failure)
        return codes.OK

    def _start(self, supply: served.Supply) -> bool:
        """Starts everything, the store first; True once work can be accepted.

        Without any provider nothing ever can: then once the API answers.
        """
        for kind in self._own.ports:  # they load while the others start
            self._boss.start(self._engine(kind))
        if self._settings.redis_url is None:
            self._boss.start(self._valkey())
            url = self._redis_url
            if not self._boss.wait_until(lambda: server_look.ping(url), STORE_READY_S):
                return False
        else:
            address.check_store(self._settings.redis_url)
        for name, verb in (*((w, "workers") for w in self._workers), ("scheduler", "scheduler")):
            self._boss.start(self._program(name, verb, STOP_WORKERS_S))
        self._boss.start(self._program("api", "api", STOP_API_S))
        path = "/readyz" if supply.served else "/healthz"

        def answers() -> bool:
            return address.ask(self._base_url, path) == address.OK

        def settled() -> bool:
            return all(self._engine_ends[f"engine-{kind}"] > 1 for kind in self._own.silent())

        self._boss.wait_until(lambda: answers() and settled(), READY_S)
        return not self._boss.stopping and answers() and self._engines_told()

    def _engines_told(self) -> bool:
        """An engine that does not come up is told of, and the rest served: True."""
        for kind in self._own.silent():
            why = (self._out.tail(f"engine-{kind}") or ["it did not say why"])[-1]
            told = why.removeprefix("headrace: ")
            self._out.note(f"headrace: the local {kind} engine does not answer: {told}")
        return True

    def _valkey(self) -> Program:
        argv = server.command(self._home.store_dir, fsync=self._settings.appendfsync)
        return Program("valkey", argv, os.environ, stop_s=30.0)

    def _engine(self, kind: str) -> Program:
        env = {**os.environ, **self._own.env(), "PYTHONUNBUFFERED": "1"}
        return Program(f"engine-{kind}", tie(self._own.argv(kind)), env, stop_s=STOP_ENGINE_S)

    def _program(self, name: str, verb: str, stop_s: float) -> Program:
        return Program(name, tie([*address.headrace_command(), verb]), self._env(), stop_s)

    def _env(self) -> dict[str, str]:
        settings = self._settings
        given = {
            "REDIS_URL": self._redis_url,
            "HEADRACE_HOST": settings.host,
            "HEADRACE_PORT": str(settings.port),
            "HEADRACE_DATA_DIR": str(self._home.path),
            "HEADRACE_LOG_LEVEL": settings.log_level,
            "PYTHONUNBUFFERED": "1",
        }
        if settings.config is not None:
            given["HEADRACE_CONFIG"] = str(settings.config.absolute())
        given["HEADRACE_API_KEYS_FILE"] = str(settings.api_keys_file or self._home.keys_file)
        return {**os.environ, **self._own.env(), **given}

    def _store(self) -> str:
        own = "embedded Valkey" if self._settings.redis_url is None else "the store at REDIS_URL"
        return f"{self._home.path} ({own})"

    def _on_exit(self, name: str, code: int) -> None:
        """Before all is ready, a part that refuses its configuration ends the whole."""
        if name in self._own.names:
            self._engine_ends[name] += 1
            return
        if self._ready or code != CONFIG_EXIT:
            return
        why = (self._out.tail(name) or ["it did not say why"])[-1]
        self._failure = f"{name} cannot start ({describe(code)}): {why.removeprefix('headrace: ')}"
        self._boss.stop()

    def _on_asked(self) -> None:
        """Says what stopping waits for: calls that run may take as long as their workers have."""
        self._out.note(stopping(self._running() if self._ready else 0))

    def _running(self) -> int:
        """How many calls run; 0 where the API does not tell it within a second."""
        found = address.read(self._base_url, "/v1/queues", self._home.client_key())
        return sum(int(lane["running"]) for lane in (found or {}).get("data") or ())

    def _not_ready(self) -> str:
        lines = [f"not ready within {READY_S:g} s. What was said last:"]
        for name in self._stop_order:
            lines += [f"  {name}: {line}" for line in self._out.tail(name)[-3:]]
        return "\n".join(lines)
