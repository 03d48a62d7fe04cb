"""An MCP server over HTTP, streamable and SSE, in the test's own process, for a Letta server on the same machine.

Letta 0.16.8 speaks to no private address and to no name that stands for one. So the loopback interface has one more
address for as long as the server runs: one that looks public and that nobody on the way has heard of. That takes Linux
and the right to change interfaces (root, or CAP_NET_ADMIN); where either is missing, `serving` raises `Unreachable`.
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
    """A Letta server could not reach it here; the message says why."""


@dataclass(frozen=True)
class Heard:
    """One request that was let in: what it asked, over what, and with which headers, spelled `Like-This`."""

    method: str
    over: str
    headers: Mapping[str, str]


@dataclass
class HttpMcp:
    """What is served. `tools`: name to description; `token` and `headers`: what it wants of whoever asks."""

    host: str
    port: int
    tools: dict[str, str]
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    refused: int = 0

    @property
    def url(self) -> str:
        """Where it answers as `streamable_http`."""
        return f"http://{self.host}:{self.port}/mcp"

    @property
    def sse(self) -> str:
        """Where it answers as `sse`."""
        return f"http://{self.host}:{self.port}/sse"

    def asked(self, method: str) -> list[Heard]:
        """Every time that this was asked."""
        return [each for each in self.heard if each.method == method]

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        """Whether a request brings what is wanted."""
        wanted = dict(self.headers) | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        return all(headers.get(name) == value for name, value in wanted.items())

    def answer(self, request: Json) -> Json | None:
        """JSON-RPC; None for what is a notification."""
        if "id" not in request:
            return None
        told: Json = {"jsonrpc": "2.0", "id": request["id"]}
        given = request.get("params") or {}
        match request["method"]:
            case "initialize":
                about = {"serverInfo": {"name": "test", "version": "1"}, "capabilities": {"tools": {}}}
                return told | {"result": {"protocolVersion": given["protocolVersion"], **about}}
            case "tools/list":
                schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
                offers = [{"name": n, "description": d, "inputSchema": schema} for n, d in self.tools.items()]
                return told | {"result": {"tools": offers}}
            case "tools/call" if given["name"] in self.tools:
                text = f"{given['name']} says {given['arguments']['word']}"
                return told | {"result": {"content": [{"type": "text", "text": text}]}}
            case "ping":
                return told | {"result": {}}
        return told | {"error": {"code": -32601, "message": f"no {request['method']} here"}}


@contextmanager
def serving(tools: Mapping[str, str], *, token: str | None = None) -> Iterator[HttpMcp]:
    """A server that offers these tools until the end of the block. Raises Unreachable."""
    with _public() as host, _Listener((host, 0), _Handler) as listener:
        listener.mcp = HttpMcp(host, listener.server_address[1], dict(tools), token)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listener.mcp
        finally:
            listener.over.set()
            listener.shutdown()
            thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection must not keep us
    mcp: HttpMcp

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.over = threading.Event()
        self.streams: dict[str, queue.Queue[Json]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        where = urlsplit(self.path)
        if not self.welcome(request["method"], "sse" if where.query else "streamable_http"):
            return
        told = self.server.mcp.answer(request)
        if where.query:  # over SSE the answer goes down the stream
            if told is not None:
                self.server.streams[where.query].put(told)
            self.say(202)
        else:
            self.say(202 if told is None else 200, told)

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/sse":
            self.say(405)  # streamable HTTP without a stream that the server begins
        elif self.welcome("stream", "sse"):
            self.stream()

    def stream(self) -> None:
        """SSE: first where to POST, then every answer; until either side has had enough."""
        name = f"stream={id(self)}"
        answers = self.server.streams[name] = queue.Queue()
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        said = f"event: endpoint\ndata: /sse?{name}\n\n"
        try:
            while not self.server.over.is_set():
                self.wfile.write(said.encode())
                self.wfile.flush()
                try:
                    said = f"event: message\ndata: {json.dumps(answers.get(timeout=0.2))}\n\n"
                except queue.Empty:
                    said = ": still here\n\n"
        except OSError:
            pass  # the client has gone
        finally:
            del self.server.streams[name]

    def welcome(self, method: str, over: str) -> bool:
        """Note who is let in; 401 for all others."""
        mcp = self.server.mcp
        headers = {name.title(): value for name, value in self.headers.items()}
        if mcp.lets_in(headers):
            mcp.heard.append(Heard(method, over, headers))
            return True
        mcp.refused += 1
        self.say(401)
        return False

    def say(self, status: int, told: Json | None = None) -> None:
        body = b"" if told is None else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: tests look at `heard`."""


# --- an address that looks public ------------------------------------------------------------------------------------

_NEW, _GONE = 20, 21  # RTM_NEWADDR, RTM_DELADDR
_FLAGS = {_NEW: 0x1 | 0x4 | 0x200 | 0x400, _GONE: 0x1 | 0x4}  # a request to acknowledge; what is new must be new


@contextmanager
def _public() -> Iterator[str]:
    """An address on the loopback interface, of a network that no router announces; gone afterwards."""
    address = f"11.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    _change(_NEW, address)
    try:
        yield address
    finally:
        _change(_GONE, address)


def _change(what: int, address: str) -> None:
    """Add an address to `lo`, or take it away: one message to the kernel, as `ip address` sends it."""
    if sys.platform != "linux":
        raise Unreachable(f"only Linux gives the loopback interface an address that looks public, not {sys.platform}")
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 254, socket.if_nametoindex("lo"))  # a host's, of this host
    for attribute in (1, 2):  # IFA_ADDRESS, IFA_LOCAL
        body += struct.pack("=HH4s", 8, attribute, socket.inet_aton(address))
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
            kernel.send(struct.pack("=IHHII", 16 + len(body), what, _FLAGS[what], 1, 0) + body)
            (error,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    except OSError as refused:  # some containers let nobody ask
        error = -(refused.errno or 0)
    if error:
        raise Unreachable(f"the loopback interface cannot get an address that looks public: {os.strerror(-error)}")
