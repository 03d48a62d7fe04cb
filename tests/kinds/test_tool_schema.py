"""`json_schema` and `args_json_schema`: each problem has its path and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.kinds.tool_schema import argument_problems, derived, function_problems
from lettaform.values import Ref

WHOLE: dict[str, Any] = {
    "name": "f",
    "description": "F.",
    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
}


def with_arguments(**words: Any) -> dict[str, Any]:
    return {**WHOLE, "parameters": {**WHOLE["parameters"], **words}}


def of(kind: str) -> dict[str, Any]:
    return with_arguments(properties={"a": {"type": kind}})


@pytest.mark.parametrize(
    ("schema", "path", "message", "hint"),
    [
        (
            {"type": "function", "function": WHOLE},
            "json_schema.function",
            "is nested; the server expects the map inside it",
            "write the map inside `function` in its place: `json_schema: {name: …, description: …, parameters: …}`",
        ),
        ({**WHOLE, "name": None}, "json_schema.name", "is required: the name of the function", None),
        ({**WHOLE, "name": 5}, "json_schema.name", "must be a text", "quote the value"),
        ({**WHOLE, "description": 5}, "json_schema.description", "must be a text", "quote the value"),
        (
            {"name": "f"},
            "json_schema.parameters",
            "is required",
            "for a function without arguments: `parameters: {type: object, properties: {}}`",
        ),
        (
            {"name": "f", "input_schema": WHOLE["parameters"]},
            "json_schema.parameters",
            "is required",
            "rename `input_schema` to `parameters`",
        ),
        (
            {**WHOLE, "parameters": []},
            "json_schema.parameters",
            "must be a map: the JSON Schema of an object",
            "for a function without arguments: `parameters: {type: object, properties: {}}`",
        ),
        *(
            (
                with_arguments(type=kind),
                "json_schema.parameters.type",
                "must be `object`: the arguments of a function are a map",
                "write `type: object`",
            )
            for kind in (None, "array", "dict", ["object"])
        ),
        *(
            (
                with_arguments(properties=each, required=[]),
                "json_schema.parameters.properties",
                "is required: a map of the arguments",
                "write `properties: {}` if there are none",
            )
            for each in ("a", None)
        ),
        *(
            (
                of(kind),
                "json_schema.parameters.properties.a.type",
                f"`{kind}` is no type of JSON Schema",
                f"did you mean `{right}`?",
            )
            for kind, right in {
                "str": "string",
                "int": "integer",
                "float": "number",
                "bool": "boolean",
                "list": "array",
                "dict": "object",
                "strng": "string",
            }.items()
        ),
        (
            with_arguments(properties={"a": {"type": "array", "items": {"type": "str"}}}),
            "json_schema.parameters.properties.a.items.type",
            "`str` is no type of JSON Schema",
            "did you mean `string`?",
        ),
        (
            with_arguments(properties={"a": "string"}),
            "json_schema.parameters.properties.a",
            "is no valid JSON Schema: 'string' is not of type 'object', 'boolean'",
            None,
        ),
        (
            with_arguments(required="a"),
            "json_schema.parameters.required",
            "is no valid JSON Schema: 'a' is not of type 'array'",
            None,
        ),
        (
            with_arguments(required=["a", "aa"]),
            "json_schema.parameters.required.1",
            "`aa` is not among the `properties`",
            "did you mean `a`?",
        ),
        (
            with_arguments(required=["other"]),
            "json_schema.parameters.required.0",
            "`other` is not among the `properties`",
            "add it to `properties`",
        ),
    ],
)
def test_problems_of_a_function(schema: dict[str, Any], path: str, message: str, hint: str | None) -> None:
    assert list(function_problems(schema, runs=True)) == [(path, message, hint)]


@pytest.mark.parametrize(
    "argument",
    [
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"enum": ["a", "b"]},
        {"$ref": "#/$defs/A"},
        {"description": "x"},
        {"type": "null"},
    ],
)
def test_the_server_runs_no_function_with_an_argument_without_one_type(argument: dict[str, Any]) -> None:
    schema = with_arguments(properties={"a": argument})
    ((path, message, hint),) = function_problems(schema, runs=True)
    assert (path, message) == (
        "json_schema.parameters.properties.a",
        "has no single `type`, and the server cannot run a function with such an argument",
    )
    assert (hint or "").startswith("give it one `type`: string, integer, number, boolean, array, object")
    assert ("required" in (hint or "")) is ("null" in str(argument))
    assert list(function_problems(schema, runs=False)) == []
    assert list(function_problems(with_arguments(properties={"a": {**argument, "type": "string"}}), runs=True)) == []


def test_values_of_other_objects_are_not_checked() -> None:
    other = Ref(Address.of("tools", "t"), "description")
    assert list(function_problems({**WHOLE, "description": other}, runs=True)) == []
    assert list(function_problems(with_arguments(description=other, required=5), runs=True)) == []


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"type": "string"}, None),
        ({"type": "object"}, None),
        ({"type": "object", "additionalProperties": True}, None),
        ({"type": "array", "items": {"type": "string"}}, None),
        ({"type": "array", "items": {"$ref": "#/$defs/A"}}, None),
        ({"$ref": "#/$defs/A"}, None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        ({"type": "array"}, "has no `items`, and the server cannot use such a list"),
        ({"type": "object", "additionalProperties": False}, "has `additionalProperties`, which the server cannot use"),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "has `additionalProperties`, which the server cannot use",
        ),
        ({"$ref": "#/$defs/B"}, "`$ref` names no schema of `$defs`: #/$defs/B"),
        ({"type": "string", "enum": ["a"]}, "has `enum`, which the server leaves out of what models see"),
        (
            {"type": "object", "properties": {"b": {"type": "string"}}},
            "has `properties`, which the server leaves out of what models see",
        ),
        *(
            (each, "has no single `type`, and the server cannot use such an argument")
            for each in (
                {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                {"type": ["string", "null"]},
                {"description": "x"},
            )
        ),
    ],
)
def test_the_server_makes_types_of_some_arguments_alone(argument: dict[str, Any], message: str | None) -> None:
    definitions = {"A": {"type": "object", "properties": {"b": {"type": "string"}}}}
    schema = {"type": "object", "$defs": definitions, "properties": {"a": argument}}
    found = [(path, words) for path, words, _ in argument_problems(schema)]
    assert found == ([("args_json_schema.properties.a", message)] if message else [])


@pytest.mark.parametrize("schema", [WHOLE, {"type": "function", "function": WHOLE}])
def test_a_whole_function_is_no_schema_of_arguments(schema: dict[str, Any]) -> None:
    ((path, message, hint),) = argument_problems(schema)
    assert (path, message) == ("args_json_schema", "is the schema of a whole function")
    assert hint == "give it as `json_schema`, or give the map inside `parameters` alone"
    assert list(argument_problems(WHOLE["parameters"])) == []


def test_types_of_arguments_are_checked_once() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "str"}}}
    assert list(argument_problems(schema)) == [
        ("args_json_schema.properties.a.type", "`str` is no type of JSON Schema", "did you mean `string`?")
    ]


DOCUMENTED = """def f(a: int, b: str = "x"):
    \"\"\"
    Does it.

    Args:
        a (int): First.
        b: Second: with a colon.

    Returns:
        str: What.
    \"\"\"
    return b
"""


def test_the_schema_of_a_plain_function_is_known() -> None:
    properties = {
        "a": {"type": "integer", "description": "First."},
        "b": {"type": "string", "description": "Second: with a colon."},
    }
    parameters = {"type": "object", "properties": properties, "required": ["a"]}
    assert derived(DOCUMENTED) == {"name": "f", "description": "Does it.", "parameters": parameters}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a: int", "a: list[int]"),
        ("a: int", "a"),
        ("a (int): First.", "c (int): First."),
        ("Does it.", "Does it\n    over two lines."),
        ("a: int, b", "a: int, *, b"),
        ("def f", "def g():\n    pass\n\n\ndef f"),
        ("def f", "async def f"),
        ("return b", "return ("),
        ("        a (int): First.\n", ""),
    ],
)
def test_no_schema_is_guessed(old: str, new: str) -> None:
    assert old in DOCUMENTED
    assert derived(DOCUMENTED.replace(old, new, 1)) is None
