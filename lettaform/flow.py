"""One function for each command, from a Source and a Connection to its result.

Every function that takes a Source raises ManifestError with every problem of the files. Every function that takes a
Connection raises ServerError if the server cannot be reached or refuses, and PlanError if the plan cannot be made.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lettaform import manifest
from lettaform.address import Address, matches
from lettaform.apply import LOCK_LOST
from lettaform.backend import Backend, connect
from lettaform.errors import Interrupted, LettaformError, Locked, PlanError, Problem, SnapshotError, Stale, nearest
from lettaform.kinds import MATCHES, kind_of, kinds, sections
from lettaform.manifest import Draft, Needs, Outline
from lettaform.manifest.formatted import Formatted, format_files, format_text
from lettaform.manifest.glance import Glance, glance
from lettaform.model import (
    WHOLE,
    AgentImport,
    Applied,
    CanaryOptions,
    Change,
    Checked,
    CheckResult,
    Compacted,
    Compared,
    Decision,
    Image,
    Imported,
    Live,
    Lock,
    Manifest,
    MemoryPolicy,
    Observed,
    Outgoing,
    Plan,
    PlanOptions,
    Recipient,
    Report,
    Run,
    Search,
    Searched,
    Server,
    Shard,
    Verified,
)
from lettaform.model import (
    contents as contents_of,
)
from lettaform.ownership import state
from lettaform.ownership.state import last_run
from lettaform.ownership.unowned import ImportOptions
from lettaform.plan import saved
from lettaform.plan.drift import Drift, Shown, classify
from lettaform.plan.drift import drift as drift_of
from lettaform.plan.guard import check_merged
from lettaform.plan.leaves import shown_live
from lettaform.plan.memory import MemoryReport
from lettaform.plan.pull import Pull, PullOptions
from lettaform.plan.status import StackStatus, StatusOptions
from lettaform.render import data
from lettaform.session import (
    SNAPSHOTS,
    Notify,
    Session,
    Snapshots,
    check_patterns,
    check_talkers,
    select,
    take_snapshot,
    unknown,
)
from lettaform.session.blocking import blocking, iterated
from lettaform.session.commit import commit_of
from lettaform.session.files import ChangedMeanwhile, replace_contents, write_json
from lettaform.session.loading import Loading, beside
from lettaform.session.observe import FirstReads, observe, read_state, read_whole
from lettaform.session.server import Connection, is_same_server, target
from lettaform.values import Item, walk

if TYPE_CHECKING:  # a plan needs none of it
    from lettaform.client.messages import Message
    from lettaform.lettactl.fleet import Options as LettactlOptions
    from lettaform.manifest.graph import Graph
    from lettaform.manifest.rendered import Rendered
    from lettaform.model import Vendoring
    from lettaform.ownership.audit import Audit
    from lettaform.session.duplicate import Duplicated
    from lettaform.session.last_apply import Kept
    from lettaform.session.talk import Decide, Sent
    from lettaform.snapshot import Snapshot
    from lettaform.snapshot.agent_file_export import Exported
    from lettaform.snapshot.agent_files import Options as AgentFileOptions
    from lettaform.snapshot.compare import Counted

__all__ = [
    "CanaryOptions",
    "CheckOptions",
    "Compared",
    "Connection",
    "Decision",
    "Drift",
    "Formatted",
    "Image",
    "ImportOptions",
    "Imported",
    "MemoryPolicy",
    "MemoryReport",
    "Outgoing",
    "PlanOptions",
    "Pull",
    "PullOptions",
    "Recipient",
    "Run",
    "Search",
    "Searched",
    "Shard",
    "Shown",
    "Snapshots",
    "Source",
    "StackStatus",
    "StatusOptions",
    "adopt",
    "apply",
    "apply_plan",
    "apply_saved",
    "approval",
    "archive_search",
    "audit",
    "canary_check",
    "canary_promote",
    "canary_remove",
    "canary_start",
    "check",
    "compact",
    "drift",
    "duplicate",
    "export",
    "fmt",
    "fmt_text",
    "from_agent_files",
    "from_lettactl",
    "graph",
    "import_agent_file",
    "import_all",
    "lock_release",
    "lock_show",
    "memory",
    "messages",
    "migrate",
    "plan",
    "promote",
    "pull",
    "read",
    "recipients",
    "recompile",
    "render",
    "reset",
    "restore",
    "rollback",
    "run_cancel",
    "run_follow",
    "run_show",
    "runs",
    "save",
    "send",
    "send_to_many",
    "show",
    "show_saved",
    "snapshot_create",
    "snapshot_diff",
    "snapshot_directory",
    "snapshot_find",
    "snapshot_list",
    "snapshot_objects",
    "snapshot_read",
    "snapshot_verify",
    "state_list",
    "state_move",
    "state_rebuild",
    "state_remove",
    "status",
    "vendor",
]

_T = TypeVar("_T")
PLAN_AGAIN = "`lettaform plan -o FILE` writes one"

Consent = bool | Callable[[Plan], bool]
"""Whether to carry out a plan: True, or a function that takes the plan and answers."""


@dataclass(frozen=True)
class Source:
    """Where the manifest is, and the values of its variables.

    directory       the project, to which paths are relative
    files           the manifest files; empty: `lettaform.yaml` in the directory, or else all its YAML files
    environment     the environment to choose, as with `-e`
    variables       name to value, as with `--var`
    variable_files  files with values of variables, as with `--var-file`
    document        a manifest in memory, in place of files: Python's own values, File, JsonFile and UNSET
    stack           the name of the stack, in place of the one in the manifest
    working         where the folder `.lettaform` is, with snapshots and what a rollback needs. Default: the project
    """

    directory: Path = field(default_factory=Path)
    files: tuple[Path, ...] = ()
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    variable_files: tuple[Path, ...] = ()
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    stack: str | None = None
    working: Path | None = None

    @property
    def home(self) -> Path:
        """Where the folder `.lettaform` is."""
        return self.working or self.directory

    @property
    def is_given(self) -> bool:
        """Whether there is a manifest."""
        return self.document is not None or bool(self.files) or any(self.directory.glob("*.y*ml"))


def read(source: Source, needs: Needs = "everything") -> Manifest:
    """Read the manifest, resolved and checked. Raises ManifestError with every problem.

    needs  which variables must have a value; what depends on others is left out
    """
    return begin(source, needs, connects=False).finish()


def fmt(source: Source, paths: Sequence[Path] = (), *, write: bool = True) -> Formatted:
    """Write the manifest files in canonical layout: only blanks, line breaks and spellings of null and booleans change.

    paths  format these files alone, relative to the project; empty: the manifest and all files that it includes
    write  False: only find out what would change

    Files with problems stay as they are; the problems are in the result. All other files are written, or none: Stale if
    one changes meanwhile, PlanError if one cannot be written.
    """
    found = format_files(source.directory, source.files, paths)
    if not write or not found.changed:
        return found
    with _unchanged_files():
        replace_contents(found.contents)
    return replace(found, written=True)


def render(source: Source, patterns: Sequence[str] = ()) -> Rendered:
    """The final fields of the objects of a manifest, and where each value comes from. Reads no server.

    patterns  the objects, or components, to show; empty: everything. Secrets need no value.

    PlanError for a pattern that matches no object.
    """
    from lettaform.manifest.rendered import rendered

    found = read(source, "plain")
    check_patterns(patterns, found.objects)
    return rendered(found, source.directory, lambda address: not patterns or matches(address, tuple(patterns)))


def vendor(source: Source, *, check: bool = False) -> Vendoring:
    """Fetch the components of git repositories that the manifest uses into the project, and write the lock file.

    check  fetch and write nothing: find out what differs from the lock file

    ManifestError if a file of the manifest has problems, or a component cannot be fetched. PlanError if a file cannot
    be written.
    """
    from lettaform.session.vendor import vendor as fetched

    _check_files(source)
    return fetched(source.directory, source.files, check=check)


def graph(source: Source, patterns: Sequence[str] = ()) -> Graph:
    """What refers to what in the manifest. Reads no server, and needs no variable: what depends on one is left out.

    patterns  objects to show together with all to which they are linked; empty: everything

    PlanError for a pattern that matches no object.
    """
    from lettaform.manifest.graph import graph as whole

    found = read(source, "nothing")
    check_patterns(patterns, found.objects)
    return whole(found, lambda address: not patterns or matches(address, tuple(patterns)))


def fmt_text(data: bytes) -> Formatted:
    """A text in canonical layout, as the only file of the result. Its problems have the file name `<stdin>`."""
    return format_text(data)


def begin(
    source: Source, needs: Needs = "everything", *, connects: bool = True, contents: Mapping[Path, bytes] = {}
) -> Draft:
    """The manifest, read and not yet resolved. ManifestError if there is none."""
    return manifest.begin(
        source.directory,
        source.files,
        environment=source.environment,
        variables=source.variables,
        variable_files=source.variable_files,
        needs=needs,
        connects=connects,
        contents=contents,
        document=source.document,
        stack=source.stack,
    )


# --- plan and apply --------------------------------------------------------------------------------------------------


def plan(
    source: Source, connection: Connection, options: PlanOptions | None = None, *, count_tokens: bool = False
) -> Plan:
    """Plan the changes. Writes nothing on the server. Raises Guarded if the plan needs consent.

    count_tokens  whether the server counts the tokens in the context of each agent whose prompt changes: one request
                  for each. Otherwise, `Plan.prompts` holds estimates of the prompts alone
    """
    options = options or PlanOptions()

    async def run(session: Session) -> Plan:
        plan = await session.plan(options)
        if not (count_tokens and plan.prompts):
            return plan
        from lettaform.session.tokens import with_contexts

        assert session.observed is not None
        return await with_contexts(session.backend, plan, session.observed)

    opened = _Opened(source, connection, needs=_needs(options), ahead=not options.destroy, shard=options.shard)
    return opened.run(run)


def _agrees(consent: bool | Callable[[_T], bool], found: _T) -> bool:
    """Whether there is consent to what was found. Only True is consent: a coroutine that nobody awaits is none."""
    answer = consent(found) if callable(consent) else consent
    if isinstance(answer, bool):
        return answer
    if isinstance(answer, Coroutine):
        answer.close()
    raise TypeError(f"consent must be True or False, or a function that returns one of them; got {answer!r}")


def _needs(options: PlanOptions) -> Needs:
    """The variables that must have a value. A plan that deletes everything writes no declared value."""
    return "nothing" if options.destroy else "everything"


def apply(
    source: Source,
    connection: Connection,
    options: PlanOptions | None = None,
    *,
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
    approved: str | None = None,
    checks: CheckOptions | None = None,
    wait: float = 0.0,
) -> tuple[Plan, Report | None]:
    """Plan, ask for consent, and carry out the plan. The Report is None if nothing changes or consent is refused.

    consent      whether to carry out the plan: True, or a function that is called with the plan
    interactive  False: `consent` is called while the lock is held. True: it is called before the lock is taken, so that
                 a person can take their time. The plan is then made again under the lock, and `consent` is called again
                 if it differs.
    notify       called with each Event
    parallel     maximum number of requests at the same time
    snapshots    where a snapshot is written, of what it is taken, and where it is announced
    approved     what `approval` returned for the plan that somebody reviewed. Not together with `interactive`
    checks       the checks to run once everything is applied, also if nothing changes; None: none run. `Report.checked`
                 has their results, and `Report.undone` the rollback that failed ones cause
    wait         with `options.shard`: seconds to wait for objects of other shards. What refers to one that is not there
                 yet is applied once it is. `Report.waiting` names what is left when the time is over

    Raises Stale if the plan does something else than the approved one.
    Raises SnapshotError, before anything is changed, if what is destroyed cannot be kept.
    Raises Locked if another run holds the lock for longer than `patience`. Errors of Steps are in the Report.
    """
    if approved is not None and not saved.APPROVAL.fullmatch(approved):
        raise PlanError(
            f"`{approved}` is no digest of a plan", "`lettaform plan` prints it: 32 digits, a dot, 8 digits"
        )
    run = _Apply(options or PlanOptions(), consent, notify, parallel, approved=approved)
    gate = _Gate(source, connection, checks, notify, parallel, snapshots or Snapshots())
    more: dict[str, Any] = {"snapshots": gate.kept(), "shard": run.options.shard}
    ahead = interactive and not run.options.destroy
    opened = _Opened(source, connection, parallel, needs=_needs(run.options), ahead=ahead, **more)
    return gate.after(*opened.apply_all(run, interactive, wait))


@dataclass(frozen=True)
class _Apply:
    """The arguments of one apply."""

    options: PlanOptions
    consent: Consent
    notify: Notify
    parallel: int
    saved: Mapping[str, Any] | None = None
    """A saved plan that the plan must equal."""
    approved: str | None = None
    """What approves the plan, as of `apply`."""

    async def plan(self, session: Session) -> Plan:
        """The plan. Raises Stale if it differs from the saved plan."""
        plan = await session.plan(self.options)
        check_merged(plan)
        if self.saved and (lines := saved.moved(self.saved, plan)):
            problems = tuple(Problem(each) for each in lines)
            why = ", ".join(saved.causes(self.saved, plan))
            raise Stale(f"the plan is stale: {why}", "plan again and review the new plan", problems)
        return plan

    async def unlocked(self, session: Session) -> tuple[Plan, bool]:
        """The plan, and whether another run holds the lock or was killed without releasing it."""
        return await self.plan(session), session.locked_by_others

    async def locked(self, agreed: Plan | None, session: Session) -> tuple[Plan, Report | None]:
        """Plan under the lock and carry the plan out, unless it differs from the plan that was agreed to."""
        async with session.locked():
            plan = await self.plan(session)
            consented = saved.same(agreed, plan) if agreed is not None else plan and _agrees(self.consent, plan)
            if self.approved and consented:
                saved.check_approved(plan, self.approved)
            return plan, await self.carry_out(session, plan) if plan and consented else None

    async def carry_out(self, session: Session, plan: Plan) -> Report:
        verb = "destroy" if self.options.destroy else "promote" if self.options.promotion else "apply"
        return await session.apply(plan, self.notify, self.parallel, verb=verb)


@dataclass(frozen=True, kw_only=True)
class _Promote(_Apply):
    """The arguments of one promotion. A plan with conflicts is shown, and not carried out."""

    async def plan(self, session: Session) -> Plan:
        return await session.plan(self.options)

    async def carry_out(self, session: Session, plan: Plan) -> Report:
        check_merged(plan)
        return await super().carry_out(session, plan)


@dataclass(frozen=True, kw_only=True)
class _Canary(_Apply):
    """The arguments of what is done with canaries. `how`: of a start."""

    does: Literal["start", "promote", "remove"]
    addresses: tuple[str, ...]
    how: CanaryOptions | None = None

    async def plan(self, session: Session) -> Plan:
        from lettaform.session.canary import plan_end, plan_start

        if self.does == "start":
            return await plan_start(session, self.addresses, self.how or CanaryOptions())
        return await plan_end(session, self.addresses, promote=self.does == "promote")

    async def carry_out(self, session: Session, plan: Plan) -> Report:
        return await session.apply(plan, self.notify, self.parallel, verb=f"canary {self.does}")


@dataclass(frozen=True, kw_only=True)
class _Restore(_Apply):
    """The arguments of one restore.

    path      the folder of the snapshot
    snapshot  its index
    renamed   whether the snapshot of another stack may be restored
    kept      what is rolled back; None: nothing is
    """

    path: Path
    snapshot: Snapshot
    addresses: tuple[str, ...] = ()
    renamed: bool = False
    kept: Kept | None = None

    async def plan(self, session: Session) -> Plan:
        from lettaform.session.restore import plan_restore, plan_rollback

        if self.kept is not None:
            return await plan_rollback(session, self.kept, self.snapshot, self.options)
        return await plan_restore(
            session, self.path, self.snapshot, self.addresses, renamed=self.renamed, options=self.options
        )

    async def carry_out(self, session: Session, plan: Plan) -> Report:
        verb = "rollback" if self.kept else "restore"
        return await session.apply(plan, self.notify, self.parallel, verb=verb, undoes=self.kept)


@dataclass(frozen=True, kw_only=True)
class _Migrate(_Restore):
    """The arguments of one migration. `moved`: what has changed on the first server since the snapshot."""

    moved: Callable[[], Awaitable[tuple[Change, ...]]]

    async def plan(self, session: Session) -> Plan:
        from lettaform.session.migrate import plan_migration

        return await plan_migration(session, self.path, self.snapshot, self.addresses, self.options)

    async def carry_out(self, session: Session, plan: Plan) -> Report:
        """Carry out the plan. Stale if the first server has changed meanwhile: a person looked at the plan, or the lock
        was held.
        """
        if changes := await self.moved():
            problems = [Problem(f"{each.address} has changed", address=str(each.address)) for each in changes]
            message = f"{self.snapshot.header.url} has changed since its snapshot; nothing was written"
            raise Stale(message, "run it again while its agents do not run", problems)
        return await session.apply(plan, self.notify, self.parallel, verb="migrate")


def save(plan: Plan, path: Path) -> None:
    """Write a plan to a file for `apply_saved`, complete or not at all, with mode 0600.

    Raises PlanError if it cannot be written, and Conflicting if it holds a conflict.
    """
    check_merged(plan)
    salt = None if plan.state.key else token_hex(16)
    uploaded = [each for step in plan.steps for each in walk(contents_of(step)) if isinstance(each, Item)]
    try:
        declared = {"manifest": manifest.dump_saved(plan.manifest, uploaded)} if plan.manifest else {}
    except OSError as error:
        raise PlanError(f"cannot read {error.filename}: {error.strerror}") from error
    try:
        write_json(path, {**data.plan(plan), **saved.dump(plan, salt), **declared})
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}") from error


def approval(plan: Plan) -> str:
    """What approves a plan: `apply` carries out a plan with these effects, and no other."""
    return saved.approval(plan)


def apply_saved(
    path: Path,
    source: Source,
    connection: Connection,
    *,
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
    checks: CheckOptions | None = None,
    shard: Shard = WHOLE,
) -> tuple[Plan, Report | None]:
    """Carry out a saved plan if planning again gives the same Steps. Otherwise raises Stale, which names what changed.

    The plan holds the manifest, without its secrets: those that it writes must have values. Where the files of the
    project are there, they must be those of the plan. ManifestError names each secret without a value.

    shard  the shard for which the plan must have been made; WHOLE: any

    The server is the one that the plan was made for. Stale if `connection` or LETTA_BASE_URL names another one.
    The other arguments and errors are those of `apply`.
    """
    before, options = _saved(path)
    if shard and shard != options.shard:
        made = f"shard {options.shard}" if options.shard else "the whole stack"
        raise PlanError(f"{path} is a plan for {made}, and not for shard {shard}", PLAN_AGAIN)
    pinned = (before.get("server") or {}).get("url")
    run = _Apply(options, consent, notify, parallel, before)
    there = replace(connection, url=connection.url or pinned) if checks else connection
    gate = _Gate(source, there, checks, notify, parallel, snapshots or Snapshots())
    draft = _draft_of(before, path, source)
    more: dict[str, Any] = {"pinned": pinned, "snapshots": gate.kept(), "draft": draft, "shard": options.shard}
    return gate.after(*_Opened(source, connection, parallel, **more).apply_all(run, interactive))


@dataclass(frozen=True)
class CheckOptions:
    """Which checks run, and how.

    names     patterns: the names of checks, with `*`; empty: all
    planned   whether the agents are checked as an apply would leave them
    parallel  maximum number of copies of agents at the same time
    notify    called with each result
    """

    names: tuple[str, ...] = ()
    planned: bool = False
    parallel: int = 4
    notify: Callable[[CheckResult], None] = lambda result: None


def check(source: Source, connection: Connection, options: CheckOptions | None = None) -> Checked:
    """Run the checks of the manifest on throw-away copies of its agents. No object of the stack changes.

    What an earlier run has left that was killed is deleted, too. Raises PlanError if an agent does not exist, or if a
    pattern names no check. A check that fails is a result, and no error.
    """
    from lettaform.session.check import check as run_checks
    from lettaform.session.check import chosen

    options = options or CheckOptions()

    async def run(session: Session) -> Checked:
        checks = chosen(session.manifest, options.names)
        steps = (await session.plan(PlanOptions())).steps if options.planned else None
        return await run_checks(session, checks, steps=steps, parallel=options.parallel, notify=options.notify)

    parallel = max(8, 2 * options.parallel)
    opened = _Opened(source, connection, parallel, needs="everything" if options.planned else "plain")
    return opened.run(run, whole=True)


def promote(
    source: Source,
    connection: Connection,
    first: str,
    second: str,
    addresses: Sequence[str] = (),
    *,
    memory: MemoryPolicy = "keep",
    ours: tuple[str, ...] = (),
    theirs: tuple[str, ...] = (),
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Apply the manifest to an environment once another one is as it declares, and bring what agents learned there.

    first      the environment that has been tried. Nothing is written there
    second     the environment that changes; `source.environment` is not used
    addresses  patterns; empty: everything
    memory     what happens to the memory of the second one
    ours       patterns: where a merge conflicts, take the lines of the second environment
    theirs     patterns: where a merge conflicts, take the lines of the first one

    What is overwritten is kept in a snapshot first. PlanError if the first environment differs from the manifest, if it
    has not been applied, or if both are one stack on one server; Locked if an apply is under way there; Conflicting if
    a text cannot be merged and the plan is to be carried out. The other arguments and errors are those of `apply`.
    """
    from lettaform.session.promote import promotion

    if first == second:
        raise PlanError(f"`{first}` cannot be promoted to itself", "name two environments with --from and --to")
    begun = _Opened(replace(source, environment=first), connection, parallel, needs="plain")
    changing = replace(source, environment=second)
    opened = _Opened(changing, connection, parallel, needs="everything", snapshots=snapshots)
    opened.manifest = opened.finished()
    patterns = _agents(addresses)
    url = target(connection, opened.manifest.server, os.environ, None).url
    read_first = partial(promotion, target=opened.manifest, url=url, patterns=patterns, memory=memory)
    options = PlanOptions(target=patterns, ours=ours, theirs=theirs, promotion=begun.run(read_first, whole=True))
    plan, report = opened.apply(_Promote(options, consent, notify, parallel), interactive, whole=True)
    if consent is True:  # a conflict alone is no change, and nobody has been asked
        check_merged(plan)
    return plan, report


