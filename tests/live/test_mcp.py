"""MCP servers over stdio: asked before they are made, their tools named, taken along, and nobody else's lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import Guarded, LettaformError, PlanError, Problem
from lettaform.kinds import kinds
from lettaform.model import Plan, PlanOptions, Report
from lettaform.render import text
from tests.conformance.test_mcp_servers import SCRIPT
from tests.faults.fleet import unordered
from tests.live.fleet import TOOL, Fleet, Wire, changes
from tests.standin import Ask, Refusal, StandIn, serve

SAY = '''@tool
def {name}_say(word: str) -> str:
    """Says a word."""
    return word


@tool
def {name}_more'''
EVERYTHING = PlanOptions(destroy=True, allow_destroy=("*",))


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

    def twin(self) -> None:
        """A second server in the manifest, that offers the same."""
        path = self.fleet.folder / "lettaform.yaml"
        told = f'name: {self.fleet.stack}-twin, type: stdio, command: {sys.executable}, args: ["${{folder}}/echo.py"]'
        path.write_text(path.read_text().replace("mcp_servers:", f"mcp_servers:\n  twin: {{{told}}}"))

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

    def server_called(self, name: str) -> str:
        (found,) = [each["id"] for each in self.servers() if each["server_name"] == name]
        return str(found)

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

    def build(self) -> None:
        """Apply what another test shows to be settled."""
        _, report = flow.apply(self.fleet.source, self.fleet.connection)
        assert report is not None
        assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]

    def seen(self) -> Any:
        return unordered([self.servers(), self.tools(), self.fleet.agents()])

    def refused(self, **options: Any) -> list[Problem]:
        """The problems of a plan that cannot be; nothing is made."""
        before = self.seen()
        with pytest.raises(PlanError) as refused:
            self.fleet.plan(**options)
        assert self.seen() == before
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
    rig.build()
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
    rig.build()
    rig.twin()
    assert {problem.message for problem in rig.refused()} == {
        f"mcp_servers.twin offers a tool `{rig.word}_{name}`, and tools.{name} has that name already: it would be lost"
        for name in ("say", "add")
    }


def test_two_servers_of_one_plan_that_offer_the_same_are_refused(rig: Rig) -> None:
    rig.twin()
    told = {problem.message for problem in rig.refused()}
    names = (f"{rig.word}_{each}" for each in ("say", "add"))
    lost = "and mcp_servers.twin has that name already: it would be lost"
    assert told == {f"mcp_servers.echo offers a tool `{name}`, {lost}" for name in names}


def test_a_tool_that_is_offered_later_is_found(rig: Rig) -> None:
    rig.build()
    before = rig.tools()
    rig.script.write_text(rig.script.read_text().replace(f"def {rig.word}_say", f"def {rig.word}_more"))
    rig.script.write_text(rig.script.read_text().replace(f"@tool\ndef {rig.word}_more", SAY.format(name=rig.word)))
    rig.write(tools="say add more")
    plan = rig.fleet.plan()
    assert ("update", "mcp_servers.echo", []) in changes(plan)
    assert "what it brings is listed anew" in text.plan(plan)
    rig.fleet.apply()
    assert rig.of("ann") == {"say", "add", "more"}
    assert {name: rig.tools()[name]["id"] for name in before} == {name: tool["id"] for name, tool in before.items()}


def test_a_tool_that_is_offered_no_more_is_an_error_once_the_server_is_asked(rig: Rig) -> None:
    rig.build()
    rig.offer(add="sub")
    rig.fleet.settled()  # the tool is there still, and nobody has a reason to ask
    rig.write(env="{A: b}")
    (problem,) = rig.refused()
    assert problem.message == "mcp_servers.echo would no longer offer tools.add, which the manifest names"
    assert (problem.hint, problem.place and problem.place.line) == (f"it offers {rig.word}_say, {rig.word}_sub", 4)
    rig.write(tools="say sub", env="{A: b}")
    rig.fleet.apply()
    # of more than 50 tools on the server 0.16.8 looks at 50, and what it does not see it does not delete
    assert (rig.of("ann"), {"say", "sub"} <= set(rig.tools())) == ({"say", "sub"}, True)


def test_a_tool_that_vanished_from_the_server_is_taken_again(rig: Rig) -> None:
    rig.build()
    rig.fleet.raw.delete(f"/v1/tools/{rig.tools()['add']['id']}").raise_for_status()
    rig.fleet.apply()
    assert rig.of("ann") == {"say", "add"}


def test_a_secret_variable_rotates_alone_and_others_stay(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.write(env="{KEY: first-secret, MORE: same-secret}")
    rig.build()
    config = {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(rig.script)]}
    env = {"KEY": "first-secret", "MORE": "same-secret", "THEIRS": "kept"}
    rig.fleet.patch(f"/v1/mcp-servers/{rig.server()['id']}", config=config | {"env": env})
    rig.fleet.settled()
    before = {name: tool["id"] for name, tool in rig.tools().items()}
    rig.write(env="{KEY: other-secret, MORE: same-secret}")
    plan = rig.fleet.plan()
    assert changes(plan) == [("update", "mcp_servers.echo", ["env.KEY"])]
    shown = text.plan(plan, verbose=True)
    assert "‹secret›" in shown
    assert not any(secret in shown for secret in ("first-secret", "other-secret", "same-secret"))
    wire = Wire(monkeypatch)
    rig.fleet.apply()
    assert [method for method, path, _ in wire.writes() if path == f"/v1/mcp-servers/{rig.server()['id']}"] == ["PATCH"]
    assert rig.server()["env"] == env | {"KEY": "other-secret"}
    assert {name: tool["id"] for name, tool in rig.tools().items()} == before
    rig.fleet.patch(f"/v1/mcp-servers/{rig.server()['id']}", config=config | {"env": env})
    drifted = rig.fleet.plan()
    assert [(d.path, d.reason) for d in drifted.changes[0].fields_changed] == [("env.KEY", "manifest")]


def test_an_argument_that_changes_is_followed_by_its_tools(rig: Rig) -> None:
    rig.build()
    before = rig.server()["id"]
    (rig.fleet.folder / "anew.py").write_text(rig.script.read_text().replace("(word: str)", "(word: str, loud: bool)"))
    rig.write(args='["-u", "${folder}/anew.py"]')
    assert changes(rig.fleet.plan()) == [("update", "mcp_servers.echo", ["args"])]
    rig.fleet.apply()
    assert rig.server()["id"] == before
    assert "loud" in rig.tools()["say"]["json_schema"]["parameters"]["properties"]


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a command could not change, as a type cannot: no address that a test may serve at is one to go to."""
    lines = kinds()["mcp_server"].attrs()
    monkeypatch.setitem(lines, "args", replace(lines["args"], immutable=True))


