"""The error tree: exit codes, problems in the order of their places, and hints."""

from __future__ import annotations

import inspect

import pytest

from lettaform import errors
from lettaform.errors import LettaformError, ManifestError, Place, Problem, nearest

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, LettaformError)]


@pytest.mark.parametrize("error", CLASSES)
def test_the_tree_in_the_docstring_lists_every_error(error: type[LettaformError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")


def test_exit_codes() -> None:
    codes = {each.__name__: each.exit_code for each in CLASSES if each.exit_code != 1}
    assert codes == {"Interrupted": 130, "Conflicting": 4, "Guarded": 7, "Stale": 6, "Locked": 8}


def test_problems_of_a_manifest_are_sorted_by_place() -> None:
    late, early = Problem("late", Place("a.yaml", 9, 1)), Problem("early", Place("a.yaml", 2, 3), "fix it")
    error = ManifestError([late, Problem("nowhere"), early])
    assert error.message.splitlines() == ["nowhere", "a.yaml:2:3: early (fix it)", "a.yaml:9:1: late"]


@pytest.mark.parametrize(
    ("word", "words", "found"),
    [("agnts", ["blocks", "agents"], "agents"), ("x", ["agents"], None), ("a", [], None)],
)
def test_the_most_similar_word(word: str, words: list[str], found: str | None) -> None:
    assert nearest(word, words) == found
