"""Verbs on a stand-in: what was not carried out is an error, and a killed apply is completed by the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow, session
from lettaform.apply import INTERRUPTED, LOCK_LOST, Stop
from lettaform.backend import connect
from lettaform.errors import Interrupted, LettaformError, Locked, ManifestError
from lettaform.ownership import state
from lettaform.session.interrupt import interruptible
from tests.standin import StandIn

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
    flow.apply(stack.source, stack.connection)
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


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_apply_killed_at_any_request_with_a_state_of_several_pages_is_completed_by_the_next(
    moment: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PAGE", 200)
    old, new = [f"p{number}" for number in range(8)], ["aa", "ab", *(f"p{number}" for number in range(7))]
    for number in range(1, 100):
        stack.standin = StandIn()
        stack.write(people(*old))
        flow.apply(stack.source, stack.connection)
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
            flow.apply(stack.source, stack.connection, flow.PlanOptions(prune=True))
            killed = False
        except (Killed, BaseExceptionGroup):  # a task group wraps it
            killed = True
        setattr(stack.standin, moment, lambda ask: None)
        flow.apply(stack.source, stack.connection, flow.PlanOptions(prune=True))
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
    _, report = flow.apply(stack.source, stack.connection)
    assert report is not None
    assert report.exit_code == 0
    plan = flow.plan(stack.source, stack.connection)
    assert not plan, [(change.action, str(change.address)) for change in plan.changes]


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
    "destroy": lambda stack: flow.apply(stack.source, stack.connection, DESTROY),
}
DESTROY = flow.PlanOptions(destroy=True, allow_destroy=("*",))
VALUES = {"token": "a-token", "other": "theirs", "keys": "[one, two]"}


@pytest.fixture
def deployed(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """All variables had values in an apply. From now on, none has one."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "lettaform.yaml").write_text("stack: t\nblocks: {b: {label: theirs, value: x}}\n")
    flow.apply(flow.Source(other), stack.connection)
    stack.write(SECRETS)
    monkeypatch.setenv("NO_SUCH_VARIABLE", "a-path-key")
    flow.apply(replace(stack.source, variables=VALUES), stack.connection)
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


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_plan_and_apply_ask_for_every_variable(verb: str, deployed: Stack) -> None:
    with pytest.raises(ManifestError) as refused:
        getattr(flow, verb)(deployed.source, deployed.connection)
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
