"""Secrets, upstream keys and callers' keys."""

import copy
import json
import pickle

import orjson
import pytest
from pydantic import BaseModel

from shared import catalog, credentials
from shared.catalog_schema import Config
from shared.core.model import CredentialRef
from shared.credentials import ApiKey, ApiKeys, Secret
from shared.errors import ConfigError

VALUE = "zz-the-secret-zz"


class Holder(BaseModel):
    secret: Secret


@pytest.fixture(scope="module")
def ours():
    return catalog.build(Config())


def config(**providers):
    return Config.model_validate({"providers": providers})


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        "{}".format,
        "{:>40}".format,
        lambda s: f"{s!r}{[s]}{ ({'k': s}) }",
        lambda s: pickle.dumps(s, protocol=5).decode("latin1"),
        lambda s: json.dumps([s], default=str),
        lambda s: orjson.dumps({"s": s}, default=str).decode(),
        lambda s: Holder(secret=s).model_dump_json(),
        lambda s: str(Holder(secret=s).model_dump()) + repr(Holder(secret=s)),
        lambda s: str(credentials.Credentials((), {"a": s})),
    ],
)
def test_a_secret_shows_a_mask_whoever_asks(show):
    assert VALUE not in show(Secret(VALUE))


def test_a_secret_is_what_it_was_to_the_transport_and_its_copies():
    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    assert copy.deepcopy({"a": secret})["a"].reveal() == VALUE
    assert secret == Secret(VALUE)
    assert secret != Secret("other")
    assert secret != VALUE
    assert len({secret, Secret(VALUE)}) == 1


def test_several_keys_in_one_variable_are_several_credentials(ours):
    found = credentials.load({"GROQ_API_KEY": " gsk_a, gsk_b,,"}, ours, Config())
    assert found.refs == (CredentialRef("groq-1", "groq"), CredentialRef("groq-2", "groq"))
    assert found.secret("groq-2").reveal() == "gsk_b"
    assert [ref.provider for ref in found] == ["groq", "groq"]


def test_numbered_variables_are_read_in_order_over_gaps(ours):
    env = {"GROQ_API_KEY_3": "gsk_c", "GROQ_API_KEY_1": "gsk_a,gsk_b", "GROQ_API_KEY_100": "no"}
    found = credentials.load(env, ours, Config())
    assert [key.reveal() for key in found.secrets.values()] == ["gsk_a", "gsk_b", "gsk_c"]
    assert set(found.sources.values()) == {"environment"}


def test_a_key_is_on_the_free_plan_where_there_is_one(ours):
    env = {"GROQ_API_KEY": "g", "OPENAI_API_KEY": "o", "CO_API_KEY": "c"}
    plans = {ref.provider: ref.plan for ref in credentials.load(env, ours, Config())}
    assert plans == {"groq": "free", "openai": "paid", "cohere": "free"}


def test_the_configuration_says_plan_tenant_and_organisation():
    own = config(
        groq={
            "credentials": [
                {"id": "mine", "key_env": "MY_KEY", "plan": "developer", "tenant": "t"},
                {"key": "gsk_2", "organisation": "acme"},
            ]
        }
    )
    found = credentials.load({"MY_KEY": "gsk_1"}, catalog.build(own), own)
    assert found.refs == (
        CredentialRef("mine", "groq", "developer", "t", plan_declared=True),
        CredentialRef("groq-2", "groq", "free", None, "acme"),
    )
    assert found.refs[0].pool == "t"


def test_one_key_given_twice_is_one_credential(ours):
    own = config(groq={"credentials": [{"id": "mine", "key_env": "GROQ_API_KEY"}]})
    env = {"GROQ_API_KEY": "gsk_a", "GEMINI_API_KEY": "x,x", "GOOGLE_API_KEY": "x,y"}
    found = credentials.load(env, ours, own)
    assert [ref.id for ref in found] == ["mine", "gemini-1", "gemini-2"]


def test_an_id_that_two_providers_use_is_told_apart(ours):
    own = config(
        groq={"credentials": [{"id": "k1", "key": "a"}]},
        mistral={"credentials": [{"id": "k1", "key": "b"}]},
    )
    found = credentials.load({}, ours, own)
    assert [ref.id for ref in found] == ["groq:k1", "mistral:k1"]
    assert found.secret("mistral:k1").reveal() == "b"


def test_a_provider_without_keys_has_one_empty_credential():
    own = config(local={"type": "openai-compatible", "base_url": "http://x", "credentials": "none"})
    found = credentials.load({}, catalog.build(own), own)
    assert found.refs == (CredentialRef("local-1", "local", "free"),)
    assert not found.secret("local-1")


@pytest.mark.parametrize(
    ("credential", "env", "message"),
    [
        ({"key_env": "NONE"}, {}, r"providers\.groq\.credentials\[0\]\.key_env: NONE is not set"),
        ({"key": "a b"}, {}, "space, control or non-ASCII"),
        ({"key": "a\nb"}, {}, "space, control or non-ASCII"),
        ({"key": "k", "plan": "devloper"}, {}, "did you mean 'developer'"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(ours, credential, env, message):
    own = config(groq={"credentials": [credential]})
    with pytest.raises(ConfigError, match=message):
        credentials.load(env, ours, own)


def test_callers_keys_are_found_by_digest_and_held_without_the_key():
    text = "hr_test_0123456789abcdef"
    keys = ApiKeys.from_config(
        Config.model_validate({"api_keys": [{"name": "test", "key": text, "role": "admin"}]})
    )
    found = keys.find(text)
    assert found == ApiKey("test", credentials.digest(text), "admin", tenant="test")
    assert text not in repr(keys)
    assert keys.find(text + "x") is None
    assert keys.find("") is None
    assert keys.find("\ud800") is None


def test_keys_without_a_tenant_share_nothing():
    docs = [{"name": n, "key": f"hr_{n}_0123456789abcdef"} for n in ("a", "b")]
    tenants = {key.tenant for key in ApiKeys.from_config(Config.model_validate({"api_keys": docs}))}
    assert tenants == {"a", "b"}


def test_keys_come_from_a_file_of_digests_too(tmp_path):
    path = tmp_path / "api-keys.json"
    key = credentials.new_api_key()
    entry = {"name": "admin", "digest": credentials.digest(key.reveal()), "role": "admin"}
    path.write_text(json.dumps([entry]))
    found = ApiKeys.from_config(Config(), file=path).find(key.reveal())
    assert (found.name, found.role, found.tenant) == ("admin", "admin", "default")
    assert len(ApiKeys.from_config(Config(), file=tmp_path / "none.json")) == 0


def test_a_damaged_file_of_keys_is_named(tmp_path):
    path = tmp_path / "api-keys.json"
    path.write_text('[{"name": 5}]')
    with pytest.raises(ConfigError, match=r"api-keys\.json: \[0\]\.name"):
        ApiKeys.from_file(path)


def test_new_keys_are_long_and_differ():
    one, two = credentials.new_api_key(), credentials.new_api_key()
    assert one != two
    assert one.reveal().startswith("hr_")
    assert len(one.reveal()) >= 43
