"""A field change to the lines that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from lettaform.render.clean import clean, clean_line
from lettaform.render.data import to_json
from lettaform.render.inline import count, member_text, template_text, to_text
from lettaform.render.paint import Paint
from lettaform.render.texts import unified, words
from lettaform.values import Patch, Secret, Template, tainted

SHORT = 60
"""Maximum number of characters of a value that is shown on the line of its name."""
FIRST = (3, 100)
"""Number of lines that are shown of a long text in an object to create, and of characters of a line."""


class Absent:
    """A missing key or member. It differs from null."""


@dataclass(frozen=True)
class Row:
    """One field: `sign name  value`, and the lines of `details` below it."""

    sign: Literal["+", "-", "~"]
    name: str
    value: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Style:
    """How a value is shown.

    whole     whether long texts are shown in full
    most      the largest number of lines of a diff, or of a text that is shown in full; None: there is none
    creating  whether there is no old value, as of an object that does not exist yet
    limit     maximum number of characters of the text; None if there is no limit
    first     of a text that is not shown in full: a number of lines, and of characters of a line
    around    whether all that did not change is shown around what did
    """

    paint: Paint
    whole: bool = False
    most: int | None = None
    creating: bool = False
    limit: int | None = None
    first: tuple[int, int] = FIRST
    around: bool = False


def row(name: str, old: Any, new: Any, style: Style, *, secret: bool = False) -> Row:
    """The change from `old` to `new`, reduced to what differs: words, lines, members or keys."""
    old, new = (template_text(side) if isinstance(side, Template) else side for side in (old, new))
    sign: Literal["+", "-", "~"] = "~"
    members = isinstance(new, Patch) and new.entries is None
    if not members and _is_nothing(old) is not _is_nothing(new):
        sign = "+" if _is_nothing(old) else "-"
    value, details = _secret(old, new, style) if secret else _change(old, new, style)
    return Row(sign, clean_line(name), value, tuple(details))


def _is_nothing(value: Any) -> bool:
    return value is None or value is Absent


def _change(old: Any, new: Any, style: Style) -> tuple[str, list[str]]:
    if isinstance(new, Patch):
        return _members(old, new, style)
    if old is None and new is None:
        return "", []
    if old is Absent or style.creating:
        return _single(new, style)
    if new is Absent:
        return _single(old, style)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return "", layout(_entries(old, new, style), style.paint)
    if tainted(new) and to_text(old) == to_text(new):
        return f"{to_text(new)} (another secret)", []
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return "", _items([member_text(item) for item in old], [member_text(item) for item in new], style.paint)
    if isinstance(old, str | None) and isinstance(new, str | None) and not old == new is None:
        return _texts(old, new, style)
    return f"{to_text(old)} → {to_text(new)}", []


# --- secrets ---------------------------------------------------------------------------------------------------------


def _secret(old: Any, new: Any, style: Style) -> tuple[str, list[str]]:
    """The keys of a map are shown. Its values, and all other values, are hidden."""
    if isinstance(new, Patch):
        added = [f"+{clean_line(name)}=‹secret›" for name, _ in new.entries or ()] or ["+‹secret›" for _ in new.put]
        return " ".join([*added, *(f"-{clean_line(name)}" for name in new.drop)]), []
    if isinstance(new, Mapping) and style.creating:
        return " ".join(f"{clean_line(str(name))}=‹secret›" for name in new), []
    if isinstance(new, Mapping):
        before = old if isinstance(old, Mapping) else {}
        removed = [f"-{clean_line(str(name))}" for name in before if name not in new]
        return " ".join([f"+{clean_line(str(name))}=‹secret›" for name in new] + removed), []
    if style.creating or old is Absent:
        return "‹secret›", []
    return " → ".join("null" if _is_nothing(side) else "‹secret›" for side in (old, new)), []


# --- values without a counterpart -------------------------------------------------------------------------------------


def _single(value: Any, style: Style) -> tuple[str, list[str]]:
    if isinstance(value, str) and ("\n" in value.rstrip("\n") or len(value) > SHORT):
        return _size(None, value, style), _beginning(value, style)
    if isinstance(value, Mapping) and value and len(to_text(value)) > SHORT:
        rows = [row(str(key), Absent, item, style, secret=isinstance(item, Secret)) for key, item in value.items()]
        return "", layout(rows, style.paint, signs=False)
    if isinstance(value, list | tuple) and len(to_text(value)) > SHORT:
        return "", [f"- {member_text(item)}" for item in value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(member_text, value))}]", []
    return to_text(value), []


def _beginning(text: str, style: Style) -> list[str]:
    """The first lines of `text`, or all of them if it is shown in full."""
    lines = text.removesuffix("\n").split("\n")
    most, width = style.first
    first = [clean(line).replace("\t", "    ") for line in lines[: style.most if style.whole else most]]
    rest = len(lines) - len(first)
    if not style.whole:
        first = [line if len(line) <= width else f"{line[: width - 1]}…" for line in first]
    more = [style.paint(f"… {count(rest, 'more line')}", "faint")] if rest else []
    return [f"| {line}".rstrip() for line in first] + more


# --- collections -----------------------------------------------------------------------------------------------------


def _members(old: Any, patch: Patch, style: Style) -> tuple[str, list[str]]:
    """The members that are added to and removed from a list or map. Its other members are kept."""
    if patch.entries is not None:
        before = old if isinstance(old, Mapping) else {}
        rows = [
            row(key, before.get(key, Absent), new, style, secret=isinstance(new, Secret)) for key, new in patch.entries
        ]
        rows += [row(key, before.get(key), Absent, style) for key in patch.drop]
        return "", layout(rows, style.paint)
    added = [style.paint(f"+{member_text(item)}", "added") for item in patch.put]
    removed = [style.paint(f"-{member_text(item)}", "removed") for item in patch.drop]
    line = " ".join([*added, *removed])
    return (line, []) if len(line) <= 2 * SHORT else ("", [*added, *removed])


def _items(old: list[str], new: list[str], paint: Paint) -> list[str]:
    """The items that differ between two lists."""
    lines = []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            lines += [paint(f"- {item}", "removed") for item in old[i:i_end]]
            lines += [paint(f"+ {item}", "added") for item in new[j:j_end]]
    return lines


def _entries(old: Mapping[str, Any], new: Mapping[str, Any], style: Style) -> list[Row]:
    """The keys that differ between two maps, including those of nested maps and lists."""
    values = [*old.values(), *new.values()]
    if any(isinstance(value, Mapping | list | tuple) for value in values):
        return _nested_entries(old, new, style)
    rows = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key, Absent), new.get(key, Absent)
        if before != after:
            secret = isinstance(before, Secret) or isinstance(after, Secret)
            rows.append(row(str(key), before, after, style, secret=secret))
    return rows


def _nested_entries(old: Mapping[str, Any], new: Mapping[str, Any], style: Style) -> list[Row]:
    from deepdiff import DeepDiff  # imported here because the import takes 0.3 s
    from deepdiff.helper import NotPresent

    found = DeepDiff(to_json(old), to_json(new), view="tree", threshold_to_diff_deeper=0, verbose_level=2)
    leaves = [(leaf.path(output_format="list"), leaf) for leaves in found.values() for leaf in leaves]
    leaves.sort(key=lambda each: [_sort_key(part) for part in each[0]])
    rows = []
    for path, leaf in leaves:
        before, after = (Absent if isinstance(side, NotPresent) else side for side in (leaf.t1, leaf.t2))
        rows.append(row(_path(path), before, after, style))
    return rows


def _sort_key(part: int | str) -> tuple[str, int]:
    """Indexes sort as numbers, keys as texts."""
    return ("", part) if isinstance(part, int) else (part, 0)


def _path(parts: list[Any]) -> str:
    """`a.b[1].c`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


