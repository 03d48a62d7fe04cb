"""Folders: unique names, metadata, files, and the file tools of agents."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conformance.server_under_test import Server, refusal, unknown_id

FILES = {"grep_files", "open_files", "semantic_search_files"}


def create(server: Server, **fields: Any) -> dict[str, Any]:
    return dict(server.call("POST", "/v1/folders/", {"name": server.tag, "embedding": server.embedding, **fields}))


def tools(server: Server, agent: dict[str, Any]) -> set[str]:
    return {tool["name"] for tool in server.read_agent(agent)["tools"]}


def test_create_sets_defaults(server: Server) -> None:
    created = create(server, metadata={"a": {"b": 1}}, embedding_chunk_size=200)
    passing = ("id", "created_at", "updated_at", "embedding_config")
    assert {key: value for key, value in created.items() if key not in passing} == {
        "name": server.tag,
        "description": None,
        "instructions": None,
        "metadata": {"a": {"b": 1}},
        "organization_id": "org-00000000-0000-4000-8000-000000000000",
        "created_by_id": "user-00000000-0000-4000-8000-000000000000",
        "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
    }
    config = created["embedding_config"]
    assert (config["handle"], config["embedding_chunk_size"]) == (server.embedding, 200)
    assert server.get(f"/v1/folders/{created['id']}") == created
    assert server.get("/v1/folders/", name=server.tag) == [created]
    assert server.get("/v1/folders/", name=server.tag, limit=0) == []


def test_create_requires_embedding_and_refuses_unknown_keys(server: Server) -> None:
    message = "INVALID_ARGUMENT: Must specify either embedding or embedding_config in request"
    assert refusal(server.ask("POST", "/v1/folders/", {"name": server.tag})) == (400, message)
    body = {"name": server.tag, "embedding": "no/such"}
    message = "INVALID_ARGUMENT: Embedding model no/such not found"
    assert refusal(server.ask("POST", "/v1/folders/", body)) == (400, message)
    body = {"name": server.tag, "embedding": server.embedding, "nonsense": 1}
    assert refusal(server.ask("POST", "/v1/folders/", body)) == (422, [("extra_forbidden", "'body', 'nonsense'")])


def test_folder_name_is_unique(server: Server) -> None:
    create(server)
    other = create(server, name=f"{server.tag}-2")
    body = {"name": server.tag, "embedding": server.embedding}
    for answer in (
        server.ask("POST", "/v1/folders/", body),
        server.ask("PATCH", f"/v1/folders/{other['id']}", {"name": server.tag}),
    ):
        status, detail = refusal(answer)
        assert status == 409
        assert f"Key (name, organization_id)=({server.tag}, <org>) already exists." in detail


def test_patch_replaces_fields_and_ignores_null(server: Server) -> None:
    created = create(server, description="d", metadata={"a": 1})
    path = f"/v1/folders/{created['id']}"
    now = server.call("PATCH", path, {"instructions": "i", "description": None, "metadata": {"b": 1}})
    assert (now["instructions"], now["description"], now["metadata"]) == ("i", "d", {"b": 1})
    assert server.call("PATCH", path, {"description": "", "metadata": {}})["description"] == ""
    assert server.get(path)["metadata"] == {}


def test_file_tools_come_with_first_and_go_with_last_folder(server: Server) -> None:
    one, two, agent = create(server), create(server, name=f"{server.tag}-2"), server.agent(tags=["t"])
    path = f"/v1/agents/{agent['id']}/folders"
    for folder in (one, one, two):
        server.call("PATCH", f"{path}/attach/{folder['id']}")
    assert tools(server, agent) == FILES
    assert {each["id"] for each in server.read_agent(agent)["sources"]} == {one["id"], two["id"]}
    assert server.get(f"/v1/folders/{one['id']}/agents") == [agent["id"]]
    server.call("PATCH", f"{path}/detach/{one['id']}")
    assert tools(server, agent) == FILES
    for _ in range(2):
        server.call("PATCH", f"{path}/detach/{two['id']}")
    assert tools(server, agent) == set()


def test_folder_delete_leaves_file_tools_on_agent(server: Server) -> None:
    folder = create(server)
    agent = server.agent(folder_ids=[folder["id"]])
    assert {tool["name"] for tool in agent["tools"]} == FILES
    assert server.call("DELETE", f"/v1/folders/{folder['id']}") is None
    assert server.read_agent(agent)["sources"] == []
    assert tools(server, agent) == FILES
    assert server.ask("DELETE", f"/v1/folders/{folder['id']}").status_code == 404


def test_agent_create_refuses_unknown_folder(server: Server) -> None:
    body = {"name": "a", "model": server.model, "folder_ids": [unknown_id("source")]}
    assert server.ask("POST", "/v1/agents/", body).status_code == 409


def upload(server: Server, folder: dict[str, Any], name: str, text: str) -> dict[str, Any]:
    path = f"/v1/folders/{folder['id']}/upload"
    files = {"file": (name, text.encode())}
    return dict(server.call("POST", path, params={"duplicate_handling": "replace"}, files=files))


def test_files_are_uploaded_listed_and_deleted(server: Server) -> None:
    folder = create(server)
    path = f"/v1/folders/{folder['id']}"
    created = upload(server, folder, "deep/a.md", "# One.\n")
    assert (created["original_file_name"], created["file_size"], created["file_type"]) == ("a.md", 7, "text/x-markdown")
    assert created["processing_status"] == "parsing"
    listed = server.get(f"{path}/files")
    assert [(each["id"], each["original_file_name"]) for each in listed] == [(created["id"], "a.md")]
    one = server.get(f"{path}/files/{created['id']}", include_content=True)
    assert (one["content"], one.keys()) == ("# One.\n", created.keys())
    again = upload(server, folder, "a.md", "# Two.\n")
    assert [each["id"] for each in server.get(f"{path}/files")] == [again["id"]]
    assert server.ask("DELETE", f"{path}/{again['id']}").status_code == 204
    assert server.ask("DELETE", f"{path}/{again['id']}").status_code == 404
    assert server.get(f"{path}/files") == []


def upload_raw(server: Server, folder: dict[str, Any], name: str, *content: Any, how: str | None = None) -> Any:
    """Upload a file and return the raw answer; `content`: bytes, and optionally a media type."""
    asked = {"duplicate_handling": how} if how else {}
    path = f"/v1/folders/{folder['id']}/upload"
    return server.ask("POST", path, params=asked, files={"file": (name, *content)})


def names(server: Server, folder: dict[str, Any]) -> list[tuple[str, str]]:
    found = server.get(f"/v1/folders/{folder['id']}/files")
    return sorted((each["original_file_name"], each["file_name"]) for each in found)


def wait_for_file(server: Server, folder: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The file's body after processing."""
    assert answer.status_code == 200, answer.text
    path = f"/v1/folders/{folder['id']}/files/{answer.json()['id']}"
    for _ in range(600):
        file = server.get(path, include_content=True)
        if file["processing_status"] in ("completed", "error"):
            return dict(file)
        time.sleep(0.1)
    raise AssertionError(file)


