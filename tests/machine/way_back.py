"""The whole machine: everything that people do to two stacks, with the way back from the server."""

from __future__ import annotations

from tests.machine.imports import Imports
from tests.machine.pulls import Pulls


class WayBack(Pulls, Imports):
    """A machine that also takes snapshots, restores, rolls back, pulls, merges and imports."""
