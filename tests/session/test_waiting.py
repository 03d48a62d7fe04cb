"""A shard that waits for others: until what it needs is there, or the time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lettaform
from lettaform import flow
from lettaform.model import Plan, Report, Shard
from lettaform.session import waiting
from lettaform.session.waiting import joined
from tests.standin import StandIn, serve

pytestmark = pytest.mark.thorough

MANIFEST = """
stack: s
blocks: {policy: {value: Be kind.}}
identities: {shop: {identifier_key: shop, name: Shop, identity_type: org}}
agents:
  desk:
    for_each: [a, b, c, d]
    model: letta/letta-free
    embedding: letta/letta-free
    include_base_tools: false
    blocks: [policy]
    identities: MORE
groups: {all: {type: round_robin, description: All., agents: ['desk[a]', 'desk[b]', 'desk[c]', 'desk[d]']}}
"""
COUNT = 3


@pytest.fixture
def standin() -> StandIn:
    return StandIn()


@pytest.fixture
def stack(tmp_path: Path, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[lettaform.Stack]:
    monkeypatch.setattr(waiting, "SHORTEST", 0.02)
    monkeypatch.setattr(waiting, "LONGEST", 0.05)
    (tmp_path / "lettaform.yaml").write_text(MANIFEST.replace("MORE", "[]"))
    with serve(standin) as url:
        yield lettaform.load(tmp_path, server=lettaform.Connection(url=url, patience=5))


def apply(stack: lettaform.Stack, index: int, wait: float = 0) -> tuple[Plan, Report | None]:
    options = flow.PlanOptions(shard=Shard(index, COUNT))
    return flow.apply(stack.source, stack.connection, options, consent=True, wait=wait)


@pytest.mark.parametrize("identities", ["[]", "[shop]"])
def test_all_shards_can_start_at_once(stack: lettaform.Stack, standin: StandIn, identities: str) -> None:
    (stack.source.directory / "lettaform.yaml").write_text(MANIFEST.replace("MORE", identities))
    codes: dict[int, int] = {}

    def run(index: int) -> None:
        _, report = apply(stack, index, wait=30)
        codes[index] = report.exit_code if report else 0

    threads = [threading.Thread(target=run, args=(index,)) for index in reversed(range(COUNT))]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert codes == {0: 0, 1: 0, 2: 0}
    assert (len(standin.tables.agents), len(standin.tables.groups)) == (4, 1)
    assert not stack.plan()


def test_what_waits_is_in_the_report_when_the_time_is_over(stack: lettaform.Stack) -> None:
    plan, report = apply(stack, 1, wait=0.1)
    assert report is not None
    assert report.exit_code == 5
    assert {str(each) for every in report.waiting.values() for each in every} == {"blocks.policy"}
    assert report.waiting == plan.waiting
    plan, report = apply(stack, 0)
    assert report is not None
    assert (report.exit_code, [*map(str, report.waiting)]) == (5, ["groups.all"])
    assert any(change.action == "create" for change in plan.changes)


def test_a_failed_apply_does_not_wait(stack: lettaform.Stack, standin: StandIn) -> None:
    from tests.standin import Refusal

    def refuse(ask: object) -> None:
        if getattr(ask, "method", "") == "POST" and getattr(ask, "path", "") == "/v1/agents/":
            raise Refusal(400, "no agents here")

    apply(stack, 0)
    standin.before = refuse
    started = time.monotonic()
    _, report = apply(stack, 1, wait=30)
    assert report is not None
    assert report.exit_code in (1, 5)
    assert time.monotonic() - started < 20


def test_several_applies_are_one_report() -> None:
    first, second = Plan("s", "u", "1"), Plan("s", "u", "1", unchanged=3)
    done, more = Report(requests=2, seconds=1.0), Report(requests=3, seconds=2.0)
    plan, report = joined((first, done), (second, more))
    assert report is not None
    assert (plan.unchanged, report.requests, report.seconds) == (3, 5, 3.0)
    assert joined((first, None), (second, more)) == (second, more)
    assert joined((first, done), (second, None))[1] == done


def test_from_python(stack: lettaform.Stack) -> None:
    assert stack.plan(shard=(0, COUNT)).options.shard == stack.plan(shard="0/3").options.shard == Shard(0, 3)
    stack.apply(consent=True)
    shown = [stack.status(shard=(index, COUNT)) for index in range(COUNT)]
    assert sum(len(each.objects) for each in shown) == len(stack.status().objects)
    assert sum(stack.drift(shard=(index, COUNT)).compared for index in range(COUNT)) == stack.drift().compared
    plan = stack.plan(shard=(1, COUNT), destroy=True)
    assert stack.apply(plan).plan.options.shard == Shard(1, COUNT)
    with pytest.raises(ValueError, match="no shard"):
        stack.plan(shard="3/3")
