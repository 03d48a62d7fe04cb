"""MCP servers over HTTP: what they are told of who asks, by the plan, by the apply, and by agents after it."""

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
from tests.live.http_mcp import HttpMcp, Unreachable, serving

TOKEN, OTHER = "token-1a2b-do-not-tell", "token-3c4d-do-not-tell"
KEY, OTHER_KEY = "key-5e6f-do-not-tell", "key-7a8b-do-not-tell"
KINDS = ("streamable_http", "sse")


class Rig:
    """A stack with an MCP server over HTTP, whose two tools an agent has."""

    def __init__(self, fleet: Fleet, mcp: HttpMcp, url: str) -> None:
        self.fleet, self.mcp, self.letta = fleet, mcp, url
        self.tools = list(mcp.tools)

    def write(self, kind: str, *, token: str = TOKEN, key: str | None = KEY) -> None:
        """The manifest; without `key` it says nothing of headers, and an empty one clears them."""
        url = self.mcp.sse if kind == "sse" else self.mcp.url
        said = {"name": self.fleet.stack, "type": kind, "url": url, "token": token}
        said |= {} if key is None else {"headers": f"{{X-Key: {key}}}" if key else "null"}
        lines = "".join(f"    {name}: {value}\n" for name, value in said.items())
        tools = "".join(f"  {name}: {{mcp: house}}\n" for name in self.tools)
        agent = f"  ann: {{include_base_tools: false, tools: [{', '.join(self.tools)}]}}\n"
        self.fleet.write(f"mcp_servers:\n  house:\n{lines}tools:\n{tools}agents:\n{agent}")

    def run(self, *words: str) -> Result:
        """lettaform, as it is typed in the fleet's folder."""
        return CliRunner().invoke(cli, ["-C", str(self.fleet.folder), "--server", self.letta, *words])

    def planned(self) -> dict[str, tuple[str, list[tuple[str, bool]]]]:
        """What would change: address to action, and fields with whether they are secret."""
        plan = json.loads(self.run("plan", "--json").stdout)
        return {
            change["address"]: (change["action"], [(field["path"], field["secret"]) for field in change["fields"]])
            for change in plan["changes"]
        }

    def apply(self, *words: str) -> None:
        """Nothing is left to do: the plan of the next step is that step alone."""
        applied = self.run("apply", "-y", *words)
        assert applied.exit_code == 0, applied.output

    def servers(self) -> list[dict[str, Any]]:
        found = self.fleet.raw.get("/v1/mcp-servers/").raise_for_status().json()
        return [each for each in found if each["server_name"] == self.fleet.stack]

    def server(self) -> dict[str, Any]:
        (mine,) = self.servers()
        return mine

    def ids(self) -> dict[str, str]:
        """The tools that the agent has, by name."""
        return {tool["name"]: tool["id"] for tool in self.fleet.agent("ann")["tools"]}

    def described(self) -> set[str]:
        """What those tools say of themselves."""
        return {tool["description"] for tool in self.fleet.agent("ann")["tools"]}

    def runs(self) -> tuple[str | None, str | None]:
        """Call a tool of the agent's: the token and the header that arrived with the call."""
        name, id = min(self.ids().items())
        path = f"/v1/mcp-servers/{self.server()['id']}/tools/{id}/run"
        answer = self.fleet.raw.post(path, json={"args": {"word": "hello"}}).raise_for_status().json()
        assert f"{name} says hello" in str(answer["func_return"]), answer
        headers = self.mcp.asked("tools/call")[-1].headers
        return headers.get("Authorization"), headers.get("X-Key")

    def wants(self, token: str, key: str | None) -> None:
        """From now on the MCP server lets in nobody else."""
        self.mcp.token, self.mcp.headers = token, {"X-Key": key} if key else {}


