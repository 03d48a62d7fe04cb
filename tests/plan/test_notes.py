"""Why something is replaced or deleted, and what is lost with it."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.model import Change, Create, FieldChange
from lettaform.plan import notes
from lettaform.values import Ref
from tests.plan.samples import at, living, lookup, manifest, observed, plan, wanted

X = at("archives.x")


def change(*paths: str) -> Change:
    return Change(X, "archive", "replace", fields_changed=tuple(FieldChange(path, "old", "new") for path in paths))


@pytest.mark.parametrize(
    ("paths", "fixed"),
    [((), []), (("name",), []), (("embedding",), ["embedding"]), (("embedding.a", "embedding.b"), ["embedding"])],
)
def test_fields_that_cannot_be_changed(paths: tuple[str, ...], fixed: list[str]) -> None:
    assert notes.fixed_fields(change(*paths)) == fixed


@pytest.mark.parametrize(
    ("users", "refers", "lost"),
    [((), False, 0), (("agent-1",), True, 0), (("agent-1",), False, 1), (("agent-1", "agent-2"), True, 1)],
    ids=["nobody", "gets the new one", "not declared to have it", "one of two"],
)
def test_agents_that_lose_what_is_replaced(users: tuple[str, ...], refers: bool, lost: int) -> None:
    agent = wanted("agents.a", model="m/m", **({"archive": Ref(X)} if refers else {}))
    wants = manifest(wanted("archives.x", embedding="new/e"), agent)
    archive, user = living("archives.x", "archive-1", embedding="old/e"), living("agents.a", "agent-1", model="m/m")
    has = observed(archive, user, users={"archive-1": frozenset(users)})
    look = lookup(wants, has)
    assert len(notes.lost_users(look, wants.objects[X])) == lost
    note = notes.replacement_note(look, wants.objects[X], change("embedding"))
    assert note.startswith("`embedding` cannot be changed on an existing archive: replaced")
    assert note.endswith(" would lose it") == bool(lost)


@pytest.mark.parametrize(
    ("users", "words"),
    [
        (("agent-1",), "agents.ann"),
        (("agent-2", "agent-1"), "agents.ann and agents.bob"),
        (("agent-8",), "1 agent outside this stack"),
        (("agent-8", "agent-9"), "2 agents outside this stack"),
        (("agent-9", "agent-1"), "agents.ann and 1 agent outside this stack"),
        (("agent-1", "agent-2", "agent-8", "agent-9"), "agents.ann, agents.bob and 2 agents outside this stack"),
    ],
)
def test_agents_are_named_by_address_and_those_of_others_counted(users: tuple[str, ...], words: str) -> None:
    look = lookup(manifest(), observed(living("agents.ann", "agent-1"), living("agents.bob", "agent-2")))
    assert notes.named(look, users) == words


@pytest.mark.parametrize(
    ("value", "secret", "words"),
    [
        ("Tür", False, 'stays "Tür"'),
        (0, False, "stays 0"),
        (False, False, "stays false"),
        ("x" * 100, False, "stays as it is"),
        ({"a": 1}, False, "stays as it is"),
        ("key", True, "stays as it is"),
        (None, True, "stays as it is"),
    ],
)
def test_a_value_that_is_no_longer_managed(value: object, secret: bool, words: str) -> None:
    (note,) = notes.no_longer_managed("f", value, secret=secret, reset=False)
    assert note == f"`f` is no longer managed, {words}"


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_nothing_is_said_of_no_value(value: object) -> None:
    assert not list(notes.no_longer_managed("f", value, secret=False, reset=False))


@pytest.mark.parametrize(("number", "words"), [(0, "0 agents"), (1, "1 agent"), (2, "2 agents")])
def test_a_number_of_agents(number: int, words: str) -> None:
    assert notes.agents(number) == words


@pytest.mark.parametrize(
    ("users", "ends"),
    [
        pytest.param(0, None, id="nobody"),
        pytest.param(1, "1 agent outside this manifest, which keeps its `tool_rules`: agent-100", id="one"),
        pytest.param(
            2, "2 agents outside this manifest, which keep their `tool_rules`: agent-100, agent-101", id="two"
        ),
        pytest.param(101, "101 agents outside this manifest, which keep their `tool_rules`", id="many"),
    ],
)
def test_agents_that_a_change_does_not_reach(users: int, ends: str | None) -> None:
    tool = living("tools.t", "tool-1", name="t", source="s", default_requires_approval=None)
    inside = living("agents.a", "agent-1", model="m/m")
    using = frozenset({"agent-1", *(f"agent-{100 + n}" for n in range(users))})
    wants = manifest(wanted("tools.t", name="t", source="s"), wanted("agents.a"))
    look = lookup(wants, observed(tool, inside, users={"tool-1": using}))
    found = list(notes.unreached(look, tool, {"default_requires_approval", "description"}))
    assert [each.partition(" does not reach ")[2] for each in found] == ([ends] if ends else [])
    assert not list(notes.unreached(look, tool, {"description"}))


CREATED_WITH = {"include_base_tools": False, "initial_message_sequence": [{"role": "user", "content": "Hello."}]}


@pytest.mark.parametrize(
    ("declares", "created", "warned"),
    [
        (CREATED_WITH, CREATED_WITH, []),
        ({"include_base_tools": True}, CREATED_WITH, ["include_base_tools"]),
        ({"initial_message_sequence": []}, CREATED_WITH, ["initial_message_sequence"]),
        ({}, CREATED_WITH, []),
        ({"include_base_tools": True}, {}, []),
    ],
    ids=["the same", "another value", "another list", "no longer declared", "not known"],
)
def test_a_field_that_only_creation_uses_is_a_warning_if_it_changes(
    declares: dict[str, Any], created: dict[str, Any], warned: list[str]
) -> None:
    made = plan(
        manifest(wanted("agents.a", model="m/m", **declares)),
        observed(living("agents.a", "agent-1", model="m/m", base={"model": "m/m", **created})),
    )
    assert not made.changes
    assert [(each.field, each.severity) for each in made.warnings] == [(name, "warning") for name in warned]


def test_the_mark_of_a_new_object_stores_what_only_creation_uses() -> None:
    made = plan(manifest(wanted("agents.a", model="m/m", **CREATED_WITH)), observed())
    (create,) = [step for step in made.steps if isinstance(step, Create)]
    assert create.mark is not None
    assert create.mark.base.keys() >= CREATED_WITH.keys()


def test_what_is_deleted_although_its_messages_may_be_lost_has_a_note() -> None:
    has = observed(living("agents.a", "agent-1"), living("agents.b", "agent-2"), living("blocks.x", "block-1"))
    found = plan(manifest(), has, destroy=True, without_messages=("agents.a", "blocks.*")).changes
    assert {str(each.address): each.notes for each in found} == {
        "agents.a": (notes.LOST,),
        "agents.b": (),
        "blocks.x": (),
    }
