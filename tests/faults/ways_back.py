"""Runs of the verbs that bring something back: a restore, a pull, and the import of an agent file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.model import Manifest, Plan, PlanOptions, Report
from lettaform.plan.pull import PullOptions
from lettaform.snapshot.agent_files import Options
from tests.faults.fleet import all_objects
from tests.faults.harness import FaultyTransport
from tests.faults.run import Run, Wrong
from tests.live.fleet import READ_ONLY_POSTS
from tests.snapshot.agent_files import CLERK
from tests.standin import StandIn

CLERK_KEY = "agents.clerk"


class RestoreRun(Run):
    """A run that restores a snapshot instead of applying a manifest."""

    def __init__(
        self, standin: StandIn, manifest: Manifest, options: PlanOptions, faulty: FaultyTransport, path: Path
    ) -> None:
        super().__init__(standin, manifest, options, faulty)
        self.path = path

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        return flow.restore(source, self.connection, self.path, notify=notify, consent=True)

    def everything(self) -> dict[str, Any]:
        """What differs from the snapshot, how many objects there are, what was said to whom, and the prompts."""
        tables = self.standin.tables
        names = {id: agent["name"] for id, agent in tables.agents.items()}
        talks = [each for each in tables.conversations.values() if not each["_deleted"]]
        rows = [row for row in tables.messages.values() if row["agent"] in names and row["role"] != "system"]
        with self.here() as source:
            changes = flow.snapshot_diff(source, self.connection, self.path).changes
        with_address = (each for each in changes if not str(each.address).startswith("blocks.block-"))
        return {
            "differences": [
                (str(each.address), [field.path for field in each.fields_changed]) for each in with_address
            ],
            "objects": {kind: len(found) for kind, found in all_objects(self.raw).items()},
            "messages": sorted((names[row["agent"]], row["date"], row["role"], row["text"]) for row in rows),
            "contexts": self.contexts(),
            "copies": [tables.blocks[id]["value"] for each in talks for id in each["_blocks"]],
            "prompts": self.snapshot()["prompts"],
            "made by agents": self.made_by_agents(),
        }

    def made_by_agents(self) -> list[Any]:
        """The block and the archive that agents made themselves: their values, users and passages."""
        tables, shown = self.standin.tables, ("value", "tags", "metadata", "read_only", "limit")
        users = {id: sorted(a["name"] for a in tables.agents.values() if id in a["_blocks"]) for id in tables.blocks}
        blocks = ((id, each) for id, each in tables.blocks.items() if each["label"] == "diary")
        archives = ((id, each) for id, each in tables.archives.items() if each["name"] != "facts")
        texts = {id: sorted(p["text"] for p in tables.passages.values() if p["archive_id"] == id) for id, _ in archives}
        about = ((each["name"], each["description"], texts[id]) for id, each in tables.archives.items() if id in texts)
        having = sorted(a["name"] for a in tables.agents.values() if a["_archive"] in texts)
        values = (([each[name] for name in shown], users[id]) for id, each in blocks)
        return [*sorted(values, key=repr), *sorted(about, key=repr), having]

    def contexts(self) -> dict[str, list[str]]:
        """The texts in the context of each agent and conversation, without the prompt."""
        tables = self.standin.tables
        texts = {id: row["text"] for id, row in tables.messages.items()}
        ids = {each["name"]: each["message_ids"] for each in tables.agents.values()}
        talks = [each for each in tables.conversations.values() if not each["_deleted"]]
        ids |= {str(each["summary"]): each["_messages"] for each in talks}
        return {name: [texts[id] for id in every[1:]] for name, every in ids.items()}


class PullRun(Run):
    """A run that pulls live values into the files of a project."""

    def __init__(
        self, standin: StandIn, manifest: Manifest, options: PlanOptions, faulty: FaultyTransport, project: Path
    ) -> None:
        """`project`: the folder of the manifest. It gets its first text back."""
        super().__init__(standin, manifest, options, faulty)
        self.project, first = project, project / "lettaform.yaml.first"
        if not first.exists():
            first.write_bytes(self.file.read_bytes())
        self.text = first.read_bytes()
        self.file.write_bytes(self.text)

    @property
    def file(self) -> Path:
        return self.project / "lettaform.yaml"

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        self.pull()
        self.has_ended = True
        return None, None

    def pull(self, *, write: bool = True) -> flow.Pull:
        with self.from_files():
            return flow.pull(flow.Source(self.project), self.connection, PullOptions(), consent=lambda pull: write)

    def apply_with_fault(self, *, must: bool = True) -> None:
        """A pull under a fault. One that did not come to its end leaves the file as it is."""
        before, self.has_ended = self.file.read_bytes(), False
        super().apply_with_fault(must=must)
        if not self.has_ended and self.file.read_bytes() != before:
            raise Wrong("an interrupted pull wrote a file")

    def assert_no_changes(self) -> None:
        """A second pull finds nothing, and nothing was written on the server."""
        with self.here():
            if again := self.pull(write=False):
                raise Wrong(f"a second pull finds more: {[(str(e.address), e.path) for e in again.pulled]}")

    def everything(self) -> dict[str, Any]:
        """The file, the objects, and what was written on the server."""
        written = [each for each in self.standin.writes if not each[1].endswith(READ_ONLY_POSTS)]
        return {"file": self.file.read_text(), "objects": self.snapshot(), "written": written}


class AgentFileRun(Run):
    """A run that creates an agent from an agent file."""

    is_again = False

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        try:
            flow.import_agent_file(source, self.connection, CLERK, CLERK_KEY, consent=True)
        except PlanError as error:
            if not (self.is_again and "is already" in error.message):
                raise
        return None, None

    def apply_again(self) -> None:
        """Import it again, unless the first import came to its end."""
        self.is_again = True
        super().apply_again()

    def assert_no_changes(self) -> None:
        """After an apply, the plan is empty."""
        applied = self.given_up(self.manifest, PlanOptions())
        applied.apply_again()
        applied.assert_no_changes()

    def everything(self) -> dict[str, Any]:
        """The objects, and what was said to the agent."""
        rows = self.standin.tables.messages.values()
        return {**self.snapshot(), "messages": sorted((row["role"], row["text"]) for row in rows)}


def agent_file_manifest(folder: Path) -> Manifest:
    """The manifest of the agent file that is imported."""
    options = Options(model="letta/letta-free", embedding="letta/letta-free")
    found = flow.from_agent_files([CLERK], folder / "clerk", options, stack="clerk")
    return flow.read(flow.Source(folder / "clerk", variables=dict.fromkeys(found.variables, "k-123456789")))


# --- what happens to a fleet -----------------------------------------------------------------------------------------


def say(run: Run) -> None:
    """Say something to agents and conversations. The stand-in imports no agent with folders."""
    tables = run.standin.tables
    plain = [id for id, each in tables.agents.items() if not each["_folders"]]
    talks = [id for id, each in tables.conversations.items() if each["agent_id"] in plain and not each["_deleted"]]
    for path in (*(f"agents/{id}" for id in plain), *(f"conversations/{id}" for id in talks)):
        said = {"messages": [{"role": "user", "content": "Hello."}], "streaming": False}
        run.raw.post(f"/v1/{path}/messages", json=said).raise_for_status()


def spoil(run: Run) -> None:
    """What agents and people do to a fleet that must be brought back: memory, prompts, attachments and objects."""
    raw, tables = run.raw, run.standin.tables
    agents = {each["name"]: id for id, each in tables.agents.items()}
    for block in list(tables.blocks.values()):
        if block["label"] in ("notes", "rota", "human"):
            raw.patch(f"/v1/blocks/{block['id']}", json={"value": "spoilt"}).raise_for_status()
    for name in ("supervisor", "assistant"):
        raw.patch(f"/v1/agents/{agents[name]}", json={"system": "Be rude.", "tags": []}).raise_for_status()
    for block in [*tables.agents[agents["cashier"]]["_blocks"]][:1]:
        raw.patch(f"/v1/agents/{agents['cashier']}/core-memory/blocks/detach/{block}").raise_for_status()
    raw.delete(f"/v1/agents/{agents['meteorologist']}").raise_for_status()
