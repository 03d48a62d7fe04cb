"""The schemas of a tool, `json_schema` and `args_json_schema`, to their problems."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lettaform.errors import nearest
from lettaform.kinds import python
from lettaform.values import has_refs

Found = tuple[str, str, str | None]
"""The path of a problem, its message and its hint."""

_TYPES = ("string", "integer", "number", "boolean", "array", "object")
"""The types of the arguments that 0.16.8 can give to a function."""
_PYTHON = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}
_DROPPED = ("enum", "const", "properties")
"""What 0.16.8 leaves out of the schema that it makes of an argument in `args_json_schema`."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_ARGUMENTS = "for a function without arguments: `parameters: {type: object, properties: {}}`"


def name_problem(name: str) -> tuple[str, str] | None:
    """What providers of models reject in the name of a tool: message and hint."""
    if _NAME.fullmatch(name):
        return None
    return f"`{name}` is no name that models can call", "use at most 64 letters, digits and `_`, without accents"


def function_problems(schema: Mapping[str, Any], *, runs: bool) -> Iterator[Found]:
    """The problems of a `json_schema`. `runs`: the server turns each argument into Python by its type."""
    if isinstance(schema.get("function"), Mapping) and "name" not in schema:
        hint = "write the map inside `function` in its place: `json_schema: {name: …, description: …, parameters: …}`"
        yield "json_schema.function", "is nested; the server expects the map inside it", hint
        return
    yield from _text(schema, "name", "the name of the function", required=True)
    yield from _text(schema, "description", "a text", required=False)
    if schema.get("parameters") is None:
        other = next((key for key in schema if key.lower() in ("input_schema", "inputschema")), None)
        hint = f"rename `{other}` to `parameters`" if other else _NO_ARGUMENTS
        yield "json_schema.parameters", "is required", hint
        return
    yield from _arguments("json_schema.parameters", schema["parameters"])
    yield from _without_type("json_schema.parameters", schema["parameters"]) if runs else ()


def argument_problems(schema: Mapping[str, Any]) -> Iterator[Found]:
    """The problems of an `args_json_schema`."""
    if isinstance(schema.get("parameters"), Mapping) or isinstance(schema.get("function"), Mapping):
        hint = "give it as `json_schema`, or give the map inside `parameters` alone"
        yield "args_json_schema", "is the schema of a whole function", hint
        return
    yield from _arguments("args_json_schema", schema)
    properties = schema.get("properties")
    for name, each in properties.items() if isinstance(properties, Mapping) else ():
        reason = _inconvertible(each, schema.get("$defs"))
        if reason and isinstance(each, Mapping) and not _unknown_type(each):
            yield f"args_json_schema.properties.{name}", reason, "give the whole `json_schema` in its place"


def _text(schema: Mapping[str, Any], key: str, what: str, *, required: bool) -> Iterator[Found]:
    value = schema.get(key)
    if value is None and required:
        yield f"json_schema.{key}", f"is required: {what}", None
    elif value is not None and not isinstance(value, str) and not has_refs(value):
        yield f"json_schema.{key}", "must be a text", "quote the value"


def _arguments(path: str, schema: Any) -> Iterator[Found]:
    """Problems of the map that describes the arguments of a function."""
    if has_refs(schema):
        return
    if not isinstance(schema, Mapping):
        yield path, "must be a map: the JSON Schema of an object", _NO_ARGUMENTS
        return
    if schema.get("type") != "object":
        yield f"{path}.type", "must be `object`: the arguments of a function are a map", "write `type: object`"
    if not isinstance(schema.get("properties"), Mapping):
        hint = "write `properties: {}` if there are none"
        yield f"{path}.properties", "is required: a map of the arguments", hint
        return
    yield from _flaws(path, schema)
    yield from _unknown_required(path, schema)


