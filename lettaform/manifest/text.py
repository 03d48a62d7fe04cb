"""The text of a YAML file to a Node.

Accepts a strict subset of YAML 1.2 with its core scalars: `no`, `on`, `1:30` and dates are texts. Duplicate keys, merge
keys, several documents, unknown tags and numbers such as `012` are problems. Depth and alias expansion are limited.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from lettaform.errors import Place
from lettaform.manifest.node import FILES, TAGS, UNRESOLVED, UNSET, Node, spelled_tag
from lettaform.manifest.problems import Problems, suggest

DEPTH = 100
"""How deeply lists and maps may be nested."""
EXPANDED, EXPANDED_EACH = 100_000, 16
"""How many values all aliases of a file may stand for, and how many more for each of its characters."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_TEXT_TAGS = (None, "!", f"{_CORE}str")
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML 1.2 allows only as escapes."""

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_OCTAL = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TAG_BEFORE_BRACKET = re.compile(r"(!\w+)([}\],])")
_NO_JSON_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True)
class Dialect:
    """How files of another kind than manifests are written.

    start   how a file starts, for the hint about an empty one
    second  what to do with a second document
    merges  whether `<<` puts the members of other maps into a map
    """

    start: str
    second: str
    merges: bool = False


MANIFEST = Dialect(
    "a manifest starts with `stack: NAME`",
    "a file contains one document; move the rest to another file and list it under `include`",
)


def decode(data: bytes, file: str, problems: Problems) -> str | None:
    """The text of a file; None, and one problem, if the bytes are not UTF-8 without a byte order mark."""
    start = Place(file, 1, 1)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.add("the file is encoded in UTF-16", start, "save the file as UTF-8")
    elif data.startswith(b"\xef\xbb\xbf"):
        problems.add("the file starts with a byte order mark", start, "save the file as UTF-8 without BOM")
    else:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8", "replace")
            message = f"the byte 0x{data[error.start]:02x} is not valid UTF-8"
            problems.add(message, _end(before, file), "save the file as UTF-8")
    return None


def parse(text: str, file: str, problems: Problems, dialect: Dialect = MANIFEST) -> Node | None:
    """The only document in `text`; None, and at least one problem, if it cannot be used."""
    character = _NOT_PRINTABLE.search(text)
    if character:
        where = _end(text[: character.start()], file)
        message = f"the character U+{ord(character[0]):04X} is not allowed in YAML"
        problems.add(message, where, 'write it as an escape in a quoted text: "\\x00"')
        return None
    try:
        most = EXPANDED + EXPANDED_EACH * len(text)
        return _Reader(file, problems, dialect, most).document(events(text))
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        problems.add(f"invalid YAML: {error.problem}", Place(file, line + 1, column + 1), _remedy(text, line, error))
    except yaml.YAMLError as error:
        problems.add(f"invalid YAML: {error}", Place(file, 1, 1))
    return None


def scalar(text: str) -> Any:
    """The value of a plain scalar. Raises ValueError, with a message for users, if readers disagree about it."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _OCTAL.fullmatch(text):
        raise ValueError(f"`{text}` is ambiguous: YAML 1.1 reads it as octal, YAML 1.2 as decimal")
    if _NO_JSON_NUMBER.fullmatch(text):
        raise ValueError(f"`{text}` is not a valid number in JSON")
    number: float | None = None
    if _INT.fullmatch(text):
        number = int(text, 0) if len(text) <= 25 else math.inf
    elif _FLOAT.fullmatch(text):
        number = float(text)
    if (isinstance(number, int) and abs(number) >= 2**63) or number in (math.inf, -math.inf):
        raise ValueError(f"the number `{text[:30]}` is too large")
    return text if number is None else number


def events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        yield from iter(loader.get_event, None)
    finally:
        loader.dispose()


def tokens(text: str) -> Iterator[Any]:
    """What the events are made of: also the indicators between the values, such as `-`, `:` and `,`."""
    loader = _LOADER(text)
    try:
        yield from iter(loader.get_token, None)
    finally:
        loader.dispose()


def word(text: str) -> bool | str | None:
    """A plain scalar that stands for null, true or false; itself if it is none of their spellings."""
    return _WORDS.get(text, text)


