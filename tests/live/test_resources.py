"""Archives, identities, groups, providers and agent files on a real server: what it does that nobody expects."""

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
from lettaform.model import Live, PlanOptions
from lettaform.render import text
from tests.conformance.test_mcp_servers import SCRIPT
from tests.live.conftest import Letta
from tests.live.fleet import Fleet, Wire, changes

EVERYTHING = PlanOptions(destroy=True, allow_destroy=("*",))
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def stack(fleet: Fleet) -> Iterator[Fleet]:
    """A stack of which nothing is left in the end."""
    yield fleet
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, EVERYTHING)


def build(fleet: Fleet, manifest: str = "", **options: Any) -> None:
    """Apply what another test shows to be settled."""
    if manifest:
        fleet.write(manifest)
    _, report = flow.apply(fleet.source, fleet.connection, PlanOptions(**options))
    assert report is not None
    assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]


def the(fleet: Fleet, address: str) -> str:
    (found,) = [live.id for live in fleet.state() if str(live.address) == address]
    return found


def post(fleet: Fleet, path: str, **body: Any) -> dict[str, Any]:
    return dict(fleet.raw.post(path, json=body).raise_for_status().json())


# --- archives --------------------------------------------------------------------------------------------------------


def test_archives_of_one_name_are_told_apart_by_our_mark(stack: Fleet) -> None:
    theirs = post(stack, "/v1/archives/", name=stack.stack, description="Theirs.")
    try:
        build(stack, f"archives: {{a: {{name: {stack.stack}}}, b: {{name: {stack.stack}, description: Ours.}}}}")
        stack.settled()
        ours = {the(stack, "archives.a"), the(stack, "archives.b")}
        assert len(ours | {theirs["id"]}) == 3
        # metadata it drops; the mark stands where it keeps it, and people do not see it
        body = stack.raw.get(f"/v1/archives/{the(stack, 'archives.b')}").json()
        assert (body["metadata"], body["description"]) == (None, f"Ours.\n[lettaform {stack.stack} archives.b]")
        flow.apply(stack.source, stack.connection, EVERYTHING)
        assert stack.raw.get(f"/v1/archives/{theirs['id']}").json() == theirs
    finally:
        stack.raw.delete(f"/v1/archives/{theirs['id']}")


def test_what_an_archive_cannot_say_at_birth_or_cannot_change(stack: Fleet, letta: Letta) -> None:
    build(stack, "archives: {a: {}}")  # it needs no embedding
    stack.settled()
    before = the(stack, "archives.a")
    stack.write(f"archives: {{a: {{name: anew, description: D., embedding: {letta.embedding}}}}}")
    with pytest.raises(Guarded, match="protected"):
        stack.plan()
    stack.apply(allow_destroy=("archives.a",))
    assert the(stack, "archives.a") != before


def test_an_archive_that_was_detached_or_deleted_is_drift(stack: Fleet) -> None:
    # an agent does not show it: it is asked for
    build(stack, "archives: {a: {}}\nagents: {ann: {archive: a}}")
    agent, archive = stack.agent("ann")["id"], the(stack, "archives.a")
    stack.raw.patch(f"/v1/agents/{agent}/archives/detach/{archive}").raise_for_status()
    assert changes(stack.plan()) == [("update", "agents.ann", ["archive"])]
    stack.raw.delete(f"/v1/archives/{archive}").raise_for_status()
    stack.apply()
    assert [a["id"] for a in stack.raw.get("/v1/archives/", params={"agent_id": agent}).json()] == [
        the(stack, "archives.a")
    ]


def test_an_archive_that_an_agent_made_is_its_own_and_in_nobodys_way(stack: Fleet, letta: Letta) -> None:
    # a passage that is told to an agent without an archive makes one, which outlives it
    build(stack, f"agents: {{ann: {{embedding: {letta.embedding}}}}}")
    agent = stack.agent("ann")["id"]
    stack.raw.post(f"/v1/agents/{agent}/archival-memory", json={"text": "One."}).raise_for_status()
    (made,) = stack.raw.get("/v1/archives/", params={"agent_id": agent}).json()
    try:
        assert made["name"] == "ann's Archive"
        stack.settled()
        stack.write(f"archives: {{a: {{}}}}\nagents: {{ann: {{embedding: {letta.embedding}, archive: a}}}}")
        with pytest.raises(PlanError) as refused:
            flow.plan(stack.source, stack.connection)
        assert f"agents.ann has the archive {made['id']} already" in refused.value.problems[0].message
        assert f"lettaform import 'archives.a' {made['id']}" in str(refused.value.problems[0].hint)
        flow.apply(stack.source, stack.connection, EVERYTHING)
        assert stack.raw.get(f"/v1/archives/{made['id']}").status_code == 200
    finally:
        stack.raw.delete(f"/v1/archives/{made['id']}")


