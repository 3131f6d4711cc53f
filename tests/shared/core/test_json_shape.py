import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.json_shape import bare, problem

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2, "minItems": 1},
        "pet": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
        "kind": {"enum": ["a", 1, None]},
        "one": {"const": True},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": ["string", "null"]}},
}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "Ann"}, None),
        ({"name": "Ann", "age": 3.0, "tags": ["x", None], "pet": {"name": "Rex"}}, None),
        ({"name": "Ann", "kind": None, "one": True}, None),
        ([], "it should be of type object"),
        ({}, "name is missing"),
        ({"name": ""}, "name is too short"),
        ({"name": "Annabel"}, "name is too long"),
        ({"name": "Ann", "age": -1}, "age is less than 0"),
        ({"name": "Ann", "age": 150}, "age is not less than 150"),
        ({"name": "Ann", "age": True}, "age should be of type integer"),
        ({"name": "Ann", "age": 1.5}, "age should be of type integer"),
        ({"name": "Ann", "tags": []}, "tags has too few items"),
        ({"name": "Ann", "tags": ["x", 3]}, "tags[1] should be of type string or null"),
        ({"name": "Ann", "tags": ["x", "y", "z"]}, "tags has too many items"),
        ({"name": "Ann", "pet": {"name": 3}}, "pet fits 0 of the schemas of anyOf"),
        ({"name": "Ann", "kind": "b"}, "kind is none of the values of its enum"),
        ({"name": "Ann", "kind": True}, "kind is none of the values of its enum"),
        ({"name": "Ann", "one": 1}, "one should be True"),
        ({"name": "Ann", "more": 1}, "more may not be there"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(value, said):
    assert problem(value, PERSON) == said


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"$ref": "#"}]},
        {"items": {"$ref": "#"}, "$ref": "#"},
    ],
)
def test_a_schema_without_end_is_a_problem_and_no_hang(schema):
    assert problem([[1]], schema) == "the schema is too large to be checked"


@pytest.mark.parametrize(
    "schema",
    [
        {"required": [{"a": 1}, 1, ["b"], None]},
        {"type": [{"a": 1}, 3]},
        {"type": {"a": 1}},
        {"enum": 3},
        {"properties": [1], "items": [1], "anyOf": {"a": 1}, "$ref": 3},
        {"properties": {"a": 3}, "additionalProperties": "x", "prefixItems": 3},
        {"minItems": "x", "maxLength": [], "minimum": {}},
    ],
)
@pytest.mark.parametrize("value", [{"a": 1}, [1], "x", 1, None])
def test_no_schema_makes_checking_fail(schema, value):
    assert problem(value, schema) is None or isinstance(problem(value, schema), str)


MEMBERS = [f"m{n}" for n in range(2_000)]
TOO_LARGE = "the schema is too large to be checked"


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"enum": MEMBERS}},
        {"items": {"type": ["string"] * 2_000}},
        {"items": {"anyOf": [{"enum": MEMBERS[:1_000]}, {"enum": MEMBERS[1_000:]}]}},
        {"items": {"enum": ["x" * 100_000, "m1999"]}},
        {"allOf": [{"$ref": "#/$defs/a"}] * 500, "$defs": {"a": {"const": ["m1999"] * 500}}},
        {"allOf": [{"$ref": "#/$defs/a"}] * 900, "$defs": {"a": {"enum": [["m1999"] * 500]}}},
    ],
)
def test_work_in_every_word_is_counted(schema):
    assert problem(["m1999"] * 500, schema) == TOO_LARGE


def test_what_is_usual_is_checked_whatever_it_holds():
    kinds = {"type": "object", "properties": {"kind": {"enum": MEMBERS[:50]}}, "required": ["kind"]}
    assert problem([{"kind": "m49"}] * 2_000, {"items": kinds}) is None
    assert problem([{"kind": "no"}], {"items": kinds}) is not None


PLAIN = st.sampled_from([None, True, False, -3, 0, 1, 3, 0.5, 2.0, "", "a", "ab"])
NAMES = st.sampled_from("abc")
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "null"])
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SIMPLE = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.just(["string", "null"]),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "minimum": st.integers(-2, 2),
        "exclusiveMaximum": st.integers(-2, 2),
        "minLength": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "required": st.lists(NAMES, max_size=2, unique=True),
        "additionalProperties": st.booleans(),
    },
)
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "type": st.sampled_from(["object", "array"]),
            "additionalProperties": inner,
        },
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(VALUES, SCHEMAS)
def test_it_agrees_with_a_validator_that_others_wrote(value, schema):
    fits = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (problem(value, schema) is None) == fits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', '{"a": 1}'),
        (' \n{"a": 1}\n', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```\n{"a": 1}\n```\n', '{"a": 1}'),
        ('```JSON  \n\n{"a": 1}\n  ```  ', '\n{"a": 1}'),
        ("no fence ``` here", "no fence ``` here"),
        ("```json\n{}", "```json\n{}"),
        ("``` 1\n{}\n```", "``` 1\n{}\n```"),
        ("```", "```"),
        ("```\n```", "```\n```"),
    ],
)
def test_a_fence_around_json_is_taken_off(text, expected):
    assert bare(text) == expected


@pytest.mark.parametrize("blank", ["\n", " \n", "\n```\n"])
def test_an_answer_of_line_breaks_is_no_work(blank):
    # looked for by a pattern, the end of a fence kept a worker for minutes
    answer = f"```json{blank * 100_000}x"
    assert bare(answer) == answer
