"""Sleeptime: a second agent that keeps the memory of the first, the group of both, and who dies with whom."""

from __future__ import annotations

from typing import Any

from tests.conformance.face import Face, refusal

SLEEPER = {"memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"}


def awake(server: Face, **told: Any) -> dict[str, Any]:
    return server.agent(**{"tags": [server.tag], "embedding": server.embedding, "enable_sleeptime": True, **told})


def sleeper_of(server: Face, agent: dict[str, Any]) -> dict[str, Any]:
    (id,) = agent["managed_group"]["agent_ids"]
    return dict(server.get(f"/v1/agents/{id}"))


def labels(server: Face, agent: dict[str, Any]) -> list[str]:
    """In an order of our own: the server keeps none."""
    return sorted(block["label"] for block in server.again(agent)["blocks"])


def test_birth(server: Face) -> None:
    block = server.block(label="notes")
    inline = [{"label": "inline", "value": "v"}]
    more: dict[str, Any] = {"description": "d", "metadata": {"a": 1}, "timezone": "Europe/Berlin"}
    agent = awake(server, block_ids=[block["id"]], memory_blocks=inline, context_window_limit=20000, **more)
    assert (agent["enable_sleeptime"], agent["tools"], agent["tool_rules"]) == (True, [], [])
    group = agent["managed_group"]
    assert group == agent["multi_agent_group"] == server.get(f"/v1/groups/{group['id']}")
    assert (group["manager_type"], group["manager_agent_id"]) == ("sleeptime", agent["id"])
    assert (group["description"], group["sleeptime_agent_frequency"], group["turns_counter"]) == ("", 5, -1)
    sleeper = sleeper_of(server, agent)
    assert (sleeper["name"], sleeper["agent_type"]) == (f"{server.tag}-sleeptime", "sleeptime_agent")
    assert {tool["name"] for tool in sleeper["tools"]} == SLEEPER
    assert {rule["tool_name"] for rule in sleeper["tool_rules"]} == SLEEPER
    # in no order that could be told
    assert sorted(block["label"] for block in sleeper["blocks"]) == ["inline", "memory_persona", "notes"]
    assert {block["id"] for block in agent["blocks"]} < {block["id"] for block in sleeper["blocks"]}
    assert (sleeper["llm_config"], sleeper["embedding_config"]) == (agent["llm_config"], agent["embedding_config"])
    empty = ("description", "metadata", "hidden", "enable_sleeptime", "managed_group", "project_id")
    assert [sleeper[key] for key in empty] == [None] * len(empty)
    assert (sleeper["tags"], sleeper["timezone"]) == ([], "UTC")


def test_other_base_tools(server: Face) -> None:
    agent = awake(server, include_base_tools=True)
    names = {"archival_memory_search", "conversation_search", "send_message"}
    assert {tool["name"] for tool in agent["tools"]} == names
    assert {(rule["tool_name"], rule["type"]) for rule in agent["tool_rules"]} == {
        ("archival_memory_search", "continue_loop"),
        ("conversation_search", "continue_loop"),
        ("send_message", "exit_loop"),
    }


def test_by_patch(server: Face) -> None:
    agent = server.agent(tags=["t"], embedding=server.embedding)
    now = server.patch(agent, enable_sleeptime=True, name=f"{server.tag}-other")
    assert now["enable_sleeptime"]
    assert sleeper_of(server, now)["name"] == f"{server.tag}-sleeptime"  # the name of before
    assert server.patch(agent, enable_sleeptime=True)["managed_group"] == now["managed_group"]
    off = server.patch(agent, enable_sleeptime=False)
    assert (off["enable_sleeptime"], off["managed_group"]) == (False, now["managed_group"])
    assert (off["tools"], off["system"]) == ([], "S")


def test_without_an_embedding(server: Face) -> None:
    bare = {"name": server.tag, "model": server.model, "system": "S", "include_base_tools": False}
    answer = server.ask("POST", "/v1/agents/", bare | {"tags": [server.tag], "enable_sleeptime": True})
    assert refusal(answer) == (500, "An unknown error occurred")
    (left,) = server.get("/v1/agents/", tags=[server.tag])
    assert (left["enable_sleeptime"], left["managed_group"]) == (True, None)
    assert server.patch(left, enable_sleeptime=True)["managed_group"] is None
    assert server.patch(left, enable_sleeptime=True, embedding=server.embedding)["managed_group"] is None
    assert server.patch(left, enable_sleeptime=True)["managed_group"]


