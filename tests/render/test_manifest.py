"""The final manifest as YAML and JSON: nothing in it can leave its line."""

from __future__ import annotations

import yaml

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.manifest.rendered import Origin, Rendered, RenderedObject
from lettaform.render.manifest import text, to_data

ADDRESS = Address.parse("components.emea.agents.lead")
EVIL = Origin(Place("a\nb.yaml\x1b[2J", 1, 2), "defaults\nx: y")
FOUND = Rendered("s", "e\nx: y", (RenderedObject(ADDRESS, "k", {"tags": ["a\x1b", "b\u202e"]}, {"tags": EVIL}),))


def test_comments_stay_on_their_lines() -> None:
    shown = text(FOUND)
    assert yaml.safe_load(shown) == {"stack": "s", "agents": {"k": {"tags": ["a\x1b", "b\u202e"]}}}
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_an_object_without_fields_is_an_empty_map() -> None:
    found = Rendered("s", None, (RenderedObject(ADDRESS, "k", {}, {}),), {"a": 1})
    assert yaml.safe_load(text(found)) == {"stack": "s", "agents": {"k": {}}, "outputs": {"a": 1}}


def test_json_has_the_address_and_the_origins() -> None:
    (found,) = to_data(FOUND)["objects"]
    assert (found["address"], found["origins"]["tags"]["line"]) == ("components.emea.agents.lead", 1)
