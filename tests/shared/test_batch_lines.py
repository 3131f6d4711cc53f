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
    outcome_line,
    read,
    refusal,
    rows,
)
from shared.core.batch import Mark
from shared.errors import Refused

URL = "/v1/chat/completions"


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
    wanted = [(n, text) for n, text in enumerate(content.split(b"\n"), 1) if text.strip()]
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


def test_a_providers_429_is_never_a_callers():
    text = "E" + orjson.dumps({"message": "slow", "status": 429}).decode()
    good, line = outcome_line("Fjob_1_2", "a", text.encode())
    told = orjson.loads(line)
    assert (good, told["response"]["status_code"], told["custom_id"]) == (False, 500, "a")


def test_a_refused_line_tells_what_the_endpoint_would_have():
    why = Refused("temperature: too hot", param="temperature", code="invalid_value")
    good, line = outcome_line(refusal(Mark.REFUSED, "job_1_2", "a", why), "", None)
    told = orjson.loads(line)
    assert (good, told["id"], told["custom_id"]) == (False, "batch_req_1_2", "a")
    assert told["response"] == {
        "status_code": 400,
        "request_id": "job_1_2",
        "body": {
            "error": {
                "message": "temperature: too hot",
                "type": "invalid_request_error",
                "param": "temperature",
                "code": "invalid_value",
            }
        },
    }


@pytest.mark.parametrize(
    ("mark", "outcome", "code"),
    [
        ("Xjob_1_2", None, "batch_expired"),
        ("Kjob_1_2", None, "batch_cancelled"),
        ("Fjob_1_2", None, "request_cancelled"),
        ("Cjob_1_2", None, "result_expired"),
        (refusal(Mark.EXPIRED, "job_1_2", "a", Refused("away", status=503)), None, "batch_expired"),
    ],
)
def test_a_line_without_an_answer_says_why(mark, outcome, code):
    good, line = outcome_line(mark, "a", outcome)
    told = orjson.loads(line)
    assert (good, told["response"], told["error"]["code"]) == (False, None, code)
    assert (told["id"], told["custom_id"]) == ("batch_req_1_2", "a")
