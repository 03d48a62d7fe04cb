"""How many objects a manifest may have: any number that it lists, and no more than a bound that a short one repeats."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lettaform.errors import ManifestError
from lettaform.manifest import bounds, files
from lettaform.manifest.bounds import VALUES, Bound
from lettaform.manifest.functions import MOST
from tests.manifest.conftest import Project

REPEATED = "by `for_each` and `defaults`, the objects of the manifest have more than"
BLOCKS = "stack: s\nblocks:\n  many: {for_each: '${range(N)}', label: 'l-${each.key}', value: 'v ${each.value}'}\n"


@pytest.mark.parametrize("number", [10**9, 10**15, MOST + 1])
def test_a_range_without_end_is_refused_at_once(project: Project, number: int) -> None:
    before = time.process_time()
    (problem,) = project.write(BLOCKS.replace("N", str(number))).problems()
    assert f"a range has at most {MOST} numbers" in problem.message
    assert time.process_time() - before < 1


def test_for_each_over_more_than_fits_is_refused_before_an_object_is_made(project: Project) -> None:
    memory = "".join(f"    m{n}: a value\n" for n in range(10))
    text = f"agents:\n  many:\n   for_each: '${{range(500000)}}'\n   memory:\n{memory}"
    before = time.process_time()
    (problem,) = project.write(f"stack: s\n{text}").problems()
    assert time.process_time() - before < 3
    assert problem.message == f"{REPEATED} {VALUES.of(len(f'stack: s{chr(10)}{text}'))} values"
    assert (str(problem.place), problem.address) == ("lettaform.yaml:4:14", "agents.many")
    assert problem.hint == "the limit grows with the files: list the objects in a CSV file, or split the manifest"


def test_the_bound_counts_all_declarations_and_is_reported_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.manifest.bounds.VALUES", Bound(100, 0))
    text = BLOCKS.replace("many", "x").replace("N", "20")  # 4 values each
    assert len(project.write(text).load().objects) == 20
    one = text.splitlines(keepends=True)[2]
    project.write(f"{text}{one.replace('x:', 'y:')}{one.replace('x:', 'z:')}")
    (problem,) = project.problems()
    assert problem.message == f"{REPEATED} 100 values"
    assert problem.address == "blocks.y"


def test_defaults_count_for_each_object(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short object may stand for many values, if the defaults have them."""
    monkeypatch.setattr("lettaform.manifest.bounds.VALUES", Bound(160, 0))
    defaults = "stack: s\ndefaults: {agents: {memory: {a: x, b: x, c: x}}}\nagents:\n"
    project.write(defaults + "".join(f"  a{n}:\n" for n in range(20)))
    assert len(project.load().objects) == 80
    project.write(defaults + "".join(f"  a{n}:\n" for n in range(21)))
    (problem,) = project.problems()
    assert problem.message == f"{REPEATED} 160 values"


def test_rows_of_a_file_raise_the_bound(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file lists is within the bound, whatever the fixed part of it is."""
    monkeypatch.setattr("lettaform.manifest.bounds.VALUES", Bound(0, VALUES.each_byte))
    monkeypatch.setattr("lettaform.manifest.bounds.TURNS", Bound(0, bounds.TURNS.each_byte))
    monkeypatch.setattr("lettaform.manifest.bounds.PRODUCED", Bound(0, bounds.PRODUCED.each_byte))
    fields = "memory: {m: '${join(\" \", [for x in keys(each.value) : upper(x)])}', n: 'I am ${each.value.name}.'}"
    text = f"stack: s\nagents:\n  of: {{for_each: !csv people.csv, description: '${{each.key}}', {fields}}}\n"
    project.write(text, {"people.csv": "id,name\n" + "".join(f"{n},N{n}\n" for n in range(500))})
    assert len(project.load().objects) == 1500


def test_a_mapping_in_memory_raises_the_bound_as_files_do(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.manifest.bounds.VALUES", Bound(0, VALUES.each_byte))
    agents = {f"a{n}": {"description": "x"} for n in range(500)}
    document = {"stack": "s", "defaults": {"agents": {"tags": ["t"]}}, "agents": agents}
    assert len(project.load(document=document).objects) == 500


def test_files_have_a_size(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "ONE", 1000)
    project.write("stack: s\nblocks: {b: {value: !file big.txt}}\n", {"big.txt": "x" * 1000})
    assert project.load()
    (tmp_path / "big.txt").write_text("x" * 1001)
    with pytest.raises(ManifestError, match="is larger than 0 MB"):
        project.load()
    monkeypatch.setattr(files, "ONE", 2000)
    monkeypatch.setattr(files, "ALL", 1000)
    with pytest.raises(ManifestError, match="the files of the project are larger than 0 MB"):
        project.load()
