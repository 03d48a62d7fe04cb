"""Verbs on a stand-in: what was not carried out is an error, and a killed apply is completed by the next."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow, session
from lettaform.apply import INTERRUPTED, LOCK_LOST, Stop
from lettaform.backend import connect
from lettaform.backend.v1 import client
from lettaform.errors import Guarded, Interrupted, LettaformError, Locked, ManifestError, PlanError, Stale
from lettaform.ownership import state
from lettaform.render import objects
from lettaform.session.interrupt import interruptible
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

MANIFEST = "stack: s\nblocks: {b: {value: x}, c: {value: x}}\n"


class Stack:
    """A folder with a manifest, and a stand-in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.standin, self.folder, self.monkeypatch = StandIn(), folder, monkeypatch
        monkeypatch.setattr(flow, "connect", lambda url, **words: connect(url, **words, transport=self.standin))
        self.source, self.connection = flow.Source(folder), flow.Connection(url="http://stand.in", patience=None)

    def write(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(text)

    def stop(self, reason: str) -> None:
        """Every apply is stopped just before its first step."""

        @contextmanager
        def stopped() -> Iterator[Stop]:
            with interruptible() as stop:
                stop.reason = reason
                yield stop

        self.monkeypatch.setattr(session, "interruptible", stopped)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(tmp_path, monkeypatch)


VERBS: dict[str, Callable[[Stack], Any]] = {
    "rm": lambda stack: flow.state_remove(stack.source, stack.connection, "blocks.b"),
    "mv": lambda stack: flow.state_move(stack.source, stack.connection, "blocks.b", "blocks.d"),
    "rebuild": lambda stack: flow.state_rebuild(stack.source, stack.connection),
    "import": lambda stack: flow.adopt(stack.source, stack.connection, "blocks.c", _block(stack, "c")),
}


def _block(stack: Stack, label: str) -> str:
    return next(id for id, each in stack.standin.tables.blocks.items() if each["label"] == label)


@pytest.mark.parametrize(
    ("verb", "reason", "error", "code"),
    [
        *((verb, LOCK_LOST, Locked, 8) for verb in VERBS),
        *((verb, INTERRUPTED, Interrupted, 130) for verb in VERBS if verb != "rebuild"),
    ],
)
def test_a_verb_whose_steps_were_skipped_is_an_error(
    verb: str, reason: str, error: type[LettaformError], code: int, stack: Stack
) -> None:
    stack.write(MANIFEST)
    flow.apply(stack.source, stack.connection, consent=True)
    if verb == "import":
        flow.state_remove(stack.source, stack.connection, "blocks.c")
    before = {id: (each["tags"], each["metadata"]) for id, each in stack.standin.tables.blocks.items()}
    stack.stop(reason)
    with pytest.raises(error, match=f"{reason}: .* steps were not carried out") as refused:
        VERBS[verb](stack)
    assert refused.value.exit_code == code
    assert {id: (each["tags"], each["metadata"]) for id, each in stack.standin.tables.blocks.items()} == before


class Killed(BaseException):
    """The process ends here."""


def people(*names: str) -> str:
    lines = "".join(f"  {name}: {{identifier_key: {name}, name: {name}, identity_type: user}}\n" for name in names)
    return f"stack: s\nidentities:\n{lines}"


@pytest.mark.thorough
@pytest.mark.parametrize("moment", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_an_apply_killed_at_any_request_with_a_state_of_several_pages_is_completed_by_the_next(
    moment: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SETTLE", 0.0)  # a stand-in has carried out a request before it answers
    monkeypatch.setattr(state, "PAGE", 400)
    old, new = [f"p{number}" for number in range(8)], ["aa", "ab", *(f"p{number}" for number in range(7))]
    for number in range(1, 100):
        stack.standin = StandIn()
        stack.write(people(*old))
        flow.apply(stack.source, stack.connection, consent=True)
        assert len(stack.standin.tables.blocks) > 3
        stack.write(people(*new))
        writes = 0

        def kill(ask: Any, number: int = number) -> None:
            nonlocal writes
            writes += ask.method != "GET"
            if writes >= number:
                raise Killed

        setattr(stack.standin, moment, kill)
        try:
            flow.apply(stack.source, stack.connection, flow.PlanOptions(prune=True), consent=True)
            killed = False
        except (Killed, BaseExceptionGroup):  # a task group wraps it
            killed = True
        setattr(stack.standin, moment, lambda ask: None)
        flow.apply(stack.source, stack.connection, flow.PlanOptions(prune=True), consent=True)
        assert sorted(each["name"] for each in stack.standin.tables.identities.values()) == sorted(new)
        assert not flow.plan(stack.source, stack.connection, flow.PlanOptions(prune=True))
        if not killed:
            break
    assert number > 10


def test_the_archive_of_a_sleeptime_agent_is_attached_after_it_was_discovered(stack: Stack) -> None:
    stack.write("""
stack: s
archives: {notes: {embedding: letta/letta-free}}
agents:
  a:
    model: letta/letta-free
    embedding: letta/letta-free
    sleeptime: {archive: notes}
""")
    _, report = flow.apply(stack.source, stack.connection, consent=True)
    assert report is not None
    assert report.exit_code == 0
    plan = flow.plan(stack.source, stack.connection)
    assert not plan, [(change.action, str(change.address)) for change in plan.changes]


MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
SHARED = (
    "blocks: {org: {value: x, tags: [team], metadata: {floor: 1}}}\nidentities: {ann: {name: A, identity_type: user}}"
)
WITH_LINES = f"""
stack: s
{SHARED}
archives: {{facts: {{embedding: letta/letta-free, passages: [One fact.]}}}}
agents:
  a:
    {{{MODELS}, description: d, blocks: [org], tools: [web_search], identities: [ann], archive: facts, tags: [t],
      secrets: {{KEY: s3cret}}, metadata: {{floor: 1}}, tool_rules: [{{type: exit_loop, tool_name: web_search}}]}}
"""
WITHOUT_LINES = f"""
stack: s
blocks: {{org: {{value: x}}}}
identities: {{ann: {{name: A, identity_type: user}}}}
archives: {{facts: {{embedding: letta/letta-free}}}}
agents: {{a: {{{MODELS}}}}}
"""


@pytest.mark.thorough
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_apply_that_removes_what_lines_added_is_completed_after_it_was_killed(
    moment: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SETTLE", 0.0)  # a stand-in has carried out a request before it answers
    for number in range(1, 100):
        stack.standin = StandIn()
        stack.write(WITH_LINES)
        flow.apply(stack.source, stack.connection, consent=True)
        stack.write(WITHOUT_LINES)
        writes = 0

        def kill(ask: Any, number: int = number) -> None:
            nonlocal writes
            writes += ask.method != "GET" and not ask.path.endswith("/search")
            if writes >= number:
                raise Killed

        setattr(stack.standin, moment, kill)
        try:
            flow.apply(stack.source, stack.connection, consent=True)
            killed = False
        except (Killed, BaseExceptionGroup):
            killed = True
        setattr(stack.standin, moment, lambda ask: None)
        flow.apply(stack.source, stack.connection, consent=True)
        tables = stack.standin.tables
        (agent,) = tables.agents.values()
        left = [agent[name] for name in ("_blocks", "_tools", "_identities", "_archive", "_secrets", "tool_rules")]
        assert not any(left), left
        assert not tables.passages
        assert agent["description"] == "d"
        assert not flow.plan(stack.source, stack.connection)
        if not killed:
            break
    assert number > 8


def test_a_value_that_is_no_longer_managed_is_mentioned_once(stack: Stack) -> None:
    stack.write(f"stack: s\nagents: {{a: {{{MODELS}, description: Takes money.}}}}")
    flow.apply(stack.source, stack.connection, consent=True)
    stack.write(f"stack: s\nagents: {{a: {{{MODELS}}}}}")
    (change,) = flow.plan(stack.source, stack.connection).changes
    assert (change.action, change.notes) == ("mark", ('`description` is no longer managed, stays "Takes money."',))
    flow.apply(stack.source, stack.connection, consent=True)
    assert not flow.plan(stack.source, stack.connection).changes


OLD = "stack: s\nblocks: {policies: {value: x}, team: {value: x}}\n"
RENAMED = "stack: s\nblocks: {rules: {value: x}, team: {value: x}}\n"


@pytest.mark.parametrize("verb", ["prune", "destroy"])
def test_an_undeclared_object_can_be_deleted_alone(verb: str, stack: Stack) -> None:
    stack.write(OLD)
    flow.apply(stack.source, stack.connection, consent=True)
    stack.write(RENAMED)
    options = flow.PlanOptions(**{verb: True}, target=("blocks.policies",))
    plan, _ = flow.apply(stack.source, stack.connection, options, consent=True)
    assert [(change.action, str(change.address)) for change in plan.changes] == [("delete", "blocks.policies")]
    assert {"policies", "team"} & {row["label"] for row in stack.standin.tables.blocks.values()} == {"team"}


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"prune": True, "target": ("blocks.policie",)}, "did you mean `blocks.policies`?"),
        ({"exclude": ("blocks.policie",)}, "did you mean `blocks.policies`?"),
        ({"destroy": True, "target": ("blocks.rule",)}, "did you mean `blocks.rules`?"),
        # there is no value to write
        ({"reseed": ("blocks.policies",)}, "there are blocks.rules, blocks.team"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_address(
    options: dict[str, Any], hint: str, stack: Stack
) -> None:
    stack.write(OLD)
    flow.apply(stack.source, stack.connection, consent=True)
    stack.write(RENAMED)
    with pytest.raises(PlanError, match="no object has the address") as refused:
        flow.plan(stack.source, stack.connection, flow.PlanOptions(**options))
    assert refused.value.hint == hint


def test_the_old_address_of_an_object_that_moves_matches_nothing(stack: Stack) -> None:
    stack.write(OLD)
    flow.apply(stack.source, stack.connection, consent=True)
    stack.write(f"{RENAMED}moved: [{{from: blocks.policies, to: blocks.rules}}]")
    with pytest.raises(PlanError, match=r"no object has the address `blocks\.policies`"):
        flow.plan(stack.source, stack.connection, flow.PlanOptions(target=("blocks.policies",)))


def test_an_object_that_an_agent_of_the_stack_keeps_is_deleted_once_it_is_detached(stack: Stack) -> None:
    stack.write(f"{OLD}agents: {{a: {{{MODELS}}}}}")
    flow.apply(stack.source, stack.connection, consent=True)
    (agent,) = stack.standin.tables.agents.values()
    id = _block(stack, "policies")
    agent["_blocks"][id] = None  # somebody attached it
    stack.write(f"{RENAMED}agents: {{a: {{{MODELS}}}}}")
    pruned = flow.PlanOptions(prune=True)
    (kept,) = flow.plan(stack.source, stack.connection, pruned).unmanaged
    assert kept.reason == "kept: agents.a uses it; detach it there first"
    del agent["_blocks"][id]
    flow.apply(stack.source, stack.connection, pruned, consent=True)
    assert id not in stack.standin.tables.blocks


AGENTS = "stack: s\ndefaults: {agents: {model: openai-proxy/echo, embedding: letta/letta-free}}\n"


def addresses(stack: Stack) -> list[str]:
    return [str(live.address) for live in flow.state_list(stack.source, stack.connection)]


def test_state_rm_of_an_own_block_forgets_it(stack: Stack) -> None:
    stack.write(AGENTS + "agents: {a: {memory: {x: X, y: Y}}}\n")
    flow.apply(stack.source, stack.connection, consent=True)
    flow.state_remove(stack.source, stack.connection, "agents.a.memory.x")
    assert addresses(stack) == ["agents.a", "agents.a.memory.y"]
    (agent,) = stack.standin.tables.agents.values()
    assert list(agent["metadata"]["lettaform"]["parts"]) == ["y"]
    assert stack.standin.tables.blocks[_block(stack, "x")]["tags"] == []
    # the agent still has the block: as long as it is declared, the next plan says that it takes it over
    plan = flow.plan(stack.source, stack.connection)
    assert ("adopt", "agents.a.memory.x") in [(change.action, str(change.address)) for change in plan.changes]
    stack.write(AGENTS + "agents: {a: {memory: {y: Y}}}\n")
    assert not flow.plan(stack.source, stack.connection)


def test_a_block_moves_where_the_object_in_the_way_is_forgotten(stack: Stack) -> None:
    stack.write(MANIFEST)
    flow.apply(stack.source, stack.connection, consent=True)
    block = _block(stack, "b")
    stack.write("stack: s\nblocks: {c: {value: x}}\nmoved: [{from: blocks.b, to: blocks.c}]\n")
    with pytest.raises(PlanError) as refused:
        flow.plan(stack.source, stack.connection)
    assert "`state rm` one of them" in str(refused.value.problems[0].hint)
    flow.state_remove(stack.source, stack.connection, "blocks.c")
    flow.apply(stack.source, stack.connection, consent=True)
    assert [(str(live.address), live.id) for live in flow.state_list(stack.source, stack.connection)] == [
        ("blocks.c", block)
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("blocks.o", "agents.a.memory.o", "it is also attached to agents.b"),
        ("agents.a.memory.x", "agents.a", "agents.a.memory.x cannot become agents.a"),
        ("agents.a.memory.x", "agents.z.memory.x", "no object has the address `agents.z`"),
        ("agents.a.memory.x", "agents.a.tools.x", "`agents.a.tools.x` is not an address"),
    ],
)
def test_state_mv_refuses_what_cannot_be(stack: Stack, old: str, new: str, message: str) -> None:
    stack.write(AGENTS + "blocks: {o: {value: O}}\nagents: {a: {memory: {x: X}}, b: {blocks: [o]}}\n")
    flow.apply(stack.source, stack.connection, consent=True)
    written = len(stack.standin.writes)
    with pytest.raises(PlanError, match=message):
        flow.state_move(stack.source, stack.connection, old, new)
    assert len(stack.standin.writes) == written


def test_an_own_block_is_not_imported_and_its_hint_helps(stack: Stack) -> None:
    stack.write(AGENTS + "agents: {a: {memory: {x: X}}}\n")
    flow.apply(stack.source, stack.connection, consent=True)
    block = _block(stack, "x")
    with pytest.raises(PlanError, match="is an own block of"):
        flow.adopt(stack.source, stack.connection, "agents.a.memory.x", block)
    stack.write(AGENTS + "blocks: {x: {value: X}}\nagents: {a: {blocks: [x]}}\n")
    with pytest.raises(PlanError) as refused:
        flow.adopt(stack.source, stack.connection, "blocks.x", block)
    assert refused.value.hint == "`lettaform state mv 'agents.a.memory.x' 'blocks.x'` moves it"
    flow.state_move(stack.source, stack.connection, "agents.a.memory.x", "blocks.x")
    flow.apply(stack.source, stack.connection, consent=True)
    assert addresses(stack) == ["agents.a", "blocks.x"]
    assert not flow.plan(stack.source, stack.connection)


# --- variables that a verb does not need -----------------------------------------------------------------------------

SECRETS = """
stack: s
variables:
  token: {secret: true}
  other: {}
  keys: {type: list}
agents:
  a:
    model: letta/letta-free
    embedding: letta/letta-free
    description: "${var.other}"
    secrets: {TOKEN: "${var.token}", PATH_KEY: "x ${env.NO_SUCH_VARIABLE}"}
  many: {for_each: "${var.keys}", model: letta/letta-free, embedding: letta/letta-free, blocks: [b]}
blocks:
  b: {value: x}
  theirs: {external: true, name: "${var.other}"}
outputs: {other: "${var.other}"}
"""
WITHOUT_VALUES: dict[str, Callable[[Stack], Any]] = {
    "validate": lambda stack: flow.read(stack.source, "nothing"),
    "show": lambda stack: flow.show(stack.source, stack.connection),
    "show one": lambda stack: flow.show(stack.source, stack.connection, "agents.many[one]"),
    "state list": lambda stack: flow.state_list(stack.source, stack.connection),
    "state mv": lambda stack: flow.state_move(stack.source, stack.connection, "blocks.b", "blocks.d"),
    "state rm": lambda stack: flow.state_remove(stack.source, stack.connection, "agents.many[one]"),
    "state rebuild": lambda stack: flow.state_rebuild(stack.source, stack.connection),
    "lock show": lambda stack: flow.lock_show(stack.source, stack.connection),
    "destroy": lambda stack: flow.apply(stack.source, stack.connection, DESTROY, consent=True),
}
DESTROY = flow.PlanOptions(destroy=True, allow_destroy=("*",))
VALUES = {"token": "a-token", "other": "theirs", "keys": "[one, two]"}


@pytest.fixture
def deployed(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """All variables had values in an apply. From now on, none has one."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "lettaform.yaml").write_text("stack: t\nblocks: {b: {label: theirs, value: x}}\n")
    flow.apply(flow.Source(other), stack.connection, consent=True)
    stack.write(SECRETS)
    monkeypatch.setenv("NO_SUCH_VARIABLE", "a-path-key")
    flow.apply(replace(stack.source, variables=VALUES), stack.connection, consent=True)
    assert not flow.plan(replace(stack.source, variables=VALUES), stack.connection)
    monkeypatch.delenv("NO_SUCH_VARIABLE")
    return stack


@pytest.mark.parametrize("verb", WITHOUT_VALUES)
def test_a_verb_that_writes_no_declared_value_needs_no_variable(verb: str, deployed: Stack) -> None:
    WITHOUT_VALUES[verb](deployed)
    if verb == "destroy":
        left = [*deployed.standin.tables.agents.values(), *deployed.standin.tables.blocks.values()]
        assert [each["label"] for each in left if "lettaform:stack=s" in each["tags"]] == []
        return
    # nothing was lost or written by what could not be determined
    source = replace(deployed.source, variables=VALUES)
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patch:
        patch.setenv("NO_SUCH_VARIABLE", "a-path-key")
        changes = flow.plan(source, deployed.connection).changes if not verb.startswith("state m") else ()
    assert [str(change.address) for change in changes if change.action != "mark"] == (
        ["agents.many[one]"] if verb == "state rm" else []
    )


@pytest.mark.parametrize("verb", [flow.plan, partial(flow.apply, consent=True)], ids=["plan", "apply"])
def test_plan_and_apply_ask_for_every_variable(verb: Callable[..., Any], deployed: Stack) -> None:
    with pytest.raises(ManifestError) as refused:
        verb(deployed.source, deployed.connection)
    messages = [each.message for each in refused.value.problems]
    assert messages == [
        "the variable `token` has no value",
        "the variable `other` has no value",
        "the variable `keys` has no value",
        "the environment variable `NO_SUCH_VARIABLE` is not set",
    ]


def test_import_needs_the_values_that_are_no_secrets(deployed: Stack) -> None:
    id = next(id for id, each in deployed.standin.tables.agents.items() if each["name"] == "a")
    flow.state_remove(deployed.source, deployed.connection, "agents.a")
    with pytest.raises(ManifestError) as refused:
        flow.adopt(deployed.source, deployed.connection, "agents.a", id)
    assert [each.message for each in refused.value.problems] == [
        "the variable `other` has no value",
        "the variable `keys` has no value",
    ]
    plain = {name: VALUES[name] for name in ("other", "keys")}
    flow.adopt(replace(deployed.source, variables=plain), deployed.connection, "agents.a", id)


def test_every_way_that_the_error_names_gives_a_variable_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, source = tmp_path / "lettaform.yaml", flow.Source(tmp_path)
    text = "stack: s\nvariables: {my-key: {env: MY_KEY}}\nblocks: {b: {value: '${var.my-key}'}}\n"
    path.write_text(text)
    with pytest.raises(ManifestError) as refused:
        flow.read(source)
    hint = str(refused.value.problems[0].hint)
    ways = hint.removeprefix("give it with ").replace(" or ", ", ").split(", ")
    assert ways == ["--var my-key=…", "--var-file FILE", "export MY_KEY=…", "`variables: {my-key: {default: …}}`"]
    (tmp_path / "values.yaml").write_text("my-key: x\n")
    given = [
        flow.read(replace(source, variables={"my-key": "x"})),
        flow.read(replace(source, variable_files=(Path("values.yaml"),))),
    ]
    with monkeypatch.context() as patch:
        patch.setenv("MY_KEY", "x")
        given.append(flow.read(source))
    path.write_text(text.replace("{env: MY_KEY}", "{default: x}"))
    given.append(flow.read(source))
    assert [each.values["value"] for manifest in given for each in manifest.objects.values()] == ["x"] * len(ways)


SHOWN = """\
stack: s
blocks: {policies: {value: x}}
archives: {kb: {embedding: openai/text-embedding-3-small}}
folders: {docs: {embedding: openai/text-embedding-3-small}}
agents:
  clerk: {model: openai-proxy/echo, blocks: [policies], tools: [web_search], archive: kb}
"""


def test_show_reads_what_is_not_declared_and_names_what_is_referred_to(stack: Stack) -> None:
    stack.write(SHOWN)
    flow.apply(stack.source, stack.connection, consent=True)
    raw = httpx.Client(transport=stack.standin, base_url="http://stand.in")
    tables = stack.standin.tables
    ((archive, _),), ((folder, _),), ((agent, _),) = (
        tables.archives.items(),
        tables.folders.items(),
        tables.agents.items(),
    )
    raw.post(f"/v1/archives/{archive}/passages", json={"text": "A fact."}).raise_for_status()
    files = {"file": ("a.md", b"x", "text/plain")}
    raw.post(f"/v1/folders/{folder}/upload", files=files).raise_for_status()
    theirs = raw.post("/v1/blocks/", json={"label": "theirs", "value": "x"}).json()["id"]
    raw.patch(f"/v1/agents/{agent}/core-memory/blocks/attach/{theirs}").raise_for_status()
    shown = {str(live.address): live for live in flow.show(stack.source, stack.connection).objects}
    assert [item.name for item in shown["archives.kb"].values["passages"]] == ["A fact."]
    assert [item.name for item in shown["folders.docs"].values["files"]] == ["a.md"]
    text = objects.objects([shown["agents.clerk"]])
    for name, id in (
        ("archives.kb", archive),
        ("theirs", theirs),
        ("blocks.policies", "block-"),
        ("web_search", "tool-"),
    ):
        assert f"{name} ({id}" in text
    assert shown["agents.clerk"].values["folders"] == []  # read, although it is not declared


# --- limits ----------------------------------------------------------------------------------------------------------

SIX = "stack: s\nblocks: {a: , b: , c: , d: , e: , f: }\n"


def test_a_prune_of_everything_is_refused_until_the_limits_are_ignored(stack: Stack) -> None:
    stack.write(SIX)
    flow.apply(stack.source, stack.connection, consent=True)
    stack.write("stack: s\n")
    pruned = flow.PlanOptions(prune=True)
    for verb in (flow.plan, partial(flow.apply, consent=True)):
        with pytest.raises(Guarded, match="6 of the 6 objects of the stack, and the limit is 50 %") as refused:
            verb(stack.source, stack.connection, pruned)
        assert refused.value.exit_code == 7
    assert len(stack.standin.tables.blocks) == 7  # and the state
    assert not flow.plan(stack.source, stack.connection)  # without --prune nothing is deleted
    flow.apply(stack.source, stack.connection, replace(pruned, ignore_limits=True), consent=True)
    assert len(stack.standin.tables.blocks) == 1


def test_a_saved_plan_keeps_that_the_limits_are_ignored(stack: Stack) -> None:
    stack.write(SIX)
    flow.apply(stack.source, stack.connection, consent=True)
    stack.write("stack: s\n")
    options = flow.PlanOptions(prune=True, ignore_limits=True)
    flow.save(flow.plan(stack.source, stack.connection, options), stack.folder / "plan.json")
    _, report = flow.apply_saved(stack.folder / "plan.json", stack.source, stack.connection, consent=True)
    assert report is not None
    assert (report.exit_code, len(stack.standin.tables.blocks)) == (0, 1)


def test_limits_stand_in_the_manifest_and_in_environments(stack: Stack) -> None:
    limits = "limits: {deleted: 0}\nenvironments: {lab: {limits: {deleted: null}}}\n"
    stack.write(f"stack: s\nblocks: {{a: , b: }}\n{limits}")
    lab = replace(stack.source, environment="lab")
    flow.apply(lab, stack.connection, consent=True)
    stack.write(f"stack: s\nblocks: {{a: }}\n{limits.replace('{deleted: null}', '{agents: 3}')}")
    with pytest.raises(Guarded, match="1 object, and the limit is 0"):
        flow.plan(lab, stack.connection, flow.PlanOptions(prune=True))
    stack.write(f"stack: s\nblocks: {{a: }}\n{limits}")
    assert flow.plan(lab, stack.connection, flow.PlanOptions(prune=True))


def test_a_destroy_has_no_limits(stack: Stack) -> None:
    stack.write(f"{SIX}limits: {{deleted: 0}}\n")
    flow.apply(stack.source, stack.connection, consent=True)
    flow.apply(stack.source, stack.connection, flow.PlanOptions(destroy=True), consent=True)
    assert stack.standin.tables.blocks == {}


# --- policies --------------------------------------------------------------------------------------------------------


def test_a_policy_refuses_before_anything_is_written(stack: Stack) -> None:
    pytest.importorskip("cel_expr_python")
    policy = "policies: {no-b: {rule: change.address != 'blocks.b', message: No b.}}\n"
    stack.write(MANIFEST + policy)
    for verb in (flow.plan, partial(flow.apply, consent=True)):
        with pytest.raises(Guarded, match="No b") as refused:
            verb(stack.source, stack.connection)
        assert refused.value.exit_code == 7
    assert stack.standin.tables.blocks == {}
    stack.write(MANIFEST + policy.replace("No b.", "No b., severity: warning"))
    plan, report = flow.apply(stack.source, stack.connection, consent=True)
    assert report is not None
    assert (report.exit_code, [each.message for each in plan.warnings]) == (0, ["blocks.b: No b. (policy `no-b`)"])
    stack.write(MANIFEST + policy)
    assert not flow.plan(stack.source, stack.connection)  # it is about changes
    with pytest.raises(Guarded, match="No b"):
        flow.plan(stack.source, stack.connection, flow.PlanOptions(destroy=True))


# --- a plan in memory ------------------------------------------------------------------------------------------------


def test_a_plan_in_memory_is_carried_out_or_stale(stack: Stack) -> None:
    stack.write(MANIFEST)
    plan = flow.plan(stack.source, stack.connection)
    stack.write(MANIFEST.replace("value: x", "value: y"))
    with pytest.raises(Stale) as refused:
        flow.apply_plan(plan, stack.source, stack.connection)
    assert refused.value.message == "the plan is stale: lettaform.yaml has changed"
    assert stack.standin.tables.blocks == {}
    stack.write(MANIFEST)
    done, report = flow.apply_plan(plan, stack.source, stack.connection)
    assert report is not None
    assert (report.exit_code, done.summary["create"]) == (0, 2)
    with pytest.raises(Stale, match="the server has changed"):  # it is carried out once
        flow.apply_plan(plan, stack.source, stack.connection)


def test_a_plan_in_memory_is_applied_to_its_own_server(stack: Stack) -> None:
    stack.write(MANIFEST)
    plan = flow.plan(stack.source, stack.connection)
    with pytest.raises(Stale, match=r"was made for http://stand\.in"):
        flow.apply_plan(plan, stack.source, replace(stack.connection, url="http://else.where"))


def test_nothing_is_applied_without_consent(stack: Stack) -> None:
    stack.write(MANIFEST)
    with pytest.raises(TypeError, match="consent"):
        flow.apply(stack.source, stack.connection)  # type: ignore[call-arg]
    for consent in (False, lambda plan: False):
        plan, report = flow.apply(stack.source, stack.connection, consent=consent)
        assert (bool(plan), report, stack.standin.tables.blocks) == (True, None, {})


def test_no_function_has_a_default_consent() -> None:
    functions = [each for name in flow.__all__ if inspect.isfunction(each := getattr(flow, name))]
    asking = [each for each in functions if "consent" in inspect.signature(each).parameters]
    assert len(asking) >= 9
    for each in asking:
        assert inspect.signature(each).parameters["consent"].default is inspect.Parameter.empty, each


def test_a_manifest_in_memory_converges_and_has_no_files_to_write(stack: Stack) -> None:
    source = flow.Source(stack.folder, document={"stack": "s", "blocks": {"b": {"value": "x"}}})
    _, report = flow.apply(source, stack.connection, consent=True)
    assert report is not None
    assert (report.exit_code, bool(flow.plan(source, stack.connection))) == (0, False)
    changed = replace(source, document={"stack": "s", "blocks": {"b": {"value": "x", "limit": 99}}})
    plan = flow.plan(changed, stack.connection)
    with pytest.raises(Stale, match="the manifest in memory has changed"):
        flow.apply_plan(plan, source, stack.connection)
    with pytest.raises(PlanError, match="has no files to write"):
        flow.pull(source, stack.connection, consent=True)
    with pytest.raises(PlanError, match="has no files to write"):
        flow.duplicate(source, stack.connection, "blocks.b", "blocks.c", consent=True)


def test_another_name_of_the_stack_gives_another_stack(stack: Stack) -> None:
    stack.write(MANIFEST)
    flow.apply(stack.source, stack.connection, consent=True)
    other = replace(stack.source, stack="t")
    plan, report = flow.apply(other, stack.connection, consent=True)
    assert report is not None
    assert (plan.stack, report.exit_code, len(flow.state_list(other, stack.connection))) == ("t", 0, 2)
    flow.apply(other, stack.connection, flow.PlanOptions(destroy=True), consent=True)
    assert not flow.plan(stack.source, stack.connection)
