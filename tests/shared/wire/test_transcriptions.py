"""What a transcription may be asked to be, and which field a refusal names."""

import copy

import pytest

from shared.core.features import Features
from shared.core.languages import NAMES, name_of
from shared.core.model import Kind, Need
from shared.errors import Refused
from shared.routing import Route
from shared.submission import routed, transcription
from shared.wire.transcriptions import transcription_request

FULL = {
    "model": "whisper-large-v3",
    "file_id": "file-1",
    "language": "en",
    "prompt": "Charles Darnay, Lucie Manette",
    "temperature": 0.2,
    "response_format": "verbose_json",
    "timestamp_granularities": ["word", "segment"],
    "stream": False,
    "chunking_strategy": "auto",
}


SAMPLE = "data:audio/wav;base64,UklGRg=="


def asked(**fields):
    return {"model": "whisper-1", "file_id": "file-1", **fields}


def diarized(**fields):
    return asked(response_format="diarized_json", **fields)


def test_a_translation_needs_who_translates_and_nobody_who_tells_the_language():
    made = transcription(transcription_request(asked(task="translate")), b"")
    assert made.capabilities == {"translation"}
    timed = transcription_request(asked(task="translate", response_format="srt"))
    assert transcription(timed, b"").capabilities == {"translation", "timestamps"}


def test_speakers_may_be_named_by_samples_and_long_sound_cut_as_openai_says():
    body = diarized(
        known_speaker_names=["agent", "caller"],
        known_speaker_references=[SAMPLE, SAMPLE],
        chunking_strategy={"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200},
    )
    assert transcription_request(body) is body
    assert transcription(body, b"").capabilities == {
        "language_detection", "diarization", "known_speakers",
    }  # fmt: skip
    assert transcription(diarized(), b"").capabilities == {"language_detection", "diarization"}


def test_a_full_request_passes_and_is_the_callers_own_dict_unchanged():
    body = copy.deepcopy(FULL)
    assert transcription_request(body) is body
    assert body == FULL


@pytest.mark.parametrize("format_", ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"])
def test_every_format_of_openai_may_be_asked_for(format_):
    assert transcription_request(asked(response_format=format_))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"file_id": "file-1"}, "model"),
        ({"model": "whisper-1"}, "file_id"),
        (asked(url="https://example.org/a.mp3"), "url"),
        (asked(object="files/of-somebody-else"), "object"),
        (asked(filename="a.mp3"), "filename"),
        (asked(file_id=5), "file_id"),
        ({"model": "m", "url": "file:///etc/passwd"}, "url"),
        ({"model": "m", "url": "https://"}, "url"),
        ({"model": "m", "url": "https://[::1"}, "url"),
        ({"model": "m", "url": "https://exam\0ple.org/a.mp3"}, "url"),
        ({"model": "m", "url": "https://example.org/a\n.mp3"}, "url"),
        ({"model": "m", "url": "https://example.org:99999/"}, "url"),
        ({"model": "m", "url": "https://example.org:x/"}, "url"),
        (asked(language="english"), "language"),
        (asked(language="qq"), "language"),
        (asked(language="EN"), "language"),
        (asked(temperature=1.5), "temperature"),
        (asked(temperature=-0.1), "temperature"),
        (asked(temperature="0"), "temperature"),
        (asked(prompt="x" * 10_000), "prompt"),
        (asked(response_format="xml"), "response_format"),
        (asked(timestamp_granularities=["sentence"]), "timestamp_granularities[0]"),
        (asked(timestamp_granularities="word"), "timestamp_granularities"),
        (asked(stream=True), "stream"),
        (asked(include=["logprobs"]), "include"),
        (asked(keywords=["a"]), "keywords"),
        (asked(languages=["en"]), "languages"),
        (asked(known_speaker_names=["a"]), "known_speaker_names"),
        (asked(timestamp_granularities=["word"]), "timestamp_granularities"),
        (diarized(timestamp_granularities=["word"]), "timestamp_granularities"),
        (diarized(known_speaker_names=["a"]), "known_speaker_references"),
        (diarized(known_speaker_references=[SAMPLE]), "known_speaker_references"),
        (
            diarized(known_speaker_names=["a"], known_speaker_references=["http://x/a.wav"]),
            "known_speaker_references[0]",
        ),
        (
            diarized(known_speaker_names=["a", "a"], known_speaker_references=[SAMPLE] * 2),
            "known_speaker_names",
        ),
        (
            diarized(known_speaker_names=["a"] * 5, known_speaker_references=[SAMPLE] * 5),
            "known_speaker_names",
        ),
        (asked(known_speaker_references=[SAMPLE]), "known_speaker_references"),
        (asked(chunking_strategy="sentences"), "chunking_strategy"),
        (
            asked(chunking_strategy={"type": "server_vad", "threshold": 2}),
            "chunking_strategy.threshold",
        ),
        (asked(chunking_strategy={"type": "auto"}), "chunking_strategy.type"),
        (asked(chunking_strategy=["auto"]), "chunking_strategy"),
        (asked(task="summarize"), "task"),
        (asked(task="translate", language="de"), "language"),
        (asked(task="translate", response_format="diarized_json"), "response_format"),
        (
            asked(
                task="translate", response_format="verbose_json", timestamp_granularities=["word"]
            ),
            "timestamp_granularities",
        ),
        (asked(langauge="en"), "langauge"),
    ],
)
def test_what_is_wrong_is_named(body, param):
    with pytest.raises(Refused) as caught:
        transcription_request(body)
    assert (caught.value.status, caught.value.param) == (400, param)
    with pytest.raises(Refused) as inside:
        transcription_request(body, "request")
    assert inside.value.param == f"request.{param}"


