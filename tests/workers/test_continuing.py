import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_streams import chunk
from worker_claims import deployment

from shared.core.model import Kind, Usage
from shared.core.outcome import Succeeded
from shared.quirks import Quirks
from workers import continuing
from workers.continuing import GO_ON, NOTHING, Seam, told_of
from workers.providers.base import Call

QUESTION = [{"role": "user", "content": "Tell me."}]


def packed(*chunks):
    return [orjson.dumps(each) for each in chunks]


def told(*pieces, **request):
    return told_of(packed(*(chunk({"content": piece}) for piece in pieces)), request)


def call(prefill=(), **changes):
    request = {"messages": QUESTION, **changes.pop("request", {})}
    there = deployment("http://127.0.0.1:1/v1", **changes)
    return Call(Kind.CHAT, request, there, Quirks(prefill=prefill), input_tokens=7)


def joined(seam, *pieces):
    chunks = packed(*(chunk({"content": piece}) for piece in pieces), chunk({}, "stop"))
    return [orjson.loads(each) for each in map(seam.join, chunks) if each is not None]


def text_of(chunks):
    return "".join(c["delta"].get("content") or "" for each in chunks for c in each["choices"])


def test_the_rest_is_asked_for_by_instruction_where_no_beginning_is_taken():
    asked = continuing.resumed(call(), told("The wa", "ter"))
    assert asked.request["messages"] == [
        *QUESTION,
        {"role": "assistant", "content": "The water"},
        {"role": "user", "content": GO_ON},
    ]


def test_a_beginning_ends_in_no_space_and_only_models_that_take_one_get_it():
    asked = continuing.resumed(call(("m*",)), told("The water "))
    assert asked.request["messages"] == [*QUESTION, {"role": "assistant", "content": "The water"}]
    assert not continuing.takes_prefill(call(("other*",)))
    assert not continuing.takes_prefill(call(("m*",), capabilities=frozenset({"reasoning"})))
    assert not continuing.takes_prefill(call(("m*",), request={"reasoning_effort": "low"}))


def test_the_output_limit_shrinks_by_what_was_told_and_leaves_room_for_a_word():
    limited = call(request={"max_tokens": 20, "max_completion_tokens": 5})
    asked = continuing.resumed(limited, told("The water"))
    assert asked.request["max_tokens"] == 20 - len("The water")
    assert asked.request["max_completion_tokens"] == 1


def test_where_nothing_of_the_answer_was_told_the_request_stays_as_it_was():
    thought = told_of(packed(chunk({"reasoning_content": "hm"})), {})
    assert continuing.resumed(call(), thought) == call()
    assert continuing.resumed(call(("*",)), told(" ")) == call(("*",))


@pytest.mark.parametrize(
    ("delta", "request_", "obstacle"),
    [
        ({"content": "a"}, {}, ""),
        ({"content": "a"}, {"n": 1, "response_format": {"type": "text"}}, ""),
        ({"content": "a"}, {"n": 2}, "several choices"),
        ({"content": "{"}, {"response_format": {"type": "json_object"}}, "JSON"),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}, {}, "tool call"),
        ({"refusal": "I will not"}, {}, "more than text"),
        ({"audio": {"id": "a"}}, {}, "more than text"),
    ],
)
def test_what_cannot_be_gone_on_with_says_why(delta, request_, obstacle):
    found = told_of(packed(chunk(delta)), request_).obstacle
    assert obstacle in found
    assert bool(found) == bool(obstacle)


def test_one_stream_has_one_id_no_second_role_and_the_whole_answer():
    before = told_of(packed({**chunk({"role": "assistant", "content": "The wa"}), "id": "one"}), {})
    seam = Seam(before, Usage(5, 2, estimated=True), prefilled=False)
    opening = seam.join(orjson.dumps(chunk({"role": "assistant", "content": ""})))
    assert opening is None
    rest = joined(seam, "ter ", "runs")
    assert {each["id"] for each in rest} == {"one"}
    assert text_of(rest) == "ter runs"
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    last = orjson.loads(seam.join(orjson.dumps(chunk(None, usage=usage))))
    whole = seam.whole(Succeeded(b"{}", Usage(9, 3)))
    body = orjson.loads(whole.body)
    assert body["choices"][0]["message"]["content"] == "The water runs"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert (whole.usage, whole.total) == (Usage(9, 3), Usage(14, 5, estimated=True))
    assert last["usage"] == body["usage"]
    assert body["usage"]["total_tokens"] == 19


@pytest.mark.parametrize("prefilled", [False, True])
@given(
    start=st.text("ab ", min_size=1, max_size=40),
    rest=st.text("ab ", max_size=30),
    cuts=st.lists(st.integers(0, 70), max_size=4),
)
def test_a_beginning_that_comes_back_is_told_once(prefilled, start, rest, cuts):
    before = told(start)
    known = start.rstrip() if prefilled else start
    edges = sorted({0, *cuts, 70})
    for echo in (known if len(known) >= 12 else "", ""):
        said = echo + rest
        pieces = [said[a:b] for a, b in itertools.pairwise(edges)]
        fresh = text_of(joined(Seam(before, Usage(), prefilled=prefilled), *pieces))
        trimmed = prefilled and known != start
        expected = rest
        if not echo and len(known) >= 12 and rest.startswith(known):
            expected = rest[len(known) :]
        assert fresh == (expected.lstrip() if trimmed else expected)


def test_what_was_used_before_is_as_recorded_or_estimated_where_a_record_is_missing():
    records = [{"usage": {"input_tokens": 7, "output_tokens": 9}}, {"outcome": "rate_limited"}]
    assert continuing.spent(records, told("The water"), 7, len) == Usage(7, 9, estimated=True)
    long = told("The water runs down the channel")
    assert continuing.spent(records, long, 7, len) == Usage(14, 31, estimated=True)
    assert continuing.spent((), NOTHING, 7, len) == Usage(estimated=True)
