"""Code hosts on this machine, as far as lettaform uses their APIs, with one table of comments and one of issues."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "t0ken"
SHA = "c0ffee" * 6 + "abcd"

Table = dict[int, dict[str, Any]]


@dataclass
class Host:
    """A repository with one pull request, number 7, merged with SHA unless `open`. `answers`: given once, in order."""

    url: str = ""
    user: str | None = "robot"
    open: bool = False
    comments: Table = field(default_factory=dict)
    issues: Table = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)

    def add(self, table: Table, body: str, author: str) -> int:
        number = max(table, default=10) + 1
        table[number] = {"body": body, "author": author, "open": True}
        return number

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        raise NotImplementedError

    def page(self, items: list[Any], query: dict[str, str]) -> tuple[int, Any]:
        size, number = int(query.get("per_page", 20)), int(query.get("page", 1))
        if size > 100:
            return 400, {"message": "per_page is too large"}
        return 200, items[size * (number - 1) : size * number]

    def write(self, table: Table, number: int | None, body: str, shown: Any) -> tuple[int, Any]:
        if number is None:
            number = self.add(table, body, self.author)
            return 201, shown(number)
        if number not in table or table[number]["author"] != self.author:
            return 404, {"message": "Not Found"}
        table[number]["body"] = body
        return 200, shown(number)

    @property
    def author(self) -> str:
        return self.user or "github-actions[bot]"


class GitHubHost(Host):
    """The repository `team/fleet`."""

    def environ(self, folder: Path, *, pull_request: bool = True) -> dict[str, str]:
        event = folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 7}} if pull_request else {"ref": "refs/heads/main"}))
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_REPOSITORY": "team/fleet",
            "GITHUB_SHA": SHA,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_TOKEN": TOKEN,
        }

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if (method, path) == ("GET", "/user"):
            return (200, {"login": self.user}) if self.user else (403, {"message": "Resource not accessible"})
        match method, path.removeprefix("/repos/team/fleet").split("/")[1:]:
            case "GET", ["commits", sha, "pulls"] if sha == SHA:
                merged = None if self.open else "2026-11-27T10:00:00Z"
                return 200, [{"number": 7, "merged_at": merged, "merge_commit_sha": SHA}]
            case "GET", ["issues", "7", "comments"]:
                return self.page([self.comment(id) for id in self.comments], query)
            case "POST", ["issues", "7", "comments"]:
                return self.write(self.comments, None, body["body"], self.comment)
            case "PATCH", ["issues", "comments", id]:
                return self.write(self.comments, int(id), body["body"], self.comment)
            case "GET", ["issues"] if query["state"] == "open":
                pulls = [{"number": 7, "body": "", "pull_request": {}, "user": {"login": "ann"}}]
                return self.page([*pulls, *(self.issue(n) for n, each in self.issues.items() if each["open"])], query)
            case "POST", ["issues"]:
                return self.write(self.issues, None, body["body"], self.issue)
            case "PATCH", ["issues", number] if "state" in body:
                self.issues[int(number)]["open"] = body["state"] != "closed"
                return 200, self.issue(int(number))
            case "PATCH", ["issues", number]:
                return self.write(self.issues, int(number), body["body"], self.issue)
        return 404, {"message": "Not Found"}

    def comment(self, id: int) -> dict[str, Any]:
        each = self.comments[id]
        return {"id": id, "body": each["body"], "user": {"login": each["author"]}, "html_url": f"https://gh/c/{id}"}

    def issue(self, number: int) -> dict[str, Any]:
        each = self.issues[number]
        url = f"https://gh/i/{number}"
        return {"number": number, "id": 5, "body": each["body"], "user": {"login": each["author"]}, "html_url": url}


class GitLabHost(Host):
    """The project 42."""

    def environ(self, folder: Path, *, pull_request: bool = True) -> dict[str, str]:
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.url,
            "CI_PROJECT_ID": "42",
            "CI_COMMIT_SHA": SHA,
            "GITLAB_TOKEN": TOKEN,
            **({"CI_MERGE_REQUEST_IID": "7"} if pull_request else {}),
        }

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if (method, path) == ("GET", "/user"):
            return 200, {"username": self.author}
        match method, path.removeprefix("/projects/42").split("/")[1:]:
            case "GET", ["repository", "commits", sha, "merge_requests"] if sha == SHA:
                return 200, [{"iid": 7, "state": "opened" if self.open else "merged", "merged_at": "2026-11-27"}]
            case "GET", ["merge_requests", "7"]:
                return 200, {"web_url": "https://gl/mr/7"}
            case "GET", ["merge_requests", "7", "notes"]:
                return self.page([self.note(id) for id in self.comments], query)
            case "POST", ["merge_requests", "7", "notes"]:
                return self.write(self.comments, None, body["body"], self.note)
            case "PUT", ["merge_requests", "7", "notes", id]:
                return self.write(self.comments, int(id), body["body"], self.note)
            case "GET", ["issues"] if query["state"] == "opened":
                return self.page([self.issue(n) for n, each in self.issues.items() if each["open"]], query)
            case "POST", ["issues"]:
                return self.write(self.issues, None, body["description"], self.issue)
            case "PUT", ["issues", number] if "state_event" in body:
                self.issues[int(number)]["open"] = body["state_event"] != "close"
                return 200, self.issue(int(number))
            case "PUT", ["issues", number]:
                return self.write(self.issues, int(number), body["description"], self.issue)
        return 404, {"message": "404 Not Found"}

    def note(self, id: int) -> dict[str, Any]:
        each = self.comments[id]
        return {"id": id, "body": each["body"], "author": {"username": each["author"]}}

    def issue(self, number: int) -> dict[str, Any]:
        each = self.issues[number]
        url = f"https://gl/i/{number}"
        return {
            "iid": number,
            "id": 5,
            "description": each["body"],
            "author": {"username": each["author"]},
            "web_url": url,
        }


@contextmanager
def served(host: Host) -> Iterator[Host]:
    """The API of a host at `host.url`."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            url = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            host.requests.append((self.command, url.path))
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            token = self.headers.get("PRIVATE-TOKEN") or (self.headers.get("Authorization") or "").removeprefix(
                "Bearer "
            )
            if token != TOKEN:
                status, answer = 401, {"message": "Bad credentials"}
            elif host.answers:
                status, answer = host.answers.pop(0)
            else:
                status, answer = host.answer(self.command, url.path, query, body)
            text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_PUT = handle_one

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    host.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
