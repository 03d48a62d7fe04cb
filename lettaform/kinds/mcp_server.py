"""An MCP server: tools that another program offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from lettaform.kinds.base import Call, Kind, attr

_HTTP = ("server_url", "auth_token", "custom_headers")
_STDIO = ("command", "args", "env")
_AUTH, _BEARER = "Authorization", "Bearer "


# fmt: off
class McpServer(Kind, section="mcp_servers", path="/v1/mcp-servers/", unique=True, mark="record", shared=True):
    """Tools that another program offers, over HTTP or as a process beside the Letta server."""

    name: str = attr("What people call it; unique on the server. The key, unless given.", write="server_name", constraints={"min_length": 1})
    type: Literal["streamable_http", "sse", "stdio"] = attr("How it is spoken to.", write="mcp_server_type", birth=True, fixed=True)
    url: str = attr("Where it answers, over HTTP.", write="server_url", constraints={"pattern": "^https?://."})
    token: str = attr("Sent to it as `Authorization: Bearer`.", write="auth_token", secret=True, constraints={"min_length": 1})
    headers: dict[str, str] = attr("Sent to it with each request.", write="custom_headers", secret=True, partial=True, clear={})
    command: str = attr("The program that the Letta server starts, for stdio.", constraints={"min_length": 1})
    args: list[str] = attr("Its arguments.", clear=[])
    env: dict[str, str] = attr("Its environment variables.", secret=True, partial=True, clear={})
    # fmt: on

    call: ClassVar[Call | None] = Call("refresh", "PATCH", dict, "its tools were listed anew", born=True)
    compiled: ClassVar[frozenset[str]] = frozenset({"url", "token", "headers", "command", "args", "env"})
    brings: ClassVar[Mapping[str, str]] = {"tool": "/tools"}
    replaced: ClassVar[str] = "and its tools are attached again to the agents that name them"
    unmanaged: ClassVar[Mapping[str, str]] = {
        "config": "type, url, token, headers, command, args and env say it",
        "auth_header": "0.16.8 knows no other than Authorization; `headers` say the rest",
    }

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        headers, token = body.get("custom_headers"), body.get("auth_token")
        if headers:  # 0.16.8 sends no token where there are headers: what they say is what is sent
            token = headers.get(_AUTH)
        return {**body, "auth_token": cls.normal("token", token)}

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """All but the name goes in one map, and all of it at once: what is left out is lost."""
        kind = body.pop("mcp_server_type", None) or (live or {}).get("mcp_server_type")
        words = _STDIO if kind == "stdio" else _HTTP
        seen = cls.decode(live) if live else {}
        now = {word: seen[word] for word in words if seen.get(word) is not None}
        told = {word: body.pop(word) for word in (*_HTTP, *_STDIO) if word in body}
        config = now | told
        if "auth_token" in config:
            token, headers = cls.normal("token", config["auth_token"]), config.get("custom_headers")
            config |= {"auth_header": _AUTH, "auth_token": token}
            if headers and ("auth_token" in told or _AUTH not in headers):  # or it would not be sent
                config["custom_headers"] = {**headers, _AUTH: _BEARER + token}
        if kind == "stdio":
            config.setdefault("args", [])
        elif live is not None:
            kind = "sse"  # 0.16.8 changes a token by a PATCH in this form alone, and never the type
        return {**body, "config": {"mcp_server_type": kind, **config}}

    @classmethod
    def trial(cls, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        lines = cls.attrs()
        body = cls.encode({lines[name].write or "": value for name, value in values.items() if value is not None}, None)
        config = dict(body["config"])
        if "auth_token" in config:  # here it is sent as it is
            config["auth_token"] = _BEARER + config["auth_token"]
        told = {"server_name": body["server_name"], "type": config.pop("mcp_server_type"), **config}
        return "/v1/tools/mcp/servers/test", told

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        # 0.16.8 answers a token with the word before it, whether that was sent or not
        return value.removeprefix(_BEARER) if field == "token" and isinstance(value, str) else value

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        kind = values.get("type")
        mine, others = (("command", "args", "env"), ("url", "token", "headers"))[:: 1 if kind == "stdio" else -1]
        if kind is None:
            return []
        told = f"does not go with `type: {kind}`"
        problems: list[tuple[str, str, str | None]]
        problems = [(name, told, f"it has {', '.join(mine)}") for name in others if values.get(name) is not None]
        for number, argument in enumerate(values.get("args") or ()):
            if isinstance(argument, str) and (len(argument.split()) != 1):
                told = "is empty, or has spaces in it, at which the server would take it apart"  # 0.16.8
                problems.append((f"args.{number}", told, "put what has spaces into a file, and name that"))
        headers = values.get("headers") if values.get("token") is not None else None
        twice = [name for name in headers if name.lower() == _AUTH.lower()] if isinstance(headers, Mapping) else []
        problems += [(f"headers.{name}", "is what `token` says already", "say it once") for name in twice]
        if values.get(mine[0]) is None:
            problems.append(("type", f"`{kind}` needs a `{mine[0]}`", None))
        return problems
