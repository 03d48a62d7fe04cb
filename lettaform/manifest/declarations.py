"""What a manifest says beside its objects: what moved, what is adopted, what is gone, what it tells the outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import sections
from lettaform.manifest.expand import Expanded
from lettaform.manifest.node import HOLE, UNSET, Node, described, empty
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import Scope
from lettaform.model import Desired, Import, Moved, Removed
from lettaform.values import tainted


def address(node: Node, problems: Problems) -> Address | None:
    """An address that was written as a text."""
    if node.text is None:
        return None
    try:
        address = Address.parse(node.text)
    except ValueError:
        problems.add(f"`{node.text}` is not an address", node.place, "as in agents.supervisor")
        return None
    if address.section not in sections():
        hint = suggest(address.section, sections())
        problems.add(f"`{node.text}`: there is no section `{address.section}`", node.place, hint)
        return None
    return address


class Beside:
    """The parts of a manifest that are no objects."""

    def __init__(self, root: Node, expanded: Expanded, scope: Scope) -> None:
        self.root, self.expanded, self.scope = root, expanded, scope
        self.instances, self.problems = expanded.instances, scope.problems

    def moved(self) -> Iterator[Moved]:
        sources: dict[Address, Node] = {}
        entries = list(self._entries("moved"))
        chained = {address for node in entries for address in self._pair(node, "from")}
        for node in entries:
            old, new = self._pair(node, "from", "to")
            if old is None or new is None:
                continue
            if old in sources:
                message = f"`{old}` moves twice"
                self.problems.add(message, node.map["from"].place, f"the other stands at {sources[old].place}")
            sources[old] = node.map["from"]
            if (old.section, old.field) != (new.section, new.field):
                self.problems.add(f"`{old}` cannot become `{new}`: they are different kinds", node.map["to"].place)
            elif new in self.expanded.repeated and old.index is None:
                yield from (_with_index(old, one, node) for one in self.expanded.all_of(new))
            elif self._gone(old, node.map["from"]) and (new in chained or self._declared(new, node.map["to"])):
                yield Moved(old, new, node.place)

    def imports(self, objects: Mapping[Address, Desired]) -> Iterator[Import]:
        seen: dict[str, Place] = {}
        for node in self._entries("imports"):
            (address,) = self._pair(node, "to")
            said = node.map.get("id")
            id = None if said is None else self.scope.text(said, None, "id") if said.open else said.text
            if id == "" and said is not None:
                self.problems.add("id: is empty", said.place)
            if address is None or not id or not self._declared(address, node.map["to"]):
                continue
            if address in objects and objects[address].external is not None:
                message = f"`{address}` is external: it is used, and never ours"
                self.problems.add(message, node.map["to"].place, "take `external` away, or this line")
            for what, where in ((str(address), node.map["to"].place), (id, node.map["id"].place)):
                if what in seen:
                    self.problems.add(f"`{what}` is imported twice", where, f"the other stands at {seen[what]}")
                seen[what] = where
            yield Import(address, id, node.place)

    def removed(self) -> Iterator[Removed]:
        for node in self._entries("removed"):
            (address,) = self._pair(node, "from")
            said = node.map.get("destroy")
            destroy = self.scope.plain(said, None, "destroy") if said is not None else False
            if said is not None and said.open and destroy is not HOLE and not isinstance(destroy, bool):
                self.problems.add(f"destroy: expected true or false, got {described(destroy)}", said.place)
            if address is not None and self._gone(address, node.map["from"]):
                yield Removed(address, destroy is True, node.place)

    def outputs(self) -> Mapping[str, Any]:
        """What is told to the outside; never a secret."""
        node = self.root.map.get("outputs") or empty(self.root.place)
        found = {}
        for key, child in node.map.items():
            if child.tag == UNSET:
                continue
            value = self.scope.value(child)
            if value is not HOLE and tainted(value):
                self.problems.add(f"outputs.{key}: a secret cannot stand here", node.at(key), "outputs are shown")
            found[key] = value
        return found

    def url(self) -> str | None:
        """The server that the manifest is for."""
        server = self.root.map.get("server") or empty(self.root.place)
        node = server.map.get("url")
        if node is None or node.tag == UNSET:
            return None
        if not node.open:
            return node.text
        url = self.scope.text(node, None, "server.url")
        if url is not None and not url.startswith(("http://", "https://")):
            self.problems.add(f"server.url: expected an http(s) URL, got {described(url)}", node.place)
        return url

    def _entries(self, key: str) -> Iterator[Node]:
        if key in self.root.map:
            yield from (node for node in self.root.map[key].list if node.map)

    def _pair(self, node: Node, *keys: str) -> list[Address | None]:
        return [address(node.map[key], self.problems) if key in node.map else None for key in keys]

    def _declared(self, address: Address, node: Node) -> bool:
        """Whether the manifest makes this; a problem if it does not."""
        told = address.instance(None) in self.expanded.unusable
        if address in self.instances or told or self.problems.unread:
            return True
        choices = [str(one) for one in self.instances]
        self.problems.add(f"nothing is declared at `{address}`", node.place, suggest(str(address), choices[:2000]))
        return False

    def _gone(self, address: Address, node: Node) -> bool:
        """Whether the manifest makes this no more; a problem if it does."""
        repeated = address.index is None and address in self.expanded.repeated
        if address not in self.instances and not repeated:
            return True
        message = f"`{address}` is still declared"
        self.problems.add(message, node.place, f"take it out of `{address.section}`, or this line away")
        return False


def _with_index(old: Address, new: Address, node: Node) -> Moved:
    return Moved(old.instance(new.index), new, node.place)
