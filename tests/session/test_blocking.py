"""Verbs where an event loop runs already: their result, their errors, an interrupt."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import pytest

from lettaform import flow
from lettaform.errors import ManifestError
from lettaform.session.blocking import blocking
from tests.standin import StandIn
from tests.standin.server import serve

T = TypeVar("T")
NAME = ContextVar("NAME", default="")


def in_loop(call: Callable[[], T]) -> T:
    """What a call returns inside of an event loop, as in a notebook."""

    async def main() -> T:
        return call()

    return asyncio.run(main())


async def answer() -> str:
    await asyncio.sleep(0)
    return NAME.get()


def test_the_result_with_and_without_an_event_loop() -> None:
    token = NAME.set("here")
    try:
        assert blocking(answer()) == "here"
        assert in_loop(lambda: blocking(answer())) == "here"
    finally:
        NAME.reset(token)


def test_verbs_run_where_an_event_loop_runs(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("stack: s\nblocks: {b: {value: x}}\n")
    with serve(StandIn()) as url:
        source, connection = flow.Source(tmp_path), flow.Connection(url=url)
        _, report = in_loop(lambda: flow.apply(source, connection))
        assert report is not None
        assert report.exit_code == 0
        assert not in_loop(lambda: flow.plan(source, connection)).changes


def test_errors_are_raised_where_the_verb_was_called(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("stack: s\nblcks: {}\n")
    with pytest.raises(ManifestError, match="blcks"):
        in_loop(lambda: flow.plan(flow.Source(tmp_path), flow.Connection(url="http://127.0.0.1:9")))


def test_an_interrupt_ends_the_work_before_it_is_raised() -> None:
    began, ended = threading.Event(), []

    async def endless() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    def interrupt() -> None:
        began.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    async def main() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a notebook: `asyncio.run` has its own
        threading.Thread(target=interrupt).start()
        blocking(endless())

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended
