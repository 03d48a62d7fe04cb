"""Shared by a test run: the folder of its real servers (`tests/live/conftest.py` starts them) and the random seed."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest

from lettaform import session
from lettaform.model import Manifest, Observed, PlanOptions
from lettaform.plan import Diff, diff

RUN = "LETTAFORM_TEST_RUN"


@pytest.fixture(autouse=True)
def compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every comparison that leaves out what did not change finds the same as one of everything."""

    def checked(manifest: Manifest, observed: Observed, options: PlanOptions, previous: Diff | None = None) -> Diff:
        found = diff(manifest, observed, options, previous)
        assert previous is None or found == diff(manifest, observed, options)
        return found

    monkeypatch.setattr(session, "diff", checked)


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
