"""Pieces, joined, are the text; each is within the bound."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import tokens
from shared.core.splitting import LEAST_TOKENS, clipped, ends, pieces

WORDS = st.sampled_from(
    [
        "water",
        "mill.",
        "Wheel!",
        "# Head",
        "\n",
        "\n\n",
        " ",
        "größer",
        "水車。",
        "x" * 90,
        "🙂",
        "1234567",
        "\t",
        "…”",
    ]
)
TEXTS = st.lists(WORDS, max_size=200).map(" ".join) | st.text(max_size=400)
MOST = st.integers(LEAST_TOKENS, 120)


def by_words(text):
    return len(text.split())


def by_fours(text):
    return -(-len(text) // 4)


@pytest.fixture(scope="module", autouse=True)
def ranks():
    tokens.load()


@settings(deadline=None)  # counting is slower while others count
@given(TEXTS, MOST, st.sampled_from([by_words, by_fours, tokens.count]))
def test_pieces_joined_are_the_text_and_each_is_within_the_bound(text, most, count):
    found = pieces(text, ends(text, most, count))
    assert "".join(found) == text
    assert all(found)
    assert all(count(piece) <= most for piece in found)


@given(st.lists(st.sampled_from(["water", "mill", "wheels"]), min_size=1, max_size=300), MOST)
def test_no_word_is_cut_where_there_are_spaces(words, most):
    found = pieces(text := " ".join(words), ends(text, most, by_fours))
    assert [word for piece in found for word in piece.split()] == words


@given(TEXTS, MOST)
def test_a_clipped_text_is_a_beginning_within_the_bound(text, most):
    found = clipped(text, most, by_fours)
    assert text.startswith(found)
    assert by_fours(found) <= most
    assert found or not text.strip() or most < LEAST_TOKENS
