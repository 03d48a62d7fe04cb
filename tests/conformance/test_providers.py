"""Providers: unique names, keys, and restored deleted providers."""

from __future__ import annotations

from typing import Any

from tests.conformance.server_under_test import Server, refusal, unknown_id

NOWHERE = "http://127.0.0.1:9/v1"


def create(server: Server, **fields: Any) -> dict[str, Any]:
    usual = {"name": server.tag, "provider_type": "openai", "api_key": "k-one", "base_url": NOWHERE}
    return dict(server.call("POST", "/v1/providers/", {**usual, **fields}))


def test_create_sets_defaults(server: Server) -> None:
    created = create(server)
    assert {key: value for key, value in created.items() if key not in ("id", "updated_at")} == {
        "name": server.tag,
        "provider_type": "openai",
        "provider_category": "byok",
        "api_key": None,
        "base_url": NOWHERE,
        "access_key": None,
        "region": None,
        "api_version": None,
        "organization_id": "org-00000000-0000-4000-8000-000000000000",
        "last_synced": None,
        "api_key_enc": "k-one",
        "access_key_enc": None,
    }
    assert [each["id"] for each in server.get("/v1/providers/", name=server.tag)] == [created["id"]]


def test_provider_name_is_unique(server: Server) -> None:
    create(server)
    body = {"name": server.tag, "provider_type": "openai", "api_key": "k-two", "base_url": NOWHERE}
    status, detail = refusal(server.ask("POST", "/v1/providers/", body))
    assert status == 409
    assert f"Key (name, organization_id)=({server.tag}, <org>) already exists." in detail


def test_patch_requires_api_key(server: Server) -> None:
    path = f"/v1/providers/{create(server)['id']}"
    assert refusal(server.ask("PATCH", path, {"region": "r"})) == (422, [("missing", "'body', 'api_key'")])
    now = server.call("PATCH", path, {"api_key": "k-two", "region": "r", "access_key": "k-three"})
    assert (now["api_key_enc"], now["region"], now["access_key_enc"]) == ("k-two", "r", "k-three")


def test_create_restores_deleted_provider_with_old_id(server: Server) -> None:
    created = create(server, region="r")
    message = {"message": f"Provider id={created['id']} successfully deleted"}
    assert server.call("DELETE", f"/v1/providers/{created['id']}") == message
    assert server.get("/v1/providers/", name=server.tag) == []
    assert server.ask("DELETE", f"/v1/providers/{created['id']}").status_code == 404
    ghost = server.get(f"/v1/providers/{created['id']}")
    assert (ghost["name"], ghost["api_key_enc"]) == (server.tag, None)
    again = create(server)
    assert (again["id"], again["region"]) == (created["id"], None)


def test_invalid_requests_are_refused(server: Server) -> None:
    body = {"name": server.tag, "provider_type": "openai", "api_key": "k", "base_url": NOWHERE}
    answer = server.ask("POST", "/v1/providers/", {**body, "nonsense": 1})
    assert refusal(answer) == (422, [("extra_forbidden", "'body', 'nonsense'")])
    answer = server.ask("POST", "/v1/providers/", {**body, "provider_type": "nonsense"})
    assert refusal(answer) == (422, [("enum", "'body', 'provider_type'")])
    message = "Provider name 'openai' conflicts with an existing base provider. Please choose a different name."
    assert refusal(server.ask("POST", "/v1/providers/", {**body, "name": "openai"})) == (400, message)
    missing = f"/v1/providers/{unknown_id('provider')}"
    assert refusal(server.ask("GET", missing)) == (404, "Provider not found with id='<provider>'")
    message = "Provider not found with id='['<provider>']', access level in ['read']"
    assert refusal(server.ask("PATCH", missing, {"api_key": "k"})) == (404, message)
    assert refusal(server.ask("DELETE", missing)) == (404, message)


def test_patch_ignores_name_and_type(server: Server) -> None:
    path = f"/v1/providers/{create(server)['id']}"
    answer = server.ask("PATCH", path, {"api_key": "k", "name": "n", "provider_type": "anthropic"})
    assert refusal(answer) == (
        422,
        [("extra_forbidden", "'body', 'name'"), ("extra_forbidden", "'body', 'provider_type'")],
    )
    now = server.call("PATCH", path, {"api_key": "", "base_url": ""})
    assert (now["api_key_enc"], now["base_url"]) == ("", "")


def test_list_filters(server: Server) -> None:
    one, two = create(server), create(server, name=f"{server.tag}-two")
    path = "/v1/providers/"
    found = [each["id"] for each in server.get(path, provider_type="openai", limit=1000)]
    assert found.index(two["id"]) < found.index(one["id"])  # newest first
    assert one["id"] not in [each["id"] for each in server.get(path, provider_type="anthropic", limit=1000)]
    assert server.get(path, limit=0) == []
    assert server.get(path, name=server.tag.upper()) == []
    answer = server.ask("GET", path, params={"provider_type": "nonsense"})
    assert refusal(answer) == (422, [("enum", "'query', 'provider_type'")])
