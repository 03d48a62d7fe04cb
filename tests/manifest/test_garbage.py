"""Pauses of the garbage collector: they end, also where they overlap in threads, and keep no garbage for ever."""

from __future__ import annotations

import gc
import weakref
from contextlib import ExitStack

from lettaform.manifest.garbage import PAUSES, without_garbage_collection


def test_a_process_that_plans_again_and_again_does_not_keep_its_garbage() -> None:
    class Garbage:
        own: object = None

    def leave() -> weakref.ref[Garbage]:
        with without_garbage_collection():
            found = Garbage()
            found.own = found  # a cycle: only the collector can free it
            return weakref.ref(found)

    left = leave()
    for _ in range(PAUSES):
        with without_garbage_collection():
            pass
    assert left() is None


def test_a_pause_lasts_until_the_last_one_ends_that_began_during_it() -> None:
    assert gc.isenabled()
    load, plan = ExitStack(), ExitStack()
    load.enter_context(without_garbage_collection())
    plan.enter_context(without_garbage_collection())
    load.close()
    assert not gc.isenabled(), "the plan still pauses it"
    plan.close()
    assert gc.isenabled()


def test_a_pause_leaves_a_collector_disabled_that_was_disabled() -> None:
    gc.disable()
    try:
        with without_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
