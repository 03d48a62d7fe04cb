"""Memory blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.traits import Availability, Part, Policy, PolicyFor, Requests
from lettaform.values import digest


def _policy(values: Mapping[str, Any], declared: Mapping[str, Policy]) -> Policy | None:
    """Enforce a block that agents cannot write, and label and description of one whose value is enforced."""
    policy: Policy | None = declared.get("value") or ("enforce" if values.get("read_only") is True else None)
    return None if policy in ("seed", "merge") else policy


_DESCRIPTIONS: Mapping[str, str] = {
    "human": "5def0e74373af5590b2aceac9d379754",
    "persona": "324ddb438cf45e684d2e1ca75529542f",
}
"""Label to the digest of the description that 0.16.8 gives such a block of a new agent, if it has none."""
DESCRIBED = frozenset(_DESCRIPTIONS)
"""Labels of the blocks that the server describes by itself."""


class Block(Kind, section="blocks", path="/v1/blocks/", name="label", shared=True, precious=True):
    """A labelled text in the context of agents, which they can edit while they run."""

    label: str = attr(
        "Label by which agents refer to the block. Default: the key.", policy="yield", constraints={"min_length": 1}
    )
    value: str = attr(
        "Text of the block.",
        clear="",
        policy="seed",
        mergeable=True,
        relation=PolicyFor(("label", "description"), _policy),
    )
    description: str = attr(
        "Instructions for agents: what to store in the block.", clear="", policy="yield", mergeable=True
    )
    limit: int = attr("Maximum number of characters of the text.", constraints={"ge": 1, "le": 2**31 - 1})
    read_only: bool = attr("Whether agents can only read the block.")
    hidden: bool = attr("Whether default lists leave the block out.")
    tags: list[str] = attr("Tags to find the block by.", unordered=True, additive=True, clear=[])
    metadata: dict[str, Any] = attr("Additional data to store with the block.", partial=True, clear={})
    project_id: str = attr("ID of the project that the block belongs to (Letta Cloud).")

    availability: ClassVar[Availability] = Availability(fields={"tags": "0.16.4"})
    # 0.16.8 keeps the tags of inline blocks and drops their metadata, and with it our list of tags
    part: ClassVar[Part] = Part(short="value", lost_inline=frozenset({"tags", "metadata"}))
    requests: ClassVar[Requests] = Requests(parameters={"show_hidden_blocks": True})
    compiled: ClassVar[frozenset[str]] = frozenset({"value", "label", "description", "limit", "read_only"})

    initial: ClassVar[Mapping[str, Any]] = {"limit": 100_000, "read_only": False, "hidden": False}
    unmanaged: ClassVar[Mapping[str, str]] = {
        "is_template": "templates exist on Letta Cloud only, and this request cannot create them on 0.16.8",
        "template_name": "see is_template",
        "template_id": "see is_template",
        "base_template_id": "see is_template",
        "deployment_id": "see is_template",
        "entity_id": "see is_template",
        "preserve_on_migration": "see is_template",
    }

    @classmethod
    def without_initial(cls, field: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        value = values.get(field)
        if field == "description" and value and digest(value) == _DESCRIPTIONS.get(values.get("label") or ""):
            return None
        return super().without_initial(field, values, given)

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        value, limit = values.get("value"), values.get("limit")
        # 0.16.8 accepts a value longer than its limit; agents can then never edit it
        if isinstance(value, str) and isinstance(limit, int) and len(value) > limit:
            return [
                (
                    "value",
                    f"has {len(value)} characters, more than its `limit` of {limit}",
                    "raise `limit`, or shorten the text",
                )
            ]
        return []
