"""Gemini's own API: what it is sent, what it answers, how its signatures come back."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest
from google import genai
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from raw_server import RawServer, always, chunked, json_reply, serving
from recorded_gemini import (
    SIGNATURE,
    STREAMS,
    TOP,
    USAGE,
    WHOLE,
    Reply,
    calls,
    candidate,
    piece,
    shell,
    text,
)
from recorded_streams import sse
from worker_claims import Told, claim, context, deployment
from worker_claims import catalog as catalog_of

from shared.catalog import Quirks, build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind, Outcome, Succeeded
from shared.credentials import Secret
from shared.queue.types import Report, Verdict
from workers import attempt
from workers.providers import signatures
from workers.providers.base import Call, HttpReply, HttpRequest, Unsendable
from workers.providers.gemini import Gemini
from workers.providers.gemini_contents import FOREIGN
from workers.providers.openai_compatible import OpenAICompatible
from workers.providers.registry import adapter_for
from workers.transport import AioTransport, Transport

ADAPTER = Gemini()
MODEL, OLD = "gemini-3.8-flash", "gemini-2.5-flash"
QUIRKS = build(Config()).quirks("gemini")
SCHEMA = {
    "type": "object",
    "properties": {"q": {"$ref": "#/$defs/Q"}},
    "$defs": {"Q": {"type": "string", "const": "a"}},
    "additionalProperties": False,
}
LOOK = {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}
STOP = {"type": "function", "function": {"name": "stop", "parameters": {"type": "object"}}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def tool_call(id_: str, name: str = "look", arguments: str = '{"q":"a"}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


ASK = {"role": "user", "content": "Look a and b up."}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look a and b up."},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://x.org/b.webp?w=5"}},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ=="}},
        ],
    },
    {
        "role": "assistant",
        "content": "Wait.",
        "reasoning_content": "Hm",
        "tool_calls": [tool_call("x1"), tool_call("x2", "stop", "")],
    },
    {"role": "tool", "tool_call_id": "x2", "content": "done"},
    {"role": "tool", "tool_call_id": "x1", "content": '{"found":[42]}'},
    {"role": "user", "content": "And?"},
    {"role": "user", "content": "Say it."},
]
EVERYTHING = {
    "model": "auto",
    "messages": TALK,
    "tools": [LOOK, STOP],
    "tool_choice": "required",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    "max_completion_tokens": 50,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "seed": 7,
    "stop": "END",
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "reasoning_effort": "low",
    "service_tier": "flex",
    "include_reasoning": True,
    "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}],
}


def call(
    model: str = MODEL, *, stream: bool = False, quirks: Quirks = QUIRKS, **request: Any
) -> Call:
    where = deployment("http://x/v1beta/", "gemini", type="gemini", model=model)
    asked = request or EVERYTHING
    kind = Kind.EMBEDDING if "input" in asked else Kind.CHAT
    return Call(kind, asked, where, quirks, stream, 12, job_id="job_1", created_s=5)


def body_of(model: str = MODEL, **request: Any) -> dict[str, Any]:
    body = orjson.loads(ADAPTER.build(call(model, **request), None).body)
    assert isinstance(body, dict)
    valid(body)
    return body


def contents_of(*messages: dict[str, Any], model: str = MODEL) -> list[dict[str, Any]]:
    found = body_of(model, messages=list(messages))["contents"]
    assert isinstance(found, list)
    return found


def valid(body: dict[str, Any]) -> None:
    """Every part of the body is one of google-genai's own types, which forbid what they lack."""
    whole = {
        "contents": types.Content,
        "systemInstruction": types.Content,
        "tools": types.Tool,
        "toolConfig": types.ToolConfig,
        "generationConfig": types.GenerationConfig,
        "safetySettings": types.SafetySetting,
    }
    rest = dict(body)
    assert rest.pop("serviceTier", "flex") in {each.value for each in types.ServiceTier}
    for name, value in rest.items():
        for each in value if isinstance(value, list) else [value]:
            whole[name].model_validate_json(orjson.dumps(each))


