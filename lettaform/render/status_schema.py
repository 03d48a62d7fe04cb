"""The JSON Schema of the object that `lettaform status --json` prints."""

from __future__ import annotations

from typing import Any, get_args

from lettaform.model import Action
from lettaform.plan.status import STATUSES

_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_TIME: dict[str, Any] = {"type": ["string", "null"], "description": "As the server writes it, in ISO 8601."}


def status_schema() -> dict[str, Any]:
    """JSON Schema of the status object. Within format_version 1, keys may be added and none is removed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lettaform status",
        "description": "What `lettaform status --json` prints. With --watch, one such object on each line. Contains no "
        "secrets.",
        **_object(
            {
                "format_version": {"type": "string", "pattern": r"^1\.[0-9]+$"},
                "lettaform_version": _TEXT,
                "stack": _TEXT,
                "server": _object({"url": _TEXT, "version": _TEXT}),
                "environment": _MAYBE,
                "shard": _or_null(_TEXT, "Such as `3/16`, if one was selected with --shard."),
                "lock": _or_null(_object({"holder": _TEXT, "since": _TEXT}), "The lock of a run that is under way."),
                "total": _COUNT
                | {"description": "Number of objects of the stack, selected or not, without external ones."},
                "summary": _object(dict.fromkeys([*STATUSES, "runtime", "seeds"], _COUNT))
                | {
                    "description": "Number of selected objects by status. `runtime`: of values that were changed by "
                    "agents and are kept. `seeds`: of values that the manifest changed and that belong to agents."
                },
                "objects": {"type": "array", "items": {"$ref": "#/$defs/object"}},
                "warnings": {"type": "array", "items": _problem()},
            }
        ),
        "$defs": {"object": _status_of_object(), "memory": _memory()},
    }


def _status_of_object() -> dict[str, Any]:
    return _object(
        {
            "address": _TEXT,
            "kind": _TEXT,
            "id": _MAYBE | {"description": "null if the object is not on the server."},
            "name": _TEXT,
            "status": {"enum": [*STATUSES]},
            "action": {"enum": [*get_args(Action), None], "description": "What a plan does; null: nothing."},
            "drifted": _TEXTS | {"description": "Fields that were changed outside and would be written back."},
            "changed": _TEXTS | {"description": "Fields that would be written for another reason."},
            "kept": _TEXTS | {"description": "Values that were changed by agents and are kept."},
            "seeds": _TEXTS | {"description": "Values that the manifest changed and that are not written."},
            "reason": _MAYBE | {"description": "Why an undeclared object is left as it is."},
            "model": _MAYBE,
            "tags": _TEXTS,
            "members": {
                "type": "object",
                "additionalProperties": _COUNT,
                "description": "Field to the number of objects, passages or files in it, as far as it was read.",
            },
            "agents": _MAYBE_COUNT
            | {"description": "Number of agents of the stack that use it; null if they cannot, or it is not known."},
            "memory": _or_null(
                {"$ref": "#/$defs/memory"}, "Of a block, and of an agent with all blocks that are attached to it."
            ),
            "fullest": _or_null(
                _object({"label": _TEXT, "used": _COUNT, "limit": _COUNT}),
                "The block of an agent of which the largest share is used.",
            ),
            "created_at": _TIME,
            "last_run": _or_null(_object({"at": _TIME, "reason": _MAYBE}), "Of agents and conversations."),
            "unused": {"type": "boolean", "description": "Whether an agent never ran."},
            "place": _or_null(_object({"file": _TEXT, "line": _COUNT, "column": _COUNT}), "Where it is declared."),
        }
    )


def _memory() -> dict[str, Any]:
    return _object({"used": _COUNT, "limit": _COUNT}) | {"description": "Numbers of characters."}


def _problem() -> dict[str, Any]:
    texts = dict.fromkeys(("file", "address", "field", "hint"), _MAYBE)
    numbers = dict.fromkeys(("line", "column"), _MAYBE_COUNT)
    return _object({**texts, **numbers, "message": _TEXT, "severity": {"enum": ["error", "warning"]}})


def _or_null(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}], "description": description}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}
