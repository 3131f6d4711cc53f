"""`make demo`, or `python -m cli.demo`: three parts; 0 if all went well.

About three minutes on two cores that do nothing else. What still moves is waited for (`pace.py`).
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import simulator
from cli import show
from cli.client import Place
from cli.demo import pace, real, simulated, stack, verbs
from cli.engines import found
from cli.tracker import unwrap
from shared.errors import GatewayError

BEGAN = time.monotonic()

Outcome = TypeVar("Outcome")


def say(line: str) -> None:
    """One line of the demo."""
    print(line, flush=True)


def parts_1_and_2() -> list[str]:
    """Real models, chatting, hearing and reading; the reasons why it did not go well."""
    say("Part 1: a real model on this machine. No key, no network.\n")
    for kind in found.KINDS.values():
        say(f"  engine          {kind.title}, {kind.file().name}")
    with stack.running({}, "--local") as place:
        say(f"  headrace        {place.url}")
        reasons = [f"part 1: {each}" for each in attempt(lambda: part_1(place))]
        say("\nPart 2: the same, on real speech and a real folder, from the command line.\n")
        reasons += [f"part 2: {each}" for each in attempt(lambda: verbs.run(place, say))]
        return reasons


def part_1(place: Place) -> list[str]:
    """Bulk work with a conversation in between; the reasons why it did not go well."""
    work = real.asks(real.affordable(place))
    say(f"  work            summaries of {len(work)} package descriptions\n")
    outcome = paced(lambda watched: real.run(place, work, say, watched))
    say("")
    return real.report(outcome, say)


def part_3() -> list[str]:
    """Simulated free tiers; the reasons why it did not go well."""
    say("Part 3: the same descriptions, whole, over three simulated free tiers")
    say(f"        (a minute lasts {60 / simulated.SPEED:g} s); one breaks after a third.\n")
    config = simulated.providers()
    with simulator.running(config) as address:
        say(f"  simulator       {address.admin_url}/")
        with stack.running(simulator.headrace_config(config, address)) as place:
            say(f"  headrace        {place.url}\n")
            outcome = paced(lambda watched: simulated.run(place, address, say, watched))
            say("")
            return simulated.report(outcome, say)


def paced(work: Callable[[pace.Pace], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """The work's outcome; GatewayError if it stands still, or takes too long."""
    watched = pace.Pace()
    try:
        return asyncio.run(pace.paced(work(watched), watched))
    except BaseExceptionGroup as group:
        raise unwrap(group) from group


def attempt(part: Callable[[], list[str]]) -> list[str]:
    """Runs a part; an error of ours is a reason too."""
    try:
        return part()
    except (GatewayError, OSError) as exc:
        return [str(exc)]


def main() -> int:
    """Runs all parts; returns the exit code."""
    try:
        reasons = attempt(parts_1_and_2)
        say("")
        reasons += [f"part 3: {each}" for each in attempt(part_3)]
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    say(f"\nTook {show.span(time.monotonic() - BEGAN)}.")
    if not reasons:
        say("All went well: every job was completed, and no caller saw a 429.")
        return 0
    for each in reasons:
        print(f"demo: {each}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
