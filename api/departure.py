"""Ends a wait when the client hangs up, or when the server is going down."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from api.body import ClientGone
from api.wiring import Service
from shared.errors import Refused


class Departure:
    """`async with Departure(...)`: its block is left with ClientGone once the client hangs up.

    Like `asyncio.timeout`, it cancels the task that waits in it and turns that cancellation, and no
    other, into its own exception. `settled()` before the last byte: a client may go after that.
    Left with Refused (503) when the server goes down meanwhile.
    """

    __slots__ = ("_listener", "_reason", "_receive", "_service", "_task")

    def __init__(self, service: Service, receive: Receive) -> None:
        self._service = service
        self._receive = receive
        self._reason: Exception | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a hold needs a task")
        self._task: asyncio.Task[None] | None = task
        self._listener: asyncio.Task[None] | None = loop.create_task(self._listen())
        self._service.enter_hold(self._interrupt)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = self._task
        self.settled()
        if self._reason is not None and kind is asyncio.CancelledError:
            current = asyncio.current_task() if task is None else task
            if current is not None and current.uncancel() == 0:
                raise self._reason from None

    def settled(self) -> None:
        """What is left to send is sent whatever the client does."""
        listener, self._listener = self._listener, None  # it holds us: else a cycle of 8 KB stays
        if self._task is not None and listener is not None:
            self._task = None
            listener.cancel()
            self._service.leave_hold(self._interrupt)

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave(ClientGone())

    def _interrupt(self) -> None:
        self._leave(
            Refused(
                "this server is going down; the job goes on: repeat the request to wait for it",
                status=503,
                type_="server_error",
                code="shutting_down",
                retry_after_s=1,
            )
        )

    def _leave(self, reason: Exception) -> None:
        if self._task is not None and self._reason is None:
            self._reason = reason
            self._task.cancel()
