"""All objects of a server and all states to findings: what nobody owns, equals others, is unused or missing. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lettaform.address import Address
from lettaform.kinds import kind_of, kinds
from lettaform.kinds.traits import Contents, SourceFile
from lettaform.model import Live
from lettaform.ownership.others import Others
from lettaform.ownership.unowned import Server

Sort = Literal["unowned", "duplicate", "equal", "unattached", "unused", "missing"]
SORTS: Mapping[Sort, str] = {
    "unowned": "no stack owns the object",
    "duplicate": "the object carries the mark of an address that the state gives to another object",
    "equal": "several objects have equal content",
    "unattached": "a block that no agent has",
    "unused": "an archive or folder that no agent has",
    "missing": "the state of a stack lists an object that the server does not have",
}
"""What each sort of finding means."""


@dataclass(frozen=True)
class Found:
    """One object of a finding. `name`: None if the server does not have it. `stack`: None if no stack owns it."""

    kind: str
    id: str
    name: str | None = None
    stack: str | None = None
    address: Address | None = None


@dataclass(frozen=True)
class Finding:
    """A finding. Equal objects are several, by name, stack and id; others are one."""

    sort: Sort
    objects: tuple[Found, ...]


@dataclass(frozen=True)
class Audit:
    """What was found on a server.

    stack     that of the manifest; None: there is no manifest
    findings  by sort, kind, name and id
    numbers   kind to stack to the number of its objects; "" for no stack. Without what every server has
    requests  number of requests
    """

    stack: str | None
    url: str
    version: str
    findings: tuple[Finding, ...] = ()
    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    requests: int = 0

    def exit_code(self, *, strict: bool) -> int:
        """1 with `strict` if there is a finding."""
        return int(strict and bool(self.findings))


def findings(server: Server, states: Others, listed: Collection[str], stack: str | None) -> tuple[Finding, ...]:
    """Everything that is found. Of other stacks than `stack`, objects are named as equal alone.

    states  what the states of all stacks say
    listed  the kinds of which all objects are in `server`: of others, it is not known what is missing
    stack   the stack that is audited; None: no stack in particular
    """
    found = [Finding("unowned", (_found(live),)) for live in server.free]
    found += [Finding("duplicate", (_found(live),)) for live in _duplicates(server, states, stack)]
    found += _equal(server, stack)
    found += [
        Finding("unattached" if kind == "block" else "unused", (_found(live),))
        for kind in ("block", *_containers())
        for live in _without_users(server, kind, stack)
    ]
    found += [Finding("missing", (each,)) for each in _missing(server, states, listed, stack)]
    order = list(SORTS)
    return tuple(sorted(found, key=lambda each: (order.index(each.sort), *map(_order, each.objects))))


def _order(found: Found) -> tuple[str, ...]:
    return found.kind, found.name or "", found.stack or "", str(found.address or ""), found.id


def _found(live: Live) -> Found:
    return Found(live.kind, live.id, live.name, live.stack, live.address)


def _is_ours(live: Live, stack: str | None) -> bool:
    """Whether an object may be a finding: no other stack owns it."""
    return live.stack is None or live.stack == stack


def _duplicates(server: Server, states: Others, stack: str | None) -> Iterator[Live]:
    """The objects that claim an address which belongs to another object, such as copies from agent files."""
    for live in server.lives.values():
        if live.stack is not None and live.address is not None and stack in (None, live.stack):
            known = states.addresses.get((live.stack, live.address))
            if known != live.id and known in server.lives and not live.address.parent:
                yield live


def _equal(server: Server, stack: str | None) -> Iterator[Finding]:
    """Blocks and tools with equal content; blocks only with equal labels, too: a label says what the text is for.

    Own blocks that stacks declare are left out: agents that begin with one text have a block each.
    """
    groups: dict[tuple[str, str, str], list[Live]] = defaultdict(list)
    for live in server.lives.values():
        name = _content_field(live.kind)
        content = live.values.get(name) if name else None
        made = live.id in server.creators or server.is_built_in(live)
        if isinstance(content, str) and content.strip() and not made and not (live.address and live.address.parent):
            groups[live.kind, "" if kinds()[live.kind].unique else live.name, content].append(live)
    for group in groups.values():
        if len(group) > 1 and any(_is_ours(live, stack) for live in group):
            yield Finding("equal", tuple(sorted(map(_found, group), key=_order)))


def _content_field(kind: str) -> str | None:
    """The field that holds the content of objects of a kind: the text of a block, the source of a tool."""
    table = kinds()[kind]
    sources = [line.name for line, _ in table.relations(SourceFile)]
    return table.part.short or next(iter(sources), None)


def _containers() -> Iterator[str]:
    """The kinds whose objects contain something for the agents that have them, such as passages or files."""
    return (name for name, kind in kinds().items() if any(True for _ in kind.relations(Contents)))


def _without_users(server: Server, kind: str, stack: str | None) -> Iterator[Live]:
    for live in server.lives.values():
        if (
            live.kind == kind
            and _is_ours(live, stack)
            and not (live.id in server.creators or server.users.get(live.id))
        ):
            yield live


def _missing(server: Server, states: Others, listed: Collection[str], stack: str | None) -> Iterator[Found]:
    """The entries of states whose objects do not exist."""
    for (owner, address), id in states.addresses.items():
        kind = kind_of(address)
        if kind in listed and id not in server.lives and stack in (None, owner):
            yield Found(kind or "", id, None, owner, address)
