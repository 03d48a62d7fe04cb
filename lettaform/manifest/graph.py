"""A Manifest to its graph: which object refers to which. Instances of a `for_each` with equal edges are one node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.model import Desired, Manifest
from lettaform.values import refs

Links = Mapping[tuple[Address, Address], Collection[str]]
"""An object and another one to which it refers, to the fields that do. Parts are counted to what contains them."""


@dataclass(frozen=True)
class Node:
    """An object, or several instances of a `for_each`.

    addresses  those of the objects, sorted
    parts      keys of the own blocks that each of them has
    external   whether they are used, and never written
    stack      the other stack that owns them, if the manifest names one
    """

    kind: str
    addresses: tuple[Address, ...]
    parts: tuple[str, ...] = ()
    external: bool = False
    stack: str | None = None

    @property
    def first(self) -> Address:
        """The first address, by which edges name the node."""
        return self.addresses[0]


@dataclass(frozen=True)
class Edge:
    """One object refers to another one. `fields`: where it does, sorted; `sleeptime` also for what that creates."""

    source: Address
    target: Address
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """The objects of a manifest, and what refers to what. Nodes and edges are sorted by address."""

    stack: str
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    environment: str | None = None


def graph(manifest: Manifest, selects: Callable[[Address], bool] = lambda address: True) -> Graph:
    """The graph of a manifest. `selects`: which objects are in it, together with all to which they are linked."""
    links = _links(manifest)
    tops = {address for address in manifest.objects if address.parent is None}
    chosen = {address for address in tops if selects(address)}
    chosen |= {address.top for address in manifest.objects if selects(address)}
    links = {pair: fields for pair, fields in links.items() if chosen & {*pair}}
    shown = sorted(chosen.union(*links))
    parts: dict[Address, list[str]] = defaultdict(list)
    for address in manifest.objects:
        if address.parent is not None:
            parts[address.parent].append(address.child or "")
    nodes = [_node(manifest.objects[address], parts[address]) for address in shown if address in manifest.objects]
    folded = _folded(nodes, links)
    first = {address: node.first for node in folded for address in node.addresses}
    fields: dict[tuple[Address, Address], set[str]] = defaultdict(set)
    for (source, target), names in links.items():
        if source in first and target in first:
            fields[first[source], first[target]].update(names)
    edges = (Edge(source, target, tuple(sorted(names))) for (source, target), names in fields.items())
    ordered = sorted(edges, key=lambda edge: (edge.source, edge.target))
    return Graph(manifest.stack, tuple(folded), tuple(ordered), manifest.environment)


def _node(desired: Desired, parts: Iterable[str]) -> Node:
    external = desired.external if desired.external and not desired.external.offered_by else None
    stack = external.stack if external else None
    return Node(desired.kind, (desired.address,), tuple(sorted(parts)), external is not None, stack)


def _links(manifest: Manifest) -> Links:
    found: dict[tuple[Address, Address], set[str]] = defaultdict(set)
    for address, desired in manifest.objects.items():
        prefix = f"{address.field}.{address.child}." if address.parent else ""
        for name, value in desired.values.items():
            for each in refs(value):
                if each.address.top != address.top:
                    found[address.top, each.address.top].add(f"{prefix}{name}")
        if (other := desired.discovered_from) is not None and address.parent is None:
            if desired.created_with is None:  # it refers to what offers it
                found[address, other].add(_field_to(desired.kind, other))
            else:
                found[other, address].add(address.key.removeprefix(f"{other.key}-"))
    return found


def _field_to(kind: str, other: Address) -> str:
    """The field with which objects of a kind refer to an object of another one."""
    lines = kinds()[kind].attrs().values()
    return next(line.name for line in lines if line.to and kinds()[line.to].section == other.section)


# --- instances with equal edges ---------------------------------------------------------------------------------------


def _folded(nodes: Iterable[Node], links: Links) -> list[Node]:
    """Instances of one declaration as one node where each has the same edges.

    A reference between instances with one key, such as that of `worker[emea]` to `room[emea]`, is the same edge for all
    keys, as long as what it refers to is one node, too.
    """
    every = {node.first: node for node in nodes}
    out, into = _edges(links, every), _edges({(b, a): fields for (a, b), fields in links.items()}, every)
    classes: dict[Address, Hashable] = {
        address: address
        if address.index is None
        else (address.declaration, node.kind, node.parts, node.external, node.stack)
        for address, node in every.items()
    }

    def end(address: Address, other: Address, fields: tuple[str, ...]) -> Hashable:
        paired = address.index is not None and address.index == other.index
        return fields, (True, classes[other]) if paired else (False, other)

    while True:
        found: dict[Address, Hashable] = {}
        numbers: dict[Hashable, int] = {}
        for address in every:
            ends = [frozenset(end(address, *each) for each in edges[address]) for edges in (out, into)]
            key = classes[address] if address.index is None else (classes[address], *ends)
            found[address] = numbers.setdefault(key, len(numbers))
        if len(numbers) == len(set(classes.values())):
            break
        classes = found
    groups: dict[Hashable, list[Node]] = defaultdict(list)
    for address, node in every.items():
        groups[found[address]].append(node)
    return [_together(group) for group in groups.values()]


def _together(nodes: list[Node]) -> Node:
    first = nodes[0]
    addresses = tuple(node.first for node in nodes)
    return Node(first.kind, addresses, first.parts, first.external, first.stack)


def _edges(links: Links, known: Collection[Address]) -> dict[Address, list[tuple[Address, tuple[str, ...]]]]:
    found: dict[Address, list[tuple[Address, tuple[str, ...]]]] = defaultdict(list)
    for (source, target), fields in links.items():
        if source in known and target in known:
            found[source].append((target, tuple(sorted(fields))))
    return found
