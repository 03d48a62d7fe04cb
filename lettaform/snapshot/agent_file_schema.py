"""The JSON Schema of agent files, of both generations, by which they are read.

A file of the current generation has `agents`, and ids that hold within the file. One of the older generation is one
agent with everything inside it. Other keys than these are allowed: servers ignore them.
"""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_NAME: dict[str, Any] = {"type": "string", "minLength": 1}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_FLAG: dict[str, Any] = {"type": ["boolean", "null"]}
_COUNT: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}
_MAP: dict[str, Any] = {"type": ["object", "null"]}
_TIME: dict[str, Any] = _MAYBE | {"description": "A time, as ISO 8601 spells it."}

REFERENCES = {
    "tool_ids": "tools",
    "block_ids": "blocks",
    "source_ids": "sources",
    "folder_ids": "sources",
    "group_ids": "groups",
}
"""Lists of an agent to the collection of the file that holds their members."""
COLLECTIONS = {
    "agents": "agent",
    "groups": "group",
    "blocks": "block",
    "files": "file",
    "sources": "source",
    "tools": "tool",
    "mcp_servers": "mcp_server",
}
"""Collection of a file to the prefix of its ids."""


def agent_file_schema() -> dict[str, Any]:
    """JSON Schema of an agent file. A file may also hold the same JSON once more, as one text."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Letta agent file",
        "description": "An `.af` of either generation, as lettaform reads it. Some files are one JSON text that holds "
        "this JSON: it is read first.",
        "type": "object",
        "if": {"required": ["agents"]},
        "then": {"$ref": "#/$defs/file"},
        "else": {"$ref": "#/$defs/older_file"},
        "$defs": {
            "file": _file(),
            "older_file": _older_file(),
            "agent": _agent(),
            "group": _group(),
            "block": _block(),
            "message": _message(),
            "tool": _tool(),
            "source": _source(),
            "file_content": _file_content(),
            "mcp_server": _mcp_server(),
            "skill": _object({"name": _NAME, "files": _MAP, "source_url": _MAYBE}, ("name",)),
            "llm_config": _llm_config(),
            "embedding_config": _embedding_config(),
        },
    }


def _object(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _list(items: dict[str, Any], *, maybe: bool = True) -> dict[str, Any]:
    return {"type": ["array", "null"] if maybe else "array", "items": items}


def _part(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _id(prefix: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{prefix}-[0-9]+$", "description": "Holds within the file."}


# --- the current generation ------------------------------------------------------------------------------------------


def _file() -> dict[str, Any]:
    parts = {"files": "file_content", "sources": "source"}
    every = {name: _list(_part(parts.get(name, prefix))) for name, prefix in COLLECTIONS.items()}
    agents = _list(_part("agent"), maybe=False) | {"minItems": 1}
    return _object(
        {**every, "agents": agents, "skills": _list(_part("skill")), "metadata": _MAP, "created_at": _TIME}, ("agents",)
    )


def _agent() -> dict[str, Any]:
    lists = {name: _list(_id(COLLECTIONS[to])) for name, to in REFERENCES.items()}
    return _object(
        {
            "id": _id("agent"),
            "name": _MAYBE,
            **lists,
            "memory_blocks": _list(_object({"label": _NAME, "value": _TEXT}, ("label", "value"))),
            "tools": _list(_TEXT),
            "tool_rules": _list({"type": "object"}),
            "tags": _list(_TEXT),
            "system": _MAYBE,
            "agent_type": _MAYBE,
            "description": _MAYBE,
            "metadata": _MAP,
            "llm_config": {"anyOf": [_part("llm_config"), {"type": "null"}]},
            "embedding_config": {"anyOf": [_part("embedding_config"), {"type": "null"}]},
            "model": _MAYBE,
            "embedding": _MAYBE,
            "secrets": _MAP | {"additionalProperties": _MAYBE},
            "tool_exec_environment_variables": _MAP | {"additionalProperties": _MAYBE},
            "message_buffer_autoclear": _FLAG,
            "timezone": _MAYBE,
            "max_files_open": _COUNT,
            "per_file_view_window_char_limit": _COUNT,
            "in_context_message_ids": _list(_id("message")),
            "messages": _list(_part("message")),
        },
        ("id",),
    )


def _message() -> dict[str, Any]:
    content = {"type": ["array", "string", "null"], "items": {"type": "object"}}
    roles = {"enum": ["system", "user", "assistant", "tool", "function", "approval", "summary"]}
    return _object({"id": _id("message"), "role": roles, "content": content, "created_at": _TIME}, ("id", "role"))


def _block() -> dict[str, Any]:
    return _object(
        {
            "id": _id("block"),
            "label": _NAME,
            "value": _TEXT,
            "limit": _COUNT,
            "read_only": _FLAG,
            "description": _MAYBE,
            "metadata": _MAP,
            "tags": _list(_TEXT),
        },
        ("id", "label", "value"),
    )


def _tool() -> dict[str, Any]:
    return _object({"id": _id("tool"), **_tool_fields()}, ("id", "name"))


def _tool_fields() -> dict[str, Any]:
    return {
        "name": _NAME,
        "tool_type": _MAYBE,
        "description": _MAYBE,
        "source_type": _MAYBE,
        "source_code": _MAYBE,
        "json_schema": _MAP,
        "args_json_schema": _MAP,
        "return_char_limit": _COUNT,
        "tags": _list(_TEXT),
    }


def _group() -> dict[str, Any]:
    config = _object({"manager_type": _TEXT, "manager_agent_id": _MAYBE})
    return _object(
        {"id": _id("group"), "agent_ids": _list(_id("agent"), maybe=False), "manager_config": config},
        ("id", "agent_ids"),
    )


def _source() -> dict[str, Any]:
    config = {"anyOf": [_part("embedding_config"), {"type": "null"}]}
    fields = {"name": _NAME, "description": _MAYBE, "instructions": _MAYBE, "metadata": _MAP}
    return _object({"id": _id("source"), **fields, "embedding_config": config}, ("id", "name"))


def _file_content() -> dict[str, Any]:
    names = {"file_name": _MAYBE, "original_file_name": _MAYBE}
    return _object({"id": _id("file"), "source_id": _id("source"), **names, "content": _MAYBE}, ("id", "source_id"))


def _mcp_server() -> dict[str, Any]:
    fields = {"server_name": _NAME, "server_type": _TEXT, "server_url": _MAYBE, "stdio_config": _MAP}
    return _object({"id": _id("mcp_server"), **fields}, ("id", "server_name", "server_type"))


def _llm_config() -> dict[str, Any]:
    return _object(
        {
            "model": _TEXT,
            "handle": _MAYBE,
            "model_endpoint_type": _MAYBE,
            "context_window": _COUNT,
            "max_tokens": _COUNT,
            "temperature": {"type": ["number", "null"]},
        }
    )


def _embedding_config() -> dict[str, Any]:
    return _object(
        {
            "embedding_model": _MAYBE,
            "handle": _MAYBE,
            "embedding_endpoint_type": _MAYBE,
            "embedding_chunk_size": _COUNT,
        }
    )


# --- the older generation --------------------------------------------------------------------------------------------


def _older_file() -> dict[str, Any]:
    """One agent, with its blocks, tools and messages inside it."""
    variable = _object({"key": _NAME, "value": _MAYBE}, ("key",))
    block = _object({**_block()["properties"], "id": _MAYBE, "metadata_": _MAP}, ("label", "value"))
    message = _object({**_message()["properties"], "id": _MAYBE}, ("role",))
    return _object(
        {
            "name": _NAME,
            "version": _TEXT | {"description": "The release of the server that wrote it."},
            "system": _MAYBE,
            "agent_type": _MAYBE,
            "description": _MAYBE,
            "metadata_": _MAP,
            "llm_config": _part("llm_config"),
            "embedding_config": {"anyOf": [_part("embedding_config"), {"type": "null"}]},
            "core_memory": _list(block, maybe=False),
            "tools": _list(_object(_tool_fields(), ("name",))),
            "tool_rules": _list({"type": "object"}),
            "tags": _list(_object({"tag": _TEXT}, ("tag",))),
            "tool_exec_environment_variables": _list(variable),
            "messages": _list(message),
            "in_context_message_indices": _list({"type": "integer", "minimum": 0}),
            "message_buffer_autoclear": _FLAG,
            "multi_agent_group": {},
        },
        ("name", "core_memory", "llm_config"),
    )
