"""Proven snapshots: nothing is deleted before everything is on the disk, read back, and equal to the server."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import SnapshotError
from lettaform.model import PlanOptions
from lettaform.session import snapshots
from tests.session.test_gather import MANIFEST
from tests.session.test_observe import MODELS, Project

DESTROY = PlanOptions(destroy=True, allow_destroy=("*",))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.apply(MANIFEST)
    return made


def agent(project: Project, name: str) -> str:
    return next(a["id"] for a in project.server.standin.tables.agents.values() if a["name"] == name)


def say(project: Project, name: str, text: str = "Hello.") -> None:
    body = [{"role": "user", "content": text}]
    project.server.post(f"/v1/agents/{agent(project, name)}/messages", messages=body)


def create(project: Project, **more: Any) -> Path:
    return project.flow(lambda: flow.snapshot_create(project.source, project.connection, **more))


def destroy(project: Project, where: flow.Snapshots | None = None) -> Any:
    return project.flow(lambda: flow.apply(project.source, project.connection, DESTROY, snapshots=where))[1]


def test_two_snapshots_of_an_unchanged_stack_differ_in_the_time_alone(project: Project) -> None:
    say(project, "ann")
    one, other = create(project), create(project)
    bodies = [json.loads((each / "snapshot.json").read_text()) for each in (one, other)]
    assert {key for key in bodies[0] if bodies[0][key] != bodies[1][key]} == {"created_at"}
    for file in one.iterdir():
        if file.name != "snapshot.json":
            assert file.read_bytes() == (other / file.name).read_bytes()
    assert flow.snapshot_verify(one) == []


def test_the_whole_history_is_kept_also_what_left_the_context(project: Project) -> None:
    say(project, "ann", "long ago")
    say(project, "ann", "just now")
    ann = project.server.standin.tables.agents[agent(project, "ann")]
    ann["message_ids"] = [ann["message_ids"][0], *ann["message_ids"][-2:]]
    folder = create(project)
    (entry,) = [entry for entry in flow.snapshot_read(folder).entries if str(entry.live.address) == "agents.ann"]
    exported = json.loads((folder / str(entry.file)).read_text())["agents"][0]["messages"]
    assert "long ago" not in json.dumps(exported)
    assert "long ago" in (folder / str(entry.messages)).read_text()


def test_files_of_unchanged_agents_are_not_exported_again(project: Project) -> None:
    say(project, "ann")
    say(project, "bob")
    create(project)
    say(project, "bob")
    project.server.asked.clear()
    create(project)
    exports = [each for each in project.server.asked if "/export" in each and "conversation_id" not in each]
    # the conversation of ann shows nothing of its messages
    assert {each.split("/")[3] for each in exports} == {agent(project, "ann"), agent(project, "bob")}
    project.server.asked.clear()
    create(project)
    exports = [each for each in project.server.asked if "/export" in each and "conversation_id" not in each]
    assert {each.split("/")[3] for each in exports} == {agent(project, "ann")}


def test_destroy_announces_its_snapshot_before_the_first_delete(project: Project, tmp_path: Path) -> None:
    found: list[tuple[Path, bool]] = []

    def announce(folder: Path) -> None:
        found.append((folder, any(each.startswith("DELETE /v1/agents") for each in project.server.asked)))

    report = destroy(project, flow.Snapshots(tmp_path / "kept", announce))
    ((folder, deleted),) = found
    assert (folder.parent, deleted, report.snapshot) == (tmp_path / "kept", False, str(folder))
    assert flow.snapshot_verify(folder) == []
    assert flow.snapshot_read(folder).header.scope == "plan"


def test_a_destroy_lists_the_stack_for_its_plan_and_for_the_proof(project: Project) -> None:
    project.server.asked.clear()
    destroy(project)
    lists = [each for each in project.server.asked if each.startswith("GET /v1/agents/?") and "tags=" in each]
    assert len(lists) == 2


def test_an_apply_that_destroys_nothing_takes_none(project: Project) -> None:
    project.apply(MANIFEST.replace("Ann", "Bob"))
    project.apply(MANIFEST + "identities: {me: {name: Me, identity_type: user}}\n")
    assert not (project.folder / ".lettaform" / "snapshots").exists()


def test_removed_passages_are_kept(project: Project) -> None:
    project.apply(MANIFEST.replace("[One fact., Two facts.]", "[One fact.]"))
    (folder,) = (project.folder / ".lettaform" / "snapshots").iterdir()
    assert "Two facts." in "".join(each.read_text() for each in folder.glob("*.contents.json"))


def test_the_manifest_says_where(project: Project, tmp_path: Path) -> None:
    project.write(f"snapshots: {{to: {tmp_path / 'bucket'}}}\n" + MANIFEST)
    assert create(project).parent == tmp_path / "bucket"
    project.write("snapshots: {to: kept}\n" + MANIFEST)
    assert create(project).parent == project.folder / "kept"
    assert flow.snapshot_directory(project.source) == project.folder / "kept"
    assert create(project, directory=tmp_path / "chosen").parent == tmp_path / "chosen"


# --- proof -----------------------------------------------------------------------------------------------------------


def running(project: Project, times: int) -> None:
    """Ann changes her memory after each of the first exports."""
    left = [times]

    def act(ask: Any) -> None:
        if ask.path.endswith("/export") and left[0] and "conversation_id" not in ask.query:
            left[0] -= 1
            block = next(b for b in project.server.standin.tables.blocks.values() if b["label"] == "team")
            block["value"] += " and more"

    project.server.standin.after = act


def test_an_agent_that_runs_meanwhile_is_read_again(project: Project) -> None:
    say(project, "ann")
    running(project, 1)
    folder = create(project)
    assert flow.snapshot_objects(flow.snapshot_read(folder), "blocks.team")[0].values["value"] == "Ann and more"
    assert [each for each in folder.parent.iterdir() if each.is_dir()] == [folder]


def test_what_an_agent_writes_after_the_plan_of_a_destroy_is_kept(project: Project) -> None:
    say(project, "ann")
    running(project, 1)
    folder = Path(destroy(project).snapshot)
    assert flow.snapshot_objects(flow.snapshot_read(folder), "blocks.team")[0].values["value"] == "Ann and more"


def test_nothing_is_deleted_if_it_cannot_be_proven(project: Project) -> None:
    say(project, "ann")
    running(project, 100)
    with pytest.raises(SnapshotError, match="nothing was changed on the server") as refused:
        destroy(project)
    assert any("blocks.team" in problem.message for problem in refused.value.problems)
    assert project.server.standin.tables.agents
    assert list((project.folder / ".lettaform" / "snapshots").iterdir()) == []


@pytest.mark.parametrize("spoil", ["cut", "without a block", "without messages", "index", "index without a key"])
def test_what_the_disk_does_not_hold_is_found_before_the_first_delete(
    project: Project, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(project, "ann")
    taking = snapshots.take

    async def spoilt(*words: Any) -> Path:
        folder = await taking(*words)
        file, index = next(folder.glob("*.af")), folder / "snapshot.json"
        if spoil == "index":
            index.write_text(index.read_text().replace("Ann", "Bob"))
        elif spoil == "index without a key":
            index.write_text(index.read_text().replace('"objects"', '"object"'))
        elif spoil == "cut":
            file.write_text(file.read_text()[:100])
        elif spoil == "without a block":
            file.write_text(file.read_text().replace("Ann", "Bob"))
        else:
            next(folder.glob("*.messages.json")).unlink()
        return folder

    monkeypatch.setattr(snapshots, "take", spoilt)
    with pytest.raises(SnapshotError):
        destroy(project)
    assert project.server.standin.tables.agents


def test_a_full_disk_is_an_error_before_the_first_delete(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lettaform.snapshot.folder.os.fsync", full)
    with pytest.raises(SnapshotError, match="No space left"):
        destroy(project)
    assert project.server.standin.tables.agents


# --- differences -----------------------------------------------------------------------------------------------------


def diff(project: Project, old: Path, new: Path | None = None) -> dict[str, list[str]]:
    found = project.flow(lambda: flow.snapshot_diff(project.source, project.connection, old, new))
    return {str(change.address): [each.path for each in change.fields_changed] for change in found.changes}


def test_diff_with_the_server_and_with_another_snapshot(project: Project) -> None:
    say(project, "bob")
    before = create(project)
    assert diff(project, before) == {}
    say(project, "bob")
    team = next(b for b in project.server.standin.tables.blocks.values() if b["label"] == "team")
    project.server.post(f"/v1/blocks/{team['id']}", method="PATCH", value="Spoilt.")
    project.server.post(f"/v1/agents/{agent(project, 'ann')}", method="PATCH", system="Be rude.")
    expected = {"agents.ann": ["system"], "agents.bob": ["messages"], "blocks.team": ["value"]}
    assert diff(project, before) == expected
    assert diff(project, before, create(project)) == expected


def test_diff_shows_passages_and_objects_of_one_side(project: Project) -> None:
    before = create(project)
    archive = next(iter(project.server.standin.tables.archives))
    project.server.post(f"/v1/archives/{archive}/passages", text="Three facts.")
    project.write(MANIFEST + f"  cat: {{{MODELS}}}\n")
    project.write(MANIFEST.replace("conversations:", f"  cat: {{{MODELS}}}\nconversations:"))
    project.flow(lambda: flow.apply(project.source, project.connection))
    assert diff(project, before) == {"agents.cat": [], "archives.facts": ["passages"]}


# --- interruptions ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.thorough
def test_a_kill_at_any_request_leaves_no_half_snapshot_and_writes_nothing(project: Project) -> None:
    say(project, "ann")
    directory, written = project.folder / ".lettaform" / "snapshots", len(project.server.standin.writes)
    create(project, directory=project.folder / "whole")
    total = len(project.server.asked)
    assert total > 15
    for number in range(total):
        sent = [0]

        def kill(ask: Any, sent: list[int] = sent, number: int = number) -> None:
            sent[0] += 1
            if sent[0] > number:
                raise Killed

        project.server.standin.before = kill
        with suppress(Killed, BaseExceptionGroup):
            create(project)
        assert [flow.snapshot_verify(folder) for folder in directory.glob("*")] in ([], [[]]), number
        shutil.rmtree(directory, ignore_errors=True)
    project.server.standin.before = lambda ask: None
    assert flow.snapshot_verify(create(project)) == []
    only_reads = [path for _, path, _ in project.server.standin.writes[written:]]
    assert set(only_reads) <= {"/v1/passages/search"}


def test_destroy_that_is_killed_before_its_snapshot_is_proven_deletes_nothing(project: Project) -> None:
    say(project, "ann")

    def kill(ask: Any) -> None:
        if ask.path.endswith("/messages"):
            raise Killed

    project.server.standin.before = kill
    with suppress(Killed, BaseExceptionGroup):
        destroy(project)
    assert len(project.server.standin.tables.agents) == 2
    project.server.standin.before = lambda ask: None
    assert destroy(project).exit_code == 0
    assert project.server.standin.tables.agents == {}
