"""Anthropic's Messages API: what it is sent, what it answers, and thoughts that come back."""

from collections.abc import Iterable
from typing import Any

import anthropic.types as sdk
import httpx2
import openai
import orjson
import pytest
import wire_answers
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import ConfigDict, TypeAdapter, ValidationError
from raw_server import always, json_reply, serving
from recorded_anthropic import (
    CALL,
    FORMAT,
    HELLO,
    REPLIES,
    SEALED,
    SIGNATURE,
    STREAMS,
    THOUGHT,
    USE,
    block,
    detail,
    event,
    message,
    piece,
    sealed,
    stream,
    words,
)
from recorded_hosts import Reply
from recorded_streams import Stream
from sdk_types import valid
from wire_answers import check_reply, check_stream, whole_when_cut
from wire_talks import EVERYTHING, JSON, PNG
from worker_claims import catalog as catalog_of
from worker_claims import claim, context, deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.core.outcome import Failed, Succeeded
from shared.credentials import Secret
from shared.queue.types import Verdict
from shared.quirks import Quirks
from workers import attempt
from workers.providers.anthropic import Anthropic
from workers.providers.base import Call, HttpReply
from workers.providers.registry import adapter_for
from workers.transport import AioTransport, Transport

ADAPTER = Anthropic()
STRICT = ConfigDict(extra="forbid")
WHOLE = TypeAdapter(list[MessageCreateParamsNonStreaming], config=STRICT)
STREAMED = TypeAdapter(list[MessageCreateParamsStreaming], config=STRICT)
# A turn's content may be blocks of an answer too, whose types let anything pass: asked one by one.
BLOCKS = TypeAdapter(list[sdk.ContentBlockParam], config=STRICT)
SAMPLING = ("temperature", "top_p", "top_k")  # what the SDK dropped with the models that refuse it
NEW, OLD = "claude-sonnet-5-5", "claude-haiku-4-5-20251001"
ASKED = [{"role": "user", "content": "Look a up."}]
TOOLS = EVERYTHING["tools"]
LOOPED = [
    *ASKED,
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": THOUGHT["thinking"],
        "reasoning_details": [detail(0), sealed(1)],
        "tool_calls": [CALL],
    },
    {"role": "tool", "tool_call_id": CALL["id"], "content": "42"},
]


def quirks(name: str = "anthropic", **more: Any) -> Quirks:
    provider = {
        "type": "anthropic",
        "base_url": "http://x/v1",
        "models": [{"id": "m1"}],
        "quirks": more,
    }
    return build(Config.model_validate({"providers": {name: provider}}), Config()).quirks(name)


KNOWN = quirks()


def call(model: str = NEW, *, streamed: bool = False, **request: Any) -> Call:
    most = 64_000 if model == NEW else None
    where = deployment(
        "http://x/v1", "anthropic", model=model, type="anthropic", max_output_tokens=most
    )
    asked = {"messages": ASKED, **request}
    return Call(Kind.CHAT, asked, where, KNOWN, streamed, 12, job_id="job_1", created_s=5)


def built(asked: Call) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = ADAPTER.build(asked, None)
    body = orjson.loads(request.body)
    known(body, streamed=asked.stream)
    return body, request.dropped


def known(body: dict[str, Any], *, streamed: bool = False) -> None:
    asked = {name: value for name, value in body.items() if name not in SAMPLING}
    valid(STREAMED if streamed else WHOLE, asked)
    for turn in body["messages"]:
        for each in turn["content"]:
            valid(BLOCKS, each)


def body_of(model: str = NEW, **request: Any) -> dict[str, Any]:
    return built(call(model, **request))[0]


