"""The machine's steps with snapshots: what was kept is restored or rolled back, and the model goes back with it.

What an object was is compared with what it is by the machine itself; only the addresses that a snapshot has are read
from it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lettaform import flow
from lettaform.address import Address
from lettaform.errors import PlanError
from lettaform.model import Change, Plan, PlanOptions
from lettaform.snapshot.restore import restorable
from tests.machine.environment import RELATIONS, Body, Fault, Objects
from tests.machine.fleet import Spec, change
from tests.machine.machine import (
    SLEEPTIME_SUFFIX,
    Machine,
    Picks,
    RunChecker,
    RunResult,
    check,
    failures,
    is_state,
    moved_once,
    without_mark,
)

Changes = Mapping[str, tuple[str, tuple[str, ...]]]
"""Address to the action of a plan and its fields."""
NOT_COMPARED = {
    *("id", "created_at", "labels", "kind", "project_id", "template_id"),
    *("secrets", "env", "args", "api_key_enc"),  # no snapshot has secrets: what exists keeps its own
    *("max_files_open", "per_file_view_window_char_limit"),  # the server derives them from the model
}


@dataclass(frozen=True)
class Kept:
    """A stack at one time, as the machine knows it.

    addresses  id to address of what it owned then, without own blocks that agents had detached
    bases      address to the value of a block at the last apply
    lines      address to the fields that were declared in any run
    given      address of an agent to the tools that others gave it
    planned    what the next apply would have done; None if it would have been refused
    path       the folder of its snapshot
    """

    spec: Spec
    objects: Objects
    addresses: Mapping[str, str]
    bases: Mapping[str, Any]
    lines: Mapping[str, frozenset[str]]
    given: Mapping[str, frozenset[str]]
    planned: Changes | None
    path: Path = field(default_factory=Path)


class Restores(Machine):
    """A machine whose stacks are kept in snapshots, spoilt, and brought back."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.kept: dict[str, list[Kept]] = {stack: [] for stack in self.stacks}

    def reset(self, stack: str) -> None:
        super().reset(stack)
        self.kept[stack] = []

    # --- take

    def do_snapshot(self, pick: Picks) -> None:
        """A snapshot, perhaps despite a fault."""
        stack = pick(self.stacks)
        self.keep(stack, self.drawn_fault(pick))

    def keep(self, stack: str, fault: Fault | None = None) -> Kept | None:
        """Take a snapshot: nothing is written on the server, and it is whole, or not there. None if it is refused."""
        self.log(f"snapshot {stack} {fault}")
        before, directory = self.environment.all_objects(), self.environment.folder / "kept" / stack
        known = {path for path, _ in flow.snapshot_list(directory)}
        runs = self.run_despite(stack, lambda: flow.snapshot_create(*self.at(), directory), fault)
        check(not any(result.writes for result in runs), "a snapshot wrote", runs)
        check(before == self.environment.all_objects(), "a snapshot changed something")
        new = [path for path, _ in flow.snapshot_list(directory) if path not in known]
        check_whole(new)
        kept, error = self.remember(stack), runs[-1].error
        if error:
            self.log(f"refused: {error}")
            check(kept.planned is None, "a snapshot is refused, and a plan is not", error, error.problems)
            return None
        path = runs[-1].value
        check(path in new and len(new) <= len(runs), "other folders than that of the snapshot", new, path)
        found = self.run(stack, lambda: flow.snapshot_diff(*self.at(), path)).value
        check(not found.changes, "a new snapshot differs from the server", [shown(each) for each in found.changes])
        self.done["snapshot"] += 1
        kept = Kept(**{**vars(kept), "path": path})
        self.kept[stack].append(kept)
        return kept

    def at(self) -> tuple[flow.Source, flow.Connection]:
        return flow.Source(self.environment.folder), self.environment.connection()

    def remember(self, stack: str) -> Kept:
        """The stack as it is now."""
        objects, ours = self.environment.all_objects(), self.ours[stack]
        agents = {address: objects[id] for id, address in ours.items() if id in objects}
        addresses = {
            id: address
            for id, address in ours.items()
            if id in objects and _is_attached(id, agents.get(address.partition(".memory.")[0]), address)
            # an own block from which others took the mark belongs to them
            if ".memory." not in address or any(tag.startswith("lettaform:addr=") for tag in objects[id]["tags"])
        }
        return Kept(
            copy.deepcopy(self.specs[stack]),
            objects,
            addresses,
            {ours[id]: base for (id, _), base in self.bases.items() if id in addresses},
            {address: frozenset(self.lines[id]) for id, address in addresses.items()},
            {
                address: frozenset(tool for agent, tool in self.given if agent == id and tool in objects[id]["tools"])
                for id, address in addresses.items()
                if objects[id]["kind"] == "agent"
            },
            self.changes(stack),
        )

    def changes(self, stack: str) -> Changes | None:
        """What the next apply would do. What it only marks is left out."""
        plan = self.plan(stack, PlanOptions()).plan
        return None if plan is None else changes_of(plan)

    # --- bring back

    def do_restore(self, pick: Picks) -> None:
        """A snapshot of this history is restored after a loss, perhaps despite a fault."""
        stack, is_new, loss = pick(self.stacks), pick((True, False)), pick(("spoil", "spoil", "destroy", "nothing"))
        fault, more = self.drawn_fault(pick), further(pick)
        kept = self.keep(stack) if is_new or not self.kept[stack] else more(self.kept[stack])
        if kept is None:
            return
        self.lose(stack, loss, more)
        self.log(f"restore {stack} {kept.path.name} {fault}")
        before = self.environment.all_objects()
        runs = self.run_despite(stack, lambda: flow.restore(*self.at(), kept.path, consent=True), fault)
        if self.is_restored(stack, before, runs):
            self.check_restored(stack, kept, before, runs)
            self.done[f"restore after {loss}"] += 1

    def lose(self, stack: str, loss: str, pick: Picks) -> None:
        if loss == "destroy":
            self.apply_and_check(stack, PlanOptions(destroy=True, allow_destroy=("*",)))
        for _ in range(pick(range(1, 5)) if loss == "spoil" else 0):
            self.edit_by_others(pick)

    def is_restored(self, stack: str, before: Objects, runs: Sequence[RunResult]) -> bool:
        """Whether it was done. It is refused with nothing written, or completed: never a half of it."""
        result = runs[-1]
        if result.error is None:
            check(result.returned, "a restore failed", failures(result))
            return True
        problems = getattr(result.error, "problems", ()) or (result.error,)
        self.log(f"refused: {[str(each) for each in problems]}")
        check(isinstance(result.error, PlanError), "refused with another error than PlanError", result.error)
        check(before == self.environment.all_objects(), "a restore is refused, and has written", runs)
        self.done["restore refused"] += 1
        return False

    def check_restored(self, stack: str, kept: Kept, before: Objects, runs: list[RunResult]) -> None:
        """What the snapshot has is as it was; nothing else is touched; the plan is that of the time of the snapshot."""
        wanted, after = with_owners(restorable(flow.snapshot_read(kept.path))), self.environment.all_objects()
        self.check_kept(stack, before, after)
        RunChecker(self, stack, before, after, runs, PlanOptions()).update_owners(set())
        now = self.attached_now(stack, after)
        addresses = at_present({id: address for id, address in kept.addresses.items() if address in wanted}, now)
        wrong = list(unlike(kept.objects, addresses, after, now))
        check(not wrong, "not as it was", *wrong)
        self.follow(kept, now, addresses)
        planned = self.changes(stack)
        expected = kept.planned if self.specs[stack] == kept.spec else planned
        if expected is not None and planned is not None:
            one, other = ({at: each for at, each in found.items() if at in wanted} for found in (expected, planned))
            check(one == other, "the plan is not that of the time of the snapshot", one, other)
        again = self.run(stack, lambda: flow.restore(*self.at(), kept.path, consent=True))
        more = [shown(each) for each in again.plan.changes] if again.plan else again.error
        check(again.done and not again.writes, "a second restore does more", more)

    def check_kept(self, stack: str, before: Objects, after: Objects) -> None:
        """Nothing is deleted, and no object of others is written."""
        copies = {id for id in self.ours[stack] for id in before.get(id, {}).get("isolated_block_ids", ())}
        for id, body in before.items():
            if is_state(body) or (id in self.ours[stack] and id in after):
                continue
            check(id in after, f"{self.ours[stack].get(id)} ({id}) was deleted by a restore", body)
            wrong = list(changes_between(_but_companions(body), _but_companions(after[id])))
            check(not wrong or id in copies, f"{id} ({body['kind']}) is not of stack {stack}", *wrong)

    def attached_now(self, stack: str, after: Objects) -> dict[str, str]:
        """Id to address of what the stack owns; each address once."""
        agents = {address: after[id] for id, address in self.ours[stack].items() if id in after}
        held = {
            id: address
            for id, address in self.ours[stack].items()
            if id in after and _is_attached(id, agents.get(address.partition(".memory.")[0]), address)
        }
        twice = {at: ids for at in held.values() if len(ids := [id for id in held if held[id] == at]) > 1}
        check(not twice, "twins", twice)
        return held

    def follow(self, kept: Kept, now: Mapping[str, str], addresses: Mapping[str, str]) -> None:
        """The model goes back to what it was."""
        before = {address: kept.addresses[id] for id, address in addresses.items()}
        for id, address in now.items():
            if (old := before.get(address)) is None:
                continue
            self.bases.pop((id, "value"), None)
            if old in kept.bases:
                self.bases[id, "value"] = kept.bases[old]
            self.lines[id] |= kept.lines[old]
            self.given |= {(id, tool) for tool in kept.given.get(old, ())}

    # --- roll back

    def do_rollback(self, pick: Picks) -> None:
        """An apply that keeps what it changes, and a rollback: everything that the apply changed is as it was."""
        stack, fault, more = pick(self.stacks), self.drawn_fault(pick), further(pick)
        for _ in range(more((0, 1, 2))):
            self.edit_by_others(more)
        for _ in range(more((1, 2, 3))):
            self.specs[stack] = change(self.specs[stack], more)
        options = more((PlanOptions(), PlanOptions(prune=True), PlanOptions(destroy=True, allow_destroy=("*",))))
        former, runs = self.remember(stack), list[RunResult]()
        self.log(f"apply {stack} with a snapshot {options}: {self.specs[stack]}")
        with self.checked(stack, runs, options):
            keeping = flow.Snapshots(changed=True)
            runs.append(self.run(stack, lambda: flow.apply(*self.at(), options, snapshots=keeping, consent=True)))
        self.check_result(stack, runs[0], options)
        report = runs[0].report
        if report is None:
            return
        self.roll_back(stack, former, Path(report.snapshot) if report.snapshot else None, fault)

    def roll_back(self, stack: str, former: Kept, snapshot: Path | None, fault: Fault | None) -> None:
        self.log(f"rollback {stack} {fault}")
        before = self.environment.all_objects()
        runs = self.run_despite(stack, lambda: flow.rollback(*self.at(), consent=True), fault)
        if snapshot is None:
            check("kept no snapshot" in str(runs[-1].error), "rolled back without a snapshot", runs[-1].error)
            return
        if self.is_restored(stack, before, runs):
            self.check_rolled_back(stack, former, snapshot, before, runs)
            self.done["rollback"] += 1

    def check_rolled_back(
        self, stack: str, former: Kept, snapshot: Path, before: Objects, runs: list[RunResult]
    ) -> None:
        """What the apply changed or deleted is as it was. What it created stays."""
        changed = {
            address
            for id, address in former.addresses.items()
            if id not in before or _values(former.objects[id]) != _values(before[id])
        }
        after = self.environment.all_objects()
        self.check_kept(stack, before, after)
        RunChecker(self, stack, before, after, runs, PlanOptions()).update_owners(set())
        now = self.attached_now(stack, after)
        wanted = changed | {str(address) for address in restorable(flow.snapshot_read(snapshot))}
        addresses = at_present({id: at for id, at in former.addresses.items() if at in wanted}, now)
        wrong = list(unlike(former.objects, addresses, after, now))
        check(not wrong, "not as it was before the apply", *wrong)
        self.follow(former, now, addresses)


