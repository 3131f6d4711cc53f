"""A batch while two providers refuse and a worker, the API and the scheduler are killed.

The story is `python -m bench batch` at a small size: what is exact is judged here, not how long it
takes.
"""

import pytest

from bench.batch import tell
from bench.batch_story import FALLS, REFUSES

LINES = 1_200


@pytest.mark.timeout(600)
def test_every_line_is_in_one_of_the_two_files_once_whoever_refuses_or_is_killed():
    told = tell(LINES).figures
    assert told["status"] == "completed", told
    assert told["counts"] == {"total": LINES, "completed": LINES - 12, "failed": 12}
    assert (told["missing"], told["doubled"], told["wrong"]) == (0, 0, 0)
    assert (told["refused"], told["failed_otherwise"]) == (12, 0)
    assert told["callers_429"] == 0
    assert all(told["killed"][role] for role in ("workers", "api", "scheduler"))
    assert all(told["by_provider"][name]["429"] for name in (FALLS, REFUSES)), told
