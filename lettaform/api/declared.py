"""Typed objects of a manifest to the mapping that a manifest in memory is.

Imports nothing that takes long to import: a program that only declares objects starts at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from lettaform.values import HIDDEN, File, JsonFile, Refused, Unset

_T = TypeVar("_T")


class Absent:
    """The type of ABSENT."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()
"""The default of every field: the manifest says nothing about it."""


class Expression(str):
    """An expression in place of a value that is not a text, as `Expression("${var.turns}")`. A text can hold them."""

    __slots__ = ()


Maybe: TypeAlias = _T | Absent | Unset
"""A field that can be left out, and removed with UNSET where `defaults` or the environment below set it."""
Text: TypeAlias = str | File
"""A text, which can hold expressions, or the content of a file."""
Values: TypeAlias = Mapping[str, Any] | JsonFile | Expression
"""A map with free keys, or the content of a JSON file."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Declared:
    """An object of a manifest. Where another object refers to it, it stands for its key.

    section  the section of the manifest in which its key is. None: it is a part of the object that contains it
    """

    section: ClassVar[str | None] = None

    def __repr__(self) -> str:
        shown = {each.name: each.repr for each in fields(self)}
        given = (f"{name}={value!r}" if shown[name] else f"{name}={HIDDEN}" for name, value in self.given().items())
        return f"{type(self).__name__}({', '.join(given)})"

    def given(self) -> dict[str, Any]:
        """The fields that are set, by their names in a manifest."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not ABSENT}


def document(fleet: Declared) -> dict[str, Any]:
    """A whole fleet as Python's own values, with keys in place of references to objects.

    An object that is referred to, and that no section or several keys contain, becomes a Refused.
    """
    names = _Names(fleet)
    return {key: names.written(value) for key, value in fleet.given().items()}


class _Names:
    """The keys of the objects of a fleet and of its environments, by the identity of the object."""

    def __init__(self, fleet: Declared) -> None:
        self.found: dict[int, dict[str, None]] = {}
        for each in self._fleets(fleet):
            for name, section in each.items():
                for key, item in section.items() if isinstance(section, Mapping) else ():
                    if isinstance(item, Declared) and item.section == name:
                        self.found.setdefault(id(item), {})[key] = None

    def _fleets(self, fleet: Declared) -> Iterator[Mapping[str, Any]]:
        given = fleet.given()
        yield given
        environments = given.get("environments")
        for each in environments.values() if isinstance(environments, Mapping) else ():
            if isinstance(each, Declared):
                yield from self._fleets(each)

    def written(self, value: Any, *, refers: bool = False) -> Any:
        """A value of a manifest. `refers`: an object stands for its key, because another object contains it."""
        if isinstance(value, Declared):
            if refers and value.section:
                return self._key(value)
            # a fleet is no object: what an environment contains are objects again
            inside = value.section is not None or refers
            return {key: self.written(item, refers=inside) for key, item in value.given().items()}
        if isinstance(value, Mapping):
            return {key: self.written(item, refers=refers) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.written(item, refers=refers) for item in value]
        return value

    def _key(self, item: Declared) -> Any:
        keys = list(self.found.get(id(item), ()))
        if len(keys) == 1:
            return keys[0]
        name = type(item).__name__
        if not keys:
            hint = f"add it to `{item.section}` of the Fleet, or write the key of another one"
            return Refused(f"this {name} is in no section of the Fleet", hint)
        shown = " and ".join(f"`{key}`" for key in keys)
        return Refused(f"this {name} has several keys: {shown}", "write the one that is meant")
