"""No test waits, and none depends on the environment."""

from __future__ import annotations

import asyncio
import time

import pytest

from lettaform.client.origin import KEY, PROJECT, URL


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients would have waited."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(time, "sleep", found.append)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for name in (URL, KEY, PROJECT):
        monkeypatch.delenv(name, raising=False)
    return found
