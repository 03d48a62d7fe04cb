"""`send`, `messages`, `runs`, `compact`, `reset` and `recompile` on a stand-in, in a project and without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.cli import cli
from tests.documents import ROOT
from tests.standin import StandIn, serve

pytestmark = pytest.mark.thorough

MANIFEST = """
stack: support
defaults: {agents: {model: openai-proxy/echo, embedding: openai/text-embedding-3-small, include_base_tools: false}}
tools:
  refund: {source: refund.py, default_requires_approval: true}
blocks:
  team: {value: ""}
agents:
  clerk: {tools: [refund, memory_insert], memory: {human: {value: Ann}}}
  worker: {for_each: [a, b, é]}
conversations:
  trial: {agent: clerk}
"""
REFUND = '''def refund(order: str) -> str:
    """Refund an order.

    Args:
        order: Which one.
    """
    return order
'''


@dataclass
class Project:
    """A project whose stack is applied. Calling it runs the command line in its folder."""

    folder: Path
    url: str
    standin: StandIn

    def __call__(self, *words: str, input: str | None = None) -> Result:
        place = ["-C", str(self.folder), "--server", self.url]
        return CliRunner().invoke(cli, [*place, *words], input=input)

    def id(self, name: str) -> str:
        return next(id for id, each in self.standin.tables.agents.items() if each["name"] == name)


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StandIn]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "lettaform.yaml").write_text(MANIFEST)
    (folder / "refund.py").write_text(REFUND)
    standin = StandIn()
    with serve(standin) as url:
        _, report = flow.apply(flow.Source(folder), flow.Connection(url=url), consent=True)
    assert report is not None
    assert report.exit_code == 0, [str(each.error) for each in report.of("failed")]
    return folder, standin


@pytest.fixture
def project(applied: tuple[Path, StandIn]) -> Iterator[Project]:
    folder, standin = applied[0], applied[1].copy()
    with serve(standin) as url:
        yield Project(folder, url, standin)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


# --- send ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--stream"], ["--no-stream"], ["--background"]])
def test_what_the_agent_says_is_all_that_standard_output_has(options: list[str], project: Project) -> None:
    done = project("send", "agents.clerk", "think: hm\nHello you", *options)
    assert (done.exit_code, done.stdout) == (0, "Hello you\n"), done.output
    assert "Reasoning: hm\n" in done.stderr
    assert ("Run: run-" in done.stderr) is ("--background" in options)


@pytest.mark.parametrize("words", [["-"], []])
def test_standard_input_is_sent(words: list[str], project: Project) -> None:
    assert project("send", "agents.clerk", *words, input="From a pipe.\n").stdout == "From a pipe.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["agents.clerk", ""], "the text to send is empty"),
        (["agents.clerk", "-"], "the text to send is empty"),
        (["agents.clerk", "x", "--approve", "--deny"], "exclude each other"),
        (["agents.*", "x", "--background"], "are for one agent, and `agents.*` names 4"),
        (["agents.clrk", "x"], "no object has the address `agents.clrk`\n  → did you mean `agents.clerk`?"),
        (["blocks.team", "x"], "`blocks.team` names no agent and no conversation, and nothing else has messages"),
        (["agents.clerk", "x", "--conversation", "other"], "has no conversation `other`\n  → there are trial"),
        (["agents.*", "x", "--conversation", "trial"], "agents.* is not one agent"),
        (["clrk", "x"], "no object has the address `agents.clrk`\n  → did you mean `agents.clerk`?"),
        (["agent-1", "x"], "agent-1"),
        (["agents.clerk", "--approve"], "agents.clerk waits for no approval"),
        (["agents.clerk", "x", "--image", "lettaform.yaml"], "is no picture"),
    ],
)
def test_wrong_arguments(words: list[str], message: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    done = project("send", *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr


def test_an_id_needs_no_manifest(project: Project, tmp_path: Path) -> None:
    project.folder = tmp_path
    id = project.id("clerk")
    assert project("send", id, "Hello").stdout == "Hello\n"
    assert "Hello" in project("messages", id).stdout
    assert len(project("runs", "list", id).stdout.splitlines()) == 2
    assert len(project("runs").stdout.splitlines()) == 2


def test_a_conversation_by_key_address_and_id(project: Project) -> None:
    (id,) = project.standin.tables.conversations
    for words in (["agents.clerk", "--conversation", "trial"], ["conversations.trial"], [id]):
        assert project("send", *words, "In the thread.").exit_code == 0
        assert "In the thread." in project("messages", *words).stdout
    assert "In the thread." not in project("messages", "agents.clerk").stdout


def test_a_call_that_needs_approval(project: Project) -> None:
    asked = project("send", "agents.clerk", 'call refund {"order": "7"}')
    assert (asked.exit_code, asked.stdout) == (7, "")
    assert 'Approval request: refund {"order": "7"}' in asked.stderr
    assert "→ `lettaform send 'agents.clerk' --approve` or" in asked.stderr
    refused = project("send", "agents.clerk", "Hello")
    assert (refused.exit_code, refused.stdout) == (7, "")
    denied = project("send", "agents.clerk", "--deny", "too much")
    assert (denied.exit_code, denied.stdout) == (
        0,
        "refund answered: Error: request to call tool denied. User reason: too much\n",
    )
    both = project("send", "agents.clerk", "call refund {}\ncall refund {}", "--approve")
    assert (both.exit_code, both.stdout) == (0, "refund answered: done\n")


def test_json_is_one_object_per_line_and_ends_with_the_summary(project: Project) -> None:
    done = project("send", "agents.clerk", "remember human: rides a bicycle", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    first, *messages, last = lines(done)
    assert (first["event"], first["to"]) == ("run", "agents.clerk")
    kinds = [each["message"]["message_type"] for each in messages]
    assert kinds == ["tool_call_message", "tool_return_message", "assistant_message"]
    wanted = {"event": "summary", "run": first["run"], "stop_reason": "end_turn", "error": None, "exit_code": 0}
    assert wanted.items() <= last.items()
    assert (last["answer"], last["usage"]["step_count"]) == ("memory_insert answered: Ann\nrides a bicycle", 2)
    pieces = lines(project("send", "agents.clerk", "one two", "--json", "--stream"))
    assert [each["message"]["content"] for each in pieces if each["event"] == "piece"] == ["one ", "two"]


def test_a_turn_that_fails(project: Project) -> None:
    done = project("send", "agents.clerk", "fail: 500")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: An error occurred with the LLM request.\nStopped: llm_api_error: ")
    last = lines(project("send", "agents.clerk", "fail: 500", "--json"))[-1]
    assert (last["stop_reason"], last["exit_code"]) == ("llm_api_error", 1)


def test_detach_prints_the_run_and_follow_its_answer(project: Project) -> None:
    begun = project("send", "agents.clerk", "Later", "--detach")
    run = begun.stdout.strip()
    assert (begun.exit_code, run[:4], begun.stderr) == (0, "run-", "")
    assert project("runs", "follow", run).stdout == "Later\n"
    shown = json.loads(project("runs", "show", run, "--json").stdout)
    assert (shown["status"], shown["background"]) == ("completed", True)
    assert project("runs", "cancel", run).stdout == f"{run} is completed.\n"
    assert "background   yes" in project("runs", "show", run).stdout


def test_a_picture(project: Project, tmp_path: Path) -> None:
    (tmp_path / "é.png").write_bytes(b"\x89PNG")
    done = project("send", "agents.clerk", "See", "--image", str(tmp_path / "é.png"))
    assert (done.exit_code, done.stdout) == (0, "See\n")
    assert "[image image/png]" in project("messages", "agents.clerk").stdout


# --- many ------------------------------------------------------------------------------------------------------------


def test_a_pattern_sends_to_all_it_names(project: Project) -> None:
    done = project("send", "agents.worker*", "Hello", "--parallel", "2")
    assert done.exit_code == 0
    names = sorted(line.split()[1] for line in done.stdout.splitlines())
    assert names == ['agents.worker["é"]', "agents.worker[a]", "agents.worker[b]"]
    assert all(line.startswith("ok ") and line.endswith("Hello") for line in done.stdout.splitlines())
    assert done.stderr.startswith("Sending to 3 agents, 2 at a time.\n3 of 3 answered, 0 failed, ")


@pytest.mark.parametrize(
    ("text", "options", "code", "counts"),
    [
        ("Hello", [], 0, (4, 0, 0)),
        ("call refund {}", [], 7, (3, 0, 1)),
        ("call refund {}", ["--approve"], 0, (4, 0, 0)),
        ("fail: 500", [], 1, (0, 4, 0)),
        ("call refund {}\nfail: 500", ["--approve"], 5, (3, 1, 0)),
    ],
)
def test_counts_and_exit_codes(
    text: str, options: list[str], code: int, counts: tuple[int, ...], project: Project
) -> None:
    done = project("send", "agents.*", text, "--json", *options)
    *results, last = lines(done)
    assert (done.exit_code, last["exit_code"], len(results)) == (code, code, 4)
    assert tuple(last[key] for key in ("ok", "failed", "waiting")) == counts
    assert project("send", "agents.*", text, *options).exit_code == code


# --- the other verbs -------------------------------------------------------------------------------------------------


def test_messages_in_every_form(project: Project) -> None:
    assert project("messages", "agents.worker[a]").stdout.count("System") == 1
    project("send", "agents.clerk", "Anna")
    project("send", "agents.clerk", 'call memory_insert {"label": "human", "new_string": "x"}')
    shown = project("messages", "agents.clerk", "--type", "user", "--search", "ANNA").stdout
    assert shown.splitlines()[0].endswith("  User")
    assert shown.splitlines()[1:] == ["  Anna"]
    body = json.loads(project("messages", "agents.clerk", "--limit", "0", "--json").stdout)
    assert (body["of"], len(body["messages"])) == ("agents.clerk", 7)
    assert project("messages", "agents.clerk", "--search", "nothing").stdout == "No messages.\n"


def test_runs_of_the_stack_are_named_by_address(project: Project) -> None:
    assert project("runs").stdout == "No runs.\n"
    foreign = {"name": "other", "model": "openai-proxy/echo", "embedding": "openai/text-embedding-3-small"}
    with httpx.Client(base_url=project.url) as http:
        id = http.post("/v1/agents/", json=foreign).json()["id"]
        http.post(f"/v1/agents/{id}/messages", json={"messages": [{"role": "user", "content": "x"}]})
    project("send", "agents.clerk", "Hello")
    project("send", "conversations.trial", "Hello")
    found = json.loads(project("runs", "--json").stdout)["runs"]
    assert [each["of"] for each in found] == ["conversations.trial", "agents.clerk"]
    assert len(project("runs", "list", "agents.clerk", "--limit", "1").stdout.splitlines()) == 2
    assert "is not the id of a run" in project("runs", "show", "x").stderr


def test_compact(project: Project) -> None:
    few = project("compact", "agents.clerk")
    assert (few.exit_code, "failed to reduce" in few.stderr) == (1, True)
    for text in "ab":
        project("send", "agents.clerk", text)
    assert project("compact", "agents.clerk").stdout == (
        "Compacted: 5 → 3 messages in the context, the prompt included. Summary:\n  summary\n"
    )


def test_reset_needs_consent_and_writes_the_agent_file(project: Project) -> None:
    assert "has no messages" in project("reset", "agents.clerk").stdout
    project("send", "agents.clerk", "Hello")
    refused = project("reset", "agents.clerk")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "→ run `lettaform reset 'agents.clerk' -y`" in refused.stderr
    assert project("reset", "agents.clerk", "--json").exit_code == 1
    out = project.folder / "clerk.af"
    done = project("reset", "agents.clerk", "-y", "-o", "clerk.af")
    assert done.stdout.splitlines()[0] == f"Agent file: {out}"
    assert "2 messages were removed" in done.stdout
    assert "Hello" in out.read_text()
    assert "Hello" in project("messages", "agents.clerk").stdout  # in the history


def test_recompile(project: Project) -> None:
    assert project("recompile", "agents.*").stdout == "Recompiled 5 of 5 prompts.\n"
    body = json.loads(project("recompile", "agents.clerk", "--json").stdout)
    assert [each["error"] for each in body["recompiled"]] == [None, None]


# --- an interrupt ----------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize(("options", "text"), [([], "Interrupted; run-"), (["--background"], "The run goes on.")])
def test_ctrl_c(options: list[str], text: str, project: Project) -> None:
    script = (
        "import sys, time\nfrom lettaform.cli import talk, cli\ntake = talk.Talk.take\n"
        "def slowly(self, message, **words):\n    take(self, message, **words)\n"
        "    print('came', file=sys.stderr, flush=True)\n    time.sleep(5)\n"
        "talk.Talk.take = slowly\ncli.main(sys.argv[1:])"
    )
    words = ["-C", str(project.folder), "--server", project.url, "send", "agents.clerk", "Hello", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    seen = ""
    while "came" not in seen:
        seen = process.stderr.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert (process.returncode, text in rest) == (130, True), rest
