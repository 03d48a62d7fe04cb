"""A Manifest to the final fields of its objects, as a manifest without expressions, and where each value comes from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lettaform.address import COMPONENTS, Address
from lettaform.errors import Place
from lettaform.kinds import kinds, sections
from lettaform.kinds.traits import Companions, Contents, DiscoveredBy, Parts
from lettaform.manifest.emit_text import Raw
from lettaform.manifest.expressions import ESCAPE, NotAnExpression, parse, parts, paths
from lettaform.manifest.locate import Document
from lettaform.model import Desired, Manifest
from lettaform.values import Item, Ref, Secret, Template

_DECLARED = ("policy", "lifecycle")


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    layer        what it stands in: `defaults`, `environment prod`, `components.emea`; empty: the object itself
    expressions  the paths that its text names, such as `var.region`
    passed       the inputs of a component among them, with the place where each is given
    """

    place: Place
    layer: str = ""
    expressions: tuple[str, ...] = ()
    passed: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class RenderedObject:
    """One object, without its parts and what the server creates along with it, which are among its fields.

    key      the key in a manifest without components and `for_each`
    fields   field to value; a Raw text has expressions
    origins  path of a value to its origin
    """

    address: Address
    key: str
    fields: Mapping[str, Any]
    origins: Mapping[str, Origin]


@dataclass(frozen=True)
class Rendered:
    """The objects of a manifest, by section, and its outputs."""

    stack: str
    environment: str | None = None
    objects: tuple[RenderedObject, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)


def rendered(
    manifest: Manifest, directory: Path, selects: Callable[[Address], bool] = lambda address: True
) -> Rendered:
    """The final manifest.

    directory  the project, to which the paths of files are relative
    selects    which objects are in it
    """
    work = _Rendering(manifest, directory)
    order = {section: number for number, section in enumerate(sections())}
    tops = [each for each in manifest.objects.values() if work.is_declared(each)]
    chosen = [each for each in tops if selects(each.address) or any(map(selects, work.parts_of(each.address)))]
    chosen.sort(key=lambda each: order[each.address.section])
    objects = tuple(work.object(each) for each in chosen)
    whole = len(chosen) == len(tops)
    outputs = {name: work.value(value) for name, value in manifest.outputs.items()} if whole else {}
    return Rendered(manifest.stack, manifest.environment, objects, outputs)


