"""`truncation: "auto"` of a response: the oldest of its conversation is left out until it fits.

OpenAI drops items from the beginning. We drop whole turns, so that no answer stays without its
question and no result without its call; of the last turn, if it alone is too long, its oldest calls
with their results. Instructions, the last question and what was said last always stay.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from shared.errors import Refused
from shared.submission import Submission, chat

TOO_LONG: Final = frozenset({"context_length_exceeded", "request_too_large"})
"""What a route is refused with where less input would do."""
STAYS: Final = frozenset({"system", "developer"})

Group = tuple[int, ...]


def fitted(asked: Submission, route: Callable[[Submission], Any]) -> Submission:
    """The submission without as many of its oldest messages as it takes to be routed, no more.

    As it is where that was not asked for, where it fits, and where nothing of that would help.
    `route` raises Refused as selection does.
    """
    if (asked.extra.get("response") or {}).get("truncation") != "auto" or _fits(asked, route):
        return asked
    found = groups(asked.request["messages"])
    few, enough = 0, len(found)
    if not found or not _fits(_without(asked, found), route):
        return asked
    while enough - few > 1:
        tried = (few + enough) // 2
        if _fits(_without(asked, found[:tried]), route):
            enough = tried
        else:
            few = tried
    return _without(asked, found[:enough])


def _fits(asked: Submission, route: Callable[[Submission], Any]) -> bool:
    try:
        route(asked)
    except Refused as refused:
        return refused.code not in TOO_LONG
    return True


def groups(messages: Sequence[Mapping[str, Any]]) -> tuple[Group, ...]:
    """The places of messages that may be left out, oldest first; each group goes as a whole."""
    roles = [one["role"] for one in messages]
    said = [place for place, role in enumerate(roles) if role not in STAYS]
    starts = {
        place
        for before, place in zip([None, *said], said, strict=False)
        if roles[place] == "user" and (before is None or roles[before] != "user")
    }
    last = max(starts, default=0)
    turns = _grouped((place for place in said if place < last), lambda place: place in starts)
    rest = (place for place in said if place >= last and roles[place] != "user")
    calls = _grouped(rest, lambda place: roles[place] != "tool")
    return (*turns, *calls[:-1])


def _grouped(places: Iterable[int], begins: Callable[[int], bool]) -> tuple[Group, ...]:
    found: list[list[int]] = []
    for place in places:
        if begins(place) or not found:
            found.append([])
        found[-1].append(place)
    return tuple(map(tuple, found))


def _without(asked: Submission, left_out: Sequence[Group]) -> Submission:
    gone = frozenset(chain.from_iterable(left_out))
    messages = [one for at, one in enumerate(asked.request["messages"]) if at not in gone]
    made = chat(asked.request | {"messages": messages}, asked.raw)
    told = asked.extra["response"] | {"headrace": {"dropped_messages": len(gone)}}
    return replace(
        asked,
        request=made.request,
        need=made.need,
        capabilities=made.capabilities,
        extra=asked.extra | {"response": told},
    )
