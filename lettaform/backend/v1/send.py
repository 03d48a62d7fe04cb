"""A Step to a request, and the request's answer to an Answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from typing import Any

from lettaform.address import Address
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.contents import HOLDS, SETTLE
from lettaform.backend.v1.objects import whole
from lettaform.backend.v1.relations import brought
from lettaform.errors import Conflict, NotFound, ServerError, Unavailable, nearest
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, path_get
from lettaform.model import FORGET, Answer, Live, Mark, Step
from lettaform.ownership import marks
from lettaform.values import Item, Patch, Ref, canonical, fill, secrets

RECORD_PART = 150_000
"""Characters of one block of the stack record."""


class Sender:
    """Carries out Steps on one server, for one stack."""

    def __init__(self, client: Client, stack: str, known: frozenset[str]) -> None:
        """`known`: ids that carry our marks already, so that a new one can be told from them."""
        self.client, self.stack, self.known = client, stack, known
        self.slowest = 0.0

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """Carry out one Step. `answer` says what a Ref stands for. Raises ServerError."""
        for secret in secrets(dict(step.fields)):
            self.client.hide(secret.value)
        match step.op:
            case "create":
                return await self._create(step, answer)
            case "take":
                return await self._take(step, answer)
            case "update":
                return await self._update(step, answer)
            case "link" | "unlink":
                return await self._link(step, answer)
            case "delete":
                return await self._delete(step)
            case "call":
                return await self._call(step, answer)
            case "record":
                return await self._record(step)

    # --- create

    async def _create(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        kind = kinds()[step.kind]
        fields = {name: fill(value, answer) for name, value in step.fields.items()}
        body = _wire(kind, fields)
        self._mark(kind, step, body, answer, {})
        for name, line in kind.attrs().items():
            if line.own and step.parts and line.write:
                body[line.write] = [self._part(step, name, line.own, key, answer) for key in step.parts]
        body = kind.encode(body, None)
        # a PUT by name can be sent again; a POST cannot
        if kind.requests.verb == "PUT":
            made = await self.client.send("PUT", kind.path, body=body)
        elif kind.requests.below:
            made = await self._post_below(kind, body, fields["agent"])
        else:
            made = await self._post(step, kind, body)
        live = marks.read(step.kind, made)
        self._expect(step, kind, body, made)
        parts = {each.get("label"): each["id"] for each in made.get("blocks") or ()}
        return Answer(live.id, live.values, {key: parts[key] for key in step.parts if key in parts})

    def _part(self, step: Step, field: str, kind: str, key: str, answer: Callable[[Ref], Any]) -> dict[str, Any]:
        # inline creation keeps tags and drops metadata (0.16.8): the base stands in the agent's own mark
        body = _wire(kinds()[kind], {name: fill(value, answer) for name, value in step.parts[key].items()})
        body["tags"] = [*body.get("tags", ()), *marks.tags(self.stack, step.address.part(field, key))]
        return body

    def _mark(
        self,
        kind: type[Kind],
        step: Step,
        body: dict[str, Any],
        answer: Callable[[Ref], Any],
        now: Mapping[str, Any],
    ) -> None:
        """Write the mark into a body, over what stands there `now` and stays."""
        assert step.mark is not None
        tags, metadata = now.get("tags") or (), now.get("metadata") or {}
        forget = step.mark == Mark() and not step.fields and step.member == FORGET
        if kind.tagged():
            claim = [] if forget else marks.tags(self.stack, step.address)
            body["tags"] = [*body.get("tags", marks.foreign_tags(tags)), *claim]
        elif text := kind.worded():
            self._worded(text, path_get(now, text.read or ""), step.address, body, forget)
        if kind.roomy():
            members = {name: _known(value, answer) for name, value in step.mark.members.items()}
            told = Mark(fill(dict(step.mark.base), answer), members, step.mark.parts)
            others = {key: value for key, value in {**metadata, **body.get("metadata", {})}.items() if key != marks.KEY}
            gone = set(metadata) - set(body["metadata"]) if "metadata" in body else set()
            others = {key: value for key, value in others.items() if key not in gone}
            inside = {} if kind.tagged() else {"stack": self.stack, "addr": str(step.address)}
            body["metadata"] = others | ({} if forget else {marks.KEY: marks.metadata(told) | inside})

    def _worded(self, text: Attr, now: Any, address: Address, body: dict[str, Any], forget: bool) -> None:
        """Write the mark at the end of a text, unless it stands there and the text stays."""
        wire, (plain, claim) = text.write or "", marks.unworded(now)
        if forget:
            # 0.16.8 takes no "" for the description of a group: it would keep our mark
            body[wire] = plain or ("" if text.clear == "" else " ")
        elif wire in body or claim != {"stack": self.stack, "addr": str(address)}:
            body[wire] = marks.worded(body.get(wire, plain) or "", self.stack, address)

    async def _post(self, step: Step, kind: type[Kind], body: Mapping[str, Any]) -> dict[str, Any]:
        """POST once. Where the answer is lost, look for our mark before anything is sent again."""
        asked = {line.write for line in kind.attrs().values() if line.query}
        query = {key: value for key, value in body.items() if key in asked}
        body = {key: value for key, value in body.items() if key not in asked}
        params: dict[str, Any] = dict(kind.requests.parameters)
        params |= {kind.requests.search: marks.opening(self.stack)} if kind.requests.search else {}
        if relations := kind.included(kind.attrs()):
            params["include"] = relations
        if kind.tagged():
            params |= {"tags": marks.tags(self.stack, step.address), "match_all_tags": True}
            return await self._make(kind.path, body, params)
        name = step.fields.get(kind.name_field)

        def mine(found: Mapping[str, Any]) -> bool:
            live = marks.read(step.kind, found)
            claims = live.stack == self.stack and live.address == step.address
            return claims or (kind.mark == "state" and live.name == name)

        return await self._make(kind.path, body, params, mine, query)

    async def _post_below(self, kind: type[Kind], body: Mapping[str, Any], above: str) -> dict[str, Any]:
        """What has no mark and no name is sent once: where no answer comes, the next apply looks for what it says."""
        made = await self.client.send("POST", f"{kind.path}{above}/{kind.requests.below}", body=body)
        return {**made, "agent_id": above}

    async def _make(
        self,
        path: str,
        body: Mapping[str, Any],
        params: Mapping[str, Any],
        mine: Callable[[Mapping[str, Any]], bool] = lambda found: True,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """POST; `params` list, and `mine` picks out, what it may have made."""
        for attempt in (1, 2, 3):
            started = time.monotonic()
            try:
                made: dict[str, Any] = await self.client.send("POST", path, params=query, body=body)
                self.slowest = max(self.slowest, time.monotonic() - started)
                return made
            except Unavailable as error:
                found = await self._look(path, params, mine) if error.ambiguous else None
                if found is not None:
                    return found
                if attempt == 3 or (error.status == 500 and attempt == 2):
                    raise
                await asyncio.sleep(min(error.retry_after or 0.3 * attempt, 30.0))
        raise AssertionError("unreachable")

    async def _look(
        self, path: str, params: Mapping[str, Any], mine: Callable[[Mapping[str, Any]], bool]
    ) -> dict[str, Any] | None:
        """What an unanswered POST has made, if it shows within the settle time. Unavailable if nobody can tell."""
        until = time.monotonic() + max(SETTLE, 3 * self.slowest)
        while True:
            last = time.monotonic() > until
            try:
                found: list[dict[str, Any]] = await self.client.pages(path, **params)
                new = [body for body in found if body["id"] not in self.known and mine(body)]
                if new or last:
                    return new[0] if new else None
            except Unavailable:
                if last:
                    raise
            await asyncio.sleep(0.5)

    def _expect(self, step: Step, kind: type[Kind], body: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """0.16.8 drops unknown and same-labelled blocks without a word: hold the answer against what was asked."""
        live = marks.read(step.kind, made)
        for line in kind.attrs().values():
            if line.link and line.write and line.write in body:
                lost = set(body[line.write]) - set(live.values.get(line.name) or ())
                if lost:
                    raise ServerError(
                        f"{step.address}: the server did not attach {', '.join(sorted(lost))}", "plan again"
                    )
        labels = {each.get("label") for each in made.get("blocks") or ()}
        if missing := [key for key in step.parts if step.parts[key].get("label", key) not in labels]:
            raise ServerError(f"{step.address}: the server did not make its blocks {', '.join(missing)}", "plan again")

    # --- what others bring

    async def _take(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """What came along with another object: found there, and then changed as anything that lives."""
        assert step.member is not None
        name, by = step.member
        bringer = next(kind for kind, table in kinds().items() if step.kind in table.discovers)
        found = await brought(self.client, bringer, fill(by, answer), step.kind)
        names = [marks.read(step.kind, body).name for body in found]
        mine = [body for body, each in zip(found, names, strict=True) if name in ("", each)]
        if not mine:
            what = f"{step.kind} `{name}`" if name else step.kind
            who = by.address if isinstance(by, Ref) else by
            told = f"{step.address}: {who} has no {what}, but {', '.join(sorted(names)) or 'nothing'}"
            near = nearest(name, names)
            raise ServerError(told, f"did you mean `{near}`?" if near else "plan again")
        if step.mark is None:
            live = marks.read(step.kind, mine[0])
            return Answer(live.id, live.values)
        return await self._update(replace(step, id=mine[0]["id"], member=None), answer)

    # --- update

    async def _update(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """Read again, lay the change over it, write: what others put there meanwhile is kept."""
        kind = kinds()[step.kind]
        include = {"include": relations} if (relations := kind.included(kind.attrs())) else {}
        now = await whole(self.client, step.kind, step.id or "")
        body = await self._change(step, kind, now, answer)
        # 0.16.8 recompiles every agent that has a block inside the request: 60 to 70 ms each
        within = self.client.timeout + 0.25 * step.users
        overtaken = step.kind == "block"
        if kind.requests.verb == "PUT" and step.member == FORGET:
            # an upsert keeps tags where it is told none, and PATCH resets what it is not told (0.16.8)
            body = {"tags": body["tags"], "enable_parallel_execution": now.get("enable_parallel_execution")}
            made = await self.client.send("PATCH", f"{kind.path}{step.id}", body=body, within=within)
        elif kind.requests.verb == "PUT" and not self._renames(kind, step, now):
            made = await self.client.send("PUT", kind.path, body=body, within=within)
        else:
            path = f"{kind.path}{step.id}"
            made = await self.client.send("PATCH", path, params=include, body=body, within=within, overtaken=overtaken)
            if lost := self._ignored(kind, step, made, answer):
                # 0.16.8 takes rules that differ in their arguments alone for the same: make room first
                emptied: dict[str, Any] = {n: [] for n, value in lost.items() if isinstance(value, list) and value}
                if emptied:
                    await self.client.send("PATCH", path, params=include, body=emptied, within=within)
                lost = kind.encode(lost, made)
                made = await self.client.send(
                    "PATCH", path, params=include, body=lost, within=within, overtaken=overtaken
                )
                if still := self._ignored(kind, step, made, answer):
                    names = ", ".join(still)
                    told = f"{step.address}: the server answered 200 and did not change {names}"
                    raise ServerError(told, "plan again")
        live = marks.read(step.kind, made)
        return Answer(live.id, live.values)

    async def _change(
        self, step: Step, kind: type[Kind], now: Mapping[str, Any], answer: Callable[[Ref], Any]
    ) -> dict[str, Any]:
        live = marks.read(step.kind, now)
        fields = {}
        for name, value in step.fields.items():
            line, value = kind.attrs()[name], fill(value, answer)
            fields[name] = _laid(line.merges, value, live.values.get(name)) if isinstance(value, Patch) else value
        body = _wire(kind, fields)
        if step.mark is not None:
            self._mark(kind, step, body, answer, now)
        else:
            marks.keep(kind, body, now)
        body = kind.encode(body, now)
        if self._renames(kind, step, now):
            # PATCH renames and keeps the id, but takes the schema from the caller
            code = {"code": body["source_code"]}
            body.setdefault("json_schema", None)
            body["json_schema"] = body["json_schema"] or await self.client.send(
                "POST", f"{kind.path}generate-schema", body=code, repeatable=True
            )
        return body

    @staticmethod
    def _renames(kind: type[Kind], step: Step, now: Mapping[str, Any]) -> bool:
        return kind.requests.verb == "PUT" and step.fields.get(kind.name_field, now.get("name")) != now.get("name")

    @staticmethod
    def _ignored(
        kind: type[Kind], step: Step, made: Mapping[str, Any] | None, answer: Callable[[Ref], Any]
    ) -> dict[str, Any]:
        """What was written and does not stand in the answer, ready to be sent again."""
        if made is None:
            return {}
        live, lost = marks.read(step.kind, made), {}
        for name, value in step.fields.items():
            line, value = kind.attrs()[name], fill(value, answer)
            if line.read is None or line.write is None or line.additive or line.secret:
                continue
            entries = dict(value.entries or ()) if isinstance(value, Patch) else None
            have = live.values.get(name)
            if entries is not None and line.merges and isinstance(have, Mapping):
                wrong = {key: new for key, new in entries.items() if not _holds(kind, name, have.get(key), new)}
                if wrong:
                    lost[line.write] = wrong
            elif entries is None and not _holds(kind, name, have, value):
                lost[line.write] = value
        return lost

    # --- the rest

    async def _link(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        assert step.member is not None
        kind, (name, member) = kinds()[step.kind], step.member
        if isinstance(member, Item):
            return await self._held(step, name, member, answer)
        verb = "attach" if step.op == "link" else "detach"
        id = step.id or answer(Ref(step.address))
        path = f"{kind.path}{id}/{kind.attrs()[name].link}/{verb}/{fill(member, answer)}"
        try:
            await self.client.send("PATCH", path)
        except NotFound:
            if step.op == "link":
                raise
        except Conflict:
            # 0.16.8 attaches a folder whose files it is still taking away, and answers 409 all the same
            now = marks.read(step.kind, await whole(self.client, step.kind, id))
            if step.op == "unlink" or fill(member, answer) not in (now.values.get(name) or ()):
                raise
        return Answer(id)

    async def _held(self, step: Step, field: str, item: Item, answer: Callable[[Ref], Any]) -> Answer:
        hold = HOLDS[kinds()[step.kind].attrs()[field].holds or ""]
        live = Live(step.kind, step.id or answer(Ref(step.address)), "", {})
        if step.op == "link":
            await hold.put(self.client, live, field, item)
        else:
            with suppress(NotFound):
                await hold.drop(self.client, live, field, item)
        return Answer(live.id)

    async def _delete(self, step: Step) -> Answer:
        if step.kind == "stack":
            for body in await self._record_blocks():
                await self._gone(f"/v1/blocks/{body['id']}")
            return Answer("")
        path = f"{kinds()[step.kind].path}{step.id}"
        if step.kind == "folder":
            await self._let_go(path)
        try:
            await self._gone(path)
        except ServerError as error:
            # 0.16.8 answers 400 where a tool is gone already
            if error.status != 400 or await self._alive(path):
                raise
        self.known -= {step.id}  # 0.16.8 gives a provider of the same name its old id again
        return Answer(step.id or "")

    async def _let_go(self, path: str) -> None:
        """0.16.8 leaves agents the tools for files where their last folder is deleted, and not detached before."""
        with suppress(NotFound):
            for agent in await self.client.get(f"{path}/agents"):
                with suppress(NotFound):
                    await self.client.send("PATCH", f"/v1/agents/{agent}/folders/detach/{path.rpartition('/')[2]}")

    async def _gone(self, path: str) -> None:
        """DELETE; what is not there is gone, too, maybe by a request of ours whose answer was lost."""
        with suppress(NotFound):
            await self.client.send("DELETE", path)

    async def _alive(self, path: str) -> bool:
        try:
            await self.client.get(path)
        except NotFound:
            return False
        return True

    async def _call(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        kind, id = kinds()[step.kind], step.id or answer(Ref(step.address))
        assert kind.call is not None
        path = f"{kind.path}{id}/{kind.call.name}"
        try:
            said = await self.client.send(kind.call.verb, path, repeatable=True)
        except NotFound as error:
            raise ServerError(f"{step.address}: {error.words}", "plan again", status=404, path=path) from error
        if not isinstance(said, kind.call.answer):  # whatever answered, it did not do it
            raise ServerError(f"{step.address}: {path} answered something else", "plan again", path=path)
        return Answer(id)

    async def _record_blocks(self) -> list[dict[str, Any]]:
        tags = [marks.stack_tag(self.stack)]
        params = {"label": marks.KEY, "tags": tags, "show_hidden_blocks": True}
        found: list[dict[str, Any]] = await self.client.pages("/v1/blocks/", **params)
        return [body for body in found if any(tag.startswith(marks.RECORD) for tag in body["tags"])]

    async def _record(self, step: Step) -> Answer:
        """Write the stack record over what stands there, in as many blocks as it needs."""
        await self.client.calm(SETTLE)  # or an earlier record could still come, and lie over this one
        now = await self._record_blocks()
        texts = _pages(dict(step.fields))
        for body, text in zip(now, texts, strict=False):
            if body["value"] != text:
                await self.client.send("PATCH", f"/v1/blocks/{body['id']}", body={"value": text}, overtaken=True)
        for number in range(len(now), len(texts)):
            tags = [marks.stack_tag(self.stack), f"{marks.RECORD}={number}"]
            told = {"label": "lettaform", "value": texts[number], "tags": tags, "hidden": True}
            told |= {
                "description": f"What lettaform remembers of stack {self.stack}. Not for agents.",
                "limit": 1_000_000,
            }
            await self._make("/v1/blocks/", told, {"tags": tags, "match_all_tags": True, "show_hidden_blocks": True})
        for body in now[len(texts) :]:
            await self._gone(f"/v1/blocks/{body['id']}")
        return Answer("")


def _wire(kind: type[Kind], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by the names that requests use."""
    lines = kind.attrs()
    return {lines[name].write or "": value for name, value in fields.items() if lines[name].write}


