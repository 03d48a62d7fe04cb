"""A value of the wrong type to a hint that shows how to write it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lettaform.manifest.text import scalar

QUOTE = "quote the value"
_LONGEST = 60
"""Maximum number of characters of a value that a hint shows."""
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./*@+=<>~!%-]*")
"""Texts that need no quotes in YAML, unless they mean another scalar."""
_FLAGS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def remedy(expected: str, given: Any, form: Any = None) -> str | None:
    """What to write instead of `given`, where `expected` was expected. `form`: the value that it probably means."""
    if form is not None and (shown := flow(form)) and len(shown) <= _LONGEST:
        return f"write {'a list' if isinstance(form, list) else 'a map'}: `{shown}`"
    if expected == "a list":
        return "start each item with `- `" if isinstance(given, str | Mapping) else None
    if isinstance(given, bool | int | float):
        return QUOTE if "a text" in expected else None
    if isinstance(given, str) and expected in ("a whole number", "a number", "true or false"):
        return _unquoted(expected, given.strip())
    return "write `KEY: value` for each entry" if expected == "a map" and isinstance(given, list) else None


def _unquoted(expected: str, given: str) -> str | None:
    if expected == "true or false":
        meant = _FLAGS.get(given.lower())
        return f"write `{meant}`" if meant else "remove the quotes" if given in ("true", "false") else None
    if re.fullmatch(r"[-+]?\d{1,3}(_\d{3})+", given):
        return f"write `{given.replace('_', '')}`"
    return "remove the quotes" if re.fullmatch(r"[-+]?\d[\d.]*", given) else None


def flow(value: Any) -> str:
    """A value in one line of YAML, as users write it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        with suppress(ValueError):
            if scalar(value) == value:
                return value
    return json.dumps(value, ensure_ascii=False)
