"""Python source to the JSON schema that 0.16.8 derives from it; ValueError says why there is none."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from typing import Any

from tests.standin.server import Body, Refusal

_TYPES = {"int": "integer", "str": "string", "bool": "boolean", "float": "number"}
_RESERVED = ("self", "agent_state")
_SECTION = re.compile(r"^(Args|Arguments|Parameters|Params|Attributes|Raises|Returns?|Yields?|Examples?):\s*$", re.M)


def derive(source: str) -> Body:
    """The schema of the tool in a source."""
    function = the_function(source)
    text = ast.get_docstring(function, clean=False)
    if not text:
        raise ValueError(f"Function {function.name} missing docstring")
    if "Examples:" in text:
        raise Refusal(501, "the stand-in does not model Examples: in a docstring")
    short, long, arguments = _docstring(text)
    schema: Body = {"type": "object", "properties": {}, "required": []}
    # 0.16.8 ignores keyword-only parameters and *args
    args = function.args.args
    defaults = dict(
        zip([arg.arg for arg in args[len(args) - len(function.args.defaults) :]], function.args.defaults, strict=False)
    )
    for arg in args:
        if arg.arg in _RESERVED:
            continue
        where = f"Parameter '{arg.arg}' in function '{function.name}' lacks"
        if arg.annotation is None:
            raise ValueError(f"Type error in schema generation: {where} a type annotation")
        if not arguments.get(arg.arg):
            raise ValueError(f"Value error in schema generation: {where} a description in the docstring")
        try:
            kind = _type(arg.annotation)
        except ValueError as error:
            raise ValueError(f"Value error in schema generation: {error}") from None
        schema["properties"][arg.arg] = {**kind, "description": arguments[arg.arg]}
        if not _plain(defaults.get(arg.arg)) and not _is_optional(arg.annotation):
            schema["required"].append(arg.arg)
    description = "\n\n".join(filter(None, [short, long])) or "No description available"
    return {"name": function.name, "description": description, "parameters": schema}


def the_function(source: str) -> ast.FunctionDef:
    """The function that 0.16.8 takes for the tool: the last that a walk of the tree meets, level by level.

    This is the last top-level function, unless a function or class contains a `def`: then the last of those. An
    `async def` does not count.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"Failed to parse source code: {error}") from None
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if not functions:
        raise ValueError("No functions found in source code")
    return functions[-1]


def from_arguments(source: str, arguments: Mapping[str, Any], name: str | None) -> Body:
    """The schema where the caller gives the parameters."""
    function = the_function(source)
    properties = {}
    for key, each in arguments.get("properties", {}).items():
        if each.get("type") not in (*_TYPES.values(), "object"):
            raise Refusal(501, f"the stand-in does not model an argument of type {each.get('type')}")
        properties[key] = {"type": each["type"], "description": each.get("description")}
    name = name or function.name
    description = ast.get_docstring(function) or f"The {name} tool"
    required = [key for key in properties if key in arguments.get("required", ())]
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": description, "parameters": schema}


def _plain(default: ast.expr | None) -> bool:
    # 0.16.8 treats a default that is no literal as none
    try:
        return default is not None and (ast.literal_eval(default), True)[1]
    except ValueError:
        return False


def _is_optional(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Optional"


def _type(node: ast.expr) -> Body:
    text = ast.unparse(node)
    none = ValueError(f"Python type {text} has no corresponding JSON schema type")
    if isinstance(node, ast.Name):
        if node.id in _TYPES:
            return {"type": _TYPES[node.id]}
        if node.id in ("dict", "Dict"):
            return {"type": "object"}
        if node.id in ("list", "List"):
            return {"type": "array", "items": {"type": "string"}}
        raise none
    # 0.16.8 does not know `X | None`, strings or `typing.X`
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        raise none
    if node.value.id == "Optional":
        return _type(node.slice)
    if node.value.id in ("list", "List"):
        return {"type": "array", "items": _type(node.slice)}
    if node.value.id == "Literal":  # 0.16.8 keeps the source text of the choices as the only choice
        return {"type": "string", "enum": [ast.unparse(node.slice)]}
    if node.value.id in ("dict", "Dict"):
        raise ValueError(f"Dictionary types {text} with nested type arguments are not supported")
    raise none


def _docstring(text: str) -> tuple[str, str, Mapping[str, str]]:
    """Short and long description, and the description of each argument."""
    parts = _SECTION.split(inspect.cleandoc(text))
    short, _, long = parts[0].partition("\n")
    described: dict[str, str] = {}
    for section, body in zip(parts[1::2], parts[2::2], strict=True):
        if section in ("Args", "Arguments", "Parameters", "Params"):
            described |= _entries(body)
    return short.strip(), long.strip(), described


def _entries(body: str) -> dict[str, str]:
    lines = [line for line in body.split("\n") if line.strip()]
    if not lines or not lines[0].startswith(" "):
        return {}
    indent = len(lines[0]) - len(lines[0].lstrip())
    described: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if len(line) - len(line.lstrip()) == indent:
            head, _, rest = line.strip().partition(":")
            name = head.split("(")[0].strip()
            described[name] = [rest.strip()]
        elif name:
            described[name].append(line.strip())
    return {name: "\n".join(filter(None, lines)) for name, lines in described.items()}
