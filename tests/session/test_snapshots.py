"""Proven snapshots: nothing is deleted before everything is on the disk, read back, and equal to the server."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import PlanError, SnapshotError, Stale
from lettaform.model import PlanOptions
from lettaform.plan import notes as notes_of_plans
from lettaform.session import snapshots
from tests.session.test_gather import MANIFEST
from tests.session.test_observe import MODELS, Project

pytestmark = pytest.mark.thorough

DESTROY = PlanOptions(destroy=True, allow_destroy=("*",))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.applied(tmp_path, MANIFEST)


def agent(project: Project, name: str) -> str:
    return next(a["id"] for a in project.server.standin.tables.agents.values() if a["name"] == name)


def say(project: Project, name: str, text: str = "Hello.") -> None:
    body = [{"role": "user", "content": text}]
    project.server.post(f"/v1/agents/{agent(project, name)}/messages", messages=body)


def create(project: Project, **more: Any) -> Path:
    return project.flow(lambda: flow.snapshot_create(project.source, project.connection, **more))


def destroy(project: Project, where: flow.Snapshots | None = None) -> Any:
    return project.flow(lambda: flow.apply(project.source, project.connection, DESTROY, snapshots=where, consent=True))[
        1
    ]


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


# --- messages that the server cannot list -----------------------------------------------------------------------------


@pytest.fixture
def unreadable(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Bob has a message that the server cannot read."""
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)
    say(project, "ann", "Ann remembers.")
    say(project, "bob", "Bob remembers.")
    spoil(project, "bob")
    return project


def spoil(project: Project, name: str, number: int = 0) -> None:
    """Break a row of the messages of an agent: what shows it answers 500."""
    project.rows("messages", agent=agent(project, name))[number]["_broken"] = True


def leave_out(project: Project, *patterns: str, **more: Any) -> Any:
    """The plan and the report of a destroy with --without-messages."""
    options = PlanOptions(**{"destroy": True, "allow_destroy": ("*",), "without_messages": patterns} | more)
    return project.flow(lambda: flow.apply(project.source, project.connection, options, consent=True))


def test_an_error_names_each_agent_whose_messages_cannot_be_listed_and_first_what_keeps_them(
    unreadable: Project,
) -> None:
    spoil(unreadable, "ann")
    with pytest.raises(SnapshotError, match="nothing was changed") as refused:
        destroy(unreadable)
    ann, bob = refused.value.problems
    assert (ann.address, bob.address) == ("agents.ann", "agents.bob")
    assert f"{agent(unreadable, 'bob')}/export: 500 An unknown error occurred" in bob.message
    parts = ("repair it", "`--exclude agents.bob`", "`--without-messages agents.bob`", "are lost")
    places = [str(bob.hint).index(part) for part in parts]
    assert places == sorted(places)
    with pytest.raises(SnapshotError) as refused:
        create(unreadable)
    assert "--exclude" not in str(refused.value.problems[0].hint)
    assert len(unreadable.server.standin.tables.agents) == 2
    assert list((unreadable.folder / ".lettaform" / "snapshots").iterdir()) == []


def test_an_agent_that_is_excluded_stays_with_its_messages(unreadable: Project) -> None:
    _, report = leave_out(unreadable, exclude=("agents.bob",), allow_destroy=())
    assert report.exit_code == 0
    assert [each["name"] for each in unreadable.rows("agents")] == ["bob"]
    assert unreadable.rows("blocks", label="team")
    assert len(unreadable.rows("messages", agent=agent(unreadable, "bob"))) == 2


