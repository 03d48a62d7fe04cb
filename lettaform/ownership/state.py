"""The state of a stack: read from pages, written to pages, planned, and corrected by what an apply did. Pure.

The state is one JSON object. While it is small, one page holds it all. A larger one has a head and pages: an entry goes
to the page that the digest of its key gives, each page has the digest of its content as its id, and the head lists the
ids. Pages never change. Whoever writes adds the new pages first, replaces the head, and then deletes the pages that the
head no longer lists: a write that is killed between two requests leaves the old state or the new one.

A run of one shard of the stack writes a head and pages of its own, and leaves those of other shards alone. Whoever
reads merges all heads. Where two heads of different counts have the same object, the one with the higher serial
decides: runs of two counts never go on at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from secrets import token_hex
from typing import Any, TypeVar

from lettaform.address import Address
from lettaform.errors import Problem, ServerError, Unavailable, UnreadableState
from lettaform.kinds import companions, is_matched, kind_of
from lettaform.model import (
    WHOLE,
    Answer,
    Applied,
    Attach,
    Call,
    Capabilities,
    Create,
    Delete,
    Detach,
    Discover,
    Head,
    Live,
    Manifest,
    Mark,
    Observed,
    Outcome,
    Relocation,
    Shard,
    State,
    Step,
    Update,
    answered,
)
from lettaform.ownership import marks
from lettaform.ownership.shards import Spread
from lettaform.values import Ref, digest, settle

VERSION = 2
"""Of the format of a page."""
PAGE = 150_000
"""Maximum number of characters of one page; an entry that is larger has a page of its own."""
ADDRESS = Address.of("stack", "state")
"""The address that events and plans show for the step that writes the state."""
HISTORY = 50
"""The largest number of runs that the state keeps."""
REBUILD = "`lettaform state rebuild` makes it again from the marks and what can be read"

_T = TypeVar("_T")


# --- pages -----------------------------------------------------------------------------------------------------------


def to_pages(state: State, shard: Shard = WHOLE) -> list[str]:
    """The state as texts, the head first. They are to be written in the order that the module describes.

    shard  the shard of which the state is; the key of a stack is made by the shard 0
    """
    head = {
        "v": VERSION,
        "serial": state.serial,
        "environment": state.environment,
        "key": state.key or (token_hex(16) if shard.index == 0 else None),
        **({"shard": str(shard)} if shard else {}),
    }
    entries = list(_entries(state))
    count = 1
    pages = [_page(entries)]
    # the number of pages doubles, so that few entries change their page
    while max(len(_spell(page)) for page in pages) > PAGE and count < len(entries):
        count *= 2
        parts: list[list[tuple[str, str, Any]]] = [[] for _ in range(count)]
        for entry in entries:
            parts[int(digest(entry[1])[:8], 16) % count].append(entry)
        pages = [_page(part) for part in parts if part]
    if len(pages) == 1:
        return [_spell({**head, "pages": [], **pages[0]})]
    named = {digest(page): page for page in pages}
    return [
        _spell({**head, "pages": sorted(named)}),
        *(_spell({"v": VERSION, "page": id, **page}) for id, page in sorted(named.items())),
    ]


def _entries(state: State) -> Iterable[tuple[str, str, Any]]:
    """Section, key and value of every entry."""
    for address, id in state.ids.items():
        yield "ids", str(address), id
    for address, mark in state.marks.items():
        yield "marks", str(address), marks.metadata(mark)
    for address in state.protected:
        yield "protected", str(address), True
    for address in state.pending:
        yield "pending", str(address), True
    for address, ids in state.carried_over.items():
        yield "carried_over", str(address), list(ids)
    for address, name in state.intents.items():
        yield "intents", str(address), name
    for id, relocation in state.relocated.items():
        places = {"address": str(relocation.address), "before": str(relocation.before)}
        yield "relocated", id, {**places, "base": dict(relocation.base)}
    for old, new in state.moved.items():
        yield "moved", str(old), str(new)
    for id in state.duplicates:
        yield "duplicates", id, True
    for kind in state.kinds:
        yield "kinds", kind, True
    for id, mark in state.tombstones.items():
        yield "tombstones", id, marks.metadata(mark)
    for address, serial in state.written.items():
        yield "written", str(address), serial
    for address, mark in state.matched.items():
        yield "matched", str(address), marks.metadata(mark)
    for address, mark in state.begun.items():
        yield "begun", str(address), marks.metadata(mark)
    for address, owner in state.owners.items():
        yield "owners", str(address), str(owner)
    for run in state.history:
        values = {name: value for name, value in vars(run).items() if value not in ("", False, 0) and name != "serial"}
        yield "history", f"{run.serial} {run.shard}".strip(), {**values, "changes": dict(run.changes)}


def _page(entries: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    page: dict[str, dict[str, Any]] = {}
    for section, key, value in sorted(entries, key=lambda entry: entry[:2]):
        page.setdefault(section, {})[key] = value
    return page


def _spell(page: Mapping[str, Any]) -> str:
    return json.dumps(page, indent=1, ensure_ascii=False)


def from_pages(pages: Mapping[str, str]) -> State:
    """The state from its pages: name of each (the id of its block) to its text.

    UnreadableState if any of it cannot be read. Pages that no head lists are left over from a write that was killed.
    """
    state, faults = salvage(pages)
    if faults:
        problems = [Problem(fault, hint=REBUILD, address=str(ADDRESS)) for fault in faults]
        raise UnreadableState("the state of the stack cannot be read", REBUILD, problems)
    return state


def salvage(pages: Mapping[str, str]) -> tuple[State, tuple[str, ...]]:
    """What can be read of the state, and a line for each fault. UnreadableState if a newer lettaform wrote it."""
    reader = _Reader()
    return reader.state(pages), tuple(reader.faults)


class _Reader:
    """Reads entry by entry, and notes a fault for each that cannot be read."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def state(self, pages: Mapping[str, str]) -> State:
        read = {name: page for name, text in pages.items() if (page := self.page(name, text)) is not None}
        heads = {name: page for name, page in read.items() if "page" not in page}
        heads = dict(sorted(heads.items(), key=lambda item: _number(item[1].get("serial"))))
        parts = {str(page["page"]): name for name, page in read.items() if "page" in page}
        listed = {str(id) for name, page in heads.items() for id in self.listed(name, page)}
        missing = listed - parts.keys()
        for id in sorted(missing):
            self.faults.append(f"the page {id} of the state is missing")
        if parts and not heads:
            self.faults.append("the first page of the state is missing")
        if self.faults:  # which pages are left over cannot be known
            listed = set(parts)
        # a lost answer can leave two heads: the one with the higher serial decides where they differ
        used = {name: read[name] for id, name in parts.items() if id in listed} | heads
        return self.merged(used, exists=bool(pages))

    def page(self, name: str, text: str) -> dict[str, Any] | None:
        try:
            page = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.faults.append(f"{name}: no JSON: {error}")
            return None
        if not isinstance(page, dict) or not isinstance(page.get("v"), int):
            self.faults.append(f"{name}: not a page of a state")
            return None
        if page["v"] > VERSION:
            raise UnreadableState(
                f"{name}: a newer lettaform wrote the state (format {page['v']}, this one reads {VERSION})",
                "use the newer lettaform",
            )
        if page["v"] < VERSION:
            self.faults.append(f"{name}: an older lettaform wrote the state (format {page['v']}, not {VERSION})")
        return page

    def listed(self, name: str, page: Mapping[str, Any]) -> list[Any]:
        pages = page.get("pages")
        if isinstance(pages, list):
            return pages
        self.faults.append(f"{name}: `pages` must be a list")
        return []

    def merged(self, pages: Mapping[str, Mapping[str, Any]], *, exists: bool) -> State:
        parts = list(self.parts(pages))
        spread = Spread({a: owner for part in parts for a, owner in part.sections["owners"].items()})
        sections = {name: _joined(name, parts, spread) for name in _SECTIONS}
        environment = (part.environment for part in reversed(parts) if part.environment)
        # the shard 0 makes the key, and the others take it from there
        keys = (part.key for part in sorted(parts, key=lambda part: (part.shard.index, -part.serial)) if part.key)
        runs = sorted(sections["history"].values(), key=lambda run: (run.serial, run.at))
        return State(
            ids=sections["ids"],
            marks=sections["marks"],
            protected=frozenset(sections["protected"]),
            environment=next(environment, None),
            pending=frozenset(sections["pending"]),
            carried_over=sections["carried_over"],
            key=next(keys, None),
            duplicates=frozenset(sections["duplicates"]),
            kinds=frozenset(sections["kinds"]),
            tombstones=sections["tombstones"],
            intents=sections["intents"],
            relocated=sections["relocated"],
            moved=sections["moved"],
            matched=sections["matched"],
            begun=sections["begun"],
            history=tuple(runs),
            written=sections["written"],
            owners=sections["owners"],
            serial=max((part.serial for part in parts), default=0),
            exists=exists,
            heads=_heads(parts),
        )

    def parts(self, pages: Mapping[str, Mapping[str, Any]]) -> Iterator[_Part]:
        """Every head with the pages that it lists, that with the lowest serial first."""
        rest = {str(page["page"]): name for name, page in pages.items() if "page" in page}
        heads = sorted((name for name in pages if "page" not in pages[name]), key=lambda name: _serial_of(pages[name]))
        listed = {id for name in heads for id in _ids(pages[name])}
        left = [rest[id] for id in sorted(rest.keys() - listed)]  # of heads that cannot be read
        for number, name in enumerate(heads or [""]):
            head = pages.get(name, {})
            names = [name] * bool(heads) + [rest[id] for id in _ids(head) if id in rest]
            sections: dict[str, dict[Any, Any]] = {}
            for section, (key, value) in _SECTIONS.items():
                sections[section] = {}
                for each in (*names, *(left if number == 0 else ())):
                    sections[section] |= self.section(each, section, pages[each].get(section, {}), key, value)
            yield _Part(
                self.shard(name, head),
                self.one(name, "serial", head, int, 0),
                self.one(name, "environment", head, (str, type(None)), None),
                self.one(name, "key", head, (str, type(None)), None),
                sections,
            )

    def shard(self, page: str, values: Mapping[str, Any]) -> Shard:
        try:
            return Shard.parse(str(values["shard"])) if "shard" in values else WHOLE
        except ValueError:
            self.faults.append(f"{page}: `shard` cannot be read")
            return WHOLE

    def section(
        self, page: str, section: str, entries: Any, key: Callable[[Any], Any], value: Callable[[Any], Any]
    ) -> dict[Any, Any]:
        if isinstance(entries, list):  # format 1
            entries = dict.fromkeys(map(str, entries), True)
        if not isinstance(entries, dict):
            self.faults.append(f"{page}: `{section}` must be a map")
            return {}
        read = {}
        for name, entry in entries.items():
            try:
                read[key(name)] = value({"serial": _run(name)[0], **entry} if section == "history" else entry)
            except (ValueError, TypeError, AttributeError, KeyError):
                self.faults.append(f"{page}: the entry `{name}` of `{section}` cannot be read")
        return read

    def one(self, page: str, name: str, values: Mapping[str, Any], kind: Any, default: Any) -> Any:
        value = values.get(name, default)
        if isinstance(value, kind):
            return value
        self.faults.append(f"{page}: `{name}` cannot be read")
        return default


