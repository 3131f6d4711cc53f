"""Whose account a key belongs to is read from answers, and decides who shares limits."""

import pytest

from shared.core.organisations import Member, Told, in_headers, in_refusal, owners, told_of


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"openai-organization": "user-abc123"}, Told("user-abc123", "header")),
        ({"anthropic-organization-id": "7c1e-9"}, Told("7c1e-9", "header")),
        ({"openai-organization": ""}, None),
        ({"openai-organization": "two words"}, None),
        ({"openai-organization": "x" * 200}, None),
        ({"x-organization": "acme"}, None),
    ],
)
def test_the_organisation_of_an_answer_is_read_from_its_headers(headers, expected):
    assert in_headers(headers) == expected


def test_groqs_refusal_names_the_organisation_in_its_text():
    text = (
        "Rate limit reached for model `x` in organization `org_01hx` service tier `on_demand` on "
        "tokens per day (TPD): Limit 200000, Used 199503, Requested 4514."
    )
    assert in_refusal(text) == Told("org_01hx", "429")
    openai = "Rate limit reached for gpt-4.1 in organization org-AbC on requests per min (RPM)."
    assert in_refusal(openai) == Told("org-AbC", "429")


@pytest.mark.parametrize(
    "text",
    [
        "your organization has been restricted",
        "Invalid value: x in organization org_evil1",
        "Too fast: Rate limit reached for model `x` in organization `org_evil1` on tokens",
        "Rate limit reached for x, who said: in organization org_evil1 on tokens",
        "Rate limit reached for model `x` in organization `org_evil1`",
    ],
)
def test_no_other_form_of_words_names_an_organisation(text):
    assert in_refusal(text) is None


def test_what_is_kept_can_be_read_again():
    told = Told("org_x", "429")
    assert told_of(str(told)) == told
    assert told_of("rumour org_x") is None
    assert told_of("") is None


def test_keys_of_one_account_share_the_ledgers_of_the_first():
    keys = [Member("a", told="org"), Member("b", told="org"), Member("c", told="other")]
    assert owners(keys) == {"a": "a", "b": "a"}


def test_a_statement_names_the_account_for_those_that_were_told_the_same():
    keys = [Member("a", told="org"), Member("b", "p:acme", "org"), Member("c", "p:acme")]
    assert owners(keys) == {"a": "p:acme"}


def test_what_was_stated_differently_stays_apart():
    assert owners([Member("a", "p:one", "org"), Member("b", "p:two", "org")]) == {}


def test_without_evidence_nothing_is_shared():
    assert owners([Member("a"), Member("b")]) == {}
