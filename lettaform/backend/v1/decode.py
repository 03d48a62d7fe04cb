"""The body of an answer to a Live object, in the manifest's names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, path_get
from lettaform.kinds.traits import Companions
from lettaform.model import LastRun, Live
from lettaform.ownership import marks
from lettaform.values import UNREAD, digest


def decode(kind: str, body: Mapping[str, Any], included: Collection[str] | None = None) -> Live:
    """An object of the server. `address` and `stack` are what its mark claims.

    included  the relations that the request asked for; None: all of them. 0.16.8 answers an empty list for a relation
              that was not asked for, so its fields are UNREAD.
    """
    table, included = kinds()[kind], None if included is None else frozenset(included)
    unused = table.agent_file is not None and table.agent_file.unused(body)
    activity = table.agent_file.activity(body) if table.agent_file else None
    body = table.decode(body)
    values = {name: _value(path, body, unordered) for name, path, unordered in _paths(table, included)}
    claim, mark = marks.read(table, body, values)
    return Live(
        kind=kind,
        id=body["id"],
        name=str(values.get(table.name_field) or ""),
        values=values,
        address=claim.address if claim else None,
        stack=claim.stack if claim else None,
        mark=mark,
        marked=claim is not None and claim.address is not None,
        discovered=_discovered(table, body, included),
        unused=unused,
        activity="" if activity is None else digest(activity),
        names=_names(table, body),
        created=str(body.get("created_at") or ""),
        last_run=_last_run(table, body),
    )


def _last_run(table: type[Kind], body: Mapping[str, Any]) -> LastRun | None:
    """What an answer says about the last run of an object; None if it says nothing."""
    if table.runs is None:
        return None
    at, reason = (str(body.get(name) or "") if name else "" for name in (table.runs.at, table.runs.reason))
    return LastRun(at, reason) if at or reason else None


def _names(table: type[Kind], body: Mapping[str, Any]) -> Mapping[str, str]:
    """Id to name of the objects to which an answer refers, as far as it says them."""
    every = ((each, field) for path, field in _references(table) for each in path_get(body, path) or ())
    return {each["id"]: str(name) for each, field in every if (name := each.get(field))}


@cache
def _references(table: type[Kind]) -> tuple[tuple[str, str], ...]:
    """Where answers hold the objects to which an object refers, and the field with their names."""
    found = (((line.read or "").partition("[]."), line.to) for line in table.attrs().values() if line.to)
    return tuple((path, kinds()[to].name_field) for (path, _, key), to in found if key == "id")


@cache
def _paths(table: type[Kind], included: frozenset[str] | None) -> tuple[tuple[str, str | None, bool], ...]:
    """Each field, where answers hold it, and whether its order means nothing. None: it was not asked for."""
    every = [line for line in table.attrs().values() if line.read or line.read_apart()]
    asked = {line.name for line in every if not line.read_apart() and _asked(line, included)}
    return tuple((line.name, line.read if line.name in asked else None, line.unordered) for line in every)


def _value(path: str | None, body: Mapping[str, Any], unordered: bool) -> Any:
    if path is None:
        return UNREAD
    value = path_get(body, path)
    # 0.16.8 answers relations in any order
    return sorted(value, key=repr) if unordered and isinstance(value, list) else value


def _asked(line: Attr, included: Collection[str] | None) -> bool:
    return line.include is None or included is None or line.include in included


def _discovered(
    table: type[Kind], body: Mapping[str, Any], included: Collection[str] | None
) -> Mapping[str, tuple[str, ...]]:
    found = {}
    for kind, path in table.discovers.items():
        creator = next((line for line, created in table.relations(Companions) if kind in created.kinds), None)
        if not path.startswith("/") and (creator is None or _asked(creator, included)):
            found[kind] = tuple(_ids(path_get(body, path)))
    return found


def _ids(value: Any) -> list[str]:
    every = value if isinstance(value, list) else [value] if value else []
    return [each["id"] if isinstance(each, Mapping) else each for each in every]
