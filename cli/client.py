"""The command line's side of our HTTP API: where it is, with which key, and what can go wrong.

The address is HEADRACE_URL, else where the last `headrace up` of this data directory served, else
http://127.0.0.1:8080. The key is HEADRACE_API_KEY, else the data directory's `client-key`, which is
only ever sent to this machine.
"""

import asyncio
import os
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
import orjson

from cli import home
from cli.answers import as_json, refusal
from cli.codes import Unreachable
from cli.sse import Decoder, ServerEvent
from shared.errors import ConfigError, Refused

DEFAULT_URL = "http://127.0.0.1:8080"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CONNECT_S = 5.0
REPLY_S = 60.0
HELD_S = 600.0
QUIET_S = 60.0  # an event stream with keep-alive comments is never silent for so long
RETRY_FOR_S = 60.0  # a server that is started again is there sooner
LIVED_S = 5.0
TOLD_FROM = 2
FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0
NOT_FOUND = 404
OVERFULL = 503
FIRST_BAD = 400
FINAL_EVENTS = frozenset({"job.completed", "job.failed", "job.cancelled", "job.expired"})
FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "expired"})
Sent = TypeVar("Sent")


@dataclass(frozen=True, slots=True)
class Place:
    """Where Headrace is and which key it wants; `repr` does not show the key."""

    url: str
    key: str | None

    def __repr__(self) -> str:
        return f"Place({self.url})"

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.url).hostname in LOOPBACK

    def trust(self) -> ssl.SSLContext | bool:
        """Whom TLS trusts: nobody where there is none, for to read all authorities takes 30 ms."""
        plain = self.local and urlsplit(self.url).scheme == "http"
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True


def find(url: str | None = None, environment: Mapping[str, str] | None = None) -> Place:
    """The place to talk to. ConfigError if the address is none."""
    env = os.environ if environment is None else environment
    here = home.of_environment()
    found = (url or env.get("HEADRACE_URL") or here.address() or DEFAULT_URL).rstrip("/")
    if urlsplit(found).scheme not in {"http", "https"} or not urlsplit(found).hostname:
        raise ConfigError(f"HEADRACE_URL is {found!r}; an address begins with http:// or https://")
    place = Place(found.removesuffix("/v1"), env.get("HEADRACE_API_KEY") or None)
    if place.key is None and place.local:
        return Place(place.url, here.client_key())
    return place


def pause_s(tries: int, draw: float) -> float:
    """How long to wait before try number `tries` + 1: full jitter, at most 5 s."""
    return draw * min(MOST_PAUSE_S, FIRST_PAUSE_S * float(2 ** min(tries, 16)))


