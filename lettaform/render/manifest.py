"""The final manifest to YAML with the origin of each value, and to JSON. Secrets are hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lettaform.manifest.emit_text import Raw, entry_lines, key_text
from lettaform.manifest.rendered import Origin, Rendered, RenderedObject
from lettaform.render import data
from lettaform.render.changes import location
from lettaform.render.clean import clean_line

_HEAD = """\
# The final manifest: without components, for_each, defaults and known expressions. Read it, and do not apply it: its
# keys are addresses, so that an apply would create everything again.
"""


def text(found: Rendered, *, origins: bool = True) -> str:
    """The manifest as YAML. `origins`: each value has a comment that says where it comes from."""
    environment = f"# environment: {clean_line(found.environment)}\n" if found.environment else ""
    lines = [f"{_HEAD}{environment}stack: {found.stack}"]
    section = None
    for each in found.objects:
        if each.address.section != section:
            section = each.address.section
            lines += ["", f"{section}:"]
        lines += _object(each, origins=origins)
    if found.outputs:
        lines += ["", *entry_lines("outputs", found.outputs, 0)]
    return "\n".join(lines) + "\n"


def _object(each: RenderedObject, *, origins: bool) -> Iterator[str]:
    about = f"  # {clean_line(str(each.address))}" if origins and str(each.address) != each.key else ""
    if not each.fields:
        yield f"  {key_text(each.key)}: {{}}{about}"
        return
    yield f"  {key_text(each.key)}:{about}"
    for name, value in each.fields.items():
        yield from _entry(name, value, name, each.origins if origins else {}, 4)


def _entry(key: str, value: Any, path: str, origins: Mapping[str, Origin], indent: int) -> Iterator[str]:
    """The lines of one entry: a map with origins inside of it has a line for each of its entries."""
    if isinstance(value, Mapping) and value and any(each.startswith(f"{path}.") for each in origins):
        yield f"{' ' * indent}{key_text(key)}:"
        for inner, item in value.items():
            yield from _entry(inner, item, f"{path}.{inner}", origins, indent + 2)
        return
    first, *others = entry_lines(key, value, indent)
    yield f"{first}  # {_words(origins[path])}" if path in origins else first
    yield from others


def _words(origin: Origin) -> str:
    """Where a value comes from, on one line."""
    named = ", ".join(
        f"{each} of {location(origin.passed[word])}" if word in origin.passed else each
        for each in origin.expressions
        for word in [each.partition(".")[2].partition(".")[0] if each.startswith("var.") else ""]
    )
    layer = f" ({origin.layer})" if origin.layer else ""
    return clean_line(f"{location(origin.place)}{layer}{': ' + named if named else ''}")


def to_data(found: Rendered) -> dict[str, Any]:
    """The object that `render --json` prints."""
    return {
        "format_version": data.FORMAT_VERSION,
        "stack": found.stack,
        "environment": found.environment,
        "objects": [_object_data(each) for each in found.objects],
        "outputs": _plain(found.outputs),
    }


def _object_data(each: RenderedObject) -> dict[str, Any]:
    origins = {path: _origin_data(origin) for path, origin in each.origins.items()}
    return {"address": str(each.address), "key": each.key, "values": _plain(each.fields), "origins": origins}


def _origin_data(origin: Origin) -> dict[str, Any]:
    place = {"file": origin.place.file, "line": origin.place.line, "column": origin.place.column}
    passed = {name: str(where) for name, where in origin.passed.items()}
    return {**place, "layer": origin.layer or None, "expressions": list(origin.expressions), "inputs": passed}


def _plain(value: Any) -> Any:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
