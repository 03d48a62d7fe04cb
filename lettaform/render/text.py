"""A Plan, a Report and live objects, to text that a person enjoys. Every string comes out clean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lettaform import model
from lettaform.address import Address
from lettaform.errors import LettaformError, Place
from lettaform.render.clean import clean_line, redact
from lettaform.render.data import is_secret, secret_fields, secrets
from lettaform.render.field_changes import Shown, Style, lay, show
from lettaform.render.paint import Meaning, Paint
from lettaform.render.spell import count, spell
from lettaform.values import Ref

SYMBOLS: dict[model.Action, tuple[str, Meaning, str]] = {
    "create": ("+", "added", ""),
    "update": ("~", "changed", ""),
    "replace": ("-/+", "removed", "will be replaced"),
    "delete": ("-", "removed", "will be destroyed"),
    "adopt": (">", "adopted", "will be adopted"),
    "mark": ("=", "adopted", "only its mark is written"),
    "forget": ("<", "adopted", "will be forgotten, and stays as it is"),
}

_FIELD_REASONS: dict[model.Reason, str] = {
    "manifest": "",
    "drift": "changed outside: will be written back",
    "conflict": "changed here and outside: the manifest's is written",
    "seed": "reseeded: what the agent made of it is lost",
}
_PLAIN_REASONS = {*_FIELD_REASONS, "destroy", "marks only"}
"""Of a change: what its symbol, its phrase or its fields say already."""
_STEP = "    "


def plan(plan: model.Plan, *, color: bool = False, verbose: bool = False) -> str:
    """What will be done, and in one last line how much of it. `verbose`: whole texts, and the values kept."""
    paint = Paint(color)
    drift = [change for change in plan.changes if _is_drift(change)]
    groups = [
        _changes([change for change in plan.changes if not _is_drift(change)], paint, verbose),
        _titled("Changed outside, will be written back", _changes(drift, paint, verbose, drifted=True), paint),
        _titled("Kept, as agents have made it", _runtime(plan, paint) if verbose else [], paint),
        _notices(plan, paint),
        _titled("Not managed", _unmanaged(plan, paint), paint),
        _warnings(plan, paint),
    ]
    filled = [group for group in groups if group]
    head = [_head(plan, paint)] if filled else []
    return _paragraphs([head, *filled, [summary(plan, paint)]])


def summary(plan: model.Plan, paint: Paint | None = None) -> str:
    """The last line of a plan."""
    paint = paint or Paint()
    if not plan and not plan.changes:
        line = paint("No changes.", "strong")
    elif not plan.changes:
        line = (
            paint("Plan:", "strong") + " nothing to create, change or destroy; only the state of the stack is written."
        )
    else:
        create, change = plan.count("create", "replace"), plan.count("update")
        parts = [f"{create} to create", f"{change} to change", f"{plan.count('delete', 'replace')} to destroy"]
        parts += [f"{plan.count(action)} to {action}" for action in _RARE if plan.count(action)]
        line = paint("Plan:", "strong") + f" {', '.join(parts)}."
    if plan.runtime:
        line += f" AgentChange: {count(len(plan.runtime), 'value')} moved by agents, kept."
    return line


_RARE: dict[model.Action, str] = {"adopt": "adopted", "mark": "marked", "forget": "forgotten"}


# --- changes ---------------------------------------------------------------------------------------------------------


def _head(plan: model.Plan, paint: Paint) -> str:
    parts = [f"Stack {plan.stack}", f"{plan.url}", f"Letta {plan.version}"]
    parts += [f"environment {plan.environment}"] if plan.environment else []
    return paint(clean_line(" · ".join(parts)), "faint")


def _is_drift(change: model.Change) -> bool:
    reasons = {difference.reason for difference in change.fields_changed}
    return change.action == "update" and (reasons == {"drift"} or (not reasons and change.reason == "drift"))


def _changes(changes: Sequence[model.Change], paint: Paint, verbose: bool, *, drifted: bool = False) -> list[str]:
    """Each on its own; own blocks right after and inside of their agent."""
    parts: dict[Address, list[model.Change]] = {}
    heads = {change.address for change in changes}
    for change in changes:
        if change.address.parent in heads:
            parts.setdefault(change.address.parent, []).append(change)
    blocks: list[list[str]] = []
    for change in changes:
        if change.address.parent in heads:
            continue
        blocks.append(_indented(_change(change, paint, verbose, drifted), "  "))
        blocks += [
            _indented(_change(part, paint, verbose, drifted), "  " + _STEP) for part in parts.get(change.address, ())
        ]
    lines: list[str] = []
    for before, block in zip([[], *blocks], blocks, strict=False):  # what says it in one line needs no air
        lines += [""] * (bool(before) and len(before) + len(block) > 2) + block
    return lines


def _change(change: model.Change, paint: Paint, verbose: bool, drifted: bool) -> list[str]:
    symbol, meaning, phrase = SYMBOLS[change.action]
    reason = "" if change.reason in _PLAIN_REASONS else clean_line(change.reason)
    said = ": ".join(part for part in (phrase, reason) if part)
    head = [
        f"{paint(symbol, meaning)} {paint(clean_line(str(change.address)), 'strong')}",
        _faint_id(change.id or "", paint),
        paint(said, meaning),
        paint(f"# {_where(change.place)}", "faint") if change.place else "",
    ]
    birth = change.action == "create"
    fields = [_field(difference, change, paint, verbose, drifted) for difference in change.fields_changed]
    lines = lay(fields, paint, signs=not birth)
    if change.recompiles > 1:
        lines.append(paint(f"recompiles {count(change.recompiles, 'agent')}", "changed"))
    lines += [paint(f"note: {clean_line(note)}", "faint") for note in change.notes]
    return ["  ".join(part for part in head if part), *_indented(lines, _STEP)]


def _field(difference: model.FieldChange, change: model.Change, paint: Paint, verbose: bool, drifted: bool) -> Shown:
    birth = change.action == "create"
    style = Style(paint, whole=verbose, birth=birth, limit=_limit(difference, change))
    hidden = is_secret(difference) if not birth else difference.secret  # at birth a Secret hides itself alone
    shown = show(difference.path, difference.old, difference.new, style, secret=hidden)
    why = "" if drifted else _FIELD_REASONS[difference.reason]
    if not why:
        return shown
    beside = "  ".join(part for part in (shown.beside, paint(f"({why})", "changed")) if part)
    return Shown(shown.sign, shown.name, beside, shown.below)


def _limit(difference: model.FieldChange, change: model.Change) -> int | None:
    """How long a block's text may be, where the change says so."""
    before, _, name = difference.path.rpartition(".")
    if name != "value":
        return None
    path = f"{before}.limit" if before else "limit"
    for other in change.fields_changed:
        if other.path == path:
            return next((side for side in (other.new, other.old) if isinstance(side, int)), None)
    return None


