"""What Gemini's own API is sent, held to Google's SDK, and the wired attempt that sends it."""

from typing import Any

import orjson
import pytest
from gemini_calls import (
    ADAPTER,
    ASK,
    EVERYTHING,
    LOOK,
    MODEL,
    OLD,
    QUIRKS,
    SCHEMA,
    TALK,
    asked_by_the_sdk,
    body_of,
    call,
    contents_of,
    tool_call,
    valid,
)
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from raw_server import RawServer, always, chunked, json_reply, serving
from recorded_gemini import (
    STREAMS,
    WHOLE,
)
from worker_claims import Told, claim, context, deployment
from worker_claims import catalog as catalog_of

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.credentials import Secret
from shared.queue.types import Report, Verdict
from shared.quirks import Quirks
from workers import attempt
from workers.providers.base import Call, HttpRequest
from workers.providers.gemini import Gemini
from workers.providers.gemini_contents import FOREIGN
from workers.providers.openai_compatible import OpenAICompatible
from workers.providers.registry import adapter_for
from workers.transport import AioTransport, Transport


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
    assert changed.quirks == Quirks(wire="gemini")


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