def test_the_check_itself_refuses_what_the_sdk_does_not_know():
    with pytest.raises(ValidationError, match="seed"):
        known({"model": "m", "max_tokens": 1, "messages": [], "seed": 1})
    content = [{"type": "text", "text": "a", "colour": "red"}]
    with pytest.raises(ValidationError, match="colour"):
        known({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", [NEW, OLD])
def test_a_request_is_one_of_its_sdk_and_what_it_does_not_take_is_told(model, streamed):
    request = {name: value for name, value in EVERYTHING.items() if name != "model"}
    body, dropped = built(call(model, streamed=streamed, **request))
    assert body.get("stream", False) is streamed
    assert set(dropped) - {"reasoning_effort", "temperature"} == {
        *("frequency_penalty", "logit_bias", "logprobs", "messages[].name", "metadata", "n"),
        *("presence_penalty", "prompt_cache_key", "seed", "service_tier=flex", "store"),
        *("top_logprobs", "top_p", "verbosity"),
    }
    assert body["max_tokens"] == 50
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "u1"}
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert body["system"] == [{"type": "text", "text": "Be brief."}]


def test_it_is_asked_by_key_and_version_at_its_own_path():
    request = ADAPTER.build(call(), Secret("k1"))
    assert request.url == "http://x/v1/messages"
    assert request.headers["x-api-key"] == "k1"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "Authorization" not in request.headers


def test_any_provider_of_its_type_speaks_its_wire():
    assert quirks("mine") == KNOWN
    assert quirks("groq").chat_path == "/messages"
    assert isinstance(adapter_for("anthropic"), Anthropic)
    assert quirks(efforts={"*": ["low"]}).efforts == (("*", ("low",)),)


def test_it_offers_no_embeddings():
    where = call().deployment
    with pytest.raises(KeyError):
        ADAPTER.build(Call(Kind.EMBEDDING, {"input": "a"}, where, KNOWN), None)


def test_turns_alternate_and_results_come_first():
    talk = [
        {"role": "system", "content": "One."},
        {"role": "user", "content": "Look both up."},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                CALL,
                {**CALL, "id": "a:b", "function": {"name": "stop", "arguments": ""}},
            ],
        },
        {"role": "tool", "tool_call_id": CALL["id"], "content": "42"},
        {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "a:b", "content": [{"type": "text", "text": "7"}]},
        {"role": "assistant", "content": "It is "},
    ]
    body = body_of(messages=talk)
    assert [each["text"] for each in body["system"]] == ["One.", "Two."]
    asked, answered, told, begun = body["messages"]
    assert asked == {"role": "user", "content": [words("Look both up.")]}
    assert [each["type"] for each in answered["content"]] == ["text", "tool_use", "tool_use"]
    assert answered["content"][2]["input"] == {}
    assert [each["type"] for each in told["content"]] == ["tool_result", "tool_result", "text"]
    uses = [each["id"] for each in answered["content"][1:]]
    assert [each["tool_use_id"] for each in told["content"][:2]] == uses
    assert uses[0] == CALL["id"]
    assert ":" not in uses[1]
    assert begun == {"role": "assistant", "content": [words("It is")]}


def test_calls_of_the_past_are_declared_where_the_caller_left_them_out():
    body = body_of(messages=LOOPED)
    assert body["tools"] == [{"name": "look", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "none"}


def test_a_word_of_the_system_alone_is_asked_as_a_users():
    body = body_of(messages=[{"role": "system", "content": "Say hello."}])
    assert body["messages"] == [{"role": "user", "content": [words("Say hello.")]}]
    assert "system" not in body


def test_pictures_and_papers_go_as_blocks_and_sound_is_told_as_lost():
    cached = {"type": "text", "text": "See:", "cache_control": {"type": "ephemeral"}}
    pdf = {"file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"}
    parts = [
        cached,
        {"type": "image_url", "image_url": {"url": PNG.replace("png", "jpg")}},
        {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}},
        {"type": "file", "file": pdf},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,QQ=="}},
        {"type": "text", "text": " "},
    ]
    body, dropped = built(call(messages=[{"role": "user", "content": parts}]))
    text, jpeg, url, paper = body["messages"][0]["content"]
    assert text == cached
    assert jpeg["source"]["media_type"] == "image/jpeg"
    assert jpeg["source"]["data"] == PNG.partition(",")[2]
    assert url["source"] == {"type": "url", "url": "https://x/a.png"}
    assert (paper["type"], paper["title"]) == ("document", "a.pdf")
    assert dropped == (
        "messages[].content[].type=image_url",
        "messages[].content[].type=input_audio",
    )


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", None),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
def test_a_wish_for_tools_is_theirs(choice, expected):
    body = body_of(tools=TOOLS, tool_choice=choice)
    assert body.get("tool_choice") == expected
    assert [tool["name"] for tool in body["tools"]] == ["look", "stop"]
    assert body["tools"][1]["input_schema"] == {"type": "object", "properties": {}}