# --- functions -------------------------------------------------------------------------------------------------------


def further(pick: Picks) -> Picks:
    """More choices than a step has numbers for, drawn from two of its numbers."""
    drawn = random.Random(60 * pick(range(60)) + pick(range(60)))
    return Picks([drawn.randrange(60) for _ in range(60)])


def check_whole(folders: Collection[Path]) -> None:
    """Assert that folders are snapshots that lack nothing."""
    faults = {path: each for path in folders for each in flow.snapshot_verify(path) if each.severity == "error"}
    check(not faults, "a snapshot is not whole", faults)


def shown(change: Change) -> tuple[str, str, list[str]]:
    return change.action, str(change.address), [each.path for each in change.fields_changed]


def changes_of(plan: Plan) -> Changes:
    return {
        str(each.address): (each.action, tuple(sorted(field.path for field in each.fields_changed)))
        for each in plan.changes
        if each.action not in ("adopt", "mark")
    }


def _is_attached(id: str, agent: Body | None, address: str) -> bool:
    """Whether an object is no own block, or one that its agent has."""
    return ".memory." not in address or (agent is not None and id in agent["blocks"])


def with_owners(addresses: Collection[Address]) -> set[str]:
    """The addresses without own blocks of agents that somebody had taken apart: a warning names these."""
    return {str(each) for each in addresses if each.parent is None or each.parent in addresses}


