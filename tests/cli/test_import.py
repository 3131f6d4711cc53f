"""`headrace import`: old settings are read as their page and server did, and nothing is lost."""

import io
import json
import sys
from pathlib import Path

import pytest
from fake_api import serving
from hypothesis import given
from hypothesis import strategies as st

from cli import migration, old_settings
from cli.migration import Known
from cli.old_settings import Entry, Old
from shared.errors import ConfigError

sys.path.append(str(Path(__file__).parents[1] / "api"))
from api_fakes import ADMIN, FakeStore, application

KNOWN = (
    Known("groq", "https://api.groq.com/openai/v1", 12),
    Known("gemini", "https://generativelanguage.googleapis.com/v1beta", 9),
    Known("together", "https://api.together.xyz/v1", 5),
    Known("openai", "https://api.openai.com/v1", 20),
    Known("ollama", "http://localhost:11434/v1", 0),
)
OWN = "https://203.0.114.7/v1"  # an address of nobody's
SECRET = "sk-old-0123456789"


def entry(**said):
    return Entry("providers[0]", **{"type": "groq", "key": SECRET, **said})


def planned(*entries, tenant=None):
    return migration.plan(Old(entries), KNOWN, tenant)


def credential(made):
    assert made.refused == ()
    return dict(made.steps[-1].credential)


def test_version_1_is_one_provider_and_its_models_and_search_key_are_named():
    old = old_settings.read(
        json.dumps(
            {
                "provider": "groq",
                "llmApiKey": SECRET,
                "planningModel": "a",
                "tavilyApiKey": "tvly-secret",
                "language": "en",
                "empty": "",
            }
        )
    )
    assert old.entries == (Entry("provider", type="groq", key=SECRET),)
    told = "\n".join(old.remarks)
    assert all(name in told for name in ("planningModel", "tavilyApiKey", "language"))
    assert "tvly-secret" not in told
    assert "empty" not in told


def test_version_2_is_read_whole_and_saved_without_enabled_is_enabled():
    provider = {
        "id": "f81d4fae",
        "type": "groq-free",
        "apiEndpoint": " https://api.groq.com/openai/v1 ",
        "apiKey": SECRET,
        "modelName": "llama-3.3-70b-versatile",
        "rateLimitTPM": 6000,
        "allowedModels": ["a", " ", "b"],
        "capabilities": ["chat"],
        "priority": 2,
    }
    off = {"type": "openai", "apiKey": "sk-off", "enabled": False, "maxImageQuality": "high"}
    settings = {"version": "2.0.0", "providers": [provider, off]}
    for text in (
        json.dumps(settings),
        json.dumps({"app_settings": settings}),
        json.dumps({"app_settings": json.dumps(settings)}),
        json.dumps(settings["providers"]),
    ):
        old = old_settings.read(text)
        assert old.entries == (
            Entry(
                "providers[0]",
                type="groq-free",
                key=SECRET,
                endpoint="https://api.groq.com/openai/v1",
                model="llama-3.3-70b-versatile",
                allowed=("a", "b"),
                capabilities=("chat",),
                tpm=6000,
                priority=2,
            ),
            Entry("providers[1]", type="openai", key="sk-off", enabled=False),
        )
        assert old.remarks == ("maxImageQuality of a provider: not known",)


