"""Every manifest can be written with typed objects, and loads to the same objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import lettaform
from lettaform.api import objects
from lettaform.api.declared import Declared, document
from lettaform.api.objects import Block, Fleet, Match, OwnBlock
from lettaform.kinds import kinds, sections
from lettaform.manifest import load
from lettaform.manifest.bodies import Body, ownership
from lettaform.manifest.language import EXTERNAL, REPEAT, language
from lettaform.model import Desired
from scripts.objects import class_name
from tests.manifest.test_memory import in_memory, parsed

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = sorted(EXAMPLES.glob("*/lettaform.yaml"))
CLASSES: Mapping[str, type[Declared]] = {
    section: getattr(objects, class_name(kind)) for section, kind in sections().items()
}


def typed(section: str, body: Any) -> Any:
    """An object of a manifest as a typed one."""
    if not isinstance(body, dict):
        return body
    parts = {
        label: OwnBlock(**part) if isinstance(part, dict) else part
        for label, part in (body.get("memory") or {}).items()
    }
    return CLASSES[section](**{**body, **({"memory": parts} if parts else {})})


def fleet(document: Mapping[str, Any]) -> Fleet:
    """A manifest with typed objects."""
    made: dict[str, Any] = {}
    for name, value in document.items():
        if name in CLASSES and value:
            made[name] = {key: typed(name, body) for key, body in value.items()}
        elif name == "defaults" and value:
            made[name] = {section: typed(section, body) for section, body in value.items()}
        elif name == "environments" and value:
            made[name] = {key: fleet(each or {}) for key, each in value.items()}
        else:
            made[name] = value
    return Fleet(**made)


def without_places(desired: Desired) -> dict[str, Any]:
    return {each.name: getattr(desired, each.name) for each in fields(desired) if "place" not in each.name}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_a_manifest_with_typed_objects_loads_to_the_same(path: Path) -> None:
    node = parsed(path.read_text())
    assert node is not None
    stack = lettaform.load(fleet(in_memory(node)), directory=path.parent)
    expected = load(path.parent, [path], environ={}, needs="nothing")
    found = load(path.parent, document=stack.source.document, environ={}, needs="nothing")
    assert found.stack == expected.stack
    assert {address: without_places(each) for address, each in found.objects.items()} == {
        address: without_places(each) for address, each in expected.objects.items()
    }


@pytest.mark.parametrize("kind", kinds())
def test_a_class_has_every_field_and_setting_of_its_kind(kind: str) -> None:
    found = {each.name for each in fields(getattr(objects, class_name(kind)))}
    assert found == {*kinds()[kind].attrs(), *EXTERNAL, *REPEAT, *ownership(kind)}


def test_an_own_block_has_every_field_of_one() -> None:
    assert {each.name for each in fields(OwnBlock)} == {*Body("block", own=True).fields, *ownership("block")}


def test_a_fleet_has_every_section() -> None:
    assert {each.name for each in fields(Fleet)} == language().fields.keys()


def test_the_module_exports_the_classes() -> None:
    assert set(objects.__all__) == {*map(class_name, kinds()), "OwnBlock", "Match", "Fleet"}


def test_an_entry_of_matches_refers_to_objects() -> None:
    notice = Block(value="Maintenance.", description="What is new.")
    entry = Match(match={"tags": ["support"]}, limit=5, blocks=[notice], secrets={"KEY": "hunter22"})
    found = document(Fleet(stack="ops", blocks={"notice": notice}, matches={"up": entry}))
    assert found["matches"]["up"]["blocks"] == ["notice"]
    assert "hunter22" not in repr(entry)
