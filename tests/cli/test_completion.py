"""What the shells complete, asked as they ask; on a stand-in of nothing: no request is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lettaform.cli import cli
from lettaform.cli.completion import addresses, addresses_of_snapshot, addresses_or_files, agents, archives

from .test_shell import everything

MANIFEST = """
stack: support
environments:
  dev: {agents: {tester: {}}}
  prod: {}
variables: {token: {secret: true}}
checks: {greets: {agent: supervisor, say: Hello}}
include: [more/*.yaml]
agents:
  supervisor: {memory: {human: {value: x}}, secrets: {T: "${var.token}"}}
  worker: {for_each: [emea, "v1.2", 東京]}
"""
ROOT = Path(__file__).parents[2]
WORKERS = [f"agents.worker{each}" for each in ("", '["v1.2"]', '["東京"]', "[emea]")]
MORE = "blocks: {policies: {value: x}}\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "more").mkdir(parents=True)
    (folder / "lettaform.yaml").write_text(MANIFEST)
    (folder / "more" / "blocks.yaml").write_text(MORE)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LETTAFORM_HOME", str(tmp_path / "home"))
    return folder


def complete(line: str, shell: str = "zsh") -> list[str]:
    """The words that a shell gets for the last word of a line. Types and help texts are left out."""
    words = line.split(" ")
    place = str(len(words) - 1)
    if shell == "fish":
        asked = {"COMP_WORDS": line, "COMP_CWORD": words[-1]}
    else:
        asked = {"COMP_WORDS": line, "COMP_CWORD": place}
    asked["_LETTAFORM_COMPLETE"] = f"{shell}_complete"
    done = CliRunner().invoke(cli, [], prog_name="lettaform", env=asked)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if shell == "zsh":
        return [value for kind, value in zip(lines[::3], lines[1::3], strict=False) if kind == "plain"]
    return [each.partition(",")[2].partition("\t")[0] for each in lines if each.startswith("plain,")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("lettaform pl", ["plan"]),
        ("lettaform state m", ["mv"]),
        ("lettaform plan --det", ["--detailed-exitcode"]),
        ("lettaform -e ", ["dev", "prod"]),
        ("lettaform plan -e p", ["prod"]),
        ("lettaform --environment=dev pla", ["plan"]),
        ("lettaform show agents.s", ["agents.supervisor"]),
        ("lettaform show agents.supervisor.", ["agents.supervisor.memory.human"]),
        (
            "lettaform plan --target agents.w",
            WORKERS,
        ),
        ("lettaform plan --target=b", ["blocks.policies"]),
        ("lettaform apply --allow-destroy agents.worker[e", ["agents.worker[emea]"]),
        ("lettaform destroy --exclude b", ["blocks.policies"]),
        ("lettaform -e dev status agents.t", ["agents.tester"]),
        ("lettaform status agents.t", []),
        (
            "lettaform export ",
            ["agents.supervisor", *WORKERS],
        ),
        ("lettaform restore latest --as ", ["support"]),
        ("lettaform state mv agents.supervisor b", ["blocks.policies"]),
        ("lettaform graph --format m", ["mermaid"]),
        ("lettaform check g", ["greets"]),
    ],
)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_words_are_completed(shell: str, line: str, found: list[str]) -> None:
    assert complete(line, shell) == found


def test_every_address_is_completed() -> None:
    functions = {addresses, addresses_of_snapshot, addresses_or_files, agents, archives}
    missing = []
    for path, command in everything(cli):
        for each in command.params:
            words = str(each.metavar or each.name)
            takes = (
                ("ADDRESS" in words and words != "NEW_ADDRESS")
                or "PATTERN" in words
                or words in ("address", "old", "new")
            )
            if (
                takes
                and each.name != "match"
                and each._custom_shell_complete not in functions
                and "SNAPSHOT" not in words
            ):
                missing.append(f"{path} {each.name}")
    assert missing == []


def test_files_and_folders_are_left_to_the_shell() -> None:
    for line, kind in (("lettaform -f ", "file"), ("lettaform -C ", "dir"), ("lettaform show x", "file")):
        asked = {"_LETTAFORM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        assert CliRunner().invoke(cli, [], prog_name="lettaform", env=asked).stdout.startswith(f"{kind},"), line


@pytest.mark.parametrize(
    "text",
    ["", "agents: [", "stack: 5\nagents: {a: 1, b: {for_each: 3}}", "include: [missing.yaml]", "\0", "a: &a [*a]"],
)
def test_a_broken_manifest_is_quiet(text: str, project: Path) -> None:
    (project / "lettaform.yaml").write_text(text)
    complete("lettaform show agents.")
    complete("lettaform -e ")


def test_what_can_be_read_of_a_manifest_with_problems_is_completed(project: Path) -> None:
    (project / "lettaform.yaml").write_text("stack: s\nagents: {clerk: {modle: x, blocks: [missing]}}\n")
    assert complete("lettaform show agents.") == ["agents.clerk"]


def test_a_change_of_the_manifest_is_seen_at_once(project: Path, tmp_path: Path) -> None:
    assert complete("lettaform show blocks.") == ["blocks.policies"]
    (kept,) = (tmp_path / "home" / "completion").glob("*.json")
    assert json.loads(kept.read_text())["stack"] == "support"
    (project / "more" / "new.yaml").write_text("blocks: {rules: {value: x}}\n")
    assert complete("lettaform show blocks.") == ["blocks.policies", "blocks.rules"]
    (project / "more" / "blocks.yaml").write_text("blocks: {laws: {value: x}}\n")
    assert complete("lettaform show blocks.") == ["blocks.laws", "blocks.rules"]
    kept.write_text("[")
    assert complete("lettaform show blocks.") == ["blocks.laws", "blocks.rules"]


def test_control_characters_are_never_completed(project: Path) -> None:
    (project / "lettaform.yaml").write_text('stack: s\nagents: {"a\\e[2J": {}, b: {}}\n')
    assert complete("lettaform show agents") == ["agents.b", 'agents["a\\u001b[2J"]']


BASH = """
eval "$(lettaform completion bash)"
ask() {
  COMPREPLY=(); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lettaform_completion lettaform
  printf '%s\\n' "${COMPREPLY[@]}"
}
"""


def as_bash_calls(folder: Path) -> dict[str, str]:
    """The environment in which bash finds a program `lettaform`."""
    program = folder / "bin" / "lettaform"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lettaform "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def test_bash_gets_words_that_it_takes_as_they_are(tmp_path: Path) -> None:
    script = f"{BASH}ask lettaform show agents.worker\nask lettaform show 'agents.worker[\\\"v'\n"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=as_bash_calls(tmp_path), timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "agents.worker",
        'agents.worker[\\"v1.2\\"]',
        'agents.worker[\\"東京\\"]',
        "agents.worker[emea]",
        'agents.worker[\\"v1.2\\"]',
    ]


def test_a_second_tab_does_not_load_the_manifest_again() -> None:
    complete("lettaform show agents.")
    script = (
        "import sys\nfrom lettaform.cli import cli\n"
        "try: cli.main([], prog_name='lettaform')\nexcept SystemExit: pass\n"
        "slow = ('pydantic', 'httpx', 'yaml', 'rich', 'lettaform.flow')\n"
        "print([each for each in slow if each in sys.modules], file=sys.stderr)"
    )
    asked = {"_LETTAFORM_COMPLETE": "zsh_complete", "COMP_WORDS": "lettaform show agents.", "COMP_CWORD": "2"}
    started = time.monotonic()
    asked = {**os.environ, **asked, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=asked)
    assert "agents.supervisor" in done.stdout
    assert done.stderr.strip() == "[]"
    assert time.monotonic() - started < 5


def test_completion_functions_take_a_context_without_options() -> None:
    found = addresses(click.Context(cli), cli.params[0], "agents.s")
    assert [each.value for each in found] == ["agents.supervisor"]
