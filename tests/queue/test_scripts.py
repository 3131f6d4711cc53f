"""Every script is whole by itself too: a store without functions gets it so."""

import pytest
from queue_world import World

from shared.queue.scripts import LIBRARIES, LUA, source

NAMES = sorted(path.stem for path in LUA.glob("*.lua") if path.stem not in LIBRARIES)


@pytest.mark.parametrize("name", NAMES)
async def test_a_store_can_load_it(each_world: World, name: str) -> None:
    await each_world.client.script_load(source(name))  # one of more than 200 local names cannot be
