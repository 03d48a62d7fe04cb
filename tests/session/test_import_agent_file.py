"""Messages that come later than their agent; `tests/standin/test_agent_files.py` has whole imports."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import PlanError
from lettaform.session import import_agent_file as module
from lettaform.snapshot.agent_file_read import read
from tests.snapshot.agent_files import CLERK

FILE = read(CLERK.read_bytes(), "clerk.af")
WHOLE = json.loads(CLERK.read_text())
EMPTY: dict[str, Any] = {"agents": [{"messages": [], "in_context_message_ids": []}]}


class Backend:
    """Answers these exports, one after the other, and then the last one again."""

    def __init__(self, *exports: Any) -> None:
        self.exports = list(exports)

    async def one(self, kind: str, id: str) -> tuple[str, tuple[()]]:
        return id, ()

    async def export(self, live: str) -> Any:
        return self.exports.pop(0) if len(self.exports) > 1 else self.exports[0]


def wait(backend: Backend) -> None:
    session: Any = SimpleNamespace(backend=backend)
    asyncio.run(module._wait_for_history(session, Address.parse("agents.clerk"), "agent-1", FILE))


def test_messages_may_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    wait(Backend(EMPTY, EMPTY, WHOLE))
    assert len(slept) == 2


def test_an_agent_without_the_messages_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    with pytest.raises(PlanError, match=r"agents\.clerk is agent-1, and has not the messages of clerk\.af") as refused:
        wait(Backend(EMPTY))
    assert refused.value.hint == "`lettaform import 'agents.clerk' agent-1` adopts it as it is"
