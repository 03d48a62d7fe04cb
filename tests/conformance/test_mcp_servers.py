"""MCP servers: their tools, who owns them, and what an update changes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.server_under_test import Server, refusal, source, unknown_id

SCRIPT = Path(__file__).with_name("mcp_echo.py").read_text()
NOWHERE = "https://nobody.invalid/mcp"
KINDS = ("sse", "streamable_http")


@pytest.fixture
def script(server: Server, tmp_path: Path) -> Path:
    """An MCP server script whose tools have names unique to this test, because all tools share one name space."""
    path = tmp_path / "echo.py"
    path.write_text(
        SCRIPT.replace("def say", f"def {server.tool_name}_say").replace("def add", f"def {server.tool_name}_add")
    )
    return path


def stdio(path: Path, **more: Any) -> dict[str, Any]:
    return {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(path)], **more}


def create(server: Server, config: dict[str, Any], name: str = "") -> dict[str, Any]:
    body = {"server_name": name or server.tag, "config": config}
    return dict(server.call("POST", "/v1/mcp-servers/", body))


def tools_of(server: Server, mcp: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its tools, by their names without the test's prefix."""
    found = server.get(f"/v1/mcp-servers/{mcp['id']}/tools")
    return {tool["name"].removeprefix(f"{server.tool_name}_"): tool for tool in found}


def tool_named(server: Server, name: str) -> list[dict[str, Any]]:
    return list(server.get("/v1/tools/", name=f"{server.tool_name}_{name}"))


def refresh(server: Server, mcp: dict[str, Any]) -> dict[str, list[str]]:
    done = server.call("PATCH", f"/v1/mcp-servers/{mcp['id']}/refresh")
    return {key: [name.removeprefix(f"{server.tool_name}_") for name in names] for key, names in done.items()}


def test_create_registers_tools(server: Server, script: Path) -> None:
    created = create(server, stdio(script, env={"A": "1"}))
    body = {"server_name": server.tag, "id": created["id"], **stdio(script, env={"A": "1"})}
    assert created == body == server.get(f"/v1/mcp-servers/{created['id']}")
    assert created in server.get("/v1/mcp-servers/")
    assert created in server.get("/v1/mcp-servers/", limit=0, after=created["id"])  # not paged
    tools = tools_of(server, created)
    assert tools.keys() == {"say", "add"}
    tool = tools["say"]
    assert tool_named(server, "say") == [tool]
    assert (tool["tool_type"], tool["source_type"], tool["tags"]) == ("external_mcp", "python", [f"mcp:{server.tag}"])
    assert tool["metadata_"]["mcp"] == {"server_name": server.tag, "server_id": created["id"]}
    assert (tool["description"], tool["args_json_schema"]) == ("Says a word.", {})
    schema = tools["add"]["json_schema"]
    assert (schema["name"], schema["description"]) == (f"{server.tool_name}_add", "Adds two numbers.")
    assert (schema["mcp:SCHEMA_STATUS"], schema["mcp:SCHEMA_WARNINGS"]) == ("STRICT_COMPLIANT", [])
    parameters = schema["parameters"]
    assert parameters["properties"].pop("request_heartbeat")["type"] == "boolean"
    assert parameters == {
        "type": "object",
        "properties": {"one": {"type": "integer"}, "two": {"type": "integer"}},
        "required": ["one", "request_heartbeat"],
        "additionalProperties": False,
    }


def test_server_name_is_unique(server: Server, script: Path) -> None:
    create(server, stdio(script))
    body = {"server_name": server.tag, "config": {"mcp_server_type": "sse", "server_url": NOWHERE}}
    status, detail = refusal(server.ask("POST", "/v1/mcp-servers/", body))
    assert status == 409
    assert f"Key (server_name, organization_id)=({server.tag}, <org>) already exists." in detail


