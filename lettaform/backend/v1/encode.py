"""A Step to the body of a request. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lettaform.backend.v1.decode import decode
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import Parts
from lettaform.model import Answer, Create, Lent, Mark, Update
from lettaform.ownership import marks
from lettaform.values import Patch, Ref, fill

# --- create ----------------------------------------------------------------------------------------------------------


def creation(step: Create, stack: str, answer: Callable[[Ref], Any]) -> dict[str, Any]:
    """The body that creates an object with its mark, and its own blocks."""
    kind = kinds()[step.kind]
    body = _to_body(kind, {name: fill(value, answer) for name, value in step.fields.items()})
    _write_mark(kind, step, stack, body, answer, {})
    for line, own in kind.relations(Parts):
        if step.parts and line.write:
            body[line.write] = [_part(step, stack, line.name, own.kind, key, answer) for key in step.parts]
    return kind.encode(body, None)


def agent_file(step: Create, body: Mapping[str, Any]) -> dict[str, Any]:
    """An agent file with one agent: as `body` creates it, and with the messages of `step.history`.

    0.16.8 creates the agent of a file as a request to create one does, with tags, metadata and inline blocks; only ids
    of blocks and tools mean parts of the file, and the sizes of the model stand in `llm_config`.
    """
    kept = ("llm_config", "embedding_config", "messages", "in_context_message_ids")
    assert step.history is not None
    agent = {**{name: step.history.get(name) for name in kept}, **body, "id": "agent-0", "files_agents": []}
    agent |= {"tool_ids": [], "block_ids": [], "folder_ids": [], "source_ids": [], "group_ids": []}
    agent |= {"include_base_tools": False, "include_base_tool_rules": False, "enable_sleeptime": None}
    empty = ("groups", "blocks", "files", "sources", "tools", "mcp_servers", "skills")
    return {"agents": [agent], **{name: [] for name in empty}, "metadata": {}}


def relations(step: Create, kind: type[Kind], now: Mapping[str, Any], answer: Callable[[Ref], Any]) -> dict[str, Any]:
    """What an agent that came from a file still needs: the objects that are attached to it, with its own blocks."""
    found: dict[str, Any] = {}
    for name, value in step.fields.items():
        line = kind.attrs()[name]
        if line.to and line.write and value:
            found[line.write] = fill(value, answer)
    if "block_ids" in found:  # the list replaces all
        found["block_ids"] = [*(block["id"] for block in now.get("blocks") or ()), *found["block_ids"]]
    if step.fields.get("sleeptime"):
        found["enable_sleeptime"] = True
    return found


def search(step: Create, stack: str) -> dict[str, Any]:
    """The parameters of the list that shows the object, if the answer to its creation is lost."""
    kind = kinds()[step.kind]
    params: dict[str, Any] = dict(kind.requests.parameters)
    params |= {kind.requests.search: marks.opening(stack)} if kind.requests.search else {}
    params |= {"include": relations} if (relations := kind.included(kind.attrs())) else {}
    if kind.claims_in_tags():
        params |= {"tags": marks.tags(stack, step.address), "match_all_tags": True}
    return params


def created_parts(step: Create, result: Mapping[str, Any]) -> dict[str, Answer]:
    """What the answer says of the own blocks that were created in the same request."""
    lives = [decode("block", body) for body in result.get("blocks") or ()] if step.parts else []
    labelled = {live.name: Answer(live.id, live.values) for live in lives}
    labels = {key: values.get("label", key) for key, values in step.parts.items()}
    return {key: labelled[label] for key, label in labels.items() if label in labelled}


# --- update ----------------------------------------------------------------------------------------------------------


def change(step: Update, stack: str, answer: Callable[[Ref], Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The body that changes an object. `now`: the object as the server has it; what others added is kept."""
    kind, live, fields = kinds()[step.kind], decode(step.kind, now), {}
    for name, value in step.fields.items():
        line, value = kind.attrs()[name], fill(value, answer)
        fields[name] = _patched(kind, line, value, live.values.get(name)) if isinstance(value, Patch) else value
    body = _to_body(kind, fields)
    if step.mark is not None:
        _write_mark(kind, step, stack, body, answer, now)
        body |= returned(now, live.mark.lent)
    else:
        marks.keep(kind, body, now)
    return kind.encode(body, now)


