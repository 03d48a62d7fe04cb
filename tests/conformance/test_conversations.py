"""Conversations: what they show, blocks of their own, and what goes with them."""

from __future__ import annotations

from typing import Any

from tests.conformance.face import Face, nobody, refusal


def make(server: Face, agent: dict[str, Any], **told: Any) -> dict[str, Any]:
    return dict(server.made("POST", "/v1/conversations/", told, params={"agent_id": agent["id"]}))


def refused(server: Face, agent: dict[str, Any], **told: Any) -> tuple[int, Any]:
    return refusal(server.ask("POST", "/v1/conversations/", told, params={"agent_id": agent["id"]}))


def test_birth(server: Face) -> None:
    agent = server.agent(tags=["t"])
    made = dict(server.made("POST", "/v1/conversations/", params={"agent_id": agent["id"]}))
    passing = ("id", "created_at", "updated_at")
    assert {key: value for key, value in made.items() if key not in passing} == {
        "agent_id": agent["id"],
        "summary": None,
        "in_context_message_ids": [],
        "isolated_block_ids": [],
        "model": None,
        "model_settings": None,
        "last_message_at": None,
        "created_by_id": "user-00000000-0000-4000-8000-000000000000",
        "last_updated_by_id": "user-00000000-0000-4000-8000-000000000000",
    }
    assert server.get("/v1/conversations/", agent_id=agent["id"]) == [made]
    shown = server.get(f"/v1/conversations/{made['id']}")
    assert len(shown["in_context_message_ids"]) == 1  # here alone
    assert {**shown, "in_context_message_ids": []} == made


def test_another_model(server: Face) -> None:
    agent = server.agent(tags=["t"])
    made = make(server, agent, model="no/such", model_settings={"provider_type": "openai", "temperature": 0.2})
    assert made["model"] == "no/such"
    assert made["model_settings"] == {
        "max_output_tokens": 4096,
        "parallel_tool_calls": True,
        "provider_type": "openai",
        "temperature": 0.2,
        "reasoning": {"reasoning_effort": "high"},
        "response_format": None,
        "strict": True,
    }
    said = "INVALID_ARGUMENT: The model handle should be in the format provider/model-name"
    assert refused(server, agent, model="x") == (400, said)
    assert refused(server, agent, model_settings={}) == (422, [("union_tag_not_found", "'body', 'model_settings'")])
    assert refused(server, agent, summary=1) == (422, [("string_type", "'body', 'summary'")])


def test_only_of_an_agent(server: Face) -> None:
    assert refusal(server.ask("POST", "/v1/conversations/", {})) == (422, [("missing", "'query', 'agent_id'")])
    assert refused(server, {"id": nobody("agent")}) == (404, "Agent not found")
    assert server.get("/v1/conversations/", agent_id=nobody("agent")) == []


def test_pages(server: Face) -> None:
    agent = server.agent(tags=["t"])
    one, two, three = (make(server, agent, summary=f"{word} of it")["id"] for word in ("one", "two", "three"))

    def ids(**params: Any) -> list[str]:
        return [each["id"] for each in server.get("/v1/conversations/", agent_id=agent["id"], **params)]

    assert ids() == [three, two, one]
    assert ids(order="asc", limit=2) == [one, two]
    assert ids(order="asc", after=one, limit=1) == [two]
    assert ids(limit=0) == []
    assert ids(summary_search="two o") == [two]
    assert ids(summary_search="TWO") == []
    server.made("DELETE", f"/v1/conversations/{one}")
    assert ids(order="asc", after=one) == [two, three]
    answer = server.ask("GET", "/v1/conversations/", params={"after": nobody("conv")})
    assert refusal(answer) == (404, "Conversation not found with id='['<conv>']', access level in ['read']")


def test_patch(server: Face) -> None:
    path = f"/v1/conversations/{make(server, server.agent(tags=['t']), summary='one')['id']}"
    assert server.made("PATCH", path, {"summary": None, "nonsense": 1})["summary"] == "one"
    now = server.made("PATCH", path, {"summary": "", "model": "no/such"})
    assert (now["summary"], now["model"], now["in_context_message_ids"]) == ("", "no/such", [])
    assert server.made("PATCH", path, {"model_settings": {"provider_type": "openai"}})["model_settings"]
    said = "INVALID_ARGUMENT: The model handle should be in the format provider/model-name"
    assert refusal(server.ask("PATCH", path, {"model": "x"})) == (400, said)


