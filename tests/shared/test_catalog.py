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
from shared.quirks import Quirks
from shared.wires import NATIVE

MUST = ("groq", "openai", "gemini", "cohere", "mistral")
ALL = {
    *MUST,
    *("anthropic", "assemblyai", "azure-openai", "cerebras", "cloudflare", "deepgram", "deepinfra"),
    *("deepseek", "fireworks", "github-models", "huggingface", "hyperbolic", "llamacpp", "nvidia"),
    *("ollama", "openrouter", "perplexity", "sambanova", "together", "vllm", "xai"),
}
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


def test_every_provider_of_ours_is_served_unless_it_is_retired_or_a_server_of_ones_own(ours):
    docs = catalog.read_config(catalog.catalog_path()).providers
    assert set(docs) == ALL
    served = {provider.name for provider in ours.providers}
    # AssemblyAI takes three calls for one transcription: no attempt of ours makes them
    assert ALL - served == {"github-models", "ollama", "vllm", "llamacpp", "assemblyai"}
    for name in served:
        kinds = {kind for item in ours.by_provider[name] for kind in item.kinds}
        assert kinds & {Kind.CHAT, Kind.TRANSCRIPTION}, name


def test_every_type_of_ours_is_openais_or_one_with_an_adapter_of_its_own(ours):
    own = {p.name: p.type for p in ours.providers if p.type != "openai-compatible"}
    assert own == {name: name for name in NATIVE if name != "assemblyai"}


def test_one_open_model_is_one_family_wherever_it_is_served(ours):
    hosts = {item.provider for item in ours.resolve("gpt-oss-120b")}
    assert {"groq", "openrouter", "cerebras", "sambanova", "together", "cloudflare"} <= hosts
    turbo = ours.by_id["deepinfra/meta-llama/Llama-3.3-70B-Instruct-Turbo"]
    assert turbo.family == ours.by_id["sambanova/Meta-Llama-3.3-70B-Instruct"].family
    assert ours.resolve("openai/gpt-6-luna") == (ours.by_id["openai/gpt-6-luna"],)


def test_a_pools_windows_are_shared_by_the_models_in_it_and_nobody_else(ours):
    free = ours.by_id["openrouter/google/gemma-4-31b-it:free"].limits("credits")
    assert [(w.name, w.limit) for w in free.shared] == [
        ("free-models/rpm", 20),
        ("free-models/rpd", 1000),
    ]
    assert free.shared[1].kind is WindowKind.FIXED
    priced = ours.by_id["openrouter/openai/gpt-oss-20b"]
    assert priced.limits("credits") is None
    assert [w.limit for w in priced.limits("free").windows] == [0]
    assert set(ours.provider("openrouter").plans) == {"free", "credits"}


def test_audio_is_priced_by_the_hour_or_the_minute(ours, built):
    assert ours.by_id["groq/whisper-large-v3-turbo"].price.audio_microusd_per_hour == 40_000
    found = built(ALPHA.replace("category: small", "price_usd_per_audio_minute: 0.006"))
    assert found.by_id["alpha/sim-small"].price.audio_microusd_per_hour == 360_000


def test_an_address_is_completed_by_the_environment():
    azure = catalog.build(Config(), env={"AZURE_RESOURCE_NAME": "mine"}).provider("azure-openai")
    assert azure.base_url == "https://mine.openai.azure.com/openai/v1"
    assert azure.needs == ()


def test_a_provider_whose_address_is_incomplete_says_what_it_needs_and_is_not_served():
    found = catalog.build(Config(), env={})
    assert found.provider("azure-openai").needs == ("AZURE_RESOURCE_NAME",)
    assert found.served([CredentialRef("a", "azure-openai")]).providers == ()


@pytest.mark.parametrize("value", ["evil.example/", "a b", "x@y", "a?b", "-x", "a" * 200])
def test_an_environment_that_would_change_the_address_is_refused(value):
    with pytest.raises(ConfigError, match="AZURE_RESOURCE_NAME: should be a name"):
        catalog.build(Config(), env={"AZURE_RESOURCE_NAME": value})


def test_a_type_that_names_a_wire_has_its_differences(built):
    found = built("""
        providers:
          old: {type: azure-deployments, base_url: 'http://x/openai', models: [{id: m}]}
          gem: {type: gemini, base_url: 'http://x/v1beta', models: [{id: m}]}
          gemini: {type: openai-compatible, base_url: 'http://x/v1beta/openai'}
    """)
    assert found.provider("old").type == "openai-compatible"
    assert found.quirks("old").auth_header == "api-key"
    assert found.quirks("old").chat_path.startswith("/deployments/{model}/")
    assert found.provider("gem").type == "gemini"
    assert found.quirks("gem").auth_header == "x-goog-api-key"
    assert found.provider("gemini").type == "openai-compatible"
    assert found.quirks("gemini").auth_header == "Authorization"
    assert found.by_provider["gemini"]


def test_a_retired_provider_comes_back_by_the_users_word(built):
    found = built("""
        providers:
          github-models: {status: active, base_url: 'http://x/v1', models: [{id: m}]}
    """)
    assert found.by_id["github-models/m"].base_url == "http://x/v1"


def test_a_server_of_ones_own_is_there_once_it_is_named(built, ours):
    assert ours.provider("ollama") is None
    found = built("providers: {ollama: {models: [{id: 'llama3.2:3b'}]}}")
    assert found.provider("ollama").no_auth
    assert found.by_id["ollama/llama3.2:3b"].base_url == "http://localhost:11434/v1"


