"""A snapshot to what it lacks: of itself, to be restored, and of the objects that will be deleted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from lettaform.errors import Problem, SnapshotError
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.model import Live
from lettaform.snapshot import agent_file
from lettaform.snapshot.format import Entry, Snapshot
from lettaform.snapshot.messages import thread
from lettaform.values import UNREAD, canonical

Load = Callable[[str], Any]
"""The value of a file of a snapshot. Raises SnapshotError."""


def faults(snapshot: Snapshot, load: Load) -> Iterator[Problem]:
    """What is missing in a snapshot. Warnings are about what the server did not give: it cannot be restored."""
    by_id = snapshot.by_id
    for entry in snapshot.entries:
        yield from _reference_faults(entry, by_id)
        if not entry.used:
            yield from _history_faults(entry, by_id, load)
            yield from _content_faults(entry, load)
    if snapshot.header.scope == "stack":
        yield from _state_faults(snapshot)


def _problem(entry: Entry, message: str, field: str | None = None, *, warning: bool = False) -> Problem:
    address = str(entry.live.address) if entry.live.address else None
    text = f"{entry.shown}: {message}"
    return Problem(text, address=address, field=field, severity="warning" if warning else "error")


def _reference_faults(entry: Entry, by_id: Mapping[str, Entry]) -> Iterator[Problem]:
    """References to objects that the snapshot does not have."""
    if entry.used:
        return
    for name, line in kinds()[entry.live.kind].attrs().items():
        for id in entry.live.ids(name) if line.to else ():
            if id not in by_id:
                yield _problem(entry, f"refers to the {line.to} {id}, which is not in the snapshot", name)


def _history_faults(entry: Entry, by_id: Mapping[str, Entry], load: Load) -> Iterator[Problem]:
    """What the agent file and the messages of an agent or a conversation lack."""
    live, kind = entry.live, kinds()[entry.live.kind]
    if kind.agent_file is None or live.unused:
        return
    if entry.without_messages:
        yield lacking_messages(entry)
        return
    if entry.file is None or entry.messages is None:
        yield _problem(entry, "has no agent file" if entry.file is None else "has no file with its messages")
        return
    try:
        file, history = load(entry.file), load(entry.messages)
    except SnapshotError as error:
        yield _problem(entry, error.message)
        return
    if not isinstance(history, Mapping) or not isinstance(history.get("messages"), list):
        yield _problem(entry, f"{entry.messages} holds no list of messages")
        return
    try:
        agent, blocks, tools = _expected(entry, by_id)
        lost = list(agent_file.lacking(file, agent.name, _known(agent, "system"), blocks, tools))
        if not lost:
            thread(file, history, agent.name)
    except ValueError as error:
        yield _problem(entry, f"{entry.file} and {entry.messages} do not fit each other: {error}")
        return
    except (KeyError, TypeError, AttributeError) as error:
        yield _problem(entry, f"{entry.file} is no agent file ({type(error).__name__})")
        return
    for what in lost:
        yield _problem(entry, f"{entry.file} does not hold {what}")


def lacking_messages(entry: Entry) -> Problem:
    """The warning that a snapshot does not have the messages of an agent or a conversation, and why."""
    message = f"a restore brings it back without its messages: {entry.without_messages}"
    kept = f"; {entry.messages} has them as the server lists them" if entry.messages else ""
    kept += f"; {entry.file} has those in its context" if entry.file else ""
    return _problem(entry, message + kept, warning=True)


def _expected(entry: Entry, by_id: Mapping[str, Entry]) -> tuple[Live, dict[str, Any], dict[str, Any]]:
    """The agent of an agent file, and its blocks and tools as the snapshot has them."""
    owner = kinds()[entry.live.kind].owner_line()
    agent = by_id[entry.live.values[owner.name]].live if owner else entry.live
    held = [by_id[id].live for id in agent.ids("blocks") if id in by_id]
    used = [by_id[id].live for id in agent.ids("tools") if id in by_id]
    blocks = {block.name: _known(block, "value") for block in held}
    return agent, blocks, {tool.name: _known(tool, "source") for tool in used}


def _known(live: Live, field: str) -> Any:
    value = live.values.get(field)
    return None if value is UNREAD else value


def _content_faults(entry: Entry, load: Load) -> Iterator[Problem]:
    """What the file with the passages or files of an object lacks."""
    fields = [line.name for line, _ in kinds()[entry.live.kind].relations(Contents)]
    if not fields:
        return
    if entry.contents is None:
        yield _problem(entry, f"has no file with its {fields[0]}")
        return
    try:
        held = load(entry.contents)
    except SnapshotError as error:
        yield _problem(entry, error.message)
        return
    for name in fields:
        items = held.get(name) if isinstance(held, Mapping) else None
        if not isinstance(items, list) or not all(isinstance(item, Mapping) and "key" in item for item in items):
            yield _problem(entry, f"{entry.contents} holds no list of {name}", name)
            continue
        for item in items:
            if not item.get("body"):
                message = f"`{item.get('name')}` has no content: the server does not give it, and it cannot be restored"
                yield _problem(entry, message, name, warning=True)


def _state_faults(snapshot: Snapshot) -> Iterator[Problem]:
    """Objects that the state names, and that the snapshot does not have."""
    by_id = snapshot.by_id
    for address, id in (snapshot.state.ids if snapshot.state else {}).items():
        if id not in by_id:
            yield Problem(f"{address}: the state names {id}, which is not in the snapshot", address=str(address))


# --- proof -----------------------------------------------------------------------------------------------------------


def unproven(snapshot: Snapshot, expected: Iterable[Entry]) -> Iterator[Problem]:
    """What a snapshot lacks of objects as the server has them now. `expected`: their entries, without files."""
    by_id = snapshot.by_id
    for want in expected:
        have = by_id.get(want.live.id)
        if have is None:
            yield _problem(want, "is not in the snapshot")
            continue
        for name in sorted({*want.live.values, *have.live.values}):
            values = [each.live.values.get(name, UNREAD) for each in (want, have)]
            if any(value is UNREAD for value in values):
                if not all(value is UNREAD for value in values):
                    yield _problem(want, f"`{name}` is not in the snapshot", name)
            elif canonical(values[0]) != canonical(values[1]):
                yield _problem(want, f"`{name}` was changed while the snapshot was taken", name)
        if want.live.activity != have.live.activity:
            yield _problem(want, "got messages while the snapshot was taken")
