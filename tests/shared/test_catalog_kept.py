"""What is kept of our own catalog is what its text says, or nothing."""

import sys

import orjson
import pytest

from shared import catalog, catalog_kept, catalog_yaml
from shared.errors import ConfigError

TEXT = "providers:\n  alpha: {rpm: 60, share: 0.5, free: true, none: null, days: ['2026-11-26']}\n"
VALUE = {
    "providers": {
        "alpha": {"rpm": 60, "share": 0.5, "free": True, "none": None, "days": ["2026-11-26"]}
    }
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "catalog.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def unparsed(monkeypatch):
    """From now on no YAML is parsed."""

    def refuse():
        monkeypatch.setattr(catalog_yaml, "parse", lambda *_: pytest.fail("YAML was parsed"))

    return refuse


def test_a_file_is_parsed_once_and_then_told_from_what_is_kept(file, unparsed):
    assert catalog_kept.read(file) == VALUE
    unparsed()
    assert catalog_kept.read(file) == VALUE
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == ["catalog.yaml"]


def test_another_text_is_read_anew_and_kept_in_its_place(file, unparsed):
    catalog_kept.read(file)
    file.write_text("providers: {}\n")
    assert catalog_kept.read(file) == {"providers": {}}
    unparsed()
    assert catalog_kept.read(file) == {"providers": {}}
    kept = catalog_kept.kept_at(file)
    assert list(kept.parent.iterdir()) == [kept]


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[]", b"{}", b'{"of": null, "value": {}}', b"\xff\x00"]
)
def test_what_is_damaged_is_read_anew(file, damaged):
    catalog_kept.read(file)
    catalog_kept.kept_at(file).write_bytes(damaged)
    assert catalog_kept.read(file) == VALUE


def test_a_value_that_is_no_mapping_is_read_anew(file):
    catalog_kept.read(file)
    kept = catalog_kept.kept_at(file)
    kept.write_bytes(orjson.dumps(orjson.loads(kept.read_bytes()) | {"value": [1]}))
    assert catalog_kept.read(file) == VALUE


@pytest.mark.parametrize("text", ["a: 2026-11-26\n", "1: a\n", f"a: {2**80}\n"])
def test_what_json_cannot_tell_is_not_kept(file, text):
    file.write_text(text)
    assert catalog_kept.read(file) == catalog_yaml.read(file)
    assert not catalog_kept.kept_at(file).exists()


def test_nothing_is_kept_where_nobody_wants_bytecode(file, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert catalog_kept.read(file) == VALUE
    assert not catalog_kept.kept_at(file).exists()


def test_where_nothing_can_be_written_it_is_read_all_the_same(file):
    catalog_kept.kept_at(file).parent.write_text("no folder")
    assert catalog_kept.read(file) == VALUE


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "- a\n", None])
def test_what_cannot_be_read_is_told_each_time(file, text):
    file.unlink() if text is None else file.write_text(text)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"catalog\.yaml"):
            catalog_kept.read(file)


def test_our_own_catalog_is_what_its_yaml_says(file):
    ours = catalog.catalog_path()
    file.write_bytes(ours.read_bytes())
    told = [catalog_kept.read(file) for _ in range(2)]
    assert catalog_kept.kept_at(file).exists()
    assert told == [catalog_yaml.read(ours)] * 2
