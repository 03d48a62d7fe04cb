"""The language in which kinds are written: Kind and attr().

A Kind is a pydantic model: its lines are the fields of a manifest's object. What a line says beside its type:

write       name in requests; None: never sent. The field's own name unless said otherwise.
read        path in answers, `a.b` or `a[].b`; None: cannot be read back. `write` unless said otherwise.
birth       must be given when the object is made.
fixed       cannot be changed on a living object: another value means another object.
once        matters at birth alone, never compared.
unordered   a set, though JSON says list.
additive    members that others put there are kept, unless the manifest's policy says `enforce`.
partial     a map of which only the given keys are compared; the rest is the server's or somebody else's.
merges      a partial map that the server merges by itself; of others, all entries are sent.
secret      never shown; compared in memory only.
to          its values refer to objects of that kind.
link        the sub-path under which members are attached and detached, one by one.
holds       its values are kept by content, and are no objects: `passages`, `files`.
own         its values are objects of that kind, parts of this one.
group       the server resets the others of a group when one is written: all are sent together.
clear       what the server takes for "nothing"; Never if it has no way back, which is an error at plan time.
file        endings of files that may be named in place of the text, and what an ending says of other fields.
offered     the path under which the server lists the handles that this field may have.
tried       the path that derives a tool from this text without making it, so that a plan can tell if it works.
listed      the list that tells by `agent_id` what is attached, where answers do not.
entails     what the server itself puts into other fields while this one holds anything: field to names.
include     what an answer must be asked for, or this stands in it as nothing.
policy      who owns it, unless the manifest says otherwise.
brought     the object is not made by us: what this refers to brings it, and takes it along when it goes.
along       what the server makes along with the object where this is set: kind to fields of that, out of this map.
query       written in the address of the request that makes the object, not in its body.
since       the first release of a server of one's own that has it.
inside      its values are labels of blocks that hang on what that other field refers to.
home        the object lives with what this refers to, and dies with it: nobody shall forget to say whose it is.
binds       what this refers to cannot die before the object does.

Where a kind's mark stands (`mark=`): `metadata`, the address in tags and what was applied in metadata · `tags`, the
address alone · `inside`, both in metadata · `record`, nowhere on the object: the stack record alone knows it, by a
name that is unique · else the text field that ends in it. What has no room for the digests of what was applied has
them in the stack record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from lettaform.values import Item

Policy = Literal["enforce", "seed", "yield", "ignore"]
POLICIES: dict[Policy, str] = {
    "enforce": "The manifest's value is written whenever the live one differs.",
    "seed": "Written at birth; from then on it belongs to the agent.",
    "yield": "Written while only the manifest changes it; kept once somebody else has changed it.",
    "ignore": "Written at birth; never compared again.",
}


class Never:
    """The server has no way to clear this field."""


_SAME: Any = object()


@dataclass(frozen=True)
class Attr:
    """What one line of a kind says; see the module's docstring."""

    name: str = ""
    doc: str = ""
    write: str | None = None
    read: str | None = None
    birth: bool = False
    fixed: bool = False
    once: bool = False
    unordered: bool = False
    additive: bool = False
    partial: bool = False
    merges: bool = False
    secret: bool = False
    to: str | None = None
    link: str | None = None
    holds: str | None = None
    own: str | None = None
    group: str | None = None
    clear: Any = Never
    file: Mapping[str, Mapping[str, Any]] | None = None
    offered: str | None = None
    tried: str | None = None
    listed: str | None = None
    entails: Mapping[str, tuple[str, ...]] | None = None
    include: str | None = None
    brought: bool = False
    along: Mapping[str, tuple[str, ...]] | None = None
    query: bool = False
    since: str | None = None
    inside: str | None = None
    home: bool = False
    binds: bool = False
    policy: Policy = "enforce"

    def attached(self) -> bool:
        """Whether its members come after the object's birth, one by one."""
        return self.write is None and bool(self.link or self.holds)


@dataclass(frozen=True)
class Call:
    """What the server must be told after a change, or nothing follows from it.

    name    the last word of its path
    verb    how it is sent
    answer  the type of what it answers, if it did what it should
    done    what it does, for people
    born    whether a birth needs it, too
    since   the first release of a server of one's own that has it
    """

    name: str
    verb: Literal["POST", "PATCH"]
    answer: type
    done: str
    born: bool = False
    since: str | None = None


@dataclass(frozen=True)
class _Words:
    """The words of a line, until the class gives it its name."""

    words: Mapping[str, Any]


def attr(doc: str, *, default: Any = None, constraints: Mapping[str, Any] | None = None, **words: Any) -> Any:
    """One field of a kind, on one line. `constraints` go to pydantic (`pattern`, `ge`, …)."""
    info = Field(default, description=doc, **(constraints or {}))
    info.metadata.append(_Words({"doc": doc, **words}))
    return info


