"""MCP servers over HTTP on a real server: tokens and headers reach the MCP server from plan, apply and agents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from lettaform.cli import cli
from tests.live.conftest import Letta
from tests.live.fleet import Fleet
from tests.live.http_mcp import HttpMcp, Unreachable, serve_mcp

TOKEN, OTHER = "token-1a2b-do-not-tell", "token-3c4d-do-not-tell"
KEY, OTHER_KEY = "key-5e6f-do-not-tell", "key-7a8b-do-not-tell"
KINDS = ("streamable_http", "sse")


class HttpMcpStack:
    """A stack with an MCP server over HTTP whose two tools an agent has."""

    def __init__(self, fleet: Fleet, mcp: HttpMcp, url: str) -> None:
        self.fleet, self.mcp, self.letta = fleet, mcp, url
        self.tools = list(mcp.tools)

    def write(self, kind: str, *, token: str = TOKEN, key: str | None = KEY) -> None:
        """Write the manifest; without `key` it declares no headers, an empty `key` clears them."""
        url = self.mcp.sse if kind == "sse" else self.mcp.url
        fields = {"name": self.fleet.stack, "type": kind, "url": url, "token": token}
        fields |= {} if key is None else {"headers": f"{{X-Key: {key}}}" if key else "null"}
        lines = "".join(f"    {name}: {value}\n" for name, value in fields.items())
        tools = "".join(f"  {name}: {{mcp: house}}\n" for name in self.tools)
        agent = f"  ann: {{include_base_tools: false, tools: [{', '.join(self.tools)}]}}\n"
        self.fleet.write(f"mcp_servers:\n  house:\n{lines}tools:\n{tools}agents:\n{agent}")

    def run(self, *words: str) -> Result:
        """Run the command line in the stack's folder."""
        return CliRunner().invoke(cli, ["-C", str(self.fleet.folder), "--server", self.letta, *words])

    def planned(self) -> dict[str, tuple[str, list[tuple[str, bool]]]]:
        """The planned changes: address to action and fields, each with whether it is secret."""
        plan = json.loads(self.run("plan", "--json").stdout)
        return {
            change["address"]: (change["action"], [(field["path"], field["secret"]) for field in change["fields"]])
            for change in plan["changes"]
        }

    def apply(self, *words: str) -> None:
        """Apply, and assert that nothing is left to plan."""
        applied = self.run("apply", "-y", *words)
        assert applied.exit_code == 0, applied.output

    def servers(self) -> list[dict[str, Any]]:
        found = self.fleet.raw.get("/v1/mcp-servers/").raise_for_status().json()
        return [each for each in found if each["server_name"] == self.fleet.stack]

    def server(self) -> dict[str, Any]:
        (mine,) = self.servers()
        return mine

    def ids(self) -> dict[str, str]:
        """The ids of the agent's tools, by name."""
        return {tool["name"]: tool["id"] for tool in self.fleet.agent("ann")["tools"]}

    def described(self) -> set[str]:
        """The descriptions of those tools."""
        return {tool["description"] for tool in self.fleet.agent("ann")["tools"]}

    def call_tool(self) -> tuple[str | None, str | None]:
        """Call a tool of the agent; return the token and the header that arrived with the call."""
        name, id = min(self.ids().items())
        path = f"/v1/mcp-servers/{self.server()['id']}/tools/{id}/run"
        answer = self.fleet.raw.post(path, json={"args": {"word": "hello"}}).raise_for_status().json()
        assert f"{name} says hello" in str(answer["func_return"]), answer
        headers = self.mcp.requests_of("tools/call")[-1].headers
        return headers.get("Authorization"), headers.get("X-Key")

    def require(self, token: str, key: str | None) -> None:
        """From now on, the MCP server accepts only these credentials."""
        self.mcp.token, self.mcp.headers = token, {"X-Key": key} if key else {}


@pytest.fixture
def stack(fleet: Fleet, letta: Letta, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpMcpStack]:
    if httpx.URL(letta.url).host not in ("127.0.0.1", "localhost"):
        pytest.skip("the Letta server is not on this machine, so that it does not see this one's loopback interface")
    if letta.password:
        monkeypatch.setenv("LETTA_API_KEY", letta.password)
    word = fleet.stack.replace("-", "_")
    try:
        with serve_mcp({f"{word}_one": "Says it.", f"{word}_two": "Says it, too."}) as mcp:
            made = HttpMcpStack(fleet, mcp, letta.url)
            made.require(TOKEN, KEY)
            yield made
            assert made.run("destroy", "-y", "--allow-destroy", "*").exit_code == 0
    except Unreachable as error:
        pytest.skip(str(error))


def token_and_headers_are_sent(stack: HttpMcpStack) -> None:
    stack.write("streamable_http")
    stack.apply()
    assert sorted(stack.ids()) == sorted(stack.tools)
    assert stack.call_tool() == (f"Bearer {TOKEN}", KEY)
    assert stack.mcp.refused == 0


def wrong_token_is_refused_by_plan_and_old_one_kept(stack: HttpMcpStack) -> None:
    kind = stack.server()["mcp_server_type"]
    stack.write(kind, token=OTHER, key=KEY)
    refused = stack.run("plan")
    assert (refused.exit_code, stack.mcp.refused) == (1, 1)
    assert "mcp_servers.house: the server cannot reach it" in refused.stderr
    assert stack.call_tool() == (f"Bearer {TOKEN}", KEY)
    stack.mcp.refused = 0


