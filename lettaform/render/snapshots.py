"""Snapshots, as their JSON says them, to text for people. The text is clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lettaform.errors import Problem
from lettaform.render.clean import clean_line
from lettaform.render.inline import count
from lettaform.render.paint import Paint

SHORT = 12
"""Number of digits of a digest or a commit that are shown."""


def table(rows: Sequence[Mapping[str, Any]], directory: str, *, color: bool = False) -> str:
    """One line per snapshot: folder, time, stack, number of objects, size, and what it holds.

    rows  of each: `name`, and either `error`, or `snapshot` (the content of its index) and `bytes`
    """
    if not rows:
        return f"No snapshots in {clean_line(directory)}.\n"
    paint = Paint(color)
    width = max(len(clean_line(row["name"])) for row in rows)
    lines = []
    for row in rows:
        name = paint(f"{clean_line(row['name']):<{width}}", "strong")
        if "error" in row:
            lines.append(f"{name}  {paint(clean_line(row['error']), 'alarm')}")
        else:
            lines.append(f"{name}  {'  '.join(_cells(row['snapshot'], row['bytes']))}")
    return "\n".join(lines) + "\n"


_SCOPES = {
    "stack": ("whole stack", "everything that the stack owns"),
    "plan": ("before an apply", "what one apply destroyed or changed"),
    "restore": ("before a restore", "what one restore destroyed or changed"),
}
"""Scope of a snapshot to what it is in a list, and in full."""


def _cells(body: Mapping[str, Any], size: int) -> list[str]:
    objects, histories = _counts(body)
    scope, _ = _SCOPES[body["scope"]]
    parts = [clean_line(body["created_at"][:19].replace("T", " ")), f"{count(objects, 'object')}"]
    parts += [f"{count(histories, 'agent file')}", _size(size), scope, f"content {body['digest'][:SHORT]}"]
    lacking = sum(bool(each.get("without_messages")) for each in body["objects"])
    return parts + ([f"{lacking} without messages"] if lacking else [])


def _counts(body: Mapping[str, Any]) -> tuple[int, int]:
    """The number of objects that it can bring back, and of agent files."""
    own = [each for each in body["objects"] if not each["used"]]
    return len(own), sum(each["file"] is not None for each in own)


def _size(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"


def head(body: Mapping[str, Any], path: str, *, color: bool = False) -> str:
    """What a snapshot says about itself, and its objects by kind."""
    paint, git, server = Paint(color), body["git"], body["server"]
    _, what = _SCOPES[body["scope"]]
    kinds = Counter(each["kind"] for each in body["objects"] if not each["used"])
    used = sum(each["used"] for each in body["objects"])
    lines = [
        paint(clean_line(path), "strong"),
        f"  taken    {clean_line(body['created_at'])} by lettaform {clean_line(body['lettaform_version'])}",
        f"  holds    {what}",
        f"  stack    {clean_line(body['stack'])}"
        + (f", environment {clean_line(body['environment'])}" if body["environment"] else ""),
        f"  server   {clean_line(server['url'])}, Letta {clean_line(server['version'])}",
        f"  objects  {', '.join(count(number, kind) for kind, number in sorted(kinds.items())) or 'none'}"
        + (f"; {used} of others that they use" if used else ""),
        f"  content  {body['digest']}",
    ]
    if git:
        lines.insert(2, f"  commit   {clean_line(git['commit'])[:SHORT]}" + (", with changes" if git["dirty"] else ""))
    if body["state"]:
        lines.insert(-1, f"  state    serial {body['state']['serial']}")
    for each in body["objects"]:
        if each.get("without_messages"):
            name = each["address"] or f"{each['kind']} {each['name'] or each['id']}"
            reason = f"  without the messages of {name}: {each['without_messages']}"
            lines.append(paint(clean_line(reason), "changed"))
    return "\n".join(lines) + "\n"


def verdict(problems: Sequence[Problem], path: str, *, color: bool = False) -> str:
    """Whether a snapshot is whole, each fault on a line, and what it cannot bring back."""
    paint = Paint(color)
    faults = [each for each in problems if each.severity == "error"]
    warnings = [each for each in problems if each.severity != "error"]
    lines = [paint(f"Fault: {_line(each)}", "alarm") for each in faults]
    lines += map(warning, warnings)
    if faults:
        lines.append(f"{clean_line(path)} is not whole: {count(len(faults), 'fault')}.")
    else:
        lines.append(f"{clean_line(path)} is whole and can be restored.")
    return "\n".join(lines) + "\n"


def warning(problem: Problem) -> str:
    """What a snapshot lacks, on a line."""
    return f"Warning: {_line(problem)}"


def not_compared(name: str) -> str:
    """That the messages of an agent are not compared, because a snapshot lacks them."""
    return clean_line(f"Warning: {name}: its messages are not compared, because a snapshot lacks them")


def _line(problem: Problem) -> str:
    place = f"{problem.place}: " if problem.place else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return clean_line(f"{place}{problem.message}{hint}")
