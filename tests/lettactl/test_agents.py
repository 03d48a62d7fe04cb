"""The agents of lettactl to declarations: a table with a row for each field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.lettactl.fleet import Options
from lettaform.values import Ref

from .written import addresses, fleet, left, refused, text, values

PLAIN = {
    "description": "Answers customers.",
    "system": "You are the clerk.",
    "model": "openai/gpt-4o-mini",
    "context_window": 32000,
}
"""What the least agent declares."""
BUCKET = {"provider": "supabase", "bucket": "b", "path": "x"}
RING = (
    'def ring(times: int) -> str:\n    """Ring.\n\n    Args:\n        times (int): How often.\n    """\n    return ""\n'
)


def ref(address: str) -> Ref:
    return Ref(Address.parse(address))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"description": None, "tags": ["a", "b:c"]}, {"description": ..., "tags": ["a", "b:c"]}),
        ({"include_base_tools": False, "include_base_tool_rules": False},) * 2,
        ({"reasoning": True}, {"reasoning": True}),
        ({"compaction_settings": {"mode": "all", "clip_chars": 5}},) * 2,
        ({"embedding": "e/m"}, {"embedding": "e/m"}),
        (
            {"embedding_config": {"handle": "e/m", "embedding_chunk_size": 200}},
            {"embedding": "e/m", "embedding_chunk_size": 200},
        ),
        ({"llm_config": {"model": "a/b", "max_tokens": 9}}, {"model": "a/b", "max_tokens": 9, "context_window": ...}),
        ({"tools": ...}, {"tools": ["web_search", "fetch_webpage"]}),
        ({"tools": None}, {}),
        ({"tools": ["run_code", "memory", "run_code"]}, {"tools": ["run_code", "memory"]}),
        ({"system_prompt": {"from_bucket": BUCKET}}, {"system": ...}),
        ({"memory": {"mode": "blocks"}}, {}),
        (
            {"memory_blocks": [{"name": "a b", "value": "x", "limit": 9, "agent_owned": True}]},
            {"memory": {"a b": {"value": "x", "limit": 9}}},
        ),
        (
            {"memory_blocks": [{"name": "n", "description": "d", "value": "x", "agent_owned": False}]},
            {"memory": {"n": {"value": "x", "description": "d", "policy": {"value": "enforce"}}}},
        ),
        (
            {"memory_blocks": [{"name": "n", "limit": 9, "from_bucket": BUCKET, "agent_owned": False}]},
            {"memory": {"n": {"limit": 9}}},
        ),
    ],
)
def test_a_field_of_an_agent(given: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    found = values(fleet(tmp_path, given))
    assert found == {key: value for key, value in {**PLAIN, **expected}.items() if value is not ...}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"first_message": "Hello."}, ["first_message"]),
        ({"lettabot": {"channels": {}}}, ["lettabot"]),
        ({"system_prompt": {"from_bucket": BUCKET}}, ["system_prompt.from_bucket"]),
        ({"memory": {"mode": "memfs", "skills": [], "verify": {}}}, ["memory.skills", "memory.verify", "memory.mode"]),
        ({"memory_blocks": [{"name": "n", "value": "x", "version": "2"}]}, ["memory_blocks.n.version"]),
        ({"memory_blocks": [{"name": "n", "from_bucket": BUCKET, "agent_owned": False}]},
         ["memory_blocks.n.from_bucket", "memory_blocks.n.agent_owned"]),
        ({"embedding_config": {"handle": "e/m", "embedding_dim": 5}}, ["embedding_config.embedding_dim"]),
        ({"tools": [{"name": "memory", "source_code": "x"}]}, ["tools.memory.source_code"]),
        ({"tools": ["theirs"]}, ["tools.theirs"]),
        ({"tools": [{"name": "theirs", "from_bucket": BUCKET}]}, ["tools.0.from_bucket", "tools.theirs"]),
        ({"tools": ["tools/*"]}, ["tools.0: tools/*"]),
        ({"mcp_tools": [{"server": "docs"}]}, ["mcp_tools.0.tools"]),
        ({"mcp_tools": [{"server": "docs", "tools": "all"}]}, ["mcp_tools.0.tools"]),
        ({"mcp_tools": [{"server": "docs", "tools": ["s"]}]}, ["mcp_tools.0.server"]),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_named(given: dict[str, Any], what: list[str], tmp_path: Path) -> None:
    found = fleet(tmp_path, given)
    assert [each.what for each in found.left] == [f"agents.clerk.{each}" for each in what]
    assert all(each.place for each in found.left)


def test_tools(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    for name in ("ring", "_hidden"):
        (tmp_path / "tools" / f"{name}.py").write_text(RING)
    (tmp_path / "other.py").write_text(RING.replace("ring", "toll"))
    given = [
        "tools/*",
        "ring",
        {"name": "toll", "from_file": "other.py"},
        {"name": "x", "source_code": "y = 1"},
        "theirs",
    ]
    found = fleet(tmp_path, {"tools": given})
    assert addresses(found) == ["tools.ring", "tools.toll", "tools.x", "tools.theirs", "agents.clerk"]
    assert values(found)["tools"] == [ref(f"tools.{name}") for name in ("ring", "toll", "x", "theirs")]
    assert values(found, "tools.toll") == {"source": RING.replace("ring", "toll")}
    ring, *_, theirs, _ = found.declared.declarations
    assert (ring.name, ring.is_named) == ("ring", True)
    assert (dict(theirs.settings), theirs.is_named) == ({"external": True, "name": "theirs"}, False)


def test_tools_of_mcp_servers(tmp_path: Path) -> None:
    servers = [{"name": name, "type": "sse", "server_url": "https://x.example.com"} for name in ("a", "b")]
    given = [
        {"server": "a", "tools": ["find", "see"]},
        {"server": "b", "tools": ["find"]},
        {"server": "c", "tools": ["go"]},
    ]
    found = fleet(tmp_path, {"mcp_tools": given}, mcp_servers=servers)
    assert values(found)["tools"] == [ref("tools.find"), ref("tools.see"), ref("tools.go")]
    assert values(found, "tools.find") == {"mcp": ref("mcp_servers.a")}
    settings = {str(each.address): dict(each.settings) for each in found.declared.declarations}
    assert settings["mcp_servers.c"] == {"external": True, "name": "c"}
    assert (
        "agents.clerk.mcp_tools.1.tools: find",
        "the agent has another tool `find`, and a server has one of this name",
        None,
    ) in left(found)
    other = fleet(tmp_path, {"mcp_tools": [given[2], {**given[1], "server": "a"}]}, mcp_servers=servers)
    assert values(other)["tools"] == [ref("tools.go"), ref("tools.find")]


def test_folders_archive_and_conversations(tmp_path: Path) -> None:
    given = {
        "embedding": "e/m",
        "folders": [{"name": "own docs", "files": []}],
        "shared_folders": ["handbook"],
        "archives": [{"name": "decisions", "description": "d"}],
        "conversations": [{"summary": "Complaints!", "isolated_blocks": ["human"]}, {"summary": "complaints"}],
    }
    shared = [{"name": "handbook", "files": []}, {"name": "unused", "files": []}]
    found = fleet(tmp_path, given, shared_folders=shared)
    assert values(found)["folders"] == [ref("folders.own-docs"), ref("folders.handbook")]
    assert values(found, "folders.own-docs") == {"name": "own docs", "embedding": "e/m"}
    assert values(found, "archives.decisions") == {"description": "d", "embedding": "e/m"}
    assert values(found, "conversations.complaints") == {
        "summary": "Complaints!",
        "agent": ref("agents.clerk"),
        "isolated": ["human"],
    }
    assert values(found, "conversations.complaints-2") == {"summary": "complaints", "agent": ref("agents.clerk")}
    assert [what for what, _, _ in left(found)] == ["shared_folders.unused"]


def test_a_folder_needs_an_embedding_model_and_the_option_gives_one(tmp_path: Path) -> None:
    content = (
        "agents: [{name: a, system_prompt: {value: x}, llm_config: {model: b, max_tokens: 5},"
        " folders: [{name: docs, files: []}], archives: [{name: z, embedding: old/one}]}]"
    )
    assert [each.partition(" ")[2].partition(":")[0] for each in refused(tmp_path, content)] == [
        "agents.a.llm_config.model",
        "agents.a.folders.docs",
    ]
    found = text(tmp_path, content, options=Options("c/d", "e/m"))
    assert values(found, "agents.a")["model"] == "c/d"
    assert "max_tokens" not in values(found, "agents.a")
    assert {values(found, address)["embedding"] for address in ("agents.a", "folders.docs", "archives.z")} == {"e/m"}
