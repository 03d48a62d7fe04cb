"""The JSON Schema of `snapshot.json`, by which it is read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lettaform.kinds import kinds

FORMAT_VERSION = "1.2"
"""Version of the format. The second number grows with a new key, the first with an incompatible change."""

_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_FILE: dict[str, Any] = {"type": "string", "pattern": r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"}
_SHA256: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def snapshot_schema() -> dict[str, Any]:
    """JSON Schema of `snapshot.json`. Within format_version 1, keys may be added and none is removed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lettaform snapshot",
        "description": "The `snapshot.json` of a folder that lettaform writes. It contains no secrets.",
        **_object(
            {
                "format_version": {"type": "string", "pattern": r"^1\.[0-9]+$"},
                "lettaform_version": _TEXT,
                "created_at": {"type": "string", "format": "date-time"},
                "stack": _TEXT,
                "environment": _MAYBE,
                "scope": {
                    "enum": ["stack", "plan", "restore"],
                    "description": "`stack`: everything that the stack owns. `plan`: what one apply destroyed or "
                    "changed. `restore`: what a restore or a rollback did.",
                },
                "server": _object({"url": _TEXT, "version": _TEXT}),
                "git": {"anyOf": [_git(), {"type": "null"}]},
                "state": {"anyOf": [_state(), {"type": "null"}], "description": "null if the stack has no state."},
                "objects": {"type": "array", "items": {"$ref": "#/$defs/object"}},
                "files": {
                    "type": "object",
                    "description": "The other files of the folder.",
                    "propertyNames": _FILE,
                    "additionalProperties": _object({"sha256": _SHA256, "bytes": {"type": "integer", "minimum": 0}}),
                },
                "digest": _SHA256
                | {
                    "description": "sha256 of the canonical JSON of stack, environment, scope, state, objects and "
                    "files. Equal digests are equal contents."
                },
            }
        ),
        "$defs": {"object": _entry(), "mark": _mark()},
    }


def _git() -> dict[str, Any]:
    dirty = {"type": "boolean", "description": "Whether files of the project were not committed."}
    return _object({"commit": _TEXT, "dirty": dirty}) | {"description": "The commit of the project."}


def _state() -> dict[str, Any]:
    pages = {"type": "array", "items": {"type": "object"}, "description": "Its pages, without the stack's key."}
    return _object({"serial": {"type": "integer", "minimum": 0}, "pages": pages})


def _mark() -> dict[str, Any]:
    digests = {"type": "object", "additionalProperties": _TEXT}
    return _object(
        {
            "base": digests,
            "members": {"type": "object", "additionalProperties": {"type": "array"}},
            "parts": {"type": "object", "additionalProperties": digests},
            "promoted": {
                "type": "object",
                "additionalProperties": _TEXT,
                "description": "The texts of another environment that were promoted into it. Present if there are any.",
            },
        },
        optional={"promoted"},
    )


def _entry() -> dict[str, Any]:
    ids = {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}}
    file = {"anyOf": [_FILE, {"type": "null"}]}
    return _object(
        {
            "address": _MAYBE | {"description": "null for an object that the manifest does not address."},
            "kind": {"enum": sorted(kinds())},
            "id": _TEXT,
            "name": _TEXT,
            "stack": _MAYBE | {"description": "The stack that owns it; null if none does."},
            "marked": {"type": "boolean", "description": "Whether the claim is on the object itself."},
            "values": {"type": "object", "description": "Its fields. References are ids of other objects."},
            "secrets": {
                "type": "array",
                "items": _TEXT,
                "description": "Names of its secrets, as `secrets.API_KEY`. Their values are in no file.",
            },
            "mark": {"$ref": "#/$defs/mark"},
            "discovered": ids | {"description": "Kind to ids of what the server created along with it."},
            "unused": {"type": "boolean", "description": "An agent without messages: it has no agent file."},
            "activity": _TEXT | {"description": "Digest that shows whether messages were added; empty if nothing can."},
            "file": file | {"description": "Its agent file, in the format of the server."},
            "messages": file | {"description": "All its messages, also those that left its context."},
            "contents": file | {"description": "The passages or files that it contains."},
            "evidence": _TEXT | {"description": "Digest of all that its agent file depends on; empty if unknown."},
            "used": {"type": "boolean", "description": "Others own it: the snapshot says what it was, no more."},
            "without_messages": _TEXT
            | {
                "description": "Present if its messages are not restored, as `--without-messages` allowed: what the "
                "server answered when they were read. A file that is named nevertheless is for people."
            },
        },
        optional={"without_messages"},
    )


def _object(properties: dict[str, Any], optional: Collection[str] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}