def test_only_allowed_tools_are_sent_and_tools_of_other_kinds_told():
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "stop"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body, dropped = built(call(tools=[*TOOLS, {"type": "custom"}], tool_choice=choice))
    assert [tool["name"] for tool in body["tools"]] == ["stop"]
    assert body["tool_choice"] == {"type": "any"}
    assert dropped == ("tools[].type=custom",)


def test_one_call_at_a_time_is_a_part_of_the_choice():
    body = body_of(tools=TOOLS, parallel_tool_calls=False)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_a_schema_is_kept_to_without_the_words_they_refuse():
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "How many."},
            "minimum": {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
        },
        "required": ["n"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    body, dropped = built(call(response_format=wanted))
    made = body["output_config"]["format"]["schema"]
    assert made["additionalProperties"] is False
    assert made["properties"]["n"] == {"type": "integer", "description": "How many. (minimum: 1)"}
    assert made["properties"]["minimum"]["anyOf"][0] == {
        "type": "string",
        "description": "(maxLength: 3)",
    }
    assert dropped == ()
    strict = [{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}]
    tool = body_of(tools=strict)["tools"][0]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False


def test_any_json_is_a_word_to_the_model_and_told():
    body, dropped = built(call(response_format={"type": "json_object"}))
    assert "JSON" in body["system"][0]["text"]
    assert dropped == ("response_format=json_object",)
    assert built(call(response_format={"type": "text"}))[1] == ()


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        (NEW, "low", ("adaptive", "low")),
        (NEW, "minimal", ("adaptive", "low")),
        (NEW, "xhigh", ("adaptive", "xhigh")),
        (NEW, "none", ("disabled", None)),
        ("claude-opus-4-6", "xhigh", ("adaptive", "high")),
        ("claude-opus-4-6", "max", ("adaptive", "max")),
        ("claude-sonnet-4-20250514", "none", ("disabled", None)),
    ],
)
def test_effort_is_the_nearest_a_model_takes(model, effort, sent):
    body = body_of(model, reasoning_effort=effort)
    assert (body["thinking"]["type"], body.get("output_config", {}).get("effort")) == sent


@pytest.mark.parametrize(
    "model", [OLD, "claude-opus-4-1", "claude-sonnet-4-20250514", "claude-3-7-sonnet-20250219"]
)
def test_models_before_efforts_think_by_a_budget_within_the_limit(model):
    for effort, limit, budget in [
        ("low", 10_000, 2_000),
        ("high", 10_000, 8_000),
        ("minimal", 2_048, 1_024),
        ("high", 2_048, 1_024),
        ("high", 64_000, 32_000),
    ]:
        body = body_of(model, reasoning_effort=effort, max_tokens=limit)
        assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert "output_config" not in body


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 1_500},
        {"tools": TOOLS, "tool_choice": "required"},
        {"reasoning_effort": "default"},
        {"messages": [*LOOPED[:1], {**LOOPED[1], "reasoning_details": None}, LOOPED[2]]},
    ],
    ids=["no room", "a forced call", "no such effort", "thoughts lost in a loop of calls"],
)
def test_where_the_api_would_refuse_to_think_it_is_not_asked_to_and_told(more):
    body, dropped = built(call(OLD, **{"reasoning_effort": "high", "max_tokens": 9_000, **more}))
    assert "thinking" not in body
    assert dropped == ("reasoning_effort",)


def test_thoughts_come_back_unchanged_and_in_their_places():
    body = body_of(OLD, messages=LOOPED, reasoning_effort="high", tools=TOOLS, max_tokens=9_000)
    assert body["thinking"]["type"] == "enabled"
    assert body["messages"][1]["content"] == [THOUGHT, SEALED, words("I look."), USE]
    details = [detail(1), {**sealed(3), "format": "openai-responses-v1"}, None, {"index": 9}, 5]
    talk = [LOOPED[0], {**LOOPED[1], "reasoning_details": details}, LOOPED[2]]
    assert body_of(messages=talk)["messages"][1]["content"] == [words("I look."), THOUGHT, USE]


