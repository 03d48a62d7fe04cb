"""One field that will be written, to the lines that show how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from lettaform.render.clean import clean, clean_line
from lettaform.render.data import plain
from lettaform.render.paint import Paint
from lettaform.render.spell import count, joined, member, spell
from lettaform.render.texts import unified, words
from lettaform.values import Patch, Secret, Template

SHORT = 60
"""Characters up to which a value stands on the line of its name."""
FIRST_LINES = 3
"""How much is shown of a long text at birth, where there is nothing to compare it with."""


class Absent:
    """Nothing was there, or will be: less than null."""


@dataclass(frozen=True)
class Shown:
    """`sign name  beside`, and `below` that, indented."""

    sign: Literal["+", "-", "~"]
    name: str
    beside: str = ""
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Style:
    """How much and how colourful. `limit`: how many characters the text may have. `birth`: there is no old side."""

    paint: Paint
    whole: bool = False
    birth: bool = False
    limit: int | None = None


def show(name: str, old: Any, new: Any, style: Style, *, secret: bool = False) -> Shown:
    """What changes, as small as it can be said: a word, a line, a member, a key."""
    old, new = (joined(side) if isinstance(side, Template) else side for side in (old, new))
    sign: Literal["+", "-", "~"] = (
        "+" if _nothing(old) and not _nothing(new) else "-" if _nothing(new) and not _nothing(old) else "~"
    )
    beside, below = _secret(old, new, style) if secret else _sides(old, new, style)
    return Shown(sign, clean_line(name), beside, tuple(below))


def _nothing(value: Any) -> bool:
    return value is None or value is Absent


def _sides(old: Any, new: Any, style: Style) -> tuple[str, list[str]]:
    if isinstance(new, Patch):
        return _members(old, new, style)
    if old is Absent or style.birth:
        return _one(new, style)
    if new is Absent:
        return _one(old, style)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return "", lay(list(_entries(old, new, style)), style.paint)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return "", _items([member(item) for item in old], [member(item) for item in new], style.paint)
    if isinstance(old, str | None) and isinstance(new, str | None) and not old == new is None:
        return _texts(old, new, style)
    return f"{spell(old)} → {spell(new)}", []


# --- secrets ---------------------------------------------------------------------------------------------------------


def _secret(old: Any, new: Any, style: Style) -> tuple[str, list[str]]:
    """The names of entries are no secret; all else is."""
    if isinstance(new, Patch):
        put = [f"+{clean_line(name)}=‹secret›" for name, _ in new.entries or ()] or ["+‹secret›" for _ in new.put]
        return " ".join([*put, *(f"-{clean_line(name)}" for name in new.drop)]), []
    if isinstance(new, Mapping) and style.birth:
        return " ".join(f"{clean_line(str(name))}=‹secret›" for name in new), []
    if isinstance(new, Mapping):
        kept = old if isinstance(old, Mapping) else {}
        gone = [f"-{clean_line(str(name))}" for name in kept if name not in new]
        return " ".join([f"+{clean_line(str(name))}=‹secret›" for name in new] + gone), []
    if style.birth or old is Absent:
        return spell(Secret("", "")), []
    return " → ".join("null" if _nothing(side) else "‹secret›" for side in (old, new)), []


# --- one side: birth -------------------------------------------------------------------------------------------------


def _one(value: Any, style: Style) -> tuple[str, list[str]]:
    if isinstance(value, str) and ("\n" in value.rstrip("\n") or len(value) > SHORT):
        return _size(None, value, style), _beginning(value, style)
    if isinstance(value, Mapping) and value and len(spell(value)) > SHORT:
        shown = [show(str(key), Absent, item, style, secret=isinstance(item, Secret)) for key, item in value.items()]
        return "", lay(shown, style.paint, signs=False)
    if isinstance(value, list | tuple) and len(spell(value)) > SHORT:
        return "", [f"- {member(item)}" for item in value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(member, value))}]", []
    return spell(value), []


def _beginning(text: str, style: Style) -> list[str]:
    lines = [clean(line).replace("\t", "    ") for line in text.removesuffix("\n").split("\n")]
    if style.whole:
        return [f"| {line}".rstrip() for line in lines]
    cut = [line if len(line) <= 100 else f"{line[:99]}…" for line in lines[:FIRST_LINES]]
    rest = len(lines) - len(cut)
    more = [style.paint(f"… {count(rest, 'more line')}", "faint")] if rest else []
    return [f"| {line}".rstrip() for line in cut] + more


# --- collections -----------------------------------------------------------------------------------------------------


def _members(old: Any, keep: Patch, style: Style) -> tuple[str, list[str]]:
    """What is added to and taken from a collection that others write to as well."""
    if keep.entries is not None:
        had = old if isinstance(old, Mapping) else {}
        shown = [
            show(key, had.get(key, Absent), new, style, secret=isinstance(new, Secret)) for key, new in keep.entries
        ]
        shown += [show(key, had.get(key, None), Absent, style) for key in keep.drop]
        return "", lay(shown, style.paint)
    put = [style.paint(f"+{member(item)}", "added") for item in keep.put]
    drop = [style.paint(f"-{member(item)}", "removed") for item in keep.drop]
    both = put + drop
    return (" ".join(both), []) if len(" ".join(both)) <= 2 * SHORT else ("", both)


def _items(old: list[str], new: list[str], paint: Paint) -> list[str]:
    lines = []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            lines += [paint(f"- {item}", "removed") for item in old[i:i_end]]
            lines += [paint(f"+ {item}", "added") for item in new[j:j_end]]
    return lines


def _entries(old: Mapping[str, Any], new: Mapping[str, Any], style: Style) -> Iterator[Shown]:
    """Only what differs; inside of nested maps and lists, too."""
    nested = any(isinstance(item, Mapping | list | tuple) for side in (old, new) for item in side.values())
    if not nested:
        for key in dict.fromkeys([*old, *new]):
            before, after = old.get(key, Absent), new.get(key, Absent)
            if before != after:
                secret = isinstance(before, Secret) or isinstance(after, Secret)
                yield show(str(key), before, after, style, secret=secret)
        return
    from deepdiff import DeepDiff  # 0.3 s: only here
    from deepdiff.helper import NotPresent

    found = DeepDiff(plain(old), plain(new), view="tree", threshold_to_diff_deeper=0, verbose_level=2)
    leaves = [leaf for leaves in found.values() for leaf in leaves]
    paths = [leaf.path(output_format="list") for leaf in leaves]
    for path, leaf in sorted(zip(paths, leaves, strict=True), key=lambda found: [_rank(step) for step in found[0]]):
        before, after = (Absent if isinstance(side, NotPresent) else side for side in (leaf.t1, leaf.t2))
        yield show(_path(path), before, after, style)


def _rank(step: int | str) -> tuple[str, int]:
    return ("", step) if isinstance(step, int) else (step, 0)


def _path(steps: list[Any]) -> str:
    spelled = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return spelled.removeprefix(".")


# --- texts -----------------------------------------------------------------------------------------------------------


def _texts(old: str | None, new: str | None, style: Style) -> tuple[str, list[str]]:
    before, after = old or "", new or ""
    if "\n" in before or "\n" in after:
        return _size(old, new, style), unified(before, after, style.paint)
    if len(before) > SHORT or len(after) > SHORT:
        return _size(old, new, style), words(before, after, style.paint)
    size = "" if style.limit is None else f"  {_size(old, new, style)}"
    return f"{spell(old)} → {spell(new)}{size}", []


def _size(old: str | None, new: str | None, style: Style) -> str:
    sizes = [str(len(side)) for side in (old, new) if side is not None]
    text = " → ".join(dict.fromkeys(sizes)) + (" character" if sizes == ["1"] else " characters")
    if style.limit is None:
        return style.paint(text, "faint")
    over = new is not None and len(new) > style.limit
    return style.paint(f"{text} of {style.limit}", "alarm" if over else "faint")


# --- layout ----------------------------------------------------------------------------------------------------------


def lay(shown: list[Shown], paint: Paint, *, signs: bool = True) -> list[str]:
    """Names in a column, values beside them, the rest below."""
    width = min(max((len(item.name) for item in shown if item.beside), default=0), 32)
    lines = []
    for item in shown:
        meaning: Literal["added", "removed", "changed"] = (
            "added" if item.sign == "+" else "removed" if item.sign == "-" else "changed"
        )
        sign = paint(item.sign, meaning) + " " if signs else ""
        name = f"{item.name:<{width}}  {item.beside}" if item.beside else item.name
        lines.append(f"{sign}{name}")
        lines += [f"    {line}" if line else "" for line in item.below]
    return lines
