"""examples/everything sets every field of every kind, changes all of them, and leaves nothing behind.

The test follows the command line as a person uses it: plan, apply, two empty plans, a new value for every field,
apply, two empty plans, destroy. It runs in its own organization (`tests/live/organization.py`), so that everything on
the server can be counted before and after, unmarked leftovers included, while other tests use the same server. The
organization also contains foreign objects, which must stay unchanged. All output, files and server objects are
searched for secrets.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from click.testing import CliRunner, Result

from lettaform import flow, local
from lettaform.address import Address
from lettaform.backend import connect
from lettaform.cli import cli
from lettaform.kinds import kinds
from lettaform.manifest import load
from lettaform.model import Desired, Manifest
from lettaform.values import digest
from tests.contract.description import api
from tests.live.conftest import Letta
from tests.live.http_mcp import HttpMcp, Unreachable, serve_mcp
from tests.live.organization import UNCOUNTED, Organization, OrganizationTransport, lists, new_organization

EXAMPLE = Path(__file__).parents[2] / "examples" / "everything"
SECOND_MANIFEST = Path(__file__).with_name("everything.yaml")
ENVIRONMENTS = "environments: {journey: {}}\n"

LINES = [
    (kind, line)
    for kind, table in kinds().items()
    if table.availability.cloud is not True
    for line in table.attrs().values()
]
"""All fields of all kinds that a self-hosted server has."""
UNCHANGED: Mapping[str, str] = {
    f"{kind}.{line.name}": "is only sent at creation, and is never compared" for kind, line in LINES if line.create_only
}
"""Fields that cannot get another value, and why."""
UNSHOWN: Mapping[str, str] = {
    "tool.mcp": "what a server offers is nobody's: the agents that have it are what changes, by their `tools`",
}
"""Fields whose change a plan does not show, and why."""
OVER_HTTP = {"mcp_server.type", "mcp_server.url", "mcp_server.token", "mcp_server.headers", "tool.mcp"}
"""Fields that can change only where the Letta server reaches an MCP server over HTTP."""

OFFERED = {"find_object": "Finds an object by a word.", "find_room": "Finds the room of an object."}


@dataclass(frozen=True)
class Secrets:
    """The secrets of one stage; each looks different when it is quoted, escaped or encoded."""

    key: str
    token: str

    def environ(self) -> dict[str, str]:
        return {"LETTAFORM_VAR_museum_key": self.key, "CATALOGUE_TOKEN": self.token}

    def forms(self) -> Iterator[str]:
        for secret in (self.key, self.token):
            yield from forms(secret)


FIRST_SECRETS = Secrets("sentinel/key+1=9f1c&do-not-tell", "sentinel/token+1=2b7d&do-not-tell")
SECOND_SECRETS = Secrets("sentinel/key+2=5e0a&do-not-tell", "sentinel/token+2=c83f&do-not-tell")


def forms(secret: str) -> Iterator[str]:
    """All forms in which a secret may appear in a text, as far as no key is needed to make them."""
    raw = secret.encode()
    yield from {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), repr(secret)[1:-1], raw.hex()}
    yield from (digest(secret), hashlib.sha256(raw).hexdigest()[:32])
    for shift in range(3):  # the bytes before the secret shift its base64 letters
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        inner = whole[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        yield from (inner, inner.translate(str.maketrans("+/", "-_")))


@dataclass
class Project:
    """A project folder in its own organization; `outputs` holds everything lettaform printed or wrote, by origin."""

    organization: Organization
    letta: Letta
    folder: Path
    mcp: HttpMcp | None
    patch: pytest.MonkeyPatch
    outputs: dict[str, str] = field(default_factory=dict)
    mcp_url: str = ""

    def run(self, *words: str, code: int = 0) -> Result:
        """Run a command and assert its exit code."""
        variables = {"model": self.letta.model, "catalogue": str(self.mcp is not None).lower()}
        variables |= {"catalogue_url": self.mcp_url} if self.mcp else {}
        var_options = [word for name, value in variables.items() for word in ("--var", f"{name}={value}")]
        files = ["-f", "lettaform.yaml", "-f", "journey.yaml", "-e", "journey"]
        line = ["-C", str(self.folder), "--server", self.letta.url, *files, *var_options, *words]
        result = CliRunner().invoke(cli, line)
        self.outputs[f"{len(self.outputs)}: {' '.join(words)}"] = result.output
        failures = [line for line in result.output.splitlines() if '"event": "failed"' in line]
        assert result.exit_code == code, f"{failures or words}: {result.output}{result.exception!r}"
        return result

    def plan(self, *words: str) -> dict[str, Any]:
        """Plan as JSON; the plan is saved to a file as well."""
        saved = str(self.folder / "plan.json")
        return dict(json.loads(self.run("--debug", "plan", "--json", "-o", saved, *words).stdout))

    def assert_no_changes(self) -> None:
        """Assert that two plans are empty: one as text, one as JSON."""
        first = self.run("-v", "plan", "--detailed-exitcode")
        assert first.stdout.startswith("No changes."), first.stdout
        again = json.loads(self.run("--debug", "plan", "--json", "--detailed-exitcode").stdout)
        assert (again["changes"], again["runtime"], again["unmanaged"]) == ([], [], [])

    def inspect_all(self) -> None:
        """Run every command that only shows something."""
        self.run("-v", "show")
        self.run("show", "--json")
        self.run("state", "list")
        for address in ("agents.curator", "mcp_servers.turnstile", "providers.vault"):
            self.run("--debug", "state", "show", address)

    def use_secrets(self, secrets: Secrets, *, sse: bool = False) -> None:
        """Set the environment variables and make the MCP server require these secrets."""
        for name, value in secrets.environ().items():
            self.patch.setenv(name, value)
        if self.mcp:
            self.mcp.token, self.mcp.headers = secrets.token, {"X-Museum": secrets.key}
            self.mcp_url = self.mcp.sse if sse else self.mcp.url

    def files(self) -> dict[str, str]:
        """All files that lettaform wrote to the folder."""
        mine = [self.folder / "plan.json", *(self.folder / ".lettaform").rglob("*")]
        return {str(path.relative_to(self.folder)): path.read_text() for path in mine if path.is_file()}

    def server_text(self, objects: Mapping[str, list[Any]], *, hidden: bool) -> str:
        """The objects on the server as text; if `hidden`, without the fields that store secrets."""
        return json.dumps(_without(objects, _SECRET_FIELDS if hidden else frozenset()), ensure_ascii=False)


_SECRET_FIELDS = frozenset(
    {name for _, line in LINES if line.secret for name in (line.write or "", f"{line.write}_enc")}
    | {"tool_exec_environment_variables"}
)
"""Fields where the server stores secrets on purpose."""


def _without(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(each, keys) for key, each in value.items() if key not in keys}
    return [_without(each, keys) for each in value] if isinstance(value, list) else value


# --- the manifests ---------------------------------------------------------------------------------------------------


def change_project(folder: Path) -> None:
    """Change the manifest and the files next to it to their second version."""
    shutil.copy(SECOND_MANIFEST, folder / "journey.yaml")
    for name in ("prompts/rules.md", "prompts/curator.md", "docs/rooms.md"):
        with (folder / name).open("a") as file:
            file.write("\nAnd one more thing.\n")
    (folder / "docs" / "more").mkdir()
    (folder / "docs" / "more" / "shop.md").write_text("# Shop\n\nPostcards.\n")
    (folder / "docs" / "hours-and-prices.md").unlink()


def manifest(folder: Path, *, later: bool) -> Manifest:
    """The example's manifest, in its first or its second version."""
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    (folder / "journey.yaml").write_text(ENVIRONMENTS)
    if later:
        change_project(folder)
    files = [Path("lettaform.yaml"), Path("journey.yaml")]
    variables, environ = {"catalogue": "true", "model": "a/b"}, (SECOND_SECRETS if later else FIRST_SECRETS).environ()
    variables |= {"catalogue_url": "https://later.example.com"} if later else {}
    return load(folder, files, environment="journey", variables=variables, environ=environ)


