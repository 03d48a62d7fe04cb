"""One server, stand-in or real, as the machine sees it: everything that lives there, and every request of lettaform."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from lettaform import backend as server
from lettaform import flow
from lettaform.backend.v1 import send
from lettaform.backend.v1.contents import SETTLE
from lettaform.model import Manifest
from tests.live.fleet import READ_ONLY_POSTS, raw_client
from tests.standin import StandIn

Body = dict[str, Any]
Body = dict[str, Body]
"""Everything that lives, by id."""
SECTIONS = {
    "agent": "agents",
    "block": "blocks",
    "tool": "tools",
    "archive": "archives",
    "identity": "identities",
    "folder": "folders",
    "group": "groups",
    "conversation": "conversations",
    "provider": "providers",
    "mcp_server": "mcp_servers",
}
PATHS = {kind: section.replace("_", "-") for kind, section in SECTIONS.items()}
WORDED = {"archive": "description", "group": "description", "conversation": "summary"}
"""What keeps a mark at the end of a text."""
OFFERED = "external_mcp"
"""The type of tools that an MCP server brings."""
TAGGED = ("agent", "block", "tool")
"""What keeps a mark in tags. Of others it stands in a text, in metadata, or in the stack's record alone."""
SILENT = ("identities", "providers", "mcp_servers")
"""What has no room for a mark."""
RELATIONS = ("blocks", "tools", "folders", "identities", "archives")
"""What an agent has."""
_ID = re.compile(r"\b(?:agent|block|tool|archive|identity|source|group|conv|provider|mcp_server)-[0-9a-f-]{36}\b")
_MARK = re.compile(r"\n?\[lettaform ([a-z0-9-]+) ([^\n]+)\]\Z")
# what changes by itself, or says again what stands elsewhere
_RESTLESS = {
    *("updated_at", "last_updated_by_id", "created_by_id", "message_ids", "memory", "tool_exec_environment_variables"),
    *("last_run_completion", "last_run_duration_ms", "last_stop_reason", "metadata_", "pending_approval"),
    *("sources", "identity_ids", "multi_agent_group", "in_context_message_ids", "last_processed_message_id"),
    "turns_counter",
}


class Killed(BaseException):
    """The process that ran lettaform is gone."""


@dataclass
class Fault:
    """What goes wrong, at the `at`-th request: lost `before` or `after` acting, `500`, `down` from then on, killed."""

    kind: str
    at: int
    happened: bool = False


KINDS = ("before", "after", "500", "down", "kill before", "kill after")


