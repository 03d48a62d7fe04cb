"""A tree of values to the text of a YAML file, as a person writes it. What is written reads back as the same tree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lettaform.manifest.expressions import ESCAPE
from lettaform.manifest.text import scalar

WIDTH = 100
"""Columns of a line that contains several values, and of a line of a folded text."""
_PLAIN = re.compile(r"[A-Za-z0-9_./(À-ɏ](?:[A-Za-z0-9_ ./()@+=;~^%$<>À-ɏ—–’'-]|:(?! |$)|,(?= ))*")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_OLD_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"})
"""Words that readers of YAML 1.1 take for something else than texts."""
_NOT_IN_BLOCKS = re.compile(
    "[^\n\x20-\x7e\xa0-\u061b\u061d-\u200a\u2010-\u2027\u202f-\u205f\u2070-\ud7ff"
    "\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""Characters that need an escape, that not every editor keeps, or that nobody sees, such as marks of direction."""


@dataclass(frozen=True)
class Raw:
    """A text that contains expressions, as it is written."""

    text: str


@dataclass(frozen=True)
class File:
    """The content of a file that is written beside the manifest, and the tag with which the manifest names it.

    tag   `!file`, `!json`, or empty for the path itself
    each  the files for which a path that contains an expression stands
    """

    tag: str
    path: str
    text: str
    each: tuple[File, ...] = ()


def yaml_text(tree: Mapping[str, Any]) -> str:
    """The text of a file with these top-level keys, with an empty line between them."""
    parts = []
    for key, value in tree.items():
        parts.append("\n".join(_entry(key, value, 0, spaced=_is_section(value))) + "\n")
    return "\n".join(parts)


def entry_lines(key: str, value: Any, indent: int) -> list[str]:
    """The lines of one entry of a map that begins in this column."""
    return [*_entry(key, value, indent)]


def flow_entry(key: str, value: Any) -> str:
    """One entry of a map inside brackets, on one line. Values are texts, numbers, booleans, lists and maps."""
    plain = _one_line(value, flow=True)
    return f"{_key(key)}: {_double(value).replace('${', ESCAPE) if plain is None else plain}"


def key_text(key: str) -> str:
    """A key as it is written."""
    return _key(key)


def _is_section(value: Any) -> bool:
    """Whether the entries of a map are separated by empty lines: one of them takes several lines."""
    return isinstance(value, Mapping) and any(
        isinstance(each, Mapping) and not _flow(each, 30) for each in value.values()
    )


# --- maps and lists --------------------------------------------------------------------------------------------------


def _entry(key: str, value: Any, indent: int, *, spaced: bool = False) -> Iterator[str]:
    """The lines of one entry of a map."""
    start = f"{' ' * indent}{_key(key)}:"
    yield from _value(start, value, indent, indent + 2, spaced=spaced)


def _value(start: str, value: Any, indent: int, inner: int, *, spaced: bool = False) -> Iterator[str]:
    """The lines of a value after `start`. `inner`: the indentation of what stands below it."""
    flow = _flow(value, WIDTH - len(start) - 1)
    if flow is not None and not (spaced and isinstance(value, Mapping) and value):
        yield f"{start} {flow}"
    elif isinstance(value, Mapping):
        yield start
        for number, (key, item) in enumerate(value.items()):
            if spaced and number:
                yield ""
            yield from _entry(key, item, inner)
    elif isinstance(value, list):
        yield start
        for item in value:
            yield from _item(item, inner)
    else:
        yield from _long_text(start, _text_of(value), inner)


def _item(value: Any, indent: int) -> Iterator[str]:
    """The lines of one item of a list."""
    start = f"{' ' * indent}-"
    if _flow(value, WIDTH - indent - 2) is not None or not isinstance(value, Mapping):
        yield from _value(start, value, indent, indent + 2)
        return
    for number, line in enumerate(line for key, item in value.items() for line in _entry(key, item, indent + 2)):
        yield f"{start} {line[indent + 2 :]}" if number == 0 else line


def _flow(value: Any, width: int) -> str | None:
    """A value on one line of at most `width` columns; None if it needs more, or if people write it otherwise."""
    text = _one_line(value, flow=False)
    if text is None or (isinstance(value, str | Raw) and _folds(_text_of(value))):
        return None
    return None if isinstance(value, Mapping | list) and value and len(text) > width else text


def _one_line(value: Any, *, flow: bool) -> str | None:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return json.dumps(value)
        case File(tag=tag, path=path):
            return f"{tag} {_quoted(path, flow=flow)}".strip()
        case str() | Raw():
            text = _text_of(value)
            return None if "\n" in text and _literal(text) else _quoted(text, flow=flow)
        case Mapping():
            items = [(_key(key), _one_line(item, flow=True)) for key, item in value.items()]
            return None if any(item is None for _, item in items) else f"{{{', '.join(f'{k}: {v}' for k, v in items)}}}"
        case list():
            texts = [_one_line(item, flow=True) for item in value]
            return None if None in texts else f"[{', '.join(map(str, texts))}]"
    raise TypeError(f"{type(value).__name__} has no form in YAML")


# --- texts -----------------------------------------------------------------------------------------------------------


def _text_of(value: Any) -> str:
    """A text as it is written: `${` in it is escaped, unless it contains expressions."""
    return value.text if isinstance(value, Raw) else value.replace("${", ESCAPE)


def _key(key: str) -> str:
    return key if _KEY.fullmatch(key) and key.lower() not in _OLD_WORDS else _double(key)


def _quoted(text: str, *, flow: bool) -> str:
    """A text on one line, without quotes where every reader takes it for this text."""
    return text if _is_plain(text, flow=flow) else _double(text)


def _is_plain(text: str, *, flow: bool) -> bool:
    if not _PLAIN.fullmatch(text) or text.endswith(" ") or text.lower() in _OLD_WORDS or (flow and "," in text):
        return False
    if re.fullmatch(r"[\d:._+-]+(?:[eE][\d+-]+)?|0[xob][\da-fA-F_]+|\d{4}-\d.*", text):  # numbers, times and dates
        return False
    try:
        return bool(scalar(text) == text)
    except ValueError:
        return False


def _double(value: Any) -> str:
    """A text in double quotes, with escapes; or another value in JSON."""
    quoted = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_BLOCKS.sub(lambda found: _escape(found[0]), quoted)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _literal(text: str) -> str | None:
    """The header of the literal block that holds a text; None if none can."""
    if not text.strip("\n") or _NOT_IN_BLOCKS.search(text):
        return None
    if text[0] in " \n" or text.endswith("\n\n") or any(line != line.rstrip(" ") for line in text.split("\n")):
        return None  # spaces and lines at an end would be lost to the eye, and to editors
    return "|" if text.endswith("\n") else "|-"


def _folds(text: str) -> bool:
    """Whether a text of one line can be folded at its spaces without a change."""
    is_long = len(text) > WIDTH and "\n" not in text and "  " not in text
    return is_long and text == text.strip(" ") and not _NOT_IN_BLOCKS.search(text) and " " in text


def _long_text(start: str, text: str, indent: int) -> Iterator[str]:
    """The lines of a text that takes several: literally, or folded at its spaces."""
    header = _literal(text) if "\n" in text else ">-"
    yield f"{start} {header}"
    lines = _folded(text) if header == ">-" else text.removesuffix("\n").split("\n")
    yield from (f"{' ' * indent}{line}" if line else "" for line in lines)


def _folded(text: str) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= WIDTH:
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines
