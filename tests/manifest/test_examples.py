"""Every example is valid and needs no input."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform.address import Address
from lettaform.manifest import load
from lettaform.values import Ref

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in EXAMPLES.glob("*/lettaform.yaml")), ids=lambda p: p.name
)
def test_is_valid_without_input(folder: Path) -> None:
    manifest = load(folder, environ={})
    assert manifest.objects
    assert manifest.warnings == ()
    assert (folder / "README.md").is_file()


def test_shared_memory_is_shared() -> None:
    manifest = load(EXAMPLES / "shared-memory", environ={})
    agents = [desired for desired in manifest.objects.values() if desired.kind == "agent"]
    assert len(agents) == 3
    assert all(agent.values["blocks"] == [Ref(Address.of("blocks", "organization"))] for agent in agents)
    assert "secret" not in str(manifest.outputs)


def test_tool_rules_refer_to_the_functions() -> None:
    values = load(EXAMPLES / "tools", environ={}).objects[Address.of("agents", "meteorologist")].values
    assert [rule["tool_name"] for rule in values["tool_rules"]] == ["convert_temperature", "advise_clothes"]
