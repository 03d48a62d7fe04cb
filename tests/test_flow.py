"""Verbs on a stand-in: what was not carried out is an error, and a killed apply is completed by the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow, session
from lettaform.apply import INTERRUPTED, LOCK_LOST, Stop
from lettaform.backend import connect
from lettaform.errors import Interrupted, LettaformError, Locked
from lettaform.ownership import state
from lettaform.render import objects
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
    flow.apply(stack.source, stack.connection)
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
    shown = {str(live.address): live for live in flow.show(stack.source, stack.connection)}
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
