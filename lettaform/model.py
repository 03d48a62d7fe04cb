"""Desired, Live, FieldChange, Change, Step, Plan, Report: the values that floors hand to each other. All frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, assert_never

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.kinds.base import Policy
from lettaform.kinds.traits import FollowUp

# --- wanted ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class External:
    """Something that is used and never written. Found by exactly one of name, id, or another stack's address.

    `by`: it comes with the object at that address, which offers it under its name.
    """

    name: str | None = None
    id: str | None = None
    stack: str | None = None
    address: Address | None = None
    by: Address | None = None


@dataclass(frozen=True)
class Desired:
    """An object as the manifest wants it. A field that is missing in `values` is unmanaged; None clears."""

    address: Address
    kind: str
    values: Mapping[str, Any]
    place: Place
    places: Mapping[str, Place] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    prevent_destroy: bool = False
    external: External | None = None
    along: Address | None = None
    """The server makes it along with the object at that address; it is ours all the same."""

    @property
    def brought(self) -> Address | None:
        """The object that brings it, where it is none that we make."""
        return self.external.by if self.external else self.along

    def place_of(self, path: str) -> Place:
        """Where `path` or the nearest thing around it was written."""
        while path:
            if path in self.places:
                return self.places[path]
            path = path.rpartition(".")[0]
        return self.place


@dataclass(frozen=True)
class Moved:
    """An address that was renamed."""

    old: Address
    new: Address
    place: Place


@dataclass(frozen=True)
class Import:
    """A living object that an address shall adopt."""

    address: Address
    id: str
    place: Place


@dataclass(frozen=True)
class Removed:
    """An address that is no longer declared, and what becomes of its object."""

    address: Address
    destroy: bool
    place: Place


@dataclass(frozen=True)
class Manifest:
    """Everything that the files say, resolved and checked."""

    stack: str
    objects: Mapping[Address, Desired]
    url: str | None = None
    environment: str | None = None
    moved: tuple[Moved, ...] = ()
    imports: tuple[Import, ...] = ()
    removed: tuple[Removed, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()


# --- is --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    """What we keep with an object on the server.

    base     path of a declared leaf to the digest of its value as last applied
    members  field to the ids that we attached, or the tags that we put there
    parts    own block's key to its base, as it was born; the block's own mark wins once it has one
    """

    base: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Live:
    """An object as the server has it.

    values      every field that can be read, in the manifest's names; UNREAD for a field that was not asked for
    address     what its mark claims, or where the state has it; None if nothing says that it is ours
    stack       the stack that owns it; "" if another program's object is used as external
    mark        what lettaform keeps with it
    marked      whether the object itself carries the claim
    discovered  kind to the ids of what the server created along with it, or attached to it; a kind that was not asked
                for is missing
    unused      an agent that has no messages but those of its creation
    """

    kind: str
    id: str
    name: str
    values: Mapping[str, Any] = field(repr=False)  # an agent's hold its secrets, as the server tells them
    address: Address | None = None
    stack: str | None = None
    mark: Mark = field(default_factory=Mark)
    marked: bool = False
    discovered: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    unused: bool = field(default=False, repr=False, compare=False)


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
        """Both: a kind that `other` lists, too, is taken from there."""
        return Listing(
            {**self.objects, **other.objects},
            {**self.attached, **other.attached},
            self.state or other.state,
            {**self.refused, **other.refused},
        )


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do, by kind. `plan` and `ownership` ask it, and know nothing else about a backend.

    claims        kinds whose objects can carry the stack and the address that they belong to
    marks         kinds whose objects have room for the digests of what was applied
    searchable    kinds of which the claims of a stack are found by one search
    listed        kinds of which one list shows all objects, whoever owns them
    nested        kinds that are listed below their owner, one request each
    calls         kind to what must be called after its objects change
    recompiles    kinds whose changes make the server, or such a call, compile prompts again
    inline_parts  whether own blocks are created in the request that creates their agent
    attach_parts  whether an own block that is created by itself must be attached; otherwise it is created in place
    """

    claims: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    searchable: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    nested: frozenset[str] = frozenset()
    calls: Mapping[str, FollowUp] = field(default_factory=dict)
    recompiles: frozenset[str] = frozenset()
    inline_parts: bool = True
    attach_parts: bool = True


@dataclass(frozen=True)
class State:
    """What the server remembers of a stack: which id each address has, and what must outlive the manifest.

    `lettaform.ownership.state` reads it, writes it and says what it will be.
    """

    ids: Mapping[Address, str] = field(default_factory=dict)
    marks: Mapping[Address, Mark] = field(default_factory=dict)
    """Marks of objects that cannot hold one."""
    protected: frozenset[Address] = frozenset()
    environment: str | None = None
    pending: frozenset[Address] = frozenset()
    """Objects that a call is due to (an agent's recompile): written before the change, removed after the call."""
    carried_over: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    """Blocks of an agent that is replaced: written before it is deleted, removed once its successor has them."""
    key: str | None = None
    """The key of the digests of secrets, with which a saved plan can tell that a secret was rotated."""
    duplicates: frozenset[str] = frozenset()
    """Ids that claim an address of this stack and are not its object. They stay so until they are imported."""
    tombstones: Mapping[str, Mark] = field(default_factory=dict)
    """Marks, by id, of objects that are about to be deleted and cannot hold one. The deletion may fail."""
    intents: Mapping[Address, str] = field(default_factory=dict)
    """Names of objects that are about to be created and cannot be found by tags: written before, removed after."""
    serial: int = 0
    """Incremented once by every apply that writes the state."""
    exists: bool = False


