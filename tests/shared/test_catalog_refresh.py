"""What a provider's list changes in what we know."""

from hypothesis import given
from hypothesis import strategies as st

from shared import catalog
from shared.catalog_listing import Listed
from shared.catalog_merge import merged
from shared.catalog_refresh import MOST_SHOWN, diff, lines, overlay
from shared.catalog_schema import Config

TODAY = "2026-11-25"
FREE = {"free": {"rpm": 0}}
KNOWN = {
    "type": "openai-compatible",
    "base_url": "http://x/v1",
    "left_out": ["*-pro"],
    "pools": {"free-models": {"free": {"rpm": 20}}},
    "models": [
        {
            "id": "a",
            "context_window": 1000,
            "max_output_tokens": 100,
            "aliases": ["a-latest"],
            "price_usd_per_1m": {"input": 1, "output": 2, "cached": 0.1},
            "limits": FREE,
        },
        {"id": "b", "price_usd_per_1m": {"input": 3, "output": 4}, "limits": FREE},
        {"id": "c:free", "price_usd_per_1m": {"input": 0, "output": 0}, "pool": "free-models"},
        {"id": "e", "capabilities": ["embedding"]},
        {"id": "gone-before", "status": "retired"},
    ],
}
BASE = Config.model_validate({"providers": {"p": KNOWN}})
ALL = ("a", "b", "c:free", "e")


def compared(*listed, base=BASE):
    rows = [Listed(row) if isinstance(row, str) else row for row in listed]
    return diff("p", base.providers["p"], rows, TODAY)


def changes(*listed):
    return {(each.what, each.model): each.fields for each in compared(*listed).changes}


def test_a_list_of_what_is_known_changes_nothing():
    assert compared(*ALL).changes == ()
    assert lines(compared(*ALL)) == ["p: nothing new"]


def test_what_is_no_longer_listed_leaves_routing():
    found = changes("b", "c:free", "e")
    assert found == {
        ("gone", "a"): {"status": "retired", "doubt": f"not listed by its provider on {TODAY}"}
    }


def test_an_alias_or_a_dated_snapshot_of_a_model_is_that_model():
    dated = (Listed("a-2026-08-07"), "b-20261001", "c:free", "e")
    assert compared(*dated).changes == ()
    assert compared("a-latest", "b", "c:free", "e").changes == ()
    assert compared(Listed("x", aliases=("a",)), "b", "c:free", "e").changes == ()


def test_a_list_too_short_takes_nothing_away():
    found = compared("a")
    assert found.changes == ()
    assert found.kept == ("b", "c:free", "e")
    assert "3 of its models are missing, more than half" in lines(found)[-1]


def test_sizes_prices_and_ends_are_brought_up_to_date():
    row = Listed("a", "chat", 2000, 200, 1.0, 2.5, 0.1, ends="2027-01-01")
    found = changes(row, "b", "c:free", "e")
    assert found == {
        ("changed", "a"): {
            "context_window": 2000,
            "max_output_tokens": 200,
            "price_usd_per_1m": {"input": 1.0, "output": 2.5, "cached": 0.1},
            "ends": "2027-01-01",
            "as_of": TODAY,
        }
    }
    (line,) = (line for line in lines(compared(row, "b", "c:free", "e")) if "~" in line)
    assert "context_window 1,000 → 2,000" in line
    assert "price_usd_per_1m 1/2/0.1 → 1/2.5/0.1" in line


def test_a_price_without_its_cached_part_is_no_change():
    row = Listed("a", "chat", 1000, 100, 1.0, 2.0)
    assert compared(row, "b", "c:free", "e").changes == ()


def test_an_output_larger_than_the_context_is_not_believed():
    row = Listed("a", "chat", 1000, 5000)
    assert compared(row, "b", "c:free", "e").changes == ()


def test_what_is_listed_again_comes_back():
    found = changes(*ALL, "gone-before")
    assert found["back", "gone-before"]["status"] == "active"


def test_a_new_model_has_the_limits_that_its_neighbours_all_have():
    priced = Listed("n", "chat", 500, 50, 9.0, 9.0, capabilities=frozenset({"chat", "tools"}))
    free = Listed("n:free", "chat", 500, 50, 0.0, 0.0)
    found = changes(*ALL, priced, free)
    assert found["new", "n"]["limits"] == FREE
    assert found["new", "n"]["capabilities"] == ["chat", "tools"]
    assert found["new", "n"]["status"] == "uncertain"
    assert "pool" not in found["new", "n"]
    assert found["new", "n:free"]["pool"] == "free-models"
    assert "limits" not in found["new", "n:free"]


def test_a_new_model_of_unknown_price_is_not_taken_for_free():
    assert changes(*ALL, "n")["new", "n"]["limits"] == FREE


def test_a_guess_of_what_a_model_is_for_says_so():
    found = changes(*ALL, "n", Listed("my-embedder", None))
    assert "kind guessed" in found["new", "n"]["doubt"]
    assert found["new", "my-embedder"]["kinds"] == ["embedding"]


def test_what_no_call_of_ours_reaches_is_counted_only():
    found = compared(*ALL, "x-tts", "big-pro", Listed("draws", "other"))
    assert found.changes == ()
    assert lines(found)[-1] == "  3 listed that no call of ours reaches"


def test_a_dated_twin_of_a_new_model_is_not_a_model_of_its_own():
    assert set(changes(*ALL, "n", "n-2026-01-01")) == {("new", "n")}
    assert set(changes(*ALL, "n-2026-01-01")) == {("new", "n-2026-01-01")}


def test_a_long_difference_is_cut_and_says_so():
    found = lines(compared(*ALL, *(f"n{i}" for i in range(MOST_SHOWN + 3))))
    assert found[0] == f"p: {MOST_SHOWN + 3} new"
    assert found[-1] == "  … and 3 more new"


def test_a_file_keeps_what_it_said_of_other_models_and_providers():
    before = Config.model_validate(
        {
            "providers": {
                "q": {"models": [{"id": "z", "status": "retired"}]},
                "p": {"models": [{"id": "b", "max_output_tokens": 7, "doubt": "old"}]},
            }
        }
    )
    found = overlay(before, [compared("b", "c:free", "e", "n")])
    assert found["providers"]["q"] == {"models": [{"id": "z", "status": "retired"}]}
    by_id = {model["id"]: model for model in found["providers"]["p"]["models"]}
    assert by_id["b"] == {"id": "b", "max_output_tokens": 7, "doubt": "old"}
    assert by_id["a"]["status"] == "retired"
    assert set(by_id) == {"a", "b", "n"}


ROWS = st.builds(
    Listed,
    id=st.sampled_from([*ALL, "gone-before", "n1", "n2:free", "n3-2026-01-01", "x-tts", "y-pro"]),
    kind=st.sampled_from([None, "chat", "embedding", "other"]),
    context_window=st.none() | st.integers(1, 10_000),
    max_output_tokens=st.none() | st.integers(1, 10_000),
    input_usd=st.none() | st.floats(0, 100),
    output_usd=st.none() | st.floats(0, 100),
    cached_usd=st.none() | st.floats(0, 100),
    capabilities=st.none() | st.just(frozenset({"chat", "stream", "tools"})),
)


@given(st.lists(ROWS, max_size=9))
def test_what_was_written_is_valid_and_not_found_anew(rows):
    found = diff("p", BASE.providers["p"], rows, TODAY)
    file = Config.model_validate(overlay(Config(), [found]))
    known = Config(providers=merged(BASE, file))
    assert catalog.build(Config(), known).deployments
    again = diff("p", known.providers["p"], rows, TODAY)
    assert again.changes == ()
