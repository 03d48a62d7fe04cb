"""Live objects and lettaform's marks on them to text for people. The text is clean and contains no secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lettaform import model
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.render.clean import clean_line
from lettaform.render.data import secret_fields
from lettaform.render.field_changes import Row, Style, layout, row
from lettaform.render.inline import count, to_text, with_names
from lettaform.render.paint import Paint
from lettaform.values import UNREAD, Item, text_kept

SHOWN = 20
"""Number of passages or files that are shown of an object."""


def objects(items: Sequence[model.Live], *, color: bool = False, verbose: bool = False) -> str:
    """The fields of live objects, with the names of what they refer to. `verbose`: with all that they contain."""
    if not items:
        return "No live objects.\n"
    paint = Paint(color)
    return "\n\n".join("\n".join(_object(item, paint, verbose)) for item in items) + "\n"


def _object(item: model.Live, paint: Paint, verbose: bool) -> list[str]:
    lines, secret = kinds()[item.kind].attrs(), secret_fields(item.kind)
    style = Style(paint, whole=True, creating=True)
    rows = []
    for name, value in item.values.items():
        if value is UNREAD:
            continue
        if name in lines and lines[name].related(Contents):
            rows.append(contents(name, value, verbose))
        elif value not in (None, [], {}):
            named = value if name in secret else with_names(value, item.names)
            rows.append(row(name, None, named, style, secret=name in secret))
    last = [paint(f"    last written by {last_run(item.applied)}", "faint")] if item.applied else []
    return [_title(item, paint), *last, *_indented(layout(rows, paint, signs=False), "    ")]


def last_run(run: model.Applied) -> str:
    """A run in a line: number, time, user, and commit."""
    commit = f", commit {_commit(run)}" if run.commit else ""
    return clean_line(f"run {run.serial}, {run.verb}, {run.at}, {run.by}{commit}")


def _commit(run: model.Applied) -> str:
    return f"{run.commit[:12]}{' with changes' if run.dirty else ''}"


def history(runs: Sequence[model.Applied], *, color: bool = False) -> str:
    """One line per run: its number, time, verb, changes, user, CI run, and commit."""
    if not runs:
        return "The stack has no history: nothing has been applied to it.\n"
    paint = Paint(color)
    rows = [(str(run.serial), run.at, _verb(run), _changes(run), run.by, _commit(run), run.run) for run in runs]
    cells = [tuple(map(clean_line, texts)) for texts in rows]
    widths = [max(len(texts[column]) for texts in cells) for column in range(len(cells[0]))]
    lines = []
    for run, texts in zip(runs, cells, strict=True):
        number, *rest = (f"{text:<{width}}" for text, width in zip(texts, widths, strict=True))
        line = "  ".join([paint(number, "strong"), *(cell for cell in rest if cell.strip())]).rstrip()
        failed = paint(f"  {count(run.failed, 'step')} failed", "alarm") if run.failed else ""
        lines.append(line + failed)
    return "\n".join(lines) + "\n"


def _verb(run: model.Applied) -> str:
    return f"{run.verb} {run.shard}" if run.shard else run.verb


def _changes(run: model.Applied) -> str:
    """What a run did, for people."""
    return ", ".join(f"{number} {_DONE.get(action, action)}" for action, number in run.changes.items()) or "no changes"


_DONE = {
    "create": "created",
    "update": "changed",
    "replace": "replaced",
    "delete": "destroyed",
    "adopt": "adopted",
    "mark": "marked",
    "forget": "no longer managed",
}


def contents(name: str, items: Sequence[Item], verbose: bool) -> Row:
    """The number of passages or files, and the first ones."""
    first = items if verbose else items[:SHOWN]
    rest = len(items) - len(first)
    more = (f"… {rest} more",) if rest else ()
    return Row("~", name, str(len(items)), (*(f"- {clean_line(item.name)}" for item in first), *more))


def table(items: Sequence[model.Live], *, color: bool = False) -> str:
    """One line per object: address, kind, id, name. Objects that carry the same address are pointed out."""
    if not items:
        return "This stack has no objects on the server.\n"
    paint = Paint(color)
    owners = Counter(item.address for item in items if item.address)
    rows = [(_name(item), clean_line(item.kind), clean_line(item.id), clean_line(item.name)) for item in items]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for item, cells in zip(items, rows, strict=True):
        address, kind, id = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False))
        lines.append("  ".join([paint(address, "strong"), kind, paint(id, "faint"), cells[3]]).rstrip())
        if item.address and owners[item.address] > 1:
            lines.append(f"  {paint('another object is marked with the same address', 'changed')}")
    return "\n".join(lines) + "\n"


def marks(items: Sequence[model.Live], *, color: bool = False) -> str:
    """What lettaform stores about objects: digests of the values last applied, and the members that it attached."""
    paint = Paint(color)
    return "\n\n".join("\n".join(_mark(item, paint)) for item in items) + "\n"


def _mark(item: model.Live, paint: Paint) -> list[str]:
    marked = "yes" if item.marked else "no (known from the state of the stack)"
    lines = [_title(item, paint), f"  marked  {marked}"]
    lines += _digests("digests of the values last applied", item.mark.base, paint)
    for name, base in item.mark.parts.items():
        lines += _digests(f"digests of the values last applied to {name}", base, paint)
    for name, members in item.mark.members.items():
        lines.append(f"  {clean_line(name)} attached by lettaform: {to_text(list(members))}")
    return lines


def _digests(title: str, values: Mapping[str, Any], paint: Paint) -> list[str]:
    rows = [f"    {clean_line(path)}  {paint(clean_line(_kept(value)), 'faint')}" for path, value in values.items()]
    return [f"  {clean_line(title)}:", *rows] if rows else []


def _kept(value: Any) -> str:
    """A digest, or how long the text is that is kept in its place."""
    text = text_kept(str(value))
    return str(value) if text is None else f"the text, {count(len(text), 'character')}"


def _title(item: model.Live, paint: Paint) -> str:
    return f"{paint(_name(item), 'strong')}  {clean_line(item.kind)} {paint(clean_line(item.id), 'faint')}"


def _name(item: model.Live) -> str:
    return clean_line(str(item.address) if item.address else item.name)


def _indented(lines: Iterable[str], by: str) -> list[str]:
    return [f"{by}{line}" if line else "" for line in lines]
