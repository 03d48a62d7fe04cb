"""The events of an apply to a line for each object and a progress bar on a terminal, or to one line each in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, assert_never

from lettaform.address import Address
from lettaform.model import (
    Attach,
    Call,
    Change,
    Create,
    Delete,
    Detach,
    Discover,
    Event,
    Operation,
    Plan,
    SaveState,
    Step,
    Update,
)
from lettaform.render.changes import ACTIONS
from lettaform.render.clean import clean_line
from lettaform.render.inline import count
from lettaform.render.paint import Paint
from lettaform.render.text import linked, seconds
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
_WIDE, _BAR, _SHORT_BAR = 80, 62, 34
"""From how many columns on the bar is long; its columns without the running steps; and those of a short bar."""
_CALLED = {"recompile": "system prompt recompiled", "refresh": "tools listed again"}
"""What a call did, by its name."""


def line(event: Event) -> str | None:
    """The line of an event in a log; None for an event that is not logged. The report names what was skipped."""
    step, outcome, took = event.step, event.outcome, seconds(event.seconds)
    address = clean_line(str(step.address))
    if event.event == "done":
        id = outcome.answer.id if outcome and outcome.answer else step.id or ""
        shown = f" ({clean_line(id)})" if id and step.op in ("create", "update", "delete") else ""
        return f"{address}: {_what(step)}{shown} in {took}"
    if event.event == "failed":
        return f"{address}: {f'{linked(step)} failed'.lstrip()} after {took}"  # the report says why, once
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
    empty_line = iter([""])

    def notify(event: Event) -> None:
        text = line(event)
        if text is not None:
            for gap in empty_line:
                write(gap)
            write(text)

    yield notify


class _Objects:
    """A line for each object once its last step has ended.

    planned  the plan that is carried out, once it is known
    """

    def __init__(self, planned: Callable[[], Plan | None], paint: Paint) -> None:
        self.planned, self.paint = planned, paint
        self.left: Counter[Address] = Counter()
        self.changes: Mapping[Address, Change] = {}
        self.ended: dict[Address, list[Event]] = {}

    def line(self, event: Event) -> str | None:
        """The line of the object whose last step ended with this event; None if there is none."""
        if event.event not in ("done", "failed", "skipped") or isinstance(event.step, SaveState):
            return None
        if not self.left and (plan := self.planned()):
            self.left = Counter(step.address for step in plan.steps if not isinstance(step, SaveState))
            self.changes = {change.address: change for change in plan.changes}
        address = event.step.address
        self.left[address] -= 1
        ended = self.ended.setdefault(address, [])
        ended.append(event)
        return None if self.left[address] > 0 else self.shown(address, ended)

    def shown(self, address: Address, ended: list[Event]) -> str | None:
        """The line of an object whose steps have ended."""
        done = sum(each.event == "done" for each in ended)
        took = seconds(sum(each.seconds for each in ended))
        name, change = self.paint(clean_line(str(address)), "strong"), self.changes.get(address)
        if any(each.event == "failed" for each in ended):
            return f"  {self.paint('!', 'alarm')} {name} failed after {took}"
        if not done:
            return None
        if done < len(ended):
            return f"  {self.paint('!', 'alarm')} {name} {done} of {len(ended)} steps done in {took}"
        if change is None:
            return f"  {self.paint('~', 'changed')} {name} {_what(ended[-1].step)} in {took}"
        words = ACTIONS[change.action]
        return f"  {self.paint(words.symbol, words.meaning)} {name} {words.done} in {took}"


@contextmanager
def bar(planned: Callable[[], Plan | None], *, color: bool, console: Console | None = None) -> Iterator[Notify]:
    """A line on stderr for each object, and below them a progress bar, which is erased at the end.

    planned  the plan that is carried out, once it is known
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    console = console or Console(stderr=True)
    wide = console.width >= _WIDE
    columns: tuple[Any, ...] = (
        TextColumn("  Applying"),
        BarColumn(bar_width=30 if wide else 10),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if wide else ()),
        TextColumn("{task.fields[working]}", style="dim", markup=False),
    )
    progress = Progress(*columns, console=console, transient=True)
    working: dict[str, str] = {}
    room = console.width - (_BAR if wide else _SHORT_BAR)
    objects = _Objects(planned, Paint(color))
    task = progress.add_task("apply", total=None, working="")

    def notify(event: Event) -> None:
        progress.start()  # started here, because the plan is shown and confirmed before the first event
        if event.event == "start":
            working[event.step.key] = clean_line(str(event.step.address))
        elif event.event != "progress":
            working.pop(event.step.key, None)
        if text := objects.line(event):
            progress.console.print(Text.from_ansi(text), soft_wrap=True)
        shown = _few(list(working.values()), room - 2 * len(str(event.total)))
        progress.update(task, total=event.total, completed=event.finished, working=shown)

    try:
        yield notify
    finally:
        progress.stop()


def _few(addresses: list[str], room: int) -> str:
    """The first two addresses, in so many columns at most."""
    from rich.cells import cell_len, set_cell_size

    text = ", ".join(addresses[:2]) + (f" and {len(addresses) - 2} more" if len(addresses) > 2 else "")
    return text if cell_len(text) <= room else set_cell_size(text, max(room - 1, 0)).rstrip() + "…" * (room > 1)
