"""Shared objects and variables to which nothing refers, in any environment."""

from __future__ import annotations

import pytest

from tests.manifest.conftest import Project

TOOL = 'def t() -> str:\n    """Do."""\n    return ""\n'
ALL = """\
stack: s
variables: {v: {default: x}, w: {default: y}}
blocks: {b: {}, c: {}}
tools: {t: {source: t.py}}
folders: {f: {embedding: a/b}}
archives: {r: {}}
identities: {i: {identifier_key: k, name: n, identity_type: user}}
"""


def unused(project: Project, text: str) -> list[str]:
    project.write(text, {"t.py": TOOL})
    found = project.load(lints=True, needs="nothing", connects=False).warnings
    assert {each.rule for each in found} <= {"unused-variable", "unused-declaration", "block-without-description"}
    return [each.address or "" for each in found if each.rule.startswith("unused")]


def test_everything_is_unused_where_nothing_uses_it(project: Project) -> None:
    names = ["variables.v", "variables.w", "blocks.b", "blocks.c", "tools.t", "folders.f", "archives.r", "identities.i"]
    assert unused(project, ALL) == names


def test_nothing_is_unused_where_something_uses_it(project: Project) -> None:
    agent = "description: '${var.v}', blocks: [b], tools: [t], folders: [f], archive: r, identities: [i]"
    text = f"{ALL}agents: {{a: {{{agent}}}}}\noutputs: {{o: '${{blocks.c.id}} ${{var.w}}'}}\n"
    assert unused(project, text) == []


@pytest.mark.parametrize(
    "use",
    [
        "agents: {a: {for_each: {x: b, y: b}, blocks: ['${each.value}']}}",
        "agents: {a: {when: false, blocks: [b]}}",
        "agents: {a: {description: 'It is ${blocks.b.label}.'}}",
        "agents: {a: }\nenvironments: {prod: {agents: {a: {blocks: [b]}}}}",
        "agents: {a: }\ndefaults: {agents: {blocks: [b]}}",
        "agents: {a: {sleeptime: {blocks: [b]}}}",
        "outputs: {o: {deep: ['${blocks.b.id}']}}",
    ],
)
def test_ways_to_use_a_block(project: Project, use: str) -> None:
    assert unused(project, f"stack: s\nblocks: {{b: {{label: x}}}}\n{use}\n") == []


@pytest.mark.parametrize("item", ["b", "b[x]"])
def test_an_instance_uses_its_declaration(project: Project, item: str) -> None:
    agents = f"environments: {{prod: {{agents: {{a: {{blocks: ['{item}']}}}}}}}}"
    assert unused(project, f"stack: s\nblocks: {{b: {{for_each: [x, y]}}}}\nagents: {{a: }}\n{agents}\n") == []


@pytest.mark.parametrize(
    "use",
    [
        "agents: {a: {model: '${var.v}'}}",
        "server: {url: 'https://${var.v}'}",
        "environments: {prod: {outputs: {o: '${var.v}'}}}",
        "agents: {a: {description: !file '${var.v}.md'}}",
    ],
)
def test_ways_to_use_a_variable(project: Project, use: str) -> None:
    project.write(f"stack: s\nvariables: {{v: {{default: a/b}}}}\n{use}\n", {"a/b.md": "x"})
    found = project.load(lints=True, connects=False).warnings
    assert [each.rule for each in found if each.rule == "unused-variable"] == []


def test_a_move_and_a_text_are_no_use(project: Project) -> None:
    text = "moved: [{from: blocks.a, to: blocks.b}]\noutputs: {o: blocks.b, p: '$${blocks.b.id}'}"
    text = f"stack: s\nblocks: {{b: }}\n{text}\n"
    assert unused(project, text) == ["blocks.b"]


def test_objects_that_others_do_not_refer_to_are_fine(project: Project) -> None:
    assert unused(project, "stack: s\nagents: {a: }\nmcp_servers: {m: {url: 'https://m.example/mcp'}}\n") == []


@pytest.mark.parametrize(
    ("waived", "found"),
    [("agents.a", []), ("'*'", []), ("agents.*", []), ("agents.x", ["agents.x"]), ("blocks.*", ["blocks.*"])],
)
def test_a_waiver_of_a_policy_that_matches_no_object(project: Project, waived: str, found: list[str]) -> None:
    pytest.importorskip("cel_expr_python")
    waiver = f"{{address: {waived}, reason: x}}"
    rule = f"policies: {{named: {{rule: 'change.kind != \"\"', waivers: [{waiver}]}}}}"
    project.write(f"stack: s\nagents: {{a: {{model: a/b}}}}\n{rule}\n")
    warnings = [each for each in project.load(lints=True).warnings if each.rule == "unused-waiver"]
    named = "policies.named.waivers: the manifest declares no object at `{}`"
    assert [each.message for each in warnings] == [named.format(each) for each in found]
    assert all(each.place for each in warnings)
