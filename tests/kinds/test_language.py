"""The kind language stays small: every word has three users among the kinds, or is a small value."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import pytest

from lettaform.kinds import base, kinds, traits
from lettaform.kinds.base import Attr, Kind

LINES = [(kind, line) for kind, table in kinds().items() for line in table.attrs().values()]
KEYWORDS = {
    name: each.default
    for name, each in inspect.signature(Kind.__init_subclass__).parameters.items()
    if each.kind is inspect.Parameter.KEYWORD_ONLY
}
VARIABLES = ("unmanaged", "compiled", "replacement", "discovers", "initial")
VALUES = (
    "availability",
    "requests",
    "naming",
    "part",
    "call",
    "preview",
    "mentions",
    "signature",
    "agent_file",
    "runs",
)
HOOKS = ("encode", "decode", "normal", "check", "without_initial")
RELATIONS = sorted(traits.Relation.__subclasses__(), key=lambda each: each.__name__)


def line_users(word: str) -> list[str]:
    """The lines that say a word: its value is not the default."""
    defaults: dict[str, Any] = {each.name: each.default for each in fields(Attr)}
    found = []
    for kind, line in LINES:
        default = {"write": line.name, "read": line.write}.get(word, defaults[word])
        if getattr(line, word) != default:
            found.append(f"{kind}.{line.name}")
    return found


def kind_users(word: str) -> list[str]:
    """The kinds that define a class variable or override a hook."""
    return [name for name, table in kinds().items() if word in vars(table)]


@pytest.mark.parametrize("word", [each.name for each in fields(Attr) if each.name not in ("name", "doc")])
def test_a_word_of_a_line_has_three_users(word: str) -> None:
    assert len(line_users(word)) >= 3, line_users(word)


@pytest.mark.parametrize("word", KEYWORDS)
def test_a_keyword_of_a_kind_has_three_users(word: str) -> None:
    attribute = {"name": "name_field"}.get(word, word)
    users = [name for name, table in kinds().items() if getattr(table, attribute) != KEYWORDS[word]]
    assert len(users) >= 3, users


@pytest.mark.parametrize("word", [*VARIABLES, *HOOKS])
def test_a_variable_and_a_hook_of_a_kind_have_three_users(word: str) -> None:
    assert len(kind_users(word)) >= 3, kind_users(word)


@pytest.mark.parametrize("word", VALUES)
def test_other_variables_of_a_kind_are_small_values(word: str) -> None:
    assert kind_users(word)
    assert all(is_dataclass(getattr(kinds()[name], word)) for name in kind_users(word))


def test_these_are_all_the_words_of_a_kind() -> None:
    declared = {name for name in vars(Kind)["__annotations__"] if name in vars(Kind) and name != "model_config"}
    assert declared == {*VARIABLES, *VALUES}


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_a_kind_overrides_hooks_only(kind: str) -> None:
    inherited = {name for name, each in vars(Kind).items() if isinstance(each, classmethod)}
    assert inherited & vars(kinds()[kind]).keys() <= {*HOOKS, *VALUES, *VARIABLES, "__init_subclass__"}


@pytest.mark.parametrize("relation", RELATIONS)
def test_every_relation_and_each_of_its_fields_is_used(relation: Any) -> None:
    users = [line.relation for _, line in LINES if type(line.relation) is relation]
    assert users
    for each in fields(relation):
        assert each.default is MISSING or any(getattr(user, each.name) != each.default for user in users), each.name


@pytest.mark.parametrize("word", VALUES)
def test_each_field_of_a_small_value_is_used(word: str) -> None:
    users = [getattr(kinds()[name], word) for name in kind_users(word)]
    for each in fields(users[0]):
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        assert default is MISSING or any(getattr(user, each.name) != default for user in users), each.name


def test_the_docstring_lists_every_word() -> None:
    listed = {line.split()[0] for line in (base.__doc__ or "").splitlines() if line[:1].isalpha() and "  " in line}
    words = {each.name for each in fields(Attr)} - {"name", "doc"}
    assert {*words, *KEYWORDS, *VARIABLES} <= listed
    assert all(f"`{word}`" in (base.__doc__ or "") for word in (*VALUES, *HOOKS))
