"""The same system on a Redis of one's own, on one behind TLS and a password, and under dramatiq."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers import redis7_server
from whole import until, whole_system

from bench.stack import clean_environment

ROOT = Path(__file__).parents[2]
CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


@pytest.fixture(scope="module")
def debians(tmp_path_factory):
    """The system on a Debian Redis 7, and the address of that."""
    folder = tmp_path_factory.mktemp("debians") / "redis7"
    with redis7_server(folder) as url, whole_system("unlimited", env={"REDIS_URL": url}) as found:
        yield found, url


def answered(system):
    with system.http() as http:
        answer = http.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_it_serves_over_debians_redis(debians):
    system, _ = debians
    assert answered(system)["choices"]
    assert not system.stack.pids("valkey-server")


def test_it_serves_over_tls_with_a_password(start, redis_tls):
    system = start("unlimited", env={"REDIS_URL": redis_tls.url})
    assert answered(system)["choices"]


def test_dramatiqs_own_command_runs_the_workers(debians, tmp_path):
    system, url = debians
    (ours,) = system.stack.pids("workers")
    environment = clean_environment() | {
        "REDIS_URL": url,
        "HEADRACE_CONFIG": str(system.stack.config_path),
    }
    words = [sys.executable, "-m", "dramatiq", "workers.main", "--processes", "1", "--threads", "1"]
    log = (tmp_path / "dramatiq.log").open("wb")
    child = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        store = system.stack.store()
        until(lambda: store.zcard("{hr}:workers") >= 2, most_s=240)
        os.kill(ours, signal.SIGSTOP)
        try:
            assert answered(system)["choices"]
        finally:
            os.kill(ours, signal.SIGCONT)
        child.send_signal(signal.SIGTERM)
        assert child.wait(120) == 0
    finally:
        child.kill()
        log.close()
        store.close()
