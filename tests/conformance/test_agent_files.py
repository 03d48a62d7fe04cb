"""Agent files: what an export keeps and loses, and what an import creates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.server_under_test import Server, source


def _one(server: Server) -> dict[str, Any]:
    tool = server.tool(tags=["tool-tag"])
    block = {"label": "l", "value": "v", "tags": ["block-tag"], "limit": 9, "description": "d", "hidden": True}
    fields = {"tags": ["t"], "metadata": {"a": 1}, "description": "d", "hidden": True, "timezone": "Europe/Berlin"}
    return server.agent(
        **fields,
        tool_ids=[tool["id"]],
        memory_blocks=[block],
        secrets={"A": "b"},
        compaction_settings={"clip_chars": 7},
        tool_rules=[{"type": "exit_loop", "tool_name": tool["name"]}],
        include_base_tool_rules=False,
    )


def _import(server: Server, file: Any, **form: str) -> dict[str, Any]:
    answer = server.ask("POST", "/v1/agents/import", files={"file": ("a.af", json.dumps(file))}, data=form)
    assert answer.status_code == 200, answer.text
    (id,) = answer.json()["agent_ids"]
    return dict(server.get(f"/v1/agents/{id}"))


def test_export_keeps_and_loses_fields(server: Server) -> None:
    agent = _one(server)
    file = server.get(f"/v1/agents/{agent['id']}/export")
    assert sorted(file) == sorted(
        ("agents", "groups", "blocks", "files", "sources", "tools", "mcp_servers", "skills", "metadata", "created_at")
    )
    (exported,), (block,), (tool,) = file["agents"], file["blocks"], file["tools"]
    assert (exported["block_ids"], exported["tool_ids"]) == ([block["id"]], [tool["id"]])
    kept = ("name", "system", "tags", "metadata", "description", "tool_rules", "llm_config", "agent_type", "timezone")
    assert {key: exported[key] for key in kept} == {key: agent[key] for key in kept}
    assert exported["secrets"] == {"A": ""}
    lost = ("compaction_settings", "hidden", "identity_ids", "model", "embedding", "model_settings", "project_id")
    assert {key: exported[key] for key in lost} == dict.fromkeys(lost)
    assert (block["label"], block["value"], block["limit"], block["tags"]) == ("l", "v", 9, None)
    assert (tool["name"], tool["tags"]) == (server.tool_name, ["tool-tag"])


def test_import_creates_a_copy(server: Server) -> None:
    agent = _one(server)
    file = server.get(f"/v1/agents/{agent['id']}/export")
    imported = _import(server, file)
    same = ("tags", "metadata", "description", "tool_rules", "system", "timezone")
    assert {key: imported[key] for key in same} == {key: agent[key] for key in same}
    assert (imported["name"], imported["hidden"]) == (f"{agent['name']}_copy", None)
    assert imported["compaction_settings"]["clip_chars"] == 50_000
    assert [each["value"] for each in imported["secrets"]] == ["<encrypted>"]
    assert [tool["id"] for tool in imported["tools"]] == [tool["id"] for tool in agent["tools"]]
    (block,) = imported["blocks"]
    assert block["id"] != agent["blocks"][0]["id"]
    block = server.get(f"/v1/blocks/{block['id']}")
    assert (block["value"], block["tags"], block["description"], block["hidden"]) == ("v", [], "d", None)


@pytest.mark.parametrize(
    ("form", "name", "secret"),
    [
        ({"append_copy_suffix": "false"}, "{tag}", "<encrypted>"),
        ({"name": "conf other"}, "conf other", "<encrypted>"),
        ({"secrets": '{"A": "new", "Z": "z"}'}, "{tag}_copy", "new"),
    ],
    ids=str,
)
def test_import_form_options(server: Server, form: dict[str, str], name: str, secret: str) -> None:
    file = server.get(f"/v1/agents/{_one(server)['id']}/export")
    imported = _import(server, file, **form)
    assert imported["name"] == name.replace("{tag}", server.tag)
    assert {each["key"]: each["value"] for each in imported["secrets"]} == {"A": secret}


@pytest.mark.parametrize("override", ["true", "false"])
def test_import_overwrites_tool_with_same_name(server: Server, override: str) -> None:
    file = server.get(f"/v1/agents/{_one(server)['id']}/export")
    file["tools"][0]["tags"] = ["from-file"]
    server.tool(source_code=source(server.tool_name, "Newer."), tags=["newer"])
    (tool,) = _import(server, file, override_existing_tools=override)["tools"]
    expected = (["from-file"], "Does it.") if override == "true" else (["newer"], "Newer.")
    assert (tool["tags"], tool["description"]) == expected


def test_import_of_inline_blocks_and_tools_by_name(server: Server) -> None:
    agent = _one(server)
    file = server.get(f"/v1/agents/{agent['id']}/export")
    inline = [{"label": "own", "value": "w", "limit": 7, "description": "e", "read_only": True}]
    (part,) = file["agents"]
    part |= {"tool_ids": [], "block_ids": [], "tools": [server.tool_name], "memory_blocks": inline}
    part |= {"secrets": {}, "tool_exec_environment_variables": {}}
    imported = _import(server, {**file, "tools": [], "blocks": []}, append_copy_suffix="false")
    assert [tool["id"] for tool in imported["tools"]] == [tool["id"] for tool in agent["tools"]]
    (block,) = imported["blocks"]
    assert {key: block[key] for key in inline[0]} == inline[0]
    assert imported["tags"] == agent["tags"]
    assert imported["secrets"] == []


def test_import_with_other_models(server: Server) -> None:
    file = server.get(f"/v1/agents/{_one(server)['id']}/export")
    (part,) = file["agents"]
    part |= {"llm_config": None, "embedding_config": None}
    imported = _import(server, file, model="letta/letta-free", embedding="letta/letta-free")
    assert (imported["llm_config"]["handle"], imported["embedding_config"]["handle"]) == ("letta/letta-free",) * 2
