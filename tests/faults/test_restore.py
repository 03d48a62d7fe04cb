"""A restore that is interrupted at any request and run again: the fleet as it was, each object once."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.manifest import load
from lettaform.model import Manifest, PlanOptions
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.run import LATENCY, Run, Wrong
from tests.faults.ways_back import RestoreRun
from tests.standin import StandIn

FLEET = """
stack: sweep
blocks: {team: {value: "Ann, Bob"}}
archives: {facts: {embedding: letta/letta-free, passages: [One fact., Two facts.]}}
identities: {lead: {name: Lead, identity_type: user, identifier_key: lead}}
defaults:
  agents: {model: openai-proxy/echo, embedding: letta/letta-free, blocks: [team], tools: [send_message]}
agents:
  ann: {memory: {notes: none}, archive: facts, identities: [lead]}
  bob: {memory: {notes: none}}
  eve: {memory: {notes: none}, archive: facts, sleeptime: true}
conversations: {talk: {agent: ann, isolated: [notes]}, open: {agent: bob}, other: {agent: bob}}
"""
KILLS = [fault for fault in Fault if fault.kills]


@dataclass(frozen=True)
class Scene:
    """A snapshot of a fleet, the server on which it is restored or from which it is migrated, and the end."""

    manifest: Manifest
    path: Path
    tables: Any
    requests: int
    end: dict[str, Any]


def run(manifest: Manifest, path: Path, tables: Any, fault: Fault | None = None, number: int = 0) -> RestoreRun:
    standin = StandIn(seed=1)
    standin.tables = copy.deepcopy(tables)
    faulty = FaultyTransport(standin, fault or Fault.REFUSE, at(number), latency=LATENCY, seed=0)
    return RestoreRun(standin, manifest, PlanOptions(), faulty, path)


def learn(run: Run, ids: dict[str, str]) -> None:
    """What agents make themselves: a block that two of them have, and the archive that the server creates for one."""
    body = {"label": "diary", "value": "Dear diary.", "tags": ["theirs"], "metadata": {"mood": "good"}, "limit": 777}
    diary = run.raw.post("/v1/blocks/", json={**body, "read_only": True}).raise_for_status().json()["id"]
    for name in ("ann", "bob"):
        run.raw.patch(f"/v1/agents/{ids[name]}/core-memory/blocks/attach/{diary}").raise_for_status()
    for text in ("Bob knows this.", "And that."):
        run.raw.post(f"/v1/agents/{ids['bob']}/archival-memory", json={"text": text}).raise_for_status()


def _scenes(folder: Path) -> Iterator[Scene]:
    """On an empty server, and over a fleet of which a half is gone and the other half is spoilt."""
    (folder / "lettaform.yaml").write_text(FLEET)
    manifest, standin = load(folder, ()), StandIn()
    first = Run(standin, manifest, PlanOptions(), FaultyTransport(standin, latency=LATENCY, seed=0))
    first.apply()
    ids = {each["name"]: id for id, each in standin.tables.agents.items()}
    for name in ("ann", "bob"):
        body = {"messages": [{"role": "user", "content": f"Hello, {name}."}]}
        first.raw.post(f"/v1/agents/{ids[name]}/messages", json=body).raise_for_status()
    first.raw.patch(f"/v1/agents/{ids['ann']}/core-memory/blocks/notes", json={"value": "learnt"})
    learn(first, ids)
    talks = {str(each["summary"]).split("\n")[0]: id for id, each in standin.tables.conversations.items()}
    for name in ("open", "other"):
        body = {"messages": [{"role": "user", "content": f"In {name}."}], "streaming": False}
        first.raw.post(f"/v1/conversations/{talks[name]}/messages", json=body).raise_for_status()
    copied = standin.tables.conversations[talks["talk"]]["_blocks"][0]
    first.raw.patch(f"/v1/blocks/{copied}", json={"value": "learnt there"}).raise_for_status()
    with first.here() as source:
        path = flow.snapshot_create(source, first.connection, folder / "kept")
    spoilt = StandIn()
    spoilt.tables = copy.deepcopy(standin.tables)
    raw = Run(spoilt, manifest, PlanOptions(), FaultyTransport(spoilt)).raw
    for row in [each for each in spoilt.tables.archives.values() if each["name"] != "facts"]:
        raw.delete(f"/v1/archives/{row['id']}").raise_for_status()
    raw.delete(f"/v1/agents/{ids['bob']}").raise_for_status()
    raw.patch(f"/v1/agents/{ids['ann']}", json={"system": "Be rude."}).raise_for_status()
    raw.patch(f"/v1/agents/{ids['ann']}/core-memory/blocks/notes", json={"value": "spoilt"}).raise_for_status()
    raw.patch(f"/v1/blocks/{copied}", json={"value": "spoilt"}).raise_for_status()
    for tables in (StandIn().tables, spoilt.tables):
        undisturbed = run(manifest, path, tables)
        undisturbed.apply()
        undisturbed.assert_no_changes()
        yield Scene(manifest, path, tables, len(undisturbed.faulty.shapes), undisturbed.everything())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    return list(_scenes(tmp_path_factory.mktemp("restore")))


def wrong(scene: Scene, fault: Fault, number: int) -> list[str]:
    """What is wrong after a restore with a fault at this request, and one without."""
    disturbed = run(scene.manifest, scene.path, scene.tables, fault, number)
    try:
        disturbed.apply_with_fault(must=False)
        disturbed.apply_again()
        disturbed.assert_no_changes()
    except Wrong as error:
        return [str(error)]
    found = disturbed.everything()
    return [f"{key}: {found[key]} and not {each}" for key, each in scene.end.items() if found[key] != each]


def cases(scenes: list[Scene]) -> list[tuple[int, Fault, int]]:
    every = enumerate(scenes)
    return [(place, fault, number) for place, scene in every for fault in Fault for number in range(1, scene.requests)]


def check(scenes: list[Scene], chosen: list[tuple[int, Fault, int]]) -> None:
    failed = {case: found for case in chosen if (found := wrong(scenes[case[0]], *case[1:]))}
    assert not failed, "\n".join(f"{case}: {why[:3]}" for case, why in failed.items())


def test_an_empty_server_gets_the_messages_and_one_shared_block(scenes: list[Scene]) -> None:
    texts = [text for *_, text in scenes[0].end["messages"]]
    assert {"Hello, ann.", "Hello, bob.", "In open.", "In other."} <= set(texts)
    said = {name.split("\n")[0]: every for name, every in scenes[0].end["contexts"].items() if every}
    assert said == {
        "ann": ["Hello, ann."] * 2,
        "bob": ["Hello, bob."] * 2,
        "open": ["In open."] * 2,
        "other": ["In other."] * 2,
    }
    assert scenes[0].end["copies"] == ["learnt there"]
    # one shared block, three own ones, that of the sleeptime agent, the diary, the copy of the conversation, the state
    assert scenes[0].end["objects"]["blocks"] == 8
    assert scenes[0].end["differences"] == []


def test_what_agents_made_themselves_is_there_once_and_nobody_owns_it(scenes: list[Scene]) -> None:
    diary = (["Dear diary.", ["theirs"], {"mood": "good"}, True, 777], ["ann", "bob"])
    archive = ("bob's Archive", "Default archive created automatically", ["And that.", "Bob knows this."])
    assert [scene.end["made by agents"] for scene in scenes] == [[diary, archive, ["bob"]]] * 2


def test_a_restored_prompt_has_all_blocks(scenes: list[Scene]) -> None:
    for scene in scenes:
        prompts = dict(scene.end["prompts"])
        assert all("<team>" in prompts[name] and "<notes>" in prompts[name] for name in ("ann", "bob", "eve"))


@pytest.mark.thorough
def test_sample_of_kills_and_faults(scenes: list[Scene]) -> None:
    check(scenes, random.Random(7).sample(cases(scenes), 8))


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_at_every_request(scenes: list[Scene], fault: Fault) -> None:
    check(scenes, [case for case in cases(scenes) if case[1] is fault])
