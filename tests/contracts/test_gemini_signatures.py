"""Gemini's thought signatures: to the caller, back to the model that made them, to nobody else."""

from typing import Any

import orjson
import pytest
from gemini_calls import ASK, OLD, call, contents_of, parsed, read, tool_call
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from recorded_gemini import (
    SIGNATURE,
    calls,
    candidate,
    piece,
    text,
)
from recorded_streams import sse
from worker_claims import deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.core.outcome import Succeeded
from shared.quirks import Quirks
from workers.providers import signatures
from workers.providers.base import Call
from workers.providers.gemini_contents import FOREIGN
from workers.providers.openai_compatible import OpenAICompatible


def signed_reply() -> dict[str, Any]:
    return piece(
        candidate(
            calls("look", {"q": "a"}, id="x1", thoughtSignature=SIGNATURE),
            calls("look", {"q": "b"}, id="x2"),
            finish="STOP",
        )
    )


def message_of_a_whole_answer() -> dict[str, Any]:
    outcome = parsed(signed_reply())
    assert isinstance(outcome, Succeeded)
    found = ChatCompletion.model_validate_json(outcome.body).choices[0].message
    return found.model_dump(exclude_none=True)


def message_of_a_stream() -> dict[str, Any]:
    chunks, _ = read(call(messages=[ASK]), [sse(signed_reply(), done=False)])
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=each))
    found = state.get_final_completion().choices[0].message
    return found.model_dump(exclude_none=True)


def message_by_hand() -> dict[str, Any]:
    """What a client keeps that knows no more than OpenAI documents."""
    kept = message_of_a_stream()["tool_calls"]
    names = ("name", "arguments")
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": each["id"],
                "type": "function",
                "function": {name: each["function"][name] for name in names},
            }
            for each in kept
        ],
    }


ECHOED = pytest.mark.parametrize(
    "echo", [message_of_a_whole_answer, message_of_a_stream, message_by_hand]
)


def answered(message: dict[str, Any]) -> list[dict[str, Any]]:
    results = [
        {"role": "tool", "tool_call_id": each["id"], "content": each["id"][:2]}
        for each in reversed(message["tool_calls"])
    ]
    return [ASK, message, *results]


@ECHOED
def test_a_signature_comes_back_through_openais_sdk_as_it_was(echo):
    _, said, results = contents_of(*answered(echo()))
    assert said["parts"] == [
        {
            "functionCall": {"id": "x1", "name": "look", "args": {"q": "a"}},
            "thoughtSignature": SIGNATURE,
        },
        {"functionCall": {"id": "x2", "name": "look", "args": {"q": "b"}}},
    ]
    assert [each["functionResponse"]["id"] for each in results["parts"]] == ["x1", "x2"]


@ECHOED
def test_another_model_of_gemini_is_sent_the_stand_in(echo):
    _, said, _ = contents_of(*answered(echo()), model="gemini-3.5-flash")
    assert said["parts"][0]["thoughtSignature"] == FOREIGN
    _, said, _ = contents_of(*answered(echo()), model=OLD)
    assert "thoughtSignature" not in said["parts"][0]


@ECHOED
@pytest.mark.parametrize("wire", ["groq", "openai", "mistral"])
def test_another_host_is_sent_ids_without_signatures(echo, wire):
    where = deployment("http://x", wire)
    asked = Call(Kind.CHAT, {"messages": answered(echo())}, where, build(Config()).quirks(wire))
    sent = orjson.loads(OpenAICompatible().build(asked, None).body)["messages"]
    ids = [each["id"] for each in sent[1]["tool_calls"]]
    assert ids == [each["tool_call_id"] for each in reversed(sent[2:4])]
    assert all(len(each) <= 9 for each in ids)


def test_a_signature_of_googles_own_openai_endpoint_is_sent_on():
    extra = {"extra_content": {"google": {"thought_signature": SIGNATURE}}}
    message = {"role": "assistant", "tool_calls": [{**tool_call("x1"), **extra}]}
    _, said, _ = contents_of(*answered(message))
    assert said["parts"][0]["thoughtSignature"] == SIGNATURE


def test_a_signature_of_a_text_comes_back_on_the_text_and_goes_to_no_other_host():
    outcome = parsed(piece(candidate(text("Hi", thoughtSignature=SIGNATURE), finish="STOP")))
    assert isinstance(outcome, Succeeded)
    message = ChatCompletion.model_validate_json(outcome.body).choices[0].message
    talk = [ASK, message.model_dump(exclude_none=True), ASK]
    assert contents_of(*talk)[1]["parts"] == [{"text": "Hi", "thoughtSignature": SIGNATURE}]
    assert contents_of(*talk, model=OLD)[1]["parts"] == [{"text": "Hi"}]
    asked = Call(Kind.CHAT, {"messages": talk}, deployment("http://x"), Quirks())
    sent = orjson.loads(OpenAICompatible().build(asked, None).body)["messages"]
    assert sent[1] == {"role": "assistant", "content": "Hi"}


@given(st.text(max_size=40), st.binary(min_size=1, max_size=200), st.text(max_size=20))
def test_any_signature_in_any_id_comes_out_as_it_went_in(id_, signature, model):
    encoded = types.Blob(data=signature).model_dump(mode="json")["data"]
    encoded = encoded.replace("-", "+").replace("_", "/")
    made = signatures.signed(id_, encoded, model)
    if "__sig_" not in id_:
        assert signatures.plain(made) == id_
        assert signatures.signature_of(made, model) == encoded
        assert signatures.signature_of(made, f"{model}!") is None
    assert signatures.signed(id_, "no base 64", model) == id_
