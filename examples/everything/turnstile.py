"""An MCP server over stdio for the turnstile of the museum: one JSON-RPC message per line, standard library only."""

import json
import os
import sys

STRING, NUMBER = {"type": "string"}, {"type": "integer"}
TOOLS = {
    "count_visitors": ("Tells how many visitors came in today.", {"since": NUMBER}),
    "open_gate": ("Lets somebody in.", {"name": STRING}),
}


def call(name, arguments):
    if not os.environ.get("MUSEUM_KEY"):
        return "The turnstile wants a key."
    if name == "open_gate":
        return f"Welcome, {arguments['name']}."
    return f"{max(0, 42 - arguments['since'])} visitors."


def offer(name, description, properties):
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return {"name": name, "description": description, "inputSchema": schema}


def result(method, params):
    if method == "initialize":
        about = {"name": "turnstile", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "serverInfo": about, "capabilities": {"tools": {}}}
    if method == "tools/list":
        return {"tools": [offer(name, *about) for name, about in TOOLS.items()]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": call(params["name"], params.get("arguments") or {})}]}
    return {}


for request in map(json.loads, sys.stdin):
    if "id" in request:  # a notification has no id and gets no answer
        answer = result(request["method"], request.get("params") or {})
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answer}) + "\n")
        sys.stdout.flush()