def test_an_unknown_field_is_answered_with_the_nearest_and_a_language_with_its_code():
    with pytest.raises(Refused, match="did you mean 'language'") as caught:
        transcription_request(asked(langauge="en"))
    assert caught.value.code == "unknown_parameter"
    with pytest.raises(Refused, match="did you mean 'en'"):
        transcription_request(asked(language="English"))


def test_only_the_api_itself_names_an_object():
    body = {"model": "whisper-1", "object": "uploads/1", "filename": "a.mp3"}
    assert transcription_request(body, internal=True) is body


@pytest.mark.parametrize("given", [None, [], 5, "x"])
def test_a_body_that_is_no_object_is_refused(given):
    with pytest.raises(Refused, match="the request body should be a"):
        transcription_request(given)


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("en", "english"), ("EN-us", "english"), ("English", "english"), (" german ", "german"),
        ("pt_BR", "portuguese"), ("klingon", "klingon"), ("", ""),
    ],
)  # fmt: skip
def test_a_language_has_one_name_however_it_is_told(told, name):
    assert name_of(told) == name


def test_every_code_has_a_name_of_its_own_but_for_javanese():
    assert len(NAMES) - len(set(NAMES.values())) == 1
    assert all(code == code.lower() and name for code, name in NAMES.items())


class OneLane:
    """Knows one lane; refuses what is called otherwise."""

    def route(self, features, *_):
        if features.model != "whisper-1":
            raise Refused("no model is called that", status=404, param="model")
        return Route("a/whisper-1@shared", ("a/whisper-1@shared",), ("b/whisper-1@shared",), ())

    def expected_output(self, model, *_):
        raise AssertionError(model)


def test_a_parent_goes_to_our_own_lane_but_not_where_no_lane_would_take_its_parts():
    made = transcription(transcription_request(asked()), b"{}")
    assert (made.kind, made.endpoint) == (Kind.TRANSCRIPTION, "/v1/audio/transcriptions")
    features = Features(kind=made.kind, model=made.model)
    choice = routed(OneLane(), features, made.need, "t", {}, 0)
    lane = "own/transcriptions@shared"
    assert (choice.route.first, choice.route.lanes, choice.route.paid_lanes) == (lane, (lane,), ())
    assert choice.need == Need()
    with pytest.raises(Refused, match="no model"):
        routed(OneLane(), Features(kind=made.kind, model="x"), made.need, "t", {}, 0)
