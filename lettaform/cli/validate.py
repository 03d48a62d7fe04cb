"""`lettaform validate`: check the manifest without a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from lettaform.cli import Globals
from lettaform.errors import ManifestError, Problem

if TYPE_CHECKING:
    from lettaform.manifest.rules import Rule
    from lettaform.model import Manifest

FORMATS = ("text", "json", "sarif", "github")


@click.command()
@click.option("--format", "form", type=click.Choice(FORMATS), help="Output format. Default: text.")
@click.option("--strict", is_flag=True, help="Warnings are errors: exit with code 1 if there is one.")
@click.pass_obj
def validate(asked: Globals, /, form: str | None, strict: bool) -> int:
    """Check the manifest and print every problem with its place and a hint. No server is contacted.

    What is valid and probably a mistake is a warning, with the id of its rule. `lint.ignore` in the manifest switches
    rules off, each with a reason.
    """
    if asked.json and form not in (None, "json"):
        raise click.UsageError(f"--json cannot be combined with --format {form}")
    form = form or ("json" if asked.json else "text")
    try:
        manifest = asked.manifest(lints=True)
        if strict and manifest.warnings:
            raise ManifestError([replace(each, severity="error") for each in manifest.warnings])
    except ManifestError as error:
        if form == "text":
            raise
        click.echo(_formatted(error.problems, form), nl=False)
        return error.exit_code
    if form != "text":
        click.echo(_formatted(manifest.warnings, form), nl=False)
        return 0
    if manifest.warnings:
        from lettaform.render import problems

        click.echo(problems.problems(manifest.warnings, color=asked.color), err=True)
    click.echo(f"The manifest is valid: {_counted(manifest)} in stack {manifest.stack}.")
    return 0


def _counted(manifest: Manifest) -> str:
    from lettaform.render.inline import count

    objects = count(sum(desired.external is None for desired in manifest.objects.values()), "object")
    matches = len(manifest.matches)
    return f"{objects} and {count(matches, 'entry of matches', 'entries of matches')}" if matches else objects


def _formatted(problems: Sequence[Problem], form: str) -> str:
    if form == "github":
        return "".join(f"{_annotation(problem)}\n" for problem in problems)
    return json.dumps(_sarif(problems) if form == "sarif" else _data(problems), indent=2, ensure_ascii=False) + "\n"


def _data(problems: Sequence[Problem]) -> dict[str, Any]:
    from lettaform.render import data

    return {"problems": [data.problem(problem) for problem in problems]}


def _annotation(problem: Problem) -> str:
    """A workflow command of GitHub: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    place = problem.place
    where = {"file": place.file, "line": place.line, "col": place.column} if place else {}
    where |= {"title": problem.rule} if problem.rule else {}
    about = ",".join(f"{key}={_escaped(str(value), property=True)}" for key, value in where.items())
    return f"::{problem.severity}{' ' if about else ''}{about}::{_escaped(_message(problem))}"


def _message(problem: Problem) -> str:
    return problem.message + (f" ({problem.hint})" if problem.hint else "")


def _escaped(text: str, *, property: bool = False) -> str:
    """`text` with escapes, so that it cannot start another workflow command."""
    pairs = [("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), *([(":", "%3A"), (",", "%2C")] if property else [])]
    for character, escape in pairs:
        text = text.replace(character, escape)
    return text


def _sarif(problems: Sequence[Problem]) -> dict[str, Any]:
    """SARIF 2.1.0, the format of GitHub code scanning."""
    from lettaform import __version__
    from lettaform.manifest.rules import RULES

    driver = {
        "name": "lettaform",
        "version": __version__,
        "rules": [_rule(id, rule) for id, rule in RULES.items()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem) for problem in problems],
    }
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _rule(id: str, rule: Rule) -> dict[str, Any]:
    return {"id": id, "shortDescription": {"text": rule.doc}, "defaultConfiguration": {"level": rule.severity}}


def _result(problem: Problem) -> dict[str, Any]:
    from urllib.parse import quote

    result: dict[str, Any] = {"ruleId": problem.rule, "level": problem.severity, "message": {"text": _message(problem)}}
    if problem.place:
        region = {"startLine": problem.place.line, "startColumn": problem.place.column}
        location = {"artifactLocation": {"uri": quote(problem.place.file)}, "region": region}
        result["locations"] = [{"physicalLocation": location}]
    return result
