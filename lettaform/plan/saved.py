"""A Plan to and from a file, and the differences between a saved plan and a new one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from hashlib import sha256
from typing import Any

from lettaform.address import Address
from lettaform.errors import Stale
from lettaform.model import Mark, Plan, PlanOptions, PromotedText, Promotion, SaveState, Shard, Step, contents
from lettaform.plan.notes import LOST
from lettaform.values import Digest, Item, Patch, Ref, Secret, Template, canonical, digest, keyed, secrets

FORMAT = "1.0"
_WORDS = {"after": "the order of the steps", "mark": "what lettaform stores about it"}
"""Parts of a step that follow from others, for people."""


def dump(plan: Plan, salt: str | None = None) -> dict[str, Any]:
    """The part of the file that apply compares: the options, every Step, and the digest of every value to overwrite.

    A declared value that does not differ is not needed: if it changes, there is another Step. Values that were changed
    by agents and are kept do not matter. The digests of files and variables say why a Step differs.

    salt  the key of the digests of secrets; without it, that of the stack. A stack gets its key with its first apply.
    """
    key = salt or plan.state.key
    return {
        **({"salt": salt} if salt else {}),
        "options": _options(plan.options),
        "steps": [_step(step, key) for step in plan.steps],
        "barriers": spell(plan.barriers, None),
        "overwrites": {
            str(change.address): {d.path: digest(spell(d.old, None)) for d in change.fields_changed if not d.secret}
            for change in plan.changes
        },
        "secrets": written_secrets(plan),
        "inputs": {
            "files": dict(plan.inputs.files),
            "variables": {name: _digest(value, key) for name, value in plan.inputs.variables.items()},
        },
    }


def _options(options: PlanOptions) -> dict[str, Any]:
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(options).items()}
    return {**values, "shard": str(options.shard)}


def written_secrets(plan: Plan) -> dict[str, list[str]]:
    """The source of each secret that the plan writes, such as `${var.token}`, to the addresses it is written to."""
    found: dict[str, dict[str, None]] = {}
    for step in plan.steps:
        for secret in secrets(contents(step)):
            for source in secret.sources:
                found.setdefault(source.expression, {})[str(step.address)] = None
    return {expression: list(addresses) for expression, addresses in sorted(found.items())}


def plan_digest(plan: Plan) -> str:
    """The sha256 of what a plan does, and of the values that it replaces: plans with equal digests do the same. In hex.

    What it deletes although a snapshot may lack its messages is a part of that.
    Secrets are in it as digests with the key of the stack, and by name alone before the stack has a key.
    """
    return _effects(plan, dump(plan))


def _effects(plan: Plan, does: Mapping[str, Any]) -> str:
    steps = [step for step in does["steps"] if not _follows(step)]
    where = {"url": plan.url, "stack": plan.stack, "environment": plan.environment}
    lost = [str(change.address) for change in plan.changes if LOST in change.notes]
    losing = {"without_messages": sorted(lost)} if lost else {}
    return _sha256({**where, "steps": steps, "overwrites": does["overwrites"], **losing})


def approval(plan: Plan) -> str:
    """What approves a plan: the beginning of its digest, a dot, and that of the digest of what it was made from."""
    does = dump(plan)
    return f"{_effects(plan, does)[:32]}.{_sha256(does['inputs'])[:8]}"


def check_approved(plan: Plan, approved: str) -> None:
    """Raise Stale if a plan does something else than the approved one, which `approval` named. It may do nothing."""
    effects, _, inputs = approved.partition(".")
    if not plan or plan_digest(plan).startswith(effects):
        return
    now = approval(plan)
    moved = "the manifest or the server has changed"
    if inputs:
        moved = f"{'the server' if inputs == now.partition('.')[2] else 'the manifest'} has changed since"
    raise Stale(f"this is not the approved plan: {moved}", f"review the plan; its digest is `{now}`")


APPROVAL = re.compile(r"[0-9a-f]{12,64}(\.[0-9a-f]{8})?")
"""What `approval` returns, or a shorter beginning of it."""


def _sha256(value: Any) -> str:
    return sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


KEYS = frozenset({"salt", "options", "steps", "barriers", "overwrites", "secrets", "inputs", "manifest"})
"""The keys of this part of the file."""


def _digest(value: Any, key: str | None) -> str | None:
    """The digest of the value of a variable; None for a secret without a key."""
    if isinstance(value, Secret):
        return keyed(value, key) if key else None
    return digest(value)


def options(saved: Mapping[str, Any]) -> PlanOptions:
    """The options of a saved plan. Raises ValueError if they cannot be read."""
    values: Any = saved.get("options")
    names = {field.name for field in fields(PlanOptions)}
    if not isinstance(values, Mapping) or set(values) - names:
        raise ValueError("no options")
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if (brought := given.get("promotion")) is not None:
        texts = tuple(PromotedText(**each) for each in brought["texts"])
        given["promotion"] = Promotion(brought["source"], brought["memory"], texts, tuple(brought["notes"]))
    if "shard" in given:
        given["shard"] = Shard.parse(str(given["shard"]))
    return PlanOptions(**given)


def moved(saved: Mapping[str, Any], plan: Plan) -> list[str]:
    """The differences between a saved plan and a new one, a line each; empty if both do the same."""
    fresh = dump(plan, saved.get("salt"))
    lines = [f"{name}: planned for {old}, and this is {new}" for name, old, new in _elsewhere(saved, plan)]
    before, now = _by_key(saved.get("steps") or ()), _by_key(fresh["steps"])
    for key in dict.fromkeys((*before, *now)):
        lines += _changed_step(before.get(key), now.get(key))
    lines += [f"{address}: {', '.join(paths)} on the server" for address, paths in _overwritten(saved, fresh).items()]
    return list(dict.fromkeys(lines))


def _elsewhere(saved: Mapping[str, Any], plan: Plan) -> list[tuple[str, Any, Any]]:
    """Name, planned and present value of what a plan is made for, where they differ."""
    server = saved.get("server") or {}
    every = (
        ("server", server.get("url"), plan.url),
        ("stack", saved.get("stack"), plan.stack),
        ("environment", saved.get("environment"), plan.environment),
    )
    return [(name, old, new) for name, old, new in every if old != new]


def _by_key(steps: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The steps by their keys, without those that follow from the others."""
    return {str(step.get("key")): step for step in steps if not _follows(step)}


