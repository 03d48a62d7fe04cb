"""Desired, Live, Observed, Change, Step, Plan, Report: the values that the packages exchange. All are frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, assert_never

from lettaform.address import Address, Component
from lettaform.errors import NotStored, Place, Problem
from lettaform.kinds import kinds
from lettaform.kinds.traits import Companions, FollowUp, Policy
from lettaform.values import UNREAD, Ref, Secret

# --- desired ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class External:
    """How to find an object that is used and never written. Exactly one way is given: name, id, or stack and address.

    name        its name on the server
    id          its id on the server
    stack       another stack that owns it, with its `address` there
    offered_by  the address of the object that offers it under `name`, such as the MCP server of a tool
    """

    name: str | None = None
    id: str | None = None
    stack: str | None = None
    address: Address | None = None
    offered_by: Address | None = None


@dataclass(frozen=True)
class Desired:
    """An object as the manifest declares it.

    values           field to value; may contain Refs, Templates and Secrets. A missing field is unmanaged; None clears
    place            where the object is declared
    places           path of a field to where it is written
    policies         the policies that the manifest sets, by field
    prevent_destroy  whether `lifecycle.prevent_destroy` protects it
    recompile        what to recompile after a change to its prompt: `lifecycle.recompile`; None: all of it
    files            path of a field whose text is that of a file to the file
    external         how to find it, if it is used and never written
    created_with     the address of the object along with which the server creates this one; the stack owns both
    """

    address: Address
    kind: str
    values: Mapping[str, Any]
    place: Place
    places: Mapping[str, Place] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    prevent_destroy: bool = False
    external: External | None = None
    created_with: Address | None = None
    recompile: Literal["agents", "none"] | None = None
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def discovered_from(self) -> Address | None:
        """The address of the object that creates or offers this one; None if no other object does."""
        return self.external.offered_by if self.external else self.created_with

    def place_of(self, path: str) -> Place:
        """Where the field at `path` is written, or else the nearest field that contains it, or else the object."""
        while path:
            if path in self.places:
                return self.places[path]
            path = path.rpartition(".")[0]
        return self.place


@dataclass(frozen=True)
class Moved:
    """An entry of `moved:`: the object at `old` gets the address `new`."""

    old: Address
    new: Address
    place: Place


@dataclass(frozen=True)
class Import:
    """An entry of `imports:`: the existing object with this id gets the address, or the one with this name.

    id    None: the object is found by its name
    name  the name of an object that no stack owns. If the server has none, the object is created
    """

    address: Address
    id: str | None
    place: Place
    name: str | None = None


@dataclass(frozen=True)
class Removed:
    """An entry of `removed:`: an address that is no longer declared. `destroy`: delete its object; else forget it."""

    address: Address
    destroy: bool
    place: Place


@dataclass(frozen=True)
class Inputs:
    """What a manifest was read from.

    files        path of each file, relative to the project, to the digest of its content
    variables    `var.NAME` or `env.NAME` to its value, which may be a Secret
    environment  name of a declared variable to the environment variable that its `env` names
    """

    files: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """What a manifest says about its server. None: it does not say.

    api_key  the key that is sent to `url`, and to no other URL
    project  the project on Letta Cloud
    """

    url: str | None = None
    api_key: Secret | None = None
    project: str | None = None


@dataclass(frozen=True)
class Limits:
    """How much one plan may do without `--ignore-limits`. None: as much as it likes.

    deleted          number of objects that it may delete or replace
    deleted_percent  share of the stack's objects that it may delete or replace, in percent
    agents           number of existing agents that it may change, delete or recompile
    memory_lost      number of characters that it may remove from memory blocks
    prompt_tokens    number of estimated tokens that the prompt of an agent may have that it creates or changes
    places           name of a limit to where it is written
    """

    deleted: int | None = None
    deleted_percent: int | None = 50
    agents: int | None = None
    memory_lost: int | None = None
    prompt_tokens: int | None = None
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class PlanPolicy:
    """An entry of `policies`: a rule that each change of a plan must meet, or the plan.

    rule      an expression of CEL that must be true
    about     what the rule is evaluated for
    message   what is wrong where it is not met; empty: that it is not met
    waivers   patterns: addresses for which it is not evaluated
    """

    name: str
    rule: str
    about: Literal["change", "plan"] = "change"
    severity: Literal["error", "warning"] = "error"
    message: str = ""
    place: Place | None = None
    waivers: tuple[str, ...] = ()


OnFailure = Literal["stop", "rollback"]


@dataclass(frozen=True)
class ExpectedText:
    """What a text must be like. What is empty or None is not tested.

    contains     texts that it contains, in any case of the letters
    excludes     texts that it does not contain, in any case of the letters
    matches      a regular expression that matches a part of it
    json_schema  a JSON Schema that the text, read as JSON, meets
    """

    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    matches: str | None = None
    json_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ExpectedCall:
    """A call of a tool. `arguments`: those that it has at least, with these values."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    """What is expected of one turn, or of a whole check.

    answer    what the agent says; of a whole check: its last answer
    calls     tools that it calls, in any order, among others
    no_calls  names of tools that it does not call; `*` stands for any text
    memory    label to the text of a memory block afterwards
    seconds, steps, tokens  how much it takes at most
    """

    answer: ExpectedText | None = None
    calls: tuple[ExpectedCall, ...] = ()
    no_calls: tuple[str, ...] = ()
    memory: Mapping[str, ExpectedText] = field(default_factory=dict)
    seconds: float | None = None
    steps: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Turn:
    """A message to an agent, and what is expected of its answer."""

    say: str
    expect: Expectation = field(default_factory=Expectation)


@dataclass(frozen=True)
class Judge:
    """A model that decides whether a conversation meets criteria. `model`: None: that of the agent."""

    criteria: str
    model: str | None = None


@dataclass(frozen=True)
class Check:
    """An entry of `checks`: a conversation with copies of agents, and what is expected of it.

    agents      the agents of which copies are made
    turns       the messages, one after the other
    expect      what is expected of the whole conversation
    runs        how often each agent is checked, each time with a new copy
    pass_rate   share of the runs that must pass
    quarantine  whether a failure is reported alone, and changes no exit code
    on_failure  what `apply --check` does if the check fails
    deny_tools  names of tools that the copies cannot run; `*` stands for any text
    """

    name: str
    agents: tuple[Address, ...]
    turns: tuple[Turn, ...]
    expect: Expectation = field(default_factory=Expectation)
    runs: int = 1
    pass_rate: float = 1.0
    quarantine: bool = False
    on_failure: OnFailure = "stop"
    deny_tools: tuple[str, ...] = ()
    judge: Judge | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Selector:
    """Names and tags of agents. What is empty selects nothing.

    names  patterns for names, with `*` and `?`
    ids    ids on the server
    """

    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


MATCH_LIMIT = 20
"""The largest number of agents that an entry of `matches` selects unless it has another `limit`."""


@dataclass(frozen=True)
class Match:
    """An entry of `matches`: fields of every existing agent that it selects, whoever created it.

    address  of the declaration; what it declares of one agent has the agent's id as its instance
    select   agents with one of the names and all of the tags; no names: any name
    exclude  agents with one of the names, tags or ids are left out
    stacks   other stacks whose agents it may select
    limit    the largest number of agents that it may select; None: any number
    values, place, places, policies  as of `Desired`
    """

    address: Address
    select: Selector
    values: Mapping[str, Any]
    place: Place
    exclude: Selector = field(default_factory=Selector)
    stacks: tuple[str, ...] = ()
    limit: int | None = MATCH_LIMIT
    places: Mapping[str, Place] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything that the files declare, resolved and checked.

    objects        every declared object by its address, parts and external objects included
    server         the server that the manifest names
    environment    the environment that was chosen with `-e`
    inputs         what it was read from
    outputs        name to value; may contain Refs
    snapshots      the folder of its snapshots, relative to the project; None: the default
    keeps_changes  whether an apply takes a snapshot of what it changes, and not only of what it deletes
    limits         how much one plan may do
    policies       the rules that a plan must meet
    checks         conversations with copies of its agents, and what is expected of them
    matches        fields of existing agents that the stack does not own
    passed         component to its inputs, with the place where the manifest gives each
    """

    stack: str
    objects: Mapping[Address, Desired]
    server: Server = field(default_factory=Server)
    environment: str | None = None
    moved: tuple[Moved, ...] = ()
    imports: tuple[Import, ...] = ()
    removed: tuple[Removed, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)
    warnings: tuple[Problem, ...] = ()
    snapshots: str | None = None
    keeps_changes: bool = False
    limits: Limits = field(default_factory=Limits)
    policies: tuple[PlanPolicy, ...] = ()
    checks: tuple[Check, ...] = ()
    matches: tuple[Match, ...] = ()
    passed: Mapping[Component, Mapping[str, Place]] = field(default_factory=dict, repr=False)


