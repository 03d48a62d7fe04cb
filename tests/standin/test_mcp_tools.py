"""The tools that MCP servers offer on a stand-in: configured ones, or the functions of a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.standin import StandIn

SCRIPT = '''
@mcp.tool(title="Finds")
async def find(word: str, most: int = 3) -> str:
    """Finds it."""

@tool
def drop(word: str) -> str:
    """Drops it."""

@other
def no_tool() -> str:
    """None."""
'''


def offered(standin: StandIn, **config: Any) -> dict[str, Any]:
    client = httpx.Client(transport=standin, base_url="http://stand.in")
    created = client.post("/v1/mcp-servers/", json={"server_name": "s", "config": config}).raise_for_status().json()
    tools = client.get(f"/v1/mcp-servers/{created['id']}/tools").raise_for_status().json()
    return {tool["name"]: tool["json_schema"]["parameters"]["required"] for tool in tools}


def test_tools_of_script_are_offered(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(SCRIPT)
    config: dict[str, Any] = {"mcp_server_type": "stdio", "command": "sh", "args": [str(script)]}
    own = "request_heartbeat"
    assert offered(StandIn(), **config) == {"find": ["word", own], "drop": ["word", own]}
    assert offered(StandIn(), **config | {"command": "no-such-command"}) == {}


def test_configured_tools_are_offered() -> None:
    standin = StandIn()
    tool = {"name": "t", "description": "T.", "inputSchema": {"type": "object", "properties": {}}}
    standin.offers = {("run", "it"): [tool], ("https://a.example/mcp",): [tool]}
    for config in (
        {"mcp_server_type": "stdio", "command": "no-such-command", "args": ["run", "it"]},
        {"mcp_server_type": "streamable_http", "server_url": "https://a.example/mcp"},
    ):
        assert offered(standin, **config).keys() == {"t"}
        standin.tables.mcp_servers.clear()
