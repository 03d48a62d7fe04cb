"""Every mistake is reported exactly once, with its place, a message and a hint."""

from __future__ import annotations

import json
import re

import pytest

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.render import problems
from tests.manifest.broken import CASES, TOOL, Broken
from tests.manifest.conftest import Project


def line(problem: Problem) -> str:
    """`line:column message → hint`; with the file, unless it is the manifest."""
    place = "" if problem.place is None else f"{problem.place} ".removeprefix("lettaform.yaml:")
    return place + problem.message + (f" → {problem.hint}" if problem.hint else "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reports_exactly_these_problems(case: Broken, project: Project) -> None:
    project.write(case.text, case.files)
    assert tuple(map(line, project.problems(**case.words))) == case.reported


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_misspelled_time_zone_gets_a_suggestion(project: Project) -> None:
    project.write("stack: s\nagents: {a: {timezone: Europe/Berln}}\n")
    (problem,) = project.problems()
    assert problem.hint == "Europe/Berlin"


TEN = """\
stack: s
agnets: {}
defaults:
  agents: {embedding: letta/letta-free}
blocks:
  organization: {label: human}
  other: {}
  other: {}
agents:
  a:
    agent_type: memgpt_agnet
    context_window: big
    model: "${var.modle}"
    system: !file prompts/bos.md
    description: !file ../secret.md
    memory: {human: me}
    blocks: [organization]
  b:
    blocks: [organisation]
variables:
  model: {default: a/b}
"""
BAD = "blocks:\n  x:\n    value: y\n   limit: 3\n"


def test_ten_problems_are_reported_at_once(project: Project) -> None:
    """Invalid YAML stops the reading of its own file only, here a file of variables."""
    project.write(TEN, {"bad.yaml": BAD, "prompts/boss.md": "x"})
    assert list(map(line, project.problems(variable_files=["bad.yaml"]))) == [
        "bad.yaml:4:4 invalid YAML: did not find expected key"
        " → while parsing a block mapping that starts in line 2; check the indentation",
        "2:1 unknown key `agnets` → did you mean `agents`?",
        "8:3 the key `other` is defined twice: here and in line 7 → remove one of the two",
        "11:17 agent_type: expected one of the allowed values, got the text 'memgpt_agnet'"
        " → did you mean `memgpt_agent`?",
        "12:21 context_window: expected a whole number, got the text 'big'",
        "13:13 there is no variable `modle` → did you mean `model`?",
        "14:13 there is no file `prompts/bos.md` → did you mean `prompts/boss.md`?",
        "15:18 `../secret.md` is outside the project"
        " → move the file into the project, or use -C with a folder that contains both",
        "17:14 two blocks of agents.a have the label `human`"
        " → rename or remove one of the two; the other is at lettaform.yaml:16:14",
        "19:14 blocks: there is no block `organisation` → did you mean `organization`?",
    ]


def test_what_may_be_in_an_unreadable_file_is_not_reported_as_undeclared(project: Project) -> None:
    project.write(TEN + "include: [bad.yaml]\n", {"bad.yaml": BAD, "prompts/boss.md": "x"})
    found = set(map(line, project.problems()))
    assert len(found) == 8
    assert not [text for text in found if "modle" in text or "organisation" in text]


def test_problems_have_address_and_field(project: Project) -> None:
    rule = "{type: exit_loop, tool_name: x}"
    project.write(f"stack: s\nagents:\n  a:\n    tool_rules: [{rule}, x]\n    memory: {{human: {{limt: 1}}}}\n")
    found = [(problem.address, problem.field) for problem in project.problems()]
    assert found == [("agents.a", "tool_rules.1"), ("agents.a.memory.human", "limt")]


REMEDIES = (
    # an item of a list, or the value of a key, and the place for what the hint shows
    ("tools: {t: {source: t.py, pip_requirements: [%s]}}", "requests"),
    ("tools: {t: {source: t.py, pip_requirements: [%s]}}", '"httpx>=0.27"'),
    ("tools: {t: {source: t.py, pip_requirements: %s}}", "requests"),
    ("tools: {t: {source: t.py, npm_requirements: [%s]}}", "zod"),
    ("tools: {t: %s}", "t.py"),
    ("agents: {a: {tools: %s}}", "{memory: {}}"),
    ("agents: {a: {tags: %s}}", "support"),
    ("agents: {a: {tags: %s}}", '"a, b"'),
    ("agents: {a: {memory: %s}}", "[persona]"),
    ("agents: {a: {memory: {version: %s}}}", "1.10"),
    ("agents: {a: {response_format: %s}}", "json_object"),
    ("agents: {a: {response_format: %s}}", "json_schema"),
    ("agents: {a: {model_settings: %s}}", "openai"),
    ("agents: {a: {compaction_settings: %s}}", "self_compact_all"),
    ("agents: {a: {hidden: %s}}", "yes"),
    ("agents: {a: {lifecycle: %s}}", "prevent_destroy"),
    ("agents: %s", "[{name: a}]"),
    ("agents: %s", "[a, b]"),
    ("blocks: {b: %s}", "We ship on Fridays."),
    ("blocks: {b: %s}", "{external: {name: x}}"),
    ("blocks: {b: {external: %s, name: x}}", "on"),
    ("archives: {a: {passages: %s}}", "We chose PostgreSQL."),
    ("agents: {a: {}}\nimports: %s", "{agents.a: agent-1}"),
    ("agents: {a: {}}\nimports: %s", "{to: agents.a, id: agent-1}"),
    ("agents: {b: {}}\nmoved: %s", "{agents.a: agents.b}"),
    ("removed: %s", "{agents.a: {destroy: false}}"),
    ("removed: [%s]", "agents.a"),
    ("variables: {model: %s}", "openai/gpt-4o"),
    ("variables: {number: %s}", "5"),
    ("server: %s", "http://localhost:8283"),
    ("include: %s", "t*.yaml"),
    ("environments: %s", "[prod]"),
)


@pytest.mark.parametrize(("text", "wrong"), REMEDIES, ids=[f"{text} {wrong}" for text, wrong in REMEDIES])
def test_what_a_hint_shows_can_be_written(text: str, wrong: str, project: Project) -> None:
    files = {"t.py": TOOL, "team.yaml": "blocks: {}\n"}
    project.write(f"stack: s\n{text % wrong}\n", files)
    hint = next(problem.hint for problem in project.problems() if problem.hint)
    shown = re.search("`(.*)`", hint)
    right = shown[1] if shown else json.dumps(wrong)
    whole = text.replace("%s", "{external: {name: x}}") if "external: true" in right else text
    project.write(f"stack: s\n{whole.replace(wrong, '%s') % right}\n", files)
    project.load()


def test_secrets_are_never_shown(project: Project) -> None:
    project.write(
        """
        stack: s
        variables: {key: {secret: true}, number: {type: number, secret: true}}
        agents:
          a:
            name: "${var.key}"
            description: "x ${env.TOKEN}"
            context_window: "${var.key}"
            system: !file "${env.TOKEN}"
            tools: ["${var.key}"]
            secrets: ["${var.key}"]
            metadata: {"hunter22": "${var.key.deeper}"}
        tools:
          t: {source: "${var.key}"}
        """
    )
    problems = project.problems(variables={"key": "hunter22", "number": "hunter22"}, environ={"TOKEN": "tok-12345"})
    assert len(problems) >= 8
    assert not [problem for problem in problems if "hunter22" in str(problem) or "tok-12345" in str(problem)]


# --- warnings --------------------------------------------------------------------------------------------------------

LIKELY_MISTAKES = """\
stack: s
agents:
  a:
    system: prompts/a.md
    description: notes.csv
    secrets: {TILL_KEY: a-key-in-clear, OTHER: "${var.other}"}
    memory: {persona: prompts/a.md, human: {value: other.csv}, day: See a.md.}
archives: {r: {passages: [a.md, {text: b.md}]}}
blocks: {b: {value: a.md, label: b.md, metadata: {a: a.md}}}
mcp_servers: {m: {type: sse, url: "https://m.example", token: abc, headers: {Accept: text/html, X-Api-Key: k}}}
variables: {other: {secret: true, default: hunter22}}
"""


def test_likely_mistakes_are_warnings(project: Project) -> None:
    project.write(LIKELY_MISTAKES, {"notes.csv": "a"})
    warnings = project.load().warnings
    assert {each.severity for each in warnings} == {"warning"}
    assert sorted(map(line, warnings)) == sorted(
        [
            "4:13 system: the text 'prompts/a.md' looks like the path of a file → "
            "write `!file prompts/a.md` for the content of the file",
            "5:18 description: the text 'notes.csv' looks like the path of a file → "
            "write `!file notes.csv` for the content of the file",
            "6:25 secrets.TILL_KEY: a secret in clear → "
            "declare `variables: {till_key: {secret: true}}`, and write `${var.till_key}`",
            "7:23 value: the text 'prompts/a.md' looks like the path of a file → "
            "write `!file prompts/a.md` for the content of the file",
            "8:27 passages.0: the text 'a.md' looks like the path of a file → "
            "write `!file a.md` for the content of the file",
            "9:21 value: the text 'a.md' looks like the path of a file → "
            "write `!file a.md` for the content of the file",
            "10:63 token: a secret in clear → declare `variables: {token: {secret: true}}`, and write `${var.token}`",
            "10:108 headers.X-Api-Key: a secret in clear → "
            "declare `variables: {x_api_key: {secret: true}}`, and write `${var.x_api_key}`",
        ]
    )
    secret = [each for each in warnings if "secret" in each.message]
    assert [problems.problem(each, read=lambda file: ["k abc a-key"] * 20).count("│") for each in secret] == [0, 0, 0]


@pytest.mark.parametrize(
    ("objects", "place"),
    [
        ("agents: {a: {model: p/m, secrets: {Till.KEY: '1'}}}", "2:46 secrets.Till.KEY"),
        ("mcp_servers: {m: {command: x, env: {a.key: '1'}}}", "2:44 env.a.key"),
        ("mcp_servers: {m: {url: 'https://m.example/', headers: {X.Api.Key: '1'}}}", "2:67 headers.X.Api.Key"),
    ],
)
def test_a_secret_in_clear_is_found_under_a_key_with_dots(project: Project, objects: str, place: str) -> None:
    project.write(f"stack: s\n{objects}\n")
    (warning,) = project.load().warnings
    assert line(warning).startswith(f"{place}: a secret in clear → ")


def test_a_mapping_in_place_of_a_secret_is_refused(project: Project) -> None:
    project.write("stack: s\nmcp_servers: {m: {url: 'https://m.example/', token: {blocks.b: '0'}}}\n")
    assert [line(each) for each in project.problems()] == ["2:53 token: expected a text"]


def test_what_the_warnings_show_can_be_written(project: Project) -> None:
    project.write(
        """\
        stack: s
        variables: {till_key: {secret: true}}
        agents: {a: {system: !file prompts/a.md, secrets: {TILL_KEY: "${var.till_key}"}}}
        """,
        {"prompts/a.md": "You sell."},
    )
    manifest = project.load(variables={"till_key": "hunter22"})
    assert manifest.warnings == ()
    assert manifest.objects[Address.of("agents", "a")].values["system"] == "You sell."
