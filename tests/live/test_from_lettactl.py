"""Manifests of lettactl on a real server: a fleet that lives is adopted with what it learned, a new one is created."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lettaform import flow
from lettaform.lettactl.fleet import Options
from lettaform.lettactl.texts import prompt
from lettaform.manifest import load
from lettaform.model import Imported, Plan
from tests.live.conftest import Letta

TOOL = '''def ring_WORD(times: int) -> str:
    """Ring the bell.

    Args:
        times (int): How often.
    """
    return "ding " * times
'''
FLEET = """
shared_blocks:
  - {name: shop-WORD, description: What all must know., limit: 4000, value: We sell bells., agent_owned: true}
  - {name: rules-WORD, description: Rules., limit: 4000, value: Never sell a bell twice., agent_owned: false}
agents:
  - name: clerk-WORD
    description: Answers customers.
    llm_config: {model: MODEL, context_window: 16000, max_tokens: 1024}
    embedding: EMBEDDING
    system_prompt: {from_file: clerk.md}
    tools: [ring_WORD]
    memory_blocks:
      - {name: persona, description: Who I am., limit: 2000, value: I am the clerk., agent_owned: true}
      - {name: prices, description: What things cost., limit: 2000, value: A bell costs 9., agent_owned: false}
    shared_blocks: [shop-WORD, rules-WORD]
    folders: [{name: docs-WORD, files: [hours.md]}]
    archives: [{name: decisions-WORD, description: What was decided.}]
    conversations: [{summary: Complaints WORD}]
    compaction_settings: {mode: sliding_window, clip_chars: 4000}
    include_base_tools: true
    reasoning: false
    tags: [shop]
    secrets: {SHOP_KEY: {value: k-0123456789}}
  - name: night-WORD
    description: Answers at night.
    llm_config: {model: MODEL, context_window: 16000}
    embedding: EMBEDDING
    system_prompt: {value: You work at night.}
    tools: []
    memory_blocks:
      - {name: persona, description: Who I am., limit: 2000, value: I work at night., agent_owned: true}
    shared_blocks: [shop-WORD]
