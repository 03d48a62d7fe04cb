"""Tokens, memory, copies and a search on a real server: what is estimated is what the server counts."""

from __future__ import annotations

import pytest

from lettaform import flow
from lettaform.flow import Search
from tests.live.conftest import Letta
from tests.live.fleet import Fleet

MANIFEST = """
    blocks: {{org: {{value: We sell bicycles., limit: 1000}}}}
    archives: {{facts: {{embedding: {embedding}, passages: [Cats sleep, {{text: Rome is old, tags: [city]}}]}}}}
    agents:
      boss: {{system: You lead., memory: {{human: {{value: Nobody yet., limit: 20}}}}, blocks: [org], archive: facts}}
      worker: {{for_each: [x, y], agent_type: memgpt_v2_agent, blocks: [org]}}
"""


def test_what_a_fleet_remembers_and_what_it_costs(fleet: Fleet, letta: Letta) -> None:
    if not letta.model.endswith("echo"):
        pytest.skip("the server counts for models of Anthropic and Google in another way")
    fleet.write(MANIFEST.format(embedding=letta.embedding))
    planned = {str(each.address): each.after for each in fleet.plan().prompts}
    fleet.apply()
    fleet.raw.patch(f"/v1/blocks/{fleet.block('human', 'boss')['id']}", json={"value": "x" * 19}).raise_for_status()

    estimated = {str(each.address): each for each in flow.memory(fleet.source, fleet.connection).agents}
    counted = {str(e.address): e for e in flow.memory(fleet.source, fleet.connection, count_tokens=True).agents}
    for address, each in counted.items():
        known = estimated[address].parts
        # the time of the last compilation, and a few words about the archive, stand in the metadata
        assert known == pytest.approx({name: each.parts[name] for name in known}, abs=25)
        prompt = sum(known[name] for name in ("system", "blocks", "rules", "metadata"))
        assert planned[address] == pytest.approx(prompt, abs=40)
    assert [block.label for block in estimated["agents.boss"].full_blocks] == ["human"]

    text = (fleet.folder / "lettaform.yaml").read_text()
    (fleet.folder / "lettaform.yaml").write_text(text.replace("You lead.", '"You lead, and you are kind."'))
    (change,) = flow.plan(fleet.source, fleet.connection, count_tokens=True).prompts
    assert (change.growth, change.context) == (4, counted["agents.boss"].used)

    found = flow.archive_search(fleet.source, fleet.connection, "archives.facts", Search("Rome is old", 1, ("city",)))
    assert [each.text for each in found.passages] == ["Rome is old"]

    copy = flow.duplicate(fleet.source, fleet.connection, "agents.boss", "agents.deputy", consent=True, live=True)
    assert (copy.written, copy.notes) == (True, ())
    fleet.apply()
    assert fleet.block("human", "deputy")["value"] == "x" * 19
