"""What is administered while everything runs: credentials, providers, callers' keys. One hash each.

A row is JSON; who changes one says what stood there (`admin.lua`), and every process hears of it.
Health is beside it: `cool` (resting scopes), `checks` (the last test of a credential), `probes`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from redis.asyncio import Redis

from shared.queue.scripts import Scripts
from shared.store.connect import messages, store_errors

Noun = Literal["credentials", "providers", "apikeys", "plans", "organisations"]
Row = dict[str, Any]
MOST_ROWS: Final[Mapping[Noun, int]] = {
    "credentials": 5_000,
    "providers": 200,
    "apikeys": 20_000,
    "plans": 10_000,
    "organisations": 10_000,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Everything administered, as it stood at one moment.

    Plans are texts, so are organisations (`core/organisations.py` reads them); the rest is JSON.
    """

    version: int = 0
    credentials: Mapping[str, Row] = field(default_factory=dict)
    providers: Mapping[str, Row] = field(default_factory=dict)
    apikeys: Mapping[str, Row] = field(default_factory=dict)
    plans: Mapping[str, str] = field(default_factory=dict)
    organisations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rest:
    """A scope of the store's cooldowns: until when (ms) and why."""

    until_ms: int
    reason: str

    @property
    def dead(self) -> bool:
        """Whether it is set aside without a time."""
        return self.until_ms >= DEAD_MS


@dataclass(frozen=True, slots=True)
class Keys:
    """The credentials whose key is another than before, and those there are no more."""

    replaced: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


DEAD_MS: Final = 10**15


