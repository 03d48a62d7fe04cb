"""Words of Letta's API and of other tools, in a manifest: each gets one line that names what exists here."""

from __future__ import annotations

import re

import pytest

from lettaform.kinds import kinds, sections
from lettaform.manifest import words
from lettaform.manifest.bodies import Body
from lettaform.manifest.language import language, objects
from tests.manifest.conftest import Project

TOP = {*language().fields}
FIELDS = {
    name: {*kind.attrs(), "for_each", "when", "external", "lifecycle", "policy"} for name, kind in kinds().items()
}


def form(name: str) -> Body:
    (found,) = (each.of for section, each in objects().items() if sections()[section] == name)  # type: ignore[attr-defined]
    assert isinstance(found, Body)
    return found


@pytest.mark.parametrize("word", words.SECTIONS)
def test_a_top_level_key_of_another_tool_gets_its_line(word: str, project: Project) -> None:
    project.write(f"stack: s\n{word}: {{}}\n")
    (problem,) = project.problems()
    assert (problem.message, problem.hint) == (f"unknown key `{word}`", words.SECTIONS[word])


@pytest.mark.parametrize("text", words.SECTIONS.values())
def test_a_line_for_a_top_level_key_names_what_exists(text: str) -> None:
    known = TOP | {"external", "default", "url", "secret", "memory", "use"}
    named = [each for each in re.findall(r"`([a-z_]+)[^`]*`", text) if each != "agents"]
    assert set(named) <= known, text


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, table in words._FIELDS.items() for word in table])
def test_a_field_of_another_tool_gets_its_line(kind: str, word: str, project: Project) -> None:
    section = kinds()[kind].section
    project.write(f"stack: s\n{section}: {{a: {{{word}: x}}}}\n")
    hints = [problem.hint for problem in project.problems() if problem.message == f"unknown field `{word}`"]
    assert hints == [words._FIELDS[kind][word]]
    assert word not in form(kind).fields
    (first, *_) = re.findall(r"`([a-z_]+)", words._FIELDS[kind][word])
    assert first in FIELDS[kind] | TOP


@pytest.mark.parametrize(
    ("kind", "word", "hint"),
    [
        ("agent", "llm_config", "it is not managed: model, context_window"),
        ("agent", "tool_exec_environment_variables", "it is not managed: the old name of secrets"),
        ("agent", "memory_blocks", "write `memory`: memory blocks of this agent alone"),
        ("agent", "block_ids", "write `blocks`: shared memory blocks"),
        ("agent", "tool_ids", "write `tools`: "),
        ("agent", "context_window_limit", "write `context_window`: "),
        ("agent", "enable_sleeptime", "write `sleeptime`: "),
        ("mcp_server", "server_url", "write `url`: "),
        ("mcp_server", "auth_token", "write `token`: "),
        ("tool", "source_code", "write `source`: "),
    ],
)
def test_the_names_in_requests_are_known_from_the_kinds(kind: str, word: str, hint: str) -> None:
    assert str(words.field_hint(kind, kinds()[kind], word)).startswith(hint)


def test_every_name_in_requests_and_every_unmanaged_property_gets_a_line() -> None:
    for name, kind in kinds().items():
        lines = kind.attrs()
        for word in {*(line.write for line in lines.values() if line.write), *kind.unmanaged} - {*lines}:
            assert words.field_hint(name, kind, word), (name, word)


def test_an_unknown_word_gets_none() -> None:
    assert words.field_hint("agent", kinds()["agent"], "frobnicate") is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("agents:\n  - name: a\n", "write a map: `{a: {name: a}}`"),
        ("agents: {a: {memory: [{label: human}]}}\n", "write `KEY: value` for each entry"),
    ],
)
def test_a_list_of_objects_says_how_to_write_them(text: str, hint: str, project: Project) -> None:
    project.write(f"stack: s\n{text}")
    assert hint in [problem.hint for problem in project.problems()]
