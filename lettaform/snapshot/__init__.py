"""Live objects to files on this machine and back: snapshots of a stack."""

from __future__ import annotations

from lettaform.snapshot.format import Entry, Header, Snapshot
from lettaform.snapshot.take import Objects, take

__all__ = ["Entry", "Header", "Objects", "Snapshot", "take"]
