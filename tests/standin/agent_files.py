"""Agents to agent files and back: `/v1/agents/{id}/export`, `/v1/agents/import`. One agent, without folders."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.message import Message
from typing import Any

from tests.standin import agents, blocks, tools
from tests.standin.server import Ask, Body, Refusal, StandIn, on

_KEPT = (
    *("name", "system", "agent_type", "description", "metadata", "llm_config", "embedding_config", "tool_rules"),
    *("message_buffer_autoclear", "response_format", "timezone"),
)
_NEVER = (
    *("initial_message_sequence", "model", "embedding", "model_settings", "compaction_settings"),
    *("context_window_limit", "embedding_chunk_size", "max_tokens", "max_reasoning_tokens", "reasoning", "hidden"),
    *("project_id", "template_id", "base_template_id", "identity_ids", "folder_ids", "parallel_tool_calls"),
)


@on("GET", "/v1/agents/{agent_id}/export")
def _export(server: StandIn, ask: Ask) -> Body:
    id = ask.names["agent_id"]
    agent = server.tables.agents.get(id)
    if agent is None:  # 0.16.8 answers 500 here
        raise Refusal(500, f"Export failed: The following agent IDs were not found: ['{id}']")
    used = {id: f"tool-{number}" for number, id in enumerate(agent["_tools"])}
    held = {id: f"block-{number}" for number, id in enumerate(agent["_blocks"])}
    shown = agents.show(server, agent)
    told = {key: agent[key] for key in _KEPT} | dict.fromkeys(_NEVER)
    # lost (0.16.8): identities, compaction, hidden, the values of secrets, and of blocks their tags and hidden
    told |= {"tool_ids": list(used.values()), "block_ids": list(held.values()), "tags": list(agent["_tags"])}
    told |= {"secrets": dict.fromkeys(agent["_secrets"], ""), "enable_sleeptime": bool(agent["enable_sleeptime"])}
    told |= {"tool_exec_environment_variables": dict(told["secrets"]), "memory_blocks": [], "tools": []}
    told |= {key: shown[key] for key in ("max_files_open", "per_file_view_window_char_limit")}
    told |= dict.fromkeys(("include_base_tools", "include_multi_agent_tools", "include_base_tool_rules"), False)
    told |= {"include_default_source": False, "source_ids": [], "files_agents": [], "group_ids": [], "messages": []}
    told |= {"id": "agent-0", "in_context_message_ids": []}
    return {
        "agents": [told],
        "blocks": [{**server.tables.blocks[id], "id": name, "tags": None, "hidden": None} for id, name in held.items()],
        "tools": [{**server.tables.tools[id], "id": name} for id, name in used.items()],
        **{key: [] for key in ("groups", "files", "sources", "mcp_servers", "skills")},
        "metadata": {"revision_id": "unknown"},
        "created_at": server.now(),
    }


@on("POST", "/v1/agents/import")
def _import(server: StandIn, ask: Ask) -> Body:
    """Always makes: a twin with the tags and metadata of the first, and blocks of its own without tags."""
    form = _form(ask)
    file = json.loads(form["file"])
    if any(file.get(key) for key in ("groups", "files", "sources", "mcp_servers")) or len(file["agents"]) != 1:
        raise Refusal(501, "the stand-in does not model groups, folders and MCP servers in an agent file")
    ids: dict[str, str] = {}
    for told in file["tools"]:
        have = tools.named(server, told["name"])
        if have is None or (_yes(form, "override_existing_tools") and told["tool_type"] == "custom"):
            have = tools.put(server, {key: value for key, value in told.items() if key != "id"}, own=True)
        ids[told["id"]] = have["id"]
    for told in file["blocks"]:
        ids[told["id"]] = blocks.make(server, told)["id"]
    body: dict[str, Any] = dict(file["agents"][0])
    body["tool_ids"] = [ids[each] for each in body["tool_ids"]]
    body["block_ids"] = [ids[each] for each in body["block_ids"]]
    given = json.loads(form.get("secrets") or "{}")
    if given:
        body["secrets"] = {key: given.get(key, "") for key in body["secrets"]}
    body["name"] = form.get("name") or body["name"] + ("_copy" if _yes(form, "append_copy_suffix") else "")
    return {"agent_ids": [agents.make(server, body)["id"]]}


def _yes(form: dict[str, str], name: str) -> bool:
    return form.get(name, "true").lower() == "true"


def _form(ask: Ask) -> dict[str, str]:
    head = f"Content-Type: {ask.headers.get('content-type', '')}\r\n\r\n".encode()
    parts = message_from_bytes(head + ask.content).get_payload()
    if not isinstance(parts, list):
        raise Refusal(422, "no form")
    form = {}
    for part in parts:
        assert isinstance(part, Message)
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        form[str(name)] = content.decode() if isinstance(content, bytes) else ""
    return form
