"""What a caller sets by header: priority, deadline, money, waiting, retries, idempotency."""

import re
from dataclasses import dataclass
from typing import Final

from api.call import Call
from shared.core.analysis import TYPES
from shared.core.model import Paid, Priority
from shared.core.ranking import BY_MODE
from shared.core.sharing import MAX_CACHE_S, ShareMode, Wish
from shared.errors import Refused

MAX_WAIT_S: Final = 3600.0
MAX_DEADLINE_S: Final = 366 * 86_400
MAX_KEY_CHARS: Final = 255
MAX_COST_USD: Final = 1e6
PRIORITIES: Final = {p.name.lower(): p for p in Priority}
PAID: Final = {p.value: p for p in Paid}
ON_BREAK: Final = ("fail", "continue")  # chunks have no word for "begin anew"
HEDGE: Final = ("never", "auto")
UNSUPPORTED: Final = ("drop", "refuse")
_NUMBER: Final = re.compile(r"\d{1,12}(\.\d{1,30})?([eE][+-]?\d{1,3})?")


@dataclass(frozen=True, slots=True)
class Options:
    """The headers of a request on an OpenAI route, checked."""

    priority: Priority | None = None
    deadline_s: float | None = None
    paid: Paid | None = None
    wait_s: float | None = None
    keep: bool = False
    asynchronous: bool = False
    retry: bool = False
    mode: str | None = None
    request_type: str | None = None
    max_cost_usd: float | None = None
    session: str | None = None
    on_break: str | None = None
    hedge: tuple[str, str] | None = None  # what is wished, and the field that says so
    unsupported: str | None = None
    sharing: Wish = Wish()  # noqa: RUF009 - it is frozen


NOTHING: Final = Options()
_MINE: Final = (
    b"x-headrace-priority",
    b"x-headrace-deadline-s",
    b"x-headrace-paid",
    b"x-headrace-mode",
    b"x-headrace-type",
    b"x-headrace-max-cost-usd",
    b"x-headrace-session",
    b"x-headrace-on-break",
    b"x-headrace-hedge",
    b"x-headrace-unsupported",
    b"x-headrace-share",
    b"x-headrace-cache-s",
    b"x-headrace-wait-s",
    b"x-headrace-on-disconnect",
    b"prefer",
    b"x-stainless-retry-count",
    b"idempotency-key",
)


def read(call: Call) -> Options:
    """The options of a request. Refused: a header that is wrong, by name."""
    if call.headers.keys().isdisjoint(_MINE):
        return NOTHING
    deadline_s = _number(call, b"x-headrace-deadline-s", MAX_DEADLINE_S)
    if deadline_s == 0:
        raise Refused("x-headrace-deadline-s must be more than 0", param="x-headrace-deadline-s")
    wait_s = _number(call, b"x-headrace-wait-s", MAX_WAIT_S)
    on_disconnect = _word(call, b"x-headrace-on-disconnect", ("cancel", "keep"))
    priority = _word(call, b"x-headrace-priority", tuple(PRIORITIES))
    paid = _word(call, b"x-headrace-paid", tuple(PAID))
    return Options(
        mode=_word(call, b"x-headrace-mode", tuple(BY_MODE)),
        request_type=_word(call, b"x-headrace-type", TYPES),
        max_cost_usd=_cost(call),
        session=_session(call),
        on_break=_word(call, b"x-headrace-on-break", ON_BREAK),
        hedge=_hedge(call),
        unsupported=_word(call, b"x-headrace-unsupported", UNSUPPORTED),
        priority=PRIORITIES[priority] if priority else None,
        deadline_s=deadline_s,
        paid=PAID[paid] if paid else None,
        sharing=_sharing(call),
        wait_s=wait_s,
        keep=on_disconnect == "keep"
        or (on_disconnect is None and b"idempotency-key" in call.headers),
        asynchronous=_asynchronous(call),
        retry=call.headers.get(b"x-stainless-retry-count", b"0").lstrip(b"0").isdigit(),
    )


def idempotency_key(call: Call) -> str | None:
    """The Idempotency-Key, or None. Refused: empty, too long, not printable ASCII."""
    key = call.header(b"idempotency-key")
    if key is None:
        return None
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise Refused(
            f"Idempotency-Key must be 1 to {MAX_KEY_CHARS} printable ASCII characters",
            param="Idempotency-Key",
        )
    return key


def _cost(call: Call) -> float | None:
    value, name = call.header(b"x-headrace-max-cost-usd"), "x-headrace-max-cost-usd"
    if value is None:
        return None
    if not _NUMBER.fullmatch(value) or not 0 < float(value) <= MAX_COST_USD:
        raise Refused(
            f"{name} must be a number of US dollars above 0, up to {MAX_COST_USD:.0f}", param=name
        )
    return float(value)


def _sharing(call: Call) -> Wish:
    share = _word(call, b"x-headrace-share", tuple(ShareMode))
    cache_s = _number(call, b"x-headrace-cache-s", MAX_CACHE_S)
    return Wish(None if share is None else ShareMode(share), cache_s)


def _hedge(call: Call) -> tuple[str, str] | None:
    name = b"x-headrace-hedge"
    wish = _word(call, name, HEDGE)
    return None if wish is None else (wish, name.decode())


def _session(call: Call) -> str | None:
    value = call.header(b"x-headrace-session")
    if value is not None and not (0 < len(value) <= MAX_KEY_CHARS and value.isprintable()):
        raise Refused(
            f"x-headrace-session must be 1 to {MAX_KEY_CHARS} printable ASCII characters",
            param="x-headrace-session",
        )
    return value


def _asynchronous(call: Call) -> bool:
    prefer = call.headers.get(b"prefer", b"").lower()
    return any(part.strip() == b"respond-async" for part in re.split(rb"[,;]", prefer))


def _word(call: Call, name: bytes, known: tuple[str, ...]) -> str | None:
    value = call.header(name)
    if value is None:
        return None
    if value.lower() not in known:
        shown = name.decode()
        raise Refused(f"{shown} must be one of {', '.join(known)}", param=shown)
    return value.lower()


def _number(call: Call, name: bytes, most: float) -> float | None:
    value = call.header(name)
    return None if value is None else seconds(value, name.decode(), most)


def seconds(text: str, name: str, most: float) -> float:
    """A number of seconds from 0 to `most`. Refused: anything else, by name."""
    if not _NUMBER.fullmatch(text) or float(text) > most:
        raise Refused(f"{name} must be a number of seconds from 0 to {most:.0f}", param=name)
    return float(text)
