"""Agents that `matches` selects, and what the state says of them, to Observed: the stack owns none of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.kinds import MATCHED, kinds
from lettaform.kinds.agent import MADE_ALONG
from lettaform.kinds.base import Attr
from lettaform.model import Listing, Live, Manifest, Mark, Match, Observed, State
from lettaform.ownership.others import Others
from lettaform.values import UNREAD, Ref

ALL: tuple[str, ...] = ()
"""The tags of a list that shows every agent."""


def lists(manifest: Manifest) -> list[tuple[str, ...]]:
    """The tags of the lists that show every agent that may be selected. A list without tags shows the others, too."""
    asked = list(dict.fromkeys(match.select.tags for match in manifest.matches))
    return [ALL] if ALL in asked else asked


def fields(manifest: Manifest, state: State) -> frozenset[str]:
    """The fields of agents that entries of `matches` declare, or have declared."""
    names = {name for match in manifest.matches for name in match.values}
    for mark in (*state.matched.values(), *state.begun.values()):
        names |= {*mark.members, *(path.split(".")[0] for path in mark.base)}
    return frozenset(names & kinds()[MATCHED].attrs().keys())


def unlisted(state: State, listing: Listing) -> list[str]:
    """The ids of the agents to which something was applied and that no list shows."""
    seen = {live.id for live in listing.objects.get(MATCHED, ())}
    return sorted({id for address in state.matched_agents if (id := address.index) and id not in seen})


def selects(match: Match, live: Live, stack: str, others: Others) -> bool:
    """Whether an entry of `matches` selects an agent. `stack`: that of the entry.

    Agents of this stack are declared in `agents`. What the server leaves out of its lists, or creates along with
    another agent, is not selected. An agent with the mark of another stack may be a duplicate: the state of that stack
    decides.
    """
    if live.stack is not None:
        owned = live.address is not None and others.addresses.get((live.stack, live.address)) == live.id
        if live.stack == stack or live.stack not in match.stacks or not owned:
            return False
    return fits(match, live)


def fits(match: Match, live: Live) -> bool:
    """Whether an agent has the names and tags that an entry of `matches` asks for, whoever owns it."""
    if live.values.get("hidden") is True or live.values.get("agent_type") in MADE_ALONG:
        return False
    tags, left_out = frozenset(live.values.get("tags") or ()), match.exclude
    excluded = live.id in left_out.ids or not tags.isdisjoint(left_out.tags) or _is_named(live, left_out.names)
    named = not match.select.names or _is_named(live, match.select.names)
    return named and tags.issuperset(match.select.tags) and not excluded


def _is_named(live: Live, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(live.name, pattern) for pattern in patterns)


def with_matched(observed: Observed, manifest: Manifest, listing: Listing, others: Others) -> Observed:
    """`observed` with the agents that `matches` selects, and with those to which it applied something before.

    Each is at the address of the declaration and the agent, with the mark that the state keeps of it. `listing`: the
    agents, and the blocks attached to them.
    """
    lives = {live.id: live for live in listing.objects.get(MATCHED, ())}
    own = {live.id for live in observed.objects.values() if live.stack == manifest.stack}  # or is being adopted
    by_name = sorted((live for live in lives.values() if live.id not in own), key=lambda live: (live.name, live.id))
    found: dict[Address, tuple[Address, ...]] = {}
    selected: dict[Address, Match] = {}
    for match in manifest.matches:
        chosen = (live for live in by_name if selects(match, live, manifest.stack, others))
        found[match.address] = tuple(match.address.instance(live.id) for live in chosen)
        selected |= dict.fromkeys(found[match.address], match)
    marks = _marks(observed, manifest, selected, lives)
    placed = {
        address: replace(live, address=address, stack=live.stack or "", marked=True, mark=marks.get(address, Mark()))
        for address in (*selected, *observed.state.matched_agents)
        if (live := lives.get(address.index or ""))
    }
    ids = {live.id for live in placed.values()}
    return replace(
        observed,
        objects={**observed.objects, **placed},
        attached={**{id: blocks for id, blocks in listing.attached.items() if id in ids}, **observed.attached},
        matched=found,
        contested=tuple(_contested(selected, lives)),
        left_out={match.address: tuple(_own(match, observed, manifest)) for match in manifest.matches},
    )


def _own(match: Match, observed: Observed, manifest: Manifest) -> Iterator[Address]:
    """The agents of the stack itself that an entry would select otherwise."""
    for address, live in observed.objects.items():
        if live.kind == MATCHED and address in manifest.objects and live.stack == manifest.stack and fits(match, live):
            yield address


# --- what was applied before -----------------------------------------------------------------------------------------


def _marks(
    observed: Observed, manifest: Manifest, selected: Mapping[Address, Match], lives: Mapping[str, Live]
) -> dict[Address, Mark]:
    """The marks of the state. What one entry applied to an agent goes over to what declares it there now.

    That is another entry, as after a change of its key, or the agent's declaration, once the stack has adopted it.
    """
    found = {address: _with_ids(mark, observed) for address, mark in observed.state.matched.items()}
    for address, mark in observed.state.begun.items():
        if live := lives.get(address.index or ""):
            found[address] = _joined(found.get(address, Mark()), _present(_with_ids(mark, observed), live))
    values = {address: match.values for address, match in selected.items()}
    for address, live in observed.objects.items():
        if live.kind == MATCHED and live.stack == manifest.stack and (desired := manifest.objects.get(address)):
            values[address] = desired.values
    by_agent = defaultdict[str, list[Address]](list)
    for address in values:
        by_agent[address.index or "" if address in selected else observed.objects[address].id].append(address)
    for old in [address for address in found if address not in selected]:
        for new in by_agent.get(old.index or "", ()):
            going, found[old] = _split(found[old], _wanted(values[new], observed))
            if new in selected:
                found[new] = _joined(found.get(new, Mark()), going)
    return found


def _present(mark: Mark, live: Live) -> Mark:
    """The members that an agent has, of those that a killed run was about to add. What was not read may be there."""
    members = dict[str, tuple[Any, ...]]()
    for name, every in mark.members.items():
        have = live.values.get(name)
        members[name] = every if have is UNREAD else tuple(each for each in every if each in (have or ()))
    return Mark({}, {name: every for name, every in members.items() if every})


def _split(mark: Mark, wanted: Mapping[str, Collection[Any]]) -> tuple[Mark, Mark]:
    """The part of a mark that is about these fields, and these members of lists; and the rest."""
    lines = kinds()[MATCHED].attrs()
    base = {path: each for path, each in mark.base.items() if path.split(".")[0] in wanted}
    members = {
        name: tuple(each for each in every if not lines[name].additive or each in wanted[name])
        for name, every in mark.members.items()
        if name in wanted
    }
    rest = {
        name: left
        for name, every in mark.members.items()
        if (left := tuple(each for each in every if each not in members.get(name, ())))
    }
    kept = {path: each for path, each in mark.base.items() if path not in base}
    return Mark(base, {name: each for name, each in members.items() if each}), Mark(kept, rest)


def _joined(one: Mark, other: Mark) -> Mark:
    members = {
        name: tuple(dict.fromkeys((*one.members.get(name, ()), *other.members.get(name, ()))))
        for name in (*one.members, *other.members)
    }
    return Mark({**other.base, **one.base}, members)


def _wanted(values: Mapping[str, Any], observed: Observed) -> dict[str, frozenset[Any]]:
    """The declared fields, each with the members of a list to which others add, too: as ids where they exist."""
    lines, found = kinds()[MATCHED].attrs(), dict[str, frozenset[Any]]()
    for name, value in values.items():
        members = (value if isinstance(value, list) else [value]) if lines[name].additive else []
        lives = {each: observed.objects.get(each.address) for each in members if isinstance(each, Ref)}
        found[name] = frozenset(live.id if (live := lives.get(each)) else each for each in members)
    return found


def _with_ids(mark: Mark, observed: Observed) -> Mark:
    """A mark with ids in place of the addresses of objects that did not exist yet when the state was written."""
    lines = kinds()[MATCHED].attrs()
    members = dict(mark.members)
    for name, each in mark.members.items():
        if name in lines and lines[name].to:
            members[name] = tuple(dict.fromkeys(id for member in each if (id := _id(member, observed))))
    return replace(mark, members=members)


def _id(member: Any, observed: Observed) -> str | None:
    """The id of a member. An address whose object was never created, or no longer exists, has none."""
    try:
        address = Address.parse(str(member))
    except ValueError:
        return str(member)
    live = observed.objects.get(address)
    return live.id if live else None


# --- two declarations of one field -----------------------------------------------------------------------------------


def _contested(selected: Mapping[Address, Match], lives: Mapping[str, Live]) -> Iterator[Problem]:
    """Fields that another entry of `matches` declares of the same agent, or that its own stack declares."""
    first: dict[tuple[str, Any], Match] = {}
    reported = set[tuple[Address, Address, str]]()
    for address, match in selected.items():
        live = lives[address.index or ""]
        for line, value in ((kinds()[MATCHED].attrs()[name], value) for name, value in match.values.items()):
            for leaf in _leaves(line, value):
                other = first.setdefault((live.id, leaf), match)
                about = (match.address, other.address, line.name)
                if other is not match and about not in reported:
                    reported.add(about)
                    yield _declared_twice(match, other, live, line.name)
            if live.stack and (path := next(_declared_by_owner(live, line, value), None)):
                yield _declared_by_stack(match, live, line.name, path)


def _leaves(line: Attr, value: Any) -> Iterator[Any]:
    """What must be declared once of one agent: a value, each entry of a map, each member of a list that is added to."""
    if line.additive:
        every = value if isinstance(value, list) else [value] if value else []
        yield from ((line.name, each.address if isinstance(each, Ref) else each) for each in every)
    elif line.partial and isinstance(value, Mapping):
        yield from (f"{line.name}.{key}" for key in value)
    else:
        yield line.name


def _declared_by_owner(live: Live, line: Attr, value: Any) -> Iterator[str]:
    """The paths of values that the agent's own stack applied. Both stacks may add to a list."""
    for leaf in _leaves(line, value) if not line.additive else ():
        if leaf in live.mark.base or line.name in live.mark.base:
            yield str(leaf)


def _declared_twice(match: Match, other: Match, live: Live, name: str) -> Problem:
    place = other.places.get(name, other.place)
    message = f"{match.address}: {other.address} declares `{name}` of {live.name} ({live.id}), too, at {place.of_line}"
    hint = "remove one of the two, or let one of them leave the agent out with `exclude`"
    return Problem(message, match.places.get(name, match.place), hint, str(match.address.instance(live.id)), name)


def _declared_by_stack(match: Match, live: Live, name: str, path: str) -> Problem:
    where = f"{live.address} of stack `{live.stack}`" if live.address else f"stack `{live.stack}`"
    message = f"{match.address}: `{path}` of {live.name} ({live.id}) is declared by {where}: each would undo the other"
    hint = f"remove the field, or leave the agent out: `exclude: {{id: {live.id}}}`"
    return Problem(message, match.places.get(name, match.place), hint, str(match.address.instance(live.id)), name)
