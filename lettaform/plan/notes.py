"""A replacement or deletion to notes: why it happens, and what is lost with it."""

from __future__ import annotations

from collections.abc import Iterator

from lettaform.kinds import kinds
from lettaform.model import Change, Desired
from lettaform.plan.lookup import Lookup

EXAMPLES = 3
"""The largest number of dependents that a note names one by one."""


def cascades(lookup: Lookup, id: str) -> Iterator[str]:
    """Notes about what the server deletes along with an object and no address of this stack names."""
    lost = [each for each in lookup.dependents(id).cascades if each.id not in lookup.tables.addresses]
    for kind in dict.fromkeys(each.kind for each in lost):
        names = sorted(f"{each.name} ({each.id})" if each.name else each.id for each in lost if each.kind == kind)
        number = f"{len(names)} {kinds()[kind].section.replace('_', ' ')}"
        yield f"also deletes {', '.join(names) if len(names) <= EXAMPLES else number}, not declared in this manifest"


def replacement_note(lookup: Lookup, desired: Desired, change: Change) -> str:
    """Why an object is replaced, and what is lost with it."""
    kind, lost = kinds()[desired.kind], lost_users(lookup, desired)
    names = ", ".join(f"`{name}`" for name in sorted(fixed_fields(change)))
    note = f"{names} cannot be changed on an existing {desired.kind}: replaced"
    note += f", {kind.replacement}" if kind.replacement else ""
    return note + (f"; {agents(lost)} outside this manifest would lose it" if lost else "")


def lost_users(lookup: Lookup, desired: Desired) -> int:
    """The number of agents that lose an object when it is replaced.

    These are the agents that use it, except those whose manifest refers to it (they get the new one) and those to
    which lettaform attached it (the manifest takes it away from them).
    """
    live, tables = lookup.live(desired.address), lookup.tables
    if live is None or not lookup.users(live.id):
        return 0
    addresses = [desired.address, *tables.created_with.get(desired.address, ())]
    kept = set[str]().union(*(tables.referrers.get(address, ()) for address in addresses))
    ids = [each.id for address in addresses if (each := lookup.live(address))]
    released = set[str]().union(*(tables.attached_by_us.get(id, ()) for id in ids))
    return len(lookup.users(live.id) - kept - released)


def fixed_fields(change: Change) -> list[str]:
    """The changed fields that cannot be changed on an existing object, in the order of the manifest."""
    lines = kinds()[change.kind].attrs()
    names = dict.fromkeys(each.path.split(".")[0] for each in change.fields_changed)
    return [name for name in names if name in lines and lines[name].immutable]


def agents(number: int) -> str:
    """A number of agents, in words."""
    return f"{number} agent" if number == 1 else f"{number} agents"
