"""ResourceChanges to the same with the calls that compile prompts again: of agents, and of their conversations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lettaform.address import Address
from lettaform.kinds import companions, is_matched, kinds
from lettaform.kinds.traits import LabelsOf
from lettaform.model import Call, Change, Desired, Live
from lettaform.plan.changes import ResourceChange
from lettaform.plan.lookup import Lookup
from lettaform.plan.notes import agents

LIMITS = {
    "agents": "lifecycle.recompile is `agents`: the prompts of its conversations are not compiled again",
    "none": "lifecycle.recompile is `none`: no request compiles its prompt, or those of its conversations, again",
}
"""What `lifecycle.recompile` leaves out, for people."""


@dataclass(frozen=True)
class Content:
    """A change of something that stands in the prompts of agents.

    address  of the change
    target   the address whose step calls what must be recompiled: an own block belongs to its agent
    agents   ids of the agents, whoever owns them
    label    the label of the block; None: something else changes
    inside   whether the server recompiles these agents in the request that writes the change
    """

    address: Address
    target: Address
    agents: frozenset[str]
    label: str | None = None
    inside: bool = False


def changes_prompt(lookup: Lookup, resource: ResourceChange) -> bool:
    """Whether a change writes what stands in compiled prompts, or an interrupted apply has written it."""
    kind = resource.change.kind
    if kind not in lookup.observed.capabilities.recompiles:
        return False
    touched = {each.path.split(".")[0] for each in resource.change.fields_changed}
    touched |= {name for name, _ in (*resource.attach, *resource.detach)}
    return bool(kinds()[kind].compiled & touched) or resource.address in lookup.observed.state.pending


class Prompts:
    """The prompts that some changes change, and who must be called for it."""

    def __init__(self, lookup: Lookup, changes: Iterable[ResourceChange]) -> None:
        self.lookup, self.observed = lookup, lookup.observed
        changes = tuple(changes)
        self.changes = {each.address: each for each in changes if not each.surplus}
        # no agent has these
        self.surplus = tuple(each for each in changes if each.surplus)
        self.contents = tuple(self._contents())

    # --- which prompts change

    @cached_property
    def agents(self) -> Mapping[str, Address]:
        """Id to address of the existing agents that the stack owns and keeps."""
        lost = {a for a, each in self.changes.items() if each.change.action in ("replace", "delete", "forget")}
        found = self.observed.objects.items()
        return {live.id: a for a, live in found if self._has_prompt(live) and a not in lost and self._is_ours(a, live)}

    def _has_prompt(self, live: Live) -> bool:
        return bool(kinds()[live.kind].compiled) and self.lookup.call(live.kind) is not None

    def _is_ours(self, address: Address, live: Live) -> bool:
        desired = self.lookup.manifest.objects.get(address)
        declared = is_matched(address) or (desired is not None and desired.external is None)
        return live.stack == self.lookup.manifest.stack or declared

    def _contents(self) -> Iterator[Content]:
        for address, resource in self.changes.items():
            live, action = resource.live, resource.change.action
            if live is None or action in ("create", "replace", "forget"):
                continue
            if live.id in self.agents:
                if changes_prompt(self.lookup, resource):
                    yield Content(address, address, frozenset({live.id}))
                yield from self._reached(address, resource)
            elif changes_prompt(self.lookup, resource) or self._deletes_content(resource):
                yield self._content(address, live, deleted=action == "delete")

    def _reached(self, address: Address, resource: ResourceChange) -> Iterator[Content]:
        """The prompts of agents that were created along: 0.16.8 attaches a block to both agents."""
        along = companions(address) if any(name == "blocks" for name, _ in resource.attach) else ()
        for _, _, other in along:
            if (live := self.lookup.live(other)) and live.id in self.agents:
                yield Content(address, other, frozenset({live.id}))

    def _deletes_content(self, resource: ResourceChange) -> bool:
        return resource.change.action == "delete" and resource.change.kind in self.observed.capabilities.recompiles

    def _content(self, address: Address, live: Live, *, deleted: bool) -> Content:
        owner = self.lookup.live(address.parent)
        target = address.parent if address.parent and owner and owner.id in self.agents else address
        inside = live.kind in self.observed.capabilities.recompiling and not deleted
        holders = self.lookup.attached_to(live.id)
        users = holders if deleted else self.lookup.users(live.id) or holders
        return Content(address, target, users, live.name if live.kind == "block" else None, inside)

    @cached_property
    def of_agent(self) -> Mapping[str, list[Content]]:
        """Id of an agent of the stack to what changes in its prompt."""
        found: dict[str, list[Content]] = {id: [] for id in self.agents}
        for content in self.contents:
            for id in content.agents & found.keys():
                found[id].append(content)
        return {id: contents for id, contents in found.items() if contents}

    # --- what is recompiled

    @cached_property
    def kind(self) -> str | None:
        """The kind whose objects have prompts of their own, compiled from those of their agent; None: there is none."""
        return next((name for name, call in self.observed.capabilities.calls.items() if call.of_prompt), None)

    def limit(self, id: str) -> str | None:
        """`lifecycle.recompile` of an agent."""
        desired = self.lookup.manifest.objects.get(self.agents[id])
        return desired.recompile if desired else None

    def owners(self) -> tuple[str, ...]:
        """Ids of the agents whose conversations are recompiled."""
        return tuple(id for id in self.of_agent if self.limit(id) is None) if self.kind else ()

    @cached_property
    def declared(self) -> Mapping[Address, str]:
        """Address of each declared conversation of these agents to the id of its agent."""
        line = kinds()[self.kind].owner_line() if self.kind else None
        if line is None:
            return {}
        owned = (each for each in self.lookup.manifest.objects.values() if each.kind == self.kind)
        owners = set(self.owners())
        found = {each.address: self.lookup.known(each.values.get(line.name)) for each in owned if not each.external}
        return {a: id for a, id in found.items() if isinstance(id, str) and id in owners and self.lookup.is_selected(a)}

    @cached_property
    def with_own_step(self) -> Mapping[str, set[str]]:
        """Id of an agent to the ids of its declared conversations: each has a step of its own, or needs none."""
        found: dict[str, set[str]] = defaultdict(set)
        for address, id in self.declared.items():
            if live := self.lookup.live(address):
                found[id].add(live.id)
        return found

    def called(self, address: Address) -> bool:
        """Whether a declared conversation exists, is kept, and has no own copies of all blocks that change."""
        resource = self.changes.get(address)
        if not self.lookup.exists(address) or (resource and resource.change.action in ("delete", "replace", "forget")):
            return False
        labels = {each.label for each in self.of_agent[self.declared[address]]}
        return not labels <= _isolated(self.lookup.manifest.objects[address])

    def target(self, id: str) -> Address:
        """The address whose step recompiles an agent and its conversations: its own, if one of its steps does it."""
        targets = [each.target for each in self.of_agent[id]]
        return self.agents[id] if self.agents[id] in targets else targets[0]

    def waits(self, ids: Iterable[str]) -> tuple[Address, ...]:
        """The addresses of all changes to the prompts of these agents, and of the agents."""
        found = (content.address for id in ids for content in self.of_agent[id])
        return tuple(dict.fromkeys((*found, *(self.agents[id] for id in ids))))


def _isolated(desired: Desired) -> set[str | None]:
    """The labels of which a declared conversation has its own copies of the blocks."""
    names = [line.name for line, _ in kinds()[desired.kind].relations(LabelsOf)]
    return {label for name in names for label in desired.values.get(name) or ()}


# --- the changes with their calls ------------------------------------------------------------------------------------


def recompile(prompts: Prompts) -> list[ResourceChange]:
    """The changes, with the calls that must follow those that change prompts."""
    targets: dict[Address, list[str]] = defaultdict(list)
    for id in prompts.of_agent:
        targets[prompts.target(id)].append(id)
    changes = dict(prompts.changes)
    for target, ids in targets.items():
        if (resource := _with_calls(prompts, target, ids)) is not None:
            changes[target] = resource
    for content in prompts.contents:
        if notes := tuple(_foreign_agents(prompts, content)):
            changes[content.address] = _noted(changes[content.address], notes)
    for address, id in prompts.declared.items():
        if (talk := _conversation(prompts, address, id, changes.get(address))) is not None:
            changes[address] = talk
    return [*changes.values(), *prompts.surplus]


def _with_calls(prompts: Prompts, target: Address, ids: Sequence[str]) -> ResourceChange | None:
    """The change at an address with the calls for these agents and their conversations; None if nothing is done."""
    own = prompts.agents.get(ids[0]) == target
    resource = prompts.changes.get(target) or _untouched(prompts, target)
    users = tuple(id for id in ids if prompts.limit(id) != "none" and _must_be_called(prompts, id))
    conversations, calls = _conversations(prompts, ids), []
    if users and not own:
        calls.append(_call(target, resource, "recompile", users=users))
    if conversations:
        owners = tuple(id for id in ids if prompts.limit(id) is None)
        without = tuple(sorted(talk for id in owners for talk in prompts.with_own_step.get(id, ())))
        calls += [_call(target, resource, "recompile conversations", owners=owners, without=without)] if owners else []
    change = resource.change
    recompiles = max(change.recompiles, int(bool(users))) if own else max(change.recompiles, len(users))
    quiet = own and prompts.limit(ids[0]) == "none"
    notes = tuple(_limits(prompts, ids, own=own))
    change = replace(
        change, recompiles=0 if quiet else recompiles, conversations=conversations, notes=(*change.notes, *notes)
    )
    if target not in prompts.changes and not (recompiles or calls or notes):
        return None
    return replace(resource, change=change, calls=tuple(calls), waits=prompts.waits(ids), quiet=quiet)


def _untouched(prompts: Prompts, address: Address, reason: str = "its prompt changes") -> ResourceChange:
    """The change of an object of which nothing is written but a part."""
    live, desired = prompts.observed.objects[address], prompts.lookup.manifest.objects.get(address)
    change = Change(address, live.kind, "update", live.id, reason, place=desired.place if desired else None)
    return ResourceChange(change, desired, live)


def _must_be_called(prompts: Prompts, id: str) -> bool:
    """Whether the server does not recompile an agent by itself."""
    return not all(content.inside for content in prompts.of_agent[id])


def _call(
    target: Address,
    resource: ResourceChange,
    name: str,
    *,
    users: tuple[str, ...] = (),
    owners: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Call:
    return Call(
        f"{target}!{name}",
        target,
        resource.change.kind,
        id=None,
        name="recompile",
        users=users,
        owners=owners,
        without=without,
    )


def _conversations(prompts: Prompts, ids: Iterable[str]) -> int:
    """The number of conversations that are recompiled by the calls to these agents."""
    owners = [id for id in ids if prompts.kind and prompts.limit(id) is None]
    own, found = prompts.with_own_step, prompts.observed.owned
    return sum(live.id not in own.get(id, ()) for id in owners for live in found.get(id, ()))


def _limits(prompts: Prompts, ids: Sequence[str], *, own: bool) -> Iterator[str]:
    """Notes about what `lifecycle.recompile` leaves out."""
    for id in ids:
        limit = prompts.limit(id)
        if limit is not None:
            note = LIMITS[limit]
            if limit == "none" and not _must_be_called(prompts, id):
                note = "lifecycle.recompile is `none`, but the server compiles its prompt again as it writes the block"
            yield note if own else f"{prompts.agents[id]}: {note}"


def _foreign_agents(prompts: Prompts, content: Content) -> Iterator[str]:
    """Notes about prompts of agents that this stack does not manage."""
    foreign = content.agents.difference(prompts.lookup.tables.addresses)  # `-` would walk over all the addresses
    others = agents(len(foreign))
    if foreign and not content.inside:
        yield f"the prompts of {others} outside this manifest are not compiled again"
    elif foreign and prompts.kind:
        yield f"the conversations of {others} outside this manifest keep their prompts"


def _noted(resource: ResourceChange, notes: tuple[str, ...]) -> ResourceChange:
    return replace(resource, change=replace(resource.change, notes=(*resource.change.notes, *notes)))


def _conversation(
    prompts: Prompts, address: Address, agent: str, resource: ResourceChange | None
) -> ResourceChange | None:
    """The change to a declared conversation of an agent whose prompt changes; None if it does not follow."""
    waits = prompts.waits([agent])
    if resource and resource.change.action in ("create", "replace"):
        return replace(resource, waits=waits)  # it begins with the prompt of its agent as it is then
    if not prompts.called(address):
        return None
    reason = f"the prompt of {prompts.agents[agent]} changes"
    resource = resource or _untouched(prompts, address, reason)
    change = resource.change
    if change.action == "mark":
        change = replace(change, action="update", reason=reason)
    assert resource.live is not None
    call = Call(f"{address}!recompile", address, change.kind, id=resource.live.id, name="recompile")
    return replace(resource, change=change, calls=(call,), waits=waits)
