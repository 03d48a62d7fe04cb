"""The body of an answer to a Live object, in the manifest's names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, path_get
from lettaform.kinds.traits import Companions
from lettaform.model import Live
from lettaform.ownership import marks
from lettaform.values import UNREAD


def decode(kind: str, body: Mapping[str, Any], included: Collection[str] | None = None) -> Live:
    """An object of the server. `address` and `stack` are what its mark claims.

    included  the relations that the request asked for; None: all of them. 0.16.8 answers an empty list for a relation
              that was not asked for, so its fields are UNREAD.
    """
    table = kinds()[kind]
    unused = table.agent_file is not None and table.agent_file.unused(body)
    body = table.decode(body)
    values = {
        name: _value(line, body, included) for name, line in table.attrs().items() if line.read or line.read_apart()
    }
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
        names=_names(table, body),
    )


def _names(table: type[Kind], body: Mapping[str, Any]) -> Mapping[str, str]:
    """Id to name of the objects to which an answer refers, as far as it says them."""
    found = {}
    for line in table.attrs().values():
        path, _, key = (line.read or "").partition("[].")
        for each in (path_get(body, path) or ()) if line.to and key == "id" else ():
            if name := each.get(kinds()[line.to or ""].name_field):
                found[each["id"]] = str(name)
    return found


def _value(line: Attr, body: Mapping[str, Any], included: Collection[str] | None) -> Any:
    if line.read_apart() or not line.read or not _asked(line, included):
        return UNREAD
    value = path_get(body, line.read)
    # 0.16.8 answers relations in any order
    return sorted(value, key=repr) if line.unordered and isinstance(value, list) else value


def _asked(line: Attr, included: Collection[str] | None) -> bool:
    return line.include is None or included is None or line.include in included


def _discovered(
    table: type[Kind], body: Mapping[str, Any], included: Collection[str] | None
) -> Mapping[str, tuple[str, ...]]:
    found = {}
    for kind, path in table.discovers.items():
        creator = next((line for line in table.attrs().values() if kind in _companions(line)), None)
        if not path.startswith("/") and (creator is None or _asked(creator, included)):
            found[kind] = tuple(_ids(path_get(body, path)))
    return found


def _ids(value: Any) -> list[str]:
    every = value if isinstance(value, list) else [value] if value else []
    return [each["id"] if isinstance(each, Mapping) else each for each in every]


def _companions(line: Attr) -> Collection[str]:
    """The kinds that the server creates along with an object where the field is set."""
    companions = line.related(Companions)
    return companions.kinds if companions else ()
