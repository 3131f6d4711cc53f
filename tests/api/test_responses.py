"""`/v1/responses` by the official openai SDK, unmodified, over a real socket."""

from contextlib import ExitStack
from dataclasses import replace

import openai
import orjson
import pytest
from api_fakes import ALICE, BOB, COMPLETION, FakeStore, application, chunk, client_for, until
from api_servers import running
from pydantic import BaseModel

from shared.core.batch import Batch, BatchStatus

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
TOOL = {
    "type": "function",
    "name": "look",
    "description": "looks",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": False,
}


def answer(content="Hello.", finish="stop", **message):
    given = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": given, "finish_reason": finish, "logprobs": None}
    return {**COMPLETION, "choices": [choice]}


class Worker:
    """Plays the worker: streams two deltas, then completes with `result`."""

    def __init__(self, store, result=None):
        self.store, self.result = store, result or answer()
        store.on_accept = self.work

    def work(self, job_id):
        self.begin(job_id)
        self.end(job_id)

    def begin(self, job_id):
        self.store.start(job_id)
        if self.store.rows[job_id].record.doc["stream"]:
            self.store.delta(job_id, chunk("Hel"))
            self.store.delta(job_id, chunk("lo."))

    def end(self, job_id):
        if self.store.rows[job_id].record.doc["stream"]:
            self.store.delta(job_id, chunk(None, "stop"))
        self.store.complete(job_id, self.result)


@pytest.fixture
def server():
    with running(FakeStore()) as made:
        yield made


@pytest.fixture
def sdk():
    """Makes clients and closes them."""
    with ExitStack() as stack:
        yield lambda server, key=ALICE: stack.enter_context(
            openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)
        )


def asked(store):
    """The chat that the newest job asks for."""
    return list(store.rows.values())[-1].record.doc["request"]


def test_a_response_is_held_until_it_is_there(server, sdk):
    Worker(server.store)
    found = sdk(server).responses.create(
        model="sim", input="Say hello.", instructions="Be brief.", metadata={"a": "b"}
    )
    assert (found.status, found.output_text, found.model) == ("completed", "Hello.", "sim")
    assert found.usage.input_tokens == 7
    assert found.usage.total_tokens == 10
    assert (found.metadata, found.instructions) == ({"a": "b"}, "Be brief.")
    assert asked(server.store)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hello."},
    ]
    again = sdk(server).responses.retrieve(found.id)
    assert again.output == found.output


def test_a_stream_tells_openais_events_in_order(server, sdk):
    Worker(server.store)
    with sdk(server).responses.create(model="sim", input="hi", stream=True) as stream:
        events = list(stream)
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(10))
    assert events[-1].response.output_text == "Hello."


