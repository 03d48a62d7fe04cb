"""What can exist: one file, one kind. Found by looking in this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from lettaform.address import Address
from lettaform.kinds.base import Attr, Kind


@cache
def kinds() -> Mapping[str, type[Kind]]:
    """Every kind by its name: the name of its file."""
    found: dict[str, type[Kind]] = {}
    for module in sorted(info.name for info in iter_modules(__path__) if info.name != "base"):
        names = vars(import_module(f"{__name__}.{module}")).values()
        found[module] = next(c for c in names if isinstance(c, type) and issubclass(c, Kind) and c is not Kind)
    return found


@cache
def sections() -> Mapping[str, str]:
    """Section of the manifest to kind: `agents` to `agent`."""
    return {kind.section: name for name, kind in kinds().items()}


def companions(address: Address) -> Iterator[tuple[str, str, Address]]:
    """What the server makes along with an object where it is asked to: the field that asks, kind, and address."""
    kind = sections().get(address.section)
    for name, line in kinds()[kind].attrs().items() if kind and address.field is None else ():
        for other in line.along or ():
            yield name, other, address.sibling(kinds()[other].section, f"{address.key}-{name}")


@cache
def dependent_kinds(kind: str) -> Mapping[str, Attr]:
    """Kinds that live with an object of this kind and die with it, each with the line that says so."""
    homes = {name: table.home() for name, table in kinds().items()}
    return {name: line for name, line in homes.items() if line and line.to == kind}


def oldest() -> str:
    """The first release of a server of one's own that can hold anything of ours.

    Marks stand in the tags of blocks, and what agents are told of a change only a call to them brings.
    """
    call = kinds()["agent"].call
    needed = [kinds()["block"].attrs()["tags"].since, call.since if call else None]
    return max(filter(None, needed), key=lambda version: [int(each) for each in version.split(".")])


def kind_of(address: Address) -> str | None:
    """The kind of what stands at an address."""
    kind = sections().get(address.section)
    if address.field is None or kind is None:
        return kind
    line = kinds()[kind].attrs().get(address.field)
    return line.own if line else None