@dataclass(frozen=True)
class _Part:
    """What one head and its pages say."""

    shard: Shard
    serial: int
    environment: str | None
    key: str | None
    sections: Mapping[str, Mapping[Any, Any]]


def _joined(section: str, parts: Sequence[_Part], spread: Spread) -> dict[Any, Any]:
    """A section of all parts. An entry that a later run of other shards has decided about is left out."""
    found: dict[Any, Any] = {}
    for part in parts:
        later = [each.shard for each in parts if each.serial > part.serial and each.shard.count != part.shard.count]
        for key, value in part.sections[section].items():
            address = value.address if isinstance(value, Relocation) else key
            slot = spread.slot(address) if later and isinstance(address, Address) else None
            if slot is None or not any(shard.has(slot) for shard in later):
                found[key] = value
    return found


def _heads(parts: Iterable[_Part]) -> dict[Shard, Head]:
    """What the heads of a state say by themselves. Of two heads of one shard, the last one decides."""
    return {
        part.shard: Head(part.serial, frozenset(part.sections["kinds"]), frozenset(part.sections["tombstones"]))
        for part in parts
    }


def _ids(head: Mapping[str, Any]) -> list[str]:
    """The ids of the pages that a head lists."""
    pages = head.get("pages")
    return [*map(str, pages)] if isinstance(pages, list) else []


