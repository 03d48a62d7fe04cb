"""A Step to requests, and their answers to an Answer."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, assert_never, get_origin

from lettaform.backend.concurrency import together
from lettaform.backend.listed import Listed
from lettaform.backend.v1 import encode, verify
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.contents import CONTENTS
from lettaform.backend.v1.decode import decode
from lettaform.backend.v1.messages import begin, history
from lettaform.backend.v1.objects import discovered, members, whole
from lettaform.backend.v1.state import Stored, all_pages
from lettaform.backend.v1.usages import BULK
from lettaform.errors import Conflict, NotFound, ServerError, nearest
from lettaform.kinds import kinds
from lettaform.kinds.base import Kind
from lettaform.kinds.traits import Contents, LabelsOf, Owner
from lettaform.model import (
    Answer,
    Attach,
    Call,
    Create,
    Delete,
    Detach,
    Discover,
    Live,
    SaveState,
    State,
    Step,
    Update,
    contents,
)
from lettaform.ownership import others
from lettaform.ownership.claims import is_claimed
from lettaform.ownership.state import to_pages
from lettaform.values import UNREAD, Item, Patch, Ref, digest, fill, secrets


class Sender:
    """Carries out Steps on one server, for one stack."""

    def __init__(self, client: Client, stack: str, known: frozenset[str]) -> None:
        """`known`: ids that carry the stack's marks already, so that a new object can be recognized."""
        self.client, self.stack, self.known = client, stack, known
        self.lending = defaultdict[str, asyncio.Lock](asyncio.Lock)
        """Id of an agent to what lets one conversation at a time get messages of it."""
        self.listed: dict[str, Listed] = {}
        """Id of an agent to the messages that it had when its first conversation began."""

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """Carry out one Step. `answer` returns the value of a Ref. Raises ServerError."""
        for secret in secrets(list(contents(step))):
            self.client.hide(*secret.texts)
        with _as_fields(step):
            return await self._send(step, answer)

    async def _send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
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
                return await _call(self.client, step, answer)
            case SaveState():
                return await self._save(step)
            case _:
                assert_never(step)

    # --- create

    async def _create(self, step: Create, answer: Callable[[Ref], Any]) -> Answer:
        kind = kinds()[step.kind]
        body = encode.creation(step, self.stack, answer)
        # a PUT by name can be sent again; a POST cannot
        if step.history is not None and (line := kind.owner_line()):
            result = await _begin(self, step.history["keys"], body.pop(line.write or line.name), body)
        elif step.history is not None:
            result = await _import(self, step, kind, body, answer)
        elif kind.requests.verb == "PUT":
            result = await self.client.object("PUT", kind.path, body=body)
        elif kind.requests.below:
            result = await _post_below(self.client, kind, body, step, answer)
        else:
            created = await self._post(step, kind, body)
            result = await _completed(self.client, step, kind, body, created, answer)
        live = decode(step.kind, result)
        verify.check_created(step, result, answer)
        if kind.relations(LabelsOf):
            await _fill_copies(self, step, live.id, answer)
        return Answer(live.id, live.values, encode.created_parts(step, result))

    async def _post(self, step: Create, kind: type[Kind], body: Mapping[str, Any]) -> dict[str, Any]:
        """POST an object. If the answer is lost, it is looked for by its mark before anything is sent again."""
        asked = {line.write for line, owner in kind.relations(Owner) if owner.in_query}
        query = {key: value for key, value in body.items() if key in asked}
        body = {key: value for key, value in body.items() if key not in asked}
        params = encode.search(step, self.stack)
        if kind.claims_in_tags():
            return await self._post_once(kind.path, body, params)
        name = step.fields.get(kind.name_field)

        async def is_created(found: Mapping[str, Any]) -> bool:
            live = decode(step.kind, found)
            if kind.mark == "state" and live.name == name:
                await _check_creator(self.client, self.stack, step, live)
                return True
            return is_claimed(live, self.stack, step.address)

        return await self._post_once(kind.path, body, params, is_created, query)

    async def _post_once(
        self,
        path: str,
        body: Mapping[str, Any],
        params: Mapping[str, Any],
        is_created: Callable[[Mapping[str, Any]], Awaitable[bool]] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """POST. If the answer is lost, `params` list what it may have created, and `is_created` selects it."""

        async def find_again() -> Mapping[str, Any] | None:
            found: list[dict[str, Any]] = await self.client.pages(path, **params)
            new = (each for each in found if each["id"] not in self.known)
            created = [each for each in new if is_created is None or await is_created(each)]
            return created[0] if created else None

        return await self.client.create(path, params=query, body=body, find_again=find_again)

    # --- discover

    async def _discover(self, step: Discover, answer: Callable[[Ref], Any]) -> Answer:
        """Find what was created along with another object, and then update it like any other object."""
        name, source = step.name, step.source
        found = await discovered(self.client, step.creator, fill(source, answer), step.kind)
        names = [decode(step.kind, body).name for body in found]
        matching = [body for body, each in zip(found, names, strict=True) if name in ("", each)]
        if not matching:
            what = f"{step.kind} `{name}`" if name else step.kind
            owner = source.address if isinstance(source, Ref) else source
            message = f"{step.address}: {owner} has no {what}; it has {', '.join(sorted(names)) or 'none'}"
            near = nearest(name, names)
            raise ServerError(message, f"did you mean `{near}`?" if near else "plan again")
        if step.mark is None:
            live = decode(step.kind, matching[0])
            return Answer(live.id, live.values)
        id, fields = matching[0]["id"], step.fields
        return await self._update(
            Update(step.key, step.address, step.kind, id=id, fields=fields, mark=step.mark), answer
        )

    # --- update

    async def _update(self, step: Update, answer: Callable[[Ref], Any]) -> Answer:
        """Read the object again, merge the change into it, and write: what others added in the meantime is kept."""
        kind, id = kinds()[step.kind], step.id or answer(Ref(step.address))
        now = await whole(self.client, step.kind, id)
        _check_unmoved(step, now)
        body = await self._change(step, kind, now, answer)
        # 0.16.8 recompiles every agent that has a block inside the request: 60 to 70 ms each
        within = self.client.timeout + 0.25 * step.users
        if kind.requests.verb == "PUT" and step.forget:
            # an upsert without tags keeps them, and a PATCH resets what it does not name (0.16.8)
            body = {"tags": body["tags"], "enable_parallel_execution": now.get("enable_parallel_execution")}
            changed = await self.client.object("PATCH", f"{kind.path}{id}", body=body, within=within)
        elif kind.requests.verb == "PUT" and not encode.renames(kind, step, now):
            changed = await self.client.object("PUT", kind.path, body=body, within=within)
            lost = verify.not_stored(step.kind, step.fields, changed, answer)
            verify.raise_not_stored((step.address, path) for path in lost)
        else:
            path = f"{kind.path}{id}"
            replaced = await _replace(self.client, step, path, body)
            changed = await self._patch(step, path, body, within, answer, replaced)
        live = decode(step.kind, changed)
        return Answer(live.id, live.values)

    async def _patch(
        self,
        step: Update,
        path: str,
        body: dict[str, Any],
        within: float,
        answer: Callable[[Ref], Any],
        changed: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """PATCH; once more for what the server answered 200 to and did not store. NotStored if it still does not.

        changed  the object, if a request before this one has changed it: an empty body is then not sent
        """
        kind = kinds()[step.kind]
        included = kind.included(kind.attrs())
        # the server answers 409 to all but one of several writers of a block
        options: dict[str, Any] = {"within": within, "overtaken": step.kind == "block"}
        options |= {"params": {"include": included}} if included else {}
        if body or changed is None:
            changed = await self.client.object("PATCH", path, body=body, **options)
        lost = verify.not_stored(step.kind, step.fields, changed, answer)
        if not lost:
            return changed
        again = encode.again(step, lost, body, answer)
        # 0.16.8 treats rules that differ only in their arguments as equal: empty the list first
        emptied: dict[str, Any] = {name: [] for name in _whole_lists(kind) if again.get(name)}
        if emptied:
            await self.client.object("PATCH", path, body=emptied, **options)
        if again:
            changed = await self.client.object("PATCH", path, body=kind.encode(again, changed), **options)
        still = verify.not_stored(step.kind, step.fields, changed, answer)
        verify.raise_not_stored((step.address, path) for path in still)
        return changed

    async def _change(
        self, step: Update, kind: type[Kind], now: Mapping[str, Any], answer: Callable[[Ref], Any]
    ) -> dict[str, Any]:
        body = encode.change(step, self.stack, answer, now)
        if encode.renames(kind, step, now):
            # PATCH renames and keeps the id, but takes the schema from the caller
            code = {"code": body["source_code"]}
            body.setdefault("json_schema", None)
            body["json_schema"] = body["json_schema"] or await self.client.send(
                "POST", f"{kind.path}generate-schema", body=code, repeatable=True
            )
        return body

    # --- the rest

    async def _link(self, step: Attach | Detach, answer: Callable[[Ref], Any]) -> Answer:
        kind, name, member = kinds()[step.kind], step.field, step.member
        if isinstance(member, Item):
            return await _change_item(self.client, step, member, answer)
        id = step.id or answer(Ref(step.address))
        path = f"{kind.path}{id}/{kind.attrs()[name].link}/{step.op}/{fill(member, answer)}"
        try:
            returned = await self.client.send("PATCH", path)
            linked = await members(self.client, step.kind, name, id, returned)
            if (fill(member, answer) in linked) is isinstance(step, Detach):
                verify.raise_not_stored([(step.address, name)])
        except NotFound:
            if isinstance(step, Attach):
                raise
        except Conflict:
            # 0.16.8 attaches a folder whose files it is still detaching, and answers 409 nevertheless
            have = decode(step.kind, await whole(self.client, step.kind, id)).values.get(name)
            # the answer does not hold what has a list of its own, as an archive
            if isinstance(step, Detach) or have is UNREAD or fill(member, answer) not in (have or ()):
                raise
        return Answer(id)

    async def _delete(self, step: Delete) -> Answer:
        path = f"{kinds()[step.kind].path}{step.id}"
        if step.kind == "folder":
            await _detach_from_agents(self.client, path)
        try:
            await self._delete_path(path)
        except ServerError as error:
            # 0.16.8 answers 400 for a tool that does not exist
            if error.status != 400 or await _exists(self.client, path):
                raise
        self.known -= {step.id}  # 0.16.8 gives a new provider of the same name the same id
        return Answer(step.id)

    async def _delete_path(self, path: str) -> None:
        """DELETE. 404 is a success: an earlier request, whose answer was lost, may have deleted the object."""
        with suppress(NotFound):
            await self.client.send("DELETE", path)

    async def _save(self, step: SaveState) -> Answer:
        """Write the state of the stack, or remove it."""
        await self.client.calm()  # otherwise an earlier write could arrive later, and replace this one
        stored = Stored(self.client, self.stack, self._post_once, str(step.shard) if step.shard else "")
        (empty,) = to_pages(State(), step.shard)
        drops = [*map(str, step.drops)]
        if step.state is None:
            await stored.delete(empty, drops)
        else:
            await stored.write(to_pages(step.state, step.shard), empty, drops)
        return Answer("")


async def _replace(client: Client, step: Update, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """PUT the maps that lose entries and to which a PATCH only adds, and take them out of the body."""
    kind, changed = kinds()[step.kind], None
    for name, below in kind.requests.replaced.items():
        value = step.fields.get(name)
        if name in step.fields and not (isinstance(value, Patch) and not value.drop):
            whole_map = body.pop(kind.attrs()[name].write or name)
            changed = await client.object("PUT", f"{path}/{below}", body=whole_map)
    return changed


async def _change_item(client: Client, step: Attach | Detach, item: Item, answer: Callable[[Ref], Any]) -> Answer:
    """Add an Item to what an object contains, or remove it."""
    contents = kinds()[step.kind].attrs()[step.field].related(Contents)
    assert contents is not None
    content = CONTENTS[contents.what]
    live = Live(step.kind, step.id or answer(Ref(step.address)), "", {})
    if isinstance(step, Attach):
        await content.add(client, live, step.field, item)
    else:
        with suppress(NotFound):
            await content.remove(client, live, step.field, item)
    return Answer(live.id)


def _check_unmoved(step: Update, now: Mapping[str, Any]) -> None:
    """Raise Conflict if a text that the step may replace has changed since it was read."""
    values = decode(step.kind, now).values if step.replaces else {}
    if moved := [name for name, known in step.replaces.items() if digest(values.get(name) or "") != known]:
        fields = ", ".join(f"`{name}`" for name in moved)
        raise Conflict(
            f"{step.address}: {fields} was changed while this apply ran; it was not overwritten", "plan again"
        )


async def _begin(sender: Sender, keys: Sequence[str], agent: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a conversation with messages of its agent, one at a time."""
    async with sender.lending[agent]:
        if agent not in sender.listed:
            sender.listed[agent] = await history(sender.client, Live("agent", agent, "", {}))
        return await begin(sender.client, agent, sender.listed[agent], keys, body)


async def _fill_copies(sender: Sender, step: Create, id: str, answer: Callable[[Ref], Any]) -> None:
    """Write what is wanted of the copies of blocks that the server has made for a new object."""
    found = await discovered(sender.client, step.kind, id, "block") if step.parts else []
    for each in found:
        label = decode("block", await whole(sender.client, "block", each["id"])).name
        if fields := step.parts.get(label):
            key = f"{step.key} {label}"
            await sender.send(Update(key, step.address, "block", id=each["id"], fields=fields), answer)


async def _import(
    sender: Sender, step: Create, kind: type[Kind], body: dict[str, Any], answer: Callable[[Ref], Any]
) -> dict[str, Any]:
    """Create an agent from an agent file, with its messages and its mark in one request; then what it left out."""
    content = json.dumps(encode.agent_file(step, body)).encode()
    form = {"file": ("agent.af", content, "application/json")}
    # tools of the same name are not touched, and the name is the one in the file
    options = {"append_copy_suffix": "false", "override_existing_tools": "false"}

    async def find_again() -> Mapping[str, Any] | None:
        found: list[dict[str, Any]] = await sender.client.pages(kind.path, **encode.search(step, sender.stack))
        return next((each for each in found if each["id"] not in sender.known), None)

    made = await sender.client.create(
        f"{kind.path}import", files=form, form=options, keys=("agent_ids",), find_again=find_again
    )
    id = made["agent_ids"][0] if "agent_ids" in made else made["id"]
    now = await whole(sender.client, step.kind, id)
    relations = encode.relations(step, kind, now, answer)
    params = {"include": kind.included(kind.attrs())}
    if relations:
        now = await sender.client.object("PATCH", f"{kind.path}{id}", body=relations, params=params)
    return await _completed(sender.client, step, kind, body, now, answer)


async def _completed(
    client: Client,
    step: Create,
    kind: type[Kind],
    body: dict[str, Any],
    created: dict[str, Any],
    answer: Callable[[Ref], Any],
) -> dict[str, Any]:
    """PATCH what the creation did not store. The object as it is then.

    0.16.8 reads null as no value at creation, and writes its default; 0.16.5 ignores `max_tokens` there.
    """
    values = {name: value for name, value in step.fields.items() if not kind.attrs()[name].to}
    nulls = [name for name, value in values.items() if value is None]
    again = encode.again(step, [*nulls, *verify.not_stored(step.kind, values, created, answer)], body, answer)
    if not again:
        return created
    params = {"include": kind.included(kind.attrs())} if kind.included(kind.attrs()) else {}
    again = kind.encode(again, created)
    return await client.object("PATCH", f"{kind.path}{created['id']}", body=again, params=params)


def _whole_lists(kind: type[Kind]) -> Iterator[str]:
    """The names in requests of the fields that are lists and hold nothing of others."""
    for line in kind.attrs().values():
        whole = not (line.additive or line.to)
        if line.write and whole and get_origin(kind.model_fields[line.name].annotation) is list:
            yield line.write


@contextmanager
def _as_fields(step: Step) -> Iterator[None]:
    """A refusal inside names fields of the manifest in place of properties of the request."""
    try:
        yield
    except ServerError as error:
        if isinstance(step, Create | Discover | Update) and error.problems and error.status == 422:
            raise verify.refused(step, error) from error
        raise


async def _detach_from_agents(client: Client, path: str) -> None:
    """Detach a folder from all agents: if it is deleted while attached, 0.16.8 leaves them the tools for files."""
    folder = path.rpartition("/")[2]

    async def detach(agent: str) -> None:
        with suppress(NotFound):
            await client.send("PATCH", f"/v1/agents/{agent}/folders/detach/{folder}")

    with suppress(NotFound):
        await together(detach(agent) for agent in await client.pages(f"{path}/agents"))


async def _check_creator(client: Client, stack: str, step: Create, live: Live) -> None:
    """Raise ServerError if another stack may have created an object that carries no claim."""
    if other := others.read(await all_pages(client), stack).creator(live):
        message = f"{step.address}: the answer was lost, and stack `{other}` may have created {live.id} meanwhile"
        raise ServerError(message, "plan again")


async def _exists(client: Client, path: str) -> bool:
    try:
        await client.get(path)
    except NotFound:
        return False
    return True


async def _post_below(
    client: Client, kind: type[Kind], body: Mapping[str, Any], step: Create, answer: Callable[[Ref], Any]
) -> dict[str, Any]:
    """POST an object without mark and name, once. If the answer is lost, the next apply looks for its content."""
    line = kind.owner_line()
    assert line is not None, "an object below another one names it"
    owner = fill(step.fields[line.name], answer)
    result = await client.object("POST", f"{kind.path}{owner}/{kind.requests.below}", body=body)
    return {**result, line.write or line.name: owner}


# --- calls -----------------------------------------------------------------------------------------------------------


async def _call(client: Client, step: Call, answer: Callable[[Ref], Any]) -> Answer:
    """Call the object at the address of a step, or the agents and conversations that it names."""
    if not (step.users or step.owners):
        return await _call_one(client, step, step.kind, step.id or answer(Ref(step.address)))
    called = [("agent", id) for id in step.users] + await _conversations(client, step)
    await together(_call_one(client, step, kind, id) for kind, id in called)
    return Answer("")


async def _conversations(client: Client, step: Call) -> list[tuple[str, str]]:
    """Kind and id of the conversations that the owners of a step have by now, without those with own steps."""
    owned = {name: kind.owner_line() for name, kind in kinds().items() if kind.call and kind.call.of_prompt}
    found: list[tuple[str, str]] = []
    for name, line in owned.items() if step.owners else ():
        assert line is not None
        path, wanted, key = kinds()[name].path, set(step.owners), line.write or ""
        asked: list[dict[str, Any]] = [{key: id} for id in step.owners] if len(wanted) < BULK else [{}]
        lists = await together(client.pages(path, **params) for params in asked)
        bodies = (body for each in lists for body in each if body.get(key) in wanted)
        found += [(name, body["id"]) for body in bodies if body["id"] not in step.without]
    return found


async def _call_one(client: Client, step: Call, name: str, id: str) -> Answer:
    """Call one object. Nothing is done if a conversation of an owner was deleted meanwhile, or has no prompt yet."""
    kind = kinds()[name]
    assert kind.call is not None
    path = f"{kind.path}{id}/{kind.call.name}"
    try:
        returned = await client.send(kind.call.verb, path, repeatable=True)
    except ServerError as error:
        # 0.16.8: a conversation without messages gets its prompt with the first one
        if (error.status == 404 and step.owners) or (error.status == 400 and kind.call.of_prompt):
            return Answer(id)
        if isinstance(error, NotFound):
            raise ServerError(f"{step.address}: {error.words}", "plan again", status=404, path=path) from error
        raise
    if not isinstance(returned, kind.call.answer):  # a proxy, for example, answered instead of the server
        raise ServerError(f"{step.address}: {path} gave an unexpected answer", "plan again", path=path)
    return Answer(id)