def test_the_checks_themselves_refuse_what_the_sdk_does_not_know():
    for body in (
        {"contents": [{"role": "user", "parts": [{"txt": "a"}]}]},
        {"generationConfig": {"top_logprobs": 1}},
        {"tools": [{"functionDeclarations": [{"name": "a", "strict": True}]}]},
    ):
        with pytest.raises(ValueError, match="Extra inputs"):
            valid(body)
    with pytest.raises(KeyError):
        valid({"stream": True})


# -- what it is sent


@pytest.mark.parametrize(
    "model", [MODEL, OLD, "gemini-2.0-flash", "gemini-flash-latest", "gemma-4"]
)
def test_a_request_is_one_of_googles_own(model):
    body_of(model)


def test_everything_a_caller_may_ask_for_is_asked_of_gemini():
    body = body_of()
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "look", "parametersJsonSchema": SCHEMA},
                {"name": "stop"},
            ]
        }
    ]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert body["serviceTier"] == "flex"
    assert body["safetySettings"] == EVERYTHING["safety_settings"]
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 2,
        "frequencyPenalty": 0.1,
        "presencePenalty": 0.1,
        "maxOutputTokens": 50,
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
    }
    assert ADAPTER.build(call(), None).dropped == ()


def test_a_talk_becomes_turns_with_results_in_the_order_of_their_calls():
    assert body_of()["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Look a and b up."},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                {"fileData": {"fileUri": "https://x.org/b.webp?w=5", "mimeType": "image/webp"}},
                {"inlineData": {"mimeType": "audio/mp3", "data": "QUJD"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Wait."},
                {
                    "functionCall": {"id": "x1", "name": "look", "args": {"q": "a"}},
                    "thoughtSignature": FOREIGN,
                },
                {"functionCall": {"id": "x2", "name": "stop", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "x1", "name": "look", "response": {"found": [42]}}},
                {"functionResponse": {"id": "x2", "name": "stop", "response": {"result": "done"}}},
                {"text": "And?"},
                {"text": "Say it."},
            ],
        },
    ]


def test_before_gemini_3_there_are_no_ids_and_no_stand_in_for_a_signature():
    body = body_of(OLD)
    assert body["contents"][1]["parts"][1:] == [
        {"functionCall": {"name": "look", "args": {"q": "a"}}},
        {"functionCall": {"name": "stop", "args": {}}},
    ]
    assert [each["functionResponse"] for each in body["contents"][2]["parts"][:2]] == [
        {"name": "look", "response": {"found": [42]}},
        {"name": "stop", "response": {"result": "done"}},
    ]
    assert "responseMimeType" not in body["generationConfig"]
    assert ADAPTER.build(call(OLD), None).dropped == ("response_format",)


async def asked_by_the_sdk(server: RawServer, ask: Callable[[genai.Client], Any]) -> None:
    options = types.HttpOptions(base_url=server.url, api_version="v1beta")

    def run() -> None:
        with genai.Client(api_key="k1", http_options=options) as sdk:
            ask(sdk)

    await asyncio.to_thread(run)


async def test_the_official_sdk_sends_the_very_same_request():
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop_sequences=["END"],
        max_output_tokens=50,
        response_mime_type="application/json",
        response_json_schema=SCHEMA,
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
    )
    request = {
        "messages": [TALK[0], ASK],
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END"],
        "max_tokens": 50,
        "response_format": EVERYTHING["response_format"],
        "reasoning_effort": "low",
    }
    async with serving(always(json_reply(WHOLE[0].pieces[0]))) as server:
        await asked_by_the_sdk(
            server,
            lambda sdk: sdk.models.generate_content(
                model=MODEL, contents=ASK["content"], config=config
            ),
        )
    head, theirs = server.requests[0]
    ours = ADAPTER.build(call(**request), Secret("k1"))
    assert head.split()[1].decode() == ours.url.removeprefix("http://x")
    assert f"x-goog-api-key: {ours.headers['x-goog-api-key']}".encode() in head.lower()
    sent = orjson.loads(theirs)
    mine = orjson.loads(ours.body)
    assert sent["systemInstruction"].pop("role") == "user"  # no role is needed there
    thinking = sent["generationConfig"].pop("thinkingConfig")
    assert thinking == {"thinking_level": "LOW"}  # Google takes both spellings
    assert mine["generationConfig"].pop("thinkingConfig") == {"thinkingLevel": "LOW"}
    assert sent == mine


