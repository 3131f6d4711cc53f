"""`headrace providers` and `headrace keys`, on the real API over a store in memory."""

import io
import json
import sys
from pathlib import Path

import pytest
from fake_api import serving

sys.path.append(str(Path(__file__).parents[1] / "api"))
from api_fakes import ADMIN, FakeStore, application

from shared.core.model import Kind

SECRET = "sk-brand-new-0123456789"


class Served:
    """The application, as `fake_api.serving` takes it."""

    def __init__(self):
        self.store = FakeStore()
        self.store.on_accept = self.work
        self.url = ""

    def app(self):
        return application(self.store)[0]

    def work(self, job_id):
        assert self.store.rows[job_id].record.kind is Kind.TASK
        self.store.test(job_id)


@pytest.fixture
def real(monkeypatch, tmp_path):
    with serving(Served()) as api:
        monkeypatch.setenv("HEADRACE_URL", api.url)
        monkeypatch.setenv("HEADRACE_API_KEY", ADMIN)
        monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
        yield api.store


def test_a_key_is_added_from_its_variable_listed_tested_and_removed(real, headrace, monkeypatch):
    monkeypatch.setenv("BETA_KEY", SECRET)
    made = headrace("providers", "add", "beta", "--key-env", "BETA_KEY", "--plan", "free", "--json")
    assert made.code == 0, made.err
    id_ = json.loads(made.out)["id"]
    assert SECRET not in made.out
    listed = headrace("providers", "list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["provider", "alpha", "beta"]
    assert "1 ok" in listed[2]
    tested = headrace("providers", "test", "beta", "--json")
    found = json.loads(tested.out)
    assert (tested.code, found["credential"], found["model_count"]) == (0, id_, 2)
    assert headrace("providers", "test").out.count("valid") == 2
    assert headrace("providers", "remove", id_).out == f"removed {id_}\n"
    assert headrace("providers", "test", "beta").code == 2


def test_a_bad_key_ends_the_test_with_a_code(real, headrace):
    real.on_accept = lambda job_id: real.test(
        job_id, valid=False, status="invalid", message="bad key", models=[]
    )
    ran = headrace("providers", "test", "alpha")
    assert ran.code == 1
    assert "invalid" in ran.out
    assert "bad key" in ran.out


def test_a_key_may_come_from_standard_input_and_never_from_the_command_line(
    real, headrace, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))
    assert headrace("providers", "add", "beta").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ran = headrace("providers", "add", "beta")
    assert (ran.code, "--key-env" in ran.err) == (2, True)
    ran = headrace("providers", "add", "beta", "--key-env", "NO_SUCH_VARIABLE")
    assert (ran.code, "NO_SUCH_VARIABLE" in ran.err) == (2, True)


def test_a_new_provider_needs_an_address_and_models(real, headrace):
    words = ("providers", "add", "mine", "--base-url", "https://203.0.114.7/v1", "--no-key")
    assert "--model" in headrace(*words).err
    assert headrace(*words, "--model", "m1").out == "added mine\n"
    assert "mine" in headrace("providers", "list").out
    refused = headrace(
        "providers", "add", "other", "--base-url", "http://127.0.0.1/v1", "--no-key", "--model", "m"
    )
    assert (refused.code, "private address" in refused.err) == (2, True)
    assert headrace("providers", "remove", "mine").code == 0


def test_limits_are_listed_with_who_told_them(real, headrace):
    assert headrace("providers", "limits", "nobody").out.splitlines()[1:] == []


def test_an_api_key_is_shown_once(real, headrace):
    made = headrace("keys", "create", "reports", "--weight", "2")
    assert made.out.startswith("hr_")
    assert "not shown again" in made.err
    listed = headrace("keys", "list").out
    assert "reports" in listed
    assert made.out.strip() not in listed
    turned = headrace("keys", "rotate", "reports").out
    assert turned.startswith("hr_")
    assert turned != made.out
    assert headrace("keys", "revoke", "reports").code == 0
    assert headrace("keys", "revoke", "reports").code == 2
    assert json.loads(headrace("keys", "list", "--json").out.splitlines()[0])["name"]
