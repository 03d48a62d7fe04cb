"""Agent files on a real server: declared, applied and exported again; imported with messages; killed and run again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError
from lettaform.kinds.tool_schema import derived
from lettaform.snapshot.agent_file_read import read
from lettaform.snapshot.agent_files import Options
from tests.faults.harness import Fault, FaultyTransport, Killed, on
from tests.live.conftest import Letta
from tests.snapshot.agent_files import CLERK, OLDER, TEAM, TWICE

OWN = ("look_up", "def plan", '"plan"', '"docs"', '"clerk"', "old timer", '"lead"', '"helper"', "zweimal")
"""The names in the files that must be unique on a server, or that a search would find."""
VARIABLES = {"shop_key": "k-0123456789", "old_key": "k-0123456789"}


class Converted:
    """A stack that is made of agent files, with names of its own on a server that others use, too."""

    def __init__(self, letta: Letta, folder: Path) -> None:
        self.letta, self.folder, self.word = letta, folder, uuid4().hex[:6]
        self.variables: dict[str, str] = {}

    def copy(self, path: Path, **parts: Any) -> Path:
        """A file in which the names of agents, tools and folders are this stack's own."""
        body = json.loads(path.read_text(encoding="utf-8"))
        text = json.dumps({**body, **parts} if isinstance(body, dict) else body)
        for name in OWN:
            text = text.replace(name, self._own(name))
        (self.folder / path.name).write_text(text)
        return self.folder / path.name

    def _own(self, name: str) -> str:
        return f"{name[:-1]}_{self.word}{name[-1]}" if name.endswith('"') else f"{name}_{self.word}"

    def declare(self, *files: Path) -> None:
        options = Options(self.letta.model, self.letta.embedding)
        found = flow.from_agent_files(files, self.folder / "out", options, stack=f"af-{self.word}")
        self.variables = {name: value for name, value in VARIABLES.items() if name in found.variables}

    @property
    def source(self) -> flow.Source:
        return flow.Source(self.folder / "out", variables=self.variables)

    @property
    def connection(self) -> flow.Connection:
        # without a lock: the next run does not wait until the lease of one that was killed has ended
        return flow.Connection(url=self.letta.url, token=self.letta.password, patience=None)

    def apply(self, **options: Any) -> None:
        _, report = flow.apply(self.source, self.connection, flow.PlanOptions(**options), consent=True)
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]

    def steps(self) -> list[str]:
        return [step.key for step in flow.plan(self.source, self.connection).steps]

    def export(self, what: str) -> Any:
        return flow.export(self.source, self.connection, what).file


@pytest.fixture
def stack(letta: Letta, tmp_path: Path) -> Iterator[Converted]:
    made = Converted(letta, tmp_path)
    yield made
    if (tmp_path / "out").exists():
        made.apply(destroy=True, allow_destroy=("*",))


def spoken(agent: Any) -> list[tuple[str, str]]:
    return [(each["role"], "".join(part.get("text", "") for part in each["content"])) for each in agent["messages"]]


@pytest.mark.parametrize(
    ("file", "address"),
    [(CLERK, "agents.clerk"), (OLDER, "agents.old-timer"), (TWICE, "agents.zweimal")],
    ids=lambda each: getattr(each, "stem", ""),
)
def test_a_file_is_declared_applied_and_exported(file: Path, address: str, stack: Converted) -> None:
    path = stack.copy(file)
    stack.declare(path)
    stack.apply()
    assert stack.steps() == []
    body = read(path.read_bytes(), path.name).body
    found = stack.export(f"{address}_{stack.word}")
    (exported,), (first,) = found["agents"], body["agents"]
    for each in ("name", "system", "description", "agent_type"):
        assert exported[each] == first.get(each), each
    rules = [{key: value for key, value in rule.items() if value} for rule in exported["tool_rules"]]
    assert rules == first["tool_rules"]
    assert {each["label"]: each["value"] for each in found["blocks"]} == {
        e["label"]: e["value"] for e in body["blocks"]
    }
    tools = {each["name"]: (each["source_code"], each["json_schema"]) for each in body["tools"] if each["source_code"]}
    assert {
        each["name"]: (each["source_code"], each["json_schema"]) for each in found["tools"] if each["source_code"]
    } == tools
    assert {each["name"] for each in found["tools"]} == {each["name"] for each in body["tools"]}
    assert "lettaform" not in json.dumps(found)


