"""What was kept of learned limits, laid over what is declared."""

import orjson
import pytest

from shared.core.outcome import MOST_LIMIT, MOST_SPAN_MS
from shared.store import learned

LANE = "alpha/m@shared"


def window(key, span_ms, limit, **more):
    return {"k": key, "n": "w", "d": "requests", "s": span_ms, "l": limit, "t": "sliding", **more}


DECLARED = window("declared", 60_000, 10)
MADE = {"id": "a", "win": [DECLARED], "log": {"k": "log"}}


def kept_of(told, over):
    row = {"had": {"declared": 10}, "log": "log", "win": [told]}
    kept = {f"c|{LANE}|a": orjson.dumps(row).decode(), "w|declared": orjson.dumps(over).decode()}
    (cred,) = learned.merged({LANE: {"creds": [MADE]}}, kept)[LANE]["creds"]
    return {each["k"]: each["l"] for each in cred["win"]}


def test_what_was_learned_is_laid_over_what_is_declared() -> None:
    over, told = window("declared", 60_000, 5, base=10), window("told", MOST_SPAN_MS, 7, new=True)
    assert kept_of(told, over) == {"declared": 5, "told": 7}


@pytest.mark.parametrize(("span_ms", "limit"), [(MOST_SPAN_MS * 9, 3), (1_000, MOST_LIMIT + 1)])
def test_what_nobody_should_have_believed_is_forgotten(span_ms, limit) -> None:
    over = window("declared", 60_000, MOST_LIMIT + 1, base=10)
    assert kept_of(window("told", span_ms, limit, new=True), over) == {"declared": 10}