def test_the_way_in_depends_on_what_is_asked():
    def url(**request: Any) -> str:
        made = ADAPTER.build(call(**request), None)
        assert isinstance(made, HttpRequest)
        return made.url.removeprefix("http://x/v1beta/models/")

    assert url(messages=[ASK]) == f"{MODEL}:generateContent"
    assert url(messages=[ASK], stream=True) == f"{MODEL}:streamGenerateContent?alt=sse"
    assert url(input="a") == f"{MODEL}:embedContent"
    assert url(input=["a"]) == f"{MODEL}:batchEmbedContents"
    with pytest.raises(KeyError):
        ADAPTER.build(call(messages=[ASK], quirks=Quirks(chat_path="")), None)


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "1st"}},
            {"mode": "ANY", "allowedFunctionNames": ["f_1st_e01ddf65"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [LOOK]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["look"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [LOOK]}},
            {"mode": "ANY", "allowedFunctionNames": ["look"]},
        ),
    ],
)
def test_a_choice_of_tools_keeps_its_meaning(choice, config):
    body = body_of(messages=[ASK], tools=[LOOK], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert "toolConfig" not in body_of(messages=[ASK], tool_choice=choice)


@pytest.mark.parametrize(
    ("model", "effort", "config", "dropped"),
    [
        (MODEL, "none", {"thinkingLevel": "LOW"}, ("reasoning_effort=none",)),
        (MODEL, "minimal", {"thinkingLevel": "LOW"}, ()),
        ("gemini-3.6-flash", "minimal", {"thinkingLevel": "MINIMAL"}, ()),
        (MODEL, "medium", {"thinkingLevel": "MEDIUM"}, ()),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH"}, ()),
        (MODEL, "xhigh", {"thinkingLevel": "HIGH"}, ()),
        ("gemini-4-hydrogen", "xhigh", {"thinkingLevel": "XHIGH"}, ()),
        ("gemini-flash-latest", "high", {"thinkingLevel": "HIGH"}, ()),
        (OLD, "none", {"thinkingBudget": 0}, ()),
        (OLD, "low", {"thinkingBudget": 1_024}, ()),
        (OLD, "medium", {"thinkingBudget": 8_192}, ()),
        (OLD, "high", {"thinkingBudget": 24_576}, ()),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}, ("reasoning_effort=none",)),
        ("gemini-2.0-flash", "low", None, ("reasoning_effort",)),
        ("gemma-4-31b-it", "low", None, ("reasoning_effort",)),
        (MODEL, "enormous", None, ("reasoning_effort",)),
    ],
)
def test_an_effort_is_a_level_or_a_budget_by_generation(model, effort, config, dropped):
    request = {"messages": [ASK], "reasoning_effort": effort}
    body = body_of(model, **request)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config
    assert ADAPTER.build(call(model, **request), None).dropped == dropped


def test_what_gemini_does_not_take_is_told_and_never_sent():
    request = {
        "messages": [
            {"role": "user", "name": "ada", "content": "a"},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "http://x.org/a.png"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            },
        ],
        "tools": [{"type": "custom", "custom": {"name": "c"}}],
        "stop": list("abcdef"),
        "logit_bias": {"1": 2},
        "user": "u",
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "store": True,
        "verbosity": "low",
        "service_tier": "scale",
    }
    made = ADAPTER.build(call(**request), None)
    assert made.dropped == (
        *("logit_bias", "messages[].content[].file", "messages[].content[].image_url"),
        *("messages[].name", "metadata", "parallel_tool_calls", "service_tier=scale", "stop"),
        *("store", "tools", "user", "verbosity"),
    )
    body = orjson.loads(made.body)
    valid(body)
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}],
        "generationConfig": {"stopSequences": list("abcde")},
    }


