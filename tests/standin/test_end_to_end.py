"""lettaform end to end on a stand-in: apply converges, keeps what agents write, and destroy removes everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.address import Address
from lettaform.backend import connect
from lettaform.errors import Place
from lettaform.kinds.tool import Tool
from lettaform.model import Desired, External, Manifest, Plan, PlanOptions, Report
from lettaform.values import Ref
from tests.standin import Refusal, StandIn, serve

pytestmark = pytest.mark.thorough

PLACE = Place("lettaform.yaml", 1, 1)
SOURCE = '''
def {name}(city: str) -> str:
    """{about}

    Args:
        city (str): Which city.

    Returns:
        str: The weather.
    """
    return city
'''


def manifest(
    *,
    agents: Mapping[str, Mapping[str, Any]] | None = None,
    blocks: Mapping[str, Mapping[str, Any]] | None = None,
    tools: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest without files. An agent's blocks and tools are names; a tool that is not declared is a base tool."""
    objects = [_desired("blocks", "block", name, {"label": name, **each}) for name, each in (blocks or {}).items()]
    for name, about in (tools or {}).items():
        source = SOURCE.format(name=name, about=about)
        objects.append(
            _desired("tools", "tool", name, {"source": source, "name": Tool.naming.derive({"source": source})})
        )
    for name, each in (agents or {}).items():
        values: dict[str, Any] = {"name": name, "model": "openai-proxy/echo", **each}
        for key, text in values.pop("memory", {}).items():
            address = Address.of("agents", name).part("memory", key)
            objects.append(Desired(address, "block", {"label": key, "value": text}, PLACE))
        for tool in values.get("tools", ()):
            if tool not in (tools or {}):
                address = Address.of("tools", tool)
                objects.append(Desired(address, "tool", {}, PLACE, external=External(name=tool)))
        for section in ("blocks", "tools"):
            if section in values:
                values[section] = [Ref(Address.of(section, key)) for key in values[section]]
        objects.append(_desired("agents", "agent", name, values))
    return Manifest("test", {each.address: each for each in objects})


def _desired(section: str, kind: str, name: str, values: Mapping[str, Any]) -> Desired:
    return Desired(Address.of(section, name), kind, dict(values), PLACE)


MANIFEST: Mapping[str, Any] = {
    "agents": {
        "ann": {
            "memory": {"persona": "I am Ann.", "notes": "none"},
            "blocks": ["team"],
            "tools": ["weather", "send_message"],
            "secrets": {"KEY": "s3cret"},
            "tags": ["a"],
            "metadata": {"floor": 1},
            "system": "Be kind.",
            "context_window": 9000,
            "include_base_tools": False,
            "tool_rules": [{"type": "exit_loop", "tool_name": "send_message"}],
        },
        "bob": {"memory": {"persona": "I am Bob."}, "blocks": ["team"], "description": "the other"},
    },
    "blocks": {"team": {"value": "Ann, Bob", "description": "who is here"}},
    "tools": {"weather": "Tell the weather."},
}


class LettaformOnStandIn:
    """lettaform and one stand-in."""

    def __init__(self, folder: Path, url: str = "http://stand.in") -> None:
        self.standin, self.folder, self.url = StandIn(), folder, url

    def run(
        self, manifest: Manifest, options: PlanOptions | None = None, *, do: bool = True
    ) -> tuple[Plan, Report | None]:
        """Plan, and apply the plan."""

        async def run() -> tuple[Plan, Report | None]:
            server = connect(self.url, transport=self.standin)
            session = flow.Session(manifest, server, self.folder)
            try:
                plan = await session.plan(options or PlanOptions())
                return plan, await session.apply(plan, lambda event: None, 8) if do and plan else None
            finally:
                await server.close()

        return asyncio.run(run())

    def apply(self, manifest: Manifest, options: PlanOptions | None = None) -> Report:
        """Apply; two plans after it are empty, and applying again sends no write."""
        _, report = self.run(manifest, options)
        assert report is not None, "nothing was to do"
        assert report.exit_code == 0, [(str(o.step.key), str(o.error)) for o in report.of("failed")]
        self.assert_no_changes(manifest)
        return report

    def assert_no_changes(self, manifest: Manifest) -> None:
        before = len(self.standin.writes)
        for _ in range(2):
            plan, report = self.run(manifest)
            assert not plan, [(c.action, str(c.address), c.fields_changed) for c in plan.changes]
            assert report is None
        assert len(self.standin.writes) == before

    @property
    def raw(self) -> httpx.Client:
        """A client for all other users of the server."""
        return httpx.Client(transport=self.standin, base_url=self.url, headers={"User-Agent": "other-client/1"})

    def agent(self, name: str) -> dict[str, Any]:
        (found,) = self.raw.get("/v1/agents/", params={"name": name}).json()
        return dict(found)


