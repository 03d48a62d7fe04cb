"""Objects of several files of lettactl: each is declared once, and different ones of a name are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from .written import addresses, refused, text, values

AGENT = "  - {name: %s, system_prompt: {value: x}, llm_config: {model: a/b}, embedding: e/m, tools: [%s]%s}\n"
TOOL = "{name: t, source_code: 'def t(): pass'}"


def agents(name: str, tool: str = "", more: str = "") -> str:
    return "agents:\n" + AGENT % (name, tool, f", {more}" if more else "")


BLOCK = "shared_blocks: [{name: b, value: x}]\n"
FOLDER = "shared_folders: [{name: f, files: []}]\n"
SERVER = "mcp_servers: [{name: m, type: sse, server_url: 'https://m.example.com'}]\n"
ARCHIVE = "archives: [{name: r, description: d}]"


def test_equal_objects_of_several_files_are_declared_once(tmp_path: Path) -> None:
    top = BLOCK + FOLDER + SERVER
    uses = f"shared_blocks: [b], shared_folders: [f], {ARCHIVE}"
    found = text(tmp_path, top + agents("one", TOOL, uses), top + agents("two", TOOL, uses))
    assert addresses(found) == [
        *("blocks.b", "mcp_servers.m", "tools.t", "folders.f", "archives.r", "agents.one", "agents.two"),
    ]


def test_a_tool_is_declared_with_its_source_by_one_of_those_who_have_it(tmp_path: Path) -> None:
    for one, other in (("t", TOOL), (TOOL, "t")):
        both = agents("one", one) + AGENT % ("two", other, "")
        for found in (text(tmp_path, both), text(tmp_path, agents("one", one), agents("two", other))):
            assert values(found, "tools.t") == {"source": "def t(): pass"}
            assert values(found, "agents.one")["tools"] == values(found, "agents.two")["tools"]


def test_what_another_file_declares_can_be_used(tmp_path: Path) -> None:
    found = text(tmp_path, agents("one", more="shared_blocks: [b]"), BLOCK + agents("two"))
    assert len(values(found, "agents.one")["blocks"]) == 1


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (agents("a"), agents("a"), "agent `a`"),
        (BLOCK + agents("a"), BLOCK.replace("x", "y") + agents("b"), "block `b`"),
        (SERVER + agents("a"), SERVER.replace("m.e", "n.e") + agents("b"), "mcp_server `m`"),
        (agents("a", TOOL), agents("b", TOOL.replace("pass", "return 1")), "tool `t`"),
        (FOLDER + agents("a"), FOLDER.replace("[]", "[1.yaml]") + agents("b"), "folder `f`"),
    ],
)
def test_different_objects_of_one_name_are_refused_with_both_places(
    one: str, other: str, what: str, tmp_path: Path
) -> None:
    (problem,) = refused(tmp_path, one, other)
    assert f"another {what} is declared at {tmp_path / '1.yaml'}:" in problem
    assert problem.endswith("→ rename one of the two, or remove it")


def test_the_first_description_of_an_archive_counts_as_in_lettactl(tmp_path: Path) -> None:
    found = text(tmp_path, agents("a", more=ARCHIVE), agents("b", more=ARCHIVE.replace(" d", " e")))
    assert values(found, "archives.r")["description"] == "d"


def test_keys_of_names_that_differ_in_other_letters(tmp_path: Path) -> None:
    found = text(tmp_path, "shared_blocks: [{name: A b, value: x}, {name: a-b, value: y}]\n" + agents("a"))
    assert addresses(found) == ["blocks.a-b", "blocks.a-b-2", "agents.a"]
    assert [values(found, each)["label"] for each in addresses(found)[:2]] == ["A b", "a-b"]
