"""Members of lists that have a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from lettaform.kinds import kinds
from lettaform.manifest.schema import schema
from tests.manifest.conftest import Project

Write = Callable[..., Project]

TEXT = """
stack: s
variables: {docs: {type: bool, default: false}}
blocks: {a: {value: x, tags: [always, {use: docs, when: "${var.docs}"}]}, b: {value: y, label: bb}}
archives: {n: {embedding: e/m, passages: [one, {use: {text: two, tags: [t]}, when: "${var.docs}"}]}}
agents:
  lead:
    for_each: [x, y]
    model: a/b
    blocks: [{use: a, when: true}, {use: b, when: "${each.key == 'x'}"}]
    tools: [web_search, {use: conversation_search, when: "${var.docs}"}]
    tool_rules: [{use: {type: exit_loop, tool_name: web_search}, when: "${var.docs}"}]
    metadata: {list: [{use: kept, when: as it is}]}
"""


def test_a_member_is_in_the_list_if_its_condition_holds(write: Write) -> None:
    for docs in (False, True):
        found = write(TEXT).load(variables={"docs": str(docs).lower()}).objects
        values = {str(address): each.values for address, each in found.items()}
        lead, other = values["agents.lead[x]"], values["agents.lead[y]"]
        assert [str(each.address) for each in lead["blocks"]] == ["blocks.a", "blocks.b"]
        assert [str(each.address) for each in other["blocks"]] == ["blocks.a"]
        assert [each.address.key for each in lead["tools"]] == ["web_search", "conversation_search"][: 1 + docs]
        assert len(lead["tool_rules"]) == docs
        assert [item.name for item in values["archives.n"]["passages"]] == ["one", "two"][: 1 + docs]
        assert values["blocks.a"]["tags"] == ["always", "docs"][: 1 + docs]
        assert lead["metadata"] == {"list": [{"use": "kept", "when": "as it is"}]}


def test_a_wrong_member_is_reported_where_it_is_written(write: Write) -> None:
    text = """
    stack: s
    variables: {x: {default: text}}
    agents:
      lead:
        model: a/b
        tools: [web_search, {use: web_serch, when: true}]
        tags: [{use: a, when: "${var.x}"}, {use: [b], when: true}, {use: c, when: maybe}]
    """
    found = {f"{each.place} {each.message}" for each in write(text).problems()}
    assert found == {
        "lettaform.yaml:6:31 tools: there is no tool `web_serch`",
        "lettaform.yaml:7:27 when: expected true or false, got the text 'text'",
        "lettaform.yaml:7:46 tags.1: expected a text, got a list",
        "lettaform.yaml:7:79 agents.lead.tags.2.when: expected true or false, got the text 'maybe'",
    }


def test_the_schema_accepts_it() -> None:
    check = jsonschema.Draft202012Validator(schema())
    assert check.is_valid(yaml.safe_load(TEXT))
    assert not check.is_valid({"stack": "s", "agents": {"a": {"tags": [{"use": "x", "when": True, "if": 1}]}}})
    assert not check.is_valid({"stack": "s", "agents": {"a": {"tags": [{"use": "x"}]}}})


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


@pytest.mark.parametrize("kind", kinds())
def test_no_member_of_a_list_has_both_keys_itself(kind: str) -> None:
    for name, field in kinds()[kind].model_fields.items():
        for model in models(field.annotation):
            assert not {"use", "when"} <= model.model_fields.keys(), name
