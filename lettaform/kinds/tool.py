"""Tools."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from lettaform.errors import nearest
from lettaform.kinds import python, tool_schema
from lettaform.kinds.base import Kind, attr
from lettaform.kinds.maps import NpmRequirement, PipRequirement
from lettaform.kinds.tool_schema import Found
from lettaform.kinds.traits import DiscoveredBy, Naming, Requests, Signature, SourceFile

BUILT_IN = frozenset(
    {
        *("send_message", "conversation_search", "archival_memory_insert", "archival_memory_search"),
        *("memory", "memory_apply_patch", "core_memory_append", "core_memory_replace"),
        *("memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"),
        *("store_memories", "rethink_user_memory", "finish_rethinking_memory", "search_memory"),
        *("send_message_to_agent_and_wait_for_reply", "send_message_to_agents_matching_tags"),
        *("send_message_to_agent_async", "web_search", "run_code", "run_code_with_tools", "fetch_webpage"),
        *("open_files", "grep_files", "semantic_search_files"),
    }
)
"""Names of the server's built-in tools (0.16.8). `agents.*.tools` can use them by name; they cannot be replaced."""


def _parsed(values: Mapping[str, Any]) -> ast.Module | None:
    """The syntax tree of a Python source; None if it has none, or if it is not known yet."""
    source = values.get("source")
    if not isinstance(source, str) or values.get("source_type") == "typescript":
        return None
    try:
        return ast.parse(source)
    except python.UNREADABLE:
        return None


def _name(values: Mapping[str, Any]) -> str | None:
    schema = values.get("json_schema")
    if isinstance(schema, Mapping) and isinstance(schema.get("name"), str):
        return str(schema["name"])
    tree = _parsed(values)
    function = python.tool_function(tree) if tree else None
    return function.name if function else None


def _line_of(text: str) -> int:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return error.lineno or 1
    except python.UNREADABLE:
        return 1
    found = python.future_import(tree) or python.tool_function(tree)
    return found.lineno if found else 1


def _parameters(values: Mapping[str, Any]) -> frozenset[str] | None:
    """The names of the arguments that a tool takes; None if they are not known."""
    schema = values.get("json_schema") or {"parameters": values.get("args_json_schema")}
    arguments = schema.get("parameters") if isinstance(schema, Mapping) else None
    if isinstance(arguments, Mapping) and isinstance(arguments.get("properties"), Mapping):
        return frozenset(map(str, arguments["properties"]))
    tree = _parsed(values)
    function = python.tool_function(tree) if tree and not values.get("json_schema") else None
    return frozenset(python.parameters(function)) if function else None


_SOURCE = SourceFile(
    endings={".py": {}, ".ts": {"source_type": "typescript"}},
    schema_path="/v1/tools/generate-schema",
    line_of=_line_of,
    hint=python.schema_hint,
)


