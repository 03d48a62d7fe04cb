"""A new kind needs one file: it adds a section to the language, to its checks and to the schema."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lettaform.kinds
from lettaform.address import Address
from lettaform.kinds import kinds, sections
from lettaform.manifest.language import language, objects
from lettaform.manifest.schema import schema
from lettaform.values import Ref, Secret
from tests.manifest.conftest import Project
from tests.manifest.test_broken import line

SHELF = """
from typing import Any
from lettaform.kinds.base import Kind, attr
from lettaform.kinds.traits import Parts


class Shelf(Kind, section="shelves", path="/v1/shelves/", name="title"):
    title: str = attr("What it is called.")
    owner: str = attr("Who looks after it.", to="agent")
    blocks: list[str] = attr("What stands on it.", to="block")
    parts: dict[str, Any] = attr("Shelves of its own.", relation=Parts("shelf"), write=None)
    key: str = attr("What opens it.", secret=True)
    weight: float = attr("In kilograms.", clear=None)
"""


def forget() -> None:
    for cached in (kinds, sections, language, objects):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def shelf(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("kinds")
    (folder / "shelf.py").write_text(SHELF)
    monkeypatch.setattr(lettaform.kinds, "__path__", [*lettaform.kinds.__path__, str(folder)])
    forget()
    yield
    forget()
    sys.modules.pop("lettaform.kinds.shelf", None)


def test_its_objects(project: Project) -> None:
    project.write(
        """
        stack: s
        agents: {a: {}}
        blocks: {b: {}}
        defaults: {shelves: {weight: 5}}
        shelves:
          tall: {owner: a, blocks: [b], key: k, parts: {top: {weight: null}}}
          wide: {title: "next to ${shelves.tall.title}", policy: {weight: ignore}}
        """
    )
    objects = project.load().objects
    tall = Address.of("shelves", "tall")
    assert objects[tall].values == {
        "title": "tall",
        "owner": Ref(Address.of("agents", "a")),
        "blocks": [Ref(Address.of("blocks", "b"))],
        "key": Secret("literal", "k"),
        "weight": 5,
    }
    assert objects[tall.part("parts", "top")].values == {"title": "top", "weight": None}
    assert objects[Address.of("shelves", "wide")].values == {"title": "next to tall", "weight": 5}
    assert objects[Address.of("shelves", "wide")].policies == {"weight": "ignore"}


def test_its_problems(project: Project) -> None:
    project.write(
        """
        stack: s
        agents: {a: {for_each: [x, y]}}
        shelves:
          tall:
            ownr: a
            owner: a
            weight: heavy
            parts: {top: text, low: {wieght: 1}}
        """
    )
    assert list(map(line, project.problems())) == [
        "5:5 unknown field `ownr` → did you mean `owner`?",
        "6:12 owner: `a` stands for 2 agents; expected one",
        "7:13 weight: expected a number, got the text 'heavy'",
        "8:18 shelves.tall.parts.top: expected a map, got the text 'text'",
        "8:30 unknown field `wieght` → did you mean `weight`?",
    ]


def test_its_schema() -> None:
    definitions = schema()["$defs"]
    assert {"shelf", "shelf_defaults", "own_shelf"} <= definitions.keys()
    assert definitions["shelf"]["properties"]["weight"]["description"] == "In kilograms."
