"""snapshot.json: what is written is what is read, every fault is named, and no secret is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import SnapshotError
from lettaform.model import Commit, Live
from lettaform.snapshot import Snapshot
from lettaform.snapshot.format import FileSum, _digest, from_text, to_json
from lettaform.snapshot.take import to_entries
from lettaform.values import UNREAD
from tests.snapshot.samples import ANN, HEADER, OBJECTS, STATE

SNAPSHOT = Snapshot(HEADER, STATE, tuple(to_entries(OBJECTS)), {"001-ann.af": FileSum("0" * 64, 3)})


def read(snapshot: Snapshot) -> Snapshot:
    return from_text(json.dumps(to_json(snapshot)))


def known(live: Live) -> dict[str, Any]:
    return {name: value for name, value in live.values.items() if value is not UNREAD}


def test_what_is_written_is_read() -> None:
    found = read(SNAPSHOT)
    assert (found.header, found.files, found.digest) == (SNAPSHOT.header, SNAPSHOT.files, SNAPSHOT.digest)
    assert found.state == replace(STATE, key=None)
    for one, other in zip(found.entries, SNAPSHOT.entries, strict=True):
        assert known(one.live) == known(other.live)
        assert replace(one, live=replace(one.live, values={})) == replace(other, live=replace(other.live, values={}))
        assert (one.live.activity, one.live.unused) == (other.live.activity, other.live.unused)


def test_messages_that_were_left_out_are_read_and_a_snapshot_of_format_1_0_has_all() -> None:
    ann, *others = SNAPSHOT.entries
    lacking = replace(SNAPSHOT, entries=(replace(ann, without_messages="500"), *others))
    assert [each.without_messages for each in read(lacking).without_messages] == ["500"]
    assert lacking.digest != SNAPSHOT.digest
    older = {**to_json(SNAPSHOT), "format_version": "1.0"}
    assert from_text(json.dumps(older)).without_messages == ()


def test_a_field_that_is_not_in_it_counts_as_not_read() -> None:
    assert read(SNAPSHOT).by_id[ANN.id].live.values["description"] is UNREAD


def test_secrets_and_the_key_of_the_stack_are_in_no_part_of_it() -> None:
    text = json.dumps(to_json(SNAPSHOT))
    assert "s3cret" not in text
    assert '"key"' not in text
    assert read(SNAPSHOT).by_id[ANN.id].secrets == ("secrets.KEY",)


def test_the_digest_does_not_depend_on_time_and_place() -> None:
    moved = replace(HEADER, created_at="2027", url="http://there", commit=Commit("c", True))
    assert replace(SNAPSHOT, header=moved).digest == SNAPSHOT.digest
    assert replace(SNAPSHOT, entries=SNAPSHOT.entries[1:]).digest != SNAPSHOT.digest


def spoilt(change: Callable[[dict[str, Any]], Any], *, resealed: bool = True) -> str:
    body = json.loads(json.dumps(to_json(SNAPSHOT)))
    change(body)
    if resealed and "stack" in body:
        body["digest"] = _digest(body)
    return json.dumps(body)


FAULTS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("'stack' is a required property", lambda body: body.pop("stack")),
    ("objects.0.kind: 'agnet' is not one of", lambda body: body["objects"][0].update(kind="agnet")),
    (
        "objects.0.address: `blocks.x` is no address of a agent",
        lambda body: body["objects"][0].update(address="blocks.x"),
    ),
    ("objects.0.address: `agents` is no address", lambda body: body["objects"][0].update(address="agents")),
    ("is listed twice", lambda body: body["objects"].append(body["objects"][0])),
    ("objects.0.values.nmae: a agent has no such field", lambda body: body["objects"][0]["values"].update(nmae="a")),
    ("format 2.0, and this lettaform reads 1.x", lambda body: body.update(format_version="2.0")),
    ("files.001-ann.af.sha256: 'x' does not match", lambda body: body["files"]["001-ann.af"].update(sha256="x")),
    ("files.001-ann.af.bytes: -1 is less", lambda body: body["files"]["001-ann.af"].update(bytes=-1)),
]


@pytest.mark.parametrize(("message", "change"), FAULTS, ids=[message for message, _ in FAULTS])
def test_each_fault_is_named(message: str, change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(SnapshotError) as refused:
        from_text(spoilt(change))
    assert any(message in problem.message for problem in refused.value.problems), refused.value.problems


def test_a_file_name_cannot_lead_out_of_the_folder() -> None:
    with pytest.raises(SnapshotError):
        from_text(spoilt(lambda body: body["objects"][0].update(file="../../etc/passwd")))


def test_all_faults_are_named_at_once() -> None:
    def change(body: dict[str, Any]) -> None:
        body["objects"][0]["kind"] = "agnet"
        del body["stack"]

    with pytest.raises(SnapshotError) as refused:
        from_text(spoilt(change))
    assert len(refused.value.problems) == 2


def test_a_change_by_hand_is_found() -> None:
    def change(body: dict[str, Any]) -> None:
        body["objects"][0]["values"]["system"] = "Be rude."

    with pytest.raises(SnapshotError) as refused:
        from_text(spoilt(change, resealed=False))
    (problem,) = refused.value.problems
    assert "the file was changed" in problem.message


def test_text_that_is_no_json_has_a_place() -> None:
    with pytest.raises(SnapshotError) as refused:
        from_text('{\n "stack": ,\n}', "folder/snapshot.json")
    assert str(refused.value.problems[0].place) == "folder/snapshot.json:2:11"


def test_deep_nesting_is_an_error() -> None:
    with pytest.raises(SnapshotError):
        from_text("[" * 100_000)


def test_a_state_that_cannot_be_read_is_a_fault() -> None:
    with pytest.raises(SnapshotError, match="state in the snapshot"):
        from_text(spoilt(lambda body: body["state"].update(pages=[{"v": 2, "ids": {"agents": 1}, "pages": []}])))
