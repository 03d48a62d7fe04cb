"""Live objects beside what the manifest says about them to text for people and to JSON, without secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.model import FieldChange, Live
from lettaform.plan.drift import ATTACHED, MARKED, ObjectDrift, Shown
from lettaform.render import data
from lettaform.render.changes import SIDES, WIDTH, detached, location, redacted
from lettaform.render.clean import clean_line
from lettaform.render.field_changes import Row, Style, layout, row
from lettaform.render.inline import count, with_names
from lettaform.render.objects import contents, last_run
from lettaform.render.paint import Paint
from lettaform.render.text import head, paragraphs
from lettaform.render.texts import Bound, bounded
from lettaform.values import UNREAD, Patch

FIRST = (20, 400)
"""Number of lines that are shown of a text that the manifest declares, and of characters of a line."""
_STEP = "    "
_WORDS: Mapping[str, str] = {
    "written_back": "changed outside lettaform, an apply writes it back",
    "kept": "changed by agents, kept",
    "edited": "changed in the manifest, not applied yet",
}
"""Field of ObjectDrift to what is said about its changes."""
_COUNTED: Mapping[str, str] = {
    "written_back": "changed outside",
    "kept": "changed by agents",
    "edited": "changed in the manifest, not applied",
}
"""The same, after the number of changes."""


# --- one object ------------------------------------------------------------------------------------------------------


def text(shown: Shown, *, color: bool = False, verbose: bool = False) -> str:
    """The values of objects, and the seeds of those that agents changed. `verbose`: whole texts, ids, all fields."""
    paint, shown = Paint(color), _without_secrets(shown)
    return paragraphs([_object(shown, live, parts, paint, verbose=verbose) for live, parts in _with_parts(shown)])


def _with_parts(shown: Shown) -> list[tuple[Live, list[Live]]]:
    """The objects, each with the own blocks that are shown below it."""
    parts: dict[Address | None, list[Live]] = {live.address: [] for live in shown.objects if live.address}
    for live in shown.objects:
        if live.address and live.address.parent in parts:
            parts[live.address.parent].append(live)
    heads = [live for live in shown.objects if not (live.address and live.address.parent in parts)]
    return [(live, parts.get(live.address, [])) for live in heads]


def _object(shown: Shown, live: Live, parts: Sequence[Live], paint: Paint, *, verbose: bool) -> list[str]:
    address = live.address
    title = [paint(clean_line(str(address or live.name)), "strong"), clean_line(live.kind)]
    lines = ["  ".join([*title, *_about(shown, live, paint)])]
    lines += [f"{_STEP}{paint(f'last written by {last_run(live.applied)}', 'faint')}"] if live.applied else []
    lines += [f"{_STEP}{line}".rstrip() for line in _fields(shown, live, paint, parts, verbose=verbose)]
    for part in parts:
        assert part.address is not None
        name = paint(clean_line(f"{part.address.field}.{part.address.child}"), "strong")
        lines.append(f"{_STEP}{'  '.join([name, *_about(shown, part, paint)])}")
        lines += [f"{_STEP * 2}{line}".rstrip() for line in _fields(shown, part, paint, (), verbose=verbose)]
    for lost in _lost_parts(shown, address):
        name = clean_line(f"{lost.address.field}.{lost.address.child}")
        lines.append(f"{_STEP}{paint(name, 'strong')}  {paint(_lost(lost), 'changed')}")
    return lines


def _about(shown: Shown, live: Live, paint: Paint) -> Iterator[str]:
    """The id of an object, where it is declared, and whether it is."""
    yield paint(clean_line(live.id), "faint")
    desired = shown.declared.get(live.address) if live.address else None
    if desired is None:
        yield paint("not declared", "changed")
    elif desired.external:
        yield "external: used, and never written"
    drift = shown.changed.get(live.address) if live.address else None
    if drift and _has(drift.written_back, MARKED):
        yield paint("lettaform's mark was removed", "changed")
    if desired is not None:
        yield paint(f"# {location(desired.place)}", "faint")


def _lost_parts(shown: Shown, owner: Address | None) -> list[ObjectDrift]:
    """The own blocks of an agent that are declared, were applied, and that it no longer has."""
    present = {live.address for live in shown.objects}
    lost = [each for address, each in shown.changed.items() if address.parent == owner and address not in present]
    return [each for each in lost if each.missing or _is_detached(each)] if owner else []


def _is_detached(each: ObjectDrift) -> bool:
    return _has((*each.kept, *each.written_back), ATTACHED)


def _has(fields: Iterable[FieldChange], path: str) -> bool:
    return any(field.path == path for field in fields)


def _lost(each: ObjectDrift) -> str:
    kept = _has(each.kept, ATTACHED)
    return "detached from its agent, or deleted: kept so" if kept else "missing, an apply creates or attaches it again"


def _fields(shown: Shown, live: Live, paint: Paint, parts: Collection[Live], *, verbose: bool) -> list[str]:
    """The values of an object. Those that differ from the manifest go from the manifest's to the live one."""
    desired, own = shown.declared.get(live.address) if live.address else None, {part.id for part in parts}
    undeclared = desired is None or desired.external is not None
    rows, others, differing = list[Row](), list[str](), list(_differing(shown, live))
    for name, value in live.values.items():
        if value is UNREAD:
            continue
        if isinstance(value, list):
            value = [item for item in value if not (isinstance(item, str) and item in own)]
        declared = desired is not None and name in desired.values
        changes = [each for each in differing if each[0].path.split(".")[0] == name]
        if changes:
            rows += _changed(live, name, value, changes, paint, verbose=verbose)
        elif value in (None, [], {}, "") and not _is_content(live, name):
            continue
        elif verbose or declared or _is_content(live, name) or (undeclared and _is_short(live, name, value)):
            rows += [] if _is_key(live, name, value) else [_value(live, name, value, paint, declared, verbose=verbose)]
        else:
            others.append(name)
    left_out = _left_out(others, paint, "not shown" if undeclared else "not declared")
    return [*layout(rows, paint, signs=False), *left_out]


