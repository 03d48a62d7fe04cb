"""The JSON Schema of the object that `lettaform memory --json` prints."""

from __future__ import annotations

from typing import Any

from lettaform.plan.memory import PARTS

_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}


def memory_schema() -> dict[str, Any]:
    """JSON Schema of the memory report. Within format_version 1, keys may be added and none is removed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lettaform memory",
        "description": "What `lettaform memory --json` prints: tokens in the context windows of agents, the fullest "
        "first. Contains no texts.",
        **_object(
            {
                "format_version": {"type": "string", "pattern": r"^1\.[0-9]+$"},
                "lettaform_version": _TEXT,
                "stack": _TEXT,
                "server": _object({"url": _TEXT, "version": _TEXT}),
                "environment": _MAYBE,
                "total": _COUNT | {"description": "Number of agents of the stack, selected or not."},
                "agents": {"type": "array", "items": {"$ref": "#/$defs/agent"}},
                "warnings": {"type": "array", "items": _problem()},
            }
        ),
        "$defs": {"agent": _agent(), "block": _block()},
    }


def _agent() -> dict[str, Any]:
    parts = {"type": "object", "properties": dict.fromkeys(PARTS, _COUNT), "additionalProperties": False}
    return _object(
        {
            "address": _TEXT,
            "id": _TEXT,
            "name": _TEXT,
            "model": _MAYBE,
            "window": _MAYBE_COUNT | {"description": "Tokens that the context window holds; null if not known."},
            "used": _COUNT | {"description": "The sum of `parts`."},
            "near_limit": {"type": "boolean", "description": "Whether the window is full to 90 % or more."},
            "counted": {
                "type": "boolean",
                "description": "Whether the server counted. Otherwise the numbers are estimates, without files, "
                "summary and messages.",
            },
            "messages": _MAYBE_COUNT | {"description": "Messages in the context, the prompt included."},
            "parts": parts | {"description": "Tokens by what they are used for, as far as that is known."},
            "blocks": {"type": "array", "items": {"$ref": "#/$defs/block"}},
        }
    )


def _block() -> dict[str, Any]:
    return _object(
        {
            "label": _TEXT,
            "id": _TEXT,
            "address": _MAYBE | {"description": "null if the block is not one of the stack."},
            "tokens": _COUNT | {"description": "Estimated."},
            "characters": _COUNT,
            "limit": _COUNT | {"description": "The most characters that the text may have."},
            "near_limit": {"type": "boolean", "description": "Whether it is full to 90 % or more."},
        }
    )


def _problem() -> dict[str, Any]:
    texts = dict.fromkeys(("id", "file", "address", "field", "hint"), _MAYBE)
    numbers = dict.fromkeys(("line", "column"), _MAYBE_COUNT)
    return _object({**texts, **numbers, "message": _TEXT, "severity": {"enum": ["error", "warning"]}})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}
