"""Migration: the first server is only read, the second gets everything or nothing, and both are compared afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import Locked, PlanError, Problem, SnapshotError, Stale, Unsupported
from lettaform.model import Plan, Report
from tests.backend.v1.served import URL, Served
from tests.live.fleet import READ_ONLY_POSTS
from tests.session.test_gather import MANIFEST
from tests.session.test_observe import Project
from tests.session.test_restore import SAID, assert_nobody_owns, block, conversation, learn, made, raw
from tests.session.test_snapshots import agent, say, spoil
from tests.standin import Refusal, StandIn

pytestmark = pytest.mark.thorough

TO = "http://other.in"


class Move:
    """A stack on one server, and another server."""

    def __init__(self, folder: Path) -> None:
        self.old, self.new = Project.applied(folder, MANIFEST), Project(folder)
        self.new.server, self.new.connection = Served(StandIn(seed=9)), flow.Connection(url=TO)
        self.kept: list[Path] = []
        self.sent: list[tuple[str, str, str | None]] = []
        """Server, method and path, and key of each request."""

    def connect(self, url: str, **more: Any) -> Any:
        project = {URL: self.old, TO: self.new}[url]
        return connect(url, **more, transport=_Noting(self, url, project.server))

    def __call__(self, *addresses: str, **more: Any) -> tuple[Plan, Report | None]:
        """Migrate."""
        more.setdefault("snapshots", flow.Snapshots(announce=self.kept.append))
        self.sent.clear()
        with mock.patch.object(flow, "connect", self.connect):
            return flow.migrate(
                self.old.source, self.old.connection, self.new.connection, addresses, **{"consent": True, **more}
            )

    def done(self, *addresses: str, **more: Any) -> Plan:
        """Migrate everything, verified."""
        plan, report = self(*addresses, **more)
        assert report is not None, "nothing was to do"
        assert report.exit_code == 0, [str(each.error) for each in report.of("failed")] or report.verified
        assert report.verified is not None
        return plan

    @property
    def writes(self) -> list[str]:
        """What the last migration wrote to the first server."""
        every = [request for url, request, _ in self.sent if url == URL]
        return [each for each in every if not each.startswith("GET") and not each.endswith(READ_ONLY_POSTS)]


class _Noting(httpx.AsyncBaseTransport):
    def __init__(self, move: Move, url: str, inner: Served) -> None:
        self.move, self.url, self.inner = move, url, inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = f"{request.method} {request.url.path}"
        self.move.sent.append((self.url, sent, request.headers.get("authorization")))
        return await self.inner.handle_async_request(request)


@pytest.fixture
def move(tmp_path: Path) -> Move:
    made = Move(tmp_path)
    say(made.old, "bob", "Hello.")
    raw(made.old, "PATCH", f"/v1/agents/{agent(made.old, 'ann')}/core-memory/blocks/notes", value="learnt")
    return made


def differing(report: Report | None) -> dict[str, list[str]]:
    assert report is not None
    assert report.verified is not None
    return {str(each.address): [f.path for f in each.fields_changed] for each in report.verified.differences}


def said(project: Project, name: str) -> list[str]:
    found = raw(project, "GET", f"/v1/agents/{agent(project, name)}/messages")
    return [each["content"] for each in found if each["message_type"] != "system_message"]


def notes_of_ann(project: Project) -> str:
    return str(raw(project, "GET", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes")["value"])


def patch_notes(project: Project, value: str) -> None:
    raw(project, "PATCH", f"/v1/agents/{agent(project, 'ann')}/core-memory/blocks/notes", value=value)


# --- what arrives -----------------------------------------------------------------------------------------------------


def test_the_other_server_gets_everything_and_the_first_is_only_read(move: Move) -> None:
    before = len(move.old.server.standin.writes)
    plan = move.done()
    assert move.writes == []
    assert not [each for each in move.old.server.standin.writes[before:] if not each[1].endswith(READ_ONLY_POSTS)]
    assert not move.new.plan().steps
    assert notes_of_ann(move.new) == "learnt"
    assert "Hello." in said(move.new, "bob")
    assert len(move.new.rows("blocks", label="team")) == 1
    assert (plan.url, plan.state.serial) == (TO, 0)
    (kept,) = move.kept
    assert flow.snapshot_read(kept).header.url == URL
    runs = move.new.flow(lambda: flow.history(move.new.source, move.new.connection))
    assert [each.verb for each in runs] == ["migrate"]


def test_an_agent_whose_messages_cannot_be_listed_comes_without_them(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)
    spoil(move.old, "bob")
    with pytest.raises(SnapshotError, match="nothing was changed"):
        move()
    warnings = list[Problem]()
    plan = move.done(without_messages=("agents.bob",), snapshots=flow.Snapshots(warn=warnings.append))
    assert [each.message.split(":")[0] for each in warnings] == ["agents.bob"]
    (bob,) = [change for change in plan.changes if str(change.address) == "agents.bob"]
    assert "its messages are not restored: the snapshot was taken without them" in bob.notes
    assert (said(move.new, "bob"), notes_of_ann(move.new)) == ([], "learnt")
    assert not move.new.plan().steps
    assert move(without_messages=("agents.bob",))[1] is None


def test_a_second_time_there_is_nothing_to_do(move: Move) -> None:
    move.done()
    plan, report = move()
    assert (plan.steps, report, move.writes) == ((), None, [])


def test_what_changed_on_both_servers_is_shown_and_kept_before_it_is_overwritten(move: Move) -> None:
    move.done()
    patch_notes(move.old, "learnt more")
    patch_notes(move.new, "spoilt")
    plan = move.done()
    assert {str(each.address): [f.path for f in each.fields_changed] for each in plan.changes} == {
        "agents.ann.memory.notes": ["value"]
    }
    assert notes_of_ann(move.new) == "learnt more"
    move.new.flow(lambda: flow.rollback(move.new.source, move.new.connection, consent=True))
    assert notes_of_ann(move.new) == "spoilt"


def test_a_part_is_brought_alone(move: Move) -> None:
    move.done("agents.bob*", "blocks.team")
    assert [each["name"] for each in move.new.rows("agents")] == ["bob"]
    move.done()
    assert not move.new.plan().steps


# --- what is refused before anything is written -----------------------------------------------------------------------


def refused(move: Move, *addresses: str, **more: Any) -> PlanError:
    """The error of a migration that writes nothing to either server."""
    before = len(move.new.server.standin.writes)
    with pytest.raises(PlanError) as error:
        move(*addresses, **more)
    written = [each for each in move.new.server.standin.writes[before:] if not each[1].endswith(READ_ONLY_POSTS)]
    assert (move.writes, [each for each in written if "identities" not in each[1]]) == ([], [])
    return error.value


def test_agents_whose_messages_have_moved_on_are_refused_by_name(move: Move) -> None:
    move.done()
    say(move.old, "bob", "Are you there?")
    say(move.new, "ann", "Hello, new one.")
    error = refused(move)
    assert error.message == f"these agents exist on {TO} with other messages; nothing was changed"
    assert [each.address for each in error.problems] == ["agents.ann", "agents.bob"]
    move("blocks.team")


def test_one_server_under_two_names_is_refused(move: Move) -> None:
    move.new.server = move.old.server
    error = refused(move)
    assert error.message.startswith(f"{TO} has the objects of {URL} under the same ids, such as ")


@pytest.mark.parametrize("url", [URL, f"{URL}/", "http://STAND.in:80"])
def test_one_server_spelled_twice_is_refused_before_any_request(move: Move, url: str) -> None:
    move.new.connection = flow.Connection(url=url)
    assert refused(move).message == f"{URL} and {url} are one server"
    assert move.sent == []


def test_a_stack_that_the_first_server_does_not_have_is_refused(move: Move) -> None:
    move.old.server = Served(StandIn(seed=3))
    assert refused(move).message == f"stack `s` has no objects on {URL}"


def test_a_run_that_changes_the_first_server_is_waited_for_by_its_user(move: Move) -> None:
    body = {
        "identifier_key": "lettaform:lock:s",
        "name": "lettaform lock of stack s",
        "identity_type": "other",
        "properties": [],
    }
    raw(move.old, "POST", "/v1/identities/", **body)
    with pytest.raises(Locked, match=f"stack `s` is locked on {URL}"):
        move()
    move.old.connection = flow.Connection(url=URL, patience=None)
    move.done()


def test_models_and_embeddings_that_the_other_server_lacks_are_named(move: Move) -> None:
    with mock.patch.object(move.new.server.standin, "before", answering("/v1/models", [{"handle": "letta/letta-fre"}])):
        error = refused(move)
    assert error.message == "the snapshot cannot be restored; nothing was changed"
    assert "agents.ann: the server has no model `letta/letta-free`" in [each.message for each in error.problems]
    assert {each.hint for each in error.problems} == {"did you mean `letta/letta-fre`?"}
    move.old.apply(MANIFEST + "providers: {mine: {provider_type: openai, api_key: k, base_url: 'http://x/v1'}}\n")
    with mock.patch.object(move.new.server.standin, "before", answering("/v1/models", [])):
        error = refused(move)
    assert {each.hint for each in error.problems} == {
        "if it is a model of providers.mine, bring that first: name its address"
    }
    move.done("providers.mine")


def answering(path: str, body: Any) -> Callable[[Any], None]:
    """Answer all requests below a path with this body."""

    def answer(ask: Any) -> None:
        if ask.path.startswith(path):
            instead = Refusal(200, "")
            instead.body = body
            raise instead

    return answer


def test_what_an_older_server_lacks_is_named(move: Move) -> None:
    old = answering("/v1/health/", {"status": "ok", "version": "0.16.4"})
    with mock.patch.object(move.new.server.standin, "before", old), pytest.raises(Unsupported, match=r"0\.16\.4"):
        move()
    assert move.writes == []


def test_what_agents_made_themselves_is_brought_and_compared(move: Move) -> None:
    learn(move.old)
    before, old = made(move.old), move.old.server.standin.tables
    move.done()
    assert (move.writes, made(move.new)) == ([], before)
    assert_nobody_owns(move.new)
    plan, report = move()
    assert (plan.steps, report) == ((), None)
    (archive,) = (id for id, each in old.archives.items() if each["name"] != "facts")
    raw(move.old, "POST", f"/v1/archives/{archive}/passages", text="More.")
    raw(move.old, "PATCH", f"/v1/blocks/{block(move.old, 'team')}", value="Eve")
    raw(move.new, "PATCH", f"/v1/blocks/{block(move.new, 'diary')}", value="Spoilt.")
    plan, report = move()
    assert {address.split("-")[0]: paths for address, paths in differing(report).items()} == {
        "blocks.block": ["value"],
        "archives.archive": ["passages"],
    }
    said = [each.message for each in plan.warnings]
    assert [each.split(" ")[1] for each in said] == ["block", "archive"]


def test_what_agents_made_themselves_and_changed_meanwhile_is_found(move: Move) -> None:
    learn(move.old)

    def act() -> None:
        raw(move.old, "PATCH", f"/v1/blocks/{block(move.old, 'diary')}", value="Later.")

    _, report = at_the_end(move, act)
    assert report is not None
    assert report.verified is not None
    assert [str(each.address).split("-")[0] for each in report.verified.moved] == ["blocks.block"]


def test_an_agent_that_nobody_owns_is_refused_with_a_remedy_that_works(move: Move) -> None:
    group = "groups: {crew: {type: round_robin, agents: [ann, bob]}}\n"
    move.old.apply(MANIFEST + group)
    cat = move.old.server.agent("cat")["id"]
    (crew,) = move.old.rows("groups")
    crew["agent_ids"] = [*crew["agent_ids"], cat]
    (problem,) = refused(move).problems
    assert problem.message == f"groups.crew uses the agent `cat` ({cat}), which no stack owns"
    assert f"run `lettaform import agents.KEY {cat} --server {URL}`" in str(problem.hint)


def test_an_external_block_is_found_by_what_the_manifest_says_of_it(move: Move) -> None:
    for project in (move.old, move.new):
        project.server.block("policy", value="Be kind.")
    text = MANIFEST.replace("team: {value: Ann}", "team: {value: Ann}, rules: {external: true, name: policy}")
    move.old.apply(text.replace("memory: {notes: none}, blocks: [team]}\n", "blocks: [team, rules]}\n"))
    move.done()
    assert not move.new.plan().steps
    raw(move.new, "DELETE", f"/v1/blocks/{move.new.rows('blocks', label='policy')[0]['id']}")
    assert "rules" in str(refused(move, "agents.bob", "blocks.team").problems[0])


def test_missing_secrets_are_named_all_at_once(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_KEY", "hunter22")
    text = "variables: {key: {secret: true, env: FLEET_KEY}}\n"
    move.old.apply(text + MANIFEST.replace("ann: {", 'ann: {secrets: {KEY: "${var.key}"}, '))
    monkeypatch.delenv("FLEET_KEY")
    (problem,) = refused(move).problems
    assert problem.message == "agents.ann: the value of its secret `secrets.KEY` is in no snapshot"
    monkeypatch.setenv("FLEET_KEY", "hunter22")
    move.done()
    (secret,) = raw(move.new, "GET", f"/v1/agents/{agent(move.new, 'ann')}")["secrets"]
    assert (secret["key"], secret["value"]) == ("KEY", "hunter22")


def test_another_environment_is_not_migrated_as_this_one(move: Move) -> None:
    text = f"environments: {{prod: {{}}, test: {{}}}}\n{MANIFEST}"
    move.old.write(text)
    move.old.source = flow.Source(move.old.folder, environment="prod")
    error = refused(move)
    assert error.message == "stack `s` was applied with no environment, and this is environment `prod`"


# --- what is said in the plan -----------------------------------------------------------------------------------------


def test_what_is_not_brought_and_what_stays_is_said(move: Move) -> None:
    say(move.old, "ann", "long ago")
    say(move.old, "ann", "just now")
    row = move.old.server.standin.tables.agents[agent(move.old, "ann")]
    row["message_ids"] = [row["message_ids"][0], *row["message_ids"][-2:]]
    raw(move.old, "POST", f"/v1/conversations/?agent_id={agent(move.old, 'ann')}", summary="begun by a person")
    talk = conversation(move.old, "talk")
    raw(move.old, "POST", f"/v1/conversations/{talk}/messages", **SAID)
    move.new.apply("blocks: {extra: {value: x}}")
    move.old.write(MANIFEST)
    plan = move.done()
    notes = {str(change.address): change.notes for change in plan.changes}
    assert notes["conversations.talk"] == (
        "its 2 messages are in the history of agents.ann alone: "
        "a server gives messages to no conversation with its own copies of blocks",
    )
    brought = raw(move.new, "GET", f"/v1/agents/{agent(move.new, 'ann')}/messages")
    assert {"long ago", "just now"} <= {each["content"] for each in brought}
    messages = [each.message for each in plan.warnings]
    assert "conversation begun by a person has no address in the stack, and is not restored" in messages
    assert f"blocks.extra exists on {TO} alone, and stays as it is" in messages


# --- what is found afterwards -----------------------------------------------------------------------------------------


def at_the_end(move: Move, act: Callable[[], None]) -> tuple[Plan, Report | None]:
    """Migrate, and do something between the last write and the comparison."""
    apply = flow._Opened.apply

    def apply_and_act(*arguments: Any, **named: Any) -> Any:
        found = apply(*arguments, **named)
        act()
        return found

    with mock.patch.object(flow._Opened, "apply", apply_and_act):
        return move()


def test_what_is_not_as_it_was_is_found(move: Move) -> None:
    def spoil() -> None:
        patch_notes(move.new, "spoilt")
        say(move.new, "bob", "You are new.")
        raw(move.new, "DELETE", f"/v1/blocks/{move.new.rows('blocks', label='team')[0]['id']}")

    _, report = at_the_end(move, spoil)
    found = differing(report)
    assert found["agents.ann.memory.notes"] == ["value"]
    assert "messages" in found["agents.bob"]
    assert found["blocks.team"] == []
    assert report is not None
    assert report.exit_code == 5


def test_an_agent_that_runs_on_the_first_server_meanwhile_is_found(move: Move) -> None:
    _, report = at_the_end(move, lambda: say(move.old, "bob", "Too late."))
    assert report is not None
    assert differing(report) == {}
    assert report.verified is not None
    assert [str(each.address) for each in report.verified.moved] == ["agents.bob"]
    assert report.exit_code == 6


def test_an_apply_on_the_first_server_meanwhile_is_found(move: Move) -> None:
    done: list[bool] = []

    def apply() -> None:
        if not done:  # this one is an apply, too
            done.append(True)
            move.old.apply(MANIFEST + "identities: {lead: {name: Lead, identity_type: user}}\n")

    _, report = at_the_end(move, apply)
    assert report is not None
    assert report.verified is not None
    assert [str(each.address) for each in report.verified.moved] == ["stack.state"]
    assert report.exit_code == 6


def test_a_server_that_refuses_after_the_last_write_is_no_lost_report(move: Move) -> None:
    def refuse() -> None:
        move.new.server.standin.before = raising

    def raising(ask: Any) -> None:
        raise Refusal(401, "no")

    _, report = at_the_end(move, refuse)
    assert report is not None
    assert report.verified is not None
    assert report.verified.error is not None
    assert report.exit_code == 5
    move.new.server.standin.before = lambda ask: None
    assert move()[1] is None


def test_what_changes_on_the_first_server_while_a_person_decides_is_refused(move: Move) -> None:
    def consent(plan: Plan) -> bool:
        say(move.old, "bob", "One more thing.")
        return True

    with pytest.raises(Stale, match=f"{URL} has changed since its snapshot; nothing was written") as error:
        move(consent=consent, interactive=True)
    assert [each.address for each in error.value.problems] == ["agents.bob"]
    assert move.new.rows("agents") == []
    move.done()


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "tokens", "expected"),
    [
        ({"LETTA_API_KEY": "k"}, (None, None), {URL: None, TO: None}),
        ({"LETTA_API_KEY": "k", "LETTA_BASE_URL": f"{URL}/"}, (None, None), {URL: "Bearer k", TO: None}),
        ({"LETTA_API_KEY": "k", "LETTA_BASE_URL": TO}, ("old", None), {URL: "Bearer old", TO: "Bearer k"}),
        ({}, ("old", "new"), {URL: "Bearer old", TO: "Bearer new"}),
    ],
)
def test_each_server_gets_its_own_key_alone(
    move: Move,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    tokens: tuple[str | None, str | None],
    expected: dict[str, str | None],
) -> None:
    for name in ("LETTA_API_KEY", "LETTA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    move.old.connection = flow.Connection(url=URL, token=tokens[0])
    move.new.connection = flow.Connection(url=TO, token=tokens[1])
    move("blocks.team")
    assert {url: {key for at, _, key in move.sent if at == url} for url in (URL, TO)} == {
        url: {key} for url, key in expected.items()
    }
