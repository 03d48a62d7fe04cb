"""The promises of lettaform, each tested on a real server."""

from __future__ import annotations

import json

import pytest

from lettaform import flow
from lettaform.errors import Guarded, PlanError, Stale
from tests.faults.fleet import unordered
from tests.live.conftest import Letta
from tests.live.fleet import TOOL, Fleet, RequestLog, agent_changes, changes, without_order

MANIFEST = """
    blocks:
      org: {value: Shared text., description: What all know., limit: 5000}
    tools:
      weather: {source: weather.py, return_char_limit: 777, tags: [ours]}
    agents:
      boss:
        system: You lead.
        memory:
          persona: I lead.
          human: {value: Nobody yet., limit: 2000}
        blocks: [org]
        tools: [weather, web_search]
        tags: [one, two]
        metadata: {team: a, nested: {x: 1}}
        secrets: {KEY: hunter22}
      worker:
        memory: {persona: I work.}
        blocks: [org]
"""


@pytest.fixture
def stack(fleet: Fleet) -> Fleet:
    fleet.write(MANIFEST, weather_py=TOOL.format(name=fleet.stack.replace("-", "_")))
    fleet.apply()
    return fleet


def test_apply_converges_and_second_apply_sends_no_write(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = RequestLog(monkeypatch)
    plan, report = flow.apply(stack.source, stack.connection, consent=True)
    assert report is None
    assert not plan.changes
    assert requests.writes() == []
    assert len(requests.sent) <= 12


def test_seed_changed_by_agent_is_reported_and_kept(stack: Fleet) -> None:
    stack.patch(f"/v1/blocks/{stack.block('human', 'boss')['id']}", value="Her name is Ada.")
    plan = stack.assert_no_changes()
    assert agent_changes(plan) == [("agents.boss.memory.human", "value")]
    stack.write(MANIFEST.replace("I work.", "I work hard."))
    plan = stack.assert_no_changes()  # a seed that changed in the manifest is a notice, not a change
    assert [r.seed_moved for r in plan.runtime if str(r.address) == "agents.worker.memory.persona"] == [True]
    assert stack.block("human", "boss")["value"] == "Her name is Ada."


def test_reseed_writes_changed_seed(stack: Fleet) -> None:
    stack.write(MANIFEST.replace("I work.", "I work hard."))
    stack.assert_no_changes()
    stack.apply(reseed=("agents.worker.memory.persona",))
    assert stack.block("persona", "worker")["value"] == "I work hard."
    assert agent_changes(stack.assert_no_changes()) == []


def test_apply_corrects_drift_of_enforced_field_only(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = stack.agent("boss")
    stack.patch(f"/v1/agents/{agent['id']}", system="You follow.", description="a stranger's")
    plan = stack.plan()
    assert changes(plan) == [("update", "agents.boss", ["system"])]
    assert plan.changes[0].fields_changed[0].reason == "drift"
    requests = RequestLog(monkeypatch)
    stack.apply()
    (patched,) = [body for method, path, body in requests.writes() if method == "PATCH" and "/agents/" in path]
    assert patched == {"system": "You lead."}
    after = stack.agent("boss")
    assert after["system"] == "You lead."
    assert after["description"] == "a stranger's"


def test_apply_writes_report_of_last_apply(stack: Fleet) -> None:
    report = json.loads((stack.folder / ".lettaform" / "last-apply.json").read_text())
    assert report["summary"]["exit_code"] == 0
    assert {"address": "agents.boss", "op": "create", "status": "done"} in report["steps"]
    assert "hunter22" not in json.dumps(report)


def test_foreign_members_of_shared_collections_are_kept(stack: Fleet) -> None:
    agent = stack.agent("boss")
    foreign = stack.raw.post("/v1/blocks/", json={"label": "foreign", "value": "x"}).json()
    stack.patch(f"/v1/agents/{agent['id']}/core-memory/blocks/attach/{foreign['id']}")
    stack.patch(
        f"/v1/agents/{agent['id']}",
        tags=[*agent["tags"], "theirs"],
        metadata={**agent["metadata"], "theirs": [1, None]},
        secrets={"KEY": "hunter22", "THEIRS": "kept22"},
    )
    stack.assert_no_changes()
    stack.write(
        MANIFEST.replace("tags: [one, two]", "tags: [two, three]")
        .replace("team: a, nested: {x: 1}", "team: b, nested: {x: 2}")
        .replace("KEY: hunter22", "KEY: hunter23")
        .replace("tools: [weather, web_search]", "tools: [weather]")
    )
    assert changes(stack.plan()) == [
        ("update", "agents.boss", ["tools", "secrets.KEY", "tags", "metadata.team", "metadata.nested"])
    ]
    stack.apply()
    after = stack.agent("boss")
    assert {"two", "three", "theirs"} <= set(after["tags"])
    assert "one" not in after["tags"]
    assert (after["metadata"]["team"], after["metadata"]["theirs"]) == ("b", [1, None])
    assert {item["key"]: item["value"] for item in after["secrets"]} == {"KEY": "hunter23", "THEIRS": "kept22"}
    assert "foreign" in {block["label"] for block in after["blocks"]}
    assert "web_search" not in {tool["name"] for tool in after["tools"]}
    stack.raw.delete(f"/v1/blocks/{foreign['id']}")


def test_foreign_objects_are_byte_identical_before_and_after(stack: Fleet) -> None:
    raw_client = stack.raw.post(
        "/v1/agents/",
        json={
            "name": "stranger",
            "model": "letta/letta-free",
            "memory_blocks": [{"label": "persona", "value": "mine"}],
        },
    ).json()
    before = without_order(stack.raw.get(f"/v1/agents/{raw_client['id']}").json())
    stack.write(MANIFEST.replace("You lead.", "You lead well."))
    stack.apply()
    flow.apply(stack.source, stack.connection, flow.PlanOptions(destroy=True), consent=True)
    assert without_order(stack.raw.get(f"/v1/agents/{raw_client['id']}").json()) == before
    for block in raw_client["blocks"]:
        stack.raw.delete(f"/v1/blocks/{block['id']}")
    stack.raw.delete(f"/v1/agents/{raw_client['id']}")


def test_copies_are_listed_and_never_written(stack: Fleet) -> None:
    boss = stack.agent("boss")
    exported = stack.raw.get(f"/v1/agents/{boss['id']}/export").text
    clones = []
    for _ in range(2):
        files = {"file": ("boss.af", exported, "application/json")}
        clones += stack.raw.post("/v1/agents/import", files=files).raise_for_status().json()["agent_ids"]
    # the import overwrote the tool of the same name, tags included; it is still ours
    plan = stack.plan()
    assert sorted(u.id for u in plan.unmanaged) == sorted(clones)
    assert all("duplicate" in u.reason for u in plan.unmanaged)
    before = {clone: without_order(stack.raw.get(f"/v1/agents/{clone}").json()) for clone in clones}
    stack.write(MANIFEST.replace("You lead.", "You lead well."))
    stack.apply()
    assert stack.agent("boss")["id"] == boss["id"]
    flow.apply(stack.source, stack.connection, flow.PlanOptions(destroy=True), consent=True)
    assert {clone: without_order(stack.raw.get(f"/v1/agents/{clone}").json()) for clone in clones} == before
    # not even now that only the copies claim the address
    plan = stack.plan()
    assert ("create", "agents.boss") in [(action, address) for action, address, _ in changes(plan)]


def test_tool_overwritten_by_import_is_marked_again(stack: Fleet) -> None:
    (tool,) = stack.tools()
    boss = stack.agent("boss")
    exported = json.loads(stack.raw.get(f"/v1/agents/{boss['id']}/export").text)
    for each in exported["tools"]:
        if each["name"] == tool["name"]:
            each["tags"], each["source_code"] = ["theirs"], each["source_code"].replace("sunny", "rainy")
    files = {"file": ("boss.af", json.dumps(exported), "application/json")}
    stack.raw.post("/v1/agents/import", files=files).raise_for_status()
    assert stack.tools() == []
    plan = stack.plan()
    assert [(c.action, str(c.address), c.id) for c in plan.changes] == [("update", "tools.weather", tool["id"])]
    stack.apply()
    (after,) = stack.tools()
    assert after["id"] == tool["id"]
    assert "sunny" in after["source_code"]


def test_copy_is_distinguished_from_original_without_state(stack: Fleet) -> None:
    boss = stack.agent("boss")
    exported = stack.raw.get(f"/v1/agents/{boss['id']}/export").text
    files = {"file": ("boss.af", exported, "application/json")}
    (clone,) = stack.raw.post("/v1/agents/import", files=files).json()["agent_ids"]
    params = {"label": "lettaform", "tags": f"lettaform:stack={stack.stack}", "show_hidden_blocks": True}
    for block in stack.raw.get("/v1/blocks/", params=params).json():
        if f"lettaform:stack={stack.stack}" in block["tags"]:
            stack.raw.delete(f"/v1/blocks/{block['id']}")
    plan = stack.plan()
    assert [u.id for u in plan.unmanaged] == [clone]
    assert {c.action for c in plan.changes} == {"mark"}
    stack.apply()


def test_memory_changes_by_agent_are_kept(stack: Fleet) -> None:
    boss = stack.agent("boss")
    label = {block["label"]: block["id"] for block in boss["blocks"]}
    path = f"/v1/agents/{boss['id']}/core-memory/blocks"
    stack.patch(f"{path}/detach/{label['human']}")
    stack.patch(f"/v1/blocks/{label['persona']}", label="me", description="who I am", value="I changed.")
    made = stack.raw.post("/v1/blocks/", json={"label": "notes", "value": "my own"}).json()
    stack.patch(f"{path}/attach/{made['id']}")
    before = without_order(stack.agent("boss")["blocks"])
    plan = stack.assert_no_changes()
    assert set(agent_changes(plan)) >= {
        ("agents.boss.memory.persona", "value"),
        ("agents.boss.memory.human", "attached"),
    }
    stack.write(MANIFEST.replace("You lead.", "You lead well."))
    stack.apply()
    assert without_order(stack.agent("boss")["blocks"]) == before
    # the manifest may declare what the agent created: its text stays
    stack.write(MANIFEST.replace("persona: I lead.", "persona: I lead.\n          notes: a seed"))
    stack.apply()
    assert stack.block("notes", "boss")["value"] == "my own"
    stack.apply(reseed=("agents.boss.memory.human",))
    assert label["human"] in {block["id"] for block in stack.agent("boss")["blocks"]}


def test_orphaned_blocks_are_attached_to_recreated_agent(stack: Fleet) -> None:
    human = stack.block("human", "boss")
    stack.patch(f"/v1/blocks/{human['id']}", value="Her name is Ada.")
    stack.raw.delete(f"/v1/agents/{stack.agent('boss')['id']}")
    plan = stack.plan()
    notes = {str(c.address): c.notes for c in plan.changes}
    assert "differs from the manifest's value" in notes["agents.boss.memory.human"][0]
    stack.apply()
    assert stack.block("human", "boss")["id"] == human["id"]
    assert stack.block("human", "boss")["value"] == "Her name is Ada."
    assert len(stack.blocks()) == 4


def test_apply_adopts_blocks_of_failed_create(stack: Fleet) -> None:
    tags = [f"lettaform:stack={stack.stack}", "lettaform:addr=agents.third.memory.persona"]
    left = stack.raw.post("/v1/blocks/", json={"label": "persona", "value": "I am third.", "tags": tags}).json()
    stack.write(MANIFEST + "\n      third: {memory: {persona: I am third.}}\n")
    stack.apply()
    assert stack.block("persona", "third")["id"] == left["id"]


def test_undeclared_objects_are_listed_and_pruned_in_reverse_order(stack: Fleet) -> None:
    whole = MANIFEST
    stack.write(
        """
        blocks: {org: {value: Shared text., description: What all know., limit: 5000}}
        agents: {worker: {memory: {persona: I work.}, blocks: [org]}}
        """
    )
    plan = stack.assert_no_changes()
    listed = {str(u.address) for u in plan.unmanaged}
    assert listed == {"agents.boss", "agents.boss.memory.human", "agents.boss.memory.persona", "tools.weather"}
    pruned = stack.plan(prune=True)
    keys = [step.key for step in pruned.steps if step.op == "delete"]
    assert keys.index("-agents.boss") < keys.index("-agents.boss.memory.human")
    assert keys.index("-agents.boss") < keys.index("-tools.weather")
    stack.apply(prune=True)
    assert [agent["name"] for agent in stack.agents()] == ["worker"]
    assert stack.tools() == []
    (snapshot,) = stack.folder.glob(".lettaform/snapshots/*/snapshot.json")
    assert [e["name"] for e in json.loads(snapshot.read_text())["objects"] if e["kind"] == "agent"] == ["boss"]
    assert snapshot.stat().st_mode & 0o077 == 0
    stack.write(whole)
    stack.apply()


def test_prune_keeps_objects_used_by_foreign_agents(stack: Fleet) -> None:
    org = stack.block("org")
    guest = stack.raw.post(
        "/v1/agents/", json={"name": "guest", "model": "letta/letta-free", "block_ids": [org["id"]]}
    ).json()
    stack.write("agents: {worker: {memory: {persona: I work.}, blocks: []}}")
    plan = stack.plan(prune=True)
    (kept,) = [u for u in plan.unmanaged if str(u.address) == "blocks.org"]
    assert "1 agent outside" in kept.reason
    flow.apply(stack.source, stack.connection, flow.PlanOptions(prune=True), consent=True)
    assert stack.raw.get(f"/v1/blocks/{org['id']}").status_code == 200
    stack.raw.delete(f"/v1/agents/{guest['id']}")


def test_removed_lines_remove_what_they_added(fleet: Fleet, letta: Letta) -> None:
    shared = f"""
    blocks: {{policies: {{value: x}}}}
    archives: {{facts: {{name: {fleet.stack}, embedding: {letta.embedding}%s}}}}
    folders: {{docs: {{name: {fleet.stack}, embedding: {letta.embedding}%s}}}}
    identities: {{ann: {{identifier_key: {fleet.stack}, name: n, identity_type: user}}}}
    agents: {{a: {{include_base_tools: false%s}}}}
    """
    lines = (
        ", description: d, blocks: [policies], tools: [web_search], folders: [docs], identities: [ann], archive: facts"
        ", tags: [t], secrets: {KEY: hunter22}, metadata: {team: x}"
        ", compaction_settings: {sliding_window_percentage: 0.5}"
        ", tool_rules: [{type: exit_loop, tool_name: web_search}]"
    )
    fleet.write(shared % (", passages: [One.]", ", files: [a.md]", lines), **{"a.md": "One."})
    fleet.apply()
    id = fleet.agent("a")["id"]
    theirs = {**fleet.agent("a")["metadata"], "theirs": 1}
    fleet.patch(f"/v1/agents/{id}", metadata=theirs, secrets={"KEY": "hunter22", "THEIRS": "kept22"})
    fleet.write(shared % ("", "", ""))
    plan = fleet.plan()
    assert {field.reason for change in plan.changes for field in change.fields_changed} == {"undeclared"}
    notes = [note for change in plan.changes for note in change.notes]
    assert any(note.startswith("`description` is no longer managed, stays") for note in notes)
    assert any(note.startswith("`compaction_settings.sliding_window_percentage` is no longer") for note in notes)
    fleet.apply()
    after = fleet.agent("a")
    assert [after[name] for name in ("blocks", "tools", "sources", "identity_ids", "tool_rules")] == [[]] * 5
    assert [tag for tag in after["tags"] if not tag.startswith("lettaform:")] == []
    assert {item["key"] for item in after["secrets"]} == {"THEIRS"}
    assert {key for key in after["metadata"] if key != "lettaform"} == {"theirs"}
    assert (after["description"], after["compaction_settings"]["sliding_window_percentage"]) == ("d", 0.5)
    assert fleet.raw.get("/v1/archives/", params={"agent_id": id}).json() == []
    objects = {str(live.address): live.id for live in fleet.state()}
    passages = fleet.raw.post("/v1/passages/search", json={"archive_id": objects["archives.facts"]}).json()
    assert (passages, fleet.raw.get(f"/v1/folders/{objects['folders.docs']}/files").json()) == ([], [])


def test_the_last_line_and_its_object_are_removed_together(fleet: Fleet) -> None:
    fleet.write("blocks: {policies: {value: x}}\nagents: {one: {memory: {persona: One.}, blocks: [policies]}}")
    fleet.apply()
    policies = fleet.block("policies")["id"]
    fleet.write("agents: {one: {memory: {persona: One.}}}")
    assert changes(fleet.plan(prune=True)) == [
        ("update", "agents.one", ["blocks"]),
        ("delete", "blocks.policies", []),
    ]
    fleet.apply(prune=True)
    assert [block["label"] for block in fleet.agent("one")["blocks"]] == ["persona"]
    assert fleet.raw.get(f"/v1/blocks/{policies}").status_code == 404


def test_prune_names_the_agent_of_the_stack_that_uses_an_object(fleet: Fleet) -> None:
    fleet.write("blocks: {policies: {value: x}}\nagents: {one: {}}")
    fleet.apply()
    link = f"/v1/agents/{fleet.agent('one')['id']}/core-memory/blocks/%s/{fleet.block('policies')['id']}"
    fleet.patch(link % "attach")
    fleet.write("agents: {one: {}}")
    assert [each.reason for each in fleet.plan(prune=True).unmanaged] == [
        "kept: agents.one uses it; detach it there first"
    ]
    fleet.patch(link % "detach")
    fleet.apply(prune=True)
    assert "policies" not in {block["label"] for block in fleet.blocks()}


def test_lost_secret_is_drift(fleet: Fleet) -> None:
    fleet.write("agents: {a: {secrets: {KEY: hunter22}}}")
    fleet.apply()
    fleet.patch(f"/v1/agents/{fleet.agent('a')['id']}", secrets={})
    (change,) = fleet.plan().changes
    assert [(field.path, field.reason) for field in change.fields_changed] == [("secrets.KEY", "drift")]
    fleet.apply()


def test_undeclared_objects_are_deleted_one_by_one(fleet: Fleet) -> None:
    both = "agents: {a: {sleeptime: true, memory: {persona: x}}, b: {}}\nblocks: {org: {value: x}}"
    fleet.write(both)
    fleet.apply()
    fleet.write("blocks: {team: {value: x}}")
    with pytest.raises(PlanError, match=r"no object has the address `agents\.c`"):
        fleet.plan(prune=True, target=("agents.c",))
    pruned = flow.PlanOptions(prune=True, target=("agents.b",))
    plan, _ = flow.apply(fleet.source, fleet.connection, pruned, consent=True)
    assert changes(plan) == [("delete", "agents.b", [])]
    plan, _ = flow.apply(
        fleet.source, fleet.connection, flow.PlanOptions(destroy=True, target=("agents.a",)), consent=True
    )
    assert {str(change.address) for change in plan.changes} >= {"agents.a", "agents.a-sleeptime", "groups.a-sleeptime"}
    assert [str(live.address) for live in fleet.state()] == ["blocks.org"]
    assert fleet.agents() == []


def test_prevent_destroy_holds_after_removal_from_manifest(stack: Fleet) -> None:
    stack.write(MANIFEST.replace("system: You lead.", "system: You lead.\n        lifecycle: {prevent_destroy: true}"))
    stack.apply()
    stack.write("agents: {worker: {memory: {persona: I work.}, blocks: []}}")
    with pytest.raises(Guarded) as refused:
        stack.plan(prune=True)
    assert refused.value.exit_code == 7
    assert "--allow-destroy 'agents.boss'" in str(refused.value.problems[0].hint)
    with pytest.raises(Guarded):
        stack.plan(destroy=True)
    stack.plan(prune=True, allow_destroy=("agents.boss",))


def test_destroy_leaves_server_unchanged(fleet: Fleet) -> None:
    def count() -> dict[str, int]:
        return {
            kind: fleet.raw.get(f"/v1/{kind}/", params={"limit": 10_000}).text.count('"id"')
            for kind in ("agents", "blocks")
        }

    fleet.write(MANIFEST, weather_py=TOOL.format(name=fleet.stack.replace("-", "_")))
    fleet.apply()
    _, report = flow.apply(fleet.source, fleet.connection, flow.PlanOptions(destroy=True), consent=True)
    assert report is not None
    assert report.exit_code == 0
    assert (fleet.agents(), fleet.blocks(), fleet.tools()) == ([], [], [])
    params = {"tags": f"lettaform:stack={fleet.stack}", "show_hidden_blocks": True}
    assert fleet.raw.get("/v1/blocks/", params=params).json() == []


def test_saved_plan_is_applied_exactly(stack: Fleet) -> None:
    stack.write(MANIFEST.replace("You lead.", "You lead well."))
    file = stack.folder / "plan.json"
    flow.save(stack.plan(), file)
    assert file.stat().st_mode & 0o077 == 0
    assert "hunter22" not in file.read_text()
    human = stack.block("human", "boss")
    stack.patch(f"/v1/blocks/{human['id']}", value="a chatty agent blocks no deploy")
    _, report = flow.apply_saved(file, stack.source, stack.connection, consent=True)
    assert report is not None
    assert report.exit_code == 0
    with pytest.raises(Stale) as stale:
        flow.apply_saved(file, stack.source, stack.connection, consent=True)
    assert stale.value.exit_code == 6


def test_saved_plan_is_refused_after_managed_value_changed(stack: Fleet) -> None:
    stack.write(MANIFEST.replace("You lead.", "You lead well."))
    file = stack.folder / "plan.json"
    flow.save(stack.plan(), file)
    stack.patch(f"/v1/agents/{stack.agent('worker')['id']}/core-memory/blocks/detach/{stack.block('org')['id']}")
    stack.patch(f"/v1/blocks/{stack.block('org')['id']}", limit=6000)
    with pytest.raises(Stale) as stale:
        flow.apply_saved(file, stack.source, stack.connection, consent=True)
    assert any("blocks.org" in problem.message for problem in stale.value.problems)


def test_import_writes_only_marks_and_next_plan_shows_differences(fleet: Fleet) -> None:
    made = fleet.raw.post(
        "/v1/agents/",
        json={
            "name": "legacy",
            "model": "letta/letta-free",
            "embedding": "letta/letta-free",
            "system": "old prompt",
            "memory_blocks": [{"label": "persona", "value": "grown over years"}],
        },
    ).json()
    fleet.write(
        "agents: {legacy: {system: new prompt, memory: {persona: a seed}, model: letta/letta-free,"
        " embedding: letta/letta-free}}"
    )
    before = unordered(fleet.raw.get(f"/v1/agents/{made['id']}").json())
    flow.adopt(fleet.source, fleet.connection, "agents.legacy", made["id"])
    after = unordered(fleet.raw.get(f"/v1/agents/{made['id']}").json())
    marked = {"tags", "metadata", "updated_at", "blocks", "memory"}
    assert {key for key in before if before[key] != after[key]} <= marked
    assert {k: v for k, v in after["blocks"][0].items() if k != "metadata"} == {
        k: v for k, v in before["blocks"][0].items() if k != "metadata"
    }
    plan = fleet.plan()
    assert changes(plan) == [("update", "agents.legacy", ["system"])]
    fleet.apply()
    assert fleet.block("persona", "legacy")["value"] == "grown over years"


def test_import_refuses_object_of_another_stack(stack: Fleet, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = flow.Source(tmp_path_factory.mktemp("other"))
    (other.directory / "lettaform.yaml").write_text(f"stack: {stack.stack}-other\nagents: {{mine: {{}}}}\n")
    with pytest.raises(PlanError) as refused:
        flow.adopt(other, stack.connection, "agents.mine", stack.agent("boss")["id"])
    assert f"belongs to stack `{stack.stack}`" in refused.value.message


def test_external_objects_are_used_and_never_written(stack: Fleet, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = flow.Source(tmp_path_factory.mktemp("other"))
    (other.directory / "lettaform.yaml").write_text(
        f"""
stack: {stack.stack}-guest
blocks:
  theirs: {{external: true, stack: {stack.stack}, address: blocks.org}}
agents:
  guest: {{model: letta/letta-free, blocks: [theirs]}}
"""
    )
    before = stack.block("org")
    _, report = flow.apply(other, stack.connection, consent=True)
    assert report is not None
    assert report.exit_code == 0
    assert not flow.plan(other, stack.connection).steps
    flow.apply(other, stack.connection, flow.PlanOptions(destroy=True), consent=True)
    assert unordered(stack.block("org")) == unordered(before)


def test_state_mv_and_state_rm(stack: Fleet) -> None:
    boss = stack.agent("boss")
    flow.state_move(stack.source, stack.connection, "agents.boss", "agents.chief")
    stack.write(MANIFEST.replace("  boss:", "  chief:\n        name: boss"))
    stack.assert_no_changes()
    assert stack.agent("boss")["id"] == boss["id"]
    flow.state_remove(stack.source, stack.connection, "agents.chief")
    assert [live.name for live in stack.state() if live.kind == "agent"] == ["worker"]
    after = stack.raw.get(f"/v1/agents/{boss['id']}").json()
    assert after["system"] == "You lead."
    assert not any(tag.startswith("lettaform:") for tag in after["tags"])
    assert "lettaform" not in after["metadata"]
    for block in after["blocks"]:
        if block["label"] != "org":
            stack.raw.delete(f"/v1/blocks/{block['id']}")
    stack.raw.delete(f"/v1/agents/{boss['id']}")


def test_state_rebuild_restores_state_from_marks(stack: Fleet) -> None:
    params = {"tags": f"lettaform:stack={stack.stack}", "show_hidden_blocks": True}
    for block in stack.raw.get("/v1/blocks/", params=params).json():
        if block["label"] == "lettaform":
            stack.raw.delete(f"/v1/blocks/{block['id']}")
    count, lost = flow.state_rebuild(stack.source, stack.connection)
    assert (count, lost) == (4, [])
    assert {change.action for change in stack.plan().changes} <= {"mark"}


def test_moved_keeps_agent_and_memory(stack: Fleet) -> None:
    boss = stack.agent("boss")
    stack.write(
        MANIFEST.replace("  boss:", "  chief:\n        name: boss")
        + "\n    moved: [{from: agents.boss, to: agents.chief}]\n"
    )
    plan = stack.plan()
    assert {c.action for c in plan.changes} == {"mark"}
    assert {c.reason for c in plan.changes} >= {"moved from agents.boss"}
    stack.apply()
    assert stack.agent("boss")["id"] == boss["id"]


def test_own_block_moves_to_another_agent(stack: Fleet) -> None:
    block = stack.block("human", "boss")
    stack.patch(f"/v1/blocks/{block['id']}", value="Her name is Ada.")
    human = "          human: {value: Nobody yet., limit: 2000}\n"
    assert human in MANIFEST
    moved = MANIFEST.replace(human, "").replace("{persona: I work.}", "{persona: I work., human: Nobody yet.}")
    stack.write(moved + "\n    moved: [{from: agents.boss.memory.human, to: agents.worker.memory.human}]\n")
    stack.apply()
    stack.assert_no_changes()
    there = stack.block("human", "worker")
    assert (there["id"], there["value"], there["limit"]) == (block["id"], "Her name is Ada.", 2000)
    assert "human" not in {each["label"] for each in stack.agent("boss")["blocks"]}


def test_own_block_becomes_shared_and_own_again(stack: Fleet) -> None:
    block = stack.block("persona", "worker")
    stack.patch(f"/v1/blocks/{block['id']}", value="I learned.")
    shared = MANIFEST.replace("memory: {persona: I work.}\n        blocks: [org]", "blocks: [org, persona]").replace(
        "    blocks:\n", "    blocks:\n      persona: {value: I work.}\n", 1
    )
    assert "blocks: [org, persona]" in shared
    stack.write(shared + "\n    moved: [{from: agents.worker.memory.persona, to: blocks.persona}]\n")
    stack.apply()
    stack.assert_no_changes()
    stack.write(MANIFEST)
    flow.state_move(stack.source, stack.connection, "blocks.persona", "agents.worker.memory.persona")
    stack.apply()
    stack.assert_no_changes()
    there = stack.block("persona", "worker")
    assert (there["id"], there["value"]) == (block["id"], "I learned.")


def test_other_environment_on_same_stack_is_refused(stack: Fleet) -> None:
    stack.write(MANIFEST + "\n    environments: {prod: {}}\n")
    with pytest.raises(PlanError) as refused:
        flow.plan(flow.Source(stack.folder, environment="prod"), stack.connection)
    assert "environment `prod`" in refused.value.message


def test_secrets_are_stored_only_in_secret_fields(stack: Fleet) -> None:
    boss = stack.agent("boss")
    assert "hunter22" not in json.dumps(boss["metadata"])
    assert "hunter22" not in json.dumps(stack.blocks())
    stack.write(MANIFEST.replace("hunter22", "hunter23"))
    plan = stack.plan()
    assert "hunter2" not in repr((plan.changes, plan.steps, plan.inputs))
    stack.apply()
