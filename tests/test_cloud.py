"""Features that only Letta Cloud has, or no longer has: tested against its documentation, not against the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError, ManifestError, Unsupported
from lettaform.kinds import kinds
from lettaform.kinds.traits import Availability
from lettaform.model import Plan, PlanOptions
from tests.standin import StandIn
from tests.standin.server import Body, Refusal

pytestmark = pytest.mark.thorough

CLOUD = "https://api.letta.com"


class Cloud(StandIn):
    """A stand-in with schedules and without folders, as the official client and the vendor's pages describe it."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, Body] = {}
        self.lost = False
        """Whether the answer to the next created schedule is lost."""

    def _route(self, method: str, url: httpx.URL, headers: Any, content: bytes) -> Any:
        if url.path.startswith("/v1/folders"):
            raise Refusal(400, "folders are deprecated and no longer supported")
        found = re.fullmatch(r"/v1/agents/([^/]+)/schedule(?:/([^/]+))?", url.path)
        if found is None:
            return super()._route(method, url, headers, content)
        agent, id = found.groups()
        mine = [each for each in self.schedules.values() if each["agent_id"] == agent]
        if agent not in self.tables.agents:
            raise Refusal(404, "no such agent")
        if method == "GET":
            after = url.params.get("after")
            rest = mine[[each["id"] for each in mine].index(after) + 1 :] if after else mine
            return {"has_next_page": len(rest) > 2, "scheduled_messages": rest[:2]}
        if method == "POST":
            return self._schedule(agent, httpx.Response(200, content=content).json())
        if id not in self.schedules:
            raise Refusal(404, "no such schedule")
        del self.schedules[id]
        return {"success": True}

    def _schedule(self, agent: str, body: Body) -> Body:
        assert set(body) <= {"messages", "schedule", "callback_url", "include_return_message_types", "max_steps"}
        messages = [{"type": "message", "otid": self.id("otid"), **each} for each in body["messages"]]
        id, when = self.id("schedule"), body.pop("schedule")
        created = {"id": id, "agent_id": agent, "message": {**body, "messages": messages}, "schedule": when}
        self.schedules[id] = created
        if self.lost:
            self.lost = False
            raise httpx.ReadError("lost")
        return {"id": id, "next_scheduled_at": "2026-12-01T09:00:00Z"}