def test_what_asks_for_nothing_special_is_never_told():
    plain = {"n": 1, "logprobs": False, "store": False, "service_tier": "auto", "user": None}
    made = ADAPTER.build(call(messages=[ASK], response_format={"type": "text"}, **plain), None)
    assert made.dropped == ()
    assert orjson.loads(made.body).keys() == {"contents"}


def test_a_models_own_drops_and_limits_are_kept():
    known = build(Config()).quirks("gemini", MODEL)
    made = ADAPTER.build(call(messages=[ASK], temperature=0.5, quirks=known), None)
    assert made.dropped == ("temperature",)
    where = deployment("http://x", type="gemini", max_output_tokens=100)
    asked = Call(Kind.CHAT, {"messages": [ASK], "max_tokens": 500}, where, QUIRKS)
    body = orjson.loads(ADAPTER.build(asked, None).body)
    assert body["generationConfig"] == {"maxOutputTokens": 100}


def test_a_seed_larger_than_geminis_is_folded_and_stays_the_same():
    seeds = [
        body_of(messages=[ASK], seed=seed)["generationConfig"]["seed"]
        for seed in (5, -1, 2**31, 2**63 - 1)
    ]
    assert seeds == [5, 2**31 - 1, 0, 2**31 - 1]


@pytest.mark.parametrize(
    ("messages", "roles", "first"),
    [
        ([{"role": "system", "content": "Say hello."}], ["user"], "Say hello."),
        ([{"role": "assistant", "content": "Yes?"}, ASK], ["user", "model", "user"], "Hello."),
        ([{"role": "user", "content": ""}], ["user"], " "),
        ([{"role": "assistant", "content": ""}, ASK], ["user"], ASK["content"]),
    ],
)
def test_a_talk_begins_with_the_user_and_has_no_empty_part(messages, roles, first):
    contents = contents_of(*messages)
    assert [each["role"] for each in contents] == roles
    assert contents[0]["parts"][0]["text"] == first


def test_arguments_and_results_of_other_models_become_objects():
    talk = [
        ASK,
        {
            "role": "assistant",
            "tool_calls": [tool_call("a", arguments="[1]"), tool_call("b", arguments="{broken")],
        },
        {"role": "tool", "tool_call_id": "a", "content": "[1]"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "x"}]},
        {"role": "tool", "tool_call_id": "lost", "name": "other", "content": "y"},
    ]
    _, said, results = contents_of(*talk)
    args = [each["functionCall"]["args"] for each in said["parts"]]
    assert args == [{"arguments": [1]}, {"arguments": "{broken"}]
    assert [each["functionResponse"] for each in results["parts"]] == [
        {"id": "a", "name": "look", "response": {"result": "[1]"}},
        {"id": "b", "name": "look", "response": {"result": "x"}},
        {"id": "lost", "name": "other", "response": {"result": "y"}},
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("role", "content", "tool_calls", "tool_call_id", "id", "function", "type"),
                    *("name", "arguments", "parameters", "text", "image_url", "url", "file"),
                    *("extra_content", "google", "thought_signature", "allowed_tools"),
                ]
            ),
            inner
            | st.sampled_from(
                [
                    *("user", "assistant", "tool", "developer", "text", "image_url", "file"),
                    *("allowed_tools", "data:,a", "https://[", "1st", "x__sig_aaaaaa_AA"),
                ]
            ),
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON, JSON, st.sampled_from([MODEL, OLD, "gemma-4"]))
def test_no_request_makes_the_adapter_raise_or_change_what_the_caller_sent(talk, other, model):
    request = {
        "messages": talk,
        "tools": other,
        "tool_choice": other,
        "stop": other,
        "n": other,
        "response_format": other,
        "reasoning_effort": other,
        "max_tokens": other,
    }
    before = orjson.dumps(request)
    ADAPTER.build(call(model, **request), None)
    assert orjson.dumps(request) == before


# -- what it answers


