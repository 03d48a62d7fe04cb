"""What is wrong with a declaration is left out or kept as it is, and said; never lost in silence."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.manifest.amend import Amending, Fault
from lettaform.manifest.declare import Declaration, Declared
from lettaform.values import Ref

at = Address.parse
TALK = Declaration("conversation", "talk", {"agent": Ref(at("agents.a"))}, id="c")
GROUP = Declaration("group", "g", {"agents": [Ref(at("agents.a")), Ref(at("agents.b"))], "type": "round_robin"}, id="g")
MEMORY = {"m": "x", "n": {"value": "y", "limit": 1}}
VALUES: dict[str, Any] = {
    "model": "m",
    "tags": ["x"],
    "secrets": {"A": 1, "B": 2},
    "sleeptime": {"frequency": 3},
    "memory": MEMORY,
}
AGENT = Declaration("agent", "a", VALUES, id="agent-1", name="a")


def amended(*faults: Fault, live: dict[str, Any] | None = None, each: Declaration = AGENT) -> Amending:
    found = Amending(Declared([each, TALK, GROUP]), {"agent-1": live or {}, "tool-1": live or {}})
    assert found.amend(faults)
    return found


@pytest.mark.parametrize(
    ("address", "field", "differs", "values", "policy"),
    [
        ("agents.a", "tags", False, {"tags": None}, {}),
        ("agents.a", "tags", True, {}, {"tags": "ignore"}),
        ("agents.a", "name", False, {}, {"name": "ignore"}),
        ("agents.a", "description", True, {}, {"description": "ignore"}),
        ("agents.a", "secrets.A", False, {"secrets": {"B": 2}}, {}),
        ("agents.a-sleeptime", "frequency", False, {"sleeptime": True}, {}),
        ("groups.a-sleeptime", None, False, {"sleeptime": None}, {}),
        (
            "agents.a.memory.m",
            "value",
            False,
            {"memory": {"m": {"policy": {"value": "ignore"}}, "n": MEMORY["n"]}},
            {},
        ),
        ("agents.a.memory.n", "value", False, {"memory": {"m": "x", "n": {"limit": 1}}}, {}),
        ("agents.a.memory.n", None, False, {"memory": {"m": "x"}}, {}),
    ],
)
def test_one_value(
    address: str, field: str | None, differs: bool, values: dict[str, Any], policy: dict[str, str]
) -> None:
    found = amended(Fault(at(address), field, "is wrong", differs))
    expected = {key: value for key, value in {**VALUES, **values}.items() if value is not None}
    assert found.declared.declarations[0].values == expected
    assert found.declared.declarations[0].settings.get("policy", {}) == policy
    assert [str(each.address) for each in found.faults] == [address]


@pytest.mark.parametrize("field", ["model", None])
def test_an_object_that_cannot_be_declared_is_left_out_with_what_refers_to_it(field: str | None) -> None:
    found = amended(Fault(at("agents.a"), field, "is wrong"))
    assert [(each.key, dict(each.values)) for each in found.declared.declarations] == [
        ("talk", {}),
        ("g", {"agents": [Ref(at("agents.b"))], "type": "round_robin"}),
    ]
    assert [f"{each.address}: {each.message}" for each in found.faults] == [
        "agents.a: is left out: is wrong",
        "conversations.talk: `agent` is declared without agents.a",
        "groups.g: `agents` is declared without agents.a",
    ]


def test_a_source_from_which_the_server_derives_no_schema_gets_the_live_one() -> None:
    tool = Declaration("tool", "t", {"source": "def t(): ..."}, id="tool-1")
    found = amended(Fault(at("tools.t"), "source", "has no docstring"), live={"json_schema": {"name": "t"}}, each=tool)
    assert found.declared.declarations[0].values["json_schema"] == {"name": "t"}
    assert found.faults == []
    assert found.amend([Fault(at("tools.t"), "source", "has no docstring")])
    assert [each.key for each in found.declared.declarations] == ["talk", "g"]


def test_what_is_nobodys_fault_cannot_be_amended() -> None:
    found = Amending(Declared([AGENT]), {})
    assert not found.amend([Fault.of(Problem("no place")), Fault(at("agents.other"), "name", "x")])


def test_a_second_round_goes_further() -> None:
    found = amended(Fault(at("agents.a"), "tags", "differs", differs=True))
    assert found.amend([Fault(at("agents.a"), "tags", "differs", differs=True)])
    assert "tags" not in found.declared.declarations[0].values
    assert len(found.faults) == 1
