import pytest

from shared.core.splitting import ends, pieces


def by_chars(text):
    return len(text)


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("", 20, []),
        ("short", 20, ["short"]),
        ("one two three four five", 16, ["one two three ", "four five"]),
        ("First one. A second. And a third", 23, ["First one. A second. ", "And a third"]),
        ("para one. is here\n\npara two", 22, ["para one. is here\n\n", "para two"]),
        ("before it\n\nmore\n# Head\nafter", 25, ["before it\n\nmore\n", "# Head\nafter"]),
        ("a line of it\na line of it\nand xy", 30, ["a line of it\na line of it\n", "and xy"]),
        ("水車が回る。川が流れる。風が吹く。", 16, ["水車が回る。川が流れる。", "風が吹く。"]),
        ("x" * 40, 16, ["x" * 15, "x" * 16, "x" * 9]),
    ],
)
def test_a_text_is_cut_where_a_reader_would_cut_it(text, most, expected):
    assert list(pieces(text, ends(text, most, by_chars))) == expected


def test_pieces_are_filled_whatever_the_text_is_like():
    text = "word " * 5_000 + "水車" * 5_000 + "x" * 10_000
    most = 700
    found = pieces(text, ends(text, most, lambda part: len(part.encode())))
    assert len(found) <= 2 * len(text.encode()) / most


def test_counting_is_asked_a_few_times_a_piece():
    asked = []

    def count(part):
        asked.append(part)
        return len(part.split())

    text = "The mill race turns seven wheels. " * 10_000
    found = ends(text, 1_000, count)
    assert len(asked) <= 5 * len(found)
