"""Nodes to values: evaluates expressions and reads the files of `!file` and `!json`.

A value that consists of one expression keeps the type of the expression. A value that cannot be determined is
UNRESOLVED, and its problem is reported once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any, Literal

from lettaform.address import Component
from lettaform.errors import Place
from lettaform.manifest import bounds
from lettaform.manifest.bounds import Bound
from lettaform.manifest.evaluate import Evaluation, member
from lettaform.manifest.expressions import ESCAPE_HINT, EXPRESSIONS, NotAnExpression, Part, Path, parse, parts
from lettaform.manifest.files import Files
from lettaform.manifest.functions import shown
from lettaform.manifest.node import CSV, FILE, JSON, UNRESOLVED, UNSET, Node, described
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.rules import REFERENCE
from lettaform.values import Ref, Secret, Template, tainted

MAXIMUM_DEPTH = 150
"""How many lists and maps may be evaluated inside one another, across objects."""

TAINTED_HINT = (
    "secrets can be used only in fields that hide them, such as `secrets` of an agent or the `url` of an MCP server; "
    "to read a value that is not secret from the environment, declare a variable with `env: NAME`"
)

Needs = Literal["everything", "plain", "nothing"]
"""The variables that must have a value: all; all but secrets; none. `${env.X}` counts as a secret."""


@dataclass(frozen=True)
class Each:
    """The item of a `for_each` that an instance is created for."""

    key: str
    value: Any


@dataclass
class Shared:
    """What all scopes of one load share.

    refer     evaluates a reference to an object or a component; None while the objects are not known
    used      what has been counted of each Bound
    depth     number of lists and maps that are being evaluated
    env_read  the environment variables that expressions have read
    """

    refer: Refer | None = None
    used: dict[Bound, int] = field(default_factory=dict)
    depth: int = 0
    env_read: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass
class Scope:
    """What expressions can refer to: those of the manifest, or those of an instance of a component.

    component  the component; None: the manifest
    variables  the values of the declared variables, or inputs; UNRESOLVED for those that have none
    planned    the values that a saved plan has, of variables whose values nothing else gives
    unset      the declared variables that have no value, with the problem of those that need one
    needs      which variables must have a value
    sections   the sections of the manifest, as first words of expressions
    """

    files: Files
    problems: Problems
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    variables: Mapping[str, Any] = field(default_factory=dict)
    planned: Mapping[str, Any] = field(default_factory=dict)
    unset: dict[str, tuple[str, Place, str]] = field(default_factory=dict)
    needs: Needs = "everything"
    stack: str = ""
    environment: str | None = None
    sections: frozenset[str] = frozenset()
    component: Component | None = None
    shared: Shared = field(default_factory=Shared)

    def of_component(self, component: Component) -> Scope:
        """The scope of an instance of a component, without the values of its inputs."""
        return replace(self, component=component, variables={}, planned={}, unset={})

    @contextmanager
    def needing(self, needs: Needs) -> Iterator[None]:
        """Evaluate with other variables that must have a value."""
        before, self.needs = self.needs, needs
        try:
            yield
        finally:
            self.needs = before

    def is_needed(self, *, secret: bool) -> bool:
        """Whether a variable must have a value."""
        return self.needs == "everything" or (self.needs == "plain" and not secret)

    # --- nodes

    def value(self, node: Node, each: Each | None = None) -> Any:
        """The value of `node`, with Refs and Secrets; UNRESOLVED if a part of it cannot be determined."""
        value = node.value
        if isinstance(value, str):
            if node.tag or "${" in value:
                if type(node) is Outside and node.scope is not self:
                    return node.scope.value(node, node.each)
                return self._content(node, each) if node.tag else self._text(node, each)
            return value
        if isinstance(value, dict | list):
            self.shared.depth += 1
            try:
                return self._members(node, each)
            finally:
                self.shared.depth -= 1
        return value

    def plain(self, node: Node, each: Each | None, path: str) -> Any:
        """The value of a node that must not contain secrets or references."""
        value = self.value(node, each)
        if value is not UNRESOLVED and tainted(value):
            return self.no(f"{path}: a secret cannot be used here", node.place, TAINTED_HINT)
        if isinstance(value, Ref | Template):
            hint = "use a literal or a variable"
            return self.no(f"{path}: must be known before objects are created", node.place, hint)
        return value

    def text(self, node: Node, each: Each | None, path: str) -> str | None:
        """The value of a node that must be a text without secrets or references."""
        value = self.plain(node, each, path)
        if value is not UNRESOLVED and not isinstance(value, str):
            self.problems.add(f"{path}: expected a text, got {described(value)}", node.place)
        return value if isinstance(value, str) else None

    def _members(self, node: Node, each: Each | None) -> Any:
        if (
            self.shared.depth > MAXIMUM_DEPTH
        ):  # one object's fields refer to those of another, and these to those of a third
            return self.no(f"this value needs more than {MAXIMUM_DEPTH} nested lists and maps", node.place)
        if node.map:
            members = {key: self.value(child, each) for key, child in node.map.items() if child.tag != UNSET}
            return UNRESOLVED if any(member is UNRESOLVED for member in members.values()) else members
        items = [self.value(child, each) for child in node.list]
        return UNRESOLVED if any(item is UNRESOLVED for item in items) else items or type(node.value)()

    def _content(self, node: Node, each: Each | None) -> Any:
        """The content of a file. `${` in it has no meaning."""
        path = self.path(node, each)
        if path is None:
            return UNRESOLVED
        if node.tag == JSON:
            return self.files.data(path, node.place)
        if node.tag == CSV:
            return self.files.rows(path, node.place)
        text = self.files.text(path, node.place) if node.tag == FILE else None
        return UNRESOLVED if text is None else text

    def path(self, node: Node, each: Each | None) -> FilePath | None:
        """The file that `!file` or `!json` names; None, and a problem, if there is none."""
        if type(node) is Outside and node.scope is not self:
            return node.scope.path(node, node.each)
        name = self.text(Node(node.place, node.value), each, node.tag)
        return self.files.named(name, node.place) if name is not None else None

    # --- texts with expressions

    def _text(self, node: Node, each: Each | None) -> Any:
        values: list[Any] = []
        found = list(parts(node.value))
        for part in found:
            if not part.expression:
                values.append(part.text)
                continue
            where = place_inside(node, part.offset)
            if not part.closed:
                return self.no("`${` without `}`", where, ESCAPE_HINT)
            value = self._expression(part, node, each)
            if len(found) == 1:
                return value
            values.append(self._inserted(value, part.text, where))
        if any(value is UNRESOLVED for value in values):
            return UNRESOLVED
        return self.joined(values, node)

    def _inserted(self, value: Any, expression: str, where: Place) -> Any:
        """A value as a part of a longer text."""
        if value is UNRESOLVED or isinstance(value, str | Ref | Template | Secret):
            return value
        if isinstance(value, bool | int | float):
            return shown(value)
        hint = "use the expression as the whole value"
        return self.no(f"`${{{expression}}}` is {described(value)}, which cannot be part of a text", where, hint)

    def joined(self, values: list[Any], node: Node) -> Any:
        """A text; a Template if it contains Refs, a Secret if it contains Secrets."""
        flat: list[str | Ref | Secret] = []
        for value in values:
            flat += value.parts if isinstance(value, Template) else [value]
        texts = [part.value if isinstance(part, Secret) else part for part in flat]
        if not self.within(bounds.PRODUCED, len(flat) + sum(len(text) for text in texts if isinstance(text, str))):
            return self.no(f"the expressions produce more than {self.maximum(bounds.PRODUCED)} characters", node.place)
        secret = any(isinstance(part, Secret) for part in flat)
        if secret and any(isinstance(part, Ref) for part in flat):
            hint = "use two fields or two texts"
            return self.no("a text cannot contain both a secret and a reference to an object", node.place, hint)
        merged: list[str | Ref] = []
        for text in texts:
            if isinstance(text, str) and merged and isinstance(merged[-1], str):
                merged[-1] += text
            else:
                merged.append(text)
        if any(isinstance(part, Ref) for part in merged):
            return Template(tuple(merged))
        whole = "".join(part for part in merged if isinstance(part, str))
        return self._secret(node.value, whole, flat) if secret else whole

    def _secret(self, expression: str, whole: str, flat: list[str | Ref | Secret]) -> Secret:
        """A text that contains Secrets. What is not secret in it may be shown where its field allows that."""
        self.problems.conceal(whole)
        parts = tuple(part for part in flat if not isinstance(part, Ref))
        return Secret(
            self.origin(expression), whole, parts, any(isinstance(part, Secret) and part.unset for part in parts)
        )

    def origin(self, expression: str) -> str:
        """Where a secret comes from. What an expression of a component means, no saved plan can tell."""
        return expression if self.component is None else f"{self.component}: {expression}"

    # --- expressions

    def _expression(self, part: Part, node: Node, each: Each | None) -> Any:
        try:
            tree = parse(part.text)
        except NotAnExpression as error:
            where, message, hint = _not_an_expression(part, node, error, self.sections)
            return self.no(message, where, hint)
        if isinstance(tree, Path):
            return self.known(tree, place_inside(node, part.offset), each)
        return Evaluation(self, part.text, node, lambda at: place_inside(node, part.start + at), each).run(tree)

    def known(self, path: Path, where: Place, each: Each | None) -> Any:
        """The value that a path names; UNRESOLVED, and a problem, if there is none."""
        text = path.text
        if path.head == "var":
            return self._variable(path, where)
        if path.head == "env":
            return self._environ(path, where)
        if path.head == "each":
            return _each(self, path, where, each)
        if path.head in ("stack", "environment", "folder") and not path.steps:
            return _name(self, path.head, where)
        if path.head in self.sections:
            if self.shared.refer is None:
                hint = "objects cannot be used here: use a literal or a variable"
                return self.no(f"`${{{text}}}` is not known here", where, hint)
            return self.shared.refer(self, path, where)
        heads = [*dict.fromkeys(each.partition(".")[0] for each in EXPRESSIONS), *sorted(self.sections)]
        return self.no(f"`${{{text}}}` refers to nothing", where, suggest(path.head, heads))

    def _variable(self, path: Path, where: Place) -> Any:
        if not path.steps:
            return self.no("`${var}` needs the name of a variable", where, "write `${var.NAME}`")
        name = path.steps[0][0]
        if name not in self.variables:
            if self.problems.incomplete:
                return UNRESOLVED
            hint = self.problems.suggest(name, f"variables of {self.component}", self.variables)
            return self.no(f"there is no variable `{name}`", where, hint or _declare_hint(name))
        value = self.variables[name]
        if name in self.unset and self.is_needed(secret=isinstance(value, Secret)):
            return self.no(*self.unset[name])
        return member(self, value, _words(path), path.text, where)

    def _environ(self, path: Path, where: Place) -> Any:
        if len(path.steps) != 1:
            return self.no(f"`${{{path.text}}}` is not an expression", where, "write `${env.NAME}`")
        name = path.steps[0][0]
        if name not in self.environ and not self.is_needed(secret=True):
            return unset_secret(f"${{{path.text}}}")
        if name not in self.environ:
            return self.no(f"the environment variable `{name}` is not set", where, f"export {name}=…")
        value = self.shared.env_read[name] = self.environ[name]
        self.problems.conceal(value)
        if not _encodable(value):
            return self.no(f"the environment variable `{name}` is not valid UTF-8", where)
        return Secret(f"${{{path.text}}}", value)

    def maximum(self, bound: Bound) -> int:
        """A bound, for the files that have been read."""
        return bound.of(self.files.size)

    def within(self, bound: Bound, number: int) -> bool:
        """Count this number, too: whether the sum is within a bound."""
        used = self.shared.used
        used[bound] = used.get(bound, 0) + number
        return used[bound] <= self.maximum(bound)

    def no(self, message: str, where: Place | None, hint: str | None = None) -> Any:
        self.problems.add(message, where, hint, rule=REFERENCE)
        return UNRESOLVED


Refer = Callable[[Scope, Path, Place], Any]


@dataclass(slots=True, eq=False)
class Outside(Node):
    """A value that is laid over a component, and evaluated where it is written: outside of the component."""

    scope: Scope = field(kw_only=True)
    each: Each | None = None


def outside(node: Node, scope: Scope, each: Each | None) -> Node:
    """A value in which each expression, and each path of a file, belongs to a scope."""
    value: Any = node.value
    if isinstance(value, dict):
        value = {key: outside(child, scope, each) for key, child in value.items()}
    elif isinstance(value, list):
        value = [outside(child, scope, each) for child in value]
    elif isinstance(value, str) and node.tag != UNSET and (node.tag or "${" in value):
        return Outside(node.place, value, node.keys, node.tag, node.text_offset, scope=scope, each=each)
    else:
        return node
    return Node(node.place, value, node.keys, node.tag, node.text_offset)


def unset_secret(expression: str) -> Secret:
    """What stands for a secret without a value, where it is not needed."""
    return Secret(expression, "unset", unset=True)


def place_inside(node: Node, offset: int) -> Place:
    """The place of the character at `offset` of a text, or of the text if that cannot be computed."""
    if node.text_offset is None:
        return node.place
    return Place(node.place.file, node.place.line, node.place.column + node.text_offset + offset)


def _not_an_expression(
    part: Part, node: Node, error: NotAnExpression, sections: Collection[str]
) -> tuple[Place, str, str]:
    """Where a text is not an expression, the message, and the hint."""
    text, head = part.text, part.text.partition(".")[0]
    if any(each in text for each in "([{'\",="):
        message = f"`${{{text}}}` is not an expression: {error.message}"
        return place_inside(node, part.start + error.at), message, error.hint or ESCAPE_HINT
    hint = f'other characters stand in brackets, as in `${{{head}["a/b"].id}}`' if head in sections else ESCAPE_HINT
    return place_inside(node, part.offset), f"`${{{text}}}` is not an expression", hint


def _name(scope: Scope, head: str, where: Place) -> Any:
    """The value of `stack`, `environment` or `folder`."""
    if head == "folder":
        return str(scope.files.directory)
    if head == "stack":
        return scope.stack or UNRESOLVED
    if scope.environment is None:
        return scope.no("`${environment}` has no value: no environment is selected", where, "select one with -e")
    return scope.environment


def _each(scope: Scope, path: Path, where: Place, each: Each | None) -> Any:
    """The value of `each.key`, `each.value`, or of a member of it."""
    word = path.steps[0][0] if path.steps else ""
    if word not in ("key", "value"):
        return scope.no(f"`${{{path.text}}}` refers to nothing", where, "write `${each.key}` or `${each.value}`")
    if each is None:
        hint = "add `for_each` to the object"
        return scope.no(f"`${{{path.text}}}` can be used only in objects with `for_each`", where, hint)
    return member(scope, each.key if word == "key" else each.value, _words(path), path.text, where)


def _words(path: Path) -> list[str]:
    """The words of a path after the name of a variable, or `key` or `value`."""
    return [word for word, _ in path.steps[1:]]


def _declare_hint(name: str) -> str:
    return f"declare it: `variables: {{{name}: {{default: …}}}}`"


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
