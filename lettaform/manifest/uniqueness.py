"""What concerns several objects at once: names that the server, or an agent, can hear only once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.manifest.expand import Instance
from lettaform.manifest.problems import Problems
from lettaform.manifest.types import find
from lettaform.model import Desired
from lettaform.values import Ref, Secret, Template


def names_are_unique(objects: Mapping[Address, Desired], problems: Problems) -> None:
    """Where the server knows objects by name, two of one name are one."""
    first: dict[tuple[str, str], Desired] = {}
    for desired in objects.values():
        name = _name(desired)
        if not kinds()[desired.kind].unique or name is None:
            continue
        other = first.setdefault((desired.kind, name), desired)
        if other is not desired:
            message = f"{desired.address} and {other.address} are one {desired.kind}, `{name}`, on the server"
            problems.add(message, desired.place, f"the other stands at {other.place}", address=desired.address)


def members_are_unique(instance: Instance, objects: Mapping[Address, Desired], problems: Problems) -> None:
    """An agent sees what it has by name: no two of a kind may share one."""
    first: dict[tuple[str, str], tuple[Address, Place]] = {}
    for kind, member, where in _members(instance, objects):
        name = _name(member)
        if name is None:
            continue
        known, other = first.setdefault((kind, name), (member.address, where))
        if known != member.address:
            label = kinds()[kind].name_field
            message = f"two {kind}s of {instance.address} have the {label} `{name}`"
            hint = f"the other stands at {other}"
            problems.add(message, where, hint, address=instance.address)


def _members(instance: Instance, objects: Mapping[Address, Desired]) -> Iterator[tuple[str, Desired, Place]]:
    desired = objects[instance.address]
    if desired.external is not None:
        return
    for name, line in instance.table.attrs().items():
        if line.own and name in instance.body.map:
            parts = (desired.address.part(name, key) for key in instance.body.map[name].map)
            yield from ((line.own, objects[part], objects[part].place) for part in parts if part in objects)
        elif line.to:
            value = desired.values.get(name)
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(item, Ref) and item.address in objects:
                    yield line.to, objects[item.address], find(instance.body, [name, index])[1]


def _name(desired: Desired) -> str | None:
    """What the server knows it by, if that can be told from here."""
    name = desired.external.name if desired.external else desired.values.get(kinds()[desired.kind].name_field)
    return None if isinstance(name, Ref | Template | Secret) else name