# --- shards ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` parts of a stack, each of which one run can apply. `index`: from 0 to `count` - 1.

    `lettaform.ownership.shards` says which object belongs to which of them. ValueError for an index out of range.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"{self.index}/{self.count} is no shard")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def __bool__(self) -> bool:
        """Whether it is only a part: a stack in one shard is whole."""
        return self.count > 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `K/N`. Raises ValueError for any other text."""
        index, slash, count = text.partition("/")
        if not (slash and index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
            raise ValueError(f"{text!r} is no shard")
        return cls(int(index), int(count))

    def has(self, slot: int) -> bool:
        """Whether the objects with a number belong to this shard."""
        return slot % self.count == self.index

    def excludes(self, other: Shard) -> bool:
        """Whether runs of both cannot go on at the same time. Two shards of one count have no object in common."""
        return self == other or self.count != other.count


WHOLE = Shard(0, 1)
"""The whole stack."""


# --- live ------------------------------------------------------------------------------------------------------------


APPLIED = "applied"
"""Stands in a base for the digest of a secret: a secret was applied, and no digest of it is kept."""


@dataclass(frozen=True)
class Lent:
    """Says that the context of an agent holds the messages of a conversation: a fork takes them from there.

    own    ids of the messages of the agent's own context
    count  number of messages of the conversation that are in the place of its own, after the prompt
    """

    own: tuple[str, ...]
    count: int

    def returned(self, now: Sequence[str]) -> list[str]:
        """The agent's own context again, with the messages that it got meanwhile. `now`: ids in its context."""
        return [*self.own, *now[1 + self.count :]]


@dataclass(frozen=True)
class Mark:
    """What lettaform stores with an object on the server.

    base     path of a declared leaf to the digest of its value as last applied; of a secret, APPLIED; of a text with
             the policy `merge`, the text itself (`values.kept_text`)
    members  field to the ids that lettaform attached, or the tags that it added
    parts    key of an own block to its base at creation; the mark of the block replaces it once there is one
    lent     what a restore that was interrupted has done to the context of an agent; whatever writes the mark undoes it
    promoted name of a field to the text of another environment that was last promoted into it
    """

    base: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lent: Lent | None = None
    promoted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LastRun:
    """The last run of an object.

    at      when it ended, in ISO 8601; empty if answers do not say so
    reason  why it ended, in a word of the server, such as `end_turn`; empty if answers do not say so
    """

    at: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Live:
    """An object as the server has it.

    values      every field that can be read, in the manifest's names; UNREAD for a field that was not read
    address     the address that its mark claims or that the state gives; None if it has neither
    stack       the stack that owns it; "" if another program's object is used as external
    mark        what lettaform stores with it
    marked      whether the claim is on the object itself, and not only in the state
    discovered  kind to the ids of what the server created along with it, or attached to it; a kind that was not read
                is missing
    unused      an agent that has no messages but those of its creation
    activity    digest that is equal as long as no messages are added; empty if answers do not show that
    names       id to name of objects to which it refers, whoever owns them; not all are known
    applied     the last run that wrote it, if the state still keeps it and somebody asked for it
    created     when the server created it, in ISO 8601; empty if answers do not say so
    last_run    what answers say about the last run of an agent, or about the last message of a conversation
    """

    kind: str
    id: str
    name: str
    values: Mapping[str, Any] = field(repr=False)  # those of an agent contain its secrets
    address: Address | None = None
    stack: str | None = None
    mark: Mark = field(default_factory=Mark)
    marked: bool = False
    discovered: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    unused: bool = field(default=False, repr=False, compare=False)
    activity: str = field(default="", repr=False, compare=False)
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    applied: Applied | None = field(default=None, repr=False, compare=False)
    created: str = field(default="", repr=False, compare=False)
    last_run: LastRun | None = field(default=None, repr=False, compare=False)

    def ids(self, name: str) -> list[str]:
        """The ids in a field that refers to one object or to several; none if it was not read."""
        value = self.values.get(name)
        if value is UNREAD:
            return []
        return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def companion_ids(live: Live) -> frozenset[str]:
    """The ids of what the server created along with an object, such as a sleeptime agent, as far as they were read."""
    kinds_of = [created.kinds for _, created in kinds()[live.kind].relations(Companions)]
    return frozenset(id for each in kinds_of for kind in each for id in live.discovered.get(kind, ()))


