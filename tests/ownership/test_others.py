"""States of other stacks, to the owner of an object that carries no claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lettaform.address import Address
from lettaform.backend.v1.capabilities import capabilities
from lettaform.errors import Place
from lettaform.model import Desired, External, Listing, Live, Manifest, Mark, State
from lettaform.ownership import others
from lettaform.ownership.others import Others
from lettaform.ownership.state import to_pages

at = Address.parse
HERE = Place("lettaform.yaml", 1, 1)
SHOP = at("identities.shop")
V1 = capabilities()
NEWER, BROKEN = '{"v": 99}', "no JSON"


def pages(**states: State | str) -> dict[str, dict[str, str]]:
    """The pages of stacks, given by a state or by the text of a page."""
    texts = {stack: [each] if isinstance(each, str) else to_pages(each) for stack, each in states.items()}
    return {stack: {str(number): text for number, text in enumerate(every)} for stack, every in texts.items()}


def state(**more: object) -> State:
    return replace(State(exists=True), **more)  # type: ignore[arg-type]


def identity(id: str, name: str = "shop", stack: str | None = None) -> Live:
    return Live("identity", id, name, {}, stack=stack)


LISTED = state(ids={SHOP: "1"})
CREATING = state(intents={SHOP: "shop"})


# --- what states say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, Others()),
        ({"s": LISTED}, Others()),
        ({"t": LISTED}, Others({"1": "t"}, {("t", SHOP): "1"})),
        ({"s": LISTED, "t": state(ids={at("providers.p"): "2"})}, Others({"2": "t"}, {("t", at("providers.p")): "2"})),
        ({"t": CREATING}, Others(intents={("identity", "shop"): "t"})),
        ({"t": state(ids={SHOP: "1"}, intents={SHOP: "shop"})}, Others({"1": "t"}, {("t", SHOP): "1"})),
        # its deletion may fail
        ({"t": state(tombstones={"1": Mark()})}, Others({"1": "t"})),
        ({"t": BROKEN}, Others(unreadable=("t",))),
        ({"t": NEWER, "u": LISTED}, Others({"1": "u"}, {("u", SHOP): "1"}, unreadable=("t",))),
    ],
)
def test_what_the_states_of_other_stacks_say(states: Mapping[str, State | str], expected: Others) -> None:
    assert others.read(pages(**states), "s") == expected


def test_an_object_of_a_state_that_is_read_in_part_belongs_to_its_stack() -> None:
    (text,) = to_pages(LISTED)
    found = others.read({"t": {"1": text.replace('"serial": 0', '"serial": "?"')}}, "s")
    assert (found.ids, found.unreadable) == ({"1": "t"}, ("t",))


@pytest.mark.parametrize(
    ("live", "owner"),
    [(identity("1"), "t"), (identity("2"), None), (identity("1", stack="u"), "u"), (identity("1", stack="s"), "s")],
)
def test_a_claim_on_the_object_comes_before_every_state(live: Live, owner: str | None) -> None:
    assert Others({"1": "t"}).owned(live).stack == owner


# --- names that the stack is about to use ----------------------------------------------------------------------------


def declared(**more: object) -> Manifest:
    values = {"identifier_key": "shop"}
    desired = replace(Desired(SHOP, "identity", values, HERE), **more)  # type: ignore[arg-type]
    return Manifest("s", {SHOP: desired})


EXTERNAL = declared(external=External(name="shop"))


@pytest.mark.parametrize(
    ("live", "known", "wants", "asked"),
    [
        (identity("1"), State(), declared(), True),
        (identity("1", "another"), State(), declared(), False),
        (identity("1"), State(), Manifest("s", {}), False),
        (identity("1"), State(), EXTERNAL, False),
        # whose it is, is known
        (identity("1"), LISTED, declared(), False),
        (identity("1", stack="t"), State(), declared(), False),
        # an apply that did not end may have created it
        (identity("1"), CREATING, Manifest("s", {}), True),
        (Live("folder", "1", "shop", {}), State(intents={at("folders.shop"): "shop"}), Manifest("s", {}), False),
    ],
)
def test_states_are_read_only_if_a_name_is_in_doubt(live: Live, known: State, wants: Manifest, asked: bool) -> None:
    assert others.undecided(Listing({live.kind: (live,)}), known, wants, V1) == asked


@pytest.mark.parametrize(
    ("known", "theirs", "owner", "problem"),
    [
        (State(), Others(), None, None),
        (State(), Others({"1": "t"}), "t", None),
        # another stack was creating it, and this one was not
        (State(), Others(intents={("identity", "shop"): "t"}), "t", None),
        # only this stack was creating it
        (CREATING, Others(), None, None),
        (CREATING, Others({"1": "t"}), "t", None),
        # both were creating it
        (CREATING, Others(intents={("identity", "shop"): "t"}), None, "belongs to this stack or to stack `t`"),
        (State(), Others(unreadable=("t",)), None, "may belong to stack `t`, whose state cannot be read"),
        (CREATING, Others(unreadable=("t",)), None, "may belong to stack `t`, whose state cannot be read"),
        (State(), Others({"1": "u"}, unreadable=("t",)), "u", None),
    ],
)
def test_whose_an_object_is_whose_name_the_stack_needs(
    known: State, theirs: Others, owner: str | None, problem: str | None
) -> None:
    listing = Listing({"identity": (identity("2", "another"), identity("1"))})
    listing, problems = others.decided(listing, known, declared(), V1, theirs)
    assert {each.id: each.stack for each in listing.objects["identity"]} == {"1": owner, "2": None}
    assert [(each.place, each.address) for each in problems] == ([(HERE, str(SHOP))] if problem else [])
    assert all(problem and problem in each.message for each in problems)


def test_an_object_that_two_states_list_is_disputed() -> None:
    assert others.disputed(identity("1"), SHOP, Others({"2": "t"})) is None
    problem = others.disputed(identity("1"), SHOP, Others({"1": "t"}))
    assert problem is not None
    assert problem.message == "identities.shop: 1 belongs to stack `t`, too"
