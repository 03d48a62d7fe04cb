"""Messages to agents: answers, streams, failures; on a stand-in of the server's streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import lettaform
from lettaform import flow
from lettaform.api.talk import NotAnswered, read
from lettaform.client.messages import (
    AssistantMessage,
    ErrorMessage,
    Message,
    Ping,
    ReasoningMessage,
    StopReason,
    UsageStatistics,
)
from tests.api.conftest import World

PIECES: tuple[Message, ...] = (
    Ping(run_id="run-1"),
    ReasoningMessage(id="m1", reasoning="They greet."),
    AssistantMessage(id="m2", content="Hel"),
    AssistantMessage(id="m2", content="lo!"),
    AssistantMessage(id="m3", content="How are you?"),
    StopReason(stop_reason="end_turn"),
    UsageStatistics(total_tokens=7),
)


def test_pieces_become_an_answer() -> None:
    seen: list[Message] = []
    answer = read(PIECES, "agents.lead", seen.append)
    assert tuple(seen) == PIECES
    assert (answer.text, answer.stop_reason, answer.run, answer.waits) == (
        "Hello!\nHow are you?",
        "end_turn",
        "run-1",
        False,
    )
    assert [each.message_type for each in answer.messages] == [
        "reasoning_message",
        "assistant_message",
        "assistant_message",
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 7
    assert read([StopReason(stop_reason="requires_approval")], "agents.lead").waits


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ([ErrorMessage(error_type="llm_timeout", message="The model is silent.")], "The model is silent."),
        ([StopReason(stop_reason="max_steps")], "max_steps"),
        ([], "it stopped for no reason"),
    ],
)
def test_a_run_that_fails_is_an_error_with_what_was_said(last: list[Message], message: str) -> None:
    with pytest.raises(NotAnswered) as failed:
        read([*PIECES[:3], *last], "agents.lead")
    assert failed.value.message == f"agents.lead did not finish its answer: {message}"
    assert failed.value.answer.text == "Hel"


def test_send_and_sending(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def send(source: Any, connection: Any, to: str, said: flow.Outgoing, **how: Any) -> Iterator[Message]:
        asked.append((to, said.text, how))
        yield from PIECES

    world.write()
    monkeypatch.setattr(flow, "send", send)
    stack = world.load()
    assert stack.send("agents.lead", "Hi").text == "Hello!\nHow are you?"
    run = stack.sending("agents.lead", flow.Outgoing("Hi"), conversation="weekly")
    assert tuple(run) == PIECES
    assert run.result is not None
    assert run.result.text == "Hello!\nHow are you?"
    assert asked == [
        ("agents.lead", "Hi", {"tokens": False}),
        ("agents.lead", "Hi", {"conversation": "weekly"}),
    ]


def test_an_agent_that_is_not_there_is_a_clear_error(world: World) -> None:
    world.write()
    stack = world.load()
    stack.apply(consent=True)
    with pytest.raises(lettaform.PlanError, match=r"agents\.lead"):
        stack.send("agents.lead", "Hi")
    with pytest.raises(lettaform.PlanError, match=r"agents\.lead"):
        list(stack.sending("agents.lead", "Hi"))
