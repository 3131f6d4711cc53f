"""`headrace jobs` and `headrace chat`."""

import base64
import io
import json

import orjson
import pytest
from fake_api import chunk, event, make_job

from cli import show
from cli.answers import refusal


def test_a_list_is_a_table_newest_first_over_pages(fake, headrace):
    for number in range(130):
        fake.jobs[f"job_{number}"] = make_job(f"job_{number}", "x")
    ran = headrace("jobs", "list", "--limit", "120")
    rows = ran.out.splitlines()
    assert ran.code == 0
    assert len(rows) == 121
    assert rows[1].startswith("job_129 ")


def test_a_list_as_json_is_one_object_a_line(fake, headrace):
    fake.jobs["job_1"] = make_job("job_1", "x")
    ran = headrace("jobs", "list", "--json")
    assert json.loads(ran.out)["id"] == "job_1"


def test_an_empty_list_says_so(fake, headrace):
    ran = headrace("jobs", "list", "--status", "failed")
    assert (ran.code, ran.out) == (0, "")
    assert "no such jobs" in ran.err


def test_a_page_of_one_job_tells_why_it_waits_and_its_way(fake, headrace):
    fake.jobs["job_9"] = make_job("job_9", "x") | {"_outcome": "hang"}
    ran = headrace("jobs", "show", "job_9")
    assert ran.code == 0
    assert "quota, window rpm, 3 before it" in ran.out
    assert "skipped beta/m2  context too small" in ran.out


def test_an_unknown_job_is_told_and_the_others_are_shown(fake, headrace):
    fake.jobs["job_1"] = make_job("job_1", "x")
    ran = headrace("jobs", "show", "job_0", "job_1")
    assert ran.code == 1
    assert "job_0: no such job" in ran.err
    assert "answer to x" in ran.out


def test_a_watch_shows_each_event_once_over_a_cut_connection(fake, headrace):
    fake.jobs["job_1"] = make_job("job_1", "x")
    fake.scripts["job_1"] = [
        [event(1, "job.queued", {}), event(2, "job.started", {"deployment": "alpha/m1"})],
        [event(3, "job.moved", {"to": "beta/m2"}), event(4, "job.completed", {})],
    ]
    ran = headrace("jobs", "watch", "job_1", "--json")
    assert ran.code == 0
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == ["1", "2", "3", "4"]
    assert fake.last_event_ids == [None, "2"]


def test_a_watch_ends_with_code_1_where_the_job_failed_and_says_why(fake, headrace):
    fake.scripts["job_1"] = [[event(1, "job.failed", {"error": {"message": "no luck"}})]]
    ran = headrace("jobs", "watch", "job_1")
    assert ran.code == 1
    assert "failed: no luck" in ran.out


def test_a_watch_of_nothing_known_does_not_try_for_ever(fake, headrace):
    fake.scripts["job_1"] = []
    ran = headrace("jobs", "watch", "nonsense", "--after", "7")
    assert ran.code != 0


def test_cancel_and_replay_name_the_new_status(fake, headrace):
    fake.jobs["job_1"] = make_job("job_1", "x")
    assert "job_1  cancelled" in headrace("jobs", "cancel", "job_1").out
    assert "job_1  queued" in headrace("jobs", "replay", "job_1").out
    assert headrace("jobs", "cancel", "job_7").code == 1


def test_chat_streams_the_answer(fake, headrace):
    ran = headrace("chat", "say", "hello", "--system", "be brief")
    assert (ran.code, ran.out) == (0, "Hello there\n")
    assert [m["role"] for m in fake.bodies[0]["messages"]] == ["system", "user"]


def test_chat_takes_its_text_from_a_pipe(fake, headrace, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\n"))
    headrace("chat")
    assert fake.bodies[0]["messages"][0]["content"] == "from a pipe"


def test_a_chat_that_breaks_ends_with_code_1_and_the_reason(fake, headrace):
    ran = headrace("chat", "break")
    assert ran.code == 1
    assert "the stream broke" in ran.err


def test_a_conversation_remembers_and_survives_a_broken_turn(fake, headrace, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("first\nbreak\nsecond\n"))
    ran = headrace("chat")
    assert ran.code == 0
    assert "the stream broke" in ran.err
    said = [message["content"] for message in fake.bodies[-1]["messages"]]
    assert said == ["first", "Hello there", "second"]


def test_a_delta_of_any_shape_is_shown_as_text(fake, headrace):
    fake.scripts["job_1"] = [
        [
            event(1, "job.delta", chunk("one\u2028two")),
            event(2, "job.delta", {"choices": []}),
            event(3, "job.completed", {}),
        ]
    ]
    assert "one\u2028two" in headrace("jobs", "watch", "job_1").out


def test_an_attempt_is_told_in_words_with_units():
    attempt = {
        "n": 1, "deployment": "alpha/m", "outcome": "failed", "credential": "beta-1", "sent": True,
        "cost_microusd": 0, "started_at": 1795672260, "ended_after_s": 0.25, "status": 503,
    }  # fmt: skip
    said = show.page(make_job("job_1", "x") | {"attempts": [attempt], "cost": 0.0125})
    (line,) = [one for one in said if one.startswith("attempt")]
    assert line.startswith("attempt 1  alpha/m  failed  20")
    assert line.endswith(", took 250 ms, credential beta-1, status 503")
    assert "cost       US$ 0.012500" in said


@pytest.mark.parametrize("vector", [[0.5] * 256, base64.b64encode(bytes(4 * 256)).decode()])
def test_a_vector_is_told_by_its_numbers_in_either_encoding(vector):
    assert (
        show.answer({"result": {"data": [{"embedding": vector}]}}) == "1 vector(s) of 256 numbers"
    )


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({}, ""),
        ({"children": {"total": 0, "ended": 0}, "step": {"phase": "cutting"}}, "cutting"),
        (
            {
                "children": {"total": 8, "ended": 3, "completed": 1},
                "step": {"phase": "transcribing", "seconds": {"total": 2701.2, "completed": 540.0}},
            },
            "transcribing, 540 of 2,701 seconds, 3 of 8 parts ended, 2 of them without a result",
        ),
        (
            {"step": {"phase": "summarising", "documents": {"total": 4, "completed": 1}}},
            "summarising, 1 of 4 documents",
        ),
    ],
)
def test_the_progress_of_a_job_of_parts_is_told_in_words(fake, headrace, found, told):
    fake.scripts["job_1"] = [[event(1, "job.progress", found), event(2, "job.completed", {})]]
    said = f"progress: {told}" if told else "progress"
    assert f"   1  {said}\n" in headrace("jobs", "watch", "job_1").out
    page = show.page(make_job("job_1", "x") | {"progress": found})
    assert [one for one in page if one.startswith("progress")] == (
        [f"progress   {told}"] if told else []
    )


def test_a_job_that_is_not_there_is_told_without_the_routes_own_words():
    body = {"error": {"message": "there is no job job_9", "param": "id", "code": "job_not_found"}}
    assert str(refusal(404, orjson.dumps(body), {})) == "there is no job job_9"
