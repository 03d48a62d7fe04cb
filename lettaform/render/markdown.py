"""A plan to Markdown for comments on pull requests and merge requests. Short enough for GitHub, whatever the plan.

Text of a plan stands in code alone: there, nobody is mentioned, nothing is linked, and no HTML or command acts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby

from lettaform import model
from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.plan.saved import approval
from lettaform.plan.subject import Subject
from lettaform.render import outline, prompts
from lettaform.render.changes import (
    DESTRUCTIVE,
    OBJECTS,
    PLANNED,
    RESTORED,
    Group,
    Shown,
    Wording,
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
from lettaform.render.paint import Paint, plain, runs, sign
from lettaform.render.text import counts, summary

LIMIT = 60_000
"""Every plan takes fewer characters. GitHub accepts 65,536 in a comment, and a CI may add a few lines."""
LINE = 300
"""The largest number of characters of a line; the rest is left out."""
LINES = 400
"""The largest number of lines of a diff."""
DETAILS = (8_000, 3_000, 1_000)
"""The largest number of characters of the details of one change: the first of them with which all changes fit."""
DESTROYED = 24_000
"""The largest number of characters of the list of what is destroyed or replaced."""
SENTENCES = 30
"""The largest number of warnings, and of other sentences of one kind."""
_NOTE = 700
"""Room for the lines that say what was left out."""
_MOST_ADDRESSES = 4_000
_MOST_SENTENCES = 3_000
_MOST_CONFLICTS = 8_000
_OPEN = 2_500
"""The details of plans of up to this many characters are unfolded."""


def plan(plan: model.Plan, *, digest: str | None = None) -> str:
    """The plan in GitHub Flavored Markdown, in fewer than LIMIT characters. What is left out is counted.

    The first line is `marker`. digest: that of a saved plan, which does not hold what it is computed from
    """
    shown = outline.digest(plan, digest)
    # what a job reads there approves a plan that does nothing, too
    head = [marker(plan, approval(plan) if digest is None else shown), _title(plan), *_summary(plan, shown)]
    head += [each for each in (_destroyed(plan), *_sentences(plan), *_conflicts(plan), _prompts(plan)) if each]
    room = LIMIT - sum(len(part) + 2 for part in head) - _NOTE
    return "\n\n".join([*head, *_changes(plan, room)]) + "\n"


def marker(plan: model.Plan, digest: str = "") -> str:
    """The first line, which is not displayed: by it, `lettaform ci` finds the comment of a stack and environment."""

    def known(text: str) -> str:
        return text[:200].encode("utf-8", "replace").decode()

    environment = None if plan.environment is None else known(plan.environment)
    return Subject("plan", known(plan.stack), environment).line(digest)


# --- text in Markdown -------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"[(]?[A-Za-z]+(?:-[a-z]+)*(?:'[a-z]+)?[.,;:)]{0,2}|\d{1,6}[.,;:)]{0,2}|→|…")
"""Words that mean nothing in Markdown, on GitHub or on GitLab. Everything else is shown as code."""


def code(text: str) -> str:
    """Text as code inside a line, with a delimiter that is longer than any run of backticks in it."""
    shown = _cut(clean_line(text), LINE)
    ticks = "`" * (_longest_run(shown) + 1)
    padded = f" {shown} " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else shown
    return f"{ticks}{padded}{ticks}"


def prose(text: str) -> str:
    """A sentence: plain words as they are, and everything else as code, so that nothing in it has an effect."""
    parts = re.split(r"`([^`]+)`", _cut(clean_line(text), 3 * LINE))
    shown = ""
    for index, part in enumerate(parts):
        piece = code(part) if index % 2 else _words(part)
        # two pieces of code that touch each other would have one delimiter
        shown += f" {piece}" if shown.endswith("`") and piece.startswith("`") else piece
    return shown


def _words(text: str) -> str:
    """Words that stand between code. Neighbours that are no plain words are one piece of code."""
    lead, trail = (" " * (text[:1] == " "), " " * (len(text) > 1 and text[-1:] == " "))
    found = []
    for is_plain, words in groupby(text.split(), key=_is_plain):
        joined = " ".join(words)
        end = "" if is_plain or len(joined) < 2 or joined[-1] not in ".,;:" else joined[-1]
        found.append(joined if is_plain else code(joined.removesuffix(end)) + end)
    return f"{lead}{' '.join(found)}{trail}" if found else lead


def _is_plain(word: str) -> bool:
    return word in ".,;:" or _PLAIN.fullmatch(word) is not None


def fence(lines: Sequence[str], language: str = "") -> str:
    """A block of code, with a fence that is longer than any run of backticks in it."""
    ticks = "`" * max(3, 1 + max((_longest_run(line) for line in lines), default=0))
    return "\n".join([ticks + language, *lines, ticks])


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text))) if "`" in text else 0


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


# --- what stands first ------------------------------------------------------------------------------------------------


def _title(plan: model.Plan) -> str:
    environment = f", environment {code(_cut(plan.environment, 100))}" if plan.environment else ""
    return f"### Plan of stack {code(_cut(plan.stack, 100))}{environment}"


def _summary(plan: model.Plan, digest: str) -> Iterator[str]:
    """The counts, the digest, and a table of the counts by kind."""
    yield f"**{prose(summary(plan))}**"
    where = f"On {code(_cut(plan.url, 200))}, Letta {code(_cut(plan.version, 50))}."
    yield where + (f"\nDigest: {code(digest)}" if digest else "")
    if len({change.kind for change in plan.changes}) > 1:
        yield _table(plan)


def _table(plan: model.Plan) -> str:
    """The counts of the summary by kind. Contains no text of the plan."""
    shown = [(action, words) for action, number, words in counts(plan) if number]
    rows = []
    for kind in dict.fromkeys(change.kind for change in plan.changes):
        of_kind = replace(plan, changes=tuple(change for change in plan.changes if change.kind == kind))
        numbers = {action: number for action, number, _ in counts(of_kind)}
        section = kinds()[kind].section.replace("_", " ") if kind in kinds() else "others"
        rows.append([section, *(str(numbers[action] or "") for action, _ in shown)])
    lines = [["", *(words for _, words in shown)], ["---", *("---:" for _ in shown)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _destroyed(plan: model.Plan) -> str:
    """What is destroyed or replaced, each object by its address as far as there is room."""
    same: dict[tuple[str, str], list[model.Change]] = {}
    for change in plan.changes:
        if change.action in DESTRUCTIVE:
            same.setdefault((change.action, change.reason), []).append(change)
    if not same:
        return ""
    number = sum(map(len, same.values()))
    lines, room = [f"**{count(number, 'object')} will be destroyed or replaced:**", ""], DESTROYED
    for (action, reason), every in same.items():
        if room < 0:
            lines.append(f"- and {number:,} more")
            break
        why = "" if reason in ("manifest", "destroy") else f" ({prose(_cut(reason, LINE))})"
        shown = _addresses([change.address for change in every], room)
        lines.append(f"- {'destroyed' if action == 'delete' else 'replaced'}{why}: {shown}")
        room -= len(lines[-1])
        number -= len(every)
    return "\n".join(f"> {line}".rstrip() for line in ("[!CAUTION]", *lines))


def _addresses(addresses: Sequence[Address], room: int) -> str:
    return _codes(short_addresses(addresses), room)


def _codes(names: Sequence[str], room: int) -> str:
    """Names in a line, as many as there is room for, and the number of the others."""
    shown, used = list[str](), 0
    for word in map(code, names):
        used += len(word) + 2
        if used > room and shown:
            return f"{', '.join(shown)} and {len(names) - len(shown):,} more"
        shown.append(word)
    return ", ".join(shown)


def _sentences(plan: model.Plan) -> Iterator[str]:
    """Warnings, and values of the manifest that are not written."""
    warnings = []
    for each in plan.warnings[:SENTENCES]:
        where = f" ({code(location(each.place))})" if each.place else ""
        warnings.append(f"- Warning: {prose(each.message)}{where}" + (f" → {prose(each.hint)}" if each.hint else ""))
    yield _list(warnings, len(plan.warnings))
    notices = outline.notices(plan)
    yield _list([f"- {prose(each)}" for each in notices[:SENTENCES]], len(notices))


def _list(items: list[str], number: int) -> str:
    """The first items of a list, as many as there is room for, and the number of the others."""
    shown, used = list[str](), 0
    for item in items:
        used += len(item)
        if used > _MOST_SENTENCES and shown:
            break
        shown.append(item)
    return "\n".join([*shown, *([f"- and {number - len(shown):,} more"] if number > len(shown) else [])])


def _prompts(plan: model.Plan) -> str:
    """How long the prompts become: unfolded if one is nearly full. All words but the addresses are our own."""
    if not plan.prompts:
        return ""
    every = prompts.groups(plan.prompts)
    items = []
    for group in every[:SENTENCES]:
        warning = f": **{group.warning}**" if group.warning else ""
        more = f" and {len(group.others):,} more" if group.others else ""
        items.append(f"- {code(str(group.prompts[0].address))}{more}: {group.sizes}{warning}")
    opened = " open" if any(group.warning for group in every) else ""
    summary = f"<details{opened}><summary>{prompts.total(plan)}</summary>"
    return f"{summary}\n\n{_list(items, len(every))}\n\n</details>"


def _conflicts(plan: model.Plan) -> Iterator[str]:
    """The texts that cannot be merged: the first ones with their versions."""
    if not plan.conflicts:
        return
    yield f"**{outline.conflicts(plan)}:**"
    room = _MOST_CONFLICTS
    for number, kept in enumerate(plan.conflicts):
        if room < 0:
            yield f"and {len(plan.conflicts) - number:,} more"
            break
        assert kept.conflict is not None
        lines = [_cut(clean(line), LINE) for line in kept.conflict.text.split("\n")]
        body = fence(_shortened(lines, room))
        shown = f"{code(f'{kept.address}.{kept.path}')}: {prose(kept.conflict.reason)}\n\n{body}"
        room -= len(shown)
        yield shown


# --- the changes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Item:
    """A change, or changes that are shown together: its line, what is unfolded below it, and how many they are."""

    head: str
    lines: tuple[str, ...]
    after: str
    number: int
    addresses: tuple[Address, ...] = ()

    def text(self, most: int, *, opened: bool = False) -> str:
        """The whole item, with up to `most` characters of details."""
        body = [fence(_shortened(self.lines, most), "diff")] if self.lines else []
        body += [self.after] if self.after else []
        if not body:
            return f"<p>{self.head}</p>"
        summary = f"<details{' open' if opened else ''}><summary>{self.head}</summary>"
        return "\n\n".join([summary, *body, "</details>"])


def _changes(plan: model.Plan, room: int) -> Iterator[str]:
    """Titles, changes, and what else there is to unfold. Says what there was no room for."""
    others, drift = outline.changes(plan)
    first = [change for change in others if change.action in DESTRUCTIVE]
    rest = [change for change in others if change.action not in DESTRUCTIVE]
    items = [*_items(first), *_items(rest)]
    restored = [*_items(drift, RESTORED)]
    most, every = _fitting([*items, *restored], room)
    opened = sum(map(len, every)) <= _OPEN
    left: list[_Item] = []
    used = 0
    for title, part in (("", items), (f"**{outline.RESTORED}:**", restored)):
        if title and part:
            used += len(title) + 2
            yield title
        for item in part:
            text = item.text(most, opened=opened)
            if left or used + len(text) + 2 > room:
                left.append(item)
                continue
            used += len(text) + 2
            yield text
    kept = [f"{each.address}.{each.path}" for each in outline.kept(plan)]
    unmanaged = short_addresses([each.address for each in plan.unmanaged])
    for title, names in ((outline.KEPT, kept), (outline.UNMANAGED, unmanaged)):
        text = f"<details><summary>{title}: {len(names):,}</summary>\n\n{_codes(names, _MOST_ADDRESSES)}\n\n</details>"
        if names and not left and used + len(text) + 2 <= room:
            used += len(text) + 2
            yield text
    yield from _left_out(left, room - used, shortened=any(_is_shortened(item, most) for item in (*items, *restored)))


def _fitting(items: Sequence[_Item], room: int) -> tuple[int, list[str]]:
    """The largest size of the details with which everything fits, or else the smallest; and the items in this size."""
    every: list[str] = []
    for most in DETAILS:
        every = [item.text(most) for item in items]
        if sum(len(text) + 2 for text in every) <= room:
            return most, every
    return DETAILS[-1], every


def _is_shortened(item: _Item, most: int) -> bool:
    return sum(len(line) + 1 for line in item.lines) > most


def _left_out(left: Sequence[_Item], room: int, *, shortened: bool) -> Iterator[str]:
    """What is missing, and what shows it."""
    number = sum(item.number for item in left)
    if left and room > 2 * _NOTE:
        addresses = [address for item in left for address in item.addresses]
        shown = _addresses(addresses, room - _NOTE)
        yield f"<details><summary>{number:,} more, without details</summary>\n\n{shown}\n\n</details>"
    if left or shortened:
        what = f"the details of {count(number, 'change')}" if left else "a part of long details"
        if left and shortened:
            what += ", and a part of long details"
        yield (
            f"There was no room for {what}. `lettaform plan -v` shows everything, and "
            "`lettaform plan --out html=plan.html` writes it to a file."
        )


def _items(changes: Sequence[model.Change], wording: Wording = PLANNED) -> Iterator[_Item]:
    for group in groups(changes, Style(Paint(True), most=LINES), wording=wording):
        item = _item(group)
        if item.lines or group[0].change.action != "delete":
            yield item


def _item(group: Group) -> _Item:
    first, others = group[0], group[1:]
    lines = [*_lines(first)]
    for part in first.parts:
        body = [*_lines(part)]
        if body or part.change.action != "delete":  # what is only destroyed is named above
            lines += [f"@@ {_head_text(part)} @@", *body]
    number = len(group) * (1 + len(first.parts))
    addresses = tuple(each.change.address for each in group)
    return _Item(
        _head(group), tuple(_cut(line, LINE) for line in lines), _others(group) if others else "", number, addresses
    )


def _head(group: Group) -> str:
    """The line of a change, in HTML. Its texts are code, in which nobody is mentioned."""
    shown, action = group[0], group[0].action
    more = f" and {len(group) - 1:,} more" if len(group) > 1 else ""
    reason = shown.phrase.removeprefix(action.phrase).removeprefix(": ")
    words = [
        f"<code>{escape(action.symbol)}</code> <code>{_html(full_name(shown.change))}</code>{more}",
        action.phrase,
        f"<code>{_html(reason)}</code>" if reason else "",
        f"<code>{_html(shown.change.id or '')}</code>" if shown.change.action == "adopt" else "",
        f"<code>{_html(location(shown.change.place))}</code>" if shown.change.place else "",
    ]
    return " · ".join(word for word in words if word)


def _head_text(part: Shown) -> str:
    return clean_line(" ".join(word for word in (str(part.change.address), part.phrase) if word))


def _html(text: str) -> str:
    """Text for HTML. No newline ends the HTML block, and no backtick begins code that would end outside of it."""
    return escape(_cut(clean_line(text), LINE)).replace("`", "&#96;")


def _lines(shown: Shown) -> Iterator[str]:
    """The lines of a diff: of each field, its details, and notes."""
    creating = shown.change.action == "create"
    width = min(max((len(row.name) for row in shown.rows if row.value), default=0), 32)
    for row in shown.rows:
        yield from _row(row, width, creating=creating)
    yield from (f"# {plain(line)}" for line in shown.below)


def _row(row: Row, width: int, *, creating: bool) -> Iterator[str]:
    mark = "+" if creating else "!" if row.sign == "~" else row.sign
    yield f"{mark} {row.name:<{width}}  {plain(row.value)}" if row.value else f"{mark} {row.name}"
    for line in row.details:
        yield from (f"+     {plain(line)}",) if creating else _detail(line)


def _detail(line: str) -> Iterator[str]:
    """A line of a change, with its sign first: what a text contains cannot look like a sign."""
    parts = runs(line)
    text = "".join(part for part, _ in parts)
    rest = text.lstrip(" ")
    indent = text[: len(text) - len(rest)]
    match sign(parts):
        case "@":
            yield rest
        case "+" | "-" | "~" as found:
            yield f"{'!' if found == '~' else found}{indent}{rest[1:]}"
        case _ if {meaning for _, meaning in parts} & {"old word", "new word"}:
            for found, hidden in (("-", "new word"), ("+", "old word")):
                yield f"{found} " + "".join(part for part, meaning in parts if meaning != hidden)
        case _:
            yield text if text.startswith("  ") else f"  {text}"


def _shortened(lines: Sequence[str], most: int) -> list[str]:
    """The lines that fit into `most` characters, and the number of the others."""
    used = 0
    for number, line in enumerate(lines):
        used += len(line) + 1
        if used > most:
            return [*lines[:number], f"… {count(len(lines) - number, 'more line')}"]
    return list(lines)


def _others(group: Group) -> str:
    """The other objects of a group, with the values in which they differ."""
    names = differing(group)
    others = group[1:]
    if not names:
        shown = _codes(short_names([each.change for each in others]), _MOST_ADDRESSES)
        return f"The same for {len(others):,} more: {shown}"
    lines = []
    for each in others[:OBJECTS]:
        values = dict(single(each))
        words = [full_name(each.change), *(plain(values[name]) for name in names)]
        lines.append(_cut("  ".join(words), LINE))
    more = len(others) - len(lines)
    head = f"The same for {len(others):,} more, except for {', '.join(map(code, names))}:"
    return f"{head}\n\n{fence([*lines, *([f'… {more:,} more'] if more else [])])}"
