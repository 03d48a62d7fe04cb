"""Identities: unique keys, properties, the link to agents."""

from __future__ import annotations

from typing import Any

from tests.conformance.face import Face, refusal

AGE = {"key": "age", "value": 1, "type": "number"}
CITY = {"key": "city", "value": "x", "type": "string"}


def make(server: Face, **told: Any) -> dict[str, Any]:
    bare = {"identifier_key": server.tag, "name": "n", "identity_type": "user"}
    return dict(server.made("POST", "/v1/identities/", {**bare, **told}))


def test_birth(server: Face) -> None:
    made = make(server, properties=[AGE])
    assert {**made, "id": None} == {
        "id": None,
        "identifier_key": server.tag,
        "name": "n",
        "identity_type": "user",
        "project_id": None,
        "agent_ids": [],
        "block_ids": [],
        "organization_id": "org-00000000-0000-4000-8000-000000000000",
        "properties": [AGE],
    }
    assert server.get(f"/v1/identities/{made['id']}") == made
    assert server.get("/v1/identities/", identifier_key=server.tag) == [made]


def test_a_key_is_unique(server: Face) -> None:
    make(server)
    told = {"identifier_key": server.tag, "name": "other", "identity_type": "org"}
    status, detail = refusal(server.ask("POST", "/v1/identities/", told))
    assert status == 409
    assert detail.startswith("A unique constraint was violated for Identity. Check your input for duplicates: ")
    columns = "(identifier_key, project_id, organization_id)"
    assert detail.endswith(f"DETAIL:  Key {columns}=({server.tag}, null, <org>) already exists.")


def test_only_what_it_knows(server: Face) -> None:
    told = {"identifier_key": server.tag, "identity_type": "nobody", "nonsense": 1}
    assert refusal(server.ask("POST", "/v1/identities/", told)) == (
        422,
        [("missing", "'body', 'name'"), ("enum", "'body', 'identity_type'"), ("extra_forbidden", "'body', 'nonsense'")],
    )


def test_put_makes_none(server: Face) -> None:
    told = {"identifier_key": server.tag, "name": "n", "identity_type": "user"}
    status, detail = refusal(server.ask("PUT", "/v1/identities/", told))
    said = f"Identity not found with identifier_key='{server.tag}', project_id='None', organization_id='<org>'"
    assert (status, detail) == (404, f"{said}, access level in ['read']")


def test_put_replaces_and_patch_merges(server: Face) -> None:
    made = make(server, properties=[AGE])
    path = f"/v1/identities/{made['id']}"
    merged = server.made("PATCH", path, {"properties": [CITY], "name": "m"})
    assert (merged["properties"], merged["name"]) == ([AGE, CITY], "m")
    told = {"identifier_key": server.tag, "name": "o", "identity_type": "org"}
    kept = server.made("PUT", "/v1/identities/", told)
    assert (kept["id"], kept["name"], kept["properties"]) == (made["id"], "o", [AGE, CITY])
    assert server.made("PUT", "/v1/identities/", {**told, "properties": [CITY]})["properties"] == [CITY]


def test_the_link_is_the_agents(server: Face) -> None:
    identity, agent = make(server), server.agent(tags=["t"])
    attach, detach = (f"/v1/agents/{agent['id']}/identities/{verb}/{identity['id']}" for verb in ("attach", "detach"))
    for _ in range(2):
        assert server.made("PATCH", attach) is None
    assert server.again(agent)["identity_ids"] == [identity["id"]]
    found = server.get(f"/v1/identities/{identity['id']}/agents")
    assert [(each["id"], each["tags"]) for each in found] == [(agent["id"], [])]  # only what is included
    assert server.get(f"/v1/identities/{identity['id']}")["agent_ids"] == []  # never shown here
    asked = {"identity_id": identity["id"]}
    assert [each["id"] for each in server.get("/v1/agents/", **asked)] == [agent["id"]]
    assert server.get("/v1/agents/count", identifier_keys=server.tag) == 1
    for _ in range(2):
        assert server.made("PATCH", detach) is None
    assert server.again(agent)["identity_ids"] == []
    assert server.patch(agent, identity_ids=[identity["id"]])["identity_ids"] == [identity["id"]]


def test_delete(server: Face) -> None:
    identity = make(server)
    agent = server.agent(identity_ids=[identity["id"]])
    assert server.made("DELETE", f"/v1/identities/{identity['id']}") is None
    assert server.again(agent)["identity_ids"] == []
    assert server.ask("DELETE", f"/v1/identities/{identity['id']}").status_code == 404
