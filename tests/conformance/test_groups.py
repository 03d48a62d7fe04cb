"""Groups: managers, members and shared blocks."""

from __future__ import annotations

from typing import Any

from tests.conformance.server_under_test import Server, refusal, unknown_id


def create(server: Server, agents: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"description": server.tag, "agent_ids": [agent["id"] for agent in agents]}
    return dict(server.call("POST", "/v1/groups/", body | ({"manager_config": config} if config else {})))


def test_create_sets_defaults(server: Server) -> None:
    one, two = server.agent(tags=["t"]), server.agent(tags=["t"])
    created = create(server, [two, one])
    assert {**created, "id": None} == {
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
    assert server.get(f"/v1/groups/{created['id']}") == created
    assert created in server.get("/v1/groups/", limit=1000, manager_type="round_robin")
    assert created not in server.get("/v1/groups/", limit=1000, manager_type="dynamic")


def test_manager_types(server: Server) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    created = create(server, [one], manager_type="dynamic", manager_agent_id=lead["id"], max_turns=3)
    assert (created["manager_type"], created["manager_agent_id"], created["max_turns"]) == ("dynamic", lead["id"], 3)
    assert created["termination_token"] == "DONE!"
    path = f"/v1/groups/{created['id']}"
    config = {"manager_type": "dynamic", "manager_agent_id": lead["id"], "max_turns": 4, "termination_token": "OVER"}
    now = server.call("PATCH", path, {"manager_config": config})
    assert (now["max_turns"], now["termination_token"]) == (4, "OVER")
    answer = server.ask("PATCH", path, {"manager_config": {"manager_type": "round_robin"}})
    assert refusal(answer) == (400, "Cannot change group pattern after creation")


def test_members_keep_their_order(server: Server) -> None:
    one, two = server.agent(tags=["t"]), server.agent(tags=["t"])
    path = f"/v1/groups/{create(server, [one])['id']}"
    assert server.call("PATCH", path, {"agent_ids": [two["id"], one["id"]]})["agent_ids"] == [two["id"], one["id"]]
    assert server.get(path)["agent_ids"] == [two["id"], one["id"]]


def test_unknown_member_is_refused(server: Server) -> None:
    body = {"description": server.tag, "agent_ids": [unknown_id("agent")]}
    message = "Items not found in agents: {'<agent>'}"
    assert refusal(server.ask("POST", "/v1/groups/", body)) == (404, message)


def test_manager_config_requires_fields(server: Server) -> None:
    one = server.agent(tags=["t"])
    body = {"description": server.tag, "agent_ids": [one["id"]]}

    def refused(config: Any) -> tuple[int, Any]:
        return refusal(server.ask("POST", "/v1/groups/", {**body, "manager_config": config}))

    at = "'body', 'manager_config'"
    for kind in ("supervisor", "dynamic", "sleeptime"):
        assert refused({"manager_type": kind}) == (422, [("missing", f"{at}, '{kind}', 'manager_agent_id'")])
    assert refused({}) == (422, [("union_tag_not_found", at)])
    assert refused(None) == (422, [("model_attributes_type", at)])
    assert refused({"manager_type": "swarm"}) == (422, [("union_tag_invalid", at)])
    config = {"manager_type": "supervisor", "manager_agent_id": "x"}
    assert refused(config) == (422, [("string_too_short", f"{at}, 'supervisor', 'manager_agent_id'")])
    status, message = refused({"manager_type": "supervisor", "manager_agent_id": unknown_id("agent")})
    assert (status, message.splitlines()[-1]) == (
        409,
        'DETAIL:  Key (manager_agent_id)=(<agent>) is not present in table "agents".',
    )


def test_manager_config_keeps_fields(server: Server) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    created = create(server, [one], manager_type="round_robin", max_turns=7, manager_agent_id=lead["id"], nonsense=1)
    assert (created["max_turns"], created["manager_agent_id"]) == (7, None)
    created = create(server, [one], manager_type="round_robin", termination_token="OVER")
    assert created["termination_token"] is None
    manager = {
        "manager_type": "supervisor",
        "manager_agent_id": lead["id"],
        "max_turns": 7,
        "termination_token": "OVER",
    }
    created = create(server, [one], **manager)
    assert (created["max_turns"], created["termination_token"], created["manager_agent_id"]) == (None, None, lead["id"])
    created = create(
        server, [], manager_type="dynamic", manager_agent_id=lead["id"], termination_token=None, max_turns=0
    )
    assert (created["agent_ids"], created["termination_token"], created["max_turns"]) == ([], None, 0)
    created = create(server, [one], manager_type="sleeptime", manager_agent_id=lead["id"])
    assert (created["sleeptime_agent_frequency"], created["turns_counter"]) == (None, None)
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": 3}
    now = server.call("PATCH", f"/v1/groups/{created['id']}", {"manager_config": config})
    assert (now["sleeptime_agent_frequency"], now["turns_counter"]) == (3, -1)


def test_agent_shows_one_of_the_groups_it_manages(server: Server) -> None:
    # 0.16.8 reads them without an order: which one it is depends on where the database has put the rows
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    groups = [
        create(server, [one], manager_type="supervisor", manager_agent_id=lead["id"]),
        create(server, [one], manager_type="dynamic", manager_agent_id=lead["id"]),
    ]
    shown = server.read_agent(lead)
    assert shown["managed_group"] in groups
    assert shown["multi_agent_group"] == shown["managed_group"]
    assert server.read_agent(lead, include="agent.tags")["managed_group"] is None
    assert server.read_agent(lead, include="agent.managed_group")["managed_group"] in groups
    listed = server.get("/v1/agents/", name=server.tag, include="agent.managed_group")
    found = {agent["id"]: agent["managed_group"] for agent in listed}
    assert found.pop(lead["id"]) in groups
    assert found == {one["id"]: None}


def test_patch_cannot_clear_fields(server: Server) -> None:
    one, lead = server.agent(tags=["t"]), server.agent(tags=["t"])
    created = create(server, [one], manager_type="supervisor", manager_agent_id=lead["id"])
    path = f"/v1/groups/{created['id']}"
    patch = {"agent_ids": [], "description": "", "project_id": "p", "shared_block_ids": [], "hidden": True}
    assert server.call("PATCH", path, patch | {"manager_config": None}) == created
    answer = server.ask("PATCH", path, {"manager_config": {"manager_type": "supervisor"}})
    place = "'body', 'manager_config', 'supervisor', 'manager_agent_id'"
    assert refusal(answer) == (422, [("missing", place)])
    config = {"manager_type": "supervisor", "manager_agent_id": None}
    assert server.call("PATCH", path, {"manager_config": config}) == created
    now = server.call("PATCH", path, {"manager_config": {**config, "manager_agent_id": one["id"]}})
    assert now["manager_agent_id"] == one["id"]
    assert server.read_agent(lead)["managed_group"] is None


def test_project_id_and_hidden_are_dropped(server: Server) -> None:
    body = {"description": server.tag, "agent_ids": [], "project_id": "p", "hidden": True}
    created = server.call("POST", "/v1/groups/", body)
    assert (created["project_id"], created["hidden"]) == (None, None)
    assert created in server.get("/v1/groups/", limit=0)
    assert created not in server.get("/v1/groups/", limit=0, project_id="p")
    answer = server.ask("GET", "/v1/groups/", params={"manager_type": "nonsense"})
    assert refusal(answer) == (422, [("enum", "'query', 'manager_type'")])


def test_duplicate_members_are_refused(server: Server) -> None:
    one, lead = server.agent(tags=["t"]), server.agent(name=f"{server.tag}-lead", tags=["t"])
    body: dict[str, Any] = {"description": server.tag, "agent_ids": [one["id"]] * 2}
    assert refusal(server.ask("POST", "/v1/groups/", body)) == (404, "Items not found in agents: set()")
    body["manager_config"] = {"manager_type": "dynamic", "manager_agent_id": lead["id"]}
    assert refusal(server.ask("POST", "/v1/groups/", body)) == (400, "Duplicate agent ids found in list")
    body["agent_ids"] = [one["id"], server.agent(tags=["t"])["id"]]
    message = "Duplicate agent names found in the provided agent IDs."
    assert refusal(server.ask("POST", "/v1/groups/", body)) == (400, message)


def test_shared_blocks_are_attached_and_not_answered(server: Server) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    block, other = server.block(), server.block()
    config = {"manager_type": "supervisor", "manager_agent_id": lead["id"]}
    body = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    created = server.call("POST", "/v1/groups/", body | {"shared_block_ids": [block["id"], unknown_id("block")]})
    assert created["shared_block_ids"] == []
    for agent in (lead, one):
        assert [each["id"] for each in server.read_agent(agent)["blocks"]] == [block["id"]]
    for again, constraint in ((block, "blocks_agents_pkey"), (other, "unique_label_per_agent")):
        status, message = refusal(server.ask("POST", "/v1/groups/", body | {"shared_block_ids": [again["id"]]}))
        assert status == 409
        assert constraint in message
    server.call("DELETE", f"/v1/groups/{created['id']}")
    assert [each["id"] for each in server.read_agent(one)["blocks"]] == [block["id"]]


def test_deleted_member_stays_in_group(server: Server) -> None:
    one, two = server.agent(tags=["t"]), server.agent(tags=["t"])
    path = f"/v1/groups/{create(server, [one, two])['id']}"
    server.call("DELETE", f"/v1/agents/{two['id']}")
    assert server.get(path)["agent_ids"] == [one["id"], two["id"]]
    assert server.call("PATCH", path, {"description": "d"})["agent_ids"] == [one["id"], two["id"]]


def test_manager_cannot_be_deleted_before_its_group(server: Server) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    created = create(server, [one], manager_type="supervisor", manager_agent_id=lead["id"])
    assert server.ask("DELETE", f"/v1/agents/{lead['id']}").status_code == 409
    message = {"message": f"Group id={created['id']} successfully deleted"}
    assert server.call("DELETE", f"/v1/groups/{created['id']}") == message
    assert server.ask("DELETE", f"/v1/groups/{created['id']}").status_code == 404
    assert server.ask("DELETE", f"/v1/agents/{lead['id']}").status_code == 200