class Api:
    """One connection pool to one Headrace: `async with Api(place) as api`."""

    def __init__(
        self,
        place: Place,
        *,
        connections: int = 100,
        told: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """`told` is given a line when who answered before does not, and when it does again."""
        self._told, self._met, self._lost = told, False, False
        headers = {"Authorization": f"Bearer {place.key}"} if place.key else {}
        self.place = place
        self.statuses: Counter[int] = Counter()  # of all answers so far
        self._http = httpx2.AsyncClient(
            base_url=place.url,
            headers=headers,
            timeout=httpx2.Timeout(REPLY_S, connect=CONNECT_S, pool=None),
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            trust_env=not place.local,
            verify=place.trust(),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, exc, tb)

    async def close(self) -> None:
        """Closes its connections, where `async with` does not."""
        await self._http.aclose()

    @property
    def met(self) -> bool:
        """Whether anybody has ever answered."""
        return self._met

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """A GET's JSON; repeated over drops and 503 for up to a minute."""
        given = {name: value for name, value in params.items() if value is not None}
        return await self._patiently("GET", path, params=given)

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        """A POST's JSON; repeated over drops and 503 only with an idempotency `key`."""
        headers = {"Idempotency-Key": key} if key else {}
        content = b"" if body is None else orjson.dumps(body)
        headers |= {"Content-Type": "application/json"} if content else {}
        if key is None:
            return as_json(await self._send("POST", path, content=content, headers=headers))
        return await self._patiently("POST", path, content=content, headers=headers)

    async def upload(
        self, path: Path, purpose: str, *, lives_s: int | None = None
    ) -> dict[str, Any]:
        """A file's JSON, once it is kept; removed after `lives_s`. It is streamed.

        Repeated over drops and 503 as a GET is: what a broken one left is nobody's. Refused too: it
        grew or shrank meanwhile, which is no fault of the server's.
        """
        data = {"purpose": purpose}
        if lives_s is not None:
            data |= {
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": str(lives_s),
            }

        async def send() -> httpx2.Response:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size  # which is told before what it holds
                try:
                    return await self._send("POST", "/v1/files", data=data, files={"file": file})
                except Refused:
                    raise
                except Exception as exc:
                    if os.fstat(file.fileno()).st_size != size:
                        raise Refused("it changed its length while it was sent") from exc
                    raise

        return as_json(await self._repeated(send))

    async def download(self, path: str, target: Path) -> None:
        """Writes what is at `path` to a file, whole or not at all; repeated as a GET is."""
        await self._repeated(lambda: self._download(path, target))

    async def _download(self, path: str, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        try:
            async with self._http.stream("GET", path) as response:
                if response.status_code >= FIRST_BAD:
                    body = await response.aread()
                    raise refusal(response.status_code, body, response.headers)
                with part.open("wb") as file:
                    async for chunk in response.aiter_raw():
                        file.write(chunk)
            part.replace(target)
        except httpx2.TransportError as exc:
            raise self._unreachable(exc) from exc
        finally:
            part.unlink(missing_ok=True)

    async def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A PATCH's or DELETE's JSON; never repeated."""
        content = b"" if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if content else {}
        return as_json(await self._send(method, path, content=content, headers=headers))

    async def job(self, job_id: str, *, wait_s: int | None = None) -> dict[str, Any]:
        """A job as it stands; with `wait_s`, held until it ends or that time has passed."""
        return await self.get(f"/v1/jobs/{quote(job_id, safe='')}", wait=wait_s)

    async def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            response = await self._http.request(method, path, **more)
        except httpx2.TransportError as exc:
            raise self._unreachable(exc) from exc
        self._answered(response.status_code)
        if response.status_code >= FIRST_BAD:
            raise refusal(response.status_code, response.content, response.headers)
        return response

    async def _patiently(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        return as_json(await self._repeated(lambda: self._send(method, path, **more)))

    async def _repeated(self, send: Callable[[], Awaitable[Sent]]) -> Sent:
        """Repeats what may be repeated, for a minute from the first time that it failed.

        A 503 with Retry-After is waited out, however long.
        """
        until, tries = 0.0, 0
        while True:
            try:
                return await send()
            except Refused as exc:
                if exc.status != OVERFULL:
                    raise
                until = until or time.monotonic() + RETRY_FOR_S
                await asyncio.sleep(exc.retry_after_s or pause_s(tries, 1.0))
                if exc.retry_after_s is None and time.monotonic() > until:
                    raise
            except Unreachable:
                until = until or time.monotonic() + RETRY_FOR_S
                if not await self._hopes(until, tries):
                    raise
                await asyncio.sleep(pause_s(tries, random.random()))
            tries += 1

    def _answered(self, status: int) -> None:
        self.statuses[status] += 1
        self._met = True
        if self._lost:
            self._lost = False
            self._told("the server answers again")

    async def _hopes(self, until: float, tries: int) -> bool:
        """Whether to try again where nobody answered: for a minute, if somebody ever did.

        Who was there and is not, is told of once, from the third time on: the first two may be
        a connection that was cut.
        """
        self._met = self._met or await self._answers()
        if not self._met or time.monotonic() > until:
            return False
        if tries >= TOLD_FROM and not self._lost:
            self._lost = True
            self._told("the server does not answer; trying again for about a minute")
        return True

    async def _answers(self) -> bool:
        """Whether anybody is there: one who never was will not come back in a minute."""
        for _ in range(10):
            try:
                await self._http.get("/healthz", timeout=CONNECT_S)
            except httpx2.TransportError:
                await asyncio.sleep(0.2)
            else:
                return True
        return False

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **more: Any
    ) -> AsyncIterator[tuple[httpx2.Headers, AsyncIterator[ServerEvent]]]:
        """An event stream: its headers, and its events. Unreachable if it breaks."""
        timeout = httpx2.Timeout(more.pop("quiet_s", QUIET_S), connect=CONNECT_S, pool=None)
        try:
            async with self._http.stream(method, path, timeout=timeout, **more) as response:
                self._answered(response.status_code)
                if response.status_code >= FIRST_BAD:
                    body = await response.aread()
                    raise refusal(response.status_code, body, response.headers)
                yield response.headers, _events(response)
        except httpx2.TransportError as exc:
            raise self._unreachable(exc) from exc

    async def follow(
        self,
        job_id: str,
        *,
        after: str = "",
        lost: Callable[[Unreachable], None] = lambda _exc: None,
    ) -> AsyncIterator[ServerEvent]:
        """A job's events up to its last, each once, over broken connections.

        `after` is an event's id to go on from. Unreachable if nothing answers for a minute.
        """
        path = f"/v1/jobs/{quote(job_id, safe='')}/events"
        until, tries = 0.0, 0
        while True:
            opened: float | None = None
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
            try:
                async with self.stream("GET", path, headers=headers) as (_, events):
                    opened = time.monotonic()
                    async for event in events:
                        until, tries, after = 0.0, 0, event.id or after
                        yield event
                        if event.event in FINAL_EVENTS:
                            return
                until = self._until(until, opened)
                self._still_time(until, job_id)
            except Unreachable as exc:
                until = self._until(until, opened)
                if not await self._hopes(until, tries):
                    raise
                if tries == 0:
                    lost(exc)
            except Refused as exc:
                until = until or time.monotonic() + RETRY_FOR_S
                if exc.status < 500 or time.monotonic() > until:  # noqa: PLR2004 - a 5xx passes
                    raise
            await asyncio.sleep(pause_s(tries, 0.5 + random.random() / 2))
            tries += 1

    @staticmethod
    def _until(until: float, opened: float | None) -> float:
        """Until when to try again: a stream that was open for long, and still, began it anew."""
        now = time.monotonic()
        lived = opened is not None and now - opened > LIVED_S
        return now + RETRY_FOR_S if lived or not until else until

    def _still_time(self, until: float, job_id: str) -> None:
        if time.monotonic() > until:
            raise Unreachable(f"{self.place.url} ends the events of {job_id} before their last")

    def _unreachable(self, exc: Exception) -> Unreachable:
        why = str(exc) or type(exc).__name__
        hint = "start it with `headrace up`" if self.place.local else "is HEADRACE_URL right?"
        return Unreachable(f"no Headrace answers at {self.place.url} ({why}): {hint}")


async def _events(response: httpx2.Response) -> AsyncIterator[ServerEvent]:
    decoder = Decoder()
    async for chunk in response.aiter_raw():
        for event in decoder.feed(chunk):
            yield event
