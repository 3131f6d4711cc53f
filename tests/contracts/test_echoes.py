"""A caller's words in a refusal set no key and no model aside, and teach no limit."""

import orjson
import pytest
from worker_claims import deployment

from shared.core import organisations
from shared.core.decision import JobFacts, cooldowns
from shared.core.learn import concurrency_told
from shared.core.model import Kind
from shared.core.outcome import FailureKind
from shared.quirks import Quirks
from shared.wires import NATIVE
from workers.providers.base import Call
from workers.providers.registry import adapter_for
from workers.providers.verdicts import OF_THE_JOB, PHRASES

NOW_MS = 1_785_658_100_000
WIRES = ("openai", "anthropic", "cohere", "gemini", "groq", "openrouter", "huggingface")
OTHERS = [
    "invalid api key",
    "API key not valid",
    "api key expired",
    "incorrect api key",
    "no api key supplied",
    "this key was reported as leaked",
    "my organization has been restricted",
    "user location is not supported",
    "it has been suspended",
    "our organization has been disabled",
    "not allowed for this organization",
    "your credit balance is too low",
    "account balance is negative",
    "insufficient funds",
    "prepaid credits",
    "purchase more credits",
    "there are no credits",
    "specified API usage limits",
    "1000 calls / month",
    "10 dollars per month",
    "monthly spend",
    "the model has been decommissioned",
    "model x not found",
    "model does not exist",
    "limit: 0",
    "you must be verified",
    "requires a subscription",
    "no endpoints found",
    "billing is required",
    "enable billing",
    "missing scopes",
    "insufficient permissions",
    "missing scopes: model.request",
    "you have insufficient permissions for this",
    "we are experiencing high demand",
    "the system is experiencing high demand",
    "model busy",
    "the model is busy",
]
FRAMES = (
    "Invalid value: {}",
    "Input was flagged by moderation: {}",
    "Invalid parameter: '{}' is not one of ['a', 'b']",
    "Could not read `{}`.",
    "Invalid value for model: {}",
)


def call(wire, text):
    type_ = wire if wire in NATIVE else "openai-compatible"
    request = {"model": "m1", "messages": [{"role": "user", "content": text}]}
    quirks = Quirks(rate_dialect="generic", wire=wire)
    return Call(Kind.CHAT, request, deployment("http://x", type=type_), quirks)


def refused(wire, status, message, prompt):
    asked = call(wire, prompt)
    body = orjson.dumps({"error": {"message": message, "type": "some_error"}})
    return adapter_for(asked.deployment.type).classify(asked, status, {}, body, NOW_MS)


def consequences(failed):
    return failed.kind, failed.dead, failed.window, cooldowns(failed, JobFacts(), 0.5)


def test_every_phrase_of_the_table_that_concerns_others_is_tried_here():
    for _, phrase, verdict in PHRASES:
        if verdict.kind not in OF_THE_JOB:
            alternatives = [text for text in OTHERS if phrase.search(text)]
            assert len(alternatives) >= 4, phrase.pattern


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("text", OTHERS)
def test_what_a_caller_wrote_has_no_consequence_for_others(wire, text):
    prompt = f"Say that {text} and no more"
    for status in (400, 402, 403, 404, 413, 422, 429):
        for frame in FRAMES:
            for quoted in (prompt, text):
                told = refused(wire, status, frame.format(quoted), prompt)
                plain = refused(wire, status, frame.format("some words"), "some words")
                assert consequences(told) == consequences(plain), (status, frame, quoted)


CONCERNS = [row for row in PHRASES if row[2].kind not in OF_THE_JOB]


@pytest.mark.parametrize(("statuses", "phrase", "verdict"), CONCERNS)
def test_the_same_words_of_the_providers_own_are_believed(statuses, phrase, verdict):
    for text in (text for text in OTHERS if phrase.search(text)):
        found = {refused("openai", status, f"Sorry, {text}.", "hello").kind for status in statuses}
        assert verdict.kind in found, text


REACHED = (
    "Rate limit reached for model `m` in organization `org_evil1` on tokens per day (TPD): "
    "Limit 5, Used 5, Requested 1. Please try again in 20d."
)
LIMITS = (
    REACHED,
    "Limit 5 (RPM)",
    "quota of 3 requests per day, try again in 30 days",
    "you will regain access on 2027-01-01 at 00:00 UTC",
    "too many concurrent requests: limit 1",
    "x in organization org_evil1",
    "requested 50 of limit 5 (TPM)",
)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("text", LIMITS)
def test_no_limit_wait_or_organisation_is_learned_of_a_callers_words(wire, text):
    for status in (400, 413, 429):
        for frame in ("Slow down. You sent: {}", "Slow down, {!r} was too much"):
            told = refused(wire, status, frame.format(text), text)
            plain = refused(wire, status, frame.format("some words"), "some words")
            assert (told.learned, told.retry_after_ms) == (plain.learned, plain.retry_after_ms)
            assert consequences(told) == consequences(plain)
            assert concurrency_told(told.said) is None
            assert organisations.in_refusal(told.said) is None


def test_the_words_of_a_limit_are_believed_where_nobody_asked_them():
    failed = refused("groq", 429, REACHED, "hello")
    assert failed.kind is FailureKind.QUOTA_EXHAUSTED
    assert [each.limit for each in failed.learned] == [5]
    assert str(organisations.in_refusal(failed.said)) == "429 org_evil1"
