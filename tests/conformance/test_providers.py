"""Providers: unique names, keys, and what a deleted one leaves."""

from __future__ import annotations

from typing import Any

from tests.conformance.face import Face, refusal

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
    again = make(server)
    assert (again["id"], again["region"]) == (made["id"], None)
