"""The promises of lettaform, each on a real server."""

from __future__ import annotations

import json

import pytest

from lettaform import flow
from lettaform.errors import Guarded, PlanError, Stale
from tests.faults.fleet import unordered
from tests.live.fleet import TOOL, Fleet, Wire, changes, moved, plain

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
def built(fleet: Fleet) -> Fleet:
    fleet.write(MANIFEST, weather_py=TOOL.format(name=fleet.stack.replace("-", "_")))
    fleet.apply()
    return fleet


def test_apply_converges_and_a_second_apply_sends_no_write(built: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(monkeypatch)
    plan, report = flow.apply(built.source, built.connection)
    assert report is None
    assert not plan.changes
    assert wire.writes() == []
    assert len(wire.sent) <= 12


def test_a_seed_that_its_agent_rewrote_is_runtime_and_stays(built: Fleet) -> None:
    built.patch(f"/v1/blocks/{built.block('human', 'boss')['id']}", value="Her name is Ada.")
    plan = built.settled()
    assert moved(plan) == [("agents.boss.memory.human", "value")]
    built.write(MANIFEST.replace("I work.", "I work hard."))
    plan = built.settled()  # a seed that moved in the manifest is a notice, not a change
    assert [r.seed_moved for r in plan.runtime if str(r.address) == "agents.worker.memory.persona"] == [True]
    assert built.block("human", "boss")["value"] == "Her name is Ada."


def test_reseed_writes_a_seed_that_moved(built: Fleet) -> None:
    built.write(MANIFEST.replace("I work.", "I work hard."))
    built.settled()
    built.apply(reseed=("agents.worker.memory.persona",))
    assert built.block("persona", "worker")["value"] == "I work hard."
    assert moved(built.settled()) == []


def test_drift_of_an_enforced_field_is_written_back_and_nothing_else(
    built: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = built.agent("boss")
    built.patch(f"/v1/agents/{agent['id']}", system="You follow.", description="a stranger's")
    plan = built.plan()
    assert changes(plan) == [("update", "agents.boss", ["system"])]
    assert plan.changes[0].fields_changed[0].reason == "drift"
    wire = Wire(monkeypatch)
    built.apply()
    (patched,) = [body for method, path, body in wire.writes() if method == "PATCH" and "/agents/" in path]
    assert patched == {"system": "You lead."}
    after = built.agent("boss")
    assert after["system"] == "You lead."
    assert after["description"] == "a stranger's"


def test_the_last_apply_can_be_read_afterwards(built: Fleet) -> None:
    told = json.loads((built.folder / ".lettaform" / "last-apply.json").read_text())
    assert told["summary"]["exit_code"] == 0
    assert {"address": "agents.boss", "op": "create", "status": "done"} in told["steps"]
    assert "hunter22" not in json.dumps(told)


def test_what_others_put_into_shared_collections_is_kept(built: Fleet) -> None:
    agent = built.agent("boss")
    foreign = built.raw.post("/v1/blocks/", json={"label": "foreign", "value": "x"}).json()
    built.patch(f"/v1/agents/{agent['id']}/core-memory/blocks/attach/{foreign['id']}")
    built.patch(
        f"/v1/agents/{agent['id']}",
        tags=[*agent["tags"], "theirs"],
        metadata={**agent["metadata"], "theirs": [1, None]},
        secrets={"KEY": "hunter22", "THEIRS": "kept22"},
    )
    built.settled()
    built.write(
        MANIFEST.replace("tags: [one, two]", "tags: [two, three]")
        .replace("team: a, nested: {x: 1}", "team: b, nested: {x: 2}")
        .replace("KEY: hunter22", "KEY: hunter23")
        .replace("tools: [weather, web_search]", "tools: [weather]")
    )
    assert changes(built.plan()) == [
        ("update", "agents.boss", ["tools", "secrets.KEY", "tags", "metadata.team", "metadata.nested"])
    ]
    built.apply()
    after = built.agent("boss")
    assert {"two", "three", "theirs"} <= set(after["tags"])
    assert "one" not in after["tags"]
    assert (after["metadata"]["team"], after["metadata"]["theirs"]) == ("b", [1, None])
    assert {item["key"]: item["value"] for item in after["secrets"]} == {"KEY": "hunter23", "THEIRS": "kept22"}
    assert "foreign" in {block["label"] for block in after["blocks"]}
    assert "web_search" not in {tool["name"] for tool in after["tools"]}
    built.raw.delete(f"/v1/blocks/{foreign['id']}")


def test_foreign_objects_are_byte_identical_before_and_after(built: Fleet) -> None:
    stranger = built.raw.post(
        "/v1/agents/",
        json={
            "name": "stranger",
            "model": "letta/letta-free",
            "memory_blocks": [{"label": "persona", "value": "mine"}],
        },
    ).json()
    before = plain(built.raw.get(f"/v1/agents/{stranger['id']}").json())
    built.write(MANIFEST.replace("You lead.", "You lead well."))
    built.apply()
    flow.apply(built.source, built.connection, flow.PlanOptions(destroy=True))
    assert plain(built.raw.get(f"/v1/agents/{stranger['id']}").json()) == before
    for block in stranger["blocks"]:
        built.raw.delete(f"/v1/blocks/{block['id']}")
    built.raw.delete(f"/v1/agents/{stranger['id']}")


def test_clones_are_named_and_never_touched(built: Fleet) -> None:
    boss = built.agent("boss")
    exported = built.raw.get(f"/v1/agents/{boss['id']}/export").text
    clones = []
    for _ in range(2):
        files = {"file": ("boss.af", exported, "application/json")}
        clones += built.raw.post("/v1/agents/import", files=files).raise_for_status().json()["agent_ids"]
    # the import overwrote the tool of the same name, tags and all: it is ours still
    plan = built.plan()
    assert sorted(u.id for u in plan.unmanaged) == sorted(clones)
    assert all("copy" in u.reason for u in plan.unmanaged)
    before = {clone: plain(built.raw.get(f"/v1/agents/{clone}").json()) for clone in clones}
    built.write(MANIFEST.replace("You lead.", "You lead well."))
    built.apply()
    assert built.agent("boss")["id"] == boss["id"]
    flow.apply(built.source, built.connection, flow.PlanOptions(destroy=True))
    assert {clone: plain(built.raw.get(f"/v1/agents/{clone}").json()) for clone in clones} == before
    # not even now, when they alone claim the address
    plan = built.plan()
    assert ("create", "agents.boss") in [(action, address) for action, address, _ in changes(plan)]


def test_a_tool_overwritten_by_an_import_is_still_ours_and_is_marked_again(built: Fleet) -> None:
    (tool,) = built.tools()
    boss = built.agent("boss")
    exported = json.loads(built.raw.get(f"/v1/agents/{boss['id']}/export").text)
    for each in exported["tools"]:
        if each["name"] == tool["name"]:
            each["tags"], each["source_code"] = ["theirs"], each["source_code"].replace("sunny", "rainy")
    files = {"file": ("boss.af", json.dumps(exported), "application/json")}
    built.raw.post("/v1/agents/import", files=files).raise_for_status()
    assert built.tools() == []
    plan = built.plan()
    assert [(c.action, str(c.address), c.id) for c in plan.changes] == [("update", "tools.weather", tool["id"])]
    built.apply()
    (after,) = built.tools()
    assert after["id"] == tool["id"]
    assert "sunny" in after["source_code"]


def test_a_clone_is_told_from_the_original_without_the_record(built: Fleet) -> None:
    boss = built.agent("boss")
    exported = built.raw.get(f"/v1/agents/{boss['id']}/export").text
    files = {"file": ("boss.af", exported, "application/json")}
    (clone,) = built.raw.post("/v1/agents/import", files=files).json()["agent_ids"]
    params = {"label": "lettaform", "tags": f"lettaform:stack={built.stack}", "show_hidden_blocks": True}
    for block in built.raw.get("/v1/blocks/", params=params).json():
        if f"lettaform:stack={built.stack}" in block["tags"]:
            built.raw.delete(f"/v1/blocks/{block['id']}")
    plan = built.plan()
    assert [u.id for u in plan.unmanaged] == [clone]
    assert {c.action for c in plan.changes} == {"mark"}
    built.apply()


def test_nothing_that_an_agent_did_with_its_memory_tool_is_undone(built: Fleet) -> None:
    boss = built.agent("boss")
    label = {block["label"]: block["id"] for block in boss["blocks"]}
    path = f"/v1/agents/{boss['id']}/core-memory/blocks"
    built.patch(f"{path}/detach/{label['human']}")
    built.patch(f"/v1/blocks/{label['persona']}", label="me", description="who I am", value="I changed.")
    made = built.raw.post("/v1/blocks/", json={"label": "notes", "value": "my own"}).json()
    built.patch(f"{path}/attach/{made['id']}")
    before = plain(built.agent("boss")["blocks"])
    plan = built.settled()
    assert set(moved(plan)) >= {("agents.boss.memory.persona", "value"), ("agents.boss.memory.human", "attached")}
    built.write(MANIFEST.replace("You lead.", "You lead well."))
    built.apply()
    assert plain(built.agent("boss")["blocks"]) == before
    # the manifest may take up what the agent made: its text stays
    built.write(MANIFEST.replace("persona: I lead.", "persona: I lead.\n          notes: a seed"))
    built.apply()
    assert built.block("notes", "boss")["value"] == "my own"
    built.apply(reseed=("agents.boss.memory.human",))
    assert label["human"] in {block["id"] for block in built.agent("boss")["blocks"]}


def test_memory_survives_its_agent_and_comes_back_to_it(built: Fleet) -> None:
    human = built.block("human", "boss")
    built.patch(f"/v1/blocks/{human['id']}", value="Her name is Ada.")
    built.raw.delete(f"/v1/agents/{built.agent('boss')['id']}")
    plan = built.plan()
    notes = {str(c.address): c.notes for c in plan.changes}
    assert "differs from the seed" in notes["agents.boss.memory.human"][0]
    built.apply()
    assert built.block("human", "boss")["id"] == human["id"]
    assert built.block("human", "boss")["value"] == "Her name is Ada."
    assert len(built.blocks()) == 4


def test_blocks_of_a_failed_create_are_taken_in_and_not_doubled(built: Fleet) -> None:
    tags = [f"lettaform:stack={built.stack}", "lettaform:addr=agents.third.memory.persona"]
    left = built.raw.post("/v1/blocks/", json={"label": "persona", "value": "I am third.", "tags": tags}).json()
    built.write(MANIFEST + "\n      third: {memory: {persona: I am third.}}\n")
    built.apply()
    assert built.block("persona", "third")["id"] == left["id"]


def test_undeclared_objects_are_listed_and_pruned_in_reverse_order(built: Fleet) -> None:
    whole = MANIFEST
    built.write(
        """
        blocks: {org: {value: Shared text., description: What all know., limit: 5000}}
        agents: {worker: {memory: {persona: I work.}, blocks: [org]}}
        """
    )
    plan = built.settled()
    listed = {str(u.address) for u in plan.unmanaged}
    assert listed == {"agents.boss", "agents.boss.memory.human", "agents.boss.memory.persona", "tools.weather"}
    pruned = built.plan(prune=True)
    keys = [step.key for step in pruned.steps if step.op == "delete"]
    assert keys.index("-agents.boss") < keys.index("-agents.boss.memory.human")
    assert keys.index("-agents.boss") < keys.index("-tools.weather")
    built.apply(prune=True)
    assert [agent["name"] for agent in built.agents()] == ["worker"]
    assert built.tools() == []
    snapshots = list((built.folder / ".lettaform" / "snapshots").glob("*/*.af"))
    assert len(snapshots) == 1
    assert json.loads(snapshots[0].read_text())["agents"][0]["name"] == "boss"
    assert snapshots[0].stat().st_mode & 0o077 == 0
    built.write(whole)
    built.apply()


def test_what_agents_of_others_use_is_kept(built: Fleet) -> None:
    org = built.block("org")
    guest = built.raw.post(
        "/v1/agents/", json={"name": "guest", "model": "letta/letta-free", "block_ids": [org["id"]]}
    ).json()
    built.write("agents: {worker: {memory: {persona: I work.}, blocks: []}}")
    plan = built.plan(prune=True)
    (kept,) = [u for u in plan.unmanaged if str(u.address) == "blocks.org"]
    assert "1 agents outside" in kept.reason
    flow.apply(built.source, built.connection, flow.PlanOptions(prune=True))
    assert built.raw.get(f"/v1/blocks/{org['id']}").status_code == 200
    built.raw.delete(f"/v1/agents/{guest['id']}")


def test_prevent_destroy_outlives_the_manifest(built: Fleet) -> None:
    built.write(MANIFEST.replace("system: You lead.", "system: You lead.\n        lifecycle: {prevent_destroy: true}"))
    built.apply()
    built.write("agents: {worker: {memory: {persona: I work.}, blocks: []}}")
    with pytest.raises(Guarded) as refused:
        built.plan(prune=True)
    assert refused.value.exit_code == 7
    assert "--allow-destroy 'agents.boss'" in str(refused.value.problems[0].hint)
    with pytest.raises(Guarded):
        built.plan(destroy=True)
    built.plan(prune=True, allow_destroy=("agents.boss",))


def test_destroy_leaves_the_server_as_it_was(fleet: Fleet) -> None:
    def count() -> dict[str, int]:
        return {
            kind: fleet.raw.get(f"/v1/{kind}/", params={"limit": 10_000}).text.count('"id"')
            for kind in ("agents", "blocks")
        }

    fleet.write(MANIFEST, weather_py=TOOL.format(name=fleet.stack.replace("-", "_")))
    fleet.apply()
    _, report = flow.apply(fleet.source, fleet.connection, flow.PlanOptions(destroy=True))
    assert report is not None
    assert report.exit_code == 0
    assert (fleet.agents(), fleet.blocks(), fleet.tools()) == ([], [], [])
    params = {"tags": f"lettaform:stack={fleet.stack}", "show_hidden_blocks": True}
    assert fleet.raw.get("/v1/blocks/", params=params).json() == []


def test_a_saved_plan_is_exact(built: Fleet) -> None:
    built.write(MANIFEST.replace("You lead.", "You lead well."))
    file = built.folder / "plan.json"
    flow.save(built.plan(), file)
    assert file.stat().st_mode & 0o077 == 0
    assert "hunter22" not in file.read_text()
    human = built.block("human", "boss")
    built.patch(f"/v1/blocks/{human['id']}", value="a chatty agent blocks no deploy")
    _, report = flow.apply_saved(file, built.source, built.connection)
    assert report is not None
    assert report.exit_code == 0
    with pytest.raises(Stale) as stale:
        flow.apply_saved(file, built.source, built.connection)
    assert stale.value.exit_code == 6


def test_a_saved_plan_is_refused_when_a_managed_value_moved(built: Fleet) -> None:
    built.write(MANIFEST.replace("You lead.", "You lead well."))
    file = built.folder / "plan.json"
    flow.save(built.plan(), file)
    built.patch(f"/v1/agents/{built.agent('worker')['id']}/core-memory/blocks/detach/{built.block('org')['id']}")
    built.patch(f"/v1/blocks/{built.block('org')['id']}", limit=6000)
    with pytest.raises(Stale) as stale:
        flow.apply_saved(file, built.source, built.connection)
    assert any("blocks.org" in problem.message for problem in stale.value.problems)


def test_adoption_writes_marks_alone_and_the_next_plan_shows_the_rest(fleet: Fleet) -> None:
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


def test_adoption_refuses_what_another_stack_owns(built: Fleet, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = flow.Source(tmp_path_factory.mktemp("other"))
    (other.directory / "lettaform.yaml").write_text(f"stack: {built.stack}-other\nagents: {{mine: {{}}}}\n")
    with pytest.raises(PlanError) as refused:
        flow.adopt(other, built.connection, "agents.mine", built.agent("boss")["id"])
    assert f"belongs to stack `{built.stack}`" in refused.value.message


def test_external_things_are_used_and_never_written(built: Fleet, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = flow.Source(tmp_path_factory.mktemp("other"))
    (other.directory / "lettaform.yaml").write_text(
        f"""
stack: {built.stack}-guest
blocks:
  theirs: {{external: true, stack: {built.stack}, address: blocks.org}}
agents:
  guest: {{model: letta/letta-free, blocks: [theirs]}}
"""
    )
    before = built.block("org")
    _, report = flow.apply(other, built.connection)
    assert report is not None
    assert report.exit_code == 0
    assert not flow.plan(other, built.connection).steps
    flow.apply(other, built.connection, flow.PlanOptions(destroy=True))
    assert unordered(built.block("org")) == unordered(before)


def test_state_moves_and_forgets(built: Fleet) -> None:
    boss = built.agent("boss")
    flow.state_move(built.source, built.connection, "agents.boss", "agents.chief")
    built.write(MANIFEST.replace("  boss:", "  chief:\n        name: boss"))
    built.settled()
    assert built.agent("boss")["id"] == boss["id"]
    flow.state_remove(built.source, built.connection, "agents.chief")
    assert [live.name for live in built.state() if live.kind == "agent"] == ["worker"]
    after = built.raw.get(f"/v1/agents/{boss['id']}").json()
    assert after["system"] == "You lead."
    assert not any(tag.startswith("lettaform:") for tag in after["tags"])
    assert "lettaform" not in after["metadata"]
    for block in after["blocks"]:
        if block["label"] != "org":
            built.raw.delete(f"/v1/blocks/{block['id']}")
    built.raw.delete(f"/v1/agents/{boss['id']}")


def test_the_record_can_be_made_again_from_the_marks(built: Fleet) -> None:
    params = {"tags": f"lettaform:stack={built.stack}", "show_hidden_blocks": True}
    for block in built.raw.get("/v1/blocks/", params=params).json():
        if block["label"] == "lettaform":
            built.raw.delete(f"/v1/blocks/{block['id']}")
    count, lost = flow.state_rebuild(built.source, built.connection)
    assert (count, lost) == (4, [])
    assert {change.action for change in built.plan().changes} <= {"mark"}


def test_a_moved_entry_keeps_the_agent_and_its_memory(built: Fleet) -> None:
    boss = built.agent("boss")
    built.write(
        MANIFEST.replace("  boss:", "  chief:\n        name: boss")
        + "\n    moved: [{from: agents.boss, to: agents.chief}]\n"
    )
    plan = built.plan()
    assert {c.action for c in plan.changes} == {"mark"}
    assert {c.reason for c in plan.changes} >= {"moved from agents.boss"}
    built.apply()
    assert built.agent("boss")["id"] == boss["id"]


def test_another_environment_on_the_same_stack_is_refused(built: Fleet) -> None:
    built.write(MANIFEST + "\n    environments: {prod: {}}\n")
    with pytest.raises(PlanError) as refused:
        flow.plan(flow.Source(built.folder, environment="prod"), built.connection)
    assert "environment `prod`" in refused.value.message


def test_no_secret_stands_in_a_plan_or_on_the_server_but_where_it_belongs(built: Fleet) -> None:
    boss = built.agent("boss")
    assert "hunter22" not in json.dumps(boss["metadata"])
    assert "hunter22" not in json.dumps(built.blocks())
    built.write(MANIFEST.replace("hunter22", "hunter23"))
    plan = built.plan()
    assert "hunter2" not in repr(plan)
    built.apply()