@dataclass
class RecordingTransport(httpx.AsyncBaseTransport):
    """What lies between lettaform and a server: it remembers every request, and breaks where it is told to."""

    make: Callable[[], httpx.AsyncBaseTransport]
    fault: Fault | None = None
    chance: Callable[[], str | None] = lambda: None
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    broken: int = 0
    dead: bool = False
    flying: int = 0
    late: bool = False
    """Others were under way when it was killed: a server does what it has heard of, some time."""
    locks: set[str] = field(default_factory=set)
    """Paths that were about the lock."""

    def __post_init__(self) -> None:
        self.inner, self.spent = self.make(), list[httpx.AsyncBaseTransport]()

    def begin(self, fault: Fault | None = None) -> None:
        """Forget what was sent; a new process."""
        self.sent, self.fault, self.dead, self.late, self.flying = [], fault, False, False, 0
        self.inner, self.spent = self.make(), []

    async def aclose(self) -> None:
        """Close every connection that this process has opened."""
        for each in (self.inner, *self.spent):
            await each.aclose()

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        """What was no GET, did more than ask, and was not about the lock."""
        told = (
            each
            for each in self.sent
            if each[0] != "GET" and not each[1].endswith((*READ_ONLY_POSTS, "mcp/servers/test"))
        )
        return [each for each in told if not self._of_lock(*each)]

    def _of_lock(self, method: str, path: str, body: Any) -> bool:
        key = body.get("identifier_key") if isinstance(body, dict) else None
        return path in self.locks or (path == "/v1/identities/" and str(key).startswith("lettaform:lock"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        if self.dead:
            raise Killed
        body = json.loads(content) if content and "json" in request.headers.get("content-type", "") else None
        self.sent.append((request.method, request.url.path, body))
        kind = self._breaks()
        if kind in ("kill before", "kill after"):
            self.late = self.flying > 0
        if kind == "kill before":
            self.dead = True
            raise Killed
        if kind in ("before", "down"):
            raise httpx.ReadError("cut before it was read", request=request)
        if kind == "500":
            return httpx.Response(500, json={"detail": "An unknown error occurred"}, request=request)
        self.flying += 1
        try:
            answer = await self.inner.handle_async_request(request)
            await answer.aread()
        finally:
            self.flying -= 1
        if request.url.path == "/v1/identities/" and answer.is_success:
            told = answer.json()
            for each in told if isinstance(told, list) else [told]:
                if each["identifier_key"].startswith("lettaform:lock"):
                    self.locks.add(f"/v1/identities/{each['id']}")
        if kind is None and answer.status_code < 500:
            return answer
        if answer.status_code >= 500:  # 0.16.8 closes the socket after an unhandled error
            self.spent.append(self.inner)
            self.inner = self.make()
        if kind == "kill after":
            self.dead = True
            raise Killed
        if kind == "after":
            raise httpx.ReadError("cut before it was answered", request=request)
        return answer

    def _breaks(self) -> str | None:
        fault, number = self.fault, len(self.sent)
        if fault and (number == fault.at or (fault.kind == "down" and number > fault.at)):
            fault.happened = True
            self.broken += 1
            return fault.kind
        chance = self.chance()
        self.broken += chance is not None
        return chance


class _Hurried(asyncio.SelectorEventLoop):
    """Nobody waits: the clock jumps to whatever is due next."""

    _skipped = 0.0

    def time(self) -> float:
        return super().time() + self._skipped

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self._skipped += max(0.0, loop._scheduled[0]._when - self.time())
        super()._run_once()  # type: ignore[misc]


class Ground:
    """One server. `raw` speaks to it as an agent or a stranger would; `manifest` is what lettaform reads."""

    model, embedding, password = "openai-proxy/echo", "openai/text-embedding-3-small", None
    hurried = True

    def __init__(self, folder: Path, url: str, stacks: tuple[str, ...]) -> None:
        self.folder, self.url, self.stacks = folder, url, stacks
        self.manifest: Manifest | None = None
        self.wire = RecordingTransport(self.transport)

    def transport(self) -> httpx.AsyncBaseTransport:
        raise NotImplementedError

    def every(self, kind: str) -> list[Body]:
        """Everything of a kind that concerns the machine."""
        raise NotImplementedError

    @contextmanager
    def driven(self) -> Iterator[None]:
        """lettaform reads `manifest`, speaks through `wire`, and does not wait for what cannot come."""

        def connect(url: str, **options: Any) -> server.Server:
            return server.connect(url, **options, transport=self.wire)

        def run(main: Any) -> Any:
            with asyncio.Runner(loop_factory=_Hurried if self.hurried else None) as runner:
                return runner.run(main)

        with (
            patch.object(flow, "read", lambda source: self.manifest),
            patch.object(flow, "connect", connect),
            patch.object(flow.asyncio, "run", run),
            patch.object(send, "SETTLE", 0.0 if self.hurried else 0.3),
        ):
            yield

    def connection(self, *, lock: bool = True) -> flow.Connection:
        return flow.Connection(self.url, token=self.password, patience=5.0 if lock else None)

    def settle(self) -> None:
        """Until the server has done what a killed run had under way."""
        if self.wire.late and not self.hurried:
            time.sleep(SETTLE)

    def look(self) -> Body:
        """Everything that lives, without what changes by itself."""
        bodies = {kind: self.every(kind) for kind in SECTIONS}
        state = {body["id"]: still(kind, body) for kind, found in bodies.items() for body in found}
        for body in bodies["archive"]:
            path = f"/v1/archives/{body['id']}/agents"
            for agent in self.ask("GET", path, params={"limit": 1000}) or ():
                if agent["id"] in state:
                    state[agent["id"]]["archives"].append(body["id"])
            found = self.passages(body["id"])
            texts = ([each["text"], each["tags"] or [], each["metadata"] or {}] for each in found)
            state[body["id"]]["passages"] = sorted(texts, key=repr)
        for body in bodies["folder"]:
            asked = {"limit": 1000, "include_content": True}
            files = self.ask("GET", f"/v1/folders/{body['id']}/files", params=asked) or ()
            state[body["id"]]["files"] = sorted([each["original_file_name"], each["content"]] for each in files)
        for body in bodies["block"]:  # what has no room for a mark is known by the record alone
            stack = next((tag for tag in body["tags"] if tag.startswith("lettaform:stack=")), "")
            if stack and any(tag.startswith("lettaform:record") for tag in body["tags"]):
                for address, id in json.loads(body["value"])["ids"].items():
                    if address.partition(".")[0] in SILENT and id in state:
                        state[id]["tags"] = sorted([f"lettaform:addr={address}", stack])
        return state

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """A request of somebody else's; None where the server refuses it."""
        answer = self.raw.request(method, path, **({} if body is None else {"json": body}), **more)
        assert answer.status_code != 501, answer.text
        return (answer.json() if answer.content else {}) if answer.is_success else None

    def passages(self, archive: str) -> list[Body]:
        """What an archive holds."""
        asked = {"archive_id": archive, "limit": 100}
        return [each["passage"] for each in self.ask("POST", "/v1/passages/search", asked) or ()]

    raw: httpx.Client


class InMemory(Ground):
    """The stand-in."""

    def __init__(self, folder: Path, stacks: tuple[str, ...], tables: Any = None) -> None:
        self.standin = StandIn(seed=0 if tables is None else 1)  # or else a twin would give ids a second time
        if tables is not None:
            self.standin.tables = copy.deepcopy(tables)
        super().__init__(folder, "http://stand.in", stacks)
        self.raw = httpx.Client(transport=self.standin, base_url=self.url, headers={"User-Agent": "stranger/1"})

    def transport(self) -> httpx.AsyncBaseTransport:
        return self.standin

    def twin(self) -> InMemory:
        """Another server on which everything is the same."""
        return InMemory(self.folder, self.stacks, self.standin.tables)

    def every(self, kind: str) -> list[Body]:
        hidden = {f"show_hidden_{SECTIONS[kind]}": True}
        found: list[Body] = self.ask("GET", f"/v1/{PATHS[kind]}/", params={"limit": 1000, **hidden})
        return [body for body in found if not _beside(kind, body)]


class OnServer(Ground):
    """A real server, which others use, too: what carries our stacks' tags, is named after them, or was seen before."""

    hurried = False

    def __init__(self, folder: Path, letta: Any, stacks: tuple[str, ...]) -> None:
        self.model, self.embedding, self.password = letta.model, letta.embedding, letta.password
        super().__init__(folder, letta.url, stacks)
        self.words = tuple(stack.replace("-", "_") for stack in stacks)
        self.known: dict[str, set[str]] = {kind: set() for kind in SECTIONS}
        self.hanging: set[str] = set()
        self.raw = raw_client(self.url, letta.password)

    def transport(self) -> httpx.AsyncBaseTransport:
        limits = httpx.Limits(max_connections=10, keepalive_expiry=4)
        return httpx.AsyncHTTPTransport(verify=False, limits=limits)

    def every(self, kind: str) -> list[Body]:
        path, hidden = f"/v1/{PATHS[kind]}/", {f"show_hidden_{SECTIONS[kind]}": True}
        found: Body = {}
        if kind == "tool":
            bodies = self.ask("GET", path, params={"limit": 1000})
            bodies = [body for body in bodies if not _beside(kind, body)]
            return [body for body in bodies if body["name"].startswith(self.words)]
        if kind not in TAGGED:
            known = self.known[kind]
            bodies = [body for body in self.ask("GET", path, params={"limit": 1000}) if not _beside(kind, body)]
            bodies = [b for b in bodies if b["id"] in known or any(stack in json.dumps(b) for stack in self.stacks)]
            known |= {body["id"] for body in bodies}
            if kind == "group":
                self.known["agent"] |= {id for body in bodies for id in body["agent_ids"]}
            return bodies
        for stack in self.stacks:
            tags = {"tags": f"lettaform:stack={stack}", "limit": 1000, **hidden}
            found |= {body["id"]: body for body in self.ask("GET", path, params=tags)}
        if kind == "block":
            self.known["block"] |= self.hanging
        for id in self.known[kind] - found.keys():
            body = self.ask("GET", f"{path}{id}")
            if body is not None:
                found[id] = body
        self.known[kind] = set(found)
        if kind == "agent":
            self.hanging = {block["id"] for body in found.values() for block in body["blocks"]}
        return list(found.values())

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = super().ask(method, path, body, **more)
        if isinstance(answer, dict) and answer and method in ("POST", "PUT"):
            made = answer.get("agent_ids") or [answer.get("id") or ""]
            for id in made:
                word = id.split("-")[0]
                self.known.get({"source": "folder", "conv": "conversation"}.get(word, word), set()).add(id)
        return answer


def _beside(kind: str, body: Body) -> bool:
    """What nobody made, or is a lock."""
    if kind == "tool":
        return body["tool_type"] not in ("custom", OFFERED)
    return kind == "identity" and body["identifier_key"].startswith("lettaform:lock")


def still(kind: str, body: Body) -> Body:
    """A body without what changes by itself; what it refers to as ids; our mark as tags, wherever it stands."""
    told = {key: value for key, value in body.items() if key not in _RESTLESS}
    told["kind"], told["tags"] = kind, sorted(body.get("tags") or ())
    if kind == "agent":
        have = {**body, "folders": body["sources"], "archives": []}
        told |= {part: sorted(each["id"] for each in have[part]) for part in RELATIONS}
        told["labels"] = {each["label"]: each["id"] for each in body["blocks"]}
        told["secrets"] = {each["key"]: each["value"] for each in body["secrets"]}
        told["tool_rules"] = sorted(body["tool_rules"] or (), key=repr)
        told["metadata"] = told["metadata"] or {}
        told["managed_group"] = (body.get("managed_group") or {}).get("id")
    text = WORDED.get(kind)
    if text:
        told[text] = _MARK.sub("", body[text] or "").strip() or None  # a group's cannot be cleared: a space stays
    if text and (found := _MARK.search(body[text] or "")):
        told["tags"] = [f"lettaform:addr={found[2]}", f"lettaform:stack={found[1]}"]
    own = (body.get("metadata") or {}).get("lettaform", {}) if kind == "folder" else {}
    if {"stack", "addr"} <= own.keys():
        told["tags"] = [f"lettaform:addr={own['addr']}", f"lettaform:stack={own['stack']}"]
    return told


def targets(path: str) -> list[str]:
    """The ids in a path: what is written first, then its member."""
    return _ID.findall(path)
