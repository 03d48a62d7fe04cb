"""Archives, identities, groups, providers and agent files on a real server: surprises, and how lettaform copes."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.backend.v1.client import Client
from lettaform.errors import Guarded, LettaformError, ManifestError, NotFound, PlanError
from lettaform.kinds.agent import Agent
from lettaform.kinds.traits import AgentFile
from lettaform.model import Live, PlanOptions
from lettaform.render import text
from tests.conformance.test_mcp_servers import SCRIPT
from tests.live.conftest import Letta
from tests.live.fleet import Fleet, RequestLog, changes

DESTROY_ALL = PlanOptions(destroy=True, allow_destroy=("*",))
UNREACHABLE_URL = "http://127.0.0.1:9/v1"


@pytest.fixture
def stack(fleet: Fleet) -> Iterator[Fleet]:
    """A stack that is destroyed afterwards."""
    yield fleet
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, DESTROY_ALL, consent=True)


def build(fleet: Fleet, manifest: str = "", **options: Any) -> None:
    """Apply, for tests that do not need to check the plan after it."""
    if manifest:
        fleet.write(manifest)
    _, report = flow.apply(fleet.source, fleet.connection, PlanOptions(**options), consent=True)
    assert report is not None
    assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]


def object_id(fleet: Fleet, address: str) -> str:
    (found,) = [live.id for live in fleet.state() if str(live.address) == address]
    return found


def post(fleet: Fleet, path: str, **body: Any) -> dict[str, Any]:
    return dict(fleet.raw.post(path, json=body).raise_for_status().json())


# --- archives --------------------------------------------------------------------------------------------------------


def test_archives_with_same_name_are_distinguished_by_mark(stack: Fleet) -> None:
    theirs = post(stack, "/v1/archives/", name=stack.stack, description="Theirs.")
    try:
        build(stack, f"archives: {{a: {{name: {stack.stack}}}, b: {{name: {stack.stack}, description: Ours.}}}}")
        stack.assert_no_changes()
        ours = {object_id(stack, "archives.a"), object_id(stack, "archives.b")}
        assert len(ours | {theirs["id"]}) == 3
        # the server drops metadata; the mark is in the description, and people do not see it
        body = stack.raw.get(f"/v1/archives/{object_id(stack, 'archives.b')}").json()
        assert (body["metadata"], body["description"]) == (None, f"Ours.\n[lettaform {stack.stack} archives.b]")
        flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
        assert stack.raw.get(f"/v1/archives/{theirs['id']}").json() == theirs
    finally:
        stack.raw.delete(f"/v1/archives/{theirs['id']}")


def test_changed_embedding_replaces_archive_with_consent(stack: Fleet, letta: Letta) -> None:
    build(stack, "archives: {a: {}}")  # no embedding is needed
    stack.assert_no_changes()
    before = object_id(stack, "archives.a")
    stack.write(f"archives: {{a: {{name: anew, description: D., embedding: {letta.embedding}}}}}")
    with pytest.raises(Guarded, match="protected"):
        stack.plan()
    stack.apply(allow_destroy=("archives.a",))
    assert object_id(stack, "archives.a") != before


def test_replaced_archive_is_attached_to_its_agents_again(stack: Fleet, letta: Letta) -> None:
    agents = "agents: {ann: {archive: a}, bob: {archive: a}}"
    build(stack, f"archives: {{a: {{name: one}}}}\n{agents}")
    before = object_id(stack, "archives.a")
    stack.write(f"archives: {{a: {{name: one, embedding: {letta.embedding}}}}}\n{agents}\n")
    with pytest.raises(Guarded, match="protected") as refused:
        stack.plan()
    (problem,) = refused.value.problems
    assert problem.hint == "`--allow-destroy 'archives.a'` consents"
    stack.apply(allow_destroy=("archives.a",))
    now = object_id(stack, "archives.a")
    assert now != before
    for name in ("ann", "bob"):
        attached = stack.raw.get("/v1/archives/", params={"agent_id": stack.agent(name)["id"]}).json()
        assert [archive["id"] for archive in attached] == [now]


def test_detached_or_deleted_archive_is_drift(stack: Fleet) -> None:
    # the agent's body does not show its archive; lettaform asks for it
    build(stack, "archives: {a: {}}\nagents: {ann: {archive: a}}")
    agent, archive = stack.agent("ann")["id"], object_id(stack, "archives.a")
    stack.raw.patch(f"/v1/agents/{agent}/archives/detach/{archive}").raise_for_status()
    assert changes(stack.plan()) == [("update", "agents.ann", ["archive"])]
    stack.raw.delete(f"/v1/archives/{archive}").raise_for_status()
    stack.apply()
    assert [a["id"] for a in stack.raw.get("/v1/archives/", params={"agent_id": agent}).json()] == [
        object_id(stack, "archives.a")
    ]


def test_archive_created_by_agent_is_foreign_and_importable(stack: Fleet, letta: Letta) -> None:
    # the first passage of an agent without an archive creates one, which outlives the agent
    build(stack, f"agents: {{ann: {{embedding: {letta.embedding}}}}}")
    agent = stack.agent("ann")["id"]
    stack.raw.post(f"/v1/agents/{agent}/archival-memory", json={"text": "One."}).raise_for_status()
    (archive,) = stack.raw.get("/v1/archives/", params={"agent_id": agent}).json()
    try:
        assert archive["name"] == "ann's Archive"
        stack.assert_no_changes()
        stack.write(f"archives: {{a: {{}}}}\nagents: {{ann: {{embedding: {letta.embedding}, archive: a}}}}")
        with pytest.raises(PlanError) as refused:
            flow.plan(stack.source, stack.connection)
        assert f"agents.ann already has the archive {archive['id']}" in refused.value.problems[0].message
        assert f"lettaform import 'archives.a' {archive['id']}" in str(refused.value.problems[0].hint)
        flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
        assert stack.raw.get(f"/v1/archives/{archive['id']}").status_code == 200
    finally:
        stack.raw.delete(f"/v1/archives/{archive['id']}")


def test_prune_keeps_archive_used_by_foreign_agent(stack: Fleet) -> None:
    build(stack, "archives: {a: {}}\nblocks: {b: {value: x}}")
    guest = post(stack, "/v1/agents/", name="guest", model="letta/letta-free", include_base_tools=False)["id"]
    try:
        stack.raw.patch(f"/v1/agents/{guest}/archives/attach/{object_id(stack, 'archives.a')}").raise_for_status()
        stack.write("blocks: {b: {value: x}}")
        assert [(str(u.address), u.reason) for u in stack.plan(prune=True).unmanaged] == [
            ("archives.a", "kept: 1 agent outside this stack uses it")
        ]
    finally:
        stack.raw.delete(f"/v1/agents/{guest}")


def test_passages_added_by_agents_are_kept(stack: Fleet, letta: Letta) -> None:
    manifest = f"archives: {{a: {{embedding: {letta.embedding}, passages: [One.]}}}}\nagents: {{ann: {{archive: a"
    build(stack, f"{manifest}}}}}")
    agent, archive = stack.agent("ann")["id"], object_id(stack, "archives.a")
    stack.raw.post(f"/v1/archives/{archive}/passages", json={"text": "Learnt."}).raise_for_status()
    build(stack, f"{manifest}, description: Changed.}}}}")
    stack.write("agents: {ann: {}}")  # the archive is detached, and not deleted
    flow.apply(stack.source, stack.connection, consent=True)
    assert stack.raw.get("/v1/archives/", params={"agent_id": agent}).json() == []
    passages = stack.raw.post("/v1/passages/search", json={"archive_id": archive, "limit": 100}).json()
    assert {each["passage"]["text"] for each in passages} == {"One.", "Learnt."}


def test_passages_are_listed_only_by_search(stack: Fleet, letta: Letta) -> None:
    build(stack, f"archives: {{a: {{embedding: {letta.embedding}, passages: [One.]}}}}")
    path = f"/v1/archives/{object_id(stack, 'archives.a')}/passages"
    assert stack.raw.get(path).status_code == 405
    for _ in range(2):  # equal passages are stored twice
        stack.raw.post(path, json={"text": "Twice."}).raise_for_status()
    stack.assert_no_changes()


# --- identities and providers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "path", "body", "declared"),
    [
        (
            "identities",
            "/v1/identities/",
            {"identifier_key": "NAME", "name": "n", "identity_type": "user"},
            "identifier_key: NAME, name: n, identity_type: user",
        ),
        (
            "providers",
            "/v1/providers/",
            {"name": "NAME", "provider_type": "openai", "api_key": "k", "base_url": UNREACHABLE_URL},
            "name: NAME, provider_type: openai, api_key: secret, base_url: x",
        ),
        ("folders", "/v1/folders/", {"name": "NAME", "embedding": "EMBED"}, "name: NAME, embedding: EMBED"),
    ],
)
def test_plan_refuses_unique_name_of_foreign_object(
    stack: Fleet, letta: Letta, section: str, path: str, body: dict[str, str], declared: str
) -> None:
    names = {"NAME": stack.stack, "EMBED": letta.embedding}
    theirs = post(stack, path, **{key: names.get(value, value) for key, value in body.items()})
    for word, name in names.items():
        declared = declared.replace(word, name)
    try:
        stack.write(f"{section}: {{ours: {{{declared}}}}}")
        with pytest.raises(PlanError) as refused:
            stack.plan()
        (problem,) = refused.value.problems
        assert f"`{stack.stack}` already exists and belongs to somebody else ({theirs['id']})" in problem.message
    finally:
        stack.raw.delete(f"{path}{theirs['id']}")


def test_identity_properties_merge_and_are_removed(stack: Fleet) -> None:
    manifest = "identities: {ann: {identifier_key: KEY, name: n, identity_type: user, properties: {age: 1}}}"
    manifest = manifest.replace("KEY", stack.stack)
    build(stack, manifest)
    path = f"/v1/identities/{object_id(stack, 'identities.ann')}"
    theirs = {"key": "city", "value": "x", "type": "string"}
    stack.raw.patch(path, json={"properties": [theirs]}).raise_for_status()
    stack.assert_no_changes()
    stack.write(manifest.replace("age: 1", "age: 2"))
    stack.apply()
    assert {each["key"]: each["value"] for each in stack.raw.get(path).json()["properties"]} == {"age": 2, "city": "x"}
    for removed in ("age: null", "since: 3"):
        stack.write(manifest.replace("age: 1", removed))
        stack.apply()
        stack.assert_no_changes()
    properties = stack.raw.get(path).json()["properties"]
    assert {each["key"]: each["value"] for each in properties} == {"since": 3, "city": "x"}


def test_identities_are_attached_and_detached_through_the_agent(stack: Fleet) -> None:
    who = f"identities: {{ann: {{identifier_key: {stack.stack}, name: n, identity_type: user}}}}\n"
    build(stack, who + "agents: {a: {identities: [ann]}}")
    path = f"/v1/identities/{object_id(stack, 'identities.ann')}"
    assert stack.raw.get(path).json()["agent_ids"] == []
    assert [each["id"] for each in stack.raw.get(f"{path}/agents").json()] == [stack.agent("a")["id"]]
    stack.write(who + "agents: {a: {identities: []}}")
    stack.apply()
    assert stack.raw.get(f"{path}/agents").json() == []
    stack.write(who.replace("name: n", "agent_ids: [x], name: n"))
    with pytest.raises(ManifestError, match="agent_ids"):
        stack.plan()


def test_provider_key_is_never_shown_and_rotates(stack: Fleet) -> None:
    fields = f"name: {stack.stack}, provider_type: openai, base_url: '{UNREACHABLE_URL}', region: here"
    build(stack, f"providers: {{own: {{{fields}, api_key: first-secret}}}}")
    path = f"/v1/providers/{object_id(stack, 'providers.own')}"
    assert (
        stack.raw.get(path).json()["api_key_enc"] == "first-secret"
    )  # in clear text, unless the server has an encryption key
    stack.assert_no_changes()
    stack.write(f"providers: {{own: {{{fields}, api_key: other-secret}}}}")
    plan = stack.plan()
    assert changes(plan) == [("update", "providers.own", ["api_key"])]
    assert "‹secret›" in text.plan(plan, verbose=True)
    assert "-secret" not in text.plan(plan, verbose=True)
    stack.apply()
    assert stack.raw.get(path).json()["api_key_enc"] == "other-secret"


def test_provider_refresh_route_exists_and_is_not_used(stack: Fleet) -> None:
    body = {"name": stack.stack, "provider_type": "openai", "api_key": "k", "base_url": UNREACHABLE_URL}
    theirs = post(stack, "/v1/providers/", **body)
    try:
        assert stack.raw.patch(f"/v1/providers/{theirs['id']}/refresh").status_code not in (404, 405)
    finally:
        stack.raw.delete(f"/v1/providers/{theirs['id']}")


# --- running agents --------------------------------------------------------------------------------------------------


def test_apply_while_agent_answers_disturbs_neither(stack: Fleet, letta: Letta) -> None:
    build(stack, "agents: {a: {system: One.}}")
    id = stack.agent("a")["id"]

    def talk() -> list[int]:
        message = {"messages": [{"role": "user", "content": "Hello."}]}
        with httpx.Client(base_url=letta.url, headers=stack.raw.headers, timeout=60) as client:
            return [client.post(f"/v1/agents/{id}/messages", json=message).status_code for _ in range(3)]

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(talk)
        build(stack, "agents: {a: {system: Two., description: D.}}")
        assert answers.result() == [200, 200, 200]
    stack.assert_no_changes()
    assert stack.agent("a")["system"] == "Two."


# --- groups ----------------------------------------------------------------------------------------------------------

TEAM = "agents: {boss: {}, one: {}, two: {}}\ngroups: {team: {type: supervisor, manager: boss, agents: [one, two]}}"


def test_destroy_deletes_group_before_manager(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    build(stack, TEAM)
    assert stack.raw.delete(f"/v1/agents/{stack.agent('boss')['id']}").status_code == 409
    requests = RequestLog(monkeypatch)
    flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
    deleted = [path.split("/")[2] for method, path, _ in requests.writes() if method == "DELETE"]
    assert deleted.index("groups") < deleted.index("agents")
    assert stack.state() == []


def test_deleted_member_is_removed_from_group_first(stack: Fleet) -> None:
    # else the group keeps the id of a deleted agent, and its manager can never be exported again
    build(stack, TEAM)
    id = object_id(stack, "groups.team")
    build(stack, TEAM.replace(", two: {}", "").replace("[one, two]", "[one]"), prune=True)
    assert stack.raw.get(f"/v1/groups/{id}").json()["agent_ids"] == [stack.agent("one")["id"]]
    assert stack.raw.get(f"/v1/agents/{stack.agent('boss')['id']}/export").status_code == 200


def test_member_deleted_by_others_breaks_export_until_next_apply(stack: Fleet) -> None:
    build(stack, TEAM)
    stack.raw.delete(f"/v1/agents/{stack.agent('two')['id']}").raise_for_status()
    export = f"/v1/agents/{stack.agent('boss')['id']}/export"
    assert stack.raw.get(export).status_code == 500
    stack.apply()
    assert stack.raw.get(export).status_code == 200


def test_group_is_found_by_mark_in_description(stack: Fleet) -> None:
    build(stack, TEAM)
    theirs = post(stack, "/v1/groups/", description="team", agent_ids=[stack.agent("one")["id"]])
    try:
        body = stack.raw.get(f"/v1/groups/{object_id(stack, 'groups.team')}").json()
        assert body["description"] == f"team\n[lettaform {stack.stack} groups.team]"
        stack.assert_no_changes()
        flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
        assert stack.raw.get(f"/v1/groups/{theirs['id']}").status_code == 200
    finally:
        stack.raw.delete(f"/v1/groups/{theirs['id']}")


# --- features of Letta Cloud only ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/templates/", "/v1/projects/", "/v1/environments/", "/v1/client-side-access-tokens/"]
)
def test_cloud_only_routes_do_not_exist(fleet: Fleet, path: str) -> None:
    assert fleet.raw.get(path).status_code == 404


@pytest.mark.parametrize("path", ["schedule", "memory-variables"])
def test_cloud_only_agent_routes_do_not_exist(stack: Fleet, path: str) -> None:
    build(stack, "agents: {a: {}}")
    assert stack.raw.get(f"/v1/agents/{stack.agent('a')['id']}/{path}").status_code == 404


def test_plan_refuses_schedule_on_self_hosted_server(stack: Fleet) -> None:
    stack.write(
        "agents: {a: {}}\n"
        "schedules: {s: {agent: a, cron: '0 9 * * 1', messages: [{role: user, content: Good morning.}]}}"
    )
    with pytest.raises(LettaformError):
        stack.plan()
    assert stack.agents() == []


def test_tags_of_all_objects_are_listed(stack: Fleet) -> None:
    build(stack, "agents: {a: {tags: [one]}}\nblocks: {b: {value: x}}")
    params = {"query_text": f"lettaform:stack={stack.stack}"}
    assert f"lettaform:stack={stack.stack}" in stack.raw.get("/v1/tags/", params=params).json()


@pytest.mark.parametrize("path", ["/v1/sandbox-config/", "/v1/runs/", "/v1/steps/", "/v1/jobs/"])
def test_runs_and_steps_are_listed_and_not_managed(fleet: Fleet, path: str) -> None:
    assert fleet.raw.get(path).status_code != 404


# --- agent files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def agent(stack: Fleet) -> dict[str, Any]:
    build(stack, "agents: {a: {system: S., memory: {notes: N.}, secrets: {KEY: hunter22}}}")
    return stack.agent("a")


def exported(fleet: Fleet, agent: dict[str, Any], **asked: Any) -> dict[str, Any]:
    return dict(fleet.raw.get(f"/v1/agents/{agent['id']}/export", params=asked).raise_for_status().json())


class AgentFileImport:
    """Imports agent files, and deletes everything that they created."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.mark = fleet, f"read-{uuid4().hex[:8]}"

    def __call__(self, file: Any, status: int = 200, **form: str) -> dict[str, Any]:
        files = {"file": ("a.af", file if isinstance(file, str) else json.dumps(file), "application/json")}
        answer = self.fleet.raw.post("/v1/agents/import", files=files, data=form)
        assert answer.status_code == status, answer.text
        if status != 200:
            return {}
        id = answer.json()["agent_ids"][0]
        return dict(self.fleet.raw.get(f"/v1/agents/{id}").json())

    def blocks(self, label: str) -> list[str]:
        found = self.fleet.raw.get("/v1/blocks/", params={"label": label, "limit": 1000}).json()
        return [block["id"] for block in found]


