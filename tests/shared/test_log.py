"""Logs: structured, and without secrets."""

import io
import json
import logging

import pytest
import structlog

from shared import log
from shared.credentials import Secret


@pytest.fixture
def lines():
    root = logging.getLogger()
    before = (root.handlers, root.level)
    out = io.StringIO()
    log.configure(stream=out, format_="json", keys={"process": "test"})
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = before


def test_a_line_is_a_constant_event_with_keys(lines):
    structlog.get_logger().info("attempt_failed", job_id="job_1", ms=12.5)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "attempt_failed",
        "level": "info",
        "job_id": "job_1",
        "ms": 12.5,
        "process": "test",
    }


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefgh12345",
        "gsk_abcdefgh12345",
        "hr_abcdefgh-12345",
        "AIzaSyA1234567890abcdefgh",
        "Authorization: Bearer abc.def",
        "rediss://user:abcdefgh12345@store:6379/0",
        "https://host/v1beta/models?key=abcdefgh12345&x=1",
    ],
)
def test_what_looks_like_a_secret_is_masked_wherever_it_stands(lines, text):
    structlog.get_logger().info(
        "x", plain=f"a {text} b", deep={"l": [{"m": (text,)}]}, e=OSError(text)
    )
    (line,) = lines()
    for secret in ("abcdefgh", "abc.def", "SyA123"):
        assert secret not in json.dumps(line)
    assert line["plain"].startswith("a ")
    assert line["plain"].endswith(" b")


def test_a_secret_is_masked_by_its_type(lines):
    secret = Secret("zz-the-secret-zz")
    structlog.get_logger().info("used", secret=secret, deep={"a": [secret]}, text=f"{secret}")
    (line,) = lines()
    assert (line["secret"], line["deep"], line["text"]) == ("***", {"a": ["***"]}, "***")


def test_a_key_that_names_a_secret_is_masked_whatever_it_holds(lines):
    structlog.get_logger().info("x", headers={"Authorization": "Basic zz"}, password="p", a=1)
    (line,) = lines()
    assert line["headers"] == {"Authorization": "***"}
    assert line["password"] == "***"
    assert line["a"] == 1


def test_ordinary_words_are_left_alone(lines):
    text = "task-12345678 risk-assessment-plan asks bearer-of-news http://host:80/path co-authored"
    structlog.get_logger().info("x", text=text, id="job_hr0123456789")
    (line,) = lines()
    assert line["text"] == text
    assert line["id"] == "job_hr0123456789"


def test_a_traceback_is_masked_too(lines):
    try:
        int("sk-abcdefgh12345")
    except ValueError:
        structlog.get_logger().exception("broke")
    (line,) = lines()
    assert "invalid literal for int() with base 10: '***'" in line["exception"]


def test_what_foreign_packages_log_comes_along_masked(lines):
    logging.getLogger("foreign.package").warning("key %s refused", "gsk_abcdefgh12345")
    logging.getLogger("foreign.package").info("chatter")
    (line,) = lines()
    assert line["event"] == "foreign"
    assert line["logger"] == "foreign.package"
    assert line["message"] == "key *** refused"


def test_what_json_cannot_hold_is_shown_as_text(lines):
    structlog.get_logger().info("x", a={1: {2, 3}}, b=object(), c=b"bytes")
    (line,) = lines()
    assert line["a"] == {"1": [2, 3]}
    assert line["b"].startswith("<object")


def test_levels_below_the_wanted_one_are_not_written(lines):
    structlog.get_logger().debug("x")
    assert lines() == []


def test_a_console_gets_text(lines):
    out = io.StringIO()
    log.configure(stream=out, format_="console")
    structlog.get_logger().info("hello", key="gsk_abcdefgh12345")
    assert "hello" in out.getvalue()
    assert "abcdefgh" not in out.getvalue()
