"""`/v1/identities/`: whom an agent talks with; `identifier_key` is unique."""

from __future__ import annotations

from tests.standin.lists import page
from tests.standin.server import ORGANIZATION, Ask, Body, StandIn, absent, missing, on, taken
from tests.standin.validate import check

_FIELDS = {
    "identifier_key": "str!",
    "name": "str!",
    "identity_type": "enum:org|user|other!",
    "project_id": "str?",
    "agent_ids": "ids:agent?",
    "block_ids": "ids:block?",
    "properties": "map:properties?",
}
_UPDATE = {name: word.rstrip("!?") + "?" for name, word in _FIELDS.items() if name != "project_id"}


def find(server: StandIn, id: str) -> Body:
    """An identity, or 404."""
    if id not in server.tables.identities:
        raise absent("Identity", id)
    return server.tables.identities[id]


def _by_key(server: StandIn, key: str) -> Body | None:
    return next((each for each in server.tables.identities.values() if each["identifier_key"] == key), None)


def _refuse(key: str) -> Exception:
    columns = {"identifier_key": key, "project_id": "null", "organization_id": ORGANIZATION}
    return taken("Identity", "unique_identifier_key_project_id_organization_id", columns)


@on("POST", "/v1/identities/")
def _create(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, _FIELDS, closed=True)
    if _by_key(server, body["identifier_key"]):
        raise _refuse(body["identifier_key"])
    # 0.16.8 never shows the agents here
    created: Body = {"id": server.id("identity"), "identifier_key": None, "name": None, "identity_type": None}
    created |= {"project_id": None, "agent_ids": [], "block_ids": [], "organization_id": ORGANIZATION, "properties": []}
    created |= {name: body[name] for name in _FIELDS if body.get(name) is not None and not name.endswith("_ids")}
    server.tables.identities[created["id"]] = created
    return created


@on("PUT", "/v1/identities/")
def _upsert(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, _FIELDS, closed=True)
    identity = _by_key(server, body["identifier_key"])
    if identity is None:  # 0.16.8 does not create one
        columns = {"identifier_key": body["identifier_key"], "project_id": "None", "organization_id": ORGANIZATION}
        raise missing("Identity", **columns)
    return _set(server, identity, body, replace=True)


def _set(server: StandIn, identity: Body, fields: Body, *, replace: bool) -> Body:
    fields = {name: fields[name] for name in _UPDATE if fields.get(name) is not None and not name.endswith("_ids")}
    other = _by_key(server, fields.get("identifier_key", ""))
    if other is not None and other is not identity:
        raise _refuse(fields["identifier_key"])
    if "properties" in fields and not replace:  # 0.16.8 merges on PATCH
        merged = {each["key"]: each for each in (*identity["properties"], *fields["properties"])}
        fields["properties"] = list(merged.values())
    identity.update(fields)
    return identity


@on("PATCH", "/v1/identities/{identity_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, _UPDATE, closed=True)
    return _set(server, find(server, ask.names["identity_id"]), body, replace=False)


@on("PUT", "/v1/identities/{identity_id}/properties")
def _replace_properties(server: StandIn, ask: Ask) -> Body:
    body = check({"properties": ask.body}, {"properties": "map:properties!"})
    return _set(server, find(server, ask.names["identity_id"]), body, replace=True)


@on("GET", "/v1/identities/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    found = list(server.tables.identities.values())
    for name in ("identifier_key", "identity_type", "project_id"):
        if ask.query.get(name):
            found = [each for each in found if each[name] == ask.query[name]]
    if ask.query.get("name"):
        found = [each for each in found if ask.query["name"].lower() in each["name"].lower()]
    return page(ask, found, all_ids=list(server.tables.identities), order="desc")


@on("GET", "/v1/identities/count")
def _count(server: StandIn, ask: Ask) -> int:
    return len(server.tables.identities)


@on("GET", "/v1/identities/{identity_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    return find(server, ask.names["identity_id"])


@on("DELETE", "/v1/identities/{identity_id}")
def _delete(server: StandIn, ask: Ask) -> None:
    identity = find(server, ask.names["identity_id"])
    for agent in server.tables.agents.values():
        agent["_identities"] = [id for id in agent["_identities"] if id != identity["id"]]
    del server.tables.identities[identity["id"]]
