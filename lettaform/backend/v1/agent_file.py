"""The parts of an agent file, in the server's own format, to a Listing: as if a server had answered them.

The ids are those of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lettaform.backend.v1 import models
from lettaform.backend.v1.decode import decode
from lettaform.kinds import kinds
from lettaform.model import Listing, Live, Mark
from lettaform.values import Item

UNKNOWN = "unknown"
"""Stands for a secret: an agent file has names of secrets, and empty values."""
_SLEEPTIME = ("sleeptime", "voice_sleeptime")


def listing(file: Mapping[str, Any]) -> Listing:
    """The objects of an agent file, as nobody's. `file`: valid, and of the current generation."""
    groups = {each["id"]: _group(each) for each in file["groups"]}
    servers = {each["server_name"]: each["id"] for each in file["mcp_servers"]}
    tools = [_tool(each, servers) for each in file["tools"]]
    names = {each["id"]: each["name"] for each in tools}
    bodies: dict[str, Iterable[Mapping[str, Any]]] = {
        "mcp_server": map(_mcp_server, file["mcp_servers"]),
        "block": ({**each, "tags": each.get("tags") or []} for each in file["blocks"]),
        "tool": tools,
        "folder": map(_folder, file["sources"]),
        "agent": [_agent(each, groups, names) for each in file["agents"]],
        "group": groups.values(),
    }
    objects = {kind: tuple(_unclaimed(decode(kind, body)) for body in every) for kind, every in bodies.items()}
    objects["folder"] = tuple(_with_files(live, file["files"]) for live in objects["folder"])
    blocks = {live.id: live for live in objects["block"]}
    attached = {each["id"]: tuple(blocks[id] for id in dict.fromkeys(each["block_ids"])) for each in file["agents"]}
    return Listing(objects, attached)


def _unclaimed(live: Live) -> Live:
    """An object without the mark of the stack from which the file was exported."""
    return replace(live, stack=None, address=None, mark=Mark(), marked=False)


def _agent(agent: Mapping[str, Any], groups: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    config, embedding = agent.get("llm_config") or {}, agent.get("embedding_config") or {}
    group = next((each for each in groups.values() if _leads(agent, each)), None)
    secrets = {**(agent.get("tool_exec_environment_variables") or {}), **(agent.get("secrets") or {})}
    window = config.get("context_window") or agent.get("context_window_limit")
    tokens = config.get("max_tokens") or agent.get("max_tokens")
    folders = dict.fromkeys((*agent["source_ids"], *agent["folder_ids"]))
    once = {line.write for line in kinds()["agent"].attrs().values() if line.create_only}
    return {
        **{key: value for key, value in agent.items() if key not in once},
        "name": agent.get("name") or agent["id"],
        "llm_config": {**config, "handle": _model(agent), "context_window": window, "max_tokens": tokens},
        "embedding_config": embedding,
        "embedding": agent.get("embedding") or _embedding(embedding),
        "model_settings": agent.get("model_settings") or models.settings(config),
        "secrets": [{"key": key, "value": value or UNKNOWN} for key, value in secrets.items()],
        "blocks": [{"id": id} for id in agent["block_ids"]],
        "tools": [{"id": id, "name": names[id]} for id in agent["tool_ids"]],
        "sources": [{"id": id} for id in folders],
        "identities": [],
        "managed_group": group,
        "enable_sleeptime": group is not None,
        "tags": agent.get("tags") or [],
    }


def _leads(agent: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    """Whether a group consists of an agent and its sleeptime agent."""
    return group["manager_type"] in _SLEEPTIME and group.get("manager_agent_id") == agent["id"]


def _model(agent: Mapping[str, Any]) -> str | None:
    """The handle of a model. Older files have its parts alone."""
    config = agent.get("llm_config") or {}
    handle, provider = config.get("handle") or agent.get("model"), config.get("provider_name")
    if not handle and config.get("model"):
        handle = f"{provider or config.get('model_endpoint_type') or 'openai'}/{config['model']}"
    return handle


def _embedding(config: Mapping[str, Any]) -> str | None:
    """The handle of an embedding model. Older files have its parts alone."""
    model, provider = config.get("embedding_model"), config.get("embedding_endpoint_type") or "openai"
    handle = config.get("handle")
    return (
        handle
        if handle or not model
        else model
        if provider == "hugging-face" and "/" in model
        else f"{provider}/{model}"
    )


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    return {"manager_type": "round_robin", **group, **(group.get("manager_config") or {})}


def _tool(tool: Mapping[str, Any], servers: Mapping[str, str]) -> dict[str, Any]:
    """A tool. One that an MCP server offers has the id of that server, if the file has it."""
    tags, about = tool.get("tags") or [], (tool.get("metadata_") or {}).get("mcp") or {}
    named = about.get("server_name") or next((tag[4:] for tag in tags if tag.startswith("mcp:")), None)
    offered = servers.get(str(named)) if tool.get("tool_type") == "external_mcp" else None
    metadata = {"mcp": {"server_id": offered}} if offered else {}
    return {**tool, "tags": [] if metadata else tags, "metadata_": metadata}


def _mcp_server(server: Mapping[str, Any]) -> dict[str, Any]:
    process = server.get("stdio_config") or {}
    return {
        "id": server["id"],
        "server_name": server["server_name"],
        "mcp_server_type": server["server_type"],
        "server_url": server.get("server_url"),
        **{name: process.get(name) for name in ("command", "args", "env")},
    }


def _folder(source: Mapping[str, Any]) -> dict[str, Any]:
    config = source.get("embedding_config") or {}
    return {**source, "embedding_config": {**config, "handle": source.get("embedding") or _embedding(config)}}


def _with_files(folder: Live, files: Iterable[Mapping[str, Any]]) -> Live:
    """A folder with its files. There is no text of a file of which the server kept another one than was uploaded."""
    items = []
    for file in files:
        if file["source_id"] == folder.id:
            content, size = file.get("content"), file.get("file_size")
            whole = isinstance(content, str) and size in (None, len(content.encode("utf-8", "surrogatepass")))
            name = file.get("original_file_name") or file.get("file_name") or file["id"]
            items.append(Item(file["id"], name, {"read": True, **({"text": content} if whole else {})}, file["id"]))
    return replace(folder, values={**folder.values, "files": items})


def claimed(file: Mapping[str, Any], tags: Sequence[str]) -> dict[str, Any]:
    """A file of one agent, which has the tags of a claim: after a run that was killed, it is found by them."""
    (agent,) = file["agents"]
    return {**file, "agents": [{**agent, "tags": [*(agent.get("tags") or ()), *tags]}]}
