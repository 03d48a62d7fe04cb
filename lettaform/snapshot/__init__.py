"""Agent files: what an agent was, kept outside the server."""

from __future__ import annotations

from lettaform.snapshot.export import export

__all__ = ["export"]
