"""What the server creates along with an agent is found again, wherever a run was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.model import Plan, PlanOptions
from tests.standin import StandIn

MANIFEST = """
stack: s
agents: {ann: {model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false, sleeptime: true}}
"""
TAGS = {"agents": "_tags", "blocks": "tags"}
"""Where the stand-in keeps them."""
SLEEPER, PERSONA = "agents.ann-sleeptime", "agents.ann-sleeptime.memory.memory_persona"


class Fleet:
    """One agent with sleeptime, on a stand-in."""

    def __init__(self, folder: Path) -> None:
        self.standin, self.source = StandIn(), flow.Source(folder)
        (folder / "lettaform.yaml").write_text(MANIFEST)
        self.apply()

    def apply(self) -> Plan:
        through = mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.standin))
        with through:
            plan, report = flow.apply(self.source, flow.Connection(url="http://stand.in"), consent=True)
            assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
            for _ in range(2):
                again = flow.plan(self.source, flow.Connection(url="http://stand.in"))
                assert not again.steps, [(change.action, str(change.address)) for change in again.changes]
        return plan

    def one(self, table: str, address: str) -> dict[str, Any]:
        tables: dict[str, dict[str, Any]] = getattr(self.standin.tables, table)
        (found,) = [each for each in tables.values() if f"lettaform:addr={address}" in each[TAGS[table]]]
        return found

    def unmark(self, table: str, address: str) -> None:
        """As if the mark had never been written: not on the object, and not in the page."""
        found = self.one(table, address)
        found |= {TAGS[table]: [], "metadata": {}}
        (page,) = [each for each in self.standin.tables.blocks.values() if each["label"] == "lettaform"]
        body = json.loads(page["value"])
        body["ids"].pop(address, None)
        page["value"] = json.dumps(body)


@pytest.mark.parametrize("lost", [[SLEEPER], [PERSONA], [SLEEPER, PERSONA]])
def test_marks_that_a_run_did_not_come_to_are_written_by_the_next(tmp_path: Path, lost: list[str]) -> None:
    fleet = Fleet(tmp_path)
    ids = [fleet.one("agents", SLEEPER)["id"], fleet.one("blocks", PERSONA)["id"]]
    for address in lost:
        fleet.unmark("blocks" if address == PERSONA else "agents", address)
    fleet.apply()
    assert [fleet.one("agents", SLEEPER)["id"], fleet.one("blocks", PERSONA)["id"]] == ids


def test_a_sleeper_that_its_agent_no_longer_has_makes_way_for_the_new_one(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    old = fleet.one("agents", SLEEPER)["id"]
    fleet.standin.tables.groups.clear()
    fleet.apply()
    groups = list(fleet.standin.tables.groups.values())
    assert len(groups) == 1
    claims = [id for id, each in fleet.standin.tables.agents.items() if f"lettaform:addr={SLEEPER}" in each["_tags"]]
    assert len(claims) == 2
    assert old in claims


def test_an_agent_deleted_while_a_plan_is_made_is_not_in_it(tmp_path: Path) -> None:
    # a request of a run that was killed, carried out between the list of objects and that of their dependents
    fleet = Fleet(tmp_path)
    (tmp_path / "lettaform.yaml").write_text("stack: s")
    send, asked = fleet.standin.handle_async_request, list[str]()

    async def deleting(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/agents/":
            asked.append(str(request.url))
            if len(asked) == 2:
                fleet.standin.tables.agents.clear()
        return await send(request)

    with (
        mock.patch.object(fleet.standin, "handle_async_request", deleting),
        mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=fleet.standin)),
    ):
        plan = flow.plan(fleet.source, flow.Connection(url="http://stand.in"), PlanOptions(prune=True))
    assert len(asked) == 3
    assert not [change for change in plan.changes if change.kind == "agent" and change.action != "forget"]
