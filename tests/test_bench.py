"""The measurements: ratios to floors that a change must not raise, and the table and plot of a run."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report
from bench.__main__ import numbers, rows
from bench.filled import connected, filled
from bench.fleet import PER_FILE, write
from bench.process import ROOT, python, run
from bench.ratios import KNOWN, TOLERANCE, worse
from bench.rows import Run
from lettaform import flow
from lettaform.manifest import load

RUNS = [
    Run("help", 0, "-", 0.1, 0.05, 20.0, None, 0.03),
    *(Run("plan", 100, "server", wall, 0.4, 80.0, 6, 0.5, 0.2) for wall in (0.6, 0.5, 1.0)),
    Run("plan", 1000, "server", 4.0, 1.5, 120.0, 12, 3.8),
    Run("plan", 10_000, "stand-in", 20.0, 18.0, 500.0, 60, 6.0),
]


@pytest.mark.thorough
def test_no_ratio_has_grown() -> None:
    """Run `python -m bench.ratios --write` after a change that is worth it, and say why in the commit."""
    run(python("-m", "bench.ratios"), ROOT)


def test_each_command_has_a_known_ratio() -> None:
    assert json.loads(KNOWN.read_text()).keys() == {"--help", "version", "validate", "plan"}


def test_a_ratio_that_has_grown_is_named() -> None:
    assert worse({"plan": 2 * TOLERANCE + 0.01}, {"plan": 2.0}) == ["plan: 3.01 times its floor, before: 2.00"]
    assert worse({"plan": 2 * TOLERANCE}, {"plan": 2.0}) == []


@pytest.mark.parametrize("agents", [1, 3, 12])
def test_a_filled_stand_in_is_what_an_apply_leaves(tmp_path: Path, agents: int) -> None:
    write(tmp_path, agents)
    with connected(filled(agents)) as connection:
        assert not flow.plan(flow.Source(tmp_path), connection).steps


def test_a_large_fleet_is_written_to_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.fleet.PER_FILE", 2)
    assert PER_FILE > 2
    assert [file.name for file in write(tmp_path, 5)] == ["lettaform.yaml", "part1.yaml", "part2.yaml"]
    assert (
        sum(address.section == "agents" and not address.parent for address in load(tmp_path, environ={}).objects) == 5
    )


def test_the_table_has_medians() -> None:
    found = report.lines(RUNS)
    assert [(line.row, line.agents, line.runs) for line in found] == [
        ("help", 0, 1),
        ("plan", 100, 3),
        ("plan", 1000, 1),
        ("plan", 10_000, 1),
    ]
    assert (found[1].wall, found[1].ratio, found[1].terraform) == (0.6, 1.2, 0.2)
    assert found[3].ratio == 3.0  # CPU time: the stand-in is in the same process
    assert report.text(found).splitlines()[2].split() == [
        *("plan", "100", "server", "0.600", "0.400", "80", "6", "0.500", "1.20", "4.00", "0.200")
    ]
    assert report.markdown(found).splitlines()[1].startswith("| --- | ---: | --- |")
    assert report.from_json(report.as_json(found, {"date": "2026-01-01"})) == found
    assert report.joined([found[2:], found]) == found


def test_the_plot_is_an_svg_of_its_own() -> None:
    drawn = report.svg(report.lines(RUNS))
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 2  # the command and its floor
    assert "href" not in drawn
    assert report.svg(report.lines(RUNS[:1])) == ""


def test_a_process_is_measured(tmp_path: Path) -> None:
    used, output = run(python("-c", "x = bytearray(60_000_000); print(len(x))"), tmp_path)
    assert output == "60000000\n"
    assert 0 < used.cpu < used.wall + 1
    assert used.memory > 60
    with pytest.raises(RuntimeError, match="ended with 3"):
        run(python("-c", "raise SystemExit(3)"), tmp_path)


def test_the_arguments() -> None:
    assert numbers("1,100_000") == [1, 100_000]
    assert rows("plan,destroy plan") == ["plan", "destroy plan"]
    with pytest.raises(Exception, match="'plans' is none of help"):
        rows("plans")