def test_an_archive_that_others_use_is_not_pruned(stack: Fleet) -> None:
    build(stack, "archives: {a: {}}\nblocks: {b: {value: x}}")
    guest = post(stack, "/v1/agents/", name="guest", model="letta/letta-free", include_base_tools=False)["id"]
    try:
        stack.raw.patch(f"/v1/agents/{guest}/archives/attach/{the(stack, 'archives.a')}").raise_for_status()
        stack.write("blocks: {b: {value: x}}")
        assert [(str(u.address), u.reason) for u in stack.plan(prune=True).unmanaged] == [
            ("archives.a", "kept: 1 agent outside this plan uses it")
        ]
    finally:
        stack.raw.delete(f"/v1/agents/{guest}")


def test_what_an_agent_learnt_stays_on_every_deploy(stack: Fleet, letta: Letta) -> None:
    manifest = f"archives: {{a: {{embedding: {letta.embedding}, passages: [One.]}}}}\nagents: {{ann: {{archive: a"
    build(stack, f"{manifest}}}}}")
    agent, archive = stack.agent("ann")["id"], the(stack, "archives.a")
    stack.raw.post(f"/v1/archives/{archive}/passages", json={"text": "Learnt."}).raise_for_status()
    build(stack, f"{manifest}, description: Changed.}}}}")
    stack.write("agents: {ann: {}}")  # silence takes nothing off an agent
    flow.apply(stack.source, stack.connection)
    assert [each["id"] for each in stack.raw.get("/v1/archives/", params={"agent_id": agent}).json()] == [archive]
    told = stack.raw.post("/v1/passages/search", json={"archive_id": archive, "limit": 100}).json()
    assert {each["passage"]["text"] for each in told} == {"One.", "Learnt."}


def test_passages_are_listed_by_a_search_alone(stack: Fleet, letta: Letta) -> None:
    build(stack, f"archives: {{a: {{embedding: {letta.embedding}, passages: [One.]}}}}")
    path = f"/v1/archives/{the(stack, 'archives.a')}/passages"
    assert stack.raw.get(path).status_code == 405
    for _ in range(2):  # and told twice, it is there twice
        stack.raw.post(path, json={"text": "Twice."}).raise_for_status()
    stack.settled()


# --- identities and providers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "path", "said", "told"),
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
            {"name": "NAME", "provider_type": "openai", "api_key": "k", "base_url": NOWHERE},
            "name: NAME, provider_type: openai, api_key: secret, base_url: x",
        ),
        ("folders", "/v1/folders/", {"name": "NAME", "embedding": "EMBED"}, "name: NAME, embedding: EMBED"),
    ],
)
def test_a_name_that_somebody_has_is_not_taken(
    stack: Fleet, letta: Letta, section: str, path: str, said: dict[str, str], told: str
) -> None:
    names = {"NAME": stack.stack, "EMBED": letta.embedding}
    theirs = post(stack, path, **{key: names.get(value, value) for key, value in said.items()})
    for word, name in names.items():
        told = told.replace(word, name)
    try:
        stack.write(f"{section}: {{ours: {{{told}}}}}")
        with pytest.raises(PlanError) as refused:
            stack.plan()
        (problem,) = refused.value.problems
        assert f"`{stack.stack}` exists already and belongs to somebody else ({theirs['id']})" in problem.message
    finally:
        stack.raw.delete(f"{path}{theirs['id']}")


def test_what_is_known_of_an_identity_merges_and_cannot_be_forgotten(stack: Fleet) -> None:
    manifest = "identities: {ann: {identifier_key: KEY, name: n, identity_type: user, properties: {age: 1}}}"
    manifest = manifest.replace("KEY", stack.stack)
    build(stack, manifest)
    path = f"/v1/identities/{the(stack, 'identities.ann')}"
    theirs = {"key": "city", "value": "x", "type": "string"}
    stack.raw.patch(path, json={"properties": [theirs]}).raise_for_status()
    stack.settled()
    stack.write(manifest.replace("age: 1", "age: 2"))
    stack.apply()
    assert {each["key"]: each["value"] for each in stack.raw.get(path).json()["properties"]} == {"age": 2, "city": "x"}
    stack.write(manifest.replace("age: 1", "age: null"))
    with pytest.raises(ManifestError, match="cannot be cleared"):
        stack.plan()


