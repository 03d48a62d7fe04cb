"""Pauses of the garbage collector, while a manifest is loaded or a plan is made."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PAUSES = 24
"""Pauses of the garbage collector after which it visits all objects once."""


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: a load and a plan create millions of objects, which are no garbage, and each pass
    visits them all. Afterwards they count as old, so that the next pass over young objects does not visit them.

    Objects that are made old in this way never cause a pass over the old ones: a process that plans again and again
    would keep all its garbage. So there is one such pass after some pauses. A pause ends with the last one that began
    during it: a manifest is loaded in a thread while a plan waits for it.
    """
    _pauses.begin()
    try:
        yield
    finally:
        _pauses.end()


class _Pauses:
    """The pauses of the garbage collector that are under way, in all threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = self.number = 0
        self.enabled = False
        """Whether the garbage collector was enabled before the first open pause."""

    def begin(self) -> None:
        """Disable the garbage collector."""
        with self.lock:
            if self.open == 0:
                self.enabled = gc.isenabled()
                self.number += 1
                if self.number % PAUSES == 0 and self.enabled:
                    gc.collect()
                gc.disable()
            self.open += 1

    def end(self) -> None:
        """Enable it again, if this is the end of the last pause and it was enabled before the first."""
        with self.lock:
            self.open -= 1
            if self.open == 0 and self.enabled:
                if not gc.get_freeze_count():  # a program that froze objects of its own keeps them frozen
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()


_pauses = _Pauses()