def _laid(merges: bool, change: Patch, have: Any) -> Any:
    """A Patch over what is live."""
    if change.entries is not None:
        entries = dict(change.entries)
        if merges:
            return entries
        return {key: value for key, value in {**(have or {}), **entries}.items() if key not in change.drop}
    return [item for item in have or () if item not in change.drop] + [i for i in change.put if i not in (have or ())]


def _holds(kind: type[Kind], name: str, have: Any, want: Any) -> bool:
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return all(_holds(kind, name, have.get(key), item) for key, item in want.items())
    empty = want in ("", [], {}) or want is None
    have, want = kind.normal(name, have), kind.normal(name, want)
    if kind.attrs()[name].unordered and isinstance(have, list) and isinstance(want, list):
        have, want = sorted(have, key=canonical), sorted(want, key=canonical)
    return (empty and not have) or canonical(have) == canonical(want) or want is None


def _known(members: tuple[Any, ...], answer: Callable[[Ref], Any]) -> tuple[Any, ...]:
    """Members as ids; what failed to be made is left out."""
    found = []
    for member in members:
        try:
            found.append(fill(member, answer))
        except LookupError:
            continue
    return tuple(found)


def _pages(fields: Mapping[str, Any]) -> list[str]:
    """The record as texts of bounded size; each stands for itself."""
    others = {key: fields[key] for key in ("protected", "copies", "pending", "carried_over", "intents")}
    tombstones = {id: marks.metadata(each) for id, each in fields["tombstones"].items()}
    pages: list[dict[str, Any]] = [{"ids": {}, "marks": {}, **others, "tombstones": tombstones}]
    size = 0
    entries = [("ids", address, id) for address, id in fields["ids"].items()]
    entries += [("marks", address, marks.metadata(each)) for address, each in fields["marks"].items()]
    for what, address, value in entries:
        size += len(address) + len(canonical(value)) + 8
        if size > RECORD_PART:
            pages.append({"ids": {}, "marks": {}})
            size = 0
        pages[-1][what][address] = value
    head = {"v": marks.VERSION, "environment": fields["environment"], "key": fields["key"] or token_hex(16)}
    return [json.dumps(head | page, indent=1, ensure_ascii=False) for page in pages]
