"""A transcription in OpenAI's formats: read back, they say what was heard."""

import html
import itertools
import re

import orjson
import pytest
from heard import heard, truths, whole
from hypothesis import given
from hypothesis import strategies as st
from openai.types.audio import TranscriptionDiarized

from shared.core.subtitles import MOST_CHARS, MOST_MS, cues
from shared.core.transcript import Segment, Transcript
from shared.wire.heard import result_of, transcript_of
from shared.wire.transcripts import rendered, shown, srt, vtt

TIMES = re.compile(r"(\d\d+):([0-5]\d):([0-5]\d)([,.])(\d{3})")
TOLD = ["words", "both", "segments", "text"]


def moment(text, point):
    hours, minutes, seconds, found, ms = TIMES.fullmatch(text).groups()
    assert found == point
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(ms)


def read(body, point):
    """The cues of an SRT or VTT body: a small parser of the formats' words."""
    assert body.startswith("WEBVTT\n\n") == (point == ".")
    found = []
    for block in body.removeprefix("WEBVTT\n\n").strip().split("\n\n"):
        lines = block.split("\n") if block else []
        if point == "," and lines:
            assert int(lines.pop(0)) == len(found) + 1
        if lines:
            start, end = (moment(text, point) for text in lines.pop(0).split(" --> "))
            assert lines
            found.append((start, end, html.unescape(" ".join(lines))))
    return found


def said(truth, told):
    return heard(truth, whole(truth), told).said


@given(truths(), st.sampled_from(TOLD))
def test_subtitles_hold_every_word_in_order_and_never_too_long(truth, told):
    found = said(truth, told)
    for body, point in ((srt(cues(found)), ","), (vtt(cues(found)), ".")):
        lines = read(body, point)
        assert " ".join(text for *_, text in lines) == truth.text
        for start, end, text in lines:
            assert 0 <= start <= end <= truth.duration_ms
            if told != "text" and " " in text:
                assert len(text) <= MOST_CHARS
                assert end - start <= MOST_MS
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(lines))


@given(truths(), st.sampled_from(TOLD))
def test_what_is_kept_says_what_was_heard(truth, told):
    found = said(truth, told)
    assert transcript_of(orjson.loads(orjson.dumps(result_of(found)))) == found


@given(st.text(), st.integers(0, 10**9))
def test_no_text_breaks_the_formats(text, start_ms):
    duration_ms = start_ms + 1_000
    one = Segment(text, start_ms, duration_ms)
    found = Transcript(text, duration_ms, segments=(one,))
    plainly = " ".join(text.split())
    for body, point in ((srt(cues(found)), ","), (vtt(cues(found)), ".")):
        lines = read(body, point)
        told = " ".join(told for *_, told in lines)
        if point == ".":
            assert told == plainly
            assert body.count("-->") == len(lines)
        assert body.count(" --> ") == len(lines)
        assert not lines or (lines[0][0], lines[-1][1]) == (start_ms, duration_ms)


def test_a_text_without_times_is_one_cue():
    found = Transcript("word " * 100, 600_000)
    assert read(srt(cues(found)), ",") == [(0, 600_000, ("word " * 100).strip())]


def test_an_empty_transcript_is_an_empty_file_of_each_format():
    kept = result_of(Transcript("", 0, segments=(), words=()))
    bodies = {form: rendered(kept, form).body for form in ("text", "srt", "vtt")}
    assert bodies == {"text": b"\n", "srt": b"", "vtt": b"WEBVTT\n\n"}
    assert orjson.loads(rendered(kept, "json").body)["text"] == ""


def test_a_long_segment_is_broken_after_its_clauses():
    text = (
        " It was the best of times, it was the worst of times, it was the age of wisdom,"
        " it was the age of foolishness, it was the epoch of belief."
    )
    found = cues(Transcript(text.strip(), 12_000, segments=(Segment(text, 0, 12_000),)))
    assert [one.text for one in found] == [
        "It was the best of times, it was the worst of times,",
        "it was the age of wisdom, it was the age of foolishness,",
        "it was the epoch of belief.",
    ]
    assert found[0].start_ms == 0
    assert found[-1].end_ms == 12_000


