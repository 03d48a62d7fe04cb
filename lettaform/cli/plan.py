"""`lettaform plan`: show the changes that apply would make."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lettaform.cli import Globals
from lettaform.cli.completion import addresses
from lettaform.cli.formats import Formats, document, formatted

if TYPE_CHECKING:
    from lettaform.model import Plan, Shard
    from lettaform.plan.drift import Drift

F = TypeVar("F", bound=Callable[..., Any])


def read_shard(context: click.Context, option: click.Parameter, text: str | None) -> Shard:
    """The value of --shard; the whole stack without one."""
    from lettaform.model import WHOLE, Shard

    if not text:
        return WHOLE
    try:
        return Shard.parse(text.strip())
    except ValueError:
        message = f"'{text}' is no shard; write K/N, such as 3/16, with K from 0 to N-1"
        raise click.BadParameter(message, context, option) from None


shard = click.option(
    "--shard",
    metavar="K/N",
    envvar="LETTAFORM_SHARD",
    callback=read_shard,
    help="Only the shard K of N, with K from 0 to N-1: each agent, with what belongs to it, is in one of them. What "
    "several agents can use is in shard 0. Default: $LETTAFORM_SHARD, or the whole stack.",
)
prune = click.option(
    "--prune", is_flag=True, help="Also delete the objects of the stack that the manifest no longer declares."
)
allow_destroy = click.option(
    "--allow-destroy",
    metavar="PATTERN",
    shell_complete=addresses,
    multiple=True,
    help="Allow protected objects at these addresses to be deleted or replaced; * stands for any text. Repeatable.",
)
ignore_limits = click.option(
    "--ignore-limits",
    is_flag=True,
    help="Allow this plan to exceed `limits` of the manifest, such as the share of objects that one plan may delete.",
)
without_messages = click.option(
    "--without-messages",
    metavar="PATTERN",
    shell_complete=addresses,
    multiple=True,
    help="If the server cannot list the messages of an agent or a conversation at these addresses, take the snapshot "
    "without them: they are lost with what is deleted. * stands for any text. Repeatable.",
)

reseed = click.option(
    "--reseed",
    metavar="ADDRESS",
    shell_complete=addresses,
    multiple=True,
    help="Overwrite the values that agents changed at this address with the manifest's values. Repeatable.",
)


def merging(command: F) -> F:
    """--reseed, --ours and --theirs."""
    ours = click.option(
        "--ours",
        metavar="ADDRESS",
        shell_complete=addresses,
        multiple=True,
        help="Where a merge of a text at this address conflicts, take the manifest's lines. Repeatable.",
    )
    theirs = click.option(
        "--theirs",
        metavar="ADDRESS",
        shell_complete=addresses,
        multiple=True,
        help="Where a merge of a text at this address conflicts, take the lines of the server. Repeatable.",
    )
    return reseed(ours(theirs(command)))


def narrowing(command: F) -> F:
    """--target and --exclude."""
    target = click.option(
        "--target",
        metavar="PATTERN",
        shell_complete=addresses,
        multiple=True,
        help="Only these addresses; * stands for any text. Repeatable.",
    )
    exclude = click.option(
        "--exclude",
        metavar="PATTERN",
        shell_complete=addresses,
        multiple=True,
        help="Leave these addresses out; * stands for any text. Repeatable.",
    )
    return target(exclude(command))


def show_drift(asked: Globals, **options: Any) -> Drift:
    """Print what changed outside of lettaform. `options`: target, exclude and shard."""
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import drift as render

    found = flow.drift(asked.source(), asked.connection(), flow.PlanOptions(**options))
    if asked.json:
        click.echo(data.dumps(render.to_data(found), indent=2))
    else:
        click.echo(render.text(found, color=asked.color, verbose=asked.verbose), nl=False)
    return found


def _comparing(save: Path | None, chosen: Formats, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a plan with --refresh-only. Those of changes have no effect there."""
    narrow = {name: options[name] for name in ("target", "exclude", "shard")}
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value and name not in narrow]
    given += ["-o"] * (save is not None) + ["--out"] * bool(chosen.files)
    given += [f"--format {chosen.shown}"] * chosen.is_document
    if given:
        raise click.UsageError(f"--refresh-only plans no change; it cannot be combined with {given[0]}")
    return narrow


def _needed(plan: Plan) -> str:
    """What the apply of a saved plan needs."""
    from lettaform.plan.saved import written_secrets

    sources = list(written_secrets(plan))
    if any(not each.startswith("${") for each in sources):
        return "It needs the manifest, in which a secret stands in clear: the plan holds no secrets."
    if not sources:
        return "It needs no manifest and no variables."
    return f"It needs no manifest and no variables but the secrets that it writes: {', '.join(sources)}."


@click.command()
@click.option(
    "-o",
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the plan to a file, for `lettaform apply FILE`.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with code 2 if there are changes.")
@click.option(
    "--refresh-only",
    is_flag=True,
    help="Show what changed outside of lettaform, as `lettaform drift` does, and not what apply would change.",
)
@click.option(
    "--cost",
    is_flag=True,
    help="Let the server count the tokens in the context of each agent whose prompt changes: one request for each.",
)
@shard
@narrowing
@merging
@prune
@allow_destroy
@ignore_limits
@without_messages
@click.pass_obj
@formatted
def plan(
    asked: Globals,
    /,
    save: Path | None,
    detailed_exitcode: bool,
    refresh_only: bool,
    cost: bool,
    chosen: Formats,
    **options: Any,
) -> int:
    """Show the changes that `lettaform apply` would make. Nothing is written to the server.

    The digest at the end stands for what the plan does: `lettaform apply --approve DIGEST`, with the same options,
    plans again, and applies the plan only if it does the same.
    """
    from lettaform import flow

    if refresh_only:
        drift = show_drift(asked, **_comparing(save, chosen, {**options, "cost": cost}))
        return drift.exit_code if detailed_exitcode else 0
    found = flow.plan(asked.source(), asked.connection(), flow.PlanOptions(**options), count_tokens=cost)
    code = show_and_save(asked, found, save, chosen)
    return 2 if not code and detailed_exitcode and found else code


def show_and_save(asked: Globals, found: Plan, save: Path | None, chosen: Formats) -> int:
    """Print a plan in the formats that were asked for, and save it. Returns the exit code: 4 if it has a conflict."""
    from lettaform import flow
    from lettaform.render import text

    click.echo(document(found, chosen.shown, color=asked.color, verbose=asked.verbose), nl=False)
    if asked.json:
        click.echo(text.notices(found), err=True, nl=False)
    chosen.write(found, asked)
    if save is not None:
        flow.save(found, save)
        command = f"lettaform apply {shlex.quote(str(save))}"
        click.echo(f"Saved the plan. To apply exactly this plan, run `{command}`.", err=True)
        click.echo(_needed(found), err=True)
    return 4 if found.conflicts else 0
