"""All objects of a server and the states of all stacks to those that no stack owns, and those that a filter selects.

Pure. What the server creates by itself is left out: its built-in tools, companions such as sleeptime agents, the copies
of blocks that a conversation has, and what an MCP server offers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache, cached_property

from lettaform.address import Address
from lettaform.kinds import kind_of, kinds
from lettaform.kinds.traits import Companions, DiscoveredBy, Owner
from lettaform.model import Listing, Live
from lettaform.ownership.others import Others

MADE_BY_AGENTS = ("block", "archive")
"""Kinds of objects that agents and their server create at run time: one that a stack's agents have belongs to these."""
_UUID = "-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ID = re.compile(f"([a-z]+){_UUID}")
NOT_TEMPORARY: Mapping[str, str] = {kind: rf"^(?!{kind}{_UUID}$)[\s\S]+" for kind in MADE_BY_AGENTS}
"""Kind to the pattern of the keys that a manifest may declare: no `temporary_address` has such a key."""


def temporary_address(live: Live) -> Address:
    """The address of an object that nobody owns while a restore brings it back: by it, a killed restore finds it."""
    return Address.of(kinds()[live.kind].section, live.id)


def is_temporary(address: Address) -> bool:
    """Whether an address is that of an object which a restore brings back, and lets go of at its end."""
    found = _ID.fullmatch(address.key)
    return found is not None and found[1] in MADE_BY_AGENTS and found[1] == kind_of(address) and not address.parent


@dataclass(frozen=True)
class Filter:
    """Which objects are selected: those that meet each condition that is set, by one of its values.

    names   exact names
    tags    tags
    match   names with `*` and `?`
    ids     ids on the server
    """

    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.names or self.tags or self.match or self.ids)

    def selects(self, live: Live) -> bool:
        """Whether an object meets the conditions."""
        tags = live.values.get("tags") or ()
        return (
            (not self.names or live.name in self.names)
            and (not self.tags or any(tag in self.tags for tag in tags))
            and (not self.match or any(fnmatchcase(live.name, pattern) for pattern in self.match))
            and (not self.ids or live.id in self.ids)
        )


@dataclass(frozen=True)
class ImportOptions:
    """What to import, and how to write it.

    stack    the name of the stack; None: derived from the name of the folder
    only     a filter; empty: everything that nobody owns
    fold     write rows of similar agents as one declaration with `for_each`
    without  kinds that are left out
    """

    stack: str | None = None
    only: Filter = field(default_factory=Filter)
    fold: bool = True
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """An object that is not selected although it was asked for, and why."""

    live: Live
    reason: str


