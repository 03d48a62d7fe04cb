"""The machine: what may happen to two stacks on one server, and what must hold after each step.

Its own bookkeeping is deliberately simpler than lettaform's: the owner of each id, the value of each block at the
last apply, and all objects before and after. It shares no code with `lettaform.plan`.
"""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from lettaform import flow
from lettaform.errors import LettaformError, PlanError, Stale
from lettaform.model import Plan, PlanOptions, Report
from lettaform.render import data
from tests.faults.fleet import unordered
from tests.machine import fleet
from tests.machine.environment import (
    EXTERNAL_TOOL,
    KINDS,
    MARK_IN_TEXT,
    PATHS,
    RELATIONS,
    SECTIONS,
    Environment,
    Fault,
    InMemory,
    Killed,
    Objects,
    targets,
)
from tests.machine.fleet import SECRETS, Spec, build, change, initial

Call = tuple[str, Sequence[int]]
MODEL = frozenset({"model", "context_window", "max_tokens", "model_settings", "parallel_tool_calls", "reasoning"})
# which fields of the server may change together with which fields of the manifest, where the names differ
CAUSES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "agent": {
        **dict.fromkeys(("llm_config", "model", "model_settings"), MODEL),
        **{name: MODEL | {name} for name in ("response_format", "max_files_open", "per_file_view_window_char_limit")},
        "compaction_settings": MODEL | {"compaction_settings"},
        "embedding_config": frozenset({"embedding"}),
        "tool_rules": frozenset({"tool_rules", "tools"}),
        "blocks": frozenset({"blocks", "memory"}),
        "tools": frozenset({"tools", "folders", "sleeptime"}),
        "archives": frozenset({"archive"}),
        **dict.fromkeys(("managed_group", "enable_sleeptime"), frozenset({"sleeptime"})),
    },
    "tool": {
        "source_code": frozenset({"source"}),
        "name": frozenset({"name"}),
        "json_schema": frozenset({"source", "name", "description"}),
        "description": frozenset({"description", "source", "name"}),
    },
    "folder": {"embedding_config": frozenset({"embedding"})},
    "identity": {"identifier_key": frozenset({"identifier_key", "key"})},
    "provider": {"api_key_enc": frozenset({"api_key"})},
    "group": {
        "agent_ids": frozenset({"agents"}),
        "manager_agent_id": frozenset({"manager"}),
        "sleeptime_agent_frequency": frozenset({"frequency"}),
    },
}
UNIQUE = dict.fromkeys(("tool", "folder", "provider"), "name")
UNIQUE |= {"identity": "identifier_key", "mcp_server": "server_name"}
SLEEPTIME_SUFFIX = "-sleeptime"
"""The end of the keys of what the server creates along with an agent that has `sleeptime`."""


@dataclass
class RunResult:
    """One run of lettaform: its result, and its writes.

    value  what the function of `flow` returned
    """

    plan: Plan | None
    report: Report | None
    error: LettaformError | None
    writes: list[tuple[str, str, Any]]
    killed: bool = False
    value: Any = None

    @property
    def done(self) -> bool:
        """Whether it succeeded, or had nothing to do."""
        return self.plan is not None and self.returned

    @property
    def returned(self) -> bool:
        """Whether it came to its end, and no step failed. Not every verb has a plan."""
        return not (self.killed or self.error or (self.report is not None and self.report.exit_code))


class BrokenPromise(AssertionError):
    """A promise is broken."""