def test_numbered_variables_are_read_with_gaps_under_every_prefix():
    old = old_settings.read(
        f"""
        # the server's
        export LP_TYPE_0=groq-free
        LP_KEY_0="{SECRET}"
        LP_ALLOWED_MODELS_0=a, b
        LP_RATE_LIMIT_0=10000  # tokens a minute
        LP_PRIORITY_0=5
        LP_IMAGE_MAX_QUALITY_0=high
        LLAMDA_LLM_PROXY_PROVIDER_TYPE_7=openai-compatible
        LLAMDA_LLM_PROXY_PROVIDER_KEY_7=sk-7
        LLAMDA_LLM_PROXY_PROVIDER_ENDPOINT_7={OWN}
        LLAMDA_LLM_PROXY_PROVIDER_MODEL_7=llama
        OPENAI_COMPATIBLE_LLM_KEY_1=sk-1
        OPENAI_COMPATIBLE_LLM_URL_1=https://api.together.xyz/v1
        OPENAI_COMPATIBLE_LLM_NAME_1='Together AI'
        ALLOWED_EMAILS=a@example.com
        """
    )
    found = {one.place: one for one in old.entries}
    assert found["LP_*_0"] == Entry(
        "LP_*_0", type="groq-free", key=SECRET, allowed=("a", "b"), tpm=10_000, priority=5
    )
    assert found["LLAMDA_LLM_PROXY_PROVIDER_*_7"].model == "llama"
    assert found["OPENAI_COMPATIBLE_LLM_*_1"].name == "Together AI"
    assert old.remarks == ("LP_IMAGE_MAX_QUALITY_0: not known",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[1]", "providers[0]"),
        ("[" * 100_000, "nested too deep"),
        ('{"version": "3.0.0", "providers": []}', "version"),
        ('{"theme": "dark"}', "no provider"),
        ('{"app_settings": 4}', "no settings"),
        ('{"providers": {"a": 1}}', "providers"),
        (json.dumps({"providers": [{}] * 501}), "500"),
        ('{"providers": [{"type": 1}]}', "providers[0].type"),
        ('{"providers": [{"enabled": "no"}]}', "providers[0].enabled"),
        ('{"providers": [{"allowedModels": [1]}]}', "providers[0].allowedModels"),
        ('{"providers": [{"rateLimitTPM": "many"}]}', "providers[0].rateLimitTPM"),
        ('{"providers": [{"rateLimitTPM": ' + "9" * 5000 + "}]}", "digits"),
        ("LP_TYPE_0=groq\nLP_RATE_LIMIT_0=fast", "LP_*_0 (tpm)"),
        ("GROQ_API_KEY=gsk", "reads them itself"),
        ("just words", "line 1"),
        ("", "no provider"),
    ],
)
def test_what_is_no_settings_is_refused_by_what_is_wrong(text, told):
    with pytest.raises(ConfigError) as caught:
        old_settings.read(text)
    assert told in str(caught.value)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["version", "providers", "app_settings", "provider", *old_settings.FIELDS]),
        inner, max_size=4,
    ),
    max_leaves=12,
))  # fmt: skip
def test_any_json_is_read_or_refused_and_never_ends_otherwise(settings):
    try:
        old = old_settings.of_json(settings)
    except (ConfigError, json.JSONDecodeError):  # `read` tells of the latter
        return
    migration.plan(old, KNOWN)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"type": "groq-free"}, {"provider": "groq", "plan": "free"}),
        ({"type": "gemini-free"}, {"provider": "gemini", "plan": "free"}),
        ({"type": "openai"}, {"provider": "openai"}),
        (
            {"endpoint": "https://api.groq.com/openai/v1/chat/completions"},
            {"provider": "groq"},
        ),
        (
            {"type": "openai-compatible", "endpoint": "https://api.together.xyz/v1/"},
            {"provider": "together"},
        ),
        ({"model": "llama"}, {"provider": "groq", "allowed_models": ["llama"]}),
        (
            {"model": "llama", "allowed": ("a", "b", "a")},
            {"provider": "groq", "allowed_models": ["a", "b"]},
        ),
        ({"enabled": False}, {"provider": "groq", "enabled": False}),
        ({"priority": 1}, {"provider": "groq", "priority": 99}),
        ({"priority": 100}, {"provider": "groq"}),
        ({"priority": 10**9}, {"provider": "groq", "priority": -1000}),
    ],
)
def test_an_entry_becomes_a_key_of_the_provider_it_meant(said, wanted):
    assert credential(planned(entry(**said))) == {"key": SECRET, **wanted}