def test_whom_an_agent_serves_is_said_and_unsaid_by_the_agent(stack: Fleet) -> None:
    who = f"identities: {{ann: {{identifier_key: {stack.stack}, name: n, identity_type: user}}}}\n"
    build(stack, who + "agents: {a: {identities: [ann]}}")
    path = f"/v1/identities/{the(stack, 'identities.ann')}"
    assert stack.raw.get(path).json()["agent_ids"] == []
    assert [each["id"] for each in stack.raw.get(f"{path}/agents").json()] == [stack.agent("a")["id"]]
    stack.write(who + "agents: {a: {identities: []}}")
    stack.apply()
    assert stack.raw.get(f"{path}/agents").json() == []
    stack.write(who.replace("name: n", "agent_ids: [x], name: n"))
    with pytest.raises(ManifestError, match="agent_ids"):
        stack.plan()


def test_a_providers_key_is_never_shown_and_rotates_alone(stack: Fleet) -> None:
    told = f"name: {stack.stack}, provider_type: openai, base_url: '{NOWHERE}', region: here"
    build(stack, f"providers: {{own: {{{told}, api_key: first-secret}}}}")
    path = f"/v1/providers/{the(stack, 'providers.own')}"
    assert stack.raw.get(path).json()["api_key_enc"] == "first-secret"  # in clear, unless the server has a key
    stack.settled()
    stack.write(f"providers: {{own: {{{told}, api_key: other-secret}}}}")
    plan = stack.plan()
    assert changes(plan) == [("update", "providers.own", ["api_key"])]
    assert "‹secret›" in text.plan(plan, verbose=True)
    assert "-secret" not in text.plan(plan, verbose=True)
    stack.apply()
    assert stack.raw.get(path).json()["api_key_enc"] == "other-secret"


def test_what_a_provider_offers_is_asked_for_by_nobody(stack: Fleet) -> None:
    told = {"name": stack.stack, "provider_type": "openai", "api_key": "k", "base_url": NOWHERE}
    theirs = post(stack, "/v1/providers/", **told)
    try:
        assert stack.raw.patch(f"/v1/providers/{theirs['id']}/refresh").status_code not in (404, 405)
    finally:
        stack.raw.delete(f"/v1/providers/{theirs['id']}")


# --- agents at work --------------------------------------------------------------------------------------------------


def test_an_apply_beside_an_agent_that_answers_disturbs_neither(stack: Fleet, letta: Letta) -> None:
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
    stack.settled()
    assert stack.agent("a")["system"] == "Two."


# --- groups ----------------------------------------------------------------------------------------------------------

TEAM = "agents: {boss: {}, one: {}, two: {}}\ngroups: {team: {type: supervisor, manager: boss, agents: [one, two]}}"


def test_a_group_dies_before_its_manager(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    build(stack, TEAM)
    assert stack.raw.delete(f"/v1/agents/{stack.agent('boss')['id']}").status_code == 409
    wire = Wire(monkeypatch)
    flow.apply(stack.source, stack.connection, EVERYTHING)
    gone = [path.split("/")[2] for method, path, _ in wire.writes() if method == "DELETE"]
    assert gone.index("groups") < gone.index("agents")
    assert stack.state() == []


def test_a_member_that_dies_is_taken_out_first(stack: Fleet) -> None:
    # else the group would point at a dead agent, and its manager could never be exported again
    build(stack, TEAM)
    id = the(stack, "groups.team")
    build(stack, TEAM.replace(", two: {}", "").replace("[one, two]", "[one]"), prune=True)
    assert stack.raw.get(f"/v1/groups/{id}").json()["agent_ids"] == [stack.agent("one")["id"]]
    assert stack.raw.get(f"/v1/agents/{stack.agent('boss')['id']}/export").status_code == 200


def test_a_member_that_somebody_deleted_breaks_every_export_until_the_next_apply(stack: Fleet) -> None:
    build(stack, TEAM)
    stack.raw.delete(f"/v1/agents/{stack.agent('two')['id']}").raise_for_status()
    export = f"/v1/agents/{stack.agent('boss')['id']}/export"
    assert stack.raw.get(export).status_code == 500
    stack.apply()
    assert stack.raw.get(export).status_code == 200


def test_a_group_is_found_by_the_mark_in_its_description(stack: Fleet) -> None:
    build(stack, TEAM)
    theirs = post(stack, "/v1/groups/", description="team", agent_ids=[stack.agent("one")["id"]])
    try:
        body = stack.raw.get(f"/v1/groups/{the(stack, 'groups.team')}").json()
        assert body["description"] == f"team\n[lettaform {stack.stack} groups.team]"
        stack.settled()
        flow.apply(stack.source, stack.connection, EVERYTHING)
        assert stack.raw.get(f"/v1/groups/{theirs['id']}").status_code == 200
    finally:
        stack.raw.delete(f"/v1/groups/{theirs['id']}")


# --- what Letta Cloud alone has --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/templates/", "/v1/projects/", "/v1/environments/", "/v1/client-side-access-tokens/"]
)
def test_what_letta_cloud_alone_has_is_not_there(fleet: Fleet, path: str) -> None:
    assert fleet.raw.get(path).status_code == 404


