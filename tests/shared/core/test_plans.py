"""Which plan a key is on, from announced limits."""

from dataclasses import replace

import pytest

from shared.core.model import Deployment, Dimension, Kind, Limits, Window
from shared.core.outcome import Learned
from shared.core.plans import detected, refused

MINUTE_MS, DAY_MS = 60_000, 86_400_000


def limits(rpd, tpm):
    return Limits(
        (
            Window("rpd", Dimension.REQUESTS, rpd, DAY_MS),
            Window("tpm", Dimension.TOKENS, tpm, MINUTE_MS),
        )
    )


DEPLOYMENT = Deployment(
    "groq/m", "groq", "m", "groq", "http://x", frozenset({Kind.CHAT}),
    plans=(("free", limits(1000, 8000)), ("developer", limits(500_000, 250_000)),
           ("trial", limits(1000, 9000))),
)  # fmt: skip


def told(dimension, limit, span_ms=0, source="header"):
    return Learned("w", dimension, span_ms, limit, source)


@pytest.mark.parametrize(
    ("said", "plan"),
    [
        ([told("requests", 1000, DAY_MS), told("tokens", 8000, MINUTE_MS)], "free"),
        ([told("requests", 500_000, DAY_MS)], "developer"),
        ([told("tokens", 250_000)], "developer"),
        ([told("requests", 1000, DAY_MS)], None),
        ([told("requests", 1000, MINUTE_MS), told("tokens", 8000, MINUTE_MS)], None),
        ([told("requests", 1000, DAY_MS), told("tokens", 250_000, MINUTE_MS)], None),
        ([told("requests", 7, DAY_MS)], None),
        ([told("tokens", 250_000, MINUTE_MS, "429")], None),
        ([], None),
    ],
)
def test_a_plan_is_detected_only_where_the_limits_are_its_own_alone(said, plan):
    assert detected(DEPLOYMENT, said) == plan


FREE_QUOTA = "generaterequestsperdayperprojectpermodel-freetier"
PAID_TEXT = "Quota exceeded for metric: x/generate_paid_tier_input_token_count"


@pytest.mark.parametrize(
    ("status", "marks", "text", "settled", "plan"),
    [
        (429, (FREE_QUOTA, "resource_exhausted"), "", False, "free"),
        (429, (FREE_QUOTA,), "", True, "free"),
        (429, ("openrouter_free_tier_daily",), "", True, "free"),
        (429, ("x/generate_paid_tier_input_token_count",), "", True, "developer"),
        (429, (), PAID_TEXT, False, "developer"),
        (429, (), PAID_TEXT, True, None),
        (403, (FREE_QUOTA,), "", False, None),
        (400, (FREE_QUOTA,), "", False, None),
        (None, (FREE_QUOTA,), "", False, None),
    ],
)
def test_a_refusal_may_tell_the_plan(status, marks, text, settled, plan):
    assert refused(DEPLOYMENT, status, marks, text, settled=settled) == plan


@pytest.mark.parametrize("status", [400, 402, 403, 429])
@pytest.mark.parametrize(
    "text",
    [
        "Quota exceeded for metric: x/generate_content_free_tier_requests, limit: 20",
        "You are using a Trial key, which is limited to 40 API calls / minute.",
        "There is an issue with your billing.",
        "Input was flagged by moderation: how does billing work",
        "Payment required: upgrade to the free plan",
    ],
)
def test_no_text_makes_a_key_free(status, text):
    for settled in (False, True):
        assert refused(DEPLOYMENT, status, (), text, settled=settled) is None


def test_an_account_without_credit_is_not_a_free_one():
    marks = ("payment_required", "insufficient_quota", "billing_not_active")
    assert refused(DEPLOYMENT, 402, marks, "Payment required", settled=False) is None


def test_a_provider_without_a_free_plan_has_no_key_on_one():
    paid = replace(DEPLOYMENT, plans=DEPLOYMENT.plans[1:2])
    assert refused(paid, 429, (FREE_QUOTA,), "", settled=False) is None
