import pytest

from shared.core.schema_form import form_problem

GOOD = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "minLength": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "prefixItems": [True]},
        "pet": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
        "required": {"enum": ["a property that is called as a word", 1]},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"tag": {"const": {"required": 3}}},
    "x-else": {"required": 3},
}


def test_a_schema_is_one():
    assert form_problem(GOOD, "s") is None


@pytest.mark.parametrize(
    ("schema", "where", "word"),
    [
        ({"required": ["a", 1]}, "s.required", "a list of strings"),
        ({"required": "a"}, "s.required", "a list of strings"),
        ({"type": 3}, "s.type", "a string or a list"),
        ({"type": ["string", {}]}, "s.type", "a string or a list"),
        ({"enum": "a"}, "s.enum", "a list"),
        ({"$ref": 3}, "s.$ref", "a string"),
        ({"minLength": "1"}, "s.minLength", "a number"),
        ({"maximum": True}, "s.maximum", "a number"),
        ({"properties": []}, "s.properties", "an object of schemas"),
        ({"properties": {"a": {"required": [None]}}}, "s.properties.a.required", "strings"),
        ({"items": [{}]}, "s.items", "a schema"),
        ({"additionalProperties": "no"}, "s.additionalProperties", "a schema"),
        ({"anyOf": {}}, "s.anyOf", "a list of schemas"),
        ({"anyOf": [{}, {"oneOf": [None]}]}, "s.anyOf[1].oneOf[0]", "a schema"),
        ({"$defs": {"b": 3}}, "s.$defs.b", "a schema"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(schema, where, word):
    found = form_problem(schema, "s")
    assert found is not None
    assert found[0] == where
    assert word in found[1]