def new_token_is_shown_as_one_field_and_sent(stack: HttpMcpStack) -> None:
    before = stack.server()["id"], stack.ids()
    stack.require(OTHER, KEY)
    stack.write(stack.server()["mcp_server_type"], token=OTHER)
    assert stack.planned() == {"mcp_servers.house": ("update", [("token", True)])}
    shown = stack.run("--debug", "plan")
    assert re.search(r"~ token +‹secret› → ‹secret›", shown.stdout)
    assert not [secret for secret in (TOKEN, OTHER, KEY) if secret in shown.output]
    stack.apply()
    assert stack.call_tool() == (f"Bearer {OTHER}", KEY)
    assert ((stack.server()["id"], stack.ids()), stack.mcp.refused) == (before, 0)


def new_headers_are_sent_to_new_url(stack: HttpMcpStack) -> None:
    before, first_server = (stack.server()["id"], stack.ids()), stack.mcp
    with serve_mcp(dict.fromkeys(stack.tools, "Says it at the other place.")) as stack.mcp:
        stack.require(OTHER, OTHER_KEY)
        stack.write("streamable_http", token=OTHER, key=OTHER_KEY)
        fields = [("url", False), ("headers.X-Key", True)]
        assert stack.planned() == {"mcp_servers.house": ("update", fields)}
        stack.apply()
        assert stack.call_tool() == (f"Bearer {OTHER}", OTHER_KEY)
        assert stack.described() == {"Says it at the other place."}
    stack.mcp = first_server
    assert (stack.server()["id"], stack.ids()) == before


def new_type_replaces_server_and_attaches_tools_again(stack: HttpMcpStack) -> None:
    before, ids = stack.server()["id"], stack.ids()
    stack.require(TOKEN, None)
    stack.write("sse", key=None)
    assert stack.planned()["mcp_servers.house"][0] == "replace"
    stack.apply("--allow-destroy", "mcp_servers.house")
    assert (stack.server()["mcp_server_type"], stack.server()["id"] == before) == ("sse", False)
    assert sorted(stack.ids()) == sorted(stack.tools)
    assert not set(stack.ids().values()) & set(ids.values())


def token_is_sent_without_headers(stack: HttpMcpStack) -> None:
    assert stack.call_tool() == (f"Bearer {TOKEN}", None)
    assert stack.mcp.requests_of("tools/call")[-1].transport == "sse"


def added_headers_keep_token(stack: HttpMcpStack) -> None:
    stack.require(TOKEN, KEY)
    stack.write("sse")
    assert stack.planned() == {"mcp_servers.house": ("update", [("headers.X-Key", True)])}
    stack.apply()
    assert stack.call_tool() == (f"Bearer {TOKEN}", KEY)


def cleared_headers_keep_token(stack: HttpMcpStack) -> None:
    stack.require(OTHER, None)
    stack.write("sse", token=OTHER, key="")
    assert stack.planned() == {"mcp_servers.house": ("update", [("headers", True)])}
    stack.apply()
    assert stack.call_tool() == (f"Bearer {OTHER}", None)


def test_credentials_are_sent_updated_and_cleared(stack: HttpMcpStack) -> None:
    """One test, because each step needs the one before it; the second half uses SSE."""
    token_and_headers_are_sent(stack)
    wrong_token_is_refused_by_plan_and_old_one_kept(stack)
    new_token_is_shown_as_one_field_and_sent(stack)
    new_headers_are_sent_to_new_url(stack)
    new_type_replaces_server_and_attaches_tools_again(stack)
    token_is_sent_without_headers(stack)
    added_headers_keep_token(stack)
    new_token_is_shown_as_one_field_and_sent(stack)
    cleared_headers_keep_token(stack)
    assert stack.planned() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_plan_refuses_wrong_token_before_create(stack: HttpMcpStack, kind: str) -> None:
    stack.write(kind, token=OTHER)
    refused = stack.run("plan", "--json")
    assert refused.exit_code == 1
    problems = [problem["message"] for problem in json.loads(refused.stdout)["problems"]]
    assert problems[0].startswith("mcp_servers.house: the server cannot reach it")
    assert OTHER not in refused.output
    assert (stack.mcp.refused, stack.servers()) == (1, [])


def test_key_inside_url_is_sent_hidden_and_compared(stack: HttpMcpStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """MCP services ask people to put a key into the URL."""
    stack.require(TOKEN, None)
    stack.write("streamable_http", key=None)
    path = stack.fleet.folder / "lettaform.yaml"
    url = f"{stack.mcp.url}?key=${{env.MCP_KEY}}"
    path.write_text(path.read_text().replace(f"url: {stack.mcp.url}", f'url: "{url}"'))
    shown = f"{stack.mcp.url}?key=‹secret›"
    for key in (KEY, OTHER_KEY):
        monkeypatch.setenv("MCP_KEY", key)
        planned = stack.run("plan", "-v", "--debug")
        assert shown in planned.stdout, planned.output
        stack.apply("--debug")
        assert stack.server()["server_url"] == f"{stack.mcp.url}?key={key}"
        assert stack.planned() == {}
        assert shown in stack.run("show", "mcp_servers.house").stdout
        assert not [secret for secret in (KEY, OTHER_KEY) if secret in planned.output]
    monkeypatch.delenv("MCP_KEY")
    assert shown in stack.run("show", "mcp_servers.house").stdout
    assert stack.run("plan").exit_code == 1
