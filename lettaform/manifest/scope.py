"""Expressions to values: what `${…}`, `!file` and `!json` stand for.

A value that is one expression keeps its type. What cannot be found out is a HOLE, and its reason is told once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lettaform.errors import Place
from lettaform.manifest.files import Files
from lettaform.manifest.node import FILE, HOLE, JSON, UNSET, Node, described
from lettaform.manifest.problems import Problems, suggest
from lettaform.values import Ref, Secret, Template, tainted

GROWN = 64_000_000
"""How many characters all texts with expressions in them may have together."""
DEEPEST = 150
"""How many lists and maps may be open at once, in whichever objects."""

_EXPRESSION = re.compile(r"\$\$\{|\$\{([^{}\n]*)(\}?)")
_STEPS = re.compile(r'\.([A-Za-z0-9_-]+)|\[("(?:[^"\\]|\\.)*"|[A-Za-z0-9_-]+)\]')
_HEAD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Refer = Callable[["Path", Place], Any]


@dataclass(frozen=True)
class Each:
    """One round of a `for_each`."""

    key: str
    value: Any


@dataclass(frozen=True)
class Path:
    """An expression, taken apart: `var`, then `.model`. `steps`: each word, and whether it stood in brackets."""

    text: str
    head: str
    steps: tuple[tuple[str, bool], ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read an expression. ValueError if it is none."""
        head = _HEAD.match(text)
        if not head:
            raise ValueError(text)
        position, steps = head.end(), []
        while position < len(text):
            found = _STEPS.match(text, position)
            if not found:
                raise ValueError(text)
            bare, bracket = found.groups()
            steps.append((bare or (json.loads(bracket) if bracket.startswith('"') else bracket), bare is None))
            position = found.end()
        return cls(text, head[0], tuple(steps))


