"""Who shares what, as a picture in SVG: shared blocks, folders and archives, and the agents to which they are attached.

Agents that share the same objects are one box, so that the picture of a large fleet is as small as that of a small one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

from lettaform import model
from lettaform.address import Address
from lettaform.render.changes import short_addresses
from lettaform.render.clean import clean_line
from lettaform.render.inline import count

MOST = 14
"""The largest number of boxes in a column; those with the most lines are shown."""
_WIDTH, _BOX, _HEIGHT, _ROW = 360, 140, 36, 46
_LETTERS = 19
"""The number of letters that fit into a box."""
_NAMED = 30
"""The largest number of addresses that the tooltip of a box names."""


@dataclass(frozen=True)
class _Box:
    """A box of the picture. `members`: the objects that it stands for."""

    name: str
    note: str
    members: tuple[Address, ...]


def picture(plan: model.Plan) -> str:
    """The picture; empty if nothing is shared. Has the classes `box`, `line`, and the actions of the plan."""
    if not plan.shared:
        return ""
    shared = sorted(plan.shared, key=lambda each: (-len(plan.shared[each]), each))[:MOST]
    alike = _alike({each: plan.shared[each] for each in shared})
    users = sorted(alike, key=lambda each: (-len(alike[each]), each))[:MOST]
    order = {each: number for number, each in enumerate(shared)}
    users.sort(key=lambda each: (sum(order[used] for used in each) / len(each), each))
    actions = {change.address: change.action for change in plan.changes}
    height = max(len(shared), len(users)) * _ROW
    left, right = (_positions(len(column), height) for column in (shared, users))
    lines = [_line(left[order[each]], y) for used, y in zip(users, right, strict=True) for each in used]
    boxes = [
        *(_box(_object(each, plan.shared[each]), 0, y, actions) for each, y in zip(shared, left, strict=True)),
        *(_box(_users(alike[each]), _WIDTH - _BOX, y, actions) for each, y in zip(users, right, strict=True)),
    ]
    inner = "\n".join([*lines, *boxes])
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Which agents share which objects">\n'
        f"{inner}\n</svg>"
    )


def is_whole(plan: model.Plan) -> bool:
    """Whether the picture shows everything that is shared, and everybody who shares it."""
    return len(plan.shared) <= MOST and len(_alike(plan.shared)) <= MOST


def _alike(shared: Mapping[Address, Sequence[Address]]) -> dict[tuple[Address, ...], tuple[Address, ...]]:
    """What is shared together to the objects that share exactly that."""
    used: dict[Address, list[Address]] = {}
    for each, users in shared.items():
        for user in dict.fromkeys(users):
            used.setdefault(user, []).append(each)
    alike: dict[tuple[Address, ...], list[Address]] = {}
    for user, every in used.items():
        alike.setdefault(tuple(every), []).append(user)
    return {every: tuple(users) for every, users in alike.items()}


def _object(address: Address, users: Sequence[Address]) -> _Box:
    kind = address.section.removesuffix("s").replace("_", " ")
    return _Box(address.without_section, f"{kind} · {count(len(users), 'agent')}", (address,))


def _users(members: Sequence[Address]) -> _Box:
    """Objects that share the same: by the name of their declaration, if they have one."""
    first, declared = members[0], {each.declaration for each in members}
    if len(members) == 1:
        return _Box(first.without_section, first.section.removesuffix("s"), tuple(members))
    name = f"{first.declaration.without_section}[…]" if len(declared) == 1 else f"{first.without_section}, …"
    return _Box(name, f"{len(members):,} {first.section}", tuple(members))


def _positions(number: int, height: int) -> list[float]:
    """The middles of the boxes of a column, spread over the height of the picture."""
    return [(index + 0.5) * height / number for index in range(number)]


def _line(left: float, right: float) -> str:
    start, end, middle = _BOX, _WIDTH - _BOX, _WIDTH / 2
    return f'<path class="line" d="M{start} {left:g}C{middle:g} {left:g} {middle:g} {right:g} {end} {right:g}"/>'


def _box(box: _Box, x: int, y: float, actions: Mapping[Address, str]) -> str:
    """A box, coloured by what the plan does to its members, with their addresses as tooltip."""
    changing = {action for each in box.members if (action := actions.get(each))}
    action = "" if not changing else next(iter(changing)) if len(changing) == 1 else "update"
    named = ", ".join(short_addresses(box.members[:_NAMED]))
    more = f" and {len(box.members) - _NAMED:,} more" if len(box.members) > _NAMED else ""
    words = f": {action}" if action else ""
    top = y - _HEIGHT / 2
    return (
        f'<g class="box {action}"><title>{escape(named + more + words)}</title>'
        f'<rect x="{x + 0.5}" y="{top + 0.5:g}" width="{_BOX - 1}" height="{_HEIGHT - 1}" rx="6"/>'
        f'<text x="{x + 10}" y="{top + 15:g}">{escape(_fitting(clean_line(box.name)))}</text>'
        f'<text class="note" x="{x + 10}" y="{top + 28:g}">{escape(box.note)}</text></g>'
    )


def _fitting(text: str) -> str:
    """The beginning of a text that fits into a box. Chinese, Japanese and Korean letters are two wide."""
    used = 0
    for index, letter in enumerate(text):
        used += 2 if east_asian_width(letter) in "WF" else 1
        if used > _LETTERS:
            return f"{text[: index - 1]}…"
    return text
