import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import batch_lines
from shared.batch_lines import (
    Line,
    LineTooLong,
    Problem,
    Row,
    read,
    rows,
)

URL = "/v1/chat/completions"
BOM = b"\xef\xbb\xbf"


async def parts(content, sizes):
    at = 0
    for size in sizes:
        yield content[at : at + size]
        at += size
    yield content[at:]


async def all_rows(content, sizes=(), line=0, offset=0):
    return [row async for row in rows(parts(content[offset:], sizes), line, offset)]


texts = st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b" ")), max_size=12)


@given(texts, st.lists(st.integers(0, 9), max_size=30), st.booleans())
async def test_lines_are_the_same_however_the_file_comes_in_parts(lines, sizes, ended):
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    found = await all_rows(content, sizes)
    every = enumerate(content.split(b"\n"), 1)
    wanted = [(n, text) for n, text in every if text.removeprefix(BOM).strip()]
    assert [(row.number, row.text) for row in found] == wanted
    for row in found:
        assert content[row.start : row.end].rstrip(b"\n") == row.text


@given(texts, st.data())
async def test_reading_goes_on_after_any_line(lines, data):
    content = b"\n".join(lines)
    found = await all_rows(content)
    cut = data.draw(st.integers(0, len(found)))
    last = found[cut - 1] if cut else Row(0, 0, 0, b"")
    assert await all_rows(content, (), last.number, last.end) == found[cut:]


@pytest.mark.parametrize("begin", [BOM + b"\n", BOM + b" \r\n\n", b"\n"])
async def test_blank_lines_before_the_first_are_none_with_a_byte_order_mark_too(begin):
    (found,) = await all_rows(begin + b"{}")
    assert (found.number, found.text) == (begin.count(b"\n") + 1, b"{}")
    assert await all_rows(begin) == []


@pytest.mark.parametrize("content", [b"ok\n" + b"x" * 50, b"ok\n" + b"x" * 50 + b"\nok"])
async def test_a_line_that_is_too_long_is_named(monkeypatch, content):
    monkeypatch.setattr(batch_lines, "MAX_LINE_BYTES", 40)
    with pytest.raises(LineTooLong) as long:
        await all_rows(content, (30, 20))
    assert long.value.number == 2


def row(value):
    return Row(4, 0, 9, value if isinstance(value, bytes) else orjson.dumps(value))


GOOD = {"custom_id": "a", "method": "POST", "url": URL, "body": {"model": "m"}}


def test_a_line_is_read():
    assert read(row(GOOD | {"more": 1}), URL) == Line(4, "a", {"model": "m"})


@pytest.mark.parametrize(
    ("value", "code", "param"),
    [
        (b"\xff", "invalid_json_line", None),
        (b"null", "invalid_json_line", None),
        (GOOD | {"custom_id": None}, "missing_required_parameter", "custom_id"),
        (GOOD | {"custom_id": ""}, "invalid_custom_id", "custom_id"),
        (GOOD | {"custom_id": "x" * 513}, "invalid_custom_id", "custom_id"),
        (GOOD | {"url": 7}, "invalid_url", "url"),
        (GOOD | {"body": "x"}, "invalid_body", "body"),
        (GOOD | {"body": {"model": 3}}, "missing_required_parameter", "body.model"),
    ],
)
def test_what_is_wrong_is_named(value, code, param):
    problem = read(row(value), URL)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.param, problem.line) == (code, param, 4)


@pytest.mark.parametrize("opened", [b'{"a":', b"["])
def test_a_body_that_nests_deeper_than_is_written_is_named(opened):
    shut = b"}" if opened != b"[" else b"]"

    def nested(levels):
        inner = opened * levels + b"1" + shut * levels
        return orjson.dumps(GOOD).replace(b'{"model":"m"}', b'{"model":"m","x":' + inner + b"}")

    assert isinstance(read(row(nested(99)), URL), Line)
    problem = read(row(nested(100)), URL)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.param, problem.line) == ("invalid_body", "body", 4)
