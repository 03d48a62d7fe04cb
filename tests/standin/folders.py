"""`/v1/folders/`: files for agents. Names are unique; an agent with a folder has the file tools."""

from __future__ import annotations

from email import message_from_bytes

from tests.standin import agents, models
from tests.standin.lists import page
from tests.standin.server import NOTHING, ORGANIZATION, USER, Ask, Body, Refusal, StandIn, absent, missing, on, taken
from tests.standin.validate import check

_FIELDS = {"name": "str!", "description": "str?", "instructions": "str?", "metadata": "dict?", "embedding": "str?"}
_FIELDS |= {"embedding_chunk_size": "int?", "embedding_config": "dict?"}
_UPDATE = {"name": "str?", "description": "str?", "instructions": "str?", "metadata": "dict?"}


def find(server: StandIn, id: str) -> Body:
    """A folder, or 404."""
    if id not in server.tables.folders:
        raise absent("Source", id)
    return server.tables.folders[id]


def _unique(server: StandIn, name: str | None, but: str = "") -> None:
    if any(each["name"] == name and each["id"] != but for each in server.tables.folders.values()):
        columns = {"name": str(name), "organization_id": ORGANIZATION}
        raise taken("Source", "uq_source_name_organization", columns)


@on("POST", "/v1/folders/")
def _create(server: StandIn, ask: Ask) -> Body:
    body = check(ask.body, _FIELDS, closed=True)
    if not body.get("embedding"):
        raise Refusal(400, "INVALID_ARGUMENT: Must specify either embedding or embedding_config in request")
    config = models.embedding(body["embedding"], body.get("embedding_chunk_size"))
    _unique(server, body["name"])
    now = server.now()
    created: Body = {name: body.get(name) for name in _UPDATE} | {"id": server.id("source")}
    created |= {"embedding_config": config, "organization_id": ORGANIZATION, "created_by_id": USER}
    created |= {"last_updated_by_id": USER, "created_at": now, "updated_at": now}
    server.tables.folders[created["id"]] = created
    return created