@dataclass(frozen=True)
class Listing:
    """What a backend lists of a stack.

    objects   kind to its objects; all of that kind, or those that claim to be of the stack
    attached  id of an agent to the blocks that are attached to it, whoever created them
    state     the pages of the stack's state, by name; empty if it has none
    refused   kinds that the server does not list, each with its answer
    """

    objects: Mapping[str, tuple[Live, ...]] = field(default_factory=dict)
    attached: Mapping[str, tuple[Live, ...]] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Listing) -> Listing:
        """Both listings. A kind that both list is taken from `other`."""
        return Listing(
            {**self.objects, **other.objects},
            {**self.attached, **other.attached},
            self.state or other.state,
            {**self.refused, **other.refused},
        )


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do, by kind. `plan` and `ownership` query it, and know nothing else about a backend.

    claims        kinds whose objects can carry their stack and address
    marks         kinds whose objects have room for the digests of what was applied
    searchable    kinds for which one search finds all objects that claim to belong to a stack
    listed        kinds for which one list shows all objects, whoever owns them
    nested        kinds that are listed below their owner, one request each
    calls         kind to what must be called after its objects change
    recompiles    kinds with fields that stand in compiled prompts
    recompiling   those of them whose users the server recompiles in the request that writes such a field
    inline_parts  whether own blocks are created in the request that creates their agent
    attach_parts  whether an own block that is created by itself must be attached; otherwise it is created in place
    histories     kinds whose objects can be created with the messages of a snapshot
    """

    claims: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    searchable: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    nested: frozenset[str] = frozenset()
    calls: Mapping[str, FollowUp] = field(default_factory=dict)
    recompiles: frozenset[str] = frozenset()
    recompiling: frozenset[str] = frozenset()
    inline_parts: bool = True
    attach_parts: bool = True
    histories: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Relocation:
    """The new address of a block that a move began and may not have finished, and its address before the move.

    before  spelled with the new address of the agent that contains it; equals `address` if only that agent moves
    base    what was last applied to the block, until its own mark holds it
    """

    address: Address
    before: Address
    base: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_attached_anew(self) -> bool:
        """Whether the block moves by itself: out of an agent, into one, or to another key."""
        return self.address != self.before


@dataclass(frozen=True)
class Head:
    """The first page of one shard of a state. Only the run of that shard, or of the whole stack, writes it.

    serial      that of the last run that wrote it
    kinds       as of `State.kinds`
    tombstones  the ids of `State.tombstones`
    """

    serial: int = 0
    kinds: frozenset[str] = frozenset()
    tombstones: frozenset[str] = frozenset()


@dataclass(frozen=True)
class State:
    """What is stored on the server about a stack: the id of each address, and what the manifest alone cannot tell.

    `lettaform.ownership.state` reads it, writes it, and computes the next one.
    """

    ids: Mapping[Address, str] = field(default_factory=dict)
    marks: Mapping[Address, Mark] = field(default_factory=dict)
    """Marks of objects that have no room for one."""
    protected: frozenset[Address] = frozenset()
    environment: str | None = None
    pending: frozenset[Address] = frozenset()
    """Objects to call after a change (an agent is recompiled): written before the change, removed after the call."""
    carried_over: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    """Blocks of an agent that is replaced: written before it is deleted, removed once its successor has them."""
    key: str | None = None
    """The key of the digests of secrets, with which a saved plan can tell that a secret was rotated."""
    duplicates: frozenset[str] = frozenset()
    """Ids of objects that claim an address of this stack and are not its object, until they are imported."""
    kinds: frozenset[str] = frozenset()
    """Kinds of objects that are about to be deleted, and of duplicates: their lists are read until these are gone."""
    tombstones: Mapping[str, Mark] = field(default_factory=dict)
    """Marks, by id, of objects that are about to be deleted and have no room for one. The deletion may fail."""
    intents: Mapping[Address, str] = field(default_factory=dict)
    """Names of objects that are about to be created and cannot be found by tags: written before, removed after."""
    relocated: Mapping[str, Relocation] = field(default_factory=dict)
    """Own blocks that get another address, by id: written before their marks and attachments, removed after."""
    moved: Mapping[Address, Address] = field(default_factory=dict)
    """Entries of `moved` that were carried out and whose old address is declared again: they happen once."""
    matched: Mapping[Address, Mark] = field(default_factory=dict)
    """What entries of `matches` applied to agents that the stack does not own. Their own marks are their owner's."""
    begun: Mapping[Address, Mark] = field(default_factory=dict)
    """What a run is about to add to them: written before, removed after. Objects that do not exist by their addresses.
    """
    history: tuple[Applied, ...] = ()
    """The last runs that changed the stack, the oldest first."""
    written: Mapping[Address, int] = field(default_factory=dict)
    """The serial of the last run that wrote an object. A part that no run wrote since its creation has none."""
    owners: Mapping[Address, Address] = field(default_factory=dict)
    """Objects that belong to another one, such as conversations, each with that other one: both are in one shard."""
    serial: int = 0
    """Incremented once by every apply that writes the state."""
    exists: bool = False
    heads: Mapping[Shard, Head] = field(default_factory=dict, compare=False)
    """The shards that wrote the state: there is one, the whole stack, unless `--shard` was used."""

    @property
    def matched_agents(self) -> tuple[Address, ...]:
        """The addresses of the agents to which entries of `matches` applied something, or may have."""
        return tuple(dict.fromkeys((*self.matched, *self.begun)))


@dataclass(frozen=True)
class Commit:
    """The commit of the project. `dirty`: whether files of it were not committed."""

    commit: str
    dirty: bool


@dataclass(frozen=True)
class Applied:
    """One run that changed a stack, as its state keeps it.

    serial   that of the state after the run
    at       when it ended, in UTC
    by       user and machine
    verb     the verb of lettaform
    version  of lettaform
    run      the CI run, if there was one
    commit   the git commit of the manifest, if there was one
    dirty    whether the manifest's folder differed from that commit
    digest   of the plan: plans with equal digests have equal effects
    changes  action to the number of objects that it was done to
    failed   number of steps that failed or were skipped
    shard    the shard that it applied, as `3/16`; empty: the whole stack
    """

    serial: int
    at: str
    by: str
    verb: str
    version: str
    run: str = ""
    commit: str = ""
    dirty: bool = False
    digest: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    shard: str = ""


