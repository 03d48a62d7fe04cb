"""Three texts to one: what the manifest and an agent each changed of the text that was last applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from lettaform.model import MergeConflict
from lettaform.plan.policy import Decision

Side = Literal["ours", "theirs"]
"""Ours is the manifest's text, theirs the text on the server."""

OURS, BASE, MIDDLE, THEIRS = "<<<<<<< manifest", "||||||| last applied", "=======", ">>>>>>> server"
"""The lines around the three versions of a conflict, in the diff3 form of git."""


def decide_text(
    base: str | None,
    want: str,
    have: str,
    *,
    favour: Side | None = None,
    problem: Callable[[str], str | None] = lambda text: None,
) -> Decision:
    """Decide one text with the policy `merge`: as last applied (None: never, or not known), as declared, as found.

    | only want moved | only live moved | both moved            | no base and they differ |
    |-----------------|-----------------|-----------------------|-------------------------|
    | write           | keep: runtime   | merge, or a conflict  | a conflict              |

    favour   whose lines to take in a conflict
    problem  why a merged text cannot be written; None if it can
    """
    if want == have:
        return Decision(base=want)
    if base is not None and have == base:
        return Decision(write="manifest", base=want)
    if want == base:
        return Decision(runtime=True, base=base)
    merged = merge3(base, want, have, favour)
    if merged.conflicts:
        reason = "the manifest and the server changed the same lines" if base is not None else _NO_BASE
        return Decision(runtime=True, base=base, conflict=MergeConflict(reason, merged.text))
    if refused := problem(merged.text):
        return Decision(runtime=True, base=base, conflict=MergeConflict(f"the merged text {refused}", merged.text))
    if merged.text == have:  # the agent's text holds all that the manifest changed
        return Decision(runtime=True, base=want)
    if merged.text == want:
        return Decision(write="conflict", base=want)
    return Decision(write="merge", base=want, value=merged.text)


_NO_BASE = "they differ, and the text that was last applied is not known"


class Merged(NamedTuple):
    """A merged text. `conflicts`: the number of places in which it holds three versions between marker lines."""

    text: str
    conflicts: int = 0


Lines = Sequence[str]


class Names(NamedTuple):
    """The lines before each of the three versions of a conflict, and after the last one."""

    ours: str = OURS
    base: str = BASE
    theirs: str = THEIRS


def merge3(base: str | None, ours: str, theirs: str, favour: Side | None = None, names: Names = Names()) -> Merged:  # noqa: B008
    """Merge two texts that come from one, line by line.

    base    the text from which both come; None if it is not known: then nothing can be merged
    favour  whose lines to take where both changed the same ones
    names   the marker lines around a conflict
    """
    if ours == theirs:
        return Merged(ours)
    merged: list[str] = []
    conflicts = 0
    for chunk in _chunks(base, ours.split("\n"), theirs.split("\n")):
        lines = _resolved(*chunk, favour)
        if lines is None:
            old, new, other = chunk
            lines = [names.ours, *new, names.base, *old, MIDDLE, *other, names.theirs]
            conflicts += 1
        merged += lines
    return Merged("\n".join(merged), conflicts)


Chunk = tuple[Lines, Lines, Lines]
"""Lines of the base, and what stands for them in ours and in theirs."""


def _chunks(base: str | None, ours: Lines, theirs: Lines) -> Iterator[Chunk]:
    """The texts in parts, in order: lines that all three share, and between them what differs."""
    if base is None:
        yield (), ours, theirs
        return
    old = base.split("\n")
    in_ours, in_theirs = _matches(old, ours), _matches(old, theirs)
    at = mine = other = 0  # the first lines that are in no part yet
    for line in (*(line for line in range(len(old)) if line in in_ours and line in in_theirs), len(old)):
        here, there = in_ours.get(line, len(ours)), in_theirs.get(line, len(theirs))
        if line > at or here > mine or there > other:
            yield old[at:line], ours[mine:here], theirs[other:there]
        if line < len(old):
            same = old[line : line + 1]
            yield same, same, same
        at, mine, other = line + 1, here + 1, there + 1


def _matches(base: Lines, lines: Lines) -> dict[int, int]:
    """The index of a line of the base to the index of the line that is the same one in a text that comes from it."""
    from difflib import SequenceMatcher  # few plans merge a text

    blocks = SequenceMatcher(None, base, lines, autojunk=False).get_matching_blocks()
    return {block.a + step: block.b + step for block in blocks for step in range(block.size)}


def _resolved(old: Lines, ours: Lines, theirs: Lines, favour: Side | None) -> Lines | None:
    """The lines of one part; None if both changed it, differently, and nobody is favoured."""
    if list(ours) == list(theirs) or list(theirs) == list(old):
        return ours
    if list(ours) == list(old):
        return theirs
    return {"ours": ours, "theirs": theirs, None: None}[favour]