"""
"""A fleet of lettactl. WORD makes its names its own on a server that others use, too."""


class Shop:
    """The fleet in a folder, and what of it lives on the server."""

    def __init__(self, letta: Letta, folder: Path) -> None:
        self.letta, self.folder, self.word = letta, folder, uuid4().hex[:6]
        self.posted: list[str] = []
        bearer = {"Authorization": f"Bearer {letta.password}"} if letta.password else {}
        self.client = httpx.Client(base_url=letta.url, headers=bearer, timeout=60)
        text = FLEET.replace("MODEL", letta.model).replace("EMBEDDING", letta.embedding).replace("WORD", self.word)
        (folder / "fleet.yaml").write_text(text)
        (folder / "clerk.md").write_text("```\nYou are the clerk of a shop.\n```\n")
        (folder / "hours.md").write_text("# Hours\n\nNine to five.\n")
        (folder / "tools").mkdir()
        (folder / "tools" / f"ring_{self.word}.py").write_text(TOOL.replace("WORD", self.word))

    # --- lettaform

    def convert(self) -> Imported:
        return flow.from_lettactl([self.folder / "fleet.yaml"], self.folder / "out", Options(), stack=f"l-{self.word}")

    @property
    def source(self) -> flow.Source:
        return flow.Source(self.folder / "out", variables={"shop_key": "k-0123456789"})

    @property
    def connection(self) -> flow.Connection:
        return flow.Connection(url=self.letta.url, token=self.letta.password, patience=None)

    def plan(self) -> Plan:
        return flow.plan(self.source, self.connection)

    def apply(self, **options: Any) -> None:
        _, report = flow.apply(self.source, self.connection, flow.PlanOptions(**options), consent=True)
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]

    # --- what lettactl does: one request after the other, without marks

    def post(self, path: str, **body: Any) -> Any:
        made = self.client.post(path, json=body).raise_for_status().json()
        self.posted.append(f"{path}{made['id']}")
        return made

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(path, params=parameters).raise_for_status().json()

    def delete(self) -> None:
        """Delete what was posted, as far as it exists."""
        for path in reversed(self.posted):
            self.client.delete(path)
        self.client.close()

    def patch(self, path: str, **body: Any) -> Any:
        return self.client.patch(path, json=body).raise_for_status().json()

    def block(self, label: str, value: str, description: str, limit: int) -> str:
        return str(self.post("/v1/blocks/", label=label, value=value, description=description, limit=limit)["id"])

    def agent(self, name: str, blocks: list[str], tools: list[str], **body: Any) -> str:
        settings = {"context_window_limit": 16000, "reasoning": True, "include_base_tools": True}
        agent = self.post(
            "/v1/agents/",
            name=name,
            model=self.letta.model,
            embedding=self.letta.embedding,
            block_ids=blocks,
            **{"tool_ids": tools, "include_base_tool_rules": True, **settings, **body},
        )
        own = {"lettactl.model": self.letta.model, "lettactl.embedding": self.letta.embedding}
        self.patch(f"/v1/agents/{agent['id']}", metadata={**own, "lettactl.includeBaseTools": True})
        return str(agent["id"])

    def deploy(self) -> dict[str, str]:
        """Create the fleet as lettactl does. Returns the ids."""
        word = self.word
        ids = {
            "shop": self.block(f"shop-{word}", "We sell bells.", "What all must know.", 4000),
            "rules": self.block(f"rules-{word}", "Never sell a bell twice.", "Rules.", 4000),
            "tool": str(self.post("/v1/tools/", source_code=TOOL.replace("WORD", word))["id"]),
            "folder": str(self.post("/v1/folders/", name=f"docs-{word}", embedding=self.letta.embedding)["id"]),
            "persona": self.block("persona", "I am the clerk.", "Who I am.", 2000),
            "prices": self.block("prices", "A bell costs 9.", "What things cost.", 2000),
            "night persona": self.block("persona", "I work at night.", "Who I am.", 2000),
        }
        upload = {"file": ("hours.md", (self.folder / "hours.md").read_bytes())}
        self.client.post(f"/v1/folders/{ids['folder']}/upload", files=upload).raise_for_status()
        summaries = {"mode": "sliding_window", "clip_chars": 4000}
        clerk = {
            "reasoning": False,
            "compaction_settings": summaries,
            "description": "Answers customers.",
            "system": prompt((self.folder / "clerk.md").read_text()),
        }
        blocks = [ids["shop"], ids["rules"], ids["persona"], ids["prices"]]
        ids["clerk"] = self.agent(f"clerk-{word}", blocks, [ids["tool"]], max_tokens=1024, tags=["shop"], **clerk)
        night = {"description": "Answers at night.", "system": "You work at night."}
        ids["night"] = self.agent(f"night-{word}", [ids["shop"], ids["night persona"]], [], **night)
        about = {"description": "What was decided.", "embedding": self.letta.embedding}
        ids["archive"] = str(self.post("/v1/archives/", name=f"decisions-{word}", **about)["id"])
        self.client.patch(f"/v1/agents/{ids['clerk']}/archives/attach/{ids['archive']}").raise_for_status()
        self.client.patch(f"/v1/agents/{ids['clerk']}/folders/attach/{ids['folder']}").raise_for_status()
        self.patch(f"/v1/agents/{ids['clerk']}", secrets={"SHOP_KEY": "k-0123456789"})
        talk = self.client.post(
            "/v1/conversations/", params={"agent_id": ids["clerk"]}, json={"summary": f"Complaints {word}"}
        )
        ids["conversation"] = str(talk.raise_for_status().json()["id"])
        return ids


@pytest.fixture
def shop(letta: Letta, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(letta, tmp_path)
    yield made
    if (tmp_path / "out").exists():
        made.apply(destroy=True, allow_destroy=("*",))
    made.delete()


def test_a_living_fleet_is_adopted_with_what_it_learned(shop: Shop) -> None:
    ids = shop.deploy()
    shop.patch(f"/v1/blocks/{ids['persona']}", value="I am the clerk. Ann buys bells.")
    shop.patch(f"/v1/blocks/{ids['shop']}", value="We sell bells, and whistles.")
    found = shop.convert()
    assert found.not_declared == ()
    plan = shop.plan()
    assert {str(each.address): each.id for each in plan.changes if not each.address.parent} == {
        f"agents.clerk-{shop.word}": ids["clerk"],
        f"agents.night-{shop.word}": ids["night"],
        f"blocks.shop-{shop.word}": ids["shop"],
        f"blocks.rules-{shop.word}": ids["rules"],
        f"tools.ring_{shop.word}": ids["tool"],
        f"folders.docs-{shop.word}": ids["folder"],
        f"archives.decisions-{shop.word}": ids["archive"],
        f"conversations.complaints-{shop.word}": ids["conversation"],
    }
    changed = {str(each.address): [f.path for f in each.fields_changed] for each in plan.changes if each.fields_changed}
    assert changed == {f"agents.clerk-{shop.word}": ["reasoning"]}  # which the server does not tell
    shop.apply()
    assert shop.plan().steps == ()
    assert shop.get(f"/v1/blocks/{ids['persona']}")["value"] == "I am the clerk. Ann buys bells."
    assert shop.get(f"/v1/blocks/{ids['shop']}")["value"] == "We sell bells, and whistles."
    assert len(shop.get("/v1/agents/", name=f"clerk-{shop.word}")) == 1
    assert len(shop.get("/v1/blocks/", label=f"shop-{shop.word}")) == 1


def test_a_new_fleet_is_valid_and_is_created(shop: Shop) -> None:
    file = shop.folder / "fleet.yaml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.lstrip().startswith("folders:")))
    shop.convert()
    assert load(shop.folder / "out", variables={"shop_key": "k"}, environ={}).warnings == ()
    shop.apply()
    assert shop.plan().steps == ()
    (clerk,) = shop.get("/v1/agents/", name=f"clerk-{shop.word}", include=["agent.blocks", "agent.tools"])
    assert clerk["system"] == "You are the clerk of a shop."
    assert {"persona", "prices", f"shop-{shop.word}", f"rules-{shop.word}"} == {
        each["label"] for each in clerk["blocks"]
    }
