"""`/v1/groups/`: agents that answer together."""

from __future__ import annotations

from tests.standin import agents
from tests.standin.lists import page
from tests.standin.server import Ask, Record, Refusal, StandIn, absent, on
from tests.standin.validate import check

_FIELDS = {"agent_ids": "ids:agent!", "description": "str!", "manager_config": "dict?", "project_id": "str?"}
_FIELDS |= {"shared_block_ids": "ids:block", "hidden": "bool?"}
_UPDATE = {"agent_ids": "ids:agent?", "description": "str?", "manager_config": "dict?"}
_MANAGER = ("manager_agent_id", "max_turns", "termination_token", "sleeptime_agent_frequency")
# fmt: off
_EMPTY: Record = {
    "id": None, "manager_type": "round_robin", "agent_ids": [], "description": "", "project_id": None,
    "template_id": None, "base_template_id": None, "deployment_id": None, "shared_block_ids": [],
    "manager_agent_id": None, "termination_token": None, "max_turns": None, "sleeptime_agent_frequency": None,
    "turns_counter": None, "last_processed_message_id": None, "max_message_buffer_length": None,
    "min_message_buffer_length": None, "hidden": None,
}
# fmt: on


def find(server: StandIn, id: str) -> Record:
    """A group, or 404."""
    if id not in server.tables.groups:
        raise absent("Group", id)
    return server.tables.groups[id]


def _known(server: StandIn, ids: list[str]) -> None:
    if lost := set(ids) - server.tables.agents.keys():
        raise Refusal(404, f"Items not found in agents: {lost}")


@on("POST", "/v1/groups/")
def _create(server: StandIn, ask: Ask) -> Record:
    told = check(ask.body, _FIELDS)
    config = told.get("manager_config") or {"manager_type": "round_robin"}
    if config.get("manager_type") in ("supervisor", "dynamic"):
        agents.find(server, config["manager_agent_id"])
    _known(server, told["agent_ids"])
    made = {**_EMPTY, "id": server.id("group"), "agent_ids": told["agent_ids"], "description": told["description"]}
    made |= {"manager_type": config["manager_type"], **_said(config, config["manager_type"])}
    server.tables.groups[made["id"]] = made
    return made


def _said(config: Record, kind: str) -> Record:
    """What a manager of this type keeps of its configuration."""
    usual = {"termination_token": "DONE!"} if kind == "dynamic" else {}
    return {**usual, **{key: config[key] for key in _MANAGER if config.get(key) is not None}}


@on("GET", "/v1/groups/")
def _list(server: StandIn, ask: Ask) -> list[Record]:
    kind = ask.query.get("manager_type")
    found = [each for each in server.tables.groups.values() if not kind or each["manager_type"] == kind]
    return page(ask, found, everything=list(server.tables.groups), order="asc")


@on("GET", "/v1/groups/{group_id}")
def _get(server: StandIn, ask: Ask) -> Record:
    return find(server, ask.names["group_id"])


@on("PATCH", "/v1/groups/{group_id}")
def _patch(server: StandIn, ask: Ask) -> Record:
    group, told = find(server, ask.names["group_id"]), check(ask.body, _UPDATE)
    config = told.get("manager_config") or {}
    if config.get("manager_type", group["manager_type"]) != group["manager_type"]:
        raise Refusal(400, "Cannot change group pattern after creation")
    _known(server, told.get("agent_ids") or [])
    group |= {name: told[name] for name in ("agent_ids", "description") if told.get(name) is not None}
    group |= {key: config[key] for key in _MANAGER if config.get(key) is not None}
    return group


@on("DELETE", "/v1/groups/{group_id}")
def _delete(server: StandIn, ask: Ask) -> Record:
    group = find(server, ask.names["group_id"])
    del server.tables.groups[group["id"]]
    return {"message": f"Group id={group['id']} successfully deleted"}
