"""The JSON Schema: up to date, complete, and never stricter than `load`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from lettaform.kinds import kinds
from lettaform.manifest.node import FILE, JSON, UNSET, Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.schema import schema, text
from lettaform.manifest.text import parse
from tests.manifest.broken import CASES, Broken

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*/lettaform.yaml"))


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def seen(node: Node) -> Any:
    """A manifest as an editor sees it: the values of tags are texts or null."""
    if node.tag in (FILE, JSON, UNSET):
        return None if node.tag == UNSET else node.value
    if isinstance(node.value, dict):
        return {key: seen(child) for key, child in node.value.items()}
    return [seen(child) for child in node.value] if isinstance(node.value, list) else node.value


def rejected(source: str) -> list[str]:
    node = parse(source, "f", Problems())
    assert node is not None
    return [error.message for error in validator().iter_errors(seen(node))]


def test_is_current() -> None:
    command = "lettaform schema > schemas/manifest.schema.json"
    assert (ROOT / "schemas/manifest.schema.json").read_text("utf-8") == text(), f"out of date; run: {command}"


def test_is_a_schema() -> None:
    whole = schema()
    Draft202012Validator.check_schema(whole)
    references = [word for word in text().split('"') if word.startswith("#/$defs/")]
    assert {reference.removeprefix("#/$defs/") for reference in references} == set(whole["$defs"])


def test_describes_every_field_of_every_kind() -> None:
    definitions = schema()["$defs"]
    for name, kind in kinds().items():
        properties = definitions[name]["properties"]
        for field, line in kind.attrs().items():
            assert properties[field]["description"] == line.doc


def test_unknown_properties_are_not_allowed() -> None:
    def open_objects(part: Any, path: str, names: bool = False) -> list[str]:
        """`names`: its keys are fields, and one may be called `properties`."""
        if isinstance(part, list):
            return [found for item in part for found in open_objects(item, path)]
        if not isinstance(part, Mapping):
            return []
        here = not names and "properties" in part and part.get("additionalProperties") is not False
        inner = ((item, f"{path}/{key}", key == "properties" and not names) for key, item in part.items())
        return [path] * here + [found for each in inner for found in open_objects(*each)]

    assert open_objects(schema(), "") == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_accepts_the_examples(example: Path) -> None:
    source = example.read_text("utf-8")
    assert rejected(source) == []
    comment = source.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (example.parent / comment).resolve() == ROOT / "schemas/manifest.schema.json"


@pytest.mark.parametrize("case", [case for case in CASES if case.shape], ids=lambda case: case.name)
def test_rejects_mistakes_of_form(case: Broken) -> None:
    """`load` rejects these, too: see `test_broken`."""
    assert rejected(case.text)


EXPRESSIONS = """\
stack: s
server: {url: "${var.url}"}
agents:
  a:
    for_each: "${var.all}"
    when: "${each.value.on}"
    agent_type: "${var.type}"
    model: "${var.model}"
    context_window: "${var.n}"
    tags: "${var.tags}"
    hidden: "${var.flag}"
    blocks: ["${var.block}"]
    metadata: {a: 1, b: "${var.x}"}
    tool_rules: !json rules.json
    model_settings: !json settings.json
    secrets: {K: "${env.K}", L: null}
    description: null
    memory: {human: "${var.h}", persona: {limit: "${var.n}", value: null}}
    lifecycle: {prevent_destroy: "${var.flag}"}
  b:
"""


def test_accepts_expressions_where_load_does() -> None:
    assert rejected(EXPRESSIONS) == []


def test_examples_need_no_tags_and_are_valid_for_other_checkers() -> None:
    """As `check-jsonschema` reads them: it refuses every tag of an application."""
    for path in [*(ROOT / "examples").rglob("lettaform.yaml"), ROOT / "lettaform/cli/starters/lettaform.yaml"]:
        text = re.sub(r"@[A-Z]+@", "x/y", path.read_text()).replace("stack: x/y", "stack: x")
        found = list(validator().iter_errors(yaml.safe_load(text)))
        assert not found, path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("blocks: {a: {value: x, limit: many}}", "'many' is not of type 'integer'"),
        ("blocks: {a: {value: x, read_only: 3}}", "3 is not of type 'boolean'"),
        ("agents: {a: {tools: web}}", "'web' is not of type 'array'"),
        ("agents: {a: {description: {b: 1}}}", "{'b': 1} is not of type 'string'"),
        ("agents: {a: {timezone: []}}", "[] is not of type 'string'"),
    ],
)
def test_the_best_match_says_what_a_value_must_be(text: str, expected: str) -> None:
    (error,) = validator().iter_errors(yaml.safe_load(f"stack: s\n{text}"))
    assert expected in [error.message, *(inner.message for inner in error.context or ())]


def test_defaults_and_examples_are_valid_where_they_stand() -> None:
    whole = schema()
    found = list(with_values(whole))
    assert len(found) > 40
    for part in found:
        check = Draft202012Validator({**part, "$defs": whole["$defs"]})
        for value in [*part.get("examples", ()), *([part["default"]] if "default" in part else ())]:
            assert check.is_valid(value), part


def with_values(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if isinstance(part.get("description"), str) and part.keys() & {"default", "examples"}:
            yield part
        part = [*part.values()]
    for each in part if isinstance(part, list) else ():
        yield from with_values(each)


def test_the_file_is_json() -> None:
    assert json.loads(text()) == schema()
