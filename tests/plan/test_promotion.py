"""Texts of another environment: which can be brought, what a block gets, and what conflicts."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.model import Desired, External, Live, Manifest, Mark, Observed, PlanOptions, PromotedText, Promotion
from lettaform.plan.leaves import spelled
from lettaform.plan.promotion import left_out, promote, texts
from lettaform.values import Secret, kept_text

at = Address.read
HERE = Place("a.yaml", 1, 1)


@pytest.mark.parametrize(
    ("memory", "text", "base", "here", "favour", "gets"),
    [
        ("copy", "a", None, "b", None, "a"),
        ("merge", "a", None, "a", None, "a"),
        ("merge", "x\nb", "a\nb", "a\nb", None, "x\nb"),
        ("merge", "a\nb", "a\nb", "a\ny", None, "a\ny"),
        ("merge", "x\nb\nc", "a\nb\nc", "a\nb\nz", None, "x\nb\nz"),
        ("merge", "x", "a", "y", None, "conflict"),
        ("merge", "x", "a", "y", "ours", "y"),
        ("merge", "x", "a", "y", "theirs", "x"),
        ("merge", "x", None, "y", None, "conflict"),
        ("merge", "x", None, "y", "ours", "y"),
        ("merge", "x", None, "y", "theirs", "x"),
    ],
)
def test_what_a_block_gets(memory: Any, text: str, base: str | None, here: str, favour: Any, gets: str) -> None:
    found, conflict = promote(Promotion("dev", memory), text, base, here, favour)
    assert ("conflict" if conflict else found) == gets
    if conflict:
        assert "dev" in conflict.reason
        assert ("not known" in conflict.reason) is (base is None)
        assert (found, conflict.text.splitlines()[-1]) == (here, ">>>>>>> dev")


def block(address: str, **more: Any) -> Desired:
    values = more.pop("values", {"label": "x", "value": "seed"})
    return Desired(at(address), "block", values, HERE, **more)


def manifest(*every: Desired) -> Manifest:
    return Manifest("s", {each.address: each for each in every})


def observed(address: str, value: str | None = "now", base: str | None = None) -> Observed:
    mark = Mark({"value": base} if base else {})
    return Observed(
        "http://here",
        "0.16.8",
        objects={
            at(address): Live("block", "block-1", "x", {"value": value}, address=at(address), stack="s", mark=mark)
        },
    )


SEED = spelled(kinds()["block"], kinds()["block"].attrs()["value"], "seed")


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (block("blocks.a"), block("blocks.a"), True),
        (block("agents.a.memory.b"), block("agents.a.memory.b"), True),
        (block("blocks.a"), block("blocks.b"), False),
        (block("blocks.a"), block("blocks.a", policies={"value": "merge"}), True),
        (block("blocks.a"), block("blocks.a", policies={"value": "enforce"}), False),
        (block("blocks.a"), block("blocks.a", policies={"value": "ignore"}), False),
        (block("blocks.a", external=External(name="a")), block("blocks.a"), False),
        (block("blocks.a"), block("blocks.a", values={"label": "x"}), False),
    ],
)
def test_texts_that_agents_write_in_both_environments_are_brought(first: Desired, second: Desired, found: bool) -> None:
    there = observed(str(first.address))
    assert bool(texts(manifest(first), there, manifest(second), ())) is found
    assert bool(texts(manifest(first), there, manifest(second), (str(first.address),))) is found
    assert texts(manifest(first), there, manifest(second), ("blocks.other",)) == []


@pytest.mark.parametrize(
    ("base", "values", "known"),
    [
        (SEED, {"value": "seed"}, "seed"),
        (SEED, {"value": "another"}, None),
        (kept_text("earlier"), {"value": "another"}, "earlier"),
        (None, {"value": "seed"}, None),
        (SEED, {"value": Secret("${var.x}", "seed")}, None),
    ],
)
def test_the_text_from_which_it_comes_is_that_of_the_mark(base: str | None, values: Any, known: str | None) -> None:
    desired = block("blocks.a", values={"label": "x", **values})
    found = texts(manifest(desired), observed("blocks.a", base=base), manifest(desired), ())
    assert found == [PromotedText("blocks.a", "now", known)]


def test_an_empty_block_is_an_empty_text_and_notes_are_warnings() -> None:
    desired = block("blocks.a")
    assert texts(manifest(desired), observed("blocks.a", None), manifest(desired), ())[0].text == ""
    options = PlanOptions(promotion=Promotion("dev", notes=("blocks.a is left out",)))
    assert [each.severity for each in left_out(options)] == ["warning"]
    assert list(left_out(PlanOptions())) == []