@dataclass
class Scope:
    """What expressions can see.

    variables   values of the declared ones; HOLE for one whose value could not be had
    refer       answers references to objects; None while there are no objects yet
    """

    files: Files
    problems: Problems
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    variables: Mapping[str, Any] = field(default_factory=dict)
    stack: str = ""
    environment: str | None = None
    sections: frozenset[str] = frozenset()
    refer: Refer | None = None
    grown: int = 0
    depth: int = 0

    def value(self, node: Node, each: Each | None = None) -> Any:
        """What `node` stands for, with slots; HOLE if any part of it cannot be known."""
        value = node.value
        if isinstance(value, str):
            if node.tag:
                return self._read(node, each)
            return self._text(node, each) if "${" in value else value
        if isinstance(value, dict | list):
            self.depth += 1
            try:
                return self._members(node, each)
            finally:
                self.depth -= 1
        return value

    def _members(self, node: Node, each: Each | None) -> Any:
        if self.depth > DEEPEST:  # one object's fields, taken from another's, taken from another's
            return self._no(f"more than {DEEPEST} lists and maps are needed to tell this", node.place)
        if node.map:
            members = {key: self.value(child, each) for key, child in node.map.items() if child.tag != UNSET}
            return HOLE if any(member is HOLE for member in members.values()) else members
        items = [self.value(child, each) for child in node.list]
        return HOLE if any(item is HOLE for item in items) else items or type(node.value)()

    def plain(self, node: Node, each: Each | None, path: str) -> Any:
        """As `value`, where no secret may stand and no reference."""
        value = self.value(node, each)
        if value is not HOLE and tainted(value):
            self.problems.add(f"{path}: a secret cannot stand here", node.place, SECRET)
            return HOLE
        if isinstance(value, Ref | Template):
            self.problems.add(f"{path}: must be known before anything is made", node.place)
            return HOLE
        return value

    def text(self, node: Node, each: Each | None, path: str) -> str | None:
        """As `plain`, where only a text will do."""
        value = self.plain(node, each, path)
        if value is not HOLE and not isinstance(value, str):
            self.problems.add(f"{path}: expected a text, got {described(value)}", node.place)
        return value if isinstance(value, str) else None

    def _read(self, node: Node, each: Each | None) -> Any:
        """The content of a file. It is taken as it is: expressions inside it are text."""
        name = self.text(Node(node.place, node.value), each, node.tag)
        path = self.files.named(name, node.place) if name is not None else None
        if path is None:
            return HOLE
        if node.tag == JSON:
            return self.files.data(path, node.place)
        text = self.files.text(path, node.place) if node.tag == FILE else None
        return HOLE if text is None else text

    def _text(self, node: Node, each: Each | None) -> Any:
        template: str = node.value
        parts: list[Any] = []
        last = 0
        for found in _EXPRESSION.finditer(template):
            parts += [template[last : found.start()]] if found.start() > last else []
            last = found.end()
            if found[0] == "$${":
                parts.append("${")
                continue
            where = _inside(node, found.start())
            if not found[2]:
                self.problems.add("`${` without `}` after it", where, "write `$${` for the two characters themselves")
                return HOLE
            value = self._expression(found[1].strip(), where, each)
            if found.span() == (0, len(template)):
                return value
            parts.append(value if value is HOLE else self._inner(value, found[1].strip(), where))
        parts += [template[last:]] if last < len(template) else []
        if any(part is HOLE for part in parts):
            return HOLE
        return self._joined(parts, node)

    def _inner(self, value: Any, expression: str, where: Place) -> Any:
        """A value inside a longer text."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, str | Ref | Template | Secret):
            return value
        hint = "it can only stand alone"
        self.problems.add(f"`${{{expression}}}` is {described(value)}, which does not fit into a text", where, hint)
        return HOLE

    def _joined(self, parts: list[Any], node: Node) -> Any:
        flat: list[str | Ref | Secret] = []
        for part in parts:
            flat += part.parts if isinstance(part, Template) else [part]
        self.grown += len(flat) + sum(len(part) for part in flat if isinstance(part, str))
        self.grown += sum(len(part.value) for part in flat if isinstance(part, Secret))
        if self.grown > GROWN:
            self.problems.add(f"expressions make texts of more than {GROWN} characters", node.place)
            return HOLE
        if any(isinstance(part, Secret) for part in flat):
            if any(isinstance(part, Ref) for part in flat):
                self.problems.add("a secret and a reference cannot stand in one text", node.place)
                return HOLE
            whole = "".join(part.value if isinstance(part, Secret) else str(part) for part in flat)
            self.problems.conceal(whole)
            return Secret(node.value, whole)
        merged: list[str | Ref] = []
        for part in flat:
            before = merged[-1] if merged else None
            if isinstance(part, str) and isinstance(before, str):
                merged[-1] = before + part
            elif not isinstance(part, Secret):
                merged.append(part)
        texts = [part for part in merged if isinstance(part, str)]
        return Template(tuple(merged)) if len(texts) < len(merged) else "".join(texts)

    def _expression(self, text: str, where: Place, each: Each | None) -> Any:
        try:
            path = Path.parse(text)
        except ValueError:
            hint = "write `$${` for the two characters themselves"
            return self._no(f"`${{{text}}}` is not an expression", where, hint)
        if path.head == "var":
            return self._variable(path, where)
        if path.head == "env":
            return self._environ(path, where)
        if path.head == "each":
            return self._each(path, where, each)
        if path.head in ("stack", "environment", "folder") and not path.steps:
            return self._name(path.head, where)
        if path.head in self.sections:
            if self.refer is None:
                return self._no(f"`${{{text}}}` is not known here", where, "nothing has been made yet")
            return self.refer(path, where)
        heads = ["var", "env", "each", "stack", "environment", "folder", *sorted(self.sections)]
        return self._no(f"`${{{text}}}` means nothing", where, suggest(path.head, heads))

    def _name(self, head: str, where: Place) -> Any:
        if head == "folder":
            return str(self.files.directory)
        if head == "stack":
            return self.stack or HOLE
        if self.environment is None:
            return self._no("`${environment}` is not known: none was chosen", where, "choose one with -e")
        return self.environment

    def _variable(self, path: Path, where: Place) -> Any:
        if not path.steps:
            return self._no("`${var}` needs the name of a variable", where, "${var.name}")
        name = path.steps[0][0]
        if name not in self.variables:
            if self.problems.unread:
                return HOLE
            return self._no(f"there is no variable `{name}`", where, _or_declare(name, self.variables))
        return self._deeper(self.variables[name], path, 1, where)

    def _environ(self, path: Path, where: Place) -> Any:
        if len(path.steps) != 1:
            return self._no(f"`${{{path.text}}}` is not an expression", where, "${env.NAME}")
        name = path.steps[0][0]
        if name not in self.environ:
            return self._no(f"the environment variable `{name}` is not set", where, f"export {name}=…")
        value = self.environ[name]
        self.problems.conceal(value)
        if not _encodable(value):
            return self._no(f"the environment variable `{name}` is not UTF-8", where)
        return Secret(f"${{{path.text}}}", value)

    def _each(self, path: Path, where: Place, each: Each | None) -> Any:
        word = path.steps[0][0] if path.steps else ""
        if word not in ("key", "value"):
            return self._no(f"`${{{path.text}}}` means nothing", where, "${each.key} or ${each.value}")
        if each is None:
            return self._no(f"`${{{path.text}}}` has a meaning only beside `for_each`", where)
        return self._deeper(each.key if word == "key" else each.value, path, 1, where)

    def _deeper(self, value: Any, path: Path, done: int, where: Place) -> Any:
        """The member of a map that the rest of the path names."""
        for word, _ in path.steps[done:]:
            if value is HOLE:
                return HOLE
            if not isinstance(value, Mapping):
                shown = "a secret" if tainted(value) else described(value)
                return self._no(f"`${{{path.text}}}`: there is no `{word}` in {shown}", where)
            if word not in value:
                return self._no(f"`${{{path.text}}}`: there is no `{word}`", where, suggest(word, map(str, value)))
            value = value[word]
        return value

    def _no(self, message: str, where: Place, hint: str | None = None) -> Any:
        self.problems.add(message, where, hint)
        return HOLE


SECRET = "secrets may only fill fields that are secret; for a plain value, declare a variable with `env: NAME`"  # noqa: S105


def _inside(node: Node, offset: int) -> Place:
    """The place of the character at `offset` of a text, where it can be told."""
    if node.inset is None:
        return node.place
    return Place(node.place.file, node.place.line, node.place.column + node.inset + offset)


def _or_declare(name: str, declared: Mapping[str, Any]) -> str:
    return suggest(name, declared) or f"declare it: `variables: {{{name}: {{default: …}}}}`"


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
