"""New objects and objects that are no longer declared to warnings that a key was renamed without `moved`. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.model import Desired, Live, Unmanaged
from lettaform.plan.changes import ResourceChange
from lettaform.plan.leaves import kept_digest, leaves, spelled
from lettaform.plan.lookup import UNKNOWN, Lookup

T = TypeVar("T")


def renamed(lookup: Lookup, changes: Iterable[ResourceChange], left: Iterable[Unmanaged]) -> Iterator[Problem]:
    """A warning for each new object that is declared as exactly one other object was that is no longer declared.

    left  what is no longer declared, and left as it is. What is deleted is among the changes.
    """
    new, addresses = list[Desired](), [each.address for each in left]
    for each in changes:
        if each.change.action == "create" and each.desired is not None:
            new.append(each.desired)
        elif each.change.action == "delete":
            addresses.append(each.address)
    lives = ((address, lookup.live(address)) for address in addresses if address.parent is None)
    old = [(address, live) for address, live in lives if live is not None]
    if not new or not old:
        return
    wanted = _by_signs((desired, _declared(lookup, desired)) for desired in new if not desired.address.parent)
    having = _by_signs((address, _applied(live)) for address, live in old)
    found = {
        desired.address: (desired, having[sign][0])
        for sign, (desired, *others) in wanted.items()
        if not others and len(having.get(sign, ())) == 1
    }
    for desired, address in found.values():
        yield _warning(desired, address)


def _warning(desired: Desired, address: Address) -> Problem:
    new, old = str(desired.address), str(address)
    message = f"{new} is declared as {old} was, which is no longer declared; it will be another {desired.kind}"
    entry = f"moved: [{{from: {_quoted(old)}, to: {_quoted(new)}}}]"
    hint = f"if only its key was renamed, add `{entry}`: then {old} is kept, under its new address"
    return Problem(message, desired.place, hint, new, severity="warning")


def _quoted(address: str) -> str:
    """An address in a flow map of YAML."""
    return f"'{address}'" if "[" in address else address


def _by_signs(found: Iterable[tuple[T, Iterable[Hashable]]]) -> dict[Hashable, list[T]]:
    """What identifies an object to the objects that it fits."""
    every = defaultdict[Hashable, list[T]](list)
    for each, signs in found:
        for sign in signs:
            every[sign].append(each)
    return every


def _declared(lookup: Lookup, desired: Desired) -> Iterator[Hashable]:
    """The name that an object gets, and the digests of its values."""
    table, found = kinds()[desired.kind], dict[str, str]()
    for name, value in desired.values.items():
        line = table.attrs()[name]
        if line.write is None or line.additive or not _is_compared(table, line):
            continue
        known = lookup.known(value)
        if known is UNKNOWN:
            return
        found |= {leaf.path: spelled(table, line, leaf.want) for leaf in leaves(line, known, None)}
    yield from _signs(desired.kind, desired.values.get(table.name_field), found)


def _applied(live: Live) -> Iterator[Hashable]:
    """The same of an object as it was last applied."""
    table, found = kinds()[live.kind], dict[str, str]()
    for path, kept in live.mark.base.items():
        line = table.attrs().get(path.split(".")[0])
        if line is not None and _is_compared(table, line):
            found[path] = str(kept_digest(table, line, kept))
    yield from _signs(live.kind, live.name, found)


def _is_compared(table: type[Kind], line: Attr) -> bool:
    """Whether the value of a field tells which object it is, and a mark has its digest."""
    return not (line.secret or line.create_only or line.name == table.name_field)


def _signs(kind: str, name: object, values: dict[str, str]) -> Iterator[Hashable]:
    if isinstance(name, str):
        yield kind, name
    if values:
        yield kind, frozenset(values.items())