def _value(live: Live, name: str, value: Any, paint: Paint, declared: bool, *, verbose: bool) -> Row:
    """A value as it is."""
    if _is_content(live, name):
        return contents(name, value, verbose)
    style = Style(paint, whole=verbose, creating=True, first=FIRST if declared else Style.first)
    secret = name in data.secret_fields(live.kind)
    return row(name, None, value if secret else with_names(value, live.names, ids=verbose), style, secret=secret)


def _changed(
    live: Live, name: str, value: Any, changes: list[tuple[FieldChange, str]], paint: Paint, *, verbose: bool
) -> Iterator[Row]:
    """A field that differs from the manifest. Of a list, the members that it has, and those that differ."""
    members, whole = list[Row](), False
    for field, words in changes:
        found = _difference(field, live, words, paint, verbose=verbose)
        if isinstance(field.new, Patch):
            members.append(found)
        else:
            whole = whole or field.path == name
            yield found
    if members or not (whole or value in (None, [], {}, "")):
        found = _value(live, name, value, paint, True, verbose=verbose)
        differing = (line for each in members for line in (each.value, *each.details) if line)
        yield replace(found, details=(*found.details, *differing))


def _is_content(live: Live, name: str) -> bool:
    """Whether a field holds passages or files."""
    line = kinds()[live.kind].attrs().get(name)
    return line is not None and line.related(Contents) is not None


def _is_short(live: Live, name: str, value: Any) -> bool:
    """Whether a value is no map, and no list of maps, or shows nothing of the map that it is."""
    nested = value if isinstance(value, list) else [value]
    return name in data.secret_fields(live.kind) or not any(isinstance(each, Mapping) for each in nested)


def _is_key(live: Live, name: str, value: Any) -> bool:
    """Whether a value is the label of an own block, which its address says already."""
    own = live.address is not None and live.address.parent is not None
    return own and name == kinds()[live.kind].name_field and live.address is not None and value == live.address.child


def _differing(shown: Shown, live: Live) -> Iterator[tuple[FieldChange, str]]:
    drift = shown.changed.get(live.address) if live.address else None
    for name, words in _WORDS.items() if drift else ():
        for field in getattr(drift, name):
            both = "; the manifest has changed, too" if field.reason == "conflict" else ""
            yield redacted(detached(field), shown.hidden), f"{words}{both}"


