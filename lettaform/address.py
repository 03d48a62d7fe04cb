"""Address: the path of an object in the manifest, parsed and printed in one place.

`agents.worker`, `agents.worker[emea]`, `agents.worker.memory.human`, `folders.handbook.files["docs/a.md"]`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import NamedTuple

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = r'"(?:[^"\\]|\\.)*"'
_NAME = re.compile(rf"\.?({_BARE.pattern})")
_KEY = re.compile(rf"\.({_BARE.pattern})|\[({_STRING})\]")
_INDEX = re.compile(rf"\[({_STRING}|{_BARE.pattern})\]")
_FIELD = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_]*)")
# as people write keys: only what also separates keys needs quotes
_LOOSE_KEY = re.compile(rf'\.(?! )([^.\[\]"]+)(?<! )|\[({_STRING}|(?! )[^\[\]"]+(?<! ))\]')
_LOOSE_INDEX = re.compile(rf'\[({_STRING}|(?! )[^\[\]"]+(?<! ))\]')
_KEY_AND_INDEX = re.compile(rf'([^\[\]"]+){_LOOSE_INDEX.pattern}')


class Segment(NamedTuple):
    """One step of a path: a section or field, a key in it, and the key of a `for_each` instance."""

    name: str
    key: str
    instance: str | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Address:
    """The path of an object in the manifest. Together with the stack, it identifies the object on a server.

    The last segment names the object itself; the segments before it name what contains the object.
    """

    path: tuple[Segment, ...]
    parent: Address | None = dataclasses.field(init=False, repr=False)
    """The object that this one is a part of: the agent of an own block."""
    _hash: int = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        # a plan looks up each address many times
        object.__setattr__(self, "_hash", hash(self.path))
        object.__setattr__(self, "parent", _shared(self.path[:-1]) if len(self.path) > 1 else None)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Address) and self.path == other.path)

    def __reduce__(self) -> tuple[type[Address], tuple[tuple[Segment, ...]]]:
        return Address, (self.path,)  # hashes of texts differ between processes

    @classmethod
    def of(cls, section: str, key: str, index: str | None = None) -> Address:
        """The address of an object in a section of the manifest."""
        return _shared((Segment(section, key, index),))

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read the only accepted spelling of an address. Raises ValueError for any other text."""
        return _parse(text)

    @classmethod
    def read(cls, text: str) -> Address:
        """Read an address as people write it: a key needs no quotes where it has one meaning without them.

        `blocks.brand[acme/eu]` is read as `blocks.brand["acme/eu"]`. Raises ValueError for what is no address.
        """
        return _read(text)

    @classmethod
    def in_section(cls, section: str, text: str) -> Address:
        """Read what follows the section: `worker`, `worker[emea]`, `v1.2[emea]`. ValueError for any other text."""
        try:
            return _read(f"{section}{text}" if text.startswith("[") else f"{section}.{text}")
        except ValueError:
            found = _KEY_AND_INDEX.fullmatch(text)
            if found is None:
                raise
            return cls.of(section, found[1], _plain(found[2]))

    def __str__(self) -> str:
        return _spell(self)

    def __lt__(self, other: Address) -> bool:
        return _spell(self) < _spell(other)

    # --- reading

    @property
    def section(self) -> str:
        """The section of the object, or of the object that this one is a part of."""
        return self.path[0].name

    @property
    def key(self) -> str:
        """The key in that section."""
        return self.path[0].key

    @property
    def index(self) -> str | None:
        """The key of the `for_each` instance in that section."""
        return self.path[0].instance

    @property
    def field(self) -> str | None:
        """The field that holds this part of an object; None if this is no part."""
        return self.path[-1].name if len(self.path) > 1 else None

    @property
    def child(self) -> str | None:
        """The key in that field; None if this is no part."""
        return self.path[-1].key if len(self.path) > 1 else None

    @property
    def declaration(self) -> Address:
        """The address without the key of the `for_each` instance: of what the manifest declares."""
        if self.index is None:
            return self
        return Address((self.path[0]._replace(instance=None), *self.path[1:]))

    @property
    def without_section(self) -> str:
        """What follows the section in the address, as written in lists of references: `worker[emea]`."""
        return _spell(self)[len(self.section) :].removeprefix(".")

    @property
    def top(self) -> Address:
        """The object of a section that this one is, or is a part of."""
        return self.parent or self

    # --- building

    def part(self, field: str, child: str) -> Address:
        """The address of a part of this object, for example `memory`, `human`."""
        return _shared((*self.path, Segment(field, child)))

    def sibling(self, section: str, key: str) -> Address:
        """The address with the same instance and container in another section, under another key."""
        return Address((*self.path[:-1], self.path[-1]._replace(name=section, key=key)))

    def instance(self, index: str | None) -> Address:
        """The instance of this declaration with the given `for_each` key; None for the declaration itself."""
        return Address((*self.path[:-1], self.path[-1]._replace(instance=index)))

    def in_instance(self, index: str | None) -> Address:
        """The same object, or part, in the instance with the given `for_each` key; None: in the declaration itself."""
        return Address((self.path[0]._replace(instance=index), *self.path[1:]))

    def moved(self, old: Address, new: Address) -> Address:
        """This address after `old` was renamed to `new`. `old` is this address or contains it."""
        return Address((*new.path, *self.path[len(old.path) :]))

    def is_within(self, other: Address) -> bool:
        """Whether this is `other`, or a part of it."""
        return self.path[: len(other.path)] == other.path


