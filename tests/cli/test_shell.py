from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lettaform import errors
from lettaform.cli import VERBS, GlobalOption, Globals, cli

from .conftest import VERBS as VERBS_OF_FLOW
from .conftest import Connection, Flow, Run, Source

# --- help ------------------------------------------------------------------------------------------------------------


def everything(command: click.Command, path: str = "lettaform") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None, name
            yield from everything(inner, f"{path} {name}")


def test_every_verb_and_option_has_a_help_text() -> None:
    silent = []
    for path, command in everything(cli):
        silent += [path] * (not command.help)
        silent += [
            f"{path} {option.opts[0]}"
            for option in command.params
            if isinstance(option, click.Option) and not option.help
        ]
    assert silent == []


@pytest.mark.parametrize("name", list(VERBS))
def test_the_help_of_each_verb(name: str, run: Run) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0, result.output
    assert f"Usage: {'cli' if result.output.startswith('Usage: cli') else 'lettaform'} {name}" in result.output


def test_help_lists_the_verbs_and_loads_none_of_them() -> None:
    script = (
        "import sys\nfrom lettaform.cli import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('pydantic','httpx','rich','yaml','deepdiff','jsonschema')"
        " or m.startswith('lettaform.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in VERBS)
    assert done.stderr.strip() == "['lettaform.errors', 'lettaform.cli']"


def test_python_dash_m() -> None:
    done = subprocess.run([sys.executable, "-m", "lettaform", "version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("lettaform ")


def test_an_unknown_verb_suggests_a_similar_one(run: Run) -> None:
    result = run("aply")
    assert result.exit_code == 1
    assert result.stderr == "Error: unknown verb `aply`\n  → did you mean `apply`?\n"
    assert run("--aply").exit_code == 1


@pytest.mark.parametrize("line", [[], ["dev"], ["state"], ["lock"], ["completion"]])
def test_a_command_without_a_verb_prints_its_help(line: list[str], run: Run) -> None:
    result = run(*line)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: cli {' '.join(line)}".rstrip())
    assert result.stdout == run(*line, "--help").stdout


def test_the_help_lists_every_exit_code_on_a_line_of_its_own(run: Run) -> None:
    codes = {error.exit_code for error, _ in CODES if isinstance(error, errors.LettaformError)}
    lines = run("--help").stdout.splitlines()
    listed = {int(line.split()[0]) for line in lines if line.strip()[:1].isdigit()}
    assert listed == codes | {0, 2, 4, 5, 130}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, run: Run) -> None:
    assert "_LETTAFORM_COMPLETE" in run("completion", shell).stdout


def test_the_fake_flow_is_like_the_real_one() -> None:
    from lettaform import flow as real

    for name in VERBS_OF_FLOW:
        ours = [name for name in inspect.signature(getattr(Flow, name)).parameters if name != "self"]
        theirs = inspect.signature(getattr(real, name)).parameters
        needed = {each.name for each in theirs.values() if each.default is inspect.Parameter.empty}
        assert needed <= set(ours) <= set(theirs), name
    for fake, true in ((Source, real.Source), (Connection, real.Connection)):
        assert {field.name for field in fields(fake)} <= {field.name for field in fields(true)}


# --- global options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
def test_global_options_are_accepted_before_and_after_the_verb(
    after: bool, run: Run, flow: Flow, tmp_path: Path
) -> None:
    options = ["-C", str(tmp_path), "-f", "a.yaml", "-f", "b.yaml", "-e", "prod", "--var", "x=1", "--var", "y=a=b"]
    options += ["--var-file", "v.yaml", "--server", "http://there", "--json", "-v", "--no-color", "--debug"]
    result = run(*(["plan", *options] if after else [*options, "plan"]))
    assert result.exit_code == 0, result.output
    ((_, source, connection, _),) = flow.calls
    assert source.directory == tmp_path
    assert source.files == (Path("a.yaml"), Path("b.yaml"))
    assert source.environment == "prod"
    assert source.variables == {"x": "1", "y": "a=b"}
    assert source.variable_files == (Path("v.yaml"),)
    assert connection.url == "http://there"
    assert json.loads(result.stdout)["stack"] == "support"
    assert "GET /v1/agents/ 200 0.1 s ␛[2J" in result.stderr


def test_options_after_the_verb_extend_and_override_those_before(run: Run, flow: Flow) -> None:
    run("--var", "x=1", "--var", "y=1", "-e", "test", "-f", "a", "plan", "--var", "x=2", "-e", "prod", "-f", "b")
    source = flow.calls[0][1]
    assert source.variables == {"x": "2", "y": "1"}
    assert source.environment == "prod"
    assert source.files == (Path("a"), Path("b"))


def test_without_global_options_the_defaults_hold(run: Run, flow: Flow) -> None:
    run("plan")
    _, source, connection, _ = flow.calls[0]
    assert (source.files, source.environment, dict(source.variables)) == ((), None, {})
    assert (connection.url, connection.token, connection.trace) == (None, None, None)


@pytest.mark.parametrize(
    "line", [["version", "--var", "x=1"], ["--var", "x=1", "version"], ["completion", "bash", "--json"]]
)
def test_a_global_option_that_has_no_effect_is_an_error(line: list[str], run: Run) -> None:
    assert run(*line).exit_code == 1


def test_a_variable_needs_a_value(run: Run, flow: Flow) -> None:
    result = run("plan", "--var", "x")
    assert result.exit_code == 1
    assert "NAME=VALUE" in result.stderr
    assert flow.calls == []


def test_the_repr_hides_variables() -> None:
    assert "hunter2" not in repr(Globals(variables={"key": "hunter2"}))


def test_every_global_option_is_accepted_by_some_verb() -> None:
    taken = {name for verb in VERBS.values() for name in verb.takes}
    assert {option.about for option in cli.params if isinstance(option, GlobalOption)} == taken


def test_colours_are_printed_only_on_a_terminal_that_supports_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from lettaform import cli as shell

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert shell._wants_color()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not shell._wants_color()


def test_force_color_colours_a_pipe(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m+\x1b[0m" in run("plan").stdout
    assert "\x1b" not in run("plan", "--no-color").stdout
    flow.raises = errors.Stale("changed")
    assert "\x1b[1;31mError:\x1b[0m" in run("plan").stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("plan").stderr
    flow.raises = None
    assert "\x1b" not in run("plan").stdout


# --- errors ----------------------------------------------------------------------------------------------------------

PROBLEM = errors.Problem("no such block", errors.Place("lettaform.yaml", 2, 3), "did you mean `a`?")
CODES: list[tuple[BaseException, int]] = [
    (errors.LettaformError("words", "hint"), 1),
    (errors.ManifestError([PROBLEM]), 1),
    (errors.Interrupted("words", "run it again"), 130),
    (errors.LocalError("words"), 1),
    (errors.AgentFileError("words", "do this", [PROBLEM]), 1),
    (errors.SnapshotError("words", "do this"), 1),
    (errors.ServerError("words", status=500, method="GET", path="/v1/"), 1),
    (errors.Unauthorized("words"), 1),
    (errors.NotFound("words"), 1),
    (errors.Conflict("words"), 1),
    (errors.Unavailable("words"), 1),
    (errors.StreamBroken("words"), 1),
    (errors.Unsupported("words"), 1),
    (errors.NotStored("words"), 1),
    (errors.PlanError("words"), 1),
    (errors.UnreadableState("words", "hint", [PROBLEM]), 1),
    (errors.Guarded("words", "--allow-destroy", [PROBLEM]), 7),
    (errors.Conflicting("words", "hint", [PROBLEM]), 4),
    (errors.Stale("words"), 6),
    (errors.Locked("words"), 8),
]


def test_every_error_class_is_listed() -> None:
    classes = {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.LettaformError)}
    assert {type(error) for error, _ in CODES} == classes


@pytest.mark.parametrize(("error", "code"), CODES)
def test_an_error_is_a_message_and_an_exit_code(error: Exception, code: int, run: Run, flow: Flow) -> None:
    flow.raises = error
    result = run("plan")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert getattr(error, "hint", None) is None or str(getattr(error, "hint", "")) in result.stderr


@pytest.mark.parametrize(("error", "code"), CODES)
@pytest.mark.parametrize("line", [["plan", "--json"], ["--json", "plan"], ["plan", "--format", "json"]])
def test_with_json_an_error_is_one_object_on_stdout(
    error: Exception, code: int, line: list[str], run: Run, flow: Flow
) -> None:
    flow.raises = error
    result = run(*line)
    assert result.exit_code == code
    shown = json.loads(result.stdout)
    if isinstance(error, errors.ManifestError):
        assert shown["problems"][0]["message"] == "no such block"
    else:
        assert (shown["error"]["type"], shown["error"]["exit_code"]) == (type(error).__name__, code)
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_a_manifest_error_shows_the_line(run: Run, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lettaform.yaml").write_text("stack: a\n  x: 1\n")
    flow.raises = errors.ManifestError([PROBLEM])
    assert run("plan").stderr == (
        "Error: no such block\n  at lettaform.yaml:2:3\n  1 │ stack: a\n  2 │   x: 1\n    │   ^\n"
        "  → did you mean `a`?\n"
    )


def test_an_error_raised_in_a_task_group_is_unwrapped(run: Run, flow: Flow) -> None:
    flow.raises = ExceptionGroup("tasks", [ExceptionGroup("inner", [errors.Stale("it moved")])])
    assert run("plan").exit_code == 6
    flow.raises = ExceptionGroup("tasks", [errors.Stale("it moved"), ValueError("no")])
    assert run("plan").exit_code == 1


def test_interrupted(run: Run, flow: Flow) -> None:
    for error in (KeyboardInterrupt(), click.Abort()):
        flow.raises = error
        result = run("plan")
        assert result.exit_code == 130
        assert "Traceback" not in result.output


def test_a_bug_is_reported_without_its_message(run: Run, flow: Flow) -> None:
    flow.raises = RuntimeError("hunter2")
    result = run("plan", "--var", "key=hunter2")
    assert result.exit_code == 1
    assert "lettaform has a bug: RuntimeError in lettaform/cli/plan.py:" in result.stderr
    assert "please report" in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr
    assert json.loads(run("plan", "--json").stdout)["error"]["type"] == "Bug"


def test_debug_prints_the_traceback_without_secrets(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "token-hunter")
    monkeypatch.setenv("LETTAFORM_VAR_key", "variable-hunter")
    for error in (RuntimeError, errors.ServerError):
        flow.raises = error("no hunter2\x1b token-hunter variable-hunter")
        result = run("plan", "--debug", "--var", "key=no hunter2")
        assert "Traceback" in result.stderr
        if error is RuntimeError:
            assert "hunter" not in result.stderr.replace("hunters", "")
        assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    "line", [["plan", "--bogus"], ["plan", "surplus"], ["import"], ["plan", "--format", "pdf"], ["--bogus"]]
)
def test_usage_errors_exit_with_1(line: list[str], run: Run, flow: Flow) -> None:
    result = run(*line)
    assert result.exit_code == 1
    assert flow.calls == []


def test_usage_errors_in_json(run: Run) -> None:
    result = run("plan", "--json", "--bogus")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["type"] == "Usage"


def test_a_usage_error_is_one_line(run: Run) -> None:
    message, hint = run("state", "show").stderr.splitlines()
    assert message.startswith("Error: Missing argument")
    assert hint == "  → run `cli state show --help`"


def test_hostile_arguments_are_cleaned(run: Run) -> None:
    assert "\x1b" not in run("\x1b[2J").output


def test_characters_outside_the_encoding_of_the_terminal_are_escaped() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-m", "lettaform", "x"], capture_output=True, text=True, env=environment)
    assert done.stderr == "Error: unknown verb `x`\n  \\u2192 run `lettaform --help`\n"


def test_a_broken_pipe_is_not_an_error() -> None:
    script = "import time, click\nfrom lettaform.cli import cli\n"
    script += "@cli.command()\ndef much():\n  for _ in range(100000): click.echo('x' * 100)\n"
    script += "from lettaform import cli as shell\n"
    script += "shell.VERBS = {**shell.VERBS, 'much': shell.Verb('', '')}\ncli.main(['much'])"
    command = ["bash", "-c", '"$0" -c "$1" | head -1', sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "x" * 100 + "\n"
    assert done.stderr == ""


def test_without_standalone_mode_the_exit_code_is_returned(flow: Flow) -> None:
    flow.raises = errors.Stale("moved")
    assert CliRunner().invoke(cli, ["plan"], standalone_mode=False).return_value == 6
