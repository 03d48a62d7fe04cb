"""An identity: a person or an organisation on whose behalf agents work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr

_TYPES = {bool: "boolean", int: "number", float: "number", dict: "json"}


# fmt: off
class Identity(Kind, section="identities", path="/v1/identities/", name="identifier_key", unique=True, mark="record", shared=True):
    """A person or an organisation on whose behalf agents work."""

    identifier_key: str = attr("By which applications look it up; unique. The key, unless given.", constraints={"min_length": 1})
    name: str = attr("What people call it.", birth=True)
    identity_type: Literal["user", "org", "other"] = attr("What it is.", birth=True)
    properties: dict[str, Any] = attr("What is known of it: texts, numbers, flags or maps.", partial=True, merges=True)
    project_id: str = attr("The project that it belongs to (Letta Cloud).", fixed=True)
    # fmt: on

    unmanaged: ClassVar[Mapping[str, str]] = {
        "agent_ids": "0.16.8 only ever adds by it, and answers []; agents say whom they serve: `identities`",
        "block_ids": "0.16.8 only ever adds by it; blocks reach people through their agents",
    }

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        told = body.get("properties") or []
        return {**body, "properties": {item["key"]: item["value"] for item in told}} if isinstance(told, list) else body

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        told = body.get("properties")
        if isinstance(told, Mapping):
            body["properties"] = [{"key": k, "value": v, "type": _TYPES.get(type(v), "string")} for k, v in told.items()]
        return body

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        gone = [key for key, value in (values.get("properties") or {}).items() if value is None]
        told = "cannot be cleared: the server merges properties and forgets none"  # 0.16.8
        return [(f"properties.{key}", told, "leave it out, or give it another value") for key in gone]
