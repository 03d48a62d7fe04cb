"""YAML text to a Node, strictly: the core scalars of YAML 1.2, no second meanings, no bombs.

What YAML leaves open is closed here: duplicate keys, merge keys, several documents and unknown tags are problems;
`no`, `on`, `1:30` and dates are texts; `012` must be quoted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from lettaform.errors import Place
from lettaform.manifest.node import FILE, HOLE, JSON, TAGS, UNSET, Node
from lettaform.manifest.problems import Problems, suggest

DEPTH = 100
EXPANDED = 100_000
"""How many values all aliases of a file may stand for."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_FOREIGN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_OCTAL = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def decode(data: bytes, file: str, problems: Problems) -> str | None:
    """Bytes of a file as text; None, and one problem, if they are not plain UTF-8."""
    start = Place(file, 1, 1)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.add("the file is UTF-16", start, "save it as UTF-8")
    elif data.startswith(b"\xef\xbb\xbf"):
        problems.add("the file begins with a byte order mark", start, "save it as UTF-8 without BOM")
    else:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8", "replace")
            problems.add(f"byte 0x{data[error.start]:02x} is not UTF-8", _place(before, file), "save the file as UTF-8")
    return None


def parse(text: str, file: str, problems: Problems) -> Node | None:
    """The one document in `text`; None, and at least one problem, if there is none that can be used."""
    foreign = _FOREIGN.search(text)
    if foreign:
        where = _place(text[: foreign.start()], file)
        problems.add(f"the character U+{ord(foreign[0]):04X} may not stand in YAML", where, "write it as an escape")
        return None
    try:
        return _Reading(file, problems).document(yaml.parse(text, _LOADER))
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        problems.add(f"not YAML: {error.problem}", Place(file, line + 1, column + 1), _remedy(text, line, error))
    except yaml.YAMLError as error:
        problems.add(f"not YAML: {error}", Place(file, 1, 1))
    return None


def scalar(text: str) -> Any:
    """What a plain scalar means. ValueError, whose words are a message, if that is not certain."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _OCTAL.fullmatch(text):
        raise ValueError(f"`{text}` is eight-based to some readers and ten-based to others")
    if _NO_NUMBER.fullmatch(text):
        raise ValueError(f"`{text}` is not a number that JSON knows")
    number: float | None = None
    if _INT.fullmatch(text):
        number = int(text, 0) if len(text) <= 25 else math.inf
    elif _FLOAT.fullmatch(text):
        number = float(text)
    if (isinstance(number, int) and abs(number) >= 2**63) or number in (math.inf, -math.inf):
        raise ValueError(f"`{text[:30]}` is too large a number")
    return text if number is None else number


def _place(before: str, file: str) -> Place:
    """The place right after the text `before`."""
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _remedy(text: str, line: int, error: yaml.MarkedYAMLError) -> str:
    lines = text.splitlines()
    indent = re.match(r"\s*", lines[line]) if line < len(lines) else None
    if indent and "\t" in indent[0]:
        return "YAML is indented with spaces; this line begins with a tab"
    context, mark = error.context, error.context_mark
    if context and mark and mark.line != line:
        return f"{context}, which begins in line {mark.line + 1}; check the indentation"
    return "check brackets, quotes and indentation here and in the line above; quote a text that holds `: ` or ` #`"


class _Stop(Exception):
    """The rest of the file means nothing any more; the reason has been told."""


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is still open."""

    node: Node
    anchor: str | None
    seen: int
    deepest: int
    unusable: bool = False
    key: str | None = None
    key_place: Place | None = None
    keys: dict[str, Place] = field(default_factory=dict)


