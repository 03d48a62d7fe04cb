"""The machine: what may happen to two stacks on one server, and what must be true after each step of it.

Its own account is deliberately simpler than lettaform's: which id is whose, what the last apply knew of each value, and
everything that lived before and after. It shares no code with `lettaform.plan`.
"""

from __future__ import annotations

import json
from collections import Counter
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
from tests.machine.fleet import SECRETS, Spec, build, change, first
from tests.machine.ground import (
    KINDS,
    OFFERED,
    PATHS,
    RELATIONS,
    SECTIONS,
    WORDED,
    Body,
    Fault,
    Ground,
    InMemory,
    Killed,
    targets,
)

Call = tuple[str, Sequence[int]]
MODEL = frozenset({"model", "context_window", "max_tokens", "model_settings", "parallel_tool_calls", "reasoning"})
# what on the server may change together with which fields of the manifest, where the names differ
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
    "provider": {"api_key_enc": frozenset({"api_key"})},
    "group": {
        "agent_ids": frozenset({"agents"}),
        "manager_agent_id": frozenset({"manager"}),
        "sleeptime_agent_frequency": frozenset({"frequency"}),
    },
}
UNIQUE = dict.fromkeys(("tool", "folder", "provider"), "name")
UNIQUE |= {"identity": "identifier_key", "mcp_server": "server_name"}
SECOND = "-sleeptime"
"""How the keys of what an agent with `sleeptime` brings end."""


@dataclass
class Ran:
    """One run of lettaform: what came of it, and what it wrote."""

    plan: Plan | None
    report: Report | None
    error: LettaformError | None
    writes: list[tuple[str, str, Any]]
    killed: bool = False

    @property
    def done(self) -> bool:
        """It went through, or had nothing to do."""
        return self.plan is not None and (self.report is None or self.report.exit_code == 0)


class Broken(AssertionError):
    """A promise was not kept."""