@dataclass(frozen=True)
class Lock:
    """The lock of a stack, as its holder wrote it.

    holder   user, machine and pid, for messages
    since    when it was created, in UTC
    run      the CI run, if there is one
    machine  the machine and container in which `pid` is unique; empty if that is not known
    nonce    a random text by which a run recognizes its own lock
    beat     number of the last heartbeat
    shard    the shard that it is about
    """

    id: str
    holder: str
    since: str
    run: str = ""
    machine: str = ""
    pid: str = ""
    nonce: str = ""
    beat: str = ""
    shard: Shard = WHOLE


@dataclass(frozen=True)
class Dependents:
    """The objects that depend on another one, declared or not.

    cascades  objects that the server deletes together with it
    blockers  objects that must be deleted first; otherwise the server does not delete it
    """

    cascades: tuple[Live, ...] = ()
    blockers: tuple[Live, ...] = ()


@dataclass(frozen=True)
class Observed:
    """The live objects that concern a stack: those that it owns, and those of others that it uses."""

    url: str
    version: str
    state: State = field(default_factory=State)
    objects: Mapping[Address, Live] = field(default_factory=dict)
    """Objects of the stack, and external objects that it uses."""
    duplicates: tuple[Live, ...] = ()
    """Objects whose mark claims an address that belongs to another object."""
    detached: Mapping[Address, tuple[Live, ...]] = field(default_factory=dict)
    """Own blocks of the stack that are attached to no agent."""
    held_elsewhere: Mapping[Address, tuple[Live, ...]] = field(default_factory=dict)
    """Own blocks of the stack that are attached to other agents, and no longer to their own."""
    carried_over: Mapping[Address, tuple[Live, ...]] = field(default_factory=dict)
    """Blocks of an agent whose replacement was interrupted after it was deleted, marked or not."""
    foreign: Mapping[tuple[str, str], Live] = field(default_factory=dict)
    """Kind and unique name to the foreign object that has the name."""
    attached: Mapping[str, tuple[Live, ...]] = field(default_factory=dict)
    """Agent id to all its blocks, whoever created them."""
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Id of a shared object to the ids of all agents that use it; only for objects that a plan writes."""
    dependents: Mapping[str, Dependents] = field(default_factory=dict)
    """Id of an object to its dependents; only for objects that a plan deletes."""
    owned: Mapping[str, tuple[Live, ...]] = field(default_factory=dict)
    """Id of an agent to its conversations, declared or not; only for agents whose prompts a plan changes."""
    discovered: Mapping[Address, str] = field(default_factory=dict)
    """Address of what the server creates along with another object to the id of what it created."""
    matched: Mapping[Address, tuple[Address, ...]] | None = None
    """Entry of `matches` to the addresses of what it declares of the agents that it selects. None: they were not read.
    """
    left_out: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict)
    """Entry of `matches` to the agents of the stack itself that have the names and tags that it asks for."""
    contested: tuple[Problem, ...] = ()
    """Fields of these agents that are declared elsewhere, too. The address of each is that of what it declares."""
    problems: tuple[Problem, ...] = ()
    capabilities: Capabilities = field(default_factory=Capabilities)
    readdressed: bool = False
    """Whether `moved` changed `state`, which must then be written before anything else."""

    @property
    def names(self) -> Mapping[str, str]:
        """Id to what people call an object: its address if it has one, or else its name, as far as it is known."""
        named = {id: name for live in self.objects.values() for id, name in live.names.items()}
        named |= {live.id: live.name for live in self.foreign.values()}
        return {**named, **{live.id: str(address) for address, live in self.objects.items()}}

    @property
    def orphaned_blocks(self) -> tuple[tuple[Address, Live], ...]:
        """Own blocks that are not attached to their agent, each with its address."""
        both = (*self.detached.items(), *self.held_elsewhere.items())
        return tuple((address, live) for address, lives in both for live in lives)


@dataclass(frozen=True)
class PlanOptions:
    """The options of a plan. Patterns are addresses with `*`.

    prune          delete what is no longer declared
    destroy        delete everything that the stack owns
    target         patterns: plan only for these objects and what they need
    exclude        patterns: leave these objects out
    reseed         patterns: write the seeded fields of these objects again
    ours           patterns: where a merge of these objects conflicts, take the manifest's lines
    theirs         patterns: where a merge of these objects conflicts, take the lines of the server
    allow_destroy  patterns: consent to delete or replace these objects, even if they are protected
    ignore_limits  whether the plan may exceed the limits of the manifest
    promotion      the memory of another environment that the plan brings; None: it brings none
    shard          the shard of the stack that the plan is about

    without_messages  patterns: agents and conversations whose messages a snapshot may lack, if the server cannot list
                      them
    """

    prune: bool = False
    destroy: bool = False
    target: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    reseed: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    allow_destroy: tuple[str, ...] = ()
    without_messages: tuple[str, ...] = ()
    ignore_limits: bool = False
    shard: Shard = WHOLE
    promotion: Promotion | None = None


MemoryPolicy = Literal["keep", "copy", "merge"]
"""What a promotion does with the memory of the environment that it changes.