@dataclass(frozen=True)
class Lock:
    """Somebody applies: who, since when, and by which sign of life."""

    id: str
    holder: str
    since: str
    run: str = ""
    machine: str = ""
    pid: str = ""
    nonce: str = ""
    beat: str = ""


@dataclass(frozen=True)
class Dependents:
    """What hangs on the life of an object, declared or not."""

    along: tuple[Live, ...] = ()
    """It dies with the object."""
    before: tuple[Live, ...] = ()
    """It must be gone, or the server lets the object live."""


@dataclass(frozen=True)
class Observed:
    """The live objects that concern a stack: its own, and those of others that it uses."""

    url: str
    version: str
    state: State = field(default_factory=State)
    objects: Mapping[Address, Live] = field(default_factory=dict)
    """Objects of the stack, and external objects that it uses."""
    duplicates: tuple[Live, ...] = ()
    """Objects whose mark claims an address that belongs to another object."""
    detached: Mapping[Address, tuple[Live, ...]] = field(default_factory=dict)
    """Own blocks with our mark that are attached to no agent."""
    held_elsewhere: Mapping[Address, tuple[Live, ...]] = field(default_factory=dict)
    """Own blocks with our mark that are attached to other agents, and no longer to their own."""
    carried_over: Mapping[Address, tuple[Live, ...]] = field(default_factory=dict)
    """Blocks of an agent whose replacement was interrupted after it was deleted, marked or not."""
    foreign: Mapping[tuple[str, str], Live] = field(default_factory=dict)
    """Kind and unique name to the object of somebody else that has the name."""
    attached: Mapping[str, tuple[Live, ...]] = field(default_factory=dict)
    """Agent id to all its blocks, whoever created them."""
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Id of a shared object to the ids of all agents that use it; only for objects that were asked for."""
    dependents: Mapping[str, Dependents] = field(default_factory=dict)
    """Id of an object to its dependents; only for objects that would be deleted."""
    brought: Mapping[Address, str] = field(default_factory=dict)
    """Address of what the server creates along with another object to the id of what it created."""
    problems: tuple[Problem, ...] = ()
    capabilities: Capabilities = field(default_factory=Capabilities)

    @property
    def orphaned_blocks(self) -> tuple[tuple[Address, Live], ...]:
        """Own blocks that are not attached to their agent, each with its address."""
        both = (*self.detached.items(), *self.held_elsewhere.items())
        return tuple((address, live) for address, lives in both for live in lives)


@dataclass(frozen=True)
class PlanOptions:
    """The options of a plan. Patterns are addresses with `*`."""

    prune: bool = False
    destroy: bool = False
    target: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    reseed: tuple[str, ...] = ()
    allow_destroy: tuple[str, ...] = ()


# --- the difference --------------------------------------------------------------------------------------------------

Action = Literal["create", "update", "replace", "delete", "adopt", "mark", "forget"]
Reason = Literal["manifest", "drift", "conflict", "seed"]


@dataclass(frozen=True)
class FieldChange:
    """One field that will be written. `old` and `new` may contain Refs; those of a secret are never shown."""

    path: str
    old: Any
    new: Any
    policy: Policy = "enforce"
    reason: Reason = "manifest"
    secret: bool = False


@dataclass(frozen=True)
class Change:
    """What will happen to one object."""

    address: Address
    kind: str
    action: Action
    id: str | None = None
    reason: str = "manifest"
    fields_changed: tuple[FieldChange, ...] = ()
    recompiles: int = 0
    place: Place | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AgentChange:
    """A value that an agent changed, and that is kept. `seed_moved`: the manifest's value changed, too."""

    address: Address
    path: str
    id: str
    live: Any = None
    want: Any = None
    seed_moved: bool = False


@dataclass(frozen=True)
class Unmanaged:
    """An object with the mark of this stack that the manifest does not declare, and that is left as it is."""

    kind: str
    id: str
    address: Address
    reason: str


# --- steps -----------------------------------------------------------------------------------------------------------

Operation = Literal["create", "discover", "update", "attach", "detach", "delete", "call", "save_state"]


