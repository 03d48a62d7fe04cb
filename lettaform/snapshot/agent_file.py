"""An agent file as the server exports it to one that is equal as long as its content is. Pure.

0.16.8 gives every export another `created_at`, messages another `otid`, and tools, blocks and folders other numbers in
another order. The time and the `otid` are left out; an import gives new ones. The rest is sorted and numbered anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from lettaform.snapshot.agent_file_schema import COLLECTIONS
from lettaform.values import canonical

_RELATIONS = ("tool_ids", "block_ids", "source_ids", "folder_ids", "group_ids", "tags")
"""Lists of an agent in which order has no meaning."""
_REFERENCES = frozenset(
    {
        *("agent_id", "tool_ids", "block_ids", "source_ids", "folder_ids", "group_ids", "file_id", "source_id"),
        *("agent_ids", "manager_agent_id", "shared_block_ids"),
    }
)
"""Properties that hold ids of other parts of the file."""


def normal(file: Mapping[str, Any]) -> dict[str, Any]:
    """The agent file in its one form. It can be imported like the original."""
    kept = {key: value for key, value in file.items() if key != "created_at"}
    kept["mcp_servers"] = [_without_credentials(each) for each in kept.get("mcp_servers") or ()]
    kept["agents"] = [_agent(each) for each in kept.get("agents") or ()]
    numbers: dict[str, str] = {}
    for name, prefix in COLLECTIONS.items():
        kept[name] = sorted(kept.get(name) or (), key=_content)
        for number, each in enumerate(kept[name]):
            numbers.setdefault(str(each["id"]), f"{prefix}-{number}")
    for name in COLLECTIONS:
        kept[name] = [_renumbered(each, numbers) for each in kept[name]]
    return kept


def _agent(agent: Mapping[str, Any]) -> dict[str, Any]:
    """An agent with its messages numbered from 0, in their order."""
    messages = [{**each, "otid": None} for each in agent.get("messages") or ()]
    ids = {str(each["id"]): f"message-{number}" for number, each in enumerate(messages)}
    shown = [ids.get(str(id), id) for id in agent.get("in_context_message_ids") or ()]
    return {
        **agent,
        "messages": [{**each, "id": ids[str(each["id"])]} for each in messages],
        "in_context_message_ids": shown,
    }


def _content(part: Any) -> str:
    """A part of a file without the ids, which are arbitrary."""
    return canonical(_unnumbered(part))


def _unnumbered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unnumbered(item) for key, item in value.items() if key != "id" and key not in _REFERENCES}
    return [_unnumbered(item) for item in value] if isinstance(value, list) else value


def _renumbered(part: Mapping[str, Any], numbers: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {**with_references(part, numbers), "id": numbers[str(part["id"])]}
    for name in _RELATIONS:
        if isinstance(found.get(name), list):
            found[name] = sorted(found[name], key=_number)
    return found


def with_references(value: Any, numbers: Mapping[str, str]) -> Any:
    """A part of a file that refers to other ids. `numbers`: old id to new id."""
    if isinstance(value, list):
        return [with_references(item, numbers) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: _references(item, numbers) if key in _REFERENCES else with_references(item, numbers)
        for key, item in value.items()
    }


def _references(value: Any, numbers: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_references(item, numbers) for item in value]
    return numbers.get(value, value) if isinstance(value, str) else value


def _number(text: str) -> tuple[str, int, str]:
    prefix, _, number = text.rpartition("-")
    return (prefix, int(number), text) if number.isdecimal() else (text, 0, text)


def _without_credentials(server: Mapping[str, Any]) -> dict[str, Any]:
    """An MCP server without what may hold a secret: 0.16.8 leaves out tokens, and not a key in the URL or arguments."""
    url, stdio = server.get("server_url"), server.get("stdio_config")
    kept = dict(server)
    if isinstance(url, str):
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        kept["server_url"] = urlunsplit((parts.scheme, host, parts.path, "", ""))
    if isinstance(stdio, Mapping):
        kept["stdio_config"] = {**stdio, "args": []}
    return kept


# --- what a file contains --------------------------------------------------------------------------------------------


def lacking(file: Any, name: str, system: Any, blocks: Mapping[str, Any], tools: Mapping[str, Any]) -> Iterator[str]:
    """What an agent file does not contain of an agent.

    blocks  label to text of the blocks that are attached to it
    tools   name to source of its tools
    """
    agents = file.get("agents") if isinstance(file, Mapping) else None
    agent = next((each for each in agents or () if isinstance(each, Mapping) and each.get("name") == name), None)
    if agent is None:
        yield f"the agent `{name}`"
        return
    if system is not None and agent.get("system") != system:
        yield "its prompt"
    held = {each["id"]: each for each in file.get("blocks") or ()}
    texts = {each["label"]: each["value"] for id in agent["block_ids"] if (each := held.get(id))}
    yield from (f"the text of its block `{label}`" for label, text in blocks.items() if texts.get(label) != text)
    sources = {each["name"]: each.get("source_code") for each in file.get("tools") or ()}
    for tool, source in tools.items():
        if tool not in sources or (source is not None and sources[tool] != source):
            yield f"the source of its tool `{tool}`"
    messages = {each["id"] for each in agent["messages"]}
    if lost := [id for id in agent["in_context_message_ids"] if id not in messages]:
        yield f"{len(lost)} messages of its context"
