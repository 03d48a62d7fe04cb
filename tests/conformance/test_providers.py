"""Providers: unique names, keys, and what a deleted one leaves."""

from __future__ import annotations

from typing import Any

from tests.conformance.face import Face, nobody, refusal

NOWHERE = "http://127.0.0.1:9/v1"


def make(server: Face, **told: Any) -> dict[str, Any]:
    usual = {"name": server.tag, "provider_type": "openai", "api_key": "k-one", "base_url": NOWHERE}
    return dict(server.made("POST", "/v1/providers/", {**usual, **told}))


def test_birth(server: Face) -> None:
    made = make(server)
    assert {key: value for key, value in made.items() if key not in ("id", "updated_at")} == {
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
    assert [each["id"] for each in server.get("/v1/providers/", name=server.tag)] == [made["id"]]


def test_a_name_is_unique(server: Face) -> None:
    make(server)
    told = {"name": server.tag, "provider_type": "openai", "api_key": "k-two", "base_url": NOWHERE}
    status, detail = refusal(server.ask("POST", "/v1/providers/", told))
    assert status == 409
    assert f"Key (name, organization_id)=({server.tag}, <org>) already exists." in detail


def test_patch_wants_the_key(server: Face) -> None:
    path = f"/v1/providers/{make(server)['id']}"
    assert refusal(server.ask("PATCH", path, {"region": "r"})) == (422, [("missing", "'body', 'api_key'")])
    now = server.made("PATCH", path, {"api_key": "k-two", "region": "r", "access_key": "k-three"})
    assert (now["api_key_enc"], now["region"], now["access_key_enc"]) == ("k-two", "r", "k-three")


def test_the_deleted_come_back_under_their_old_id(server: Face) -> None:
    made = make(server, region="r")
    said = {"message": f"Provider id={made['id']} successfully deleted"}
    assert server.made("DELETE", f"/v1/providers/{made['id']}") == said
    assert server.get("/v1/providers/", name=server.tag) == []
    assert server.ask("DELETE", f"/v1/providers/{made['id']}").status_code == 404
    ghost = server.get(f"/v1/providers/{made['id']}")
    assert (ghost["name"], ghost["api_key_enc"]) == (server.tag, None)
    again = make(server)
    assert (again["id"], again["region"]) == (made["id"], None)


def test_what_is_refused(server: Face) -> None:
    told = {"name": server.tag, "provider_type": "openai", "api_key": "k", "base_url": NOWHERE}
    answer = server.ask("POST", "/v1/providers/", {**told, "nonsense": 1})
    assert refusal(answer) == (422, [("extra_forbidden", "'body', 'nonsense'")])
    answer = server.ask("POST", "/v1/providers/", {**told, "provider_type": "nonsense"})
    assert refusal(answer) == (422, [("enum", "'body', 'provider_type'")])
    said = "Provider name 'openai' conflicts with an existing base provider. Please choose a different name."
    assert refusal(server.ask("POST", "/v1/providers/", {**told, "name": "openai"})) == (400, said)
    missing = f"/v1/providers/{nobody('provider')}"
    assert refusal(server.ask("GET", missing)) == (404, "Provider not found with id='<provider>'")
    said = "Provider not found with id='['<provider>']', access level in ['read']"
    assert refusal(server.ask("PATCH", missing, {"api_key": "k"})) == (404, said)
    assert refusal(server.ask("DELETE", missing)) == (404, said)


def test_neither_name_nor_type_change(server: Face) -> None:
    path = f"/v1/providers/{make(server)['id']}"
    answer = server.ask("PATCH", path, {"api_key": "k", "name": "n", "provider_type": "anthropic"})
    assert refusal(answer) == (
        422,
        [("extra_forbidden", "'body', 'name'"), ("extra_forbidden", "'body', 'provider_type'")],
    )
    now = server.made("PATCH", path, {"api_key": "", "base_url": ""})
    assert (now["api_key_enc"], now["base_url"]) == ("", "")


def test_filters(server: Face) -> None:
    one, two = make(server), make(server, name=f"{server.tag}-two")
    path = "/v1/providers/"
    found = [each["id"] for each in server.get(path, provider_type="openai", limit=1000)]
    assert found.index(two["id"]) < found.index(one["id"])  # the newest first
    assert one["id"] not in [each["id"] for each in server.get(path, provider_type="anthropic", limit=1000)]
    assert server.get(path, limit=0) == []
    assert server.get(path, name=server.tag.upper()) == []
    answer = server.ask("GET", path, params={"provider_type": "nonsense"})
    assert refusal(answer) == (422, [("enum", "'query', 'provider_type'")])