class Tool(Kind, section="tools", path="/v1/tools/", unique=True, mark="tags", shared=True):
    """A function that agents can call: Python source, named after its last function or by `json_schema`."""

    # fmt: off
    name: str = attr("Name of the function. Derived from the source; cannot be set.", write=None, read="name")
    source: str = attr("Source code: a path that ends in `.py` or `.ts`, or the text.", required=True, write="source_code", group="schema", relation=_SOURCE, constraints={"min_length": 1})
    source_type: Literal["python", "typescript"] = attr("Language of the source. Default: `python`.")
    json_schema: dict[str, Any] = attr("JSON schema of the function for models. Default: derived from the source.", group="schema")
    args_json_schema: dict[str, Any] = attr("JSON schema of the arguments, in place of the derived one.", group="schema")
    description: str = attr("Description for people. Models read the docstring, or the `json_schema`.", group="schema")
    return_char_limit: int = attr("Maximum number of characters of the result that agents see.", constraints={"ge": 1, "le": 1_000_000})
    pip_requirements: list[PipRequirement] = attr("Packages from PyPI that the source imports: maps of `name` and `version`.", unordered=True)
    npm_requirements: list[NpmRequirement] = attr("Packages from npm that the source imports: maps of `name` and `version`.", unordered=True)
    default_requires_approval: bool = attr("Whether agents to which the tool is attached need approval to call it. Written to the `tool_rules` of the stack's agents.")
    enable_parallel_execution: bool = attr("Whether the tool can run at the same time as other tools.")
    mcp: str = attr("MCP server that offers the tool of this name: a key of `mcp_servers`. Excludes all other fields.", to="mcp_server", write=None, read="metadata_.mcp.server_id", relation=DiscoveredBy())
    tags: list[str] = attr("Tags to find the tool by.", unordered=True, additive=True, clear=[])
    # fmt: on

    requests: ClassVar[Requests] = Requests(verb="PUT")
    signature: ClassVar[Signature | None] = Signature(_parameters)
    naming: ClassVar[Naming] = Naming(("source", "json_schema"), _name, BUILT_IN)
    initial: ClassVar[Mapping[str, Any]] = {
        "return_char_limit": 50_000,
        "default_requires_approval": False,
        "enable_parallel_execution": False,
    }
    unmanaged: ClassVar[Mapping[str, str]] = {"metadata_": "0.16.8 clears it on each upsert"}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send everything: only PUT derives the schema again, and it resets what the body leaves out (0.16.8)."""
        if live is not None:
            anew = any(body.get(key, live.get(key)) != live.get(key) for key in ("source_code", "args_json_schema"))
            derived = {"json_schema"} if anew else set()
            if anew and live.get("description") == (live.get("json_schema") or {}).get("description"):
                derived.add("description")
            kept = {attr.write for attr in cls.attrs().values() if attr.write} - derived
            body = {key: live[key] for key in kept if live.get(key) is not None} | body
            if not body.get("args_json_schema"):  # the server answers `{}` where nothing was set
                body.pop("args_json_schema", None)
            elif anew and not body.get("json_schema"):
                body |= cls._renamed(body, live)
        # without it 0.16.8 stores "json", and then cannot run the tool
        if body.get("source_type") not in {"python", "typescript"}:
            body["source_type"] = "python"
        return body

    @classmethod
    def _renamed(cls, body: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
        """The schema under a new name: 0.16.8 derives it from `args_json_schema` under the old name, and refuses it."""
        try:
            function = python.tool_function(ast.parse(body.get("source_code") or ""))
        except python.UNREADABLE:
            return {}
        if function is None or function.name == live.get("name"):
            return {}
        schema = {"name": function.name, "description": ast.get_docstring(function)}
        return {"json_schema": schema | {"parameters": body["args_json_schema"]}}

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        if field in {"pip_requirements", "npm_requirements"} and isinstance(value, list):
            return sorted(({k: v for k, v in item.items() if v is not None} for item in value), key=str)
        if field == "args_json_schema" and value == {}:
            return None
        return value

    @classmethod
    def without_initial(cls, field: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        value, schema = values.get(field), values.get("json_schema")
        if field == "source_type":  # 0.16.8 answers "json" for Python; the ending of the file says the rest
            return None
        if field == "description" and isinstance(schema, Mapping) and value == schema.get("description"):
            return None
        if field == "json_schema" and cls.naming.derive({"source": values.get("source")}) != values.get("name"):
            return value  # otherwise the tool would get another name
        return super().without_initial(field, values, given)

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[Found]:
        schema, arguments = values.get("json_schema"), values.get("args_json_schema")
        typescript = values.get("source_type") == "typescript"
        found: list[Found] = []
        if isinstance(schema, Mapping) and schema:  # an empty one counts as none (0.16.8)
            found += tool_schema.function_problems(schema, runs=not (typescript or arguments))
        if isinstance(arguments, Mapping) and arguments:
            found += tool_schema.argument_problems(arguments)
        if typescript and not schema:
            found.append(("json_schema", "is required for a TypeScript tool", None))
        if isinstance(values.get("source"), str):
            found += _typescript(values) if typescript else _python(values)
        name = _name(values)
        if not found and name and (problem := tool_schema.name_problem(name)):
            found.append(("json_schema.name" if schema else "source", *problem))
        return found


_REMOVED = frozenset({"request_heartbeat", "thinking"})
"""Arguments that 0.16.8 takes away before it calls the function."""
_GIVE_NAME = "give `json_schema`, with the `name` of the function"


def _python(values: Mapping[str, Any]) -> list[Found]:
    """Problems of a Python source."""
    source = values["source"]
    try:
        tree = ast.parse(source)
    except python.UNREADABLE as error:
        line = getattr(error, "lineno", None)
        where = f" in line {line} of the source" if line else ""
        return [("source", f"is not valid Python{where}: {getattr(error, 'msg', error)}", None)]
    if python.future_import(tree):
        message = "imports from `__future__`: the server puts lines above the source, and cannot run it"
        return [("source", message, "remove the import")]
    if isinstance(schema := values.get("json_schema"), Mapping) and schema:
        return list(_named(schema, tree))
    return _derived(tree, values.get("args_json_schema"))


def _named(schema: Mapping[str, Any], tree: ast.Module) -> Iterator[Found]:
    """Problems of a source with the function that `json_schema` names."""
    name = schema.get("name")
    if not isinstance(name, str):
        return
    if name in BUILT_IN:
        yield "json_schema.name", f"`{name}` is the name of a built-in tool of the server", "rename the function"
    names, functions = python.names(tree), {each.name: each for each in python.functions(tree)}
    if names is not None and name not in names:
        near = nearest(name, functions)
        known = ", ".join(functions) or "none"
        hint = f"did you mean `{near}`?" if near else f"the functions of the source: {known}"
        yield "json_schema.name", f"the source defines no function `{name}`", hint
    elif name in functions:
        yield from _uncallable(functions[name])
        yield from _mismatched(functions[name], schema.get("parameters"), "json_schema.parameters")


def _derived(tree: ast.Module, arguments: Any) -> list[Found]:
    """Problems of a source in which the server finds the function by itself. `arguments`: the `args_json_schema`."""
    function, functions = python.tool_function(tree), python.functions(tree)
    if function is None:
        asynchronous = next((each.name for each in functions), None)
        if asynchronous is None:
            return [("source", "defines no function", "add a `def` with a docstring and type hints")]
        message = f"defines only `async def {asynchronous}`, and the server derives no schema from it"
        return [("source", message, f"give `json_schema`, with `name: {asynchronous}`")]
    if function not in functions:
        message = f"the server uses the nested function `{function.name}` as the tool"
        last = functions[-1].name if functions else ""
        hint = f"give `json_schema`, with `name: {last}`, or move `{function.name}` to the top level, above `{last}`"
        return [("source", message, hint if functions else "move it to the top level")]
    if function.name in BUILT_IN:
        message = f"defines `{function.name}`, the name of a built-in tool of the server"
        return [("source", message, "rename the function")]
    if doubt := _doubt(function, functions, documented=not arguments):
        return [doubt]
    if not arguments and not ast.get_docstring(function):
        return [("source", f"`{function.name}` has no docstring", "add one: it tells models what the tool does")]
    wrong = _mismatched(function, arguments, "args_json_schema") if arguments else _lost(function)
    return [*_uncallable(function), *wrong]


def _doubt(function: ast.FunctionDef, functions: Sequence[python.Function], *, documented: bool) -> Found | None:
    """Another function that may be meant, while the server uses the last one that is not `async` (0.16.8).

    documented  the function of a tool needs a docstring
    """
    name, private = function.name, function.name.startswith("_")
    public = [each for each in functions if each.name != name and not each.name.startswith("_")]
    others = [each for each in public if private or not documented or ast.get_docstring(each)]
    if not others:
        return None
    other = others[-1]
    message = f"the server uses `{name}` as the tool, and `{other.name}` may be meant"
    if isinstance(other, ast.AsyncFunctionDef):
        hint = f"give `json_schema`, with `name: {other.name}` or `name: {name}`"
    elif private:
        hint = f"move `{name}` above `{other.name}`, or {_GIVE_NAME}"
    else:
        hint = f"the function of the tool must be the last one: rename the other to `_…`, or {_GIVE_NAME}"
    return "source", message, hint


def _uncallable(function: python.Function) -> Iterator[Found]:
    """Parameters that the server cannot fill."""
    for name in python.nameless(function):
        message = f"`{function.name}` takes `{name}` by its position, and the server gives arguments by name"
        yield "source", message, "remove the `/`"


def _mismatched(function: python.Function, schema: Any, path: str) -> Iterator[Found]:
    """Arguments of a schema that the function does not take, and parameters that it needs and the schema lacks."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or python.takes_all(function):
        return
    known = [*python.parameters(function), *python.nameless(function)]
    for name in properties:
        if name not in known and name not in _REMOVED:
            near = nearest(str(name), known)
            hint = f"did you mean `{near}`?" if near else f"it takes {', '.join(known) or 'no arguments'}"
            yield f"{path}.properties.{name}", f"`{function.name}` takes no argument `{name}`", hint
    for name in python.required(function):
        if name not in properties:
            message = f"lacks `{name}`, without which `{function.name}` cannot be called"
            yield f"{path}.properties", message, f"add `{name}`, or give it a default in the source"


