import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import httpx2
import openai
import pytest

from simulator import expected_answer, load_config, running

ROOT = Path(__file__).resolve().parents[2]
PROVIDER = {
    "models": ["m", {"id": "e", "kinds": ["embedding"], "dimensions": 8}],
    "output": {"median_tokens": 12, "tokens_per_s": 2_000},
}
LIMITED = {"models": ["m"], "limits": {"rpm": 1}}
MESSAGES = [{"role": "user", "content": "How deep is the water?"}]


@pytest.fixture(scope="module")
def address():
    config = {"own_ports": True, "providers": {"alpha": PROVIDER, "beta": LIMITED}}
    with running(load_config(config)) as where:
        yield where


@pytest.fixture(autouse=True)
def fresh(address):
    httpx2.post(f"{address.admin_url}/reset")


@pytest.fixture
async def client(address):
    url = address.base_urls["alpha"]
    async with openai.AsyncOpenAI(base_url=url, api_key="sk-sim-alpha-1", max_retries=0) as sdk:
        yield sdk


async def arm(address, **fault):
    async with httpx2.AsyncClient() as http:
        answer = await http.post(f"{address.admin_url}/faults", json=fault)
        assert answer.status_code == 200, answer.text


async def state(address):
    async with httpx2.AsyncClient() as http:
        return (await http.get(f"{address.admin_url}/state")).json()["providers"]


async def until(address, outcome):
    """Wait for the provider to have counted this outcome."""
    while outcome not in (await state(address))["alpha"]["total"]["outcomes"]:  # noqa: ASYNC110 - it can only be asked
        await asyncio.sleep(0.01)


async def test_the_sdk_chats(client):
    answer = await client.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content.startswith(expected_answer(MESSAGES))
    assert answer.usage.completion_tokens == 12


async def test_the_sdk_streams_with_usage_at_the_end(client):
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.startswith(expected_answer(MESSAGES))
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 12


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_gets_a_tool_call_with_arguments_of_the_schema(client, stream):
    parameters = {"type": "object", "properties": {"depth_m": {"type": "integer", "minimum": 2}}}
    tool = {"type": "function", "function": {"name": "measure", "parameters": parameters}}
    request = {"model": "m", "messages": MESSAGES, "tools": [tool], "tool_choice": "required"}
    if stream:
        async with client.chat.completions.stream(**request) as events:
            completion = await events.get_final_completion()
    else:
        completion = await client.chat.completions.create(**request)
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.name == "measure"
    assert choice.message.tool_calls[0].function.arguments == '{"depth_m":2}'


async def test_the_sdk_gets_a_document_of_the_schema(client):
    schema = {"type": "object", "properties": {"deep": {"type": "boolean"}}}
    answer = await client.chat.completions.create(
        model="m",
        messages=MESSAGES,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert answer.choices[0].message.content == '{"deep":true}'


async def test_the_sdk_embeds_in_both_encodings(client):
    packed = await client.embeddings.create(model="e", input=["a", "b"])
    plain = await client.embeddings.create(model="e", input="a", encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert packed.data[0].embedding != packed.data[1].embedding
    short = await client.embeddings.create(model="e", input="a", dimensions=3)
    assert len(short.data[0].embedding) == 3


async def test_the_sdk_lists_models(client):
    assert [model.id async for model in client.models.list()] == ["m", "e"]
    assert (await client.models.retrieve("e")).id == "e"


async def test_the_sdk_raises_its_own_errors(client, address):
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="x", messages=MESSAGES)
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="no").chat.completions.create(
            model="m", messages=MESSAGES
        )
    limited = client.with_options(base_url=address.base_urls["beta"], api_key="sk-sim-beta-1")
    await limited.chat.completions.create(model="m", messages=MESSAGES)
    with pytest.raises(openai.RateLimitError) as caught:
        await limited.chat.completions.create(model="m", messages=MESSAGES)
    assert int(caught.value.response.headers["retry-after-ms"]) <= 60_000


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "broken_stream"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_broken_connection_is_one_and_is_counted_as_such(client, address, kind, stream):
    await arm(address, kind=kind, provider="alpha", count=1)
    with pytest.raises((openai.APIConnectionError, httpx2.RemoteProtocolError)):
        await consume(client, stream=stream)
    await until(address, f"fault:{kind}")
    total = (await state(address))["alpha"]["total"]
    assert total["admitted"] == (0 if kind == "drop_before" else 1)
    again = await client.chat.completions.create(model="m", messages=MESSAGES)
    assert again.choices[0].message.content.startswith(expected_answer(MESSAGES))


