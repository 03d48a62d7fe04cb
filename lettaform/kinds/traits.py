"""Small values that carry what is particular about one field (a Relation) or one kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lettaform.values import Item

Policy = Literal["enforce", "seed", "yield", "merge", "ignore"]
"""Who owns a value after creation; `POLICIES` of `base` says what each means."""

# of a line: `relation`


class Relation:
    """What a field says about other objects, other fields or files. The set of its subclasses is closed."""


@dataclass(frozen=True)
class Parts(Relation):
    """The value is a map of objects that are created inline and belong to this object alone.

    kind        the kind of the parts
    discovered  the key of the part that the server creates when it creates the whole object by itself
    """

    kind: str
    discovered: str | None = None


@dataclass(frozen=True)
class Contents(Relation):
    """The value is a list of contents that have no identity: they are compared by digest, added and removed.

    what  `passages` or `files`: how they are read and written
    item  turns a declared or live value into an Item; equal items have equal keys. None: values are file patterns.
    """

    what: Literal["passages", "files"]
    item: Callable[[Any], Item] | None = None


@dataclass(frozen=True)
class Companions(Relation):
    """The server creates other objects together with this one where the field is set.

    kinds   kind of a companion to the fields that the value may set on it; none listed: all that can be updated
    shared  fields whose members the server also gives to a companion of the same kind
    """

    kinds: Mapping[str, tuple[str, ...]]
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class DiscoveredBy(Relation):
    """The object that the field refers to offers this object. The server creates and deletes it, not lettaform."""


@dataclass(frozen=True)
class Owner(Relation):
    """The field refers to the owner of the object. The object is nested below it and deleted together with it.

    in_query  the reference is a query parameter of the creating request, not a property of its body
    """

    in_query: bool = False


@dataclass(frozen=True)
class BlocksDelete(Relation):
    """The object that the field refers to cannot be deleted while this one exists."""


@dataclass(frozen=True)
class LabelsOf(Relation):
    """The values are labels of blocks that are attached to the agent to which another field refers."""

    field: str


@dataclass(frozen=True)
class ListedAt(Relation):
    """Answers leave out what is attached. The list at `path`, filtered by `agent_id`, has it.

    users  the sub-path of a member that lists the objects to which it is attached; they have no other member
    """

    path: str
    users: str


@dataclass(frozen=True)
class AddsTo(Relation):
    """While the field is not empty, the server adds these names to other fields."""

    fields: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class PerMember:
    """An item that the server adds to a list for each member of another field that asks for it.

    field  the other field
    flag   the field of a member that asks for the item
    item   the name of a member to its item
    of     an item to the name of its member; None: it is an item of another sort
    """

    field: str
    flag: str
    item: Callable[[str], Any]
    of: Callable[[Any], str | None]


@dataclass(frozen=True)
class AddedByServer(Relation):
    """The server adds items to the list by itself.

    at_creation  the object's values, with names for references, to what the server adds to the list of a new object
    switches     field to its default: if it is false, the server adds less
    per_member   what the server adds for the members of another field, also after the creation
    """

    at_creation: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    switches: Mapping[str, bool]
    per_member: PerMember | None = None

    def prevented(self, values: Mapping[str, Any]) -> Mapping[str, tuple[Any, ...]]:
        """Switch to what the server adds to the list of a new object unless the switch is false."""
        added = self.at_creation(values)
        without = {switch: self.at_creation({**values, switch: False}) for switch in self.switches}
        return {switch: tuple(each for each in added if each not in less) for switch, less in without.items()}


def item_text(item: Any) -> str:
    """An item that the server adds, for people: a name, or the values of a map."""
    return " ".join(map(str, item.values())) if isinstance(item, Mapping) else str(item)


@dataclass(frozen=True)
class PolicyFor(Relation):
    """The policy of this field also decides the policies of other fields.

    fields  those whose policies follow
    decide  the object's values and the declared policies to the policy of all; None: the defaults hold
    """

    fields: tuple[str, ...]
    decide: Callable[[Mapping[str, Any], Mapping[str, Policy]], Policy | None]


@dataclass(frozen=True)
class SourceFile(Relation):
    """The value may be the path of a source file, whose text is sent.

    endings      endings of such paths, with the values that each implies for other fields
    schema_path  the path that derives a tool's schema from the text without creating anything
    line_of      the line of a text that its problems are about, from 1
    hint         what to change in a text from which no schema is derived
    """

    endings: Mapping[str, Mapping[str, Any]]
    schema_path: str
    line_of: Callable[[str], int]
    hint: Callable[[str], str]


# of a kind


@dataclass(frozen=True)
class Availability:
    """Which servers have a kind and its fields.

    cloud   True: Letta Cloud only · False: self-hosted servers only · None: both
    since   the first self-hosted release with the kind
    fields  field to the first self-hosted release with it, where that is later
    """

    cloud: bool | None = None
    since: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)

    def release(self, field: str) -> str | None:
        """The first self-hosted release that has a field; None: every supported release."""
        return self.fields.get(field) or self.since


@dataclass(frozen=True)
class Requests:
    """What is particular about the requests for a kind.

    verb        PUT: one upsert by name creates and updates
    include     `include` values that every answer needs, or it leaves relations empty
    parameters  query parameters without which lists leave objects out
    search      the query parameter that searches the text field that ends in the claim
    below       the sub-path of an agent below which objects are listed; their ids are paths relative to `path`
    replaced    map fields to which a PATCH of the object only adds, each with the sub-path whose PUT replaces the map
    """

    verb: Literal["POST", "PUT"] = "POST"
    include: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    search: str | None = None
    below: str = ""
    replaced: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Naming:
    """How objects of a kind get their names.

    fields    the fields from which the name is derived; empty: the manifest sets the name
    derive    values of those fields to the name, or None
    built_in  names of objects that every server has: they can be used without a declaration, and not replaced
    """

    fields: tuple[str, ...] = ()
    derive: Callable[[Mapping[str, Any]], str | None] = lambda values: None
    built_in: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """What is particular about objects of a kind as parts of another object.

    short        the field that a bare text sets, where a map could stand
    lost_inline  fields that the server drops, or whose digests cannot be stored, if the part is created inline
    """

    short: str | None = None
    lost_inline: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FollowUp:
    """A request that must follow a change; without it, the change has no effect.

    name       the last segment of its path
    verb       its HTTP verb
    answer     the type of the answer to a successful call
    done       what it did, for messages
    on_create  whether it must follow a creation, too
    of_prompt  whether it must follow a change to the prompt of the object's owner, declared or not
    since      the first self-hosted release with it
    """

    name: str
    verb: Literal["POST", "PATCH"]
    answer: type
    done: str
    on_create: bool = False
    of_prompt: bool = False
    since: str | None = None


@dataclass(frozen=True)
class Preview:
    """A request that creates nothing and answers what an object would offer.

    path  the path of the request
    body  the object's values to the body of the request
    """

    path: str
    body: Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class AgentFile:
    """An agent file can contain objects of the kind.

    parameter      the query parameter that names it in the export of its agent; None: it is the agent
    unused         the body of an answer to whether the object has no messages but those of its creation: its values are
                   all of its content
    activity       the body of an answer to a value that is equal as long as no messages are added; None: it does not show
    history_since  the first self-hosted release that can create the object with messages; None: every supported one
    """

    parameter: str | None = None
    unused: Callable[[Mapping[str, Any]], bool] = lambda body: False
    activity: Callable[[Mapping[str, Any]], Any] = lambda body: None
    history_since: str | None = None


@dataclass(frozen=True)
class Runs:
    """Where answers say when the last run of an object ended, and why.

    at      the property with the time
    reason  the property with the reason; None: there is none
    """

    at: str
    reason: str | None = None


@dataclass(frozen=True)
class Mention:
    """A name of another object in a value.

    path       where it stands, as `tool_rules.0.tool_name`
    arguments  names of arguments of that object in the same value
    """

    path: str
    name: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mentions:
    """The values of an object name other objects, without references. The server accepts every name.

    field  the field that contains the names
    kind   the kind of the objects that they name
    among  the field to which these objects are attached: a name of another object has no effect
    find   the object's values to the names in the field
    """

    field: str
    kind: str
    among: str
    find: Callable[[Mapping[str, Any]], Iterator[Mention]]


@dataclass(frozen=True)
class Signature:
    """Objects of the kind are functions.

    parameters  an object's values to the names of the function's parameters; None: not known
    """

    parameters: Callable[[Mapping[str, Any]], frozenset[str] | None]
