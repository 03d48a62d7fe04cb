"""MCP servers over stdio: asked before they are made, their tools named, taken along, and nobody else's lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import LettaformError, PlanError, Problem
from lettaform.model import Wish
from tests.conformance.test_mcp_servers import SCRIPT
from tests.live.fleet import TOOL, Fleet, Wire

EVERYTHING = Wish(destroy=True, allow_destroy=("*",))


@dataclass(frozen=True)
class Rig:
    """A stack with an MCP server, whose tools have names of this test's own, as all tools share one space."""

    fleet: Fleet

    @property
    def word(self) -> str:
        return self.fleet.stack.replace("-", "_")

    @property
    def script(self) -> Path:
        return self.fleet.folder / "echo.py"

    def offer(self, **instead: str) -> None:
        """Write the program; its functions `say` and `add` may be called otherwise."""
        said = SCRIPT
        for name in ("say", "add"):
            said = said.replace(f"def {name}(", f"def {self.word}_{instead.get(name, name)}(")
        self.script.write_text(said)

    def write(self, *, tools: str = "say add", agents: str | None = None, more: str = "", **said: str) -> None:
        """The manifest: a server called as the stack is, `tools` of it, and an agent that has them."""
        config = {"name": self.fleet.stack, "type": "stdio", "command": sys.executable}
        config |= {"args": '["${folder}/echo.py"]'} | said
        server = ", ".join(f"{key}: {value}" for key, value in config.items() if value)
        lines = "".join(f"  {tool}: {{mcp: echo, name: {self.word}_{tool}}}\n" for tool in tools.split())
        agents = agents or f"  ann: {{include_base_tools: false, tools: [{', '.join(tools.split())}]}}\n"
        head = f"mcp_servers:\n  echo: {{{server}}}\n" + (f"tools:\n{lines}" if lines else "")
        self.fleet.write(f"{head}agents:\n{agents}{more}")

    def servers(self) -> list[dict[str, Any]]:
        found = self.fleet.raw.get("/v1/mcp-servers/").raise_for_status().json()
        return [each for each in found if each["server_name"].startswith(self.fleet.stack)]

    def server(self) -> dict[str, Any]:
        (found,) = self.servers()
        return found

    def tools(self) -> dict[str, dict[str, Any]]:
        """Every tool on the server that has a name of this test's own, by the rest of that name."""
        found = self.fleet.raw.get("/v1/tools/", params={"limit": 1000}).raise_for_status().json()
        return {tool["name"].removeprefix(f"{self.word}_"): tool for tool in found if self.word in tool["name"]}

    def of(self, agent: str) -> set[str]:
        return {tool["name"].removeprefix(f"{self.word}_") for tool in self.fleet.agent(agent)["tools"]}

    def stranger(self, *tools: str) -> dict[str, Any]:
        """Somebody else's agent, with these tools."""
        ids = [self.tools()[each]["id"] for each in tools]
        told = {"name": "stranger", "model": "letta/letta-free", "include_base_tools": False, "tool_ids": ids}
        return dict(self.fleet.raw.post("/v1/agents/", json=told).raise_for_status().json())

    def refused(self, **wish: Any) -> list[Problem]:
        """The problems of a plan that cannot be; nothing is made."""
        before = (self.servers(), self.tools(), self.fleet.agents())
        with pytest.raises(PlanError) as refused:
            self.fleet.plan(**wish)
        assert (self.servers(), self.tools(), self.fleet.agents()) == before
        return list(refused.value.problems)


def clean(fleet: Fleet, rig: Rig) -> None:
    """Take away whatever a test left, whoever made it."""
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, EVERYTHING)
    for server in rig.servers():
        fleet.raw.delete(f"/v1/mcp-servers/{server['id']}")
    for tool in rig.tools().values():
        fleet.raw.delete(f"/v1/tools/{tool['id']}")


@pytest.fixture
def rig(fleet: Fleet) -> Iterator[Rig]:
    made = Rig(fleet)
    made.offer()
    made.write()
    yield made
    clean(fleet, made)


