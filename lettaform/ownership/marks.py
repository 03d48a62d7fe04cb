"""A mark to and from what a server stores with an object: tags, metadata, or the end of a text.

The mark contains the stack and address of the object (its claim) and the digests of what was last applied to it.
`Kind.mark` determines where it is stored. Only this module reads and writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lettaform.address import Address
from lettaform.kinds.base import Attr, Kind, path_get
from lettaform.model import Lent, Mark

MARK = "lettaform"
"""The prefix of tags, and the key in metadata."""
VERSION = 1
_PREFIX = f"{MARK}:"


@dataclass(frozen=True)
class Claim:
    """The stack and address that a mark names. `address` is None if it cannot be read."""

    stack: str
    address: Address | None


# --- in text ---------------------------------------------------------------------------------------------------------


def stack_tag(stack: str) -> str:
    """The tag that every object of a stack carries."""
    return f"{_PREFIX}stack={stack}"


def tags(stack: str, address: Address) -> list[str]:
    """The tags that claim an address."""
    return [stack_tag(stack), f"{_PREFIX}addr={address}"]


def stack_of(all_tags: Iterable[str]) -> str | None:
    """The stack that tags name; None if they name none."""
    claim = _tagged(all_tags)
    return claim.stack if claim else None


def foreign_tags(all_tags: Iterable[str]) -> list[str]:
    """The tags that are no part of a mark."""
    return [tag for tag in all_tags if not tag.startswith(_PREFIX)]


def opening(stack: str) -> str:
    """The beginning of a claim at the end of a text."""
    return f"[{MARK} {stack} "


def _signed(text: str, stack: str, address: Address) -> str:
    """A text that ends in a claim."""
    return f"{text}\n{opening(stack)}{address}]" if text else f"{opening(stack)}{address}]"


def _unsigned(text: str | None) -> tuple[str | None, Claim | None]:
    """A text without the claim in which it ends, and the claim."""
    found = _SIGNATURE.search(text or "")
    if found is None:
        return text, None
    return (text or "")[: found.start()] or None, Claim(found[1], _address(found[2]))


_SIGNATURE = re.compile(rf"\n?\[{MARK} ([a-z0-9-]+) ([^\n]+)\]\Z")


def metadata(mark: Mark) -> dict[str, Any]:
    """A mark as JSON for `metadata.lettaform`, without empty parts."""
    parts = {key: dict(base) for key, base in mark.parts.items()}
    members = {key: list(value) for key, value in mark.members.items()}
    lent = {"own": list(mark.lent.own), "count": mark.lent.count} if mark.lent else {}
    every = {"base": dict(mark.base), "members": members, "parts": parts, "lent": lent, "promoted": dict(mark.promoted)}
    return {"v": VERSION, **{key: value for key, value in every.items() if value}}


def from_metadata(own: Any) -> Mark:
    """The mark in `metadata.lettaform`. What cannot be read is left out: anybody can edit metadata."""
    members = {key: tuple(value) for key, value in _map(own, "members").items() if isinstance(value, list)}
    parts = {key: dict(base) for key, base in _map(own, "parts").items() if isinstance(base, Mapping)}
    promoted = {name: text for name, text in _map(own, "promoted").items() if isinstance(text, str)}
    return Mark(dict(_map(own, "base")), members, parts, _lent(_map(own, "lent")), promoted)


def _lent(value: Mapping[str, Any]) -> Lent | None:
    own, count = value.get("own"), value.get("count")
    readable = isinstance(own, list) and own and all(isinstance(each, str) for each in own) and isinstance(count, int)
    return Lent(tuple(own), count) if readable else None  # type: ignore[arg-type]


def _map(value: Any, key: str) -> Mapping[str, Any]:
    """The map under a key; an empty one if there is none."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _claim(stack: Any, address: Any) -> Claim | None:
    """A claim by its texts; None if no stack is named."""
    return Claim(stack, _address(address)) if stack and isinstance(stack, str) else None


def _address(text: Any) -> Address | None:
    try:
        return Address.parse(text) if text and isinstance(text, str) else None
    except ValueError:
        return None


# --- in the body of an object ----------------------------------------------------------------------------------------


