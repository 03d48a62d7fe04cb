"""The language to the JSON Schema with which editors complete and check manifests."""

from __future__ import annotations

import json
import re
from typing import Any

from lettaform.manifest.form import EXPRESSION, Definitions, Fields
from lettaform.manifest.language import component, language

DIALECT = "https://json-schema.org/draft/2020-12/schema"


_DEFAULT = re.compile(r"Default: (?:`([^`]+)`|([\w-]+))(?=\.|, which|$)")
_EXAMPLE = re.compile(r"(?:such as|, as|for example) `([^`]+)`")


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest. Editors see `!file path` and `!json path` as texts.

    Defaults and examples are those that the descriptions name.
    """
    return _whole("lettaform manifest", language())


def component_schema() -> dict[str, Any]:
    """The JSON Schema of a component."""
    return _whole("lettaform component", component())


def _whole(title: str, form: Fields) -> dict[str, Any]:
    definitions: Definitions = {}
    root = form.schema(definitions)
    root.pop("required", None)  # included files do not contain `stack`
    found = {"$schema": DIALECT, "title": title, **root, "$defs": definitions}
    _add_values(found)
    return found


def _add_values(part: Any) -> None:
    """Add `default` and `examples` to each schema whose description names some."""
    if isinstance(part, list):
        for each in part:
            _add_values(each)
    if not isinstance(part, dict):
        return
    about = part.get("description")
    if isinstance(about, str) and not part.keys() <= {"description", "$ref"}:
        if (default := _default(part, about)) is not None:
            part["default"] = default
        if examples := _EXAMPLE.findall(about):
            part["examples"] = [[each] if "array" in _types(part) else each for each in examples]
    for each in [*part.values()]:
        _add_values(each)


def _default(part: dict[str, Any], about: str) -> Any:
    """The default that a description names, if it is a value and not a description of one."""
    found = _DEFAULT.search(about)
    if found is None:
        return None
    quoted, word = found.groups()
    types, choices = _types(part), part.get("enum", ())
    if word in ("true", "false") and "boolean" in types:
        return word == "true"
    if word and word.isdecimal() and "integer" in types:
        return int(word)
    text = quoted or word
    return text if text in choices or (quoted and "string" in types) else None


def _types(part: dict[str, Any]) -> set[str]:
    """The types that a schema allows. An expression is a text in place of any other type, and is left out."""
    every = [part, *(each for each in part.get("anyOf", ()) if each != EXPRESSION)]
    given = [each.get("type", ()) for each in every]
    return {name for types in given for name in ([types] if isinstance(types, str) else types)}


def text() -> str:
    """The content of `schemas/manifest.schema.json`."""
    return _text(schema())


def component_text() -> str:
    """The content of `schemas/component.schema.json`."""
    return _text(component_schema())


def _text(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