`keep`: nothing. `copy`: the texts of the other environment replace its own. `merge`: what both changed is merged.
"""


@dataclass(frozen=True)
class PromotedText:
    """The text of a memory block in another environment.

    address  of the block, which both environments declare
    base     the text from which it comes, as last applied there; None if that is not known
    """

    address: str
    text: str
    base: str | None = None


@dataclass(frozen=True)
class Promotion:
    """What a plan brings from another environment.

    source  the name of that environment
    notes   what it does not bring, for people
    """

    source: str
    memory: MemoryPolicy = "keep"
    texts: tuple[PromotedText, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CanaryOptions:
    """How the copies of a canary are created.

    copies  how many there are of each agent; None: as many as exist, or else one
    memory  copy: they begin with the text that the blocks of the agent have. isolated: with that of the manifest
    shared  whether they get the shared blocks and the archive of the agent themselves, which they can change
    """

    copies: int | None = None
    memory: Literal["copy", "isolated"] = "copy"
    shared: bool = False


# --- difference ------------------------------------------------------------------------------------------------------

Action = Literal["create", "update", "replace", "delete", "adopt", "mark", "forget"]
Reason = Literal["manifest", "undeclared", "drift", "conflict", "seed", "merge", "restore", "promote"]


@dataclass(frozen=True)
class FieldChange:
    """One field that will be written. `old` and `new` may contain Refs; the values of a secret are never shown."""

    path: str
    old: Any
    new: Any
    policy: Policy = "enforce"
    reason: Reason = "manifest"
    secret: bool = False


@dataclass(frozen=True)
class Copy:
    """What is written to a copy of a block that belongs to one object alone, such as a conversation.

    id       the block; None if it is created with the object
    fields   field to value
    changes  the same, for people: with the label in the path
    """

    id: str | None
    fields: Mapping[str, Any]
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class Change:
    """What the plan does to one object.

    id             its id on the server; None if it is created
    recompiles     number of agents whose prompts are compiled again
    conversations  number of conversations whose prompts are compiled again, without those that have their own change
    place          where it is declared; None if it is not declared
    notes          sentences for people: what is lost, what is created along with it
    name           what people call the object, where its address is no name: that of an agent of `matches`
    """

    address: Address
    kind: str
    action: Action
    id: str | None = None
    reason: str = "manifest"
    fields_changed: tuple[FieldChange, ...] = ()
    recompiles: int = 0
    conversations: int = 0
    place: Place | None = None
    notes: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class MergeConflict:
    """A text that cannot be merged. `reason`: why. `text`: the three versions in diff3 form, or the merged text."""

    reason: str
    text: str


@dataclass(frozen=True)
class AgentChange:
    """A value that an agent, or somebody else, changed on the server and that the plan keeps, because of its policy.

    live        the value on the server
    want        the value in the manifest
    seed_moved  whether the value in the manifest has changed, too, since it was last applied
    conflict    why it cannot be merged with the value in the manifest; the plan cannot be applied then
    live_moved  whether the value on the server has changed since then
    """

    address: Address
    path: str
    id: str
    live: Any = None
    want: Any = None
    seed_moved: bool = False
    conflict: MergeConflict | None = None
    live_moved: bool = True

    @property
    def field_change(self) -> FieldChange:
        """The same as a change from the manifest's value to the live one, for display."""
        moved: Reason = "manifest" if not self.live_moved else "drift"
        reason: Reason = "conflict" if self.conflict or (self.seed_moved and self.live_moved) else moved
        return FieldChange(self.path, self.want, self.live, "seed", reason)


@dataclass(frozen=True)
class Unmanaged:
    """An object with the mark of this stack that the manifest does not declare, and that is left as it is."""

    kind: str
    id: str
    address: Address
    reason: str


NEAR = 0.9
"""The share of a context window, or of the limit of a block, from which on it is pointed out as nearly full."""


@dataclass(frozen=True)
class Context:
    """Tokens in the context window of an agent, as its server counts them.

    parts     what they are used for, such as `system`, `blocks`, `tools` and `messages`, to their number
    window    the most that it can hold
    messages  number of messages in it, the prompt included
    """

    parts: Mapping[str, int]
    window: int
    messages: int

    @property
    def used(self) -> int:
        """The number of tokens in it."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Passage:
    """A passage of an archive that a search found.

    created  when it was written, in ISO 8601; empty if answers do not say so
    """

    id: str
    text: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""


@dataclass(frozen=True)
class Search:
    """What is searched for in an archive.

    limit  the largest number of passages
    tags   passages that have one of these; empty: any passage
    """

    text: str
    limit: int = 10
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Searched:
    """The passages that a search found, the nearest first.

    archive     what people call the archive: its address, or its name
    id          of the archive
    by_meaning  whether an embedding model compared; otherwise the passages contain the text
    hidden      secrets, which must not be shown
    """

    archive: str
    id: str
    asked: Search
    passages: tuple[Passage, ...] = ()
    by_meaning: bool = True
    hidden: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class PromptChange:
    """The compiled prompt of an agent before and after a plan, in estimated tokens: see `kinds.prompt_size`.

    id       None if the plan creates the agent
    before   None if the plan creates the agent
    window   tokens that the context window holds afterwards; None if neither the manifest nor the server says it
    context  tokens in the whole context now, messages and tools included, as the server counts them; None: not asked
    """

    address: Address
    id: str | None
    before: int | None
    after: int
    window: int | None = None
    context: int | None = None

    @property
    def growth(self) -> int:
        """The number of tokens that are added; negative if the prompt gets shorter."""
        return self.after - (self.before or 0)

    @property
    def used(self) -> int:
        """The number of tokens of the window that are used afterwards, as far as that is known."""
        return self.after if self.context is None else self.context + self.growth

    @property
    def is_near(self) -> bool:
        """Whether the window is nearly full afterwards, or too small."""
        return self.window is not None and self.used >= NEAR * self.window


# --- steps -----------------------------------------------------------------------------------------------------------

Operation = Literal["create", "discover", "update", "attach", "detach", "delete", "call", "save_state"]


@dataclass(frozen=True)
class _Step:
    """One operation on one address. It contains no path and no name of the API: the backend turns it into requests.

    after      keys of steps and barriers that must have succeeded
    after_end  keys of steps and barriers that must have ended, well or not
    """

    op: ClassVar[Operation]
    key: str
    address: Address
    kind: str
    after: tuple[str, ...] = field(default=(), kw_only=True)
    after_end: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Create(_Step):
    """Create an object, and its own blocks in the same request.

    fields  field to value; may contain Refs, Templates and Secrets
    mark    the mark of the new object
    parts   key of an own block, or label of an own copy of a block, to its fields
    owner   the object in which it is created: a Ref or an id; None if it belongs to none, or is attached afterwards
    history the messages that it begins with; None: it begins without any. Of an agent: the agent of an agent file. Of a
            conversation: the `keys` of messages of its agent
    """

    op: ClassVar[Operation] = "create"
    id: ClassVar[None] = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark = field(default_factory=Mark)
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    owner: Any = None
    history: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Discover(_Step):
    """Find an object that the server creates along with another one, and then update it.

    name     its name there; empty if there is only one
    source   the object that it was created along with: a Ref or an id
    creator  the kind of that object
    mark     its mark afterwards; None: nothing is written
    """

    op: ClassVar[Operation] = "discover"
    id: ClassVar[None] = None
    name: str
    source: Any
    creator: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None


@dataclass(frozen=True, kw_only=True)
class Update(_Step):
    """Write fields of an object, and its mark in the same request. `id`: None if this plan creates it.

    mark      its mark afterwards; None: it is not written
    users     number of agents that the server recompiles inside this request; its time grows with them
    forget    whether to remove the mark instead
    replaces  field to the digest of the text that it must have on the server: if it has another one by then, nothing is
              written
    """

    op: ClassVar[Operation] = "update"
    id: str | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None
    users: int = 0
    forget: bool = False
    replaces: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Attach(_Step):
    """Attach one member to a field of an object. `id`: None if this plan creates it. `shown`: the member's name."""

    op: ClassVar[Operation] = "attach"
    id: str | None
    field: str
    member: Any
    shown: str = ""