@pytest.mark.usefixtures("fixed")
def test_what_cannot_change_is_replaced_and_its_tools_attached_again(rig: Rig) -> None:
    rig.build()
    before, tools = rig.server()["id"], rig.tools()
    rig.write(args='["-u", "${folder}/echo.py"]')
    plan = rig.fleet.plan()
    assert [(c.action, str(c.address)) for c in plan.changes if c.kind != "agent"] == [
        ("replace", "tools.say"),
        ("replace", "tools.add"),
        ("replace", "mcp_servers.echo"),
    ]
    assert "replaced, and its tools are attached again to the agents that name them" in text.plan(plan)
    rig.fleet.apply()  # and two plans after it that are empty
    assert rig.server()["id"] != before
    assert not {tool["id"] for tool in rig.tools().values()} & {tool["id"] for tool in tools.values()}
    assert rig.of("ann") == {"say", "add"}


@pytest.mark.usefixtures("fixed")
def test_nobody_outside_loses_a_tool_without_consent(rig: Rig) -> None:
    rig.build()
    guest = rig.stranger("say")
    try:
        rig.write(args='["-u", "${folder}/echo.py"]')
        with pytest.raises(Guarded) as refused:
            rig.fleet.plan()
        (problem,) = refused.value.problems
        assert "1 agents outside this manifest would lose it" in problem.message
        assert problem.hint == "`--allow-destroy 'mcp_servers.echo'` consents"
        rig.fleet.apply(allow_destroy=("mcp_servers.echo",))
        assert rig.of("ann") == {"say", "add"}
        assert rig.fleet.raw.get(f"/v1/agents/{guest['id']}").json()["tools"] == []
    finally:
        rig.fleet.raw.delete(f"/v1/agents/{guest['id']}")