def test_isolated_blocks_are_copies(server: Face) -> None:
    told = {"label": server.tag, "value": "v", "description": "D", "limit": 4000, "read_only": True}
    block = server.block(**told, metadata={"a": 1}, tags=[server.tag])
    agent = server.agent(tags=["t"], block_ids=[block["id"]])
    made = make(server, agent, isolated_block_labels=[server.tag])
    (own,) = made["isolated_block_ids"]
    assert own != block["id"]
    assert server.get(f"/v1/blocks/{own}") == {**server.get(f"/v1/blocks/{block['id']}"), "id": own, "tags": []}
    assert [each["id"] for each in server.again(agent)["blocks"]] == [block["id"]]
    path = f"/v1/conversations/{made['id']}"
    server.made("PATCH", path, {"isolated_block_labels": []})  # not changed afterwards
    assert server.get(path)["isolated_block_ids"] == [own]
    server.made("DELETE", f"/v1/blocks/{own}")
    assert server.get(path)["isolated_block_ids"] == []


def test_a_wrong_label_leaves_a_conversation(server: Face) -> None:
    agent = server.agent(tags=["t"], block_ids=[server.block()["id"]])
    said = "INVALID_ARGUMENT: Block with label 'none' not found on agent '<agent>'"
    assert refused(server, agent, isolated_block_labels=[server.tag, "none"]) == (400, said)
    status, detail = refused(server, agent, isolated_block_labels=[server.tag] * 2)
    assert status == 409
    assert f"Key (conversation_id, block_label)=(<conv>, {server.tag}) already exists." in detail
    left = server.get("/v1/conversations/", agent_id=agent["id"], order="asc")
    assert [len(each["isolated_block_ids"]) for each in left] == [0, 1]
    blocks = server.get("/v1/blocks/", label=server.tag)
    assert len(blocks) == 4
    path = f"/v1/conversations/{left[0]['id']}"
    assert server.get(path)["in_context_message_ids"] == []
    said = "No in-context messages found for this conversation."
    assert refusal(server.ask("POST", f"{path}/recompile")) == (400, said)
    for block in blocks:
        server.made("DELETE", f"/v1/blocks/{block['id']}")


def test_recompile_shows_the_agents_blocks(server: Face) -> None:
    block = server.block(value="one")
    agent = server.agent(tags=["t"], block_ids=[block["id"]])
    made = make(server, agent, isolated_block_labels=[server.tag])
    server.made("PATCH", f"/v1/blocks/{block['id']}", {"value": "of the agent"})
    server.made("PATCH", f"/v1/blocks/{made['isolated_block_ids'][0]}", {"value": "of its own"})
    path = f"/v1/conversations/{made['id']}/recompile"
    for params in ({"dry_run": True}, {}):
        text = server.made("POST", path, params=params)
        assert "of the agent" in text
        assert "of its own" not in text


def test_delete(server: Face) -> None:
    agent = server.agent(tags=["t"], block_ids=[server.block()["id"]])
    made = make(server, agent, isolated_block_labels=[server.tag])
    path = f"/v1/conversations/{made['id']}"
    assert server.made("DELETE", path) is None
    said = "Conversation not found with id='['<conv>']', access level in ['read']"
    for method, more in (("GET", ""), ("DELETE", ""), ("POST", "/recompile")):
        assert refusal(server.ask(method, path + more)) == (404, said)
    assert refusal(server.ask("PATCH", path, {})) == (404, said)
    assert server.get("/v1/conversations/", agent_id=agent["id"]) == []
    assert server.ask("GET", f"/v1/blocks/{made['isolated_block_ids'][0]}").status_code == 404
    answer = server.ask("GET", "/v1/conversations/nonsense")
    assert refusal(answer) == (422, [("string_too_short", "'path', 'conversation_id'")])


def test_the_agent_dies(server: Face) -> None:
    agent = server.agent(tags=["t"], block_ids=[server.block()["id"]])
    made = make(server, agent, isolated_block_labels=[server.tag])
    server.made("DELETE", f"/v1/agents/{agent['id']}")
    assert server.ask("GET", f"/v1/conversations/{made['id']}").status_code == 404
    assert server.ask("GET", f"/v1/blocks/{made['isolated_block_ids'][0]}").status_code == 200  # tied to nothing