class Picks:
    """Random numbers as choices; when they are used up, always the first."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers, self.at = numbers, 0

    def __call__(self, options: Sequence[Any]) -> Any:
        number = self.numbers[self.at] if self.at < len(self.numbers) else 0
        self.at += 1
        return options[number % len(options)]


class Machine:
    """Two stacks on one server, what people want of them, and the account of who owns what."""

    def __init__(
        self, ground: Ground, log: Callable[[str], None] = lambda line: None, start: Callable[[], Spec] = first
    ) -> None:
        self.ground, self.log, self.start = ground, log, start
        self.stacks = ground.stacks
        self.specs: dict[str, Spec] = {stack: start() for stack in self.stacks}
        self.ours: dict[str, dict[str, str]] = {stack: {} for stack in self.stacks}
        self.bases: dict[tuple[str, str], Any] = {}
        self.once: set[str] = set()
        self.given: set[tuple[str, str]] = set()
        self.lulled: set[str] = set()
        """Blocks that came along with a second agent of which no manifest spoke."""
        self.refused: Counter[str] = Counter()
        self.words: Counter[str] = Counter()
        self.number = self.faults = 0
        self.quick = False

    # --- a run of lettaform

    def run(self, stack: str, what: Callable[[], Any], fault: Fault | None = None, ground: Ground | None = None) -> Ran:
        """Call into lettaform; anything but a LettaformError is a bug."""
        ground = ground or self.ground
        ground.manifest = build(stack, self.specs[stack], ground.model, ground.embedding)
        ground.wire.begin(fault)
        plan: Plan | None = None
        report: Report | None = None
        error: LettaformError | None = None
        killed = False
        with ground.driven():
            try:
                made = what()
                parts = made if isinstance(made, tuple) else (made,)
                plan = next((part for part in parts if isinstance(part, Plan)), None)
                report = next((part for part in parts if isinstance(part, Report)), None)
            except LettaformError as caught:
                error = caught
            except BaseException as caught:
                if not (ground.wire.dead and _only(caught, Killed)):
                    raise
                killed = True
        ran = Ran(plan, report, error, list(ground.wire.writes), killed)
        self.discreet(ran)
        if killed or (fault and fault.happened):  # a killed holder's lock; here its process lives on
            self.release(stack, ground)
        return ran

    def release(self, stack: str, ground: Ground) -> None:
        """What a person does after a kill, or a lease does by itself."""
        ground.settle()
        for identity in ground.ask("GET", "/v1/identities/", params={"identifier_key": f"lettaform:lock:{stack}"}):
            ground.ask("DELETE", f"/v1/identities/{identity['id']}")

    def plan(self, stack: str, options: PlanOptions, ground: Ground | None = None) -> Ran:
        """A plan; it writes nothing, ever."""
        at = ground or self.ground
        ran = self.run(stack, lambda: flow.plan(flow.Source(at.folder), at.connection(), options), ground=at)
        _hold(not ran.writes, "a plan wrote", ran.writes)
        return ran

    def apply(self, stack: str, options: PlanOptions, fault: Fault | None = None, ground: Ground | None = None) -> Ran:
        at = ground or self.ground
        return self.run(stack, lambda: flow.apply(flow.Source(at.folder), at.connection(), options), fault, at)

    def discreet(self, ran: Ran) -> None:
        """A secret is nowhere but where it belongs."""
        told = [str(ran.error), repr(ran.plan), str(getattr(ran.error, "problems", ""))]
        if ran.plan:
            told.append(json.dumps(data.plan(ran.plan), default=str))
        if ran.report:
            told += [str(outcome.error) for outcome in ran.report.outcomes]
        for method, path, body in ran.writes:
            rest = {key: value for key, value in (body or {}).items() if key not in ("secrets", "config", "api_key")}
            told.append(f"{method} {path} {json.dumps(rest)}")
        _hold(not any(secret in text for secret in SECRETS for text in told), "a secret is told")

    # --- one step

    def play(self, calls: Sequence[Call]) -> None:
        """One stack lives already, the other does not; then step by step. Whatever is broken is raised."""
        self.applied(self.stacks[0], PlanOptions())
        for name, numbers in calls:
            self.step(name, numbers)

    def step(self, name: str, numbers: Sequence[int]) -> None:
        self.number += 1
        getattr(self, f"do_{name}")(Picks(numbers))

    @contextmanager
    def judged(self, stack: str, ran: list[Ran], options: PlanOptions | None = None) -> Iterator[None]:
        """Hold what lives before against what lives after one run of lettaform on `stack`."""
        before = self.ground.look()
        yield
        after = self.ground.look()
        _Judge(self, stack, before, after, ran, options or PlanOptions()).judge()

    def options(self, stack: str, pick: Picks) -> PlanOptions:
        addresses = [str(a) for a in build(stack, self.specs[stack], "m/m", "e/e").objects]
        some = pick(addresses) if addresses else "agents.*"
        options = (
            *(PlanOptions(),) * 4,
            *(PlanOptions(prune=True),) * 2,
            PlanOptions(prune=True, allow_destroy=("*",)),
            PlanOptions(allow_destroy=("*",)),
            PlanOptions(reseed=(some,)) if addresses else PlanOptions(),
            PlanOptions(target=(some.split(".memory")[0],)) if addresses else PlanOptions(),
            PlanOptions(exclude=(some,)) if addresses else PlanOptions(),
        )
        chosen: PlanOptions = pick(options)
        return chosen

    def endured(self, stack: str, options: PlanOptions, tries: int) -> int:
        """An apply through whatever breaks, as often as it takes, at most `tries` times. Returns how often it took."""
        self.log(f"endure {stack} {options}")
        runs: list[Ran] = []
        with self.judged(stack, runs, options):
            while not runs or (len(runs) < tries and not self.over(runs[-1])):
                runs.append(self.apply(stack, options))
                self.release(stack, self.ground)
        if not runs[-1].error:
            _hold(runs[-1].done, f"not done after {tries} tries", runs[-1].error, _failures(runs[-1]))
        return len(runs)

    def over(self, ran: Ran) -> bool:
        return ran.done or isinstance(ran.error, PlanError)

    # --- what people do

    def do_change(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        self.specs[stack] = change(self.specs[stack], pick)
        self.log(f"change {stack}: {json.dumps(self.specs[stack])}")

    def do_apply(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        self.applied(stack, self.options(stack, pick))

    def applied(self, stack: str, options: PlanOptions) -> Ran:
        """An apply without faults. It is refused with nothing written, or goes through and settles."""
        self.log(f"apply {stack} {options}")
        runs: list[Ran] = []
        with self.judged(stack, runs, options):
            runs.append(self.apply(stack, options))
        self.followed(stack, runs[0], options)
        return runs[0]

    def followed(self, stack: str, ran: Ran, options: PlanOptions) -> None:
        if ran.error:
            self.refusal(stack, ran)
            return
        self.refused[stack] = 0
        _hold(ran.done, "an apply failed", _failures(ran))
        self.settled(stack, options)

    def refusal(self, stack: str, ran: Ran) -> None:
        """Only a plan may say no, and then nothing was written."""
        error = ran.error
        problems = getattr(error, "problems", ()) or (error,)
        self.log(f"refused: {[str(each) for each in problems]}")
        _hold(isinstance(error, PlanError), "refused for no reason of a plan", error)
        _hold(not ran.writes, "refused, and written all the same", ran.writes)
        self.words.update(_shape(str(each)) for each in problems)
        self.refused[stack] += 1
        if self.refused[stack] > 2:
            self.reset(stack)

    def settled(self, stack: str, options: PlanOptions) -> None:
        """The plan after an apply is empty; and the one after that."""
        for asked in (replace(options, reseed=()),) * (1 if self.quick else 2):
            ran = self.plan(stack, asked)
            _hold(ran.plan is not None, "no plan after an apply", ran.error)
            _hold(not ran.plan, "not settled", _shown(ran.plan))

    def do_fault(self, pick: Picks) -> None:
        """A run that breaks, and the same again: the same end as without the fault, ids aside."""
        stack, kind = pick(self.stacks), pick(KINDS)
        options, at = self.options(stack, pick), pick(range(1, 40))
        self.log(f"fault {stack} {kind} at {at} {options}")
        straight = None
        if isinstance(self.ground, InMemory):
            twin = self.ground.twin()
            ran = self.apply(stack, options, ground=twin)
            straight = twin.look() if ran.done else None
        before = self.ground.look()
        runs: list[Ran] = []
        fault = Fault(kind, at)
        with self.judged(stack, runs, options):
            runs.append(self.apply(stack, options, fault))
            self.faults += fault.happened
            if not (runs[0].done or (isinstance(runs[0].error, PlanError) and not runs[0].writes)):
                self.log(f"broken: {runs[0].error} {_failures(runs[0])} killed={runs[0].killed}; again")
                runs.append(self.apply(stack, options))
        self.followed(stack, runs[-1], options)
        if straight is not None and runs[-1].done:
            _same(before, straight, self.ground.look())

    def do_saved(self, pick: Picks) -> None:
        """A saved plan works on an unmoved observed, and is stale, or does what it said, on a moved one."""
        stack = pick(self.stacks)
        options, moves = self.options(stack, pick), pick((False, True))
        planned = self.plan(stack, options)
        if planned.plan is None:
            return
        at, file = self.ground, self.ground.folder / f"plan-{self.number}.json"
        flow.save(planned.plan, file)
        _hold(not any(secret in file.read_text() for secret in SECRETS), "a secret stands in a saved plan")
        self.log(f"saved {stack} {options} moves={moves}")
        if moves:
            self.somebody(pick)
        runs: list[Ran] = []
        with self.judged(stack, runs, options):
            source = flow.Source(at.folder)
            runs.append(self.run(stack, lambda: flow.apply_saved(file, source, at.connection())))
        (ran,) = runs
        if moves and isinstance(ran.error, PlanError):
            _hold(not ran.writes, "stale, and written all the same", ran.writes)
            return
        _hold(not isinstance(ran.error, Stale), "stale on an unmoved observed", getattr(ran.error, "problems", None))
        self.followed(stack, ran, options)

    def do_destroy(self, pick: Picks) -> None:
        stack = pick(self.stacks)
        self.applied(stack, PlanOptions(destroy=True, allow_destroy=pick((("*",), ()))))

    def do_move(self, pick: Picks) -> None:
        """`state mv`, and the manifest with it."""
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
        copies = [id for id, body in self.ground.look().items() if self.claims(body, stack) and not self.owner(id)]
        if pick((True, False)) and not copies:  # without the record a copy may be taken for an original that is gone
            self.unrecord(stack)
            for id, body in self.ground.look().items():  # without mark and record it is nobody's
                if id in self.ours[stack] and not self.claims(body, stack):
                    self.ours[stack].pop(id)
        self.log(f"state rebuild {stack}")
        self.state(stack, flow.state_rebuild, {})

    def state(self, stack: str, what: Callable[..., Any], renamed: Mapping[str, str | None]) -> None:
        """A verb of `state` changes marks alone."""
        at = self.ground
        before = at.look()
        ran = self.run(stack, lambda: what(flow.Source(at.folder), at.connection()))
        after = at.look()
        if ran.error:
            self.log(f"refused: {ran.error}")
            _hold(not ran.writes, "refused, and written all the same", ran.writes)
            _hold(isinstance(ran.error, PlanError), "refused for no reason of a plan", ran.error)
        _hold({k for k in before if not _recorded(before[k])} == {k for k in after if not _recorded(after[k])}, "made")
        for id, body in before.items():
            if not _recorded(body):
                _hold(_unmarked(body) == _unmarked(after[id]), f"more than marks of {id}", body, after[id])
                claim = _claim(after[id], stack) if body != after[id] and id not in self.ours[stack] else None
                if claim and bringer(claim) in self.ours[stack].values():  # what an agent of ours has brought is ours
                    self.ours[stack][id] = claim
                _hold(id in self.ours[stack] or body == after[id], f"{id} is not ours", body, after[id])
        if not ran.error:
            for id, address in list(self.ours[stack].items()):
                top, _, part = address.partition(".memory.")
                boss = bringer(top)
                if top in renamed or boss in renamed:
                    new = renamed[top if top in renamed else str(boss)]
                    new = f"{top.partition('.')[0]}.{new.partition('.')[2]}{SECOND}" if new and boss else new
                    left = new is None and id in after and _claim(after[id], stack)
                    _hold(not left, f"{address} ({id}) was forgotten, and is marked")
                    self.ours[stack].pop(id)
                    if new is not None:
                        self.ours[stack][id] = f"{new}.memory.{part}" if part else new
                    self.bases.pop((id, "value"), None)

    def do_import(self, pick: Picks) -> None:
        """Adopt something foreign under a declared address."""
        stack, observed = pick(self.stacks), self.ground.look()
        addresses = [a for a, d in build(stack, self.specs[stack], "m/m", "e/e").objects.items() if not d.external]
        addresses = [a for a in addresses if not a.parent]
        if not addresses:
            return
        address = pick(addresses)
        able = [id for id in observed if SECTIONS[observed[id]["kind"]] == address.section and not self.owner(id)]
        copies = {id for each in observed.values() for id in each.get("isolated_block_ids", ())}
        able = [id for id in able if not _recorded(observed[id]) and id not in copies]
        able = [id for id in able if observed[id].get("tool_type") != OFFERED]
        if not able:
            return
        id, at = pick(able), self.ground
        self.log(f"import {stack} {address} {id}")
        ran = self.run(stack, lambda: flow.adopt(flow.Source(at.folder), at.connection(), str(address), id))
        after = at.look()
        if ran.error:
            self.log(f"refused: {ran.error}")
            _hold(isinstance(ran.error, PlanError), "refused for no reason of a plan", ran.error)
            _hold(not ran.writes, "refused, and written all the same", ran.writes)
        for each, body in observed.items():
            if not _recorded(body):
                _hold(each in after and _unmarked(body) == _unmarked(after[each]), "more than marks", each, body)
        if ran.error:
            return
        known = self.ours[stack]
        for old, where in list(known.items()):  # who held the address is a copy from now on
            if where == str(address) and old != id:
                for part, there in list(known.items()):
                    top = there.partition(".memory.")[0]
                    if where in (top, bringer(top)):
                        known.pop(part)
        known[id] = str(address)
        for each in after.values():
            claim = _claim(each, stack)
            if claim and claim.startswith(f"{address}.memory.") and each["id"] in after[id].get("blocks", ()):
                known[each["id"]] = claim
        self.once |= known.keys()

    # --- what agents and strangers do

    def do_somebody(self, pick: Picks) -> None:
        self.somebody(pick)

    def somebody(self, pick: Picks) -> None:
        """One edit by an agent or a stranger."""
        observed = self.ground.look()
        mine = {id: body for stack in self.stacks for id in self.ours[stack] if (body := observed.get(id))}
        agents = sorted((b for b in mine.values() if b["kind"] == "agent"), key=_age)
        blocks = sorted((b for b in mine.values() if b["kind"] == "block"), key=_age)
        tools = sorted((b for b in mine.values() if b["kind"] == "tool"), key=_age)
        others = sorted((b for b in mine.values() if b["kind"] not in ("agent", "block", "tool")), key=_age)
        deeds: list[Callable[[Picks], str | None]] = [self.foreign]
        if agents:
            agent = pick(agents)
            deeds += [lambda p: self.of_agent(agent, p)] * 6 + [lambda p: self.to_agent(agent, p)] * 5
            deeds += [lambda p: self.clone(agent)]
        if blocks:
            block = pick(blocks)
            deeds += [lambda p: self.to_block(block, p)] * 5
        if tools:
            deeds += [lambda p: self.to_tool(pick(tools), p)] * 3
        if others:
            other = pick(others)
            deeds += [lambda p: self.to_other(other, p)] * 8
        self.log(f"somebody: {pick(deeds)(pick)}")

    def of_agent(self, agent: dict[str, Any], pick: Picks) -> str:
        """What an agent does with its memory tool."""
        ask, core = self.ground.ask, f"/v1/agents/{agent['id']}/core-memory/blocks"
        held, deed = sorted(agent["labels"]), pick(("write", "write", "make", "detach", "relabel", "describe"))
        if deed == "make" or not held:
            label = pick(("human", "notes", "org", "own"))
            made = ask("POST", "/v1/blocks/", {"label": label, "value": f"made {self.number}"})
            ask("PATCH", f"{core}/attach/{made['id']}")
            return f"agent {agent['name']} makes {label} {made['id']}"
        label = pick(held)
        id = agent["labels"][label]
        if deed == "detach":
            ask("PATCH", f"{core}/detach/{id}")
        else:
            options: dict[str, Any] = {"write": {"value": pick((f"I learnt {self.number}.", "One.", "Two."))}}
            options |= {"relabel": {"label": pick(("me", "notes", "human"))}, "describe": {"description": "my words"}}
            ask("PATCH", f"/v1/blocks/{id}", options[deed])
        return f"agent {agent['name']} {deed} {label}"

    def to_agent(self, agent: dict[str, Any], pick: Picks) -> str:
        """What strangers do to an agent of ours."""
        ask, path = self.ground.ask, f"/v1/agents/{agent['id']}"
        meta, tags = agent["metadata"], agent["tags"]
        marks = [tag for tag in tags if tag.startswith("lettaform:")]
        bodies: dict[str, Any] = {
            "tag": {"tags": [*tags, "theirs"]},
            "metadata": {"metadata": {**meta, "theirs": [1, None]}},
            "secrets": {"secrets": {**agent["secrets"], "THEIRS": "kept22"}},
            "system": {"system": "You follow."},
            "describe": {"description": "a stranger's"},
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
            "detach rest": None,
            "talk": None,
            "lead": None,
            "sleep": {"enable_sleeptime": True},
            "wake": {"enable_sleeptime": False},
        }
        deed = pick(sorted(bodies))
        if deed == "delete":
            ask("DELETE", path)
        elif deed == "detach" and agent["blocks"]:
            ask("PATCH", f"{path}/core-memory/blocks/detach/{pick(agent['blocks'])}")
        elif deed == "attach block":
            made = ask("POST", "/v1/blocks/", {"label": pick(("theirs", "org", "notes")), "value": "theirs"})
            ask("PATCH", f"{path}/core-memory/blocks/attach/{made['id']}")
        elif deed == "attach tool":
            tool = next(t for t in ask("GET", "/v1/tools/", params={"limit": 1000}) if t["name"] == "fetch_webpage")
            ask("PATCH", f"{path}/tools/attach/{tool['id']}")
            self.given.add((agent["id"], tool["id"]))
        elif deed == "detach tool" and agent["tools"]:
            ask("PATCH", f"{path}/tools/detach/{pick(agent['tools'])}")
        elif deed == "attach archive" and not agent["archives"]:
            made = ask("POST", "/v1/archives/", {"name": "theirs", "embedding": self.ground.embedding})
            ask("PATCH", f"{path}/archives/attach/{made['id']}")
        elif deed == "talk":
            ask("POST", "/v1/conversations/", {"summary": "theirs"}, params={"agent_id": agent["id"]})
        elif deed == "lead":
            lead = {"manager_type": "supervisor", "manager_agent_id": agent["id"]}
            ask("POST", "/v1/groups/", {"agent_ids": [agent["id"]], "description": "theirs", "manager_config": lead})
        elif deed == "detach rest":
            for part in ("archives", "folders", "identities"):
                for id in agent[part]:
                    ask("PATCH", f"{path}/{part}/detach/{id}")
        elif deed == "sleep":
            before = self.ground.look().keys()
            ask("PATCH", path, bodies[deed])
            self.lulled |= self.ground.look().keys() - before
        elif bodies[deed]:
            ask("PATCH", path, bodies[deed])
        return f"stranger to {agent['name']} {agent['id']}: {deed}"

    def to_block(self, block: dict[str, Any], pick: Picks) -> str:
        ask, path, tags = self.ground.ask, f"/v1/blocks/{block['id']}", block["tags"]
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
        deed = pick(sorted(bodies))
        if deed == "delete":
            ask("DELETE", path)
        elif deed == "lend":
            self.create_foreign_agent(block_ids=[block["id"]])
        else:
            ask("PATCH", path, bodies[deed])
        return f"stranger to block {block['label']} {block['id']}: {deed}"

    def to_tool(self, tool: dict[str, Any], pick: Picks) -> str:
        ask, path = self.ground.ask, f"/v1/tools/{tool['id']}"
        deed = pick(("overwrite", "wipe tags", "tag", "limit", "delete", "lend"))
        if deed == "overwrite":
            source = fleet.SOURCE.format(name=tool["name"], about="Somebody else's.")
            ask("PUT", "/v1/tools/", {"source_code": source, "source_type": "python", "tags": ["theirs"]})
        elif deed == "delete":
            ask("DELETE", path)
        elif deed == "lend":
            self.create_foreign_agent(tool_ids=[tool["id"]])
        else:
            tags = {"wipe tags": {"tags": []}, "tag": {"tags": [*tool["tags"], "theirs"]}}
            ask("PATCH", path, tags.get(deed, {"return_char_limit": 555}))
        return f"stranger to tool {tool['name']}: {deed}"

    def to_other(self, body: dict[str, Any], pick: Picks) -> str:
        """What strangers do to archives, folders, identities, groups and conversations of ours."""
        ask, kind = self.ground.ask, body["kind"]
        path = f"/v1/{PATHS[kind]}/{body['id']}"
        text = WORDED.get(kind)
        mark = f"\n[lettaform {' '.join(tag.partition('=')[2] for tag in reversed(body['tags']))}]"
        deed = pick(("delete", "write", "rename", "overwrite", "fill", "fill", "empty"))
        if deed == "delete":
            ask("DELETE", path)
        elif deed == "write":  # beside our mark
            more = {"metadata": {**(body.get("metadata") or {}), "theirs": 1}}
            ask("PATCH", path, {text: f"theirs{mark}"} if text and body["tags"] else more)
        elif deed == "rename" and kind == "group":
            ask("PATCH", path, {"manager_config": {"manager_type": body["manager_type"], "max_turns": 7}})
        elif deed == "rename":
            ask("PATCH", path, {"name": "theirs"})
        elif deed == "overwrite":  # and our mark with it
            ask("PATCH", path, {text: "theirs"} if text else {"metadata": {}})
        elif kind == "archive":
            texts = [{"text": "Theirs."}] if deed == "fill" else []
            for passage in self.ground.passages(body["id"]) if deed == "empty" else ():
                ask("DELETE", f"{path}/passages/{passage['id']}")
            for each in texts:
                ask("POST", f"{path}/passages", each)
        elif kind == "folder":
            if deed == "fill":
                ask("POST", f"{path}/upload", files={"file": ("theirs.md", b"Theirs.", "text/markdown")})
            for file in ask("GET", f"{path}/files", params={"limit": 1000}) if deed == "empty" else ():
                ask("DELETE", f"{path}/{file['id']}")
        elif kind == "identity":
            ask("PATCH", path, {"properties": [{"key": "theirs", "value": "1", "type": "string"}]})
        elif kind == "group" and body["manager_type"] != "sleeptime":
            ask("PATCH", path, {"agent_ids": body["agent_ids"][:1] if deed == "empty" else body["agent_ids"][::-1]})
        return f"stranger to {kind} {body['id']}: {deed}"

    def create_foreign_agent(self, **told: Any) -> None:
        """An agent that nobody declared, of a name that somebody did."""
        body = {"name": "ann", "model": self.ground.model, "embedding": self.ground.embedding, "system": "Mine."}
        self.ground.ask("POST", "/v1/agents/", {**body, "include_base_tools": False, **told})

    def foreign(self, pick: Picks) -> str:
        """Somebody makes something of a name that is ours."""
        ask, stack, what = self.ground.ask, pick(self.stacks), pick(("agent", "block", "tool", "archive", "folder"))
        if what == "agent":
            self.create_foreign_agent(memory_blocks=[{"label": "persona", "value": "mine"}], tags=["x"])
        elif what == "block":
            ask("POST", "/v1/blocks/", {"label": pick(("org", "persona")), "value": "mine"})
        elif what == "archive":
            ask("POST", "/v1/archives/", {"name": pick(("sold", "Sold")), "embedding": self.ground.embedding})
        elif what == "folder":
            ask("POST", "/v1/folders/", {"name": f"{stack}-prices", "embedding": self.ground.embedding})
            ask("POST", "/v1/identities/", {"identifier_key": f"{stack}-shop", "name": "m", "identity_type": "org"})
        else:
            name = f"{stack.replace('-', '_')}_{pick(('t2', 't1_new', 'other'))}"
            tools = ask("GET", "/v1/tools/", params={"limit": 1000, "name": name})
            if not tools:
                source = fleet.SOURCE.format(name=name, about="Mine.")
                ask("PUT", "/v1/tools/", {"source_code": source, "source_type": "python"})
        return f"a foreign {what}"

    def clone(self, agent: dict[str, Any]) -> str:
        exported = self.ground.ask("GET", f"/v1/agents/{agent['id']}/export")
        files = {"file": ("it.af", json.dumps(exported), "application/json")}
        self.ground.ask("POST", "/v1/agents/import", files=files)
        return f"a clone of {agent['name']}"

    def unrecord(self, stack: str) -> None:
        for id, body in self.ground.look().items():
            if _recorded(body) and f"lettaform:stack={stack}" in body["tags"]:
                self.ground.ask("DELETE", f"/v1/blocks/{id}")

    def reset(self, stack: str) -> None:
        """Refused again and again: begin anew, with nothing left of the stack."""
        self.log(f"reset {stack}")
        words = (f"{stack.replace('-', '_')}_", f"{stack}-")
        for id, body in sorted(self.ground.look().items(), key=_last):
            unique = UNIQUE.get(body["kind"], "id")
            named = body[unique].startswith(words) or body.get("manager_agent_id") in self.ours[stack]
            if id in self.ours[stack] or f"lettaform:stack={stack}" in body["tags"] or named:
                self.ground.ask("DELETE", f"/v1/{PATHS[body['kind']]}/{id}")
        self.specs[stack], self.ours[stack], self.refused[stack] = self.start(), {}, 0

    def tidy(self) -> None:
        """Everything that is nobody's goes."""
        for id, body in sorted(self.ground.look().items(), key=_last):
            if not self.owner(id) and not _recorded(body):
                self.ground.ask("DELETE", f"/v1/{PATHS[body['kind']]}/{id}")

    def clear(self) -> None:
        """Remove whatever was made."""
        for id, body in sorted(self.ground.look().items(), key=_last):
            self.ground.ask("DELETE", f"/v1/{PATHS[body['kind']]}/{id}")
        for stack in self.stacks:
            self.release(stack, self.ground)
        self.ground.raw.close()

    # --- who owns what

    def owner(self, id: str) -> str | None:
        return next((stack for stack in self.stacks if id in self.ours[stack]), None)

    def claims(self, body: Mapping[str, Any], stack: str) -> bool:
        return f"lettaform:stack={stack}" in body["tags"] and not _recorded(body)


