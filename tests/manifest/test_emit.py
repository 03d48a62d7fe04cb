"""Declarations to the files of a project: what stands where, and that it loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.manifest import load
from lettaform.manifest.declare import Declaration
from lettaform.manifest.emit import APART, MANIFEST, SECTIONS, emit
from lettaform.manifest.emit_text import Raw
from lettaform.manifest.hidden import Hidden
from lettaform.values import Ref

MODELS = {"model": "letta/letta-free", "embedding": "letta/letta-free"}


def agent(key: str, **values: Any) -> Declaration:
    return Declaration("agent", key, {**MODELS, **values}, id=f"agent-{key}", name=key)


def written(*declarations: Declaration, hidden: Hidden | None = None, **how: bool) -> dict[str, str]:
    return dict(emit("s", declarations, hidden or Hidden(), **how).files)


def test_every_section_has_its_place() -> None:
    assert sorted(SECTIONS) == sorted(kind.section for kind in kinds().values())


def test_what_is_written_loads(tmp_path: Path) -> None:
    hidden = Hidden()
    secrets = hidden.field("secrets", {"KEY": "x"}, "a", "agents.a: secrets")
    text = "You lead.\n" * 30
    shared = Declaration("block", "rules", {"value": "Be kind."}, id="block-1", name="rules")
    found = written(
        shared,
        agent("a", system=text, secrets=secrets, blocks=[Ref(Address.parse("blocks.rules"))], memory={"x/y": text}),
        agent("b", system="Short.", memory={"z": {"value": "1", "limit": 5}}),
        hidden=hidden,
    )
    for path, content in found.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    manifest = load(tmp_path, variables={"key": "x"})
    values = {str(address): desired.values for address, desired in manifest.objects.items()}
    assert values["agents.a"]["system"] == text
    assert values['agents.a.memory["x/y"]']["value"] == text
    assert values["agents.b.memory.z"]["limit"] == 5
    assert {str(each.address): each.id for each in manifest.imports} == {
        "agents.a": "agent-a",
        "agents.b": "agent-b",
        "blocks.rules": "block-1",
    }
    assert sorted(path for path in found if path.startswith("prompts/")) == ["prompts/a.md"]


def test_equal_texts_are_one_file_and_names_of_files_are_each_taken_once() -> None:
    text, other = "x\n" * 30, "y\n" * 30
    same = [agent("a", system=text), agent("c", system=text)]
    found = written(*same, agent("b", system=other), agent("B-2", system=other + "z"))
    prompts = {path: content for path, content in found.items() if path.startswith("prompts/")}
    assert prompts == {"prompts/a.md": text, "prompts/b.md": other, "prompts/B-2.md": other + "z"}


@pytest.mark.parametrize("text", ["\ufeffx\n" * 30, "a\x00b\n" * 30])
def test_a_text_that_no_file_can_hold_stays_in_the_manifest(text: str) -> None:
    assert not [path for path in written(agent("a", system=text)) if path.startswith("prompts/")]


def test_a_large_section_is_a_file_of_its_own() -> None:
    found = written(*(agent(f"x{number}a", description=f"d{number}") for number in range(APART)))
    assert "agents.yaml" in found
    assert "agents:" not in found[MANIFEST].split("defaults:")[0]
    assert "include: [agents.yaml, imports.yaml]" in found[MANIFEST]


def test_a_common_prompt_of_a_row_is_named_after_the_row() -> None:
    text = "You help.\n" * 30
    workers = [agent(f"w-{each}", system=text, description=f"For {each}.") for each in ("a", "b", "c")]
    assert "system: !file prompts/agents.md" in written(*workers)[MANIFEST].split("agents:\n  w:")[0]
    found = written(*workers, agent("boss"))
    assert "system: !file prompts/w.md" in found[MANIFEST]
    assert found["prompts/w.md"] == text
    assert 'description: "For ${each.key}."' in found[MANIFEST]


def test_prompts_of_a_row_that_differ_are_files_named_by_the_key() -> None:
    found = written(*(agent(f"w-{each}", system=each * 500) for each in ("a", "b", "c")))
    assert 'system: !file "prompts/w-${each.key}.md"' in found[MANIFEST]
    assert found["prompts/w-b.md"] == "b" * 500


def test_the_same_declarations_give_the_same_bytes() -> None:
    every = [agent(f"w-{each}", tags=[each], metadata={"x": Raw("${stack}")}) for each in ("a", "b", "c")]
    assert written(*every) == written(*every)
    assert written(*every, fold=False)[MANIFEST] != written(*every)[MANIFEST]
