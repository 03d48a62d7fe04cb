"""A tool: Python source that agents may call. Its name is the name of the source's last function."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr

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
"""The server's own tools, by name (0.16.8). Usable by name in `agents.*.tools`; never to be replaced."""

_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


class Tool(Kind, section="tools", path="/v1/tools/", unique=True, mark="tags", verb="PUT", shared=True):
    """A function that agents may call: Python source, known by the name of its last function."""

    # fmt: off
    name: str = attr("The function's name: read from the source, never written.", write=None, read="name")
    source: str = attr("Python source: a path that ends in .py, or the text.", birth=True, write="source_code", group="schema", file={".py": {}, ".ts": {"source_type": "typescript"}}, tried="/v1/tools/generate-schema", constraints={"min_length": 1})
    source_type: Literal["python", "typescript"] = attr("The language of the source; python unless given.")
    json_schema: dict[str, Any] = attr("What models see of it; derived from the source unless given.", group="schema")
    args_json_schema: dict[str, Any] = attr("Replaces the parameters of the derived schema.", group="schema")
    description: str = attr("What people read of it; models read the docstring, or the `json_schema`.", group="schema")
    return_char_limit: int = attr("How many characters of its answer agents see.", constraints={"ge": 1, "le": 1_000_000})
    pip_requirements: list[dict[str, str]] = attr("Packages that it imports: name, version.", unordered=True)
    npm_requirements: list[dict[str, str]] = attr("Packages that it imports: name, version.", unordered=True)
    default_requires_approval: bool = attr("Agents that get it must ask a person before they call it.")
    enable_parallel_execution: bool = attr("May run at the same time as other tools.")
    mcp: str = attr("In place of all else: the key of the MCP server that offers a tool of this name.", to="mcp_server", write=None, read="metadata_.mcp.server_id", brought=True)
    tags: list[str] = attr("Labels to find it by.", unordered=True, additive=True, clear=[])
    # fmt: on

    built_in: ClassVar[frozenset[str]] = BUILT_IN
    named_by: ClassVar[tuple[str, ...]] = ("source", "json_schema")
    unmanaged: ClassVar[Mapping[str, str]] = {"metadata_": "0.16.8 wipes it on each upsert"}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """PUT is the only change that regenerates the schema, and it resets what it is not told (0.16.8)."""
        if live is not None:
            anew = any(body.get(key, live.get(key)) != live.get(key) for key in ("source_code", "args_json_schema"))
            derived = {"json_schema"} if anew else set()
            if anew and live.get("description") == (live.get("json_schema") or {}).get("description"):
                derived.add("description")
            kept = {attr.write for attr in cls.attrs().values() if attr.write} - derived
            body = {key: live[key] for key in kept if live.get(key) is not None} | body
            if not body.get("args_json_schema"):  # reads `{}` where nothing was given
                body.pop("args_json_schema", None)
            elif anew and not body.get("json_schema"):
                body |= cls._renamed(body, live)
        # 0.16.8 stores "json" where nothing is said, and then cannot run the tool.
        if body.get("source_type") not in {"python", "typescript"}:
            body["source_type"] = "python"
        return body

    @classmethod
    def _renamed(cls, body: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
        """The schema under a new name: 0.16.8 derives it from `args_json_schema` under the old one, and refuses."""
        try:
            function = tool_function(ast.parse(body.get("source_code") or ""))
        except _UNREADABLE:
            return {}
        if function is None or function.name == live.get("name"):
            return {}
        told = {"name": function.name, "description": ast.get_docstring(function)}
        return {"json_schema": told | {"parameters": body["args_json_schema"]}}

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        if field in {"pip_requirements", "npm_requirements"} and isinstance(value, list):
            return sorted(({k: v for k, v in item.items() if v is not None} for item in value), key=str)
        if field == "args_json_schema" and value == {}:
            return None
        return value

    @classmethod
    def named(cls, values: Mapping[str, Any]) -> str | None:
        schema = values.get("json_schema")
        if isinstance(schema, Mapping) and isinstance(schema.get("name"), str):
            return str(schema["name"])
        try:
            function = tool_function(ast.parse(values.get("source") or ""))
        except _UNREADABLE:
            return None
        return function.name if function else None

    @classmethod
    def line_of(cls, field: str, text: str) -> int:
        try:
            function = tool_function(ast.parse(text))
        except SyntaxError as error:
            return error.lineno or 1
        except _UNREADABLE:
            return 1
        return function.lineno if function else 1

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
            return [("source", f"is not Python{where}: {getattr(error, 'msg', error)}", None)]
        function = tool_function(tree)
        if function is None:
            return [("source", "defines no function", "write one `def` with a docstring and type hints")]
        if function not in tree.body:
            message = f"the server takes `{function.name}`, inside another function, for the tool"
            return [("source", message, "move it out, before the tool's own `def`")]
        if function.name in BUILT_IN:
            return [
                ("source", f"defines `{function.name}`, the name of a tool of the server's own", "rename the function")
            ]
        if not ast.get_docstring(function):
            return [("source", f"`{function.name}` has no docstring", "models learn from it what the tool does")]
        return []


def tool_function(tree: ast.Module) -> ast.FunctionDef | None:
    """The function that 0.16.8 takes for the tool: the last one, level by level; what is `async` does not count."""
    return next((node for node in reversed([*ast.walk(tree)]) if isinstance(node, ast.FunctionDef)), None)
