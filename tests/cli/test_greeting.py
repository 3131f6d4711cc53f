"""What `headrace up` says once it serves."""

import json
import shlex

from cli import greeting
from cli.home import Home
from cli.served import Served, Supply
from shared.credentials import Secret


def test_curl_can_be_typed_as_it_is_shown(tmp_path):
    supply = Supply((Served("alpha", 1, 2, no_auth=False),), {})
    said = greeting.text("http://h:1", Home(tmp_path), supply, Secret("hr_mine"), "here")
    lines = [line.strip() for line in said.splitlines()]
    at = next(n for n, line in enumerate(lines) if "export HEADRACE_API_KEY=hr_mine" in line)
    words = shlex.split(lines[at + 1])
    assert words[:2] == ["curl", "http://h:1/v1/chat/completions"]
    assert "Authorization: Bearer $HEADRACE_API_KEY" in words
    assert json.loads(words[-1])["model"] == "auto"
