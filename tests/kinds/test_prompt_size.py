"""The size of a compiled prompt: what 0.16.8 counted for the same agents."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.kinds.prompt_size import Block, Prompt, size_of, tokens
from lettaform.values import Ref, Secret, Template

HUMAN = {"label": "human", "value": "abc", "description": "D", "limit": 100_000}
PERSONA = {"label": "persona", "value": "I am", "description": "E", "limit": 100_000, "read_only": True}


@pytest.mark.parametrize(("size", "number"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_four_bytes_are_a_token(size: int, number: int) -> None:
    assert tokens(size) == number


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (None, 0),
        ("abc", 3),
        ("é", 2),
        ("\ud800", 3),
        (Template(("a", Ref(Address.parse("agents.a")), "b")), 2),
        (Secret("var.key", "hunter22"), 0),
    ],
)
def test_texts_are_counted_and_secrets_are_not(value: Any, size: int) -> None:
    assert size_of(value) == size


@pytest.mark.parametrize(
    ("values", "blocks", "parts"),
    [
        ({"system": "S"}, [], {"system": 1, "blocks": 0, "rules": 0, "metadata": 65}),
        ({}, [HUMAN, PERSONA], {"system": 427, "blocks": 99, "rules": 0, "metadata": 65}),
        ({"agent_type": "memgpt_agent"}, [HUMAN], {"system": 1329, "blocks": 60, "rules": 0, "metadata": 65}),
        ({"agent_type": "react_agent"}, [HUMAN], {"system": 387, "blocks": 0, "rules": 0, "metadata": 65}),
        ({"agent_type": "sleeptime_agent"}, [], {"system": 606, "blocks": 0, "rules": 0, "metadata": 65}),
        ({"system": None}, [], {"system": 0, "blocks": 0, "rules": 0, "metadata": 65}),
        ({"system": "S", "tool_rules": [{}] * 4}, [], {"system": 1, "blocks": 0, "rules": 149, "metadata": 65}),
    ],
)
def test_parts(values: dict[str, Any], blocks: list[dict[str, Any]], parts: dict[str, int]) -> None:
    found = Prompt.of(values, blocks)
    assert found.tokens == sum(found.parts.values())
    assert found.parts == pytest.approx(parts, abs=1)


def test_an_equal_text_is_an_equal_prompt() -> None:
    assert Prompt.of({}, [HUMAN, PERSONA]) == Prompt.of({"name": "x"}, [{**PERSONA, "tags": ["t"]}, HUMAN])
    assert Prompt.of({}, [HUMAN]) != Prompt.of({}, [{**HUMAN, "value": "abd"}])
    assert Block.of({"label": "a", "value": None}) == Block("a")
