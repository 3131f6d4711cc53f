"""Recordings: decoded from any container, cut at silences, and what is wrong with them named."""

import asyncio
import hashlib
import wave
from itertools import pairwise
from pathlib import Path

import av
import pytest
from sounds import RATE, SILENCE, TONE, decoded, record, samples

from shared.errors import Refused
from workers.sandbox import Sandbox
from workers.sandboxed import sound
from workers.sandboxed.audio import cut
from workers.sandboxed.sound import Sound

DAY_MS = 86_400_000
SPEECH = samples((TONE, 3.0), (SILENCE, 0.6), (TONE, 3.2), (SILENCE, 0.4), (TONE, 2.8))


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def cut_up(path, out, *, most_ms=600_000, overlap_ms=1_000, longest_ms=DAY_MS):
    request = {"most_ms": most_ms, "overlap_ms": overlap_ms, "longest_ms": longest_ms}
    return cut(request, {"audio": Path(path)}, out)


def refusal(path, out, **options):
    with pytest.raises(Refused) as caught:
        cut_up(path, out, **options)
    return caught.value


@pytest.mark.parametrize(
    ("name", "codec", "format_", "film"),
    [
        ("a.wav", "pcm_s16le", None, False),
        ("a.flac", "flac", None, False),
        ("a.mp3", "mp3", None, False),
        ("a.m4a", "aac", "ipod", False),
        ("a.aac", "aac", "adts", False),
        ("a.ogg", "libopus", None, False),
        ("a.opus", "libopus", None, False),
        ("a.webm", "libopus", None, False),
        ("a.mka", "flac", "matroska", False),
        ("a.aiff", "pcm_s16be", None, False),
        ("film.mp4", "aac", None, True),
        ("film.mkv", "aac", None, True),
        ("film.avi", "mp3", None, True),
        ("film.mov", "pcm_s16le", None, True),
        ("wrong-name.pdf", "flac", "flac", False),
    ],
)
def test_every_usual_container_of_sound_and_film_is_read(tmp_path, out, name, codec, format_, film):
    path = record(tmp_path / name, SPEECH, codec=codec, format_=format_, film=film)
    found = cut_up(path, out)
    assert found["duration_ms"] == pytest.approx(10_000, abs=150)
    (part,) = found["parts"]
    assert (part["start_ms"], part["end_ms"]) == (0, found["duration_ms"])
    heard = decoded(out / part["file"])
    assert len(heard) == pytest.approx(len(SPEECH), abs=2_400)
    assert hashlib.sha256(heard.tobytes()).hexdigest() == part["digest"] == found["digest"]


def test_any_rate_and_number_of_channels_becomes_one_channel_of_16_khz(tmp_path, out):
    tone = samples((TONE, 1.0), rate=44_100)
    path = record(tmp_path / "a.flac", tone, codec="flac", rate=44_100, layout="stereo")
    (part,) = cut_up(path, out)["parts"]
    assert len(decoded(out / part["file"])) == pytest.approx(RATE, abs=40)


def test_the_digest_is_of_the_sound_whatever_it_is_packed_in(tmp_path, out):
    digests = {
        cut_up(record(tmp_path / name, SPEECH, codec=codec), out)["digest"]
        for name, codec in (("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.mkv", "flac"))
    }
    assert len(digests) == 1
    other = record(tmp_path / "b.wav", SPEECH[:-1], codec="pcm_s16le")
    assert cut_up(other, out)["digest"] not in digests


def test_a_long_recording_is_cut_in_its_silences(tmp_path, out):
    path = record(tmp_path / "a.flac", SPEECH, codec="flac")
    found = cut_up(path, out, most_ms=5_000)["parts"]
    cuts = [one["to_ms"] for one in found[:-1]]
    assert cuts == [pytest.approx(3_300, abs=20), pytest.approx(7_000, abs=20)]
    assert [one["start_ms"] for one in found] == [0, *cuts]
    heard = [decoded(out / one["file"]) for one in found]
    assert b"".join(each.tobytes() for each in heard) == SPEECH.tobytes()


def test_where_there_is_no_silence_parts_share_their_edges(tmp_path, out):
    tone = samples((TONE, 9.0))
    found = cut_up(record(tmp_path / "a.wav", tone, codec="pcm_s16le"), out, most_ms=4_000)["parts"]
    assert len(found) == 3
    for before, after in pairwise(found):
        assert before["end_ms"] - after["start_ms"] == 1_000
        assert before["to_ms"] == after["from_ms"] == before["end_ms"] - 500
    for one in found:
        assert one["end_ms"] - one["start_ms"] <= 4_000
        there = tone[one["start_ms"] * 16 : one["end_ms"] * 16]
        assert decoded(out / one["file"]) == there
        assert one["bytes"] == (out / one["file"]).stat().st_size


@pytest.mark.parametrize("hertz", [100, 1_000, 2_000, 4_000])
def test_no_tone_is_taken_for_silence(tmp_path, out, hertz):
    tone = samples((TONE, 6.0), (SILENCE, 0.5), (TONE, 6.0), hertz=hertz)
    found = cut_up(record(tmp_path / "a.wav", tone, codec="pcm_s16le"), out, most_ms=9_000)["parts"]
    assert [one["to_ms"] for one in found] == [pytest.approx(6_250, abs=50), 12_500]


def test_what_cannot_be_heard_needs_no_model(tmp_path, out):
    quiet = samples((TONE, 2.0), loudness=3)
    found = cut_up(record(tmp_path / "a.wav", quiet, codec="pcm_s16le"), out)
    assert [(one["file"], one["bytes"]) for one in found["parts"]] == [(None, 0)]
    assert not list(out.iterdir())