def test_keys_may_be_for_one_tenant():
    assert credential(planned(entry(), tenant="alice"))["tenant"] == "alice"


def test_an_address_of_ones_own_becomes_one_provider_with_all_its_models():
    made = planned(
        entry(type="openai-compatible", endpoint=OWN, name="My GPUs!", model="m1", tpm=9000),
        entry(type="x", endpoint=f"{OWN}/chat/completions/", key="sk-2", allowed=("m1", "m2")),
    )
    first, second = made.steps
    limits = {"limits": {"paid": {"tpm": 9000}}}
    assert first.provider == {
        "id": "my-gpus",
        "base_url": OWN,
        "title": "My GPUs!",
        "models": [{"id": "m1", **limits}, {"id": "m2", **limits}],
    }
    assert second.provider is None
    assert second.credential["provider"] == "my-gpus"
    assert "price" in " ".join(first.remarks)


def test_a_key_in_an_address_is_not_kept_nor_told():
    made = planned(entry(endpoint=f"{OWN}?key=AIza-secret"))
    assert "AIza" not in str(made)
    made = planned(entry(endpoint=f"{OWN}?key=AIza-secret", model="m"))
    assert made.steps[0].provider["base_url"] == OWN


def test_a_name_that_is_taken_is_numbered():
    made = planned(entry(endpoint=OWN, name="Groq", model="m"))
    assert made.steps[0].provider["id"] == "groq-2"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"type": ""}, "no type"),
        ({"key": ""}, "no key"),
        ({"type": "grok"}, "did you mean 'groq'"),
        ({"type": "openai-compatible"}, "no endpoint"),
        ({"type": "openai-compatible", "endpoint": "ftp://x"}, "no address"),
        ({"type": "openai-compatible", "endpoint": "http://[::1"}, "no address"),
        ({"type": "openai-compatible", "endpoint": "https://me:pass@x/v1"}, "no address"),
        ({"type": "openai-compatible", "endpoint": OWN}, "--model"),
        ({"type": "openai-compatible", "endpoint": "http://localhost:11434/v1"}, "--model"),
    ],
)
def test_an_entry_that_cannot_be_brought_over_says_what_to_do(said, told):
    made = planned(entry(**said))
    ((place, why),) = made.refused
    assert (place, made.steps) == ("providers[0]", ())
    assert told in why


@pytest.mark.parametrize("version", ["1", "2", 2, "2.0.0", "2.1"])
def test_settings_of_version_1_or_2_are_read_however_that_is_written(version):
    listed = [{"type": "groq", "apiKey": SECRET}]
    assert old_settings.of_json({"version": version, "providers": listed}).entries


@pytest.mark.parametrize(
    ("enabled", "wanted"), [(0, False), (False, False), (1, True), (True, True), (None, True)]
)
def test_an_entry_disabled_by_0_is_disabled(enabled, wanted):
    one = {"type": "groq", "apiKey": SECRET, "enabled": enabled}
    (read,) = old_settings.of_json({"providers": [one]}).entries
    assert read.enabled is wanted


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"key": f"{SECRET}\ud800"}, "its key holds half a character"),
        ({"allowed": ("a", "b\udfff")}, "its allowed model 2 holds half"),
        ({"tpm": 10**30}, "its limit of tokens a minute"),
        ({"tpm": -1}, "its limit of tokens a minute"),
    ],
)
def test_what_no_request_can_hold_is_named_and_the_other_entries_go_on(said, told):
    made = planned(entry(**said), entry())
    ((_, why),) = made.refused
    assert told in why
    assert SECRET not in why
    assert len(made.steps) == 1


class Served:
    """The API over a store in memory, as `fake_api.serving` takes it."""

    def __init__(self):
        self.store = FakeStore()
        self.url = ""

    def app(self):
        return application(self.store)[0]


