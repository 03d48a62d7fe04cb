"""Ownership: lists of objects, the state and a manifest, to what is whose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.backend.v1.capabilities import capabilities
from lettaform.errors import Place
from lettaform.model import Capabilities, Desired, External, Listing, Live, Manifest, Mark, Moved, Observed, State
from lettaform.ownership import claims
from lettaform.ownership.others import Others
from lettaform.values import Ref, digest

at = Address.parse
HERE = Place("lettaform.yaml", 1, 1)
A, HUMAN = at("agents.a"), at("agents.a.memory.human")
MARK = Mark({"name": "digest"})

V1 = capabilities()
FILES = Capabilities(listed=frozenset({"agent", "block"}), inline_parts=False, attach_parts=False)
"""A backend that has no room for claims and marks."""


def live(kind: str, id: str, claim: str | None = None, stack: str | None = "s", **more: Any) -> Live:
    """An object as a list shows it. `claim`: the address that its mark claims for `stack`."""
    name = more.pop("name", id)
    address = at(claim) if claim else None
    owner = stack if claim else None
    return Live(kind, id, name, more.pop("values", {}), address, owner, marked=address is not None, **more)


def agent(id: str, claim: str | None = None, stack: str = "s", **more: Any) -> Live:
    return live("agent", id, claim, stack, **more)


def block(id: str, claim: str | None = None, stack: str = "s", **more: Any) -> Live:
    return live("block", id, claim, stack, **more)


def state(ids: Mapping[str, str] = {}, **more: Any) -> State:
    return State({at(text): id for text, id in ids.items()}, exists=True, **more)


def manifest(*objects: Desired, **more: Any) -> Manifest:
    return Manifest("s", {each.address: each for each in objects}, **more)


def desired(text: str, kind: str, **more: Any) -> Desired:
    return Desired(at(text), kind, more.pop("values", {}), HERE, **more)


def observe(
    *lives: Live,
    attached: Mapping[str, Iterable[Live]] = {},
    known: State = State(),  # noqa: B008
    able: Capabilities = V1,
) -> Observed:
    objects = defaultdict[str, tuple[Live, ...]](tuple)
    for each in lives:
        objects[each.kind] += (each,)
    listing = Listing(objects, {id: tuple(blocks) for id, blocks in attached.items()})
    return claims.observe(listing, known, manifest(), able, "http://here", "1")


def ids(observed: Observed) -> dict[str, str]:
    return {str(address): each.id for address, each in observed.objects.items()}


def by_address(lives: Mapping[Address, Sequence[Live]]) -> dict[str, list[str]]:
    return {str(address): [each.id for each in every] for address, every in lives.items()}


# --- one address, its claimants --------------------------------------------------------------------------------------

OWN, OTHER = block("b1", "agents.a.memory.human"), block("b2", "agents.a.memory.persona")


@pytest.mark.parametrize(
    ("claimants", "known", "winner", "duplicates"),
    [
        # one
        ([agent("1", "agents.a")], state(), "1", []),
        ([agent("1", "agents.a")], state({"agents.a": "1"}), "1", []),
        ([agent("1", "agents.a", "t")], state(), None, []),
        ([agent("1")], state(), None, []),
        # its mark is gone
        ([agent("1")], state({"agents.a": "1"}), "1", []),
        # its mark names the stack, and no address
        ([replace(agent("1"), stack="s")], state({"agents.a": "1"}), "1", []),
        ([replace(agent("1"), stack="s")], state(), None, []),
        # another stack has claimed it since
        ([agent("1", "agents.x", "t")], state({"agents.a": "1"}), None, []),
        # several: the state decides
        ([agent("1", "agents.a"), agent("2", "agents.a")], state({"agents.a": "2"}), "2", ["1"]),
        ([agent("1", "agents.a"), agent("2")], state({"agents.a": "2"}), "2", ["1"]),
        # the state names one that is deleted: what else claims the address is not it
        ([agent("2", "agents.a")], state({"agents.a": "1"}), None, ["2"]),
        ([agent("2", "agents.a"), agent("3", "agents.a")], state({"agents.a": "1"}), None, ["2", "3"]),
        # duplicates that the state remembers
        ([agent("2", "agents.a")], state(duplicates=frozenset({"2"})), None, ["2"]),
        ([agent("1", "agents.a"), agent("2", "agents.a")], state(duplicates=frozenset({"2"})), "1", ["2"]),
        ([agent("2", "agents.a")], state({"agents.a": "2"}, duplicates=frozenset({"2"})), "2", []),
    ],
)
def test_who_stands_at_an_address(
    claimants: list[Live], known: State, winner: str | None, duplicates: list[str]
) -> None:
    observed = observe(*claimants, known=known)
    assert ids(observed) == ({"agents.a": winner} if winner else {})
    assert [each.id for each in observed.duplicates] == duplicates
    assert not observed.problems
    for each in observed.objects.values():
        assert (each.address, each.stack) == (A, "s")


@pytest.mark.parametrize(
    ("attached", "winner"),
    [
        ({"1": [OWN]}, "1"),
        ({"2": [OWN]}, "2"),
        ({"1": [block("b9")], "2": [OWN]}, "2"),
        ({"1": [block("b9", "blocks.shared")], "2": [OWN]}, "2"),
        ({"1": [block("b9", "agents.a.memory.human", "t")], "2": [OWN]}, "2"),
        ({"1": [OWN], "2": [OTHER]}, None),
        ({"1": [], "2": []}, None),
        ({}, None),
    ],
)
def test_without_an_entry_in_the_state_own_blocks_tell_an_agent_from_its_duplicate(
    attached: Mapping[str, list[Live]], winner: str | None
) -> None:
    observed = observe(agent("1", "agents.a"), agent("2", "agents.a"), attached=attached)
    assert ids(observed).get("agents.a") == winner
    assert len(observed.problems) == (winner is None)


def test_a_duplicate_that_the_state_remembers_is_not_the_agent_whatever_blocks_it_has() -> None:
    known = state(duplicates=frozenset({"2"}))
    observed = observe(agent("1", "agents.a"), agent("2", "agents.a"), attached={"2": [OWN]}, known=known)
    assert ids(observed) == {"agents.a": "1"}


def test_if_the_agent_of_the_state_is_deleted_the_one_that_has_its_blocks_is_the_agent() -> None:
    observed = observe(agent("2", "agents.a"), OWN, attached={"2": [OWN]}, known=state({"agents.a": "1"}))
    assert ids(observed) == {"agents.a": "2", "agents.a.memory.human": "b1"}


def test_a_doubt_is_a_problem_that_says_what_to_do() -> None:
    observed = observe(agent("1", "agents.a"), agent("2", "agents.a"))
    (problem,) = observed.problems
    assert problem.message == "several objects on the server claim to be agents.a: 1, 2"
    assert problem.hint == "`lettaform import 'agents.a' ID` chooses one"
    assert problem.address == "agents.a"
    assert [each.id for each in observed.duplicates] == ["1", "2"]


@pytest.mark.parametrize(
    ("one", "marked"),
    [(agent("1", "agents.a"), True), (agent("1"), False), (replace(agent("1"), stack="s"), False)],
)
def test_whether_an_object_carries_its_claim(one: Live, marked: bool) -> None:
    assert observe(one, known=state({"agents.a": "1"})).objects[A].marked is marked


def test_an_object_between_two_addresses_stands_at_both() -> None:
    # `state mv` was killed between the mark and the state
    observed = observe(agent("1", "agents.b"), known=state({"agents.a": "1"}))
    assert ids(observed) == {"agents.a": "1", "agents.b": "1"}


# --- kinds without claims and marks ----------------------------------------------------------------------------------

P = at("providers.p")


@pytest.mark.parametrize(
    ("one", "known", "found"),
    [
        (live("provider", "1", name="p"), state({"providers.p": "1"}), True),
        (live("provider", "1", name="p"), state({"providers.p": "2"}), False),
        (live("provider", "1", name="p"), state(), False),
        # an apply that was killed intended to create it
        (live("provider", "1", name="p"), state(intents={P: "p"}), True),
        (live("provider", "1", name="q"), state(intents={P: "p"}), False),
        (live("identity", "1", name="p"), state(intents={P: "p"}), False),
        # what the state has already is not what was intended
        (live("provider", "1", name="p"), state({"providers.p": "2"}, intents={P: "p"}), False),
    ],
)
def test_what_cannot_carry_a_claim_is_known_by_the_state(one: Live, known: State, found: bool) -> None:
    observed = observe(one, known=known)
    assert (P in observed.objects) is found
    assert (("provider", "p") in observed.foreign) is (not found and one.kind == "provider" and one.name == "p")
    if found:
        assert (observed.objects[P].stack, observed.objects[P].marked) == ("s", True)


def test_an_intent_does_not_speak_of_what_can_carry_a_claim() -> None:
    assert not observe(agent("1", name="a"), known=state(intents={A: "a"})).objects
    assert ids(observe(agent("1", name="a"), known=state(intents={A: "a"}), able=FILES)) == {"agents.a": "1"}


def test_a_mark_that_has_no_room_on_its_object_stands_in_the_state() -> None:
    one = live("provider", "1", name="p")
    assert observe(one, known=state({"providers.p": "1"}, marks={P: MARK})).objects[P].mark == MARK
    assert observe(one, known=state({"providers.p": "1"})).objects[P].mark == Mark()
    # it was about to be deleted, and lives
    assert observe(one, known=state({"providers.p": "1"}, tombstones={"1": MARK})).objects[P].mark == MARK
    tool = live("tool", "1", "tools.t")
    assert observe(tool, known=state({"tools.t": "1"}, marks={at("tools.t"): MARK})).objects[at("tools.t")].mark == MARK


def test_a_mark_on_an_object_wins_over_the_state() -> None:
    one = replace(agent("1", "agents.a"), mark=MARK)
    assert observe(one, known=state({"agents.a": "1"}, marks={A: Mark({"other": "d"})})).objects[A].mark == MARK


def test_of_a_backend_without_claims_the_state_alone_decides() -> None:
    known = state({"agents.a": "1", "agents.a.memory.human": "1/human"}, marks={A: MARK, HUMAN: Mark({"value": "d"})})
    human = block("1/human", name="human")
    observed = observe(agent("1"), agent("2"), human, attached={"1": [human]}, known=known, able=FILES)
    assert ids(observed) == {"agents.a": "1", "agents.a.memory.human": "1/human"}
    assert observed.objects[A].mark == MARK
    assert observed.objects[HUMAN].mark == Mark({"value": "d"})
    assert all(each.marked and each.stack == "s" for each in observed.objects.values())
    assert not observed.duplicates
    assert not observed.detached
    assert not observed.problems


# --- what no list shows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "able", "missing"),
    [
        ("agents.a", V1, True),
        ("agents.a.memory.human", V1, True),
        ("conversations.c", V1, True),
        ("tools.t", V1, False),  # listed whole
        ("providers.p", V1, False),
        ("schedules.s", V1, False),  # nested
        ("agents.a", FILES, False),
        ("unknown.x", V1, False),
    ],
)
def test_what_the_state_knows_and_no_list_shows(address: str, able: Capabilities, missing: bool) -> None:
    assert bool(claims.missing(Listing(), state({address: "1"}), able)) is missing


def test_what_a_list_shows_is_not_missing() -> None:
    listing = Listing({"agent": (agent("1"),)})
    assert claims.missing(listing, state({"agents.a": "1", "agents.b": "2"}), V1) == [("agent", "2")]


# --- foreign objects -------------------------------------------------------------------------------------------------


def test_unique_names_that_others_have() -> None:
    tools = [live("tool", "1", "tools.mine", name="mine"), live("tool", "2", name="theirs")]
    taken = live("tool", "3", "tools.x", "t", name="other")
    observed = observe(*tools, taken, agent("4", name="a"))
    assert {key: each.id for key, each in observed.foreign.items()} == {("tool", "theirs"): "2", ("tool", "other"): "3"}


# --- own blocks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attached", "blocks", "known", "placed", "orphaned"),
    [
        # attached
        (["b1"], [OWN], state(), {"agents.a.memory.human": "b1"}, {}),
        # its mark is gone
        (["b1"], [block("b1")], state({"agents.a.memory.human": "b1"}), {"agents.a.memory.human": "b1"}, {}),
        # it is a block like any other
        (["b1"], [block("b1")], state(), {}, {}),
        (["b1"], [block("b1", "agents.a.memory.human", "t")], state(), {}, {}),
        (["b1"], [block("b1", "blocks.shared")], state(), {"blocks.shared": "b1"}, {}),
        # detached, or held by another agent
        ([], [OWN], state(), {}, {"agents.a.memory.human": ["b1"]}),
        ([], [block("b1")], state({"agents.a.memory.human": "b1"}), {}, {"agents.a.memory.human": ["b1"]}),
        (["b1"], [OWN, OTHER], state(), {"agents.a.memory.human": "b1"}, {"agents.a.memory.persona": ["b2"]}),
        # two claim the same address: the attached one is it
        (
            ["b1"],
            [block("b0", "agents.a.memory.human"), OWN],
            state(),
            {"agents.a.memory.human": "b1"},
            {"agents.a.memory.human": ["b0"]},
        ),
        # an own block of an agent that does not exist
        ([], [block("b1", "agents.gone.memory.human")], state(), {}, {"agents.gone.memory.human": ["b1"]}),
    ],
)
def test_own_blocks(
    attached: list[str],
    blocks: list[Live],
    known: State,
    placed: Mapping[str, str],
    orphaned: Mapping[str, list[str]],
) -> None:
    here = [each for each in blocks if each.id in attached]
    observed = observe(agent("1", "agents.a"), *blocks, attached={"1": here}, known=known)
    assert ids(observed) == {"agents.a": "1", **placed}
    assert by_address(observed.detached) == orphaned


def test_blocks_that_a_duplicate_shares_with_an_agent_are_the_agents() -> None:
    attached = {"1": [OWN], "2": [OWN]}
    observed = observe(
        agent("1", "agents.a"), agent("2", "agents.a"), OWN, attached=attached, known=state({"agents.a": "1"})
    )
    assert ids(observed) == {"agents.a": "1", "agents.a.memory.human": "b1"}
    assert not observed.detached


def test_until_it_is_written_the_mark_of_an_own_block_stands_in_its_agents() -> None:
    owner = replace(agent("1", "agents.a"), mark=Mark(parts={"human": {"value": "created"}}))
    first = observe(owner, OWN, attached={"1": [OWN]}).objects[HUMAN]
    assert first.mark == Mark({"value": "created"})
    written = replace(OWN, mark=Mark({"value": "written"}))
    second = observe(owner, written, attached={"1": [written]}).objects[HUMAN]
    assert second.mark == Mark({"value": "written"})


@pytest.mark.parametrize(
    ("able", "attached", "known", "found"),
    [
        (FILES, [block("b1", name="human")], state({"agents.a": "1"}, intents={HUMAN: "human"}), True),
        (FILES, [block("b1", name="other")], state({"agents.a": "1"}, intents={HUMAN: "human"}), False),
        (FILES, [], state({"agents.a": "1"}, intents={HUMAN: "human"}), False),
        (FILES, [block("b1", name="human")], state({"agents.a": "1"}), False),
        # its agent was intended, too
        (FILES, [block("b1", name="human")], state(intents={A: "1", HUMAN: "human"}), True),
        # a block of v1 is created with its claim
        (V1, [block("b1", name="human")], state({"agents.a": "1"}, intents={HUMAN: "human"}), False),
    ],
)
def test_own_blocks_that_a_killed_apply_created(
    able: Capabilities, attached: list[Live], known: State, found: bool
) -> None:
    observed = observe(agent("1", name="1"), *attached, attached={"1": attached}, known=known, able=able)
    assert (HUMAN in observed.objects) is found
    if found:
        assert (observed.objects[HUMAN].stack, observed.objects[HUMAN].marked) == ("s", True)


def test_orphaned_blocks_are_detached_or_held_elsewhere() -> None:
    two = [block("b1", "agents.a.memory.human"), block("b2", "agents.a.memory.human"), OTHER]
    observed = claims.sort_orphans(observe(*two), frozenset({"b1"}))
    assert by_address(observed.detached) == {"agents.a.memory.human": ["b1"]}
    assert by_address(observed.held_elsewhere) == {"agents.a.memory.human": ["b2"], "agents.a.memory.persona": ["b2"]}


def test_blocks_are_carried_over_until_their_agent_is_created_again() -> None:
    known = state(carried_over={A: ("b1", "b2"), at("agents.here"): ("b3",)})
    observed = observe(agent("1", "agents.here"), known=known)
    wanted = list(claims.missing_carried_over(observed))
    assert wanted == [(A, "b1"), (A, "b2")]
    observed = claims.with_carried_over(observed, [(A, block("b1")), (A, None)])
    assert by_address(observed.carried_over) == {"agents.a": ["b1"]}


# --- adoption --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "before", "wants", "message"),
    [
        (agent("1"), observe(), manifest(), None),
        (agent("1", "agents.a"), observe(), manifest(), None),
        (agent("1", "agents.a", "t"), observe(), manifest(), "agents.a: the agent `1` (1) belongs to stack `t`"),
        # it is at another address of this stack
        (agent("1", "agents.b"), observe(agent("1", "agents.b")), manifest(), None),
        (
            agent("1", "agents.b"),
            observe(agent("1", "agents.b")),
            manifest(desired("agents.b", "agent")),
            "1 is agents.b of this stack",
        ),
        (
            live("provider", "1"),
            observe(live("provider", "1"), known=state({"providers.p": "1"})),
            manifest(desired("providers.p", "provider")),
            "1 is providers.p of this stack",
        ),
        # it claims an address that another object has
        (
            agent("2", "agents.b"),
            observe(agent("1", "agents.b"), agent("2", "agents.b"), known=state({"agents.b": "1"})),
            manifest(desired("agents.b", "agent")),
            None,
        ),
    ],
)
def test_what_can_be_adopted(one: Live, before: Observed, wants: Manifest, message: str | None) -> None:
    problem = claims.adoption_problem(before, wants, A, one, Others(), HERE)
    assert (problem and problem.message) == message
    if problem:
        assert (problem.place, problem.address) == (HERE, "agents.a")


def test_what_is_adopted_is_ours_and_has_no_mark() -> None:
    tool = replace(live("tool", "1", "tools.old", name="t"), mark=MARK)
    observed = claims.adopt(observe(live("tool", "1", name="t")), manifest(), at("tools.t"), tool, ())
    adopted = observed.objects[at("tools.t")]
    assert (adopted.id, adopted.address, adopted.stack) == ("1", at("tools.t"), "s")
    assert (adopted.marked, adopted.mark) == (False, Mark())
    assert not observed.foreign


@pytest.mark.parametrize("address", ["agents.a", "agents.other"])
def test_own_blocks_that_were_marked_before_their_adopted_agent_are_its_own(address: str) -> None:
    before = claims.sort_orphans(observe(OWN, block("b2", "agents.b.memory.human")), frozenset())
    observed = claims.adopt(before, manifest(), at(address), agent("1"), (OWN, block("b3")))
    mine = address == "agents.a"
    assert ids(observed) == {address: "1", **({"agents.a.memory.human": "b1"} if mine else {})}
    others = {"agents.b.memory.human": ["b2"]}
    assert by_address(observed.held_elsewhere) == (others if mine else {"agents.a.memory.human": ["b1"], **others})


def test_adoption_ends_the_doubt_about_an_address() -> None:
    doubt = observe(agent("1", "agents.a"), agent("2", "agents.a"), agent("3", "agents.b"), agent("4", "agents.b"))
    observed = claims.adopt(doubt, manifest(), A, agent("2", "agents.a"), (block("b1"),))
    assert observed.objects[A].id == "2"
    assert [problem.address for problem in observed.problems] == ["agents.b"]
    assert [each.id for each in observed.duplicates] == ["1", "3", "4"]
    assert [each.id for each in observed.attached["2"]] == ["b1"]


def test_the_agent_whose_address_a_duplicate_takes_becomes_a_duplicate_and_keeps_its_blocks() -> None:
    lives = [agent("1", "agents.a"), agent("2", "agents.a"), OWN]
    before = observe(*lives, attached={"1": [OWN]}, known=state({"agents.a": "1"}))
    observed = claims.adopt(before, manifest(), A, lives[1], ())
    assert ids(observed) == {"agents.a": "2"}
    assert [each.id for each in observed.duplicates] == ["1"]
    assert by_address(observed.held_elsewhere) == {"agents.a.memory.human": ["b1"]}


# --- external objects ------------------------------------------------------------------------------------------------

EXTERNALS = [
    live("tool", "1", name="search"),
    live("tool", "2", "tools.t", "t", name="fetch"),
    live("tool", "3", "tools.t", "u", name="other"),
]


@pytest.mark.parametrize(
    ("external", "matches"),
    [
        (External(name="search"), ["1"]),
        (External(name="SEARCH"), []),
        (External(id="2"), ["2"]),
        (External(stack="t", address=at("tools.t")), ["2"]),
        (External(stack="t", address=at("tools.x")), []),
        (External(stack="v", address=at("tools.t")), []),
        (External(name="nothing"), []),
    ],
)
def test_what_an_external_object_is(external: External, matches: list[str]) -> None:
    wanted = desired("tools.x", "tool", external=external)
    assert [each.id for each in EXTERNALS if claims.matches_external(wanted, each)] == matches


@pytest.mark.parametrize(
    ("external", "lives", "choices", "message", "hint"),
    [
        (External(name="serch"), [], EXTERNALS, "tools.x: the server has no tool `serch`", "did you mean `search`?"),
        (External(name="serch"), [], [], "tools.x: the server has no tool `serch`", None),
        (External(id="tool-9"), [], EXTERNALS, "tools.x: the server has no tool `tool-9`", None),
        (External(stack="t", address=at("tools.y")), [], [], "tools.x: the server has no tool `t/tools.y`", None),
        (
            External(name="search"),
            EXTERNALS[:2],
            EXTERNALS,
            "tools.x: 2 tools on the server match `search`: 1, 2",
            "name one by `id`",
        ),
    ],
)
def test_an_external_object_that_is_not_one(
    external: External, lives: list[Live], choices: list[Live], message: str, hint: str | None
) -> None:
    wanted = desired("tools.x", "tool", external=external)
    observed = claims.with_externals(observe(), [(wanted, lives, choices)])
    assert not observed.objects
    (problem,) = observed.problems
    assert (problem.message, problem.hint, problem.place, problem.address) == (message, hint, HERE, "tools.x")


@pytest.mark.parametrize(("one", "stack"), [(EXTERNALS[0], ""), (EXTERNALS[1], "t")])
def test_an_external_object_is_used_under_its_address_and_stays_its_owners(one: Live, stack: str) -> None:
    observed = claims.with_externals(observe(), [(desired("tools.x", "tool", external=External(id="1")), [one], [])])
    used = observed.objects[at("tools.x")]
    assert (used.id, used.address, used.stack) == (one.id, at("tools.x"), stack)


# --- nested objects --------------------------------------------------------------------------------------------------

DAILY, NIGHTLY = at("schedules.daily"), at("schedules.nightly")


def schedule(text: str, name: str, **values: Any) -> Desired:
    return desired(text, "schedule", values={"agent": Ref(A), "name": name, **values})


@pytest.mark.parametrize(
    ("wants", "known", "owners"),
    [
        (manifest(schedule("schedules.daily", "n")), state(), [(DAILY, "schedule", "1")]),
        (manifest(), state({"schedules.daily": "1/schedule/x"}), [(DAILY, "schedule", "1")]),
        # its agent is deleted, or was replaced
        (manifest(), state({"schedules.daily": "9/schedule/x"}), [(DAILY, "schedule", "9")]),
        (
            manifest(schedule("schedules.daily", "n")),
            state({"schedules.daily": "9/schedule/x"}),
            [(DAILY, "schedule", "1")],
        ),
        # nothing says where it is
        (manifest(), state(intents={DAILY: "n"}), []),
        (manifest(schedule("schedules.daily", "n", agent=Ref(at("agents.new")))), state(), []),
        (manifest(desired("agents.a", "agent")), state(), []),
    ],
)
def test_where_nested_objects_are(wants: Manifest, known: State, owners: list[Any]) -> None:
    observed = observe(agent("1", "agents.a"), known=known)
    assert list(claims.nested_owners(observed, wants)) == owners


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (state({"schedules.daily": "1/schedule/x"}), "1/schedule/x"),
        (state({"schedules.daily": "1/schedule/gone"}), None),
        (state(intents={DAILY: "n"}), "1/schedule/x"),
        (state(), None),
        # another address has the one that is as declared
        (state({"schedules.other": "1/schedule/x"}, intents={DAILY: "n"}), None),
    ],
)
def test_nested_objects_are_known_by_the_state(known: State, found: str | None) -> None:
    lives = [live("schedule", "1/schedule/x", name="n"), live("schedule", "1/schedule/y", name="m")]
    wants = manifest(schedule("schedules.daily", "n"))
    known = replace(known, marks={DAILY: MARK})
    observed = claims.with_nested(observe(known=known), wants, [(DAILY, lives)])
    assert ids(observed) == ({"schedules.daily": found} if found else {})
    for each in observed.objects.values():
        assert (each.stack, each.marked, each.mark) == ("s", True, MARK)


def test_two_nested_objects_that_are_alike_are_two() -> None:
    # an apply that was killed created both, and the state knows none
    wants = manifest(schedule("schedules.daily", "n"), schedule("schedules.nightly", "n"))
    lives = [live("schedule", "1/schedule/x", name="n"), live("schedule", "1/schedule/y", name="n")]
    known = state(intents={DAILY: "n", NIGHTLY: "n"})
    observed = claims.with_nested(observe(known=known), wants, [(DAILY, lives), (NIGHTLY, lives)])
    assert ids(observed) == {"schedules.daily": "1/schedule/x", "schedules.nightly": "1/schedule/y"}


def test_a_schedule_whose_time_has_come_counts_as_existing() -> None:
    known, wants = state({"schedules.daily": "1/schedule/x"}), manifest(schedule("schedules.daily", "n", at=1))
    observed = claims.with_nested(observe(known=known), wants, [(DAILY, [])])
    assert observed.objects[DAILY].values == {"agent": "1", "name": "n", "at": 1}


# --- objects that the server creates along with others ---------------------------------------------------------------

SLEEPER, GROUP = at("agents.a-sleeptime"), at("groups.a-sleeptime")
SLEEPING = desired("agents.a-sleeptime", "agent", created_with=A)


def test_what_is_discovered_along_with_a_live_object() -> None:
    observed = observe(agent("1", "agents.a"))
    assert [(each.address, by.id) for each, by in claims.discoverable(observed, manifest(SLEEPING))] == [(SLEEPER, "1")]
    assert not claims.discoverable(observe(), manifest(SLEEPING))
    moved = (Moved(A, at("agents.b"), HERE),)
    renamed = desired("agents.b-sleeptime", "agent", created_with=at("agents.b"))
    assert [by.id for _, by in claims.discoverable(observed, manifest(renamed, moved=moved))] == ["1"]


def test_a_discovered_object_without_a_claim_is_at_its_declared_address() -> None:
    observed = claims.with_discovered(observe(), manifest(SLEEPING), SLEEPING, agent("2"), (block("b1"),))
    assert ids(observed) == {"agents.a-sleeptime": "2"}
    assert observed.discovered == {SLEEPER: "2"}
    assert observed.objects[SLEEPER].stack == "s"
    assert [each.id for each in observed.attached["2"]] == ["b1"]


def test_a_discovered_object_that_claims_another_address_stays_there() -> None:
    one = agent("2", "agents.old-sleeptime")
    observed = claims.with_discovered(observe(), manifest(SLEEPING), SLEEPING, one, ())
    assert (ids(observed), observed.discovered) == ({"agents.old-sleeptime": "2"}, {SLEEPER: "2"})


def test_a_discovered_object_of_another_stack_is_a_problem() -> None:
    observed = claims.with_discovered(observe(), manifest(), SLEEPING, agent("2", "agents.x", "t"), ())
    assert not observed.objects
    (problem,) = observed.problems
    assert (problem.message, problem.place) == ("agents.a-sleeptime: the agent `2` (2) belongs to stack `t`", HERE)


def test_blocks_of_a_discovered_object_are_its_own_blocks() -> None:
    part = "agents.a-sleeptime.memory.memory_persona"
    own, shared = block("b1", part), block("b2", "agents.a.memory.human")
    foreign = block("b3", part, "t")
    before = claims.sort_orphans(observe(own), frozenset())
    assert by_address(before.held_elsewhere) == {part: ["b1"]}
    observed = claims.with_discovered(before, manifest(), SLEEPING, agent("2"), (own, shared, foreign))
    assert ids(observed) == {"agents.a-sleeptime": "2", part: "b1"}
    assert not observed.held_elsewhere


@pytest.mark.parametrize(
    ("id", "there"), [("1", {"agents.a": "1", "agents.a.memory.human": "b1"}), ("2", {}), (None, {})]
)
def test_what_another_object_displaces(id: str | None, there: Mapping[str, str]) -> None:
    before = observe(agent("1", "agents.a"), OWN, attached={"1": [OWN]})
    observed = claims.displaced(before, A, id)
    assert ids(observed) == there
    assert [each.id for each in observed.duplicates] == ([] if there else ["1"])
    assert by_address(observed.held_elsewhere) == ({} if there else {"agents.a.memory.human": ["b1"]})


@pytest.mark.parametrize(
    ("base", "wants", "stack", "lost"),
    [
        ({"sleeptime": digest(True)}, manifest(), "s", [("1", "group", GROUP), ("1", "agent", SLEEPER)]),
        ({"sleeptime": digest({"frequency": 2})}, manifest(SLEEPING), "s", [("1", "group", GROUP)]),
        ({"sleeptime": digest(False)}, manifest(), "s", []),
        ({}, manifest(), "s", []),
        ({"sleeptime": digest(True)}, manifest(), "t", []),
    ],
)
def test_companions_that_a_killed_apply_could_not_mark(
    base: Mapping[str, str], wants: Manifest, stack: str, lost: list[tuple[str, str, Address]]
) -> None:
    owner = replace(agent("1", "agents.a"), mark=Mark(base), stack=stack)
    observed = replace(observe(), objects={A: owner})
    found = claims.lost_companions(observed, wants)
    assert [(each.id, kind, address) for each, kind, address in found] == lost


def test_a_lost_companion_is_ours_unless_somebody_claims_it() -> None:
    observed = claims.with_companion(observe(), manifest(), SLEEPER, agent("2"), (block("b1"),))
    assert (ids(observed), observed.objects[SLEEPER].stack) == ({"agents.a-sleeptime": "2"}, "s")
    assert "2" in observed.attached
    assert not claims.with_companion(observe(), manifest(), SLEEPER, agent("2", "agents.x", "t"), ()).objects


def test_a_tool_that_an_mcp_server_offers_by_name() -> None:
    wanted = desired("tools.x", "tool", external=External(name="x", offered_by=at("mcp_servers.m")))
    offered = [live("tool", "1", name="y"), live("tool", "2", name="x")]
    observed = claims.with_offered(observe(), wanted, offered)
    assert (ids(observed), observed.objects[at("tools.x")].stack) == ({"tools.x": "2"}, "")
    assert not claims.with_offered(observe(), wanted, offered[:1]).objects
