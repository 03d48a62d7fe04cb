"""Messages of agents and conversations: an echo model answers each with its own text."""

from __future__ import annotations

from typing import Any

from tests.standin import agents, conversations
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


def add(server: StandIn, agent: Body, role: str, text: str, conversation: str | None = None) -> str:
    """Store a message; its id."""
    id = server.id("message")
    row = {"id": id, "agent": agent["id"], "role": role, "text": text, "date": server.now()}
    server.tables.messages[id] = row | {"conversation": conversation}
    return id


def _say(server: StandIn, agent: Body, ask: Ask, conversation: Body | None = None) -> Body:
    thread, ids = conversation["id"] if conversation else None, list[str]()
    for each in ask.body["messages"]:
        ids += [add(server, agent, role, each["content"], thread) for role in ("user", "assistant")]
    if conversation:
        conversation |= {"_messages": [*conversation["_messages"], *ids], "last_message_at": server.now()}
    else:
        agent |= {"message_ids": [*agent["message_ids"], *ids]}
        agent |= {"last_stop_reason": "end_turn", "updated_at": server.now()}
    answer = server.tables.messages[ids[-1]]
    return {"messages": [_shown(answer)], "stop_reason": {"stop_reason": "end_turn"}, "usage": {}}


def _shown(row: Body) -> Body:
    if row.get("_broken"):  # 0.16.8: a row that its code cannot read
        raise Refusal(500, UNKNOWN)
    kind = f"{row['role']}_message"
    return {**_EMPTY, "id": row["id"], "date": row["date"], "message_type": kind, "content": row["text"]}


@on("POST", "/v1/agents/{agent_id}/messages")
def _to_agent(server: StandIn, ask: Ask) -> Body:
    return _say(server, agents.find(server, ask.names["agent_id"]), ask)


@on("GET", "/v1/agents/{agent_id}/messages")
def _of_agent(server: StandIn, ask: Ask) -> list[Body]:
    """Those of its conversations, too (0.16.8)."""
    agent = server.tables.agents.get(ask.names["agent_id"])
    rows = _rows(server, agent) if agent else []
    return page(ask, map(_shown, rows), all_ids=[row["id"] for row in rows], order="desc", limit=100, zero_is_all=False)


@on("POST", "/v1/conversations/{conversation}/messages")
def _to_conversation(server: StandIn, ask: Ask) -> Body:
    if ask.body.get("streaming", True):
        raise Refusal(501, "the stand-in does not stream")
    conversation = conversations.find(server, ask)
    return _say(server, agents.find(server, conversation["agent_id"]), ask, conversation)


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
    rows = [*own[:1], *(every[id] for id in shared if id in every), *own[1:]]
    return page(ask, map(_shown, rows), all_ids=[row["id"] for row in rows], order="desc", limit=100, zero_is_all=False)


def exported(server: StandIn, agent: Body, ids: list[str]) -> list[Body]:
    """Messages in an agent file, numbered from 0."""
    rows, shown = by_id(server, agent), list[Body]()
    for number, id in enumerate(ids):
        if id not in rows:  # 0.16.8: a message of the context that does not exist
            raise Refusal(500, f"Export failed: Unexpected new message ID '{id}' encountered during conversion")
        row = rows[id]
        if row.get("_broken"):
            raise Refusal(500, UNKNOWN)
        text: Any = [{"type": "text", "text": row["text"], "signature": None}]
        body = {"type": "message", "otid": server.id("otid"), "role": row["role"], "content": text}
        body |= {"id": f"message-{number}", "agent_id": "agent-0", "created_at": row["date"], "tool_returns": []}
        body |= {"model": "echo" if row["role"] == "assistant" else None, "approvals": []}
        shown.append({**dict.fromkeys(_UNUSED), **body})
    return shown


_UNUSED = (
    *("group_id", "name", "sender_id", "batch_item_id", "tool_calls", "tool_call_id", "approve"),
    *("approval_request_id", "denial_reason"),
)
