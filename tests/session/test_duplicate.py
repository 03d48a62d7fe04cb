"""`duplicate` on a stand-in: only files change; the next apply creates the copy, and the plan after it is empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.session.duplicate import Duplicated
from tests.session.test_status import MODELS, Stack
from tests.session.test_status import stack as stack

pytestmark = pytest.mark.thorough

FLEET = f"""stack: s
variables: {{key: {{secret: true}}}}
defaults: {{agents: {{{MODELS}}}}}
blocks:
  org: {{value: We sell bicycles., limit: 100}}
archives:
  facts: {{embedding: letta/letta-free, passages: [Cats sleep]}}
tools: {{}}
identities: {{ann: {{identifier_key: ann, name: Ann, identity_type: user}}}}
agents:
  boss:
    name: The boss
    system: !file boss.md
    memory:
      persona: {{value: !file persona.md, policy: {{value: seed}}, limit: 500}}
      human: Nobody yet.
    blocks: [org]
    archive: facts
    secrets: {{KEY: "${{var.key}}"}}
  worker:
    for_each: [x, y]
    memory: {{persona: I work.}}
"""


@pytest.fixture
def fleet(stack: Stack) -> Stack:
    (stack.folder / "boss.md").write_text("You lead ${stack}.\n")
    (stack.folder / "persona.md").write_text("I lead.\n")
    stack.write(FLEET)
    stack.apply()
    return stack


def duplicate(stack: Stack, old: str, new: str, **words: Any) -> Duplicated:
    return flow.duplicate(stack.source, stack.connection, old, new, **{"consent": True, **words})


def memory(stack: Stack, name: str) -> dict[str, str]:
    """Label to text of the blocks of an agent."""
    (agent,) = (each for each in stack.standin.tables.agents.values() if each["name"] == name)
    blocks = (stack.standin.tables.blocks[id] for id in agent["_blocks"])
    return {block["label"]: block["value"] for block in blocks}


def learn(stack: Stack) -> None:
    stack.change("blocks", "human", value="Ann rides\na ${bicycle}.")
    agent = next(id for id, each in stack.standin.tables.agents.items() if each["name"] == "The boss")
    block = stack.send("POST", "/v1/blocks/", {"label": "notes", "value": "Mine.", "description": "d"})
    stack.send("PATCH", f"/v1/agents/{agent}/core-memory/blocks/attach/{block['id']}")


@pytest.mark.parametrize("live", [False, True])
def test_an_agent_with_its_seeds_or_its_memory(live: bool, fleet: Stack) -> None:
    learn(fleet)
    with fleet.requests() as asked:
        found = duplicate(fleet, "agents.boss", "agents.deputy", live=live)
    assert bool(asked) is live
    assert all(each.startswith("GET ") for each in asked)
    assert (found.written, found.notes, list(found.files)) == (True, (), [str(fleet.folder / "lettaform.yaml")])
    plan = flow.plan(fleet.source, fleet.connection)
    created = {str(change.address) for change in plan.changes if change.action == "create"}
    labels = {"persona", "human", *(["notes"] if live else [])}
    assert created == {"agents.deputy", *(f"agents.deputy.memory.{label}" for label in labels)}
    fleet.apply()
    assert not flow.plan(fleet.source, fleet.connection)
    text = {"human": "Ann rides\na ${bicycle}.", "notes": "Mine."} if live else {"human": "Nobody yet."}
    shared = {"persona": "I lead.\n", "org": "We sell bicycles."}
    assert memory(fleet, "deputy") == {**shared, **text}


def test_nothing_is_written_without_consent(fleet: Stack) -> None:
    shown: list[Duplicated] = []
    found = duplicate(fleet, "agents.boss", "agents.deputy", consent=lambda each: bool(shown.append(each)))
    assert (found.written, len(shown)) == (False, 1)
    assert (fleet.folder / "lettaform.yaml").read_text() == FLEET


def test_a_secret_in_the_memory_is_not_copied(fleet: Stack) -> None:
    fleet.change("blocks", "human", value="The key is hunter-22.")
    found = duplicate(fleet, "agents.boss", "agents.deputy", live=True)
    (note,) = found.notes
    assert note.message.startswith("the block `human` contains the value of")
    assert "hunter-22" not in (fleet.folder / "lettaform.yaml").read_text()
    fleet.apply()
    assert memory(fleet, "deputy")["human"] == "Nobody yet."


def test_a_block_that_the_agent_dropped_is_not_copied(fleet: Stack) -> None:
    agent = next(id for id, each in fleet.standin.tables.agents.items() if each["name"] == "The boss")
    block = next(id for id, each in fleet.standin.tables.blocks.items() if each["label"] == "human")
    fleet.send("PATCH", f"/v1/agents/{agent}/core-memory/blocks/detach/{block}")
    (note,) = duplicate(fleet, "agents.boss", "agents.deputy", live=True).notes
    assert note.message == "the agent no longer has the block `human`; the copy does not get it"
    fleet.apply()
    assert "human" not in memory(fleet, "deputy")


def test_a_block_and_an_archive_with_what_was_added(fleet: Stack) -> None:
    fleet.change("blocks", "org", value="We sell boats.")
    archive = next(iter(fleet.standin.tables.archives))
    fleet.send("POST", f"/v1/archives/{archive}/passages", {"text": "Rome is old", "tags": ["city"]})
    for old, new in (("blocks.org", "blocks.org2"), ("archives.facts", "archives.facts2")):
        duplicate(fleet, old, new, live=True)
    fleet.apply()
    assert not flow.plan(fleet.source, fleet.connection)
    values = [each["value"] for each in fleet.standin.tables.blocks.values() if each["label"] == "org2"]
    assert values == ["We sell boats."]
    texts = [each["text"] for each in fleet.standin.tables.passages.values()]
    assert sorted(texts) == ["Cats sleep", "Cats sleep", "Rome is old", "Rome is old"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("agents.nobody", "agents.b", "no object has the address"),
        ("agents.boss.memory.human", "agents.b", "no object has the address"),
        ("agents.worker[x]", "agents.b", "declared with `for_each`"),
        ("agents.worker", "agents.b", "declared with `for_each`"),
        ("identities.ann", "identities.bob", "cannot be copied"),
        ("agents.boss", "blocks.b", "cannot be the address of the copy"),
        ("agents.boss", "agents.b[x]", "cannot be the address of the copy"),
        ("agents.boss", "agents.worker", "is declared already"),
        ("agents.boss", "agents.boss", "is declared already"),
        ("agents.boss", "agent.b", "is not a section"),
    ],
)
def test_what_cannot_be_copied(old: str, new: str, message: str, fleet: Stack, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=message):
        duplicate(fleet, old, new)


def test_live_memory_needs_an_object(stack: Stack) -> None:
    with pytest.raises(PlanError, match="is not on the server"):
        duplicate(stack, "agents.boss", "agents.deputy", live=True)