def test_the_named_agent_is_deleted_without_a_copy_of_its_messages_and_the_others_with_one(
    unreadable: Project,
) -> None:
    plan, report = leave_out(unreadable, "agents.bob")
    notes = {str(each.address): each.notes for each in plan.changes}
    assert notes["agents.bob"] == (notes_of_plans.LOST,)
    assert notes["agents.ann"] == ()
    assert report.exit_code == 0
    (warning,) = report.warnings
    assert warning.message.startswith("agents.bob: a restore brings it back without its messages: GET /v1/agents/")
    folder = Path(report.snapshot)
    assert flow.snapshot_verify(folder) == [warning]
    entries = {entry.shown: entry for entry in flow.snapshot_read(folder).entries}
    assert entries["agents.ann"].without_messages == ""
    assert "Ann remembers." in (folder / str(entries["agents.ann"].messages)).read_text()
    assert (entries["agents.bob"].file, entries["agents.bob"].messages) == (None, None)


def test_an_agent_comes_back_without_its_messages_and_the_plan_says_so(unreadable: Project) -> None:
    before = create(unreadable, without_messages=("agents.bob",))
    leave_out(unreadable, "agents.bob")
    plan, report = unreadable.flow(lambda: flow.restore(unreadable.source, unreadable.connection, before, consent=True))
    assert report.exit_code == 0
    (bob,) = [change for change in plan.changes if str(change.address) == "agents.bob"]
    assert bob.notes == ("its messages are not restored: the snapshot was taken without them",)
    assert unreadable.rows("messages", agent=agent(unreadable, "bob")) == []
    assert not unreadable.plan().steps
    say(unreadable, "bob", "Again.")
    found = unreadable.flow(lambda: flow.snapshot_diff(unreadable.source, unreadable.connection, before))
    assert found.without_messages == ("agents.bob",)
    assert [str(each.address) for each in found.changes if each.fields_changed] == []


def test_what_is_named_and_can_be_listed_is_kept_with_a_warning(unreadable: Project) -> None:
    warnings = list[Any]()
    folder = create(unreadable, without_messages=("agents.*",), warn=warnings.append)
    assert [each.message for each in warnings][1:] == [
        "--without-messages was not needed: the snapshot has the messages of agents.ann"
    ]
    assert "Ann remembers." in "".join(each.read_text() for each in folder.glob("*.messages.json"))


def test_the_address_of_an_agent_names_its_conversations(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)
    (talk,) = project.server.standin.tables.conversations
    body = [{"role": "user", "content": "In the thread."}]
    project.server.post(f"/v1/conversations/{talk}/messages", messages=body, streaming=False)
    spoil(project, "ann")
    with pytest.raises(SnapshotError) as refused:
        destroy(project)
    # the list of an agent also has the messages of its conversations
    ann, thread = sorted(refused.value.problems, key=lambda problem: str(problem.address))
    assert "`--without-messages agents.ann`" in str(ann.hint)
    assert "`--exclude conversations.talk --exclude agents.ann`" in str(thread.hint)
    assert "`--without-messages conversations.talk`" in str(thread.hint)
    with pytest.raises(SnapshotError) as refused:
        leave_out(project, "conversations.talk")
    assert [problem.address for problem in refused.value.problems] == ["agents.ann"]
    _, report = leave_out(project, "agents.ann")
    assert (report.exit_code, len(report.warnings)) == (0, 2)


def test_the_remedy_for_a_conversation_leaves_it_and_its_agent(project: Project) -> None:
    _, report = leave_out(project, exclude=("conversations.talk", "agents.ann"), allow_destroy=())
    assert report.exit_code == 0
    assert [each["name"] for each in project.rows("agents")] == ["ann"]
    assert len(project.rows("conversations")) == 1


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("agents.bop", ("no object has the address `agents.bop`", "did you mean `agents.bob`?")),
        (
            "blocks.team",
            ("`blocks.team` names no agent and no conversation, and nothing else has messages", "there are"),
        ),
    ],
)
def test_a_pattern_that_names_nothing_with_messages_is_refused(
    project: Project, pattern: str, error: tuple[str, str]
) -> None:
    for verb in (
        lambda: leave_out(project, pattern),
        lambda: create(project, without_messages=(pattern,)),
    ):
        with pytest.raises(PlanError) as refused:
            verb()
        assert refused.value.message == error[0]
        assert str(refused.value.hint).startswith(error[1])
    assert len(project.rows("agents")) == 2


