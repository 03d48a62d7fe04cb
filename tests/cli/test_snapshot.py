"""`lettaform snapshot`, and where apply and destroy write theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lettaform.errors import Problem, SnapshotError
from lettaform.model import Change, FieldChange
from tests.cli.conftest import Flow, Run, at


def test_create_prints_the_folder_and_what_it_holds(run: Run, flow: Flow) -> None:
    result = run("snapshot", "create", "-o", "kept")
    assert result.exit_code == 0
    assert result.stdout.startswith("kept/support-1\n")
    assert "objects  1 block" in result.stdout
    assert flow.calls[0][3] == Path("kept")
    assert json.loads(run("snapshot", "create", "--json").stdout)["path"] == "default/support-1"


def test_list_shows_each_and_names_what_is_none(run: Run) -> None:
    broken, whole = run("snapshot", "list").stdout.splitlines()
    assert broken.startswith("broken ")
    assert "it has no snapshot.json" in broken
    assert "2026-11-27 08:00:00  1 object  0 agent files  0 bytes  whole stack" in whole
    shown = json.loads(run("snapshot", "list", "--json", "--snapshot-dir", "kept").stdout)
    assert shown["directory"] == "kept"
    assert [each["name"] for each in shown["snapshots"]] == ["broken", "support-1"]
    assert shown["snapshots"][1]["stack"] == "support"


def test_show_prints_the_head_and_the_objects_or_the_values(run: Run) -> None:
    text = run("snapshot", "show", "support-1").stdout
    assert "everything that the stack owns" in text
    assert "blocks.team  block  block-1  team" in text
    assert 'value  "Ann"' in run("snapshot", "show", "support-1", "blocks.team").stdout
    assert json.loads(run("snapshot", "show", "support-1", "--json").stdout)["objects"][0]["id"] == "block-1"
    shown = json.loads(run("snapshot", "show", "support-1", "blocks.team", "--json").stdout)
    assert shown["objects"][0]["values"]["value"] == "Ann"


def test_verify_names_faults_and_exits_with_one(run: Run, flow: Flow) -> None:
    result = run("snapshot", "verify", "latest")
    assert (result.exit_code, result.stdout) == (0, "default/latest is whole and can be restored.\n")
    flow.problems = [Problem("a.pdf has no content", severity="warning")]
    assert run("snapshot", "verify", "latest").exit_code == 0
    flow.problems.append(Problem("001-ann.af: was changed", field="001-ann.af"))
    result = run("snapshot", "verify", "latest")
    assert result.exit_code == 1
    assert "Fault: 001-ann.af: was changed\nWarning: a.pdf has no content\n" in result.stdout
    shown = json.loads(run("snapshot", "verify", "latest", "--json").stdout)
    assert (shown["whole"], len(shown["problems"])) == (False, 2)


def test_diff_renders_changes_as_plans_do(run: Run, flow: Flow) -> None:
    assert run("snapshot", "diff", "one", "live").stdout == "No differences.\n"
    assert flow.calls[0][3:] == (Path("default/one"), None)
    fields = (FieldChange("value", "Ann\nBob\n", "Ann\n"),)
    flow.changes = (Change(at("blocks.team"), "block", "update", "block-1", fields_changed=fields),)
    result = run("snapshot", "diff", "one", "two")
    assert result.exit_code == 0
    assert "~ blocks.team\n" in result.stdout
    assert "- Bob" in result.stdout
    assert flow.calls[1][3:] == (Path("default/one"), Path("default/two"))
    assert run("snapshot", "diff", "one", "two", "--detailed-exitcode").exit_code == 2
    shown = json.loads(run("snapshot", "diff", "one", "two", "--json").stdout)
    assert shown["changes"][0]["fields"][0]["new"] == "Ann\n"


@pytest.mark.parametrize("verb", ["apply", "destroy"])
def test_the_path_is_printed_before_anything_is_deleted(run: Run, flow: Flow, verb: str) -> None:
    flow.destroys = True
    result = run(verb, "-y", "--snapshot-dir", "kept")
    assert result.exit_code == 0
    assert result.stdout.index("Snapshot: kept/support-1") < result.stdout.index("agents.a: ")
    lines = [json.loads(line) for line in run(verb, "-y", "--json").stdout.splitlines()]
    assert {"event": "snapshot", "path": "default/support-1"} in lines


def test_a_refused_question_repeats_the_folder(run: Run) -> None:
    assert "`lettaform destroy -y --snapshot-dir kept`" in run("destroy", "--snapshot-dir", "kept").stderr


def test_faults_of_a_snapshot_are_listed(run: Run, flow: Flow) -> None:
    flow.raises = SnapshotError(
        "the snapshot does not hold everything", "run it again", [Problem("blocks.team: changed")]
    )
    result = run("snapshot", "create")
    assert result.exit_code == 1
    assert "blocks.team: changed" in result.stderr


# --- messages that the server cannot list -----------------------------------------------------------------------------

LACKING = Problem(
    "blocks.team: a restore brings it back without its messages: 500\x1b", severity="warning", address="x"
)


@pytest.mark.parametrize(
    "verb",
    [
        ("destroy",),
        ("apply",),
        ("snapshot", "create"),
        ("restore", "support-1"),
        ("rollback",),
        ("migrate", "--from", "http://a", "--to", "http://b"),
    ],
    ids=lambda verb: verb[0],
)
def test_every_verb_that_takes_a_snapshot_takes_the_option_and_says_what_it_lacks(
    run: Run, flow: Flow, verb: tuple[str, ...]
) -> None:
    flow.destroys, flow.lacking = True, [LACKING]
    asked = [*verb, *(["-y"] * (verb[0] != "snapshot")), "--without-messages", "agents.a", "--without-messages", "b.*"]
    result = run(*asked)
    assert result.exit_code == 0, result.output
    options = flow.calls[0][3].without_messages if verb[0] in ("apply", "destroy") else flow.without_messages
    assert options == ("agents.a", "b.*")
    assert "Warning: blocks.team: a restore brings it back without its messages: 500" in result.stdout
    assert "\x1b" not in result.stdout
    shown = [json.loads(line) for line in run(*asked, "--json").stdout.splitlines()]
    assert shown[-1]["warnings"][0]["message"].startswith("blocks.team: a restore")
    if verb[0] != "snapshot":
        assert [each["event"] for each in shown if each["event"] in ("warning", "snapshot")] == ["warning", "snapshot"]
        assert "--without-messages agents.a --without-messages 'b.*'" in run(*(w for w in asked if w != "-y")).stderr


def test_the_option_is_given_to_plan_and_not_to_a_saved_plan(run: Run, flow: Flow, tmp_path: Path) -> None:
    assert run("plan", "--without-messages", "agents.a").exit_code == 0
    assert flow.calls[0][3].without_messages == ("agents.a",)
    (tmp_path / "plan.json").write_text("{}")
    refused = run("apply", str(tmp_path / "plan.json"), "--without-messages", "agents.a")
    assert "--without-messages cannot be combined with a saved plan; give it to `lettaform plan -o" in refused.stderr


def test_what_shows_a_snapshot_says_that_messages_are_lacking(run: Run, flow: Flow) -> None:
    flow.lacking = [LACKING]
    assert "1 without messages" in run("snapshot", "list").stdout
    assert json.loads(run("snapshot", "list", "--json").stdout)["snapshots"][1]["without_messages"] == ["blocks.team"]
    assert "without the messages of blocks.team: " in run("snapshot", "show", "support-1").stdout
    assert "without_messages" in json.loads(run("snapshot", "show", "support-1", "--json").stdout)["objects"][0]
    text = run("snapshot", "diff", "one", "two").stdout
    assert text == "Warning: x: its messages are not compared, because a snapshot lacks them\nNo differences.\n"
    assert json.loads(run("snapshot", "diff", "one", "two", "--json").stdout)["without_messages"] == ["x"]