def read(asked: Call, pieces: Iterable[bytes]) -> tuple[list[dict[str, Any]], Outcome]:
    reader = ADAPTER.parse_stream(asked, 200, {})
    out: list[bytes] = []
    for each in pieces:
        out += reader.feed(each)
    last, outcome = reader.finish()
    assert not any(b"\n" in each for each in (*out, *last))
    return [orjson.loads(each) for each in (*out, *last)], outcome


def parsed(value: Any, asked: Call | None = None, status: int = 200) -> Outcome:
    reply = HttpReply(status, {}, orjson.dumps(value))
    return ADAPTER.parse(asked or call(messages=[ASK]), reply)


def asked_for(reply: Reply, **more: Any) -> Call:
    return call(**{"messages": [ASK], **reply.request, **more})


def check(reply: Reply, outcome: Outcome, *, exact_usage: bool = True) -> None:
    assert isinstance(outcome, Succeeded), outcome
    body = orjson.loads(outcome.body)
    ChatCompletion.model_validate(body)
    assert (body["id"], body["model"]) == (TOP["responseId"], TOP["modelVersion"])
    assert body["choices"][0]["message"] == shell(reply)
    assert body["choices"][0]["finish_reason"] == reply.finish_reason
    if exact_usage:
        usage = outcome.usage
        assert not usage.estimated
        told = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        assert (*told, usage.reasoning_tokens) == reply.usage
        assert body["usage"]["total_tokens"] == sum(reply.usage[:2])


EACH = pytest.mark.parametrize("reply", [*WHOLE, *STREAMS], ids=lambda each: each.name)


@EACH
def test_the_recorded_answers_are_in_googles_format(reply):
    for each in reply.pieces:
        types.GenerateContentResponse.model_validate_json(orjson.dumps(each))


@pytest.mark.parametrize("reply", WHOLE, ids=lambda each: each.name)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_whole_answer_becomes_one_of_openais(reply, wrapped):
    value = reply.pieces[0]
    check(reply, parsed([value] if wrapped else value, asked_for(reply)))


@EACH
def test_a_stream_becomes_openais_chunks_and_their_message(reply):
    asked = asked_for(reply, stream_options={"include_usage": True})
    chunks, outcome = read(asked, [reply.raw])
    check(reply, outcome)
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == sum(reply.usage[:2])
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=each))
    if reply.finish_reason in ("stop", "tool_calls"):
        final = state.get_final_completion().choices[0]
        assert final.message.content == (reply.message["content"] or None)
        calls_ = [each.model_dump() for each in final.message.tool_calls or []]
        for made, expected in zip(calls_, reply.message.get("tool_calls") or [], strict=True):
            assert made["id"] == expected["id"]
            assert made["function"]["arguments"] == expected["function"]["arguments"]


@EACH
def test_a_stream_cut_at_any_byte_is_complete_and_right_or_failed(reply):
    raw, asked = reply.raw, asked_for(reply)
    whole = read(asked, [raw])
    assert read(asked, [raw[at : at + 1] for at in range(len(raw))]) == whole
    failed = 0
    for cut in range(len(raw)):
        _, outcome = read(asked, [raw[:cut]])
        if isinstance(outcome, Succeeded):
            check(reply, outcome)
        else:
            failed += 1
            assert isinstance(outcome, Failed)
            assert outcome.kind is FailureKind.MALFORMED_REPLY
    assert failed >= len(raw) - len(b"\r\n\r\n")


def test_two_candidates_are_two_choices_and_one_of_them_is_half_an_answer():
    first = piece(candidate(text("A"), finish="STOP"))
    second = piece({**candidate(text("B"), finish="STOP"), "index": 1})
    asked = call(messages=[ASK], n=2)
    both = [*first["candidates"], *second["candidates"]]
    for outcome in (
        parsed(piece(*both), asked),
        read(asked, [sse(first, second, done=False)])[1],
    ):
        assert isinstance(outcome, Succeeded)
        choices = orjson.loads(outcome.body)["choices"]
        assert [each["message"]["content"] for each in choices] == ["A", "B"]
    _, outcome = read(asked, [sse(first, done=False)])
    assert isinstance(outcome, Failed)