def test_a_team_is_declared_and_applied(stack: Converted) -> None:
    body = json.loads(TEAM.read_text())
    tools = [each for each in body["tools"] if each["name"] != "search_web"]
    body["agents"][1]["tool_ids"] = []
    path = stack.copy(TEAM, tools=tools, mcp_servers=[], agents=body["agents"])
    stack.declare(path)
    stack.apply()
    assert stack.steps() == []
    found = stack.export(f"agents.lead_{stack.word}")
    assert sorted(each["label"] for each in found["blocks"])[:2] == ["memory_persona", "persona"]
    assert [each["original_file_name"] for each in found["files"]] == ["prices.md"]
    assert {each["manager_config"]["manager_type"] for each in found["groups"]} <= {"sleeptime", "round_robin"}


def test_an_agent_is_imported_with_its_messages(stack: Converted) -> None:
    path = stack.copy(CLERK)
    stack.declare(path)
    stack.apply(exclude=(f"agents.clerk_{stack.word}",))
    found = flow.import_agent_file(stack.source, stack.connection, path, f"agents.clerk_{stack.word}", consent=True)
    assert found.id
    stack.apply()
    assert stack.steps() == []
    first = read(path.read_bytes(), path.name).body["agents"][0]
    (exported,) = stack.export(found.id)["agents"]
    assert spoken(exported) == spoken(first)
    assert exported["messages"][2]["tool_calls"][0]["function"]["name"] == f"look_up_{stack.word}"
    with pytest.raises(LettaformError, match=f"is already {found.id}"):
        flow.import_agent_file(stack.source, stack.connection, path, f"agents.clerk_{stack.word}", consent=True)


@pytest.mark.parametrize(("file", "address"), [(OLDER, "agents.old-timer"), (TWICE, "agents.zweimal")])
def test_files_of_other_forms_are_imported(file: Path, address: str, stack: Converted) -> None:
    path, address = stack.copy(file), f"{address}_{stack.word}"
    stack.declare(path)
    stack.apply(exclude=("agents.*",))
    flow.import_agent_file(stack.source, stack.connection, path, address, consent=True)
    stack.apply()
    assert stack.steps() == []
    first = read(path.read_bytes(), path.name).body["agents"][0]
    assert spoken(stack.export(address)["agents"][0]) == spoken(first)


def test_an_equal_shared_block_is_the_one_of_the_stack(stack: Converted) -> None:
    path = stack.copy(CLERK)
    stack.declare(path)
    manifest = stack.folder / "out" / "lettaform.yaml"
    lines = manifest.read_text().replace(
        "      human: {value: Nobody yet., description: Who asks., limit: 20000}\n", ""
    )
    lines = lines.replace("    memory:\n", "    blocks: [human]\n    memory:\n")
    manifest.write_text(f"{lines}\nblocks: {{human: {{value: Nobody yet.}}}}\n")
    address = f"agents.clerk_{stack.word}"
    stack.apply(exclude=(address,))
    found = flow.import_agent_file(stack.source, stack.connection, path, address, consent=True)
    assert (found.own, [*found.bound]) == (("persona",), ["human"])
    lives = {str(live.address): live for live in flow.show(stack.source, stack.connection).objects}
    assert lives[address].ids("blocks") == sorted([lives["blocks.human"].id, lives[f"{address}.memory.persona"].id])
    stack.apply()
    assert stack.steps() == []


