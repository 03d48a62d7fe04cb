"""Restore: the stack as it was, nothing that reads as changed, no duplicates, and what is impossible said at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.errors import PlanError, SnapshotError, Unavailable
from lettaform.model import Plan
from tests.backend.v1.served import URL
from tests.session.test_gather import MANIFEST
from tests.session.test_observe import MODELS, Project
from tests.session.test_snapshots import Killed, agent, create, destroy, diff, say, spoil
from tests.standin import StandIn

pytestmark = pytest.mark.thorough


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.applied(tmp_path, MANIFEST)


def restore(project: Project, path: Path, *addresses: str, **more: Any) -> Plan:
    plan, report = project.flow(
        lambda: flow.restore(project.source, project.connection, path, addresses, **more, consent=True)
    )
    assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
    return plan


def lines(plan: Plan) -> dict[str, tuple[str, list[str]]]:
    return {str(c.address): (c.action, [each.path for each in c.fields_changed]) for c in plan.changes}


def raw(project: Project, method: str, path: str, **body: Any) -> Any:
    with httpx.Client(transport=project.server.standin, base_url=URL) as http:
        return http.request(method, path, json=body).raise_for_status().json()


def block(project: Project, label: str) -> str:
    return next(b["id"] for b in project.server.standin.tables.blocks.values() if b["label"] == label)


SAID = {"messages": [{"role": "user", "content": "Hello."}], "streaming": False}


def conversation(project: Project, summary: str) -> str:
    rows = project.server.standin.tables.conversations.items()
    return next(id for id, each in rows if (each["summary"] or "").startswith(summary))


def assert_unchanged(project: Project, before: Path, but: tuple[str, ...] = ()) -> None:
    assert {each for each in diff(project, before) if not each.startswith("blocks.block-")} <= {*but}
    assert not project.plan().steps
    assert not restore(project, before).steps


def test_nothing_to_restore_is_an_empty_plan(project: Project) -> None:
    before = create(project)
    assert_unchanged(project, before)


def test_memory_prompts_and_attachments_are_rolled_back(project: Project) -> None:
    ann = agent(project, "ann")
    raw(project, "PATCH", f"/v1/agents/{ann}/core-memory/blocks/notes", value="learnt")
    raw(project, "PATCH", f"/v1/agents/{ann}", description="clever")
    before = create(project)
    raw(project, "PATCH", f"/v1/agents/{ann}/core-memory/blocks/notes", value="spoilt")
    raw(project, "PATCH", f"/v1/blocks/{block(project, 'team')}", value="spoilt", description="x")
    raw(project, "PATCH", f"/v1/agents/{ann}", system="Be rude.")
    raw(project, "PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{block(project, 'team')}")
    archive = next(iter(project.server.standin.tables.archives))
    raw(project, "POST", f"/v1/archives/{archive}/passages", text="Nonsense.")
    plan = restore(project, before)
    assert lines(plan) == {
        "conversations.talk": ("update", []),  # it is recompiled
        "agents.ann": ("update", ["system", "blocks"]),
        "agents.ann.memory.notes": ("update", ["value"]),
        "blocks.team": ("update", ["value", "description"]),
        "archives.facts": ("update", ["passages"]),
    }
    assert_unchanged(project, before)


def test_entries_of_maps_that_were_added_since_are_removed(project: Project) -> None:
    text = MANIFEST.replace("ann: {", "ann: {metadata: {mood: good}, ", 1)
    text += "identities: {eve: {name: Eve, identity_type: user, properties: {desk: '1'}}}\n"
    project.apply(text)
    before = create(project)
    ann, (eve,) = agent(project, "ann"), project.server.standin.tables.identities
    known = raw(project, "GET", f"/v1/agents/{ann}")["metadata"]
    raw(project, "PATCH", f"/v1/agents/{ann}", metadata={**known, "mood": "bad", "extra": "x"})
    raw(project, "PATCH", f"/v1/blocks/{block(project, 'team')}", metadata={"extra": "x"})
    floor = {"key": "floor", "value": "3", "type": "string"}
    raw(project, "PATCH", f"/v1/identities/{eve}", properties=[floor])
    assert lines(restore(project, before)) == {
        "agents.ann": ("update", ["metadata.mood", "metadata.extra"]),
        "blocks.team": ("update", ["metadata.extra"]),
        "identities.eve": ("update", ["properties.floor"]),
    }
    assert raw(project, "GET", f"/v1/agents/{ann}")["metadata"] == known
    assert_unchanged(project, before)


def test_secrets_stay_as_they_are(project: Project) -> None:
    text = "variables: {key: {secret: true, default: hunter22}}\n"
    text += MANIFEST.replace("ann: {", 'ann: {secrets: {KEY: "${var.key}"}, ')
    project.apply(text)
    before = create(project)
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'ann')}", system="Be rude.")
    plan = restore(project, before)
    assert lines(plan)["agents.ann"] == ("update", ["system"])
    assert project.server.standin.tables.agents[agent(project, "ann")]["_secrets"].keys() == {"KEY"}
    assert_unchanged(project, before)
    destroy(project)
    restore(project, before)
    (secret,) = raw(project, "GET", f"/v1/agents/{agent(project, 'ann')}")["secrets"]
    assert (secret["key"], secret["value"]) == ("KEY", "hunter22")
    assert not project.plan().steps


def test_bases_are_as_they_were(project: Project) -> None:
    before = create(project)
    project.apply(MANIFEST.replace("value: Ann", "value: Bob, policy: {value: enforce}"))
    restore(project, before)
    project.write(MANIFEST)
    assert_unchanged(project, before)


def test_everything_that_was_destroyed_comes_back(project: Project) -> None:
    project.apply(MANIFEST.replace("conversations: {talk: {agent: ann, isolated: [notes]}}\n", ""))
    destroyed = MANIFEST.split("conversations:")[0]
    project.write(destroyed)
    project.flow(
        lambda: flow.apply(
            project.source, project.connection, flow.PlanOptions(prune=True, allow_destroy=("*",)), consent=True
        )
    )
    say(project, "ann", "Remember this.")
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes", value="learnt")
    before = create(project)
    destroy(project)
    assert project.server.standin.tables.agents == {}
    restore(project, before)
    tables = project.server.standin.tables
    assert sorted(a["name"] for a in tables.agents.values()) == ["ann", "bob"]
    assert sorted(b["label"] for b in tables.blocks.values() if b["label"] != "lettaform") == ["notes", "notes", "team"]
    said = raw(project, "GET", f"/v1/agents/{agent(project, 'ann')}/messages")
    assert "Remember this." in [each["content"] for each in said]
    assert len(tables.passages) == 2
    assert not project.plan().steps
    found = diff(project, before)
    assert set(found) <= {"agents.ann"}
    assert found.get("agents.ann", ["messages"]) == ["messages"]


def test_only_what_is_named(project: Project) -> None:
    before = create(project)
    for label in ("team", "notes"):
        raw(project, "PATCH", f"/v1/blocks/{block(project, label)}", value="spoilt")
    assert lines(restore(project, before, "blocks.team")) == {
        "blocks.team": ("update", ["value"]),
        "conversations.talk": ("update", []),  # it is recompiled
    }
    with pytest.raises(PlanError, match="no object has the address"):
        restore(project, before, "blocks.teem")


def test_what_is_not_named_stays_the_stacks(project: Project) -> None:
    people = "identities: {lead: {name: Lead, identity_type: user, identifier_key: lead}}\n"
    project.apply(people + MANIFEST.replace("ann: {", "ann: {identities: [lead], "))
    before, ann = create(project), agent(project, "ann")
    raw(project, "PATCH", f"/v1/agents/{ann}", system="Be rude.", identity_ids=[])
    raw(project, "PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{block(project, 'team')}")
    assert lines(restore(project, before, "agents.ann"))["agents.ann"] == ("update", ["system", "blocks", "identities"])
    assert_unchanged(project, before)


def test_an_empty_server_gets_everything(project: Project) -> None:
    say(project, "bob", "Hello.")
    before = create(project)
    project.server.standin = StandIn(seed=9)
    restore(project, before)
    assert not project.plan().steps
    assert sorted(a["name"] for a in project.server.standin.tables.agents.values()) == ["ann", "bob"]


# --- what agents made themselves --------------------------------------------------------------------------------------

DIARY = {"value": "Dear diary.", "description": "What happened.", "limit": 777, "read_only": True, "tags": ["theirs"]}


def learn(project: Project) -> Path:
    """A snapshot with a block that both agents have, and with the archive that the server created for bob."""
    diary = project.server.block("diary", **DIARY, metadata={"mood": "good"})["id"]
    for name in ("ann", "bob"):
        project.server.attach(agent(project, name), "core-memory/blocks", diary)
    say(project, "bob", "Hello.")
    for text in ("Bob knows this.", "And that."):
        raw(project, "POST", f"/v1/agents/{agent(project, 'bob')}/archival-memory", text=text, tags=["x"])
    return create(project)


def made(project: Project) -> dict[str, Any]:
    """What agents made themselves, without ids: blocks with their agents, archives with theirs and their passages."""
    tables = project.server.standin.tables
    names = {id: each["name"] for id, each in tables.agents.items()}
    blocks = [
        ({name: each[name] for name in (*DIARY, "metadata")}, sorted(_having(project, each["id"], names)))
        for each in tables.blocks.values()
        if each["label"] == "diary"
    ]
    archives = [
        (
            *(each["name"], each["description"], sorted(names[id] for id, a in tables.agents.items() if _has(a, each))),
            sorted((p["text"], *(p["tags"] or ())) for p in tables.passages.values() if p["archive_id"] == each["id"]),
        )
        for each in tables.archives.values()
        if each["name"] == "bob's Archive"
    ]
    return {"blocks": blocks, "archives": archives}


def _having(project: Project, block: str, names: dict[str, str]) -> list[str]:
    return [names[each["id"]] for each in raw(project, "GET", f"/v1/blocks/{block}/agents")]


def _has(agent: Any, archive: Any) -> bool:
    return bool(agent["_archive"] == archive["id"])


def assert_nobody_owns(project: Project) -> None:
    owned = project.flow(lambda: flow.state_list(project.source, project.connection))
    assert not [str(each.address) for each in owned if each.name in ("diary", "bob's Archive")]
    plan = project.plan()
    assert (plan.steps, plan.unmanaged) == ((), ())


def test_what_agents_made_themselves_comes_back_and_nobody_owns_it(project: Project) -> None:
    before = learn(project)
    had = made(project)
    assert had["archives"][0][1:] == (
        "Default archive created automatically",
        ["bob"],
        [("And that.", "x"), ("Bob knows this.", "x")],
    )
    project.server.standin = StandIn(seed=9)
    plan = restore(project, before)
    assert made(project) == had
    assert_nobody_owns(project)
    assert_unchanged(project, before)
    notes = {str(each.address).split("-")[0]: each.notes for each in plan.changes if "-" in str(each.address)}
    assert notes == dict.fromkeys(
        ("blocks.block", "archives.archive"), ("no stack owned it: this one lets go of it once everything is restored",)
    )


def test_what_agents_made_themselves_outlives_a_destroy_and_is_attached_again(project: Project) -> None:
    before = learn(project)
    had = made(project)
    destroy(project)
    restore(project, before)
    assert made(project) == had
    assert_nobody_owns(project)


def test_what_agents_share_is_one_object_although_they_are_restored_one_by_one(project: Project) -> None:
    project.apply(MANIFEST.replace(", archive: facts", ""))
    learn(project)
    (shared,) = (id for id, each in project.server.standin.tables.archives.items() if each["name"] != "facts")
    project.server.attach(agent(project, "ann"), "archives", shared)
    before, had = create(project), made(project)
    assert (had["blocks"][0][1], had["archives"][0][2]) == (["ann", "bob"], ["ann", "bob"])
    project.server.standin = StandIn(seed=9)
    for name in ("bob", "ann"):
        restore(project, before, "blocks.team", "archives.facts", f"agents.{name}*")
    restore(project, before)
    assert made(project) == had
    assert_nobody_owns(project)


def test_blocks_of_one_label_that_two_agents_made_are_not_confused(project: Project) -> None:
    for name in ("ann", "bob"):
        todo = project.server.block("todo", value=f"To do for {name}.")["id"]
        project.server.attach(agent(project, name), "core-memory/blocks", todo)
    before = create(project)

    def todos() -> list[str]:
        paths = [f"/v1/agents/{agent(project, name)}/core-memory/blocks/todo" for name in ("ann", "bob")]
        return [raw(project, "GET", path)["value"] for path in paths]

    assert not restore(project, before).steps
    destroy(project)
    restore(project, before)
    assert todos() == ["To do for ann.", "To do for bob."]
    project.server.standin = StandIn(seed=9)
    restore(project, before)
    assert todos() == ["To do for ann.", "To do for bob."]


def test_what_agents_have_gone_on_with_stays_and_is_said(project: Project) -> None:
    before = learn(project)
    project.server.standin = StandIn(seed=9)
    restore(project, before)
    bob = agent(project, "bob")
    raw(project, "PATCH", f"/v1/blocks/{block(project, 'diary')}", value="Spoilt.")
    raw(project, "POST", f"/v1/agents/{bob}/archival-memory", text="More.")
    plan = restore(project, before)
    assert not plan.steps
    (warning,) = [each for each in plan.warnings if "changed" in each.message]  # the archive lacks nothing
    stays = "has changed since the snapshot: the stack does not own it, and it stays as it is"
    assert warning.message == f"the block `diary` ({block(project, 'diary')}) of agents.ann {stays}"
    assert warning.hint == (
        "detach it from agents.ann and agents.bob, and restore again: the block of the snapshot takes its place"
    )
    for name in ("ann", "bob"):
        path = f"/v1/agents/{agent(project, name)}/core-memory/blocks/detach/{block(project, 'diary')}"
        raw(project, "PATCH", path)
    restore(project, before)
    assert sorted((each["value"], agents) for each, agents in made(project)["blocks"]) == [
        ("Dear diary.", ["ann", "bob"]),
        ("Spoilt.", []),
    ]


def unfinished(project: Project) -> Path:
    """A snapshot, and a restore of it on an empty server that was killed before the stack let go of the archive."""
    before = learn(project)
    project.server.standin = StandIn(seed=9)

    def kill(ask: Any) -> None:
        if killed or (ask.method == "PATCH" and ask.path.startswith("/v1/archives/archive-")):
            killed.append(ask.path)
            raise Killed

    killed: list[str] = []
    project.server.standin.before = kill
    with suppress(Killed, BaseExceptionGroup):
        project.flow(lambda: flow.restore(project.source, project.connection, before, consent=True))
    project.server.standin.before = lambda ask: None
    assert killed
    without_lock(project)
    return before


def test_what_an_interrupted_restore_brings_back_is_neither_pruned_nor_destroyed(project: Project) -> None:
    before = unfinished(project)
    prune = flow.PlanOptions(prune=True, allow_destroy=("*",))
    plan = project.flow(lambda: flow.plan(project.source, project.connection, prune))
    reasons = {str(each.address).split("-")[0]: each.reason for each in plan.unmanaged}
    assert set(reasons) <= {"archives.archive", "blocks.block"}
    assert reasons["archives.archive"] == (
        "kept: a restore that was interrupted lets go of it; the same command completes it"
    )
    assert not [each for each in plan.changes if each.action == "delete"]
    project.flow(lambda: flow.apply(project.source, project.connection, prune, consent=True))
    raw(project, "POST", f"/v1/agents/{agent(project, 'bob')}/archival-memory", text="Meanwhile.")
    while_open = create(project)
    plan = restore(project, before)
    assert {each.action for each in plan.changes if "-" in str(each.address)} == {"forget"}
    assert [text for text, *_ in made(project)["archives"][0][3]] == ["And that.", "Bob knows this.", "Meanwhile."]
    assert [agents for _, agents in made(project)["blocks"]] == [["ann", "bob"]]
    assert_nobody_owns(project)
    project.server.standin = StandIn(seed=10)
    restore(project, while_open)
    assert [text for text, *_ in made(project)["archives"][0][3]] == ["And that.", "Bob knows this.", "Meanwhile."]
    assert_nobody_owns(project)


def test_what_the_completing_restore_overwrites_is_rolled_back_with_what_agents_made(project: Project) -> None:
    before = unfinished(project)
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'bob')}", system="Be rude.")
    restore(project, before)
    had = made(project)
    assert lines(rollback(project))["agents.bob"] == ("update", ["system"])
    assert made(project) == had
    assert_nobody_owns(project)


def test_a_destroy_lets_go_of_what_an_interrupted_restore_brings_back(project: Project) -> None:
    unfinished(project)
    destroy(project)
    tables = project.server.standin.tables
    assert [each["name"] for each in tables.archives.values()] == ["bob's Archive"]
    assert [each["label"] for each in tables.blocks.values()] == ["diary"]
    assert "lettaform" not in str([*tables.archives.values(), *tables.blocks.values()])


def test_state_rm_lets_go_of_what_an_interrupted_restore_brings_back(project: Project) -> None:
    unfinished(project)
    for each in [str(each.address) for each in project.plan().unmanaged]:
        project.flow(partial(flow.state_remove, project.source, project.connection, each))
    project.apply(MANIFEST)
    assert_nobody_owns(project)


def test_what_has_an_owner_by_now_stays_its_own(project: Project) -> None:
    before = learn(project)
    archive = next(id for id, each in project.server.standin.tables.archives.items() if each["name"] != "facts")
    text = MANIFEST.replace("archives: {", "archives: {learnt: {name: bob's Archive}, ")
    text = text.replace("notes: none}, blocks: [team]}\n", "notes: none}, blocks: [team], archive: learnt}\n")
    project.write(text)
    project.flow(lambda: flow.adopt(project.source, project.connection, "archives.learnt", archive))
    project.apply(text)
    restore(project, before)
    assert [each["name"] for each in project.rows("archives")] == ["facts", "bob's Archive"]
    assert [each.action for each in project.plan().changes] == ["mark"]  # the snapshot is of the time before


def test_another_stack_gets_its_own_copies_of_what_agents_made(project: Project) -> None:
    before = learn(project)
    restore(project, before, stack="copy")
    restore(project, before, stack="copy")
    every = made(project)
    assert sorted(agents for _, agents in every["blocks"]) == [["ann", "bob"], ["ann", "bob"]]
    assert [agents for _, _, agents, _ in every["archives"]] == [["bob"], ["bob"]]
    assert len(project.rows("archives", name="bob's Archive")) == 2
    assert not project.plan().steps
    (project.folder / "lettaform.yaml").write_text(f"stack: copy\n{MANIFEST}")
    assert_nobody_owns(project)


# --- another server, another stack ------------------------------------------------------------------------------------

SECRET = (
    "variables: {key: {secret: true, env: FLEET_KEY}, other: {secret: true, env: FLEET_OTHER}}\n"
    + MANIFEST.replace("ann: {", 'ann: {secrets: {KEY: "${var.key}", OTHER: "${var.other}"}, ')
)


def test_secrets_are_asked_for_by_name_all_at_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_KEY", "hunter22")
    monkeypatch.setenv("FLEET_OTHER", "hunter33")
    project.apply(SECRET)
    before = create(project)
    project.server.standin = StandIn(seed=9)
    monkeypatch.delenv("FLEET_KEY")
    monkeypatch.delenv("FLEET_OTHER")
    with pytest.raises(PlanError, match="cannot be restored") as refused:
        restore(project, before)
    assert [str(each.message) for each in refused.value.problems] == [
        "agents.ann: the value of its secret `secrets.KEY` is in no snapshot",
        "agents.ann: the value of its secret `secrets.OTHER` is in no snapshot",
    ]
    assert project.server.standin.tables.agents == {}
    monkeypatch.setenv("FLEET_KEY", "hunter22")
    monkeypatch.setenv("FLEET_OTHER", "hunter33")
    restore(project, before)
    assert not project.plan().steps


def test_another_stack_gets_everything_as_its_own(project: Project) -> None:
    say(project, "bob", "Hello.")
    before = create(project)
    (project.folder / "lettaform.yaml").write_text(f"stack: copy\n{MANIFEST}")
    with pytest.raises(PlanError, match="the snapshot is of the stack `s`, and the manifest of `copy`"):
        restore(project, before)
    project.write(MANIFEST)
    with pytest.raises(PlanError, match="cannot be the name of a stack"):
        restore(project, before, stack="no name")
    restore(project, before, stack="copy")
    assert not project.plan().steps  # the first stack is as it was
    (project.folder / "lettaform.yaml").write_text(f"stack: copy\n{MANIFEST}")
    assert not project.plan().steps
    assert len(project.rows("agents", name="bob")) == 2
    assert len(project.rows("blocks", label="team")) == 2
    said = [raw(project, "GET", f"/v1/agents/{each['id']}/messages") for each in project.rows("agents", name="bob")]
    assert all("Hello." in [each["content"] for each in every] for every in said)


def test_an_environment_is_not_taken_for_another(project: Project) -> None:
    text = f"environments: {{prod: {{}}, test: {{}}}}\n{MANIFEST}"
    project.write(text)
    destroy(project)
    project.source = flow.Source(project.folder, environment="prod")
    project.apply(text)
    before = create(project)
    destroy(project)
    project.source = flow.Source(project.folder, environment="test")
    project.apply(text)
    with pytest.raises(PlanError, match="the snapshot is of environment `prod`, and the stack of environment `test`"):
        restore(project, before)


# --- what is said before anything is done -----------------------------------------------------------------------------


OPEN = MANIFEST.replace("conversations: {talk: ", "conversations: {open: {agent: bob, summary: Open}, talk: ")


def said(project: Project, path: str) -> list[tuple[str, str, str]]:
    """Type, time and text of the messages of an agent or a conversation, without prompts."""
    found = raw(project, "GET", f"/v1/{path}/messages?order=asc&limit=100")
    every = ((each["message_type"], each["date"], each["content"]) for each in found)
    return [each for each in every if each[0] != "system_message"]


def context(project: Project, id: str) -> list[str]:
    """The texts of the messages in the context of an agent, without its prompt."""
    texts = {row["id"]: row["text"] for row in project.server.standin.tables.messages.values()}
    return [texts[each] for each in raw(project, "GET", f"/v1/agents/{id}")["message_ids"][1:]]


def test_messages_outside_the_context_come_back(project: Project) -> None:
    say(project, "ann", "long ago")
    say(project, "ann", "just now")
    row = project.server.standin.tables.agents[agent(project, "ann")]
    row["message_ids"] = [row["message_ids"][0], *row["message_ids"][-2:]]
    before, messages = create(project), said(project, f"agents/{agent(project, 'ann')}")
    assert len(messages) == 4
    destroy(project)
    restore(project, before)
    assert said(project, f"agents/{agent(project, 'ann')}") == messages
    assert context(project, agent(project, "ann")) == ["just now", "just now"]
    assert_unchanged(project, before)


def test_conversations_come_back_with_their_messages(project: Project) -> None:
    project.apply(OPEN)
    say(project, "bob", "To Bob.")
    for text in ("First.", "Second."):
        talk = conversation(project, "Open")
        body = {"messages": [{"role": "user", "content": text}], "streaming": False}
        raw(project, "POST", f"/v1/conversations/{talk}/messages", **body)
    row = project.server.standin.tables.conversations[talk]
    row["_messages"] = [row["_messages"][0], *row["_messages"][-2:]]
    before, messages = create(project), said(project, f"agents/{agent(project, 'bob')}")
    in_talk = said(project, f"conversations/{talk}")[-2:]
    destroy(project)
    plan = restore(project, before)
    notes = {str(change.address): change.notes for change in plan.changes}
    assert notes["conversations.open"] == ("2 messages outside its context are in the history of agents.bob alone",)
    assert said(project, f"agents/{agent(project, 'bob')}") == messages
    assert said(project, f"conversations/{conversation(project, 'Open')}") == in_talk
    assert context(project, agent(project, "bob")) == ["To Bob.", "To Bob."]
    assert "lent" not in project.server.standin.tables.agents[agent(project, "bob")]["metadata"]["lettaform"]
    assert len(project.server.standin.tables.conversations) == 2
    assert_unchanged(project, before, but=("conversations.open",))


def lent_context(project: Project) -> Path:
    """A snapshot, and a restore of it that was killed while the context of bob held that of a conversation."""
    project.apply(OPEN)
    say(project, "bob", "To Bob.")
    raw(project, "POST", f"/v1/conversations/{conversation(project, 'Open')}/messages", **SAID)
    before = create(project)
    destroy(project)

    def kill(ask: Any) -> None:
        if killed or ask.path.endswith("/fork"):
            killed.append(ask.path)
            raise Killed

    killed: list[str] = []
    project.server.standin.after = kill
    with suppress(Killed, BaseExceptionGroup):
        project.flow(lambda: flow.restore(project.source, project.connection, before, consent=True))
    assert killed
    without_lock(project)
    assert context(project, agent(project, "bob")) == ["Hello.", "Hello."]
    say(project, "bob", "Who are you?")
    return before


def test_a_context_that_was_lent_is_given_back_by_the_same_command(project: Project) -> None:
    before = lent_context(project)
    restore(project, before)
    assert context(project, agent(project, "bob")) == ["To Bob."] * 2 + ["Who are you?"] * 2
    assert [text for *_, text in said(project, f"conversations/{conversation(project, 'Open')}")] == ["Hello."] * 2
    assert len(project.server.standin.tables.conversations) == 2
    assert_unchanged(project, before, but=("agents.bob",))


def test_a_context_that_was_lent_is_given_back_by_an_apply(project: Project) -> None:
    lent_context(project)
    project.apply(OPEN)
    assert context(project, agent(project, "bob")) == ["To Bob."] * 2 + ["Who are you?"] * 2
    assert "lent" not in project.server.standin.tables.agents[agent(project, "bob")]["metadata"]["lettaform"]
    assert not project.plan().steps


def test_a_conversation_of_an_agent_that_never_ran_comes_back_with_its_messages(project: Project) -> None:
    project.apply(OPEN)
    talk = conversation(project, "Open")
    raw(project, "POST", f"/v1/conversations/{talk}/messages", **SAID)
    before, messages = create(project), said(project, f"conversations/{talk}")
    destroy(project)
    restore(project, before)
    assert said(project, f"conversations/{conversation(project, 'Open')}") == messages
    assert_unchanged(project, before)


def test_a_deleted_conversation_says_that_its_messages_are_gone(project: Project) -> None:
    project.apply(OPEN)
    talk = conversation(project, "Open")
    raw(project, "POST", f"/v1/conversations/{talk}/messages", **SAID)
    before = create(project)
    raw(project, "DELETE", f"/v1/conversations/{talk}")
    notes = {str(change.address): change.notes for change in restore(project, before).changes}
    assert notes["conversations.open"] == ("its 2 messages are not restored: agents.bob no longer has them",)
    assert_unchanged(project, before, but=("agents.bob", "conversations.open"))


def copy_of_notes(project: Project) -> dict[str, Any]:
    (id,) = raw(project, "GET", f"/v1/conversations/{conversation(project, 'talk')}")["isolated_block_ids"]
    return dict(raw(project, "GET", f"/v1/blocks/{id}"))


def test_own_copies_of_blocks_get_their_values_back(project: Project) -> None:
    learnt = {"value": "learnt", "description": "of the talk", "limit": 777, "tags": ["theirs"]}
    raw(project, "PATCH", f"/v1/blocks/{copy_of_notes(project)['id']}", **learnt)
    before = create(project)
    raw(project, "PATCH", f"/v1/blocks/{copy_of_notes(project)['id']}", value="spoilt", limit=888)
    plan = restore(project, before)
    assert lines(plan) == {"conversations.talk": ("update", ["isolated.notes.value", "isolated.notes.limit"])}
    assert {name: copy_of_notes(project)[name] for name in learnt} == learnt
    assert_unchanged(project, before)
    destroy(project)
    restore(project, before)
    assert {name: copy_of_notes(project)[name] for name in learnt} == learnt
    assert_unchanged(project, before)


def test_a_copy_that_no_longer_exists_is_said(project: Project) -> None:
    before = create(project)
    raw(project, "DELETE", f"/v1/blocks/{copy_of_notes(project)['id']}")
    raw(project, "PATCH", f"/v1/blocks/{block(project, 'team')}", value="spoilt")
    notes = {str(change.address): change.notes for change in restore(project, before).changes}
    assert notes["conversations.talk"] == ("its own copy of `notes` no longer exists, and cannot be created again",)


def test_what_is_not_restored_is_said_in_the_plan(project: Project) -> None:
    ann = agent(project, "ann")
    raw(project, "POST", f"/v1/conversations/?agent_id={ann}", summary="begun by a person")
    for summary in ("talk", "begun"):
        raw(project, "POST", f"/v1/conversations/{conversation(project, summary)}/messages", **SAID)
    before, messages = create(project), said(project, f"agents/{ann}")
    destroy(project)
    plan = restore(project, before)
    notes = {str(change.address): change.notes for change in plan.changes}
    assert notes["agents.ann"] == ("2 messages of conversations that are not restored are in its history",)
    assert notes["conversations.talk"] == (
        "its 2 messages are in the history of agents.ann alone: "
        "a server gives messages to no conversation with its own copies of blocks",
    )
    assert said(project, f"agents/{agent(project, 'ann')}") == messages
    assert "conversation begun by a person has no address in the stack, and is not restored" in [
        each.message for each in plan.warnings
    ]


def test_what_is_overwritten_is_kept_first(project: Project) -> None:
    before = create(project)
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes", value="learnt")
    kept: list[Path] = []
    restore(project, before, snapshots=flow.Snapshots(announce=kept.append))
    restore(project, kept[0])
    assert raw(project, "GET", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes")["value"] == "learnt"


def test_what_is_overwritten_is_kept_without_messages_that_cannot_be_listed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)
    talk = conversation(project, "talk")
    raw(project, "POST", f"/v1/conversations/{talk}/messages", **SAID)
    say(project, "ann")
    before = create(project)
    ann = agent(project, "ann")
    raw(project, "PATCH", f"/v1/agents/{ann}/core-memory/blocks/notes", value="spoilt")
    raw(project, "DELETE", f"/v1/conversations/{talk}")
    say(project, "ann")
    spoil(project, "ann", -1)
    # the messages of the conversation would be those of its agent
    with pytest.raises(Unavailable):
        restore(project, before)
    warnings, options = list[Any](), {"without_messages": ("agents.ann",)}
    restore(project, before, **options, snapshots=flow.Snapshots(warn=warnings.append))
    assert [each.message.split(":")[0] for each in warnings] == ["agents.ann"]
    assert notes(project)["notes"] == "none"
    undone = project.flow(lambda: flow.rollback(project.source, project.connection, **options, consent=True))[1]
    assert (undone.exit_code, notes(project)["notes"]) == (0, "spoilt")
    assert len(project.rows("messages", agent=ann)) >= 4


def notes(project: Project) -> dict[str, str]:
    """Label to value of the blocks of ann."""
    found = raw(project, "GET", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks")
    return {each["label"]: each["value"] for each in found}


def test_a_broken_snapshot_is_refused(project: Project) -> None:
    say(project, "bob")
    before = create(project)
    next(before.glob("*.af")).write_text("{}")
    with pytest.raises(SnapshotError, match="is not whole") as refused:
        restore(project, before)
    assert refused.value.problems


def test_sleeptime_agents_come_back_with_their_group(project: Project) -> None:
    text = f"agents: {{eve: {{{MODELS}, sleeptime: true, memory: {{notes: none}}}}}}\n"
    project.apply(text)
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'eve')}/core-memory/blocks/notes", value="learnt")
    say(project, "eve", "Remember this.")
    before = create(project)
    destroy(project)
    restore(project, before)
    assert not project.plan().steps
    assert sorted(a["name"] for a in project.server.standin.tables.agents.values()) == [
        *("ann", "bob", "eve", "eve-sleeptime")
    ]
    assert raw(project, "GET", f"/v1/agents/{agent(project, 'eve')}/core-memory/blocks/notes")["value"] == "learnt"
    said = raw(project, "GET", f"/v1/agents/{agent(project, 'eve')}/messages")
    assert "Remember this." in [each["content"] for each in said]


def test_the_blocks_that_the_server_creates_with_a_sleeptime_agent_get_their_values_back(project: Project) -> None:
    project.apply(f"agents: {{eve: {{{MODELS}, sleeptime: true, memory: {{notes: none}}}}}}\n")
    persona = block(project, "memory_persona")
    tags = project.server.standin.tables.blocks[persona]["tags"]
    learnt = {"value": "learnt", "limit": 7777, "description": "new", "read_only": True, "tags": [*tags, "theirs"]}
    raw(project, "PATCH", f"/v1/blocks/{persona}", **learnt)
    before = create(project)
    destroy(project)
    restore(project, before)
    assert_unchanged(project, before, but=("agents.eve", "conversations.talk"))
    found = project.server.standin.tables.blocks[block(project, "memory_persona")]
    assert {name: sorted(found[name]) if name == "tags" else found[name] for name in learnt} == learnt | {
        "tags": sorted([*tags, "theirs"])
    }


def test_a_restore_that_ended_early_is_completed(project: Project) -> None:
    say(project, "bob", "Hello.")
    before = create(project)
    destroy(project)
    restore(project, before, "blocks.team")
    restore(project, before)
    assert len(project.rows("blocks", label="team")) == 1
    assert_unchanged(project, before, but=("conversations.talk", "agents.ann"))


# --- rollback ---------------------------------------------------------------------------------------------------------


def rollback(project: Project) -> Plan:
    plan, report = project.flow(lambda: flow.rollback(project.source, project.connection, consent=True))
    assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
    return plan


def notes_of_ann(project: Project) -> str:
    return str(raw(project, "GET", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes")["value"])


SPOILING = "snapshots: {before: apply}\n" + MANIFEST.replace(
    "notes: none}, blocks: [team], archive",
    "notes: {value: spoilt, policy: {value: enforce}}}, blocks: [team], archive",
).replace("value: Ann", "value: Bob, policy: {value: enforce}")


def test_rollback_restores_what_the_last_apply_changed_and_can_be_undone(project: Project) -> None:
    say(project, "ann")
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes", value="learnt")
    project.apply(SPOILING)
    assert notes_of_ann(project) == "spoilt"
    assert lines(rollback(project)) == {
        "conversations.talk": ("update", []),  # it is recompiled
        "agents.ann.memory.notes": ("update", ["value"]),
        "blocks.team": ("update", ["value"]),
    }
    assert notes_of_ann(project) == "learnt"
    project.write(MANIFEST)
    assert not project.plan().steps
    rollback(project)
    assert notes_of_ann(project) == "spoilt"


def without_lock(project: Project) -> None:
    """The killed run holds no lock any more."""
    project.server.standin.after = lambda ask: None
    for id in [key for key, each in project.server.standin.tables.identities.items() if "lock" in str(each)]:
        del project.server.standin.tables.identities[id]


def killed_after_a_write(project: Project, run: Callable[[], Any]) -> None:
    """Run a verb that is killed once it has written one of the two spoilt blocks."""
    table = project.server.standin.tables.blocks
    ids = {key for key, each in table.items() if each["label"] in ("team", "notes")}
    killed: list[str] = []

    def kill(ask: Any) -> None:
        if killed or (ask.method == "PATCH" and ask.path.rpartition("/")[2] in ids):
            killed.append(ask.path)
            raise Killed

    project.server.standin.after = kill
    with suppress(Killed, BaseExceptionGroup):
        project.flow(run)
    without_lock(project)


def memory(project: Project) -> tuple[str, str]:
    team = raw(project, "GET", f"/v1/blocks/{block(project, 'team')}")["value"]
    return notes_of_ann(project), team


def test_a_rollback_that_is_killed_is_continued_by_the_next(project: Project) -> None:
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes", value="learnt")
    project.apply(SPOILING)
    assert memory(project) == ("spoilt", "Bob")
    killed_after_a_write(project, lambda: flow.rollback(project.source, project.connection, parallel=1, consent=True))
    assert memory(project) not in (("spoilt", "Bob"), ("learnt", "Ann"))
    assert not rollback(project).warnings
    assert memory(project) == ("learnt", "Ann")


def test_a_restore_of_the_latest_snapshot_that_is_killed_is_continued_by_the_same_command(project: Project) -> None:
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes", value="learnt")
    before = create(project)
    project.apply(SPOILING.replace("snapshots: {before: apply}\n", ""))

    def latest() -> Path:
        return flow.snapshot_find("latest", project.folder / ".lettaform" / "snapshots")

    killed_after_a_write(
        project, lambda: flow.restore(project.source, project.connection, latest(), parallel=1, consent=True)
    )
    assert memory(project) not in (("spoilt", "Bob"), ("learnt", "Ann"))
    assert latest() == before
    restore(project, latest())
    assert memory(project) == ("learnt", "Ann")


def test_rollback_brings_back_what_was_destroyed(project: Project) -> None:
    say(project, "bob", "Hello.")
    destroy(project)
    rollback(project)
    assert not project.plan().steps


def test_rollback_without_a_snapshot_says_what_takes_one(project: Project) -> None:
    with pytest.raises(PlanError, match="the last apply kept no snapshot") as refused:
        rollback(project)
    assert "`snapshots: {before: apply}`" in str(refused.value.hint)
    (project.folder / ".lettaform" / "last-apply.json").unlink()
    with pytest.raises(PlanError, match="nothing was applied from this folder"):
        rollback(project)


def test_rollback_says_that_somebody_else_has_applied_since(project: Project) -> None:
    project.apply(SPOILING)
    mine = (project.folder / ".lettaform" / "last-apply.json").read_text()
    project.apply(SPOILING.replace("value: Bob", "value: Eve"))
    (project.folder / ".lettaform" / "last-apply.json").write_text(mine)
    (warning,) = rollback(project).warnings
    assert warning.message.startswith("after the last apply from this folder, `apply` ran at ")
    verbs = [each.verb for each in project.flow(lambda: flow.history(project.source, project.connection))]
    assert verbs == ["rollback", "apply", "apply", "apply"]


def test_rollback_is_of_the_same_stack_and_server(project: Project) -> None:
    project.apply(SPOILING)
    project.connection = flow.Connection(url="http://elsewhere")
    with pytest.raises(PlanError, match="the last apply from this folder was to"):
        rollback(project)
    (project.folder / "lettaform.yaml").write_text(f"stack: other\n{MANIFEST}")
    with pytest.raises(PlanError, match="the last apply from this folder was of the stack `s`, and this is `other`"):
        rollback(project)


def test_a_snapshot_of_what_changes_has_nothing_else(project: Project) -> None:
    say(project, "bob")
    project.apply(
        "snapshots: {before: apply}\n" + MANIFEST.replace("value: Ann", "value: Bob, policy: {value: enforce}")
    )
    (path,) = (project.folder / ".lettaform" / "snapshots").iterdir()
    owned = [str(each.live.address) for each in flow.snapshot_read(path).entries if not each.used]
    assert owned == ["blocks.team"]
    assert not [each for each in project.server.asked if "/export" in each]
