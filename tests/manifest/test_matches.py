"""The section `matches`: what is read of it, and what is reported, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.manifest.names import names
from lettaform.model import MATCH_LIMIT, Selector
from lettaform.values import Ref, Secret
from tests.manifest.conftest import Project

at = Address.parse


def test_an_entry_is_read_with_its_defaults(project: Project) -> None:
    project.write(
        """\
        stack: s
        variables: {team: {default: support}, key: {secret: true, default: k}}
        blocks: {notice: {value: x}}
        defaults: {agents: {model: a/b, tags: [all]}}
        matches:
          upgrade:
            match:
              name: ["worker-*", "${var.team}-lead"]
              tags: ["${var.team}"]
              exclude: {name: worker-old, tags: [legacy], id: agent-1}
              stacks: [shop]
            limit: null
            blocks: [notice]
            secrets: {KEY: "${var.key}"}
            policy: {blocks: ignore}
          small: {match: {name: "*"}, description: x}
        """
    )
    one, two = project.load().matches
    assert (one.address, one.limit, one.stacks) == (at("matches.upgrade"), None, ("shop",))
    assert one.select == Selector(("worker-*", "support-lead"), ("support",))
    assert one.exclude == Selector(("worker-old",), ("legacy",), ("agent-1",))
    assert one.values["blocks"] == [Ref(at("blocks.notice"))]
    assert isinstance(one.values["secrets"]["KEY"], Secret)
    assert one.values.keys() == {"blocks", "secrets"}  # `defaults` are for agents of the stack
    assert one.policies == {"blocks": "ignore"}
    assert (one.place.line, one.places["blocks"].line) == (6, 13)
    assert (two.limit, two.select, two.values) == (MATCH_LIMIT, Selector(("*",)), {"description": "x"})


def test_an_environment_changes_an_entry(project: Project) -> None:
    project.write(
        """\
        stack: s
        matches: {a: {match: {tags: [x]}, model: a/b}, b: {match: {tags: [y]}, model: a/b}}
        environments: {prod: {matches: {a: {limit: 5, model: c/d}, b: !unset }}}
        """
    )
    (entry,) = project.load(environment="prod").matches
    assert (entry.limit, entry.values, entry.select.tags) == (5, {"model": "c/d"}, ("x",))


def test_the_addresses_of_entries_are_completed(project: Project) -> None:
    project.write("stack: s\nmatches: {a: {match: {tags: [x]}, tags: [y]}}\n")
    assert names(Path()).addresses == ("matches.a",)


ENTRY = "stack: s\nmatches:\n  a:\n"


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("tags: [x]", "matches.a.match: `name` or `tags` is required", '`name: "*"` selects every agent'),
        ("match: {exclude: {tags: [y]}}\n    tags: [x]", "matches.a.match: `name` or `tags` is required", "add"),
        ("match: {tags: [x]}", "matches.a declares no field", "add a field of agents"),
        ("match: {tags: [x]}\n    memory: {a: b}", "unknown field `memory`", "declare the block in `blocks`"),
        ("match: {tags: [x]}\n    name: b", "unknown field `name`", "below `match`"),
        ("match: {tags: [x]}\n    agent_type: react_agent", "unknown field `agent_type`", "an existing agent keeps it"),
        ("match: {tags: [x]}\n    sleeptime: true", "unknown field `sleeptime`", "an existing agent keeps it"),
        ("match: {tags: [x]}\n    modl: a/b", "unknown field `modl`", "did you mean `model`?"),
        ("match: {tag: [x]}\n    model: a/b", "matches.a.match: unknown key `tag`", "did you mean `tags`?"),
        ("match: {tags: x}\n    model: a/b", "matches.a.match.tags: expected a list, got the text 'x'", "[x]"),
        ('match: {tags: [""]}\n    model: a/b', "matches.a.match.tags: expected a text that is not empty", None),
        ("match: {tags: [x], stacks: [s]}\n    model: a/b", "matches.a.match.stacks: `s` is this stack", "agents"),
        ("match: {tags: [x], stacks: [A/b]}\n    model: a/b", "matches.a.match.stacks.0: expected letters", None),
        ("match: {tags: [x]}\n    limit: many\n    model: a/b", "matches.a.limit: expected a whole number", None),
        ("match: {tags: [x]}\n    model: gpt", "model: ", None),
        ("match: {tags: [x]}\n    tools: [nothing]", "tools: there is no tool `nothing`", "declare it in `tools`"),
        ("match: {tags: [x]}\n    tags: [a]\n    policy: {tags: enforce}", "policy.tags: an entry of `matches`", None),
        ("match: {tags: [x]}\n    tags: ['lettaform:x']", "tags: 'lettaform:x' starts with `lettaform:`", None),
        ("match: {tags: ['${var.x}']}\n    model: a/b", "there is no variable `x`", None),
    ],
)
def test_what_is_wrong_has_a_place_and_a_hint(body: str, message: str, hint: str | None, project: Project) -> None:
    problems = project.write(f"{ENTRY}    {body}\n").problems()
    assert [each for each in problems if each.message.startswith(message)], [each.message for each in problems]
    (problem,) = [each for each in problems if each.message.startswith(message)]
    assert problem.place
    assert (hint or "") in (problem.hint or "")


@pytest.mark.parametrize("value", ["x", "[x]", "1", "null", "{a: null}", "{a: 1}", '{"": {match: {tags: [x]}}}'])
def test_any_value_gives_a_manifest_or_problems(value: Any, project: Project) -> None:
    project.write(f"stack: s\nmatches: {value}\n")
    if value == "null":
        assert project.load().matches == ()
    else:
        assert project.problems()