KEPT = result_of(
    Transcript(
        "a <b> --> c",
        3_661_500,
        "english",
        (Segment(" a <b> --> c", 3_660_000, 3_661_001, (("avg_logprob", -0.5),)),),
        (),
    )
)


@pytest.mark.parametrize(
    ("form", "kind", "body"),
    [
        ("text", "text/plain", "a <b> --> c\n"),
        ("srt", "application/x-subrip", "1\n01:01:00,000 --> 01:01:01,001\na <b> -> c\n\n"),
        (
            "vtt",
            "text/vtt",
            "WEBVTT\n\n01:01:00.000 --> 01:01:01.001\na &lt;b&gt; --&gt; c\n\n",
        ),
    ],
)
def test_each_format_to_the_letter(form, kind, body):
    made = rendered(KEPT, form)
    assert (made.body.decode(), made.kind.partition(";")[0]) == (body, kind)
    assert orjson.loads(shown(orjson.dumps(KEPT), {"response_format": form})) == {"text": body}


def test_verbose_json_holds_what_was_asked_for():
    (segment,) = KEPT["segments"]
    assert (segment["avg_logprob"], segment["no_speech_prob"], segment["seek"]) == (
        -0.5, None, 366_000,
    )  # fmt: skip
    kept = orjson.dumps(KEPT)
    by_default = orjson.loads(shown(kept, {"response_format": "verbose_json"}))
    assert by_default.keys() == {"task", "language", "duration", "text", "segments", "usage"}
    asked = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
    assert "segments" not in orjson.loads(shown(kept, asked))
    assert "words" in orjson.loads(shown(kept, asked))
    usage = {"type": "duration", "seconds": 3_662}
    assert orjson.loads(shown(kept, {})) == {"text": "a <b> --> c", "usage": usage}


TURNS = Transcript(
    "Hello. Yes?",
    61_500,
    segments=(
        Segment(" Hello.", 0, 1_000, speaker="A"),
        Segment(" Yes?", 1_200, 2_000, speaker="agent"),
    ),
)


def test_diarized_json_is_openais_to_the_letter():
    told = orjson.loads(shown(orjson.dumps(result_of(TURNS)), {"response_format": "diarized_json"}))
    TranscriptionDiarized.model_validate(told, strict=True)
    assert told == {
        "task": "transcribe",
        "duration": 61.5,
        "text": "Hello. Yes?",
        "segments": [
            {"type": "transcript.text.segment", "id": "seg_0", "speaker": "A", "start": 0.0,
             "end": 1.0, "text": "Hello."},
            {"type": "transcript.text.segment", "id": "seg_1", "speaker": "agent", "start": 1.2,
             "end": 2.0, "text": "Yes?"},
        ],
        "usage": {"type": "duration", "seconds": 62},
    }  # fmt: skip


def test_every_other_format_is_made_of_what_was_diarized_too():
    kept = result_of(TURNS)
    assert transcript_of(kept) == TURNS
    assert rendered(kept, "text").body == b"Hello. Yes?\n"
    assert read(rendered(kept, "srt").body.decode(), ",") == [
        (0, 1_000, "Hello."),
        (1_200, 2_000, "Yes?"),
    ]
    assert rendered(kept, "vtt").body.startswith(b"WEBVTT\n\n00:00:00.000")
    assert [
        one["speaker"] for one in orjson.loads(rendered(kept, "verbose_json").body)["segments"]
    ] == ["A", "agent"]


@pytest.mark.parametrize("rows", [None, "x", [{"text": "a"}], [{"text": "a", "start": None}]])
def test_segments_without_times_are_none(rows):
    assert transcript_of({"text": "a", "duration": 1.0, "segments": rows}).segments is None