def lent(now: Mapping[str, Any], ids: Sequence[str]) -> dict[str, Any]:
    """The body that puts messages of a conversation in the place of an agent's own context, and notes that one.

    ids  of messages of the agent. The prompt stays the first: 0.16.8 leaves out the first one when it forks
    """
    live = decode("agent", now)
    own = tuple(live.mark.lent.returned(now["message_ids"]) if live.mark.lent else now["message_ids"])
    return _with_context(now, live.mark, [own[0], *ids], Lent(own, len(ids)))


def returned(now: Mapping[str, Any], known: Lent | None) -> dict[str, Any]:
    """The part of a body that gives an agent its own context back; empty if it has it."""
    return {"message_ids": known.returned(now["message_ids"])} if known else {}


def given_back(now: Mapping[str, Any]) -> dict[str, Any]:
    """The body that gives an agent its own context back, and forgets that it was lent; empty if it was not."""
    mark = decode("agent", now).mark
    return _with_context(now, mark, mark.lent.returned(now["message_ids"]), None) if mark.lent else {}


def _with_context(now: Mapping[str, Any], mark: Mark, ids: list[str], noted: Lent | None) -> dict[str, Any]:
    return {"message_ids": ids, "metadata": marks.metadata_with(now, replace(mark, lent=noted))}


def renames(kind: type[Kind], step: Update, now: Mapping[str, Any]) -> bool:
    """Whether an update changes the name that a PUT would find the object by."""
    return kind.requests.verb == "PUT" and step.fields.get(kind.name_field, now.get("name")) != now.get("name")


def again(
    step: Create | Update, paths: Iterable[str], body: Mapping[str, Any], answer: Callable[[Ref], Any]
) -> dict[str, Any]:
    """The properties to send again: those at `paths` of the manifest. `body`: what was sent first."""
    lines, found = kinds()[step.kind].attrs(), dict[str, Any]()
    for path in paths:
        name, _, key = path.partition(".")
        line, value = lines[name], fill(step.fields[name], answer)
        sent = line.write or ""
        if isinstance(value, Patch) and line.merges and key:
            found.setdefault(sent, {})[key] = dict(value.entries or ())[key]
        elif sent in body:  # a list or map that also holds the mark, or what others have put there
            found[sent] = body[sent]
        elif not isinstance(value, Patch):
            found[sent] = value
    return found


# --- fields, members and marks ---------------------------------------------------------------------------------------


def _part(step: Create, stack: str, field: str, kind: str, key: str, answer: Callable[[Ref], Any]) -> dict[str, Any]:
    # inline creation keeps tags and drops metadata (0.16.8): the base stands in the agent's own mark
    body = _to_body(kinds()[kind], {name: fill(value, answer) for name, value in step.parts[key].items()})
    body["tags"] = [*body.get("tags", ()), *marks.tags(stack, step.address.part(field, key))]
    return body


def _write_mark(
    kind: type[Kind],
    step: Create | Update,
    stack: str,
    body: dict[str, Any],
    answer: Callable[[Ref], Any],
    now: Mapping[str, Any],
) -> None:
    """Put the mark into a body, or leave it out to forget the object."""
    assert step.mark is not None
    if isinstance(step, Update) and step.forget:
        marks.erase(kind, body, now)
    else:
        members = {name: _member_ids(value, answer) for name, value in step.mark.members.items()}
        mark = Mark(fill(dict(step.mark.base), answer), members, step.mark.parts, promoted=step.mark.promoted)
        marks.write(kind, body, now, stack, step.address, mark)


def _to_body(kind: type[Kind], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by their names in requests."""
    lines = kind.attrs()
    return {lines[name].write or "": value for name, value in fields.items() if lines[name].write}


def _patched(kind: type[Kind], line: Attr, change: Patch, have: Any) -> Any:
    """A live value after a Patch; the entries alone if the server merges them itself."""
    if change.entries is not None:
        entries = dict(change.entries)
        if line.merges:
            return entries
        return {key: value for key, value in {**(have or {}), **entries}.items() if key not in change.drop}
    lists = (change.put, change.drop, have or ())
    put, drop, held = ([kind.item_key(line.name, item) for item in items] for items in lists)
    kept = [item for item, each in zip(have or (), held, strict=True) if each not in drop]
    return kept + [item for item, each in zip(change.put, put, strict=True) if each not in held]


def _member_ids(members: tuple[Any, ...], answer: Callable[[Ref], Any]) -> tuple[Any, ...]:
    """Members as ids; those whose creation failed are left out."""
    found = []
    for member in members:
        try:
            found.append(fill(member, answer))
        except LookupError:
            continue
    return tuple(found)
