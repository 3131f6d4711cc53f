"""The application under a real uvicorn, in a thread of this process."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from api_fakes import FakeStore, application, until

from api.server import Server, config


class Running:
    """A served application; `call` runs something in the server's loop and returns its result."""

    def __init__(self, store: FakeStore, **bounds: Any) -> None:
        self.store = store
        app, self.service = application(store, **bounds)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.port: int = self.socket.getsockname()[1]
        self.server = Server(config(app, "127.0.0.1", 0), self.service, drain_s=0.0)
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            serving = self.loop.create_task(self.server.serve(sockets=[self.socket]))
            await until(lambda: self.server.started or serving.done())
            self._up.set()
            await serving

        with asyncio.Runner(loop_factory=self.server.config.get_loop_factory()) as runner:
            runner.run(main())

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(60)
        assert self.server.started

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.server.ask_to_end)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def call(self, do: Callable[..., Any], *args: Any) -> Any:
        async def run() -> Any:
            return do(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(20)

    def wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)


@contextmanager
def running(store: FakeStore, **bounds: Any) -> Iterator[Running]:
    server = Running(store, **bounds)
    server.start()
    try:
        yield server
    finally:
        server.stop()
