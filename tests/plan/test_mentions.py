"""Names of tools in rules: each must be the name of a tool that exists after the plan, and that the agent has."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import PlanError, Problem
from lettaform.kinds import kinds
from lettaform.model import Desired, External, Live, Observed
from lettaform.values import Ref
from tests.plan.samples import HERE, at, difference, living, manifest, observed, plan, wanted

SOURCE = 'def weigh_it(parcel: str, unit: str = "kg"):\n    """Weigh."""\n'
WEIGH = wanted("tools.weigh", name="weigh_it", source=SOURCE)
REF = Ref(at("tools.weigh"))


def agent(*rules: dict[str, Any], **values: Any) -> Desired:
    return wanted("agents.a", model="m/m", tools=[REF], tool_rules=list(rules), **values)


def foreign(name: str, *arguments: str) -> dict[tuple[str, str], Live]:
    schema = {"name": name, "parameters": {"type": "object", "properties": {key: {} for key in arguments}}}
    return {("tool", name): Live("tool", f"tool-{name}", name, {"name": name, "json_schema": schema})}


def problems(*objects: Desired, seen: Observed | None = None, **options: Any) -> list[Problem]:
    found = difference(manifest(*objects), seen or observed(), **options).problems
    return [each for each in found if each.field and each.field.startswith("tool_rules")]


def messages(*objects: Desired, **words: Any) -> list[tuple[str | None, str, str | None]]:
    return [(each.field, each.message, each.hint) for each in problems(*objects, **words)]


RULES: dict[str, dict[str, Any]] = {
    "tool_rules.0.tool_name": {"type": "run_first", "tool_name": "NAME"},
    "tool_rules.0.children.1": {
        "type": "constrain_child_tools",
        "tool_name": "weigh_it",
        "children": ["weigh_it", "NAME"],
    },
    "tool_rules.0.child_output_mapping.heavy": {
        "type": "conditional",
        "tool_name": "weigh_it",
        "child_output_mapping": {"heavy": "NAME"},
    },
    "tool_rules.0.default_child": {
        "type": "conditional",
        "tool_name": "weigh_it",
        "default_child": "NAME",
        "child_output_mapping": {},
    },
    "tool_rules.0.child_arg_nodes.0.name": {
        "type": "constrain_child_tools",
        "tool_name": "weigh_it",
        "children": [],
        "child_arg_nodes": [{"name": "NAME"}],
    },
}


def respelled(rule: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return dict(json.loads(json.dumps(rule).replace(old, new)))


def named(path: str, name: str) -> dict[str, Any]:
    return respelled(RULES[path], "NAME", name)


@pytest.mark.parametrize("path", RULES)
def test_every_name_in_every_rule_must_be_known(path: str) -> None:
    assert messages(WEIGH, agent(named(path, "weigh_it"))) == []
    assert messages(WEIGH, agent(named(path, "send_message"))) == []
    assert messages(WEIGH, agent(named(path, "wiegh_it"))) == [
        (path, "agents.a: there is no tool `wiegh_it`", "did you mean `weigh_it`?")
    ]
    assert messages(WEIGH, agent(named(path, "other"))) == [
        (path, "agents.a: there is no tool `other`", "declare it in `tools`")
    ]


def test_the_key_of_a_tool_is_not_its_name() -> None:
    assert messages(WEIGH, agent(named("tool_rules.0.tool_name", "weigh"))) == [
        (
            "tool_rules.0.tool_name",
            "agents.a: there is no tool `weigh`",
            "tools.weigh is named `weigh_it`: write that, or `${tools.weigh.name}`",
        )
    ]


def test_every_type_of_rule_is_searched() -> None:
    for kind in ("exit_loop", "continue_loop", "max_count_per_step", "required_before_exit", "requires_approval"):
        assert len(problems(WEIGH, agent({"type": kind, "tool_name": "nothing"}))) == 1


def test_a_rule_of_another_shape_names_nothing() -> None:
    rules: list[Any] = [
        {"type": "run_first"},
        {"tool_name": REF, "children": "weigh_it", "child_output_mapping": [], "child_arg_nodes": [5]},
    ]
    assert messages(WEIGH, agent(*rules)) == []


def test_a_tool_of_somebody_else_can_be_named_if_the_agent_has_it() -> None:
    rule = named("tool_rules.0.tool_name", "other")
    seen = observed(foreign=foreign("other"))
    lacking = "agents.a does not have the tool `other`, so `tool_rules.0.tool_name` has no effect"
    assert messages(WEIGH, agent(rule), seen=seen) == [
        ("tool_rules.0.tool_name", lacking, "add it to `tools` of agents.a")
    ]
    attached = living("agents.a", "agent-1", model="m/m", tools=["tool-other"], tool_rules=[])
    assert messages(WEIGH, agent(rule), seen=observed(attached, foreign=foreign("other"))) == []
    other = Desired(at("tools.other"), "tool", {}, HERE, external=External(name="other"))
    both = replace(agent(rule), values={**agent(rule).values, "tools": [REF, Ref(at("tools.other"))]})
    assert messages(WEIGH, other, both, seen=seen) == []


def test_an_agent_whose_tools_are_not_declared_may_get_them_from_others() -> None:
    rule = named("tool_rules.0.tool_name", "other")
    unmanaged = wanted("agents.a", model="m/m", tool_rules=[rule])
    assert messages(WEIGH, unmanaged, seen=observed(foreign=foreign("other"))) == []
    assert messages(WEIGH, unmanaged) == [
        ("tool_rules.0.tool_name", "agents.a: there is no tool `other`", "declare it in `tools`")
    ]


def test_a_tool_that_this_plan_detaches_has_no_rules() -> None:
    tool = living("tools.weigh", "tool-1", name="weigh_it", source=SOURCE)
    has = living("agents.a", "agent-1", model="m/m", tools=["tool-1"], tool_rules=[], members={"tools": ("tool-1",)})
    rule = named("tool_rules.0.tool_name", "weigh_it")
    kept, dropped = agent(rule), wanted("agents.a", model="m/m", tools=[], tool_rules=[rule])
    assert messages(WEIGH, kept, seen=observed(tool, has)) == []
    assert [each.message for each in problems(WEIGH, dropped, seen=observed(tool, has))] == [
        "agents.a does not have the tool `weigh_it`, so `tool_rules.0.tool_name` has no effect"
    ]


def test_the_name_that_a_tool_loses_in_this_plan_is_unknown() -> None:
    old = living("tools.weigh", "tool-1", name="weigh_old", source=SOURCE.replace("weigh_it", "weigh_old"))
    has = living("agents.a", "agent-1", model="m/m", tools=["tool-1"], tool_rules=[])
    assert messages(WEIGH, agent(named("tool_rules.0.tool_name", "weigh_it")), seen=observed(old, has)) == []
    (problem,) = problems(WEIGH, agent(named("tool_rules.0.tool_name", "weigh_old")), seen=observed(old, has))
    assert problem.hint == "did you mean `weigh_it`?"


def test_a_tool_that_this_plan_deletes_is_unknown() -> None:
    tool = living("tools.gone", "tool-2", name="gone", source="def gone(): ...")
    rule = named("tool_rules.0.tool_name", "gone")
    unmanaged = wanted("agents.a", model="m/m", tool_rules=[rule])
    assert messages(unmanaged, seen=observed(tool)) == []
    assert [each.message for each in problems(unmanaged, seen=observed(tool), prune=True)] == [
        "agents.a: there is no tool `gone`"
    ]


def test_an_unchanged_agent_is_checked_too() -> None:
    rule = named("tool_rules.0.tool_name", "wiegh_it")
    tool = living("tools.weigh", "tool-1", name="weigh_it", source=SOURCE)
    applied = {"tool_rules": [rule], "model": "m/m"}
    live = living("agents.a", "agent-1", applied, members={"tools": ("tool-1",)}, tools=["tool-1"], **applied)
    assert [each.hint for each in problems(WEIGH, agent(rule), seen=observed(tool, live))] == [
        "did you mean `weigh_it`?"
    ]
    ignored = wanted("agents.a", {"tool_rules": "ignore"}, model="m/m", tools=[REF], tool_rules=[rule])
    assert problems(WEIGH, ignored, seen=observed(tool, live)) == []
    assert len(problems(WEIGH, ignored, seen=observed(tool))) == 1
    assert problems(WEIGH, agent(rule), seen=observed(tool, live), target=("tools.weigh",)) == []
    assert problems(WEIGH, agent(rule), seen=observed(tool, live), destroy=True) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "run_first", "tool_name": "weigh_it", "args": {"parcel": "1", "unti": "g"}},
        {
            "type": "constrain_child_tools",
            "tool_name": "weigh_it",
            "children": ["weigh_it"],
            "child_arg_nodes": [{"name": "weigh_it", "args": {"unti": "g"}}],
        },
    ],
)
def test_prefilled_arguments_are_arguments_of_the_tool(rule: dict[str, Any]) -> None:
    (problem,) = problems(WEIGH, agent(rule))
    assert problem.message == "agents.a: the tool `weigh_it` takes no argument `unti`"
    assert problem.hint == "did you mean `unit`?"
    assert messages(WEIGH, agent(respelled(rule, "unti", "unit"))) == []


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ({"source": SOURCE}, {"parcel", "unit"}),
        ({"source": SOURCE, "args_json_schema": {"properties": {"a": {}}}}, {"a"}),
        ({"source": SOURCE, "json_schema": {"parameters": {"properties": {"b": {}}}}}, {"b"}),
        ({"source": "def f(:"}, None),
        ({"source": "export const x = 1", "source_type": "typescript"}, None),
        ({}, None),
    ],
)
def test_the_parameters_of_a_tool(values: dict[str, Any], known: set[str] | None) -> None:
    signature = kinds()["tool"].signature
    assert signature is not None
    assert signature.parameters(values) == known


def test_arguments_of_a_foreign_tool_are_those_of_its_schema() -> None:
    rule = {"type": "run_first", "tool_name": "other", "args": {"a": 1, "c": 1}}
    seen = observed(
        living("agents.a", "agent-1", model="m/m", tools=["tool-other"], tool_rules=[]),
        foreign=foreign("other", "a", "b"),
    )
    assert messages(WEIGH, agent(rule), seen=seen) == [
        ("tool_rules.0.tool_name", "agents.a: the tool `other` takes no argument `c`", "it takes a, b")
    ]


def test_a_backend_that_does_not_list_tools_knows_no_names() -> None:
    seen = observed()
    blind = replace(seen, capabilities=replace(seen.capabilities, listed=frozenset()))
    assert messages(WEIGH, agent(named("tool_rules.0.tool_name", "nothing")), seen=blind) == []


def test_a_plan_with_an_unknown_name_cannot_be_made() -> None:
    with pytest.raises(PlanError) as refused:
        plan(manifest(WEIGH, agent(named("tool_rules.0.tool_name", "wiegh_it"))), observed())
    assert [each.message for each in refused.value.problems] == ["agents.a: there is no tool `wiegh_it`"]