class _Rendering:
    def __init__(self, manifest: Manifest, directory: Path) -> None:
        self.manifest, self.directory = manifest, Path(os.path.abspath(directory))
        self.parts: dict[Address, list[Desired]] = {}
        self.companions: dict[Address, list[Desired]] = {}
        for each in manifest.objects.values():
            if each.address.parent is not None:
                self.parts.setdefault(each.address.parent, []).append(each)
            elif each.created_with is not None:
                self.companions.setdefault(each.created_with, []).append(each)
        self.documents: dict[str, Document | None] = {}

    def is_declared(self, desired: Desired) -> bool:
        """Whether an object is declared by itself."""
        if desired.address.parent or desired.created_with:
            return False
        external = desired.external
        built_in = kinds()[desired.kind].naming.built_in
        return not (external and external.name in built_in and external.name == desired.address.key)

    def parts_of(self, address: Address) -> Iterable[Address]:
        return (each.address for each in (*self.parts.get(address, ()), *self.companions.get(address, ())))

    def key(self, address: Address) -> str:
        """The key that stands for an address: the address itself, without the section."""
        desired = self.manifest.objects.get(address)
        if desired is not None and desired.created_with is not None:
            owner = desired.created_with
            return self.key(owner) + address.key.removeprefix(owner.key)
        plain = address.without_section
        return f"{address.component}/{plain}" if address.component else plain

    # --- objects

    def object(self, desired: Desired) -> RenderedObject:
        origins: dict[str, Origin] = {}
        fields = self.fields(desired, "", origins)
        return RenderedObject(desired.address, self.key(desired.address), fields, origins)

    def fields(self, desired: Desired, prefix: str, origins: dict[str, Origin]) -> dict[str, Any]:
        """The fields of an object. Adds the origin of each value, whose path begins with `prefix`."""
        if desired.external is not None:
            self.note(desired, "external", f"{prefix}external", origins)
            return self.external(desired)
        table, found = kinds()[desired.kind], dict[str, Any]()
        lines = table.attrs()
        for name, value in desired.values.items():
            if name == table.name_field and (desired.address.parent or table.naming.fields):
                continue
            line = lines[name]
            if line.related(Contents):
                found[name] = [self.item(each) for each in value or ()]
            elif line.related(Companions) and value is True:
                found[name] = self.created(desired, name, prefix, origins) or True
            else:
                found[name] = self.value(value, refers=line.to is not None)
            self.note(desired, name, f"{prefix}{name}", origins)
        for part in self.parts.get(desired.address, ()):
            name, child = part.address.field or "", part.address.child or ""
            if name in lines and lines[name].related(Parts) and _is_written(part):
                inner = self.fields(part, "".join((prefix, name, ".", child, ".")), origins)
                found.setdefault(name, {})[child] = inner
        return {**found, **_declared(desired)}

    def created(self, desired: Desired, name: str, prefix: str, origins: dict[str, Origin]) -> dict[str, Any]:
        """What the manifest sets of the objects that the server creates along with one for a field."""
        found: dict[str, Any] = {}
        for each in self.companions.get(desired.address, ()):
            if each.address.key == f"{desired.address.key}-{name}":
                found |= self.fields(each, f"{prefix}{name}.", origins)
        return {key: item for key, item in found.items() if key not in _DECLARED and not isinstance(item, dict)}

    def external(self, desired: Desired) -> dict[str, Any]:
        """How to find an object that is used and never written."""
        external = desired.external
        assert external is not None
        if external.offered_by is not None:
            line = next(line for line, _ in kinds()[desired.kind].relations(DiscoveredBy))
            name = {} if external.name is None else {kinds()[desired.kind].name_field: external.name}
            return {line.name: self.key(external.offered_by), **name}
        address = {} if external.address is None else {"address": str(external.address)}
        given = {"name": external.name, "id": external.id, "stack": external.stack}
        return {"external": True, **{key: text for key, text in given.items() if text}, **address}

    # --- values

    def value(self, value: Any, *, refers: bool = False) -> Any:
        """A value without secrets. `refers`: it is the key of an object, or a list of them."""
        match value:
            case Secret():
                return str(value)
            case Ref() if refers and value.path == "id" and value.address.parent is None:
                return self.key(value.address)
            case Ref():
                return Raw(self.expression(value))
            case Template():
                pieces = (each if isinstance(each, Ref) else each.replace("${", ESCAPE) for each in value.parts)
                return Raw("".join(self.expression(each) if isinstance(each, Ref) else each for each in pieces))
            case Mapping():
                return {key: self.value(each) for key, each in value.items()}
            case list() | tuple():
                return [self.value(each, refers=refers) for each in value]
        return value

    def expression(self, ref: Ref) -> str:
        found = Address.of(ref.address.section, self.key(ref.address.top))
        if ref.address.field and ref.address.child:
            found = found.part(ref.address.field, ref.address.child)
        return f"${{{found}.{ref.path}}}"

    def item(self, item: Item) -> Any:
        """A passage, or the path of a file in the folder."""
        path = item.body.get("path")
        if path is None:
            plain = {key: each for key, each in item.body.items() if each}
            return plain["text"] if plain.keys() == {"text"} else self.value(plain)
        relative = Path(os.path.relpath(str(path), self.directory)).as_posix()
        steps = relative.split("/")
        for number in range(len(steps) - 1):
            if "__".join(steps[number:]) == item.name:  # the name says which part of a pattern had no wildcard
                first = _escaped(steps[number])
                pattern = f"[{steps[number][0]}]{first[1:]}" if steps[number][0] not in "[]*?!^" else first
                return "/".join([*map(_escaped, steps[:number]), pattern, *map(_escaped, steps[number + 1 :])])
        return relative

    # --- origins

    def note(self, desired: Desired, path: str, name: str, origins: dict[str, Origin]) -> None:
        """Add the origin of a value, and of what is inside of it."""
        for each in (path, *(inner for inner in desired.places if inner.startswith(f"{path}."))):
            if each in desired.places:
                origins[name + each.removeprefix(path)] = self.origin(desired, each)

    def origin(self, desired: Desired, path: str) -> Origin:
        place = desired.places[path]
        document = self.document(place.file)
        written = document.at(place) if document else None
        text = written.scalar.value if written and written.tag is None else ""
        named = tuple(dict.fromkeys(_named(text)))
        inputs = self.manifest.passed.get(desired.address.component, {}) if desired.address.component else {}
        words = [each.partition(".")[2].partition(".")[0] for each in named if each.startswith("var.")]
        passed = {word: inputs[word] for word in words if word in inputs}
        section = document.section.get((place.line, place.column), ()) if document else ()
        return Origin(place, _layer(section), named, passed)

    def document(self, file: str) -> Document | None:
        if file not in self.documents:
            try:
                self.documents[file] = Document(Path(file).read_text("utf-8-sig"))
            except (OSError, ValueError):
                self.documents[file] = None  # a manifest in memory has no file
        return self.documents[file]


def _layer(section: tuple[str, ...]) -> str:
    match section:
        case ("defaults", *_):
            return "defaults"
        case ("environments", name, *_):
            return f"environment {name}"
        case (section_name, key, *_) if section_name == COMPONENTS:
            return f"{COMPONENTS} {key}"
    return ""


def _named(text: str) -> Iterable[str]:
    """The paths that the expressions of a text name."""
    try:
        for part in parts(text) if "${" in text else ():
            if part.expression:
                yield from (path.text for path in paths(parse(part.text)))
    except NotAnExpression:
        return


def _declared(desired: Desired) -> dict[str, Any]:
    """The policies and the lifecycle of an object."""
    protected = {"prevent_destroy": True} if desired.prevent_destroy and not desired.created_with else {}
    recompile = {"recompile": desired.recompile} if desired.recompile else {}
    lifecycle = {**protected, **recompile}
    policy = {"policy": dict(desired.policies)} if desired.policies else {}
    return {**policy, **({"lifecycle": lifecycle} if lifecycle else {})}


def _is_written(part: Desired) -> bool:
    """Whether the manifest declares a part: the server also creates some along with other objects."""
    return bool(part.places or part.values.keys() - {kinds()[part.kind].name_field})


def _escaped(step: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", step)
