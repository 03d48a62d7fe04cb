"""Groups: their managers, and who they hold."""

from __future__ import annotations

from typing import Any

from tests.conformance.face import Face, nobody, refusal


def make(server: Face, agents: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"description": server.tag, "agent_ids": [agent["id"] for agent in agents]}
    return dict(server.made("POST", "/v1/groups/", told | ({"manager_config": config} if config else {})))


def test_birth(server: Face) -> None:
    one, two = server.agent(tags=["t"]), server.agent(tags=["t"])
    made = make(server, [two, one])
    assert {**made, "id": None} == {
        "id": None,
        "manager_type": "round_robin",
        "agent_ids": [two["id"], one["id"]],
        "description": server.tag,
        "project_id": None,
        "template_id": None,
        "base_template_id": None,
        "deployment_id": None,
        "shared_block_ids": [],
        "manager_agent_id": None,
        "termination_token": None,
        "max_turns": None,
        "sleeptime_agent_frequency": None,
        "turns_counter": None,
        "last_processed_message_id": None,
        "max_message_buffer_length": None,
        "min_message_buffer_length": None,
        "hidden": None,
    }
    assert server.get(f"/v1/groups/{made['id']}") == made
    assert made in server.get("/v1/groups/", limit=1000, manager_type="round_robin")
    assert made not in server.get("/v1/groups/", limit=1000, manager_type="dynamic")


def test_managers(server: Face) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    made = make(server, [one], manager_type="dynamic", manager_agent_id=lead["id"], max_turns=3)
    assert (made["manager_type"], made["manager_agent_id"], made["max_turns"]) == ("dynamic", lead["id"], 3)
    assert made["termination_token"] == "DONE!"
    path = f"/v1/groups/{made['id']}"
    told = {"manager_type": "dynamic", "manager_agent_id": lead["id"], "max_turns": 4, "termination_token": "OVER"}
    now = server.made("PATCH", path, {"manager_config": told})
    assert (now["max_turns"], now["termination_token"]) == (4, "OVER")
    answer = server.ask("PATCH", path, {"manager_config": {"manager_type": "round_robin"}})
    assert refusal(answer) == (400, "Cannot change group pattern after creation")


def test_members_keep_their_order(server: Face) -> None:
    one, two = server.agent(tags=["t"]), server.agent(tags=["t"])
    path = f"/v1/groups/{make(server, [one])['id']}"
    assert server.made("PATCH", path, {"agent_ids": [two["id"], one["id"]]})["agent_ids"] == [two["id"], one["id"]]
    assert server.get(path)["agent_ids"] == [two["id"], one["id"]]


def test_unknown_members(server: Face) -> None:
    told = {"description": server.tag, "agent_ids": [nobody("agent")]}
    said = "Items not found in agents: {'<agent>'}"
    assert refusal(server.ask("POST", "/v1/groups/", told)) == (404, said)


def test_a_manager_cannot_die_before_its_group(server: Face) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    made = make(server, [one], manager_type="supervisor", manager_agent_id=lead["id"])
    assert server.ask("DELETE", f"/v1/agents/{lead['id']}").status_code == 409
    said = {"message": f"Group id={made['id']} successfully deleted"}
    assert server.made("DELETE", f"/v1/groups/{made['id']}") == said
    assert server.ask("DELETE", f"/v1/groups/{made['id']}").status_code == 404
    assert server.ask("DELETE", f"/v1/agents/{lead['id']}").status_code == 200
