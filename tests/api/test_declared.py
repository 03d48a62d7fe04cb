"""Typed objects to a mapping: what is set, references to objects, and what cannot be referred to."""

from __future__ import annotations

import pytest

from lettaform.api.declared import ABSENT, Expression, document
from lettaform.api.objects import Agent, Block, Fleet, OwnBlock, Server, Tool
from lettaform.errors import ManifestError
from lettaform.session.server import Connection
from lettaform.values import UNSET, File
from tests.api.conftest import World


def test_only_what_is_set_is_written() -> None:
    fleet = Fleet(stack="s", blocks={"b": Block(value="x", description=None), "c": None, "d": UNSET})
    assert document(fleet) == {
        "stack": "s",
        "blocks": {"b": {"value": "x", "description": None}, "c": None, "d": UNSET},
    }
    assert document(Fleet()) == {}
    assert repr(ABSENT) == "ABSENT"


def test_an_object_inside_of_another_one_is_its_key() -> None:
    org, shout = Block(value="x"), Tool(source="def shout() -> str: ...")
    lead = Agent(
        blocks=[org, "other"], tools=(shout,), sleeptime={"blocks": [org]}, memory={"human": OwnBlock(limit=9)}
    )
    fleet = Fleet(
        blocks={"v1.2": org},
        tools={"shout": shout},
        agents={"lead": lead},
        defaults={"agents": Agent(blocks=[org])},
        environments={"prod": Fleet(agents={"lead": Agent(tools=[shout], memory={"human": UNSET})})},
        outputs={"lead": lead},
    )
    written = document(fleet)
    assert written["agents"]["lead"] == {
        "blocks": ["v1.2", "other"],
        "tools": ["shout"],
        "sleeptime": {"blocks": ["v1.2"]},
        "memory": {"human": {"limit": 9}},
    }
    assert written["defaults"] == {"agents": {"blocks": ["v1.2"]}}
    assert written["environments"] == {"prod": {"agents": {"lead": {"tools": ["shout"], "memory": {"human": UNSET}}}}}


def test_expressions_and_files_stand_for_values(world: World) -> None:
    world.write(**{"b.md": "Text."})
    fleet = Fleet(
        stack="s",
        variables={"limit": {"type": "number", "default": 9}},
        blocks={"b": Block(value=File("b.md"), limit=Expression("${var.limit}"), for_each=["x"], label="${each.key}")},
    )
    (block,) = world.load(fleet).manifest().objects.values()
    assert (str(block.address), block.values["value"], block.values["limit"]) == ("blocks.b[x]", "Text.", 9)


def test_what_cannot_be_referred_to_is_a_problem_with_its_path_beside_all_others(world: World) -> None:
    twice, nowhere = Block(value="x"), Block(value="y")
    fleet = Fleet(
        stack="s",
        blocks={"a": twice, "b": twice},
        agents={"lead": Agent(blocks=[twice, nowhere], timezone="Nowhere", tools=["shot"])},
    )
    with pytest.raises(ManifestError) as refused:
        world.load(fleet)
    assert [str(each) for each in refused.value.problems if "Block" in each.message] == [
        "agents.lead.blocks.0: this Block has several keys: `a` and `b` (write the one that is meant)",
        "agents.lead.blocks.1: this Block is in no section of the Fleet "
        "(add it to `blocks` of the Fleet, or write the key of another one)",
    ]
    assert "agents.lead.tools.0" in [str(each.place) for each in refused.value.problems]


def test_a_secret_is_in_no_text(world: World) -> None:
    agent = Agent(model="x/y", secrets={"KEY": "hunter22"})
    assert repr(agent) == "Agent(model='x/y', secrets=‹secret›)"
    server: Server = {"url": "http://stand.in", "api_key": "hunter22"}
    fleet = Fleet(stack="s", agents={"lead": agent}, server=server, variables={"v": {"default": "hunter22"}})
    connection = Connection(url="http://stand.in", token="hunter22")
    stack = world.load(fleet, server=connection, variables={"v": "hunter22"})
    assert "hunter22" not in f"{fleet!r} {stack!r} {stack.source!r} {stack.manifest()!r}"


def test_a_field_that_does_not_exist_is_an_error_of_python() -> None:
    with pytest.raises(TypeError, match="vlaue"):
        Block(vlaue="x")  # type: ignore[call-arg]
