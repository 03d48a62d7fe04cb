"""A server to an Audit: bulk reads alone, and nothing is written."""

from __future__ import annotations

import pytest

from lettaform.errors import PlanError
from lettaform.ownership.audit import Audit
from lettaform.session.audit import audit
from tests.backend.v1.served import Served


@pytest.fixture
def server() -> Served:
    return Served()


def found(server: Served, stack: str | None = None) -> Audit:
    return server.run(lambda reads: audit(reads, stack))


def sorts(audited: Audit) -> dict[str, list[str | None]]:
    result: dict[str, list[str | None]] = {}
    for each in audited.findings:
        result.setdefault(each.sort, []).extend(one.name for one in each.objects)
    return result


def test_an_empty_server(server: Served) -> None:
    assert found(server).findings == ()


def test_findings(server: Served) -> None:
    agent = server.agent("ann", memory_blocks=[{"label": "human", "value": "Bob"}])
    loose, notes = server.block("human", value="Bob"), server.archive("notes")
    server.attach(agent["id"], "archives", notes["id"])
    server.archive("alone")
    server.conversation(agent["id"], "talk")
    folder = server.post("/v1/folders/", name="docs", embedding="letta/letta-free")
    audited = found(server)
    assert sorts(audited) == {
        "unowned": ["ann", "alone", "notes", "human", "human", "talk", "docs"],
        "equal": ["human", "human"],
        "unattached": ["human"],
        "unused": ["alone", "docs"],
    }
    assert {loose["id"], folder["id"]} < {one.id for each in audited.findings for one in each.objects}
    assert audited.version
    assert audited.requests == len(server.asked)


def test_reads_alone_and_few(server: Served) -> None:
    for number in range(30):
        server.agent(f"a{number}", memory_blocks=[{"label": "human", "value": str(number)}])
        server.block("x", value=str(number))
    found(server)
    assert all(each.startswith("GET ") for each in server.asked)
    assert len(server.asked) < 20


def test_a_state_that_cannot_be_read_is_an_error(server: Served) -> None:
    server.block("lettaform", tags=["lettaform:stack=s", "lettaform:state=0"], value="{")
    with pytest.raises(PlanError, match="the state of stack `s` cannot be read"):
        found(server)
