"""The server counts the tokens of agents: one request each, and one for a model that it cannot count for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import NotFound, Unavailable
from lettaform.model import Context, Live, Passage, Plan
from lettaform.session.tokens import count_tokens
from tests.session.test_status import Stack
from tests.session.test_status import stack as stack


class Server:
    """Counts 5 tokens for each agent, unless its id is `gone`, or its model is broken."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def tokens(self, live: Live) -> Context:
        self.asked.append(live.id)
        if live.id == "gone":
            raise NotFound("no agent")
        if live.values["model"] == "anthropic/broken":
            raise Unavailable("500 no key")
        return Context({"system": 5}, 100, 1)

    async def search(self, live: Live, text: str, limit: int, tags: Sequence[str]) -> list[Passage]:
        raise AssertionError


def test_a_model_that_cannot_be_counted_is_asked_for_once() -> None:
    server = Server()
    lives = [Live("agent", f"agent-{n}", "", {"model": "anthropic/broken"}) for n in range(9)]
    lives += [Live("agent", id, "", {"model": "openai/gpt"}) for id in ("gone", "one", "two")]
    found = asyncio.run(count_tokens(server, lives))
    assert {id: each.used for id, each in found.contexts.items()} == {"one": 5, "two": 5}
    assert sorted(server.asked) == ["agent-0", "gone", "one", "two"]
    (problem,) = found.problems
    assert problem.severity == "warning"
    assert problem.message.endswith("with the model anthropic/broken: 500 no key")


def test_nothing_is_asked_for_nothing() -> None:
    assert asyncio.run(count_tokens(Server(), ())).contexts == {}


def planned(stack: Stack, *, count: bool) -> tuple[Plan, list[str]]:
    with stack.requests() as asked:
        plan = flow.plan(stack.source, stack.connection, count_tokens=count)
    return plan, [each for each in asked if each.endswith("/context")]


def test_a_plan_asks_only_for_what_it_changes_and_only_if_asked_to(stack: Stack, tmp_path: Path) -> None:
    new, asked = planned(stack, count=True)
    assert [(each.before, each.context) for each in new.prompts] == [(None, None)] * 3
    assert asked == []
    stack.apply()
    stack.edit("You lead.", "You lead, and you are kind to everybody.")
    plain, asked = planned(stack, count=False)
    assert asked == []
    assert [str(each.address) for each in plain.prompts] == ["agents.boss"]
    counted, asked = planned(stack, count=True)
    assert len(asked) == 1
    (before,), (prompt,) = plain.prompts, counted.prompts
    assert before.before is not None
    assert prompt.context == pytest.approx(before.before, abs=2)  # an agent without tools and messages
    assert prompt.window
    assert plain == counted
    stack.apply()
    assert planned(stack, count=True) == (flow.plan(stack.source, stack.connection), [])
