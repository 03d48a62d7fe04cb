"""`/v1/mcp-servers/`: tools that run elsewhere.

A server offers what `StandIn.offers` lists for its arguments or URL. Otherwise a Python script in the arguments of a
stdio server is parsed, not run: each function under a decorator `…tool` is a tool.
"""

from __future__ import annotations

import ast
import ipaddress
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from tests.standin import tools
from tests.standin.server import NOTHING, ORGANIZATION, Ask, Body, Refusal, StandIn, absent, invalid, on, taken
from tests.standin.validate import faults

_BODY = {"server_name": "str!", "config": "any!"}
_STDIO = {"mcp_server_type": "str", "command": "str!", "args": "strs!", "env": "env?"}
_HTTP = {"mcp_server_type": "str", "server_url": "str!", "auth_header": "str?", "auth_token": "str?"}
_HTTP |= {"custom_headers": "env?"}
_CONFIGS: Mapping[str, Mapping[str, str]] = {"stdio": _STDIO, "sse": _HTTP, "streamable_http": _HTTP}
_INNER = ("localhost", "metadata.google.internal")
_INNER_ENDS = (".local", ".localdomain", ".home.arpa", ".svc", ".cluster.local")
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_BEARER = "Bearer "


def find(server: StandIn, ask: Ask) -> Body:
    """An MCP server, or 404."""
    mcp = server.tables.mcp_servers.get(ask.names["mcp_server"])
    if mcp is None or mcp["_gone"]:
        raise absent("MCPServer", ask.names["mcp_server"])
    return mcp


def _show(mcp: Mapping[str, Any]) -> Body:
    shown = {key: value for key, value in mcp.items() if not key.startswith("_")}
    if mcp["mcp_server_type"] == "stdio":
        return shown
    # 0.16.8 keeps no other header, and always says Bearer
    token = mcp["_token"]
    return shown | {"auth_header": "Authorization" if token else None, "auth_token": token and _BEARER + token}


# --- request bodies --------------------------------------------------------------------------------------------------


def _checked_body(body: Any, *, update: bool) -> Body:
    """A valid body; in an update, required fields may be null."""
    name = "str?" if update else "str!"
    errors = faults(body, {**_BODY, "server_name": name}, closed=True)
    if isinstance(body, dict) and "config" in body:
        errors += _config_faults(body["config"], update)
    if errors:
        raise invalid(errors)
    return dict(body)


def _config_faults(config: Any, update: bool) -> list[Body]:
    at = ("body", "config")
    if not isinstance(config, dict):
        return faults(config, {}, at=at)
    if "mcp_server_type" not in config:
        return [{"type": "union_tag_not_found", "loc": at, "msg": "Unable to extract tag …", "input": config}]
    kind = config["mcp_server_type"]
    if kind not in _CONFIGS:
        return [{"type": "union_tag_invalid", "loc": at, "msg": f"Input tag {kind!r} …", "input": config}]
    words = {key: f"{word}?" if update and word.endswith("!") else word for key, word in _CONFIGS[kind].items()}
    errors = faults(config, words, closed=True, at=(*at, kind))
    url = config.get("server_url")
    if isinstance(url, str) and (reason := _url_fault(url)):
        error = {"type": "value_error", "loc": (*at, kind, "server_url"), "msg": f"Value error, {reason}", "input": url}
        errors.append(error | {"ctx": {"error": ValueError(reason)}})
    return errors


def _url_fault(url: str) -> str:
    """The reason why 0.16.8 refuses a URL before it resolves the name; empty if none."""
    if not url:
        return "server_url cannot be empty"
    parsed = urlparse(url)
    if parsed.scheme not in ("http", "https"):
        return f"server_url must start with 'http://' or 'https://', got: '{url}'"
    if not parsed.netloc or not parsed.hostname:
        return f"server_url must have a valid host, got: '{url}'"
    host = parsed.hostname.rstrip(".").lower()
    if host in _INNER or host.endswith(_INNER_ENDS):
        return f"Blocked internal hostname: {parsed.hostname}"
    try:
        public = ipaddress.ip_address(host).is_global
    except ValueError:
        return ""
    return "" if public else f"Non-public IP not allowed: {parsed.hostname}"


# --- offered tools ---------------------------------------------------------------------------------------------------


