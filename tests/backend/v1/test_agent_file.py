"""The parts of an agent file to objects, as if a server had answered them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lettaform.backend.v1.agent_file import claimed, listing
from lettaform.backend.v1.models import settings
from lettaform.model import Live
from lettaform.snapshot.agent_file_read import read
from tests.snapshot.agent_files import CLERK, OLDER, TEAM


def objects(content: bytes) -> dict[str, Live]:
    """Kind and name to object."""
    found = listing(read(content, "a.af").body)
    return {f"{live.kind} {live.name}": live for every in found.objects.values() for live in every}


def test_an_agent_has_the_values_of_its_file() -> None:
    agent = objects(CLERK.read_bytes())["agent clerk"]
    assert agent.values["model"] == "openai/gpt-4o-mini"
    assert agent.values["embedding"] == "letta/letta-free"
    assert agent.values["context_window"] == 32000
    assert agent.values["model_settings"]["temperature"] == 0.3
    assert agent.values["secrets"].keys() == {"SHOP_KEY"}
    assert (agent.values["tags"], agent.values["metadata"]) == (["shop"], {"team": "a"})
    assert (agent.stack, agent.address, agent.marked) == (None, None, False)
    assert agent.values["include_base_tools"] is None


def test_handles_of_older_files_are_made_of_their_parts() -> None:
    agent = objects(OLDER.read_bytes())["agent old timer"]
    assert (agent.values["model"], agent.values["embedding"]) == ("openai/gpt-4o-mini", "openai/text-embedding-ada-002")


def test_relations_of_a_team() -> None:
    found = objects(TEAM.read_bytes())
    lead = found["agent lead"]
    assert lead.values["sleeptime"] is True
    assert lead.discovered["agent"] == ("agent-2",)
    assert lead.ids("folders") == ["source-0"]
    assert found["tool search_web"].values["mcp"] == "mcp_server-0"
    assert found["mcp_server finder"].values["type"] == "streamable_http"
    assert found["group The team."].values["agents"] == ["agent-0", "agent-1"]
    files = found["folder docs"].values["files"]
    assert [(each.name, each.body.get("text")) for each in files] == [
        ("prices.md", "# Prices\n\nA bell costs 9.\n"),
        ("plan.pdf", None),
    ]


def test_a_tool_of_an_mcp_server_that_the_file_lacks_has_none() -> None:
    body = json.loads(TEAM.read_text())
    body["mcp_servers"] = []
    assert objects(json.dumps(body).encode())["tool search_web"].values["mcp"] is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_endpoint_type": "openai", "temperature": 0.2}, {"provider_type": "openai", "temperature": 0.2}),
        (
            {"model_endpoint_type": "openai", "reasoning_effort": "low"},
            {"provider_type": "openai", "reasoning": {"reasoning_effort": "low"}},
        ),
        (
            {"model_endpoint_type": "minimax", "enable_reasoner": True, "max_reasoning_tokens": 2048, "effort": "high"},
            {"provider_type": "anthropic", "effort": "high", "thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        (
            {"model_endpoint_type": "zai", "enable_reasoner": False, "max_reasoning_tokens": 0},
            {"provider_type": "zai", "thinking": {"type": "disabled"}},
        ),
        (
            {"model_endpoint_type": "google_ai", "max_reasoning_tokens": 0},
            {"provider_type": "google_ai", "thinking_config": {"include_thoughts": False, "thinking_budget": 1024}},
        ),
        ({"model_endpoint_type": "groq", "temperature": None}, {"provider_type": "groq"}),
        ({"model_endpoint_type": "ollama", "temperature": 0.2}, None),
        ({}, None),
    ],
)
def test_settings_of_a_provider(config: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert settings(config) == expected


def test_a_claim_is_added_to_the_tags() -> None:
    file = {"agents": [{"id": "agent-0", "tags": ["a"]}], "blocks": []}
    assert claimed(file, ["c"])["agents"][0]["tags"] == ["a", "c"]
    assert claimed({"agents": [{"id": "agent-0"}]}, ["c"])["agents"][0]["tags"] == ["c"]