# --- texts -----------------------------------------------------------------------------------------------------------


def _texts(old: str | None, new: str | None, style: Style) -> tuple[str, list[str]]:
    before, after = old or "", new or ""
    if style.around and len(before) + len(after) > SHORT:
        return _size(old, new, style), unified(before, after, style.paint, before.count("\n") + after.count("\n"))
    if "\n" in before or "\n" in after:
        return _size(old, new, style), unified(before, after, style.paint, most=style.most)
    if len(before) > SHORT or len(after) > SHORT:
        return _size(old, new, style), words(before, after, style.paint)
    size = "" if style.limit is None else f"  {_size(old, new, style)}"
    return f"{to_text(old)} → {to_text(new)}{size}", []


def _size(old: str | None, new: str | None, style: Style) -> str:
    sizes = [str(len(side)) for side in (old, new) if side is not None]
    text = " → ".join(dict.fromkeys(sizes)) + (" character" if sizes == ["1"] else " characters")
    if style.limit is None:
        return style.paint(text, "faint")
    over = new is not None and len(new) > style.limit
    return style.paint(f"{text} of {style.limit}", "alarm" if over else "faint")


# --- layout ----------------------------------------------------------------------------------------------------------


def layout(rows: list[Row], paint: Paint, *, signs: bool = True) -> list[str]:
    """The lines of `rows`: names in one column, values in the next, details below."""
    width = min(max((len(each.name) for each in rows if each.value), default=0), 32)
    lines = []
    for each in rows:
        meaning: Literal["added", "removed", "changed"] = (
            "added" if each.sign == "+" else "removed" if each.sign == "-" else "changed"
        )
        sign = paint(each.sign, meaning) + " " if signs else ""
        lines.append(sign + (f"{each.name:<{width}}  {each.value}" if each.value else each.name))
        lines += [f"    {line}" if line else "" for line in each.details]
    return lines
