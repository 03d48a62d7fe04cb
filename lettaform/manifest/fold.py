"""Equal parts of objects to `defaults`, and rows of similar objects to one declaration with `for_each`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lettaform.manifest.emit_text import File, Raw
from lettaform.manifest.keys import Keys
from lettaform.values import canonical

Path = tuple[str | int, ...]
Tree = dict[str, Any]

ROW = 3
"""Objects from which a row of similar ones becomes one declaration."""
DIFFERENT = 2
"""Values in which the objects of a row may differ, apart from those that contain the key."""
_SUFFIX = re.compile(r"(.*?)[-_ ]?([A-Za-z0-9]+)")
_MISSING: Any = object()


# --- defaults --------------------------------------------------------------------------------------------------------


def with_defaults(section: Mapping[str, Tree], never: frozenset[str]) -> tuple[Tree, dict[str, Tree]]:
    """The fields that objects of a section have in common, and the objects without them.

    A single value is a default if every object has the field, and most have this value; a list or map if all have it.
    `never`: fields that stay with their objects.
    """
    objects = [each for each in section.values() if "external" not in each]
    if len(objects) < 2 or len(objects) < len(section):
        return {}, dict(section)
    names = [name for name in objects[0] if name not in never and all(name in each for each in objects)]
    defaults = {name: value for name in names if (value := _common([each[name] for each in objects])) is not _MISSING}
    rest = {
        key: {name: value for name, value in each.items() if name not in defaults or not same(value, defaults[name])}
        for key, each in section.items()
    }
    return defaults, rest


def _common(values: Sequence[Any]) -> Any:
    """The value that most have; _MISSING if there is none. Lists and maps must be those of all."""
    most, number = Counter(spelled(value) for value in values).most_common(1)[0]
    found = next(value for value in values if spelled(value) == most)
    enough = (
        number == len(values) if any(isinstance(each, Mapping | list) for each in values) else 2 * number > len(values)
    )
    return found if enough else _MISSING


def same(one: Any, other: Any) -> bool:
    """Whether two values are written in the same way."""
    return spelled(one) == spelled(other)


def spelled(value: Any) -> str:
    """A tree as one text."""
    return canonical(_plain(value))


def _plain(value: Any) -> Any:
    match value:
        case Raw(text=text):
            return {"expression": text}
        case File(tag=tag, path=path, text=text):
            return {"tag": tag, "path": path, "content": text}
        case Mapping():
            return [[key, _plain(item)] for key, item in value.items()]
        case list():
            return {"list": [_plain(item) for item in value]}
        case bool() | None:
            return value
        case int() | float():
            return {"number": repr(value)}
    return value


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A declaration with `for_each`.

    body       its fields
    instances  the key of each object that it stands for, to the key of the instance
    """

    key: str
    body: Tree
    instances: Mapping[str, str] = field(default_factory=dict)


def rows(section: Mapping[str, Tree], keys: Keys) -> list[Row]:
    """The rows among the objects of a section. `keys`: those in use; the rows take theirs from it."""
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for key, body in section.items():
        found = _SUFFIX.fullmatch(key)
        if found and found[1] and "external" not in body and "for_each" not in body:
            groups[found[1], spelled([_shape(path) for path, _ in leaves(body)])][key] = found[2]
    return [row for (prefix, _), named in groups.items() for row in _split(prefix, named, section, keys)]


def _split(prefix: str, named: Mapping[str, str], section: Mapping[str, Tree], keys: Keys) -> Iterator[Row]:
    """The rows among objects of one form; objects that differ in too much are divided by their values."""
    if len(named) < ROW or len({*named.values()}) < len(named):
        return
    bodies = {key: dict(leaves(section[key])) for key in named}
    paths = list(next(iter(bodies.values())))
    columns = {path: _column([bodies[key][path] for key in named], list(named.values())) for path in paths}
    varying = [path for path, column in columns.items() if column is _MISSING]
    usable = all(_can_vary(bodies[key][path]) for path in varying for key in named)
    if len(varying) <= DIFFERENT and usable:
        yield from _row(prefix, named, section, columns, keys)
        return
    numbers = {path: len({spelled(bodies[key][path]) for key in named}) for path in varying}
    path = min(varying, key=lambda each: (numbers[each], str(each)))
    if numbers[path] * 2 > len(named):
        return
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for key, suffix in named.items():
        parts[spelled(bodies[key][path])][key] = suffix
    for part in parts.values():
        yield from _split(prefix, part, section, keys)


