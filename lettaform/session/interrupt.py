"""SIGINT during an apply: the first one starts nothing more, the second one stops at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lettaform.apply import INTERRUPTED, Stop


@contextmanager
def interruptible() -> Iterator[Stop]:
    """A Stop that the first SIGINT sets. The second one is left to Python."""
    stop, loop = Stop(), asyncio.get_running_loop()
    # a loop in a thread, or on Windows, has no signal handlers
    unable = (NotImplementedError, RuntimeError, ValueError)

    def interrupt() -> None:
        stop.reason = INTERRUPTED
        loop.remove_signal_handler(signal.SIGINT)

    with suppress(*unable):
        loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        with suppress(*unable):
            loop.remove_signal_handler(signal.SIGINT)
