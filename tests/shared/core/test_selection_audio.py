"""Who may hear a part of audio: by size, length, times, language, windows, and price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.candidates import Skip
from shared.core.eligibility import IDLE, cost_of, fault_of, hard_filter
from shared.core.features import Features
from shared.core.index import Index
from shared.core.model import (
    Audio,
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    Paid,
    Price,
    Window,
)
from shared.core.selection import Impossible, Selection, select
from shared.needs import transcription_capabilities, transcription_need

HEARS = frozenset({Kind.TRANSCRIPTION})
ABLE = frozenset({"transcription", "timestamps", "word_timestamps", "language_detection"})
PART = {"audio_seconds": 600, "audio_bytes": 9_000_000}


def deployment(name, **given):
    provider, _, model = name.partition("/")
    values = {"kinds": HEARS, "capabilities": ABLE, "price": Price(audio_microusd_per_hour=0)}
    return Deployment(name, provider, model, "openai-compatible", "http://x/v1", **values | given)


def audio_window(limit, dimension=Dimension.AUDIO_SECONDS):
    return (("free", Limits(windows=(Window("ash", dimension, limit, 3_600_000),))),)


def index(*deployments, plan="free"):
    refs = [CredentialRef(f"{p}-1", p, plan) for p in sorted({d.provider for d in deployments})]
    return Index(deployments, refs)


def ask(**given):
    return Features(Kind.TRANSCRIPTION, given.pop("model", "auto"), **PART | given)


@pytest.mark.parametrize(
    ("facts", "wish", "reason"),
    [
        ({"audio": Audio(max_seconds=599)}, {}, "audio_size: 600 s, takes at most 599 s"),
        (
            {"audio": Audio(max_bytes=8_999_999)},
            {},
            "audio_size: 9000000 bytes, takes at most 8999999",
        ),
        (
            {"capabilities": ABLE - {"word_timestamps"}},
            {"capabilities": frozenset({"timestamps", "word_timestamps"})},
            "capability: no word_timestamps",
        ),
        (
            {"capabilities": ABLE - {"language_detection"}},
            {"capabilities": frozenset({"language_detection"})},
            "capability: no language_detection",
        ),
        ({}, {"capabilities": frozenset({"diarization"})}, "capability: no diarization"),
        (
            {"plans": audio_window(599)},
            {},
            "never_fits: 600 s of audio, a whole window has 599",
        ),
        (
            {"plans": audio_window(900), "audio": Audio(least_seconds=901)},
            {},
            "never_fits: needs 0 tokens, a whole window has 9007199254740992",
        ),
        (
            {"plans": audio_window(19_199, Dimension.TOKENS), "audio": Audio(tokens_per_s=32)},
            {},
            "never_fits: needs 19200 tokens, a whole window has 19199",
        ),
        ({"kinds": frozenset({Kind.CHAT})}, {}, "kind"),
    ],
)
def test_a_deployment_that_cannot_hear_it_says_why(facts, wish, reason):
    found = select(index(deployment("p/m", **facts)), ask(**wish), {}, 0)
    assert isinstance(found, Impossible)
    assert [one.reason for one in found.considered] == [reason]
    able = deployment("q/n", capabilities=ABLE | {"diarization"})
    there = select(index(deployment("p/m", **facts), able), ask(**wish), {}, 0)
    assert isinstance(there, Selection)
    assert there.lanes == ("q/n@shared",)


def test_what_just_fits_is_kept_and_what_is_unknown_filters_nothing():
    exact = Audio(max_bytes=9_000_000, max_seconds=600)
    kept = [
        deployment("p/a", audio=exact),
        deployment("q/b", capabilities=None),
        deployment("r/c", plans=audio_window(600)),
    ]
    found = select(index(*kept), ask(capabilities=ABLE), {}, 0)
    assert isinstance(found, Selection)
    assert set(found.lanes) == {"p/a@shared", "q/b@shared", "r/c@shared"}


def test_free_whisper_comes_before_a_free_model_that_also_chats_and_both_before_money():
    chats = deployment("g/flash", kinds=HEARS | {Kind.CHAT}, category="small")
    dear = deployment("o/whisper", price=Price(audio_microusd_per_hour=360_000))
    cheap = deployment("d/nova", price=Price(audio_microusd_per_hour=258_000))
    tokens = deployment("t/tokens", price=Price(2_000_000, 12_000_000, None, 300_000))
    refs = [CredentialRef(f"{p}-1", p, "paid") for p in "dgotw"]
    catalog = Index([chats, dear, tokens, cheap, deployment("w/whisper")], refs)
    for model in ("auto", "auto:small", "auto:cheap", "auto:fast"):
        found = select(catalog, ask(model=model, paid=Paid.ALWAYS, mode="cheap"), {}, 0)
        assert isinstance(found, Selection)
        assert [lane.partition("/")[0] for lane in found.lanes] == list("wgdto"), model


@pytest.mark.parametrize(
    ("price", "audio", "seconds", "cost"),
    [
        (Price(audio_microusd_per_hour=360_000), Audio(), 600, 60_000),
        (Price(audio_microusd_per_hour=360_000), Audio(least_seconds=10), 3, 1_000),
        (Price(2_000_000, 12_000_000), Audio(tokens_per_s=32), 600, 38_400),
        (Price(), Audio(), 600, -1),
    ],
)
def test_the_most_a_part_may_cost_is_known_before_it_is_sent(price, audio, seconds, cost):
    there = deployment("p/m", price=price, audio=audio)
    view = index(there, plan="paid").view(ask(paid=Paid.ALWAYS))
    (candidate,) = view.tiers[0].members
    assert cost_of(candidate, ask(audio_seconds=seconds)) == cost
    capped = ask(audio_seconds=seconds, cost_cap_microusd=max(cost, 0))
    fault = fault_of(candidate, capped, IDLE, 0.0)
    assert fault is (Skip.COST_CAP if cost < 0 else None)
    if cost > 0:
        tighter = ask(audio_seconds=seconds, cost_cap_microusd=cost - 1)
        assert fault_of(candidate, tighter, IDLE, 0.0) is Skip.COST_CAP


some = st.sampled_from
audios = st.builds(
    Audio,
    max_bytes=some([None, 5, 50]),
    max_seconds=some([None, 5, 50]),
    least_seconds=some([0, 10]),
    tokens_per_s=some([0.0, 32.0]),
)
prices = st.builds(
    Price, *(some([None, 10**6]) for _ in range(2)), st.none(), some([None, 0, 3_600_000])
)


@given(
    facts=st.lists(
        st.tuples(audios, prices, some([4, 40, 400]), some(["AUDIO_SECONDS", "TOKENS"])),
        min_size=1,
        max_size=6,
    ),
    seconds=some([1, 5, 6, 50, 51]),
    size=some([1, 5, 6, 50, 51]),
    cap=some([None, 0, 1_000, 10_000, 10**9]),
    plan=some(["free", "paid"]),
)
def test_one_look_at_a_tier_finds_what_a_look_at_each_does(facts, seconds, size, cap, plan):
    made = []
    for number, (audio, price, limit, dimension) in enumerate(facts):
        ((_, limits),) = audio_window(limit, Dimension[dimension])
        plans = (("free", limits), ("paid", limits))
        made.append(deployment(f"p/m{number}", audio=audio, price=price, plans=plans))
    asked = Features(
        Kind.TRANSCRIPTION,
        "auto",
        audio_seconds=seconds,
        audio_bytes=size,
        cost_cap_microusd=cap,
        paid=Paid.ALWAYS,
    )
    view = index(*made, plan=plan).view(asked)
    kept, skipped = hard_filter(view, asked, {}, 0, 0.0, 0)
    members = [one for tier in view.tiers for one in tier.members]
    faults = {one.lane: fault_of(one, asked, IDLE, 0.0) for one in members}
    assert {one.lane for one, _ in kept} == {lane for lane, fault in faults.items() if not fault}
    told = {one.lane: skip for skip, listed in skipped.items() for one in listed}
    assert told == {lane: fault for lane, fault in faults.items() if fault}


def test_what_a_request_needs_is_read_from_it():
    words = {"timestamp_granularities": ["segment", "word"], "language": "en"}
    assert transcription_capabilities(words) == {"timestamps", "word_timestamps"}
    assert transcription_capabilities({"response_format": "json"}) == {"language_detection"}
    assert transcription_need(598.2).audio_seconds == 599
    assert transcription_need(0.1).inputs == 1
