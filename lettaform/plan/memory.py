"""Live agents to what fills their context windows: estimated from lists, or as the server counted it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address, matches
from lettaform.errors import Problem
from lettaform.kinds.prompt_size import Block, Prompt, tokens, tokens_of_tools
from lettaform.model import NEAR, Context, Live, Observed

PARTS = ("system", "blocks", "tools", "files", "rules", "metadata", "summary", "messages")
"""What fills a context window, in the order in which it is shown."""


@dataclass(frozen=True)
class BlockMemory:
    """A memory block in the context of an agent.

    address     of the block, if the stack owns it
    tokens      estimated
    characters  length of its text
    limit       the most characters that its text may have
    """

    label: str
    id: str
    address: Address | None
    tokens: int
    characters: int
    limit: int

    @property
    def share(self) -> float:
        """The part of the limit that is used, from 0 to 1, and more where the text is too long."""
        return self.characters / self.limit if self.limit else 0.0

    @property
    def is_near(self) -> bool:
        """Whether agents can add little to it, or nothing."""
        return self.share >= NEAR


@dataclass(frozen=True)
class AgentMemory:
    """What fills the context window of an agent.

    parts     what it is to its number of tokens; what is not known is missing
    blocks    those with the most characters of their limit first
    window    the most tokens that it can hold; None if that is not known
    messages  number of messages in it; None if that is not known
    counted   whether the server counted; otherwise files, summary and messages are missing, and the rest is estimated
    """

    address: Address
    id: str
    name: str
    model: str
    parts: Mapping[str, int] = field(default_factory=dict)
    blocks: tuple[BlockMemory, ...] = ()
    window: int | None = None
    messages: int | None = None
    counted: bool = False

    @property
    def used(self) -> int:
        """The number of tokens in the context, as far as it is known."""
        return sum(self.parts.values())

    @property
    def share(self) -> float:
        """The part of the window that is used, from 0 to 1, and more where it does not fit."""
        return self.used / self.window if self.window else 0.0

    @property
    def is_near(self) -> bool:
        """Whether the window is nearly full, or too small."""
        return self.share >= NEAR

    @property
    def full_blocks(self) -> tuple[BlockMemory, ...]:
        """The blocks that are near their limit."""
        return tuple(each for each in self.blocks if each.is_near)


@dataclass(frozen=True)
class MemoryReport:
    """What fills the contexts of the agents of a stack, the fullest first.

    total  number of agents of the stack, selected or not
    """

    stack: str
    url: str
    version: str
    environment: str | None = None
    agents: tuple[AgentMemory, ...] = ()
    total: int = 0
    warnings: tuple[Problem, ...] = ()

    def select(self, patterns: tuple[str, ...]) -> MemoryReport:
        """The same with the agents alone of which a pattern matches the address."""
        chosen = (each for each in self.agents if not patterns or matches(each.address, patterns))
        return replace(self, agents=tuple(chosen))

    def with_contexts(self, contexts: Mapping[str, Context], warnings: Iterable[Problem]) -> MemoryReport:
        """The same with what the server counted, by id of the agent."""
        counted = (_counted(each, contexts.get(each.id)) for each in self.agents)
        return replace(self, agents=_sorted(counted), warnings=(*self.warnings, *warnings))


def memory_of(observed: Observed, stack: str, schemas: Mapping[str, Any], environment: str | None) -> MemoryReport:
    """The memory of all agents of a stack, estimated.

    schemas  id of a tool to its JSON schema
    """
    agents = _sorted(_agents(observed, stack, schemas))
    return MemoryReport(stack, observed.url, observed.version, environment, agents, len(agents))


def _agents(observed: Observed, stack: str, schemas: Mapping[str, Any]) -> Iterator[AgentMemory]:
    addresses = {live.id: address for address, live in observed.objects.items() if live.kind == "block"}
    for address, live in observed.objects.items():
        if live.kind == "agent" and live.stack == stack:
            yield _agent(address, live, observed.attached.get(live.id, ()), addresses, schemas)


def _agent(
    address: Address, live: Live, blocks: Iterable[Live], addresses: Mapping[str, Address], schemas: Mapping[str, Any]
) -> AgentMemory:
    every = tuple(blocks)
    parts = Prompt.of(live.values, (block.values for block in every)).parts
    tools = tokens_of_tools(schemas[id] for id in live.ids("tools") if id in schemas)
    found = sorted((_block(block, addresses.get(block.id)) for block in every), key=lambda each: each.label)
    window, model = live.values.get("context_window"), live.values.get("model")
    return AgentMemory(
        address,
        live.id,
        live.name,
        model if isinstance(model, str) else "",
        _ordered({**parts, "tools": tools}),
        tuple(sorted(found, key=lambda each: -each.share)),
        window if isinstance(window, int) else None,
    )


def _block(live: Live, address: Address | None) -> BlockMemory:
    value, limit = live.values.get("value"), live.values.get("limit")
    length = len(value) if isinstance(value, str) else 0
    size = tokens(Block.of(live.values).size)
    return BlockMemory(live.name, live.id, address, size, length, limit if isinstance(limit, int) else 0)


def _counted(agent: AgentMemory, context: Context | None) -> AgentMemory:
    if context is None:
        return agent
    parts = _ordered(context.parts)
    return replace(agent, parts=parts, window=context.window, messages=context.messages, counted=True)


def _ordered(parts: Mapping[str, int]) -> dict[str, int]:
    return {name: parts[name] for name in PARTS if name in parts}


def _sorted(agents: Iterable[AgentMemory]) -> tuple[AgentMemory, ...]:
    return tuple(sorted(agents, key=lambda each: (-each.share, -each.used, each.address)))
