"""Messages: what an echo model leaves in an agent, in its list of messages and in its agent file."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.conformance.server_under_test import Server
from tests.standin import StandIn


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


def _events(server: Server, path: str, sent: Any, **body: Any) -> list[dict[str, Any]]:
    """The events of a stream."""
    messages = [{"role": "user", "content": sent}] if isinstance(sent, str) else sent
    answer = server.ask("POST", path, {"messages": messages, "streaming": True, **body})
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def _told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Type and text of the events, without the ping at the beginning."""
    assert events[0]["message_type"] == "ping"
    assert events[0]["run_id"].startswith("run-")
    keys = ("content", "reasoning", "stop_reason", "tool_return")
    return [
        (each["message_type"], next((each[key] for key in keys if key in each), ""))
        for each in events[1:]
        if each["message_type"] != "ping"
    ]


def test_a_stream_has_each_message_or_its_pieces(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    talk = server.ask("POST", "/v1/conversations/", {"summary": "t"}, params={"agent_id": agent["id"]}).json()
    for path in (f"/v1/agents/{agent['id']}/messages/stream", f"/v1/conversations/{talk['id']}/messages"):
        whole = _told(_events(server, path, "think: hm\nHello you", stream_tokens=False))
        assert whole == [
            ("reasoning_message", "hm"),
            ("assistant_message", "Hello you"),
            ("stop_reason", "end_turn"),
            ("usage_statistics", ""),
        ]
        pieces = _told(_events(server, path, "think: hm\nHello you", stream_tokens=True))
        assert [text for kind, text in pieces if kind == "assistant_message"] == ["Hello ", "you"]


def test_a_failed_turn_ends_with_its_reason_and_an_error(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    path = f"/v1/agents/{agent['id']}"
    *_, stopped, error = _events(server, f"{path}/messages/stream", "fail: 500", stream_tokens=True)
    assert (stopped["stop_reason"], error["message_type"]) == ("llm_api_error", "error_message")
    assert error["message"] == "An error occurred with the LLM request."
    run = server.get(f"/v1/runs/{error['run_id']}")
    assert (run["status"], run["stop_reason"]) == ("failed", "llm_api_error")
    assert run["metadata"]["error"]["message"] == error["message"]


def test_a_tool_that_needs_approval(server: Server) -> None:
    tool = server.tool(default_requires_approval=True)
    agent = server.agent(include_base_tools=False, tool_ids=[tool["id"]])
    path = f"/v1/agents/{agent['id']}"
    text = f'call {tool["name"]} {{"word": "x"}}'
    *_, asked, stopped, _ = _events(server, f"{path}/messages/stream", text)
    assert (asked["message_type"], stopped["stop_reason"]) == ("approval_request_message", "requires_approval")
    (call,) = asked["tool_calls"]
    assert (call["name"], json.loads(call["arguments"])) == (tool["name"], {"word": "x"})
    pending = server.get(path, include="agent.pending_approval")["pending_approval"]
    assert pending["tool_calls"] == [call]
    *_, stopped, error = _events(server, f"{path}/messages/stream", "Hello")
    assert (stopped["stop_reason"], error["error_type"]) == ("error", "internal_error")
    answer = {"type": "approval", "tool_call_id": call["tool_call_id"], "approve": False, "reason": "no"}
    events = _events(server, f"{path}/messages/stream", [{"type": "approval", "approvals": [answer]}])
    assert ("stop_reason", "end_turn") in _told(events)
    assert server.get(path, include="agent.pending_approval")["pending_approval"] is None


def test_a_run_in_the_background_is_read_afterwards(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    said = {"messages": [{"role": "user", "content": "Hello"}]}
    begun = server.ask("POST", f"/v1/agents/{agent['id']}/messages/async", said).json()
    assert (begun["status"], begun["background"]) == ("created", True)
    until = time.monotonic() + 30
    while (run := server.get(f"/v1/runs/{begun['id']}"))["status"] != "completed" and time.monotonic() < until:
        time.sleep(0.2)
    assert run["stop_reason"] == "end_turn"
    found = server.get(f"/v1/runs/{begun['id']}/messages")
    assert [each["message_type"] for each in found] == ["user_message", "assistant_message"]
    assert server.get(f"/v1/runs/{begun['id']}/usage")["total_tokens"] > 0


@pytest.mark.parametrize("redis", [False, True])
def test_streams_in_the_background_need_redis(redis: bool, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "has_redis", redis)
    agent = server.agent(include_base_tools=False)
    path, text = f"/v1/agents/{agent['id']}/messages/stream", "write: 5 words"
    body = {"messages": [{"role": "user", "content": text}], "streaming": True, "background": True}
    answer = server.ask("POST", path, body)
    if answer.status_code == 503:
        assert "requires Redis" in answer.text
        (run,) = server.get("/v1/runs/", agent_id=agent["id"])
        assert (run["status"], run["background"]) == ("failed", True)
        assert server.ask("POST", f"/v1/runs/{run['id']}/stream", {"starting_after": 0}).status_code == 503
        return
    events = _events(server, path, text, background=True, stream_tokens=True)
    run = events[0]["run_id"]
    numbers = [each["seq_id"] for each in events if each.get("content")]
    rest = server.ask("POST", f"/v1/runs/{run}/stream", {"starting_after": numbers[2]}).text.splitlines()
    again = [json.loads(line[6:]) for line in rest if line.startswith("data: {")]
    assert [each["content"] for each in again if each.get("content")] == ["4 ", "5"]


def test_pages_of_the_newest_messages_and_runs(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    path = f"/v1/agents/{agent['id']}"
    talk = server.ask("POST", "/v1/conversations/", {"summary": "t"}, params={"agent_id": agent["id"]}).json()
    for text in "ABC":
        _say(server, path, text)
        _say(server, f"/v1/conversations/{talk['id']}", text)

    def texts(path: str, **params: Any) -> list[tuple[str, str]]:
        found = server.get(f"{path}/messages", order="desc", **params)
        return [(each["message_type"][:4], each["content"]) for each in found]

    only = {"conversation_id": "default", "limit": 3}
    assert texts(path, **only) == [("assi", "B"), ("user", "C"), ("assi", "C")]
    ids = [each["id"] for each in server.get(f"{path}/messages", order="desc", **only)]
    assert texts(path, **only, before=ids[0]) == [("user", "A"), ("assi", "A"), ("user", "B")]
    there = f"/v1/conversations/{talk['id']}"
    assert texts(there, limit=3) == [("assi", "C"), ("user", "C"), ("assi", "B")]
    last = server.get(f"{there}/messages", order="desc", limit=3)[-1]["id"]
    assert texts(there, limit=2, before=last) == [("user", "B"), ("assi", "A")]
    runs = server.get("/v1/runs/", agent_id=agent["id"], limit=4)
    older = server.get("/v1/runs/", agent_id=agent["id"], limit=4, before=runs[-1]["id"])
    assert [each["created_at"] for each in (*runs, *older)] == sorted(
        (each["created_at"] for each in (*runs, *older)), reverse=True
    )
    assert len({each["id"] for each in (*runs, *older)}) == 6


def test_a_reset_empties_the_context_and_keeps_the_list(server: Server) -> None:
    agent = server.agent(include_base_tools=False)
    path = f"/v1/agents/{agent['id']}"
    for text in "ABCD":
        _say(server, path, text)
    packed = server.ask("POST", "/v1/conversations/default/compact", {"agent_id": agent["id"]}).json()
    assert packed["num_messages_before"] > packed["num_messages_after"]
    assert server.ask("PATCH", f"{path}/reset-messages", {}).status_code == 200
    assert len(server.get(path)["message_ids"]) == 1
    assert ("user", "A") in _list(server, path)
    refused = server.ask("POST", "/v1/conversations/default/compact", {"agent_id": agent["id"]})
    assert refused.status_code == 400


def test_an_unknown_run(server: Server) -> None:
    assert server.ask("GET", "/v1/runs/run-00000000-0000-4000-8000-000000000000").status_code == 404
