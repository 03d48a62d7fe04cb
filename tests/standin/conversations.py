"""`/v1/conversations/`: threads with one agent, optionally with isolated blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.standin import agents, blocks, maps
from tests.standin.lists import choice, page
from tests.standin.server import USER, Ask, Body, Refusal, StandIn, absent, dangling, invalid, on
from tests.standin.validate import check, faults

_UPDATE = {"summary": "str?", "model": "str?", "model_settings": "map:model_settings?", "last_message_at": "str?"}
_FIELDS = {
    "summary": "str?",
    "isolated_block_labels": "strs?",
    "model": "str?",
    "model_settings": "map:model_settings?",
}
_COPIED = ("label", "description", "value", "limit", "metadata", "read_only")


def find(server: StandIn, ask: Ask) -> Body:
    """A conversation that is not deleted, or 404."""
    id = ask.names["conversation"]
    check({"conversation_id": id}, {"conversation_id": "id:conv!"}, at=("path",))
    conversation = server.tables.conversations.get(id)
    if conversation is None or conversation["_deleted"]:
        raise absent("Conversation", id)
    return conversation


def _show(server: StandIn, conversation: Mapping[str, Any]) -> Body:
    """Only GET of one conversation shows its messages in 0.16.8."""
    shown = {key: value for key, value in conversation.items() if not key.startswith("_")}
    own = server.shuffled(id for id in conversation["_blocks"] if id in server.tables.blocks)
    return shown | {"isolated_block_ids": own, "in_context_message_ids": []}


def _checked_body(body: Any, fields: Mapping[str, str]) -> Body:
    checked = check(body, fields)
    # 0.16.8 accepts any name with a slash
    if checked.get("model") and not re.match(r"[^/]+/.+", checked["model"]):
        raise Refusal(400, "INVALID_ARGUMENT: The model handle should be in the format provider/model-name")
    if checked.get("model_settings") is not None:
        checked["model_settings"] = _settings(checked["model_settings"])
    return checked


def _settings(settings: Mapping[str, Any]) -> Body:
    """Settings with all defaults, which an agent never shows like that."""
    if settings["provider_type"] != "openai":
        raise Refusal(501, "the stand-in does not model a conversation's settings but of openai")
    whole: Body = maps.stored("model_settings", settings)
    return whole


@on("POST", "/v1/conversations/")
def _create(server: StandIn, ask: Ask) -> Body:
    if errors := faults(dict(ask.query), {"agent_id": "str!"}, at=("query",)):
        raise invalid(errors)
    body = _checked_body(ask.body if ask.content else {}, _FIELDS)
    agent = server.tables.agents.get(ask.query["agent_id"])
    if agent is None:
        raise Refusal(404, "Agent not found")
    now = server.now()
    created: Body = {"created_by_id": USER, "last_updated_by_id": USER, "created_at": now, "updated_at": now}
    created |= {"id": server.id("conv"), "agent_id": agent["id"], "last_message_at": None}
    created |= {key: body.get(key) for key in ("summary", "model", "model_settings")}
    created |= {"_blocks": [], "_messages": [], "_shared": [], "_compiled": "", "_deleted": False}
    server.tables.conversations[created["id"]] = created  # remains where a label is wrong (0.16.8)
    _isolate(server, created, agent, body.get("isolated_block_labels") or ())
    # with its own blocks, and those that the prompt of the agent lacks: 0.16.8 compiles it anew
    isolated = [server.tables.blocks[id] for id in created["_blocks"]]
    created |= {"_messages": [server.id("message")], "_compiled": blocks.compiled(server, agent, isolated)}
    return _show(server, created)


def _isolate(server: StandIn, conversation: Body, agent: Body, labels: Iterable[str]) -> None:
    """Copy blocks of the agent. Where a label is wrong, earlier copies remain; the last one is attached to nothing."""
    here = {server.tables.blocks[id]["label"]: server.tables.blocks[id] for id in agent["_blocks"]}
    created: list[str] = []
    seen: list[str] = []
    for label in labels:
        conversation["_blocks"] = list(created[:-1])
        if label not in here:
            message = f"INVALID_ARGUMENT: Block with label '{label}' not found on agent '{agent['id']}'"
            raise Refusal(400, message)
        created.append(blocks.create(server, {key: here[label][key] for key in _COPIED})["id"])
        if label in seen:
            conversation["_blocks"] = list(created[:-1])
            raise Refusal(409, _twice(conversation["id"], label))
        seen.append(label)
    conversation["_blocks"] = created


def _twice(id: str, label: str) -> str:
    return (
        "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) <class 'asyncpg.exceptions.UniqueViolationError'>: "
        'duplicate key value violates unique constraint "unique_label_per_conversation"\n'
        f"DETAIL:  Key (conversation_id, block_label)=({id}, {label}) already exists.\n[SQL: …]"
    )


@on("GET", "/v1/conversations/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    talks, agent, search = server.tables.conversations, ask.query.get("agent_id"), ask.query.get("summary_search")
    if choice(ask, "order_by", ("created_at", "last_run_completion", "last_message_at"), "created_at") != "created_at":
        raise Refusal(501, "the stand-in sorts conversations by created_at alone")
    after = ask.query.get("after")
    if after and after not in talks:  # here 0.16.8 validates the cursor
        raise absent("Conversation", after)
    found = [
        conversation
        for conversation in talks.values()
        if not conversation["_deleted"] and agent in (None, conversation["agent_id"])
    ]
    if search:
        found = [conversation for conversation in found if search in (conversation["summary"] or "")]
    shown = [_show(server, conversation) for conversation in found]
    return page(ask, shown, all_ids=list(talks), order="desc", zero_is_all=False)


@on("GET", "/v1/conversations/{conversation}")
def _get(server: StandIn, ask: Ask) -> Body:
    conversation = find(server, ask)
    return _show(server, conversation) | {"in_context_message_ids": list(conversation["_messages"])}


@on("PATCH", "/v1/conversations/{conversation}")
def _patch(server: StandIn, ask: Ask) -> Body:
    body, conversation = _checked_body(ask.body, _UPDATE), find(server, ask)
    conversation |= {key: body[key] for key in _UPDATE if body.get(key) is not None} | {"updated_at": server.now()}
    return _show(server, conversation)


@on("POST", "/v1/conversations/{conversation}/fork")
def _fork(server: StandIn, ask: Ask) -> Body:
    """A conversation with the messages in the context of another one, or of an agent, but the first: the same ones."""
    if ask.names["conversation"] == "default" and "agent_id" not in ask.query:
        raise absent("Conversation", "default")
    if ask.names["conversation"] == "default":
        agent = agents.find(server, ask.query["agent_id"])
        shared, inherited = agent["message_ids"][1:], {"model": None, "model_settings": None}
    else:
        source = find(server, ask)
        agent, shared = agents.find(server, source["agent_id"]), source["_messages"][1:]
        inherited = {key: source[key] for key in ("model", "model_settings")}
    for id in shared:
        if id not in server.tables.messages:
            raise dangling("conversation_messages", "message_id", id, "messages")
    now = server.now()
    created: Body = {"created_by_id": USER, "last_updated_by_id": USER, "created_at": now, "updated_at": now}
    created |= {"id": server.id("conv"), "agent_id": agent["id"], "last_message_at": None, "summary": None}
    created |= {"_blocks": [], "_shared": list(shared), "_deleted": False, **inherited}
    created |= {"_messages": [server.id("message"), *shared], "_compiled": blocks.compiled(server, agent)}
    server.tables.conversations[created["id"]] = created
    return _show(server, created)


@on("DELETE", "/v1/conversations/{conversation}")
def _delete(server: StandIn, ask: Ask) -> None:
    """With its isolated blocks, and its messages but those that a fork of it has, too.

    Deleting an agent deletes its conversations, but not those blocks (0.16.8).
    """
    conversation = find(server, ask)
    conversation["_deleted"] = True
    shared = {id for each in server.tables.conversations.values() if not each["_deleted"] for id in each["_shared"]}
    for id in [id for id, each in server.tables.messages.items() if each["conversation"] == conversation["id"]]:
        if id not in shared:
            del server.tables.messages[id]
    for id in conversation["_blocks"]:
        for agent in blocks.users(server, id):
            del agent["_blocks"][id]
        if id in server.tables.blocks:
            del server.tables.blocks[id]


@on("POST", "/v1/conversations/{conversation}/recompile")
def _recompile(server: StandIn, ask: Ask) -> str:
    """The new prompt, dry run or not; with the agent's blocks even where the conversation has its own (0.16.8)."""
    conversation = find(server, ask)
    if not conversation["_messages"] and not ask.flag("dry_run"):
        raise Refusal(400, "No in-context messages found for this conversation.")
    compiled = blocks.compiled(server, agents.find(server, conversation["agent_id"]))
    if not ask.flag("dry_run"):
        conversation["_compiled"] = compiled
    return compiled