def _flaws(path: str, schema: Mapping[str, Any]) -> Iterator[Found]:
    """Where a map is no JSON Schema."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    errors = {tuple(map(str, error.absolute_path)): error for error in validator.iter_errors(schema)}
    for steps, error in errors.items():
        where = ".".join([path, *steps])
        if steps[-1:] == ("type",) and len(steps) > 1:
            yield where, *_type_problem(error.instance)
        elif steps != ("type",):
            yield where, f"is no valid JSON Schema: {error.message[:200]}", None


def _type_problem(given: Any) -> tuple[str, str]:
    near = (_PYTHON.get(given) or nearest(given, _TYPES)) if isinstance(given, str) else None
    hint = f"did you mean `{near}`?" if near else f"one of: {', '.join(_TYPES)}"
    return f"`{given}` is no type of JSON Schema", hint


def _unknown_required(path: str, schema: Mapping[str, Any]) -> Iterator[Found]:
    required, properties = schema.get("required"), schema["properties"]
    for index, name in enumerate(required if isinstance(required, list) else ()):
        if isinstance(name, str) and name not in properties:
            near = nearest(name, map(str, properties))
            hint = f"did you mean `{near}`?" if near else "add it to `properties`"
            yield f"{path}.required.{index}", f"`{name}` is not among the `properties`", hint


def _without_type(path: str, schema: Any) -> Iterator[Found]:
    """Arguments without one type. 0.16.8 reads no `anyOf`, `$ref` or list of types, and cannot run the function."""
    properties = schema.get("properties") if isinstance(schema, Mapping) and not has_refs(schema) else None
    for name, each in properties.items() if isinstance(properties, Mapping) else ():
        if isinstance(each, Mapping) and each.get("type") not in _TYPES and not _unknown_type(each):
            message = "has no single `type`, and the server cannot run a function with such an argument"
            hint = f"give it one `type`: {', '.join(_TYPES)}"
            if "null" in str(each):
                hint += "; leave it out of `required` where it may be missing"
            yield f"{path}.properties.{name}", message, hint


def _unknown_type(schema: Mapping[str, Any]) -> bool:
    """Whether the type is a text that JSON Schema does not know, which is reported as such."""
    return isinstance(schema.get("type"), str) and schema["type"] not in (*_TYPES, "null")


def _inconvertible(schema: Any, definitions: Any) -> str | None:
    """Why 0.16.8 cannot turn the schema of one argument into a type."""
    if not isinstance(schema, Mapping) or has_refs(schema):
        return None
    if lost := next((key for key in _DROPPED if key in schema), None):
        return f"has `{lost}`, which the server leaves out of what models see"
    match schema.get("type"), schema:
        case "array", {"items": items}:
            return _inconvertible(items, definitions)
        case "array", _:
            return "has no `items`, and the server cannot use such a list"
        case "object", {"additionalProperties": extra} if extra is not True:
            return "has `additionalProperties`, which the server cannot use"
        case (("string" | "integer" | "number" | "boolean" | "object"), _):
            return None
        case _, {"$ref": reference}:
            known = isinstance(definitions, Mapping) and str(reference).rpartition("/")[2] in definitions
            return None if known else f"`$ref` names no schema of `$defs`: {reference}"
        case _, {"anyOf": [*choices]}:
            given = [each for each in choices if not (isinstance(each, Mapping) and each.get("type") == "null")]
            if len(given) == 1 and len(choices) > 1:
                return _inconvertible(given[0], definitions)
    return "has no single `type`, and the server cannot use such an argument"


# --- what the server derives -----------------------------------------------------------------------------------------

_ENTRY = re.compile(r"\s*(\w+)\s*(?:\([^)]*\))?:\s+(\S.*)")


def derived(source: str) -> dict[str, Any] | None:
    """The schema that the server derives from a plain function; None if it is not certain what it derives.

    Plain: one function, simple type hints, and a docstring with a paragraph and a line for each argument.
    """
    try:
        tree = ast.parse(source)
    except python.UNREADABLE:
        return None
    function = python.tool_function(tree)
    if function is None or len(python.functions(tree)) > 1 or function.args.posonlyargs or function.args.kwonlyargs:
        return None
    head, _, rest = (ast.get_docstring(function) or "").partition("\n\n")
    hints = {each.arg: _hint_type(each.annotation) for each in function.args.args}
    entries = {found[1]: found[2].strip() for line in _argument_lines(rest) if (found := _ENTRY.fullmatch(line))}
    if not head or "\n" in head or None in hints.values() or hints.keys() != entries.keys():
        return None
    properties = {name: {**(kind or {}), "description": entries[name]} for name, kind in hints.items()}
    parameters = {"type": "object", "properties": properties, "required": python.required(function)}
    return {"name": function.name, "description": head, "parameters": parameters}


def _argument_lines(docstring: str) -> list[str]:
    """The lines of the section `Args:`."""
    _, _, after = docstring.partition("Args:\n")
    return after.partition("\n\n")[0].splitlines()


def _hint_type(hint: ast.expr | None) -> dict[str, Any] | None:
    """The type that a type hint of one word stands for."""
    name = hint.id if isinstance(hint, ast.Name) else None
    return {"type": _PYTHON[name]} if name in ("str", "int", "float", "bool") else None