def declared_fields(desired: Desired) -> dict[str, Any]:
    """The declared values of an object, by field; a tool of an MCP server has its source as the field `mcp`."""
    external = desired.external
    by = (
        {"mcp": (external.offered_by, external.name), "name": external.name} if external and external.offered_by else {}
    )
    return {**desired.values, **by}


def declared_values(manifest: Manifest) -> dict[tuple[Address, str], Any]:
    """All declared values, by address and field; child objects count as a field of their agent as well."""
    found = {
        (address, name): each for address, d in manifest.objects.items() for name, each in declared_fields(d).items()
    }
    for address, desired in manifest.objects.items():
        if address.parent and address.field:
            found.setdefault((address.parent, address.field), {})[address.child] = declared_fields(desired)
    return found


def _field_names(manifest: Manifest, fields: set[tuple[Address, str]]) -> set[str]:
    return {f"{manifest.objects[address].kind}.{name}" for address, name in fields}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest(tmp_path_factory.mktemp("now"), later=False)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest(tmp_path_factory.mktemp("then"), later=True)


@pytest.mark.parametrize("name", [f"{kind}.{line.name}" for kind, line in LINES])
def test_example_sets_every_field(name: str, first: Manifest) -> None:
    server_text = f"say `{name}` somewhere in examples/everything/lettaform.yaml"
    assert name in _field_names(first, set(declared_values(first))), server_text