class CloudStack:
    """A stack on Letta Cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cloud = folder, Cloud()
        self.source, self.connection = flow.Source(folder), flow.Connection(url=CLOUD, token="key")

    def write(self, text: str) -> None:
        head = "stack: s\nagents: {ann: {model: letta/letta-free}, bob: {model: letta/letta-free}}\n"
        (self.folder / "lettaform.yaml").write_text(head + text)

    def connected_to_cloud(self) -> Any:
        return mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.cloud))

    def apply(self, **options: Any) -> Plan:
        with self.connected_to_cloud():
            plan, report = flow.apply(self.source, self.connection, PlanOptions(**options), consent=True)
            assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        if not options.get("destroy"):
            self.assert_no_changes()
        return plan

    def assert_no_changes(self) -> None:
        with self.connected_to_cloud():
            for _ in range(2):
                plan = flow.plan(self.source, self.connection)
                assert not plan.steps, [(change.action, str(change.address)) for change in plan.changes]

    def contents_and_times(self) -> list[tuple[str, str]]:
        """Content and time of every schedule."""
        every = self.cloud.schedules.values()
        whens = ((each, each["schedule"]) for each in every)
        found = [(each["message"]["messages"][0]["content"], str([*when.values()][-1])) for each, when in whens]
        return sorted(found)


@pytest.fixture
def stack(tmp_path: Path) -> CloudStack:
    return CloudStack(tmp_path)


def schedules(cron: str = "0 9 * * *", more: str = "") -> str:
    messages = "messages: [{role: user, content: Hello.}]"
    return f'schedules:\n  daily: {{agent: ann, cron: "{cron}", {messages}}}\n{more}'


def test_schedule_is_created_once_replaced_and_deleted(stack: CloudStack) -> None:
    stack.write(
        schedules(
            more="  once: {agent: bob, at: 1796000000000, max_steps: 3, messages: [{role: user, content: Now.}]}\n"
        )
    )
    stack.apply()
    assert stack.contents_and_times() == [("Hello.", "0 9 * * *"), ("Now.", "1796000000000")]
    (before,) = [id for id, each in stack.cloud.schedules.items() if "max_steps" in each["message"]]
    stack.write(
        schedules(
            "0 8 * * 1-5",
            more="  once: {agent: bob, at: 1796000000000, max_steps: 3, messages: [{role: user, content: Now.}]}\n",
        )
    )
    plan = stack.apply()
    assert [(change.action, str(change.address)) for change in plan.changes] == [("replace", "schedules.daily")]
    assert stack.contents_and_times() == [("Hello.", "0 8 * * 1-5"), ("Now.", "1796000000000")]
    assert before in stack.cloud.schedules
    stack.write(schedules("0 8 * * 1-5"))
    stack.apply(prune=True)
    assert stack.contents_and_times() == [("Hello.", "0 8 * * 1-5")]
    stack.apply(destroy=True)
    assert stack.contents_and_times() == []


def test_foreign_schedules_are_untouched_even_if_equal(stack: CloudStack) -> None:
    stack.write("")
    stack.apply()
    (ann,) = [id for id, each in stack.cloud.tables.agents.items() if each["name"] == "ann"]
    message = {"role": "user", "content": "Hello."}
    when = {"type": "recurring", "cron_expression": "0 9 * * *"}
    stack.cloud._schedule(ann, {"messages": [message], "schedule": when})
    stack.write(schedules())
    stack.apply()
    assert stack.contents_and_times() == [("Hello.", "0 9 * * *")] * 2
    stack.write("")
    stack.apply(prune=True)
    assert stack.contents_and_times() == [("Hello.", "0 9 * * *")]


@pytest.mark.thorough
def test_schedule_with_lost_answer_is_created_once(stack: CloudStack) -> None:
    stack.write(schedules())
    stack.cloud.lost = True
    with stack.connected_to_cloud():
        _, report = flow.apply(stack.source, stack.connection, consent=True)
    assert report is not None
    assert report.exit_code == 5
    stack.apply()
    assert stack.contents_and_times() == [("Hello.", "0 9 * * *")]


def test_past_schedule_is_not_created_again(stack: CloudStack) -> None:
    stack.write("schedules: {once: {agent: ann, at: 1796000000000, messages: [{role: user, content: Now.}]}}")
    stack.apply()
    stack.cloud.schedules.clear()
    stack.assert_no_changes()
    stack.apply(destroy=True)


def test_schedules_are_read_page_by_page(stack: CloudStack) -> None:
    many = "".join(
        f"  s{n}: {{agent: ann, cron: '{n} 9 * * *', messages: [{{role: user, content: Hi.}}]}}\n" for n in range(5)
    )
    stack.write(f"schedules:\n{many}")
    stack.apply()
    assert len(stack.contents_and_times()) == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("messages: [{role: user, content: Hi.}]", "exactly one of `cron` and `at`"),
        ("cron: daily, messages: [{role: user, content: Hi.}]", "is not a cron expression of five fields"),
        ("at: 1, messages: [{content: Hi.}]", "messages.0.role: is required"),
    ],
)
def test_invalid_schedules_are_refused(stack: CloudStack, fields: str, message: str) -> None:
    stack.write(f"schedules: {{x: {{agent: ann, {fields}}}}}")
    with pytest.raises(ManifestError) as refused:
        flow.read(stack.source)
    assert message in str(refused.value)


def refusal(stack: CloudStack, url: str) -> LettaformError:
    with stack.connected_to_cloud(), pytest.raises(Unsupported) as refused:
        flow.plan(stack.source, flow.Connection(url=url))
    assert stack.cloud.writes == []
    return refused.value


def test_self_hosted_server_refuses_schedules_with_place(stack: CloudStack) -> None:
    stack.write(schedules())
    (problem,) = refusal(stack, "http://localhost:8283").problems
    assert problem.message == "schedules.daily: Letta 0.16.8 has no schedules"
    assert problem.place is not None
    assert (problem.place.line, problem.hint) == (4, "only Letta Cloud has them")


def test_cloud_refuses_folders_with_place(stack: CloudStack) -> None:
    stack.write("folders: {manuals: {embedding: letta/letta-free}}")
    (problem,) = refusal(stack, CLOUD).problems
    assert problem.message == "folders.manuals: Letta Cloud has no folders"
    assert problem.place is not None
    assert problem.place.line == 3


def test_refused_list_is_reported_with_message_of_server(stack: CloudStack) -> None:
    """A release that is newer than this test."""
    stack.write("folders: {manuals: {embedding: letta/letta-free}}")
    (problem,) = refusal(stack, "http://localhost:8283").problems
    assert problem.message == "folders.manuals: Letta 0.16.8 has no folders"
    assert problem.hint == "folders are deprecated and no longer supported"


def at_version(stack: CloudStack, version: str) -> LettaformError:
    once = stack.cloud._route

    def route(method: str, url: httpx.URL, headers: Any, content: bytes) -> Any:
        health = url.path == "/v1/health/"
        return {"version": version, "status": "ok"} if health else once(method, url, headers, content)

    with mock.patch.object(stack.cloud, "_route", route):
        return refusal(stack, "http://localhost:8283")


@pytest.mark.parametrize("version", ["0.15.1", "0.16.4"])
def test_release_without_block_tags_is_too_old(stack: CloudStack, version: str) -> None:
    stack.write("")
    refused = at_version(stack, version)
    assert str(refused) == f"Letta {version} at http://localhost:8283 is too old for lettaform"
    assert (refused.hint or "").startswith("use 0.16.5 or newer")


def test_release_without_a_kind_is_reported_with_place_and_first_release(
    stack: CloudStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds()["conversation"], "availability", Availability(since="0.16.9"))
    stack.write("conversations: {desk: {agent: ann}}")
    (problem,) = refusal(stack, "http://localhost:8283").problems
    assert problem.message == "conversations.desk: Letta 0.16.8 has no conversations"
    assert (problem.hint, problem.place and problem.place.line) == ("since 0.16.9", 3)


def test_import_all_declares_schedules_under_the_key_of_their_agent(stack: CloudStack, tmp_path: Path) -> None:
    daily = '{agent: ann, cron: "0 9 * * *", messages: [{role: user, content: Good morning.}]}'
    once = "{agent: ann, at: 1893456000000, messages: [{role: user, content: Once.}]}"
    stack.write(f"schedules: {{daily: {daily}, once: {once}}}")
    stack.apply()
    for row in (*stack.cloud.tables.agents.values(), *stack.cloud.tables.blocks.values()):
        row["_tags"] = []  # nobody owns them any more
    stack.cloud.tables.blocks.clear()
    out = tmp_path / "out"
    with stack.connected_to_cloud():
        found = flow.import_all(stack.connection, out, flow.ImportOptions("second"))
        assert found.objects == {"agents": 2, "schedules": 2}
        assert "ann-schedule: {agent: ann, messages: [{role: user, content: " in (out / "lettaform.yaml").read_text()
        source = flow.Source(out)
        plan, report = flow.apply(source, stack.connection, consent=True)
        assert {change.action for change in plan.changes} == {"adopt"}
        assert report is not None
        assert report.exit_code == 0
        assert len(stack.cloud.schedules) == 2
        assert not flow.plan(source, stack.connection).steps
