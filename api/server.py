"""uvicorn as one API process runs it: fast, quiet, and ended without losing a caller's job."""

import asyncio
import signal
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from api.joined import Protocol
from api.wiring import Service

BACKLOG: Final = 2_048
KEEP_ALIVE_S: Final = 75
DRAIN_S: Final = 5.0  # for what is about to end; then callers are told to come back
FAREWELL_S: Final = 5  # for their answers to go out


def config(app: ASGIApp, host: str, port: int) -> uvicorn.Config:
    """How uvicorn is set up; `port` 0 takes a free one."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(DRAIN_S) + FAREWELL_S,
    )


class Server(uvicorn.Server):
    """uvicorn, without its poll ten times a second, and with an end in two steps.

    On a signal nothing new is accepted. What is held has `DRAIN_S` to end by itself; then it is
    answered 503 with `x-should-retry: true`, and the SDK's retry finds its job again elsewhere.
    """

    def __init__(self, config: uvicorn.Config, service: Service, drain_s: float = DRAIN_S) -> None:
        super().__init__(config)
        self._service = service
        self._drain_s = drain_s
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Waits for the signal; once a second the Date header is set anew."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._asked.wait(), 1.0)
            except TimeoutError:
                continue

    def ask_to_end(self) -> None:
        """Ends the server; to be called in its loop."""
        self.should_exit = True
        self._asked.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Notes the signal and wakes the loop."""
        super().handle_exit(signal.Signals(sig), frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked.set)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Drains, then lets uvicorn close."""
        self._service.drain()
        timer = asyncio.get_running_loop().call_later(self._drain_s, self._service.interrupt_holds)
        try:
            await super().shutdown(sockets)  # type: ignore[arg-type]
        finally:
            timer.cancel()
