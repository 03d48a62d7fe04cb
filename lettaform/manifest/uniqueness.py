"""Desired objects to the problems of names that must be unique: on the server, or among the members of an object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Parts
from lettaform.manifest.expand import Instance
from lettaform.manifest.problems import Problems
from lettaform.manifest.types import find
from lettaform.model import Desired
from lettaform.values import Ref, Secret, Template


def check_unique_names(objects: Mapping[Address, Desired], problems: Problems) -> None:
    """Report objects of one kind with the same name, if the server identifies that kind by name."""
    first: dict[tuple[str, str], Desired] = {}
    for desired in objects.values():
        if not kinds()[desired.kind].unique:
            continue
        name = name_of(desired)
        if name is None:
            continue
        other = first.setdefault((desired.kind, name), desired)
        if other is not desired:
            message = f"{desired.address} and {other.address} are the same {desired.kind} on the server: `{name}`"
            hint = f"rename or remove one of the two; the other is at {other.place}"
            problems.add(message, desired.place, hint, address=desired.address)


def check_names_of_members(instance: Instance, objects: Mapping[Address, Desired], problems: Problems) -> None:
    """Report members of an object with the same name, such as two blocks of an agent with the same label."""
    first: dict[tuple[str, str], tuple[Desired, Path]] = {}
    for kind, member, path in _members(instance, objects):
        name = name_of(member)
        if name is None:
            continue
        other, there = first.setdefault((kind, name), (member, path))
        if other.address != member.address:
            label = kinds()[kind].name_field
            message = f"two {kind}s of {instance.address} have the {label} `{name}`"
            hint = f"rename or remove one of the two; the other is at {_place(instance, other, there)}"
            problems.add(message, _place(instance, member, path), hint, address=instance.address)


Path = tuple[str | int, ...]
"""Where a reference stands in the body of an object; empty for a part of it."""


def _place(instance: Instance, member: Desired, path: Path) -> Place:
    return find(instance.body, path)[1] if path else member.place


def _members(instance: Instance, objects: Mapping[Address, Desired]) -> Iterator[tuple[str, Desired, Path]]:
    """The objects that belong to an object or that it refers to: kind, object, and where the reference stands."""
    desired = objects[instance.address]
    if desired.external is not None:
        return
    body = instance.body.map
    for line in _lines_with_members(instance.kind):
        if (own := line.related(Parts)) and line.name in body:
            parts = (desired.address.part(line.name, key) for key in body[line.name].map)
            yield from ((own.kind, objects[part], ()) for part in parts if part in objects)
        elif line.to and (value := desired.values.get(line.name)) is not None:
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(item, Ref) and item.address in objects:
                    yield line.to, objects[item.address], (line.name, index)


@cache
def _lines_with_members(kind: str) -> Sequence[Attr]:
    return [line for line in kinds()[kind].attrs().values() if line.related(Parts) or line.to]


def name_of(desired: Desired) -> str | None:
    """The name on the server; None if it is not known before an apply."""
    name = desired.external.name if desired.external else desired.values.get(kinds()[desired.kind].name_field)
    return None if isinstance(name, Ref | Template | Secret) else name
