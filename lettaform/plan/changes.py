"""Diff and ResourceChange: what the passes of a plan return. The Steps follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.model import AgentChange, Call, Change, Copy, Desired, Live, Mark, Observed, Unmanaged
from lettaform.values import Ref


@dataclass(frozen=True)
class ResourceChange:
    """A Change, and how to carry it out. Nothing is written that `change` does not show.

    fields    what to write, by field; may contain Refs, Templates, Secrets and Patches
    mark      the mark afterwards; None: it is not written
    attach    field and member to attach, one by one · detach  to detach
    claim     whether the address must be written to the object
    reused    key of an own block to the id of an existing block that is attached instead of creating one
    discover  the object is created along with another one: its name there, and that object
    surplus   the object is an orphaned block beside another block of its address
    calls     calls to other objects whose prompts the change changes, and to those of this one
    waits     addresses of the changes that must be carried out before these calls, or before the object is created
    quiet     whether the call that otherwise follows a change of the object is left out
    replaces  field to the digest of the live text that a text with the policy `merge` replaces
    history   the messages that a new agent or conversation begins with, as of `Create`
    copies    label to what is written to the object's own copy of a block
    lets_go   whether the stack forgets the object once everything else has succeeded
    matched   what the state keeps of an agent that the stack does not own, afterwards; None: what it keeps now
    """

    change: Change
    desired: Desired | None = None
    live: Live | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None
    attach: tuple[tuple[str, Any], ...] = ()
    detach: tuple[tuple[str, Any], ...] = ()
    claim: bool = False
    reused: Mapping[str, Any] = field(default_factory=dict)
    discover: tuple[str, Ref] | None = None
    surplus: bool = False
    calls: tuple[Call, ...] = ()
    waits: tuple[Address, ...] = ()
    quiet: bool = False
    replaces: Mapping[str, str] = field(default_factory=dict)
    history: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    copies: Mapping[str, Copy] = field(default_factory=dict)
    lets_go: bool = False
    matched: Mark | None = None

    @property
    def address(self) -> Address:
        return self.change.address


def detached_by_agent(changes: Iterable[ResourceChange]) -> dict[str, frozenset[str]]:
    """Id of an existing object to the ids of what the changes detach from it: several can be about one agent."""
    found: dict[str, frozenset[str]] = {}
    for each in changes:
        if each.live and each.detach:
            found[each.live.id] = found.get(each.live.id, frozenset()) | {str(member) for _, member in each.detach}
    return found


Settled = Mapping[Address, tuple[AgentChange, ...]]
"""Declared objects that do not change, each with what agents changed of it and its parts."""


@dataclass(frozen=True)
class Diff:
    """The differences between a Manifest and an Observed.

    resources  the changes, one for each object
    runtime    values that were changed by agents, and are kept
    unmanaged  objects of the stack that are not declared, and are left as they are
    problems   why the changes cannot be carried out
    guards     changes that need a consent which was not given: exit code 7
    exceeded   limits of the manifest that the changes exceed: exit code 7
    warnings   what the manifest says and no change does
    owners     ids of the agents whose conversations are recompiled, by the kind of these
    observed   the Observed with every `moved` applied
    settled    what does not change
    waiting    declared objects that are left out until other shards are applied, as of `Plan`
    """

    resources: tuple[ResourceChange, ...] = ()
    runtime: tuple[AgentChange, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    problems: tuple[Problem, ...] = ()
    guards: tuple[Problem, ...] = ()
    exceeded: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    observed: Observed | None = None
    settled: Settled = field(default_factory=dict)
    waiting: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict)
