"""`audit` on a real server: what a stack owns is no finding, what others made is."""

from __future__ import annotations

from lettaform import flow
from lettaform.model import PlanOptions
from tests.live.conftest import Letta
from tests.live.fleet import Fleet


def test_what_nobody_owns_and_nothing_uses(fleet: Fleet, letta: Letta) -> None:
    fleet.write(
        f"blocks: {{org: {{value: '{fleet.stack} org'}}}}\n"
        f"archives: {{facts: {{embedding: {letta.embedding}}}, alone: {{embedding: {letta.embedding}}}}}\n"
        "agents: {a: {memory: {human: x}, blocks: [org], archive: facts}}"
    )
    fleet.apply()
    made = fleet.raw.post("/v1/blocks/", json={"label": "org", "value": f"{fleet.stack} org"}).json()
    try:
        found = flow.audit(fleet.source, fleet.connection)
        ids = {str(live.address): live.id for live in fleet.state()}
    finally:
        fleet.raw.delete(f"/v1/blocks/{made['id']}")
        flow.apply(fleet.source, fleet.connection, PlanOptions(destroy=True), consent=True)
    ours = {*ids.values(), made["id"]}
    shown = [(each.sort, {one.id for one in each.objects}) for each in found.findings]
    assert [(sort, objects) for sort, objects in shown if objects & ours] == [
        ("unowned", {made["id"]}),
        ("equal", {made["id"], ids["blocks.org"]}),
        ("unattached", {made["id"]}),
        ("unused", {ids["archives.alone"]}),
    ]
    assert not [each for each in found.findings if each.sort == "missing"]