def test_a_model_that_thinks_has_no_temperature_and_others_at_most_one():
    body, dropped = built(call(reasoning_effort="low", temperature=0.5, top_p=0.5, top_k=3))
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert dropped == ("temperature", "top_k", "top_p")
    assert built(call(reasoning_effort="low", temperature=1))[1] == ()
    body, dropped = built(call(temperature=1.5, top_p=1, top_k=3))
    assert (body["temperature"], body["top_k"]) == (1, 3)
    assert dropped == ("temperature=1.5",)
    assert body_of(top_p=0.5)["top_p"] == 0.5


def test_the_limit_is_the_callers_else_the_models_and_always_there():
    assert body_of()["max_tokens"] == 64_000
    assert body_of(max_completion_tokens=90_000)["max_tokens"] == 64_000
    assert body_of("claude-x")["max_tokens"] == 4_096


def test_a_stop_without_a_visible_character_is_told():
    body, dropped = built(call(stop=["\n", "END"]))
    assert body["stop_sequences"] == ["END"]
    assert dropped == ("stop",)
    assert body_of(stop="END")["stop_sequences"] == ["END"]


@settings(max_examples=300)
@given(JSON, JSON, JSON)
def test_no_request_makes_it_raise_or_changes_what_the_caller_sent(talk, tools, other):
    request = {
        "messages": talk,
        "tools": tools,
        "tool_choice": tools,
        "n": other,
        "stop": other,
        "response_format": other,
        "reasoning_effort": other,
        "temperature": other,
        "thinking": None,
        "output_config": other,
        "max_tokens": other,
        "top_p": other,
    }
    before = orjson.dumps(request)
    for model in (NEW, OLD):
        ADAPTER.build(call(model, **request), None)
    assert orjson.dumps(request) == before


@pytest.mark.parametrize("reply", REPLIES, ids=lambda each: each.name)
def test_a_reply_becomes_one_of_openais_own(reply: Reply):
    sdk.Message.model_validate(reply.body)
    body = check_reply(ADAPTER, call(), reply)
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 3}
    assert (body["id"], body["model"]) == ("msg_1", "claude-x-2026")


def test_tokens_thought_with_are_counted_once():
    used = {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    outcome = ADAPTER.parse(
        call(), HttpReply(200, {}, orjson.dumps(message(words("Hi"), usage=used)))
    )
    assert isinstance(outcome, Succeeded)
    assert (outcome.usage.output_tokens, outcome.usage.reasoning_tokens) == (9, 4)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "overloaded"),
        ({"type": "error"}, "malformed_reply"),
        (message(words("Hi"), stop=None), "malformed_reply"),
        (message(words("")), "malformed_reply"),
        ({**message(), "content": "Hi"}, "malformed_reply"),
        ({**message(), "content": [5]}, "malformed_reply"),
        ([], "malformed_reply"),
        ({}, "malformed_reply"),
    ],
)
def test_what_is_no_answer_is_a_failure(body, kind):
    outcome = ADAPTER.parse(call(), HttpReply(200, {}, orjson.dumps(body)))
    assert isinstance(outcome, Failed)
    assert outcome.kind == kind


RECORDED = pytest.mark.parametrize("recorded", STREAMS, ids=lambda each: each.name)


def read(pieces: Iterable[bytes], **more: Any) -> tuple[list[Any], Any]:
    return wire_answers.read(ADAPTER.parse_stream(call(streamed=True, **more), 200, {}), pieces)


@RECORDED
def test_a_stream_becomes_openais_chunks_and_their_message(recorded: Stream):
    chunks, outcome = read([recorded.raw], stream_options={"include_usage": True})
    check_stream(recorded, outcome)
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
        assert (each["id"], each["model"]) == ("msg_1", "claude-x-2026")
    assert chunks[-1]["usage"]["total_tokens"] == 12
    assert sum(bool(each["choices"][0]["finish_reason"]) for each in chunks[:-1]) == 1


@RECORDED
def test_a_stream_cut_at_any_byte_is_complete_and_right_or_failed(recorded: Stream):
    whole = whole_when_cut(read, recorded)
    assert whole < 100, "only the last event or two may be missing"


def test_a_stream_ends_with_its_last_event():
    reader = ADAPTER.parse_stream(call(streamed=True), 200, {})
    reader.feed(stream(HELLO).removesuffix(b"\n"))
    assert not reader.done
    reader.feed(b"\n")
    assert reader.done


