"""Whose an object is: our mark, as the v1 API lets us keep it, in tags and metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.base import Kind, path_get
from lettaform.model import Live, Mark

MARK = "lettaform"
"""The word with which everything begins that lettaform leaves on a server."""
VERSION = 1
KEY = MARK
PREFIX = f"{MARK}:"
RECORD = f"{MARK}:record"


def stack_tag(stack: str) -> str:
    """The tag that every object of a stack carries."""
    return f"{PREFIX}stack={stack}"


def tags(stack: str, address: Address) -> list[str]:
    """The tags that claim an address."""
    return [stack_tag(stack), f"{PREFIX}addr={address}"]


def foreign_tags(all_tags: Iterable[str]) -> list[str]:
    """Tags that are not a mark."""
    return [tag for tag in all_tags if not tag.startswith(PREFIX)]


def metadata(mark: Mark) -> dict[str, Any]:
    """A mark as it stands under `metadata.lettaform`; empty parts are left out."""
    parts = {key: dict(base) for key, base in mark.parts.items()}
    members = {key: list(value) for key, value in mark.members.items()}
    told = {"base": dict(mark.base), "members": members, "parts": parts}
    return {"v": VERSION, **{key: value for key, value in told.items() if value}}


def keep(kind: type[Kind], body: dict[str, Any], now: Mapping[str, Any]) -> None:
    """Leave the mark as it stands, in a body that replaces what is around it."""
    text = kind.worded()
    if text and text.write in body and (claim := unworded(path_get(now, text.read or ""))[1]):
        body[text.write] = worded(body[text.write] or "", claim["stack"], Address.parse(claim["addr"]))
    if "tags" in body:
        body["tags"] = [*body["tags"], *(tag for tag in now.get("tags") or () if tag.startswith(PREFIX))]
    if "metadata" in body and KEY in (now.get("metadata") or {}):
        body["metadata"] = {**body["metadata"], KEY: now["metadata"][KEY]}


def worded(text: str, stack: str, address: Address) -> str:
    """A text that ends in a claim."""
    return f"{text}\n{opening(stack)}{address}]" if text else f"{opening(stack)}{address}]"


def opening(stack: str) -> str:
    """How a claim begins that stands in a text."""
    return f"[{MARK} {stack} "


def unworded(text: str | None) -> tuple[str | None, dict[str, str]]:
    """A text without the claim in which it ends, and the claim."""
    found = _WORDED.search(text or "")
    if found is None:
        return text, {}
    return (text or "")[: found.start()] or None, {"stack": found[1], "addr": found[2]}


_WORDED = re.compile(rf"\n?\[{MARK} ([a-z0-9-]+) ([^\n]+)\]\Z")


def read(kind: str, body: Mapping[str, Any]) -> Live:
    """An answer's body as Live, in the manifest's words. `address` and `stack` are what the mark claims."""
    table = kinds()[kind]
    body = table.decode(body)
    values = {name: path_get(body, line.read) for name, line in table.attrs().items() if line.read}
    if "tags" in values:
        values["tags"] = foreign_tags(values["tags"] or ())
    for name, line in table.attrs().items():
        if line.unordered and isinstance(values.get(name), list):  # 0.16.8 tells them in any order
            values[name] = sorted(values[name], key=repr)
    own: Any = {}
    if isinstance(values.get("metadata"), Mapping):
        own = values["metadata"].get(KEY) or {}
        values["metadata"] = {key: value for key, value in values["metadata"].items() if key != KEY}
    claims = dict(
        tag[len(PREFIX) :].split("=", 1) for tag in body.get("tags") or () if tag.startswith(PREFIX) and "=" in tag
    )
    if table.mark == "inside":
        claims = {"stack": own["stack"], "addr": own["addr"]} if {"stack", "addr"} <= own.keys() else {}
    elif text := table.worded():
        values[text.name], claims = unworded(values[text.name])
    return Live(
        kind=kind,
        id=body["id"],
        name=str(values.get(table.name_field) or ""),
        values=values,
        address=_address(claims.get("addr")),
        stack=claims.get("stack"),
        mark=from_metadata(own),
        marked="stack" in claims and "addr" in claims,
    )


def from_metadata(own: Any) -> Mark:
    """A mark from what stands under `metadata.lettaform`; nothing where that is not ours."""
    if not isinstance(own, Mapping):
        return Mark()
    members = {key: tuple(value) for key, value in (own.get("members") or {}).items()}
    return Mark(dict(own.get("base") or {}), members, dict(own.get("parts") or {}))


def _address(text: str | None) -> Address | None:
    try:
        return Address.parse(text) if text else None
    except ValueError:
        return None