@pytest.mark.parametrize("name", ["a.png", "a.docx", "a.bin", "program", "a.unknown"])
def test_upload_of_unknown_type_is_refused(server: Server, name: str) -> None:
    assert upload_raw(server, create(server), name, b"x").status_code == 415


@pytest.mark.parametrize("name", ["program", "a.unknown"])
def test_upload_declared_as_text_is_accepted(server: Server, name: str) -> None:
    folder = create(server)
    file = wait_for_file(server, folder, upload_raw(server, folder, name, b"x\r\n", "text/plain"))
    assert (file["processing_status"], file["content"], file["file_type"]) == ("completed", "x\r\n", "text/plain")


def test_wrong_media_type_is_corrected(server: Server) -> None:
    assert upload_raw(server, create(server), "a.md", b"x", "image/png").json()["file_type"] == "text/x-markdown"


def test_duplicate_file_names(server: Server) -> None:
    folder = create(server)
    first, second = (upload_raw(server, folder, "a.txt", content).json() for content in (b"1", b"2"))
    assert second["file_name"] == f"{server.tag}/a_(1).txt"
    assert names(server, folder) == [("a.txt", "a.txt"), ("a.txt", "a_(1).txt")]
    assert upload_raw(server, folder, "a.txt", b"3", how="skip").json()["id"] in (first["id"], second["id"])
    message = f"INVALID_ARGUMENT: File 'a.txt' already exists in folder '{server.tag}'"
    assert refusal(upload_raw(server, folder, "a.txt", b"3", how="error")) == (400, message)
    assert upload_raw(server, folder, "a.txt", b"4", how="replace").status_code == 200
    assert len(names(server, folder)) == 2  # one of them was replaced


def test_empty_file_is_processed(server: Server) -> None:
    folder = create(server)
    file = wait_for_file(server, folder, upload_raw(server, folder, "a.txt", b""))
    assert (file["processing_status"], file["content"], file["file_size"]) == ("completed", "", 0)


@pytest.mark.thorough
def test_too_large_file_is_accepted_then_fails(server: Server) -> None:
    folder = create(server)
    file = wait_for_file(server, folder, upload_raw(server, folder, "a.txt", b"x" * (50 * 2**20 + 1)))
    assert (file["processing_status"], file["content"]) == ("error", None)


def test_file_with_nul_is_accepted_then_fails(server: Server) -> None:
    folder = create(server)
    file = wait_for_file(server, folder, upload_raw(server, folder, "a.txt", b"a\0b"))
    assert (file["processing_status"], file["content"]) == ("error", None)


def test_invalid_utf8_is_replaced(server: Server) -> None:
    folder = create(server)
    file = wait_for_file(server, folder, upload_raw(server, folder, "a.txt", "Grüße".encode("latin-1")))
    assert (file["processing_status"], file["content"]) == ("completed", "Gr\ufffd\ufffde")


def test_metadata_route_is_shadowed_by_another(server: Server) -> None:
    assert server.ask("GET", "/v1/folders/metadata").status_code == 422


def test_no_file_answer_contains_a_hash(server: Server) -> None:
    folder = create(server)
    file = wait_for_file(server, folder, upload_raw(server, folder, "a.txt", b"x"))
    assert not [key for key in file if "hash" in key or "sha" in key or "sum" in key]