@pytest.fixture
def stack(tmp_path: Path) -> LettaformOnStandIn:
    return LettaformOnStandIn(tmp_path)


def test_apply_creates_everything_and_converges(stack: LettaformOnStandIn) -> None:
    stack.apply(manifest(**MANIFEST))
    ann = stack.agent("ann")
    assert {block["label"]: block["value"] for block in ann["blocks"]} == {
        "persona": "I am Ann.",
        "notes": "none",
        "team": "Ann, Bob",
    }
    assert {tool["name"] for tool in ann["tools"]} == {"weather", "send_message"}
    assert ann["llm_config"]["context_window"] == 9000
    assert [secret["value"] for secret in ann["secrets"]] == ["s3cret"]
    assert [rule["type"] for rule in ann["tool_rules"]] == ["exit_loop"]


def test_values_changed_by_agents_are_kept(stack: LettaformOnStandIn) -> None:
    stack.apply(manifest(**MANIFEST))
    notes = f"/v1/agents/{stack.agent('ann')['id']}/core-memory/blocks/notes"
    stack.raw.patch(notes, json={"value": "I learnt."})
    stack.assert_no_changes(manifest(**MANIFEST))
    assert stack.raw.get(notes).json()["value"] == "I learnt."


def test_apply_corrects_drift(stack: LettaformOnStandIn) -> None:
    stack.apply(manifest(**MANIFEST))
    stack.raw.patch(f"/v1/agents/{stack.agent('ann')['id']}", json={"system": "Be rude.", "tags": []})
    stack.apply(manifest(**MANIFEST))
    assert stack.agent("ann")["system"] == "Be kind."


def test_each_edit_converges(stack: LettaformOnStandIn) -> None:
    stack.apply(manifest(**MANIFEST))
    ann = MANIFEST["agents"]["ann"]
    edits: list[dict[str, Any]] = [
        {"context_window": 12_000},
        {"model": "letta/letta-free"},
        {"tools": ["weather"], "tool_rules": []},
        {"blocks": []},
        {"secrets": {"OTHER": "value"}},
        {"memory": {"persona": "I am Ann.", "diary": "empty"}},
        {"model_settings": {"provider_type": "openai", "temperature": 0.2}},
    ]
    for edit in edits:
        ann = {**ann, **edit}
        stack.apply(manifest(**{**MANIFEST, "agents": {**MANIFEST["agents"], "ann": ann}}))
    stack.apply(manifest(**{**MANIFEST, "tools": {"weather": "Tell it again."}}))


def test_prune_deletes_undeclared_objects(stack: LettaformOnStandIn) -> None:
    stack.apply(manifest(**MANIFEST))
    fewer = manifest(**{**MANIFEST, "agents": {"bob": MANIFEST["agents"]["bob"]}, "tools": {}})
    stack.apply(fewer, PlanOptions(prune=True, allow_destroy=("*",)))
    assert stack.raw.get("/v1/agents/count").json() == 1
    assert stack.raw.get("/v1/tools/count", params={"exclude_letta_tools": True}).json() == 0


def test_destroy_deletes_everything(stack: LettaformOnStandIn) -> None:
    stack.apply(manifest(**MANIFEST))
    _, report = stack.run(manifest(**MANIFEST), PlanOptions(destroy=True, allow_destroy=("*",)))
    assert report is not None
    assert report.exit_code == 0
    tables = stack.standin.tables
    assert (tables.agents, tables.blocks, tables.identities) == ({}, {}, {})
    assert {tool["tool_type"] for tool in tables.tools.values()}.isdisjoint({"custom"})


