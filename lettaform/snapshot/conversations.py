"""The conversations of a snapshot to what they begin with: messages of their agent, values of own blocks. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lettaform.address import Address
from lettaform.backend.listed import Listed, ids_of
from lettaform.kinds import kinds
from lettaform.kinds.base import Never
from lettaform.model import Copy, FieldChange, Live, Observed
from lettaform.plan.leaves import spelled
from lettaform.snapshot.format import Entry, Snapshot
from lettaform.snapshot.messages import Thread, context_keys, thread, whole_history
from lettaform.values import UNREAD, Patch

Load = Callable[[str], Any]
"""The value of a file of a snapshot. Raises SnapshotError."""


@dataclass(frozen=True)
class Seen:
    """What the server has of the conversations of a snapshot, and of their agents.

    messages  id of an agent to its messages, if one of its conversations does not exist
    copies    id of a conversation to its own copies of blocks
    """

    messages: Mapping[str, Listed] = field(default_factory=dict)
    copies: Mapping[str, tuple[Live, ...]] = field(default_factory=dict)


def talks_of(snapshot: Snapshot) -> dict[str, list[Entry]]:
    """Id of an agent to its conversations that have messages, with an address or without."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in snapshot.entries:
        owner = kinds()[entry.live.kind].owner_line()
        whole = entry.messages and not entry.without_messages
        if owner and kinds()[entry.live.kind].agent_file and whole and not entry.used:
            found[str(entry.live.values.get(owner.name))].append(entry)
    return found


