"""`from-af`, `export` and `import --af` on a stand-in: nothing is lost without a word, and no agent is there twice."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.errors import LettaformError, PlanError
from lettaform.model import AgentImport, PlanOptions
from lettaform.snapshot.agent_file_read import read
from lettaform.snapshot.agent_files import Options
from tests.faults.clock import Clock
from tests.faults.harness import Fault, FaultyTransport, Killed, Trigger, at
from tests.snapshot.agent_files import CLERK, FOLDER, OLDER, TWICE, changed
from tests.standin.test_other_stacks import Stacks

pytestmark = pytest.mark.thorough

FREE = Options(model="letta/letta-free", embedding="letta/letta-free")
SECRETS = {"shop_key": "k-123456789", "old_key": "k-123456789"}
CLERK_KEY = "agents.clerk"


class World(Stacks):
    """A server, and the manifest of an agent file. `patience`: seconds to wait for a lock; None: no lock is used."""

    patience: float | None = None

    def run(self, verb: Callable[[flow.Connection], Any]) -> Any:
        return super().run(lambda at: verb(replace(at, patience=self.patience)))

    @property
    def source(self) -> flow.Source:
        return flow.Source(self.folder / "out", variables=self.variables)

    def declare(self, *files: Path, options: Options = FREE) -> None:
        found = flow.from_agent_files(files, self.folder / "out", options, stack="taken")
        self.variables = {name: value for name, value in SECRETS.items() if name in found.variables}

    def build(self, **options: Any) -> None:
        _, report = self.run(lambda at: flow.apply(self.source, at, PlanOptions(**options), consent=True))
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]

    def import_(
        self, file: Path = CLERK, address: str = CLERK_KEY, bind: tuple[str, ...] = (), **more: Any
    ) -> AgentImport:
        return self.run(
            lambda at: flow.import_agent_file(self.source, at, file, address, bind, **{"consent": True, **more})
        )

    def steps(self) -> list[str]:
        return [each.key for each in self.run(lambda at: flow.plan(self.source, at)).steps]

    def export(self, what: str) -> Any:
        return self.run(lambda at: flow.export(self.source, at, what))

    @property
    def agents(self) -> list[Any]:
        return list(self.server.standin.tables.agents.values())

    def texts(self) -> dict[str, str]:
        """Label to text of the blocks, without those of the state."""
        blocks = self.server.standin.tables.blocks.values()
        return {each["label"]: each["value"] for each in blocks if each["label"] != "lettaform"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def spoken(agent: Any) -> list[tuple[str, str]]:
    """Role and text of the messages of an agent in a file."""
    return [(each["role"], "".join(part["text"] for part in each["content"])) for each in agent["messages"]]


def original(path: Path) -> Any:
    return read(path.read_bytes(), path.name).body["agents"][0]


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [CLERK, OLDER, TWICE], ids=lambda path: path.stem)
def test_a_file_is_declared_applied_and_exported(file: Path, world: World) -> None:
    world.declare(file)
    world.build()
    assert world.steps() == []
    (agent,) = world.agents
    found, first = world.export(agent["id"]).file, original(file)
    assert found == world.export(str(next(iter(self_addresses(world))))).file
    (exported,) = found["agents"]
    same = ("name", "system", "description", "agent_type", "timezone", "tool_rules")
    for name in same:
        have = (
            [{k: v for k, v in rule.items() if v} for rule in exported[name]]
            if name == "tool_rules"
            else exported[name]
        )
        assert have == first.get(name, have), name
    assert sorted(exported["tags"]) == [tag for tag in sorted(first["tags"]) if not tag.startswith("lettaform:")]
    body = read(file.read_bytes(), file.name).body
    held = {each["label"]: each["value"] for each in body["blocks"]}
    assert {each["label"]: each["value"] for each in found["blocks"]} == held
    sources = {each["name"]: each["source_code"] for each in body["tools"] if each["source_code"]}
    assert {each["name"]: each["source_code"] for each in found["tools"] if each["source_code"]} == sources
    assert "lettaform" not in json.dumps(found)
    assert "k-123456789" not in json.dumps(found)


def self_addresses(world: World) -> list[Any]:
    return [live.address for live in world.run(lambda at: flow.show(world.source, at, "agents.*")).objects]


def test_an_export_names_what_it_lacks(world: World) -> None:
    server = world.server
    note = server.archive("notes")
    who = server.identity("ann")
    block = server.block("b", value="x", tags=["t"])
    agent = server.agent(
        "a", hidden=True, block_ids=[block["id"]], secrets={"KEY": "v-0123456789"}, identity_ids=[who["id"]],
        system="The key is v-0123456789. Password: hunter2hunter2hunter2",
    )  # fmt: skip
    server.attach(agent["id"], "archives", note["id"])
    server.conversation(agent["id"], "Talk")
    found = world.run(lambda at: flow.export(flow.Source(world.folder), at, agent["id"]))
    assert found.file["agents"][0]["system"].startswith("The key is ‹secret KEY›.")
    said = "\n".join(found.lost)
    for each in ("secrets: KEY", "archive `notes` with its passages", "identity `ann`", "`hidden`", "block `b`: t"):
        assert each in said
    assert "its conversations: 1" in said
    assert "agents.0, which contains what looks like a password" in said


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("block-1", "no agent file holds blocks"),
        ("nobody", "agents.nobody"),
        ("agents.nobody", "agents.nobody"),
        ("blocks.shop", "no agent file holds blocks"),
    ],
)
def test_what_cannot_be_exported_is_refused(what: str, message: str, world: World) -> None:
    world.variables: dict[str, str] = {}
    world.write("out", "blocks: {shop: {value: x}}")
    world.build()
    with pytest.raises(PlanError, match=message):
        world.export(what)


# --- import ----------------------------------------------------------------------------------------------------------


def test_an_import_creates_the_agent_with_its_messages_and_adopts_it(world: World) -> None:
    world.declare(CLERK)
    world.build(exclude=(CLERK_KEY,))
    shown = list[AgentImport]()
    found = world.import_(consent=lambda each: shown.append(each) or True)  # type: ignore[func-returns-value]
    (agent,) = world.agents
    assert found.id == agent["id"]
    assert (shown[0].messages, shown[0].own, shown[0].tools) == (
        5,
        ("persona", "human"),
        ("look_up", "plan", "conversation_search"),
    )
    assert [each.what for each in shown[0].left if "secret" in each.what] == ["secrets SHOP_KEY"]
    exported = world.export(CLERK_KEY).file["agents"][0]
    assert spoken(exported) == spoken(original(CLERK))
    world.build()  # the secret
    assert world.steps() == []
    assert spoken(world.export(CLERK_KEY).file["agents"][0]) == spoken(original(CLERK))
    assert world.texts() == {"persona": "I am the clerk.", "human": "Nobody yet."}
    assert agent["name"] == "clerk"


def test_a_file_of_the_older_generation_is_imported(world: World) -> None:
    world.declare(OLDER)
    world.build(exclude=("agents.*",))
    world.import_(OLDER, "agents.old-timer")
    assert spoken(world.export("agents.old-timer").file["agents"][0]) == spoken(original(OLDER))
    assert world.agents[0]["name"] == "old timer"


def test_without_consent_nothing_is_created(world: World) -> None:
    world.declare(CLERK)
    world.build(exclude=(CLERK_KEY,))
    assert world.import_(consent=lambda found: False).id is None
    assert world.agents == []


def test_what_changes_before_the_lock_is_held_is_seen(world: World) -> None:
    world.declare(CLERK)
    world.build(exclude=(CLERK_KEY,))

    def meanwhile(found: AgentImport) -> bool:
        world.server.agent("clerk")
        return True

    with pytest.raises(PlanError, match="cannot be imported"):
        world.import_(consent=meanwhile)
    assert len(world.agents) == 1


def test_an_agent_that_exists_is_not_created_again(world: World) -> None:
    world.declare(CLERK)
    world.build(exclude=(CLERK_KEY,))
    id = world.import_().id
    with pytest.raises(PlanError, match=f"agents.clerk is already {id}"):
        world.import_()
    other = World(world.folder / "other")
    other.server = world.server
    other.declare(CLERK)
    text = (other.folder / "out" / "lettaform.yaml").read_text().replace("stack: taken", "stack: other")
    used = "".join(f"  {n}: {{external: true, stack: taken, address: tools.{n}}}\n" for n in ("look_up", "plan"))
    text = re.sub(r"tools:\n.*?\nagents:", f"tools:\n{used}agents:", text, count=1, flags=re.DOTALL)
    (other.folder / "out" / "lettaform.yaml").write_text(text)
    with pytest.raises(PlanError) as refused:
        other.import_()
    assert f"already: {id}, of stack `taken`" in refused.value.problems[0].message
    assert len(world.agents) == 1


def test_an_unowned_agent_of_the_name_is_named_and_the_remedy_works(world: World) -> None:
    world.declare(CLERK)
    world.build(exclude=(CLERK_KEY,))
    world.server.agent("clerk")
    with pytest.raises(PlanError) as refused:
        world.import_()
    (problem,) = refused.value.problems
    found = re.search(r"`lettaform import '(\S+)' (\S+)`", problem.hint or "")
    assert found
    world.run(lambda at: flow.adopt(world.source, at, found[1], found[2]))
    assert len(world.agents) == 1


@pytest.mark.parametrize("address", ["agents.nobody", "blocks.shop", "tools.plan"])
def test_an_address_without_such_an_agent_is_an_error(address: str, world: World) -> None:
    world.declare(CLERK)
    with pytest.raises(PlanError):
        world.import_(address=address)


def test_a_file_of_several_agents_is_refused(world: World) -> None:
    world.declare(CLERK)
    with pytest.raises(PlanError, match="contains 3 agents: `lead`, `helper`, `lead-sleeptime`"):
        world.import_(FOLDER / "team.af")


def test_a_model_that_the_server_does_not_offer_is_an_error(world: World) -> None:
    world.declare(CLERK, options=Options())
    world.build(exclude=(CLERK_KEY,))
    with pytest.raises(PlanError, match="cannot be imported") as refused:
        world.import_()
    assert "openai/gpt-4o-mini" in refused.value.problems[0].message
    assert world.agents == []


# --- what the agent shares -------------------------------------------------------------------------------------------


def shared(world: World, text: str) -> None:
    """Declare the block `human` of the clerk as a shared one."""
    world.declare(CLERK)
    path = world.folder / "out" / "lettaform.yaml"
    lines = path.read_text().replace("      human: {value: Nobody yet., description: Who asks., limit: 20000}\n", "")
    lines = lines.replace("    memory:\n", "    blocks: [human]\n    memory:\n")
    path.write_text(f"{lines}\nblocks: {{human: {{value: '{text}'}}}}\n")


def test_an_equal_shared_block_is_the_one_of_the_stack(world: World) -> None:
    shared(world, "Nobody yet.")
    world.build(exclude=(CLERK_KEY,))
    found = world.import_()
    assert {label: str(address) for label, address in found.bound.items()} == {"human": "blocks.human"}
    assert found.own == ("persona",)
    world.build()
    assert world.steps() == []
    assert sorted(each["label"] for each in world.server.standin.tables.blocks.values()) == [
        "human",
        "lettaform",
        "persona",
    ]


def test_another_text_of_a_shared_block_is_refused_and_the_remedy_works(world: World) -> None:
    shared(world, "Ann.")
    world.build(exclude=(CLERK_KEY,))
    with pytest.raises(PlanError) as refused:
        world.import_()
    (problem,) = refused.value.problems
    assert "the block `human` of the file has another text than blocks.human" in problem.message
    assert problem.place is not None
    label = re.search(r"`--bind (\w+)`", problem.hint or "")
    assert label
    world.import_(bind=(label[1],))
    assert world.texts() == {"human": "Ann.", "persona": "I am the clerk."}


def test_a_label_to_bind_that_is_not_shared_is_an_error(world: World) -> None:
    world.declare(CLERK)
    world.build(exclude=(CLERK_KEY,))
    with pytest.raises(PlanError) as refused:
        world.import_(bind=("persona",))
    assert "no shared block with this label" in refused.value.problems[0].message


def test_what_must_exist_first_is_named_and_the_remedy_works(world: World) -> None:
    shared(world, "Nobody yet.")
    with pytest.raises(PlanError) as refused:
        world.import_()
    problems = refused.value.problems
    assert [each.message.split()[0] for each in problems] == ["blocks.human", "tools.look_up", "tools.plan"]
    (remedy,) = {each.hint for each in problems}
    excluded = re.search(r"--exclude '(\S+)'", remedy or "")
    assert excluded
    world.build(exclude=(excluded[1],))
    assert world.import_().id


def test_a_tool_that_nobody_declares_is_named(world: World, tmp_path: Path) -> None:
    world.declare(TWICE)
    world.build(exclude=("agents.*",))
    with pytest.raises(PlanError) as refused:
        world.import_(changed(CLERK, tmp_path), "agents.zweimal")
    assert [each.message for each in refused.value.problems] == [
        f"the server has no tool `{name}`, which the agent of the file has" for name in ("look_up", "plan")
    ]


# --- kills -----------------------------------------------------------------------------------------------------------

FAULTS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.KILL_ACTS_LATER, Fault.CUT_AFTER, Fault.S500_AFTER)


class Interrupted:
    """Imports in which one request meets a fault, each from the same beginning."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.world, self.fault, self.clock = World(folder), fault, Clock()
        self.world.patience = 600.0
        shared(self.world, "Nobody yet.")
        with self.clock.running():
            self.world.build(exclude=(CLERK_KEY,))
        self.served = self.world.server
        self.start = copy.deepcopy(self.served.standin.tables)

    def wrong(self, trigger: Trigger) -> tuple[str | None, str]:
        """The request that met the fault, and what is wrong once the import was run again. No request: None."""
        world, served = self.world, self.served
        served.standin.tables = copy.deepcopy(self.start)
        faulty = FaultyTransport(served, self.fault, trigger, silence=1.0)
        faulty.__dict__["asked"] = []
        world.server = faulty  # type: ignore[assignment]
        with self.clock.running():
            with suppress(Killed, BaseExceptionGroup, LettaformError):
                world.import_()
            faulty.revive()
            with suppress(LettaformError):
                world.import_()
            self.clock.run(faulty.settle())
            world.server = served
            world.build()
            return faulty.triggered, self._wrong(world)

    def _wrong(self, world: World) -> str:
        labels = sorted(each["label"] for each in world.server.standin.tables.blocks.values())
        if len(world.agents) != 1 or labels != ["human", "lettaform", "persona"]:
            return f"{len(world.agents)} agents, blocks {labels}"
        if spoken(world.export(CLERK_KEY).file["agents"][0]) != spoken(original(CLERK)):
            return "other messages"
        return f"steps {steps}" if (steps := world.steps()) else ""