@dataclass(frozen=True, kw_only=True)
class Detach(_Step):
    """Detach one member from a field of an object. `id`: None if this plan creates it. `shown`: the member's name."""

    op: ClassVar[Operation] = "detach"
    id: str | None
    field: str
    member: Any
    shown: str = ""


@dataclass(frozen=True, kw_only=True)
class Delete(_Step):
    """Delete an object."""

    op: ClassVar[Operation] = "delete"
    id: str


@dataclass(frozen=True, kw_only=True)
class Call(_Step):
    """Send the request that must follow a change of an object, to it or to others that depend on it.

    id       the object at the address; None if this plan creates it, or if others are called
    users    these agents are called: they use the object
    owners   the conversations that these agents own when the step runs are called
    without  ids of conversations that have a step of their own
    labels   conversations with their own copies of the blocks with all these labels are left out
    """

    op: ClassVar[Operation] = "call"
    id: str | None
    name: str
    users: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SaveState(_Step):
    """Write the state of the stack.

    state    the state to write; None deletes it
    last     whether it runs after all other steps, even if some failed; the state is then corrected by their outcomes
    created  the addresses whose new ids are added to the state
    shard    the shard whose part of the state it is
    drops    shards of other counts whose parts of the state are deleted along: this one has all that they say
    """

    op: ClassVar[Operation] = "save_state"
    id: ClassVar[None] = None
    state: State | None
    last: bool = False
    created: frozenset[Address] = frozenset()
    shard: Shard = WHOLE
    drops: frozenset[Shard] = frozenset()


Step = Create | Discover | Update | Attach | Detach | Delete | Call | SaveState


def contents(step: Step) -> tuple[Any, ...]:
    """The values that a step sends, by the names of the manifest; may contain Refs, Templates, Secrets and Items."""
    match step:
        case Create():
            return (step.fields, step.parts, step.owner)
        case Discover():
            return (step.fields, step.source)
        case Update():
            return (step.fields,)
        case Attach() | Detach():
            return (step.member,)
        case Delete() | Call() | SaveState():
            return ()
        case _:
            assert_never(step)


@dataclass(frozen=True, repr=False)
class Plan:
    """The changes, and the steps that carry them out. `apply` runs exactly these steps.

    changes    one for each object that changes
    unchanged  number of declared objects that exist and do not change
    runtime    values that were changed by agents, and are kept; the name is part of the JSON format
    unmanaged  objects of the stack that are not declared, and are left as they are
    steps      in an order in which they could run one by one
    barriers   key of a barrier to the keys of the steps that it waits for; a step's `after` may name a barrier
    state      the state before the apply
    outputs    name to value; may contain Refs to objects that do not exist yet
    manifest   what it was made from, for the places of problems and for a saved plan; None: not from a manifest
    inputs     what the manifest was read from
    names      id to what people call the object, for display
    shared     address of a declared block, folder or archive to the objects to which the manifest attaches it
    prompts    one for each agent of the stack whose prompt is created, or gets another text
    waiting    declared objects of this shard that the plan leaves out, to the objects of other shards that they refer
               to and that do not exist yet, or are not yet as declared
    """

    stack: str
    url: str
    version: str
    environment: str | None = None
    options: PlanOptions = field(default_factory=PlanOptions)
    changes: tuple[Change, ...] = ()
    unchanged: int = field(default=0, compare=False)
    runtime: tuple[AgentChange, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    steps: tuple[Step, ...] = ()
    barriers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    state: State = field(default_factory=State)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)
    warnings: tuple[Problem, ...] = ()
    manifest: Manifest | None = field(default=None, repr=False, compare=False)
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    shared: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict, repr=False, compare=False)
    prompts: tuple[PromptChange, ...] = field(default=(), repr=False, compare=False)
    waiting: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict, repr=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __repr__(self) -> str:
        return f"<Plan of {self.stack} on {self.url}: {len(self.changes)} changes, {len(self.steps)} steps>"

    @property
    def declared(self) -> Mapping[Address, Desired]:
        """The objects of the manifest."""
        return self.manifest.objects if self.manifest else {}

    def located(self, problem: Problem) -> Problem:
        """A problem with the place in the manifest of the field that it is about."""
        place = self.place_of(Address.parse(problem.address), problem.field or "") if problem.address else None
        return replace(problem, place=place) if place else problem

    def place_of(self, address: Address, field: str) -> Place | None:
        """The place in the manifest of a field; None if the plan does not declare the object."""
        desired = self.declared.get(address)
        return desired.place_of(field) if desired else None

    def count(self, *actions: Action) -> int:
        """The number of changes with one of these actions."""
        return sum(change.action in actions for change in self.changes)

    @property
    def conflicts(self) -> tuple[AgentChange, ...]:
        """The texts that cannot be merged. A plan with one cannot be applied."""
        return tuple(each for each in self.runtime if each.conflict)

    @property
    def summary(self) -> dict[str, int]:
        """Numbers: of changes by action, of unchanged objects, of values that agents changed (`runtime`), of steps
        (`requests`).

        A text that cannot be merged (`conflict`) is also counted as kept.
        """
        actions: tuple[Action, ...] = ("create", "update", "replace", "delete", "adopt", "mark", "forget")
        counts: dict[str, int] = {action: self.count(action) for action in actions}
        kept = {"runtime": len(self.runtime), "conflict": len(self.conflicts)}
        return counts | {"unchanged": self.unchanged} | kept | {"requests": len(self.steps)}


