"""What the server adds by itself to what is sent with a new object, what is kept of a list, and which items change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.kinds import kinds
from lettaform.model import Desired, External, Live, Mark
from lettaform.plan.additions import adding_fields, creation_notes, switched_off
from lettaform.plan.compare import Comparison, compare
from lettaform.values import Patch, Ref
from tests.plan.samples import at, living, lookup, manifest, messages, observed, plan, wanted

NEW = {"model": "m/m"}
BUILT_IN = ("conversation_search", "memory_insert", "memory_replace", "send_message", "web_search", "open_files")
FOREIGN = {("tool", name): Live("tool", f"tool-{name}", name, {"name": name}) for name in BUILT_IN}
RULE = {"type": "requires_approval", "tool_name": "pay"}
AS_ANSWERED = {"tool_name": "pay", "type": "requires_approval", "prompt_template": None}


def used(name: str) -> Desired:
    """A built-in tool of the server that the manifest uses."""
    return replace(wanted(f"tools.{name}"), external=External(name=name), values={})


def refs(*names: str) -> list[Ref]:
    return [Ref(at(f"tools.{name}")) for name in names]


def new(policies: dict[str, Any] | None = None, **values: Any) -> Desired:
    return wanted("agents.a", policies, **NEW, **values)


# --- at creation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "sent"),
    [
        pytest.param(new(), {}, id="nothing is declared"),
        pytest.param(new(tools=[]), {}, id="others may add tools"),
        pytest.param(new({"tools": "enforce"}, tools=[]), {"include_base_tools": False}, id="exact tools"),
        pytest.param(new({"tools": "enforce"}, tools=[], include_base_tools=True), {}, id="declared"),
        pytest.param(new({"tools": "enforce"}), {}, id="a policy without the list"),
        pytest.param(new(tool_rules=[]), {"include_base_tool_rules": False}, id="no rules"),
        pytest.param(new(tool_rules=None), {"include_base_tool_rules": False}, id="cleared rules"),
        pytest.param(new(tool_rules=[RULE]), {"include_base_tool_rules": False}, id="rules"),
    ],
)
def test_what_is_sent_with_a_new_agent_prevents_additions_to_exact_lists(agent: Desired, sent: dict[str, Any]) -> None:
    assert switched_off(lookup(manifest(agent), observed()), agent) == sent
    pay = {("tool", "pay"): replace(FOREIGN["tool", "send_message"], id="tool-pay", name="pay")}
    made = plan(manifest(agent), observed(foreign=pay))
    fields = next(dict(step.fields) for step in made.steps if step.op == "create")
    assert {name: value for name, value in fields.items() if value is False} == sent
    shown = {each.path: each.new for each in made.changes[0].fields_changed}
    assert {name: shown.get(name) for name in sent} == sent


@pytest.mark.parametrize(
    ("agent", "notes"),
    [
        pytest.param(
            new(),
            [
                "the server adds to `tools`: conversation_search, memory_insert, memory_replace;"
                " `include_base_tools: false` prevents it"
            ],
            id="the default type",
        ),
        pytest.param(
            new(tools=refs("conversation_search", "memory_insert")),
            ["the server adds to `tools`: memory_replace; `include_base_tools: false` prevents it"],
            id="some are declared",
        ),
        pytest.param(new({"tools": "enforce"}, tools=[]), [], id="exact tools"),
        pytest.param(new(include_base_tools=False), [], id="switched off"),
        pytest.param(
            new(agent_type="memgpt_v2_agent", tools=refs(*BUILT_IN)),
            [
                "the server adds to `tool_rules`: continue_loop conversation_search, continue_loop memory_insert,"
                " continue_loop memory_replace, exit_loop send_message; `include_base_tool_rules: false` prevents it"
            ],
            id="rules",
        ),
        pytest.param(new(agent_type="memgpt_v2_agent", tools=refs(*BUILT_IN), tool_rules=[]), [], id="exact rules"),
        pytest.param(
            new(include_base_tools=False, folders=[Ref(at("folders.f"))], tools=refs("open_files")),
            ["the server adds to `tools`, for `folders`: grep_files, semantic_search_files"],
            id="folders",
        ),
        pytest.param(
            new(include_base_tools=False, tools=refs("pay")),
            ["the server adds to `tool_rules`, for `default_requires_approval` of its tools: requires_approval pay"],
            id="a tool that requires approval",
        ),
        pytest.param(new(include_base_tools=False, tools=refs("pay"), tool_rules=[RULE]), [], id="a declared approval"),
        pytest.param(
            new(include_base_tools=False, include_multi_agent_tools=True),
            [
                "the server adds to `tools`: send_message_to_agent_and_wait_for_reply,"
                " send_message_to_agents_matching_tags, send_message_to_agent_async;"
                " `include_multi_agent_tools: false` prevents it",
                "the server adds to `tool_rules`: exit_loop send_message_to_agent_async;"
                " `include_base_tool_rules: false` prevents it",
            ],
            id="tools for messages between agents",
        ),
    ],
)
def test_a_new_agent_is_planned_with_what_the_server_adds_to_it(agent: Desired, notes: list[str]) -> None:
    tools = [used(name) for name in BUILT_IN]
    wants = manifest(agent, *tools, PAY, wanted("folders.f", embedding="e/e"))
    has = observed(*(replace(FOREIGN["tool", name], address=at(f"tools.{name}")) for name in BUILT_IN))
    assert list(creation_notes(lookup(wants, has), agent)) == notes
    made = plan(wants, has)
    assert [each.notes for each in made.changes if each.address == at("agents.a")] == [tuple(notes)]


def test_a_replaced_agent_is_planned_with_what_the_server_adds_to_it() -> None:
    agent = new(agent_type="react_agent", tools=refs("pay"))
    live = living("agents.a", "agent-1", **NEW, agent_type="letta_v1_agent")
    (change, *_) = plan(manifest(agent, PAY), observed(live), allow_destroy=("agents.a",)).changes
    assert change.action == "replace"
    assert "requires_approval pay" in change.notes[-1]


def test_an_exact_list_of_rules_and_a_tool_that_requires_approval_contradict_each_other_at_creation() -> None:
    wants = manifest(new({"tool_rules": "enforce"}, tools=refs("pay"), tool_rules=[]), PAY)
    assert messages(wants, observed()) == [
        "agents.a: the server adds to `tool_rules`, which is exact: requires_approval pay"
    ]
    remedy = manifest(new({"tool_rules": "enforce"}, tools=refs("pay"), tool_rules=[RULE]), PAY)
    assert messages(remedy, observed()) == []
    assert messages(manifest(new(tools=refs("pay"), tool_rules=[]), PAY), observed()) == []


# --- members that are kept -------------------------------------------------------------------------------------------


def shortened(
    before: tuple[str, ...], policies: dict[str, Any] | None = None, live: dict[str, Any] | None = None, **values: Any
) -> Comparison:
    """An agent whose `tools` named these built-in tools, and now names `web_search` alone."""
    ids = tuple(f"tool-{name}" for name in (*before, "web_search"))
    have = living("agents.a", "agent-1", **{"tools": [*ids], "members": {"tools": ids}, **(live or {})})
    agent = wanted("agents.a", policies, **{"tools": refs("web_search"), **values})
    search = replace(FOREIGN["tool", "web_search"], address=at("tools.web_search"))
    wants = manifest(agent, used("web_search"), wanted("folders.f"))
    has = observed(have, search, living("folders.f", "source-1"), foreign=FOREIGN)
    return compare(lookup(wants, has), agent, have)


@pytest.mark.parametrize(
    ("words", "detached"),
    [
        pytest.param({}, [], id="the server adds it by default"),
        pytest.param({"before": ("send_message",)}, ["send_message"], id="the server does not add it"),
        pytest.param({"include_base_tools": False}, ["conversation_search"], id="the manifest prevents it"),
        pytest.param({"policies": {"tools": "enforce"}}, ["conversation_search"], id="the list is exact"),
        pytest.param(
            {"live": {"agent_type": "react_agent"}}, ["conversation_search"], id="agents of its type do not have it"
        ),
        pytest.param(
            {"before": ("memory_insert",), "sleeptime": True}, ["memory_insert"], id="not beside a sleeptime agent"
        ),
        pytest.param({"before": ("send_message",), "sleeptime": True}, [], id="beside a sleeptime agent"),
        pytest.param({"before": ("open_files",)}, ["open_files"], id="no folder needs it"),
        pytest.param(
            {"before": ("open_files",), "folders": [Ref(at("folders.f"))]}, [], id="a folder of the manifest needs it"
        ),
        pytest.param(
            {"before": ("open_files",), "live": {"folders": ["source-9"]}}, [], id="a folder of somebody else needs it"
        ),
        pytest.param(
            {"before": ("open_files",), "policies": {"tools": "enforce"}, "live": {"folders": ["source-9"]}},
            [],
            id="it is needed although the list is exact",
        ),
    ],
)
def test_a_shorter_list_keeps_what_the_server_adds_by_itself(words: dict[str, Any], detached: list[str]) -> None:
    words = {"before": ("conversation_search",), **words}
    found = shortened(**words)
    dropped = [member for name, member in found.detach if name == "tools"]
    assert dropped == [f"tool-{name}" for name in detached]
    kept = ", ".join(name for name in words["before"] if name not in detached)
    assert list(found.notes) == ([f"kept in `tools`: {kept}, which the server adds by itself"] if kept else [])
    assert found.members["tools"] == ("tool-web_search",)


def test_a_kept_member_is_shown_in_the_plan_and_is_no_longer_ours() -> None:
    agent = wanted("agents.a", tools=[])
    ids = ("tool-conversation_search",)
    have = living("agents.a", "agent-1", tools=[*ids], members={"tools": ids})
    (change,) = plan(manifest(agent), observed(have, foreign=FOREIGN)).changes
    assert (change.action, change.notes[0]) == (
        "mark",
        "kept in `tools`: conversation_search, which the server adds by itself",
    )
    after = replace(have, mark=Mark(have.mark.base))
    assert not plan(manifest(agent), observed(after, foreign=FOREIGN)).steps


def test_a_declared_tool_is_attached_again_after_the_server_has_taken_it_away_with_the_last_folder() -> None:
    ids = {"tools": ("tool-open_files",), "folders": ("source-1",)}
    have = living("agents.a", "agent-1", tools=["tool-open_files"], folders=["source-1"], members=ids)
    agent = wanted("agents.a", tools=refs("open_files"), folders=[])
    tool = replace(FOREIGN["tool", "open_files"], address=at("tools.open_files"))
    made = plan(manifest(agent, used("open_files")), observed(have, tool))
    steps = {step.key: step for step in made.steps}
    assert "agents.a-folders:source-1" in steps["agents.a+tools:tool-open_files"].after
    assert {each.path: each.reason for each in made.changes[0].fields_changed} == {
        "tools": "manifest",
        "folders": "undeclared",
    }


def test_tools_of_the_server_are_named() -> None:
    have = living("agents.a", "agent-1", tools=["tool-send_message"], members={"tools": ("tool-send_message",)})
    (change,) = plan(manifest(wanted("agents.a", tools=[])), observed(have, foreign=FOREIGN)).changes
    (shown,) = change.fields_changed
    assert (shown.old, shown.new) == (["send_message"], Patch((), ("send_message",)))


def test_only_folders_add_to_other_fields() -> None:
    agent = kinds()["agent"]
    assert {name: adding_fields(agent, name) for name in agent.attrs() if adding_fields(agent, name)} == {
        "tools": ("folders",)
    }


# --- items for members -----------------------------------------------------------------------------------------------

PAY = wanted("tools.pay", name="pay", source="s", default_requires_approval=True)
OLD_PAY = living("tools.pay", "tool-1", {"source": "s"}, name="pay", source="s", default_requires_approval=None)
FREE = wanted("tools.pay", name="pay", source="s", default_requires_approval=False)
SILENT = wanted("tools.pay", name="pay", source="s")
HAS_PAY = {"tools": ["tool-1"], "members": {"tools": ("tool-1",)}}
FIRST = {"type": "run_first", "tool_name": "pay"}


def items(
    tool: Desired,
    rules: list[Any],
    policies: dict[str, Any] | None = None,
    live: dict[str, Any] | None = None,
    was: Live = OLD_PAY,
    **values: Any,
) -> tuple[Any, list[tuple[str, Any, Any, str]]]:
    """What is written of `tool_rules`, and what is shown: an agent that has a tool and these rules."""
    agent = wanted("agents.a", policies, **{"tools": refs("pay"), **values})
    have = living("agents.a", "agent-1", **{**HAS_PAY, "tool_rules": rules, **(live or {})})
    found = compare(lookup(manifest(agent, tool), observed(have, was)), agent, have)
    shown = [(each.path, each.old, each.new, each.reason) for each in found.fields_changed if "rules" in each.path]
    return found.fields.get("tool_rules"), shown


ADDED = (Patch((RULE,), ()), [("tool_rules.pay", None, RULE, "manifest")])
REMOVED = (Patch((), (RULE,)), [("tool_rules.pay", RULE, None, "manifest")])
NOTHING: tuple[None, list[Any]] = (None, [])
ON = replace(OLD_PAY, values={**OLD_PAY.values, "default_requires_approval": True})


@pytest.mark.parametrize(
    ("tool", "rules", "words", "result"),
    [
        pytest.param(PAY, [], {}, ADDED, id="on"),
        pytest.param(FREE, [AS_ANSWERED], {"was": ON}, REMOVED, id="off"),
        pytest.param(PAY, [AS_ANSWERED], {}, NOTHING, id="it asks already"),
        pytest.param(FREE, [], {}, NOTHING, id="it does not ask already"),
        pytest.param(SILENT, [], {"was": ON}, NOTHING, id="the tool says nothing, the agent does not ask"),
        pytest.param(SILENT, [AS_ANSWERED], {}, NOTHING, id="the tool says nothing, the agent asks"),
        pytest.param(PAY, [], {"tools": None, "live": {"members": {}}}, ADDED, id="attached by others"),
        pytest.param(
            PAY, [], {"was": ON}, (ADDED[0], [("tool_rules.pay", None, RULE, "drift")]), id="somebody removed the rule"
        ),
        pytest.param(
            FREE,
            [AS_ANSWERED],
            {},
            (REMOVED[0], [("tool_rules.pay", RULE, None, "drift")]),
            id="somebody added the rule",
        ),
        pytest.param(PAY, [FIRST], {"tool_rules": [FIRST]}, ADDED, id="beside declared rules"),
        pytest.param(FREE, [AS_ANSWERED], {"tool_rules": [RULE]}, NOTHING, id="the agent declares the rule"),
        pytest.param(
            PAY, [], {"tool_rules": [], "policies": {"tool_rules": "enforce"}}, NOTHING, id="the agent's list is exact"
        ),
        pytest.param(PAY, [], {"policies": {"tool_rules": "ignore"}}, NOTHING, id="the rules belong to the agent"),
        pytest.param(PAY, [AS_ANSWERED], {"tools": []}, REMOVED, id="the tool is detached"),
        pytest.param(PAY, [], {"live": {"tools": [], "members": {}}}, NOTHING, id="the server adds it on attach"),
        pytest.param(
            PAY,
            [],
            {"live": {"tools": []}, "tool_rules": [], "policies": {"tool_rules": "enforce"}},
            REMOVED,
            id="the server adds it on attach, to an exact list",
        ),
    ],
)
def test_rules_follow_from_the_declarations_of_the_tools(
    tool: Desired, rules: list[Any], words: dict[str, Any], result: Any
) -> None:
    if words.get("tools", "") is None:  # the agent does not declare its tools
        agent = wanted("agents.a")
        have = living("agents.a", "agent-1", tools=["tool-1"], tool_rules=rules)
        found = compare(lookup(manifest(agent, tool), observed(have, OLD_PAY)), agent, have)
        shown = [(each.path, each.old, each.new, each.reason) for each in found.fields_changed]
        assert (found.fields.get("tool_rules"), shown) == result
    else:
        assert items(tool, rules, **words) == result


def test_rules_are_written_together_with_the_declared_ones() -> None:
    other = {"type": "exit_loop", "tool_name": "pay"}
    written, shown = items(PAY, [FIRST], live={"tool_rules": [FIRST]}, tool_rules=[other])
    assert written == [other, RULE]
    assert [path for path, *_ in shown] == ["tool_rules", "tool_rules.pay"]
    written, _ = items(FREE, [FIRST, AS_ANSWERED], was=ON, tool_rules=[other])
    assert written == [other]


def test_a_renamed_tool_keeps_its_approval() -> None:
    for was, declared in ((ON, True), (OLD_PAY, None)):
        flag = {} if declared is None else {"default_requires_approval": declared}
        renamed = wanted("tools.pay", name="pay2", source="s2", **flag)
        written, shown = items(renamed, [AS_ANSWERED], was=was)
        new_rule = {"type": "requires_approval", "tool_name": "pay2"}
        assert written == Patch((new_rule,), (RULE,))
        assert {path for path, *_ in shown} == {"tool_rules.pay", "tool_rules.pay2"}


def test_two_tools_that_exchange_their_names_exchange_their_rules() -> None:
    b = {"type": "requires_approval", "tool_name": "b"}
    lives = [
        living("tools.x", "tool-1", name="a", source="s", default_requires_approval=False),
        living("tools.y", "tool-2", name="b", source="t", default_requires_approval=True),
    ]
    tools = [
        wanted("tools.x", name="b", source="s", default_requires_approval=False),
        wanted("tools.y", name="a", source="t", default_requires_approval=True),
    ]
    agent = wanted("agents.a", tools=refs("x", "y"))
    have = living("agents.a", "agent-1", tools=["tool-1", "tool-2"], tool_rules=[b])
    found = compare(lookup(manifest(agent, *tools), observed(have, *lives)), agent, have)
    assert found.fields["tool_rules"] == Patch(({"type": "requires_approval", "tool_name": "a"},), (b,))


def test_the_rule_is_written_after_the_tool_is_attached() -> None:
    agent = wanted("agents.a", {"tool_rules": "enforce"}, tools=refs("pay"), tool_rules=[])
    have = living("agents.a", "agent-1", {"tool_rules": None}, tools=[], tool_rules=[])
    made = plan(manifest(agent, PAY), observed(have, OLD_PAY))
    written = next(step for step in made.steps if step.op == "update" and step.key == "agents.a")
    assert written.fields == {"tool_rules": Patch((), (RULE,))}
    assert "agents.a+tools:tool-1" in written.after


CONTINUE = {"type": "continue_loop", "tool_name": "conversation_search"}
SEARCH = replace(FOREIGN["tool", "conversation_search"], address=at("tools.conversation_search"))


@pytest.mark.parametrize(
    ("values", "live", "written"),
    [
        pytest.param({"tools": refs("conversation_search")}, {}, Patch((CONTINUE,), ()), id="attached"),
        pytest.param(
            {"tools": refs("conversation_search")},
            {"tool_rules": [CONTINUE]},
            None,
            id="attached, and the rule is there",
        ),
        pytest.param({"tools": refs("conversation_search"), "include_base_tool_rules": False}, {}, None, id="no rules"),
        pytest.param({"tools": refs("conversation_search"), "tool_rules": []}, {}, None, id="declared rules"),
        pytest.param(
            {"tools": [], "include_base_tools": False},
            {"tools": ["tool-conversation_search"], "tool_rules": [CONTINUE]},
            Patch((), (CONTINUE,)),
            id="detached",
        ),
        pytest.param(
            {"tools": [], "include_base_tools": False},
            {"tools": ["tool-conversation_search"], "tool_rules": [{**CONTINUE, "type": "run_first"}]},
            None,
            id="detached, and the rule is of somebody else",
        ),
    ],
)
def test_rules_of_built_in_tools_come_and_go_with_them(
    values: dict[str, Any], live: dict[str, Any], written: Any
) -> None:
    agent = wanted("agents.a", **values)
    ours = {"tools": tuple(live.get("tools", ()))}
    has = {"tools": [], "tool_rules": [], "agent_type": "memgpt_agent", "members": ours, **live}
    have = living("agents.a", "agent-1", {"tool_rules": None}, **has)
    found = compare(lookup(manifest(agent, used("conversation_search")), observed(have, SEARCH)), agent, have)
    assert found.fields.get("tool_rules") == written


def test_an_agent_whose_rules_change_is_not_replaced() -> None:
    agent = new(agent_type="letta_v1_agent", tools=refs("pay"))
    have = living("agents.a", "agent-1", **NEW, agent_type="letta_v1_agent", **HAS_PAY, tool_rules=[])
    made = plan(manifest(agent, PAY), observed(have, OLD_PAY))
    assert [(each.action, str(each.address)) for each in made.changes] == [
        ("update", "agents.a"),
        ("update", "tools.pay"),
    ]


def test_a_list_that_is_known_only_during_an_apply() -> None:
    rules = Ref(at("agents.b"), "tool_rules")
    agents = [new(tool_rules=rules, tools=refs("pay")), wanted("agents.b", **NEW, tool_rules=[FIRST])]
    assert "requires_approval pay" in plan(manifest(*agents, PAY), observed()).changes[0].notes[-1]
    have = living("agents.a", "agent-1", **NEW, **HAS_PAY, tool_rules=[FIRST])
    other = living("agents.b", "agent-2", {"tool_rules": [FIRST]}, **NEW, tool_rules=[FIRST])
    made = plan(manifest(*agents, PAY), observed(have, other, OLD_PAY))
    assert "tool_rules.pay" in [each.path for each in made.changes[0].fields_changed]
    replaced = living("agents.b", "agent-2", **NEW, agent_type="react_agent", tool_rules=[FIRST])
    agents[1] = wanted("agents.b", **NEW, agent_type="letta_v1_agent", tool_rules=[])
    made = plan(manifest(*agents, PAY), observed(have, replaced, OLD_PAY), allow_destroy=("agents.b",))
    assert next(step for step in made.steps if step.key == "agents.a").fields == {"tool_rules": rules}
