"""What Letta Cloud alone has, and has no more: held to its documented contract, and not tried against Cloud."""

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

CLOUD = "https://api.letta.com"


class Cloud(StandIn):
    """A stand-in that has schedules and no folders, as the official client and the vendor's pages have it."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, Body] = {}
        self.lost = False
        """The next schedule is made, and the answer lost."""

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

    def _schedule(self, agent: str, told: Body) -> Body:
        assert set(told) <= {"messages", "schedule", "callback_url", "include_return_message_types", "max_steps"}
        messages = [{"type": "message", "otid": self.id("otid"), **each} for each in told["messages"]]
        id, when = self.id("schedule"), told.pop("schedule")
        made = {"id": id, "agent_id": agent, "message": {**told, "messages": messages}, "schedule": when}
        self.schedules[id] = made
        if self.lost:
            self.lost = False
            raise httpx.ReadError("lost")
        return {"id": id, "next_scheduled_at": "2026-12-01T09:00:00Z"}


class Fleet:
    """A stack on Cloud."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cloud = folder, Cloud()
        self.source, self.connection = flow.Source(folder), flow.Connection(url=CLOUD, token="key")

    def write(self, text: str) -> None:
        head = "stack: s\nagents: {ann: {model: letta/letta-free}, bob: {model: letta/letta-free}}\n"
        (self.folder / "lettaform.yaml").write_text(head + text)

    def through(self) -> Any:
        return mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.cloud))

    def apply(self, **options: Any) -> Plan:
        with self.through():
            plan, report = flow.apply(self.source, self.connection, PlanOptions(**options))
            assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        if not options.get("destroy"):
            self.settled()
        return plan

    def settled(self) -> None:
        with self.through():
            for _ in range(2):
                plan = flow.plan(self.source, self.connection)
                assert not plan.steps, [(change.action, str(change.address)) for change in plan.changes]

    def said(self) -> list[tuple[str, str]]:
        """Content and time of every schedule."""
        every = self.cloud.schedules.values()
        whens = ((each, each["schedule"]) for each in every)
        found = [(each["message"]["messages"][0]["content"], str([*when.values()][-1])) for each, when in whens]
        return sorted(found)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def schedules(cron: str = "0 9 * * *", more: str = "") -> str:
    messages = "messages: [{role: user, content: Hello.}]"
    return f'schedules:\n  daily: {{agent: ann, cron: "{cron}", {messages}}}\n{more}'


def test_a_schedule_is_made_once_changed_by_another_and_removed(fleet: Fleet) -> None:
    fleet.write(
        schedules(
            more="  once: {agent: bob, at: 1796000000000, max_steps: 3, messages: [{role: user, content: Now.}]}\n"
        )
    )
    fleet.apply()
    assert fleet.said() == [("Hello.", "0 9 * * *"), ("Now.", "1796000000000")]
    (before,) = [id for id, each in fleet.cloud.schedules.items() if "max_steps" in each["message"]]
    fleet.write(
        schedules(
            "0 8 * * 1-5",
            more="  once: {agent: bob, at: 1796000000000, max_steps: 3, messages: [{role: user, content: Now.}]}\n",
        )
    )
    plan = fleet.apply()
    assert [(change.action, str(change.address)) for change in plan.changes] == [("replace", "schedules.daily")]
    assert fleet.said() == [("Hello.", "0 8 * * 1-5"), ("Now.", "1796000000000")]
    assert before in fleet.cloud.schedules
    fleet.write(schedules("0 8 * * 1-5"))
    fleet.apply(prune=True)
    assert fleet.said() == [("Hello.", "0 8 * * 1-5")]
    fleet.apply(destroy=True)
    assert fleet.said() == []


def test_what_others_schedule_is_left_alone_however_alike(fleet: Fleet) -> None:
    fleet.write("")
    fleet.apply()
    (ann,) = [id for id, each in fleet.cloud.tables.agents.items() if each["name"] == "ann"]
    message = {"role": "user", "content": "Hello."}
    when = {"type": "recurring", "cron_expression": "0 9 * * *"}
    fleet.cloud._schedule(ann, {"messages": [message], "schedule": when})
    fleet.write(schedules())
    fleet.apply()
    assert fleet.said() == [("Hello.", "0 9 * * *")] * 2
    fleet.write("")
    fleet.apply(prune=True)
    assert fleet.said() == [("Hello.", "0 9 * * *")]


