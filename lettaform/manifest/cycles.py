"""Desired objects to the problems of cyclic references: no object of a cycle can be created before the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.manifest.expand import Instance
from lettaform.manifest.expressions import parse, parts, paths
from lettaform.manifest.problems import Problems
from lettaform.manifest.scope import place_inside
from lettaform.manifest.types import find
from lettaform.model import Desired
from lettaform.values import Ref, Template, refs

REPORTED = 50
"""How many cycles are reported, and how many references of each."""


Uses = dict[Address, tuple[Address, str]]
"""What an object needs before it can be created, each with the (own) object and the field that refer to it first."""


@dataclass(frozen=True)
class Reference:
    """A use of another object.

    source  the object, or own object, whose field contains it
    target  the object that must exist first
    place   where it was written
    """

    source: Address
    target: Address
    place: Place

    def __str__(self) -> str:
        return f"{self.source} → {self.target} at {self.place}"


def check_cycles(objects: Mapping[Address, Desired], instances: Mapping[Address, Instance], problems: Problems) -> None:
    """Report every cycle, with the place of each reference in it.

    Every reference counts. Values are sent when the object is created; what is attached after that, such as the archive
    of an agent, is also listed in the mark that is written at creation.
    """
    graph = _graph(objects)
    for _ in range(REPORTED):
        cycle = _cycle(graph)
        if cycle is None:
            return
        pairs = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        references = [_reference(*graph[one][other], other, objects, instances) for one, other in pairs[:REPORTED]]
        _report(cycle, references, problems)
        for address in cycle:
            del graph[address]


def _graph(objects: Mapping[Address, Desired]) -> dict[Address, Uses]:
    """Each object, with the objects that must exist before it is created."""
    graph: dict[Address, Uses] = {}
    for address, desired in objects.items():
        source = _created_with(address, objects)
        uses = graph.setdefault(source, {})
        if desired.discovered_from is not None:
            uses.setdefault(desired.discovered_from, (address, ""))
        for name, value in desired.values.items():
            if isinstance(value, Ref | Template | list | dict):
                for ref in refs(value):
                    uses.setdefault(_created_with(ref.address, objects), (address, name))
        if address.parent is not None and source == address:  # an own block that is attached when its agent is created
            graph.setdefault(address.parent, {}).setdefault(address, (address.parent, address.field or ""))
    return graph


def _created_with(address: Address, objects: Mapping[Address, Desired]) -> Address:
    """The object whose creation creates an own object: the one that contains it, unless it needs its own request."""
    if len(address.path) == 1:
        return address
    desired = objects.get(address)
    if address.parent is None or desired is None or kinds()[desired.kind].part.lost_inline & desired.values.keys():
        return address
    return address.parent


def _cycle(graph: Mapping[Address, Uses]) -> list[Address] | None:
    """The objects of one cycle, each needing the next one, starting with the first in the manifest."""
    # what needs nothing cannot be part of a cycle
    known = {address: [each for each in uses if graph.get(each)] for address, uses in graph.items() if uses}
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        cycle: list[Address] = error.args[1][:0:-1]  # graphlib lists what is needed first, and repeats the first one
        order = {address: number for number, address in enumerate(graph)}
        start = cycle.index(min(cycle, key=order.__getitem__))
        return [*cycle[start:], *cycle[:start]]
    return None


def _report(cycle: list[Address], references: list[Reference], problems: Problems) -> None:
    more = [f"… {len(cycle) - REPORTED} more"] if len(cycle) > REPORTED else []
    chain = " → ".join([*map(str, cycle[:REPORTED]), *more, str(cycle[0])])
    places = ", ".join([*map(str, references), *more])
    if len(cycle) == 1:
        message = f"{cycle[0]} refers to itself: {chain}"
        hint = f"remove the reference: an object has no ID before it is created: {places}"
    else:
        message = f"cycle of references: {chain}"
        hint = f"remove one of these references, so that one object can be created first: {places}"
    problems.add(message, references[0].place, hint, address=references[0].source)


def _reference(
    source: Address,
    field: str,
    target: Address,
    objects: Mapping[Address, Desired],
    instances: Mapping[Address, Instance],
) -> Reference:
    """The first reference to `target`, or to a part of it, in a field."""
    value = objects[source].values.get(field)
    found = ((path, ref) for path, ref in _paths(value, (field,)) if ref.address.is_within(target))
    path, ref = next(found, ((field, target.child or "") if target.parent else (field,), Ref(target)))
    if source not in instances or not field:
        return Reference(source, target, objects[source].place)
    node, place, _ = find(instances[source].body, path)
    for part in parts(node.value) if isinstance(node.value, str) and not node.tag else ():
        named = paths(parse(part.text)) if part.expression else iter(())
        if each := next((each for each in named if each.text.startswith(str(ref.address))), None):
            return Reference(source, ref.address, place_inside(node, part.start + each.at if each.at else part.offset))
    return Reference(source, ref.address, place)


def _paths(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Ref]]:
    """Every Ref inside a value, with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, (*path, index))
    else:
        yield from ((path, ref) for ref in refs(value))
