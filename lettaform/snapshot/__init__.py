"""Live objects to files on this machine, so that deleted objects are not lost."""

from __future__ import annotations

from lettaform.snapshot.export import export

__all__ = ["export"]
