"""Archives: names that are not unique, and one for an agent."""

from __future__ import annotations

from typing import Any

from tests.conformance.face import Face, refusal


def make(server: Face, **told: Any) -> dict[str, Any]:
    return dict(server.made("POST", "/v1/archives/", {"name": server.tag, **told}))


def test_birth(server: Face) -> None:
    made = make(server, description="d", embedding=server.embedding)
    passing = ("id", "created_at", "updated_at", "embedding_config")
    assert {key: value for key, value in made.items() if key not in passing} == {
        "name": server.tag,
        "description": "d",
        "metadata": None,
        "vector_db_provider": "native",
        "organization_id": "org-00000000-0000-4000-8000-000000000000",
        "created_by_id": "user-00000000-0000-4000-8000-000000000000",
        "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
    }
    assert made["embedding_config"]["handle"] == server.embedding
    assert server.get(f"/v1/archives/{made['id']}") == made
    twin = make(server)
    assert twin["embedding_config"] is None
    assert [each["id"] for each in server.get("/v1/archives/", name=server.tag)] == [twin["id"], made["id"]]


def test_patch_replaces_what_is_not_null(server: Face) -> None:
    path = f"/v1/archives/{make(server, description='d')['id']}"
    now = server.made("PATCH", path, {"name": f"{server.tag}-2", "description": None})
    assert (now["name"], now["description"]) == (f"{server.tag}-2", "d")
    assert server.made("PATCH", path, {"description": ""})["description"] == ""


def test_an_agent_has_one(server: Face) -> None:
    one, two, agent = make(server), make(server), server.agent(tags=["t"])
    path = f"/v1/agents/{agent['id']}/archives"
    assert server.made("PATCH", f"{path}/attach/{one['id']}") is None
    assert server.made("PATCH", f"{path}/attach/{one['id']}") is None
    assert refusal(server.ask("PATCH", f"{path}/attach/{two['id']}"))[0] == 409
    assert [each["id"] for each in server.get("/v1/archives/", agent_id=agent["id"])] == [one["id"]]
    assert [each["id"] for each in server.get(f"/v1/archives/{one['id']}/agents")] == [agent["id"]]
    for _ in range(2):
        assert server.made("PATCH", f"{path}/detach/{one['id']}") is None
    assert server.get("/v1/archives/", agent_id=agent["id"]) == []


def test_delete(server: Face) -> None:
    archive, agent = make(server), server.agent(tags=["t"])
    server.made("PATCH", f"/v1/agents/{agent['id']}/archives/attach/{archive['id']}")
    answer = server.ask("DELETE", f"/v1/archives/{archive['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert server.get("/v1/archives/", agent_id=agent["id"]) == []
    assert server.ask("DELETE", f"/v1/archives/{archive['id']}").status_code == 404


def test_passages(server: Face) -> None:
    archive = make(server, embedding=server.embedding)
    path = f"/v1/archives/{archive['id']}/passages"
    one = server.made("POST", path, {"text": "one", "tags": ["t"], "metadata": {"m": 1}})
    two = server.made("POST", path, {"text": "one"})
    assert (one["text"], one["tags"], one["metadata"]) == ("one", ["t"], {"m": 1})
    assert (two["tags"] or [], two["metadata"]) == ([], {})

    def found(**asked: Any) -> set[str]:
        told = server.made("POST", "/v1/passages/search", {"archive_id": archive["id"], **asked})
        return {each["passage"]["id"] for each in told}

    assert found(limit=100) == {one["id"], two["id"]}
    assert len(found(limit=1)) == 1
    assert server.ask("DELETE", f"{path}/{one['id']}").status_code == 204
    assert server.ask("DELETE", f"{path}/{one['id']}").status_code == 404
    assert found(limit=100) == {two["id"]}
