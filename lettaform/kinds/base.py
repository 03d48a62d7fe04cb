"""The language of resource types: a Kind is a table, and each of its fields is one line written with attr().

A Kind is a pydantic model. Its fields are the fields of an object in the manifest, and their annotations are the
types. Each word below has three users or more; behaviour of one or two fields stands in a `relation`.

write         name in requests; None: not sent in the object's own body. Default: the field's name.
read          path in answers, `a.b` or `a[].b`; None: cannot be read back. Default: the same as `write`.
required      must be set when the object is created.
immutable     cannot be changed in place: a change replaces the object.
create_only   sent at creation only; a later change is a warning.
unordered     a list whose order has no meaning.
additive      a list in which members added by others are kept, unless the policy is `enforce`.
partial       a map of which only the declared keys are compared and written.
merges        a partial map that the server merges itself; of other partial maps, all entries are sent.
secret        never shown; compared in memory only.
embeds        may contain secrets, such as the key in a URL. They are treated as `secret`; the rest is shown.
mergeable     a free text that may have the policy `merge`.
to            the kind of the objects that the values refer to.
link          the sub-path under which members are attached and detached one at a time.
group         fields of one group are sent together, because writing one resets the others.
clear         the value that empties the field; Never: the server cannot clear it, which is an error at plan time.
offered       the path under which the server lists the handles that are valid here.
include       the `include` value without which answers leave the field empty.
policy        the default policy: who owns the value after creation.
relation      what the field says about other objects, other fields or files: a Relation of `traits`.

A kind says these words as keywords of its class:

section       its section in the manifest.
path          its path on the v1 API.
name          the field that people know an object by. Default: `name`.
unique        names are unique on the server.
mark          where the server keeps the mark of the owning stack; see below.
shared        agents of other stacks can use the object.
precious      the object holds data that cannot be created again.

And these as class variables:

unmanaged     properties of Letta's OpenAPI document that no line manages, with the reason.
compiled      fields that stand in the compiled prompts of agents.
replacement   what a replaced object keeps and loses, for messages.
discovers     kinds of the objects that the server creates together with one, and where its answer names them; a path
              that begins with `/` is a list below the object.
initial       field to the value that the server gives a new object for which the field is not set (0.16.8).

What is particular about one or two kinds stands in a small value of `traits`: `availability`, `requests`, `naming`,
`part`, `call`, `preview`, `mentions`, `signature`, `agent_file`, `runs`.

Hooks of a kind, for what a table cannot say: `encode`, `decode`, `normal`, `check`, `without_initial`.

`mark` says where the server keeps the mark of the owning stack:

metadata      the address in tags, and the digests of the applied values in metadata.
tags          the address in tags; the digests in the state.
inside        both in metadata.
state         nothing on the object: the state finds it by its unique name.
(a field)     the address at the end of that text field; the digests in the state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from lettaform.kinds.traits import (
    AddedByServer,
    AddsTo,
    AgentFile,
    Availability,
    Contents,
    FollowUp,
    ListedAt,
    Mentions,
    Naming,
    Owner,
    Part,
    Parts,
    Policy,
    PolicyFor,
    Preview,
    Relation,
    Requests,
    Runs,
    Signature,
    SourceFile,
)
from lettaform.values import Item, canonical

R = TypeVar("R", bound=Relation)


POLICIES: dict[Policy, str] = {
    "enforce": "Write the manifest's value whenever the live value differs.",
    "seed": "Write the value at creation. Afterwards it belongs to the agent.",
    "yield": "Write the value as long as only the manifest changes it. Keep it once somebody else has changed it.",
    "merge": "Write what the manifest changes and keep what others change, line by line. A conflict stops the apply.",
    "ignore": "Write the value at creation. Never compare it afterwards.",
}


class Never:
    """The server has no way to clear this field."""


_SAME: Any = object()


@dataclass(frozen=True)
class Attr:
    """One line of a kind. The module's docstring explains the words."""

    name: str = ""
    doc: str = ""
    write: str | None = None
    read: str | None = None
    required: bool = False
    immutable: bool = False
    create_only: bool = False
    unordered: bool = False
    additive: bool = False
    partial: bool = False
    merges: bool = False
    secret: bool = False
    embeds: bool = False
    mergeable: bool = False
    to: str | None = None
    link: str | None = None
    group: str | None = None
    clear: Any = Never
    offered: str | None = None
    include: str | None = None
    policy: Policy = "enforce"
    relation: Relation | None = None

    def related(self, how: type[R]) -> R | None:
        """The relation of the line, if it is of this class."""
        return self.relation if isinstance(self.relation, how) else None

    def read_apart(self) -> bool:
        """Whether answers leave the field out: it is read by a request of its own."""
        return isinstance(self.relation, ListedAt | Contents)

    def is_exact(self, policies: Mapping[str, Policy]) -> bool:
        """Whether nothing may be added to the value at creation, under these declared policies."""
        return not self.additive or policies.get(self.name) == "enforce"

    def attached(self) -> bool:
        """Whether its members are added one at a time, after the object is created."""
        return self.write is None and (self.link is not None or isinstance(self.relation, Contents))

    def without_removed(self, value: Any) -> Any:
        """A declared value without the entries of a partial map that a null removes."""
        if self.partial and not self.merges and isinstance(value, Mapping):
            return {key: item for key, item in value.items() if item is not None}
        return value


