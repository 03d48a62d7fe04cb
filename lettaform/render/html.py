"""A plan to one HTML page, which needs no other file, no network and no script.

Everything in it is escaped. Its Content-Security-Policy allows its own style sheet and nothing else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files

from lettaform import __version__, model
from lettaform.address import Address
from lettaform.render import outline, prompts
from lettaform.render.changes import (
    DESTRUCTIVE,
    RESTORED,
    Group,
    Shown,
    differing,
    full_name,
    groups,
    location,
    short_addresses,
    short_names,
    single,
)
from lettaform.render.clean import clean, clean_line
from lettaform.render.field_changes import Row, Style
from lettaform.render.inline import count
from lettaform.render.paint import Meaning, Paint, runs, sign
from lettaform.render.sharing import is_whole, picture
from lettaform.render.text import counts, summary

LINE = 2_000
"""The largest number of characters of a line; the rest is counted."""
LINES = 400
"""The largest number of lines of a field."""
PAGE = 4_000_000
"""The number of characters above which further changes are shown without details."""
ADDRESSES = 1_000
"""The largest number of addresses of a list, and of rows of a table."""
_USERS = 100
"""The largest number of agents of which a list says that they share an object."""
FEW = 8
"""The changes of plans of up to this many are unfolded."""

_TAGS: dict[Meaning, tuple[str, str]] = {
    "added": ('<span class="added">', "</span>"),
    "removed": ('<span class="removed">', "</span>"),
    "changed": ('<span class="changed">', "</span>"),
    "adopted": ('<span class="adopted">', "</span>"),
    "faint": ('<span class="faint">', "</span>"),
    "strong": ("<strong>", "</strong>"),
    "title": ("<strong>", "</strong>"),
    "alarm": ('<strong class="removed">', "</strong>"),
    "old word": ("<del>", "</del>"),
    "new word": ("<ins>", "</ins>"),
}
_SIGNS = {"+": "plus", "-": "minus", "@": "hunk", "~": "", "": ""}

_NO_ROOM = "There is no room for the details on this page. <code>lettaform plan -v</code> shows them."


def plan(plan: model.Plan, *, digest: str | None = None) -> str:
    """The plan as a page. digest: that of a saved plan, which does not hold what it is computed from."""
    style = _style()
    policy = f"default-src 'none'; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    title = clean_line(f"Plan of {plan.stack}" + (f" ({plan.environment})" if plan.environment else ""))
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">',
            f'<meta name="generator" content="lettaform {escape(__version__)}">',
            f"<title>{escape(title[:200])}</title>",
            f"<style>{style}</style>\n</head>\n<body>",
            *_head(plan, digest),
            *_destroyed(plan),
            *_sentences(plan),
            *_conflicts(plan),
            "<main>",
            *_aside(plan),
            *_changes(plan),
            "</main>\n</body>\n</html>\n",
        ]
    )


@cache
def _style() -> str:
    return files("lettaform.render").joinpath("page.css").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


# --- text in HTML -----------------------------------------------------------------------------------------------------


def _text(text: str, most: int = LINE) -> str:
    """Clean text, escaped. What is longer than `most` characters is cut, and its length is named."""
    shown = clean(text[: most + 1])
    return escape(shown) if len(text) <= most else f"{escape(shown[:most])}… <small>({len(text):,} characters)</small>"


def _line(text: str, most: int = LINE) -> str:
    return _text(clean_line(text[: most + 1]) + text[most + 1 :], most)


def _code(text: str) -> str:
    return f"<code>{_line(text)}</code>"


def _sentence(text: str) -> str:
    """A sentence, with code in place of what stands between backticks."""
    parts = re.split(r"`([^`]+)`", text) if len(text) <= LINE else [text]
    return "".join(_code(part) if index % 2 else _line(part) for index, part in enumerate(parts))


def _painted(parts: Iterable[tuple[str, Meaning | None]]) -> str:
    """Coloured text with elements in place of colours, cut as `_text` cuts."""
    shown, used = [], 0
    parts = list(parts)
    for text, meaning in parts:
        start, end = _TAGS[meaning] if meaning else ("", "")
        shown.append(f"{start}{escape(text[: LINE - used])}{end}")
        used += len(text)
        if used > LINE:
            return f"{''.join(shown)}… <small>({sum(len(text) for text, _ in parts):,} characters)</small>"
    return "".join(shown)


def _addresses(addresses: Sequence[Address]) -> str:
    return _codes(short_addresses(addresses))


def _codes(names: Sequence[str], most: int = ADDRESSES) -> str:
    """Names in a row, and the number of those that are left out."""
    return " ".join(map(_code, names[:most])) + _and_more(len(names) - most)


# --- what stands first ------------------------------------------------------------------------------------------------


def _head(plan: model.Plan, known: str | None) -> Iterator[str]:
    """What the plan is about, the counts, and the digest."""
    environment = f'<span class="environment">{_line(plan.environment, 100)}</span>' if plan.environment else ""
    yield f'<header>\n<p class="product">lettaform plan</p>\n<h1>{_line(plan.stack, 200)}{environment}</h1>'
    yield f'<p class="where">{_line(plan.url, 500)} · Letta {_line(plan.version, 50)}</p>'
    tiles = [_tile(action, number, words) for action, number, words in counts(plan) if number]
    tiles += [f"<li><b>{plan.unchanged:,}</b> unchanged</li>"] if plan.unchanged else []
    kept = len(outline.kept(plan))
    tiles += [f"<li><b>{kept:,}</b> {'value' if kept == 1 else 'values'} changed by agents, kept</li>"] if kept else []
    tiles += [f'<li class="delete"><b>{len(plan.conflicts):,}</b> not merged</li>'] if plan.conflicts else []
    yield f'<ul class="tiles">{"".join(tiles)}</ul>' if tiles else ""
    yield f'<p class="summary">{_line(summary(plan))}</p>'
    if digest := outline.digest(plan, known):
        yield f'<p class="digest">Apply exactly this plan: <code>lettaform apply --approve {escape(digest)}</code></p>'
    yield "</header>"


def _tile(action: str, number: int, words: str) -> str:
    return f'<li class="{action}"><b>{number:,}</b> {words}</li>'


def _destroyed(plan: model.Plan) -> Iterator[str]:
    """What is destroyed or replaced, by address."""
    for action, title in (("delete", "will be destroyed"), ("replace", "will be replaced")):
        addresses = [change.address for change in plan.changes if change.action == action]
        if addresses:
            yield f'<section class="notice {action}"><h2>{count(len(addresses), "object")} {title}</h2>'
            yield f'<p class="addresses">{_addresses(addresses)}</p></section>'


def _sentences(plan: model.Plan) -> Iterator[str]:
    """Warnings, and values of the manifest that are not written."""
    items = []
    for each in plan.warnings:
        where = f" {_code(location(each.place))}" if each.place else ""
        hint = f"<br><small>{_sentence(each.hint)}</small>" if each.hint else ""
        items.append(f"<li>{_sentence(each.message)}{where}{hint}</li>")
    notices = [f"<li>{_sentence(each)}</li>" for each in outline.notices(plan)]
    for title, every in (("Warnings", items), ("Not written", notices)):
        if every:
            yield f'<section class="notice update"><h2>{title}</h2>'
            yield f"<ul>{''.join(every[:ADDRESSES])}</ul>{_and_more(len(every) - ADDRESSES)}</section>"


def _conflicts(plan: model.Plan) -> Iterator[str]:
    """The texts that cannot be merged, with their versions between marker lines."""
    if not plan.conflicts:
        return
    yield f'<section class="notice delete"><h2>{outline.conflicts(plan)}</h2>'
    for kept in plan.conflicts[:ADDRESSES]:
        assert kept.conflict is not None
        yield f"<p>{_code(f'{kept.address}.{kept.path}')}: {_sentence(kept.conflict.reason)}</p>"
        yield _diff([[(clean(line), None)] for line in kept.conflict.text.split("\n")])
    yield "</section>"


def _aside(plan: model.Plan) -> Iterator[str]:
    """Who shares what, and what is left as it is."""
    kept = [f"{each.address}.{each.path}" for each in outline.kept(plan)]
    unmanaged = short_addresses([each.address for each in plan.unmanaged])
    if not (plan.shared or kept or unmanaged or plan.prompts):
        return
    yield "<aside>"
    yield from _prompts(plan)
    if plan.shared:
        yield f"<section><h2>Who shares what</h2>\n{picture(plan)}"
        yield "" if is_whole(plan) else "<p><small>Those with the most connections. The list has all.</small></p>"
        yield f"<details><summary>As a list <small>{len(plan.shared):,}</small></summary>"
        for each, users in list(plan.shared.items())[:ADDRESSES]:
            yield f"<details><summary>{_code(str(each))} <small>{len(users):,}</small></summary>"
            yield f'<p class="addresses">{_codes(short_addresses(users), _USERS)}</p></details>'
        yield f"{_and_more(len(plan.shared) - ADDRESSES)}</details></section>"
    for title, names in ((outline.KEPT, kept), (outline.UNMANAGED, unmanaged)):
        if names:
            yield f"<section><details><summary>{title} <small>{len(names):,}</small></summary>"
            yield f'<p class="addresses">{_codes(names)}</p></details></section>'
    yield "</aside>"


def _prompts(plan: model.Plan) -> Iterator[str]:
    """How long the prompts become: unfolded if one is nearly full."""
    if not plan.prompts:
        return
    every = prompts.groups(plan.prompts)
    opened = " open" if any(group.warning for group in every) else ""
    yield f"<section><details{opened}><summary>{escape(prompts.total(plan))}</summary><ul>"
    for group in every[:ADDRESSES]:
        warning = f' <strong class="changed">{escape(group.warning)}</strong>' if group.warning else ""
        yield f"<li>{_code(str(group.prompts[0].address))}: {escape(group.sizes)}{warning}"
        if group.others:
            yield f"<details><summary>The same for {len(group.others):,} more</summary>"
            yield f'<p class="addresses">{_codes(group.others, _USERS)}</p></details>'
        yield "</li>"
    yield f"</ul>{_and_more(len(every) - ADDRESSES)}</details></section>"


def _and_more(number: int) -> str:
    return f" <small>and {number:,} more</small>" if number > 0 else ""


# --- the changes ------------------------------------------------------------------------------------------------------


@dataclass
class _Room:
    """The number of characters that further changes may take."""

    left: int = PAGE

    def take(self, text: str) -> bool:
        """Whether there is room for a text; it is taken then."""
        fits = len(text) <= self.left
        self.left -= len(text) * fits
        return fits


def _changes(plan: model.Plan) -> Iterator[str]:
    """Every change, or changes that are shown together, foldable: first what destroys."""
    others, drift = outline.changes(plan)
    others.sort(key=lambda change: change.action not in DESTRUCTIVE)
    style = Style(
        Paint(True), whole=True, most=LINES - 2
    )  # the head of a hunk and the number of the others are lines, too
    found = groups(others, style), groups(drift, style, wording=RESTORED)
    opened, room = sum(map(len, found)) <= FEW, _Room()
    yield '<div class="changes">'
    for title, every in zip(("Changes", outline.RESTORED), found, strict=True):
        if every:
            yield f"<section><h2>{title}</h2>"
            yield from (_card(group, room, opened=opened) for group in every)
            yield "</section>"
    yield "</div>"


def _card(group: Group, room: _Room, *, opened: bool) -> str:
    shown, others = group[0], group[1:]
    head = _card_head(shown, len(others))
    body = "\n".join([*_fields(shown), *_parts(shown), *(_others(group) if others else ())])
    if body and not room.take(body):
        body = f"<p><small>{_NO_ROOM}</small></p>"
    kind = f'class="change {shown.change.action}"'
    if not body:
        return f"<div {kind}>{head}</div>"
    return f"<details {kind}{' open' if opened else ''}><summary>{head}</summary>\n{body}\n</details>"


def _card_head(shown: Shown, others: int = 0) -> str:
    change, action = shown.change, shown.action
    words = [
        f'<span class="sign">{escape(action.symbol)}</span>',
        f'<span class="address">{_line(full_name(change), 500)}</span>',
        f'<span class="more">and {others:,} more</span>' if others else "",
        f'<span class="phrase">{_line(shown.phrase, 500)}</span>' if shown.phrase else "",
        f'<span class="place">{_line(change.id, 100)}</span>' if change.id and change.action == "adopt" else "",
        f'<span class="place">{_line(location(change.place), 300)}</span>' if change.place else "",
    ]
    return " ".join(word for word in words if word)


def _parts(shown: Shown) -> Iterator[str]:
    """The memory blocks of an agent, below it."""
    for part in shown.parts:
        yield f'<div class="part {part.change.action}"><h3>{_card_head(part)}</h3>'
        yield from _fields(part)
        yield "</div>"


def _fields(shown: Shown) -> Iterator[str]:
    creating = shown.change.action == "create"
    if shown.rows:
        yield '<div class="fields">'
        yield from (_field(row, creating=creating) for row in shown.rows)
        yield "</div>"
    yield from (f'<p class="below">{_painted(runs(line))}</p>' for line in shown.below)


def _field(row: Row, *, creating: bool) -> str:
    mark = "+" if creating else row.sign
    kinds: dict[str, Meaning] = {"+": "added", "-": "removed", "~": "changed"}
    value = f'<span class="value">{_painted(runs(row.value))}</span>' if row.value else ""
    name = f'{_painted([(mark, kinds[mark])])} <span class="name">{_text(row.name, 300)}</span>'
    return f'<div class="field">{name} {value}</div>' + (
        _diff([runs(line) for line in row.details]) if row.details else ""
    )


def _diff(lines: Sequence[list[tuple[str, Meaning | None]]]) -> str:
    """The lines of a diff, and the number of those that are left out."""
    shown = "".join(f'<span class="{_SIGNS[sign(line)]}">{_painted(line)}</span>' for line in lines[:LINES])
    more = f'<span class="hunk">… {count(len(lines) - LINES, "more line")}</span>' if len(lines) > LINES else ""
    return f"<pre>{shown}{more}</pre>"


def _others(group: Group) -> Iterator[str]:
    """The other objects of a group; in a table, if they differ from the first one."""
    names, others = differing(group), group[1:]
    yield f'<details class="others"><summary>The same for {len(others):,} more</summary>'
    if not names:
        yield f'<p class="addresses">{_codes(short_names([each.change for each in others]))}</p></details>'
        return
    titles = "".join(f"<th>{_line(name, 300)}</th>" for name in names)
    yield f'<div class="table"><table><thead><tr><th>except for</th>{titles}</tr></thead><tbody>'
    for each in others[:ADDRESSES]:
        values = dict(single(each))
        cells = "".join(f"<td>{_painted(runs(values[name]))}</td>" for name in names)
        yield f"<tr><td>{_code(full_name(each.change))}</td>{cells}</tr>"
    yield f"</tbody></table></div>{_and_more(len(others) - ADDRESSES)}</details>"
