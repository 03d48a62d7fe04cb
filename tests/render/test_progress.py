from __future__ import annotations

import io

import pytest

from lettaform.errors import ServerError
from lettaform.model import Answer, Event, Outcome, Step
from lettaform.render import progress
from lettaform.values import Item, Ref

from .samples import HOSTILE, at, step


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
        (event("skipped", create, because="interrupted"), "agents.supervisor: skipped: interrupted"),
        (event("progress", create), "agents.supervisor: still creating after 0.3 s"),
        (event("progress", attach), "agents.a: still attaching tools tools.t after 0.3 s"),
        (event("progress", add), "archives.k: still adding passages one after 0.3 s"),
        (event("failed", add, error=ServerError("no")), "archives.k: passages one failed after 0.3 s"),
        (event("start", create), None),
    ],
)
def test_the_lines_of_events(said: Event, line: str | None) -> None:
    assert progress.line(said) == line


def test_a_skipped_step_names_the_address_that_failed() -> None:
    written: list[str] = []
    tool = step("tools.t", key="tools.t#1", kind="tool")
    with progress.lines(written.append) as notify:
        notify(event("start", tool))
        notify(event("failed", tool, error=ServerError("no")))
        notify(event("skipped", create, because="tools.t#1"))
    assert written == [
        "",
        "tools.t: failed after 0.3 s",
        "agents.supervisor: skipped, because tools.t failed",
    ]


def test_hostile_answers_are_cleaned() -> None:
    shown = str(progress.line(event("done", create, answer=Answer(HOSTILE))))
    shown += str(progress.line(event("failed", create, error=ServerError(HOSTILE, HOSTILE))))
    assert not set(shown) & set("\x1b\x07\x9b\u202e\r\u200b\x7f\ud800\U000e0041")


def test_the_bar_counts_steps_names_running_ones_and_is_erased() -> None:
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, legacy_windows=False)
    with progress.bar(console) as notify:
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
