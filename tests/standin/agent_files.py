"""Agent files: `/v1/agents/{id}/export`, `/v1/agents/import`. Limited to one agent without folders."""

from __future__ import annotations

import json
from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from typing import Any

from tests.standin import agents, blocks, conversations, messages, models, tools
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
    exported = {key: agent[key] for key in _KEPT} | dict.fromkeys(_NEVER)
    # 0.16.8 loses: identities, compaction, hidden, values of secrets, and tags and hidden of blocks
    exported |= {"tool_ids": list(used.values()), "block_ids": list(held.values()), "tags": list(agent["_tags"])}
    exported |= {"secrets": dict.fromkeys(agent["_secrets"], ""), "enable_sleeptime": bool(agent["enable_sleeptime"])}
    exported |= {"tool_exec_environment_variables": dict(exported["secrets"]), "memory_blocks": [], "tools": []}
    exported |= {key: shown[key] for key in ("max_files_open", "per_file_view_window_char_limit")}
    exported |= dict.fromkeys(("include_base_tools", "include_multi_agent_tools", "include_base_tool_rules"), False)
    exported |= {"include_default_source": False, "source_ids": [], "files_agents": [], "group_ids": []}
    ids = _context(server, ask, agent)
    exported |= {"id": "agent-0", "messages": messages.exported(server, agent, ids)}
    exported |= {"in_context_message_ids": [f"message-{number}" for number in range(len(ids))]}
    return {
        "agents": [exported],
        "blocks": [{**server.tables.blocks[id], "id": name, "tags": None, "hidden": None} for id, name in held.items()],
        "tools": [{**server.tables.tools[id], "id": name} for id, name in used.items()],
        **{key: [] for key in ("groups", "files", "sources", "mcp_servers", "skills")},
        "metadata": {"revision_id": "unknown"},
        "created_at": server.now(),
    }


def _context(server: StandIn, ask: Ask, agent: Body) -> list[str]:
    """The ids of the messages in the context of an agent, or of the conversation that is asked for."""
    if conversation := ask.query.get("conversation_id"):
        found: Body = conversations.find(server, replace(ask, names={"conversation": conversation}))
        return list(found["_messages"])
    return list(agent["message_ids"])


@on("POST", "/v1/agents/import")
def _import(server: StandIn, ask: Ask) -> Body:
    """Always creates a new agent: a copy with the tags and metadata of the original; its blocks have no tags."""
    form = _form(ask)
    file = json.loads(form["file"])
    if any(file.get(key) for key in ("groups", "files", "sources", "mcp_servers")) or len(file["agents"]) != 1:
        raise Refusal(501, "the stand-in does not model groups, folders and MCP servers in an agent file")
    ids: dict[str, str] = {}
    for tool in file["tools"]:
        have = tools.named(server, tool["name"])
        if have is None or (_flag(form, "override_existing_tools") and tool["tool_type"] == "custom"):
            have = tools.put(server, {key: value for key, value in tool.items() if key != "id"}, own=True)
        ids[tool["id"]] = have["id"]
    for block in file["blocks"]:
        ids[block["id"]] = blocks.create(server, block)["id"]
    body: dict[str, Any] = dict(file["agents"][0])
    body["tool_ids"] = [ids[each] for each in body["tool_ids"]]
    body["block_ids"] = [ids[each] for each in body["block_ids"]]
    given = json.loads(form.get("secrets") or "{}")
    if given:
        body["secrets"] = {key: given.get(key, "") for key in body["secrets"]}
    # with another model, nothing of the file's is kept
    body |= {"llm_config": models.config(form["model"]), "model": form["model"]} if form.get("model") else {}
    body |= {"embedding_config": models.embedding(form["embedding"])} if form.get("embedding") else {}
    body["name"] = form.get("name") or body["name"] + ("_copy" if _flag(form, "append_copy_suffix") else "")
    created = server.tables.agents[agents.create(server, body)["id"]]
    _import_messages(server, created, body)
    return {"agent_ids": [created["id"]]}


def _import_messages(server: StandIn, agent: Body, body: Body) -> None:
    """Every message of the file, with a new id; those of the context in the order of the file's list."""
    ids = {each["id"]: messages.add(server, agent, each["role"], _text(each)) for each in body["messages"]}
    for each in body["messages"]:
        server.tables.messages[ids[each["id"]]]["date"] = each["created_at"]
    agent["message_ids"] = [ids[each] for each in body["in_context_message_ids"]]


def _text(message: Body) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _flag(form: dict[str, str], name: str) -> bool:
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
