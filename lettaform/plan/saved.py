"""A Plan to and from a file, and the differences between a saved plan and a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from lettaform.address import Address
from lettaform.model import Mark, Plan, PlanOptions, SaveState, Step
from lettaform.values import Digest, Item, Patch, Ref, Secret, Template, digest, keyed

FORMAT = "1.0"


def dump(plan: Plan) -> dict[str, Any]:
    """The part of the file that apply compares: the options, every Step, and the digest of every value to overwrite.

    A declared value that does not differ is not needed: if it changes, there is another Step. Values that were changed
    by agents and are kept do not matter.
    """
    return {
        "options": {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(plan.options).items()
        },
        "steps": [_step(step, plan.state.key) for step in plan.steps],
        "barriers": spell(plan.barriers, None),
        "overwrites": {
            str(change.address): {d.path: digest(spell(d.old, None)) for d in change.fields_changed if not d.secret}
            for change in plan.changes
        },
    }


def options(saved: Mapping[str, Any]) -> PlanOptions:
    """The options of a saved plan. Raises ValueError if they cannot be read."""
    values: Any = saved.get("options")
    names = {field.name for field in fields(PlanOptions)}
    if not isinstance(values, Mapping) or set(values) - names:
        raise ValueError("no options")
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return PlanOptions(**given)


def moved(saved: Mapping[str, Any], plan: Plan) -> list[str]:
    """The differences between a saved plan and a new one, a line each; empty if both do the same."""
    server = saved.get("server") or {}
    lines = []
    for name, old, new in (
        ("server", server.get("url"), plan.url),
        ("stack", saved.get("stack"), plan.stack),
        ("environment", saved.get("environment"), plan.environment),
    ):
        if old != new:
            lines.append(f"{name}: planned for {old}, and this is {new}")
    fresh = dump(plan)
    before = {step.get("key"): step for step in saved.get("steps") or () if not _follows(step)}
    now = {step["key"]: step for step in fresh["steps"] if not _follows(step)}
    for key in dict.fromkeys((*before, *now)):
        if key not in now:
            lines.append(f"{before[key].get('address')}: {before[key].get('op')} is no longer needed")
        elif key not in before:
            lines.append(f"{now[key]['address']}: now needs {now[key]['op']}")
        elif before[key] != now[key]:
            parts = [part for part in now[key] if now[key][part] != before[key].get(part)]
            paths = [path for part in parts for path in _differing(part, before[key].get(part), now[key][part])]
            lines.append(f"{now[key]['address']}: {', '.join(dict.fromkeys(paths))} changed since the plan was made")
    over = saved.get("overwrites") or {}
    for address, values in fresh["overwrites"].items():
        paths = [path for path, old in values.items() if over.get(address, {}).get(path, old) != old]
        lines += [f"{address}: {', '.join(paths)} changed since the plan was made"] if paths else []
    return list(dict.fromkeys(lines))


def same(one: Plan, other: Plan) -> bool:
    """Whether two plans do the same."""
    return not moved(
        {"server": {"url": one.url}, "stack": one.stack, "environment": one.environment, **dump(one)}, other
    )


def _follows(step: Mapping[str, Any]) -> bool:
    """Whether a step follows from the others: it writes the state, or recompiles conversations that people begin."""
    return step.get("op") == SaveState.op or bool(step.get("owners"))


def _differing(name: str, old: Any, new: Any) -> Iterator[str]:
    if name == "fields" and isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from (key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key))
    else:
        yield name


def _step(step: Step, key: str | None) -> dict[str, Any]:
    body = {"op": step.op, **{field.name: getattr(step, field.name) for field in fields(step)}}
    body.pop("shown", None)  # for people alone
    if isinstance(step, SaveState):  # it holds the key of all digests of secrets
        del body["state"], body["created"]
    return {name: spell(value, key) for name, value in body.items()}


def spell(value: Any, key: str | None) -> Any:
    """A value as JSON. A secret becomes its expression and, if the stack's key is given, its digest."""
    match value:
        case Address():
            return str(value)
        case Ref():
            return {"$ref": str(value.address), "path": value.path}
        case Template():
            return {"$joined": [spell(part, key) for part in value.parts]}
        case Secret():
            return {"$secret": value.expression, "digest": keyed(value, key) if key else None}
        case Digest():
            return {"$digest": spell(value.value, key)}
        case Item():
            return {"$item": value.key, "name": value.name}
        case Patch():
            entries = None if value.entries is None else {name: spell(new, key) for name, new in value.entries}
            return {"$keep": {"put": spell(value.put, key), "drop": spell(value.drop, key), "entries": entries}}
        case Mark():
            return {
                "base": spell(value.base, key),
                "members": spell(value.members, key),
                "parts": spell(value.parts, key),
            }
        case Mapping():
            return {str(name): spell(item, key) for name, item in value.items()}
        case list() | tuple():
            return [spell(item, key) for item in value]
        case _:
            return value