def test_snapshot_holds_values_of_agents_that_never_ran(stack: LettaformOnStandIn) -> None:
    whole = manifest(**MANIFEST)
    stack.apply(whole)
    (ann,) = [each for each in stack.standin.tables.agents.values() if each["name"] == "ann"]
    said = {"messages": [{"role": "user", "content": "Hello."}]}
    assert stack.raw.post(f"/v1/agents/{ann['id']}/messages", json=said).status_code == 200
    stack.run(whole, PlanOptions(destroy=True, allow_destroy=("*",)))
    (listed,) = stack.folder.glob(".lettaform/snapshots/*/snapshot.json")
    assert "s3cret" not in "".join(each.read_text() for each in listed.parent.iterdir())
    found = {each["name"]: each for each in json.loads(listed.read_text())["objects"] if each["kind"] == "agent"}
    assert json.loads((listed.parent / found["ann"]["file"]).read_text())["agents"][0]["name"] == "ann"
    assert (found["bob"]["file"], found["bob"]["unused"]) == (None, True)
    assert found["bob"]["values"]["description"] == "the other"
    blocks = {
        each["id"]: each["values"]["value"]
        for each in json.loads(listed.read_text())["objects"]
        if each["kind"] == "block"
    }
    assert sorted(blocks[id] for id in found["bob"]["values"]["blocks"]) == ["Ann, Bob", "I am Bob."]
    assert [path for _, path, _ in stack.standin.log if path.endswith("/export")] == [f"/v1/agents/{ann['id']}/export"]


@pytest.mark.thorough
def test_lost_answer_creates_no_duplicate_agent(stack: LettaformOnStandIn) -> None:
    lost: list[str] = []

    def lose(ask: Any) -> None:
        if (ask.method, ask.path) == ("POST", "/v1/agents/") and len(lost) < 2:
            lost.append(ask.path)
            raise httpx.ReadError("the connection broke")

    stack.standin.after = lose
    stack.apply(manifest(**MANIFEST))
    assert len(lost) == 2
    assert stack.raw.get("/v1/agents/count").json() == 2


def test_refused_step_is_reported_and_others_run(stack: LettaformOnStandIn) -> None:
    def refuse(ask: Any) -> None:
        if (ask.method, ask.path) == ("PUT", "/v1/tools/"):
            raise Refusal(400, "no tools today")

    stack.standin.before = refuse
    _, report = stack.run(manifest(**MANIFEST))
    assert report is not None
    assert report.exit_code != 0
    assert stack.raw.get("/v1/agents/count").json() == 1
    stack.standin.before = lambda ask: None
    stack.apply(manifest(**MANIFEST))


def test_an_object_refers_to_an_entry_of_a_field_that_the_server_sets(stack: LettaformOnStandIn) -> None:
    provider = Ref(Address.of("agents", "boss"), "model_settings.provider_type")
    stack.apply(manifest(agents={"ann": {"metadata": {"see": provider}}, "boss": {}}))
    assert stack.agent("ann")["metadata"]["see"] == "openai"


@pytest.mark.parametrize("path", ["id", "limit"])
def test_an_object_refers_to_a_block_that_is_created_with_an_agent(stack: LettaformOnStandIn, path: str) -> None:
    human = Ref(Address.parse("agents.boss.memory.human"), path)
    agents = {"ann": {"metadata": {"see": human}}, "boss": {"memory": {"human": "h"}}}
    stack.apply(manifest(agents=agents))
    (block,) = stack.agent("boss")["blocks"]
    assert stack.agent("ann")["metadata"]["see"] == block[path]


def test_stand_in_answers_on_loopback(tmp_path: Path) -> None:
    standin = StandIn()
    with serve(standin) as url:
        other = LettaformOnStandIn(tmp_path, url)
        other.standin = httpx.AsyncHTTPTransport()  # type: ignore[assignment]
        _, report = other.run(manifest(**MANIFEST))
        assert report is not None
        assert report.exit_code == 0
        plan, _ = other.run(manifest(**MANIFEST), do=False)
        assert not plan
    assert len(standin.tables.agents) == 2
