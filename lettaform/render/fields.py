"""The kinds to a page of Markdown: what each of their fields is, what can be done with it, and what nobody manages."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from lettaform.kinds import kinds, oldest
from lettaform.kinds.base import Attr, Kind, Never
from lettaform.kinds.traits import Contents, ListedAt, Parts
from lettaform.render.unmanaged import UNMANAGED_OPERATIONS

_HEAD = """# Every kind, every field

Made by `lettaform schema fields` from the lines in `lettaform/kinds/`; a test keeps it current. Each of these lines is
held against Letta's own description of its API (`tests/contract`) and tried on a real server (`tests/live`): made,
read, changed, drifted, cleared. Known to work with self-hosted Letta 0.16.8.

- **make**: *must* be given when the object is made, or may be.
- **read**: compared with what is live; `-` can be written and not read back.
- **change**: *writes* it · *attaches* what it refers to, one by one · *replaces* the object · `-`: at birth alone.
- **clear**: `null` makes it empty.
- **since**: the first release of a server of one's own that has it; older ones than that of most fields cannot be used.
- **policy**: who owns it unless the manifest says otherwise; *additive* lists keep what others put there.

What else can be written on a server, and why no field says it, stands at the end.
"""

_ALONE = """## Left alone

Operations of Letta's API that write and that no kind has: verb and path, `*` for any verb and any part of a path.
`tests/contract` knows every operation that writes: it is a kind's, or stands here.
"""


def page() -> str:
    """All kinds, by section, and what is left alone."""
    parts = (_kind(kind) for kind in sorted(kinds().values(), key=lambda kind: kind.section))
    return "\n".join([_HEAD, *parts, _ALONE, *_alone()])


def _alone() -> Iterator[str]:
    for why, operations in UNMANAGED_OPERATIONS.items():
        yield f"- {why}"
        yield from (f"  - `{each}`" for each in operations)
    yield ""


def _kind(kind: type[Kind]) -> str:
    told = [f"## {kind.section}\n", f"{kind.__doc__}\n", *_remarks(kind)]
    told += [
        "| field | type | make | read | change | clear | policy | since | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    told += [_row(kind, line) for line in kind.attrs().values()]
    if kind.unmanaged:
        told += ["", "Left to the server, knowingly:", ""]
        told += [f"- `{name}`: {why}" for name, why in sorted(kind.unmanaged.items())]
    return "\n".join(told) + "\n"


def _remarks(kind: type[Kind]) -> Iterator[str]:
    if kind.unique:
        yield f"Known on the server by its `{kind.name_field}`, which nobody else may have.\n"
    if kind.availability.cloud is not None:
        yield (
            "Letta Cloud alone has it: built to its documented contract, not tried there.\n"
            if kind.availability.cloud
            else "Letta Cloud has it no more.\n"
        )
    if kind.precious:
        yield "Replaced with consent alone: `--allow-destroy ADDRESS`.\n"


def _row(kind: type[Kind], line: Attr) -> str:
    policy = "additive" if line.additive else "" if line.create_only or line.related(Parts) else line.policy
    cells = [
        f"`{line.name}`",
        _type(kind.model_fields[line.name].annotation, line),
        "must" if line.required else "may" if line.write or line.attached() else "",
        "yes" if line.read or isinstance(line.relation, ListedAt | Contents) else "-",
        _change(line),
        "yes" if line.clear is not Never else "-",
        policy,
        "Cloud" if kind.availability.cloud else kind.availability.release(line.name) or oldest(),
        line.doc + (" A secret." if line.secret else ""),
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
        return ", ".join(f"`{each}`" for each in inner) if len(inner) < 8 else f"one of {len(inner)} words"
    if parts := line.related(Parts):
        return f"map of {kinds()[parts.kind].section}"
    if origin is list:
        return f"list of {kinds()[line.to].section}" if line.to else f"list of {_plural(inner[0])}"
    if origin in (Union, UnionType):
        return ", or ".join(_type(each, line) for each in inner)
    if origin is dict:
        return "map" if inner[1] is Any else f"map of {_plural(inner[1])}"
    return line.to or {str: "text", int: "whole number", bool: "true or false", float: "number"}[annotation]


def _plural(annotation: Any) -> str:
    if get_args(annotation) and get_origin(annotation) is not dict:
        return " or ".join(map(_plural, get_args(annotation)))
    return "maps" if get_origin(annotation) is dict else {str: "texts", int: "whole numbers"}[annotation]
