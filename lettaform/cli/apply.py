"""`lettaform apply`: the plan, asked for, then done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lettaform.cli import Globals, ask, can_ask, until_nobody_reads
from lettaform.cli.lock import locking
from lettaform.cli.plan import allow_destroy, narrowing, prune

if TYPE_CHECKING:
    from lettaform.model import Plan, Report
    from lettaform.render.progress import Notify

yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
parallel = click.option(
    "--parallel", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N", help="Requests at a time."
)

Run = Callable[[Callable[["Plan"], bool], "Notify"], "tuple[Plan, Report | None]"]
"""An apply that is told whom to ask and whom to tell."""


@click.command()
@click.argument("saved", metavar="[PLAN]", required=False, type=click.Path(dir_okay=False, exists=True, path_type=Path))
@yes
@parallel
@narrowing
@prune
@allow_destroy
@locking
@click.pass_obj
def apply(
    asked: Globals, /, saved: Path | None, yes: bool, parallel: int, patience: float | None, **options: Any
) -> int:
    """Show the plan, ask, carry it out. With PLAN, a file of `plan -o`: exactly that, or nothing."""
    from lettaform import flow

    source, connection = asked.source(), asked.connection(patience)
    if saved is None:
        return carry_out(
            asked,
            yes,
            "Apply",
            lambda consent, notify: flow.apply(
                source, connection, flow.PlanOptions(**options), consent=consent, notify=notify, parallel=parallel
            ),
        )
    if given := [name for name, value in options.items() if value]:
        raise click.UsageError(f"a saved plan has decided that already: --{given[0].replace('_', '-')}")
    return carry_out(
        asked,
        yes,
        "Apply",
        lambda consent, notify: flow.apply_saved(
            saved, source, connection, consent=consent, notify=notify, parallel=parallel
        ),
    )


def carry_out(asked: Globals, yes: bool, verb: str, run: Run) -> int:
    """Show, ask, run, tell; the exit code. Also for `destroy`."""
    from lettaform.render import data, text

    if asked.json and not yes:
        raise click.UsageError("--json cannot ask; add -y")
    write = until_nobody_reads(click.echo)
    session = _Session(asked, yes, verb, write)
    with _watch(asked, write) as notify:
        plan, report = run(session.consent, notify)
    session.show(plan)
    if asked.json:
        write(data.dumps(data.summary(report)))
    elif report is not None:
        write("\n" + text.report(plan, report, color=asked.color).removesuffix("\n"))
    if report is None and session.refused:
        click.echo(session.refused, err=True)
        return 1
    return report.exit_code if report is not None else 0


class _Session:
    """One plan: shown once, asked about once."""

    def __init__(self, asked: Globals, yes: bool, verb: str, write: Callable[[str], None]) -> None:
        self.asked, self.yes, self.verb, self.write = asked, yes, verb, write
        self.shown = False
        self.refused = ""

    def show(self, plan: Plan) -> None:
        from lettaform.render import data, text

        if self.shown:
            return
        self.shown = True
        if self.asked.json:
            self.write(data.dumps(data.plan_event(plan)))
            click.echo(text.notices(plan), err=True, nl=False)
        else:
            self.write(text.plan(plan, color=self.asked.color, verbose=self.asked.verbose).removesuffix("\n"))

    def consent(self, plan: Plan) -> bool:
        self.show(plan)
        if self.yes:
            return True
        if not can_ask():
            self.refused = f"Error: nobody is there to agree; `lettaform {self.verb.lower()} -y` needs no question"
            return False
        number = len(plan.changes)
        what = "this change" if number == 1 else f"these {number} changes" if number else "this plan"
        if self.verb == "Destroy":
            what = "this object" if number == 1 else f"these {number} objects"
        click.echo(err=True)
        agreed = ask(f"{self.verb} {what}?")
        if not agreed:
            self.refused = "Nothing was done."
        return agreed


def _watch(asked: Globals, write: Callable[[str], None]) -> AbstractContextManager[Notify]:
    """Who is told what happens: machines a line of JSON, a terminal a bar, a pipe a line of text."""
    from lettaform.render import data, progress

    if asked.json:
        return nullcontext(lambda event: write(data.dumps(data.event(event))))
    if sys.stdout.isatty() and sys.stderr.isatty() and not (asked.verbose or asked.debug):
        return progress.bar()
    return progress.lines(write)