def _serial_of(head: Mapping[str, Any]) -> int:
    return _number(head.get("serial"))


def _run(text: str) -> tuple[int, str]:
    """Serial and shard of a run, from its key."""
    serial, _, shard = text.partition(" ")
    return int(serial), shard


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return tuple(map(_text, value))


def _mark(value: Any) -> Mark:
    if not isinstance(value, Mapping) or not all(
        isinstance(value.get(name, {}), Mapping) for name in ("base", "members", "parts")
    ):
        raise ValueError("not a mark")
    return marks.from_metadata(value)


def _relocation(value: Any) -> Relocation:
    base = {path: _text(each) for path, each in value.get("base", {}).items()}
    return Relocation(Address.parse(value["address"]), Address.parse(value["before"]), base)


def _serial(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("not a number")
    return value


def _applied(value: Any) -> Applied:
    """A run. Keys of a later format are left out."""
    known = {each.name: each for each in fields(Applied)}
    found = {name: each for name, each in value.items() if name in known}
    for name, each in found.items():
        kinds = {"serial": int, "failed": int, "dirty": bool, "changes": Mapping}
        if not isinstance(each, kinds.get(name, str)):
            raise ValueError(f"{name} is not what it should be")
    return Applied(**found)


def _true(value: Any) -> bool:
    if value is not True:
        raise ValueError("not true")
    return True


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


_SECTIONS: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "ids": (Address.parse, _text),
    "marks": (Address.parse, _mark),
    "protected": (Address.parse, _true),
    "pending": (Address.parse, _true),
    "carried_over": (Address.parse, _texts),
    "intents": (Address.parse, _text),
    "relocated": (_text, _relocation),
    "moved": (Address.parse, Address.parse),
    "duplicates": (_text, _true),
    "kinds": (_text, _true),
    "tombstones": (_text, _mark),
    "written": (Address.parse, _serial),
    "matched": (Address.parse, _mark),
    "begun": (Address.parse, _mark),
    "owners": (Address.parse, Address.parse),
    "history": (_run, _applied),
}
"""Section of a page to the readers of its keys and of its values."""


