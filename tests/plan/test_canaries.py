"""What a plan leaves out while an agent has a canary, and what it says."""

from __future__ import annotations

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.model import Desired, Live, Manifest, Observed, PlanOptions
from lettaform.ownership.canaries import held
from lettaform.plan.canaries import waiting, without_held

at = Address.read
PLACE = Place("a.yaml", 3, 3)
MANIFEST = Manifest("s", {at("agents.a b"): Desired(at("agents.a b"), "agent", {}, PLACE)})


def observed(*addresses: str) -> Observed:
    objects = {at(each): Live("agent", each, each, {}, address=at(each), stack="s") for each in addresses}
    return Observed("http://here", "0.16.8", objects=objects)


def test_a_plan_leaves_out_agents_with_a_canary_and_says_so() -> None:
    there = observed("agents.a b", "agents.a b@canary-1", "agents.a b@canary-2")
    options = PlanOptions(exclude=("blocks.x",))
    assert without_held(options, MANIFEST, there).exclude == ("blocks.x", 'agents["a b"]')
    (warning,) = waiting(MANIFEST, held(MANIFEST, there))
    assert warning.message == 'agents["a b"] has a canary of 2 copies: its changes are held back'
    assert warning.place == PLACE
    assert "`lettaform canary promote 'agents[\"a b\"]'`" in (warning.hint or "")


def test_without_a_canary_and_in_a_destroy_nothing_waits() -> None:
    options, there = PlanOptions(destroy=True), observed("agents.a b", "agents.a b@canary-1")
    assert without_held(options, MANIFEST, there) == options
    assert list(waiting(MANIFEST, {})) == []
    assert without_held(PlanOptions(), MANIFEST, observed("agents.a b")) == PlanOptions()
