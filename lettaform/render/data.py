"""Plans, events, reports, live objects and errors to JSON values. `schemas/plan.schema.json` describes the plan."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, get_args

from lettaform import __version__, model, values
from lettaform.address import Address
from lettaform.errors import LettaformError, ManifestError, Place, Problem, ServerError
from lettaform.kinds import kinds
from lettaform.kinds.traits import Policy
from lettaform.plan.saved import approval
from lettaform.render.clean import redact
from lettaform.values import UNREAD, Item, Patch, Ref, Secret, Template, tainted, walk

FORMAT_VERSION = "1.0"
"""Version of the plan object. The second number grows with a new key, the first with an incompatible change."""

_UNSAFE = re.compile(r"[<>]|##\w*\[")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """JSON in ASCII, so that every terminal, log and pipe can show it.

    It can stand in a page, and a CI that prints it finds no command in it: `<`, `>` and `##[` are escaped.
    """
    text = json.dumps(value, indent=indent, allow_nan=False)  # these characters stand in texts alone
    return _UNSAFE.sub(lambda found: f"{found[0][:-1]}\\u{ord(found[0][-1]):04x}", text)


def plan(plan: model.Plan) -> dict[str, Any]:
    """The object that `plan --json` prints. Optional keys are left out where they have no value."""
    return {
        "format_version": FORMAT_VERSION,
        "lettaform_version": __version__,
        "stack": plan.stack,
        "server": {"url": plan.url, "version": plan.version},
        **({"environment": plan.environment} if plan.environment is not None else {}),
        **({"shard": str(plan.options.shard)} if plan.options.shard else {}),
        **({"digest": approval(plan)} if plan else {}),
        "summary": dict(plan.summary),
        "changes": [change_data(change) for change in plan.changes],
        "runtime": [
            {"address": str(kept.address), "path": kept.path}
            | ({"seed_moved": True} if kept.seed_moved else {})
            | ({} if kept.live_moved else {"live_moved": False})
            | ({"conflict": vars(kept.conflict)} if kept.conflict else {})
            for kept in plan.runtime
        ],
        "unmanaged": [unmanaged(item) for item in plan.unmanaged],
        "outputs": {name: to_json(value) for name, value in plan.outputs.items()},
        **({"warnings": [problem(warning) for warning in plan.warnings]} if plan.warnings else {}),
        **({"names": names} if (names := _names(plan)) else {}),
        **({"shared": {str(each): [*map(str, users)] for each, users in plan.shared.items()}} if plan.shared else {}),
        **({"prompts": [prompt(each) for each in plan.prompts]} if plan.prompts else {}),
        **({"waiting": waiting(plan.waiting)} if plan.waiting else {}),
    }


def waiting(found: Mapping[Address, Sequence[Address]]) -> dict[str, list[str]]:
    """Address of each object that waits for other shards, to the addresses for which it waits."""
    return {str(each): [*map(str, needed)] for each, needed in sorted(found.items())}


def prompt(change: model.PromptChange) -> dict[str, Any]:
    """The size of a prompt before and after, as in `prompts` of a plan."""
    known = {name: value for name in ("window", "context") if (value := getattr(change, name)) is not None}
    sizes = {"before": change.before, "after": change.after}
    return {"address": str(change.address), "id": change.id, **sizes, **known, "near_limit": change.is_near}


def _names(plan: model.Plan) -> dict[str, str]:
    """Id to what people call the object, of each id in the fields that are shown."""
    shown = (field for change in plan.changes for field in change.fields_changed if not is_secret(field, change.kind))
    ids = (each for field in shown for each in walk([field.old, field.new]) if isinstance(each, str))
    return {id: plan.names[id] for id in ids if id in plan.names}


def event(event: model.Event) -> dict[str, Any]:
    """One line of `apply --json`."""
    step, outcome = event.step, event.outcome
    line: dict[str, Any] = {
        "event": event.event,
        "address": str(step.address),
        "kind": step.kind,
        "op": step.op,
        "id": outcome.answer.id if outcome and outcome.answer else step.id,
        "finished": event.finished,
        "total": event.total,
        "seconds": round(event.seconds, 3),
    }
    if outcome and outcome.error is not None:
        line["error"] = exception(outcome.error, secrets(step))
    if outcome and outcome.because is not None:
        line["because"] = outcome.because
    return line


def outcomes(report: model.Report) -> list[dict[str, Any]]:
    """The outcome of every step, for `.lettaform/last-apply.json`."""
    lines = []
    for outcome in report.outcomes:
        line: dict[str, Any] = {"address": str(outcome.step.address), "op": outcome.step.op, "status": outcome.status}
        if outcome.error is not None:
            line["error"] = exception(outcome.error, secrets(outcome.step))
        if outcome.because is not None:
            line["because"] = outcome.because
        lines.append(line)
    return lines


def plan_event(value: model.Plan) -> dict[str, Any]:
    """The first line of `apply --json`."""
    return {"event": "plan", "plan": plan(value)}


def summary(report: model.Report | None) -> dict[str, Any]:
    """The last line of `apply --json`. `report` is None if nothing was applied."""
    report = report or model.Report()
    line = {"event": "summary"} | {
        name: sum(1 for _ in report.of(status))
        for name, status in (("applied", "done"), ("failed", "failed"), ("skipped", "skipped"))
    }
    outputs = {name: to_json(value) for name, value in report.outputs.items()}
    return {
        **line,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
        "exit_code": report.exit_code,
        **({"outputs": outputs} if outputs else {}),
        **({"snapshot": report.snapshot} if report.snapshot else {}),
        **({"warnings": [problem(each) for each in report.warnings]} if report.warnings else {}),
        **({"waiting": waiting(report.waiting)} if report.waiting else {}),
        **({"verified": _verified(report.verified)} if report.verified else {}),
    }


def _verified(found: model.Verified) -> dict[str, Any]:
    """What a migration found when it compared both servers with its snapshot."""
    return {
        "differences": [change_data(change) for change in found.differences],
        "moved": [change_data(change) for change in found.moved],
        **({"error": found.error} if found.error else {}),
    }


def live(item: model.Live, *, values: bool = True, mark: bool = False) -> dict[str, Any]:
    """A live object. Secrets are null; fields that were not read are left out. `mark`: with lettaform's mark on it."""
    shown: dict[str, Any] = {
        "address": str(item.address) if item.address else None,
        "kind": item.kind,
        "id": item.id,
        "name": item.name,
        "stack": item.stack,
        "marked": item.marked,
    }
    if values:
        secret = secret_fields(item.kind)
        shown["values"] = {
            name: to_json(_with_visible_literals(value), secret=name in secret)
            for name, value in item.values.items()
            if value is not UNREAD
        }
    if item.applied:
        shown["applied"] = run(item.applied)
    if mark:
        shown["mark"] = {
            "base": dict(item.mark.base),
            "members": {name: to_json(members) for name, members in item.mark.members.items()},
            "parts": {name: dict(base) for name, base in item.mark.parts.items()},
        }
    return shown