class Kind(BaseModel):
    """Something that can exist on a server; one subclass, one file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    section: ClassVar[str]
    path: ClassVar[str]
    name_field: ClassVar[str]
    unique: ClassVar[bool]
    mark: ClassVar[str]
    shared: ClassVar[bool]
    precious: ClassVar[bool]
    verb: ClassVar[Literal["POST", "PUT"]]
    short: ClassVar[str | None] = None
    """The field that a bare text fills, where a whole object could stand."""
    built_in: ClassVar[frozenset[str]] = frozenset()
    """Names of objects that the server has by itself: used without being declared, never replaced."""
    named_by: ClassVar[tuple[str, ...]] = ()
    """The fields out of which the server reads the name; `named()` reads it, too."""
    unmanaged: ClassVar[Mapping[str, str]] = {}
    """Properties of the server's own description that no line manages, and why."""
    compiled: ClassVar[frozenset[str]] = frozenset()
    """Fields that stand in the prompts that agents' models see."""
    apart: ClassVar[frozenset[str]] = frozenset()
    """As a part of another object: fields that are lost, or cannot be remembered, where it is born with that object."""
    include: ClassVar[tuple[str, ...]] = ()
    """What every answer must be asked for, or it stands there as nothing."""
    listing: ClassVar[Mapping[str, Any]] = {}
    """What a list must be asked with so that it leaves nothing out."""
    replaced: ClassVar[str] = ""
    """What another object in its place keeps and loses, for people."""
    call: ClassVar[Call | None] = None
    """What follows such a change, once for each object; else the server does it by itself."""
    brings: ClassVar[Mapping[str, str]] = {}
    """Kinds of what comes along with an object, and where its answer names them; behind a `/`, the list below it."""
    born_with: ClassVar[Mapping[str, str]] = {}
    """Parts that one of it has from birth where something else brings it: the field, and the part's key."""
    searched: ClassVar[str | None] = None
    """The parameter by which a list finds a part of the text in which our mark stands."""
    below: ClassVar[str] = ""
    """It lives below an agent, on this sub-path; its id is the way there from `path`."""
    cloud: ClassVar[bool | None] = None
    """Whether Letta Cloud alone has it; False: Cloud has it no more."""
    since: ClassVar[str | None] = None
    """The first release of a server of one's own that has it."""
    filed: ClassVar[str | None] = None
    """An agent file can hold it: the parameter that names it where its agent is asked for, empty if it is the agent."""

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
        verb: Literal["POST", "PUT"] = "POST",
    ) -> None:
        """`path` on the v1 API · `name`: the field that people know it by · `unique`: names are, on the server ·
        `mark`: where ours stands · `shared`: agents of anybody may use it · `precious`: holds what cannot be made again ·
        `verb` PUT: making and changing are one upsert by name."""
        super().__init_subclass__()
        cls.section, cls.path, cls.name_field = section, path, name
        cls.unique, cls.mark, cls.precious, cls.verb, cls.shared = unique, mark, precious, verb, shared

    @classmethod
    def tagged(cls) -> bool:
        """Whether our mark stands in its tags, by which one list finds whatever is ours."""
        return cls.mark in ("metadata", "tags")

    @classmethod
    def listed_whole(cls) -> bool:
        """Whether one list shows all of it, anybody's; else only what carries our mark."""
        return not (cls.searched or cls.below or (cls.tagged() and cls.verb == "POST"))

    @classmethod
    def roomy(cls) -> bool:
        """Whether it has room for the digests of what was applied."""
        return cls.mark in ("metadata", "inside")

    @classmethod
    def worded(cls) -> Attr | None:
        """The text field that ends in our mark, where that stands in one."""
        return None if cls.tagged() or cls.roomy() else cls.attrs().get(cls.mark)

    @classmethod
    def relations(cls, fields: Collection[str]) -> list[str]:
        """What answers must be asked for, where these fields are spoken of."""
        # what the server puts into a field because of another one cannot be told without that one
        lines = (line for line in cls.attrs().values() if line.name in fields or {*(line.entails or ())} & {*fields})
        return list(dict.fromkeys([*cls.include, *(line.include for line in lines if line.include)]))

    @classmethod
    def home(cls) -> Attr | None:
        """The line that says with what it lives and dies."""
        return next((line for line in cls.attrs().values() if line.home), None)

    @classmethod
    def attrs(cls) -> Mapping[str, Attr]:
        """The lines, by field name, in the order of the file."""
        return _attrs(cls)

    # hooks: what a table cannot say. All pure.

    @classmethod
    def encode(cls, body: dict[str, Any], live: Mapping[str, Any] | None) -> dict[str, Any]:
        """The last word on a request's body. `live`: the object as read just now, None at birth."""
        return body

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first word on an answer's body, before the lines read it."""
        return body

    @classmethod
    def normal(cls, field: str, value: Any) -> Any:
        """`value` in the one form in which it is compared and digested, wanted and live alike."""
        return value

    @classmethod
    def foreign(cls, field: str, item: Any) -> bool:
        """Whether the server puts such an item into the list `field` by itself."""
        return False

    @classmethod
    def policies(cls, values: Mapping[str, Any], said: Mapping[str, Policy]) -> Mapping[str, Policy]:
        """Policies that follow from the object's own values and what the manifest said."""
        return {}

    @classmethod
    def named(cls, values: Mapping[str, Any]) -> str | None:
        """The name that the server will give, where it reads it from other fields."""
        return None

    @classmethod
    def item(cls, field: str, value: Any) -> Item:
        """What a line that `holds` makes of one value: equal items are one."""
        raise NotImplementedError

    @classmethod
    def trial(cls, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Path and body of a request that makes nothing and answers what such an object would bring, if there is one."""
        return None

    @classmethod
    def line_of(cls, field: str, text: str) -> int:
        """The line of a text to which its problems belong, from 1."""
        return 1

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        """What types cannot say is wrong: field, message, hint. Values may hold slots."""
        home = cls.home()
        if home is None or home.name in values:
            return []
        return [(home.name, "must be given", home.doc)]


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


def path_get(body: Any, path: str) -> Any:
    """Read `a.b` or `a[].b` from an answer; None where something is missing."""
    for index, step in enumerate(path.split(".")):
        if body is None:
            return None
        if step.endswith("[]"):
            rest = ".".join(path.split(".")[index + 1 :])
            items = body.get(step[:-2])
            return [path_get(item, rest) if rest else item for item in items or ()]
        body = body.get(step)
    return body
