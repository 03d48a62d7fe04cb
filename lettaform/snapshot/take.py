"""Live objects to a snapshot: an agent file per used agent and conversation, and the values of all objects."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from lettaform.address import Address
from lettaform.backend import AgentFiles
from lettaform.errors import NotFound, Problem, ServerError, SnapshotError, Unauthorized
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.model import Live, State
from lettaform.ownership import marks
from lettaform.plan.leaves import shown_live
from lettaform.plan.selection import talkers
from lettaform.snapshot import agent_file
from lettaform.snapshot.folder import NewFolder, complete_or_removed, folders, in_thread, read
from lettaform.snapshot.format import Entry, Header, Scope, Snapshot
from lettaform.values import UNREAD, Item, Secret, digest, tainted

_T = TypeVar("_T")


@dataclass(frozen=True)
class Objects:
    """What a snapshot is to contain.

    lives     objects whose messages and contents are stored, with all fields
    used      objects of others to which they refer
    filled    ids of used objects whose contents are stored, too: archives that agents fill by themselves
    optional  ids of agents and conversations that are stored without messages if the server does not give them
    gone      ids that objects still name and that no longer exist, such as of a deleted agent of a group
    declared  address to the values that the manifest gives the object, which say what may be shown of it
    """

    lives: tuple[Live, ...]
    used: tuple[Live, ...] = ()
    filled: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    state: State | None = None
    declared: Mapping[Address, Mapping[str, Any]] = field(default_factory=dict)


async def take(server: AgentFiles, header: Header, objects: Objects, directory: Path) -> Path:
    """Write a snapshot to a new folder below `directory`. Returns the folder.

    An agent that never ran has no agent file: its values and blocks are all of it. Files are read and written one after
    the other, so that the memory it takes does not grow with their number. What is not complete is removed.

    SnapshotError, with a problem for each, if the server does not give the messages of agents that are not `optional`.
    """
    folder = directory / folder_name(header)
    with complete_or_removed(folder):
        new = NewFolder(folder)
        await in_thread(new.begin)
        writer = _Writer(server, new, header)
        entries = [each async for each in writer.entries(objects)]
        if writer.refused:
            raise _unreadable(objects, writer.refused, header.scope)
        await in_thread(new.end, Snapshot(header, objects.state, tuple(entries), new.files))
    return folder


def folder_name(header: Header) -> str:
    """The name of the folder of a snapshot."""
    return f"{header.stack}-{header.created_at.replace('-', '').replace(':', '')}"


def to_entries(objects: Objects) -> list[Entry]:
    """The entries of a snapshot without files, in their order."""
    used = {live.id for live in objects.used}
    found = [_entry(live, objects.declared, live.id in used) for live in (*objects.lives, *objects.used)]
    return sorted(found, key=_place)


def _place(entry: Entry) -> tuple[bool, str, str, str, str]:
    live = entry.live
    return live.address is None, str(live.address or ""), live.kind, live.name, live.id


def _entry(live: Live, declared: Mapping[Address, Mapping[str, Any]], used: bool) -> Entry:
    """An entry with the object as it may be stored: without secrets, contents, and what every server has."""
    table, known = kinds()[live.kind], shown_live(live, declared.get(live.address, {}) if live.address else {}).values
    values, names = dict[str, Any](), list[str]()
    for name, value in sorted(known.items()):
        line = table.attrs()[name]
        if value is UNREAD or line.related(Contents) or live.name in table.naming.built_in:
            continue
        if line.secret or tainted(value):
            names += _secret_names(name, value)
        else:
            values[name] = value
    return Entry(replace(live, values=values), tuple(names), used=used)


def _secret_names(field: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (f"{field}.{key}" for key in sorted(value))
    elif value or isinstance(value, Secret):
        yield field


# --- what an earlier snapshot holds ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Previous:
    """An earlier snapshot of the same stack on the same server."""

    folder: Path
    snapshot: Snapshot
    entries: Mapping[str, Entry]


def _previous(directory: Path, header: Header) -> _Previous | None:
    """The last snapshot of the stack in a directory, if it can be read."""
    for folder in reversed(folders(directory)):
        if folder.name.startswith(f"{header.stack}-") and folder.name != folder_name(header):
            with suppress(SnapshotError):
                snapshot, url = read(folder), header.url
                if (snapshot.header.stack, snapshot.header.url) == (header.stack, url):
                    return _Previous(folder, snapshot, snapshot.by_id)
    return None


# --- files -----------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes the files of the entries."""

    def __init__(self, server: AgentFiles, new: NewFolder, header: Header) -> None:
        self.server, self.new, self.header = server, new, header
        self.contents: dict[str, str] = {}
        """Id of an object to the sha256 of the file with its contents."""
        self.refused: list[tuple[Entry, str]] = []
        """The agents and conversations whose messages the server did not give, and what it answered."""

    @cached_property
    def previous(self) -> _Previous | None:
        """The last snapshot beside this one. It is read when an agent has an agent file: none that never ran has."""
        return _previous(self.new.path.parent, self.header)

    async def entries(self, objects: Objects) -> AsyncIterator[Entry]:
        """The entries with the names of their files, one after the other. What was deleted meanwhile is left out."""
        every = to_entries(objects)
        names = {entry.live.id: f"{number:03}-{_safe(entry)}" for number, entry in enumerate(every, 1)}
        filled = {live.id for live in objects.lives} | objects.filled
        found: dict[str, Entry] = {}
        # the contents come first: agent files contain them
        for entry in sorted(every, key=lambda each: kinds()[each.live.kind].agent_file is not None):
            with suppress(NotFound):
                whole = await self.with_contents(entry, names, filled)
                taken = await self.with_history(whole, names, found, every)
                if taken.without_messages and entry.live.id not in objects.optional:
                    self.refused.append((entry, taken.without_messages))
                found[entry.live.id] = taken
        for entry in every:
            if entry.live.id in found:
                yield found[entry.live.id]

    async def with_contents(self, entry: Entry, names: Mapping[str, str], filled: Iterable[str]) -> Entry:
        """An entry with the file of its passages or files."""
        live = entry.live
        if live.id not in filled or not kinds()[live.kind].relations(Contents):
            return entry
        items = await self.server.all_items(live)
        name = f"{names[live.id]}.contents.json"
        value = {field: [to_item(item) for item in every] for field, every in items.items()}
        await in_thread(self.new.add, name, value)
        self.contents[live.id] = self.new.files[name].sha256
        return replace(entry, contents=name)

    async def with_history(
        self, entry: Entry, names: Mapping[str, str], found: Mapping[str, Entry], every: list[Entry]
    ) -> Entry:
        """An entry with its agent file and its messages."""
        live, kind = entry.live, kinds()[entry.live.kind]
        talks = live.unused and any(_owner(each.live) == live.id for each in every)  # its messages are theirs
        if entry.used or kind.agent_file is None or (live.unused and not talks):
            return entry
        entry = replace(entry, evidence=self.evidence(entry, every))
        file, messages = f"{names[live.id]}.af", f"{names[live.id]}.messages.json"
        if await in_thread(self.take_over, entry, file, messages):
            return replace(entry, file=file, messages=messages)
        exported, history, refusal = await self.history(live)
        if exported is not None:
            await in_thread(self.new.add, file, agent_file.normal(exported))
        if history is not None:
            await in_thread(self.new.add, messages, history)
        return replace(
            entry,
            file=None if exported is None else file,
            messages=None if history is None else messages,
            evidence="" if refusal else entry.evidence,
            without_messages=refusal,
        )

    async def history(self, live: Live) -> tuple[Any, dict[str, Any] | None, str]:
        """The agent file, the messages, and what the server answers instead of one of them; None for that one.

        The server must answer other requests about the object: otherwise the error is not about its messages.
        """
        exported, refusal = await given(self.server.export(live))
        context = await self.server.context(live)
        listed, second = await given(self.server.messages(live))
        history = None if listed is None else {"context": context, "messages": listed}
        return exported, history, refusal or second

    def take_over(self, entry: Entry, file: str, messages: str) -> bool:
        """Whether the previous snapshot proves to hold the files of this entry. They are linked then."""
        before = self.previous.entries.get(entry.live.id) if entry.evidence and self.previous else None
        if self.previous is None or before is None or before.evidence != entry.evidence:
            return False
        found = [self.previous.folder / old for old in (before.file, before.messages) if old]
        if len(found) < 2 or not all(path.is_file() for path in found):
            return False
        sums, taken = self.previous.snapshot.files, dict(zip((file, messages), found, strict=True))
        for name, path in taken.items():
            self.new.take(name, path)
        if all(self.new.files[name] == sums.get(path.name) for name, path in taken.items()):
            return True
        for name in taken:  # one was changed since
            self.new.drop(name)
        return False

    def evidence(self, entry: Entry, every: list[Entry]) -> str:
        """The digest of all that an agent file depends on: of the bulk reads, and of no request of its own.

        Empty if they do not show whether messages were added. A prompt that was compiled again of equal parts differs
        in the time alone.
        """
        if not entry.live.activity or any(_owner(each.live) == entry.live.id for each in every):
            return ""
        parts: list[Any] = [self.header.server_version, entry.secrets]
        for id, related in _closure(entry.live, {each.live.id: each.live for each in every}):
            if related is None or (related.kind == "folder" and id not in self.contents):
                return ""
            if kinds()[related.kind].agent_file is not None and not related.activity:
                return ""
            mark = marks.metadata(related.mark)
            parts.append([id, related.name, related.values, related.activity, mark, self.contents.get(id)])
        return digest(parts)


