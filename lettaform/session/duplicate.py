"""A manifest and the live memory of an object to the files in which a copy of it is declared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lettaform.address import Address
from lettaform.backend import Backend
from lettaform.errors import PlanError, Problem
from lettaform.kinds import kinds
from lettaform.manifest.duplicate import Contents, duplicate
from lettaform.manifest.secret_shapes import find
from lettaform.manifest.write import Reload
from lettaform.model import Desired, Live, Manifest, Observed
from lettaform.session import Session, observe_lists, unknown
from lettaform.session.pull import known_secrets
from lettaform.values import Ref, tainted, walk

COPIED = ("agent", "block", "archive")
"""The kinds of which one object can be declared like another one: their names do not have to be unique."""


@dataclass(frozen=True)
class Duplicated:
    """A copy of a declaration.

    live     whether its memory is what agents made of it, and not the seeds of the manifest
    files    path of each file that changes to its text before and after
    notes    what the copy does not have, and why
    hidden   texts that must not be shown
    written  whether the files have been written
    """

    old: Address
    new: Address
    live: bool = False
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    hidden: tuple[str, ...] = field(default=(), repr=False)
    written: bool = False


@dataclass(frozen=True)
class Memory:
    """Live memory as fields of a declaration, and what is left out of it."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()
    hidden: tuple[str, ...] = ()


def check(manifest: Manifest, old: Address, new: Address) -> Desired:
    """The declaration to copy. PlanError if it cannot be copied, or the new address cannot be used."""
    desired = manifest.objects.get(old)
    if any(address.declaration == old.declaration != address for address in manifest.objects):
        hint = f"add a key to `for_each` of {old.declaration}: each key is a copy"
        raise PlanError(f"{old.declaration} is declared with `for_each`", hint)
    if desired is None or old.parent:
        names = [str(each) for each in manifest.objects if not each.parent]
        raise unknown(str(old), names)
    if desired.kind not in COPIED:
        raise PlanError(f"{old} cannot be copied", "agents, blocks and archives can: other names are unique")
    if desired.external or desired.created_with:
        raise PlanError(f"{old} has no declaration of its own", "copy the object that declares it")
    if new.section != old.section or new.parent or new.path[-1].instance is not None:
        raise PlanError(f"`{new}` cannot be the address of the copy", f"write {old.section}.KEY")
    taken = next((each for each in manifest.objects if each.declaration == new), None)
    if taken is not None:
        raise PlanError(f"{taken} is declared already", "choose another key")
    return desired


def prepare(
    manifest: Manifest, directory: Path, old: Address, new: Address, memory: Memory, reload: Reload
) -> tuple[Mapping[str, tuple[str, str]], Contents]:
    """The texts of the files that change, by the paths that people see, and their contents."""
    desired = manifest.objects[old]
    named = kinds()[desired.kind].name_field
    fields = dict(memory.fields)
    if named == "name" and named in desired.places:  # two agents of one name could not be told apart
        fields[named] = new.key
    contents = duplicate(manifest, directory, old, new, fields, reload)
    here = Path.cwd().resolve()
    shown = {path: path.relative_to(here) if path.is_relative_to(here) else path for path in contents}
    return {shown[p].as_posix(): (a.decode(), b.decode()) for p, (a, b) in contents.items()}, contents


# --- live memory -----------------------------------------------------------------------------------------------------


async def live_memory(session: Session, address: Address) -> Memory:
    """What agents made of the memory of an object. PlanError if it is not on the server."""
    observed = await observe_lists(session, session.manifest)
    live = observed.objects.get(address)
    if live is None:
        hint = "begin with the seeds of the manifest"
        raise PlanError(f"{address} is not on the server, and has no live memory", hint)
    work = _Work(session.manifest, observed, address, known_secrets(session.manifest, observed))
    fields = await work.fields(session.backend, live)
    return Memory(fields, tuple(work.notes), tuple(work.known))


