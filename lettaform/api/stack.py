"""A manifest and a server to a Stack: its methods are the commands of lettaform."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from lettaform import flow
from lettaform.api import talk
from lettaform.api.declared import document
from lettaform.api.events import Applying, Sending
from lettaform.api.objects import Fleet
from lettaform.api.results import Result, checked
from lettaform.api.talk import Answer, SendOptions
from lettaform.client.messages import Message
from lettaform.errors import Problem
from lettaform.flow import (
    CanaryOptions,
    CheckOptions,
    Compared,
    Connection,
    Consent,
    Drift,
    MemoryPolicy,
    Outgoing,
    PlanOptions,
    Pull,
    PullOptions,
    Shown,
    Snapshots,
    Source,
    StackStatus,
    StatusOptions,
)
from lettaform.model import WHOLE, Applied, Checked, Event, Manifest, Plan, Report, Shard

if TYPE_CHECKING:
    from lettaform.api.aio import AsyncStack

Notify = Callable[[Event], None]
AnyShard = tuple[int, int] | str | Shard
"""A shard as `(3, 16)`, as "3/16", or as it is."""
Does = Literal["start", "promote", "remove"]
"""What is done with a canary."""
NO_CONSENT = "nothing is applied without consent: give the plan that `plan` returned, or `consent=`"


class Options(TypedDict, total=False):
    """The options of a plan, as of PlanOptions. Patterns are addresses with `*`. A shard is `(3, 16)` or "3/16"."""

    prune: bool
    destroy: bool
    target: Sequence[str]
    exclude: Sequence[str]
    reseed: Sequence[str]
    ours: Sequence[str]
    theirs: Sequence[str]
    allow_destroy: Sequence[str]
    without_messages: Sequence[str]
    ignore_limits: bool
    shard: AnyShard


class ApplyOptions(TypedDict, total=False):
    """How a plan is carried out.

    notify     called with each Event, in the thread of the apply
    parallel   maximum number of requests at the same time. Default: 8
    snapshots  where the snapshot is written that is taken before something is deleted or overwritten
    """

    notify: Notify
    parallel: int
    snapshots: Snapshots | None


class PromoteOptions(ApplyOptions, total=False):
    """What a promotion does with memory, and how it is carried out.

    memory        keep: that of the second environment stays. copy: that of the first replaces it. merge: both
    ours, theirs  patterns: where a merge conflicts, take the lines of the second environment, or of the first
    """

    memory: MemoryPolicy
    ours: Sequence[str]
    theirs: Sequence[str]


class CanaryStart(ApplyOptions, total=False):
    """The options of the start of a canary, as of CanaryOptions, and how it is carried out."""

    copies: int | None
    memory: Literal["copy", "isolated"]
    shared: bool


class PlanAndApplyOptions(Options, ApplyOptions, total=False):
    """The options of a plan, and how it is carried out.

    wait  with `shard`: seconds to wait for objects of other shards. Default: 0
    """

    wait: float


class DestroyOptions(ApplyOptions, total=False):
    """Those of the options that say what is deleted, and how."""

    target: Sequence[str]
    exclude: Sequence[str]
    allow_destroy: Sequence[str]
    without_messages: Sequence[str]
    shard: AnyShard


def load(
    manifest: str | PathLike[str] | Sequence[str | PathLike[str]] | Mapping[str, Any] | Fleet = ".",
    *,
    directory: str | PathLike[str] | None = None,
    environment: str | None = None,
    variables: Mapping[str, Any] = {},
    variable_files: Sequence[str | PathLike[str]] = (),
    stack: str | None = None,
    server: str | Connection | None = None,
    working: str | PathLike[str] | None = None,
) -> Stack:
    """Read a manifest and check it. Sends no request.

    manifest        a project folder, a manifest file or several of them, a mapping, or a Fleet. Paths given here are
                    relative to the current folder
    directory       the project: paths in the manifest are relative to it, and snapshots are written below it. Default:
                    the folder, or the folder of the file; of several files, a mapping or a Fleet, the current folder
    environment     the environment to merge over the manifest
    variables       name to value of variables that the manifest declares
    variable_files  YAML or JSON files with values of variables; the last one wins
    stack           the name of the stack, in place of the one in the manifest
    server          the URL of the server, or a Connection. Default: LETTA_BASE_URL, the one in the manifest, or port
                    8283 on this machine
    working         where the folder `.lettaform` is created, with snapshots and what a rollback needs. Default: the
                    project

    Raises ManifestError with every problem. Variables need no values yet: a plan needs them.
    """
    folder, files, content = _content(manifest, directory)
    source = Source(
        folder,
        files,
        environment,
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in variables.items()},
        tuple(Path(each).absolute() for each in variable_files),
        content,
        stack,
        None if working is None else Path(working).absolute(),
    )
    connection = server if isinstance(server, Connection) else Connection(url=server)
    found = flow.read(source, "nothing")
    return Stack(found.stack, source, connection, found.warnings)


def _content(
    manifest: str | PathLike[str] | Sequence[str | PathLike[str]] | Mapping[str, Any] | Fleet,
    directory: str | PathLike[str] | None,
) -> tuple[Path, tuple[Path, ...], Mapping[str, Any] | None]:
    """The project, the manifest files, and the manifest if it is in memory."""
    folder = Path(directory or ".").absolute()  # a program may change the current folder between two methods
    if isinstance(manifest, Fleet):
        return folder, (), document(manifest)
    if isinstance(manifest, Mapping):
        return folder, (), manifest
    if not isinstance(manifest, str | PathLike):
        return folder, tuple(Path(each).absolute() for each in manifest), None
    path = Path(manifest)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return (folder if directory else path.absolute().parent), (path.absolute(),), None
    return (folder if directory else path.absolute()), (), None


@dataclass(frozen=True)
class Stack:
    """A manifest and its server. Each method reads the manifest again, so that changes of its files count.

    The methods block, also where an event loop runs; `aio` has the same methods for `async` programs. A Stack holds no
    connection: several methods can run at the same time, in threads or as tasks. They raise LettaformError.

    name      the name of the stack
    warnings  what is valid in the manifest, and probably a mistake
    """

    name: str
    source: Source
    connection: Connection
    warnings: tuple[Problem, ...] = ()

    @property
    def aio(self) -> AsyncStack:
        """The same methods for `async` programs."""
        from lettaform.api.aio import AsyncStack

        return AsyncStack(self)

    def manifest(self) -> Manifest:
        """The manifest as it is now, with the values of all variables. ManifestError with every problem."""
        return flow.read(self.source)

    # --- plan and apply

    def plan(self, **options: Unpack[Options]) -> Plan:
        """Plan the changes, and write nothing. A plan is true if something is to do.

        Guarded if it would delete a protected object, or exceeds a limit.
        """
        return flow.plan(self.source, self.connection, _plan_options(options))

    @overload
    def apply(self, plan: Plan, /, **how: Unpack[ApplyOptions]) -> Result: ...
    @overload
    def apply(self, *, consent: Consent, **how: Unpack[PlanAndApplyOptions]) -> Result: ...
    def apply(  # type: ignore[misc]  # mypy: `**how: Any` accepts an unpacked TypedDict
        self, plan: Plan | None = None, /, *, consent: Consent | None = None, **how: Any
    ) -> Result:
        """Carry out a plan that `plan` returned; or plan, and carry the plan out if there is consent to it.

        plan     exactly this plan is carried out. Stale, and nothing is written, if the manifest or the server has
                 changed since
        consent  without a plan: True, or a function that takes the plan and returns whether to carry it out

        Failed if a step failed: what does not depend on it was done. Locked if another run holds the lock. The other
        arguments are in `Options` and `ApplyOptions`.
        """
        if plan is not None:
            return _planned(self, plan, consent, how)
        if consent is None:
            raise TypeError(NO_CONSENT)
        options, applied = _parted(how)
        return checked(*flow.apply(self.source, self.connection, options, consent=consent, **applied))

    @overload
    def applying(self, plan: Plan, /, **how: Unpack[ApplyOptions]) -> Applying: ...
    @overload
    def applying(self, *, consent: Consent, **how: Unpack[PlanAndApplyOptions]) -> Applying: ...
    def applying(self, plan: Plan | None = None, /, **how: Any) -> Applying:  # type: ignore[misc]  # as above
        """As `apply`: an iterator of the events of the apply, whose `result` is there after the last one.

        The apply begins with the iteration, which raises its errors at the end. Leaving the loop early cancels it.
        """
        return Applying(run_of(self, plan, how))

    def destroy(self, *, consent: Consent, **how: Unpack[DestroyOptions]) -> Result:
        """Delete everything that the stack owns, after a snapshot of it. The arguments and errors are those of `apply`.

        Guarded if an object is protected, and `allow_destroy` does not name it.
        """
        options, applied = _parted({**how, "destroy": True})
        return checked(*flow.apply(self.source, self.connection, options, consent=consent, **applied))

    # --- talk

    def send(self, to: str, said: str | Outgoing, /, **how: Unpack[SendOptions]) -> Answer:
        """Send a message to an agent or a conversation, and return its answer.

        to    its address, or the id of any one on the server
        said  a text, or an Outgoing with images or decisions

        NotAnswered if the run fails. `SendOptions` says what the other arguments are.
        """
        return talk_of(self, to, said, {"tokens": False, **how})(lambda message: None)

    def sending(self, to: str, said: str | Outgoing, /, **how: Unpack[SendOptions]) -> Sending:
        """As `send`: an iterator of the answer, in pieces as the model writes them, whose `result` is the Answer.

        Leaving the loop early ends the iteration; the run goes on.
        """
        return Sending(talk_of(self, to, said, how))

    def messages(
        self,
        of: str,
        *,
        conversation: str | None = None,
        limit: int | None = 20,
        types: Sequence[str] = (),
        search: str | None = None,
    ) -> list[Message]:
        """The last messages of an agent or a conversation, oldest first, also those that left the context.

        of            an address, or an id
        conversation  key or id of a conversation with the agent
        limit         how many at most; None: all of them
        types         types of messages, such as `user_message`; empty: all
        search        text that they contain, whatever its case
        """
        wanted: dict[str, Any] = {
            "conversation": conversation,
            "limit": limit,
            "types": _tuple(types),
            "search": search,
        }
        return flow.messages(self.source, self.connection, of, **wanted)

    # --- what is on the server

    def status(self, *patterns: str, tags: Sequence[str] = (), shard: AnyShard = WHOLE) -> StackStatus:
        """How the live objects differ from the manifest, and how full their memory is. Secrets need no values.

        patterns  addresses with `*`: these objects alone. PlanError if one matches no object
        tags      objects with one of these tags alone
        shard     the objects of this shard alone
        """
        return flow.status(self.source, self.connection, StatusOptions(patterns, _tuple(tags), _shard(shard)))

    def drift(self, *, target: Sequence[str] = (), exclude: Sequence[str] = (), shard: AnyShard = WHOLE) -> Drift:
        """What changed outside of lettaform since the last apply. Writes nothing. Secrets need no values."""
        options = _plan_options({"target": target, "exclude": exclude, "shard": shard})
        return flow.drift(self.source, self.connection, options)

    def show(self, address: str | None = None) -> Shown:
        """The live objects with all their fields, beside what the manifest says. `address`: a pattern; None: all."""
        return flow.show(self.source, self.connection, address)

    def check(self, *names: str, planned: bool = False, parallel: int = 4) -> Checked:
        """Talk to throw-away copies of agents, and compare what they do with the `checks` of the manifest.

        names     patterns: the names of checks, with `*`; none: all. PlanError if one matches no check
        planned   whether the agents are checked as an apply would leave them
        parallel  maximum number of copies at the same time

        A check that fails is a result, and no error. No object of the stack changes.
        """
        return flow.check(self.source, self.connection, CheckOptions(names, planned, parallel))

    def promote(
        self, first: str, second: str, *addresses: str, consent: Consent, **how: Unpack[PromoteOptions]
    ) -> Result:
        """Apply the manifest to the environment `second` once `first` is as it declares, and bring its memory.

        addresses  patterns: these objects alone

        PlanError if `first` differs from the manifest; Conflicting if a text cannot be merged. Otherwise as `apply`.
        """
        given: dict[str, Any] = {n: _tuple(each) if n in ("ours", "theirs") else each for n, each in how.items()}
        return checked(*flow.promote(self.source, self.connection, first, second, addresses, consent=consent, **given))

    def canary(self, does: Does, *addresses: str, consent: Consent, **how: Unpack[CanaryStart]) -> Result:
        """`start` copies of agents as they are declared now; `promote` the change to the agents; `remove` the copies.

        addresses  patterns: agents. `copies`, `memory` and `shared` are those of CanaryOptions, for a start

        The other arguments and errors are those of `apply`.
        """
        return checked(*canary_of(self, does, addresses, consent, how))

    def canary_check(self, *addresses: str, names: Sequence[str] = (), parallel: int = 4) -> Compared:
        """Run the checks of agents that have a canary on both. `names`: patterns of checks. See `check`."""
        return flow.canary_check(self.source, self.connection, addresses, CheckOptions(_tuple(names), False, parallel))

    def history(self) -> tuple[Applied, ...]:
        """The last runs that changed the stack, the newest first."""
        return flow.history(self.source, self.connection)

    def adopt(self, address: str, id: str) -> Plan:
        """Adopt the existing object `id` under an address of the manifest. Writes its mark, and nothing else."""
        return flow.adopt(self.source, self.connection, address, id)

    def pull(
        self,
        *addresses: str,
        consent: bool | Callable[[Pull], bool],
        drift: bool = False,
        ours: Sequence[str] = (),
        theirs: Sequence[str] = (),
        record: bool = False,
    ) -> Pull:
        """Put live values back into the files of the manifest. Writes nothing on the server, unless `record`.

        addresses  patterns: these objects alone
        consent    whether to write the files: True, or a function that takes what was found
        drift      pull values with the policy `enforce`, too
        ours       patterns: keep the manifest's values where both sides changed
        theirs     patterns: take the live values, whatever changed
        record     write the marks, too, as if the new manifest had been applied

        PlanError for a manifest in memory: it has no files. Stale if a file changes meanwhile.
        """
        options = PullOptions(addresses, drift, _tuple(ours), _tuple(theirs), record)
        return flow.pull(self.source, self.connection, options, consent=consent)

    # --- snapshots

    def snapshot(self, directory: str | PathLike[str] | None = None, *, without_messages: Sequence[str] = ()) -> Path:
        """Write a snapshot of everything that the stack owns, prove it, and return its folder. SnapshotError.

        directory         where the folder is created. Default: as the manifest says, or `.lettaform/snapshots`
        without_messages  patterns: agents and conversations whose messages it may lack
        """
        where = None if directory is None else Path(directory)
        return flow.snapshot_create(self.source, self.connection, where, without_messages=_tuple(without_messages))

    def restore(
        self,
        folder: str | PathLike[str],
        *addresses: str,
        consent: Consent,
        stack: str | None = None,
        without_messages: Sequence[str] = (),
        **how: Unpack[ApplyOptions],
    ) -> Result:
        """Bring back the objects of a snapshot as they were: values, attachments, messages and marks.

        folder            the folder of the snapshot. SnapshotError if it is not whole
        addresses         patterns: these objects alone
        consent           True, or a function that takes the plan and returns whether to carry it out
        stack             the stack that owns what is restored. Default: this one, which must be the snapshot's
        without_messages  patterns: as of `snapshot`, about the snapshot of what is overwritten

        What is overwritten is kept in a snapshot of its own first. The other arguments and errors are those of `apply`.
        """
        which: dict[str, Any] = {"stack": stack, "without_messages": _tuple(without_messages), "consent": consent}
        return checked(*flow.restore(self.source, self.connection, Path(folder), addresses, **which, **how))

    def rollback(self, *, consent: Consent, **how: Unpack[ApplyOptions]) -> Result:
        """Restore the snapshot that the last apply from this folder took. PlanError if it took none."""
        return checked(*flow.rollback(self.source, self.connection, consent=consent, **how))


def canary_of(
    stack: Stack, does: Does, addresses: Sequence[str], consent: Consent, how: Mapping[str, Any]
) -> tuple[Plan, Report | None]:
    """What `Stack.canary` does. Options of a start are an error elsewhere."""
    options = {name: value for name, value in how.items() if name not in ApplyOptions.__annotations__}
    more: dict[str, Any] = {name: value for name, value in how.items() if name not in options}
    if does == "start":
        started = CanaryOptions(**options)
        return flow.canary_start(stack.source, stack.connection, addresses, started, consent=consent, **more)
    if options:
        raise TypeError(f"{', '.join(sorted(options))}: of a start alone")
    end = flow.canary_promote if does == "promote" else flow.canary_remove
    return end(stack.source, stack.connection, addresses, consent=consent, **more)


def _plan_options(options: Mapping[str, Any]) -> PlanOptions:
    """The options of a plan. A text in place of a list of patterns is one pattern."""
    given = {name: _tuple(value) for name, value in options.items() if name != "shard"}
    return PlanOptions(**given, shard=_shard(options.get("shard", WHOLE)))


def _shard(value: AnyShard) -> Shard:
    if isinstance(value, Shard):
        return value
    return Shard.parse(value) if isinstance(value, str) else Shard(*value)


def _tuple(value: Any) -> Any:
    """A list as a tuple, and a text as a tuple of this text."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, Sequence) else value