class _Judge:
    """What one run of lettaform on one stack did, against what it may do."""

    def __init__(
        self, machine: Machine, stack: str, before: Body, after: Body, runs: list[Ran], options: PlanOptions
    ) -> None:
        self.machine, self.stack, self.before, self.after = machine, stack, before, after
        self.runs, self.options, self.spec = runs, options, machine.specs[stack]
        self.ours = machine.ours[stack]
        self.moved = dict(self.spec["moved"])
        plans = [ran.plan for ran in runs if ran.plan]
        self.changes = [change for plan in plans for change in plan.changes]
        self.shown: dict[str, set[str]] = {}
        for each in self.changes:
            self.shown.setdefault(str(each.address), set()).update(d.path for d in each.fields_changed)
        # a run that was cut short told nobody what it had planned; the runs after it did the rest
        self.blind = any(ran.plan is None and ran.writes for ran in runs)

    def judge(self) -> None:
        own, adopted = set(self.ours), self.adopted
        for id, body in self.before.items():
            if _recorded(body) or body.get("tool_type") == OFFERED:
                continue
            now = self.after.get(id)
            if now is None:
                self.dead(id, body)
                if body["kind"] == "agent" and body["name"].endswith("-sleeptime"):
                    self.bereft(body)
            elif body != now:
                mine = id in own or id in adopted
                if not mine and body["kind"] == "block" and self.machine.claims(body, self.stack):
                    # memory of an agent whose address another was given: our mark may come off, and no more
                    mine = _unmarked(body) == _unmarked(now)
                _hold(mine or self.lost(body, now), f"{id} is not of stack {self.stack}", body, now)
                if mine:
                    self.changed(id, body, now)
        for ran in self.runs:
            self.aimed(ran, own | adopted)
        self.account(adopted)
        if self.runs[-1].done:
            self.whole()

    @cached_property
    def adopted(self) -> set[str]:
        """Blocks that hang on our agents under a declared label, and nobody's; what survived of our own."""
        found = set()
        for id, address in self.ours.items():
            agent = self.before.get(id)
            if agent is None or agent["kind"] != "agent":
                continue
            top = self.moved_to(address)
            labels = self.spec["agents"].get(top.partition(".")[2], {}).get("memory", {})
            for label, block in agent["labels"].items():
                if label in labels and not self.machine.owner(block):
                    found.add(block)
            # what it has brought, and a kill kept from being marked
            asked = self.spec["agents"].get(top.partition(".")[2], {}).get("sleeptime")
            if group := asked and self.before.get(agent["managed_group"] or ""):
                second = [self.before[each] for each in group["agent_ids"] if each in self.before]
                brought = {group["id"], *group["agent_ids"]}
                brought |= {each["labels"]["memory_persona"] for each in second if "memory_persona" in each["labels"]}
                found |= {each for each in brought if not self.machine.owner(each)}
        return found

    def moved_to(self, address: str) -> str:
        """Where an address is now, after every `moved`."""
        top, sign, part = address.partition(".memory.")
        boss, first = bringer(top), top
        for _ in range(9):
            top = self.moved.get(top, top)
            boss = self.moved.get(boss, boss) if boss else None
        if boss and top == first:
            top = f"{top.partition('.')[0]}.{boss.partition('.')[2]}{SECOND}"
        return f"{top}{sign}{part}"

    def declared(self, address: str) -> Spec | None:
        top, _, part = address.partition(".memory.")
        section, _, key = top.partition(".")
        if boss := bringer(top):
            asked = (self.declared(boss) or {}).get("sleeptime")
            named = asked if isinstance(asked, dict) else {}
            words = {name: value for name, value in named.items() if (name == "frequency") is (section == "groups")}
            return ({} if part else words) if asked else None
        told = self.spec[section].get(key)
        if told is None or not part:
            return dict(told) if told is not None else None
        found = told.get("memory", {}).get(part)
        return dict(found) if found is not None else None

    # --- deaths

    def bereft(self, body: Mapping[str, Any]) -> None:
        """What an agent was born with dies with it, unless somebody else has it."""
        persona = body["labels"].get("memory_persona")
        kept = self.after.get(persona or "", {})
        held = {id for each in self.after.values() for id in each.get("blocks", ()) if each["kind"] == "agent"}
        named = kept.get("label") == "memory_persona" and _claim(kept, self.stack) is None
        orphan = named and persona not in held | self.machine.lulled
        _hold(not orphan, f"{persona} is left of {body['name']}, and hangs on nothing", kept)

    def dead(self, id: str, body: Mapping[str, Any]) -> None:
        told = {str(each.id): str(each.address) for each in self.changes if each.action in ("delete", "replace")}
        address = self.ours.get(id) or (told.get(id) if id in self.adopted else None)
        gone = [each for other, each in self.before.items() if other not in self.after]
        if any(id in each.get("isolated_block_ids", ()) for each in gone):
            return  # a copy that a conversation has to itself goes with it
        if any(id in note for change in self.changes for note in change.notes):
            return  # what a stranger let our agent bring goes with it, and so do talks with it, and that was said
        if address is None and body.get("agent_id") in self.ours.keys() - self.after.keys():
            counted = any(" conversations, " in note for change in self.changes for note in change.notes)
            _hold(self.blind or counted, f"the death of a talk ({id}) was not shown", body)
            return
        if body.get("manager_type") == "sleeptime" and body["manager_agent_id"] in self.ours.keys() - self.after.keys():
            return  # and so does what binds them
        _hold(address is not None, f"{id} was not of stack {self.stack}, and is gone", body)
        assert address is not None
        removed = dict(self.spec["removed"])
        here = self.moved_to(address)
        tops = {each.partition(".memory.")[0] for each in (address, here)}
        said = {address, here, *tops, *filter(None, map(bringer, tops))}
        consents = {
            "destroy": self.options.destroy,
            "prune": self.options.prune and self.declared(here) is None,
            "taken over": address.endswith(".memory_persona") and self.succeeded(address, body),
            "removed": any(removed.get(each) for each in said),
            "replace": body["kind"] not in ("block", "tool") and any(map(self.allowed, said)),
            "holds nothing": body["kind"] == "group" and (id, "replace") in {(c.id, c.action) for c in self.changes},
        }
        _hold(any(consents.values()), f"{address} ({id}) died without consent", body)
        _hold(self.blind or id in told, f"the death of {address} was not shown")

    def succeeded(self, address: str, body: Mapping[str, Any]) -> bool:
        """Whether what the server made in its place says what it said."""
        others = (each for id, each in self.after.items() if id not in self.before)
        return any(_claim(each, self.stack) == address and each["value"] == body["value"] for each in others)

    def allowed(self, address: str) -> bool:
        return any(fnmatchcase(address, pattern) for pattern in self.options.allow_destroy)

    # --- changes

    def changed(self, id: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Fields written are fields shown, and fields declared; theirs stay."""
        address = self.moved_to(self.ours.get(id) or _claim(new, self.stack) or "")
        told, shown = self.declared(address), self.shown.get(address, set())
        paths = {path.split(".")[0] for path in shown}
        kind = old["kind"]
        for name in sorted({*old, *new} - {"labels", "kind"}):
            was, now = old.get(name), new.get(name)
            if was == now or (name == "tags" and _plain_tags(was) == _plain_tags(now)):
                continue
            if name == "metadata" and (_others(was) == _others(now)):
                continue
            if name in (*RELATIONS, "agent_ids"):
                have, had = set(now or ()), set(was or ())
                if have < had and not (had - have) & self.after.keys():
                    continue  # it died
            if name == "managed_group" and {was, now} & {*self.ours, *(set(self.after) - set(self.before))}:
                continue  # a declared group says who leads it
            causes = CAUSES.get(kind, {}).get(name, frozenset({name}))
            born = name == "blocks" and any(str(a).startswith(f"{address}.memory.") for a in self.shown)
            boss = next((i for i, where in self.ours.items() if self.moved_to(where) == bringer(address)), None)
            if boss in self.after and name == "blocks" and "memory" not in address:  # the server gives both the same
                given = set(self.before.get(boss, {}).get("blocks", ())) ^ set(self.after[boss]["blocks"])
                if set(was or ()) ^ set(now or ()) <= given:
                    continue
            _hold(self.blind or paths & causes or born, f"{address}: {name} was written and not shown", was, now, paths)
            declared = {*(told or {}), "label", "name", "about"} | ({"source"} if kind == "tool" else set())
            declared |= {"args"} if kind == "mcp_server" else set()
            declared |= {"memory"} if bringer(address) else set()
            declared |= {fleet.NAMED[SECTIONS[kind]]}
            _hold(declared & causes or {"name", "about"} & causes, f"{address}: {name} is not declared", was, now)
        self.kept(address, told or {}, old, new)
        if kind == "block" and old["value"] != new["value"]:
            self.seed(id, address, told or {}, old["value"], new["value"])

    def kept(self, address: str, told: Spec, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """What strangers put there."""
        policy = told.get("policy", {})
        if "theirs" in old["tags"] and policy.get("tags") != "enforce":
            _hold("theirs" in new["tags"], f"{address}: a stranger's tag is gone", old["tags"], new["tags"])
        for name in ("metadata", "secrets"):
            theirs = {k: v for k, v in (old.get(name) or {}).items() if k.lower() == "theirs"}
            if theirs and not (name in told and told[name] is None):
                now = {k: v for k, v in (new.get(name) or {}).items() if k.lower() == "theirs"}
                _hold(theirs == now, f"{address}: a stranger's {name} are gone", old[name], new.get(name))
        given = self.machine.given if policy.get("tools") != "enforce" else ()
        for name in RELATIONS:
            lost = set(old.get(name, ())) - set(new.get(name, ())) if policy.get(name) != "enforce" else set()
            strange = [id for id in lost if (id in self.after and not self.used(id)) or (old["id"], id) in given]
            _hold(not strange, f"{address}: a stranger's {name} were detached", strange)

    def used(self, id: str) -> bool:
        """Whether lettaform may have attached it: it was ours once."""
        return id in self.machine.once or self.before.get(id, {}).get("tool_type") == OFFERED

    def seed(self, id: str, address: str, told: Spec, old: str, new: str) -> None:
        policy = told.get("policy", {}).get("value") or ("enforce" if told.get("read_only") is True else "seed")
        asked = any(
            fnmatchcase(each, p) for p in self.options.reseed for each in (address, address.split(".memory")[0])
        )
        _hold(new == (told.get("value") or ""), f"{address}: a value that nobody declared", old, new)
        allowed = policy == "enforce" or (asked and policy in ("seed", "yield"))
        if policy == "yield" and not allowed:
            allowed = self.machine.bases.get((id, "value")) == old
        _hold(allowed, f"{address}: a {policy} was written", old, new)

    # --- requests

    def aimed(self, ran: Ran, own: set[str]) -> None:
        """No write names what is not ours; but for what is attached to ours."""
        made = set(self.after) - set(self.before)
        for method, path, _ in ran.writes:
            ids = targets(path)
            if "/detach/" in path and self.options.allow_destroy and set(ids[1:]) <= own - self.after.keys():
                continue  # what dies with consent is taken off whoever has it
            for id in ids[:1]:
                fine = id in own or id in made or id not in self.before or _recorded(self.before[id])
                _hold(fine, f"{method} {path} is aimed at what is not ours", self.before.get(id))

    def lost(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether a foreign agent only lost what was deleted, with consent, under it."""
        gone = set(self.before) - set(self.after)
        parts = (*RELATIONS, "agent_ids")
        rest = {key for key in (*old, *new) if old.get(key) != new.get(key)} - {*parts, "labels"}
        fallen = {id for part in parts for id in set(old.get(part, ())) ^ set(new.get(part, ()))}
        if set(old.get("folders", ())) - set(new.get("folders", ())):  # with its last folder go the tools for files
            fallen &= self.before.keys()
        if any(body["kind"] == "mcp_server" and id not in self.after for id, body in self.before.items()):
            fallen -= {id for id in fallen if self.before.get(id, {}).get("tool_type") == OFFERED}
        return not rest and fallen <= gone and (self.machine is not None and bool(self.options.allow_destroy))

    # --- the account

    def account(self, adopted: set[str]) -> None:
        """Who owns what from now on."""
        for id in list(self.ours):
            if id not in self.after:
                self.ours.pop(id)
        forgotten = {each.id for each in self.changes if each.action == "forget"}
        for id, body in self.after.items():
            claim = _claim(body, self.stack)
            known = id in self.ours or id in adopted or id not in self.before
            if id in forgotten and not claim:
                self.ours.pop(id, None)
            elif claim and known and not _recorded(body):
                self.ours[id] = claim
        for body in self.after.values():  # told apart from what stands at its address: nobody's from now on
            if _recorded(body) and f"lettaform:stack={self.stack}" in body["tags"]:
                for copy in json.loads(body["value"])["copies"]:
                    self.ours.pop(copy, None)
        self.machine.once |= self.ours.keys()

    def whole(self) -> None:
        """After a success: one object per address, every one of its identity, and nothing new that hangs on nothing."""
        agents = [body for id, body in self.after.items() if body["kind"] == "agent" and id in self.ours]
        held = {id for body in agents for id in body["blocks"]}
        # what an agent took off itself may hang on its second one still, and be made anew where that was asked for
        own = {f"{self.ours[body['id']]}.memory.{label}": id for body in agents for label, id in body["labels"].items()}
        by_address: dict[str, list[str]] = {}
        for id, address in self.ours.items():
            if ".memory." not in address or (id in held and own.get(address, id) == id):
                by_address.setdefault(address, []).append(id)
        twins = {a: ids for a, ids in by_address.items() if len(ids) > 1 and self.declared(a) is not None}
        _hold(not twins, "twins", twins)
        for id, address in self.ours.items():
            fresh = id not in self.before and ".memory." in address and id not in held
            _hold(not fresh, f"{address} ({id}) was made, and hangs on nothing")
        if self.options == PlanOptions() or self.options == PlanOptions(prune=True):
            for section in fleet.FIELDS:
                for key in (key for key, told in self.spec[section].items() if "mcp" not in told):
                    _hold(f"{section}.{key}" in by_address, f"{section}.{key} is not there")
        for id, address in self.ours.items():
            body, told = self.after[id], self.declared(address)
            if body["kind"] != "block":
                continue
            if told is None or "value" not in told:
                self.machine.bases.pop((id, "value"), None)
            elif body["value"] == (told["value"] or "") and told.get("policy", {}).get("value") != "ignore":
                self.machine.bases[id, "value"] = body["value"]


# --- small things ----------------------------------------------------------------------------------------------------


def _hold(fine: object, message: str, *told: Any) -> None:
    if not fine:
        raise Broken("\n  ".join([message, *map(repr, told)]))


def _only(error: BaseException, kind: type[BaseException]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_only(each, kind) for each in error.exceptions)
    return isinstance(error, kind)


def bringer(address: str) -> str | None:
    """Whose `sleeptime` brings what stands at such an address."""
    section, _, key = address.partition(".memory.")[0].partition(".")
    return f"agents.{key.removesuffix(SECOND)}" if key.endswith(SECOND) and section in ("agents", "groups") else None


def _last(item: tuple[str, Mapping[str, Any]]) -> tuple[int, str]:
    """What holds others, before them."""
    kind = item[1]["kind"]
    return {"group": 0, "conversation": 1, "agent": 2}.get(kind, 3), item[0]


def _recorded(body: Mapping[str, Any]) -> bool:
    return any(tag.startswith("lettaform:record") for tag in body["tags"])


def _claim(body: Mapping[str, Any], stack: str) -> str | None:
    if f"lettaform:stack={stack}" not in body["tags"]:
        return None
    return next((tag[len("lettaform:addr=") :] for tag in body["tags"] if tag.startswith("lettaform:addr=")), None)


def _plain_tags(tags: Any) -> list[str]:
    return sorted(tag for tag in tags or () if not tag.startswith("lettaform:"))


def _others(metadata: Any) -> dict[str, Any]:
    return {key: value for key, value in (metadata or {}).items() if key != "lettaform"}


def _unmarked(body: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(body) | {"tags": _plain_tags(body["tags"])}
    return told | ({"metadata": _others(body["metadata"])} if "metadata" in body else {})


def _age(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body.get("created_at") or ""), str(body["id"])


def _failures(ran: Ran) -> list[str]:
    failed = ran.report.outcomes if ran.report else ()
    return [f"{o.step.key}: {o.status} {o.error or o.because}" for o in failed if o.status != "done"]


def _shown(plan: Plan | None) -> list[str]:
    changes = plan.changes if plan else ()
    return [f"{c.action} {c.address} {c.reason} {[(d.path, d.old, d.new) for d in c.fields_changed]}" for c in changes]


def _shape(text: str) -> str:
    """A message without what is particular in it."""
    words = text.split(": ", 1)[-1].split()
    return " ".join(word for word in words if not any(sign in word for sign in "-_.`()0123456789"))[:90]


def _same(before: Body, straight: Body, crooked: Body) -> None:
    """Two ends of one beginning, equal but for the ids of what was made."""
    one, other = _nameless(before, straight), _nameless(before, crooked)
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
    raise Broken("not the same end as without the fault\n  " + "\n  ".join(lines))


def _nameless(before: Body, state: Body) -> dict[str, list[dict[str, Any]]]:
    names: dict[str, str] = {}
    for id, body in state.items():
        if id not in before:
            address = next((tag for tag in body["tags"] if tag.startswith("lettaform:addr=")), "")
            names[id] = f"<{body['kind']} {address or body.get('label') or body.get('name')}>"
    found: dict[str, list[dict[str, Any]]] = {}
    for id, body in state.items():
        told = {key: value for key, value in body.items() if key not in ("created_at", "labels")}
        if _recorded(body):
            record = json.loads(body["value"])
            told["value"] = {key: record.get(key) for key in ("ids", "marks", "protected", "copies", "environment")}
            for address, mark in (record.get("marks") or {}).items():  # digests of ids
                for field in fleet.REFERS.get(address.partition(".")[0], {}).keys() & mark.get("base", {}).keys():
                    mark["base"][field] = None
        if isinstance(told.get("metadata"), dict) and "lettaform" in told["metadata"]:
            # of a block that has a mark of its own, its agent's counts no more
            told["metadata"] = told["metadata"] | {"lettaform": told["metadata"]["lettaform"] | {"parts": None}}
        plain = unordered(json.loads(_named(json.dumps(told), names)))
        found[names.get(id, id)] = sorted([*found.get(names.get(id, id), []), plain], key=repr)
    return found


def _named(text: str, names: Mapping[str, str]) -> str:
    for id, name in names.items():
        text = text.replace(id, name)
    return text
