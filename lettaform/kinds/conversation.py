"""A conversation: a thread of messages of its own with one agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr


# fmt: off
class Conversation(Kind, section="conversations", path="/v1/conversations/", name="summary", mark="summary", precious=True):
    """A thread of messages of its own with one agent, and copies of some of its blocks."""

    summary: str = attr("What it is about. The key, unless given.", constraints={"min_length": 1})
    agent: str = attr("With whom: a key of `agents`.", to="agent", write="agent_id", birth=True, fixed=True, query=True, home=True)
    isolated: list[str] = attr("Labels of the agent's blocks of which it has copies of its own.", write="isolated_block_labels", read=None, fixed=True, unordered=True, inside="agent")
    model: str = attr("Another model than the agent's, as `provider/model`.", offered="/v1/models/", constraints={"pattern": ".+/.+"})
    model_settings: dict[str, Any] = attr("Settings of the provider: `provider_type`, `temperature` and more.", partial=True, merges=True)
    # fmt: on

    since: ClassVar[str | None] = "0.16.5"  # others make them, and cannot take them away
    searched: ClassVar[str | None] = "summary_search"
    filed: ClassVar[str | None] = "conversation_id"
    brings: ClassVar[Mapping[str, str]] = {"block": "isolated_block_ids"}
    replaced: ClassVar[str] = "without its messages and its copies of blocks"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "last_message_at": "written by the server as people talk",
    }

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        told, now = body.get("model_settings"), (live or {}).get("model_settings") or {}
        if told and told.get("provider_type", now.get("provider_type")) == now.get("provider_type"):
            body["model_settings"] = now | told  # 0.16.8 fills what is left out with defaults
        return body

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        labels = values.get("isolated") or ()
        # 0.16.8 makes the conversation and a copy of the block, and then answers 409
        twice = [number for number, label in enumerate(labels) if label in labels[:number]]
        return [*super().check(values), *((f"isolated.{each}", "stands twice", "leave one out") for each in twice)]
