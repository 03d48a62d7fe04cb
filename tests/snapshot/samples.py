"""A small snapshot, its files, and a server that gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lettaform.address import Address
from lettaform.errors import NotFound
from lettaform.model import Live, Mark, State
from lettaform.snapshot import Header, Objects
from lettaform.values import UNREAD, Item

at = Address.parse
HEADER = Header("s", "2026-11-27T08:00:00.000000Z", "http://here", "0.16.8", "0.1.0")

TEAM = Live("block", "block-1", "team", {"label": "team", "value": "Ann, Bob"}, at("blocks.team"), "s", marked=True)
NOTES = Live(
    "block", "block-2", "notes", {"label": "notes", "value": "none"}, at("agents.ann.memory.notes"), "s", marked=True
)
ANN = Live(
    "agent",
    "agent-1",
    "ann",
    {
        "name": "ann",
        "system": "Be kind.",
        "blocks": ["block-1", "block-2"],
        "tools": ["tool-1"],
        "secrets": {"KEY": "s3cret"},
        "archive": [],
    },
    at("agents.ann"),
    "s",
    Mark({"system": "digest"}, {"blocks": ("block-1",)}, {"notes": {"value": "digest"}}),
    marked=True,
    activity="messages-1",
)
TOOL = Live("tool", "tool-1", "send_message", {"name": "send_message", "source": "pass"})
FACTS = Live("archive", "archive-1", "facts", {"name": "facts", "passages": UNREAD}, at("archives.facts"), "s")
STATE = State({at("agents.ann"): "agent-1", at("blocks.team"): "block-1"}, serial=3, key="k", exists=True)
OBJECTS = Objects((ANN, TEAM, NOTES, FACTS), (TOOL,), state=STATE)


def agent_file(**more: Any) -> dict[str, Any]:
    """The agent file of ann, as the server exports it."""
    agent = {"id": "agent-0", "name": "ann", "system": "Be kind.", "block_ids": ["block-0", "block-1"], "tags": []}
    agent |= {"tool_ids": ["tool-0"], "in_context_message_ids": ["message-0"], "group_ids": [], "source_ids": []}
    agent |= {"messages": [{"id": "message-0", "otid": "random", "role": "system", "content": "Be kind."}]}
    blocks = [
        {"id": "block-0", "label": "team", "value": "Ann, Bob"},
        {"id": "block-1", "label": "notes", "value": "none"},
    ]
    tools = [{"id": "tool-0", "name": "send_message", "source_code": "pass"}]
    empty: dict[str, list[Any]] = {key: [] for key in ("groups", "files", "sources", "mcp_servers", "skills")}
    return {**empty, "agents": [agent], "blocks": blocks, "tools": tools, "created_at": "now", **more}


class Server:
    """What a snapshot asks a backend. `lost`: ids that were deleted in the meantime."""

    def __init__(self, *lost: str) -> None:
        self.lost, self.asked = lost, list[str]()
        self.history: list[Mapping[str, Any]] = [{"id": "message-1", "message_type": "system_message", "content": "x"}]

    async def all_items(self, live: Live) -> Mapping[str, list[Item]]:
        self.note("items", live)
        return {"passages": [Item("key", "One.", {"text": "One."})]}

    async def export(self, live: Live) -> Any:
        self.note("export", live)
        return agent_file()

    async def messages(self, live: Live) -> list[Mapping[str, Any]]:
        self.note("messages", live)
        return self.history

    async def context(self, live: Live) -> list[str]:
        self.note("context", live)
        return ["message-1"]

    def note(self, what: str, live: Live) -> None:
        if live.id in self.lost:
            raise NotFound("no such object")
        self.asked.append(f"{what} {live.id}")


def body(folder: Path) -> dict[str, Any]:
    """The index of a snapshot."""
    return dict(json.loads((folder / "snapshot.json").read_text()))
