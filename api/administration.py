"""What the administration routes stand on, and the rules they share."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.body import parse
from api.call import Call
from api.errors import not_found
from shared.errors import Refused
from shared.store.tables import Noun, Row, Rows, Tables
from shared.supply import Live
from shared.vault import Vault

TRIES: Final = 8
MAX_BODY_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Administration:
    """The tables of the store, the newest supply, and what seals secrets (None: no master key)."""

    live: Live
    tables: Tables
    vault: Vault | None

    @property
    def allow_private(self) -> bool:
        """Whether providers added here may be at private addresses."""
        return self.live.base.allow_private

    def sealing(self) -> Vault:
        """The vault. Refused (503) where there is no master key."""
        if self.vault is None:
            raise Refused(
                "secrets cannot be kept here: set HEADRACE_SECRET_KEY (the same for every process)",
                status=503,
                type_="server_error",
                code="no_secret_key",
            )
        return self.vault

    async def change(
        self, noun: Noun, id_: str, changed: Callable[[Row | None, Rows], Row | None]
    ) -> Row | None:
        """Writes what `changed` makes of the row that stands there; a lost race reads it anew.

        `changed` may raise Refused. When this returns, this process acts on the change, and the
        others have been told.
        """
        for _ in range(TRIES):
            rows = await self.tables.rows()
            was = _of(rows, noun).get(id_)
            now = changed(was, rows)
            said = "done" if now == was else await self.tables.put(noun, id_, was, now)
            if said == "full":
                raise Refused(
                    f"there are as many {noun} as one store keeps; delete some",
                    status=409,
                    code="too_many",
                )
            if said == "done":
                await self.live.reload()
                return now
        raise Refused("it changes all the time: try again", status=409, code="conflict")


def _of(rows: Rows, noun: Noun) -> Mapping[str, Row]:
    tables = {
        "credentials": rows.credentials,
        "providers": rows.providers,
        "apikeys": rows.apikeys,
    }
    return tables[noun]


def admin_only(call: Call) -> None:
    """Refused (403) unless the caller's key is an admin's."""
    if call.key.role != "admin":
        raise Refused(
            "this needs an API key of the role admin",
            status=403,
            type_="permission_error",
            code="admin_only",
        )


async def body_of(call: Call) -> dict[str, Any]:
    """The JSON object an administration route was sent."""
    return parse(await call.body(MAX_BODY_BYTES))


def now_ms() -> int:
    """The wall clock: for what is shown only."""
    return time.time_ns() // 1_000_000


def no_such(noun: str, id_: str) -> Refused:
    """The 404 of an administration route."""
    return not_found(
        f"there is no {noun} {id_[:100]}: GET /v1/{noun}s shows all",
        param="id",
        code=f"{noun}_not_found",
    )


def fixed(noun: str, source: str) -> Refused:
    """The 409 for what is set elsewhere."""
    return Refused(
        f"this {noun} comes from the {source}: change it there",
        status=409,
        param="id",
        code="not_of_the_api",
    )