def test_a_pruned_and_a_replaced_agent_need_the_option_too(unreadable: Project) -> None:
    bob = f"  bob: {{{MODELS}, memory: {{notes: none}}, blocks: [team]}}\n"
    assert bob in MANIFEST
    replaced = bob.replace("memory:", "agent_type: memgpt_v2_agent, memory:")
    pruned = MANIFEST.replace(bob, "")
    for action, text, more in (("replace", MANIFEST.replace(bob, replaced), {}), ("delete", pruned, {"prune": True})):
        unreadable.write(text)
        with pytest.raises(SnapshotError):
            leave_out(unreadable, destroy=False, **more)
        plan, report = leave_out(unreadable, "agents.bob", destroy=False, **more)
        assert [each.action for each in plan.changes if str(each.address) == "agents.bob"] == [action]
        assert (report.exit_code, [each.severity for each in report.warnings]) == (0, ["warning"])
        if not more:  # the new one
            say(unreadable, "bob")
            spoil(unreadable, "bob")


def test_a_saved_plan_carries_the_option_to_whoever_applies_it(unreadable: Project, tmp_path: Path) -> None:
    file = tmp_path / "destroy.json"
    for patterns in ((), ("agents.bob",)):
        options = PlanOptions(destroy=True, allow_destroy=("*",), without_messages=patterns)
        flow.save(unreadable.flow(partial(flow.plan, unreadable.source, unreadable.connection, options)), file)
        notes = [note for change in flow.show_saved(file)["changes"] for note in change.get("notes", ())]
        assert notes == [notes_of_plans.LOST] * len(patterns)
        saved = partial(flow.apply_saved, file, unreadable.source, unreadable.connection, consent=True)
        if patterns:
            assert unreadable.flow(saved)[1].exit_code == 0
        else:
            with pytest.raises(SnapshotError):
                unreadable.flow(saved)


def test_who_approves_a_plan_approves_the_loss_of_messages(unreadable: Project) -> None:
    plans = [
        unreadable.flow(partial(flow.plan, unreadable.source, unreadable.connection, options))
        for options in (PlanOptions(destroy=True, without_messages=each) for each in ((), ("agents.bob",), ("*.bob",)))
    ]
    without, by_name, by_pattern = map(flow.approval, plans)
    assert without != by_name == by_pattern
    options = PlanOptions(destroy=True, without_messages=("agents.bob",))
    apply = partial(flow.apply, unreadable.source, unreadable.connection, options, approved=without, consent=True)
    with pytest.raises(Stale):
        unreadable.flow(apply)
    assert len(unreadable.rows("agents")) == 2


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


def test_diff_with_a_server_that_does_not_list_messages_compares_everything_else(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)
    for name in ("ann", "bob"):
        say(project, name)
    before = create(project)
    for name in ("ann", "bob"):
        say(project, name)
    spoil(project, "bob")
    assert diff(project, before) == {"agents.ann": ["messages"]}
    found = project.flow(lambda: flow.snapshot_diff(project.source, project.connection, before))
    assert found.without_messages == ("agents.bob",)


def test_diff_shows_passages_and_objects_of_one_side(project: Project) -> None:
    before = create(project)
    archive = next(iter(project.server.standin.tables.archives))
    project.server.post(f"/v1/archives/{archive}/passages", text="Three facts.")
    project.write(MANIFEST + f"  cat: {{{MODELS}}}\n")
    project.write(MANIFEST.replace("conversations:", f"  cat: {{{MODELS}}}\nconversations:"))
    project.flow(lambda: flow.apply(project.source, project.connection, consent=True))
    assert diff(project, before) == {"agents.cat": [], "archives.facts": ["passages"]}


# --- interruptions ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


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
