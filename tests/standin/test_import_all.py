"""`import --all` on a stand-in: what it writes adopts what lives, changes nothing, and is complete or not there."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.flow import ImportOptions
from lettaform.kinds import agent
from lettaform.model import Imported, Plan
from lettaform.ownership.unowned import Filter
from lettaform.session import import_all as module
from lettaform.values import digest
from tests.standin.test_other_stacks import AGENT, Stacks

pytestmark = pytest.mark.thorough

MODELS = {"model": "letta/letta-free", "embedding": "letta/letta-free"}
KEY = "sk-4f9a8c7d6e5b4a3f2e1d"


class World(Stacks):
    """A server that is filled by hand, and a folder to import to."""

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def import_all(self, *, names: tuple[str, ...] = (), ids: tuple[str, ...] = (), **options: Any) -> Imported:
        only = Filter(names, options.pop("tags", ()), options.pop("match", ()), ids)
        shutil.rmtree(self.out, ignore_errors=True)
        chosen = ImportOptions(options.pop("stack", "taken"), only, **options)
        return self.run(lambda at: flow.import_all(at, self.out, chosen))

    def source(self, variables: Mapping[str, str] | None = None) -> flow.Source:
        return flow.Source(self.out, variables=variables or {})

    def plan_of(self, variables: Mapping[str, str] | None = None) -> Plan:
        return self.run(lambda at: flow.plan(self.source(variables), at))

    def adopts(self, found: Imported, variables: Mapping[str, str] | None = None) -> Plan:
        """Assert that an apply adopts what was imported and changes nothing, and that the plan after it is empty."""
        variables = {name: value for name, value in (variables or {}).items() if name in found.variables}
        plan = self.plan_of(variables)
        changed = [(str(each.address), each.action, [f.path for f in each.fields_changed]) for each in plan.changes]
        assert [each for each in changed if each[1] not in ("adopt", "mark") or each[2]] == []
        assert {str(each.address): each.id for each in plan.changes if not each.address.parent} | found.adopted == {
            str(each.address): each.id for each in plan.changes if not each.address.parent
        }
        before = self.values()
        _, report = self.run(lambda at: flow.apply(self.source(variables), at, consent=True))
        assert report is not None
        assert report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        after = self.values()
        assert {
            key: [n for n in row if row[n] != after[key][n]] for key, row in before.items() if row != after[key]
        } == {}
        assert after.keys() == before.keys()
        assert not self.plan_of(variables).steps
        return plan

    def values(self) -> dict[str, Any]:
        """All rows of the server without what marks are written to, and without the state."""
        own = ("tags", "_tags", "metadata", "metadata_", "updated_at", "last_updated_by_id", "description", "summary")
        tables = {name: getattr(self.server.standin.tables, name) for name in ("agents", "blocks", "tools", "archives")}
        return {
            f"{name} {id}": {key: value for key, value in row.items() if key not in own}
            for name, rows in tables.items()
            for id, row in rows.items()
            if row.get("label") != "lettaform"
        }

    def text(self, path: str = "lettaform.yaml") -> str:
        return (self.out / path).read_text()

    def files(self) -> dict[str, bytes]:
        return {
            each.relative_to(self.out).as_posix(): each.read_bytes() for each in self.out.rglob("*") if each.is_file()
        }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    types = ("letta_v1_agent", "memgpt_agent", "sleeptime_agent")
    monkeypatch.setattr(agent, "_PROMPTS", {digest(f"(the server's own prompt for a {each})") for each in types})
    return world


def fill(world: World, agents: int = 5) -> dict[str, str]:
    """One object of each kind and more, as people and other programs make them. Returns name to id."""
    server = world.server
    ids = {
        "rules": server.block("rules", value="Be kind.\n\n- listen\n- answer", description="What holds for all.")["id"],
        "loose": server.block("loose", value="Nobody has this.", limit=300, read_only=True)["id"],
        "shop": server.tool("shop", tags=["sales"])["id"],
        "notes": server.archive("Notes of all")["id"],
        "ann": server.identity("ann@example.com")["id"],
        "folder": server.post("/v1/folders/", name="Hand book", embedding="letta/letta-free")["id"],
    }
    for number in range(30):
        server.post(f"/v1/archives/{ids['notes']}/passages", text=f"Fact {number}.", tags=["a"] if number % 2 else [])
    config = {"mcp_server_type": "streamable_http", "server_url": "https://a.example/mcp", "auth_token": KEY}
    ids["docs"] = server.post(
        "/v1/mcp-servers/", server_name="docs", config={**config, "auth_header": "Authorization"}
    )["id"]
    server.post(f"/v1/mcp-servers/{ids['docs']}/refresh", "PATCH")
    (offered,) = [row["id"] for row in server.standin.tables.tools.values() if row["name"] == "t"]
    for number, region in enumerate(["emea", "apac", "amer", "anz", "nordics"][:agents]):
        memory = [{"label": "role", "value": f"I look after {region}."}, {"label": "odd/label", "value": "x: #"}]
        body = {"memory_blocks": memory, "block_ids": [ids["rules"]], "tool_ids": [ids["shop"]], "tags": ["team"]}
        made = server.agent(f"worker-{region}", secrets={"OPENAI_KEY": KEY}, **body)
        ids[f"worker-{number}"] = made["id"]
    prompt = "You lead.\n" * 20
    shared = {"block_ids": [ids["rules"]], "tool_ids": [ids["shop"], offered], "identity_ids": [ids["ann"]]}
    boss = server.agent(
        *("The Boss",), system=prompt, enable_sleeptime=True, memory_blocks=[{"label": "goals", "value": "?"}], **shared
    )
    ids["boss"] = boss["id"]
    server.attach(boss["id"], "archives", ids["notes"])
    server.attach(boss["id"], "folders", ids["folder"])
    members = [ids[f"worker-{number}"] for number in range(min(3, agents))]
    if members:
        server.post("/v1/groups/", agent_ids=members, description="All", manager_config={"manager_type": "round_robin"})
    server.post(
        "/v1/providers/", name="vault", provider_type="openai", api_key=KEY, base_url=f"https://x:{KEY}@a.example"
    )
    ids["talk"] = server.conversation(boss["id"], "First talk")["id"]
    return ids


VALUES = dict.fromkeys(("openai_key", "docs_token", "vault_api_key", "vault_base_url"), KEY)


def test_what_was_made_by_hand_is_adopted_and_not_changed(world: World) -> None:
    fill(world)
    found = world.import_all()
    assert found.objects == {
        "agents": 6,
        "archives": 1,
        "blocks": 2,
        "conversations": 1,
        "folders": 1,
        "groups": 1,
        "identities": 1,
        "mcp_servers": 1,
        "providers": 1,
        "tools": 1,
    }
    assert [each for each in found.not_declared if each.id] == []
    plan = world.adopts(found, VALUES)
    assert len(plan.changes) > 15


def test_a_person_can_read_what_is_written(world: World) -> None:
    fill(world)
    world.import_all()
    assert (
        world.text().split("\nagents:\n")[1].split("\ngroups:")[0]
        == """  the-boss:
    name: The Boss
    system: !file prompts/the-boss.md
    memory: {goals: "?"}
    tools: [shop, t]
    folders: [hand-book]
    archive: notes-of-all
    identities: [ann-example-com]
    sleeptime: true

  worker:
    for_each: [amer, anz, apac, emea, nordics]
    memory: {"odd/label": "x: #", role: "I look after ${each.key}."}
    tools: [shop]
    secrets: {OPENAI_KEY: "${var.openai_key}"}
    tags: [team]
