"""The kinds, and the form of a manifest, to `lettaform/api/objects.py`: typed objects of a manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lettaform.kinds import MATCHES, kinds, sections
from lettaform.kinds.base import Attr, Never
from lettaform.kinds.traits import Companions, Parts
from lettaform.manifest.bodies import Body, companion_fields, ownership
from lettaform.manifest.form import (
    Anything,
    Count,
    Entries,
    Fields,
    Flag,
    Form,
    Items,
    Many,
    Named,
    Number,
    OneOrMore,
    Text,
)
from lettaform.manifest.language import EXTERNAL, REPEAT, language

HEAD = '''\
"""Typed objects of a manifest. Made by `python -m scripts.generate`: change the kinds, not this file."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

from lettaform.api.declared import ABSENT, Declared, Expression, Maybe, Text, Values
from lettaform.values import CsvFile, JsonFile, Unset

'''


def module() -> str:
    """The text of the module."""
    made = _Module()
    for kind in kinds():
        made.kind(kind)
    for kind in dict.fromkeys(parts.kind for table in kinds().values() for _, parts in table.relations(Parts)):
        made.own(kind)
    made.fleet()
    names = ",\n    ".join(f'"{name}"' for name in sorted(made.exported))
    exported = f"__all__ = [\n    {names},\n]\n"
    return "\n\n\n".join([HEAD + exported.rstrip(), *made.maps.values(), *made.classes]) + "\n"


def class_name(kind: str) -> str:
    """`mcp_server` to `McpServer`."""
    return "".join(word.capitalize() for word in kind.split("_"))


def _doc(text: str, indent: str = "    ") -> str:
    text = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    return f'{indent}"""{text}{" " if text.endswith(chr(34)) else ""}"""'


def _union(parts: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(each for part in parts for each in part.split(" | ")))


class _Module:
    """The parts of the module: `maps` by name, `classes` in order, and the names of these."""

    def __init__(self) -> None:
        self.maps: dict[str, str] = {}
        self.classes: list[str] = []
        self.exported: set[str] = set()
        self.merged: dict[frozenset[type], str] = {}

    # --- objects

    def kind(self, kind: str) -> None:
        table = kinds()[kind]
        fields = {name: self.field(kind, line) for name, line in table.attrs().items()}
        forms = {**EXTERNAL, **REPEAT, **ownership(kind)}
        fields |= {name: self.setting(kind, name, form) for name, form in forms.items() if name not in fields}
        hidden = [name for name, line in table.attrs().items() if line.secret or line.embeds]
        self.object(class_name(kind), table.__doc__ or "", fields, table.section, hidden)

    def own(self, kind: str) -> None:
        """An object that is a part of another one."""
        table = kinds()[kind]
        lines = {name: line for name, line in table.attrs().items() if name != table.name_field}
        fields = {name: self.field(kind, line) for name, line in lines.items()}
        fields |= {name: self.setting(kind, name, form) for name, form in ownership(kind).items()}
        self.object(f"Own{class_name(kind)}", f"A {kind} that is a part of the object that contains it.", fields)

    def body(self, form: Body) -> str:
        """Fields of objects that the stack does not own. Returns the name of its class."""
        fields = {name: self.field(form.kind, line) for name, line in form.fields.items()}
        fields |= {name: self.setting(form.kind, name, each) for name, each in form.settings.items()}
        hidden = [name for name, line in form.fields.items() if line.secret or line.embeds]
        self.object(class_name(form.name), form.doc, fields, MATCHES, hidden)
        return class_name(form.name)

    def fleet(self) -> None:
        """The whole manifest."""
        fields = {}
        for name, form in language().fields.items():
            kind = sections().get(name)
            entry = f"Mapping[str, {class_name(kind)} | Unset | None]" if kind else ""
            if name == "defaults":
                entry = self.map("Defaults", {each: (class_name(k), "", False) for each, k in sections().items()}, "")
            elif name == "environments":
                entry = "Mapping[str, Fleet | None]"
            fields[name] = (entry or self.form(form, class_name(name)), getattr(form, "doc", ""))
        doc = "A whole manifest. The value of an entry of `environments` is a Fleet, too."
        self.object("Fleet", doc, fields, hidden=("server", "variables", "components"))

    def object(
        self,
        name: str,
        doc: str,
        fields: Mapping[str, tuple[str, str]],
        section: str | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        """Adds a class. `hidden`: the fields that may hold secrets, which no text shows."""
        lines = ["@dataclass(frozen=True, kw_only=True, repr=False)", f"class {name}(Declared):", _doc(doc)]
        if section:
            lines.append(f'\n    section: ClassVar[str | None] = "{section}"')
        lines.append("")
        for field, (annotation, text) in fields.items():
            default = "field(default=ABSENT, repr=False)" if field in hidden else "ABSENT"
            lines += [f"    {field}: Maybe[{annotation}] = {default}", *([_doc(text)] if text else [])]
        self.classes.append("\n".join(lines))
        self.exported.add(name)

    def field(self, kind: str, line: Attr) -> tuple[str, str]:
        """The type of a field of a kind, and what it is."""
        table = kinds()[kind]
        if parts := line.related(Parts):
            return f"Mapping[str, Text | Own{class_name(parts.kind)} | Unset]", line.doc
        if line.related(Companions):
            members = {
                name: (*self.field(other, kinds()[other].attrs()[name]), False)
                for other, names in companion_fields(line).items()
                for name in names
            }
            return f"bool | {self.map(class_name(line.name), members, line.doc)} | Expression", line.doc
        annotation = table.model_fields[line.name].annotation
        found = self.type(annotation, line.name, line.to)
        if line.partial and not line.merges and found.startswith("Mapping[str, "):
            found = f"Mapping[str, {found[13 : found.index(']')]} | None]{found[found.index(']') + 1 :]}"
        return (found if line.clear is Never else _union([found, "None"])), line.doc

    def setting(self, kind: str, name: str, form: Form) -> tuple[str, str]:
        doc = getattr(form.of if isinstance(form, Named) else form, "doc", "")
        return self.form(form, f"{class_name(kind)}{class_name(name)}"), doc

    # --- types of fields

    def type(self, annotation: Any, name: str, to: str | None = None, *, listed: bool = False) -> str:
        """A type as the module spells it. `to`: the kind that texts are keys of; `listed`: it is that of an item."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self.type(arguments[0], name, to, listed=listed)
        if origin in (Union, UnionType):
            return self.union(arguments, name, to, listed=listed)
        if origin is Literal:
            return _union([f"Literal[{', '.join(map(repr, arguments))}]".replace("'", '"'), "Expression"])
        if origin is list:
            return _union([f"Sequence[{self.type(arguments[0], _singular(name), to, listed=True)}]", "Expression"])
        if origin is dict:
            inner = self.type(arguments[1], name)
            return "Values" if inner == "Any" else _union([f"Mapping[str, {inner}]", "JsonFile", "Expression"])
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return _union([self.model([annotation], name, listed=listed), "JsonFile", "Expression"])
        if annotation is str:
            return _union(["str", class_name(to)]) if to in kinds() else "Text"
        plain = {int: "int", float: "float", bool: "bool"}
        return _union([plain[annotation], "Expression"]) if annotation in plain else "Any"

    def union(self, members: Sequence[Any], name: str, to: str | None, *, listed: bool) -> str:
        members = [get_args(each)[0] if get_origin(each) is Annotated else each for each in members]
        models = [each for each in members if isinstance(each, type) and issubclass(each, BaseModel)]
        others = [each for each in members if each not in models and each is not NoneType]
        found = [self.type(each, name, to, listed=listed) for each in others]
        if models:
            found += [self.model(models, name, listed=listed), "JsonFile", "Expression"]
        return _union([*found, *(["None"] if NoneType in members else [])])

    def model(self, models: Sequence[type[BaseModel]], name: str, *, listed: bool) -> str:
        """The TypedDict of a map; of several maps, one with the keys of all: type checkers cannot choose between maps
        of which all keys can be left out.

        A map that is an item of a list is not merged with a map below, so that its required keys are required here.
        """
        known = frozenset(models)
        if known not in self.merged:
            self.merged[known] = models[0].__name__ if len(models) == 1 else class_name(name)
            keys = dict.fromkeys(key for model in models for key in model.model_fields)
            members = {key: self.key(key, [m.model_fields.get(key) for m in models], listed=listed) for key in keys}
            by = next((key for key, (annotation, _, _) in members.items() if annotation.startswith("Literal")), "")
            several = f"Which keys it can have depends on {f'`{by}`' if by else 'the model'}."
            doc = (models[0].__doc__ or "").strip() if len(models) == 1 else several
            self.map(self.merged[known], members, doc)
        return self.merged[known]

    def key(self, name: str, infos: Sequence[FieldInfo | None], *, listed: bool) -> tuple[str, str, bool]:
        """The type of a key of maps, what it is, and whether it must be there."""
        found = [info for info in infos if info is not None]
        literals = [info.annotation for info in found if get_origin(info.annotation) is Literal]
        if len(literals) == len(found):
            choices = [each for literal in literals for each in get_args(literal)]
            annotation = f"Literal[{', '.join(dict.fromkeys(map(repr, choices)))}]".replace("'", '"')
        else:
            annotation = self.union([info.annotation for info in found], name, None, listed=listed)
        return annotation, found[0].description or "", listed and all(i is not None and i.is_required() for i in infos)

    def map(self, name: str, members: Mapping[str, tuple[str, str, bool]], doc: str) -> str:
        """Adds a TypedDict, and returns its name."""
        assert name not in self.maps or not doc or _doc(doc) in self.maps[name], name
        if any(not key.isidentifier() or key in ("from", "for") for key in members):
            rows = [f'    "{k}": {a if need else f"NotRequired[{a}]"},' for k, (a, _, need) in members.items()]
            text = "\n".join([f'{name} = TypedDict("{name}", {{', *rows, "})", *([_doc(doc, "")] if doc else [])])
        else:
            lines = [f"class {name}(TypedDict):", *([_doc(doc), ""] if doc else [])]
            for key, (annotation, about, need) in members.items():
                lines += [f"    {key}: {annotation if need else f'NotRequired[{annotation}]'}"]
                lines += [_doc(about)] if about else []
            text = "\n".join(lines)
        self.maps[name] = text
        return name

    # --- types of forms

    def form(self, form: Form, name: str) -> str:
        """The type of what a form accepts."""
        match form:
            case Named(name=own, of=Fields() as of):
                return self.form(of, class_name(own))
            case Named(of=of):
                return self.form(of, name)
            case OneOrMore(of=of):
                return f"str | {self.form(of, name)}"
            case Number(whole=whole):
                return "int" if whole else "float"
            case Text(choices=choices) if choices:
                return f"Literal[{', '.join(map(repr, choices))}]".replace("'", '"')
            case Text():
                return "str"
            case Flag(expressions=expressions):
                return "bool | Expression" if expressions else "bool"
            case Count():
                return "int | None"
            case Many():
                return "Sequence[Any] | Mapping[str, Any] | JsonFile | CsvFile | Expression"
            case Items(of=of):
                return f"Sequence[{self.form(of, _singular(name))}]"
            case Body(kind=kind, only=None):
                return f"{class_name(kind)} | Unset | None"
            case Entries(of=of):
                return f"Mapping[str, {self.form(of, _singular(name))}]"
            case Fields(fields=inner):
                members = {
                    key: (self.form(each, name + class_name(key)), getattr(each, "doc", ""), key in form.required)
                    for key, each in inner.items()
                }
                return self.map(name, members, form.doc) + (" | None" if form.nullable else "")
            case Body():
                return f"{self.body(form)} | Unset | None"
            case Anything():
                return "Any"
        raise TypeError(form)


def _singular(name: str) -> str:
    """The name of an item of a list or a map: `policies` to `policy`, `imports` to `import_`."""
    if name.endswith("ies"):
        return name[:-3] + "y"
    return name.removesuffix("s")
