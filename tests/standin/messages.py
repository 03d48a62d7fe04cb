"""Messages of agents and conversations: the lists of them, and their part of an agent file."""

from __future__ import annotations

from typing import Any

from tests.standin.lists import page
from tests.standin.server import UNKNOWN, Ask, Body, Refusal, StandIn, on

_EMPTY = dict.fromkeys(("name", "otid", "sender_id", "step_id", "is_err", "seq_id", "run_id"))


def _rows(server: StandIn, agent: Body) -> list[Body]:
    """All messages of an agent and of its conversations, oldest first: id, role, text, date, conversation."""
    threads = [(None, agent, agent["message_ids"][:1])]
    talks = (each for each in server.tables.conversations.values() if each["agent_id"] == agent["id"])
    threads += [(talk["id"], talk, talk["_messages"][:1]) for talk in talks if not talk["_deleted"]]
    prompts: list[Body] = [
        {"id": id, "role": "system", "text": owner["_compiled"], "date": owner["created_at"], "conversation": thread}
        for thread, owner, ids in threads
        for id in ids
    ]
    sent = [each for each in server.tables.messages.values() if each["agent"] == agent["id"]]
    return sorted([*(each for each in prompts if each["id"] not in server.tables.messages), *sent], key=_age)


def _age(row: Body) -> str:
    return str(row["date"])


def by_id(server: StandIn, agent: Body) -> dict[str, Body]:
    """All messages of an agent and of its conversations."""
    return {row["id"]: row for row in _rows(server, agent)}


def add(server: StandIn, agent: Body, role: str, text: str, conversation: str | None = None, **shown: Any) -> str:
    """Store a message; its id. `shown`: what it shows in place of, or besides, a text of its role."""
    id = server.id("message")
    row = {"id": id, "agent": agent["id"], "role": role, "text": text, "date": server.now(), "shown": shown}
    server.tables.messages[id] = row | {"conversation": conversation}
    return id


def shown(row: Body) -> Body:
    """A message as the server answers it."""
    if row.get("_broken"):  # 0.16.8: a row that its code cannot read
        raise Refusal(500, UNKNOWN)
    head = {**_EMPTY, "id": row["id"], "date": row["date"]}
    if row.get("shown", {}).get("message_type"):
        return {**head, **row["shown"]}
    return {**head, "message_type": f"{row['role']}_message", "content": row["text"], **row.get("shown", {})}


@on("GET", "/v1/agents/{agent_id}/messages")
def _of_agent(server: StandIn, ask: Ask) -> list[Body]:
    """Those of its conversations, too, unless they are left out; the newest in the order of creation (0.16.8)."""
    agent = server.tables.agents.get(ask.names["agent_id"])
    rows = _rows(server, agent) if agent else []
    if ask.query.get("conversation_id") == "default":
        rows = [row for row in rows if row["conversation"] is None]
    found = _page(ask, rows)
    return found if ask.query.get("order") == "asc" else found[::-1]


def _page(ask: Ask, rows: list[Body]) -> list[Body]:
    """Here `before` asks for older messages, and `after` for newer ones, whatever the order (0.16.8)."""
    ids = [row["id"] for row in rows]
    place = {id: at for at, id in enumerate(ids)}
    first, last = place.get(ask.query.get("after", ""), -1), place.get(ask.query.get("before", ""), len(ids))
    asked = Ask(ask.method, ask.path, ask.names, ask.query.remove("after").remove("before"), ask.headers, ask.content)
    found = [shown(row) for row in rows[first + 1 : last]]
    return page(asked, found, all_ids=ids, order="desc", limit=100, zero_is_all=False)


@on("GET", "/v1/conversations/{conversation}/messages")
def _of_conversation(server: StandIn, ask: Ask) -> list[Body]:
    """0.16.8 answers [] for an unknown conversation."""
    conversation = server.tables.conversations.get(ask.names["conversation"])
    if conversation is None or conversation["_deleted"] or conversation["agent_id"] not in server.tables.agents:
        return []
    agent, shared = server.tables.agents[conversation["agent_id"]], conversation["_shared"]
    every = {row["id"]: row for row in _rows(server, agent)}
    own = [row for row in every.values() if row["conversation"] == conversation["id"]]
    # the prompt, those that a fork shares with its source, and then its own
    return _page(ask, [*own[:1], *(every[id] for id in shared if id in every), *own[1:]])


def exported(server: StandIn, agent: Body, ids: list[str]) -> list[Body]:
    """Messages in an agent file, numbered from 0."""
    rows, exported = by_id(server, agent), list[Body]()
    for number, id in enumerate(ids):
        if id not in rows:  # 0.16.8: a message of the context that does not exist
            raise Refusal(500, f"Export failed: Unexpected new message ID '{id}' encountered during conversion")
        row = rows[id]
        if row.get("_broken"):
            raise Refusal(500, UNKNOWN)
        if "message_type" in row.get("shown", {}):
            raise Refusal(501, "the stand-in does not export calls of tools")
        text: Any = [{"type": "text", "text": row["text"], "signature": None}]
        body = {"type": "message", "otid": server.id("otid"), "role": row["role"], "content": text}
        body |= {"id": f"message-{number}", "agent_id": "agent-0", "created_at": row["date"], "tool_returns": []}
        body |= {"model": "echo" if row["role"] == "assistant" else None, "approvals": []}
        exported.append({**dict.fromkeys(_UNUSED), **body})
    return exported


_UNUSED = (
    *("group_id", "name", "sender_id", "batch_item_id", "tool_calls", "tool_call_id", "approve"),
    *("approval_request_id", "denial_reason"),
)
