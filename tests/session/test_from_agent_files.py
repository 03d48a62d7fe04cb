"""Agent files to a manifest: what a person would have written, whole or not at all, and what is left out is named."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import AgentFileError, PlanError
from lettaform.manifest import load
from lettaform.manifest.secret_shapes import find
from lettaform.model import Imported
from lettaform.session.from_agent_files import from_agent_files, read_all
from lettaform.snapshot.agent_files import Options
from tests.snapshot.agent_files import CLERK, OLDER, TEAM, TWICE, changed


def declared(folder: Path, *paths: Path, **options: Any) -> Imported:
    more = {key: options.pop(key) for key in ("stack", "fold") if key in options}
    return asyncio.run(from_agent_files(paths, folder, Options(**options), **more))


def texts(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): each.read_text() for each in sorted(folder.rglob("*")) if each.is_file()}


def test_a_manifest_as_a_person_writes_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    declared(out, CLERK)
    assert (out / "lettaform.yaml").read_text() == (
        "stack: clerk\n"
        "\n"
        "variables:\n"
        '  shop_key: {secret: true, description: "Of agents.clerk: secrets.SHOP_KEY."}\n'
        "\n"
        "tools:\n"
        "  look_up: {source: tools/look_up.py, tags: [shop]}\n"
        "\n"
        "  plan: {source: tools/plan.py, json_schema: !json tools/plan.json}\n"
        "\n"
        "agents:\n"
        "  clerk:\n"
        "    description: Answers customers.\n"
        "    model: openai/gpt-4o-mini\n"
        "    embedding: letta/letta-free\n"
        "    system: !file prompts/clerk.md\n"
        "    memory:\n"
        "      human: {value: Nobody yet., description: Who asks., limit: 20000}\n"
        "      persona: {value: I am the clerk., limit: 20000}\n"
        "    tools: [look_up, plan, conversation_search]\n"
        '    secrets: {SHOP_KEY: "${var.shop_key}"}\n'
        "    tags: [shop]\n"
        "    metadata: {team: a}\n"
        "    context_window: 32000\n"
        "    model_settings: {provider_type: openai, temperature: 0.3}\n"
        "    parallel_tool_calls: false\n"
        "    include_base_tools: false\n"
        "    include_base_tool_rules: false\n"
    )
    assert set(texts(out)) == {
        "lettaform.yaml",
        "prompts/clerk.md",
        "tools/look_up.py",
        "tools/plan.json",
        "tools/plan.py",
    }


def test_a_team_with_everything(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = declared(out, TEAM)
    manifest = load(out, variables={"finder_url": "k"}, environ={})
    objects = {str(address): desired.values for address, desired in manifest.objects.items()}
    assert objects["agents.lead"]["sleeptime"]
    assert [str(each.address) for each in objects["agents.lead"]["blocks"]] == ["blocks.shop"]
    assert objects["agents.helper.memory.persona"] | {"limit": 500} == objects["agents.helper.memory.persona"]
    assert (out / "folders" / "docs" / "prices.md").read_text() == "# Prices\n\nA bell costs 9.\n"
    assert found.variables == {"finder_url": "mcp_servers.finder: url"}
    assert not any("abcdef0123456789xyz" in text for text in texts(out).values())
    said = {each.what for each in found.not_declared}
    assert {"block `loose`", "block `lost`", "tool `gone_tool`", "skill `slack`", "folder `docs/plan.pdf`"} <= said
    assert found.objects == {"agents": 2, "blocks": 1, "folders": 1, "groups": 1, "mcp_servers": 1, "tools": 2}
    assert found.adopted == {}


def test_blocks_that_no_agent_has_are_declared_if_they_are_asked_for(tmp_path: Path) -> None:
    found = declared(tmp_path / "out", TEAM, every_block=True)
    assert found.objects["blocks"] == 3
    assert not any("loose" in each.what for each in found.not_declared)


def test_fifty_six_blocks_of_which_twenty_one_are_attached(tmp_path: Path) -> None:
    body = json.loads(CLERK.read_text())
    blocks = [{"id": f"block-{n}", "label": f"note_{n}", "value": f"Note {n}.", "limit": 5000} for n in range(56)]
    body["blocks"], body["agents"][0]["block_ids"] = blocks, [f"block-{n}" for n in range(0, 42, 2)]
    path = tmp_path / "many.af"
    path.write_text(json.dumps(json.dumps(body)))
    found = declared(tmp_path / "out", path)
    assert sum(each.what.startswith("block `") for each in found.not_declared) == 35
    objects = load(tmp_path / "out", variables={"shop_key": "k"}, environ={}).objects
    assert sum(address.field == "memory" for address in objects) == 21


def test_the_value_of_a_secret_is_in_no_file(tmp_path: Path) -> None:
    found = declared(tmp_path / "out", OLDER)
    assert list(found.variables) == ["old_key"]
    assert not any(find(text, {"the-old-value-4711": "it"}) for text in texts(tmp_path / "out").values())


def test_several_files_are_one_stack(tmp_path: Path) -> None:
    found = declared(tmp_path / "out", CLERK, TWICE, stack="shop", fold=False)
    assert (found.stack, found.objects) == ("shop", {"agents": 2, "tools": 2})


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        declared(tmp_path / name, TEAM, stack="s")
    assert texts(tmp_path / "a") == texts(tmp_path / "b")


def test_what_the_server_would_refuse_is_not_declared_and_named(tmp_path: Path) -> None:
    path = changed(CLERK, tmp_path, name="a/b", timezone="Nowhere/Never", agent_type="split_thread_agent")
    found = declared(tmp_path / "out", path)
    reasons = [each.reason.split(":")[0] for each in found.not_declared if each.what == "agents.a-b"]
    assert reasons == ["`agent_type` is not declared", "`name` is left as it is", "`timezone` is not declared"]
    assert load(tmp_path / "out", variables={"shop_key": "k"}, environ={})


def test_the_problems_of_all_files_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    for name in ("a.af", "b.af"):
        (tmp_path / name).write_text('{"agents": []}')
    with pytest.raises(AgentFileError, match="2 files are not valid") as refused:
        declared(tmp_path / "out", tmp_path / "a.af", CLERK, tmp_path / "b.af")
    assert [each.place.file for each in refused.value.problems if each.place] == [
        str(tmp_path / "a.af"),
        str(tmp_path / "b.af"),
    ]
    assert not (tmp_path / "out").exists()
    with pytest.raises(AgentFileError, match="cannot read"):
        read_all([tmp_path / "none.af"])


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="is not an empty folder"):
        declared(CLERK.parent, CLERK)
