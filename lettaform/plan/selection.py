"""Addresses and patterns to a selection: the objects that a plan is about."""

from __future__ import annotations

from collections.abc import Iterable

from lettaform.address import Address, matches
from lettaform.kinds import kinds
from lettaform.model import Live, Manifest, PlanOptions


def is_selected(address: Address, manifest: Manifest, options: PlanOptions, owner: Address | None = None) -> bool:
    """Whether `--target` and `--exclude` leave an object in the plan.

    `owner`: the object along with which the server created it; to name one of the two is enough.
    """
    desired = manifest.objects.get(address)
    # the server creates and deletes such an object together with its owner
    address = (desired.created_with if desired else None) or address
    names = (address, owner) if owner else (address,)
    if options.target and not any(matches(each, options.target) for each in names):
        return False
    return not any(matches(each, options.exclude) for each in names)


def talkers(lives: Iterable[Live]) -> dict[str, tuple[Address, ...]]:
    """Id of every agent and conversation to the addresses that name it: its own, and that of its agent.

    An agent without an address has that of the agent along with which it was created.
    """
    every = {live.id: live for live in lives if kinds()[live.kind].agent_file}
    creators = {id: live.address for live in every.values() for id in live.discovered.get(live.kind, ())}

    def own(live: Live) -> tuple[Address, ...]:
        address = live.address or creators.get(live.id)
        return (address,) if address else ()

    found = {}
    for live in every.values():
        owner = kinds()[live.kind].owner_line()
        agent = every.get(live.values.get(owner.name, "")) if owner else None
        found[live.id] = (*own(live), *(own(agent) if agent else ()))
    return found


def without_messages(lives: Iterable[Live], patterns: tuple[str, ...]) -> frozenset[str]:
    """The ids of the agents and conversations of which a snapshot may lack the messages."""
    named = talkers(lives).items() if patterns else ()
    return frozenset(id for id, addresses in named if any(matches(address, patterns) for address in addresses))
