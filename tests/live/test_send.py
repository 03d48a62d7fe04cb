"""`send` and its neighbours on a real server: streams, calls, approvals, cut lines, runs; and examples/in-action."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.cli import cli
from lettaform.client.messages import AssistantMessage, Message, joined
from lettaform.model import Outgoing
from tests.live.conftest import Letta
from tests.live.fleet import Fleet

IN_ACTION = Path(__file__).parents[2] / "examples" / "in-action"
MANIFEST = """
    tools:
      pay_back: {source: pay_back.py, default_requires_approval: true}
    agents:
      clerk: {include_base_tools: false, tools: [pay_back, memory_insert], memory: {human: {value: Ann}}}
      worker: {for_each: [a, b], include_base_tools: false}
    conversations:
      trial: {agent: clerk}
"""
PAY_BACK = '''
def pay_back(order: str) -> str:
    """Pay an order back.

    Args:
        order (str): Which one.
    """
    return "paid back " + order
'''


@pytest.fixture
def echoing(letta: Letta) -> Letta:
    if not letta.model.endswith("echo"):
        pytest.skip("the server has no echo model")
    return letta


def run(folder: Path, letta: Letta, *words: str, input: str | None = None) -> Result:
    return CliRunner(env={"LETTA_API_KEY": letta.password}).invoke(
        cli, ["-C", str(folder), "--server", letta.url, *words], input=input
    )


@contextmanager
def cutting(url: str, after: int) -> Iterator[str]:
    """The URL of a proxy that breaks one connection, after so many bytes of a stream or of answers about a run."""
    server, cut = socket.create_server(("127.0.0.1", 0)), threading.Event()
    parts = urlsplit(url)

    def carry(source: socket.socket, target: socket.socket, asked: threading.Event, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(512):
                if not answers and (b"/messages/stream" in data or b"GET /v1/runs/run-" in data):
                    asked.set()
                passed += len(data) if answers and asked.is_set() else 0
                if passed > after and not cut.is_set():
                    cut.set()
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            far = socket.create_connection((parts.hostname or "", parts.port or 80))
            asked = threading.Event()
            threading.Thread(target=carry, args=(near, far, asked, False), daemon=True).start()
            threading.Thread(target=carry, args=(far, near, asked, True), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        assert cut.is_set()
    finally:
        server.close()


def said(messages: list[Message]) -> str:
    return "".join(each.text for each in joined(messages) if isinstance(each, AssistantMessage))


def test_an_agent_is_talked_to_in_every_way(fleet: Fleet, echoing: Letta) -> None:
    fleet.write(MANIFEST, pay_back_py=PAY_BACK)
    fleet.apply()

    def lettaform(*words: str, input: str | None = None) -> Result:
        return run(fleet.folder, echoing, *words, input=input)

    streamed = lettaform("send", "agents.clerk", "think: hm\nremember human: rides a bicycle", "--stream")
    assert (streamed.exit_code, streamed.stdout) == (0, "memory_insert answered: Ann\nrides a bicycle\n")
    assert streamed.stderr.startswith("Reasoning: hm\nTool call: memory_insert {")
    asked = lettaform("send", "agents.clerk", 'call pay_back {"order": "7"}')
    assert (asked.exit_code, 'Approval request: pay_back {"order": "7"}' in asked.stderr) == (7, True)
    assert lettaform("send", "agents.clerk", "Hello").exit_code == 7
    denied = lettaform("send", "agents.clerk", "--deny", "too much")
    assert "User reason: too much" in denied.stdout
    allowed = lettaform("send", "agents.clerk", 'call pay_back {"order": "8"}', "--approve", "--json")
    assert json.loads(allowed.stdout.splitlines()[-1])["answer"] == "pay_back answered: paid back 8"
    thread = lettaform("send", "agents.clerk", "-", "--conversation", "trial", input="In the thread.")
    assert (thread.exit_code, thread.stdout) == (0, "In the thread.\n")
    assert "In the thread." in lettaform("messages", "conversations.trial").stdout
    assert "In the thread." not in lettaform("messages", "agents.clerk", "--limit", "0").stdout
    both = lettaform("send", "agents.worker*", "Hello")
    assert (both.exit_code, both.stdout.count("ok ")) == (0, 2)
    assert lettaform("send", "agents.clerk", "fail: 500").exit_code == 1
    late = lettaform("send", "agents.clerk", "slowly: 50 ms\nwrite: 200 words", "--timeout", "2")
    assert (late.exit_code, "was cancelled" in late.stderr) == (1, True)
    listed = json.loads(lettaform("runs", "--json").stdout)["runs"]
    assert (listed[0]["status"], listed[0]["of"]) == ("cancelled", "agents.clerk")
    detached = lettaform("send", "agents.clerk", "Later", "--detach").stdout.strip()
    assert lettaform("runs", "follow", detached).stdout == "Later\n"
    assert lettaform("reset", "agents.clerk", "-y").exit_code == 0
    assert "pay_back" in next((fleet.folder / ".lettaform" / "agent-files").iterdir()).read_text()


@pytest.mark.parametrize("background", [False, True])
def test_a_cut_line_loses_no_piece_and_repeats_none(background: bool, fleet: Fleet, echoing: Letta) -> None:
    fleet.write("agents: {clerk: {include_base_tools: false}}")
    fleet.apply()
    id, text = fleet.agent("clerk")["id"], "slowly: 20 ms\nwrite: 150 words"
    with cutting(echoing.url, 4_000) as url:
        connection = flow.Connection(url=url, token=echoing.password)
        found = [*flow.send(flow.Source(fleet.folder), connection, id, Outgoing(text), background=background)]
    assert said(found) == " ".join(map(str, range(1, 151)))
    runs = flow.runs(fleet.source, fleet.connection, id)
    assert [each.status for each, _ in runs if each.stop_reason == "end_turn"] == ["completed"]


def test_the_example_shows_everything_in_action(
    echoing: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in-action"
    shutil.copytree(IN_ACTION, folder)
    monkeypatch.setenv("LETTAFORM_VAR_model", echoing.model)
    lines = [line.strip() for line in (IN_ACTION / "README.md").read_text().splitlines() if " lettaform send " in line]
    commands = [shlex.split(line.split("lettaform", 1)[1]) for line in lines]
    stdin = "Good morning!\nremember human: Ann rides a blue bicycle.\n"
    try:
        assert run(folder, echoing, "apply", "-y").exit_code == 0
        told = [run(folder, echoing, *words, input=stdin).stdout for words in commands]
        expected = ["clock_time answered: ", "opens at nine", "opens at nine", "We close on Mondays", "Good morning!"]
        assert len(told) == len(expected)
        assert [text in answer for text, answer in zip(expected, told, strict=True)] == [True] * 5, told
        until = time.monotonic() + 20
        shown = ""
        while "blue bicycle" not in shown and time.monotonic() < until:
            shown = run(folder, echoing, "show", "agents.listener.memory.human").stdout
        assert "+ Ann rides a blue bicycle." in shown
    finally:
        assert run(folder, echoing, "destroy", "-y", "--allow-destroy", "*").exit_code == 0