class _Work:
    """The memory of one object, and the notes so far."""

    def __init__(self, manifest: Manifest, observed: Observed, address: Address, known: Mapping[str, str]) -> None:
        self.manifest, self.observed, self.address, self.known = manifest, observed, address, known
        self.desired = manifest.objects[address]
        self.notes: list[Problem] = []

    async def fields(self, backend: Backend, live: Live) -> dict[str, Any]:
        if live.kind == "agent":
            found = dict(self._blocks(live))
            return {"memory": found} if found else {}
        if live.kind == "archive":
            items = (await backend.all_items(live)).get("passages", [])
            found_passages = [_passage(item.body) for item in items if self._is_plain(item.body, "a passage")]
            return {"passages": found_passages} if found_passages else {}
        text = live.values.get("value")
        return {"value": text} if isinstance(text, str) and self._is_plain(text, "`value`") else {}

    def _is_plain(self, value: Any, what: str) -> bool:
        """Whether a live value contains no secret. It would get into a file; what it is copied to has the seed."""
        for text in (each for each in walk(value) if isinstance(each, str)):
            if found := find(text, self.known):
                self._note(f"{what} contains {found.what}, and is not copied as it is on the server")
                return False
        return True

    def _note(self, message: str) -> None:
        self.notes.append(Problem(message, address=str(self.address), severity="warning"))

    def _blocks(self, agent: Live) -> Iterator[tuple[str, Any]]:
        """Key and declaration of each own block of the copy: those that the agent has, declared or not."""
        parts = {each.address: each for each in self.manifest.objects.values() if each.address.parent == self.address}
        owned = {live.id: address for address, live in self.observed.objects.items() if live.kind == "block"}
        attached, shared = self.observed.attached.get(agent.id, ()), self._shared()
        for block in attached:
            address = owned.get(block.id)
            if address in parts:
                yield address.child or block.name, self._declared(parts[address], block)
                continue
            own = block.id not in shared and (address is None or address.parent == self.address)
            if own and self._is_plain(block.values.get("value"), f"the block `{block.name}`"):
                yield block.name, _undeclared(block)
        have = {owned.get(block.id) for block in attached}
        for address in parts.keys() - have:
            self._note(f"the agent no longer has the block `{address.child}`; the copy does not get it")

    def _shared(self) -> Collection[str]:
        """The ids of the shared blocks that the declaration refers to."""
        refs = [each for each in walk(self.desired.values.get("blocks")) if isinstance(each, Ref)]
        return {self.observed.objects[each.address].id for each in refs if each.address in self.observed.objects}

    def _declared(self, part: Desired, block: Live) -> Any:
        """An own block as it is declared, with the text that it has on the server."""
        key = part.address.child
        values = {name: value for name, value in part.values.items() if not (name == "label" and value == key)}
        text = block.values.get("value")
        if isinstance(text, str) and self._is_plain(text, f"the block `{key}`"):
            values["value"] = text
        if any(tainted(value) or isinstance(value, Ref) for value in values.values()):
            hint = "begin with the seeds of the manifest"
            raise PlanError(f"{part.address} contains an expression that cannot be copied", hint)
        if part.policies:
            values["policy"] = dict(part.policies)
        if part.prevent_destroy:
            values["lifecycle"] = {"prevent_destroy": True}
        return values["value"] if values.keys() == {"value"} else values


def _undeclared(block: Live) -> Any:
    """A block that the agent, or somebody else, created."""
    values = {name: block.values.get(name) for name in ("value", "description", "limit", "read_only")}
    initial = kinds()["block"].initial
    kept = {name: value for name, value in values.items() if value and value != initial.get(name)}
    kept.setdefault("value", "")
    return kept["value"] if kept.keys() == {"value"} else kept


def _passage(body: Mapping[str, Any]) -> Any:
    """A passage as it is declared."""
    kept = {name: body[name] for name in ("text", "tags", "metadata") if body.get(name)}
    return kept["text"] if kept.keys() == {"text"} else kept
