"""MCP servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Kind, attr
from lettaform.kinds.traits import FollowUp, Preview
from lettaform.values import Secret

_HTTP = ("server_url", "auth_token", "custom_headers")
_STDIO = ("command", "args", "env")
_AUTH, _BEARER = "Authorization", "Bearer "


def _preview(values: Mapping[str, Any]) -> dict[str, Any]:
    lines = McpServer.attrs()
    given = {lines[name].write or "": value for name, value in values.items() if value is not None}
    body = McpServer.encode(given, None)
    config = dict(body["config"])
    if "auth_token" in config:  # this request sends the token as it is, without adding `Bearer`
        config["auth_token"] = _BEARER + config["auth_token"]
    return {"server_name": body["server_name"], "type": config.pop("mcp_server_type"), **config}


# fmt: off
class McpServer(Kind, section="mcp_servers", path="/v1/mcp-servers/", unique=True, mark="state", shared=True):
    """A program that offers tools, over HTTP or as a process on the machine of the Letta server."""

    name: str = attr("Display name; unique on the server. Default: the key.", write="server_name", constraints={"min_length": 1})
    type: Literal["streamable_http", "sse", "stdio"] = attr("Transport: how the Letta server connects to the MCP server.", write="mcp_server_type", required=True, immutable=True)
    url: str = attr("URL of the MCP server. Only for `streamable_http` and `sse`.", write="server_url", embeds=True, constraints={"pattern": "^https?://."})
    token: str = attr("Token to send as `Authorization: Bearer`.", write="auth_token", secret=True, constraints={"min_length": 1})
    headers: dict[str, str] = attr("HTTP headers to send with each request.", write="custom_headers", secret=True, partial=True, clear={})
    command: str = attr("Program that the Letta server starts. Only for `stdio`.", embeds=True, constraints={"min_length": 1})
    args: list[str] = attr("Arguments of the program.", embeds=True, clear=[])
    env: dict[str, str] = attr("Environment variables of the program.", secret=True, partial=True, clear={})
    # fmt: on

    call: ClassVar[FollowUp | None] = FollowUp("refresh", "PATCH", dict, "its tools were listed again", on_create=True)
    preview: ClassVar[Preview | None] = Preview("/v1/tools/mcp/servers/test", _preview)
    compiled: ClassVar[frozenset[str]] = frozenset({"url", "token", "headers", "command", "args", "env"})
    discovers: ClassVar[Mapping[str, str]] = {"tool": "/tools"}
    replacement: ClassVar[str] = "and its tools are attached again to the agents that name them"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "config": "type, url, token, headers, command, args and env manage it",
        "auth_header": "0.16.8 supports Authorization only; use `headers` for others",
    }

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        headers, token = body.get("custom_headers"), body.get("auth_token")
        if headers:  # 0.16.8 sends no token where there are headers: the header is what is sent
            token = headers.get(_AUTH)
        return {**body, "auth_token": cls.normal("token", token)}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send all but the name as one map, always complete: the server drops what is left out."""
        kind = body.pop("mcp_server_type", None) or (live or {}).get("mcp_server_type")
        names = _STDIO if kind == "stdio" else _HTTP
        seen = cls.decode(live) if live else {}
        now = {name: seen[name] for name in names if seen.get(name) is not None}
        new = {name: body.pop(name) for name in (*_HTTP, *_STDIO) if name in body}
        config = now | new
        if "auth_token" in config:
            token, headers = cls.normal("token", config["auth_token"]), config.get("custom_headers")
            config |= {"auth_header": _AUTH, "auth_token": token}
            if headers and ("auth_token" in new or _AUTH not in headers):  # otherwise it is not sent
                config["custom_headers"] = {**headers, _AUTH: _BEARER + token}
        if kind == "stdio":
            config.setdefault("args", [])
        elif live is not None:
            kind = "sse"  # 0.16.8 changes a token by a PATCH of this form only, and never the type
        return {**body, "config": {"mcp_server_type": kind, **config}}

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        # 0.16.8 answers a token with `Bearer` before it, whether that was sent or not
        return value.removeprefix(_BEARER) if field == "token" and isinstance(value, str) else value

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        kind = values.get("type")
        used, unused = (("command", "args", "env"), ("url", "token", "headers"))[:: 1 if kind == "stdio" else -1]
        if kind is None:
            return []
        message = f"is not allowed with `type: {kind}`"
        problems: list[tuple[str, str, str | None]]
        problems = [(name, message, f"use {', '.join(used)}") for name in unused if values.get(name) is not None]
        for number, argument in enumerate(values.get("args") or ()):
            text = argument.value if isinstance(argument, Secret) else argument
            if isinstance(text, str) and len(text.split()) != 1:
                message = "is empty or contains spaces, at which the server splits it"  # 0.16.8
                problems.append((f"args.{number}", message, "put arguments with spaces into a file"))
        headers = values.get("headers") if values.get("token") is not None else None
        repeated = [name for name in headers if name.lower() == _AUTH.lower()] if isinstance(headers, Mapping) else []
        problems += [(f"headers.{name}", "is already set by `token`", "set only one of the two") for name in repeated]
        if values.get(used[0]) is None:
            problems.append((used[0], f"is required with `type: {kind}`", f"add `{used[0]}: …`"))
        return problems
