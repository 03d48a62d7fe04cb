"""`/v1/groups/`: agents that answer together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.standin.lists import page
from tests.standin.server import Ask, Body, Refusal, StandIn, absent, dangling, invalid, on, taken
from tests.standin.validate import check, faults

_FIELDS = {"agent_ids": "ids:agent!", "description": "str!", "manager_config": "any", "project_id": "str?"}
_FIELDS |= {"shared_block_ids": "ids:block", "hidden": "bool?"}
_UPDATE = {"agent_ids": "ids:agent?", "description": "str?", "manager_config": "any", "project_id": "str?"}
_UPDATE |= {"shared_block_ids": "ids:block?"}
_MANAGERS: Mapping[str, Mapping[str, str]] = {
    "round_robin": {"max_turns": "int?"},
    "supervisor": {"manager_agent_id": "id:agent!"},
    "dynamic": {"manager_agent_id": "id:agent!", "max_turns": "int?", "termination_token": "str?"},
    "sleeptime": {"manager_agent_id": "id:agent!", "sleeptime_agent_frequency": "int?"},
    "voice_sleeptime": {"manager_agent_id": "id:agent!"},
}
# fmt: off
_EMPTY: Mapping[str, Any] = {
    "id": None, "manager_type": "round_robin", "agent_ids": [], "description": "", "project_id": None,
    "template_id": None, "base_template_id": None, "deployment_id": None, "shared_block_ids": [],
    "manager_agent_id": None, "termination_token": None, "max_turns": None, "sleeptime_agent_frequency": None,
    "turns_counter": None, "last_processed_message_id": None, "max_message_buffer_length": None,
    "min_message_buffer_length": None, "hidden": None,
}
# fmt: on


def find(server: StandIn, id: str) -> Body:
    """A group, or 404."""
    if id not in server.tables.groups:
        raise absent("Group", id)
    return server.tables.groups[id]


def managed(server: StandIn, id: str) -> Body | None:
    """The group that an agent manages: of several, 0.16.8 shows the first."""
    return next((each for each in server.tables.groups.values() if each["manager_agent_id"] == id), None)


def sleeptime_of(server: StandIn, id: str) -> Body | None:
    """The sleeptime group that an agent belongs to."""
    groups = (each for each in server.tables.groups.values() if each["manager_type"] == "sleeptime")
    return next((each for each in groups if id in each["agent_ids"]), None)


def create(server: StandIn, body: Mapping[str, Any]) -> Body:
    """Create a group. `project_id` and `hidden` are lost, and shared blocks never shown (0.16.8)."""
    config = body.get("manager_config", {"manager_type": "round_robin"})
    kind = config["manager_type"]
    created = {**_EMPTY, "id": server.id("group"), "agent_ids": body["agent_ids"], "description": body["description"]}
    created |= {"manager_type": kind, **({"termination_token": "DONE!"} if kind == "dynamic" else {})}
    created |= {key: config[key] for key in _MANAGERS[kind] if key in config}
    if created["sleeptime_agent_frequency"]:
        created["turns_counter"] = -1
    _check_members(server, kind, body["agent_ids"])
    _check_manager(server, created["manager_agent_id"])
    _share(server, created, body.get("shared_block_ids") or ())
    server.tables.groups[created["id"]] = created
    return created


def _check_members(server: StandIn, kind: str, ids: list[str]) -> None:
    if kind == "dynamic" and len(ids) != len(set(ids)):
        raise Refusal(400, "Duplicate agent ids found in list")
    lost = set(ids) - server.tables.agents.keys()
    if lost or len(ids) != len(set(ids)):  # 0.16.8 counts a duplicate agent as missing
        raise Refusal(404, f"Items not found in agents: {lost}")
    names = [server.tables.agents[id]["name"] for id in ids]
    if kind == "dynamic" and len(names) != len(set(names)):
        raise Refusal(400, "Duplicate agent names found in the provided agent IDs.")


def _check_manager(server: StandIn, id: str | None) -> None:
    if id is not None and id not in server.tables.agents:
        message = (
            "A foreign key constraint was violated for Group. Check your input for missing or invalid references: "
        )
        raise Refusal(409, message + dangling("groups", "manager_agent_id", id, "agents").body["detail"])


def _share(server: StandIn, group: Body, ids: Iterable[str]) -> None:
    """Attach blocks to every member and the manager, ignoring unknown ones (0.16.8). They outlive the group."""
    users = [server.tables.agents[id] for id in (*group["agent_ids"], group["manager_agent_id"]) if id]
    shared = [server.tables.blocks[id] for id in dict.fromkeys(ids) if id in server.tables.blocks]
    for agent in users:
        for block in shared:
            keys = {"agent_id": agent["id"], "block_id": block["id"], "block_label": block["label"]}
            if block["id"] in agent["_blocks"]:
                raise taken("Group", "blocks_agents_pkey", keys)
            if block["label"] in [server.tables.blocks[id]["label"] for id in agent["_blocks"]]:
                del keys["block_id"]
                raise taken("Group", "unique_label_per_agent", keys)
    for agent in users:
        agent["_blocks"] |= {block["id"]: None for block in shared}


def _config(config: Any, *, update: bool) -> Body:
    """The manager configuration; 422 for an invalid one."""
    at = ("body", "manager_config")
    check(config, {}, at=at)
    if "manager_type" not in config:
        raise invalid([{"type": "union_tag_not_found", "loc": at, "msg": "Unable to extract tag …", "input": config}])
    kind = config["manager_type"]
    if kind not in _MANAGERS:
        raise invalid([{"type": "union_tag_invalid", "loc": at, "msg": f"Input tag {kind!r} …", "input": config}])
    if kind == "voice_sleeptime":
        raise Refusal(501, "the stand-in does not model voice")
    words = dict(_MANAGERS[kind])
    if update and "manager_agent_id" in words:  # a supervisor must be given, even if null (0.16.8)
        words["manager_agent_id"] = "id:agent!?" if kind == "supervisor" else "id:agent?"
    return check(config, words, at=(*at, kind))


@on("POST", "/v1/groups/")
def _create(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, _FIELDS)
    if "manager_config" in body:
        body["manager_config"] = _config(body["manager_config"], update=False)
    return create(server, body)


@on("GET", "/v1/groups/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    asked = {key: ask.query[key] for key in ("manager_type", "project_id") if ask.query.get(key)}
    if errors := faults(asked, {"manager_type": "enum:" + "|".join((*_MANAGERS, "swarm"))}, at=("query",)):
        raise invalid(errors)
    groups = server.tables.groups
    found = [each for each in groups.values() if all(each[key] == asked[key] for key in asked)]
    return page(ask, found, all_ids=list(groups), order="asc")


@on("GET", "/v1/groups/{group_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    return find(server, ask.names["group_id"])


@on("PATCH", "/v1/groups/{group_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    """Replace fields that are given and not empty: nothing can be cleared, and blocks are ignored (0.16.8)."""
    body = check(ask.body, _UPDATE)
    config = {} if body.get("manager_config") is None else _config(body["manager_config"], update=True)
    group = find(server, ask.names["group_id"])
    if config and config["manager_type"] != group["manager_type"]:
        raise Refusal(400, "Cannot change group pattern after creation")
    if body.get("agent_ids"):
        _check_members(server, group["manager_type"], body["agent_ids"])
    if config.get("manager_agent_id"):
        _check_manager(server, config["manager_agent_id"])
    group |= {name: body[name] for name in ("agent_ids", "description") if body.get(name)}
    group |= {key: config[key] for key in _MANAGERS[group["manager_type"]] if config.get(key)}
    if group["sleeptime_agent_frequency"] and group["turns_counter"] is None:
        group["turns_counter"] = -1
    return group


@on("DELETE", "/v1/groups/{group_id}")
def _delete(server: StandIn, ask: Ask) -> Body:
    group = find(server, ask.names["group_id"])
    del server.tables.groups[group["id"]]
    return {"message": f"Group id={group['id']} successfully deleted"}