def _where(place: Place) -> str:
    return clean_line(f"{place.file}:{place.line}")


# --- what is not changed ---------------------------------------------------------------------------------------------


def _runtime(plan: model.Plan, paint: Paint) -> list[str]:
    return [f"  {clean_line(f'{moved.address}.{moved.path}')}  {_faint_id(moved.id, paint)}" for moved in plan.runtime]


def _notices(plan: model.Plan, paint: Paint) -> list[str]:
    return [
        paint("! ", "changed")
        + clean_line(f"{moved.address}.{moved.path}: the manifest's seed moved; `--reseed {moved.address}` writes it")
        for moved in plan.runtime
        if moved.seed_moved
    ]


def _unmanaged(plan: model.Plan, paint: Paint) -> list[str]:
    return [
        f"  {clean_line(str(item.address))}  {_faint_id(item.id, paint)}  {clean_line(item.reason)}"
        for item in plan.unmanaged
    ]


def _warnings(plan: model.Plan, paint: Paint) -> list[str]:
    lines = []
    for warning in plan.warnings:
        where = f"  # {_where(warning.place)}" if warning.place else ""
        lines.append(paint("Warning: ", "changed") + clean_line(warning.message) + paint(where, "faint"))
        lines += [f"{_STEP}{clean_line(warning.hint)}"] if warning.hint else []
    return lines


