"""Who speaks, and what it is in English, on the whole system: heard whole, in parts, by nobody."""

import base64
from itertools import groupby

import openai
import pytest
from whole import whole_system

from simulator.speech import script, spoken, talk_of, voice_of, write

ENGLISH = "whisper-english"
ENGLISH_ONE = {
    "id": ENGLISH, "kinds": ["transcription"], "translates": True, "max_audio_seconds": 60,
}  # fmt: skip
WHOLE, PARTS, DEAF = "voices-whole", "voices-parts", "whisper-deaf"


def speaking(mapping):
    """Two that tell speakers, one of them a minute at a time, and one that does not."""
    voices = {"kinds": ["transcription"], "timestamps": False}
    models = {
        "openai": [ENGLISH_ONE, voices | {"id": WHOLE, "speakers": "known"}],
        "mistral": [voices | {"id": PARTS, "speakers": "labels", "max_audio_seconds": 60}],
        "groq": [{"id": DEAF, "kinds": ["transcription"]}],
    }
    mapping["providers"] = {
        name: {"personality": name, "models": each, "keys": [{"key": f"sk-{name}"}]}
        for name, each in models.items()
    }


@pytest.fixture(scope="module")
def system():
    with whole_system("unlimited", change=speaking) as found:
        yield found


@pytest.fixture(scope="module")
def talk():
    return talk_of(5, 200, voices=2)


@pytest.fixture(scope="module")
def speech(talk, tmp_path_factory):
    path = tmp_path_factory.mktemp("voices") / "talk.flac"
    write(talk, path)
    return path


def truth(talk):
    """Who says what, in turns: A begins."""
    return [
        ("AB"[voice], " ".join(word.word for word in said))
        for voice, said in groupby(talk.words, lambda one: voice_of(one.word))
    ]


def turns(told):
    return [
        (speaker, " ".join(one.text for one in said))
        for speaker, said in groupby(told.segments, lambda one: one.speaker)
    ]


@pytest.mark.parametrize(("model", "calls"), [(WHOLE, 1), (PARTS, 5)])
def test_who_speaks_is_told_of_the_whole_recording_and_across_its_parts(
    system, speech, talk, model, calls
):
    answer = system.sdk().audio.transcriptions.with_raw_response.create(
        model=model, file=speech, response_format="diarized_json", chunking_strategy="auto"
    )
    told = answer.parse()
    assert told.text == talk.text
    assert turns(told) == truth(talk)
    assert told.duration == pytest.approx(talk.seconds, abs=0.01)
    starts = [one.start for one in told.segments]
    assert starts == sorted(starts)
    job_id = answer.headers["x-headrace-job-id"]
    with system.http() as http:
        parts = http.get("/v1/jobs", params={"parent": job_id, "limit": 100}).json()["data"]
    assert len(parts) == calls


def test_a_speaker_that_is_known_by_a_sample_has_his_name(system, speech, talk):
    sample = "data:audio/flac;base64," + _sample(speech.parent, voice=1)
    told = system.sdk().audio.transcriptions.create(
        model=WHOLE,
        file=speech,
        response_format="diarized_json",
        known_speaker_names=["agent"],
        known_speaker_references=[sample],
    )
    assert turns(told) == [({"A": "A", "B": "agent"}[who], said) for who, said in truth(talk)]


def _sample(folder, voice):
    said = [word for word in script(6, 60, voices=2) if voice_of(word) == voice][:8]
    path = folder / "sample.flac"
    write(spoken(said), path)
    return base64.b64encode(path.read_bytes()).decode()


def test_a_long_recording_is_translated_in_parts_and_told_as_one(system, speech, talk):
    for form in ("srt", "text"):
        with pytest.warns(DeprecationWarning, match="deprecated"):
            told = system.sdk().audio.translations.create(
                model=ENGLISH, file=speech, response_format=form
            )
        assert ("00:00:0" in told) is (form == "srt")
    assert told.strip() == talk.text.upper()
    with (
        pytest.warns(DeprecationWarning, match="deprecated"),
        pytest.raises(openai.BadRequestError, match="translation"),
    ):
        system.sdk().audio.translations.create(model=DEAF, file=speech)


@pytest.mark.parametrize("more", [{}, {"known_speaker_names": ["x"]}])
def test_where_nobody_can_tell_it_is_refused_at_once_and_says_so(system, speech, more):
    if more:
        more["known_speaker_references"] = ["data:audio/wav;base64,UklGRg=="]
    model = PARTS if more else DEAF
    with pytest.raises(openai.BadRequestError) as caught:
        system.sdk().audio.transcriptions.create(
            model=model, file=speech, response_format="diarized_json", **more
        )
    assert caught.value.code == "capability_missing"
    assert ("known_speakers" if more else "diarization") in caught.value.message