async def test_a_broken_stream_ends_in_the_middle_of_a_line(address):
    await arm(address, kind="broken_stream", provider="alpha", after_chunks=2)
    body = {"model": "m", "messages": MESSAGES, "stream": True}
    headers = {"authorization": "Bearer sk-sim-alpha-1"}
    url = f"{address.base_urls['alpha']}/chat/completions"
    got = b""
    async with aiohttp.ClientSession(headers=headers) as http:
        with contextlib.suppress(aiohttp.ClientPayloadError):
            async with http.post(url, json=body) as answer:
                async for part in answer.content.iter_any():
                    got += part
    assert got.count(b"\n\n") == 3
    assert not got.endswith(b"\n")


@pytest.mark.parametrize("kind", ["stall", "stall_midstream"])
async def test_a_stall_lasts_until_the_client_gives_up_and_frees_its_place(client, address, kind):
    await arm(address, kind=kind, provider="alpha", count=1)
    call = asyncio.create_task(consume(client))
    while not (await state(address))["alpha"]["total"]["admitted"]:  # noqa: ASYNC110 - it can only be asked
        await asyncio.sleep(0.01)
    assert not call.done()
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    await until(address, f"fault:{kind}")
    account = (await state(address))["alpha"]["models"]["m"]["alpha-1"]
    assert account["concurrency"]["now"] == 0


async def consume(client, *, stream=True):
    answer = await client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
    if stream:
        async for _ in answer:
            pass


async def test_a_connection_can_be_refused_on_a_port_of_ones_own(client, address):
    await arm(address, kind="refuse", provider="alpha", count=1)
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="m", messages=MESSAGES)
    await client.chat.completions.create(model="m", messages=MESSAGES)


async def test_a_client_that_leaves_is_counted_as_aborted(client, address):
    stream = await client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "long [[tokens:4000]]"}],
        stream=True,
        max_tokens=4_000,
    )
    async for _ in stream:
        break
    await stream.close()
    await until(address, "aborted")


async def test_an_async_block_runs_a_simulator_too():
    config = load_config({"providers": {"alpha": {"models": ["m"]}}})
    async with running(config) as address:
        assert address.base_urls["alpha"] == f"{address.url}/alpha/v1"
        async with httpx2.AsyncClient() as http:
            assert (await http.get(f"{address.admin_url}/state")).status_code == 200


def test_a_port_that_is_taken_is_an_error_at_once(address):
    port = int(address.url.rpartition(":")[2])
    with (
        pytest.raises(RuntimeError, match="did not start"),
        running(load_config({"providers": {"alpha": {"models": ["m"]}}}), port=port),
    ):
        pass


def test_the_child_dies_with_its_parent_even_on_sigkill():
    script = (
        "import time; from simulator import preset, running\n"
        "r = running(preset('unlimited')); r.__enter__(); print(r.pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    while Path(f"/proc/{child}/stat").exists() and not is_zombie(child):
        os.sched_yield()


def is_zombie(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_the_command_says_where_it_serves_and_ends_on_a_signal():
    command = [sys.executable, "-m", "simulator", "--preset", "makespan", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        lines = [process.stdout.readline() for _ in range(4)]
        process.terminate()
    assert lines[0].startswith("simulator on http://127.0.0.1:")
    assert "speed 10" in lines[0]
    assert "/alpha/v1  key sk-sim-alpha-1" in lines[1]


def test_the_command_names_what_is_wrong(tmp_path):
    path = tmp_path / "sim.yaml"
    path.write_text("providers: {alpha: {model: [m]}}")
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "--config", path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == ("simulator: providers.alpha: unknown key 'model'; nearest is 'models'\n")


def test_a_simulator_begins_without_what_only_sound_needs():
    code = "import simulator.child, sys; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
