"""A Manifest, an Observed and PlanOptions to the lookups that all passes of a plan share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from lettaform.address import Address, matches
from lettaform.kinds import kinds
from lettaform.kinds.traits import FollowUp
from lettaform.model import (
    Dependents,
    Desired,
    Live,
    Manifest,
    Observed,
    PlanOptions,
    PromotedText,
    Relocation,
    Removed,
    value_of,
)
from lettaform.plan.leaves import spelled
from lettaform.plan.moves import Moves
from lettaform.plan.policy import decide, policies
from lettaform.plan.selection import is_selected
from lettaform.plan.tables import Tables
from lettaform.values import Ref, fill

UNKNOWN: Any = object()
"""Stands for a value that depends on an object that does not exist yet."""

NO_USERS: frozenset[str] = frozenset()


class Lookup:
    """Answers about one plan. Every table is built once, so each answer takes constant time."""

    def __init__(
        self,
        manifest: Manifest,
        moves: Moves,
        options: PlanOptions,
        replaced: frozenset[Address] = frozenset(),
        waiting: Collection[Address] = (),
    ) -> None:
        """`replaced`: objects that exist and that this plan replaces. `waiting`: those that it leaves out for now."""
        self.manifest, self.moves, self.options = manifest, moves, options
        self.replaced, self.waiting = replaced, waiting
        self.observed: Observed = moves.observed
        self.tables = Tables(manifest, moves.observed)
        self.labels: dict[Address, str | None] = {}

    # --- objects

    def live(self, address: Address | None) -> Live | None:
        """The object at an address."""
        return self.observed.objects.get(address) if address else None

    def exists(self, address: Address) -> bool:
        """Whether an object exists at an address and is not replaced."""
        return address in self.observed.objects and address not in self.replaced

    def is_in_shard(self, address: Address) -> bool:
        """Whether an object belongs to the shard that this plan is about."""
        return not self.options.shard or self.tables.spread.has(self.options.shard, address)

    def is_selected(self, address: Address) -> bool:
        """Whether this plan is about the object."""
        if not self.is_in_shard(address) or address.top in self.waiting:
            return False
        if not (self.options.target or self.options.exclude):
            return True
        owner = self.tables.created_along.get(address.parent or address)
        return is_selected(address, self.manifest, self.options, owner)

    def is_allowed(self, address: Address) -> bool:
        """Whether `--allow-destroy` names the object."""
        return matches(address, self.options.allow_destroy)

    def parts(self, address: Address) -> list[Desired]:
        """The declared parts of an object: an agent's own blocks."""
        return self.tables.parts.get(address, [])

    def detached_block(self, address: Address) -> Live | None:
        """The detached own block with this address."""
        return next(iter(self.observed.detached.get(address, ())), None)

    def referable_block(self, address: Address) -> Live | None:
        """The detached own block with this address, if others may have it, too: its agent exists, or is created.

        Before there is its agent, a block that others have would no longer be found for it.
        """
        agent = address.parent
        if agent is None or address not in self.manifest.objects:
            return None
        return self.detached_block(address) if agent in self.observed.objects or self.is_selected(agent) else None

    def attached_blocks(self, agent: Live | None) -> tuple[Live, ...]:
        """All blocks of an agent, whoever created them."""
        return self.observed.attached.get(agent.id, ()) if agent else ()

    def released(self, agent: Live) -> tuple[str, ...]:
        """Ids of the blocks that moved out of an agent and are still attached to it.

        A block that stays in the agent is detached for a moment if another one has its new label: 0.16.8 refuses a
        second block with that label.
        """
        blocks = self.observed.attached.get(agent.id, ())
        moving = ((each.id, self.observed.state.relocated.get(each.id)) for each in blocks)
        return tuple(id for id, moved in moving if moved and self._is_released(agent, id, moved))

    def _is_released(self, agent: Live, id: str, moved: Relocation) -> bool:
        holder = self.live(moved.before.parent)
        if not moved.is_attached_anew or holder is None or holder.id != agent.id:
            return False
        if moved.before.parent != moved.address.parent:
            return True
        others = {each.name for each in self.attached_blocks(agent) if each.id != id}
        return self.label(id) in others

    def is_moved(self, live: Live | None) -> bool:
        """Whether a block moves out of an agent, into one, or to another key."""
        moved = self.observed.state.relocated.get(live.id) if live else None
        return moved is not None and moved.is_attached_anew

    def has_block(self, address: Address) -> bool:
        """Whether an own block exists at an address, attached to its agent or not."""
        observed = self.observed
        return any(address in each for each in (observed.objects, observed.detached, observed.held_elsewhere))

    def users(self, id: str) -> frozenset[str]:
        """Ids of the agents that use a shared object."""
        return self.observed.users.get(id, NO_USERS)

    def attached_to(self, id: str) -> frozenset[str]:
        """Ids of the agents that have a block, as far as agents were read."""
        return self.tables.attached_to.get(id, NO_USERS)

    def dependents(self, id: str) -> Dependents:
        """The objects that depend on an object."""
        return self.observed.dependents.get(id, Dependents())

    def removed(self, address: Address) -> Removed | None:
        """The `removed` entry of an object, or of the object that contains it."""
        return self.tables.removed.get(address) or self.tables.removed.get(address.parent or address)

    def is_pruned(self, block: Live) -> bool:
        """Whether `--prune` is given and the block is marked and no longer declared."""
        address = self.tables.addresses.get(block.id, block.address)
        return bool(address) and self.options.prune and address not in self.manifest.objects

    @cached_property
    def incomplete_owners(self) -> frozenset[Address]:
        """Existing objects that must list what they offer again: something declared that they offer has no object."""
        offered = (d for d in self.manifest.objects.values() if d.external and not self.exists(d.address))
        owners = (d.discovered_from for d in offered if self.is_selected(d.address))
        return frozenset(owner for owner in owners if owner and self.exists(owner))

    @cached_property
    def promoted(self) -> Mapping[Address, PromotedText]:
        """Address of a block to its text in the environment from which this plan brings memory."""
        found = self.options.promotion
        return {Address.parse(each.address): each for each in found.texts} if found else {}

    # --- what the backend can do

    def call(self, kind: str) -> FollowUp | None:
        """The call that an object of this kind needs after a change."""
        return self.observed.capabilities.calls.get(kind)

    def created_apart(self, part: Desired) -> bool:
        """Whether a part is created by a request of its own: always, or because some of its fields would be lost."""
        lost = kinds()[part.kind].part.lost_inline & part.values.keys()
        # its mark must hold what is promoted, and what is created inline has none
        return bool(lost) or not self.observed.capabilities.inline_parts or part.address in self.promoted

    def attaches_parts(self) -> bool:
        """Whether a part that is created by a request of its own must be attached to its owner."""
        return self.observed.capabilities.attach_parts

    def discovered_parts(self, kind: str) -> Mapping[str, str]:
        """Parts that the server itself creates in an object of this kind: field to the part's key."""
        return kinds()[kind].discovered_parts()

    def discovers(self, kind: str) -> bool:
        """Whether other objects are created along with an object of this kind."""
        return bool(kinds()[kind].discovers)

    def recompiles(self, live: Live, fields: Collection[str]) -> int:
        """The number of agents whose prompts must be compiled again after these fields have changed."""
        compiled = kinds()[live.kind].compiled & set(fields)
        if not compiled or live.kind not in self.observed.capabilities.recompiles:
            return 0
        if self.call(live.kind):
            return 1
        # others are counted once it is known which agents are called
        inside = live.kind in self.observed.capabilities.recompiling
        return len(self.users(live.id) or self.attached_to(live.id)) if inside else 0

    # --- values

    def known(self, value: Any) -> Any:
        """`value` with Refs and Secrets replaced; UNKNOWN if a Ref's object does not exist yet."""

        def answer(ref: Ref) -> Any:
            address = ref.address
            live = self.live(address) if self.exists(address) else self.referable_block(address)
            if live is None:
                raise LookupError
            return value_of(ref, live)

        if isinstance(value, str):
            return value
        try:
            return answer(value) if isinstance(value, Ref) else fill(value, answer)
        except LookupError:
            return UNKNOWN

    def member(self, item: Any) -> Any:
        """A member of a list as its id, or as it is declared if its object does not exist yet."""
        known = self.known(item)
        return item if known is UNKNOWN else known

    def named(self, item: Any) -> Any:
        """An id as a Ref to its address, or as its unique name, if it has one. A list: each of its members."""
        if isinstance(item, list):
            return [self.named(each) for each in item]
        if not isinstance(item, str):
            return item
        address, live = self.tables.addresses.get(item), self.tables.unique.get(item)
        return Ref(address) if address else live.name if live else item

    def address_of(self, member: Any) -> Address | None:
        """The address of a member of a list: of its id, or of a Ref to it."""
        return member.address if isinstance(member, Ref) else self.tables.addresses.get(member)

    def declared(self, member: Any) -> Desired | None:
        """The declaration of a member of a list; None if the manifest does not declare it, or as external."""
        address = self.address_of(member)
        desired = self.manifest.objects.get(address) if address else None
        return None if desired is None or desired.external else desired

    def live_member(self, member: Any) -> Live | None:
        """The live object of a member of a list, if it is of a kind whose names are unique."""
        return self.live(self.address_of(member)) or (
            self.tables.unique.get(member) if isinstance(member, str) else None
        )

    def name(self, member: Any) -> str | None:
        """The unique name that a member of a list has after this plan."""
        desired = self.declared(member)
        name = desired.values.get(kinds()[desired.kind].name_field) if desired else None
        if isinstance(name, str) and name:
            return name
        address, live = self.address_of(member), self.live_member(member)
        used = self.manifest.objects.get(address) if address else None
        return live.name if live else used.external.name if used and used.external else None

    def label(self, member: Any) -> str | None:
        """The label that a block has after this plan. `member`: its id, or a Ref to it."""
        address = member.address if isinstance(member, Ref) else self.tables.block_addresses.get(member)
        if address is None:
            return None
        if address not in self.labels:
            self.labels[address] = self._label(address)
        return self.labels[address]

    def _label(self, address: Address) -> str | None:
        live, desired = self.live(address) or self.detached_block(address), self.manifest.objects.get(address)
        if live is None:
            return str(desired.values.get("label")) if desired else None
        want = desired.values.get("label") if desired and not desired.external else None
        if desired is None or want is None or want == live.name:
            return live.name
        line = kinds()["block"].attrs()["label"]
        known, have = self.known(want), spelled(kinds()["block"], line, live.values.get("label"))
        digest = object() if known is UNKNOWN else spelled(kinds()["block"], line, known)
        reseed = matches(address, self.options.reseed)
        decision = decide(policies(desired)["label"], live.mark.base.get("label"), digest, have, reseed=reseed)
        return str(want) if decision.write else live.name