def test_a_refreshed_file_lies_between_our_catalog_and_the_users(config_of, tmp_path):
    refreshed = tmp_path / "catalog.yaml"
    own = config_of("""
        providers: {groq: {models: [{id: openai/gpt-oss-20b, context_window: 3}]}}
    """)
    assert catalog.load(own, refreshed)[0].version == catalog.load(own)[0].version
    refreshed.write_text("""
        providers:
          groq:
            models:
              - {id: openai/gpt-oss-20b, context_window: 7, max_output_tokens: 2}
              - {id: allam-2-7b, status: retired}
    """)
    found, said = catalog.load(own, refreshed)
    item = found.by_id["groq/openai/gpt-oss-20b"]
    assert (item.context_tokens, item.max_output_tokens) == (3, 2)
    assert {w.source for w in item.limits("free").windows} == {"catalog"}
    assert "groq/allam-2-7b" not in found.by_id
    assert list(said.providers) == ["groq"]
    refreshed.write_text("providers: {groq: {modles: []}}")
    assert "did you mean 'models'?" in catalog.check(own, refreshed)[0]


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
    assert ours.quirks("nobody") == Quirks()


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


def test_who_keeps_to_a_schema_can_write_any_json(built, ours):
    fields = "capabilities: [chat, json_schema]"
    able = built(ALPHA.replace("category: small", fields)).by_id["alpha/sim-small"].capabilities
    assert able == {"chat", "json_schema", "json_object"}
    assert "json_object" in ours.by_id["anthropic/claude-haiku-5-5"].capabilities


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
                      - {input_tokens: 30000, per: 5m}
                      - {output_tokens: 8000, per: 5m}
                      - {audio_seconds: 7200, per: 1.5h, kind: fixed, anchor: first_use}
    """).by_id["a/m"]
    limits = item.limits("free")
    assert limits.concurrency == 3
    assert [(w.name, w.dimension, w.span_ms, w.kind, w.anchor) for w in limits.windows] == [
        ("asd", Dimension.AUDIO_SECONDS, 86_400_000, WindowKind.SLIDING, "epoch"),
        ("requests/6s", Dimension.REQUESTS, 6_000, WindowKind.BUCKET, "epoch"),
        ("tokens/5m", Dimension.TOKENS, 300_000, WindowKind.SLIDING, "epoch"),
        ("input_tokens/5m", Dimension.INPUT_TOKENS, 300_000, WindowKind.SLIDING, "epoch"),
        ("output_tokens/5m", Dimension.OUTPUT_TOKENS, 300_000, WindowKind.SLIDING, "epoch"),
        ("audio_seconds/1.5h", Dimension.AUDIO_SECONDS, 5_400_000, WindowKind.FIXED, "first_use"),
    ]


def test_input_and_output_of_a_minute_have_names_of_their_own(built):
    item = built("""
        providers:
          a:
            type: openai-compatible
            base_url: http://x/v1
            window_kinds: {otpm: {kind: bucket}}
            models: [{id: m, limits: {free: {itpm: 30000, otpm: 8000}}}]
    """).by_id["a/m"]
    assert [(w.name, w.dimension, w.limit, w.kind) for w in item.limits("free").windows] == [
        ("itpm", Dimension.INPUT_TOKENS, 30_000, WindowKind.SLIDING),
        ("otpm", Dimension.OUTPUT_TOKENS, 8_000, WindowKind.BUCKET),
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
            "windows[0]: give exactly one of requests, tokens, input_tokens, output_tokens,",
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
        (
            "providers: {alpha: {type: groq, models: [{id: m, pool: fre}], pools: {free: {}}}}",
            "providers.alpha.models[0].pool: unknown pool 'fre'; did you mean 'free'?",
        ),
        (
            "providers: {alpha: {type: groq, pools: {p: {free: {concurrency: 1}}}}}",
            "providers.alpha.pools: p.free.concurrency: is a limit of a model",
        ),
        (
            (
                "providers: {alpha: {type: groq, models: [{id: m, price_usd_per_audio_hour: 1, "
                "price_usd_per_audio_minute: 1}]}}"
            ),
            "providers.alpha.models[0]: give price_usd_per_audio_hour or",
        ),
        (
            "providers: {alpha: {type: groq, as_of: last summer}}",
            "providers.alpha.as_of: should be a day such as 2026-11-25",
        ),
        (
            "providers: {alpha: {type: openai-compatible, base_url: 'https://{name}.x/v1'}}",
            "providers.alpha.base_url: a variable of the environment is written ${NAME}",
        ),
        (
            "providers: {alpha: {type: openai-compatible, base_url: 'https://${NA-ME}.x/v1'}}",
            "providers.alpha.base_url: a variable of the environment is written ${NAME}",
        ),
        (
            "providers: {alpha: {type: geminy, base_url: 'http://x'}}",
            "providers.alpha.type: unknown type 'geminy'; did you mean 'gemini'?",
        ),
        (
            "providers: {alpha: {type: azure-deployment, base_url: 'http://x'}}",
            "unknown type 'azure-deployment'; did you mean 'azure-deployments'?",
        ),
        (
            "providers: {github-models: {credentials: [{key: k}]}}",
            "providers.github-models: is retired; say `status: active` if you know better",
        ),
        (
            "providers: {alpha: {type: groq, quirks: {transcription_path: audio}}}",
            "providers.alpha.quirks.transcription_path: should begin with a slash: /audio",
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
