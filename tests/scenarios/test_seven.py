"""Seven free providers and a paid one, a key revoked, a model withdrawn, an outage: nobody notices.

The story is `python -m bench seven` at a small size: mixed chats, held and queued, and a crowd in a
hurry. Needless paid calls are judged at full size only: where a key has a call or two a minute, one
long chat at the head of a lane is more than all that the rest would need.
"""

import pytest

from bench.seven import tell

CHATS, SPEED = 80, 120


@pytest.mark.timeout(600)
def test_every_chat_is_answered_and_only_those_in_a_hurry_are_ever_paid_for():
    told = tell(CHATS, SPEED).figures
    assert told["completed_share"] == 1.0, told
    assert told["wrong"] == 0
    assert told["callers_429"] == 0
    assert set(told["callers"]) == {"200", "202"}
    assert told["free_share_where_free_suffices"] == 1.0
    assert told["free_share"] >= 0.9
    assert told["cost_share"] <= 0.5
    outcomes = told["outcomes"]
    assert outcomes["sim-groq:unauthorized"] >= 1
    assert outcomes["sim-openrouter:model_gone"] >= 1
