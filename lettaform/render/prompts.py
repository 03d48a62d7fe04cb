"""The sizes of the prompts that a plan changes, for people: equal growths once. Contains clean text alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lettaform.model import Plan, PromptChange
from lettaform.render.changes import short_addresses
from lettaform.render.clean import clean_line
from lettaform.render.inline import count
from lettaform.render.paint import Paint

TITLE = "Prompts, in estimated tokens"
GROUPS = 5
"""The largest number of lines, unless everything is shown."""


@dataclass(frozen=True)
class Group:
    """Prompts that grow by the same number of tokens, or that are created. One that is nearly full is by itself."""

    prompts: tuple[PromptChange, ...]

    @property
    def names(self) -> str:
        """The first agent, and the number of the others."""
        first = clean_line(str(self.prompts[0].address))
        return first if len(self.prompts) == 1 else f"{first} and {len(self.prompts) - 1:,} more"

    @property
    def others(self) -> list[str]:
        """All agents but the first; after the first instance of a declaration, the keys alone."""
        return short_addresses([each.address for each in self.prompts])[1:]

    @property
    def sizes(self) -> str:
        """The tokens before and after, and how much of the window is used."""
        first = self.prompts[0]
        after = _range(each.after for each in self.prompts)
        words = [f"{after} tokens"]
        if first.before is not None:
            words = [f"{_range(each.before or 0 for each in self.prompts)} → {after} ({first.growth:+,})"]
        if first.context is not None:
            words.append(f"the whole context {_range(each.used for each in self.prompts)}")
        fullest = max((each for each in self.prompts if each.window), key=_share, default=None)
        if fullest is not None and fullest.window:
            most = "up to " if len(self.prompts) > 1 else ""
            words.append(f"{most}{_percent(_share(fullest))} of {fullest.window:,}")
        return ", ".join(words)

    @property
    def warning(self) -> str:
        """Why the prompt is pointed out; empty if the window has room."""
        if not self.prompts[0].is_near:
            return ""
        return "exceeds the context window" if _share(self.prompts[0]) > 1 else "near the context window"


def _share(prompt: PromptChange) -> float:
    """The part of the window that is used."""
    return prompt.used / prompt.window if prompt.window else 0.0


def _percent(share: float) -> str:
    return "<1 %" if share < 0.01 else f"{int(share * 100)} %"


def _range(numbers: Iterable[int]) -> str:
    every = [*numbers]
    low, high = min(every), max(every)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def groups(prompts: Sequence[PromptChange], *, whole: bool = False) -> list[Group]:
    """The prompts, those that are nearly full first, and then those that grow most. `whole`: each by itself."""
    found: dict[object, list[PromptChange]] = {}
    for each in prompts:
        alone = each.address if whole or each.is_near else None
        growth = None if each.before is None else each.growth
        found.setdefault((alone, growth, each.context is None), []).append(each)
    every = [Group(tuple(each)) for each in found.values()]
    return sorted(every, key=lambda group: (not group.prompts[0].is_near, -sum(each.growth for each in group.prompts)))


def total(plan: Plan) -> str:
    """How many tokens how many prompts get, and how many prompts of agents and conversations are recompiled."""
    prompts = plan.prompts
    new = [each for each in prompts if each.before is None]
    changed = [each for each in prompts if each.before is not None]
    parts = [f"{sum(each.after for each in new):,} in {count(len(new), 'new agent')}"] if new else []
    growth = sum(each.growth for each in changed)
    parts += [f"{growth:+,} in {count(len(changed), 'agent')}"] if changed else []
    recompiles = sum(change.recompiles + change.conversations for change in plan.changes)
    return f"{TITLE}: {', '.join(parts)}" + (f"; {count(recompiles, 'recompile')}" if recompiles else "")


def lines(plan: Plan, paint: Paint, *, verbose: bool = False) -> list[str]:
    """A title, and a line for each group; none if no prompt changes. `verbose`: a line for each agent."""
    found = [*_lines(plan.prompts, paint, verbose=verbose)]
    return [paint(total(plan), "strong"), *found] if found else []


def _lines(prompts: Sequence[PromptChange], paint: Paint, *, verbose: bool) -> Iterator[str]:
    every = groups(prompts, whole=verbose)
    shown = every if verbose else every[:GROUPS]
    for group in shown:
        mark, warning = (paint("! ", "changed"), f": {group.warning}") if group.warning else ("", "")
        yield f"  {mark}{group.names}  {group.sizes}{paint(warning, 'changed')}"
    if left := sum(len(group.prompts) for group in every[len(shown) :]):
        yield paint(f"  … {count(left, 'more agent')}; -v shows each", "faint")
