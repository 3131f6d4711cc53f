"""What a conversation may lose of its beginning: turns as wholes, never a result without a call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.truncating import groups

ROLES = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}


def messages(letters):
    return [{"role": ROLES[letter]} for letter in letters]


@pytest.mark.parametrize(
    ("letters", "found"),
    [
        ("u", ()),
        ("su", ()),
        ("sa", ()),
        ("uau", ((0, 1),)),
        ("suauau", ((1, 2), (3, 4))),
        ("uuau", ((0, 1, 2),)),
        ("uatdau", ((0, 1, 2, 4),)),
        ("auau", ((0,), (1, 2))),
        ("uatatt", ((1, 2),)),
        ("uatata", ((1, 2), (3, 4))),
        ("uauatta", ((0, 1), (3, 4, 5))),
        ("ata", ((0, 1),)),
    ],
)
def test_groups(letters, found):
    assert groups(messages(letters)) == found


@given(st.text("sduat", min_size=1, max_size=30))
def test_whatever_goes_the_last_question_and_the_last_word_stay(letters):
    found = groups(messages(letters))
    places = [place for group in found for place in group]
    assert len(set(places)) == len(places)
    gone = set(places)
    assert not any(letters[place] in "sd" for place in gone)
    said = [place for place, letter in enumerate(letters) if letter not in "sd"]
    assert not said or said[-1] not in gone
    users = [place for place in said if letters[place] == "u"]
    assert not users or users[-1] not in gone


@given(st.lists(st.sampled_from(["ua", "uata", "uatta", "ua", "uua"]), min_size=1, max_size=9))
def test_however_much_goes_every_result_has_its_call(turns):
    letters = "".join(turns)
    found = groups(messages(letters))
    for many in range(len(found) + 1):
        gone = {place for group in found[:many] for place in group}
        left = "".join(letter for place, letter in enumerate(letters) if place not in gone)
        assert left.startswith("u")
        assert "ut" not in left
