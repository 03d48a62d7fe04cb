"""Each rule about a valid manifest: a case that it reports, and cases that it does not."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from lettaform.manifest.rules import WARNINGS
from tests.manifest.conftest import Project

PROSE = "The team answers every customer within a day, in the language in which the customer wrote. "
KEY = "sk-" + "a1" * 12
USED = "agents: {a: {blocks: [b]}}\n"


class Case(NamedTuple):
    """A manifest below `stack: s`, and the warnings of one rule about it: `line:column address message`."""

    rule: str
    text: str
    found: tuple[str, ...] = ()
    files: Mapping[str, str] = {}


def block(fields: str) -> str:
    return f"{USED}blocks: {{b: {{description: d, {fields}}}}}\n"


def agent(fields: str) -> str:
    return f"agents: {{a: {{{fields}}}}}\n"


CASES = [
    # near-limit
    Case(
        "near-limit",
        block(f"value: {'x' * 90}, limit: 100"),
        ("3:30 blocks.b value: has 90 of at most 100 characters",),
    ),
    Case("near-limit", block(f"value: {'x' * 89}, limit: 100")),
    Case("near-limit", block(f"value: {'x' * 95}")),
    Case("near-limit", block(f"value: {'x' * 95}, limit: 100, read_only: true")),
    # empty-block
    Case("empty-block", block("value: '', read_only: true"), ("3:30 blocks.b value: is empty, and read-only",)),
    Case("empty-block", agent("memory: {persona: ' '}"), ("2:32 agents.a.memory.persona value: is empty, so that",)),
    Case("empty-block", agent("memory: {human: ''}")),
    Case("empty-block", block("read_only: true")),
    Case("empty-block", block("value: '', read_only: true, policy: {value: ignore}")),
    # block-without-description
    Case(
        "block-without-description",
        agent("memory: {notes: x}"),
        ("2:23 agents.a.memory.notes description: is missing",),
    ),
    Case("block-without-description", f"{USED}blocks: {{b: }}\n", ("3:10 blocks.b description: is missing",)),
    Case("block-without-description", agent("memory: {persona: x, human: y}")),
    Case("block-without-description", agent("memory: {notes: {value: x, read_only: true}}")),
    Case("block-without-description", agent("sleeptime: true, memory: {human: x}")),
    Case("block-without-description", f"{USED}blocks: {{b: {{external: true, name: b}}}}\n"),
    # unattached-tool
    Case(
        "unattached-tool",
        agent("system: 'First call `archival_memory_search`, then send_message.', tools: [send_message]"),
        ("2:14 agents.a system: the prompt names the tool `archival_memory_search`",),
    ),
    Case("unattached-tool", agent("system: Use memory_insert and conversation_search.")),
    Case("unattached-tool", agent("system: See run_code.md and tools/run_code and run_code-x.")),
    Case("unattached-tool", agent("system: Open with grep_files., folders: [f]") + "folders: {f: {embedding: a/b}}\n"),
    Case("unattached-tool", agent("system: Call run_code., tools: [t]") + "tools: {t: {external: true, id: tool-1}}\n"),
    # no-memory-tool
    Case(
        "no-memory-tool",
        agent("include_base_tools: false, memory: {human: x}"),
        ("2:14 agents.a include_base_tools: the agent has memory blocks",),
    ),
    Case(
        "no-memory-tool",
        agent("include_base_tools: false, tools: [run_code], memory: {human: x}"),
        ("2:41 agents.a tools: the agent has memory blocks",),
    ),
    Case("no-memory-tool", agent("memory: {human: x}")),
    Case("no-memory-tool", agent("include_base_tools: false, tools: [memory], memory: {human: x}")),
    Case("no-memory-tool", agent("include_base_tools: false, memory: {human: {value: x, read_only: true}}")),
    Case("no-memory-tool", agent("include_base_tools: false, sleeptime: true, memory: {human: x}")),
    Case("no-memory-tool", agent("include_base_tools: false")),
    # duplicate-block
    Case(
        "duplicate-block",
        f"agents: {{a: {{blocks: [b, d]}}}}\nblocks: {{b: {{value: &t '{PROSE}'}}, d: {{value: *t}}}}\n",
        ("3:124 blocks.d value: is the text of blocks.b, too",),
    ),
    Case("duplicate-block", "blocks: {b: {value: short}, d: {value: short}}\n"),
    Case("duplicate-block", f"blocks: {{b: {{for_each: [x, y], value: '{PROSE}'}}}}\n"),
    # duplicate-name
    Case(
        "duplicate-name",
        "agents: {a: {name: Ann}, b: {name: Ann}}\n",
        ("2:30 agents.b name: `Ann` is the name of two agents of this stack",),
    ),
    Case(
        "duplicate-name",
        "agents: {a: {for_each: [x, y], name: Ann}}\n",
        ("2:32 agents.a[y] name: `Ann` is the name of two agents of this stack",),
    ),
    Case("duplicate-name", "agents: {a: {for_each: [x, y]}, b: {name: '${archives.r.id}'}}\narchives: {r: {}}\n"),
    # long-prompt
    Case("long-prompt", agent(f"system: {'x' * 20_001}"), ("2:14 agents.a system: the prompt has 20,001 characters",)),
    Case("long-prompt", agent(f"system: {'x' * 20_000}")),
    # memory-exceeds-context
    Case(
        "memory-exceeds-context",
        agent("system: abcd, context_window: 1000, memory: {human: {value: x, limit: 4000}}"),
        ("2:28 agents.a context_window: prompt and memory can take about 1,001 tokens of 1,000",),
    ),
    Case("memory-exceeds-context", agent("context_window: 1000, memory: {human: {value: x, limit: 4000}}")),
    Case("memory-exceeds-context", agent("memory: {human: {value: x, limit: 4000000}}")),
    # placeholder-text
    Case("placeholder-text", agent("system: 'You work for <your company>.'"), ("2:14 agents.a system: contains the",)),
    Case("placeholder-text", agent("system: You keep a TODO list of <b>bold</b> plans.")),
    # expression-in-file
    Case(
        "expression-in-file",
        agent("system: !file prompts/a.md"),
        ("prompts/a.md:2:1 agents.a system: `${var.city}` is not evaluated in a file",),
        {"prompts/a.md": "You sell.\nIn ${var.city}.\n"},
    ),
    Case("expression-in-file", agent("system: !file a.md"), (), {"a.md": "Write `echo ${HOME}` and ${x.y}.\n"}),
    # secret-in-clear
    Case(
        "secret-in-clear",
        agent(f"system: The key is {KEY}"),
        ("2:14 agents.a system: contains what looks like an API",),
    ),
    Case(
        "secret-in-clear",
        agent("system: !file a.md"),
        ("a.md:2:1 agents.a system: contains what looks like an API key",),
        {"a.md": f"You sell.\n{KEY}\n"},
    ),
    Case(
        "secret-in-clear",
        "archives: {r: {passages: [{text: 'AKIAABCDEFGHIJKLMNOP'}]}}\n",
        ("2:16 archives.r passages: contains what looks like an AWS access key",),
    ),
    Case(
        "secret-in-clear",
        "variables: {k: {secret: true, default: hunter22}}\nagents: {a: {secrets: {K: '${var.k}'}}}\n",
        ("2:40 variables.k variables.k: a secret in clear",),
    ),
    Case("secret-in-clear", agent("secrets: {K: abc}"), ("2:27 agents.a secrets.K: a secret in clear",)),
    Case("secret-in-clear", agent("system: Ask for a password. Never write keys such as sk-1234.")),
    Case("secret-in-clear", "variables: {k: {secret: true}}\nagents: {a: {secrets: {K: '${var.k}'}}}\n"),
    # single-for-each
    Case("single-for-each", agent("for_each: [x]"), ("2:24 agents.a for_each: has one item",)),
    Case("single-for-each", agent("for_each: {x: 1}"), ("2:24 agents.a for_each: has one item",)),
    Case("single-for-each", agent("for_each: [x, y]")),
    Case("single-for-each", agent("for_each: '${var.all}'") + "variables: {all: {type: list, default: [x]}}\n"),
    Case("single-for-each", agent("for_each: [x]") + "environments: {p: {agents: {a: {for_each: [x, y]}}}}\n"),
    # external-by-id
    Case(
        "external-by-id",
        agent("tools: [t]") + "tools: {t: {external: true, id: tool-1}}\n",
        ("3:29 tools.t id: the id of a tool is another one on each server",),
    ),
    Case("external-by-id", agent("tools: [t]") + "tools: {t: {external: true, name: t}}\n"),
    Case("external-by-id", agent("blocks: [b]") + "blocks: {b: {external: true, id: block-1}}\n"),
]


def warnings(project: Project, rule: str) -> list[str]:
    """The warnings of one rule, as the cases write them."""
    found = project.load(needs="nothing", connects=False, lints=True).warnings
    return [
        f"{each.place} ".removeprefix("lettaform.yaml:") + f"{each.address} {each.message}"
        for each in found
        if each.rule == rule
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {'reported' if case.found else 'fine'}")
def test_rule(case: Case, project: Project) -> None:
    project.write(f"stack: s\n{case.text}", case.files)
    found = warnings(project, case.rule)
    assert len(found) == len(case.found)
    assert [text for text, start in zip(found, case.found, strict=True) if not text.startswith(start)] == []


def test_a_tool_of_the_manifest_is_unattached_if_the_agent_does_not_list_it(project: Project) -> None:
    source = 'def find_book() -> str:\n    """Find a book."""\n    return ""\n'
    text = "stack: s\nagents:\n  a: {system: Call find_book.TOOLS}\n  b: {tools: [t]}\ntools: {t: {source: t.py}}\n"
    project.write(text.replace("TOOLS", ""), {"t.py": source})
    assert len(warnings(project, "unattached-tool")) == 1
    project.write(text.replace("TOOLS", ", tools: [t]"), {"t.py": source})
    assert warnings(project, "unattached-tool") == []


ELSEWHERE = {
    "misspelled-variable": "test_load.py",
    "no-file-matches": "test_commands.py",
    "path-as-text": "test_broken.py",
    "unused-exclusion": "test_load.py",
    "unused-declaration": "test_unused.py",
    "unused-variable": "test_unused.py",
    "unused-waiver": "test_waivers.py",
}
"""Rules to the test modules that have their cases."""


def test_each_rule_has_a_case_that_it_reports_and_one_that_it_does_not() -> None:
    reported = {case.rule for case in CASES if case.found}
    fine = {case.rule for case in CASES if not case.found}
    assert reported == fine == WARNINGS.keys() - ELSEWHERE.keys()


def test_all_instances_of_a_for_each_are_one_warning(project: Project) -> None:
    project.write("stack: s\nagents: {a: {for_each: [x, y, z], system: You work for <your company>.}}\n")
    assert len(warnings(project, "placeholder-text")) == 1


def test_a_line_with_a_secret_is_not_shown(project: Project) -> None:
    project.write(f"stack: s\nagents: {{a: {{system: {KEY}}}}}\n")
    (found,) = project.load(lints=True).warnings
    assert (found.secret, KEY in str(found)) == (True, False)


def test_the_value_of_a_secret_variable_is_found_in_a_text(project: Project) -> None:
    text = "variables: {k: {secret: true}}\nagents: {a: {system: The word is plain-words, secrets: {K: '${var.k}'}}}\n"
    project.write(f"stack: s\n{text}")
    (found,) = project.load(lints=True, variables={"k": "plain-words"}).warnings
    assert found.message == "system: contains the value of `var.k`"


def test_nothing_is_looked_for_while_there_are_errors_and_by_other_verbs(project: Project) -> None:
    project.write("stack: s\nagents: {a: {for_each: [x], modle: x}}\n")
    assert [each.severity for each in project.problems(lints=True)] == ["error"]
    project.write("stack: s\nagents: {a: {for_each: [x]}}\n")
    assert project.load().warnings == ()


def test_the_remedies_that_warnings_name_are_without_warnings(project: Project) -> None:
    text = """\
        stack: s
        agents:
          a:
            system: "You work for Acme. Call run_code."
            tools: [run_code, memory_insert]
            include_base_tools: false
            memory:
              persona: I sell.
              notes: {value: xxxxx, limit: 10, description: What I noted.}
              rules: {value: Be kind., read_only: true}
        """
    project.write(textwrap.dedent(text))
    assert project.load(lints=True).warnings == ()
