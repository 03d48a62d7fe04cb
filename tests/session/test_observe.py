"""A manifest and a server to Observed: what is read, in how many requests, and what stays UNREAD."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pytest

from lettaform import flow
from lettaform.address import Address
from lettaform.backend import connect
from lettaform.manifest import load
from lettaform.model import Observed, Plan
from lettaform.session.observe import observe
from lettaform.values import UNREAD
from tests.backend.v1.served import URL, Served
from tests.standin import StandIn

at = Address.parse
MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
FORTY = [f"n{number}" for number in range(40)]
PASSAGES = "embedding: letta/letta-free, passages: [One fact., Two facts.]"


class Project:
    """A folder with a manifest, and a server."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server = folder, Served()
        self.source, self.connection = flow.Source(folder), flow.Connection(url=URL)

    @classmethod
    def applied(cls, folder: Path, text: str) -> Project:
        """A project to which a manifest was applied. That is done once, and copied for each test."""
        standin, files = _applied(text)
        made = cls(folder)
        made.server = Served(standin.copy())
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        return made

    def write(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(f"stack: s\n{text}")

    def observe(self, **options: Any) -> Observed:
        """What one observation finds; `server.asked` holds its requests."""
        manifest = load(self.folder, ())
        return self.server.run(lambda reads: observe(reads, manifest, **options))

    def flow(self, verb: Callable[[], Any]) -> Any:
        """Run a verb of `flow` against the server."""
        through = mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.server))
        self.server.asked.clear()
        with through:
            return verb()

    def apply(self, text: str) -> Plan:
        """Apply a manifest; a plan after it must be empty."""
        self.write(text)
        plan, report = self.flow(lambda: flow.apply(self.source, self.connection, consent=True))
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        assert not self.plan().steps
        return plan

    def plan(self) -> Plan:
        return self.flow(lambda: flow.plan(self.source, self.connection))

    def rows(self, table: str, **fields: Any) -> list[dict[str, Any]]:
        """The rows of a table that have these values."""
        rows = getattr(self.server.standin.tables, table).values()
        return [row for row in rows if all(row[name] == value for name, value in fields.items())]

    def state(self) -> dict[str, Any]:
        """The row of the stack's state."""
        (row,) = self.rows("blocks", label="lettaform")
        return row

    def forget(self, *addresses: str) -> None:
        """Take addresses out of the state."""
        row = self.state()
        state = json.loads(row["value"])
        for address in addresses:
            state["ids"].pop(address, None)
        row["value"] = json.dumps(state)


