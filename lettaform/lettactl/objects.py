"""The objects that files of lettactl declare: each is declared once, under a key of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.traits import DiscoveredBy
from lettaform.lettactl.connections import Connections
from lettaform.lettactl.fields import BLOCK, BUCKET, EMBEDDING, Table
from lettaform.lettactl.reading import Reading
from lettaform.lettactl.texts import Texts
from lettaform.manifest.declare import Declaration, Declared
from lettaform.manifest.emit_text import File
from lettaform.manifest.keys import Keys, clean
from lettaform.manifest.node import Node
from lettaform.manifest.problems import suggest
from lettaform.values import Item, Ref


@dataclass(frozen=True)
class Shared:
    """A shared folder."""

    path: str
    node: Node
    files: list[Item]


class Objects:
    """What is declared so far.

    by_name  kind and name to address and place; of objects below others, the name contains that of the owner
    places   address and field to where a file says it
    texts    path, text and place of each text that is written
    shared   name to shared folder: it is declared with the first agent that has it, and gets its embedding model
    """

    def __init__(self, reading: Reading) -> None:
        self.reading, self.declared = reading, Declared()
        self.connections = Connections(reading, self.declared.hidden)
        self.by_name: dict[tuple[str, str], tuple[Declaration, Place]] = {}
        self.places: dict[tuple[str, str], Place] = {}
        self.texts: list[tuple[str, str, Place]] = []
        self.shared: dict[str, Shared] = {}
        self._keys = {kind: Keys() for kind in kinds()}

    # --- one object

    def take(self, kind: str, name: str, node: Node, wanted: str = "") -> Address:
        """The address of an object: that of an object of the same name, or one with a key of its own."""
        if known := self.by_name.get((kind, name)):
            return known[0].address
        return Address.of(kinds()[kind].section, self._keys[kind].take(clean(wanted or name, kind)))

    def add(
        self,
        kind: str,
        name: str,
        address: Address,
        values: Mapping[str, Any],
        path: str,
        node: Node,
        settings: Mapping[str, Any] = {},
        *,
        called: str = "",
    ) -> None:
        """Declare an object, or check that it is the one that is declared already.

        called  its name on the server, where it is not `name`
        """
        table = kinds()[kind]
        shown = called or name
        own = {} if table.naming.fields or shown == address.key else {table.name_field: shown}
        is_used = "external" in settings
        is_offered = any(line.name in values for line, _ in table.relations(DiscoveredBy))
        declaration = Declaration(
            kind,
            address.key,
            {} if is_used else {**own, **values},
            settings,
            name=shown,
            is_named=not (is_used or is_offered),
        )
        known = self.by_name.setdefault((kind, name), (declaration, node.place))
        if known[0] is declaration:
            self.declared.declarations.append(declaration)
            self.places[str(address), ""] = node.place
        elif "external" in known[0].settings:  # another file has its source
            self.by_name[kind, name] = declaration, node.place
            self.declared.declarations[self.declared.declarations.index(known[0])] = declaration
        elif kind == "agent" or known[0] != declaration:
            message = f"{path}: another {kind} `{name}` is declared at {known[1]}"
            self.reading.problems.add(message, node.place, "rename one of the two, or remove it")

    def address_of(self, kind: str, name: str) -> Address | None:
        """The address of an object that is declared."""
        known = self.by_name.get((kind, name))
        return known[0].address if known else None

    def names(self, kind: str) -> list[str]:
        """The names of the objects of a kind."""
        return [name for each, name in self.by_name if each == kind]

    def copied(self, node: Node, path: str, table: Table, address: Address) -> dict[str, Any]:
        """The fields that go as they are into those of an object."""
        found = {}
        for name, value, place in self.reading.copied(node, path, table):
            found[name] = value
            self.places[str(address), name] = place
            if isinstance(value, str):
                self.texts.append((f"{path}.{name}", value, place))
        return found

    # --- blocks

    def block(self, node: Node, path: str, texts: Texts, address: Address) -> tuple[dict[str, Any], bool]:
        """The values of a block, and whether agents own its text."""
        values = self.copied(node, path, BLOCK, address)
        text = self.text(node, path, texts, f"memory-blocks/{node.map['name'].text}.md")
        owned = self.reading.flag(node, "agent_owned", path)
        if text is not None:
            place = self._source(node)
            self.places[str(address), "value"] = place
            limit, length = values.get("limit"), len(text.text if isinstance(text, File) else text)
            if isinstance(limit, int) and length > limit:
                message = f"{path}: the text has {length} characters, more than its `limit` of {limit}"
                self.reading.problems.add(message, place, "raise `limit`, or shorten the text")
            values = {"value": text, **values}
        elif owned is False:
            hint = "add `policy: {value: enforce}` together with the text"
            self.reading.leave(f"{path}.agent_owned", node.at("agent_owned"), "there is no text to enforce", hint)
            owned = True
        return values, owned is not False

    def text(
        self, node: Node, path: str, texts: Texts, default: str = "", unfence: Callable[[str], str] | None = None
    ) -> str | File | None:
        """The text of a prompt or a block: one of `value`, `from_file` and `from_bucket`.

        default  the file that lettactl reads if there is none of them
        unfence  makes the text that lettactl sends of the one that stands in the file
        """
        given = [key for key in ("value", "from_file", "from_bucket") if key in node.map and not node.map[key].null]
        if len(given) > 1:
            message = f"{path}: `{given[0]}` and `{given[1]}` are both given"
            self.reading.problems.add(message, node.keys[given[1]], "remove one of the two")
            return None
        if given == ["from_bucket"]:
            return None
        if not given:
            return self._default(node, path, texts, default)
        place = node.at(given[0])
        written = self.reading.text(node.map[given[0]], f"{path}.{given[0]}", place)
        if written is None:
            return None
        text = written if given == ["value"] else texts.text(written, f"{path}.from_file", place)
        if text is None:
            return None
        text = unfence(text) if unfence else text
        self.texts.append((path, text, place))
        return text if given == ["value"] else texts.file(written, text)

    def _default(self, node: Node, path: str, texts: Texts, default: str) -> str | File | None:
        if default and texts.exists(default):
            text = texts.text(default, path, node.place)
            if text is None:
                return None
            self.texts.append((path, text, node.place))
            return texts.file(default, text)
        self.reading.problems.add(f"{path}: `value` or `from_file` is missing", node.place, "add `value: …`")
        return None

    def _source(self, node: Node) -> Place:
        key = next((key for key in ("value", "from_file") if key in node.map), None)
        return node.at(key) if key else node.place

    # --- embedding models

    def embedding(self, node: Node, path: str, chosen: str | None) -> dict[str, Any]:
        """The embedding model that an object has. `chosen`: in place of it."""
        config, found = node.map.get("embedding_config"), dict[str, Any]()
        if config is not None and not config.null and self.reading.is_map(config, f"{path}.embedding_config"):
            found = {name: value for name, value, _ in self.reading.copied(config, path, EMBEDDING)}
            for key in config.map:
                if key not in EMBEDDING:
                    reason = "the server knows it from the handle of the model"
                    hint = None if "embedding" in found else "add `embedding: provider/model`"
                    self.reading.leave(f"{path}.embedding_config.{key}", config.keys[key], reason, hint)
        if "embedding" in node.map and not node.map["embedding"].null:
            given = self.reading.text(node.map["embedding"], f"{path}.embedding", node.at("embedding"))
            found |= {"embedding": given} if given else {}
        if chosen:
            return {"embedding": chosen}
        if found.get("embedding") and not is_handle(found["embedding"]):
            message = f"{path}.embedding: expected `provider/model`, got `{found['embedding']}`"
            place = node.at("embedding" if "embedding" in node.map else "embedding_config")
            self.reading.problems.add(
                message, place, "`lettaform from-lettactl FILE -o DIR --embedding HANDLE` gives one to all agents"
            )
        return found

    # --- folders

    def share(self, name: str, path: str, node: Node, texts: Texts) -> None:
        """Note a shared folder."""
        shared = Shared(path, node, self._files(node, path, texts))
        known = self.shared.setdefault(name, shared)
        if known.files != shared.files:
            message = f"{path}: another folder `{name}` is declared at {known.node.place}"
            self.reading.problems.add(message, node.place, "rename one of the two, or remove it")

    def shared_folder(self, name: str, path: str, place: Place, embedding: str | None) -> Ref | None:
        """Declare a shared folder that an agent has, unless another agent has it."""
        shared = self.shared.get(name)
        if shared is None:
            hint = suggest(name, self.shared) or "declare it in `shared_folders`"
            self.reading.problems.add(f"{path}: no file declares a shared folder `{name}`", place, hint)
            return None
        if address := self.address_of("folder", name):
            return Ref(address)
        return self._folder(name, shared.path, shared.node, shared.files, embedding)

    def folder(self, name: str, path: str, node: Node, texts: Texts, embedding: str | None) -> Ref | None:
        """Declare a folder that an agent has. `embedding`: the model of that agent."""
        return self._folder(name, path, node, self._files(node, path, texts), embedding)

    def _folder(self, name: str, path: str, node: Node, files: list[Item], embedding: str | None) -> Ref | None:
        if embedding is None:
            message = f"{path}: a folder needs an embedding model, and the agent has none"
            self.reading.problems.add(
                message,
                node.place,
                "add `embedding` to the agent, or run `lettaform from-lettactl FILE -o DIR --embedding HANDLE`",
            )
            return None
        address = self.take("folder", name, node)
        self.add("folder", name, address, {"embedding": embedding, **({"files": files} if files else {})}, path, node)
        return Ref(address)

    def _files(self, node: Node, path: str, texts: Texts) -> list[Item]:
        found: dict[str, Item] = {}
        for number, each in enumerate(self.reading.items(node, "files", path)):
            if "from_bucket" in each.map:
                self.reading.leave(f"{path}.files.{number}", each.place, BUCKET.reason, BUCKET.instead)
            elif written := self.reading.text(each, f"{path}.files.{number}", each.place):
                for item in texts.uploads(written, path, each.place):
                    known = found.setdefault(item.name, item)
                    if known != item:
                        reason = (
                            f"another file of the folder has the name `{item.name}`, and lettactl keeps one of them"
                        )
                        self.reading.leave(f"{path}: {written}", each.place, reason, "rename one of the files")
        return list(found.values())


def is_handle(text: str) -> bool:
    """Whether a text is the handle of a model, as `provider/model`."""
    first, _, rest = text.partition("/")
    return bool(first and rest)