@pytest.mark.parametrize("name", [f"{kind}.{line.name}" for kind, line in LINES])
def test_example_changes_every_field(name: str, first: Manifest, second: Manifest) -> None:
    if name in UNCHANGED:
        pytest.skip(UNCHANGED[name])
    before, after = declared_values(first), declared_values(second)
    changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    assert name in _field_names(first, changed), f"give `{name}` another value in {SECOND_MANIFEST.name}"


def test_example_uses_every_manifest_keyword() -> None:
    text = (EXAMPLE / "lettaform.yaml").read_text()
    words = [
        *("variables:", "type: number", "type: bool", "type: list", "type: map", "default: ", "secret: true", "env: "),
        *("environments:", "defaults:", "outputs:", "for_each:", "when:", "policy:", "lifecycle:", "external:"),
        *(
            "prevent_destroy:",
            "ignore_changes:",
            'file("',
            'json(file("',
            "${folder}",
            "${env.",
            "${var.",
            "${each.key}",
        ),
        "${each.value",
    ]
    assert [word for word in words if word not in text] == []


def test_every_server_list_is_counted_or_excluded_with_reason() -> None:
    counted = lists(api())
    assert {table.path for kind, table in kinds().items() if table.availability.cloud is not True} <= set(counted)
    assert "/v1/folders/{}/files" in counted
    every = [path for verb, path in api().operations if verb == "GET"]
    assert [pattern for pattern in UNCOUNTED if not any(re.fullmatch(pattern, path) for path in every)] == []


@pytest.mark.parametrize("encoded", sorted(set(FIRST_SECRETS.forms())))
def test_leaks_finds_secret_in_every_encoding(encoded: str) -> None:
    assert leaks({"a paper": f"before {encoded} after"}) == ["a paper"]
    assert leaks({"a paper": "before and after"}) == []


def test_leaks_finds_secret_inside_longer_base64() -> None:
    outputs = {str(n): base64.b64encode(b"Bearer "[:n] + FIRST_SECRETS.key.encode() + b"!").decode() for n in range(7)}
    assert leaks(outputs) == [*outputs]


def leaks(outputs: Mapping[str, str]) -> list[str]:
    """The names of the texts that contain a secret."""
    wanted = [*FIRST_SECRETS.forms(), *SECOND_SECRETS.forms()]
    return [name for name, text in outputs.items() if any(form in text for form in wanted)]


# --- the run ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(letta: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    if letta.model != local.MODELS[True][0]:
        pytest.skip("this server has no second model that a field could have later")
    with ExitStack() as stack:
        organization = stack.enter_context(new_organization(letta.url, letta.password, api()))
        is_local = httpx.URL(letta.url).host in ("127.0.0.1", "localhost")
        try:
            mcp = stack.enter_context(serve_mcp(OFFERED)) if is_local else None
        except Unreachable:
            mcp = None  # the fields in OVER_HTTP are left out
        shutil.copytree(EXAMPLE, tmp_path / "everything")
        (tmp_path / "everything" / "journey.yaml").write_text(ENVIRONMENTS)
        if letta.password:
            monkeypatch.setenv("LETTA_API_KEY", letta.password)
        monkeypatch.setattr(
            flow,
            "connect",
            lambda url, **more: connect(url, **more, transport=OrganizationTransport(organization.user)),
        )
        project = Project(organization, letta, tmp_path / "everything", mcp, monkeypatch)
        project.use_secrets(FIRST_SECRETS)
        yield project


