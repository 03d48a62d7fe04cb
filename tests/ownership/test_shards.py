"""Shards: which object belongs to which, the part of a state that one writes, and states of several counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lettaform.address import Address
from lettaform.kinds import is_spread, kinds
from lettaform.model import WHOLE, Applied, Head, Mark, Observed, Relocation, Shard, State
from lettaform.ownership.canaries import copy_address
from lettaform.ownership.shards import Spread, narrowed, outlived, within
from lettaform.ownership.state import from_pages, last_run, to_pages
from lettaform.values import Ref
from tests.plan.samples import living, manifest, observed, wanted

at = Address.parse
AGENTS = [at(f"agents.desk[{number}]") for number in range(64)]
NOTHING = Spread({})


def shards(count: int) -> list[Shard]:
    return [Shard(index, count) for index in range(count)]


def shard_of(address: Address, count: int, spread: Spread = NOTHING) -> Shard:
    (found,) = (each for each in shards(count) if each.has(spread.slot(address)))
    return found


# --- one shard -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0/1", "3/16", "15/16", "0/1000"])
def test_a_shard_is_read_as_it_is_written(text: str) -> None:
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize("text", ["", "3", "3/", "/3", "3/3", "16/16", "-1/4", "1/0", "a/b", "1/2/3", "٣/٤", " 1/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no shard"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "excluded"),
    [
        (WHOLE, WHOLE, True),
        (WHOLE, Shard(3, 16), True),
        (Shard(3, 16), Shard(3, 16), True),
        (Shard(3, 16), Shard(4, 16), False),
        (Shard(3, 16), Shard(4, 8), True),
    ],
)
def test_runs_exclude_each_other_unless_they_are_of_different_shards_of_one_count(
    one: Shard, other: Shard, excluded: bool
) -> None:
    assert one.excludes(other) == other.excludes(one) == excluded


# --- what belongs to a shard -----------------------------------------------------------------------------------------


def test_agents_are_spread_and_what_several_can_use_is_not() -> None:
    assert {kind for kind in kinds() if is_spread(kind)} == {"agent"}
    for section in ("blocks", "tools", "folders", "archives", "identities", "providers", "mcp_servers", "groups"):
        assert NOTHING.slot(at(f"{section}.x")) == 0
        assert NOTHING.is_shared(at(f"{section}.x"))


def test_every_agent_is_in_one_shard_and_shards_are_about_equal() -> None:
    sizes = [sum(shard.has(NOTHING.slot(each)) for each in AGENTS) for shard in shards(4)]
    assert sum(sizes) == 64
    assert min(sizes) >= 8


def test_an_own_block_is_in_the_shard_of_its_agent() -> None:
    for agent in AGENTS[:8]:
        assert NOTHING.slot(agent.part("memory", "human")) == NOTHING.slot(agent)


def test_a_shard_depends_neither_on_the_process_nor_on_the_release() -> None:
    assert NOTHING.slot(at("agents.desk[7]")) == 3503748867


def test_conversations_schedules_and_companions_are_in_the_shard_of_their_agent() -> None:
    agent, talk, mail = at("agents.desk[1]"), at("conversations.talk"), at("schedules.mail")
    sleeper = at("agents.desk-sleeptime[1]")
    wants = manifest(
        wanted("agents.desk[1]"),
        wanted("conversations.talk", agent=Ref(agent)),
        wanted("schedules.mail", agent=Ref(sleeper)),
        replace(wanted("agents.desk-sleeptime[1]"), created_with=agent),
    )
    spread = Spread.of(wants, observed())
    assert {spread.slot(each) for each in (talk, mail, sleeper, sleeper.part("memory", "x"))} == {spread.slot(agent)}


def test_the_copies_of_a_canary_are_in_the_shard_of_their_agent() -> None:
    for agent in AGENTS[:8]:
        copy = copy_address(agent, 2)
        assert NOTHING.slot(copy.part("memory", "human")) == NOTHING.slot(agent)
        assert Spread({at("conversations.c"): copy}).slot(at("conversations.c")) == NOTHING.slot(agent)


def test_fields_of_agents_of_others_are_written_by_the_shard_0() -> None:
    assert NOTHING.slot(at("matches.every[agent-1]")) == 0


def test_what_is_no_longer_declared_stays_in_the_shard_of_its_agent() -> None:
    agent, talk = at("agents.desk[1]"), at("conversations.talk")
    here = observed(living("agents.desk[1]", "agent-1"), living("conversations.talk", "conv-1", agent="agent-1"))
    assert Spread.of(manifest(), here).slot(talk) == NOTHING.slot(agent)
    # the state alone names it once both are deleted
    gone = replace(observed(), state=State(ids={talk: "conv-1"}, owners={talk: agent}))
    assert Spread.of(manifest(), gone).slot(talk) == NOTHING.slot(agent)


def test_a_circle_of_owners_ends() -> None:
    one, other = at("conversations.a"), at("conversations.b")
    assert Spread({one: other, other: one}).slot(one) == 0


# --- the part of a state ---------------------------------------------------------------------------------------------


def full(count: int) -> State:
    """A state with an entry of every sort for every agent."""
    runs = tuple(Applied(5, f"2026-01-0{each.index + 1}", "ann", "apply", "1", shard=str(each)) for each in shards(4))
    return State(
        ids={each: f"agent-{number}" for number, each in enumerate(AGENTS)} | {at("blocks.b"): "block-b"},
        marks={each: Mark({"x": "d"}) for each in AGENTS},
        matched={at("matches.every[agent-1]"): Mark({"x": "d"})},
        protected=frozenset(AGENTS),
        pending=frozenset(AGENTS),
        carried_over=dict.fromkeys(AGENTS, ("block-1",)),
        intents=dict.fromkeys(AGENTS, "name"),
        relocated={
            f"block-{n}": Relocation(a.part("memory", "x"), a.part("memory", "y")) for n, a in enumerate(AGENTS)
        },
        moved={each: each.instance("z") for each in AGENTS},
        written=dict.fromkeys(AGENTS, 5),
        owners={at("conversations.c"): AGENTS[0]},
        history=runs,
        key="k",
        serial=5,
        exists=True,
        heads={each: Head(5) for each in shards(count)},
    )


def test_the_parts_of_a_state_are_the_whole_state() -> None:
    state = full(4)
    parts = [within(state, Spread(state.owners), each) for each in shards(4)]
    for name in ("ids", "marks", "matched", "carried_over", "intents", "relocated", "moved", "written", "owners"):
        joined = {key: value for part in parts for key, value in getattr(part, name).items()}
        assert joined == getattr(state, name)
        assert sum(len(getattr(part, name)) for part in parts) == len(joined)
    for name in ("protected", "pending"):
        assert frozenset().union(*(getattr(part, name) for part in parts)) == getattr(state, name)
    assert [run.shard for part in parts for run in part.history] == ["0/4", "1/4", "2/4", "3/4"]
    assert {part.key for part in parts} == {"k"}


def test_the_whole_state_is_no_part() -> None:
    state = full(1)
    assert within(state, NOTHING, WHOLE) is state
    here = Observed("http://here", "0.16.8", state)
    assert narrowed(manifest(), here, NOTHING, WHOLE) == (manifest(), here)


def test_the_history_of_earlier_counts_stays_with_the_shard_0() -> None:
    history = (Applied(1, "", "ann", "apply", "1"), Applied(2, "", "ann", "apply", "1", shard="1/2"))
    state = replace(full(4), history=history)
    assert within(state, NOTHING, Shard(0, 4)).history == history
    assert within(state, NOTHING, Shard(1, 4)).history == ()


# --- states of several heads -----------------------------------------------------------------------------------------


def pages(*parts: tuple[State, Shard]) -> dict[str, str]:
    """The pages of several runs."""
    texts = [text for state, shard in parts for text in to_pages(state, shard)]
    return {f"block-{number}": text for number, text in enumerate(texts)}


def test_the_heads_of_all_shards_are_read_as_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.ownership.state.PAGE", 900)
    state = full(4)
    parts = [(within(state, Spread(state.owners), each), each) for each in shards(4)]
    read = from_pages(pages(*parts))
    assert replace(read, history=()) == replace(state, history=())
    assert sorted(run.shard for run in read.history) == ["0/4", "1/4", "2/4", "3/4"]
    assert {shard: head.serial for shard, head in read.heads.items()} == dict.fromkeys(shards(4), 5)


def one(shard: Shard, serial: int, **ids: str) -> tuple[State, Shard]:
    """The state of a shard with some agents `agents.desk[…]`."""
    found = {at(f"agents.desk[{name[1:]}]"): id for name, id in ids.items()}
    return State(ids=found, serial=serial, key="k", exists=True), shard


A, B = AGENTS[0], AGENTS[1]
MINE = shard_of(A, 4)
OTHERS = Shard((MINE.index + 1) % 4, 4)


def test_of_two_counts_the_later_run_that_has_the_object_decides() -> None:
    assert from_pages(pages(one(WHOLE, 1, n0="old"), one(MINE, 2, n0="new"))).ids == {A: "new"}
    assert from_pages(pages(one(WHOLE, 2, n0="new"), one(MINE, 1, n0="old"))).ids == {A: "new"}
    assert from_pages(pages(one(WHOLE, 1, n0="old"), one(OTHERS, 2))).ids == {A: "old"}


def test_an_object_that_a_later_run_removed_does_not_come_back() -> None:
    read = from_pages(pages(one(WHOLE, 1, n0="old", n1="b"), one(MINE, 2)))
    assert A not in read.ids
    assert (B in read.ids) == (shard_of(B, 4) != MINE)


def test_a_later_run_of_the_whole_stack_decides_about_everything() -> None:
    read = from_pages(pages(one(MINE, 1, n0="old"), one(shard_of(B, 4), 2, n1="old"), one(WHOLE, 3, n1="new")))
    assert read.ids == {B: "new"}


def test_a_conversation_that_was_deleted_with_its_agent_does_not_come_back() -> None:
    talk = at("conversations.talk")
    old = State(ids={A: "agent-1", talk: "conv-1"}, owners={talk: A}, serial=1, key="k", exists=True)
    read = from_pages(pages((old, WHOLE), one(shard_of(A, 16), 2)))
    assert read.ids == {}


@pytest.mark.parametrize("made", ["0/4", ""])
def test_the_key_is_made_once_by_the_shard_0(made: str) -> None:
    first = State(serial=1)
    others = [text for each in shards(4)[1:] for text in to_pages(first, each)]
    assert from_pages({str(number): text for number, text in enumerate(others)}).key is None
    (text,) = to_pages(first, Shard.parse(made) if made else WHOLE)
    with_key = from_pages({"z": text, **{str(number): each for number, each in enumerate(others)}})
    assert with_key.key
    again = [text for each in shards(4)[1:] for text in to_pages(replace(first, key=with_key.key), each)]
    assert {from_pages({"a": each}).key for each in again} == {with_key.key}


def test_the_last_run_of_an_object_is_that_of_its_shard() -> None:
    runs = tuple(Applied(5, "", "ann", "apply", "1", shard=str(each)) for each in shards(4))
    state = State(history=runs, written={A: 5, B: 5})
    for address in (A, B):
        run = last_run(state, address)
        assert run is not None
        assert run.shard == str(shard_of(address, 4))


# --- what is no longer read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heads", "shard", "gone"),
    [
        ({WHOLE: 1}, Shard(1, 4), []),  # three of four are still read from there
        ({WHOLE: 1, Shard(0, 2): 2}, Shard(1, 2), [WHOLE]),
        ({WHOLE: 3, Shard(0, 2): 2}, Shard(1, 2), []),  # the whole stack was applied later
        ({Shard(1, 16): 1, Shard(5, 16): 2, Shard(2, 16): 2}, Shard(1, 4), [Shard(1, 16), Shard(5, 16)]),
        ({Shard(0, 3): 1}, Shard(0, 2), []),
        ({Shard(0, 3): 1, Shard(1, 3): 1, Shard(0, 2): 2}, Shard(1, 2), [Shard(0, 3), Shard(1, 3)]),
        ({Shard(0, 4): 1, Shard(1, 4): 1}, WHOLE, [Shard(0, 4), Shard(1, 4)]),
        ({Shard(0, 4): 1, Shard(1, 4): 1}, Shard(1, 4), []),
    ],
)
def test_heads_of_other_counts_are_dropped_once_nothing_is_read_from_them(
    heads: dict[Shard, int], shard: Shard, gone: list[Shard]
) -> None:
    state = State(heads={each: Head(serial) for each, serial in heads.items()})
    assert outlived(state, shard) == frozenset(gone)