def test_an_agent_whose_messages_cannot_be_listed_is_exported_and_not_imported(stack: Converted) -> None:
    body = json.loads(CLERK.read_text())
    body["agents"][0]["messages"][3] |= {"tool_returns": [], "content": [{"type": "text", "text": "On its way."}]}
    path = stack.copy(CLERK, agents=body["agents"])
    stack.declare(path)
    stack.apply(exclude=(f"agents.clerk_{stack.word}",))
    with pytest.raises(LettaformError) as refused:
        flow.import_agent_file(stack.source, stack.connection, path, f"agents.clerk_{stack.word}", consent=True)
    assert ["no JSON object" in each.message for each in refused.value.problems] == [True]
    headers = {"Authorization": f"Bearer {stack.letta.password}"} if stack.letta.password else {}
    with httpx.Client(base_url=stack.letta.url, headers=headers, timeout=60) as http:
        answer = http.post("/v1/agents/import", files={"file": ("a.af", path.read_bytes())})
        (id,) = answer.raise_for_status().json()["agent_ids"]
        try:
            assert http.get(f"/v1/agents/{id}/messages").status_code == 500
            found = flow.export(stack.source, stack.connection, id)
        finally:
            for block in http.get(f"/v1/agents/{id}").json()["blocks"]:
                http.delete(f"/v1/blocks/{block['id']}")
            http.delete(f"/v1/agents/{id}")
    assert spoken(found.file["agents"][0]) == spoken(body["agents"][0])
    assert "the server cannot list them" in " ".join(found.lost)


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        pytest.param("POST /v1/agents/import", Fault.KILL_BEFORE, marks=pytest.mark.slow),
        ("POST /v1/agents/import", Fault.KILL_AFTER),
        pytest.param("POST /v1/agents/import", Fault.CUT_AFTER, marks=pytest.mark.slow),
        pytest.param("PATCH /v1/agents/{agent}", Fault.KILL_AFTER, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_an_import_that_is_killed_is_completed_by_the_next(shape: str, fault: Fault, stack: Converted) -> None:
    path = stack.copy(CLERK)
    stack.declare(path)
    stack.apply(exclude=(f"agents.clerk_{stack.word}",))
    faults: list[FaultyTransport] = []

    def through(url: str, **options: Any) -> Any:
        faults.append(FaultyTransport(httpx.AsyncHTTPTransport(), fault, on(shape), silence=2.0))
        return connect(url, **options, transport=faults[-1])

    with (
        mock.patch.object(flow, "connect", through),
        suppress(Killed, BaseExceptionGroup, LettaformError),
    ):
        flow.import_agent_file(stack.source, stack.connection, path, f"agents.clerk_{stack.word}", consent=True)
    assert any(each.triggered for each in faults)
    with suppress(LettaformError):
        flow.import_agent_file(stack.source, stack.connection, path, f"agents.clerk_{stack.word}", consent=True)
    stack.apply()
    assert stack.steps() == []
    (agent,) = _agents(stack)
    first = read(path.read_bytes(), path.name).body["agents"][0]
    assert spoken(stack.export(agent)["agents"][0]) == spoken(first)


def _agents(stack: Converted) -> list[str]:
    """The ids of all agents that claim to belong to the stack."""
    headers = {"Authorization": f"Bearer {stack.letta.password}"} if stack.letta.password else {}
    params = {"tags": f"lettaform:stack=af-{stack.word}"}
    answer = httpx.get(f"{stack.letta.url}/v1/agents/", params=params, headers=headers)
    return [each["id"] for each in answer.raise_for_status().json()]


PLAIN = {
    "arguments": """def f(a: int, b: str = "x"):
    '''
    Does it.

    Args:
        a (int): First.
        b (str): Second: more.
    '''
    return b
""",
    "returns": """def g(flag: bool, share: float) -> str:
    '''Says it.

    Args:
        flag (bool): Whether.
        share: How much.

    Returns:
        str: What.
    '''
    return ""
""",
    "nothing": "import json\n\n\ndef h() -> str:\n    '''Says nothing.'''\n    return json.dumps(1)\n",
}


@pytest.mark.parametrize("source", PLAIN.values(), ids=PLAIN)
def test_the_schema_that_is_left_out_is_the_one_that_the_server_derives(source: str, letta: Letta) -> None:
    async def ask() -> Any:
        backend = connect(letta.url, token=letta.password)
        try:
            return await backend.client.send(
                "POST", "/v1/tools/generate-schema", body={"code": source}, repeatable=True
            )  # type: ignore[attr-defined]
        finally:
            await backend.close()

    assert derived(source) == asyncio.run(ask())
