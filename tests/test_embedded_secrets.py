"""Secrets inside URLs and arguments: hidden wherever a value appears, and compared all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.cli import cli
from lettaform.errors import ManifestError
from lettaform.kinds import kinds
from lettaform.values import HIDDEN
from tests.standin import StandIn
from tests.standin.server import serve

pytestmark = pytest.mark.thorough

OLD, NEW = "old-hunter/2", "new-hunter/2"
MANIFEST = """
stack: s
variables: {key: {secret: true}, word: {default: one}}
mcp_servers:
  web: {type: streamable_http, url: "https://mcp.example.com/mcp?${var.word}&key=${var.key}"}
  program:
    type: stdio
    command: "run-${var.key}"
    args: ["--${var.word}", --key, "${var.key}", "--url=x?k=${var.key}"]
providers:
  ours:
    provider_type: openai
    api_key: "${var.key}"
    base_url: "https://u:${var.key}@models.example.com/${var.word}"
"""
FIELDS = {
    "mcp_servers.web": ("url", "https://mcp.example.com/mcp?one&key=‹secret›"),
    "mcp_servers.program": ("args", ["--one", "--key", "‹secret›", "--url=x?k=‹secret›"]),
    "providers.ours": ("base_url", "https://u:‹secret›@models.example.com/one"),
}


class Stack:
    """A project on a stand-in, through the command line. Collects everything that is printed or written."""

    def __init__(self, folder: Path, url: str, standin: StandIn) -> None:
        self.folder, self.url, self.standin = folder, url, standin
        (folder / "lettaform.yaml").write_text(MANIFEST)

    def run(self, *words: str, key: str | None = OLD) -> Result:
        variables = ["--var", f"key={key}"] if key else []
        done = CliRunner().invoke(cli, ["-C", str(self.folder), "--server", self.url, "--debug", *words, *variables])
        kept = [path.read_text() for path in (self.folder / ".lettaform").rglob("*") if path.is_file()]
        for secret in (OLD, NEW, "hunter"):
            assert secret not in done.output + "".join(kept), words
        return done

    def fields(self, *words: str, **options: Any) -> dict[tuple[str, str], tuple[Any, Any, bool]]:
        done = self.run("plan", "--json", *words, **options)
        plan = json.loads(done.stdout)
        assert "changes" in plan, done.output
        return {
            (change["address"], field["path"]): (field["old"], field["new"], field["secret"])
            for change in plan["changes"]
            for field in change["fields"]
        }


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    standin = StandIn()
    standin.offers.update(
        {(f"https://mcp.example.com/mcp?{word}&key={key}",): [] for word in ("one", "two") for key in (OLD, NEW)}
    )
    for key in (OLD, NEW):
        for word in ("one", "two"):
            standin.offers[f"--{word}", "--key", key, f"--url=x?k={key}"] = []
    with serve(standin) as url:
        yield Stack(tmp_path, url, standin)


def test_a_secret_inside_a_text_is_hidden_sent_and_compared(stack: Stack) -> None:
    created = stack.fields()
    for address, (path, shown) in FIELDS.items():
        assert created[address, path] == (None, shown, False)
    assert FIELDS["mcp_servers.web"][1] in stack.run("plan").stdout
    assert stack.run("apply", "-y").exit_code == 0
    (web,) = (each for each in stack.standin.tables.mcp_servers.values() if each["server_name"] == "web")
    assert web["server_url"] == f"https://mcp.example.com/mcp?one&key={OLD}"
    assert stack.fields() == {}
    # another secret is a change, although both sides look the same
    rotated = stack.fields(key=NEW)
    for address, (path, shown) in FIELDS.items():
        assert rotated[address, path] == (shown, shown, False)
    assert f'"{FIELDS["mcp_servers.web"][1]}" (another secret)' in stack.run("plan", key=NEW).stdout
    assert stack.run("apply", "-y", key=NEW).exit_code == 0
    assert stack.fields(key=NEW) == {}
    # what else changes is shown; of the old value, what may contain a secret is not
    moved = stack.fields("--var", "word=two", key=NEW)
    assert moved["mcp_servers.web", "url"][0] is None or HIDDEN in moved["mcp_servers.web", "url"][0]
    assert moved["mcp_servers.web", "url"][1] == "https://mcp.example.com/mcp?two&key=‹secret›"
    assert moved["mcp_servers.program", "args"][0] == ["‹secret›", "--key", "‹secret›", "--url=x?k=‹secret›"]


def test_show_and_snapshots_hide_it_also_without_the_variable(stack: Stack) -> None:
    stack.run("apply", "-y")
    for key in (OLD, None):
        shown = json.loads(stack.run("show", "--json", key=key).stdout)["objects"]
        values = {each["address"]: each["values"] for each in shown}
        for address, (path, text) in FIELDS.items():
            assert values[address][path] == text
        assert FIELDS["mcp_servers.web"][1] in stack.run("show", "mcp_servers.web", key=key).stdout
    # what the manifest no longer declares is hidden as a whole
    (stack.folder / "lettaform.yaml").write_text("stack: s\n")
    assert HIDDEN in stack.run("show", "mcp_servers.web", key=None).stdout
    assert "mcp.example.com" not in stack.run("show", "--json", key=None).stdout
    assert stack.run("destroy", "-y", key=None).exit_code == 0
    assert list((stack.folder / ".lettaform" / "snapshots").rglob("snapshot.json"))


def test_no_digest_of_it_is_stored(stack: Stack) -> None:
    stack.run("apply", "-y")
    marks = json.loads(stack.run("state", "show", "mcp_servers.web", "--json").stdout)["objects"][0]["mark"]
    assert "url" not in marks["base"]
    assert "type" in marks["base"]


def test_a_secret_that_leaves_the_manifest_is_not_shown_as_the_old_value(stack: Stack) -> None:
    stack.run("apply", "-y")
    text = MANIFEST.replace("&key=${var.key}", "").replace("https://u:${var.key}@", "https://")
    (stack.folder / "lettaform.yaml").write_text(text)
    stack.standin.offers["https://mcp.example.com/mcp?one",] = []
    changed = stack.fields()
    assert changed["mcp_servers.web", "url"] == (HIDDEN, "https://mcp.example.com/mcp?one", False)
    assert changed["providers.ours", "base_url"] == (HIDDEN, "https://models.example.com/one", False)


def test_an_error_of_the_server_hides_it(stack: Stack) -> None:
    stack.standin.offers.clear()
    refused = stack.run("plan")
    assert refused.exit_code == 1
    assert "mcp_servers.web" in refused.stderr


def test_a_saved_plan_hides_it_and_is_carried_out(stack: Stack) -> None:
    path = stack.folder / ".lettaform" / "plan.json"
    path.parent.mkdir()
    stack.run("apply", "-y")
    stack.run("plan", "-o", str(path), key=NEW)
    assert stack.run("apply", "-y", str(path)).exit_code == 6
    assert stack.run("apply", "-y", str(path), key=NEW).exit_code == 0


def test_every_field_into_which_services_ask_people_to_put_a_key() -> None:
    fields = {f"{name}.{line.name}" for name, kind in kinds().items() for line in kind.attrs().values() if line.embeds}
    assert fields == {"mcp_server.url", "mcp_server.command", "mcp_server.args", "provider.base_url"}


def test_a_value_that_could_not_be_determined_is_not_missing(stack: Stack) -> None:
    text = """
stack: s
mcp_servers:
  web: {type: streamable_http, url: "${var.no}"}
  program: {type: stdio, command: "${var.no}"}
agents:
  a: {model: a/b, max_reasoning_tokens: 5, max_tokens: "${var.no}"}
groups:
  g: {description: x, type: supervisor, agents: [a], manager: "${var.no}"}
tools:
  t: {source: t.ts, json_schema: "${var.no}"}
conversations:
  c: {agent: "${var.no}"}
schedules:
  s: {agent: a, cron: "${var.no}", messages: [{role: user, content: x}]}
"""
    (stack.folder / "lettaform.yaml").write_text(text)
    (stack.folder / "t.ts").write_text("export function t() {}\n")
    with pytest.raises(ManifestError) as refused:
        flow.read(flow.Source(stack.folder))
    assert {each.message for each in refused.value.problems} == {"there is no variable `no`"}
