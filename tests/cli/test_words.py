"""What people type who know other tools: each word gets one line that says what to do here, and that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lettaform.cli import VERBS, cli, words

from .conftest import Flow, Run
from .test_commands_in_texts import commands_in, parse


def options() -> dict[str, set[str]]:
    """Each verb, and the options of it and of its subcommands."""
    found: dict[str, set[str]] = {}

    def add(name: str, command: click.Command) -> None:
        found.setdefault(name, set()).update(
            spelling for each in command.params if isinstance(each, click.Option) for spelling in each.opts
        )
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            add(name, inner)

    for name in VERBS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        add(name, command)
    return found


@pytest.mark.parametrize("word", words.VERBS)
def test_a_verb_of_another_tool_gets_its_line(word: str, run: Run) -> None:
    assert word not in VERBS
    refused = run(word)
    assert (refused.exit_code, refused.stderr) == (1, f"Error: unknown verb `{word}`\n  → {words.VERBS[word]}\n")


@pytest.mark.parametrize("word", words.OPTIONS)
@pytest.mark.parametrize("dashes", [1, 2])
def test_an_option_of_another_tool_gets_its_line(word: str, dashes: int, run: Run, flow: Flow) -> None:
    spelled = word[2 - dashes :]
    for verb in (name for name, known in options().items() if word not in known and name in ("apply", "plan")):
        refused = run(verb, spelled)
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"Error: No such option '{word}'.\n  → ")
        assert words.OPTIONS[word] in refused.stderr or "accepted by" in refused.stderr
    assert flow.calls == []


@pytest.mark.parametrize("text", [*words.VERBS.values(), *words.OPTIONS.values()])
def test_every_remedy_is_understood(text: str, tmp_path: Path) -> None:
    for command in commands_in(text):
        parse(command, tmp_path / "x")
    everywhere = {each for known in options().values() for each in known}
    for option in re.findall(r"`(-[A-Za-z]\b|--[\w-]+)", text):
        assert option in everywhere, text


def _all_of(command: str) -> set[str]:
    """`--all` of `import`, which deletes nothing."""
    return {"--all"} if "import" in shlex.split(command) else set()


@pytest.mark.parametrize("text", [*words.VERBS.values(), *words.OPTIONS.values()])
def test_no_remedy_deletes(text: str) -> None:
    for command in commands_in(text):
        deleting = words.NEVER_GUESSED & set(shlex.split(command))
        assert deleting <= {"--no-lock", "--reseed", "destroy", "release", "rm", "rollback"} | _all_of(command), text
        # `import --all` writes nothing on the server, `state rm` keeps the object, `destroy` and `lock release` ask,
        # `--reseed` needs an address
        assert "--prune" not in text


def test_what_deletes_is_never_guessed(run: Run, flow: Flow) -> None:
    for line in ("plan --prun", "plan --nope", "apply --yess", "dev down --purg", "apply --no-lok", "apply --resed"):
        assert not re.search(r"--(prune|yes|purge|no-lock|reseed|allow)", run(*line.split()).stderr.split("\n", 1)[1])
    for line in ("destory", "detsroy", "state rmm", "lock releas"):
        assert "did you mean" not in run(*line.split()).stderr
    everywhere = {each for known in options().values() for each in known} | set(VERBS) | {"rm", "release", "remove"}
    assert everywhere >= words.NEVER_GUESSED
    assert flow.calls == []


def test_a_guess_is_near(run: Run, flow: Flow) -> None:
    assert "did you mean `--target`?" in run("plan", "--targt", "x").stderr
    assert "did you mean `rebuild`?" in run("state", "rebiuld").stderr
    assert "did you mean" not in run("plan", "--nope").stderr
    assert "run `cli plan --help`" in run("plan", "--nope").stderr


def test_an_option_of_another_verb_names_that_verb(run: Run) -> None:
    assert "accepted by `plan`" in run("apply", "--detailed-exitcode").stderr
    assert "write `-y`; accepted by `apply`" in run("plan", "-auto-approve").stderr


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("plan -out=json=x -var a=b -target=agents.* -json", "plan --out=json=x --var a=b --target=agents.* --json"),
        ("plan -save x -prune -detailed-exitcode", "plan --save x --prune --detailed-exitcode"),
        ("plan -var-file x -environment prod", "plan --var-file x --environment prod"),
        ("-var a=b -server http://x plan", "--var a=b --server http://x plan"),
        ("apply -yes -parallel=2", "apply --yes --parallel=2"),
        ("state mv -no-lock a b", "state mv --no-lock a b"),
        ("plan -help", "plan --help"),
        ("-version", "--version"),
        # short options keep their meaning, and values stay as they are
        ("plan -eprod -fx.yaml", "plan -e prod -f x.yaml"),
        ("plan --var -out=x", "plan --var=-out=x"),
        ("plan -o -out", "plan --save=-out"),
    ],
)
def test_long_options_may_have_one_dash(
    one: str, two: str, run: Run, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = run(*one.split()), run(*two.split())
    assert (first.exit_code, first.output) == (second.exit_code, second.output)
    half = len(flow.calls) // 2
    assert flow.calls[:half] == flow.calls[half:]
