"""`/v1/conversations/`: talks with one agent side by side, each with blocks of its own where that is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.standin import agents, blocks, models
from tests.standin.lists import choice, page
from tests.standin.server import USER, Ask, Body, Refusal, StandIn, absent, invalid, on
from tests.standin.validate import check, faults

_UPDATE = {"summary": "str?", "model": "str?", "model_settings": "dict?", "last_message_at": "str?"}
_FIELDS = {"summary": "str?", "isolated_block_labels": "strs?", "model": "str?", "model_settings": "dict?"}
_COPIED = ("label", "description", "value", "limit", "metadata", "read_only")


def find(server: StandIn, ask: Ask) -> Body:
    """A conversation that is not deleted, or 404."""
    id = ask.names["conversation"]
    check({"conversation_id": id}, {"conversation_id": "id:conv!"}, at=("path",))
    talk = server.tables.conversations.get(id)
    if talk is None or talk["_deleted"]:
        raise absent("Conversation", id)
    return talk


def _show(server: StandIn, talk: Mapping[str, Any]) -> Body:
    """0.16.8 shows the messages in the answer to GET for one alone."""
    shown = {key: value for key, value in talk.items() if not key.startswith("_")}
    own = server.mixed(id for id in talk["_blocks"] if id in server.tables.blocks)
    return shown | {"isolated_block_ids": own, "in_context_message_ids": []}


def _told(body: Any, fields: Mapping[str, str]) -> Body:
    told = check(body, fields)
    if told.get("model") and not re.match(r"[^/]+/.+", told["model"]):  # else any name will do (0.16.8)
        raise Refusal(400, "INVALID_ARGUMENT: The model handle should be in the format provider/model-name")
    if told.get("model_settings") is not None:
        told["model_settings"] = _settings(told["model_settings"])
    return told


def _settings(told: Mapping[str, Any]) -> Body:
    """Settings with all that is not told, which an agent never shows like that."""
    laid = models.laid(told)
    if told["provider_type"] != "openai":
        raise Refusal(501, "the stand-in does not model a conversation's settings but of openai")
    made = {key: laid[key] for key in ("parallel_tool_calls", "response_format", "temperature", "strict")}
    made |= {"provider_type": "openai", "max_output_tokens": laid.get("max_tokens", 4096)}
    return made | {"reasoning": {"reasoning_effort": laid["reasoning_effort"]}}


@on("POST", "/v1/conversations/")
def _create(server: StandIn, ask: Ask) -> Body:
    if errors := faults(dict(ask.query), {"agent_id": "str!"}, at=("query",)):
        raise invalid(errors)
    told = _told(ask.body if ask.content else {}, _FIELDS)
    agent = server.tables.agents.get(ask.query["agent_id"])
    if agent is None:
        raise Refusal(404, "Agent not found")
    now = server.now()
    made: Body = {"created_by_id": USER, "last_updated_by_id": USER, "created_at": now, "updated_at": now}
    made |= {"id": server.id("conv"), "agent_id": agent["id"], "last_message_at": None}
    made |= {key: told.get(key) for key in ("summary", "model", "model_settings")}
    made |= {"_blocks": [], "_messages": [], "_deleted": False}
    server.tables.conversations[made["id"]] = made  # stays where a label is wrong (0.16.8)
    _isolate(server, made, agent, told.get("isolated_block_labels") or ())
    made["_messages"] = [server.id("message")]
    return _show(server, made)


def _isolate(server: StandIn, talk: Body, agent: Body, labels: Iterable[str]) -> None:
    """Copies of an agent's blocks. Where a label is wrong, those before it stay, the last of them tied to nothing."""
    here = {server.tables.blocks[id]["label"]: server.tables.blocks[id] for id in agent["_blocks"]}
    made: list[str] = []
    told: list[str] = []
    for label in labels:
        talk["_blocks"] = list(made[:-1])
        if label not in here:
            said = f"INVALID_ARGUMENT: Block with label '{label}' not found on agent '{agent['id']}'"
            raise Refusal(400, said)
        made.append(blocks.make(server, {key: here[label][key] for key in _COPIED})["id"])
        if label in told:
            talk["_blocks"] = list(made[:-1])
            raise Refusal(409, _twice(talk["id"], label))
        told.append(label)
    talk["_blocks"] = made


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
    if after and after not in talks:  # here 0.16.8 minds
        raise absent("Conversation", after)
    found = [talk for talk in talks.values() if not talk["_deleted"] and agent in (None, talk["agent_id"])]
    if search:
        found = [talk for talk in found if search in (talk["summary"] or "")]
    shown = [_show(server, talk) for talk in found]
    return page(ask, shown, everything=list(talks), order="desc", zero_is_all=False)


@on("GET", "/v1/conversations/{conversation}")
def _get(server: StandIn, ask: Ask) -> Body:
    talk = find(server, ask)
    return _show(server, talk) | {"in_context_message_ids": list(talk["_messages"])}


@on("PATCH", "/v1/conversations/{conversation}")
def _patch(server: StandIn, ask: Ask) -> Body:
    told, talk = _told(ask.body, _UPDATE), find(server, ask)
    talk |= {key: told[key] for key in _UPDATE if told.get(key) is not None} | {"updated_at": server.now()}
    return _show(server, talk)


@on("DELETE", "/v1/conversations/{conversation}")
def _delete(server: StandIn, ask: Ask) -> None:
    """With the blocks that are its own. An agent's deletion takes its conversations, but not those blocks (0.16.8)."""
    talk = find(server, ask)
    talk["_deleted"] = True
    for id in talk["_blocks"]:
        for agent in blocks.users(server, id):
            del agent["_blocks"][id]
        server.tables.blocks.pop(id, None)


@on("POST", "/v1/conversations/{conversation}/recompile")
def _recompile(server: StandIn, ask: Ask) -> str:
    """The new prompt, dry or not; with the agent's blocks where the conversation has its own (0.16.8)."""
    talk = find(server, ask)
    if not talk["_messages"] and not ask.flag("dry_run"):
        raise Refusal(400, "No in-context messages found for this conversation.")
    return blocks.compiled(server, agents.find(server, talk["agent_id"]))
