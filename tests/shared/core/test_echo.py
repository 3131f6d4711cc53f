"""What a provider quotes of a request is no word of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.echo import heard

REACHED = (
    "Rate limit reached for model `m` in organization `org_x` on tokens per minute (TPM): "
    "Limit 6000, Used 5200, Requested 900. Please try again in 1.2s."
)


def asked(text):
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize(
    ("message", "prompt", "phrase"),
    [
        ("Flagged: invalid api key", "invalid api key", "invalid api key"),
        ("Flagged: 'Invalid  API\nkey'", "is it an invalid **api** key?", "invalid api"),
        ("Bad word `billing` here", "how does billing work", "billing"),
        ("You wrote no credits left today", "there are no credits left today", "no credits"),
        ("Flagged: decommis\u200bsioned model", "a decommissioned model", "decommissioned"),
        ("Flagged: \uff49\uff4evalid api key", "invalid api key", "key"),
        ("Cut: all my credits are spent and the mo...", "all my credits are spent and the money",
         "credits"),
        ("Value: limit 5 (RPM) is bad", "say limit 5 (RPM) to me", r"\(RPM\)"),
    ],
)  # fmt: skip
def test_what_is_quoted_is_not_said(message, prompt, phrase):
    assert not heard(message, asked(prompt)).says(re.compile(phrase, re.IGNORECASE))


@pytest.mark.parametrize(
    "message",
    [
        "Incorrect API key provided: sk-1. Find yours at the console.",
        "Your credit balance is too low to access the Anthropic API.",
        "The model `m` has been decommissioned and is no longer supported.",
        REACHED,
    ],
)
@pytest.mark.parametrize(
    "prompt",
    ["hello", "", "Is the API key of the model on my balance too? Try again in it: limit, used."],
)
def test_a_refusal_that_shares_only_words_with_the_request_is_heard_whole(message, prompt):
    assert heard(message, asked(prompt)).text == message


def test_one_phrase_of_its_own_counts_beside_one_that_is_quoted():
    own = heard("Invalid API token. You sent: invalid api key", asked("invalid api key"))
    assert own.says(re.compile(r"invalid api (?:key|token)", re.IGNORECASE))


def test_every_part_of_a_request_can_be_quoted():
    request = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "one two three"}]}],
        "tools": [{"function": {"name": "no credits", "parameters": {"invalid api key": 1}}}],
    }
    for message in ("Bad: one two three", "Bad: no credits", "Bad: invalid api key"):
        assert heard(message, request).text.strip() == "Bad: …"


def test_what_is_encoded_is_not_compared_and_too_long_a_request_is_not_believed():
    image = asked("A" * 2_000_000)
    assert heard("invalid api key", image).text == "invalid api key"
    assert heard("invalid api key", asked("word " * 300_000)).text == ""


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=40))
def test_a_whole_quotation_between_quotes_is_never_heard(before, prompt, after):
    words = re.compile(r"[^\W_]{3,}")
    own = heard(f'{before} "{prompt}" {after}', asked(prompt))
    outside = {each.casefold() for each in words.findall(f"{before} {after}")}
    for word in words.findall(prompt):
        if word.casefold() not in outside and not any(word.casefold() in o for o in outside):
            assert not own.says(re.compile(rf"\b{re.escape(word)}\b"))
