"""A response's input, as the list that OpenAI gives of it."""

import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from shared.wire.input_items import input_items
from shared.wire.responses import messages_of

PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
CALL = {"call_id": "call_1", "name": "look", "arguments": "{}"}


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "see"}, PICTURE],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "yes", "annotations": []}],
        },
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be"}]},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        {"type": "function_call", **CALL},
    ],
)
def test_what_was_sent_is_what_is_listed_and_the_sdks_own_types_take_it(item):
    (found,) = input_items("resp_7f", messages_of([item]))
    assert found == {"status": "completed"} | item | {"id": found["id"]}
    assert found["id"].endswith("_7f_in0")
    TypeAdapter(ResponseItem).validate_python(found)


def test_each_has_an_id_of_its_own():
    turn = [{"role": "assistant", "content": "look"}, {"type": "function_call", **CALL}]
    items = input_items("resp_7f", [{"role": "user", "content": "a"}, *messages_of(turn)])
    assert [one["type"] for one in items] == ["message", "message", "function_call"]
    assert len({one["id"] for one in items}) == 3
