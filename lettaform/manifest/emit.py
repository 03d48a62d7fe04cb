"""Declarations to the files of a project: a manifest as a person writes it, prompts, sources of tools, and contents.

The same declarations give the same bytes. Sections and fields are in the order of the documentation.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Companions, Contents, Owner, Parts, SourceFile
from lettaform.manifest.declare import Declaration
from lettaform.manifest.emit_text import File, Raw, yaml_text
from lettaform.manifest.fold import Row, leaves, rows, with_defaults
from lettaform.manifest.hidden import Hidden
from lettaform.manifest.keys import Keys, clean
from lettaform.values import Item, Ref, Secret, rebuild

MANIFEST, IMPORTS = "lettaform.yaml", "imports.yaml"
SECTIONS = (
    *("mcp_servers", "providers", "identities", "blocks", "tools", "folders", "archives"),
    *("agents", "groups", "conversations", "schedules"),
)
"""The order of the sections: what others refer to stands above them."""
LONG, LINES = 400, 8
"""Characters and lines from which a text is written to a file of its own."""
MANY = 20
"""Items from which a list of passages is written to a file of its own."""
APART = 40
"""Objects from which a section is written to a file of its own."""
_FOLDED = "agents"
"""The section whose rows of similar objects become one declaration each."""


class Key(str):
    """A reference to an object of a section, by its key."""

    section = ""

    @classmethod
    def of(cls, address: Address) -> Key:
        """The reference to an address."""
        key = cls(address.without_section)
        key.section = address.section
        return key


@dataclass(frozen=True)
class Written:
    """The files of a project.

    files      path relative to the project to text, or to what a file contains that is no text
    addresses  address of each declaration, before rows were folded, to the address in the files
    """

    files: Mapping[str, str | bytes] = field(repr=False)
    addresses: Mapping[Address, Address]


def emit(
    stack: str, declarations: Sequence[Declaration], hidden: Hidden, *, short: bool = True, fold: bool = True
) -> Written:
    """The files that declare these objects.

    short  write equal values once, below `defaults`
    fold   write rows of similar agents as one declaration with `for_each`
    """
    trees = _Trees()
    sections: dict[str, dict[str, Any]] = {}
    for each in declarations:
        sections.setdefault(kinds()[each.kind].section, {})[each.key] = trees.of(each)
    defaults: dict[str, Any] = {}
    for section in [name for name in SECTIONS if name in sections] if short else ():
        common, sections[section] = with_defaults(sections[section], _never_default(section))
        defaults |= {section: common} if common else {}
    addresses = {each.address: each.address for each in declarations}
    named: list[tuple[Any, Collection[str], str]] = [(tree, sections[name], name) for name, tree in defaults.items()]
    if fold and _FOLDED in sections:
        found = rows(sections[_FOLDED], trees.taken[_FOLDED])
        sections[_FOLDED] = _with_rows(sections[_FOLDED], found)
        addresses |= {
            Address.of(_FOLDED, key): Address.of(_FOLDED, row.key, suffix)
            for row in found
            for key, suffix in row.instances.items()
        }
        named = [*named, *((row.body, row.instances, row.key) for row in found)]
    renames = dict(pair for each in named for pair in _common_paths(*each))
    paths = {old: trees.paths.take(new) for old, new in renames.items()}
    sections = {name: _renamed(tree, addresses, paths) for name, tree in sections.items()}
    defaults = _renamed(defaults, addresses, paths)
    document = {"stack": stack, **_variables(hidden), **({"defaults": defaults} if defaults else {})}
    files = {file.path: file.text for file in _files([*sections.values(), defaults])} | dict(trees.contents)
    return Written(files | _manifests(document, sections, _imports(declarations, addresses)), addresses)


def _with_rows(section: Mapping[str, Any], found: Sequence[Row]) -> dict[str, Any]:
    """A section with each row in the place of its first object."""
    first = {next(key for key in section if key in row.instances): row for row in found}
    folded = {key for row in found for key in row.instances}
    tree: dict[str, Any] = {}
    for key, body in section.items():
        if key in first:
            tree[first[key].key] = first[key].body
        elif key not in folded:
            tree[key] = body
    return tree


def _common_paths(tree: Any, keys: Collection[str], new: str) -> Iterator[tuple[str, str]]:
    """Path of a file that several objects have, and that is named after one of them, to its path with a new name."""
    several = {file for _, leaf in leaves(tree) if isinstance(leaf, File) for file in leaf.each}
    for file in _files(tree):
        folder, _, name = file.path.partition("/")
        stem = next((key for key in keys if name.startswith((f"{key}.", f"{key}/"))), None)
        if stem and file not in several:
            yield file.path, f"{folder}/{new}{name.removeprefix(stem)}"


def _never_default(section: str) -> frozenset[str]:
    """The fields that stay with their objects: names, references by which they differ, and what is theirs alone."""
    kind = next(table for table in kinds().values() if table.section == section)
    own = [line.name for line in kind.attrs().values() if isinstance(line.relation, Parts | SourceFile | Owner)]
    contents = [line.name for line in kind.attrs().values() if line.related(Contents)]
    return frozenset({kind.name_field, *own, *contents, *kind.naming.fields, "external", "policy"})


def _renamed(tree: Any, addresses: Mapping[Address, Address], paths: Mapping[str, str]) -> Any:
    """A tree whose references and files have the names that they have in the end."""
    if isinstance(tree, Key):
        found = addresses.get(Address.of(tree.section, str(tree)))
        return str(found.without_section if found else tree)
    if isinstance(tree, File) and tree.path in paths:
        return replace(tree, path=paths[tree.path])
    if isinstance(tree, Mapping):
        return {key: _renamed(item, addresses, paths) for key, item in tree.items()}
    return [_renamed(item, addresses, paths) for item in tree] if isinstance(tree, list) else tree


def _variables(hidden: Hidden) -> dict[str, Any]:
    if not hidden.about:
        return {}
    names = sorted(hidden.about)
    return {"variables": {name: _variable(name, hidden) for name in names}}


def _variable(name: str, hidden: Hidden) -> dict[str, Any]:
    read = {"env": hidden.environment[name]} if name in hidden.environment else {}
    return {"secret": True, **read, "description": f"Of {hidden.about[name]}."}


def _imports(declarations: Sequence[Declaration], addresses: Mapping[Address, Address]) -> list[dict[str, str]]:
    known = [each for each in declarations if each.id or each.is_named]
    return [
        {"to": str(addresses[each.address]), **({"id": each.id} if each.id else {"name": each.name})} for each in known
    ]


def _manifests(
    document: dict[str, Any], sections: Mapping[str, Mapping[str, Any]], imports: list[dict[str, str]]
) -> dict[str, str]:
    """The manifest, and the files that it includes."""
    large = {f"{name}.yaml": {name: tree} for name, tree in sections.items() if len(tree) >= APART}
    included = [*sorted(large), *([IMPORTS] if imports else [])]
    head = {"stack": document.pop("stack"), **({"include": included} if included else {}), **document}
    small = {name: sections[name] for name in SECTIONS if sections.get(name) and f"{name}.yaml" not in large}
    files = {MANIFEST: yaml_text({**head, **small})} | {path: yaml_text(tree) for path, tree in large.items()}
    return files | ({IMPORTS: yaml_text({"imports": imports})} if imports else {})


def _files(trees: Any) -> Iterator[File]:
    """The files that a tree names."""
    for _, leaf in leaves(trees):
        if isinstance(leaf, File):
            yield from leaf.each or (leaf,)


# --- one object to a tree --------------------------------------------------------------------------------------------


class _Trees:
    """Declarations to trees. Equal prompts are one file.

    taken     section to the keys in use
    contents  path of each file of a folder to its text, or to its bytes
    """

    def __init__(self) -> None:
        self.taken = {table.section: Keys() for table in kinds().values()}
        self.paths = Keys((MANIFEST, IMPORTS, *(f"{name}.yaml" for name in SECTIONS)))
        self.contents: dict[str, str | bytes] = {}
        self.prompts: dict[str, str] = {}
        self.copies: dict[tuple[str, str], Any] = {}

    def of(self, declaration: Declaration) -> dict[str, Any]:
        """The fields of an object, as they are written."""
        table = kinds()[declaration.kind]
        self.taken[table.section].used.add(declaration.key.lower())
        lines = table.attrs()
        order = [name for name in lines if name in declaration.values]
        given = {name: rebuild(declaration.values[name], _as_key) for name in order}
        values = {name: self.field(declaration, lines[name], value) for name, value in given.items()}
        return {**declaration.settings, **values}

    def field(self, declaration: Declaration, line: Attr, value: Any) -> Any:
        """The value of a field."""
        key = declaration.key
        if line.related(SourceFile):
            ending = ".ts" if declaration.values.get("source_type") == "typescript" else ".py"
            return self.file("", f"{table_of(declaration)}/{clean(declaration.name, key)}", ending, value)
        contents = line.related(Contents)
        if contents and contents.what == "files":
            return self.uploads(key, value)
        if contents:
            return self.passages(declaration, value)
        if line.related(Parts):
            return {label: self.part(declaration, label, each) for label, each in value.items()}
        if line.related(Companions) and isinstance(value, Mapping):
            return {name: self.plain(each, f"{key}-{line.name}") for name, each in value.items()}
        if _is_schema(line, value):
            return self.file("!json", f"{table_of(declaration)}/{key}", ".json", _json(value))
        return self.plain(value, key if line.name == "system" else f"{key}.{line.name}")

    def plain(self, value: Any, name: str) -> Any:
        """A value with references as keys, and with long texts as files. `name`: of such a file."""
        match value:
            case File():
                return self.given(value)
            case str() if not isinstance(value, Key) and (len(value) > LONG or value.count("\n") >= LINES):
                return self.prompt(name, value)
            case Mapping():
                return {key: self.plain(item, f"{name}.{key}") for key, item in value.items()}
            case list():
                return [self.plain(item, name) for item in value]
        return value

    def part(self, declaration: Declaration, label: str, value: Any) -> Any:
        """An own block: its text, or a map of its values."""
        name = f"{declaration.key}.{clean(label, 'memory')}"
        if not isinstance(value, Mapping):
            return self.plain(value, name)
        return {
            field: self.plain(each, name if field == "value" else f"{name}.{field}") for field, each in value.items()
        }

    def passages(self, declaration: Declaration, value: list[Any]) -> Any:
        if len(value) < MANY and sum(len(str(each)) for each in value) < LINES * LONG:
            return list(value)
        return self.file("!json", f"{table_of(declaration)}/{declaration.key}", ".json", _json(value))

    def uploads(self, key: str, items: Sequence[Item]) -> list[str]:
        """The patterns of the files of a folder: one for all, and one for each whose name begins with a dot."""
        base = f"folders/{key}"
        self.contents |= {f"{base}/{item.name}": item.body["text"] for item in items}
        hidden = [f"{base}/{item.name}" for item in items if item.name.startswith(".")]
        return [*([f"{base}/*"] if len(hidden) < len(items) else []), *hidden]

    def prompt(self, name: str, text: str) -> Any:
        """A long text as a file; itself if no file can hold it."""
        if text in self.prompts:
            return File("!file", self.prompts[text], text)
        found = self.file("!file", f"prompts/{name}", ".md", text)
        if isinstance(found, File):
            self.prompts[text] = found.path
        return found

    def given(self, file: File) -> Any:
        """A text that was a file before, under its own path if no other file has it."""
        if (file.path, file.text) not in self.copies:
            stem, dot, ending = file.path.rpartition(".")
            name, ending = (stem, f".{ending}") if dot and "/" not in ending else (file.path, "")
            self.copies[file.path, file.text] = self.file(file.tag, name, ending, file.text)
        return self.copies[file.path, file.text]

    def file(self, tag: str, name: str, ending: str, text: str) -> Any:
        """A text as a file with a name that no other file has; itself if no file can hold it."""
        if text.startswith("\ufeff") or "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
            return text
        path = self.paths.take(f"{name}{ending}")
        if path != f"{name}{ending}":
            path = f"{name}{path.removeprefix(name + ending)}{ending}"
            self.paths.used.add(path.lower())
        return File(tag, path, text)


def _as_key(value: Ref | Secret) -> Key:
    assert isinstance(value, Ref), "secrets are variables"
    return Key.of(value.address)


def table_of(declaration: Declaration) -> str:
    """The section of a declaration, as the name of a folder."""
    return kinds()[declaration.kind].section


def _is_schema(line: Attr, value: Any) -> bool:
    """Whether a value is a JSON schema: people do not write these by hand."""
    return line.name.endswith("json_schema") and isinstance(value, Mapping)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def with_policy(declaration: Declaration, name: str) -> Declaration:
    """A declaration that never writes a field which it does not set."""
    before = declaration.settings.get("policy") or {}
    return replace(declaration, settings={**declaration.settings, "policy": {**before, name: "ignore"}})


__all__ = ["MANIFEST", "Key", "Raw", "Written", "emit", "with_policy"]
