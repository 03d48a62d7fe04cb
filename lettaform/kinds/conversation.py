"""Conversations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.maps import ModelSettings
from lettaform.kinds.traits import AgentFile, Availability, FollowUp, LabelsOf, Owner, Requests, Runs


# fmt: off
class Conversation(Kind, section="conversations", path="/v1/conversations/", name="summary", mark="summary", precious=True):
    """A separate thread of messages with one agent, optionally with copies of some of its blocks."""

    summary: str = attr("Topic of the conversation. Default: the key.", constraints={"min_length": 1})
    agent: str = attr("Agent of the conversation: a key of `agents`.", to="agent", write="agent_id", required=True, immutable=True, relation=Owner(in_query=True))
    isolated: list[str] = attr("Labels of the agent's blocks that the conversation has its own copies of.", write="isolated_block_labels", read=None, immutable=True, unordered=True, relation=LabelsOf("agent"))
    model: str = attr("Handle of the language model, as `provider/model`. Default: the agent's model.", offered="/v1/models/", constraints={"pattern": ".+/.+"})
    model_settings: ModelSettings = attr("Settings of the model provider: `provider_type`, `temperature` and others.", partial=True, merges=True)
    # fmt: on

    availability: ClassVar[Availability] = Availability(since="0.16.5")  # older releases create them, and cannot delete them
    requests: ClassVar[Requests] = Requests(search="summary_search")
    agent_file: ClassVar[AgentFile | None] = AgentFile("conversation_id", history_since="0.16.7")
    runs: ClassVar[Runs | None] = Runs("last_message_at")
    # 0.16.8 compiles a prompt for each conversation when it begins, always from the blocks of its agent
    call: ClassVar[FollowUp | None] = FollowUp("recompile", "POST", str, "its prompt was recompiled", of_prompt=True, since="0.16.7")
    discovers: ClassVar[Mapping[str, str]] = {"block": "isolated_block_ids"}
    replacement: ClassVar[str] = "without its messages and its copies of blocks"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "last_message_at": "written by the server with each message",
    }

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        new, now = body.get("model_settings"), (live or {}).get("model_settings") or {}
        if new and new.get("provider_type", now.get("provider_type")) == now.get("provider_type"):
            body["model_settings"] = now | new  # 0.16.8 sets the keys that are left out to defaults
        return body

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        labels = values.get("isolated") or ()
        # 0.16.8 creates the conversation and a copy of the block, and then answers 409
        duplicates = [number for number, label in enumerate(labels) if label in labels[:number]]
        return [*super().check(values), *((f"isolated.{each}", "is listed twice", "remove one") for each in duplicates)]