PARTS = ("start", "delta", "stop")
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (stream(HELLO).partition(b"event: message_delta")[0] + OVERLOADED, "overloaded"),
        (OVERLOADED, "overloaded"),
        (event("error"), "malformed_reply"),
        (stream(HELLO, stop=None), "malformed_reply"),
        (stream(), "malformed_reply"),
        (stream(event("content_block_delta", index=4, delta={})), "malformed_reply"),
        (stream(event("content_block_stop", index=4)), "malformed_reply"),
        (stream(event("content_block_start", content_block={})), "malformed_reply"),
        (stream(event("content_block_start", index=0)), "malformed_reply"),
        (stream(block(0, words(""), {"type": "text_delta"})), "malformed_reply"),
        (
            stream(
                block(0, USE), event("content_block_delta", index=0, delta=piece("x")), stop="x"
            ),
            "malformed_reply",
        ),
    ],
)
def test_a_stream_that_breaks_its_form_is_a_failure(raw, kind):
    _, outcome = read([raw])
    assert isinstance(outcome, Failed)
    assert outcome.kind == kind


@settings(max_examples=200)
@given(
    st.lists(
        st.builds(
            lambda kind, value: event(kind, index=0, delta=value, content_block=value),
            st.sampled_from([*(f"content_block_{part}" for part in PARTS), "message_delta"]),
            JSON,
        )
        | st.sampled_from([HELLO, OVERLOADED])
    )
)
def test_no_events_make_a_reader_raise(events):
    read(events)


def echoing(answers: list[httpx2.Response], asked: list[dict[str, Any]]) -> openai.OpenAI:
    """The official SDK, unmodified, over a transport that notes what it sends."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(orjson.loads(request.content))
        return answers.pop(0)

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=client, max_retries=0)


@pytest.mark.parametrize("streamed", [False, True])
def test_signatures_come_back_through_the_official_sdk(streamed):
    asked: list[dict[str, Any]] = []
    if streamed:
        chunks, _ = read([STREAMS[1].raw])
        lines = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks)
        kind = {"content-type": "text/event-stream"}
        first = httpx2.Response(200, headers=kind, content=lines + b"data: [DONE]\n\n")
    else:
        raw = orjson.dumps(message(THOUGHT, SEALED, words("I look."), USE, stop="tool_use"))
        outcome = ADAPTER.parse(call(), HttpReply(200, {}, raw))
        assert isinstance(outcome, Succeeded)
        kind = {"content-type": "application/json"}
        first = httpx2.Response(200, headers=kind, content=outcome.body)
    again = httpx2.Response(500)
    with echoing([first, again], asked) as client:
        talk: list[Any] = [*ASKED]
        if streamed:
            with client.chat.completions.stream(model="m", messages=talk, tools=TOOLS) as events:
                said = events.get_final_completion().choices[0].message
        else:
            said = client.chat.completions.create(model="m", messages=talk).choices[0].message
        talk.append(said)
        talk += [
            {"role": "tool", "tool_call_id": each.id, "content": "42"} for each in said.tool_calls
        ]
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="m", messages=talk)
    back = body_of(messages=asked[1]["messages"], tools=TOOLS, reasoning_effort="high")
    content = back["messages"][1]["content"]
    assert content[:4] == [THOUGHT, SEALED, words("I look."), USE]
    assert content[0]["signature"] == SIGNATURE
    assert FORMAT["format"] in orjson.dumps(asked[1]).decode()


async def test_an_attempt_speaks_to_it_through_the_wired_worker():
    transport = Transport(AioTransport(proxies={}))
    try:
        async with serving(always(json_reply(message(words("Hi"))))) as server:
            where = deployment(f"{server.url}/v1", type="anthropic")
            known = catalog_of(where, quirks={"alpha": KNOWN})
            asked = {"model": "auto", "messages": ASKED, "seed": 5}
            report = await attempt.run(claim(request=asked), context(transport, known))
            head, sent = server.requests[0]
    finally:
        await transport.aclose()
    assert report.verdict is Verdict.COMPLETE
    assert report.attempt["dropped"] == ["seed"]
    assert head.startswith(b"POST /v1/messages ")
    assert b"x-api-key" in head.lower()
    assert orjson.loads(sent)["max_tokens"] == 4_096
