"""Lists of Live objects, the State and the Manifest to Observed: which object belongs to which address. Pure.

A mark on an object is a claim; the state decides. If the state has no entry for an address, a single claimant is the
object. Of several claimants, it is the one whose attached own blocks are marked as parts of that address: the blocks of
a duplicate are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from lettaform.address import Address
from lettaform.errors import Place, Problem, nearest
from lettaform.kinds import companions, kind_of, kinds
from lettaform.kinds.traits import Companions
from lettaform.model import (
    Capabilities,
    Desired,
    External,
    Listing,
    Live,
    Manifest,
    Mark,
    Observed,
    Relocation,
    State,
)
from lettaform.ownership.others import Others, repair, unreadable
from lettaform.values import Ref, digest


def missing(listing: Listing, state: State, capabilities: Capabilities) -> list[tuple[str, str]]:
    """Kind and id of the objects in the state that no list shows. They may exist: their marks may have been removed."""
    seen = {live.id for lives in listing.objects.values() for live in lives}
    # an object of a kind that is listed completely does not exist; a nested one is looked for below its owner
    settled = capabilities.listed | capabilities.nested
    ids = ((kind_of(address), id) for address, id in state.ids.items())
    return [(kind, id) for kind, id in ids if kind and id not in seen and kind not in settled]


def observe(
    listing: Listing, state: State, manifest: Manifest, capabilities: Capabilities, url: str, version: str
) -> Observed:
    """The objects, duplicates, orphaned blocks and foreign objects of a stack, by the lists and the state.

    All orphaned blocks are in `detached`; `sort_orphans` separates them.
    """
    lives = [live for every in listing.objects.values() for live in every]
    state = replace(state, relocated=_relocated(state, manifest))
    objects: dict[Address, Live] = {}
    duplicates: list[Live] = []
    problems: list[Problem] = []
    for address, claimants in _claims(lives, state, manifest.stack, capabilities).items():
        winner = _winner(address, claimants, state, listing.attached)
        if winner is not None:
            objects[address] = _with_mark(winner, address, state, capabilities)
        elif problem := _doubt(address, claimants, state):
            problems.append(problem)
        duplicates += [live for live in claimants if winner is None or live.id != winner.id]
    blocks = _own_blocks(listing, state, capabilities, manifest.stack)
    orphaned = _place(blocks, objects, listing.attached, state, capabilities)
    for address, live in objects.items():
        moved = state.relocated.get(live.id)
        if moved and live.mark == Mark():
            objects[address] = replace(live, mark=Mark(moved.base))
    ours = {live.id for live in objects.values()}
    duplicates = [live for live in duplicates if live.id not in ours]
    return Observed(
        url=url,
        version=version,
        state=state,
        objects=objects,
        duplicates=tuple(duplicates),
        detached=orphaned,
        foreign={(live.kind, live.name): live for live in lives if kinds()[live.kind].unique and live.id not in ours},
        attached=listing.attached,
        problems=tuple(problems),
        capabilities=capabilities,
    )


def _relocated(state: State, manifest: Manifest) -> dict[str, Relocation]:
    """The unfinished relocations of the state. One that the manifest took back is turned round."""
    declared = manifest.objects
    return {
        id: replace(each, address=each.before, before=each.address)
        if each.before in declared and each.address not in declared
        else each
        for id, each in state.relocated.items()
    }


# --- one address, its claimants --------------------------------------------------------------------------------------


def _claims(
    lives: Iterable[Live], state: State, stack: str, capabilities: Capabilities
) -> Mapping[Address, list[Live]]:
    """Every address of the stack that is not a part, with the objects that claim it or that the state gives it."""
    known = {id: address for address, id in state.ids.items()}
    moving = {id: each.address for id, each in state.relocated.items()}
    known |= moving
    intended = {(kind_of(a), name): a for a, name in state.intents.items() if a not in state.ids}
    claims: dict[Address, list[Live]] = defaultdict(list)
    unmarked: list[tuple[Address, Live]] = []
    for live in lives:
        is_current = moving.get(live.id, live.address) == live.address
        if live.stack == stack and live.address and not live.address.parent and is_current:
            claims[live.address].append(live)
        address = known.get(live.id)
        if address is None and live.kind not in capabilities.claims:
            address = intended.get((live.kind, live.name))
        if address and not address.parent and live.stack in (None, stack):
            unmarked.append((address, live))
    for address, live in unmarked:  # its mark was removed, or it has no room for one: the state decides
        if all(live.id != each.id for each in claims[address]):
            claims[address].append(_ours(live, address, stack, marked=live.kind not in capabilities.claims))
    return claims


def _winner(
    address: Address, claimants: Sequence[Live], state: State, attached: Mapping[str, tuple[Live, ...]]
) -> Live | None:
    """The claimant that is the object at an address; None if that is not certain."""
    id = state.ids.get(address)
    if known := next((live for live in claimants if live.id == id), None):
        return known
    open_claims = [live for live in claimants if live.id not in state.duplicates]
    genuine = [live for live in open_claims if any(_is_part(b, address, live.stack) for b in attached.get(live.id, ()))]
    if len(genuine) == 1:
        return genuine[0]
    return open_claims[0] if len(open_claims) == 1 and id is None else None


def is_claimed(live: Live, stack: str, address: Address) -> bool:
    """Whether an object carries the claim of this address of a stack."""
    return live.stack == stack and live.address == address


def _is_part(block: Live, address: Address, stack: str | None) -> bool:
    """Whether a block claims to be a part of the object at an address of a stack."""
    return block.address is not None and block.address.parent == address and block.stack == stack


def _doubt(address: Address, claimants: Sequence[Live], state: State) -> Problem | None:
    """The problem that several objects claim one address and nothing decides between them."""
    open_claims = [live for live in claimants if live.id not in state.duplicates]
    if address in state.ids or len(open_claims) < 2:
        return None
    ids = ", ".join(live.id for live in open_claims)
    hint = f"`lettaform import '{address}' ID` chooses one"
    return Problem(f"several objects on the server claim to be {address}: {ids}", None, hint, str(address))


def _with_mark(live: Live, address: Address, state: State, capabilities: Capabilities) -> Live:
    """An object with its mark, which the state keeps where the object has no room for one."""
    if live.kind in capabilities.marks:
        return live
    return replace(live, mark=state.marks.get(address) or state.tombstones.get(live.id) or Mark())


def _ours(live: Live, address: Address, stack: str, *, marked: bool = False) -> Live:
    return replace(live, address=address, stack=stack, marked=marked)


# --- own blocks ------------------------------------------------------------------------------------------------------


def _own_blocks(listing: Listing, state: State, capabilities: Capabilities, stack: str) -> Iterator[Live]:
    """Every block that is a part of an object of the stack, by its own claim or by the state."""
    known = {id: address for address, id in state.ids.items() if address.parent}
    for live in listing.objects.get("block", ()):
        moved = state.relocated.get(live.id)
        if moved and live.stack in (None, stack) and moved.address != live.address:
            if moved.address.parent:
                yield _ours(live, moved.address, stack)
        elif live.address and live.address.parent and live.stack == stack:
            yield live
        elif live.stack is None and live.id in known:
            yield _ours(live, known[live.id], stack, marked=live.kind not in capabilities.claims)


def _place(
    blocks: Iterable[Live],
    objects: dict[Address, Live],
    attached: Mapping[str, tuple[Live, ...]],
    state: State,
    capabilities: Capabilities,
) -> dict[Address, tuple[Live, ...]]:
    """Add own blocks to `objects` if they are attached to their agent. Returns the others, the orphaned blocks."""
    orphaned: dict[Address, tuple[Live, ...]] = {}
    attached_to = {agent: {block.id for block in blocks} for agent, blocks in attached.items()}
    for live in blocks:
        assert live.address is not None
        owner = objects.get(live.address.parent) if live.address.parent else None
        here = owner is not None and live.id in attached_to.get(owner.id, ())
        moved = state.relocated.get(live.id)
        # a block that moves by itself is attached by the next apply
        if (here or (moved and moved.is_attached_anew)) and live.address not in objects:
            objects[live.address] = _part(live, owner, state, capabilities)
        elif not here:
            orphaned[live.address] = (*orphaned.get(live.address, ()), live)
    for address, name in state.intents.items():  # created by an apply that was killed, and without room for a claim
        owner = objects.get(address.parent) if address.parent else None
        kind = kind_of(address)
        if owner and address not in objects and kind and kind not in capabilities.claims:
            named = (each for each in attached.get(owner.id, ()) if each.name == name and each.address is None)
            if found := next(named, None):
                named_block = _ours(found, address, owner.stack or "", marked=True)
                objects[address] = _part(named_block, owner, state, capabilities)
    return orphaned


def _part(live: Live, owner: Live | None, state: State, capabilities: Capabilities) -> Live:
    """An own block with its mark. Until the block is first updated, its base is in the mark of its agent."""
    assert live.address is not None
    if live.kind not in capabilities.marks and live.address in state.marks:
        return replace(live, mark=state.marks[live.address])
    moved = state.relocated.get(live.id)
    initial = Mark(owner.mark.parts.get(live.address.child or "", {})) if owner else Mark()
    if moved and moved.is_attached_anew:  # the agent's mark may hold the base of the block that had the key before
        initial = Mark(moved.base)
    return live if live.mark != Mark() else replace(live, mark=initial)


def sort_orphans(observed: Observed, unattached: frozenset[str]) -> Observed:
    """Separate orphaned blocks: those in `unattached` are `detached`, the others are `held_elsewhere`."""
    detached, held = dict[Address, tuple[Live, ...]](), dict[Address, tuple[Live, ...]]()
    for address, lives in observed.detached.items():
        for live in lives:
            kept = detached if live.id in unattached else held
            kept[address] = (*kept.get(address, ()), live)
    return replace(observed, detached=detached, held_elsewhere=held)


def missing_carried_over(observed: Observed) -> Iterator[tuple[Address, str]]:
    """Addresses of agents whose replacement was interrupted, each with the id of a block to carry over."""
    for address, ids in observed.state.carried_over.items():
        if address not in observed.objects:
            yield from ((address, id) for id in ids)


def with_carried_over(observed: Observed, found: Iterable[tuple[Address, Live | None]]) -> Observed:
    """`observed` with those of these blocks that exist."""
    carried: dict[Address, tuple[Live, ...]] = {a: () for a in observed.state.carried_over if a not in observed.objects}
    for address, live in found:
        if live is not None:
            carried[address] = (*carried[address], live)
    return replace(observed, carried_over=carried)


# --- adoption --------------------------------------------------------------------------------------------------------


def of_another_stack(live: Live, address: Address, place: Place | None = None, field: str | None = None) -> Problem:
    """The problem that an address is declared for an object that another stack owns."""
    message = f"{address}: the {live.kind} `{live.name}` ({live.id}) belongs to stack `{live.stack}`"
    hint = f"to use it without owning it, declare {address} with `external: true` and `id: {live.id}` alone"
    return Problem(message, place, None if address.parent else hint, str(address), field)


def is_ours(observed: Observed, manifest: Manifest, live: Live) -> bool:
    """Whether an object belongs to the stack, by its claim or by the state."""
    owned = (each for each in observed.objects.values() if each.id == live.id)
    return live.stack == manifest.stack or any(each.stack == manifest.stack for each in owned)


def adoption_problem(
    observed: Observed, manifest: Manifest, address: Address, live: Live, others: Others, place: Place | None = None
) -> Problem | None:
    """Why an object cannot be adopted under an address; None if it can."""
    ours, live = is_ours(observed, manifest, live), others.owned(live)
    if not ours and live.stack is not None:
        return of_another_stack(live, address, place)
    if not ours and others.unreadable:
        return unreadable(others, live, address, place)
    owned = (a for a, each in observed.objects.items() if each.id == live.id and each.stack == manifest.stack)
    other = next((a for a in owned if a != address and a in manifest.objects), None)
    if other is None:
        return None
    message = f"{live.id} is {other} of this stack"
    return Problem(message, place, f"`lettaform state mv '{other}' '{address}'` moves it", str(address))


def adopt(observed: Observed, manifest: Manifest, address: Address, live: Live, blocks: tuple[Live, ...]) -> Observed:
    """`observed` with the object at that address, owned by the stack and without a mark.

    Another object at that address becomes a duplicate. The adopted object is no longer a duplicate or a problem.
    """
    observed = _with_own_blocks(displaced(observed, address, live.id), manifest, address, live, blocks)
    adopted = replace(live, address=address, stack=manifest.stack, marked=False, mark=Mark())
    return replace(
        observed,
        objects={**observed.objects, address: adopted},
        duplicates=tuple(each for each in observed.duplicates if each.id != live.id),
        foreign={key: each for key, each in observed.foreign.items() if each.id != live.id},
        problems=tuple(each for each in observed.problems if each.address != str(address)),
    )


# --- external objects ------------------------------------------------------------------------------------------------


def matches_external(desired: Desired, live: Live) -> bool:
    """Whether an object is the one that `external` describes."""
    external = desired.external
    assert external is not None
    if external.stack and external.address:
        return is_claimed(live, external.stack, external.address)
    return external.id == live.id or (external.name is not None and external.name == live.name)


def is_in_state_alone(desired: Desired, capabilities: Capabilities) -> bool:
    """Whether only the state of another stack knows the object: it is given by address, and carries no claim."""
    external = desired.external
    return external is not None and external.address is not None and desired.kind not in capabilities.claims


def by_states(observed: Observed, wanted: Iterable[Desired], others: Others) -> tuple[Observed, list[Desired]]:
    """External objects, by the ids that the states of their stacks give them; a problem for each that has none."""
    found, problems = list[Desired](), list[Problem]()
    for desired in wanted:
        external = desired.external
        if external is None or external.address is None or not is_in_state_alone(desired, observed.capabilities):
            found.append(desired)
        elif id := others.addresses.get((external.stack or "", external.address)):
            found.append(replace(desired, external=External(id=id)))
        elif external.stack in others.unreadable:
            message = f"{desired.address}: the state of stack `{external.stack}` cannot be read"
            problems.append(Problem(message, desired.place, repair(external.stack), str(desired.address)))
        else:
            problems.append(_not_one(desired, (), ()))
    return replace(observed, problems=(*observed.problems, *problems)), found


def with_externals(observed: Observed, found: Sequence[tuple[Desired, Sequence[Live], Sequence[Live]]]) -> Observed:
    """`observed` with external objects. `found`: the declaration, the objects that match, and all candidates."""
    objects, problems = dict(observed.objects), list(observed.problems)
    for desired, lives, choices in found:
        if len(lives) == 1:
            objects[desired.address] = replace(lives[0], address=desired.address, stack=lives[0].stack or "")
        else:
            problems.append(_not_one(desired, lives, choices))
    return replace(observed, objects=objects, problems=tuple(problems))


def _not_one(desired: Desired, lives: Sequence[Live], choices: Sequence[Live]) -> Problem:
    external, address = desired.external, str(desired.address)
    assert external is not None
    what = external.name or external.id or f"{external.stack}/{external.address}"
    if lives:
        ids = ", ".join(live.id for live in lives)
        message = f"{address}: {len(lives)} {desired.kind}s on the server match `{what}`: {ids}"
        return Problem(message, desired.place, "name one by `id`", address)
    near = nearest(external.name, [live.name for live in choices]) if external.name else None
    hint = f"did you mean `{near}`?" if near else None
    return Problem(f"{address}: the server has no {desired.kind} `{what}`", desired.place, hint, address)


# --- nested objects --------------------------------------------------------------------------------------------------


def nested_owners(observed: Observed, manifest: Manifest) -> Iterator[tuple[Address, str, str]]:
    """Address and kind of every nested object, and the id of its owner, if the owner exists."""
    state = observed.state
    for address in dict.fromkeys((*manifest.objects, *state.ids, *state.intents)):
        kind, desired = kind_of(address), manifest.objects.get(address)
        if kind is None or kind not in observed.capabilities.nested:
            continue
        line = kinds()[kind].owner_line()
        above = desired.values.get(line.name) if desired and line else None
        owner = observed.objects.get(above.address) if isinstance(above, Ref) else None
        id = owner.id if owner else state.ids.get(address, "").split("/")[0]
        if id:
            yield address, kind, id


def is_undecided(observed: Observed, found: Sequence[tuple[Address, Sequence[Live]]]) -> bool:
    """Whether an apply that did not end may have created one of these nested objects: another stack may own it."""
    known = observed.state
    return any(lives and address in known.intents and address not in known.ids for address, lives in found)


def with_nested(
    observed: Observed,
    manifest: Manifest,
    found: Sequence[tuple[Address, Sequence[Live]]],
    others: Others = Others(),  # noqa: B008
) -> Observed:
    """`observed` with the nested objects of the stack. `found`: an address, and all objects below its owner."""
    objects, taken = dict(observed.objects), {*observed.state.ids.values(), *others.ids}
    for address, lives in found:
        nested = _nested(address, manifest.objects.get(address), observed.state, lives, taken)
        if nested is not None:
            taken.add(nested.id)
            mark = observed.state.marks.get(address, Mark())
            objects[address] = replace(nested, address=address, stack=manifest.stack, marked=True, mark=mark)
    return replace(observed, objects=objects)


def _nested(
    address: Address, desired: Desired | None, state: State, lives: Sequence[Live], taken: Collection[str]
) -> Live | None:
    """The object with the id in the state; or, after an intent, an object as declared whose id is not `taken`."""
    id = state.ids.get(address)
    if id is not None and (known := next((live for live in lives if live.id == id), None)):
        return known
    if desired is None:
        return None
    if id is not None and desired.values.get("at") is not None:  # it has run, and the server deleted it
        line = kinds()[desired.kind].owner_line()
        return Live(desired.kind, id, "", {**desired.values, line.name if line else "": id.split("/")[0]})
    same = [live for live in lives if live.id not in taken and live.name == desired.values.get("name")]
    return same[0] if same and address in state.intents else None


# --- objects that the server creates along with others ---------------------------------------------------------------


def discoverable(observed: Observed, manifest: Manifest) -> list[tuple[Desired, Live]]:
    """Declared objects that are created along with, or offered by, an existing object; each with that object."""
    before = {entry.new: entry.old for entry in manifest.moved}
    found = []
    for desired in manifest.objects.values():
        new = desired.discovered_from
        source = new and (observed.objects.get(new) or observed.objects.get(before.get(new, new)))
        if source:
            found.append((desired, source))
    return found


def lost_companions(observed: Observed, manifest: Manifest) -> list[tuple[Live, str, Address]]:
    """Objects that an interrupted apply let the server create along with another object, and did not mark.

    The mark of that other object shows it. Returns that object, and the kind and address of what was created with it.
    """
    found = []
    for address, live in observed.objects.items():
        fields = [line.name for line, _ in kinds()[live.kind].relations(Companions) if line.name in live.mark.base]
        if fields and live.stack == manifest.stack:
            for field, kind, companion in companions(address):
                known = companion in observed.objects or companion in manifest.objects
                if not known and live.mark.base.get(field, digest(False)) != digest(False):
                    found.append((live, kind, companion))
    return found


def with_companion(
    observed: Observed, manifest: Manifest, address: Address, live: Live, blocks: tuple[Live, ...]
) -> Observed:
    """`observed` with such an object at its address, unless another stack owns it."""
    if live.stack is not None:
        return observed
    observed = _with_own_blocks(observed, manifest, address, live, blocks)
    companion = replace(live, address=address, stack=manifest.stack)
    return replace(observed, objects={**observed.objects, address: companion})


def with_offered(observed: Observed, desired: Desired, offered: Sequence[Live]) -> Observed:
    """`observed` with an external object that another object offers by name, such as a tool of an MCP server."""
    external = desired.external
    found = next((live for live in offered if external and live.name == external.name), None)
    if found is None:
        return observed
    used = replace(found, address=desired.address, stack="")
    return replace(observed, objects={**observed.objects, desired.address: used})


def displaced(observed: Observed, address: Address, id: str | None) -> Observed:
    """`observed` with the object at an address as a duplicate, if it is not `id`. Its own blocks are held elsewhere."""
    before = observed.objects.get(address)
    if before is None or before.id == id:
        return observed
    objects, held = dict(observed.objects), dict(observed.held_elsewhere)
    duplicates = (*observed.duplicates, objects.pop(address))
    for part in [each for each in objects if each.parent == address]:
        held[part] = (*held.get(part, ()), objects.pop(part))
    return replace(observed, objects=objects, held_elsewhere=held, duplicates=duplicates)


def with_discovered(
    observed: Observed, manifest: Manifest, desired: Desired, live: Live, blocks: tuple[Live, ...]
) -> Observed:
    """`observed` with an object that the server created along with another one, at its declared address."""
    address = desired.address
    if live.stack not in (None, manifest.stack):
        problem = replace(of_another_stack(live, address, desired.place), hint=None)  # its creator is of this stack
        return replace(observed, problems=(*observed.problems, problem))
    observed = _with_own_blocks(observed, manifest, address, live, blocks)
    claimed = live.address or address
    objects = dict(observed.objects)
    objects.setdefault(claimed, replace(live, address=claimed, stack=manifest.stack))
    return replace(observed, objects=objects, discovered={**observed.discovered, address: live.id})


def _with_own_blocks(
    observed: Observed, manifest: Manifest, address: Address, owner: Live, blocks: tuple[Live, ...]
) -> Observed:
    """`observed` with the blocks of an object that was found after the lists were sorted.

    An apply that was killed before it marked all of them left own blocks marked and their owner unmarked.
    """
    own = {block.address: block for block in blocks if block.address and _is_part(block, address, manifest.stack)}
    ids = {block.id for block in own.values()}
    held = {a: tuple(b for b in lives if b.id not in ids) for a, lives in observed.held_elsewhere.items()}
    return replace(
        observed,
        objects={**observed.objects, **own},
        attached={**observed.attached, owner.id: blocks},
        held_elsewhere={a: lives for a, lives in held.items() if lives},
    )
