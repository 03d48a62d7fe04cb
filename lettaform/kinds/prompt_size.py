"""The fields of an agent and its blocks to the size of its compiled prompt, in estimated tokens.

The texts around the fields, and the rule of four bytes for a token, are those of 0.16.8: its own count for all models
but those of Anthropic and Google, which it asks their providers for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lettaform.values import walk

BYTES_PER_TOKEN = 4
_SECTION, _BLOCK, _READ_ONLY, _BETWEEN = 110, 110, 17, 1
"""Bytes around all blocks, around the texts of one, what more there is around a read-only one, and between two."""
_RULES, _RULE = 229, 91
"""Bytes around all rules for tools, and of one of them, on average."""
_METADATA = 259
"""Bytes about the agent itself that stand at the end of each prompt."""
_TOOL = 52
"""Bytes around the JSON schema of each tool, which is sent beside the prompt."""
_DEFAULT_PROMPTS: Mapping[str, int] = {
    "letta_v1_agent": 1707,
    "memgpt_agent": 5314,
    "memgpt_v2_agent": 5314,
    "react_agent": 1546,
    "workflow_agent": 833,
    "sleeptime_agent": 2424,
    "voice_convo_agent": 1852,
    "voice_sleeptime_agent": 3695,
}
"""Bytes of the system prompt that 0.16.8 gives a new agent of each type."""
_WITHOUT_BLOCKS = ("react_agent", "workflow_agent")
"""The types of agents in whose prompts 0.16.8 shows no memory blocks."""


def tokens(size: int) -> int:
    """The estimated number of tokens of a text with this number of bytes."""
    return -(-size // BYTES_PER_TOKEN)


def size_of(value: Any) -> int:
    """The number of bytes of the texts in a value. Secrets and ids that are not known yet are not counted."""
    return sum(len(each.encode("utf-8", "surrogatepass")) for each in walk(value) if isinstance(each, str))


def tokens_of_tools(schemas: Iterable[Any]) -> int:
    """The estimated number of tokens of the JSON schemas of an agent's tools."""
    return tokens(sum(_TOOL + len(json.dumps(schema)) for schema in schemas))


@dataclass(frozen=True)
class Block:
    """What stands in a prompt of a memory block."""

    label: str
    value: Any = ""
    description: Any = ""
    limit: int = 0
    read_only: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Block:
        """The block with these fields."""
        limit = values.get("limit")
        label, value, description = (values.get(name) or "" for name in ("label", "value", "description"))
        return cls(
            str(label), value, description, limit if isinstance(limit, int) else 0, values.get("read_only") is True
        )

    @property
    def size(self) -> int:
        """The number of bytes of its part of the prompt."""
        length = sum(len(each) for each in walk(self.value) if isinstance(each, str))
        texts = 2 * size_of(self.label) + size_of(self.description) + size_of(self.value)
        return _BLOCK + texts + len(str(length)) + len(str(self.limit)) + _READ_ONLY * self.read_only


@dataclass(frozen=True)
class Prompt:
    """What stands in the compiled prompt of an agent. Two that are equal are compiled to the same text.

    system  None: the server's own text for this type of agent
    rules   number of rules for tools
    """

    agent_type: str
    system: Any
    blocks: tuple[Block, ...] = ()
    rules: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any], blocks: Iterable[Mapping[str, Any]], agent_type: str = "") -> Prompt:
        """The prompt of an agent with these fields. `agent_type`: that of an agent which does not say it."""
        rules, system = values.get("tool_rules"), values.get("system")
        kind = values.get("agent_type") or agent_type or "letta_v1_agent"
        if system is None and "system" in values:  # null clears it
            system = ""
        found = sorted(map(Block.of, blocks), key=lambda block: block.label)
        return cls(str(kind), system, tuple(found), len(rules) if isinstance(rules, list) else 0)

    @property
    def parts(self) -> dict[str, int]:
        """The number of tokens of each section."""
        system = _DEFAULT_PROMPTS.get(self.agent_type, 0) if self.system is None else size_of(self.system)
        blocks = 0 if self.agent_type in _WITHOUT_BLOCKS else self._blocks
        rules = _RULES + self.rules * _RULE if self.rules else 0
        sizes = {"system": system, "blocks": blocks, "rules": rules, "metadata": _METADATA}
        return {name: tokens(size) for name, size in sizes.items()}

    @property
    def tokens(self) -> int:
        """The number of tokens of all sections."""
        return sum(self.parts.values())

    @property
    def _blocks(self) -> int:
        if not self.blocks:
            return 0
        return _SECTION + sum(each.size for each in self.blocks) + _BETWEEN * (len(self.blocks) - 1)
