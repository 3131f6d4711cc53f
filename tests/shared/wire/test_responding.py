"""Responses out of chats: however the answer came in pieces, the same is kept."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from shared.wire.responding import Responding, answered, usage_of, whole
from shared.wire.responses import chat_of, echo, messages_of

REQUEST = {"model": "m", "input": "hi"}
HEAD = {"id": "resp_1", "created_at": 5, "model": "m", **echo(REQUEST)}


def chunk(delta, finish=None):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def completion(message, finish="stop"):
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    given = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"choices": [given], "usage": usage}


def call(id_, name, arguments):
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def streamed(chunks, result):
    made = Responding(HEAD)
    events = [*made.created(), *made.started()]
    for one in chunks:
        events += made.feed(one)
    return [*events, *made.finish(result, None, 9)]


def pieces(text, cuts):
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


CUTS = st.lists(st.integers(0, 40), max_size=6)


@given(text=st.text(min_size=1, max_size=40), arguments=st.text(max_size=40), cuts=CUTS)
def test_a_stream_and_the_whole_come_to_the_same(text, arguments, cuts):
    result = completion({"content": text, "tool_calls": [call("c1", "f", arguments)]}, "tool_calls")
    first = {"index": 0, **call("c1", "f", "")}
    chunks = [chunk({"content": piece}) for piece in pieces(text, cuts)]
    chunks.append(chunk({"tool_calls": [first]}))
    chunks += [
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in pieces(arguments, cuts)
    ]
    events = streamed([*chunks, chunk({}, "tool_calls")], result)
    assert events[-1]["response"] == whole(HEAD, result, 9)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    texts = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert "".join(texts) == text


@given(cuts=CUTS)
def test_every_item_that_is_added_is_done_once_and_what_is_done_is_what_is_kept(cuts):
    text, calls = "some words", [call("c1", "f", "{}"), call("c2", "g", '{"a":1}')]
    result = completion({"content": text, "tool_calls": calls}, "tool_calls")
    chunks = [chunk({"content": piece}) for piece in pieces(text, cuts)]
    chunks += [chunk({"tool_calls": [{"index": n, **one}]}) for n, one in enumerate(calls)]
    events = streamed(chunks, result)
    added = [e["item"]["id"] for e in events if e["type"] == "response.output_item.added"]
    done = {
        e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"
    }
    assert len(added) == len(set(added)) == 3
    assert [done[n] for n in range(3)] == events[-1]["response"]["output"]


def test_the_object_is_one_the_sdk_validates():
    result = completion({"content": "words", "tool_calls": [call("c1", "f", "{}")]})
    found = Response.model_validate(whole(HEAD, result, 9), strict=False)
    assert found.output_text == "words"
    assert found.usage
    assert found.usage.total_tokens == 5


def test_usage_keeps_what_was_cached_and_thought():
    found = usage_of(
        {
            "prompt_tokens": 10,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }
    )
    assert found
    assert found["total_tokens"] == 14
    assert found["input_tokens_details"]["cached_tokens"] == 8
    assert found["output_tokens_details"]["reasoning_tokens"] == 3


def test_what_a_response_put_out_goes_back_in_as_the_turn_it_was():
    message = {"content": "words", "tool_calls": [call("c1", "f", "{}"), call("c2", "g", "{}")]}
    result = completion(message, "tool_calls")
    output = whole(HEAD, result, 9)["output"]
    assert messages_of(output) == [answered(result)]


def test_an_empty_answer_is_no_turn():
    assert answered(completion({"content": ""})) is None
    assert answered({"choices": []}) is None


def test_the_chat_has_what_the_request_asked_for():
    chat = chat_of(
        {
            "model": "m",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "look"},
                 {"type": "input_image", "image_url": "data:x", "detail": "low"}]},
                {"type": "reasoning", "summary": []},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1",
                 "output": [{"type": "input_text", "text": "seen"}]},
            ],
            "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
            "tool_choice": {"type": "function", "name": "f"},
            "text": {"format": {"type": "json_schema", "name": "s", "schema": {}, "strict": True}},
            "reasoning": {"effort": "low"},
            "max_output_tokens": 9,
            "temperature": 0.5,
        },
        [{"role": "user", "content": "before"}],
    )  # fmt: skip
    assert chat["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "before"},
        {"role": "user", "content": [{"type": "text", "text": "look"},
         {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]},
        {"role": "assistant", "content": None, "tool_calls": [call("c1", "f", "{}")]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
    ]  # fmt: skip
    assert chat["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}
    ]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    schema = {"name": "s", "schema": {}, "strict": True}
    assert chat["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert (chat["reasoning_effort"], chat["max_completion_tokens"], chat["temperature"]) == (
        "low", 9, 0.5,
    )  # fmt: skip