def lock(held: model.Lock) -> dict[str, Any]:
    """A lock that a run holds."""
    shard = str(held.shard) if held.shard else None
    return {"shard": shard, "holder": held.holder, "since": held.since, "run": held.run, "id": held.id}


def run(applied: model.Applied) -> dict[str, Any]:
    """One run in the history of a stack."""
    return {**vars(applied), "changes": dict(applied.changes)}


def problems(error: ManifestError) -> dict[str, Any]:
    """All problems of a manifest."""
    return {"problems": [problem(item) for item in error.problems]}


def problem(problem: Problem) -> dict[str, Any]:
    """One problem."""
    place = problem.place
    return {
        "id": problem.rule or None,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "address": problem.address,
        "field": problem.field,
        "message": problem.message,
        "hint": problem.hint,
        "severity": problem.severity,
    }


def imported(found: model.Imported) -> dict[str, Any]:
    """The object that `import --all`, `from-af` and `from-lettactl` print with `--json`. Contains no secrets."""
    return {
        "format_version": FORMAT_VERSION,
        "stack": found.stack,
        "folder": found.folder,
        "files": list(found.files),
        "objects": dict(found.objects),
        "declarations": dict(found.declarations),
        "adopted": [{"address": address, "id": id} for address, id in found.adopted.items()],
        "adopted_by_name": [{"address": address, "name": name} for address, name in found.by_name.items()],
        "not_declared": [_not_declared(each) for each in found.not_declared],
        "variables": list(found.variables),
        "environment": dict(found.environment),
        "owned": dict(found.owned),
        "requests": found.requests,
    }


def _not_declared(each: model.NotDeclared) -> dict[str, Any]:
    place = each.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else {}
    more = {name: value for name, value in (("id", each.id), ("hint", each.hint)) if value}
    return {"what": each.what, "reason": each.reason, **more, **where}


