"""What the texts of a manifest show at first sight, against what the manifest says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lettaform.manifest import begin
from lettaform.manifest import glance as glances
from lettaform.manifest.glance import Glance, glance
from lettaform.session.observe import FirstReads

EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[2] / "examples").glob("*/lettaform.yaml"))


@pytest.fixture(autouse=True)
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glances, "SMALL", 0)


def write(folder: Path, text: str) -> None:
    (folder / "lettaform.yaml").write_text(text)


@pytest.mark.parametrize(
    ("text", "stack"),
    [
        ("stack: s\nagents: {}\n", "s"),
        ('agents:\n  a: {}\n"stack"  :  "a b" # yes\n', "a b"),
        ("stack:\n  s\n", "s"),
        ("# stack: other\nstack: s", "s"),
        ("stack: s\nblocks:\n  b:\n    value: |\n      stack: other\n    stack: third\n", "s"),
        ('{"stack": "s", "agents": {"a": {"tags": ["stack"]}}}', "s"),
        ('\n{\n "agents": {},\n "stack"\n : "s"}', "s"),
        ("agents: {}\n", None),
        ("stack: [s]\n", None),
        ("stack: !file name.txt\n", None),
        ("stack: s\nstack: t\n", None),
        ('{"stack": "s", "blocks": {"b": {"external": true, "stack": "t", "address": "blocks.x"}}}', None),
        ("environments:\n  dev:\n    stack: s\n", None),
    ],
)
def test_the_name_of_the_stack(text: str, stack: str | None, tmp_path: Path) -> None:
    write(tmp_path, text)
    found = glance(tmp_path)
    assert (found.stack if found else None) == stack
    named = glance(tmp_path, stack="mine")
    assert named is None or named.stack == "mine"


@pytest.mark.parametrize(
    ("text", "environment", "fields"),
    [
        ("agents: {a: {tools: [t], tags: []}}", None, {"agent": {"tools"}}),
        ("agents:\n  a:\n    folders : [f]\nfolders:\n  f: {}", None, {"agent": {"folders"}, "folder": set[str]()}),
        ("agents: {a: {sleeptime: true}}", None, {"agent": {"sleeptime"}, "group": set[str]()}),
        ("blocks: {b: {value: 'folders, archives'}}\n# folders: none", None, {"block": set[str]()}),
        ("agents: {a: {my-tools: [t], x.tools: [t]}}", None, {"agent": set[str]()}),
        ("agents: {a: {}}\nfolders:\n  f: {}", None, {"agent": set[str](), "folder": set[str]()}),
        ("environments:\n  dev:\n    blocks: {b: {value: x}}", None, {}),
        ("environments:\n  dev:\n    blocks: {b: {value: x}}", "dev", {"block": set[str]()}),
    ],
)
def test_the_fields(text: str, environment: str | None, fields: Any, tmp_path: Path) -> None:
    write(tmp_path, f"stack: s\n{text}")
    assert glance(tmp_path, environment=environment) == Glance("s", fields)


def test_included_files_are_seen(tmp_path: Path) -> None:
    write(tmp_path, "include:\n- teams/*.yaml\n- name.yaml\n")
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "a.yaml").write_text("agents: {a: {tools: [t]}}")
    (tmp_path / "name.yaml").write_text("stack: s")
    assert glance(tmp_path) == Glance("s", {"agent": frozenset({"tools"})})
    (tmp_path / "teams" / "b.yaml").write_text("stack: t")
    assert glance(tmp_path) is None


@pytest.mark.parametrize("named", ["nothing.yaml", "../outside.yaml", "folder"])
def test_what_cannot_be_read_shows_nothing(named: str, tmp_path: Path) -> None:
    (tmp_path / "p" / "folder").mkdir(parents=True)
    (tmp_path / "outside.yaml").write_text("stack: s")
    assert glance(tmp_path / "p", [Path(named)]) is None
    assert glance(tmp_path / "p") is None


def test_a_small_manifest_is_parsed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    write(tmp_path, "stack: s\n")
    assert glance(tmp_path) is None
    write(tmp_path, "stack: s\n" + "# a comment\n" * 6_000)
    assert glance(tmp_path) == Glance("s", {})


def test_components_declare_in_files_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, "stack: s\ncomponents: {desk: {use: ./desk}}\n")
    assert glance(tmp_path) is None


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_what_is_seen_of_an_example_is_asked_of_the_server(folder: Path) -> None:
    outline, seen = begin(folder, connects=False).outline, glance(folder)
    if outline is None or seen is None:
        pytest.skip("it does not say in one place what decides the reads")
    assert seen.stack == outline.stack
    assert FirstReads.same(seen.fields, outline.fields)
