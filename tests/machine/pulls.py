"""The machine's steps with manifests in files: what agents wrote is pulled into them, or merged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from lettaform import flow
from lettaform.errors import Conflicting
from lettaform.model import PlanOptions
from lettaform.plan.pull import PullOptions
from tests.machine import fleet
from tests.machine.environment import Fault, Objects
from tests.machine.fleet import Spec
from tests.machine.machine import Picks, check
from tests.machine.restores import Restores, further

Path = tuple[str, ...]
"""The keys that lead to a value of a manifest."""
CONFLICT = object()
LINES = ("First.", "Second.", "Third.", "Fourth.", "Fifth.")
"""The lines of a text that is merged."""


class Pulls(Restores):
    """A machine whose manifests are files, into which live values are pulled."""

    def do_pull(self, pick: Picks) -> None:
        """A pull of what agents wrote, perhaps despite a fault: the model gets it, and no plan has it any more."""
        stack, fault, more = pick(self.stacks), self.drawn_fault(pick), further(pick)
        if not self.is_applied(stack):
            return
        for _ in range(more(range(1, 5))):
            self.edit_by_others(more)
        if more((True, False)):
            self.specs[stack] = fleet.change(self.specs[stack], more)
        blocks = sorted(self.current_blocks(stack))
        options = [*[PullOptions()] * 3, PullOptions(record=True), PullOptions(ours=("*",))]
        options += [PullOptions(theirs=(more(blocks),))] if blocks else []
        self.pull(stack, more(options), fault, in_json=more((True, False)))

    def pull(self, stack: str, options: PullOptions, fault: Fault | None, *, in_json: bool = False) -> None:
        """Pull until it is done. The file has what is expected, and the server what it had."""
        self.log(f"pull {stack} {options} {fault}: {json.dumps(self.specs[stack])}")
        source, old = self.written(stack, in_json=in_json)
        before, expected = self.environment.all_objects(), self.expected(stack, options)
        runs = self.run_despite(
            stack, lambda: flow.pull(source, self.environment.connection(), options, consent=True), fault
        )
        error = runs[-1].error
        if error is not None:
            self.check_refusal(stack, runs[-1])
            return
        check(options.record or not any(result.writes for result in runs), "a pull wrote", runs)
        check(options.record or before == self.environment.all_objects(), "a pull changed the server")
        new = yaml.safe_load((source.directory / "lettaform.yaml").read_text())
        changed = dict(differences(old, new))
        self.check_expected(expected, changed, runs[-1].value)
        self.follow_pull(stack, changed, new)
        self.check_not_planned(stack, options, changed)
        self.done["pull"] += bool(changed)
        self.apply_and_check(stack, PlanOptions())

    def written(self, stack: str, *, in_json: bool) -> tuple[flow.Source, Spec]:
        """The manifest in a file, and what it says."""
        spec = self.specs[stack]
        whole = fleet.document(stack, spec, self.environment.model, self.environment.embedding)
        folder = fleet.project(stack, spec["edition"])
        text = json.dumps(whole) if in_json else yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
        (folder / "lettaform.yaml").write_text(text)
        return flow.Source(folder), yaml.safe_load(text)

    def current_blocks(self, stack: str) -> dict[str, str]:
        """Address to id of the blocks that have a value in the manifest. Own ones, if their agents have them."""
        observed = self.environment.all_objects()
        held = self.attached_now(stack, observed)
        blocks = {address: id for id, address in held.items() if observed[id]["kind"] == "block"}
        return {at: id for at, id in blocks.items() if "value" in (body_at(self.specs[stack], at) or {})}

    def expected(self, stack: str, options: PullOptions) -> dict[Path, Any]:
        """The values of blocks that are pulled, or CONFLICT; those that are merged are left out."""
        found: dict[Path, Any] = {}
        observed: Objects = self.environment.all_objects()
        for address, id in self.current_blocks(stack).items():
            declared = body_at(self.specs[stack], address) or {}
            want, live, base = declared["value"] or "", observed[id]["value"], self.bases.get((id, "value"))
            policy = declared.get("policy", {}).get("value")
            policy = policy or ("enforce" if declared.get("read_only") is True else "seed")
            if policy in ("seed", "yield") and want != live:
                is_both = base is not None and base not in (want, live)
                if address in options.theirs or (live != base and not is_both):
                    found[path_of(address, "value")] = live
                elif is_both and not options.ours:
                    found[path_of(address, "value")] = CONFLICT
        return found

    def check_expected(self, expected: Mapping[Path, Any], changed: Mapping[Path, Any], pull: Any) -> None:
        conflicts = {path_of(str(each.address), each.path) for each in pull.conflicts}
        for path, value in expected.items():
            if value is CONFLICT:
                check(path in conflicts and path not in changed, f"{path} is no conflict", changed, pull)
            else:
                check(changed.get(path) == value, f"{path} is not pulled", value, changed, pull.kept)

    def follow_pull(self, stack: str, changed: Mapping[Path, Any], new: Spec) -> None:
        """The model gets the new values, and then says what the file says."""
        for path, value in changed.items():
            body = self.specs[stack]
            for key in path[:-1]:
                body = body[key]
            if path[0] == "tools" and path[-1] == "source":
                body["about"] = value.split('"""')[1].split("\n")[0]
            else:
                body[path[-1]] = value
        known = fleet.document(stack, self.specs[stack], self.environment.model, self.environment.embedding)
        check(json.loads(json.dumps(known)) == new, "a pull changed more than the model knows", changed, new)

    def check_not_planned(self, stack: str, options: PullOptions, changed: Mapping[Path, Any]) -> None:
        """No plan changes or keeps what was pulled, but for merged texts, which the next apply writes."""
        plan = self.plan(stack, PlanOptions()).plan
        if plan is None:
            return
        left = [(str(each.address), each.path) for each in plan.runtime]
        left += [(str(c.address), f.path) for c in plan.changes for f in c.fields_changed if f.reason != "merge"]
        again = [each for each in left if path_of(*each) in changed]
        check(not again, "what was pulled is in the plan", again)
        marks = [str(each.address) for each in plan.changes if each.action == "mark"]
        merged = {str(each.address) for each in plan.changes if each.fields_changed}
        if options.record:
            unrecorded = [at for at in marks if at not in merged and any(path_of(at, p[-1]) == p for p in changed)]
            check(not unrecorded, "pulled and not recorded", unrecorded)

    # --- merge

    def do_merge(self, pick: Picks) -> None:
        """An agent and a person change lines of one text: both are kept, or it is a conflict until a side is chosen."""
        stack, fault, more = pick(self.stacks), self.drawn_fault(pick), further(pick)
        if not self.is_applied(stack):
            return
        blocks = self.current_blocks(stack)
        if not blocks:
            return
        address = more(sorted(blocks))
        body = body_at(self.specs[stack], address)
        assert body is not None
        body["value"], body["policy"] = "\n".join(LINES), body.get("policy", {}) | {"value": "merge"}
        if self.apply_and_check(stack, PlanOptions(reseed=(address,))).done:
            self.merge(stack, address, more((0, 2, 4)), more((0, 2, 4)), more(("ours", "theirs")), fault)

    def merge(self, stack: str, address: str, ours: int, theirs: int, side: str, fault: Fault | None) -> None:
        """Merge a text of which the manifest and an agent each change one line."""
        self.log(f"merge {stack} {address}: lines {ours} and {theirs}, {side}, {fault}")
        id, body = self.current_blocks(stack)[address], body_at(self.specs[stack], address)
        assert body is not None
        body["value"] = with_line(ours, "Declared.")
        self.environment.ask("PATCH", f"/v1/blocks/{id}", {"value": with_line(theirs, "Learnt.")})
        options, expected = PlanOptions(), with_line(theirs, "Learnt.", body["value"])
        if ours == theirs:
            result = self.apply(stack, PlanOptions())
            check(isinstance(result.error, Conflicting), "no conflict", result.error, result.plan)
            check(not result.writes, "a conflict, and written", result.writes)
            options = PlanOptions(**{side: (address,)})
            expected = body["value"] if side == "ours" else with_line(theirs, "Learnt.")
        result = self.apply_despite(stack, options, fault)
        self.check_result(stack, result, options)
        if result.done:
            value = self.environment.all_objects()[id]["value"]
            check(value == expected, f"{address} is not merged", value, expected)
            self.done["merge" if ours != theirs else "conflict"] += 1


# --- functions -------------------------------------------------------------------------------------------------------


def with_line(at: int, line: str, text: str = "\n".join(LINES)) -> str:
    """A text with another line."""
    lines = text.split("\n")
    return "\n".join([*lines[:at], line, *lines[at + 1 :]])


def path_of(address: str, field: str) -> Path:
    """The keys that lead to a declared value. What a `sleeptime` creates is declared there."""
    section, _, rest = address.partition(".")
    key, _, label = rest.partition(".memory.")
    if key.endswith("-sleeptime"):
        return ("agents", key.removesuffix("-sleeptime"), "sleeptime", *field.split("."))
    return (section, key, *(("memory", label) if label else ()), *field.split("."))


def body_at(spec: Spec, address: str) -> Spec | None:
    """The declaration of an object."""
    found: Any = spec
    for key in path_of(address, "")[:-1]:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Where a manifest has got other values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield path, new