def canary_start(
    source: Source,
    connection: Connection,
    addresses: Sequence[str],
    options: CanaryOptions | None = None,
    *,
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Create copies of agents as the manifest declares them now, beside the agents, which stay as they are.

    addresses  patterns: declared agents that exist; a key alone is that of an agent
    options    how many, and with which memory

    Until the canary ends, plans leave these agents out. Called again, it updates the copies to what is declared then,
    and completes what an interrupted call began. The other arguments and errors are those of `apply`.
    """
    run = _Canary(PlanOptions(), consent, notify, parallel, does="start", addresses=_agents(addresses), how=options)
    opened = _Opened(source, connection, parallel, needs="everything", snapshots=snapshots)
    return opened.apply(run, interactive, whole=True)


def canary_promote(
    source: Source,
    connection: Connection,
    addresses: Sequence[str],
    *,
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Apply the changes of agents that have a canary, and remove their copies. The memory of the agents stays.

    addresses  patterns: agents that have a canary. PlanError for one that matches none

    The copies are kept in a snapshot first. The other arguments and errors are those of `apply`.
    """
    run = _Canary(PlanOptions(), consent, notify, parallel, does="promote", addresses=_agents(addresses))
    opened = _Opened(source, connection, parallel, needs="everything", snapshots=snapshots)
    return opened.apply(run, interactive, whole=True)


def canary_remove(
    source: Source,
    connection: Connection,
    addresses: Sequence[str],
    *,
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Remove the copies of agents that have a canary. The agents stay as they are. As `canary_promote` otherwise."""
    run = _Canary(PlanOptions(), consent, notify, parallel, does="remove", addresses=_agents(addresses))
    opened = _Opened(source, connection, parallel, snapshots=snapshots)
    return opened.apply(run, interactive, whole=True)


def canary_check(
    source: Source, connection: Connection, addresses: Sequence[str] = (), options: CheckOptions | None = None
) -> Compared:
    """Run the checks of agents that have a canary on throw-away copies of both: the agent, and its first copy.

    addresses  patterns: agents that have a canary; empty: all of them
    options    `names`, `parallel` and `notify` are used

    PlanError if there is no canary, or no check is about such an agent. A check that fails is a result, and no error.
    """
    from lettaform.session.canary import compare

    options = options or CheckOptions()
    asked = partial(
        compare,
        patterns=_agents(addresses),
        names=options.names,
        parallel=options.parallel,
        notify=options.notify,
    )
    return _Opened(source, connection, max(8, 2 * options.parallel), needs="plain").run(asked, whole=True)


def _agents(addresses: Sequence[str]) -> tuple[str, ...]:
    """Patterns of addresses; a key alone is that of an agent."""
    return tuple(each if "." in each else f"agents.{each}" for each in addresses)


@dataclass(frozen=True)
class _Gate:
    """The checks that follow an apply, and the rollback that follows them. `options`: None: no checks."""

    source: Source
    connection: Connection
    options: CheckOptions | None
    notify: Notify
    parallel: int
    snapshots: Snapshots

    def kept(self) -> Snapshots:
        """What the apply does with its snapshot. It keeps what it changes if a failed check is to roll it back."""
        if self.options is None:
            return self.snapshots
        from lettaform.session.check import chosen

        checks = chosen(read(self.source, "plain"), self.options.names)
        return replace(
            self.snapshots, changed=self.snapshots.changed or any(each.on_failure == "rollback" for each in checks)
        )

    def after(self, plan: Plan, report: Report | None) -> tuple[Plan, Report | None]:
        """The report with the results of the checks. None run if consent was refused, or if a step failed."""
        refused = report is None and bool(plan)
        if self.options is None or refused or (report is not None and report.exit_code != 0):
            return plan, report
        checked = check(self.source, self.connection, self.options)
        report = replace(report or Report(), checked=checked)
        if not checked.rolls_back or not report.snapshot:
            return plan, report
        more: dict[str, Any] = {"notify": self.notify, "parallel": self.parallel, "snapshots": self.snapshots}
        _, undone = rollback(self.source, self.connection, consent=True, **more)
        return plan, replace(report, undone=undone)


def apply_plan(
    plan: Plan,
    source: Source,
    connection: Connection,
    *,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Carry out a plan that `plan` returned, as `apply_saved` does with one that was saved. It is the consent.

    Conflicting if it holds a conflict.
    """
    check_merged(plan)
    before = saved.kept(plan, None if plan.state.key else token_hex(16))
    run = _Apply(plan.options, True, notify, parallel, before)
    needs = _needs(plan.options)
    more: dict[str, Any] = {"pinned": plan.url, "snapshots": snapshots, "shard": plan.options.shard}
    return _Opened(source, connection, parallel, needs=needs, **more).apply_all(run, interactive=False)


def show_saved(path: Path) -> Mapping[str, Any]:
    """What a saved plan holds for people: the object that `plan --json` prints. Reads nothing but the file."""
    return {key: value for key, value in _saved(path)[0].items() if key not in saved.KEYS}


def _draft_of(before: Mapping[str, Any], path: Path, source: Source) -> Draft:
    """The manifest of a saved plan."""
    given = manifest.Given(
        source.directory, source.files, source.environment, source.variables, source.variable_files, os.environ
    )
    try:
        return manifest.open_saved(before["manifest"], before["secrets"], given)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PlanError(f"{path} is not a saved plan of this version", PLAN_AGAIN) from error


def _saved(path: Path) -> tuple[Mapping[str, Any], PlanOptions]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict) or value.get("format_version") != saved.FORMAT:
            raise ValueError("format")
        return value, saved.options(value)
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", PLAN_AGAIN) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise PlanError(f"{path} is not a saved plan of this version", PLAN_AGAIN) from error


def adopt(source: Source, connection: Connection, address: str, id: str) -> Plan:
    """Adopt the existing object `id` under an address of the manifest. Writes its mark, and nothing else."""

    async def run(session: Session) -> Plan:
        plan = await session.adopt(_address(address), id)
        _raise(await session.apply(plan, parallel=1, verb="import"))
        return plan

    # the mark holds digests of the declared values, and none of a secret
    return _run(source, connection, run, lock=True, needs="plain")


def drift(source: Source, connection: Connection, options: PlanOptions | None = None) -> Drift:
    """What changed outside of lettaform since the last apply. Writes nothing on the server, and takes no lock.

    options  `target`, `exclude` and `shard` are used: compare these objects alone

    What the manifest changes and no apply has written yet is no drift. Secret variables need no values.
    """
    from lettaform.session.pull import compare, known_secrets, locked

    options = options or PlanOptions()

    async def run(session: Session) -> tuple[Drift, Lock | None]:
        difference, holder = await compare(session, options, matched=True)
        assert difference.observed is not None
        hidden = tuple(known_secrets(session.manifest, difference.observed))
        return replace(drift_of(session.manifest, difference, options), hidden=hidden), holder

    found, holder = _Opened(source, connection, needs="plain", ahead=True, shard=options.shard).run(run)
    return replace(found, warnings=() if holder is None else (locked(holder),))


def pull(
    source: Source,
    connection: Connection,
    options: PullOptions | None = None,
    *,
    consent: bool | Callable[[Pull], bool],
) -> Pull:
    """Put live values back into the files of the manifest. Writes nothing on the server, unless `options.record`.

    consent  whether to write the files: True, or a function that is called with what was found if that is something

    Values that both sides changed, that contain a secret, or that cannot be put back are in the Pull, and are not
    written. With `options.record`, a pull that was interrupted before it wrote all marks is completed by the next one.
    A manifest in memory has no files: PlanError.
    Raises Stale if a file changes meanwhile, and PlanError if a file cannot be written: then no file changes.
    """
    from lettaform.session.pull import compare, locked, prepare

    _check_files(source)
    options = options or PullOptions()
    opened = _Opened(source, connection, needs="plain")
    sides = PlanOptions(ours=options.ours, theirs=options.theirs)
    difference, holder = opened.run(lambda session: compare(session, sides))
    assert opened.manifest is not None
    check_patterns(options.addresses, opened.manifest.objects)
    keys = {key: "the API key" for key in (connection.token, os.environ.get("LETTA_API_KEY")) if key}
    with _unchanged_files():
        found = prepare(opened.manifest, difference, options, source.directory, partial(_read_again, source), keys)
        if holder is not None:
            found = replace(found, pull=replace(found.pull, warnings=(*found.pull.warnings, locked(holder))))
        if not found.pull and options.record:  # an earlier pull has written the files, and was interrupted
            return replace(found.pull, recorded=_record(source, connection, options.addresses))
        if not found.pull or not _agrees(consent, found.pull):
            return found.pull
        replace_contents(found.contents, [source.directory / name for name in opened.manifest.inputs.files])
    written = replace(found.pull, written=True)
    if not options.record:
        return written
    pulled = frozenset(each.address for each in written.pulled)
    return replace(written, recorded=_record(source, connection, [str(each) for each in pulled]) & pulled)


def duplicate(
    source: Source,
    connection: Connection,
    old: str,
    new: str,
    *,
    consent: bool | Callable[[Duplicated], bool],
    live: bool = False,
) -> Duplicated:
    """Declare a copy of an agent, a block or an archive under a new address. Writes nothing on the server.

    consent  whether to write the files: True, or a function that is called with their change
    live     the memory of the copy is that on the server; otherwise it is what the manifest declares, and no request is
             sent

    PlanError if the declaration cannot be copied, or is in memory. Raises Stale if a file changes meanwhile.
    """
    from lettaform.session.duplicate import Duplicated, Memory, check, live_memory, prepare

    _check_files(source)
    first, second, memory = _address(old), _address(new), Memory()
    manifest = begin(source, "plain", connects=live).finish()
    check(manifest, first, second)
    if live:
        memory = _run(source, connection, lambda session: live_memory(session, first), needs="plain")
    with _unchanged_files():
        reload = partial(_read_again, source)
        files, contents = prepare(manifest, source.directory, first, second, memory, reload)
        found = Duplicated(first, second, live, files, memory.notes, memory.hidden)
        if not _agrees(consent, found):
            return found
        replace_contents(contents, [source.directory / name for name in manifest.inputs.files])
    return replace(found, written=True)


def _check_files(source: Source) -> None:
    if source.document is not None:
        raise PlanError("a manifest in memory has no files to write", "change it where the program makes it")


def _record(source: Source, connection: Connection, patterns: Sequence[str]) -> frozenset[Address]:
    """Write the marks of objects of which nothing else changes. Returns these. No pattern: of all."""
    from lettaform.session.pull import marks_of

    async def run(session: Session) -> frozenset[Address]:
        plan = await marks_of(session, patterns)
        if plan.steps:
            _raise(await session.apply(plan, parallel=4, verb="pull"))
        return frozenset(change.address for change in plan.changes)

    return _run(source, connection, run, lock=True, needs="plain")


def _read_again(source: Source, contents: Mapping[Path, bytes]) -> Manifest:
    """The manifest with other contents of its files."""
    return begin(source, "plain", connects=False, contents=contents).finish()


@contextmanager
def _unchanged_files() -> Iterator[None]:
    """Errors of files that are read again and written, for people."""
    from lettaform.manifest.locate import Outdated

    try:
        yield
    except (Outdated, ChangedMeanwhile) as error:
        raise Stale(f"{error} has changed since it was read; no file was written", "run it again") from error
    except OSError as error:
        raise PlanError(f"cannot write {error.filename}: {error.strerror}; no file was changed") from error


def import_all(connection: Connection, folder: Path, options: ImportOptions | None = None) -> Imported:
    """Write a manifest for what lives on the server and nobody owns. Writes nothing on the server.

    `apply` of the manifest adopts the objects, and changes nothing else. PlanError if the folder is not empty.
    """
    from lettaform.session.import_all import import_all as everything

    async def run() -> Imported:
        async with _connected(connection, Server()) as backend:
            return await everything(backend, folder, options or ImportOptions())

    return blocking(run())


def audit(source: Source, connection: Connection) -> Audit:
    """What lives on the server and nobody owns, has equal content, is used by nothing, or is missing. Writes nothing.

    Objects of other stacks than that of the manifest are counted, and are no findings. Without a manifest, no stack is
    left out of what is missing. PlanError if the state of a stack cannot be read.
    """
    from lettaform.session.audit import audit as read

    found = _manifest(source)

    async def run() -> Audit:
        async with _connected(connection, found.server if found else Server()) as backend:
            return await read(backend, found.stack if found else None)

    return blocking(run())


# --- agent files -----------------------------------------------------------------------------------------------------


def from_agent_files(
    paths: Sequence[Path],
    folder: Path,
    options: AgentFileOptions | None = None,
    *,
    stack: str | None = None,
    fold: bool = True,
) -> Imported:
    """Write a manifest for what is in agent files. Reads no server. `apply` of the manifest creates the objects.

    stack  the name of the stack; None: that of the first file
    fold   write rows of similar agents as one declaration with `for_each`

    AgentFileError with every problem of the files; PlanError if the folder is not empty.
    """
    from lettaform.session.from_agent_files import from_agent_files as write
    from lettaform.snapshot.agent_files import Options

    return blocking(write(paths, folder, options or Options(), stack=stack, fold=fold))


def from_lettactl(
    paths: Sequence[Path],
    folder: Path,
    options: LettactlOptions | None = None,
    *,
    stack: str | None = None,
    fold: bool = True,
) -> Imported:
    """Write a manifest for what manifests of lettactl declare. Reads no server. `apply` of the manifest adopts the
    objects that the server has, by their names, and creates the others.

    stack  the name of the stack; None: that of the first file
    fold   write rows of similar agents as one declaration with `for_each`

    ManifestError with every problem of the files; PlanError if the folder is not empty.
    """
    from lettaform.session.from_lettactl import Options
    from lettaform.session.from_lettactl import from_lettactl as write

    return blocking(write(paths, folder, options or Options(), stack=stack, fold=fold))


def import_agent_file(
    source: Source,
    connection: Connection,
    path: Path,
    address: str,
    bind: Sequence[str] = (),
    *,
    consent: bool | Callable[[AgentImport], bool],
) -> AgentImport:
    """Create the agent of an agent file, with its messages, and adopt it under an address of the manifest.

    bind     labels of blocks that are taken from the stack although their texts differ
    consent  whether to create it: True, or a function that is called with what will be created

    An import that was killed is completed by the next one: no second agent is created. AgentFileError with every
    problem of the file; PlanError if the agent exists, or lacks something; Stale if that changes before it is locked.
    """
    from lettaform.session.from_agent_files import read_all
    from lettaform.session.import_agent_file import carry_out, prepare

    (file,) = read_all([path])
    at = _address(address)

    async def first(session: Session) -> AgentImport:
        return await prepare(session, at, file, bind)

    async def create(session: Session) -> AgentImport:
        async def apply(plan: Plan) -> None:
            _raise(await session.apply(plan, parallel=1))

        async with session.locked():
            if await first(session) != found:
                raise Stale("the server has changed since the question was asked", "run it again")
            return await carry_out(session, found, file, apply)

    opened = _Opened(source, connection, needs="plain")
    found = opened.run(first, whole=True)
    return opened.run(create, whole=True) if _agrees(consent, found) else found


def export(source: Source, connection: Connection, what: str) -> Exported:
    """The agent file of an agent or a conversation, by its address in the stack or by its id, and what it lacks.

    PlanError if no agent file holds such objects, or if the stack has none; NotFound if the server has none.
    """
    from lettaform.session.export import export as read

    what = _address_or_id(what)
    if "." in what:

        async def of_address(session: Session) -> Exported:
            observed, address = await session.observe(), _address(what)
            if address not in observed.objects:
                raise unknown(str(address), list(map(str, observed.objects)))
            return await read(session.backend, kind_of(address) or "", observed.objects[address].id)

        return _run(source, connection, of_address)

    async def of_id() -> Exported:
        async with _connected(connection, _server(source)) as backend:
            return await read(backend, _kind_of_id(what) or "", what)

    return blocking(of_id())


def _address_or_id(what: str) -> str:
    """An address or an id as it is; a key alone as the address of the agent that has it."""
    return what if "." in what or _kind_of_id(what) else f"agents.{what}"


def _kind_of_id(id: str) -> str | None:
    """The kind of an object, by the word with which its id begins; None if no kind has such ids."""
    word, dash, _ = id.partition("-")
    prefixes = {"conv": "conversation", "source": "folder"} | {name: name for name in kinds()}
    return prefixes.get(word) if dash else None


def _server(source: Source) -> Server:
    """What the manifest says about its server, if there is a manifest."""
    found = _manifest(source)
    return found.server if found else Server()


def _manifest(source: Source) -> Manifest | None:
    """The manifest, as far as it can be read without values of variables; None if there is none."""
    if source.is_given:
        return begin(source, "nothing", connects=True).finish()
    return None


def show(source: Source, connection: Connection, address: str | None = None) -> Shown:
    """The live objects of the stack and the external objects that it uses, with all their fields, beside what the
    manifest says about them.

    address  a pattern with `*`: show these objects alone. PlanError if it matches none

    A value of the manifest that depends on a variable without a value is left out, and not compared.
    """
    from lettaform.plan import diff
    from lettaform.session.pull import known_secrets

    async def run(session: Session) -> Shown:
        observed = await session.observe(whole=True, matched=True)
        manifest = session.manifest  # with what it declares of agents that the stack does not own
        declared = manifest.objects
        lives = [
            shown_live(
                replace(live, address=a, applied=last_run(observed.state, a)),
                declared[a].values if a in declared else {},
            )
            for a, live in sorted(observed.objects.items(), key=lambda item: item[0])
        ]
        return Shown(
            manifest.stack,
            observed.url,
            observed.version,
            manifest.environment,
            objects=tuple(await read_whole(session.backend, select(lives, address), observed.names)),
            declared=declared,
            changed=classify(manifest, diff(manifest, observed, PlanOptions())),
            hidden=tuple(known_secrets(manifest, observed)),
        )

    return _run(source, connection, run)


def status(source: Source, connection: Connection, options: StatusOptions | None = None) -> StackStatus:
    """How the live objects of the stack differ from the manifest, and how full their memory is.

    Takes no lock, and writes nothing. Secrets need no value; those that have none are not compared. PlanError if a
    pattern matches no object.
    """
    from lettaform.session.status import read_status

    chosen = options or StatusOptions()
    opened = _Opened(source, connection, needs="plain", ahead=True, shard=chosen.shard)
    return opened.run(lambda session: read_status(session, chosen))


def memory(
    source: Source, connection: Connection, patterns: Sequence[str] = (), *, count_tokens: bool = False
) -> MemoryReport:
    """What fills the context windows of the agents of the stack, the fullest first. Writes nothing.

    patterns      addresses with `*`: these agents alone. PlanError for one that matches no agent of the stack
    count_tokens  whether the server counts for each of these agents, one request each; otherwise the numbers are
                  estimates from lists, without files and messages
    """
    from lettaform.session.memory import read_memory

    return _run(source, connection, lambda session: read_memory(session, tuple(patterns), count=count_tokens))


def archive_search(source: Source, connection: Connection, what: str, asked: Search) -> Searched:
    """The passages of an archive that are nearest to a text. `what`: its address in the stack, or its id.

    PlanError if the stack has no such archive, or if it cannot be searched like this; NotFound if the server has none.
    """
    from lettaform.session.search import search, search_in_stack

    if "." in what:
        address = _address(what)
        return _run(source, connection, lambda session: search_in_stack(session, address, asked))

    async def by_id() -> Searched:
        async with _connected(connection, _server(source)) as backend:
            archive, _ = await backend.one("archive", what)
            return await search(backend, archive, asked)

    return blocking(by_id())


def history(source: Source, connection: Connection) -> tuple[Applied, ...]:
    """The last runs that changed the stack, the newest first. The state keeps 50."""

    async def run(session: Session) -> tuple[Applied, ...]:
        return tuple(reversed((await read_state(session.backend, session.stack)).history))

    return _run(source, connection, run)


# --- snapshots -------------------------------------------------------------------------------------------------------


def snapshot_create(
    source: Source,
    connection: Connection,
    directory: Path | None = None,
    *,
    without_messages: tuple[str, ...] = (),
    warn: Callable[[Problem], None] = lambda problem: None,
) -> Path:
    """Write a snapshot of everything that the stack owns, and prove it. Returns its folder. Raises SnapshotError.

    directory         where the folder is created. Default: that of `snapshot_directory`
    without_messages  patterns: agents and conversations whose messages it may lack if the server cannot list them
    warn              called with what it lacks
    """

    async def run(session: Session) -> Path:
        if without_messages:
            check_talkers(without_messages, (*session.manifest.objects, *(await session.observe(whole=True)).objects))
        return (await take_snapshot(session, without=without_messages)).folder

    return _Opened(source, connection, snapshots=Snapshots(directory, warn=warn)).run(run, whole=True)


def restore(
    source: Source,
    connection: Connection,
    path: Path,
    addresses: tuple[str, ...] = (),
    *,
    stack: str | None = None,
    without_messages: tuple[str, ...] = (),
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Bring back the objects of a snapshot as they were: values, attachments, messages and marks.

    path       the folder of the snapshot
    addresses  patterns; empty: everything in the snapshot that has an address
    stack      the stack that owns what is restored. Default: that of the manifest, which must be the snapshot's

    without_messages  patterns: as of `snapshot_create`, about the snapshot of what is overwritten

    What exists and is overwritten is kept in a snapshot of its own first. The other arguments and errors are those of
    `apply`. Raises SnapshotError if the snapshot is not whole.
    """
    if stack is not None and not re.fullmatch("[a-z0-9-]+", stack):
        raise PlanError(f"`{stack}` cannot be the name of a stack", "use letters a-z, digits and `-`")
    run = _Restore(
        PlanOptions(without_messages=without_messages),
        consent,
        notify,
        parallel,
        path=path,
        snapshot=_whole(path),
        addresses=addresses,
        renamed=stack is not None,
    )
    kept = replace(snapshots or Snapshots(), changed=True)
    return _Opened(source, connection, parallel, stack=stack, snapshots=kept).apply(run, interactive, whole=True)


def rollback(
    source: Source,
    connection: Connection,
    *,
    without_messages: tuple[str, ...] = (),
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Restore the snapshot that the last apply from this folder took before it changed anything.

    The arguments and errors are those of `restore`. PlanError if that apply took no snapshot.
    """
    from lettaform.session import last_apply

    kept = replace(snapshots or Snapshots(), changed=True)
    opened = _Opened(source, connection, parallel, snapshots=kept)
    opened.manifest = opened.finished()
    last = last_apply.read(source.home, opened.manifest.stack)
    snapshot = _whole(last.folder)
    options = PlanOptions(without_messages=without_messages)
    run = _Restore(options, consent, notify, parallel, path=last.folder, snapshot=snapshot, kept=last)
    return opened.apply(run, interactive, whole=True)


def migrate(
    source: Source,
    first: Connection,
    second: Connection,
    addresses: tuple[str, ...] = (),
    *,
    without_messages: tuple[str, ...] = (),
    consent: Consent,
    interactive: bool = False,
    notify: Notify = lambda event: None,
    parallel: int = 8,
    snapshots: Snapshots | None = None,
) -> tuple[Plan, Report | None]:
    """Bring the objects of the stack from one server to another, with messages and marks, and compare both afterwards.

    first      the server that has them. Nothing is written there
    second     the server that gets them. Its lock is held
    addresses  patterns; empty: everything that the stack owns and that has an address

    without_messages  patterns: as of `snapshot_create`, about the snapshots of both servers

    `Report.verified` is what the comparison found. The same call completes a migration that was interrupted. PlanError
    if both are one server, or if the second one cannot get something; Stale if the first one changes before anything is
    written. The other arguments and errors are those of `restore`.
    """
    from lettaform.session.migrate import copy, moved, unlike

    if not (first.url and second.url):
        raise PlanError("a migration needs the URLs of two servers")
    if is_same_server(first.url, second.url):
        raise PlanError(f"{first.url} and {second.url} are one server", "name two servers with --from and --to")
    where = snapshots or Snapshots()
    begun = _Opened(source, replace(first, key_option="--from-key-env"), parallel, snapshots=where)
    opened = _Opened(
        source, replace(second, key_option="--to-key-env"), parallel, snapshots=replace(where, changed=True)
    )
    path = begun.run(partial(copy, without=without_messages), whole=True)
    snapshot = _whole(path)
    since = partial(moved, folder=path, snapshot=snapshot, patterns=addresses)
    run = _Migrate(
        PlanOptions(without_messages=without_messages),
        consent,
        notify,
        parallel,
        path=path,
        snapshot=snapshot,
        addresses=addresses,
        moved=lambda: begun.within(since),
    )
    plan, report = opened.apply(run, interactive, whole=True)
    if report is None or report.exit_code:
        return plan, report
    try:
        different = opened.run(partial(unlike, folder=path, snapshot=snapshot, patterns=addresses), whole=True)
        verified = Verified(different, begun.run(since, whole=True), names=snapshot.names)
    except LettaformError as error:  # everything is there, and the report says so
        verified = Verified(error=error.message)
    return plan, replace(report, verified=verified)


def _whole(path: Path) -> Snapshot:
    """A snapshot that lacks nothing. SnapshotError with every fault otherwise."""
    faulty = [each for each in snapshot_verify(path) if each.severity == "error"]
    if faulty:
        raise SnapshotError(f"{path} is not whole, and cannot be restored", problems=faulty)
    return snapshot_read(path)


def snapshot_directory(source: Source) -> Path:
    """The directory of the snapshots of a project: `snapshots.to` of its manifest, or `.lettaform/snapshots`."""
    declared = None
    if source.is_given:
        declared = begin(source, "nothing", connects=False).finish().snapshots
    return source.directory / declared if declared else source.home / SNAPSHOTS


def snapshot_find(text: str, directory: Path) -> Path:
    """The folder of a snapshot, by its path, by its name in a directory, or `latest`. Raises SnapshotError."""
    from lettaform.snapshot import folder

    return folder.find(text, directory)


def snapshot_list(directory: Path) -> list[tuple[Path, Snapshot | SnapshotError]]:
    """The folders of a directory, oldest first, each with its snapshot, or with the reason why it is none."""
    from lettaform.snapshot import folder

    def created(item: tuple[Path, Snapshot | SnapshotError]) -> str:
        return "" if isinstance(item[1], SnapshotError) else item[1].header.created_at

    return sorted(folder.listed(directory), key=created)


def snapshot_read(path: Path) -> Snapshot:
    """The snapshot in a folder. Reads its index alone. Raises SnapshotError with every fault of it."""
    from lettaform.snapshot import folder

    return folder.read(path)


def snapshot_objects(snapshot: Snapshot, address: str | None = None) -> list[Live]:
    """The objects of a snapshot with the names of what they refer to. `address`: a pattern; None: all of them."""
    lives = [replace(entry.live, names=snapshot.names) for entry in snapshot.entries if address or not entry.used]
    return select(lives, address)


def snapshot_verify(path: Path) -> list[Problem]:
    """Everything that a snapshot lacks, from its files alone. Warnings are about what the server did not give."""
    from lettaform.snapshot import folder
    from lettaform.snapshot.verify import faults

    try:
        snapshot = folder.read(path)
    except SnapshotError as error:
        return list(error.problems) or [Problem(error.message, hint=error.hint)]
    return [*folder.file_faults(path, snapshot), *faults(snapshot, partial(folder.content, path))]


def snapshot_diff(source: Source, connection: Connection, old: Path, new: Path | None = None) -> SnapshotDiff:
    """What changed from a snapshot to another one, or to the server if `new` is None. Raises SnapshotError."""
    from lettaform.session.snapshots import live_snapshot
    from lettaform.snapshot import folder
    from lettaform.snapshot.compare import compare

    before = folder.read(old)
    if new is not None:
        after = folder.read(new)
        now = folder.held(new, after)
    else:

        async def live(session: Session) -> tuple[Snapshot, Counted]:
            observed = await session.observe(whole=True)
            server = (session.backend, session.manifest, observed, source.directory)
            return await live_snapshot(*server, before, lenient=True)

        after, now = _run(source, connection, live)
    changes = compare(before, after, folder.held(old, before), now)
    lacking = dict.fromkeys(entry.shown for each in (before, after) for entry in each.without_messages)
    return SnapshotDiff(changes, {**before.names, **after.names}, tuple(lacking))


@dataclass(frozen=True)
class SnapshotDiff:
    """What changed between two snapshots.

    names             id to what people call the object
    without_messages  the agents and conversations whose messages a snapshot lacks: they are not compared
    """

    changes: tuple[Change, ...]
    names: Mapping[str, str]
    without_messages: tuple[str, ...] = ()


# --- state and lock --------------------------------------------------------------------------------------------------


def state_list(source: Source, connection: Connection) -> list[Live]:
    """All objects with the mark of the stack: its objects, duplicates and orphaned blocks, sorted by address.

    Also the agents of others to which entries of `matches` have applied something.
    """

    async def run(session: Session) -> list[Live]:
        observed = await session.observe(matched=True)
        ours = [
            replace(live, address=a)
            for a, live in observed.objects.items()
            if live.stack == session.manifest.stack or a in observed.state.matched_agents
        ]
        left = [replace(live, address=a) for a, live in observed.orphaned_blocks]
        return sorted([*ours, *observed.duplicates, *left], key=lambda live: (str(live.address), live.id))

    return _run(source, connection, run)


def state_move(source: Source, connection: Connection, old: str, new: str) -> None:
    """Change the address of an existing object and its parts. PlanError if another object has the new address.

    The next apply attaches and detaches a block that moves into an agent, or out of one.
    """

    async def run(session: Session) -> None:
        observed, before, after = await session.observe(), _address(old), _address(new)
        if not _is_unfinished(observed, after):
            _check_owned(observed, before, session.manifest)
        if kind_of(before) != kind_of(after):
            raise PlanError(f"{before} cannot become {after}", f"an object keeps its kind, {kind_of(before)}")
        _raise(await session.apply(await session.move(observed, before, after), parallel=4, verb="state mv"))

    _run(source, connection, run, lock=True)


def state_remove(source: Source, connection: Connection, address: str) -> None:
    """Forget an object and its parts: remove their marks. The objects are not changed otherwise.

    `matches.KEY[ID]`, or `matches.KEY`: forget what was applied to an agent, or to all of them. It stays there.
    """

    async def run(session: Session) -> None:
        observed, forgotten = await session.observe(), _address(address)
        if not any(forgotten in (each, each.declaration) for each in observed.state.matched_agents):
            _check_owned(observed, forgotten, session.manifest)
        _raise(await session.apply(session.remark(observed, frozenset({forgotten})), parallel=4, verb="state rm"))

    _run(source, connection, run, lock=True)


MATCHES_LOST = "the state alone knew what it added to agents; what it has added before stays there once it is removed"


def state_rebuild(source: Source, connection: Connection) -> tuple[int, list[str]]:
    """Write the state again from the marks, and from what can be read of the old state.

    Returns the number of objects in it, and a line for each object that is missing or not certain.
    """

    async def run(session: Session) -> tuple[int, list[str]]:
        observed = await observe(session.backend, session.manifest, every_kind=True, lenient=True)
        lost = [problem.message for problem in observed.problems if problem.address]
        marked = {a: live for a, live in observed.objects.items() if live.stack == session.manifest.stack}
        lost += [
            f"{a} ({live.id}) has no mark: kept because the state names it"
            for a, live in marked.items()
            if not live.marked
        ]
        lost += [f"{a} ({id}) no longer exists" for a, id in observed.state.ids.items() if a not in observed.objects]
        lost += [f"{each.address} is also claimed by {each.id}, a duplicate" for each in observed.duplicates]
        if not observed.state.exists or any(each.address == str(state.ADDRESS) for each in observed.problems):
            lost += [f"{each.address}: {MATCHES_LOST}" for each in session.manifest.matches]
        report = await session.apply(session.remark(replace(observed, problems=())), parallel=1, verb="state rebuild")
        _raise(report)
        return sum(a.parent is None for a in marked), lost

    return _run(source, connection, run, lock=True)


def lock_show(source: Source, connection: Connection) -> list[Lock]:
    """The lock of the stack, and those of its shards: of each, if a run holds it."""

    async def run(session: Session) -> list[Lock]:
        return list(await session.backend.holders(session.manifest.stack))

    return _run(source, connection, run)


def lock_release(source: Source, connection: Connection, lock: Lock) -> None:
    """Release a lock that `lock_show` returned. Raises Locked if another run holds the lock by now."""
    _run(source, connection, lambda session: session.backend.release(session.manifest.stack, lock))


# --- messages and runs -----------------------------------------------------------------------------------------------


def send(
    source: Source,
    connection: Connection,
    to: str | Recipient,
    said: Outgoing | None,
    *,
    conversation: str | None = None,
    tokens: bool = True,
    background: bool = False,
    within: float | None = None,
    decide: Decide = lambda calls: None,
) -> Iterator[Message]:
    """Send to an agent or a conversation, and yield the answer as it comes; also where an event loop runs.

    to            an address of the stack, or an id, with which no manifest is needed; or what `recipients` returned
    said          None: only decide about the calls of tools that wait for approval
    conversation  key or id of a conversation with the agent `to`
    tokens        yield messages in pieces, as the model writes them; `client.messages.joined` joins them
    background    the run goes on if the caller ends
    within        seconds, after which TimeoutError is raised; the run goes on
    decide        called with the calls of tools that wait for approval. None: they go on waiting

    The first item is a Ping with the id of the run. A run that fails ends with a StopReason that is not in GOOD, and an
    ErrorMessage; that is no exception. Close the iterator to leave early: the run goes on until `run_cancel` ends it.
    """
    from lettaform.session.talk import answered, exchange

    whom = to if isinstance(to, Recipient) else _recipient(source, connection, to, conversation)

    async def run() -> AsyncGenerator[Message, None]:
        async with _connected(connection, _server(source)) as backend:
            if said is None:
                answer = answered(backend, whom, decide, tokens=tokens, background=background)
            else:
                answer = exchange(backend, whom, said, tokens=tokens, background=background, decide=decide)
            async with aclosing(answer) as messages:
                async for message in messages:
                    yield message

    return iterated(run, within)


def recipients(
    source: Source, connection: Connection, pattern: str, conversation: str | None = None
) -> list[Recipient]:
    """The agents and conversations of a pattern of addresses, sorted; or the one with an id, which needs no manifest.

    A key alone is that of an agent.

    conversation  key or id of a conversation with the only agent that is named

    PlanError if there is none; NotFound if the server has none.
    """
    from lettaform.session.talk import of_id
    from lettaform.session.talk import recipients as find

    kind, pattern = _kind_of_id(pattern), _address_or_id(pattern)
    if "." in pattern or kind is None:
        return _run(source, connection, lambda session: find(session, [pattern], conversation))
    return [_with_backend(source, connection, lambda backend: of_id(backend, kind, pattern, conversation))]


def send_to_many(
    source: Source,
    connection: Connection,
    every: Sequence[Recipient],
    said: Outgoing,
    *,
    parallel: int = 8,
    within: float | None = None,
    decide: Decide = lambda calls: None,
    notify: Callable[[Sent], None] = lambda sent: None,
) -> list[Sent]:
    """Send the same to each, and return what came of it, in their order. Errors of one are in its result.

    parallel  how many are talked to at the same time
    within    seconds for each, after which its run is cancelled; None: as long as it takes
    notify    called with each result once it is there
    """
    from lettaform.session.talk import to_many

    async def run(backend: Backend) -> list[Sent]:
        return await to_many(backend, every, said, parallel=parallel, within=within, decide=decide, notify=notify)

    return _with_backend(source, connection, run)


def messages(
    source: Source,
    connection: Connection,
    of: str,
    *,
    conversation: str | None = None,
    limit: int | None = 20,
    types: Collection[str] = (),
    search: str | None = None,
    before: str | None = None,
    after: str | None = None,
) -> list[Message]:
    """The last messages of an agent or a conversation, oldest first, also those that left the context.

    limit          how many at most; None: all of them
    types          types of messages, such as `user_message`; empty: all
    search         text that they contain, whatever its case
    before, after  id of a message, or a time as ISO 8601
    """
    from lettaform.session.context import Filter, read_messages

    wanted = Filter(limit, frozenset(types), search, before, after)
    whom = _recipient(source, connection, of, conversation)
    return _with_backend(source, connection, lambda backend: read_messages(backend, whom, wanted))


def runs(
    source: Source, connection: Connection, of: str | None = None, *, limit: int = 20, active: bool = False
) -> list[tuple[Run, str]]:
    """The last runs, newest first, each with the address of its agent or conversation, or the id if it has none.

    of      an address or an id; None: all agents of the stack, or of the server where there is no manifest
    active  only those that have not ended
    """
    from lettaform.session.context import read_runs, talkers

    if of is not None:
        every = {(whom := _recipient(source, connection, of)).id: whom}
    elif _manifest(source) is None:
        every = None
    else:
        every = _run(source, connection, talkers)
    return _with_backend(source, connection, lambda backend: read_runs(backend, every, of is not None, limit, active))


def run_show(source: Source, connection: Connection, id: str) -> Run:
    """One run. NotFound if the server has none with this id."""
    return _with_backend(source, connection, lambda backend: backend.run(_run_id(id)))


def run_follow(source: Source, connection: Connection, id: str) -> Iterator[Message]:
    """The answer of a run from its beginning, and then as it comes, until the run ends."""

    async def run() -> AsyncGenerator[Message, None]:
        async with _connected(connection, _server(source)) as backend:
            found = await backend.run(_run_id(id))
            async with aclosing(backend.follow(found)) as messages:
                async for message in messages:
                    yield message

    return iterated(run)


def run_cancel(source: Source, connection: Connection, id: str) -> Run:
    """Ask the server to end a run; the run as it is then. A run that has ended stays as it is."""

    async def cancel(backend: Backend) -> Run:
        found = await backend.run(_run_id(id))
        if found.ended:
            return found
        await backend.cancel(found)
        return await backend.run(found.id)

    return _with_backend(source, connection, cancel)


def compact(source: Source, connection: Connection, of: str, *, conversation: str | None = None) -> Compacted:
    """Replace the older messages in the context of an agent or a conversation by a summary of the model."""
    whom = _recipient(source, connection, of, conversation)
    return _with_backend(source, connection, lambda backend: backend.compact(whom))


def reset(
    source: Source,
    connection: Connection,
    of: str,
    *,
    path: Path | None = None,
    consent: Callable[[Recipient, int], bool],
) -> tuple[Path | None, int]:
    """Remove all messages from the context of an agent, after its agent file was written.

    path     the file. Default: one in `.lettaform/agent-files`
    consent  called with the agent and the number of its messages; returns whether to remove them

    Returns the file, None if there was no consent or nothing to remove, and the number of messages.
    """
    from lettaform.session.context import reset as carry_out

    whom = _recipient(source, connection, of)
    return _with_backend(source, connection, lambda backend: carry_out(backend, whom, source.home, path, consent))


def recompile(
    source: Source, connection: Connection, of: str, *, parallel: int = 8
) -> list[tuple[Recipient, LettaformError | None]]:
    """Compile prompts again from the memory as it is: of the agents and conversations of a pattern, or of an id.

    With an agent, its conversations are compiled, too. Returns each, with what went wrong.
    """
    from lettaform.session.context import recompile as carry_out

    every = recipients(source, connection, of)
    return _with_backend(source, connection, lambda backend: carry_out(backend, every, parallel))


def _recipient(source: Source, connection: Connection, of: str, conversation: str | None = None) -> Recipient:
    """The only agent or conversation with an address or an id. PlanError if there are several, or none."""
    found = recipients(source, connection, of, conversation)
    if len(found) > 1:
        names = [each.name for each in found]
        raise PlanError(f"`{of}` names {len(found)} agents and conversations", f"name one: {', '.join(names[:8])}")
    return found[0]


def _run_id(text: str) -> str:
    if not text.startswith("run-"):
        raise PlanError(f"`{text}` is not the id of a run", "`lettaform runs` lists them")
    return text


def _with_backend(source: Source, connection: Connection, run: Callable[[Backend], Coroutine[Any, Any, _T]]) -> _T:
    async def connected() -> _T:
        async with _connected(connection, _server(source)) as backend:
            return await run(backend)

    return blocking(connected())


# --- opening a session -----------------------------------------------------------------------------------------------


class _Opened:
    """A manifest and its server. Runs coroutines, each in a Session of its own.

    pinned  the URL of a saved plan
    stack   the stack, if it is not that of the manifest
    draft   the manifest, if it is not read from the files of the project
    ahead   whether the first run may begin to read the server before it reads the manifest: it takes no lock, and
            reads what a plan reads
    shard   the shard that it is about
    """

    def __init__(
        self,
        source: Source,
        connection: Connection,
        parallel: int = 8,
        *,
        needs: Needs = "nothing",
        pinned: str | None = None,
        stack: str | None = None,
        snapshots: Snapshots | None = None,
        draft: Draft | None = None,
        ahead: bool = False,
        shard: Shard = WHOLE,
    ) -> None:
        self.source, self.connection, self.parallel, self.pinned = source, connection, parallel, pinned
        self.stack, self.snapshots, self.shard = stack, snapshots or Snapshots(), shard
        self.begin = partial(begin, source, needs, connects=not connection.chosen(os.environ))
        self.glance = _glance(source, connection) if ahead else None
        self.draft = draft or (self.begin() if self.glance is None else None)
        # without the project, a repository in the folder is another one
        self.commit = cache(partial(commit_of, source.directory)) if draft is None or draft.from_files else lambda: None
        self.manifest: Manifest | None = None

    def run(self, run: Callable[[Session], Coroutine[Any, Any, _T]], *, whole: bool = False) -> _T:
        """Run with a session. `whole`: not before the manifest is resolved; otherwise a plan waits for it."""
        return blocking(self._loaded(run, whole))

    async def within(self, run: Callable[[Session], Coroutine[Any, Any, _T]]) -> _T:
        """As `run`, inside of a run that is under way."""
        return await self._loaded(run, whole=True)

    async def _loaded(self, run: Callable[[Session], Coroutine[Any, Any, _T]], whole: bool) -> _T:
        if self.draft is None:
            return await self._read_ahead(run)
        outline = self.draft.outline
        if self.manifest is None and (whole or outline is None):
            manifest = self.finished()
            self.manifest = replace(manifest, stack=self.stack) if self.stack else manifest
        if self.manifest is not None:
            return await self._run(self.manifest, run, self.manifest.server)
        assert outline is not None
        return await self._load(self.draft, outline, partial(self._run, run=run, server=outline.server))

    def finished(self) -> Manifest:
        """The manifest of the draft. Raises ManifestError with all problems."""
        assert self.draft is not None
        return self.draft.finish()

    async def _read_ahead(self, run: Callable[[Session], Coroutine[Any, Any, _T]]) -> _T:
        """Run with the first reads under way before the manifest is read; without them if it says something else."""
        seen, server = self.glance, Server()
        assert seen is not None
        async with _connected(self.connection, server, self.parallel) as backend:
            first = FirstReads(backend, seen.stack, seen.fields)
            try:
                self.draft = await beside(self.begin)
                outline = self.draft.outline
                if outline is not None and self._is_target(server, outline.server):
                    return await self._load(
                        self.draft, outline, lambda loading: run(self._session(loading, backend, first))
                    )
            finally:
                await first.cancel()
        return await self._loaded(run, whole=False)

    def _is_target(self, one: Server, other: Server) -> bool:
        """Whether a run with either of them sends the same key to the same URL."""
        return target(self.connection, one, os.environ) == target(self.connection, other, os.environ)

    async def _load(self, draft: Draft, outline: Outline, run: Callable[[Loading], Coroutine[Any, Any, _T]]) -> _T:
        """Run while the manifest is resolved."""
        loading = Loading(draft, outline)
        result = await loading.run(run(loading))
        self.manifest = await loading.manifest
        return result

    async def _run(
        self, manifest: Manifest | Loading, run: Callable[[Session], Coroutine[Any, Any, _T]], server: Server
    ) -> _T:
        async with _connected(self.connection, server, self.parallel, self.pinned) as backend:
            return await run(self._session(manifest, backend))

    def _session(self, manifest: Manifest | Loading, backend: Backend, first: FirstReads | None = None) -> Session:
        session = Session(manifest, backend, self.source.directory, self.connection.patience)
        session.snapshots, session.commit, session.working = self.snapshots, self.commit, self.source.home
        session.first, session.shard = first, self.shard
        return session

    def apply(self, run: _Apply, interactive: bool, *, whole: bool = False) -> tuple[Plan, Report | None]:
        """Carry out an apply. If `interactive`, ask for consent before the lock is taken, outside the event loop.

        `whole`: as of `run`.
        """
        if interactive:  # another commit may be checked out while a person thinks about a plan
            self.commit()
        while interactive:
            agreed, locked = self.run(run.unlocked, whole=whole)
            if not (agreed or locked) or (agreed and not _agrees(run.consent, agreed)):
                return agreed, None
            plan, report = self.run(partial(run.locked, agreed), whole=whole)
            if report is not None or not plan:
                return plan, report
        return self.run(partial(run.locked, None), whole=whole)

    def apply_all(self, run: _Apply, interactive: bool, wait: float = 0.0) -> tuple[Plan, Report | None]:
        """As `apply`, again and again until nothing waits for other shards any more, or the time is over."""
        from lettaform.session.waiting import joined, until_there

        until = time.monotonic() + wait
        plan, report = self.apply(run, interactive)
        while plan.waiting and (report is None or report.exit_code == 0) and not (plan and report is None):
            if not self.run(partial(until_there, plan=plan, until=until), whole=True):
                return plan, replace(report or Report(), waiting=plan.waiting)
            plan, report = joined((plan, report), self.apply(run, interactive))
        return plan, report


def _glance(source: Source, connection: Connection) -> Glance | None:
    """What a manifest in files probably says, if nothing in it can name the server."""
    if source.document is not None or connection.chosen(os.environ) is None:
        return None
    return glance(source.directory, source.files, environment=source.environment, stack=source.stack)


@asynccontextmanager
async def _connected(
    connection: Connection, server: Server, parallel: int = 8, pinned: str | None = None
) -> AsyncIterator[Backend]:
    """The backend of a run. `server`: what the manifest says. `pinned`: the URL of a saved plan."""
    found = target(connection, server, os.environ, pinned)
    backend = connect(
        found.url,
        token=found.token,
        project=found.project,
        advice=found.advice,
        timeout=connection.timeout,
        parallel=parallel,
        trace=connection.trace,
    )
    try:
        yield backend
    finally:
        await backend.close()


def _run(
    source: Source,
    connection: Connection,
    run: Callable[[Session], Coroutine[Any, Any, _T]],
    parallel: int = 8,
    *,
    lock: bool = False,
    needs: Needs = "nothing",
) -> _T:
    """Read the manifest, connect, and run.

    lock   hold the lock of the stack during the run
    needs  which variables must have a value: by default none, because the run writes no declared value
    """

    async def locked(session: Session) -> _T:
        async with session.locked():
            return await run(session)

    return _Opened(source, connection, parallel, needs=needs).run(locked if lock else run, whole=True)


def _address(text: str) -> Address:
    try:
        address = Address.read(text)
    except ValueError:
        hint = """write it as agents.supervisor, 'agents.worker[emea]' or 'agents["v1.2"]'"""
        raise PlanError(f"`{text}` is not an address", hint) from None
    if kind_of(address.top) is None:
        near = nearest(address.section, [*sections(), MATCHES])
        raise PlanError(f"`{address.section}` is not a section", f"did you mean `{near}`?" if near else None)
    if kind_of(address) is None:
        raise PlanError(f"`{text}` is not an address", f"`{address.field}` of {address.parent} holds no objects")
    return address


def _check_owned(observed: Observed, address: Address, manifest: Manifest) -> None:
    lives = (*observed.objects.items(), *observed.orphaned_blocks)
    owned = [each for each, live in lives if live.stack == manifest.stack]
    if address not in owned:
        raise unknown(str(address), list(map(str, owned)), guess=False)


def _is_unfinished(observed: Observed, address: Address) -> bool:
    """Whether a move to an address was interrupted: the mark of the object, or of a part, has another one."""
    lives = (*observed.objects.items(), *observed.orphaned_blocks)
    return any(address in (each, each.parent) and not live.marked for each, live in lives)


def _raise(report: Report) -> None:
    """Raise the first error of a report. Skipped steps are an error, too."""
    for outcome in report.outcomes:
        if outcome.error is not None:
            raise outcome.error
    skipped = list(report.of("skipped"))
    if not skipped:
        return
    message = f"{skipped[0].because}: {len(skipped)} of {len(report.outcomes)} steps were not carried out"
    if skipped[0].because == LOCK_LOST:
        raise Locked(message, "run it again when no other apply holds the lock")
    raise Interrupted(message, "run it again")
