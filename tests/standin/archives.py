"""`/v1/archives/`: long-term memory. Names are not unique; an agent has at most one."""

from __future__ import annotations

from datetime import datetime

from tests.standin import agents, models
from tests.standin.lists import page
from tests.standin.server import NOTHING, ORGANIZATION, USER, Ask, Body, Refusal, StandIn, absent, on, taken
from tests.standin.validate import check

_FIELDS = {"name": "str!", "description": "str?", "embedding": "str?", "embedding_config": "dict?"}
_UPDATE = {"name": "str?", "description": "str?"}


def find(server: StandIn, id: str) -> Body:
    """An archive, or 404."""
    if id not in server.tables.archives:
        raise absent("Archive", id)
    return server.tables.archives[id]


@on("POST", "/v1/archives/")
def _create(server: StandIn, ask: Ask) -> Body:
    return _new(server, check(ask.body, _FIELDS))


def _new(server: StandIn, body: Body) -> Body:
    now = server.now()
    config = models.embedding(body["embedding"]) if body.get("embedding") else None
    created: Body = {"created_by_id": USER, "last_updated_by_id": USER, "created_at": now, "updated_at": now}
    created |= {"name": body["name"], "description": body.get("description"), "organization_id": ORGANIZATION}
    created |= {
        "vector_db_provider": "native",
        "embedding_config": config,
        "metadata": None,
        "id": server.id("archive"),
    }
    server.tables.archives[created["id"]] = created
    return created


@on("GET", "/v1/archives/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    found = list(server.tables.archives.values())
    if ask.query.get("name"):
        found = [each for each in found if each["name"] == ask.query["name"]]
    if ask.query.get("agent_id"):
        agent = server.tables.agents.get(ask.query["agent_id"], {})
        found = [each for each in found if each["id"] == agent.get("_archive")]
    return page(ask, found, all_ids=list(server.tables.archives), order="desc", zero_is_all=False)


@on("GET", "/v1/archives/{archive_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    return find(server, ask.names["archive_id"])


@on("PATCH", "/v1/archives/{archive_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    archive, body = find(server, ask.names["archive_id"]), check(ask.body, _UPDATE)
    archive.update({name: body[name] for name in _UPDATE if body.get(name) is not None})
    return archive


@on("DELETE", "/v1/archives/{archive_id}")
def _delete(server: StandIn, ask: Ask) -> object:
    archive = find(server, ask.names["archive_id"])
    for agent in _users(server, archive):
        agent["_archive"] = None
    for passage in _passages(server, archive["id"]):
        del server.tables.passages[passage["id"]]
    del server.tables.archives[archive["id"]]
    return NOTHING


def _users(server: StandIn, archive: Body) -> list[Body]:
    return [agent for agent in server.tables.agents.values() if agent["_archive"] == archive["id"]]


@on("GET", "/v1/archives/{archive_id}/agents")
def _agents(server: StandIn, ask: Ask) -> list[Body]:
    found = _users(server, find(server, ask.names["archive_id"]))
    paged = page(ask, found, all_ids=list(server.tables.agents), order="desc")
    return [agents.show(server, agent, ()) for agent in paged]


@on("PATCH", "/v1/agents/{agent_id}/archives/attach/{archive_id}")
def _attach(server: StandIn, ask: Ask) -> None:
    agent, archive = agents.find(server, ask.names["agent_id"]), find(server, ask.names["archive_id"])
    if agent["_archive"] not in (None, archive["id"]):
        raise taken("ArchivesAgents", "unique_agent_archive", {"agent_id": agent["id"]})
    agent["_archive"] = archive["id"]


@on("PATCH", "/v1/agents/{agent_id}/archives/detach/{archive_id}")
def _detach(server: StandIn, ask: Ask) -> None:
    agent, archive = agents.find(server, ask.names["agent_id"]), find(server, ask.names["archive_id"])
    if agent["_archive"] == archive["id"]:
        agent["_archive"] = None


# --- passages --------------------------------------------------------------------------------------------------------


@on("POST", "/v1/agents/{agent_id}/archival-memory")
def _remember(server: StandIn, ask: Ask) -> list[Body]:
    """What an agent remembers: 0.16.8 creates an archive for one that has none."""
    agent = agents.find(server, ask.names["agent_id"])
    if agent["_archive"] is None:
        about = {"name": f"{agent['name']}'s Archive", "description": "Default archive created automatically"}
        config = agent["embedding_config"] or {}
        agent["_archive"] = _new(server, {**about, "embedding": config.get("handle")})["id"]
    return [_new_passage(server, find(server, agent["_archive"]), ask)]


@on("POST", "/v1/archives/{archive_id}/passages")
def _create_passage(server: StandIn, ask: Ask) -> Body:
    return _new_passage(server, find(server, ask.names["archive_id"]), ask)


def _new_passage(server: StandIn, archive: Body, ask: Ask) -> Body:
    body = check(ask.body, {"text": "str!", "metadata": "dict?", "tags": "strs?", "created_at": "str?"})
    now = server.now()
    created: Body = {"created_by_id": USER, "last_updated_by_id": USER, "created_at": now, "updated_at": now}
    created |= {"is_deleted": False, "organization_id": ORGANIZATION, "archive_id": archive["id"], "source_id": None}
    created |= {"file_id": None, "file_name": None, "metadata": body.get("metadata") or {}, "tags": body.get("tags")}
    created |= {"id": server.id("passage"), "text": body["text"]}
    server.tables.passages[created["id"]] = created
    return created


def _passages(server: StandIn, archive: str) -> list[Body]:
    return [each for each in server.tables.passages.values() if each["archive_id"] == archive]


@on("POST", "/v1/passages/search")
def _search(server: StandIn, ask: Ask) -> list[Body]:
    fields = {"archive_id": "str?", "limit": "int:1:100", "query": "str?", "start_date": "str?", "tags": "strs?"}
    body = check(ask.body, fields)
    if not body.get("archive_id"):
        raise Refusal(501, "the stand-in models a search in one archive alone")
    found = _passages(server, body["archive_id"])
    if tags := body.get("tags"):
        found = [each for each in found if not {*tags}.isdisjoint(each["tags"] or ())]
    if query := body.get("query"):
        found = _nearest(find(server, body["archive_id"]), found, query)
        return [{"passage": each, "score": 0.0, "metadata": {}} for each in found[: body.get("limit", 50)]]
    if start := body.get("start_date"):
        found = [each for each in found if _time(each["created_at"]) >= _time(start)]
    found = sorted(found, key=lambda each: (_time(each["created_at"]), each["id"]))
    return [{"passage": each, "score": 0.0, "metadata": {}} for each in found[: body.get("limit", 50)]]


def _nearest(archive: Body, passages: list[Body], query: str) -> list[Body]:
    """By the words that they share with the query; without an embedding model, those that contain it (0.16.8)."""
    words = {*query.lower().split()}
    if archive["embedding_config"] is None:
        return [each for each in passages if query.lower() in each["text"].lower()]
    return sorted(passages, key=lambda each: -len(words & {*each["text"].lower().split()}))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@on("DELETE", "/v1/archives/{archive_id}/passages/{passage_id}")
def _delete_passage(server: StandIn, ask: Ask) -> object:
    archive, id = find(server, ask.names["archive_id"]), ask.names["passage_id"]
    if server.tables.passages.get(id, {}).get("archive_id") != archive["id"]:
        raise Refusal(404, f"Agent passage with id {id} not found in database.")
    del server.tables.passages[id]
    return NOTHING
