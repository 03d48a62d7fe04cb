"""The sections that are not objects, to values, such as `moved`, `imports`, `outputs`, `server` and `limits`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from lettaform.address import Address, Component
from lettaform.errors import Place
from lettaform.kinds import kind_of, kinds, sections
from lettaform.manifest.expand import Expanded
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, described, empty
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import Scope
from lettaform.model import Desired, Import, Limits, Moved, Removed, Server
from lettaform.values import Secret, tainted


def parse_address(node: Node, problems: Problems) -> Address | None:
    """The address in a text; None, and a problem, if it is not an address of a known section."""
    if node.text is None:
        return None
    if parse_component(node) is not None:
        about = "name one object of it, such as `components.KEY.agents.lead`"
        problems.add(f"`{node.text}` is a component, not an object", node.place, about)
        return None
    try:
        address = Address.read(node.text)
    except ValueError:
        example = 'write an address such as `agents.supervisor`, `agents.worker[emea]` or `agents["v1.2"]`'
        problems.add(f"`{node.text}` is not an address", node.place, example)
        return None
    if address.section not in sections():
        hint = suggest(address.section, sections())
        problems.add(f"`{node.text}`: there is no section `{address.section}`", node.place, hint)
        return None
    if kind_of(address) is None:
        problems.add(f"`{node.text}`: `{address.field}` of {address.parent} holds no objects", node.place)
        return None
    return address


def parse_component(node: Node) -> Component | None:
    """The component whose address a text is; None if it is that of an object, or none."""
    try:
        return Component.read(node.text or "")
    except ValueError:
        return None


class Declarations:
    """Reads the sections that are not objects."""

    def __init__(self, root: Node, expanded: Expanded, scope: Scope, *, connects: bool) -> None:
        """`connects`: whether the run sends requests to the server that the manifest names."""
        self.root, self.expanded, self.scope, self.connects = root, expanded, scope, connects
        self.instances, self.problems = expanded.instances, scope.problems

    # --- sections

    def moved(self) -> Iterator[Moved]:
        """Renamed addresses, one for each instance of a renamed `for_each`, and for each object of a component."""
        read = [pair for component, node in self._entries("moved") for pair in self._pairs(component, node)]
        moving = frozenset(old for _, old, _ in read), frozenset(new for _, _, new in read)
        first: dict[Address, Place] = {}
        for node, old, new in read:
            if old in first:
                hint = f"remove one of the two; the other is at {first[old]}"
                self.problems.add(f"`{old}` is moved twice", node.map["from"].place, hint)
            first[old] = node.map["from"].place
            if self._check_movable(old, new, node):
                yield from self._moves(old, new, node, *moving)

    def _pairs(self, component: Component | None, node: Node) -> Iterator[tuple[Node, Address, Address]]:
        """The old and the new addresses that an entry of `moved` names."""
        if not {"from", "to"} <= node.map.keys():
            return
        ends = [parse_component(node.map[key]) for key in ("from", "to")]
        before, after = (each and each.inside(component) for each in ends)
        if before is not None and after is not None:
            yield from self._moved_components(before, after, node)
        elif before is not None or after is not None:
            hint = "both ends are components, or both are objects"
            self.problems.add("an object cannot become a component", node.map["to"].place, hint)
        else:
            old, new = self._address(component, node, "from"), self._address(component, node, "to")
            if old is not None and new is not None:
                yield node, old, new

    def _moved_components(
        self, before: Component, after: Component, node: Node
    ) -> Iterator[tuple[Node, Address, Address]]:
        """The addresses of the objects of a component, before and after it was renamed. Parts follow their objects."""
        here, there = node.map["from"], node.map["to"]
        if before == after:
            self.problems.add(f"`{before}` is moved to itself", there.place, "remove this entry")
        elif before in self.expanded.uses or before in self.expanded.repeated:
            self.problems.add(f"`{before}` is still used", here.place, "remove it from `components`, or this entry")
        elif after in self.expanded.repeated:
            for each in [each for each in self.expanded.uses if each.instance(None) == after]:
                yield from self._moved_objects(before.instance(each.index), each, node)
        elif after in self.expanded.uses:
            yield from self._moved_objects(before, after, node)
        elif after not in self.expanded.unusable and not self.problems.incomplete:
            hint = self.problems.suggest(str(after), "components", [str(each) for each in self.expanded.uses])
            self.problems.add(f"`{after}` is not used", there.place, hint or "add it to `components`")

    def _moved_objects(
        self, before: Component, after: Component, node: Node
    ) -> Iterator[tuple[Node, Address, Address]]:
        for address, instance in self.instances.items():
            inside = address.component is not None and address.component.is_within(after)
            if inside and address.component and not address.parent and not instance.external and not instance.owner:
                yield node, address.in_component(address.component.moved(after, before)), address

    def _moves(
        self, old: Address, new: Address, node: Node, left: frozenset[Address], taken: frozenset[Address]
    ) -> Iterator[Moved]:
        """The moves of one entry. `left`, `taken`: the old and the new addresses of all entries."""
        here, there = node.map["from"], node.map["to"]
        # an address from which one object moves away can be declared again if another object moves to it
        free = old in taken
        if new.top in self.expanded.repeated and old.index is None:
            if old.top in self.instances:
                hint = f"name the instance: `{new.in_instance('KEY')}`"
                self.problems.add(f"`{new.top}` has a `for_each`, and `{old.top}` has none", there.place, hint)
                return
            for instance in self.expanded.instances_of(new.top):
                before, after = old.in_instance(instance.index), new.in_instance(instance.index)
                if after in self.instances and (free or before in taken or self._check_not_declared(before, here)):
                    yield Moved(before, after, node.place)
        elif (free or self._check_not_declared(old, here)) and (new in left or self._check_declared(new, there)):
            yield Moved(old, new, node.place)

    def _check_movable(self, old: Address, new: Address, node: Node) -> bool:
        """Whether an object can get a new address; reports a problem if it cannot."""
        there, instance = node.map["to"].place, self.instances.get(new)
        owner = self.instances.get(new.parent) if new.parent else None
        if old == new:
            self.problems.add(f"`{old}` is moved to itself", there, "remove this entry")
        elif kind_of(old) != kind_of(new):
            hint = f"an object keeps its kind, {kind_of(old)}"
            self.problems.add(f"`{old}` cannot be moved to `{new}`: they are of different kinds", there, hint)
        elif instance is not None and instance.external:
            hint = "remove `external`, or remove this entry"
            self.problems.add(f"`{new}` is external, and no object of this stack can become it", there, hint)
        elif owner is not None and owner.owner is not None:
            hint = f"declare the block in the `memory` of {owner.owner}"
            self.problems.add(f"`{new}` is created by the server, and no other block can become it", there, hint)
        else:
            return True
        return False

    def imports(self, objects: Mapping[Address, Desired]) -> Iterator[Import]:
        """Existing objects that the stack takes over."""
        first: dict[str, Place] = {}
        for _, node in self._entries("imports"):
            address, (id, name) = self._address(None, node, "to"), self._identified(node)
            if address is None or not (id or name) or not self._check_declared(address, node.map["to"]):
                continue
            where = node.map["to"].place
            if address.parent:
                hint = f"attach the block to that agent: the next apply adopts it by its label, `{address.child}`"
                self.problems.add(f"`{address}` is an own block, and comes with {address.parent}", where, hint)
            if name and kinds()[kind_of(address) or ""].requests.below:
                message = f"`{address}`: an object of `{address.section}` has no name on the server"
                self.problems.add(message, node.map["name"].place, "write its `id`")
            if address in objects and objects[address].external is not None:
                message = f"`{address}` is external and cannot be imported"
                self.problems.add(message, where, "remove `external`, or remove this import")
            for text, place in ((str(address), where), *(((id, node.map["id"].place),) if id else ())):
                if text in first:
                    hint = f"remove one of the two; the other is at {first[text]}"
                    self.problems.add(f"`{text}` is imported twice", place, hint)
                first[text] = place
            yield Import(address, id, node.place, name)

    def removed(self) -> Iterator[Removed]:
        """Addresses that are no longer declared."""
        for component, node in self._entries("removed"):
            address, flag = self._address(component, node, "from"), node.map.get("destroy")
            scope = self.scope if component is None else self.expanded.uses[component].scope
            destroy = scope.plain(flag, None, "destroy") if flag is not None else False
            if flag is not None and flag.deferred and destroy is not UNRESOLVED and not isinstance(destroy, bool):
                self.problems.add(f"destroy: expected true or false, got {described(destroy)}", flag.place)
            if address is not None and self._check_not_declared(address, node.map["from"]):
                yield Removed(address, destroy is True, node.place)

    def outputs(self) -> Mapping[str, Any]:
        """Values for plans and reports. Secrets are rejected."""
        node = self.root.map.get("outputs") or empty(self.root.place)
        found = {}
        for key, child in node.map.items():
            if child.tag == UNSET:
                continue
            value = self.scope.value(child)
            if value is not UNRESOLVED and tainted(value):
                hint = "remove it: outputs are shown to everybody who runs a plan"
                self.problems.add(f"outputs.{key}: a secret cannot be used here", node.at(key), hint)
            if value is not UNRESOLVED:
                found[key] = value
        return found

    def server(self) -> Server:
        """The server that the manifest names. Its variables must have values if the run connects to it."""
        node = self.root.map.get("server") or empty(self.root.place)
        given = {key: child for key, child in node.map.items() if child.tag != UNSET}
        with self.scope.needing("everything" if self.connects else "nothing"):
            url = self.scope.text(given["url"], None, "server.url") if "url" in given else None
            project = self.scope.text(given["project"], None, "server.project") if "project" in given else None
            api_key = self._api_key(given["api_key"]) if "api_key" in given else None
        if url is not None and not url.startswith(("http://", "https://")) and given["url"].deferred:
            self.problems.add(f"server.url: expected an http(s) URL, got {described(url)}", given["url"].place)
        if "api_key" in given and "url" not in given:
            message, hint = "server.api_key: needs `url`: the key is sent to no other URL", "add `url` below `server`"
            self.problems.add(message, node.keys["api_key"], hint)
        return Server(url, api_key, project)

    def snapshots(self) -> str | None:
        """The folder of snapshots; None: the default."""
        node = (self.root.map.get("snapshots") or empty(self.root.place)).map.get("to")
        if node is None or node.tag == UNSET:
            return None
        with self.scope.needing("everything" if self.connects else "nothing"):
            text = self.scope.text(node, None, "snapshots.to")
        if text == "":
            self.problems.add("snapshots.to: must not be empty", node.place, "name a folder")
        return text or None

    def keeps_changes(self) -> bool:
        """Whether each apply that changes something takes a snapshot."""
        node = (self.root.map.get("snapshots") or empty(self.root.place)).map.get("before")
        return node is not None and node.text == "apply"

    def limits(self) -> Limits:
        """How much one plan may do. What is not valid, which the form reports, is left out."""
        node = self.root.map.get("limits") or empty(self.root.place)
        names = {each.name for each in fields(Limits)} - {"places"}
        given = {key: child for key, child in node.map.items() if key in names and child.tag != UNSET}
        numbers = {key: child.value for key, child in given.items() if isinstance(child.value, int | None)}
        return Limits(**numbers, places={key: node.at(key) for key in numbers})

    def _api_key(self, node: Node) -> Secret | None:
        value = self.scope.value(node)
        if isinstance(value, Secret):
            return None if value.unset else value
        if isinstance(value, str) and value:
            self.problems.conceal(value)
            return Secret("literal", value)
        if value is not UNRESOLVED:
            hint = "write `api_key: ${env.LETTA_API_KEY}`, or the name of another variable"
            self.problems.add("server.api_key: expected a non-empty text", node.place, hint)
        return None

    # --- entries

    def _entries(self, section: str) -> Iterator[tuple[Component | None, Node]]:
        """The entries of a list of the manifest and of its components, with the component that each is about."""
        roots = [(None, self.root), *((use.component, use.root) for use in self.expanded.uses.values())]
        for component, root in roots:
            if section in root.map:
                yield from ((component, node) for node in root.map[section].list if node.map)

    def _address(self, component: Component | None, node: Node, key: str) -> Address | None:
        """The address that an entry names, which means what it does in the component that has the entry."""
        address = parse_address(node.map[key], self.problems) if key in node.map else None
        return address and address.inside(component)

    def _identified(self, node: Node) -> tuple[str | None, str | None]:
        """The id of an existing object, and its name: one of the two is given."""
        id, name = (self._text(node, key) if key in node.map else None for key in ("id", "name"))
        return id, name

    def _text(self, node: Node, key: str) -> str | None:
        child = node.map[key]
        text = self.scope.text(child, None, key) if child.deferred else child.text
        if text == "":
            self.problems.add(f"{key}: must not be empty", child.place)
        return text

    def _check_declared(self, address: Address, node: Node) -> bool:
        """Whether the manifest declares the object; reports a problem if it does not."""
        unusable = address.instance(None) in self.expanded.unusable
        if address in self.instances or unusable or self.problems.incomplete:
            return True
        choices = [str(each) for each in self.instances if each.section == address.section]
        hint = self.problems.suggest(str(address), "addresses", choices)
        self.problems.add(f"`{address}` is not declared", node.place, hint or f"declare it in `{address.section}`")
        return False

    def _check_not_declared(self, address: Address, node: Node) -> bool:
        """Whether the manifest does not declare the object; reports a problem if it does."""
        if address not in self.instances:
            return True
        hint = f"remove it from `{address.section}`, or remove this entry"
        self.problems.add(f"`{address}` is still declared", node.place, hint)
        return False
