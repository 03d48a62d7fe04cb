#!/usr/bin/env python3
"""An MCP server over stdio that offers one tool, named by the first argument. A standalone program."""

from __future__ import annotations

import json
import sys
from typing import Any


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    if method == "initialize":
        server = {"name": "one", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    schema = {"type": "object", "properties": {}}
    name = sys.argv[1] if sys.argv[1:] else "fld_mcp_nameless"
    return {"tools": [{"name": name, "description": "Does it.", "inputSchema": schema}]}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        result = answer(request["method"], request.get("params") or {})
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")
        sys.stdout.flush()
