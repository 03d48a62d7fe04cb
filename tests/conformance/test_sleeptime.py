"""Sleeptime: the agent and the group that the server creates along with an agent, and what is deleted with them."""

from __future__ import annotations

from typing import Any

from tests.conformance.server_under_test import Server, refusal

SLEEPER = {"memory_insert", "memory_replace", "memory_rethink", "memory_finish_edits"}


def create_with_sleeptime(server: Server, **fields: Any) -> dict[str, Any]:
    return server.agent(**{"tags": [server.tag], "embedding": server.embedding, "enable_sleeptime": True, **fields})


def sleeptime_agent_of(server: Server, agent: dict[str, Any]) -> dict[str, Any]:
    (id,) = agent["managed_group"]["agent_ids"]
    return dict(server.get(f"/v1/agents/{id}"))


def labels(server: Server, agent: dict[str, Any]) -> list[str]:
    """Sorted: the server keeps no order."""
    return sorted(block["label"] for block in server.read_agent(agent)["blocks"])


def test_create_adds_sleeptime_agent_and_group(server: Server) -> None:
    block = server.block(label="notes")
    inline = [{"label": "inline", "value": "v"}]
    more: dict[str, Any] = {"description": "d", "metadata": {"a": 1}, "timezone": "Europe/Berlin"}
    agent = create_with_sleeptime(
        server, block_ids=[block["id"]], memory_blocks=inline, context_window_limit=20000, **more
    )
    assert (agent["enable_sleeptime"], agent["tools"], agent["tool_rules"]) == (True, [], [])
    group = agent["managed_group"]
    assert group == agent["multi_agent_group"] == server.get(f"/v1/groups/{group['id']}")
    assert (group["manager_type"], group["manager_agent_id"]) == ("sleeptime", agent["id"])
    assert (group["description"], group["sleeptime_agent_frequency"], group["turns_counter"]) == ("", 5, -1)
    sleeptime_agent = sleeptime_agent_of(server, agent)
    assert (sleeptime_agent["name"], sleeptime_agent["agent_type"]) == (f"{server.tag}-sleeptime", "sleeptime_agent")
    assert {tool["name"] for tool in sleeptime_agent["tools"]} == SLEEPER
    assert {rule["tool_name"] for rule in sleeptime_agent["tool_rules"]} == SLEEPER
    # in no stable order
    assert sorted(block["label"] for block in sleeptime_agent["blocks"]) == ["inline", "memory_persona", "notes"]
    assert {block["id"] for block in agent["blocks"]} < {block["id"] for block in sleeptime_agent["blocks"]}
    assert (sleeptime_agent["llm_config"], sleeptime_agent["embedding_config"]) == (
        agent["llm_config"],
        agent["embedding_config"],
    )
    empty = ("description", "metadata", "hidden", "enable_sleeptime", "managed_group", "project_id")
    assert [sleeptime_agent[key] for key in empty] == [None] * len(empty)
    assert (sleeptime_agent["tags"], sleeptime_agent["timezone"]) == ([], "UTC")


def test_agent_gets_other_base_tools(server: Server) -> None:
    agent = create_with_sleeptime(server, include_base_tools=True)
    names = {"archival_memory_search", "conversation_search", "send_message"}
    assert {tool["name"] for tool in agent["tools"]} == names
    assert {(rule["tool_name"], rule["type"]) for rule in agent["tool_rules"]} == {
        ("archival_memory_search", "continue_loop"),
        ("conversation_search", "continue_loop"),
        ("send_message", "exit_loop"),
    }


def test_patch_enables_sleeptime(server: Server) -> None:
    agent = server.agent(tags=["t"], embedding=server.embedding)
    now = server.patch(agent, enable_sleeptime=True, name=f"{server.tag}-other")
    assert now["enable_sleeptime"]
    assert sleeptime_agent_of(server, now)["name"] == f"{server.tag}-sleeptime"  # the old name
    assert server.patch(agent, enable_sleeptime=True)["managed_group"] == now["managed_group"]
    off = server.patch(agent, enable_sleeptime=False)
    assert (off["enable_sleeptime"], off["managed_group"]) == (False, now["managed_group"])
    assert (off["tools"], off["system"]) == ([], "S")


def test_no_sleeptime_agent_without_embedding(server: Server) -> None:
    bare = {"name": server.tag, "model": server.model, "system": "S", "include_base_tools": False}
    answer = server.ask("POST", "/v1/agents/", bare | {"tags": [server.tag], "enable_sleeptime": True})
    assert refusal(answer) == (500, "An unknown error occurred")
    (left,) = server.get("/v1/agents/", tags=[server.tag])
    assert (left["enable_sleeptime"], left["managed_group"]) == (True, None)
    assert server.patch(left, enable_sleeptime=True)["managed_group"] is None
    assert server.patch(left, enable_sleeptime=True, embedding=server.embedding)["managed_group"] is None
    assert server.patch(left, enable_sleeptime=True)["managed_group"]


