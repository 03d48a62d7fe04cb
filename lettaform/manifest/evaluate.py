"""The tree of an expression to its value, with references and secrets; UNRESOLVED, and a problem, if it has none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lettaform.errors import Place
from lettaform.manifest import bounds
from lettaform.manifest.data import InvalidText
from lettaform.manifest.expressions import Call, Compared, For, ListOf, Literal, MapOf, Member, Path, Tree
from lettaform.manifest.functions import FUNCTIONS, SORTS, Function, filled, fits, same, shown, template
from lettaform.manifest.node import UNRESOLVED, Node, described, plural
from lettaform.manifest.problems import suggest
from lettaform.values import Ref, Secret, Template, fill, has_refs, rebuild, secrets, tainted

if TYPE_CHECKING:
    from lettaform.manifest.scope import Each, Scope

NOT_YET = "must be known before objects are created"
_INDEX = re.compile("[0-9]{1,9}")
_RESERVED = ("var", "env", "each", "stack", "environment", "folder", "true", "false", "null")


class _Flawed(Exception):
    """The expression has no value. `message`: the problem, at an offset of the expression."""

    def __init__(self, message: str, at: int, hint: str | None = None) -> None:
        self.message, self.at, self.hint = message, at, hint


class _Unresolved(Exception):
    """The expression has no value, for which there is a problem already, or which is not needed."""


@dataclass(frozen=True)
class Evaluation:
    """Evaluates one expression.

    text   the expression, for messages
    node   the text that contains it
    place  an offset in the expression to its place
    names  the values of the names that a `for` around gives
    """

    scope: Scope
    text: str
    node: Node
    place: Callable[[int], Place]
    each: Each | None
    names: Mapping[str, Any] = field(default_factory=dict)

    def run(self, tree: Tree) -> Any:
        """The value; UNRESOLVED if there is none."""
        try:
            return self.value(tree)
        except _Flawed as flaw:
            return self.scope.no(f"`${{{self.text}}}`: {flaw.message}", self.place(flaw.at), flaw.hint)
        except _Unresolved:
            return UNRESOLVED

    def value(self, tree: Tree) -> Any:
        """The value of a part of the expression. Raises _Flawed or _Unresolved."""
        match tree:
            case Path():
                return self.path(tree)
            case Literal():
                return tree.value
            case ListOf():
                return [self.value(item) for item in tree.items]
            case MapOf():
                return self.map((key.at, self.value(key), self.value(value)) for key, value in tree.entries)
            case Call():
                return self.call(tree)
            case Member():
                return self.member(self.value(tree.of), tree.steps, tree.at)
            case Compared():
                return self.compare(tree)
            case For():
                return self.loop(tree)

    # --- paths

    def path(self, path: Path) -> Any:
        if path.head in self.names:
            return self.member(self.names[path.head], tuple(word for word, _ in path.steps), path.at)
        value = self.scope.known(path, self.place(path.at), self.each)
        if value is UNRESOLVED:
            raise _Unresolved
        return value

    def member(self, value: Any, steps: tuple[str, ...], at: int) -> Any:
        """What the steps lead to inside of a value."""
        found = member(self.scope, value, steps, self.text, self.place(at))
        if found is UNRESOLVED:
            raise _Unresolved
        return found

    # --- calls

    def call(self, call: Call) -> Any:
        function = FUNCTIONS.get(call.name)
        if function is None:
            raise _Flawed(f"there is no function `{call.name}`", call.at, suggest(call.name, FUNCTIONS))
        if wrong := function.count(len(call.arguments)):
            raise _Flawed(f"`{call.name}` {wrong}", call.at, f"write `{function.signature}`")
        if call.name == "cond":
            test, one, other = call.arguments
            return self.value(one if self.test(test, "the test") else other)
        values = [self.value(argument) for argument in call.arguments]
        for index, value in enumerate(values):
            self.check(function, call, index, value)
        try:
            return self.bounded(self.result(function, call, values), call.at)
        except ValueError as error:
            why = error.placed() if isinstance(error, InvalidText) else str(error)
            raise _Flawed(f"`{call.name}`: {why}", call.at) from None

    def check(self, function: Function, call: Call, index: int, value: Any) -> None:
        """Refuse an argument of another sort than the function takes, or that is not known yet."""
        at, sort = call.arguments[index].at, function.sort(index)
        opaque = has_refs(value) or tainted(value)
        if not fits(sort, rebuild(value, lambda leaf: "") if opaque else value):
            got = "a secret" if isinstance(value, Secret) else described(value)
            hint = f"write `{function.signature}`"
            raise _Flawed(f"`{call.name}` needs {SORTS[sort]} as argument {index + 1}, got {got}", at, hint)
        if has_refs(value) and not (function.moves or call.name in _JOINED):
            raise _Flawed(f"`{call.name}`: argument {index + 1} {NOT_YET}", at, "use a literal or a variable")

    def result(self, function: Function, call: Call, values: list[Any]) -> Any:
        """The value of a function of checked arguments. Raises ValueError with a message for users."""
        if function.moves:
            return function.call(*values)
        if call.name in _JOINED and any(has_refs(value) or tainted(value) for value in values):
            return self.scope.joined(list(_JOINED[call.name](*values)), self.node)
        found = [secret for value in values for secret in secrets(value)]
        if not found:
            return self.plain(function, call, values)
        if any(secret.unset for secret in found):  # no value of it is needed
            raise _Unresolved
        return self.concealed(self.plain(function, call, [fill(value, str) for value in values]), call)

    def plain(self, function: Function, call: Call, values: list[Any]) -> Any:
        """The value of a function of values without references and secrets."""
        return self.content(values[0], call) if call.name == "file" else function.call(*values)

    def concealed(self, value: Any, call: Call) -> Any:
        """A value that a function made of secrets, with a Secret for each text in it."""
        if isinstance(value, str):
            self.scope.problems.conceal(value)
            return Secret(self.scope.origin(f"${{{self.text}}}"), value)
        if isinstance(value, list):
            return [self.concealed(each, call) for each in value]
        if isinstance(value, Mapping):
            return {key: self.concealed(each, call) for key, each in value.items()}
        if value is None:
            return None
        raise _Flawed(f"`{call.name}` would show something of a secret", call.at)

    def content(self, path: str, call: Call) -> str:
        """The text of a file."""
        place = self.place(call.arguments[0].at)
        found = self.scope.files.named(path, place)
        text = self.scope.files.text(found, place) if found is not None else None
        if text is None:
            raise _Unresolved
        return text

    def bounded(self, value: Any, at: int) -> Any:
        """A value that adds to what the expressions of the manifest may produce."""
        size = len(value) if isinstance(value, str | list | dict) else 0
        if isinstance(value, list):
            size += sum(len(each) for each in value if isinstance(each, str))
        if not self.scope.within(bounds.PRODUCED, size):
            raise _Flawed("the expressions of the manifest produce too much", at)
        return value

    # --- the rest

    def map(self, entries: Iterator[tuple[int, Any, Any]]) -> dict[str, Any]:
        """A map of offsets, keys and values. Each key must be a known text, and there once."""
        found: dict[str, Any] = {}
        for at, key, value in entries:
            if not fits("scalar", key):
                got = "a secret" if tainted(key) else described(key)
                raise _Flawed(f"a key must be a text that is known, got {got}", at)
            if shown(key) in found:
                raise _Flawed(f"two entries have the key {shown(key)!r}", at)
            found[shown(key)] = value
        return found

    def test(self, tree: Tree, what: str) -> bool:
        value = self.value(tree)
        if not isinstance(value, bool):
            got = "a secret" if tainted(value) else described(value)
            raise _Flawed(f"{what} must be true or false, got {got}", tree.at, "compare with `==` or `!=`")
        return value

    def compare(self, tree: Compared) -> bool:
        left, right = self.value(tree.left), self.value(tree.right)
        for side, value in ((tree.left, left), (tree.right, right)):
            if tainted(value):
                raise _Flawed("a secret cannot be compared: the plan would show something of it", side.at)
            if has_refs(value):
                raise _Flawed(f"what is compared {NOT_YET}", side.at, "use a literal or a variable")
        return same(left, right) is tree.equal

    def loop(self, tree: For) -> Any:
        for name in tree.names:
            if name in (*_RESERVED, *self.scope.sections):
                raise _Flawed(f"`{name}` has a meaning already", tree.at, "choose another name")
        source = self.value(tree.source)
        if isinstance(source, Mapping):
            items: Iterator[tuple[Any, Any]] = iter(source.items())
        elif isinstance(source, list):
            items = enumerate(source)
        else:
            got = "a secret" if tainted(source) else described(source)
            raise _Flawed(f"`for` needs a list or a map, got {got}", tree.source.at)
        turns = (self.turn(tree, each) for each in items)
        chosen = (turn for turn in turns if tree.test is None or turn.test(tree.test, "what follows `if`"))
        if tree.key is None:
            return self.bounded([turn.value(tree.value) for turn in chosen], tree.at)
        key = tree.key
        return self.bounded(self.map((key.at, turn.value(key), turn.value(tree.value)) for turn in chosen), tree.at)

    def turn(self, tree: For, item: tuple[Any, Any]) -> Evaluation:
        """The evaluation of one turn of a `for`: one name is the value, two are the key, or index, and the value."""
        if not self.scope.within(bounds.TURNS, 1):
            most = self.scope.maximum(bounds.TURNS)
            raise _Flawed(f"the expressions of the manifest repeat more than {most} times", tree.at)
        given = item[-len(tree.names) :]
        return replace(self, names={**self.names, **dict(zip(tree.names, given, strict=True))})


def member(scope: Scope, value: Any, words: Sequence[str], text: str, where: Place) -> Any:
    """The member of `value` to which words lead: keys of maps, and indexes of lists. `text`: the expression."""
    for word in words:
        if value is UNRESOLVED:
            return UNRESOLVED
        if isinstance(value, list) and _INDEX.fullmatch(word):
            if int(word) >= len(value):
                return scope.no(f"`${{{text}}}`: there is no item {word} in {plural(len(value), 'item')}", where)
            value = value[int(word)]
            continue
        if not isinstance(value, Mapping):
            what = "a secret" if tainted(value) else described(value)
            return scope.no(f"`${{{text}}}`: there is no `{word}` in {what}", where)
        if word not in value:
            return scope.no(f"`${{{text}}}`: there is no `{word}`", where, suggest(word, map(str, value)))
        value = value[word]
    return value


def _join(separator: Any, items: list[Any]) -> Iterator[Any]:
    """The texts, Refs and Secrets of a `join`."""
    for index, item in enumerate(items):
        if index:
            yield separator
        yield _piece(item)


def _format(text: Any, *values: Any) -> Iterator[Any]:
    """The texts, Refs and Secrets of a `format`."""
    if not isinstance(text, str):
        raise ValueError("the template must not contain a secret or a reference")
    for each in template(text, len(values)):
        if isinstance(each, str):
            yield each
        else:
            index, width = each
            value = values[index]
            yield _piece(value) if width is None else filled(value, width)


def _piece(value: Any) -> Any:
    return value if isinstance(value, Ref | Secret | Template) else shown(value)


_JOINED: Mapping[str, Callable[..., Iterator[Any]]] = {"join": _join, "format": _format}
"""The functions whose value can contain references and secrets, as a text with expressions can."""