def agent_import(found: model.AgentImport) -> dict[str, Any]:
    """The object that `import --af FILE --json` prints. Contains no secrets."""
    return {
        "format_version": FORMAT_VERSION,
        "address": str(found.address),
        "id": found.id,
        "name": found.name,
        "file": found.file,
        "messages": found.messages,
        "blocks": list(found.own),
        "shared_blocks": {label: str(address) for label, address in found.bound.items()},
        "tools": list(found.tools),
        "left_out": [{"what": each.what, "reason": each.reason} for each in found.left],
        "continued": found.begun,
    }


def error(error: LettaformError) -> dict[str, Any]:
    """An error, as `--json` prints it."""
    if isinstance(error, ManifestError):
        return problems(error)
    shown: dict[str, Any] = {"error": exception(error)}
    if error.problems:
        shown["problems"] = [problem(item) for item in error.problems]
    return shown


def exception(error: BaseException, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """An exception, with `secrets` redacted."""
    hidden = tuple(secrets)
    shown: dict[str, Any] = {
        "type": type(error).__name__,
        "message": redact(error.message if isinstance(error, LettaformError) else str(error), hidden),
        "hint": error.hint and redact(error.hint, hidden) if isinstance(error, LettaformError) else None,
        "exit_code": error.exit_code if isinstance(error, LettaformError) else 1,
    }
    if isinstance(error, ServerError) and error.status:
        shown["request"] = {"method": error.method, "path": error.path, "status": error.status}
    if isinstance(error, ServerError) and error.problems:
        redacted = (replace(each, message=redact(each.message, hidden)) for each in error.problems)
        shown["problems"] = [problem(each) for each in redacted]
    return shown


def to_json(value: Any, *, secret: bool = False) -> Any:
    """`value` in JSON. A Ref is `${address.id}`, a Secret is null. `secret`: every value inside is secret."""
    match value:
        case Mapping():
            return {str(key): to_json(item, secret=secret) for key, item in value.items()}
        case _ if secret:
            return None
        case Secret():
            return None
        case Ref():
            return ref_expression(value)
        case Template():
            return "".join(part if isinstance(part, str) else ref_expression(part) for part in value.parts)
        case Patch():
            return _patch(value)
        case Item():
            return value.name
        case list() | tuple() | set() | frozenset():
            return [to_json(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case None | str() | bool() | int() | float():
            return value
        case _:
            return str(value)


def without(value: Any, hidden: Collection[str]) -> Any:
    """A live value without texts that must not be shown: agents and people write secrets down."""
    match value:
        case str():
            return redact(value, hidden)
        case Mapping():
            return {key: without(item, hidden) for key, item in value.items()}
        case list():
            return [without(item, hidden) for item in value]
        case Item():
            return replace(value, name=redact(value.name, hidden))
        case _:
            return value


def ref_expression(ref: Ref) -> str:
    """A Ref as it is written in a manifest."""
    return f"${{{ref.address}.{ref.path}}}"


def secrets(step: model.Step) -> Iterator[str]:
    """The text of every secret in a Step."""
    return (text for each in values.secrets(list(model.contents(step))) for text in each.texts)


def is_secret(field: model.FieldChange, kind: str) -> bool:
    """Whether the old and the new value of a field of a kind must not be shown at all."""
    hidden = field.secret or tainted(field.old) or tainted(field.new)
    return hidden and field.path.partition(".")[0] not in _embedding_fields(kind)


@cache
def _embedding_fields(kind: str) -> frozenset[str]:
    """The fields of a kind in which secrets can be a part of a value that is shown."""
    found = kinds().get(kind)
    return frozenset(name for name, line in found.attrs().items() if line.embeds) if found else frozenset()


@cache
def secret_fields(kind: str) -> frozenset[str]:
    """The fields of a kind whose values are secret."""
    found = kinds().get(kind)
    return frozenset(name for name, line in found.attrs().items() if line.secret) if found else frozenset()


def change_data(change: model.Change) -> dict[str, Any]:
    """One change, as in `changes` of a plan."""
    return {
        "address": str(change.address),
        **({"name": change.name} if change.name else {}),
        "kind": change.kind,
        "id": change.id,
        "action": change.action,
        "reason": change.reason,
        "fields": [_field_change(field, change.kind) for field in change.fields_changed],
        "recompiles": change.recompiles,
        **({"conversations": change.conversations} if change.conversations else {}),
        "place": place(change.place),
        **({"notes": list(change.notes)} if change.notes else {}),
    }


def _field_change(field: model.FieldChange, kind: str) -> dict[str, Any]:
    old, new = sides(field, kind)
    shown = {"path": field.path, "policy": field.policy, "reason": field.reason}
    return {**shown, "old": old, "new": new, "secret": is_secret(field, kind)}


def sides(field: model.FieldChange, kind: str) -> tuple[Any, Any]:
    """The old and the new value of a field, without secrets."""
    if is_secret(field, kind):
        return None, None
    return to_json(_with_visible_literals(field.old)), to_json(_with_visible_literals(field.new))


def _with_visible_literals(value: Any) -> Any:
    """`value` with `‹secret›` in place of what must not be shown."""
    return values.rebuild(value, lambda each: str(each) if isinstance(each, Secret) else each)


def place(place: Place | None) -> dict[str, Any] | None:
    """Where something is declared."""
    return {"file": place.file, "line": place.line, "column": place.column} if place else None


def unmanaged(item: model.Unmanaged) -> dict[str, Any]:
    """An object of the stack that the manifest does not declare."""
    return {"kind": item.kind, "id": item.id, "address": str(item.address), "reason": item.reason}


def _patch(patch: Patch) -> dict[str, Any]:
    removed = {"remove": [to_json(item) for item in patch.drop]} if patch.drop else {}
    if patch.entries is not None:
        return {"set": {key: to_json(value) for key, value in patch.entries}} | removed
    return {"add": [to_json(item) for item in patch.put]} | removed


# --- the JSON Schema of a plan ----------------------------------------------------------------------------------------

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def plan_schema() -> dict[str, Any]:
    """JSON Schema of the plan object. Within format_version 1, keys may be added and none is removed."""
    actions = list(get_args(model.Action))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lettaform plan",
        "description": "What `lettaform plan --json` prints and `lettaform plan -o FILE` saves. Contains no secrets.",
        **_object(
            {
                "format_version": {"type": "string", "pattern": r"^1\.[0-9]+$"},
                "lettaform_version": _TEXT,
                "stack": _TEXT,
                "server": _object({"url": _TEXT, "version": _TEXT}),
                "environment": _TEXT | {"description": "Present if an environment was selected with -e."},
                "shard": _TEXT | {"description": "Such as `3/16`. Present if one was selected with --shard."},
                "digest": _TEXT
                | {"description": "What `lettaform apply --approve DIGEST` takes. Present if the plan does anything."},
                "summary": _object(dict.fromkeys([*actions, "unchanged", "runtime", "conflict", "requests"], _COUNT)),
                "changes": _list(_ref("change"), "The objects that will change. Unchanged objects are not listed."),
                "runtime": _list(_ref("runtime"), "Values that agents changed. They are kept."),
                "unmanaged": _list(
                    _ref("unmanaged"), "Objects with the stack's mark that the manifest does not manage."
                ),
                "outputs": {
                    "type": "object",
                    "description": "Output values; `${address.id}` for an id that is not known yet.",
                },
                "warnings": _list(_ref("problem"), "Present if there are any."),
                "names": {
                    "type": "object",
                    "description": "Id to address or name of objects to which fields refer. Present if there are any.",
                    "additionalProperties": _TEXT,
                },
                "shared": {
                    "type": "object",
                    "description": "Address of a block, folder or archive to the addresses of the objects to which "
                    "the manifest attaches it. Present if there are any.",
                    "additionalProperties": {"type": "array", "items": _TEXT},
                },
                "prompts": _list(
                    _ref("prompt"),
                    "How long the prompts become that the plan creates or changes. Present if there are any.",
                ),
                "waiting": {
                    "type": "object",
                    "description": "Address of an object that is left out, to those of other shards for which it "
                    "waits. Present if there are any.",
                    "additionalProperties": {"type": "array", "items": _TEXT},
                },
                "salt": _saved("string", "The key of the digests of secrets, if the stack has none yet."),
                "options": _saved("object", "The options of the plan."),
                "steps": {**_saved("array", "The operations of the apply, in order."), "items": _ref("step")},
                "barriers": {
                    **_saved("object", "Key of a barrier to the keys of the steps that it waits for."),
                    "additionalProperties": {"type": "array", "items": _TEXT},
                },
                "overwrites": {
                    **_saved("object", "Address to the digests of the values that are replaced, by path."),
                    "additionalProperties": {"type": "object"},
                },
                "secrets": {
                    **_saved("object", "Source of each secret that is written to the addresses it is written to."),
                    "additionalProperties": {"type": "array", "items": _TEXT},
                },
                "manifest": _saved("object", "What the plan was made from, without the values of secrets."),
                "inputs": {
                    **_saved("object", "Digests of the files and variables from which the plan was made."),
                    "properties": {
                        "files": {"type": "object", "additionalProperties": _TEXT},
                        "variables": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
                    },
                },
            },
            optional={
                "digest",
                "environment",
                "warnings",
                "names",
                "shared",
                "prompts",
                "shard",
                "waiting",
                "salt",
                "options",
                "steps",
                "barriers",
                "overwrites",
                "secrets",
                "manifest",
                "inputs",
            },
        ),
        "$defs": {
            "change": _object(
                {
                    "address": _TEXT,
                    "name": _TEXT | {"description": "Name of the object. Present for agents that `matches` selects."},
                    "kind": _TEXT,
                    "id": {"type": ["string", "null"], "description": "null if the object does not exist yet."},
                    "action": {"enum": actions},
                    "reason": _TEXT,
                    "fields": _list(_ref("field"), "The fields that will be written, and no others."),
                    "recompiles": _COUNT | {"description": "Number of agents whose system prompt is recompiled."},
                    "conversations": _COUNT
                    | {"description": "Number of conversations that are recompiled. Present if there are any."},
                    "place": {"anyOf": [_ref("place"), {"type": "null"}]},
                    "notes": {"type": "array", "items": _TEXT, "description": "Present if there are any."},
                },
                optional={"name", "notes", "conversations"},
            ),
            "field": {
                **_object(
                    {
                        "path": _TEXT,
                        "policy": {"enum": list(get_args(Policy))},
                        "reason": {"enum": list(get_args(model.Reason))},
                        "old": {"description": "The value on the server."},
                        "new": {
                            "description": "The value after the apply. `{add, remove}` for a list and `{set, remove}` "
                            "for a map whose other members are kept. `${address.id}` for an id that is not known yet."
                        },
                        "secret": {"type": "boolean", "description": "If true, `old` and `new` are null."},
                    }
                ),
                "if": {"properties": {"secret": {"const": True}}},
                "then": {"properties": {"old": {"type": "null"}, "new": {"type": "null"}}},
            },
            "step": _object(
                {
                    "op": {"enum": list(get_args(model.Operation))},
                    "key": _TEXT,
                    "address": _TEXT,
                    "kind": _TEXT,
                    "after": _list(_TEXT, "Keys of the steps and barriers that must have succeeded."),
                    "after_end": _list(_TEXT, "Keys of the steps and barriers that must have ended, well or not."),
                }
            ),
            "prompt": _object(
                {
                    "address": _TEXT,
                    "id": {"type": ["string", "null"], "description": "null if the plan creates the agent."},
                    "before": {"type": ["integer", "null"], "description": "Estimated tokens; null for a new agent."},
                    "after": _COUNT | {"description": "Estimated tokens: system prompt, memory blocks and rules."},
                    "window": _COUNT | {"description": "Tokens of the context window. Present if it is known."},
                    "context": _COUNT
                    | {
                        "description": "Tokens of the whole context before the plan, with tools and messages, as the "
                        "server counts them. Present with `--cost`."
                    },
                    "near_limit": {"type": "boolean", "description": "Whether the window is nearly full afterwards."},
                },
                optional={"window", "context"},
            ),
            "place": _object({"file": _TEXT, "line": _COUNT, "column": _COUNT}),
            "problem": _object(
                {name: {"type": ["string", "null"]} for name in ("id", "file", "address", "field", "hint")}
                | {name: {"type": ["integer", "null"]} for name in ("line", "column")}
                | {"message": _TEXT, "severity": {"enum": ["error", "warning"]}}
            ),
            "runtime": _object(
                {
                    "address": _TEXT,
                    "path": _TEXT,
                    "seed_moved": {
                        "const": True,
                        "description": "The manifest's value changed, too; `--reseed` writes it.",
                    },
                    "live_moved": {
                        "const": False,
                        "description": "Present if the manifest's value alone has changed.",
                    },
                    "conflict": _object({"reason": _TEXT, "text": _TEXT})
                    | {"description": "Why the text cannot be merged, with its versions. The plan is not applied."},
                },
                optional={"seed_moved", "live_moved", "conflict"},
            ),
            "unmanaged": _object({"kind": _TEXT, "id": _TEXT, "address": _TEXT, "reason": _TEXT}),
        },
    }


def _object(properties: dict[str, Any], optional: Iterable[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in set(optional)],
    }


def _saved(type: str, description: str) -> dict[str, Any]:
    return {"type": type, "description": f"{description} In a saved plan only."}


def _list(items: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": items, "description": description}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}
