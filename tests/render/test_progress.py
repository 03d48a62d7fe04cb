from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from lettaform.errors import ServerError
from lettaform.model import Action, Answer, Change, Event, Outcome, Plan, Step
from lettaform.render import progress
from lettaform.values import Item, Ref

from .samples import HOSTILE, at, of, step


def event(name: str, made: Step, **words: object) -> Event:
    status = name if name in ("done", "failed", "skipped") else None
    outcome = Outcome(made, status, **words) if status else None  # type: ignore[arg-type]
    return Event(name, made, 1, 4, 0.3, outcome)  # type: ignore[arg-type]


create, save = step("agents.supervisor"), step("stack.state", "save_state", kind="stack")
attach = step("agents.a", "attach", field="tools", member=Ref(at("tools.t")))
detach = step("agents.a", "detach", field="blocks", member="block-1")
add = step("archives.k", "attach", kind="archive", field="passages", member=Item("1", "one"))
recompile = step("agents.a", "call", name="recompile")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (event("done", create, answer=Answer("agent-9")), "agents.supervisor: created (agent-9) in 0.3 s"),
        (event("done", step("agents.a", "update", id="agent-1")), "agents.a: changed (agent-1) in 0.3 s"),
        (
            event("done", step("agents.a", "update", id="agent-1", forget=True)),
            "agents.a: no longer managed (agent-1) in 0.3 s",
        ),
        (event("done", step("agents.a", "delete", id="agent-1")), "agents.a: destroyed (agent-1) in 0.3 s"),
        (event("done", attach), "agents.a: tools tools.t attached in 0.3 s"),
        (event("done", detach), "agents.a: blocks block-1 detached in 0.3 s"),
        (event("done", recompile), "agents.a: system prompt recompiled in 0.3 s"),
        (event("done", save), "stack.state: saved in 0.3 s"),
        (event("failed", create, error=ServerError("no", "try")), "agents.supervisor: failed after 0.3 s"),
        (event("skipped", create, because="interrupted"), None),
        (event("progress", create), "agents.supervisor: still creating after 0.3 s"),
        (event("progress", attach), "agents.a: still attaching tools tools.t after 0.3 s"),
        (event("progress", add), "archives.k: still adding passages one after 0.3 s"),
        (event("failed", add, error=ServerError("no")), "archives.k: passages one failed after 0.3 s"),
        (event("start", create), None),
    ],
)
def test_the_lines_of_events(said: Event, line: str | None) -> None:
    assert progress.line(said) == line


def test_what_was_skipped_is_left_to_the_report() -> None:
    written: list[str] = []
    tool = step("tools.t", key="tools.t#1", kind="tool")
    with progress.lines(written.append) as notify:
        notify(event("start", tool))
        notify(event("failed", tool, error=ServerError("no")))
        notify(event("skipped", create, because="tools.t#1"))
    assert written == ["", "tools.t: failed after 0.3 s"]


# --- on a terminal ---------------------------------------------------------------------------------------------------


def record(planned: Plan | None, *events: Event, width: int = 100) -> list[str]:
    """The lines that stay on the screen."""
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, legacy_windows=False)
    with progress.bar(lambda: planned, color=False, console=console) as notify:
        for each in events:
            notify(each)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", shown) if line.strip() and "Applying" not in line]


def planned(*actions: tuple[str, Action]) -> Plan:
    """A plan of these changes: one step each, and two of an update."""
    changes = [Change(at(address), "agent", action) for address, action in actions]
    steps = [step(str(each.address), key=f"{each.address}#1") for each in changes]
    steps += [
        replace(attach, key=f"{each.address}#2", address=each.address) for each in changes if each.action == "update"
    ]
    return replace(of(*changes), steps=(*steps, save))


ALL: tuple[Action, ...] = ("create", "update", "replace", "delete", "adopt", "mark", "forget")


def test_one_line_for_each_object_once_its_last_step_has_ended() -> None:
    plan = planned(*((f"agents.{each}", each) for each in ALL))
    assert record(plan, *(event("done", each) for each in plan.steps)) == [
        "  + agents.create created in 0.3 s",
        "  -/+ agents.replace replaced in 0.3 s",
        "  - agents.delete destroyed in 0.3 s",
        "  > agents.adopt adopted in 0.3 s",
        "  = agents.mark mark written in 0.3 s",
        "  < agents.forget no longer managed in 0.3 s",
        "  ~ agents.update changed in 0.6 s",
    ]


def test_what_failed_or_was_done_in_part_has_a_line_and_what_was_skipped_has_none() -> None:
    plan = planned(("agents.a", "update"), ("agents.b", "update"), ("agents.c", "create"))
    a, b, c, tools_a, tools_b, _ = plan.steps
    assert record(
        plan,
        event("done", a),
        event("failed", tools_a, error=ServerError("no")),
        event("done", b),
        event("skipped", tools_b, because="interrupted"),
        event("skipped", c, because="interrupted"),
    ) == ["  ! agents.a failed after 0.6 s", "  ! agents.b 1 of 2 steps done in 0.6 s"]


def test_what_is_called_without_a_change_says_what_was_done() -> None:
    assert record(replace(of(), steps=(recompile,)), event("done", recompile)) == [
        "  ~ agents.a system prompt recompiled in 0.3 s"
    ]
    assert record(None, event("done", create)) == ["  ~ agents.supervisor created in 0.3 s"]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_bar_fits_the_terminal(width: int) -> None:
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, legacy_windows=False)
    with progress.bar(lambda: None, color=False, console=console) as notify:
        notify(event("start", step('agents["受付 supervisor with a long name"]')))
        notify(event("start", step("agents.b")))
    bars = [each for each in re.split(r"[\r\n]|\x1b\[2K", screen.getvalue()) if "Applying" in each]
    for each in bars:
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", each)
        assert cell_len(text) <= width
        assert "0:00:0" in text, "the time is whole"
    assert "1/4" in bars[-1]


def test_hostile_answers_are_cleaned() -> None:
    shown = str(progress.line(event("done", create, answer=Answer(HOSTILE))))
    shown += str(progress.line(event("failed", create, error=ServerError(HOSTILE, HOSTILE))))
    assert not set(shown) & set("\x1b\x07\x9b\u202e\r\u200b\x7f\ud800\U000e0041")


def test_the_bar_counts_steps_names_running_ones_and_is_erased() -> None:
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, legacy_windows=False)
    with progress.bar(lambda: None, color=False, console=console) as notify:
        assert screen.getvalue() == ""
        for address in ("agents.a", "agents.b", "agents.c"):
            notify(event("start", step(address)))
        notify(event("done", step("agents.a"), answer=Answer("agent-1")))
    shown = screen.getvalue()
    assert "1/4" in shown
    assert "agents.b, agents.c" in shown
    assert shown.endswith("\x1b[2K")


def test_a_detached_member_is_shown_by_its_name() -> None:
    detach = step("agents.a", "detach", field="tools", member="tool-1", shown="ring")
    assert progress.line(event("done", detach)) == "agents.a: tools ring detached in 0.3 s"
