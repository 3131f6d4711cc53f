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


@pytest.mark.parametrize(
    ("status", "text", "plan"),
    [
        (
            429,
            "Quota exceeded for metric: x/generate_content_free_tier_requests, limit: 20",
            "free",
        ),
        (429, "You are using a Trial key, which is limited to 40 API calls / minute.", "free"),
        (429, "Quota exceeded for metric: x/generate_paid_tier_input_token_count", "developer"),
        (402, "There is an issue with your billing.", "free"),
        (403, "This model needs a billing account.", "free"),
        (403, "Your key may not use this model.", None),
        (429, "Rate limit exceeded", None),
        (400, "free tier", None),
        (None, "free tier", None),
    ],
)
def test_a_refusal_may_tell_the_plan(status, text, plan):
    assert refused(DEPLOYMENT, status, text) == plan


def test_a_provider_without_a_free_plan_has_no_key_on_one():
    paid = replace(DEPLOYMENT, plans=DEPLOYMENT.plans[1:])
    assert refused(paid, 402, "There is an issue with your billing.") is None
