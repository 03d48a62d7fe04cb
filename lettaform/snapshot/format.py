"""A Snapshot to and from `snapshot.json`. Pure. The only reader and the only writer of the format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lettaform.address import Address
from lettaform.errors import Place, Problem, SnapshotError, UnreadableState
from lettaform.kinds import kind_of, kinds
from lettaform.model import Commit, Live, Mark, State
from lettaform.ownership.state import from_pages, to_pages
from lettaform.snapshot.schema import FORMAT_VERSION, snapshot_schema
from lettaform.values import UNREAD, canonical

INDEX = "snapshot.json"
"""The file that lists the objects of a snapshot. It is written last: a folder without it is no snapshot."""
Scope = Literal["stack", "plan", "restore"]


@dataclass(frozen=True)
class FileSum:
    """What proves that a file is whole."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Entry:
    """One object of a snapshot.

    live      the object, without its secrets; fields that are not in the snapshot are UNREAD
    secrets   the names of its secrets, as `secrets.API_KEY`
    file      its agent file; None if it has none
    messages  the file with all its messages; None if it has none
    contents  the file with the passages or files that it contains; None if it contains none
    evidence  digest of all that its agent file depends on; empty if that is not known
    used      whether objects of the snapshot only use it: it has no files, and is not restored

    without_messages  what the server answered in place of its messages, which are not restored; empty if it gave them
    """

    live: Live
    secrets: tuple[str, ...] = ()
    file: str | None = None
    messages: str | None = None
    contents: str | None = None
    evidence: str = ""
    used: bool = False
    without_messages: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        return tuple(name for name in (self.file, self.messages, self.contents) if name)

    @property
    def shown(self) -> str:
        """What people call the object."""
        return str(self.live.address) if self.live.address else f"{self.live.kind} {self.live.name or self.live.id}"


@dataclass(frozen=True)
class Header:
    """What a snapshot says about itself.

    scope       `stack`: everything that the stack owns · `plan`: what one apply destroyed or changed
    created_at  in UTC, as `2026-11-27T08:00:00.000000Z`
    """

    stack: str
    created_at: str
    url: str
    server_version: str
    lettaform_version: str
    environment: str | None = None
    scope: Scope = "stack"
    commit: Commit | None = None


@dataclass(frozen=True)
class Snapshot:
    """A snapshot: every object once, however many others use it, and the sums of the files beside it."""

    header: Header
    state: State | None
    entries: tuple[Entry, ...]
    files: Mapping[str, FileSum] = field(default_factory=dict)

    @property
    def by_id(self) -> Mapping[str, Entry]:
        """Every entry by the id of its object."""
        return {entry.live.id: entry for entry in self.entries}

    @property
    def names(self) -> Mapping[str, str]:
        """Id to what people call the object."""
        return {entry.live.id: str(entry.live.address or entry.live.name) for entry in self.entries}

    @property
    def digest(self) -> str:
        """sha256 of its content: of everything but the time and the place."""
        return _digest(to_json(self))

    @property
    def without_messages(self) -> tuple[Entry, ...]:
        """The agents and conversations of which it does not have the messages."""
        return tuple(entry for entry in self.entries if entry.without_messages)


# --- write -----------------------------------------------------------------------------------------------------------


