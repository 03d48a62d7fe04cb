"""A block: a labelled piece of text that agents keep in their context and may rewrite while they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, Policy, attr


class Block(Kind, section="blocks", path="/v1/blocks/", name="label", shared=True, precious=True):
    """A labelled piece of text that agents keep in their context and may rewrite while they run."""

    label: str = attr("What agents call it. The key, unless given.", policy="yield", constraints={"min_length": 1})
    value: str = attr("The text itself.", clear="", policy="seed")
    description: str = attr("Tells agents what to keep in it.", clear="", policy="yield")
    limit: int = attr("How many characters it may hold.", constraints={"ge": 1, "le": 2**31 - 1})
    read_only: bool = attr("Agents may read but not rewrite it.")
    hidden: bool = attr("Left out of ordinary listings.")
    tags: list[str] = attr("Labels to find it by.", unordered=True, additive=True, clear=[], since="0.16.4")
    metadata: dict[str, Any] = attr("Anything else worth keeping with it.", partial=True, clear={})
    project_id: str = attr("The project that it belongs to (Letta Cloud).")

    short: ClassVar[str | None] = "value"
    # 0.16.8 keeps the tags of inline blocks and drops their metadata, and with it our list of tags
    apart: ClassVar[frozenset[str]] = frozenset({"tags", "metadata"})
    listing: ClassVar[Mapping[str, Any]] = {"show_hidden_blocks": True}
    compiled: ClassVar[frozenset[str]] = frozenset({"value", "label", "description", "limit", "read_only"})

    unmanaged: ClassVar[Mapping[str, str]] = {
        "is_template": "templates are Letta Cloud's own and cannot be made by this call on 0.16.8",
        "template_name": "as is_template",
        "template_id": "as is_template",
        "base_template_id": "as is_template",
        "deployment_id": "as is_template",
        "entity_id": "as is_template",
        "preserve_on_migration": "as is_template",
    }

    @classmethod
    def policies(cls, values: Mapping[str, Any], said: Mapping[str, Policy]) -> Mapping[str, Policy]:
        """What agents cannot write is the manifest's; where the value is enforced, so are label and description."""
        value: Policy | None = said.get("value") or ("enforce" if values.get("read_only") is True else None)
        if value is None or value == "seed":
            return {}
        return {"value": value, "label": value, "description": value}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        value, limit = values.get("value"), values.get("limit")
        # 0.16.8 stores a value longer than its limit without a word; agents can then never edit it.
        if isinstance(value, str) and isinstance(limit, int) and len(value) > limit:
            return [("value", f"has {len(value)} characters, more than its limit of {limit}", "raise `limit` first")]
        if isinstance(value, str) and "\0" in value:  # 0.16.8 drops them silently
            return [("value", "holds a NUL character, which the server cannot store", None)]
        return []
