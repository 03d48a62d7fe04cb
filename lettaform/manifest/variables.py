"""Declared variables to values: from --var, --var-file, the environment, a saved plan or `default`, in this order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lettaform.errors import Place, nearest
from lettaform.manifest.expressions import ESCAPE, ESCAPE_HINT
from lettaform.manifest.files import Files
from lettaform.manifest.language import TYPES, VARIABLE
from lettaform.manifest.node import FILES, UNRESOLVED, UNSET, Node, described
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import Scope, unset_secret
from lettaform.manifest.text import parse
from lettaform.values import Ref, Secret, Template

PREFIX = "LETTAFORM_VAR_"
_EXPORTABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

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
    """The values of the declared variables; UNRESOLVED for those that have none.

    given  values of --var
    named  paths of --var-file
    """
    problems = scope.problems
    from_files = _from_files(named, scope.files, problems)
    for name in given:
        if name not in declared.map and not problems.incomplete:
            problems.add(f"--var {name}: there is no variable `{name}`", None, suggest(name, declared.map))
    for name, node in from_files.items():
        if name not in declared.map and not problems.incomplete:
            problems.add(f"there is no variable `{name}`", node.place, suggest(name, declared.map))
    _warn_of_misspelled(declared, environ, problems)
    return {
        name: _Variable(name, node, declared.at(name), scope).value(given, from_files, environ)
        for name, node in declared.map.items()
        if node.tag != UNSET
    }


def _warn_of_misspelled(declared: Node, environ: Mapping[str, str], problems: Problems) -> None:
    """Warn of environment variables with a similar name. Others may belong to another stack."""
    for name in environ:
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in declared.map:
            near = nearest(name.removeprefix(PREFIX), list(declared.map))
            if near is not None:
                message = f"{name} is set, but there is no variable `{name.removeprefix(PREFIX)}`"
                hint = f"did you mean `{PREFIX}{near}`?"
                problems.add(message, None, hint, severity="warning", rule="misspelled-variable")


def _from_files(named: Sequence[Path], files: Files, problems: Problems) -> Mapping[str, Node]:
    """The values in the --var-files; the last file wins. They may be outside the project: the user names them."""
    found: dict[str, Node] = {}
    for file in named:
        path = files.directory / file
        text = files.text(path, None)
        node = None if text is None else parse(text, files.shown(path), problems)
        if node is not None and not isinstance(node.value, dict):
            problems.add(
                f"expected a map of variables, got {described(node.value)}",
                node.place,
                "write `KEY: value` for each variable",
            )
        found |= node.map if node is not None else {}
    return found


def ways_to_give(name: str, source: str | None) -> list[str]:
    """How a user gives a variable its value. `source`: the environment variable that its `env` names."""
    # a shell cannot export a name with `-`
    exported = [each for each in (PREFIX + name, source) if each and _EXPORTABLE.fullmatch(each)]
    return [f"--var {name}=…", "--var-file FILE", *(f"export {each}=…" for each in exported)]


def one_of(ways: Sequence[str]) -> str:
    """A hint that lists the ways to give a value."""
    return f"give it with {', '.join(ways[:-1])} or {ways[-1]}"


# --- inputs of a component


def default_of(name: str, declared: Node, place: Place, scope: Scope) -> Any:
    """The value of an input that a use does not give; UNRESOLVED if it has no default, which is reported elsewhere."""
    variable = _Variable(name, declared, place, scope)
    default = variable.fields.get("default")
    if not variable.type or default is None or default.tag == UNSET or default.null:
        return UNRESOLVED
    return variable.hidden(variable.checked(variable.literal(default, literal_text=False), default.place))


def given_to(name: str, declared: Node, place: Place, scope: Scope, value: Any, there: Place, what: str) -> Any:
    """A value that a use gives to an input, checked. `there`: the place of the value; `what`: the input, in words."""
    variable = _Variable(name, declared, place, scope)
    if value is UNRESOLVED or not variable.type:
        return UNRESOLVED
    words, types = _KINDS[variable.type]
    text = isinstance(value, Ref | Secret | Template) and variable.type == "string"
    if not text and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        got = "another value" if variable.secret else described(value)
        declared_at = variable.fields["type"].place if "type" in variable.fields else place
        hint = f"the component declares its type at {declared_at}"
        scope.problems.add(f"{what}: expected {words}, got {got}", there, hint)
        return UNRESOLVED
    return variable.hidden(variable.encodable(value, there))


# --- one variable


class _Variable:
    """One declared variable, or one input of a component."""

    def __init__(self, name: str, node: Node, place: Place, scope: Scope) -> None:
        self.name, self.place, self.scope, self.problems = name, place, scope, scope.problems
        self.fields = node.map
        self.secret = "secret" in self.fields and self.fields["secret"].value is True
        word = self.fields["type"].text if "type" in self.fields else "string"
        self.type = word if word in TYPES else ""  # a wrong type has been reported

    def value(self, given: Mapping[str, str], from_files: Mapping[str, Node], environ: Mapping[str, str]) -> Any:
        """The value, checked; a Secret if the variable is secret."""
        if self.secret and self.type not in ("string", ""):
            self.problems.add(
                f"variables.{self.name}: a secret variable must be a string", self.place, "remove its `type`"
            )
            return UNRESOLVED
        value = self.find(given, from_files, environ) if self.type else UNRESOLVED
        if self.secret and isinstance(value, str):
            self.problems.conceal(value)
            return Secret(f"${{var.{self.name}}}", value)
        if self.secret and self.name in self.scope.unset:
            return unset_secret(f"${{var.{self.name}}}")
        return value

    def hidden(self, value: Any) -> Any:
        """The value of an input; a Secret if the input is secret."""
        if not self.secret or not isinstance(value, str | Template):
            return value
        if isinstance(value, Template):
            message = f"variables.{self.name}: a secret cannot contain a reference to an object"
            self.problems.add(message, self.place, "remove `secret`, or pass another value")
            return UNRESOLVED
        self.problems.conceal(value)
        return Secret("literal", value)

    def find(self, given: Mapping[str, str], from_files: Mapping[str, Node], environ: Mapping[str, str]) -> Any:
        source = self.fields["env"].text if "env" in self.fields else None
        if self.name in given:
            return self.read(given[self.name], "--var", None)
        if self.name in from_files:
            return self.checked(self.literal(from_files[self.name], literal_text=True), from_files[self.name].place)
        for variable in (PREFIX + self.name, source):
            if variable and variable in environ:
                return self.read(environ[variable], variable, self.place)
        if self.name in self.scope.planned:
            return self.scope.planned[self.name]
        if not self.fields.keys() <= VARIABLE.fields.keys():
            return UNRESOLVED  # a misspelled key may be the missing `default`
        default = self.fields.get("default")
        if default is not None and default.tag != UNSET and not default.null:
            return self.checked(self.literal(default, literal_text=False), self.fields["default"].place)
        self.report_unset(source)
        return UNRESOLVED

    def report_unset(self, source: str | None) -> None:
        """The variable has no value: a problem where it is needed."""
        ways = ways_to_give(self.name, source)
        ways += [] if self.secret else [f"`variables: {{{self.name}: {{default: …}}}}`"]
        problem = (f"the variable `{self.name}` has no value", self.place, one_of(ways))
        self.scope.unset[self.name] = problem
        if self.scope.is_needed(secret=self.secret):
            self.problems.add(*problem)

    def read(self, text: str, source: str, place: Place | None) -> Any:
        """A value given as text, parsed as the declared type. `source`: where it comes from, for messages."""
        if self.secret:
            self.problems.conceal(text)
        words, types = _KINDS[self.type]
        value: Any = text
        if self.type != "string":
            inner = Problems()
            node = parse(text, source, inner)
            value = UNRESOLVED if node is None or inner.errors else self.literal(node, literal_text=True, quiet=True)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            got = "another value" if self.secret else described(text)
            example = {"list": "[a, b]", "map": "{a: 1}", "bool": "true", "number": "5"}.get(self.type)
            message = f"the variable `{self.name}` from {source}: expected {words}, got {got}"
            self.problems.add(message, place, f"write a value such as `{example}`" if example else None)
            return UNRESOLVED
        return self.encodable(value, place)

    def checked(self, value: Any, place: Place) -> Any:
        """A value from a file, checked against the declared type."""
        words, types = _KINDS[self.type]
        if value is UNRESOLVED:
            return UNRESOLVED
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            got = "another value" if self.secret else described(value)
            fitting = next((name for name in reversed(TYPES) if isinstance(value, _KINDS[name][1])), None)
            fitting = "bool" if isinstance(value, bool) else fitting
            hint = f"declare the type: `type: {fitting}`" if fitting and "type" not in self.fields else None
            self.problems.add(f"the variable `{self.name}`: expected {words}, got {got}", place, hint)
            return UNRESOLVED
        return self.encodable(value, place)

    def encodable(self, value: Any, place: Place | None) -> Any:
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                self.problems.add(f"the value of the variable `{self.name}` is not valid UTF-8", place or self.place)
                return UNRESOLVED
        return value

    def literal(self, node: Node, *, literal_text: bool, quiet: bool = False) -> Any:
        """The value of a node without evaluation.

        literal_text  `${` is ordinary text; otherwise it is a problem
        quiet         problems are reported elsewhere
        """
        value = node.value
        if node.tag in FILES:
            return UNRESOLVED if quiet else self.scope.value(node)
        if isinstance(value, dict):
            kept = {key: child for key, child in value.items() if child.tag != UNSET}
            members = {key: self.literal(child, literal_text=literal_text, quiet=quiet) for key, child in kept.items()}
            return UNRESOLVED if any(member is UNRESOLVED for member in members.values()) else members
        if isinstance(value, list):
            items = [self.literal(child, literal_text=literal_text, quiet=quiet) for child in value]
            return UNRESOLVED if any(item is UNRESOLVED for item in items) else items
        if isinstance(value, str) and not literal_text and "${" in value:
            if "${" in value.replace(ESCAPE, ""):
                hint = ESCAPE_HINT
                self.problems.add(f"the default of `{self.name}` must not contain an expression", node.place, hint)
                return UNRESOLVED
            return value.replace(ESCAPE, "${")
        return value
