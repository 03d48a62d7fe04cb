"""The verbs that bring something back, interrupted at every shape of request on a real server, and run again.

A chain is one verb under one fault that occurs once at each shape of request: every run but the last is interrupted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError
from lettaform.model import Verified
from lettaform.snapshot.agent_file_read import read
from tests.contract.description import api
from tests.faults.harness import Fault, FaultyTransport, Killed, once_each, repeat_until_exhausted
from tests.live.conftest import Letta
from tests.live.fleet import Fleet
from tests.live.organization import Organization, OrganizationTransport, new_organization
from tests.live.test_agent_files import Converted, _agents, spoken
from tests.live.test_agent_files import stack as converted  # noqa: F401  # a fixture
from tests.live.test_restore import said, stack  # noqa: F401  # a fixture
from tests.live.test_snapshots import DESTROY, create, diff
from tests.snapshot.agent_files import CLERK

pytestmark = pytest.mark.slow

FAULTS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.CUT_AFTER, Fault.S502_AFTER)
NAMES = ("ann", "bob", "eve")
SECOND = "http://second.test"

Inner = Callable[[str], httpx.AsyncBaseTransport]


def plain(url: str) -> httpx.AsyncBaseTransport:
    """The transport to the server itself."""
    return httpx.AsyncHTTPTransport()


@contextmanager
def process(url: str, inner: Inner, fault: Fault | None, triggered: set[str]) -> Iterator[None]:
    """Inside, `flow` runs as one process does: a kill ends all its connections. `url`: where every server answers."""
    transports: list[FaultyTransport] = []

    def kill() -> None:
        for each in transports:
            each.killed = True

    def through(name: str, **more: Any) -> Any:
        each = FaultyTransport(inner(name), fault, once_each(triggered), silence=2.0, kill=kill, often=True)
        transports.append(each)
        return connect(url, **more, transport=each)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "connect", through)
        yield


def chain(url: str, fault: Fault, verb: Callable[[], object], inner: Inner = plain) -> int:
    """Interrupt a verb at each shape of its requests, then run it undisturbed. Returns the number of shapes."""
    triggered = set[str]()

    def interrupted() -> None:
        with process(url, inner, fault, triggered), suppress(Killed, BaseExceptionGroup, LettaformError):
            verb()

    repeat_until_exhausted(triggered, interrupted)
    with process(url, inner, None, set()):
        verb()
    return len(triggered)


def without_lock(fleet: Fleet) -> None:
    """The next run does not wait until the lease of one that was killed has ended."""
    fleet.connection = replace(fleet.connection, patience=None)


def counted(fleet: Fleet) -> dict[str, Any]:
    """How often each name occurs among the objects of a stack, and how many of its objects have no name."""

    def number(kind: str) -> int:
        """Other tests may use the same server: an object of the stack has its name somewhere."""
        every = fleet.raw.get(f"/v1/{kind}/", params={"limit": 500}).raise_for_status().json()
        names = (fleet.stack, fleet.stack.replace("-", "_"), fleet.agent("ann")["id"])
        return sum(any(name in json.dumps(each) for name in names) for each in every)

    return {
        "agents": Counter(each["name"] for each in fleet.agents()),
        "blocks": Counter(each["label"] for each in fleet.blocks()),
        **{kind: number(kind) for kind in ("groups", "archives", "folders", "tools")},
        "conversations": {name: conversations(fleet, name) for name in NAMES},
    }


def conversations(fleet: Fleet, name: str) -> list[str]:
    params = {"agent_id": fleet.agent(name)["id"], "limit": 100}
    return sorted(each["summary"].split("\n")[0] for each in fleet.raw.get("/v1/conversations/", params=params).json())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_snapshot(fault: Fault, stack: Fleet, letta: Letta) -> None:  # noqa: F811
    before = create(stack)
    without_lock(stack)
    kept: list[Path] = []
    shapes = chain(letta.url, fault, lambda: kept.append(flow.snapshot_create(stack.source, stack.connection)))
    assert shapes > 10
    assert [each for each in flow.snapshot_verify(kept[-1]) if each.severity == "error"] == []
    assert diff(stack, before) == {}
    assert {path for path, _ in flow.snapshot_list(before.parent)} == {before, *kept}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_restore_of_what_was_spoilt(fault: Fault, stack: Fleet, letta: Letta) -> None:  # noqa: F811
    before, had = create(stack), counted(stack)
    ids = {each["id"] for each in (*stack.agents(), *stack.blocks())}
    ann, team = stack.agent("ann")["id"], stack.block("team")["id"]
    stack.patch(f"/v1/agents/{ann}/core-memory/blocks/notes", value="spoilt")
    stack.patch(f"/v1/blocks/{team}", value="spoilt", description="spoilt")
    stack.patch(f"/v1/agents/{ann}", system="Be rude.", tags=[])
    stack.patch(f"/v1/agents/{stack.agent('bob')['id']}/core-memory/blocks/detach/{team}")
    without_lock(stack)
    assert chain(letta.url, fault, lambda: flow.restore(stack.source, stack.connection, before, consent=True)) > 10
    assert diff(stack, before) == {}
    assert counted(stack) == had
    assert {each["id"] for each in (*stack.agents(), *stack.blocks())} == ids
    stack.assert_no_changes()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_restore_of_what_was_destroyed(fault: Fault, stack: Fleet, letta: Letta) -> None:  # noqa: F811
    messages = {name: said(stack.raw, name, stack.stack) for name in NAMES}
    before, had = create(stack), counted(stack)
    flow.apply(stack.source, stack.connection, DESTROY, consent=True)
    without_lock(stack)
    assert chain(letta.url, fault, lambda: flow.restore(stack.source, stack.connection, before, consent=True)) > 10
    stack.assert_no_changes()
    assert counted(stack) == had
    assert {name: said(stack.raw, name, stack.stack) for name in NAMES} == messages
    assert stack.block("notes", "ann")["value"] == "learnt"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_migration(fault: Fault, stack: Fleet, letta: Letta) -> None:  # noqa: F811
    messages = {name: said(stack.raw, name, stack.stack) for name in NAMES}
    before, had = create(stack), counted(stack)
    without_lock(stack)
    other = replace(stack.connection, url=SECOND)

    def migrated(fault: Fault | None) -> dict[str, int]:
        """The number of objects at each path of a new organization to which the fleet was migrated."""
        with new_organization(letta.url, letta.password, api()) as second:

            def inner(url: str) -> httpx.AsyncBaseTransport:
                return OrganizationTransport(second.user) if url == SECOND else httpx.AsyncHTTPTransport()

            def verb() -> None:
                report = flow.migrate(stack.source, stack.connection, other, consent=True)[1]
                assert report is None or report.verified == Verified(), report

            if fault is None:
                with process(letta.url, inner, None, set()):
                    verb()
            else:
                assert chain(letta.url, fault, verb, inner) > 10
            assert {name: said(second.http, name, stack.stack) for name in NAMES} == messages
            return numbers(second)

    assert migrated(fault) == migrated(None)
    assert diff(stack, before) == {}
    assert counted(stack) == had


def numbers(organization: Organization) -> dict[str, int]:
    uncounted = ("/v1/tools/", "/v1/runs/", "/v1/steps/", "/v1/jobs/")
    return {path: len(each) for path, each in organization.objects().items() if path not in uncounted}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_import_of_an_agent_file(fault: Fault, converted: Converted) -> None:  # noqa: F811
    path = converted.copy(CLERK)
    converted.declare(path)
    address = f"agents.clerk_{converted.word}"
    converted.apply(exclude=(address,))

    def verb() -> None:
        with suppress(LettaformError):  # `is already …`: an earlier run came to its end
            flow.import_agent_file(converted.source, converted.connection, path, address, consent=True)

    assert chain(converted.letta.url, fault, verb) > 4
    converted.apply()
    assert converted.steps() == []
    (agent,) = _agents(converted)
    first = read(path.read_bytes(), path.name).body["agents"][0]
    assert spoken(converted.export(agent)["agents"][0]) == spoken(first)
