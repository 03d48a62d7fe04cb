"""`imports:` by name on a stand-in: what lives and nobody owns is adopted once, and is never created a second time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from lettaform import flow
from lettaform.errors import LettaformError, PlanError
from lettaform.model import Plan, PlanOptions
from tests.faults.clock import Clock
from tests.faults.harness import Fault, FaultyTransport, Killed
from tests.standin.test_other_stacks import AGENT, Stacks, said

pytestmark = pytest.mark.thorough

FLEET = f"""
defaults: {{agents: {{{AGENT}}}}}
blocks: {{team: {{value: Seed.}}}}
tools: {{shop: {{source: tools/shop.py}}}}
folders: {{docs: {{embedding: letta/letta-free}}}}
archives: {{facts: {{embedding: letta/letta-free}}}}
agents:
  lead: {{memory: {{human: Nobody yet.}}, blocks: [team], tools: [shop], folders: [docs], archive: facts}}
  helper: {{blocks: [team]}}
conversations: {{talk: {{agent: lead, summary: Daily}}}}
imports:
  - {{to: conversations.talk, name: Daily}}
  - {{to: blocks.team, name: team}}
  - {{to: tools.shop, name: shop}}
  - {{to: folders.docs, name: docs}}
  - {{to: archives.facts, name: facts}}
  - {{to: agents.lead, name: lead}}
  - {{to: agents.helper, name: helper}}
