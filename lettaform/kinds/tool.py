"""Tools."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.traits import DiscoveredBy, Naming, Requests, SourceFile

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

_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def _name(values: Mapping[str, Any]) -> str | None:
    schema = values.get("json_schema")
    if isinstance(schema, Mapping) and isinstance(schema.get("name"), str):
        return str(schema["name"])
    try:
        function = tool_function(ast.parse(values.get("source") or ""))
    except _UNREADABLE:
        return None
    return function.name if function else None


def _line_of(text: str) -> int:
    try:
        function = tool_function(ast.parse(text))
    except SyntaxError as error:
        return error.lineno or 1
    except _UNREADABLE:
        return 1
    return function.lineno if function else 1


_SOURCE = SourceFile(
    endings={".py": {}, ".ts": {"source_type": "typescript"}},
    schema_path="/v1/tools/generate-schema",
    line_of=_line_of,
)


class Tool(Kind, section="tools", path="/v1/tools/", unique=True, mark="tags", shared=True):
    """A function that agents can call: Python source, named after its last function."""

    # fmt: off
    name: str = attr("Name of the function. Derived from the source; cannot be set.", write=None, read="name")
    source: str = attr("Source code: a path that ends in `.py` or `.ts`, or the text.", required=True, write="source_code", group="schema", relation=_SOURCE, constraints={"min_length": 1})
    source_type: Literal["python", "typescript"] = attr("Language of the source. Default: `python`.")
    json_schema: dict[str, Any] = attr("JSON schema of the function for models. Default: derived from the source.", group="schema")
    args_json_schema: dict[str, Any] = attr("JSON schema of the arguments, in place of the derived one.", group="schema")
    description: str = attr("Description for people. Models read the docstring, or the `json_schema`.", group="schema")
    return_char_limit: int = attr("Maximum number of characters of the result that agents see.", constraints={"ge": 1, "le": 1_000_000})
    pip_requirements: list[dict[str, str]] = attr("Packages from PyPI that the source imports: maps of `name` and `version`.", unordered=True)
    npm_requirements: list[dict[str, str]] = attr("Packages from npm that the source imports: maps of `name` and `version`.", unordered=True)
    default_requires_approval: bool = attr("Whether agents to which the tool is attached need approval to call it. Written to the `tool_rules` of the stack's agents.")
    enable_parallel_execution: bool = attr("Whether the tool can run at the same time as other tools.")
    mcp: str = attr("MCP server that offers the tool of this name: a key of `mcp_servers`. Excludes all other fields.", to="mcp_server", write=None, read="metadata_.mcp.server_id", relation=DiscoveredBy())
    tags: list[str] = attr("Tags to find the tool by.", unordered=True, additive=True, clear=[])
    # fmt: on

    requests: ClassVar[Requests] = Requests(verb="PUT")
    naming: ClassVar[Naming] = Naming(("source", "json_schema"), _name, BUILT_IN)
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
            function = tool_function(ast.parse(body.get("source_code") or ""))
        except _UNREADABLE:
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
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        source = values.get("source")
        if values.get("source_type") == "typescript":
            return [] if values.get("json_schema") else [("json_schema", "is required for a TypeScript tool", None)]
        if not isinstance(source, str):
            return []
        try:
            tree = ast.parse(source)
        except _UNREADABLE as error:
            line = getattr(error, "lineno", None)
            where = f" in line {line} of the source" if line else ""
            return [("source", f"is not valid Python{where}: {getattr(error, 'msg', error)}", None)]
        function = tool_function(tree)
        if function is None:
            return [("source", "defines no function", "add a `def` with a docstring and type hints")]
        if function not in tree.body:
            message = f"the server uses the nested function `{function.name}` as the tool"
            return [("source", message, "move it to the top level, before the function of the tool")]
        if function.name in BUILT_IN:
            return [
                (
                    "source",
                    f"defines `{function.name}`, the name of a built-in tool of the server",
                    "rename the function",
                )
            ]
        if not ast.get_docstring(function):
            return [("source", f"`{function.name}` has no docstring", "add one: it tells models what the tool does")]
        return []


def tool_function(tree: ast.Module) -> ast.FunctionDef | None:
    """The function that 0.16.8 uses as the tool: the last one in breadth-first order, without `async` functions."""
    return next((node for node in reversed([*ast.walk(tree)]) if isinstance(node, ast.FunctionDef)), None)