@pytest.mark.parametrize("path", ["schedule", "memory-variables"])
def test_what_letta_cloud_alone_has_of_an_agent_is_not_there(stack: Fleet, path: str) -> None:
    build(stack, "agents: {a: {}}")
    assert stack.raw.get(f"/v1/agents/{stack.agent('a')['id']}/{path}").status_code == 404


def test_a_schedule_is_an_error_before_anything_is_made(stack: Fleet) -> None:
    stack.write(
        "agents: {a: {}}\n"
        "schedules: {s: {agent: a, cron: '0 9 * * 1', messages: [{role: user, content: Good morning.}]}}"
    )
    with pytest.raises(LettaformError):
        stack.plan()
    assert stack.agents() == []


def test_tags_of_everything_are_listed(stack: Fleet) -> None:
    build(stack, "agents: {a: {tags: [one]}}\nblocks: {b: {value: x}}")
    params = {"query_text": f"lettaform:stack={stack.stack}"}
    assert f"lettaform:stack={stack.stack}" in stack.raw.get("/v1/tags/", params=params).json()


@pytest.mark.parametrize("path", ["/v1/sandbox-config/", "/v1/runs/", "/v1/steps/", "/v1/jobs/"])
def test_what_agents_do_is_listed_and_not_managed(fleet: Fleet, path: str) -> None:
    assert fleet.raw.get(path).status_code != 404


# --- agent files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def agent(stack: Fleet) -> dict[str, Any]:
    build(stack, "agents: {a: {system: S., memory: {notes: N.}, secrets: {KEY: hunter22}}}")
    return stack.agent("a")


def exported(fleet: Fleet, agent: dict[str, Any], **asked: Any) -> dict[str, Any]:
    return dict(fleet.raw.get(f"/v1/agents/{agent['id']}/export", params=asked).raise_for_status().json())


class Reading:
    """Agent files read, and everything that came of it removed."""

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
def reading(stack: Fleet) -> Iterator[Reading]:
    made = Reading(stack)
    yield made
    for id in made.blocks(made.mark):
        stack.raw.delete(f"/v1/blocks/{id}")


def test_the_leader_of_a_group_of_others_is_an_error_before_anything_dies(stack: Fleet, agent: dict[str, Any]) -> None:
    # 0.16.8 would answer 409, in the middle of the work
    lead = {"manager_type": "supervisor", "manager_agent_id": agent["id"]}
    told = {"agent_ids": [agent["id"]], "description": "Theirs.", "manager_config": lead}
    group = stack.raw.post("/v1/groups/", json=told).raise_for_status().json()["id"]
    with pytest.raises(PlanError) as refused:
        flow.apply(stack.source, stack.connection, EVERYTHING)
    (problem,) = refused.value.problems
    assert problem.message == f"agents.a cannot be deleted before group {group}, which needs it"
    assert problem.hint == f"delete group {group} first, or keep agents.a"
    assert stack.agent("a")["id"] == agent["id"]
    stack.raw.delete(f"/v1/groups/{group}").raise_for_status()
    flow.apply(stack.source, stack.connection, EVERYTHING)
    assert stack.agents() == []


