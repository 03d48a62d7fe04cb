"""New values of a manifest to the new contents of the files that hold the old ones.

Only the characters of a value change. What results is read again before anything is written: every other value must be
what it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from lettaform.address import Address
from lettaform.errors import ManifestError, Place, Problem
from lettaform.manifest.files import ONE
from lettaform.manifest.locate import Document, Places, Target, Unwritable
from lettaform.manifest.scalars import Splice, rewrite, spliced, value_of
from lettaform.manifest.text import events
from lettaform.model import Desired, Import, Manifest, Moved, Removed

Reload = Callable[[Mapping[Path, bytes]], Manifest]
"""Loads the same manifest with other contents of some files. Raises ManifestError."""
Present = Callable[[Address, str], Any]
"""The live value of a declared leaf; `values.MISSING` if there is none."""

_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_SHOWN = 3
"""How many of the objects that share a value a message names."""


@dataclass(frozen=True)
class NewValue:
    """A value to put in the place of the declared one. `path`: the path of its field, or of an entry of a field."""

    address: Address
    path: str
    value: Any


@dataclass(frozen=True)
class Rewritten:
    """The result.

    files    path of each file that changes to its old and its new content
    written  the new values that are in them
    refused  for each of the others, why it is not
    outside  those that are written outside of the selected environment: other environments have them, too
    """

    files: Mapping[Path, tuple[bytes, bytes]] = field(default_factory=dict)
    written: tuple[NewValue, ...] = ()
    refused: tuple[tuple[NewValue, Problem], ...] = ()
    outside: tuple[NewValue, ...] = ()


def write_values(
    manifest: Manifest, directory: Path, values: Sequence[NewValue], present: Present, reload: Reload
) -> Rewritten:
    """The new contents of the files of a manifest.

    directory  the project, to which the paths of `manifest.inputs` are relative
    present    tells of other users of a value whether they have the new one, too

    Raises Outdated if a file has changed since the manifest was read.
    """
    work = _Work(manifest, directory, present, reload)
    work.collect(values)
    work.prove()
    written = tuple(each for edit in work.edits for each in edit.values)
    return Rewritten(
        {path: (work.places.file(path), content) for path, content in work.contents(work.edits).items()},
        written,
        tuple(work.refused),
        tuple(each for each in written if work.places.is_shared_by_environments(each.address, each.path)),
    )


@dataclass(frozen=True)
class _Edit:
    """The new value of one target, for all objects that have it."""

    target: Target
    values: tuple[NewValue, ...]


def _escaped(value: Any) -> Any:
    """A value as it is written in YAML, where `${` begins an expression."""
    return value.replace("${", "$${") if isinstance(value, str) else value


# --- the work --------------------------------------------------------------------------------------------------------


class _Work:
    """The edits so far, and what was refused."""

    def __init__(self, manifest: Manifest, directory: Path, present: Present, reload: Reload) -> None:
        self.manifest, self.present, self.reload = manifest, present, reload
        self.places = Places(manifest, directory)
        self.spliced: dict[Target, Sequence[Splice]] = {}
        self.edits: list[_Edit] = []
        self.refused: list[tuple[NewValue, Problem]] = []

    def refuse(self, value: NewValue, message: str, hint: str | None = None) -> None:
        desired = self.manifest.objects[value.address]
        place = desired.place_of(value.path)
        self.refused.append((value, Problem(f"`{value.path}` {message}", place, hint, str(value.address), value.path)))

    # --- one edit for each place

    def collect(self, values: Sequence[NewValue]) -> None:
        """Find where each value is written, and make one edit for each place."""
        found: dict[Target, list[NewValue]] = {}
        for value in values:
            try:
                target = self.places.target(self.manifest.objects[value.address], value.path)
                self.check(target, value)
            except Unwritable as error:
                self.refuse(value, error.message, error.hint)
            else:
                found.setdefault(target, []).append(value)
        users = self.places.users(found) if found else {}
        for target, each in found.items():
            self.share(target, each, users.get(target, []))

    def check(self, target: Target, value: NewValue) -> None:
        """Whether the place can hold the value at all. Raises Unwritable."""
        new = value.value
        if not isinstance(new, str | int | float | bool | None):
            raise Unwritable("is a list or a map on the server", "only single values are pulled: edit it by hand")
        if isinstance(new, str) and (found := _UNWRITABLE.search(new)):
            raise Unwritable(f"contains U+{ord(found[0]):04X}, which no file of a manifest can hold")
        if target.start is not None:
            return
        if not isinstance(new, str):
            raise Unwritable("comes from a file (`!file`), and is no text on the server", "edit it by hand")
        if new.startswith("\ufeff"):
            raise Unwritable("begins with a byte order mark, with which no file of a manifest may begin")
        if len(new.encode()) > ONE:
            raise Unwritable(f"is larger than {ONE // 1_000_000} MB, the maximum of a file")

    def share(self, target: Target, values: Sequence[NewValue], users: Iterable[tuple[Address, str]]) -> None:
        """Add the edit of one place if all objects that have its value have the same new one."""
        known = {(each.address, each.path): each.value for each in values}
        known |= {(a, path): self.present(a, path) for a, path in users if (a, path) not in known}
        if all(_same(each, values[0].value) for each in known.values()):
            self.edits.append(_Edit(target, tuple(values)))
            return
        for value in values:
            differing = [address for (address, _), other in known.items() if not _same(other, value.value)]
            self.refuse(value, *_shared(value.address, differing))

    # --- contents

    def contents(self, edits: Iterable[_Edit]) -> dict[Path, bytes]:
        """The new content of each file that the edits change. Raises Unwritable if a reader would not find the same."""
        splices: dict[Path, list[Splice]] = {}
        new: dict[Path, bytes] = {}
        by_file: dict[Path, dict[int, Any]] = {}
        for edit in edits:
            path, start, value = edit.target.file, edit.target.start, edit.values[0].value
            if start is None:
                new[path] = value.encode()
                continue
            splices.setdefault(path, []).extend(self.splices(edit.target, _escaped(value)))
            by_file.setdefault(path, {})[start] = _escaped(value)
        for path, each in splices.items():
            text = spliced(self.places.document(path).source, each)
            _compare_events(self.places.document(path), text, by_file[path])
            new[path] = text.encode()
        return {path: content for path, content in new.items() if content != self.places.file(path)}

    def splices(self, target: Target, value: Any) -> Sequence[Splice]:
        if target not in self.spliced:
            document = self.places.document(target.file)
            try:
                self.spliced[target] = rewrite(document.source, document.by_start[target.start or 0].scalar, value)
            except ValueError as error:
                raise Unwritable("cannot be written in the place of the old value", "edit it by hand") from error
        return self.spliced[target]

    # --- proof

    def prove(self) -> None:
        """Keep the edits after which the manifest is as before but for their values. Others are refused."""
        waiting, self.edits = sorted(self.edits, key=lambda edit: str(edit.values[0].address)), []
        while waiting:
            failed = self._add(waiting)
            if len(failed) == len(waiting):
                break
            waiting = [edit for edit, _ in failed]  # two values that fit only together were tried one by one
        else:
            return
        for edit, error in failed:
            for value in edit.values:
                self.refuse(value, error.message, error.hint)

    def _add(self, edits: Sequence[_Edit]) -> list[tuple[_Edit, Unwritable]]:
        """Add those of the edits that do no harm. Returns the others, with the reason."""
        try:
            self._check([*self.edits, *edits])
        except Unwritable as error:
            if len(edits) == 1:
                return [(edits[0], error)]
            if named := _named(edits, error.reasons):
                return [*named, *self._add([each for each in edits if all(each is not edit for edit, _ in named)])]
            middle = len(edits) // 2
            return [*self._add(edits[:middle]), *self._add(edits[middle:])]
        self.edits += edits
        return []

    def _check(self, edits: Sequence[_Edit]) -> None:
        """Raise Unwritable if the manifest with these edits differs in anything else."""
        new = {(each.address, each.path): each.value for edit in edits for each in edit.values}
        contents = self.contents(edits)
        try:
            found = self.reload(contents)
        except ManifestError as error:
            raise _invalid(error.problems[0], error.problems) from error
        if differing := next(differences(self.manifest, found, new), None):
            hint = "edit it by hand, together with what is made of it"
            raise Unwritable(f"would also change {differing}", hint)


def _invalid(problem: Problem, problems: Iterable[Problem] = ()) -> Unwritable:
    reasons = {each.address: _invalid(each) for each in problems if each.address}
    return Unwritable(f"would make the manifest invalid: {problem.message}", problem.hint, reasons)


def _named(edits: Iterable[_Edit], reasons: Mapping[str, Unwritable]) -> list[tuple[_Edit, Unwritable]]:
    """The edits that are the only ones of objects with which something is wrong."""
    by_object: dict[str, list[_Edit]] = {}
    for edit in edits:
        for address in {str(each.address) for each in edit.values}:
            by_object.setdefault(address, []).append(edit)
    alone = ((address, found[0]) for address, found in by_object.items() if len(found) == 1 and address in reasons)
    return list({id(edit): (edit, reasons[address]) for address, edit in alone}.values())


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _shared(address: Address, differing: Sequence[Address]) -> tuple[str, str]:
    """The message and the hint about a value that objects share whose live values differ."""
    names = [str(other) for other in differing]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    message = f"is shared with {shown}, where the server has another value or none"
    if all(other.declaration == address.declaration for other in differing):
        instance = address.parent or address
        return message, f"to pull it, declare this instance by itself, with an entry in `moved` from {instance}"
    return message, f"to pull it, write the value in {address.parent or address} itself"


def _compare_events(document: Document, new: str, values: Mapping[int, Any]) -> None:
    """Raise Unwritable unless another text differs only in the scalars that begin at the keys of `values`."""
    pairs = zip(events(document.source), events(new), strict=True)
    try:
        same = all(_is_as_expected(document, before, after, values) for before, after in pairs)
    except (ValueError, yaml.YAMLError):
        same = False
    if not same:
        raise Unwritable("cannot be written without another value being read differently", "edit it by hand")


def _is_as_expected(document: Document, before: Any, after: Any, values: Mapping[int, Any]) -> bool:
    names = ("anchor", "tag", "value", "implicit", "style", "flow_style")
    kind, mark = type(before), before.start_mark
    if kind is yaml.ScalarEvent and type(after) is kind:
        written = document.by_place.get((mark.line + 1, mark.column + 1))
        start = written.scalar.start if written else -1
        if start in values:
            same = (after.anchor, after.tag) == (before.anchor, before.tag)
            value = values[start]
            return same and (after.value == value if after.tag else value_of(after) == (type(value), value))
    return kind is type(after) and all(getattr(before, n, None) == getattr(after, n, None) for n in names)


def differences(old: Manifest, new: Manifest, values: Mapping[tuple[Address, str], Any]) -> Iterator[str]:
    """What differs between two manifests beside these values, in words."""
    by_object: dict[Address, dict[str, Any]] = {}
    for (address, path), value in values.items():
        by_object.setdefault(address, {})[path] = value
    for address in old.objects.keys() ^ new.objects.keys():
        yield str(address)
    for address, before in old.objects.items():
        after = new.objects.get(address, before)
        expected = _with(before.values, by_object.get(address, {}))
        for name in {**expected, **after.values}:
            if name not in expected or name not in after.values or not _same(expected[name], after.values[name]):
                yield f"`{name}` of {address}"
        if _without_values(before) != _without_values(after):
            yield str(address)
    if _rest(old) != _rest(new):
        yield "another part of the manifest"


_NOWHERE = Place("", 0, 0)


def _without_values(desired: Desired) -> Desired:
    """What is declared of an object beside its values, wherever it is written."""
    return replace(desired, values={}, place=_NOWHERE, places={}, files={})


def _with(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an object, some of them replaced."""
    found = dict(values)
    for path, value in changed.items():
        name, _, key = path.partition(".")
        found[name] = {**found[name], key: value} if key else value
    return found


def _rest(manifest: Manifest) -> tuple[Any, ...]:
    """What a manifest says beside its objects."""
    entries: list[Moved | Import | Removed] = [replace(each, place=_NOWHERE) for each in manifest.moved]
    entries += [replace(each, place=_NOWHERE) for each in manifest.imports]
    entries += [replace(each, place=_NOWHERE) for each in manifest.removed]
    return (
        manifest.stack,
        manifest.environment,
        manifest.server,
        entries,
        dict(manifest.outputs),
        dict(manifest.inputs.variables),
    )
