"""A manifest in memory has the problems of the same manifest in a file; their places are paths."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from lettaform.errors import ManifestError, Place, Problem
from lettaform.manifest import load, memory
from lettaform.manifest.form import entry
from lettaform.manifest.node import CSV, FILE, JSON, Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import parse
from lettaform.values import UNSET, CsvFile, File, JsonFile
from tests.manifest.broken import CASES, Broken
from tests.manifest.conftest import Project

pytestmark = pytest.mark.thorough

TAGS = {FILE: File, JSON: JsonFile, CSV: CsvFile}


def in_memory(node: Node) -> Any:
    """What a file holds, as Python's own values."""
    if node.tag:
        return TAGS[node.tag](node.value) if node.tag in TAGS else UNSET
    if isinstance(node.value, dict):
        return {key: in_memory(child) for key, child in node.value.items()}
    return [in_memory(child) for child in node.value] if isinstance(node.value, list) else node.value


def paths(node: Node, path: str = "") -> Iterator[tuple[Place, str]]:
    """The place of each value and key of a file, and its path."""
    yield node.place, path
    for key, child in node.map.items():
        inner = entry(path, key) if path else key
        yield node.keys[key], inner
        yield from paths(child, inner)
    for number, child in enumerate(node.list):
        yield from paths(child, f"{path}.{number}")


def parsed(text: str) -> Node | None:
    """The content of a file; None if it is no YAML of ours."""
    problems = Problems()
    node = parse(text, "lettaform.yaml", problems)
    return node if node and isinstance(node.value, dict) and not problems.has_errors else None


def problems_of(document: Mapping[str, Any], folder: Path, **words: Any) -> list[Problem]:
    try:
        load(folder, document=document, **({"environ": {}} | words))
    except ManifestError as error:
        return list(error.problems)
    return []


IN_A_TEXT = ("cycle of references", "reference to itself")
"""Their messages name the place of an expression inside of a text; in memory, that of the text."""
READABLE = [
    case
    for case in CASES
    if parsed(case.text) and not {"lettaform.yaml", "files"} & {*case.files, *case.words} and case.name not in IN_A_TEXT
]


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.name)
def test_reports_what_the_same_file_reports(case: Broken, project: Project) -> None:
    project.write(case.text, case.files)
    node = parsed(case.text)
    assert node is not None
    expected = project.problems(**case.words)
    found = problems_of(in_memory(node), project.folder, **case.words)
    known = {place: path for place, path in paths(node) if place != node.place}
    assert sorted(map(told, found)) == sorted(told(each, known) for each in expected)
    for each in expected:
        if each.place in known:
            same = [other.place for other in found if told(other) == told(each, known)]
            assert Place(known[each.place], 0, 0) in same


def told(problem: Problem, known: Mapping[Place, str] = {}) -> tuple[str, str, str]:
    """What a problem says, with paths in place of the places that its message names."""
    message, hint = problem.message, problem.hint or ""
    for place in sorted(known, key=lambda place: -len(str(place))):
        message, hint = (text.replace(str(place), known[place]) for text in (message, hint))
    return message, hint, problem.address or ""


def test_most_of_the_broken_manifests_are_tried() -> None:
    assert len(READABLE) > 0.8 * len(CASES)


class Model(str, enum.Enum):  # noqa: UP042 (people have both)
    FREE = "letta/letta-free"


