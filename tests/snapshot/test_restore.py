"""A snapshot to what restores it: values, references, marks, messages, and all that is impossible at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Place
from lettaform.model import Change, Desired, FieldChange, Live, Manifest, Mark, Observed
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.snapshot import Snapshot
from lettaform.snapshot.restore import Restoration, restoration, restored
from lettaform.snapshot.take import to_entries
from lettaform.values import Item, Ref, Secret
from tests.snapshot.samples import ANN, FACTS, HEADER, NOTES, OBJECTS, STATE, TEAM, TOOL, agent_file, at

PLACE = Place("", 0, 0)
PASSAGES = {"passages": [{"key": "k", "name": "One.", "body": {"text": "One."}}]}


def snapshot(*lives: Live, stack: str = "s") -> Snapshot:
    entries = to_entries(replace(OBJECTS, lives=lives or OBJECTS.lives))
    files = {"agent-1": {"file": "ann.af", "messages": "ann.json"}, "archive-1": {"contents": "facts.json"}}
    with_files = (replace(entry, **files.get(entry.live.id, {})) for entry in entries)
    return Snapshot(replace(HEADER, stack=stack), STATE, tuple(with_files))


def load(name: str) -> Any:
    return {"ann.af": agent_file(), "ann.json": {"messages": [], "context": ["message-1"]}, "facts.json": PASSAGES}[
        name
    ]


def declared(**secrets: Any) -> Manifest:
    ann = Desired(at("agents.ann"), "agent", {"secrets": secrets}, PLACE)
    return Manifest("s", {at("agents.ann"): ann} if secrets else {})


KEY = declared(KEY=Secret("${var.key}", "hunter22"))


def found(
    *lives: Live, of: Snapshot | None = None, manifest: Manifest = KEY, patterns: tuple[str, ...] = ()
) -> Restoration:
    """What restores a snapshot on a server that has these objects."""
    observed = Observed("u", "0.16.8", objects={live.address: live for live in lives if live.address})
    return restoration(of or snapshot(), load, observed, manifest, patterns)


def values(restored: Restoration, address: str) -> Any:
    return restored.manifest.objects[at(address)].values


def messages(restored: Restoration) -> list[str]:
    return [problem.message for problem in restored.problems]


def test_everything_that_is_gone_is_declared_with_its_messages_and_references() -> None:
    everything = found()
    assert messages(everything) == []
    ann = values(everything, "agents.ann")
    assert ann["system"] == "Be kind."
    assert ann["blocks"] == [Ref(at("blocks.team"))]  # the own block is a part
    assert ann["tools"] == [Ref(at("tools.send_message"))]
    assert everything.manifest.objects[at("tools.send_message")].external is not None
    assert ann["secrets"]["KEY"].value == "hunter22"
    assert (ann["include_base_tools"], ann["include_base_tool_rules"]) == (False, False)
    assert everything.histories[at("agents.ann")]["messages"][0]["content"] == "Be kind."
    assert values(everything, "archives.facts")["passages"] == [Item("k", "One.", {"text": "One."})]
    assert everything.manifest.objects[at("agents.ann.memory.notes")].policies["value"] == "enforce"


def test_what_exists_needs_no_secret_and_gets_no_messages() -> None:
    everything = found(ANN, TEAM, NOTES, FACTS, manifest=declared())
    assert messages(everything) == []
    assert "secrets" not in values(everything, "agents.ann")
    assert everything.histories == {}


@pytest.mark.parametrize(
    "manifest", [declared(), declared(OTHER="x"), declared(KEY=Secret("${var.key}", "", unset=True))]
)
def test_a_secret_without_a_value_is_named(manifest: Manifest) -> None:
    assert messages(found(manifest=manifest)) == ["agents.ann: the value of its secret `secrets.KEY` is in no snapshot"]


def test_marks_name_the_objects_that_exist_now() -> None:
    mark = found(replace(TEAM, id="block-9")).marks[at("agents.ann")]
    assert mark.members["blocks"] == ("block-9",)
    gone = found().marks[at("agents.ann")]
    assert gone.members["blocks"] == (Ref(at("blocks.team")),)
    assert gone.parts["notes"] == {}  # the base of a block that has its own mark


def test_what_is_not_named_stays_as_it_is() -> None:
    spoilt = replace(TEAM, values={"label": "team", "value": "spoilt"})
    part = found(ANN, NOTES, spoilt, FACTS, patterns=("agents.ann",))
    assert values(part, "blocks.team")["value"] == "spoilt"
    assert {str(address) for address in part.marks} == {"agents.ann", "agents.ann.memory.notes"}


def test_a_reference_to_what_is_gone_and_not_named_is_refused() -> None:
    refused = found(ANN, NOTES, FACTS, patterns=("agents.ann",))
    assert messages(refused) == ["agents.ann: needs blocks.team, which does not exist"]
    assert refused.problems[0].hint == "name it, too: 'agents.ann' 'blocks.team'"


def test_a_tool_of_the_first_stack_is_used_by_a_copy() -> None:
    tool = replace(TOOL, id="tool-9", name="weather", address=at("tools.weather"), stack="s")
    of = snapshot(replace(ANN, values={**ANN.values, "tools": ["tool-9"]}), TEAM, NOTES, FACTS, tool)
    other = replace(KEY, stack="copy")
    part = found(of=of, manifest=other, patterns=("agents.ann", "blocks.team"))
    assert messages(part) == []
    external = part.manifest.objects[at("tools.weather")].external
    assert external is not None
    assert external.name == "weather"
    assert part.manifest.stack == "copy"


def test_what_cannot_be_changed_back_is_refused() -> None:
    typed = replace(ANN, values={**ANN.values, "agent_type": "letta_v1_agent"})
    other = replace(ANN, values={**ANN.values, "agent_type": "memgpt_v2_agent"})
    refused = found(other, TEAM, NOTES, FACTS, of=snapshot(typed, TEAM, NOTES, FACTS))
    assert messages(refused) == ["agents.ann: `agent_type` cannot be changed back in place"]


def test_a_value_that_was_not_there_is_removed() -> None:
    bare = replace(TEAM, values={**TEAM.values, "description": None})
    described = replace(TEAM, values={**TEAM.values, "description": "new"})
    everything = found(ANN, described, NOTES, FACTS, of=snapshot(ANN, bare, NOTES, FACTS))
    assert ("description" in values(everything, "blocks.team")) == (messages(everything) == [])


def test_a_detached_own_block_and_what_has_no_address_are_named() -> None:
    ann = replace(ANN, values={**ANN.values, "blocks": ["block-1"]})
    theirs = replace(TEAM, id="block-7", address=None, name="loose")
    of = snapshot(ann, TEAM, NOTES, FACTS, theirs)
    everything = found(of=of)
    assert at("agents.ann.memory.notes") not in everything.manifest.objects
    assert [each.message for each in everything.warnings] == [
        "agents.ann.memory.notes (block-2) was not attached to its agent, and is not restored",
        "block loose has no address in the stack, and is not restored",
    ]
    assert found(of=of, patterns=("blocks.team",)).warnings == ()


def test_an_agent_file_without_its_agent_is_refused() -> None:
    renamed = replace(ANN, name="anna")
    assert messages(found(of=snapshot(renamed, TEAM, NOTES, FACTS))) == [
        "agents.ann: its agent file cannot be used (ValueError)"
    ]


# --- the difference ---------------------------------------------------------------------------------------------------


def change(live: Live | None, action: Any = "update", **more: Any) -> ResourceChange:
    shown = (FieldChange("value", "a", "b"),) if action == "update" and not more.pop("bare", False) else ()
    made = Change(at("blocks.team"), "block", action, live.id if live else None, fields_changed=shown, place=PLACE)
    return ResourceChange(made, Desired(at("blocks.team"), "block", {}, PLACE), live, **more)


def difference(*resources: ResourceChange, mark: Mark = Mark(), live: Live = TEAM) -> tuple[ResourceChange, ...]:  # noqa: B008
    observed = Observed("u", "0.16.8", objects={at("blocks.team"): live})
    of = Restoration(Manifest("s", {at("blocks.team"): Desired(at("blocks.team"), "block", {}, PLACE)}))
    return restored(
        Diff(resources=resources, observed=observed), replace(of, marks={at("blocks.team"): mark})
    ).resources


def test_a_changed_value_has_the_reason_of_a_restore() -> None:
    (only,) = difference(change(TEAM, fields={"value": "b"}))
    assert [each.reason for each in only.change.fields_changed] == ["restore"]
    assert only.change.place is None


def test_a_mark_alone_is_written_only_if_it_differs() -> None:
    assert difference(change(TEAM, "mark")) == ()
    (only,) = difference(mark=Mark({"value": "digest"}))
    assert (only.change.action, only.mark) == ("mark", Mark({"value": "digest"}))


def test_what_is_not_restored_is_only_compiled_again() -> None:
    observed = Observed("u", "0.16.8", objects={at("blocks.team"): TEAM})
    resource = change(TEAM, fields={"value": "b"})
    nothing = Restoration(Manifest("s", {}))
    assert restored(Diff(resources=(resource,), observed=observed), nothing).resources == ()


@pytest.mark.parametrize(
    ("now", "notes"),
    [
        ({"temperature": 1.0}, ()),
        ({"temperature": 2.0, "top_p": None}, ()),
        (
            {"temperature": 1.0, "effort": "high", "top_p": 0.5},
            ("keeps `model_settings.effort`, `model_settings.top_p`: an update only adds entries to this map",),
        ),
    ],
)
def test_entries_that_a_restore_cannot_remove_are_noted(now: dict[str, Any], notes: tuple[str, ...]) -> None:
    def talk(settings: dict[str, Any]) -> Live:
        known = {"agent": "agent-1", "summary": "Talk", "model_settings": settings}
        return Live("conversation", "conv-1", "Talk", known, address=at("conversations.talk"), stack="s", marked=True)

    restored = found(talk(now), of=snapshot(talk({"temperature": 1.0})))
    assert restored.notes.get(at("conversations.talk"), ())[:1] == notes
