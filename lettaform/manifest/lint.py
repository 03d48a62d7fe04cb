"""A Manifest to the warnings that need all of it: what is valid, and probably a mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.kinds import kinds, sections
from lettaform.kinds.agent import WRITING_TOOLS
from lettaform.kinds.block import DESCRIBED
from lettaform.kinds.prompt_size import tokens
from lettaform.kinds.traits import AddedByServer, AddsTo
from lettaform.manifest.components import Definition
from lettaform.manifest.lint_texts import Shown, of_texts, text_of
from lettaform.manifest.node import Node, empty
from lettaform.manifest.uniqueness import name_of
from lettaform.manifest.unused import unused
from lettaform.model import NEAR, Desired, Manifest
from lettaform.values import Ref

LONG_PROMPT = 20_000
"""Number of characters of a long system prompt."""
SAME_TEXT = 80
"""Number of characters from which an equal text of two blocks is no coincidence."""


@dataclass(frozen=True)
class Linted:
    """A manifest and what its rules look up. `root`: its files with the environment merged over them."""

    manifest: Manifest
    root: Node
    parts: Mapping[Address, list[Desired]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[Address, list[Desired]] = {}
        for desired in self.manifest.objects.values():
            if desired.address.parent:
                found.setdefault(desired.address.parent, []).append(desired)
        object.__setattr__(self, "parts", found)

    @cached_property
    def tool_names(self) -> re.Pattern[str]:
        """The names of declared and built-in tools, as words. A name without `_` is also a word of the language."""
        declared = (name_of(each) for each in self.manifest.objects.values() if each.kind == "tool")
        names = {name for name in (*declared, *kinds()["tool"].naming.built_in) if name and "_" in name}
        words = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        return re.compile(rf"(?<![\w./-])(?:{words})(?![\w-]|\.\w)")

    def members(self, desired: Desired, field: str) -> list[Desired]:
        """The declared objects to which a field refers."""
        value = desired.values.get(field)
        refs = (each for each in (value if isinstance(value, list) else ()) if isinstance(each, Ref))
        return [self.manifest.objects[ref.address] for ref in refs if ref.address in self.manifest.objects]

    def blocks(self, agent: Desired) -> list[Desired]:
        """The blocks of an agent, shared ones and its own, without those that are managed elsewhere."""
        every = (*self.parts.get(agent.address, ()), *self.members(agent, "blocks"))
        return [each for each in every if each.external is None]

    def tools(self, agent: Desired) -> frozenset[str] | None:
        """The names of the tools that a new agent has; None if not all are known."""
        names = [name_of(each) for each in self.members(agent, "tools")]
        if any(name is None for name in names):
            return None
        values = {**agent.values, "tools": names}
        lines = kinds()[agent.kind]
        added = lines.attrs()["tools"].related(AddedByServer)
        found = {name for name in (*names, *(added.at_creation(values) if added else ())) if name}
        for line, adds in lines.relations(AddsTo):
            found |= set(adds.fields.get("tools", ()) if agent.values.get(line.name) else ())
        return frozenset(found)


def lint(
    manifest: Manifest, root: Node, whole: Node, shown: Shown, components: Sequence[Definition] = ()
) -> Iterator[Problem]:
    """All warnings about a valid manifest, each with its rule.

    root        the files with the environment merged over them
    whole       the files with all environments
    shown       the path of a file to how people see it
    components  those that it uses
    """
    linted = Linted(manifest, root)
    for desired in manifest.objects.values():
        if desired.external is None:
            for rule in _RULES.get(desired.kind, ()):
                yield from rule(linted, desired)
    yield from of_texts(manifest, whole, shown)
    yield from _equal_texts(manifest.objects.values())
    yield from _equal_names(manifest.objects.values())
    yield from _external_ids(linted)
    yield from _single_items(root, whole)
    yield from unused(manifest, root, whole, [each.root for each in components])


def _warning(desired: Desired, rule: str, path: str, message: str, hint: str) -> Problem:
    """A warning about a field. Its message names no instance, so that all of a `for_each` have the same."""
    place = desired.place_of(path)
    return Problem(f"{path}: {message}", place, hint, str(desired.address), path, "warning", rule=rule)


# --- agents ----------------------------------------------------------------------------------------------------------


def _memory_tool(linted: Linted, agent: Desired) -> Iterator[Problem]:
    tools = linted.tools(agent)
    written = [each for each in linted.blocks(agent) if each.values.get("read_only") is not True]
    if tools is None or not written or tools & WRITING_TOOLS or agent.values.get("sleeptime"):
        return
    hint = "add a tool such as `memory_insert` to `tools`, or set `read_only: true` on the blocks"
    path = "tools" if "tools" in agent.values else "include_base_tools"
    yield _warning(agent, "no-memory-tool", path, "the agent has memory blocks, and no tool that writes them", hint)


def _named_tools(linted: Linted, agent: Desired) -> Iterator[Problem]:
    tools, text = linted.tools(agent), text_of(agent.values.get("system"))
    for name in dict.fromkeys(linted.tool_names.findall(text)) if tools is not None else ():
        if tools is not None and name not in tools:
            message = f"the prompt names the tool `{name}`, which the agent does not have"
            yield _warning(agent, "unattached-tool", "system", message, "add it to `tools`, or change the prompt")


def _prompt_length(linted: Linted, agent: Desired) -> Iterator[Problem]:
    length = len(text_of(agent.values.get("system")))
    if length > LONG_PROMPT:
        message = f"the prompt has {length:,} characters, which are sent with each request"
        hint = "move what is looked up at times to a folder or an archive"
        yield _warning(agent, "long-prompt", "system", message, hint)


def _context(linted: Linted, agent: Desired) -> Iterator[Problem]:
    window = agent.values.get("context_window")
    if not isinstance(window, int):
        return
    limits = (each.values.get("limit") for each in linted.blocks(agent))
    texts = (text_of(each.values.get("value")) for each in linted.blocks(agent))
    blocks = sum(limit if isinstance(limit, int) else len(text) for limit, text in zip(limits, texts, strict=True))
    needed = tokens(blocks + len(text_of(agent.values.get("system"))))
    if needed > window:
        message = f"prompt and memory can take about {needed:,} tokens of {window:,}"
        hint = "raise `context_window`, or lower the `limit` of blocks"
        yield _warning(agent, "memory-exceeds-context", "context_window", message, hint)


# --- blocks ----------------------------------------------------------------------------------------------------------


def _near_limit(linted: Linted, block: Desired) -> Iterator[Problem]:
    value, limit = block.values.get("value"), block.values.get("limit")
    if not isinstance(value, str) or not isinstance(limit, int) or block.values.get("read_only") is True:
        return
    if NEAR * limit <= len(value) <= limit:
        message = f"has {len(value):,} of at most {limit:,} characters, so that agents can add little"
        yield _warning(block, "near-limit", "value", message, "raise `limit`, or shorten the text")


def _no_text(linted: Linted, block: Desired) -> Iterator[Problem]:
    value, fixed = block.values.get("value"), block.values.get("read_only") is True
    if not isinstance(value, str) or value.strip() or (fixed and block.policies.get("value", "enforce") != "enforce"):
        return
    if fixed or _label(block) == "persona":
        why = "is empty, and read-only" if fixed else "is empty, so that the agent has no persona"
        yield _warning(block, "empty-block", "value", why, "write a text, or remove the block")


def _no_description(linted: Linted, block: Desired) -> Iterator[Problem]:
    discovered = block.address.parent is not None and not block.values.keys() - {"label"}
    if discovered or block.values.get("read_only") is True or block.values.get("description"):
        return
    if _label(block) not in DESCRIBED:
        message = "is missing, so that agents are not told what to store in the block"
        yield _warning(block, "block-without-description", "description", message, "add `description: …` to the block")


def _label(block: Desired) -> str:
    return block.address.child or str(block.values.get("label"))


Check = Callable[[Linted, Desired], Iterator[Problem]]
_RULES: Mapping[str, tuple[Check, ...]] = {
    "agent": (_memory_tool, _named_tools, _prompt_length, _context),
    "block": (_near_limit, _no_text, _no_description),
}
"""Kind to the rules about each of its objects."""


# --- several objects -------------------------------------------------------------------------------------------------


def _equal_texts(objects: Collection[Desired]) -> Iterator[Problem]:
    """Shared blocks with the same text. Those of one `for_each` have it on purpose."""
    first: dict[str, Desired] = {}
    for block in (each for each in objects if each.kind == "block" and each.address.parent is None):
        value = block.values.get("value")
        if isinstance(value, str) and len(value.strip()) >= SAME_TEXT:
            other = first.setdefault(value.strip(), block)
            if other.address.declaration != block.address.declaration:
                message = f"is the text of {other.address.declaration}, too"
                hint = "declare one block, and attach it to the agents of both"
                yield _warning(block, "duplicate-block", "value", message, hint)


_NAMED = ("agent", "archive")
"""Kinds whose objects people tell apart by names that the server does not keep unique."""


def _equal_names(objects: Collection[Desired]) -> Iterator[Problem]:
    first: dict[tuple[str, Any], Desired] = {}
    for desired in (each for each in objects if each.kind in _NAMED and each.external is None):
        name = name_of(desired)
        other = first.setdefault((desired.kind, name), desired)
        if name is not None and other is not desired:
            same = other.address.declaration == desired.address.declaration
            hint = "add `${each.key}` to it" if same else f"rename one of the two; the other is at {other.place}"
            message = f"`{name}` is the name of two {sections_of(desired)} of this stack"
            yield _warning(desired, "duplicate-name", kinds()[desired.kind].name_field, message, hint)


def sections_of(desired: Desired) -> str:
    """What people call several objects of a kind."""
    return kinds()[desired.kind].section


def _external_ids(linted: Linted) -> Iterator[Problem]:
    """External objects by an id that is written literally, where a name would find the same on each server."""
    for desired in linted.manifest.objects.values():
        if desired.address.component is not None:
            continue
        section = linted.root.map.get(desired.address.section)
        body = section.map.get(desired.address.key) if section else None
        node = body.map.get("id") if body else None
        if desired.external and desired.external.id and kinds()[desired.kind].unique and node and not node.deferred:
            message = f"the id of a {desired.kind} is another one on each server"
            yield _warning(desired, "external-by-id", "id", message, "write its `name`, which is unique on a server")


def _single_items(root: Node, whole: Node) -> Iterator[Problem]:
    """A literal `for_each` with one item, unless an environment has another one."""
    environments = (whole.map.get("environments") or empty(whole.place)).map.values()
    for section in sections():
        overlays = [each.map[section] for each in environments if section in each.map]
        for key, body in (root.map.get(section) or empty(root.place)).map.items():
            items = body.map.get("for_each")
            if items is None or len(items.list) + len(items.map) != 1:
                continue
            if not any("for_each" in each.map[key].map for each in overlays if key in each.map):
                address = str(Address.of(section, key))
                hint = "remove `for_each`; an entry of `moved` keeps the object"
                message, place = "for_each: has one item", body.at("for_each")
                yield Problem(message, place, hint, address, "for_each", "warning", rule="single-for-each")
