"""Folders: unique names, metadata, and the tools that come and go with them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conformance.face import Face, nobody, refusal

FILES = {"grep_files", "open_files", "semantic_search_files"}


def make(server: Face, **told: Any) -> dict[str, Any]:
    return dict(server.made("POST", "/v1/folders/", {"name": server.tag, "embedding": server.embedding, **told}))


def tools(server: Face, agent: dict[str, Any]) -> set[str]:
    return {tool["name"] for tool in server.again(agent)["tools"]}


def test_birth(server: Face) -> None:
    made = make(server, metadata={"a": {"b": 1}}, embedding_chunk_size=200)
    passing = ("id", "created_at", "updated_at", "embedding_config")
    assert {key: value for key, value in made.items() if key not in passing} == {
        "name": server.tag,
        "description": None,
        "instructions": None,
        "metadata": {"a": {"b": 1}},
        "organization_id": "org-00000000-0000-4000-8000-000000000000",
        "created_by_id": "user-00000000-0000-4000-8000-000000000000",
        "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
    }
    config = made["embedding_config"]
    assert (config["handle"], config["embedding_chunk_size"]) == (server.embedding, 200)
    assert server.get(f"/v1/folders/{made['id']}") == made
    assert server.get("/v1/folders/", name=server.tag) == [made]
    assert server.get("/v1/folders/", name=server.tag, limit=0) == []


def test_only_with_an_embedding_and_only_what_it_knows(server: Face) -> None:
    said = "INVALID_ARGUMENT: Must specify either embedding or embedding_config in request"
    assert refusal(server.ask("POST", "/v1/folders/", {"name": server.tag})) == (400, said)
    told = {"name": server.tag, "embedding": "no/such"}
    said = "INVALID_ARGUMENT: Embedding model no/such not found"
    assert refusal(server.ask("POST", "/v1/folders/", told)) == (400, said)
    told = {"name": server.tag, "embedding": server.embedding, "nonsense": 1}
    assert refusal(server.ask("POST", "/v1/folders/", told)) == (422, [("extra_forbidden", "'body', 'nonsense'")])


def test_a_name_is_unique(server: Face) -> None:
    make(server)
    other = make(server, name=f"{server.tag}-2")
    told = {"name": server.tag, "embedding": server.embedding}
    for answer in (
        server.ask("POST", "/v1/folders/", told),
        server.ask("PATCH", f"/v1/folders/{other['id']}", {"name": server.tag}),
    ):
        status, detail = refusal(answer)
        assert status == 409
        assert f"Key (name, organization_id)=({server.tag}, <org>) already exists." in detail


def test_patch_replaces_what_is_not_null(server: Face) -> None:
    made = make(server, description="d", metadata={"a": 1})
    path = f"/v1/folders/{made['id']}"
    now = server.made("PATCH", path, {"instructions": "i", "description": None, "metadata": {"b": 1}})
    assert (now["instructions"], now["description"], now["metadata"]) == ("i", "d", {"b": 1})
    assert server.made("PATCH", path, {"description": "", "metadata": {}})["description"] == ""
    assert server.get(path)["metadata"] == {}


def test_the_tools_come_and_go_with_the_last_folder(server: Face) -> None:
    one, two, agent = make(server), make(server, name=f"{server.tag}-2"), server.agent(tags=["t"])
    path = f"/v1/agents/{agent['id']}/folders"
    for folder in (one, one, two):
        server.made("PATCH", f"{path}/attach/{folder['id']}")
    assert tools(server, agent) == FILES
    assert {each["id"] for each in server.again(agent)["sources"]} == {one["id"], two["id"]}
    assert server.get(f"/v1/folders/{one['id']}/agents") == [agent["id"]]
    server.made("PATCH", f"{path}/detach/{one['id']}")
    assert tools(server, agent) == FILES
    for _ in range(2):
        server.made("PATCH", f"{path}/detach/{two['id']}")
    assert tools(server, agent) == set()


def test_born_with_a_folder_and_left_with_its_tools(server: Face) -> None:
    folder = make(server)
    agent = server.agent(folder_ids=[folder["id"]])
    assert {tool["name"] for tool in agent["tools"]} == FILES
    assert server.made("DELETE", f"/v1/folders/{folder['id']}") is None
    assert server.again(agent)["sources"] == []
    assert tools(server, agent) == FILES
    assert server.ask("DELETE", f"/v1/folders/{folder['id']}").status_code == 404


def test_an_agent_with_an_unknown_folder(server: Face) -> None:
    told = {"name": "a", "model": server.model, "folder_ids": [nobody("source")]}
    assert server.ask("POST", "/v1/agents/", told).status_code == 409


def upload(server: Face, folder: dict[str, Any], name: str, text: str) -> dict[str, Any]:
    path = f"/v1/folders/{folder['id']}/upload"
    files = {"file": (name, text.encode())}
    return dict(server.made("POST", path, params={"duplicate_handling": "replace"}, files=files))


def test_files(server: Face) -> None:
    folder = make(server)
    path = f"/v1/folders/{folder['id']}"
    made = upload(server, folder, "deep/a.md", "# One.\n")
    assert (made["original_file_name"], made["file_size"], made["file_type"]) == ("a.md", 7, "text/x-markdown")
    assert made["processing_status"] == "parsing"
    listed = server.get(f"{path}/files")
    assert [(each["id"], each["original_file_name"]) for each in listed] == [(made["id"], "a.md")]
    one = server.get(f"{path}/files/{made['id']}", include_content=True)
    assert (one["content"], one.keys()) == ("# One.\n", made.keys())
    again = upload(server, folder, "a.md", "# Two.\n")
    assert [each["id"] for each in server.get(f"{path}/files")] == [again["id"]]
    assert server.ask("DELETE", f"{path}/{again['id']}").status_code == 204
    assert server.ask("DELETE", f"{path}/{again['id']}").status_code == 404
    assert server.get(f"{path}/files") == []


def sent(server: Face, folder: dict[str, Any], name: str, *content: Any, how: str | None = None) -> Any:
    """An upload as it is answered; `content`: bytes, and maybe a type."""
    asked = {"duplicate_handling": how} if how else {}
    path = f"/v1/folders/{folder['id']}/upload"
    return server.ask("POST", path, params=asked, files={"file": (name, *content)})


def names(server: Face, folder: dict[str, Any]) -> list[tuple[str, str]]:
    found = server.get(f"/v1/folders/{folder['id']}/files")
    return sorted((each["original_file_name"], each["file_name"]) for each in found)


def read(server: Face, folder: dict[str, Any], answer: Any) -> dict[str, Any]:
    """A file once the server has done with it."""
    assert answer.status_code == 200, answer.text
    path = f"/v1/folders/{folder['id']}/files/{answer.json()['id']}"
    for _ in range(600):
        file = server.get(path, include_content=True)
        if file["processing_status"] in ("completed", "error"):
            return dict(file)
        time.sleep(0.1)
    raise AssertionError(file)


@pytest.mark.parametrize("name", ["a.png", "a.docx", "a.bin", "program", "a.unknown"])
def test_what_it_knows_no_type_of_is_refused(server: Face, name: str) -> None:
    assert sent(server, make(server), name, b"x").status_code == 415


@pytest.mark.parametrize("name", ["program", "a.unknown"])
def test_what_is_said_to_be_text_is_taken(server: Face, name: str) -> None:
    folder = make(server)
    file = read(server, folder, sent(server, folder, name, b"x\r\n", "text/plain"))
    assert (file["processing_status"], file["content"], file["file_type"]) == ("completed", "x\r\n", "text/plain")


def test_a_wrong_type_is_corrected(server: Face) -> None:
    assert sent(server, make(server), "a.md", b"x", "image/png").json()["file_type"] == "text/x-markdown"


def test_two_of_one_name(server: Face) -> None:
    folder = make(server)
    first, second = (sent(server, folder, "a.txt", content).json() for content in (b"1", b"2"))
    assert second["file_name"] == f"{server.tag}/a_(1).txt"
    assert names(server, folder) == [("a.txt", "a.txt"), ("a.txt", "a_(1).txt")]
    assert sent(server, folder, "a.txt", b"3", how="skip").json()["id"] in (first["id"], second["id"])
    said = f"INVALID_ARGUMENT: File 'a.txt' already exists in folder '{server.tag}'"
    assert refusal(sent(server, folder, "a.txt", b"3", how="error")) == (400, said)
    assert sent(server, folder, "a.txt", b"4", how="replace").status_code == 200
    assert len(names(server, folder)) == 2  # one of them made room


def test_an_empty_file(server: Face) -> None:
    folder = make(server)
    file = read(server, folder, sent(server, folder, "a.txt", b""))
    assert (file["processing_status"], file["content"], file["file_size"]) == ("completed", "", 0)


def test_what_is_too_large_fails_after_it_was_taken(server: Face) -> None:
    folder = make(server)
    file = read(server, folder, sent(server, folder, "a.txt", b"x" * (50 * 2**20 + 1)))
    assert (file["processing_status"], file["content"]) == ("error", None)


def test_what_holds_a_null_fails_after_it_was_taken(server: Face) -> None:
    folder = make(server)
    file = read(server, folder, sent(server, folder, "a.txt", b"a\0b"))
    assert (file["processing_status"], file["content"]) == ("error", None)


def test_what_is_no_utf8_is_lost(server: Face) -> None:
    folder = make(server)
    file = read(server, folder, sent(server, folder, "a.txt", "Grüße".encode("latin-1")))
    assert (file["processing_status"], file["content"]) == ("completed", "Gr\ufffd\ufffde")


def test_the_way_to_metadata_leads_elsewhere(server: Face) -> None:
    assert server.ask("GET", "/v1/folders/metadata").status_code == 422


def test_no_answer_tells_a_hash(server: Face) -> None:
    folder = make(server)
    file = read(server, folder, sent(server, folder, "a.txt", b"x"))
    assert not [key for key in file if "hash" in key or "sha" in key or "sum" in key]
