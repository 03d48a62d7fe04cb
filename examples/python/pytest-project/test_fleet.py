"""The tests of a project with agents: its fleet is applied to a Letta server, looked at, and deleted.

pip install lettaform pytest && pytest
"""

from __future__ import annotations

from pathlib import Path

import pytest

import lettaform
from lettaform.testing import Apply, LettaServer

FLEET = Path(__file__).parent / "fleet"


@pytest.fixture(scope="module")
def stack(letta_server: LettaServer, letta_module_stack: Apply) -> lettaform.Stack:
    """The fleet, with the models of the test server."""
    models = {"model": letta_server.model, "embedding": letta_server.embedding}
    return letta_module_stack(FLEET, variables=models)


def test_everything_is_as_declared(stack: lettaform.Stack) -> None:
    assert not stack.plan()


def test_both_agents_know_the_house_rules(stack: lettaform.Stack) -> None:
    shown = {str(each.address): each for each in stack.show().objects}
    rules = shown["blocks.house-rules"].id
    for name in ("triage", "refunds"):
        assert rules in shown[f"agents.{name}"].values["blocks"]


def test_a_change_of_the_rules_reaches_the_block_alone(letta_server: LettaServer, letta_stack: Apply) -> None:
    document = {"blocks": {"rules": {"value": "Be kind.", "policy": {"value": "enforce"}}}}
    stack = letta_stack(document)
    document["blocks"]["rules"]["value"] = "Be kind and brief."
    plan = lettaform.load(document, stack=stack.name, server=letta_server.connection).plan()
    assert [(change.action, str(change.address)) for change in plan.changes] == [("update", "blocks.rules")]
