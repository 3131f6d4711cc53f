"""The catalog: ours, and the user's laid over it."""

import textwrap
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from shared import catalog
from shared.catalog_schema import Config
from shared.catalog_types import DIALECTS
from shared.core.model import CredentialRef, Dimension, Kind, Price, TokenCount, WindowKind
from shared.errors import ConfigError

MUST = ("groq", "openai", "gemini", "cohere", "mistral")
ALPHA = """
providers:
  alpha:
    type: openai-compatible
    base_url: http://127.0.0.1:9201/v1
    credentials:
      - {id: a1, key: sk-a1, plan: free}
    models:
      - {id: sim-small, category: small, context_window: 131072, max_output_tokens: 4096,
         limits: {free: {rpm: 60, tpm: 60000}}, price_usd_per_1m: {input: 0, output: 0}}
api_keys:
  - {name: test, key: hr_test_0123456789abcdef, role: admin}
"""


@pytest.fixture
def config_of(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def built(config_of):
    return lambda text: catalog.load(config_of(text))[0]


@pytest.fixture(scope="module")
def ours():
    return catalog.build(Config())


def test_our_catalog_passes_its_own_schema():
    assert catalog.check(catalog.catalog_path()) == []


@pytest.mark.parametrize("name", MUST)
def test_every_must_provider_has_chat_models_an_address_and_an_environment_name(ours, name):
    provider = ours.provider(name)
    assert provider.base_url.startswith("https://")
    assert any(env.endswith("_API_KEY") for env in provider.env)
    assert provider.quirks.rate_dialect in DIALECTS
    assert any(Kind.CHAT in item.kinds for item in ours.by_provider[name])


def test_every_fact_of_ours_has_a_date_and_a_source():
    for name, doc in catalog.read_config(catalog.catalog_path()).providers.items():
        assert date.fromisoformat(doc.as_of), name
        assert doc.source, name


def test_every_chat_model_of_ours_has_a_category_a_context_and_capabilities(ours):
    for item in ours.deployments:
        assert item.capabilities, item.id
        assert item.context_tokens or item.kinds == {Kind.TRANSCRIPTION}, item.id
        if Kind.CHAT in item.kinds:
            assert item.category in catalog.CATEGORIES, item.id
            assert item.max_output_tokens, item.id
            assert item.max_output_tokens <= item.context_tokens, item.id


def test_groq_counts_its_days_and_tokens_in_buckets(ours):
    limits = ours.by_id["groq/openai/gpt-oss-20b"].limits("free")
    assert [(w.name, w.limit, w.kind) for w in limits.windows] == [
        ("rpm", 30, WindowKind.SLIDING),
        ("rpd", 1000, WindowKind.BUCKET),
        ("tpm", 8000, WindowKind.BUCKET),
        ("tpd", 200_000, WindowKind.BUCKET),
    ]


def test_gemini_counts_input_and_its_days_end_at_midnight_pacific(ours):
    item = ours.by_id["gemini/gemini-3.8-flash"]
    day = next(w for w in item.limits("free").windows if w.name == "rpd")
    assert (day.kind, day.anchor) == (WindowKind.FIXED, "America/Los_Angeles")
    assert ZoneInfo(day.anchor)
    assert item.token_count is TokenCount.INPUT
    assert ours.provider("gemini").window_kinds == (
        ("rpd", WindowKind.FIXED, "America/Los_Angeles"),
    )


def test_a_trial_key_of_cohere_has_one_month_over_all_its_models(ours):
    for item in ours.by_provider["cohere"]:
        (month,) = item.limits("free").shared
        assert (month.limit, month.span_ms) == (1000, 31 * 86_400_000)


def test_an_unknown_price_is_not_free(ours):
    assert ours.by_id["groq/allam-2-7b"].price == Price()
    assert not ours.by_id["groq/allam-2-7b"].price.free
    assert ours.by_id["groq/openai/gpt-oss-20b"].price == Price(75_000, 300_000, 37_500)


def test_wire_differences_are_data(ours):
    assert ours.quirks("mistral").rename == (("seed", "random_seed"),)
    assert not ours.quirks("mistral").stream_usage
    assert ours.quirks("groq").max_tokens_field == "max_completion_tokens"
    assert "temperature" in ours.quirks("openai", "gpt-5-mini").drop
    assert "temperature" not in ours.quirks("openai", "gpt-4o").drop
    assert ours.quirks("nobody") == catalog.Quirks()


def test_a_new_provider_needs_no_more_than_the_documented_lines(built):
    item = built(ALPHA).by_id["alpha/sim-small"]
    assert item.type == "openai-compatible"
    assert item.base_url == "http://127.0.0.1:9201/v1"
    assert item.price.free
    assert item.capabilities is None
    assert item.kinds == frozenset(Kind)
    assert [(w.name, w.limit, w.span_ms, w.source) for w in item.limits("free").windows] == [
        ("rpm", 60, 60_000, "config"),
        ("tpm", 60_000, 60_000, "config"),
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("capabilities: [tools, vision]", {Kind.CHAT, Kind.SUMMARY}),
        ("capabilities: [chat, embedding]", {Kind.CHAT, Kind.SUMMARY, Kind.EMBEDDING}),
        ("capabilities: [transcription]", {Kind.TRANSCRIPTION}),
        ("kinds: [embedding]", {Kind.EMBEDDING}),
    ],
)
def test_what_a_model_serves_follows_from_what_is_said_of_it(built, fields, expected):
    found = built(ALPHA.replace("category: small", fields))
    assert found.by_id["alpha/sim-small"].kinds == expected


