"""The kinds to a Markdown page: every field with its type and operations, and the API operations without a field."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lettaform.kinds import kinds, oldest, sections
from lettaform.kinds.base import Attr, Kind, Never
from lettaform.kinds.maps import Map
from lettaform.kinds.traits import Contents, Parts
from lettaform.render.unmanaged import UNMANAGED_OPERATIONS

_HEAD = """# Every kind, every field

`lettaform schema fields` generates this page from the definitions in `lettaform/kinds/`; a test keeps it current.
Every field is compared with Letta's OpenAPI document (`tests/contract`) and tested on a real server (`tests/live`):
create, read, update, drift, clear. Tested with self-hosted Letta 0.16.8. The pages of the [kinds](kinds/README.md) are
shorter, and have examples.

- **create**: whether the field is *required* or *optional* when the object is created.
- **read**: whether the value is read from the server and compared. `-`: it can be written, but not read.
- **update**: a change *writes* the value, *attaches* the objects it refers to, or *replaces* the object. `-`: it is
  written only when the object is created.
- **clear**: whether `null` clears the value.
- **policy**: who owns the value, unless the manifest sets another policy. *additive*: members that others added to the
  list or map are kept.
- **since**: the first release of a self-hosted server that supports the field. Servers older than that of most fields
  are not supported.

The last section lists the write operations of Letta's API that no field uses, and the reasons.
"""

_UNUSED = """## Operations that are not used

Write operations of Letta's API that no kind uses: method and path; `*` stands for any method and any part of a path.
`tests/contract` checks that every write operation is used by a kind or listed here.
"""


def page() -> str:
    """All kinds by section, and the operations that are not used."""
    parts = (_kind(kind) for kind in sorted(kinds().values(), key=lambda kind: kind.section))
    return "\n".join([_HEAD, *parts, _UNUSED, *_unused()])


def _unused() -> Iterator[str]:
    for why, operations in UNMANAGED_OPERATIONS.items():
        yield f"- {why}"
        yield from (f"  - `{each}`" for each in operations)
    yield ""


def _kind(kind: type[Kind]) -> str:
    lines = [f"## {kind.section}\n", f"{kind.__doc__}\n", *_remarks(kind)]
    lines += [
        "| field | type | create | read | update | clear | policy | since | description |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(kind, line) for line in kind.attrs().values()]
    if kind.unmanaged:
        lines += ["", "Not managed:", ""]
        lines += [f"- `{name}`: {why}" for name, why in sorted(kind.unmanaged.items())]
    return "\n".join(lines) + "\n"


def _remarks(kind: type[Kind]) -> Iterator[str]:
    if kind.unique:
        yield f"The `{kind.name_field}` is unique on the server.\n"
    if kind.availability.cloud is not None:
        yield (
            "Available only on Letta Cloud. Implemented from its documentation; not tested there.\n"
            if kind.availability.cloud
            else "No longer available on Letta Cloud.\n"
        )
    if kind.precious:
        yield "Replaced only with `--allow-destroy ADDRESS`.\n"


def _row(kind: type[Kind], line: Attr) -> str:
    policy = "additive" if line.additive else "" if line.create_only or line.related(Parts) else line.policy
    cells = [
        f"`{line.name}`",
        _type(kind.model_fields[line.name].annotation, line),
        "required" if line.required else "optional" if line.write or line.attached() else "",
        "yes" if line.read or line.read_apart() else "-",
        _change(line),
        "yes" if line.clear is not Never else "-",
        policy,
        "Cloud" if kind.availability.cloud else kind.availability.release(line.name) or oldest(),
        line.doc + (" Secret." if line.secret else " May contain secrets." if line.embeds else ""),
    ]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _change(line: Attr) -> str:
    if line.create_only:
        return "-"
    if line.immutable:
        return "replaces"
    return "attaches" if line.link or isinstance(line.relation, Parts | Contents) else "writes"


def _type(annotation: Any, line: Attr) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inner) if len(inner) < 8 else f"one of {len(inner)} values"
    if parts := line.related(Parts):
        return f"map of {kinds()[parts.kind].section}"
    if origin is list:
        return f"list of {kinds()[line.to].section}" if line.to else f"list of {_plural(inner[0])}"
    if origin in (Union, UnionType):
        return ", or ".join(dict.fromkeys(_type(each, line) for each in inner))
    if origin is dict:
        return "map" if inner[1] is Any else f"map of {_plural(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Map):
        return "map"
    return line.to or {str: "text", int: "whole number", bool: "true or false", float: "number"}[annotation]


def _plural(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _plural(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return "texts"
    if get_args(annotation) and get_origin(annotation) is not dict:
        return " or ".join(dict.fromkeys(map(_plural, get_args(annotation))))
    simple = {str: "texts", int: "whole numbers", float: "numbers", bool: "booleans"}
    return simple.get(annotation, "maps")


# --- pages of kinds


def about(section: str) -> str:
    """What a kind is, and what is particular about it."""
    kind = kinds()[sections()[section]]
    return "\n".join([f"{kind.__doc__}\n", *_remarks(kind)])


def table(section: str) -> str:
    """The fields of a kind with what a reader of a manifest must know; `page` has everything."""
    kind = kinds()[sections()[section]]
    lines = ['<div class="fields" markdown>\n', "| field | type | meaning |", "|---|---|---|"]
    for line in kind.attrs().values():
        cells = f"`{line.name}`", _type(kind.model_fields[line.name].annotation, line), _in_words(kind, line)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join([*lines, "\n</div>\n"])


def index() -> str:
    """The kinds, with what each is."""
    rows = [f"| [{name}]({name}.md) | {kinds()[kind].__doc__} |" for name, kind in sorted(sections().items())]
    return "\n".join(["| section | an object is |", "|---|---|", *rows]) + "\n"


def _in_words(kind: type[Kind], line: Attr) -> str:
    """The description of a field, and its rules."""
    changed = {"-": "A change has no effect on an existing object.", "replaces": "A change replaces the object."}
    policy = "" if line.additive or line.related(Parts) or line.policy == "enforce" else f"Policy: `{line.policy}`."
    rules = [
        "**Required.**" if line.required else "",
        line.doc,
        "Secret." if line.secret else "May contain secrets." if line.embeds else "",
        "Members that others add are kept." if line.additive else "",
        policy,
        changed.get(_change(line), ""),
        "`null` clears it." if line.clear is not Never else "",
    ]
    return " ".join(each for each in rules if each)


def parameters() -> str:
    """The parameters of requests that have another name in a manifest."""
    rows = [
        f"| `{line.write}` of `{kind.section}` | `{line.name}` |"
        for kind in sorted(kinds().values(), key=lambda kind: kind.section)
        for line in kind.attrs().values()
        if line.write and line.write != line.name
    ]
    return "\n".join(["| parameter | field |", "|---|---|", *rows]) + "\n"