def create_foreign_objects(organization: Organization, embedding: str) -> None:
    """Create one object of every kind, none of which belongs to the stack."""

    def create(path: str, **body: Any) -> str:
        return str(organization.http.post(f"/v1/{path}", json=body).raise_for_status().json()["id"])

    block = create("blocks/", label="diary", value="Mine.", tags=["theirs"], metadata={"a": 1})
    archive = create("archives/", name="Provenance", embedding=embedding)
    folder = create("folders/", name="attic", embedding=embedding)
    file = {"file": ("theirs.md", b"# Theirs\n")}
    sent = organization.http.post(f"/v1/folders/{folder}/upload", files=file).raise_for_status().json()
    while sent["processing_status"] not in ("completed", "error"):
        time.sleep(0.1)
        sent = organization.http.get(f"/v1/folders/{folder}/files/{sent['id']}").raise_for_status().json()
    create(f"archives/{archive}/passages", text="Theirs.")
    identity = create("identities/", identifier_key="stranger", name="A stranger", identity_type="user")
    source = 'def whistle() -> str:\n    """Whistle."""\n    return "whistle"\n'
    tool = create("tools/", source_code=source, source_type="python", tags=["theirs"])
    agent_body: dict[str, Any] = {
        "name": "stranger",
        "model": "letta/letta-free",
        "embedding": embedding,
        "tool_ids": [tool],
    }
    agent_body |= {"block_ids": [block], "identity_ids": [identity], "include_base_tools": False, "tags": ["theirs"]}
    agent = create(
        "agents/", **agent_body, secrets={"A": "b"}, memory_blocks=[{"label": "persona", "value": "A stranger."}]
    )
    create("agents/", name="unseen", model="letta/letta-free", hidden=True, include_base_tools=False)
    create("groups/", description="strangers", agent_ids=[agent])
    create("providers/", name="theirs", provider_type="openai", api_key="theirs", base_url="http://127.0.0.1:9/v1")
    create("mcp-servers/", server_name="theirs", config={"mcp_server_type": "stdio", "command": "/no/such", "args": []})
    organization.http.post(
        "/v1/conversations/", params={"agent_id": agent}, json={"summary": "theirs"}
    ).raise_for_status()


def planned_fields(plan: Mapping[str, Any]) -> set[str]:
    """The fields that a plan changes, as `kind.field`; a change to an agent's own block counts as `agent.memory`."""
    found = {
        f"{change['kind']}.{each['path'].split('.')[0]}" for change in plan["changes"] for each in change["fields"]
    }
    return found | ({"agent.memory"} if any(".memory." in change["address"] for change in plan["changes"]) else set())


@pytest.mark.slow  # a minute; tests/live/test_examples.py creates and destroys it, too
def test_example_is_created_changed_and_destroyed_without_traces_or_leaks(project: Project) -> None:
    organization = project.organization
    create_foreign_objects(organization, project.letta.embedding)
    before = organization.all_objects()
    assert [path for path in organization.paths if "{}" not in path and not before[path]] in (
        [],
        ["/v1/sandbox-config/"],
    )

    plan = project.plan()
    assert {change["action"] for change in plan["changes"]} == {"create"}
    project.run("--debug", "apply", "-y", "--json", str(project.folder / "plan.json"))
    project.assert_no_changes()
    project.inspect_all()
    created = organization.objects()
    outputs = {"created": project.server_text(created, hidden=True)}
    assert [
        form
        for form in (FIRST_SECRETS.key, FIRST_SECRETS.token)
        if form not in project.server_text(created, hidden=False)
    ] == ([] if project.mcp else [FIRST_SECRETS.token])
    outputs |= {f"then {name}": text for name, text in project.files().items()}

    change_project(project.folder)
    project.use_secrets(SECOND_SECRETS, sse=True)
    project.run("--debug", "plan", "--json", code=7)  # protected objects are not replaced without consent
    plan = project.plan("--allow-destroy", "*")
    wanted = {f"{kind}.{line.name}" for kind, line in LINES} - UNCHANGED.keys()
    wanted -= UNSHOWN.keys() | (set() if project.mcp else OVER_HTTP)
    assert wanted - planned_fields(plan) == set()
    project.run("--debug", "apply", "-y", "--json", "--allow-destroy", "*")
    project.assert_no_changes()
    changed = organization.objects()
    outputs["changed"] = project.server_text(changed, hidden=True)
    assert SECOND_SECRETS.key in project.server_text(changed, hidden=False)
    assert FIRST_SECRETS.key not in project.server_text(changed, hidden=False)

    project.run("--debug", "destroy", "-y", "--json", "--allow-destroy", "*")
    after = organization.all_objects()
    assert {path: bodies for path, bodies in after.items() if bodies != before.get(path)} == {}
    assert after.keys() == before.keys()

    outputs |= project.outputs | project.files()
    assert {path.suffix for path in (project.folder / ".lettaform").rglob("*") if path.is_file()} >= {".json"}
    assert leaks(outputs) == []