def test_a_recording_of_nothing_has_no_parts(tmp_path, out):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
    found = cut_up(tmp_path / "a.wav", out)
    assert (found["duration_ms"], found["parts"]) == (0, [])


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (b"", "empty_file", "the file is empty"),
        (b"%PDF-1.7\n1 0 obj\n" * 40, "unsupported_audio", "a PDF document"),
        (b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20, "unsupported_audio", "a program"),
        (b"PK\x03\x04" + bytes(400), "unsupported_audio", "a zip archive"),
        (b"<!DOCTYPE html><html>" + b"<p>404" * 90, "unsupported_audio", "a web page"),
        (b"dear sir or madam, \xc3\xa4 \n" * 90, "unsupported_audio", "it is text"),
        (bytes(4_000), "unsupported_audio", "it is"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "unsupported_audio", "damaged, or something else"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "unsupported_audio", "a playlist"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "unsupported_audio", "a playlist"),
    ],
)
def test_what_is_no_sound_is_told_for_what_it_is(tmp_path, out, data, code, word):
    path = tmp_path / "speech.mp3"
    path.write_bytes(data)
    refused = refusal(path, out)
    assert refused.code == code
    assert word in refused.message


def test_a_playlist_is_no_way_to_other_files(tmp_path, out):
    record(tmp_path / "inner.wav", SPEECH, codec="pcm_s16le")
    path = tmp_path / "speech.mp3"
    path.write_text("ffconcat version 1.0\nfile inner.wav\n")
    assert "a playlist" in refusal(path, out).message


def test_a_film_without_sound_is_refused(tmp_path, out):
    path = record(tmp_path / "film.mkv", SPEECH, codec="flac", film=True)
    silent = tmp_path / "silent.mp4"
    with av.open(str(path)) as film, av.open(str(silent), "w") as copy:
        track = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.dts is not None:
                packet.stream = track
                copy.mux(packet)
    refused = refusal(silent, out)
    assert refused.code == "no_audio"
    assert "video only" in refused.message


def test_half_a_file_is_refused_with_where_it_breaks_off(tmp_path, out):
    tone = samples((TONE, 30.0), (SILENCE, 1.0), (TONE, 9.0))
    path = record(tmp_path / "a.mka", tone, codec="pcm_s16le", format_="matroska")
    path.write_bytes(path.read_bytes()[: 16_000 * 2 * 12])
    refused = refusal(path, out)
    assert refused.code == "audio_damaged"
    assert "breaks off after 1" in refused.message
    assert "of the 40.0 s" in refused.message


def test_a_damaged_file_is_refused(tmp_path, out):
    path = record(tmp_path / "a.flac", samples((TONE, 30.0)), codec="flac")
    data = bytearray(path.read_bytes())
    for at in range(9_000, len(data)):
        data[at] = (at * 7919) % 251
    path.write_bytes(data)
    assert refusal(path, out).code == "audio_damaged"


def test_longer_than_allowed_is_refused_with_the_settings_name(tmp_path, out):
    path = record(tmp_path / "a.wav", samples((TONE, 5.0)), codec="pcm_s16le")
    refused = refusal(path, out, longest_ms=3_000)
    assert refused.code == "audio_too_long"
    assert "HEADRACE_MAX_AUDIO_S" in refused.message


def test_a_long_recording_is_cut_in_a_child_process(tmp_path, out):
    second = samples((TONE, 0.7), (SILENCE, 0.3), rate=4_000).tobytes()
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(4_000)
        file.writeframesraw(second * 900)
    request = {"most_ms": 400_000, "overlap_ms": 2_000, "longest_ms": DAY_MS}
    found = asyncio.run(Sandbox().run("audio:cut", request, files={"audio": path}, out=out))
    assert found["duration_ms"] == 900_000
    assert len(found["parts"]) == len(list(out.iterdir())) == 3
    assert all(one["start_ms"] == one["from_ms"] for one in found["parts"])
    assert all(one["end_ms"] - one["start_ms"] <= 400_000 for one in found["parts"])


def slow_wave(path, rate, frames):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframesraw(b"\0\1" * frames)
    return path


@pytest.mark.parametrize("rate", [1, 2, 999])
def test_a_rate_of_no_speech_is_refused(tmp_path, out, rate):
    refused = refusal(slow_wave(tmp_path / "a.wav", rate, 3 * rate), out)
    assert refused.code == "unsupported_audio"
    assert f"its sample rate is {rate} Hz" in refused.message


def test_what_says_that_it_is_too_long_is_not_decoded(tmp_path, out, monkeypatch):
    path = slow_wave(tmp_path / "a.wav", 1_000, 30_000)
    monkeypatch.setattr(Sound, "samples", None)
    assert refusal(path, out, longest_ms=20_000).code == "audio_too_long"


def test_packets_that_give_no_sound_take_no_more_than_their_time(monkeypatch):
    class Empty:
        def decode(self):
            return ()

        def demux(self, _track):
            return iter([self] * 3)

    monkeypatch.setattr(sound, "CPU_S", -1e9)
    with pytest.raises(Refused) as caught:
        next(Sound(Empty(), None, 1_000).samples(), None)
    assert caught.value.code == "time_bound"


@pytest.mark.parametrize(("kept", "whole"), [(0.34, False), (0.7, False), (1.0, True)])
def test_of_a_short_recording_little_may_be_missing(tmp_path, out, kept, whole):
    path = record(tmp_path / "a.flac", samples((TONE, 6.0)), codec="flac")
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * kept)])
    if whole:
        assert cut_up(path, out)["duration_ms"] == 6_000
    else:
        assert refusal(path, out).code == "audio_damaged"
