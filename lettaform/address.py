"""Address: the path of an object in the manifest, parsed and printed in one place.

`agents.worker`, `agents.worker[emea]`, `agents.worker.memory.human`, `folders.handbook.files["docs/a.md"]`.
Of what is in a component: `components.desk[emea].agents.worker`.
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


COMPONENTS = "components"
"""The section that uses components: the first word of the address of what is in one."""


class Segment(NamedTuple):
    """One step of a path: a section or field, a key in it, and the key of a `for_each` instance."""

    name: str
    key: str
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Component:
    """The path of an instance of a component, from the outermost one: `components.desk[emea].components.memory`."""

    steps: tuple[Segment, ...]

    @classmethod
    def of(cls, outer: Component | None, key: str, index: str | None = None) -> Component:
        """The path of what is used under a key of `components`, inside of `outer`, or of the manifest."""
        return _component((*(outer.steps if outer else ()), Segment(COMPONENTS, key, index)))

    @classmethod
    def read(cls, text: str) -> Component:
        """Read the path of a component as people write it. Raises ValueError for what is none."""
        steps, path = _segments(text, _FIELD, _LOOSE_KEY, _LOOSE_INDEX)
        if path or not steps:
            raise ValueError(f"not the address of a component: {text!r}")
        return _component(steps)

    def __str__(self) -> str:
        return _spelled(self.steps)

    @property
    def key(self) -> str:
        """The key under which it is used."""
        return self.steps[-1].key

    @property
    def index(self) -> str | None:
        """The key of the `for_each` instance."""
        return self.steps[-1].instance

    @property
    def outer(self) -> Component | None:
        """The component that uses this one; None if the manifest does."""
        return _component(self.steps[:-1]) if len(self.steps) > 1 else None

    @property
    def without_indexes(self) -> Component:
        """The path of what the manifest declares: without keys of `for_each` instances."""
        return _component(tuple(step._replace(instance=None) for step in self.steps))

    def instance(self, index: str | None) -> Component:
        """The instance with the given `for_each` key; None for the declaration itself."""
        return _component((*self.steps[:-1], self.steps[-1]._replace(instance=index)))

    def is_within(self, other: Component) -> bool:
        """Whether this is `other`, or inside of it."""
        return self.steps[: len(other.steps)] == other.steps

    def moved(self, old: Component, new: Component) -> Component:
        """This path after `old`, which is this one or contains it, was renamed to `new`."""
        return _component((*new.steps, *self.steps[len(old.steps) :]))

    def inside(self, outer: Component | None) -> Component:
        """The same path inside of another component."""
        return _component((*outer.steps, *self.steps)) if outer else self


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Address:
    """The path of an object in the manifest. Together with the stack, it identifies the object on a server.

    The last segment of the path names the object itself; the segment before it names what contains the object.

    component  the component that declares it; None: the manifest does
    """

    path: tuple[Segment, ...]
    component: Component | None = None
    parent: Address | None = dataclasses.field(init=False, repr=False)
    """The object that this one is a part of: the agent of an own block."""
    _hash: int = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        # a plan looks up each address many times
        object.__setattr__(self, "_hash", hash((self.path, self.component) if self.component else self.path))
        parent = _shared(self.path[:-1], self.component) if len(self.path) > 1 else None
        object.__setattr__(self, "parent", parent)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Address) and self.path == other.path and self.component == other.component

    def __reduce__(self) -> tuple[type[Address], tuple[tuple[Segment, ...], Component | None]]:
        return Address, (self.path, self.component)  # hashes of texts differ between processes

    @classmethod
    def of(cls, section: str, key: str, index: str | None = None, component: Component | None = None) -> Address:
        """The address of an object in a section of the manifest, or of a component."""
        return _shared((Segment(section, key, index),), component)

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
        return Address((self.path[0]._replace(instance=None), *self.path[1:]), self.component)

    @property
    def without_indexes(self) -> Address:
        """The address without the keys of `for_each` instances, also those of components."""
        return Address(self.declaration.path, self.component and self.component.without_indexes)

    @property
    def indexes(self) -> str:
        """The keys of all `for_each` instances in the address: `[emea]`."""
        steps = (*(self.component.steps if self.component else ()), *self.path)
        return "".join(f"[{_key(step.instance)}]" for step in steps if step.instance is not None)

    @property
    def without_section(self) -> str:
        """What follows the section in the address, as written in lists of references: `worker[emea]`."""
        return _spelled(self.path)[len(self.section) :].removeprefix(".")

    @property
    def top(self) -> Address:
        """The object of a section that this one is, or is a part of."""
        return self.parent or self

    # --- building

    def part(self, field: str, child: str) -> Address:
        """The address of a part of this object, for example `memory`, `human`."""
        return _shared((*self.path, Segment(field, child)), self.component)

    def sibling(self, section: str, key: str) -> Address:
        """The address with the same instance and container in another section, under another key."""
        return Address((*self.path[:-1], self.path[-1]._replace(name=section, key=key)), self.component)

    def instance(self, index: str | None) -> Address:
        """The instance of this declaration with the given `for_each` key; None for the declaration itself."""
        return Address((*self.path[:-1], self.path[-1]._replace(instance=index)), self.component)

    def in_instance(self, index: str | None) -> Address:
        """The same object, or part, in the instance with the given `for_each` key; None: in the declaration itself."""
        return Address((self.path[0]._replace(instance=index), *self.path[1:]), self.component)

    def moved(self, old: Address, new: Address) -> Address:
        """This address after `old` was renamed to `new`. `old` is this address or contains it."""
        return Address((*new.path, *self.path[len(old.path) :]), new.component)

    def is_within(self, other: Address) -> bool:
        """Whether this is `other`, or a part of it."""
        return self.path[: len(other.path)] == other.path and self.component == other.component

    def in_component(self, component: Component | None) -> Address:
        """The same object in another component, or in the manifest."""
        return _shared(self.path, component)

    def inside(self, component: Component | None) -> Address:
        """The same address inside of a component: what it means where it is written there."""
        if component is None:
            return self
        return _shared(self.path, self.component.inside(component) if self.component else component)


_shared = cache(Address)
"""The address with a path: one object, so that a table finds it without comparing paths."""
_component = cache(Component)


@cache
def _spell(address: Address) -> str:
    return _spelled((*address.component.steps, *address.path) if address.component else address.path)


def _spelled(path: tuple[Segment, ...]) -> str:
    text = ""
    for segment in path:
        bare = _BARE.fullmatch(segment.key)
        text += f".{segment.name}" + (f".{segment.key}" if bare else f"[{_quoted(segment.key)}]")
        if segment.instance is not None:
            text += f"[{_key(segment.instance)}]"
    return text[1:]


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


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
    steps, path = _segments(text, names, keys, indexes)
    if not 1 <= len(path) <= 2:
        raise ValueError(f"not an address: {text!r}")
    return _shared(path, _component(steps) if steps else None)


Path = tuple[Segment, ...]


def _segments(text: str, names: re.Pattern[str], keys: re.Pattern[str], indexes: re.Pattern[str]) -> tuple[Path, Path]:
    """The steps of the components in a text, and the steps after them. Raises ValueError for what is no path."""
    steps: list[Segment] = []
    path: list[Segment] = []
    position = 0
    while position < len(text):
        name = names.match(text, position)
        key = keys.match(text, name.end()) if name else None
        if name is None or key is None:
            break
        # only an object of a section, or a component, can be an instance of a `for_each`; parts cannot
        index = None if path else indexes.match(text, key.end())
        segment = Segment(name[1], _plain(key[1] or key[2]), _plain(index[1]) if index else None)
        (steps if name[1] == COMPONENTS and not path else path).append(segment)
        position = (index or key).end()
    if position < len(text) or not all(each.key for each in (*steps, *path)):
        raise ValueError(f"not an address: {text!r}")
    return tuple(steps), tuple(path)


def _plain(word: str) -> str:
    return str(json.loads(word)) if word.startswith('"') else word


# --- patterns

_QUOTED = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')
_FIRST_KEY = re.compile(r"^([a-z_]+)\[([^\[\]]*)\]")
_STEP = re.compile(rf"{COMPONENTS}(?:\.([^.\[\]]+)|\[([^\[\]]*)\])(\[[^\[\]]*\])?(?:\.|$)")


def matches(address: Address, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns matches an address, what contains it, or what declares it with `for_each`.

    What contains an object is also the component that declares it: `components.emea` matches all of its objects.
    """
    return bool(patterns) and any(_compiled(pattern).match(name) for pattern in patterns for name in _names(address))