# --- planned ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effects:
    """What a plan does to the entries of the state.

    removed       addresses whose object is deleted, replaced, forgotten, or created again
    created       addresses, without parts, that get a new object
    marks         the marks that will be written, of objects that cannot hold them
    called        addresses of objects that must be called
    carried_over  agents that are replaced, and the blocks that go over to their successors
    intents       names of objects that are created and cannot be found by tags
    deleted       ids that are deleted
    kept          addresses of objects that the plan changes or adopts, and their ids
    relocated     relocations that the plan does not finish
    prompts       addresses of changes after which something must be called
    settled       addresses of objects whose calls, due since an earlier apply, no longer concern anything
    matched       the marks of agents that the stack does not own; an empty one: nothing of it stays
    """

    removed: frozenset[Address] = frozenset()
    created: frozenset[Address] = frozenset()
    marks: Mapping[Address, Mark] = field(default_factory=dict)
    called: frozenset[Address] = frozenset()
    carried_over: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    intents: Mapping[Address, str] = field(default_factory=dict)
    deleted: frozenset[str] = frozenset()
    kept: Mapping[Address, str] = field(default_factory=dict)
    relocated: Mapping[str, Relocation] = field(default_factory=dict)
    prompts: frozenset[Address] = frozenset()
    settled: frozenset[Address] = frozenset()
    matched: Mapping[Address, Mark] = field(default_factory=dict)

    def begun(self, old: State) -> dict[Address, Mark]:
        """What is about to be added to these agents."""
        found = {a: _new_members(old.matched.get(a, Mark()), mark) for a, mark in self.matched.items()}
        return {**old.begun, **{a: mark for a, mark in found.items() if mark != Mark()}}


