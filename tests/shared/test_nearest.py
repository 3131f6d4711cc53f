"""Nearest names, and validation errors in our words."""

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.nearest import dotted, nearest, problems, unknown


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    colour: str = ""


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    leaves: list[Leaf] = []
    named: dict[str, Leaf] | None = None
    nested: dict[str, list[Leaf]] = {}


@pytest.mark.parametrize(
    ("name", "expected"), [("prot", "port"), ("PORT", "port"), ("zzz", None), ("p" * 10**6, None)]
)
def test_the_nearest_known_name_is_found_or_none(name, expected):
    assert nearest(name, ["host", "port"]) == expected


def test_without_a_near_name_all_are_told():
    assert unknown("zzz", ["b", "a"]) == "unknown key 'zzz'; known: a, b"
    assert len(unknown("z" * 10**6, ["a"])) < 200


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"leafs": []}, "leafs"),
        ({"leaves": [{}, {"color": "x"}]}, "leaves[1].color"),
        ({"named": {"n": {"color": "x"}}}, "named.n.color"),
        ({"nested": {"n": [{"color": "x"}]}}, "nested.n[0].color"),
    ],
)
def test_an_unknown_key_is_answered_wherever_it_stands(data, path):
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate(data)
    (problem,) = problems(caught.value, Tree)
    assert problem.path == path
    assert problem.unknown
    assert "did you mean" in problem.message


def test_a_path_is_written_as_a_person_would():
    assert dotted(("a", 0, "#list", "b", 12)) == "a[0].b[12]"
    assert len(dotted(("x" * 10**6,))) < 100


def test_a_wrong_type_is_told_without_the_value():
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate({"leaves": "my-secret"})
    assert str(problems(caught.value, Tree)[0]) == "leaves: should be a valid list"