def _parted(given: Mapping[str, Any]) -> tuple[PlanOptions, dict[str, Any]]:
    """The options of a plan, and how it is carried out."""
    how = {name: value for name, value in given.items() if name in ("wait", *ApplyOptions.__annotations__)}
    return _plan_options({name: value for name, value in given.items() if name not in how}), how


def _planned(stack: Stack, plan: Plan, consent: Consent | None, how: Mapping[str, Any]) -> Result:
    """Carry out a plan. It has its own options, and is the consent."""
    given = [*([] if consent is None else ["consent"]), *(how.keys() - ApplyOptions.__annotations__)]
    if given:
        raise TypeError(f"a plan has its own options, and is the consent; remove {', '.join(sorted(given))}")
    return checked(*flow.apply_plan(plan, stack.source, stack.connection, **how))


def run_of(stack: Stack, plan: Plan | None, how: Mapping[str, Any]) -> Callable[[Notify], Result]:
    """The apply that begins with the iteration of its events. Wrong arguments are an error at once."""
    if plan is None and how.get("consent") is None:
        raise TypeError(NO_CONSENT)
    given: tuple[Any, ...] = () if plan is None else (plan,)
    return lambda notify: partial(stack.apply, *given)(**how, notify=notify)


def talk_of(
    stack: Stack, to: str, said: str | Outgoing, how: Mapping[str, Any]
) -> Callable[[Callable[[Message], None]], Answer]:
    """The exchange that begins with the iteration of its messages."""
    outgoing = Outgoing(said) if isinstance(said, str) else said
    return lambda notify: talk.read(flow.send(stack.source, stack.connection, to, outgoing, **how), to, notify)