def test_windows_of_any_span_keep_their_kind_and_name(built):
    item = built("""
        providers:
          a:
            type: openai-compatible
            base_url: http://x/v1
            models:
              - id: m
                limits:
                  free:
                    concurrency: 3
                    asd: 9
                    windows:
                      - {requests: 60, per: 6s, kind: bucket}
                      - {tokens: 1000, per: 5m}
                      - {audio_seconds: 7200, per: 1.5h, kind: fixed, anchor: first_use}
    """).by_id["a/m"]
    limits = item.limits("free")
    assert limits.concurrency == 3
    assert [(w.name, w.dimension, w.span_ms, w.kind, w.anchor) for w in limits.windows] == [
        ("asd", Dimension.AUDIO_SECONDS, 86_400_000, WindowKind.SLIDING, "epoch"),
        ("requests/6s", Dimension.REQUESTS, 6_000, WindowKind.BUCKET, "epoch"),
        ("tokens/5m", Dimension.TOKENS, 300_000, WindowKind.SLIDING, "epoch"),
        ("audio_seconds/1.5h", Dimension.AUDIO_SECONDS, 5_400_000, WindowKind.FIXED, "first_use"),
    ]


def test_a_known_provider_may_be_given_a_key_and_an_address_only(built, ours):
    found = built("""
        providers:
          groq:
            base_url: http://127.0.0.1:9/openai/v1
            credentials: [{id: mine, key: gsk_1}]
    """)
    assert len(found.by_provider["groq"]) == len(ours.by_provider["groq"])
    assert {d.base_url for d in found.by_provider["groq"]} == {"http://127.0.0.1:9/openai/v1"}
    assert found.quirks("groq") == ours.quirks("groq")


def test_models_merge_by_id_and_limits_by_name_and_both_say_where_they_came_from(built, ours):
    found = built("""
        providers:
          groq:
            models:
              - {id: openai/gpt-oss-20b, limits: {free: {rpm: 10, rpd: null}}}
              - {id: brand-new, category: large}
    """)
    limits = found.by_id["groq/openai/gpt-oss-20b"].limits("free")
    assert [(w.name, w.limit, w.source) for w in limits.windows] == [
        ("rpm", 10, "config"),
        ("tpm", 8000, "catalog"),
        ("tpd", 200_000, "catalog"),
    ]
    assert found.by_id["groq/openai/gpt-oss-20b"].category == "small"
    assert "groq/brand-new" in found.by_id
    assert len(found.by_provider["groq"]) == len(ours.by_provider["groq"]) + 1


