"""A Step and the answer to it to the values that the server did not store, or refused. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.backend.v1.decode import decode
from lettaform.errors import NotStored, Problem, ServerError
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import Parts
from lettaform.model import Create, Discover, Update
from lettaform.values import UNREAD, Patch, Ref, canonical, fill

Answers = Callable[[Ref], Any]
"""The value of a Ref."""
HINT = "remove what the server does not store, or set another value"


def check_created(step: Create, result: Mapping[str, Any], answer: Answers) -> None:
    """Raise NotStored if the answer to a creation does not contain everything that was sent."""
    found = [(step.address, path) for path in not_stored(step.kind, step.fields, result, answer)]
    for name, part in _parts(step):
        labelled = {each.get("label"): each for each in result.get("blocks") or ()}
        for key, fields in step.parts.items():
            # 0.16.8 drops all but one of the blocks with the same label
            block, own = labelled.get(fields.get("label", key)), step.address.part(name, key)
            lost = [""] if block is None else not_stored(part.kind, fields, block, answer)
            found += [(own, path) for path in lost]
    raise_not_stored(found)


def raise_not_stored(found: Iterable[tuple[Address, str]]) -> None:
    """Raise NotStored if there are any: addresses, each with the path of a value; an empty path is the object."""
    problems = [Problem("not stored", address=str(address), field=path or None) for address, path in found]
    if problems:
        raise NotStored("the server answered 200 and did not store everything", HINT, problems=problems)


def not_stored(kind: str, fields: Mapping[str, Any], result: Mapping[str, Any] | None, answer: Answers) -> list[str]:
    """The paths of the values that were sent and that the answer does not contain, as in the manifest."""
    table = kinds()[kind]
    # the answer to a schedule is its id and the time of its next run
    if result is None or table.requests.below:
        return []
    live = decode(kind, result)
    lost: list[str] = []
    for name, value in fields.items():
        line, have = table.attrs()[name], live.values.get(name)
        if line.create_only or line.read is None or line.write is None or have is UNREAD:
            continue
        lost += _lost(table, line, fill(value, answer), have)
    return lost


def _lost(kind: type[Kind], line: Attr, want: Any, have: Any) -> Iterator[str]:
    entries = dict(want.entries) if isinstance(want, Patch) and want.entries is not None else want
    if isinstance(entries, Mapping) and (line.partial or line.secret):
        held = have if isinstance(have, Mapping) else {}
        for key, item in entries.items():
            # a server may answer secrets encrypted: only their names are compared
            if key not in held if line.secret else not _equal(kind, line, held.get(key), item):
                yield f"{line.name}.{key}"
        if isinstance(want, Patch) and not line.merges:
            yield from (f"{line.name}.{key}" for key in want.drop if held.get(key) is not None)
    elif isinstance(want, Patch):
        live, put, drop = (
            {kind.item_key(line.name, item) for item in each or ()} for each in (have, want.put, want.drop)
        )
        if put - live or drop & live:
            yield line.name
    elif line.additive:
        if any(each not in (have or ()) for each in want or ()):
            yield line.name
    elif line.secret:
        if want and not have:
            yield line.name
    elif not _equal(kind, line, _without_foreign(kind, line, want, have), want):
        yield line.name


def _without_foreign(kind: type[Kind], line: Attr, want: Any, have: Any) -> Any:
    """A live list without the items that the server has added by itself."""
    if not isinstance(have, list) or not isinstance(want, list):
        return have
    # 0.16.8 answers a declared item twice if it also adds it by itself, and stores it once
    declared, found = {kind.item_key(line.name, item) for item in want}, list[Any]()
    for item in have:
        added = kind.foreign(line.name, item)
        if not added or (kind.item_key(line.name, item) in declared and item not in found):
            found.append(item)
    return found


def _equal(kind: type[Kind], line: Attr, have: Any, want: Any) -> bool:
    """Whether a live value contains what was sent."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return all(_equal(kind, line, have.get(key), item) for key, item in want.items())
    empty = want in ("", [], {}) or want is None
    have, want = kind.normal(line.name, have), kind.normal(line.name, want)
    if line.unordered and isinstance(have, list) and isinstance(want, list):
        have, want = sorted(have, key=canonical), sorted(want, key=canonical)
    return (empty and not have) or canonical(have) == canonical(want) or want is None


# --- refusals --------------------------------------------------------------------------------------------------------


def refused(step: Create | Discover | Update, error: ServerError) -> ServerError:
    """A refusal that names fields of the manifest in place of properties of the request."""
    problems = {(each.address, each.field): each for each in (_in_manifest(step, one) for one in error.problems)}
    request: dict[str, Any] = {"method": error.method, "path": error.path, "status": error.status}
    message = f"the server refuses the request ({error.status})"
    return ServerError(message, error.hint, **request, words=error.words, problems=tuple(problems.values()))


def _in_manifest(step: Create | Discover | Update, problem: Problem) -> Problem:
    """A problem with a property of the body as one with a field of the object, or of a part that was sent with it."""
    steps = (problem.field or "").split(".")
    lines = {line.write: line for line in kinds()[step.kind].attrs().values() if line.write}
    at = next((index for index, each in enumerate(steps) if each in lines), None)
    if at is None:
        return replace(problem, address=str(step.address), field=None)
    line, inner = lines[steps[at]], steps[at + 1 :]
    if line.related(Parts) and inner and isinstance(step, Create):
        key = list(step.parts)[int(inner[0])]
        return replace(problem, address=str(step.address.part(line.name, key)), field=".".join(inner[1:]) or None)
    value = step.fields.get(line.name)
    value = dict(value.entries) if isinstance(value, Patch) and value.entries is not None else value
    return replace(problem, address=str(step.address), field=".".join([line.name, *_inside(value, inner)]))


def _inside(value: Any, steps: Iterable[str]) -> Iterator[str]:
    """The steps that lead into a value: others name types that the server tried."""
    for each in steps:
        if isinstance(value, Mapping) and each in value:
            value = value[each]
        elif isinstance(value, list | tuple) and each.isdecimal() and int(each) < len(value):
            value = value[int(each)]
        else:
            continue
        yield each


def _parts(step: Create) -> Iterator[tuple[str, Parts]]:
    if step.parts:
        yield from ((line.name, part) for line, part in kinds()[step.kind].relations(Parts))