def _offered(server: StandIn, mcp: Body) -> list[Body] | None:
    """The tools that an MCP server offers; None where nobody answers."""
    if mcp["mcp_server_type"] != "stdio":
        return server.offers.get((mcp["server_url"],))
    if tuple(mcp["args"]) in server.offers:
        return server.offers[tuple(mcp["args"])]
    words = [Path(word) for each in mcp["args"] for word in each.split()]  # 0.16.8 splits arguments at spaces
    script = next((each for each in words if each.suffix == ".py" and each.is_file()), None)
    if script is None or shutil.which(mcp["command"]) is None:
        return None
    nodes = ast.walk(ast.parse(script.read_text()))
    functions = (each for each in nodes if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return [_offer(each) for each in functions if any(map(_is_tool, each.decorator_list))]


def _is_tool(decorator: ast.expr) -> bool:
    decorator = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(decorator).split(".")[-1] == "tool"


def _offer(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Body:
    args, least = function.args.args, len(function.args.args) - len(function.args.defaults)
    properties = {each.arg: {"type": _TYPES.get(ast.unparse(each.annotation or each), "string")} for each in args}
    schema = {"type": "object", "properties": properties, "required": [each.arg for each in args[:least]]}
    return {"name": function.name, "description": ast.get_docstring(function), "inputSchema": schema}


def _schema(offer: Mapping[str, Any]) -> Body:
    """The schema that 0.16.8 derives from an offered tool: closed, and with an added parameter."""
    given = offer["inputSchema"]
    own = {"type": "boolean", "description": "(the server's own words)"}
    schema: Body = {"type": "object", "properties": {**given.get("properties", {}), "request_heartbeat": own}}
    schema |= {"required": [*given.get("required", ()), "request_heartbeat"], "additionalProperties": False}
    created = {"name": offer["name"], "description": offer["description"], "parameters": schema}
    return created | {"mcp:SCHEMA_STATUS": "STRICT_COMPLIANT", "mcp:SCHEMA_WARNINGS": []}


def _register_tool(server: StandIn, mcp: Body, offer: Mapping[str, Any]) -> None:
    """Register a tool, which takes over any tool of that name: another server's, or a custom one (0.16.8)."""
    name = offer["name"]
    fields = {"tool_type": "external_mcp", "name": name, "description": offer["description"], "source_type": "python"}
    fields |= {"tags": [f"mcp:{mcp['server_name']}"], "json_schema": _schema(offer)}
    tool = tools.put(server, fields | {"source_code": f"def {name}(**kwargs):\n    (the server's own)"})
    tool["metadata_"]["mcp"] = {"server_name": mcp["server_name"], "server_id": mcp["id"]}
    mcp["_tools"] = list(dict.fromkeys([*mcp["_tools"], tool["id"]]))


def _tools_of(server: StandIn, mcp: Body) -> list[Body]:
    """The tools whose metadata names this server."""
    every = list(server.tables.tools.values())
    return [tool for tool in every if tool["metadata_"].get("mcp", {}).get("server_id") == mcp["id"]]


def _delete_tool(server: StandIn, tool: Body) -> None:
    for agent in server.tables.agents.values():  # their tool_rules remain
        agent["_tools"] = [id for id in agent["_tools"] if id != tool["id"]]
    del server.tables.tools[tool["id"]]


# --- routes ----------------------------------------------------------------------------------------------------------


@on("POST", "/v1/mcp-servers/")
def _create(server: StandIn, ask: Ask) -> Body:
    body = _checked_body(ask.body, update=False)
    name, config = body["server_name"], body["config"]
    if _named(server, name):
        columns = {"server_name": name, "organization_id": ORGANIZATION}
        raise taken("MCPServer", "uix_name_organization_mcp_server", columns)
    created: Body = {"id": server.id("mcp_server"), "server_name": name, "mcp_server_type": config["mcp_server_type"]}
    created |= {"_tools": [], "_gone": False}
    if config["mcp_server_type"] == "stdio":
        created |= {key: config.get(key) for key in ("command", "args", "env")}
    else:
        # 0.16.8 drops a token without a header name, or whose header is among the custom headers
        header, headers = config.get("auth_header"), config.get("custom_headers") or {}
        token = config.get("auth_token") if header and header not in headers else None
        created |= {"server_url": config["server_url"], "custom_headers": config.get("custom_headers") or None}
        created |= {"_token": (token or "").removeprefix(_BEARER) or None}
    server.tables.mcp_servers[created["id"]] = created
    for offer in (
        _offered(server, created) or ()
    ):  # an unreachable server is created without tools and without an error (0.16.8)
        _register_tool(server, created, offer)
    return _show(created)


def _named(server: StandIn, name: str) -> list[Body]:
    return [each for each in server.tables.mcp_servers.values() if each["server_name"] == name and not each["_gone"]]


@on("POST", "/v1/tools/mcp/servers/test")
def _connect(server: StandIn, ask: Ask) -> object:
    """The tools that would be offered; creates nothing."""
    body = dict(ask.body)
    config = {"mcp_server_type": body.pop("type"), **{key: each for key, each in body.items() if key != "server_name"}}
    if reason := _url_fault(config["server_url"]) if "server_url" in config else "":
        raise Refusal(400, reason)
    offers = _offered(server, config)
    if offers is None and "server_url" in config:
        raise Refusal(400, f"Cannot resolve hostname: {urlparse(config['server_url']).hostname}")
    if offers is None:
        refusal, words = Refusal(502, ""), "Failed to connect to MCP server."
        refusal.body = {
            "error": {"type": "mcp_connection_error", "message": words, "detail": "(the server's own words)"}
        }
        raise refusal
    return {"status": "success", "tools": offers}


@on("GET", "/v1/mcp-servers/")
def _list(server: StandIn, ask: Ask) -> list[Body]:
    # 0.16.8 does not page here
    return [_show(each) for each in server.tables.mcp_servers.values() if not each["_gone"]]


@on("GET", "/v1/mcp-servers/{mcp_server}")
def _get(server: StandIn, ask: Ask) -> Body:
    return _show(find(server, ask))


@on("GET", "/v1/mcp-servers/{mcp_server}/tools")
def _tools(server: StandIn, ask: Ask) -> list[Body]:
    """Every tool that this server ever registered, whoever owns it now; none for an unknown server (0.16.8)."""
    mcp = server.tables.mcp_servers.get(ask.names["mcp_server"], {"_tools": ()})
    return [server.tables.tools[id] for id in mcp["_tools"] if id in server.tables.tools]


@on("PATCH", "/v1/mcp-servers/{mcp_server}")
def _patch(server: StandIn, ask: Ask) -> Body:
    """The type does not change. The type in the body decides what is set: only `sse` sets a token (0.16.8)."""
    body, mcp = _checked_body(ask.body, update=True), find(server, ask)
    config, is_stdio = body["config"], mcp["mcp_server_type"] == "stdio"
    if body.get("server_name") is not None:
        for other in _named(server, body["server_name"]):
            other["_gone"] = other is not mcp  # 0.16.8 deletes the server with that name, without its tools
        mcp["server_name"] = body["server_name"]
    if config["mcp_server_type"] == "stdio":
        if is_stdio and config["command"] is not None and config["args"] is not None:
            mcp |= {key: config.get(key) for key in ("command", "args", "env")}
    elif not is_stdio:
        mcp |= {key: config[key] for key in ("server_url", "custom_headers") if config.get(key) is not None}
        if config["mcp_server_type"] == "sse" and config.get("auth_token") is not None:
            mcp["_token"] = config["auth_token"].removeprefix(_BEARER) or None
    return _show(mcp)


@on("PATCH", "/v1/mcp-servers/{mcp_server}/refresh")
def _refresh(server: StandIn, ask: Ask) -> Body:
    mcp = find(server, ask)
    offers = _offered(server, mcp)
    if offers is None:
        message = f"Could not connect to MCP server {mcp['server_name']} to resync tools"
        raise Refusal(404, {"code": "MCPServerUnavailable", "message": message, "error": "(the server's own words)"})
    have, now = {tool["name"]: tool for tool in _tools_of(server, mcp)}, {offer["name"]: offer for offer in offers}
    done: Body = {"deleted": [name for name in have if name not in now], "updated": [], "added": []}
    for name in done["deleted"]:
        _delete_tool(server, have[name])
    for name, offer in now.items():
        if name not in have:
            _register_tool(server, mcp, offer)
            done["added"].append(name)
        elif have[name]["json_schema"] != _schema(offer):
            have[name] |= {"json_schema": _schema(offer), "description": offer["description"]}
            done["updated"].append(name)
    return done


@on("DELETE", "/v1/mcp-servers/{mcp_server}")
def _delete(server: StandIn, ask: Ask) -> object:
    id = ask.names["mcp_server"]
    mcp = server.tables.mcp_servers.get(id)
    if mcp is None or mcp["_gone"]:  # 0.16.8 answers 400, not 404
        raise Refusal(400, f"MCP server with id {id} not found.")
    for tool in _tools_of(server, mcp):
        _delete_tool(server, tool)
    del server.tables.mcp_servers[id]
    return NOTHING
