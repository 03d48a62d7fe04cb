"""Archives: names are not unique, and an agent has at most one."""

from __future__ import annotations

from typing import Any

from tests.conformance.server_under_test import Server, refusal


def create(server: Server, **fields: Any) -> dict[str, Any]:
    return dict(server.call("POST", "/v1/archives/", {"name": server.tag, **fields}))


def test_create_sets_defaults(server: Server) -> None:
    created = create(server, description="d", embedding=server.embedding)
    passing = ("id", "created_at", "updated_at", "embedding_config")
    assert {key: value for key, value in created.items() if key not in passing} == {
        "name": server.tag,
        "description": "d",
        "metadata": None,
        "vector_db_provider": "native",
        "organization_id": "org-00000000-0000-4000-8000-000000000000",
        "created_by_id": "user-00000000-0000-4000-8000-000000000000",
        "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
    }
    assert created["embedding_config"]["handle"] == server.embedding
    assert server.get(f"/v1/archives/{created['id']}") == created
    second = create(server)
    assert second["embedding_config"] is None
    assert [each["id"] for each in server.get("/v1/archives/", name=server.tag)] == [second["id"], created["id"]]


def test_patch_replaces_fields_and_ignores_null(server: Server) -> None:
    path = f"/v1/archives/{create(server, description='d')['id']}"
    now = server.call("PATCH", path, {"name": f"{server.tag}-2", "description": None})
    assert (now["name"], now["description"]) == (f"{server.tag}-2", "d")
    assert server.call("PATCH", path, {"description": ""})["description"] == ""


def test_agent_has_at_most_one_archive(server: Server) -> None:
    one, two, agent = create(server), create(server), server.agent(tags=["t"])
    path = f"/v1/agents/{agent['id']}/archives"
    assert server.call("PATCH", f"{path}/attach/{one['id']}") is None
    assert server.call("PATCH", f"{path}/attach/{one['id']}") is None
    assert refusal(server.ask("PATCH", f"{path}/attach/{two['id']}"))[0] == 409
    assert [each["id"] for each in server.get("/v1/archives/", agent_id=agent["id"])] == [one["id"]]
    assert [each["id"] for each in server.get(f"/v1/archives/{one['id']}/agents")] == [agent["id"]]
    for _ in range(2):
        assert server.call("PATCH", f"{path}/detach/{one['id']}") is None
    assert server.get("/v1/archives/", agent_id=agent["id"]) == []


def test_delete_detaches_archive(server: Server) -> None:
    archive, agent = create(server), server.agent(tags=["t"])
    server.call("PATCH", f"/v1/agents/{agent['id']}/archives/attach/{archive['id']}")
    answer = server.ask("DELETE", f"/v1/archives/{archive['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert server.get("/v1/archives/", agent_id=agent["id"]) == []
    assert server.ask("DELETE", f"/v1/archives/{archive['id']}").status_code == 404


def test_passages_are_created_searched_and_deleted(server: Server) -> None:
    archive = create(server, embedding=server.embedding)
    path = f"/v1/archives/{archive['id']}/passages"
    one = server.call("POST", path, {"text": "one", "tags": ["t"], "metadata": {"m": 1}})
    two = server.call("POST", path, {"text": "one"})
    assert (one["text"], one["tags"], one["metadata"]) == ("one", ["t"], {"m": 1})
    assert (two["tags"] or [], two["metadata"]) == ([], {})

    def found(**query: Any) -> set[str]:
        results = server.call("POST", "/v1/passages/search", {"archive_id": archive["id"], **query})
        return {each["passage"]["id"] for each in results}

    assert found(limit=100) == {one["id"], two["id"]}
    assert len(found(limit=1)) == 1
    assert server.ask("DELETE", f"{path}/{one['id']}").status_code == 204
    assert server.ask("DELETE", f"{path}/{one['id']}").status_code == 404
    assert found(limit=100) == {two["id"]}


def test_a_search_finds_what_is_near(server: Server) -> None:
    archive, plain = create(server, embedding=server.embedding), create(server)
    texts = {"Rome is the capital": ["city", "all"], "Cats sleep": ["all"], "The sea is blue": []}
    for each in (archive, plain):
        for text, tags in texts.items():
            server.call("POST", f"/v1/archives/{each['id']}/passages", {"text": text, "tags": tags})

    def found(where: dict[str, Any], query: str, **more: Any) -> list[str]:
        asked = {"archive_id": where["id"], "query": query, **more}
        results = server.call("POST", "/v1/passages/search", asked)
        assert all((each["score"], each["metadata"]) == (0.0, {}) for each in results)
        return [each["passage"]["text"] for each in results]

    assert found(archive, "Rome is the capital")[0] == "Rome is the capital"
    assert {*found(archive, "Rome is the capital")} == {*texts}
    assert found(archive, "Rome is the capital", limit=1) == ["Rome is the capital"]
    assert {*found(archive, "Rome", tags=["all", "none"])} == {"Rome is the capital", "Cats sleep"}
    assert found(archive, "Rome", tags=["none"]) == []
    assert found(plain, "rome") == ["Rome is the capital"]  # without an embedding model: what contains the text
    assert found(plain, "dogs") == []
    for limit in (0, 101):
        asked = {"archive_id": archive["id"], "query": "x", "limit": limit}
        assert refusal(server.ask("POST", "/v1/passages/search", asked))[0] == 422
