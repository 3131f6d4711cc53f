"""The parts of the demo that need neither engine nor network."""

import pytest

from cli.demo import measure, real, simulated, speech, stack, texts, verbs


def test_descriptions_are_cleaned_of_badges_links_and_tags():
    text = (
        "[![build](https://x/y.svg)](https://x)\n<p align=center>Hello</p>\n\n\n\n"
        "A [queue](https://q) that ![pic](p.png) works.\n=====\n"
    )
    assert texts.clean(text) == "Hello\n\nA queue that works."


def test_a_text_is_cut_at_its_last_whole_sentence():
    assert texts.cut("One two. Three four. Five six.", 24) == "One two. Three four."
    assert texts.cut("short", 24) == "short"


def test_sections_hold_every_word_of_a_description_in_order():
    body = " ".join(f"This is sentence number {n}." for n in range(200))
    sections = list(texts.sections([texts.Description("a", body)], 1_000))
    joined = " ".join(" ".join(each.text for each in sections).split())
    assert body.startswith(joined)
    assert len(body) - len(joined) < texts.LEAST_CHARS


def test_there_is_work_enough_in_the_packages_installed():
    assert len(real.asks()) == real.MOST_PACKAGES
    assert len(simulated.asks()) == simulated.JOBS


def test_the_demo_sees_no_key_no_store_and_no_setting_of_its_user(monkeypatch):
    for name in ("GROQ_API_KEY", "REDIS_URL", "HEADRACE_PORT"):
        monkeypatch.setenv(name, "x")
    found = stack.environment()
    assert not {"GROQ_API_KEY", "REDIS_URL", "HEADRACE_PORT"} & found.keys()
    assert "127.0.0.1" in found["NO_PROXY"]


def test_depths_are_summed_by_provider():
    lanes = [
        {"deployment": "alpha/m", "queued": {"bulk": 3, "normal": 1}},
        {"deployment": "alpha/n", "queued": {"bulk": 2}},
    ]
    assert measure.depths({"data": lanes}) == {"alpha": 6}


def test_jobs_are_counted_where_they_were_completed():
    jobs = [
        {"status": "completed", "attempts": [{"deployment": "alpha/m"}, {"deployment": "beta/m"}]},
        {"status": "failed", "route": {"chosen": "alpha/m"}},
    ]
    assert measure.where(jobs) == {"beta": 1}


@pytest.mark.parametrize(
    ("heard", "truth", "wrong"),
    [
        ("It was the best of times,", "it was the best of TIMES", 0.0),
        ("", "one two", 1.0),
        ("one three", "one two", 0.5),
        ("two", "one two", 0.5),
        ("one and two", "one two", 0.5),
        ("all of this was invented", "one", 5.0),
    ],
)
def test_a_word_changed_missing_or_too_many_counts_as_one_wrong(heard, truth, wrong):
    assert speech.word_error_rate(heard, truth) == wrong


def test_the_passage_and_the_recordings_are_there_and_so_is_a_folder_to_read():
    assert len(speech.words(speech.WORDS)) == 119
    assert set(speech.recordings()) == set(speech.RECORDINGS)
    assert len(list(verbs.FOLDER.glob("*.md"))) >= 5
