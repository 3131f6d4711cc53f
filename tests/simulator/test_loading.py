import textwrap

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import simulator
from shared.catalog_schema import Config
from simulator import ConfigError, headrace_config, load_config, load_file, preset
from simulator.durations import go_duration, parse_span_us, short_span
from simulator.presets import PRESETS
from simulator.server import address_of


def provider(**more):
    return {"providers": {"alpha": {"models": ["m"], **more}}}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({}, "'providers' is missing"),
        ({"providers": {}}, "providers: expected a mapping"),
        ({"providers": {}, "sped": 2}, "unknown key 'sped'; nearest is 'speed'"),
        (provider(dialekt="groq"), "nearest is 'dialect'"),
        (provider(dialect="grok"), "providers.alpha.dialect: expected one of"),
        (provider(limits=[{"request": 1}]), r"limits\[0\]: unknown key 'request'; nearest is"),
        (provider(limits=[{"requests": 1, "tokens": 1}]), "name exactly one of"),
        (provider(limits=[{"requests": -1}]), "a whole number from 0"),
        (provider(limits=[{"requests": True}]), "a whole number from 0"),
        (provider(limits=[{"requests": 1, "per": "6 parsecs"}]), "per: .* is no span of time"),
        (provider(limits={"rpn": 3}), "unknown key 'rpn'; nearest is"),
        (provider(keys=["a", "a"]), "'a' stands there twice"),
        (provider(latency={"median": 3}), "nearest is 'median_ms'"),
        ({"providers": {"admin": {"models": ["m"]}}}, "not 'admin'"),
        ({"providers": {"a": {"models": ["m"]}}, "speed": 0}, "a number above 0"),
    ],
)
def test_what_is_wrong_is_refused_by_name(mapping, words):
    with pytest.raises(ConfigError, match=words):
        load_config(mapping)


def test_limits_are_read_in_the_long_and_the_short_form():
    long = [{"requests": 60, "per": "1m"}, {"tokens": 9, "per": "1d"}, {"concurrency": 4}]
    short = {"rpm": 60, "tpd": 9, "concurrency": 4}
    assert load_config(provider(limits=long)) == load_config(provider(limits=short))


def test_a_file_is_read_like_a_mapping(tmp_path):
    path = tmp_path / "sim.yaml"
    path.write_text(yaml.safe_dump(PRESETS["free_tiers"]), encoding="utf-8")
    assert load_file(path) == preset("free_tiers")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_readable_and_can_be_changed(name):
    assert preset(name, speed=3.0).speed == 3


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="free_tiers"):
        preset("free_teirs")


@given(st.integers(1, 10**13))
def test_a_span_written_short_is_read_back(span_us):
    assert parse_span_us(short_span(span_us)) == span_us


@pytest.mark.parametrize(
    ("span_us", "text"),
    [
        (86_400_000, "1m26.4s"),
        (825_000, "825ms"),
        (360_000_000, "6m0s"),
        (7_660_000, "7.66s"),
        (3_723_000_000, "1h2m3s"),
        (1, "1ms"),
        (0, "0s"),
    ],
)
def test_durations_are_written_as_go_does(span_us, text):
    assert go_duration(span_us) == text


def test_the_configuration_for_headrace_tells_real_time_and_only_what_it_should():
    config = load_config(
        {
            "speed": 10,
            "providers": {
                "alpha": {
                    "models": [{"id": "m", "limits": [{"tokens": 5, "per": "30s"}]}],
                    "limits": [
                        {"requests": 60, "per": "1m", "kind": "fixed"},
                        {"requests": 9, "per": "1d", "scope": "key"},
                        {"concurrency": 3},
                    ],
                }
            },
        }
    )
    address = address_of(config, "127.0.0.1", [9200])
    alpha = headrace_config(config, address)["providers"]["alpha"]
    assert alpha["base_url"] == "http://127.0.0.1:9200/alpha/v1"
    assert alpha["limits"] == {
        "free": {"windows": [{"requests": 9, "per": "144m", "kind": "sliding"}]}
    }
    assert alpha["models"][0]["limits"]["free"] == {
        "concurrency": 3,
        "windows": [
            {"requests": 60, "per": "6s", "kind": "fixed"},
            {"tokens": 5, "per": "3s", "kind": "sliding"},
        ],
    }
    quiet = headrace_config(config, address, declare_kinds=False)["providers"]["alpha"]
    assert "kind" not in quiet["models"][0]["limits"]["free"]["windows"][0]
    silent = headrace_config(config, address, declare_limits=False)["providers"]["alpha"]
    assert "limits" not in silent
    assert "limits" not in silent["models"][0]


def test_the_configuration_shown_in_the_package_is_readable():
    shown = simulator.__doc__.split("tell real time:\n", 1)[1]
    config = load_config(yaml.safe_load(textwrap.dedent(shown.split("\n`simulator.")[0])))
    models = {model.id: model for model in config.providers[0].models}
    assert list(models) == ["sim-small", "sim-embed", "sim-whisper", "sim-listen", "sim-voices"]
    assert models["sim-whisper"].max_audio_bytes == 25 * 1024 * 1024


def test_headrace_takes_the_configuration_made_for_it():
    for name in PRESETS:
        config = preset(name)
        section = headrace_config(
            config, address_of(config, "127.0.0.1", [9200]), declare_dialect=True
        )
        Config.model_validate(section)
