"""Pages are compared while the server builds the next one: what does not change is known before everything is read.

That the result is that of a comparison of everything is checked in every test: see `compared_again` in `conftest.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow, session
from lettaform.backend import connect
from lettaform.backend.v1 import client
from lettaform.errors import PlanError
from lettaform.model import PlanOptions
from lettaform.plan import Settled
from lettaform.session.early import Early
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
AGENTS = "".join(f"\n  a{n}: {{{MODELS}, system: One., blocks: [b], memory: {{human: Nobody.}}}}" for n in range(7))
TEXT = f"stack: s\nblocks: {{b: {{value: x}}}}\nagents: {AGENTS}\n"


class Project:
    """A folder with a manifest, and a stand-in that lists two agents in a page."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server = folder, StandIn()
        self.source, self.connection = flow.Source(folder), flow.Connection(url="http://stand.in")
        self.found: Settled = {}

    def write(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(text)

    def apply(self) -> None:
        flow.apply(self.source, self.connection, consent=True)

    def plan(self, options: PlanOptions | None = None) -> flow.Plan:
        """A plan. `found` is what it compared early, once all pages but the last have waited for the manifest."""
        project = self

        class Kept(Early):
            def settled(self, observed: Any) -> Settled:
                project.found = super().settled(observed)
                return project.found

        with mock.patch.object(session, "Early", Kept):
            return flow.plan(self.source, self.connection, options)

    @property
    def early(self) -> set[str]:
        return set(map(str, self.found))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    monkeypatch.setattr(flow, "connect", lambda url, **more: connect(url, **more, transport=project.server))
    monkeypatch.setattr(client, "AGENTS", 2)
    _wait_for_the_manifest(monkeypatch)
    project.write(TEXT)
    project.apply()
    return project


def _wait_for_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page but the first arrives after the manifest is loaded, as on a server that takes its time."""
    real: Callable[..., Any] = client.Client.send

    async def slow(self: client.Client, method: str, path: str, **options: Any) -> Any:
        if "after" in (options.get("params") or {}):
            await asyncio.sleep(0.2)
        return await real(self, method, path, **options)

    monkeypatch.setattr(client.Client, "send", slow)


def test_what_does_not_change_is_known_before_everything_is_read(project: Project) -> None:
    assert not project.plan()
    assert project.early == {f"agents.a{n}" for n in range(7)}


def test_what_changes_is_compared_at_the_end(project: Project) -> None:
    project.write(TEXT.replace("One.", "Two.", 1))
    assert [str(change.address) for change in project.plan().changes] == ["agents.a0"]
    assert project.early == {f"agents.a{n}" for n in range(1, 7)}


def test_pages_wait_for_the_other_lists(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = client.Client.send

    async def slow(self: client.Client, method: str, path: str, **options: Any) -> Any:
        if path == "/v1/blocks/" and "after" not in (options.get("params") or {}):
            await asyncio.sleep(0.5)  # until half of the agents have arrived
        return await real(self, method, path, **options)

    monkeypatch.setattr(client.Client, "send", slow)
    assert not project.plan()
    assert project.early == {f"agents.a{n}" for n in range(7)}


def test_only_what_is_selected_is_compared(project: Project) -> None:
    project.plan(PlanOptions(target=("agents.a3",)))
    assert project.early == {"agents.a3"}


def test_nothing_is_compared_while_objects_move(project: Project) -> None:
    moved = TEXT.replace("a6:", "last:") + "moved: [{from: agents.a6, to: agents.last}]\n"
    project.write(moved)
    assert [str(change.address) for change in project.plan().changes if not change.address.parent] == ["agents.last"]
    assert not project.found


def test_a_second_claim_on_a_later_page_is_still_a_doubt(project: Project) -> None:
    project.write(TEXT.replace("stack: s", "stack: t").replace(", memory: {human: Nobody.}", ""))
    project.apply()
    with httpx.Client(transport=project.server, base_url="http://stand.in") as http:
        agents = http.get("/v1/agents/", params={"tags": "lettaform:stack=t"}).json()
        claimed = next(body for body in agents if body["name"] == "a0")
        copied = {name: claimed[name] for name in ("name", "tags", "metadata", "model", "embedding", "system")}
        http.post("/v1/agents/", json=copied).raise_for_status()
        for block in http.get("/v1/blocks/", params={"label": "lettaform", "show_hidden_blocks": True}).json():
            http.delete(f"/v1/blocks/{block['id']}").raise_for_status()  # the state, which knows which one it is
    with pytest.raises(PlanError, match=r"several objects on the server claim to be agents\.a0"):
        project.plan()