def test_a_provider_of_a_known_type_speaks_its_wire_under_its_own_name(built, ours):
    found = built("""
        providers:
          second: {type: mistral, credentials: [{key: k}]}
          sim:
            type: groq
            base_url: http://127.0.0.1:9/v1
            credentials: [{key: k}]
            models: [{id: sim-small, limits: {free: {rpd: 5}}}]
    """)
    assert found.quirks("sim") == ours.quirks("groq")
    assert [d.id for d in found.by_provider["sim"]] == ["sim/sim-small"]
    assert found.by_id["sim/sim-small"].limits("free").windows[0].kind is WindowKind.BUCKET
    assert found.provider("sim").env == ()
    assert len(found.by_provider["second"]) == len(ours.by_provider["mistral"])


def test_shared_limits_hold_over_all_models_of_a_provider(built):
    found = built("""
        providers:
          a:
            type: openai-compatible
            base_url: http://x/v1
            limits: {free: {rpm: 7}}
            models: [{id: m}, {id: n, limits: {free: {tpm: 5}}}]
    """)
    m, n = (item.limits("free") for item in found.deployments[-2:])
    assert [w.limit for w in m.shared] == [w.limit for w in n.shared] == [7]
    assert m.windows == ()
    assert n.windows[0].limit == 5


def test_one_model_on_several_providers_is_one_family(built):
    found = built("""
        providers:
          a:
            {type: openai-compatible, base_url: http://x/v1, models: [{id: gpt-oss-20b}, {id: m}]}
          b:
            type: openai-compatible
            base_url: http://y/v1
            models: [{id: m}, {id: other, family: m, aliases: [nick]}]
    """)
    family = [d.id for d in found.resolve("gpt-oss-20b")]
    assert family[0] == "groq/openai/gpt-oss-20b"
    assert family[-1] == "a/gpt-oss-20b"
    assert [d.id for d in found.resolve("m")] == ["a/m", "b/m", "b/other"]
    assert {d.family for d in found.resolve("m")} == {"m"}
    assert [d.id for d in found.resolve("a/m")] == ["a/m"]
    assert [d.id for d in found.resolve("nick")] == ["b/other"]
    assert [d.id for d in found.resolve("b/nick")] == ["b/other"]


def test_virtual_names_mean_all_or_a_category(ours):
    assert ours.resolve("auto") == ours.resolve("auto:cheap") == ours.deployments
    assert {d.category for d in ours.resolve("auto:reasoning")} == {"reasoning"}
    assert ours.resolve("auto:tiny") == ()
    assert ours.nearest("gpt-os-20b") == "gpt-oss-20b"


def test_only_providers_with_a_credential_or_without_need_of_one_are_served(built):
    found = built("""
        providers:
          local:
            {type: openai-compatible, base_url: http://x/v1, credentials: none, models: [{id: m}]}
    """)
    served = found.served([CredentialRef("groq-1", "groq")])
    assert [p.name for p in served.providers] == ["groq", "local"]
    assert {d.provider for d in served.deployments} == {"groq", "local"}
    assert served.resolve("gpt-4o") == ()
    assert found.provider("local").default_plan == "free"


