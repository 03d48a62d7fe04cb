"""Passages that a search found to text for people and to JSON. The text is clean; secrets are redacted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lettaform.model import Passage, Searched
from lettaform.render import data
from lettaform.render.clean import clean, clean_line, redact
from lettaform.render.inline import count
from lettaform.render.paint import Paint

CHARACTERS, LINES = 600, 8
"""How much of a passage is shown unless `verbose`."""


def text(found: Searched, *, color: bool = False, verbose: bool = False) -> str:
    """The passages with their number, tags and ids, and a summary. `verbose`: whole texts."""
    paint = Paint(color)
    groups = [[*_passage(number, each, found, paint, verbose)] for number, each in enumerate(found.passages, 1)]
    return "\n\n".join("\n".join(lines) for lines in (*groups, [_summary(found, paint)])) + "\n"


def _passage(number: int, each: Passage, found: Searched, paint: Paint, verbose: bool) -> Iterator[str]:
    words = redact(each.text, found.hidden)
    shown = words if verbose else "\n".join(words[:CHARACTERS].split("\n")[:LINES])
    first, *others = clean(shown).split("\n")
    yield f"{paint(f'{number:>3}', 'strong')}  {clean_line(first)}"
    yield from (f"     {clean_line(line)}".rstrip() for line in others)
    if len(shown) < len(words):
        yield paint(f"     … {len(words) - len(shown):,} more characters; -v shows them", "faint")
    about = [f"tags {', '.join(each.tags)}"] if each.tags else []
    about += [each.id, each.created[:10]]
    line = " · ".join(clean_line(redact(part, found.hidden)) for part in about if part)
    yield paint(f"     {line}", "faint")


def _summary(found: Searched, paint: Paint) -> str:
    tags = f" with one of the tags {', '.join(found.asked.tags)}" if found.asked.tags else ""
    where = clean_line(f"in {found.archive}{tags}")
    plain = "" if found.by_meaning else ", which has no embedding model"
    if not found.passages:
        end = "." if found.by_meaning else ": none contains the text."
        return f"{paint('No passage', 'strong')} was found {where}{plain}{end}"
    end = ", the nearest first." if found.by_meaning else ": those that contain the text."
    return f"{paint(count(len(found.passages), 'passage'), 'strong')} {where}{plain}{end}"


def to_data(found: Searched) -> dict[str, Any]:
    """The object that `archive search` prints with `--json`."""
    hidden = found.hidden
    return {
        "format_version": data.FORMAT_VERSION,
        "archive": found.archive,
        "id": found.id,
        "query": found.asked.text,
        "limit": found.asked.limit,
        "tags": list(found.asked.tags),
        "by_meaning": found.by_meaning,
        "passages": [
            {
                "id": each.id,
                "text": redact(each.text, hidden),
                "tags": [redact(tag, hidden) for tag in each.tags],
                "metadata": data.to_json(data.without(each.metadata, hidden)),
                "created_at": each.created or None,
            }
            for each in found.passages
        ],
    }
