"""Settings from the environment."""

import os
import re
from pathlib import Path

import pytest

from shared import settings
from shared.core.sharing import Policy, ShareMode
from shared.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in [*os.environ]:
        if name.startswith("HEADRACE_") or name == "REDIS_URL":
            monkeypatch.delenv(name)


def test_the_defaults_are_the_documented_ones():
    found = settings.load()
    assert (found.host, found.port, found.redis_url) == ("127.0.0.1", 8080, None)
    assert (found.hold_s, found.max_inflight, found.max_body_bytes) == (540, 1000, 32 * 2**20)
    assert (found.deadline_interactive_s, found.deadline_normal_s) == (600, 86_400)
    assert found.deadline_bulk_s is None
    assert (found.heartbeat_s, found.dead_after_s) == (1, 5)
    assert (found.bulk_reserve, found.paid) == (0.10, "deadline")
    assert found.sharing == Policy(ShareMode.AUTO, 0, 3 * 86_400_000)


def test_data_lies_where_xdg_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert settings.load().data_dir == tmp_path / "headrace"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.load().data_dir == tmp_path / ".local/share/headrace"


def test_what_the_command_line_says_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("HEADRACE_PORT", "9000")
    monkeypatch.setenv("HEADRACE_WORKERS", "3")
    found = settings.load(port=7, workers=None)
    assert (found.port, found.workers) == (7, 3)


def test_the_store_is_at_redis_url_and_is_not_shown(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "rediss://user:pass-word@store:6380/1")
    found = settings.load()
    assert found.redis_url == "rediss://user:pass-word@store:6380/1"
    assert "pass-word" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HEADRACE_PROT", "1", "unknown variable 'HEADRACE_PROT'; did you mean 'HEADRACE_PORT'?"),
        ("HEADRACE_PORT", "abc", "HEADRACE_PORT: should be a valid integer"),
        ("HEADRACE_PORT", "70000", "HEADRACE_PORT: should be less than or equal to 65535"),
        ("HEADRACE_HOLD_S", "nan", "HEADRACE_HOLD_S: should be"),
        ("HEADRACE_HOLD_S", "-1", "HEADRACE_HOLD_S: should be greater than or equal to 0"),
        ("HEADRACE_BULK_RESERVE", "5", "HEADRACE_BULK_RESERVE: should be less than or equal to 1"),
        ("HEADRACE_PAID", "sometimes", "HEADRACE_PAID: should be 'never', 'deadline' or 'always'"),
        ("HEADRACE_HUNG_AFTER_S", "0", "HEADRACE_HUNG_AFTER_S: should be greater than 0"),
        ("HEADRACE_DEAD_AFTER_S", "1.5", "HEADRACE_DEAD_AFTER_S must be at least twice"),
        ("REDIS_URL", "http://x", "REDIS_URL: should begin with redis://"),
        ("REDIS_URL", "valkey://x", "REDIS_URL: should begin with redis://"),
    ],
)
def test_a_wrong_value_names_the_variable_and_says_what_to_do(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        settings.load()
    assert message in str(caught.value)


def test_a_refused_address_is_not_quoted(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "http://user:pass-word@x")
    with pytest.raises(ConfigError) as caught:
        settings.load()
    assert "pass-word" not in f"{caught.value}{caught.value.__cause__}"


def test_an_empty_variable_is_not_set(monkeypatch):
    monkeypatch.setenv("HEADRACE_PORT", "")
    assert settings.load().port == 8080


def test_the_command_lines_own_variables_are_not_unknown(monkeypatch):
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:8080")
    monkeypatch.setenv("HEADRACE_API_KEY", "hr_x")
    settings.load()


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        settings.load().port = 1


def test_every_number_says_its_unit():
    units = ("_s", "_bytes", "_usd", "_share", "_reserve", "_margin")
    counts = {"port", "workers", "max_inflight", "max_queued", "max_attempts", "breaker_failures"}
    counts |= {"max_batch_lines", "cache_entries"}
    for name, field in settings.Settings.model_fields.items():
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            assert name.endswith(units) or name in counts, name


def shown(field):
    """A default as a person reads it."""
    if field.default_factory is not None:
        return "`~/.local/share/headrace`"
    if field.default is None:
        return "none"
    plain = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return f"`{plain}`"


def test_the_page_of_settings_is_what_the_settings_say():
    page = (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    told = [line for line in page.splitlines() if re.match(r"\| `(HEADRACE_|REDIS_URL)", line)]
    wanted = []
    for name, field in settings.Settings.model_fields.items():
        variable = "REDIS_URL" if name == "redis_url" else f"HEADRACE_{name.upper()}"
        assert field.description, f"{name}: say what it is"
        what = field.description.replace("None:", "none:")
        wanted.append(f"| `{variable}` | {what} | {shown(field)} |")
    assert told == wanted, "docs/SETTINGS.md should hold:\n" + "\n".join(wanted)
