"""The page of the manifest language has every word, with an example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lettaform.kinds import sections
from lettaform.manifest.expressions import EXPRESSIONS
from lettaform.manifest.functions import FUNCTIONS
from lettaform.manifest.language import language
from lettaform.manifest.node import TAGS
from lettaform.render.language import page, words
from lettaform.render.language_examples import CALLS, EXAMPLES, OF_OBJECTS, VALUES
from tests.manifest.conftest import Project

KEYS = [name for name in language().fields if name not in sections()]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


class Loader(yaml.SafeLoader):
    """Reads `!file` and the like as texts."""


Loader.add_multi_constructor("!", lambda loader, tag, node: loader.construct_scalar(node))


def keys_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys_in(each)
    for each in value if isinstance(value, list) else ():
        yield from keys_in(each)


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading, by their first cell."""
    text = page().split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip("`"): cells for cells in lines[2:]}


@pytest.mark.parametrize("key", KEYS)
def test_the_example_of_a_key_has_every_word_inside_it(key: str) -> None:
    example = yaml.load(EXAMPLES[key], Loader)
    inner = words(language().fields[key])
    own = set(inner.fields) if inner and key not in ("defaults", "environments") else set()
    assert own <= set(keys_in(example[key]))
    assert own <= set(rows(f"## {key}")) if own else key in example


def test_every_example_belongs_to_a_key() -> None:
    assert list(EXAMPLES) == [key for key in KEYS if key in EXAMPLES]


def test_the_example_of_objects_has_every_word() -> None:
    listed = {name.rpartition(".")[2] for name in rows("## Objects")}
    assert {"for_each", "when", "external", "policy", "lifecycle", "recompile"} <= listed
    assert listed <= set(keys_in(yaml.load(OF_OBJECTS, Loader)))


def test_the_example_of_values_has_every_expression_and_tag() -> None:
    for name in EXPRESSIONS:
        assert re.search(r"\$\{" + name.replace(".NAME", r"\.\w+").replace("each.", r"each\."), VALUES), name
    assert all(f"{tag} " in VALUES + CALLS or f"{tag}\n" in VALUES for tag in TAGS)


def test_every_function_is_on_the_page() -> None:
    found = rows("## Functions")
    assert {each.partition("(")[0] for each in found} >= FUNCTIONS.keys()


def test_the_example_of_functions_loads(project: Project) -> None:
    files = {"guides.csv": "code,city,language\nann,the Hague,old_dutch\n", "guide.json": '{"settings": {"a": 1}}'}
    found = project.write(f"{CALLS}defaults: {{agents: {{model: a/b}}}}\n", files).load().objects
    described = {str(address): each.values["description"] for address, each in found.items()}
    assert described == {
        "agents.curator": "MUSEUM, floors: Ground and First",
        "agents.guide[ann]": "the Hague in old dutch",
        "agents.desk[1]": "Ground, desk 1",
        "agents.desk[2]": "Ground, desk 2",
        "agents.desk[3]": "Ground, desk 3",
    }


@pytest.mark.parametrize(
    ("heading", "word", "cells"),
    [
        ("## Keys of a manifest", "[stack](#stack)", ["text", "required"]),
        ("## Keys of a manifest", "[agents](kinds/agents.md)", ["map", ""]),
        ("## variables", "type", ["`string`, `number`, `bool`, `list`, `map`", "string"]),
        ("## snapshots", "to", ["text", "`.lettaform/snapshots`"]),
        ("## moved", "from", ["text", "required"]),
        ("## Objects", "when", ["true or false", "true"]),
        ("## Objects", "for_each", ["list or map", ""]),
        ("## Objects", "lifecycle.recompile", ["`agents`, `none`", "the agent and all its conversations"]),
        ("## Objects", "lifecycle.ignore_changes", ["list of names of fields", ""]),
        ("## Keys of a manifest", "[include](#include)", ["list of texts", ""]),
    ],
)
def test_a_row_has_type_and_default(heading: str, word: str, cells: list[str]) -> None:
    assert [each.strip() for each in rows(heading)[word][1:3]] == cells


def test_every_row_has_a_meaning() -> None:
    assert [line for line in page().splitlines() if re.search(r"\| +\|$", line)] == []
