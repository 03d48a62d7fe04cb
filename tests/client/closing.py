"""A server that closes the connection a moment after an unhandled error, as 0.16.8 does."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Closing:
    """The server as a context; its URL."""

    def __enter__(self) -> str:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for each answer

    def do_POST(self) -> None:
        fails = self.path == "/fails"
        body = b'{"detail": "no"}' if fails else b'{"ok": 1}'
        self.send_response(500 if fails else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if fails:
            threading.Event().wait(0.02)
            self.close_connection = True

    def do_GET(self) -> None:
        threading.Event().wait(0.5)

    def log_message(self, format: str, *args: Any) -> None:
        pass
