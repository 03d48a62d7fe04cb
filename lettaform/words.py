"""What every floor speaks in: Address, the slots a value may hold, and digests."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

MARK = "lettaform"
"""Our word on the server: what we leave with objects begins with it."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Address:
    """The path of an object in the manifest; its identity on the server, together with the stack.

    `agents.worker`, `agents.worker[emea]`, `agents.worker.memory.human`, `folders.handbook.files["docs/a.md"]`.
    """

    section: str
    key: str
    index: str | None = None
    field: str | None = None
    child: str | None = None

    def __str__(self) -> str:
        return _spell(self)

    def __lt__(self, other: Address) -> bool:
        return _spell(self) < _spell(other)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read the one spelling of an address. ValueError if it is none."""
        return _parse(text)

    @property
    def parent(self) -> Address | None:
        """The object that this one is a part of: the agent of an own block."""
        return Address(self.section, self.key, self.index) if self.field else None

    def own(self, field: str, child: str) -> Address:
        """The address of a part of this object: `memory`, `human`."""
        return Address(self.section, self.key, self.index, field, child)


@cache
def _spell(address: Address) -> str:
    def step(key: str) -> str:
        return f".{key}" if _BARE.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"

    text = address.section + step(address.key)
    if address.index is not None:
        bare = _BARE.fullmatch(address.index)
        text += f"[{address.index if bare else json.dumps(address.index, ensure_ascii=False)}]"
    if address.field is not None and address.child is not None:
        text += f".{address.field}{step(address.child)}"
    return text


@cache
def _parse(text: str) -> Address:
    rest = text

    def take(pattern: str) -> str | None:
        nonlocal rest
        found = re.match(pattern, rest)
        if not found:
            return None
        rest = rest[found.end() :]
        word = found[1]
        return str(json.loads(word)) if word.startswith('"') else word

    string, bare = _STRING.pattern, _BARE.pattern
    section = take(rf"({bare})")
    key = take(rf"\.({bare})") or take(rf"\[({string})\]")
    index = take(rf"\[({string}|{bare})\]")
    field = take(rf"\.({bare})")
    child = (take(rf"\.({bare})") or take(rf"\[({string})\]")) if field else None
    address = Address(section or "", key or "", index, field, child)
    if rest or not section or not key or (field and not child) or _spell(address) != text:
        raise ValueError(f"not an address: {text!r}")
    return address


# --- slots: what stands in a value until it can be known -------------------------------------------------------------


@dataclass(frozen=True)
class Ref:
    """A value of another object that may not exist yet: its `id`, or one of its fields."""

    address: Address
    path: str = "id"


@dataclass(frozen=True)
class Joined:
    """A text with Refs inside it."""

    parts: tuple[str | Ref, ...]


@dataclass(frozen=True)
class Secret:
    """A value that is never shown, stored or digested in the open; `expression` says where it comes from."""

    expression: str
    value: str

    def __repr__(self) -> str:
        return "‹secret›"

    __str__ = __repr__


@dataclass(frozen=True)
class Keep:
    """A change to a collection that others write to as well: theirs is read again just before writing, and kept.

    `put` and `drop` are members of a list; where `entries` is given, it is a map: what to set, and keys to drop.
    """

    put: tuple[Any, ...] = ()
    drop: tuple[Any, ...] = ()
    entries: tuple[tuple[str, Any], ...] | None = None


@dataclass(frozen=True)
class Digest:
    """The digest of a value that holds Refs, taken once they are known; of a set, if it is `unordered`."""

    value: Any
    unordered: bool = False

    def taken(self, known: Any) -> str:
        return digest(sorted(known, key=canonical) if self.unordered else known)


@dataclass(frozen=True)
class Item:
    """One of what an object holds by content: equal where the `key` is, which says all that counts of it.

    `name` is how people know it, `told` what it takes to make it, `id` what the server calls it.
    """

    key: str
    name: str = field(default="", compare=False)
    told: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    id: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.name


Slot = Ref | Joined | Secret | Keep | Digest | Item


def fill(value: Any, answer: Callable[[Ref], Any]) -> Any:
    """`value` with every Ref, Joined and Secret replaced by what it stands for."""
    if isinstance(value, Ref):
        return answer(value)
    if isinstance(value, Joined):
        return "".join(part if isinstance(part, str) else str(answer(part)) for part in value.parts)
    if isinstance(value, Secret):
        return value.value
    if isinstance(value, Digest):
        return value.taken(fill(value.value, answer))
    if isinstance(value, Keep):
        entries = None if value.entries is None else tuple((key, fill(new, answer)) for key, new in value.entries)
        return Keep(tuple(fill(item, answer) for item in value.put), value.drop, entries)
    if isinstance(value, Mapping):
        return {key: fill(item, answer) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(fill(item, answer) for item in value)
    return value


def settle(value: Any, answer: Callable[[Ref], Any]) -> Any:
    """`value` with those Refs replaced that `answer` knows; it answers the Ref itself where it does not."""
    if isinstance(value, Ref):
        return answer(value)
    if isinstance(value, Joined):
        parts = tuple(part if isinstance(part, str) else answer(part) for part in value.parts)
        return Joined(parts) if any(isinstance(part, Ref) for part in parts) else "".join(map(str, parts))
    if isinstance(value, Digest):
        known = settle(value.value, answer)
        return Digest(known, value.unordered) if any(True for _ in refs(known)) else value.taken(known)
    if isinstance(value, Keep):
        entries = None if value.entries is None else tuple((key, settle(new, answer)) for key, new in value.entries)
        return Keep(tuple(settle(item, answer) for item in value.put), value.drop, entries)
    if isinstance(value, Mapping):
        return {key: settle(item, answer) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(settle(item, answer) for item in value)
    return value


def refs(value: Any) -> Iterator[Ref]:
    """Every Ref inside `value`."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Joined):
        yield from (part for part in value.parts if isinstance(part, Ref))
    elif isinstance(value, Digest):
        yield from refs(value.value)
    elif isinstance(value, Keep):
        yield from refs([list(value.put), dict(value.entries or ())])
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from refs(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from refs(item)


def tainted(value: Any) -> bool:
    """Whether a Secret stands anywhere inside `value`."""
    if isinstance(value, Secret):
        return True
    if isinstance(value, Keep):
        return tainted([list(value.put), dict(value.entries or ())])
    if isinstance(value, Mapping):
        return any(map(tainted, value.values()))
    return isinstance(value, list | tuple) and any(map(tainted, value))


def secrets(value: Any) -> list[str]:
    """The values of all Secrets inside `value`."""
    if not tainted(value):
        return []
    if isinstance(value, Mapping):
        return [secret for item in value.values() for secret in secrets(item)]
    if isinstance(value, list | tuple):
        return [secret for item in value for secret in secrets(item)]
    if isinstance(value, Keep):
        return secrets([list(value.put), dict(value.entries or ())])
    return [str(value.value)]


# --- digests ---------------------------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """The one JSON spelling of a value: sorted keys, no spaces, Unicode as it is, 1.0 as 1."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def digest(value: Any) -> str:
    """128 bits of the sha256 of the canonical JSON, in hex. Never of a secret: those have no base."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def keyed(secret: Secret, key: str) -> str:
    """The digest of a secret that tells nothing to whoever lacks the key."""
    return hmac.new(key.encode(), secret.value.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:32]


def nearest(word: str, words: Iterator[str] | list[str] | tuple[str, ...]) -> str | None:
    """The most similar of `words`, or None if none is close."""
    import difflib

    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None
