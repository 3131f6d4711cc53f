"""Token counts."""

import socket
import time
from pathlib import Path

import pytest

from shared import tokens
from shared.errors import ConfigError

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello world"}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("hello world", 2), ("tiktoken is great!", 6), ("antidisestablishmentarianism", 6)],
)
def test_counts_are_those_of_o200k(text, expected):
    assert tokens.count(text) == expected


def test_special_tokens_and_broken_text_are_ordinary_text():
    assert tokens.count("<|endoftext|>") > 1
    assert tokens.count("a \ud800 b") > 0


def test_nothing_is_fetched(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    tokens._encoding.cache_clear()
    assert tokens.count("hello world") == 2


def test_a_missing_or_changed_rank_file_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(tokens.importlib.resources, "files", lambda _name: tmp_path)
    with pytest.raises(ConfigError, match="run: make setup"):
        tokens._ranks()
    (tmp_path / "data").mkdir()
    packed = tokens.gzip.compress(b"IQ== 0\n")
    (tmp_path / "data/o200k_base.tiktoken.gz").write_bytes(packed[:-9])
    with pytest.raises(ConfigError, match=r"cannot be read.*run: make setup"):
        tokens._ranks()
    (tmp_path / "data/o200k_base.tiktoken.gz").write_bytes(packed)
    with pytest.raises(ConfigError, match="not the known ones"):
        tokens._ranks()


def test_a_chat_costs_its_texts_and_three_a_message_and_three():
    # 3 for the reply + 3 for the message + "user" 1 + "hello world" 2
    assert tokens.count_chat(CHAT) == 9
    named = {"messages": [{"role": "user", "name": "bob", "content": "hello world"}]}
    assert tokens.count_chat(named) == 9 + 1 + tokens.count("bob")


def test_parts_tools_and_schemas_count():
    parts = [{"type": "text", "text": "hello world"}]
    assert tokens.count_chat({"messages": [{"role": "user", "content": parts}]}) == 9
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert tokens.count_chat({**CHAT, "tools": [tool]}) > 9 + 20
    shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    assert tokens.count_chat({**CHAT, "response_format": shape}) > 9 + 5
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    assert tokens.count_chat({"messages": [{"role": "assistant", "tool_calls": [call]}]}) > 7 + 8


def test_an_image_counts_by_its_detail_and_not_by_its_bytes():
    def chat(detail, size):
        image = {"url": "data:image/png;base64," + "A" * size, "detail": detail}
        part = {"type": "image_url", "image_url": image}
        return tokens.count_chat({"messages": [{"role": "user", "content": [part]}]})

    assert chat("low", 10) == chat("low", 100_000) == 7 + 85
    assert chat("high", 10) == chat("auto", 10) == 7 + 765


def test_audio_and_files_count_by_their_length():
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 17_000, "format": "mp3"}}
    file = {"type": "file", "file": {"file_data": "A" * 3_200}}
    counted = tokens.count_chat({"messages": [{"role": "user", "content": [audio, file]}]})
    assert counted == 7 + 100 + 100


@pytest.mark.parametrize(
    "request_", [{}, {"messages": None}, {"messages": "x"}, {"messages": [5, {"content": 7}]}]
)
def test_what_is_no_chat_is_counted_without_raising(request_):
    assert tokens.count_chat(request_) >= 3


@pytest.mark.parametrize(
    ("request_input", "expected"),
    [
        ("hello world", 2),
        (["hello world", "hello world"], 4),
        ([1, 2, 3], 3),
        ([[1, 2], [3]], 3),
        ([], 0),
        (None, 0),
    ],
)
def test_embedding_inputs_count_in_every_form(request_input, expected):
    assert tokens.count_embedding(request_input) == expected


@pytest.mark.parametrize("name", ["*.py", "*.md"])
def test_a_long_text_is_estimated_within_a_few_percent(name):
    root = Path(tokens.__file__).parents[1]
    found = sorted(root.glob(f"[a-z]*/**/{name}")) + sorted(root.glob(name))
    text = "\n".join(path.read_text() for path in found)
    text *= 1 + 400_000 // max(1, len(text))
    exact = len(tokens._encoding().encode_ordinary(text))
    assert tokens.count(text) == pytest.approx(exact, rel=0.06)


def test_exactness_ends_where_it_is_said_to():
    text = "word " * (tokens.EXACT_CHARS // 5)
    assert tokens.count(text) == len(tokens._encoding().encode_ordinary(text))
    assert tokens.count(text * 4) == pytest.approx(4 * tokens.count(text), rel=0.01)


def test_a_huge_prompt_costs_no_more_work_than_a_sample(monkeypatch):
    encoded = []

    class Counting:
        def encode_ordinary(self, text):
            encoded.append(len(text))
            return [0] * (len(text) // 4)

    monkeypatch.setattr(tokens, "_encoding", Counting)
    many = [{"role": "user", "content": "many words " * 1_000} for _ in range(300)]
    assert tokens.count_chat({"messages": many}) > 100_000
    assert sum(encoded) <= tokens.EXACT_CHARS


def test_loading_twice_costs_nothing():
    tokens.load()
    start = time.process_time()
    tokens.load()
    assert time.process_time() - start < 0.05
