"""A copy on another server and its snapshot: what is missing or different there, and what never comes along."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.model import Desired, External, Live, Manifest, Mark
from lettaform.snapshot import Snapshot
from lettaform.snapshot.migrated import differences, expected_messages, known_by_id_alone
from lettaform.snapshot.restore import COMPUTED
from lettaform.snapshot.take import to_entries
from tests.snapshot.samples import ANN, FACTS, HEADER, NOTES, OBJECTS, TEAM, agent_file, at

ONE, PDF = ({"key": "k", "name": "One.", "body": {"text": "One."}}, {"key": "p", "name": "x.pdf", "body": {}})


def listed(*messages: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Messages as a list shows them: second, type and text of each."""
    return [
        {"id": f"message-{number}", "date": f"2026-01-01T00:00:{at}+00:00", "message_type": kind, "content": text}
        for number, (at, kind, text) in enumerate(messages)
    ]


SAID = listed(("01", "system_message", "x"), ("02", "user_message", "a"), ("03", "user_message", "b"))
A, B = "2026-01-01T00:00:02+00:00 user: a", "2026-01-01T00:00:03+00:00 user: b"


def snapshot(*lives: Live) -> Snapshot:
    entries = to_entries(replace(OBJECTS, lives=lives or OBJECTS.lives))
    files = {"agent-1": {"file": "ann.af", "messages": "ann.json"}, "archive-1": {"contents": "facts.json"}}
    return Snapshot(HEADER, None, tuple(replace(entry, **files.get(entry.live.id, {})) for entry in entries))


def load(name: str) -> Any:
    return {"ann.af": agent_file(), "ann.json": {"messages": SAID}, "facts.json": {"passages": [ONE, PDF]}}[name]


def found(*lives: Live, held: Any = None, **more: Any) -> dict[str, list[str]]:
    changes = differences(snapshot(), load, snapshot(*lives), held or {}, **more)
    return {str(each.address): [field.path for field in each.fields_changed] for each in changes}


def test_a_copy_with_other_ids_is_equal() -> None:
    ann = replace(ANN, id="agent-9", values={**ANN.values, "blocks": ["block-9", "block-8"]})
    copy = (ann, replace(TEAM, id="block-9"), replace(NOTES, id="block-8"), replace(FACTS, id="archive-9"))
    held = {"agent-9": {"messages": ["system prompt", "system prompt", A, B]}, "archive-9": {"passages": ["One."]}}
    assert found(*copy, held=held) == {}


def test_what_is_missing_or_different_is_named_and_what_is_more_is_not() -> None:
    spoilt = replace(NOTES, values={**NOTES.values, "value": "spoilt"})
    more = replace(TEAM, id="block-7", address=at("blocks.more"))
    assert found(ANN, spoilt, FACTS, more) == {
        "agents.ann": ["blocks"],
        "agents.ann.memory.notes": ["value"],
        "blocks.team": [],
    }
    assert found(ANN, spoilt, FACTS, more, patterns=("blocks.*",)) == {"blocks.team": []}


@pytest.mark.parametrize(
    ("have", "same"),
    [(["One."], True), (["One.", "p"], True), (["One.", "the text of the PDF"], True), ([], False), (["p"], False)],
)
def test_what_has_no_content_may_be_there_or_not(have: list[str], same: bool) -> None:
    assert (found(held={"archive-1": {"passages": have}}) == {}) == same


@pytest.mark.parametrize(("have", "same"), [([A, B], True), ([B], False), ([], False), ([A, B, B], False)])
def test_all_messages_are_expected(have: list[str], same: bool) -> None:
    (entry,) = [each for each in snapshot().entries if each.live.id == "agent-1"]
    assert (expected_messages(entry, load) == have) == same
    assert (found(held={"agent-1": {"messages": have}}) == {}) == same


