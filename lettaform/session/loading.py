"""A draft of a manifest to the manifest, resolved in a thread while a session reads the server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from lettaform.errors import LettaformError
from lettaform.manifest import Draft, Outline
from lettaform.model import Manifest

_T = TypeVar("_T")
GRACE = 2.0
"""Seconds for a run to end after its manifest turned out to be faulty: a lock that was just created is deleted."""


class Loading:
    """A manifest that is being resolved."""

    def __init__(self, draft: Draft, outline: Outline) -> None:
        """Starts the thread. An event loop must be running."""
        self.stack, self.fields = outline.stack, outline.fields
        self.manifest: asyncio.Future[Manifest] = asyncio.ensure_future(asyncio.to_thread(draft.finish))

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do work that needs the manifest at some time. Errors of the manifest come before errors of the work."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait((task, self.manifest), return_when=asyncio.FIRST_COMPLETED)
            if self.manifest.done() and self.manifest.exception():
                await asyncio.wait({task}, timeout=GRACE)
                self.manifest.result()
            try:
                return await task
            except LettaformError:
                await self.manifest
                raise
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