def test_the_version_changes_with_content_and_not_with_secrets(built):
    one = built(ALPHA)
    assert built(ALPHA.replace("sk-a1", "sk-a2")).version == one.version
    assert built(ALPHA.replace("rpm: 60", "rpm: 61")).version != one.version
    assert built(ALPHA + "# more\n").version == one.version


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("provider: {}", "provider: unknown key 'provider'; did you mean 'providers'?"),
        (
            (
                "providers: {alpha: {type: openai-compatible, base_url: 'http://x', "
                "models: [{id: m, limits: {free: {rpmm: 1}}}]}}"
            ),
            "providers.alpha.models[0].limits.free.rpmm: unknown key 'rpmm'; did you mean 'rpm'?",
        ),
        (
            "providers: {alpha: {models: [{id: m, limits: {free: {rpm: '60'}}}]}}",
            "providers.alpha.models[0].limits.free.rpm: should be a valid integer",
        ),
        (
            "providers: {alpha: {models: [{id: m, limits: {free: {rpm: -1}}}]}}",
            "providers.alpha.models[0].limits.free.rpm: should be greater than or equal to 0",
        ),
        (
            (
                "providers: {alpha: {models: [{id: m, limits: {free: {windows: [{tokens: 1, "
                "per: 1w}]}}}]}}"
            ),
            "limits.free.windows[0].per: should be a span such as 250ms",
        ),
        (
            (
                "providers: {alpha: {models: [{id: m, limits: {free: {windows: [{tokens: 1, "
                "requests: 1, per: 1s}]}}}]}}"
            ),
            "windows[0]: give exactly one of requests, tokens, audio_seconds",
        ),
        (
            "providers: {alpha: {models: [{id: m}, {id: m}]}}",
            "providers.alpha.models: the model id 'm' stands here twice",
        ),
        (
            "providers: {alpha: {credentials: [{id: a, key: k}, {id: a, key: l}]}}",
            "providers.alpha.credentials: the credential id 'a' stands here twice",
        ),
        (
            "providers: {alpha: {credentials: [{id: a}]}}",
            "providers.alpha.credentials[0]: give exactly one of key, key_env",
        ),
        (
            "providers: {alpha: {base_url: 'http://x'}}",
            "providers.alpha.type: is required",
        ),
        (
            "providers: {alpha: {type: openai-compatible}}",
            "providers.alpha.base_url: is required",
        ),
        (
            "providers: {alpha: {type: openai-compatibel, base_url: 'http://x'}}",
            (
                "providers.alpha.type: unknown type 'openai-compatibel'; did you mean "
                "'openai-compatible'?"
            ),
        ),
        (
            "providers: {alpha: {type: groq, models: [{id: m, capabilities: [visoin]}]}}",
            (
                "providers.alpha.models[0].capabilities[0]: unknown capability 'visoin'; "
                "did you mean 'vision'?"
            ),
        ),
        (
            (
                "providers: {alpha: {type: groq, limits: {free: {windows: "
                "[{requests: 1, per: 1d, kind: fixed, anchor: Mars/Base}]}}}}"
            ),
            "providers.alpha.limits.free.windows[0].anchor: 'Mars/Base' is neither",
        ),
        (
            "providers: {alpha: {type: groq, limits: {free: {concurrency: 1}}}}",
            "providers.alpha.limits: free.concurrency: is a limit of a model",
        ),
        ("api_keys: [{name: a, key: short}]", "api_keys[0].key: string should have at least 16"),
        (
            "api_keys: [{name: a, key: 0123456789abcdef0}, {name: a, key: 0123456789abcdef1}]",
            "api_keys: the name 'a' stands here twice",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path_and_answered(config_of, text, message):
    found = catalog.check(config_of(text))
    assert any(message in line for line in found), found


def test_all_problems_of_a_file_are_told_at_once_a_line_each(config_of):
    found = catalog.check(config_of("providers: {a: {typ: x, base_url: 5}}\napi_key: []\n"))
    assert len(found) == 3


def test_a_refusal_does_not_quote_the_key(config_of):
    path = config_of("api_keys: [{name: a, key: hr_very_secret_0123456789, rol: admin}]")
    with pytest.raises(ConfigError) as caught:
        catalog.read_config(path)
    assert "hr_very_secret" not in str(caught.value)
    assert "hr_very_secret" not in str(caught.value.__cause__)
    assert "hr_very_secret" not in repr(
        catalog.Config.model_validate(
            {"api_keys": [{"name": "a", "key": "hr_very_secret_0123456789"}]}
        )
    )
