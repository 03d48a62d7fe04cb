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


def test_what_a_manager_must_say(server: Face) -> None:
    one = server.agent(tags=["t"])
    told = {"description": server.tag, "agent_ids": [one["id"]]}

    def refused(config: Any) -> tuple[int, Any]:
        return refusal(server.ask("POST", "/v1/groups/", {**told, "manager_config": config}))

    at = "'body', 'manager_config'"
    for kind in ("supervisor", "dynamic", "sleeptime"):
        assert refused({"manager_type": kind}) == (422, [("missing", f"{at}, '{kind}', 'manager_agent_id'")])
    assert refused({}) == (422, [("union_tag_not_found", at)])
    assert refused(None) == (422, [("model_attributes_type", at)])
    assert refused({"manager_type": "swarm"}) == (422, [("union_tag_invalid", at)])
    config = {"manager_type": "supervisor", "manager_agent_id": "x"}
    assert refused(config) == (422, [("string_too_short", f"{at}, 'supervisor', 'manager_agent_id'")])
    status, said = refused({"manager_type": "supervisor", "manager_agent_id": nobody("agent")})
    assert (status, said.splitlines()[-1]) == (
        409,
        'DETAIL:  Key (manager_agent_id)=(<agent>) is not present in table "agents".',
    )


def test_what_a_manager_keeps(server: Face) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    made = make(server, [one], manager_type="round_robin", max_turns=7, manager_agent_id=lead["id"], nonsense=1)
    assert (made["max_turns"], made["manager_agent_id"]) == (7, None)
    made = make(server, [one], manager_type="round_robin", termination_token="OVER")
    assert made["termination_token"] is None
    told = {"manager_type": "supervisor", "manager_agent_id": lead["id"], "max_turns": 7, "termination_token": "OVER"}
    made = make(server, [one], **told)
    assert (made["max_turns"], made["termination_token"], made["manager_agent_id"]) == (None, None, lead["id"])
    made = make(server, [], manager_type="dynamic", manager_agent_id=lead["id"], termination_token=None, max_turns=0)
    assert (made["agent_ids"], made["termination_token"], made["max_turns"]) == ([], None, 0)
    made = make(server, [one], manager_type="sleeptime", manager_agent_id=lead["id"])
    assert (made["sleeptime_agent_frequency"], made["turns_counter"]) == (None, None)
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": 3}
    now = server.made("PATCH", f"/v1/groups/{made['id']}", {"manager_config": config})
    assert (now["sleeptime_agent_frequency"], now["turns_counter"]) == (3, -1)


def test_a_manager_shows_its_first_group(server: Face) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    first = make(server, [one], manager_type="supervisor", manager_agent_id=lead["id"])
    make(server, [one], manager_type="dynamic", manager_agent_id=lead["id"])
    shown = server.again(lead)
    assert shown["managed_group"] == shown["multi_agent_group"] == first
    assert server.again(lead, include="agent.tags")["managed_group"] is None
    assert server.again(lead, include="agent.managed_group")["managed_group"] == first
    listed = server.get("/v1/agents/", name=server.tag, include="agent.managed_group")
    assert {agent["id"]: agent["managed_group"] for agent in listed} == {lead["id"]: first, one["id"]: None}


def test_patch_clears_nothing(server: Face) -> None:
    one, lead = server.agent(tags=["t"]), server.agent(tags=["t"])
    made = make(server, [one], manager_type="supervisor", manager_agent_id=lead["id"])
    path = f"/v1/groups/{made['id']}"
    told = {"agent_ids": [], "description": "", "project_id": "p", "shared_block_ids": [], "hidden": True}
    assert server.made("PATCH", path, told | {"manager_config": None}) == made
    answer = server.ask("PATCH", path, {"manager_config": {"manager_type": "supervisor"}})
    place = "'body', 'manager_config', 'supervisor', 'manager_agent_id'"
    assert refusal(answer) == (422, [("missing", place)])
    config = {"manager_type": "supervisor", "manager_agent_id": None}
    assert server.made("PATCH", path, {"manager_config": config}) == made
    now = server.made("PATCH", path, {"manager_config": {**config, "manager_agent_id": one["id"]}})
    assert now["manager_agent_id"] == one["id"]
    assert server.again(lead)["managed_group"] is None


def test_neither_project_nor_hidden(server: Face) -> None:
    told = {"description": server.tag, "agent_ids": [], "project_id": "p", "hidden": True}
    made = server.made("POST", "/v1/groups/", told)
    assert (made["project_id"], made["hidden"]) == (None, None)
    assert made in server.get("/v1/groups/", limit=0)
    assert made not in server.get("/v1/groups/", limit=0, project_id="p")
    answer = server.ask("GET", "/v1/groups/", params={"manager_type": "nonsense"})
    assert refusal(answer) == (422, [("enum", "'query', 'manager_type'")])


def test_twice_the_same_member(server: Face) -> None:
    one, lead = server.agent(tags=["t"]), server.agent(name=f"{server.tag}-lead", tags=["t"])
    told: dict[str, Any] = {"description": server.tag, "agent_ids": [one["id"]] * 2}
    assert refusal(server.ask("POST", "/v1/groups/", told)) == (404, "Items not found in agents: set()")
    told["manager_config"] = {"manager_type": "dynamic", "manager_agent_id": lead["id"]}
    assert refusal(server.ask("POST", "/v1/groups/", told)) == (400, "Duplicate agent ids found in list")
    told["agent_ids"] = [one["id"], server.agent(tags=["t"])["id"]]
    said = "Duplicate agent names found in the provided agent IDs."
    assert refusal(server.ask("POST", "/v1/groups/", told)) == (400, said)


def test_shared_blocks_are_attached_and_not_shown(server: Face) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    block, other = server.block(), server.block()
    config = {"manager_type": "supervisor", "manager_agent_id": lead["id"]}
    told = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    made = server.made("POST", "/v1/groups/", told | {"shared_block_ids": [block["id"], nobody("block")]})
    assert made["shared_block_ids"] == []
    for agent in (lead, one):
        assert [each["id"] for each in server.again(agent)["blocks"]] == [block["id"]]
    for again, constraint in ((block, "blocks_agents_pkey"), (other, "unique_label_per_agent")):
        status, said = refusal(server.ask("POST", "/v1/groups/", told | {"shared_block_ids": [again["id"]]}))
        assert status == 409
        assert constraint in said
    server.made("DELETE", f"/v1/groups/{made['id']}")
    assert [each["id"] for each in server.again(one)["blocks"]] == [block["id"]]


def test_a_dead_member_stays(server: Face) -> None:
    one, two = server.agent(tags=["t"]), server.agent(tags=["t"])
    path = f"/v1/groups/{make(server, [one, two])['id']}"
    server.made("DELETE", f"/v1/agents/{two['id']}")
    assert server.get(path)["agent_ids"] == [one["id"], two["id"]]
    assert server.made("PATCH", path, {"description": "d"})["agent_ids"] == [one["id"], two["id"]]


def test_a_manager_cannot_die_before_its_group(server: Face) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    made = make(server, [one], manager_type="supervisor", manager_agent_id=lead["id"])
    assert server.ask("DELETE", f"/v1/agents/{lead['id']}").status_code == 409
    said = {"message": f"Group id={made['id']} successfully deleted"}
    assert server.made("DELETE", f"/v1/groups/{made['id']}") == said
    assert server.ask("DELETE", f"/v1/groups/{made['id']}").status_code == 404
    assert server.ask("DELETE", f"/v1/agents/{lead['id']}").status_code == 200