def test_log_probabilities_are_openais():
    def token(value: str, logprob: float) -> dict[str, Any]:
        return {"token": value, "tokenId": 7, "logProbability": logprob}

    result = {
        "chosenCandidates": [token("é", -0.5), {"token": "!", "tokenId": 8}],
        "topCandidates": [{"candidates": [token("é", -0.5), token("e", -1)]}, {"candidates": []}],
    }
    value = piece(candidate(text("é!"), finish="STOP", logprobsResult=result))
    types.GenerateContentResponse.model_validate_json(orjson.dumps(value))
    for outcome in (parsed(value), read(call(messages=[ASK]), [sse(value, done=False)])[1]):
        assert isinstance(outcome, Succeeded)
        body = orjson.loads(outcome.body)
        ChatCompletion.model_validate(body)
        assert body["choices"][0]["logprobs"]["content"] == [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [
                    {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
                    {"token": "e", "logprob": -1, "bytes": [101]},
                ],
            },
            {"token": "!", "logprob": 0.0, "bytes": [33], "top_logprobs": []},
        ]


BUSY = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (BUSY, FailureKind.OVERLOADED),
        ([BUSY], FailureKind.OVERLOADED),
        ({"error": {"code": 499, "status": "CANCELLED"}}, FailureKind.MALFORMED_REPLY),
        (piece(), FailureKind.MALFORMED_REPLY),
        ({"usageMetadata": USAGE}, FailureKind.MALFORMED_REPLY),
        (piece(candidate(finish="STOP")), FailureKind.MALFORMED_REPLY),
        (
            piece(candidate(text("", thoughtSignature="QQ=="), finish="STOP")),
            FailureKind.MALFORMED_REPLY,
        ),
        (piece(candidate(finish="MALFORMED_FUNCTION_CALL")), FailureKind.MALFORMED_REPLY),
        (piece(candidate(finish="MISSING_THOUGHT_SIGNATURE")), FailureKind.MALFORMED_REPLY),
        (
            piece(candidate({"functionCall": {"name": "a", "willContinue": True}}, finish="STOP")),
            FailureKind.MALFORMED_REPLY,
        ),
        (
            piece(candidate({"functionCall": {"args": {}}}, finish="STOP")),
            FailureKind.MALFORMED_REPLY,
        ),
        (
            piece(candidate(calls("a", [1]), finish="STOP")),  # type: ignore[arg-type]
            FailureKind.MALFORMED_REPLY,
        ),
        ({"candidates": "x"}, FailureKind.MALFORMED_REPLY),
        ({"candidates": [5]}, FailureKind.MALFORMED_REPLY),
        ({"candidates": [{"content": 5, "finishReason": "STOP"}]}, FailureKind.MALFORMED_REPLY),
        ({"candidates": [{"content": {"parts": [5]}}]}, FailureKind.MALFORMED_REPLY),
        ({}, FailureKind.MALFORMED_REPLY),
        ([], FailureKind.MALFORMED_REPLY),
        (5, FailureKind.MALFORMED_REPLY),
    ],
)
def test_what_is_no_answer_is_never_given_out_as_one(value, kind):
    _, streamed = read(call(messages=[ASK]), [sse(value, done=False)])
    for outcome in (parsed(value), streamed):
        assert isinstance(outcome, Failed)
        assert outcome.kind is kind


def test_an_error_after_words_ends_the_stream():
    raw = sse(piece(candidate(text("Hel"))), BUSY, piece(candidate(finish="STOP")), done=False)
    chunks, outcome = read(call(messages=[ASK]), [raw])
    assert len(chunks) == 1
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.OVERLOADED


def test_usage_that_is_not_told_is_estimated_and_says_so():
    value = {"candidates": [candidate(text("Hello"), finish="STOP")]}
    for outcome in (parsed(value), read(call(messages=[ASK]), [sse(value, done=False)])[1]):
        assert isinstance(outcome, Succeeded)
        assert outcome.usage.estimated
        assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (12, 5)
        body = orjson.loads(outcome.body)
        assert body["usage"]["estimated"] is True
        assert body["id"] == "chatcmpl-job_1"