@on("GET", "/v1/folders/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    name = ask.query.get("name")
    found = [each for each in server.tables.folders.values() if not name or each["name"] == name]
    return page(ask, found, all_ids=list(server.tables.folders), order="asc", zero_is_all=False)


@on("GET", "/v1/folders/{source_id}")
def _get(server: StandIn, ask: Ask) -> Body:
    return find(server, ask.names["source_id"])


@on("PATCH", "/v1/folders/{source_id}")
def _patch(server: StandIn, ask: Ask) -> Body:
    folder, body = find(server, ask.names["source_id"]), check(ask.body, _UPDATE)
    _unique(server, body.get("name"), folder["id"])
    folder.update({name: body[name] for name in _UPDATE if body.get(name) is not None})
    return folder


@on("DELETE", "/v1/folders/{source_id}")
def _delete(server: StandIn, ask: Ask) -> None:
    folder = find(server, ask.names["source_id"])
    for agent in server.tables.agents.values():  # the file tools remain (0.16.8)
        agent["_folders"] = [id for id in agent["_folders"] if id != folder["id"]]
    for file in _files(server, folder):
        del server.tables.files[file["id"]]
    del server.tables.folders[folder["id"]]


@on("GET", "/v1/folders/{source_id}/agents")
def _agents(server: StandIn, ask: Ask) -> list[str]:
    id = find(server, ask.names["source_id"])["id"]
    found = [agent for agent in server.tables.agents.values() if id in agent["_folders"]]
    if (after := ask.query.get("after")) and after not in server.tables.agents:
        raise missing("Agent", id=after)
    return [agent["id"] for agent in page(ask, found, all_ids=list(server.tables.agents), order="desc")]


@on("PATCH", "/v1/agents/{agent_id}/folders/attach/{source_id}")
def _attach(server: StandIn, ask: Ask) -> Body | None:
    agent, folder = agents.find(server, ask.names["agent_id"]), find(server, ask.names["source_id"])
    agent["_folders"] = list(dict.fromkeys([*agent["_folders"], folder["id"]]))
    agent["_tools"] = list(dict.fromkeys([*agent["_tools"], *agents.file_tools(server)]))
    return None if ask.is_new_sdk else agents.show(server, agent)


@on("PATCH", "/v1/agents/{agent_id}/folders/detach/{source_id}")
def _detach(server: StandIn, ask: Ask) -> Body | None:
    agent, folder = agents.find(server, ask.names["agent_id"]), find(server, ask.names["source_id"])
    agent["_folders"] = [id for id in agent["_folders"] if id != folder["id"]]
    if not agent["_folders"]:
        agent["_tools"] = [id for id in agent["_tools"] if id not in agents.file_tools(server)]
    return None if ask.is_new_sdk else agents.show(server, agent)


# --- files -----------------------------------------------------------------------------------------------------------

_TYPES = {"md": "text/x-markdown", "txt": "text/plain", "json": "application/json", "py": "text/x-python"}
_ACCEPTED_TYPES = {*_TYPES.values(), "application/pdf"}
_MAXIMUM_SIZE = 50 * 2**20


def _uploaded_part(ask: Ask) -> tuple[str, bytes, str]:
    """Name, content and media type of the only part of a form."""
    kind = f"Content-Type: {ask.headers['content-type']}\r\n\r\n".encode()
    for part in message_from_bytes(kind + ask.content).walk():
        if part.get_filename():
            content = part.get_payload(decode=True)
            name = str(part.get_filename()).split("/")[-1]
            return name, content if isinstance(content, bytes) else b"", part.get_content_type()
    raise Refusal(422, "no file")


@on("POST", "/v1/folders/{source_id}/upload")
def _upload(server: StandIn, ask: Ask) -> Body:
    folder, (name, content, declared_type) = find(server, ask.names["source_id"]), _uploaded_part(ask)
    kind = _TYPES.get(name.rpartition(".")[2])
    if kind is None and declared_type not in _ACCEPTED_TYPES:
        raise Refusal(415, f"Unsupported file type: unknown (filename: {name}). …")
    kind = kind or declared_type
    same_name = [each for each in _files(server, folder) if each["original_file_name"] == name]
    stored, how = name, ask.query.get("duplicate_handling", "suffix")
    if same_name and how == "error":
        raise Refusal(400, f"INVALID_ARGUMENT: File '{name}' already exists in folder '{folder['name']}'")
    if same_name and how == "skip":
        return _show_file(same_name[0], ask)
    if same_name and how == "suffix":
        base, dot, ending = name.rpartition(".")
        stored = f"{base}_({len(same_name)}){dot}{ending}"
    elif same_name:
        del server.tables.files[same_name[0]["id"]]
    now = server.now()
    created: Body = {"source_id": folder["id"], "file_name": stored, "original_file_name": name, "file_path": None}
    created |= {
        "file_type": kind,
        "file_size": len(content),
        "file_creation_date": None,
        "file_last_modified_date": None,
    }
    created |= {"processing_status": "completed", "error_message": None, "total_chunks": 1, "chunks_embedded": 1}
    created |= {"content": None, "id": server.id("file"), "organization_id": ORGANIZATION}
    created |= {"created_at": now, "updated_at": now}
    if len(content) > _MAXIMUM_SIZE or b"\0" in content:
        created |= {"processing_status": "error", "error_message": "(the server's own words)"}
    server.tables.files[created["id"]] = {**created, "_content": content.decode(errors="replace")}
    answered = {"file_name": f"{folder['name']}/{stored}", "processing_status": "parsing", "error_message": None}
    return created | answered | {"total_chunks": None, "chunks_embedded": None}


def _files(server: StandIn, folder: Body) -> list[Body]:
    return [each for each in server.tables.files.values() if each["source_id"] == folder["id"]]


def _show_file(file: Body, ask: Ask) -> Body:
    content = file["_content"] if ask.flag("include_content") and not file["error_message"] else None
    return {key: value for key, value in file.items() if not key.startswith("_")} | {"content": content}


@on("GET", "/v1/folders/{source_id}/files")
def _list_files(server: StandIn, ask: Ask) -> list[Body]:
    found = [_show_file(each, ask) for each in _files(server, find(server, ask.names["source_id"]))]
    return page(ask, found, all_ids=list(server.tables.files), order="asc", limit=1000, zero_is_all=False)


def _file(server: StandIn, ask: Ask) -> Body:
    folder, id = find(server, ask.names["source_id"]), ask.names["file_id"]
    if server.tables.files.get(id, {}).get("source_id") != folder["id"]:
        raise absent("FileMetadata", id)
    return server.tables.files[id]


@on("GET", "/v1/folders/{source_id}/files/{file_id}")
def _get_file(server: StandIn, ask: Ask) -> Body:
    return _show_file(_file(server, ask), ask)


@on("DELETE", "/v1/folders/{source_id}/{file_id}")
def _delete_file(server: StandIn, ask: Ask) -> object:
    del server.tables.files[_file(server, ask)["id"]]
    return NOTHING
