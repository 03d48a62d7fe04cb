"""An Audit to text for people and to JSON. Names are clean, and no contents are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from lettaform.kinds import kinds
from lettaform.ownership.audit import SORTS, Audit, Finding, Found, Sort
from lettaform.render import data
from lettaform.render.clean import clean_line
from lettaform.render.inline import count
from lettaform.render.paint import Paint

SHOWN = 20
"""Findings of one sort and kind that are shown unless `verbose`."""

_TITLES: Mapping[Sort, tuple[str, str]] = {
    "unowned": (
        "No stack owns",
        "`lettaform import --all -o DIR` writes a manifest for these; `lettaform import ADDRESS ID` adopts one",
    ),
    "duplicate": (
        "Duplicates: the state gives their address to another object",
        "lettaform writes and deletes none of them; `lettaform import ADDRESS ID` gives one its address",
    ),
    "equal": ("Equal content", "declare one of them, and refer to it in place of the others"),
    "unattached": (
        "Blocks that no agent has",
        "`blocks: [KEY]` of an agent attaches a block that the manifest declares",
    ),
    "unused": (
        "Archives and folders that no agent has",
        "`archive: KEY` and `folders: [KEY]` of an agent attach what the manifest declares",
    ),
    "missing": (
        "In the state, and not on the server",
        "`lettaform plan` shows which of these an apply would create again",
    ),
}
"""What stands above the findings of a sort, and what to do."""


def text(found: Audit, *, color: bool = False, verbose: bool = False) -> str:
    """The findings by sort and kind, the objects of each stack, and a summary. `verbose`: with every finding."""
    paint = Paint(color)
    parts = [f"Stack {found.stack}"] if found.stack else []
    groups = [[paint(clean_line(" · ".join([*parts, found.url, f"Letta {found.version}"])), "faint")]]
    for sort, every in groupby(found.findings, key=lambda finding: finding.sort):
        groups.append(list(_section(sort, list(every), paint, verbose)))
    groups += [stacks] if (stacks := list(_stacks(found, paint))) else []
    groups.append([_summary(found, paint)])
    return "\n\n".join("\n".join(group) for group in groups) + "\n"


def _section(sort: Sort, every: list[Finding], paint: Paint, verbose: bool) -> Iterator[str]:
    title, hint = _TITLES[sort]
    yield paint(f"{title}: {len(every)}", "strong")
    for kind, group in groupby(every, key=lambda finding: finding.objects[0].kind):
        same = list(group)
        shown = same if verbose else same[:SHOWN]
        for finding in shown:
            yield from _finding(finding, paint)
        if len(same) > len(shown):
            yield f"  … and {count(len(same) - len(shown), 'more ' + kind, 'more ' + kind + 's')}: `-v` shows them"
    yield f"  {paint('→', 'added')} {hint}"


def _finding(finding: Finding, paint: Paint) -> Iterator[str]:
    if len(finding.objects) == 1:
        yield f"  {_line(finding.objects[0], paint)}"
        return
    yield f"  {count(len(finding.objects), finding.objects[0].kind)}:"
    yield from (f"    {_line(each, paint)}" for each in finding.objects)


def _line(found: Found, paint: Paint) -> str:
    owner = f"stack {found.stack}" if found.stack else ""
    about = [owner, str(found.address)] if found.address else [owner]
    name = f"{found.kind} {found.name}" if found.name is not None else found.kind
    line = "  ".join([clean_line(name), *(clean_line(each) for each in about if each)])
    return f"{line}  {paint(clean_line(found.id), 'faint')}"


def _stacks(found: Audit, paint: Paint) -> Iterator[str]:
    """The objects of each stack."""
    by_stack: dict[str, dict[str, int]] = {}
    for kind, of_stacks in found.numbers.items():
        for stack, number in of_stacks.items():
            if stack:
                by_stack.setdefault(stack, {})[kind] = number
    for stack, numbers in sorted(by_stack.items()):
        objects = ", ".join(count(number, kind, _plural(kind)) for kind, number in numbers.items())
        yield paint(f"Stack {clean_line(stack)} owns {objects}.", "faint")


def _plural(kind: str) -> str:
    return kinds()[kind].section.replace("_", " ")


def _summary(found: Audit, paint: Paint) -> str:
    looked_at = sum(sum(numbers.values()) for numbers in found.numbers.values())
    scope = f"{count(looked_at, 'object')} looked at in {count(found.requests, 'request')}."
    if not found.findings:
        return f"{paint('Nothing found.', 'strong')} {scope}"
    return f"{paint('Audit:', 'strong')} {count(len(found.findings), 'finding')}. {scope}"


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(found: Audit, *, strict: bool = False) -> dict[str, Any]:
    """The object that `audit --json` prints."""
    return {
        "format_version": data.FORMAT_VERSION,
        "stack": found.stack,
        "server": {"url": found.url, "version": found.version},
        "findings": [
            {"finding": each.sort, "meaning": SORTS[each.sort], "objects": [_object(one) for one in each.objects]}
            for each in found.findings
        ],
        "objects": {kind: dict(numbers) for kind, numbers in found.numbers.items()},
        "requests": found.requests,
        "exit_code": found.exit_code(strict=strict),
    }


def _object(found: Found) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "id": found.id,
        "name": found.name,
        "stack": found.stack,
        "address": str(found.address) if found.address else None,
    }
