"""`/v1/tools/`: functions with unique names, and the server's base tools."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.standin import schema
from tests.standin.lists import page
from tests.standin.server import USER, Ask, Body, Refusal, StandIn, absent, invalid, on, on_start
from tests.standin.validate import check

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "letta_core": ("send_message", "conversation_search", "archival_memory_insert", "archival_memory_search"),
    "letta_memory_core": ("memory", "memory_apply_patch", "core_memory_append", "core_memory_replace"),
    "letta_sleeptime_core": ("memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"),
    "letta_voice_sleeptime_core": (
        *("store_memories", "rethink_user_memory", "finish_rethinking_memory", "search_memory"),
    ),
    "letta_multi_agent_core": (
        *("send_message_to_agent_and_wait_for_reply", "send_message_to_agents_matching_tags"),
        "send_message_to_agent_async",
    ),
    "letta_builtin": ("web_search", "run_code", "run_code_with_tools", "fetch_webpage"),
    "letta_files_core": ("open_files", "grep_files", "semantic_search_files"),
}
_PARALLEL = frozenset(
    {
        *("conversation_search", "archival_memory_search", "web_search", "run_code", "fetch_webpage"),
        *("grep_files", "semantic_search_files"),
    }
)
_OTHER_TYPES = ("external_langchain", "external_composio", "external_mcp")
_TYPES = (
    *("custom", "letta_core", "letta_memory_core", "letta_multi_agent_core", "letta_sleeptime_core"),
    *("letta_voice_sleeptime_core", "letta_builtin", "letta_files_core", *_OTHER_TYPES),
)
_FIELDS = {
    "description": "str?",
    "tags": "strs?",
    "source_code": "str!",
    "source_type": "str",
    "json_schema": "dict?",
    "args_json_schema": "dict?",
    "return_char_limit": "int:1:1000000",
    "pip_requirements": "map:pip_requirements?",
    "npm_requirements": "map:npm_requirements?",
    "default_requires_approval": "bool?",
    "enable_parallel_execution": "bool?",
}
_UPDATE = {name: word.rstrip("!?") + "?" for name, word in _FIELDS.items()} | {"metadata_": "dict?"}
# defaults of 0.16.8; "json" is the default of the column
# fmt: off
_DEFAULTS: Mapping[str, Any] = {
    "id": None, "tool_type": "custom", "description": None, "source_type": "json", "name": None, "tags": [],
    "source_code": None, "json_schema": None, "args_json_schema": {}, "return_char_limit": 50_000,
    "pip_requirements": None, "npm_requirements": None, "default_requires_approval": None,
    "enable_parallel_execution": False, "created_by_id": USER, "last_updated_by_id": USER, "metadata_": {},
    "project_id": None,
}
# fmt: on


@on_start
def restore(server: StandIn) -> None:
    """Create or reset the base tools. A custom tool with such a name becomes a base tool."""
    for kind, names in BUILT_IN.items():
        for name in names:
            fields: Body = {"tool_type": kind, "source_type": "python", "tags": [kind], "json_schema": {"name": name}}
            fields |= {"args_json_schema": None, "enable_parallel_execution": name in _PARALLEL}
            put(server, {"name": name, "description": f"(the server's own words on {name})"} | fields, own=True)


def put(server: StandIn, fields: Mapping[str, Any], *, own: bool = False) -> Body:
    """Upsert by name: fields that are not given are reset, except tags. `own`: set all fields as given, tags too."""
    fields = {key: value for key, value in fields.items() if value is not None or own}
    have = named(server, fields["name"])
    tool = {**_DEFAULTS, **fields, "id": have["id"] if have else server.id("tool")}
    if have and not tool["tags"] and not own:  # 0.16.8 cannot clear tags here
        tool["tags"] = have["tags"]
    if not own:
        parts = [tool[key] for key in ("source_code", "source_type", "pip_requirements", "npm_requirements")]
        tool["metadata_"] = {"tool_hash": hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}
    server.tables.tools[tool["id"]] = tool
    return tool


def named(server: StandIn, name: str) -> Body | None:
    """The tool with a name."""
    return next((tool for tool in server.tables.tools.values() if tool["name"] == name), None)


def find(server: StandIn, id: str) -> Body:
    """A tool, or 404."""
    if id not in server.tables.tools:
        raise absent("Tool", id)
    return server.tables.tools[id]


@on("POST", "/v1/tools/")
@on("PUT", "/v1/tools/")
def _upsert(server: StandIn, ask: Ask) -> Body:
    """0.16.8 does the same for POST and PUT."""
    body = check(ask.body, _FIELDS, closed=True)
    kind = body.get("source_type")
    if kind == "typescript" and not body.get("json_schema"):
        message = (
            "TypeScript tools require an explicit json_schema parameter. "
            "Unlike Python tools, schema cannot be auto-generated from TypeScript source code."
        )
        error = {"type": "value_error", "loc": ("body",), "msg": f"Value error, {message}", "input": body}
        raise invalid([error | {"ctx": {"error": ValueError(message)}}])
    derived = body.get("json_schema") or _derived(body, kind)
    description = body.get("description")
    if description is None:
        description = derived.get("description")
    return put(server, {**body, "json_schema": derived, "name": derived.get("name"), "description": description})


def _derived(body: Mapping[str, Any], kind: str | None) -> Body:
    if kind not in (None, "python"):
        raise Refusal(400, f"Unknown tool source type: {kind}")
    if body.get("args_json_schema"):
        return schema.from_arguments(body["source_code"], body["args_json_schema"], None)
    try:
        return schema.derive(body["source_code"])
    except ValueError as error:
        raise Refusal(400, f"Failed to derive json schema: Schema generation failed: {error}") from None


@on("POST", "/v1/tools/generate-schema")
def _generate(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, {"code": "str!", "source_type": "str?"})
    if body.get("source_type") == "typescript":
        raise Refusal(501, "the stand-in does not model TypeScript")
    try:
        return schema.derive(body["code"])
    except ValueError as error:
        raise Refusal(400, f"Schema generation failed: {error}") from None


@on("POST", "/v1/tools/add-base-tools")
def _add(server: StandIn, ask: Ask) -> list[Body]:
    restore(server)
    return [tool for tool in server.tables.tools.values() if tool["tool_type"] in BUILT_IN]


@on("PATCH", "/v1/tools/{tool_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, _UPDATE)
    tool = find(server, ask.names["tool_id"])
    # 0.16.8 resets this whenever it is not given
    patch: Body = {"enable_parallel_execution": False, **{key: body[key] for key in _UPDATE if key in body}}
    patch = {key: value for key, value in patch.items() if value is not None}
    if "json_schema" not in patch and "args_json_schema" in patch and tool["tool_type"] == "custom":
        code = patch.get("source_code") or tool["source_code"]
        patch["json_schema"] = schema.from_arguments(code, patch["args_json_schema"], tool["name"])
    # 0.16.8 derives no schema from a new source, and takes the tool's name from the schema
    name = patch.get("json_schema", {}).get("name", tool["name"])
    source, kind = patch.get("source_code"), patch.get("source_type", tool["source_type"])
    if source is not None and f"{'function' if kind == 'typescript' else 'def'} {name}" not in source:
        known = (patch.get("json_schema") or tool["json_schema"]).get("name")
        message = f"Tool name '{name}' does not match the name in the JSON schema '{known}' or in the source code "
        raise Refusal(400, f"{message}`{source}`")
    if name != tool["name"] and named(server, name):
        raise Refusal(400, f"INVALID_ARGUMENT: Tool with name '{name}' already exists in your organization")
    server.tables.tools[tool["id"]] = tool | patch | {"name": name}
    return server.tables.tools[tool["id"]]


@on("DELETE", "/v1/tools/{tool_id}")
def _delete(server: StandIn, ask: Ask) -> None:
    id = ask.names["tool_id"]
    if id not in server.tables.tools:  # 0.16.8 answers 400, not 404
        raise Refusal(400, f"Tool with id {id} not found.")
    for agent in server.tables.agents.values():  # their tool_rules remain
        agent["_tools"] = [each for each in agent["_tools"] if each != id]
    del server.tables.tools[id]


@on("GET", "/v1/tools/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    matches = _filter(ask)

    def found() -> list[Body]:
        tools = filter(matches, server.tables.tools.values())
        return page(ask, tools, all_ids=list(server.tables.tools), order="desc", zero_is_all=False)

    names = {tool["name"] for tool in found()}
    if not ask.query.get("after") and not names.issuperset(name for each in BUILT_IN.values() for name in each):
        restore(server)  # 0.16.8 writes all base tools again if the answer lacks any
    return found()


@on("GET", "/v1/tools/count")
def _count(server: StandIn, ask: Ask) -> int:
    own = ask.flag("exclude_letta_tools")
    matches = _filter(ask)
    return sum(matches(tool) and not (own and tool["tool_type"] in BUILT_IN) for tool in server.tables.tools.values())


@on("GET", "/v1/tools/{tool_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    return find(server, ask.names["tool_id"])


def _filter(ask: Ask) -> Callable[[Body], bool]:
    kinds, but = _split(ask, "tool_types"), _split(ask, "exclude_tool_types")
    for kind in (*kinds, *but):
        if kind not in _TYPES:
            raise Refusal(400, f"Invalid tool_type '{kind}'. Must be one of: {', '.join(_TYPES)}")
    names = [*ask.query.get_list("name"), *ask.query.get_list("names")]
    ids, search = _split(ask, "tool_ids"), ask.query.get("search", "").lower()

    def matches(tool: Body) -> bool:
        return (
            (not kinds or tool["tool_type"] in kinds)
            and tool["tool_type"] not in but
            and (not names or tool["name"] in names)
            and (not ids or tool["id"] in ids)
            and search in tool["name"].lower()
            and (not ask.flag("return_only_letta_tools") or tool["tool_type"].startswith("letta_"))
        )

    return matches


def _split(ask: Ask, name: str) -> list[str]:
    words: Iterable[str] = (word for text in ask.query.get_list(name) for word in re.split(r"\s*,\s*", text))
    return [word for word in words if word]
