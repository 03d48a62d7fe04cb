"""Checks on a stand-in whose agents answer as a script says: results, denials, judges, plans, and what is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.model import Checked, CheckResult
from tests.backend.v1.served import Served
from tests.session.test_observe import MODELS, Project
from tests.standin import StandIn

MANIFEST = f"""
variables: {{key: {{secret: true, default: hushhush}}}}
blocks: {{team: {{value: We.}}}}
agents:
  ann:
    {{{MODELS}, system: Be kind., blocks: [team], tools: [web_search], memory: {{notes: none}},
     secrets: {{K: "${{var.key}}"}}}}
  worker: {{{MODELS}, for_each: [x, y]}}
"""

pytestmark = pytest.mark.thorough


class Scripted(Served):
    """A stand-in whose agents answer a message as `script` says: text to the body of the answer."""

    def __init__(self, standin: StandIn | None = None) -> None:
        super().__init__(standin)
        self.script: dict[str, Callable[[], Any]] = {}
        self.said: list[Any] = []
        self.bodies: list[Any] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"null")
        if request.method == "POST" and request.url.path == "/v1/agents/":
            self.bodies.append(body)
        if request.method == "POST" and request.url.path.endswith("/messages"):
            message = body["messages"][0]
            self.said.append(message)
            key = message.get("content") or message["type"]
            if key in self.script:
                answer = self.script[key]()
                if isinstance(answer, Exception):
                    raise answer
                return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)
        return await super().handle_async_request(request)


def says(text: str, *calls: tuple[str, Any], stop: str = "end_turn", approval: bool = False) -> Callable[[], Any]:
    kind = "approval_request_message" if approval else "tool_call_message"
    made = [
        {"message_type": kind, "tool_call": {"name": n, "arguments": json.dumps(a), "tool_call_id": f"call-{n}"}}
        for n, a in calls
    ]
    answer = [{"message_type": "assistant_message", "content": text}] if text else []
    usage = {"message_type": "usage_statistics", "step_count": 1 + len(calls), "total_tokens": 50}
    stopped = {"message_type": "stop_reason", "stop_reason": stop}
    return lambda: {"messages": [*made, *answer], "stop_reason": stopped, "usage": usage}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.applied(tmp_path, MANIFEST)
    made.server = Scripted(made.server.standin)
    return made


def check(project: Project, checks: str, **options: Any) -> Checked:
    text = (project.folder / "lettaform.yaml").read_text().split("\nchecks:")[0]
    (project.folder / "lettaform.yaml").write_text(f"{text}\nchecks:\n{checks}")
    before = tables(project)
    found = project.flow(lambda: flow.check(project.source, project.connection, flow.CheckOptions(**options)))
    assert tables(project) == before
    return found


def tables(project: Project) -> Any:
    """Everything that lives on the server, without the messages of copies."""
    found = project.server.standin.tables
    names = ("agents", "blocks", "archives", "identities", "tools", "folders", "groups", "passages")
    return {name: json.dumps(getattr(found, name), sort_keys=True, default=str) for name in names}


def shown(found: Checked) -> list[tuple[str, str, list[str]]]:
    return [
        (
            f"{each.check.name} {each.agent}",
            each.status,
            [w for run in each.runs for w in (*run.failures, run.error) if w],
        )
        for each in found.results
    ]


def test_results(project: Project) -> None:
    project.server.script = {"look": says("Sunny.", ("look", {"city": "Rome"}))}
    found = check(
        project,
        """
  passes:
    agent: ann
    say: look
    expect: {answer: {contains: sunny}, calls: [{tool: look, arguments: {city: Rome}}], memory: {team: {contains: we}}}
  fails: {agent: worker, say: hello, expect: {answer: {contains: bye}}}
""",
    )
    wrong = ["the answer does not contain “bye”: “hello”"]
    assert shown(found) == [
        ("passes agents.ann", "passed", []),
        ("fails agents.worker[x]", "failed", wrong),
        ("fails agents.worker[y]", "failed", wrong),
    ]
    assert (found.stack, found.planned, found.exit_code) == ("s", False, 3)


def test_a_copy_is_hidden_and_has_what_the_agent_has_except_its_tags(project: Project) -> None:
    check(project, "  c: {agent: ann, say: hello}")
    (body,) = project.server.bodies
    (agent,) = project.rows("agents", name="ann")
    assert (body["system"], body["hidden"], body["include_base_tools"]) == ("Be kind.", True, False)
    assert body["tool_ids"] == agent["_tools"] or len(body["tool_ids"]) == 1
    assert body["secrets"] == {"K": "hushhush"}
    assert sorted((each["label"], each["value"]) for each in body["memory_blocks"]) == [
        ("notes", "none"),
        ("team", "We."),
    ]
    assert not body.get("block_ids")
    assert [tag for tag in body["tags"] if tag.startswith("lettaform:stack=")] == ["lettaform:stack=s/check"]


@pytest.mark.parametrize(
    ("rate", "status", "code"),
    [(0.6, "passed", 0), (2 / 3, "passed", 0), (0.7, "failed", 3), (1, "failed", 3), (0, "passed", 0)],
)
def test_a_pass_rate(rate: float, status: str, code: int, project: Project) -> None:
    answers = iter(["yes", "no", "yes"])
    project.server.script = {"x": lambda: says(next(answers))()}
    found = check(
        project, f"  c: {{agent: ann, say: x, expect: {{answer: {{contains: yes}}}}, runs: 3, pass_rate: {rate}}}"
    )
    assert ([each.status for each in found.results], found.exit_code) == ([status], code)
    assert len(found.results[0].runs) == 3


def test_a_check_in_quarantine_is_reported_and_fails_nothing(project: Project) -> None:
    found = check(project, "  c: {agent: ann, say: x, expect: {answer: {contains: y}}, quarantine: true}")
    assert (found.exit_code, len(found.quarantined), found.of("failed")) == (0, 1, ())


def test_a_denied_tool_is_called_and_does_not_run(project: Project) -> None:
    project.server.script = {
        "pay": says("", ("web_search", {"query": "Rome"}), stop="requires_approval", approval=True),
        "approval": says("I may not."),
    }
    found = check(
        project,
        """
  c:
    agent: ann
    say: pay
    deny_tools: ["web*"]
    expect: {answer: {contains: may not}, calls: [{tool: web_search}], at_most: {steps: 3}}