class Tables:
    """The tables of one store. All methods raise StoreError where it does not answer."""

    def __init__(self, client: Redis, prefix: str = "{hr}:") -> None:
        self._client = client
        self._scripts = Scripts(client, prefix)
        self._prefix = prefix

    async def rows(self) -> Rows:
        """All tables, read at one moment."""
        pipe = self._client.pipeline(transaction=True)
        pipe.get(f"{self._prefix}admin:version")
        for noun in MOST_ROWS:
            pipe.hgetall(f"{self._prefix}{noun}")
        with store_errors("reading what is administered"):
            version, credentials, providers, apikeys, *texts = await pipe.execute()
        return Rows(
            int(version or 0),
            _parsed(credentials),
            _parsed(providers),
            _parsed(apikeys),
            *({name.decode(): text.decode() for name, text in rows.items()} for rows in texts),
        )

    async def put(self, noun: Noun, id_: str, was: Row | None, now: Row | None) -> str:
        """Writes a row where `was` stands; `done`, `changed` (it does not), `full`."""
        with store_errors(f"writing {noun}"):
            return await self._put(noun, id_, _dumped(was), _dumped(now))

    async def put_plan(self, credential: str, was: str | None, now: str | None) -> str:
        """Writes the detected plan of a credential, as `put` does."""
        with store_errors("writing plans"):
            return await self._put("plans", credential, was, now)

    async def put_organisation(self, credential: str, was: str | None, now: str | None) -> str:
        """Writes the organisation that a credential was told to belong to, as `put` does."""
        with store_errors("writing organisations"):
            return await self._put("organisations", credential, was, now)

    async def _put(self, noun: Noun, id_: str, was: str | None, now: str | None) -> str:
        header = {"noun": noun, "id": id_, "was": was, "now": now, "most": MOST_ROWS[noun]}
        found: bytes = await self._scripts("admin", header)
        return found.decode()

    async def changes(self) -> AsyncIterator[None]:
        """One item at once, and one a change. StoreError when the connection breaks."""
        subscription = self._client.pubsub()
        try:
            with store_errors("listening for changes"):
                await subscription.subscribe(f"{self._prefix}admin")
            yield None
            async for _ in messages(subscription):
                yield None
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]

    # -- health

    async def rests(self) -> Mapping[str, Rest]:
        """Resting scopes: `c:<credential>`, `l:<lane>|<credential>`, `d:<deployment>`."""
        with store_errors("reading cooldowns"):
            found = await self._hash("cool")
        return {scope: _rest(text) for scope, text in found.items()}

    async def failures(self) -> Mapping[str, int]:
        """Failures in a row by deployment: what its circuit breaker counts."""
        with store_errors("reading breakers"):
            found = await self._hash("brk")
        return {name: int(count) for name, count in found.items()}

    async def set_health(
        self, credential: str, dead: str | None = None, *, all_lanes: bool = False
    ) -> int:
        """Sets a credential aside (`dead`: why), or takes it back; the lanes changed by it."""
        return await self._health({"cred": credential, "dead": dead, "all": all_lanes or None})

    async def reopen(self, credential: str, lanes: Sequence[str]) -> int:
        """Ends a credential's rests on these lanes; the lanes that opened by it."""
        return await self._health({"cred": credential, "lanes": list(lanes)}) if lanes else 0

    async def _health(self, header: Mapping[str, Any]) -> int:
        with store_errors("setting health"):
            return int(await self._scripts("health", dict(header)))

    async def checks(self) -> Mapping[str, Row]:
        """The last test of each credential."""
        with store_errors("reading checks"):
            found = await self._hash("checks")
        return {name: orjson.loads(text) for name, text in found.items()}

    async def _hash(self, name: str) -> dict[str, str]:
        found = await self._client.hgetall(f"{self._prefix}{name}")
        return {_text(field): _text(value) for field, value in found.items()}

    async def note_check(self, credential: str, check: Row) -> None:
        """Keeps the last test of a credential."""
        with store_errors("writing a check"):
            await self._client.hset(f"{self._prefix}checks", credential, orjson.dumps(check))

    async def probes(self) -> Mapping[str, tuple[int, int]]:
        """The probes of dead credentials so far: (tries, when the last one was asked for, ms).

        By credential, or `<lane>|<credential>` where it is set aside on a lane.
        """
        with store_errors("reading probes"):
            found = await self._hash("probes")
        pairs = {name: text.partition("|") for name, text in found.items()}
        return {name: (int(tries), int(at)) for name, (tries, _, at) in pairs.items()}

    async def note_probe(self, name: str, tries: int, at_ms: int) -> None:
        """Keeps how often a credential was probed."""
        with store_errors("writing a probe"):
            await self._client.hset(f"{self._prefix}probes", name, f"{tries}|{at_ms}")

    async def keys_since(self, prints: Mapping[str, str]) -> Keys:
        """What has become of the credentials' keys since this was asked last.

        `prints` tells keys apart, and says nothing of them. One that is gone is told of until it is
        put away.
        """
        with store_errors("comparing keys"):
            known = await self._hash("prints")
        new = {name: value for name, value in prints.items() if known.get(name) != value}
        if new:
            with store_errors("noting keys"):
                await self._client.hset(f"{self._prefix}prints", mapping=new)  # type: ignore[arg-type]  # invariant in its key
        gone = sorted(known.keys() - prints.keys())
        return Keys(replaced=tuple(sorted(new.keys() & known.keys())), gone=tuple(gone))

    async def put_away(self, credential: str, *, for_good: bool) -> None:
        """A credential is no longer used: nothing of it rests, and `for_good` nothing is kept."""
        if for_good:
            await self.forget(credential)
        else:
            await self.set_health(credential, all_lanes=True)
        with store_errors("putting a credential away"):
            await self._client.hdel(f"{self._prefix}prints", credential)

    async def forget(self, credential: str) -> None:
        """Drops what is kept beside a credential that has gone."""
        await self.set_health(credential, all_lanes=True)
        pipe = self._client.pipeline(transaction=False)
        for name in ("checks", "probes", "plans", "organisations"):
            pipe.hdel(f"{self._prefix}{name}", credential)
        with store_errors("forgetting a credential"):
            for name in ("cap", "admitted", "trail", "learned", "probes"):
                async for key in self._fields(name, credential):
                    pipe.hdel(f"{self._prefix}{name}", key)
            await pipe.execute()

    async def _fields(self, name: str, credential: str) -> AsyncIterator[bytes]:
        """The fields of a hash that are a credential's on some lane, or of a window of its own."""
        tail, own = f"|{credential}".encode(), f"w|{credential}|".encode()
        async for key, _ in self._client.hscan_iter(f"{self._prefix}{name}", count=1000):
            if key.endswith(tail) or key.startswith(own):
                yield key


def _parsed(rows: Mapping[bytes, bytes]) -> dict[str, Row]:
    return {name.decode(): orjson.loads(text) for name, text in rows.items()}


def _dumped(row: Row | None) -> str | None:
    return None if row is None else orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _rest(text: str) -> Rest:
    until, _, reason = text.partition("|")
    return Rest(int(until), reason)