def notices(plan: model.Plan, *, color: bool = False) -> str:
    """What nobody may miss, for those who asked for JSON and look at the terminal: seeds that moved, warnings."""
    lines = _notices(plan, Paint(color)) + _warnings(plan, Paint(color))
    return "".join(f"{line}\n" for line in lines)


def _titled(title: str, lines: list[str], paint: Paint) -> list[str]:
    return [paint(f"{title}:", "title"), *lines] if lines else []


def _faint_id(id: str, paint: Paint) -> str:
    return paint(clean_line(id), "faint")


def _paragraphs(groups: Iterable[list[str]]) -> str:
    return "\n\n".join("\n".join(group) for group in groups if group) + "\n"


def _indented(lines: Iterable[str], by: str) -> list[str]:
    return [f"{by}{line}" if line else "" for line in lines]


# --- after an apply --------------------------------------------------------------------------------------------------


def report(plan: model.Plan, report: model.Report, *, color: bool = False) -> str:
    """What was done, what was not and why, and in one last line how much of each."""
    paint = Paint(color)
    groups = [_failures(report, paint), _skipped(plan, report, paint), _outputs(report, paint)]
    return _paragraphs([*groups, [_applied(plan, report, paint)]])


def _applied(plan: model.Plan, report: model.Report, paint: Paint) -> str:
    done = [change for change in plan.changes if _is_done(change, report)]

    def number(*actions: model.Action) -> int:
        return sum(change.action in actions for change in done)

    parts = [
        f"{number('create', 'replace')} created",
        f"{number('update')} changed",
        f"{number('delete', 'replace')} destroyed",
    ]
    words: tuple[tuple[model.Action, str], ...] = (
        ("adopt", "adopted"),
        ("mark", "marked"),
        ("forget", "forgotten"),
    )
    parts += [f"{number(action)} {word}" for action, word in words if number(action)]
    failed, skipped = (sum(1 for _ in report.of(status)) for status in ("failed", "skipped"))
    title: tuple[str, Meaning] = ("Applied:", "strong")
    if report.interrupted:
        title = ("Interrupted:", "alarm")
    elif failed or skipped:
        title = ("Partly applied:" if report.exit_code == 5 else "Failed:", "alarm")
    line = f"{paint(*title)} {', '.join(parts)} in {seconds(report.seconds)}."
    if failed or skipped:
        line += f" {count(failed, 'step')} failed, {skipped} skipped."
    return line + (" Apply again to go on." if failed or skipped or report.interrupted else "")


def _is_done(change: model.Change, report: model.Report) -> bool:
    """Every step of it was done: its own, or its agent's for what is born and dies with an agent."""
    own = [each for each in report.outcomes if each.step.address == change.address] or [
        each
        for each in report.outcomes
        if each.step.address == change.address.parent and each.step.op in ("create", "delete")
    ]
    return all(outcome.status == "done" for outcome in own) and (bool(own) or not _any_undone(report))


def _any_undone(report: model.Report) -> bool:
    return report.interrupted or any(outcome.status != "done" for outcome in report.outcomes)


def _failures(report: model.Report, paint: Paint) -> list[str]:
    lines = []
    for outcome in report.of("failed"):
        message, hint = said(outcome.error, secrets(outcome.step))
        lines.append(f"{paint('Failed:', 'alarm')} {paint(clean_line(str(outcome.step.address)), 'strong')}: {message}")
        lines += [f"{_STEP}{hint}"] if hint else []
    return lines


def _skipped(plan: model.Plan, report: model.Report, paint: Paint) -> list[str]:
    addresses = {step.key: str(step.address) for step in plan.steps}
    skipped = [
        f"{paint('Skipped:', 'changed')} {clean_line(str(each.step.address))}{why(each.because, addresses)}"
        for each in report.of("skipped")
    ]
    return list(dict.fromkeys(skipped))


def why(because: str | None, addresses: Mapping[str, str]) -> str:
    """The end of a sentence about what was skipped. `addresses`: of steps, by their keys."""
    if not because:
        return ""
    failed = addresses.get(because)
    return f", because {clean_line(failed)} failed" if failed else f": {clean_line(because)}"


