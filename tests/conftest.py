"""Shared by a test run: the folder of its real servers (`tests/live/conftest.py` starts them) and the random seed."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lettaform import session
from lettaform.model import Listing, Manifest, Observed, PlanOptions
from lettaform.plan import Diff, Settled, diff
from lettaform.session.early import Early

NOTHING: Settled = {}

RUN = "LETTAFORM_TEST_RUN"


PARTS = 4
"""Into how many pages each list is divided for the comparison of pages."""


class InPages(Early):
    """Compares every list in several pages, and also those that arrive before the manifest is loaded."""

    def arrived(self, kind: str, listing: Listing) -> None:
        lives = listing.objects[kind]
        size = max(1, len(lives) // PARTS)
        for first in range(0, len(lives), size):
            page = lives[first : first + size]
            attached = {live.id: listing.attached[live.id] for live in page if live.id in listing.attached}
            super().arrived(kind, replace(listing, objects={**listing.objects, kind: page}, attached=attached))

    def settled(self, observed: Observed) -> Settled:
        assert self.manifest is not None
        self.compare(self.manifest)
        return super().settled(observed)


@pytest.fixture(autouse=True)
def compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every comparison that leaves out what did not change finds the same as one of everything."""

    def checked(
        manifest: Manifest, observed: Observed, options: PlanOptions, known: Settled = NOTHING, *waiting: Any
    ) -> Diff:
        found = diff(manifest, observed, options, known, *waiting)
        assert not known or found == diff(manifest, observed, options, NOTHING, *waiting)
        return found

    monkeypatch.setattr(session, "diff", checked)
    monkeypatch.setattr(session, "Early", InPages)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))
    # Workers of pytest-xdist inherit the variable: all of them share the controller's folder.
    if not _is_worker(config):
        os.environ[RUN] = f"{tempfile.gettempdir()}/lettaform-test-{uuid.uuid4().hex[:8]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"random cases drawn with --hypothesis-seed={config.option.hypothesis_seed}")


def pytest_unconfigure(config: pytest.Config) -> None:
    # The last hook of all, also after Ctrl-C. It is here and not in tests/live, because the controller never loads
    # that conftest.
    if _is_worker(config) or RUN not in os.environ:
        return
    folder = Path(os.environ.pop(RUN))
    if folder.is_dir():
        from lettaform import local

        for data in folder.glob("*/data"):
            local.down(data=data, purge=True)
        shutil.rmtree(folder)