def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The content of `snapshot.json`."""
    header, commit = snapshot.header, snapshot.header.commit
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "lettaform_version": header.lettaform_version,
        "created_at": header.created_at,
        "stack": header.stack,
        "environment": header.environment,
        "scope": header.scope,
        "server": {"url": header.url, "version": header.server_version},
        "git": {"commit": commit.commit, "dirty": commit.dirty} if commit else None,
        "state": _state(snapshot.state) if snapshot.state else None,
        "objects": [_entry(entry) for entry in snapshot.entries],
        "files": {name: {"sha256": each.sha256, "bytes": each.bytes} for name, each in snapshot.files.items()},
    }
    return {**body, "digest": _digest(body)}


def _digest(body: Mapping[str, Any]) -> str:
    covered = {key: body[key] for key in ("stack", "environment", "scope", "state", "objects", "files")}
    return hashlib.sha256(canonical(covered).encode("utf-8", "surrogatepass")).hexdigest()


def _is_sealed(body: Any) -> bool:
    """Whether the digest of an index fits its content."""
    try:
        return bool(_digest(body) == body["digest"])
    except (KeyError, TypeError):
        return False


def _state(state: State) -> dict[str, Any]:
    pages = [json.loads(page) for page in to_pages(state)]
    for page in pages:
        page.pop("key", None)  # it is the key of all digests of secrets
    return {"serial": state.serial, "pages": pages}


def _entry(entry: Entry) -> dict[str, Any]:
    live, mark = entry.live, entry.live.mark
    body = {
        "address": str(live.address) if live.address else None,
        "kind": live.kind,
        "id": live.id,
        "name": live.name,
        "stack": live.stack,
        "marked": live.marked,
        "values": {name: value for name, value in live.values.items() if value is not UNREAD},
        "secrets": list(entry.secrets),
        "mark": {
            "base": dict(mark.base),
            "members": {name: list(members) for name, members in mark.members.items()},
            "parts": {key: dict(base) for key, base in mark.parts.items()},
            **({"promoted": dict(mark.promoted)} if mark.promoted else {}),
        },
        "discovered": {kind: sorted(ids) for kind, ids in live.discovered.items()},
        "unused": live.unused,
        "activity": live.activity,
        "file": entry.file,
        "messages": entry.messages,
        "contents": entry.contents,
        "evidence": entry.evidence,
        "used": entry.used,
    }
    return body | ({"without_messages": entry.without_messages} if entry.without_messages else {})


# --- read ------------------------------------------------------------------------------------------------------------


def from_text(text: str, file: str = INDEX, *, ours: bool = False) -> Snapshot:
    """The snapshot that a text describes. SnapshotError with every fault; `file` is named as the place.

    ours  whether this run wrote it: if its digest fits, its schema is not checked, which takes 8 s for 1,000 agents
    """
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        problem = Problem(f"no JSON: {error.msg}", Place(file, error.lineno, error.colno))
        raise SnapshotError(f"{file} cannot be read", problems=[problem]) from error
    except RecursionError as error:
        raise SnapshotError(f"{file} cannot be read", problems=[Problem("nested too deeply")]) from error
    problems = [] if ours and _is_sealed(body) else list(_faults(body))
    if not problems:
        snapshot = _read(body)
        problems = list(_read_faults(body, snapshot))
        if not problems:
            return snapshot
    raise SnapshotError(f"{file} is not a whole snapshot", problems=problems)


def _faults(body: Any) -> Iterator[Problem]:
    version = body.get("format_version") if isinstance(body, Mapping) else None
    if isinstance(version, str) and version.split(".")[0].isdecimal() and version.split(".")[0] != "1":
        hint = "use the lettaform that wrote it, or a newer one"
        yield Problem(f"format {version}, and this lettaform reads 1.x", hint=hint, field="format_version")
        return
    from jsonschema import Draft202012Validator  # imported here because the import takes time

    for error in Draft202012Validator(snapshot_schema()).iter_errors(body):
        path = ".".join(map(str, error.absolute_path))
        yield Problem(f"{path or 'the whole'}: {error.message[:300]}", field=path or None)


def _read(body: Mapping[str, Any]) -> Snapshot:
    server, git, state = body["server"], body["git"], body["state"]
    header = Header(
        stack=body["stack"],
        created_at=body["created_at"],
        url=server["url"],
        server_version=server["version"],
        lettaform_version=body["lettaform_version"],
        environment=body["environment"],
        scope=body["scope"],
        commit=Commit(git["commit"], git["dirty"]) if git else None,
    )
    files = {name: FileSum(each["sha256"], each["bytes"]) for name, each in body["files"].items()}
    return Snapshot(header, _read_state(state), tuple(map(_read_entry, body["objects"])), files)


def _read_state(state: Mapping[str, Any] | None) -> State | None:
    if state is None:
        return None
    try:
        return from_pages({f"state.pages.{number}": json.dumps(page) for number, page in enumerate(state["pages"])})
    except UnreadableState as error:
        raise SnapshotError("the state in the snapshot cannot be read", problems=error.problems) from error


def _read_entry(body: Mapping[str, Any]) -> Entry:
    table, mark = kinds()[body["kind"]], body["mark"]
    unread = {name: UNREAD for name, line in table.attrs().items() if line.read or line.read_apart()}
    live = Live(
        kind=body["kind"],
        id=body["id"],
        name=body["name"],
        values={**unread, **body["values"]},
        address=_address(body["address"]),
        stack=body["stack"],
        mark=_read_mark(mark),
        marked=body["marked"],
        discovered={kind: tuple(ids) for kind, ids in body["discovered"].items()},
        unused=body["unused"],
        activity=body["activity"],
    )
    named = (body["file"], body["messages"], body["contents"])
    known = {"evidence": body["evidence"], "used": body["used"]}
    without = body.get("without_messages") or ""  # a key of format 1.1
    return Entry(live, tuple(body["secrets"]), *named, **known, without_messages=without)


def _read_mark(body: Mapping[str, Any]) -> Mark:
    members = {name: tuple(each) for name, each in body["members"].items()}
    return Mark(body["base"], members, body["parts"], promoted=body.get("promoted") or {})  # a key of format 1.2


def _address(text: str | None) -> Address | None:
    try:
        return None if text is None else Address.parse(text)
    except ValueError:
        return None


def _read_faults(body: Mapping[str, Any], snapshot: Snapshot) -> Iterator[Problem]:
    """Faults that a schema cannot express."""
    seen: set[str] = set()
    for number, (each, entry) in enumerate(zip(body["objects"], snapshot.entries, strict=True)):
        where, address = f"objects.{number}", entry.live.address
        if each["address"] is not None and (address is None or kind_of(address) != entry.live.kind):
            yield Problem(f"{where}.address: `{each['address']}` is no address of a {each['kind']}", field=where)
        if entry.live.id in seen:
            yield Problem(f"{where}.id: {entry.live.id} is listed twice", field=where)
        seen.add(entry.live.id)
        for name in set(each["values"]) - set(kinds()[entry.live.kind].attrs()):
            yield Problem(f"{where}.values.{name}: a {each['kind']} has no such field", field=where)
    if _digest(body) != body["digest"]:
        message = "digest: does not fit the content; the file was changed after lettaform wrote it"
        yield Problem(message, field="digest", hint="take the file from a backup")
