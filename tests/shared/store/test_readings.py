import pytest

from shared.core.pace import Pace
from shared.store.readings import DEAD_MS, state_of

NOW_MS = 1_800_000_000_000
MINUTE = {"d": "requests", "l": 60, "s": 60_000, "free": 60}
DAY = {"d": "requests", "l": 864, "s": 86_400_000, "free": 100}
TOKENS = {"d": "tokens", "l": 60_000, "s": 60_000, "free": 5_000}


def key(*windows, rest=0):
    return {"id": "k", "rest": rest, "win": list(windows)}


def read(*creds, parked=0, pace=None, **more):
    view = {
        "creds": list(creds),
        "parked": parked,
        "by": [0, 0, 0],
        "run": 0,
        "reason": "",
        "last": 0,
        "workers": 1,
    }
    view |= more
    return state_of("p/m@shared", view, NOW_MS, pace)


def test_a_day_with_room_does_not_slow_a_minute_down():
    (first, second) = read(key(MINUTE, DAY)).supply
    assert first == (0.0, 60, pytest.approx(1.0))
    assert second == (pytest.approx(40 / 0.99), 0, pytest.approx(-0.99))


def test_a_window_with_nothing_left_closes_its_key_until_it_has_one_again():
    used_up = {**DAY, "free": 0, "next": NOW_MS + 5_000}
    assert read(key(MINUTE, used_up)).supply == ((5.0, 1, pytest.approx(0.01)),)


def test_a_key_that_rests_opens_when_its_rest_is_over_and_one_set_aside_never():
    state = read(key(MINUTE, rest=NOW_MS + 3_000), key(MINUTE, rest=DEAD_MS))
    assert state.supply == ((3.0, 60, pytest.approx(1.0)),)
    assert state.rate_per_s == pytest.approx(1.0)
    assert state.free_requests == 0


def test_a_parked_lanes_supply_begins_when_it_opens():
    assert read(key(MINUTE), parked=NOW_MS + 9_000).supply == ((0.0, 60, pytest.approx(1.0)),)


def test_what_a_window_gets_back_while_its_key_rests_or_its_lane_is_parked_counts():
    half = {**MINUTE, "free": 30}
    rested = ((20.0, 50, pytest.approx(1.0)),)
    assert read(key(half, rest=NOW_MS + 20_000)).supply == rested
    assert read(key(half), parked=NOW_MS + 20_000).supply == ((0.0, 50, pytest.approx(1.0)),)
    assert read(key(half), parked=NOW_MS + 50_000).supply == ((0.0, 60, pytest.approx(1.0)),)
    used_up = {**MINUTE, "free": 0, "next": NOW_MS + 1_000}
    assert read(key(used_up, rest=NOW_MS + 20_000)).supply == ((20.0, 20, pytest.approx(1.0)),)
    other = {**DAY, "free": 500}  # it waits for one window, and the other goes on
    assert read(key(used_up, other)).supply[0] == (1.0, 1, pytest.approx(1.0))


def test_windows_of_tokens_count_where_a_call_is_known():
    pace = Pace(10, input_tokens=400.0, output_tokens=100.0)
    first, second = read(key(MINUTE, TOKENS), pace=pace).supply
    assert first == (0.0, 10, pytest.approx(2.0))
    assert second == (pytest.approx(50.0), 0, pytest.approx(-1.0))


def test_a_lane_that_rests_for_what_bulk_leaves_to_others_is_open_to_them():
    window = {"parked": NOW_MS + 9_000, "reason": "quota"}
    assert read(key(MINUTE), **window, **{"class": 2}).open_ms == 0
    assert read(key(MINUTE), **window, **{"class": 1}).open_ms == NOW_MS + 9_000


def test_a_key_whose_plan_has_no_quota_starts_nothing():
    none = {"d": "requests", "l": 0, "s": 60_000, "free": 0}
    assert read(key(MINUTE), key(none)).supply == ((0.0, 60, pytest.approx(1.0)),)
    assert read(key(none)).supply == ()


def test_a_key_without_windows_says_nothing_of_its_lane():
    assert read(key(MINUTE), key()).supply == ()


def test_windows_of_audio_count_where_it_is_known_how_long_a_part_is():
    hour = {"d": "audio_seconds", "l": 7_200, "s": 3_600_000, "free": 1_800}
    pace = Pace(10, audio_seconds=600.0)
    (first,) = read(key(MINUTE, hour), pace=pace).supply
    assert first == (0.0, 3, pytest.approx(2 / 600))
    assert read(key(MINUTE, hour), pace=pace).rate_per_s == pytest.approx(2 / 600)
    assert read(key(MINUTE, hour)).supply == ((0.0, 60, pytest.approx(1.0)),)
    used_up = {**hour, "free": 0, "next": NOW_MS + 90_000}
    assert read(key(MINUTE, used_up), pace=pace).supply == ((90.0, 1, pytest.approx(2 / 600)),)


def test_where_every_text_is_a_request_a_batch_takes_as_many_as_it_has():
    each = {**MINUTE, "x": True}
    batches = Pace(10, inputs=20.0)
    (first,) = read(key(each), pace=batches).supply
    assert first == (0.0, 3, pytest.approx(1 / 20))
    assert read(key(each)).supply == ((0.0, 60, pytest.approx(1.0)),)
    assert read(key(MINUTE), pace=batches).supply == ((0.0, 60, pytest.approx(1.0)),)
