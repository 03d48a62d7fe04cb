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
from lettaform.manifest import Draft, begin, glance, load
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


# --- reads that begin before the manifest is read --------------------------------------------------------------------

FLEET = f"blocks: {{b: {{value: x}}}}\nagents: {{a: {{{MODELS}, blocks: [b], memory: {{human: Nobody.}}}}}}\n"
READS: Mapping[str, Callable[[Project], Any]] = {
    "plan": Project.plan,
    "status": lambda project: flow.status(project.source, project.connection),
    "drift": lambda project: flow.drift(project.source, project.connection),
    "apply": lambda project: flow.apply(project.source, project.connection, consent=lambda _: False, interactive=True),
}
"""What takes no lock before it reads."""


class Ahead(Project):
    """A project whose manifest is not too small to be read ahead. `sent`: the requests before the manifest was read."""

    sent: int | None = None
    seen: list[tuple[str, str | None]]

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        monkeypatch.setattr(glance, "SMALL", 0)
        for name in ("LETTA_BASE_URL", "LETTA_API_KEY", "LETTA_PROJECT"):
            monkeypatch.delenv(name, raising=False)
        self.seen = []
        real = flow.begin

        def begun(*rest: Any, **words: Any) -> Draft:
            self.sent = len(self.server.log)
            return real(*rest, **words)

        def noted(ask: Ask) -> None:
            self.seen.append((ask.path.split("?")[0], ask.headers.get("authorization")))

        monkeypatch.setattr(flow, "begin", begun)
        self.server.before = noted

    def whole(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(text)

    def run(self, verb: str = "plan") -> Any:
        """The result of a verb. `sent` and `seen` are those of this run."""
        self.sent, self.seen = None, []
        self.server.log.clear()
        return READS[verb](self)

    def run_without(self, verb: str = "plan") -> Any:
        with mock.patch.object(glance, "SMALL", 1_000_000):
            return self.run(verb)


@pytest.fixture
def ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ahead:
    return Ahead(tmp_path, monkeypatch)


@pytest.mark.parametrize("verb", READS)
def test_the_reads_begin_before_the_manifest_is_read(ahead: Ahead, verb: str) -> None:
    ahead.write(FLEET)
    ahead.apply()
    assert not ahead.sent, "an apply takes the lock first"
    for text in (FLEET, FLEET.replace("value: x", "value: y").replace("Nobody", "Somebody")):
        ahead.write(text)
        result = ahead.run(verb)
        assert ahead.sent
        assert len(set(ahead.lists)) == len(ahead.lists), "nothing is read twice"
        asked = sorted(ahead.seen)
        assert result == ahead.run_without(verb)
        assert not ahead.sent
        assert sorted(ahead.seen) == asked, "the requests are the same"


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_destroy_does_not_read_ahead(ahead: Ahead, verb: str) -> None:
    ahead.write(FLEET)
    ahead.apply()
    ahead.server.log.clear()
    options = flow.PlanOptions(destroy=True)
    if verb == "plan":
        flow.plan(ahead.source, ahead.connection, options)
    else:
        flow.apply(ahead.source, ahead.connection, options, consent=lambda _: False, interactive=True)
    assert ahead.sent == 0


WRONG = {
    "the stack of an external object": "{'stack': s, blocks: {b: {value: x}, e: "
    '{external: true, "stack": "other", "address": "blocks.x"}}}',
    "a line of a text": "stack: \"\\\n  s\"\nblocks: {b: {value: '\nstack: other\n'}}",
    "fields in a comment": f"stack: s\n{FLEET}# folders: [f], identities: [i]\n",
    "a section in a text": "stack: s\nblocks: {b: {value: '\nfolders: none'}}",
    "an empty section": "stack: s\nblocks: {b: {value: x}}\nfolders: {}",
}
"""What is a guess to what the manifest says, where both differ."""


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_guess_changes_no_plan(ahead: Ahead, text: str) -> None:
    def outcome(run: Callable[[], Any]) -> Any:
        try:
            return run()
        except LettaformError as error:
            return error.message

    ahead.write("blocks: {z: {value: of another manifest}}")
    ahead.apply()
    ahead.whole(text)
    assert outcome(ahead.run) == outcome(ahead.run_without)


def test_an_environment_may_declare_more(ahead: Ahead) -> None:
    text = f"{FLEET}environments: {{dev: {{archives: {{f: {{embedding: letta/letta-free}}}}}}}}"
    ahead.write(text)
    for environment in (None, "dev"):
        ahead.source = flow.Source(ahead.folder, environment=environment)
        plan = ahead.run()
        assert ahead.sent
        assert ahead.lists.count("/v1/archives/") == (environment is not None)
        assert plan == ahead.run_without()


def test_another_name_of_the_stack_counts(ahead: Ahead) -> None:
    ahead.write(FLEET)
    ahead.source = flow.Source(ahead.folder, stack="mine")
    assert ahead.run().stack == "mine"
    assert ahead.sent
    assert not [path for method, path, _ in ahead.server.log if "stack%3Ds" in path]


def test_the_name_may_be_in_an_included_file(ahead: Ahead) -> None:
    ahead.whole("include: [name.yaml]\n" + FLEET)
    (ahead.folder / "name.yaml").write_text("stack: t\n")
    assert ahead.run().stack == "t"
    assert ahead.sent


@pytest.mark.parametrize("text", [FAULTY, "agents: {a: {modle: x}}", "agents: [", "blocks: {b: {value: '${var.x}'}}"])
@pytest.mark.parametrize("verb", READS)
def test_a_faulty_manifest_is_the_same_error(ahead: Ahead, verb: str, text: str) -> None:
    ahead.write(text)
    with pytest.raises(ManifestError) as without:
        ahead.run_without(verb)
    with pytest.raises(ManifestError) as raised:
        ahead.run(verb)
    assert raised.value.problems == without.value.problems
    assert ahead.server.writes == []


def test_a_faulty_manifest_comes_before_a_silent_server(ahead: Ahead) -> None:
    def refuse(ask: Ask) -> None:
        raise httpx.ConnectError("nobody is there")

    ahead.write("agents: {a: {modle: x}}")
    ahead.server.before = refuse
    with pytest.raises(ManifestError):
        ahead.run()


def test_an_error_of_the_server_is_raised_after_reads_ahead(ahead: Ahead) -> None:
    def refuse(ask: Ask) -> None:
        raise Refusal(401, "Unauthorized")

    ahead.write(FLEET)
    ahead.server.before = refuse
    with pytest.raises(LettaformError, match="does not let us in"):
        ahead.run()


def test_a_server_that_the_manifest_names_is_not_read_ahead(ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "key-of-this-user")
    ahead.write(f"{FLEET}server: {{url: 'http://named.in.manifest'}}")
    ahead.connection = flow.Connection()
    assert ahead.run().url == "http://named.in.manifest"
    assert ahead.sent == 0
    assert {key for _, key in ahead.seen} == {None}, "LETTA_API_KEY goes only to a URL that the user has chosen"


def test_the_url_of_the_user_counts(ahead: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "key-of-this-user")
    ahead.write(f"{FLEET}server: {{url: 'http://named.in.manifest'}}")
    assert ahead.run().url == "http://stand.in"
    assert ahead.sent
    assert {key for _, key in ahead.seen} == {"Bearer key-of-this-user"}


@pytest.mark.parametrize("server", ["{url: 'http://stand.in', api_key: '${env.KEY_OF_MANIFEST}'}", "{project: p}"])
def test_what_the_manifest_adds_to_the_url_counts(ahead: Ahead, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_MANIFEST", "key-of-manifest")
    ahead.write(f"{FLEET}server: {server}")
    targets: list[Any] = []
    real = flow.connect

    def connected(url: str, **more: Any) -> Any:
        targets.append((more["token"], more["project"]))
        return real(url, **more)

    monkeypatch.setattr(flow, "connect", connected)
    ahead.run()
    wanted = ("key-of-manifest", None) if "api_key" in server else (None, "p")
    assert targets == [(None, None), wanted], "the reads ahead are dropped"


def test_a_manifest_in_memory_is_not_read_ahead(ahead: Ahead) -> None:
    ahead.source = flow.Source(ahead.folder, document={"stack": "s", "blocks": {"b": {"value": "x"}}})
    assert ahead.run().stack == "s"
    assert ahead.sent == 0
