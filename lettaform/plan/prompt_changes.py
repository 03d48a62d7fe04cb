"""ResourceChanges to the prompts that they create or change, with their sizes before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.prompt_size import Prompt
from lettaform.kinds.traits import AddedByServer
from lettaform.model import Live, Manifest, Observed, PromptChange
from lettaform.plan.changes import ResourceChange
from lettaform.values import Ref

_AFTER_CREATION = "sleeptime_agent"
"""The type of an agent that the server creates along with another one, if the manifest does not say it."""

_GONE = ("delete", "forget")
_Blocks = dict[Any, Mapping[str, Any]]
"""Id of a block, or its address if it does not exist yet, to its fields."""


def prompt_changes(
    resources: Iterable[ResourceChange], manifest: Manifest, observed: Observed
) -> tuple[PromptChange, ...]:
    """The prompts of agents of the stack that the changes create, or give another text, by address."""
    work = _Work({each.address: each for each in resources if not each.surplus}, manifest, observed)
    found = (change for address in work.agents() if (change := work.change(address)))
    return tuple(sorted(found, key=lambda change: change.address))


@dataclass
class _Work:
    """The changes by address, and what they are about."""

    changes: Mapping[Address, ResourceChange]
    manifest: Manifest
    observed: Observed

    # --- which agents

    def agents(self) -> Iterator[Address]:
        """The agents whose prompts may differ afterwards: they change themselves, or a block of theirs does."""
        changed = {each.live.id for each in self.changes.values() if each.live and each.live.kind == "block"}
        found = {a for a, each in self.changes.items() if each.change.kind == "agent"}
        found |= {a.parent for a in self.changes if a.parent}
        if changed:
            agents = ((a, live) for a, live in self.observed.objects.items() if live.kind == "agent")
            holding = ((a, self.observed.attached.get(live.id, ())) for a, live in agents)
            found |= {a for a, blocks in holding if any(block.id in changed for block in blocks)}
        return (address for address in found if address and self._is_ours(address))

    def _is_ours(self, address: Address) -> bool:
        """Whether an address is that of an agent of the stack."""
        live, desired = self.observed.objects.get(address), self.manifest.objects.get(address)
        declared = desired is not None and desired.external is None
        kind = desired.kind if desired else live.kind if live else ""
        return kind == "agent" and (declared or (live is not None and live.stack == self.manifest.stack))

    # --- before and after

    def change(self, address: Address) -> PromptChange | None:
        """The change of the prompt of an agent; None if it is deleted, or if its text stays as it is."""
        resource, live = self.changes.get(address), self.observed.objects.get(address)
        if resource is not None and resource.change.action in _GONE:
            return None
        before = self._before(live) if live else None
        created = resource is not None and resource.change.action in ("create", "replace")
        after = self._created(resource) if resource and created else self._updated(live, resource) if live else None
        if after is None or before == after:
            return None
        old = None if before is None else before.tokens
        return PromptChange(address, live.id if live else None, old, after.tokens, _window(live, resource))

    def _before(self, live: Live) -> Prompt:
        return Prompt.of(live.values, (block.values for block in self.observed.attached.get(live.id, ())))

    def _updated(self, live: Live, resource: ResourceChange | None) -> Prompt:
        """The prompt of an existing agent afterwards."""
        blocks: _Blocks = {block.id: block.values for block in self.observed.attached.get(live.id, ())}
        fields: Mapping[str, Any] = {}
        if resource is not None:
            fields = resource.fields
            for member in _blocks(resource.detach):
                blocks.pop(member, None)
            blocks |= dict(map(self._block, _blocks(resource.attach)))
            blocks |= dict(self._new_parts(resource.address, ()))
        return Prompt.of({**live.values, **fields}, self._written(blocks))

    def _created(self, resource: ResourceChange) -> Prompt:
        """The prompt of an agent that is created, or that takes the place of another one."""
        desired = resource.desired
        assert desired is not None
        blocks: _Blocks = dict(map(self._block, resource.reused.values()))
        blocks |= dict(self._new_parts(resource.address, resource.reused))
        blocks |= dict(map(self._block, desired.values.get("blocks") or ()))
        kind = _AFTER_CREATION if desired.created_with else ""
        values = {**desired.values, **{name: each for name, each in resource.fields.items() if each is False}}
        return Prompt.of({**values, **_rules(desired.kind, values)}, self._written(blocks), kind)

    # --- blocks

    def _new_parts(self, agent: Address, reused: Iterable[str]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """The own blocks that an agent gets and that do not exist yet, each by its address."""
        known = set(reused)
        for part in self._parts.get(agent, ()):
            is_new = part.change.action in ("create", "replace") and part.address.child not in known
            if is_new and part.desired is not None:
                yield part.address, part.desired.values

    @cached_property
    def _parts(self) -> Mapping[Address, Sequence[ResourceChange]]:
        found: dict[Address, list[ResourceChange]] = {}
        for address, each in self.changes.items():
            if address.parent:
                found.setdefault(address.parent, []).append(each)
        return found

    def _block(self, member: Any) -> tuple[Any, Mapping[str, Any]]:
        """A block that is attached, by its id, or by its address if it does not exist yet."""
        if not isinstance(member, Ref):
            live = self._lives.get(member)
            return member, live.values if live else {}
        live, desired = self.observed.objects.get(member.address), self.manifest.objects.get(member.address)
        if live is not None:
            return live.id, live.values
        return member.address, desired.values if desired else {}

    @cached_property
    def _lives(self) -> Mapping[str, Live]:
        """Id to block, attached or not."""
        every = [live for lives in self.observed.attached.values() for live in lives]
        every += [*self.observed.objects.values(), *(live for _, live in self.observed.orphaned_blocks)]
        return {live.id: live for live in every if live.kind == "block"}

    @cached_property
    def _by_id(self) -> Mapping[str, ResourceChange]:
        return {each.live.id: each for each in self.changes.values() if each.live and each.live.kind == "block"}

    def _written(self, blocks: _Blocks) -> Iterator[Mapping[str, Any]]:
        """The fields of blocks after the changes; those that are deleted are left out."""
        for key, values in blocks.items():
            change = self._by_id.get(key) if isinstance(key, str) else None
            if change is None:
                yield values
            elif change.change.action != "delete":
                yield {**values, **change.fields}


def _rules(kind: str, values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The lists of rules of a new agent, with what the server adds for the tools that it gets."""
    tools = values.get("tools")
    names = [each.address.key for each in tools if isinstance(each, Ref)] if isinstance(tools, list) else []
    found = {}
    for line, added in kinds()[kind].relations(AddedByServer):
        declared = values.get(line.name)
        if not line.to and (declared is None or isinstance(declared, list)):
            more = added.at_creation({**values, "tools": names})
            found[line.name] = [*(declared or ()), *(each for each in more if each not in (declared or ()))]
    return found


def _blocks(members: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """The members of an agent that are blocks."""
    return (member for name, member in members if name in ("blocks", "memory"))


def _window(live: Live | None, resource: ResourceChange | None) -> int | None:
    """The number of tokens that the context window of an agent holds afterwards, if it is known."""
    given = resource.fields.get("context_window") if resource else None
    known = live.values.get("context_window") if live else None
    found = given if given is not None else known
    return found if isinstance(found, int) else None
