"""The state of a stack: pages there and back, what cannot be read, what a kill leaves, what an apply makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.address import Address
from lettaform.backend import connect
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.state import all_pages, delete_pages, write_pages
from lettaform.errors import ServerError, Unavailable, UnreadableState
from lettaform.model import (
    Answer,
    Applied,
    Attach,
    Call,
    Create,
    Delete,
    Discover,
    Mark,
    Moved,
    Outcome,
    Relocation,
    SaveState,
    State,
    Step,
    Update,
)
from lettaform.ownership import state as states
from lettaform.ownership.state import Effects, after, from_pages, salvage, to_pages
from lettaform.values import Digest, Ref, digest
from tests.plan.samples import HERE, living, manifest, observed, wanted
from tests.standin import StandIn

at = Address.parse
FULL = State(
    ids={at("agents.a"): "agent-1", at('agents["b c"][eu]'): "agent-2", at("tools.t"): "tool-1"},
    marks={at("tools.t"): Mark({"source": "d1"}, {"tags": ("x", "y")}, {"human": {"value": "d2"}})},
    protected=frozenset({at("agents.a")}),
    environment="prod",
    pending=frozenset({at('agents["b c"][eu]')}),
    carried_over={at("agents.a"): ("block-1", "block-2")},
    key="k",
    duplicates=frozenset({"agent-9"}),
    kinds=frozenset({"agent", "tool"}),
    tombstones={"tool-9": Mark({"source": "d3"})},
    intents={at("identities.i"): "I"},
    relocated={"block-3": Relocation(at("agents.a.memory.x"), at("blocks.x"), {"label": "d4"})},
    moved={at("agents.a"): at("agents.z")},
    history=(
        Applied(5, "2026-01-01T00:00:00Z", "ann@here", "apply", "1.0", changes={"create": 2}),
        Applied(7, "2026-01-02T00:00:00Z", "bob@ci", "destroy", "1.0", "run 9", "c0ffee", True, "d5", {}, 3),
    ),
    written={at("agents.a"): 5, at("agents.a.memory.x"): 7},
    serial=7,
    exists=True,
)


def named(pages: list[str]) -> dict[str, str]:
    return {f"block-{number}": text for number, text in enumerate(pages)}


async def _pages(client: Client, post: Any) -> dict[str, str]:
    return (await all_pages(client)).get("s", {})


def large(count: int = 60, **words: Any) -> State:
    ids = {at(f"identities.p{number}"): f"identity-{number}" for number in range(count)}
    return State(ids=ids, key="k", exists=True, **words)


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [150_000, 900, 120])
@pytest.mark.parametrize("state", [FULL, State(key="k", exists=True), large(serial=3)], ids=["full", "empty", "large"])
def test_a_state_is_read_back_as_it_was_written(state: State, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "PAGE", page)
    pages = to_pages(state)
    assert from_pages(named(pages)) == state
    assert from_pages(named(pages[::-1])) == state  # the server lists blocks in any order
    if state.ids and page == 120:
        assert len(pages) >= 4


def test_no_page_is_larger_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "PAGE", 900)
    head, *rest = to_pages(large(500))
    assert len(rest) >= 20
    # a page has its format and id besides
    assert max(map(len, rest)) <= 900 + 80
    assert json.loads(head)["pages"] == sorted(json.loads(page)["page"] for page in rest)


def test_a_small_state_is_one_page() -> None:
    assert len(to_pages(FULL)) == 1


def test_a_change_of_one_entry_changes_one_page_and_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "PAGE", 900)
    old, state = to_pages(large(100)), large(100)
    new = to_pages(replace(state, ids={**state.ids, at("identities.p7"): "identity-x"}))
    assert len(set(new) - set(old)) == 2


def test_a_stack_without_pages_has_no_state() -> None:
    assert from_pages({}) == State()


def test_pages_that_no_head_lists_are_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "PAGE", 900)
    old, new = to_pages(large(100)), to_pages(large(50))
    assert from_pages(named([*new, *old[1:]])) == large(50)


def test_of_two_heads_the_one_with_the_higher_serial_decides() -> None:
    one, two = replace(FULL, serial=1), replace(FULL, serial=2, ids={at("agents.a"): "agent-new"})
    read = from_pages(named([*to_pages(two), *to_pages(one)]))
    assert read.ids[at("agents.a")] == "agent-new"
    assert read.serial == 2


def test_a_newer_format_says_to_use_the_newer_lettaform() -> None:
    page = {**json.loads(to_pages(FULL)[0]), "v": states.VERSION + 1}
    for read in (from_pages, salvage):
        with pytest.raises(UnreadableState, match="newer") as refused:
            read({"block-7": json.dumps(page)})
        assert "block-7" in refused.value.message
        assert refused.value.hint == "use the newer lettaform"


def changed(**words: Any) -> str:
    return json.dumps({**json.loads(to_pages(FULL)[0]), **words})


UNREADABLE = {
    "truncated": (to_pages(FULL)[0][:-9], "no JSON"),
    "empty": ("", "no JSON"),
    "a list": ("[]", "not a page"),
    "no format": ("{}", "not a page"),
    "an older format": (changed(v=1), "older"),
    "a bad address": (changed(ids={"agents..x": "agent-1", "agents.a": "agent-2"}), "`agents..x` of `ids`"),
    "an id that is no text": (changed(ids={"agents.a": 3}), "`agents.a` of `ids`"),
    "ids that are no map": (changed(ids="x"), "`ids` must be a map"),
    "a mark that is none": (changed(marks={"tools.t": "x"}), "`tools.t` of `marks`"),
    "members that are no map": (changed(marks={"tools.t": {"members": 3}}), "`tools.t` of `marks`"),
    "a carried-over text": (changed(carried_over={"agents.a": "block-1"}), "`agents.a` of `carried_over`"),
    "a protected number": (changed(protected={"agents.a": 1}), "`agents.a` of `protected`"),
    "a serial that is no number": (changed(serial="x"), "`serial`"),
    "an environment that is no text": (changed(environment=3), "`environment`"),
    "no list of pages": (changed(pages=None), "`pages` must be a list"),
    "a missing page": (changed(pages=["0123"]), "page 0123 of the state is missing"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_an_error_that_names_the_page_and_the_remedy(name: str) -> None:
    text, fault = UNREADABLE[name]
    with pytest.raises(UnreadableState) as refused:
        from_pages({"block-7": text})
    assert "lettaform state rebuild" in str(refused.value.hint)
    (problem,) = refused.value.problems
    assert fault in problem.message
    assert "block-7" in problem.message or "missing" in problem.message


def test_a_page_without_its_head_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "PAGE", 900)
    pages = to_pages(large(100))
    with pytest.raises(UnreadableState):
        from_pages(named(pages[1:]))
    state, faults = salvage(named(pages[1:]))
    assert state.ids == large(100).ids
    assert len(faults) == 1


def test_every_entry_that_can_be_read_is_kept_for_the_rebuild() -> None:
    ids = {"agents..x": "agent-9", "agents.a": "agent-1", "agents.c": 4}
    state, faults = salvage({"block-7": changed(ids=ids)})
    assert state.ids == {at("agents.a"): "agent-1"}
    assert (state.protected, state.key, state.serial) == (FULL.protected, "k", 7)
    assert len(faults) == 2
    state, faults = salvage({"block-7": to_pages(FULL)[0][:-9]})
    assert state.exists
    assert len(faults) == 1


def test_the_first_format_is_read_for_the_rebuild() -> None:
    first = {"v": 1, "ids": {"agents.a": "agent-1"}, "protected": ["agents.a"], "key": "k", "environment": None}
    state, faults = salvage({"block-7": json.dumps(first)})
    assert (state.ids, state.protected, state.key) == ({at("agents.a"): "agent-1"}, frozenset({at("agents.a")}), "k")
    assert faults


# --- a kill at every request -----------------------------------------------------------------------------------------


(EMPTY,) = to_pages(State())


class Killed(BaseException):
    """The process ends here."""


class Blocks:
    """The blocks of one stand-in, and a process that is killed at its nth write."""

    def __init__(self, moment: str = "before", at: int | None = None, standin: StandIn | None = None) -> None:
        """`standin`: what the server has already."""
        self.standin, self.writes, self.at = standin.copy() if standin else StandIn(), 0, at
        setattr(self.standin, moment, self.seen)

    def seen(self, ask: Any) -> None:
        if ask.method != "GET":
            self.writes += 1
            if self.at is not None and self.writes >= self.at:
                raise Killed

    def run(self, work: Any) -> Any:
        async def run() -> Any:
            client = Client("http://stand.in", transport=self.standin)

            async def post(path: str, body: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
                return await client.send("POST", path, body=body)

            try:
                return await work(client, post)
            finally:
                await client.close()

        return asyncio.run(run())

    def write(self, state: State) -> None:
        self.run(lambda client, post: write_pages(client, "s", to_pages(state), EMPTY, post))

    def read(self) -> State:
        return from_pages(self.run(_pages))

    def delete(self) -> None:
        self.run(lambda client, post: delete_pages(client, "s", EMPTY, post))


OLD, NEW = large(60, serial=1), large(90, serial=2, environment="prod")
NEW = replace(NEW, ids={a: id for a, id in NEW.ids.items() if a != at("identities.p3")})


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OLD, NEW),
        (State(), NEW),
        *(pytest.param(*each, marks=pytest.mark.thorough) for each in ((NEW, OLD), (FULL, NEW), (NEW, FULL))),
    ],
)
def test_a_kill_at_any_request_leaves_the_old_state_or_the_new_one(
    old: State, new: State, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "PAGE", 900)
    assert len(to_pages(NEW)) > 4
    seen, before = set(), Blocks()
    if old.exists:
        before.write(old)
    for number in range(1, 100):
        blocks = Blocks(moment, number, before.standin)
        try:
            blocks.write(new)
            killed = False
        except Killed:
            killed = True
        blocks.at = None
        read = blocks.read()
        assert read in (old, new) or (not old.exists and replace(read, exists=False, key=None) == State()), number
        seen.add(read == new)
        blocks.write(new)  # the next apply
        assert blocks.read() == new
        assert len(blocks.standin.tables.blocks) == len(to_pages(new))
        if not killed:
            break
    assert number > 5
    assert seen == {True, False} or len(to_pages(new)) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_while_the_state_is_removed_leaves_one_that_can_be_read(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "PAGE", 900)
    for number in range(1, 100):
        blocks = Blocks(moment)
        blocks.write(NEW)
        blocks.writes, blocks.at = 0, number
        try:
            blocks.delete()
            break
        except Killed:
            blocks.at = None
            assert blocks.read().ids in (NEW.ids, {})
    assert number > 5
    assert blocks.standin.tables.blocks == {}


# --- the remedy ------------------------------------------------------------------------------------------------------

MANIFEST = """
stack: s
identities: {i: {identifier_key: I, name: I, identity_type: user}}
agents: {a: {model: openai-proxy/echo}}
blocks: {b: {value: x}}
"""


@pytest.mark.parametrize("fault", ["a bad address", "truncated"])
def test_a_state_that_cannot_be_read_stops_every_verb_and_rebuild_mends_it(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin = StandIn()
    monkeypatch.setattr(flow, "connect", lambda url, **words: connect(url, **words, transport=standin))
    (tmp_path / "lettaform.yaml").write_text(MANIFEST)
    source, connection = flow.Source(tmp_path), flow.Connection(url="http://stand.in")
    flow.apply(source, connection, consent=True)
    (block,) = [each for each in standin.tables.blocks.values() if each["label"] == "lettaform"]
    if fault == "truncated":
        block["value"] = block["value"][:-9]
    else:
        page = json.loads(block["value"])
        block["value"] = json.dumps({**page, "ids": {**page["ids"], "agents..x": "agent-9"}})
    spoiled = block["value"]
    for verb in (
        lambda: flow.plan(source, connection),
        lambda: flow.apply(source, connection, consent=True),
        lambda: flow.state_list(source, connection),
        lambda: flow.state_remove(source, connection, "blocks.b"),
    ):
        with pytest.raises(UnreadableState, match="cannot be read") as refused:
            verb()
        assert block["id"] in refused.value.problems[0].message
    assert block["value"] == spoiled
    count, lost = flow.state_rebuild(source, connection)
    assert any(block["id"] in line for line in lost)
    if fault == "truncated":  # an identity has no mark: the plan says that somebody has its name
        assert count == 2
        flow.adopt(source, connection, "identities.i", next(iter(standin.tables.identities)))
    else:
        assert count == 3
    plan = flow.plan(source, connection)
    assert {change.action for change in plan.changes} <= {"mark", "adopt"}
    flow.apply(source, connection, consent=True)
    assert not flow.plan(source, connection)


def test_every_apply_that_writes_the_state_increments_its_serial_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin = StandIn()
    monkeypatch.setattr(flow, "connect", lambda url, **words: connect(url, **words, transport=standin))
    source, connection = flow.Source(tmp_path), flow.Connection(url="http://stand.in")
    serials = []
    for text in (MANIFEST, MANIFEST, MANIFEST.replace("b: {value: x}", "c: {value: y}")):
        (tmp_path / "lettaform.yaml").write_text(text)
        flow.apply(source, connection, flow.PlanOptions(prune=True), consent=True)
        (block,) = [each for each in standin.tables.blocks.values() if each["label"] == "lettaform"]
        serials.append(json.loads(block["value"])["serial"])
    assert serials == [1, 1, 2]


# --- what an apply did -----------------------------------------------------------------------------------------------

A, T, I = at("agents.a"), at("tools.t"), at("identities.i")  # noqa: E741
BEFORE = State(
    ids={A: "agent-1", T: "tool-1"}, marks={T: Mark({"source": "old"})}, protected=frozenset({T}), exists=True
)


def done(step: Step, id: str = "id-new", **values: Any) -> Outcome:
    return Outcome(step, "done", Answer(id, values))


def failed(step: Step, error: Exception | None = None) -> Outcome:
    return Outcome(step, "failed", error=error or ServerError("no", status=422))


def ambiguous() -> Unavailable:
    error = Unavailable("no answer")
    error.ambiguous = True
    return error


def create(address: Address, mark: Mark | None = None) -> Create:
    return Create(str(address), address, "x", mark=mark or Mark())


def delete(address: Address, id: str) -> Delete:
    return Delete(f"-{address}", address, "x", id=id)


def update(address: Address, **words: Any) -> Update:
    return Update(str(address), address, "x", id="x", **words)


KEPT = State(ids={A: "agent-1"})
ROWS: dict[str, tuple[State, list[Outcome], State]] = {
    "nothing happened": (KEPT, [], KEPT),
    "created": (KEPT, [done(create(I), "identity-1")], replace(KEPT, ids={A: "agent-1", I: "identity-1"})),
    "not created": (KEPT, [failed(create(I))], KEPT),
    "own blocks have no entry": (KEPT, [done(create(A.part("memory", "human")), "block-1")], KEPT),
    "discovered and marked": (
        KEPT,
        [done(Discover("x", I, "x", name="", source="y", creator="z", mark=Mark()), "id-1")],
        replace(KEPT, ids={A: "agent-1", I: "id-1"}),
    ),
    "discovered, and another's": (KEPT, [done(Discover("x", I, "x", name="", source="y", creator="z"), "id-1")], KEPT),
    "deleted": (KEPT, [done(delete(T, "tool-1"))], KEPT),
    "not deleted": (
        KEPT,
        [failed(delete(T, "tool-1"))],
        State(ids={A: "agent-1", T: "tool-1"}, marks=BEFORE.marks, protected=frozenset({T})),
    ),
    "not forgotten": (
        State(),
        [failed(update(A, mark=Mark(), forget=True))],
        State(ids={A: "agent-1"}),
    ),
    "created and forgotten": (KEPT, [done(create(I), "i1"), done(update(I, mark=Mark(), forget=True), "i1")], KEPT),
    "created and not forgotten": (
        KEPT,
        [done(create(I), "i1"), failed(update(I, mark=Mark(), forget=True))],
        State(ids={A: "agent-1", I: "i1"}),
    ),
    "replaced": (State(), [done(delete(A, "agent-1")), done(create(A), "agent-2")], State(ids={A: "agent-2"})),
    "replaced, and not deleted": (
        State(),
        [failed(delete(A, "agent-1")), Outcome(create(A), "skipped", because="-agents.a")],
        State(ids={A: "agent-1"}),
    ),
    "deleted, and not created again": (State(), [done(delete(A, "agent-1")), failed(create(A))], State()),
    "a mark is written with its object": (
        State(ids={T: "tool-1"}, marks={T: Mark({"source": "new"})}),
        [done(update(T, mark=Mark({"source": "new"})))],
        State(ids={T: "tool-1"}, marks={T: Mark({"source": "new"})}),
    ),
    "a mark stays where its object was not written": (
        State(ids={T: "tool-1"}, marks={T: Mark({"source": "new"})}),
        [failed(update(T, mark=Mark({"source": "new"})))],
        State(ids={T: "tool-1"}, marks=BEFORE.marks),
    ),
    "a mark stays where a member was not attached": (
        State(ids={T: "tool-1"}, marks={T: Mark({"source": "new"})}),
        [failed(Attach("x", T, "x", id="tool-1", field="f", member="m"))],
        State(ids={T: "tool-1"}, marks=BEFORE.marks),
    ),
    "a digest of an id is computed": (
        State(ids={T: "tool-1"}, marks={T: Mark({"x": Digest(Ref(I))})}),  # type: ignore[dict-item]
        [done(create(I), "identity-1")],
        State(ids={T: "tool-1", I: "identity-1"}, marks={T: Mark({"x": digest("identity-1")})}),
    ),
    "a call was made": (
        replace(KEPT, pending=frozenset({A})),
        [done(Call("x", A, "x", id="agent-1", name="recompile"))],
        KEPT,
    ),
    "a call is due": (
        replace(KEPT, pending=frozenset({A})),
        [failed(Call("x", A, "x", id="agent-1", name="recompile"))],
        replace(KEPT, pending=frozenset({A})),
    ),
    "no call is due to what does not exist": (replace(KEPT, pending=frozenset({I})), [failed(create(I))], KEPT),
    "blocks were carried over": (State(carried_over={A: ("b",)}), [done(create(A), "a2")], State(ids={A: "a2"})),
    "blocks wait for a successor": (
        State(carried_over={A: ("b",)}),
        [failed(create(A))],
        State(carried_over={A: ("b",)}),
    ),
    "an intent ends with the answer": (
        replace(KEPT, intents={I: "I"}),
        [done(create(I), "i1")],
        State(ids={A: "agent-1", I: "i1"}),
    ),
    "an intent ends with a refusal": (replace(KEPT, intents={I: "I"}), [failed(create(I))], KEPT),
    "an intent stays without an answer": (
        replace(KEPT, intents={I: "I"}),
        [failed(create(I), ambiguous())],
        replace(KEPT, intents={I: "I"}),
    ),
    "an intent of what never began ends": (
        replace(KEPT, intents={I: "I"}),
        [Outcome(create(I), "skipped", because="interrupted")],
        KEPT,
    ),
    "saving the state changes nothing": (
        KEPT,
        [done(SaveState("state-before", at("stack.state"), "stack", state=State()))],
        KEPT,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_state_after_an_apply_is_what_was_done(name: str) -> None:
    planned, outcomes, expected = ROWS[name]
    created = {each.step.address for each in outcomes if isinstance(each.step, Create | Discover) and each.step.mark}
    assert after(planned, BEFORE, outcomes, frozenset(a for a in created if not a.parent)) == expected


# --- other addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("forgotten", "expected"), [(set(), BEFORE.ids), ({A}, {T: "tool-1"})])
def test_forgotten_objects_lose_their_entries(forgotten: set[Address], expected: dict[Address, str]) -> None:
    lives = living("agents.a", "agent-1"), living("tools.t", "tool-1")
    state = replace(BEFORE, pending=frozenset({A}), serial=4)
    new = states.without(manifest(), observed(*lives, state=state), frozenset(forgotten))
    assert new.ids == expected
    assert new.pending == {A} - forgotten
    assert new.protected == {T}
    assert new.serial == 5


def test_everything_in_the_state_gets_its_new_address() -> None:
    b = at("agents.b")
    old = State(
        {A: "agent-1", T: "tool-1"},
        {A: Mark({"x": "1"})},
        frozenset({A, T}),
        pending=frozenset({A}),
        carried_over={A: ("block-1",)},
        intents={A: "a"},
    )
    new = states.with_addresses(old, lambda address: b if address == A else address)
    assert new == replace(
        old,
        ids={b: "agent-1", T: "tool-1"},
        marks={b: Mark({"x": "1"})},
        protected=frozenset({b, T}),
        pending=frozenset({b}),
        carried_over={b: ("block-1",)},
        intents={b: "a"},
    )


def test_unfinished_moves_stay_in_the_state_until_every_step_is_done() -> None:
    moving = {"block-1": Relocation(at("agents.b.memory.x"), at("agents.a.memory.x"))}
    previous, planned = replace(BEFORE, relocated=moving), replace(BEFORE, serial=2)
    attach = Attach("agents.b+blocks:block-1", at("agents.b"), "agent", id="agent-2", field="blocks", member="block-1")
    assert after(planned, previous, [Outcome(attach, "done")]).relocated == {}
    assert after(planned, previous, [Outcome(attach, "skipped")]).relocated == moving


def test_a_state_that_was_lost_gets_what_the_manifest_says_at_the_rebuild() -> None:
    swap = (Moved(A, at("agents.b"), HERE), Moved(at("agents.b"), A, HERE))
    wants = manifest(wanted("agents.a"), wanted("agents.b"), environment="prod", moved=swap)
    new = states.without(wants, observed(state=State()), frozenset())
    assert (new.environment, new.moved) == ("prod", {A: at("agents.b"), at("agents.b"): A})
    kept = replace(FULL, environment="test")
    kept = states.without(wants, observed(state=kept), frozenset())
    assert (kept.environment, kept.moved) == ("test", FULL.moved)


def test_a_duplicate_alone_writes_no_state() -> None:
    known = State({at("agents.a"): "agent-1"}, exists=True, serial=3)
    has = replace(observed(living("agents.a", "agent-1")), state=known, duplicates=(living("agents.a", "agent-2"),))
    assert states.planned(manifest(wanted("agents.a")), has, states.Effects(kept={at("agents.a"): "agent-1"})) is None


# --- history ---------------------------------------------------------------------------------------------------------

RUN = Applied(0, "2026-01-01T00:00:00Z", "ann@here", "apply", "1.0")


def ended(address: str, status: Any = "done", step: Any = Update, **words: Any) -> Outcome:
    return Outcome(step(address, at(address), "agent", id="x", **words), status)


def test_a_run_is_added_to_the_history_with_the_serial_of_the_state() -> None:
    found = states.recorded(State(serial=3), RUN, [])
    assert found.history == (replace(RUN, serial=3),)


def test_the_history_is_bounded_and_forgets_what_its_runs_wrote() -> None:
    state = State(ids={at("agents.a"): "1", at("agents.b"): "2"})
    for serial in range(states.HISTORY + 2):
        written = [ended("agents.a")] if serial == 0 else [ended("agents.b")] if serial == 9 else []
        state = states.recorded(replace(state, serial=serial), RUN, written)
    assert [run.serial for run in state.history] == [*range(2, states.HISTORY + 2)]
    assert state.written == {at("agents.b"): 9}
    assert states.last_run(state, at("agents.b")) == replace(RUN, serial=9)
    assert states.last_run(state, at("agents.a")) is None


def test_what_was_done_to_objects_that_exist_is_recorded() -> None:
    state = State(ids={at("agents.a"): "1", at("agents.failed"): "2", at("agents.called"): "3"}, serial=4)
    outcomes = [
        ended("agents.a"),
        ended("agents.a.memory.human"),
        ended("agents.gone"),
        ended("agents.failed", "failed"),
        ended("agents.called", step=Call, name="recompile"),
    ]
    assert states.recorded(state, RUN, outcomes).written == {at("agents.a"): 4, at("agents.a.memory.human"): 4}


def test_a_part_was_written_last_with_its_agent_if_no_run_wrote_it_alone() -> None:
    state = states.recorded(State(ids={at("agents.a"): "1"}, serial=4), RUN, [ended("agents.a")])
    assert states.last_run(state, at("agents.a.memory.human")) == replace(RUN, serial=4)


def test_the_history_moves_with_its_objects() -> None:
    moved = states.with_addresses(State(written={at("agents.a"): 4}), lambda address: at("agents.b"))
    assert moved.written == {at("agents.b"): 4}


@pytest.mark.parametrize("entry", [{"x": {}}, {"5": []}, {"5": {"by": 3}}, {"5": {"at": "t"}}])
def test_a_run_that_cannot_be_read_is_a_fault_of_its_own(entry: Any) -> None:
    page = json.loads(to_pages(State(ids={at("agents.a"): "1"}))[0]) | {"history": entry}
    state, faults = salvage({"block-1": json.dumps(page)})
    assert state.ids == {at("agents.a"): "1"}
    assert len(faults) == 1
    assert "of `history` cannot be read" in faults[0]


# --- agents of others ------------------------------------------------------------------------------------------------

UP = at("matches.up[agent-1]")
WAS, WILL = Mark({"model": "1"}, {"tags": ("a",)}), Mark({"model": "2"}, {"tags": ("b",), "tools": ("tool-1",)})


def test_agents_of_others_are_written_and_read_back() -> None:
    there = State(matched={UP: WAS}, begun={UP: WILL})
    read = from_pages({str(number): page for number, page in enumerate(to_pages(there))})
    assert (read.matched, read.begun, read.matched_agents) == ({UP: WAS}, {UP: WILL}, (UP,))


def test_what_is_about_to_be_added_is_known_before() -> None:
    new = Mark({"model": "2"}, {"tags": ("a", "b"), "tools": (Ref(at("tools.t")),)})
    assert Effects(matched={UP: new}).begun(State(matched={UP: WAS})) == {
        UP: Mark({}, {"tags": ("b",), "tools": ("tools.t",)})
    }
    assert Effects(matched={UP: WAS}).begun(State(matched={UP: WAS})) == {}


@pytest.mark.parametrize(
    ("status", "matched", "begun"),
    [
        ("done", {UP: WILL}, {}),
        ("failed", {UP: WAS}, {UP: Mark({}, {"tags": ("b",), "tools": ("tool-1",)})}),
        ("skipped", {UP: WAS}, {UP: Mark({}, {"tags": ("b",), "tools": ("tool-1",)})}),
    ],
)
def test_a_step_that_is_not_done_leaves_what_was_applied_before(status: Any, matched: Any, begun: Any) -> None:
    step = Update("x", UP, "agent", id="agent-1", fields={"model": "b"})
    now = after(State(matched={UP: WILL}), State(matched={UP: WAS}), [Outcome(step, status)])
    assert (now.matched, now.begun) == (matched, begun)


def test_what_is_not_taken_back_is_still_known() -> None:
    step = Update("x", UP, "agent", id="agent-1", fields={})
    assert after(State(), State(matched={UP: WAS}), [Outcome(step, "failed")]).matched == {UP: WAS}
    assert after(State(), State(matched={UP: WAS}), [Outcome(step, "done")]).matched == {}
