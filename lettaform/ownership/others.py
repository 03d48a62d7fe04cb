"""The states of other stacks to the owner of an object that carries no claim. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from lettaform.address import Address
from lettaform.errors import Place, Problem, UnreadableState
from lettaform.kinds import kind_of, kinds
from lettaform.model import Capabilities, Desired, Listing, Live, Manifest, State
from lettaform.ownership.state import salvage

Pages = Mapping[str, Mapping[str, str]]
"""Stack to the pages of its state, by name."""


@dataclass(frozen=True)
class Others:
    """What the states of all other stacks say.

    ids         id to the stack whose state lists it
    addresses   stack and address to the id that the state gives it
    intents     kind and name to the stack that is creating it, or that was killed while it did
    unreadable  the stacks whose state cannot be read
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[tuple[str, Address], str] = field(default_factory=dict)
    intents: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    def owned(self, live: Live) -> Live:
        """The object, with the stack whose state lists it unless it carries a claim."""
        return live if live.stack is not None else replace(live, stack=self.ids.get(live.id))

    def creator(self, live: Live) -> str | None:
        """A stack that owns the object, was creating one of its name, or may have done so; None if there is none."""
        named = self.ids.get(live.id) or self.intents.get((live.kind, live.name))
        return named or next(iter(self.unreadable), None)


def read(pages: Pages, stack: str) -> Others:
    """What the states of all stacks but this one say. A state that can be read in part counts as unreadable, too."""
    ids: dict[str, str] = {}
    addresses: dict[tuple[str, Address], str] = {}
    intents: dict[tuple[str, str], str] = {}
    unreadable = []
    for other in sorted(pages.keys() - {stack}):
        try:
            state, faults = salvage(pages[other])
        except UnreadableState:  # a newer lettaform wrote it
            state, faults = State(), ("",)
        unreadable += [other] if faults else []
        # an object that is about to be deleted is of the stack until it is
        ids |= dict.fromkeys((*state.ids.values(), *state.tombstones), other)
        addresses |= {(other, address): id for address, id in state.ids.items()}
        intents |= {(kind_of(a) or "", name): other for a, name in state.intents.items() if a not in state.ids}
    return Others(ids, addresses, intents, tuple(unreadable))


# --- names that the stack is about to use ----------------------------------------------------------------------------


def undecided(listing: Listing, state: State, manifest: Manifest, capabilities: Capabilities) -> bool:
    """Whether an object that carries no claim has a name that the stack needs: another stack may own it."""
    return any(True for _ in _undecided(listing, state, manifest, capabilities))


def decided(
    listing: Listing, state: State, manifest: Manifest, capabilities: Capabilities, others: Others
) -> tuple[Listing, tuple[Problem, ...]]:
    """`listing` with the owners of such objects, and a problem for each whose owner is not certain."""
    owners: dict[str, str] = {}
    problems = []
    for address, live, intended in _undecided(listing, state, manifest, capabilities):
        creator = others.intents.get((live.kind, live.name))
        owner = others.ids.get(live.id) or (None if intended else creator)
        if owner is not None:
            owners[live.id] = owner
        elif others.unreadable:
            problems.append(unreadable(others, live, address, _place(manifest, address)))
        elif creator is not None:
            problems.append(_both_created(live, address, creator, _place(manifest, address)))
    objects = {
        kind: tuple(replace(each, stack=owners[each.id]) if each.id in owners else each for each in lives)
        for kind, lives in listing.objects.items()
    }
    return replace(listing, objects=objects), tuple(problems)


def _undecided(
    listing: Listing, state: State, manifest: Manifest, capabilities: Capabilities
) -> Iterator[tuple[Address, Live, bool]]:
    """Address, object, and whether an apply that did not end was creating an object of that name."""
    known = set(state.ids.values())
    names = {(d.kind, str(d.values.get(kinds()[d.kind].name_field))): (d.address, False) for d in _unique(manifest)}
    for address, name in state.intents.items():
        kind = kind_of(address)
        if kind and kind not in capabilities.claims and address not in state.ids and not address.parent:
            names[kind, name] = address, True
    for live in (live for lives in listing.objects.values() for live in lives):
        if live.stack is None and live.id not in known and (live.kind, live.name) in names:
            address, intended = names[live.kind, live.name]
            yield address, live, intended


def _unique(manifest: Manifest) -> Iterable[Desired]:
    """The declared objects whose names are unique on the server."""
    objects = manifest.objects.values()
    return (each for each in objects if kinds()[each.kind].unique and not each.external and not each.address.parent)


def _place(manifest: Manifest, address: Address) -> Place | None:
    desired = manifest.objects.get(address)
    return desired.place if desired else None


# --- problems --------------------------------------------------------------------------------------------------------


def repair(stack: str) -> str:
    """The hint for a state of another stack that cannot be read."""
    return f"`lettaform state rebuild` with the manifest of `{stack}` repairs it"


def unreadable(others: Others, live: Live, address: Address, place: Place | None = None) -> Problem:
    """The problem that the owner of an object is not known, because a state cannot be read."""
    stack = others.unreadable[0]
    message = f"{address}: {live.id} may belong to stack `{stack}`, whose state cannot be read"
    return Problem(message, place, repair(stack), str(address))


def _both_created(live: Live, address: Address, other: str, place: Place | None) -> Problem:
    message = f"{address}: {live.id} belongs to this stack or to stack `{other}`: both were creating `{live.name}`"
    hint = f"`lettaform import '{address}' {live.id}` gives it to this stack; or apply the other stack first"
    return Problem(message, place, hint, str(address))


def disputed(live: Live, address: Address, others: Others) -> Problem | None:
    """The problem that the state of another stack lists an object of this stack, too."""
    other = others.ids.get(live.id)
    if other is None:
        return None
    message = f"{address}: {live.id} belongs to stack `{other}`, too"
    hint = f"`lettaform state rm '{address}'` leaves it to that stack; with the manifest of `{other}`, to this one"
    return Problem(message, None, hint, str(address))
