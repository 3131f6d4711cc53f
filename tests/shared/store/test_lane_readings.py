"""How often lanes are read: a reading stops the store for as long as it takes."""

from types import SimpleNamespace

import pytest

from shared.store import connect, lanes
from shared.store.lanes import FRESH_S, MANY_LANES, RESTS, Lanes

TOOK_S = 0.3


class Counted(Lanes):
    """Each reading takes `TOOK_S` of a clock that stands still else."""

    readings = 0
    now_s = 100.0

    async def _survey(self, **ask):
        self.now_s += TOOK_S
        self.readings += 1
        return await super()._survey(**ask)


@pytest.mark.parametrize(
    ("count", "kept_s"), [(MANY_LANES, FRESH_S), (MANY_LANES + 1, RESTS * TOOK_S)]
)
async def test_a_reading_of_very_many_lanes_is_kept_longer_the_longer_it_took(
    valkey, monkeypatch, count, kept_s
):
    client = connect.commands(valkey.url)
    made = Counted(client)
    monkeypatch.setattr(lanes, "time", SimpleNamespace(monotonic=lambda: made.now_s))
    await made.publish({f"p/m{n}@shared": {"creds": []} for n in range(count)}, {}, "v")
    assert len(await made.lane_states()) == count
    made.now_s += kept_s * 0.9
    await made.lane_states()
    assert made.readings == 1
    made.now_s += kept_s * 0.2
    await made.lane_states()
    assert made.readings == 2
    await client.aclose()
