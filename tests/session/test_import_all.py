"""What is proved before a folder is put in place; `tests/standin/test_import_all.py` has whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform.address import Address
from lettaform.errors import PlanError
from lettaform.manifest import load
from lettaform.session.import_all import _says_the_same, check_folder

at = Address.parse
MODELS = "model: letta/letta-free, embedding: letta/letta-free"


def manifest(folder: Path, name: str, text: str) -> object:
    (folder / name).mkdir()
    (folder / name / "lettaform.yaml").write_text(f"stack: s\n{text}")
    return load(folder / name)


FLAT = f"""
agents:
  w-a: {{{MODELS}, memory: {{role: I am a.}}, sleeptime: true}}
  w-b: {{{MODELS}, memory: {{role: I am b.}}, sleeptime: true}}
conversations: {{talk: {{agent: w-a}}}}
imports: [{{to: agents.w-a, id: agent-1}}]
"""
SAME = f"""
defaults: {{agents: {{{MODELS}}}}}
agents: {{w: {{for_each: [a, b], memory: {{role: "I am ${{each.key}}."}}, sleeptime: true}}}}
conversations: {{talk: {{agent: "w[a]"}}}}
imports: [{{to: "agents.w[a]", id: agent-1}}]
"""
ADDRESSES = {
    at("agents.w-a"): at("agents.w[a]"),
    at("agents.w-b"): at("agents.w[b]"),
    at("conversations.talk"): at("conversations.talk"),
}


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("", "", True),
        ("I am ${each.key}.", "I was ${each.key}.", False),
        ("w[a]", "w[b]", False),
        ("id: agent-1", "id: agent-2", False),
        ("sleeptime: true}", "}", False),
        ("role:", "part:", False),
        ("sleeptime: true", "sleeptime: true, policy: {name: ignore}", False),
        ("sleeptime: true", "sleeptime: true, lifecycle: {prevent_destroy: true}", False),
    ],
)
def test_a_short_form_must_say_the_same(old: str, new: str, same: bool, tmp_path: Path) -> None:
    flat = manifest(tmp_path, "flat", FLAT)
    short = manifest(tmp_path, "short", SAME.replace(old, new, 1) if old else SAME)
    assert _says_the_same(flat, short, ADDRESSES) is same  # type: ignore[arg-type]


def test_a_folder_must_be_free(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / "file").write_text("")
    for each in (tmp_path, tmp_path / "file"):
        with pytest.raises(PlanError, match="is not an empty folder"):
            check_folder(each)