@pytest.fixture
def rig(fleet: Fleet, letta: Letta, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    if httpx.URL(letta.url).host not in ("127.0.0.1", "localhost"):
        pytest.skip("the Letta server is not on this machine, so that it does not see this one's loopback interface")
    if letta.password:
        monkeypatch.setenv("LETTA_API_KEY", letta.password)
    word = fleet.stack.replace("-", "_")
    try:
        with serving({f"{word}_one": "Says it.", f"{word}_two": "Says it, too."}) as mcp:
            made = Rig(fleet, mcp, letta.url)
            made.wants(TOKEN, KEY)
            yield made
            assert made.run("destroy", "-y", "--allow-destroy", "*").exit_code == 0
    except Unreachable as error:
        pytest.skip(str(error))


def token_and_headers_arrive(rig: Rig) -> None:
    rig.write("streamable_http")
    rig.apply()
    assert sorted(rig.ids()) == sorted(rig.tools)
    assert rig.runs() == (f"Bearer {TOKEN}", KEY)
    assert rig.mcp.refused == 0


def who_is_not_let_in_is_told_before_what_works_is_given_up(rig: Rig) -> None:
    kind = rig.server()["mcp_server_type"]
    rig.write(kind, token=OTHER, key=KEY)
    refused = rig.run("plan")
    assert (refused.exit_code, rig.mcp.refused) == (1, 1)
    assert "mcp_servers.house: the server cannot reach it" in refused.stderr
    assert rig.runs() == (f"Bearer {TOKEN}", KEY)
    rig.mcp.refused = 0


def a_new_token_is_one_field_and_arrives(rig: Rig) -> None:
    before = rig.server()["id"], rig.ids()
    rig.wants(OTHER, KEY)
    rig.write(rig.server()["mcp_server_type"], token=OTHER)
    assert rig.planned() == {"mcp_servers.house": ("update", [("token", True)])}
    shown = rig.run("--debug", "plan")
    assert re.search(r"~ token +‹secret› → ‹secret›", shown.stdout)
    assert not [secret for secret in (TOKEN, OTHER, KEY) if secret in shown.output]
    rig.apply()
    assert rig.runs() == (f"Bearer {OTHER}", KEY)
    assert ((rig.server()["id"], rig.ids()), rig.mcp.refused) == (before, 0)


def other_headers_arrive_at_another_url(rig: Rig) -> None:
    before, here = (rig.server()["id"], rig.ids()), rig.mcp
    with serving(dict.fromkeys(rig.tools, "Says it at the other place.")) as rig.mcp:
        rig.wants(OTHER, OTHER_KEY)
        rig.write("streamable_http", token=OTHER, key=OTHER_KEY)
        fields = [("url", False), ("headers.X-Key", True)]
        assert rig.planned() == {"mcp_servers.house": ("update", fields)}
        rig.apply()
        assert rig.runs() == (f"Bearer {OTHER}", OTHER_KEY)
        assert rig.described() == {"Says it at the other place."}
    rig.mcp = here
    assert (rig.server()["id"], rig.ids()) == before


def another_type_is_another_server_whose_tools_go_to_those_who_name_them(rig: Rig) -> None:
    before, ids = rig.server()["id"], rig.ids()
    rig.wants(TOKEN, None)
    rig.write("sse", key=None)
    assert rig.planned()["mcp_servers.house"][0] == "replace"
    rig.apply("--allow-destroy", "mcp_servers.house")
    assert (rig.server()["mcp_server_type"], rig.server()["id"] == before) == ("sse", False)
    assert sorted(rig.ids()) == sorted(rig.tools)
    assert not set(rig.ids().values()) & set(ids.values())


def a_token_goes_alone(rig: Rig) -> None:
    assert rig.runs() == (f"Bearer {TOKEN}", None)
    assert rig.mcp.asked("tools/call")[-1].over == "sse"


def headers_beside_a_token_take_nothing_from_it(rig: Rig) -> None:
    rig.wants(TOKEN, KEY)
    rig.write("sse")
    assert rig.planned() == {"mcp_servers.house": ("update", [("headers.X-Key", True)])}
    rig.apply()
    assert rig.runs() == (f"Bearer {TOKEN}", KEY)


def headers_that_are_cleared_leave_the_token(rig: Rig) -> None:
    rig.wants(OTHER, None)
    rig.write("sse", token=OTHER, key="")
    assert rig.planned() == {"mcp_servers.house": ("update", [("headers", True)])}
    rig.apply()
    assert rig.runs() == (f"Bearer {OTHER}", None)


def test_what_is_told_of_who_asks(rig: Rig) -> None:
    """One test, since the steps build on one another; the second half speaks SSE."""
    token_and_headers_arrive(rig)
    who_is_not_let_in_is_told_before_what_works_is_given_up(rig)
    a_new_token_is_one_field_and_arrives(rig)
    other_headers_arrive_at_another_url(rig)
    another_type_is_another_server_whose_tools_go_to_those_who_name_them(rig)
    a_token_goes_alone(rig)
    headers_beside_a_token_take_nothing_from_it(rig)
    a_new_token_is_one_field_and_arrives(rig)
    headers_that_are_cleared_leave_the_token(rig)
    assert rig.planned() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_not_let_in_is_told_before_anything_is_made(rig: Rig, kind: str) -> None:
    rig.write(kind, token=OTHER)
    refused = rig.run("plan", "--json")
    assert refused.exit_code == 1
    problems = [problem["message"] for problem in json.loads(refused.stdout)["problems"]]
    assert problems[0].startswith("mcp_servers.house: the server cannot reach it")
    assert OTHER not in refused.output
    assert (rig.mcp.refused, rig.servers()) == (1, [])
