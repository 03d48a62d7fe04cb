"""Values that are not known yet or need care: Ref, Template, Secret, Patch, Item, Digest, UNREAD; and digests.

File, JsonFile, CsvFile and UNSET stand for the tags of manifest files in a manifest in memory.

`walk` and `rebuild` are the only two functions that look inside these values.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from lettaform.address import Address

if TYPE_CHECKING:  # no files are read here
    from os import PathLike

HIDDEN: Final = "‹secret›"
"""What is shown of a value that must not be shown."""


@dataclass(frozen=True)
class Ref:
    """A value of another object that may not exist yet: its `id`, or one of its fields."""

    address: Address
    path: str = "id"


@dataclass(frozen=True)
class Template:
    """A text that contains Refs."""

    parts: tuple[str | Ref, ...]


@dataclass(frozen=True)
class Secret:
    """A value that is never shown, stored or digested without a key.

    expression  where it comes from
    parts       the literals and the Secrets that it is joined from, if it is joined from several
    unset       whether nothing gives the value: `value` takes its place where it is not needed
    hidden      whether its literals may not be shown either
    """

    expression: str
    value: str
    parts: tuple[str | Secret, ...] = field(default=(), compare=False)
    unset: bool = field(default=False, compare=False)
    hidden: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        return "".join(map(str, self.parts)) if self.shows_literals else HIDDEN

    __str__ = __repr__

    @property
    def shows_literals(self) -> bool:
        """Whether a part of the text may be shown."""
        return not self.hidden and any(isinstance(part, str) for part in self.parts)

    @property
    def sources(self) -> tuple[Secret, ...]:
        """The variables that give the value; the Secret itself if it is joined from none."""
        return tuple(part for part in self.parts if isinstance(part, Secret)) or (self,)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that must not be shown: the Secrets inside the value, or else the whole value."""
        inner = [text for part in self.parts if isinstance(part, Secret) for text in part.texts]
        return (*inner, *(() if self.shows_literals else (self.value,)))

    def opaque(self) -> Secret:
        """The same value, of which nothing may be shown."""
        return replace(self, hidden=True)

    def masked(self, text: str) -> Secret | None:
        """Another text with the literals of this one, which may be shown; None if it has others."""
        pattern = "".join(re.escape(part) if isinstance(part, str) else ".*" for part in self.parts)
        same = self.shows_literals and re.fullmatch(pattern, text, re.DOTALL)
        return replace(self, expression="live", value="") if same else None


@dataclass(frozen=True)
class Patch:
    """A change to a list or map that others also write to. The backend reads it again just before it writes.

    `put` and `drop` are members of a list. If `entries` is not None, the field is a map: `entries` are set and the
    keys in `drop` are removed.
    """

    put: tuple[Any, ...] = ()
    drop: tuple[Any, ...] = ()
    entries: tuple[tuple[str, Any], ...] | None = None


@dataclass(frozen=True)
class Digest:
    """The digest of a value that contains Refs; computed when they are known.

    unordered  the value is a set
    whole      the text itself is kept in place of its digest
    """

    value: Any
    unordered: bool = False
    whole: bool = False

    def of(self, known: Any) -> str:
        """The digest of the value, or the value itself, after its Refs were replaced."""
        if self.whole:
            return kept_text(known)
        return digest(sorted(known, key=canonical) if self.unordered else known)


@dataclass(frozen=True)
class Item:
    """Something that an object contains and that has no address: a passage of an archive, a file of a folder.

    key   what makes two items equal
    name  what people see
    body  what is needed to create it
    id    its id on the server; None before it is created
    """

    key: str
    name: str = field(default="", compare=False)
    body: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    id: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.name


class _Unread:
    """The value of a field that was not read. It is neither empty nor equal to anything."""

    def _fail(self, *_: object) -> NoReturn:
        raise RuntimeError("a field that was not read from the server was compared")

    __eq__ = __ne__ = __bool__ = __iter__ = __len__ = __contains__ = _fail
    __hash__ = object.__hash__

    def __reduce__(self) -> str:
        return "UNREAD"  # there is one, however it is copied

    def __repr__(self) -> str:
        return "UNREAD"


UNREAD: Final[Any] = _Unread()
"""The value in `Live.values` of a field that was not read from the server."""


MISSING: Final[Any] = object()
"""Stands for a live value that does not exist, or was not read."""


# --- one walk, one rebuild -------------------------------------------------------------------------------------------


# --- in a manifest in memory -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """The content of a UTF-8 text file, as `!file` in a manifest file. The path is relative to the project."""

    path: str | PathLike[str]


@dataclass(frozen=True)
class JsonFile:
    """The content of a JSON file, as `!json` in a manifest file. The path is relative to the project."""

    path: str | PathLike[str]


