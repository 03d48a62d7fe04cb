"""`/v1/agents/{id}/context`: what fills the context window, in tokens of four bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.standin import agents, messages
from tests.standin.server import Ask, Body, StandIn, on

_NOT_SHOWN = ("react_agent", "workflow_agent")


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


@on("GET", "/v1/agents/{agent_id}/context")
def _context(server: StandIn, ask: Ask) -> Body:
    agent = agents.find(server, ask.names["agent_id"])
    rows = messages.by_id(server, agent)
    said = [rows[id] for id in agent["message_ids"][1:] if id in rows]
    tools = [server.tables.tools[id]["json_schema"] for id in agent["_tools"] if id in server.tables.tools]
    texts = {
        "system": agent["system"],
        "core_memory": "" if agent["agent_type"] in _NOT_SHOWN else _memory(server, agent),
        "external_memory_summary": "m" * 259,
        "functions_definitions": json.dumps([{"type": "function", "function": each} for each in tools]) * bool(tools),
        "messages": json.dumps([{"role": each["role"], "content": each["text"]} for each in said]) * bool(said),
    }
    empty = dict.fromkeys(("memory_filesystem", "tool_usage_rules", "directories", "summary_memory"), "")
    numbers = {f"num_tokens_{name}": _tokens(text) for name, text in {**texts, **empty}.items()}
    return {
        "context_window_size_max": agent["llm_config"]["context_window"],
        "context_window_size_current": sum(numbers.values()),
        "num_messages": 1 + len(said),
        "num_archival_memory": 0,
        "num_recall_memory": 1 + len(said),
        **numbers,
        **{name: texts[name] for name in ("core_memory", "external_memory_summary")},
        **dict.fromkeys(empty),
        "system_prompt": agent["system"],
        "functions_definitions": [{"type": "function", "function": each} for each in tools],
        "messages": said,
    }


def _memory(server: StandIn, agent: Mapping[str, Any]) -> str:
    shown = [server.tables.blocks[id] for id in agent["_blocks"]]
    parts = [_block(each) for each in shown]
    return f"{'b' * 93}{chr(10).join(parts)}{'b' * 17}" if parts else ""


def _block(block: Mapping[str, Any]) -> str:
    numbers = f"{len(block['value'])}{block['limit']}" + "r" * 17 * bool(block["read_only"])
    return f"{'b' * 110}{block['label'] * 2}{block['description'] or ''}{block['value']}{numbers}"
