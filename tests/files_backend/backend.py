"""A second backend: agents and their memory are files in a folder.

It has no room for marks, compiles no prompts, creates own blocks one by one as files of their agent, and has its own
place for the state and the lock. It proves that `plan` and `ownership` know nothing about the first backend.

    agents/<id>/agent.json          the fields of an agent
    agents/<id>/memory/<key>.json   the fields of a block
    state/<stack>/<page>.txt · lock.json
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, assert_never
from uuid import uuid4

from lettaform.backend import Arrived, Fields
from lettaform.errors import Conflict, Locked, NotFound, Problem, Unsupported
from lettaform.model import (
    WHOLE,
    Answer,
    Attach,
    Call,
    Capabilities,
    Context,
    Create,
    Delete,
    Dependents,
    Desired,
    Detach,
    Discover,
    Listing,
    Live,
    Lock,
    Manifest,
    Observed,
    Passage,
    SaveState,
    Shard,
    Step,
    Update,
)
from lettaform.ownership import state
from lettaform.values import Item, Patch, Ref, digest, fill

KINDS = ("agent", "block")
ABLE = Capabilities(listed=frozenset(KINDS), inline_parts=False, attach_parts=False)


class FilesBackend:
    """Agents and their memory as files below `root`. `writes` counts the operations that change a file."""

    capabilities = ABLE

    def __init__(self, root: Path) -> None:
        self.root, self.url = root, root.as_uri()
        self.requests = self.writes = 0
        self.stack = ""
        (root / "agents").mkdir(parents=True, exist_ok=True)

    # --- reads

    async def version(self) -> str:
        return "1"

    def require(self, manifest: Manifest, version: str, refused: Mapping[str, str]) -> None:
        problems = [
            Problem(f"{address}: agents in files have no {desired.kind}", desired.place, None, str(address))
            for address, desired in manifest.objects.items()
            if desired.kind not in KINDS or (desired.kind == "block" and address.parent is None)
        ]
        if problems:
            raise Unsupported("agents in files lack what the manifest declares", problems=problems)

    async def listing(self, stack: str | None, fields: Fields, arrived: Arrived | None = None) -> Listing:
        agents = [self._live("agent", path) for path in sorted(self.root.glob("agents/*/agent.json"))]
        attached = {agent.id: self._memory(agent.id) for agent in agents}
        blocks = tuple(block for every in attached.values() for block in every)
        pages = {path.stem: path.read_text() for path in sorted(self.root.glob(f"state/{stack}/*.txt"))}
        return Listing({"agent": tuple(agents), "block": blocks}, attached, pages)

    async def tagged(self, kind: str, tags: Sequence[str], fields: Collection[str]) -> Listing:
        every = await self.listing(None, {kind: fields})
        found = [each for each in every.objects[kind] if {*tags} <= {*(each.values.get("tags") or ())}]
        return Listing({kind: tuple(found)}, every.attached)

    async def states(self) -> Mapping[str, Mapping[str, str]]:
        folders = sorted(self.root.glob("state/*"))
        return {folder.name: {path.stem: path.read_text() for path in folder.glob("*.txt")} for folder in folders}

    def _memory(self, agent: str) -> tuple[Live, ...]:
        return tuple(self._live("block", path) for path in sorted(self.root.glob(f"agents/{agent}/memory/*.json")))

    def _live(self, kind: str, path: Path) -> Live:
        self.requests += 1
        values = json.loads(path.read_text())
        id = path.parent.name if kind == "agent" else f"{path.parent.parent.name}/{path.stem}"
        return Live(kind, id, str(values.get("name" if kind == "agent" else "label")), values)

    def _path(self, kind: str, id: str) -> Path:
        agent, _, key = id.partition("/")
        return self.root / "agents" / agent / ("agent.json" if kind == "agent" else f"memory/{key}.json")

    async def fetch(self, wanted: Sequence[tuple[str, str]]) -> Listing:
        found: dict[str, tuple[Live, ...]] = {}
        for kind, id in wanted:
            if self._path(kind, id).exists():
                found[kind] = (*found.get(kind, ()), self._live(kind, self._path(kind, id)))
        return Listing(found, {agent.id: self._memory(agent.id) for agent in found.get("agent", ())})

    async def one(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        if not self._path(kind, id).exists():
            raise NotFound(f"there is no {kind} `{id}`")
        return self._live(kind, self._path(kind, id)), self._memory(id) if kind == "agent" else ()

    async def several(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[Live, tuple[Live, ...]] | NotFound]:
        return [await self.one(kind, id) for kind, id in wanted]

    async def unattached(self, stack: str) -> frozenset[str]:
        return frozenset()

    async def candidates(self, desired: Desired) -> list[Live]:
        return []

    async def contents(self, wanted: Sequence[tuple[Live, str, Collection[str]]]) -> list[list[Any]]:
        return [[] for _ in wanted]

    async def nested(self, kind: str, owner: str) -> list[Live]:
        return []

    async def offered(self, live: Live, kind: str) -> list[Live]:
        return []

    async def copies(self, live: Live) -> list[Live]:
        return []

    async def users(
        self, lives: Sequence[Live], attached: Mapping[str, Sequence[Live]]
    ) -> Mapping[str, frozenset[str]]:
        return {live.id: frozenset({live.id.partition("/")[0]}) for live in lives}

    async def owned(self, kind: str, owners: Sequence[str]) -> Mapping[str, tuple[Live, ...]]:
        return {}

    async def dependents(self, lives: Sequence[Live]) -> Mapping[str, Dependents]:
        return {}

    async def probe(self, wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed) -> list[Problem]:
        return []

    # --- writes

    def begin(self, stack: str, known: frozenset[str]) -> None:
        self.stack = stack

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        self.requests += 1
        self.writes += 1
        match step:
            case Create():
                return self._create(step, answer)
            case Update():
                path = self._path(step.kind, step.id)
                now = self._live(step.kind, path).values if step.replaces else {}
                if any(digest(now.get(name) or "") != known for name, known in step.replaces.items()):
                    raise Conflict(f"{step.address}: was changed while this apply ran")
                return self._write(step.kind, path, fill(dict(step.fields), answer))
            case Delete():
                path = self._path(step.kind, step.id)
                shutil.rmtree(path.parent) if step.kind == "agent" else path.unlink(missing_ok=True)
                return Answer(step.id)
            case SaveState():
                shutil.rmtree(self.root / "state" / self.stack, ignore_errors=True)
                for number, page in enumerate(state.to_pages(step.state) if step.state else ()):
                    self._text(self.root / "state" / self.stack / f"{number:03}.txt", page)
                return Answer("")
            case Attach() | Detach() | Call() | Discover():
                raise AssertionError(f"agents in files have no such operation: {step.op}")
            case _:
                assert_never(step)

    def _create(self, step: Create, answer: Callable[[Ref], Any]) -> Answer:
        assert not step.parts, "own blocks are created one by one"
        if step.address.parent is None:
            path = self.root / "agents" / f"agent-{uuid4()}" / "agent.json"
        else:
            owner = fill(step.owner, answer)
            path = self._path("block", f"{owner}/{step.address.child}")
        return self._write(step.kind, path, fill(dict(step.fields), answer))

    def _write(self, kind: str, path: Path, fields: Mapping[str, Any]) -> Answer:
        values = json.loads(path.read_text()) if path.exists() else {}
        for name, value in fields.items():
            values[name] = _patched(values.get(name), value) if isinstance(value, Patch) else value
        self._text(path, json.dumps(values, indent=1))
        live = self._live(kind, path)
        return Answer(live.id, live.values)

    def _text(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    # --- lock

    @asynccontextmanager
    async def lock(self, stack: str, patience: float, shard: Shard = WHOLE) -> AsyncIterator[asyncio.Event]:
        try:
            with (self.root / "lock.json").open("x") as file:
                file.write(stack)
        except FileExistsError:
            raise Locked(f"stack `{stack}` is locked") from None
        try:
            yield asyncio.Event()
        finally:
            (self.root / "lock.json").unlink()

    async def holder(self, stack: str) -> Lock | None:
        return Lock("lock", "somebody", "now") if (self.root / "lock.json").exists() else None

    async def holders(self, stack: str) -> list[Lock]:
        held = await self.holder(stack)
        return [held] if held else []

    async def release(self, stack: str, lock: Lock) -> None:
        (self.root / "lock.json").unlink()

    # --- snapshots

    async def export(self, live: Live) -> Any:
        memory = self._memory(live.id)
        blocks = [{"id": f"block-{number}", **block.values} for number, block in enumerate(memory)]
        agent = {**live.values, "id": "agent-0", "block_ids": [block["id"] for block in blocks]}
        return {"agents": [{**agent, "messages": [], "in_context_message_ids": []}], "blocks": blocks, "tools": []}

    async def messages(self, live: Live) -> list[Mapping[str, Any]]:
        return []

    async def context(self, live: Live) -> list[str]:
        return []

    async def tokens(self, live: Live) -> Context:
        raise Unsupported("files have no context window")

    async def search(self, live: Live, text: str, limit: int, tags: Sequence[str]) -> list[Passage]:
        raise Unsupported("files have no archives")

    async def all_items(self, live: Live) -> Mapping[str, list[Item]]:
        return {}

    async def close(self) -> None:
        """Nothing is open."""


def _patched(have: Any, patch: Patch) -> Any:
    if patch.entries is not None:
        kept = {key: value for key, value in (have or {}).items() if key not in patch.drop}
        return kept | dict(patch.entries)
    kept_items = [item for item in have or () if item not in patch.drop]
    return [*kept_items, *(item for item in patch.put if item not in kept_items)]
