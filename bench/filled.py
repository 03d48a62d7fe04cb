"""A stand-in that holds a fleet of any size, as an apply leaves it: without the requests of one."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from bench.fleet import memory, name, tags, write
from lettaform import flow
from lettaform.address import Address
from lettaform.backend import connect
from lettaform.ownership import state
from lettaform.values import digest
from tests.standin import StandIn

URL = "http://stand.in"


@contextmanager
def connected(standin: StandIn) -> Iterator[flow.Connection]:
    """All connections of lettaform lead to this server."""

    def through(url: str, **options: Any) -> Any:
        return connect(url, **options, transport=standin)

    with mock.patch.object(flow, "connect", through):
        yield flow.Connection(url=URL)


def filled(agents: int) -> StandIn:
    """A server with the fleet that `bench.fleet.write` declares: its first agent is applied, the others are copied."""
    standin = StandIn()
    with tempfile.TemporaryDirectory() as folder, connected(standin) as connection:
        write(Path(folder), 1)
        _, report = flow.apply(flow.Source(Path(folder)), connection, consent=True)
        assert report is not None
        assert report.exit_code == 0
    (first,) = standin.tables.agents.values()
    own = [standin.tables.blocks[id] for id in first["_blocks"] if _address(standin.tables.blocks[id]["tags"]).parent]
    ids = {number: _copy(standin, first, own, number) for number in range(1, agents)}
    _note(standin, {f"agents.agent{number}": id for number, id in ids.items()})
    return standin


def _address(tags: list[str]) -> Address:
    (found,) = (Address.parse(tag.removeprefix("lettaform:addr=")) for tag in tags if tag.startswith("lettaform:addr="))
    return found


def _copy(standin: StandIn, first: dict[str, Any], own: list[dict[str, Any]], number: int) -> str:
    """Add another agent with its own blocks. What is equal in all agents is one object. Returns its id."""
    key, texts = name(number), memory(number)
    mark = copy.deepcopy(first["metadata"])
    told = mark["lettaform"]
    told["base"]["name"] = digest(key)
    told["members"]["tags"] = tags(number)
    attached = {id: None for id in first["_blocks"] if not any(block["id"] == id for block in own)}
    for block in own:
        label = block["label"]
        told["parts"][label]["value"] = digest(texts[label])
        marked = [block["tags"][0], block["tags"][1].replace("agent0", key)]
        new = {**block, "id": standin.id("block"), "value": texts[label], "tags": marked}
        standin.tables.blocks[new["id"]] = new
        attached[new["id"]] = None
    new = {**first, "id": standin.id("agent"), "name": key, "metadata": mark, "_blocks": attached}
    new["_tags"] = [*tags(number), first["_tags"][2], first["_tags"][3].replace("agent0", key)]
    standin.tables.agents[new["id"]] = new
    return str(new["id"])


def _note(standin: StandIn, ids: Mapping[str, str]) -> None:
    """Write the ids of more objects into the state of the stack."""
    (page,) = (block for block in standin.tables.blocks.values() if block["label"] == "lettaform")
    told = json.loads(page["value"])
    told["ids"] |= ids
    told["written"] |= dict.fromkeys(ids, 1)
    head, *pages = state.to_pages(state.from_pages({page["id"]: json.dumps(told)}))
    page["value"] = head
    for text in pages:
        tag = f"lettaform:state={digest(text)}"
        more = {**page, "id": standin.id("block"), "value": text, "tags": [page["tags"][0], tag]}
        standin.tables.blocks[more["id"]] = more
