from __future__ import annotations

import json

import pytest

from lettaform.errors import PlanError
from lettaform.ownership.audit import Audit, Finding, Found

from .conftest import Flow, Run

CLEAN = Audit("support", "http://here", "0.16.8")
FULL = Audit("support", "http://here", "0.16.8", (Finding("unowned", (Found("block", "block-1", "notes"),)),))


@pytest.mark.parametrize(
    ("found", "arguments", "code"),
    [(CLEAN, [], 0), (CLEAN, ["--strict"], 0), (FULL, [], 0), (FULL, ["--strict"], 1)],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_exit_codes(found: Audit, arguments: list[str], code: int, as_json: bool, run: Run, flow: Flow) -> None:
    flow.audited = found
    result = run("audit", *arguments, *["--json"] * as_json)
    assert (result.exit_code, result.stderr) == (code, "")
    if as_json:
        assert json.loads(result.stdout)["exit_code"] == code
    else:
        assert ("block notes  block-1" in result.stdout) is bool(found.findings)
    assert [name for name, *_ in flow.calls] == ["audit"]


def test_a_state_that_cannot_be_read(run: Run, flow: Flow) -> None:
    flow.raises = PlanError("the state of stack `s` cannot be read", "see `lettaform state rebuild`")
    result = run("audit", "--strict")
    assert (result.exit_code, result.stdout) == (1, "")
