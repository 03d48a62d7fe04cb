"""Who is talked to, decisions about calls, and one message to many."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform import flow
from lettaform.backend import Backend
from lettaform.client.messages import Message
from lettaform.errors import Guarded, LettaformError, NotFound, PlanError
from lettaform.model import Decision, Outgoing, Recipient
from lettaform.session.talk import Sent, answered, exchange, of_id, to_many
from tests.backend.v1.served import Served
from tests.backend.v1.test_talks import plain, with_backend


def served_agent(approval: bool = False) -> tuple[Served, Recipient]:
    server = Served()
    tool = server.tool("refund", default_requires_approval=approval)
    return server, Recipient(server.agent("a", tool_ids=[tool["id"]])["id"], None, "agents.a")


def exchanged(server: Served, to: Recipient, text: str, decide: Any) -> list[tuple[str, Any]]:
    async def run(backend: Backend) -> list[Message]:
        said = exchange(backend, to, Outgoing(text), tokens=True, background=False, decide=decide)
        return [each async for each in said]

    return plain(with_backend(server, run))


def approve(calls: Any) -> list[Decision]:
    return [Decision(each.tool_call_id, True) for each in calls]


def test_a_turn_goes_on_after_each_decision() -> None:
    server, to = served_agent(approval=True)
    asked: list[str] = []

    def decide(calls: Any) -> list[Decision]:
        asked.extend(f"{each.name} {each.arguments}" for each in calls)
        return approve(calls)

    found = exchanged(server, to, 'call refund {"order": 1}\ncall refund {"order": 2}', decide)
    assert asked == ['refund {"order": 1}', 'refund {"order": 2}']
    assert [text for kind, text in found if kind == "stop_reason"] == ["requires_approval"] * 2 + ["end_turn"]


def test_without_a_decision_the_call_goes_on_waiting_and_the_next_message_is_refused() -> None:
    server, to = served_agent(approval=True)
    found = exchanged(server, to, "call refund {}", lambda calls: None)
    assert found[-2] == ("stop_reason", "requires_approval")
    with pytest.raises(Guarded, match="waits for the approval of an earlier call: refund") as caught:
        exchanged(server, to, "hello", lambda calls: None)
    assert "`lettaform send 'agents.a' --approve`" in (caught.value.hint or "")

    async def later(backend: Backend) -> list[Message]:
        return [each async for each in answered(backend, to, approve, tokens=False, background=False)]

    assert plain(with_backend(server, later))[-2] == ("stop_reason", "end_turn")
    with pytest.raises(PlanError, match="waits for no approval"):
        with_backend(server, later)


def test_one_message_to_many_is_sent_to_all_and_reported_for_each() -> None:
    server, first = served_agent(approval=True)
    every = [first, *(Recipient(server.agent(name)["id"], None, name) for name in "bc")]
    gone = Recipient("agent-00000000-0000-4000-8000-000000000000", None, "gone")
    told: list[Sent] = []

    async def run(backend: Backend) -> list[Sent]:
        return await to_many(
            backend,
            [*every, gone],
            Outgoing("hello\ncall refund {}"),
            parallel=2,
            within=20,
            decide=lambda calls: None,
            notify=told.append,
        )

    found = with_backend(server, run)
    assert [(each.to.name, each.result) for each in found] == [
        ("agents.a", "waiting"),
        ("b", "ok"),
        ("c", "ok"),
        ("gone", "failed"),
    ]
    assert found[1].answer == "I have no tool named refund."
    assert "404" in (found[3].error or "")
    assert sorted(told, key=lambda each: each.to.name) == sorted(found, key=lambda each: each.to.name)


@pytest.mark.parametrize(
    ("text", "error"),
    [("fail: 500", "An error occurred with the LLM request."), ("call refund {}\n" * 60, "it stopped: max_steps")],
)
def test_an_agent_that_does_not_end_its_turn_has_failed(text: str, error: str) -> None:
    server, to = served_agent()

    async def run(backend: Backend) -> list[Sent]:
        words: dict[str, Any] = {"decide": lambda calls: None, "notify": lambda sent: None}
        return await to_many(backend, [to], Outgoing(text), parallel=1, within=None, **words)

    (sent,) = with_backend(server, run)
    assert (sent.result, sent.error) == ("failed", error)


def test_an_id_names_an_agent_or_a_conversation() -> None:
    server = Served()
    agent = server.agent("a")
    talk = server.conversation(agent["id"], "Talk")

    def find(kind: str, id: str, conversation: str | None = None) -> Recipient:
        return with_backend(server, lambda backend: of_id(backend, kind, id, conversation))

    assert find("agent", agent["id"]) == Recipient(agent["id"], None, agent["id"])
    there = Recipient(agent["id"], talk["id"], talk["id"])
    assert find("conversation", talk["id"]) == there
    assert find("agent", agent["id"], talk["id"]) == find("agent", agent["id"], "Talk") == there
    with pytest.raises(NotFound, match="has no conversation `Other`") as caught:
        find("agent", agent["id"], "Other")
    assert caught.value.hint == f"there are {talk['id']}"
    with pytest.raises(PlanError, match="is no agent and no conversation"):
        find("block", "block-1")


def test_every_error_of_talking_is_one_of_lettaform() -> None:
    with pytest.raises(LettaformError):
        next(flow.send(flow.Source(), flow.Connection(url="http://127.0.0.1:9"), "agent-1", Outgoing("hi")))
