"""Changes to lines: each object once, and objects that change in the same way together."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.model import Change, FieldChange, Reason
from lettaform.plan.drift import ATTACHED, MARKED
from lettaform.render.clean import clean_line
from lettaform.render.data import is_secret, without
from lettaform.render.field_changes import Row, Style, layout, row
from lettaform.render.inline import count, to_text, with_names
from lettaform.render.paint import Meaning, Paint
from lettaform.render.texts import Bound, bounded
from lettaform.values import Patch, Ref

DIFFERENT = 3
"""The largest number of fields in which new objects may differ that are shown together."""
WIDTH = 88
"""The largest number of characters of a line of addresses."""
LINES = 6
"""The largest number of lines of addresses below the object with which they are shown."""
DESTRUCTIVE = frozenset({"delete", "replace"})
"""Actions of which every address is shown: nobody should agree to lose an object without seeing its name."""
OBJECTS = 20
"""The largest number of objects of which the differences are shown."""


@dataclass(frozen=True)
class ActionText:
    """How an action is shown.

    symbol   before the address, with this `meaning` as colour
    phrase   after the address; empty if the symbol says enough
    planned  after the number of changes, in the summary of a plan: singular and plural
    applied  the same, in the summary of a report
    done     after the address, once it is carried out
    """

    symbol: str
    meaning: Meaning
    phrase: str = ""
    planned: tuple[str, str] = ("", "")
    applied: tuple[str, str] = ("", "")
    done: str = ""


ACTIONS: Mapping[str, ActionText] = {
    "create": ActionText("+", "added", done="created"),
    "update": ActionText("~", "changed", done="changed"),
    "replace": ActionText("-/+", "removed", "will be replaced", done="replaced"),
    "delete": ActionText("-", "removed", "will be destroyed", done="destroyed"),
    "adopt": ActionText(
        ">", "adopted", "will be adopted", ("to adopt", "to adopt"), ("adopted", "adopted"), done="adopted"
    ),
    "mark": ActionText(
        "=",
        "adopted",
        "only lettaform's mark is written",
        ("mark to write", "marks to write"),
        ("mark written", "marks written"),
        done="mark written",
    ),
    "forget": ActionText(
        "<",
        "adopted",
        "will no longer be managed; the object is kept",
        ("to stop managing", "to stop managing"),
        ("no longer managed", "no longer managed"),
        done="no longer managed",
    ),
}

_FIELD_REASONS: Mapping[Reason, str] = {
    "manifest": "",
    "undeclared": "no longer declared",
    "drift": "changed outside lettaform; the manifest's value is restored",
    "conflict": "changed in the manifest and outside lettaform; the manifest's value is written",
    "seed": "--reseed: the agent's value is overwritten",
    "merge": "merged with what was changed outside lettaform",
    "restore": "",
    "promote": "from the other environment",
}
_EVIDENT_REASONS = {*_FIELD_REASONS, "destroy", "marks only"}
"""Reasons of a change that its symbol, its phrase or its fields already show."""
NAME = 80
"""The largest number of characters of a name that stands beside an address."""
_STEP = "    "
_MEMBER = re.compile(r"(\w+)\[(.+)\]")
"""The path of a member of a list that an agent removed."""

_SAID = {ATTACHED: "detached from its agent, or deleted", MARKED: "lettaform's mark was removed"}
"""The path of what an object no longer is to the words for it."""


@dataclass(frozen=True)
class Wording:
    """What changes are about, and how they are worded.

    actions  action to symbol and phrase
    reasons  reason of a field to what stands after it
    bound    how much is shown below a field; None: all of it
    """

    actions: Mapping[str, ActionText] = field(default_factory=lambda: ACTIONS)
    reasons: Mapping[Reason, str] = field(default_factory=lambda: _FIELD_REASONS)
    bound: Bound | None = None


PLANNED = Wording()
RESTORED = Wording(reasons={})
"""Below a title that says that the changes were made outside of lettaform."""
SIDES = "- the manifest's value, + the value on the server"
"""What the signs mean where a change goes from the manifest to the server."""
KEPT = Wording(
    reasons={
        "conflict": "the manifest's value has changed, too",
        "merge": "the next apply merges it with what the manifest changes",
    },
    bound=Bound(),
)
"""Values that are kept, from the manifest's value to the live one."""


