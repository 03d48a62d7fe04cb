"""Plans of many changes."""

from __future__ import annotations

from dataclasses import replace

from lettaform.errors import Place, Problem
from lettaform.model import Change, FieldChange, Plan
from lettaform.values import Patch, Ref

from .samples import SECRET, at, everything, of, update

PROMPT = "You are the supervisor of a help desk.\n\nAnswer in the language of the customer.\nBe kind.\n" + "\n".join(
    f"Rule {number}: look at the order first." for number in range(30)
)
PLACE = Place("fleet/workers.yaml", 12, 3)


def mixed() -> Plan:
    """60 changes of every kind, in a stack that shares blocks, a folder and an archive."""
    workers = [at(f"agents.worker[r{number}]") for number in range(24)]
    desks = [at(f"agents.desk[d{number}]") for number in range(9)]
    team, glossary = at("blocks.organization"), at("blocks.glossary")
    rest = everything()
    changes = (
        *(Change(each, "agent", "create", fields_changed=_new(each.index), place=PLACE) for each in workers),
        *(replace(update(str(each), _prompt("very kind")), place=PLACE, id=f"agent-{each.index}") for each in desks),
        *(
            Change(at(f"agents.old[{key}]"), "agent", "delete", f"agent-{key}", "no longer declared")
            for key in "abcdefgh"
        ),
        update("blocks.glossary", FieldChange("value", "a\nb\n", "a\nc\n"), kind="block", recompiles=26, place=PLACE),
        *(
            update(f"tools.t{n}", FieldChange("source_code", "return 1\n", f"return {n + 2}\n"), kind="tool")
            for n in range(8)
        ),
        *rest.changes,
    )
    shared = {
        team: (*workers, *desks, at("agents.supervisor")),
        glossary: (*workers, at("agents.new")),
        at("folders.handbook"): tuple(desks),
        at("archives.cases"): (at("agents.supervisor"),),
    }
    warning = Problem("`agents.helper` would be created anew: a key was renamed", PLACE, "add `moved`")
    return replace(of(*changes), unchanged=118, shared=shared, runtime=rest.runtime, warnings=(warning,))


def _new(key: str | None) -> tuple[FieldChange, ...]:
    blocks = [Ref(at("blocks.organization")), Ref(at("blocks.glossary"))]
    return (
        FieldChange("name", None, f"worker-{key}"),
        FieldChange("system", None, PROMPT),
        FieldChange("blocks", None, blocks),
        FieldChange("secrets", None, {"KEY": SECRET}, secret=True),
    )


def _prompt(word: str) -> FieldChange:
    return FieldChange("system", PROMPT, PROMPT.replace("kind", word))


def updates(number: int) -> Plan:
    """Updates of prompts, each in another way."""
    return of(
        *(
            update(f"agents.w{n}", _prompt(f"kind {n}"), FieldChange("tools", [], Patch((f"t{n}",))))
            for n in range(number)
        )
    )


def deletes(number: int) -> Plan:
    """Objects that are destroyed, all of one declaration."""
    return of(
        *(Change(at(f"agents.w[k{n}]"), "agent", "delete", f"agent-{n}", "no longer declared") for n in range(number))
    )