"""
    )
    assert 'agents: ["worker[emea]", "worker[apac]", "worker[amer]"]' in world.text()
    assert "defaults:\n  agents:" in world.text()
    assert world.text("prompts/the-boss.md") == "You lead.\n" * 20
    assert len(json.loads(world.text("archives/notes-of-all.json"))) == 30
    assert world.text("tools/shop.py").startswith("def shop() -> str:")
    assert '  - {to: "agents.worker[emea]", id: agent-' in world.text("imports.yaml")


def test_no_file_contains_a_secret(world: World) -> None:
    fill(world)
    found = world.import_all()
    assert not [path for path, content in world.files().items() if KEY.encode() in content]
    assert set(found.variables) == set(VALUES)
    assert KEY not in repr(found)


def test_without_folding_each_agent_stands_by_itself(world: World) -> None:
    fill(world)
    found = world.import_all(fold=False)
    assert "for_each" not in world.text()
    assert found.declarations["agents"] == 6
    world.adopts(found, VALUES)


def test_two_imports_write_the_same_bytes(world: World) -> None:
    fill(world)
    world.import_all()
    first = world.files()
    world.import_all()
    assert world.files() == first


def test_the_number_of_requests_does_not_grow_with_the_agents(world: World, tmp_path: Path) -> None:
    asked = {}
    for number in (12, 40):
        each = World(tmp_path / str(number))
        shared = each.server.block("rules")["id"]
        for index in range(number):
            memory = [{"label": label, "value": "x"} for label in "abc"]
            each.server.agent(f"a-{index}", block_ids=[shared], memory_blocks=memory)
        found = each.import_all()
        imported = len(each.server.asked)
        each.plan_of()
        asked[number] = imported, len(each.server.asked)
        assert found.requests == imported
    assert asked[12] == asked[40]
    assert max(asked[12]) < 25


# --- what is left ----------------------------------------------------------------------------------------------------


def test_what_a_stack_owns_stays_with_it_and_is_used_by_its_address(world: World) -> None:
    world.apply(
        "other",
        f"blocks: {{theirs: {{value: x}}}}\nagents: {{lead: {{{AGENT}, blocks: [theirs], memory: {{own: y}}}}}}",
    )
    theirs = next(row for row in world.server.standin.tables.blocks.values() if row["label"] == "theirs")
    lead = next(iter(world.server.standin.tables.agents))
    made_by_agent = world.server.block("learned")["id"]
    world.server.attach(lead, "core-memory/blocks", made_by_agent)
    world.server.agent("mine", block_ids=[theirs["id"]])
    found = world.import_all()
    assert found.owned == {"other": 3}
    assert "theirs: {external: true, stack: other, address: blocks.theirs}" in world.text()
    assert [(each.what, each.reason) for each in found.not_declared] == [
        ("block `learned`", "only agents of stack `other` have it")
    ]
    world.adopts(found)
    assert not world.plan(
        "other",
        f"blocks: {{theirs: {{value: x}}}}\nagents: {{lead: {{{AGENT}, blocks: [theirs], memory: {{own: y}}}}}}",
    ).steps


def test_kinds_without_a_mark_that_a_stack_owns_are_used_by_their_id(world: World) -> None:
    world.apply("other", "identities: {ann: {name: Ann, identity_type: user}}")
    identity = world.only("identities")
    world.server.agent("mine", identity_ids=[identity["id"]])
    found = world.import_all()
    assert f"ann: {{external: true, id: {identity['id']}}}" in world.text()
    world.adopts(found)


def test_an_unreadable_state_is_an_error(world: World) -> None:
    world.apply("other", "blocks: {theirs: {value: x}}")
    world.state("other")["value"] = "{"
    with pytest.raises(PlanError, match="the state of stack `other` cannot be read") as error:
        world.import_all()
    assert "state rebuild" in (error.value.hint or "")
    assert not world.out.exists()


def test_a_stack_that_exists_is_refused(world: World) -> None:
    world.apply("other", "blocks: {theirs: {value: x}}")
    world.server.block("mine")
    with pytest.raises(PlanError, match="has a stack `other` already"):
        world.import_all(stack="other")


def test_nothing_to_import_is_an_error_that_says_why(world: World) -> None:
    with pytest.raises(PlanError, match="nothing on the server is to be imported"):
        world.import_all()
    world.apply("other", "blocks: {theirs: {value: x}}")
    with pytest.raises(PlanError, match="1 objects belong to stack `other`"):
        world.import_all()
    assert not world.out.exists()


# --- filters ---------------------------------------------------------------------------------------------------------


def test_a_filter_brings_what_its_objects_need(world: World) -> None:
    ids = fill(world)
    found = world.import_all(names=("The Boss",))
    assert found.objects == {
        "agents": 1,
        "archives": 1,
        "blocks": 1,
        "conversations": 1,
        "folders": 1,
        "identities": 1,
        "mcp_servers": 1,
        "tools": 1,
    }
    world.adopts(found, VALUES)
    second = world.import_all(ids=(ids["worker-0"],), stack="second")
    assert second.objects == {"agents": 1}
    assert "rules: {external: true, stack: taken, address: blocks.rules}" in world.text()
    world.adopts(second, VALUES)


@pytest.mark.parametrize(
    ("only", "agents"),
    [
        ({"match": ("worker-a*",)}, 3),
        ({"tags": ("team",)}, 5),
        ({"tags": ("team",), "match": ("*-emea",)}, 1),
        ({"names": ("worker-emea", "worker-apac")}, 2),
    ],
)
def test_filters(only: dict[str, Any], agents: int, world: World) -> None:
    fill(world)
    found = world.import_all(**only)
    assert found.objects["agents"] == agents
    assert "The Boss" not in world.text()
    world.adopts(found, VALUES)


def test_conversations_can_be_left_out(world: World) -> None:
    fill(world)
    found = world.import_all(without=("conversation",))
    assert "conversations" not in found.objects
    world.adopts(found, VALUES)


def test_a_filter_that_names_an_object_of_a_stack_says_whose_it_is(world: World) -> None:
    world.apply("other", "blocks: {theirs: {value: x}}")
    world.server.block("mine")
    with pytest.raises(PlanError, match="it belongs to stack `other`"):
        world.import_all(names=("theirs",))


# --- what cannot be declared as it is --------------------------------------------------------------------------------


def rename(world: World, name: str) -> None:
    agent = world.server.agent("x")["id"]
    world.server.post(f"/v1/agents/{agent}", "PATCH", name=name)


def use_companion(world: World) -> None:
    """A group and a conversation of the agent that sleeptime created, which is managed with its agent."""
    world.server.agent("boss", enable_sleeptime=True)
    (id,) = [id for id, row in world.server.standin.tables.agents.items() if row["name"] == "boss-sleeptime"]
    lead = {"manager_type": "supervisor", "manager_agent_id": id}
    world.server.post("/v1/groups/", agent_ids=[id], description="theirs", manager_config=lead)
    world.server.conversation(id, "At night")


def without_rule(world: World) -> None:
    tool = world.server.tool("shop", default_requires_approval=True)["id"]
    agent = world.server.agent("x", tool_ids=[tool])["id"]
    world.server.post(f"/v1/agents/{agent}", "PATCH", tool_rules=[{"type": "exit_loop", "tool_name": "shop"}])


AWKWARD: Mapping[str, tuple[Callable[[World], Any], str]] = {
    "a name that no new agent can have": (lambda w: rename(w, "bad/name: [x]"), "`name` is left as it is"),
    "a block that is longer than its limit": (
        lambda w: w.server.standin.tables.blocks[w.server.block("big", value="x" * 50)["id"]].update(limit=10),
        "`value` is not declared: has 50 characters",
    ),
    "a group without a description": (
        lambda w: w.server.post("/v1/groups/", agent_ids=[w.server.agent("x")["id"]], description=""),
        "`description` is left as it is",
    ),
    "a conversation without a summary": (
        lambda w: w.server.post(f"/v1/conversations/?agent_id={w.server.agent('x')['id']}"),
        "`summary` is left as it is",
    ),
    "a tag that looks like a mark": (
        lambda w: w.server.standin.tables.tools[w.server.tool("shop")["id"]].update(tags=["git-memory-enabled"]),
        "",
    ),
    "metadata with odd keys": (
        lambda w: w.server.agent("x", metadata={"a b": {"c": [1, 2.5, None, True]}, "": 1, "no": "yes"}),
        "",
    ),
    "texts that YAML reads otherwise": (
        lambda w: w.server.agent("x", description="no", tags=["1", "012", "on", "a: b", "${x}", "# y", " z "]),
        "",
    ),
    "texts of several lines": (lambda w: w.server.block("b", value=" a\n\n b \r\n\tc\n\n", description="\n"), ""),
    "an expression in a block": (lambda w: w.server.block("b", value="cost: ${price} and $${x}"), ""),
    "labels that are no keys": (
        lambda w: w.server.agent(
            "x", memory_blocks=[{"label": each, "value": each} for each in ("a/b", "1", "ä ö", "x.y", "no")]
        ),
        "",
    ),
    "names that clean to one key": (
        lambda w: [w.server.agent(name) for name in ("My agent", "my-agent", "My agent", "mY_agent", "日本")],
        "",
    ),
    "an agent beside the companion of another": (
        lambda w: [w.server.agent("boss", enable_sleeptime=True), w.server.agent("boss-sleeptime")],
        "",
    ),
    "a group and a conversation of a companion": (lambda w: use_companion(w), "only `boss-sleeptime` has it"),
    "an agent without its base tools": (lambda w: w.server.agent("x"), ""),
    "an agent with its base tools": (lambda w: w.server.post("/v1/agents/", name="x", **MODELS), ""),
    "an agent of an older type": (
        lambda w: w.server.post("/v1/agents/", name="x", agent_type="memgpt_agent", **MODELS),
        "",
    ),
    "a tool that needs approval": (
        lambda w: w.server.agent("x", tool_ids=[w.server.tool("shop", default_requires_approval=True)["id"]]),
        "",
    ),
    "an agent that lost the rule of its tool": (lambda w: without_rule(w), "`tool_rules`"),
    "a file that the server no longer has as it was": (
        lambda w: w.server.post("/v1/folders/", name="f", embedding="letta/letta-free"),
        "",
    ),
    "an archive without passages": (lambda w: w.server.archive("a"), ""),
    "two archives of one name": (lambda w: [w.server.archive("a"), w.server.archive("a")], ""),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_awkward_objects_are_adopted_and_what_is_not_declared_is_said(case: str, world: World) -> None:
    make, said = AWKWARD[case]
    world.server.post("/v1/tools/add-base-tools") if "base tools" in case or "older" in case else None
    make(world)
    found = world.import_all()
    assert [each.reason for each in found.not_declared if said not in each.reason or not said] == []
    assert found.not_declared or not said
    world.adopts(found)


def test_a_tool_whose_source_says_less_than_its_schema_keeps_the_schema(world: World) -> None:
    source = "def shop(item):\n    return item\n"
    schema = {
        "name": "shop",
        "description": "Buy.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string"}}},
    }
    world.server.post("/v1/tools/", "PUT", source_code=source, source_type="python", json_schema=schema)
    found = world.import_all()
    assert "json_schema: !json tools/shop.json" in world.text()
    world.adopts(found)


# --- complete or not there -------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused_before_any_request(world: World) -> None:
    world.server.block("mine")
    world.out.mkdir()
    (world.out / "keep.txt").write_text("mine")
    with pytest.raises(PlanError, match="is not an empty folder"):
        world.run(lambda at: flow.import_all(at, world.out, ImportOptions("s")))
    assert world.server.asked == []
    assert world.files() == {"keep.txt": b"mine"}


def test_an_empty_folder_is_used(world: World) -> None:
    world.server.block("mine")
    world.out.mkdir()
    world.run(lambda at: flow.import_all(at, world.out, ImportOptions("s")))
    assert "lettaform.yaml" in world.files()


def test_a_kill_at_any_file_operation_leaves_all_or_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.server.agent("boss", system="You lead.\n" * 20)
    world.server.tool("shop")
    world.import_all()
    whole, number = world.files(), 0
    while True:
        left = number
        shutil.rmtree(world.out, ignore_errors=True)

        def counted(work: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left == -1:
                    raise KeyboardInterrupt
                return work(*args, **more)

            return run

        with monkeypatch.context() as patch:
            for owner, name in (
                (pathlib.Path, "mkdir"),
                (pathlib.Path, "write_bytes"),
                (pathlib.Path, "rename"),
                (os, "chmod"),
            ):
                patch.setattr(owner, name, counted(getattr(owner, name)))
            try:
                world.run(lambda at: flow.import_all(at, world.out, ImportOptions("taken")))
            except KeyboardInterrupt:
                pass
            else:
                break
        assert not world.out.exists() or world.files() == whole
        assert [each.name for each in world.folder.iterdir() if each.name.startswith(".")] == []
        number += 1
    assert number > 8
    assert world.files() == whole


def test_a_form_that_says_something_else_is_not_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(world)
    monkeypatch.setattr(
        module,
        "_says_the_same",
        lambda flat, other, addresses: (
            len(other.objects) == len(flat.objects) and all(a == b for a, b in addresses.items())
        ),
    )
    found = world.import_all()
    assert "for_each" not in world.text()
    world.adopts(found, VALUES)


def test_a_disk_that_is_full_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.server.block("mine")

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(PlanError, match="No space left on device"):
        world.import_all()
    assert not world.out.exists()


def test_the_stack_is_named_after_the_folder(world: World) -> None:
    world.server.block("mine")
    out = world.folder / "My Fleet_1"
    world.run(lambda at: flow.import_all(at, out))
    assert re.match(r"stack: my-fleet-1\n", (out / "lettaform.yaml").read_text())
