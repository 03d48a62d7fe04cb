"""The final manifest: what is printed loads again, and gives the same objects."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lettaform.manifest import load
from lettaform.manifest.rendered import _Rendering, rendered
from lettaform.model import Desired, Manifest
from lettaform.render.manifest import text, to_data
from lettaform.values import Item, Ref, Secret, Template
from tests.documents import ROOT
from tests.manifest.conftest import Project

Write = Callable[..., Project]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/lettaform.yaml"))
ALL: dict[str, Any] = {"environ": {}, "needs": "plain"}


def with_keys(manifest: Manifest, key: Callable[[Any], str]) -> dict[tuple[str, ...], Any]:
    """What a manifest declares of each object, with keys in place of addresses."""

    def named(address: Any) -> str:
        top = f"{address.section} {key(address.top)}"
        return f"{top} {address.field} {address.child}" if address.parent else top

    def plain(value: Any) -> Any:
        if isinstance(value, Secret):
            return str(value)
        if isinstance(value, Template):
            return "".join(each if isinstance(each, str) else plain(each) for each in value.parts)
        if isinstance(value, Ref):
            return f"‹{named(value.address)} {value.path}›"
        if isinstance(value, Item):
            return value.key
        if isinstance(value, Mapping):
            return {name: plain(item) for name, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    def about(desired: Desired) -> Any:
        external = desired.external and (
            desired.external.name,
            desired.external.id,
            desired.external.offered_by and named(desired.external.offered_by),
        )
        own = (desired.policies, desired.prevent_destroy, desired.recompile)
        return plain(desired.values), external, own if not desired.created_with else None

    return {named(address): about(each) for address, each in manifest.objects.items()}


def check(folder: Path, **words: Any) -> None:
    before = load(folder, **{**ALL, **words})
    key = _Rendering(before, folder).key
    for origins in (True, False):
        (folder / "rendered.yaml").write_text(text(rendered(before, folder), origins=origins))
        after = load(folder, [Path("rendered.yaml")], **ALL)
        assert with_keys(after, lambda address: address.key) == with_keys(before, key)


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda each: each.name)
def test_what_is_printed_of_an_example_gives_the_same_objects(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    check(tmp_path)


TEXT = """
stack: s
variables: {model: {default: a/b}, key: {secret: true, default: s3cret-s3cret}}
environments: {prod: {components: {desk: {inputs: {region: PROD}}}}}
defaults: {agents: {model: "${var.model}", embedding: e/m}}
blocks: {guide: {value: "cost $${x}", description: "a\\nb"}}
agents:
  clerk:
    for_each: [x, y z]
    description: "of ${each.key} and ${blocks.guide.id}"
    secrets: {KEY: "${var.key}"}
    memory: {human: Nobody yet.}
    blocks: [guide]
    sleeptime: true
    policy: {description: ignore}
    lifecycle: {prevent_destroy: true}
components: {desk: {use: ./desk, inputs: {region: EMEA, guide: "${blocks.guide.id}"}}}
outputs: {lead: "${components.desk.lead}"}
"""
DESK = """
variables: {region: {}, guide: {}}
folders: {f: {embedding: e/m, files: ["docs/**/*.md"]}}
archives: {a: {embedding: e/m, passages: [one, {text: two, tags: [t]}]}}
agents: {lead: {model: a/b, description: "for ${var.region}", blocks: ["${var.guide}"], folders: [f], archive: a}}
outputs: {lead: "${agents.lead.id}"}
"""
FILES = {"desk/component.yaml": DESK, "desk/docs/a.md": "x", "desk/docs/sub/b.md": "y"}


@pytest.mark.parametrize("environment", [None, "prod"])
def test_what_is_printed_gives_the_same_objects(environment: str | None, write: Write) -> None:
    check(write(TEXT, FILES).folder, environment=environment)


def test_each_value_says_where_it_comes_from(write: Write) -> None:
    project = write(TEXT, FILES)
    shown = text(rendered(project.load(environment="prod"), project.folder))
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    assert "model: a/b # lettaform.yaml:4 (defaults): var.model" in lines
    assert "description: for PROD # desk/component.yaml:4: var.region of lettaform.yaml:3" in lines
    assert r""""clerk[\"y z\"]": # agents.clerk["y z"]""" in lines
    assert any(line.startswith("KEY: ") and line.endswith("# lettaform.yaml:10: var.key") for line in lines)
    assert "s3cret" not in shown + str(to_data(rendered(project.load(), project.folder)))


def test_some_objects_are_printed_alone(write: Write) -> None:
    project = write(TEXT, FILES)
    found = rendered(project.load(), project.folder, lambda address: address.component is not None)
    assert [str(each.address) for each in found.objects] == [
        "components.desk.agents.lead",
        "components.desk.archives.a",
        "components.desk.folders.f",
    ]
    assert found.outputs == {}
