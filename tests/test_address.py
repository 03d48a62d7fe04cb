"""Addresses: one spelling, read and printed, taken apart and built."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lettaform.address import Address, Component, matches

SPELLINGS = [
    "agents.worker",
    "agents.worker[emea]",
    'agents.worker["a b"]',
    'agents["a b"]',
    "agents.worker[emea].memory.human",
    'folders.handbook.files["docs/a.md"]',
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_an_address_is_printed_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agents",
        "agents.",
        ".agents.a",
        'agents["a"]',
        'agents.a["x"]',
        "agents.a.memory",
        "agents.a.b.c.d.e",
        "a b.c",
    ],
)
def test_every_other_text_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)


@given(st.text(min_size=1), st.none() | st.text(min_size=1), st.none() | st.text(min_size=1))
def test_any_key_can_be_spelled(key: str, index: str | None, child: str | None) -> None:
    address = Address.of("agents", key, index)
    address = address.part("memory", child) if child else address
    assert Address.parse(str(address)) == address


def test_the_parts_of_an_address() -> None:
    block = Address.parse("agents.worker[emea].memory.human")
    assert (block.section, block.key, block.index, block.field, block.child) == (
        "agents",
        "worker",
        "emea",
        "memory",
        "human",
    )
    assert str(block.parent) == "agents.worker[emea]"
    assert block.without_section == "worker[emea].memory.human"
    assert (block.parent and block.parent.parent) is None


def test_addresses_that_follow_from_another() -> None:
    agent = Address.parse("agents.worker[emea]")
    assert str(agent.part("memory", "a b")) == 'agents.worker[emea].memory["a b"]'
    assert str(agent.instance(None)) == "agents.worker"
    assert str(agent.sibling("archives", "notes")) == "archives.notes[emea]"
    moved = agent.part("memory", "human").moved(agent, Address.of("agents", "clerk"))
    assert str(moved) == "agents.clerk.memory.human"
    assert agent.part("memory", "human").is_within(agent)
    assert not agent.is_within(Address.of("agents", "work"))


def test_the_rest_of_an_address_is_read_after_its_section() -> None:
    for text in ("worker", "worker[emea]", '["a b"]'):
        address = Address.in_section("agents", text)
        assert (address.section, Address.in_section("agents", address.without_section)) == ("agents", address)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("agents.a", "agents.a"),
        ("blocks.brand[acme/eu]", 'blocks.brand["acme/eu"]'),
        ("blocks.brand[v1.2]", 'blocks.brand["v1.2"]'),
        ("blocks.brand[two words]", 'blocks.brand["two words"]'),
        ("blocks.acme/eu", 'blocks["acme/eu"]'),
        ("blocks.two words[x]", 'blocks["two words"][x]'),
        ("blocks[acme.eu]", 'blocks["acme.eu"]'),
        ("agents.acme/eu.memory.human", 'agents["acme/eu"].memory.human'),
        ("folders.h.files[docs/a.md]", 'folders.h.files["docs/a.md"]'),
        ('agents["a]b"]', 'agents["a]b"]'),
    ],
)
def test_an_address_is_read_without_quotes_where_it_has_one_meaning(written: str, address: str) -> None:
    assert str(Address.read(written)) == address
    assert Address.read(address) == Address.parse(address)


@pytest.mark.parametrize(
    "text", ["", "agents", "agents.", "agents.a.b", "agents.v1.2", "agents.a[", "agents[ a]", "a..b"]
)
def test_what_has_several_meanings_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.read(text)


def test_a_key_with_a_dot_and_the_key_of_an_instance_are_told_apart_in_a_section() -> None:
    assert str(Address.in_section("blocks", "v1.2[acme/eu]")) == 'blocks["v1.2"]["acme/eu"]'
    assert str(Address.parse("agents.a[x].memory.human").declaration) == "agents.a.memory.human"


def test_an_address_is_shown_as_people_read_it() -> None:
    assert repr(Address.parse('blocks.rules["a/b"]')) == '<blocks.rules["a/b"]>'


INSIDE = [
    "components.emea.agents.lead",
    "components.desk[emea].agents.lead",
    'components["a b"].agents.lead["c.d"].memory.human',
    "components.a.components.b[x].blocks.notes",
]


@pytest.mark.parametrize("text", INSIDE)
def test_the_address_of_what_is_in_a_component_is_printed_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text
    address = Address.parse(text)
    assert address.component is not None
    assert address.section in ("agents", "blocks")
    assert str(address).startswith(f"{address.component}.")
    assert (Address.parse(text), hash(address)) == (address, hash(Address.parse(text)))


@pytest.mark.parametrize("text", ["components.emea", "components", "components.a.agents", "components.a.b.c.d.e.f"])
def test_a_component_is_no_address_of_an_object(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)


def test_what_follows_from_an_address_in_a_component_is_in_it() -> None:
    lead = Address.parse("components.desk[emea].agents.lead[x]")
    assert str(lead.part("memory", "human")) == "components.desk[emea].agents.lead[x].memory.human"
    assert lead.part("memory", "human").parent == lead
    assert str(lead.instance(None)) == "components.desk[emea].agents.lead"
    assert str(lead.sibling("groups", "all")) == "components.desk[emea].groups.all[x]"
    assert str(lead.without_indexes) == "components.desk.agents.lead"
    assert (lead.indexes, lead.without_section) == ("[emea][x]", "lead[x]")
    moved = lead.part("memory", "human").moved(lead, Address.of("agents", "clerk"))
    assert str(moved) == "agents.clerk.memory.human"
    assert not Address.of("agents", "lead", "x").is_within(lead)
    assert str(Address.of("agents", "a").inside(Component.read("components.x"))) == "components.x.agents.a"
    inner = Component.read("components.a.components.b[x]")
    assert (str(inner.outer), inner.key, inner.index) == ("components.a", "b", "x")
    assert inner.is_within(Component.read("components.a"))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("components.emea", True),
        ("components.emea.*", True),
        ("components.*.agents.lead", True),
        ("components.emea.agents.*", True),
        ("components.emea.agents.lead", True),
        ("agents.*", False),
        ("components.apac", False),
        ("components.emea.blocks.*", False),
        ("components.eme", False),
    ],
)
def test_patterns_of_components(pattern: str, found: bool) -> None:
    assert matches(Address.parse("components.emea.agents.lead"), (pattern,)) is found
    assert matches(Address.parse("components.emea.agents.lead.memory.human"), (pattern,)) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "components.desk",
        "components.desk[a b]",
        'components["desk"]',
        'components.desk["a b"].agents.*',
        "components.*",
    ],
)
def test_patterns_of_instances_of_components(pattern: str) -> None:
    assert matches(Address.parse('components.desk["a b"].components.x.agents.lead[y]'), (pattern, "x")) is (
        "agents" not in pattern or pattern == "components.*"
    )
    assert matches(Address.parse('components.desk["a b"].agents.lead[y]'), (pattern,))
