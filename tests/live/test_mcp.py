"""MCP servers over stdio on a real server: trial at plan time, tools of a server, name clashes, foreign tools."""

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
from tests.live.fleet import TOOL, Fleet, RequestLog, changes
from tests.standin import Ask, Refusal, StandIn, serve

SAY = '''@tool
def {name}_say(word: str) -> str:
    """Says a word."""
    return word


@tool
def {name}_more'''
DESTROY_ALL = PlanOptions(destroy=True, allow_destroy=("*",))


@dataclass(frozen=True)
class McpStack:
    """A stack with an MCP server whose tools have unique names, because all tools share one name space."""

    fleet: Fleet

    @property
    def prefix(self) -> str:
        return self.fleet.stack.replace("-", "_")

    @property
    def script(self) -> Path:
        return self.fleet.folder / "echo.py"

    def write_script(self, **new_names: str) -> None:
        """Write the server's script; the tools `say` and `add` can get other names."""
        script_text = SCRIPT
        for name in ("say", "add"):
            script_text = script_text.replace(f"def {name}(", f"def {self.prefix}_{new_names.get(name, name)}(")
        self.script.write_text(script_text)

    def add_duplicate_server(self) -> None:
        """Add a second server to the manifest that offers the same tools."""
        path = self.fleet.folder / "lettaform.yaml"
        config = f'name: {self.fleet.stack}-twin, type: stdio, command: {sys.executable}, args: ["${{folder}}/echo.py"]'
        path.write_text(path.read_text().replace("mcp_servers:", f"mcp_servers:\n  twin: {{{config}}}"))

    def write(self, *, tools: str = "say add", agents: str | None = None, more: str = "", **fields: str) -> None:
        """Write a manifest: a server named after the stack, its `tools`, and an agent that has them."""
        config = {"name": self.fleet.stack, "type": "stdio", "command": sys.executable}
        config |= {"args": '["${folder}/echo.py"]'} | fields
        server = ", ".join(f"{key}: {value}" for key, value in config.items() if value)
        lines = "".join(f"  {tool}: {{mcp: echo, name: {self.prefix}_{tool}}}\n" for tool in tools.split())
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
        """All tools on the server with this test's prefix, by the rest of their names."""
        found = self.fleet.raw.get("/v1/tools/", params={"limit": 1000}).raise_for_status().json()
        return {tool["name"].removeprefix(f"{self.prefix}_"): tool for tool in found if self.prefix in tool["name"]}

    def tools_of(self, agent: str) -> set[str]:
        return {tool["name"].removeprefix(f"{self.prefix}_") for tool in self.fleet.agent(agent)["tools"]}

    def raw_client(self, *tools: str) -> dict[str, Any]:
        """Create an agent of somebody else with these tools."""
        ids = [self.tools()[each]["id"] for each in tools]
        body = {"name": "stranger", "model": "letta/letta-free", "include_base_tools": False, "tool_ids": ids}
        return dict(self.fleet.raw.post("/v1/agents/", json=body).raise_for_status().json())

    def build(self) -> None:
        """Apply, for tests that do not need to check the plan after it."""
        _, report = flow.apply(self.fleet.source, self.fleet.connection, consent=True)
        assert report is not None
        assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]

    def server_objects(self) -> Any:
        return unordered([self.servers(), self.tools(), self.fleet.agents()])

    def refused_problems(self, **options: Any) -> list[Problem]:
        """Assert that the plan is refused and nothing is created; return its problems."""
        before = self.server_objects()
        with pytest.raises(PlanError) as refused:
            self.fleet.plan(**options)
        assert self.server_objects() == before
        return list(refused.value.problems)


def clean(fleet: Fleet, stack: McpStack) -> None:
    """Delete whatever a test left, whoever created it."""
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, DESTROY_ALL, consent=True)
    for server in stack.servers():
        fleet.raw.delete(f"/v1/mcp-servers/{server['id']}")
    for tool in stack.tools().values():
        fleet.raw.delete(f"/v1/tools/{tool['id']}")


