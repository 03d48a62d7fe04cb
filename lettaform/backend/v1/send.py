"""A Step to a request, and the request's answer to an Answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, assert_never

from lettaform.backend.v1.client import Client
from lettaform.backend.v1.concurrency import together
from lettaform.backend.v1.contents import HOLDS
from lettaform.backend.v1.decode import decode
from lettaform.backend.v1.objects import discovered, whole
from lettaform.backend.v1.state import delete_pages, write_pages
from lettaform.errors import Conflict, NotFound, ServerError, nearest
from lettaform.kinds import kinds
from lettaform.kinds.base import Kind
from lettaform.kinds.traits import Contents, Owner, Parts
from lettaform.model import (
    Answer,
    Attach,
    Call,
    Create,
    Delete,
    Detach,
    Discover,
    Live,
    Mark,
    SaveState,
    State,
    Step,
    Update,
    contents,
)
from lettaform.ownership import marks
from lettaform.ownership.state import to_pages
from lettaform.values import UNREAD, Item, Patch, Ref, canonical, fill, secrets


class Sender:
    """Carries out Steps on one server, for one stack."""

    def __init__(self, client: Client, stack: str, known: frozenset[str]) -> None:
        """`known`: ids that carry our marks already, so that a new one can be told from them."""
        self.client, self.stack, self.known = client, stack, known

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """Carry out one Step. `answer` says what a Ref stands for. Raises ServerError."""
        for secret in secrets(list(contents(step))):
            self.client.hide(secret.value)
        match step:
            case Create():
                return await self._create(step, answer)
            case Discover():
                return await self._discover(step, answer)
            case Update():
                return await self._update(step, answer)
            case Attach() | Detach():
                return await self._link(step, answer)
            case Delete():
                return await self._delete(step)
            case Call():
                return await self._call(step, answer)
            case SaveState():
                return await self._save(step)
            case _:
                assert_never(step)

    # --- create

    async def _create(self, step: Create, answer: Callable[[Ref], Any]) -> Answer:
        kind = kinds()[step.kind]
        fields = {name: fill(value, answer) for name, value in step.fields.items()}
        body = _wire(kind, fields)
        self._mark(kind, step, body, answer, {})
        for name, line in kind.attrs().items():
            if (own := line.related(Parts)) and step.parts and line.write:
                body[line.write] = [self._part(step, name, own.kind, key, answer) for key in step.parts]
        body = kind.encode(body, None)
        # a PUT by name can be sent again; a POST cannot
        if kind.requests.verb == "PUT":
            made = await self.client.send("PUT", kind.path, body=body)
        elif kind.requests.below:
            made = await self._post_below(kind, body, fields["agent"])
        else:
            made = await self._post(step, kind, body)
        live = decode(step.kind, made)
        self._expect(step, kind, body, made)
        parts = {each.get("label"): each["id"] for each in made.get("blocks") or ()}
        return Answer(live.id, live.values, {key: parts[key] for key in step.parts if key in parts})

    def _part(self, step: Create, field: str, kind: str, key: str, answer: Callable[[Ref], Any]) -> dict[str, Any]:
        # inline creation keeps tags and drops metadata (0.16.8): the base stands in the agent's own mark
        body = _wire(kinds()[kind], {name: fill(value, answer) for name, value in step.parts[key].items()})
        body["tags"] = [*body.get("tags", ()), *marks.tags(self.stack, step.address.part(field, key))]
        return body

    def _mark(
        self,
        kind: type[Kind],
        step: Create | Update,
        body: dict[str, Any],
        answer: Callable[[Ref], Any],
        now: Mapping[str, Any],
    ) -> None:
        """Put the mark into a body, or leave it out to forget the object."""
        assert step.mark is not None
        if isinstance(step, Update) and step.forget:
            marks.erase(kind, body, now)
        else:
            members = {name: _known(value, answer) for name, value in step.mark.members.items()}
            mark = Mark(fill(dict(step.mark.base), answer), members, step.mark.parts)
            marks.write(kind, body, now, self.stack, step.address, mark)

    async def _post(self, step: Create, kind: type[Kind], body: Mapping[str, Any]) -> dict[str, Any]:
        """POST an object. If the answer is lost, it is looked for by its mark before anything is sent again."""
        asked = {line.write for line in kind.attrs().values() if (owner := line.related(Owner)) and owner.in_query}
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
            live = decode(step.kind, found)
            claims = live.stack == self.stack and live.address == step.address
            return claims or (kind.mark == "state" and live.name == name)

        return await self._make(kind.path, body, params, mine, query)

    async def _post_below(self, kind: type[Kind], body: Mapping[str, Any], above: str) -> dict[str, Any]:
        """POST an object without mark and name, once. If the answer is lost, the next apply looks for its content."""
        made = await self.client.object("POST", f"{kind.path}{above}/{kind.requests.below}", body=body)
        return {**made, "agent_id": above}

    async def _make(
        self,
        path: str,
        body: Mapping[str, Any],
        params: Mapping[str, Any],
        mine: Callable[[Mapping[str, Any]], bool] = lambda found: True,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """POST. If the answer is lost, `params` list what it may have created, and `mine` selects it."""

        async def find_again() -> Mapping[str, Any] | None:
            found: list[dict[str, Any]] = await self.client.pages(path, **params)
            return next((each for each in found if each["id"] not in self.known and mine(each)), None)

        return await self.client.create(path, params=query, body=body, find_again=find_again)

    def _expect(self, step: Create, kind: type[Kind], body: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """0.16.8 drops unknown and same-labelled blocks without a word: hold the answer against what was asked."""
        live = decode(step.kind, made)
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

    # --- discover

    async def _discover(self, step: Discover, answer: Callable[[Ref], Any]) -> Answer:
        """Find what was created along with another object, and then update it as any other."""
        name, by = step.name, step.source
        bringer = next(kind for kind, table in kinds().items() if step.kind in table.discovers)
        found = await discovered(self.client, bringer, fill(by, answer), step.kind)
        names = [decode(step.kind, body).name for body in found]
        mine = [body for body, each in zip(found, names, strict=True) if name in ("", each)]
        if not mine:
            what = f"{step.kind} `{name}`" if name else step.kind
            who = by.address if isinstance(by, Ref) else by
            told = f"{step.address}: {who} has no {what}, but {', '.join(sorted(names)) or 'nothing'}"
            near = nearest(name, names)
            raise ServerError(told, f"did you mean `{near}`?" if near else "plan again")
        if step.mark is None:
            live = decode(step.kind, mine[0])
            return Answer(live.id, live.values)
        id, fields = mine[0]["id"], step.fields
        return await self._update(
            Update(step.key, step.address, step.kind, id=id, fields=fields, mark=step.mark), answer
        )

    # --- update

    async def _update(self, step: Update, answer: Callable[[Ref], Any]) -> Answer:
        """Read again, lay the change over it, write: what others put there meanwhile is kept."""
        kind = kinds()[step.kind]
        include = {"include": relations} if (relations := kind.included(kind.attrs())) else {}
        now = await whole(self.client, step.kind, step.id)
        body = await self._change(step, kind, now, answer)
        # 0.16.8 recompiles every agent that has a block inside the request: 60 to 70 ms each
        within = self.client.timeout + 0.25 * step.users
        overtaken = step.kind == "block"
        if kind.requests.verb == "PUT" and step.forget:
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
        live = decode(step.kind, made)
        return Answer(live.id, live.values)

    async def _change(
        self, step: Update, kind: type[Kind], now: Mapping[str, Any], answer: Callable[[Ref], Any]
    ) -> dict[str, Any]:
        live = decode(step.kind, now)
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
    def _renames(kind: type[Kind], step: Update, now: Mapping[str, Any]) -> bool:
        return kind.requests.verb == "PUT" and step.fields.get(kind.name_field, now.get("name")) != now.get("name")

    @staticmethod
    def _ignored(
        kind: type[Kind], step: Update, made: Mapping[str, Any] | None, answer: Callable[[Ref], Any]
    ) -> dict[str, Any]:
        """What was written and does not stand in the answer, ready to be sent again."""
        if made is None:
            return {}
        live, lost = decode(step.kind, made), {}
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

    async def _link(self, step: Attach | Detach, answer: Callable[[Ref], Any]) -> Answer:
        kind, name, member = kinds()[step.kind], step.field, step.member
        if isinstance(member, Item):
            return await self._held(step, name, member, answer)
        id = step.id or answer(Ref(step.address))
        path = f"{kind.path}{id}/{kind.attrs()[name].link}/{step.op}/{fill(member, answer)}"
        try:
            await self.client.send("PATCH", path)
        except NotFound:
            if isinstance(step, Attach):
                raise
        except Conflict:
            # 0.16.8 attaches a folder whose files it is still taking away, and answers 409 all the same
            have = decode(step.kind, await whole(self.client, step.kind, id)).values.get(name)
            # the answer does not hold what has a list of its own, as an archive
            if isinstance(step, Detach) or have is UNREAD or fill(member, answer) not in (have or ()):
                raise
        return Answer(id)

    async def _held(self, step: Attach | Detach, field: str, item: Item, answer: Callable[[Ref], Any]) -> Answer:
        contents = kinds()[step.kind].attrs()[field].related(Contents)
        assert contents is not None
        hold = HOLDS[contents.what]
        live = Live(step.kind, step.id or answer(Ref(step.address)), "", {})
        if isinstance(step, Attach):
            await hold.put(self.client, live, field, item)
        else:
            with suppress(NotFound):
                await hold.drop(self.client, live, field, item)
        return Answer(live.id)

    async def _delete(self, step: Delete) -> Answer:
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
        return Answer(step.id)

    async def _let_go(self, path: str) -> None:
        """Detach a folder from all agents: 0.16.8 leaves them the tools for files if it is deleted while attached."""
        folder = path.rpartition("/")[2]

        async def detach(agent: str) -> None:
            with suppress(NotFound):
                await self.client.send("PATCH", f"/v1/agents/{agent}/folders/detach/{folder}")

        with suppress(NotFound):
            await together(detach(agent) for agent in await self.client.pages(f"{path}/agents"))

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

    async def _call(self, step: Call, answer: Callable[[Ref], Any]) -> Answer:
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

    async def _save(self, step: SaveState) -> Answer:
        """Write the state of the stack, or remove it."""
        await self.client.calm()  # or an earlier write could still arrive, and replace this one
        (empty,) = to_pages(State())
        if step.state is None:
            await delete_pages(self.client, self.stack, empty, self._make)
        else:
            await write_pages(self.client, self.stack, to_pages(step.state), empty, self._make)
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