def test_one_that_is_no_longer_declared_stays_while_a_stranger_has_its_tools(rig: Rig) -> None:
    rig.build()
    guest = rig.stranger("say")
    try:
        rig.fleet.write("agents: {ann: {include_base_tools: false, tools: []}}")
        plan = rig.fleet.plan(prune=True)
        assert [(str(u.address), u.reason) for u in plan.unmanaged] == [
            ("mcp_servers.echo", "kept: 1 agents outside this plan use it")
        ]
        flow.apply(rig.fleet.source, rig.fleet.connection, PlanOptions(prune=True))
        assert rig.server()
    finally:
        rig.fleet.raw.delete(f"/v1/agents/{guest['id']}")
    flow.apply(rig.fleet.source, rig.fleet.connection, PlanOptions(prune=True))
    assert (rig.servers(), rig.tools()) == ([], {})


def test_a_type_that_nobody_answers_of_changes_into_one_that_does(rig: Rig) -> None:
    # born by hand, with an address at which nobody is: 0.16.8 says nothing of that, and has no tools
    config = {"mcp_server_type": "sse", "server_url": "https://nobody.invalid/mcp"}
    told = {"server_name": rig.fleet.stack, "config": config}
    old = rig.fleet.raw.post("/v1/mcp-servers/", json=told).raise_for_status().json()
    flow.adopt(rig.fleet.source, rig.fleet.connection, "mcp_servers.echo", old["id"])
    plan = rig.fleet.plan()
    assert "`type` cannot change on a living mcp_server: replaced" in text.plan(plan)
    rig.fleet.apply()
    assert (rig.server()["mcp_server_type"], rig.server()["id"] != old["id"], rig.of("ann")) == (
        "stdio",
        True,
        {"say", "add"},
    )


def test_a_type_that_changes_takes_its_tools_along(tmp_path: Path) -> None:
    """On the stand-in, which goes to no address: from a process to HTTP, and to the other HTTP."""
    standin, url = StandIn(), "https://tools.example/mcp"
    with serve(standin) as server:
        fleet = Fleet(server, "letta/letta-free", "letta/letta-free", None, tmp_path, "t-type")
        rig = Rig(fleet)
        rig.offer()
        rig.write()
        fleet.apply()
        offers = [{"name": tool["name"], "description": "D.", "inputSchema": {}} for tool in rig.tools().values()]
        standin.offers[(url,)] = offers
        for kind in ("streamable_http", "sse", "stdio"):
            before = rig.server()["id"]
            http = {"command": "", "args": "", "url": url}
            rig.write(type=kind, **({} if kind == "stdio" else http))
            assert ("replace", "mcp_servers.echo") in [(c.action, str(c.address)) for c in fleet.plan().changes]
            fleet.apply()
            assert (rig.server()["mcp_server_type"], rig.server()["id"] != before) == (kind, True)
            assert rig.of("ann") == {"say", "add"}
        fleet.clear()


def test_one_that_was_deleted_behind_our_back_is_made_again(rig: Rig) -> None:
    rig.build()
    rig.fleet.raw.delete(f"/v1/mcp-servers/{rig.server()['id']}").raise_for_status()
    assert rig.of("ann") == set()
    rig.fleet.apply()
    assert rig.of("ann") == {"say", "add"}


@pytest.mark.parametrize("end", ["/v1/mcp-servers/", "/refresh"])
def test_a_run_that_died_between_its_birth_and_its_tools_is_taken_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    assert len(rig.fleet.dies(monkeypatch, lambda method, path: method != "GET" and path.endswith(end))) == 1
    assert len(rig.servers()) == 1
    rig.fleet.apply()
    assert (len(rig.servers()), rig.of("ann")) == (1, {"say", "add"})