def before(manifest: Manifest, observed: Observed, effects: Effects) -> State | None:
    """The state that is written before anything else; None if it need not be written.

    Objects to delete are removed from it first; otherwise, after a crash, a foreign object of the same name would be
    taken for one of them. Their kinds stay: nothing else may name them. It contains the calls that are due, the blocks
    to carry over, the intents, and the new addresses of objects that move: once it is written, the next apply completes
    the moves.
    """
    old, due = observed.state, _due(manifest, observed, effects)
    known = due.pending <= old.pending and due.carried_over.items() <= old.carried_over.items()
    known = known and due.intents.items() <= old.intents.items() and not observed.readdressed
    known = known and due.begun == dict(old.begun)
    if known and not effects.removed & old.ids.keys():
        return None
    # an object that cannot carry a claim is found by the state alone: it is kept there until it is deleted
    unclaimed = {a for a in effects.removed if (kind := kind_of(a)) and kind not in observed.capabilities.claims}
    ids = {a: id for a, id in old.ids.items() if a not in effects.removed or a in unclaimed}
    # an earlier apply created these and did not save their ids; the state that is written now has no intent for them
    remaining = _remaining(manifest, observed, effects)
    ids |= {a: remaining[a].id for a in old.intents if a in remaining}
    tombstones = {old.ids[a]: mark for a, mark in old.marks.items() if a in effects.removed and a in old.ids}
    return replace(
        due,
        ids=ids,
        marks={a: mark for a, mark in old.marks.items() if a not in effects.removed},
        kinds=old.kinds | due.kinds | {kind for a in effects.removed if (kind := kind_of(a))},
        tombstones={**old.tombstones, **tombstones},
        owners=Spread.of(manifest, observed).owners_of(*ids, *due.intents, *due.pending, *due.carried_over),
    )


def planned(manifest: Manifest, observed: Observed, effects: Effects, *, writes: bool = False) -> State | None:
    """The state that is written after everything else; None if nothing is written and it does not change.

    writes  whether the plan writes anything else: the state then gets one more run in its history

    It does not contain the ids of objects that will be created: `after` adds them.
    """
    old, due = observed.state, _due(manifest, observed, effects)
    remaining = _remaining(manifest, observed, effects)
    declared = {a for a, d in manifest.objects.items() if d.prevent_destroy}
    new = replace(
        due,
        ids={**effects.kept, **{a: live.id for a, live in remaining.items()}},
        marks={a: mark for a, mark in old.marks.items() if a in remaining} | dict(effects.marks),
        protected=frozenset(declared | {a for a in old.protected if a not in manifest.objects and a in remaining}),
        tombstones={},
        relocated=effects.relocated,
        matched={a: mark for a, mark in {**old.matched, **effects.matched}.items() if mark != Mark()},
        begun={a: mark for a, mark in old.begun.items() if a not in effects.matched},
    )
    unchanged = (
        not writes
        and not effects.created
        and not effects.removed & old.ids.keys()
        and not (new.pending or old.pending or new.intents or old.intents or old.tombstones)
        and (new.ids, new.marks, new.protected) == (dict(old.ids), dict(old.marks), old.protected)
        and (new.carried_over, new.environment) == (dict(old.carried_over), old.environment)
        and old.kinds <= new.kinds
        and new.relocated == dict(old.relocated)
        and (new.matched, new.begun) == (dict(old.matched), dict(old.begun))
        and (old.exists or not (new.ids or new.matched))
    )
    if unchanged:
        return None
    named = (*new.ids, *effects.created, *new.intents, *new.pending, *new.carried_over)
    return replace(new, owners=Spread.of(manifest, observed).owners_of(*named))