def named(change: Change, names: Mapping[str, str], *, ids: bool = False) -> Change:
    """The change with names of the objects to which its fields refer, so that equal changes of two objects are equal.

    names  id to what people call an object
    ids    whether the id stands after the name
    """

    def readable(value: Any) -> Any:
        return with_names(_own(value, change.address), names, ids=ids)

    fields = (
        each if each.secret else replace(each, old=readable(each.old), new=readable(each.new))
        for each in change.fields_changed
    )
    return replace(change, fields_changed=tuple(fields))


def _own(value: Any, owner: Address) -> Any:
    """A list, or what is added to it and removed from it, with own parts of an object by their names in it."""

    def part(item: Any) -> Any:
        is_own = isinstance(item, Ref) and item.path == "id" and item.address.parent == owner
        return f"{item.address.field}.{item.address.child}" if is_own else item

    match value:
        case list():
            return [*map(part, value)]
        case Patch() if value.entries is None:
            return Patch(tuple(map(part, value.put)), tuple(map(part, value.drop)))
        case _:
            return value


def redacted(change: FieldChange, hidden: Collection[str]) -> FieldChange:
    """The change without the texts that must not be shown: agents write down what people tell them."""
    return replace(change, old=without(change.old, hidden), new=without(change.new, hidden))


def readable(change: Change) -> Change:
    """A change from the manifest's value to the live one, with words for what was detached, or lost its mark."""
    said = [_SAID[each.path] for each in change.fields_changed if each.path in _SAID and each.new is False]
    fields = [detached(each) for each in change.fields_changed if not (each.path in _SAID and each.new is False)]
    reason = ", ".join(said) or change.reason
    return replace(change, fields_changed=tuple(fields), reason=reason)


def detached(field: FieldChange) -> FieldChange:
    """A member that an agent removed from a list, as a change of the list."""
    member = _MEMBER.fullmatch(field.path)
    if member is None or field.new is not False:
        return field
    return replace(field, path=member[1], old=None, new=Patch(drop=(member[2],)))


@dataclass(frozen=True)
class Shown:
    """A change as it is shown. What is equal in two of them is shown once.

    action  its symbol
    rows    its fields
    below   what it recompiles, and notes
    parts   the changes of its memory blocks, which are indented below it
    """

    change: Change
    action: ActionText
    phrase: str
    rows: tuple[Row, ...]
    below: tuple[str, ...]
    parts: tuple[Shown, ...] = ()


Group = Sequence[Shown]
"""Objects that change in the same way, and are shown together: the first one, and how the others differ from it."""


def lines(changes: Sequence[Change], paint: Paint, *, verbose: bool = False, wording: Wording = PLANNED) -> list[str]:
    """The changes, one after the other. `verbose`: with whole texts and ids, and every object by itself."""
    every = _shown(changes, Style(paint, whole=verbose), wording)
    groups = [[each] for each in every] if verbose else _groups(every, paint)
    blocks = [block for group in groups for block in _blocks(group, paint, verbose=verbose)]
    found: list[str] = []
    for before, block in zip([[], *blocks], blocks, strict=False):  # no empty line between two changes of one line
        found += [""] * (bool(before) and len(before) + len(block) > 2) + block
    return found


def groups(changes: Sequence[Change], style: Style, *, wording: Wording = PLANNED) -> list[Group]:
    """The changes, each once, with those that are shown together."""
    return [*_groups(_shown(changes, style, wording), style.paint)]


def differing(group: Group) -> list[str]:
    """The fields in which the other new objects of a group differ from the first one. `single` returns their values."""
    return list(dict.fromkeys(name for each in group[1:] for name, _ in _differences(group[0], each)))


def location(place: Place) -> str:
    """Where something is declared."""
    return clean_line(place.of_line)


# --- one object ------------------------------------------------------------------------------------------------------