@dataclass(frozen=True)
class Server:
    """All objects of a server, those of its stacks with their `stack`.

    lives     id to object
    attached  id of an agent to its blocks
    """

    lives: Mapping[str, Live]
    attached: Mapping[str, tuple[Live, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, listing: Listing, others: Others) -> Server:
        """The objects of a listing. What a state lists, or is being created by a stack, belongs to that stack."""
        lives = [live for every in listing.objects.values() for live in every]
        owned = (each if each.stack is not None else replace(each, stack=others.creator(each)) for each in lives)
        return cls({live.id: live for live in owned}, listing.attached)

    def with_lives(self, lives: Mapping[str, Live]) -> Server:
        """The server with other values of some objects."""
        attached = {id: tuple(lives.get(block.id, block) for block in blocks) for id, blocks in self.attached.items()}
        return Server({**self.lives, **lives}, attached)

    # --- what the server made

    @cached_property
    def creators(self) -> Mapping[str, str]:
        """Id of an object that the server created along with another one to the id of that one."""
        found: dict[str, str] = {}
        for live in self.lives.values():
            table = kinds()[live.kind]
            along = {kind for _, companions in table.relations(Companions) for kind in companions.kinds}
            if table.owner_line() is not None:  # its copies of blocks are its own
                along |= {*live.discovered}
            for kind in along:
                found |= dict.fromkeys(live.discovered.get(kind, ()), live.id)
            for line, _ in table.relations(DiscoveredBy):
                if isinstance(by := live.values.get(line.name), str):
                    found[live.id] = by
        return found

    def is_built_in(self, live: Live) -> bool:
        """Whether every server has the object."""
        return live.name in kinds()[live.kind].naming.built_in

    @cached_property
    def holders(self) -> Mapping[str, tuple[str, ...]]:
        """Id of a block to the agents that have it, without the companions of these agents."""
        found: dict[str, list[str]] = {}
        for agent, blocks in self.attached.items():
            for block in blocks:
                found.setdefault(block.id, []).append(agent)
        return {id: tuple(self._without_companions(agents)) for id, agents in found.items()}

    def _without_companions(self, agents: list[str]) -> Iterator[str]:
        yield from (each for each in agents if self.creators.get(each) not in agents)

    @cached_property
    def users(self) -> Mapping[str, frozenset[str]]:
        """Id of an object to the objects that refer to it."""
        found: dict[str, set[str]] = {}
        for live in self.lives.values():
            for id in self.references(live):
                found.setdefault(id, set()).add(live.id)
        for block, agents in self.holders.items():
            found.setdefault(block, set()).update(agents)
        return {id: frozenset(each) for id, each in found.items()}

    def references(self, live: Live) -> Iterator[str]:
        """The ids of the objects to which an object refers, without blocks of its companions."""
        for line in kinds()[live.kind].attrs().values():
            yield from (each for each in live.ids(line.name) if line.to and each in self.lives)

    @cached_property
    def numbers(self) -> Mapping[str, Mapping[str, int]]:
        """Kind to stack to the number of its objects; "" for no stack. Without what every server has."""
        found: dict[str, Counter[str]] = {}
        for live in self.lives.values():
            if not self.is_built_in(live):
                found.setdefault(live.kind, Counter())[live.stack or ""] += 1
        return {kind: dict(sorted(found[kind].items())) for kind in sorted(found)}

    # --- what nobody owns

    @cached_property
    def free(self) -> tuple[Live, ...]:
        """The objects that no stack owns and that a manifest can declare, sorted by kind, name and id."""
        free = (live for live in self.lives.values() if not self._reason(live))
        return tuple(sorted(free, key=lambda live: (live.kind, live.name, live.id)))

    def _reason(self, live: Live) -> str | None:
        """Why an object is not for a manifest to declare by itself; None if it is."""
        if live.stack is not None:
            return f"it belongs to stack `{live.stack}`"
        if self.is_built_in(live):
            return "every server has it"
        if creator := self.creators.get(live.id):
            made = self.lives.get(creator)
            return f"the server created it along with `{made.name if made else creator}`"
        return self._reason_of_users(live)

    def _reason_of_users(self, live: Live) -> str | None:
        """Why an object comes with others that a manifest does not declare."""
        line = kinds()[live.kind].owner_line()
        owner = live.values.get(line.name) if line else None
        users = {owner} if owner in self.lives else self.users.get(live.id) if live.kind in MADE_BY_AGENTS else None
        if not users:
            return None
        above = [self.lives[id] for id in sorted(map(str, users)) if id in self.lives]
        if all(each.stack is not None for each in above) and above:
            return f"only agents of stack `{above[0].stack}` have it"
        if all(each.id in self.creators for each in above) and above:
            return f"only `{above[0].name}` has it, which the server created"
        return None

    # --- what a filter selects

    def select(self, only: Filter) -> tuple[tuple[Live, ...], tuple[Left, ...]]:
        """The free objects that a filter selects, with all that they need, and what it left out.

        Without a filter, objects that belong to a stack or to the server itself are no part of what is left out.
        """
        if not only:
            lives = [live for live in self.lives.values() if live.stack is None and live.id not in self.creators]
            hidden = ((live, self._reason_of_users(live)) for live in lives if live.name not in _discovered())
            return self.free, tuple(Left(live, why) for live, why in hidden if why)
        asked = [live for live in self.lives.values() if only.selects(live)]
        free = {live.id: live for live in self.free}
        chosen = self._with_needed([live.id for live in asked if live.id in free], free)
        left = [Left(live, reason) for live in asked if (reason := self._reason(live))]
        return tuple(live for live in self.free if live.id in chosen), tuple(left)

    def _with_needed(self, ids: Iterable[str], free: Mapping[str, Live]) -> set[str]:
        """These objects, and those that are needed to declare them: what they refer to, and what belongs to them."""
        chosen, waiting = set[str](), list(ids)
        while waiting:
            id = waiting.pop()
            if id in free and id not in chosen:
                chosen.add(id)
                waiting += [*self.references(free[id]), *(block.id for block in self.attached.get(id, ()))]
                waiting += self._belongings.get(id, ())
            elif id not in free and (creator := self.creators.get(id)):  # such as the MCP server of a tool
                waiting.append(creator)
        groups = [each for each in self.free if each.kind == "group" and each.id not in chosen]
        return chosen | {each.id for each in groups if {*self.references(each)} <= chosen | self.creators.keys()}

    @cached_property
    def _belongings(self) -> Mapping[str, list[str]]:
        """Id of an object to those that are deleted with it, such as the conversations of an agent."""
        found: dict[str, list[str]] = {}
        for live in self.lives.values():
            for line, _ in kinds()[live.kind].relations(Owner):
                found.setdefault(str(live.values.get(line.name)), []).append(live.id)
        return found


@cache
def _discovered() -> frozenset[str]:
    """Names of the parts that the server creates together with a companion: they come with it."""
    return frozenset(name for kind in kinds().values() for name in kind.discovered_parts().values())
