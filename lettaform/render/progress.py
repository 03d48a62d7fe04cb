"""The events of an apply to a progress bar on a terminal, or to one line each in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, assert_never

from lettaform.model import (
    Attach,
    Call,
    Create,
    Delete,
    Detach,
    Discover,
    Event,
    Operation,
    SaveState,
    Step,
    Update,
)
from lettaform.render.clean import clean_line
from lettaform.render.inline import count
from lettaform.render.text import linked, seconds, skip_reason
from lettaform.values import Item

if TYPE_CHECKING:
    from rich.console import Console

Notify = Callable[[Event], None]

_DONE: dict[Operation, str] = {
    "create": "created",
    "discover": "found",
    "update": "changed",
    "attach": "attached",
    "detach": "detached",
    "delete": "destroyed",
    "call": "called",
    "save_state": "saved",
}
_DOING: dict[Operation, str] = {
    "create": "creating",
    "discover": "looking for",
    "update": "changing",
    "attach": "attaching",
    "detach": "detaching",
    "delete": "destroying",
    "call": "calling",
    "save_state": "saving",
}
_CALLED = {"recompile": "system prompt recompiled", "refresh": "tools listed again"}
"""What a call did, by its name."""


def line(event: Event, failed: Mapping[str, str] | None = None) -> str | None:
    """The line of an event in a log; None for an event that is not logged. `failed` maps keys of steps to addresses."""
    step, outcome, took = event.step, event.outcome, seconds(event.seconds)
    address = clean_line(str(step.address))
    if event.event == "done":
        id = outcome.answer.id if outcome and outcome.answer else step.id or ""
        shown = f" ({clean_line(id)})" if id and step.op in ("create", "update", "delete") else ""
        return f"{address}: {_what(step)}{shown} in {took}"
    if event.event == "failed":
        return f"{address}: {f'{linked(step)} failed'.lstrip()} after {took}"  # the report says why, once
    if event.event == "skipped":
        return f"{address}: skipped{skip_reason(outcome.because if outcome else None, failed or {})}"
    return f"{address}: still {_doing(step)} after {took}" if event.event == "progress" else None


def _doing(step: Step) -> str:
    if isinstance(step, Attach | Detach):
        doing = {"attach": "adding", "detach": "removing"} if isinstance(step.member, Item) else _DOING
        return f"{doing[step.op]} {linked(step)}"
    return _DOING[step.op]


def _what(step: Step) -> str:
    match step:
        case Attach() | Detach():
            done = {"attach": "added", "detach": "removed"} if isinstance(step.member, Item) else _DONE
            return f"{linked(step)} {done[step.op]}"
        case Call() if step.users or step.owners:
            return f"system prompts of {count(len(step.users), 'agent') if step.users else 'conversations'} recompiled"
        case Call():
            return _CALLED.get(step.name, f"{clean_line(step.name)} done")
        case Update() if step.forget:
            return "no longer managed"
        case Create() | Discover() | Update() | Delete() | SaveState():
            return _DONE[step.op]
        case _:
            assert_never(step)


@contextmanager
def lines(write: Callable[[str], None]) -> Iterator[Notify]:
    """A line for every step that ends, with an empty line before the first."""
    failed: dict[str, str] = {}
    empty_line = iter([""])

    def notify(event: Event) -> None:
        if event.event == "failed":
            failed[event.step.key] = str(event.step.address)
        text = line(event, failed)
        if text is not None:
            for gap in empty_line:
                write(gap)
            write(text)

    yield notify


@contextmanager
def bar(console: Console | None = None) -> Iterator[Notify]:
    """A progress bar on stderr: finished and total steps, times, running steps. It is erased at the end."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: tuple[Any, ...] = (
        TextColumn("  Applying"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[working]}", style="dim", markup=False),
    )
    progress = Progress(*columns, console=console or Console(stderr=True), transient=True)
    working: dict[str, str] = {}
    task = progress.add_task("apply", total=None, working="")

    def notify(event: Event) -> None:
        progress.start()  # started here, because the plan is shown and confirmed before the first event
        if event.event == "start":
            working[event.step.key] = clean_line(str(event.step.address))
        elif event.event != "progress":
            working.pop(event.step.key, None)
        progress.update(task, total=event.total, completed=event.finished, working=_few(list(working.values())))

    try:
        yield notify
    finally:
        progress.stop()


def _few(addresses: list[str]) -> str:
    return ", ".join(addresses[:2]) + (f" and {len(addresses) - 2} more" if len(addresses) > 2 else "")
