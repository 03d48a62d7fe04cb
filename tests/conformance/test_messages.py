"""Messages: what an echo model leaves in an agent, in its list of messages and in its agent file."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.server_under_test import Server


def _say(server: Server, path: str, text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}], "streaming": False}
    assert server.ask("POST", f"{path}/messages", body).status_code == 200


def _list(server: Server, path: str, **params: Any) -> list[tuple[str, str]]:
    found = server.get(f"{path}/messages", order="asc", **params)
    return [(each["message_type"].removesuffix("_message"), each["content"]) for each in found]


def test_messages_are_in_the_context_the_list_and_the_file(server: Server) -> None:
    agent = server.agent(include_base_tools=False, system="Be kind.")
    path = f"/v1/agents/{agent['id']}"
    _say(server, path, "Hello.")
    (prompt, first), *said = _list(server, path)
    assert (prompt, first.startswith("Be kind.")) == ("system", True)
    assert said == [("user", "Hello."), ("assistant", "Hello.")]
    now = server.get(path)
    ids = [each["id"] for each in server.get(f"{path}/messages", order="asc")]
    assert now["message_ids"] == ids
    assert (now["last_stop_reason"], now["message_ids"][:1]) == ("end_turn", agent["message_ids"])
    (exported,) = server.get(f"{path}/export")["agents"]
    assert [each["role"] for each in exported["messages"]] == ["system", "user", "assistant"]
    assert exported["in_context_message_ids"] == [each["id"] for each in exported["messages"]]
    assert exported["messages"][1]["content"][0]["text"] == "Hello."


def test_a_conversation_has_its_own_messages_and_its_agent_lists_them(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    path = f"/v1/agents/{agent['id']}"
    talk = server.ask("POST", "/v1/conversations/", {"summary": "t"}, params={"agent_id": agent["id"]}).json()
    _say(server, f"/v1/conversations/{talk['id']}", "In the thread.")
    assert _list(server, f"/v1/conversations/{talk['id']}")[1:] == [
        ("user", "In the thread."),
        ("assistant", "In the thread."),
    ]
    assert ("user", "In the thread.") in _list(server, path)
    assert server.get(path)["message_ids"] == agent["message_ids"]
    file = server.get(f"{path}/export", conversation_id=talk["id"])
    assert "In the thread." in json.dumps(file)
    assert "In the thread." not in json.dumps(server.get(f"{path}/export"))


def test_messages_outside_the_context_are_in_the_list_and_not_in_the_file(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    path = f"/v1/agents/{agent['id']}"
    for text in ("First.", "Second."):
        _say(server, path, text)
    file = server.get(f"{path}/export")
    file["agents"][0]["in_context_message_ids"] = ["message-0", "message-3", "message-4"]
    answer = server.ask("POST", "/v1/agents/import", files={"file": ("a.af", json.dumps(file))})
    (id,) = answer.json()["agent_ids"]  # an import keeps all messages of the file, and their context
    assert [text for kind, text in _list(server, f"/v1/agents/{id}") if kind == "user"] == ["First.", "Second."]
    assert len(server.get(f"/v1/agents/{id}")["message_ids"]) == 3
    again = json.dumps(server.get(f"/v1/agents/{id}/export"))
    assert ("First." in again, "Second." in again) == (False, True)
