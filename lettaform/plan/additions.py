"""An object and the lists of it to what the server adds to them by itself: at creation, and with other fields."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import AddedByServer, AddsTo, PerMember, item_text
from lettaform.model import Desired, FieldChange, Live, Reason
from lettaform.plan.lookup import Lookup

# --- at creation -----------------------------------------------------------------------------------------------------


def switched_off(lookup: Lookup, desired: Desired) -> dict[str, bool]:
    """The switches that are sent as false with a new object, because nothing may be added to its exact lists."""
    values, off = _named_values(lookup, desired), dict[str, bool]()
    for line, added in kinds()[desired.kind].relations(AddedByServer):
        switches = [each for each, default in added.switches.items() if default and each not in desired.values]
        if line.name in desired.values:
            unwanted = line.is_exact(desired.policies)
        else:  # 0.16.8 adds rules to an agent that it would not add if the base tools were not switched off
            unwanted = any(each not in added.at_creation(values) for each in added.at_creation({**values, **off}))
        off |= dict.fromkeys(switches, False) if unwanted else {}
    return off


def creation_notes(lookup: Lookup, desired: Desired) -> tuple[str, ...]:
    """What is not found of a new object, and what the server adds to its lists, a sentence each."""
    return (
        *_not_found(lookup, desired),
        *_defaults(lookup, desired),
        *_with_fields(lookup, desired),
        *_with_members(lookup, desired),
    )


def _not_found(lookup: Lookup, desired: Desired) -> Iterator[str]:
    name = lookup.tables.imported_names.get(desired.address)
    if name and lookup.live(desired.address) is None:
        yield f"`imports` looks for the {desired.kind} `{name}`: the server has none without an owner"


def _defaults(lookup: Lookup, desired: Desired) -> Iterator[str]:
    values = {**_named_values(lookup, desired), **switched_off(lookup, desired)}
    for line, added in kinds()[desired.kind].relations(AddedByServer):
        for switch, items in added.prevented(values).items():
            if new := _undeclared(kinds()[desired.kind], line, values, items):
                yield f"the server adds to `{line.name}`: {new}; `{switch}: false` prevents it"


def _with_fields(lookup: Lookup, desired: Desired) -> Iterator[str]:
    kind, values = kinds()[desired.kind], _named_values(lookup, desired)
    for line, adds in kind.relations(AddsTo):
        for field, names in adds.fields.items() if values.get(line.name) else ():
            if new := _undeclared(kind, kind.attrs()[field], values, names):
                yield f"the server adds to `{field}`, for `{line.name}`: {new}"


def _with_members(lookup: Lookup, desired: Desired) -> Iterator[str]:
    for line, rule, items in items_at_creation(lookup, desired):
        yield f"the server adds to `{line.name}`, for `{rule.flag}` of its {rule.field}: {items}"


def items_at_creation(lookup: Lookup, desired: Desired) -> Iterator[tuple[Attr, PerMember, str]]:
    """The items that the server adds to the lists of a new object for its members and that are not declared."""
    kind, values = kinds()[desired.kind], _named_values(lookup, desired)
    for line, added in kind.relations(AddedByServer):
        rule = added.per_member
        members = desired.values.get(rule.field) if rule else None
        listed = members if isinstance(members, list) else []
        names = [lookup.name(each) for each in listed if rule and asks(lookup, each, rule.flag)]
        items = tuple(rule.item(name) for name in names if rule and name)
        if rule and (new := _undeclared(kind, line, values, items)):
            yield line, rule, new


def _undeclared(kind: type[Kind], line: Attr, values: Mapping[str, Any], items: tuple[Any, ...]) -> str:
    """The items that a list does not declare, for people."""
    value = kind.normal(line.name, values.get(line.name))
    declared = value if isinstance(value, list) else []  # a whole list may be known only during an apply
    return ", ".join(item_text(each) for each in items if each not in declared)


# --- members of an existing object -----------------------------------------------------------------------------------


def default_members(lookup: Lookup, desired: Desired, live: Live | None, line: Attr) -> frozenset[Any]:
    """The members that the server would add to a list if it created the object as it is declared now."""
    added = line.related(AddedByServer)
    return _ids(lookup, line, added.at_creation(_named_values(lookup, desired, live)) if added else ())


@cache
def adding_fields(kind: type[Kind], field: str) -> tuple[str, ...]:
    """The fields that, while they are not empty, make the server add members to a list."""
    return tuple(other.name for other, adds in kind.relations(AddsTo) if field in adds.fields)


def needed_members(lookup: Lookup, kind: type[Kind], line: Attr, filled: frozenset[str]) -> frozenset[Any]:
    """The members that the server keeps in a list because of other fields. `filled`: the fields that are not empty."""
    adds = (kind.attrs()[name].related(AddsTo) for name in adding_fields(kind, line.name) if name in filled)
    return _ids(lookup, line, tuple(name for each in adds if each for name in each.fields[line.name]))


def _ids(lookup: Lookup, line: Attr, names: tuple[str, ...]) -> frozenset[Any]:
    ids = (lookup.tables.unique_ids.get((line.to or "", name)) for name in names)
    return frozenset(id for id in ids if id)


# --- items for members -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Membership:
    """The members of a list: those that stay in this plan, those that are attached, and those that are detached."""

    stay: tuple[Any, ...] = ()
    attached: tuple[Any, ...] = ()
    detached: tuple[Any, ...] = ()


def item_changes(
    lookup: Lookup, desired: Desired, live: Live, line: Attr, members: Membership
) -> Iterator[FieldChange]:
    """The items that a list must get or lose because of the members of another list.

    The server adds an item when it attaches a member. It changes none when a member changes, and keeps it on detach.
    What the list itself declares for a member is left as it is.
    """
    added = line.related(AddedByServer)
    rule = added.per_member if added else None
    if rule is None:
        return
    exact = desired.policies.get(line.name) == "enforce"
    have = {rule.of(each): each for each in _live_items(desired, live, line)}
    value = desired.values.get(line.name)
    declared = {rule.of(each) for each in (value if isinstance(value, list) else ()) if isinstance(each, Mapping)}
    wanted = _exact_items(lookup, rule, members) if exact else _wanted_items(lookup, rule, members, have.keys())
    for name, (wants, reason) in wanted.items():
        if name not in declared and (exact or wants is not (name in have)):
            old, new = (None, rule.item(name)) if wants else (have.get(name, rule.item(name)), None)
            yield FieldChange(f"{line.name}.{name}", old, new, reason=reason)
    if line.name not in desired.values:
        yield from _default_changes(lookup, desired, live, line, members)


def _default_changes(
    lookup: Lookup, desired: Desired, live: Live, line: Attr, members: Membership
) -> Iterator[FieldChange]:
    """The items that a new object would have, or not have, for members that this plan attaches and detaches."""
    added = line.related(AddedByServer)
    if added is None or added.per_member is None or not (members.attached or members.detached):
        return
    have, field = _live_items(desired, live, line), added.per_member.field
    values = {**_named_values(lookup, desired, live), **switched_off(lookup, desired)}
    expected = added.at_creation(values)
    for name in map(lookup.name, members.attached):
        for item in (each for each in expected if name in each.values() and each not in have):
            yield FieldChange(f"{line.name}.{name}", None, item)
    for name in map(lookup.name, members.detached):
        for item in added.at_creation({**values, field: [name], **dict.fromkeys(added.switches, True)}):
            if name in item.values() and item in have and item not in expected:
                yield FieldChange(f"{line.name}.{name}", item, None)


def _live_items(desired: Desired, live: Live, line: Attr) -> list[Any]:
    """The items of a live list, in their normal form."""
    return [*kinds()[desired.kind].normal(line.name, live.values.get(line.name) or [])]


Wanted = Mapping[str, tuple[bool, Reason]]
"""Name of a member to whether the list must hold an item for it, and the reason if that changes."""


def _exact_items(lookup: Lookup, rule: PerMember, members: Membership) -> Wanted:
    """No item: those that the server adds in this plan are removed again."""
    names = (lookup.name(each) for each in members.attached if asks(lookup, each, rule.flag))
    return {name: (False, "manifest") for name in names if name}


def _wanted_items(lookup: Lookup, rule: PerMember, members: Membership, have: Collection[Any]) -> Wanted:
    """The items of the members whose declarations say so, under the names that they have after this plan."""
    wanted: dict[str, tuple[bool, Reason]] = {}
    gone = [live.name for each in members.detached if (live := lookup.live_member(each))]
    for member in members.stay:
        live, name, flag = lookup.live_member(member), lookup.name(member), declared_flag(lookup, member, rule.flag)
        if live is None or name is None:
            continue
        gone += [live.name] if live.name != name else []
        if flag is None and live.name != name:
            flag = live.name in have
        if flag is not None:
            same = live.name == name and (live.values.get(rule.flag) is True) is flag
            wanted[name] = (flag, "drift" if same else "manifest")
    return {**dict.fromkeys(gone, (False, "manifest")), **wanted}


def declared_flag(lookup: Lookup, member: Any, flag: str) -> bool | None:
    """What the manifest declares of a member; None if it says nothing."""
    declared = lookup.declared(member)
    value = declared.values.get(flag) if declared else None
    return value if isinstance(value, bool) else None


def asks(lookup: Lookup, member: Any, flag: str) -> bool:
    """Whether a member asks for an item in a list: by its declaration, or by what it is on the server."""
    if (declared := declared_flag(lookup, member, flag)) is not None:
        return declared
    live = lookup.live_member(member)
    return live is not None and live.values.get(flag) is True


def _named_values(lookup: Lookup, desired: Desired, live: Live | None = None) -> dict[str, Any]:
    """The declared values, with names for references, and the values of an existing object that cannot be changed."""
    lines = kinds()[desired.kind].attrs()
    fixed = {name: live.values.get(name) for name, line in lines.items() if line.immutable} if live else {}
    lists = {name: value for name, value in desired.values.items() if lines[name].to and isinstance(value, list)}
    return {**fixed, **desired.values, **{name: [*map(lookup.name, value)] for name, value in lists.items()}}
