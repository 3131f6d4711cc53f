"""The official openai SDK, unmodified, over a real socket."""

import openai
import pytest
from api_fakes import ALICE, CHAT, COMPLETION, FakeStore, chunk
from api_servers import running

from shared.core.model import Kind

VECTOR = [0.25, -0.5]
EMBEDDINGS = {
    "object": "list",
    "model": "embed",
    "data": [{"object": "embedding", "index": 0, "embedding": VECTOR}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}


def working(store):
    def work(job_id):
        row = store.rows[job_id]
        store.start(job_id)
        if row.record.kind is Kind.EMBEDDING:
            store.complete(job_id, EMBEDDINGS)
            return
        if row.record.doc["stream"]:
            store.delta(job_id, chunk("Hel"))
            store.delta(job_id, chunk("lo.", "stop"))
        store.complete(job_id, COMPLETION)

    store.on_accept = work
    return store


@pytest.fixture
def server():
    with running(working(FakeStore())) as made:
        yield made


@pytest.fixture
def sdk(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=ALICE, max_retries=0) as made:
        yield made


def test_it_chats(sdk):
    answer = sdk.chat.completions.create(**CHAT)
    assert answer.choices[0].message.content == "Hello."
    assert (answer.model, answer.usage.total_tokens) == ("sim-2026", 10)


def test_it_streams_with_usage(sdk):
    stream = sdk.chat.completions.create(
        **CHAT, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello."
    assert chunks[-1].usage.total_tokens == 10


def test_it_embeds(sdk):
    answer = sdk.embeddings.create(model="embed", input="a", encoding_format="float")
    assert answer.data[0].embedding == VECTOR


def test_it_lists_and_finds_models(sdk):
    assert "alpha/sim" in {model.id for model in sdk.models.list()}
    assert sdk.models.retrieve("alpha/org/deep/name").owned_by == "alpha"


def test_it_raises_what_it_should(sdk, server):
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.chat.completions.create(**{**CHAT, "model": "nope"})
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.chat.completions.create(**{**CHAT, "temperature": 9})
    assert bad.value.param == "temperature"
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="hr_wrong").models.list()


def test_it_raises_an_error_in_the_middle_of_a_stream(sdk, server):
    def work(job_id):
        server.store.delta(job_id, chunk("Hel"))
        server.store.fail(job_id, {"message": "it broke", "status": 502})

    server.store.on_accept = work
    stream = sdk.chat.completions.create(**CHAT, stream=True)
    with pytest.raises(openai.APIError, match="it broke"):
        list(stream)


def test_it_does_not_repeat_a_job_that_failed(sdk, server):
    server.store.on_accept = lambda job_id: server.store.fail(job_id, {"status": 503})
    with pytest.raises(openai.InternalServerError):
        sdk.with_options(max_retries=3).chat.completions.create(**CHAT)
    assert len(server.store.rows) == 1


def test_it_comes_back_when_the_store_was_away(sdk, server):
    store = server.store
    store.down = True
    real = store._check

    def check():
        real_down, store.down = store.down, False
        if real_down:
            store.down = True
            try:
                real()
            finally:
                store.down = False

    store._check = check
    answer = sdk.with_options(max_retries=2).chat.completions.create(**CHAT)
    assert answer.choices[0].message.content == "Hello."
