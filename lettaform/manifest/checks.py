"""The values of one object to the problems in them: wrong types, what its kind rejects, and reserved names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, get_origin

from lettaform.errors import Place
from lettaform.kinds.base import Attr, Kind, Never
from lettaform.kinds.traits import Contents, SourceFile
from lettaform.manifest.bodies import UNMANAGED, cannot_clear
from lettaform.manifest.expand import Instance
from lettaform.manifest.fields import stand_in
from lettaform.manifest.files import Files
from lettaform.manifest.node import UNRESOLVED, Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.remedy import QUOTE
from lettaform.manifest.types import Flaw, find, flaws, shown_at
from lettaform.ownership.marks import MARK
from lettaform.values import Item, Ref, Secret, fill, tainted, walk


class Checks:
    """Checks the values of objects."""

    def __init__(self, problems: Problems, files: Files) -> None:
        self.problems, self.files = problems, files

    def valid(self, instance: Instance, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values that are of the right type. Literals were checked before; their problems are not repeated."""
        lines = instance.table.attrs()
        known = {name: value for name, value in values.items() if value is not UNRESOLVED}
        typed = {
            name: lines[name].without_removed(fill(value, stand_in))
            for name, value in known.items()
            if value is not None
        }
        broken: set[str] = set()
        for flaw in flaws(instance.table, typed):
            name = str(flaw.path[0])
            if _known_later(known[name], flaw):
                continue
            broken.add(name)
            where, deferred = shown_at(instance.body, flaw)
            # a map may get its keys from several files, which were checked one by one before
            merged = len(flaw.path) > 1 and lines[name].to is None
            if deferred or merged or not self.problems.has_errors:
                secret = lines[name].secret or tainted(known[name])
                about: dict[str, Any] = {"address": instance.address, "field": flaw.field, "secret": secret}
                hint = _QUOTE_SOURCE if deferred and flaw.hint == QUOTE else flaw.hint
                self.problems.add(flaw.message(secret=secret), where, hint, **about)
        for name, value in known.items():
            if value is None and lines[name].clear is Never:
                broken.add(name)
                if instance.body.map[name].deferred:
                    where = instance.body.at(name)
                    self.problems.add(cannot_clear(name), where, UNMANAGED, address=instance.address, field=name)
        return {name: value for name, value in known.items() if name not in broken}

    def rejected(self, instance: Instance, values: Mapping[str, Any], unknown: Collection[str]) -> bool:
        """Report what the kind rejects, and reserved names. Returns whether the kind rejects anything.

        unknown  fields that the manifest sets to values that are wrong or could not be determined
        """
        fields = instance.table.model_fields
        # what is not known is not missing
        given = {**values, **{name: Ref(instance.address, name) for name in unknown}}
        # a whole list or map that is not known yet cannot be checked
        later = {n for n, v in given.items() if isinstance(v, Ref) and get_origin(fields[n].annotation) in (dict, list)}
        found = instance.table.check({name: value for name, value in given.items() if name not in later})
        for path, message, hint in found:
            name = path.partition(".")[0]
            if name in unknown or (instance.body.map.get(name) is None and unknown):
                continue
            where = place_of(instance, path)
            message = f"{path}: {self._line_of_source(instance, name, values)}{message}"
            self.problems.add(message, where, hint, address=instance.address, field=path)
        self._check_reserved(instance, values)
        return self._has_nul(instance, values, {path for path, _, _ in found}) or bool(found)

    def _has_nul(self, instance: Instance, values: Mapping[str, Any], reported: Collection[str]) -> bool:
        """Report every text with a NUL character. 0.16.8 answers 500 to most of them, and drops it from others."""
        paths = [path for name, value in values.items() for path in _with_nul(name, value) if path not in reported]
        for path in paths:
            message = f"{path}: contains a NUL character, which the server cannot store"
            about: dict[str, Any] = {"address": instance.address, "field": path}
            secret = instance.table.attrs()[path.partition(".")[0]].secret
            self.problems.add(message, place_of(instance, path), "remove it", **about, secret=secret)
        return bool(paths)

    def warn(self, instance: Instance) -> None:
        """Warn of likely mistakes in what is written literally: a path in place of its text, and a secret in clear."""
        lines = _written_literally(instance.table)
        for name, node in instance.body.map.items():
            line = lines.get(name)
            if line is None:
                continue
            if line.secret:
                self._warn_of_secrets(instance, line, node)
            else:
                for path, each in [(name, node), *((f"{name}.{n}", item) for n, item in enumerate(node.list))]:
                    self._warn_of_path(instance, path, each)

    def _warn_of_path(self, instance: Instance, path: str, node: Node) -> None:
        text = node.text or ""
        if not _PATH.fullmatch(text) and not (_WORD.fullmatch(text) and self.files.exists(text, node.place)):
            return
        message = f"{path}: the text {text!r} looks like the path of a file"
        hint = f"write `!file {text}` for the content of the file"
        about: dict[str, Any] = {"address": instance.address, "field": path, "severity": "warning"}
        self.problems.add(message, node.place, hint, **about, rule="path-as-text")

    def _warn_of_secrets(self, instance: Instance, line: Attr, node: Node) -> None:
        for key, each in node.map.items() or ((line.name, node),):
            # headers and environment variables often hold no secret
            if not each.text or each.deferred or (line.name in _MIXED and not _SECRET.search(key)):
                continue
            variable = re.sub(r"\W+", "_", key.lower()).strip("_")
            hint = f"declare `variables: {{{variable}: {{secret: true}}}}`, and write `${{var.{variable}}}`"
            path, place = (f"{line.name}.{key}", node.at(key)) if node.map else (line.name, each.place)
            about: dict[str, Any] = {"address": instance.address, "field": path, "severity": "warning"}
            message = f"{path}: a secret in clear"
            self.problems.add(message, place, hint, **about, secret=True, rule="secret-in-clear")

    def _check_reserved(self, instance: Instance, values: Mapping[str, Any]) -> None:
        hint = "lettaform uses it to mark the objects that it manages: choose another one"
        tags, metadata = values.get("tags"), values.get("metadata")
        for index, tag in enumerate(tags if isinstance(tags, list) else ()):
            if isinstance(tag, str) and tag.startswith(f"{MARK}:"):
                message = f"tags: {tag!r} starts with `{MARK}:`, which is reserved"
                self.problems.add(message, place_of(instance, f"tags.{index}"), hint, address=instance.address)
        if isinstance(metadata, Mapping) and MARK in metadata:
            message = f"metadata: the key `{MARK}` is reserved"
            self.problems.add(message, place_of(instance, f"metadata.{MARK}"), hint, address=instance.address)

    def _line_of_source(self, instance: Instance, name: str, values: Mapping[str, Any]) -> str:
        """File and line of a problem in a text that was read from a file; empty for other fields."""
        if name not in instance.sources or name not in values:
            return ""
        path = self.files.folder_of(instance.body.map[name].place) / instance.sources[name]
        return f"{self.files.shown(path)}:{instance.table.line_of(name, values[name])}: "


_QUOTE_SOURCE = "an expression keeps the type of its value: quote the value where it is set"
_PATH = re.compile(r"[\w./-]+\.(md|markdown|txt|rst|prompt|j2|jinja2?)")
"""Texts that look like paths, whether there is such a file or not."""
_WORD = re.compile(r"[\w./-]+\.\w+")
"""Texts that are looked for as files."""
_SECRET = re.compile(r"key|token|secret|passw|credential|cookie|auth", re.IGNORECASE)
_MIXED = ("headers", "env")
"""Secret maps that often hold other values, too: only keys that match _SECRET are secrets for sure."""


def _with_nul(path: str, value: Any) -> Iterator[str]:
    """The paths of the texts that contain a NUL character, and of the maps with such a key."""
    match value:
        case str():  # most values
            if "\0" in value:
                yield path
        case Item():
            yield from _with_nul(path, value.body)
        case dict() | Mapping():
            if any("\0" in key for key in value if isinstance(key, str)):
                yield path
            for key, item in value.items():
                yield from _with_nul(f"{path}.{key}" if "\0" not in str(key) else path, item)
        case list():
            for index, item in enumerate(value):
                yield from _with_nul(f"{path}.{index}", item)
        case _:
            if _is_with_nul(value):
                yield path


def _is_with_nul(value: Any) -> bool:
    """Whether a single value, which may hold Secrets, contains a NUL character."""
    texts = (part.value if isinstance(part, Secret) else part for part in walk(value))
    return any(isinstance(text, str) and "\0" in text for text in texts)


@cache
def _written_literally(table: type[Kind]) -> Mapping[str, Attr]:
    """The fields of secrets and of longer texts, in which something that is written literally may be a mistake."""
    written = (line for line in table.attrs().values() if line.write is not None or line.related(Contents))
    return {line.name: line for line in written if line.secret or _is_prose(table, line)}


def _is_prose(table: type[Kind], line: Attr) -> bool:
    """Whether users write longer texts in a field: it has no form of its own, and is no name, reference or source."""
    info = table.model_fields[line.name]
    named = line.name == table.name_field or line.to or line.related(SourceFile) or line.offered
    contents = line.related(Contents)
    return contents.what == "passages" if contents else info.annotation is str and not (info.metadata[1:] or named)


def place_of(instance: Instance, path: str) -> Place:
    """Where to show a problem with the value at `path`: the object itself if the manifest does not set it."""
    steps: list[str | int] = [int(step) if step.isdecimal() else step for step in path.split(".")]
    return find(instance.body, steps)[1] if str(steps[0]) in instance.body.map else instance.place


def _known_later(value: Any, flaw: Flaw) -> bool:
    """Whether the flaw is in a value that is not known yet: of another object, or a secret that is not set."""
    for step in flaw.path[1:]:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
    return value.unset if isinstance(value, Secret) else isinstance(value, Ref) and value.path != "id"
