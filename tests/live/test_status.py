"""`status` on a real server: agents ran and changed their memory, something drifted, and another run holds the lock."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.backend import connect
from lettaform.cli import cli
from tests.live.fleet import Fleet, RequestLog

MANIFEST = """
    blocks:
      org: {value: We sell bicycles., limit: 1000}
    agents:
      boss:
        system: You lead.
        memory: {human: {value: Nobody yet., limit: 100}}
        blocks: [org]
        tags: [lead]
      worker:
        for_each: [x, y]
        blocks: [org]
"""


def test_the_status_of_a_fleet_while_another_run_holds_the_lock(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    if fleet.connection.token:
        pytest.skip("the server needs a key")
    fleet.write(MANIFEST)
    fleet.apply()
    boss = fleet.agent("boss")["id"]
    said = {"messages": [{"role": "user", "content": "Hello"}]}
    fleet.raw.post(f"/v1/agents/{boss}/messages", json=said).raise_for_status()
    fleet.patch(f"/v1/agents/{boss}", system="You follow.")
    fleet.patch(f"/v1/blocks/{fleet.block('human', 'boss')['id']}", value="x" * 95)

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, ["-C", str(fleet.folder), "--server", fleet.connection.url or "", *words])

    async def locked() -> tuple[flow.StackStatus, Result]:
        backend = connect(fleet.connection.url or "")
        try:
            async with backend.lock(fleet.stack, 5):
                found = await asyncio.to_thread(flow.status, fleet.source, fleet.connection)
                return found, await asyncio.to_thread(run, "status", "-o", "json", "--tag", "lead")
        finally:
            await backend.close()

    requests = RequestLog(monkeypatch)
    found, printed = asyncio.run(locked())
    assert requests.writes() == []
    assert {status: number for status, number in found.counts.items() if number} == {"ok": 4, "drifted": 1}
    assert found.lock is not None
    by_address = {str(each.address): each for each in found.objects}
    first = by_address["agents.boss"]
    assert (first.drifted, first.fullest and first.fullest[0], first.unused) == (("system",), "human", False)
    assert first.last_run is not None
    assert first.last_run.reason == "end_turn"
    assert by_address["agents.boss.memory.human"].kept == ("value",)
    assert by_address["agents.worker[x]"].unused
    assert by_address["blocks.org"].users == 3
    shown = json.loads(printed.stdout)
    assert (printed.exit_code, len(shown["objects"]), shown["lock"] is None) == (0, 2, False)
    plan = fleet.plan()
    assert (plan.unchanged, plan.count("update")) == (4, 1)
