"""An MCP server over HTTP (streamable and SSE) in the test process, for a Letta server on the same machine.

Letta 0.16.8 refuses private addresses and names that resolve to them. So the loopback interface gets a second address
that looks public, for as long as the server runs. This needs Linux and the right to change interfaces (root or
CAP_NET_ADMIN); otherwise `serve_mcp` raises `Unreachable`.
"""

from __future__ import annotations

import json
import os
import queue
import random
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]


class Unreachable(Exception):
    """A Letta server cannot reach the MCP server here; the message says why."""


@dataclass(frozen=True)
class RecordedRequest:
    """One authorized request: MCP method, transport, and headers spelled `Like-This`."""

    method: str
    transport: str
    headers: Mapping[str, str]


@dataclass
class HttpMcp:
    """The server's configuration. `tools`: name to description. `token`, `headers`: required of every request."""

    host: str
    port: int
    tools: dict[str, str]
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[RecordedRequest] = field(default_factory=list)
    refused: int = 0

    @property
    def url(self) -> str:
        """The endpoint for `streamable_http`."""
        return f"http://{self.host}:{self.port}/mcp"

    @property
    def sse(self) -> str:
        """The endpoint for `sse`."""
        return f"http://{self.host}:{self.port}/sse"

    def requests_of(self, method: str) -> list[RecordedRequest]:
        """All requests of this MCP method."""
        return [each for each in self.requests if each.method == method]

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the required token and headers."""
        wanted = dict(self.headers) | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        return all(headers.get(name) == value for name, value in wanted.items())

    def answer(self, request: Json) -> Json | None:
        """The JSON-RPC response; None for a notification."""
        if "id" not in request:
            return None
        body: Json = {"jsonrpc": "2.0", "id": request["id"]}
        params = request.get("params") or {}
        match request["method"]:
            case "initialize":
                about = {"serverInfo": {"name": "test", "version": "1"}, "capabilities": {"tools": {}}}
                return body | {"result": {"protocolVersion": params["protocolVersion"], **about}}
            case "tools/list":
                schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
                offers = [{"name": n, "description": d, "inputSchema": schema} for n, d in self.tools.items()]
                return body | {"result": {"tools": offers}}
            case "tools/call" if params["name"] in self.tools:
                text = f"{params['name']} says {params['arguments']['word']}"
                return body | {"result": {"content": [{"type": "text", "text": text}]}}
            case "ping":
                return body | {"result": {}}
        return body | {"error": {"code": -32601, "message": f"no {request['method']} here"}}


@contextmanager
def serve_mcp(tools: Mapping[str, str], *, token: str | None = None) -> Iterator[HttpMcp]:
    """An MCP server that offers these tools until the end of the block. Raises Unreachable."""
    with _public_address() as host, _Listener((host, 0), _Handler) as listener:
        listener.mcp = HttpMcp(host, listener.server_address[1], dict(tools), token)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listener.mcp
        finally:
            listener.stopped.set()
            listener.shutdown()
            thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection open must not block shutdown
    mcp: HttpMcp

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.stopped = threading.Event()
        self.streams: dict[str, queue.Queue[Json]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        where = urlsplit(self.path)
        if not self.authorize(request["method"], "sse" if where.query in self.server.streams else "streamable_http"):
            return
        body = self.server.mcp.answer(request)
        if where.query in self.server.streams:  # over SSE the response goes down the stream
            if body is not None:
                self.server.streams[where.query].put(body)
            self.respond(202)
        else:
            self.respond(202 if body is None else 200, body)

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/sse":
            self.respond(405)  # streamable HTTP without a server-initiated stream
        elif self.authorize("stream", "sse"):
            self.stream()

    def stream(self) -> None:
        """SSE: first the endpoint for POST, then every response, until either side closes."""
        name = f"stream={id(self)}"
        answers = self.server.streams[name] = queue.Queue()
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        event = f"event: endpoint\ndata: /sse?{name}\n\n"
        try:
            while not self.server.stopped.is_set():
                self.wfile.write(event.encode())
                self.wfile.flush()
                try:
                    event = f"event: message\ndata: {json.dumps(answers.get(timeout=0.2))}\n\n"
                except queue.Empty:
                    event = ": still here\n\n"
        except OSError:
            pass  # the client disconnected
        finally:
            del self.server.streams[name]

    def authorize(self, method: str, transport: str) -> bool:
        """Record an authorized request; answer 401 to any other."""
        mcp = self.server.mcp
        headers = {name.title(): value for name, value in self.headers.items()}
        if mcp.is_authorized(headers):
            mcp.requests.append(RecordedRequest(method, transport, headers))
            return True
        mcp.refused += 1
        self.respond(401)
        return False

    def respond(self, status: int, answer: Json | None = None) -> None:
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """No log: tests read `requests`."""


# --- an address that looks public ------------------------------------------------------------------------------------

_ADD, _DELETE = 20, 21  # RTM_NEWADDR, RTM_DELADDR
_FLAGS = {
    _ADD: 0x1 | 0x4 | 0x200 | 0x400,
    _DELETE: 0x1 | 0x4,
}  # flags: request with acknowledgement; for a new address also: create, and fail if it exists


@contextmanager
def _public_address() -> Iterator[str]:
    """An address on the loopback interface, from a network that no router announces; removed afterwards."""
    address = f"11.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    _change_address(_ADD, address)
    try:
        yield address
    finally:
        _change_address(_DELETE, address)


def _change_address(operation: int, address: str) -> None:
    """Add an address to `lo` or remove it, with one netlink message as `ip address` sends it."""
    if sys.platform != "linux":
        raise Unreachable(f"only Linux gives the loopback interface an address that looks public, not {sys.platform}")
    body = struct.pack(
        "=BBBBI", socket.AF_INET, 32, 0, 254, socket.if_nametoindex("lo")
    )  # a host address with host scope
    for attribute in (1, 2):  # IFA_ADDRESS, IFA_LOCAL
        body += struct.pack("=HH4s", 8, attribute, socket.inet_aton(address))
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
            kernel.send(struct.pack("=IHHII", 16 + len(body), operation, _FLAGS[operation], 1, 0) + body)
            (error,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    except OSError as refused:  # some containers forbid netlink
        error = -(refused.errno or 0)
    if error:
        raise Unreachable(f"the loopback interface cannot get an address that looks public: {os.strerror(-error)}")