def test_a_new_name_writes_nobody_over(rig: Rig) -> None:
    # 0.16.8 deletes whoever has the new name
    rig.build()
    config = {"mcp_server_type": "stdio", "command": "/no/such", "args": []}
    name = f"{rig.fleet.stack}-theirs"
    told = {"server_name": name, "config": config}
    theirs = rig.fleet.raw.post("/v1/mcp-servers/", json=told).raise_for_status().json()
    rig.write(name=name)
    (problem,) = rig.refused()
    assert f"the mcp_server `{name}` exists already and belongs to somebody else ({theirs['id']})" in problem.message
    rig.write(name=f"{rig.fleet.stack}-ours")
    rig.fleet.apply()
    assert {each["server_name"] for each in rig.servers()} == {name, f"{rig.fleet.stack}-ours"}


def test_a_name_that_somebody_has_is_not_made_again(rig: Rig) -> None:
    told = {"server_name": rig.fleet.stack, "config": {"mcp_server_type": "stdio", "command": "/no", "args": []}}
    theirs = rig.fleet.raw.post("/v1/mcp-servers/", json=told).raise_for_status().json()
    (problem,) = [each for each in rig.refused() if "exists already" in each.message]
    assert f"lettaform import 'mcp_servers.echo' {theirs['id']}" in str(problem.hint)


def test_a_refusal_of_the_server_fails_the_run_and_names_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # the program is there as the plan is made, and gone as it is carried out: 0.16.8 says 200, and has no tools
    def gone(plan: Plan) -> bool:
        rig.script.unlink()
        return True

    _, report = flow.apply(rig.fleet.source, rig.fleet.connection, consent=gone)
    assert failed(report) == ["mcp_servers.echo!refresh"]
    rig.offer()
    rig.fleet.apply()
    assert rig.of("ann") == {"say", "add"}


def test_a_server_that_starts_no_programs_says_so(tmp_path: Path) -> None:
    """On the stand-in: a Letta server starts none unless MCP_DISABLE_STDIO=false."""
    standin, said = StandIn(), "MCP stdio servers are disabled. Set MCP_DISABLE_STDIO=false to enable them."

    def refuse(ask: Ask) -> None:
        if ask.method == "POST" and ("mcp-servers" in ask.path or "mcp/servers" in ask.path):
            raise Refusal(400, said)

    standin.before = refuse
    with serve(standin) as server:
        fleet = Fleet(server, "letta/letta-free", "letta/letta-free", None, tmp_path, "t-none")
        rig = Rig(fleet)
        rig.offer()
        rig.write()
        (problem,) = rig.refused()
        assert said in problem.message


def test_the_old_routes_are_another_door_to_the_same(rig: Rig) -> None:
    rig.build()
    name, old = rig.fleet.stack, "/v1/tools/mcp/servers"
    raw, http = rig.fleet.raw, {"mcp_server_type": "sse", "server_url": "https://nobody.invalid/"}
    http |= {"auth_header": "Authorization", "auth_token": "t-secret"}
    raw.post("/v1/mcp-servers/", json={"server_name": f"{name}-http", "config": http}).raise_for_status()
    told = raw.get(old).json()
    assert isinstance(told, dict)
    assert told[name]["command"] == sys.executable
    shown = [told[f"{name}-http"], *rig.servers()]  # a token stands in clear at both
    assert [each["auth_token"] for each in shown if "auth_token" in each] == ["Bearer t-secret"] * 2
    body = {"server_name": name, "type": "stdio", "command": sys.executable, "args": [str(rig.script)]}
    assert raw.put(old, json=body).status_code == 409  # no upsert
    say = rig.tools()["say"]
    assert raw.post(f"{old}/{name}/{say['name']}").json()["id"] == say["id"]
    ran = raw.post(f"/v1/mcp-servers/{rig.server_called(name)}/tools/{say['id']}/run", json={"args": {"word": "hello"}})
    assert "hello" in ran.text
    assert raw.post(f"{old}/{name}/no_such_tool", headers={"Connection": "close"}).status_code == 500


def failed(report: Report | None) -> Sequence[str]:
    assert report is not None
    assert report.exit_code == 5
    return [outcome.step.key for outcome in report.of("failed")]
