"""What kind of work a request is taken for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.analysis import EDGE_CHARS, RULES, TYPES, Shape, request_type
from shared.core.ranking import CATEGORIES_BY_TYPE
from shared.needs import chat_need, chat_shape, conversation


def kind(text="Hello there, how are you?", *more, system=None, **request):
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": text}, *more]
    asked = {"model": "auto", "messages": messages, **request}
    return request_type(chat_shape(asked, chat_need(asked)))


TOOL = {"type": "function", "function": {"name": "look"}}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "found"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there, how are you?", "chat"),
        ("Summarize this article in three sentences: …", "summarization"),
        ("TL;DR of the text below", "summarization"),
        ("Fass den Text bitte zusammen", "summarization"),
        ("Make me a detailed project plan for the move", "planning"),
        ("Plan out how we migrate the database", "planning"),
        ("Break the task down into subtasks", "planning"),
        ("I plan to visit Rome; is it warm in May?", "chat"),
        ("Prove that there are infinitely many primes", "reasoning"),
        ("Think carefully: what is the root cause?", "reasoning"),
        ("Write a short story about a mill", "creative"),
        ("Give me five slogans for a bakery", "creative"),
    ],
)
def test_words_where_instructions_stand_tell_the_kind(text, expected):
    assert kind(text) == expected


def test_what_the_system_asks_for_counts():
    assert kind("Here is the page.", system="You summarise pages.") == "summarization"


def test_words_in_the_middle_of_a_long_text_tell_nothing():
    middle = "lorem ipsum " * EDGE_CHARS
    assert kind(f"{middle} summarize {middle}") == "chat"
    assert kind(f"{middle} Summarize this.") == "summarization"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"max_tokens": 20}, "simple"),
        ({"max_tokens": 2_000}, "chat"),
        ({"max_tokens": 20, "tools": [TOOL]}, "chat"),
        ({"tools": [TOOL] * 4}, "tool-heavy"),
        ({"reasoning_effort": "high", "tools": [TOOL] * 4}, "reasoning"),
        ({"reasoning_effort": "low"}, "chat"),
    ],
)
def test_the_shape_tells_the_kind(request_, expected):
    assert kind(**request_) == expected


def test_a_tool_that_has_answered_makes_it_tool_heavy():
    assert kind("What is there?", RESULT, tools=[TOOL]) == "tool-heavy"


def test_a_long_or_an_old_conversation_is_complex():
    assert request_type(Shape(input_tokens=6_000)) == "complex"
    assert request_type(Shape(turns=16)) == "complex"


def test_an_image_is_never_simple():
    image = {"type": "image_url", "image_url": {"url": "data:,x", "detail": "low"}}
    content = [{"type": "text", "text": "What is it?"}, image]
    assert kind(content, max_tokens=20) == "chat"


def test_every_kind_has_its_models():
    assert set(TYPES) == set(CATEGORIES_BY_TYPE)


FIRST = {"role": "user", "content": "Hi."}
ANSWER = {"role": "assistant", "content": "Hello."}


class TestConversation:
    def of(self, *messages, **more):
        return conversation({"messages": list(messages), **more})

    def test_it_keeps_its_name_while_it_grows(self):
        start, later = self.of(FIRST), self.of(FIRST, ANSWER, FIRST)
        assert start[0] == later[0]
        assert (start[1], later[1]) == (False, True)

    def test_another_opening_or_user_is_another(self):
        other = {"role": "user", "content": "Hey."}
        assert self.of(FIRST)[0] != self.of(other)[0]
        assert self.of(FIRST)[0] != self.of(FIRST, user="ann")[0]

    def test_a_key_for_the_prompt_cache_names_it(self):
        assert self.of(FIRST, prompt_cache_key="k") == ("key k", True)

    def test_what_is_read_of_it_is_bounded(self):
        long = {"role": "user", "content": "x" * 100_000}
        assert len(self.of(*[long] * 50)[0]) < 20_000


def as_written(shape):
    """The rules one by one, their patterns heeding no case."""
    for name, holds in RULES:
        patterns = getattr(holds, "patterns", None)
        if patterns is None:
            if holds(shape):
                return name
        elif re.search("|".join(patterns), shape.words, re.IGNORECASE):
            return name
    return "chat"


WORDS = """summarize SUMMARY tl;dr tldr condense key points fass es zusammen Résumé RÉSUMÉ resumen
make me a plan roadmap plan out break it down sub-tasks which steps step-by-step step by step prove
PROOF think hard logic puzzle solve this root cause poem haiku short story write a song brainstorm
planes summa \u017fummary \u212aey points, . - the"""


@given(
    st.lists(st.sampled_from(WORDS.split()), max_size=12),
    st.sampled_from([str.lower, str.upper, str.title, str]),
    st.sampled_from([" ", "  ", "", "\n"]),
    st.integers(0, 200),
)
def test_the_short_way_through_the_patterns_finds_what_they_say(words, case, between, tokens):
    shape = Shape(words=case(between.join(words)), input_tokens=tokens, max_output_tokens=64)
    assert request_type(shape) == as_written(shape)
