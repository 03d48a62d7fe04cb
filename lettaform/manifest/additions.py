"""Desired objects to the problems of switches with which the server adds to a list that the manifest makes exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import AddedByServer, item_text
from lettaform.manifest.checks import place_of
from lettaform.manifest.expand import Instance
from lettaform.manifest.problems import Problems
from lettaform.manifest.uniqueness import name_of
from lettaform.model import Desired
from lettaform.values import Ref, has_refs


def check_additions(instance: Instance, objects: Mapping[Address, Desired], problems: Problems) -> None:
    """Report switches that are true although an exact list lacks what the server adds then."""
    desired = objects[instance.address]
    for line, added in _exact_lists(desired):
        for switch, items in added.prevented(_named(desired, objects)).items():
            names = ", ".join(_lacking(desired, line, items, objects))
            if desired.values.get(switch) is True and names:
                message = f"{switch}: the server adds to `{line.name}`, which is exact: {names}"
                hint = f"remove `{switch}: true`, or add them to `{line.name}`"
                problems.add(message, place_of(instance, switch), hint, address=instance.address, field=switch)


def _exact_lists(desired: Desired) -> Iterator[tuple[Attr, AddedByServer]]:
    """The declared lists to which nothing may be added, also after the creation."""
    for line, added in kinds()[desired.kind].relations(AddedByServer):
        compared = desired.policies.get(line.name, line.policy) == "enforce"
        if line.name in desired.values and line.is_exact(desired.policies) and compared:
            yield line, added


def _lacking(desired: Desired, line: Attr, items: tuple[Any, ...], objects: Mapping[Address, Desired]) -> Iterator[str]:
    value = _named(desired, objects).get(line.name)
    declared = () if has_refs(value) else kinds()[desired.kind].normal(line.name, value) or ()
    return (item_text(item) for item in items if item not in declared)


def _named(desired: Desired, objects: Mapping[Address, Desired]) -> Mapping[str, Any]:
    """The values of an object, with names for the members of its lists of references."""
    lines = kinds()[desired.kind].attrs()
    lists = {name: value for name, value in desired.values.items() if lines[name].to and isinstance(value, list)}
    named = {
        name: [name_of(objects[item.address]) for item in value if isinstance(item, Ref) and item.address in objects]
        for name, value in lists.items()
    }
    return {**desired.values, **named}