def _shown(changes: Sequence[Change], style: Style, wording: Wording) -> list[Shown]:
    parts: dict[Address, list[Change]] = {}
    heads = {change.address for change in changes}
    for change in changes:
        if change.address.parent in heads:
            parts.setdefault(change.address.parent, []).append(change)

    def of(change: Change) -> Shown:
        reason = "" if change.reason in _EVIDENT_REASONS else clean_line(change.reason)
        action = wording.actions[change.action]
        phrase = ": ".join(part for part in (action.phrase, reason) if part)
        rows = tuple(_field(field, change, style, wording) for field in change.fields_changed)
        below = parts.get(change.address, ())
        return Shown(change, action, phrase, rows, tuple(_below(change, style.paint)), tuple(map(of, below)))

    return [of(change) for change in changes if change.address.parent not in heads]


def _below(change: Change, paint: Paint) -> Iterator[str]:
    several = [count(change.recompiles, "agent")] if change.recompiles > 1 else []
    several += [count(change.conversations, "conversation")] if change.conversations else []
    if several:
        yield paint(f"recompiles the system prompts of {' and '.join(several)}", "changed")
    yield from (paint(f"note: {clean_line(note)}", "faint") for note in change.notes)


def _field(field: FieldChange, change: Change, style: Style, wording: Wording) -> Row:
    creating = change.action == "create"
    style = replace(style, creating=creating, limit=_limit(field, change))
    # in an object to create, only the Secrets inside of a value are hidden
    secret = field.secret if creating else is_secret(field, change.kind)
    shown = row(field.path, field.old, field.new, style, secret=secret)
    reason = wording.reasons.get(field.reason, "")
    value = "  ".join(part for part in (shown.value, reason and style.paint(f"({reason})", "changed")) if part)
    return Row(shown.sign, shown.name, value, bounded(shown.details, wording.bound, style.paint))


def _limit(field: FieldChange, change: Change) -> int | None:
    """The maximum length of a block's value, if the same change sets it."""
    before, _, name = field.path.rpartition(".")
    if name != "value":
        return None
    path = f"{before}.limit" if before else "limit"
    for other in change.fields_changed:
        if other.path == path:
            return next((side for side in (other.new, other.old) if isinstance(side, int)), None)
    return None


def _blocks(group: Sequence[Shown], paint: Paint, *, verbose: bool) -> Iterator[list[str]]:
    """The lines of an object, of each of its parts, and of those that change in the same way."""
    first, others = group[0], group[1:]
    yield _indented(_lines(first, paint, verbose=verbose), "  ")
    for part in first.parts:
        yield _indented(_lines(part, paint, verbose=verbose), "  " + _STEP)
    if others:
        yield _indented(_others(first, others, paint), "  " + _STEP)


def _lines(shown: Shown, paint: Paint, *, verbose: bool) -> list[str]:
    change, action = shown.change, shown.action
    head = [
        f"{paint(action.symbol, action.meaning)} {paint(clean_line(str(change.address)), 'strong')}",
        _short(change.name),
        # which object is adopted is for people to check; the others are known by their addresses
        paint(clean_line(change.id or ""), "faint") if verbose or change.action == "adopt" else "",
        paint(shown.phrase, action.meaning),
        paint(f"# {location(change.place)}", "faint") if change.place else "",
    ]
    fields = layout(list(shown.rows), paint, signs=change.action != "create")
    return ["  ".join(part for part in head if part), *_indented([*fields, *shown.below], _STEP)]


def _indented(lines: Iterable[str], by: str) -> list[str]:
    return [f"{by}{line}" if line else "" for line in lines]


# --- objects that change in the same way -----------------------------------------------------------------------------


def _groups(every: Sequence[Shown], paint: Paint) -> list[list[Shown]]:
    """Objects that are shown together, each group where its first object stands."""
    found: list[list[Shown]] = []
    last: dict[object, list[Shown]] = {}
    for each in every:
        group = last.get(shape := _shape(each))
        if group is None or len(_differences(group[0], each)) > DIFFERENT:
            found.append(group := [])
            last[shape] = group
        group.append(each)
    order = {each.change.address: number for number, each in enumerate(every)}
    folded = [part for group in found for part in ([group] if _is_shorter(group, paint) else [[x] for x in group])]
    return sorted(folded, key=lambda group: order[group[0].change.address])


