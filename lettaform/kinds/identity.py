"""Identities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.traits import Requests

_TYPES = {bool: "boolean", int: "number", float: "number", dict: "json"}


# fmt: off
class Identity(Kind, section="identities", path="/v1/identities/", name="identifier_key", unique=True, mark="state", shared=True):
    """A person or an organisation that agents work for."""

    identifier_key: str = attr("Key by which applications look the identity up; unique on the server. Default: the key in the manifest.", constraints={"min_length": 1})
    name: str = attr("Display name.", required=True)
    identity_type: Literal["user", "org", "other"] = attr("Type of the identity.", required=True)
    properties: dict[str, str | bool | float | dict[str, Any]] = attr("Properties of the identity: texts, numbers, booleans or maps.", partial=True, clear={})
    project_id: str = attr("ID of the project that the identity belongs to (Letta Cloud).", immutable=True)
    # fmt: on

    requests: ClassVar[Requests] = Requests(replaced={"properties": "properties"})
    unmanaged: ClassVar[Mapping[str, str]] = {
        "agent_ids": "0.16.8 only adds by it, and answers []; use `identities` of the agents",
        "block_ids": "0.16.8 only adds by it; use `blocks` of the identity's agents",
    }

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        items = body.get("properties") or []
        return {**body, "properties": {item["key"]: item["value"] for item in items}} if isinstance(items, list) else body

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        values = body.get("properties")
        if isinstance(values, Mapping):
            body["properties"] = [{"key": k, "value": v, "type": _TYPES.get(type(v), "string")} for k, v in values.items()]
        return body