def test_a_schedule_whose_answer_was_lost_is_there_once(fleet: Fleet) -> None:
    fleet.write(schedules())
    fleet.cloud.lost = True
    with fleet.through():
        _, report = flow.apply(fleet.source, fleet.connection)
    assert report is not None
    assert report.exit_code == 5
    fleet.apply()
    assert fleet.said() == [("Hello.", "0 9 * * *")]


def test_one_whose_time_has_come_is_not_made_again(fleet: Fleet) -> None:
    fleet.write("schedules: {once: {agent: ann, at: 1796000000000, messages: [{role: user, content: Now.}]}}")
    fleet.apply()
    fleet.cloud.schedules.clear()
    fleet.settled()
    fleet.apply(destroy=True)


def test_a_page_is_not_the_whole(fleet: Fleet) -> None:
    many = "".join(
        f"  s{n}: {{agent: ann, cron: '{n} 9 * * *', messages: [{{role: user, content: Hi.}}]}}\n" for n in range(5)
    )
    fleet.write(f"schedules:\n{many}")
    fleet.apply()
    assert len(fleet.said()) == 5


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("messages: [{role: user, content: Hi.}]", "exactly one of `cron` and `at`"),
        ("cron: daily, messages: [{role: user, content: Hi.}]", "is not a cron expression of five fields"),
        ("at: 1, messages: [{content: Hi.}]", "`role` and `content` are required"),
    ],
)
def test_what_cannot_be_a_schedule(fleet: Fleet, fields: str, told: str) -> None:
    fleet.write(f"schedules: {{x: {{agent: ann, {fields}}}}}")
    with pytest.raises(ManifestError) as refused:
        flow.read(fleet.source)
    assert told in str(refused.value)


def refusal(fleet: Fleet, url: str) -> LettaformError:
    with fleet.through(), pytest.raises(Unsupported) as refused:
        flow.plan(fleet.source, flow.Connection(url=url))
    assert fleet.cloud.writes == []
    return refused.value


def test_a_server_of_ones_own_has_no_schedules_and_says_so_with_the_place(fleet: Fleet) -> None:
    fleet.write(schedules())
    (problem,) = refusal(fleet, "http://localhost:8283").problems
    assert problem.message == "schedules.daily: Letta 0.16.8 has no schedules"
    assert problem.place is not None
    assert (problem.place.line, problem.hint) == (4, "Letta Cloud alone has them")


def test_cloud_has_no_folders_and_the_plan_says_so_with_the_place(fleet: Fleet) -> None:
    fleet.write("folders: {manuals: {embedding: letta/letta-free}}")
    (problem,) = refusal(fleet, CLOUD).problems
    assert problem.message == "folders.manuals: Letta Cloud has no folders"
    assert problem.place is not None
    assert problem.place.line == 3


def test_a_server_that_refuses_a_list_is_told_about_with_its_own_words(fleet: Fleet) -> None:
    """A release that nobody knew of when this was written."""
    fleet.write("folders: {manuals: {embedding: letta/letta-free}}")
    (problem,) = refusal(fleet, "http://localhost:8283").problems
    assert problem.message == "folders.manuals: Letta 0.16.8 has no folders"
    assert problem.hint == "folders are deprecated and no longer supported"


def at_version(fleet: Fleet, version: str) -> LettaformError:
    once = fleet.cloud._route

    def route(method: str, url: httpx.URL, headers: Any, content: bytes) -> Any:
        health = url.path == "/v1/health/"
        return {"version": version, "status": "ok"} if health else once(method, url, headers, content)

    with mock.patch.object(fleet.cloud, "_route", route):
        return refusal(fleet, "http://localhost:8283")


@pytest.mark.parametrize("version", ["0.15.1", "0.16.4"])
def test_a_release_that_cannot_hold_what_we_make_is_too_old_for_anything(fleet: Fleet, version: str) -> None:
    fleet.write("")
    refused = at_version(fleet, version)
    assert str(refused) == f"Letta {version} at http://localhost:8283 is too old for lettaform"
    assert (refused.hint or "").startswith("0.16.5 is the first")


def test_a_release_that_lacks_a_kind_says_so_with_the_place_and_since_when_there_is_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds()["conversation"], "availability", Availability(since="0.16.9"))
    fleet.write("conversations: {desk: {agent: ann}}")
    (problem,) = refusal(fleet, "http://localhost:8283").problems
    assert problem.message == "conversations.desk: Letta 0.16.8 has no conversations"
    assert (problem.hint, problem.place and problem.place.line) == ("since 0.16.9", 3)