# --- result ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """The server's answer to a Step.

    id      of the object; empty if the step has none
    values  its fields, by the names of the manifest
    parts   key of an own block that was created in the same request to its answer
    """

    id: str
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parts: Mapping[str, Answer] = field(default_factory=dict)


def value_of(ref: Ref, found: Live | Answer) -> Any:
    """What a Ref to an object stands for: its id, a field, or an entry of a field. None if there is no such entry."""
    if ref.path == "id":
        return found.id
    value: Any = found.values
    for name in ref.path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def answered(ref: Ref, answers: Mapping[Address, Answer]) -> Any:
    """What a Ref stands for, by the answers to what created objects. LookupError if none of them says it."""
    answer = answers.get(ref.address)
    if answer is None and ref.address.parent and ref.address.child:
        answer = answers[ref.address.parent].parts[ref.address.child]
    if answer is None or (ref.path != "id" and ref.path.split(".")[0] not in answer.values):
        raise LookupError(f"{ref.address}.{ref.path}")
    return value_of(ref, answer)


@dataclass(frozen=True)
class Outcome:
    """The result of one Step. `error`: why it failed. `because`: the failed step on which a skipped one depends."""

    step: Step
    status: Literal["done", "failed", "skipped"]
    answer: Answer | None = None
    error: Exception | None = None
    because: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Verified:
    """What a migration found when it compared both servers with the snapshot of the first one.

    differences  what the second server does not have, or has with other values
    moved        what has changed on the first server since
    error        why they could not be compared
    names        id to what people call the object, for display
    """

    differences: tuple[Change, ...] = ()
    moved: tuple[Change, ...] = ()
    error: str | None = None
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def exit_code(self) -> int:
        """0: both are as in the snapshot. 5: the second server is not, or that is not known. 6: the first is not."""
        return 5 if self.differences or self.error else 6 if self.moved else 0


@dataclass(frozen=True, repr=False)
class Report:
    """The result of an apply.

    requests  the number that was sent
    seconds   how long it took
    snapshot  the folder of the snapshot that was taken before it; None if it destroys nothing
    warnings  about that snapshot: which messages it lacks
    verified  of a migration that did everything: whether it is as it was; None otherwise
    checked   the results of the checks that ran after it; None: none ran
    undone    the report of the rollback that failed checks caused; None: there was none
    waiting   as of `Plan`: what was left out until the end, because other shards were not applied
    """

    outcomes: tuple[Outcome, ...] = ()
    requests: int = 0
    seconds: float = 0.0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    snapshot: str | None = None
    warnings: tuple[Problem, ...] = ()
    verified: Verified | None = None
    checked: Checked | None = None
    undone: Report | None = None
    waiting: Mapping[Address, tuple[Address, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        done = sum(1 for _ in self.of("done"))
        return f"<Report: {done} of {len(self.outcomes)} steps done in {self.seconds:.1f} s>"

    def of(self, status: str) -> Iterator[Outcome]:
        """The outcomes with this status."""
        return (outcome for outcome in self.outcomes if outcome.status == status)

    @property
    def exit_code(self) -> int:
        """0: everything was done. 1: nothing was done. 5: a part was done, or waits for other shards. 130: interrupted.

        Of a migration, 5 and 6, too: as of `Verified`. After checks, also the code of these, or 5 if the rollback after
        them was not complete.
        """
        if self.interrupted:
            return 130
        if self.undone is not None and self.undone.exit_code:
            return 5
        if self.checked is not None:
            return self.checked.exit_code
        if self.verified is not None:
            return self.verified.exit_code
        failed = any(outcome.status != "done" for outcome in self.outcomes)
        if self.waiting and not failed:
            return 5
        written = any(self.of("done")) or any(isinstance(each.error, NotStored) for each in self.outcomes)
        return 0 if not failed else 5 if written else 1


def carried_out(changes: Iterable[Change], outcomes: Iterable[Outcome], *, interrupted: bool = False) -> list[Change]:
    """The changes whose steps were all done. Blocks without steps of their own are part of their agent's steps."""
    by_address: dict[Address | None, list[Outcome]] = {}
    for each in outcomes:
        by_address.setdefault(each.step.address, []).append(each)
    undone = interrupted or any(each.status != "done" for every in by_address.values() for each in every)

    def is_done(change: Change) -> bool:
        of_owner = by_address.get(change.address.parent, ())
        own = by_address.get(change.address) or [each for each in of_owner if each.step.op in ("create", "delete")]
        return all(each.status == "done" for each in own) and (bool(own) or not undone)

    return [change for change in changes if is_done(change)]