def at_present(addresses: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Id to address of what was kept, with the addresses that objects have now. Parts and companions follow."""
    moved = {address: now[id] for id, address in addresses.items() if id in now and ".memory." not in address}
    return {id: moved_once(address, moved) for id, address in addresses.items()}


def unlike(old: Objects, addresses: Mapping[str, str], new: Objects, now: Mapping[str, str]) -> Iterator[str]:
    """Where objects differ from what they were.

    addresses  id to address of the objects to compare, in `old`
    now        id to address of the objects in `new`
    """
    ids = {address: id for id, address in now.items()}
    names = {**addresses, **now}
    for id, address in sorted(addresses.items(), key=lambda item: item[1]):
        if address not in ids:
            yield f"{address} is gone"
            continue
        was, have = (_comparable(each, names) for each in (old[id], new[ids[address]]))
        if "blocks" in have:  # own blocks that were created since then stay; one that was adopted since was there
            # the agent that sleeptime creates has the blocks of its primary agent, too
            owners = {address, address.removesuffix(SLEEPTIME_SUFFIX)}
            own = {at for at in have["blocks"] if at.partition(".memory.")[0] in owners} - {*addresses.values()}
            created = {at for at in own if ids.get(at) not in old}
            have["blocks"] = [at for at in have["blocks"] if at not in created]
        differing = {key for key in was.keys() | have.keys() if not _is_same(key, was.get(key), have.get(key))}
        some = ({key: value for key, value in each.items() if key in differing} for each in (was, have))
        yield from (f"{address} {line}" for line in changes_between(*some))


def changes_between(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Where two values differ, line by line."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from changes_between(old.get(key), new.get(key), f"{path}.{key}")
    elif old != new:
        yield f"{path}: {new!r}, and not {old!r}"


def _but_companions(body: Body) -> Body:
    """A body without the blocks that the server gives an agent that it created along with another one, too."""
    shared = {"blocks", "labels"} if str(body.get("name")).endswith(SLEEPTIME_SUFFIX) else set[str]()
    return {key: value for key, value in body.items() if key not in shared}


def _values(body: Body) -> Body:
    return {key: value for key, value in without_mark(body).items() if key not in NOT_COMPARED}


def _comparable(body: Body, names: Mapping[str, str]) -> Body:
    """A body with addresses for ids. Members without an address are left out: they belong to others."""
    members = (*RELATIONS, "agent_ids")
    found = {key: sorted(names[id] for id in value if id in names) for key, value in body.items() if key in members}
    single = ("managed_group", "manager_agent_id", "agent_id")
    found_single = {key: names.get(value, value) for key, value in body.items() if key in single and value}
    rest = {key: value for key, value in _values(body).items() if key not in (*members, "isolated_block_ids")}
    if body["kind"] == "agent" and not body["managed_group"]:  # the server does not update it if the group is deleted
        rest.pop("enable_sleeptime", None)
    if "llm_config" in rest:  # repeats `model_settings`, and has what the server derives from them at each write
        rest["llm_config"] = {**rest["llm_config"], "reasoning_effort": None, "enable_reasoner": None}
    return {**rest, **found, **found_single}


def _is_same(key: str, was: Any, have: Any) -> bool:
    if key == "managed_group" and was is None:  # a group that was created since then stays
        return True
    if isinstance(was, list) and isinstance(have, list):
        return all(each in have for each in was) and all(each in was for each in have)
    return (was or None) == (have or None)
