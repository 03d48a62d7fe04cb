"""Texts in JSON, YAML and CSV to values."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lettaform.manifest.node import Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import DEPTH, Dialect, parse

_SURROGATE = re.compile("[\ud800-\udfff]")
_YAML = Dialect("it needs a value", "a text contains one document")


class InvalidText(ValueError):
    """A text is not in its format. `line`, `column`: where, counted from 1, if that is known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line, self.column = line, column

    def placed(self) -> str:
        """The message with the line."""
        return f"{self} (line {self.line})" if self.line else str(self)


# --- JSON ------------------------------------------------------------------------------------------------------------


def json_value(text: str) -> Any:
    """The value of a JSON text. Raises InvalidText, also for what a server would reject."""
    try:
        data = json.loads(text, parse_constant=_reject_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise InvalidText(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise InvalidText("it is nested too deeply") from None
    except InvalidText:
        raise
    except ValueError as error:  # an integer with too many digits
        raise InvalidText(str(error)) from None
    if flaw := _flaw(data, DEPTH):
        raise InvalidText(flaw)
    return data


def _reject_constant(word: str) -> Any:
    raise InvalidText(f"{word} is not a number in JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise InvalidText(f"the key {key!r} is defined twice in one object")
    return data


def _flaw(data: Any, depth: int) -> str | None:
    """Why a server would reject `data`; None if it would not."""
    if depth == 0:
        return f"lists and maps are nested more than {DEPTH} levels deep"
    if isinstance(data, str):
        return "a text contains a lone surrogate" if _SURROGATE.search(data) else None
    if isinstance(data, float):
        return "a number is too large" if data in (float("inf"), float("-inf")) else None
    if isinstance(data, int):  # 0.16.8 stores it, and answers 500 to every list that contains the object
        return f"the number {str(data)[:30]} is too large" if abs(data) >= 2**63 else None
    items = [*data, *data.values()] if isinstance(data, dict) else data if isinstance(data, list) else ()
    return next((flaw for flaw in (_flaw(item, depth - 1) for item in items) if flaw), None)


# --- YAML ------------------------------------------------------------------------------------------------------------


def yaml_value(text: str) -> Any:
    """The value of a YAML text without tags. Raises InvalidText."""
    problems = Problems()
    node = parse(text, "", problems, _YAML)
    if node is None or problems.has_errors:
        first = problems.errors[0]
        raise InvalidText(first.message, first.place.line if first.place else None)
    return _untagged(node)


def _untagged(node: Node) -> Any:
    if node.tag:
        raise InvalidText(f"`{node.tag}` has no meaning here", node.place.line)
    if isinstance(node.value, dict):
        return {key: _untagged(child) for key, child in node.map.items()}
    return [_untagged(child) for child in node.list] if isinstance(node.value, list) else node.value


# --- CSV -------------------------------------------------------------------------------------------------------------


def csv_value(text: str) -> dict[str, dict[str, str]]:
    """The rows of a CSV text by their first column. Raises InvalidText, also if that does not tell them apart."""
    found: dict[str, dict[str, str]] = {}
    for row in csv_rows(text):
        key = next(iter(row.values()))
        if not key or key in found:
            what = f"two rows have {key!r}" if key else "a row has nothing"
            raise InvalidText(f"{what} in the first column, which must tell the rows apart")
        found[key] = row
    return found


def csv_rows(text: str) -> list[dict[str, str]]:
    """The rows of a CSV text, as maps with the names in its first row. Empty lines are left out. Raises InvalidText."""
    reader = csv.reader(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n")), strict=True)
    found = []
    try:
        head = next(reader, [])
        _check_head(head)
        for row in reader:
            if row and len(row) != len(head):
                raise InvalidText(f"{len(row)} fields, and the first row names {len(head)}", reader.line_num)
            if row:
                found.append(dict(zip(head, row, strict=True)))
    except csv.Error as error:
        raise InvalidText(str(error), reader.line_num) from None
    return found


def _check_head(head: Sequence[str]) -> None:
    if not head:
        raise InvalidText("the first row must name the columns", 1)
    if unnamed := [index for index, name in enumerate(head, 1) if not name.strip()]:
        raise InvalidText(f"column {unnamed[0]} has no name", 1)
    if twice := [name for name, number in Counter(head).items() if number > 1]:
        raise InvalidText(f"the column `{twice[0]}` is named twice", 1)
