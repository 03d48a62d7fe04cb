"""The values of one object to the problems in them: wrong types, what its kind rejects, and reserved names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_origin

from lettaform.errors import Place
from lettaform.kinds.base import Never
from lettaform.manifest.bodies import UNMANAGED, cannot_clear, without_removed
from lettaform.manifest.expand import Instance
from lettaform.manifest.fields import stand_in
from lettaform.manifest.files import Files
from lettaform.manifest.node import UNRESOLVED
from lettaform.manifest.problems import Problems
from lettaform.manifest.types import Flaw, find, flaws
from lettaform.ownership.marks import MARK
from lettaform.values import Ref, Secret, fill, tainted


class Checks:
    """Checks the values of objects."""

    def __init__(self, problems: Problems, files: Files) -> None:
        self.problems, self.files = problems, files

    def valid(self, instance: Instance, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values that are of the right type. Literals were checked before; their problems are not repeated."""
        lines = instance.table.attrs()
        known = {name: value for name, value in values.items() if value is not UNRESOLVED}
        typed = {
            name: without_removed(lines[name], fill(value, stand_in))
            for name, value in known.items()
            if value is not None
        }
        broken: set[str] = set()
        for flaw in flaws(instance.table, typed):
            name = str(flaw.path[0])
            if _known_later(known[name], flaw):
                continue
            broken.add(name)
            _, where, deferred = find(instance.body, flaw.path)
            if deferred or not self.problems.has_errors:
                message = flaw.message(secret=lines[name].secret or tainted(known[name]))
                self.problems.add(message, where, flaw.hint, address=instance.address, field=flaw.field)
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
        return bool(found)

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
