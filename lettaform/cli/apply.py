"""`lettaform apply`: show the plan, ask for confirmation, carry it out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lettaform.cli import Globals, refusal, until_closed
from lettaform.cli.check import printed
from lettaform.cli.formats import TEXT, Formats, document, formatted
from lettaform.cli.lock import locking
from lettaform.cli.plan import (
    allow_destroy,
    ignore_limits,
    merging,
    narrowing,
    prune,
    shard,
    show_and_save,
    without_messages,
)
from lettaform.cli.snapshot import snapshot_dir

if TYPE_CHECKING:
    from lettaform.errors import Problem
    from lettaform.flow import Snapshots
    from lettaform.model import Plan, Report
    from lettaform.render.progress import Notify

yes = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
parallel = click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="Maximum number of concurrent requests.",
)

save = click.option(
    "-o",
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Carry nothing out, and save the plan to a file, for `lettaform apply FILE`.",
)

Run = Callable[[Callable[["Plan"], bool], "Notify"], "tuple[Plan, Report | None]"]
"""Runs an apply. Calls the first argument for consent, and the second for each event."""


@click.command()
@click.argument("saved", metavar="[PLAN]", required=False, type=click.Path(dir_okay=False, exists=True, path_type=Path))
@yes
@parallel
@shard
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="With --shard: how long to wait for objects of other shards. What refers to one is applied once it is there. "
    "If the time is over, the exit code is 5. Default: 0.",
)
@narrowing
@merging
@prune
@allow_destroy
@ignore_limits
@click.option(
    "--approve",
    metavar="DIGEST",
    help="Apply without asking, if the plan does what the plan did whose digest `lettaform plan` printed. Otherwise "
    "nothing is applied, and the exit code is 6.",
)
@click.option(
    "--snapshot",
    is_flag=True,
    help="Take a snapshot of everything that the plan changes, and not only of what it deletes: `lettaform rollback` "
    "restores it.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Run the checks of the manifest on copies of the agents afterwards, also if nothing changes. The exit code is "
    "3 if one does not pass. A check with `on_failure: rollback` restores the snapshot that was taken before.",
)
@snapshot_dir
@without_messages
@locking
@click.pass_obj
@formatted
def apply(
    asked: Globals,
    /,
    saved: Path | None,
    yes: bool,
    parallel: int,
    wait: float,
    patience: float | None,
    approve: str | None,
    snapshot: bool,
    check: bool,
    snapshot_dir: Path | None,
    chosen: Formats,
    **options: Any,
) -> int:
    """Create, update and replace objects to match the manifest. Shows the plan and asks for confirmation.

    With PLAN, a file written by `lettaform plan -o FILE`, exactly that plan is applied. The manifest is not needed, and
    of secrets only those that the plan writes. If the server has changed since, or the manifest where it is there,
    nothing is applied and the exit code is 6.

    With --format markdown or html, stdout holds the plan alone, and everything else is printed on stderr.
    """
    from lettaform import flow

    yes = yes or approve is not None
    source, connection = asked.source(), asked.connection(patience)
    snapshots = announced(asked, snapshot_dir, changed=snapshot, err=chosen.is_document)
    how: dict[str, Any] = {"interactive": not yes, "parallel": parallel, "snapshots": snapshots}
    how |= {"checks": flow.CheckOptions(notify=printed(asked, not asked.json, err=chosen.is_document))} if check else {}
    if saved is None:
        how |= {"options": flow.PlanOptions(**options), "approved": approve, "wait": wait}
        given = {
            **options,
            "wait": wait,
            "snapshot": snapshot,
            "check": check,
            "snapshot_dir": snapshot_dir,
            **chosen.given,
        }
        command, run = repeated("apply", given), partial(flow.apply, source, connection, **how)
    else:
        how["shard"] = options.pop("shard")
        _check_free({**options, "approve": approve, "wait": wait})
        command = repeated("apply", {"check": check, **chosen.given}, str(saved))
        run = partial(flow.apply_saved, saved, source, connection, **how)
    return carry_out(asked, yes, "Apply", command, lambda consent, notify: run(consent=consent, notify=notify), chosen)


def _check_free(options: Mapping[str, Any]) -> None:
    """Raise an error if an option is given that belongs to a plan which is not saved yet."""
    if given := [name for name, value in options.items() if value]:
        raise click.UsageError(
            f"--{given[0].replace('_', '-')} cannot be combined with a saved plan; give it to `lettaform plan -o FILE`"
        )


def announced(asked: Globals, directory: Path | None, *, changed: bool = False, err: bool = False) -> Snapshots:
    """Where a snapshot is written, and of what. Its path is printed as soon as it is proven. `err`: on stderr."""
    from lettaform.flow import Snapshots
    from lettaform.render import data, snapshots

    write = until_closed(partial(click.echo, err=err))

    def announce(folder: Path) -> None:
        write(data.dumps({"event": "snapshot", "path": str(folder)}) if asked.json else f"Snapshot: {folder}")

    def warn(problem: Problem) -> None:
        shown = data.dumps({"event": "warning", **data.problem(problem)}) if asked.json else snapshots.warning(problem)
        write(shown)

    return Snapshots(directory, announce, changed, warn)


def repeated(verb: str, options: Mapping[str, Any], *arguments: str) -> str:
    """The command with these options and arguments that asks no question."""
    words = ["lettaform", *verb.split(), "-y", *arguments]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, tuple):
            words += [word for each in value for word in (flag, each)]
        elif value:
            words += [flag] if value is True else [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def carry_out(asked: Globals, yes: bool, verb: str, command: str, run: Run, chosen: Formats = TEXT) -> int:
    """Show the plan, ask, run, print the report. Returns the exit code. Also used by `destroy`.

    chosen  the formats of the plan; a document is printed once, when it is known what was carried out
    """
    from lettaform.plan.guard import check_merged
    from lettaform.render import data, text

    if asked.json and not yes:
        raise click.UsageError("--json cannot ask for confirmation; add -y")
    write = until_closed(partial(click.echo, err=chosen.is_document))
    confirmation = _Confirmation(asked, yes, verb, command, write, chosen)
    with _watch(asked, write, lambda: confirmation.shown) as notify:
        plan, report = run(confirmation.consent, notify)
    if confirmation.shown is None:
        confirmation.show(plan)
    if chosen.is_document:
        until_closed(partial(click.echo, nl=False))(document(plan, chosen.shown))
    check_merged(plan)
    if asked.json:
        write(data.dumps(data.summary(report) | _checked_data(report)))
    elif report is not None and (report.outcomes or report.waiting):
        if failed := text.failures(report, color=asked.color):
            click.echo("\n" + failed, nl=False, err=True)
        write("\n" + text.report(plan, report, color=asked.color).removesuffix("\n"))
    if not asked.json and report is not None and report.checked is not None:
        write("\n" + _checked_text(report, asked).removesuffix("\n"))
    if report is None and confirmation.refused:
        click.echo(confirmation.refused, err=True)
        return 1
    return report.exit_code if report is not None else 0


def _checked_text(report: Report, asked: Globals) -> str:
    """What the checks after an apply found, and what followed from that."""
    from lettaform.render import checks, text

    assert report.checked is not None
    shown = checks.text(report.checked, color=asked.color, verbose=asked.verbose)
    if report.undone is None and report.checked.rolls_back:
        return f"{shown}\nNothing was rolled back: no object that existed before was changed or deleted.\n"
    if report.undone is None:
        return shown
    if report.undone.exit_code:
        failed = text.failures(report.undone, color=asked.color)
        return f"{shown}\n{failed}The rollback is not complete; `lettaform rollback` continues it.\n"
    return f"{shown}\nRolled back to {report.snapshot}. What the apply created stays.\n"


def _checked_data(report: Report | None) -> dict[str, Any]:
    """What `apply --json` prints of the checks after the apply, and of the rollback that failed ones caused."""
    from lettaform.render import checks, data

    if report is None or report.checked is None:
        return {}
    undone = {"rollback": data.summary(report.undone)} if report.undone else {}
    return {"checks": checks.to_data(report.checked), **undone}


def plan_or_carry_out(
    asked: Globals, yes: bool, save: Path | None, command: str, run: Callable[..., Any], chosen: Formats
) -> int:
    """Carry out a plan as `carry_out` does; or show it alone, and save it. Returns the exit code.

    save  where the plan is saved; None: it is carried out
    run   takes `consent`, `notify` and `interactive`, as `flow.apply` does
    """
    if save is None:
        return carry_out(
            asked,
            yes,
            "Carry out",
            command,
            lambda consent, notify: run(consent=consent, notify=notify, interactive=not yes),
            chosen,
        )
    plan, _ = run(consent=False, interactive=True)
    return show_and_save(asked, plan, save, chosen)


class _Confirmation:
    """Shows each plan and asks for consent to it. `command` runs the same without a question."""

    def __init__(
        self, asked: Globals, yes: bool, verb: str, command: str, write: Callable[[str], None], chosen: Formats
    ) -> None:
        self.asked, self.yes, self.verb, self.command = asked, yes, verb, command
        self.write, self.chosen = write, chosen
        self.shown: Plan | None = None
        self.refused = ""

    def show(self, plan: Plan) -> None:
        from lettaform.render import data, text

        self.shown = plan
        if self.asked.json:
            self.write(data.dumps(data.plan_event(plan)))
            click.echo(text.notices(plan), err=True, nl=False)
        else:
            self.write(text.plan(plan, color=self.asked.color, verbose=self.asked.verbose).removesuffix("\n"))
        self.chosen.write(plan, self.asked)

    def consent(self, plan: Plan) -> bool:
        from lettaform.plan.guard import check_merged

        self.show(plan)
        check_merged(plan)
        if self.yes:
            return True
        number = len(plan.changes)
        what = "this change" if number == 1 else f"these {number} changes" if number else "this plan"
        if self.verb == "Destroy":
            what = "this object" if number == 1 else f"these {number} objects"
        self.refused = refusal(f"{self.verb} {what}?", self.command)
        return not self.refused


def _watch(
    asked: Globals, write: Callable[[str], None], planned: Callable[[], Plan | None]
) -> AbstractContextManager[Notify]:
    """How events are shown: as JSON lines with --json, as a progress bar on a terminal, otherwise as lines of text.

    planned  the plan that is carried out, once it is known
    """
    from lettaform.render import data, progress

    if asked.json:
        return nullcontext(lambda event: write(data.dumps(data.event(event))))
    if sys.stdout.isatty() and sys.stderr.isatty() and not (asked.verbose or asked.debug):
        return progress.bar(planned, color=asked.color)
    return progress.lines(write)