class Picks:
    """Random numbers as choices; when they are used up, always the first choice."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers, self.at = numbers, 0

    def __call__(self, options: Sequence[Any]) -> Any:
        number = self.numbers[self.at] if self.at < len(self.numbers) else 0
        self.at += 1
        return options[number % len(options)]


class Machine:
    """Two stacks on one server, their manifests, and the bookkeeping of owners."""

    def __init__(
        self,
        environment: Environment,
        log: Callable[[str], None] = lambda line: None,
        start: Callable[[], Spec] = initial,
    ) -> None:
        self.environment, self.log, self.start = environment, log, start
        self.stacks = environment.stacks
        self.specs: dict[str, Spec] = {stack: start() for stack in self.stacks}
        self.ours: dict[str, dict[str, str]] = {stack: {} for stack in self.stacks}
        self.bases: dict[tuple[str, str], Any] = {}
        self.ever_ours: set[str] = set()
        self.given: set[tuple[str, str]] = set()
        self.lines: dict[str, set[str]] = defaultdict(set)
        """By id: the fields that were declared in any run."""
        self.relocating = False
        """Whether the manifest's `moved` are about the addresses before this run, one step each."""
        self.undeclared_sleeptime_blocks: set[str] = set()
        """Blocks created along with a sleeptime agent that no manifest declares."""
        self.refused: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        """How often the steps with conditions were carried out."""
        self.number = self.faults = 0
        self.quick = False

    # --- a run of lettaform

    def run(
        self, stack: str, call: Callable[[], Any], fault: Fault | None = None, environment: Environment | None = None
    ) -> RunResult:
        """Call lettaform; any exception but a LettaformError is a bug."""
        environment = environment or self.environment
        environment.manifest = build(stack, self.specs[stack], environment.model, environment.embedding)
        environment.recorder.reset(fault)
        plan: Plan | None = None
        report: Report | None = None
        error: LettaformError | None = None
        value: Any = None
        killed = False
        with environment.redirected():
            try:
                value = call()
                parts = value if isinstance(value, tuple) else (value,)
                plan = next((part for part in parts if isinstance(part, Plan)), None)
                report = next((part for part in parts if isinstance(part, Report)), None)
            except LettaformError as caught:
                error = caught
            except BaseException as caught:
                recorder = environment.recorder
                stopped = recorder.is_stopped and _only(caught, (KeyboardInterrupt, CancelledError))
                if not (stopped or (recorder.killed and _only(caught, Killed))):
                    raise
                killed = True
        result = RunResult(plan, report, error, list(environment.recorder.writes), killed, value)
        self.check_no_secrets(result)
        if killed or (fault and fault.happened):  # the lock of a killed holder; here its process is still alive
            self.release(stack, environment)
        return result

    def release(self, stack: str, environment: Environment) -> None:
        """Remove the lock, as a person does after a kill and an expired lease does by itself."""
        environment.settle()
        for identity in environment.ask("GET", "/v1/identities/", params={"identifier_key": f"lettaform:lock:{stack}"}):
            environment.ask("DELETE", f"/v1/identities/{identity['id']}")

    def run_despite(self, stack: str, call: Callable[[], Any], fault: Fault | None) -> list[RunResult]:
        """Call lettaform, and once more if a fault keeps it from its end."""
        runs = [self.run(stack, call, fault)]
        self.faults += bool(fault and fault.happened)
        if fault and fault.happened and not runs[0].returned:
            self.log(f"broken: {runs[0].error} {failures(runs[0])} killed={runs[0].killed}; again")
            runs.append(self.run(stack, call))
        return runs

    def drawn_fault(self, pick: Picks) -> Fault | None:
        """A fault at one of the first requests; None as often as not."""
        kind, at = pick((*[None] * len(KINDS), *KINDS)), pick(range(1, 50))
        return Fault(kind, at) if kind else None

    def plan(self, stack: str, options: PlanOptions, environment: Environment | None = None) -> RunResult:
        """A plan; it never writes."""
        at = environment or self.environment
        options = replace(options, ignore_limits=True)  # a random edit may delete most of a stack
        result = self.run(stack, lambda: flow.plan(flow.Source(at.folder), at.connection(), options), environment=at)
        check(not result.writes, "a plan wrote", result.writes)
        return result

    def apply(
        self, stack: str, options: PlanOptions, fault: Fault | None = None, environment: Environment | None = None
    ) -> RunResult:
        at = environment or self.environment
        options = replace(options, ignore_limits=True)
        return self.run(
            stack, lambda: flow.apply(flow.Source(at.folder), at.connection(), options, consent=True), fault, at
        )

    def check_no_secrets(self, result: RunResult) -> None:
        """Assert that no secret appears where it does not belong."""
        texts = [str(result.error), repr(result.plan), str(getattr(result.error, "problems", ""))]
        if result.plan:
            texts.append(json.dumps(data.plan(result.plan), default=str))
        if result.report:
            texts += [str(outcome.error) for outcome in result.report.outcomes]
        for method, path, body in result.writes:
            rest = {key: value for key, value in (body or {}).items() if key not in ("secrets", "config", "api_key")}
            texts.append(f"{method} {path} {json.dumps(rest)}")
        check(not any(secret in text for secret in SECRETS for text in texts), "a secret is shown")

    # --- one step

    def play(self, calls: Sequence[Call]) -> None:
        """Apply the first stack, then run the steps. Raises whatever is broken."""
        self.apply_and_check(self.stacks[0], PlanOptions())
        for name, numbers in calls:
            self.step(name, numbers)

    def step(self, name: str, numbers: Sequence[int]) -> None:
        self.number += 1
        getattr(self, f"do_{name}")(Picks(numbers))

    @contextmanager
    def checked(self, stack: str, result: list[RunResult], options: PlanOptions | None = None) -> Iterator[None]:
        """Compare all objects before and after the runs of lettaform on `stack`."""
        before, prompts = self.environment.all_objects(), self.environment.prompts()
        yield
        after = self.environment.all_objects()
        checker = RunChecker(self, stack, before, after, result, options or PlanOptions())
        checker.check()
        if result[-1].done:
            checker.check_prompts(prompts, self.environment.prompts())

    def options(self, stack: str, pick: Picks) -> PlanOptions:
        addresses = [str(a) for a in build(stack, self.specs[stack], "m/m", "e/e").objects]
        some = pick(addresses) if addresses else "agents.*"
        options = (
            *(PlanOptions(),) * 4,
            *(PlanOptions(prune=True),) * 2,
            PlanOptions(prune=True, allow_destroy=("*",)),
            PlanOptions(allow_destroy=("*",)),
            PlanOptions(reseed=(some,)) if addresses else PlanOptions(),
            PlanOptions(ours=("*",)) if addresses else PlanOptions(),
            PlanOptions(theirs=("*",)) if addresses else PlanOptions(),
            PlanOptions(target=(some.split(".memory")[0],)) if addresses else PlanOptions(),
            PlanOptions(exclude=(some,)) if addresses else PlanOptions(),
        )
        chosen: PlanOptions = pick(options)
        return chosen

    def apply_until_done(self, stack: str, options: PlanOptions, tries: int) -> int:
        """Apply under faults until it is done, at most `tries` times. Returns the number of applies."""
        self.log(f"endure {stack} {options}")
        runs: list[RunResult] = []
        with self.checked(stack, runs, options):
            while not runs or (len(runs) < tries and not self.is_over(runs[-1])):
                runs.append(self.apply(stack, options))
                self.release(stack, self.environment)
        if not runs[-1].error:
            check(runs[-1].done, f"not done after {tries} tries", runs[-1].error, failures(runs[-1]))
        return len(runs)

    def is_over(self, result: RunResult) -> bool:
        return result.done or isinstance(result.error, PlanError)

    # --- what people do

    def do_change(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        self.specs[stack] = change(self.specs[stack], pick)
        self.log(f"change {stack}: {json.dumps(self.specs[stack])}")

    def do_apply(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        self.apply_and_check(stack, self.options(stack, pick))

    def apply_and_check(self, stack: str, options: PlanOptions) -> RunResult:
        """An apply without faults: refused with nothing written, or done and followed by empty plans."""
        self.log(f"apply {stack} {options}")
        runs: list[RunResult] = []
        with self.checked(stack, runs, options):
            runs.append(self.apply(stack, options))
        self.check_result(stack, runs[0], options)
        return runs[0]

    def check_result(self, stack: str, result: RunResult, options: PlanOptions) -> None:
        if result.error:
            self.check_refusal(stack, result)
            return
        self.refused[stack] = 0
        check(result.done, "an apply failed", failures(result))
        self.assert_no_changes(stack, options)

    def check_refusal(self, stack: str, result: RunResult) -> None:
        """Only a plan may refuse, and then nothing was written."""
        error = result.error
        problems = getattr(error, "problems", ()) or (error,)
        self.log(f"refused: {[str(each) for each in problems]}")
        check(isinstance(error, PlanError), "refused with another error than PlanError", error)
        check(not result.writes, "refused after writing", result.writes)
        self.messages.update(_without_specifics(str(each)) for each in problems)
        self.refused[stack] += 1
        if self.refused[stack] > 2:
            self.reset(stack)

    def assert_no_changes(self, stack: str, options: PlanOptions) -> None:
        """Two plans after an apply are empty."""
        for asked in (replace(options, reseed=(), ours=(), theirs=()),) * (1 if self.quick else 2):
            result = self.plan(stack, asked)
            check(result.plan is not None, "no plan after an apply", result.error)
            check(not result.plan, "the plan after an apply is not empty", _describe(result.plan))

    def do_fault(self, pick: Picks) -> None:
        """A run under a fault, and the same again: the same end as without the fault, except for ids."""
        stack, kind = pick(self.stacks), pick(KINDS)
        options, at = self.options(stack, pick), pick(range(1, 40))
        self.log(f"fault {stack} {kind} at {at} {options}")
        undisturbed = None
        if isinstance(self.environment, InMemory):
            duplicate = self.environment.duplicate()
            result = self.apply(stack, options, environment=duplicate)
            undisturbed = duplicate.all_objects() if result.done else None
        before = self.environment.all_objects()
        result = self.apply_despite(stack, options, Fault(kind, at))
        self.check_result(stack, result, options)
        if undisturbed is not None and result.done:
            _check_same_end(before, undisturbed, self.environment.all_objects())

    def apply_despite(self, stack: str, options: PlanOptions, fault: Fault | None) -> RunResult:
        """An apply, and another one if the fault interrupts it: the result of the last one."""
        runs: list[RunResult] = []
        with self.checked(stack, runs, options):
            runs.append(self.apply(stack, options, fault))
            self.faults += bool(fault and fault.happened)
            refused = isinstance(runs[0].error, PlanError) and not runs[0].writes
            if fault and fault.happened and not (runs[0].done or refused):
                self.log(f"broken: {runs[0].error} {failures(runs[0])} killed={runs[0].killed}; again")
                runs.append(self.apply(stack, options))
        return runs[-1]

    def do_saved(self, pick: Picks) -> None:
        """A saved plan applies to an unchanged server; to a changed one it is stale, or does what it showed."""
        stack = pick(self.stacks)
        options, moves = self.options(stack, pick), pick((False, True))
        planned = self.plan(stack, options)
        if planned.plan is None:
            return
        at, file = self.environment, self.environment.folder / f"plan-{self.number}.json"
        flow.save(planned.plan, file)
        check(not any(secret in file.read_text() for secret in SECRETS), "a saved plan contains a secret")
        self.log(f"saved {stack} {options} moves={moves}")
        if moves:
            self.edit_by_others(pick)
        runs: list[RunResult] = []
        with self.checked(stack, runs, options):
            # the files of the manifest are not on this disk: the plan holds all but the secrets
            source = flow.Source(at.folder, variables={f"v{n}": secret for n, secret in enumerate(SECRETS)})
            runs.append(self.run(stack, lambda: flow.apply_saved(file, source, at.connection(), consent=True)))
        (result,) = runs
        if moves and isinstance(result.error, PlanError):
            check(not result.writes, "stale after writing", result.writes)
            return
        check(
            not isinstance(result.error, Stale), "stale on an unchanged server", getattr(result.error, "problems", None)
        )
        self.check_result(stack, result, options)

    def is_applied(self, stack: str) -> bool:
        """Apply the manifest without its entries about the past; False if that is refused."""
        self.specs[stack] = fleet.tidied(self.specs[stack])
        return self.apply_and_check(stack, PlanOptions()).done

    def apply_changed(self, stack: str, new: Spec, pick: Picks) -> bool:
        """Apply another manifest, perhaps despite a fault. False if it is refused: then the former one is kept."""
        former, self.specs[stack] = self.specs[stack], new
        kind, at = pick((None, None, *KINDS)), pick(range(1, 40))
        self.log(f"apply {stack} {kind} at {at}: {json.dumps(new)}")
        result = self.apply_despite(stack, PlanOptions(), Fault(kind, at) if kind else None)
        if result.done:
            self.assert_no_changes(stack, PlanOptions())
            self.specs[stack], before = fleet.tidied(new), self.environment.all_objects()
            self.apply_and_check(stack, PlanOptions())  # the state forgets the moves
            after = self.environment.all_objects()
            check(
                all(after[id] == body for id, body in before.items() if not is_state(body)),
                "entries about the past are removed, and something changed",
            )
            return True
        self.check_refusal(stack, result)
        if self.specs[stack] is new:
            self.specs[stack] = former
        return False

    def do_relocate(self, pick: Picks) -> None:
        """Moves in the manifest: every object gets its new address; none is created, deleted or left behind."""
        stack = pick(self.stacks)
        if not self.is_applied(stack):
            return
        new, addresses = fleet.relocated(self.specs[stack], pick)
        held = Counter(self.ours[stack].values())
        if not addresses or any(held[each] != 1 for each in addresses):
            return
        before, owners = self.environment.all_objects(), dict(self.ours[stack])
        self.relocating = True
        if self.apply_changed(stack, new, pick):
            self.done["relocate"] += 1
            after = self.environment.all_objects()
            check(_without_states(before) == _without_states(after), "a move created or deleted objects")
            for id, address in owners.items():
                new_address = moved_once(address, addresses)
                check(self.ours[stack].get(id) == new_address, f"{address} ({id}) is not {new_address}", after[id])
            self.check_attached(stack, owners, addresses, after)
        self.relocating = False

    def check_attached(
        self, stack: str, owners: Mapping[str, str], addresses: Mapping[str, str], after: Objects
    ) -> None:
        """A block that moved is attached to its new agent, and no longer to its old one."""
        ids, now = {where: id for id, where in owners.items()}, {at: id for id, at in self.ours[stack].items()}
        for old, new in addresses.items():
            block = ids[old]
            if ".memory." in new:
                agent = after[now[new.partition(".memory.")[0]]]
                check(block in agent["blocks"], f"{new} ({block}) is not attached to its agent", agent)
            if ".memory." in old:
                left, is_shared = ids[old.partition(".memory.")[0]], ".memory." not in new
                is_same = is_shared or now[new.partition(".memory.")[0]] == left
                check((block in after[left]["blocks"]) is is_same, f"{old} ({block}) is still attached", after[left])

    def do_remove_lines(self, pick: Picks) -> None:
        """Lines that are removed: the result is that of a manifest that never had them."""
        stack = pick(self.stacks)
        if not self.is_applied(stack):
            return
        new, lines = fleet.without_lines(self.specs[stack], pick)
        if not lines:
            return
        self.log(f"remove lines {lines}")
        if isinstance(self.environment, InMemory):
            self.check_as_fresh(stack, self.specs[stack], new, lines)
        self.done["remove lines"] += self.apply_changed(stack, new, pick)

    def check_as_fresh(self, stack: str, old: Spec, new: Spec, lines: Sequence[str]) -> None:
        """The old manifest and then the new one have the same end as the new one alone, with what others added."""
        ends = []
        for first in (new, old):
            environment = InMemory(self.environment.folder, self.stacks)
            machine = Machine(environment, self.log, self.start)
            machine.specs[stack], before = first, environment.all_objects()
            done = machine.apply(stack, PlanOptions()).done
            machine.add_theirs(environment.all_objects())
            machine.specs[stack] = new
            if not (done and machine.apply(stack, PlanOptions()).done):
                return
            ends.append((environment.all_objects(), environment.prompts()))
        self.done["as fresh"] += 1
        (one, _), (other, prompts) = ends
        _check_same_end(before, one, other)
        stale = [id for id, (_, have, fresh) in prompts.items() if have != fresh]
        check(not stale, f"prompts are not compiled again after {lines} were removed", stale)

    def add_theirs(self, observed: Objects) -> None:
        """Others add a tag, metadata, a secret and a tool to every agent, and a tag to every block."""
        tool = next(
            t for t in self.environment.ask("GET", "/v1/tools/", params={"limit": 1000}) if t["name"] == "fetch_webpage"
        )
        for id, body in observed.items():
            if body["kind"] == "agent":
                more = {"tags": [*body["tags"], "theirs"], "metadata": {**body["metadata"], "theirs": 1}}
                secrets = {"secrets": {**body["secrets"], "THEIRS": "kept22"}}
                self.environment.ask("PATCH", f"/v1/agents/{id}", more | secrets)
                self.environment.ask("PATCH", f"/v1/agents/{id}/tools/attach/{tool['id']}")
            elif body["kind"] == "block" and not is_state(body):
                self.environment.ask("PATCH", f"/v1/blocks/{id}", {"tags": [*body["tags"], "theirs"]})

    def do_adopt(self, pick: Picks) -> None:
        """`imports` in the manifest: the object of others gets the address, and none is created there."""
        stack = pick(self.stacks)
        if not self.is_applied(stack):
            return
        kind = pick(("agent", "block", "tool", "archive", "folder", "identity"))
        found = [id for id in self.foreign(kind) if not self.environment.all_objects()[id]["tags"]]
        if not found:
            return
        id = pick(found)
        new, address = fleet.importing(self.specs[stack], SECTIONS[kind], id, pick)
        if not address or address in self.ours[stack].values():
            return
        before = self.environment.all_objects()
        self.log(f"imports {address} {id}")
        if self.apply_changed(stack, new, pick):
            self.done["imports"] += 1
            after = self.environment.all_objects()
            check(self.ours[stack].get(id) == address, f"{id} is not {address}", after.get(id))
            created = [each for each in after if each not in before and _claim(after[each], stack) == address]
            check(not created, f"{address} was imported and created", created)

    def foreign(self, kind: str) -> list[str]:
        """Ids of objects of a kind that belong to no stack."""
        observed = self.environment.all_objects()
        copies = {id for each in observed.values() for id in each.get("isolated_block_ids", ())}
        found = (id for id, body in observed.items() if body["kind"] == kind and not self.owner(id))
        fit = (id for id in found if not is_state(observed[id]) and id not in copies)
        return [id for id in fit if observed[id].get("tool_type") != EXTERNAL_TOOL]

    def do_destroy(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        self.apply_and_check(stack, PlanOptions(destroy=True, allow_destroy=pick((("*",), ()))))

    def do_move(self, pick: Picks) -> None:
        """`state mv`, and the same move in the manifest."""
        stack, section = pick(self.stacks), pick(tuple(fleet.FIELDS))
        mine = [a for a in self.ours[stack].values() if a.startswith(f"{section}.") and ".memory." not in a]
        if not mine:
            return
        old, new = pick(sorted(mine)), f"{section}.{pick(fleet.KEYS[section])}"
        self.log(f"state mv {stack} {old} {new}")
        self.state(stack, lambda source, to: flow.state_move(source, to, old, new), {old: new})

    def do_forget(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        mine = sorted(a for a in self.ours[stack].values() if ".memory." not in a)
        if mine:
            old = pick(mine)
            self.log(f"state rm {stack} {old}")
            self.state(stack, lambda source, to: flow.state_remove(source, to, old), {old: None})

    def do_rebuild(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        copies = [
            id
            for id, body in self.environment.all_objects().items()
            if self.carries_mark(body, stack) and not self.owner(id)
        ]
        if pick((True, False)) and not copies:  # without the state, a copy may be taken for a deleted original
            self.delete_state(stack)
            for id, body in self.environment.all_objects().items():  # without mark and state, it belongs to no stack
                if id in self.ours[stack] and not self.carries_mark(body, stack):
                    self.ours[stack].pop(id)
        self.log(f"state rebuild {stack}")
        self.state(stack, flow.state_rebuild, {})

    def state(self, stack: str, what: Callable[..., Any], renamed: Mapping[str, str | None]) -> None:
        """A `state` command changes only marks."""
        at = self.environment
        before = at.all_objects()
        result = self.run(stack, lambda: what(flow.Source(at.folder), at.connection()))
        after = at.all_objects()
        if result.error:
            self.log(f"refused: {result.error}")
            check(not result.writes, "refused after writing", result.writes)
            check(isinstance(result.error, PlanError), "refused with another error than PlanError", result.error)
        check(
            {k for k in before if not is_state(before[k])} == {k for k in after if not is_state(after[k])},
            "objects changed",
        )
        for id, body in before.items():
            if not is_state(body):
                check(
                    without_mark(body) == without_mark(after[id]),
                    f"more than the mark of {id} changed",
                    body,
                    after[id],
                )
                claim = _claim(after[id], stack) if body != after[id] and id not in self.ours[stack] else None
                if (
                    claim and primary_of(claim) in self.ours[stack].values()
                ):  # what the server created along with an agent of ours is ours
                    self.ours[stack][id] = claim
                check(id in self.ours[stack] or body == after[id], f"{id} is not ours", body, after[id])
        if not result.error:
            for id, address in list(self.ours[stack].items()):
                top, _, part = address.partition(".memory.")
                primary = primary_of(top)
                if top in renamed or primary in renamed:
                    new = renamed[top if top in renamed else str(primary)]
                    new = (
                        f"{top.partition('.')[0]}.{new.partition('.')[2]}{SLEEPTIME_SUFFIX}" if new and primary else new
                    )
                    left = new is None and id in after and _claim(after[id], stack)
                    check(not left, f"{address} ({id}) was forgotten but is still marked")
                    self.ours[stack].pop(id)
                    if new is not None:
                        self.ours[stack][id] = f"{new}.memory.{part}" if part else new
                    self.bases.pop((id, "value"), None)

    def do_import(self, pick: Picks) -> None:
        """Import a foreign object under a declared address."""
        stack, observed = pick(self.stacks), self.environment.all_objects()
        addresses = [a for a, d in build(stack, self.specs[stack], "m/m", "e/e").objects.items() if not d.external]
        addresses = [a for a in addresses if not a.parent]
        if not addresses:
            return
        address = pick(addresses)
        candidates = [id for id in observed if SECTIONS[observed[id]["kind"]] == address.section and not self.owner(id)]
        copies = {id for each in observed.values() for id in each.get("isolated_block_ids", ())}
        candidates = [id for id in candidates if not is_state(observed[id]) and id not in copies]
        candidates = [id for id in candidates if observed[id].get("tool_type") != EXTERNAL_TOOL]
        if not candidates:
            return
        id, at = pick(candidates), self.environment
        self.log(f"import {stack} {address} {id}")
        result = self.run(stack, lambda: flow.adopt(flow.Source(at.folder), at.connection(), str(address), id))
        after = at.all_objects()
        if result.error:
            self.log(f"refused: {result.error}")
            check(isinstance(result.error, PlanError), "refused with another error than PlanError", result.error)
            check(not result.writes, "refused after writing", result.writes)
        for each, body in observed.items():
            if not is_state(body):
                check(
                    each in after and without_mark(body) == without_mark(after[each]),
                    "more than marks changed",
                    each,
                    body,
                )
        if result.error:
            return
        known = self.ours[stack]
        for old, where in list(known.items()):  # the former holder of the address becomes a copy
            if where == str(address) and old != id:
                for part, there in list(known.items()):
                    top = there.partition(".memory.")[0]
                    if where in (top, primary_of(top)):
                        known.pop(part)
        known[id] = str(address)
        for each in after.values():
            claim = _claim(each, stack)
            if claim and claim.startswith(f"{address}.memory.") and each["id"] in after[id].get("blocks", ()):
                known[each["id"]] = claim
        self.ever_ours |= known.keys()

    # --- what agents and other users do

    def do_edit(self, pick: Picks) -> None:
        self.edit_by_others(pick)

    def edit_by_others(self, pick: Picks) -> None:
        """One edit by an agent or another user."""
        observed = self.environment.all_objects()
        mine = {id: body for stack in self.stacks for id in self.ours[stack] if (body := observed.get(id))}
        agents = sorted((b for b in mine.values() if b["kind"] == "agent"), key=_age)
        blocks = sorted((b for b in mine.values() if b["kind"] == "block"), key=_age)
        tools = sorted((b for b in mine.values() if b["kind"] == "tool"), key=_age)
        others = sorted((b for b in mine.values() if b["kind"] not in ("agent", "block", "tool")), key=_age)
        edits: list[Callable[[Picks], str | None]] = [self.create_foreign]
        if agents:
            agent = pick(agents)
            edits += [lambda p: self.edit_memory(agent, p)] * 6 + [lambda p: self.edit_agent(agent, p)] * 5
            edits += [lambda p: self.copy_agent(agent)]
        if blocks:
            block = pick(blocks)
            edits += [lambda p: self.edit_block(block, p)] * 5
        if tools:
            edits += [lambda p: self.edit_tool(pick(tools), p)] * 3
        if others:
            other = pick(others)
            edits += [lambda p: self.edit_other(other, p)] * 8
        self.log(f"others: {pick(edits)(pick)}")

    def edit_memory(self, agent: dict[str, Any], pick: Picks) -> str:
        """What an agent does with its memory tool."""
        ask, core = self.environment.ask, f"/v1/agents/{agent['id']}/core-memory/blocks"
        held, edit = sorted(agent["labels"]), pick(("write", "write", "make", "detach", "relabel", "describe"))
        if edit == "make" or not held:
            label = pick(("human", "notes", "org", "own"))
            made = ask("POST", "/v1/blocks/", {"label": label, "value": f"made {self.number}"})
            ask("PATCH", f"{core}/attach/{made['id']}")
            return f"agent {agent['name']} makes {label} {made['id']}"
        label = pick(held)
        id = agent["labels"][label]
        if edit == "detach":
            ask("PATCH", f"{core}/detach/{id}")
        else:
            learned = f"I learnt {self.number}."
            more = "\n".join((self.environment.all_objects()[id]["value"], learned))
            options: dict[str, Any] = {"write": {"value": pick((learned, more, "One.", "Two."))}}
            options |= {"relabel": {"label": pick(("me", "notes", "human"))}, "describe": {"description": "my words"}}
            ask("PATCH", f"/v1/blocks/{id}", options[edit])
        return f"agent {agent['name']} {edit} {label}"

    def edit_agent(self, agent: dict[str, Any], pick: Picks) -> str:
        """What other users do to an agent of ours."""
        ask, path = self.environment.ask, f"/v1/agents/{agent['id']}"
        meta, tags = agent["metadata"], agent["tags"]
        marks = [tag for tag in tags if tag.startswith("lettaform:")]
        bodies: dict[str, Any] = {
            "tag": {"tags": [*tags, "theirs"]},
            "metadata": {"metadata": {**meta, "theirs": [1, None]}},
            "secrets": {"secrets": {**agent["secrets"], "THEIRS": "kept22"}},
            "system": {"system": "You follow."},
            "describe": {"description": "foreign"},
            "rename": {"name": "renamed"},
            "untag": {"tags": marks},
            "wipe metadata": {"metadata": {}},
            "wipe tags": {"tags": []},
            "window": {"context_window_limit": 9000},
            "delete": None,
            "detach": None,
            "attach block": None,
            "attach tool": None,
            "detach tool": None,
            "attach archive": None,
            "remember": None,
            "detach rest": None,
            "talk": None,
            "lead": None,
            "sleep": {"enable_sleeptime": True},
            "wake": {"enable_sleeptime": False},
        }
        edit = pick(sorted(bodies))
        if edit == "delete":
            ask("DELETE", path)
        elif edit == "detach" and agent["blocks"]:
            ask("PATCH", f"{path}/core-memory/blocks/detach/{pick(agent['blocks'])}")
        elif edit == "attach block":
            made = ask("POST", "/v1/blocks/", {"label": pick(("theirs", "org", "notes")), "value": "theirs"})
            ask("PATCH", f"{path}/core-memory/blocks/attach/{made['id']}")
        elif edit == "attach tool":
            tool = next(t for t in ask("GET", "/v1/tools/", params={"limit": 1000}) if t["name"] == "fetch_webpage")
            ask("PATCH", f"{path}/tools/attach/{tool['id']}")
            self.given.add((agent["id"], tool["id"]))
        elif edit == "detach tool" and agent["tools"]:
            ask("PATCH", f"{path}/tools/detach/{pick(agent['tools'])}")
        elif edit == "attach archive" and not agent["archives"]:
            made = ask("POST", "/v1/archives/", {"name": "theirs", "embedding": self.environment.embedding})
            ask("PATCH", f"{path}/archives/attach/{made['id']}")
        elif edit == "remember":  # the server creates the archive of an agent that has none
            ask("POST", f"{path}/archival-memory", {"text": pick((f"Learnt {self.number}.", "Learnt again."))})
        elif edit == "talk":
            ask("POST", "/v1/conversations/", {"summary": "theirs"}, params={"agent_id": agent["id"]})
        elif edit == "lead":
            lead = {"manager_type": "supervisor", "manager_agent_id": agent["id"]}
            ask("POST", "/v1/groups/", {"agent_ids": [agent["id"]], "description": "theirs", "manager_config": lead})
        elif edit == "detach rest":
            for part in ("archives", "folders", "identities"):
                for id in agent[part]:
                    ask("PATCH", f"{path}/{part}/detach/{id}")
        elif edit == "sleep":
            known = self.environment.all_objects().keys()
            ask("PATCH", path, bodies[edit])
            self.undeclared_sleeptime_blocks |= self.environment.all_objects().keys() - known
        elif bodies[edit]:
            ask("PATCH", path, bodies[edit])
        return f"others on {agent['name']} {agent['id']}: {edit}"

    def edit_block(self, block: dict[str, Any], pick: Picks) -> str:
        ask, path, tags = self.environment.ask, f"/v1/blocks/{block['id']}", block["tags"]
        bodies: dict[str, Any] = {
            "write": {"value": pick((f"Else {self.number}.", "One.", "Two."))},
            "describe": {"description": "theirs"},
            "limit": {"limit": 7000},
            "tag": {"tags": [*tags, "theirs"]},
            "metadata": {"metadata": {**(block["metadata"] or {}), "theirs": {"a": 1}}},
            "wipe metadata": {"metadata": {}},
            "wipe tags": {"tags": []},
            "delete": None,
            "lend": None,
        }
        edit = pick(sorted(bodies))
        if edit == "delete":
            ask("DELETE", path)
        elif edit == "lend":
            self.create_foreign_agent(block_ids=[block["id"]])
        else:
            ask("PATCH", path, bodies[edit])
        return f"others on block {block['label']} {block['id']}: {edit}"

    def edit_tool(self, tool: dict[str, Any], pick: Picks) -> str:
        ask, path = self.environment.ask, f"/v1/tools/{tool['id']}"
        edit = pick(("overwrite", "wipe tags", "tag", "limit", "delete", "lend"))
        if edit == "overwrite":
            source = fleet.SOURCE.format(name=tool["name"], about="Somebody else's.")
            ask("PUT", "/v1/tools/", {"source_code": source, "source_type": "python", "tags": ["theirs"]})
        elif edit == "delete":
            ask("DELETE", path)
        elif edit == "lend":
            self.create_foreign_agent(tool_ids=[tool["id"]])
        else:
            tags = {"wipe tags": {"tags": []}, "tag": {"tags": [*tool["tags"], "theirs"]}}
            ask("PATCH", path, tags.get(edit, {"return_char_limit": 555}))
        return f"others on tool {tool['name']}: {edit}"

    def edit_other(self, body: dict[str, Any], pick: Picks) -> str:
        """What other users do to archives, folders, identities, groups and conversations of ours."""
        ask, kind = self.environment.ask, body["kind"]
        path = f"/v1/{PATHS[kind]}/{body['id']}"
        text = MARK_IN_TEXT.get(kind)
        mark = f"\n[lettaform {' '.join(tag.partition('=')[2] for tag in reversed(body['tags']))}]"
        edit = pick(("delete", "write", "rename", "overwrite", "fill", "fill", "empty"))
        if edit == "delete":
            ask("DELETE", path)
        elif edit == "write":  # next to our mark
            more = {"metadata": {**(body.get("metadata") or {}), "theirs": 1}}
            ask("PATCH", path, {text: f"theirs{mark}"} if text and body["tags"] else more)
        elif edit == "rename" and kind == "group":
            ask("PATCH", path, {"manager_config": {"manager_type": body["manager_type"], "max_turns": 7}})
        elif edit == "rename":
            ask("PATCH", path, {"name": "theirs"})
        elif edit == "overwrite":  # including our mark
            ask("PATCH", path, {text: "theirs"} if text else {"metadata": {}})
        elif kind == "archive":
            texts = [{"text": "Theirs."}] if edit == "fill" else []
            for passage in self.environment.passages(body["id"]) if edit == "empty" else ():
                ask("DELETE", f"{path}/passages/{passage['id']}")
            for each in texts:
                ask("POST", f"{path}/passages", each)
        elif kind == "folder":
            if edit == "fill":
                ask("POST", f"{path}/upload", files={"file": ("theirs.md", b"Theirs.", "text/markdown")})
            for file in ask("GET", f"{path}/files", params={"limit": 1000}) if edit == "empty" else ():
                ask("DELETE", f"{path}/{file['id']}")
        elif kind == "identity":
            ask("PATCH", path, {"properties": [{"key": "theirs", "value": "1", "type": "string"}]})
        elif kind == "group" and body["manager_type"] != "sleeptime":
            ask("PATCH", path, {"agent_ids": body["agent_ids"][:1] if edit == "empty" else body["agent_ids"][::-1]})
        return f"others on {kind} {body['id']}: {edit}"

    def create_foreign_agent(self, **fields: Any) -> None:
        """An agent that nobody declared, with the name of a declared one."""
        body = {
            "name": "ann",
            "model": self.environment.model,
            "embedding": self.environment.embedding,
            "system": "Mine.",
        }
        self.environment.ask("POST", "/v1/agents/", {**body, "include_base_tools": False, **fields})

    def create_foreign(self, pick: Picks) -> str:
        """Create an object with a name of ours."""
        ask, stack, what = (
            self.environment.ask,
            pick(self.stacks),
            pick(("agent", "block", "tool", "archive", "folder")),
        )
        if what == "agent":
            self.create_foreign_agent(memory_blocks=[{"label": "persona", "value": "mine"}], tags=["x"])
        elif what == "block":
            ask("POST", "/v1/blocks/", {"label": pick(("org", "persona")), "value": "mine"})
        elif what == "archive":
            ask("POST", "/v1/archives/", {"name": pick(("sold", "Sold")), "embedding": self.environment.embedding})
        elif what == "folder":
            ask("POST", "/v1/folders/", {"name": f"{stack}-prices", "embedding": self.environment.embedding})
            ask("POST", "/v1/identities/", {"identifier_key": f"{stack}-shop", "name": "m", "identity_type": "org"})
        else:
            name = f"{stack.replace('-', '_')}_{pick(('t2', 't1_new', 'other'))}"
            tools = ask("GET", "/v1/tools/", params={"limit": 1000, "name": name})
            if not tools:
                source = fleet.SOURCE.format(name=name, about="Mine.")
                ask("PUT", "/v1/tools/", {"source_code": source, "source_type": "python"})
        return f"a foreign {what}"

    def copy_agent(self, agent: dict[str, Any]) -> str:
        exported = self.environment.ask("GET", f"/v1/agents/{agent['id']}/export")
        files = {"file": ("it.af", json.dumps(exported), "application/json")}
        self.environment.ask("POST", "/v1/agents/import", files=files)
        return f"a copy of {agent['name']}"

    def delete_state(self, stack: str) -> None:
        for id, body in self.environment.all_objects().items():
            if is_state(body) and f"lettaform:stack={stack}" in body["tags"]:
                self.environment.ask("DELETE", f"/v1/blocks/{id}")

    def reset(self, stack: str) -> None:
        """Start again after repeated refusals, with nothing left of the stack."""
        self.log(f"reset {stack}")
        messages = (f"{stack.replace('-', '_')}_", f"{stack}-")
        for id, body in sorted(self.environment.all_objects().items(), key=_delete_order):
            unique = UNIQUE.get(body["kind"], "id")
            named = body[unique].startswith(messages) or body.get("manager_agent_id") in self.ours[stack]
            if id in self.ours[stack] or f"lettaform:stack={stack}" in body["tags"] or named:
                self.environment.ask("DELETE", f"/v1/{PATHS[body['kind']]}/{id}")
        self.specs[stack], self.ours[stack], self.refused[stack] = self.start(), {}, 0

    def tidy(self) -> None:
        """Delete everything that belongs to no stack."""
        for id, body in sorted(self.environment.all_objects().items(), key=_delete_order):
            if not self.owner(id) and not is_state(body):
                self.environment.ask("DELETE", f"/v1/{PATHS[body['kind']]}/{id}")

    def clear(self) -> None:
        """Delete everything that was created."""
        for id, body in sorted(self.environment.all_objects().items(), key=_delete_order):
            self.environment.ask("DELETE", f"/v1/{PATHS[body['kind']]}/{id}")
        for stack in self.stacks:
            self.release(stack, self.environment)
        self.environment.raw.close()

    # --- owners ------

    def owner(self, id: str) -> str | None:
        return next((stack for stack in self.stacks if id in self.ours[stack]), None)

    def carries_mark(self, body: Mapping[str, Any], stack: str) -> bool:
        return f"lettaform:stack={stack}" in body["tags"] and not is_state(body)


class RunChecker:
    """What one run of lettaform on one stack did, compared with what it may do."""

    def __init__(
        self, machine: Machine, stack: str, before: Objects, after: Objects, runs: list[RunResult], options: PlanOptions
    ) -> None:
        self.machine, self.stack, self.before, self.after = machine, stack, before, after
        self.runs, self.options, self.spec = runs, options, machine.specs[stack]
        self.ours = machine.ours[stack]
        self.moved = dict(self.spec["moved"])
        plans = [result.plan for result in runs if result.plan]
        self.changes = [change for plan in plans for change in plan.changes]
        self.shown: dict[str, set[str]] = {}
        for each in self.changes:
            self.shown.setdefault(str(each.address), set()).update(d.path for d in each.fields_changed)
        # the plan of an interrupted run is unknown; the runs after it did the rest
        self.plan_unknown = any(result.plan is None and result.writes for result in runs)

    def check(self) -> None:
        own, adopted = set(self.ours), self.adopted
        for id, body in self.before.items():
            if is_state(body) or body.get("tool_type") == EXTERNAL_TOOL:
                continue
            now = self.after.get(id)
            if now is None:
                self.check_deleted(id, body)
                if body["kind"] == "agent" and body["name"].endswith("-sleeptime"):
                    self.check_persona_deleted(body)
            elif body != now:
                mine = id in own or id in adopted
                if not mine and body["kind"] == "block" and self.machine.carries_mark(body, self.stack):
                    # memory of an agent whose address another agent got: only our mark may be removed
                    mine = without_mark(body) == without_mark(now)
                check(mine or self.lost_only_deleted(body, now), f"{id} is not of stack {self.stack}", body, now)
                if mine:
                    self.check_changed(id, body, now)
        for result in self.runs:
            self.check_targets(result, own | adopted)
        self.update_owners(adopted)
        if self.runs[-1].done:
            self.check_complete()

    @cached_property
    def adopted(self) -> set[str]:
        """Blocks of no stack that are attached to our agents under a declared label; orphaned blocks of our own."""
        found = {id for _, id in self.spec["imports"]}
        imported = {id: address for address, id in self.spec["imports"]}
        for id, address in (*self.ours.items(), *imported.items()):
            agent = self.before.get(id)
            if agent is None or agent["kind"] != "agent":
                continue
            top = self.moved_to(address)
            labels = self.spec["agents"].get(top.partition(".")[2], {}).get("memory", {})
            for label, block in agent["labels"].items():
                if label in labels and not self.machine.owner(block):
                    found.add(block)
            # objects created along with the agent that an interrupted run did not mark
            asked = self.spec["agents"].get(top.partition(".")[2], {}).get("sleeptime")
            if group := asked and self.before.get(agent["managed_group"] or ""):
                sleeptime_agents = [self.before[each] for each in group["agent_ids"] if each in self.before]
                created_along = {group["id"], *group["agent_ids"]}
                created_along |= {
                    each["labels"]["memory_persona"] for each in sleeptime_agents if "memory_persona" in each["labels"]
                }
                found |= {each for each in created_along if not self.machine.owner(each)}
        return found

    def moved_to(self, address: str) -> str:
        """The address now, after every `moved`."""
        if self.machine.relocating:
            return moved_once(address, self.moved)
        top, sign, part = address.partition(".memory.")
        primary, first = primary_of(top), top
        for _ in range(9):
            top = self.moved.get(top, top)
            primary = self.moved.get(primary, primary) if primary else None
        if primary and top == first:
            top = f"{top.partition('.')[0]}.{primary.partition('.')[2]}{SLEEPTIME_SUFFIX}"
        return f"{top}{sign}{part}"

    @property
    def relocated_ids(self) -> set[str]:
        """The objects that the manifest moves."""
        return {id for id, address in self.ours.items() if address in self.moved}

    def declared(self, address: str) -> Spec | None:
        top, _, part = address.partition(".memory.")
        section, _, key = top.partition(".")
        if primary := primary_of(top):
            asked = (self.declared(primary) or {}).get("sleeptime")
            named = asked if isinstance(asked, dict) else {}
            messages = {name: value for name, value in named.items() if (name == "frequency") is (section == "groups")}
            return ({} if part else messages) if asked else None
        body = self.spec[section].get(key)
        if body is None or not part:
            return dict(body) if body is not None else None
        found = body.get("memory", {}).get(part)
        return dict(found) if found is not None else None

    # --- deletes

    def check_persona_deleted(self, body: Mapping[str, Any]) -> None:
        """The persona block created along with an agent is deleted with it, unless another agent has it."""
        persona = body["labels"].get("memory_persona")
        persona_block = self.after.get(persona or "", {})
        held = {id for each in self.after.values() for id in each.get("blocks", ()) if each["kind"] == "agent"}
        named = persona_block.get("label") == "memory_persona" and _claim(persona_block, self.stack) is None
        orphan = named and persona not in held | self.machine.undeclared_sleeptime_blocks
        check(not orphan, f"{persona} of {body['name']} is left, attached to no agent", persona_block)

    def check_deleted(self, id: str, body: Mapping[str, Any]) -> None:
        shown_deletes = {
            str(each.id): str(each.address) for each in self.changes if each.action in ("delete", "replace")
        }
        address = self.ours.get(id) or (shown_deletes.get(id) if id in self.adopted else None)
        deleted = [each for other, each in self.before.items() if other not in self.after]
        if any(id in each.get("isolated_block_ids", ()) for each in deleted):
            return  # an isolated block is deleted with its conversation
        if any(id in note for change in self.changes for note in change.notes):
            return  # what others let our agent create along is deleted with it, conversations too; the plan notes it
        if address is None and body.get("agent_id") in self.ours.keys() - self.after.keys():
            counted = any(" conversations, " in note for change in self.changes for note in change.notes)
            check(self.plan_unknown or counted, f"the delete of a conversation ({id}) was not shown", body)
            return
        if body.get("manager_type") == "sleeptime" and body["manager_agent_id"] in self.ours.keys() - self.after.keys():
            return  # and so is the group that connects them
        check(address is not None, f"{id} is not of stack {self.stack} and was deleted", body)
        assert address is not None
        removed = dict(self.spec["removed"])
        here = self.moved_to(address)
        tops = {each.partition(".memory.")[0] for each in (address, here)}
        addresses = {address, here, *tops, *filter(None, map(primary_of, tops))}
        consents = {
            "destroy": self.options.destroy,
            "prune": self.options.prune and self.declared(here) is None,
            "carried over": address.endswith(".memory_persona") and self.was_carried_over(address, body),
            "removed": any(removed.get(each) for each in addresses),
            "replace": body["kind"] not in ("block", "tool") and any(map(self.is_destroy_allowed, addresses)),
            "keeps no data": body["kind"] == "group" and (id, "replace") in {(c.id, c.action) for c in self.changes},
        }
        check(any(consents.values()), f"{address} ({id}) was deleted without consent", body)
        check(self.plan_unknown or id in shown_deletes, f"the delete of {address} was not shown")

    def was_carried_over(self, address: str, body: Mapping[str, Any]) -> bool:
        """Whether a new block has the value of the deleted one."""
        others = (each for id, each in self.after.items() if id not in self.before)
        return any(_claim(each, self.stack) == address and each["value"] == body["value"] for each in others)

    def is_destroy_allowed(self, address: str) -> bool:
        return any(fnmatchcase(address, pattern) for pattern in self.options.allow_destroy)

    # --- updates

    def check_changed(self, id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Only shown and declared fields are written; foreign values stay."""
        address = self.moved_to(self.ours.get(id) or _claim(new, self.stack) or "")
        declared_body, shown = self.declared(address), self.shown.get(address, set())
        paths = {path.split(".")[0] for path in shown}
        kind = old["kind"]
        for name in sorted({*old, *new} - {"labels", "kind"}):
            was, now = old.get(name), new.get(name)
            if was == now or (name == "tags" and _plain_tags(was) == _plain_tags(now)):
                continue
            if name == "metadata" and (_foreign_metadata(was) == _foreign_metadata(now)):
                continue
            if name in (*RELATIONS, "agent_ids"):
                have, had = set(now or ()), set(was or ())
                if have < had and not (had - have) & self.after.keys():
                    continue  # the related object was deleted
            if name == "managed_group" and {was, now} & {*self.ours, *(set(self.after) - set(self.before))}:
                continue  # a declared group sets its manager
            causes = CAUSES.get(kind, {}).get(name, frozenset({name}))
            creates_blocks = name == "blocks" and any(str(a).startswith(f"{address}.memory.") for a in self.shown)
            primary = next((i for i, where in self.ours.items() if self.moved_to(where) == primary_of(address)), None)
            if self.machine.relocating and name == "blocks" and set(was) ^ set(now) <= self.relocated_ids:
                continue
            if (
                primary in self.after and name == "blocks" and "memory" not in address
            ):  # the server gives both agents the same blocks
                given = set(self.before.get(primary, {}).get("blocks", ())) ^ set(self.after[primary]["blocks"])
                if set(was or ()) ^ set(now or ()) <= given:
                    continue
            check(
                self.plan_unknown or paths & causes or creates_blocks,
                f"{address}: {name} was written and not shown",
                was,
                now,
                paths,
            )
            declared = {*(declared_body or {}), "label", "name", "about"} | ({"source"} if kind == "tool" else set())
            declared |= {"args"} if kind == "mcp_server" else set()
            declared |= {"memory"} if primary_of(address) else set()
            declared |= {fleet.KEEPS_NAME[SECTIONS[kind]]}
            is_line = self.machine.lines[id] & causes and not declared & causes
            parts = map(_foreign_metadata, (now, was)) if name == "metadata" else (now, was)
            if is_line and _is_less(*parts):
                continue  # the line that added it is removed
            check(declared & causes or {"name", "about"} & causes, f"{address}: {name} is not declared", was, now)
        self.check_foreign_kept(address, declared_body or {}, old, new)
        if kind == "block" and old["value"] != new["value"]:
            self.check_block_value(id, address, declared_body or {}, old["value"], new["value"])

    def check_foreign_kept(self, address: str, declared: Spec, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Values that other users wrote are kept."""
        policy = declared.get("policy", {})
        if "theirs" in old["tags"] and policy.get("tags") != "enforce":
            check("theirs" in new["tags"], f"{address}: a foreign tag is missing", old["tags"], new["tags"])
        for name in ("metadata", "secrets"):
            theirs = {k: v for k, v in (old.get(name) or {}).items() if k.lower() == "theirs"}
            if theirs and not (name in declared and declared[name] is None):
                now = {k: v for k, v in (new.get(name) or {}).items() if k.lower() == "theirs"}
                check(theirs == now, f"{address}: foreign {name} are missing", old[name], new.get(name))
        given = self.machine.given if policy.get("tools") != "enforce" else ()
        for name in RELATIONS:
            lost = set(old.get(name, ())) - set(new.get(name, ())) if policy.get(name) != "enforce" else set()
            strange = [id for id in lost if (id in self.after and not self.was_ours(id)) or (old["id"], id) in given]
            check(not strange, f"{address}: foreign {name} were detached", strange)

    def was_ours(self, id: str) -> bool:
        """Whether lettaform may have attached it: it belonged to a stack once."""
        return id in self.machine.ever_ours or self.before.get(id, {}).get("tool_type") == EXTERNAL_TOOL

    def check_block_value(self, id: str, address: str, declared: Spec, old: str, new: str) -> None:
        policy = declared.get("policy", {}).get("value") or ("enforce" if declared.get("read_only") is True else "seed")
        asked = any(
            fnmatchcase(each, p) for p in self.options.reseed for each in (address, address.split(".memory")[0])
        )
        if policy == "merge" and not asked:
            base = self.machine.bases.get((id, "value"))
            learned = {*old.split("\n")} - {*(old if base is None else base).split("\n")}
            check(learned <= {*new.split("\n")} or self.options.ours, f"{address}: what agents wrote is lost", old, new)
            return
        check(new == (declared.get("value") or ""), f"{address}: an undeclared value was written", old, new)
        may_write = policy == "enforce" or (asked and policy in ("seed", "yield", "merge"))
        if policy == "yield" and not may_write:
            may_write = self.machine.bases.get((id, "value")) == old
        check(may_write, f"{address}: a value under policy {policy} was written", old, new)

    # --- requests

    def check_targets(self, result: RunResult, own: set[str]) -> None:
        """No write targets a foreign object, except members attached to ours."""
        created = set(self.after) - set(self.before)
        for method, path, _ in result.writes:
            ids = targets(path)
            if "/detach/" in path and self.options.allow_destroy and set(ids[1:]) <= own - self.after.keys():
                continue  # objects deleted with consent are detached from all agents
            for id in ids[:1]:
                fine = id in own or id in created or id not in self.before or is_state(self.before[id])
                # conversations that others began with an agent of ours are compiled again with it
                fine = fine or (path.endswith("/recompile") and self.before[id].get("agent_id") in own | created)
                check(fine, f"{method} {path} targets a foreign object", self.before.get(id))

    def check_prompts(
        self, before: Mapping[str, tuple[str, str, str]], after: Mapping[str, tuple[str, str, str]]
    ) -> None:
        """Prompts of declared agents, and of their conversations, are compiled again if their content has changed."""
        for id, (agent, prompt, fresh) in after.items():
            if prompt != fresh and (id not in before or before[id][2] != fresh):
                ours = agent in self.ours and self.declared(self.ours[agent]) is not None
                check(not ours, f"the prompt of {self.ours.get(agent)} ({id}) is not compiled again", prompt, fresh)

    def lost_only_deleted(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether a foreign agent only lost objects that were deleted with consent."""
        deleted = set(self.before) - set(self.after)
        parts = (*RELATIONS, "agent_ids")
        rest = {key for key in (*old, *new) if old.get(key) != new.get(key)} - {*parts, "labels"}
        fallen = {id for part in parts for id in set(old.get(part, ())) ^ set(new.get(part, ()))}
        if set(old.get("folders", ())) - set(new.get("folders", ())):  # the file tools are removed with the last folder
            fallen &= self.before.keys()
        if any(body["kind"] == "mcp_server" and id not in self.after for id, body in self.before.items()):
            fallen -= {id for id in fallen if self.before.get(id, {}).get("tool_type") == EXTERNAL_TOOL}
        return not rest and fallen <= deleted and (self.machine is not None and bool(self.options.allow_destroy))

    # --- bookkeeping

    def update_owners(self, adopted: set[str]) -> None:
        """Update the owner of each object."""
        for id in list(self.ours):
            if id not in self.after:
                self.ours.pop(id)
        forgotten = {each.id for each in self.changes if each.action == "forget"}
        for id, body in self.after.items():
            claim = _claim(body, self.stack)
            known = id in self.ours or id in adopted or id not in self.before
            if id in forgotten and not claim:
                self.ours.pop(id, None)
            elif claim and known and not is_state(body):
                self.ours[id] = claim
        for body in self.after.values():  # a copy of the object at its address belongs to no stack
            if is_state(body) and f"lettaform:stack={self.stack}" in body["tags"]:
                for copy in json.loads(body["value"]).get("duplicates", ()):
                    self.ours.pop(copy, None)
        self.machine.ever_ours |= self.ours.keys()
        for id, address in self.ours.items():
            self.machine.lines[id] |= (self.declared(address) or {}).keys()

    def check_complete(self) -> None:
        """After a success: one object per address, and no new block without an agent."""
        agents = [body for id, body in self.after.items() if body["kind"] == "agent" and id in self.ours]
        held = {id for body in agents for id in body["blocks"]}
        # a block that the agent detached may still be attached to its sleeptime agent, and be created again
        own = {f"{self.ours[body['id']]}.memory.{label}": id for body in agents for label, id in body["labels"].items()}
        by_address: dict[str, list[str]] = {}
        for id, address in self.ours.items():
            if ".memory." not in address or (id in held and own.get(address, id) == id):
                by_address.setdefault(address, []).append(id)
        duplicates = {a: ids for a, ids in by_address.items() if len(ids) > 1 and self.declared(a) is not None}
        check(not duplicates, "duplicates", duplicates)
        for id, address in self.ours.items():
            fresh = id not in self.before and ".memory." in address and id not in held
            check(not fresh, f"{address} ({id}) was created but is attached to no agent")
        if self.options == PlanOptions() or self.options == PlanOptions(prune=True):
            for section in fleet.FIELDS:
                for key in (key for key, body in self.spec[section].items() if "mcp" not in body):
                    check(f"{section}.{key}" in by_address, f"{section}.{key} is missing")
        for id, address in self.ours.items():
            body, declared = self.after[id], self.declared(address)
            if body["kind"] != "block":
                continue
            if declared is None or "value" not in declared:
                self.machine.bases.pop((id, "value"), None)
                continue
            policy = declared.get("policy", {}).get("value")
            whole = not (self.options.target or self.options.exclude)
            if (body["value"] == (declared["value"] or "") and policy != "ignore") or (policy == "merge" and whole):
                self.machine.bases[id, "value"] = declared["value"] or ""


# --- functions -------------------------------------------------------------------------------------------------------


def check(fine: object, message: str, *details: Any) -> None:
    if not fine:
        raise BrokenPromise("\n  ".join([message, *map(repr, details)]))


def _only(error: BaseException, kind: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_only(each, kind) for each in error.exceptions)
    return isinstance(error, kind)


def moved_once(address: str, addresses: Mapping[str, str]) -> str:
    """The address after moves of one step each; parts and what was created along follow their agent."""
    if address in addresses:
        return addresses[address]
    top, sign, part = address.partition(".memory.")
    primary = primary_of(top)
    new = addresses.get(top, top)
    if primary in addresses and new == top:
        new = f"{top.partition('.')[0]}.{addresses[primary].partition('.')[2]}{SLEEPTIME_SUFFIX}"
    return f"{new}{sign}{part}"


def _is_less(now: Any, was: Any) -> bool:
    """Whether a list or a map has lost members and nothing else."""
    if isinstance(was, dict):
        return isinstance(now or {}, dict) and (now or {}).items() <= was.items()
    return isinstance(was, list) and all(each in was for each in now or ())


def _without_states(objects: Objects) -> set[str]:
    return {id for id, body in objects.items() if not is_state(body)}


def primary_of(address: str) -> str | None:
    """The agent whose `sleeptime` creates the object at such an address."""
    section, _, key = address.partition(".memory.")[0].partition(".")
    return (
        f"agents.{key.removesuffix(SLEEPTIME_SUFFIX)}"
        if key.endswith(SLEEPTIME_SUFFIX) and section in ("agents", "groups")
        else None
    )


def _delete_order(item: tuple[str, Mapping[str, Any]]) -> tuple[int, str]:
    """Objects that hold others come first."""
    kind = item[1]["kind"]
    return {"group": 0, "conversation": 1, "agent": 2}.get(kind, 3), item[0]


def is_state(body: Mapping[str, Any]) -> bool:
    return any(tag.startswith("lettaform:state") for tag in body["tags"])


def _claim(body: Mapping[str, Any], stack: str) -> str | None:
    if f"lettaform:stack={stack}" not in body["tags"]:
        return None
    return next((tag[len("lettaform:addr=") :] for tag in body["tags"] if tag.startswith("lettaform:addr=")), None)


def _plain_tags(tags: Any) -> list[str]:
    return sorted(tag for tag in tags or () if not tag.startswith("lettaform:"))


def _foreign_metadata(metadata: Any) -> dict[str, Any]:
    return {key: value for key, value in (metadata or {}).items() if key != "lettaform"}


def without_mark(body: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(body) | {"tags": _plain_tags(body["tags"])}
    return result | ({"metadata": _foreign_metadata(body["metadata"])} if "metadata" in body else {})


def _age(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body.get("created_at") or ""), str(body["id"])


def failures(result: RunResult) -> list[str]:
    failed = result.report.outcomes if result.report else ()
    return [f"{o.step.key}: {o.status} {o.error or o.because}" for o in failed if o.status != "done"]


def _describe(plan: Plan | None) -> list[str]:
    changes = plan.changes if plan else ()
    return [f"{c.action} {c.address} {c.reason} {[(d.path, d.old, d.new) for d in c.fields_changed]}" for c in changes]


def _without_specifics(text: str) -> str:
    """A message without its specifics."""
    messages = text.split(": ", 1)[-1].split()
    return " ".join(word for word in messages if not any(sign in word for sign in "-_.`()0123456789"))[:90]


def _check_same_end(before: Objects, undisturbed: Objects, disturbed: Objects) -> None:
    """Two end states are equal except for the ids of created objects."""
    one, other = _with_names_for_ids(before, undisturbed), _with_names_for_ids(before, disturbed)
    if one == other:
        return
    lines = []
    for name in sorted(one.keys() | other.keys()):
        left, right = one.get(name, []), other.get(name, [])
        if len(left) == len(right) == 1:
            keys = [key for key in left[0] if left[0][key] != right[0].get(key)]
            lines += [f"{name} {key}: {left[0][key]} ≠ {right[0].get(key)}" for key in keys]
        elif left != right:
            lines.append(f"{name}: {len(left)} ≠ {len(right)}")
    raise BrokenPromise("not the same end as without the fault\n  " + "\n  ".join(lines))


def _with_names_for_ids(before: Objects, state: Objects) -> dict[str, list[dict[str, Any]]]:
    names: dict[str, str] = {}
    for id, body in state.items():
        if id not in before:
            address = next((tag for tag in body["tags"] if tag.startswith("lettaform:addr=")), "")
            names[id] = f"<{body['kind']} {address or body.get('label') or body.get('name')}>"
    found: dict[str, list[dict[str, Any]]] = {}
    for id, body in state.items():
        fields = {key: value for key, value in body.items() if key not in ("created_at", "labels")}
        if is_state(body):
            state_body = json.loads(body["value"])
            fields["value"] = {
                key: state_body.get(key) for key in ("ids", "marks", "protected", "duplicates", "environment")
            }
            for address, mark in (state_body.get("marks") or {}).items():  # digests of ids
                for field in fleet.REFERS.get(address.partition(".")[0], {}).keys() & mark.get("base", {}).keys():
                    mark["base"][field] = None
        if isinstance(fields.get("metadata"), dict) and "lettaform" in fields["metadata"]:
            # a block with its own mark is not in its agent's mark
            fields["metadata"] = fields["metadata"] | {"lettaform": fields["metadata"]["lettaform"] | {"parts": None}}
        plain = unordered(json.loads(_replace_ids(json.dumps(fields), names)))
        found[names.get(id, id)] = sorted([*found.get(names.get(id, id), []), plain], key=repr)
    return found


def _replace_ids(text: str, names: Mapping[str, str]) -> str:
    for id, name in names.items():
        text = text.replace(id, name)
    return text
