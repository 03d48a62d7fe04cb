"""An agent file of the older generation to the same in the current one. Pure.

A file of the older generation is one agent: blocks, tools and messages stand inside it, tags and variables are lists of
maps, and messages have numbers in place of ids. Servers from 0.16 on refuse such a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SAME = (
    *("name", "system", "agent_type", "description", "llm_config", "embedding_config", "message_buffer_autoclear"),
    *("tool_rules", "timezone", "response_format", "max_files_open", "per_file_view_window_char_limit"),
)
"""Properties of an agent that mean the same in both generations."""
_MESSAGE = ("role", "content", "name", "model", "tool_calls", "tool_call_id", "tool_returns", "created_at")
_HEARTBEAT = "request_heartbeat"
_DROPPED = ("created_at", "updated_at", "metadata_")


def upgraded(older: Mapping[str, Any]) -> dict[str, Any]:
    """A file of the current generation with the same contents."""
    blocks = [_part(each, "block", number) for number, each in enumerate(older["core_memory"])]
    tools = [_tool(each, number) for number, each in enumerate(older.get("tools") or ())]
    secrets = {each["key"]: each.get("value") or "" for each in older.get("tool_exec_environment_variables") or ()}
    messages = [_message(each, number) for number, each in enumerate(older.get("messages") or ())]
    agent = {
        **{name: older[name] for name in _SAME if name in older},
        "id": "agent-0",
        "metadata": older.get("metadata_"),
        "tags": [each["tag"] for each in older.get("tags") or ()],
        "tool_ids": [each["id"] for each in tools],
        "block_ids": [each["id"] for each in blocks],
        **{name: [] for name in ("source_ids", "folder_ids", "group_ids", "memory_blocks", "tools", "files_agents")},
        "secrets": secrets,
        "tool_exec_environment_variables": dict(secrets),
        "messages": messages,
        "in_context_message_ids": _context(older, messages),
        **dict.fromkeys(("include_base_tools", "include_multi_agent_tools", "include_base_tool_rules"), False),
        "include_default_source": False,
    }
    parts: dict[str, Any] = {name: [] for name in ("groups", "files", "sources", "mcp_servers", "skills")}
    return {"agents": [agent], "blocks": blocks, "tools": tools, **parts, "metadata": {}}


def older_path(path: Sequence[str | int]) -> Sequence[str | int]:
    """A path in an upgraded file to where the same value stands in the older one."""
    match path:
        case ("agents", 0, "secrets", *_):
            return ("tool_exec_environment_variables",)
        case ("agents", 0, "metadata", *rest):
            return ("metadata_", *rest)
        case ("agents", 0, *rest):
            return tuple(rest)
        case ("blocks", *rest):
            return ("core_memory", *rest)
    return path


def _context(older: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of the messages in the context. Numbers beyond the last message name none."""
    numbers = older.get("in_context_message_indices") or ()
    return [str(messages[number]["id"]) for number in numbers if number < len(messages)]


def _part(part: Mapping[str, Any], prefix: str, number: int) -> dict[str, Any]:
    kept = {key: value for key, value in part.items() if key not in _DROPPED}
    return {**kept, "id": f"{prefix}-{number}", "metadata": part.get("metadata_") or {}}


def _tool(tool: Mapping[str, Any], number: int) -> dict[str, Any]:
    kept = {key: value for key, value in tool.items() if key not in ("created_at", "updated_at")}
    schema = tool.get("json_schema")
    return {"tool_type": "custom", **kept, "id": f"tool-{number}", "json_schema": schema and _schema(schema)}


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool as servers of today derive it: they add the argument for heartbeats when an agent runs."""
    kept = {key: value for key, value in schema.items() if value is not None and (key, value) != ("required", [])}
    parameters = kept.get("parameters")
    if not isinstance(parameters, Mapping) or not isinstance(parameters.get("properties"), Mapping):
        return kept
    properties = {key: value for key, value in parameters["properties"].items() if key != _HEARTBEAT}
    required = [each for each in parameters.get("required") or () if each != _HEARTBEAT]
    return {**kept, "parameters": {**parameters, "properties": properties, "required": required}}


def _message(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    kept = {name: message[name] for name in _MESSAGE if message.get(name) is not None}
    content = kept.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {"type": "message", **kept, "content": parts, "id": f"message-{number}", "agent_id": "agent-0"}