def read(kind: type[Kind], body: Mapping[str, Any], values: dict[str, Any]) -> tuple[Claim | None, Mark]:
    """The claim and the mark in an answer's body. Takes them out of `values`, the object's fields."""
    own: Any = None
    if "tags" in values:
        values["tags"] = sorted(foreign_tags(values["tags"] or ()))
    if isinstance(values.get("metadata"), Mapping):
        own = values["metadata"].get(MARK)
        values["metadata"] = {key: value for key, value in values["metadata"].items() if key != MARK}
    claim = None
    if text := kind.signed_text_field():
        values[text.name], claim = _unsigned(values[text.name])
    elif kind.claims_in_tags():
        claim = _tagged(body.get("tags") or ())
    elif kind.holds_digests() and isinstance(own, Mapping):
        claim = _claim(own.get("stack"), own.get("addr"))
    return claim, from_metadata(own) if kind.holds_digests() else Mark()


def unmarked(kind: type[Kind], body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without claim and mark, such as a part of a file that is given to others."""
    plain = dict(body)
    if isinstance(body.get("tags"), list):
        plain["tags"] = foreign_tags(body["tags"])
    if isinstance(body.get("metadata"), Mapping):
        plain["metadata"] = {key: value for key, value in body["metadata"].items() if key != MARK}
    if text := kind.signed_text_field():
        plain[text.write or ""] = _unsigned(body.get(text.write or ""))[0]
    return plain


def _tagged(all_tags: Iterable[str]) -> Claim | None:
    pairs = dict(tag[len(_PREFIX) :].split("=", 1) for tag in all_tags if tag.startswith(_PREFIX) and "=" in tag)
    return _claim(pairs.get("stack"), pairs.get("addr"))


def write(
    kind: type[Kind], body: dict[str, Any], now: Mapping[str, Any], stack: str, address: Address, mark: Mark
) -> None:
    """Add claim and mark to the body of a request. `now`: the object, whose other tags and metadata are kept."""
    if kind.claims_in_tags():
        kept = body.get("tags", foreign_tags(now.get("tags") or ()))
        body["tags"] = [*kept, *tags(stack, address)]
    elif text := kind.signed_text_field():
        plain, claim = _unsigned(path_get(now, text.read or ""))
        if text.write in body or claim != Claim(stack, address):
            body[text.write or ""] = _signed(body.get(text.write or "", plain) or "", stack, address)
    if kind.holds_digests():
        inside = {} if kind.claims_in_tags() else {"stack": stack, "addr": str(address)}
        body["metadata"] = _others(body, now) | {MARK: metadata(mark) | inside}


def erase(kind: type[Kind], body: dict[str, Any], now: Mapping[str, Any]) -> None:
    """Remove claim and mark in the body of a request: the object is forgotten."""
    if kind.claims_in_tags():
        body["tags"] = body.get("tags", foreign_tags(now.get("tags") or ()))
    elif text := kind.signed_text_field():
        plain = _unsigned(path_get(now, text.read or ""))[0]
        body[text.write or ""] = plain or _nothing(text)
    if kind.holds_digests():
        body["metadata"] = _others(body, now)


def keep(kind: type[Kind], body: dict[str, Any], now: Mapping[str, Any]) -> None:
    """Keep claim and mark unchanged in a body that replaces the text, tags or metadata around them."""
    text = kind.signed_text_field()
    if text and text.write in body:
        claim = _unsigned(path_get(now, text.read or ""))[1]
        if claim and claim.address:
            body[text.write] = _signed(body[text.write] or "", claim.stack, claim.address)
    if "tags" in body:
        body["tags"] = [*body["tags"], *(tag for tag in now.get("tags") or () if tag.startswith(_PREFIX))]
    if "metadata" in body and MARK in (now.get("metadata") or {}):
        body["metadata"] = {**body["metadata"], MARK: now["metadata"][MARK]}


def metadata_with(now: Mapping[str, Any], mark: Mark) -> dict[str, Any]:
    """The metadata of an object whose claim stands in its tags, with another mark."""
    return {**(now.get("metadata") or {}), MARK: metadata(mark)}


def _others(body: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The new entries of `metadata`, without the mark."""
    new = body["metadata"] if "metadata" in body else now.get("metadata") or {}
    return {key: value for key, value in new.items() if key != MARK}


def _nothing(text: Attr) -> str:
    # 0.16.8 does not accept "" for the description of a group: it would keep the mark
    return "" if text.clear == "" else " "