REPLY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("candidates", "content", "parts", "text", "functionCall", "name", "args"),
                    *("finishReason", "index", "usageMetadata", "promptTokenCount", "error"),
                    *("promptFeedback", "blockReason", "logprobsResult", "chosenCandidates"),
                    *("embedding", "embeddings", "values", "thoughtSignature", "message"),
                ]
            ),
            inner | st.sampled_from(["STOP", "SAFETY", "AA=="]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300)
@given(REPLY_JSON, st.sampled_from([{"messages": [ASK]}, {"input": "a"}, {"input": ["a", "b"]}]))
def test_no_answer_makes_the_adapter_raise(value, request_):
    assert isinstance(parsed(value, call(**request_)), Failed | Succeeded)
    read(call(messages=[ASK]), [sse(value, candidate(text("a")), done=False)])


@pytest.mark.parametrize(("told", "wait_ms"), [("3.5s", 600_000), ("1200s", 1_200_000)])
def test_a_cap_on_spending_rests_the_key_for_its_ten_minutes(told, wait_ms):
    error = {
        "code": 429,
        "message": "Your project has exceeded its spending cap. Please try again later.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": told}],
    }
    body = orjson.dumps({"error": error})
    failed = ADAPTER.classify(call(messages=[ASK]), 429, {}, body, 1_000_000)
    assert (failed.kind, failed.scope) == (FailureKind.RATE_LIMITED, "credential")
    assert failed.retry_after_ms == wait_ms


# -- signatures


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


# -- embeddings


def embedded(*vectors: list[Any], **more: Any) -> dict[str, Any]:
    return {"embeddings": [{"values": each} for each in vectors], **more}


def test_an_embeddings_request_is_one_of_googles_own():
    made = ADAPTER.build(
        call(
            model="gemini-embedding-2",
            input=["a", "b"],
            dimensions=256,
            task_type="RETRIEVAL_QUERY",
            encoding_format="base64",
            user="u",
        ),
        None,
    )
    assert made.dropped == ("user",)
    requests = orjson.loads(made.body)["requests"]
    assert [each["content"] for each in requests] == [
        {"parts": [{"text": "a"}]},
        {"parts": [{"text": "b"}]},
    ]
    for each in requests:
        assert each.pop("model") == "models/gemini-embedding-2"
        types.Content.model_validate_json(orjson.dumps(each.pop("content")))
        types.EmbedContentConfig.model_validate_json(orjson.dumps(each))
        assert each == {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256}


async def test_the_official_sdk_sends_the_very_same_embeddings_request():
    async with serving(always(json_reply(embedded([1.0], [2.0])))) as server:
        await asked_by_the_sdk(
            server,
            lambda sdk: sdk.models.embed_content(
                model="gemini-embedding-2",
                contents=[types.Content(parts=[types.Part(text=each)]) for each in "ab"],
                config=types.EmbedContentConfig(output_dimensionality=8),
            ),
        )
    head, theirs = server.requests[0]
    ours = ADAPTER.build(call("gemini-embedding-2", input=["a", "b"], dimensions=8), None)
    assert head.split()[1].decode() == ours.url.removeprefix("http://x")
    assert orjson.loads(theirs) == orjson.loads(ours.body)


@pytest.mark.parametrize("format_", ["float", "base64", None])
def test_vectors_come_as_the_caller_asked(format_):
    value = embedded([0.5, -1], [2, 0.25], usageMetadata={"promptTokenCount": 4})
    types.EmbedContentResponse.model_validate_json(orjson.dumps(value))
    outcome = parsed(value, call(input=["a", "b"], encoding_format=format_))
    assert isinstance(outcome, Succeeded)
    body = orjson.loads(outcome.body)
    CreateEmbeddingResponse.model_validate(
        {**body, "data": [{**each, "embedding": []} for each in body["data"]]}
    )
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert [each["index"] for each in body["data"]] == [0, 1]
    expected: list[Any] = [[0.5, -1], [2, 0.25]]
    if format_ == "base64":
        expected = ["AAAAPwAAgL8=", "AAAAQAAAgD4="]
    assert [each["embedding"] for each in body["data"]] == expected