@pytest.fixture
def import_file(stack: Fleet) -> Iterator[AgentFileImport]:
    made = AgentFileImport(stack)
    yield made
    for id in made.blocks(made.mark):
        stack.raw.delete(f"/v1/blocks/{id}")


def test_plan_refuses_delete_of_agent_that_manages_foreign_group(stack: Fleet, agent: dict[str, Any]) -> None:
    # 0.16.8 would answer 409 in the middle of the apply
    lead = {"manager_type": "supervisor", "manager_agent_id": agent["id"]}
    body = {"agent_ids": [agent["id"]], "description": "Theirs.", "manager_config": lead}
    group = stack.raw.post("/v1/groups/", json=body).raise_for_status().json()["id"]
    with pytest.raises(PlanError) as refused:
        flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
    (problem,) = refused.value.problems
    assert problem.message == f"agents.a cannot be deleted before group {group}, which needs it"
    assert problem.hint == f"keep agents.a, or delete group {group} first"
    assert stack.agent("a")["id"] == agent["id"]
    stack.raw.delete(f"/v1/groups/{group}").raise_for_status()
    flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
    assert stack.agents() == []


def test_state_rebuild_restores_deleted_state_from_marks(stack: Fleet) -> None:
    build(stack, "agents: {a: {}, b: {}}\ngroups: {panel: {type: supervisor, manager: a, agents: [b]}}\n")
    group = next(live.id for live in stack.state() if live.kind == "group")
    tag = {"tags": f"lettaform:stack={stack.stack}", "label": "lettaform", "show_hidden_blocks": True}
    (record,) = stack.raw.get("/v1/blocks/", params=tag).json()
    stack.raw.delete(f"/v1/blocks/{record['id']}").raise_for_status()
    stack.write("agents: {b: {}}\n")
    with pytest.raises(PlanError, match=group) as refused:  # it manages a group that nobody declared
        stack.plan(prune=True, allow_destroy=("*",))
    assert "state rebuild" in str(refused.value.hint)
    assert flow.state_rebuild(stack.source, stack.connection) == (3, [])
    stack.apply(prune=True, allow_destroy=("*",))
    assert stack.raw.get(f"/v1/groups/{group}").status_code == 404
    assert [agent["name"] for agent in stack.agents()] == ["b"]