@cache
def _names(address: Address) -> tuple[str, ...]:
    """The texts that a pattern for an address may match."""
    whole = [each for each in (address, address.parent) if each]
    names = [str(name) for each in whole for name in (each, each.declaration)]
    component = address.component
    if component is not None:
        names += [str(each.without_indexes) for each in whole]
    while component is not None:
        names += [str(component), str(component.instance(None)), str(component.without_indexes)]
        component = component.outer
    return tuple(dict.fromkeys(map(_literal, names)))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(_literal(pattern)))


def _literal(text: str) -> str:
    """An address or a pattern in one spelling: without quotes around keys, and with the first key after a dot."""
    text, steps = _QUOTED.sub(_unquoted, text), ""
    while step := _STEP.match(text):
        dot = "." if step[0].endswith(".") else ""
        steps += f"{COMPONENTS}.{step[1] or step[2]}{step[3] or ''}{dot}"
        text = text[step.end() :]
    text = steps + _FIRST_KEY.sub(r"\1.\2", text)
    return text.replace("[", "\u27e6").replace("]", "\u27e7")  # fnmatch reads brackets as a set of characters


def _unquoted(key: re.Match[str]) -> str:
    try:
        return f"[{json.loads(key[1])}]"
    except ValueError:
        return key[0]
