"""Random histories of two stacks, people, agents and other users; every promise is checked after every step.

A failure prints its calls, shrunk, and how to reproduce them (`@reproduce_failure`, or `--hypothesis-seed=N`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.live.conftest import Letta, letta
from tests.machine.draw import NUMBERS, STARTS, examples
from tests.machine.environment import InMemory, OnServer
from tests.machine.fleet import Spec
from tests.machine.machine import Call
from tests.machine.way_back import WayBack

__all__ = ["letta"]  # the fixture

Start = Callable[[], Spec]

_NAMES = ["change"] * 6 + ["edit"] * 6 + ["apply"] * 5 + ["fault"] * 3
_NAMES += ["relocate"] * 4 + ["remove_lines"] * 3 + ["adopt"] * 2
_NAMES += ["saved", "destroy", "move", "forget", "rebuild", "import"]
_NAMES += ["restore"] * 4 + ["rollback"] * 3 + ["pull"] * 3 + ["merge"] * 2 + ["import_all"] * 2 + ["snapshot"]


def calls(most: int) -> st.SearchStrategy[list[Call]]:
    """A history: step names, and the numbers that decide the details."""
    return st.lists(st.tuples(st.sampled_from(_NAMES), NUMBERS), min_size=most // 2, max_size=most)


def cases(number: int, most: int) -> Callable[[Any], Any]:
    """Run a test with that many histories of at most that many steps."""
    configured = examples(number, HealthCheck.function_scoped_fixture)
    return lambda test: configured(given(start=STARTS, history=calls(most))(test))


def in_memory(start: Start, history: list[Call]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log: list[str] = []
        machine = WayBack(InMemory(Path(folder), ("mch-a", "mch-b")), log.append, start)
        try:
            machine.play(history)
        except BaseException as error:
            error.add_note("\n".join(log))
            raise


def on_server(letta: Letta, folder: Path, start: Start, history: list[Call]) -> None:
    name = f"mch-{uuid4().hex[:6]}"
    own = folder / name  # of this history alone: an import refuses a folder that is there
    own.mkdir()
    log: list[str] = []
    machine = WayBack(OnServer(own, letta, (f"{name}a", f"{name}b")), log.append, start)
    try:
        machine.play(history)
    except BaseException as error:
        error.add_note("\n".join(log))
        raise
    finally:
        machine.clear()


@pytest.mark.thorough
@cases(8, 5)
def test_promises_hold_for_random_histories(start: Start, history: list[Call]) -> None:
    in_memory(start, history)


@pytest.mark.slow
@cases(1000, 12)
def test_promises_hold_for_a_thousand_random_histories(start: Start, history: list[Call]) -> None:
    in_memory(start, history)


@pytest.mark.live
@cases(1, 5)
def test_promises_hold_on_real_server(letta: Letta, tmp_path: Path, start: Start, history: list[Call]) -> None:
    on_server(letta, tmp_path, start, history)


@pytest.mark.slow
@pytest.mark.live
@cases(50, 10)
def test_promises_hold_on_real_server_fifty_times(
    letta: Letta, tmp_path: Path, start: Start, history: list[Call]
) -> None:
    on_server(letta, tmp_path, start, history)
