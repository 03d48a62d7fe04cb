"""Checks on a real server: copies answer, remember and are denied a tool, and nothing of them is left."""

from __future__ import annotations

from lettaform import flow
from tests.live.fleet import Fleet

MANIFEST = """
    blocks:
      team: {value: We sell bicycles.}
    agents:
      ann:
        memory: {human: Nobody yet.}
        blocks: [team]
        tools: [memory_replace, archival_memory_insert]
    checks:
      greets:
        agent: ann
        say: Hello
        expect: {answer: {contains: hello}, memory: {team: {contains: bicycles}}, no_calls: ["*"]}
      remembers:
        agent: ann
        say:
          - 'call memory_replace {"label": "human", "old_string": "Nobody yet.", "new_string": "Ann"}'
          - {say: Bye, expect: {answer: {matches: "^Bye$"}}}
        expect:
          calls: [{tool: memory_replace, arguments: {label: human}}]
          memory: {human: {contains: Ann, excludes: nobody}}
      archives:
        agent: ann
        say: 'call archival_memory_insert {"content": "Rome"}'
        expect: {calls: [{tool: archival_memory_insert}]}
      denied:
        agent: ann
        say: 'call memory_replace {"label": "human", "old_string": "Nobody yet.", "new_string": "Ann"}'
        deny_tools: ["memory_*"]
        expect:
          answer: {contains: denied}
          calls: [{tool: memory_replace}]
          memory: {human: {contains: Nobody}}
      fails: {agent: ann, say: Hello, expect: {answer: {contains: Goodbye}}}
"""


def test_checks_leave_nothing_and_change_nothing(fleet: Fleet) -> None:
    fleet.write(MANIFEST)
    fleet.apply()
    before = fleet.agent("ann")
    found = flow.check(fleet.source, fleet.connection)
    assert {each.check.name: each.status for each in found.results} == {
        **dict.fromkeys(("greets", "remembers", "archives", "denied"), "passed"),
        "fails": "failed",
    }
    assert (found.exit_code, found.warnings) == (3, ())
    after = fleet.agent("ann")
    assert (after["message_ids"], after["last_run_completion"]) == (before["message_ids"], None)
    assert fleet.block("human", "ann")["value"] == "Nobody yet."
    tag = f"lettaform:stack={fleet.stack}/check"
    for path, hidden in (("agents", "show_hidden_agents"), ("blocks", "show_hidden_blocks")):
        assert fleet.raw.get(f"/v1/{path}/", params={"tags": tag, hidden: True}).json() == []
    archives = fleet.raw.get("/v1/archives/", params={"limit": 1000}).json()
    assert [each["name"] for each in archives if each["name"].startswith("check ")] == []
    locks = fleet.raw.get("/v1/identities/", params={"limit": 1000}).json()
    assert [each for each in locks if f"{fleet.stack}/check" in each["identifier_key"]] == []
    assert not fleet.plan().steps