@pytest.fixture
def api(monkeypatch, tmp_path):
    with serving(Served()) as served:
        monkeypatch.setenv("HEADRACE_URL", served.url)
        monkeypatch.setenv("HEADRACE_API_KEY", ADMIN)
        monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
        yield served


SETTINGS = {
    "version": "2.0.0",
    "tavilyApiKey": "tvly-secret",
    "providers": [
        {"type": "beta", "apiKey": SECRET, "allowedModels": ["only-beta", "gone"]},
        {"type": "openai-compatible", "apiKey": "sk-own", "apiEndpoint": OWN, "modelName": "m1"},
        {"type": "openai-compatible", "apiKey": "sk-here", "apiEndpoint": "http://127.0.0.1:1/v1",
         "modelName": "m1"},
        {"type": "nobodys", "apiKey": "sk-nobody"},
    ],
}  # fmt: skip


def test_settings_are_imported_and_a_second_time_changes_nothing(api, headrace, tmp_path):
    file = tmp_path / "app_settings.json"
    file.write_text(json.dumps(SETTINGS))
    before = headrace("import", str(file), "--dry-run")
    assert (before.code, before.out.count("would be added")) == (1, 3)
    assert "beta" not in headrace("providers", "list").out
    ran = headrace("import", str(file))
    lines = ran.out.splitlines()
    assert ran.code == 1  # two entries are not there
    assert [line.split(": ")[:2] for line in lines] == [
        [f"providers[{at}]", status]
        for at, status in enumerate(("added", "added", "refused", "refused"))
    ]
    assert "HEADRACE_ALLOW_PRIVATE_PROVIDERS" in lines[2]
    assert "nobodys" in lines[3]
    assert "tavilyApiKey" in ran.err
    assert "gone" in ran.err
    assert "only-beta" not in ran.err
    for secret in (SECRET, "sk-own", "sk-here", "tvly-secret"):
        assert secret not in ran.out + ran.err + before.out + before.err
    again = [json.loads(line) for line in headrace("import", str(file), "--json").out.splitlines()]
    assert [one["status"] for one in again] == ["there", "there", "refused", "refused"]
    listed = headrace("providers", "list").out
    assert "beta" in listed
    assert "203-0-114-7" in listed


def test_variables_of_the_shell_are_imported_where_that_is_asked(api, headrace, monkeypatch):
    monkeypatch.setenv("LP_TYPE_3", "beta")
    monkeypatch.setenv("LP_KEY_3", SECRET)
    ran = headrace("import", "--environment")
    assert (ran.code, ran.out) == (0, "LP_*_3: added: a key of beta\n")


def test_a_file_may_come_from_standard_input(api, headrace, monkeypatch):
    text = io.TextIOWrapper(io.BytesIO(f"LP_TYPE_0=beta\nLP_KEY_0={SECRET}".encode()))
    monkeypatch.setattr("sys.stdin", text)
    assert headrace("import", "-").code == 0


def test_a_call_that_names_no_settings_or_bad_ones_is_wrong_usage(headrace, tmp_path):
    assert "--environment" in headrace("import").err
    assert "--environment" in headrace("import", "x", "--environment").err
    missing = headrace("import", str(tmp_path / "none.json"))
    assert (missing.code, "none.json" in missing.err) == (2, True)
    binary = tmp_path / "picture.png"
    binary.write_bytes(b"\x89PNG\xff")
    assert "picture.png: it is no text" in headrace("import", str(binary)).err
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    assert "bytes" in headrace("import", str(large)).err


def test_a_key_that_may_not_administer_ends_the_import(api, headrace, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_API_KEY", "hr_test_nobody______________")
    file = tmp_path / "x.env"
    file.write_text("LP_TYPE_0=beta\nLP_KEY_0=sk\n")
    ran = headrace("import", str(file))
    assert (ran.code, "HEADRACE_API_KEY" in ran.err) == (2, True)
