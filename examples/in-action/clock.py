"""An MCP server over stdio with two tools that return the time and the day. Standard library only."""

import json
import sys
from datetime import UTC, datetime, timedelta

TOOLS = {}


def tool(function):
    TOOLS[function.__name__] = function
    return function


@tool
def clock_time():
    """Return the time of day, in UTC."""
    return datetime.now(UTC).strftime("%H:%M")


@tool
def what_day(days: int = 0):
    """Return the day of the week, this number of days from now."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%A")


def offer(function):
    properties = {name: {"type": "integer"} for name in function.__annotations__}
    schema = {"type": "object", "properties": properties}
    return {"name": function.__name__, "description": function.__doc__, "inputSchema": schema}


def answer(method, params):
    if method == "initialize":
        server = {"name": "clock", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [offer(each) for each in TOOLS.values()]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": TOOLS[params["name"]](**params.get("arguments", {}))}]}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:  # a notification has no id
        result = answer(request["method"], request.get("params") or {})
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")
        sys.stdout.flush()
