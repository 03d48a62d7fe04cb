"""A MemoryReport to a table or to the parts of one context, for people, and to JSON. The text is clean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lettaform import __version__
from lettaform.plan.memory import PARTS, AgentMemory, BlockMemory, MemoryReport
from lettaform.render import data, table
from lettaform.render.clean import clean_line
from lettaform.render.inline import count
from lettaform.render.paint import Meaning, Paint
from lettaform.render.table import Cell, Column
from lettaform.render.text import warnings

FORMAT_VERSION = "1.0"
"""Version of the JSON object. The second number grows with a new key, the first with an incompatible change."""

_RANKS = {"metadata": 9, "rules": 8, "summary": 6, "files": 5, "tools": 4, "system": 3, "messages": 2, "blocks": 2}
"""Part of a context to the rank of its column: that with the highest is left out first in a narrow terminal."""


def text(found: MemoryReport, *, color: bool = False, width: int | None = None) -> str:
    """A table of the agents, or the parts of the context of a single one; the warnings; and a summary."""
    paint = Paint(color)
    alone = len(found.agents) == 1
    body = [*_parts(found.agents[0], paint)] if alone else _table(found, paint, width) if found.agents else []
    groups = [body, _full_blocks(found, paint) if not alone else [], warnings(found.warnings, paint)]
    return "\n\n".join("\n".join(group) for group in (*groups, [_summary(found, paint)]) if group) + "\n"


# --- all agents ------------------------------------------------------------------------------------------------------


def _table(found: MemoryReport, paint: Paint, width: int | None) -> list[str]:
    names = [name for name in PARTS if any(name in each.parts for each in found.agents)]
    columns = [Column("AGENT", least=20, most=60), Column("USED", right=True), Column("WINDOW", 1, right=True)]
    columns += [Column("SHARE", right=True), *(Column(name.upper(), _RANKS[name], right=True) for name in names)]
    columns.append(Column("FULLEST BLOCK", 7, most=30))
    rows = [[*_cells(each), *_part_cells(each, names), _fullest(each)] for each in found.agents]
    return table.lines(columns, rows, paint, width)


def _cells(each: AgentMemory) -> Iterator[Cell]:
    about = "" if each.counted else "~"
    yield Cell(clean_line(str(each.address)), "strong")
    yield Cell(f"{about}{each.used:,}")
    yield Cell(f"{each.window:,}" if each.window else "-")
    yield Cell(_percent(each.share), _meaning(each.share, near=each.is_near)) if each.window else Cell("-")


def _part_cells(each: AgentMemory, names: list[str]) -> Iterator[Cell]:
    yield from (Cell(f"{each.parts[name]:,}" if name in each.parts else "-") for name in names)


def _fullest(each: AgentMemory) -> Cell:
    if not each.blocks:
        return Cell("-")
    block = each.blocks[0]
    return Cell(f"{clean_line(block.label)} {_percent(block.share)}", _meaning(block.share, near=block.is_near))


def _full_blocks(found: MemoryReport, paint: Paint) -> list[str]:
    """The blocks that are near their limit, each once."""
    full: dict[str, tuple[BlockMemory, list[AgentMemory]]] = {}
    for each in found.agents:
        for block in each.full_blocks:
            full.setdefault(block.id, (block, []))[1].append(each)
    if not full:
        return []
    shown = [*full.values()][:_SHOWN]
    lines = [f"  {_block_name(block, agents)}  {_characters(block, paint)}" for block, agents in shown]
    left = len(full) - len(shown)
    return [paint("Blocks near their limit:", "title"), *lines, *([f"  … and {left:,} more"] if left else [])]


_SHOWN = 20
"""The largest number of blocks that are listed below the table."""


def _block_name(block: BlockMemory, agents: list[AgentMemory]) -> str:
    name = str(block.address) if block.address else f"{block.label} of {agents[0].address}"
    return clean_line(name) + (f" and {len(agents) - 1:,} more" if len(agents) > 1 and not block.address else "")


# --- one agent -------------------------------------------------------------------------------------------------------


def _parts(each: AgentMemory, paint: Paint) -> Iterator[str]:
    """What fills a context, one part on a line, with the blocks below theirs."""
    of = f" of {each.window:,} tokens, {_percent(each.share)}" if each.window else " tokens"
    used = f"{'' if each.counted else 'about '}{each.used:,}{of}"
    meaning = _meaning(each.share, near=each.is_near)
    model = paint(clean_line(each.model), "faint")
    yield f"{paint(clean_line(str(each.address)), 'strong')}  {paint(used, meaning) if meaning else used}  {model}"
    rows = [*_rows(each)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    blocks = [*each.blocks]
    for name, number, share in rows:
        line = f"  {name:<{widths[0]}}  {number:>{widths[1]}}  {share}"
        yield line.rstrip()
        if name == "blocks":
            yield from (_block_line(block, paint) for block in blocks)


def _rows(each: AgentMemory) -> Iterator[tuple[str, str, str]]:
    for name, number in each.parts.items():
        share = _percent(number / each.window) if each.window else ""
        several = f"  {count(each.messages, 'message')}" if name == "messages" and each.messages is not None else ""
        yield name, f"{number:,}", f"{share:>5}{several}"
    if each.window:
        free = max(each.window - each.used, 0)
        yield "free", f"{free:,}", f"{_percent(free / each.window):>5}"


def _block_line(block: BlockMemory, paint: Paint) -> str:
    shared = f"  {clean_line(str(block.address))}" if block.address and not block.address.parent else ""
    label = clean_line(block.label)
    return f"    {label}  about {block.tokens:,}, {_characters(block, paint)}{paint(shared, 'faint')}"


def _characters(block: BlockMemory, paint: Paint) -> str:
    text = f"{block.characters:,} of {block.limit:,} characters, {_percent(block.share)}"
    meaning = _meaning(block.share, near=block.is_near)
    return paint(text, meaning) if meaning else text


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else f"{int(share * 100)}%"


def _meaning(share: float, *, near: bool) -> Meaning | None:
    return "alarm" if share > 1 else "changed" if near else None


# --- summary ---------------------------------------------------------------------------------------------------------


def _summary(found: MemoryReport, paint: Paint) -> str:
    environment = f", environment {found.environment}" if found.environment else ""
    where = clean_line(f"stack {found.stack} on {found.url}{environment}")
    number = count(found.total, "agent")
    number = number if len(found.agents) == found.total else f"{len(found.agents)} of {number}"
    near = sum(each.is_near for each in found.agents)
    full = len({block.id for each in found.agents for block in each.full_blocks})
    nearly = [f"{near} near the context window"] * bool(near) + [f"{count(full, 'block')} near the limit"] * bool(full)
    line = f"{paint(number, 'strong')} of {where}: {', '.join(nearly) or 'nothing is nearly full'}."
    if any(not each.counted for each in found.agents):
        line += " Estimated, without files and messages; `lettaform memory --exact` lets the server count."
    return line


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(found: MemoryReport) -> dict[str, Any]:
    """The object that `memory --json` prints. Contains no text of a block or a prompt."""
    return {
        "format_version": FORMAT_VERSION,
        "lettaform_version": __version__,
        "stack": found.stack,
        "server": {"url": found.url, "version": found.version},
        "environment": found.environment,
        "total": found.total,
        "agents": [_agent(each) for each in found.agents],
        "warnings": [data.problem(each) for each in found.warnings],
    }


def _agent(each: AgentMemory) -> dict[str, Any]:
    return {
        "address": str(each.address),
        "id": each.id,
        "name": each.name,
        "model": each.model or None,
        "window": each.window,
        "used": each.used,
        "near_limit": each.is_near,
        "counted": each.counted,
        "messages": each.messages,
        "parts": dict(each.parts),
        "blocks": [_block(block) for block in each.blocks],
    }


def _block(block: BlockMemory) -> dict[str, Any]:
    return {
        "label": block.label,
        "id": block.id,
        "address": str(block.address) if block.address else None,
        "tokens": block.tokens,
        "characters": block.characters,
        "limit": block.limit,
        "near_limit": block.is_near,
    }
