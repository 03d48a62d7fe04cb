"""A real Letta server for every test in this folder; one for each worker of pytest, started on first use.

LETTAFORM_TEST_URL names a running server to use instead (it keeps running); LETTAFORM_TEST_PASSWORD is its password.
LETTAFORM_LETTA names another release to start. Tests that need a later release are skipped; versions.py has the
reasons.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from lettaform import local
from tests.live import versions
from tests.live.fleet import Fleet


@dataclass(frozen=True)
class Letta:
    """The server's URL and password, and the handles of a chat model and an embedding model that work."""

    url: str
    model: str
    embedding: str
    password: str | None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.live)
            reason = versions.missing(f"{item.path.name}::{item.name}")
            if reason:
                item.add_marker(pytest.mark.skip(f"Letta {versions.release()}: {reason}"))


@pytest.fixture(scope="session")
def letta() -> Letta:
    url = os.environ.get("LETTAFORM_TEST_URL")
    if url:
        return _elsewhere(url.rstrip("/"), os.environ.get("LETTAFORM_TEST_PASSWORD"))
    # a server uses one core: workers of pytest that shared one would wait for each other
    folder = Path(os.environ["LETTAFORM_TEST_RUN"]) / os.environ.get("PYTEST_XDIST_WORKER", "main")
    server = local.up(0, folder / "data", echo_model=versions.echoes())
    return Letta(server.url, server.model, server.embedding, server.password)


def _elsewhere(url: str, password: str | None) -> Letta:
    bearer = {"Authorization": f"Bearer {password}"} if password else {}
    models = httpx.get(f"{url}/v1/models/", headers=bearer, timeout=60).raise_for_status().json()
    answers = any(model["handle"] == "openai-proxy/echo" for model in models)
    model, embedding = local.MODELS[answers]
    return Letta(url, model, embedding, password)


@pytest.fixture
def fleet(letta: Letta, tmp_path: Path) -> Iterator[Fleet]:
    """A stack for one test, deleted afterwards."""
    made = Fleet(letta.url, letta.model, letta.embedding, letta.password, tmp_path, f"t-{uuid4().hex[:8]}")
    yield made
    made.clear()
