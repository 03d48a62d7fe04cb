"""Conversations: fields, isolated blocks, and what is deleted with them."""

from __future__ import annotations

from typing import Any

from tests.conformance.server_under_test import Server, refusal, unknown_id


def create(server: Server, agent: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return dict(server.call("POST", "/v1/conversations/", fields, params={"agent_id": agent["id"]}))


def refused(server: Server, agent: dict[str, Any], **fields: Any) -> tuple[int, Any]:
    return refusal(server.ask("POST", "/v1/conversations/", fields, params={"agent_id": agent["id"]}))


def test_create_sets_defaults(server: Server) -> None:
    agent = server.agent(tags=["t"])
    created = dict(server.call("POST", "/v1/conversations/", params={"agent_id": agent["id"]}))
    passing = ("id", "created_at", "updated_at")
    assert {key: value for key, value in created.items() if key not in passing} == {
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
    assert server.get("/v1/conversations/", agent_id=agent["id"]) == [created]
    shown = server.get(f"/v1/conversations/{created['id']}")
    assert len(shown["in_context_message_ids"]) == 1  # only in this answer
    assert {**shown, "in_context_message_ids": []} == created


def test_conversation_has_its_own_model(server: Server) -> None:
    agent = server.agent(tags=["t"])
    created = create(server, agent, model="no/such", model_settings={"provider_type": "openai", "temperature": 0.2})
    assert created["model"] == "no/such"
    assert created["model_settings"] == {
        "max_output_tokens": 4096,
        "parallel_tool_calls": True,
        "provider_type": "openai",
        "temperature": 0.2,
        "reasoning": {"reasoning_effort": "high"},
        "response_format": None,
        "strict": True,
    }
    message = "INVALID_ARGUMENT: The model handle should be in the format provider/model-name"
    assert refused(server, agent, model="x") == (400, message)
    assert refused(server, agent, model_settings={}) == (422, [("union_tag_not_found", "'body', 'model_settings'")])
    assert refused(server, agent, summary=1) == (422, [("string_type", "'body', 'summary'")])


def test_list_filters_by_agent(server: Server) -> None:
    assert refusal(server.ask("POST", "/v1/conversations/", {})) == (422, [("missing", "'query', 'agent_id'")])
    assert refused(server, {"id": unknown_id("agent")}) == (404, "Agent not found")
    assert server.get("/v1/conversations/", agent_id=unknown_id("agent")) == []


def test_list_pages_and_orders(server: Server) -> None:
    agent = server.agent(tags=["t"])
    one, two, three = (create(server, agent, summary=f"{word} of it")["id"] for word in ("one", "two", "three"))

    def ids(**params: Any) -> list[str]:
        return [each["id"] for each in server.get("/v1/conversations/", agent_id=agent["id"], **params)]

    assert ids() == [three, two, one]
    assert ids(order="asc", limit=2) == [one, two]
    assert ids(order="asc", after=one, limit=1) == [two]
    assert ids(limit=0) == []
    assert ids(summary_search="two o") == [two]
    assert ids(summary_search="TWO") == []
    server.call("DELETE", f"/v1/conversations/{one}")
    assert ids(order="asc", after=one) == [two, three]
    answer = server.ask("GET", "/v1/conversations/", params={"after": unknown_id("conv")})
    assert refusal(answer) == (404, "Conversation not found with id='['<conv>']', access level in ['read']")


def test_patch_updates_summary_and_model(server: Server) -> None:
    path = f"/v1/conversations/{create(server, server.agent(tags=['t']), summary='one')['id']}"
    assert server.call("PATCH", path, {"summary": None, "nonsense": 1})["summary"] == "one"
    now = server.call("PATCH", path, {"summary": "", "model": "no/such"})
    assert (now["summary"], now["model"], now["in_context_message_ids"]) == ("", "no/such", [])
    assert server.call("PATCH", path, {"model_settings": {"provider_type": "openai"}})["model_settings"]
    message = "INVALID_ARGUMENT: The model handle should be in the format provider/model-name"
    assert refusal(server.ask("PATCH", path, {"model": "x"})) == (400, message)


def test_isolated_blocks_are_copies(server: Server) -> None:
    fields = {"label": server.tag, "value": "v", "description": "D", "limit": 4000, "read_only": True}
    block = server.block(**fields, metadata={"a": 1}, tags=[server.tag])
    agent = server.agent(tags=["t"], block_ids=[block["id"]])
    created = create(server, agent, isolated_block_labels=[server.tag])
    (own,) = created["isolated_block_ids"]
    assert own != block["id"]
    assert server.get(f"/v1/blocks/{own}") == {**server.get(f"/v1/blocks/{block['id']}"), "id": own, "tags": []}
    assert [each["id"] for each in server.read_agent(agent)["blocks"]] == [block["id"]]
    path = f"/v1/conversations/{created['id']}"
    server.call("PATCH", path, {"isolated_block_labels": []})  # does not change afterwards
    assert server.get(path)["isolated_block_ids"] == [own]
    server.call("DELETE", f"/v1/blocks/{own}")
    assert server.get(path)["isolated_block_ids"] == []


def test_create_with_unknown_label_fails_and_leaves_conversation(server: Server) -> None:
    agent = server.agent(tags=["t"], block_ids=[server.block()["id"]])
    message = "INVALID_ARGUMENT: Block with label 'none' not found on agent '<agent>'"
    assert refused(server, agent, isolated_block_labels=[server.tag, "none"]) == (400, message)
    status, detail = refused(server, agent, isolated_block_labels=[server.tag] * 2)
    assert status == 409
    assert f"Key (conversation_id, block_label)=(<conv>, {server.tag}) already exists." in detail
    left = server.get("/v1/conversations/", agent_id=agent["id"], order="asc")
    assert [len(each["isolated_block_ids"]) for each in left] == [0, 1]
    blocks = server.get("/v1/blocks/", label=server.tag)
    assert len(blocks) == 4
    path = f"/v1/conversations/{left[0]['id']}"
    assert server.get(path)["in_context_message_ids"] == server.get(f"{path}/messages") == []
    message = "No in-context messages found for this conversation."
    assert refusal(server.ask("POST", f"{path}/recompile")) == (400, message)
    for block in blocks:
        server.call("DELETE", f"/v1/blocks/{block['id']}")


def test_recompile_uses_blocks_of_agent(server: Server) -> None:
    block = server.block(value="one")
    agent = server.agent(tags=["t"], block_ids=[block["id"]])
    created = create(server, agent, isolated_block_labels=[server.tag])
    server.call("PATCH", f"/v1/blocks/{block['id']}", {"value": "of the agent"})
    server.call("PATCH", f"/v1/blocks/{created['isolated_block_ids'][0]}", {"value": "of its own"})
    path = f"/v1/conversations/{created['id']}/recompile"
    for params in ({"dry_run": True}, {}):
        text = server.call("POST", path, params=params)
        assert "of the agent" in text
        assert "of its own" not in text


def _prompt(server: Server, conversation: dict[str, Any]) -> str:
    (message,) = server.get(f"/v1/conversations/{conversation['id']}/messages")
    assert message["message_type"] == "system_message"
    return str(message["content"])


def test_conversation_keeps_the_prompt_of_its_creation_until_it_is_recompiled(server: Server) -> None:
    block = server.block(value="FIRST-VALUE")
    agent = server.agent(tags=["t"], block_ids=[block["id"]], system="FIRST-SYSTEM")
    path, attached = f"/v1/agents/{agent['id']}", server.block(label=f"{server.tag}-b", value="ATTACHED")
    server.patch(agent, system="SECOND-SYSTEM")
    server.call("PATCH", f"{path}/core-memory/blocks/attach/{attached['id']}")
    # compiled anew at its creation: the agent's own prompt is still the first one
    created = _prompt(server, conversation := create(server, agent))
    assert all(word in created for word in ("SECOND-SYSTEM", "FIRST-VALUE", "ATTACHED"))
    server.call("PATCH", f"/v1/blocks/{block['id']}", {"value": "SECOND-VALUE"})
    server.patch(agent, system="THIRD-SYSTEM")
    server.call("POST", f"{path}/recompile")
    server.call("POST", f"/v1/conversations/{conversation['id']}/recompile", params={"dry_run": True})
    assert _prompt(server, conversation) == created
    server.call("POST", f"/v1/conversations/{conversation['id']}/recompile")
    now = _prompt(server, conversation)
    assert all(word in now for word in ("THIRD-SYSTEM", "SECOND-VALUE", "ATTACHED"))
    assert server.get(f"/v1/conversations/{conversation['id']}/messages", limit=0) == []


def test_own_block_of_conversation_is_not_in_its_prompt_after_recompile(server: Server) -> None:
    block = server.block(value="of the agent")
    agent = server.agent(tags=["t"], block_ids=[block["id"]])
    conversation = create(server, agent, isolated_block_labels=[server.tag])
    server.call("PATCH", f"/v1/blocks/{conversation['isolated_block_ids'][0]}", {"value": "of its own"})
    assert "of the agent" in _prompt(server, conversation)  # the value that was copied: no write reaches a conversation
    server.call("PATCH", f"/v1/blocks/{block['id']}", {"value": "rewritten"})
    server.call("POST", f"/v1/conversations/{conversation['id']}/recompile")
    assert "rewritten" in _prompt(server, conversation)


def test_messages_of_deleted_or_unknown_conversation_are_an_empty_list(server: Server) -> None:
    conversation = create(server, server.agent(tags=["t"]))
    server.call("DELETE", f"/v1/conversations/{conversation['id']}")
    for id in (conversation["id"], unknown_id("conv")):
        assert server.get(f"/v1/conversations/{id}/messages") == []


def test_delete_removes_conversation_and_isolated_blocks(server: Server) -> None:
    agent = server.agent(tags=["t"], block_ids=[server.block()["id"]])
    created = create(server, agent, isolated_block_labels=[server.tag])
    path = f"/v1/conversations/{created['id']}"
    assert server.call("DELETE", path) is None
    message = "Conversation not found with id='['<conv>']', access level in ['read']"
    for method, more in (("GET", ""), ("DELETE", ""), ("POST", "/recompile")):
        assert refusal(server.ask(method, path + more)) == (404, message)
    assert refusal(server.ask("PATCH", path, {})) == (404, message)
    assert server.get("/v1/conversations/", agent_id=agent["id"]) == []
    assert server.ask("GET", f"/v1/blocks/{created['isolated_block_ids'][0]}").status_code == 404
    answer = server.ask("GET", "/v1/conversations/nonsense")
    assert refusal(answer) == (422, [("string_too_short", "'path', 'conversation_id'")])


def test_agent_delete_removes_conversation_and_leaves_isolated_blocks(server: Server) -> None:
    agent = server.agent(tags=["t"], block_ids=[server.block()["id"]])
    created = create(server, agent, isolated_block_labels=[server.tag])
    server.call("DELETE", f"/v1/agents/{agent['id']}")
    assert server.ask("GET", f"/v1/conversations/{created['id']}").status_code == 404
    assert (
        server.ask("GET", f"/v1/blocks/{created['isolated_block_ids'][0]}").status_code == 200
    )  # attached to no agent


def _context(server: Server, conversation: dict[str, Any]) -> list[str]:
    return list(server.get(f"/v1/conversations/{conversation['id']}")["in_context_message_ids"])


def _say(server: Server, path: str, text: str) -> None:
    said = {"messages": [{"role": "user", "content": text}], "streaming": False}
    assert server.ask("POST", f"{path}/messages", said).status_code == 200


def _texts(server: Server, path: str) -> list[str]:
    found = server.get(f"{path}/messages", order="asc")
    return [each["content"] for each in found if each["message_type"] != "system_message"]


def test_fork_of_an_agent_shares_the_messages_in_its_context(server: Server) -> None:
    agent = server.agent(include_base_tools=False, memory_blocks=[{"label": "l", "value": "v"}])
    path = f"/v1/agents/{agent['id']}"
    for text in ("First.", "Second."):
        _say(server, path, text)
    prompt, *ids = server.get(path)["message_ids"]
    # any ids are accepted as a context, and the fork leaves out the first one
    server.patch(agent, message_ids=[prompt, *ids[2:]])
    forked = server.call("POST", "/v1/conversations/default/fork", params={"agent_id": agent["id"]})
    server.patch(agent, message_ids=[prompt, *ids[:2]])
    assert (forked["summary"], forked["model"], forked["isolated_block_ids"]) == (None, None, [])
    own, *shared = _context(server, forked)
    assert own not in (prompt, *ids)
    assert shared == ids[2:]
    assert _texts(server, f"/v1/conversations/{forked['id']}") == ["Second."] * 2
    assert _texts(server, path) == ["First."] * 2 + ["Second."] * 2
    _say(server, f"/v1/conversations/{forked['id']}", "Third.")
    assert _texts(server, f"/v1/conversations/{forked['id']}") == ["Second."] * 2 + ["Third."] * 2
    server.call("DELETE", f"/v1/conversations/{forked['id']}")  # with its own messages, and not those of the agent
    assert _texts(server, path) == ["First."] * 2 + ["Second."] * 2


def test_fork_of_a_conversation_has_its_messages_and_no_isolated_blocks(server: Server) -> None:
    agent = server.agent(include_base_tools=False, memory_blocks=[{"label": "l", "value": "v"}])
    conversation = create(server, agent, summary="s", model="no/such", isolated_block_labels=["l"])
    server.call("PATCH", f"/v1/conversations/{conversation['id']}", {"model": "openai-proxy/echo"})
    _say(server, f"/v1/conversations/{conversation['id']}", "Hello.")
    forked = server.call("POST", f"/v1/conversations/{conversation['id']}/fork")
    assert (forked["summary"], forked["model"]) == (None, "openai-proxy/echo")
    assert forked["isolated_block_ids"] == []
    assert _context(server, forked)[1:] == _context(server, conversation)[1:]
    server.call("DELETE", f"/v1/conversations/{conversation['id']}")
    assert _texts(server, f"/v1/conversations/{forked['id']}") == ["Hello."] * 2
    for id in conversation["isolated_block_ids"]:
        assert server.ask("GET", f"/v1/blocks/{id}").status_code == 404


def test_fork_is_refused_without_an_agent_and_of_messages_that_do_not_exist(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    path = "/v1/conversations/default/fork"
    message = "Conversation not found with id='['default']', access level in ['read']"
    assert refusal(server.ask("POST", path)) == (404, message)
    assert server.ask("POST", path, params={"agent_id": unknown_id("agent")}).status_code == 404
    server.patch(agent, message_ids=[*agent["message_ids"], unknown_id("message")])
    status, detail = refusal(server.ask("POST", path, params={"agent_id": agent["id"]}))
    assert (status, "conversation_messages_message_id_fkey" in detail) == (409, True)
    assert server.get("/v1/conversations/", agent_id=agent["id"]) == []
    answer = server.ask("PATCH", f"/v1/agents/{agent['id']}", {"message_ids": ["nonsense"]})
    assert refusal(answer) == (422, [("string_too_short", "'body', 'message_ids', 0")])
