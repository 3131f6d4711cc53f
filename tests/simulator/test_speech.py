"""What is spoken is heard: whole, cut, and in other formats."""

import io
import json
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.hearing import MUMBLED, NotAudioError, hear
from simulator.speak import main
from simulator.speech import RATE, script, sound, spoken, talk_of, write

TALK = talk_of(5, 60)
PCM = b"".join(sound(TALK))
EDGE_S = 0.016


def wav(pcm):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        out.writeframes(pcm)
    return file.getvalue()


def test_the_same_seed_says_the_same_and_another_something_else():
    assert script(1, 50) == script(1, 50) != script(2, 50)
    assert talk_of(1, 20) == talk_of(1, 20)
    assert abs(TALK.seconds - 60) < 3


def test_only_words_of_the_vocabulary_can_be_said():
    with pytest.raises(ValueError, match="'wheel' cannot be said"):
        spoken(["Bado", "wheel"])


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg", "m4a"])
def test_every_word_is_heard_at_its_time(tmp_path, ending):
    path = tmp_path / f"talk.{ending}"
    write(TALK, path)
    heard = hear(path.read_bytes())
    assert heard.text == TALK.text
    assert abs(heard.seconds - TALK.seconds) < 0.1
    for said, word in zip(TALK.words, heard.words, strict=True):
        assert abs(said.start_s - word.start_s) < 0.02
        assert abs(said.end_s - word.end_s) < 0.02


@given(start=st.floats(0, 50), length=st.floats(0.5, 10))
@settings(max_examples=60, deadline=None)
def test_a_part_holds_its_own_words_and_at_most_a_mumble_at_either_edge(start, length):
    first, last = round(start * RATE), round((start + length) * RATE)
    heard = hear(wav(PCM[2 * first : 2 * last]))
    clean = [word for word in heard.words if word.word != MUMBLED]
    assert all(
        word in (heard.words[0], heard.words[-1]) for word in heard.words if word not in clean
    )
    shift = first / RATE
    inside = [w for w in TALK.words if w.start_s >= shift and w.end_s <= last / RATE]
    near = [
        w for w in TALK.words if w.start_s >= shift - EDGE_S and w.end_s <= last / RATE + EDGE_S
    ]
    said = [(word.word, round(word.start_s + shift, 1)) for word in clean]
    assert len(inside) <= len(said) <= len(near)
    told = {(w.word, round(w.start_s + d, 1)) for w in near for d in (-EDGE_S, 0, EDGE_S)}
    assert set(said) <= told


def test_a_word_that_was_cut_through_is_mumbled_or_lost():
    word = TALK.words[10]
    for share, expected in ((0.7, [MUMBLED]), (0.2, [])):
        first = round((word.end_s - share * (word.end_s - word.start_s)) * RATE)
        heard = hear(wav(PCM[2 * first : 2 * round((word.end_s + 0.02) * RATE)]))
        assert [each.word for each in heard.words] == expected


@pytest.mark.parametrize("data", [b"", b"hello", b"RIFF0000WAVEfmt ", b"\x89PNG" + bytes(900)])
def test_what_is_no_sound_is_refused(data):
    with pytest.raises(NotAudioError):
        hear(data)


def test_a_folder_of_talks_is_written_with_its_truth(tmp_path):
    assert main([str(tmp_path), "--files", "2", "--minutes", "0.1"]) == 0
    for path in sorted(tmp_path.glob("*.flac")):
        truth = json.loads(path.with_suffix(".json").read_text())
        assert hear(path.read_bytes()).text == truth["text"]
    assert len(list(tmp_path.iterdir())) == 4
