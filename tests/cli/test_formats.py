"""--format and --out of `plan`, `apply`, `destroy` and `show PLAN`."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from lettaform import flow as real
from lettaform.cli.formats import FORMATS
from lettaform.model import Plan
from lettaform.plan.saved import approval
from lettaform.render import data, html, markdown, text

from .conftest import Flow, Run, a_plan

EVERY = ("json", "markdown", "html", "text")


@pytest.fixture
def everywhere(tmp_path: Path) -> list[str]:
    """--out with a file for each format."""
    return [word for form in EVERY for word in ("--out", f"{form}={tmp_path / form}")]


def expected(plan: Plan, form: str) -> str:
    return {
        "json": data.dumps(data.plan(plan), indent=2) + "\n",
        "markdown": markdown.plan(plan),
        "html": html.plan(plan),
        "text": text.plan(plan) + f"Digest: {approval(plan)}\n",
    }[form]


@pytest.mark.parametrize("form", FORMATS)
def test_a_plan_in_a_format(form: str, run: Run, flow: Flow) -> None:
    result = run("plan", "--format", form)
    assert (result.exit_code, result.stdout, result.stderr) == (0, expected(a_plan(), form), "")


def test_json_is_the_format_json(run: Run, flow: Flow) -> None:
    assert run("plan", "--json").stdout == run("plan", "--format", "json").stdout
    assert run("plan", "--json", "--format", "json").exit_code == 0


@pytest.mark.parametrize(
    "line", [["plan"], ["apply", "-y"], ["destroy", "-y"], ["plan", "--json"], ["apply", "--json", "-y"]]
)
def test_every_format_is_written_to_a_file(
    line: list[str], everywhere: list[str], run: Run, flow: Flow, tmp_path: Path
) -> None:
    without = run(*line)
    result = run(*line, *everywhere)
    assert result.exit_code == 0
    assert result.stdout == without.stdout
    for form in EVERY:
        assert (tmp_path / form).read_text(encoding="utf-8") == expected(a_plan(), form)
        assert stat.S_IMODE((tmp_path / form).stat().st_mode) == 0o600
    assert f"Wrote {', '.join(str(tmp_path / form) for form in EVERY)}.\n" in result.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(EVERY)


def test_files_and_a_saved_plan_are_independent(run: Run, flow: Flow, tmp_path: Path) -> None:
    result = run("plan", "-o", str(tmp_path / "a"), "--out", f"markdown={tmp_path / 'b=c.md'}", "--format", "html")
    assert result.exit_code == 0
    assert (tmp_path / "a").read_text() == "saved"
    assert (tmp_path / "b=c.md").read_text().startswith("<!-- lettaform plan")
    assert result.stdout.startswith("<!DOCTYPE html>")


def test_a_file_that_exists_is_replaced_and_a_folder_is_made(run: Run, flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("before")
    assert (
        run("plan", "--out", f"markdown={tmp_path / 'plan.md'}", "--out", f"html={tmp_path / 'x' / 'y.html'}").exit_code
        == 0
    )
    assert "before" not in (tmp_path / "plan.md").read_text()
    assert (tmp_path / "x" / "y.html").exists()


@pytest.mark.parametrize("verb", ["apply", "destroy"])
@pytest.mark.parametrize("form", ["markdown", "html"])
def test_a_document_has_stdout_for_itself(verb: str, form: str, run: Run, flow: Flow) -> None:
    flow.destroys = True
    result = run(verb, "-y", "--format", form)
    assert (result.exit_code, result.stdout) == (0, expected(a_plan(), form))
    for part in ("+ agents.a", "Snapshot: ", "agents.a: created (agent-1)", "Applied: 1 created"):
        assert part in result.stderr
    flow.planned = a_plan(empty=True)
    assert "No changes" in run(verb, "--format", form).stdout


def test_a_document_is_printed_if_the_answer_is_no(run: Run, flow: Flow) -> None:
    result = run("apply", "--format", "markdown", "--out", "json=x.json")
    assert result.exit_code == 1
    assert result.stdout == markdown.plan(a_plan())
    assert "run `lettaform apply -y --format markdown --out json=x.json`" in result.stderr


def test_applying_in_json(run: Run, flow: Flow) -> None:
    assert run("apply", "-y", "--json").stdout == run("apply", "-y", "--format", "json").stdout
    assert "--json cannot ask" in run("apply", "--format", "json").stdout + run("apply", "--format", "json").stderr


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("project"))


# --- errors, before any request --------------------------------------------------------------------------------------


def refused(run: Run, flow: Flow, *line: str) -> str:
    """The message of a command that is refused before a request, and writes nothing."""
    result: Result = run(*line)
    assert (result.exit_code, result.stdout, flow.calls) == (1, "", [])
    assert [*Path().iterdir()] == []
    return result.stderr


@pytest.mark.parametrize("verb", ["plan", "apply", "destroy", "show"])
def test_everything_that_is_wrong_with_the_formats_is_named_at_once(verb: str, run: Run, flow: Flow) -> None:
    said = refused(run, flow, verb, "--out", "plan.md", "--out", "htm=x", "--out", "pdf=x", "--out", "json=")
    assert "--out expects FORMAT=FILE, for example markdown=plan.md, and not `plan.md`" in said
    assert ("`-o FILE` saves the plan" in said) is (verb == "plan")
    assert "unknown format `htm`; did you mean `html`?" in said
    assert "unknown format `pdf`; the formats are text, json, markdown, html" in said
    assert "and not `json=`" in said


def test_every_file_that_cannot_be_written_is_named_at_once(run: Run, flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    paths = (tmp_path, tmp_path / "file" / "x", "/dev/null", "x" * 300)
    out = [word for path in paths for word in ("--out", f"html={path}")]
    said = refused(run, flow, "plan", *out, "--out", "json=a", "--out", "text=./a", "-o", "a")
    for why in (
        f"{tmp_path}: it is a folder",
        f"{tmp_path / 'file'} is not a folder",
        "/dev/null: it is not a regular file",
        "File name too long",
        "a: it is the file of two outputs; a: it is the file of two outputs",
    ):
        assert why in said, why
    assert "choose another file; nothing was done" in said


def test_a_file_without_permission(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    assert "cannot write plan.md: permission denied" in refused(run, flow, "plan", "--out", "markdown=plan.md")


def test_a_file_that_cannot_be_written_after_all(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lettaform.session.files.write_text", full)
    result = run("apply", "-y", "--out", "html=x")
    assert (result.exit_code, flow.consents) == (1, [])
    assert "Error: cannot write x: No space left on device" in result.stderr


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_json_and_another_format_contradict(form: str, run: Run, flow: Flow) -> None:
    assert f"--json cannot be combined with --format {form}" in run("plan", "--json", "--format", form).stdout
    assert flow.calls == []


# --- a saved plan ----------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as `plan -o` writes it; it is read without a server."""
    real.save(replace(a_plan(), environment="prod"), path := tmp_path / "plan.json")
    monkeypatch.setattr("lettaform.flow.show_saved", real.show_saved, raising=False)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_a_saved_plan_in_a_format(form: str, saved: Path, run: Run, flow: Flow) -> None:
    result = run("show", str(saved), "--format", form, "--out", f"{form}=copy")
    assert (result.exit_code, flow.calls) == (0, [])
    assert result.stdout == Path("copy").read_text(encoding="utf-8")
    assert approval(replace(a_plan(), environment="prod")) in result.stdout
    if form != "json":
        assert result.stdout == expected(replace(a_plan(), environment="prod"), form)


def test_a_saved_plan_in_json(saved: Path, run: Run) -> None:
    result = run("show", str(saved), "--json")
    assert result.stdout == run("show", str(saved), "--format", "json").stdout
    assert json.loads(result.stdout) == data.plan(replace(a_plan(), environment="prod"))


@pytest.mark.parametrize("options", [["--format", "html"], ["--out", "json=x"]])
def test_live_objects_have_no_documents(options: list[str], run: Run, flow: Flow) -> None:
    assert "shows a saved plan\n  → `lettaform plan -o FILE` writes one" in refused(
        run, flow, "show", "agents.a", *options
    )


def test_live_objects_in_json(run: Run, flow: Flow) -> None:
    assert run("show", "--format", "json").stdout == run("show", "--json").stdout
