"""How much may come of a manifest, by the number of bytes that it is read from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Bound:
    """A fixed amount, and more for each byte of the files that a manifest is read from.

    A short manifest cannot exhaust the memory, and one that lists its objects may have any number of them.
    """

    fixed: int
    each_byte: int

    def of(self, size: int) -> int:
        """The maximum for this number of bytes."""
        return self.fixed + self.each_byte * size


PRODUCED = Bound(64_000_000, 64)
"""The characters and items that expressions produce."""
TURNS = Bound(1_000_000, 16)
"""The turns that all `for` of a manifest take."""
VALUES = Bound(5_000_000, 64)
"""The values that objects have by `for_each` and `defaults`: 150,000 agents with two blocks from a few lines."""
