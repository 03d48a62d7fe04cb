"""`history`: one line per run, the newest first."""

from __future__ import annotations

import json

from lettaform.model import Applied
from tests.cli.conftest import Flow, Run

FIRST = Applied(3, "2026-11-26T09:00:00Z", "ann@desk", "apply", "0.1.0", changes={"create": 12})
SECOND = Applied(
    *(4, "2026-11-27T10:30:00Z", "ci@runner", "apply", "0.1.0", "1234"),
    *("0123456789abcdef0123456789abcdef01234567", True, "d" * 64, {"update": 1, "delete": 2}, 1),
)


def test_each_run_is_a_line(flow: Flow, run: Run) -> None:
    flow.runs = (SECOND, FIRST)
    told = run("history").stdout.splitlines()
    assert [" ".join(line.split()) for line in told] == [
        "4 2026-11-27T10:30:00Z apply 1 changed, 2 destroyed ci@runner 0123456789ab with changes 1234 1 step failed",
        "3 2026-11-26T09:00:00Z apply 12 created ann@desk",
    ]
    assert told[0].index("ci@runner") == told[1].index("ann@desk")


def test_a_number_limits_the_runs(flow: Flow, run: Run) -> None:
    flow.runs = (SECOND, FIRST)
    listed = json.loads(run("--json", "history", "-n", "1").stdout)
    assert listed == {"runs": [{**vars(SECOND), "changes": {"update": 1, "delete": 2}}]}
    refused = run("history", "-n", "0")
    assert refused.exit_code == 1
    assert "0 is not in the range x>=1" in refused.output


def test_a_stack_without_runs_says_so(flow: Flow, run: Run) -> None:
    assert run("history").stdout == "The stack has no history: nothing has been applied to it.\n"


def test_no_text_of_a_run_reaches_the_terminal_as_a_control_sequence(flow: Flow, run: Run) -> None:
    flow.runs = (Applied(1, "2026", "eve\x1b[2J@desk", "apply", "0.1.0"),)
    assert "\x1b" not in run("history").stdout
