"""A StackStatus to tables for people, to names, and to JSON. The text is clean and contains no secrets."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lettaform import __version__
from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.model import NEAR
from lettaform.plan.status import Memory, ObjectStatus, StackStatus, Status
from lettaform.render import data, table
from lettaform.render.clean import clean_line
from lettaform.render.inline import count, part
from lettaform.render.paint import Meaning, Paint
from lettaform.render.table import Cell, Column
from lettaform.render.text import kept_values, warnings

FORMAT_VERSION = "1.0"
"""Version of the JSON object. The second number grows with a new key, the first with an incompatible change."""

DELETED = "deleted"
"""What a watch shows as the status of an object that is no longer there."""

Key = tuple[Address, str | None]
"""Address and id of an object: duplicates have the address of another one."""

_MEANINGS: dict[Status, Meaning] = {
    "drifted": "changed",
    "outdated": "changed",
    "stale": "changed",
    "missing": "removed",
    "conflict": "alarm",
    "unowned": "adopted",
    "unmarked": "adopted",
    "removed": "removed",
    "gone": "removed",
    "undeclared": "changed",
    "canary": "adopted",
    "orphaned": "changed",
    "duplicate": "changed",
    "external": "faint",
}
_WHOLE: frozenset[Status] = frozenset({"missing", "unowned", "removed", "gone", "undeclared", "canary"})
"""What is said of an agent together with its own blocks."""

_SHORT: dict[str, tuple[str, ...]] = {"agent": ("tools", "blocks")}
"""Kind to the fields whose members are counted without `-o wide`; those of other kinds are all counted."""


@dataclass(frozen=True)
class Look:
    """How a status is shown.

    now     the time to which ages are relative, with a time zone
    wide    with more columns, and with a row for each own block
    width   number of characters of a line; None: no limit
    """

    now: datetime
    wide: bool = False
    width: int | None = None
    color: bool = False

    @property
    def paint(self) -> Paint:
        return Paint(self.color)


# --- whole texts -----------------------------------------------------------------------------------------------------


def text(found: StackStatus, look: Look) -> str:
    """A table for each kind, the warnings, and a summary."""
    groups = [*tables(found, look), warnings(found.warnings, look.paint), [summary(found, look.paint)]]
    return "\n\n".join("\n".join(group) for group in groups if group) + "\n"


def screen(found: StackStatus, look: Look, height: int, notes: Sequence[str] = ()) -> str:
    """As `text`, in at most this number of lines: rows that do not fit are counted. `notes`: what stands below it."""
    width = look.width or 80
    plain = replace(look, color=False)
    rest = [*warnings(found.warnings, plain.paint), summary(found), *notes]
    foot = [line for each in rest for line in textwrap.wrap(each, max(width - 1, 20)) or [""]]
    body = [line for group in tables(found, look) for line in (*group, "")]
    room = max(height - len(foot) - 1, 1)
    if len(body) > room:
        more = sum(bool(line) for line in body[room - 1 :])
        body = [*body[: room - 1], look.paint(f"… {count(more, 'more line')}", "faint")]
    return "\n".join([*body, *foot])


def names(found: StackStatus) -> str:
    """The address of every selected object, one on each line."""
    return "".join(f"{clean_line(str(each.address))}\n" for each in found.objects)


def summary(found: StackStatus, paint: Paint | None = None) -> str:
    """The last line: how many objects of which stack are as declared, and how many are not."""
    paint = paint or Paint()
    where = clean_line(f"stack {found.stack} on {found.url}{part(found.environment, found.shard)}")
    number = count(found.total, "object")
    number = number if found.count == found.total else f"{found.count} of {number}"
    counts = {status: n for status, n in found.counts.items() if n and status != "external"}
    if not counts:
        line = f"{paint(number, 'strong')} of {where}."
    elif counts == {"ok": found.count}:
        line = f"{paint(number, 'strong')} of {where} {'is' if found.count == 1 else 'are'} as declared."
    else:
        parts = [f"{n} as declared" if status == "ok" else f"{n} {status}" for status, n in counts.items()]
        line = f"{paint(number, 'strong')} of {where}: {', '.join(parts)}."
    return line + kept_values(found.kept, found.seeds)


# --- tables ----------------------------------------------------------------------------------------------------------


def tables(found: StackStatus, look: Look) -> list[list[str]]:
    """The lines of a table for each kind: its titles, and a line for each object."""
    return [lines for lines, _ in _tables(found, look)]


def changed_rows(before: StackStatus, now: StackStatus, look: Look) -> list[str]:
    """The lines of the objects that differ from an earlier status. Those that are no longer there come with `deleted`.

    They are aligned as in the tables of the new status.
    """
    present = _by_object(now)
    lost = tuple(each for key, each in _by_object(before).items() if key not in present)
    every = replace(now, objects=(*now.objects, *lost))
    shown = {_key(each) for each in (*changed(before, now).objects, *lost)}
    tables = _tables(every, look, {_key(each) for each in lost})
    rows = (pair for lines, objects in tables for pair in zip(lines[1:], objects, strict=True))
    return [line for line, each in rows if _key(each) in shown]


def changed(before: StackStatus, now: StackStatus) -> StackStatus:
    """A status with the objects alone that differ from an earlier one. An agent differs if an own block does."""
    known = _by_object(before)
    found = {key for key, each in _by_object(now).items() if known.get(key) != each}
    owners = {address.parent for address, _ in found if address.parent}
    return replace(now, objects=tuple(each for each in now.objects if _key(each) in found or each.address in owners))


def differs(before: StackStatus, now: StackStatus) -> bool:
    """Whether an object, the lock or a warning differs."""
    same = (before.lock, before.warnings) == (now.lock, now.warnings)
    return not same or _by_object(before) != _by_object(now)


def _by_object(found: StackStatus) -> dict[Key, ObjectStatus]:
    """The objects by address and id. What `place` says about the files is left out."""
    return {_key(each): replace(each, place=None) for each in found.objects}


def _key(each: ObjectStatus) -> Key:
    return each.address, each.id


def _tables(
    found: StackStatus, look: Look, lost: Collection[Key] = ()
) -> Iterator[tuple[list[str], list[ObjectStatus]]]:
    """For each kind, the lines of its table, and the objects of the lines below the titles. `lost`: what is deleted."""
    rows = list(_visible(found, look))
    hidden = _hidden_kept(found, rows)
    for kind in dict.fromkeys(each.kind for each in rows):
        objects = [each for each in rows if each.kind == kind]
        columns = list(_columns(kind, objects, look, hidden))
        cells = [[make(each) for _, make in columns] for each in objects]
        for each, row in zip(objects, cells, strict=True):
            if _key(each) in lost:
                row[1] = Cell(DELETED, "removed")
        yield table.lines([column for column, _ in columns], cells, look.paint, look.width), objects


def _visible(found: StackStatus, look: Look) -> Iterator[ObjectStatus]:
    """The objects that have a row. An own block that is as declared, or shares the fate of its agent, has none."""
    owners = {each.address: each.status for each in found.objects}
    for each in found.objects:
        owner = owners.get(each.address.parent) if each.address.parent else None
        silent = each.status == "ok" or (each.status == owner and owner in _WHOLE)
        if look.wide or owner is None or not silent:
            yield each


def _hidden_kept(found: StackStatus, rows: Iterable[ObjectStatus]) -> Mapping[Address, int]:
    """Address of an agent to the number of kept values of its blocks without a row."""
    shown, hidden = {each.address for each in rows}, dict[Address, int]()
    for each in found.objects:
        if each.address not in shown and each.address.parent:
            hidden[each.address.parent] = hidden.get(each.address.parent, 0) + len(each.kept)
    return hidden


Make = Callable[[ObjectStatus], Cell]


def _columns(
    kind: str, rows: Sequence[ObjectStatus], look: Look, hidden: Mapping[Address, int]
) -> Iterator[tuple[Column, Make]]:
    """The columns of a kind, each with what makes its cells. A column that no object of the kind has is left out."""
    yield Column("ADDRESS", least=20), lambda each: Cell(clean_line(str(each.address)), "strong")
    yield Column("STATUS"), lambda each: Cell(each.status, _MEANINGS.get(each.status))
    yield Column("NAME", 8, least=10, most=40), lambda each: Cell(_or_dash(each.name))
    if any(each.model for each in rows):
        yield Column("MODEL", 6, least=14), lambda each: Cell(_or_dash(each.model))
    for name in dict.fromkeys(name for each in rows for name in each.members):
        if look.wide or name in _SHORT.get(kind, (name,)):
            yield _number(name.upper().replace("_", " "), 9), partial(_members, name)
    yield from _memory_columns(rows, look)
    if any(each.users is not None for each in rows):
        yield _number("AGENTS", 5), lambda each: _count(each.users)
    yield _number("DRIFT", 1), lambda each: Cell(str(len(each.drifted)), "changed" if each.drifted else None)
    yield _number("KEPT", 2), lambda each: _count(len(each.kept) + hidden.get(each.address, 0))
    if kinds()[kind].runs:
        yield Column("LAST RUN", 4, most=30), lambda each: _last_run(each, look.now)
    if any(each.created for each in rows):
        yield _number("AGE", 10), lambda each: Cell(_age(each.created, look.now))
    if look.wide:
        yield Column("ID", 4), lambda each: Cell(_or_dash(each.id), "faint")
        yield Column("NOTE", 3, least=20), lambda each: Cell(clean_line(_note(each)))


def _memory_columns(rows: Sequence[ObjectStatus], look: Look) -> Iterator[tuple[Column, Make]]:
    if any(each.memory for each in rows):
        amount = str if look.wide else _short
        yield _number("MEMORY", 7), lambda each: Cell(_memory(each.memory, amount))
        yield _number("USED", 1), lambda each: _share(each.memory)
    if look.wide and any(each.fullest for each in rows):
        yield Column("FULLEST", 7, most=30), lambda each: _fullest(each)


def _number(title: str, rank: int) -> Column:
    return Column(title, rank, right=True)


# --- cells -----------------------------------------------------------------------------------------------------------


def _or_dash(value: str | None) -> str:
    return clean_line(value) if value else "-"


def _count(number: int | None) -> Cell:
    return Cell("-" if number is None else str(number))


def _members(name: str, each: ObjectStatus) -> Cell:
    return _count(each.members.get(name))


def _memory(memory: Memory | None, amount: Callable[[int], str]) -> str:
    return f"{amount(memory.used)}/{amount(memory.limit)}" if memory else "-"


def _short(number: int) -> str:
    """A number in at most four characters: `950`, `1.4k`, `300k`, `2.5M`."""
    units = ((10**9, "G"), (10**6, "M"), (1000, "k"))
    size, unit = next((each for each in units if number >= each[0]), (1, ""))
    tenths = number * 10 // size
    return f"{number // size}{unit}" if tenths >= 100 or tenths % 10 == 0 else f"{tenths / 10}{unit}"


def _share(memory: Memory | None) -> Cell:
    if memory is None or not memory.limit:
        return Cell("-")
    share = memory.share
    meaning: Meaning | None = "alarm" if share > 1 else "changed" if share >= NEAR else None
    return Cell("<1%" if 0 < share < 0.01 else f"{int(share * 100)}%", meaning)


def _fullest(each: ObjectStatus) -> Cell:
    if each.fullest is None:
        return Cell("-")
    label, memory = each.fullest
    share = _share(memory)
    return Cell(f"{clean_line(label)} {share.text}", share.meaning)


def _last_run(each: ObjectStatus, now: datetime) -> Cell:
    """Why the last run ended, and how long ago, as far as the server says it."""
    if each.last_run is None:
        return Cell("never" if each.unused else "-", "faint")
    reason, age = clean_line(each.last_run.reason), _age(each.last_run.at, now) if each.last_run.at else ""
    text = f"{reason} ({age} ago)" if reason and age else reason or f"{age} ago"
    return Cell(text, "alarm" if "error" in reason else None)


def _age(at: str, now: datetime) -> str:
    """The time since a moment in its largest unit: `40s`, `12m`, `5h`, `3d`, `2y`; `-` if it is not known."""
    try:
        moment = datetime.fromisoformat(at)
        seconds = int((now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds())
    except (ValueError, OverflowError):
        return "-"
    seconds = max(seconds, 0)
    for unit, size, most in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800), ("d", 86_400, 63_072_000)):
        if seconds < most:
            return f"{seconds // size}{unit}"
    return f"{seconds // 31_536_000}y"


def _note(each: ObjectStatus) -> str:
    """What differs, or why an undeclared object is left as it is."""
    parts = [f"drifted: {', '.join(each.drifted)}"] if each.drifted else []
    parts += [f"to write: {', '.join(each.changed)}"] if each.changed else []
    parts += [f"kept: {', '.join(each.kept)}"] if each.kept else []
    parts += [f"not written: {', '.join(each.seeds)}"] if each.seeds else []
    return "; ".join([*parts, *([each.reason] if each.reason else [])]) or "-"


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(found: StackStatus) -> dict[str, Any]:
    """The object that `status --json` prints. Own blocks are objects of their own. Contains no secrets."""
    lock = found.lock
    return {
        "format_version": FORMAT_VERSION,
        "lettaform_version": __version__,
        "stack": found.stack,
        "server": {"url": found.url, "version": found.version},
        "environment": found.environment,
        "shard": str(found.shard) if found.shard else None,
        "lock": {"holder": lock.holder, "since": lock.since} if lock else None,
        "total": found.total,
        "summary": {**found.counts, "runtime": found.kept, "seeds": found.seeds},
        "objects": [_object(each) for each in found.objects],
        "warnings": [data.problem(each) for each in found.warnings],
    }


def _object(each: ObjectStatus) -> dict[str, Any]:
    fullest, run, place = each.fullest, each.last_run, each.place
    return {
        "address": str(each.address),
        "kind": each.kind,
        "id": each.id,
        "name": each.name,
        "status": each.status,
        "action": each.action,
        "drifted": list(each.drifted),
        "changed": list(each.changed),
        "kept": list(each.kept),
        "seeds": list(each.seeds),
        "reason": each.reason or None,
        "model": each.model,
        "tags": list(each.tags),
        "members": dict(each.members),
        "agents": each.users,
        "memory": vars(each.memory) if each.memory else None,
        "fullest": {"label": fullest[0], **vars(fullest[1])} if fullest else None,
        "created_at": each.created or None,
        "last_run": {"at": run.at or None, "reason": run.reason or None} if run else None,
        "unused": each.unused,
        "place": {"file": place.file, "line": place.line, "column": place.column} if place else None,
    }
