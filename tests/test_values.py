"""Addresses have one spelling; slots are filled, settled and found; digests do not depend on how JSON is written."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lettaform.address import Address
from lettaform.errors import nearest
from lettaform.values import (
    UNREAD,
    Digest,
    Patch,
    Ref,
    Secret,
    Template,
    canonical,
    digest,
    fill,
    keyed,
    refs,
    settle,
    tainted,
)

ORG = Address.of("blocks", "org")
keys = st.text(min_size=1, max_size=12).filter(lambda text: max(text) < "\ud800" or max(text) > "\udfff")


@given(keys, st.none() | keys, st.none() | keys)
def test_every_address_is_read_back_as_it_is_written(key: str, index: str | None, child: str | None) -> None:
    address = Address.of("agents", key, index)
    address = address.part("memory", child) if child else address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["agents.worker", "agents.worker[emea]", "agents.a.memory.human", 'folders.h.files["docs/a.md"]', 'agents["a b"]'],
)
def test_the_spellings_of_the_design(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "agents", "agents.", "agents.a b", 'agents["a"]', "agents.a.memory", "agents.a[]", "a.b.c.d.e"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)


def test_a_part_knows_its_parent() -> None:
    agent = Address.of("agents", "worker", "emea")
    assert agent.part("memory", "human").parent == agent
    assert agent.parent is None


def test_slots_are_filled_wherever_they_stand() -> None:
    value = {
        "a": [Ref(ORG), "x"],
        "b": Template(("see ", Ref(ORG), ".")),
        "c": Secret("${env.X}", "s3cret"),
        "d": Patch((Ref(ORG),), ("gone",), (("k", Ref(ORG)),)),
    }
    filled = fill(value, lambda ref: "block-1")
    assert filled["a"] == ["block-1", "x"]
    assert filled["b"] == "see block-1."
    assert filled["c"] == "s3cret"
    assert filled["d"] == Patch(("block-1",), ("gone",), (("k", "block-1"),))
    assert fill(Digest([Ref(ORG)]), lambda ref: "block-1") == digest(["block-1"])


def test_settling_leaves_what_nobody_knows_and_keeps_secrets_shut() -> None:
    secret = Secret("${env.X}", "s3cret")
    value = {"a": Ref(ORG), "b": Template(("see ", Ref(ORG))), "c": secret}
    assert settle(value, lambda ref: ref) == value
    assert settle(value, lambda ref: "block-1") == {"a": "block-1", "b": "see block-1", "c": secret}


def test_refs_and_taint_are_found_in_depth() -> None:
    value = {"a": [{"b": Patch(entries=(("k", Template(("x", Ref(ORG)))),))}]}
    assert list(refs(value)) == [Ref(ORG)]
    assert not tainted(value)
    assert tainted({"a": [Patch(entries=(("k", Secret("e", "v")),))]})


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("${env.X}", "s3cret")
    assert "s3cret" not in f"{secret} {secret!r} {[secret]!r} {Patch((secret,))!r}"


def test_digests_do_not_depend_on_the_spelling_of_json() -> None:
    assert digest({"a": 1.0, "b": [2]}) == digest({"b": [2.0], "a": 1})
    assert digest({"a": 1.5}) != digest({"a": 1})
    assert digest(True) != digest(1)
    assert canonical({"ü": "\u2028"}) == '{"ü":"\u2028"}'


def test_a_secret_is_digested_with_the_key_of_the_stack() -> None:
    secret = Secret("e", "s3cret")
    assert keyed(secret, "one") != keyed(secret, "two")
    assert keyed(secret, "one") == keyed(Secret("other", "s3cret"), "one")


def test_the_nearest_word() -> None:
    assert nearest("vlaue", ["value", "limit"]) == "value"
    assert nearest("xyz", ["value", "limit"]) is None


def test_an_unread_field_cannot_be_compared_and_is_one_however_it_is_copied() -> None:
    assert copy.deepcopy({"a": UNREAD})["a"] is UNREAD
    assert pickle.loads(pickle.dumps(UNREAD)) is UNREAD
    for compare in (lambda: UNREAD == [], lambda: UNREAD != [], lambda: bool(UNREAD), lambda: list(UNREAD)):
        with pytest.raises(RuntimeError, match="was not read"):
            compare()
