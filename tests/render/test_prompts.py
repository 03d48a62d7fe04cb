"""How long prompts become, for people: equal growths once, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from lettaform.address import Address
from lettaform.model import Change, Plan, PromptChange
from lettaform.render import data, html, markdown, text
from lettaform.render.paint import Paint
from lettaform.render.prompts import GROUPS, lines, total
from lettaform.render.saved_plan import to_plan

at = Address.parse
SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/plan.schema.json").read_text())


def prompt(key: str, before: int | None, after: int, window: int | None = 30_000, **more: int) -> PromptChange:
    return PromptChange(at(f"agents.{key}"), None if before is None else f"agent-{key}", before, after, window, **more)


def planned(*prompts: PromptChange, changes: tuple[Change, ...] = ()) -> Plan:
    return Plan("s", "http://here", "0.16.8", prompts=prompts, changes=changes)


MANY = "  agents.w[0] and 49 more  2,000 to 2,049 → 2,042 to 2,091 (+42), up to 6 % of 30,000"
FLEET = tuple(prompt(f"w[{n}]", 2000 + n, 2042 + n) for n in range(50))


@pytest.mark.parametrize(
    ("prompts", "shown"),
    [
        ((), []),
        ((prompt("a", None, 1500, None),), ["1,500 in 1 new agent", "  agents.a  1,500 tokens"]),
        (
            (prompt("a", 100, 142),),
            ["+42 in 1 agent", "  agents.a  100 → 142 (+42), <1 % of 30,000"],
        ),
        (
            FLEET,
            [
                "+2,100 in 50 agents",
                MANY,
            ],
        ),
        (
            (*FLEET, prompt("big", 26_000, 27_000), prompt("worse", 29_000, 31_000)),
            [
                "+5,100 in 52 agents",
                "  ! agents.worse  29,000 → 31,000 (+2,000), 103 % of 30,000: exceeds the context window",
                "  ! agents.big  26,000 → 27,000 (+1,000), 90 % of 30,000: near the context window",
                MANY,
            ],
        ),
        (
            (prompt("a", 100, 90, context=27_500),),
            [
                "-10 in 1 agent",
                "  ! agents.a  100 → 90 (-10), the whole context 27,490, 91 % of 30,000: near the context window",
            ],
        ),
    ],
)
def test_lines(prompts: tuple[PromptChange, ...], shown: list[str]) -> None:
    found = lines(planned(*prompts), Paint())
    assert [line.removeprefix("Prompts, in estimated tokens: ") for line in found] == shown


def test_many_different_ones_are_counted_and_verbose_shows_each() -> None:
    every = tuple(prompt(f"a{n}", 10, 20 + n) for n in range(9))
    assert lines(planned(*every), Paint())[-1] == "  … 4 more agents; -v shows each"
    assert len(lines(planned(*every), Paint())) == GROUPS + 2
    assert len(lines(planned(*FLEET), Paint(), verbose=True)) == 51


def test_recompiles_of_agents_and_conversations_are_counted() -> None:
    changes = tuple(Change(at(f"agents.{key}"), "agent", "update", recompiles=1, conversations=3) for key in "ab")
    assert total(planned(prompt("a", 100, 142), changes=changes)).endswith(": +42 in 1 agent; 8 recompiles")


def test_every_format_shows_them() -> None:
    plan = planned(*FLEET, prompt("big", 26_000, 27_000))
    assert total(plan) in text.plan(plan)
    for shown in (markdown.plan(plan), html.plan(plan)):
        assert "2,042 to 2,091 (+42)" in shown
        assert "near the context window" in shown


def test_json_is_valid_and_can_be_read_back() -> None:
    plan = planned(prompt("a", None, 5, None), prompt("b", 1, 2, context=7))
    shown = data.plan(plan)
    Draft202012Validator(SCHEMA).validate(shown)
    assert shown["prompts"][0] == {"address": "agents.a", "id": None, "before": None, "after": 5, "near_limit": False}
    assert to_plan(shown).prompts == plan.prompts