def test_a_lost_record_is_made_again_of_all_that_is_marked(stack: Fleet) -> None:
    build(stack, "agents: {a: {}, b: {}}\ngroups: {panel: {type: supervisor, manager: a, agents: [b]}}\n")
    group = next(live.id for live in stack.state() if live.kind == "group")
    tag = {"tags": f"lettaform:stack={stack.stack}", "label": "lettaform", "show_hidden_blocks": True}
    (record,) = stack.raw.get("/v1/blocks/", params=tag).json()
    stack.raw.delete(f"/v1/blocks/{record['id']}").raise_for_status()
    stack.write("agents: {b: {}}\n")
    with pytest.raises(PlanError, match=group) as refused:  # it leads a group of which nothing speaks
        stack.plan(prune=True, allow_destroy=("*",))
    assert "state rebuild" in str(refused.value.hint)
    assert flow.state_rebuild(stack.source, stack.connection) == (3, [])
    stack.apply(prune=True, allow_destroy=("*",))
    assert stack.raw.get(f"/v1/groups/{group}").status_code == 404
    assert [agent["name"] for agent in stack.agents()] == ["b"]


def test_an_agent_file_of_what_is_gone_is_none(stack: Fleet, agent: dict[str, Any]) -> None:
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


def test_two_exports_differ_in_what_says_nothing_alone(stack: Fleet, agent: dict[str, Any]) -> None:
    def told(scrub_messages: bool) -> dict[str, Any]:
        file = exported(stack, agent, scrub_messages=scrub_messages)
        # numbers go by the order in which the database gives things, and on from those of another file in the making
        things = (*file["agents"], *file["agents"][0]["messages"], *file["tools"], *file["blocks"])
        for place, each in enumerate(things):
            file = dict(json.loads(json.dumps(file).replace(f'"{each["id"]}"', f'"#{place}"')))
        for relation in ("tool_ids", "block_ids", "tags"):
            file["agents"][0][relation].sort()
        return file

    one, two = told(scrub_messages=False), told(scrub_messages=False)
    for each in (one, two):
        for message in each["agents"][0]["messages"]:
            message.pop("otid")
    assert {key for key in one if one[key] != two[key]} == {"created_at"}
    one, two = told(scrub_messages=True), told(scrub_messages=True)
    assert {key for key in one if one[key] != two[key]} == {"created_at"}


def test_the_old_format_is_no_more(stack: Fleet, agent: dict[str, Any]) -> None:
    path = f"/v1/agents/{agent['id']}/export"
    assert stack.raw.get(path, params={"use_legacy_format": True}).status_code == 400
    exported(stack, agent, max_steps=1)  # heard, and not heeded


def test_a_file_can_have_skills_put_in(stack: Fleet, agent: dict[str, Any]) -> None:
    skill = {"name": "brew", "files": {"SKILL.md": "---\nname: brew\ndescription: Makes tea.\n---\n"}}
    file = stack.raw.post(f"/v1/agents/{agent['id']}/export", json={"skills": [skill]}).raise_for_status().json()
    assert [each["name"] for each in file["skills"]] == ["brew"]
    assert exported(stack, agent)["skills"] == []


