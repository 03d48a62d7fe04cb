"""All messages of an agent in one agent file: whole ones of the contexts, and others put together of their entries."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.snapshot.messages import Thread, context_keys, rebuilt, thread, whole_history

DATE = "2026-11-27T08:00:00+00:00"


def entry(id: str, kind: str = "user", text: str = "Hello.") -> dict[str, Any]:
    return {"id": id, "date": DATE, "message_type": f"{kind}_message", "content": text}


def whole(number: int, role: str = "user", text: str = "whole") -> dict[str, Any]:
    return {"id": f"message-{number}", "role": role, "content": [{"type": "text", "text": text}], "created_at": DATE}


LISTED = [entry("p", "system"), entry("1"), entry("t", "system"), entry("2"), entry("3", "assistant"), entry("4")]
TALK = Thread([LISTED[2], LISTED[3], LISTED[4]], ("t", "3"), (whole(0, "system"), whole(1, "assistant", "of the talk")))
OWN = Thread(LISTED, ("p", "4"), (whole(0, "system"), whole(1)))


def texts(agent: dict[str, Any]) -> list[str]:
    return [each["content"][0]["text"] for each in agent["messages"]]


def test_an_agent_has_all_messages_in_their_order_and_its_own_context() -> None:
    agent, lost = whole_history({"id": "agent-0", "name": "ann"}, OWN, [TALK])
    assert lost == 0
    assert [each["role"] for each in agent["messages"]] == ["system", "user", "user", "assistant", "user"]
    assert texts(agent) == ["whole", "Hello.", "Hello.", "of the talk", "whole"]  # no prompt of the conversation
    assert [each["id"] for each in agent["messages"]] == [f"message-{number}" for number in range(5)]
    assert agent["in_context_message_ids"] == ["message-0", "message-4"]
    assert {each["agent_id"] for each in agent["messages"]} == {"agent-0"}


def test_a_message_that_no_list_shows_stays_at_its_place() -> None:
    own = Thread(LISTED, ("p", "hidden", "4"), (whole(0, "system"), whole(1, text="hidden"), whole(2)))
    agent, _ = whole_history({"id": "agent-0"}, own, [])
    assert texts(agent)[:2] == ["whole", "hidden"]
    assert agent["in_context_message_ids"] == ["message-0", "message-1", f"message-{len(agent['messages']) - 1}"]


def test_messages_of_an_unknown_type_are_counted() -> None:
    own = Thread([*LISTED, entry("5", "singing")], OWN.context, OWN.exported)
    agent, lost = whole_history({"id": "agent-0"}, own, [TALK])
    assert (len(agent["messages"]), lost) == (5, 1)


def test_a_conversation_is_found_by_the_keys_of_the_messages_in_its_context() -> None:
    (key,) = context_keys(TALK, OWN)
    assert key.startswith(f"{DATE} assistant ")
    assert (TALK.said, TALK.prompts) == (["2", "3"], {"t"})


def test_the_context_fits_the_file() -> None:
    agent = {"name": "ann", "messages": [whole(0), whole(1)], "in_context_message_ids": ["message-1", "message-0"]}
    found = thread({"agents": [agent]}, {"messages": [], "context": ["a", "b"]}, "ann")
    assert found.by_id == {"a": whole(1), "b": whole(0)}
    with pytest.raises(ValueError, match="the context has other messages"):
        thread({"agents": [agent]}, {"messages": [], "context": ["a"]}, "ann")
    with pytest.raises(ValueError, match="no agent `bob`"):
        thread({"agents": [agent]}, {"messages": [], "context": []}, "bob")


def test_thoughts_texts_and_calls_of_a_message_are_put_together() -> None:
    call = {"name": "send_message", "arguments": "{}", "tool_call_id": "call-1"}
    message = rebuilt(
        [
            {**entry("1", "reasoning"), "source": "reasoner_model", "reasoning": "Hm.", "signature": "s"},
            {**entry("1", "hidden_reasoning"), "state": "redacted", "hidden_reasoning": "x"},
            {**entry("1", "hidden_reasoning"), "state": "omitted"},
            {**entry("1", "reasoning"), "source": "non_reasoner_model", "reasoning": "A text."},
            entry("1", "assistant", "Hi."),
            {**entry("1", "tool_call"), "tool_calls": [call]},
        ]
    )
    assert message is not None
    assert [each["type"] for each in message["content"]] == [
        *("reasoning", "redacted_reasoning", "omitted_reasoning", "text", "text")
    ]
    (made,) = message["tool_calls"]
    assert made == {"id": "call-1", "type": "function", "function": {"name": "send_message", "arguments": "{}"}}
    assert (message["role"], message["created_at"]) == ("assistant", DATE)


def test_the_answer_of_a_tool_is_kept_as_servers_do() -> None:
    answer = {"tool_return": "None", "status": "error", "tool_call_id": "call-1", "stdout": ["out"], "stderr": None}
    message = rebuilt([{**entry("1", "tool_return"), **answer, "tool_returns": [answer]}])
    assert message is not None
    (kept,) = message["tool_returns"]
    assert kept["func_response"] == f'{{"status": "Failed", "message": "None", "time": "{DATE}"}}'
    assert (kept["status"], kept["stdout"], message["tool_call_id"]) == ("error", ["out"], "call-1")


def test_consent_is_kept() -> None:
    answer = {"type": "approval", "tool_call_id": "call-1", "approve": False, "reason": "no"}
    older = {"approve": False, "approval_request_id": "call-1", "reason": "no"}
    message = rebuilt([{**entry("1", "approval_response"), "approvals": [answer], **older}])
    assert message is not None
    assert (message["role"], message["approvals"], message["tool_calls"]) == ("approval", [answer], None)
    assert (message["approve"], message["denial_reason"]) == (False, "no")
