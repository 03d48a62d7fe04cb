"""What only the server can check of a plan: its models, the schemas of its tools, and what its objects discover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lettaform.backend.concurrency import together
from lettaform.backend.v1.client import Client
from lettaform.errors import NotFound, Problem, ServerError, Unavailable, Unsupported, nearest
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import SourceFile
from lettaform.model import Desired, Observed
from lettaform.values import fill, refs, secrets


async def check(client: Client, wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed) -> list[Problem]:
    """The problems of objects and of those of their fields that would be written. Raises Unavailable."""
    asked = [
        (desired, line)
        for desired, fields in wanted
        for name, line in kinds()[desired.kind].attrs().items()
        if name in fields and isinstance(desired.values.get(name), str)
    ]
    paths = sorted({line.offered for _, line in asked if line.offered})
    offers = dict(zip(paths, await together(_handles(client, path) for path in paths), strict=True))
    tried = await together(
        _schema_problem(client, desired, line) for desired, line in asked if line.related(SourceFile)
    )
    known = [_handle_problem(desired, line, offers[line.offered]) for desired, line in asked if line.offered]
    answers = await together(_offered_names(client, desired, observed) for desired, _ in wanted)
    reached = [(desired, each) for (desired, _), each in zip(wanted, answers, strict=True)]
    lost = [each for each in answers if isinstance(each, Problem)]
    offering = [(desired, each) for desired, each in reached if isinstance(each, list)]
    problems = (*known, *tried, *lost, *_offer_problems(offering, wanted, observed))
    return [problem for problem in problems if problem is not None]


async def _offered_names(client: Client, desired: Desired, observed: Observed) -> list[str] | Problem | None:
    """The names of the tools that an object would offer as it is declared. None if it offers none, or not yet."""
    live = observed.objects.get(desired.address)
    values = {**(live.values if live else {}), **desired.values}
    for name, line in kinds()[desired.kind].attrs().items():
        if live and line.partial and isinstance(values.get(name), Mapping):  # entries of others are kept
            both = {**(live.values.get(name) or {}), **values[name]}
            values[name] = {key: value for key, value in both.items() if value is not None}
    if desired.external or any(True for _ in refs(values)):
        return None
    preview = kinds()[desired.kind].preview
    if preview is None:
        return None
    address, place = str(desired.address), desired.place
    for secret in secrets(values):
        client.hide(*secret.texts)
    try:
        answer = await client.send("POST", preview.path, body=preview.body(fill(values, str)))
    except (NotFound, Unsupported):
        return None  # such a server answers with an error when the object is created
    except ServerError as error:
        if isinstance(error, Unavailable) and error.status != 502 and not error.silent:
            raise
        words = error.words or "it does not answer"
        return Problem(f"{address}: the server cannot reach it: {words}", place, None, address)
    offered = client.as_object(answer, "POST", preview.path, ())
    tools = [client.as_object(each, "POST", preview.path, ("name",)) for each in offered.get("tools") or ()]
    return [str(each["name"]) for each in tools]


def _offer_problems(
    offering: Sequence[tuple[Desired, list[str]]], wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed
) -> Iterator[Problem]:
    """Problems of offered tools: one replaces another tool, or the manifest names one that is not offered."""
    declared = {str(each.values.get("name")): str(each.address) for each, _ in wanted if each.kind == "tool"}
    for desired, names in offering:
        yield from _name_clashes(desired, names, declared, observed)
        yield from _missing_tools(desired, names, wanted, observed)
        declared = dict.fromkeys(names, str(desired.address)) | declared


def _name_clashes(
    desired: Desired, names: list[str], declared: Mapping[str, str], observed: Observed
) -> Iterator[Problem]:
    """0.16.8 turns an existing tool of the same name into the MCP server's, and deletes it together with the server."""
    live = observed.objects.get(desired.address)
    id = live.id if live else None
    there = {
        each.name: each for each in (*observed.foreign.values(), *observed.objects.values()) if each.kind == "tool"
    }
    for name in names:
        other = there.get(name)
        foreign = other is not None and (id is None or other.values.get("mcp") != id)
        if foreign or name in declared:
            owner = declared.get(name) or (other and str(other.address or other.id))
            message = f"{desired.address} offers a tool `{name}`, and {owner} has that name already: it would be lost"
            yield Problem(
                message,
                desired.place,
                "tool names are unique on the server: rename one of the two",
                str(desired.address),
            )


def _missing_tools(
    desired: Desired, names: list[str], wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed
) -> Iterator[Problem]:
    """Tools that the manifest names and that the object does not offer."""
    for tool, _ in wanted:
        if tool.external and tool.external.offered_by == desired.address and tool.external.name not in names:
            near = nearest(tool.external.name or "", names)
            hint = f"did you mean `{near}`?" if near else f"it offers {', '.join(sorted(names)) or 'none'}"
            message = f"{tool.address}: {desired.address} offers no tool `{tool.external.name}`"
            yield Problem(message, tool.place, hint, str(tool.address))
    live = observed.objects.get(desired.address)
    for address, each in observed.objects.items():
        if live and each.kind == "tool" and each.values.get("mcp") == live.id and each.name not in names:
            message = f"{desired.address} would no longer offer {address}, which the manifest names"
            yield Problem(message, desired.place, f"it offers {', '.join(sorted(names)) or 'none'}", str(address))


async def _handles(client: Client, path: str) -> list[str]:
    return [str(item.get("handle")) for item in await client.items(path)]


def _handle_problem(desired: Desired, line: Attr, handles: list[str]) -> Problem | None:
    value = desired.values[line.name]
    if value in handles:
        return None
    near = nearest(value, handles)
    hint = f"did you mean `{near}`?" if near else f"it has {', '.join(sorted(handles)[:8]) or 'none'}"
    message = f"{desired.address}: the server has no {line.name} `{value}`"
    return Problem(message, desired.place_of(line.name), hint, str(desired.address), line.name)


async def _schema_problem(client: Client, desired: Desired, line: Attr) -> Problem | None:
    values: dict[str, Any] = dict(desired.values)
    source = line.related(SourceFile)
    given = values.get("json_schema") or values.get("args_json_schema")
    if source is None or given or values.get("source_type") == "typescript":
        return None
    try:
        schema = await client.send("POST", source.schema_path, body={"code": values[line.name]}, repeatable=True)
    except Unavailable:
        raise
    except ServerError as error:
        message = f"{desired.address}: the server cannot derive a schema: {error.words}"
        hint = source.hint(values[line.name])
        return Problem(message, desired.place_of(line.name), hint, str(desired.address), line.name)
    schema = schema if isinstance(schema, Mapping) else {}
    if schema.get("name") != values.get("name"):
        message = (
            f"{desired.address}: the server takes `{schema.get('name')}` for its function, not `{values.get('name')}`"
        )
        return Problem(message, desired.place_of(line.name), None, str(desired.address), line.name)
    return None
