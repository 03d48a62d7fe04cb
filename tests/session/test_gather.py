"""What a snapshot contains: what is owned, deleted with it, and used, in a bounded number of reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lettaform.backend import connect
from lettaform.manifest import load
from lettaform.session import Session
from lettaform.session.gather import again, gather
from lettaform.snapshot import Objects
from tests.backend.v1.served import URL
from tests.session.test_observe import MODELS, PASSAGES, Project

MANIFEST = f"""\
blocks: {{team: {{value: Ann}}}}
archives: {{facts: {{{PASSAGES}}}}}
agents:
  ann: {{{MODELS}, memory: {{notes: none}}, blocks: [team], archive: facts, tools: [send_message]}}
  bob: {{{MODELS}, memory: {{notes: none}}, blocks: [team]}}
conversations: {{talk: {{agent: ann, isolated: [notes]}}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.applied(tmp_path, MANIFEST)


def gathered(project: Project, wanted: Collection[str] | None = None) -> Objects:
    manifest = load(project.folder, ())

    async def run() -> Objects:
        server = connect(URL, transport=project.server)
        session = Session(manifest, server, project.folder)
        try:
            observed = await session.observe(whole=True)
            project.server.asked.clear()
            return await gather(server, manifest, observed, wanted)
        finally:
            await server.close()

    return asyncio.run(run())


def names(lives: Any) -> set[str]:
    return {str(live.address or live.name) for live in lives}


def test_everything_that_the_stack_owns_is_there_once(project: Project) -> None:
    found = gathered(project)
    owned = {"blocks.team", "archives.facts", "agents.ann", "agents.bob", "conversations.talk"}
    assert names(found.lives) == owned | {"agents.ann.memory.notes", "agents.bob.memory.notes", "notes"}
    assert len({live.id for live in found.lives}) == len(found.lives)
    assert names(found.used) == {"send_message"}
    assert found.state is not None


def test_the_archive_of_an_agent_is_known(project: Project) -> None:
    lives = {str(live.address): live for live in gathered(project).lives}
    assert lives["agents.ann"].values["archive"] == [lives["archives.facts"].id]
    assert lives["agents.bob"].values["archive"] == []


def test_conversations_that_people_began_are_there_with_their_copies(project: Project) -> None:
    ann = next(live.id for live in gathered(project).lives if live.name == "ann")
    project.server.post(f"/v1/conversations/?agent_id={ann}", summary="Theirs.", isolated_block_labels=["team"])
    found = gathered(project)
    assert {live.name for live in found.lives if live.kind == "conversation"} == {"talk", "Theirs."}
    assert sum(live.kind == "block" and live.address is None for live in found.lives) == 2


def test_blocks_of_others_have_their_tags_and_owners_which_agents_do_not_show(project: Project) -> None:
    ann = next(live.id for live in gathered(project).lives if live.name == "ann")
    ours = project.server.block("ours", tags=["lettaform:stack=other", "theirs"])["id"]
    for id in (ours, project.server.block("diary", tags=["theirs"])["id"]):
        project.server.attach(ann, "core-memory/blocks", id)
    used = {live.name: live for live in gathered(project).used if live.kind == "block"}
    assert {name: (live.stack, live.address, live.values["tags"]) for name, live in used.items()} == {
        "ours": ("other", None, ["theirs"]),
        "diary": (None, None, ["theirs"]),
    }


def test_the_archive_that_an_agent_filled_by_itself_is_stored_with_its_contents(project: Project) -> None:
    bob = next(live.id for live in gathered(project).lives if live.name == "bob")
    archive = project.server.post("/v1/archives/", name="bob's", embedding="letta/letta-free")["id"]
    project.server.post(f"/v1/agents/{bob}/archives/attach/{archive}", method="PATCH")
    found = gathered(project)
    assert archive in {live.id for live in found.used}
    assert found.filled == {archive}


def test_only_what_is_wanted_and_what_it_needs(project: Project) -> None:
    every = {str(live.address): live.id for live in gathered(project).lives}
    found = gathered(project, {every["agents.ann"]})
    assert names(found.lives) == {"agents.ann", "conversations.talk", "notes"}
    assert names(found.used) == {"blocks.team", "agents.ann.memory.notes", "archives.facts", "send_message"}
    assert found.filled == frozenset()  # our archive stays


def test_agents_without_archives_cost_no_request_each(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.apply("agents:\n" + "".join(f"  a{n}: {{{MODELS}}}\n" for n in range(40)))
    gathered(project)
    assert len(project.server.asked) < 10


def test_it_can_be_read_again(project: Project) -> None:
    manifest, objects = load(project.folder, ()), gathered(project)
    team = next(live for live in objects.lives if live.name == "team")
    project.server.post(f"/v1/blocks/{team.id}", method="PATCH", value="Bob")
    now = project.server.run(partial(again, stack=manifest.stack, objects=objects))
    before = {live.id: live.values for live in objects.lives}
    changed = [live.id for live in now.lives if live.values != before[live.id]]
    assert changed == [team.id]
