"""An agent file as the server exports it to one that others may have, and what it lacks of the agent. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lettaform.kinds import kinds
from lettaform.manifest.secret_shapes import SHORTEST, find
from lettaform.model import Live
from lettaform.ownership import marks
from lettaform.snapshot.agent_file import normal
from lettaform.values import UNREAD

_KINDS = {"agents": "agent", "groups": "group", "blocks": "block", "sources": "folder", "tools": "tool"}
"""Collections of a file whose parts may carry a mark, and their kinds."""


@dataclass(frozen=True)
class Exported:
    """An agent file, and what it lacks, in words. `name`: of the agent."""

    name: str
    file: Mapping[str, Any] = field(repr=False)
    lost: tuple[str, ...] = ()


def shareable(file: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The file in its one form: without marks of a stack, and without the values of the agent's secrets."""
    plain = dict(file)
    for name, kind in _KINDS.items():
        plain[name] = [marks.unmarked(kinds()[kind], part) for part in plain.get(name) or ()]
    values = {value: name for name, value in secrets.items() if len(value) >= SHORTEST}
    return normal(_without(plain, dict(sorted(values.items(), key=lambda item: (-len(item[0]), item[0])))))


def _without(value: Any, secrets: Mapping[str, str]) -> Any:
    """A value with the name of a secret in the place of its value."""
    if isinstance(value, str):
        for secret, name in secrets.items():
            value = value.replace(secret, f"‹secret {name}›")
            value = value.replace(json.dumps(secret)[1:-1], f"‹secret {name}›")  # in the arguments of a tool call
        return value
    if isinstance(value, Mapping):
        return {key: _without(item, secrets) for key, item in value.items()}
    return [_without(item, secrets) for item in value] if isinstance(value, list) else value


# --- what is lost ----------------------------------------------------------------------------------------------------


def lost(
    agent: Live, file: Mapping[str, Any], others: Sequence[Live], messages: int | None, conversations: int
) -> Iterator[str]:
    """What an agent file does not hold of an agent (0.16.8), and what stands in it that looks like a key.

    others         the objects to which the agent refers, with its blocks
    messages       the number of all its messages; None: the server cannot list them
    conversations  the number of its conversations
    """
    named = {live.id: f"{live.kind} `{live.name}`" for live in others}
    if secrets := agent.values.get("secrets"):
        yield f"the values of its secrets: {', '.join(sorted(secrets))}"
    for name, what in (("archive", "its passages"), ("identities", "")):
        for id in agent.ids(name):
            yield " with ".join(filter(None, (named.get(id, f"{name} {id}"), what)))
    yield from _fields(agent)
    for live in others:
        if live.kind == "block" and live.values.get("tags"):
            yield f"the tags of its block `{live.name}`: {', '.join(live.values['tags'])}"
    for server in file["mcp_servers"]:
        hidden = "token, headers, variables, arguments and the query of the URL"
        yield f"{hidden} of the MCP server `{server['server_name']}`"
    inside = sum(len(each["messages"]) for each in file["agents"])
    if messages is None:
        yield "messages that are not in the context, if there are any: the server cannot list them"
    elif messages > inside:
        yield f"{messages - inside} of {messages} messages: those that are not in the context"
    if conversations:
        yield f"its conversations: {conversations}. `lettaform export conversations.KEY` writes one"
    yield from _shapes(file)


def _fields(agent: Live) -> Iterator[str]:
    """Values of fields that an agent file does not hold."""
    table = kinds()["agent"]
    for name in ("compaction_settings", "hidden", "project_id", "sleeptime"):
        value = agent.values.get(name)
        if value is not UNREAD and value and table.without_initial(name, agent.values, {}):
            yield f"its `{name}`"


def _shapes(file: Mapping[str, Any]) -> Iterator[str]:
    """Texts that look like they contain a key. They stay: nobody said that these are secrets."""
    for name, parts in file.items():
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            if found := find(json.dumps(part, ensure_ascii=False), {}):
                yield f"a check of {name}.{number}, which contains {found.what}: look at it before you share the file"


__all__ = ["Exported", "lost", "shareable"]
