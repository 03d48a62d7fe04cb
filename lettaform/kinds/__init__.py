"""The registry of kinds: every module of this package that defines a Kind adds one, under the module's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from lettaform.address import Address
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import AddedByServer, Companions, Parts


@cache
def kinds() -> Mapping[str, type[Kind]]:
    """Every kind by its name, which is the name of its module."""
    found: dict[str, type[Kind]] = {}
    for module in sorted(info.name for info in iter_modules(__path__)):
        for each in vars(import_module(f"{__name__}.{module}")).values():
            if isinstance(each, type) and issubclass(each, Kind) and each is not Kind:
                found[module] = each
    return found


@cache
def sections() -> Mapping[str, str]:
    """Section of the manifest to kind, as `agents` to `agent`."""
    return {kind.section: name for name, kind in kinds().items()}


def every_field(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Some kinds, each with all of its fields."""
    return {kind: tuple(kinds()[kind].attrs()) for kind in names}


def companions(address: Address) -> Iterator[tuple[str, str, Address]]:
    """What the server can create together with the object at an address: the field that asks for it, kind, address."""
    for name, other in _companion_kinds(address.section) if address.field is None else ():
        yield name, other, address.sibling(kinds()[other].section, f"{address.key}-{name}")


@cache
def _companion_kinds(section: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a field and a kind of which the server can create an object along with one of this section."""
    kind = sections().get(section)
    lines = kinds()[kind].attrs().items() if kind else ()
    return tuple((name, other) for name, line in lines if (each := line.related(Companions)) for other in each.kinds)


@cache
def dependent_kinds(kind: str) -> Mapping[str, Attr]:
    """Kinds whose objects belong to an object of this kind and are deleted with it, each with the line of the owner."""
    owners = {name: table.owner_line() for name, table in kinds().items()}
    return {name: line for name, line in owners.items() if line and line.to == kind}


@cache
def spreading_fields(kind: str) -> Mapping[str, str]:
    """Fields of a kind that decide about items of other objects that refer to one, each with the list of the items."""
    lists = ((table, line) for table in kinds().values() for line in table.attrs().values())
    rules = ((table, line, added.per_member) for table, line in lists if (added := line.related(AddedByServer)))
    return {rule.flag: line.name for table, line, rule in rules if rule and table.attrs()[rule.field].to == kind}


def oldest() -> str:
    """The first self-hosted release that lettaform supports.

    Marks stand in the tags of blocks, and only a call to the agents makes a change visible to them.
    """
    call = kinds()["agent"].call
    needed = [kinds()["block"].availability.release("tags"), call.since if call else None]
    return max(filter(None, needed), key=lambda version: [int(each) for each in version.split(".")])


MATCHES, MATCHED = "matches", "agent"
"""The section that declares fields of objects that the stack does not own, and the kind of these objects."""


def is_matched(address: Address) -> bool:
    """Whether an address is that of fields of an object which the stack does not own."""
    return address.section == MATCHES


def kind_of(address: Address) -> str | None:
    """The kind of the object at an address; None if the address has no kind."""
    kind = MATCHED if is_matched(address) else sections().get(address.section)
    return kind if address.field is None or kind is None else _kind_of_parts(kind, address.field)


@cache
def _kind_of_parts(kind: str, field: str) -> str | None:
    """The kind of the parts that a field of a kind holds."""
    line = kinds()[kind].attrs().get(field)
    parts = line.related(Parts) if line else None
    return parts.kind if parts else None
