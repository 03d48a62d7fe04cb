"""Canaries on a real server: the copies answer beside an agent that stays as it is, and leave nothing."""

from __future__ import annotations

from lettaform import flow
from tests.live.fleet import Fleet

MANIFEST = """
    blocks:
      team: {{value: We sell bicycles.}}
      rules: {{value: Be kind., read_only: true}}
    agents:
      ann:
        system: {system}
        memory: {{human: Nobody yet.}}
        blocks: [team, rules]
        tools: [memory_replace]
    checks:
      greets: {{agent: ann, say: Hello, expect: {{answer: {{contains: hello}}}}}}
"""


def test_a_change_is_tried_beside_the_agent_and_promoted(fleet: Fleet) -> None:
    fleet.write(MANIFEST.format(system="You greet."))
    fleet.apply()
    fleet.patch(f"/v1/blocks/{fleet.block('human', 'ann')['id']}", value="Ann rides.")
    fleet.write(MANIFEST.format(system="You greet everybody."))
    before = fleet.agent("ann")

    _, report = flow.canary_start(fleet.source, fleet.connection, ["ann"], flow.CanaryOptions(2), consent=True)
    assert report is not None
    assert report.exit_code == 0
    assert not fleet.plan(prune=True).steps
    assert fleet.agent("ann-canary-2")["system"] == "You greet everybody."
    assert fleet.block("human", "ann-canary-1")["value"] == "Ann rides."
    assert fleet.block("rules", "ann-canary-1")["id"] == fleet.block("rules", "ann")["id"]

    said = 'call memory_replace {"label": "team", "old_string": "bicycles", "new_string": "skis"}'
    to = "agents.ann@canary-1"
    assert list(flow.send(fleet.source, fleet.connection, to, flow.Outgoing(said), tokens=False))
    assert "skis" in fleet.block("team", "ann-canary-1")["value"]
    assert "bicycles" in fleet.block("team", "ann")["value"]
    compared = flow.canary_check(fleet.source, fleet.connection)
    assert (len(compared.pairs), compared.exit_code) == (1, 0)
    assert fleet.agent("ann")["message_ids"] == before["message_ids"]

    _, report = flow.canary_promote(fleet.source, fleet.connection, ["ann"], consent=True)
    assert report is not None
    assert report.exit_code == 0
    assert [each["name"] for each in fleet.agents()] == ["ann"]
    assert fleet.agent("ann")["system"] == "You greet everybody."
    assert fleet.block("human", "ann")["value"] == "Ann rides."
    assert len(fleet.blocks()) == 3
    fleet.assert_no_changes()
