"""`lettaform vendor`: options, output and exit codes."""

from __future__ import annotations

import json

from lettaform.errors import ManifestError, Place, Problem
from lettaform.model import VendoredComponent

from .conftest import Flow, Run


def test_what_is_fetched_and_removed_is_printed(run: Run, flow: Flow) -> None:
    flow.vendored = (
        VendoredComponent("git::a", "vendor/a-1", "fetched"),
        VendoredComponent("git::b", "vendor/b-1", "removed"),
        VendoredComponent("git::c", "vendor/c-1", "unchanged"),
    )
    result = run("vendor")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "+ vendor/a-1  fetched  git::a",
        "- vendor/b-1  removed  git::b",
        "2 components of git repositories, 2 changed.",
    ]


def test_check_has_a_code_of_its_own(run: Run, flow: Flow) -> None:
    assert run("vendor", "--check").exit_code == 0
    flow.vendored = (VendoredComponent("git::a", "vendor/a-1", "differs", "`x` differs\x1b[2J"),)
    result = run("vendor", "--check")
    assert result.exit_code == 2
    assert "\x1b" not in result.stdout
    assert json.loads(run("vendor", "--check", "--json").stdout)["exit_code"] == 2


def test_problems(run: Run, flow: Flow) -> None:
    flow.raises = ManifestError([Problem("git cannot fetch it", Place("a.yaml", 2, 3))])
    result = run("vendor")
    assert result.exit_code == 1
    assert "git cannot fetch it" in result.stderr
