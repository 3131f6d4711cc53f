"""Reading what people write."""

import pytest

from shared import catalog_yaml
from shared.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "ms"),
    [("250ms", 250), ("6s", 6_000), ("5m", 300_000), ("1.5h", 5_400_000), ("1d", 86_400_000)],
)
def test_a_span_is_milliseconds(text, ms):
    assert catalog_yaml.span_ms(text) == ms


@pytest.mark.parametrize("text", ["", "6", "6 s", "s", "-1s", "0s", "1w", "1e3s", "367d", "0.1ms"])
def test_what_is_no_span_is_refused(text):
    with pytest.raises(ValueError, match="should be a span"):
        catalog_yaml.span_ms(text)


def test_a_key_that_stands_twice_is_refused_with_its_line():
    with pytest.raises(ConfigError, match=r"f\.yaml:3: the key 'a' stands here twice"):
        catalog_yaml.parse("x:\n  a: 1\n  a: 2\n", "f.yaml")


def test_a_merge_key_may_be_overridden():
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n"
    assert catalog_yaml.parse(text, "f")["b"] == {"x": 3, "y": 2}


def test_a_bomb_of_aliases_is_refused_quickly():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 500000 values"):
        catalog_yaml.parse("\n".join(lines), "f")


def test_an_alias_that_holds_itself_is_refused():
    with pytest.raises(ConfigError, match="holds itself"):
        catalog_yaml.parse("a: &a [*a]", "f")


def test_python_objects_are_not_made():
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        catalog_yaml.parse("a: !!python/object/apply:os.system ['true']", "f")


@pytest.mark.parametrize("text", ["- a\n", "word", "a: [", "a: \x00", "a: {b", "{" * 5000])
def test_what_is_no_mapping_is_refused(text):
    with pytest.raises(ConfigError, match=r"^f"):
        catalog_yaml.parse(text, "f")


def test_values_too_deep_for_the_parsers_stack_are_refused_with_their_line():
    deep = "a: 1\nb: " + "[" * 200 + "]" * 200
    with pytest.raises(ConfigError, match=r"^f:2: more than 100 values inside each other"):
        catalog_yaml.parse(deep, "f")
    assert catalog_yaml.parse("b: " + "[" * 90 + "]" * 90, "f")


def test_a_file_too_large_is_not_read(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_text("a: 1\n" + "#" * catalog_yaml.MAX_BYTES)
    with pytest.raises(ConfigError, match="larger than"):
        catalog_yaml.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        catalog_yaml.read(tmp_path / "none.yaml")


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert catalog_yaml.read(path) == {}