def _end(before: str, file: str) -> Place:
    """The place that follows the text `before`."""
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _remedy(text: str, line: int, error: yaml.MarkedYAMLError) -> str:
    lines = text.splitlines()
    indent = re.match(r"\s*", lines[line]) if line < len(lines) else None
    if indent and "\t" in indent[0]:
        return "indent with spaces; this line is indented with a tab"
    place = error.problem_mark
    if (
        place
        and place.line < len(lines)
        and (tag := _TAG_BEFORE_BRACKET.match(lines[place.line], _start(lines, place)))
    ):
        return f"write a space after `{tag[1]}`: `{tag[1]} {tag[2]}`"
    context, mark = error.context, error.context_mark
    if context and mark and mark.line != line:
        return f"{context} that starts in line {mark.line + 1}; check the indentation"
    return "check brackets, quotes and indentation in this line and the previous one; quote texts with `: ` or ` #`"


def _start(lines: list[str], mark: Any) -> int:
    """Where the word begins that contains a mark."""
    line: str = lines[mark.line]
    return max(line.rfind("!", 0, mark.column + 1), 0)


class _Stop(Exception):
    """Raised when the rest of a file cannot be understood. The problem has already been reported."""


@dataclass(slots=True)
class _Collection:
    """A list or map whose end has not been read.

    anchor    its YAML anchor
    seen      number of values that were read before it
    height    depth of the deepest list or map inside it
    unusable  it has an invalid tag: its members are checked and dropped
    key       the key whose value comes next
    merged    the maps whose members `<<` puts into it
    """

    node: Node
    mapping: bool
    anchor: str | None
    seen: int
    height: int = 0
    unusable: bool = False
    key: str | None = None
    key_place: Place | None = None
    keys: dict[str, Place] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class _Anchor:
    """What an alias refers to. `node` is None until its end has been read."""

    node: Node | None = None
    size: int = 0
    height: int = 0