@pytest.fixture
def stack(fleet: Fleet) -> Iterator[McpStack]:
    made = McpStack(fleet)
    made.write_script()
    made.write()
    yield made
    clean(fleet, made)


def test_create_registers_tools_and_destroy_removes_all(stack: McpStack, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = stack.fleet.plan()
    assert [(c.action, str(c.address)) for c in plan.changes if c.kind == "tool"] == [
        ("create", "tools.say"),
        ("create", "tools.add"),
    ]
    stack.fleet.apply()
    assert stack.tools_of("ann") == {"say", "add"}
    requests = RequestLog(monkeypatch)
    assert flow.apply(stack.fleet.source, stack.fleet.connection, consent=True)[1] is None
    assert requests.writes() == []
    flow.apply(stack.fleet.source, stack.fleet.connection, DESTROY_ALL, consent=True)
    assert (stack.servers(), stack.tools(), stack.fleet.agents(), stack.fleet.state()) == ([], {}, [], [])


def test_plan_refuses_missing_command(stack: McpStack) -> None:
    stack.write(command="/no/such/command")
    (problem,) = stack.refused_problems()
    assert problem.message.startswith("mcp_servers.echo: the server cannot reach it")
    assert (problem.place and problem.place.line, stack.servers()) == (4, [])


@pytest.mark.parametrize("url", ["https://nobody.invalid/mcp", "http://127.0.0.1:9/mcp", "http://localhost:9/mcp"])
def test_plan_refuses_url_that_server_forbids(stack: McpStack, url: str) -> None:
    stack.write(type="streamable_http", command="", args="", url=url)
    (problem,) = stack.refused_problems()
    assert problem.message.startswith("mcp_servers.echo: the server cannot reach it")
    assert stack.servers() == []


def test_plan_refuses_tool_not_offered_and_suggests_nearest(stack: McpStack) -> None:
    stack.write(tools="say ad")
    (problem,) = stack.refused_problems()
    assert problem.message == f"tools.ad: mcp_servers.echo offers no tool `{stack.prefix}_ad`"
    assert (problem.hint, problem.address) == (f"did you mean `{stack.prefix}_add`?", "tools.ad")
    assert problem.place
    assert problem.place.line == 7


def test_plan_refuses_name_of_foreign_tool(stack: McpStack) -> None:
    # registering the server would turn the custom tool into the server's own; deleting the server would delete it
    body = {"source_code": TOOL.format(name=f"{stack.prefix}_say"), "source_type": "python", "tags": ["theirs"]}
    theirs = stack.fleet.raw.put("/v1/tools/", json=body).raise_for_status().json()
    (problem,) = stack.refused_problems()
    whose = f"mcp_servers.echo offers a tool `{stack.prefix}_say`, and {theirs['id']} has that name already"
    assert problem.message == f"{whose}: it would be lost"
    assert stack.fleet.raw.get(f"/v1/tools/{theirs['id']}").json() == theirs


def test_plan_refuses_name_of_existing_tool_of_same_stack(stack: McpStack) -> None:
    own = "  own: {source: own.py}\n"
    source = TOOL.format(name=f"{stack.prefix}_say")
    stack.fleet.write(f"tools:\n{own}", own_py=source)
    stack.build()
    before = stack.tools()
    stack.write(tools="", agents="  ann: {include_base_tools: false, tools: [own]}\n", more=f"tools:\n{own}")
    (problem,) = stack.refused_problems()
    assert problem.message.endswith(
        f"offers a tool `{stack.prefix}_say`, and tools.own has that name already: it would be lost"
    )
    assert stack.tools() == before


def test_plan_refuses_name_of_tool_in_same_plan(stack: McpStack) -> None:
    stack.write(
        tools="", agents="  ann: {include_base_tools: false, tools: [own]}\n", more="tools:\n  own: {source: own.py}\n"
    )
    (stack.fleet.folder / "own.py").write_text(TOOL.format(name=f"{stack.prefix}_say"))
    (problem,) = stack.refused_problems()
    assert "and tools.own has that name already: it would be lost" in problem.message
    assert stack.tools() == {}


def test_plan_refuses_new_server_with_same_tools(stack: McpStack) -> None:
    stack.build()
    stack.add_duplicate_server()
    assert {problem.message for problem in stack.refused_problems()} == {
        f"mcp_servers.twin offers a tool `{stack.prefix}_{name}`, "
        f"and tools.{name} has that name already: it would be lost"
        for name in ("say", "add")
    }


def test_plan_refuses_two_new_servers_with_same_tools(stack: McpStack) -> None:
    stack.add_duplicate_server()
    messages = {problem.message for problem in stack.refused_problems()}
    names = (f"{stack.prefix}_{each}" for each in ("say", "add"))
    lost = "and mcp_servers.twin has that name already: it would be lost"
    assert messages == {f"mcp_servers.echo offers a tool `{name}`, {lost}" for name in names}


def test_plan_finds_tool_offered_later(stack: McpStack) -> None:
    stack.build()
    before = stack.tools()
    stack.script.write_text(stack.script.read_text().replace(f"def {stack.prefix}_say", f"def {stack.prefix}_more"))
    stack.script.write_text(
        stack.script.read_text().replace(f"@tool\ndef {stack.prefix}_more", SAY.format(name=stack.prefix))
    )
    stack.write(tools="say add more")
    plan = stack.fleet.plan()
    assert ("update", "mcp_servers.echo", []) in changes(plan)
    assert "what it offers is listed again" in text.plan(plan)
    stack.fleet.apply()
    assert stack.tools_of("ann") == {"say", "add", "more"}
    assert {name: stack.tools()[name]["id"] for name in before} == {name: tool["id"] for name, tool in before.items()}


def test_plan_refuses_tool_no_longer_offered_once_server_is_asked(stack: McpStack) -> None:
    stack.build()
    stack.write_script(add="sub")
    stack.fleet.assert_no_changes()  # the tool still exists, and there is no reason to ask the MCP server
    stack.write(env="{A: b}")
    (problem,) = stack.refused_problems()
    assert problem.message == "mcp_servers.echo would no longer offer tools.add, which the manifest names"
    assert (problem.hint, problem.place and problem.place.line) == (
        f"it offers {stack.prefix}_say, {stack.prefix}_sub",
        4,
    )
    stack.write(tools="say sub", env="{A: b}")
    stack.fleet.apply()
    # with more than 50 tools on the server, 0.16.8 compares 50 and does not delete the others
    assert (stack.tools_of("ann"), {"say", "sub"} <= set(stack.tools())) == ({"say", "sub"}, True)


def test_apply_registers_deleted_tool_again(stack: McpStack) -> None:
    stack.build()
    stack.fleet.raw.delete(f"/v1/tools/{stack.tools()['add']['id']}").raise_for_status()
    stack.fleet.apply()
    assert stack.tools_of("ann") == {"say", "add"}


def test_secret_variable_rotates_and_foreign_variables_stay(stack: McpStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.write(env="{KEY: first-secret, MORE: same-secret}")
    stack.build()
    config = {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(stack.script)]}
    env = {"KEY": "first-secret", "MORE": "same-secret", "THEIRS": "kept"}
    stack.fleet.patch(f"/v1/mcp-servers/{stack.server()['id']}", config=config | {"env": env})
    stack.fleet.assert_no_changes()
    before = {name: tool["id"] for name, tool in stack.tools().items()}
    stack.write(env="{KEY: other-secret, MORE: same-secret}")
    plan = stack.fleet.plan()
    assert changes(plan) == [("update", "mcp_servers.echo", ["env.KEY"])]
    shown = text.plan(plan, verbose=True)
    assert "‹secret›" in shown
    assert not any(secret in shown for secret in ("first-secret", "other-secret", "same-secret"))
    requests = RequestLog(monkeypatch)
    stack.fleet.apply()
    assert [method for method, path, _ in requests.writes() if path == f"/v1/mcp-servers/{stack.server()['id']}"] == [
        "PATCH"
    ]
    assert stack.server()["env"] == env | {"KEY": "other-secret"}
    assert {name: tool["id"] for name, tool in stack.tools().items()} == before
    stack.fleet.patch(f"/v1/mcp-servers/{stack.server()['id']}", config=config | {"env": env})
    drifted = stack.fleet.plan()
    assert [(d.path, d.reason) for d in drifted.changes[0].fields_changed] == [("env.KEY", "manifest")]


def test_changed_argument_updates_tools(stack: McpStack) -> None:
    stack.build()
    before = stack.server()["id"]
    (stack.fleet.folder / "anew.py").write_text(
        stack.script.read_text().replace("(word: str)", "(word: str, loud: bool)")
    )
    stack.write(args='["-u", "${folder}/anew.py"]')
    assert changes(stack.fleet.plan()) == [("update", "mcp_servers.echo", ["args"])]
    stack.fleet.apply()
    assert stack.server()["id"] == before
    assert "loud" in stack.tools()["say"]["json_schema"]["parameters"]["properties"]


@pytest.fixture
def immutable_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `command` immutable as `type` is, because tests cannot serve at an address that the server accepts."""
    lines = kinds()["mcp_server"].attrs()
    monkeypatch.setitem(lines, "args", replace(lines["args"], immutable=True))


@pytest.mark.usefixtures("immutable_command")
def test_replace_attaches_tools_again(stack: McpStack) -> None:
    stack.build()
    before, tools = stack.server()["id"], stack.tools()
    stack.write(args='["-u", "${folder}/echo.py"]')
    plan = stack.fleet.plan()
    assert [(c.action, str(c.address)) for c in plan.changes if c.kind != "agent"] == [
        ("replace", "tools.say"),
        ("replace", "tools.add"),
        ("replace", "mcp_servers.echo"),
    ]
    assert "replaced, and its tools are attached again to the agents that name them" in text.plan(plan)
    stack.fleet.apply()  # then two plans are empty
    assert stack.server()["id"] != before
    assert not {tool["id"] for tool in stack.tools().values()} & {tool["id"] for tool in tools.values()}
    assert stack.tools_of("ann") == {"say", "add"}


@pytest.mark.usefixtures("immutable_command")
def test_replace_takes_tools_from_foreign_agents_only_with_consent(stack: McpStack) -> None:
    stack.build()
    guest = stack.raw_client("say")
    try:
        stack.write(args='["-u", "${folder}/echo.py"]')
        with pytest.raises(Guarded) as refused:
            stack.fleet.plan()
        (problem,) = refused.value.problems
        assert "1 agent outside this stack would lose it" in problem.message
        assert problem.hint == "`--allow-destroy 'mcp_servers.echo'` consents"
        stack.fleet.apply(allow_destroy=("mcp_servers.echo",))
        assert stack.tools_of("ann") == {"say", "add"}
        assert stack.fleet.raw.get(f"/v1/agents/{guest['id']}").json()["tools"] == []
    finally:
        stack.fleet.raw.delete(f"/v1/agents/{guest['id']}")


def test_prune_keeps_server_whose_tools_foreign_agents_use(stack: McpStack) -> None:
    stack.build()
    guest = stack.raw_client("say")
    try:
        stack.fleet.write("agents: {ann: {include_base_tools: false, tools: []}}")
        plan = stack.fleet.plan(prune=True)
        assert [(str(u.address), u.reason) for u in plan.unmanaged] == [
            ("mcp_servers.echo", "kept: 1 agent outside this stack uses it")
        ]
        flow.apply(stack.fleet.source, stack.fleet.connection, PlanOptions(prune=True), consent=True)
        assert stack.server()
    finally:
        stack.fleet.raw.delete(f"/v1/agents/{guest['id']}")
    flow.apply(stack.fleet.source, stack.fleet.connection, PlanOptions(prune=True), consent=True)
    assert (stack.servers(), stack.tools()) == ([], {})


def test_unreachable_server_is_replaced_by_working_type(stack: McpStack) -> None:
    # created by hand with an unreachable address: 0.16.8 reports nothing and registers no tools
    config = {"mcp_server_type": "sse", "server_url": "https://nobody.invalid/mcp"}
    body = {"server_name": stack.fleet.stack, "config": config}
    old = stack.fleet.raw.post("/v1/mcp-servers/", json=body).raise_for_status().json()
    flow.adopt(stack.fleet.source, stack.fleet.connection, "mcp_servers.echo", old["id"])
    plan = stack.fleet.plan()
    assert "`type` cannot be changed on an existing mcp_server: replaced" in text.plan(plan)
    stack.fleet.apply()
    assert (stack.server()["mcp_server_type"], stack.server()["id"] != old["id"], stack.tools_of("ann")) == (
        "stdio",
        True,
        {"say", "add"},
    )


def test_type_change_attaches_tools_again(tmp_path: Path) -> None:
    """On the stand-in, which opens no connections: from stdio to HTTP, and to the other HTTP type."""
    standin, url = StandIn(), "https://tools.example/mcp"
    with serve(standin) as server:
        fleet = Fleet(server, "letta/letta-free", "letta/letta-free", None, tmp_path, "t-type")
        stack = McpStack(fleet)
        stack.write_script()
        stack.write()
        fleet.apply()
        offers = [{"name": tool["name"], "description": "D.", "inputSchema": {}} for tool in stack.tools().values()]
        standin.offers[(url,)] = offers
        for kind in ("streamable_http", "sse", "stdio"):
            before = stack.server()["id"]
            http = {"command": "", "args": "", "url": url}
            stack.write(type=kind, **({} if kind == "stdio" else http))
            assert ("replace", "mcp_servers.echo") in [(c.action, str(c.address)) for c in fleet.plan().changes]
            fleet.apply()
            assert (stack.server()["mcp_server_type"], stack.server()["id"] != before) == (kind, True)
            assert stack.tools_of("ann") == {"say", "add"}
        fleet.clear()


def test_apply_recreates_server_deleted_by_others(stack: McpStack) -> None:
    stack.build()
    stack.fleet.raw.delete(f"/v1/mcp-servers/{stack.server()['id']}").raise_for_status()
    assert stack.tools_of("ann") == set()
    stack.fleet.apply()
    assert stack.tools_of("ann") == {"say", "add"}


@pytest.mark.parametrize("end", ["/v1/mcp-servers/", "/refresh"])
def test_apply_resumes_after_interrupted_create(stack: McpStack, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    assert (
        len(stack.fleet.apply_interrupted(monkeypatch, lambda method, path: method != "GET" and path.endswith(end)))
        == 1
    )
    assert len(stack.servers()) == 1
    stack.fleet.apply()
    assert (len(stack.servers()), stack.tools_of("ann")) == (1, {"say", "add"})


def test_rename_refuses_name_of_foreign_server(stack: McpStack) -> None:
    # on a rename, 0.16.8 deletes the server that has the new name
    stack.build()
    config = {"mcp_server_type": "stdio", "command": "/no/such", "args": []}
    name = f"{stack.fleet.stack}-theirs"
    body = {"server_name": name, "config": config}
    theirs = stack.fleet.raw.post("/v1/mcp-servers/", json=body).raise_for_status().json()
    stack.write(name=name)
    (problem,) = stack.refused_problems()
    assert f"the mcp_server `{name}` already exists and belongs to somebody else ({theirs['id']})" in problem.message
    stack.write(name=f"{stack.fleet.stack}-ours")
    stack.fleet.apply()
    assert {each["server_name"] for each in stack.servers()} == {name, f"{stack.fleet.stack}-ours"}


def test_plan_refuses_name_of_foreign_server(stack: McpStack) -> None:
    body = {"server_name": stack.fleet.stack, "config": {"mcp_server_type": "stdio", "command": "/no", "args": []}}
    theirs = stack.fleet.raw.post("/v1/mcp-servers/", json=body).raise_for_status().json()
    (problem,) = [each for each in stack.refused_problems() if "already exists" in each.message]
    assert f"lettaform import 'mcp_servers.echo' {theirs['id']}" in str(problem.hint)


def test_apply_fails_when_server_offers_no_tools(stack: McpStack, monkeypatch: pytest.MonkeyPatch) -> None:
    # the script exists at plan time and is gone at apply time: 0.16.8 answers 200 and registers no tools
    def delete_script(plan: Plan) -> bool:
        stack.script.unlink()
        return True

    _, report = flow.apply(stack.fleet.source, stack.fleet.connection, consent=delete_script)
    assert failed(report) == ["mcp_servers.echo!refresh"]
    stack.write_script()
    stack.fleet.apply()
    assert stack.tools_of("ann") == {"say", "add"}


def test_plan_shows_server_message_when_stdio_is_disabled(tmp_path: Path) -> None:
    """On the stand-in: a Letta server starts no programs unless MCP_DISABLE_STDIO=false."""
    standin, message = StandIn(), "MCP stdio servers are disabled. Set MCP_DISABLE_STDIO=false to enable them."

    def refuse(ask: Ask) -> None:
        if ask.method == "POST" and ("mcp-servers" in ask.path or "mcp/servers" in ask.path):
            raise Refusal(400, message)

    standin.before = refuse
    with serve(standin) as server:
        fleet = Fleet(server, "letta/letta-free", "letta/letta-free", None, tmp_path, "t-none")
        stack = McpStack(fleet)
        stack.write_script()
        stack.write()
        (problem,) = stack.refused_problems()
        assert message in problem.message


def test_old_routes_show_same_servers(stack: McpStack) -> None:
    stack.build()
    name, old = stack.fleet.stack, "/v1/tools/mcp/servers"
    raw, http = stack.fleet.raw, {"mcp_server_type": "sse", "server_url": "https://nobody.invalid/"}
    http |= {"auth_header": "Authorization", "auth_token": "t-secret"}
    raw.post("/v1/mcp-servers/", json={"server_name": f"{name}-http", "config": http}).raise_for_status()
    listed = raw.get(old).json()
    assert isinstance(listed, dict)
    assert listed[name]["command"] == sys.executable
    shown = [listed[f"{name}-http"], *stack.servers()]  # both show the token in clear text
    assert [each["auth_token"] for each in shown if "auth_token" in each] == ["Bearer t-secret"] * 2
    body = {"server_name": name, "type": "stdio", "command": sys.executable, "args": [str(stack.script)]}
    assert raw.put(old, json=body).status_code == 409  # no upsert
    say = stack.tools()["say"]
    assert raw.post(f"{old}/{name}/{say['name']}").json()["id"] == say["id"]
    ran = raw.post(
        f"/v1/mcp-servers/{stack.server_called(name)}/tools/{say['id']}/run", json={"args": {"word": "hello"}}
    )
    assert "hello" in ran.text
    assert raw.post(f"{old}/{name}/no_such_tool", headers={"Connection": "close"}).status_code == 500


def failed(report: Report | None) -> Sequence[str]:
    assert report is not None
    assert report.exit_code == 5
    return [outcome.step.key for outcome in report.of("failed")]