def test_one_text_is_one_vector_and_its_tokens_are_estimated():
    outcome = parsed({"embedding": {"values": [1.5]}}, call(input="a"))
    assert isinstance(outcome, Succeeded)
    body = orjson.loads(outcome.body)
    assert body["data"] == [{"object": "embedding", "index": 0, "embedding": [1.5]}]
    assert body["usage"] == {"prompt_tokens": 12, "total_tokens": 12, "estimated": True}


@pytest.mark.parametrize(
    "value",
    [
        embedded([1.0]),
        embedded([1.0], []),
        embedded([1.0], ["x"]),
        embedded([1.0], [1e300]),
        {"embeddings": [{"values": [1.0]}, 5]},
        {"embeddings": "x"},
        piece(candidate(text("Hi"), finish="STOP")),
        {},
    ],
)
def test_an_embedding_that_is_missing_or_broken_is_no_answer(value):
    outcome = parsed(value, call(input=["a", "b"], encoding_format="base64"))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.MALFORMED_REPLY


@pytest.mark.parametrize(
    ("given_", "says"), [([1, 2], "token ids"), ([[1]], "token ids"), (["a"] * 101, "100 texts")]
)
def test_what_cannot_be_embedded_here_is_refused_before_it_is_sent(given_, says):
    with pytest.raises(Unsendable, match=says) as caught:
        ADAPTER.build(call(input=given_), None)
    failed = caught.value.failed
    assert (failed.kind, failed.param, failed.sent) == (FailureKind.INVALID_REQUEST, "input", False)


# -- the wired attempt


async def attempted(
    reply: bytes, told: Told | None = None, **changes: Any
) -> tuple[Report, RawServer]:
    transport = Transport(AioTransport(proxies={}))
    try:
        async with serving(always(reply)) as server:
            where = deployment(f"{server.url}/v1beta", "gemini", type="gemini", model=MODEL)
            known = catalog_of(where, quirks={"gemini": QUIRKS})
            lane = f"gemini/{MODEL}@shared"
            run = attempt.run(claim(lane, **changes), context(transport, known, told))
            return await run, server
    finally:
        await transport.aclose()


def test_a_provider_of_geminis_type_speaks_geminis_wire_whatever_its_name():
    config = {"providers": {"mine": {"type": "gemini", "credentials": [{"key": "k"}]}}}
    known = build(Config.model_validate(config))
    for name in ("gemini", "mine"):
        provider = known.provider(name)
        assert provider is not None
        assert isinstance(adapter_for(provider.type), Gemini)
        assert provider.quirks.auth_header == "x-goog-api-key"
    other = {"providers": {"gemini": {"type": "openai-compatible", "base_url": "http://x/v1"}}}
    changed = build(Config.model_validate(other)).provider("gemini")
    assert changed is not None
    assert isinstance(adapter_for(changed.type), OpenAICompatible)
    assert changed.quirks == Quirks()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_attempt_asks_gemini_and_delivers_openais_answer(stream):
    told = Told()
    recorded = STREAMS[0]
    reply = chunked(recorded.raw) if stream else json_reply(WHOLE[0].pieces[0])
    report, server = await attempted(reply, told, stream=stream)
    assert report.verdict is Verdict.COMPLETE
    head, _ = server.requests[0]
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    assert head.startswith(f"POST /v1beta/models/{MODEL}:{method} ".encode())
    assert report.usage is not None
    assert (report.usage.input_tokens, report.usage.output_tokens) == (9, 3)
    if stream:
        assert told.text == recorded.message["content"]


async def test_an_attempt_that_cannot_be_sent_fails_with_the_reason_and_sends_nothing():
    report, server = await attempted(
        json_reply({}), kind=Kind.EMBEDDING, request={"model": "auto", "input": [1, 2]}
    )
    assert report.verdict is Verdict.FAIL
    assert report.error is not None
    assert report.error["param"] == "input"
    assert not report.reached
    assert server.requests == []