def test_reads_python_values(tmp_path: Path) -> None:
    (tmp_path / "boss.md").write_text("You are the boss.")
    (tmp_path / "metadata.json").write_text('{"floor": 1}')
    document = {
        "stack": "s",
        "defaults": {"agents": {"model": Model.FREE, "embedding": Model.FREE, "timezone": "UTC"}},
        "agents": MappingProxyType(
            {
                "lead": {
                    "system": File("boss.md"),
                    "metadata": JsonFile(Path("metadata.json")),
                    "timezone": UNSET,
                    "tags": ("a", "b"),
                    "memory": {"human": "Ann"},
                }
            }
        ),
    }
    manifest = load(tmp_path, document=document, environ={})
    (agent,) = (each for each in manifest.objects.values() if each.kind == "agent")
    assert agent.values == {
        "name": "lead",
        "system": "You are the boss.",
        "metadata": {"floor": 1},
        "tags": ["a", "b"],
        "model": "letta/letta-free",
        "embedding": "letta/letta-free",
    }
    assert type(agent.values["model"]) is str
    assert str(agent.place) == "agents.lead"
    assert set(manifest.inputs.files) == {"the manifest in memory", "boss.md", "metadata.json"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "a value of the type `object` cannot be part of a manifest"),
        (Path("x"), "a value of the type `PosixPath` cannot be part of a manifest"),
        (b"x", "a value of the type `bytes` cannot be part of a manifest"),
        ({1, 2}, "a value of the type `set` cannot be part of a manifest"),
        (2**63, "the number `9223372036854775808` is too large"),
        (float("nan"), "`nan` is not a valid number in JSON"),
        ("\ud800", "the text is not valid Unicode: it contains a surrogate"),
        ({1: 2}, "a key must be a text, got 1"),
        ([UNSET], "`UNSET` removes a field of a map; it cannot be an item of a list"),
        (File(""), "`File` needs a path"),
        (File("nowhere.md"), "there is no file `nowhere.md`"),
        (File("../secret"), "`../secret` is outside the project"),
    ],
    ids=lambda each: type(each).__name__ if type(each) is object else repr(each),
)
def test_what_cannot_be_part_of_a_manifest_is_a_problem_with_its_path(
    value: object, message: str, tmp_path: Path
) -> None:
    document = {"stack": "s", "blocks": {"b": {"value": "x", "metadata": {"m": value}}}}
    (problem,) = problems_of(document, tmp_path)
    assert problem.message == message
    assert str(problem.place).startswith("blocks.b.metadata.m")
    assert str(problem).startswith("blocks.b.metadata.m")


def test_a_mapping_that_contains_itself_is_a_problem(tmp_path: Path) -> None:
    metadata: dict[str, Any] = {}
    metadata["again"] = metadata
    (problem,) = problems_of({"stack": "s", "blocks": {"b": {"value": "x", "metadata": metadata}}}, tmp_path)
    assert problem.message == "lists and maps are nested more than 100 levels deep"


def test_all_problems_are_reported_at_once_and_no_secret_is_shown(tmp_path: Path) -> None:
    document = {
        "agnets": {},
        "agents": {
            "a.b": {"model": 1, "secrets": {"KEY": "hunter22", "OTHER": ["hunter22"]}, "description": File("no")}
        },
    }
    with pytest.raises(ManifestError) as refused:
        load(tmp_path, document=document, environ={})
    places = [str(each.place) for each in refused.value.problems]
    assert {"agnets", "manifest", 'agents["a.b"].model'} <= set(places)
    assert "hunter22" not in str(refused.value)


def test_files_that_a_mapping_includes_are_read(tmp_path: Path) -> None:
    (tmp_path / "blocks.yaml").write_text("blocks: {b: {value: x}}\n")
    manifest = load(tmp_path, document={"stack": "s", "include": ["blocks.yaml"]}, environ={})
    assert list(map(str, manifest.objects)) == ["blocks.b"]
    (problem,) = problems_of({"stack": "s", "include": ["none.yaml"]}, tmp_path)
    assert (problem.message, str(problem.place)) == ("there is no file `none.yaml`", "include.0")


def test_equal_mappings_are_written_equally() -> None:
    def written(document: Any) -> bytes:
        return memory.written(memory.read(document, Problems()))

    assert written({"a": File("x"), "b": (1,)}) == written({"a": File(Path("x")), "b": [1]})
    assert len({written({"a": each}) for each in (File("x"), JsonFile("x"), "x", UNSET, None, 1, "1", True)}) == 8


@pytest.mark.parametrize("environment", [None, "prod"])
def test_another_name_of_the_stack_wins(environment: str | None, tmp_path: Path) -> None:
    text = 'stack: s\nblocks: {b: {value: "${stack}"}}\nenvironments: {prod: {stack: p}}\n'
    (tmp_path / "lettaform.yaml").write_text(text)
    manifest = load(tmp_path, environ={}, stack="mine", environment=environment)
    assert (manifest.stack, [each.values["value"] for each in manifest.objects.values()]) == ("mine", ["mine"])


def test_another_name_of_the_stack_is_checked(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("blocks: {b: {value: x}}\n")
    with pytest.raises(ManifestError, match="stack: stack: expected letters a-z"):
        load(tmp_path, environ={}, stack="Mine!")
