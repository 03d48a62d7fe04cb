"""Which requests an export sends, and of what; `tests/standin/test_agent_files.py` has what the file holds."""

from __future__ import annotations

import asyncio

import pytest

from lettaform.backend import connect
from lettaform.errors import NotFound, PlanError
from lettaform.session.export import export
from lettaform.snapshot.agent_file_export import Exported
from tests.backend.v1.served import URL, Served


def exported(server: Served, kind: str, id: str) -> Exported:
    async def run() -> Exported:
        backend = connect(URL, transport=server)
        try:
            return await export(backend, kind, id)
        finally:
            await backend.close()

    server.asked.clear()
    return asyncio.run(run())


def test_an_agent_is_exported_in_a_few_requests() -> None:
    server = Served()
    block = server.block("l", value="v")
    agent = server.agent("a", block_ids=[block["id"]])
    found = exported(server, "agent", agent["id"])
    assert (found.name, [each["value"] for each in found.file["blocks"]]) == ("a", ["v"])
    assert len(server.asked) <= 7
    assert not [each for each in server.asked if not each.startswith("GET")]


def test_a_conversation_is_exported_with_its_agent() -> None:
    server = Served()
    agent = server.agent("a")
    talk = server.conversation(agent["id"], "Talk")
    assert exported(server, "conversation", talk["id"]).name == "a"
    assert f"GET /v1/agents/{agent['id']}/export?conversation_id={talk['id']}" in server.asked


def test_other_kinds_and_missing_objects_are_refused() -> None:
    server = Served()
    with pytest.raises(PlanError, match="no agent file holds blocks") as refused:
        exported(server, "block", "block-1")
    assert refused.value.hint == "only agents and conversations are exported; others come with them"
    with pytest.raises(NotFound):
        exported(server, "agent", "agent-00000000-0000-4000-8000-000000000000")
