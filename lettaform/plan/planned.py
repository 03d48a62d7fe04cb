"""A live agent and the steps of a plan to the agent as the plan leaves it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Parts
from lettaform.model import Attach, Create, Delete, Detach, Live, Observed, Step, Update
from lettaform.values import UNREAD, Item, Patch, Ref, refs, settle

KIND, BLOCK = "agent", "block"


@dataclass(frozen=True)
class Planned:
    """An agent as it will be. Nothing of it is on the server yet, except what has an id.

    values  field to value, with ids in place of references
    blocks  label of each memory block, own or shared, to its fields
    notes   what cannot be as it will be, because it does not exist yet, for people
    """

    values: Mapping[str, Any]
    blocks: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()


def planned(
    address: Address,
    live: Live | None,
    blocks: Sequence[Live],
    steps: Sequence[Step] = (),
    observed: Observed | None = None,
) -> Planned | None:
    """The agent at an address after these steps. None if there is none then.

    live      the agent on the server, with all its fields; None if there is none
    blocks    those that are attached to it
    observed  what the plan was made from: the objects that exist already
    """
    return _Planning(address, live, blocks, steps, observed).agent()


@dataclass
class _Block:
    """A memory block of the agent: its id or the address of what creates it, and its fields."""

    id: str | None
    address: Address | None
    fields: dict[str, Any] = field(default_factory=dict)


class _Planning:
    def __init__(
        self,
        address: Address,
        live: Live | None,
        blocks: Sequence[Live],
        steps: Sequence[Step],
        observed: Observed | None,
    ) -> None:
        self.address, self.live, self.steps = address, live, steps
        self.objects = observed.objects if observed else {}
        self.discovered = observed.discovered if observed else {}
        self.ids = {each.id: at for at, each in self.objects.items()}
        self.creates = {step.address: step for step in steps if isinstance(step, Create)}
        self.values: dict[str, Any] = {}
        self.blocks = [_Block(each.id, self.ids.get(each.id, each.address), _fields(each)) for each in blocks]
        self.notes: dict[str, None] = {}

    def agent(self) -> Planned | None:
        created = self.creates.get(self.address)
        if created is not None:
            self.values, self.blocks = dict(created.fields), []
            for key, fields in created.parts.items():
                self.blocks.append(_Block(None, self.address.part(_parts().name, key), {"label": key, **fields}))
            for member in self.values.pop("blocks", None) or ():
                self.attach_block(member)
        elif self.live is None or any(isinstance(s, Delete) and s.address == self.address for s in self.steps):
            return None
        else:
            self.values = {name: value for name, value in self.live.values.items() if value is not UNREAD}
            # it has what it got at its creation
            self.values |= {"blocks": None, "include_base_tools": False, "include_base_tool_rules": False}
        for step in self.steps:
            self.follow(step)
        self.note_changed_tools()
        values = {name: self.known(name, value) for name, value in self.values.items()}
        found = {str(each.fields.get("label")): each.fields for each in self.blocks}
        known = {label: {n: self.known(f"{label}.{n}", v) for n, v in each.items()} for label, each in found.items()}
        return Planned(values, known, tuple(self.notes))

    def follow(self, step: Step) -> None:
        """Change the agent, or a block of it, as a step does."""
        match step:
            case Update() if step.address == self.address:
                _write(self.values, step.fields)
            case Update() if step.kind == BLOCK:
                for block in self.blocks:
                    if step.address == block.address or (step.id and step.id == block.id):
                        _write(block.fields, step.fields)
            case Create() if step.kind == BLOCK and step.address.parent == self.address:
                self.attach_block(Ref(step.address))
            case Delete() if step.kind == BLOCK:
                self.blocks = [each for each in self.blocks if step.id != each.id]
            case Attach() if step.address == self.address and step.field == "blocks":
                self.attach_block(step.member)
            case Detach() if step.address == self.address and step.field == "blocks":
                self.blocks = [each for each in self.blocks if step.member not in (each.id, each.address)]
            case Attach() | Detach() if step.address == self.address and not isinstance(step.member, Item):
                have = self.values.get(step.field)
                kept = [each for each in (have if isinstance(have, list) else ()) if each != step.member]
                self.values[step.field] = [*kept, step.member] if isinstance(step, Attach) else kept

    def attach_block(self, member: Any) -> None:
        """Add a block by its id, or by a Ref to what creates it, unless the agent has it already."""
        address = member.address if isinstance(member, Ref) else self.ids.get(member)
        if any(address is not None and each.address == address for each in self.blocks):
            return
        live = self.objects.get(address) if address else None
        if (created := self.creates.get(address) if address else None) is not None:
            label = created.address.child or created.address.key
            self.blocks.append(_Block(None, address, {"label": label, **created.fields}))
        elif live is not None:
            self.blocks.append(_Block(live.id, address, _fields(live)))
            for step in self.steps:
                if isinstance(step, Update) and step.address == address:
                    self.follow(step)
        else:
            self.notes[f"without block {member}: its text is not known"] = None

    # --- what does not exist yet

    def known(self, name: str, value: Any) -> Any:
        """A value with ids in place of Refs. Members of a list that do not exist yet are left out."""
        if isinstance(value, list):
            return [self.resolved(each) for each in value if self.exists(name, each)]
        return self.resolved(value) if self.exists(name, value) else None

    def exists(self, name: str, value: Any) -> bool:
        missing = [ref for ref in refs(value) if self.id_of(ref) is None]
        for ref in missing:
            self.notes[f"without {ref.address} in `{name}`: it does not exist yet"] = None
        return not missing

    def resolved(self, value: Any) -> Any:
        return settle(value, lambda ref: self.id_of(ref) or ref)

    def id_of(self, ref: Ref) -> Any:
        """What a Ref stands for; None if that is not known before the apply."""
        live = self.objects.get(ref.address)
        if ref.path != "id":
            value: Any = live.values if live else None
            for name in ref.path.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
            return value
        return live.id if live else self.discovered.get(ref.address)

    def note_changed_tools(self) -> None:
        """Note the tools that the plan changes: copies call what is on the server."""
        mine = {each for each in self.values.get("tools") or () if isinstance(each, str)}
        for step in self.steps:
            if isinstance(step, Update) and step.kind == "tool" and step.fields and step.id in mine:
                self.notes[f"with {step.address} as it is: the copy of an agent calls the tool of the server"] = None


def _parts() -> Attr:
    return next(line for line, _ in kinds()[KIND].relations(Parts))


def _fields(live: Live) -> dict[str, Any]:
    return {name: value for name, value in live.values.items() if value is not UNREAD and value is not None}


def _write(values: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        values[name] = _patched(values.get(name), value) if isinstance(value, Patch) else value


def _patched(have: Any, change: Patch) -> Any:
    """A list or a map after a Patch."""
    if change.entries is not None:
        merged = {**(have or {}), **dict(change.entries)}
        return {key: value for key, value in merged.items() if key not in change.drop and value is not None}
    return list(_members(have or (), change.put, change.drop))


def _members(have: Collection[Any], put: Sequence[Any], drop: Sequence[Any]) -> Iterator[Any]:
    yield from (each for each in have if each not in drop and each not in put)
    yield from put
