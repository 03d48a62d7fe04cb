"""MCP servers: their tools, whose they are, and what a change changes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.face import Face, nobody, refusal, source

SCRIPT = Path(__file__).with_name("mcp_echo.py").read_text()
NOWHERE = "https://nobody.invalid/mcp"
KINDS = ("sse", "streamable_http")


@pytest.fixture
def script(server: Face, tmp_path: Path) -> Path:
    """A server whose tools have names of this test's own: the names of all tools share one space."""
    path = tmp_path / "echo.py"
    path.write_text(SCRIPT.replace("def say", f"def {server.word}_say").replace("def add", f"def {server.word}_add"))
    return path


def stdio(path: Path, **more: Any) -> dict[str, Any]:
    return {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(path)], **more}


def make(server: Face, config: dict[str, Any], name: str = "") -> dict[str, Any]:
    told = {"server_name": name or server.tag, "config": config}
    return dict(server.made("POST", "/v1/mcp-servers/", told))


def offered(server: Face, mcp: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its tools by the part of their names that is not the test's."""
    found = server.get(f"/v1/mcp-servers/{mcp['id']}/tools")
    return {tool["name"].removeprefix(f"{server.word}_"): tool for tool in found}


def named(server: Face, name: str) -> list[dict[str, Any]]:
    return list(server.get("/v1/tools/", name=f"{server.word}_{name}"))


def refresh(server: Face, mcp: dict[str, Any]) -> dict[str, list[str]]:
    done = server.made("PATCH", f"/v1/mcp-servers/{mcp['id']}/refresh")
    return {key: [name.removeprefix(f"{server.word}_") for name in names] for key, names in done.items()}


def test_birth(server: Face, script: Path) -> None:
    made = make(server, stdio(script, env={"A": "1"}))
    told = {"server_name": server.tag, "id": made["id"], **stdio(script, env={"A": "1"})}
    assert made == told == server.get(f"/v1/mcp-servers/{made['id']}")
    assert made in server.get("/v1/mcp-servers/")
    assert made in server.get("/v1/mcp-servers/", limit=0, after=made["id"])  # no pages
    tools = offered(server, made)
    assert tools.keys() == {"say", "add"}
    tool = tools["say"]
    assert named(server, "say") == [tool]
    assert (tool["tool_type"], tool["source_type"], tool["tags"]) == ("external_mcp", "python", [f"mcp:{server.tag}"])
    assert tool["metadata_"]["mcp"] == {"server_name": server.tag, "server_id": made["id"]}
    assert (tool["description"], tool["args_json_schema"]) == ("Says a word.", {})
    schema = tools["add"]["json_schema"]
    assert (schema["name"], schema["description"]) == (f"{server.word}_add", "Adds two numbers.")
    assert (schema["mcp:SCHEMA_STATUS"], schema["mcp:SCHEMA_WARNINGS"]) == ("STRICT_COMPLIANT", [])
    parameters = schema["parameters"]
    assert parameters["properties"].pop("request_heartbeat")["type"] == "boolean"
    assert parameters == {
        "type": "object",
        "properties": {"one": {"type": "integer"}, "two": {"type": "integer"}},
        "required": ["one", "request_heartbeat"],
        "additionalProperties": False,
    }


def test_a_name_is_unique(server: Face, script: Path) -> None:
    make(server, stdio(script))
    told = {"server_name": server.tag, "config": {"mcp_server_type": "sse", "server_url": NOWHERE}}
    status, detail = refusal(server.ask("POST", "/v1/mcp-servers/", told))
    assert status == 409
    assert f"Key (server_name, organization_id)=({server.tag}, <org>) already exists." in detail


def test_nobody_there(server: Face) -> None:
    nothing: dict[str, Any] = {"mcp_server_type": "stdio", "command": "/no/such", "args": []}
    for number, config in enumerate((nothing, {"mcp_server_type": "sse", "server_url": NOWHERE})):
        made = make(server, config, f"{server.tag}-{number}")
        assert offered(server, made) == {}
        answer = server.ask("PATCH", f"/v1/mcp-servers/{made['id']}/refresh")
        assert answer.status_code == 404
        said = f"Could not connect to MCP server {server.tag}-{number} to resync tools"
        detail = answer.json()["detail"]
        assert (detail["code"], detail["message"]) == ("MCPServerUnavailable", said)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/mcp", "Non-public IP not allowed: 127.0.0.1"),
        ("http://10.0.0.1/", "Non-public IP not allowed: 10.0.0.1"),
        ("http://localhost/", "Blocked internal hostname: localhost"),
        ("http://a.cluster.local/", "Blocked internal hostname: a.cluster.local"),
        ("ftp://a.example", "server_url must start with "),
        ("http://", "server_url must have a valid host, got: "),
        ("", "server_url cannot be empty"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_refused_urls(server: Face, kind: str, url: str, said: str) -> None:
    told = {"server_name": server.tag, "config": {"mcp_server_type": kind, "server_url": url}}
    answer = server.ask("POST", "/v1/mcp-servers/", told)
    assert refusal(answer) == (422, [("value_error", f"'body', 'config', '{kind}', 'server_url'")])
    assert f"Value error, {said}" in answer.json()["detail"]


def test_refused_bodies(server: Face) -> None:
    def refused(**told: Any) -> tuple[int, Any]:
        return refusal(server.ask("POST", "/v1/mcp-servers/", {"server_name": server.tag, **told}))

    at = "'body', 'config'"
    assert refused() == (422, [("missing", at)])
    assert refused(config="x") == (422, [("model_attributes_type", at)])
    assert refused(config={}) == (422, [("union_tag_not_found", at)])
    assert refused(config={"mcp_server_type": "x"}) == (422, [("union_tag_invalid", at)])
    fault = ("missing", f"{at}, 'stdio', 'args'")
    assert refused(config={"mcp_server_type": "stdio", "command": "c"}) == (422, [fault])
    config = {"mcp_server_type": "sse", "server_url": NOWHERE}
    assert refused(config={**config, "x": 1}) == (422, [("extra_forbidden", f"{at}, 'sse', 'x'")])
    assert refused(config=config, x=1) == (422, [("extra_forbidden", "'body', 'x'")])


def test_tokens(server: Face) -> None:
    config = {"mcp_server_type": "streamable_http", "server_url": NOWHERE, "custom_headers": {}}
    made = make(server, {**config, "auth_token": "t"}, f"{server.tag}-one")
    keys = ("auth_header", "auth_token", "custom_headers")
    assert [made[key] for key in keys] == [None] * 3  # no header, no token
    for kind in KINDS:
        told = {**config, "mcp_server_type": kind, "auth_header": "X-Key", "custom_headers": {"a": "b"}}
        for number, token in enumerate(("t", "Bearer t")):
            made = make(server, {**told, "auth_token": token}, f"{server.tag}-{kind}-{number}")
            assert [made[key] for key in keys] == ["Authorization", "Bearer t", {"a": "b"}]
        told |= {"auth_header": "Authorization", "custom_headers": {"Authorization": "Bearer h"}}
        made = make(server, {**told, "auth_token": "t"}, f"{server.tag}-{kind}-twice")
        assert [made[key] for key in keys] == [None, None, {"Authorization": "Bearer h"}]  # said twice, kept once


def test_patch_of_a_url(server: Face) -> None:
    told = {"server_url": NOWHERE, "auth_header": "Authorization", "auth_token": "t", "custom_headers": {"a": "b"}}
    made = {kind: make(server, {"mcp_server_type": kind, **told}, kind + server.tag) for kind in KINDS}
    for kind, each in made.items():
        path = f"/v1/mcp-servers/{each['id']}"
        answer = server.ask("PATCH", path, {"config": {"mcp_server_type": kind}})
        assert refusal(answer) == (422, [("missing", f"'body', 'config', '{kind}', 'server_url'")])
        assert server.made("PATCH", path, {"config": {"mcp_server_type": kind, "server_url": None}}) == each
        other = {"mcp_server_type": kind, "server_url": f"{NOWHERE}/2", "custom_headers": {}}
        now = server.made("PATCH", path, {"config": other})
        assert now == {**each, "server_url": f"{NOWHERE}/2", "custom_headers": {}}
        # a token is set by `sse` alone, whatever the server is
        for told_kind, token in (("streamable_http", "Bearer t"), ("sse", "Bearer new")):
            config = {"mcp_server_type": told_kind, "server_url": None, "auth_header": "X", "auth_token": "new"}
            now = server.made("PATCH", path, {"config": config})
            assert (now["auth_token"], now["mcp_server_type"]) == (token, kind)
        assert server.made("PATCH", path, {"config": stdio(Path("x"))}) == now


def test_patch_of_a_command(server: Face, script: Path) -> None:
    made = make(server, stdio(script, env={"A": "1"}))
    path = f"/v1/mcp-servers/{made['id']}"
    answer = server.ask("PATCH", path, {"server_name": "n"})
    assert refusal(answer) == (422, [("missing", "'body', 'config'")])
    answer = server.ask("PATCH", path, {"config": {"mcp_server_type": "stdio"}})
    place = "'body', 'config', 'stdio'"
    assert refusal(answer) == (422, [("missing", f"{place}, 'command'"), ("missing", f"{place}, 'args'")])
    config = stdio(script, command=None)
    now = server.made("PATCH", path, {"server_name": f"{server.tag}-other", "config": config})
    assert now == {**made, "server_name": f"{server.tag}-other"}
    assert offered(server, made)["say"]["tags"] == [f"mcp:{server.tag}"]  # the name of before
    assert server.made("PATCH", path, {"config": stdio(script)})["env"] is None
    config = {"mcp_server_type": "sse", "server_url": NOWHERE}
    assert server.made("PATCH", path, {"config": config})["mcp_server_type"] == "stdio"
    assert server.made("PATCH", path, {"config": stdio(script, args=["x"])})["args"] == ["x"]
    assert offered(server, made).keys() == {"say", "add"}  # nothing follows


def test_refresh(server: Face, script: Path) -> None:
    made = make(server, stdio(script))
    before = offered(server, made)
    assert refresh(server, made) == {"deleted": [], "updated": [], "added": []}
    agent = server.agent(tags=["t"], tool_ids=[tool["id"] for tool in before.values()])
    text = script.read_text().replace(f"def {server.word}_add", f"def {server.word}_sub")
    script.write_text(text.replace("(word: str)", "(word: str, more: int)"))
    assert refresh(server, made) == {"deleted": ["add"], "updated": ["say"], "added": ["sub"]}
    now = offered(server, made)
    assert now["say"]["id"] == before["say"]["id"]
    assert "more" in now["say"]["json_schema"]["parameters"]["properties"]
    assert now.keys() == {"say", "sub"}
    assert [tool["name"] for tool in server.again(agent)["tools"]] == [f"{server.word}_say"]


def test_a_renamed_server_deletes_who_has_the_name(server: Face, script: Path) -> None:
    made, other = make(server, stdio(script)), make(server, stdio(script, args=["x"]), f"{server.tag}-other")
    tools = offered(server, made)
    server.made("PATCH", f"/v1/mcp-servers/{other['id']}", {"server_name": server.tag, "config": stdio(script)})
    assert server.ask("GET", f"/v1/mcp-servers/{made['id']}").status_code == 404
    assert offered(server, made) == tools  # nobody's now
    assert server.ask("DELETE", f"/v1/mcp-servers/{made['id']}").status_code == 400
    for tool in tools.values():
        server.made("DELETE", f"/v1/tools/{tool['id']}")


def test_a_custom_tool_of_the_name_is_taken(server: Face, script: Path) -> None:
    name = f"{server.word}_say"
    custom = server.tool(name, tags=["mine"], return_char_limit=77, default_requires_approval=True)
    made = make(server, stdio(script))
    (tool,) = named(server, "say")
    assert (tool["id"], tool["tool_type"], tool["tags"]) == (custom["id"], "external_mcp", [f"mcp:{server.tag}"])
    assert (tool["return_char_limit"], tool["default_requires_approval"]) == (50_000, None)
    back = server.made("PUT", "/v1/tools/", {"source_code": source(name), "source_type": "python"})
    assert (back["id"], back["tool_type"], back["tags"]) == (custom["id"], "custom", [f"mcp:{server.tag}"])
    assert offered(server, made)["say"]["tool_type"] == "custom"
    assert refresh(server, made)["added"] == ["say"]
    assert named(server, "say")[0]["tool_type"] == "external_mcp"
    server.made("DELETE", f"/v1/tools/{custom['id']}")
    assert offered(server, made).keys() == {"add"}
    assert refresh(server, made)["added"] == ["say"]
    assert named(server, "say")[0]["id"] != custom["id"]


def test_two_servers_of_the_same_tools(server: Face, script: Path) -> None:
    one = make(server, stdio(script))
    ids = {tool["id"] for tool in offered(server, one).values()}
    two = make(server, stdio(script), f"{server.tag}-two")
    for each in (one, two):  # both show them, the second has them
        tools = offered(server, each).values()
        assert {(tool["id"], tool["metadata_"]["mcp"]["server_id"]) for tool in tools} == {
            (id, two["id"]) for id in ids
        }
    assert set(refresh(server, one)["added"]) == {"say", "add"}
    assert {tool["metadata_"]["mcp"]["server_id"] for tool in offered(server, two).values()} == {one["id"]}
    server.client.delete(f"/v1/mcp-servers/{two['id']}")
    assert {tool["id"] for tool in offered(server, one).values()} == ids


def test_delete(server: Face, script: Path) -> None:
    made = make(server, stdio(script))
    tool = offered(server, made)["say"]
    rules = [{"tool_name": tool["name"], "type": "continue_loop", "prompt_template": None}]
    agent = server.agent(tags=["t"], tool_ids=[tool["id"]], tool_rules=rules, include_base_tool_rules=False)
    path = f"/v1/mcp-servers/{made['id']}"
    answer = server.ask("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert named(server, "say") == []
    now = server.again(agent)
    assert (now["tools"], now["tool_rules"]) == ([], rules)
    answer = server.ask("DELETE", path)
    assert (answer.status_code, answer.json()["detail"]) == (400, f"MCP server with id {made['id']} not found.")


def test_missing(server: Face) -> None:
    for id in (nobody("mcp_server"), "nonsense"):
        said = f"MCPServer not found with id='['{id}']', access level in ['read']"
        path = f"/v1/mcp-servers/{id}"
        assert refusal(server.ask("GET", path)) == (404, said)
        assert refusal(server.ask("PATCH", f"{path}/refresh")) == (404, said)
        config = {"mcp_server_type": "sse", "server_url": None}
        assert refusal(server.ask("PATCH", path, {"config": config})) == (404, said)
        assert server.get(f"{path}/tools") == []


def test_a_trial(server: Face, script: Path) -> None:
    path, before = "/v1/tools/mcp/servers/test", server.get("/v1/mcp-servers/")
    told: dict[str, Any] = {
        "server_name": server.tag,
        "type": "stdio",
        "command": sys.executable,
        "args": [str(script)],
    }
    answer = server.made("POST", path, told)
    assert answer["status"] == "success"
    assert [tool["name"] for tool in answer["tools"]] == [f"{server.word}_say", f"{server.word}_add"]
    apart = server.made("POST", path, {**told, "args": [f"-u {script}"]})  # it takes arguments apart at spaces
    assert apart["tools"] == answer["tools"]
    nothing = server.ask("POST", path, {**told, "command": "/no/such"})
    assert (nothing.status_code, nothing.json()["error"]["type"]) == (502, "mcp_connection_error")
    told = {"server_name": server.tag, "type": "sse", "server_url": NOWHERE}
    assert refusal(server.ask("POST", path, told)) == (400, "Cannot resolve hostname: nobody.invalid")
    inner = server.ask("POST", path, {**told, "server_url": "http://127.0.0.1:9/"})
    assert refusal(inner) == (400, "Non-public IP not allowed: 127.0.0.1")
    assert server.get("/v1/mcp-servers/") == before
    assert named(server, "say") == []