@cache
def _applied(text: str) -> tuple[StandIn, dict[Path, bytes]]:
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        made = Project(folder)
        made.apply(text)
        files = {each.relative_to(folder): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
        return made.server.standin, files


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def counted(asked: list[str]) -> Mapping[str, int]:
    """How often each path was asked for, with any id in it as `ID`."""
    paths = (request.split("?")[0] for request in asked)
    return dict(
        Counter("/".join("ID" if "-0000-" in p or p.count("-") > 3 else p for p in x.split("/")) for x in paths)
    )


def changes(plan: Plan) -> list[tuple[str, str]]:
    return [(change.action, str(change.address)) for change in plan.changes]


# --- what is read ----------------------------------------------------------------------------------------------------


def test_an_observation_of_nothing(project: Project) -> None:
    project.write("")
    observed = project.observe()
    assert (observed.version, observed.url, dict(observed.objects)) == ("0.16.8", URL, {})
    assert counted(project.server.asked) == {
        "GET /v1/health/": 1,
        "GET /v1/agents/": 1,
        "GET /v1/blocks/": 1,
        "GET /v1/tools/": 1,
    }


def test_a_kind_that_only_the_state_names_is_listed(project: Project) -> None:
    project.apply("identities: {ann: {name: Ann, identity_type: user}}")
    project.write("")
    assert at("identities.ann") in project.observe().objects
    assert "GET /v1/identities/" in project.server.asked


def test_every_kind_is_listed_if_asked_for(project: Project) -> None:
    archive = project.server.archive("facts", description="[lettaform s archives.facts]")
    project.write("")
    assert not project.observe().objects
    assert project.observe(every_kind=True).objects[at("archives.facts")].id == archive["id"]
    # what cannot carry a claim is not listed
    assert not [request for request in project.server.asked if "providers" in request or "identities" in request]


def test_an_object_that_lost_its_mark_is_read_by_the_id_that_the_state_has(project: Project) -> None:
    project.apply(f"agents: {{a: {{{MODELS}, memory: {{human: hi}}}}}}")
    (agent,) = project.rows("agents")
    agent |= {"_tags": [], "metadata": {}}
    observed = project.observe()
    assert (observed.objects[at("agents.a")].id, observed.objects[at("agents.a")].marked) == (agent["id"], False)
    assert at("agents.a.memory.human") in observed.objects
    assert counted(project.server.asked)["GET /v1/agents/ID"] == 1


def test_blocks_without_an_agent_are_asked_for_only_if_there_are_orphaned_blocks(project: Project) -> None:
    project.apply(f"agents: {{a: {{{MODELS}, memory: {{human: hi}}}}}}")
    assert not project.observe().orphaned_blocks
    assert not [request for request in project.server.asked if "connected_to_agents_count_eq" in request]
    (agent,) = project.rows("agents")
    agent["_blocks"].clear()
    assert list(project.observe().detached) == [at("agents.a.memory.human")]
    assert len([request for request in project.server.asked if "connected_to_agents_count_eq" in request]) == 1


# --- UNREAD ----------------------------------------------------------------------------------------------------------


def test_what_is_not_declared_is_not_read(project: Project) -> None:
    project.apply(f"archives: {{facts: {{embedding: letta/letta-free}}}}\nagents: {{a: {{{MODELS}}}}}")
    (archive,), (agent,) = project.rows("archives"), project.rows("agents")
    project.server.post(f"/v1/archives/{archive['id']}/passages", text="Of an agent.")
    agent["_archive"] = archive["id"]
    project.server.asked.clear()
    objects = project.observe().objects
    assert objects[at("archives.facts")].values["passages"] is UNREAD
    for field in ("archive", "folders", "identities", "sleeptime"):
        assert objects[at("agents.a")].values[field] is UNREAD
    assert counted(project.server.asked) == {
        "GET /v1/health/": 1,
        "GET /v1/agents/": 1,
        "GET /v1/archives/": 1,
        "GET /v1/blocks/": 1,
        "GET /v1/tools/": 1,
    }


def test_what_is_no_longer_declared_is_not_read(project: Project) -> None:
    project.apply(f"archives: {{facts: {{{PASSAGES}}}}}")
    project.write("")
    assert project.observe().objects[at("archives.facts")].values["passages"] is UNREAD


def test_what_is_declared_is_read(project: Project) -> None:
    project.apply(f"archives: {{facts: {{{PASSAGES}}}}}\nagents: {{a: {{{MODELS}, archive: facts}}}}")
    objects = project.observe().objects
    assert len(objects[at("archives.facts")].values["passages"]) == 2
    assert objects[at("agents.a")].values["archive"] == [objects[at("archives.facts")].id]


def test_fields_of_objects_that_the_server_created_along_with_others_are_read(project: Project) -> None:
    # an apply that was killed left the second agent without a mark
    sleeping = f"agents: {{a: {{{MODELS}, sleeptime: %s}}}}\narchives: {{facts: {{embedding: letta/letta-free}}}}"
    project.apply(sleeping % "true")
    (second,) = project.rows("agents", name="a-sleeptime")
    second |= {"_tags": [], "metadata": {}}
    project.forget("agents.a-sleeptime")
    project.write(sleeping % "{archive: facts}")
    objects = project.observe().objects
    assert objects[at("agents.a-sleeptime")].id == second["id"]
    assert objects[at("agents.a-sleeptime")].values["archive"] == []


# --- lines that are removed ------------------------------------------------------------------------------------------

FOLDER = "embedding: letta/letta-free"
SHARED = f"""
blocks: {{org: {{value: x}}}}
folders: {{docs: {{{FOLDER}}}}}
identities: {{ann: {{name: Ann, identity_type: user}}}}
archives: {{facts: {{embedding: letta/letta-free}}}}
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("blocks: [org]", "_blocks"),
        ("tools: [web_search]", "_tools"),
        ("folders: [docs]", "_folders"),
        ("identities: [ann]", "_identities"),
        ("archive: facts", "_archive"),
        ("secrets: {KEY: s3cret}", "_secrets"),
    ],
)
@pytest.mark.parametrize("where", ["agent", "defaults"])
def test_what_a_removed_line_attached_is_detached(project: Project, line: str, field: str, where: str) -> None:
    own, default = (f", {line}", "") if where == "agent" else ("", f"defaults: {{agents: {{{line}}}}}\n")
    project.apply(f"{default}{SHARED}agents: {{a: {{{MODELS}{own}}}}}")
    (agent,) = project.rows("agents")
    assert agent[field]
    plan = project.apply(f"{SHARED}agents: {{a: {{{MODELS}}}}}")
    assert [(str(each.address), each.reason) for each in plan.changes] == [("agents.a", "undeclared")]
    assert not agent[field]


def test_contents_of_a_removed_line_are_removed_and_those_of_others_kept(project: Project) -> None:
    (project.folder / "a.md").write_text("One fact.")
    project.apply(f"folders: {{docs: {{{FOLDER}, files: [a.md]}}}}\narchives: {{facts: {{{PASSAGES}}}}}")
    (archive,) = project.rows("archives")
    project.server.post(f"/v1/archives/{archive['id']}/passages", text="Of an agent.")
    plan = project.apply(f"folders: {{docs: {{{FOLDER}}}}}\narchives: {{facts: {{embedding: letta/letta-free}}}}")
    assert {each.reason for each in plan.changes} == {"undeclared"}
    assert not project.rows("files")
    assert [row["text"] for row in project.rows("passages")] == ["Of an agent."]


def test_what_no_line_declares_any_more_is_read_once(project: Project) -> None:
    project.apply(f"{SHARED}agents: {{a: {{{MODELS}, identities: [ann]}}}}")
    project.write(f"{SHARED}agents: {{a: {{{MODELS}}}}}")
    assert len(project.observe().objects[at("agents.a")].values["identities"]) == 1
    assert counted(project.server.asked)["GET /v1/agents/"] == 2
    project.apply(f"{SHARED}agents: {{a: {{{MODELS}}}}}")
    project.server.asked.clear()
    project.observe()
    assert counted(project.server.asked)["GET /v1/agents/"] == 1


def test_what_an_undeclared_agent_has_is_not_read(project: Project) -> None:
    project.apply(f"{SHARED}agents: {{a: {{{MODELS}, identities: [ann], archive: facts}}, b: {{{MODELS}}}}}")
    project.write(f"{SHARED}agents: {{b: {{{MODELS}}}}}")
    values = project.observe().objects[at("agents.a")].values
    assert values["identities"] is UNREAD
    assert values["archive"] is UNREAD
    assert counted(project.server.asked)["GET /v1/agents/"] == 1


def test_an_archive_is_detached_while_its_agent_moves(project: Project) -> None:
    project.apply(f"{SHARED}agents: {{old: {{name: n, {MODELS}, archive: facts, identities: [ann]}}}}")
    moved = "moved: [{from: agents.old, to: agents.new}]"
    project.apply(f"{SHARED}agents: {{new: {{name: n, {MODELS}}}}}\n{moved}")
    (agent,) = project.rows("agents")
    assert (agent["_archive"], agent["_identities"]) == (None, [])


# --- moved and imports -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"archives: {{old: {{name: n, {PASSAGES}}}}}",
            f"archives: {{new: {{name: n, {PASSAGES}}}}}\nmoved: [{{from: archives.old, to: archives.new}}]",
        ),
        (
            f"archives: {{old: {{name: n, {PASSAGES}}}}}",
            f"archives: {{new: {{for_each: [x], name: n, {PASSAGES}}}}}\n"
            "moved: [{from: archives.old, to: 'archives.new[x]'}]",
        ),
        (
            f"archives: {{old: {{name: n, {PASSAGES}}}}}",
            f"archives: {{new: {{name: n, {PASSAGES}}}}}\n"
            "moved: [{from: archives.old, to: archives.middle}, {from: archives.middle, to: archives.new}]",
        ),
    ],
)
def test_an_archive_that_moved_keeps_its_passages(project: Project, before: str, after: str) -> None:
    project.apply(before)
    plan = project.apply(after)
    assert [change.action for change in plan.changes] == ["mark"]
    assert plan.changes[0].reason.startswith("moved from ")
    assert not plan.changes[0].fields_changed
    assert sorted(row["text"] for row in project.rows("passages")) == ["One fact.", "Two facts."]


def test_a_folder_that_moved_keeps_its_files(project: Project) -> None:
    (project.folder / "a.md").write_text("One fact.")
    folder = "{name: n, embedding: letta/letta-free, files: [a.md]}"
    project.apply(f"folders: {{old: {folder}}}")
    plan = project.apply(f"folders: {{new: {folder}}}\nmoved: [{{from: folders.old, to: folders.new}}]")
    assert changes(plan) == [("mark", "folders.new")]
    assert len(project.rows("files")) == 1


def test_an_agent_that_moved_keeps_its_archive(project: Project) -> None:
    archives, agent = "archives: {facts: {embedding: letta/letta-free}}", f"{{name: n, {MODELS}, archive: facts}}"
    project.apply(f"{archives}\nagents: {{old: {agent}}}")
    plan = project.apply(f"{archives}\nagents: {{new: {agent}}}\nmoved: [{{from: agents.old, to: agents.new}}]")
    assert changes(plan) == [("mark", "agents.new")]


def test_an_imported_archive_is_compared_with_its_passages(project: Project) -> None:
    archive = project.server.archive("n")["id"]
    for text in ("One fact.", "Two facts."):
        project.server.post(f"/v1/archives/{archive}/passages", text=text)
    text = f"archives: {{facts: {{name: n, {PASSAGES}}}}}\nimports: [{{to: archives.facts, id: {archive}}}]"
    project.write(text)
    assert len(project.observe().objects[at("archives.facts")].values["passages"]) == 2
    assert counted(project.server.asked)["POST /v1/passages/search"] == 1
    assert changes(project.apply(text)) == [("adopt", "archives.facts")]
    assert len(project.rows("passages")) == 2


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("agent-00000000-0000-4000-8000-000000000000", "the server has no agent"),
        ("not-an-id", "the server has no agent `not-an-id`"),
    ],
)
def test_an_import_of_what_does_not_exist(project: Project, id: str, message: str) -> None:
    project.write(f"agents: {{a: {{{MODELS}}}}}\nimports: [{{to: agents.a, id: {id}}}]")
    (problem,) = project.observe().problems
    assert message in problem.message
    assert (problem.address, problem.place and problem.place.line) == ("agents.a", 3)


def test_the_remedy_for_an_import_of_what_does_not_exist(project: Project) -> None:
    entry = "imports: [{to: agents.a, id: agent-00000000-0000-4000-8000-000000000000}]"
    project.write(f"agents: {{a: {{{MODELS}}}}}\n{entry}")
    (problem,) = project.observe().problems
    assert problem.hint == "name another id, or remove the entry: without it, an apply creates agents.a"
    assert changes(project.apply(f"agents: {{a: {{{MODELS}}}}}")) == [("create", "agents.a")]


@pytest.mark.parametrize("kind", ["agent", "identity", "folder"])
def test_what_was_imported_and_is_deleted_by_others_is_created_again(project: Project, kind: str) -> None:
    section, text, make = {
        "agent": ("agents", f"agents: {{a: {{{MODELS}}}}}", project.server.agent),
        "identity": ("identities", "identities: {a: {name: A, identity_type: user}}", project.server.identity),
        "folder": ("folders", "folders: {a: {name: n, embedding: letta/letta-free}}", None),
    }[kind]
    folder = {"name": "n", "embedding": "letta/letta-free"}
    row = make("a") if make else project.server.post("/v1/folders/", **folder)
    text += f"\nimports: [{{to: {section}.a, id: {row['id']}}}]"
    project.apply(text)
    project.server.post(f"/v1/{section}/{row['id']}", "DELETE")
    assert changes(project.apply(text)) == [("create", f"{section}.a")]
    assert changes(project.apply(text)) == []


def test_an_import_of_what_is_declared_at_another_address(project: Project) -> None:
    identities = "identities: {a: {name: A, identity_type: user}, b: {name: B, identity_type: user}}"
    project.apply("identities: {a: {name: A, identity_type: user}}")
    (row,) = project.rows("identities")
    project.write(f"{identities}\nimports: [{{to: identities.b, id: {row['id']}}}]")
    observed = project.observe()
    assert list(observed.objects) == [at("identities.a")]
    (problem,) = observed.problems
    assert problem.message == f"{row['id']} is identities.a of this stack"


def test_an_import_of_what_stands_there_already_asks_nothing(project: Project) -> None:
    project.apply(f"agents: {{a: {{{MODELS}}}}}")
    (agent,) = project.rows("agents")
    project.write(f"agents: {{a: {{{MODELS}}}}}\nimports: [{{to: agents.a, id: {agent['id']}}}]")
    project.observe()
    assert "GET /v1/agents/ID" not in counted(project.server.asked)


def clone(project: Project) -> dict[str, Any]:
    """A copy of the one agent, with its mark, and a block of its own without one."""
    (agent,) = project.rows("agents")
    copied = {**agent, "id": project.server.standin.id("agent"), "_blocks": {}}
    for id in agent["_blocks"]:
        block = project.server.standin.tables.blocks[id]
        own = {**block, "id": project.server.standin.id("block"), "tags": [], "metadata": {}}
        project.server.standin.tables.blocks[own["id"]] = own
        copied["_blocks"][own["id"]] = None
    project.server.standin.tables.agents[copied["id"]] = copied
    return copied


def test_imports_settles_which_of_several_claimants_it_is(project: Project) -> None:
    text = f"agents: {{a: {{{MODELS}}}}}"
    project.apply(text)
    copied = clone(project)
    project.forget("agents.a")
    assert [problem.address for problem in project.observe().problems] == ["agents.a"]
    project.apply(f"{text}\nimports: [{{to: agents.a, id: {copied['id']}}}]")
    observed = project.observe()
    assert observed.objects[at("agents.a")].id == copied["id"]
    assert len(observed.duplicates) == 1


def test_import_of_a_duplicate_leaves_nothing_to_do(project: Project) -> None:
    project.apply(f"agents: {{a: {{{MODELS}, memory: {{human: hi}}}}}}")
    (agent,) = project.rows("agents")
    copied = clone(project)
    project.flow(lambda: flow.adopt(project.source, project.connection, "agents.a", copied["id"]))
    assert not project.plan().steps
    observed = project.observe()
    assert observed.objects[at("agents.a")].id == copied["id"]
    assert observed.objects[at("agents.a.memory.human")].id in copied["_blocks"]
    assert [live.id for live in observed.duplicates] == [agent["id"]]


def test_import_neither_deletes_nor_forgets(project: Project) -> None:
    project.apply(f"agents: {{a: {{{MODELS}, memory: {{human: hi}}}}}}")
    (block,) = project.rows("blocks", label="human")
    before, copied = dict(block), clone(project)
    project.write(f"agents: {{a: {{{MODELS}}}}}\nremoved: [{{from: agents.a.memory.human}}]")
    plan = project.flow(lambda: flow.adopt(project.source, project.connection, "agents.a", copied["id"]))
    assert changes(plan) == [("adopt", "agents.a")]
    assert block == before


# --- external objects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["name: desk", "stack: s, address: conversations.desk"])
def test_one_of_several_conversations_of_another_stack(project: Project, which: str) -> None:
    project.apply(f"agents: {{a: {{{MODELS}}}}}\nconversations: {{desk: {{agent: a}}, desktop: {{agent: a}}}}")
    (desk,) = [row for row in project.rows("conversations") if row["summary"].startswith("desk\n")]
    (project.folder / "lettaform.yaml").write_text(f"stack: t\nconversations: {{x: {{external: true, {which}}}}}\n")
    observed = project.observe()
    assert not observed.problems
    assert (observed.objects[at("conversations.x")].id, observed.objects[at("conversations.x")].stack) == (
        desk["id"],
        "s",
    )


# --- the number of requests ------------------------------------------------------------------------------------------


def test_requests_for_forty_agents_that_share_an_archive(project: Project) -> None:
    """One list names all agents of an archive that several declare."""
    project.apply(
        f"archives: {{facts: {{{PASSAGES}}}}}\n"
        "blocks: {shared: {value: hello}}\n"
        f"agents: {{a: {{for_each: {FORTY}, {MODELS}, archive: facts, blocks: [shared], memory: {{human: hi}}}}}}"
    )
    project.observe()
    assert counted(project.server.asked) == {
        "GET /v1/health/": 1,
        "GET /v1/agents/": 1,
        "GET /v1/archives/": 1,
        "GET /v1/archives/ID/agents": 1,
        "GET /v1/blocks/": 1,
        "GET /v1/tools/": 1,
        "POST /v1/passages/search": 1,
    }


def test_what_is_in_no_list_of_users_is_read_by_itself(project: Project) -> None:
    agents = ", ".join(f"{key}: {{{MODELS}, archive: facts}}" for key in "abcd")
    whole = f"archives: {{facts: {{embedding: letta/letta-free}}}}\nagents: {{{agents}}}"
    project.apply(whole)
    other = project.server.archive("other")["id"]
    rows = {row["name"]: row for row in project.rows("agents")}
    rows["a"]["_archive"], rows["b"]["_archive"] = other, None
    observed = project.observe()
    facts = observed.objects[at("archives.facts")].id
    found = {key: observed.objects[at(f"agents.{key}")].values["archive"] for key in "abcd"}
    assert found == {"a": [other], "b": [], "c": [facts], "d": [facts]}
    assert counted(project.server.asked)["GET /v1/archives/"] == 1 + 2
    assert counted(project.server.asked)["GET /v1/archives/ID/agents"] == 1


def test_one_agent_of_an_archive_is_read_by_itself(project: Project) -> None:
    project.apply(
        f"archives: {{one: {{}}, two: {{}}}}\nagents: {{a: {{{MODELS}, archive: one}}, b: {{{MODELS}, archive: two}}}}"
    )
    observed = project.observe()
    assert [observed.objects[at(f"agents.{key}")].values["archive"] for key in "ab"] == [
        [observed.objects[at(f"archives.{key}")].id] for key in ("one", "two")
    ]
    assert counted(project.server.asked)["GET /v1/archives/"] == 1 + 2


def test_an_archive_that_is_deleted_between_two_requests_has_no_users(project: Project) -> None:
    project.apply(
        f"archives: {{facts: {{}}}}\nagents: {{a: {{{MODELS}, archive: facts}}, b: {{{MODELS}, archive: facts}}}}"
    )
    tables = project.server.standin.tables

    def delete(ask: Any) -> None:
        if ask.path.endswith("/agents") and ask.path.startswith("/v1/archives/"):
            tables.archives.clear()
            for agent in tables.agents.values():
                agent["_archive"] = None

    project.server.standin.before = delete
    observed = project.observe()
    assert [observed.objects[at(f"agents.{key}")].values["archive"] for key in "ab"] == [[], []]


def test_requests_for_forty_agents_without_fields_that_are_read_aside(project: Project) -> None:
    project.apply(f"agents: {{a: {{for_each: {FORTY}, {MODELS}, memory: {{human: hi}}}}}}")
    project.observe()
    assert len(project.server.asked) == 4


def test_the_contents_of_an_external_object_are_not_read(tmp_path: Path) -> None:
    # regression: its mark says what its own stack added, and an import compared these contents without having read them
    project = Project(tmp_path)
    (tmp_path / "a.md").write_text("A file.\n")
    folder = "folders: {papers: {embedding: letta/letta-free, files: [a.md]}}\n"
    project.apply(folder)
    (live,) = project.server.standin.tables.folders.values()
    used = f"folders: {{papers: {{external: true, id: {live['id']}}}}}\n"
    (tmp_path / "lettaform.yaml").write_text(f"stack: other\n{used}agents: {{a: {{{MODELS}, folders: [papers]}}}}\n")
    project.server.asked.clear()
    observed = project.observe()
    assert observed.objects[at("folders.papers")].mark.members["files"]
    assert observed.objects[at("folders.papers")].values["files"] is UNREAD
    assert not [each for each in project.server.asked if "/files" in str(each)]
