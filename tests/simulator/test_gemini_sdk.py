"""google-genai on the simulator's Gemini."""

import json

import pytest
from google import genai
from google.genai import errors, types
from simulated_hosts import ASKS, ASKS_TOOL, CHAT, SMALL, TINY, weather

from simulator import expected_answer

HEAD = expected_answer([{"role": "user", "content": ASKS}])


@pytest.fixture
def sdk(plays):
    found = client(plays)
    yield found
    found.close()


def client(plays, key="sk-gemini"):
    options = types.HttpOptions(base_url=plays.root("gemini"), api_version="v1beta")
    return genai.Client(api_key=key, http_options=options, vertexai=False)


def tool_config(**more):
    declared = types.FunctionDeclaration(**weather("parameters_json_schema"))
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=off,
        **more,
    )


def test_a_chat_is_answered_with_its_usage(sdk):
    config = types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=9)
    answer = sdk.models.generate_content(model=CHAT, contents=ASKS, config=config)
    assert answer.text.startswith(HEAD)
    assert answer.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
    usage = answer.usage_metadata
    assert usage.candidates_token_count == 9
    assert usage.total_token_count == usage.prompt_token_count + 9


def test_a_stream_says_the_same_and_counts_on_every_chunk(sdk):
    chunks = list(sdk.models.generate_content_stream(model=CHAT, contents=ASKS))
    whole = sdk.models.generate_content(model=CHAT, contents=ASKS).text
    assert "".join(chunk.text or "" for chunk in chunks) == whole
    assert [chunk.candidates[0].finish_reason for chunk in chunks][-1] == "STOP"
    assert all(chunk.usage_metadata.prompt_token_count for chunk in chunks)


def test_a_function_is_called_whole_and_its_signature_must_come_back(sdk):
    answer = sdk.models.generate_content(model=CHAT, contents=ASKS_TOOL, config=tool_config())
    part = answer.candidates[0].content.parts[0]
    assert part.function_call.name == "weather_in"
    assert part.function_call.args["town"].startswith("sim-")
    result = types.Part.from_function_response(name="weather_in", response={"result": "wet"})
    history = [types.Content(role="user", parts=[types.Part(text=ASKS_TOOL)])]
    told = types.Content(role="user", parts=[result])
    done = sdk.models.generate_content(
        model=CHAT, contents=[*history, answer.candidates[0].content, told], config=tool_config()
    )
    assert done.text.startswith("sim-")
    bare = types.Part(function_call=part.function_call)
    with pytest.raises(errors.ClientError, match="thought_signature"):
        sdk.models.generate_content(
            model=CHAT,
            contents=[*history, types.Content(role="model", parts=[bare]), told],
            config=tool_config(),
        )


def test_a_forced_function_is_called_though_nobody_names_it(sdk):
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather_in"])
    config = tool_config(tool_config=types.ToolConfig(function_calling_config=calling))
    chunks = list(sdk.models.generate_content_stream(model=CHAT, contents="?", config=config))
    assert chunks[0].function_calls[0].name == "weather_in"


def test_json_follows_its_schema(sdk):
    schema = {"type": "OBJECT", "properties": {"rounds": {"type": "INTEGER", "minimum": 3}}}
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=schema
    )
    answer = sdk.models.generate_content(model=CHAT, contents=ASKS, config=config)
    assert json.loads(answer.text) == {"rounds": 3}


def test_a_wrong_key_is_a_400_with_its_reason(plays):
    with client(plays, "sk-stranger") as stranger, pytest.raises(errors.ClientError) as caught:
        stranger.models.generate_content(model=CHAT, contents=ASKS)
    assert caught.value.code == 400
    assert caught.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


def test_a_model_that_is_not_there_and_a_question_too_long_are_told_apart(sdk):
    with pytest.raises(errors.ClientError) as gone:
        sdk.models.generate_content(model="sim-none", contents=ASKS)
    assert (gone.value.code, gone.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError, match="input token count") as long:
        sdk.models.generate_content(model=SMALL, contents="word " * 100)
    assert long.value.code == 400


def test_a_minute_that_is_spent_tells_its_quota_and_its_delay_in_the_body_only(sdk):
    for _ in range(2):
        sdk.models.generate_content(model=TINY, contents=ASKS)
    with pytest.raises(errors.ClientError) as caught:
        sdk.models.generate_content(model=TINY, contents=ASKS)
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    failure, _, retry = caught.value.details["error"]["details"]
    (violation,) = failure["violations"]
    assert violation["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert violation["quotaValue"] == "2"
    assert 0 < float(retry["retryDelay"].removesuffix("s")) <= 60
    assert "retry-after" not in caught.value.response.headers


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_blocked_has_no_candidate(plays, sdk, stream):
    plays.arm("gemini", kind="filtered")
    if stream:
        answer = next(iter(sdk.models.generate_content_stream(model=CHAT, contents=ASKS)))
    else:
        answer = sdk.models.generate_content(model=CHAT, contents=ASKS)
    assert not answer.candidates
    assert answer.prompt_feedback.block_reason == "SAFETY"


def test_texts_are_embedded_tokens_counted_and_models_listed(sdk):
    answer = sdk.models.embed_content(model="sim-embed", contents=["a", "b"])
    assert [len(each.values) for each in answer.embeddings] == [8, 8]
    counted = sdk.models.count_tokens(model=CHAT, contents=ASKS)
    said = sdk.models.generate_content(model=CHAT, contents=ASKS).usage_metadata
    assert counted.total_tokens == said.prompt_token_count
    assert f"models/{CHAT}" in {model.name for model in sdk.models.list()}


def test_without_alt_sse_a_stream_is_one_array(plays):
    answer = plays.http.post(
        f"{plays.base('gemini')}/models/{CHAT}:streamGenerateContent?key=sk-gemini",
        json={"contents": [{"parts": [{"text": ASKS}]}]},
    )
    text = "".join(c["candidates"][0]["content"]["parts"][0]["text"] for c in answer.json())
    assert text.startswith(HEAD)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        {"contents": [], "generationConfig": {}},
        {"messages": []},
        {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]},
        {"contents": [{"role": "model", "parts": [{"text": "x"}]}]},
        {"contents": [{"parts": [{"text": ""}]}]},
        {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"max_tokens": 3}},
        {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"candidateCount": 2}},
        {
            "contents": [{"parts": [{"text": "x"}]}],
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"$ref": "#"}}]}],
        },
    ],
)
def test_a_request_that_gemini_would_refuse_is_refused(plays, body):
    answer = plays.http.post(
        f"{plays.base('gemini')}/models/{CHAT}:generateContent",
        json=body,
        headers={"x-goog-api-key": "sk-gemini"},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