def _row(
    prefix: str, named: Mapping[str, str], section: Mapping[str, Tree], columns: Mapping[Path, Any], keys: Keys
) -> Iterator[Row]:
    name = _column(list(named), list(named.values()))
    if name is _MISSING:
        return
    for each in named:
        keys.used.discard(each.lower())
    key = keys.take(prefix)
    varying = [path for path, column in columns.items() if column is _MISSING]
    words = _words(varying)
    values = dict(columns)
    values |= {
        path: Raw("${each.value}" if len(varying) == 1 else f"${{each.value.{words[path]}}}") for path in varying
    }
    first = section[next(iter(named))]
    named_anew = {} if "name" in first or name == Raw(f"{key}-${{each.key}}") else {"name": name}
    yield Row(key, {"for_each": _items(named, section, varying, words), **named_anew, **_rebuilt(first, values)}, named)


def _items(
    named: Mapping[str, str], section: Mapping[str, Tree], varying: Sequence[Path], words: Mapping[Path, str]
) -> Any:
    """The value of `for_each`: a list of keys, or a map of keys to the values that differ."""
    bodies = {suffix: dict(leaves(section[key])) for key, suffix in named.items()}
    if not varying:
        numbers = all(suffix == str(int(suffix)) if suffix.isdecimal() else False for suffix in bodies)
        return sorted(map(int, bodies)) if numbers else list(bodies)
    if len(varying) == 1:
        return {suffix: body[varying[0]] for suffix, body in bodies.items()}
    return {suffix: {words[path]: body[path] for path in varying} for suffix, body in bodies.items()}


def _words(paths: Sequence[Path]) -> dict[Path, str]:
    """A name for each varying value: the last key of its path, or two if they are equal."""
    found = {path: re.sub(r"\W+", "_", str(_shape(path)[-1])) or "value" for path in paths}
    if len({*found.values()}) < len(found):
        found = {path: re.sub(r"\W+", "_", "_".join(map(str, path))) for path in paths}
    return {path: word if word[:1].isalpha() else f"value_{word}" for path, word in found.items()}


def _shape(path: Path) -> Path:
    return tuple(step for step in path if not isinstance(step, int)) or path


def _can_vary(value: Any) -> bool:
    """Whether a value can be written below `for_each`: it is a single one, and contains no secret."""
    return isinstance(value, str | int | float | bool)


def _column(values: Sequence[Any], suffixes: Sequence[str]) -> Any:
    """A value that holds for all objects of a row: the same, or one with the key in it. _MISSING if there is none."""
    if all(same(value, values[0]) for value in values):
        return values[0]
    if all(isinstance(value, File) for value in values):
        return _file_column(values, suffixes)
    if not all(isinstance(value, str) for value in values):
        return _MISSING
    written = {_with_key(value, suffix) for value, suffix in zip(values, suffixes, strict=True)}
    return Raw(written.pop()) if len(written) == 1 else _MISSING


def _file_column(files: Sequence[File], suffixes: Sequence[str]) -> Any:
    """One file for each object, whose paths differ in the key."""
    paths = {_with_key(each.path, suffix) for each, suffix in zip(files, suffixes, strict=True)}
    return File(files[0].tag, paths.pop(), "", tuple(files)) if len(paths) == 1 and files[0].tag else _MISSING


def _with_key(text: str, suffix: str) -> str:
    """A text with `${each.key}` where the key stands as a word."""
    escaped = text.replace("${", "$${")
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(suffix)}(?![A-Za-z0-9])", "${each.key}", escaped)


# --- leaves ----------------------------------------------------------------------------------------------------------


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The single values of a tree, each with its path. Empty maps and lists are single values."""
    if isinstance(tree, Mapping) and tree:
        for key, item in tree.items():
            yield from leaves(item, (*path, key))
    elif isinstance(tree, list) and tree:
        for index, item in enumerate(tree):
            yield from leaves(item, (*path, index))
    else:
        yield path, tree


def _rebuilt(tree: Any, values: Mapping[Path, Any], path: Path = ()) -> Any:
    """A tree with other single values."""
    if isinstance(tree, Mapping) and tree:
        return {key: _rebuilt(item, values, (*path, key)) for key, item in tree.items()}
    if isinstance(tree, list) and tree:
        return [_rebuilt(item, values, (*path, index)) for index, item in enumerate(tree)]
    return values[path]
