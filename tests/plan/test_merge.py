"""merge3: what each side changed is in the result; what both changed differently is a conflict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lettaform.model import MergeConflict
from lettaform.plan.changes import Diff
from lettaform.plan.merge import BASE, MIDDLE, OURS, THEIRS, Merged, decide_text, merge3
from lettaform.plan.policy import Decision
from lettaform.values import Ref, Template
from tests.plan.samples import at, difference, living, manifest, observed, wanted

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "", "d\r"]), max_size=8).map("\n".join)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        pytest.param("a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC", id="different lines"),
        pytest.param("a\nb", "a\nb\nc", "A\nb", "A\nb\nc", id="a line at the end of a text without a last newline"),
        pytest.param("a\n", "a\nb\n", "0\na\n", "0\na\nb\n", id="above and below"),
        pytest.param("a\nb\nc", "a\nc", "a\nb\nC", None, id="one removes a line beside the changed one"),
        pytest.param("a\nb\nc\nd", "a\nc\nd", "a\nb\nc\nD", "a\nc\nD", id="one removes a line"),
        pytest.param("a", "b", "b", "b", id="the same change"),
        pytest.param("a\nx\nb", "1\nx\n2", "1\nx\nb", "1\nx\n2", id="the same change, and one more"),
        pytest.param("", "a", "b", None, id="both fill an empty text"),
        pytest.param("a", "a\nb", "a\nc", None, id="both add a line at one place"),
        pytest.param("a\r\nb\r\n", "A\r\nb\r\n", "a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", id="carriage returns"),
        pytest.param(None, "a", "b", None, id="the base is not known"),
        pytest.param(None, "a", "a", "a", id="the base is not known, and nothing differs"),
    ],
)
def test_lines_are_merged(base: str | None, ours: str, theirs: str, merged: str | None) -> None:
    found, mirrored = merge3(base, ours, theirs), merge3(base, theirs, ours)
    assert (found.text if not found.conflicts else None) == merged
    assert bool(found.conflicts) == bool(mirrored.conflicts)


def test_a_conflict_has_the_diff3_form() -> None:
    found = merge3("top\nold\nend", "top\nnew\nend", "top\nlearned\nmore\nend")
    lines = ["top", OURS, "new", BASE, "old", MIDDLE, "learned", "more", THEIRS, "end"]
    assert found == Merged("\n".join(lines), 1)


@pytest.mark.parametrize(("side", "text"), [("ours", "A\nx\nb2"), ("theirs", "a2\nx\nb2")])
def test_a_side_is_favoured_where_both_changed_the_same_lines(side: str, text: str) -> None:
    assert merge3("a\nx\nb", "A\nx\nb", "a2\nx\nb2", side) == Merged(text)  # type: ignore[arg-type]


@given(TEXTS, TEXTS)
def test_what_one_side_alone_changed_is_taken(base: str, other: str) -> None:
    assert merge3(base, other, base) == merge3(base, base, other) == merge3(base, other, other) == Merged(other)


@given(TEXTS, TEXTS, TEXTS)
def test_no_line_of_a_side_is_lost(base: str, ours: str, theirs: str) -> None:
    text, conflicts = merge3(base, ours, theirs)
    lines = text.split("\n")
    for side in (ours, theirs):
        for line in {*side.split("\n")} - {*base.split("\n")}:
            assert line in lines
    assert (OURS in lines) == bool(conflicts)
    assert lines.count(THEIRS) == conflicts


@given(TEXTS, TEXTS, TEXTS)
def test_a_favoured_side_leaves_no_conflict(base: str, ours: str, theirs: str) -> None:
    for side in ("ours", "theirs"):
        assert merge3(base, ours, theirs, side).conflicts == 0  # type: ignore[arg-type]
    if not merge3(base, ours, theirs).conflicts:
        assert merge3(base, ours, theirs, "ours") == merge3(base, ours, theirs)


@pytest.mark.parametrize(
    ("base", "want", "have", "decision"),
    [
        pytest.param("a", "a", "a", {"base": "a"}, id="nothing moved"),
        pytest.param("a", "b", "a", {"write": "manifest", "base": "b"}, id="only the manifest moved"),
        pytest.param("a", "a", "b", {"runtime": True, "base": "a"}, id="only the server moved"),
        pytest.param("a", "b", "b", {"base": "b"}, id="both moved to the same text"),
        pytest.param(
            "a\nx\nb", "A\nx\nb", "a\nx\nB", {"write": "merge", "base": "A\nx\nb", "value": "A\nx\nB"}, id="merged"
        ),
        pytest.param("a\nx\nb", "A\nx\nb", "A\nx\nB", {"runtime": True, "base": "A\nx\nb"}, id="the server has it all"),
        pytest.param(
            "a\nx\nb", "A\nx\nB", "A\nx\nb", {"write": "conflict", "base": "A\nx\nB"}, id="the manifest has all"
        ),
    ],
)
def test_a_text_is_decided(base: str | None, want: str, have: str, decision: dict[str, Any]) -> None:
    assert decide_text(base, want, have) == Decision(**decision)


@pytest.mark.parametrize(
    ("base", "reason"),
    [("c", "the manifest and the server changed the same"), (None, "they differ, and the text")],
)
def test_a_conflict_writes_nothing_and_keeps_the_base(base: str | None, reason: str) -> None:
    found = decide_text(base, "a", "b")
    assert (found.write, found.runtime, found.base) == (None, True, base)
    assert found.conflict is not None
    assert found.conflict.reason.startswith(reason)
    assert decide_text(base, "a", "b", favour="ours").write == "conflict"
    assert decide_text(base, "a", "b", favour="theirs") == Decision(runtime=True, base="a")


def test_a_merged_text_that_cannot_be_written_is_a_conflict() -> None:
    found = decide_text("a\nx\nb", "A\nx\nb", "a\nx\nB", problem=lambda text: f"is {text}")
    assert found.conflict == MergeConflict("the merged text is A\nx\nB", "A\nx\nB")


def text_with_a_new_id(have: str, base: str) -> Diff:
    """A text that contains the id of a block that does not exist yet. The mark keeps a digest, of another policy."""
    system = Template(("Ask ", Ref(at("blocks.new"))))
    agent = wanted("agents.a", {"system": "merge"}, system=system)
    live = living("agents.a", "agent-1", {"system": base}, system=have)
    return difference(manifest(agent, wanted("blocks.new", value="x")), observed(live))


def test_a_text_with_an_id_that_is_not_known_is_written_if_nobody_changed_it() -> None:
    (changed,) = [each for each in text_with_a_new_id("old", "old").resources if each.change.kind == "agent"]
    assert changed.change.fields_changed[0].reason == "manifest"


def test_a_text_with_an_id_that_is_not_known_cannot_be_merged() -> None:
    (kept,) = text_with_a_new_id("learned", "old").runtime
    assert kept.conflict is not None
    assert "not known before the apply" in kept.conflict.reason