def test_manager_of_another_group_gets_no_sleeptime_agent(server: Server) -> None:
    lead, one = server.agent(tags=["t"], embedding=server.embedding), server.agent(tags=["t"])
    config = {"manager_type": "dynamic", "manager_agent_id": lead["id"]}
    body = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    group = server.call("POST", "/v1/groups/", body)
    now = server.patch(lead, enable_sleeptime=True)
    assert (now["enable_sleeptime"], now["managed_group"]) == (True, group)


def test_attach_reaches_sleeptime_agent_and_detach_does_not(server: Server) -> None:
    agent, late, later = create_with_sleeptime(server), server.block(label="late"), server.block(label="later")
    sleeptime_agent = sleeptime_agent_of(server, agent)
    server.call("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/attach/{late['id']}")
    assert labels(server, sleeptime_agent) == ["late", "memory_persona"]
    server.patch(agent, block_ids=[later["id"]])
    assert labels(server, agent) == ["later"]
    assert labels(server, sleeptime_agent) == ["late", "memory_persona"]
    server.call("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/detach/{later['id']}")
    assert labels(server, sleeptime_agent) == ["late", "memory_persona"]


def test_attach_of_label_on_sleeptime_agent_is_refused(server: Server) -> None:
    agent, block = create_with_sleeptime(server), server.block(label="memory_persona")
    sleeptime_agent = sleeptime_agent_of(server, agent)
    answer = server.ask("PATCH", f"/v1/agents/{agent['id']}/core-memory/blocks/attach/{block['id']}")
    status, message = refusal(answer)
    assert status == 409
    assert "unique_label_per_agent" in message
    assert [each["id"] for each in server.read_agent(agent)["blocks"]] == [block["id"]]
    assert block["id"] not in [each["id"] for each in server.read_agent(sleeptime_agent)["blocks"]]


def test_delete_of_sleeptime_agent(server: Server) -> None:
    agent = create_with_sleeptime(server, memory_blocks=[{"label": "notes", "value": "v"}])
    sleeptime_agent = sleeptime_agent_of(server, agent)
    server.call("DELETE", f"/v1/agents/{sleeptime_agent['id']}")
    now = server.read_agent(agent)
    assert (now["enable_sleeptime"], now["managed_group"]) == (None, None)
    assert labels(server, agent) == ["notes"]
    assert server.ask("GET", f"/v1/groups/{agent['managed_group']['id']}").status_code == 404
    for block in sleeptime_agent["blocks"]:
        assert server.ask("GET", f"/v1/blocks/{block['id']}").status_code == 200


def test_delete_of_primary_agent(server: Server) -> None:
    agent = create_with_sleeptime(server)
    sleeptime_agent = sleeptime_agent_of(server, agent)
    server.call("DELETE", f"/v1/agents/{agent['id']}")
    assert server.ask("GET", f"/v1/agents/{sleeptime_agent['id']}").status_code == 404
    assert server.ask("GET", f"/v1/groups/{agent['managed_group']['id']}").status_code == 404
    assert server.ask("GET", f"/v1/blocks/{sleeptime_agent['blocks'][0]['id']}").status_code == 200


def test_delete_of_group(server: Server) -> None:
    agent = create_with_sleeptime(server)
    sleeptime_agent = sleeptime_agent_of(server, agent)
    server.call("DELETE", f"/v1/groups/{agent['managed_group']['id']}")
    now = server.read_agent(agent)
    assert (now["enable_sleeptime"], now["managed_group"]) == (True, None)
    second = sleeptime_agent_of(server, server.patch(agent, enable_sleeptime=True))
    assert second["id"] != sleeptime_agent["id"]
    server.call("DELETE", f"/v1/agents/{sleeptime_agent['id']}")
    assert server.read_agent(agent)["managed_group"]["agent_ids"] == [second["id"]]


def test_delete_of_manager_of_two_groups_fails_and_removes_one_group(server: Server) -> None:
    agent, one = create_with_sleeptime(server), server.agent(tags=["t"])
    config = {"manager_type": "dynamic", "manager_agent_id": agent["id"]}
    body = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    other = server.call("POST", "/v1/groups/", body)
    assert server.ask("DELETE", f"/v1/agents/{agent['id']}").status_code == 409
    now = server.read_agent(agent)
    assert (now["enable_sleeptime"], now["managed_group"]) == (True, other)
    assert server.ask("GET", f"/v1/agents/{sleeptime_agent_of(server, agent)['id']}").status_code == 200


def test_delete_of_manager_deletes_every_member_of_sleeptime_group(server: Server) -> None:
    lead, one = server.agent(tags=["t"]), server.agent(tags=["t"])
    config = {"manager_type": "sleeptime", "manager_agent_id": lead["id"]}
    body = {"description": server.tag, "agent_ids": [one["id"]], "manager_config": config}
    group = server.call("POST", "/v1/groups/", body)
    block = server.block()
    server.call("PATCH", f"/v1/agents/{lead['id']}/core-memory/blocks/attach/{block['id']}")
    assert labels(server, one) == []
    server.call("DELETE", f"/v1/agents/{lead['id']}")
    assert server.ask("GET", f"/v1/agents/{one['id']}").status_code == 404
    assert server.ask("GET", f"/v1/groups/{group['id']}").status_code == 404