def is_empty(manifest: Manifest, observed: Observed, effects: Effects) -> bool:
    """Whether the state will have no entries, so that it can be deleted."""
    known = {**observed.state.begun, **observed.state.matched, **effects.matched}
    left = (mark for mark in known.values() if mark != Mark())
    return not any(left) and not (_remaining(manifest, observed, effects) or effects.created or observed.duplicates)


def _due(manifest: Manifest, observed: Observed, effects: Effects) -> State:
    """The present state, with the calls, blocks to carry over and intents of a plan."""
    # blocks of an existing agent are attached to it, and deleted blocks are not carried over
    carried = {
        address: tuple(live.id for live in lives if live.id not in effects.deleted)
        for address, lives in observed.carried_over.items()
    }
    return replace(
        observed.state,
        environment=manifest.environment,
        duplicates=frozenset(each.id for each in observed.duplicates),
        kinds=frozenset(each.kind for each in observed.duplicates),
        pending=observed.state.pending - effects.settled | effects.called,
        carried_over={a: ids for a, ids in {**carried, **effects.carried_over}.items() if ids},
        intents=effects.intents,
        begun=effects.begun(observed.state),
        serial=observed.state.serial + 1,
    )


def _remaining(manifest: Manifest, observed: Observed, effects: Effects) -> dict[Address, Live]:
    """The objects of the stack that the plan keeps."""
    return {
        address: live
        for address, live in observed.objects.items()
        if keeps_id(address, live.kind, observed.capabilities)
        if address not in effects.removed and _is_ours(address, live, manifest)
    }


def keeps_id(address: Address, kind: str, capabilities: Capabilities) -> bool:
    """Whether the state stores the id of an object. It does not for an own block that carries its own claim.

    The address of an agent that the stack does not own says its id.
    """
    return not is_matched(address) and (address.parent is None or kind not in capabilities.claims)


def _is_ours(address: Address, live: Live, manifest: Manifest) -> bool:
    adopted = address in manifest.objects and manifest.objects[address].external is None
    return live.stack == manifest.stack or adopted


def with_addresses(old: State, new: Callable[[Address], Address]) -> State:
    """The state after everything in it got another address."""
    return replace(
        old,
        ids={new(address): id for address, id in old.ids.items()},
        marks={new(address): mark for address, mark in old.marks.items()},
        protected=frozenset(map(new, old.protected)),
        pending=frozenset(map(new, old.pending)),
        carried_over={new(address): blocks for address, blocks in old.carried_over.items()},
        intents={new(address): name for address, name in old.intents.items()},
        written={new(address): serial for address, serial in old.written.items()},
        owners={new(address): new(owner) for address, owner in old.owners.items()},
    )


