"""A simulator and `headrace up` as real processes, for stories about the whole system."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import AsyncOpenAI, OpenAI

from bench.stack import KEY, Stack
from simulator import headrace_config, load_config, running
from simulator.presets import preset_mapping
from simulator.server import Address


@dataclass(frozen=True, slots=True)
class Whole:
    """A running system: `stack` is ours, `address` the simulator's."""

    stack: Stack
    address: Address

    @property
    def url(self) -> str:
        return self.stack.url

    def http(self, key: str = KEY) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=120)

    def sdk(self, **options: Any) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=KEY, **options)

    def async_sdk(self, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=KEY, **options)

    def simulated(self, path: str = "state") -> Any:
        """What the simulator has seen."""
        return httpx2.get(f"{self.address.admin_url}/{path}", timeout=120).json()

    def fault(self, **fault: Any) -> None:
        """Breaks something on command."""
        httpx2.post(f"{self.address.admin_url}/faults", json=fault, timeout=30).raise_for_status()

    def kill(self, role: str) -> list[int]:
        """kill -9 of every process of a role."""
        pids = self.stack.pids(role)
        assert pids, f"no process of the role {role}"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids


@contextmanager
def whole_system(
    preset: str,
    *,
    change: Callable[[dict[str, Any]], None] | None = None,
    declare: Mapping[str, bool] | None = None,
    configure: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> Iterator[Whole]:
    """A system over a preset. `change` alters the simulator's mapping, `configure` ours."""
    mapping = preset_mapping(preset)
    if change:
        change(mapping)
    config = load_config(mapping)
    with running(config) as address:
        ours = headrace_config(config, address, **(declare or {}))
        if configure:
            configure(ours)
        with Stack(ours, **options) as stack:
            yield Whole(stack, address)


def until(what: Callable[[], Any], *, most_s: float = 240.0) -> Any:
    """Waits for something to become true, and returns it; fails after `most_s`."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"still not so after {most_s:g} s: {what}")
