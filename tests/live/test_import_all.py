"""`import --all` on a real server: an organization that is filled by hand through the API, adopted without a change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.model import Imported, Plan
from lettaform.ownership.unowned import Filter
from tests.contract.description import api
from tests.live.conftest import Letta
from tests.live.fleet import without_order
from tests.live.organization import Organization, OrganizationTransport, new_organization

KEY = "sk-4f9a8c7d6e5b4a3f2e1d"
SECRETS = {"openai_key": KEY, "docs_token": KEY, "docs_url": KEY}
SOURCE = '''def shop{number}(item: str) -> str:
    """Buy something.

    Args:
        item (str): What.
    """
    return item
'''


@dataclass
class ByHand:
    """An organization, and what fills it."""

    organization: Organization
    letta: Letta
    folder: Path
    asked: list[str]

    def post(self, path: str, **body: Any) -> str:
        return str(self.organization.http.post(f"/v1/{path}", json=body).raise_for_status().json()["id"])

    def patch(self, path: str, **body: Any) -> None:
        self.organization.http.patch(f"/v1/{path}", json=body or None).raise_for_status()

    @property
    def connection(self) -> flow.Connection:
        return flow.Connection(url=self.letta.url, token=self.letta.password, trace=self.asked.append)

    def import_all(self, folder: str = "out", **options: Any) -> Imported:
        self.asked.clear()
        return flow.import_all(self.connection, self.folder / folder, flow.ImportOptions(f"hand-{folder}", **options))

    def adopts(self, found: Imported) -> Plan:
        """Assert that an apply adopts what was imported, changes nothing, and that the plan after it is empty."""
        variables = {name: value for name, value in SECRETS.items() if name in found.variables}
        source = flow.Source(Path(found.folder), variables=variables)
        before = self.visible()
        for _ in range(4):  # a busy server may answer no heartbeat within a lease: the next apply goes on
            plan, report = flow.apply(source, self.connection, consent=True)
            changed = [c for c in plan.changes if c.fields_changed or c.action not in ("adopt", "mark")]
            assert [(str(c.address), c.action) for c in changed] == []
            assert report is not None
            assert [str(each.error) for each in report.of("failed")] == []
            if report.exit_code == 0:
                break
        after = self.visible()
        assert after.keys() == before.keys()
        assert {(id, key) for id, body in before.items() for key in body if body[key] != after[id][key]} == set()
        assert not flow.plan(source, self.connection).steps
        return plan

    def visible(self) -> dict[str, Any]:
        """Id to what the organization has, without that which marks are written to, and without the state."""
        paths = {"agents", "blocks", "tools", "folders", "archives", "groups", "conversations", "mcp-servers"}
        found = {path: bodies for path, bodies in self.organization.objects().items() if path.split("/")[2] in paths}
        bodies = (body for every in found.values() for body in every if body.get("label") != "lettaform")
        return {body["id"]: without_order(_unmarked(body)) for body in bodies}

    def fill(self, agents: int, blocks: int, passages: int) -> dict[str, str]:
        """Objects of every kind. Returns name to id."""
        http, models = self.organization.http, {"model": self.letta.model, "embedding": self.letta.embedding}
        http.get("/v1/tools/", params={"limit": 1000}).raise_for_status()  # 0.16.8 creates its built-in tools
        shared = [
            self.post("blocks/", label=f"shared{n}", value=f"Shared text {n}.\n\n- one: ${{x}}", description="For all.")
            for n in range(blocks)
        ]
        tools = [self.post("tools/", source_code=SOURCE.format(number=n), tags=["shop"]) for n in range(3)]
        archive = self.post("archives/", name="Notes of all", embedding=self.letta.embedding)
        for number in range(passages):
            self.post(f"archives/{archive}/passages", text=f"Fact {number}.", tags=["odd"] if number % 2 else [])
        folder = self.post("folders/", name="Hand book", embedding=self.letta.embedding)
        for name in ("a.md", "b.txt"):
            file = {"file": (name, f"# {name}\n".encode())}
            http.post(f"/v1/folders/{folder}/upload", files=file).raise_for_status()
        person = self.post("identities/", identifier_key="ann@example.com", name="Ann", identity_type="user")
        config = {"mcp_server_type": "streamable_http", "auth_header": "Authorization", "auth_token": KEY}
        self.post(
            "mcp-servers/", server_name="docs", config={**config, "server_url": f"https://docs.example.com/?key={KEY}"}
        )

        def make(number: int) -> str:
            memory = [
                {"label": "role", "value": f"I look after {number}."},
                {"label": "human", "value": "?", "limit": 900},
            ]
            body = {"memory_blocks": memory, "block_ids": [shared[number % blocks]], "tool_ids": tools[:2], **models}
            return self.post("agents/", name=f"worker-{number}", tags=["team"], secrets={"OPENAI_KEY": KEY}, **body)

        with ThreadPoolExecutor(6) as pool:
            workers = list(pool.map(make, range(agents)))
        boss = self.post(
            *("agents/",),
            name="The Boss",
            system="You lead.\n" * 30,
            block_ids=shared,
            tool_ids=tools,
            enable_sleeptime=True,
            identity_ids=[person],
            folder_ids=[folder],
            context_window_limit=20000,
            **models,
        )
        self.patch(f"agents/{boss}/archives/attach/{archive}")
        self.post("groups/", agent_ids=workers[:2], description="All", manager_config={"manager_type": "round_robin"})
        params = {"agent_id": boss}
        http.post("/v1/conversations/", params=params, json={"summary": "First talk"}).raise_for_status()
        while any(each["processing_status"] != "completed" for each in self._files(folder)):
            time.sleep(0.2)
        return {"boss": boss, "archive": archive}

    def _files(self, folder: str) -> list[dict[str, Any]]:
        found = self.organization.http.get(f"/v1/folders/{folder}/files").raise_for_status().json()
        assert not [each for each in found if each["processing_status"] == "error"]
        return list(found)


def _unmarked(body: Any) -> Any:
    """A body without that which marks are written to, without times, and without blocks in any order once more."""
    own = {"tags", "metadata", "metadata_", "description", "summary", "updated_at", "last_updated_by_id", "memory"}
    own |= {"source_type"}  # 0.16.8 stores "json" for Python, unless it is told; then it cannot run the tool
    if isinstance(body, dict):
        return {key: _unmarked(value) for key, value in body.items() if key not in own}
    return [_unmarked(each) for each in body] if isinstance(body, list) else body


@pytest.fixture
def hand(letta: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ByHand]:
    with new_organization(letta.url, letta.password, api()) as organization:
        organization.http.timeout = 300
        monkeypatch.setattr(
            flow,
            "connect",
            lambda url, **more: connect(url, **more, transport=OrganizationTransport(organization.user)),
        )
        yield ByHand(organization, letta, tmp_path, [])


def test_what_was_made_by_hand_is_adopted_and_the_plan_is_empty(hand: ByHand) -> None:
    hand.fill(agents=4, blocks=3, passages=25)
    found = hand.import_all()
    assert found.objects == {
        "agents": 5,
        "archives": 1,
        "blocks": 3,
        "conversations": 1,
        "folders": 1,
        "groups": 1,
        "identities": 1,
        "mcp_servers": 1,
        "tools": 3,
    }
    assert found.not_declared == ()
    text = (Path(found.folder) / "lettaform.yaml").read_text()
    assert "system: !file prompts/the-boss.md" in text
    assert "model_settings" not in text, "a value that the model gives its agents is declared"
    assert "compaction_settings" not in text, "a value that the server gives new agents is declared"
    assert not [path for path in Path(found.folder).rglob("*") if path.is_file() and KEY in path.read_text()]
    hand.adopts(found)


def test_a_filter_imports_an_agent_with_what_it_needs_and_the_rest_later(hand: ByHand) -> None:
    ids = hand.fill(agents=3, blocks=2, passages=1)
    first = hand.import_all("first", only=Filter(ids=(ids["boss"],)))
    assert first.objects["agents"] == 1
    hand.adopts(first)
    second = hand.import_all("second")
    assert second.objects["agents"] == 3
    assert "stack: hand-first, address: blocks.shared0" in (Path(second.folder) / "lettaform.yaml").read_text()
    hand.adopts(second)


@pytest.mark.slow
@pytest.mark.parametrize("agents", [50, 500])
def test_a_fleet_that_was_made_by_hand(agents: int, hand: ByHand, capsys: pytest.CaptureFixture[str]) -> None:
    hand.fill(agents, blocks=30, passages=250)
    figures = []
    start = time.monotonic()
    found = hand.import_all(fold=True)
    figures.append(f"import: {len(hand.asked)} requests, {time.monotonic() - start:.1f} s")
    assert len(hand.asked) < 40 + agents / 25
    assert found.not_declared == ()
    hand.asked.clear()
    start = time.monotonic()
    hand.adopts(found)
    figures.append(f"adopt and two plans: {len(hand.asked)} requests, {time.monotonic() - start:.1f} s")
    with capsys.disabled():
        print(f"\n{agents} agents: {'; '.join(figures)}")
