"""A survey's rows as values: what selection, the plan and `/v1/queues` read of a lane."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from shared.core.backlog import Due, Group, Step
from shared.core.model import Priority, lane_deployment
from shared.core.pace import Pace
from shared.core.tank import least, together
from shared.queue.types import LaneView
from shared.store.types import LaneState

DEAD_MS = 10**15
PAID_CAP = "paid_cap"
UNMEASURED = Pace(0)


def lanes_of(raw: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """The lanes of a survey; Lua's empty table is JSON's empty list or object."""
    return raw["lanes"].items() if raw["lanes"] else ()


def _calls(cred: Mapping[str, Any], pace: Pace | None) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """A credential's windows that count calls, and what one takes of each.

    Windows of tokens and of audio count where it is known what a call takes of them.
    """
    known = pace or UNMEASURED
    for window in cred.get("win") or ():
        each = known.counts(window["d"], each_input=bool(window.get("x")))
        if each is not None:
            yield each, window


def _supply(
    view: Mapping[str, Any], now_ms: int, lane_ms: int, pace: Pace | None
) -> tuple[Step, ...]:
    """What its keys start from when it opens; () where no window of some key says anything.

    A key that is set aside starts nothing, one that rests or has a window with nothing left opens
    when that is over: with what its other windows have got back by then.
    """
    keys = []
    for cred in view["creds"] or ():
        if cred["rest"] >= DEAD_MS:
            continue
        windows = list(_calls(cred, pace))
        if not windows:
            return ()
        if any(w["l"] <= 0 for _, w in windows):
            continue
        nexts = [window["next"] for _, window in windows if "next" in window]
        opens_ms = max(cred["rest"], *nexts, lane_ms) if nexts else max(cred["rest"], lane_ms)
        lines = [_line(each, w, now_ms, opens_ms) for each, w in windows]
        keys.append(least(lines, (opens_ms - lane_ms) / 1_000))
    return together(keys)


def _line(
    each: float, window: Mapping[str, Any], now_ms: int, opens_ms: int
) -> tuple[float, float]:
    """Calls that a window has left when its key opens, and those it gets back a second."""
    rate = window["l"] * 1000 / window["s"] / each
    left, since_ms = window["free"] / each, now_ms
    if "next" in window:
        left, since_ms = max(left, 1.0), window["next"]
    back = rate * max(opens_ms - since_ms, 0) / 1_000
    return min(left + back, max(window["l"] / each, left)), rate


def _rates(view: Mapping[str, Any], pace: Pace | None = None) -> float | None:
    """Calls per second that all credentials' windows admit together."""
    total = 0.0
    for cred in view["creds"] or ():
        if cred["rest"] >= DEAD_MS:
            continue
        rates = [w["l"] * 1000 / w["s"] / each for each, w in _calls(cred, pace)]
        if not rates:
            return None
        total += min(rates)
    return total


def _free(view: Mapping[str, Any], now_ms: int, pace: Pace | None) -> int | None:
    total = 0
    for cred in view["creds"] or ():
        frees = [w["free"] / each for each, w in _calls(cred, pace)]
        if not frees:
            return None
        if cred["rest"] <= now_ms:
            total += int(min(frees))
    return total


def state_of(
    lane: str, view: Mapping[str, Any], now_ms: int, pace: Pace | None = None
) -> LaneState:
    """What selection and ETA read."""
    parked = _parked_ms(view)
    creds = view["creds"] or ()
    return LaneState(
        lane=lane,
        backlog=(int(view["by"][0]), int(view["by"][1]), int(view["by"][2])),
        running=int(view["run"]),
        open_ms=parked if parked > now_ms else 0,
        rate_per_s=_rates(view, pace),
        free_requests=_free(view, now_ms, pace),
        dead=bool(creds) and all(cred["rest"] >= DEAD_MS for cred in creds),
        reason=view["reason"],
        last_interactive_ms=int(view["last"]),
        pace=pace,
        supply=_supply(view, now_ms, max(parked, now_ms), pace),
        workers=int(view["workers"]),
    )


def _parked_ms(view: Mapping[str, Any]) -> int:
    """Until when it starts nothing; 0 where only bulk waits, for what it leaves to others."""
    only_bulk = view.get("reason") == "quota" and view.get("class") == int(Priority.BULK)
    return 0 if only_bulk and not is_capped(view) else int(view["parked"])


def is_capped(view: Mapping[str, Any]) -> bool:
    """Whether it rests because the day's cap on paid use is used up."""
    return bool(view["parked"]) and view.get("window") == PAID_CAP


def paid_left_microusd(raw: Mapping[str, Any]) -> int | None:
    """What is left of today's cap, reservations taken off; None where there is none."""
    for _, view in lanes_of(raw):
        for cred in view["creds"] or ():
            for window in cred.get("win") or ():
                if window["n"] == PAID_CAP:
                    return int(window["free"])
    return None


def expected_cost(lane: str, listed_microusd: int, paces: Mapping[str, Pace]) -> int:
    """What a job costs there: what jobs have cost, else what is said."""
    pace = paces.get(lane_deployment(lane))
    if pace is None or pace.cost_microusd is None:
        return listed_microusd
    return round(pace.cost_microusd)


def groups_of(raw: Mapping[str, Any], signatures: Mapping[Any, Any]) -> Iterator[Group]:
    """The queued jobs by lane, candidate lists and class, with what is due of them and when."""
    lists = {_text(name): orjson.loads(text) for name, text in signatures.items()}
    for lane, view in lanes_of(raw):
        counts: dict[tuple[str, int], int] = {}
        due: dict[tuple[str, int], list[Due]] = {}
        for name, count in (view.get("grp") or {}).items():
            sig, rank, *by = name.split(":")
            key = (sig, int(rank))
            counts[key] = counts.get(key, 0) + int(count)
            if by:
                due.setdefault(key, []).append(Due(int(by[0]), int(count)))
        for (sig, rank), count in counts.items():
            known = lists.get(sig, {})
            yield Group(
                signature=sig,
                lane=lane,
                priority=Priority(rank),
                count=count,
                lanes=tuple(known.get("c") or ()),
                paid=tuple(known.get("p") or ()),
                due=tuple(sorted(due.get((sig, rank), ()), key=lambda one: one.deadline_ms)),
            )


def view_of(lane: str, view: Mapping[str, Any], now_ms: int) -> LaneView:
    """A lane as `/v1/queues` shows it."""
    windows = [
        {
            "credential": cred["id"],
            "window": w["n"],
            "dimension": w["d"],
            "limit": w["l"],
            "source": w.get("o") or "catalog",
            "used": w["used"],
            "free": w["free"],
            "reset_in_s": round(max(0, w["reset"] - now_ms) / 1000, 3),
        }
        for cred in view["creds"] or ()
        for w in cred.get("win") or ()
    ]
    names = ("interactive", "normal", "bulk")
    return LaneView(
        lane=lane,
        queued=dict(zip(names, (int(n) for n in view["by"]), strict=True)),
        running=int(view["run"]),
        parked_until_ms=int(view["parked"]),
        parked_reason=f"{view['reason']} {view['window']}".strip(),
        windows=tuple(windows),
        rate_per_min=round((_rates(view) or 0.0) * 60, 3),
        oldest_ms=None,
        capped=is_capped(view),
        workers=int(view["workers"]),
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()