async def given(request: Awaitable[_T]) -> tuple[_T | None, str]:
    """What the server gives, or what it answers instead."""
    try:
        return await request, ""
    except (NotFound, Unauthorized):
        raise
    except ServerError as error:
        return None, error.message


def _unreadable(objects: Objects, refused: Sequence[tuple[Entry, str]], scope: Scope) -> SnapshotError:
    """The error that the server does not give the messages of agents. What keeps them comes first."""
    names, problems = talkers(objects.lives), list[Problem]()
    for entry, answer in refused:
        addresses = [shlex.quote(str(address)) for address in names[entry.live.id]]
        remedies = ["repair it on the server: its log names what it cannot read"]
        if addresses and scope == "plan":  # the other verbs have no option that leaves an agent out
            excluded = " ".join(f"--exclude {address}" for address in addresses)
            remedies.append(f"or keep it: leave it out with `{excluded}`")
        if addresses:
            lost = "its messages are lost with it when it is deleted"
            remedies.append(f"or go on without a copy of its messages with `--without-messages {addresses[0]}`: {lost}")
        message = f"{entry.shown}: {answer}"
        address = str(names[entry.live.id][0]) if addresses else None
        problems.append(Problem(message, hint="; ".join(remedies), address=address))
    return SnapshotError("the server does not give all messages; nothing was changed", problems=problems)


def _closure(live: Live, by_id: Mapping[str, Live]) -> list[tuple[str, Live | None]]:
    """An object and all to which it refers, directly or not, by id. None for one that is not in the snapshot."""
    found: dict[str, Live | None] = {}
    waiting = [live.id]
    while waiting:
        id = waiting.pop()
        if id not in found:
            each = found[id] = by_id.get(id)
            waiting += _related(each) if each else []
    return sorted(found.items())


def _related(live: Live) -> list[str]:
    named = [id for name, line in kinds()[live.kind].attrs().items() if line.to for id in live.ids(name)]
    return [*named, *(id for ids in live.discovered.values() for id in ids)]


def _owner(live: Live) -> Any:
    """The id of the agent to which a conversation belongs: no list shows its messages."""
    owner = kinds()[live.kind].owner_line()
    return live.values.get(owner.name) if owner and kinds()[live.kind].agent_file else None


def to_item(item: Item) -> dict[str, Any]:
    """A passage or file as the file of contents holds it."""
    return {"key": item.key, "name": item.name, "body": dict(item.body)}


def _safe(entry: Entry) -> str:
    """A name for files that every file system accepts."""
    return re.sub("[^A-Za-z0-9_-]", "-", entry.live.name)[:60] or entry.live.kind