def _changed_step(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Iterator[str]:
    if now is None and before is not None:
        yield f"{before.get('address')}: {_operation(before)} is no longer needed"
    elif before is None and now is not None:
        yield f"{now['address']}: {_operation(now)} is needed, and was not planned"
    elif before is not None and now is not None and before != now:
        parts = [part for part in now if now[part] != before.get(part)]
        paths = [path for part in parts for path in _differing(part, before.get(part), now[part])]
        shown = [path for path in dict.fromkeys(paths) if path not in _WORDS]
        yield f"{now['address']}: {', '.join(shown or (_WORDS[path] for path in dict.fromkeys(paths)))} in the plan"


def _operation(step: Mapping[str, Any]) -> str:
    """A step for people: `to update it`, `to attach tools`, `to recompile`."""
    op = step.get("op")
    if op == "call":
        return f"to {step.get('name')} it"
    return f"to {op} {step.get('field') or 'it'}"


def _overwritten(saved: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, list[str]]:
    """Address to the paths of values to overwrite that the server has changed."""
    before = saved.get("overwrites") or {}
    found = {
        address: [path for path, old in values.items() if before.get(address, {}).get(path, old) != old]
        for address, values in fresh["overwrites"].items()
    }
    return {address: paths for address, paths in found.items() if paths}


def causes(saved: Mapping[str, Any], plan: Plan) -> list[str]:
    """Why a saved plan differs from a new one: where it is applied, files, variables, or else the server."""
    fresh, before = dump(plan, saved.get("salt")), saved.get("inputs") or {}
    now = fresh["inputs"]
    found = [f"this is another {name}" for name, _, _ in _elsewhere(saved, plan)]
    found += [f"{name} has {word}" for name, word in _changed_files(before.get("files") or {}, now["files"])]
    moved = _differing("fields", before.get("variables") or {}, now["variables"])
    found += [f"{name} has another value than planned" for name in moved]
    if _overwritten(saved, fresh) or not found:
        found.append("the server has changed")
    return found


def _changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            yield name, "changed" if name in before and name in now else "been added" if name in now else "been removed"


def same(one: Plan, other: Plan) -> bool:
    """Whether two plans do the same."""
    return not moved(kept(one), other)


def kept(plan: Plan, salt: str | None = None) -> dict[str, Any]:
    """What `moved` and `causes` need of a plan that stays in memory. `salt`: as of `dump`."""
    where = {"server": {"url": plan.url}, "stack": plan.stack, "environment": plan.environment}
    return {**where, **dump(plan, salt)}


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
    if history := body.pop("history", None):
        body["history"] = digest(history)
    if isinstance(step, SaveState):  # it holds the key of all digests of secrets
        del body["state"], body["created"], body["shard"], body["drops"]
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
                **({"promoted": dict(value.promoted)} if value.promoted else {}),
            }
        case Mapping():
            return {str(name): spell(item, key) for name, item in value.items()}
        case list() | tuple():
            return [spell(item, key) for item in value]
        case _:
            return value
