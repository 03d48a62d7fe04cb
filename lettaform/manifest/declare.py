"""Live objects to what a manifest declares of them: values in the manifest's words, references by key, no defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import (
    AddedByServer,
    AddsTo,
    Companions,
    Contents,
    DiscoveredBy,
    LabelsOf,
    Parts,
    SourceFile,
)
from lettaform.manifest.bodies import companion_fields
from lettaform.manifest.hidden import Hidden
from lettaform.manifest.keys import Keys, clean
from lettaform.model import Live
from lettaform.ownership.unowned import Left, Server
from lettaform.values import UNREAD, Item, Ref


@dataclass(frozen=True)
class Declaration:
    """An object as a manifest declares it.

    values    field to value: plain values, Refs, Raw texts, Items; of own objects, a map of key to values
    settings  keys that are not fields: `external`, `policy`
    id        the id of the object that is adopted under the address; None: it is not known
    name      what people call the object on the server
    is_named  whether the object of this name is adopted, if the server has one
    """

    kind: str
    key: str
    values: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    name: str = ""
    is_named: bool = False

    @property
    def address(self) -> Address:
        """The address in the manifest."""
        return Address.of(kinds()[self.kind].section, self.key)


@dataclass(frozen=True)
class Facts:
    """What is known about a server beside its objects.

    models   handle of a model to the values that it gives a new agent
    schemas  id of an object to the schema that the server derives from its source
    """

    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    schemas: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)


@dataclass
class Declared:
    """The declarations of several objects, the variables for their secrets, and what cannot be declared."""

    declarations: list[Declaration] = field(default_factory=list)
    hidden: Hidden = field(default_factory=Hidden)
    left: list[Left] = field(default_factory=list)


def declare(server: Server, chosen: Sequence[Live], facts: Facts) -> Declared:
    """The declarations of objects, in the order of the sections. `chosen`: the objects, with all their contents."""
    return _Declaring(server, chosen, facts).run()


class _Declaring:
    def __init__(self, server: Server, chosen: Sequence[Live], facts: Facts) -> None:
        self.server, self.facts, self.found = server, facts, Declared()
        self.chosen = {live.id: live for live in chosen}
        self.keys: dict[str, Keys] = {kind: Keys() for kind in kinds()}
        self.names: dict[str, str] = {}
        """Id of an object to its key."""
        self.parts = {live.id for live in chosen if self._owner_of_part(live)}

    def run(self) -> Declared:
        lives = [
            live for live in self.chosen.values() if live.id not in self.parts and not self._cannot_be_declared(live)
        ]
        # what has no name of its own is named after its owner
        for live in sorted(lives, key=lambda live: (_is_nameless(live), live.name, live.id)):
            self._take_key(live)
        for live in lives:
            self._name_companions(live)
        others: dict[str, None] = {}
        for live in lives:
            others |= dict.fromkeys(id for id in self._needed(live) if id not in self.names)
        for id in sorted(others, key=lambda id: (self.server.lives[id].name, id)):
            self._take_key(self.server.lives[id])
        for kind in kinds():
            every = [live for live in lives if live.kind == kind]
            every += [self.server.lives[id] for id in others if self.server.lives[id].kind == kind]
            for live in sorted(every, key=lambda live: (self.names[live.id], live.id)):
                self.found.declarations.append(self.declaration(live))
        return self.found

    def _cannot_be_declared(self, live: Live) -> bool:
        """Whether the object lacks something that a manifest must declare of it."""
        table = kinds()[live.kind]
        for line in table.attrs().values():
            related = line.related(SourceFile)
            if (related and not live.values.get(line.name)) or (line.name == "type" and _is_other_type(table, live)):
                what = (
                    "the server has no source of it" if related else f"no manifest has the type `{live.values['type']}`"
                )
                self.found.left.append(Left(live, what))
                return True
        return False

    # --- keys

    def _take_key(self, live: Live) -> None:
        keys = self.keys[live.kind]
        wanted = clean(live.name, live.kind)
        if _is_nameless(live):
            owner = kinds()[live.kind].owner_line()
            wanted = f"{self.names.get(live.values[owner.name], '')}-{live.kind}".strip("-") if owner else live.kind
        along = [(name, kind) for name, kind in _companion_kinds(live) if live.values.get(name)]
        taken = any(f"{wanted}-{name}".lower() in self.keys[kind].used for name, kind in along)
        key = self.names[live.id] = keys.take(f"{wanted}-2" if taken else wanted)
        for name, kind in along:  # the server creates these along with it
            self.keys[kind].used.add(f"{key}-{name}".lower())

    def _name_companions(self, live: Live) -> None:
        """Note the keys of what the server created along with an object. It is managed with it, and not declared."""
        for name, kind in _companion_kinds(live):
            for id in live.discovered.get(kind, ()) if live.values.get(name) else ():
                self.names.setdefault(id, f"{self.names[live.id]}-{name}")

    def _owner_of_part(self, live: Live) -> str | None:
        """The id of the only object that has a block; None if it stands by itself."""
        holders = self.server.holders.get(live.id, ()) if live.kind == "block" else ()
        return holders[0] if len(holders) == 1 and holders[0] in self.chosen else None

    def _needed(self, live: Live) -> Iterator[str]:
        """The ids of the objects that must be declared so that this one can refer to them."""
        for line in kinds()[live.kind].attrs().values():
            yield from self._members(live, line) if line.to else ()

    def _members(self, live: Live, line: Attr) -> list[str]:
        """The ids of the members of a field that a manifest names, without own blocks and what the server adds."""
        ids = [id for id in live.ids(line.name) if id in self.server.lives]
        return [id for id in ids if id not in self.parts and not self.server.is_built_in(self.server.lives[id])]

    # --- one object

    def declaration(self, live: Live) -> Declaration:
        """What a manifest declares of an object."""
        key = self.names[live.id]
        if live.id not in self.chosen:
            return Declaration(live.kind, key, *self._used(live), name=live.name)
        table = kinds()[live.kind]
        values = self.values(live, key)
        if not table.naming.fields and live.name != key and live.name:
            values = {table.name_field: live.name, **values}
        return Declaration(live.kind, key, values, id=live.id, name=live.name)

    def _used(self, live: Live) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Values and settings of an object that is used and not adopted: another stack owns it, or another object."""
        offered = next(
            (line for line, _ in kinds()[live.kind].relations(DiscoveredBy) if live.values.get(line.name)), None
        )
        if offered is not None:
            by = self._ref(live.values[offered.name])
            name = {} if live.name == self.names[live.id] else {kinds()[live.kind].name_field: live.name}
            return {offered.name: by, **name}, {}
        if live.stack and live.address:
            return {}, {"external": True, "stack": live.stack, "address": str(live.address)}
        return {}, {"external": True, "id": live.id}

    def values(self, live: Live, key: str, only: Sequence[str] | None = None) -> dict[str, Any]:
        """The values of the fields of an object. `only`: these fields."""
        table, found = kinds()[live.kind], dict[str, Any]()
        named = {**live.values, **self._named(live)}
        for name, line in table.attrs().items():
            if (only is not None and name not in only) or name == table.name_field or line.create_only:
                continue
            value = self._value(live, key, line, named)
            if value is not None:
                found[name] = value
        return found | self._switches(live, named) if only is None else found

    def _named(self, live: Live) -> dict[str, list[str]]:
        """The lists of references of an object with names in place of ids."""
        lists = {
            line.name: value
            for line in kinds()[live.kind].attrs().values()
            if line.to and isinstance(value := live.values.get(line.name), list)
        }
        lives = self.server.lives
        return {name: [lives[id].name if id in lives else id for id in ids] for name, ids in lists.items()}

    def _value(self, live: Live, key: str, line: Attr, named: Mapping[str, Any]) -> Any:
        value = live.values.get(line.name)
        where = f"{Address.of(kinds()[live.kind].section, key)}: {line.name}"
        if line.related(Parts):
            return self._own_objects(live, key)
        if line.related(Companions):
            return self._companions(live, line, value)
        if line.related(LabelsOf):
            copies = [self.server.lives[id].name for id in live.discovered.get("block", ()) if id in self.server.lives]
            return sorted(copies) or None
        if value is UNREAD or value is None:
            return None
        if line.to:
            return self._references(live, line, named)
        if line.related(Contents):
            return self._contents(live, line, value)
        if line.secret:
            return self.found.hidden.field(line.name, value, key, where) or None
        if line.embeds and value:
            return self.found.hidden.inside(line.name, value, key, where)
        if line.write is None:
            return None
        value = kinds()[live.kind].without_initial(line.name, named, self._given(live))
        return kinds()[live.kind].normal(line.name, value) if value is not None else None

    def _given(self, live: Live) -> Mapping[str, Any]:
        """The values that the model of an agent, or its source, gives the object."""
        schema = self.facts.schemas.get(live.id)
        derived = {"json_schema": schema} if schema else {}
        return {**self.facts.models.get(str(live.values.get("model")), {}), **derived}

    # --- references

    def _ref(self, id: str) -> Ref | str:
        """A reference to an object; the name of one that every server has."""
        live = self.server.lives[id]
        return Ref(Address.of(kinds()[live.kind].section, self.names[id])) if id in self.names else live.name

    def _references(self, live: Live, line: Attr, named: Mapping[str, Any]) -> Any:
        ids = [
            id
            for id in live.ids(line.name)
            if id in self.server.lives
            if id not in self.parts and (id in self.names or self.server.is_built_in(self.server.lives[id]))
        ]
        if not isinstance(live.values[line.name], list):
            return self._ref(ids[0]) if ids else None
        added = self._added(live, line, named)
        found = [self._ref(id) for id in ids if self.server.lives[id].name not in added]
        order = found if not line.unordered else sorted(found, key=lambda each: (isinstance(each, str), _spelled(each)))
        return order or None

    def _added(self, live: Live, line: Attr, named: Mapping[str, Any]) -> frozenset[str]:
        """The names of the members that the server adds to a list by itself, where it has all of them."""
        have, added = frozenset(named.get(line.name) or ()), set[str]()
        if (by_server := line.related(AddedByServer)) and have.issuperset(base := by_server.at_creation(named)):
            added |= {*base}
        for other, adds in kinds()[live.kind].relations(AddsTo):
            names = adds.fields.get(line.name, ())
            added |= {*names} if live.values.get(other.name) and have.issuperset(names) else set()
        return frozenset(added)

    def _switches(self, live: Live, named: Mapping[str, Any]) -> dict[str, bool]:
        """The switches that keep the server from adding members which the object does not have."""
        found: dict[str, bool] = {}
        for line, added in kinds()[live.kind].relations(AddedByServer):
            if line.to and not frozenset(named.get(line.name) or ()).issuperset(added.at_creation(named)):
                found |= {switch: False for switch, items in added.prevented(named).items() if items}
        return found

    # --- what belongs to an object

    def _own_objects(self, live: Live, key: str) -> dict[str, Any] | None:
        """The own blocks of an agent: label to text, or to a map of its values."""
        found: dict[str, Any] = {}
        blocks = [each for each in self.server.attached.get(live.id, ()) if each.id in self.parts]
        for block in sorted(blocks, key=lambda each: each.name):
            values = self.values(self.chosen[block.id], key)
            short = kinds()["block"].part.short or ""
            found[block.name] = values.get(short, "") if values.keys() <= {short} else {short: "", **values}
        return found or None

    def _companions(self, live: Live, line: Attr, value: Any) -> Any:
        """Whether the server creates other objects along with this one; a map of what differs from what it creates."""
        if not value:
            return None
        found: dict[str, Any] = {}
        for kind, fields in companion_fields(line).items():
            for id in live.discovered.get(kind, ()):
                if other := self.server.lives.get(id):
                    found |= self._of_companion(live, line, other, fields)
        return found or True

    def _of_companion(self, live: Live, line: Attr, other: Live, fields: Sequence[str]) -> dict[str, Any]:
        table = kinds()[other.kind]
        plain = [name for name in fields if not table.attrs()[name].to and not table.attrs()[name].secret]
        values = self.values(other, self.names[live.id], plain)
        if table.name_field in plain and other.name != f"{live.name}-{line.name}":
            values[table.name_field] = other.name
        return {name: value for name, value in values.items() if other.values.get(name) != live.values.get(name)}

    def _contents(self, live: Live, line: Attr, value: Sequence[Item]) -> list[Any] | None:
        """The passages of an archive; the files of a folder that a manifest can declare."""
        contents = line.related(Contents)
        assert contents is not None
        if contents.what == "files":
            return self._files(live, value) or None
        found = list({item.key: item for item in value}.values())
        return [
            each.body["text"] if each.body.keys() <= {"text"} else dict(each.body) for each in found if each.body
        ] or None

    def _files(self, live: Live, value: Sequence[Item]) -> list[Item]:
        found: dict[str, Item] = {}
        for item in sorted(value, key=lambda item: (item.name, item.id or "")):
            why = _unusable(item, found)
            if why is None:
                found[item.name] = item
            else:
                file = replace(live, name=f"{live.name}/{item.name}")
                self.found.left.append(Left(file, f"{why}: the file is not declared"))
        return list(found.values())


def _is_other_type(table: type[Kind], live: Live) -> bool:
    """Whether an object is of a type that only the server creates, such as the group of a sleeptime agent."""
    allowed = getattr(table.model_fields["type"].annotation, "__args__", ())
    return bool(allowed) and live.values.get("type") not in allowed


def _is_nameless(live: Live) -> bool:
    """Whether the name of an object is a digest of its contents."""
    table = kinds()[live.kind]
    return bool(table.naming.fields) and table.owner_line() is not None


def _unusable(item: Item, found: Mapping[str, Item]) -> str | None:
    """Why a manifest cannot declare a file of a folder; None if it can."""
    if not item.body.get("read"):
        return "the server did not read it"
    if "text" not in item.body:
        return "the server no longer has what was uploaded"
    return "the folder has two files of this name" if item.name in found else None


def _spelled(each: Ref | str) -> str:
    return str(each.address) if isinstance(each, Ref) else each


def _companion_kinds(live: Live) -> Iterator[tuple[str, str]]:
    for line, companions in kinds()[live.kind].relations(Companions):
        yield from ((line.name, kind) for kind in companions.kinds)
