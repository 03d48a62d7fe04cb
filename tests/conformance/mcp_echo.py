"""An MCP server over stdio that uses only the standard library: each function under `@tool` is a tool."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_tools: dict[str, Callable[..., str]] = {}


def tool(function: Callable[..., str]) -> Callable[..., str]:
    """Offer this function as a tool."""
    _tools[function.__name__] = function
    return function


@tool
def say(word: str) -> str:
    """Says a word."""
    return word


@tool
def add(one: int, two: int = 1) -> str:
    """Adds two numbers."""
    return str(one + two)


def _offer(function: Callable[..., str]) -> dict[str, Any]:
    arguments = inspect.signature(function).parameters.values()
    properties = {each.name: {"type": _TYPES[each.annotation]} for each in arguments}
    required = [each.name for each in arguments if each.default is each.empty]
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": function.__name__, "description": inspect.getdoc(function), "inputSchema": schema}


def _answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        server = {"name": "echo", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [_offer(each) for each in _tools.values()]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": _tools[params["name"]](**params.get("arguments", {}))}]}
    if method == "ping":
        return {}
    raise LookupError(method)


def _reply(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": _answer(request["method"], request.get("params") or {})}
    except LookupError as error:
        return {"error": {"code": -32601, "message": f"unknown: {error}"}}


def main() -> None:
    """Answer each line of stdin. A request without an id is a notification and gets no answer."""
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **_reply(request)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
