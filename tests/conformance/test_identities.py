"""Identities: unique keys, properties, the relation to agents."""

from __future__ import annotations

from typing import Any

from tests.conformance.server_under_test import Server, refusal

AGE = {"key": "age", "value": 1, "type": "number"}
CITY = {"key": "city", "value": "x", "type": "string"}


def create(server: Server, **fields: Any) -> dict[str, Any]:
    defaults = {"identifier_key": server.tag, "name": "n", "identity_type": "user"}
    return dict(server.call("POST", "/v1/identities/", {**defaults, **fields}))


def test_create_sets_defaults(server: Server) -> None:
    created = create(server, properties=[AGE])
    assert {**created, "id": None} == {
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
    assert server.get(f"/v1/identities/{created['id']}") == created
    assert server.get("/v1/identities/", identifier_key=server.tag) == [created]


def test_identifier_key_is_unique(server: Server) -> None:
    create(server)
    body = {"identifier_key": server.tag, "name": "other", "identity_type": "org"}
    status, detail = refusal(server.ask("POST", "/v1/identities/", body))
    assert status == 409
    assert detail.startswith("A unique constraint was violated for Identity. Check your input for duplicates: ")
    columns = "(identifier_key, project_id, organization_id)"
    assert detail.endswith(f"DETAIL:  Key {columns}=({server.tag}, null, <org>) already exists.")


def test_unknown_type_and_unknown_keys_are_refused(server: Server) -> None:
    body = {"identifier_key": server.tag, "identity_type": "nobody", "nonsense": 1}
    assert refusal(server.ask("POST", "/v1/identities/", body)) == (
        422,
        [("missing", "'body', 'name'"), ("enum", "'body', 'identity_type'"), ("extra_forbidden", "'body', 'nonsense'")],
    )


def test_put_does_not_create(server: Server) -> None:
    body = {"identifier_key": server.tag, "name": "n", "identity_type": "user"}
    status, detail = refusal(server.ask("PUT", "/v1/identities/", body))
    message = f"Identity not found with identifier_key='{server.tag}', project_id='None', organization_id='<org>'"
    assert (status, detail) == (404, f"{message}, access level in ['read']")


def test_put_replaces_and_patch_merges_properties(server: Server) -> None:
    created = create(server, properties=[AGE])
    path = f"/v1/identities/{created['id']}"
    merged = server.call("PATCH", path, {"properties": [CITY], "name": "m"})
    assert (merged["properties"], merged["name"]) == ([AGE, CITY], "m")
    body = {"identifier_key": server.tag, "name": "o", "identity_type": "org"}
    kept = server.call("PUT", "/v1/identities/", body)
    assert (kept["id"], kept["name"], kept["properties"]) == (created["id"], "o", [AGE, CITY])
    assert server.call("PUT", "/v1/identities/", {**body, "properties": [CITY]})["properties"] == [CITY]


def test_put_of_properties_replaces_them_alone(server: Server) -> None:
    created = create(server, properties=[AGE])
    path = f"/v1/identities/{created['id']}/properties"
    assert server.call("PUT", path, [CITY]) == {**created, "properties": [CITY]}
    assert server.call("PUT", path, []) == {**created, "properties": []}
    status, detail = refusal(server.ask("PUT", path, [{"key": "age"}]))
    assert (status, [kind for kind, _ in detail]) == (422, ["missing", "missing"])


def test_agent_relation_is_shown_on_agent_only(server: Server) -> None:
    identity, agent = create(server), server.agent(tags=["t"])
    attach, detach = (f"/v1/agents/{agent['id']}/identities/{verb}/{identity['id']}" for verb in ("attach", "detach"))
    for _ in range(2):
        assert server.call("PATCH", attach) is None
    assert server.read_agent(agent)["identity_ids"] == [identity["id"]]
    found = server.get(f"/v1/identities/{identity['id']}/agents")
    assert [(each["id"], each["tags"]) for each in found] == [(agent["id"], [])]  # only what is included
    assert server.get(f"/v1/identities/{identity['id']}")["agent_ids"] == []  # never shown here
    asked = {"identity_id": identity["id"]}
    assert [each["id"] for each in server.get("/v1/agents/", **asked)] == [agent["id"]]
    assert server.get("/v1/agents/count", identifier_keys=server.tag) == 1
    for _ in range(2):
        assert server.call("PATCH", detach) is None
    assert server.read_agent(agent)["identity_ids"] == []
    assert server.patch(agent, identity_ids=[identity["id"]])["identity_ids"] == [identity["id"]]


def test_delete_removes_identity_from_agent(server: Server) -> None:
    identity = create(server)
    agent = server.agent(identity_ids=[identity["id"]])
    assert server.call("DELETE", f"/v1/identities/{identity['id']}") is None
    assert server.read_agent(agent)["identity_ids"] == []
    assert server.ask("DELETE", f"/v1/identities/{identity['id']}").status_code == 404
