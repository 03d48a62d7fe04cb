"""What the language needs to know of single kinds and their tables do not say yet."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from lettaform.kinds.tool import BUILT_IN, first_function, tool_name

SHORT: Mapping[str, str] = {"block": "value"}
"""Kind to the field that a bare text fills where a whole own object could stand."""

BUILT_INS: Mapping[str, frozenset[str]] = {"tool": BUILT_IN}
"""Kind to the names of objects that the server has by itself: used without being declared."""

NAMES: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], str | None]]] = {
    "tool": (("source", "json_schema"), tool_name),
}
"""Kind to the fields out of which the server reads its name, and how."""

SOURCES: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]] = {
    ("tool", "source"): {".py": {}, ".ts": {"source_type": "typescript"}},
}
"""Field that takes a path of one line, to the endings of such paths, to what an ending says of other fields."""

RESERVED = "lettaform"
"""Our own tags begin with it and a colon; our own entry of `metadata` is called so."""


def line_of(source: str) -> int:
    """The line of a Python source that a problem with it is about."""
    try:
        function = first_function(ast.parse(source))
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return function.lineno if function else 1
