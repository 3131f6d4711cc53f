"""`headrace submit`: what it hands in, what it prints, which exit code tells how it went."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest
from fake_api import chunk, event


def test_one_text_prints_its_answer_and_nothing_else_on_stdout(fake, headrace):
    ran = headrace("submit", "What is a headrace?")
    assert (ran.code, ran.out) == (0, "answer to What is a headrace?\n")
    assert fake.bodies[0]["kind"] == "chat"
    assert fake.bodies[0]["request"]["model"] == "auto"


def test_options_reach_the_job(fake, headrace):
    headrace(
        *("submit", "a", "--model", "auto:small", "--priority", "bulk", "--deadline", "60"),
        *("--max-tokens", "9", "--share", "never", "--cache", "0"),
        *("--hedge", "never"),
    )
    body = fake.bodies[0]
    assert (body["share"], body["cache_s"], body["hedge"]) == ("never", 0, "never")
    assert (body["priority"], body["deadline_s"]) == ("bulk", 60)
    assert (body["request"]["model"], body["request"]["max_tokens"]) == ("auto:small", 9)


def test_every_job_has_an_idempotency_key_of_its_own(fake, headrace):
    headrace("submit", "a", "b")
    assert None not in fake.keys
    assert len(set(fake.keys)) == 2


def test_a_failed_job_among_many_makes_exit_code_1_and_is_named(fake, headrace):
    fake.outcomes["b"] = "failed"
    ran = headrace("submit", "a", "b", "c")
    assert ran.code == 1
    assert "failed: b: nobody could" in ran.err
    assert "2 completed, 1 failed" in ran.err


def test_a_refused_job_does_not_stop_the_others(fake, headrace):
    fake.outcomes["b"] = "refused"
    ran = headrace("submit", "a", "b", "c")
    assert ran.code == 1
    assert "request.model: no such model" in ran.err
    assert "answer to c" in ran.out


def test_json_prints_one_object_a_job(fake, headrace):
    fake.outcomes["b"] = "failed"
    ran = headrace("submit", "a", "b", "--json")
    statuses = [json.loads(line)["status"] for line in ran.out.splitlines()]
    assert sorted(statuses) == ["completed", "failed"]


def test_no_wait_prints_the_ids_in_the_order_of_what_was_handed_in(fake, headrace):
    fake.outcomes["a"] = "hang"
    ran = headrace("submit", "a", "b", "c", "--no-wait")
    assert ran.code == 0
    assert [fake.jobs[job_id]["_text"] for job_id in ran.out.split()] == ["a", "b", "c"]


def test_a_file_holds_a_prompt_a_line(fake, headrace, tmp_path):
    (tmp_path / "p.txt").write_text("one\n\ntwo\n")
    assert headrace("submit", "--file", str(tmp_path / "p.txt")).code == 0
    texts = sorted(body["request"]["messages"][0]["content"] for body in fake.bodies)
    assert texts == ["one", "two"]


def test_json_lines_may_be_texts_prompts_requests_or_whole_jobs(fake, headrace, tmp_path):
    lines = [
        "text",
        {"prompt": "prompt"},
        {"messages": [{"role": "user", "content": "request"}], "model": "m1"},
        {"kind": "embedding", "request": {"input": "whole"}, "priority": "bulk"},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ran = headrace("submit", "--file", str(tmp_path / "p.jsonl"))
    assert ran.code == 0
    by_text = {json.dumps(body["request"]): body for body in fake.bodies}
    assert len(by_text) == 4
    whole = next(body for body in fake.bodies if body["kind"] == "embedding")
    assert (whole["priority"], whole["request"]["model"]) == ("bulk", "auto")


def test_max_tokens_is_for_the_chats_of_a_file_too_that_say_none(fake, headrace, tmp_path):
    said = [{"role": "user", "content": "x"}]
    lines = [
        {"messages": said},
        {"messages": said, "max_tokens": 3},
        {"messages": said, "max_completion_tokens": 4},
        {"request": {"messages": said}},
        {"prompt": "x"},
        {"input": "x"},
        {"kind": "embedding", "request": {"input": "x"}},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    headrace("submit", "--file", str(tmp_path / "p.jsonl"), "--max-tokens", "9")
    asked = [body["request"] for body in fake.bodies]
    found = [one.get("max_tokens", one.get("max_completion_tokens")) for one in asked]
    assert sorted(map(str, found)) == ["3", "4", "9", "9", "9", "None", "None"]


def test_a_line_of_a_batch_is_refused_with_the_verb_that_runs_it(fake, headrace, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"custom_id": "a", "method": "POST", "body": {}}\n')
    ran = headrace("submit", "--file", str(tmp_path / "p.jsonl"))
    assert (ran.code, fake.bodies) == (2, [])
    assert "headrace batch FILE" in ran.err


def test_a_bad_line_is_named_and_nothing_is_handed_in(fake, headrace, tmp_path):
    (tmp_path / "p.jsonl").write_text('"fine"\n{"promt": "x"}\n')
    ran = headrace("submit", "--file", str(tmp_path / "p.jsonl"))
    assert ran.code == 2
    assert "line 2" in ran.err
    assert fake.bodies == []


def test_stdin_is_a_file_too(fake, headrace, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO("über\n".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert headrace("submit", "--file", "-").out == "answer to über\n"


def test_stream_prints_the_answer_as_it_comes(fake, headrace):
    fake.scripts["job_1"] = [
        [event(1, "job.queued", {}), event(2, "job.delta", chunk("Hel"))],
        [event(3, "job.delta", chunk("lo")), event(4, "job.completed", {})],
    ]
    ran = headrace("submit", "hi", "--stream")
    assert (ran.code, ran.out) == (0, "Hello\n")
    assert fake.last_event_ids == [None, "2"]
    assert fake.bodies[0]["stream"] is True


@pytest.mark.parametrize(
    "words", [["submit"], ["submit", "a", "b", "--stream"], ["submit", "a", "--kind", "sonnet"]]
)
def test_wrong_usage_is_one_line_and_exit_code_2(fake, headrace, words):
    ran = headrace(*words)
    assert ran.code == 2
    assert ran.err.startswith("headrace: ")
    assert len(ran.err.splitlines()) == 1


def test_an_unknown_key_says_what_to_do(fake, headrace, monkeypatch):
    monkeypatch.setenv("HEADRACE_API_KEY", "hr_wrong")
    ran = headrace("submit", "a", "b", "c")
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert "set HEADRACE_API_KEY" in ran.err


def test_an_overfull_queue_is_waited_out(fake, headrace):
    fake.overfull = 2
    assert headrace("submit", "a").code == 0


def test_nobody_there_is_exit_code_3_and_one_line(headrace, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:9")
    ran = headrace("submit", "a")
    assert ran.code == 3
    assert "headrace up" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_interrupt_leaves_the_jobs_running_and_says_how_to_go_on(fake):
    fake.outcomes["a"] = "hang"
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "submit", "a"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    assert fake.polled.wait(120)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "headrace jobs watch job_1" in err
    assert "Traceback" not in err


def test_a_webhook_is_told_of_each_job(fake, headrace):
    assert headrace("submit", "a", "b", "--webhook", "https://example.com/hook").code == 0
    assert [body["webhook"] for body in fake.bodies] == ["https://example.com/hook"] * 2
