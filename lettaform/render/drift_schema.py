"""The JSON Schema of the object that `lettaform drift --json` prints."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args

from lettaform.kinds.traits import Policy
from lettaform.plan.drift import Drift

_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}


def _object(properties: dict[str, Any], optional: Collection[str] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": items, "description": description}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


_PLACE = _object({"file": _TEXT, "line": _COUNT, "column": _COUNT})
_UNMANAGED = _object({"kind": _TEXT, "id": _TEXT, "address": _TEXT, "reason": _TEXT})
_PROBLEM = _object(
    {
        **dict.fromkeys(("file", "address", "field", "hint"), _MAYBE),
        **dict.fromkeys(("line", "column"), _MAYBE_COUNT),
        "message": _TEXT,
        "severity": {"enum": ["error", "warning"]},
    }
)


def drift_schema() -> dict[str, Any]:
    """JSON Schema of the drift object. Within format_version 1, keys may be added and none is removed."""
    numbers = dict.fromkeys(Drift("", "", "").summary, _COUNT)
    fields = _object(
        {
            "path": _TEXT,
            "policy": {"enum": list(get_args(Policy))},
            "reason": {
                "enum": ["drift", "conflict", "merge"],
                "description": "`drift`: changed on the server alone. `conflict`: the manifest's value has changed, "
                "too. `merge`: so it has, and an apply writes what both changed.",
            },
            "manifest": {"description": "The value in the manifest."},
            "live": {"description": "The value on the server. `{add, remove}` for a list of members."},
            "secret": {"type": "boolean", "description": "If true, `manifest` and `live` are null."},
            "pullable": {
                "type": "boolean",
                "description": "Whether `lettaform pull` puts the live value into the files.",
            },
        }
    )
    objects = _object(
        {
            "address": _TEXT,
            "kind": _TEXT,
            "id": {"type": ["string", "null"], "description": "null if the server does not have the object."},
            "missing": {"type": "boolean", "description": "Applied, and no longer on the server: created again."},
            "written_back": _list(_ref("field"), "Fields to which an apply writes."),
            "kept": _list(_ref("field"), "Fields that an apply keeps, because of their policy."),
            "place": {"anyOf": [_PLACE, {"type": "null"}]},
        }
    )
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lettaform drift",
        "description": "What `lettaform drift --json` prints. Contains no secrets.",
    }
    whole = {
        "format_version": {"type": "string", "pattern": r"^1\.[0-9]+$"},
        "lettaform_version": _TEXT,
        "stack": _TEXT,
        "server": _object({"url": _TEXT, "version": _TEXT}),
        "environment": _TEXT | {"description": "Present if an environment was selected with -e."},
        "shard": _TEXT | {"description": "Such as `3/16`. Present if one was selected with --shard."},
        "summary": _object(numbers),
        "objects": _list(_ref("object"), "The objects that changed outside of lettaform."),
        "unmanaged": _list(_UNMANAGED, "Objects that no line declares any more: no drift."),
        "warnings": _list(_PROBLEM, "Present if there are any."),
        "drift": {"type": "boolean", "description": "Whether an apply would write something back."},
    }
    return {
        **described,
        **_object(whole, optional={"environment", "shard", "warnings"}),
        "$defs": {"field": fields, "object": objects},
    }
