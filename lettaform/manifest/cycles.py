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
from lettaform.manifest.expressions import parts
from lettaform.manifest.problems import Problems
from lettaform.manifest.scope import place_inside
from lettaform.manifest.types import find
from lettaform.model import Desired
from lettaform.values import Ref, refs

REPORTED = 50
"""How many cycles are reported, and how many references of each."""


@dataclass(frozen=True)
class Reference:
    """A use of another object that must exist first.

    source  the object or own object whose field contains it
    path    the field, empty if the object is always created after the other
    target  the object that it refers to
    """

    source: Address
    path: tuple[str | int, ...]
    target: Address


def check_cycles(objects: Mapping[Address, Desired], instances: Mapping[Address, Instance], problems: Problems) -> None:
    """Report every cycle, with the place of each reference in it.

    Every reference counts. Values are sent when the object is created; what is attached after that, such as the archive
    of an agent, is also listed in the mark that is written at creation.
    """
    graph: dict[Address, dict[Address, Reference]] = {}
    for desired in objects.values():
        source = _created_with(desired.address, objects)
        after = graph.setdefault(source, {})
        for reference in _references(desired):
            after.setdefault(_created_with(reference.target, objects), reference)
        parent = desired.address.parent
        if parent is not None and source == desired.address:  # created apart, and attached when the parent is created
            path = (desired.address.field or "", desired.address.child or "")
            graph.setdefault(parent, {}).setdefault(source, Reference(parent, path, source))
    for _ in range(REPORTED):
        cycle = _cycle(graph)
        if cycle is None:
            return
        references = [graph[one][other] for one, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True)]
        _report(cycle, references, objects, instances, problems)
        for address in cycle:
            del graph[address]


def _created_with(address: Address, objects: Mapping[Address, Desired]) -> Address:
    """The object whose creation creates an own object: the one that contains it, unless it needs its own request."""
    desired = objects.get(address)
    if address.parent is None or desired is None or kinds()[desired.kind].apart & desired.values.keys():
        return address
    return address.parent


def _references(desired: Desired) -> Iterator[Reference]:
    """What must exist before an object can be created."""
    if desired.brought is not None:
        yield Reference(desired.address, (), desired.brought)
    for name, value in desired.values.items():
        for path, ref in _paths(value, (name,)):
            yield Reference(desired.address, path, ref.address)


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


def _cycle(graph: Mapping[Address, Mapping[Address, Reference]]) -> list[Address] | None:
    """The objects of one cycle, each needing the next one, starting with the first in the manifest."""
    known = {address: [each for each in after if each in graph] for address, after in graph.items()}
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        cycle: list[Address] = error.args[1][:0:-1]  # graphlib lists what is needed first, and repeats the first one
        order = {address: number for number, address in enumerate(graph)}
        start = cycle.index(min(cycle, key=order.__getitem__))
        return [*cycle[start:], *cycle[:start]]
    return None


def _report(
    cycle: list[Address],
    references: list[Reference],
    objects: Mapping[Address, Desired],
    instances: Mapping[Address, Instance],
    problems: Problems,
) -> None:
    shown = [f"{each.source} → {each.target} at {_place(each, objects, instances)}" for each in references[:REPORTED]]
    chain = [str(address) for address in cycle[:REPORTED]]
    if len(cycle) > REPORTED:
        chain.append(f"… {len(cycle) - REPORTED} more …")
        shown.append(f"… {len(cycle) - REPORTED} more")
    chain.append(str(cycle[0]))
    if len(cycle) == 1:
        message = f"{cycle[0]} refers to itself: {' → '.join(chain)}"
        hint = f"remove the reference: an object has no ID before it is created: {', '.join(shown)}"
    else:
        message = f"cycle of references: {' → '.join(chain)}"
        hint = f"remove one of these references, so that one object can be created first: {', '.join(shown)}"
    first = references[0]
    place = _place(first, objects, instances)
    problems.add(message, place, hint, address=first.source)


def _place(reference: Reference, objects: Mapping[Address, Desired], instances: Mapping[Address, Instance]) -> Place:
    """Where a reference was written: its expression, or the value that contains it."""
    instance = instances.get(reference.source)
    if instance is None or not reference.path:
        return objects[reference.source].place
    node, place, _ = find(instance.body, reference.path)
    for part in parts(node.value) if isinstance(node.value, str) and not node.tag else ():
        if part.expression and part.text.startswith(str(reference.target)):
            return place_inside(node, part.offset)
    return place