def test_export_of_deleted_agent_is_not_found(stack: Fleet, agent: dict[str, Any]) -> None:
    # 0.16.8 answers 500
    assert exported(stack, agent)["agents"]
    stack.raw.delete(f"/v1/agents/{agent['id']}").raise_for_status()
    assert stack.raw.get(f"/v1/agents/{agent['id']}/export").status_code == 500

    async def ask() -> None:
        server = connect(stack.connection.url, token=stack.connection.token)
        try:
            await server.export(Live("agent", agent["id"], "a", {}))
        finally:
            await server.close()

    with pytest.raises(NotFound):
        asyncio.run(ask())


def test_two_exports_differ_only_in_numbering(stack: Fleet, agent: dict[str, Any]) -> None:
    def export(scrub_messages: bool) -> dict[str, Any]:
        file = exported(stack, agent, scrub_messages=scrub_messages)
        # numbers follow the order in which the database returns objects, and continue from other exports in progress
        things = (*file["agents"], *file["agents"][0]["messages"], *file["tools"], *file["blocks"])
        for place, each in enumerate(things):
            file = dict(json.loads(json.dumps(file).replace(f'"{each["id"]}"', f'"#{place}"')))
        for relation in ("tool_ids", "block_ids", "tags"):
            file["agents"][0][relation].sort()
        return file

    one, two = export(scrub_messages=False), export(scrub_messages=False)
    for each in (one, two):
        for message in each["agents"][0]["messages"]:
            message.pop("otid")
    assert {key for key in one if one[key] != two[key]} == {"created_at"}
    one, two = export(scrub_messages=True), export(scrub_messages=True)
    assert {key for key in one if one[key] != two[key]} == {"created_at"}


