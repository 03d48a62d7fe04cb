"""Runs to medians, and these to a table, to Markdown, to JSON and to a plot."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from math import log10
from typing import Any

from bench.rows import ROWS, Run


@dataclass(frozen=True)
class Line:
    """The medians of the runs of one row and size. `ratio`: the median of the ratios, not the ratio of the medians."""

    row: str
    agents: int
    where: str
    runs: int
    wall: float
    cpu: float
    memory: float
    requests: int | None
    floor: float | None
    ratio: float | None
    terraform: float | None


def lines(runs: Iterable[Run]) -> list[Line]:
    """The medians, in the order of ROWS."""
    groups: dict[tuple[int, int, str], list[Run]] = {}
    for each in runs:
        groups.setdefault((ROWS.index(each.row), each.agents, each.where), []).append(each)
    return [_line(group) for _, group in sorted(groups.items())]


def joined(several: Iterable[Sequence[Line]]) -> list[Line]:
    """The lines of several results. The first that has a row and a size wins."""
    found: dict[tuple[int, int, str], Line] = {}
    for each in several:
        for line in each:
            found.setdefault((ROWS.index(line.row), line.agents, line.where), line)
    return [line for _, line in sorted(found.items(), key=lambda entry: entry[0])]


def _line(group: Sequence[Run]) -> Line:
    def median(of: Callable[[Run], float | None]) -> float | None:
        found = [value for each in group if (value := of(each)) is not None]
        return statistics.median(found) if found else None

    first, requests = group[0], median(lambda each: each.requests)
    return Line(
        first.row,
        first.agents,
        first.where,
        len(group),
        median(lambda each: each.wall) or 0.0,
        median(lambda each: each.cpu) or 0.0,
        median(lambda each: each.memory) or 0.0,
        None if requests is None else int(requests),
        median(lambda each: each.floor),
        median(_ratio),
        median(lambda each: each.terraform),
    )


def _ratio(each: Run) -> float | None:
    """A run to its floor. CPU time is compared, unless another process works for the command."""
    if not each.floor:
        return None
    return (each.wall if each.where == "server" else each.cpu) / each.floor


HEAD = ("command", "agents", "on", "wall s", "CPU s", "MB", "requests", "floor s", "ratio", "ms/agent", "Terraform s")


def cells(line: Line) -> tuple[str, ...]:
    """The cells of a line, as HEAD names them."""
    each = "" if not line.agents else f"{line.cpu / line.agents * 1000:.2f}"
    return (
        line.row,
        f"{line.agents:,}" if line.agents else "",
        line.where,
        _seconds(line.wall),
        _seconds(line.cpu),
        f"{line.memory:,.0f}",
        "" if line.requests is None else f"{line.requests:,}",
        _seconds(line.floor),
        "" if line.ratio is None else f"{line.ratio:.2f}",
        each,
        _seconds(line.terraform),
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def text(found: Sequence[Line]) -> str:
    """A table for a terminal."""
    rows = [HEAD, *map(cells, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    left = {0, 2}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(found: Sequence[Line]) -> str:
    """A table for a page."""
    rows = [HEAD, tuple("---" if column in (0, 2) else "---:" for column in range(len(HEAD))), *map(cells, found)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def as_json(found: Sequence[Line], about: Mapping[str, Any]) -> str:
    """The medians, and what they were measured on."""
    return json.dumps({"format_version": 1, **about, "lines": [asdict(line) for line in found]}, indent=1) + "\n"


def from_json(text: str) -> list[Line]:
    """The lines of `as_json`."""
    return [Line(**each) for each in json.loads(text)["lines"]]


# --- the plot --------------------------------------------------------------------------------------------------------

_COLOURS = ("#1f63c4", "#1a7f4b", "#935b00", "#7a4fc0", "#c02a33", "#0b7f86", "#b0479a", "#626b77")
_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 20, 480, 300


def svg(found: Sequence[Line]) -> str:
    """Seconds by the number of agents, both logarithmic: a line for each command, dashed for its floor."""
    series: dict[str, list[Line]] = {}
    for line in found:
        if line.agents:
            series.setdefault(line.row, []).append(line)
    values = [value for every in series.values() for line in every for value in (line.wall, line.floor) if value]
    sizes = [line.agents for every in series.values() for line in every]
    if not values:
        return ""
    x, y = _Scale(min(sizes), max(sizes)), _Scale(min(values), max(values))
    parts = [*_axes(x, y)]
    for number, (row, every) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        every = sorted(every, key=lambda line: line.agents)
        parts.append(_path([(x.at(line.agents), y.at(line.wall)) for line in every], colour, ""))
        floors = [(x.at(line.agents), y.at(line.floor)) for line in every if line.floor]
        parts.append(_path(floors, colour, ' stroke-dasharray="4 4"'))
        top = _TOP + 14 + 18 * number
        parts.append(f'<text x="{_LEFT + _WIDTH + 24}" y="{top}" fill="{colour}">{escape(row)}</text>')
    width, height = _LEFT + _WIDTH + 180, _TOP + _HEIGHT + 50
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = ' font-family="system-ui, sans-serif" font-size="12" role="img"'
    title = "<title>Seconds by the number of agents; dashed: the floor of the command</title>"
    ground = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([f"{head}{style}>", title, ground, *parts, "</svg>"]) + "\n"


@dataclass(frozen=True)
class _Scale:
    """A logarithmic axis in whole powers of ten."""

    least: float
    most: float

    @property
    def powers(self) -> range:
        first, last = (int(log10(each) // 1) for each in (self.least, self.most))
        return range(first, last + 2)

    def at(self, value: float) -> float:
        """The part of the axis, from 0 to 1, at which a value is."""
        return (log10(value) - self.powers[0]) / (self.powers[-1] - self.powers[0])


def _axes(x: _Scale, y: _Scale) -> Iterator[str]:
    for scale, is_x in ((x, True), (y, False)):
        for power in scale.powers:
            part = scale.at(10.0**power)
            name = f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
            if is_x:
                at = _LEFT + part * _WIDTH
                yield f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_TOP + _HEIGHT}" stroke="#dde1e7"/>'
                yield f'<text x="{at:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle" fill="#626b77">{name}</text>'
            else:
                at = _TOP + (1 - part) * _HEIGHT
                yield f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{_LEFT + _WIDTH}" y2="{at:.1f}" stroke="#dde1e7"/>'
                yield f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end" fill="#626b77">{name}</text>'
    yield f'<text x="{_LEFT + _WIDTH / 2}" y="{_TOP + _HEIGHT + 40}" text-anchor="middle" fill="#1b1f24">agents</text>'
    yield f'<text x="16" y="{_TOP - 6}" fill="#1b1f24">seconds</text>'


def _path(points: Sequence[tuple[float, float]], colour: str, more: str) -> str:
    spots = [(_LEFT + x * _WIDTH, _TOP + (1 - y) * _HEIGHT) for x, y in points]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in spots if not more)
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    return f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.6"{more}/>{dots}'