def test_values_that_the_server_derives_are_compared_only_if_they_were_set() -> None:
    (name,) = [each for each in COMPUTED if each in kinds()["agent"].attrs()][:1]
    one, other = (replace(ANN, values={**ANN.values, name: value}) for value in (1, 2))
    rest = (TEAM, NOTES, FACTS)
    assert differences(snapshot(one, *rest), load, snapshot(other, *rest), {}) == ()
    marked = replace(one, mark=Mark({name: "digest"}))
    (change,) = differences(snapshot(marked, *rest), load, snapshot(other, *rest), {})
    assert [each.path for each in change.fields_changed] == [name]


# --- objects of others ------------------------------------------------------------------------------------------------


def declared(external: External) -> Manifest:
    address = Address.of("blocks", "rules")
    return Manifest("s", {address: Desired(address, "block", {}, Place("", 0, 0), external=external)})


@pytest.mark.parametrize(
    ("owner", "external", "says"),
    [
        (None, None, None),  # an agent made it: it is brought
        ("other", None, "declare it below `blocks` as external, by its stack and address"),
        (None, External(name="policy"), None),
        (None, External(id="block-9"), None),
        ("other", External(stack="other", address=at("blocks.policy")), None),
        ("other", External(stack="more", address=at("blocks.policy")), "as external, by its stack and address"),
        ("other", External(name="other"), "which stack `other` owns"),
    ],
)
def test_objects_of_others_that_only_their_id_finds_are_named(
    owner: str | None, external: External | None, says: str | None
) -> None:
    ann = replace(ANN, values={**ANN.values, "blocks": ["block-1", "block-2", "block-9"]})
    theirs = Live("block", "block-9", "policy", {"label": "policy", "value": "x"}, stack=owner)
    entries = to_entries(replace(OBJECTS, lives=(ann, TEAM, NOTES, FACTS), used=(*OBJECTS.used, theirs)))
    of = Snapshot(HEADER, None, tuple(entries))
    problems = [
        f"{each.message}; {each.hint}"
        for each in known_by_id_alone(of, declared(external) if external else Manifest("s", {}))
    ]
    assert [says in each for each in problems if says] == [True] * bool(says)
    assert len(problems) == bool(says)
    assert list(known_by_id_alone(of, Manifest("s", {}), ("blocks.team",))) == []


def test_an_agent_of_nobody_is_named_with_how_to_own_it() -> None:
    crew = Live("group", "group-1", "crew", {"agents": ["agent-1", "agent-9"]}, at("groups.crew"), "s")
    cat = Live("agent", "agent-9", "cat", {"name": "cat"})
    entries = to_entries(replace(OBJECTS, lives=(*OBJECTS.lives, crew), used=(*OBJECTS.used, cat)))
    (problem,) = known_by_id_alone(Snapshot(HEADER, None, tuple(entries)), Manifest("s", {}))
    assert problem.message == "groups.crew uses the agent `cat` (agent-9), which no stack owns"
    assert "`lettaform import agents.KEY agent-9 --server http://here`" in str(problem.hint)


# --- what agents made themselves --------------------------------------------------------------------------------------

OLD, NEW = ("block-00000000-0000-4000-8000-00000000000" + number for number in "12")


def diary(id: str, value: str, label: str = "diary") -> Live:
    return Live("block", id, label, {"label": label, "value": value})


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (diary(NEW, "Dear diary."), {}),
        (diary(NEW, "Spoilt."), {f"blocks.{OLD}": ["value"]}),
        (diary(NEW, "Dear diary.", "other"), {"agents.ann": ["blocks"]}),
    ],
)
def test_what_agents_made_is_compared_by_who_has_it_and_its_label(there: Live, expected: dict[str, list[str]]) -> None:
    def of(block: Live) -> Snapshot:
        ann = replace(ANN, values={**ANN.values, "blocks": [*ANN.values["blocks"], block.id]})
        return Snapshot(HEADER, None, tuple(to_entries(replace(OBJECTS, lives=(ann, TEAM, NOTES), used=(block,)))))

    changes = differences(of(diary(OLD, "Dear diary.")), load, of(there), {})
    assert {str(each.address): [field.path for field in each.fields_changed] for each in changes} == expected