def test_agent_files_are_asked_for_one_at_a_time(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # of several at once 0.16.8 mixes up the numbers
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
    flow.apply(stack.source, stack.connection, EVERYTHING)
    assert most[0] == 1
    assert len(list(stack.folder.glob(".lettaform/snapshots/*/*.af"))) == 6


def test_a_snapshot_is_whole_though_others_ask_for_agent_files_meanwhile(stack: Fleet) -> None:
    # 0.16.8 answers 500 to some of those who ask at once; what it answers others is whole, in whatever numbers
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
            flow.apply(stack.source, stack.connection, EVERYTHING)
        finally:
            over.set()
    assert 500 in mixed
    files = [json.loads(each.read_text()) for each in stack.folder.glob(".lettaform/snapshots/*/*.af")]
    assert len(files) == 12  # the second agents, too
    for file in files:
        held = {each["id"] for each in (*file["agents"], *file["tools"], *file["blocks"])}
        assert len(held) == len(file["agents"]) + len(file["tools"]) + len(file["blocks"])
        for each in file["agents"]:
            assert {*each["tool_ids"], *each["block_ids"]} <= held
            assert {"notes", "memory_persona"} & {block["label"] for block in file["blocks"]}


def test_a_snapshot_holds_no_secret(stack: Fleet, agent: dict[str, Any]) -> None:
    flow.apply(stack.source, stack.connection, EVERYTHING)
    (file,) = stack.folder.glob(".lettaform/snapshots/*/*.af")
    assert json.loads(file.read_text())["agents"][0]["secrets"] == {"KEY": ""}
    assert not any("hunter22" in each.read_text() for each in file.parent.iterdir())


def test_what_is_read_is_a_copy_that_is_named_and_never_touched(
    stack: Fleet, agent: dict[str, Any], reading: Reading
) -> None:
    file = exported(stack, agent)
    twins = [reading(file) for _ in range(2)]  # always another one
    try:
        assert [twin["name"] for twin in twins] == ["a_copy", "a_copy"]
        assert len({agent["id"], *(twin["id"] for twin in twins)}) == 3
        plan = stack.settled()
        assert {unmanaged.id for unmanaged in plan.unmanaged} == {twin["id"] for twin in twins}
    finally:
        for twin in twins:
            for block in twin["blocks"]:
                stack.raw.delete(f"/v1/blocks/{block['id']}")
            stack.raw.delete(f"/v1/agents/{twin['id']}")


def stranger(reading: Reading, agent: dict[str, Any], **told: Any) -> dict[str, Any]:
    """An agent file of nobody of ours, with one block whose label is this test's own."""
    file = exported(reading.fleet, agent)
    file["agents"][0] |= {"tags": [], "metadata": {}, **told}
    file["blocks"][0] |= {"label": reading.mark, "tags": [], "metadata": {}}
    return file


def test_a_reading_that_fails_leaves_what_it_had_made(stack: Fleet, agent: dict[str, Any], reading: Reading) -> None:
    file = stranger(reading, agent)
    file["agents"][0]["block_ids"] = [*file["agents"][0]["block_ids"], "block-9"]
    reading(file, status=400)
    assert len(reading.blocks(reading.mark)) == 1


def test_a_block_that_hangs_on_nobody_is_made_all_the_same(
    stack: Fleet, agent: dict[str, Any], reading: Reading
) -> None:
    file = stranger(reading, agent)
    file["blocks"].append({**file["blocks"][0], "id": "block-1"})
    made = reading(file)
    stack.raw.delete(f"/v1/agents/{made['id']}")
    assert len(reading.blocks(reading.mark)) == 2


def test_what_a_reading_does_not_look_at(stack: Fleet, agent: dict[str, Any], reading: Reading) -> None:
    file = stranger(reading, agent) | {"nonsense": 1}
    file["agents"][0]["llm_config"] = {**file["agents"][0]["llm_config"], "model": "no-such", "handle": "no/such"}
    made = reading(json.dumps(json.dumps(file)), strip_messages="true")  # said twice, too
    assert made["llm_config"]["handle"] == "no/such"
    stack.raw.delete(f"/v1/agents/{made['id']}")
    made = reading(stranger(reading, agent), model="letta/letta-free")
    assert made["llm_config"]["handle"] == "letta/letta-free"
    stack.raw.delete(f"/v1/agents/{made['id']}")
    reading({"agent_type": "memgpt_agent", "core_memory": [], "messages": [], "version": "0.5.0"}, status=400)


def test_what_a_file_of_everything_keeps_and_what_reading_it_undoes(stack: Fleet, letta: Letta) -> None:
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
        twins = [stack.raw.get(f"/v1/agents/{id}").json() for id in ids]
        assert len(twins) == 2
        (folder,) = {source["name"]: source["id"] for twin in twins for source in twin["sources"]}.items()
        assert re.fullmatch(rf"{stack.stack}_[0-9a-f]{{8}}", folder[0])
        # what was read lies over the MCP server of that name, and its variables are gone: that is drift
        assert ("update", "mcp_servers.echo", ["env.K"]) in changes(stack.plan())
        flow.apply(stack.source, stack.connection)
        found = stack.raw.get("/v1/mcp-servers/").json()
        assert [each["env"] for each in found if each["server_name"] == stack.stack] == [{"K": "v"}]
        stack.raw.delete(f"/v1/folders/{folder[1]}")
    finally:
        for id in ids:
            for block in stack.raw.get(f"/v1/agents/{id}").json().get("blocks") or ():
                stack.raw.delete(f"/v1/blocks/{block['id']}")
            stack.raw.delete(f"/v1/agents/{id}")
