"""Answers of a server to messages, to Replies."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.backend.v1.answers import reply
from lettaform.model import CalledTool, Reply


def call(kind: str = "tool_call", name: str = "look", arguments: Any = '{"city": "Rome"}', id: str = "call-1") -> Any:
    body = {"name": name, "arguments": arguments, "tool_call_id": id}
    return {"message_type": f"{kind}_message", "tool_call": body}


def says(content: Any) -> Any:
    return {"message_type": "assistant_message", "content": content}


LOOK = CalledTool("look", {"city": "Rome"}, "call-1")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], Reply()),
        ([says("hello")], Reply("hello")),
        ([says([{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}])], Reply("hello")),
        ([says("one"), {"message_type": "reasoning_message", "reasoning": "hm"}, says("two")], Reply("one\ntwo")),
        ([call(), says("x")], Reply("x", (LOOK,))),
        ([call(name="send_message", arguments='{"message": "hello"}')], Reply("hello")),
        ([call(arguments="{broken")], Reply("", (CalledTool("look", {"": "{broken"}, "call-1"),))),
        ([call(arguments=None)], Reply("", (CalledTool("look", {"": ""}, "call-1"),))),
        (
            [
                {
                    **call(),
                    "tool_calls": [call()["tool_call"], call(name="go", arguments="{}", id="call-2")["tool_call"]],
                }
            ],
            Reply("", (LOOK, CalledTool("go", {}, "call-2"))),
        ),
        ([{"message_type": "tool_call_message"}, "text", {"message_type": "assistant_message"}], Reply()),
    ],
)
def test_messages(messages: list[Any], expected: Reply) -> None:
    assert reply({"messages": messages}) == expected


def test_calls_that_wait_for_an_approval() -> None:
    stop = {"stop_reason": {"message_type": "stop_reason", "stop_reason": "requires_approval"}}
    assert reply({"messages": [call("approval_request")], **stop}) == Reply(
        "", (LOOK,), (LOOK,), stop_reason="requires_approval"
    )
    assert reply({"messages": [call("approval_request")]}).pending == ()


@pytest.mark.parametrize(
    ("usage", "numbers"),
    [({"step_count": 2, "total_tokens": 90}, (2, 90)), ({}, (0, 0)), (None, (0, 0)), ({"step_count": "x"}, (0, 0))],
)
def test_usage(usage: Any, numbers: tuple[int, int]) -> None:
    stop = {"message_type": "stop_reason", "stop_reason": "end_turn"}
    usage = {"message_type": "usage_statistics", **usage} if usage is not None else None
    found = reply({"messages": [], "usage": usage, "stop_reason": stop})
    assert ((found.steps, found.tokens), found.stop_reason) == (numbers, "end_turn")
