"""One server, stand-in or real, for the machine: its objects, and a record of lettaform's requests."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import signal
import threading
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
from lettaform.backend.v1 import client
from lettaform.backend.v1.client import SETTLE
from lettaform.manifest import Draft
from lettaform.model import Manifest
from tests.live.fleet import READ_ONLY_POSTS, raw_client
from tests.standin import StandIn
from tests.standin.blocks import compiled

Body = dict[str, Any]
Objects = dict[str, Body]
"""All objects, by id."""
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
MARK_IN_TEXT = {"archive": "description", "group": "description", "conversation": "summary"}
"""Kinds that keep the mark at the end of a text field."""
EXTERNAL_TOOL = "external_mcp"
"""The type of tools that an MCP server offers."""
MARK_IN_TAGS = ("agent", "block", "tool")
"""Kinds that keep the mark in tags. Others keep it in a text or in metadata, or only the stack's state names them."""
WITHOUT_MARK = ("identities", "providers", "mcp_servers")
"""Kinds without room for a mark."""
RELATIONS = ("blocks", "tools", "folders", "identities", "archives")
"""The relations of an agent."""
_ID = re.compile(r"\b(?:agent|block|tool|archive|identity|source|group|conv|provider|mcp_server)-[0-9a-f-]{36}\b")
_MARK = re.compile(r"\n?\[lettaform ([a-z0-9-]+) ([^\n]+)\]\Z")
# fields that change by themselves, or repeat other fields
_VOLATILE = {
    *("updated_at", "last_updated_by_id", "created_by_id", "message_ids", "memory", "tool_exec_environment_variables"),
    *("last_run_completion", "last_run_duration_ms", "last_stop_reason", "metadata_", "pending_approval"),
    *("sources", "identity_ids", "multi_agent_group", "in_context_message_ids", "last_processed_message_id"),
    "turns_counter",
}
BEGIN = flow.begin
"""The real reader, of manifests in files."""


class Killed(BaseException):
    """The process that ran lettaform is gone."""


@dataclass
class Fault:
    """The fault at the `at`-th request: cut `before` or `after` acting, `500`, `down` from then on, or a kill.

    Or the process is stopped there: `interrupt` is a SIGINT, `cancel` cancels the run.
    """

    kind: str
    at: int
    happened: bool = False


KINDS = ("before", "after", "500", "down", "kill before", "kill after", "interrupt", "cancel")
STOPS = ("interrupt", "cancel")
"""Faults of the process, not of a request."""


