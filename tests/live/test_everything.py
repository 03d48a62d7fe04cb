"""examples/everything: it says every field of every kind, it can change all of them, and it goes without a trace.

The journey is a person's, over the command line: plan, apply, two empty plans, every field another value, apply, two
empty plans, destroy. It happens in an organization of its own (`tests/live/house.py`), so that what is there before and
after is counted exactly, unmarked leftovers included, while other tests use the same server. Strangers live in that
house; they must not be moved either. What the journey printed, wrote and left on the server is searched for secrets.
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
from tests.live.house import UNCOUNTED, House, Inside, house, lists
from tests.live.http_mcp import HttpMcp, Unreachable, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "everything"
LATER = Path(__file__).with_name("everything.yaml")
NOW = "environments: {journey: {}}\n"

LINES = [
    (kind, line)
    for kind, table in kinds().items()
    if table.availability.cloud is not True
    for line in table.attrs().values()
]
"""Every line of every kind that a self-hosted server has."""
UNCHANGED: Mapping[str, str] = {
    f"{kind}.{line.name}": "matters at birth alone, and is never compared" for kind, line in LINES if line.create_only
}
"""Lines that cannot have another value, and why."""
UNSHOWN: Mapping[str, str] = {
    "tool.mcp": "what a server offers is nobody's: the agents that have it are what changes, by their `tools`",
}
"""Lines of which a plan says nothing when they change, and why."""
OVER_HTTP = {"mcp_server.type", "mcp_server.url", "mcp_server.token", "mcp_server.headers", "tool.mcp"}
"""Lines that change only where an MCP server over HTTP can be reached."""

OFFERED = {"find_object": "Finds an object by a word.", "find_room": "Finds the room of an object."}


@dataclass(frozen=True)
class Secrets:
    """What nobody may learn; none of it looks the same when it is quoted, escaped or encoded."""

    key: str
    token: str

    def environ(self) -> dict[str, str]:
        return {"LETTAFORM_VAR_museum_key": self.key, "CATALOGUE_TOKEN": self.token}

    def forms(self) -> Iterator[str]:
        for secret in (self.key, self.token):
            yield from forms(secret)


FIRST = Secrets("sentinel/key+1=9f1c&do-not-tell", "sentinel/token+1=2b7d&do-not-tell")
THEN = Secrets("sentinel/key+2=5e0a&do-not-tell", "sentinel/token+2=c83f&do-not-tell")


def forms(secret: str) -> Iterator[str]:
    """A secret as it may stand in a text, and what can be made of it without a key of one's own."""
    raw = secret.encode()
    yield from {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), repr(secret)[1:-1], raw.hex()}
    yield from (digest(secret), hashlib.sha256(raw).hexdigest()[:32])
    for shift in range(3):  # what stands before it in the same base64 moves the letters
        whole = base64.b64encode(b"\0" * shift + raw).decode()
        inner = whole[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        yield from (inner, inner.translate(str.maketrans("+/", "-_")))


@dataclass
class Journey:
    """lettaform in one folder, in one house; `papers` holds whatever it printed or wrote, by where that stood."""

    house: House
    letta: Letta
    folder: Path
    mcp: HttpMcp | None
    patch: pytest.MonkeyPatch
    papers: dict[str, str] = field(default_factory=dict)
    where: str = ""

    def run(self, *words: str, code: int = 0) -> Result:
        """Type a line; it must end with this exit code."""
        said = {"model": self.letta.model, "catalogue": str(self.mcp is not None).lower()}
        said |= {"catalogue_url": self.where} if self.mcp else {}
        given = [word for name, value in said.items() for word in ("--var", f"{name}={value}")]
        files = ["-f", "lettaform.yaml", "-f", "journey.yaml", "-e", "journey"]
        line = ["-C", str(self.folder), "--server", self.letta.url, *files, *given, *words]
        result = CliRunner().invoke(cli, line)
        self.papers[f"{len(self.papers)}: {' '.join(words)}"] = result.output
        assert result.exit_code == code, f"{words}: {result.output}{result.exception!r}"
        return result

    def plan(self, *words: str) -> dict[str, Any]:
        """What there is to do, as machines are told; also saved."""
        saved = str(self.folder / "plan.json")
        return dict(json.loads(self.run("--debug", "plan", "--json", "-o", saved, *words).stdout))

    def settled(self) -> None:
        """Two plans that are empty, one for people and one for machines."""
        first = self.run("-v", "plan", "--detailed-exitcode")
        assert first.stdout.splitlines()[0] == "No changes.", first.stdout
        again = json.loads(self.run("--debug", "plan", "--json", "--detailed-exitcode").stdout)
        assert (again["changes"], again["runtime"], again["unmanaged"]) == ([], [], [])

    def look(self) -> None:
        """Everything that can be looked at."""
        self.run("-v", "show")
        self.run("show", "--json")
        self.run("state", "list")
        for address in ("agents.curator", "mcp_servers.turnstile", "providers.vault"):
            self.run("--debug", "state", "show", address)

    def become(self, secrets: Secrets, *, sse: bool = False) -> None:
        """From now on the environment holds these, and the MCP server wants them, where it is looked for."""
        for name, value in secrets.environ().items():
            self.patch.setenv(name, value)
        if self.mcp:
            self.mcp.token, self.mcp.headers = secrets.token, {"X-Museum": secrets.key}
            self.where = self.mcp.sse if sse else self.mcp.url

    def written(self) -> dict[str, str]:
        """Every file that lettaform left in the folder."""
        mine = [self.folder / "plan.json", *(self.folder / ".lettaform").rglob("*")]
        return {str(path.relative_to(self.folder)): path.read_text() for path in mine if path.is_file()}

    def told(self, objects: Mapping[str, list[Any]], *, hidden: bool) -> str:
        """What stands on the server; without what is the secret itself, if that is `hidden`."""
        return json.dumps(_without(objects, _KEEPS if hidden else frozenset()), ensure_ascii=False)


_KEEPS = frozenset(
    {name for _, line in LINES if line.secret for name in (line.write or "", f"{line.write}_enc")}
    | {"tool_exec_environment_variables"}
)
"""Where the server keeps secrets, because they are meant for it."""


def _without(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(each, keys) for key, each in value.items() if key not in keys}
    return [_without(each, keys) for each in value] if isinstance(value, list) else value


# --- what the manifests say ------------------------------------------------------------------------------------------


def age(folder: Path) -> None:
    """The manifest and what lies beside it become what they are later."""
    shutil.copy(LATER, folder / "journey.yaml")
    for name in ("prompts/rules.md", "prompts/curator.md", "docs/rooms.md"):
        with (folder / name).open("a") as file:
            file.write("\nAnd one more thing.\n")
    (folder / "docs" / "more").mkdir()
    (folder / "docs" / "more" / "shop.md").write_text("# Shop\n\nPostcards.\n")
    (folder / "docs" / "hours-and-prices.md").unlink()


def manifest(folder: Path, *, later: bool) -> Manifest:
    """The example as it is, or as it is later."""
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    (folder / "journey.yaml").write_text(NOW)
    if later:
        age(folder)
    files = [Path("lettaform.yaml"), Path("journey.yaml")]
    given, environ = {"catalogue": "true", "model": "a/b"}, (THEN if later else FIRST).environ()
    given |= {"catalogue_url": "https://later.example.com"} if later else {}
    return load(folder, files, environment="journey", variables=given, environ=environ)


def said(desired: Desired) -> dict[str, Any]:
    """What a manifest says of an object, by field; what is a tool of an MCP server's says where it comes from."""
    external = desired.external
    by = {"mcp": (external.by, external.name), "name": external.name} if external and external.by else {}
    return {**desired.values, **by}


def spoken(manifest: Manifest) -> dict[tuple[Address, str], Any]:
    """Every field of every object that a manifest says, and of agents, what they have as their own."""
    found = {(address, name): each for address, d in manifest.objects.items() for name, each in said(d).items()}
    for address, desired in manifest.objects.items():
        if address.parent and address.field:
            found.setdefault((address.parent, address.field), {})[address.child] = said(desired)
    return found


def _lines(manifest: Manifest, fields: set[tuple[Address, str]]) -> set[str]:
    return {f"{manifest.objects[address].kind}.{name}" for address, name in fields}


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest(tmp_path_factory.mktemp("now"), later=False)


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest(tmp_path_factory.mktemp("then"), later=True)


@pytest.mark.parametrize("name", [f"{kind}.{line.name}" for kind, line in LINES])
def test_every_line_of_every_kind_is_said(name: str, now: Manifest) -> None:
    told = f"say `{name}` somewhere in examples/everything/lettaform.yaml"
    assert name in _lines(now, set(spoken(now))), told


@pytest.mark.parametrize("name", [f"{kind}.{line.name}" for kind, line in LINES])
def test_every_line_of_every_kind_has_another_value_later(name: str, now: Manifest, then: Manifest) -> None:
    if name in UNCHANGED:
        pytest.skip(UNCHANGED[name])
    before, after = spoken(now), spoken(then)
    moved = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    assert name in _lines(now, moved), f"give `{name}` another value in {LATER.name}"


def test_the_example_uses_every_word_of_the_language() -> None:
    text = (EXAMPLE / "lettaform.yaml").read_text()
    words = [
        *("variables:", "type: number", "type: bool", "type: list", "type: map", "default: ", "secret: true", "env: "),
        *("environments:", "defaults:", "outputs:", "for_each:", "when:", "policy:", "lifecycle:", "external:"),
        *("prevent_destroy:", "ignore_changes:", "!file ", "!json ", "${folder}", "${env.", "${var.", "${each.key}"),
        "${each.value",
    ]
    assert [word for word in words if word not in text] == []


def test_every_list_of_the_server_is_counted_or_left_out_with_a_reason() -> None:
    counted = lists(api())
    assert {table.path for kind, table in kinds().items() if table.availability.cloud is not True} <= set(counted)
    assert "/v1/folders/{}/files" in counted
    every = [path for verb, path in api().operations if verb == "GET"]
    assert [pattern for pattern in UNCOUNTED if not any(re.fullmatch(pattern, path) for path in every)] == []


@pytest.mark.parametrize("disguise", sorted(set(FIRST.forms())))
def test_a_secret_is_found_in_any_disguise(disguise: str) -> None:
    assert leaks({"a paper": f"before {disguise} after"}) == ["a paper"]
    assert leaks({"a paper": "before and after"}) == []


def test_a_secret_is_found_inside_of_other_base64() -> None:
    papers = {str(n): base64.b64encode(b"Bearer "[:n] + FIRST.key.encode() + b"!").decode() for n in range(7)}
    assert leaks(papers) == [*papers]


def leaks(papers: Mapping[str, str]) -> list[str]:
    """Which papers tell a secret."""
    wanted = [*FIRST.forms(), *THEN.forms()]
    return [name for name, text in papers.items() if any(form in text for form in wanted)]


# --- the journey -----------------------------------------------------------------------------------------------------


@pytest.fixture
def journey(letta: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journey]:
    if letta.model != local.MODELS[True][0]:
        pytest.skip("this server has no second model that a field could have later")
    with ExitStack() as stack:
        here = stack.enter_context(house(letta.url, letta.password, api()))
        near = httpx.URL(letta.url).host in ("127.0.0.1", "localhost")
        try:
            mcp = stack.enter_context(serving(OFFERED)) if near else None
        except Unreachable:
            mcp = None  # OVER_HTTP is left out
        shutil.copytree(EXAMPLE, tmp_path / "everything")
        (tmp_path / "everything" / "journey.yaml").write_text(NOW)
        if letta.password:
            monkeypatch.setenv("LETTA_API_KEY", letta.password)
        monkeypatch.setattr(flow, "connect", lambda url, **more: connect(url, **more, transport=Inside(here.user)))
        made = Journey(here, letta, tmp_path / "everything", mcp, monkeypatch)
        made.become(FIRST)
        yield made


def strangers(house: House, embedding: str) -> None:
    """One of everything, that is nobody's business."""

    def make(path: str, **body: Any) -> str:
        return str(house.http.post(f"/v1/{path}", json=body).raise_for_status().json()["id"])

    block = make("blocks/", label="diary", value="Mine.", tags=["theirs"], metadata={"a": 1})
    archive = make("archives/", name="Provenance", embedding=embedding)
    folder = make("folders/", name="attic", embedding=embedding)
    file = {"file": ("theirs.md", b"# Theirs\n")}
    sent = house.http.post(f"/v1/folders/{folder}/upload", files=file).raise_for_status().json()
    while sent["processing_status"] not in ("completed", "error"):
        time.sleep(0.1)
        sent = house.http.get(f"/v1/folders/{folder}/files/{sent['id']}").raise_for_status().json()
    make(f"archives/{archive}/passages", text="Theirs.")
    identity = make("identities/", identifier_key="stranger", name="A stranger", identity_type="user")
    source = 'def whistle() -> str:\n    """Whistle."""\n    return "whistle"\n'
    tool = make("tools/", source_code=source, source_type="python", tags=["theirs"])
    told: dict[str, Any] = {"name": "stranger", "model": "letta/letta-free", "embedding": embedding, "tool_ids": [tool]}
    told |= {"block_ids": [block], "identity_ids": [identity], "include_base_tools": False, "tags": ["theirs"]}
    agent = make("agents/", **told, secrets={"A": "b"}, memory_blocks=[{"label": "persona", "value": "A stranger."}])
    make("agents/", name="unseen", model="letta/letta-free", hidden=True, include_base_tools=False)
    make("groups/", description="strangers", agent_ids=[agent])
    make("providers/", name="theirs", provider_type="openai", api_key="theirs", base_url="http://127.0.0.1:9/v1")
    make("mcp-servers/", server_name="theirs", config={"mcp_server_type": "stdio", "command": "/no/such", "args": []})
    house.http.post("/v1/conversations/", params={"agent_id": agent}, json={"summary": "theirs"}).raise_for_status()


def planned(plan: Mapping[str, Any]) -> set[str]:
    """The lines that a plan says differ: `kind.field`. An agent's `memory` is what differs in its own blocks."""
    found = {
        f"{change['kind']}.{each['path'].split('.')[0]}" for change in plan["changes"] for each in change["fields"]
    }
    return found | ({"agent.memory"} if any(".memory." in change["address"] for change in plan["changes"]) else set())


def test_it_is_made_changed_and_gone_without_a_trace_or_a_word(journey: Journey) -> None:
    here = journey.house
    strangers(here, journey.letta.embedding)
    before = here.everything()
    assert [path for path in here.paths if "{}" not in path and not before[path]] in ([], ["/v1/sandbox-config/"])

    plan = journey.plan()
    assert {change["action"] for change in plan["changes"]} == {"create"}
    journey.run("--debug", "apply", "-y", "--json", str(journey.folder / "plan.json"))
    journey.settled()
    journey.look()
    made = here.objects()
    papers = {"made": journey.told(made, hidden=True)}
    assert [form for form in (FIRST.key, FIRST.token) if form not in journey.told(made, hidden=False)] == (
        [] if journey.mcp else [FIRST.token]
    )
    papers |= {f"then {name}": text for name, text in journey.written().items()}

    age(journey.folder)
    journey.become(THEN, sse=True)
    journey.run("--debug", "plan", "--json", code=7)  # what is precious is not replaced without a word
    plan = journey.plan("--allow-destroy", "*")
    wanted = {f"{kind}.{line.name}" for kind, line in LINES} - UNCHANGED.keys()
    wanted -= UNSHOWN.keys() | (set() if journey.mcp else OVER_HTTP)
    assert wanted - planned(plan) == set()
    journey.run("--debug", "apply", "-y", "--json", "--allow-destroy", "*")
    journey.settled()
    now = here.objects()
    papers["changed"] = journey.told(now, hidden=True)
    assert THEN.key in journey.told(now, hidden=False)
    assert FIRST.key not in journey.told(now, hidden=False)

    journey.run("--debug", "destroy", "-y", "--json", "--allow-destroy", "*")
    after = here.everything()
    assert {path: bodies for path, bodies in after.items() if bodies != before.get(path)} == {}
    assert after.keys() == before.keys()

    papers |= journey.papers | journey.written()
    assert {path.suffix for path in (journey.folder / ".lettaform").rglob("*") if path.is_file()} == {".json", ".af"}
    assert leaks(papers) == []
