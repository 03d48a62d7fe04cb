"""`lettaform promote`: which environments, which memory; what is shown, asked for, saved and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lettaform.model import AgentChange, MergeConflict, PlanOptions, Promotion

from .conftest import Flow, Run, a_plan, at

BOTH = ("--from", "dev", "--to", "prod")


def test_it_shows_the_plan_and_asks(flow: Flow, run: Run) -> None:
    done = run("promote", *BOTH, "agents.clerk", "--memory", "merge")
    assert done.exit_code == 1
    assert "lettaform promote -y agents.clerk --from dev --to prod --memory merge" in done.stderr
    assert flow.consents == [False]


def test_it_is_carried_out_with_its_options(flow: Flow, run: Run) -> None:
    done = run("promote", *BOTH, "-y", "--memory", "merge", "--ours", "blocks.a", "--theirs", "blocks.b", "agents.*")
    assert done.exit_code == 0
    assert flow.calls[0][3:] == ("dev", "prod", ("agents.*",), "merge", ("blocks.a",), ("blocks.b",))
    run("promote", *BOTH, "-y")
    assert flow.calls[1][3:] == ("dev", "prod", (), "keep", (), ())
    assert json.loads(run("promote", *BOTH, "-y", "--json").stdout.splitlines()[-1])["event"] == "summary"


def test_its_plan_is_saved(flow: Flow, run: Run, tmp_path: Path) -> None:
    done = run("promote", *BOTH, "-o", str(tmp_path / "p.json"))
    assert (done.exit_code, flow.consents) == (0, [])
    assert (tmp_path / "p.json").read_text() == "saved"


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("more", [(), ("-y",), ("-y", "--json")])
def test_a_conflict_is_shown_and_nothing_is_asked(more: tuple[str, ...], empty: bool, flow: Flow, run: Run) -> None:
    conflict = MergeConflict("`dev` and this environment changed the same lines", "<<<<<<< here\nx")
    kept = AgentChange(at("blocks.a"), "value", "block-1", "x", "y", conflict=conflict)
    options = PlanOptions(promotion=Promotion("dev", "merge"))
    flow.planned = replace(a_plan(empty=empty), runtime=(kept,), options=options)
    done = run("promote", *BOTH, "--memory", "merge", *more)
    assert done.exit_code == 4
    assert "changed the same lines" in done.stdout
    assert "--theirs 'blocks.a'" in done.stderr or "--theirs 'blocks.a'" in done.stdout
    assert flow.consents == []


@pytest.mark.parametrize(
    "words", [(), ("--from", "dev"), ("--to", "prod"), (*BOTH, "-e", "dev"), (*BOTH, "--memory", "x")]
)
def test_what_is_not_accepted(words: tuple[str, ...], flow: Flow, run: Run) -> None:
    assert run("promote", *words).exit_code == 1
    assert flow.calls == []
