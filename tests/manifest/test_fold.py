"""What objects have in common, and rows of similar objects."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.manifest.emit_text import File, Raw
from lettaform.manifest.fold import rows, with_defaults
from lettaform.manifest.keys import Keys


@pytest.mark.parametrize(
    ("objects", "defaults"),
    [
        ([{"model": "a"}, {"model": "a"}, {"model": "b"}], {"model": "a"}),
        ([{"model": "a"}, {"model": "b"}], {}),
        ([{"model": "a"}, {"model": "a"}, {}], {}),
        ([{"tools": ["x"]}, {"tools": ["x"]}, {"tools": ["y"]}], {}),
        ([{"tools": ["x"]}, {"tools": ["x"]}], {"tools": ["x"]}),
        ([{"metadata": {"a": 1}}, {"metadata": {"a": 1}}], {"metadata": {"a": 1}}),
        ([{"metadata": {"a": 1}}, {"metadata": {"a": 2}}, {"metadata": {"a": 1}}], {}),
        ([{"n": 1}, {"n": True}], {}),
        ([{"model": "a"}], {}),
        ([{"model": "a"}, {"model": "a"}, {"external": True, "id": "x"}], {}),
    ],
)
def test_defaults_hold_for_every_object_of_a_section(objects: list[dict[str, Any]], defaults: dict[str, Any]) -> None:
    section = {str(number): each for number, each in enumerate(objects)}
    found, rest = with_defaults(section, frozenset())
    assert found == defaults
    assert all({**found, **rest[key]} == body for key, body in section.items() if "external" not in body)


def test_a_field_can_stay_with_its_objects() -> None:
    assert with_defaults({"a": {"name": "x"}, "b": {"name": "x"}}, frozenset({"name"}))[0] == {}


def section(**bodies: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key.replace("_", "-"): body for key, body in bodies.items()}


def folded(objects: dict[str, dict[str, Any]], taken: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    return {row.key: row.body for row in rows(objects, Keys((*objects, *taken)))}


def test_objects_that_differ_in_nothing_but_their_key_are_a_list() -> None:
    found = folded(
        section(w_a={"x": 1, "role": "I am a."}, w_b={"x": 1, "role": "I am b."}, w_c={"x": 1, "role": "I am c."})
    )
    assert found == {"w": {"for_each": ["a", "b", "c"], "x": 1, "role": Raw("I am ${each.key}.")}}
    assert folded(section(w_1={"x": 1}, w_2={"x": 1}, w_3={"x": 1})) == {"w": {"for_each": [1, 2, 3], "x": 1}}


def test_one_value_that_differs_is_a_map() -> None:
    found = folded(section(w_a={"x": 1, "n": 5}, w_b={"x": 1, "n": 6}, w_c={"x": 1, "n": 7}))
    assert found == {"w": {"for_each": {"a": 5, "b": 6, "c": 7}, "x": 1, "n": Raw("${each.value}")}}


def test_two_values_that_differ_have_names() -> None:
    bodies = {f"w_{each}": {"n": number, "m": {"text": each * 3}} for number, each in enumerate("abc")}
    found = folded(section(**bodies))
    assert found["w"]["for_each"]["b"] == {"n": 1, "text": "bbb"}
    assert found["w"]["m"] == {"text": Raw("${each.value.text}")}


def test_objects_that_differ_in_more_stay_as_they_are() -> None:
    bodies = {f"w_{each}": {"n": number, "m": each * 3, "o": number + 5} for number, each in enumerate("abc")}
    assert folded(section(**bodies)) == {}
    assert folded(section(w_a={"x": 1}, w_b={"x": 1})) == {}
    assert folded(section(a={"x": 1}, b={"x": 1}, c={"x": 1})) == {}
    secret = {f"w_{each}": {"secrets": {"K": Raw(f"${{var.{each * 3}}}")}} for each in "abc"}
    assert folded(section(**secret)) == {}


def test_a_row_is_divided_by_a_value_that_few_have() -> None:
    bodies = {f"w_{n}": {"model": "m" if n < 4 else "o", "a": n, "b": n * n} for n in range(8)}
    found = folded(section(**bodies))
    assert {key: (body["model"], len(body["for_each"])) for key, body in found.items()} == {
        "w": ("m", 4),
        "w-2": ("o", 4),
    }
    assert found["w-2"]["name"] == Raw("w-${each.key}")


def test_a_key_that_another_object_has_is_not_taken() -> None:
    found = folded(section(w_a={"x": 1}, w_b={"x": 1}, w_c={"x": 1}), ("w",))
    assert found == {"w-2": {"for_each": ["a", "b", "c"], "name": Raw("w-${each.key}"), "x": 1}}


def test_files_that_differ_in_the_key_are_one_path() -> None:
    bodies = {f"w_{each}": {"system": File("!file", f"prompts/w-{each}.md", each)} for each in "abc"}
    system = folded(section(**bodies))["w"]["system"]
    assert (system.path, [each.text for each in system.each]) == ("prompts/w-${each.key}.md", ["a", "b", "c"])


def test_only_whole_words_are_the_key() -> None:
    bodies = {f"w_{each}": {"x": text} for each, text in {"1": "1 of 12", "2": "2 of 12", "3": "3 of 12"}.items()}
    assert folded(section(**bodies))["w"]["x"] == Raw("${each.key} of 12")
    assert folded(section(w_a={"x": "cost ${a}"}, w_b={"x": "cost ${b}"}, w_c={"x": "cost ${c}"}))["w"]["x"] == Raw(
        "cost $${${each.key}}"
    )