def without(manifest: Manifest, observed: Observed, forgotten: frozenset[Address]) -> State:
    """The state of all objects but these and their parts."""
    old, capabilities = observed.state, observed.capabilities
    ours = {
        address: live
        for address, live in observed.objects.items()
        if live.stack == manifest.stack and forgotten.isdisjoint((address, address.parent))
    }
    ids = {address: live.id for address, live in ours.items() if keeps_id(address, live.kind, capabilities)}
    return replace(
        old,
        # a lost state does not name the environment that was applied, or the moves that were carried out
        environment=old.environment if old.serial else manifest.environment,
        moved=old.moved if old.serial else {e.old: e.new for e in manifest.moved if e.old in manifest.objects},
        owners=Spread.of(manifest, observed).owners_of(*ids, *old.intents, *old.carried_over),
        ids=ids,
        marks={address: live.mark for address, live in ours.items() if live.kind not in capabilities.marks},
        protected=old.protected & ids.keys(),
        pending=old.pending & ours.keys(),
        duplicates=frozenset(each.id for each in observed.duplicates),
        kinds=frozenset(each.kind for each in observed.duplicates),
        relocated={id: each for id, each in old.relocated.items() if each.address in ours},
        tombstones={},
        matched={a: mark for a, mark in old.matched.items() if forgotten.isdisjoint((a, a.declaration))},
        begun={a: mark for a, mark in old.begun.items() if forgotten.isdisjoint((a, a.declaration))},
        serial=old.serial + 1,
    )


def with_companions(observed: Observed, addresses: Collection[Address]) -> frozenset[Address]:
    """Addresses, and those of what the server created along with the objects there."""
    others = {each for address in addresses for _, _, each in companions(address) if each in observed.objects}
    return frozenset((*addresses, *others))


def _new_members(old: Mark, new: Mark) -> Mark:
    """The members of a mark that another one does not have: objects that do not exist yet by their addresses."""
    members = {
        name: tuple(str(each.address) if isinstance(each, Ref) else each for each in every)
        for name, every in new.members.items()
    }
    added = {name: tuple(e for e in every if e not in old.members.get(name, ())) for name, every in members.items()}
    return Mark({}, {name: every for name, every in added.items() if every})


# --- what an apply did -----------------------------------------------------------------------------------------------


def after(
    planned: State, previous: State, outcomes: Iterable[Outcome], created: frozenset[Address] = frozenset()
) -> State:
    """The planned state, corrected by what an apply did: with new ids, and with what was not written or not deleted.

    previous  the state before the apply
    outcomes  those of all steps, also of steps that never began
    created   the addresses whose new ids are added
    """
    ended = list(outcomes)
    done = [each for each in ended if each.status == "done"]
    undone = [each.step for each in ended if each.status != "done"]
    answers = {each.step.address: each.answer for each in done if _finds(each.step) and each.answer}
    kept = {
        each: previous.ids[each] for each in (step.address for step in undone if _removes(step)) if each in previous.ids
    }
    forgotten = {each.answer.id for each in done if _forgets(each.step) and each.answer}
    ids = {**kept, **planned.ids, **_new_ids(done, created)}
    ids = {address: id for address, id in ids.items() if id not in forgotten}
    stale = {step.address for step in undone if _changes_mark(step)}
    new = {a: previous.marks.get(a) if a in stale else settled(mark, answers) for a, mark in planned.marks.items()}
    new = {**{a: previous.marks.get(a) for a in kept}, **new}
    for address in (step.address for step in undone if isinstance(step, Create)):  # its owner did not get it
        if address.parent and (owner := new.get(address.parent)):
            new[address.parent] = replace(owner, parts={k: v for k, v in owner.parts.items() if k != address.child})
    called = {each.step.address for each in done if isinstance(each.step, Call)}
    called -= {step.address for step in undone if isinstance(step, Call)}
    new_owners = {each.step.address for each in done if isinstance(each.step, Create)}
    unsure = {each.step.address for each in ended if each.error and is_ambiguous(each.error)}
    incomplete = {step.address for step in undone if is_matched(step.address)}
    matched, begun = _matched(planned, previous, answers, incomplete)
    return replace(
        planned,
        ids=ids,
        matched=matched,
        begun=begun,
        marks={address: mark for address, mark in new.items() if mark is not None and address in ids},
        protected=planned.protected | {address for address in previous.protected if address in kept},
        pending=frozenset(a for a in planned.pending if (a in ids or is_matched(a)) and a not in called),
        carried_over={a: blocks for a, blocks in planned.carried_over.items() if a not in new_owners},
        intents={address: name for address, name in planned.intents.items() if address in unsure},
        relocated={**planned.relocated, **previous.relocated} if undone else planned.relocated,
    )


