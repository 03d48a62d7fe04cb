"""Fixtures for pytest: a Letta server, and stacks that are applied for a test and deleted after it.

One line in `conftest.py` makes them available:

    pytest_plugins = ["lettaform.testing"]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lettaform import local
from lettaform.api.stack import Stack, load
from lettaform.session import Snapshots
from lettaform.session.server import Connection

URL, PASSWORD = "LETTAFORM_TEST_URL", "LETTAFORM_TEST_PASSWORD"
"""Name a server that runs already, and the bearer token that it asks for."""

Apply = Callable[..., Stack]
"""Takes what `lettaform.load` takes, applies the stack, and returns it."""


@dataclass(frozen=True)
class LettaServer:
    """A Letta server for tests. `model` and `embedding`: handles that agents can use without an API key."""

    url: str
    model: str
    embedding: str
    password: str | None = field(default=None, repr=False)

    @property
    def connection(self) -> Connection:
        """How `lettaform.load` reaches it: its argument `server`."""
        return Connection(url=self.url, token=self.password)


@pytest.fixture(scope="session")
def letta_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LettaServer]:
    """The server of LETTAFORM_TEST_URL; otherwise one that is started on this machine, and deleted after the tests.

    It has the echo model, which repeats what it is told. The first start installs Letta, which takes minutes.
    """
    model, embedding = local.MODELS[True]
    if url := os.environ.get(URL):
        yield LettaServer(url.rstrip("/"), model, embedding, os.environ.get(PASSWORD))
        return
    data = tmp_path_factory.mktemp("letta") / "data"
    server = local.up(0, data, echo_model=True)
    try:
        yield LettaServer(server.url, server.model, server.embedding, server.password)
    finally:
        local.down(data=data, purge=True)


@pytest.fixture
def letta_stack(letta_server: LettaServer, tmp_path: Path) -> Iterator[Apply]:
    """A function that applies a stack for one test. See `applied`."""
    with applied(letta_server, tmp_path) as apply:
        yield apply


@pytest.fixture(scope="module")
def letta_module_stack(letta_server: LettaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apply]:
    """As `letta_stack`, for all tests of a module: the stacks are deleted after the last one."""
    with applied(letta_server, tmp_path_factory.mktemp("stacks")) as apply:
        yield apply


@contextmanager
def applied(server: LettaServer, working: Path) -> Iterator[Apply]:
    """A function that takes what `lettaform.load` takes, applies the stack, and returns it.

    Each stack has a name of its own, such as `test-1f9a03c2`, unless `stack` is given: tests that run at the same time
    do not meet. At the end all stacks are deleted, in reverse order, also protected objects and what failed halfway.

    working  where lettaform's own files are written, such as snapshots; the project stays as it is
    """
    with ExitStack() as applied_stacks:

        def apply(*manifest: Any, **how: Any) -> Stack:
            name = f"test-{uuid4().hex[:8]}"
            stack = load(*manifest, **{"server": server.connection, "stack": name, "working": working / name, **how})
            kept = Snapshots(working / "snapshots")
            applied_stacks.callback(stack.destroy, consent=True, allow_destroy=("*",), snapshots=kept)
            stack.apply(consent=True)
            return stack

        yield apply