def test_the_sdks_own_accumulator_takes_the_stream(server, sdk):
    Worker(server.store)
    with sdk(server).responses.stream(model="sim", input="hi") as stream:
        texts = [e.delta for e in stream if e.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert ("".join(texts), final.output_text) == ("Hello.", "Hello.")


def test_a_response_in_the_background_is_polled(server, sdk):
    worker = Worker(server.store)
    server.store.on_accept = None
    client = sdk(server)
    first = client.responses.create(model="sim", input="hi", background=True)
    assert (first.status, first.background, first.output) == ("queued", True, [])
    job_id = server.store.only
    assert server.store.rows[job_id].job.told_as == "response"
    server.store.start(job_id)
    assert client.responses.retrieve(first.id).status == "in_progress"
    server.store.complete(job_id, worker.result)
    last = client.responses.retrieve(first.id)
    assert (last.status, last.output_text) == ("completed", "Hello.")
    assert last.completed_at is not None


def test_a_stream_in_the_background_is_taken_up_again_where_it_broke_off(server, sdk):
    worker = Worker(server.store)
    server.store.on_accept = worker.begin
    client = sdk(server)
    seen = []
    with client.responses.create(model="sim", input="hi", background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    assert [e.type for e in seen[:3]] == [
        "response.created", "response.queued", "response.in_progress",
    ]  # fmt: skip
    assert server.store.cancelled == []
    worker.end(server.store.only)
    id_, last = seen[0].response.id, seen[-1].sequence_number
    with client.responses.retrieve(id_, stream=True, starting_after=last) as stream:
        rest = list(stream)
    numbers = [event.sequence_number for event in (*seen, *rest)]
    assert numbers == list(range(len(numbers)))
    assert rest[0].delta == "lo."
    assert rest[-1].response.output_text == "Hello."
    with client.responses.stream(response_id=id_, starting_after=last) as stream:
        assert [event.sequence_number for event in stream] == [e.sequence_number for e in rest]
        assert stream.get_final_response().output_text == "Hello."


def test_only_a_stream_of_the_background_is_streamed_again(server, sdk):
    Worker(server.store)
    client = sdk(server)
    held = client.responses.create(model="sim", input="hi")
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.retrieve(held.id, stream=True)
    assert caught.value.code == "not_streamable"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.cancel(held.id)
    assert caught.value.code == "not_cancellable"


def test_a_response_in_the_background_is_cancelled_once_and_for_all(server, sdk):
    client = sdk(server)
    first = client.responses.create(model="sim", input="hi", background=True)
    assert client.responses.cancel(first.id).status == "cancelled"
    assert client.responses.cancel(first.id).status == "cancelled"
    assert client.responses.retrieve(first.id).status == "cancelled"


def test_a_deleted_response_is_gone(server, sdk):
    Worker(server.store)
    client = sdk(server)
    found = client.responses.create(model="sim", input="hi")
    client.responses.delete(found.id)
    assert server.store.rows == {}
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(found.id)


def test_a_response_that_is_deleted_while_it_is_streamed_has_not_failed(server, sdk):
    server.store.on_accept = Worker(server.store).begin
    client = sdk(server)
    with client.responses.create(model="sim", input="hi", background=True, stream=True) as stream:
        events = iter(stream)
        client.responses.delete(next(events).response.id)
        last = [event.type for event in events][-1]
    assert last == "response.output_text.delta"


def test_a_line_of_a_batch_is_deleted_only_when_its_batch_is_done(server, sdk):
    """Its answer is read once more, for the output file; and fed again it would be another job."""
    store = server.store
    Worker(store)
    client = sdk(server)
    found = client.responses.create(model="sim", input="hi")
    store.rows[store.only].record.doc["batch"] = "batch_1"
    batch = Batch(
        id="batch_1", tenant="alice", endpoint="/v1/responses", input_file_id="file-1",
        window="24h", status=BatchStatus.IN_PROGRESS, created_ms=0, expires_ms=1,
    )  # fmt: skip
    store.bulk.batches.rows["batch_1"] = batch
    with pytest.raises(openai.ConflictError) as caught:
        client.responses.delete(found.id)
    assert caught.value.code == "response_in_use"
    assert client.responses.retrieve(found.id).output_text == "Hello."
    store.bulk.batches.rows["batch_1"] = replace(batch, status=BatchStatus.COMPLETED)
    client.responses.delete(found.id)
    assert store.rows == {}


def test_what_is_not_to_be_stored_is_not_given_out_again(server, sdk):
    Worker(server.store)
    client = sdk(server)
    found = client.responses.create(model="sim", input="hi", store=False)
    assert found.output_text == "Hello."
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(found.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="sim", input="hi", store=False, background=True)
    assert caught.value.param == "store"


def test_a_list_in_a_query_may_have_several_values(server, sdk):
    Worker(server.store)
    client = sdk(server)
    found = client.responses.create(model="sim", input="hi")
    wanted = ["reasoning.encrypted_content", "message.input_image.image_url"]
    assert client.responses.retrieve(found.id, include=wanted).output_text == "Hello."
    assert client.responses.input_items.list(found.id, include=wanted).data


def test_what_a_response_was_asked_is_listed_a_page_at_a_time(server, sdk):
    Worker(server.store)
    client = sdk(server)
    first = client.responses.create(model="sim", input="one", instructions="Be brief.")
    second = client.responses.create(model="sim", input="two", previous_response_id=first.id)

    def texts(**more):
        page = client.responses.input_items.list(second.id, **more)
        return [item.content[0].text for item in page]

    assert texts(order="asc") == texts(order="asc", limit=1) == ["one", "Hello.", "two"]
    assert texts() == ["two", "Hello.", "one"]
    page = client.responses.input_items.list(second.id, limit=1)
    assert (page.has_more, page.first_id) == (True, page.data[0].id)
    for bad in ({"order": "up"}, {"limit": 101}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.input_items.list(second.id, **bad)
        assert (caught.value.param, caught.value.code) == (next(iter(bad)), "invalid_value")
    for given, after in ((second.id, "msg_x"), ("resp_nope", openai.omit)):
        with pytest.raises(openai.NotFoundError):
            client.responses.input_items.list(given, after=after)
    with pytest.raises(openai.NotFoundError):
        sdk(server, BOB).responses.input_items.list(second.id)


def test_what_was_not_said_is_shown_as_openais_defaults(server, sdk):
    Worker(server.store)
    found = sdk(server).responses.create(
        model="sim", input="x", text={"verbosity": "low"}, max_tool_calls=3, prompt_cache_key="k",
        extra_body={"temperature": None, "top_p": None},
    )  # fmt: skip
    assert (found.temperature, found.top_p, found.service_tier) == (1.0, 1.0, "default")
    assert (found.max_tool_calls, found.top_logprobs, found.prompt_cache_key) == (3, 0, "k")
    assert (found.text.format.type, found.text.verbosity) == ("text", "low")
    assert asked(server.store)["verbosity"] == "low"


def test_another_tenants_response_is_not_there(server, sdk):
    Worker(server.store)
    found = sdk(server).responses.create(model="sim", input="hi")
    other = sdk(server, BOB)
    for call in (other.responses.retrieve, other.responses.cancel, other.responses.delete):
        with pytest.raises(openai.NotFoundError):
            call(found.id)
    with pytest.raises(openai.BadRequestError) as caught:
        other.responses.create(model="sim", input="more", previous_response_id=found.id)
    assert caught.value.param == "previous_response_id"


def test_a_conversation_goes_on_from_the_response_before_without_its_instructions(server, sdk):
    Worker(server.store)
    client = sdk(server)
    first = client.responses.create(model="sim", input="one", instructions="Be brief.")
    second = client.responses.create(model="sim", input="two", previous_response_id=first.id)
    client.responses.create(
        model="sim", input="three", previous_response_id=second.id, instructions="Be long."
    )
    assert [(m["role"], m["content"]) for m in asked(server.store)["messages"]] == [
        ("system", "Be long."),
        ("user", "one"),
        ("assistant", "Hello."),
        ("user", "two"),
        ("assistant", "Hello."),
        ("user", "three"),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_go_back(server, sdk, stream):
    worker = Worker(server.store, answer(None, "tool_calls", tool_calls=[CALL]))
    if stream:
        server.store.on_accept = lambda job_id: worker.store.complete(job_id, worker.result)
    client = sdk(server)
    if stream:
        with client.responses.stream(model="sim", input="look", tools=[TOOL]) as streamed:
            kinds = [event.type for event in streamed]
            first = streamed.get_final_response()
        assert "response.function_call_arguments.delta" in kinds
        assert "response.function_call_arguments.done" in kinds
    else:
        first = client.responses.create(model="sim", input="look", tools=[TOOL])
    (call,) = first.output
    assert (call.type, call.name, call.call_id) == ("function_call", "look", "call_1")
    assert orjson.loads(call.arguments) == {"a": 1}
    chat = asked(server.store)
    assert chat["tools"][0]["function"]["name"] == "look"
    Worker(server.store)
    result = {"type": "function_call_output", "call_id": "call_1", "output": "seen"}
    client.responses.create(model="sim", input=[result], previous_response_id=first.id)
    assert asked(server.store)["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
    ]


def test_a_schema_is_asked_for_and_parsed(server, sdk):
    class Place(BaseModel):
        city: str

    Worker(server.store, answer('{"city":"Ulm"}'))
    found = sdk(server).responses.parse(model="org/deep/name", input="where", text_format=Place)
    assert found.output_parsed == Place(city="Ulm")
    shape = asked(server.store)["response_format"]
    assert (shape["type"], shape["json_schema"]["name"]) == ("json_schema", "Place")


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_short_is_incomplete(server, sdk, finish, reason):
    Worker(server.store, answer("Hel", finish))
    client = sdk(server)
    found = client.responses.create(model="sim", input="hi", max_output_tokens=16)
    assert (found.status, found.incomplete_details.reason) == ("incomplete", reason)
    assert asked(server.store)["max_completion_tokens"] == 16
    assert client.responses.retrieve(found.id).status == "incomplete"


def test_a_refusal_is_a_part_of_the_message(server, sdk):
    Worker(server.store, answer(None, refusal="No."))
    found = sdk(server).responses.create(model="sim", input="hi")
    assert found.output[0].content[0].refusal == "No."


def test_a_job_that_fails_is_an_error_when_held_and_a_status_in_the_background(server, sdk):
    store = server.store

    def fail(job_id):
        store.start(job_id)
        store.fail(job_id, {"message": "broken", "type": "upstream_error", "status": 502})

    store.on_accept = fail
    client = sdk(server)
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="sim", input="hi")
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="sim", input="hi", stream=True)
    with client.responses.create(model="sim", input="hi", background=True, stream=True) as stream:
        events = list(stream)
    assert events[-1].type == "response.failed"
    found = client.responses.retrieve(events[0].response.id)
    assert (found.status, found.error.message) == ("failed", "broken")


def test_a_stream_of_a_provider_that_does_not_stream_is_told_at_its_end(server, sdk):
    store = server.store
    store.on_accept = lambda job_id: store.complete(job_id, answer("Whole."))
    with sdk(server).responses.stream(model="sim", input="hi") as stream:
        assert stream.get_final_response().output_text == "Whole."


async def test_a_dropped_stream_cancels_its_job_unless_it_is_of_the_background():
    store = FakeStore()
    app, _ = application(store, disconnect_grace_s=0.0)
    for background, cancelled in ((True, 0), (False, 1)):
        body = {"model": "sim", "input": "hi", "stream": True, "background": background}
        await dropped(app, store, body)
        if cancelled:
            await until(lambda: store.cancelled)
        assert len(store.cancelled) == cancelled


async def dropped(app, store, body):
    """A client that hangs up once its job is there."""
    count = len(store.rows)
    sent = [{"type": "http.request", "body": orjson.dumps(body), "more_body": False}]

    async def receive():
        if sent:
            return sent.pop()
        await until(lambda: len(store.rows) > count)
        return {"type": "http.disconnect"}

    async def send(_message):
        pass

    headers = [(b"authorization", f"Bearer {ALICE}".encode())]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/responses", "raw_path": b"/v1/responses",
        "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
        "server": ("x", 80), "client": ("y", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "hi"}, "model"),
        ({"model": "sim"}, "input"),
        ({"model": "sim", "input": []}, "input"),
        ({"model": "sim", "input": 5}, "input"),
        ({"model": "sim", "input": "hi", "safety_identifier": 5}, "safety_identifier"),
        ({"model": "sim", "input": "hi", "prompt_cache_key": {"a": 1}}, "prompt_cache_key"),
        ({"model": "sim", "input": "hi", "service_tier": ["auto"]}, "service_tier"),
        ({"model": "sim", "input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"model": "sim", "input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"model": "sim", "input": [{"role": "user", "content": []}]}, "input[0].content"),
        (
            {"model": "sim", "input": [{"role": "user", "content": [{"type": "video"}]}]},
            "input[0].content[0].type",
        ),
        (
            {"model": "sim", "input": [{"type": "function_call_output", "output": "x"}]},
            "input[0].call_id",
        ),
        ({"model": "sim", "input": [{"type": "reasoning", "summary": []}]}, "input"),
        ({"model": "sim", "input": "hi", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"model": "sim", "input": "hi", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": "sim", "input": "hi", "tool_choice": {"type": "x"}}, "tool_choice"),
        ({"model": "sim", "input": "hi", "temperature": 3}, "temperature"),
        ({"model": "sim", "input": "hi", "max_output_tokens": 401}, "max_output_tokens"),
        ({"model": "sim", "input": "word " * 2000}, "input"),
        ({"model": "sim", "input": "hi", "conversation": "conv_1"}, "conversation"),
        ({"model": "sim", "prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"model": "sim", "input": "hi", "top_logprobs": 2}, "top_logprobs"),
        ({"model": "sim", "input": "hi", "include": ["message.output_text.logprobs"]}, "include"),
        ({"model": "sim", "input": "hi", "max_tool_calls": 0}, "max_tool_calls"),
        ({"model": "sim", "input": "hi", "text": {"verbosity": "some"}}, "text.verbosity"),
        ({"model": "sim", "input": "hi", "previous_response_id": "x"}, "previous_response_id"),
        (
            {"model": "sim", "input": "hi", "text": {"format": {"type": "json_schema"}}},
            "text.format.name",
        ),
    ],
)
async def test_what_cannot_be_served_is_a_400_that_names_it(store, body, param):
    app, _ = application(store)
    async with client_for(app) as http:
        found = await http.post("/v1/responses", json=body)
    assert (found.status_code, found.json()["error"]["param"]) == (400, param)
    assert found.json()["error"]["message"].count("messages") == 0
    assert store.rows == {}


def turn(number, words):
    return [
        {"role": "user", "content": f"question {number} " + "word " * words},
        {"role": "assistant", "content": f"answer {number} " + "word " * words},
    ]


LONG = [*turn(1, 200), *turn(2, 200), *turn(3, 100), {"role": "user", "content": "And now?"}]


def test_a_conversation_too_long_for_the_model_loses_its_oldest_turns_if_wished(server, sdk):
    Worker(server.store)
    client = sdk(server)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="sim", input=LONG, max_output_tokens=100)
    assert caught.value.code == "context_length_exceeded"
    found = client.responses.create(
        model="sim", input=LONG, max_output_tokens=100, truncation="auto", instructions="Be brief."
    )
    assert (found.truncation, found.headrace) == ("auto", {"dropped_messages": 2})
    said = [one["content"].split(" word")[0] for one in asked(server.store)["messages"]]
    assert said == ["Be brief.", "question 2", "answer 2", "question 3", "answer 3", "And now?"]
    assert client.responses.retrieve(found.id).headrace == {"dropped_messages": 2}
    short = client.responses.create(model="sim", input="And now?", truncation="auto")
    assert not hasattr(short, "headrace")


def test_what_no_turn_less_would_make_fit_is_refused_as_ever(server, sdk):
    with pytest.raises(openai.BadRequestError) as caught:
        sdk(server).responses.create(model="sim", input="word " * 5000, truncation="auto")
    assert (caught.value.param, caught.value.code) == ("input", "context_length_exceeded")


def test_input_tokens_are_counted_and_nothing_is_run(server, sdk):
    client = sdk(server)
    count = client.responses.input_tokens.count
    one = count(model="sim", input="How long is this?")
    assert (one.object, one.input_tokens) == ("response.input_tokens", 12)
    more = count(model="sim", input="How long is this?", instructions="Be brief.", tools=[TOOL])
    assert more.input_tokens > 12 + 20
    whole = count(model="sim", input=LONG).input_tokens  # too long to be answered, not to count
    assert whole > 1000 > count(model="sim", input=LONG, truncation="auto").input_tokens > 200
    assert not server.store.rows
    for bad, param in (({"model": "nope"}, "model"), ({"input": []}, "input")):
        with pytest.raises(openai.APIStatusError) as caught:
            count(**{"model": "sim", "input": "x", **bad})
        assert caught.value.param == param
    with pytest.raises(openai.BadRequestError) as caught:
        count(input="x")
    assert caught.value.param == "model"
