"""Desired, Live, FieldChange, Change, Step, Plan, Report: the values that floors hand to each other. All frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.kinds.base import Policy

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
    """An object as the server has it. `values` holds every readable field, in the manifest's words."""

    kind: str
    id: str
    name: str
    values: Mapping[str, Any] = field(repr=False)  # an agent's hold its secrets, as the server tells them
    address: Address | None = None
    stack: str | None = None
    mark: Mark = field(default_factory=Mark)
    marked: bool = False


@dataclass(frozen=True)
class State:
    """The stack's own memory on the server: whose address is which id, and what must outlive the manifest."""

    ids: Mapping[Address, str] = field(default_factory=dict)
    marks: Mapping[Address, Mark] = field(default_factory=dict)
    """Marks of objects that have no room for one."""
    protected: frozenset[Address] = frozenset()
    environment: str | None = None
    pending: frozenset[Address] = frozenset()
    """To whom a call was due (an agent's recompile) as an apply ended: written before the change, taken back after."""
    carried_over: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    """Blocks of an agent that is being replaced: written before it dies, taken back once they hang on its successor."""
    key: str | None = None
    """With which secrets are digested, so that a saved plan can tell that one was rotated."""
    duplicates: frozenset[str] = frozenset()
    """Ids that claim an address of ours and were told apart from it: never ours until they are imported."""
    tombstones: Mapping[str, Mark] = field(default_factory=dict)
    """Marks, by id, of what is about to die and has no room for one: it may be found alive all the same."""
    intents: Mapping[Address, str] = field(default_factory=dict)
    """What is about to be made and will not be found by tags, by name: written before it is, taken back after it."""
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

Action = Literal["create", "update", "replace", "delete", "adopt", "record", "forget"]
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


FORGET = ("forget", None)
"""As a Step's member: take our mark off."""

Operation = Literal["create", "take", "update", "link", "unlink", "delete", "call", "record"]


@dataclass(frozen=True)
class Step:
    """One operation on one address. It knows no path and no wire name: the backend turns it into a request.

    fields   what to write, in the manifest's words; may hold slots
    mark     what our mark shall be afterwards, written in the same request
    member   for link, unlink and call: what is attached under which field, or what is called; for take: the name
             under which what is referred to brings it; empty if there is but one
    parts    own blocks that are born with the object: key to fields
    after    keys of the steps that must have succeeded
    behind   keys of the steps that must have ended, well or not
    """

    key: str
    op: Operation
    address: Address
    kind: str
    id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None
    member: tuple[str, Any] | None = None
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    users: int = 0
    """How many agents the server will recompile inside this request; its time grows with them."""


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
        actions: tuple[Action, ...] = ("create", "update", "replace", "delete", "adopt", "record", "forget")
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
