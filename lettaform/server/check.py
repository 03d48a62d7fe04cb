"""What only the server can say of a plan: whether it has the models, and what it makes of a tool's source."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from lettaform.errors import Problem, ServerError, Unavailable
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.model import Desired
from lettaform.server.client import Client
from lettaform.words import nearest


async def check(client: Client, wanted: Sequence[tuple[Desired, frozenset[str]]]) -> list[Problem]:
    """Problems of objects and the fields of them that would be written."""
    asked = [
        (desired, line)
        for desired, fields in wanted
        for name, line in kinds()[desired.kind].attrs().items()
        if name in fields and isinstance(desired.values.get(name), str)
    ]
    paths = sorted({line.offered for _, line in asked if line.offered})
    offers = dict(zip(paths, await asyncio.gather(*(_offer(client, path) for path in paths)), strict=True))
    tried = await asyncio.gather(*(_try(client, desired, line) for desired, line in asked if line.tried))
    known = [_handle(desired, line, offers[line.offered]) for desired, line in asked if line.offered]
    return [problem for problem in (*known, *tried) if problem is not None]


async def _offer(client: Client, path: str) -> list[str]:
    return [str(item.get("handle")) for item in await client.items(path)]


def _handle(desired: Desired, line: Attr, handles: list[str]) -> Problem | None:
    value = desired.values[line.name]
    if value in handles:
        return None
    near = nearest(value, handles)
    hint = f"did you mean `{near}`?" if near else f"it has {', '.join(sorted(handles)[:8]) or 'none'}"
    message = f"{desired.address}: the server has no {line.name} `{value}`"
    return Problem(message, desired.place_of(line.name), hint, str(desired.address), line.name)


async def _try(client: Client, desired: Desired, line: Attr) -> Problem | None:
    values: dict[str, Any] = dict(desired.values)
    given = values.get("json_schema") or values.get("args_json_schema")
    if given or values.get("source_type") == "typescript":
        return None
    try:
        schema = await client.send("POST", line.tried or "", body={"code": values[line.name]}, repeatable=True)
    except Unavailable:
        raise
    except ServerError as error:
        message = f"{desired.address}: the server cannot derive a schema: {error.words}"
        hint = "a docstring with an `Args:` entry and a type hint for every parameter"
        return Problem(message, desired.place_of(line.name), hint, str(desired.address), line.name)
    schema = schema if isinstance(schema, Mapping) else {}
    if schema.get("name") != values.get("name"):
        message = (
            f"{desired.address}: the server takes `{schema.get('name')}` for its function, not `{values.get('name')}`"
        )
        return Problem(message, desired.place_of(line.name), None, str(desired.address), line.name)
    return None