def _outputs(report: model.Report, paint: Paint) -> list[str]:
    return _titled(
        "Outputs", [f"  {clean_line(name)} = {spell(value)}" for name, value in report.outputs.items()], paint
    )


def said(error: BaseException | None, secrets: Iterable[str] = ()) -> tuple[str, str]:
    """An error's message, or what it is if it says nothing; and its hint. Clean, and without `secrets`."""
    hidden = tuple(secrets)
    message = error.message if isinstance(error, LettaformError) else str(error or "") or type(error).__name__
    hint = error.hint if isinstance(error, LettaformError) else None
    return clean_line(redact(message, hidden)), clean_line(redact(hint or "", hidden))


def seconds(value: float) -> str:
    """`0.3 s`, `75 s`, `12 min 5 s`."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{int(value // 60)} min {int(value % 60)} s"


# --- what is live ----------------------------------------------------------------------------------------------------


def objects(items: Sequence[model.Live], *, color: bool = False) -> str:
    """Living objects with all that can be read of them; what one of them is, is shown as its address."""
    paint = Paint(color)
    known = {item.id: Ref(item.address) for item in items if item.address}
    return (
        "\n\n".join("\n".join(_object(item, known, paint)) for item in items) + "\n" if items else "Nothing is live.\n"
    )


def _object(item: model.Live, known: Mapping[str, Ref], paint: Paint) -> list[str]:
    hidden = secret_fields(item.kind)
    style = Style(paint, whole=True, birth=True)
    fields = []
    for name, value in item.values.items():
        named = [known.get(str(each), each) for each in value] if isinstance(value, list) else value
        if named not in (None, [], {}):
            fields.append(show(name, None, named, style, secret=name in hidden))
    head = f"{paint(_name(item), 'strong')}  {clean_line(item.kind)} {_faint_id(item.id, paint)}"
    return [head, *_indented(lay(fields, paint, signs=False), _STEP)]


def table(items: Sequence[model.Live], *, color: bool = False) -> str:
    """A line per object: address, kind, id, name. Two that claim one address are told apart."""
    if not items:
        return "Nothing carries this stack's mark.\n"
    paint = Paint(color)
    claims: dict[Address | None, int] = {}
    for item in items:
        claims[item.address] = claims.get(item.address, 0) + 1
    rows = [(_name(item), clean_line(item.kind), clean_line(item.id), clean_line(item.name)) for item in items]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for item, row in zip(items, rows, strict=True):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        shared = item.address is not None and claims[item.address] > 1
        lines.append("  ".join([paint(cells[0], "strong"), cells[1], paint(cells[2], "faint"), row[3]]).rstrip())
        lines += [f"  {paint('claims the same address as another object', 'changed')}"] if shared else []
    return "\n".join(lines) + "\n"


def marks(items: Sequence[model.Live], *, color: bool = False) -> str:
    """What lettaform keeps about objects: the digests last applied, and the members that it attached."""
    paint = Paint(color)
    return "\n\n".join("\n".join(_mark(item, paint)) for item in items) + "\n"


def _mark(item: model.Live, paint: Paint) -> list[str]:
    lines = [f"{paint(_name(item), 'strong')}  {clean_line(item.kind)} {_faint_id(item.id, paint)}"]
    lines.append(f"  marked  {'yes' if item.marked else 'no: only the state knows it'}")
    lines += _mapping("last applied", item.mark.base, paint)
    for name, base in item.mark.parts.items():
        lines += _mapping(f"last applied to {name}", base, paint)
    for name, members in item.mark.members.items():
        lines.append(f"  {clean_line(name)} attached by lettaform: {spell(list(members))}")
    return lines


def _mapping(title: str, values: Mapping[str, Any], paint: Paint) -> list[str]:
    rows = [f"    {clean_line(path)}  {paint(clean_line(str(value)), 'faint')}" for path, value in values.items()]
    return [f"  {clean_line(title)}:", *rows] if rows else []


def _name(item: model.Live) -> str:
    return clean_line(str(item.address) if item.address else item.name)