@dataclass
class RecordingTransport(httpx.AsyncBaseTransport):
    """The transport between lettaform and a server: records every request and injects a fault."""

    create_transport: Callable[[], httpx.AsyncBaseTransport]
    fault: Fault | None = None
    chance: Callable[[], str | None] = lambda: None
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    broken: int = 0
    killed: bool = False
    task: asyncio.Task[Any] | None = None
    """The run that a fault cancels."""
    in_progress: int = 0
    has_unfinished: bool = False
    """Whether other requests were in progress at the kill: a server finishes what it has received."""
    locks: set[str] = field(default_factory=set)
    """Paths of requests about the lock."""

    def __post_init__(self) -> None:
        self.inner, self.closed = self.create_transport(), list[httpx.AsyncBaseTransport]()

    def reset(self, fault: Fault | None = None) -> None:
        """A new process with an empty record."""
        self.sent, self.fault, self.killed, self.has_unfinished, self.in_progress = [], fault, False, False, 0
        self.inner, self.closed = self.create_transport(), []

    async def aclose(self) -> None:
        """Close every connection that this process opened."""
        for each in (self.inner, *self.closed):
            await each.aclose()

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        """Requests that write: no GET, no POST that only reads, none about the lock."""
        candidates = (
            each
            for each in self.sent
            if each[0] != "GET" and not each[1].endswith((*READ_ONLY_POSTS, "mcp/servers/test"))
        )
        return [each for each in candidates if not self._is_lock_request(*each)]

    def _is_lock_request(self, method: str, path: str, body: Any) -> bool:
        key = body.get("identifier_key") if isinstance(body, dict) else None
        return path in self.locks or (path == "/v1/identities/" and str(key).startswith("lettaform:lock"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        if self.killed:
            raise Killed
        body = json.loads(content) if content and "json" in request.headers.get("content-type", "") else None
        self.sent.append((request.method, request.url.path, body))
        kind = self._next_fault()
        if kind in STOPS:
            await self._stop(kind)
            kind = None
        if kind in ("kill before", "kill after"):
            self.has_unfinished = self.in_progress > 0
        if kind == "kill before":
            self.killed = True
            raise Killed
        if kind in ("before", "down"):
            raise httpx.ReadError("cut before it was read", request=request)
        if kind == "500":
            return httpx.Response(500, json={"detail": "An unknown error occurred"}, request=request)
        self.in_progress += 1
        try:
            answer = await self.inner.handle_async_request(request)
            await answer.aread()
        finally:
            self.in_progress -= 1
        if request.url.path == "/v1/identities/" and answer.is_success:
            body = answer.json()
            for each in body if isinstance(body, list) else [body]:
                if each["identifier_key"].startswith("lettaform:lock"):
                    self.locks.add(f"/v1/identities/{each['id']}")
        if kind is None and answer.status_code < 500:
            return answer
        if answer.status_code >= 500:  # 0.16.8 closes the socket after an unhandled error
            self.closed.append(self.inner)
            self.inner = self.create_transport()
        if kind == "kill after":
            self.killed = True
            raise Killed
        if kind == "after":
            raise httpx.ReadError("cut before it was answered", request=request)
        return answer

    async def _stop(self, kind: str) -> None:
        if kind == "interrupt":
            signal.raise_signal(signal.SIGINT)
        elif self.task:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)
        for _ in range(3):  # what is stopped may be this request
            await asyncio.sleep(0)

    @property
    def is_stopped(self) -> bool:
        """Whether a fault has stopped the process, which may end with KeyboardInterrupt or CancelledError."""
        return self.fault is not None and self.fault.happened and self.fault.kind in STOPS

    def _next_fault(self) -> str | None:
        fault, number = self.fault, len(self.sent)
        if fault and (number == fault.at or (fault.kind == "down" and number > fault.at)):
            fault.happened = True
            self.broken += 1
            return fault.kind
        chance = self.chance()
        self.broken += chance is not None
        return chance


class _SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop without waiting: the clock advances to the next due call."""

    _skipped = 0.0

    def time(self) -> float:
        return super().time() + self._skipped

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self._skipped += max(0.0, loop._scheduled[0]._when - self.time())
        super()._run_once()  # type: ignore[misc]


class Environment:
    """One server. `raw` acts as an agent or another user; lettaform reads `manifest`."""

    model, embedding, password = "openai-proxy/echo", "openai/text-embedding-3-small", None
    skips_waiting = True

    def __init__(self, folder: Path, url: str, stacks: tuple[str, ...]) -> None:
        self.folder, self.url, self.stacks = folder, url, stacks
        self.taken = f"{stacks[0]}-taken"
        """The stack that takes over what nobody owns, and gives it up again."""
        self.manifest: Manifest | None = None
        self.recorder = RecordingTransport(self.transport)

    def transport(self) -> httpx.AsyncBaseTransport:
        raise NotImplementedError

    def list_kind(self, kind: str) -> list[Body]:
        """All objects of a kind that concern the machine."""
        raise NotImplementedError

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Make lettaform read `manifest` and send through `recorder`, and skip its waiting times.

        The manifest of another folder is read from its files.
        """

        def begin(source: flow.Source, *needs: Any, **more: Any) -> Draft:
            is_ours = source.directory == self.folder
            return Draft(None, lambda: self.manifest) if is_ours else BEGIN(source, *needs, **more)

        def connect(url: str, **options: Any) -> server.Server:
            return server.connect(url, **options, transport=self.recorder)

        def run(main: Any) -> Any:
            # the heartbeat of the lock has a thread of its own, and goes by real time
            is_main = threading.current_thread() is threading.main_thread()

            async def tracked() -> Any:
                if is_main:
                    self.recorder.task = asyncio.current_task()
                return await main

            with asyncio.Runner(loop_factory=_SkippingLoop if self.skips_waiting and is_main else None) as runner:
                return runner.run(tracked())

        with (
            patch.object(flow, "begin", begin),
            patch.object(flow, "connect", connect),
            patch.object(asyncio, "run", run),
            patch.object(client, "SETTLE", 0.0 if self.skips_waiting else 0.3),
            patch("lettaform.session.snapshots.commit_of", return_value=None),
            patch("lettaform.snapshot.folder.os.fsync"),
        ):
            yield

    def connection(self, *, lock: bool = True) -> flow.Connection:
        return flow.Connection(self.url, token=self.password, patience=5.0 if lock else None)

    def prompts(self) -> dict[str, tuple[str, str, str]]:
        """Id of an agent, or of a conversation without own blocks: its agent, its prompt, and that after a recompile.

        Empty if the server does not show them.
        """
        return {}

    def settle(self) -> None:
        """Wait until the server has finished what a killed run had in progress."""
        if self.recorder.has_unfinished and not self.skips_waiting:
            time.sleep(SETTLE)

    def all_objects(self) -> Objects:
        """All objects, without fields that change by themselves."""
        bodies = {kind: self.list_kind(kind) for kind in SECTIONS}
        state = {body["id"]: stable(kind, body) for kind, found in bodies.items() for body in found}
        for body in bodies["archive"]:
            path = f"/v1/archives/{body['id']}/agents"
            for agent in self.ask("GET", path, params={"limit": 1000}) or ():
                if agent["id"] in state:
                    state[agent["id"]]["archives"].append(body["id"])
            found = self.passages(body["id"])
            texts = ([each["text"], each["tags"] or [], each["metadata"] or {}] for each in found)
            state[body["id"]]["passages"] = sorted(texts, key=repr)
        for body in bodies["folder"]:
            query = {"limit": 1000, "include_content": True}
            files = self.ask("GET", f"/v1/folders/{body['id']}/files", params=query) or ()
            state[body["id"]]["files"] = sorted([each["original_file_name"], each["content"]] for each in files)
        for body in bodies["block"]:  # only the state names objects without room for a mark
            stack = next((tag for tag in body["tags"] if tag.startswith("lettaform:stack=")), "")
            if stack and any(tag.startswith("lettaform:state") for tag in body["tags"]):
                for address, id in json.loads(body["value"]).get("ids", {}).items():
                    if address.partition(".")[0] in WITHOUT_MARK and id in state:
                        state[id]["tags"] = sorted([f"lettaform:addr={address}", stack])
        return state

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """A request of another user; None where the server refuses it."""
        answer = self.raw.request(method, path, **({} if body is None else {"json": body}), **more)
        assert answer.status_code != 501, answer.text
        return (answer.json() if answer.content else {}) if answer.is_success else None

    def passages(self, archive: str) -> list[Body]:
        """The passages of an archive."""
        query = {"archive_id": archive, "limit": 100}
        return [each["passage"] for each in self.ask("POST", "/v1/passages/search", query) or ()]

    raw: httpx.Client


class InMemory(Environment):
    """The stand-in."""

    def __init__(self, folder: Path, stacks: tuple[str, ...], tables: Any = None) -> None:
        self.standin = StandIn(seed=0 if tables is None else 1)  # another seed, so that a duplicate does not repeat ids
        if tables is not None:
            self.standin.tables = copy.deepcopy(tables)
        super().__init__(folder, "http://stand.in", stacks)
        self.raw = httpx.Client(transport=self.standin, base_url=self.url, headers={"User-Agent": "other-client/1"})

    def transport(self) -> httpx.AsyncBaseTransport:
        return self.standin

    def duplicate(self) -> InMemory:
        """Another server with the same objects, and with a folder of its own."""
        folder = self.folder / "duplicate"
        folder.mkdir(exist_ok=True)
        return InMemory(folder, self.stacks, self.standin.tables)

    def prompts(self) -> dict[str, tuple[str, str, str]]:
        agents, conversations = self.standin.tables.agents, self.standin.tables.conversations
        fresh = {id: compiled(self.standin, agent) for id, agent in agents.items()}
        found = {id: (id, str(agent["_compiled"]), fresh[id]) for id, agent in agents.items()}
        for each in conversations.values():
            if not each["_deleted"] and not each["_blocks"]:
                found[each["id"]] = each["agent_id"], each["_compiled"], fresh[each["agent_id"]]
        return found

    def list_kind(self, kind: str) -> list[Body]:
        hidden = {f"show_hidden_{SECTIONS[kind]}": True}
        found: list[Body] = self.ask("GET", f"/v1/{PATHS[kind]}/", params={"limit": 1000, **hidden})
        return [body for body in found if not _is_ignored(kind, body)]


class OnServer(Environment):
    """A real server that others use as well: only objects with our stacks' tags or names, or seen before."""

    skips_waiting = False

    def __init__(self, folder: Path, letta: Any, stacks: tuple[str, ...]) -> None:
        self.model, self.embedding, self.password = letta.model, letta.embedding, letta.password
        super().__init__(folder, letta.url, stacks)
        self.prefixes = tuple(stack.replace("-", "_") for stack in stacks)
        self.known: dict[str, set[str]] = {kind: set() for kind in SECTIONS}
        self.attached_blocks: set[str] = set()
        self.raw = raw_client(self.url, letta.password)

    def transport(self) -> httpx.AsyncBaseTransport:
        limits = httpx.Limits(max_connections=10, keepalive_expiry=4)
        return httpx.AsyncHTTPTransport(verify=False, limits=limits)

    def list_kind(self, kind: str) -> list[Body]:
        path, hidden = f"/v1/{PATHS[kind]}/", {f"show_hidden_{SECTIONS[kind]}": True}
        found: Objects = {}
        if kind == "tool":
            bodies = self.ask("GET", path, params={"limit": 1000})
            bodies = [body for body in bodies if not _is_ignored(kind, body)]
            return [body for body in bodies if body["name"].startswith(self.prefixes)]
        if kind not in MARK_IN_TAGS:
            known = self.known[kind]
            bodies = [body for body in self.ask("GET", path, params={"limit": 1000}) if not _is_ignored(kind, body)]
            bodies = [b for b in bodies if b["id"] in known or any(stack in json.dumps(b) for stack in self.stacks)]
            known |= {body["id"] for body in bodies}
            if kind == "group":
                self.known["agent"] |= {id for body in bodies for id in body["agent_ids"]}
            return bodies
        for stack in (*self.stacks, self.taken):
            tags = {"tags": f"lettaform:stack={stack}", "limit": 1000, **hidden}
            found |= {body["id"]: body for body in self.ask("GET", path, params=tags)}
        if kind == "block":
            self.known["block"] |= self.attached_blocks
        for id in self.known[kind] - found.keys():
            body = self.ask("GET", f"{path}{id}")
            if body is not None:
                found[id] = body
        self.known[kind] = set(found)
        if kind == "agent":
            self.attached_blocks = {block["id"] for body in found.values() for block in body["blocks"]}
        return list(found.values())

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = super().ask(method, path, body, **more)
        if isinstance(answer, dict) and answer and method in ("POST", "PUT"):
            ids = answer.get("agent_ids") or [answer.get("id") or ""]
            for id in ids:
                word = id.split("-")[0]
                self.known.get({"source": "folder", "conv": "conversation"}.get(word, word), set()).add(id)
        return answer


def _is_ignored(kind: str, body: Body) -> bool:
    """Base tools, and the lock."""
    if kind == "tool":
        return body["tool_type"] not in ("custom", EXTERNAL_TOOL)
    return kind == "identity" and body["identifier_key"].startswith("lettaform:lock")


def stable(kind: str, body: Body) -> Body:
    """A body without fields that change by themselves; relations as ids; our mark as tags, wherever it is stored."""
    result = {key: value for key, value in body.items() if key not in _VOLATILE}
    result["kind"], result["tags"] = kind, sorted(body.get("tags") or ())
    if kind == "agent":
        have = {**body, "folders": body["sources"], "archives": []}
        result |= {part: sorted(each["id"] for each in have[part]) for part in RELATIONS}
        result["labels"] = {each["label"]: each["id"] for each in body["blocks"]}
        result["secrets"] = {each["key"]: each["value"] for each in body["secrets"]}
        result["tool_rules"] = sorted(body["tool_rules"] or (), key=repr)
        result["metadata"] = result["metadata"] or {}
        result["managed_group"] = (body.get("managed_group") or {}).get("id")
    text = MARK_IN_TEXT.get(kind)
    if text:
        result[text] = (
            _MARK.sub("", body[text] or "").strip() or None
        )  # a group's text cannot be cleared: a space remains
    if text and (found := _MARK.search(body[text] or "")):
        result["tags"] = [f"lettaform:addr={found[2]}", f"lettaform:stack={found[1]}"]
    if kind == "mcp_server":  # an empty map and none are the same
        result["env"] = result.get("env") or None
    own = (body.get("metadata") or {}).get("lettaform", {}) if kind == "folder" else {}
    if {"stack", "addr"} <= own.keys():
        result["tags"] = [f"lettaform:addr={own['addr']}", f"lettaform:stack={own['stack']}"]
    return result


def targets(path: str) -> list[str]:
    """The ids in a path: the object that is written, then its member."""
    return _ID.findall(path)