""",
    )
    assert shown(found) == [("c agents.ann", "passed", [])]
    (call,) = found.results[0].runs[0].said[0].reply.calls
    assert call.denied
    (body,) = project.server.bodies
    assert {"type": "requires_approval", "tool_name": "web_search"} in body["tool_rules"]
    (denial,) = project.server.said[1]["approvals"]
    assert (denial["approve"], denial["tool_call_id"]) == (False, "call-web_search")


def test_an_agent_that_asks_for_ever_is_given_up(project: Project) -> None:
    asks = says("", ("look", {}), stop="requires_approval", approval=True)
    project.server.script = {"pay": asks, "approval": asks}
    found = check(project, "  c: {agent: ann, say: pay, expect: {answer: {contains: x}}}")
    assert shown(found)[0][2] == ["turn 1: the agent was denied a tool 20 times, and did not stop"]


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (says("", stop="llm_api_error"), "error", "turn 1: the agent stopped with `llm_api_error`"),
        (says("", stop="max_steps"), "failed", "turn 1: the agent stopped with `max_steps`"),
        (
            lambda: httpx.Response(500, json={"detail": "An unknown error occurred"}),
            "error",
            "An unknown error occurred",
        ),
        (lambda: httpx.Response(200, text="<html>"), "error", "not JSON"),
        (lambda: httpx.ReadError("gone"), "error", "the connection broke"),
    ],
)
def test_a_conversation_that_breaks(
    answer: Callable[[], Any], status: str, message: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client.SETTLE", 0.01)
    project.server.script = {"x": answer}
    found = check(project, "  c: {agent: ann, say: x}")
    ((_, got, (why,)),) = shown(found)
    assert (got, found.exit_code) == (status, 3)
    assert message in why


def test_a_judge(project: Project) -> None:
    criteria = '{"pass": %s, "reason": "It is so."}'
    found = check(
        project,
        f"""
  good: {{agent: ann, say: hello, judge: {{criteria: '{criteria % "true"}'}}}}
  bad: {{agent: ann, say: hello, judge: {{criteria: '{criteria % "false"}', model: letta/letta-free}}}}
  mute: {{agent: ann, say: hello, judge: {{criteria: Polite.}}}}
""",
    )
    assert [each[1:] for each in shown(found)][:2] == [("passed", []), ("failed", ["the judge: It is so."])]
    assert found.results[2].status == "error"
    judged = [each["content"] for each in project.server.said if "Criteria:" in each["content"]]
    assert all("User: hello\nAgent: hello" in each for each in judged)


def test_secrets_are_not_shown(project: Project) -> None:
    project.server.script = {"x": says("the key is hushhush", ("look", {"city": "hushhush", "l": ["hushhush"]}))}
    found = check(project, "  c: {agent: ann, say: x, expect: {answer: {contains: sunny}, no_calls: [look]}}")
    assert "hushhush" not in repr(found.results[0].runs)
    assert "‹secret›" in repr(found.results[0].runs)


def test_the_planned_definition(project: Project) -> None:
    text = MANIFEST.replace("system: Be kind.", "system: Be brief.").replace("none}", "none, more: New.}")
    text = text.replace("{value: We.}", "{value: You., policy: {value: enforce}}")
    project.write(text + f"  fresh: {{{MODELS}, memory: {{notes: fresh}}}}\n")
    checks = """
  old: {agent: ann, say: x, expect: {memory: {team: {contains: You}, more: {contains: New}}}}
  new: {agent: fresh, say: x, expect: {memory: {notes: {contains: fresh}}}}
"""
    found = check(project, checks, planned=True)
    assert [each[1:] for each in shown(found)] == [("passed", []), ("passed", [])]
    assert found.planned
    assert {body["system"] for body in project.server.bodies if "system" in body} == {"Be brief."}
    with pytest.raises(PlanError) as caught:
        check(project, checks)
    assert (caught.value.message, caught.value.hint) == (
        "agents.fresh does not exist on the server",
        "`lettaform apply` creates it; `lettaform check --plan` checks it before",
    )


def test_names_choose_checks(project: Project) -> None:
    checks = "  one: {agent: ann, say: x}\n  two: {agent: ann, say: x}\n"
    seen = list[CheckResult]()
    found = check(project, checks, names=("t*",), notify=seen.append)
    assert [each.check.name for each in found.results] == ["two"]
    assert tuple(seen) == found.results
    with pytest.raises(PlanError, match="no check has the name `on`"):
        check(project, checks, names=("on",))


def test_a_manifest_without_checks(project: Project) -> None:
    with pytest.raises(PlanError, match="the manifest declares no checks"):
        check(project, "  {}\n")