_shared = cache(Address)
"""The address with a path: one object, so that a table finds it without comparing paths."""


@cache
def _spell(address: Address) -> str:
    text = ""
    for segment in address.path:
        bare = _BARE.fullmatch(segment.key)
        text += f".{segment.name}" + (f".{segment.key}" if bare else f"[{_quoted(segment.key)}]")
        if segment.instance is not None:
            text += f"[{segment.instance if _BARE.fullmatch(segment.instance) else _quoted(segment.instance)}]"
    return text[1:]


def _quoted(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


@cache
def _parse(text: str) -> Address:
    address = _matched(text, _NAME, _KEY, _INDEX)
    if _spell(address) != text:
        raise ValueError(f"not an address: {text!r}")
    return address


@cache
def _read(text: str) -> Address:
    return _matched(text, _FIELD, _LOOSE_KEY, _LOOSE_INDEX)


def _matched(text: str, names: re.Pattern[str], keys: re.Pattern[str], indexes: re.Pattern[str]) -> Address:
    """The address in a text whose keys match. Raises ValueError if there is none."""
    path: list[Segment] = []
    position = 0
    while position < len(text):
        name = names.match(text, position)
        key = keys.match(text, name.end()) if name else None
        if name is None or key is None:
            break
        # only an object of a section can be an instance of a `for_each`; parts cannot
        index = None if path else indexes.match(text, key.end())
        path.append(Segment(name[1], _plain(key[1] or key[2]), _plain(index[1]) if index else None))
        position = (index or key).end()
    if position < len(text) or not 1 <= len(path) <= 2 or not all(each.key for each in path):
        raise ValueError(f"not an address: {text!r}")
    return _shared(tuple(path))


def _plain(word: str) -> str:
    return str(json.loads(word)) if word.startswith('"') else word


# --- patterns

_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_FIRST_KEY = re.compile(r"^([a-z_]+)\[([^\[\]]*)\]")


def matches(address: Address, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns matches an address, what contains it, or what declares it with `for_each`."""
    return bool(patterns) and any(_compiled(pattern).match(name) for pattern in patterns for name in _names(address))


@cache
def _names(address: Address) -> tuple[str, ...]:
    """The texts that a pattern for an address may match."""
    whole = [each for each in (address, address.parent) if each]
    return tuple(dict.fromkeys(_literal(str(name)) for each in whole for name in (each, each.declaration)))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(_literal(pattern)))


def _literal(text: str) -> str:
    """An address or a pattern in one spelling: without quotes around keys, and with the first key after a dot."""
    text = _QUOTED.sub(_unquoted, text)
    text = _FIRST_KEY.sub(r"\1.\2", text)
    return text.replace("[", "\u27e6").replace("]", "\u27e7")  # fnmatch reads brackets as a set of characters


def _unquoted(key: re.Match[str]) -> str:
    try:
        return f"[{json.loads(key[1])}]"
    except ValueError:
        return key[0]