def _matched(
    planned: State, previous: State, answers: Mapping[Address, Answer], incomplete: Collection[Address]
) -> tuple[dict[Address, Mark], dict[Address, Mark]]:
    """What was applied to agents that the stack does not own; where a step is not done, what may have been."""
    matched = {a: settled(mark, answers) for a, mark in planned.matched.items() if a not in incomplete}
    matched |= {a: mark for a, mark in previous.matched.items() if a in incomplete}
    begun = {a: mark for a, mark in planned.begun.items() if a not in incomplete}
    for address in incomplete:
        before = previous.matched.get(address, Mark())
        begun[address] = _new_members(before, planned.matched.get(address, previous.begun.get(address, Mark())))
    return matched, {address: mark for address, mark in begun.items() if mark != Mark()}


def recorded(state: State, run: Applied, outcomes: Iterable[Outcome], shard: Shard = WHOLE) -> State:
    """The state with one more run in its history, and with what the run wrote. `shard`: the one of the run."""
    done = {each.step.address for each in outcomes if each.status == "done" and not isinstance(each.step, Call)}
    done -= {ADDRESS}
    written = {**state.written, **dict.fromkeys(done, state.serial)}
    known = state.ids.keys() | state.matched.keys()
    kept = {a: serial for a, serial in written.items() if not {a, a.parent}.isdisjoint(known)}
    run = replace(run, serial=state.serial, shard=str(shard) if shard else "")
    history = (*state.history, run)[-HISTORY:]
    oldest = history[0].serial
    return replace(state, history=history, written={a: each for a, each in kept.items() if each >= oldest})


def _new_ids(done: Iterable[Outcome], created: frozenset[Address]) -> dict[Address, str]:
    """The ids of new objects at these addresses."""
    return {
        each.step.address: each.answer.id
        for each in done
        if isinstance(each.step, Create | Discover) and each.answer and each.step.address in created
    }


def _finds(step: Step) -> bool:
    return isinstance(step, Create | Discover)


def _removes(step: Step) -> bool:
    return isinstance(step, Delete) or _forgets(step)


def _forgets(step: Step) -> bool:
    return isinstance(step, Update) and step.forget


def _changes_mark(step: Step) -> bool:
    match step:
        case Create() | Attach() | Detach():
            return True
        case Discover() | Update():
            return step.mark is not None
        case _:
            return False


def settled(mark: Mark, answers: Mapping[Address, Answer]) -> Mark:
    """A mark whose digests are computed with the values of the answers."""

    def known(ref: Ref) -> Any:
        try:
            return answered(ref, answers)
        except LookupError:
            return ref

    members = {name: tuple(settle(member, known) for member in each) for name, each in mark.members.items()}
    return replace(mark, base=settle(dict(mark.base), known), members=members)


def is_ambiguous(error: BaseException) -> bool:
    """Whether the server may have acted: unless it refused, or was never reached."""
    if isinstance(error, Unavailable):
        return error.ambiguous
    return isinstance(error, ServerError) and not 400 <= (error.status or 0) < 500


def last_run(state: State, address: Address) -> Applied | None:
    """The last run that wrote an object; None if the state does not keep it any more."""
    serial = state.written.get(address) or (state.written.get(address.parent) if address.parent else None)
    spread = Spread(state.owners)
    runs = (run for run in state.history if run.serial == serial)
    return next((run for run in runs if not run.shard or spread.has(Shard.parse(run.shard), address)), None)