@dataclass(frozen=True)
class _Words:
    """The options of a line, before the class gives it its name."""

    words: Mapping[str, Any]


def attr(doc: str, *, default: Any = None, constraints: Mapping[str, Any] | None = None, **words: Any) -> Any:
    """One field of a kind, on one line. `doc` is shown to users; `constraints` go to pydantic (`pattern`, `ge`, …)."""
    info = Field(default, description=doc, **(constraints or {}))
    info.metadata.append(_Words({"doc": doc, **words}))
    return info


class Kind(BaseModel):
    """A type of object that a server can have. The module's docstring explains the words."""

    model_config = ConfigDict(extra="forbid", strict=True)

    section: ClassVar[str]
    path: ClassVar[str]
    name_field: ClassVar[str]
    unique: ClassVar[bool]
    mark: ClassVar[str]
    shared: ClassVar[bool]
    precious: ClassVar[bool]

    unmanaged: ClassVar[Mapping[str, str]] = {}
    compiled: ClassVar[frozenset[str]] = frozenset()
    replacement: ClassVar[str] = ""
    discovers: ClassVar[Mapping[str, str]] = {}
    initial: ClassVar[Mapping[str, Any]] = {}

    availability: ClassVar[Availability] = Availability()
    requests: ClassVar[Requests] = Requests()
    naming: ClassVar[Naming] = Naming()
    part: ClassVar[Part] = Part()
    call: ClassVar[FollowUp | None] = None
    preview: ClassVar[Preview | None] = None
    mentions: ClassVar[Mentions | None] = None
    signature: ClassVar[Signature | None] = None
    agent_file: ClassVar[AgentFile | None] = None
    runs: ClassVar[Runs | None] = None

    def __init_subclass__(
        cls,
        *,
        section: str,
        path: str,
        name: str = "name",
        unique: bool = False,
        mark: str = "metadata",
        shared: bool = False,
        precious: bool = False,
    ) -> None:
        super().__init_subclass__()
        cls.section, cls.path, cls.name_field = section, path, name
        cls.unique, cls.mark, cls.precious, cls.shared = unique, mark, precious, shared

    @classmethod
    def attrs(cls) -> Mapping[str, Attr]:
        """The lines, by field name, in the order of the file."""
        return _attrs(cls)

    @classmethod
    def relations(cls, how: type[R]) -> tuple[tuple[Attr, R], ...]:
        """The lines whose relation is of this class, each with the relation."""
        key: Any = how  # a type variable counts as not hashable
        found: tuple[tuple[Attr, R], ...] = _relations(cls, key)
        return found

    # questions about the table

    @classmethod
    def claims_in_tags(cls) -> bool:
        """Whether the claim is in tags, so that one list finds every object of a stack."""
        return cls.mark in ("metadata", "tags")

    @classmethod
    def lists_everything(cls) -> bool:
        """Whether one list shows all objects of the server; otherwise the server searches for the mark."""
        return not (cls.requests.search or cls.requests.below or (cls.claims_in_tags() and cls.requests.verb == "POST"))

    @classmethod
    def holds_digests(cls) -> bool:
        """Whether the object has room for the digests of the applied values."""
        return cls.mark in ("metadata", "inside")

    @classmethod
    def signed_text_field(cls) -> Attr | None:
        """The text field that ends in the claim; None if the claim is stored elsewhere."""
        return None if cls.claims_in_tags() or cls.holds_digests() else cls.attrs().get(cls.mark)

    @classmethod
    def included(cls, fields: Collection[str]) -> list[str]:
        """The `include` values that answers need for these fields."""
        lines = [cls.attrs()[name] for name in fields if name in cls.attrs()]
        # what the server adds to a field because of another field is only known together with that field
        lines += [line for line, adds in cls.relations(AddsTo) if {*adds.fields} & {*fields}]
        return list(dict.fromkeys([*cls.requests.include, *(line.include for line in lines if line.include)]))

    @classmethod
    def only_at_creation(cls) -> tuple[Attr, ...]:
        """The lines that are sent at creation only."""
        return _only_at_creation(cls)

    @classmethod
    def owner_line(cls) -> Attr | None:
        """The line that refers to the object's owner."""
        return next((line for line, _ in cls.relations(Owner)), None)

    @classmethod
    def discovered_parts(cls) -> Mapping[str, str]:
        """Field to the key of the part that an object has which the server created by itself."""
        return {line.name: part.discovered for line, part in cls.relations(Parts) if part.discovered}

    @classmethod
    def foreign(cls, field: str, item: Any) -> bool:
        """Whether an item of a list was added by the server."""
        added = cls.attrs()[field].related(AddedByServer)
        return bool(added and added.per_member and added.per_member.of(item) is not None)

    @classmethod
    def policies(cls, values: Mapping[str, Any], declared: Mapping[str, Policy]) -> Mapping[str, Policy]:
        """Policies that follow from the object's values and the declared policies."""
        found: dict[str, Policy] = {}
        for line, rule in cls.relations(PolicyFor):
            if policy := rule.decide(values, declared):
                found |= dict.fromkeys((line.name, *rule.fields), policy)
        return found

    @classmethod
    def item(cls, field: str, value: Any) -> Item:
        """A declared or live value of a field of Contents, as an Item."""
        contents = cls.attrs()[field].related(Contents)
        item = contents.item if contents else None
        assert item is not None, f"the values of {field} are not items"
        return item(value)

    @classmethod
    def item_key(cls, field: str, item: Any) -> str:
        """An item of a list of values in the one form in which it is compared with others."""
        return canonical(cls.normal(field, [item]))

    @classmethod
    def line_of(cls, field: str, text: str) -> int:
        """The line of a source text that the problems of its field are about, from 1."""
        source = cls.attrs()[field].related(SourceFile)
        return source.line_of(text) if source else 1

    # hooks: what a table cannot say. All are pure functions.

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """The body of a request as the server accepts it. `live`: the body as last read, None at creation."""
        return body

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """An answer's body as the lines read it."""
        return body

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        """A declared or live value in the one form in which it is compared and digested."""
        return value

    @classmethod
    def without_initial(cls, field: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """A live value as a manifest must declare it: without what a new object has by itself. None: nothing of it.

        values  the object's live values
        given   initial values that depend on other objects, such as those that a model gives its agents
        """
        return without(values.get(field), {**cls.initial, **given}.get(field))

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        """Problems that types cannot express: field, message, hint. Values may hold references and templates."""
        owner = cls.owner_line()
        if owner is None or owner.name in values:
            return []
        return [(owner.name, "must be set", owner.doc)]


@cache
def _attrs(cls: type[Kind]) -> Mapping[str, Attr]:
    lines = {}
    for name, info in cls.model_fields.items():
        words = dict(next(item for item in info.metadata if isinstance(item, _Words)).words)
        write = words.pop("write", _SAME)
        write = name if write is _SAME else write
        read = words.pop("read", _SAME)
        read = write if read is _SAME else read
        lines[name] = Attr(name=name, write=write, read=read, **words)
    return lines


@cache
def _only_at_creation(cls: type[Kind]) -> tuple[Attr, ...]:
    return tuple(line for line in cls.attrs().values() if line.create_only)


@cache
def _relations(cls: type[Kind], how: Any) -> Any:
    return tuple((line, found) for line in cls.attrs().values() if (found := line.related(how)))


def without(value: Any, initial: Any) -> Any:
    """A value without what equals `initial`: of a map, the entries that differ. None if nothing is left."""
    if isinstance(value, Mapping) and isinstance(initial, Mapping):
        value = {key: item for key, item in value.items() if key not in initial or item != initial[key]}
    if value == initial or value in ("", [], {}):  # the server answers "nothing" in several ways
        return None
    return value


def path_get(body: Any, path: str) -> Any:
    """Read `a.b` or `a[].b` from an answer; None where something is missing."""
    if "." not in path and "[" not in path:  # most paths
        return None if body is None else body.get(path)
    for index, step in enumerate(path.split(".")):
        if body is None:
            return None
        if step.endswith("[]"):
            rest = ".".join(path.split(".")[index + 1 :])
            items = body.get(step[:-2])
            return [path_get(item, rest) if rest else item for item in items or ()]
        body = body.get(step)
    return body