# --- messages --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """What an agent or a conversation that is created again begins with.

    history  its messages, as of `Create`; None: it begins without any
    notes    what of its messages is not restored, for people
    """

    history: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


class Histories:
    """The messages of a snapshot, for what is created again."""

    def __init__(
        self,
        snapshot: Snapshot,
        load: Load,
        observed: Observed,
        seen: Seen,
        restored: Collection[Address],
        creators: Mapping[Address, Address],
    ) -> None:
        """`restored`: addresses that are restored. `creators`: address to the object along with which it is created."""
        self.by_id, self.talks, self.load = snapshot.by_id, talks_of(snapshot), load
        self.observed, self.seen, self.restored, self.creators = observed, seen, restored, creators
        self.threads: dict[str, Thread] = {}
        """Id of an agent or a conversation to its messages."""

    def of(self, address: Address, entry: Entry) -> Past:
        """What an object with an agent file begins with. SnapshotError, or another error, if files are not whole."""
        if entry.without_messages:
            return Past(notes=("its messages are not restored: the snapshot was taken without them",))
        if owner := kinds()[entry.live.kind].owner_line():
            return self._of_talk(entry, self.by_id[entry.live.values[owner.name]])
        if creator := self.creators.get(address):
            number = len(self._thread(entry, entry).said)
            why = f"the server creates it along with {creator}"
            return Past(notes=(f"{_its(number)} not restored: {why}",) if number else ())
        return self._of_agent(entry)

    def _thread(self, entry: Entry, agent: Entry) -> Thread:
        if entry.live.id not in self.threads:
            files = self.load(entry.file or ""), self.load(entry.messages or "")
            self.threads[entry.live.id] = thread(*files, agent.live.name)
        return self.threads[entry.live.id]

    def _of_agent(self, entry: Entry) -> Past:
        """All messages that an agent had, also those that were outside its context."""
        own = self._thread(entry, entry)
        talks = [(each, self._thread(each, entry)) for each in self.talks.get(entry.live.id, ())]
        if entry.live.unused and not any(talk.said for _, talk in talks):
            return Past()
        found, lost = whole_history(own.agent, own, [talk for _, talk in talks])
        left = sum(len(talk.said) for each, talk in talks if each.live.address not in self.restored)
        unknown = f"{_its(lost)} not restored: of a type that is not known"
        others = f"{_messages(left)} of conversations that are not restored {_are(left)} in its history"
        return Past(found, (*((unknown,) if lost else ()), *((others,) if left else ())))

    def _of_talk(self, entry: Entry, agent: Entry) -> Past:
        """The messages in the context of a conversation; the others are in the history of its agent."""
        talk, address = self._thread(entry, agent), agent.live.address
        number = len(talk.said)
        if not number:
            return Past()
        if agent.used or address is None:
            return Past(notes=(f"{_its(number)} not restored: its agent does not belong to the stack",))
        live = self.observed.objects.get(address)
        if agent.without_messages or (live is None and (agent.file is None or address in self.creators)):
            return Past(notes=(f"{_its(number)} not restored: those of {address} are not",))
        if live is not None and agent.file and live.id not in self.seen.messages:
            return Past(notes=(f"{_its(number)} not restored: the server cannot list those of {address}",))
        keys = context_keys(talk, self._thread(agent, agent)) if agent.file else None
        if live is not None and (keys is None or ids_of(keys, self.seen.messages.get(live.id, ())) is None):
            return Past(notes=(f"{_its(number)} not restored: {address} no longer has them",))
        if why := self._refused(entry):
            return Past(notes=(f"{_its(number)} in the history of {address} alone: {why}",))
        outside = number - len(keys or ())
        note = f"{_messages(outside)} outside its context {_are(outside)} in the history of {address} alone"
        return Past({"keys": keys} if keys else None, (note,) if outside else ())

    def _refused(self, entry: Entry) -> str | None:
        """Why a server cannot give a conversation messages."""
        if entry.live.discovered.get("block"):
            return "a server gives messages to no conversation with its own copies of blocks"
        if entry.live.kind not in self.observed.capabilities.histories:
            return f"Letta {self.observed.version} has no request that gives a conversation messages"
        return None


def _messages(number: int) -> str:
    return "1 message" if number == 1 else f"{number} messages"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _its(number: int) -> str:
    return f"its {_messages(number)} {_are(number)}"


# --- own copies of blocks --------------------------------------------------------------------------------------------


def copies(
    entry: Entry, by_id: Mapping[str, Entry], live: Live | None, seen: Seen
) -> tuple[dict[str, Copy], list[str]]:
    """Label to what is written to each own copy of a conversation, and notes on those that no longer exist.

    live  the conversation; None if it is created, with all of its copies
    """
    have = {each.name: each for each in seen.copies.get(live.id, ())} if live else {}
    wanted = [by_id[id].live for id in entry.live.discovered.get("block", ()) if id in by_id]
    found, notes = dict[str, Copy](), list[str]()
    for want in sorted(wanted, key=lambda each: each.name):
        now = have.get(want.name)
        if live is not None and now is None:
            notes.append(f"its own copy of `{want.name}` no longer exists, and cannot be created again")
            continue
        changes = tuple(_changed(want, now))
        fields = {each.path.rpartition(".")[2]: _written(each) for each in changes}
        if fields:
            found[want.name] = Copy(now.id if now else None, fields, changes)
    return found, notes


def _changed(want: Live, now: Live | None) -> Iterator[FieldChange]:
    """The fields of an own copy that differ. `now`: None if it is created with values of the agent's block."""
    table = kinds()[want.kind]
    for name, line in table.attrs().items():
        if not line.write or line.create_only or line.secret or name == table.name_field:
            continue
        new, old = want.values.get(name, UNREAD), now.values.get(name, UNREAD) if now else None
        if new is UNREAD or old is UNREAD:
            continue
        if line.additive or line.partial:  # what others have added stays
            new = _added(new or (), old or ())
            differs = bool(new)
        elif now is None:
            differs = new is not None and (name == "value" or new not in ("", [], {}))
        else:
            differs = spelled(table, line, new) != spelled(table, line, old)
            differs, new = differs and (new is not None or line.clear is not Never), line.clear if new is None else new
        if differs:
            yield FieldChange(f"isolated.{want.name}.{name}", old, new, reason="restore")


def _added(new: Any, old: Any) -> Any:
    """The members of a list, or the entries of a map, that another one does not have."""
    if isinstance(new, Mapping):
        held = old if isinstance(old, Mapping) else {}
        return {key: value for key, value in new.items() if key not in held or held[key] != value}
    return [each for each in new if each not in old]


def _written(change: FieldChange) -> Any:
    """A value as it is written: what others add to a list or map stays."""
    if isinstance(change.new, list):
        return Patch(put=tuple(change.new))
    if isinstance(change.new, Mapping):
        return Patch(entries=tuple(change.new.items()))
    return change.new