def _is_shorter(group: Sequence[Shown], paint: Paint) -> bool:
    """Whether showing these objects together takes fewer lines."""
    size = sum(len(_lines(each, paint, verbose=False)) for each in (group[0], *group[0].parts))
    return len(group) > 2 and len(_others(group[0], group[1:], paint)) < size * (len(group) - 1)


def _shape(shown: Shown) -> object:
    """What is equal in objects that are shown together. Of new objects, values on one line may differ."""
    change = shown.change
    pairs = zip(shown.rows, change.fields_changed, strict=True)
    rows = [(each.name, *(() if _may_differ(shown, each) else (each, _whole(change, field)))) for each, field in pairs]
    parts = tuple((part.change.address.field, part.change.address.child, _shape(part)) for part in shown.parts)
    return change.kind, change.action, shown.phrase, tuple(rows), shown.below, parts


def _whole(change: Change, field: FieldChange) -> str:
    """A value of a new object, of which only the beginning is shown. Of a change, all that differs is shown."""
    return to_text(field.new) if change.action == "create" else ""


def _may_differ(shown: Shown, each: Row) -> bool:
    return shown.change.action == "create" and not each.details


def single(shown: Shown, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and value of the fields that may differ."""
    yield from ((prefix + each.name, each.value) for each in shown.rows if _may_differ(shown, each))
    for part in shown.parts:
        address = part.change.address
        yield from single(part, f"{prefix}{clean_line(f'{address.field}.{address.child}')}.")


def _differences(first: Shown, other: Shown) -> list[tuple[str, str]]:
    """Name and value of the fields in which an object differs from another one of its shape."""
    pairs = zip(single(first), single(other), strict=True)
    return [mine for theirs, mine in pairs if mine != theirs]


def _others(first: Shown, others: Sequence[Shown], paint: Paint) -> list[str]:
    """The objects that change like the first one, with what differs."""
    names = differing([first, *others])
    if not names:
        head = paint(f"the same for {len(others)} more:", "strong")
        every = first.change.action in DESTRUCTIVE
        changes = [each.change for each in others]
        return [head, *_indented(_wrapped(changes, every=every), _STEP)]
    head = paint(f"the same for {len(others)} more, except for {' and '.join(names)}:", "strong")
    values = [(each.change, dict(single(each))) for each in others[:OBJECTS]]
    shown = ["  ".join([full_name(change), *(have[name] for name in names)]) for change, have in values]
    return [head, *_indented([*shown, *_more(len(others) - len(shown))], _STEP)]


def short_addresses(addresses: Sequence[Address]) -> list[str]:
    """Addresses. Of instances of one declaration that follow each other, all but the first are keys alone."""
    words, before = list[str](), None
    for address in addresses:
        declared = address.without_indexes
        # an object whose declaration got a `for_each` stands among its instances
        follows = address.parent is None and declared == before
        words.append(clean_line((address.indexes if follows else "") or str(address)))
        before = declared
    return words


def short_names(changes: Sequence[Change]) -> list[str]:
    """The addresses of changes, as `short_addresses` has them, each with the name of the object if that says more."""
    words = short_addresses([change.address for change in changes])
    return [_named(word, change) for word, change in zip(words, changes, strict=True)]


def full_name(change: Change) -> str:
    """The address of a change, with the name of the object if that says more."""
    return _named(clean_line(str(change.address)), change)


def _named(word: str, change: Change) -> str:
    return f"{word} {_short(change.name)}" if change.name else word


def _short(name: str) -> str:
    """A name of the server, which may have any length."""
    return clean_line(name if len(name) <= NAME else f"{name[: NAME - 1]}…")


def _wrapped(changes: Sequence[Change], *, every: bool) -> list[str]:
    """Addresses, several on a line. `every`: whether all of them are shown, however many."""
    spaced = [word.replace(" ", "\0") for word in short_names(changes)]  # a line ends between two addresses alone
    lines = textwrap.wrap(", ".join(spaced), WIDTH, break_long_words=False, break_on_hyphens=False)
    shown = lines if every else lines[:LINES]
    rest = sum(len(line.rstrip(",").split(", ")) for line in lines[len(shown) :])
    return [*(line.replace("\0", " ") for line in shown), *_more(rest)]


def _more(number: int) -> list[str]:
    return [f"… {number} more; -v shows each"] if number > 0 else []