def test_a_manager_of_another_group_gets_no_sleeper(server: Face) -> None:
    lead, one = server.agent(tags=["t"], embedding=server.embedding), server.agent(tags=["t"])
    config = {"manager_type": "dynamic", "manager_agent_id": lead["id"]}
    told = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    group = server.made("POST", "/v1/groups/", told)
    now = server.patch(lead, enable_sleeptime=True)
    assert (now["enable_sleeptime"], now["managed_group"]) == (True, group)


def test_blocks_follow_an_attach_alone(server: Face) -> None:
    agent, late, later = awake(server), server.block(label="late"), server.block(label="later")
    sleeper = sleeper_of(server, agent)
    server.made("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/attach/{late['id']}")
    assert labels(server, sleeper) == ["late", "memory_persona"]
    server.patch(agent, block_ids=[later["id"]])
    assert labels(server, agent) == ["later"]
    assert labels(server, sleeper) == ["late", "memory_persona"]
    server.made("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/detach/{later['id']}")
    assert labels(server, sleeper) == ["late", "memory_persona"]


def test_a_label_that_the_sleeper_has(server: Face) -> None:
    agent, block = awake(server), server.block(label="memory_persona")
    sleeper = sleeper_of(server, agent)
    answer = server.ask("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/attach/{block['id']}")
    status, said = refusal(answer)
    assert status == 409
    assert "unique_label_per_agent" in said
    assert [each["id"] for each in server.again(agent)["blocks"]] == [block["id"]]
    assert block["id"] not in [each["id"] for each in server.again(sleeper)["blocks"]]


def test_the_sleeper_dies(server: Face) -> None:
    agent = awake(server, memory_blocks=[{"label": "notes", "value": "v"}])
    sleeper = sleeper_of(server, agent)
    server.made("DELETE", f"/v1/agents/{sleeper['id']}")
    now = server.again(agent)
    assert (now["enable_sleeptime"], now["managed_group"]) == (None, None)
    assert labels(server, agent) == ["notes"]
    assert server.ask("GET", f"/v1/groups/{agent['managed_group']['id']}").status_code == 404
    for block in sleeper["blocks"]:
        assert server.ask("GET", f"/v1/blocks/{block['id']}").status_code == 200


def test_the_first_dies(server: Face) -> None:
    agent = awake(server)
    sleeper = sleeper_of(server, agent)
    server.made("DELETE", f"/v1/agents/{agent['id']}")
    assert server.ask("GET", f"/v1/agents/{sleeper['id']}").status_code == 404
    assert server.ask("GET", f"/v1/groups/{agent['managed_group']['id']}").status_code == 404
    assert server.ask("GET", f"/v1/blocks/{sleeper['blocks'][0]['id']}").status_code == 200


def test_the_group_dies(server: Face) -> None:
    agent = awake(server)
    sleeper = sleeper_of(server, agent)
    server.made("DELETE", f"/v1/groups/{agent['managed_group']['id']}")
    now = server.again(agent)
    assert (now["enable_sleeptime"], now["managed_group"]) == (True, None)
    second = sleeper_of(server, server.patch(agent, enable_sleeptime=True))
    assert second["id"] != sleeper["id"]
    server.made("DELETE", f"/v1/agents/{sleeper['id']}")
    assert server.again(agent)["managed_group"]["agent_ids"] == [second["id"]]


def test_a_first_that_manages_more_loses_its_group_and_lives(server: Face) -> None:
    agent, one = awake(server), server.agent(tags=["t"])
    config = {"manager_type": "dynamic", "manager_agent_id": agent["id"]}
    told = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    other = server.made("POST", "/v1/groups/", told)
    assert server.ask("DELETE", f"/v1/agents/{agent['id']}").status_code == 409
    now = server.again(agent)
    assert (now["enable_sleeptime"], now["managed_group"]) == (True, other)
    assert server.ask("GET", f"/v1/agents/{sleeper_of(server, agent)['id']}").status_code == 200


def test_any_member_of_such_a_group_dies_with_its_manager(server: Face) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    config = {"manager_type": "sleeptime", "manager_agent_id": lead["id"]}
    told = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    group = server.made("POST", "/v1/groups/", told)
    block = server.block()
    server.made("PATCH", f"/v1/agents/{lead['id']}/core-memory/blocks/attach/{block['id']}")
    assert labels(server, one) == []
    server.made("DELETE", f"/v1/agents/{lead['id']}")
    assert server.ask("GET", f"/v1/agents/{one['id']}").status_code == 404
    assert server.ask("GET", f"/v1/groups/{group['id']}").status_code == 404
