"""Names of other objects in declared values to Problems: nothing has the name, or the object that uses it lacks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem, nearest
from lettaform.kinds import kinds
from lettaform.kinds.traits import Mention, Mentions
from lettaform.model import Desired
from lettaform.plan.changes import ResourceChange
from lettaform.plan.lookup import Lookup
from lettaform.plan.policy import policies
from lettaform.values import Ref


def unknown_names(lookup: Lookup, changes: Sequence[ResourceChange]) -> Iterator[Problem]:
    """Names in the declared values that will not mean anything after these changes, also of unchanged objects."""
    after = _After(lookup, changes)
    for desired in () if lookup.options.destroy else lookup.manifest.objects.values():
        mentions = kinds()[desired.kind].mentions
        listed = mentions is not None and mentions.kind in lookup.observed.capabilities.listed
        if mentions and listed and _applies(lookup, desired, mentions):
            for mention in mentions.find(desired.values):
                yield from _problem(after, desired, mentions, mention)


def _applies(lookup: Lookup, desired: Desired, mentions: Mentions) -> bool:
    """Whether the values that contain the names are written or enforced."""
    if not lookup.is_selected(desired.address) or desired.values.get(mentions.field) is None:
        return False
    return not lookup.exists(desired.address) or policies(desired)[mentions.field] != "ignore"


class _After:
    """What has which name after the changes, and what is attached."""

    def __init__(self, lookup: Lookup, changes: Sequence[ResourceChange]) -> None:
        self.lookup, self.changes = lookup, {each.address: each for each in changes}

    @cached_property
    def values(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """Kind and name of each object to its values. Names that these changes take away are left out."""
        observed = self.lookup.observed
        found = {(each.kind, each.name): each.values for each in observed.foreign.values()}
        gone = {each.live.id for each in self.changes.values() if each.live and each.change.action == "delete"}
        for address, live in observed.objects.items():
            if address not in self.lookup.manifest.objects and live.id not in gone:
                found[live.kind, live.name] = live.values
        declared = self.lookup.manifest.objects.values()
        return found | {(each.kind, self.name(each.address)): self._values(each) for each in declared}

    def _values(self, desired: Desired) -> Mapping[str, Any]:
        live = self.lookup.live(desired.address)
        return desired.values if desired.external is None or live is None else live.values

    def name(self, address: Address) -> str:
        """The name that a declared object has afterwards; empty if it is not known yet."""
        return self.lookup.name(Ref(address)) or ""

    def attached(self, desired: Desired, field: str) -> frozenset[str] | None:
        """The names of the members of a field afterwards; None if the manifest does not declare the field."""
        members = desired.values.get(field)
        if members is None:
            return None
        declared = (member.address for member in members if isinstance(member, Ref))
        names = {self.name(address) for address in declared if address in self.lookup.manifest.objects}
        live, change = self.lookup.live(desired.address), self.changes.get(desired.address)
        if live is None or not self.lookup.exists(desired.address):
            return frozenset(names)
        leaving = {member for _, member in change.detach} if change else set()
        ids = {*(live.values.get(field) or ())} - leaving
        unique = self.lookup.tables.unique
        return frozenset(names | {unique[id].name for id in ids if id in unique})


def _problem(after: _After, desired: Desired, mentions: Mentions, mention: Mention) -> Iterator[Problem]:
    """The problem with one name."""
    table, name = kinds()[mentions.kind], mention.name
    values = after.values.get((mentions.kind, name))
    where, address = desired.place_of(mention.path), str(desired.address)
    if values is None and name not in table.naming.built_in:
        message, hint = f"{address}: there is no {mentions.kind} `{name}`", _unknown_hint(after, mentions.kind, name)
        yield Problem(message, where, hint, address, mention.path)
        return
    attached = after.attached(desired, mentions.among)
    if attached is not None and name not in attached and name not in table.naming.built_in:
        message = f"{address} does not have the {mentions.kind} `{name}`, so `{mention.path}` has no effect"
        yield Problem(message, where, f"add it to `{mentions.among}` of {address}", address, mention.path)
    known = table.signature.parameters(values) if table.signature and values else None
    for argument in mention.arguments if known is not None else ():
        if known is not None and argument not in known:
            near = nearest(argument, known)
            hint = f"did you mean `{near}`?" if near else f"it takes {', '.join(sorted(known)) or 'none'}"
            message = f"{address}: the {mentions.kind} `{name}` takes no argument `{argument}`"
            yield Problem(message, desired.place_of(mention.path), hint, address, mention.path)


def _unknown_hint(after: _After, kind: str, name: str) -> str:
    table = kinds()[kind]
    declared = Address.of(table.section, name)
    if declared in after.lookup.manifest.objects:
        return f"{declared} is named `{after.name(declared)}`: write that, or `${{{declared}.{table.name_field}}}`"
    names = [known for of, known in after.values if of == kind and known]
    near = nearest(name, dict.fromkeys([*names, *table.naming.built_in]))
    return f"did you mean `{near}`?" if near else f"declare it in `{table.section}`"
