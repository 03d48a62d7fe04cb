"""Declared variables, and whatever gives them values, to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lettaform.errors import Place, nearest
from lettaform.manifest.files import Files
from lettaform.manifest.language import TYPES, VARIABLE
from lettaform.manifest.node import FILE, HOLE, JSON, UNSET, Node, described
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import Scope
from lettaform.manifest.text import parse
from lettaform.values import Secret

PREFIX = "LETTAFORM_VAR_"

_KINDS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "string": ("a text", (str,)),
    "number": ("a number", (int, float)),
    "bool": ("true or false", (bool,)),
    "list": ("a list", (list,)),
    "map": ("a map", (dict,)),
}


def variables(
    declared: Node, given: Mapping[str, str], named: Sequence[Path], scope: Scope, environ: Mapping[str, str]
) -> Mapping[str, Any]:
    """The declared variables' values: from --var, --var-file, LETTAFORM_VAR_…, `env`, `default`, in this order."""
    problems = scope.problems
    from_files = _from_files(named, scope.files, problems)
    for name in given:
        if name not in declared.map and not problems.unread:
            problems.add(f"--var {name}: no such variable is declared", None, suggest(name, declared.map))
    for name, node in from_files.items():
        if name not in declared.map and not problems.unread:
            problems.add(f"no variable `{name}` is declared", node.place, suggest(name, declared.map))
    _misspelled(declared, environ, problems)
    return {
        name: _Variable(name, node, declared.at(name), scope).value(given, from_files, environ)
        for name, node in declared.map.items()
        if node.tag != UNSET
    }


def _misspelled(declared: Node, environ: Mapping[str, str], problems: Problems) -> None:
    """Only a name that is nearly right is worth a warning: others may be another stack's."""
    for name in environ:
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in declared.map:
            near = nearest(name.removeprefix(PREFIX), list(declared.map))
            if near is not None:
                message = f"{name} is set, but no such variable is declared"
                problems.add(message, None, f"did you mean `{PREFIX}{near}`?", severity="warning")


def _from_files(named: Sequence[Path], files: Files, problems: Problems) -> Mapping[str, Node]:
    """What the --var-files say; the last word wins. They may lie outside the project: a person named them."""
    found: dict[str, Node] = {}
    for file in named:
        path = files.directory / file
        text = files.text(path, None)
        node = None if text is None else parse(text, files.shown(path), problems)
        if node is not None and not isinstance(node.value, dict):
            problems.add(f"expected a map of variables, got {described(node.value)}", node.place)
        found |= node.map if node is not None else {}
    return found


class _Variable:
    """One declared variable."""

    def __init__(self, name: str, node: Node, place: Place, scope: Scope) -> None:
        self.name, self.place, self.scope, self.problems = name, place, scope, scope.problems
        self.fields = node.map
        self.secret = "secret" in self.fields and self.fields["secret"].value is True
        word = self.fields["type"].text if "type" in self.fields else "string"
        self.type = word if word in TYPES else ""

    def value(self, given: Mapping[str, str], from_files: Mapping[str, Node], environ: Mapping[str, str]) -> Any:
        """The value, checked; a Secret if it is one."""
        if self.secret and self.type not in ("string", ""):
            self.problems.add(f"variables.{self.name}: a secret is a string", self.place, "leave out its `type`")
            return HOLE
        value = self.find(given, from_files, environ) if self.type else HOLE
        if self.secret and isinstance(value, str):
            self.problems.conceal(value)
            return Secret(f"${{var.{self.name}}}", value)
        return value

    def find(self, given: Mapping[str, str], from_files: Mapping[str, Node], environ: Mapping[str, str]) -> Any:
        source = self.fields["env"].text if "env" in self.fields else None
        if self.name in given:
            return self.read(given[self.name], "--var", None)
        if self.name in from_files:
            return self.checked(self.literal(from_files[self.name], expressions=True), from_files[self.name].place)
        for variable in (PREFIX + self.name, source):
            if variable and variable in environ:
                return self.read(environ[variable], variable, self.place)
        if not self.fields.keys() <= VARIABLE.fields.keys():
            return HOLE  # a word that is misspelled may be the one that is missed
        default = self.fields.get("default")
        if default is not None and default.tag != UNSET and not default.null:
            return self.checked(self.literal(default, expressions=False), self.fields["default"].place)
        hint = f"--var {self.name}=…, a --var-file, or {PREFIX}{self.name}"
        hint += f", or {source}" if source else ""
        self.problems.add(f"the variable `{self.name}` has no value", self.place, hint)
        return HOLE

    def read(self, text: str, source: str, place: Place | None) -> Any:
        """A value that came as text, read by the declared type."""
        if self.secret:
            self.problems.conceal(text)
        words, types = _KINDS[self.type]
        value: Any = text
        if self.type != "string":
            inner = Problems()
            node = parse(text, source, inner)
            value = HOLE if node is None or inner.errors else self.literal(node, expressions=True, quiet=True)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            got = "something else" if self.secret else described(text)
            example = {"list": "[a, b]", "map": "{a: 1}", "bool": "true", "number": "5"}.get(self.type)
            message = f"the variable `{self.name}` from {source}: expected {words}, got {got}"
            self.problems.add(message, place, f"as in {example}" if example else None)
            return HOLE
        return self.sane(value, place)

    def checked(self, value: Any, place: Place) -> Any:
        """A value that came with a type of its own."""
        words, types = _KINDS[self.type]
        if value is HOLE:
            return HOLE
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            got = "something else" if self.secret else described(value)
            fitting = next((name for name in reversed(TYPES) if isinstance(value, _KINDS[name][1])), None)
            fitting = "bool" if isinstance(value, bool) else fitting
            hint = f"declare it: `type: {fitting}`" if fitting and "type" not in self.fields else None
            self.problems.add(f"the variable `{self.name}`: expected {words}, got {got}", place, hint)
            return HOLE
        return self.sane(value, place)

    def sane(self, value: Any, place: Place | None) -> Any:
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                self.problems.add(f"the variable `{self.name}` is not UTF-8", place or self.place)
                return HOLE
        return value

    def literal(self, node: Node, *, expressions: bool, quiet: bool = False) -> Any:
        """What was written, as data. `expressions`: `${` is only text here; or else it is a problem."""
        value = node.value
        if node.tag in (FILE, JSON):
            return HOLE if quiet else self.scope.value(node)
        if isinstance(value, dict):
            kept = {key: child for key, child in value.items() if child.tag != UNSET}
            members = {key: self.literal(child, expressions=expressions, quiet=quiet) for key, child in kept.items()}
            return HOLE if any(member is HOLE for member in members.values()) else members
        if isinstance(value, list):
            items = [self.literal(child, expressions=expressions, quiet=quiet) for child in value]
            return HOLE if any(item is HOLE for item in items) else items
        if isinstance(value, str) and not expressions and "${" in value:
            if "${" in value.replace("$${", ""):
                hint = "`$${` for the characters themselves"
                self.problems.add(f"the default of `{self.name}` holds an expression; it cannot", node.place, hint)
                return HOLE
            return value.replace("$${", "${")
        return value