@dataclass(frozen=True)
class CsvFile:
    """The rows of a CSV file, as `!csv` in a manifest file. The path is relative to the project."""

    path: str | PathLike[str]


class Unset:
    """The type of UNSET."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""As `!unset` in a manifest file: remove what `defaults` or the environment below set."""


@dataclass(frozen=True)
class Refused:
    """A value that cannot be part of a manifest: the problem that is reported at its place."""

    message: str
    hint: str


# --- inside of values ------------------------------------------------------------------------------------------------


def walk(value: Any) -> Iterator[Any]:
    """Every leaf of `value`: plain values, Refs, Secrets and Items, in order."""
    match value:
        case str() | bool() | int() | None:  # most values
            yield value
        case Template():
            yield from value.parts
        case Digest():
            yield from walk(value.value)
        case Patch():
            yield from walk([value.put, value.drop, dict(value.entries or ())])
        case dict() | Mapping():  # to ask an abstract class is slow
            for item in value.values():
                yield from walk(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from walk(item)
        case _:
            yield value


def rebuild(value: Any, leaf: Callable[[Ref | Secret], Any]) -> Any:
    """`value` with `leaf(x)` in place of every Ref and Secret `x`.

    A Template without Refs becomes a text, and a Digest without Refs becomes the digest.
    """
    match value:
        case str() | bool() | int() | None:  # most values
            return value
        case Ref() | Secret():
            return leaf(value)
        case Template():
            parts = tuple(part if isinstance(part, str) else leaf(part) for part in value.parts)
            return Template(parts) if any(isinstance(part, Ref) for part in parts) else "".join(map(str, parts))
        case Digest():
            known = rebuild(value.value, leaf)
            return replace(value, value=known) if has_refs(known) else value.of(known)
        case Patch():
            entries = value.entries and tuple((key, rebuild(item, leaf)) for key, item in value.entries)
            return Patch(rebuild(value.put, leaf), rebuild(value.drop, leaf), entries)
        case dict() | Mapping():
            return {key: rebuild(item, leaf) for key, item in value.items()}
        case list() | tuple():
            return type(value)(rebuild(item, leaf) for item in value)
        case _:
            return value


def fill(value: Any, answer: Callable[[Ref], Any]) -> Any:
    """`value` as it is sent: every Ref replaced by its answer, every Secret by its text."""
    return rebuild(value, lambda each: each.value if isinstance(each, Secret) else answer(each))


def settle(value: Any, answer: Callable[[Ref], Any]) -> Any:
    """`value` with the Refs replaced that `answer` knows; it returns the Ref itself otherwise. Secrets stay."""
    return rebuild(value, lambda each: each if isinstance(each, Secret) else answer(each))


def refs(value: Any) -> Iterator[Ref]:
    """Every Ref inside `value`."""
    return (each for each in walk(value) if isinstance(each, Ref))


def has_refs(value: Any) -> bool:
    """Whether `value` contains a Ref."""
    return type(value) is not str and any(True for _ in refs(value))


def secrets(value: Any) -> Iterator[Secret]:
    """Every Secret inside `value`."""
    return (each for each in walk(value) if isinstance(each, Secret))


def tainted(value: Any) -> bool:
    """Whether `value` contains a Secret."""
    return type(value) is not str and any(True for _ in secrets(value))


def masked(have: Any, want: Any) -> Any:
    """`have` as it may be shown where `want` contains Secrets: what equals no literal in `want` is a Secret."""
    if isinstance(have, list):
        return [_masked_item(item, want if isinstance(want, list | tuple) else ()) for item in have]
    return have if have is None or have == want else _masked_item(have, (want,))


def _masked_item(item: Any, declared: Iterable[Any]) -> Any:
    templates = [each for each in declared if isinstance(each, Secret)]
    if any(item == each for each in declared if isinstance(each, str)):
        return item
    fits = (each.masked(item) for each in templates if isinstance(item, str))
    return next((found for found in fits if found is not None), Secret("live", ""))


# --- digests ---------------------------------------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """The one JSON spelling of a value: sorted keys, no spaces, Unicode as it is, 1.0 as 1."""
    return _CANONICAL.encode(value if type(value) is str else _plain(value))


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict | Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def digest(value: Any) -> str:
    """The first 128 bits of the sha256 of the canonical JSON, in hex. Never used for a secret."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def kept_text(text: str) -> str:
    """A text as it is kept in place of its digest. No digest begins like it."""
    return f"={text}"


def text_kept(kept: str) -> str | None:
    """The text that is kept in place of a digest; None for a digest."""
    return kept[1:] if kept.startswith("=") else None


def keyed(secret: Secret, key: str) -> str:
    """The digest of a secret, of no use without the key of the stack."""
    return hmac.new(key.encode(), secret.value.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:32]