def test_legacy_format_flag_is_ignored(stack: Fleet, agent: dict[str, Any]) -> None:
    path = f"/v1/agents/{agent['id']}/export"
    assert stack.raw.get(path, params={"use_legacy_format": True}).status_code == 400
    exported(stack, agent, max_steps=1)  # accepted and ignored


def test_import_accepts_file_with_skills(stack: Fleet, agent: dict[str, Any]) -> None:
    skill = {"name": "brew", "files": {"SKILL.md": "---\nname: brew\ndescription: Makes tea.\n---\n"}}
    file = stack.raw.post(f"/v1/agents/{agent['id']}/export", json={"skills": [skill]}).raise_for_status().json()
    assert [each["name"] for each in file["skills"]] == ["brew"]
    assert exported(stack, agent)["skills"] == []


def test_agent_files_are_exported_one_at_a_time(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # of simultaneous exports, 0.16.8 mixes up the numbers
    monkeypatch.setattr(Agent, "agent_file", AgentFile())  # also of agents that never ran
    build(stack, "agents: {" + ", ".join(f"a{n}: {{}}" for n in range(6)) + "}")
    once, now, most = Client._exchange, [0], [0]

    async def count(client: Client, ask: Any) -> Any:
        is_export = ask.path.endswith("/export")
        now[0] += is_export
        most[0] = max(most[0], now[0])
        try:
            await asyncio.sleep(0)
            return await once(client, ask)
        finally:
            now[0] -= is_export

    monkeypatch.setattr(Client, "_exchange", count)
    flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
    assert most[0] == 1
    assert len(list(stack.folder.glob(".lettaform/snapshots/*/*.af"))) == 6


@pytest.mark.slow
def test_snapshot_is_complete_while_others_export(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.16.8 answers some simultaneous exports with 500; the others are complete, with arbitrary numbers
    monkeypatch.setattr(Agent, "agent_file", AgentFile())  # also of agents that never ran
    build(stack, "agents: {" + ", ".join(f"a{n}: {{memory: {{notes: N.}}, sleeptime: true}}" for n in range(6)) + "}")
    path, over, mixed = f"/v1/agents/{stack.agent('a0')['id']}/export", Event(), list[int]()

    def ask() -> None:
        with httpx.Client(base_url=stack.connection.url, headers=stack.raw.headers, timeout=60) as client:
            while not over.is_set():
                mixed.append(client.get(path).status_code)

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(ask)
        try:
            flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
        finally:
            over.set()
    assert 500 in mixed
    files = [json.loads(each.read_text()) for each in stack.folder.glob(".lettaform/snapshots/*/*.af")]
    assert len(files) == 12  # sleeptime agents included
    for file in files:
        held = {each["id"] for each in (*file["agents"], *file["tools"], *file["blocks"])}
        assert len(held) == len(file["agents"]) + len(file["tools"]) + len(file["blocks"])
        for each in file["agents"]:
            assert {*each["tool_ids"], *each["block_ids"]} <= held
            assert {"notes", "memory_persona"} & {block["label"] for block in file["blocks"]}


@pytest.mark.parametrize("used", [True, False])
def test_snapshot_contains_no_secret(
    stack: Fleet, agent: dict[str, Any], used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if used:
        monkeypatch.setattr(Agent, "agent_file", AgentFile())
    flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
    (folder,) = stack.folder.glob(".lettaform/snapshots/*")
    assert flow.snapshot_verify(folder) == []
    files = [json.loads(each.read_text()) for each in folder.glob("*.af")]
    assert [file["agents"][0]["secrets"] for file in files] == [{"KEY": ""}] * used
    assert not any("hunter22" in each.read_text() for each in folder.iterdir())


AGENT_TYPES = ("letta_v1_agent", "memgpt_agent", "memgpt_v2_agent", "react_agent", "workflow_agent", "sleeptime_agent")


def test_only_agents_that_ran_have_agent_files(stack: Fleet) -> None:
    # `message_ids` of a new agent has 1 entry or 4, depending on the type; after a reset, `last_stop_reason` is left
    fields = ", memory: {notes: Learnt nothing.}"  # a sleeptime agent without base tools has 2 messages
    quiet = {f"quiet{number}": f"{{agent_type: {each}{fields}}}" for number, each in enumerate(AGENT_TYPES)}
    ran = dict.fromkeys(("talked", "reset"), f"{{agent_type: letta_v1_agent{fields}}}")
    build(stack, "agents: {" + ", ".join(f"{name}: {body}" for name, body in (quiet | ran).items()) + "}")
    for name in ran:
        message = {"messages": [{"role": "user", "content": "Hello."}]}
        post(stack, f"/v1/agents/{stack.agent(name)['id']}/messages", **message)
    stack.raw.patch(f"/v1/agents/{stack.agent('reset')['id']}/reset-messages", json={}).raise_for_status()
    block = stack.block("notes", "quiet0")
    stack.raw.patch(f"/v1/blocks/{block['id']}", json={"value": "Learnt from others."}).raise_for_status()
    flow.apply(stack.source, stack.connection, DESTROY_ALL, consent=True)
    (listed,) = stack.folder.glob(".lettaform/snapshots/*/snapshot.json")
    agents = {each["name"]: each for each in json.loads(listed.read_text())["objects"] if each["kind"] == "agent"}
    assert {name for name, each in agents.items() if each["file"]} == {*ran}
    assert {name for name, each in agents.items() if each["unused"]} == {*quiet}
    assert agents["quiet0"]["values"]["agent_type"] == "letta_v1_agent"
    blocks = {
        each["id"]: each["values"] for each in json.loads(listed.read_text())["objects"] if each["kind"] == "block"
    }
    assert agents["quiet0"]["values"]["blocks"] == [block["id"]]
    assert blocks[block["id"]]["value"] == "Learnt from others."


def test_imported_copy_is_listed_and_never_written(
    stack: Fleet, agent: dict[str, Any], import_file: AgentFileImport
) -> None:
    file = exported(stack, agent)
    copies = [import_file(file) for _ in range(2)]  # each import creates another copy
    try:
        assert [copy["name"] for copy in copies] == ["a_copy", "a_copy"]
        assert len({agent["id"], *(copy["id"] for copy in copies)}) == 3
        plan = stack.assert_no_changes()
        assert {unmanaged.id for unmanaged in plan.unmanaged} == {copy["id"] for copy in copies}
    finally:
        for copy in copies:
            for block in copy["blocks"]:
                stack.raw.delete(f"/v1/blocks/{block['id']}")
            stack.raw.delete(f"/v1/agents/{copy['id']}")


def raw_client(import_file: AgentFileImport, agent: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An agent file without our mark, with one block whose label is unique to this test."""
    file = exported(import_file.fleet, agent)
    file["agents"][0] |= {"tags": [], "metadata": {}, **fields}
    file["blocks"][0] |= {"label": import_file.mark, "tags": [], "metadata": {}}
    return file


def test_failed_import_leaves_objects_it_created(
    stack: Fleet, agent: dict[str, Any], import_file: AgentFileImport
) -> None:
    file = raw_client(import_file, agent)
    file["agents"][0]["block_ids"] = [*file["agents"][0]["block_ids"], "block-9"]
    import_file(file, status=400)
    assert len(import_file.blocks(import_file.mark)) == 1


def test_import_creates_unattached_block(stack: Fleet, agent: dict[str, Any], import_file: AgentFileImport) -> None:
    file = raw_client(import_file, agent)
    file["blocks"].append({**file["blocks"][0], "id": "block-1"})
    made = import_file(file)
    stack.raw.delete(f"/v1/agents/{made['id']}")
    assert len(import_file.blocks(import_file.mark)) == 2


def test_import_ignores_unknown_content(stack: Fleet, agent: dict[str, Any], import_file: AgentFileImport) -> None:
    file = raw_client(import_file, agent) | {"nonsense": 1}
    file["agents"][0]["llm_config"] = {**file["agents"][0]["llm_config"], "model": "no-such", "handle": "no/such"}
    made = import_file(json.dumps(json.dumps(file)), strip_messages="true")  # also when encoded twice
    assert made["llm_config"]["handle"] == "no/such"
    stack.raw.delete(f"/v1/agents/{made['id']}")
    made = import_file(raw_client(import_file, agent), model="letta/letta-free")
    assert made["llm_config"]["handle"] == "letta/letta-free"
    stack.raw.delete(f"/v1/agents/{made['id']}")
    import_file({"agent_type": "memgpt_agent", "core_memory": [], "messages": [], "version": "0.5.0"}, status=400)


def test_export_and_import_of_agent_with_every_field(stack: Fleet, letta: Letta) -> None:
    word = stack.stack.replace("-", "_")
    (stack.folder / "echo.py").write_text(
        SCRIPT.replace("def say", f"def {word}_say").replace("def add", f"def {word}_add")
    )
    (stack.folder / "a.md").write_text("# A\n")
    program = f"type: stdio, command: {sys.executable}, args: ['${{folder}}/echo.py'], env: {{K: v}}"
    manifest = f"""
        folders: {{f: {{name: {stack.stack}, embedding: {letta.embedding}, files: [a.md]}}}}
        archives: {{n: {{embedding: {letta.embedding}, passages: [One.]}}}}
        identities: {{i: {{identifier_key: {stack.stack}, name: n, identity_type: user}}}}
        mcp_servers: {{echo: {{name: {stack.stack}, {program}}}}}
        tools: {{say: {{mcp: echo, name: {word}_say}}}}
        agents:
          ann:
            {{include_base_tools: false, sleeptime: true, folders: [f], archive: n, identities: [i], tools: [say]}}
    """
    build(stack, manifest)
    first = next(agent for agent in stack.agents() if agent["name"] == "ann")
    file = exported(stack, first)
    assert sorted(agent["name"] for agent in file["agents"]) == ["ann", "ann-sleeptime"]
    assert [len(file[key]) for key in ("groups", "sources", "files", "mcp_servers")] == [1, 1, 1, 1]
    assert (file["sources"][0]["metadata"]["lettaform"]["stack"], file["files"][0]["content"]) == (stack.stack, "# A\n")
    assert '"K"' not in json.dumps(file["mcp_servers"])
    assert "One." not in json.dumps(file)
    assert stack.stack not in json.dumps([agent["identity_ids"] for agent in file["agents"]])
    files = {"file": ("a.af", json.dumps(file), "application/json")}
    ids = stack.raw.post("/v1/agents/import", files=files).raise_for_status().json()["agent_ids"]
    try:
        copies = [stack.raw.get(f"/v1/agents/{id}").json() for id in ids]
        assert len(copies) == 2
        (folder,) = {source["name"]: source["id"] for copy in copies for source in copy["sources"]}.items()
        assert re.fullmatch(rf"{stack.stack}_[0-9a-f]{{8}}", folder[0])
        # the import overwrote the MCP server of that name and its variables: this is drift
        assert ("update", "mcp_servers.echo", ["env.K"]) in changes(stack.plan())
        flow.apply(stack.source, stack.connection, consent=True)
        found = stack.raw.get("/v1/mcp-servers/").json()
        assert [each["env"] for each in found if each["server_name"] == stack.stack] == [{"K": "v"}]
        stack.raw.delete(f"/v1/folders/{folder[1]}")
    finally:
        for id in ids:
            for block in stack.raw.get(f"/v1/agents/{id}").json().get("blocks") or ():
                stack.raw.delete(f"/v1/blocks/{block['id']}")
            stack.raw.delete(f"/v1/agents/{id}")
