"""A manifest is resolved while the server is read: what is read is right, and errors of the manifest come first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError, ManifestError, Unavailable
from lettaform.manifest import Draft, begin, load
from lettaform.model import Server
from lettaform.session import loading
from lettaform.session.observe import CORE, covers, declared_fields
from tests.standin import Refusal, StandIn
from tests.standin.server import Ask

MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
FAULTY = f"agents: {{a: {{{MODELS}, blocks: [nothing]}}}}"
EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[2] / "examples").glob("*/lettaform.yaml"))


class Project:
    """A folder with a manifest, and a stand-in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.server, self.monkeypatch = folder, StandIn(), monkeypatch
        monkeypatch.setattr(flow, "connect", lambda url, **more: connect(url, **more, transport=self.server))
        self.source, self.connection = flow.Source(folder), flow.Connection(url="http://stand.in")

    def write(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(f"stack: s\n{text}")

    def plan(self) -> flow.Plan:
        return flow.plan(self.source, self.connection)

    def apply(self) -> Any:
        return flow.apply(self.source, self.connection, consent=True)

    def outline(self, fields: Mapping[str, Any]) -> None:
        """Make the outline of every manifest have these fields."""
        real = flow.begin

        def changed(source: flow.Source, *rest: Any, **words: Any) -> Draft:
            draft = real(source, *rest, **words)
            assert draft.outline is not None
            return Draft(mock.Mock(stack=draft.outline.stack, server=Server(), fields=fields), draft.finish)

        self.monkeypatch.setattr(flow, "begin", changed)

    @property
    def lists(self) -> list[str]:
        return [path.split("?")[0] for method, path, _ in self.server.log if method == "GET"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


# --- what an outline knows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("agents: {a: {model: a/b}}", {"agent": {"model"}}),
        ("agents: {a: }", {"agent": set[str]()}),
        ("agents: {}", {}),
        ("agents: {a: {}}\ndefaults: {agents: {folders: [f]}, blocks: {value: x}}", {"agent": {"folders"}}),
        ("agents: {a: {for_each: [x], tools: []}}", {"agent": {"for_each", "tools"}}),
        ("agents: {a: {}}\nenvironments: {dev: {agents: {a: {tags: []}}}}", {"agent": {"tags"}}),
        ("agents: {a: {sleeptime: {archive: x}}}", {"agent": {"sleeptime", "archive"}, "group": {"archive"}}),
        ("agents: {a: {sleeptime: '${var.x}'}}", {"agent": {"sleeptime"}, "group": set[str]()}),
        ("agents: {a: {sleeptime: false}}", {"agent": {"sleeptime"}}),
        ("folders: {f: {external: true, name: n}}", {"folder": {"external", "name"}}),
    ],
)
def test_an_outline_has_the_fields_that_may_be_declared(text: str, fields: Any, tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text(f"stack: s\n{text}")
    outline = begin(tmp_path, environment="dev" if "dev:" in text else None).outline
    assert outline is not None
    assert outline.fields == fields


@pytest.mark.parametrize("text", ["agents: {a: {modle: x}}", "server: {url: 'http://${var.host}'}", "stack: [1]"])
def test_a_manifest_without_an_outline(text: str, tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text(text if "stack" in text else f"stack: s\n{text}")
    assert begin(tmp_path).outline is None


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_the_outline_of_an_example_covers_its_manifest(folder: Path) -> None:
    draft = begin(folder)
    if draft.outline is None:
        pytest.skip("an expression decides the URL")
    fields = declared_fields(load(folder, environ={}))
    assert covers({**dict.fromkeys(CORE, ()), **draft.outline.fields}, fields)


# --- what is read ----------------------------------------------------------------------------------------------------

SLEEPY = f"agents: {{a: {{{MODELS}, sleeptime: true, folders: [f]}}}}\nfolders: {{f: {{embedding: letta/letta-free}}}}"


@pytest.mark.parametrize("text", [SLEEPY, "blocks: {b: {value: x}}"])
def test_each_list_is_read_once(project: Project, text: str) -> None:
    project.write(text)
    project.apply()
    project.server.log.clear()
    assert not project.plan()
    assert len(set(project.lists)) == len(project.lists)


@pytest.mark.parametrize("fields", [{}, {"agent": ("name",)}, {"folder": (), "agent": ()}])
def test_what_an_outline_did_not_foresee_is_read_again(project: Project, fields: Mapping[str, Any]) -> None:
    project.write(SLEEPY)
    project.apply()
    project.outline(fields)
    project.server.log.clear()
    assert not project.plan()
    assert project.lists.count("/v1/agents/") == 2


def test_a_kind_that_is_not_declared_after_all_is_not_required(project: Project) -> None:
    def refuse(ask: Ask) -> None:
        if ask.path.startswith("/v1/folders"):
            raise Refusal(404, "Not Found")

    project.write("folders: {f: {when: false, embedding: letta/letta-free}}\nblocks: {b: {value: x}}")
    project.server.before = refuse
    assert [str(change.address) for change in project.plan().changes] == ["blocks.b"]


# --- errors of the manifest come first -------------------------------------------------------------------------------

VERBS: Mapping[str, Callable[[Project], Any]] = {"plan": Project.plan, "apply": Project.apply}


@pytest.mark.parametrize("verb", VERBS)
def test_a_faulty_manifest_is_an_error_although_the_server_refuses(project: Project, verb: str) -> None:
    def refuse(ask: Ask) -> None:
        raise Refusal(401, "Unauthorized")

    project.write(FAULTY)
    project.server.before = refuse
    with pytest.raises(ManifestError):
        VERBS[verb](project)


@pytest.mark.parametrize("verb", VERBS)
def test_a_faulty_manifest_is_an_error_although_no_server_answers(
    project: Project, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(ask: Ask) -> None:
        raise httpx.ConnectError("nobody is there")

    monkeypatch.setattr(loading, "GRACE", 0.1)
    project.write(FAULTY)
    project.server.before = hang
    with pytest.raises(ManifestError):
        VERBS[verb](project)


@pytest.mark.parametrize("verb", VERBS)
def test_a_faulty_manifest_leaves_no_lock_and_changes_nothing(project: Project, verb: str) -> None:
    project.write(FAULTY)
    with pytest.raises(ManifestError):
        VERBS[verb](project)
    tables = project.server.tables
    assert (tables.identities, tables.agents, tables.blocks) == ({}, {}, {})


def test_a_faulty_manifest_does_not_wait_for_the_lock(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "GRACE", 0.1)

    def conflict(ask: Ask) -> None:
        if ask.method == "POST" and ask.path.startswith("/v1/identities"):
            raise Refusal(409, "exists")

    project.server.before = conflict
    project.write(FAULTY)
    with pytest.raises(ManifestError):
        project.apply()


@pytest.mark.parametrize("verb", VERBS)
def test_an_error_of_the_server_is_raised_if_the_manifest_is_right(project: Project, verb: str) -> None:
    def refuse(ask: Ask) -> None:
        raise Refusal(401, "Unauthorized")

    project.write("blocks: {b: {value: x}}")
    project.server.before = refuse
    with pytest.raises(LettaformError) as refused:
        VERBS[verb](project)
    assert not isinstance(refused.value, ManifestError | Unavailable)
