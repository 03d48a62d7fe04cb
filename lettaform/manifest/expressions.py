"""The text of an expression, `${join("-", var.names)}`, to its parts and its tree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ESCAPE = "$${"
"""Written for a literal `${`."""
ESCAPE_HINT = "write `$${` for a literal `${`"

EXPRESSIONS: Mapping[str, str] = {
    "var.NAME": "The value of a variable. Of a variable of the type `map`, `${var.NAME.KEY}` is one entry.",
    "env.NAME": "The environment variable NAME. It is a secret: it can be used only in fields that hide their value.",
    "each.key": "In an object with `for_each`: the key of the current entry of a map, or the current item of a list.",
    "each.value": "In an object with `for_each`: the value of the current entry of a map, or the current item of a "
    "list. `${each.value.KEY}` is one entry of it.",
    "stack": "The name of the stack.",
    "environment": "The name of the environment that -e selects. An error without -e.",
    "folder": "The absolute path of the folder of the manifest.",
}
"""Expressions that name no object, and their values."""
LOOPS: Mapping[str, str] = {
    "[for ITEM in LIST : VALUE if TEST]": "A list of a value for each item, or each value of a map. `if TEST` may be "
    "left out. `for INDEX, ITEM` also names the index, or the key.",
    "{for KEY, ITEM in MAP : KEY => VALUE if TEST}": "A map of a key and a value for each entry.",
}
"""Expressions that repeat others, and their values."""
OF_AN_OBJECT = "SECTION.KEY.FIELD"
"""The form of an expression that names an object: `agents.supervisor.id`."""

DEPTH = 40
"""How deeply expressions may be nested."""

_EXPRESSION = re.compile(r"\$\$\{|\$\{([^{}\n\"'(]*)(\}?)")
_INSIDE = re.compile(r"""[^{}\n"']+|"(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*'|[{}]""")
_STEPS = re.compile(r'\.([A-Za-z0-9_-]+)|\[("(?:[^"\\]|\\.)*"|[^\[\]"]+)\]')
_HEAD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?(?![A-Za-z0-9_.])")
_QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*")|'((?:[^']|'')*)'""")
_FOR = re.compile(r"\s*for\s+([A-Za-z_][A-Za-z0-9_]*)(?:\s*,\s*([A-Za-z_][A-Za-z0-9_]*))?\s+in\s+")
_BLANK = re.compile(r"\s*")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class NotAnExpression(ValueError):
    """A text is not an expression. `at`: the offset at which that is noticed; `hint`: what to write."""

    def __init__(self, message: str, at: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.at, self.hint = message, at, hint


@dataclass(frozen=True)
class Path:
    """An expression: `agents.worker[emea].id` has the head `agents` and three steps.

    steps  each name or key, and whether it was written in brackets
    at     where it starts in the expression of which it is a part
    """

    text: str
    head: str
    steps: tuple[tuple[str, bool], ...]
    at: int = 0


@dataclass(frozen=True)
class Literal:
    """A text, a number, `true`, `false` or `null`."""

    value: Any
    at: int


@dataclass(frozen=True)
class ListOf:
    """A list in brackets."""

    items: tuple[Tree, ...]
    at: int


@dataclass(frozen=True)
class MapOf:
    """A map in braces."""

    entries: tuple[tuple[Tree, Tree], ...]
    at: int


@dataclass(frozen=True)
class Call:
    """`join("-", var.names)`."""

    name: str
    arguments: tuple[Tree, ...]
    at: int


@dataclass(frozen=True)
class Member:
    """`json(var.text).name`: a member of what is not a path."""

    of: Tree
    steps: tuple[str, ...]
    at: int


@dataclass(frozen=True)
class Compared:
    """`a == b`, or `a != b` if it is not `equal`."""

    left: Tree
    right: Tree
    equal: bool
    at: int


@dataclass(frozen=True)
class For:
    """A list of a value for each item; a map if there is a `key`. `test`: which items are taken."""

    names: tuple[str, ...]
    source: Tree
    key: Tree | None
    value: Tree
    test: Tree | None
    at: int


Tree = Path | Literal | ListOf | MapOf | Call | Member | Compared | For
"""An expression."""


@lru_cache(4096)
def parse(text: str) -> Tree:
    """The tree of the text between `${` and `}`. Raises NotAnExpression."""
    return _Parser(text).whole()


def paths(tree: Tree) -> Iterator[Path]:
    """All paths in an expression that do not start with a name that a `for` around them gives."""
    return _free(tree, frozenset())


def _free(tree: Tree, names: frozenset[str]) -> Iterator[Path]:
    match tree:
        case Path():
            if tree.head not in names:
                yield tree
        case Literal():
            return
        case ListOf(items):
            for item in items:
                yield from _free(item, names)
        case MapOf(entries):
            for key, value in entries:
                yield from _free(key, names)
                yield from _free(value, names)
        case Call():
            for argument in tree.arguments:
                yield from _free(argument, names)
        case Member():
            yield from _free(tree.of, names)
        case Compared():
            yield from _free(tree.left, names)
            yield from _free(tree.right, names)
        case For():
            yield from _free(tree.source, names)
            for inner in (tree.key, tree.value, tree.test):
                if inner is not None:
                    yield from _free(inner, names | {*tree.names})


class _Parser:
    """One expression, read from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.position, self.depth = text, 0, 0

    def whole(self) -> Tree:
        found = self.expression()
        self.blank()
        if self.position < len(self.text):
            raise self.unexpected("the end")
        return found

    # --- tokens

    def blank(self) -> None:
        self.position = _BLANK.match(self.text, self.position).end()  # type: ignore[union-attr]  # always matches

    def take(self, word: str) -> bool:
        """Whether `word` comes next; it is then taken."""
        self.blank()
        found = self.text.startswith(word, self.position)
        self.position += len(word) if found else 0
        return found

    def need(self, word: str) -> None:
        if not self.take(word):
            raise self.unexpected(f"`{word}`")

    def unexpected(self, wanted: str) -> NotAnExpression:
        rest = self.text[self.position :]
        found = f"`{rest[:20]}`" if rest else "the end"
        return NotAnExpression(f"expected {wanted}, got {found}", self.position)

    # --- grammar

    def expression(self) -> Tree:
        self.depth += 1
        if self.depth > DEPTH:
            raise NotAnExpression(f"more than {DEPTH} expressions are nested", self.position)
        left = self.operand()
        self.blank()
        at = self.position
        if self.take("==") or self.take("!="):
            left = Compared(left, self.operand(), self.text[at] == "=", at)
        self.depth -= 1
        return left

    def operand(self) -> Tree:
        self.blank()
        at, found = self.position, self.simple()
        steps = tuple(word for word, _ in self.steps())
        return Member(found, steps, at) if steps else found

    def simple(self) -> Tree:
        at = self.position
        if quoted := _QUOTED.match(self.text, at):
            self.position = quoted.end()
            return Literal(_unquoted(quoted, at), at)
        if number := _NUMBER.match(self.text, at):
            self.position = number.end()
            return Literal(float(number[0]) if number[1] else int(number[0]), at)
        if self.take("["):
            return self.loop("]", at) or ListOf(tuple(self.separated("]")), at)
        if self.take("{"):
            return self.loop("}", at) or MapOf(tuple(self.entries()), at)
        if self.take("("):
            found = self.expression()
            self.need(")")
            return found
        return self.named(at)

    def named(self, at: int) -> Tree:
        """A word, a call, or a path."""
        head = _HEAD.match(self.text, at)
        if not head:
            raise self.unexpected("a value")
        self.position = head.end()
        if head[0] in _WORDS and self.text[self.position : self.position + 1] not in (".", "[", "("):
            return Literal(_WORDS[head[0]], at)
        if self.text.startswith("(", self.position):
            self.position += 1
            return Call(head[0], tuple(self.separated(")")), at)
        steps = tuple(self.steps())
        return Path(self.text[at : self.position], head[0], steps, at)

    def steps(self) -> Iterator[tuple[str, bool]]:
        while found := _STEPS.match(self.text, self.position):
            self.position = found.end()
            bare, bracket = found.groups()
            yield bare or (_json(bracket, found.start(2)) if bracket.startswith('"') else bracket), bare is None

    def separated(self, end: str) -> Iterator[Tree]:
        """Expressions with commas between them, up to `end`. A comma may stand before the end."""
        while not self.take(end):
            yield self.expression()
            if not self.take(","):
                self.need(end)
                return

    def entries(self) -> Iterator[tuple[Tree, Tree]]:
        while not self.take("}"):
            self.blank()
            at = self.position
            bare = _HEAD.match(self.text, at)
            if bare and self.text[bare.end() :].lstrip().startswith(":"):
                self.position, key = bare.end(), Literal(bare[0], at)
            else:
                key = self.expression()  # type: ignore[assignment]  # a literal, or any other expression
            self.need(":")
            yield key, self.expression()
            if not self.take(","):
                self.need("}")
                return

    def loop(self, end: str, at: int) -> For | None:
        """A `for` up to `end`; None if there is none."""
        found = _FOR.match(self.text, self.position)
        if not found:
            return None
        self.position = found.end()
        names = tuple(name for name in found.groups() if name)
        source, key = self.expression(), None
        self.need(":")
        value = self.expression()
        if end == "}":
            self.need("=>")
            key, value = value, self.expression()
        test = self.expression() if self.take("if ") else None
        self.need(end)
        return For(names, source, key, value, test, at)


def _unquoted(quoted: re.Match[str], at: int) -> str:
    return str(_json(quoted[1], at)) if quoted[1] else quoted[2].replace("''", "'")


def _json(text: str, at: int) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise NotAnExpression(f"{text} is not a text in JSON", at, "write a backslash as `\\\\`") from None


@dataclass(frozen=True)
class Part:
    """A part of a text: literal text, or an expression.

    text        the literal, or what is between `${` and `}`
    offset      where the part starts in the whole text
    start       where `text` starts in it
    expression  whether it is an expression
    closed      whether the `}` is there
    """

    text: str
    offset: int
    expression: bool = False
    closed: bool = True
    start: int = 0


def parts(text: str) -> Iterator[Part]:
    """The literals and expressions of a text, in order."""
    last = 0
    while found := _EXPRESSION.search(text, last):
        if found.start() > last:
            yield Part(text[last : found.start()], last)
        last = found.end()
        if found[0] == ESCAPE:
            yield Part("${", found.start())
            continue
        inner, closed, start = found[1], bool(found[2]), found.start(1)
        if not closed and last < len(text) and text[last] != "\n":
            last, closed = _end(text, start)
            inner = text[start : last - closed]
        blank = len(inner) - len(inner.lstrip())
        yield Part(inner.strip(), found.start(), True, closed, start + blank)
    if last < len(text):
        yield Part(text[last:], last)


def _end(text: str, position: int) -> tuple[int, bool]:
    """Where an expression that starts at `position` ends, and whether its `}` is there."""
    open_braces = 1
    while found := _INSIDE.match(text, position):
        position = found.end()
        open_braces += {"{": 1, "}": -1}.get(found[0], 0)
        if not open_braces:
            return position, True
    return position, False