@pytest.mark.thorough
@pytest.mark.parametrize("fault", FAULTS[1:], ids=lambda each: each.name)
def test_an_import_interrupted_at_a_write_is_completed_by_the_next(fault: Fault, tmp_path: Path) -> None:
    interrupted, triggered, found = Interrupted(tmp_path, fault), set[str](), dict[str, str]()
    for number in range(1, 20):
        writes = iter(range(1, 100))

        def trigger(_: int, request: httpx.Request, writes: Iterator[int] = writes, number: int = number) -> bool:
            is_write = request.method != "GET" and "/identities/" not in request.url.path  # without those of the lock
            return is_write and next(writes) == number

        request, wrong = interrupted.wrong(trigger)
        if request is None:
            break
        triggered.add(request)
        found |= {f"{number} {request}": wrong} if wrong else {}
    assert found == {}
    assert "POST /v1/agents/import" in triggered
    assert "PATCH /v1/agents/{agent}/core-memory/blocks/attach/{block}" in triggered


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        pytest.param(Fault.KILL_AFTER, 4, marks=pytest.mark.thorough, id="sample"),
        *(pytest.param(each, 1, marks=pytest.mark.slow, id=each.name) for each in FAULTS),
    ],
)
def test_an_import_interrupted_at_any_request_is_completed_by_the_next(fault: Fault, step: int, tmp_path: Path) -> None:
    interrupted, found = Interrupted(tmp_path, fault), dict[str, str]()
    for number in range(1, 200, step):
        request, wrong = interrupted.wrong(at(number))
        if request is None:
            break
        found |= {f"{number} {request}": wrong} if wrong else {}
    assert found == {}
    assert number > 20
