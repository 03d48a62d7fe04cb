"""Hand-made manifests and observed values, and the passes of a plan over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.backend.v1.capabilities import capabilities
from lettaform.errors import Place
from lettaform.kinds import kinds, sections
from lettaform.model import Desired, Live, Manifest, Mark, Observed, Plan, PlanOptions, State
from lettaform.plan import Diff, diff, make
from lettaform.plan.diff import look_up
from lettaform.plan.lookup import Lookup
from lettaform.plan.moves import move
from lettaform.values import digest

HERE = Place("lettaform.yaml", 1, 1)
at = Address.parse


def kind_of(address: Address) -> str:
    return "block" if address.field == "memory" else sections()[address.section]


def wanted(text: str, policies: Mapping[str, Any] | None = None, **values: Any) -> Desired:
    address = at(text)
    kind = kind_of(address)
    name = kinds()[kind].name_field
    values = {name: address.child or address.key, **values}
    protected = values.pop("prevent_destroy", False)
    return Desired(address, kind, values, HERE, policies=policies or {}, prevent_destroy=protected)


def living(text: str, id: str, base: Mapping[str, Any] | None = None, **values: Any) -> Live:
    """A live object of stack `s`. `base` gives values as last applied; its digests are taken here."""
    address = at(text)
    kind = kind_of(address)
    name = kinds()[kind].name_field
    values = {name: address.child or address.key, "tags": [], "metadata": {}, **values}
    members, parts = values.pop("members", {}), values.pop("parts", {})
    applied = {name: values[name], **(base or {})}
    mark = Mark({path: digest(value) for path, value in applied.items()}, members, parts)
    return Live(kind, id, values[name], values, address, "s", mark, marked=True)


def manifest(*objects: Desired, **words: Any) -> Manifest:
    return Manifest("s", {desired.address: desired for desired in objects}, **words)


def observed(*lives: Live, **words: Any) -> Observed:
    """Observed objects; the state knows each of them that is no part."""
    objects = {live.address: live for live in lives if live.address}
    marks = {a: live.mark for a, live in objects.items() if live.kind == "tool"}
    record = State({a: live.id for a, live in objects.items() if not a.parent}, marks, exists=bool(lives))
    made = Observed("http://here", "0.16.8", record, objects, attached={}, capabilities=capabilities())
    return replace(made, **words)


def plan(wants: Manifest, has: Observed, **options: Any) -> Plan:
    return make(wants, has, PlanOptions(**options))


def short(made: Plan) -> list[tuple[str, str, list[str]]]:
    return [(c.action, str(c.address), [d.path for d in c.fields_changed]) for c in made.changes]


def keys(made: Plan) -> list[str]:
    return [f"{step.op} {step.key}" for step in made.steps]


def lookup(wants: Manifest, has: Observed, **options: Any) -> Lookup:
    """What the passes look things up in."""
    chosen = PlanOptions(**options)
    return look_up(wants, move(wants, has, chosen), chosen)


def difference(wants: Manifest, has: Observed, **options: Any) -> Diff:
    """The Diff, with its problems and guards."""
    return diff(wants, has, PlanOptions(**options))


def messages(wants: Manifest, has: Observed, **options: Any) -> list[str]:
    """The messages of all problems and guards."""
    found = difference(wants, has, **options)
    return [problem.message for problem in (*found.problems, *found.guards)]