def test_unreachable_server_is_created_without_tools(server: Server) -> None:
    nothing: dict[str, Any] = {"mcp_server_type": "stdio", "command": "/no/such", "args": []}
    for number, config in enumerate((nothing, {"mcp_server_type": "sse", "server_url": NOWHERE})):
        created = create(server, config, f"{server.tag}-{number}")
        assert tools_of(server, created) == {}
        answer = server.ask("PATCH", f"/v1/mcp-servers/{created['id']}/refresh")
        assert answer.status_code == 404
        message = f"Could not connect to MCP server {server.tag}-{number} to resync tools"
        detail = answer.json()["detail"]
        assert (detail["code"], detail["message"]) == ("MCPServerUnavailable", message)


@pytest.mark.parametrize(
    ("url", "reason"),
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
def test_forbidden_urls_are_refused(server: Server, kind: str, url: str, reason: str) -> None:
    body = {"server_name": server.tag, "config": {"mcp_server_type": kind, "server_url": url}}
    answer = server.ask("POST", "/v1/mcp-servers/", body)
    assert refusal(answer) == (422, [("value_error", f"'body', 'config', '{kind}', 'server_url'")])
    assert f"Value error, {reason}" in answer.json()["detail"]


def test_invalid_bodies_are_refused(server: Server) -> None:
    def refused(**fields: Any) -> tuple[int, Any]:
        return refusal(server.ask("POST", "/v1/mcp-servers/", {"server_name": server.tag, **fields}))

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


def test_token_is_kept_only_as_authorization_header(server: Server) -> None:
    config = {"mcp_server_type": "streamable_http", "server_url": NOWHERE, "custom_headers": {}}
    created = create(server, {**config, "auth_token": "t"}, f"{server.tag}-one")
    keys = ("auth_header", "auth_token", "custom_headers")
    assert [created[key] for key in keys] == [None] * 3  # no header name, no token
    for kind in KINDS:
        full_config = {**config, "mcp_server_type": kind, "auth_header": "X-Key", "custom_headers": {"a": "b"}}
        for number, token in enumerate(("t", "Bearer t")):
            created = create(server, {**full_config, "auth_token": token}, f"{server.tag}-{kind}-{number}")
            assert [created[key] for key in keys] == ["Authorization", "Bearer t", {"a": "b"}]
        full_config |= {"auth_header": "Authorization", "custom_headers": {"Authorization": "Bearer h"}}
        created = create(server, {**full_config, "auth_token": "t"}, f"{server.tag}-{kind}-twice")
        assert [created[key] for key in keys] == [None, None, {"Authorization": "Bearer h"}]  # given twice, kept once


def test_patch_url(server: Server) -> None:
    full_config = {
        "server_url": NOWHERE,
        "auth_header": "Authorization",
        "auth_token": "t",
        "custom_headers": {"a": "b"},
    }
    created = {kind: create(server, {"mcp_server_type": kind, **full_config}, kind + server.tag) for kind in KINDS}
    for kind, each in created.items():
        path = f"/v1/mcp-servers/{each['id']}"
        answer = server.ask("PATCH", path, {"config": {"mcp_server_type": kind}})
        assert refusal(answer) == (422, [("missing", f"'body', 'config', '{kind}', 'server_url'")])
        assert server.call("PATCH", path, {"config": {"mcp_server_type": kind, "server_url": None}}) == each
        other = {"mcp_server_type": kind, "server_url": f"{NOWHERE}/2", "custom_headers": {}}
        now = server.call("PATCH", path, {"config": other})
        assert now == {**each, "server_url": f"{NOWHERE}/2", "custom_headers": {}}
        # only `sse` sets a token, whatever type the server has
        for sent_type, token in (("streamable_http", "Bearer t"), ("sse", "Bearer new")):
            config = {"mcp_server_type": sent_type, "server_url": None, "auth_header": "X", "auth_token": "new"}
            now = server.call("PATCH", path, {"config": config})
            assert (now["auth_token"], now["mcp_server_type"]) == (token, kind)
        assert server.call("PATCH", path, {"config": stdio(Path("x"))}) == now


def test_patch_command(server: Server, script: Path) -> None:
    created = create(server, stdio(script, env={"A": "1"}))
    path = f"/v1/mcp-servers/{created['id']}"
    answer = server.ask("PATCH", path, {"server_name": "n"})
    assert refusal(answer) == (422, [("missing", "'body', 'config'")])
    answer = server.ask("PATCH", path, {"config": {"mcp_server_type": "stdio"}})
    place = "'body', 'config', 'stdio'"
    assert refusal(answer) == (422, [("missing", f"{place}, 'command'"), ("missing", f"{place}, 'args'")])
    config = stdio(script, command=None)
    now = server.call("PATCH", path, {"server_name": f"{server.tag}-other", "config": config})
    assert now == {**created, "server_name": f"{server.tag}-other"}
    assert tools_of(server, created)["say"]["tags"] == [f"mcp:{server.tag}"]  # the tool tag keeps the old name
    assert server.call("PATCH", path, {"config": stdio(script)})["env"] is None
    config = {"mcp_server_type": "sse", "server_url": NOWHERE}
    assert server.call("PATCH", path, {"config": config})["mcp_server_type"] == "stdio"
    assert server.call("PATCH", path, {"config": stdio(script, args=["x"])})["args"] == ["x"]
    assert tools_of(server, created).keys() == {"say", "add"}  # the tools do not change


def test_refresh_updates_tools(server: Server, script: Path) -> None:
    created = create(server, stdio(script))
    before = tools_of(server, created)
    assert refresh(server, created) == {"deleted": [], "updated": [], "added": []}
    agent = server.agent(tags=["t"], tool_ids=[tool["id"] for tool in before.values()])
    text = script.read_text().replace(f"def {server.tool_name}_add", f"def {server.tool_name}_sub")
    script.write_text(text.replace("(word: str)", "(word: str, more: int)"))
    assert refresh(server, created) == {"deleted": ["add"], "updated": ["say"], "added": ["sub"]}
    now = tools_of(server, created)
    assert now["say"]["id"] == before["say"]["id"]
    assert "more" in now["say"]["json_schema"]["parameters"]["properties"]
    assert now.keys() == {"say", "sub"}
    assert [tool["name"] for tool in server.read_agent(agent)["tools"]] == [f"{server.tool_name}_say"]


def test_rename_deletes_server_with_same_name(server: Server, script: Path) -> None:
    created, other = create(server, stdio(script)), create(server, stdio(script, args=["x"]), f"{server.tag}-other")
    tools = tools_of(server, created)
    server.call("PATCH", f"/v1/mcp-servers/{other['id']}", {"server_name": server.tag, "config": stdio(script)})
    assert server.ask("GET", f"/v1/mcp-servers/{created['id']}").status_code == 404
    assert tools_of(server, created) == tools  # no server owns them now
    assert server.ask("DELETE", f"/v1/mcp-servers/{created['id']}").status_code == 400
    for tool in tools.values():
        server.call("DELETE", f"/v1/tools/{tool['id']}")


def test_registration_takes_over_custom_tool_with_same_name(server: Server, script: Path) -> None:
    name = f"{server.tool_name}_say"
    custom = server.tool(name, tags=["mine"], return_char_limit=77, default_requires_approval=True)
    created = create(server, stdio(script))
    (tool,) = tool_named(server, "say")
    assert (tool["id"], tool["tool_type"], tool["tags"]) == (custom["id"], "external_mcp", [f"mcp:{server.tag}"])
    assert (tool["return_char_limit"], tool["default_requires_approval"]) == (50_000, None)
    back = server.call("PUT", "/v1/tools/", {"source_code": source(name), "source_type": "python"})
    assert (back["id"], back["tool_type"], back["tags"]) == (custom["id"], "custom", [f"mcp:{server.tag}"])
    assert tools_of(server, created)["say"]["tool_type"] == "custom"
    assert refresh(server, created)["added"] == ["say"]
    assert tool_named(server, "say")[0]["tool_type"] == "external_mcp"
    server.call("DELETE", f"/v1/tools/{custom['id']}")
    assert tools_of(server, created).keys() == {"add"}
    assert refresh(server, created)["added"] == ["say"]
    assert tool_named(server, "say")[0]["id"] != custom["id"]


def test_second_server_takes_over_tools_with_same_names(server: Server, script: Path) -> None:
    one = create(server, stdio(script))
    ids = {tool["id"] for tool in tools_of(server, one).values()}
    two = create(server, stdio(script), f"{server.tag}-two")
    for each in (one, two):  # both list them, the second owns them
        tools = tools_of(server, each).values()
        assert {(tool["id"], tool["metadata_"]["mcp"]["server_id"]) for tool in tools} == {
            (id, two["id"]) for id in ids
        }
    assert set(refresh(server, one)["added"]) == {"say", "add"}
    assert {tool["metadata_"]["mcp"]["server_id"] for tool in tools_of(server, two).values()} == {one["id"]}
    server.client.delete(f"/v1/mcp-servers/{two['id']}")
    assert {tool["id"] for tool in tools_of(server, one).values()} == ids


def test_delete_removes_server_and_tools(server: Server, script: Path) -> None:
    created = create(server, stdio(script))
    tool = tools_of(server, created)["say"]
    rules = [{"tool_name": tool["name"], "type": "continue_loop", "prompt_template": None}]
    agent = server.agent(tags=["t"], tool_ids=[tool["id"]], tool_rules=rules, include_base_tool_rules=False)
    path = f"/v1/mcp-servers/{created['id']}"
    answer = server.ask("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert tool_named(server, "say") == []
    now = server.read_agent(agent)
    assert (now["tools"], now["tool_rules"]) == ([], rules)
    answer = server.ask("DELETE", path)
    assert (answer.status_code, answer.json()["detail"]) == (400, f"MCP server with id {created['id']} not found.")


def test_unknown_server_is_not_found(server: Server) -> None:
    for id in (unknown_id("mcp_server"), "nonsense"):
        message = f"MCPServer not found with id='['{id}']', access level in ['read']"
        path = f"/v1/mcp-servers/{id}"
        assert refusal(server.ask("GET", path)) == (404, message)
        assert refusal(server.ask("PATCH", f"{path}/refresh")) == (404, message)
        config = {"mcp_server_type": "sse", "server_url": None}
        assert refusal(server.ask("PATCH", path, {"config": config})) == (404, message)
        assert server.get(f"{path}/tools") == []


def test_connect_lists_tools_without_creating(server: Server, script: Path) -> None:
    path, before = "/v1/tools/mcp/servers/test", server.get("/v1/mcp-servers/")
    body: dict[str, Any] = {
        "server_name": server.tag,
        "type": "stdio",
        "command": sys.executable,
        "args": [str(script)],
    }
    answer = server.call("POST", path, body)
    assert answer["status"] == "success"
    assert [tool["name"] for tool in answer["tools"]] == [f"{server.tool_name}_say", f"{server.tool_name}_add"]
    apart = server.call("POST", path, {**body, "args": [f"-u {script}"]})  # 0.16.8 splits arguments at spaces
    assert apart["tools"] == answer["tools"]
    nothing = server.ask("POST", path, {**body, "command": "/no/such"})
    assert (nothing.status_code, nothing.json()["error"]["type"]) == (502, "mcp_connection_error")
    body = {"server_name": server.tag, "type": "sse", "server_url": NOWHERE}
    assert refusal(server.ask("POST", path, body)) == (400, "Cannot resolve hostname: nobody.invalid")
    inner = server.ask("POST", path, {**body, "server_url": "http://127.0.0.1:9/"})
    assert refusal(inner) == (400, "Non-public IP not allowed: 127.0.0.1")
    assert server.get("/v1/mcp-servers/") == before
    assert tool_named(server, "say") == []
