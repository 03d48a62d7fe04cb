"""Plans and reports to text for people. The text is clean and contains no secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from lettaform import model, values
from lettaform.address import Address
from lettaform.errors import LettaformError, Problem, ServerError
from lettaform.kinds import kind_of
from lettaform.plan.drift import Drift, Shown
from lettaform.render import outline, prompts
from lettaform.render.changes import (
    ACTIONS,
    KEPT,
    RESTORED,
    SIDES,
    lines,
    location,
    named,
    readable,
    redacted,
)
from lettaform.render.clean import clean_line, redact
from lettaform.render.data import secrets
from lettaform.render.inline import count, member_text, to_text
from lettaform.render.paint import Meaning, Paint
from lettaform.render.texts import Bound

OTHER_ACTIONS: tuple[model.Action, ...] = ("adopt", "mark", "forget")
"""The actions other than create, update, replace and delete."""
_MOST_SKIPPED = 5
"""How many addresses are named of those that were skipped for one reason."""
_STEP = "    "


def plan(plan: model.Plan, *, color: bool = False, verbose: bool = False) -> str:
    """What will change, and a summary. `verbose`: with whole texts and the values that agents changed."""
    paint = Paint(color)
    others, drift = outline.changes(plan, ids=verbose)
    restored = lines(drift, paint, verbose=verbose, wording=RESTORED)
    kept, seeds = _agent_changes(plan, paint) if verbose else ([], [])
    groups = [
        lines(others, paint, verbose=verbose),
        titled(outline.RESTORED, restored, paint),
        titled(f"{outline.KEPT} ({SIDES})", kept, paint),
        titled(f"Seeds that changed in the manifest, not written ({SIDES})", seeds, paint),
        _notices(plan, paint),
        titled(outline.conflicts(plan), _conflicts(plan, paint), paint),
        titled(outline.UNMANAGED, _unmanaged(plan, paint), paint),
        warnings(plan.warnings, paint),
        prompts.lines(plan, paint, verbose=verbose),
    ]
    filled = [group for group in groups if group]
    first = [head(plan, paint)] if filled else []
    return paragraphs([first, *filled, [summary(plan, paint)]])


def summary(plan: model.Plan, paint: Paint | None = None) -> str:
    """The last line of a plan: how many objects will change, and how."""
    paint = paint or Paint()
    if not plan and not plan.changes:
        line = paint("No changes.", "strong") + _unchanged(plan)
    elif not plan.changes:
        line = paint("Plan:", "strong") + " no object changes; only the state of the stack is saved."
    else:
        always = ("create", "update", "delete")
        parts = [f"{number} {words}" for action, number, words in counts(plan) if number or action in always]
        parts += [f"{plan.unchanged} unchanged"] if plan.unchanged else []
        line = paint("Plan:", "strong") + f" {', '.join(parts)}."
    seeds = sum(outline.is_seed(each) for each in plan.runtime)
    line += kept_values(len(outline.kept(plan)), seeds)
    line += f" {count(len(plan.conflicts), 'conflict')}." if plan.conflicts else ""
    return line


def kept_values(kept: int, seeds: int) -> str:
    """Sentences that count the values that agents changed, and those that the manifest alone changed; or nothing."""
    line = f" {count(kept, 'value')} changed by agents, kept." if kept else ""
    return line + (f" {count(seeds, 'changed seed')} not written." if seeds else "")


def counts(plan: model.Plan) -> list[tuple[model.Action, int, str]]:
    """The numbers of a summary: action, number, words. What is replaced is both created and destroyed."""
    found: list[tuple[model.Action, int, str]] = [
        ("create", plan.count("create", "replace"), "to create"),
        ("update", plan.count("update"), "to change"),
        ("delete", plan.count("delete", "replace"), "to destroy"),
    ]
    for action in OTHER_ACTIONS:
        number = plan.count(action)
        found.append((action, number, ACTIONS[action].planned[number != 1]))
    return found


def _unchanged(plan: model.Plan) -> str:
    """How many objects of which stack were compared, and where."""
    if not plan.unchanged:
        return ""
    environment = f", environment {plan.environment}" if plan.environment else ""
    where = clean_line(f"of stack {plan.stack} on {plan.url}{environment}")
    return f" {count(plan.unchanged, 'object')} {where} {'is' if plan.unchanged == 1 else 'are'} as declared."


# --- changes ---------------------------------------------------------------------------------------------------------


def head(plan: model.Plan | Drift | Shown, paint: Paint) -> str:
    """Which stack was read, and where."""
    parts = [f"Stack {plan.stack}", f"{plan.url}", f"Letta {plan.version}"]
    parts += [f"environment {plan.environment}"] if plan.environment else []
    return paint(clean_line(" · ".join(parts)), "faint")


def changes(
    changes: Sequence[model.Change], names: Mapping[str, str], *, color: bool = False, verbose: bool = False
) -> str:
    """Changes without a plan, as those between two snapshots. `names`: id to what people call the object."""
    found = lines([named(change, names, ids=verbose) for change in changes], Paint(color), verbose=verbose)
    return "".join(f"{line}\n" for line in found)


# --- what does not change --------------------------------------------------------------------------------------------


def _agent_changes(plan: model.Plan, paint: Paint) -> tuple[list[str], list[str]]:
    """The values that are kept: those that agents changed, and seeds that changed in the manifest alone."""
    hidden = tuple(_hidden(plan)) if plan.runtime else ()
    kept, seeds = dict[Address, model.Change](), dict[Address, model.Change]()
    for each in plan.runtime:
        if each.conflict is None:
            found = kept if each.live_moved else seeds
            change = found.get(each.address) or _unchanged_object(plan, each)
            fields = (*change.fields_changed, redacted(each.field_change, hidden))
            found[each.address] = replace(change, fields_changed=fields)
    shown = ([named(readable(change), plan.names, ids=True) for change in found.values()] for found in (kept, seeds))
    wording = replace(KEPT, bound=Bound(more="`lettaform drift -v` shows all"))
    first, second = (lines(changes, paint, verbose=True, wording=wording) for changes in shown)
    return first, second


def _unchanged_object(plan: model.Plan, kept: model.AgentChange) -> model.Change:
    place = plan.place_of(kept.address, kept.path)
    return model.Change(kept.address, kind_of(kept.address) or kept.address.section, "update", kept.id, place=place)


def _hidden(plan: model.Plan) -> Iterator[str]:
    """The values of the secrets of a plan: an agent may have written one down."""
    declared = [dict(desired.values) for desired in plan.declared.values()]
    for each in values.secrets([declared, [*plan.inputs.variables.values()]]):
        yield from () if each.unset else each.texts


def _notices(plan: model.Plan, paint: Paint) -> list[str]:
    return [paint("! ", "changed") + clean_line(each) for each in outline.notices(plan)]


def _conflicts(plan: model.Plan, paint: Paint) -> list[str]:
    """The texts that cannot be merged: why, and their versions between marker lines."""
    lines: list[str] = []
    for kept in plan.conflicts:
        assert kept.conflict is not None
        head, place = f"{kept.address}.{kept.path}: {kept.conflict.reason}", plan.place_of(kept.address, kept.path)
        where = paint(f"  # {location(place)}", "faint") if place else ""
        lines.append(f"  {paint('!', 'removed')} {clean_line(head)}{where}")
        lines += [f"  {_STEP}{clean_line(line)}" for line in kept.conflict.text.split("\n")]
    return lines


def _unmanaged(plan: model.Plan, paint: Paint) -> list[str]:
    return [
        f"  {clean_line(str(item.address))}  {_faint(item.id, paint)}  {clean_line(item.reason)}"
        for item in plan.unmanaged
    ]


def warnings(problems: Iterable[Problem], paint: Paint) -> list[str]:
    """Each warning on a line, and what to do about it on the next."""
    lines = []
    for warning in problems:
        where = f"  # {location(warning.place)}" if warning.place else ""
        lines.append(paint("Warning: ", "changed") + clean_line(warning.message) + paint(where, "faint"))
        lines += [f"{_STEP}{clean_line(warning.hint)}"] if warning.hint else []
    return lines


def notices(plan: model.Plan, *, color: bool = False) -> str:
    """Changed manifest values that are not written, and warnings. Printed on stderr beside JSON output."""
    lines = _notices(plan, Paint(color)) + warnings(plan.warnings, Paint(color))
    return "".join(f"{line}\n" for line in lines)


def titled(title: str, lines: list[str], paint: Paint) -> list[str]:
    """Lines below a title; none if there are none."""
    return [paint(f"{title}:", "title"), *lines] if lines else []


def _faint(text: str, paint: Paint) -> str:
    return paint(clean_line(text), "faint")


def paragraphs(groups: Iterable[list[str]]) -> str:
    """Groups of lines, with an empty line between two of them."""
    return "\n\n".join("\n".join(group) for group in groups if group) + "\n"


def _indented(lines: Iterable[str], by: str) -> list[str]:
    return [f"{by}{line}" if line else "" for line in lines]


# --- after an apply --------------------------------------------------------------------------------------------------


def failures(report: model.Report, *, color: bool = False) -> str:
    """What failed, and why; empty if nothing did. Printed on stderr, as errors are."""
    lines = _failures(report, Paint(color))
    return paragraphs([lines]) if lines else ""


def report(plan: model.Plan, report: model.Report, *, color: bool = False) -> str:
    """What was skipped, the outputs, a summary, and what a migration found afterwards."""
    paint = Paint(color)
    lacking = [paint("Warning: ", "changed") + clean_line(each.message) for each in report.warnings]
    groups = [_skipped(plan, report, paint), _outputs(report, paint), lacking, [_applied(plan, report, paint)]]
    return paragraphs([*groups, *(_verified(plan, report.verified, paint) if report.verified else ())])


def adopted(plan: model.Plan, *, color: bool = False) -> str:
    """What an import of one object has done: a line for each object, and what to do next."""
    paint = Paint(color)
    done = []
    for change in plan.changes:
        words, id = ACTIONS[change.action], f" ({clean_line(change.id)})" if change.id else ""
        done.append(f"  {paint(words.symbol, words.meaning)} {clean_line(str(change.address))} {words.done}{id}")
    warnings = [paint("Warning: ", "changed") + clean_line(each.message) for each in plan.warnings]
    end = f"{paint('Imported:', 'strong')} {count(len(plan.changes), 'object')}. `lettaform plan` shows what differs."
    return paragraphs([done, warnings, [end if plan.changes else "It is managed already: nothing was changed."]])


def _verified(plan: model.Plan, found: model.Verified, paint: Paint) -> Iterator[list[str]]:
    """How both servers of a migration compare with its snapshot."""

    def shown(changes: Sequence[model.Change]) -> list[str]:
        return lines([named(change, found.names) for change in changes], paint)

    yield titled(f"Not on {plan.url} as in the snapshot", shown(found.differences), paint)
    yield titled("Changed since on the server that they come from", shown(found.moved), paint)
    if found.error:
        yield [paint("Not verified: ", "alarm") + clean_line(f"{found.error}. Run the same command again.")]
    elif not found.differences and not found.moved:
        yield [f"{paint('Verified:', 'strong')} both servers are as in the snapshot."]


def _applied(plan: model.Plan, report: model.Report, paint: Paint) -> str:
    done = model.carried_out(plan.changes, report.outcomes, interrupted=report.interrupted)

    def number(*actions: model.Action) -> int:
        return sum(change.action in actions for change in done)

    created, changed, destroyed = number("create", "replace"), number("update"), number("delete", "replace")
    numbers = ((created, "created"), (changed, "changed"), (destroyed, "destroyed"))
    parts = [f"{found} {word}" for found, word in numbers if found]
    others = [(number(action), ACTIONS[action].applied) for action in OTHER_ACTIONS]
    parts += [count(found, *words) for found, words in others if found]
    failed, skipped = (sum(1 for _ in report.of(status)) for status in ("failed", "skipped"))
    title: tuple[str, Meaning] = ("Destroyed:" if plan.options.destroy else "Applied:", "strong")
    if plan.options.destroy and parts == [f"{destroyed} destroyed"]:
        parts = [count(destroyed, "object")]
    if report.interrupted:
        title = ("Interrupted:", "alarm")
    elif failed or skipped:
        title = ("Partly applied:" if report.exit_code == 5 else "Failed:", "alarm")
    if not (parts or failed or skipped or report.interrupted):
        return f"Nothing was changed, in {seconds(report.seconds)}."
    line = f"{paint(*title)} {', '.join(parts) or 'nothing was changed'} in {seconds(report.seconds)}."
    if failed or skipped:
        ends = [f"{count(failed, 'step')} failed"] if failed else []
        ends += [f"{skipped} skipped" if failed else f"{count(skipped, 'step')} skipped"] if skipped else []
        line += f" {', '.join(ends)}."
    return f"{line} {_advice(report)}" if failed or skipped or report.interrupted else line


def _advice(report: model.Report) -> str:
    """What to do after an apply that did not do everything."""
    errors = (outcome.error for outcome in report.of("failed"))
    if any(isinstance(error, ServerError) and not error.may_pass for error in errors):
        return "Correct what failed, and run the same command again."
    return "Run the same command again to continue."


def _failures(report: model.Report, paint: Paint) -> list[str]:
    lines = []
    for outcome in report.of("failed"):
        message, hint = message_and_hint(outcome.error, secrets(outcome.step))
        subject = paint(clean_line(f"{outcome.step.address} {linked(outcome.step)}".rstrip()), "strong")
        lines.append(f"{paint('Failed:', 'alarm')} {subject}: {message}")
        lines += _values(outcome, paint)
        lines += [f"{_STEP}{hint}"] if hint else []
    return lines


def linked(step: model.Step) -> str:
    """The field and the member of a step that attaches or detaches; empty for other steps."""
    match step:
        case model.Attach() | model.Detach():
            return f"{clean_line(step.field)} {member_text(step.shown or step.member)}"
        case _:
            return ""


def _values(outcome: model.Outcome, paint: Paint) -> list[str]:
    """The values that an error is about, with their places in the manifest."""
    hidden, lines = tuple(secrets(outcome.step)), []
    for each in outcome.error.problems if isinstance(outcome.error, ServerError) else ():
        where = f"  # {location(each.place)}" if each.place else ""
        own = "" if each.address == str(outcome.step.address) else f"{each.address} "
        about = clean_line(redact(f"{own}{each.field or ''}".strip() + f": {each.message}", hidden))
        lines.append(f"{_STEP}{about}{paint(where, 'faint')}")
    return lines


def _skipped(plan: model.Plan, report: model.Report, paint: Paint) -> list[str]:
    """A line for each reason why steps were skipped."""
    addresses = {step.key: str(step.address) for step in plan.steps}
    found: dict[str, dict[str, None]] = {}
    for each in report.of("skipped"):
        reason = skip_reason(each.because, addresses)
        found.setdefault(reason, {})[clean_line(str(each.step.address))] = None
    return [f"{paint('Skipped:', 'changed')} {_few(list(every))}{reason}" for reason, every in found.items()]


def _few(addresses: list[str]) -> str:
    more = len(addresses) - _MOST_SKIPPED
    return ", ".join(addresses[:_MOST_SKIPPED]) + (f" and {more} more" if more > 0 else "")


def skip_reason(because: str | None, addresses: Mapping[str, str]) -> str:
    """The end of a sentence about a skipped step. `addresses` maps keys of steps to addresses."""
    if not because:
        return ""
    failed = addresses.get(because)
    return f", because {clean_line(failed)} failed" if failed else f": {clean_line(because)}"


def _outputs(report: model.Report, paint: Paint) -> list[str]:
    return titled(
        "Outputs", [f"  {clean_line(name)} = {to_text(value)}" for name, value in report.outputs.items()], paint
    )


def message_and_hint(error: BaseException | None, secrets: Iterable[str] = ()) -> tuple[str, str]:
    """The message of an error (its type if it has none) and its hint. Clean, with `secrets` redacted."""
    hidden = tuple(secrets)
    message = error.message if isinstance(error, LettaformError) else str(error or "") or type(error).__name__
    hint = error.hint if isinstance(error, LettaformError) else None
    return clean_line(redact(message, hidden)), clean_line(redact(hint or "", hidden))


def seconds(value: float) -> str:
    """`0.3 s`, `75 s`, `12 min 5 s`."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{int(value // 60)} min {int(value % 60)} s"