def _lost(function: ast.FunctionDef) -> Iterator[Found]:
    """Parameters of which the derived schema is wrong."""
    for name in python.left_out(function):
        message = f"the server leaves `{name}` out of the schema of `{function.name}`, because it follows a `*`"
        yield "source", message, "remove the `*`, or give `json_schema`"
    if unread := python.unread_default(function):
        name, default, earlier = unread
        message = f"the server reads no default of `{name}` from `{default}`, and refuses that after the default of `{earlier}`"
        yield "source", message, f"write the value itself in place of `{default}`, or give `args_json_schema`"
    for name, choices in python.choices(function):
        message = f"the server makes one choice of the whole `{choices}` of `{name}`"
        yield "source", message, "give `json_schema`, with `enum` for the choices"


def _typescript(values: Mapping[str, Any]) -> Iterator[Found]:
    """Problems of a TypeScript source with the function that `json_schema` names."""
    schema = values.get("json_schema")
    name = schema.get("name") if isinstance(schema, Mapping) else None
    if not isinstance(name, str):
        return
    if name in BUILT_IN:
        yield "json_schema.name", f"`{name}` is the name of a built-in tool of the server", "rename the function"
    names = re.findall(r"\b(?:function\s*\*?|const|let|var)\s+([\w$]+)", values["source"])
    if name not in names:
        near = nearest(name, names)
        hint = f"did you mean `{near}`?" if near else f"the source names: {', '.join(names) or 'none'}"
        yield "json_schema.name", f"the source defines no function `{name}`", hint
