"""The agents of a file of lettactl to declarations: their blocks, tools, folders, archive and conversations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.lettactl.fields import (
    AGENT,
    ARCHIVE,
    BLOCK,
    CONVERSATION,
    DEFAULT_TOOLS,
    FOLDER,
    MCP_TOOLS,
    MEMORY,
    MODEL,
    PROMPT,
    TOOL,
)
from lettaform.lettactl.objects import Objects, is_handle
from lettaform.lettactl.reading import Document, Reading
from lettaform.lettactl.texts import Texts, prompt
from lettaform.manifest.node import Node
from lettaform.manifest.problems import suggest
from lettaform.values import Ref


class Agents:
    """Declares the agents of one file."""

    def __init__(
        self, document: Document, reading: Reading, objects: Objects, model: str | None, embedding: str | None
    ) -> None:
        """`model`, `embedding`: in place of those of the file."""
        self.document, self.reading, self.objects = document, reading, objects
        self.model, self.embedding = model, embedding
        self.texts = Texts(document, reading)
        self.sources = dict(_sources(document))

    def declare(self, name: str, path: str, node: Node) -> None:
        """Declare an agent, with what belongs to it."""
        address = self.objects.take("agent", name, node)
        values = self.objects.copied(node, path, AGENT, address)
        values |= self._prompt(node, path, address) | self._model(node, path, address)
        values |= self.objects.embedding(node, path, self.embedding)
        values |= {
            "memory": self._memory(node, path, address),
            "blocks": self._blocks(node, path),
            "tools": self._tools(node, path),
            "folders": self._folders(node, path, values.get("embedding")),
            "archive": self._archive(node, path, values.get("embedding")),
            "secrets": self._secrets(node, path, address),
        }
        self._note_memory(node, path)
        if "lettabot" in node.map:
            self.objects.connections.conceal_below(node.map["lettabot"])
        values = {key: value for key, value in values.items() if value not in (None, [], {})}
        self.objects.add("agent", name, address, values, path, node)
        for key in AGENT:
            if key in node.map:
                self.objects.places.setdefault((str(address), _FIELDS.get(key, key)), node.at(key))
        self._conversations(node, path, address)

    # --- prompt and model

    def _prompt(self, node: Node, path: str, address: Address) -> dict[str, Any]:
        if "system_prompt" not in node.map:
            message = f"{path}: `system_prompt` is missing"
            self.reading.problems.add(message, node.place, "add `system_prompt: {value: …}`")
            return {}
        below = self.reading.below(node, "system_prompt", path, PROMPT)
        text = self.objects.text(below, f"{path}.system_prompt", self.texts, unfence=prompt)
        return {} if text is None else {"system": text}

    def _model(self, node: Node, path: str, address: Address) -> dict[str, Any]:
        below = self.reading.below(node, "llm_config", path, MODEL)
        found = self.objects.copied(below, f"{path}.llm_config", MODEL, address)
        if self.model:  # what belongs to the model of the file, such as its context window, is left out
            return {"model": self.model}
        model = found.get("model")
        if model is None or not is_handle(model):
            got = f"expected `provider/model`, got `{model}`" if model else "is missing"
            place = below.at("model") if model else below.place
            hint = "`lettaform from-lettactl FILE -o DIR --model HANDLE` gives one to all agents"
            self.reading.problems.add(f"{path}.llm_config.model: {got}", place, hint)
        return found

    # --- memory

    def _memory(self, node: Node, path: str, address: Address) -> dict[str, Any]:
        """The own blocks of an agent: label to text, or to a map of its values."""
        found: dict[str, Any] = {}
        for where, each, label in self.reading.named(node, "memory_blocks", path, BLOCK):
            block = address.part("memory", label)
            self.objects.places[str(block), ""] = each.place
            values, is_owned = self.objects.block(each, where, self.texts, block)
            if label in found:
                message = f"{where}: the agent has two blocks `{label}`"
                self.reading.problems.add(message, each.place, "rename one of the two, or remove it")
            found[label] = {**values, **({} if is_owned else {"policy": {"value": "enforce"}})}
        return found

    def _note_memory(self, node: Node, path: str) -> None:
        memory = self.reading.below(node, "memory", path, MEMORY)
        mode = memory.map.get("mode")
        if mode is not None and mode.value == "memfs":
            reason = MEMORY["files"].reason
            hint = "`memory_blocks` become blocks, and the agent gets the tools that edit them"
            self.reading.leave(f"{path}.memory.mode", memory.keys["mode"], reason, hint)
        elif mode is not None and mode.value != "blocks":
            message = f"{path}.memory.mode: expected `blocks` or `memfs`"
            self.reading.problems.add(message, mode.place, suggest(str(mode.value), ("blocks", "memfs")))

    def _blocks(self, node: Node, path: str) -> list[Ref]:
        found = {}
        for name, place in self._texts(node, "shared_blocks", path):
            address = self.objects.address_of("block", name)
            if address is None:
                hint = suggest(name, self.objects.names("block")) or "declare it in `shared_blocks`"
                message = f"{path}.shared_blocks: no file declares a shared block `{name}`"
                self.reading.problems.add(message, place, hint)
            else:
                found[name] = Ref(address)
        return list(found.values())

    # --- tools

    def _tools(self, node: Node, path: str) -> list[Ref | str]:
        found: dict[str, Ref | str] = {}
        if "tools" not in node.map:
            found |= {name: name for name in DEFAULT_TOOLS}
        for number, each in enumerate(self.reading.items(node, "tools", path)):
            for name, source in self._expanded(each, f"{path}.tools.{number}"):
                found.setdefault(name, self._tool(name, f"{path}.tools.{name}", each, source))
        for tool, where, selection in self._mcp_tools(node, path):
            if found.setdefault(tool, ref := self._mcp_tool(tool, where, selection)) != ref:
                reason = f"the agent has another tool `{tool}`, and a server has one of this name"
                self.reading.leave(f"{where}.tools: {tool}", selection.place, reason)
        return list(found.values())

    def _expanded(self, node: Node, path: str) -> Iterator[tuple[str, Node | None]]:
        """Name of each tool that an item of `tools` stands for, and the map that says more of it."""
        if node.text == "tools/*":
            names = self.texts.tools()
            if not names:
                self.reading.leave(f"{path}: tools/*", node.place, "the folder `tools` has no Python files")
            yield from ((name, self.sources.get(name)) for name in names)
        elif isinstance(node.value, dict):
            if self.reading.map(node, path, TOOL) and (name := self.reading.required(node, "name", path)):
                yield name, node
        elif text := self.reading.text(node, path, node.place):
            yield text, self.sources.get(text)

    def _tool(self, name: str, path: str, node: Node, source: Node | None) -> Ref | str:
        """Declare a tool. One without a source must exist on the server."""
        if name in kinds()["tool"].naming.built_in:
            for key in source.map if source else ():
                if key != "name":
                    reason = f"`{name}` is a built-in tool of the server, which has its own source"
                    self.reading.leave(f"{path}.{key}", node.keys[key], reason, "give the tool another name")
            return name
        address = self.objects.take("tool", name, node)
        text = self._source(name, path, node, source)
        if text is None:
            self._existing("tool", name, address, path, node, f"there is no source of it, such as `tools/{name}.py`")
            return Ref(address)
        called = kinds()["tool"].naming.derive({"source": text}) or name
        self.objects.add("tool", name, address, {"source": text}, path, node, called=called)
        self.objects.texts.append((path, text, node.place))
        return Ref(address)

    def _source(self, name: str, path: str, item: Node, source: Node | None) -> str | None:
        given = {key: source.map[key] for key in ("from_file", "source_code") if key in source.map} if source else {}
        for key, node in given.items():
            written = self.reading.text(node, f"{path}.{key}", node.place)
            if written is None:
                return ""
            return written if key == "source_code" else self.texts.text(written, f"{path}.{key}", node.place) or ""
        file = f"tools/{name}.py"
        if "\0" not in file and self.texts.exists(file):
            return self.texts.text(file, path, item.place) or ""
        return None

    def _existing(self, kind: str, name: str, address: Address, path: str, node: Node, why: str) -> None:
        """Declare an object that the server must have."""
        if self.objects.address_of(kind, name) is None:
            self.reading.leave(path, node.place, f"{why}: it is declared with `external: true`, and must exist")
            self.objects.add(kind, name, address, {}, path, node, {"external": True, "name": name})

    def _mcp_tools(self, node: Node, path: str) -> Iterator[tuple[str, str, Node]]:
        """Name, path and selection of each tool of an MCP server that the agent gets."""
        for number, each in enumerate(self.reading.items(node, "mcp_tools", path)):
            where = f"{path}.mcp_tools.{number}"
            if not self.reading.map(each, where, MCP_TOOLS) or not self.reading.required(each, "server", where):
                continue
            tools = each.map.get("tools")
            if tools is None or tools.null or tools.text == "all":
                reason = (
                    f"a manifest names each tool: those of `{each.map['server'].text}` are known to the server alone"
                )
                hint = "declare each below `tools` with `mcp: SERVER`, and name it in `tools` of the agent"
                self.reading.leave(f"{where}.tools", (tools or each).place, reason, hint)
            else:
                yield from ((name, where, each) for name, _ in self._texts(each, "tools", where))

    def _mcp_tool(self, name: str, path: str, node: Node) -> Ref:
        """Declare a tool that an MCP server offers."""
        server = str(node.map["server"].text)
        above = self.objects.address_of("mcp_server", server)
        if above is None:
            above = self.objects.take("mcp_server", server, node)
            place = node.map["server"]
            self._existing("mcp_server", server, above, f"{path}.server", place, "no file declares the MCP server")
        label = f"{server}: {name}"
        address = self.objects.take("tool", label, node, wanted=name)
        self.objects.add("tool", label, address, {"mcp": Ref(above)}, path, node, called=name)
        return Ref(address)

    # --- folders, archive, conversations, secrets

    def _folders(self, node: Node, path: str, embedding: str | None) -> list[Ref]:
        found: dict[str, Ref | None] = {}
        for where, each, name in self.reading.named(node, "folders", path, FOLDER):
            found[name] = self.objects.folder(name, where, each, self.texts, embedding)
        for name, place in self._texts(node, "shared_folders", path):
            found[name] = self.objects.shared_folder(name, f"{path}.shared_folders", place, embedding)
        return [ref for ref in found.values() if ref]

    def _archive(self, node: Node, path: str, embedding: str | None) -> Ref | None:
        every = list(self.reading.named(node, "archives", path, ARCHIVE))
        for where, each, _ in every[1:]:
            self.reading.problems.add(f"{where}: an agent has one archive", each.place, "remove the others")
        for where, each, name in every[:1]:
            known = self.objects.address_of("archive", name)
            address = known or self.objects.take("archive", name, each)
            values = self.objects.copied(each, where, ARCHIVE, address)
            found = self.objects.embedding(each, where, self.embedding)
            model = found.get("embedding") or embedding
            if known is None:
                values |= {"embedding": model} if model else {}
                self.objects.add("archive", name, address, values, where, each)
            return Ref(address)
        return None

    def _conversations(self, node: Node, path: str, agent: Address) -> None:
        for number, each in enumerate(self.reading.items(node, "conversations", path)):
            where = f"{path}.conversations.{number}"
            if not self.reading.map(each, where, CONVERSATION):
                continue
            summary = self.reading.required(each, "summary", where)
            if summary is None:
                continue
            label = f"{agent}: {summary}"
            address = self.objects.take("conversation", label, each, wanted=summary)
            values = {"agent": Ref(agent), **self.objects.copied(each, where, CONVERSATION, address)}
            self.objects.add("conversation", label, address, values, where, each, called=summary)

    def _secrets(self, node: Node, path: str, address: Address) -> dict[str, Any]:
        """The secrets of an agent, after those of all agents."""
        connections, found = self.objects.connections, dict[str, Any]()
        for above, key, where in ((self.document.root, "global-secrets", ""), (node, "secrets", f"{path}.")):
            child = above.map.get(key)
            if child is not None and not child.null and self.reading.is_map(child, f"{where}{key}"):
                found |= connections.secrets(child, f"{where}{key}", address)
        return found

    # --- lists

    def _texts(self, node: Node, key: str, path: str) -> Sequence[tuple[str, Place]]:
        """The texts of a list, each with its place."""
        items = enumerate(self.reading.items(node, key, path))
        found = [(self.reading.text(each, f"{path}.{key}.{number}", each.place), each.place) for number, each in items]
        return [(text, place) for text, place in found if text]


def _sources(document: Document) -> Iterator[tuple[str, Node]]:
    """Name of a tool to what a file says of it. Other agents of the file name the tool alone; the first one counts."""
    agents = document.root.map["agents"].list if "agents" in document.root.map else []
    tools = (each for agent in reversed(agents) if "tools" in agent.map for each in reversed(agent.map["tools"].list))
    yield from ((str(each.map["name"].text), each) for each in tools if "name" in each.map)


_FIELDS = {
    "system_prompt": "system",
    "llm_config": "model",
    "memory_blocks": "memory",
    "shared_blocks": "blocks",
    "archives": "archive",
}
"""A field of lettactl to the field here that has its value."""