@dataclass(frozen=True)
class _Step:
    """One operation on one address. It knows no path and no wire name: the backend turns it into requests.

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

    fields  what to write, in the manifest's words; may contain Refs, Templates and Secrets
    mark    the mark of the new object
    parts   key of an own block to its fields
    owner   the object in which it is created: a Ref or an id; None if it stands by itself, or is attached afterwards
    """

    op: ClassVar[Operation] = "create"
    id: ClassVar[None] = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark = field(default_factory=Mark)
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    owner: Any = None


@dataclass(frozen=True, kw_only=True)
class Discover(_Step):
    """Find an object that the server creates along with another one, and then update it.

    name    its name there; empty if there is only one
    source  the object that it was created along with: a Ref or an id
    mark    its mark afterwards; None: nothing is written
    """

    op: ClassVar[Operation] = "discover"
    id: ClassVar[None] = None
    name: str
    source: Any
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None


@dataclass(frozen=True, kw_only=True)
class Update(_Step):
    """Write fields of an object, and its mark in the same request.

    mark    its mark afterwards; None: it is not written
    users   number of agents that the server recompiles inside this request; its time grows with them
    forget  whether to remove the mark instead
    """

    op: ClassVar[Operation] = "update"
    id: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None
    users: int = 0
    forget: bool = False


@dataclass(frozen=True, kw_only=True)
class Attach(_Step):
    """Attach one member to a field of an object. `id` is None if this plan creates the object."""

    op: ClassVar[Operation] = "attach"
    id: str | None
    field: str
    member: Any


@dataclass(frozen=True, kw_only=True)
class Detach(_Step):
    """Detach one member from a field of an object. `id` is None if this plan creates the object."""

    op: ClassVar[Operation] = "detach"
    id: str | None
    field: str
    member: Any


@dataclass(frozen=True, kw_only=True)
class Delete(_Step):
    """Delete an object."""

    op: ClassVar[Operation] = "delete"
    id: str


@dataclass(frozen=True, kw_only=True)
class Call(_Step):
    """Send the request that must follow a change of an object. `id` is None if this plan creates the object."""

    op: ClassVar[Operation] = "call"
    id: str | None
    name: str


@dataclass(frozen=True, kw_only=True)
class SaveState(_Step):
    """Write the state of the stack.

    state  None removes it
    last   whether it comes after all other steps, whatever became of them; then it is written as they left it
    created  the addresses of which it keeps the ids of new objects
    """

    op: ClassVar[Operation] = "save_state"
    id: ClassVar[None] = None
    state: State | None
    last: bool = False
    created: frozenset[Address] = frozenset()


Step = Create | Discover | Update | Attach | Detach | Delete | Call | SaveState


def contents(step: Step) -> tuple[Any, ...]:
    """The values that a step sends, in the manifest's words."""
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


@dataclass(frozen=True)
class Plan:
    """What was found, what will be done, and in which order. What is shown is what runs."""

    stack: str
    url: str
    version: str
    environment: str | None = None
    options: PlanOptions = field(default_factory=PlanOptions)
    changes: tuple[Change, ...] = ()
    runtime: tuple[AgentChange, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    steps: tuple[Step, ...] = ()
    barriers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Key of a barrier to the keys of the steps that it waits for. A step's `after` may name a barrier."""
    state: State = field(default_factory=State)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def count(self, *actions: Action) -> int:
        """How many changes are of these actions."""
        return sum(change.action in actions for change in self.changes)

    @property
    def summary(self) -> dict[str, int]:
        """Counts by action, runtime values kept, and requests to come."""
        actions: tuple[Action, ...] = ("create", "update", "replace", "delete", "adopt", "mark", "forget")
        counts: dict[str, int] = {action: self.count(action) for action in actions}
        return counts | {"runtime": len(self.runtime), "conflict": 0, "requests": len(self.steps)}


# --- what happened ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the server said to a Step: the object's id and its fields, in the manifest's words."""

    id: str
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parts: Mapping[str, str] = field(default_factory=dict)
    """Own block's key to its id, for what was born with the object."""


@dataclass(frozen=True)
class Outcome:
    """What became of one Step. `error` for failed; `because` names the failed step for skipped."""

    step: Step
    status: Literal["done", "failed", "skipped"]
    answer: Answer | None = None
    error: Exception | None = None
    because: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What an apply did."""

    outcomes: tuple[Outcome, ...] = ()
    requests: int = 0
    seconds: float = 0.0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    def of(self, status: str) -> Iterator[Outcome]:
        """The outcomes with this status."""
        return (outcome for outcome in self.outcomes if outcome.status == status)

    @property
    def exit_code(self) -> int:
        """0 done, 1 nothing was done, 5 partly done, 130 interrupted."""
        if self.interrupted:
            return 130
        failed = any(outcome.status != "done" for outcome in self.outcomes)
        return 0 if not failed else 5 if any(self.of("done")) else 1


@dataclass(frozen=True)
class Event:
    """One moment of an apply, for whoever watches."""

    event: Literal["start", "done", "failed", "skipped", "progress"]
    step: Step
    finished: int
    total: int
    seconds: float = 0.0
    outcome: Outcome | None = None