class _Reading:
    """The events of one document, one by one, without recursion."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file, self.problems = file, problems
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Node, int, int] | None] = {}
        self.seen = self.expanded = 0
        self.root: Node | None = None

    def document(self, events: Iterator[Any]) -> Node | None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.ScalarEvent) and self.expects_key():
                self.key(self.stack[-1], event)
            elif isinstance(event, yaml.ScalarEvent):
                self.put(self.scalar(event), event, 1, 0)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self.start(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self.end(event)
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    hint = "one file, one document; put the rest into another file and name it in `include`"
                    self.stop("a second document begins here", self.place(event), hint)
        if self.root is None or self.root.null:
            self.stop("the file is empty", Place(self.file, 1, 1), "a manifest begins with `stack: NAME`")
        return self.root

    def place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def stop(self, message: str, place: Place, hint: str | None = None) -> None:
        self.problems.add(message, place, hint)
        raise _Stop

    def scalar(self, event: Any) -> Node:
        place, text = self.place(event), event.value
        tag, value, inset = event.tag, text, None
        start, stop = event.start_mark, event.end_mark
        if start.line == stop.line and not tag:
            quotes = 1 if event.style in ("'", '"') else 0
            inset = quotes if stop.column - start.column == len(text) + 2 * quotes else None
        if tag is None or tag in ("!", f"{_CORE}str"):
            if event.implicit[0] and tag is None:
                try:
                    value = scalar(text)
                except ValueError as error:
                    self.problems.add(str(error), place, f'put it in quotes if it is a text: "{text[:30]}"')
                    value = HOLE
            return Node(place, value, inset=inset)
        if tag in (FILE, JSON) and not text:
            self.problems.add(f"`{tag}` needs a path", place, f"{tag} path/to/file")
            return Node(place, HOLE)
        if tag == UNSET and text:
            self.problems.add("`!unset` stands alone", place, "nothing may follow it")
            return Node(place, None, tag=UNSET)
        if tag in TAGS:
            return Node(place, None if tag == UNSET else text, tag=tag)
        return self.unknown_tag(tag, place)

    def unknown_tag(self, tag: str, place: Place) -> Node:
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        self.problems.add(f"the tag `{shown}` means nothing here", place, suggest(shown, TAGS))
        return Node(place, HOLE)

    def start(self, event: Any) -> None:
        if len(self.stack) >= DEPTH:
            self.stop(f"more than {DEPTH} lists and maps inside one another", self.place(event))
        place, mapping = self.place(event), isinstance(event, yaml.MappingStartEvent)
        frame = _Frame(Node(place, {} if mapping else []), event.anchor, self.seen, 0)
        if event.tag not in (None, "!", f"{_CORE}map" if mapping else f"{_CORE}seq"):
            frame.unusable = True
            if event.tag in TAGS:
                self.problems.add(f"`{event.tag}` takes no list and no map", place)
            else:
                self.unknown_tag(event.tag, place)
        if event.anchor:
            self.anchors[event.anchor] = None
        if self.expects_key():
            self.stop("a key must be a plain text", place)
        self.stack.append(frame)

    def end(self, event: Any) -> None:
        frame = self.stack.pop()
        if isinstance(frame.node.value, dict):
            frame.node.keys = frame.keys
        if frame.unusable:
            frame.node.value = HOLE
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.node, self.seen - frame.seen + 1, frame.deepest + 1)
        self.put(frame.node, None, 1, frame.deepest + 1)

    def alias(self, event: Any) -> None:
        place = self.place(event)
        if self.expects_key():
            self.stop("a key must be a plain text", place)
        if event.anchor not in self.anchors:
            hint = suggest(event.anchor, self.anchors) or "quote a text that begins with `*`"
            self.stop(f"`*{event.anchor}` refers to nothing above", place, hint)
        known = self.anchors[event.anchor]
        if known is None:
            self.stop(f"`*{event.anchor}` stands inside what it refers to", place)
            return
        node, size, height = known
        self.expanded += size
        if self.expanded > EXPANDED:
            self.stop(f"aliases stand for more than {EXPANDED} values", place)
        if len(self.stack) + height > DEPTH:
            self.stop(f"more than {DEPTH} lists and maps inside one another", place)
        self.put(node, None, size, height)

    def expects_key(self) -> bool:
        """Whether what comes now is a key of a mapping."""
        frame = self.stack[-1] if self.stack else None
        return frame is not None and isinstance(frame.node.value, dict) and frame.key is None

    def put(self, node: Node, event: Any, size: int, height: int) -> None:
        """Hang a finished value where it belongs."""
        self.seen += size
        if event is not None and event.anchor:
            self.anchors[event.anchor] = (node, 1, 0)
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        frame.deepest = max(frame.deepest, height)
        if isinstance(frame.node.value, list):
            if node.tag == UNSET:
                self.problems.add("`!unset` takes away a field, not an item of a list", node.place)
                return
            frame.node.value.append(node)
        elif frame.key is not None:
            self.member(frame, frame.key, node)

    def key(self, frame: _Frame, event: Any) -> None:
        """A key is the text that stands there, whatever it would mean as a value."""
        frame.key, frame.key_place = event.value, self.place(event)
        if event.tag not in (None, "!", f"{_CORE}str"):
            self.problems.add("a key takes no tag", frame.key_place)
        if event.anchor:
            self.anchors[event.anchor] = (Node(frame.key_place, event.value), 1, 0)

    def member(self, frame: _Frame, key: str, node: Node) -> None:
        place = frame.key_place or node.place
        frame.key = None
        first = frame.keys.get(key)
        if first is not None:
            hint = "keep one of the two"
            self.problems.add(f"the key `{key}` stands twice: here and in line {first.line}", place, hint)
        elif key == "<<":
            hint = "write the fields out, or say them once in `defaults`"
            self.problems.add("merge keys (`<<`) are not part of YAML 1.2", place, hint)
        else:
            frame.node.value[key] = node
            frame.keys[key] = place
