"""The machine's steps with what was made by hand: it is imported into a manifest, adopted, and given up again."""

from __future__ import annotations

from typing import Any

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.ownership.unowned import Filter
from tests.machine.environment import Fault, Objects
from tests.machine.machine import Machine, Picks, check, failures, is_state, without_mark
from tests.machine.restores import further


class Imports(Machine):
    """A machine that imports what nobody owns as a third stack."""

    def do_import_all(self, pick: Picks) -> None:
        """`import --all` of what nobody owns, and the apply that adopts it, perhaps despite faults."""
        faults, more = (self.drawn_fault(pick), self.drawn_fault(pick)), further(pick)
        for _ in range(more(range(1, 4))):
            self.log(f"others: {more((self.create_foreign, self.create_by_hand))(more)}")
        observed = self.environment.all_objects()
        kinds = ("agent", "block", "tool", "archive", "folder", "identity")
        ids = [id for kind in kinds for id in self.foreign(kind) if not self.is_part(observed, id)]
        if ids:
            self.import_and_give_up(more(range(1, len(ids) + 1)), ids, faults, fold=more((True, False)))

    def create_by_hand(self, pick: Picks) -> str:
        """An agent with memory of its own, and with a block and an archive that a second one has, too."""
        ask = self.environment.ask
        shared = ask("POST", "/v1/blocks/", {"label": "guide", "value": f"by hand {self.number}"})
        archive = ask("POST", "/v1/archives/", {"name": "by hand", "embedding": self.environment.embedding})
        ask("POST", f"/v1/archives/{archive['id']}/passages", {"text": "By hand."})
        for name in pick((("one",), ("one", "two"))):
            made = {"name": f"{name}-{self.number}", "model": self.environment.model, "block_ids": [shared["id"]]}
            made |= {"embedding": self.environment.embedding, "include_base_tools": pick((True, False))}
            made |= {"memory_blocks": [{"label": "persona", "value": f"I am {name}."}], "system": "By hand."}
            agent = ask("POST", "/v1/agents/", made)
            ask("PATCH", f"/v1/agents/{agent['id']}/archives/attach/{archive['id']}")
        return "agents with a shared block, made by hand"

    def is_part(self, observed: Objects, id: str) -> bool:
        """Whether an object belongs to one of a stack, or carries a mark or secrets that no import can read."""
        body = observed[id]
        holders = [each for each in observed.values() if id in (*each.get("blocks", ()), *each.get("archives", ()))]
        return bool(
            any(tag.startswith("lettaform:") for tag in body["tags"])
            or body.get("secrets")
            or any(self.owner(each["id"]) for each in holders)
        )

    def import_and_give_up(
        self, number: int, ids: list[str], faults: tuple[Fault | None, Fault | None], *, fold: bool
    ) -> None:
        """Adopt objects of others as a third stack: no value changes. Forgotten again, they are what they were."""
        stack, out = self.environment.taken, self.environment.folder / f"taken-{self.number}"
        before, options = (
            self.environment.all_objects(),
            flow.ImportOptions(stack, Filter(ids=tuple(ids[:number])), fold),
        )
        self.log(f"import --all {options.only} {faults}")
        imported = self.import_all(out, options, faults[0], before)
        if imported is None:
            return
        source = flow.Source(out, variables=dict.fromkeys(imported.variables, ""))
        self.adopt_all(source, stack, faults[1])
        after = self.environment.all_objects()
        check(without_marks(before) == without_marks(after), "an import changed values", *unlike(before, after))
        marked = {id for id, body in after.items() if f"lettaform:stack={stack}" in body["tags"] and not is_state(body)}
        check(marked >= {*imported.adopted.values()}, "not adopted", imported.adopted, marked)
        for address in imported.adopted:
            result = self.call(lambda at=address: flow.state_remove(source, self.environment.connection(), at))
            check(result.returned, f"{address} cannot be forgotten", result.error)
        self.delete_state(stack)
        left = self.environment.all_objects()
        marked = {id for id, body in left.items() if f"lettaform:stack={stack}" in body["tags"]}
        check(not marked and not unlike(before, left), "not what it was before", marked, *unlike(before, left))
        self.done["import --all"] += 1

    def import_all(
        self, out: Any, options: flow.ImportOptions, fault: Fault | None, before: Objects
    ) -> flow.Imported | None:
        """What was written. It writes nothing on the server. An import that is interrupted leaves no folder."""

        def call() -> flow.Imported:
            check(not out.exists(), "an interrupted import left a folder")
            return flow.import_all(self.environment.connection(), out, options)

        runs = self.run_despite(self.stacks[0], call, fault)
        check(not any(result.writes for result in runs), "an import --all wrote", runs)
        check(before == self.environment.all_objects(), "an import --all changed the server")
        if runs[-1].error is None:
            return runs[-1].value  # type: ignore[no-any-return]
        check(isinstance(runs[-1].error, PlanError), "refused with another error than PlanError", runs[-1].error)
        self.log(f"refused: {runs[-1].error}")
        return None

    def adopt_all(self, source: flow.Source, stack: str, fault: Fault | None) -> None:
        """Apply an imported manifest, despite a fault: it only adopts, and the plan afterwards is empty."""
        runs = self.run_despite(
            self.stacks[0], lambda: flow.apply(source, self.environment.connection(), consent=True), fault
        )
        self.release(stack, self.environment)
        if not runs[-1].done:
            runs.append(self.call(lambda: flow.apply(source, self.environment.connection(), consent=True)))
        check(runs[-1].done, "an imported manifest cannot be applied", runs[-1].error, failures(runs[-1]))
        for result in runs:
            changed = [
                (c.action, str(c.address)) for c in (result.plan.changes if result.plan else ()) if c.fields_changed
            ]
            check(not changed, "an imported manifest changes something", changed)
        plan = self.call(lambda: flow.plan(source, self.environment.connection())).plan
        check(plan is not None and not plan, "the plan of an imported manifest is not empty", plan)

    def call(self, verb: Any) -> Any:
        return self.run(self.stacks[0], verb)


def without_marks(objects: Objects) -> Objects:
    return {id: without_mark(body) for id, body in objects.items() if not is_state(body)}


def unlike(old: Objects, new: Objects) -> list[str]:
    """Where objects differ, without marks."""
    one, other = without_marks(old), without_marks(new)
    found = [f"{id}: {'gone' if id in one else 'new'}" for id in one.keys() ^ other.keys()]
    for id in one.keys() & other.keys():
        keys = [key for key in {**one[id], **other[id]} if one[id].get(key) != other[id].get(key)]
        found += [f"{id} {key}: {other[id].get(key)!r}, and not {one[id].get(key)!r}" for key in keys]
    return found