# --- checks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CalledTool:
    """A call of a tool by an agent. `denied`: whether the tool did not run."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    denied: bool = False


@dataclass(frozen=True)
class Reply:
    """What an agent does after a message.

    answer       what it says; several texts are joined by newlines
    calls        the tools that it calls, in their order
    pending      those of them that wait for an approval: the agent goes on once all are approved or denied
    stop_reason  why it stopped, in a word of the server
    steps        number of requests to the model
    tokens       number of tokens, of prompts and answers
    """

    answer: str = ""
    calls: tuple[CalledTool, ...] = ()
    pending: tuple[CalledTool, ...] = ()
    stop_reason: str = ""
    steps: int = 0
    tokens: int = 0

    def __add__(self, other: Reply) -> Reply:
        """This one, and the one that followed it."""
        answer = "\n".join(filter(None, (self.answer, other.answer)))
        calls, numbers = (*self.calls, *other.calls), (self.steps + other.steps, self.tokens + other.tokens)
        return Reply(answer, calls, other.pending, other.stop_reason, *numbers)


@dataclass(frozen=True)
class Said:
    """One turn of a check as it went. `seconds`: until the answer was complete."""

    say: str
    reply: Reply
    seconds: float = 0.0


@dataclass(frozen=True)
class CheckRun:
    """One run of a check with a copy of an agent.

    failures  what is not as expected; empty: the run passed
    error     why the conversation could not be held; None: it was
    verdict   what the judge says, if there is one
    """

    said: tuple[Said, ...] = ()
    failures: tuple[str, ...] = ()
    error: str | None = None
    verdict: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return self.error is None and not self.failures

    @property
    def steps(self) -> int:
        """Number of requests to the model."""
        return sum(each.reply.steps for each in self.said)

    @property
    def tokens(self) -> int:
        """Number of tokens, of prompts and answers."""
        return sum(each.reply.tokens for each in self.said)


CheckStatus = Literal["passed", "failed", "error"]


@dataclass(frozen=True)
class CheckResult:
    """A check of one agent, with all its runs. `notes`: in what the copy differs from the agent, for people."""

    check: Check
    agent: Address
    runs: tuple[CheckRun, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """The share of the runs that passed."""
        return sum(run.passed for run in self.runs) / len(self.runs) if self.runs else 0.0

    @property
    def status(self) -> CheckStatus:
        """`error`: too few runs passed, and none of the others could be judged."""
        if self.rate >= self.check.pass_rate:
            return "passed"
        return "failed" if any(run.failures for run in self.runs) else "error"

    @property
    def fails(self) -> bool:
        """Whether the result makes the whole run fail."""
        return self.status != "passed" and not self.check.quarantine


CHECKS_FAILED = 3
"""The exit code of a run in which a check did not pass."""


@dataclass(frozen=True)
class Checked:
    """The results of the checks of a manifest.

    planned      whether the agents were checked as a plan would leave them
    interrupted  whether it was stopped before all checks had run
    warnings     what is left on the server, or may be
    """

    stack: str
    url: str
    environment: str | None = None
    planned: bool = False
    results: tuple[CheckResult, ...] = ()
    seconds: float = 0.0
    interrupted: bool = False
    warnings: tuple[Problem, ...] = ()

    def of(self, status: CheckStatus) -> tuple[CheckResult, ...]:
        """The results with this status, without those in quarantine, unless they passed."""
        return tuple(each for each in self.results if each.status == status and (each.fails or status == "passed"))

    @property
    def quarantined(self) -> tuple[CheckResult, ...]:
        """The results that are in quarantine and did not pass."""
        return tuple(each for each in self.results if each.status != "passed" and each.check.quarantine)

    @property
    def rolls_back(self) -> bool:
        """Whether a check failed after which an apply is to be rolled back."""
        return any(each.fails and each.check.on_failure == "rollback" for each in self.results)

    @property
    def exit_code(self) -> int:
        """0: all passed, except those in quarantine. CHECKS_FAILED: some did not. 130: interrupted."""
        if self.interrupted:
            return 130
        return CHECKS_FAILED if any(each.fails for each in self.results) else 0


@dataclass(frozen=True)
class Compared:
    """The results of checks on agents and on their canaries.

    checked  the results of both
    copies   address of an agent to that of its copy
    """

    checked: Checked
    copies: Mapping[Address, Address] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[tuple[CheckResult, CheckResult], ...]:
        """The results of each check on an agent, and on its copy. What was interrupted is left out."""
        found = {(each.check.name, each.agent): each for each in self.checked.results}
        pairs = (
            (each, found.get((name, self.copies[agent])))
            for (name, agent), each in found.items()
            if agent in self.copies
        )
        return tuple((original, copy) for original, copy in pairs if copy is not None)

    @property
    def exit_code(self) -> int:
        """0: all checks of the copies passed. CHECKS_FAILED: some did not. 130: interrupted. Agents do not matter."""
        if self.checked.interrupted:
            return 130
        return CHECKS_FAILED if any(copy.fails for _, copy in self.pairs) else 0


@dataclass(frozen=True)
class Event:
    """The start, progress or end of a Step, for display. `finished` and `total` count Steps."""

    event: Literal["start", "done", "failed", "skipped", "progress"]
    step: Step
    finished: int
    total: int
    seconds: float = 0.0
    outcome: Outcome | None = None


# --- import ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NotDeclared:
    """Something on the server, or in a file, that the manifest does not declare, or not in full, and why.

    place  where it stands in a file
    hint   what to do instead
    """

    what: str
    reason: str
    id: str | None = None
    place: Place | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Imported:
    """What was written.

    files         paths relative to the folder
    objects       section to the number of objects that are adopted, own blocks and companions not counted
    declarations  section to the number of declarations: fewer where rows were folded
    adopted       address to the id of the object that it adopts
    variables     names of the variables that need a secret, each with where it is used first
    owned         stack to the number of objects that belong to it
    environment   name of a variable to the environment variable that it is read from
    by_name       address to the name of the object that it adopts, if the server has one
    """

    stack: str
    folder: str
    files: tuple[str, ...]
    objects: Mapping[str, int]
    declarations: Mapping[str, int]
    adopted: Mapping[str, str]
    not_declared: tuple[NotDeclared, ...]
    variables: Mapping[str, str]
    owned: Mapping[str, int]
    requests: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    by_name: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentImport:
    """What the import of an agent file creates, and what it uses.

    id        the agent, once it exists
    messages  number of messages that come with it
    own       labels of the blocks that are created with it
    bound     label of a block in the file to the block of the stack that takes its place
    tools     names of the tools that it gets
    left      what of the file is left out
    begun     whether an earlier import created the agent, and was killed before it was done
    """

    address: Address
    name: str
    file: str
    id: str | None = None
    messages: int = 0
    own: tuple[str, ...] = ()
    bound: Mapping[str, Address] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    left: tuple[NotDeclared, ...] = ()
    begun: bool = False


# --- messages and runs -----------------------------------------------------------------------------------------------

GOOD = frozenset({"end_turn", "tool_rule"})
"""The stop reasons of a turn that went well. 0.16.8 ends also a run that used up its steps as completed."""
WAITS = "requires_approval"
"""The stop reason of a turn that goes on once a call of a tool is approved or denied."""


@dataclass(frozen=True)
class Recipient:
    """An agent, or a conversation with it, that messages are sent to and read from.

    agent         id of the agent
    conversation  id of the conversation; None: the agent itself
    name          what people call it: its address, or its id
    """

    agent: str
    conversation: str | None
    name: str

    @property
    def id(self) -> str:
        """The id of the conversation, or else of the agent."""
        return self.conversation or self.agent


@dataclass(frozen=True)
class Image:
    """A picture that is sent with a message. `media_type`: such as `image/png`."""

    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Decision:
    """The answer to one call of a tool that waits for approval. `call`: its id. `reason`: why it is denied."""

    call: str
    approve: bool
    reason: str | None = None


@dataclass(frozen=True)
class Outgoing:
    """What is sent: a text with images, or, where there are `decisions`, these alone."""

    text: str = ""
    images: tuple[Image, ...] = ()
    role: Literal["user", "system", "assistant"] = "user"
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class Run:
    """What the server does with one message.

    status        created, running, completed, failed or cancelled
    stop_reason   why it ended, such as end_turn; None while it goes on
    streams       whether the server keeps the pieces of its stream
    error         why it failed
    created_at, completed_at  as the server writes them
    """

    id: str
    agent: str
    conversation: str | None
    status: str
    stop_reason: str | None
    created_at: str
    completed_at: str | None = None
    background: bool = False
    streams: bool = False
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the server has finished it."""
        return self.status in ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Compacted:
    """A context that was summarised. `before`, `after`: its number of messages, with the prompt."""

    summary: str
    before: int
    after: int


# --- components of git repositories ---------------------------------------------------------------------------------

VendorOutcome = Literal["unchanged", "fetched", "removed", "differs"]


@dataclass(frozen=True)
class VendoredComponent:
    """One component of a git repository.

    outcome  unchanged; fetched, or removed because nothing uses it; with --check: differs from what is used
    reason   why it differs
    """

    source: str
    folder: str
    outcome: VendorOutcome
    reason: str = ""


@dataclass(frozen=True)
class Vendoring:
    """All components of git repositories that a manifest and its components use, in any environment."""

    components: tuple[VendoredComponent, ...] = ()
    checked: bool = False

    @property
    def exit_code(self) -> int:
        """2 if --check found a difference, otherwise 0."""
        return 2 if self.checked and any(each.outcome != "unchanged" for each in self.components) else 0