def test_its_tools_come_with_it_and_all_of_it_goes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = rig.fleet.plan()
    assert [(c.action, str(c.address)) for c in plan.changes if c.kind == "tool"] == [
        ("create", "tools.say"),
        ("create", "tools.add"),
    ]
    rig.fleet.apply()
    assert rig.of("ann") == {"say", "add"}
    wire = Wire(monkeypatch)
    assert flow.apply(rig.fleet.source, rig.fleet.connection)[1] is None
    assert wire.writes() == []
    flow.apply(rig.fleet.source, rig.fleet.connection, EVERYTHING)
    assert (rig.servers(), rig.tools(), rig.fleet.agents(), rig.fleet.state()) == ([], {}, [], [])


def test_a_command_that_is_not_there_is_an_error_before_anything_is_made(rig: Rig) -> None:
    rig.write(command="/no/such/command")
    (problem,) = rig.refused()
    assert problem.message.startswith("mcp_servers.echo: the server cannot reach it")
    assert (problem.place and problem.place.line, rig.servers()) == (4, [])


@pytest.mark.parametrize("url", ["https://nobody.invalid/mcp", "http://127.0.0.1:9/mcp", "http://localhost:9/mcp"])
def test_an_address_that_the_server_will_not_go_to_is_an_error_before_anything_is_made(rig: Rig, url: str) -> None:
    rig.write(type="streamable_http", command="", args="", url=url)
    (problem,) = rig.refused()
    assert problem.message.startswith("mcp_servers.echo: the server cannot reach it")
    assert rig.servers() == []


def test_a_tool_that_it_does_not_offer_is_an_error_with_the_nearest_word(rig: Rig) -> None:
    rig.write(tools="say ad")
    (problem,) = rig.refused()
    assert problem.message == f"tools.ad: mcp_servers.echo offers no tool `{rig.word}_ad`"
    assert (problem.hint, problem.address) == (f"did you mean `{rig.word}_add`?", "tools.ad")
    assert problem.place
    assert problem.place.line == 7


def test_a_strangers_tool_of_that_name_is_not_taken(rig: Rig) -> None:
    # registering the server would turn it into a tool of its own, and deleting the server would delete it
    told = {"source_code": TOOL.format(name=f"{rig.word}_say"), "source_type": "python", "tags": ["theirs"]}
    theirs = rig.fleet.raw.put("/v1/tools/", json=told).raise_for_status().json()
    (problem,) = rig.refused()
    whose = f"mcp_servers.echo offers a tool `{rig.word}_say`, and {theirs['id']} has that name already"
    assert problem.message == f"{whose}: it would be lost"
    assert rig.fleet.raw.get(f"/v1/tools/{theirs['id']}").json() == theirs


def test_a_tool_of_ours_of_that_name_is_not_taken(rig: Rig) -> None:
    own = "  own: {source: own.py}\n"
    source = TOOL.format(name=f"{rig.word}_say")
    rig.fleet.write(f"tools:\n{own}", own_py=source)
    rig.fleet.apply()
    before = rig.tools()
    rig.write(tools="", agents="  ann: {include_base_tools: false, tools: [own]}\n", more=f"tools:\n{own}")
    (problem,) = rig.refused()
    assert problem.message.endswith(
        f"offers a tool `{rig.word}_say`, and tools.own has that name already: it would be lost"
    )
    assert rig.tools() == before


def test_a_tool_of_that_name_that_the_same_plan_would_make(rig: Rig) -> None:
    rig.write(
        tools="", agents="  ann: {include_base_tools: false, tools: [own]}\n", more="tools:\n  own: {source: own.py}\n"
    )
    (rig.fleet.folder / "own.py").write_text(TOOL.format(name=f"{rig.word}_say"))
    (problem,) = rig.refused()
    assert "and tools.own has that name already: it would be lost" in problem.message
    assert rig.tools() == {}


def test_two_servers_that_offer_the_same_are_refused(rig: Rig) -> None:
    rig.fleet.apply()
    before = (rig.servers(), rig.tools())
    path = rig.fleet.folder / "lettaform.yaml"
    line = f'  twin: {{name: {rig.fleet.stack}-twin, type: stdio, command: {sys.executable}, args: ["${{folder}}/echo.py"]}}'
    path.write_text(path.read_text().replace("mcp_servers:", f"mcp_servers:\n{line}"))
    told = [problem.message for problem in rig.refused()]
    assert sorted(told) == sorted(
        f"mcp_servers.twin offers a tool `{rig.word}_{name}`, and tools.{name} has that name already: it would be lost"
        for name in ("say", "add")
    )
    assert (rig.servers(), rig.tools()) == before
