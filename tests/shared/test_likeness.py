"""Which requests are alike, and which of those may share an answer."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.features import Features
from shared.core.model import Kind, Paid
from shared.core.sharing import Policy, ShareMode, Terms, Wish, repeatable, terms
from shared.likeness import likeness, sharing

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
FEATURES = Features(Kind.CHAT, "m")
BASE = {
    "model": "m",
    "temperature": 0,
    "messages": [{"role": "user", "content": "Who turns the wheel?"}],
}
SCHEMA = {"type": "object", "properties": {"a": {}, "b": {}}}
OTHER_WAY = {"type": "object", "properties": {"b": {}, "a": {}}}


def of(request=BASE, tenant="t1", endpoint=CHAT, content=None, *, whole=False, **features):
    given_features = Features(**({"kind": Kind.CHAT, "model": "m"} | features))
    return likeness(endpoint, request, tenant, given_features, content, whole=whole)


def test_who_wants_all_it_asked_has_no_answer_of_who_takes_less():
    assert of(whole=True) != of()
    assert of(whole=True) == of(whole=True)


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.0},
        {"temperature": -0.0},
        {"messages": [{"content": "Who turns the wheel?", "role": "user"}]},
        {"stream": False},
        {"metadata": {"night": "3"}},
        {"user": "alice"},
        {"safety_identifier": "x"},
        {"prompt_cache_key": "x"},
    ],
    ids=orjson.dumps,
)
def test_what_leads_to_the_same_answer_is_alike(more):
    assert of(BASE | more) == of()
    assert of(dict(reversed((BASE | more).items()))) == of()


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.1},
        {"top_p": 1},
        {"seed": 1},
        {"n": 2},
        {"max_tokens": 5},
        {"model": "other"},
        {"messages": [{"role": "system", "content": "Who turns the wheel?"}]},
        {"messages": [{"role": "user", "content": "Who turns the wheel? "}]},
        {"nobody_knows": 1},
        {"nobody_knows": None},
        {"response_format": {"type": "json_object"}},
        {"store": True},
    ],
    ids=orjson.dumps,
)
def test_what_may_lead_to_another_answer_is_not_alike(more):
    assert of(BASE | more) != of()


def test_the_order_of_a_schema_is_that_of_the_answer():
    def shaped(schema):
        return of(BASE | {"response_format": {"json_schema": {"name": "s", "schema": schema}}})

    assert shaped(SCHEMA) != shaped(OTHER_WAY)


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "t2"},
        {"endpoint": "/v1/responses"},
        {"kind": Kind.SUMMARY},
        {"mode": "cheap"},
        {"request_type": "planning"},
        {"allowed_models": frozenset({"m"})},
        {"paid": Paid.ALWAYS},
        {"cost_cap_microusd": 5},
    ],
    ids=str,
)
def test_who_asks_and_what_steers_the_request_tells_it_from_others(other):
    assert of(**other) != of()


def test_neither_a_deadline_nor_a_priority_tells_requests_apart():
    assert of(deadline_ms=5, sticky="alpha/m@shared", input_tokens=7) == of()


@given(
    st.dictionaries(st.text(max_size=4), st.none() | st.integers(-5, 5) | st.text(max_size=3)),
    st.dictionaries(st.text(max_size=4), st.none() | st.integers(-5, 5) | st.text(max_size=3)),
)
def test_unknown_fields_are_alike_exactly_if_they_are_equal(one, other):
    first, second = of(BASE | {"x": one}), of(BASE | {"x": other})
    same = orjson.dumps(one) == orjson.dumps(other)
    assert (first == second) is same


@given(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))
def test_no_field_passes_for_two(name, value, other_name, other_value):
    one = {"a": "", "x" + name: value}
    other = {"a": "", "x" + other_name: other_value}
    assert (of(one) == of(other)) is (one == other)


def test_recordings_are_told_by_their_bytes_not_by_their_names():
    def heard(content, **request):
        asked = {"model": "whisper", "language": "en"} | request
        return of(asked, endpoint="/v1/audio/transcriptions", content=content)

    assert heard("d1", object="upload-1", filename="a.wav") == heard("d1", object="upload-2")
    assert heard("d1") != heard("d2")
    assert heard("d1", language="de") != heard("d1")


def test_a_recording_whose_bytes_are_not_known_shares_nothing():
    heard = Features(Kind.TRANSCRIPTION, "whisper")
    asked = {"model": "whisper", "url": "https://example.org/a.wav"}
    for content, shares in ((None, False), ("d1", True)):
        found = sharing(Policy(), Wish(), "/v1/x", asked, "t1", heard, content=content)
        assert (found is not None) is shares


def test_a_summary_of_what_an_address_holds_is_like_nothing():
    asked = {"model": "m", "documents": [{"text": "a"}, {"url": "https://example.org/"}]}
    features = Features(Kind.SUMMARY, "m")
    assert sharing(Policy(), Wish(), "/v1/summaries", asked, "t1", features) is None
    asked["documents"].pop()
    assert sharing(Policy(), Wish(), "/v1/summaries", asked, "t1", features) is not None


# -- what may be shared

KEPT_MS = 259_200_000


@pytest.mark.parametrize(
    ("kind", "request_", "again"),
    [
        (Kind.EMBEDDING, {}, True),
        (Kind.SUMMARY, {}, True),
        (Kind.TRANSCRIPTION, {}, True),
        (Kind.CHAT, {}, False),
        (Kind.CHAT, {"temperature": 1}, False),
        (Kind.CHAT, {"temperature": None}, False),
        (Kind.CHAT, {"temperature": 0}, True),
        (Kind.CHAT, {"temperature": 0.0}, True),
        (Kind.CHAT, {"seed": 0}, True),
        (Kind.CHAT, {"seed": None}, False),
        (Kind.TASK, {}, False),
    ],
)
def test_only_what_may_be_expected_to_be_answered_the_same_is_shared_unasked(kind, request_, again):
    assert repeatable(kind, request_) is again
    assert (terms(Policy(), Wish(), kind, request_) is not None) is again


SAMPLED, EXACT = {"temperature": 1}, {"temperature": 0}
ALWAYS, NEVER, AUTO = ShareMode.ALWAYS, ShareMode.NEVER, ShareMode.AUTO
MINUTE = Policy(cache_ms=60_000)


@pytest.mark.parametrize(
    ("policy", "wish", "request_", "found"),
    [
        (Policy(), Wish(ALWAYS), SAMPLED, Terms(True, 0)),
        (Policy(), Wish(NEVER), EXACT, None),
        (Policy(NEVER), Wish(), EXACT, None),
        (Policy(NEVER), Wish(AUTO), EXACT, Terms(True, 0)),
        (Policy(ALWAYS), Wish(), SAMPLED, Terms(True, 0)),
        (Policy(ALWAYS), Wish(AUTO), SAMPLED, None),
        (MINUTE, Wish(), EXACT, Terms(True, 60_000)),
        (MINUTE, Wish(), SAMPLED, None),
        (MINUTE, Wish(NEVER), EXACT, None),
        (MINUTE, Wish(None, 0), EXACT, Terms(True, 0)),
        (MINUTE, Wish(None, 5), EXACT, Terms(True, 5_000)),
        (Policy(), Wish(None, 5), SAMPLED, Terms(False, 5_000)),
        (Policy(), Wish(NEVER, 5), EXACT, Terms(False, 5_000)),
        (Policy(), Wish(NEVER, 0), EXACT, None),
        (Policy(), Wish(None, 10**9), EXACT, Terms(True, KEPT_MS)),
        (Policy(cache_ms=10**12), Wish(), EXACT, Terms(True, KEPT_MS)),
    ],
)
def test_a_request_says_what_it_shares_and_else_the_settings(policy, wish, request_, found):
    assert terms(policy, wish, Kind.CHAT, request_) == found
    assert terms(policy, wish, Kind.CHAT, request_, stream=True) is None


def test_what_was_heard_is_kept_as_long_as_its_job_unless_one_says_otherwise():
    assert terms(Policy(), Wish(), Kind.TRANSCRIPTION, {}) == Terms(True, KEPT_MS)
    assert terms(Policy(), Wish(None, 0), Kind.TRANSCRIPTION, {}) == Terms(True, 0)
    assert terms(Policy(NEVER), Wish(), Kind.TRANSCRIPTION, {}) is None


def test_nothing_is_digested_where_nothing_is_shared():
    assert (
        sharing(Policy(), Wish(), CHAT, {"temperature": 1, "x": object()}, "t1", FEATURES) is None
    )