"""


SOLD = 'def shop() -> str:\n    """Sell."""\n    return ""\n'


class Living(Stacks):
    """A fleet that nobody owns, whose agents have learned, and other objects with its names."""

    def deploy(self) -> dict[str, str]:
        server, ids = self.server, dict[str, str]()
        foreign = server.block("team", value="Of others.")["id"]
        server.agent("stranger", block_ids=[foreign])
        server.archive("facts")
        ids["team"] = server.block("team", value="Learned by all.")["id"]
        ids["shop"] = server.post("/v1/tools/", source_code=SOLD)["id"]
        ids["docs"] = server.post("/v1/folders/", name="docs", embedding="letta/letta-free")["id"]
        ids["facts"] = server.archive("facts")["id"]
        ids["human"] = server.block("human", value="Ann.")["id"]
        server.block("human", value="Left behind.")
        blocks = [ids["team"], ids["human"]]
        ids["lead"] = server.agent("lead", block_ids=blocks, tool_ids=[ids["shop"]])["id"]
        ids["helper"] = server.agent("helper", block_ids=[ids["team"]])["id"]
        server.attach(ids["lead"], "folders", ids["docs"])
        server.attach(ids["lead"], "archives", ids["facts"])
        server.conversation(ids["helper"], "Daily")
        ids["talk"] = server.conversation(ids["lead"], "Daily")["id"]
        return ids

    def numbers(self) -> dict[str, int]:
        """How many objects there are, without the state."""
        tables = self.server.standin.tables
        names = ("agents", "blocks", "tools", "folders", "archives", "conversations")
        state = sum(each["label"] == "lettaform" for each in tables.blocks.values())
        return {name: len(getattr(tables, name)) - (state if name == "blocks" else 0) for name in names}

    def texts(self) -> set[str]:
        return {each["value"] for each in self.server.standin.tables.blocks.values() if each["label"] != "lettaform"}


@pytest.fixture
def living(tmp_path: Path) -> Living:
    return Living(tmp_path)


def adopted(plan: Plan) -> dict[str, str | None]:
    return {str(each.address): each.id for each in plan.changes}


ADDRESSES = {
    "team": "blocks.team",
    "shop": "tools.shop",
    "docs": "folders.docs",
    "facts": "archives.facts",
    "lead": "agents.lead",
    "helper": "agents.helper",
    "talk": "conversations.talk",
    "human": "agents.lead.memory.human",
}


def test_what_lives_is_adopted_with_what_it_learned(living: Living) -> None:
    ids = living.deploy()
    numbers, texts = living.numbers(), living.texts()
    plan = living.plan("s", FLEET)
    assert adopted(plan) == {address: ids[name] for name, address in ADDRESSES.items()}
    assert [
        (str(each.address), each.action, each.fields_changed)
        for each in plan.changes
        if each.action not in ("adopt", "mark")
    ] == []
    living.apply("s", FLEET)
    assert living.plan("s", FLEET).steps == ()
    assert (living.numbers(), living.texts()) == (numbers, texts)
    assert living.plan("s", FLEET.partition("imports:")[0]).steps == ()


def test_what_does_not_live_is_created(living: Living) -> None:
    plan, _ = living.apply("s", FLEET)
    assert {each.action for each in plan.changes} == {"create"}
    (lead,) = [each for each in plan.changes if str(each.address) == "agents.lead"]
    assert lead.notes[0] == "`imports` looks for the agent `lead`: the server has none without an owner"
    assert living.plan("s", FLEET).steps == ()


def test_nothing_is_looked_for_once_it_is_owned(living: Living) -> None:
    living.deploy()
    living.apply("s", FLEET)
    living.server.agent("lead")
    plan = living.plan("s", FLEET)
    assert (plan.steps, [each for each in living.server.asked if "/states" in str(each)]) == ((), [])


def test_a_destroy_deletes_what_was_adopted_and_nothing_else(living: Living) -> None:
    built_in, gone = living.numbers()["tools"], {"destroy": True, "allow_destroy": ("*",)}
    ids = living.deploy()
    by_id = f"agents: {{lead: {{{AGENT}}}}}\nimports: [{{to: agents.lead, id: {ids['lead']}}}]"
    for text in (FLEET, by_id):
        assert living.plan("s", text, **gone).steps == ()
    living.apply("s", FLEET)
    living.apply("s", FLEET, **gone)
    others = {"agents": 1, "blocks": 2, "tools": built_in, "folders": 0, "archives": 1, "conversations": 0}
    assert living.numbers() == others


@pytest.mark.parametrize("target", ["agents.lead", "blocks.team"])
def test_a_part_of_the_fleet_is_adopted_first(target: str, living: Living) -> None:
    living.deploy()
    numbers = living.numbers()
    living.apply("s", FLEET, target=(target,))
    living.apply("s", FLEET)
    assert living.plan("s", FLEET).steps == ()
    assert living.numbers() == numbers


def test_several_of_a_name_are_refused_and_the_remedy_works(living: Living) -> None:
    ids = living.deploy()
    other = living.server.agent("lead")["id"]
    with pytest.raises(PlanError) as refused:
        living.plan("s", FLEET)
    problem = said(refused.value)
    assert (
        problem.message
        == f"agents.lead: the server has 2 agents named `lead`: {', '.join(sorted([ids['lead'], other]))}"
    )
    assert problem.hint == "write `id:` with one of them, in place of `name:`"
    text = FLEET.replace("{to: agents.lead, name: lead}", f"{{to: agents.lead, id: {ids['lead']}}}")
    assert adopted(living.plan("s", text))["agents.lead"] == ids["lead"]


def test_an_agent_of_another_name_is_adopted_and_gets_its_name(living: Living) -> None:
    """Old releases of lettactl appended a version to the names of agents."""
    ids = living.deploy()
    living.server.post(f"/v1/agents/{ids['helper']}", "PATCH", name="helper__v__1")
    text = FLEET.replace("{to: agents.helper, name: helper}", "{to: agents.helper, name: helper__v__1}")
    plan, _ = living.apply("s", text)
    changes = {str(each.address): (each.id, [f.path for f in each.fields_changed]) for each in plan.changes}
    assert changes["agents.helper"] == (ids["helper"], ["name"])


def test_what_another_stack_owns_is_not_adopted(living: Living) -> None:
    living.apply("other", f"agents: {{lead: {{{AGENT}, memory: {{human: x}}}}}}\nblocks: {{team: {{value: x}}}}")
    plan = living.plan("s", FLEET)
    assert {str(each.address): each.action for each in plan.changes}["agents.lead"] == "create"


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [Fault.KILL_BEFORE, Fault.KILL_AFTER])
def test_a_kill_at_any_write_leaves_no_second_object(fault: Fault, living: Living) -> None:
    living.deploy()
    numbers, texts, served, clock = living.numbers(), living.texts(), living.server, Clock()
    start, triggered = copy.deepcopy(served.standin.tables), set[str]()
    source = living.write("s", FLEET)
    for number in range(1, 30):
        served.standin.tables = copy.deepcopy(start)
        writes = iter(range(1, 100))

        def trigger(_: int, request: httpx.Request, writes: Iterator[int] = writes, number: int = number) -> bool:
            return request.method != "GET" and next(writes) == number

        faulty = FaultyTransport(served, fault, trigger, silence=1.0)
        faulty.__dict__["asked"] = []
        living.server = faulty  # type: ignore[assignment]
        with clock.running():
            with suppress(Killed, BaseExceptionGroup, LettaformError):
                living.run(lambda at: flow.apply(source, at, PlanOptions(), consent=True))
            faulty.revive()
            living.apply("s", FLEET)
            steps = living.plan("s", FLEET).steps
        living.server = served
        assert (steps, living.numbers(), living.texts()) == ((), numbers, texts), faulty.triggered
        if faulty.triggered is None:
            break
        triggered.add(faulty.triggered)
    assert len(triggered) >= 6