def _difference(field: FieldChange, live: Live, words: str, paint: Paint, *, verbose: bool) -> Row:
    """A value of the manifest beside the live one."""
    limit = live.values.get("limit") if field.path == "value" else None
    style = Style(paint, whole=verbose, around=verbose, limit=limit if isinstance(limit, int) else None)
    old, new = (with_names(side, live.names, ids=verbose) for side in (field.old, field.new))
    found = row(field.path, old, new, style, secret=data.is_secret(field, live.kind))
    details = bounded(found.details, None if verbose else Bound(), paint)
    value = "  ".join(part for part in (found.value, paint(f"({words})", "changed")) if part)
    return Row(found.sign, found.name, value, details)


def _left_out(names: list[str], paint: Paint, why: str) -> list[str]:
    """The fields that are not shown: as many names as fit on one line."""
    if not names:
        return []
    shown = list[str]()
    for name in map(clean_line, names):
        if len(f"{', '.join([*shown, name])}") > WIDTH // 2:
            break
        shown.append(name)
    more = [f"{len(names) - len(shown)} more"] if len(shown) < len(names) else []
    line = f"{why}: {', '.join([*shown, *more])}; -v shows {'it' if len(names) == 1 else 'them'}"
    return [paint(line, "faint")]


# --- all objects -----------------------------------------------------------------------------------------------------


def listing(shown: Shown, *, color: bool = False, verbose: bool = False) -> str:
    """One line for each object with its own blocks, and how it differs from the manifest. `verbose`: with ids."""
    paint = Paint(color)
    counts = _counts(shown)
    lines = [_line(shown, live, parts, counts, paint, verbose=verbose) for live, parts in _with_parts(shown)]
    missing = [each for each in shown.changed.values() if each.missing and not each.address.parent]
    lines += [f"{clean_line(str(each.address))}  {paint('missing on the server', 'changed')}" for each in missing]
    if not lines:
        return f"Stack {shown.stack} has no objects on {clean_line(shown.url)}.\n"
    signs = f"`lettaform show ADDRESS` shows one, with what changed ({SIDES})."
    return paragraphs([[head(shown, paint)], lines, [f"{count(len(shown.objects), 'object')}. {signs}"]])


def _line(
    shown: Shown,
    live: Live,
    parts: Sequence[Live],
    counts: Mapping[Address, Counter[str]],
    paint: Paint,
    *,
    verbose: bool,
) -> str:
    address, keys = live.address, [clean_line(str(part.address.child)) for part in parts if part.address]
    facts = [clean_line(live.name)] if address and live.name != address.key else []
    facts += [paint(clean_line(live.id), "faint")] if verbose else []
    facts += [f"memory: {', '.join(keys)}"] if keys else []
    desired = shown.declared.get(address) if address else None
    facts += ["external"] if desired and desired.external else [] if desired else [paint("not declared", "changed")]
    number = counts.get(address, Counter()) if address else Counter[str]()
    changed = ", ".join(f"{number[name]} {words}" for name, words in _COUNTED.items() if number[name])
    facts += [paint(changed, "changed")] if changed else []
    return "  ".join([paint(clean_line(str(address or live.name)), "strong"), *facts])


def _counts(shown: Shown) -> Mapping[Address, Counter[str]]:
    """How many fields of each object and of its own blocks differ from the manifest, by the reason."""
    found: dict[Address, Counter[str]] = {}
    for address, each in shown.changed.items():
        counts = found.setdefault(address.parent or address, Counter())
        counts.update({name: len(getattr(each, name)) for name in _WORDS})
    return found


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(shown: Shown) -> dict[str, Any]:
    """The object that `show --json` prints: every field of every object, and how it differs from the manifest."""
    shown = _without_secrets(shown)
    found = []
    for live in shown.objects:
        drift = shown.changed.get(live.address) if live.address else None
        differing = [(field, name) for name in _WORDS for field in getattr(drift, name, ())]
        changed = [
            {"path": field.path, "why": name, "manifest": old, "live": new}
            for field, name in differing
            for old, new in [data.sides(redacted(field, shown.hidden), live.kind)]
        ]
        found.append({**data.live(live), **({"changed": changed} if changed else {})})
    return {"format_version": data.FORMAT_VERSION, "objects": found}


def _without_secrets(shown: Shown) -> Shown:
    """The same without the values of secrets that agents have written down."""

    lives = (replace(live, values=data.without(live.values, shown.hidden)) for live in shown.objects)
    return replace(shown, objects=tuple(lives))