class _Reader:
    """Builds the Nodes of one document from its YAML events, without recursion."""

    def __init__(self, file: str, problems: Problems, dialect: Dialect, most: int) -> None:
        """`most`: how many values all aliases may stand for."""
        self.file, self.problems, self.dialect, self.most = file, problems, dialect, most
        self.stack: list[_Collection] = []
        self.anchors: dict[str, _Anchor] = {}
        self.seen = self.expanded = self.documents = 0
        self.root: Node | None = None

    def document(self, events: Iterator[Any]) -> Node | None:
        """The root of the document."""
        stack, scalar_event = self.stack, yaml.ScalarEvent
        actions = {
            yaml.MappingStartEvent: self.start,
            yaml.SequenceStartEvent: self.start,
            yaml.MappingEndEvent: self.end,
            yaml.SequenceEndEvent: self.end,
            yaml.AliasEvent: self.alias,
            yaml.DocumentStartEvent: self.start_document,
        }
        for event in events:
            kind = type(event)
            if kind is scalar_event:
                collection = stack[-1] if stack else None
                if collection is not None and collection.mapping and collection.key is None:
                    self.key(collection, event)
                else:
                    self.add(self.scalar(event), 1, 0, event.anchor)
            elif kind in actions:
                actions[kind](event)
        if self.root is None or self.root.null:
            self.stop("the file is empty", Place(self.file, 1, 1), self.dialect.start)
        return self.root

    def place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def stop(self, message: str, place: Place, hint: str | None = None) -> NoReturn:
        self.problems.add(message, place, hint)
        raise _Stop

    def start_document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.stop("a second document starts here", self.place(event), self.dialect.second)

    # --- scalars

    def scalar(self, event: Any) -> Node:
        text = event.value
        if event.tag is not None:
            return self.tagged(event.tag, text, self.place(event))
        start, end = event.start_mark, event.end_mark
        place = Place(self.file, start.line + 1, start.column + 1)
        if spelled := spelled_tag(text):
            return self.tagged(*spelled, place)
        offset = None
        if start.line == end.line:
            quotes = 1 if event.style in ("'", '"') else 0
            # the columns differ if the text contains escapes
            offset = quotes if end.column - start.column == len(text) + 2 * quotes else None
        if not event.implicit[0]:
            return Node(place, text, text_offset=offset)
        try:
            return Node(place, scalar(text), text_offset=offset)
        except ValueError as error:
            self.problems.add(str(error), place, f'if it is a text, quote it: "{text[:30]}"')
            return Node(place, UNRESOLVED)

    def tagged(self, tag: str, text: str, place: Place) -> Node:
        if tag in _TEXT_TAGS:
            return Node(place, text)
        if tag in FILES and not text:
            self.problems.add(f"`{tag}` needs a path", place, f"write `{tag} path/to/file`")
            return Node(place, UNRESOLVED)
        if tag == UNSET and text:
            self.problems.add("`!unset` takes no value", place, "remove what follows it")
            return Node(place, None, tag=UNSET)
        if tag in TAGS:
            return Node(place, None if tag == UNSET else text, tag=tag)
        return self.unknown_tag(tag, place)

    def unknown_tag(self, tag: str, place: Place) -> Node:
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        quoted = f'if it is a pattern that excludes files, quote it: "{shown}"'
        self.problems.add(
            f"unknown tag `{shown}`", place, quoted if "/" in shown and tag == shown else suggest(shown, TAGS)
        )
        return Node(place, UNRESOLVED)

    # --- lists and maps

    def start(self, event: Any) -> None:
        place, mapping = self.place(event), isinstance(event, yaml.MappingStartEvent)
        if len(self.stack) >= DEPTH:
            self.stop(f"lists and maps are nested more than {DEPTH} levels deep", place)
        collection = _Collection(Node(place, {} if mapping else []), mapping, event.anchor, self.seen)
        if event.tag not in (None, "!", f"{_CORE}map" if mapping else f"{_CORE}seq"):
            collection.unusable = True
            if event.tag in TAGS:
                self.problems.add(f"`{event.tag}` cannot be used with a list or a map", place)
            else:
                self.unknown_tag(event.tag, place)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor()
        if self.expects_key():
            self.stop("a key must be a text", place)
        self.stack.append(collection)

    def end(self, event: Any) -> None:
        collection = self.stack.pop()
        node = collection.node
        for lower in collection.merged:
            self.merge(collection, lower)
        node.keys = collection.keys
        if collection.unusable:
            node.value = UNRESOLVED
        if collection.anchor:
            size = self.seen - collection.seen + 1
            self.anchors[collection.anchor] = _Anchor(node, size, collection.height + 1)
        self.add(node, 1, collection.height + 1)

    def alias(self, event: Any) -> None:
        place, name = self.place(event), event.anchor
        if self.expects_key():
            self.stop("a key must be a text", place)
        if name not in self.anchors:
            hint = suggest(name, self.anchors) or "a text that starts with `*` must be quoted"
            self.stop(f"the alias `*{name}` has no anchor `&{name}` before it", place, hint)
        anchor = self.anchors[name]
        if anchor.node is None:
            self.stop(f"the alias `*{name}` is inside the value that it refers to", place)
        self.expanded += anchor.size
        if self.expanded > self.most:
            self.stop(f"the aliases of this file stand for more than {self.most} values", place)
        if len(self.stack) + anchor.height > DEPTH:
            self.stop(f"lists and maps are nested more than {DEPTH} levels deep", place)
        self.add(anchor.node, anchor.size, anchor.height)

    def expects_key(self) -> bool:
        """Whether the next event must be the key of a map."""
        return bool(self.stack) and self.stack[-1].mapping and self.stack[-1].key is None

    def add(self, node: Node, size: int, height: int, anchor: str | None = None) -> None:
        """Add a complete value to the list or map that contains it. `size`: the number of values in it."""
        self.seen += size
        if anchor:
            self.anchors[anchor] = _Anchor(node, 1, 0)
        if not self.stack:
            self.root = node
            return
        collection = self.stack[-1]
        if height > collection.height:
            collection.height = height
        if collection.mapping:
            self.member(collection, node)
        elif node.tag == UNSET:
            self.problems.add("`!unset` removes a field of a map; it cannot be an item of a list", node.place)
        else:
            collection.node.value.append(node)

    def key(self, collection: _Collection, event: Any) -> None:
        """A key is its text as written: `1`, `true` and `~` are texts."""
        collection.key, collection.key_place = event.value, self.place(event)
        if event.tag not in _TEXT_TAGS:
            self.problems.add("a key cannot have a tag", collection.key_place)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(Node(collection.key_place, event.value), 1, 0)

    def member(self, collection: _Collection, node: Node) -> None:
        key, place = collection.key, collection.key_place
        assert key is not None
        assert place is not None
        collection.key = None
        first = collection.keys.get(key)
        if first is not None:
            message = f"the key `{key}` is defined twice: here and in line {first.line}"
            self.problems.add(message, place, "remove one of the two")
        elif key == "<<" and self.dialect.merges:
            collection.merged += node.list or [node]
        elif key == "<<":
            hint = "write the fields out, or set them under `defaults`"
            self.problems.add("merge keys (`<<`) are not part of YAML 1.2", place, hint)
        else:
            collection.node.value[key] = node
            collection.keys[key] = place

    def merge(self, collection: _Collection, lower: Node) -> None:
        """Put the members of a map into another one, which keeps its own."""
        if not isinstance(lower.value, dict):
            self.problems.add("`<<` needs a map, or a list of maps", lower.place, "write the alias of a map")
        for key, node in lower.map.items():
            if key not in collection.keys:
                collection.node.value[key] = node
                collection.keys[key] = lower.keys[key]
