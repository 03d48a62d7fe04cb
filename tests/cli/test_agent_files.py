"""`from-af`, `import --af` and `export`: arguments to calls, results to text and JSON."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from lettaform.address import Address
from lettaform.errors import AgentFileError, Place, Problem
from lettaform.model import AgentImport, Imported, NotDeclared

from .conftest import Flow, Run

WRITTEN = Imported(
    "clerk", "out", ("lettaform.yaml",), {"agents": 1}, {"agents": 1}, {}, (NotDeclared("skill `s`", "no"),), {}, {}
)
CREATED = AgentImport(
    Address.parse("agents.clerk"),
    "clerk\x1b",
    "clerk.af",
    messages=2,
    own=("persona",),
    bound={"human": Address.parse("blocks.human")},
    tools=("look_up",),
    left=(NotDeclared("folder `docs`", "later"),),
)


# --- from-af ---------------------------------------------------------------------------------------------------------


def test_the_options_of_from_af(run: Run, flow: Flow, tmp_path: Path) -> None:
    assert run("from-af", "a.af", "b.af", "-o", "out").exit_code == 0
    _, paths, folder, options, stack, fold = flow.calls[0]
    assert (paths, folder, stack, fold) == ([Path("a.af"), Path("b.af")], Path("out"), None, True)
    assert (options.model, options.embedding, options.every_block, options.allow_secrets) == (None, None, False, False)
    line = ["--stack", "s", "--model", "a/b", "--embedding", "c/d", "--every-block", "--allow-secrets", "--no-fold"]
    assert run("-C", str(tmp_path), "from-af", "a.af", "-o", "out", *line).exit_code == 0
    _, paths, folder, options, stack, fold = flow.calls[1]
    assert (paths, folder, stack, fold) == ([tmp_path / "a.af"], tmp_path / "out", "s", False)
    assert (options.model, options.embedding, options.every_block, options.allow_secrets) == ("a/b", "c/d", True, True)


def test_what_from_af_wrote(run: Run, flow: Flow) -> None:
    flow.imported = WRITTEN
    assert run("from-af", "a.af", "-o", "out").stdout == (
        "Wrote 1 file to out: stack `clerk`.\n"
        "  agents: 1\n"
        "Not declared:\n"
        "  skill `s`: no\n"
        "Next: `lettaform apply -C out` creates the objects.\n"
    )
    shown = json.loads(run("from-af", "a.af", "-o", "out", "--json").stdout)
    assert (shown["stack"], shown["not_declared"]) == ("clerk", [{"what": "skill `s`", "reason": "no"}])


@pytest.mark.parametrize("line", [["-o", "out"], ["a.af"]])
def test_from_af_needs_files_and_a_folder(line: list[str], run: Run, flow: Flow) -> None:
    assert run("from-af", *line).exit_code == 1
    assert flow.calls == []


def test_problems_of_a_file_are_shown_with_their_lines(run: Run, flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "a.af"
    file.write_text('{"agents": []}')
    problem = Problem("agents: is empty", Place(str(file), 1, 12))
    flow.raises = AgentFileError("a.af is not a valid agent file", "`lettaform schema agent-file`", (problem,))
    result = run("from-af", str(file), "-o", "out")
    assert result.exit_code == 1
    assert '1 │ {"agents": []}' in result.stderr
    assert f"{file}:1:12" in result.stderr
    shown = json.loads(run("from-af", str(file), "-o", "out", "--json").stdout)
    assert shown["problems"][0]["message"] == "agents: is empty"


# --- import --af -----------------------------------------------------------------------------------------------------


def test_an_import_is_shown_and_asks(run: Run, flow: Flow) -> None:
    flow.created = CREATED
    result = run("import", "--af", "clerk.af", "--as", "agents.clerk", "--bind", "human")
    assert result.exit_code == 1
    assert flow.calls[0][3:] == (Path("clerk.af"), "agents.clerk", ("human",))
    assert result.stdout == (
        "agents.clerk: an agent `clerk␛` from clerk.af\n"
        "  + 2 messages\n"
        "  + block persona\n"
        "  = block human: blocks.human, which exists\n"
        "  = tool look_up\n"
        "Left out:\n"
        "  folder `docs`: later\n"
    )
    assert "lettaform import -y --af clerk.af --as agents.clerk --bind human" in result.stderr
    assert flow.consents == [False]


def test_with_yes_the_agent_is_created(run: Run, flow: Flow) -> None:
    flow.created = CREATED
    result = run("import", "--af", "clerk.af", "--as", "agents.clerk", "-y")
    assert result.exit_code == 0
    assert result.stdout.endswith("Created and adopted agents.clerk: agent-1. `lettaform plan` shows what differs.\n")
    shown = json.loads(run("import", "--af", "clerk.af", "--as", "agents.clerk", "-y", "--json").stdout)
    assert (shown["id"], shown["messages"], shown["shared_blocks"]) == ("agent-1", 2, {"human": "blocks.human"})
    assert shown["left_out"] == [{"what": "folder `docs`", "reason": "later"}]


def test_an_import_that_was_begun_is_continued(run: Run, flow: Flow) -> None:
    flow.created = AgentImport(Address.parse("agents.a"), "a", "a.af", "agent-1", begun=True)
    assert "continues the import that created agent-1" in run("import", "--af", "a.af", "--as", "agents.a", "-y").stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--af", "a.af"], "expected --as ADDRESS"),
        (["--as", "agents.a"], "expected --af FILE"),
        (["--bind", "human"], "expected --af FILE"),
        (["agents.a", "agent-1", "-y"], "expected --af FILE"),
        (["--af", "a.af", "--as", "agents.a", "--all"], "takes no other object"),
        (["agents.a", "agent-1", "--af", "a.af", "--as", "agents.a"], "takes no other object"),
        (["--af", "a.af", "--as", "agents.a", "-o", "out"], "takes no other object"),
        (["--af", "a.af", "--as", "agents.a", "--json"], "--json cannot ask for confirmation; add -y"),
    ],
)
def test_arguments_of_an_import_that_is_none_are_errors(line: list[str], message: str, run: Run, flow: Flow) -> None:
    result = run("import", *line)
    assert result.exit_code == 1
    assert message in result.output
    assert flow.calls == []


# --- export ----------------------------------------------------------------------------------------------------------


def test_an_export_is_printed_and_what_it_lacks_goes_to_stderr(run: Run, flow: Flow) -> None:
    result = run("export", "agents.clerk")
    assert result.exit_code == 0
    assert flow.calls[0][3] == "agents.clerk"
    assert json.loads(result.stdout) == {"agents": [{"name": "clerk"}], "n": "é"}
    assert result.stderr == "Not in the file: its `hidden`␛\n"


def test_an_export_is_written_for_its_owner_alone(run: Run, flow: Flow, tmp_path: Path) -> None:
    result = run("-C", str(tmp_path), "export", "agent-1", "-o", "sub/clerk.af")
    path = tmp_path / "sub" / "clerk.af"
    assert result.stdout == f"Wrote {path}: agent `clerk`.\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text(encoding="utf-8"))["n"] == "é"
    shown = json.loads(run("-C", str(tmp_path), "export", "agent-1", "-o", "b.af", "--json").stdout)
    assert shown == {"path": str(tmp_path / "b.af"), "agent": "clerk", "not_in_file": ["its `hidden`\x1b"]}


def test_an_export_that_cannot_be_written_is_an_error(run: Run, flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("-C", str(tmp_path), "export", "agent-1", "-o", "file/clerk.af")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
