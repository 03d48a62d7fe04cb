"""A Plan, an Event, a Report, live objects and errors, to JSON values. The contract: `schemas/plan.schema.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_args

from lettaform import __version__, model, values
from lettaform.errors import LettaformError, ManifestError, Place, Problem, ServerError
from lettaform.kinds import kinds
from lettaform.kinds.base import Policy
from lettaform.render.clean import redact
from lettaform.values import Item, Patch, Ref, Secret, Template, tainted

FORMAT_VERSION = "1.0"
"""Of the plan object. The second number grows when something is added, the first when something breaks."""


def dumps(value: Any, *, indent: int | None = None) -> str:
    """JSON in ASCII: no terminal, log or pipe can stumble over it."""
    return json.dumps(value, indent=indent, allow_nan=False)


def plan(plan: model.Plan) -> dict[str, Any]:
    """The object that `plan --json` prints. Keys that say something rare are there only when they say it."""
    return {
        "format_version": FORMAT_VERSION,
        "lettaform_version": __version__,
        "stack": plan.stack,
        "server": {"url": plan.url, "version": plan.version},
        **({"environment": plan.environment} if plan.environment is not None else {}),
        "summary": dict(plan.summary),
        "changes": [_change(change) for change in plan.changes],
        "runtime": [
            {"address": str(moved.address), "path": moved.path} | ({"seed_moved": True} if moved.seed_moved else {})
            for moved in plan.runtime
        ],
        "unmanaged": [
            {"kind": item.kind, "id": item.id, "address": str(item.address), "reason": item.reason}
            for item in plan.unmanaged
        ],
        "outputs": {name: plain(value) for name, value in plan.outputs.items()},
        **({"warnings": [problem(warning) for warning in plan.warnings]} if plan.warnings else {}),
    }


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
        line["error"] = cause(outcome.error, secrets(step))
    if outcome and outcome.because is not None:
        line["because"] = outcome.because
    return line


def outcomes(report: model.Report) -> list[dict[str, Any]]:
    """What became of every step, for who comes after."""
    told = []
    for outcome in report.outcomes:
        line: dict[str, Any] = {"address": str(outcome.step.address), "op": outcome.step.op, "status": outcome.status}
        if outcome.error is not None:
            line["error"] = cause(outcome.error, secrets(outcome.step))
        if outcome.because is not None:
            line["because"] = outcome.because
        told.append(line)
    return told


def planned(value: model.Plan) -> dict[str, Any]:
    """The first line of `apply --json`."""
    return {"event": "plan", "plan": plan(value)}


def summary(report: model.Report | None) -> dict[str, Any]:
    """The last line of `apply --json`. None: there was nothing to do."""
    report = report or model.Report()
    line = {"event": "summary"} | {
        name: sum(1 for _ in report.of(status))
        for name, status in (("applied", "done"), ("failed", "failed"), ("skipped", "skipped"))
    }
    outputs = {name: plain(value) for name, value in report.outputs.items()}
    return {
        **line,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
        "exit_code": report.exit_code,
        **({"outputs": outputs} if outputs else {}),
    }


def live(item: model.Live, *, values: bool = True, mark: bool = False) -> dict[str, Any]:
    """A living object; secrets are null. `mark`: with what lettaform keeps about it."""
    shown: dict[str, Any] = {
        "address": str(item.address) if item.address else None,
        "kind": item.kind,
        "id": item.id,
        "name": item.name,
        "stack": item.stack,
        "marked": item.marked,
    }
    if values:
        hidden = secret_fields(item.kind)
        shown["values"] = {name: plain(value, hidden=name in hidden) for name, value in item.values.items()}
    if mark:
        shown["mark"] = {
            "base": dict(item.mark.base),
            "members": {name: plain(members) for name, members in item.mark.members.items()},
            "parts": {name: dict(base) for name, base in item.mark.parts.items()},
        }
    return shown


def problems(error: ManifestError) -> dict[str, Any]:
    """What is wrong with the files."""
    return {"problems": [problem(item) for item in error.problems]}


def problem(problem: Problem) -> dict[str, Any]:
    """One thing that is wrong."""
    place = problem.place
    return {
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "address": problem.address,
        "field": problem.field,
        "message": problem.message,
        "hint": problem.hint,
        "severity": problem.severity,
    }


def error(error: LettaformError) -> dict[str, Any]:
    """Any error, as `--json` prints it."""
    if isinstance(error, ManifestError):
        return problems(error)
    shown: dict[str, Any] = {"error": cause(error)}
    if error.problems:
        shown["problems"] = [problem(item) for item in error.problems]
    return shown


def cause(error: BaseException, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """What went wrong, without `secrets`."""
    hidden = tuple(secrets)
    shown: dict[str, Any] = {
        "type": type(error).__name__,
        "message": redact(error.message if isinstance(error, LettaformError) else str(error), hidden),
        "hint": error.hint and redact(error.hint, hidden) if isinstance(error, LettaformError) else None,
        "exit_code": error.exit_code if isinstance(error, LettaformError) else 1,
    }
    if isinstance(error, ServerError) and error.status:
        shown["request"] = {"method": error.method, "path": error.path, "status": error.status}
    return shown


def plain(value: Any, *, hidden: bool = False) -> Any:
    """`value` as JSON can say it: a Ref as `${address.id}`, a Secret as null. `hidden`: all of it is secret."""
    if isinstance(value, Mapping):
        return {str(key): plain(item, hidden=hidden) for key, item in value.items()}
    if hidden or isinstance(value, Secret):
        return None
    if isinstance(value, Ref):
        return expression(value)
    if isinstance(value, Item):
        return value.name
    if isinstance(value, Template):
        return "".join(part if isinstance(part, str) else expression(part) for part in value.parts)
    if isinstance(value, Patch):
        return _keep(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def expression(ref: Ref) -> str:
    """A Ref as people write it."""
    return f"${{{ref.address}.{ref.path}}}"


def secrets(step: model.Step) -> Iterator[str]:
    """Every secret text that a Step holds."""
    return (each.value for each in values.secrets(list(model.contents(step))))


def is_secret(difference: model.FieldChange) -> bool:
    """Whether neither side of it may be shown."""
    return difference.secret or tainted(difference.old) or tainted(difference.new)


@cache
def secret_fields(kind: str) -> frozenset[str]:
    """The fields of a kind that are never shown."""
    found = kinds().get(kind)
    return frozenset(name for name, line in found.attrs().items() if line.secret) if found else frozenset()


def _change(change: model.Change) -> dict[str, Any]:
    return {
        "address": str(change.address),
        "kind": change.kind,
        "id": change.id,
        "action": change.action,
        "reason": change.reason,
        "fields": [_difference(difference) for difference in change.fields_changed],
        "recompiles": change.recompiles,
        "place": _place(change.place) if change.place else None,
        **({"notes": list(change.notes)} if change.notes else {}),
    }


def _difference(difference: model.FieldChange) -> dict[str, Any]:
    hidden = is_secret(difference)
    return {
        "path": difference.path,
        "policy": difference.policy,
        "reason": difference.reason,
        "old": None if hidden else plain(difference.old),
        "new": None if hidden else plain(difference.new),
        "secret": hidden,
    }


def _place(place: Place) -> dict[str, Any]:
    return {"file": place.file, "line": place.line, "column": place.column}


def _keep(keep: Patch) -> dict[str, Any]:
    drop = {"remove": [plain(item) for item in keep.drop]} if keep.drop else {}
    if keep.entries is not None:
        return {"set": {key: plain(value) for key, value in keep.entries}} | drop
    return {"add": [plain(item) for item in keep.put]} | drop


# --- the contract ----------------------------------------------------------------------------------------------------

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def plan_schema() -> dict[str, Any]:
    """JSON Schema of the plan object. More keys may come within format_version 1; none of these goes."""
    actions = list(get_args(model.Action))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lettaform plan",
        "description": "What `lettaform plan --json` prints and `plan -o` saves. Secrets are never in it.",
        **_object(
            {
                "format_version": {"type": "string", "pattern": r"^1\.[0-9]+$"},
                "lettaform_version": _TEXT,
                "stack": _TEXT,
                "server": _object({"url": _TEXT, "version": _TEXT}),
                "environment": _TEXT | {"description": "Given when an environment was asked for."},
                "summary": _object(dict.fromkeys([*actions, "runtime", "conflict", "requests"], _COUNT)),
                "changes": _list(_ref("change"), "Objects with nothing to do are not listed."),
                "runtime": _list(_ref("runtime"), "Values that agents moved while they ran; kept."),
                "unmanaged": _list(_ref("unmanaged"), "What carries the stack's mark and is not declared."),
                "outputs": {"type": "object", "description": "Known values; `${address.id}` for what is not yet."},
                "warnings": _list(_ref("problem"), "Given when there are any."),
                "options": _saved("object", "What was asked of the plan."),
                "steps": {**_saved("array", "What is carried out, in order."), "items": _ref("step")},
                "barriers": {
                    **_saved("object", "Key of a barrier to the keys of the steps that it waits for."),
                    "additionalProperties": {"type": "array", "items": _TEXT},
                },
                "overwrites": {
                    **_saved("object", "Address to the digests of the values that are replaced, by path."),
                    "additionalProperties": {"type": "object"},
                },
            },
            optional={"environment", "warnings", "options", "steps", "barriers", "overwrites"},
        ),
        "$defs": {
            "change": _object(
                {
                    "address": _TEXT,
                    "kind": _TEXT,
                    "id": {"type": ["string", "null"], "description": "null: it does not exist yet."},
                    "action": {"enum": actions},
                    "reason": _TEXT,
                    "fields": _list(_ref("field"), "Exactly the fields that will be written."),
                    "recompiles": _COUNT | {"description": "Agents whose prompt the server compiles again."},
                    "place": {"anyOf": [_ref("place"), {"type": "null"}]},
                    "notes": {"type": "array", "items": _TEXT, "description": "Given when there are any."},
                },
                optional={"notes"},
            ),
            "field": {
                **_object(
                    {
                        "path": _TEXT,
                        "policy": {"enum": list(get_args(Policy))},
                        "reason": {"enum": list(get_args(model.Reason))},
                        "old": {"description": "As it is on the server."},
                        "new": {
                            "description": "As it will be. Where foreign members are kept, `{add, remove}` of a list "
                            "and `{set, remove}` of a map; the id of an object to come is `${address.id}`."
                        },
                        "secret": {"type": "boolean", "description": "Then `old` and `new` are null."},
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
            "place": _object({"file": _TEXT, "line": _COUNT, "column": _COUNT}),
            "problem": _object(
                {name: {"type": ["string", "null"]} for name in ("file", "address", "field", "hint")}
                | {name: {"type": ["integer", "null"]} for name in ("line", "column")}
                | {"message": _TEXT, "severity": {"enum": ["error", "warning"]}}
            ),
            "runtime": _object(
                {
                    "address": _TEXT,
                    "path": _TEXT,
                    "seed_moved": {"const": True, "description": "The manifest's value moved, too: see --reseed."},
                },
                optional={"seed_moved"},
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
